//! The observer: how to make one, configure it and end it.

pub(crate) mod agents;
pub(crate) mod causes;
pub(crate) mod counters;
pub(crate) mod options;
pub(crate) mod polling;
pub(crate) mod slack;
pub(crate) mod tasks;
pub(crate) mod waking;

use std::ffi::{c_char, c_int};
use std::io;
use std::time::Duration;

use ::varta_observer::{Observer, Simulated};

use self::options::varta_observer_options;
use self::waking::Waker;
use crate::agent::failure_with_message;
use crate::args::{self, Message};
use crate::errors::Failure;
use crate::guard::{self, Code};
use crate::handle::Handle;
use crate::sized;

/// An observer, with sockets or simulated. varta_observer_bind or varta_observer_simulate makes
/// it, and varta_observer_close ends it.
#[derive(Debug)]
pub struct varta_observer {
    /// A pointer to this type really points to an `ObserverHandle`.
    _handle: (),
}

/// An observer with sockets has a waker.
pub(crate) type ObserverHandle = Handle<AnyObserver, Option<Waker>>;

/// The value in the handle of an observer.
#[allow(clippy::large_enum_variant, reason = "each is allocated in its own handle")]
pub(crate) enum AnyObserver {
    Bound(Observer),
    Simulated(Simulated),
}

/// The call needs an observer with sockets and this one is simulated, or the reverse.
pub(crate) const OTHER_KIND: Failure = Failure::errno(libc::EOPNOTSUPP);

impl AnyObserver {
    pub(crate) fn bound(&mut self) -> Result<&mut Observer, Failure> {
        match self {
            Self::Bound(observer) => Ok(observer),
            Self::Simulated(_) => Err(OTHER_KIND),
        }
    }

    pub(crate) fn simulated(&mut self) -> Result<&mut Simulated, Failure> {
        match self {
            Self::Simulated(observer) => Ok(observer),
            Self::Bound(_) => Err(OTHER_KIND),
        }
    }
}

/// Runs `body` with the observer, or fails if another call is using it.
///
/// # Safety
///
/// The handle is open, or NULL.
#[inline]
pub(crate) unsafe fn with(
    obs: *mut varta_observer,
    body: impl FnOnce(&mut AnyObserver) -> Result<c_int, Failure>,
) -> Result<c_int, Failure> {
    // SAFETY: as the caller promised.
    unsafe { ObserverHandle::with(obs.cast(), body) }
}

/// Writes a text, truncated to fit and NUL-terminated, and returns the length of the whole text.
pub(crate) type Answer<'a> = dyn Fn(&str) -> c_int + 'a;

/// Runs `body` with the observer, and with what writes its text to `ret`, of `cap` bytes.
///
/// # Safety
///
/// The handle is open, or NULL. `ret` is NULL or points to `cap` writable bytes.
pub(crate) unsafe fn with_text(
    obs: *mut varta_observer,
    ret: *mut c_char,
    cap: usize,
    body: impl FnOnce(&mut AnyObserver, &Answer<'_>) -> Result<c_int, Failure>,
) -> Result<c_int, Failure> {
    let message = Message { to: args::not_null(ret)?, size: cap };
    if cap == 0 {
        return Err(Failure::INVALID);
    }
    let answer = |text: &str| {
        // SAFETY: as the caller promised.
        unsafe { message.write(text) };
        c_int::try_from(text.len()).unwrap_or(c_int::MAX)
    };
    // SAFETY: as the caller promised.
    unsafe { with(obs, |observer| body(observer, &answer)) }
}

/// Makes an observer with `make` from the options, and writes its handle to `ret`.
///
/// # Safety
///
/// `ret` and `opt` are valid pointers or NULL.
pub(crate) unsafe fn make(
    ret: *mut *mut varta_observer,
    opt: *const varta_observer_options,
    make: impl FnOnce(&varta_observer_options) -> Result<(AnyObserver, Option<Waker>), MakeError>,
) -> Result<c_int, Failure> {
    let ret = args::not_null(ret)?;
    // SAFETY: as the caller promised.
    let options = unsafe { sized::read(opt) }?;
    let message = Message { to: options.message, size: options.message_size };
    let mut failure = Failure::INVALID;
    let handle = ObserverHandle::make(|| {
        make(&options).map_err(|error| match error {
            MakeError::Options(reason) => {
                failure = reason;
                io::ErrorKind::InvalidInput.into()
            }
            MakeError::Io(error) => {
                failure = failure_with_message(&error, message);
                error
            }
        })
    });
    match handle {
        Ok(handle) => {
            // SAFETY: ret is not NULL, as checked above.
            unsafe { args::write(ret, handle.cast()) };
            Ok(0)
        }
        Err(error) => Err(error.into()),
    }
}

/// Why an observer could not be made.
pub(crate) enum MakeError {
    Options(Failure),
    Io(io::Error),
}

impl From<Failure> for MakeError {
    fn from(failure: Failure) -> Self {
        Self::Options(failure)
    }
}

impl From<io::Error> for MakeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Makes an observer that listens at an endpoint.
///
/// Polling allocates no memory after this call. A Unix socket gets mode 0600, unless the options
/// set another. If the path has a socket that nobody listens on, it is replaced; any other file
/// is left alone. When the observer is closed, the process that made it removes the socket.
///
/// ret: receives the new handle. The caller owns it and ends it with varta_observer_close.
/// endpoint: where to listen, as for varta_connect. NULL: $VARTA_ENDPOINT, else
///     "/run/varta/varta.sock"; with opt->inherit, only the inherited socket.
/// opt: options, or NULL for the defaults. Not used after the call returns.
///
/// Returns 0, or
///     -EINVAL        ret is NULL, the endpoint is invalid, or an option is unknown or out of range
///     -E2BIG         opt sets fields that this library does not know
///     -EADDRINUSE    an observer is already listening there
///     -EACCES        no permission to bind or to probe the path, or others can read the key
///     -ENOENT        the directory or the key file does not exist
///     -EEXIST        the path exists and is not a socket
///     VARTA_EKEY     the key file does not hold a key
///     -EMFILE        no file descriptor is free
///     -ENOMEM        there is not enough memory for opt->capacity agents
///     or another error from socket(2), bind(2) or epoll_create(2)
/// If opt->message is set, an error message is written there.
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_bind(
    ret: *mut *mut varta_observer,
    endpoint: *const c_char,
    opt: *const varta_observer_options,
) -> Code {
    guard::answer(|| {
        let bind = |options: &varta_observer_options| {
            // SAFETY: the caller's pointers are valid.
            let mut builder = unsafe { options.builder() }?;
            if !endpoint.is_null() || options.inherit == 0 {
                // SAFETY: the caller gave a string or NULL.
                builder = builder.listen(unsafe { args::endpoint(endpoint) }?);
            }
            let (mut observer, waker) = (builder.bind()?, Waker::new()?);
            observer.wake_by(&waker)?;
            Ok((AnyObserver::Bound(observer), Some(waker)))
        };
        // SAFETY: the caller's pointers are valid or NULL.
        unsafe { make(ret, opt, bind) }
    })
}

/// Listens at one more endpoint, as if varta_observer_bind had been given it too. It uses the
/// same socket mode and receive buffer; a key of a udp+secure endpoint is added to those in use.
///
/// obs: from varta_observer_bind.
/// endpoint: as for varta_connect; NULL is -EINVAL.
///
/// Returns 0, an error of varta_observer_bind, or
///     -EBUSY         another call is using this observer
///     -ECHILD        the observer belongs to the parent of this process
///     -EOPNOTSUPP    obs is a simulated observer
///     VARTA_EPANIC   the library has a bug; the observer can only be closed
/// After an error the observer is unchanged.
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_listen(
    obs: *mut varta_observer,
    endpoint: *const c_char,
) -> Code {
    guard::answer(|| {
        if endpoint.is_null() {
            return Err(Failure::INVALID);
        }
        let listen = |observer: &mut AnyObserver| {
            // SAFETY: the caller gave a string.
            let endpoint = unsafe { args::endpoint(endpoint) }?;
            observer.bound()?.listen(endpoint)?;
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, listen) }
    })
}

/// Sets the threshold of one agent. Its silence so far counts towards the new threshold.
///
/// obs: from varta_observer_bind or varta_observer_simulate.
/// agent: the agent's number, as in events.
/// threshold_ns: how long the agent may be silent; 0 is -EINVAL.
///
/// Returns 0, or
///     -EINVAL        obs is NULL, or the threshold is 0
///     -ESRCH         the observer follows no agent with this number
///     -EBUSY         another call is using this observer
///     -ECHILD        the observer belongs to the parent of this process
///     VARTA_EPANIC   the library has a bug; the observer can only be closed
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_set_threshold(
    obs: *mut varta_observer,
    agent: u64,
    threshold_ns: u64,
) -> Code {
    guard::answer(|| {
        if threshold_ns == 0 {
            return Err(Failure::INVALID);
        }
        let set = |observer: &mut AnyObserver| {
            let known = match observer {
                AnyObserver::Bound(observer) => {
                    observer.set_threshold(agent, Duration::from_nanos(threshold_ns))?
                }
                AnyObserver::Simulated(observer) => observer.set_threshold(agent, threshold_ns),
            };
            if known { Ok(0) } else { Err(Failure::errno(libc::ESRCH)) }
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, set) }
    })
}

/// Closes an observer: closes its sockets, and removes the socket files that it made. A forked
/// child leaves its parent's files alone.
///
/// obs: from varta_observer_bind or varta_observer_simulate, or NULL, which is ignored. No other
///     call may be using it, and none may follow; debug builds of the library check that, and
///     abort.
/// Threads: any. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_close(obs: *mut varta_observer) {
    guard::end(|| {
        // SAFETY: the caller gave an open handle or NULL, and this is the last call on it.
        drop(unsafe { ObserverHandle::close(obs.cast()) });
    });
}
