//! Tasks of real processes, from the agent's calls to the observer's events.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::{
    Child, Folder, NEVER, count, is, ms, names, poll_for, poll_until, shared_numbers, text_of,
};
use varta::BeatOutcome::{Dropped, Sent};
use varta::DropReason::Withheld;
use varta::{
    AnyTransport, Endpoint, Promise, Rule, SpanLimits, Status, Task, TaskOptions, Varta,
};
use varta_observer::{Builder, Ending, Event, Observer, What};

fn bound(path: &Path, lane: bool, threshold: Duration) -> Observer {
    let builder = Builder::new().listen(Endpoint::Path(path.to_owned())).threshold(threshold);
    builder.lane(lane).tasks(lane).bind().unwrap()
}

/// Waits, in a child, until its observer allows this step.
fn wait_for(step: &AtomicU64, number: u64) {
    while step.load(Ordering::SeqCst) < number {
        thread::sleep(ms(1));
    }
}

/// An agent that has its page. The observer must be polled meanwhile.
fn attached(path: &Path) -> Varta<AnyTransport> {
    let mut agent = Varta::open(path).unwrap();
    while agent.watched().is_none() {
        let _ = agent.beat(Status::Ok, 0);
        thread::sleep(ms(1));
    }
    agent
}

fn allow(step: &AtomicU64, number: u64) {
    step.store(number, Ordering::SeqCst);
}

fn is_about(event: &Event, name: &str) -> bool {
    event.task.is_some_and(|task| task.name.as_str() == name)
}

fn is_stall(name: &str, promise: Promise) -> impl Fn(&Event) -> bool {
    move |event| match event.what {
        What::Stall { late: Some(late), .. } => {
            is_about(event, name) && late.promise == promise
        }
        _ => false,
    }
}

#[test]
fn every_way_in_which_a_task_ends_is_reported() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = bound(&path, true, NEVER);
    let [step] = shared_numbers();
    let child = Child::start(|| {
        let agent = attached(&path);
        let idle = |name| {
            let mut task = agent.task(name, ms(100)).unwrap();
            task.idle();
            task
        };
        let [closes, fails, panics, vanishes] =
            ["closes", "fails", "panics", "vanishes"].map(idle);
        wait_for(step, 1);
        closes.close();
        wait_for(step, 2);
        fails.fail();
        wait_for(step, 3);
        let in_panic = thread::spawn(move || {
            let _task = panics;
            std::panic::resume_unwind(Box::new("enough"));
        });
        assert!(in_panic.join().is_err());
        wait_for(step, 4);
        // As after `pthread_exit`, nothing is dropped.
        let in_thread = move || {
            let mut task = vanishes;
            task.reach(1);
            std::mem::forget(task);
        };
        thread::spawn(in_thread).join().unwrap();
        // The others end with the process.
        std::mem::forget([idle("one"), idle("two")]);
        wait_for(step, 5);
    });
    let declared = poll_until(&mut observer, |event| is_about(event, "vanishes"));
    let is_declared = |event: &&Event| is("task")(event);
    let tasks: Vec<_> =
        declared.iter().filter(is_declared).filter_map(|event| event.task).collect();
    let names: Vec<_> = tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["closes", "fails", "panics", "vanishes"], "{}", text_of(&declared));
    for (number, name, wanted) in [
        (1, "closes", Ending::Closed),
        (2, "fails", Ending::Failed),
        (3, "panics", Ending::Failed),
        (4, "vanishes", Ending::ThreadGone),
    ] {
        allow(step, number);
        let events = poll_until(&mut observer, is("ended"));
        let ended = events.last().unwrap();
        assert!(is_about(ended, name), "{}", text_of(&events));
        assert!(matches!(ended.what, What::Ended { how } if how == wanted), "{ended}");
        assert_eq!(count(&events, "stall"), 0, "{}", text_of(&events));
    }
    allow(step, 5);
    let events = poll_until(&mut observer, is("exit"));
    assert_eq!(count(&events, "ended"), 0, "{}", text_of(&events));
    child.finish();
}

#[test]
fn a_pair_is_used_again_when_its_task_is_closed() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = bound(&path, true, NEVER);
    let [step] = shared_numbers();
    let child = Child::start(|| {
        let agent = attached(&path);
        let declare = |_| agent.task("worker", NEVER);
        let mut tasks: Vec<Task> = (0..31).map(declare).collect::<Result<_, _>>().unwrap();
        wait_for(step, 1);
        assert!(declare(31).is_err());
        tasks.pop().unwrap().close();
        let _new = declare(32).unwrap();
        wait_for(step, 2);
    });
    let mut numbers = Vec::new();
    while numbers.len() < 31 {
        let events = poll_until(&mut observer, is("task"));
        numbers.push(events.last().unwrap().task.unwrap().number);
    }
    allow(step, 1);
    let events = poll_until(&mut observer, is("task"));
    let about = |name| events.iter().find(|event| is(name)(event)).unwrap().task.unwrap();
    assert!(events.iter().any(is("ended")), "{}", text_of(&events));
    assert!(
        numbers.contains(&about("ended").number) && !numbers.contains(&about("task").number)
    );
    let agent = events.last().unwrap().about.unwrap().agent;
    assert_eq!(observer.tasks(agent).unwrap().len(), 31);
    allow(step, 2);
    child.finish();
}

#[test]
fn a_task_that_hangs_in_a_block_is_late_until_the_block_ends() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = bound(&path, true, NEVER);
    let [step] = shared_numbers();
    let child = Child::start(|| {
        let agent = attached(&path);
        let mut task =
            agent.task_with("works", TaskOptions::new(NEVER).finest(ms(50))).unwrap();
        {
            let _block = task.watch(SpanLimits::new(ms(50)).label(7));
            wait_for(step, 1);
        }
        wait_for(step, 2);
        // They end before any look can find them open.
        drop(task.watch(Duration::ZERO));
        drop(task.watch(NEVER / 2..NEVER));
        wait_for(step, 3);
    });
    let events = poll_until(&mut observer, is("stall"));
    let stall = events.last().unwrap();
    assert!(is_stall("works", Promise::Span)(stall), "{stall}");
    assert!(matches!(stall.what, What::Stall { late: Some(late), .. } if late.checkpoint == 7));
    allow(step, 1);
    let events = poll_until(&mut observer, is("violation"));
    assert_eq!(names(&events), ["recovered", "beat", "violation"], "{}", text_of(&events));
    let violation = events.last().unwrap().what;
    let too_late = |what| matches!(what, What::Violation { rule: Rule::TooLate, from: 7, .. });
    assert!(too_late(violation), "{violation:?}");

    allow(step, 2);
    let mut violations = 0;
    while violations < 2 {
        let events = poll_until(&mut observer, is("violation"));
        assert_eq!(count(&events, "stall"), 0, "{}", text_of(&events));
        if let What::Violation { count, .. } = events.last().unwrap().what {
            violations += count;
        }
    }
    assert_eq!(violations, 2);
    allow(step, 3);
    child.finish();
}

#[test]
fn a_block_is_still_due_after_its_task_was_idle_for_ten_thresholds() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = bound(&path, true, NEVER);
    let [step] = shared_numbers();
    let child = Child::start(|| {
        let agent = attached(&path);
        let mut task = agent.task("strict", ms(200)).unwrap();
        let span = task.open_span(ms(1_500));
        task.idle();
        wait_for(step, 1);
        while step.load(Ordering::SeqCst) < 2 {
            task.reach(1);
            thread::sleep(ms(1));
        }
        assert!(task.close_span(span));
        wait_for(step, 3);
    });
    poll_until(&mut observer, is("task"));
    // On a busy machine it may be late in becoming idle, but not after that.
    let events = poll_for(&mut observer, ms(2_000));
    assert!(count(&events, "stall") <= count(&events, "recovered"), "{}", text_of(&events));
    allow(step, 1);
    poll_until(&mut observer, is_stall("strict", Promise::Span));
    allow(step, 2);
    let events = poll_until(&mut observer, is("violation"));
    let recovered: Vec<_> = events
        .iter()
        .filter_map(|event| match event.what {
            What::Recovered { promise, .. } => Some(promise),
            _ => None,
        })
        .collect();
    assert!(recovered.contains(&Promise::Span), "{}", text_of(&events));
    allow(step, 3);
    child.finish();
}

#[test]
fn an_observer_without_a_lane_finds_a_vital_task_that_hangs_and_none_that_idles() {
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let threshold = ms(5_000);
    let mut observer = bound(&path, false, threshold);
    let [step] = shared_numbers();
    let child = Child::start(|| {
        let mut agent = Varta::open(&path).unwrap();
        let mut vital = agent.task_with("vital", TaskOptions::new(ms(50)).vital(true)).unwrap();
        vital.idle();
        while step.load(Ordering::SeqCst) < 1 {
            assert_ne!(agent.beat(Status::Ok, 0), Dropped(Withheld));
            thread::sleep(ms(20));
        }
        vital.reach(1);
        while step.load(Ordering::SeqCst) < 2 {
            let _ = agent.beat(Status::Ok, 0);
            thread::sleep(ms(20));
        }
        vital.close();
        assert_eq!(agent.beat(Status::Ok, 9), Sent);
    });
    // Many thresholds of the task.
    let events = poll_for(&mut observer, ms(1_000));
    assert_eq!(count(&events, "stall"), 0, "{}", text_of(&events));
    allow(step, 1);
    let start = Instant::now();
    let events = poll_until(&mut observer, is("stall"));
    assert!(events.iter().all(|event| event.task.is_none()), "{}", text_of(&events));
    assert!(start.elapsed() >= threshold / 2);
    allow(step, 2);
    let events = poll_until(&mut observer, is("exit"));
    assert_eq!(count(&events, "recovered"), 1, "{}", text_of(&events));
    child.finish();
}
