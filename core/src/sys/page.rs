//! Memory pages whose numbers are zero in a forked child.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::List;

/// How many numbers a page holds.
pub(crate) const SLOTS: usize = 512;

const BYTES: usize = size_of::<[AtomicU64; SLOTS]>();

/// What zeroes the numbers in a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wiping {
    /// The kernel, for every kind of child with its own memory.
    Kernel,
    /// A `pthread_atfork` hook, for children forked through the C library.
    Hook,
    /// Nothing: a fork is detected by calling `getpid`.
    Nobody,
}

/// A page of numbers. A page that turns out not to be needed, because another thread was
/// faster, is unmapped when it is dropped.
pub(crate) struct Page {
    slots: NonNull<[AtomicU64; SLOTS]>,
    pub(crate) wiping: Wiping,
}

// SAFETY: the memory is mapped until the page is dropped and holds nothing but atomics.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    /// Maps a page that is wiped in the best way available.
    pub(crate) fn new() -> io::Result<Self> {
        Self::wiped_by(Wiping::Kernel)
            .or_else(|_| Self::wiped_by(Wiping::Hook))
            .or_else(|_| Self::wiped_by(Wiping::Nobody))
    }

    /// Maps a page that is wiped in the given way.
    pub(crate) fn wiped_by(wiping: Wiping) -> io::Result<Self> {
        let slots = map()?;
        let armed = match wiping {
            Wiping::Kernel => wipe_on_fork(slots),
            Wiping::Hook => hook(slots),
            Wiping::Nobody => Ok(()),
        };
        match armed {
            Ok(()) => Ok(Self { slots, wiping }),
            Err(error) => {
                // SAFETY: the mapping was made above and nothing else refers to it.
                unsafe { libc::munmap(slots.as_ptr().cast(), BYTES) };
                Err(error)
            }
        }
    }

    #[inline]
    pub(crate) fn slots(&self) -> &[AtomicU64; SLOTS] {
        // SAFETY: mapped readable and writable, zeroed, aligned to a page, until dropped.
        unsafe { self.slots.as_ref() }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // The hook keeps wiping the pages in its list.
        if self.wiping != Wiping::Hook {
            // SAFETY: `map` made it, and nothing borrows from the page any more.
            unsafe { libc::munmap(self.slots.as_ptr().cast(), BYTES) };
        }
    }
}

/// Maps new zeroed memory of the size of a `T`.
pub(super) fn map<T>() -> io::Result<NonNull<T>> {
    // SAFETY: maps new memory at an address that the kernel chooses.
    let memory = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size_of::<T>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(memory.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Asks the kernel to zero in a child what `map` mapped.
#[cfg(target_os = "linux")]
pub(super) fn wipe_on_fork<T>(memory: NonNull<T>) -> io::Result<()> {
    let advise = |advice| {
        // SAFETY: the range is our own mapping, and is meant to be wiped in a child.
        unsafe { libc::madvise(memory.as_ptr().cast(), size_of::<T>(), advice) }
    };
    // A user-mode emulator may accept any advice and ignore it.
    const NO_SUCH_ADVICE: libc::c_int = -1;
    if advise(NO_SUCH_ADVICE) == 0 {
        return Err(io::ErrorKind::Unsupported.into());
    }
    match advise(libc::MADV_WIPEONFORK) {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn wipe_on_fork<T>(_: NonNull<T>) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The pages that the hook wipes.
static HOOKED: List<&'static [AtomicU64; SLOTS]> = List::new();

fn hook(slots: NonNull<[AtomicU64; SLOTS]>) -> io::Result<()> {
    static REGISTERED: AtomicBool = AtomicBool::new(false);

    /// Runs in a child, in its only thread, before fork returns.
    extern "C" fn wipe() {
        for slot in HOOKED.iter().copied().flatten() {
            slot.store(0, Ordering::Relaxed);
        }
    }

    if !REGISTERED.load(Ordering::Acquire) {
        // SAFETY: the function exists as long as the library is loaded. If two threads
        // register it at the same time, it wipes twice, which is harmless.
        match unsafe { libc::pthread_atfork(None, None, Some(wipe)) } {
            0 => REGISTERED.store(true, Ordering::Release),
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
    // SAFETY: `map` made it, zeroed and aligned; a hooked page is never unmapped.
    let slots: &'static [AtomicU64; SLOTS] = unsafe { slots.as_ref() };
    HOOKED.find_or_add(|page| ptr::eq(*page, slots), || Ok(slots)).map(|_| ())
}
