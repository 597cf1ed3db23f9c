//! Sends last words when a signal is about to end the process.
#![allow(unsafe_code, reason = "system calls in a signal handler")]

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use varta::LastWords;

/// The number of signals of the kernel, and 0.
const SIGNALS: usize = 65;

/// The previous action of each signal. The actions are never freed.
static BEFORE: [AtomicPtr<libc::sigaction>; SIGNALS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; SIGNALS];

/// The last words. They are never freed, because a handler may be reading them.
static WORDS: AtomicPtr<LastWords> = AtomicPtr::new(ptr::null_mut());

/// The signal for which the last words were sent, so that they are not sent again if it is raised
/// again.
static SENT: AtomicI32 = AtomicI32::new(0);

/// The number of a supported signal. SEGV and BUS are not supported, because V8 uses them
/// itself.
pub(crate) fn number_of(name: &str) -> Option<i32> {
    Some(match name {
        "SIGTERM" => libc::SIGTERM,
        "SIGINT" => libc::SIGINT,
        "SIGHUP" => libc::SIGHUP,
        "SIGQUIT" => libc::SIGQUIT,
        "SIGABRT" => libc::SIGABRT,
        "SIGILL" => libc::SIGILL,
        "SIGTRAP" => libc::SIGTRAP,
        "SIGFPE" => libc::SIGFPE,
        "SIGALRM" => libc::SIGALRM,
        "SIGXCPU" => libc::SIGXCPU,
        _ => return None,
    })
}

/// Makes these signals send last words before they end the process. A signal that the program
/// handles or ignores does not.
pub(crate) fn install(words: Arc<LastWords>, signals: &[i32]) -> io::Result<()> {
    // Never freed, see `WORDS`.
    WORDS.store(Arc::into_raw(words).cast_mut(), Ordering::Release);
    signals.iter().try_for_each(|signal| install_one(*signal))
}

fn install_one(signal: i32) -> io::Result<()> {
    let Some(slot) = usize::try_from(signal).ok().and_then(|at| BEFORE.get(at)) else {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    };
    let mut before = action_of(signal, None)?;
    if before.sa_sigaction == handler_address() {
        return Ok(());
    }
    // Stored before the handler is installed, because it may run at once.
    slot.store(Box::into_raw(Box::new(before)), Ordering::Release);
    let mut ours = before;
    ours.sa_sigaction = handler_address();
    ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
    before = action_of(signal, Some(&ours))?;
    slot.store(Box::into_raw(Box::new(before)), Ordering::Release);
    Ok(())
}

fn handler_address() -> usize {
    let handler: Handler = handle;
    handler as *const () as usize
}

/// Returns the action of a signal, and sets a new one if there is one.
fn action_of(signal: i32, new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut old = MaybeUninit::uninit();
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `new` is null or a valid action, whose handler may run at any time; `old` has room
    // for one.
    if unsafe { libc::sigaction(signal, new, old.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded, so it has written `old`.
    Ok(unsafe { old.assume_init() })
}

type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// The signal handler. It calls only `sigaction`, `raise` and `LastWords::say`, which are safe in a
/// signal handler, and the previous handler.
extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let slot = usize::try_from(signal).ok().and_then(|at| BEFORE.get(at));
    let Some(before) = slot.map(|slot| slot.load(Ordering::Acquire)) else { return };
    // SAFETY: stored actions are never freed, and this one was stored before this handler was
    // installed.
    let Some(before) = (unsafe { before.as_ref() }) else { return };
    let once = before.sa_flags & libc::SA_RESETHAND != 0;
    match before.sa_sigaction {
        libc::SIG_IGN => return,
        libc::SIG_DFL => {
            send_last_words(signal);
            die_of(signal);
            return;
        }
        _ if once => {
            // Node's handler is like this: it cleans up and raises the signal again, and relies on
            // the default action.
            send_last_words(signal);
            restore_default(signal);
        }
        // The program handles it.
        _ => {}
    }
    if before.sa_flags & libc::SA_SIGINFO != 0 {
        // SAFETY: the flag means that the handler has three arguments.
        let handler: Handler = unsafe { std::mem::transmute(before.sa_sigaction) };
        handler(signal, info, context);
    } else {
        // SAFETY: without the flag the handler has one argument.
        let handler: extern "C" fn(i32) = unsafe { std::mem::transmute(before.sa_sigaction) };
        handler(signal);
    }
}

fn send_last_words(signal: i32) {
    if SENT.swap(signal, Ordering::AcqRel) != 0 {
        return;
    }
    // SAFETY: null, or words that are never freed.
    if let Some(words) = unsafe { WORDS.load(Ordering::Acquire).as_ref() } {
        // The outcome does not matter to a process that is crashing.
        let _ = words.say(0);
    }
}

/// Makes the signal end the process. It is blocked until its handler returns.
fn die_of(signal: i32) {
    restore_default(signal);
    // SAFETY: no pointer is passed.
    unsafe { libc::raise(signal) };
}

fn restore_default(signal: i32) {
    // SAFETY: all zeros is the default action without flags.
    let default: libc::sigaction = unsafe { std::mem::zeroed() };
    // If this fails, the current action stays in place, and nothing else can be done.
    let _ = action_of(signal, Some(&default));
}
