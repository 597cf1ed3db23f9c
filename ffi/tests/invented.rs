//! Simulated observers, and the conversion of events to C.

use varta::{Frame, Status};

use super::support::{Observer, init};
use crate::constants::*;
use crate::event::varta_event;
use crate::observer::options::varta_observer_options;
use crate::simulated::*;

/// Feeds a valid beat of this process and user.
pub(super) fn feed_beat(observer: &Observer, at_ns: u64, pid: u32, uid: u32) {
    let mut wire = [0; 32];
    Frame::new(Status::Ok, pid, 0, 1, 0).encode(&mut wire);
    let mut datagram: varta_datagram = init();
    datagram.bytes = wire.as_ptr();
    datagram.length = wire.len();
    datagram.pid = pid;
    datagram.uid = uid;
    let code = unsafe { varta_observer_feed(observer.0, at_ns, &raw const datagram) };
    assert_eq!(code.number(), 0);
}

fn events(observer: &Observer) -> Vec<varta_event> {
    std::iter::from_fn(|| observer.poll(0)).collect()
}

const SECOND: u64 = 1_000_000_000;

#[test]
fn beat_stall_recovery_and_exit_are_reported() {
    let simulated = Observer::simulate(&init());
    feed_beat(&simulated, SECOND, 42, 0);
    let [beat] = events(&simulated)[..] else { panic!("one beat") };
    assert_eq!((beat.kind, beat.agent, beat.pid), (VARTA_EVENT_BEAT, 1, 42));
    assert_eq!(beat.observer_ns, SECOND);
    assert_eq!(unsafe { varta_observer_advance(simulated.0, 3 * SECOND, 0) }.number(), 0);
    let [stall] = events(&simulated)[..] else { panic!("one stall") };
    assert_eq!((stall.kind, stall.last_ns), (VARTA_EVENT_STALL, SECOND));
    feed_beat(&simulated, 4 * SECOND, 42, 0);
    let [back, beat] = events(&simulated)[..] else { panic!("a recovery and a beat") };
    assert_eq!((back.kind, back.duration_ns), (VARTA_EVENT_RECOVERED, 3 * SECOND));
    assert_eq!(beat.kind, VARTA_EVENT_BEAT);
    let exit = |pid| unsafe {
        varta_observer_feed_exit(simulated.0, 5 * SECOND, pid, VARTA_EXIT_SIGNAL, 9).number()
    };
    assert_eq!((exit(43), exit(42), exit(42)), (0, 1, 0));
    let [exit] = events(&simulated)[..] else { panic!("one exit") };
    assert_eq!(
        (exit.kind, exit.exit_cause, exit.code),
        (VARTA_EVENT_EXIT, VARTA_EXIT_SIGNAL, 9)
    );
}

#[test]
fn pauses_are_reported() {
    let simulated = Observer::simulate(&init());
    unsafe { varta_observer_feed_late(simulated.0, 5 * SECOND, SECOND) };
    unsafe { varta_observer_feed_suspended(simulated.0, 70 * SECOND, 60 * SECOND) };
    let paused: Vec<_> =
        events(&simulated).iter().map(|event| (event.kind, event.duration_ns)).collect();
    assert_eq!(paused[0], (VARTA_EVENT_PAUSED, 4 * SECOND));
    assert_eq!(paused[1].0, VARTA_EVENT_PAUSED);
}

#[test]
fn decode_errors_report_what_was_found() {
    let simulated = Observer::simulate(&init());
    let mut wire = [0; 32];
    Frame::new(Status::Ok, 42, 0, 1, 0).encode(&mut wire);
    let feed = |wire: &[u8; 32]| {
        let mut datagram: varta_datagram = init();
        datagram.bytes = wire.as_ptr();
        datagram.length = 32;
        datagram.pid = 42;
        unsafe { varta_observer_feed(simulated.0, 0, &raw const datagram) };
        let [event] = events(&simulated)[..] else { panic!("one event") };
        event
    };
    wire[28] ^= 1;
    let event = feed(&wire);
    assert_eq!((event.kind, event.agent, event.origin), (VARTA_EVENT_DECODE, 0, 0));
    assert_eq!(event.decode_error, VARTA_DECODE_BAD_CRC);
    assert_eq!(event.expected ^ event.found, 1);
    wire[28] ^= 1;
    let other = wire;
    Frame::new(Status::Ok, 43, 0, 1, 0).encode(&mut wire);
    let event = feed(&wire);
    assert_eq!(event.kind, VARTA_EVENT_AUTH_FAILURE);
    assert_eq!((event.pid, event.claimed_pid, event.agent), (42, 43, 0));
    assert_eq!(feed(&other).kind, VARTA_EVENT_BEAT);
}

#[test]
fn network_senders_have_their_own_origin_and_address() {
    let mut options: varta_observer_options = init();
    let key = [7; 32];
    options.shared_keys = key.as_ptr();
    options.shared_key_count = 1;
    let simulated = Observer::simulate(&options);
    let mut wire = [0; 32];
    Frame::new(Status::Ok, 42, 0, 1, 0).encode(&mut wire);
    let mut sealed = [0; 60];
    let code = unsafe {
        crate::sealing::varta_frame_seal(
            sealed.as_mut_ptr(),
            key.as_ptr(),
            [1; 8].as_ptr(),
            1,
            wire.as_ptr(),
        )
    };
    assert_eq!(code.number(), 0);
    for (sender, bytes, source, origin) in [
        (VARTA_SENDER_NETWORK, &wire[..], c"192.0.2.1", VARTA_ORIGIN_NETWORK),
        (VARTA_SENDER_SECURE_NETWORK, &sealed[..], c"2001:db8::1", VARTA_ORIGIN_SECURE_NETWORK),
    ] {
        let mut datagram: varta_datagram = init();
        datagram.sender = sender;
        datagram.listener = sender;
        datagram.bytes = bytes.as_ptr();
        datagram.length = bytes.len();
        datagram.source = source.as_ptr();
        let code = unsafe { varta_observer_feed(simulated.0, 0, &raw const datagram) };
        assert_eq!(code.number(), 0);
        let [event] = events(&simulated)[..] else { panic!("one event") };
        assert_eq!((event.origin, event.pid, event.claimed_pid), (origin, 0, 42));
    }
    let mut agents: [crate::observer::agents::varta_agent_info; 2] = [init(); 2];
    let list = crate::observer::agents::varta_observer_agents;
    assert_eq!(unsafe { list(simulated.0, agents.as_mut_ptr(), 2) }.number(), 2);
    let addresses = agents.map(|agent| {
        unsafe { std::ffi::CStr::from_ptr(agent.address.as_ptr()) }.to_str().unwrap().to_owned()
    });
    assert_eq!(addresses, ["192.0.2.1", "2001:db8::1"]);
    assert_eq!(agents[0].uid, crate::observer::agents::VARTA_NO_UID);
}

#[test]
fn a_sender_in_another_namespace_is_reported_with_both_pids() {
    use crate::observer::options::VARTA_OBSERVER_NAMESPACES;
    let mut wire = [0; 32];
    Frame::new(Status::Ok, 7, 0, 1, 0).encode(&mut wire);
    const ADMITTED: u32 = VARTA_OBSERVER_NAMESPACES;
    for (flags, innermost_pid, expected) in [
        (0, 0, None),
        (0, 7, None),
        (ADMITTED, 0, Some((4321, 7))),
        (ADMITTED, 7, Some((4321, 7))),
        // An event that is about no agent: the claim is wrong.
        (ADMITTED, 8, Some((4321, 7))),
    ] {
        let mut options: varta_observer_options = init();
        options.flags = flags;
        let simulated = Observer::simulate(&options);
        let mut datagram: varta_datagram = init();
        datagram.bytes = wire.as_ptr();
        datagram.length = 32;
        datagram.pid = 4321;
        datagram.pid_namespace = VARTA_NAMESPACE_OTHER;
        datagram.innermost_pid = innermost_pid;
        let code = unsafe { varta_observer_feed(simulated.0, 0, &raw const datagram) };
        assert_eq!(code.number(), 0);
        let event = simulated.poll(0);
        assert_eq!(event.map(|event| (event.pid, event.claimed_pid)), expected);
        let is_agent = event.is_some_and(|event| event.agent != 0);
        assert_eq!(is_agent, flags == ADMITTED && innermost_pid != 8);
    }
}
