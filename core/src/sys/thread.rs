//! The id of the calling thread, without a system call.

use std::cell::Cell;

thread_local! {
    /// 0 until it is known. It has no destructor, so it can be read at any time.
    static ID: Cell<u32> = const { Cell::new(0) };
}

/// The id of the calling thread. In a forked child, [`id_anew`] must have been called by
/// the thread that forked.
#[inline]
pub(crate) fn id() -> u32 {
    match ID.get() {
        0 => id_anew(),
        id => id,
    }
}

/// The same, asked of the kernel.
#[cold]
pub(crate) fn id_anew() -> u32 {
    ID.set(ask_kernel());
    ID.get()
}

#[cfg(target_os = "linux")]
fn ask_kernel() -> u32 {
    // SAFETY: has no arguments and cannot fail.
    unsafe { libc::gettid() }.unsigned_abs()
}

/// Elsewhere threads are not told apart.
#[cfg(not(target_os = "linux"))]
fn ask_kernel() -> u32 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thread_has_its_own_id() {
        let here = id();
        assert_eq!((id(), id_anew()), (here, here));
        let there = std::thread::spawn(id).join().unwrap();
        assert_ne!(here, there);
        let task = format!("/proc/self/task/{here}");
        assert!(!cfg!(target_os = "linux") || std::path::Path::new(&task).exists());
    }
}
