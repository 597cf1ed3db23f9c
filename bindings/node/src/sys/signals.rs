//! Last words from a signal that is about to end the process.
#![allow(unsafe_code, reason = "system calls, and what may be done in a signal handler")]

use std::io;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

use varta::LastWords;

/// As many as the kernel has, and 0.
const SIGNALS: usize = 65;

/// What was there before, for each signal. What is pointed to lives as long as the process.
static BEFORE: [AtomicPtr<libc::sigaction>; SIGNALS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; SIGNALS];

/// What to say. What is pointed to lives as long as the process: a handler may be reading it.
static WORDS: AtomicPtr<LastWords> = AtomicPtr::new(ptr::null_mut());

/// The signal whose words have been said, so that one that comes again in dying is not told
/// of twice.
static SAID: AtomicI32 = AtomicI32::new(0);

/// The number of a signal that may be told of. Those by which V8 finds out about the code it
/// runs (SEGV, BUS) are its own.
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

/// From now on these signals say it before they end the process. One that the program
/// handles or ignores is left to it.
pub(crate) fn install(words: Arc<LastWords>, signals: &[i32]) -> io::Result<()> {
    // Never freed: see above.
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
    // It must be there when the handler first runs, which may be at once.
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

/// What a signal does; from then on it does what is given.
fn action_of(signal: i32, new: Option<&libc::sigaction>) -> io::Result<libc::sigaction> {
    let mut old = MaybeUninit::uninit();
    let new = new.map_or(ptr::null(), ptr::from_ref);
    // SAFETY: `new` is null or a whole action, whose handler may run at any time; `old` is
    // room for one.
    if unsafe { libc::sigaction(signal, new, old.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call went well and so has written it.
    Ok(unsafe { old.assume_init() })
}

type Handler = extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void);

/// Runs in a signal handler: it calls `sigaction`, `raise` and `LastWords::say`, all of which
/// may be, and what was there before.
extern "C" fn handle(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let slot = usize::try_from(signal).ok().and_then(|at| BEFORE.get(at));
    let Some(before) = slot.map(|slot| slot.load(Ordering::Acquire)) else { return };
    // SAFETY: what is stored lives as long as the process, and it was stored before this
    // handler was installed.
    let Some(before) = (unsafe { before.as_ref() }) else { return };
    let once = before.sa_flags & libc::SA_RESETHAND != 0;
    match before.sa_sigaction {
        libc::SIG_IGN => return,
        libc::SIG_DFL => {
            say(signal);
            die_of(signal);
            return;
        }
        _ if once => {
            // It counts on the default, as Node's does, which cleans up and raises again.
            say(signal);
            restore_default(signal);
        }
        // The program handles it.
        _ => {}
    }
    if before.sa_flags & libc::SA_SIGINFO != 0 {
        // SAFETY: the flag says that it is a handler of three arguments.
        let handler: Handler = unsafe { std::mem::transmute(before.sa_sigaction) };
        handler(signal, info, context);
    } else {
        // SAFETY: without the flag it is one of a single argument.
        let handler: extern "C" fn(i32) = unsafe { std::mem::transmute(before.sa_sigaction) };
        handler(signal);
    }
}

fn say(signal: i32) {
    if SAID.swap(signal, Ordering::AcqRel) != 0 {
        return;
    }
    // SAFETY: null, or words that live as long as the process.
    if let Some(words) = unsafe { WORDS.load(Ordering::Acquire).as_ref() } {
        // Whether they were heard changes nothing for a process that is dying.
        let _ = words.say(0);
    }
}

/// Has the signal, which is blocked while its handler runs, end the process right after it.
fn die_of(signal: i32) {
    restore_default(signal);
    // SAFETY: no pointer is passed.
    unsafe { libc::raise(signal) };
}

fn restore_default(signal: i32) {
    // SAFETY: all zeros is the default action without flags.
    let default: libc::sigaction = unsafe { std::mem::zeroed() };
    // If it fails, the one that was there stays, and there is nothing better to do.
    let _ = action_of(signal, Some(&default));
}
