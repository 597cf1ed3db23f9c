//! Platform functions: a bare send, CPU affinity, a number that two processes share, and a
//! counting allocator.

#![allow(unsafe_code, reason = "system calls and an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// The flags of a beat: do not wait, and raise no signal.
pub(crate) const AT_ONCE: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// Calls `send` once, and returns whether the kernel accepted the datagram.
#[inline]
pub(crate) fn send(socket: BorrowedFd<'_>, datagram: &[u8], flags: i32) -> bool {
    // SAFETY: pointer and length are those of a live slice, which is only read.
    let sent = unsafe {
        libc::send(socket.as_raw_fd(), datagram.as_ptr().cast(), datagram.len(), flags)
    };
    sent >= 0
}

/// The CPUs this process may run on.
pub(crate) fn cpus() -> io::Result<Vec<usize>> {
    let mut set = MaybeUninit::<libc::cpu_set_t>::zeroed();
    // SAFETY: pointer and length are those of the set just made; 0 is this thread.
    let answer =
        unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), set.as_mut_ptr()) };
    if answer != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a set is plain bits, and all of them were zeroed.
    let set = unsafe { set.assume_init() };
    let most = 8 * size_of::<libc::cpu_set_t>();
    // SAFETY: `cpu` is within the set.
    Ok((0..most).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect())
}

/// Keeps this thread, and those it starts, on one CPU.
pub(crate) fn stay_on(cpu: usize) -> io::Result<()> {
    stay_on_any(&[cpu])
}

/// Keeps this thread, and those it starts, on these CPUs.
pub(crate) fn stay_on_any(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: a set is plain bits; all zero is the empty one.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for cpu in cpus {
        // SAFETY: `cpus` gave the number, which is within the set.
        unsafe { libc::CPU_SET(*cpu, &mut set) };
    }
    // SAFETY: pointer and length are those of the set just made; 0 is this thread.
    match unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A number for all processes that map this file, of at least eight bytes. It stays mapped.
pub(crate) fn shared_number(file: &File) -> io::Result<&'static AtomicU64> {
    // SAFETY: maps new memory at an address that the kernel chooses.
    let memory = unsafe {
        libc::mmap(
            ptr::null_mut(),
            size_of::<AtomicU64>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED,
            file.as_raw_fd(),
            0,
        )
    };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping is readable, writable, page-aligned and never unmapped, and all
    // processes that share it use it as the same atomic.
    Ok(unsafe { &*memory.cast::<AtomicU64>() })
}

/// The system's allocator, and how many bytes are allocated.
struct Counting {
    bytes: AtomicUsize,
}

#[global_allocator]
static ALLOCATOR: Counting = Counting { bytes: AtomicUsize::new(0) };

/// The number of heap bytes that this process has requested and not freed.
pub(crate) fn heap_bytes() -> usize {
    ALLOCATOR.bytes.load(Ordering::Relaxed)
}

// SAFETY: passes everything on to the system's allocator; the count does not touch its memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.bytes.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller guarantees what the system's allocator requires.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.bytes.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller guarantees what the system's allocator requires.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        self.bytes.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller guarantees what the system's allocator requires.
        unsafe { System.dealloc(memory, layout) }
    }
}
