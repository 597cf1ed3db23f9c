//! A log that cannot be written must not delay the daemon.

#![cfg(target_os = "linux")]

mod support;

use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use support::http::wait_for_sample;
use support::{Folder, WATCH, lines_of, wait_until};

#[test]
fn a_log_that_nobody_reads_delays_nothing() {
    let folder = Folder::new();
    let export = folder.join("export");
    let socket = folder.join("varta.sock");
    let (unread, log) = std::io::pipe().unwrap();
    let mut process = Command::new(WATCH)
        .args(["--socket", socket.to_str().unwrap(), "--log-level", "debug"])
        .args(["--export-file", export.to_str().unwrap(), "--threshold-ms", "60000"])
        .stderr(log)
        .spawn()
        .unwrap();
    wait_until(|| socket.exists());
    let garbage = UnixDatagram::unbound().unwrap();
    // Each adds a line to the log; together they are far more than a pipe holds. The export file
    // loses none, because it has room for more than are sent at a time.
    let mut sent = 0;
    for step in 1..=10 {
        while sent < 2_000 * step {
            sent += usize::from(garbage.send_to(&[0; 32], &socket).is_ok());
        }
        wait_until(|| lines_of(&export, 1, "decode").len() == sent);
    }
    support::signal(process.id(), libc::SIGTERM);
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            assert_eq!(process.wait().unwrap().code(), Some(0));
            ended.store(true, Ordering::Relaxed);
        });
        wait_until(|| ended.load(Ordering::Relaxed));
    });
    drop(unread);
}

/// As happens on a disk that is full for a while.
#[test]
fn the_log_continues_when_it_can_be_written_again() {
    let folder = Folder::new();
    let socket = folder.join("varta.sock");
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let http = port.to_string();
    let (mut read, log) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&log, true).unwrap();
    let mut process = Command::new(WATCH)
        .args(["--socket", socket.to_str().unwrap(), "--log-level", "debug"])
        .args(["--prom-addr", &http, "--prom-rate-limit-burst", "0"])
        .args(["--threshold-ms", "60000"])
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    wait_until(|| std::net::TcpStream::connect(&http).is_ok());
    let garbage = UnixDatagram::unbound().unwrap();
    let mut sent = 0;
    // Each adds a line to the log; together they are more than a pipe holds.
    while sent < 3_000 {
        sent += usize::from(garbage.send_to(&[0; 32], &socket).is_ok());
    }
    wait_for_sample(&http, "varta_log_lost_total", |lost| lost > 0.0);
    let text = Arc::new(Mutex::new(Vec::new()));
    let reader = thread::spawn({
        let text = Arc::clone(&text);
        move || {
            let mut some = [0; 4096];
            while let Ok(length @ 1..) = read.read(&mut some) {
                text.lock().unwrap().extend_from_slice(&some[..length]);
            }
        }
    });
    wait_until(|| {
        support::signal(process.id(), libc::SIGUSR1);
        let text = text.lock().unwrap();
        let text = String::from_utf8_lossy(&text);
        text.contains("log lines were lost") && text.contains("\"state: ")
    });
    support::signal(process.id(), libc::SIGTERM);
    assert_eq!(process.wait().unwrap().code(), Some(0));
    reader.join().unwrap();
}
