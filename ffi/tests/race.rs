//! Threads that use one handle, for ThreadSanitizer, which `ffi/race` runs and which finds the
//! races.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::support::{Agent, Folder, Observer, Task, attached, init, patient};
use crate::agent::*;
use crate::observer::counters::*;
use crate::observer::options::*;
use crate::observer::polling::*;
use crate::task::info::*;
use crate::task::*;

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

#[test]
fn sixteen_threads_with_a_task_each_do_not_race() {
    let folder = Folder::new();
    let mut options = patient();
    options.flags = VARTA_OBSERVER_LANE | VARTA_OBSERVER_TASKS;
    let observer = Observer::bind_with(&folder.socket(), &options);
    let agent = Agent::connect(&folder.socket());
    attached(&agent, &observer);
    let tasks = [(); 16].map(|()| Task::open(&agent, "worker", VARTA_NEVER));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let workers: Vec<_> = tasks
            .into_iter()
            .map(|task| {
                scope.spawn(move || {
                    let task = task;
                    for number in 0..TIMES {
                        let span = unsafe { varta_task_watch(task.0, 0, VARTA_NEVER) }.number();
                        let answers = unsafe {
                            [
                                varta_task_beat(task.0, 0, number),
                                varta_task_progress(task.0, number, 1),
                                varta_task_reach(task.0, 1),
                                varta_task_idle(task.0, VARTA_NEVER),
                                varta_task_unwatch(task.0, span),
                            ]
                        };
                        assert_eq!(answers.map(|code| code.number()), [0, 0, 0, 0, 1]);
                    }
                })
            })
            .collect();
        // Meanwhile another thread asks about them, and the observer reads what they write.
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let mut info: varta_task_info = init();
                unsafe { varta_agent_tasks(agent.0, &raw mut info, 1) };
                agent.beat(0, 0);
            }
        });
        while workers.iter().any(|worker| !worker.is_finished()) {
            observer.poll(1);
        }
        over.store(true, Ordering::Relaxed);
        assert!(workers.into_iter().all(|worker| worker.join().is_ok()));
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
