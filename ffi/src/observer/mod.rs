//! The observer: making one, and ending it.

pub(crate) mod agents;
pub(crate) mod counters;
pub(crate) mod options;
pub(crate) mod polling;

use std::ffi::{c_char, c_int};
use std::io;
use std::time::Duration;

use ::varta_observer::{Observer, Simulated};

use self::options::varta_observer_options;
use crate::agent::failure_with_message;
use crate::args::{self, Words};
use crate::errors::Failure;
use crate::guard::{self, Code};
use crate::handle::Handle;
use crate::sized;

/// An observer, over sockets or simulated. Made by varta_observer_bind or
/// varta_observer_simulate, ended by varta_observer_close.
#[derive(Debug)]
pub struct varta_observer {
    /// What a pointer to one leads to is a `Handle<Watcher>`.
    _handle: (),
}

/// What the handle of an observer holds.
#[allow(clippy::large_enum_variant, reason = "each lies in a handle of its own")]
pub(crate) enum Watcher {
    Bound(Observer),
    Simulated(Simulated),
}

/// This observer cannot do that: it has sockets, or it has none.
pub(crate) const OTHER_KIND: Failure = Failure::errno(libc::EOPNOTSUPP);

impl Watcher {
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

/// Uses an observer, unless another call does.
///
/// # Safety
///
/// The handle is open, or NULL.
#[inline]
pub(crate) unsafe fn with(
    obs: *mut varta_observer,
    body: impl FnOnce(&mut Watcher) -> Result<c_int, Failure>,
) -> Result<c_int, Failure> {
    // SAFETY: as the caller promised.
    unsafe { Handle::with(obs.cast(), body) }
}

/// Makes a handle of what `make` makes of the options.
///
/// # Safety
///
/// `ret` leads to room for a handle or is NULL; `opt` leads to options or is NULL.
pub(crate) unsafe fn make(
    ret: *mut *mut varta_observer,
    opt: *const varta_observer_options,
    make: impl FnOnce(&varta_observer_options) -> Result<Watcher, Refused>,
) -> Result<c_int, Failure> {
    let ret = args::room(ret)?;
    // SAFETY: as the caller promised.
    let options = unsafe { sized::read(opt) }?;
    let words = Words { to: options.message, size: options.message_size };
    let mut failure = Failure::INVALID;
    let handle = Handle::make(|| {
        make(&options).map_err(|refused| match refused {
            Refused::Options(why) => {
                failure = why;
                io::ErrorKind::InvalidInput.into()
            }
            Refused::Io(error) => {
                failure = failure_with_message(&error, words);
                error
            }
        })
    });
    match handle {
        Ok(handle) => {
            // SAFETY: there is room, as was checked.
            unsafe { args::write(ret, handle.cast()) };
            Ok(0)
        }
        Err(error) => Err(error.into()),
    }
}

/// Why there is no observer.
pub(crate) enum Refused {
    Options(Failure),
    Io(io::Error),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Options(failure)
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Makes an observer that listens at an endpoint.
///
/// After this it allocates nothing in polling. The socket of a path is made with mode 0600
/// unless the options say otherwise; a dead socket in its place is removed, anything else is
/// left alone. When the observer is closed the file is removed, by the process that made it.
///
/// ret: where the new handle is written. The caller owns it and ends it with
///     varta_observer_close.
/// endpoint: where to listen; as for varta_connect. NULL: $VARTA_ENDPOINT, else
///     "/run/varta/varta.sock"; with opt->inherit, no other place than the inherited socket.
/// opt: options, or NULL for the defaults. Not kept.
///
/// Returns 0, or
///     -EINVAL        ret is NULL, the endpoint is none, or an option is unknown or out of range
///     -E2BIG         opt holds values that this library does not know
///     -EADDRINUSE    an observer is already listening there
///     -EACCES        the place may not be used or not be probed, or others can read the key
///     -ENOENT        the directory or the key file is not there
///     -EEXIST        there is something that is no socket
///     VARTA_EKEY     the key file holds no key
///     -EMFILE        no descriptor is left
///     -ENOMEM        there is not enough memory for opt->capacity agents
///     and others of socket(2), bind(2) and epoll_create(2)
/// With opt->message the reason is also said in words.
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_bind(
    ret: *mut *mut varta_observer,
    endpoint: *const c_char,
    opt: *const varta_observer_options,
) -> Code {
    guard::answer(|| {
        let bind = |options: &varta_observer_options| {
            // SAFETY: what the caller gave leads where it says.
            let mut builder = unsafe { options.builder() }?;
            if !endpoint.is_null() || options.inherit == 0 {
                // SAFETY: the caller gave a text or NULL.
                builder = builder.listen(unsafe { args::endpoint(endpoint) }?);
            }
            Ok(Watcher::Bound(builder.bind()?))
        };
        // SAFETY: the caller gave room and options, or NULL.
        unsafe { make(ret, opt, bind) }
    })
}

/// Listens at one more endpoint, as if the observer had been bound there too: with the same
/// mode and buffer, and for udp+secure with its key beside those that are held.
///
/// obs: from varta_observer_bind.
/// endpoint: as for varta_connect; NULL is -EINVAL.
///
/// Returns 0, or what varta_observer_bind returns, or
///     -EBUSY         another call is on this observer
///     -ECHILD        the observer belongs to the parent of this process
///     -EOPNOTSUPP    it is a simulated one
///     VARTA_EPANIC   a bug was contained; the observer can only be closed
/// After an error nothing has changed.
/// Threads: one at a time for one observer. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_listen(
    obs: *mut varta_observer,
    endpoint: *const c_char,
) -> Code {
    guard::answer(|| {
        if endpoint.is_null() {
            return Err(Failure::INVALID);
        }
        let listen = |watcher: &mut Watcher| {
            // SAFETY: the caller gave a text.
            let endpoint = unsafe { args::endpoint(endpoint) }?;
            watcher.bound()?.listen(endpoint)?;
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, listen) }
    })
}

/// Gives an agent a threshold of its own; its silence so far counts.
///
/// obs: from varta_observer_bind or varta_observer_simulate.
/// agent: its number, as in events.
/// threshold_ns: how long it may be silent; 0 is -EINVAL.
///
/// Returns 0, or
///     -EINVAL        obs is NULL, or the threshold is 0
///     -ESRCH         no agent of this number is followed
///     -EBUSY         another call is on this observer
///     -ECHILD        the observer belongs to the parent of this process
///     VARTA_EPANIC   a bug was contained; the observer can only be closed
/// Threads: one at a time for one observer. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
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
        let set = |watcher: &mut Watcher| {
            let known = match watcher {
                Watcher::Bound(observer) => {
                    observer.set_threshold(agent, Duration::from_nanos(threshold_ns))?
                }
                Watcher::Simulated(observer) => observer.set_threshold(agent, threshold_ns),
            };
            if known { Ok(0) } else { Err(Failure::errno(libc::ESRCH)) }
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with(obs, set) }
    })
}

/// Ends an observer: closes its sockets, and removes the files of those that it bound. In a
/// forked child the parent's are left alone.
///
/// obs: from varta_observer_bind or varta_observer_simulate, or NULL, which is none. No other
///     call may be on it, and none may follow; debug builds of the library check that, and
///     abort.
/// Threads: any. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_close(obs: *mut varta_observer) {
    guard::end(|| {
        // SAFETY: the caller gave an open handle or NULL, and this is the last call on it.
        unsafe { Handle::<Watcher>::close(obs.cast()) };
    });
}
