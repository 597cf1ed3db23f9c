//! Processes that share memory with a simulated observer.

use std::ffi::{c_char, c_int};
use std::sync::atomic::Ordering;

use ::varta_observer::judge::{Attaching, PageIndex};
use ::varta_observer::{Label, Simulated};
use varta::internal::lane::layout::{self, Line};

use crate::args;
use crate::errors::Failure;
use crate::guard::{self, Code};
use crate::observer::{self, AnyObserver, varta_observer};
use crate::sized::{self, OutputArray, Sized};

/// A process that asks a simulated observer for a page of shared memory. Initialise with
/// VARTA_ATTACHING_INIT.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_attaching {
    /// sizeof(varta_attaching).
    pub size: u32,
    /// Its process id in the observer's namespace; 0 if it has none there.
    pub pid: u32,
    /// Its user id.
    pub uid: u32,
    /// The process id that it claims; 0 for the same as pid.
    pub claimed_pid: u32,
    /// A number that no other process ever has, like the inode of a pidfd; 0 if unknown.
    pub process: u64,
    /// The last nonce that it has used. Its beats are counted from there.
    pub nonce: u64,
    /// Its monotonic clock less the observer's: 0 unless it is in another time namespace.
    pub clock_offset_ns: i64,
}

// SAFETY: it begins with its size and holds numbers.
unsafe impl Sized for varta_attaching {
    const ZERO: Self = Self {
        size: 0,
        pid: 0,
        uid: 0,
        claimed_pid: 0,
        process: 0,
        nonce: 0,
        clock_offset_ns: 0,
    };
}

/// A page that a simulated observer gave to a process. Initialise with VARTA_PAGE_INIT.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct varta_page {
    /// sizeof(varta_page).
    pub size: u32,
    /// The number of the page, until it is given up.
    pub page: u32,
    /// The threshold of the process.
    pub threshold_ns: u64,
    /// 1 if the lines of its tasks are read, else 0.
    pub tasks: u32,
    /// Zero.
    pub reserved: u32,
}

// SAFETY: it begins with its size and holds numbers.
unsafe impl Sized for varta_page {
    const ZERO: Self = Self { size: 0, page: 0, threshold_ns: 0, tasks: 0, reserved: 0 };
}

/// A process asks a simulated observer for a page of shared memory, which varta_connect does by
/// itself. Both have one clock: times in the page are in nanoseconds since the observer started.
///
/// obs: from varta_observer_simulate, with VARTA_OBSERVER_LANE.
/// at_ns: as for varta_observer_feed.
/// process: the process. Not used after the call returns.
/// ret: receives the page; initialise it with VARTA_PAGE_INIT.
///
/// Returns 0, an error of varta_observer_feed, or if the process may not have a page, the reason:
///     -EACCES   its user, its pid or its pid namespace is not admitted
///     -ENOSPC   the process or the observer has as many pages as it may have
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_feed_attach(
    obs: *mut varta_observer,
    at_ns: u64,
    process: *const varta_attaching,
    ret: *mut varta_page,
) -> Code {
    guard::answer(|| {
        if process.is_null() {
            return Err(Failure::INVALID);
        }
        // SAFETY: the caller gave a struct.
        let process = unsafe { sized::read(process) }?;
        // SAFETY: the caller gave a struct or NULL.
        let output = unsafe { OutputArray::new(ret) }?;
        let attaching = Attaching {
            pid: process.pid,
            uid: process.uid,
            process: Some(process.process).filter(|process| *process != 0),
            claimed_pid: if process.claimed_pid == 0 {
                process.pid
            } else {
                process.claimed_pid
            },
            nonce: process.nonce,
            clock_offset: process.clock_offset_ns,
        };
        let attach = |observer: &mut AnyObserver| {
            let attached = observer
                .simulated()?
                .attach(at_ns, &attaching)
                .map_err(|refusal| Failure::errno(refusal.errno))?;
            let index = attached.page.index();
            let page = varta_page {
                page: u32::try_from(index).map_err(|_| Failure::errno(libc::EOVERFLOW))?,
                threshold_ns: attached.threshold_ns,
                tasks: attached.tasks.into(),
                ..varta_page::ZERO
            };
            // SAFETY: the array has one element.
            unsafe { output.write(0, &page) };
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { observer::with(obs, attach) }
    })
}

/// Runs `body` with the page that has this number, or fails if no process has it.
///
/// # Safety
///
/// The handle is open, or NULL.
unsafe fn with_page(
    obs: *mut varta_observer,
    page: u32,
    body: impl FnOnce(&mut Simulated, PageIndex) -> Result<(), Failure>,
) -> Result<i32, Failure> {
    let on_page = |observer: &mut AnyObserver| {
        let (simulated, page) = (observer.simulated()?, PageIndex::from_index(page));
        if simulated.page(page).is_none() {
            return Err(Failure::INVALID);
        }
        body(simulated, page)?;
        Ok(0)
    };
    // SAFETY: as the caller promised.
    unsafe { observer::with(obs, on_page) }
}

/// Tells a simulated observer that the process has mapped its page, which is then looked at for the
/// first time.
///
/// obs: from varta_observer_simulate.
/// at_ns: as for varta_observer_feed.
/// page: the number of the page, from varta_observer_feed_attach.
///
/// Returns 0; -EINVAL if no process has this page; or an error of varta_observer_feed.
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_feed_mapped(
    obs: *mut varta_observer,
    at_ns: u64,
    page: u32,
) -> Code {
    guard::answer(|| {
        let mapped = |simulated: &mut Simulated, page| {
            simulated.mapped(at_ns, page);
            Ok(())
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with_page(obs, page, mapped) }
    })
}

/// Tells a simulated observer that a process asks it to look at its page, which agents do when
/// something cannot wait.
///
/// obs, at_ns, page: as for varta_observer_feed_mapped.
///
/// Returns what varta_observer_feed_mapped returns.
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_feed_bell(
    obs: *mut varta_observer,
    at_ns: u64,
    page: u32,
) -> Code {
    guard::answer(|| {
        let bell = |simulated: &mut Simulated, page| {
            simulated.bell(at_ns, page);
            Ok(())
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with_page(obs, page, bell) }
    })
}

/// Tells a simulated observer that a process gives up its page, for example by calling exec.
///
/// obs, at_ns, page: as for varta_observer_feed_mapped.
///
/// Returns what varta_observer_feed_mapped returns.
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_feed_detach(
    obs: *mut varta_observer,
    at_ns: u64,
    page: u32,
) -> Code {
    guard::answer(|| {
        let detach = |simulated: &mut Simulated, page| {
            simulated.detach(at_ns, page);
            Ok(())
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with_page(obs, page, detach) }
    })
}

/// Writes lines of a page of a simulated observer, as a process would. The observer finds them at
/// its next look. This is for tests of observers; docs/lane.md describes the lines.
///
/// obs: from varta_observer_simulate.
/// page: the number of the page, from varta_observer_feed_attach.
/// pair: 0 for the process itself, 1 to 31 for its tasks; others are -EINVAL.
/// cold: the eight words of the pair's cold line, or NULL to leave it as it is.
/// hot: the eight words of its hot line, or NULL.
///
/// Returns what varta_observer_feed_mapped returns.
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_feed_line(
    obs: *mut varta_observer,
    page: u32,
    pair: u32,
    cold: *const u64,
    hot: *const u64,
) -> Code {
    guard::answer(|| {
        let write = |simulated: &mut Simulated, page: PageIndex| {
            let words = simulated.page(page).ok_or(Failure::INVALID)?;
            let lines = layout::lines(words, page.offset(), pair).ok_or(Failure::INVALID)?;
            for (line, words) in [(lines.0, cold), (lines.1, hot)] {
                if !words.is_null() {
                    // SAFETY: the caller gave eight words.
                    store(line, unsafe { args::values(words, line.len()) }?);
                }
            }
            Ok(())
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { with_page(obs, page, write) }
    })
}

fn store(line: &Line, words: &[u64]) {
    for (place, word) in line.iter().zip(words) {
        place.store(*word, Ordering::Relaxed);
    }
}

/// Passes a name to a simulated observer.
///
/// # Safety
///
/// The handle is open, or NULL. `name` is a string that ends in NUL, or NULL.
unsafe fn set_name(
    obs: *mut varta_observer,
    name: *const c_char,
    set: impl FnOnce(&mut Simulated, &str),
) -> Result<c_int, Failure> {
    // SAFETY: as the caller promised.
    let name = unsafe { args::text(name) }?.ok_or(Failure::INVALID)?;
    let set = |observer: &mut AnyObserver| {
        set(observer.simulated()?, name);
        Ok(0)
    };
    // SAFETY: as the caller promised.
    unsafe { observer::with(obs, set) }
}

/// Tells a simulated observer which program a process runs, before it hears of the process. It is
/// the name in varta_agent_info and the one for slack.
///
/// obs: from varta_observer_simulate.
/// pid: the process.
/// name: the name of its program, of which 15 bytes are kept.
///
/// Returns 0; -EINVAL if name is NULL or not UTF-8; or an error of varta_observer_feed.
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_feed_program(
    obs: *mut varta_observer,
    pid: u32,
    name: *const c_char,
) -> Code {
    guard::answer(|| {
        let set = |observer: &mut Simulated, name: &str| observer.set_program(pid, name);
        // SAFETY: the caller gave an open handle or NULL, and a string or NULL.
        unsafe { set_name(obs, name, set) }
    })
}

/// Tells a simulated observer which name a process declares. It is the label of its agent from now
/// on; without it, that is the name of its program.
///
/// obs: from varta_observer_simulate.
/// pid: the process.
/// name: the name, of which 63 bytes are kept, cleaned so that it is safe to print.
///
/// Returns 0; -EINVAL if name is NULL or not UTF-8; or an error of varta_observer_feed.
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_feed_name(
    obs: *mut varta_observer,
    pid: u32,
    name: *const c_char,
) -> Code {
    guard::answer(|| {
        let set = |observer: &mut Simulated, name: &str| {
            observer.set_name(pid, Label::new(name.as_bytes()));
        };
        // SAFETY: the caller gave an open handle or NULL, and a string or NULL.
        unsafe { set_name(obs, name, set) }
    })
}

/// Tells a simulated observer that a thread of a process has ended. A task of that thread which
/// breaks a promise has then ended, instead of a stall.
///
/// obs: from varta_observer_simulate.
/// pid: the process.
/// thread: the id of the thread.
///
/// Returns 0, or an error of varta_observer_feed.
/// Threads: one call at a time per observer. Since 0.3.0.
///
/// # Safety
///
/// The pointers are valid as documented above.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn varta_observer_feed_thread_gone(
    obs: *mut varta_observer,
    pid: u32,
    thread: u32,
) -> Code {
    guard::answer(|| {
        let gone = |observer: &mut AnyObserver| {
            observer.simulated()?.thread_gone(pid, thread);
            Ok(0)
        };
        // SAFETY: the caller gave an open handle or NULL.
        unsafe { observer::with(obs, gone) }
    })
}
