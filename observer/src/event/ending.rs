//! How processes and tasks end.

use std::fmt;

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
