//! Why tasks, and processes that beat through shared memory, are silent.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "clippy.toml allows these in tests, but not in their helpers"
)]

mod lane_world;
mod tracker_world;

use lane_world::*;
use tracker_world::*;
use varta::Promise::Beat;
use varta::internal::lane::layout::Cold;
use varta_observer::judge::{Sample, ThreadReading};
use varta_observer::{Cause, Event, What};

const PID: u32 = 70;

/// A world with a process, whose second thread has a task of 100 ms that was declared at 1 ms.
fn with_task(roams: bool) -> (World, Process) {
    let mut world = lane_world(|settings| settings.causes = true);
    let mut process = world.process(0, PID);
    let of_thread = Cold { thread: PID + 1, roams, ..cold("ingest", THRESHOLD) };
    process.declare_as(&world, 1, &of_thread, MS);
    world.look(MS, process.page);
    (world, process)
}

/// Sets the states of the first and second thread of the process.
fn set_states(world: &mut World, at: u64, states: [u8; 2]) {
    let mut sample = Sample::try_new().unwrap();
    sample.process.read_at = at;
    sample.process.threads = 2;
    for (thread, state) in (PID..).zip(states) {
        let read_at = at;
        sample.push(ThreadReading { thread, state, read_at, ..ThreadReading::NOTHING });
    }
    world.environment.readings.insert(PID, sample);
}

fn causes(events: &[Event]) -> Vec<(u64, Option<u32>, &'static str)> {
    let cause = |event: &Event| match event.what {
        What::Cause { why } => why.cause,
        _ => Cause::Unknown,
    };
    let of = |event: &Event| {
        (event.observer_ns / MS, event.task.map(|task| task.number), cause(event).name())
    };
    let is_cause = |event: &&Event| matches!(event.what, What::Cause { .. });
    events.iter().filter(is_cause).map(of).collect()
}

fn reads(world: &World) -> Vec<&str> {
    let reads = world.environment.calls.iter().filter(|call| call.starts_with("read"));
    reads.map(String::as_str).collect()
}

#[test]
fn the_thread_of_a_task_explains_why_it_is_late() {
    let (mut world, _) = with_task(false);
    set_states(&mut world, 0, *b"SD");
    let stall = world.live_until(110 * MS);
    assert_eq!(short(&stall), ["101000000: stall 1/1 beat due 101000000"]);
    // The process has not beaten itself, so only its task is silent.
    assert_eq!(world.judge.cause(1, 0), None);
    let info = world.judge.cause(1, 1).unwrap();
    assert_eq!((info.why.cause, info.why.thread), (Cause::Io, PID + 1));
    assert_eq!(
        reads(&world),
        ["read Half of 70, threads []", "read Whole of 70, threads [71]"]
    );
}

#[test]
fn a_task_that_roams_has_no_thread_of_its_own() {
    let (mut world, _) = with_task(true);
    set_states(&mut world, 0, *b"DS");
    world.live_until(110 * MS);
    let info = world.judge.cause(1, 1).unwrap();
    assert_eq!((info.why.cause, info.why.thread), (Cause::Io, PID));
}

#[test]
fn the_cause_of_a_late_task_is_looked_up_again_until_it_keeps_its_promise() {
    let (mut world, process) = with_task(false);
    set_states(&mut world, 0, *b"TT");
    world.live_until(130 * MS);
    set_states(&mut world, 130 * MS, *b"SD");
    assert_eq!(causes(&world.live_until(300 * MS)), [(151, Some(1), "io")]);
    process.call(&world, 1, 310 * MS, 2_000 * MS, Some(Beat));
    world.look(311 * MS, process.page);
    assert_eq!(world.judge.cause(1, 1), None);
    let before = reads(&world).len();
    assert_eq!(world.live_until(900 * MS), []);
    assert_eq!(reads(&world).len(), before);
}

#[test]
fn a_task_that_goes_on_is_not_read() {
    let (mut world, process) = with_task(false);
    set_states(&mut world, 0, *b"SS");
    for at in (20..600).step_by(20) {
        process.call(&world, 1, at * MS, (at + 100) * MS, Some(Beat));
        world.live_until(at * MS + 19 * MS);
    }
    assert_eq!(reads(&world), [""; 0]);
}

#[test]
fn the_page_of_a_process_tells_which_thread_beat_last() {
    let mut world = lane_world(|settings| settings.causes = true);
    let mut process = world.process(0, PID);
    process.beat(&world, MS);
    process.write_thread(&world, PID + 1);
    world.look(2 * MS, process.page);
    set_states(&mut world, 0, *b"RD");
    let stall = world.live_until(110 * MS);
    assert_eq!(short(&stall), ["101000000: stall 1 last 1000000"]);
    let info = world.judge.cause(1, 0).unwrap();
    assert_eq!((info.why.cause, info.why.thread), (Cause::Io, PID + 1));
}

#[test]
fn a_process_that_beats_in_its_page_is_learned_and_read_at_half_of_its_threshold() {
    let mut world = lane_world(|settings| settings.causes = true);
    let mut process = world.process(0, PID);
    set_states(&mut world, 0, *b"SS");
    for at in (10..=100).step_by(10) {
        process.beat(&world, at * MS);
        world.look(at * MS, process.page);
    }
    let learned = reads(&world).iter().filter(|read| read.starts_with("read Schedule")).count();
    assert!(learned >= 7, "{:?}", reads(&world));
    world.environment.calls.clear();
    world.live_until(149 * MS);
    assert_eq!(reads(&world), [""; 0]);
    world.live_until(152 * MS);
    assert_eq!(reads(&world), ["read Half of 70, threads []"]);
    let stall = world.live_until(202 * MS);
    assert_eq!(short(&stall), ["200000000: stall 1 last 100000000"]);
    assert_eq!(reads(&world).len(), 2);
}

/// What can be read of the process says that it executes this program.
fn executes(world: &mut World, program: u64) {
    world.environment.readings.get_mut(&PID).unwrap().process.executable = Some((1, program));
}

#[test]
fn a_task_ends_when_its_process_executes_another_program() {
    for thresholds in [[100, 50], [50, 100], [100, 1_000]] {
        let [of_task, of_process] = thresholds.map(|threshold| threshold * MS);
        let mut world = lane_world(|settings| {
            (settings.causes, settings.threshold_ns) = (true, of_process);
        });
        set_states(&mut world, 0, *b"SS");
        executes(&mut world, 1);
        let mut process = world.process(0, PID);
        // It moves from thread to thread, so that the end of one does not end it.
        let roaming = Cold { thread: PID + 1, roams: true, ..cold("ingest", of_task) };
        process.declare_as(&world, 1, &roaming, MS);
        process.beat(&world, MS);
        world.look(MS, process.page);
        executes(&mut world, 2);
        let events = world.live_until(900 * MS);
        let ended = 1 + thresholds.iter().min().unwrap();
        assert_eq!(short(&events), [format!("{}: ended 1/1 thread-gone", ended * MS)]);
        assert_eq!(world.judge.cause(1, 1), None);
        assert_eq!(world.judge.counters().task_stalls, 0);
        assert_eq!(world.judge.agent(world.slot(1), 0).unwrap().tasks, 0);
        world.live_until(2_000 * MS);
        assert_eq!(world.judge.cause(1, 0).unwrap().why.cause, Cause::Exec);
    }
}

#[test]
fn a_late_task_ends_when_its_process_executes_another_program() {
    let mut world =
        lane_world(|settings| (settings.causes, settings.threshold_ns) = (true, 10_000 * MS));
    set_states(&mut world, 0, *b"SS");
    executes(&mut world, 1);
    let mut process = world.process(0, PID);
    let roaming = Cold { thread: PID + 1, roams: true, ..cold("ingest", THRESHOLD) };
    process.declare_as(&world, 1, &roaming, MS);
    process.beat(&world, MS);
    world.look(MS, process.page);
    assert_eq!(short(&world.live_until(110 * MS)), ["101000000: stall 1/1 beat due 101000000"]);
    executes(&mut world, 2);
    let events = world.live_until(900 * MS);
    assert!(short(&events)[0].ends_with("ended 1/1 thread-gone"), "{events:?}");
    assert_eq!(world.judge.agent(world.slot(1), 0).unwrap().tasks_late, 0);
}

#[test]
fn the_tasks_of_a_program_that_was_executed_are_judged_before_it_beats() {
    let mut world =
        lane_world(|settings| (settings.causes, settings.threshold_ns) = (true, 10_000 * MS));
    set_states(&mut world, 0, *b"DS");
    executes(&mut world, 1);
    let mut old = world.process(0, PID);
    old.beat(&world, MS);
    world.look(MS, old.page);
    world.detach(2 * MS, &old);
    executes(&mut world, 2);
    let mut new = world.process(3 * MS, PID);
    let roaming = Cold { thread: PID, roams: true, ..cold("ingest", THRESHOLD) };
    new.declare_as(&world, 1, &roaming, 4 * MS);
    world.look(4 * MS, new.page);
    let stall = world.live_until(110 * MS);
    assert_eq!(short(&stall), ["104000000: stall 1/1 beat due 104000000"]);
    assert_eq!(world.judge.cause(1, 1).unwrap().why.cause, Cause::Io);
}
