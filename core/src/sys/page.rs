//! Numbers that a forked child finds to be zero.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::List;

/// How many numbers a page holds.
pub(crate) const SLOTS: usize = 512;

const BYTES: usize = size_of::<[AtomicU64; SLOTS]>();

/// Who zeroes the numbers in a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wiping {
    /// The kernel, for every kind of child with memory of its own.
    Kernel,
    /// A hook of the C library, for children made through it.
    Hook,
    /// Nobody: the process id has to be asked for.
    Nobody,
}

/// A page of numbers. What a thread made in vain, because another was faster, is unmapped.
pub(crate) struct Page {
    slots: NonNull<[AtomicU64; SLOTS]>,
    pub(crate) wiping: Wiping,
}

// SAFETY: the memory is mapped until the page is dropped and holds nothing but atomics.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

impl Page {
    /// Maps a page that is wiped in the best way there is.
    pub(crate) fn new() -> io::Result<Self> {
        Self::wiped_by(Wiping::Kernel)
            .or_else(|_| Self::wiped_by(Wiping::Hook))
            .or_else(|_| Self::wiped_by(Wiping::Nobody))
    }

    /// Maps a page that is wiped in this way, or says why it can't be had.
    pub(crate) fn wiped_by(wiping: Wiping) -> io::Result<Self> {
        let slots = map()?;
        let armed = match wiping {
            Wiping::Kernel => ask_kernel(slots),
            Wiping::Hook => hook(slots),
            Wiping::Nobody => Ok(()),
        };
        match armed {
            Ok(()) => Ok(Self { slots, wiping }),
            Err(error) => {
                // SAFETY: the mapping was made above and nobody else knows of it.
                unsafe { libc::munmap(slots.as_ptr().cast(), BYTES) };
                Err(error)
            }
        }
    }

    #[inline]
    pub(crate) fn slots(&self) -> &[AtomicU64; SLOTS] {
        // SAFETY: mapped readable and writable, zeroed, aligned to a page, until it is dropped.
        unsafe { self.slots.as_ref() }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // The hook goes on to wipe one that it knows.
        if self.wiping != Wiping::Hook {
            // SAFETY: `map` made it, and nothing borrows from the page any more.
            unsafe { libc::munmap(self.slots.as_ptr().cast(), BYTES) };
        }
    }
}

fn map() -> io::Result<NonNull<[AtomicU64; SLOTS]>> {
    // SAFETY: asks for new memory at a place of the kernel's choosing.
    let memory = unsafe {
        libc::mmap(
            ptr::null_mut(),
            BYTES,
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

#[cfg(target_os = "linux")]
fn ask_kernel(slots: NonNull<[AtomicU64; SLOTS]>) -> io::Result<()> {
    let advise = |advice| {
        // SAFETY: the range is a mapping of ours; a wipe in a child is what it is for.
        unsafe { libc::madvise(slots.as_ptr().cast(), BYTES, advice) }
    };
    // A user-mode emulator may say yes to any advice; such a yes is worth nothing.
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
fn ask_kernel(_: NonNull<[AtomicU64; SLOTS]>) -> io::Result<()> {
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
        // SAFETY: the function stays as long as the library does. Should two threads
        // register it at once, it wipes twice.
        match unsafe { libc::pthread_atfork(None, None, Some(wipe)) } {
            0 => REGISTERED.store(true, Ordering::Release),
            errno => return Err(io::Error::from_raw_os_error(errno)),
        }
    }
    // SAFETY: `map` made it, zeroed and aligned; a hooked page is never unmapped.
    let slots: &'static [AtomicU64; SLOTS] = unsafe { slots.as_ref() };
    HOOKED.find_or_add(|page| ptr::eq(*page, slots), || Ok(slots)).map(|_| ())
}
