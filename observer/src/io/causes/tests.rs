//! Readings of real processes. What classes of causes look like is tested by producing them.

#![allow(unsafe_code, reason = "a mutex of the C library")]

use std::io::{Read, Write};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::thread;

use super::*;
use crate::testing::{
    Child, Idle, allocations_of, exit, in_child, is_root, kill, pause, wait_until,
};

fn reader() -> Reader {
    Reader::new(&Arc::new(Groups::find()))
}

fn whole(pid: u32) -> Sample {
    let mut sample = Sample::try_new().unwrap();
    reader().read(pid, Depth::Whole, &[], &mut sample).unwrap();
    sample
}

fn first(pid: u32) -> ThreadReading {
    let mut thread = *whole(pid).thread(pid).unwrap();
    reader().read_wait(pid, &mut thread, &mut Lacks::default()).unwrap();
    thread
}

fn name_of(call: Call) -> &'static str {
    match call {
        Call::In { name, .. } => name,
        _ => "",
    }
}

#[test]
fn a_process_that_waits_is_read_with_the_call_that_it_waits_in() {
    let idle = Idle::start();
    wait_until(|| first(idle.pid()).state == b'S');
    let sample = whole(idle.pid());
    let process = &sample.process;
    assert_eq!((process.threads, sample.threads().len()), (1, 1));
    assert!(process.clock_ns.is_some() && process.executable.is_some());
    assert!(!process.dumping && !process.killed && !process.under_oom);
    assert!(process.read_at <= sample.threads()[0].read_at);
    assert!(sample.threads()[0].run_ns > 0);
    let thread = first(idle.pid());
    assert_eq!(name_of(thread.call), "recvfrom");
    assert!(!thread.wait_channel.is_empty());

    kill(idle.pid(), libc::SIGSTOP);
    wait_until(|| first(idle.pid()).state == b'T');
    assert_eq!(first(idle.pid()).stop_signal, 19);
    kill(idle.pid(), libc::SIGCONT);
    wait_until(|| first(idle.pid()).state == b'S');
}

#[test]
fn a_process_that_has_ended_is_an_error() {
    let idle = Idle::start();
    let pid = idle.pid();
    let mut thread = first(pid);
    let mut child = idle.child;
    kill(pid, libc::SIGKILL);
    wait_until(|| first_state(pid) != Some(b'S'));
    child.wait();
    let mut sample = Sample::try_new().unwrap();
    let mut reader = reader();
    for depth in [Depth::Schedule, Depth::Half, Depth::Whole] {
        assert!(reader.read(pid, depth, &[], &mut sample).is_err());
        assert!(sample.threads().is_empty());
        assert_eq!(sample.process.clock_ns, None);
    }
    let error = reader.read_wait(pid, &mut thread, &mut Lacks::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

fn first_state(pid: u32) -> Option<u8> {
    let mut sample = Sample::try_new().unwrap();
    reader().read(pid, Depth::Half, &[], &mut sample).ok()?;
    Some(sample.thread(pid)?.state)
}

#[test]
fn of_many_threads_the_wanted_ones_are_read_first() {
    const MANY: usize = 200;
    let (done, ready) = UnixDatagram::pair().unwrap();
    let child = Child::start(|| {
        for _ in 1..MANY {
            thread::Builder::new().stack_size(64 << 10).spawn(pause).unwrap();
        }
        done.send(&[0]).unwrap();
        pause();
    });
    ready.recv(&mut [0]).unwrap();
    let pid = child.pid();
    let mut all: Vec<u32> = fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    all.sort_unstable();
    assert_eq!(all.len(), MANY);
    let wanted = [all[MANY - 1], 1, all[MANY - 2]];
    let mut sample = Sample::try_new().unwrap();
    let mut reader = reader();
    for depth in [Depth::Schedule, Depth::Half, Depth::Whole] {
        reader.read(pid, depth, &wanted, &mut sample).unwrap();
        assert!(sample.thread(pid).is_some());
        assert!(sample.thread(wanted[0]).is_some() && sample.thread(wanted[2]).is_some());
        assert_eq!(sample.thread(1), None, "it is no thread of this process");
        assert_eq!(sample.threads().len(), MOST_THREADS - 1);
    }
    assert_eq!(sample.process.threads, 200);
}

#[test]
fn a_wanted_thread_that_has_ended_is_not_counted() {
    let idle = Idle::start();
    let mut sample = Sample::try_new().unwrap();
    for depth in [Depth::Schedule, Depth::Half, Depth::Whole] {
        reader().read(idle.pid(), depth, &[1], &mut sample).unwrap();
        assert_eq!((sample.process.threads, sample.threads().len()), (1, 1), "{depth:?}");
    }
}

#[test]
fn a_process_cannot_forge_its_state_by_its_name() {
    let (done, ready) = UnixDatagram::pair().unwrap();
    let child = Child::start(|| {
        fs::write("/proc/self/comm", "x) T 1 (y\n").unwrap();
        done.send(&[0]).unwrap();
        pause();
    });
    ready.recv(&mut [0]).unwrap();
    wait_until(|| first(child.pid()).state == b'S');
    assert_eq!(whole(child.pid()).process.name.as_bytes(), b"x) T 1 (y\n");
}

#[test]
fn only_an_exec_changes_the_executable() {
    let mut child = Command::new("/bin/sh")
        .args(["-c", "read x; exec /bin/sh -c 'echo; read x'"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let executable = || whole(pid).process.executable.unwrap();
    // It reads when it has been executed and linked.
    wait_until(|| name_of(first(pid).call) == "read");
    let before = executable();
    assert_eq!(executable(), before);
    child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    assert_ne!(executable(), before, "it executes the same file again");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn reading_allocates_nothing() {
    let idle = Idle::start();
    let mut reader = reader();
    let mut sample = Sample::try_new().unwrap();
    let allocations = allocations_of(|| {
        for depth in [Depth::Clock, Depth::Schedule, Depth::Half, Depth::Whole] {
            reader.read(idle.pid(), depth, &[1], &mut sample).unwrap();
        }
        let mut thread = sample.threads()[0];
        reader.read_wait(idle.pid(), &mut thread, &mut Lacks::default()).unwrap();
        reader.lock_owner(idle.pid(), 4_096);
    });
    assert_eq!(allocations, 0);
}

/// Reads the owner of a mutex that the first thread of a new process holds.
fn check_owner_of_a_mutex() {
    let (report, reported) = UnixDatagram::pair().unwrap();
    let child = Child::start(|| {
        let mut mutex = libc::PTHREAD_MUTEX_INITIALIZER;
        // SAFETY: it was initialized, and stays until this process is killed.
        unsafe { libc::pthread_mutex_lock(&raw mut mutex) };
        report.send(&((&raw mut mutex).addr() as u64).to_ne_bytes()).unwrap();
        pause();
        exit(0);
    });
    let mut bytes = [0; 8];
    reported.recv(&mut bytes).unwrap();
    let address = u64::from_ne_bytes(bytes);
    let mut reader = reader();
    assert_eq!(reader.lock_owner(child.pid(), address), Some(child.pid()));
    // What lies beside it is no mutex.
    assert_eq!(reader.lock_owner(child.pid(), address + 4_096 * 1_000), None);
    assert_eq!(reader.lock_owner(child.pid(), 16), None);
}

#[test]
fn the_owner_of_a_mutex_is_the_thread_that_holds_it() {
    check_owner_of_a_mutex();
}

#[test]
fn the_owner_of_a_mutex_in_another_pid_namespace_has_the_number_that_we_see() {
    if is_root() {
        in_child(|| {
            // SAFETY: takes a number; the next child is the first process of a new namespace.
            assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWPID) }, 0);
            check_owner_of_a_mutex();
        });
    }
}
