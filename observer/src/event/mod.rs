//! The events of an observer.

mod ending;
mod subject;
mod text;

use std::fmt;

use varta::{DecodeError, Promise, Rule, Status};

pub use self::ending::{Ending, ExitCause};
pub use self::subject::{About, Origin, Task};

use self::text::Named;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_fits_two_cache_lines() {
        assert!(size_of::<Event>() <= 128);
    }
}
