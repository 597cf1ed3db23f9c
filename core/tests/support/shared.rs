//! Memory that processes share.

use std::io;
use std::sync::atomic::AtomicU64;

/// Numbers in memory that parent and children share, initially 0. They are never unmapped.
pub(crate) fn shared_numbers<const N: usize>() -> &'static [AtomicU64; N] {
    // SAFETY: asks for new memory at an address that the kernel chooses.
    let memory = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size_of::<[AtomicU64; N]>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    assert_ne!(memory, libc::MAP_FAILED, "{}", io::Error::last_os_error());
    // SAFETY: mapped above, large enough, zeroed, aligned to a page, never unmapped.
    unsafe { &*memory.cast() }
}
