//! Threads on one handle, for a race detector: see `ffi/race`. There is little to assert here;
//! that nothing raced is for ThreadSanitizer to say.

use std::thread;

use super::support::{Agent, Observer, Place, init};
use crate::agent::*;
use crate::observer::counters::*;
use crate::observer::polling::*;

const BUSY: i32 = -libc::EBUSY;
const TIMES: u32 = 300;

fn eight(work: impl Fn(u32) + Sync) {
    thread::scope(|scope| {
        for number in 0..8 {
            let work = &work;
            scope.spawn(move || (0..TIMES).for_each(|_| work(number)));
        }
    });
}

#[test]
fn eight_threads_race_for_nothing() {
    let place = Place::new();
    let observer = Observer::bind(&place.socket());
    let agent = Agent::connect(&place.socket());
    eight(|number| {
        let mut event = unsafe { std::mem::zeroed() };
        let mut counters: varta_observer_counters = init();
        let mut own: varta_agent_counters = init();
        let answers = unsafe {
            [
                agent.beat(0, number),
                varta_observer_poll(observer.raw(), &raw mut event, 0).number(),
                varta_observer_stats(observer.raw(), &raw mut counters).number(),
                varta_agent_stats(agent.raw(), &raw mut own).number(),
                if number == 0 { varta_reconnect(agent.raw()).number() } else { 0 },
            ]
        };
        assert!(answers.iter().all(|answer| *answer >= 0 || *answer == BUSY), "{answers:?}");
    });
}

/// The fault that the detector has to find before its word counts.
#[cfg(feature = "faults")]
#[test]
#[ignore = "it is a race; ffi/race/run wants it found"]
fn planted() {
    let place = Place::new();
    let _observer = Observer::bind(&place.socket());
    let agent = Agent::connect(&place.socket());
    eight(|_| _ = unsafe { crate::faults::varta_fault_race(agent.raw()) });
}

/// The hook of the C side: a panic in the built library.
#[cfg(feature = "faults")]
#[test]
fn a_planted_panic_is_contained() {
    let place = Place::new();
    let agent = Agent::connect(&place.socket());
    let code = unsafe { crate::faults::varta_fault_panic(agent.0) };
    assert_eq!(code.number(), crate::errors::VARTA_EPANIC);
    assert_eq!(agent.beat(0, 0), crate::errors::VARTA_EPANIC);
}
