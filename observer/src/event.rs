//! What an observer says.

use std::fmt;

use varta::{DecodeError, Status};

/// One thing an observer has to say, about one agent or about itself.
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
    /// Nanoseconds since the observer started, on a clock that also counts suspend. From
    /// one event to the next it never falls.
    pub observer_ns: u64,
    /// Whom it is about, where it is about an agent that is followed.
    pub about: Option<About>,
    /// What happened.
    pub what: What,
}

impl Event {
    /// To fill a buffer with, before a poll does.
    ///
    /// ```
    /// let buffer = [varta_observer::Event::NOTHING; 64];
    /// assert_eq!(buffer[0].about, None);
    /// ```
    pub const NOTHING: Self =
        Self { observer_ns: 0, about: None, what: What::Paused { ns: 0 } };
}

/// An agent, as every event about it names it.
///
/// ```
/// use varta_observer::{About, Origin};
///
/// let away = About { agent: 9, pid: 0, claimed_pid: 77, origin: Origin::Network };
/// assert_eq!(away.to_string(), "agent 9 (claims pid 77, network)");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct About {
    /// The agent's number, from 1, never given twice by one observer.
    pub agent: u64,
    /// Its process id in the observer's namespace; 0 where it has none there.
    pub pid: u32,
    /// The process id its frames name.
    pub claimed_pid: u32,
    /// How it is known who it is.
    pub origin: Origin,
}

/// How it is known who an agent is. Only [`KernelAttested`](Self::KernelAttested) is fit
/// to act on; the others need the operator's explicit word. The numbers are the same in
/// every language.
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
    /// Whoever sent it held a key.
    SecureNetwork = 2,
    /// Anyone may have sent it.
    Network = 3,
}

impl Origin {
    /// The word for it, the same in every language and log.
    ///
    /// ```
    /// assert_eq!(varta_observer::Origin::KernelAttested.name(), "kernel-attested");
    /// ```
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
        /// What the agent says of itself.
        status: Status,
        /// The application's, carried untouched.
        payload: u64,
        /// The frame's.
        nonce: u64,
        /// How many beats between the last one and this one never came; 0 on a first, a
        /// backward and a terminal beat.
        missed: u64,
    },
    /// The agent has been silent for its threshold. Said once per silence.
    Stall {
        /// The last nonce that was not terminal; 0 if there was none.
        last_nonce: u64,
        /// When it was last heard.
        last_ns: u64,
        /// Whether the observer may have missed its beats, because its queue was full each
        /// time that it looked. Such a Stall is not fit to act on.
        deaf: bool,
    },
    /// A stalled agent is back; its beat is the next event.
    Recovered {
        /// How long nothing was heard.
        silent_ns: u64,
    },
    /// The process is gone, and no longer followed.
    Exit {
        /// How it ended.
        cause: ExitCause,
        /// What it said of itself last.
        last_status: Status,
    },
    /// 32 bytes came that are no frame.
    Decode(DecodeError),
    /// A frame named another process than the one that sent it.
    AuthFailure {
        /// The pid in the frame.
        claimed_pid: u32,
        /// The pid the kernel names.
        true_pid: u32,
    },
    /// A socket failed.
    Io {
        /// The operating system's error number.
        errno: i32,
    },
    /// The observer itself came late: it was stopped, suspended or starved. Silences that
    /// began before are forgiven for as long.
    Paused {
        /// For how long.
        ns: u64,
    },
}

impl What {
    /// The word for it.
    ///
    /// ```
    /// assert_eq!(varta_observer::What::Paused { ns: 1 }.name(), "paused");
    /// ```
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

    /// The number for it, from 1 in the order of the variants.
    ///
    /// ```
    /// assert_eq!(varta_observer::What::Io { errno: 104 }.code(), 7);
    /// ```
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
    /// Nobody could tell.
    Unknown,
    /// It ended with this exit code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
}

impl ExitCause {
    /// The variant's number: 0 unknown, 1 code, 2 signal.
    ///
    /// ```
    /// assert_eq!(varta_observer::ExitCause::Unknown.kind(), 0);
    /// ```
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

/// Nanoseconds, for reading.
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
    fn every_kind_has_a_number_a_word_and_a_sentence() {
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
        let said: Vec<_> =
            all.iter().map(|what| format!("{} {} {what}", what.code(), what.name())).collect();
        assert_eq!(
            said,
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
    fn an_agent_is_named_by_what_is_known() {
        let about = About { agent: 1, pid: 50, claimed_pid: 7, origin: Origin::KernelAttested };
        assert_eq!(about.to_string(), "agent 1 (pid 50, claims pid 7)");
        let sealed = About { pid: 0, origin: Origin::SecureNetwork, ..about };
        assert_eq!(sealed.to_string(), "agent 1 (claims pid 7, secure-network)");
    }
}
