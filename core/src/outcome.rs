//! What became of a beat.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

/// What became of a beat.
///
/// ```
/// use varta::{BeatOutcome, DropReason};
///
/// fn worth_a_log_line(outcome: BeatOutcome) -> bool {
///     match outcome {
///         BeatOutcome::Sent => false,
///         BeatOutcome::Dropped(reason) => reason == DropReason::StorageFull,
///         BeatOutcome::Failed(_) => true,
///     }
/// }
/// assert!(!worth_a_log_line(BeatOutcome::Dropped(DropReason::NoObserver)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a beat that was not sent tells so here and nowhere else"]
pub enum BeatOutcome {
    /// The kernel took the datagram.
    Sent,
    /// Nobody has heard it, for a reason that passes. The work goes on.
    Dropped(DropReason),
    /// Something is wrong that waiting does not mend.
    Failed(BeatError),
}

impl fmt::Display for BeatOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent => f.write_str("sent"),
            Self::Dropped(reason) => write!(f, "dropped: {reason}"),
            Self::Failed(error) => write!(f, "failed: {error}"),
        }
    }
}

/// Why a beat was dropped. The numbers are the same in every language.
///
/// ```
/// use varta::DropReason;
///
/// assert_eq!(DropReason::PeerGone as u8, 3);
/// assert_eq!(DropReason::NoObserver.to_string(), "no observer");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum DropReason {
    /// The observer is there, its queue is full.
    KernelQueueFull = 1,
    /// Nobody is bound there.
    NoObserver = 2,
    /// Somebody was there and went away.
    PeerGone = 3,
    /// The file system is full.
    StorageFull = 4,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::KernelQueueFull => "kernel queue full",
            Self::NoObserver => "no observer",
            Self::PeerGone => "peer gone",
            Self::StorageFull => "storage full",
        })
    }
}

/// Why a beat failed: small, copied freely, and never allocating.
///
/// ```
/// use std::io;
/// use varta::BeatError;
///
/// let error = BeatError::from_io(&io::Error::from_raw_os_error(13));
/// assert_eq!((error.errno, error.kind), (13, io::ErrorKind::PermissionDenied));
/// assert_eq!(error.to_io_error().raw_os_error(), Some(13));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BeatError {
    /// The operating system's number, or [`UNKNOWN_ERRNO`](Self::UNKNOWN_ERRNO).
    pub errno: i32,
    /// The kind, always there.
    pub kind: ErrorKind,
}

impl BeatError {
    /// Stands where the error did not come from the operating system.
    ///
    /// ```
    /// let error = varta::BeatError::from_io(&std::io::ErrorKind::InvalidInput.into());
    /// assert_eq!(error.errno, varta::BeatError::UNKNOWN_ERRNO);
    /// ```
    pub const UNKNOWN_ERRNO: i32 = 0;

    /// Keeps of an error what a beat can carry. An errno is found also in the errors
    /// that this crate has put into words.
    ///
    /// ```
    /// use varta::{BeatError, Varta};
    ///
    /// let error = Varta::connect("/nonexistent/varta.sock").unwrap_err();
    /// assert_eq!(BeatError::from_io(&error).errno, 2);
    /// ```
    #[must_use]
    pub fn from_io(error: &io::Error) -> Self {
        Self { errno: errno(error).unwrap_or(Self::UNKNOWN_ERRNO), kind: error.kind() }
    }

    /// An [`io::Error`] of the same errno, or else of the same kind.
    ///
    /// ```
    /// use std::io::ErrorKind;
    ///
    /// let error = varta::BeatError { errno: 0, kind: ErrorKind::InvalidInput };
    /// assert_eq!(error.to_io_error().kind(), ErrorKind::InvalidInput);
    /// ```
    #[must_use]
    pub fn to_io_error(self) -> io::Error {
        match self.errno {
            Self::UNKNOWN_ERRNO => self.kind.into(),
            errno => io::Error::from_raw_os_error(errno),
        }
    }

    pub(crate) const fn of_kind(kind: ErrorKind) -> Self {
        Self { errno: Self::UNKNOWN_ERRNO, kind }
    }
}

impl fmt::Display for BeatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_io_error().fmt(f)
    }
}

impl Error for BeatError {}

/// The outcome that a send's error stands for. By errno where there is one, else by kind.
///
/// ```
/// use std::io;
/// use varta::{BeatOutcome, DropReason, classify_send_error};
///
/// let full = io::Error::from(io::ErrorKind::WouldBlock);
/// assert_eq!(classify_send_error(&full), BeatOutcome::Dropped(DropReason::KernelQueueFull));
/// ```
#[inline]
pub fn classify_send_error(error: &io::Error) -> BeatOutcome {
    // What a send that fails tells almost always; the rest may take its time.
    match error.raw_os_error().and_then(reason_of_errno) {
        Some(reason) => BeatOutcome::Dropped(reason),
        None => classify_with_care(error),
    }
}

/// Whether an error only means that nobody is there.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    classify_send_error(error) == BeatOutcome::Dropped(DropReason::NoObserver)
}

#[cold]
fn classify_with_care(error: &io::Error) -> BeatOutcome {
    let reason = match errno(error) {
        Some(errno) => reason_of_errno(errno),
        None => reason_of_kind(error.kind()),
    };
    match reason {
        Some(reason) => BeatOutcome::Dropped(reason),
        None => BeatOutcome::Failed(BeatError::from_io(error)),
    }
}

#[inline]
fn reason_of_errno(errno: i32) -> Option<DropReason> {
    // EWOULDBLOCK is EAGAIN wherever this builds, and a pattern may not say it twice.
    match errno {
        libc::EAGAIN | libc::ENOBUFS => Some(DropReason::KernelQueueFull),
        libc::ENOENT | libc::ECONNREFUSED => Some(DropReason::NoObserver),
        libc::ECONNRESET | libc::ENOTCONN | libc::EPIPE => Some(DropReason::PeerGone),
        libc::ENOSPC => Some(DropReason::StorageFull),
        _ => None,
    }
}

fn reason_of_kind(kind: ErrorKind) -> Option<DropReason> {
    match kind {
        ErrorKind::WouldBlock => Some(DropReason::KernelQueueFull),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => Some(DropReason::NoObserver),
        ErrorKind::ConnectionReset | ErrorKind::NotConnected | ErrorKind::BrokenPipe => {
            Some(DropReason::PeerGone)
        }
        ErrorKind::StorageFull => Some(DropReason::StorageFull),
        _ => None,
    }
}

/// An error that says what was tried, and keeps the errno.
#[derive(Debug)]
struct InWords {
    text: String,
    errno: Option<i32>,
}

impl fmt::Display for InWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for InWords {}

/// Puts what was tried in front of an error.
pub(crate) fn with_context(error: &io::Error, tried: impl fmt::Display) -> io::Error {
    with_message(error, format!("{tried}: {error}"))
}

/// The same error in better words, with its errno for [`BeatError::from_io`] to find.
pub fn with_message(error: &io::Error, text: String) -> io::Error {
    io::Error::new(error.kind(), InWords { text, errno: errno(error) })
}

fn errno(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or_else(|| error.get_ref()?.downcast_ref::<InWords>()?.errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(errno: i32) -> BeatOutcome {
        classify_send_error(&io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn each_errno_has_its_outcome() {
        use BeatOutcome::Dropped;
        use DropReason::{KernelQueueFull, NoObserver, PeerGone, StorageFull};

        for (errno, reason) in [
            (libc::EAGAIN, KernelQueueFull),
            (libc::EWOULDBLOCK, KernelQueueFull),
            (libc::ENOBUFS, KernelQueueFull),
            (libc::ENOENT, NoObserver),
            (libc::ECONNREFUSED, NoObserver),
            (libc::ECONNRESET, PeerGone),
            (libc::ENOTCONN, PeerGone),
            (libc::EPIPE, PeerGone),
            (libc::ENOSPC, StorageFull),
        ] {
            assert_eq!(of(errno), Dropped(reason), "errno {errno}");
        }
        for errno in (1..134).filter(|errno| reason_of_errno(*errno).is_none()) {
            let kind = io::Error::from_raw_os_error(errno).kind();
            assert_eq!(of(errno), BeatOutcome::Failed(BeatError { errno, kind }));
        }
        assert!(matches!(of(libc::ENOMEM), BeatOutcome::Failed(_)));
    }

    #[test]
    fn errno_and_kind_agree_where_both_know() {
        for errno in 1..134 {
            let kind = io::Error::from_raw_os_error(errno).kind();
            if let (Some(by_errno), Some(by_kind)) =
                (reason_of_errno(errno), reason_of_kind(kind))
            {
                assert_eq!(by_errno, by_kind, "errno {errno}");
            }
        }
        let full = io::Error::from(ErrorKind::StorageFull);
        assert_eq!(classify_send_error(&full), BeatOutcome::Dropped(DropReason::StorageFull));
        let memory = io::Error::from(ErrorKind::OutOfMemory);
        assert!(matches!(classify_send_error(&memory), BeatOutcome::Failed(_)));
    }

    #[test]
    fn small_and_in_words() {
        assert_eq!(size_of::<DropReason>(), 1);
        assert_eq!(size_of::<BeatOutcome>(), 8);
        assert_eq!(of(libc::EPIPE).to_string(), "dropped: peer gone");
        assert_eq!(of(libc::EPERM).to_string(), "failed: Operation not permitted (os error 1)");
        let told = with_context(&io::Error::from_raw_os_error(libc::EPERM), "cannot sing");
        assert_eq!(told.to_string(), "cannot sing: Operation not permitted (os error 1)");
        assert_eq!(with_context(&told, "cannot").kind(), ErrorKind::PermissionDenied);
        assert_eq!(BeatError::from_io(&with_context(&told, "cannot")).errno, libc::EPERM);
    }
}
