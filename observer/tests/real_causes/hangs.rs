//! Ways in which a thread falls silent. None of these functions returns.

use std::convert::Infallible;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::process::Command;
use std::ptr;
use std::sync::{Arc, Condvar, Mutex, RwLock, mpsc};
use std::thread;
use std::time::Duration;

use crate::support::ms;

fn forever() -> ! {
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}

/// Waits until another thread has done something.
pub(crate) fn in_thread(run: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    let (done, is_done) = mpsc::channel();
    let thread = thread::spawn(move || {
        run();
        done.send(()).unwrap();
        forever();
    });
    is_done.recv().unwrap();
    thread
}

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
}

pub(crate) fn on_a_mutex() {
    let mutex = CMutex::new(libc::PTHREAD_PRIO_NONE);
    in_thread(move || mutex.lock());
    mutex.lock();
}

pub(crate) fn on_its_own_mutex() {
    let mutex = CMutex::new(libc::PTHREAD_PRIO_NONE);
    mutex.lock();
    mutex.lock();
}

pub(crate) fn on_two_mutexes() {
    let [first, second] = [(); 2].map(|()| CMutex::new(libc::PTHREAD_PRIO_NONE));
    let (locked, is_locked) = mpsc::channel();
    first.lock();
    thread::spawn(move || {
        second.lock();
        locked.send(()).unwrap();
        first.lock();
    });
    is_locked.recv().unwrap();
    second.lock();
}

pub(crate) fn on_a_mutex_with_priorities() {
    let mutex = CMutex::new(libc::PTHREAD_PRIO_INHERIT);
    in_thread(move || mutex.lock());
    mutex.lock();
}

pub(crate) fn on_a_mutex_of_rust() {
    let mutex = Arc::new(Mutex::new(()));
    let held = Arc::clone(&mutex);
    in_thread(move || std::mem::forget(held.lock().unwrap()));
    drop(mutex.lock());
}

pub(crate) fn on_a_reader() {
    let lock = Arc::new(RwLock::new(()));
    let held = Arc::clone(&lock);
    in_thread(move || std::mem::forget(held.read().unwrap()));
    drop(lock.write());
}

/// Runs something in a process of its own, which ends with this one.
fn in_process(run: impl FnOnce()) {
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    // SAFETY: the child uses nothing that another thread could have locked.
    if unsafe { libc::fork() } == 0 {
        end_with_parent();
        run();
        writer.write_all(b"!").unwrap();
        forever();
    }
    reader.read_exact(&mut [0]).unwrap();
}

fn end_with_parent() {
    // SAFETY: takes numbers alone.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

pub(crate) fn on_a_file_lock() {
    let name = format!("flock-{}", std::process::id());
    let lock = || {
        let file = File::create(&name).unwrap();
        // SAFETY: takes numbers alone.
        unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX) };
        std::mem::forget(file);
    };
    in_process(lock);
    lock();
}

pub(crate) fn on_a_record_lock() {
    let name = format!("fcntl-{}", std::process::id());
    let lock = || {
        let file = File::create(&name).unwrap();
        // SAFETY: numbers, all of which may be zero.
        let mut wanted: libc::flock = unsafe { std::mem::zeroed() };
        wanted.l_type = libc::F_WRLCK.try_into().unwrap();
        // SAFETY: reads `wanted`.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLKW, &raw const wanted) };
        std::mem::forget(file);
    };
    in_process(lock);
    lock();
}

pub(crate) fn on_a_condition() {
    let (mutex, condition) = (Mutex::new(()), Condvar::new());
    let mut guard = mutex.lock().unwrap();
    loop {
        guard = condition.wait(guard).unwrap();
    }
}

pub(crate) fn on_a_semaphore() {
    // SAFETY: bytes, all of which may be zero.
    let semaphore = Box::leak(Box::new(unsafe { std::mem::zeroed::<libc::sem_t>() }));
    // SAFETY: it may be written, and is never freed.
    unsafe { libc::sem_init(semaphore, 0, 0) };
    // SAFETY: it was initialized.
    unsafe { libc::sem_wait(semaphore) };
}

pub(crate) fn on_the_end_of_a_thread() {
    in_thread(|| ()).join().unwrap();
}

pub(crate) fn parked() {
    loop {
        thread::park();
    }
}

pub(crate) fn on_a_channel() {
    let (sender, receiver) = mpsc::channel::<Infallible>();
    let _ = receiver.recv();
    drop(sender);
}

pub(crate) fn on_a_child() {
    in_process(|| ());
    // SAFETY: null means that the status is not wanted.
    unsafe { libc::waitpid(-1, ptr::null_mut(), 0) };
}

pub(crate) fn on_a_child_that_does_not_exec() {
    // SAFETY: the child makes two system calls and touches no memory.
    if unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_VFORK | libc::SIGCHLD, 0, 0, 0, 0) }
        == 0
    {
        end_with_parent();
        forever();
    }
}

pub(crate) fn in_receive() {
    let (own, _other) = UnixDatagram::pair().unwrap();
    let _ = own.recv(&mut [0]);
}

pub(crate) fn in_a_pipe() {
    let (mut reader, _writer) = std::io::pipe().unwrap();
    let _ = reader.read(&mut [0]);
}

pub(crate) fn in_epoll() {
    // SAFETY: takes a number.
    let epoll = unsafe { libc::epoll_create1(0) };
    // SAFETY: numbers, all of which may be zero.
    let mut event: libc::epoll_event = unsafe { std::mem::zeroed() };
    // SAFETY: one event, which may be written.
    unsafe { libc::epoll_wait(epoll, &raw mut event, 1, -1) };
}

pub(crate) fn in_poll() {
    let (own, _other) = UnixDatagram::pair().unwrap();
    let mut asked = libc::pollfd { fd: own.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which is ours.
    unsafe { libc::poll(&raw mut asked, 1, -1) };
}

pub(crate) fn in_sleep() {
    thread::sleep(Duration::from_secs(1_000));
}

pub(crate) fn in_pause() {
    forever();
}

pub(crate) fn in_a_full_socket() {
    let (mut own, _other) = UnixStream::pair().unwrap();
    while own.write(&[0; 65_536]).is_ok() {}
}

pub(crate) fn in_connect() {
    let name = format!("connect-{}", std::process::id());
    let _listener = UnixListener::bind(&name).unwrap();
    let mut connected = Vec::new();
    loop {
        connected.push(UnixStream::connect(&name).unwrap());
    }
}

pub(crate) fn stopped_by_itself() {
    // In an orphaned process group SIGTSTP would stop nobody. A group of its own is none, because
    // the parent is in the same session.
    // SAFETY: takes numbers.
    unsafe { libc::setpgid(0, 0) };
    // SAFETY: takes a number.
    unsafe { libc::raise(libc::SIGTSTP) };
    forever();
}

pub(crate) fn spinning() {
    loop {
        std::hint::spin_loop();
    }
}

pub(crate) fn spinning_in_calls() {
    loop {
        // SAFETY: takes nothing.
        unsafe { libc::syscall(libc::SYS_getppid) };
    }
}

pub(crate) fn yielding() {
    loop {
        thread::yield_now();
    }
}

pub(crate) fn polling_without_waiting() {
    loop {
        // SAFETY: no entries.
        unsafe { libc::poll(ptr::null_mut(), 0, 0) };
    }
}

pub(crate) fn sleeping_a_little() {
    loop {
        thread::sleep(ms(1));
    }
}

pub(crate) fn trying_to_receive() {
    let (_sender, receiver) = mpsc::channel::<Infallible>();
    loop {
        let _ = receiver.recv_timeout(ms(5));
    }
}

pub(crate) fn executing_another_program() {
    let error = std::os::unix::process::CommandExt::exec(Command::new("sleep").arg("1000"));
    panic!("{error}");
}

/// Ends the first thread of the process while others run.
pub(crate) fn without_its_first_thread() {
    in_thread(|| ());
    // SAFETY: ends this thread, which has nothing to be cleaned up.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

/// Ends the thread that beat.
pub(crate) fn without_its_thread() {
    // SAFETY: as above.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

/// Touches a page that nobody provides.
pub(crate) fn in_a_page_fault() {
    let page = new_pages();
    let _handler = withhold(page);
    // SAFETY: it is ours.
    unsafe { page.cast::<u8>().write_volatile(1) };
}

const LENGTH: usize = 65_536;

pub(crate) fn new_pages() -> *mut libc::c_void {
    let (read_write, private) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new mapping, whose address the kernel chooses.
    unsafe { libc::mmap(ptr::null_mut(), LENGTH, read_write, private, -1, 0) }
}

/// From now on, whoever touches one of these pages that is not there waits for ever.
pub(crate) fn withhold(pages: *mut libc::c_void) -> OwnedFd {
    #[repr(C)]
    #[derive(Default)]
    struct Api {
        api: u64,
        features: u64,
        ioctls: u64,
    }
    #[repr(C)]
    #[derive(Default)]
    struct Register {
        start: u64,
        length: u64,
        mode: u64,
        ioctls: u64,
    }
    // SAFETY: takes a number.
    let handler = unsafe { libc::syscall(libc::SYS_userfaultfd, libc::O_CLOEXEC) };
    let handler: libc::c_int = handler.try_into().unwrap();
    assert!(handler >= 0, "{}", std::io::Error::last_os_error());
    let mut api = Api { api: 0xAA, ..Api::default() };
    let request = libc::_IOWR::<Api>(0xAA, 0x3F);
    // SAFETY: `api` has the size in the request's number.
    let enabled = unsafe { libc::ioctl(handler, request, &raw mut api) };
    assert_eq!(enabled, 0, "{}", std::io::Error::last_os_error());
    let (start, length) = (pages.addr() as u64, LENGTH as u64);
    let mut register = Register { start, length, mode: 1, ..Register::default() };
    let request = libc::_IOWR::<Register>(0xAA, 0x00);
    // SAFETY: as above.
    let registered = unsafe { libc::ioctl(handler, request, &raw mut register) };
    assert_eq!(registered, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: it was opened just now.
    unsafe { OwnedFd::from_raw_fd(handler) }
}
