//! The cause of a silence, in words and as JSON.

use std::fmt;

use serde::{Deserialize, Serialize};
use varta_history::CauseMembers;
use varta_observer::{Cause, CauseFlags, CauseInfo, Certainty, Why};

use crate::lookup::LockOwner;

/// A cause as JSON. The names are the same in the export file, in `events` and in `/agents`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CauseFields {
    pub(crate) cause: String,
    pub(crate) cause_class: String,
    pub(crate) certainty: String,
    pub(crate) cause_flags: u8,
    pub(crate) thread: u32,
    pub(crate) other: u32,
    #[serde(flatten)]
    pub(crate) details: Option<Details>,
}

/// What an event has no room for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Details {
    /// Names of what it waits in or is held by.
    pub(crate) cause_detail: String,
    /// The cause in words.
    pub(crate) cause_text: String,
}

impl CauseFields {
    /// Those of an event.
    pub(crate) fn of(why: &Why) -> Self {
        Self {
            cause: why.cause.name().to_owned(),
            cause_class: why.cause.class().name().to_owned(),
            certainty: why.certainty.name().to_owned(),
            cause_flags: why.flags.bits(),
            thread: why.thread,
            other: why.other,
            details: None,
        }
    }

    /// All of them. `owner` is that of the lock, if it is known.
    pub(crate) fn with_details(info: &CauseInfo, owner: Option<&LockOwner>) -> Self {
        let details = Details {
            cause_detail: info.detail.to_string(),
            cause_text: Phrase::new(info, owner).to_string(),
        };
        let mut why = info.why;
        if let Some(owner) = owner.filter(|_| why.cause == Cause::Lock) {
            why.other = owner.thread;
            why.flags |= CauseFlags::OWNER;
            if owner.waits_for_lock() {
                why.flags |= CauseFlags::CYCLE;
            }
        }
        Self { details: Some(details), ..Self::of(&why) }
    }

    /// Adds to the cause in words what follows from it.
    pub(crate) fn add(&mut self, words: &str) {
        if let Some(details) = &mut self.details {
            details.cause_text.push_str(words);
        }
    }

    /// The cause in words, or else its name.
    pub(crate) fn text(&self) -> &str {
        self.details.as_ref().map_or(&self.cause, |details| &details.cause_text)
    }
}

/// As they are stored in the history.
impl From<CauseFields> for CauseMembers {
    fn from(fields: CauseFields) -> Self {
        let details =
            fields.details.map(|details| (details.cause_detail, details.cause_text)).unzip();
        Self {
            cause: fields.cause.into(),
            cause_class: fields.cause_class.into(),
            certainty: fields.certainty.into(),
            cause_flags: fields.cause_flags,
            thread: fields.thread,
            other: fields.other,
            cause_detail: details.0.map(Into::into),
            cause_text: details.1.map(Into::into),
        }
    }
}

/// Displays a cause as a phrase, such as `hung on a lock held by thread 4325, which is in read()`.
pub(crate) struct Phrase<'a> {
    info: &'a CauseInfo,
    owner: Option<&'a LockOwner>,
}

impl<'a> Phrase<'a> {
    /// With the owner of the lock, if it is known.
    pub(crate) fn new(info: &'a CauseInfo, owner: Option<&'a LockOwner>) -> Self {
        Self { info, owner }
    }
}

impl fmt::Display for Phrase<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { info, owner } = self;
        let why = &info.why;
        let (ran, wanted) = (Ms(info.run_ns), Ms(info.run_ns.saturating_add(info.wait_ns)));
        match why.cause {
            Cause::Unknown if why.flags.has(CauseFlags::NO_PERMISSION) => {
                f.write_str("unknown: no permission to see it")?;
            }
            Cause::Unknown => f.write_str("unknown")?,
            Cause::Suspended => f.write_str("suspended with the whole system")?,
            Cause::Stopped => match Signal(info.signal).name() {
                Some(signal) => write!(f, "stopped by {signal}")?,
                None => f.write_str("stopped by a signal")?,
            },
            Cause::Traced => match why.other {
                0 => f.write_str("stopped by a debugger")?,
                tracer => write!(f, "stopped by a debugger, process {tracer}")?,
            },
            Cause::Frozen => f.write_str("frozen with its control group")?,
            Cause::Dumping => f.write_str("crashed; its core file is being written")?,
            Cause::Dying => f.write_str("ending, but not ended yet")?,
            Cause::Throttled => {
                write!(f, "throttled by its CPU quota: ran {ran} of the {wanted} it wanted")?;
            }
            Cause::Starved => write!(f, "starved: ran {ran} of the {wanted} it wanted")?,
            Cause::Io => f.write_str("waiting in the kernel for a device or a file system")?,
            Cause::Memory => f.write_str("waiting in the kernel for memory")?,
            Cause::Busy => write!(f, "busy: ran {ran} of {}", Ms(info.window_ns))?,
            Cause::Lock => match (owner, why.other) {
                (Some(owner), _) => write!(f, "hung on a lock held by {owner}")?,
                (None, 0) => f.write_str("hung on a lock")?,
                (None, owner) => write!(f, "hung on a lock held by thread {owner}")?,
            },
            Cause::Waiting => {
                f.write_str("waiting to be woken by another thread or process")?
            }
            Cause::Child => match why.other {
                0 => f.write_str("waiting for a child process")?,
                child => write!(f, "waiting for its child process {child}")?,
            },
            Cause::Awake => {
                let per_second = per_second(info.switches, info.window_ns);
                write!(f, "awake {per_second} times a second, but not beating")?;
            }
            Cause::Idle if why.flags.has(CauseFlags::IN_EVENT_WAIT) => {
                f.write_str("idle in its event loop")?;
            }
            Cause::Idle => f.write_str("idle")?,
            Cause::Asleep => f.write_str("asleep; no permission to see on what")?,
            Cause::SelfReported => f.write_str("hung by its own report")?,
            Cause::Exec => f.write_str("executing another program since its last beat")?,
            Cause::LeaderExited => {
                f.write_str("running without its first thread, which ended")?
            }
            Cause::ThreadGone => {
                f.write_str("running without the thread that made the beats")?
            }
            other => write!(f, "{other}")?,
        }
        if why.flags.has(CauseFlags::CYCLE) {
            f.write_str(", which waits for a lock itself")?;
        }
        if !info.detail.is_empty() {
            write!(f, " ({})", info.detail)?;
        }
        match why.certainty {
            Certainty::Guess if why.cause != Cause::Unknown => f.write_str(" [a guess]"),
            _ => Ok(()),
        }
    }
}

/// Wakeups in a second, from those in a window.
pub(crate) fn per_second(count: u32, window_ns: u64) -> u64 {
    u64::from(count).saturating_mul(1_000_000_000).checked_div(window_ns).unwrap_or(0)
}

/// Nanoseconds, displayed as milliseconds.
pub(crate) struct Ms(pub(crate) u64);

impl fmt::Display for Ms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0.saturating_add(500_000) / 1_000_000)
    }
}

/// A signal that stops a process.
pub(crate) struct Signal(pub(crate) u8);

impl Signal {
    pub(crate) fn name(&self) -> Option<&'static str> {
        match i32::from(self.0) {
            libc::SIGSTOP => Some("SIGSTOP"),
            libc::SIGTSTP => Some("SIGTSTP"),
            libc::SIGTTIN => Some("SIGTTIN"),
            libc::SIGTTOU => Some("SIGTTOU"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lookup::Does;

    #[test]
    fn a_cause_has_a_phrase_with_its_numbers() {
        let phrase = |cause, certainty| {
            let mut info = CauseInfo::UNKNOWN;
            info.why.cause = cause;
            info.why.certainty = certainty;
            info.why.other = 17;
            info.signal = 19;
            (info.run_ns, info.wait_ns) = (3_400_000, 896_600_000);
            (info.switches, info.window_ns) = (500, 1_000_000_000);
            Phrase::new(&info, None).to_string()
        };
        let likely = |cause| phrase(cause, Certainty::Likely);
        assert_eq!(likely(Cause::Starved), "starved: ran 3 ms of the 900 ms it wanted");
        assert_eq!(likely(Cause::Lock), "hung on a lock held by thread 17");
        assert_eq!(likely(Cause::Stopped), "stopped by SIGSTOP");
        assert_eq!(likely(Cause::Awake), "awake 500 times a second, but not beating");
        assert_eq!(phrase(Cause::Idle, Certainty::Guess), "idle [a guess]");
        for cause in Cause::ALL {
            assert!(!likely(cause).is_empty());
        }
    }

    #[test]
    fn the_owner_of_a_lock_is_the_other_thread() {
        let owner = LockOwner { thread: 17, does: Does::WaitsForLock };
        let mut info = CauseInfo::UNKNOWN;
        info.why.cause = Cause::Lock;
        let fields = CauseFields::with_details(&info, Some(&owner));
        let flags = CauseFlags::OWNER | CauseFlags::CYCLE;
        assert_eq!((fields.other, fields.cause_flags), (17, flags.bits()));
        assert!(fields.text().contains("held by thread 17, which waits for a lock itself"));
        info.why.cause = Cause::Waiting;
        assert_eq!(CauseFields::with_details(&info, Some(&owner)).other, 0);
    }

    /// A group, a file or a function of the kernel may have any name.
    #[test]
    fn a_detail_is_escaped_wherever_it_is_shown() {
        let mut info = CauseInfo::UNKNOWN;
        info.why.cause = Cause::Frozen;
        info.detail = varta_observer::judge::Text::from_bytes(
            "cgroup /\n\t\u{1b}[2J\u{9b}\u{202e}\u{2028}\"<b>é".as_bytes(),
        );
        info.detail.push(b"\xff");
        let escaped = r#"cgroup /\u{a}\u{9}\u{1b}[2J\u{9b}\u{202e}\u{2028}"<b>é"#;
        let escaped = format!("{escaped}\u{fffd}");
        let fields = CauseFields::with_details(&info, None);
        assert_eq!(
            fields.text(),
            format!("frozen with its control group ({escaped}) [a guess]")
        );
        let text = serde_json::to_string(&fields).unwrap();
        let read: CauseFields = serde_json::from_str(&text).unwrap();
        assert_eq!(read, fields);
        assert_eq!(read.details.unwrap().cause_detail, escaped);
    }
}
