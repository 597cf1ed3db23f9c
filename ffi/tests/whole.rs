//! Agents and observers together, over real sockets.

use std::ptr;
use std::thread;

use super::support::{Agent, Folder, Observer, alone, attached, init, patient, text};
use crate::agent::{varta_agent_counters, varta_agent_stats, varta_reconnect};
use crate::constants::*;
use crate::observer::agents::{VARTA_AGENT_STALLED, varta_agent_info, varta_observer_agents};
use crate::observer::counters::{varta_observer_counters, varta_observer_stats};
use crate::observer::options::{
    VARTA_OBSERVER_LANE, VARTA_OBSERVER_NO_EXITS, varta_observer_options,
};
use crate::observer::polling::{
    varta_observer_advice, varta_observer_fd, varta_observer_poll_many,
    varta_observer_timeout_ms,
};
use crate::observer::{
    varta_observer_bind, varta_observer_close, varta_observer_listen,
    varta_observer_set_threshold,
};

fn counters(observer: &Observer) -> varta_observer_counters {
    let mut counters = init();
    let code = unsafe { varta_observer_stats(observer.0, &raw mut counters) };
    assert_eq!(code.number(), 0);
    counters
}

#[test]
fn a_beat_arrives_with_all_its_fields() {
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    let agent = Agent::connect(&folder.socket());
    assert_eq!(agent.beat(VARTA_STATUS_DEGRADED, 0xfeed_beef), VARTA_SENT);
    let event = observer.wait(|event| event.kind == VARTA_EVENT_BEAT);
    assert_eq!((event.agent, event.pid, event.claimed_pid), (1, std::process::id(), event.pid));
    assert_eq!(event.origin, VARTA_ORIGIN_KERNEL_ATTESTED);
    assert_eq!((event.status, event.payload), (VARTA_STATUS_DEGRADED, 0xfeed_beef));
    assert_eq!((event.nonce, event.missed), (1, 0));
    assert_eq!((event.task, event.task_name), (0, [0; 24]));

    let mut agents: [varta_agent_info; 3] = [init(); 3];
    let many = unsafe { varta_observer_agents(observer.0, agents.as_mut_ptr(), 3) };
    assert_eq!(many.number(), 1);
    let [info, untouched, _] = agents;
    assert_eq!((info.agent, info.pid, info.beats), (1, event.pid, 1));
    assert_eq!((info.uid, info.flags), (unsafe { libc::geteuid() }, 0));
    assert_eq!(info.threshold_ns, patient().threshold_ns);
    assert_ne!(info.name[0], 0);
    assert_eq!(untouched.agent, 0);
    assert_eq!(counters(&observer).beats, 1);
}

#[test]
fn an_agents_own_threshold_decides_its_stall() {
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    let agent = Agent::connect(&folder.socket());
    assert_eq!(agent.beat(0, 0), 0);
    let first = observer.wait(|event| event.kind == VARTA_EVENT_BEAT);
    let set = |agent, ns| unsafe { varta_observer_set_threshold(observer.0, agent, ns) };
    assert_eq!(set(first.agent, 30_000_000).number(), 0);
    assert_eq!(set(first.agent + 1, 30_000_000).number(), -libc::ESRCH);
    let stall = observer.wait(|event| event.kind == VARTA_EVENT_STALL);
    assert_eq!((stall.nonce, stall.last_ns), (1, first.observer_ns));
    let mut info: varta_agent_info = init();
    unsafe { varta_observer_agents(observer.0, &raw mut info, 1) };
    assert_eq!(info.flags & VARTA_AGENT_STALLED, VARTA_AGENT_STALLED);

    assert_eq!(agent.beat(0, 0), 0);
    let back = observer.wait(|event| event.kind == VARTA_EVENT_RECOVERED);
    assert!(back.duration_ns >= 30_000_000);
    assert_eq!(observer.wait(|_| true).kind, VARTA_EVENT_BEAT);
}

#[test]
fn several_events_are_returned_at_once_and_in_order() {
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    let agent = Agent::connect(&folder.socket());
    for payload in 0..5 {
        assert_eq!(agent.beat(0, payload), 0);
    }
    let mut events = [unsafe { std::mem::zeroed::<crate::event::varta_event>() }; 64];
    let poll = |events: &mut [_], cap, timeout| {
        unsafe { varta_observer_poll_many(observer.0, events.as_mut_ptr(), cap, timeout) }
            .number()
    };
    assert_eq!(poll(&mut events, 2, -1), 2);
    assert_eq!(poll(&mut events[2..], 62, 1_000), 3);
    assert_eq!(poll(&mut events[5..], 59, 0), 0);
    let payloads: Vec<_> = events[..5].iter().map(|event| event.payload).collect();
    assert_eq!(payloads, [0, 1, 2, 3, 4]);
}

#[test]
fn the_callers_event_loop_is_woken() {
    let folder = Folder::new();
    let mut options = patient();
    options.threshold_ns = 30_000_000;
    let observer = Observer::bind_with(&folder.socket(), &options);
    assert_eq!(unsafe { varta_observer_timeout_ms(observer.0) }.number(), i32::MAX);
    let fd = unsafe { varta_observer_fd(observer.0) }.number();
    assert!(fd >= 0);
    let readable = |timeout| {
        let mut wanted = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        unsafe { libc::poll(&raw mut wanted, 1, timeout) == 1 }
    };
    assert!(!readable(0));
    let agent = Agent::connect(&folder.socket());
    assert_eq!(agent.beat(0, 0), 0);
    assert!(readable(-1));
    assert_eq!(observer.poll(0).unwrap().kind, VARTA_EVENT_BEAT);
    let timeout = unsafe { varta_observer_timeout_ms(observer.0) }.number();
    assert!((0..=30).contains(&timeout), "{timeout}");
    // It may wake up a few times before the deadline.
    let stall = (0..8).find_map(|_| {
        assert!(readable(-1), "a stall did not wake the loop");
        observer.poll(0)
    });
    assert_eq!(stall.unwrap().kind, VARTA_EVENT_STALL);
}

#[test]
fn one_observer_listens_at_several_endpoints() {
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    let second = text(folder.join("second.sock").to_str().unwrap());
    assert_eq!(unsafe { varta_observer_listen(observer.0, second.as_ptr()) }.number(), 0);
    let agent = Agent::connect(&second);
    assert_eq!(agent.beat(0, 9), 0);
    assert_eq!(observer.wait(|event| event.kind == VARTA_EVENT_BEAT).payload, 9);
    let taken = unsafe { varta_observer_listen(observer.0, second.as_ptr()) };
    assert_eq!(taken.number(), -libc::EADDRINUSE);
}

#[test]
fn an_inherited_socket_is_used_and_not_removed() {
    use std::os::fd::AsRawFd;
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let mut options: varta_observer_options = init();
    options.inherit = socket.as_raw_fd();
    let mut observer = ptr::null_mut();
    let bind = varta_observer_bind;
    let code = unsafe { bind(&raw mut observer, ptr::null(), &raw const options) };
    assert_eq!(code.number(), 0);
    let observer = Observer(observer);
    let agent = Agent::connect(&folder.socket());
    assert_eq!(agent.beat(0, 3), 0);
    assert_eq!(observer.wait(|event| event.kind == VARTA_EVENT_BEAT).payload, 3);
    drop(observer);
    assert!(path.exists());
    assert_eq!(agent.beat(0, 3), VARTA_SENT, "the caller's descriptor was closed");
}

#[test]
fn an_inherited_socket_for_connections_offers_the_lane() {
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let datagrams = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let connections = unsafe {
        let socket = libc::socket(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0);
        let mut address: libc::sockaddr_un = std::mem::zeroed();
        address.sun_family = libc::AF_UNIX as libc::sa_family_t;
        let lane = folder.join("varta.sock.lane");
        for (place, byte) in address.sun_path.iter_mut().zip(lane.to_str().unwrap().bytes()) {
            *place = byte as std::ffi::c_char;
        }
        let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
        assert_eq!(libc::bind(socket, (&raw const address).cast(), length), 0);
        assert_eq!(libc::listen(socket, 8), 0);
        OwnedFd::from_raw_fd(socket)
    };
    let mut options = patient();
    options.flags = VARTA_OBSERVER_LANE;
    options.inherit = datagrams.as_raw_fd();
    options.inherit_lane = connections.as_raw_fd();
    let mut observer = ptr::null_mut();
    let bind = varta_observer_bind;
    let code = unsafe { bind(&raw mut observer, ptr::null(), &raw const options) };
    assert_eq!(code.number(), 0);
    let observer = Observer(observer);
    attached(&Agent::connect(&folder.socket()), &observer);
    drop(observer);
    assert!(folder.join("varta.sock.lane").exists(), "it is the caller's");
}

#[test]
fn an_agent_can_start_before_its_observer_and_outlive_it() {
    alone(start_before_and_outlive);
}

fn start_before_and_outlive() {
    let folder = Folder::new();
    let agent = Agent::connect(&folder.socket());
    assert_eq!(agent.beat(0, 0), VARTA_DROPPED_NO_OBSERVER);
    for _ in 0..2 {
        let observer = Observer::bind(&folder.socket());
        while agent.beat(0, 0) != VARTA_SENT {
            thread::yield_now();
        }
        observer.wait(|event| event.kind == VARTA_EVENT_BEAT);
    }
    while agent.beat(0, 0) == VARTA_SENT {
        thread::yield_now();
    }
    let observer = Observer::bind(&folder.socket());
    assert_eq!(unsafe { varta_reconnect(agent.0) }.number(), 0);
    assert_eq!(agent.beat(0, 0), VARTA_SENT);
    observer.wait(|event| event.kind == VARTA_EVENT_BEAT);
    let mut counters: varta_agent_counters = init();
    assert_eq!(unsafe { varta_agent_stats(agent.0, &raw mut counters) }.number(), 0);
    assert_eq!((counters.clock_regressions, counters.fork_recoveries), (0, 0));
}

#[test]
fn advice_is_truncated_to_fit() {
    let folder = Folder::new();
    let mut options: varta_observer_options = init();
    options.capacity = 1 << 20;
    options.flags = VARTA_OBSERVER_NO_EXITS;
    let observer = Observer::bind_with(&folder.socket(), &options);
    let mut buffer = [b'x'; 12];
    let advice = |buffer: &mut [u8]| {
        unsafe { varta_observer_advice(observer.0, buffer.as_mut_ptr().cast(), buffer.len()) }
            .number()
    };
    assert!(advice(&mut buffer) > 12);
    assert_eq!(&buffer, b"the kernel \0");
}

#[test]
fn version_numbers_match_the_package() {
    let [major, minor, patch] = [
        env!("CARGO_PKG_VERSION_MAJOR"),
        env!("CARGO_PKG_VERSION_MINOR"),
        env!("CARGO_PKG_VERSION_PATCH"),
    ]
    .map(|part| part.parse::<i32>().unwrap());
    assert_eq!(crate::version::VARTA_VERSION, major << 16 | minor << 8 | patch);
    assert_eq!(crate::version::varta_version().number(), crate::version::VARTA_VERSION);
    assert_eq!(crate::version::varta_version_string().words(), env!("CARGO_PKG_VERSION"));
    assert_eq!(crate::version::varta_abi_version().number(), 0);
}

#[test]
fn a_state_file_is_used_by_one_observer_at_a_time() {
    let folder = Folder::new();
    let state = text(folder.join("sessions").to_str().unwrap());
    let mut options = patient();
    options.secure_state_file = state.as_ptr();
    let first = Observer::bind_with(&text(folder.join("first").to_str().unwrap()), &options);
    let bind_another = || {
        let (endpoint, mut observer) = (folder.socket(), ptr::null_mut());
        let code = unsafe {
            varta_observer_bind(&raw mut observer, endpoint.as_ptr(), &raw const options)
        };
        unsafe { varta_observer_close(observer) };
        code.number()
    };
    assert_eq!(bind_another(), -libc::EADDRINUSE);
    drop(first);
    assert_eq!(bind_another(), 0);
}
