//! The name of an event's agent, which the event has no room for.

use std::ffi::{CStr, c_char};
use std::thread;
use std::time::Duration;

use super::invented::feed_beat;
use super::support::{Agent, Child, Ended, Folder, Observer, init, patient, text};
use crate::constants::*;
use crate::observer::agents::varta_observer_label;
use crate::observer::options::VARTA_OBSERVER_LANE;
use crate::observer::polling::varta_observer_poll_many;
use crate::simulated::lane::varta_observer_feed_name;
use crate::simulated::varta_observer_feed_exit;
use crate::task::VARTA_NEVER;

/// What varta_observer_label returns for a buffer of this size, and what it writes.
fn label(observer: &Observer, agent: u64, cap: usize) -> (i32, String) {
    // Beyond the buffer, nothing may be written.
    let mut buffer = [c_char::MAX; 80];
    let code = unsafe { varta_observer_label(observer.0, agent, buffer.as_mut_ptr(), cap) };
    assert!(buffer[cap..].iter().all(|byte| *byte == c_char::MAX));
    let text = unsafe { CStr::from_ptr(buffer.as_ptr()) }.to_str().unwrap();
    (code.number(), text.to_owned())
}

fn all(name: &str) -> (i32, String) {
    (name.len() as i32, name.to_owned())
}

#[test]
fn the_events_of_a_process_can_be_named_also_its_exit() {
    let folder = Folder::new();
    let endpoint = folder.socket();
    let mut options = patient();
    options.threshold_ns = 200_000_000;
    options.flags = VARTA_OBSERVER_LANE;
    let observer = Observer::bind_with(&endpoint, &options);
    let child = Child::start(|| {
        unsafe { std::env::set_var("VARTA_NAME", "indexer") };
        let agent = Agent::connect(&endpoint);
        while agent.watched_ns() == VARTA_NEVER {
            assert!(agent.beat(0, 0) >= 0);
            thread::sleep(Duration::from_millis(1));
        }
        // The others may have gone as datagrams, before the name.
        assert!(agent.beat(0, 0) >= 0);
        unsafe { libc::pause() };
        0
    });
    for kind in [VARTA_EVENT_BEAT, VARTA_EVENT_STALL, VARTA_EVENT_EXIT] {
        if kind == VARTA_EVENT_EXIT {
            unsafe { libc::kill(child.0, libc::SIGKILL) };
        }
        // It may beat before it declares its name.
        observer.wait(|event| {
            event.kind == kind && label(&observer, event.agent, 64) == all("indexer")
        });
    }
    assert_eq!(child.ended(), Ended::Killed(libc::SIGKILL));
}

#[test]
fn a_name_is_cut_to_fit_and_its_whole_length_is_returned() {
    let simulated = Observer::simulate(&init());
    let whole = "f\u{fc}r-Gr\u{f6}\u{df}e";
    let feed_name = |name: &str| {
        unsafe { varta_observer_feed_name(simulated.0, 42, text(name).as_ptr()) }.number()
    };
    assert_eq!(feed_name(whole), 0);
    feed_beat(&simulated, 0, 42, 0);
    let length = whole.len() as i32;
    for (cap, cut) in [
        (64, whole),
        (whole.len() + 1, whole),
        (whole.len(), "f\u{fc}r-Gr\u{f6}\u{df}"),
        // No character is cut in half.
        (3, "f"),
        (1, ""),
    ] {
        assert_eq!(label(&simulated, 1, cap), (length, cut.to_owned()), "{cap} bytes");
    }
    let mut buffer = [c_char::MAX];
    let code = unsafe { varta_observer_label(simulated.0, 1, buffer.as_mut_ptr(), 0) };
    assert_eq!((code.number(), buffer), (-libc::EINVAL, [c_char::MAX]));
    assert_eq!(feed_name("a\x1bb"), 0);
    assert_eq!(label(&simulated, 1, 64), all(r"a\u{1b}b"));
    assert_eq!(label(&simulated, 2, 64), all(""));
}

#[test]
fn events_that_waited_can_be_named_after_their_agents_have_exited() {
    let simulated = Observer::simulate(&init());
    for (pid, name) in [(42, "first"), (43, "second")] {
        unsafe { varta_observer_feed_name(simulated.0, pid, text(name).as_ptr()) };
        feed_beat(&simulated, 0, pid, 0);
        unsafe { varta_observer_feed_exit(simulated.0, 1, pid, VARTA_EXIT_CODE, 0) };
    }
    let mut events = [unsafe { std::mem::zeroed() }; 8];
    let count =
        unsafe { varta_observer_poll_many(simulated.0, events.as_mut_ptr(), 8, 0) }.number();
    let named = events.map(|event| (event.kind, label(&simulated, event.agent, 64).1));
    assert_eq!(count, 4);
    for (at, name) in [(0, "first"), (1, "first"), (2, "second"), (3, "second")] {
        let kind = if at % 2 == 0 { VARTA_EVENT_BEAT } else { VARTA_EVENT_EXIT };
        assert_eq!(named[at], (kind, name.to_owned()));
    }
}
