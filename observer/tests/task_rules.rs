//! The rules by which the lines of tasks are judged.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod lane_world;
mod tracker_world;

use std::time::Duration;

use lane_world::*;
use tracker_world::*;
use varta::Promise::{Beat, Checkpoint, Progress, Span};
use varta::internal::lane::layout::{Info, NEVER, State, Violation, progress};
use varta::{Promise, Rule, Status};
use varta_observer::{Event, Slack, What};

fn broken(promises: &[Promise]) -> Info {
    Info { broken: promises.iter().fold(0, |set, promise| set | promise.bit()), ..plain() }
}

/// A world with a process, a task of 100 ms in pair 1 that was declared at 1 ms, and its event.
fn with_task() -> (World, Process) {
    let mut world = lane_world(|_| {});
    let mut process = world.process(0, 70);
    process.declare(&world, 1, "ingest", THRESHOLD, MS);
    let events = world.look(MS, process.page);
    assert_eq!(short(&events), ["1000000: task 1/1"]);
    assert_eq!(events[0].what, What::Task { threshold_ns: THRESHOLD });
    assert_eq!(events[0].task.unwrap().name.as_str(), "ingest");
    (world, process)
}

#[test]
fn the_calls_of_a_task_are_counted_without_its_declaration() {
    let (mut world, mut process) = with_task();
    for at in [2, 3] {
        process.call(&world, 1, at * MS, (at + 100) * MS, Some(Beat));
    }
    process.declare(&world, 2, "other", NEVER, 4 * MS);
    let degraded = Info { status: Status::Degraded, payload: 9, ..plain() };
    process.call_as(&world, 2, 5 * MS, NEVER, degraded);
    let events = world.look(6 * MS, process.page);
    let at = 6_000_000;
    assert_eq!(
        short(&events),
        [format!("{at}: beat 1/1 x2"), format!("{at}: task 1/2"), format!("{at}: beat 1/2 x1")]
    );
    let what =
        What::Beat { status: Status::Degraded, payload: 9, nonce: 0, missed: 0, count: 1 };
    assert_eq!(events[2].what, what);
    assert_eq!(world.look(7 * MS, process.page), []);
    assert_eq!(world.judge.counters().task_beats, 3);
    assert_eq!(world.judge.counters().beats, 0);
}

#[test]
fn a_silent_task_stalls_for_its_span_and_then_for_its_threshold() {
    let (mut world, process) = with_task();
    let label = Info { which: Some(Span), checkpoint: 7, ..plain() };
    process.call_as(&world, 1, 2 * MS, 12 * MS, label);
    world.look(3 * MS, process.page);
    let events = world.live_until(500 * MS);
    assert_eq!(
        short(&events),
        ["12000000: stall 1/1 span due 12000000", "102000000: stall 1/1 beat due 102000000"]
    );
    let What::Stall { late: Some(late), last_ns, .. } = events[0].what else { panic!() };
    assert_eq!((late.checkpoint, last_ns), (7, 2 * MS));
    let info = world.judge.agent(world.slot(1), 500 * MS).unwrap();
    assert_eq!((info.tasks, info.tasks_late, info.stalled), (1, 1, false));
    // A beat keeps only the threshold, the end of the span keeps both.
    process.call_as(&world, 1, 510 * MS, 610 * MS, broken(&[Span]));
    let events = world.look(511 * MS, process.page);
    assert_eq!(
        short(&events),
        ["511000000: recovered 1/1 beat after 408000000", "511000000: beat 1/1 x1"]
    );
    process.violate(&world, 1, Violation { rule: Rule::TooLate, from: 7, to: 0, by: MS });
    process.call(&world, 1, 520 * MS, 620 * MS, Some(Beat));
    let events = world.look(521 * MS, process.page);
    assert_eq!(
        short(&events),
        [
            "521000000: recovered 1/1 span after 508000000",
            "521000000: beat 1/1 x1",
            "521000000: violation 1/1 too-late x1"
        ]
    );
    let info = world.judge.agent(world.slot(1), 521 * MS).unwrap();
    assert_eq!(info.tasks_late, 0);
    let counters = world.judge.counters();
    assert_eq!((counters.task_stalls, counters.task_recoveries), (2, 2));
    assert_eq!((counters.stalls, counters.recoveries, counters.violations), (0, 0, 1));
}

#[test]
fn progress_that_stops_while_calls_go_on_is_one_stall() {
    let (mut world, process) = with_task();
    process.call_as(&world, 1, 2 * MS, 60 * MS, Info { which: Some(Progress), ..plain() });
    let mut all = Vec::new();
    for at in (10..300).step_by(10) {
        all.extend(world.live_until(at * MS));
        let at = at * MS;
        match at < 60 * MS {
            true => process.call(&world, 1, at, 60 * MS, Some(Progress)),
            false => process.call_as(&world, 1, at, at + THRESHOLD, broken(&[Progress])),
        }
    }
    all.retain(|event| !matches!(event.what, What::Beat { .. }));
    assert_eq!(short(&all), ["60000000: stall 1/1 progress due 60000000"]);
}

#[test]
fn a_promise_broken_between_two_looks_is_reported_by_the_next() {
    let (mut world, process) = with_task();
    process.call_as(&world, 1, 20 * MS, 120 * MS, broken(&[Checkpoint]));
    let events = world.live_until(50 * MS);
    assert_eq!(
        short(&events),
        ["50000000: beat 1/1 x1", "50000000: stall 1/1 checkpoint due 20000000"]
    );
}

#[test]
fn a_fine_span_is_found_at_once_because_its_page_is_looked_at_often() {
    let mut world = lane_world(|settings| settings.floor_ns = MS / 2);
    let mut process = world.process(0, 70);
    let mut fine = cold("fine", 2_000 * MS);
    fine.finest_ns = MS;
    process.declare_as(&world, 1, &fine, MS);
    world.look(MS, process.page);
    assert_eq!(world.judge.next_look(), Some(MS + MS / 2));
    let mut all = world.live_until(1_000 * MS);
    process.call(&world, 1, 1_000 * MS, 1_001 * MS, Some(Span));
    all.extend(world.live_until(1_002 * MS));
    all.retain(|event| !matches!(event.what, What::Beat { .. }));
    assert_eq!(short(&all), ["1001000000: stall 1/1 span due 1001000000"]);
    assert_eq!(world.judge.counters().lane_raised, 0);
    process.end(&world, 1, State::Closed);
    world.live_until(1_003 * MS);
    assert_eq!(world.judge.next_look(), Some(1_050 * MS));
}

#[test]
fn an_idle_task_is_not_due_and_an_open_span_is_due_afterwards() {
    let (mut world, process) = with_task();
    process.call_as(&world, 1, 2 * MS, NEVER, Info { idle: true, ..plain() });
    let idle = world.live_until(10 * THRESHOLD);
    assert_eq!(short(&idle), ["50000000: beat 1/1 x1"]);
    assert!(world.judge.task(1, 1, 10 * THRESHOLD, &world.environment).unwrap().idle);
    process.call(&world, 1, 1_001 * MS, 1_031 * MS, Some(Span));
    world.look(1_002 * MS, process.page);
    let events = world.live_until(1_090 * MS);
    assert_eq!(short(&events), ["1031000000: stall 1/1 span due 1031000000"]);
    process.call_as(
        &world,
        1,
        1_095 * MS,
        1_195 * MS,
        Info { idle: true, which: Some(Beat), ..plain() },
    );
    let events = world.live_until(1_300 * MS);
    assert_eq!(short(&events).last().unwrap(), "1195000000: stall 1/1 beat due 1195000000");
}

#[test]
fn tasks_end_as_their_lines_say() {
    let (mut world, mut process) = with_task();
    process.declare(&world, 2, "second", THRESHOLD, MS);
    world.look(2 * MS, process.page);
    process.call(&world, 1, 3 * MS, 103 * MS, Some(Beat));
    process.end(&world, 1, State::Closed);
    process.end(&world, 2, State::Failed);
    let events = world.look(4 * MS, process.page);
    assert_eq!(
        short(&events),
        ["4000000: beat 1/1 x1", "4000000: ended 1/1 closed", "4000000: ended 1/2 failed"]
    );
    assert_eq!(world.judge.followed(), 0, "it has never beaten and has no task");
    assert_eq!(world.live_until(500 * MS), []);
    // The page is still its own, and the next task makes it an agent again.
    process.declare(&world, 1, "third", THRESHOLD, 500 * MS);
    assert_eq!(short(&world.look(501 * MS, process.page)), ["501000000: task 2/1"]);
}

#[test]
fn a_pair_that_was_reused_gives_the_end_of_one_task_and_another() {
    let (mut world, mut process) = with_task();
    process.beat(&world, MS);
    process.end(&world, 1, State::Failed);
    process.declare(&world, 1, "next", THRESHOLD, 3 * MS);
    process.call(&world, 1, 4 * MS, 104 * MS, Some(Beat));
    let events = world.look(5 * MS, process.page);
    assert_eq!(
        short(&events),
        [
            "5000000: beat 1 x1",
            "5000000: ended 1/1 failed",
            "5000000: task 1/2",
            "5000000: beat 1/2 x1"
        ]
    );
    // One that began and ended between two looks is not reported.
    process.end(&world, 1, State::Closed);
    process.declare(&world, 1, "brief", THRESHOLD, 6 * MS);
    process.end(&world, 1, State::Closed);
    assert_eq!(short(&world.look(7 * MS, process.page)), ["7000000: ended 1/2 closed"]);
}

#[test]
fn a_thread_that_is_gone_ends_its_task_instead_of_a_stall() {
    let mut world = lane_world(|_| {});
    let mut process = world.process(0, 70);
    process.beat(&world, MS);
    for (pair, roams) in [(1, false), (2, true)] {
        let mut cold = cold("worker", 20 * MS);
        (cold.thread, cold.roams) = (99, roams);
        process.declare_as(&world, pair, &cold, MS);
    }
    world.look(2 * MS, process.page);
    world.environment.gone_threads.insert(99);
    let events = world.live_until(90 * MS);
    assert_eq!(
        short(&events),
        ["21000000: ended 1/1 thread-gone", "21000000: stall 1/2 beat due 21000000"]
    );
    // It does not come back unless a thread calls it.
    assert_eq!(world.live_until(95 * MS), []);
    process.call(&world, 1, 96 * MS, NEVER, Some(Beat));
    assert_eq!(
        short(&world.look(97 * MS, process.page)),
        ["97000000: task 1/3", "97000000: beat 1/3 x1"]
    );
    // The pair goes to another task, while the thread of the first is gone again.
    world.environment.gone_threads.insert(98);
    process.change(&world, 1, |cold| cold.thread = 98);
    process.call(&world, 1, 98 * MS, 99 * MS, Some(Beat));
    let events = world.live_until(100 * MS);
    assert_eq!(short(&events).last().unwrap(), "100000000: ended 1/3 thread-gone");
    process.end(&world, 1, State::Failed);
    process.declare(&world, 1, "next", NEVER, 101 * MS);
    process.violate(&world, 1, Violation { rule: Rule::TooFew, from: 0, to: 0, by: 1 });
    assert_eq!(
        short(&world.look(102 * MS, process.page)),
        ["102000000: task 1/4", "102000000: violation 1/4 too-few x1"]
    );
}

#[test]
fn a_page_that_is_given_up_ends_its_tasks() {
    let (mut world, mut process) = with_task();
    process.beat(&world, MS);
    process.call(&world, 1, 2 * MS, 12 * MS, Some(Span));
    let events = world.detach(3 * MS, &process);
    assert_eq!(
        short(&events),
        ["3000000: beat 1 x1", "3000000: beat 1/1 x1", "3000000: ended 1/1 detached"]
    );
    let events = world.live_until(300 * MS);
    assert_eq!(short(&events), ["101000000: stall 1 last 1000000"]);
    // After it attached again the task has another number, and what was before is no news.
    let mut again = world.process(300 * MS, 70);
    let (violations, last) = (3, Violation { rule: Rule::TooFew, from: 0, to: 0, by: 1 });
    let mut carried = cold("ingest", THRESHOLD);
    (carried.violations, carried.last_violation) = (violations, Some(last));
    again.declare_as(&world, 1, &carried, 301 * MS);
    again.call(&world, 1, 302 * MS, 402 * MS, Some(Beat));
    world.detach(303 * MS, &again);
    let mut third = world.process_with_lines(304 * MS, &attaching(70), |process, world| {
        process.declare_as(world, 1, &carried, 301 * MS);
        process.call(world, 1, 302 * MS, 402 * MS, Some(Beat));
    });
    assert_eq!(short(&third.1), ["304000000: task 1/3"]);
    third.0.violate(&world, 1, last);
    let events = world.look(305 * MS, third.0.page);
    assert_eq!(short(&events), ["305000000: violation 1/3 too-few x1"]);
    third.0.end(&world, 1, State::Closed);
    assert_eq!(short(&world.look(306 * MS, third.0.page)), ["306000000: ended 1/3 closed"]);
}

#[test]
fn an_exit_or_its_announcement_silences_tasks() {
    let (mut world, process) = with_task();
    process.call(&world, 1, 2 * MS, 12 * MS, Some(Span));
    world.look(3 * MS, process.page);
    let slot = world.slot(1);
    world.judge.exiting(slot);
    assert_eq!(world.live_until(500 * MS), []);
}

#[test]
fn tasks_take_at_most_half_of_the_capacity() {
    let mut world = lane_world(|settings| settings.capacity = 6);
    let mut process = world.process(0, 70);
    process.beat(&world, MS);
    for pair in 1..=5 {
        process.declare(&world, pair, "worker", NEVER, MS);
    }
    let events = world.look(2 * MS, process.page);
    assert_eq!(words(&events), ["beat 1", "task 1", "task 1", "task 1"]);
    assert_eq!(world.look(3 * MS, process.page), []);
    assert_eq!(world.judge.counters().tasks_without_room, 2);
    // Agents find the other half.
    for pid in 80..84 {
        world.local(3 * MS, pid, 1);
    }
    assert_eq!((world.judge.followed(), world.judge.counters().capacity_exceeded), (3, 2));
    process.end(&world, 2, State::Closed);
    let events = world.look(4 * MS, process.page);
    assert_eq!(words(&events), ["ended 1", "task 1"]);
    assert_eq!(world.judge.counters().tasks, 4);
    world.assert_accounted();
}

#[test]
fn events_of_a_task_have_what_it_has_done() {
    let mut world = lane_world(|_| {});
    let mut process = world.process(0, 70);
    process.declare(&world, 1, "batch", NEVER, MS);
    process.write_progress(&world, 1, (2 * MS, NEVER), plain(), 4 << 32 | 3);
    let mut events = world.look(2 * MS, process.page);
    process.write_progress(&world, 1, (3 * MS, NEVER), plain(), 7);
    process.end(&world, 1, State::Closed);
    events.extend(world.look(4 * MS, process.page));
    let of_tasks =
        events.iter().filter_map(|event| Some((event.what.name(), event.task?.done)));
    let seen = [("task", 0), ("beat", 3), ("beat", 7), ("ended", 7)];
    assert_eq!(of_tasks.collect::<Vec<_>>(), seen);
}

#[test]
fn tasks_are_followed_only_if_they_are_wanted() {
    let mut world = lane_world(|settings| settings.tasks = false);
    let mut process = world.process(0, 70);
    process.declare(&world, 1, "worker", 10 * MS, MS);
    assert_eq!(world.live_until(500 * MS), []);
    assert!(!world.try_attach(0, &attaching(71)).unwrap().tasks);
}

/// A process with two tasks, each of which has slack.
fn with_slack() -> (World, Process) {
    let ms = Duration::from_millis;
    let slack = Slack::new().program("worker", ms(30)).task("batch", ms(50));
    let mut world = lane_world(|settings| settings.slack = slack);
    let mut process = world.process(0, 70);
    process.declare(&world, 1, "batch", 10 * MS, MS);
    process.declare(&world, 2, "other", 10 * MS, MS);
    world.look(MS, process.page);
    (world, process)
}

#[test]
fn slack_puts_off_what_is_reported_as_broken() {
    let (mut world, process) = with_slack();
    let events = world.live_until(100 * MS);
    assert_eq!(
        short(&events),
        ["41000000: stall 1/2 beat due 11000000", "61000000: stall 1/1 beat due 11000000"]
    );
    process.call(&world, 1, 100 * MS, 110 * MS, Some(Beat));
    process.call(&world, 2, 100 * MS, 110 * MS, Some(Beat));
    world.look(101 * MS, process.page);
    world.judge.set_slack(&Slack::new(), &world.environment);
    let events = world.live_until(200 * MS);
    assert_eq!(
        short(&events),
        ["110000000: stall 1/1 beat due 110000000", "110000000: stall 1/2 beat due 110000000"]
    );
}

#[test]
fn the_slack_of_one_agent_replaces_that_of_its_program() {
    let (mut world, mut process) = with_slack();
    assert!(world.judge.set_agent_slack(1, Some(0)));
    assert!(!world.judge.set_agent_slack(2, Some(0)));
    let events = world.live_until(100 * MS);
    assert_eq!(
        short(&events),
        ["11000000: stall 1/2 beat due 11000000", "61000000: stall 1/1 beat due 11000000"]
    );
    process.call(&world, 1, 100 * MS, 110 * MS, Some(Beat));
    process.call(&world, 2, 100 * MS, 110 * MS, Some(Beat));
    process.declare(&world, 3, "late", 10 * MS, 100 * MS);
    world.look(101 * MS, process.page);
    world.judge.set_agent_slack(1, Some(u64::MAX));
    assert_eq!(short(&world.live_until(10_000 * MS)), [""; 0]);
    world.judge.set_agent_slack(1, None);
    assert_eq!(world.live_until(10_001 * MS).len(), 3);
}

#[test]
fn stalls_of_processes_and_tasks_are_in_the_order_of_their_deadlines() {
    let mut world = lane_world(|_| {});
    let mut processes = [world.process(0, 70), world.process(0, 71)];
    for (at, process) in (1..).zip(&mut processes) {
        process.beat(&world, at * MS);
        process.declare(&world, 1, "worker", THRESHOLD, at * MS);
        process.declare(&world, 2, "worker", 40 * MS, at * MS);
        process.call(&world, 1, at * MS, (at + 60) * MS, Some(Span));
        world.look(2 * MS, process.page);
    }
    let events = world.advance(400 * MS);
    let stalls: Vec<_> = events.iter().map(|event| short(&[*event])[0].split_off(11)).collect();
    assert_eq!(
        stalls,
        [
            "stall 1/2 beat due 41000000",
            "stall 2/2 beat due 42000000",
            "stall 1/1 span due 61000000",
            "stall 2/1 span due 62000000",
            "stall 1 last 1000000",
            "stall 1/1 beat due 101000000",
            "stall 2 last 2000000",
            "stall 2/1 beat due 102000000",
        ]
    );
}

#[test]
fn a_pause_is_given_back_to_tasks_too_but_only_its_part_in_their_silence() {
    let (mut world, mut process) = with_task();
    process.declare(&world, 2, "second", THRESHOLD, 90 * MS);
    world.pause(120 * MS, 80 * MS);
    let events = world.live_until(400 * MS);
    let stalls: Vec<_> =
        events.iter().filter(|event| event.what.name() == "stall").copied().collect();
    assert_eq!(
        short(&stalls),
        ["181000000: stall 1/1 beat due 101000000", "220000000: stall 1/2 beat due 190000000"]
    );
}

#[test]
fn what_no_task_may_write_is_no_news() {
    let (mut world, mut process) = with_task();
    process.call(&world, 1, 2 * MS, u64::MAX - 1, Some(Beat));
    assert_eq!(world.look(3 * MS, process.page), []);
    assert_eq!(world.judge.counters().lane_invalid, 1);
    process.call(&world, 1, 0, NEVER, Some(Beat));
    assert_eq!(world.look(3 * MS, process.page), []);
    assert_eq!(world.judge.counters().lane_invalid, 1);
    process.call(&world, 1, u64::MAX, NEVER, Some(Beat));
    assert_eq!(words(&world.look(4 * MS, process.page)), ["beat 1"]);
    let info = world.judge.task(1, 1, 4 * MS, &world.environment).unwrap();
    assert_eq!((info.last_ns, info.age_ns), (4 * MS, 0));
    // All pairs live, and all words garbage.
    process.garbage(&world);
    let events = world.look(5 * MS, process.page);
    assert_eq!(events, []);
    assert!(world.live_until(1_000 * MS).len() < 40);
}

#[test]
fn a_query_lists_tasks_with_their_last_calls() {
    let (mut world, process) = with_task();
    let info = Info { which: Some(Span), checkpoint: 3, payload: 5, ..plain() };
    process.write_progress(&world, 1, (2 * MS, 30 * MS), info, progress(10, 4));
    let tasks = |world: &World, now| -> Vec<_> {
        world.judge.tasks(1, now, &world.environment).collect()
    };
    let [task] = tasks(&world, 5 * MS)[..] else { panic!() };
    assert_eq!((task.number, task.name.as_str(), task.threshold_ns), (1, "ingest", THRESHOLD));
    assert_eq!((task.last_ns, task.age_ns, task.payload), (2 * MS, 3 * MS, 5));
    assert_eq!((task.done, task.left, task.beats, task.violations), (10, 4, 0, 0));
    let due = task.due.unwrap();
    assert_eq!((due.promise, due.due_ns, due.checkpoint), (Span, 30 * MS, 3));
    assert!(!task.is_late());
    let stalls =
        |events: Vec<Event>| words(&events).iter().filter(|it| *it == "stall 1").count();
    assert_eq!(stalls(world.live_until(200 * MS)), 2);
    let [task] = tasks(&world, 200 * MS)[..] else { panic!() };
    assert!(task.is_late() && task.is_broken(Span) && task.is_broken(Beat));
    assert!(!task.is_broken(Progress));
    assert_eq!((task.due.unwrap().promise, task.beats), (Span, 1));
    assert_eq!(world.judge.task(1, 2, 0, &world.environment), None);
}

/// A process that declares 31 tasks of a millisecond in each millisecond, none at the same time as
/// another.
#[test]
fn promises_that_change_all_the_time_cause_few_wakeups_and_delay_no_other_process() {
    let (mut world, _silent) = with_task();
    let mut hostile = world.process(0, 71);
    let (mut wakeups, mut events) = (0, Vec::new());
    for ms in 2..1_000 {
        for pair in 1..32 {
            let at = ms * MS + u64::from(pair) * MS / 32;
            hostile.declare(&world, pair, "hostile", MS, at);
        }
        loop {
            let due = [world.judge.next_look(), world.judge.next_deadline()];
            let due = due.into_iter().flatten().min();
            let Some(due) = due.filter(|due| *due < (ms + 2) * MS) else { break };
            events.extend(world.advance(due));
            wakeups += 1;
        }
    }
    assert!(wakeups < 1_000, "{wakeups} wakeups");
    let of_hostile = |event: &&Event| event.about.is_some_and(|about| about.pid == 71);
    let stalls = |event: &&Event| event.what.name() == "stall";
    assert!(events.iter().filter(of_hostile).filter(stalls).count() > 0);
    events.retain(|event| !of_hostile(&event));
    assert_eq!(short(&events), ["101000000: stall 1/1 beat due 101000000"]);
}

#[test]
fn a_process_that_rings_too_often_has_to_wait_for_the_next_scheduled_look() {
    let (mut world, process) = with_task();
    let mut other = world.process(0, 71);
    other.declare(&world, 1, "other", NEVER, MS);
    world.look(MS, other.page);
    let bells = (MS..1_000 * MS).step_by(100_000);
    let looks = bells.filter(|at| world.judge.rung(*at, process.page)).count();
    assert!((100..400).contains(&looks), "{looks}");
    assert!(world.judge.rung(1_000 * MS, other.page));
    assert!(world.judge.rung(2_000 * MS, process.page), "it has stopped");
}
