//! The crash handler: sends a final beat when a fatal signal ends the process.

mod action;
mod pin;
mod stack;

use std::ffi::{CStr, c_char};
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use varta::LastWords;

use crate::args;
use crate::errors::Failure;
use crate::guard::{self, Code};

/// Crash handler flag: handle SIGTERM too.
pub const VARTA_CRASH_SIGTERM: u32 = 1;

/// An endpoint for the final beat. Never freed, because a signal handler may be using it.
struct Installed {
    sender: LastWords,
    /// As the caller wrote it; None for the default.
    endpoint: Option<Box<CStr>>,
    next: *const Self,
}

/// A list of all of them, the latest first.
static ALL: AtomicPtr<Installed> = AtomicPtr::new(ptr::null_mut());

/// The one to send the final beat to, or null.
static CURRENT: AtomicPtr<Installed> = AtomicPtr::new(ptr::null_mut());

/// Installs signal handlers that send a final beat when a fatal signal ends this process:
/// SIGSEGV, SIGABRT (which includes abort and std::terminate), SIGBUS, SIGILL, SIGFPE and, with
/// VARTA_CRASH_SIGTERM, SIGTERM. The beat has VARTA_STATUS_CRITICAL, VARTA_NONCE_TERMINAL, and
/// the signal's number as payload. Then the signal has its previous effect: the previous handler
/// runs, or the signal ends the process, with a core dump if one is due. A signal that was
/// ignored stays ignored.
///
/// The socket is opened by this call, because a crashing process cannot rely on opening one.
/// Forked children inherit the handlers, and send with their own pid. An exec removes them.
///
/// Call it once in each thread. The first call installs the handlers, and every call gives its
/// thread a signal stack if it has none, so that the final beat is sent even if the thread's own
/// stack has overflowed. A thread that did not call it sends nothing in that case. A call with
/// another endpoint redirects the final beat there.
///
/// If a signal has been reset to its default or ignored since, a further call installs the
/// handler for it again. If other code has installed its own handler since, that handler stays,
/// and is expected to call the one that it replaced.
///
/// After this call the object that contains this code is never unloaded, even if it is a plugin
/// that links libvarta.a.
///
/// endpoint: as for varta_connect; NULL: $VARTA_ENDPOINT, else "/run/varta/varta.sock".
/// flags: VARTA_CRASH_ flags; others are -EINVAL. A flag once set stays in effect.
///
/// Returns 0, or
///     -EINVAL         the endpoint is invalid, or a flag is unknown
///     -ENOENT         there is no socket, or the key file does not exist
///     -ECONNREFUSED   no observer is bound to the socket
///     -EACCES         no permission for the socket or the key file, or others can read the key
///     VARTA_EKEY      the key file does not hold a key
///     -EMFILE         no file descriptor is free
///     -EOPNOTSUPP     the object that contains this code cannot be kept loaded
///     or another error from socket(2), connect(2) or mmap(2)
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_install_crash_handler(
    endpoint: *const c_char,
    flags: u32,
) -> Code {
    guard::answer(|| {
        if flags & !VARTA_CRASH_SIGTERM != 0 {
            return Err(Failure::INVALID);
        }
        // SAFETY: the caller gave a string or NULL.
        let name = (!endpoint.is_null()).then(|| unsafe { CStr::from_ptr(endpoint) });
        let installed = match find(name) {
            Some(installed) => installed,
            None => {
                // SAFETY: the caller gave a string or NULL.
                let endpoint = unsafe { args::endpoint(endpoint) }?;
                add(LastWords::open_at(&endpoint)?, name)
            }
        };
        action::keep_loaded()?;
        stack::ensure_for_thread()?;
        CURRENT.store(ptr::from_ref(installed).cast_mut(), Ordering::Release);
        action::install(flags & VARTA_CRASH_SIGTERM != 0)?;
        Ok(0)
    })
}

fn find(name: Option<&CStr>) -> Option<&'static Installed> {
    let follow = |installed: *const Installed| {
        // SAFETY: null, or leaked by `add` and not changed since.
        unsafe { installed.as_ref() }
    };
    std::iter::successors(follow(ALL.load(Ordering::Acquire)), |this| follow(this.next))
        .find(|installed| installed.endpoint.as_deref() == name)
}

fn add(sender: LastWords, name: Option<&CStr>) -> &'static Installed {
    let mut next = ALL.load(Ordering::Acquire);
    let new =
        Box::into_raw(Box::new(Installed { sender, endpoint: name.map(Box::from), next }));
    while let Err(other) = ALL.compare_exchange(next, new, Ordering::AcqRel, Ordering::Acquire)
    {
        next = other;
        // SAFETY: no other thread can see it before it is in the list.
        unsafe { (*new).next = next };
    }
    // SAFETY: just leaked, and only read from here on.
    unsafe { &*new }
}

/// Sends the final beat for this signal, if an endpoint is installed. Safe in a signal handler.
fn send_final_beat(signal: i32) {
    // SAFETY: null, or leaked by `add`.
    if let Some(installed) = unsafe { CURRENT.load(Ordering::Acquire).as_ref() } {
        // The process ends whether or not the beat was sent.
        let _ = installed.sender.say(signal.unsigned_abs());
    }
}

fn check(answer: i32) -> io::Result<()> {
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
