//! Tasks as a program sees them: limits, verdicts, panics, forks, and what beats by datagram say
//! about them.

#![cfg(all(unix, feature = "secure-udp"))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

#[path = "support/peers.rs"]
mod peers;
mod support;

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use peers::Scripted;
use support::{PATIENCE, Receiver, decode, in_child, wait_until};
use varta::BeatOutcome::{Dropped, Failed, Sent};
use varta::DropReason::{NoObserver, Withheld};
use varta::{
    BeatError, BeatTransport, Edge, NEVER, Promise, SpanLimits, Status, Task, TaskOptions,
    TaskReport, UdpTransport, Varta,
};

const MS: Duration = Duration::from_millis(1);
/// A threshold that no test reaches.
const HOUR: Duration = Duration::from_secs(3600);

/// An agent of its own endpoint, and where its beats arrive.
fn agent() -> (Varta<UdpTransport>, Receiver) {
    let receiver = Receiver::udp();
    (Varta::connect_udp(receiver.address()).unwrap(), receiver)
}

#[track_caller]
fn report<T: BeatTransport>(agent: &Varta<T>, task: &Task) -> TaskReport {
    agent.tasks().find(|report| report.number == task.number()).expect("it is live")
}

#[track_caller]
fn wait_until_late<T: BeatTransport>(agent: &Varta<T>, task: &Task) {
    wait_until(PATIENCE, || report(agent, task).is_late());
}

fn vital(threshold: Duration) -> TaskOptions {
    TaskOptions::new(threshold).vital(true)
}

#[test]
fn a_process_has_at_most_31_tasks() {
    let (agent, _receiver) = agent();
    let mut tasks: Vec<Task> =
        (0..31).map(|_| agent.task("same name", HOUR).unwrap()).collect();
    let error = agent.task("one more", HOUR).unwrap_err();
    assert_eq!(BeatError::from_io(&error).errno, libc::ENOSPC);
    assert!(error.to_string().contains("one more"), "{error}");

    let closed = tasks.swap_remove(12);
    let number = closed.number();
    closed.close();
    assert_eq!(agent.tasks().count(), 30);
    let new = agent.task("one more", HOUR).unwrap();
    assert!(tasks.iter().all(|task| task.number() != new.number()));
    assert_ne!(new.number(), number, "numbers are not reused");
    assert_eq!(report(&agent, &new).name.as_str(), "one more");
    // Those of another endpoint are not counted.
    let (other, _receiver) = self::agent();
    assert_eq!((agent.tasks().count(), other.tasks().count()), (31, 0));
}

#[test]
fn options_that_cannot_be_kept_are_invalid() {
    let (agent, _receiver) = agent();
    let day = Duration::from_secs(24 * 3600);
    let ok = || TaskOptions::new(HOUR);
    let longest = "x".repeat(23);
    for (name, options) in [
        (longest.as_str(), TaskOptions::new(MS)),
        ("größe", TaskOptions::new(30 * day)),
        ("never", TaskOptions::new(NEVER).startup(NEVER).progress(NEVER).finest(NEVER)),
        ("spans", ok().spans(65_536)),
        ("edges", ok().edges((0..256).map(|at| Edge::new(at, at)).collect::<Vec<_>>())),
        ("cycle", ok().cycle(MS, 0..=0)),
    ] {
        agent.task_with(name, options).unwrap();
    }
    let too_long = "x".repeat(24);
    for (name, options) in [
        ("", ok()),
        ("a\nb", ok()),
        (too_long.as_str(), ok()),
        ("t", TaskOptions::new(MS - Duration::from_nanos(1))),
        ("t", TaskOptions::new(30 * day + MS)),
        ("t", ok().startup(Duration::ZERO)),
        ("t", ok().progress(31 * day)),
        ("t", ok().finest(Duration::ZERO)),
        ("t", ok().cycle(Duration::ZERO, 1..=2)),
        #[allow(clippy::reversed_empty_ranges, reason = "it must be refused")]
        ("t", ok().cycle(MS, 2..=1)),
        ("t", ok().spans(65_537)),
        ("t", ok().edges((0..257).map(|at| Edge::new(at, at)).collect::<Vec<_>>())),
        ("t", ok().edges([Edge::new(1, 2), Edge::new(2, 1), Edge::new(1, 2)])),
        ("t", ok().edges([Edge::new(1, 2).min(MS).max(MS)])),
    ] {
        let error = agent.task_with(name, options.clone()).unwrap_err();
        assert_eq!(BeatError::from_io(&error).errno, libc::EINVAL, "{name:?} {options:?}");
        let expected = format!("cannot declare the task {name:?}: ");
        assert!(error.to_string().starts_with(&expected), "{error}");
    }
    assert_eq!(agent.tasks().count(), 0);
}

#[test]
fn a_report_shows_what_a_task_said_and_what_it_broke() {
    let (agent, _receiver) = agent();
    let options = TaskOptions::new(HOUR).progress(MS).vital(true);
    let mut task = agent.task_with("batch", options).unwrap();
    let fresh = report(&agent, &task);
    assert_eq!((fresh.threshold, fresh.vital, fresh.status), (HOUR, true, Status::Ok));
    assert!(!fresh.is_late() && fresh.age < PATIENCE);

    assert_eq!(task.beat(Status::Degraded, 7), Sent);
    task.progress(3, 4);
    let span = task.open_span(MS);
    let slow = task.open_span(SpanLimits::new(HOUR).min(HOUR));
    // A line shows what is due first, so the task has to make a call before both are seen.
    wait_until(PATIENCE, || {
        task.reach(1);
        let report = report(&agent, &task);
        report.is_broken(Promise::Span) && report.is_broken(Promise::Progress)
    });
    task.close_span(span);
    task.close_span(slow);
    assert!(!report(&agent, &task).is_broken(Promise::Span));
    let last = report(&agent, &task);
    assert!(last.is_broken(Promise::Progress) && !last.is_broken(Promise::Beat));
    assert_eq!((last.status, last.payload, last.done, last.left), (Status::Degraded, 7, 3, 4));
    assert_eq!(last.violations, 2);
    let counts = task.counts();
    assert_eq!((counts.too_late, counts.too_early), (1, 1));

    task.progress(7, 0);
    task.idle();
    assert!(report(&agent, &task).idle && !report(&agent, &task).is_late());
    drop(task);
    assert_eq!(agent.tasks().count(), 0);
}

#[test]
fn invalid_statuses_are_refused() {
    let (agent, _receiver) = agent();
    let mut task = agent.task("t", HOUR).unwrap();
    let outcome = task.beat(Status::Stall, 0);
    assert!(matches!(outcome, Failed(error) if error.kind == std::io::ErrorKind::InvalidInput));
}

#[test]
fn idling_for_ten_thresholds_is_not_late_but_stopping_is() {
    let (agent, _receiver) = agent();
    let threshold = 2 * MS;
    let mut task = agent.task("waits", threshold).unwrap();
    let mut block = task.watch(HOUR);
    block.idle();
    let start = Instant::now();
    while start.elapsed() < 10 * threshold {
        assert!(agent.tasks().all(|report| report.idle && !report.is_late()));
        thread::yield_now();
    }
    assert_eq!(block.beat(Status::Ok, 0), Sent);
    wait_until(PATIENCE, || agent.tasks().all(|report| report.is_broken(Promise::Beat)));
    block.idle_at_most(MS);
    wait_until(PATIENCE, || agent.tasks().all(|report| report.is_broken(Promise::Beat)));
    drop(block);
    assert_eq!(task.counts().too_late, 0);
}

#[test]
fn of_a_pool_of_16_only_the_worker_that_hangs_is_late() {
    let (agent, _receiver) = agent();
    let (hang, hung) = mpsc::channel::<()>();
    let mut hung = Some(hung);
    let workers: Vec<_> = (0..16)
        .map(|number| {
            let mut task = agent.task(&format!("worker-{number}"), HOUR).unwrap();
            let (jobs, queue) = mpsc::channel::<u32>();
            let hung = if number == 7 { hung.take() } else { None };
            let thread = thread::spawn(move || {
                task.idle();
                while let Ok(job) = queue.recv() {
                    let limit = if hung.is_some() { MS } else { HOUR };
                    let mut block = task.watch(limit);
                    let _ = block.beat(Status::Ok, job);
                    if let Some(hung) = &hung {
                        let _ = hung.recv();
                    }
                    drop(block);
                    task.idle();
                }
                task.counts()
            });
            (jobs, thread)
        })
        .collect();
    for (jobs, _) in &workers {
        jobs.send(1).unwrap();
    }
    let late = || -> Vec<String> {
        agent.tasks().filter(TaskReport::is_late).map(|late| late.name.to_string()).collect()
    };
    wait_until(PATIENCE, || late() == ["worker-7"]);
    drop(hang);
    wait_until(PATIENCE, || late().is_empty() && agent.tasks().all(|report| report.idle));
    for (number, (jobs, thread)) in workers.into_iter().enumerate() {
        drop(jobs);
        assert_eq!(thread.join().unwrap().too_late, u32::from(number == 7));
    }
    assert_eq!(agent.tasks().count(), 0);
}

#[test]
fn ten_thousand_coroutines_are_one_task() {
    let (agent, _receiver) = agent();
    let options = TaskOptions::new(HOUR).roams(true).spans(10_000);
    let mut task = agent.task_with("requests", options).unwrap();
    let mut spans: Vec<_> = (1..=10_000_u32).map(|n| task.open_span(n * HOUR / 10)).collect();
    assert!(spans.iter().all(|span| span.is_watched()));
    assert!(!task.open_span(HOUR).is_watched());
    assert_eq!(task.counts().unwatched, 1);
    // They end in another order than they began.
    for step in 0..spans.len() {
        let span = spans.swap_remove(7_919 * step % spans.len());
        assert!(task.close_span(span));
        assert!(!task.close_span(span));
    }
    let late = task.open_span(MS);
    wait_until_late(&agent, &task);
    assert!(task.close_span(late));
    assert!(!report(&agent, &task).is_late());
}

#[test]
fn a_task_that_is_dropped_by_a_panic_is_over() {
    let (agent, _receiver) = agent();
    let task = agent.task("panics", HOUR).unwrap();
    let panicked = thread::spawn(move || {
        let _task = task;
        panic!("enough");
    });
    assert!(panicked.join().is_err());
    assert_eq!(agent.tasks().count(), 0);
}

#[test]
fn a_late_task_makes_the_beats_of_its_process_critical() {
    let (mut agent, receiver) = agent();
    let mut beat = |status| {
        assert_eq!(agent.beat(status, 5), Sent);
        let frame = receiver.next_frame();
        assert_eq!(frame.payload, 5);
        frame.status
    };
    assert_eq!(beat(Status::Ok), Status::Ok);
    let (idle_agent, task_agent) = (
        Varta::connect_udp(receiver.address()).unwrap(),
        Varta::connect_udp(receiver.address()).unwrap(),
    );
    let mut idle = idle_agent.task("idle", MS).unwrap();
    idle.idle();
    let mut task = task_agent.task("works", MS).unwrap();
    wait_until_late(&task_agent, &task);
    assert_eq!(beat(Status::Degraded), Status::Critical);
    task.idle();
    assert_eq!(beat(Status::Ok), Status::Ok);
    assert_eq!(beat(Status::Degraded), Status::Degraded);
}

#[test]
fn a_violation_degrades_the_next_beat_that_is_sent() {
    let (transport, script) = Scripted::spelled(".d...");
    let mut agent = Varta::with_transport(transport).unwrap();
    assert_eq!(agent.beat(Status::Ok, 0), Sent);
    let mut task = agent.task("strict", HOUR).unwrap();
    drop(task.watch(HOUR..2 * HOUR));
    task.close();
    assert_eq!(agent.beat(Status::Ok, 0), Dropped(NoObserver));
    assert_eq!(agent.beat(Status::Ok, 0), Sent);
    assert_eq!(agent.beat(Status::Ok, 0), Sent);
    let mut task = agent.task("strict", HOUR).unwrap();
    drop(task.watch(HOUR..2 * HOUR));
    assert_eq!(agent.beat(Status::Critical, 0), Sent);
    let wires = script.wires();
    let statuses: Vec<_> = wires.iter().map(|wire| decode(wire).status).collect();
    let (ok, degraded) = (Status::Ok, Status::Degraded);
    assert_eq!(statuses, [ok, degraded, degraded, ok, Status::Critical]);
}

#[test]
fn a_beat_is_withheld_while_a_vital_task_is_late() {
    let (mut agent, receiver) = agent();
    let mut task = agent.task_with("heart", vital(MS)).unwrap();
    task.idle();
    assert_eq!(agent.beat(Status::Ok, 0), Sent);
    let _ = task.beat(Status::Ok, 0);
    wait_until_late(&agent, &task);
    for _ in 0..3 {
        assert_eq!(agent.beat(Status::Ok, 0), Dropped(Withheld));
    }
    task.idle();
    assert_eq!(agent.beat(Status::Ok, 0), Sent);
    // Nothing was sent in between, and no nonce was used.
    let nonces = [receiver.next_frame(), receiver.next_frame()].map(|frame| frame.nonce);
    assert_eq!(nonces, [1, 2]);
    let _ = task.beat(Status::Ok, 0);
    wait_until_late(&agent, &task);
    task.close();
    assert_eq!(agent.beat(Status::Ok, 0), Sent);
}

#[test]
fn withheld_beats_neither_extend_nor_end_a_run_of_drops() {
    // Two drops in a row, with withheld beats before, between and after them, then one more.
    let (transport, script) = Scripted::spelled("dd R. d .");
    let mut agent = Varta::with_transport(transport).unwrap();
    agent.set_reconnect_after(2);
    let mut task = agent.task_with("heart", vital(MS)).unwrap();
    let late = |agent: &mut Varta<Scripted>, task: &mut Task| {
        let _ = task.beat(Status::Ok, 0);
        wait_until_late(agent, task);
        assert_eq!(agent.beat(Status::Ok, 0), Dropped(Withheld));
        task.idle();
    };
    late(&mut agent, &mut task);
    assert_eq!(agent.beat(Status::Ok, 0), Dropped(NoObserver));
    late(&mut agent, &mut task);
    late(&mut agent, &mut task);
    assert_eq!(agent.beat(Status::Ok, 0), Sent, "the second drop reconnects");
    assert_eq!(agent.beat(Status::Ok, 0), Dropped(NoObserver));
    late(&mut agent, &mut task);
    assert_eq!(agent.beat(Status::Ok, 0), Sent);
    script.assert_done();
    assert_eq!(script.nonces(), [1, 2, 2, 3, 4]);
}

#[test]
fn a_forked_child_declares_a_task_with_its_first_call() {
    let (mut agent, receiver) = agent();
    let options = vital(MS).edges([Edge::new(1, 2)]);
    let mut task = Some(agent.task_with("heart", options).unwrap());
    let parents = task.as_mut().unwrap();
    let span = parents.open_span(MS);
    parents.reach(2);
    assert_eq!(parents.counts().wrong_order, 1);
    wait_until_late(&agent, parents);
    in_child(|| {
        let mut task = task.take().unwrap();
        // The parent's late task and its violation are not the child's.
        assert_eq!(agent.tasks().count(), 0);
        assert_eq!(agent.beat(Status::Ok, 0), Sent);
        assert_eq!(agent.tasks().count(), 0);
        assert!(!task.close_span(span), "it is a span of the parent");
        let fresh = report(&agent, &task);
        assert_eq!((fresh.name.as_str(), fresh.violations), ("heart", 0));
        assert_eq!(task.counts().wrong_order, 0);
        task.reach(2);
        assert_eq!(report(&agent, &task).violations, 1);
        wait_until_late(&agent, &task);
        assert_eq!(agent.beat(Status::Ok, 0), Dropped(Withheld));
        drop(task);
        assert_eq!(agent.tasks().count(), 0);
        assert_eq!(agent.beat(Status::Ok, 0), Sent);
    });
    let statuses = [receiver.next_frame(), receiver.next_frame()].map(|frame| frame.status);
    assert_eq!(statuses, [Status::Ok, Status::Degraded]);
    assert!(receiver.queued_frames().is_empty());
    let kept = agent.tasks().next().unwrap();
    assert_eq!((kept.violations, kept.is_broken(Promise::Span)), (1, true));
}

#[test]
fn a_child_without_a_free_pair_says_so_and_goes_on() {
    let (agent, _receiver) = agent();
    let mut task = agent.task("inherited", HOUR).unwrap();
    in_child(|| {
        let mut own: Vec<Task> = (0..31).map(|_| agent.task("own", HOUR).unwrap()).collect();
        let outcome = task.beat(Status::Ok, 0);
        assert!(matches!(outcome, Failed(error) if error.errno == libc::ENOSPC), "{outcome}");
        task.idle();
        task.reach(1);
        assert!(!task.watch(MS).close_span(varta::SpanId::UNWATCHED));
        assert_eq!(task.counts().undeclared, 6);
        own.pop().unwrap().close();
        assert_eq!(task.beat(Status::Ok, 0), Sent);
        assert_eq!(agent.tasks().count(), 31);
    });
    assert_eq!(task.beat(Status::Ok, 0), Sent);
    assert_eq!(agent.tasks().count(), 1);
}

#[test]
fn a_child_that_never_calls_a_task_leaves_the_one_of_its_parent_alone() {
    let (agent, _receiver) = agent();
    let mut task = Some(agent.task("parent's", HOUR).unwrap());
    in_child(|| {
        let own = agent.task("child's", HOUR).unwrap();
        drop(task.take());
        assert_eq!(report(&agent, &own).name.as_str(), "child's");
    });
    assert_eq!(agent.tasks().count(), 1);
    assert_eq!(task.unwrap().beat(Status::Ok, 0), Sent);
}
