//! The cause of a silence in words.

use std::fmt;

use varta_observer::{Cause, CauseFlags, CauseInfo, Certainty};

use crate::lookup::LockOwner;

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
}
