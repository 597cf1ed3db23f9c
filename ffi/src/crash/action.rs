//! The signal handler: sends the final beat, then lets the signal have its previous effect.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::{self, MaybeUninit};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use super::{check, pin, send_final_beat};

const SIGNALS: [c_int; 6] =
    [libc::SIGSEGV, libc::SIGABRT, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTERM];

/// The size of the kernel's signal set. MIPS has twice as many signals.
const MASK_BYTES: usize =
    if cfg!(any(target_arch = "mips", target_arch = "mips64")) { 16 } else { 8 };

/// The previous action of a signal. Stored before our handler can run, and never freed.
struct Before {
    action: libc::sigaction,
    /// Whether our handler has replaced it. A fork may happen between the two steps.
    replaced: AtomicBool,
}

static BEFORE: [AtomicPtr<Before>; SIGNALS.len()] =
    [const { AtomicPtr::new(ptr::null_mut()) }; SIGNALS.len()];

pub(super) fn install(term_too: bool) -> io::Result<()> {
    for (signal, place) in SIGNALS.into_iter().zip(&BEFORE) {
        if signal != libc::SIGTERM || term_too {
            install_one(signal, place)?;
        }
    }
    Ok(())
}

/// Makes sure that the handler is not unloaded.
pub(super) fn keep_loaded() -> io::Result<()> {
    pin::keep_loaded(on_signal as *const c_void)
}

fn install_one(signal: c_int, place: &AtomicPtr<Before>) -> io::Result<()> {
    let now = in_force(signal)?;
    if now.sa_sigaction == on_signal as *const () as libc::sighandler_t {
        return Ok(());
    }
    let lost = matches!(now.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN);
    // SAFETY: null, or leaked by `remember`.
    let before = match unsafe { place.load(Ordering::Acquire).as_ref() } {
        // A handler that replaced ours is expected to call ours, so ours must not call it.
        Some(before) if before.replaced.load(Ordering::Acquire) && !lost => return Ok(()),
        Some(before) if !before.replaced.load(Ordering::Acquire) => before,
        known => remember(now, place, known),
    };
    // An ignored SIGTERM does not end the process.
    if signal == libc::SIGTERM && before.action.sa_sigaction == libc::SIG_IGN {
        return Ok(());
    }
    // SAFETY: a sigaction of zeros is valid.
    let mut ours: libc::sigaction = unsafe { mem::zeroed() };
    ours.sa_sigaction = on_signal as *const () as libc::sighandler_t;
    // The previous handler decides whether system calls restart after the signal.
    ours.sa_flags =
        libc::SA_SIGINFO | libc::SA_ONSTACK | (before.action.sa_flags & libc::SA_RESTART);
    for other in SIGNALS {
        // SAFETY: writes to `ours`.
        unsafe { libc::sigaddset(&raw mut ours.sa_mask, other) };
    }
    // SAFETY: the handler calls only what a signal handler may call.
    check(unsafe { libc::sigaction(signal, &raw const ours, ptr::null_mut()) })?;
    before.replaced.store(true, Ordering::Release);
    Ok(())
}

fn in_force(signal: c_int) -> io::Result<libc::sigaction> {
    let mut action = MaybeUninit::uninit();
    // SAFETY: only writes to `action`.
    check(unsafe { libc::sigaction(signal, ptr::null(), action.as_mut_ptr()) })?;
    // SAFETY: written just above.
    Ok(unsafe { action.assume_init() })
}

/// Stores the current action as the previous one, unless another thread was faster. The
/// replaced value is never freed, because a signal handler may be using it.
fn remember(
    action: libc::sigaction,
    place: &AtomicPtr<Before>,
    known: Option<&Before>,
) -> &'static Before {
    let known = known.map_or(ptr::null_mut(), |known| ptr::from_ref(known).cast_mut());
    let new = Box::into_raw(Box::new(Before { action, replaced: AtomicBool::new(false) }));
    let kept = match place.compare_exchange(known, new, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => new,
        Err(others) => {
            // SAFETY: made above, and not shared.
            drop(unsafe { Box::from_raw(new) });
            others
        }
    };
    // SAFETY: leaked, and only read from here on.
    unsafe { &*kept }
}

/// Everything from here on must be async-signal-safe.
extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let place = SIGNALS.iter().zip(&BEFORE).find(|(known, _)| **known == signal);
    // SAFETY: null, or leaked by `remember`.
    let before = place.and_then(|(_, b)| unsafe { b.load(Ordering::Acquire).as_ref() });
    let Some(before) = before else { return };
    let is_fault = !matches!(signal, libc::SIGTERM | libc::SIGABRT);
    // A signal from asynchronous I/O (F_SETSIG) has an si_code like that of a fault.
    // SAFETY: the kernel passed it.
    let was_sent = !is_fault || unsafe { info.as_ref() }.is_none_or(|info| info.si_code <= 0);
    let ignored = before.action.sa_sigaction == libc::SIG_IGN;
    if ignored && was_sent && signal != libc::SIGABRT {
        return;
    }
    // SAFETY: the thread's own.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let saved = unsafe { errno.read() };
    send_final_beat(signal);
    // SAFETY: as above.
    unsafe { errno.write(saved) };
    match before.action.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => die(signal, was_sent && !ignored),
        // SAFETY: the arguments are those that the kernel passed.
        _ => unsafe { chain(&before.action, signal, info, context) },
    }
}

/// Makes this signal end the process as soon as the handler returns. A fault happens again, so
/// that a core dump shows where; a signal that was sent is sent again.
fn die(signal: c_int, send: bool) {
    set_default(signal);
    if !send {
        return;
    }
    // SAFETY: only reads numbers.
    let (process, thread) = (unsafe { libc::getpid() }, unsafe { libc::gettid() });
    // SAFETY: sends a signal to this thread, where it is blocked until the handler returns.
    unsafe { libc::syscall(libc::SYS_tgkill, process, thread, signal) };
}

fn set_default(signal: c_int) {
    // SAFETY: a sigaction of zeros is the default action.
    let default: libc::sigaction = unsafe { mem::zeroed() };
    // SAFETY: the default action has no handler.
    unsafe { libc::sigaction(signal, &raw const default, ptr::null_mut()) };
}

/// Runs the previous handler as the kernel would have.
///
/// # Safety
///
/// The arguments are those of a signal handler that is running.
unsafe fn chain(
    before: &libc::sigaction,
    signal: c_int,
    info: *mut libc::siginfo_t,
    context: *mut c_void,
) {
    if !context.is_null() {
        let context = context.cast::<libc::ucontext_t>();
        // SAFETY: a set of zeros is valid.
        let mut mask: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: the kernel passed the context. It is shorter than the C library's type, so
        // no reference to it may be made.
        let from = unsafe { &raw const (*context).uc_sigmask };
        // SAFETY: the kernel stored the thread's mask there, and it has this many bytes.
        unsafe {
            ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut mask).cast(), MASK_BYTES)
        };
        for other in 1..=libc::SIGRTMAX() {
            // SAFETY: reads a set.
            let blocked = unsafe { libc::sigismember(&raw const before.sa_mask, other) } == 1;
            if blocked || (other == signal && before.sa_flags & libc::SA_NODEFER == 0) {
                // SAFETY: writes to a local set.
                unsafe { libc::sigaddset(&raw mut mask, other) };
            }
        }
        // SAFETY: reads the set; the kernel restores the thread's mask after the handler.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const mask, ptr::null_mut()) };
    }
    if before.sa_flags & libc::SA_RESETHAND != 0 {
        set_default(signal);
    }
    if before.sa_flags & libc::SA_SIGINFO != 0 {
        type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
        // SAFETY: it is neither SIG_DFL nor SIG_IGN, so it is a handler, of this type.
        let handler: Handler = unsafe { mem::transmute(before.sa_sigaction) };
        handler(signal, info, context);
    } else {
        // SAFETY: as above, of the other type.
        let handler: extern "C" fn(c_int) = unsafe { mem::transmute(before.sa_sigaction) };
        handler(signal);
    }
}
