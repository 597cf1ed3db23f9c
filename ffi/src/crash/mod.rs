//! Last words from a fatal signal.

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

/// Crash handler flag: SIGTERM too.
pub const VARTA_CRASH_SIGTERM: u32 = 1;

/// The endpoints that were ever installed. They are kept for ever: a signal may be using one.
struct Installed {
    words: LastWords,
    /// As the caller wrote it; None for the default.
    endpoint: Option<Box<CStr>>,
    before: *const Self,
}

/// All of them, the latest first.
static ALL: AtomicPtr<Installed> = AtomicPtr::new(ptr::null_mut());

/// The one by which last words are said, or null.
static CURRENT: AtomicPtr<Installed> = AtomicPtr::new(ptr::null_mut());

/// From now on the observer is told when a fatal signal ends this process: SIGSEGV, SIGABRT
/// (and so abort and std::terminate), SIGBUS, SIGILL, SIGFPE, and SIGTERM if asked. It
/// gets VARTA_STATUS_CRITICAL with VARTA_NONCE_TERMINAL, and the signal's number as payload.
/// Then the signal does what it did before: whatever handler was there runs, or the process
/// ends by that signal, with a core dump where there was to be one. A signal that was ignored
/// stays so.
///
/// The socket is opened now; nobody can count on one in a process that is dying. Forked
/// children have the handler too, and name themselves. Programs that exec have it no more.
///
/// Call it once in each thread: the first call installs the handlers, and every call gives
/// its thread a stack of its own for them if it has none, so that the last words are said also
/// when the thread's own stack has overflowed. A thread that did not call it says nothing then.
/// Calling it again with another endpoint moves the last words there.
///
/// Where a signal has been set to its default or ignored since, a further call installs the
/// handler for it again. A handler that somebody else has installed since is left in force,
/// and is expected to call the one it replaced.
///
/// The object that this code is linked into is never unloaded from then on, also if it is a
/// plugin that links libvarta.a.
///
/// endpoint: as for varta_connect; NULL: $VARTA_ENDPOINT, else "/run/varta/varta.sock".
/// flags: VARTA_CRASH_ flags, for the first call that has them; others are -EINVAL.
///
/// Returns 0, or
///     -EINVAL         the endpoint is none, or a flag is unknown
///     -ENOENT         nobody is bound there, or there is no such key file
///     -ECONNREFUSED   nobody is bound there any more
///     -EACCES         the socket or the key file may not be used, or others can read the key
///     VARTA_EKEY      the key file holds no key
///     -EMFILE         no descriptor is left
///     -EOPNOTSUPP     the object with this code cannot be kept loaded
///     and others of socket(2), connect(2) and mmap(2)
/// Threads: any, at any time. Since 0.3.0.
///
/// # Safety
///
/// As the header says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_install_crash_handler(
    endpoint: *const c_char,
    flags: u32,
) -> Code {
    guard::answer(|| {
        if flags & !VARTA_CRASH_SIGTERM != 0 {
            return Err(Failure::INVALID);
        }
        // SAFETY: the caller gave a text or NULL.
        let name = (!endpoint.is_null()).then(|| unsafe { CStr::from_ptr(endpoint) });
        let installed = match find(name) {
            Some(installed) => installed,
            None => {
                // SAFETY: the caller gave a text or NULL.
                let endpoint = unsafe { args::endpoint(endpoint) }?;
                add(LastWords::open_at(&endpoint)?, name)
            }
        };
        action::keep_loaded()?;
        stack::give_to_thread()?;
        CURRENT.store(ptr::from_ref(installed).cast_mut(), Ordering::Release);
        action::install(flags & VARTA_CRASH_SIGTERM != 0)?;
        Ok(0)
    })
}

fn find(name: Option<&CStr>) -> Option<&'static Installed> {
    let follow = |installed: *const Installed| {
        // SAFETY: null, or leaked by `add` and changed by nobody since.
        unsafe { installed.as_ref() }
    };
    std::iter::successors(follow(ALL.load(Ordering::Acquire)), |this| follow(this.before))
        .find(|installed| installed.endpoint.as_deref() == name)
}

fn add(words: LastWords, name: Option<&CStr>) -> &'static Installed {
    let mut before = ALL.load(Ordering::Acquire);
    let new =
        Box::into_raw(Box::new(Installed { words, endpoint: name.map(Box::from), before }));
    while let Err(other) =
        ALL.compare_exchange(before, new, Ordering::AcqRel, Ordering::Acquire)
    {
        before = other;
        // SAFETY: nobody knows of it before it is published.
        unsafe { (*new).before = before };
    }
    // SAFETY: just leaked, and from here on only read.
    unsafe { &*new }
}

/// Says that this signal is the end, if anybody is to be told. A signal handler may.
fn say_last_words(signal: i32) {
    // SAFETY: null, or leaked by `add`.
    if let Some(installed) = unsafe { CURRENT.load(Ordering::Acquire).as_ref() } {
        // Whether they were heard changes nothing for a process that is dying.
        let _ = installed.words.say(signal.unsigned_abs());
    }
}

fn check(answer: i32) -> io::Result<()> {
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
