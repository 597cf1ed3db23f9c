//! Why processes and tasks are silent: what is read when, and what is reported.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::HashMap;

use varta::{Frame, Status};
use varta_observer::judge::{
    Call, Datagram, Depth, Environment, Found, Judge, Lacks, Looked, Quota, Sample, Sender,
    Settings, Slot, Text, ThreadReading,
};
use varta_observer::{
    Cause, CauseFlags, CauseInfo, Certainty, Event, ExitCause, Policy, What, Why,
};

const MS: u64 = 1_000_000;
const PID: u32 = 4321;

/// A host whose processes are in the states that a test sets.
#[derive(Default)]
struct Host {
    now: u64,
    processes: HashMap<u32, Sample>,
    owners: HashMap<u64, u32>,
    /// What was read, and when, except of agents that had just beaten.
    reads: Vec<(u64, u32, Depth)>,
    /// How often the program of an agent was identified.
    identified: usize,
    /// How long a reading takes.
    cost_ns: u64,
    ended: bool,
    /// What comes of readings, if not what is read.
    found: Option<Found>,
    /// Of which thread it is read late in what it waits.
    late: u32,
}

impl Environment for Host {
    fn read_process(
        &mut self,
        _: Slot,
        pid: u32,
        depth: Depth,
        _: &[u32],
        sample: &mut Sample,
    ) -> Looked {
        match depth {
            Depth::Program => self.identified += 1,
            _ => self.reads.push((self.now / MS, pid, depth)),
        }
        sample.clear();
        let found = match self.processes.get(&pid) {
            _ if self.found.is_some() => self.found.unwrap(),
            _ if self.ended && depth == Depth::Whole => Found::Ended,
            Some(process) => {
                sample.process = process.process;
                sample.process.read_at = self.now;
                for thread in process.threads() {
                    let thread = ThreadReading {
                        read_at: self.now,
                        wait_channel: Text::EMPTY,
                        call: Call::Unknown,
                        ..*thread
                    };
                    sample.push(thread);
                }
                Found::Read
            }
            None => Found::Hidden,
        };
        Looked { found, spent_ns: self.cost_ns }
    }

    fn read_thread(
        &mut self,
        _: Slot,
        pid: u32,
        thread: &mut ThreadReading,
        lacks: &mut Lacks,
    ) -> Looked {
        if thread.thread == self.late {
            return Looked { found: Found::Late, spent_ns: 0 };
        }
        let process = &self.processes[&pid];
        let found = process.thread(thread.thread).unwrap();
        (thread.wait_channel, thread.call) = (found.wait_channel, found.call);
        lacks.add(process.process.lacks);
        Looked { found: Found::Read, spent_ns: 0 }
    }

    fn lock_owner(&mut self, _: Slot, _: u32, address: u64) -> Option<u32> {
        self.owners.get(&address).copied()
    }
}

struct World {
    judge: Judge,
    host: Host,
    nonce: u64,
}

impl World {
    /// A judge with a threshold of one second.
    fn new(causes: bool) -> Self {
        let mut settings = Settings::new(Policy::same_uid(0));
        settings.threshold_ns = 1_000 * MS;
        settings.causes = causes;
        Self { judge: Judge::new(settings), host: Host::default(), nonce: 0 }
    }

    fn beat(&mut self, at_ms: u64, pid: u32) -> Vec<Event> {
        self.host.now = at_ms * MS;
        self.nonce += 1;
        let mut wire = [0; 32];
        Frame::new(Status::Ok, pid, 0, self.nonce, 0).encode(&mut wire);
        let sender = Sender::Kernel { pid, uid: 0, process: None };
        self.judge.hear(at_ms * MS, &Datagram::new(0, sender, &wire), &mut self.host);
        self.events()
    }

    /// Lets time pass up to then, millisecond by millisecond.
    fn pass(&mut self, until_ms: u64) -> Vec<(u64, What)> {
        let mut events = Vec::new();
        for at_ms in self.host.now / MS + 1..=until_ms {
            self.host.now = at_ms * MS;
            if self.judge.next_deadline().is_none_or(|due| due > self.host.now) {
                continue;
            }
            while self.judge.expire(self.host.now, &mut self.host) {
                events.extend(self.events().into_iter().map(|event| (at_ms, event.what)));
            }
        }
        events
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.judge.next_event()).collect()
    }

    fn set(&mut self, pid: u32, threads: &[ThreadReading]) {
        let mut sample = Sample::try_new().unwrap();
        sample.process.threads = threads.len().try_into().unwrap();
        for thread in threads {
            assert!(sample.push(*thread));
        }
        self.host.processes.insert(pid, sample);
    }

    fn process(&mut self) -> &mut Sample {
        self.host.processes.get_mut(&PID).unwrap()
    }

    fn info(&self) -> CauseInfo {
        self.judge.cause(1, 0).unwrap()
    }
}

fn thread(thread: u32, state: u8) -> ThreadReading {
    ThreadReading { thread, state, ..ThreadReading::NOTHING }
}

fn futex(operation: u64, value: u64) -> Call {
    Call::In { number: 202, name: "futex", arguments: [0x7000, operation, value, 0] }
}

fn waits(number: u32, channel: &[u8], call: Call) -> ThreadReading {
    let wait_channel = Text::from_bytes(channel);
    ThreadReading { wait_channel, call, ..thread(number, b'S') }
}

fn whys(events: &[(u64, What)]) -> Vec<(u64, &'static str, Cause)> {
    let why = |what: &What| match what {
        What::Stall { why, .. } => *why,
        What::Cause { why } => Some(*why),
        _ => None,
    };
    let known = |(at, what): &(u64, What)| Some((*at, what.name(), why(what)?.cause));
    events.iter().filter_map(known).collect()
}

#[test]
fn a_silent_process_is_read_at_half_of_its_threshold_at_the_stall_and_ever_less_often() {
    let mut world = World::new(true);
    world.set(PID, &[waits(PID, b"futex_do_wait", futex(0x80, 2))]);
    world.beat(0, PID);
    assert_eq!(whys(&world.pass(17_000)), [(1_000, "stall", Cause::Lock)]);
    let times: Vec<_> = world.host.reads.iter().map(|(at, _, depth)| (*at, *depth)).collect();
    let (half, whole) = (Depth::Half, Depth::Whole);
    let expected =
        [(500, half), (1_000, whole), (2_000, whole), (3_000, whole), (4_000, whole)];
    assert_eq!(times[..5], expected);
    assert_eq!(times[5..], [(8_000, whole), (16_000, whole)]);
    let info = world.info();
    assert_eq!((info.why.thread, info.why.certainty), (PID, Certainty::Likely));
    assert_eq!(info.detail.to_string(), "futex_do_wait futex");
    assert_eq!((info.looked_ns, info.window_ns), (16_000 * MS, 8_000 * MS));
    assert_eq!(world.judge.counters().cause_looks, 6);
}

#[test]
fn nothing_is_read_of_a_process_that_beats_or_if_causes_are_off() {
    for causes in [true, false] {
        let mut world = World::new(causes);
        world.set(PID, &[thread(PID, b'T')]);
        for at in 0..20 {
            world.beat(400 * at, PID);
            assert_eq!(world.pass(400 * at + 399), []);
        }
        assert_eq!(world.host.reads, []);
        // Its program is identified at its beats 1, 2, 3, 5, 9 and 17.
        assert_eq!(world.host.identified, if causes { 6 } else { 0 });
        let stall = world.pass(9_000);
        let why =
            |what: &What| matches!(what, What::Stall { why, .. } if why.is_some() == causes);
        assert!(why(&stall[0].1), "{stall:?}");
        assert_eq!(world.judge.cause(1, 0).is_some(), causes);
    }
}

#[test]
fn a_stall_is_reported_when_it_is_due_although_the_process_was_read_before() {
    for (beats, expected) in [(vec![0], 1_000), (vec![0, 700], 1_700), (vec![0, 999], 1_999)] {
        let mut world = World::new(true);
        for at in beats {
            assert_eq!(world.pass(at), []);
            world.beat(at, PID);
        }
        let events = world.pass(expected + 10);
        assert_eq!(events[0].0, expected, "{events:?}");
    }
}

#[test]
fn a_pause_of_the_observer_extends_a_silence_whether_it_was_read_before_or_not() {
    for pause_at in [300, 700] {
        let mut world = World::new(true);
        world.beat(0, PID);
        assert_eq!(world.pass(pause_at), []);
        world.judge.pause((pause_at + 200) * MS, 200 * MS);
        assert_eq!(world.events().len(), 1);
        let events = world.pass(1_300);
        assert_eq!(events[0].0, 1_200, "{pause_at}: {events:?}");
    }
}

#[test]
fn a_process_held_from_outside_is_looked_at_every_threshold_and_a_change_is_an_event() {
    let mut world = World::new(true);
    world.set(PID, &[ThreadReading { stop_signal: 19, ..thread(PID, b'T') }]);
    world.beat(0, PID);
    assert_eq!(whys(&world.pass(5_500)), [(1_000, "stall", Cause::Stopped)]);
    assert_eq!(world.info().signal, 19);
    world.set(PID, &[waits(PID, b"do_epoll_wait", Call::Unknown)]);
    assert_eq!(whys(&world.pass(6_500)), [(6_000, "cause", Cause::Idle)]);
    assert!(world.info().why.flags.has(CauseFlags::IN_EVENT_WAIT));
    assert_eq!(world.host.reads.len(), 7);
    world.beat(6_600, PID);
    assert_eq!(world.judge.cause(1, 0), None, "it has recovered");
    assert_eq!(whys(&world.pass(7_599)), []);
}

#[test]
fn a_process_that_ends_while_it_is_read_is_dying() {
    let mut world = World::new(true);
    world.set(PID, &[thread(PID, b'R')]);
    world.beat(0, PID);
    world.host.ended = true;
    assert_eq!(whys(&world.pass(1_000)), [(1_000, "stall", Cause::Dying)]);
    let slot = world.judge.find(1).unwrap();
    world.judge.exited(1_001 * MS, slot, ExitCause::Code(0), &mut world.host);
    assert_eq!(world.judge.cause(1, 0), None);
    assert_eq!(world.pass(9_000), []);
}

#[test]
fn the_owner_of_a_lock_is_named_and_a_cycle_is_seen() {
    for (owner_waits, cycle) in [(Call::Unknown, false), (futex(0x80, 2), true)] {
        let mut world = World::new(true);
        let waiting = waits(PID, b"futex_do_wait", futex(0x80, 2));
        world.set(PID, &[waiting, waits(PID + 1, b"do_wait", owner_waits)]);
        world.host.owners.insert(0x7000, PID + 1);
        world.beat(0, PID);
        world.pass(1_000);
        let Why { cause, thread, other, flags, .. } = world.info().why;
        assert_eq!((cause, thread, other), (Cause::Lock, PID, PID + 1));
        assert!(flags.has(CauseFlags::OWNER | CauseFlags::MANY_THREADS));
        assert_eq!(flags.has(CauseFlags::CYCLE), cycle);
    }
}

#[test]
fn readings_that_take_too_long_leave_the_others_for_later() {
    let mut world = World::new(true);
    world.host.cost_ns = MS;
    for pid in 2..=41 {
        world.set(pid, &[thread(pid, b'T')]);
        world.beat(0, pid);
    }
    let events = whys(&world.pass(1_400));
    let count = |name, cause| {
        events.iter().filter(|(_, found, why)| (*found, *why) == (name, cause)).count()
    };
    assert_eq!(count("stall", Cause::Stopped), 2);
    assert_eq!(count("stall", Cause::Unknown), 38);
    assert_eq!(count("cause", Cause::Stopped), 38);
    assert!(events[..40].iter().all(|(at, name, _)| (*at, *name) == (1_000, "stall")));
    let reads = |depth| {
        let of_depth = world.host.reads.iter().filter(move |(.., read)| *read == depth);
        of_depth.map(|(at, ..)| *at).collect::<Vec<_>>()
    };
    for depth in [Depth::Half, Depth::Whole] {
        let times = reads(depth);
        assert_eq!(times.len(), 40);
        assert!(times.windows(3).all(|three| three[2] >= three[0] + 9), "{times:?}");
        assert!(times[39] <= times[0] + 200, "{times:?}");
    }
    assert!(world.judge.counters().cause_refused >= 38);
}

#[test]
fn a_process_that_cannot_be_seen_is_silent_for_unknown_reasons() {
    let mut world = World::new(true);
    world.beat(0, PID);
    assert_eq!(whys(&world.pass(40_000)), [(1_000, "stall", Cause::Unknown)]);
    assert!(world.info().why.flags.has(CauseFlags::NO_PERMISSION));
    assert!(world.host.reads.len() < 12, "{:?}", world.host.reads);
}

#[test]
fn the_time_that_threads_run_tells_a_busy_process_from_one_that_lacks_the_cpu() {
    for (ran, waited, quota, cause) in [
        (450, 10, false, Cause::Busy),
        (3, 0, false, Cause::Starved),
        (3, 490, true, Cause::Throttled),
    ] {
        let mut world = World::new(true);
        world.set(PID, &[thread(PID, b'R')]);
        world.process().process.quotas.push(Quota {
            group: 7,
            periods: 10,
            throttled: 1,
            period_ns: 100 * MS,
        });
        world.beat(0, PID);
        world.pass(600);
        let now = ThreadReading { run_ns: ran * MS, wait_ns: waited * MS, ..thread(PID, b'R') };
        world.set(PID, &[now]);
        let throttled = if quota { 6 } else { 1 };
        world.process().process.quotas.push(Quota {
            group: 7,
            periods: 15,
            throttled,
            period_ns: 100 * MS,
        });
        assert_eq!(whys(&world.pass(1_000)), [(1_000, "stall", cause)], "{:?}", world.info());
        assert_eq!(world.info().run_ns, ran * MS);
    }
}

#[test]
fn a_quota_for_a_period_longer_than_the_readings_are_apart_throttles_without_a_trace() {
    for (period, cause) in [(1_000, Cause::Throttled), (100, Cause::Starved)] {
        let mut world = World::new(true);
        world.set(PID, &[thread(PID, b'R')]);
        let quota = Quota { group: 7, periods: 0, throttled: 0, period_ns: period * MS };
        world.process().process.quotas.push(quota);
        world.beat(0, PID);
        assert_eq!(whys(&world.pass(1_000)), [(1_000, "stall", cause)], "{:?}", world.info());
    }
}

/// A process whose worker beats and whose first thread waits for it.
fn pool(world: &mut World, at: u64) {
    let worker = ThreadReading { run_ns: at * 1_000, slices: at, ..thread(PID + 1, b'S') };
    let other = ThreadReading { run_ns: at * 7, slices: at / 200, ..thread(PID + 2, b'S') };
    world.set(PID, &[thread(PID, b'S'), worker, other]);
    world.process().process.executable = Some((1, 1));
}

fn learn(world: &mut World) {
    world.judge.set_fresh(true);
    for at in 1..=10 {
        pool(world, 20 * at);
        world.beat(20 * at, PID);
    }
}

#[test]
fn the_thread_that_beats_is_learned_while_it_beats() {
    let mut world = World::new(true);
    learn(&mut world);
    let looks = world.host.reads.iter().filter(|(.., depth)| *depth == Depth::Schedule).count();
    assert_eq!(looks, 8);
    let hung = waits(PID + 1, b"futex_do_wait", futex(0x80, 2));
    let main = waits(PID, b"futex_do_wait", futex(0x109, u64::from(PID) + 1));
    world.set(PID, &[main, hung, thread(PID + 2, b'R')]);
    world.process().process.executable = Some((1, 1));
    assert_eq!(whys(&world.pass(1_200)), [(1_200, "stall", Cause::Lock)]);
    assert_eq!(world.info().why.thread, PID + 1);
    world.set(PID, &[main, thread(PID + 2, b'S')]);
    assert_eq!(whys(&world.pass(2_300)), [(2_200, "cause", Cause::ThreadGone)]);
    assert_eq!(world.info().why.thread, PID + 1);
}

#[test]
fn what_was_learned_counts_although_the_agent_fell_silent_soon() {
    let mut world = World::new(true);
    world.judge.set_fresh(true);
    for at in 1..=4 {
        pool(&mut world, 20 * at);
        world.beat(20 * at, PID);
    }
    let hung = waits(PID + 1, b"futex_do_wait", futex(0x80, 0));
    let lock = waits(PID + 3, b"futex_do_wait", futex(0x80, 2));
    world.set(PID, &[thread(PID, b'S'), hung, thread(PID + 2, b'R'), lock]);
    world.process().process.executable = Some((1, 1));
    assert_eq!(whys(&world.pass(1_080)), [(1_080, "stall", Cause::Waiting)]);
    assert_eq!(world.info().why.thread, PID + 1);
}

#[test]
fn a_runtime_that_moves_its_work_between_threads_is_busy_although_the_one_that_beat_waits() {
    let mut world = World::new(true);
    learn(&mut world);
    let waiting = waits(PID + 1, b"do_epoll_wait", Call::Unknown);
    let beater = ThreadReading { run_ns: 200_000, slices: 200, ..waiting };
    let mut spun = |ran: u64, state| {
        let works = ThreadReading { wait_ns: 100 * MS, slices: ran, ..thread(PID + 3, state) };
        let works = ThreadReading { run_ns: ran * MS, ..works };
        let other = ThreadReading { thread: PID + 4, ..works };
        let sleeps = waits(PID + 2, b"do_epoll_wait", Call::Unknown);
        world.set(PID, &[thread(PID, b'S'), beater, sleeps, works, other]);
        world.process().process.executable = Some((1, 1));
        whys(&world.pass(if ran == 90 { 800 } else { 1_200 }))
    };
    assert_eq!(spun(90, b'R'), []);
    assert_eq!(spun(250, b'R'), [(1_200, "stall", Cause::Busy)]);
    assert_eq!(world.info().why.certainty, Certainty::Guess);
}

/// A process of which nothing was learned: one thread that goes on and another one. Each has
/// run for 60 ms in 60 slices while it made 60 beats, one each 20 ms.
fn of_two(other: ThreadReading) -> World {
    let mut world = World::new(true);
    let ran = |thread| ThreadReading { run_ns: 60 * MS, slices: 60, ..thread };
    world.set(PID, &[ran(thread(PID, b'S')), ran(thread(PID + 1, b'S'))]);
    for at in 1..=60 {
        world.beat(20 * at, PID);
    }
    assert_eq!(world.pass(1_800), []);
    let goes_on = ThreadReading { run_ns: 72 * MS, wait_ns: 350 * MS, ..thread(PID, b'R') };
    world.set(PID, &[ThreadReading { slices: 72, ..goes_on }, other]);
    world
}

#[test]
fn a_thread_that_goes_on_as_ever_on_a_busy_machine_does_not_excuse_one_that_hangs() {
    let slept = ThreadReading { run_ns: 60 * MS, slices: 60, ..thread(PID + 1, b'S') };
    let cases = [
        (waits(PID + 1, b"do_epoll_wait", Call::Unknown), Cause::Idle),
        (waits(PID + 1, b"futex_do_wait", futex(0x189, 0)), Cause::Waiting),
        (waits(PID + 1, b"futex_do_wait", futex(0x80, 2)), Cause::Lock),
        // It runs far more than for any beat before.
        (ThreadReading { run_ns: 150 * MS, slices: 90, state: b'R', ..slept }, Cause::Busy),
    ];
    for (other, cause) in cases {
        let other = ThreadReading {
            run_ns: other.run_ns.max(slept.run_ns),
            slices: other.slices.max(slept.slices),
            wait_ns: if cause == Cause::Busy { 380 * MS } else { 0 },
            ..other
        };
        let mut world = of_two(other);
        assert_eq!(whys(&world.pass(2_200)), [(2_200, "stall", cause)], "{:?}", world.info());
        let why = world.info().why;
        assert_eq!((why.thread, why.certainty), (PID + 1, Certainty::Guess));
    }
}

#[test]
fn one_of_several_threads_that_lacks_the_cpu_is_starved_if_it_ran_for_less_than_a_beat() {
    let other = ThreadReading { run_ns: 60 * MS + 1, slices: 61, ..thread(PID + 1, b'R') };
    let mut world = of_two(ThreadReading { wait_ns: 390 * MS, ..other });
    assert_eq!(whys(&world.pass(2_200)), [(2_200, "stall", Cause::Starved)]);
    assert_eq!(
        (world.info().why.thread, world.info().why.certainty),
        (PID + 1, Certainty::Guess)
    );
}

#[test]
fn the_only_thread_of_a_process_is_busy_if_it_ran_for_longer_than_its_beats_take() {
    for (ran, cause) in [(40, Cause::Busy), (2, Cause::Starved)] {
        let mut world = World::new(true);
        let before = ThreadReading { run_ns: 60 * MS, slices: 60, ..thread(PID, b'R') };
        world.set(PID, &[before]);
        for at in 1..=60 {
            world.beat(20 * at, PID);
        }
        world.pass(1_800);
        let run_ns = before.run_ns + ran * MS;
        let wait_ns = 390 * MS - ran * MS;
        world.set(PID, &[ThreadReading { run_ns, wait_ns, slices: 70, ..before }]);
        assert_eq!(whys(&world.pass(2_200)), [(2_200, "stall", cause)]);
    }
}

#[test]
fn the_program_of_an_agent_is_known_from_its_first_beat_even_if_that_is_not_fresh() {
    for beats in [1, 2, 3, 100] {
        let mut world = World::new(true);
        world.set(PID, &[thread(PID, b'S')]);
        world.process().process.executable = Some((1, 1));
        for at in 1..=beats {
            world.beat(10 * at, PID);
        }
        world.process().process.executable = Some((1, 2));
        assert_eq!(whys(&world.pass(10_000 + 10 * beats)), []);
        assert_eq!(world.info().why.cause, Cause::Exec);
    }
}

#[test]
fn another_program_in_the_same_process_is_not_judged_until_it_beats() {
    let mut world = World::new(true);
    learn(&mut world);
    world.process().process.executable = Some((1, 2));
    assert_eq!(whys(&world.pass(1_200)), []);
    assert_eq!(world.info().why.cause, Cause::Exec);
    // The program that it executes now beats and is learned.
    world.judge.set_fresh(true);
    world.beat(1_300, PID);
    world.judge.set_fresh(false);
    world.set(PID, &[thread(PID, b'T')]);
    world.process().process.executable = Some((1, 2));
    assert_eq!(whys(&world.pass(2_300)), [(2_300, "stall", Cause::Stopped)]);
}

#[test]
fn an_agent_whose_interval_is_long_is_not_read_at_every_beat() {
    let mut world = World::new(true);
    for at in 0..40 {
        world.beat(700 * at, PID);
        world.pass(700 * at + 699);
    }
    assert!(world.host.reads.len() <= 4, "{:?}", world.host.reads);
    let mut slower = World::new(true);
    for at in 0..40 {
        slower.beat(900 * at, PID);
        slower.pass(900 * at + 899);
    }
    let (_, _, last) = slower.host.reads.last().unwrap();
    assert_eq!(*last, Depth::Clock);
}

#[test]
fn a_reading_that_is_late_is_made_up_for_and_one_that_does_not_return_is_reported() {
    let mut world = World::new(true);
    world.set(PID, &[waits(PID, b"futex_do_wait", futex(0x80, 2))]);
    world.beat(0, PID);
    world.host.found = Some(Found::Late);
    assert_eq!(whys(&world.pass(1_000)), [(1_000, "stall", Cause::Unknown)]);
    assert_eq!((world.info().looked_ns, world.judge.counters().cause_looks), (0, 0));
    // It is asked again ten milliseconds later.
    let asked = world.host.reads.len();
    assert_eq!(whys(&world.pass(1_100)), []);
    assert!((8..=12).contains(&(world.host.reads.len() - asked)), "{:?}", world.host.reads);
    world.host.found = None;
    assert_eq!(whys(&world.pass(1_110)), [(1_109, "cause", Cause::Lock)]);

    world.host.found = Some(Found::Stuck(77));
    assert_eq!(whys(&world.pass(3_000)), [(1_609, "cause", Cause::Unknown)]);
    assert_eq!(world.info().detail.to_string(), "a reading of process 77 does not return");
    world.host.found = None;
    assert_eq!(whys(&world.pass(8_000)), [(4_000, "cause", Cause::Lock)]);
}

#[test]
fn if_one_thread_is_read_late_the_others_explain_the_silence() {
    let mut world = World::new(true);
    let idle = waits(PID, b"unix_stream_read_generic", Call::Unknown);
    world.set(PID, &[idle, waits(PID + 1, b"futex_do_wait", futex(0x80, 2))]);
    world.beat(0, PID);
    world.host.late = PID + 1;
    assert_eq!(whys(&world.pass(1_999)), [(1_000, "stall", Cause::Idle)]);
    world.host.late = 0;
    assert_eq!(whys(&world.pass(2_000)), [(2_000, "cause", Cause::Lock)]);
    // If there is no other, it is asked again.
    let mut alone = World::new(true);
    alone.set(PID, &[idle]);
    alone.beat(0, PID);
    alone.host.late = PID;
    assert_eq!(whys(&alone.pass(1_100)), [(1_000, "stall", Cause::Unknown)]);
    alone.host.late = 0;
    assert_eq!(whys(&alone.pass(1_120)).len(), 1);
    assert_eq!(alone.info().why.cause, Cause::Idle);
}

#[test]
fn what_a_thread_waits_in_is_named() {
    let cases = [
        (b'S', "futex_do_wait", futex(0x89, 0x7fff_ffff), Cause::Lock),
        (b'S', "futex_do_wait", futex(0x189, 0), Cause::Waiting),
        (b'S', "futex_do_wait", Call::Unknown, Cause::Waiting),
        (b'S', "request_wait_answer", Call::Unknown, Cause::Io),
        (b'D', "kernel_clone", Call::Unknown, Cause::Child),
        (b'D', "io_schedule", Call::Unknown, Cause::Io),
        (b'D', "folio_wait_bit_common", Call::Outside, Cause::Memory),
        (b'S', "do_wait", Call::Unknown, Cause::Child),
        (b'S', "get_signal", Call::Unknown, Cause::Frozen),
        (b'S', "__do_semtimedop", Call::Unknown, Cause::Lock),
        (b'S', "", Call::Unknown, Cause::Asleep),
        (b'S', "unix_stream_read_generic", Call::Unknown, Cause::Idle),
    ];
    for (state, channel, call, cause) in cases {
        let mut world = World::new(true);
        let reading = ThreadReading { state, ..waits(PID, channel.as_bytes(), call) };
        world.set(PID, &[reading]);
        if channel.is_empty() {
            world.process().process.lacks.add(Lacks::WAIT_CHANNEL);
        }
        world.beat(0, PID);
        assert_eq!(whys(&world.pass(1_000)), [(1_000, "stall", cause)], "{channel}");
    }
}
