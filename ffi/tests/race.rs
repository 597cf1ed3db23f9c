//! Threads that use one handle, for ThreadSanitizer, which `ffi/race` runs and which finds the
//! races.

use std::thread;

use super::support::{Agent, Folder, Observer, init};
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
fn eight_threads_do_not_race() {
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    let agent = Agent::connect(&folder.socket());
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

/// The race that ThreadSanitizer must find, which shows that it works.
#[cfg(feature = "faults")]
#[test]
#[ignore = "it has a race, which ffi/race/run expects to be found"]
fn planted() {
    let folder = Folder::new();
    let _observer = Observer::bind(&folder.socket());
    let agent = Agent::connect(&folder.socket());
    eight(|_| _ = unsafe { crate::faults::varta_fault_race(agent.raw()) });
}

/// The panic that C programs also provoke in the built library.
#[cfg(feature = "faults")]
#[test]
fn a_planted_panic_is_caught() {
    let folder = Folder::new();
    let agent = Agent::connect(&folder.socket());
    let code = unsafe { crate::faults::varta_fault_panic(agent.0) };
    assert_eq!(code.number(), crate::errors::VARTA_EPANIC);
    assert_eq!(agent.beat(0, 0), crate::errors::VARTA_EPANIC);
}
