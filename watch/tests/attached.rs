//! A datagram with attached descriptors must not block the daemon, even on kernels that cannot
//! refuse it (before Linux 6.16).

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "a seccomp filter is set between fork and exec")]

mod support;

use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use support::{Agent, Daemon, Folder, LingeringSocket, WATCH, forget_socket_option};

const SO_PASSRIGHTS: libc::c_int = 83;

#[test]
fn the_self_watchdog_does_not_fire_when_a_sender_attaches_a_lingering_socket() {
    let folder = Folder::new();
    let socket = folder.join("varta.sock");
    let mut command = Command::new(WATCH);
    command
        .args(["--socket", socket.to_str().unwrap(), "--log-format", "json"])
        .args(["--threshold-ms", "60000", "--self-watchdog-secs", "20"])
        .stdin(Stdio::null());
    // SAFETY: the closure only makes system calls.
    unsafe {
        command.pre_exec(|| {
            forget_socket_option(SO_PASSRIGHTS);
            Ok(())
        });
    }
    let mut daemon = Daemon::start_as(&folder, &mut command);
    let sender = UnixDatagram::unbound().unwrap();
    sender.connect(&socket).unwrap();
    let _peers: Vec<_> =
        (0..3).map(|_| LingeringSocket::new().send(&sender, &[7; 32])).collect();
    // The daemon must still receive this agent's beats.
    drop(Agent::at(&socket));
    daemon.wait_for_log("exit, killed by signal 9");
    daemon.end();
}
