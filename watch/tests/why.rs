//! `varta-watch why`: what processes do, in words.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![allow(unsafe_code, reason = "a mutex of the C library")]

mod support;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use support::{Child, PATIENCE, WATCH, signal, text_of, wait_until};

fn why(arguments: &[&str]) -> Output {
    Command::new(WATCH).arg("why").args(["--over", "100ms"]).args(arguments).output().unwrap()
}

/// What is reported about a process.
#[track_caller]
fn report(pid: u32) -> String {
    let output = why(&[&pid.to_string()]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    text
}

/// Waits until a report contains a text.
#[track_caller]
fn wait_for(pid: u32, text: &str) -> String {
    let mut found = String::new();
    let start = Instant::now();
    while !found.contains(text) {
        assert!(start.elapsed() < PATIENCE, "{text:?} is not in:\n{found}");
        found = report(pid);
    }
    found
}

#[test]
fn a_process_that_is_no_agent_is_described() {
    let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
    let pid = child.id();
    let text = wait_for(pid, "in clock_nanosleep (hrtimer_nanosleep)");
    assert!(text.starts_with(&format!("sleep (pid {pid}) is idle")), "{text}");
    assert!(text.contains(" ms of CPU time in "), "{text}");

    signal(pid, libc::SIGSTOP);
    let text = wait_for(pid, "stopped by SIGSTOP");
    assert!(text.contains(&format!("kill -CONT {pid}")), "{text}");
    assert_eq!(text.lines().count(), 1, "its threads are not described: {text}");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Waits for a mutex of the C library, and never frees it.
fn lock(mutex: &'static AtomicPtr<libc::pthread_mutex_t>) {
    // SAFETY: it was initialized and is never freed.
    unsafe { libc::pthread_mutex_lock(mutex.load(Ordering::Relaxed)) };
}

#[test]
fn the_owner_of_a_lock_is_named_and_equal_threads_are_in_one_line() {
    let (owner, reported) = UnixDatagram::pair().unwrap();
    let child = Child::start(|| {
        let mutex = Box::leak(Box::new(libc::PTHREAD_MUTEX_INITIALIZER));
        let mutex: &AtomicPtr<_> = Box::leak(Box::new(AtomicPtr::new(mutex)));
        let (locked, is_locked) = mpsc::channel();
        thread::spawn(move || {
            lock(mutex);
            // SAFETY: takes nothing and cannot fail.
            let own = unsafe { libc::gettid() }.unsigned_abs();
            owner.send(&own.to_ne_bytes()).unwrap();
            locked.send(()).unwrap();
            let (socket, _other) = UnixDatagram::pair().unwrap();
            let _ = socket.recv(&mut [0]);
        });
        is_locked.recv().unwrap();
        for _ in 0..9 {
            thread::spawn(move || lock(mutex));
        }
        lock(mutex);
    });
    let mut owner = [0; 4];
    reported.recv(&mut owner).unwrap();
    let owner = u32::from_ne_bytes(owner);
    let text = wait_for(child.pid(), " and 4 more ");
    assert!(text.contains(&format!(" is hung on a lock held by thread {owner}")), "{text}");
    let waiting = format!(": each waits for a lock that thread {owner} holds, in futex");
    assert_eq!(text.matches(&waiting).count(), 1, "{text}");
    let holding = format!("Thread {owner} (");
    let line = text.lines().find(|line| line.contains(&holding)).unwrap();
    assert!(
        line.contains("in recvfrom on descriptor ") && line.contains(", socket:["),
        "{line}"
    );
}

#[test]
fn the_child_that_a_process_waits_for_is_named() {
    let mut parent = Command::new("sh").args(["-c", "sleep 1000; :"]).spawn().unwrap();
    let text = wait_for(parent.id(), "(sleep), in wait4");
    let (_, child) = text.split_once("waits for its child ").unwrap();
    let child: u32 = child.split(' ').next().unwrap().parse().unwrap();
    signal(child, libc::SIGKILL);
    parent.wait().unwrap();
}

/// A process with this name whose first thread waits for the end of another one.
fn named(name: &str, work: fn()) -> Child {
    let child = Child::start(|| {
        let worker = thread::spawn(work);
        fs::write("/proc/self/comm", name).unwrap();
        worker.join().unwrap();
    });
    let comm = format!("/proc/{}/comm", child.pid());
    wait_until(|| text_of(Path::new(&comm)).trim_end() == name);
    child
}

#[test]
fn the_thread_for_which_the_first_one_waits_is_described_and_what_its_runtime_knows() {
    let waits = || loop {
        thread::park();
    };
    let java = named("java", waits);
    let text = wait_for(java.pid(), "waits for thread ");
    let (_, worker) = text.split_once("waits for thread ").unwrap();
    let worker = worker.split(' ').next().unwrap();
    let first = text.lines().next().unwrap();
    assert!(first.contains(&format!("; that is thread {worker}.")), "{text}");
    assert!(first.ends_with(&format!("`jstack {}` shows it.", java.pid())), "{text}");
    let sleeps = named("python3", || thread::sleep(PATIENCE * 100));
    let text = wait_for(sleeps.pid(), "waits for thread ");
    assert!(text.contains(&format!("`py-spy dump --pid {}`", sleeps.pid())), "{text}");
}

#[test]
fn a_process_that_sleeps_although_it_has_a_child_may_wait_for_it() {
    let parent = Child::start(|| {
        let mut child = Command::new("sleep").arg("1000").spawn().unwrap();
        fs::write("/proc/self/comm", "waits-for-child").unwrap();
        let (socket, _other) = UnixDatagram::pair().unwrap();
        let _ = (socket.recv(&mut [0]), child.wait());
    });
    let text = wait_for(parent.pid(), "It has a child, ");
    let (_, child) = text.split_once("It has a child, ").unwrap();
    assert!(child.contains(" (sleep), for which it may wait."), "{text}");
    signal(child.split(' ').next().unwrap().parse().unwrap(), libc::SIGKILL);
}

#[test]
fn all_processes_with_a_name_are_described() {
    let name = format!("why-{}", std::process::id());
    let mut children = [(); 2].map(|()| {
        let child = Child::start(|| {
            fs::write("/proc/self/comm", &name).unwrap();
            loop {
                thread::park();
            }
        });
        let comm = format!("/proc/{}/comm", child.pid());
        wait_until(|| text_of(Path::new(&comm)).trim_end() == name);
        child
    });
    let output = why(&["--name", &name]);
    let text = String::from_utf8(output.stdout).unwrap();
    for child in &children {
        assert!(text.contains(&format!("{name} (pid {})", child.pid())), "{text}");
    }
    for child in &mut children {
        signal(child.pid(), libc::SIGKILL);
        child.wait();
    }
    let output = why(&["--name", &name]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error, format!("varta-watch: no process has the name {name:?}\n"));
}

#[test]
fn a_pid_without_a_process_is_an_error_and_so_is_a_named_socket_without_a_daemon() {
    let mut child = Child::start(|| ());
    child.wait();
    let output = why(&[&child.pid().to_string()]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(error, format!("varta-watch: pid {}: no such process\n", child.pid()));
    let named = why(&["1", "--socket", "/no/such.sock"]);
    assert_eq!(named.status.code(), Some(1));
    assert!(String::from_utf8(named.stdout).unwrap().contains(" (pid 1) is "));
    let error = String::from_utf8(named.stderr).unwrap();
    assert!(error.ends_with("/no/such.sock.control: no daemon is listening on this socket\n"));
    assert_eq!(why(&["1", "--over", "1ms"]).status.code(), Some(2));
}
