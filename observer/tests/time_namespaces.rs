//! Agents in another time namespace than their observer, whose clocks differ by days.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use support::{
    Child, Folder, PATIENCE, in_child, is, let_time_pass, ms, needs_root, poll_for, poll_until,
    shared_numbers, skipped, text_of, wait_until,
};
use varta::BeatOutcome::Sent;
use varta::{Endpoint, Status, TaskOptions, Varta};
use varta_observer::{Builder, What};

/// About twelve days.
const APART_S: u64 = 1_000_000;

/// A threshold that is far from being reached, unless the clocks are confused.
const LONG: Duration = Duration::from_secs(3_600);

/// The clocks are compared by the agent's first message, whose answer an agent does not accept
/// later than this.
const MOST_INEXACT_NS: u64 = 500_000_000;

fn wait_for(step: &AtomicU64, number: u64) {
    wait_until(|| step.load(Ordering::SeqCst) >= number);
}

/// An agent whose clock is ahead by this much.
fn run_agent(path: &Path, ahead_s: u64, [step, beaten]: [&AtomicU64; 2]) {
    assert!(ahead_s == 0 || let_time_pass(ahead_s, false));
    wait_for(step, 1);
    let mut agent = Varta::open(path).unwrap();
    // What may be due so soon has the page read often.
    let mut task = agent.task_with("worker", TaskOptions::new(LONG).finest(ms(50))).unwrap();
    wait_until(|| {
        task.idle();
        agent.watched().is_some()
    });
    for number in 1..=20 {
        assert_eq!(agent.beat(Status::Ok, number), Sent, "the observer looks");
        std::thread::sleep(ms(5));
    }
    wait_for(step, 2);
    assert!(agent.watched().unwrap() < PATIENCE);
    // The observer is not polled now.
    wait_until(|| agent.watched().unwrap() > ms(300));
    assert_eq!(agent.beat(Status::Degraded, 99), Sent);
    let _ = task.beat(Status::Ok, 0);
    beaten.store(1, Ordering::SeqCst);
    wait_for(step, 3);
}

fn run_observer(path: &Path, ahead_s: u64, [step, beaten]: [&AtomicU64; 2]) {
    assert!(ahead_s == 0 || let_time_pass(ahead_s, false));
    let endpoint = Endpoint::Path(path.to_owned());
    let builder = Builder::new().listen(endpoint).threshold(LONG).lane(true).tasks(true);
    let mut observer = builder.bind().unwrap();
    step.store(1, Ordering::SeqCst);
    let mut events = poll_until(&mut observer, is("task"));
    let agent = events.last().unwrap().about.unwrap().agent;
    wait_until(|| {
        events.extend(poll_for(&mut observer, ms(5)));
        observer.agent(agent).unwrap().is_some_and(|info| info.beats >= 20)
    });

    let before = observer.now_ns();
    step.store(2, Ordering::SeqCst);
    wait_for(beaten, 1);
    let made = before..=observer.now_ns() + MOST_INEXACT_NS;
    events.extend(poll_for(&mut observer, ms(50)));
    let info = observer.agent(agent).unwrap().unwrap();
    assert!(made.contains(&info.last_ns), "{} is not in {made:?}", info.last_ns);
    let [task] = &observer.tasks(agent).unwrap()[..] else { panic!("there is one task") };
    assert!(made.contains(&task.last_ns), "{} is not in {made:?}", task.last_ns);
    let long = u64::try_from(LONG.as_nanos()).unwrap();
    let due_after = task.due.unwrap().due_ns - long;
    assert!(made.contains(&due_after), "{due_after} is not in {made:?}");
    assert!(!events.iter().any(is("stall")), "{}", text_of(&events));

    observer.set_threshold(agent, ms(1)).unwrap();
    let stall = poll_until(&mut observer, is("stall")).pop().unwrap();
    let What::Stall { last_ns, .. } = stall.what else { panic!("{stall}") };
    assert_eq!((stall.task, last_ns), (None, info.last_ns));
    step.store(3, Ordering::SeqCst);
    poll_until(&mut observer, is("exit"));
}

#[test]
fn ages_dues_and_the_last_look_are_right_across_time_namespaces() {
    if !needs_root() {
        return;
    }
    for (of_agent, of_observer) in [(APART_S, 0), (0, APART_S)] {
        let [step, beaten] = shared_numbers();
        if !Path::new("/proc/self/timens_offsets").exists() {
            return skipped("time namespaces");
        }
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let agent = Child::start(|| run_agent(&path, of_agent, [step, beaten]));
        in_child(|| run_observer(&path, of_observer, [step, beaten]));
        agent.finish();
    }
}
