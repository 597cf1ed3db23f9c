//! The outcome of a beat.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind};

/// The outcome of a beat.
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
#[must_use = "this is the only place where a dropped or failed beat is reported"]
pub enum BeatOutcome {
    /// The kernel accepted the datagram, or the beat is in the page that is shared with the
    /// observer.
    Sent,
    /// The beat was not delivered, for a temporary reason. Continue with the work.
    Dropped(DropReason),
    /// The beat was not sent, for a reason that waiting does not fix.
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
#[non_exhaustive]
pub enum DropReason {
    /// The observer's receive queue is full.
    KernelQueueFull = 1,
    /// No observer is bound there, or it has not looked at the shared page for too long.
    NoObserver = 2,
    /// The observer closed its socket.
    PeerGone = 3,
    /// The file system is full.
    StorageFull = 4,
    /// A vital task of this process is late, so its observer must not hear from the process. See
    /// [`TaskOptions::vital`](crate::TaskOptions::vital).
    Withheld = 5,
    /// The outcome of a notification, never of a beat: there is no service manager to notify,
    /// because [notifications are off](crate::Options::notify) or `$NOTIFY_SOCKET` is not set.
    NotConfigured = 6,
}

impl DropReason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::KernelQueueFull,
        Self::NoObserver,
        Self::PeerGone,
        Self::StorageFull,
        Self::Withheld,
        Self::NotConfigured,
    ];
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::KernelQueueFull => "kernel queue full",
            Self::NoObserver => "no observer",
            Self::PeerGone => "peer gone",
            Self::StorageFull => "storage full",
            Self::Withheld => "withheld",
            Self::NotConfigured => "not configured",
        })
    }
}

/// Why a beat failed. It is small, implements `Copy`, and never allocates.
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
    /// The operating system's error number, or [`UNKNOWN_ERRNO`](Self::UNKNOWN_ERRNO).
    pub errno: i32,
    /// The kind, which is always set.
    pub kind: ErrorKind,
}

impl BeatError {
    /// The errno of an error that did not come from the operating system.
    pub const UNKNOWN_ERRNO: i32 = 0;

    /// Converts an error. The errno is also found in errors to which this crate has added
    /// a message.
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

    /// An [`io::Error`] with the same errno, or else the same kind.
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

/// The outcome of a send that returned this error: by its errno if it has one, else by its
/// kind.
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
    // This is the case for almost every failed send; the others may be slower.
    match error.raw_os_error().and_then(reason_of_errno) {
        Some(reason) => BeatOutcome::Dropped(reason),
        None => classify_other_error(error),
    }
}

/// Whether an error only means that no observer is there.
pub(crate) fn is_absence(error: &io::Error) -> bool {
    classify_send_error(error) == BeatOutcome::Dropped(DropReason::NoObserver)
}

#[cold]
fn classify_other_error(error: &io::Error) -> BeatOutcome {
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
    // EWOULDBLOCK equals EAGAIN on every supported platform, so it needs no pattern.
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

/// The errno of each kind of error that this crate makes without the operating system. Every
/// language uses this table; a kind that is not in it is EIO, or in Python an OSError without an
/// errno.
pub const ERRNO_OF_KIND: [(ErrorKind, i32); 11] = [
    (ErrorKind::InvalidInput, libc::EINVAL),
    (ErrorKind::PermissionDenied, libc::EACCES),
    (ErrorKind::AddrInUse, libc::EADDRINUSE),
    (ErrorKind::NotFound, libc::ENOENT),
    (ErrorKind::AlreadyExists, libc::EEXIST),
    (ErrorKind::ConnectionRefused, libc::ECONNREFUSED),
    (ErrorKind::NotConnected, libc::ENOTCONN),
    (ErrorKind::WouldBlock, libc::EAGAIN),
    (ErrorKind::Interrupted, libc::EINTR),
    (ErrorKind::OutOfMemory, libc::ENOMEM),
    (ErrorKind::Unsupported, libc::EOPNOTSUPP),
];

/// The error's own errno, or else that of its kind in [`ERRNO_OF_KIND`].
pub fn errno_or_that_of_kind(error: BeatError) -> Option<i32> {
    if error.errno != BeatError::UNKNOWN_ERRNO {
        return Some(error.errno);
    }
    ERRNO_OF_KIND.iter().find(|(kind, _)| *kind == error.kind).map(|(_, errno)| *errno)
}

/// An error with a message of our own that keeps the errno.
#[derive(Debug)]
struct WithMessage {
    text: String,
    errno: Option<i32>,
}

impl fmt::Display for WithMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for WithMessage {}

/// Puts a description of the failed operation in front of an error.
pub(crate) fn with_context(error: &io::Error, context: impl fmt::Display) -> io::Error {
    with_message(error, format!("{context}: {error}"))
}

/// The same error with another message. [`BeatError::from_io`] still finds its errno.
pub fn with_message(error: &io::Error, text: String) -> io::Error {
    io::Error::new(error.kind(), WithMessage { text, errno: errno(error) })
}

fn errno(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or_else(|| error.get_ref()?.downcast_ref::<WithMessage>()?.errno)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(errno: i32) -> BeatOutcome {
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
            assert_eq!(outcome(errno), Dropped(reason), "errno {errno}");
        }
        for errno in (1..134).filter(|errno| reason_of_errno(*errno).is_none()) {
            let kind = io::Error::from_raw_os_error(errno).kind();
            assert_eq!(outcome(errno), BeatOutcome::Failed(BeatError { errno, kind }));
        }
        assert!(matches!(outcome(libc::ENOMEM), BeatOutcome::Failed(_)));
    }

    #[test]
    fn errno_and_kind_give_the_same_reason() {
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
    fn all_reasons_are_listed_by_number() {
        for (number, reason) in (1..).zip(DropReason::ALL) {
            assert_eq!(reason as u8, number);
        }
        // A new one does not compile here.
        let last = |reason| match reason {
            DropReason::KernelQueueFull
            | DropReason::NoObserver
            | DropReason::PeerGone
            | DropReason::StorageFull
            | DropReason::Withheld => false,
            DropReason::NotConfigured => true,
        };
        assert!(DropReason::ALL.last().is_some_and(|reason| last(*reason)));
    }

    #[test]
    fn an_outcome_is_small_and_an_error_keeps_its_errno_and_context() {
        assert_eq!(size_of::<DropReason>(), 1);
        assert_eq!(size_of::<BeatOutcome>(), 8);
        assert_eq!(outcome(libc::EPIPE).to_string(), "dropped: peer gone");
        let failed = outcome(libc::EPERM).to_string();
        assert_eq!(failed, "failed: Operation not permitted (os error 1)");
        let error = with_context(&io::Error::from_raw_os_error(libc::EPERM), "cannot sing");
        assert_eq!(error.to_string(), "cannot sing: Operation not permitted (os error 1)");
        assert_eq!(with_context(&error, "cannot").kind(), ErrorKind::PermissionDenied);
        assert_eq!(BeatError::from_io(&with_context(&error, "cannot")).errno, libc::EPERM);
    }
}
