//! Forks at any moment: a child never inherits a lock that another thread held.

use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::support::{Agent, Child, Ended, Folder, Observer, init};
use crate::agent::*;
use crate::constants::*;
use crate::handle::Handle;
use crate::observer::options::{VARTA_OBSERVER_NO_EXITS, varta_observer_options};
use crate::observer::polling::*;
use crate::observer::{varta_observer_listen, varta_observer_set_threshold};

/// Beats until one is sent and returns 0, or a number that tells which error occurred.
fn beats(agent: &Agent) -> i32 {
    loop {
        match agent.beat(0, 7) {
            VARTA_SENT => return 0,
            VARTA_DROPPED_KERNEL_QUEUE_FULL => thread::yield_now(),
            other => return 50 + (other & 63),
        }
    }
}

/// Beats once into a queue that other threads fill, and returns 0 unless the beat failed.
fn beats_at_once(agent: &Agent) -> i32 {
    match agent.beat(0, 7) {
        VARTA_SENT | VARTA_DROPPED_KERNEL_QUEUE_FULL => 0,
        other => 50 + (other & 63),
    }
}

#[test]
fn a_child_forked_during_beats_and_connects_can_beat() {
    let folder = Folder::new();
    let mut options: varta_observer_options = init();
    options.flags = VARTA_OBSERVER_NO_EXITS;
    let observer = Observer::bind_with(&folder.socket(), &options);
    let agents = [(); 4].map(|()| Agent::connect(&folder.socket()));
    let over = AtomicBool::new(false);
    let socket = &folder.socket();
    thread::scope(|scope| {
        for agent in &agents[..2] {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    agent.beat(0, 1);
                }
            });
        }
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                unsafe { varta_reconnect(agents[2].0) };
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                drop(Agent::connect(socket));
            }
        });
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                observer.poll(1);
            }
        });
        let _stop = StopOnDrop(&over);
        for fork in 0..200 {
            let child = Child::start(|| {
                agents.iter().map(beats_at_once).find(|answer| *answer != 0).unwrap_or_else(
                    || {
                        let another = Agent::connect(socket);
                        beats_at_once(&another)
                    },
                )
            });
            assert_eq!(child.ended(), Ended::Exited(0), "fork {fork}");
        }
    });
}

/// Stops the threads even if the test fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_lock_held_at_the_fork_is_free_in_the_child() {
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    let agent = Agent::connect(&folder.socket());
    let fork_within = |_: &mut crate::agent::Agent| {
        let child = Child::start(|| {
            let in_child = beats(&agent);
            // A lock works in the child as well.
            let again = unsafe {
                Handle::<crate::agent::Agent>::with(agent.0.cast(), |_| Ok(agent.beat(0, 7)))
            };
            in_child + i32::from(again != Ok(-libc::EBUSY))
        });
        assert_eq!(child.ended(), Ended::Exited(0));
        Ok(agent.beat(0, 8))
    };
    assert_eq!(
        unsafe { Handle::<crate::agent::Agent>::with(agent.0.cast(), fork_within) },
        Ok(-libc::EBUSY)
    );
    assert_eq!(agent.beat(0, 9), VARTA_SENT);
    let first = observer.wait(|event| event.kind == VARTA_EVENT_BEAT);
    assert_eq!((first.payload, first.nonce), (7, 1));
    assert_ne!(first.pid, std::process::id());
    let own = observer.wait(|event| event.payload == 9);
    assert_eq!((own.nonce, own.pid), (1, std::process::id()));
}

#[test]
fn a_child_counts_the_fork_and_can_close_without_affecting_its_parent() {
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    let agent = Agent::connect(&folder.socket());
    let child = Child::start(|| {
        let sent = beats(&agent);
        let mut counters: varta_agent_counters = init();
        unsafe { varta_agent_stats(agent.0, &raw mut counters) };
        unsafe { varta_close(agent.0) };
        unsafe { crate::observer::varta_observer_close(observer.0) };
        sent + i32::from(counters.fork_recoveries != 1)
    });
    assert_eq!(child.ended(), Ended::Exited(0));
    assert_eq!(agent.beat(0, 3), VARTA_SENT);
    observer.wait(|event| event.payload == 3);
    drop(Agent::connect(&folder.socket()));
}

#[test]
fn a_child_cannot_use_its_parents_observer() {
    let folder = Folder::new();
    let observer = Observer::bind(&folder.socket());
    let obs = observer.0;
    let child = Child::start(|| {
        let mut event = unsafe { std::mem::zeroed() };
        let event = &raw mut event;
        let answers = unsafe {
            [
                varta_observer_poll(obs, event, 0),
                varta_observer_poll_many(obs, event, 1, 0),
                varta_observer_fd(obs),
                varta_observer_timeout_ms(obs),
                varta_observer_advice(obs, [0; 64].as_mut_ptr(), 64),
                varta_observer_listen(obs, c"@elsewhere".as_ptr()),
                varta_observer_set_threshold(obs, 1, 1),
                crate::observer::agents::varta_observer_agents(obs, ptr::null_mut(), 0),
                crate::observer::agents::varta_observer_label(obs, 1, [0; 64].as_mut_ptr(), 64),
                crate::observer::counters::varta_observer_stats(obs, &mut init()),
                crate::observer::slack::varta_observer_set_slack(obs, ptr::null(), 0),
                crate::observer::tasks::varta_observer_tasks(obs, 1, ptr::null_mut(), 0),
                crate::observer::waking::varta_observer_wake(obs),
            ]
        };
        answers.iter().filter(|answer| answer.number() != -libc::ECHILD).count() as i32
    });
    assert_eq!(child.ended(), Ended::Exited(0));
    assert!(unsafe { varta_observer_fd(obs) }.number() >= 0);
}
