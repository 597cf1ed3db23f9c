//! Locks that another holds.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::sync::{Arc, Mutex, RwLock, mpsc};
use std::thread;

use super::{Last, forever, in_process, in_thread, in_thread_and_then};

/// A mutex of the C library that is never freed.
#[derive(Clone, Copy)]
pub(crate) struct CMutex(pub(crate) *mut libc::pthread_mutex_t);

// SAFETY: it is made to be used by several threads.
unsafe impl Send for CMutex {}

impl CMutex {
    fn new(protocol: libc::c_int) -> Self {
        let mutex = Box::leak(Box::new(libc::PTHREAD_MUTEX_INITIALIZER));
        // SAFETY: numbers and pointers, all of which may be zero.
        let mut attributes = unsafe { std::mem::zeroed() };
        // SAFETY: `attributes` may be written.
        unsafe { libc::pthread_mutexattr_init(&raw mut attributes) };
        // SAFETY: they were initialized.
        unsafe { libc::pthread_mutexattr_setprotocol(&raw mut attributes, protocol) };
        // SAFETY: as above, and nothing uses the mutex yet.
        unsafe { libc::pthread_mutex_init(mutex, &raw const attributes) };
        Self(mutex)
    }

    pub(crate) fn lock(self) {
        // SAFETY: it was initialized and is never freed.
        unsafe { libc::pthread_mutex_lock(self.0) };
    }

    /// Tries to lock it for 5 ms.
    fn try_lock(self) {
        let mut until = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `until` may be written.
        unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &raw mut until) };
        until.tv_nsec += 5_000_000;
        until.tv_sec += until.tv_nsec / 1_000_000_000;
        until.tv_nsec %= 1_000_000_000;
        // SAFETY: as for `lock`; the time is only read.
        unsafe { libc::pthread_mutex_timedlock(self.0, &raw const until) };
    }
}

pub(crate) fn on_a_mutex(last: Last<'_>) {
    let mutex = CMutex::new(libc::PTHREAD_PRIO_NONE);
    in_thread(move || mutex.lock());
    last();
    mutex.lock();
}

/// The thread that holds the mutex waits itself.
pub(crate) fn on_a_mutex_whose_holder_receives(last: Last<'_>) {
    let mutex = CMutex::new(libc::PTHREAD_PRIO_NONE);
    let receive = || {
        let (own, _other) = UnixDatagram::pair().unwrap();
        let _ = own.recv(&mut [0]);
    };
    in_thread_and_then(move || mutex.lock(), receive);
    last();
    mutex.lock();
}

pub(crate) fn on_its_own_mutex(last: Last<'_>) {
    let mutex = CMutex::new(libc::PTHREAD_PRIO_NONE);
    mutex.lock();
    last();
    mutex.lock();
}

pub(crate) fn on_two_mutexes(last: Last<'_>) {
    let [first, second] = [(); 2].map(|()| CMutex::new(libc::PTHREAD_PRIO_NONE));
    let (locked, is_locked) = mpsc::channel();
    first.lock();
    thread::spawn(move || {
        second.lock();
        locked.send(()).unwrap();
        first.lock();
    });
    is_locked.recv().unwrap();
    last();
    second.lock();
}

pub(crate) fn on_a_mutex_with_priorities(last: Last<'_>) {
    let mutex = CMutex::new(libc::PTHREAD_PRIO_INHERIT);
    in_thread(move || mutex.lock());
    last();
    mutex.lock();
}

pub(crate) fn trying_a_mutex(last: Last<'_>) {
    let mutex = CMutex::new(libc::PTHREAD_PRIO_NONE);
    in_thread(move || mutex.lock());
    last();
    loop {
        mutex.try_lock();
    }
}

pub(crate) fn on_a_mutex_of_rust(last: Last<'_>) {
    let mutex = Arc::new(Mutex::new(()));
    let held = Arc::clone(&mutex);
    in_thread(move || std::mem::forget(held.lock().unwrap()));
    last();
    drop(mutex.lock());
}

pub(crate) fn on_a_reader(last: Last<'_>) {
    let lock = Arc::new(RwLock::new(()));
    let held = Arc::clone(&lock);
    in_thread(move || std::mem::forget(held.read().unwrap()));
    last();
    drop(lock.write());
}

/// A file of this process and its children.
fn file(name: &str) -> impl Fn() -> File + use<> {
    let name = format!("{name}-{}", std::process::id());
    move || File::create(&name).unwrap()
}

pub(crate) fn on_a_file_lock(last: Last<'_>) {
    let open = file("flock");
    let lock = || {
        let file = open();
        // SAFETY: takes numbers alone.
        unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) };
        std::mem::forget(file);
    };
    in_process(lock);
    last();
    lock();
}

pub(crate) fn on_a_record_lock(last: Last<'_>) {
    let open = file("fcntl");
    let lock = || {
        let file = open();
        // SAFETY: numbers, all of which may be zero.
        let mut wanted: libc::flock = unsafe { std::mem::zeroed() };
        wanted.l_type = libc::F_WRLCK.try_into().unwrap();
        // SAFETY: reads `wanted`.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLKW, &raw const wanted) };
        std::mem::forget(file);
    };
    in_process(lock);
    last();
    lock();
}

pub(crate) fn on_a_semaphore_of_system_v(last: Last<'_>) {
    // What is left of the semaphore ends with its namespace.
    // SAFETY: takes a number.
    let unshared = unsafe { libc::unshare(libc::CLONE_NEWIPC) };
    assert_eq!(unshared, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: takes numbers alone.
    let set = unsafe { libc::semget(libc::IPC_PRIVATE, 1, 0o600) };
    assert!(set >= 0, "{}", std::io::Error::last_os_error());
    last();
    let mut take = libc::sembuf { sem_num: 0, sem_op: -1, sem_flg: 0 };
    // SAFETY: one operation.
    unsafe { libc::semop(set, &raw mut take, 1) };
    forever();
}
