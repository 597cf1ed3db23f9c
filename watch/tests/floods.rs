//! What the daemon logs when other users flood it, and about settings that permit this.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use support::{
    Agent, Child, Daemon, Folder, PATIENCE, WATCH, become_user, in_new_network_namespace, ms,
    needs_root,
};

const NOBODY: u32 = 65_534;
const QUEUE: &str = "/proc/sys/net/unix/max_dgram_qlen";

/// Runs in a network namespace where the queue of a Unix socket holds this many datagrams plus
/// one.
fn with_queue(length: &str, run: impl FnOnce()) {
    let in_namespace = || {
        in_new_network_namespace();
        std::fs::write(QUEUE, length).unwrap();
        run();
    };
    Child::start(in_namespace).finish();
}

/// A process of another user that sends as fast as it can.
fn flood(path: &Path) -> Child {
    Child::start(|| {
        become_user(NOBODY);
        let sockets = [(); 8].map(|()| UnixDatagram::unbound().unwrap());
        for socket in &sockets {
            socket.set_nonblocking(true).unwrap();
            socket.connect(path).unwrap();
        }
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            for socket in &sockets {
                let _ = socket.send(&[7; 32]);
            }
        }
    })
}

#[test]
fn a_flood_is_logged_by_uid_and_a_stall_during_it_is_marked() {
    if !needs_root() {
        return;
    }
    with_queue("10", || {
        let folder = Folder::new();
        let flags = ["--threshold-ms", "300", "--socket-mode", "0666"];
        let mut daemon = Daemon::start(&folder, &flags);
        // While no agent is followed, no beat can be lost, and nothing is logged.
        let agent = Agent::at(daemon.socket());
        let floods = [(); 3].map(|()| flood(daemon.socket()));
        daemon.wait_for_log("the socket's queue is full");
        let line = daemon.log();
        let line = line.lines().find(|line| line.contains("socket's queue is full"));
        assert!(line.unwrap().contains("uid 65534 ("), "{line:?}");

        agent.stop();
        daemon.wait_for_log("while the queue was full");
        let log = daemon.log();
        let stall = log.lines().find(|line| line.contains("while the queue was full")).unwrap();
        assert!(stall.contains(&format!("\"pid\":{}", agent.pid())), "{stall}");
        drop(floods);
        daemon.wait_for_log("the socket's queue is no longer full");
        daemon.signal(libc::SIGUSR1);
        daemon.wait_for_log("stalls_deaf: ");
        assert_eq!(daemon.count_logged("stalls_deaf: 0"), 0);
        assert_eq!(daemon.count_logged("the socket's queue is full"), 1);
        daemon.end();
    });
}

#[test]
fn a_refused_new_agent_is_logged_once_by_uid() {
    let folder = Folder::new();
    let mut daemon =
        Daemon::start(&folder, &["--threshold-ms", "60000", "--tracker-capacity", "1"]);
    let _first = Agent::at(daemon.socket());
    let path = daemon.socket().to_owned();
    let refused = Child::start(move || {
        let mut agent = varta::Varta::connect(&path).unwrap();
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            let _ = agent.beat(varta::Status::Ok, 0);
            std::thread::sleep(ms(20));
        }
    });
    let mine = rustix::process::geteuid().as_raw();
    daemon.wait_for_log(&format!("the agent table is full: new agents of uid {mine} ("));
    std::thread::sleep(ms(2_500));
    assert_eq!(daemon.count_logged("the agent table is full"), 1);
    drop(refused);
    daemon.end();
}

#[test]
fn recovery_that_any_user_could_trigger_logs_a_warning() {
    if !needs_root() {
        return;
    }
    let cases = [("10", "0666", true), ("10", "0660", false), ("4096", "0666", false)];
    for (queue, mode, warned) in cases {
        with_queue(queue, || {
            let folder = Folder::new();
            let mut flags = vec!["--threshold-ms", "60000", "--socket-mode", mode];
            flags.extend(["--recovery-exec", "/bin/true"]);
            let mut daemon = Daemon::start(&folder, &flags);
            let logged = daemon.count_logged("lets every user write to it");
            assert_eq!(logged, usize::from(warned), "{queue} {mode}");
            daemon.end();

            flags.extend(["--socket", daemon.socket().to_str().unwrap(), "--check-config"]);
            let checked = Command::new(WATCH).args(flags).output().unwrap();
            let text = String::from_utf8(checked.stderr).unwrap();
            assert!(checked.status.success(), "{text}");
            assert_eq!(text.contains("lets every user write to it"), warned, "{text}");
        });
    }
}
