//! The status that an agent reports.

use core::fmt;
use core::str::FromStr;

/// The state that an agent reports with each beat. The numbers are those on the wire.
///
/// ```
/// use varta::Status;
///
/// assert_eq!(Status::from_wire(1), Some(Status::Degraded));
/// assert_eq!("critical".parse(), Ok(Status::Critical));
/// assert_eq!(Status::Ok.to_string(), "ok");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Status {
    /// Healthy.
    Ok = 0,
    /// Working, but with problems.
    Degraded = 1,
    /// In serious trouble; with [`NONCE_TERMINAL`](crate::NONCE_TERMINAL), the last words.
    Critical = 2,
    /// Silent. Only an observer reports this; it is never sent.
    Stall = 3,
}

impl Status {
    /// The status with this number on the wire.
    #[must_use]
    pub const fn from_wire(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Ok),
            1 => Some(Self::Degraded),
            2 => Some(Self::Critical),
            3 => Some(Self::Stall),
            _ => None,
        }
    }

    /// Its lower-case name, which is the same in every language and log.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Critical => "critical",
            Self::Stall => "stall",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text is not the name of a status.
///
/// ```
/// let error = "fine".parse::<varta::Status>().unwrap_err();
/// assert_eq!(error.to_string(), "not a status: use ok, degraded, critical or stall");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownStatus;

impl fmt::Display for UnknownStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a status: use ok, degraded, critical or stall")
    }
}

impl core::error::Error for UnknownStatus {}

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(word: &str) -> Result<Self, UnknownStatus> {
        [Self::Ok, Self::Degraded, Self::Critical, Self::Stall]
            .into_iter()
            .find(|status| status.name() == word)
            .ok_or(UnknownStatus)
    }
}
