//! The events of an observer.

use std::fmt;

use varta::{DecodeError, Status};

/// An event: something that happened to one agent or to the observer itself.
///
/// ```
/// use varta_observer::{About, Event, Origin, What};
///
/// let about = About { agent: 3, pid: 4321, claimed_pid: 4321, origin: Origin::KernelAttested };
/// let event = Event {
///     observer_ns: 2_500_000_000,
///     about: Some(about),
///     what: What::Stall { last_nonce: 17, last_ns: 500_000_000, deaf: false },
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
    /// What happened.
    pub what: What,
}

impl Event {
    /// A placeholder to initialize a buffer for a poll.
    pub const NOTHING: Self =
        Self { observer_ns: 0, about: None, what: What::Paused { ns: 0 } };
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
/// let what = What::Beat { status: Status::Ok, payload: 7, nonce: 12, missed: 1 };
/// assert_eq!((what.code(), what.name()), (1, "beat"));
/// assert_eq!(what.to_string(), "beat, ok, payload 7, nonce 12, 1 missed");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A beat was accepted.
    Beat {
        /// The status that the agent reports.
        status: Status,
        /// The application's payload, unchanged.
        payload: u64,
        /// The nonce of the frame.
        nonce: u64,
        /// How many beats between the last one and this one never arrived; 0 for a first, a
        /// backward and a terminal beat.
        missed: u64,
    },
    /// The agent has been silent for its threshold. Reported once per silence.
    Stall {
        /// The last nonce that was not terminal; 0 if there was none.
        last_nonce: u64,
        /// When its last beat was received.
        last_ns: u64,
        /// Whether the observer may have missed beats of the agent, because its queue was full
        /// at every look. Such a Stall is not safe to act on.
        deaf: bool,
    },
    /// A stalled agent is back; its beat is the next event.
    Recovered {
        /// How long the agent was silent.
        silent_ns: u64,
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
        write!(f, "{}: ", Seconds(self.observer_ns))?;
        if let Some(about) = &self.about {
            write!(f, "{about}: ")?;
        }
        self.what.fmt(f)
    }
}

impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "agent {} (", self.agent)?;
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

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Beat { status, payload, nonce, missed } => {
                write!(f, "beat, {status}, payload {payload}, ")?;
                match *nonce {
                    varta::NONCE_TERMINAL => f.write_str("last words")?,
                    nonce => write!(f, "nonce {nonce}")?,
                }
                match missed {
                    0 => Ok(()),
                    missed => write!(f, ", {missed} missed"),
                }
            }
            Self::Stall { last_nonce, last_ns, deaf } => {
                let at = Seconds(*last_ns);
                write!(f, "stall, last heard at {at} with nonce {last_nonce}")?;
                f.write_str(if *deaf { ", while the queue was full" } else { "" })
            }
            Self::Recovered { silent_ns } => {
                write!(f, "recovered after {} of silence", Seconds(*silent_ns))
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
        }
    }
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

    #[test]
    fn an_event_fills_one_cache_line() {
        assert_eq!(size_of::<Event>(), 64);
    }

    #[test]
    fn every_kind_has_a_code_a_name_and_a_text() {
        let all = [
            What::Beat { status: Status::Ok, payload: 0, nonce: u64::MAX, missed: 0 },
            What::Stall { last_nonce: 1, last_ns: 1_500_000_000, deaf: false },
            What::Stall { last_nonce: 1, last_ns: 1_500_000_000, deaf: true },
            What::Recovered { silent_ns: 999_999 },
            What::Exit { cause: ExitCause::Code(-1), last_status: Status::Critical },
            What::Decode(DecodeError::BadMagic),
            What::AuthFailure { claimed_pid: 2, true_pid: 3 },
            What::Io { errno: 5 },
            What::Paused { ns: 10_000_000_000 },
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
            ]
        );
    }

    #[test]
    fn an_agent_is_described_by_what_is_known() {
        let about = About { agent: 1, pid: 50, claimed_pid: 7, origin: Origin::KernelAttested };
        assert_eq!(about.to_string(), "agent 1 (pid 50, claims pid 7)");
        let sealed = About { pid: 0, origin: Origin::SecureNetwork, ..about };
        assert_eq!(sealed.to_string(), "agent 1 (claims pid 7, secure-network)");
    }
}
