//! The events of an observer.

use std::fmt;
use std::hash::{Hash, Hasher};

use varta::{DecodeError, Promise, Rule, Status, TaskName};

use crate::cause::Why;
use crate::names::Label;

/// An event: something that happened to one agent or to the observer itself.
///
/// ```
/// use varta_observer::{About, Event, Origin, What};
///
/// let about = About { agent: 3, pid: 4321, claimed_pid: 4321, origin: Origin::KernelAttested };
/// let event = Event {
///     observer_ns: 2_500_000_000,
///     about: Some(about),
///     task: None,
///     what: What::Stall { last_nonce: 17, last_ns: 500_000_000, deaf: false, late: None, why: None },
/// };
/// assert_eq!(event.what.name(), "stall");
/// assert_eq!(
///     event.to_string(),
///     "2.500 s: agent 3 (pid 4321): stall, last heard at 0.500 s with nonce 17"
/// );
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds since the observer started, on a clock that includes suspend. It never
    /// decreases from one event to the next.
    pub observer_ns: u64,
    /// The agent it is about, if it is about a tracked agent.
    pub about: Option<About>,
    /// The task it is about, if it is about a single task of that agent.
    pub task: Option<Task>,
    /// What happened.
    pub what: What,
}

impl Event {
    /// A placeholder to initialize a buffer for a poll.
    pub const NOTHING: Self =
        Self { observer_ns: 0, about: None, task: None, what: What::Paused { ns: 0 } };

    /// The text of this event with the name of its agent, which
    /// [`Observer::label`](crate::Observer::label) returns. The event itself has no room for it: it
    /// would make every beat dearer.
    ///
    /// ```
    /// use varta_observer::{About, Event, Label, Origin, What};
    ///
    /// let about = About { agent: 3, pid: 4321, claimed_pid: 4321, origin: Origin::KernelAttested };
    /// let what = What::Recovered { silent_ns: 2_000_000_000, promise: varta::Promise::Beat };
    /// let event = Event { observer_ns: 0, about: Some(about), task: None, what };
    /// assert_eq!(
    ///     event.named(Label::new(b"indexer")).to_string(),
    ///     "0.000 s: agent 3 (indexer, pid 4321): recovered after 2.000 s of silence"
    /// );
    /// assert_eq!(event.named(Label::EMPTY).to_string(), event.to_string());
    /// ```
    pub const fn named(&self, label: Label) -> impl fmt::Display + '_ {
        Named { event: self, label }
    }
}

/// An event and the name of its agent.
struct Named<'a> {
    event: &'a Event,
    label: Label,
}

/// The agent that an event is about.
///
/// ```
/// use varta_observer::{About, Origin};
///
/// let away = About { agent: 9, pid: 0, claimed_pid: 77, origin: Origin::Network };
/// assert_eq!(away.to_string(), "agent 9 (claims pid 77, network)");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct About {
    /// The agent's number, from 1. An observer never reuses a number.
    pub agent: u64,
    /// Its process id in the observer's namespace; 0 if it has none there.
    pub pid: u32,
    /// The process id in its frames.
    pub claimed_pid: u32,
    /// How its identity is known.
    pub origin: Origin,
}

/// The task that an event is about: a named part of an agent's process.
///
/// ```
/// use varta::TaskName;
/// use varta_observer::Task;
///
/// let task = Task { number: 2, name: TaskName::new("ingest").unwrap(), done: 7 };
/// assert_eq!(task.to_string(), "task 2 (ingest)");
/// assert_eq!(task, Task { done: 8, ..task }, "it is the same task");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Task {
    /// The task's number, from 1. An agent never has two tasks with the same number.
    pub number: u32,
    /// Its name, which several tasks may share.
    pub name: TaskName,
    /// What it has done, if it reports progress, by the call that was seen last.
    pub done: u32,
}

impl Task {
    const fn identity(&self) -> (u32, TaskName) {
        (self.number, self.name)
    }
}

impl PartialEq for Task {
    fn eq(&self, other: &Self) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Task {}

impl Hash for Task {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

/// How the identity of an agent is known. Only [`KernelAttested`](Self::KernelAttested) is
/// safe to act on; for the others the operator must allow it explicitly. The numbers are the
/// same in every language.
///
/// ```
/// use varta_observer::Origin;
///
/// assert_eq!(Origin::SecureNetwork.name(), "secure-network");
/// assert_eq!(Origin::KernelAttested as u8, 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Origin {
    /// The kernel named the sender.
    KernelAttested = 1,
    /// The sender has a key.
    SecureNetwork = 2,
    /// Anyone may have sent it.
    Network = 3,
}

impl Origin {
    /// Its name, the same in every language and log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KernelAttested => "kernel-attested",
            Self::SecureNetwork => "secure-network",
            Self::Network => "network",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What happened. [`code`](Self::code) and [`name`](Self::name) are the same in every
/// language.
///
/// ```
/// use varta::Status;
/// use varta_observer::What;
///
/// let what = What::Beat { status: Status::Ok, payload: 7, nonce: 12, missed: 1, count: 1 };
/// assert_eq!((what.code(), what.name()), (1, "beat"));
/// assert_eq!(what.to_string(), "beat, ok, payload 7, nonce 12, 1 missed");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A beat was accepted, or several beats through shared memory.
    Beat {
        /// The status that the agent reports.
        status: Status,
        /// The application's payload, unchanged.
        payload: u64,
        /// The nonce of the frame; 0 for a task.
        nonce: u64,
        /// How many beats between the last one and this one never arrived; 0 for a first, a
        /// backward and a terminal beat.
        missed: u64,
        /// How many beats the event stands for: 1 for a datagram. Through shared memory, the
        /// number of beats of a process, or of calls of a task, since the last event.
        count: u32,
    },
    /// The agent has been silent for its threshold, or a task broke a promise. Reported once
    /// per silence and promise.
    Stall {
        /// The last nonce that was not terminal; 0 if there was none.
        last_nonce: u64,
        /// When its last beat was received.
        last_ns: u64,
        /// Whether the observer may have missed beats of the agent, because its queue was full
        /// at every look. Such a Stall is not safe to act on.
        deaf: bool,
        /// A task: which promise it broke. `None` for the silence of a process.
        late: Option<Late>,
        /// The cause, if [causes](crate::Builder::causes) are looked up.
        why: Option<Why>,
    },
    /// A stalled agent is back; its beat is the next event. Or a task keeps a promise again
    /// that it had broken.
    Recovered {
        /// How long the agent was silent. A task: the time from when the promise was due to
        /// the call that kept it.
        silent_ns: u64,
        /// The promise, which for a process is to beat.
        promise: Promise,
    },
    /// The process has ended, and its agent is no longer tracked.
    Exit {
        /// How it ended.
        cause: ExitCause,
        /// The status in its last beat.
        last_status: Status,
    },
    /// 32 bytes arrived that are not a valid frame.
    Decode(DecodeError),
    /// A frame named another process than the one that sent it.
    AuthFailure {
        /// The pid in the frame.
        claimed_pid: u32,
        /// The pid that the kernel reports.
        true_pid: u32,
    },
    /// A socket failed.
    Io {
        /// The operating system's error number.
        errno: i32,
    },
    /// The observer itself was late: it was stopped, suspended or starved. The deadlines of
    /// silences that began before are extended by this time.
    Paused {
        /// How long it was away.
        ns: u64,
    },
    /// A task was declared. It is reported again after the observer restarted.
    Task {
        /// The task's threshold in nanoseconds; `u64::MAX` for none.
        threshold_ns: u64,
    },
    /// A task is over.
    Ended {
        /// How it ended.
        how: Ending,
    },
    /// Calls of a task broke a rule.
    Violation {
        /// The rule that was broken last.
        rule: Rule,
        /// How many violations there were since the last event.
        count: u32,
        /// The last violation: the checkpoint before it, or the label of the span.
        from: u16,
        /// The last violation: the checkpoint that was reached.
        to: u16,
        /// The last violation: by how much, in nanoseconds, or in beats for a cycle.
        by: u64,
    },
    /// The cause of a silence that was reported has changed, or was found out later.
    Cause {
        /// The cause.
        why: Why,
    },
}

/// The promise that a task broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Late {
    /// The promise.
    pub promise: Promise,
    /// When it was due, in nanoseconds since the observer started.
    pub due_ns: u64,
    /// The checkpoint where the task is, or the label of the span.
    pub checkpoint: u16,
}

/// A time when the observer ran later than it was due, by more than 50 ms, or after a suspend.
/// See [`Observer::take_lateness`](crate::Observer::take_lateness).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lateness {
    /// When it ran.
    pub observer_ns: u64,
    /// How much later it ran than it was due.
    pub late_ns: u64,
    /// How long before it had run last. From then on, nothing could be received.
    pub away_ns: u64,
    /// How much of that time the system was suspended.
    pub suspended_ns: u64,
    /// By how much it extended the deadlines of the agents: 0 if that was too short for a
    /// [pause](What::Paused).
    pub forgiven_ns: u64,
}

impl Lateness {
    pub(crate) const NONE: Self =
        Self { observer_ns: 0, late_ns: 0, away_ns: 0, suspended_ns: 0, forgiven_ns: 0 };
}

/// How a task ended. The numbers are the same in every language.
///
/// ```
/// use varta_observer::Ending;
///
/// assert_eq!((Ending::ThreadGone as u8, Ending::ThreadGone.name()), (3, "thread-gone"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ending {
    /// It was closed.
    Closed = 1,
    /// It was dropped by a panic or an exception.
    Failed = 2,
    /// Its thread is gone.
    ThreadGone = 3,
    /// The process gave up its page, for example by calling `exec`.
    Detached = 4,
}

impl Ending {
    /// All endings, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Closed, Self::Failed, Self::ThreadGone, Self::Detached];

    /// Its name, the same in every language and log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Failed => "failed",
            Self::ThreadGone => "thread-gone",
            Self::Detached => "detached",
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl What {
    /// The name of the event.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Beat { .. } => "beat",
            Self::Stall { .. } => "stall",
            Self::Recovered { .. } => "recovered",
            Self::Exit { .. } => "exit",
            Self::Decode(_) => "decode",
            Self::AuthFailure { .. } => "auth-failure",
            Self::Io { .. } => "io",
            Self::Paused { .. } => "paused",
            Self::Task { .. } => "task",
            Self::Ended { .. } => "ended",
            Self::Violation { .. } => "violation",
            Self::Cause { .. } => "cause",
        }
    }

    /// The number of the event, from 1 in the order of the variants.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Beat { .. } => 1,
            Self::Stall { .. } => 2,
            Self::Recovered { .. } => 3,
            Self::Exit { .. } => 4,
            Self::Decode(_) => 5,
            Self::AuthFailure { .. } => 6,
            Self::Io { .. } => 7,
            Self::Paused { .. } => 8,
            Self::Task { .. } => 9,
            Self::Ended { .. } => 10,
            Self::Violation { .. } => 11,
            Self::Cause { .. } => 12,
        }
    }
}

/// How a process ended.
///
/// ```
/// use varta_observer::ExitCause;
///
/// assert_eq!(ExitCause::Signal(9).to_string(), "killed by signal 9");
/// assert_eq!(ExitCause::Code(7).kind(), 1);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitCause {
    /// The cause is not known.
    Unknown,
    /// It ended with this exit code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl ExitCause {
    /// The variant's number: 0 unknown, 1 code, 2 signal.
    #[must_use]
    pub const fn kind(self) -> u8 {
        match self {
            Self::Unknown => 0,
            Self::Code(_) => 1,
            Self::Signal(_) => 2,
        }
    }
}

impl fmt::Display for ExitCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("cause unknown"),
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.named(Label::EMPTY).fmt(f)
    }
}

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let event = self.event;
        write!(f, "{}: ", Seconds(event.observer_ns))?;
        if let Some(about) = &event.about {
            about.write(self.label, f)?;
            f.write_str(": ")?;
        }
        if let Some(task) = &event.task {
            write!(f, "{task}: ")?;
        }
        event.what.fmt(f)
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(Label::EMPTY, f)
    }
}

impl About {
    fn write(&self, label: Label, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "agent {} (", self.agent)?;
        if !label.is_empty() {
            write!(f, "{label}, ")?;
        }
        match self.pid {
            0 => write!(f, "claims pid {}", self.claimed_pid)?,
            pid if pid == self.claimed_pid => write!(f, "pid {pid}")?,
            pid => write!(f, "pid {pid}, claims pid {}", self.claimed_pid)?,
        }
        if self.origin != Origin::KernelAttested {
            write!(f, ", {}", self.origin)?;
        }
        f.write_str(")")
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {} ({})", self.number, self.name)
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beat { status, payload, nonce, missed, count } => {
                write!(f, "beat, {status}, payload {payload}, ")?;
                match *nonce {
                    varta::NONCE_TERMINAL => f.write_str("last words")?,
                    nonce => write!(f, "nonce {nonce}")?,
                }
                match missed {
                    0 => {}
                    missed => write!(f, ", {missed} missed")?,
                }
                match count {
                    1 => Ok(()),
                    count => write!(f, ", {count} beats"),
                }
            }
            Self::Stall { last_ns, late: Some(late), why, .. } => {
                let (due, at) = (Seconds(late.due_ns), Seconds(*last_ns));
                write!(f, "stall, {} was due at {due}, last call at {at}", late.promise)?;
                match late.checkpoint {
                    0 => {}
                    label => write!(f, ", checkpoint {label}")?,
                }
                write_why(f, why.as_ref())
            }
            Self::Stall { last_nonce, last_ns, deaf, late: None, why } => {
                let at = Seconds(*last_ns);
                write!(f, "stall, last heard at {at} with nonce {last_nonce}")?;
                f.write_str(if *deaf { ", while the queue was full" } else { "" })?;
                write_why(f, why.as_ref())
            }
            Self::Recovered { silent_ns, promise: Promise::Beat } => {
                write!(f, "recovered after {} of silence", Seconds(*silent_ns))
            }
            Self::Recovered { silent_ns, promise } => {
                write!(f, "recovered, {promise} was {} late", Seconds(*silent_ns))
            }
            Self::Exit { cause, last_status } => {
                write!(f, "exit, {cause}, last status {last_status}")
            }
            Self::Decode(error) => write!(f, "no frame, {error}"),
            Self::AuthFailure { claimed_pid, true_pid } => {
                write!(f, "auth failure, pid {true_pid} sent a frame that names {claimed_pid}")
            }
            Self::Io { errno } => write!(f, "socket failed, errno {errno}"),
            Self::Paused { ns } => write!(f, "observer paused for {}", Seconds(*ns)),
            Self::Task { threshold_ns: u64::MAX } => f.write_str("task declared"),
            Self::Task { threshold_ns } => {
                write!(f, "task declared, threshold {}", Seconds(*threshold_ns))
            }
            Self::Ended { how } => write!(f, "task ended, {how}"),
            Self::Violation { rule, count, from, to, by } => {
                write!(f, "violation, {rule}")?;
                match rule {
                    Rule::WrongOrder => write!(f, ", from checkpoint {from} to {to}")?,
                    Rule::TooFew | Rule::TooMany => write!(f, " by {by} beats")?,
                    Rule::TooEarly | Rule::TooLate => write!(f, " by {}", Seconds(*by))?,
                }
                match count {
                    1 => Ok(()),
                    count => write!(f, ", {count} violations"),
                }
            }
            Self::Cause { why } => write!(f, "cause {why}"),
        }
    }
}

fn write_why(f: &mut fmt::Formatter<'_>, why: Option<&Why>) -> fmt::Result {
    why.map_or(Ok(()), |why| write!(f, ", cause {why}"))
}

/// Nanoseconds, displayed as seconds.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03} s", self.0 / 1_000_000_000, self.0 / 1_000_000 % 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::Cause;

    #[test]
    fn an_event_fits_two_cache_lines() {
        assert!(size_of::<Event>() <= 128);
    }

    #[test]
    fn every_kind_has_a_code_a_name_and_a_text() {
        let all = [
            What::Beat { status: Status::Ok, payload: 0, nonce: u64::MAX, missed: 0, count: 1 },
            What::Stall {
                last_nonce: 1,
                last_ns: 1_500_000_000,
                deaf: false,
                late: None,
                why: None,
            },
            What::Stall {
                last_nonce: 1,
                last_ns: 1_500_000_000,
                deaf: true,
                late: None,
                why: None,
            },
            What::Recovered { silent_ns: 999_999, promise: Promise::Beat },
            What::Exit { cause: ExitCause::Code(-1), last_status: Status::Critical },
            What::Decode(DecodeError::BadMagic),
            What::AuthFailure { claimed_pid: 2, true_pid: 3 },
            What::Io { errno: 5 },
            What::Paused { ns: 10_000_000_000 },
            What::Task { threshold_ns: 2_000_000_000 },
            What::Ended { how: Ending::ThreadGone },
            What::Violation { rule: Rule::TooLate, count: 2, from: 0, to: 0, by: 5_000_000 },
            What::Violation { rule: Rule::WrongOrder, count: 1, from: 3, to: 5, by: 0 },
            What::Beat { status: Status::Ok, payload: 0, nonce: 9, missed: 0, count: 20 },
            What::Stall {
                last_nonce: 0,
                last_ns: 1_000_000_000,
                deaf: false,
                late: Some(Late {
                    promise: Promise::Span,
                    due_ns: 1_200_000_000,
                    checkpoint: 7,
                }),
                why: Some(Why { cause: Cause::Lock, thread: 7, other: 8, ..Why::UNKNOWN }),
            },
            What::Recovered { silent_ns: 5_000_000, promise: Promise::Progress },
            What::Cause { why: Why::UNKNOWN },
        ];
        let texts: Vec<_> =
            all.iter().map(|what| format!("{} {} {what}", what.code(), what.name())).collect();
        assert_eq!(
            texts,
            [
                "1 beat beat, ok, payload 0, last words",
                "2 stall stall, last heard at 1.500 s with nonce 1",
                "2 stall stall, last heard at 1.500 s with nonce 1, while the queue was full",
                "3 recovered recovered after 0.000 s of silence",
                "4 exit exit, exit code -1, last status critical",
                "5 decode no frame, bad magic: the bytes do not begin with 56 41",
                "6 auth-failure auth failure, pid 3 sent a frame that names 2",
                "7 io socket failed, errno 5",
                "8 paused observer paused for 10.000 s",
                "9 task task declared, threshold 2.000 s",
                "10 ended task ended, thread-gone",
                "11 violation violation, too-late by 0.005 s, 2 violations",
                "11 violation violation, wrong-order, from checkpoint 3 to 5",
                "1 beat beat, ok, payload 0, nonce 9, 20 beats",
                "2 stall stall, span was due at 1.200 s, last call at 1.000 s, checkpoint 7, \
                 cause lock (guess), thread 7, held by thread 8",
                "3 recovered recovered, progress was 0.005 s late",
                "12 cause cause unknown",
            ]
        );
    }

    #[test]
    fn an_agent_is_described_by_what_is_known() {
        let about = About { agent: 1, pid: 50, claimed_pid: 7, origin: Origin::KernelAttested };
        assert_eq!(about.to_string(), "agent 1 (pid 50, claims pid 7)");
        let sealed = About { pid: 0, origin: Origin::SecureNetwork, ..about };
        assert_eq!(sealed.to_string(), "agent 1 (claims pid 7, secure-network)");
        let event = Event { about: Some(sealed), ..Event::NOTHING };
        let text =
            "0.000 s: agent 1 (index \"a\", claims pid 7, secure-network): observer paused";
        let named = event.named(Label::new(b"index \"a\"")).to_string();
        assert!(named.starts_with(text), "{named}");
    }
}
