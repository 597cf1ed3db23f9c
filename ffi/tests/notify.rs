//! Notifications to the service manager, each test in a child with an environment of its own.

use std::env;
use std::os::unix::net::UnixDatagram;

use super::support::{Agent, Folder, alone, init, text};
use crate::agent::{VARTA_AGENT_NOTIFY, varta_agent_options};
use crate::constants::{
    VARTA_DROPPED_KERNEL_QUEUE_FULL, VARTA_DROPPED_NO_OBSERVER, VARTA_DROPPED_NOT_CONFIGURED,
    VARTA_SENT,
};
use crate::notify::{varta_ready, varta_status, varta_stopping};

/// Sets what a service manager with this socket sets. This process has one thread.
fn managed(folder: &Folder) -> UnixDatagram {
    let path = folder.join("manager");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_nonblocking(true).unwrap();
    unsafe { env::set_var("NOTIFY_SOCKET", &path) };
    unsafe { env::set_var("WATCHDOG_USEC", "3600000000") };
    manager
}

fn messages(manager: &UnixDatagram) -> Vec<String> {
    let mut room = [0; 512];
    let next = || {
        let length = manager.recv(&mut room).ok()?;
        Some(String::from_utf8(room[..length].to_vec()).unwrap())
    };
    std::iter::from_fn(next).collect()
}

fn agent(flags: u32) -> Agent {
    let mut options: varta_agent_options = init();
    options.flags = flags;
    Agent::connect_with(&text("@varta-ffi-notify-nobody"), &options)
}

fn all(agent: &Agent) -> [i32; 3] {
    let status = unsafe { varta_status(agent.0, c"two\nlines".as_ptr()) }.number();
    let ready = unsafe { varta_ready(agent.0) }.number();
    [status, ready, unsafe { varta_stopping(agent.0) }.number()]
}

#[test]
fn an_agent_with_the_flag_notifies_and_its_beats_send_keep_alives() {
    alone(|| {
        let folder = Folder::new();
        let manager = managed(&folder);
        let agent = agent(VARTA_AGENT_NOTIFY);
        for _ in 0..3 {
            assert_eq!(agent.beat(0, 0), VARTA_DROPPED_NO_OBSERVER);
        }
        assert_eq!(all(&agent), [VARTA_SENT; 3]);
        let sent = ["WATCHDOG=1", "STATUS=two lines", "READY=1", "STOPPING=1"];
        assert_eq!(messages(&manager), sent);
        let not_utf8 = unsafe { varta_status(agent.0, c"\xff".as_ptr()) };
        assert_eq!(not_utf8.number(), -libc::EINVAL);
        while unsafe { varta_ready(agent.0) }.number() == VARTA_SENT {}
        assert_eq!(all(&agent), [VARTA_DROPPED_KERNEL_QUEUE_FULL; 3]);
        drop(manager);
        assert_eq!(all(&agent), [VARTA_DROPPED_NO_OBSERVER; 3]);
    });
}

#[test]
fn an_agent_without_the_flag_notifies_only_if_the_environment_says_so() {
    alone(|| {
        let folder = Folder::new();
        let manager = managed(&folder);
        assert_eq!(all(&agent(0)), [VARTA_DROPPED_NOT_CONFIGURED; 3]);
        unsafe { env::set_var("VARTA_NOTIFY", "1") };
        assert_eq!(messages(&manager), [""; 0]);
        assert_eq!(all(&agent(0)), [VARTA_SENT; 3]);
        assert_eq!(messages(&manager).len(), 3);
    });
    alone(|| {
        unsafe { env::remove_var("NOTIFY_SOCKET") };
        assert_eq!(all(&agent(VARTA_AGENT_NOTIFY)), [VARTA_DROPPED_NOT_CONFIGURED; 3]);
    });
}
