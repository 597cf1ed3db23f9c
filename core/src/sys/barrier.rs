//! A memory barrier that one thread makes for all threads of the process, so that the others need
//! none.

use std::sync::atomic::{AtomicBool, Ordering};

// From linux/membarrier.h.
const PRIVATE_EXPEDITED: libc::c_long = 1 << 3;
const REGISTER_PRIVATE_EXPEDITED: libc::c_long = 1 << 4;

/// A child inherits this, as it does the registration.
static IS_REGISTERED: AtomicBool = AtomicBool::new(false);

/// Whether this process has registered, so that [`barrier`] is a barrier.
#[inline]
pub(crate) fn has_barrier() -> bool {
    IS_REGISTERED.load(Ordering::Acquire)
}

/// Registers a process that has one thread. One that has more would have to wait for up to some
/// tens of milliseconds.
pub(crate) fn register_if_single_threaded() {
    if !has_barrier() && is_single_threaded() {
        register();
    }
}

pub(crate) fn register() {
    if membarrier(REGISTER_PRIVATE_EXPEDITED) {
        IS_REGISTERED.store(true, Ordering::Release);
    }
}

/// When this returns, every other thread has made all accesses that it made before some moment
/// during the call, and none that it makes after that moment. False if the kernel refuses. If
/// the process has not registered, this does nothing.
pub(crate) fn barrier() -> bool {
    !has_barrier() || membarrier(PRIVATE_EXPEDITED)
}

fn membarrier(command: libc::c_long) -> bool {
    // SAFETY: the arguments are numbers.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

/// Whether `/proc` shows one folder of a thread, beside the two links that any folder has.
fn is_single_threaded() -> bool {
    let mut about = std::mem::MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the path is a C string, and `about` is a local variable.
    if unsafe { libc::stat(c"/proc/self/task".as_ptr(), about.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: the call succeeded, so it has filled the struct.
    unsafe { about.assume_init_ref() }.st_nlink == 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_single_threaded_until_it_starts_a_thread() {
        // This test runs beside the thread of the harness. The only thread of a child is alone.
        let alone = std::thread::spawn(is_single_threaded);
        assert!(!alone.join().unwrap());
        // SAFETY: the child only makes a system call and exits.
        match unsafe { libc::fork() } {
            // SAFETY: ends the child without running the parent's exit handlers.
            0 => unsafe { libc::_exit(i32::from(is_single_threaded())) },
            child => {
                let mut status = 0;
                // SAFETY: `status` is a local variable.
                assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 1);
            }
        }
    }

    #[test]
    fn a_child_inherits_the_registration() {
        register();
        assert!(has_barrier() && barrier());
        // SAFETY: the child only makes a system call and exits.
        match unsafe { libc::fork() } {
            // SAFETY: ends the child without running the parent's exit handlers.
            0 => unsafe { libc::_exit(i32::from(membarrier(PRIVATE_EXPEDITED))) },
            child => {
                let mut status = 0;
                // SAFETY: `status` is a local variable.
                assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 1);
            }
        }
    }
}
