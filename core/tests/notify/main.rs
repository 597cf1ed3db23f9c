//! An agent notifies the service manager of its process: keep-alives with its beats, and
//! `ready`, `stopping` and `status`. Each test runs in a forked child, which has an environment
//! of its own.

#![cfg(all(target_os = "linux", feature = "udp"))]
#![allow(unsafe_code, reason = "the environment of a child, and closing its descriptors")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod keep_alives;
mod messages;
#[path = "../support/mod.rs"]
mod support;

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;
use std::{env, process, thread};

use support::observer::LaneObserver;
use support::{Folder, Receiver, in_child};
use varta::{AnyTransport, UdpTransport, Varta};

const ALIVE: &[u8] = b"WATCHDOG=1";
/// An interval of which each beat is after the half.
const TINY: &str = "1";
/// An interval of which only the first beat of a test is due.
const HOURS: &str = "36000000000";

/// What a service manager sets for its process.
struct Manager {
    folder: Folder,
    receiver: Receiver,
}

impl Manager {
    fn new() -> Self {
        let folder = Folder::new();
        let receiver = Receiver::uds(folder.join("manager"));
        Self { folder, receiver }
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("manager")
    }

    /// Sets what it sets for this process, in which notifications are on.
    fn start(&self, usec: &str) {
        set("VARTA_NOTIFY", "1");
        set("NOTIFY_SOCKET", self.socket().to_str().unwrap());
        set("WATCHDOG_USEC", usec);
        set("WATCHDOG_PID", &process::id().to_string());
    }

    fn messages(&self) -> Vec<String> {
        let text = |message| String::from_utf8(message).unwrap();
        self.receiver.queued_datagrams().into_iter().map(text).collect()
    }

    fn fill_queue(&self) {
        let filler = UnixDatagram::unbound().unwrap();
        filler.set_nonblocking(true).unwrap();
        while filler.send_to(b"X_FILLER=1", self.socket()).is_ok() {}
    }
}

/// In a child, which has one thread.
fn set(name: &str, value: &str) {
    // SAFETY: no other thread uses the environment.
    unsafe { env::set_var(name, value) };
}

fn unset(name: &str) {
    // SAFETY: as above.
    unsafe { env::remove_var(name) };
}

/// An agent whose beats arrive somewhere.
fn agent() -> (Varta<UdpTransport>, Receiver) {
    let receiver = Receiver::udp();
    (Varta::connect_udp(receiver.address()).unwrap(), receiver)
}

/// Runs a test in a child that a service manager supervises, with an agent.
fn with_agent(usec: &str, test: impl FnOnce(&Manager, Varta<UdpTransport>)) {
    let manager = Manager::new();
    in_child(|| {
        manager.start(usec);
        let (agent, _receiver) = agent();
        test(&manager, agent);
    });
}

/// As `with_agent`, with an agent that beats into a page.
fn with_attached_agent(usec: &str, test: impl FnOnce(&Manager, &mut Varta<AnyTransport>)) {
    let manager = Manager::new();
    in_child(|| {
        manager.start(usec);
        let path = manager.folder.join("varta.sock");
        let observer = LaneObserver::bind(&path);
        let (mut agent, _connection, _page) = observer.attach(&path);
        test(&manager, &mut agent);
    });
}

/// Time enough for a tiny interval.
fn let_it_be_due() {
    thread::sleep(Duration::from_millis(1));
}
