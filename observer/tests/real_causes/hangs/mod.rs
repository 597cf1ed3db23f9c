//! Ways in which a thread falls silent. Each of these functions prepares everything, calls
//! `last` to make the last beat, and does not return.

pub(crate) mod ends;
pub(crate) mod files;
pub(crate) mod locks;
pub(crate) mod memory;
pub(crate) mod turns;
pub(crate) mod waits;

use std::io::{Read, Write};
use std::sync::mpsc;
use std::thread;

/// Makes the last beat.
pub(crate) type Last<'a> = &'a mut dyn FnMut();

pub(crate) type Hang = fn(Last<'_>);

pub(crate) fn forever() -> ! {
    loop {
        // SAFETY: waits for a signal.
        unsafe { libc::pause() };
    }
}

/// Waits until another thread has done something.
fn in_thread(run: impl FnOnce() + Send + 'static) -> thread::JoinHandle<()> {
    in_thread_and_then(run, || forever())
}

/// As [`in_thread`], and the thread goes on like this.
fn in_thread_and_then(
    run: impl FnOnce() + Send + 'static,
    then: impl FnOnce() + Send + 'static,
) -> thread::JoinHandle<()> {
    let (done, is_done) = mpsc::channel();
    let thread = thread::spawn(move || {
        run();
        done.send(()).unwrap();
        then();
    });
    is_done.recv().unwrap();
    thread
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

pub(crate) fn end_with_parent() {
    // SAFETY: takes numbers alone.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}
