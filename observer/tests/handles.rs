//! What a host needs to act on an agent: its state, and a pidfd, which cannot signal another
//! process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![allow(unsafe_code, reason = "a signal by pidfd")]

mod support;

use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use support::{
    Folder, NEVER, PATIENCE, TestAgent, frame, in_child, is, limit_descriptors, poll_until,
    readable_within,
};
use varta_observer::{Builder, ExitCause, Observer, What};

fn listening(path: &Path) -> Builder {
    Builder::new().listen(path.to_str().unwrap().parse().unwrap()).threshold(NEVER)
}

fn kill_by(pidfd: &OwnedFd) -> io::Result<()> {
    let (info, flags) = (std::ptr::null::<libc::siginfo_t>(), 0);
    // SAFETY: numbers, and no signal information.
    match unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            libc::SIGKILL,
            info,
            flags,
        )
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// An agent with one beat, and its number.
fn agent_with_beat(observer: &mut Observer, path: &Path) -> (TestAgent, u64) {
    let agent = TestAgent::at(path);
    agent.beat(7);
    let beat = poll_until(observer, is("beat")).pop().unwrap();
    (agent, beat.about.unwrap().agent)
}

#[test]
fn an_agent_is_found_by_its_number() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = listening(&path).bind().unwrap();
    let (agent, number) = agent_with_beat(&mut observer, &path);
    let info = observer.agent(number).unwrap().unwrap();
    assert_eq!((info.agent, info.pid, info.beats), (number, agent.pid(), 1));
    let comm = std::fs::read_to_string(format!("/proc/{}/comm", agent.pid())).unwrap();
    assert_eq!(info.name.to_string(), comm.trim_end());
    assert_eq!(observer.agent(number + 1).unwrap(), None);
    agent.exit(0);
    poll_until(&mut observer, is("exit"));
    assert_eq!(observer.agent(number).unwrap(), None);
}

/// This holds whether or not the observer itself holds a descriptor.
#[test]
fn a_pidfd_refers_to_the_agents_process_or_is_none() {
    let folder = Folder::new();
    for bound in [10, 0] {
        let path = folder.join(&format!("{bound}.sock"));
        let mut observer = listening(&path).descriptors(bound).bind().unwrap();
        let (mut agent, number) = agent_with_beat(&mut observer, &path);
        let pidfd = observer.pidfd(number).unwrap().unwrap();
        assert!(!readable_within(pidfd.as_fd(), std::time::Duration::ZERO), "it runs");
        kill_by(&pidfd).unwrap();
        assert!(readable_within(pidfd.as_fd(), PATIENCE));
        if bound > 0 {
            let exit = poll_until(&mut observer, is("exit")).pop().unwrap();
            let What::Exit { cause, .. } = exit.what else { panic!("{exit}") };
            assert_eq!(cause, ExitCause::Signal(libc::SIGKILL));
        }
        agent.reap();
        assert!(observer.pidfd(number).unwrap().is_none(), "no process has its pid");
        assert_eq!(kill_by(&pidfd).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }
}

#[test]
fn there_is_no_pidfd_without_exit_detection_or_over_a_network() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer =
        listening(&path).udp(([127, 0, 0, 1], 0).into()).detect_exits(false).bind().unwrap();
    let (_agent, number) = agent_with_beat(&mut observer, &path);
    assert!(observer.pidfd(number).unwrap().is_none(), "exits are not detected");
    let address = observer.udp_addresses().next().unwrap();
    let network = UdpSocket::bind("127.0.0.1:0").unwrap();
    network.send_to(&frame(77, 1), address).unwrap();
    let beat = poll_until(&mut observer, is("beat")).pop().unwrap();
    assert!(observer.pidfd(beat.about.unwrap().agent).unwrap().is_none(), "over a network");
    assert!(observer.pidfd(1 << 40).unwrap().is_none(), "no such agent");

    in_child(|| {
        let error = observer.pidfd(number).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ECHILD));
        let error = observer.agent(number).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ECHILD));
    });
}

#[test]
fn pidfd_fails_when_no_descriptor_is_left() {
    for bound in [10, 0] {
        in_child(|| {
            let folder = Folder::new();
            let path = folder.join("varta.sock");
            let mut observer = listening(&path).descriptors(bound).bind().unwrap();
            let (_agent, number) = agent_with_beat(&mut observer, &path);
            let next = File::open("/dev/null").unwrap().as_raw_fd();
            limit_descriptors(u64::try_from(next).unwrap());
            let error = observer.pidfd(number).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        });
    }
}
