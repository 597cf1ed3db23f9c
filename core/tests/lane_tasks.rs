//! Tasks in a page that is shared with an observer: their lines, when the bell rings, observers
//! that do not want them, observers that come back, and forks.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod support;

use std::os::unix::net::UnixDatagram;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use support::observer::{Connection, LaneObserver, good_offer, lane_of, monotonic_ns};
use support::{Folder, PATIENCE, Receiver, in_child, wait_until};
use varta::BeatOutcome::{Dropped, Sent};
use varta::DropReason::Withheld;
use varta::internal::lane::layout::{Hot, Info, NEVER, State, done_and_left};
use varta::internal::lane::message::{Message, PageOffer};
use varta::{Promise, Rule, SpanLimits, Status, TaskOptions, Varta};

const HOUR: Duration = Duration::from_secs(3600);
const MS: Duration = Duration::from_millis(1);

fn at(folder: &Folder) -> PathBuf {
    folder.join("varta.sock")
}

#[track_caller]
fn info(hot: &Hot) -> Info {
    Info::from_word(hot.info).expect("a valid word")
}

/// The pairs for which the bell rang since the last call.
fn rung(connection: &Connection) -> Vec<u32> {
    let mut pairs = Vec::new();
    while connection.has_input() {
        match connection.next() {
            Some(Message::Bell { pair }) => pairs.push(pair),
            other => panic!("{other:?} instead of a bell"),
        }
    }
    pairs
}

#[test]
fn the_lines_of_a_task_hold_what_it_was_declared_with_and_what_it_says() {
    let folder = Folder::new();
    let observer = LaneObserver::bind(&at(&folder));
    let (agent, connection, page) = observer.attach(&at(&folder));
    rung(&connection);
    let options = TaskOptions::new(HOUR).finest(MS).vital(true).startup(2 * HOUR);
    let mut task = agent.task_with("ingest", options).unwrap();
    assert_eq!((page.head().live, rung(&connection)), (1 << 1, vec![1]));
    let (cold, hot) = page.task(1).unwrap();
    assert_eq!(
        (cold.number, cold.state, cold.ended),
        (task.number(), State::Live, State::Free)
    );
    assert_eq!((cold.name.as_str(), cold.vital, cold.roams), ("ingest", true, false));
    let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap();
    assert_eq!((cold.threshold_ns, cold.finest_ns), (ns(HOUR), ns(MS)));
    assert_eq!(cold.thread, page.head().thread);
    assert_eq!(hot.until, hot.at + ns(2 * HOUR));

    task.progress(5, 6);
    assert_eq!(task.beat(Status::Ok, 7), Sent);
    let (_, hot) = page.task(1).unwrap();
    assert!(hot.at <= monotonic_ns());
    assert_eq!((hot.until, done_and_left(hot.last)), (hot.at + ns(HOUR), (5, 6)));
    let said = info(&hot);
    assert_eq!((said.status, said.payload, said.which), (Status::Ok, 7, Some(Promise::Beat)));
    {
        let _block = task.watch(SpanLimits::new(HOUR / 2).label(9));
        let (_, hot) = page.task(1).unwrap();
        assert_eq!(hot.until, hot.at + ns(HOUR / 2));
        assert_eq!((info(&hot).which, info(&hot).checkpoint), (Some(Promise::Span), 9));
    }
    task.reach(3);
    task.idle();
    let (_, hot) = page.task(1).unwrap();
    assert!(info(&hot).idle && info(&hot).which.is_none() && info(&hot).checkpoint == 3);
    assert_eq!((hot.until, rung(&connection)), (NEVER, vec![]));

    task.close();
    assert_eq!((page.head().live, page.task(1).unwrap().0.state), (0, State::Closed));
    let next = agent.task("next", HOUR).unwrap();
    let (cold, _) = page.task(1).unwrap();
    assert_eq!((cold.number, cold.ended), (next.number(), State::Closed));
    assert_eq!(observer.datagrams.queued_datagrams(), Vec::<Vec<u8>>::new());
}

#[test]
fn the_bell_rings_when_an_observer_should_look_at_once() {
    let folder = Folder::new();
    let observer = LaneObserver::bind(&at(&folder));
    let (agent, connection, page) = observer.attach(&at(&folder));
    let mut task = agent.task("t", HOUR).unwrap();
    rung(&connection);
    let beat = |task: &mut varta::Task, status| {
        assert_eq!(task.beat(status, 0), Sent);
        rung(&connection)
    };
    assert_eq!(beat(&mut task, Status::Ok), []);
    assert_eq!(beat(&mut task, Status::Degraded), [1]);
    assert_eq!(beat(&mut task, Status::Degraded), []);
    assert_eq!(beat(&mut task, Status::Ok), [1]);

    // A violation alone, and one with what was late and is kept again.
    drop(task.watch(HOUR..2 * HOUR));
    assert_eq!(rung(&connection), [1]);
    let span = task.open_span(SpanLimits::new(MS).label(4));
    wait_until(PATIENCE, || agent.tasks().any(|report| report.is_late()));
    rung(&connection);
    assert!(task.close_span(span));
    assert_eq!(rung(&connection), [1]);
    let (cold, _) = page.task(1).unwrap();
    let last = cold.last_violation.unwrap();
    assert_eq!((cold.violations, last.rule, last.from), (2, Rule::TooLate, 4));

    // A call after its own deadline.
    task.idle_at_most(MS);
    wait_until(PATIENCE, || agent.tasks().any(|report| report.is_late()));
    rung(&connection);
    task.idle();
    assert_eq!(rung(&connection), [1]);

    // An end as planned is quiet, a failure is not.
    task.close();
    assert_eq!(rung(&connection), []);
    let task = agent.task("fails", HOUR).unwrap();
    rung(&connection);
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _task = task;
        panic!("enough");
    }));
    assert!(panicked.is_err());
    assert_eq!((rung(&connection), page.task(1).unwrap().0.state), (vec![1], State::Failed));
}

#[test]
fn an_observer_that_does_not_want_tasks_hears_of_them_from_the_beats() {
    let folder = Folder::new();
    let path = at(&folder);
    let observer = LaneObserver::bind(&path);
    let offer = PageOffer { flags: 0, ..good_offer() };
    let (mut agent, _connection, page) = observer.attach_as(&path, offer);
    let mut task = agent.task("task", MS).unwrap();
    let vital = TaskOptions::new(MS).vital(true);
    let mut vital = agent.task_with("vital", vital).unwrap();
    task.idle();
    vital.idle();
    assert_eq!((agent.beat(Status::Ok, 1), page.last()), (Sent, (Status::Ok, 1)));
    drop(task.watch(HOUR..2 * HOUR));
    task.idle();
    assert_eq!((agent.beat(Status::Ok, 2), page.last()), (Sent, (Status::Degraded, 2)));
    assert_eq!((agent.beat(Status::Ok, 3), page.last()), (Sent, (Status::Ok, 3)));
    task.reach(1);
    wait_until(PATIENCE, || agent.tasks().any(|report| report.is_late()));
    assert_eq!((agent.beat(Status::Ok, 4), page.last()), (Sent, (Status::Critical, 4)));

    let before = page.beat();
    vital.reach(1);
    wait_until(PATIENCE, || agent.tasks().any(|report| report.vital && report.is_late()));
    assert_eq!(agent.beat(Status::Ok, 5), Dropped(Withheld));
    assert_eq!(page.beat(), before, "the line is not touched");
    vital.close();
    task.close();
    assert_eq!((agent.beat(Status::Ok, 6), page.last()), (Sent, (Status::Ok, 6)));
    assert_eq!(page.beat().unwrap().1.last, before.unwrap().1.last + 1, "no nonce was taken");
}

#[test]
fn a_violation_that_an_observer_did_not_live_to_see_is_reported_by_a_beat() {
    let folder = Folder::new();
    let observer = LaneObserver::bind(&at(&folder));
    let (mut agent, connection, _page) = observer.attach(&at(&folder));
    let mut task = agent.task("task", HOUR).unwrap();
    observer.look();
    drop(task.watch(HOUR..2 * HOUR));
    drop((connection, observer));
    let receiver = Receiver::of(rebound(&at(&folder)));
    wait_until(PATIENCE, || agent.beat(Status::Ok, 1) == Sent && agent.watched().is_none());
    wait_until(PATIENCE, || {
        agent.beat(Status::Ok, 1) == Sent && receiver.next_frame().status == Status::Degraded
    });
    wait_until(PATIENCE, || agent.beat(Status::Ok, 2) == Sent);
    let last =
        std::iter::repeat_with(|| receiver.next_frame()).find(|frame| frame.payload == 2);
    assert_eq!(last.unwrap().status, Status::Ok, "it is reported once");
}

#[test]
fn an_observer_that_wants_tasks_reads_them_itself() {
    let folder = Folder::new();
    let observer = LaneObserver::bind(&at(&folder));
    let (mut agent, connection, page) = observer.attach(&at(&folder));
    let vital = TaskOptions::new(MS).vital(true);
    let mut task = agent.task_with("late", vital).unwrap();
    drop(task.watch(Duration::ZERO));
    wait_until(PATIENCE, || agent.tasks().any(|report| report.is_late()));
    assert_eq!((agent.beat(Status::Ok, 1), page.last()), (Sent, (Status::Ok, 1)));

    // Once the lane has ended, the late task counts, but not a violation that the observer saw.
    observer.look();
    drop((connection, observer));
    let receiver = Receiver::of(rebound(&at(&folder)));
    wait_until(PATIENCE, || agent.beat(Status::Ok, 2) == Dropped(Withheld));
    task.idle();
    wait_until(PATIENCE, || agent.beat(Status::Ok, 3) == Sent && agent.watched().is_none());
    wait_until(PATIENCE, || agent.beat(Status::Ok, 3) == Sent);
    assert_eq!(receiver.next_frame().status, Status::Ok);
}

/// A socket for datagrams at a path where there is no lane any more.
fn rebound(path: &Path) -> UnixDatagram {
    std::fs::remove_file(path).unwrap();
    std::fs::remove_file(lane_of(path)).unwrap();
    UnixDatagram::bind(path).unwrap()
}

#[test]
fn a_process_that_calls_only_its_tasks_attaches_and_carries_them_to_a_new_observer() {
    let folder = Folder::new();
    let path = at(&folder);
    let agent = Varta::open(&path).unwrap();
    let mut busy = agent.task("busy", HOUR).unwrap();
    let mut quiet = agent.task("quiet", HOUR).unwrap();
    quiet.progress(1, 2);
    for round in 1..=3 {
        let observer = LaneObserver::bind(&path);
        wait_until(PATIENCE, || {
            busy.idle();
            observer.is_asked()
        });
        let connection = observer.connection();
        let page = observer.give_page(&connection, round);
        wait_until(PATIENCE, || {
            busy.reach(u16::try_from(round).unwrap());
            agent.watched().is_some()
        });
        connection.expect_mapped();
        assert_eq!(page.head().live, 0b110);
        let (cold, hot) = page.task(2).unwrap();
        assert_eq!((cold.name.as_str(), done_and_left(hot.last)), ("quiet", (1, 2)));
        assert_eq!(cold.number, quiet.number());
        let (_, hot) = page.task(1).unwrap();
        assert_eq!(u32::from(info(&hot).checkpoint), round);
        drop((connection, observer));
        wait_until(PATIENCE, || {
            busy.idle();
            agent.watched().is_none()
        });
    }
}

#[test]
fn a_child_does_not_write_the_lines_of_its_parent() {
    let folder = Folder::new();
    let observer = LaneObserver::bind(&at(&folder));
    let (agent, _connection, page) = observer.attach(&at(&folder));
    let mut task = Some(agent.task("parent's", HOUR).unwrap());
    let before = page.words();
    in_child(|| {
        let mut task = task.take().unwrap();
        for _ in 0..100 {
            assert_eq!(task.beat(Status::Critical, 9), Sent);
            drop(task.watch(HOUR..2 * HOUR));
        }
        assert_eq!(agent.tasks().count(), 1);
        task.fail();
    });
    assert_eq!(page.words(), before);
    assert_eq!(task.unwrap().beat(Status::Ok, 1), Sent);
    assert_ne!(page.words(), before);
}
