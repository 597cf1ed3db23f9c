//! Threads of the observer in the process of its host.

use std::ffi::{CStr, c_void};
use std::io;
use std::mem;
use std::ptr;
use std::sync::Arc;
use std::thread;

/// The size of a stack: the system calls that these threads make need little.
const STACK: usize = 256 << 10;

/// What a thread does.
pub(crate) trait Run: Send + Sync + 'static {
    /// The name of the thread, of at most 15 bytes.
    const NAME: &'static CStr;

    /// Does all its work.
    fn run(&self);
}

/// Starts a thread, for whose end nobody waits. This uses the C library, because the standard
/// library allocates. The thread gets no signals of the host: a new thread inherits the signal
/// mask of the one that starts it.
pub(crate) fn start_thread<T: Run>(work: &Arc<T>) -> io::Result<()> {
    extern "C" fn run<T: Run>(work: *mut c_void) -> *mut c_void {
        // SAFETY: `start_thread` has given this reference away.
        let work = unsafe { Arc::from_raw(work.cast_const().cast::<T>()) };
        // A thread-local value keeps the library that holds this code from being unloaded.
        let _ = thread::current();
        // SAFETY: a string that ends with zero. If it is not accepted, the thread has no name.
        unsafe { libc::prctl(libc::PR_SET_NAME, T::NAME.as_ptr(), 0, 0, 0) };
        work.run();
        ptr::null_mut()
    }

    // SAFETY: sets of signals are plain memory, filled in by the calls below.
    let [mut all, mut before]: [libc::sigset_t; 2] = unsafe { mem::zeroed() };
    let work = Arc::into_raw(Arc::clone(work));
    // SAFETY: writes the set.
    unsafe { libc::sigfillset(&raw mut all) };
    // SAFETY: reads one set and writes the other.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before) };
    let created = create(run::<T>, work.cast_mut().cast());
    // SAFETY: reads the set that was written above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut()) };
    if created.is_err() {
        // SAFETY: no thread has taken it over.
        drop(unsafe { Arc::from_raw(work) });
    }
    created
}

/// Creates a detached thread, with a small stack if the C library accepts that: it also has to hold
/// the thread-local values of the host.
fn create(
    run: extern "C" fn(*mut c_void) -> *mut c_void,
    given: *mut c_void,
) -> io::Result<()> {
    match create_with(Some(STACK), run, given) {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            create_with(None, run, given)
        }
        created => created,
    }
}

fn create_with(
    stack: Option<usize>,
    run: extern "C" fn(*mut c_void) -> *mut c_void,
    given: *mut c_void,
) -> io::Result<()> {
    // SAFETY: plain memory, which the first call initializes.
    let mut attributes: libc::pthread_attr_t = unsafe { mem::zeroed() };
    // SAFETY: initializes it. This cannot fail with the C libraries of Linux.
    unsafe { libc::pthread_attr_init(&raw mut attributes) };
    let detached = libc::PTHREAD_CREATE_DETACHED;
    // SAFETY: it is initialized, and the value is a valid one.
    unsafe { libc::pthread_attr_setdetachstate(&raw mut attributes, detached) };
    if let Some(size) = stack {
        // SAFETY: it is initialized. If the size is refused, the default remains.
        unsafe { libc::pthread_attr_setstacksize(&raw mut attributes, size) };
    }
    // SAFETY: plain memory too.
    let mut thread: libc::pthread_t = unsafe { mem::zeroed() };
    // SAFETY: writes `thread`; if it succeeds, `run` takes over `given`.
    let failed =
        unsafe { libc::pthread_create(&raw mut thread, &raw const attributes, run, given) };
    // SAFETY: it is initialized, and not used again.
    unsafe { libc::pthread_attr_destroy(&raw mut attributes) };
    match failed {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
