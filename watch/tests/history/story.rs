//! A short history, written as the daemon writes it.

use std::path::Path;

use varta_history::{
    Agent, Beat, Beats, CauseMembers, Clock, ClockPair, Exit, Expected, Gap, Histogram, Limits,
    Minute, Origin, Part, Record, Recovered, Recovery, Run, Stall, Started, Stopped, Writer,
};

pub(crate) const MS: u64 = 1_000_000;
pub(crate) const SECOND: u64 = 1_000 * MS;
const HOUR: u64 = 3_600 * SECOND;

/// 2025-11-30, 14:00 UTC.
pub(crate) const START: u64 = 1_764_511_200 * SECOND;

/// Writes records and counts them.
pub(crate) struct Story {
    writer: Writer,
    seq: u64,
    /// What the wall clock shows when the observer's time is 0.
    wall_ns: u64,
}

impl Story {
    pub(crate) fn new(folder: &Path, start_us: u64, wall_ns: u64) -> Self {
        let run = Run { boot_id: [0xab; 16], start_us };
        let boot_ns = start_us * 1_000;
        let origin = Origin { host: "db-1".to_owned(), run, boot_ns };
        let now = ClockPair { observer_ns: 0, wall_ns };
        let writer = Writer::open(folder, Limits::default(), origin, now).unwrap();
        let mut story = Self { writer, seq: 0, wall_ns };
        let started = Started { version: "0.3.0".into(), pid: 812, ..Started::default() };
        story.add(0, started);
        story.clock(0);
        story
    }

    pub(crate) fn add(&mut self, observer_ns: u64, record: impl Into<Record>) {
        self.seq += 1;
        self.writer.push(self.seq, observer_ns, &record.into());
    }

    fn clock(&mut self, observer_ns: u64) {
        let wall_ns = self.wall_ns + observer_ns;
        self.add(observer_ns, Clock { wall_ns, ..Clock::default() });
    }

    /// Sets the wall clock.
    pub(crate) fn set_clock(&mut self, observer_ns: u64, wall_ns: u64) {
        self.wall_ns = wall_ns - observer_ns;
        self.clock(observer_ns);
    }

    pub(crate) fn agent(
        &mut self,
        observer_ns: u64,
        agent: u64,
        pid: u32,
        program: &'static str,
    ) {
        let agent = Agent {
            agent,
            pid,
            claimed_pid: pid,
            program: program.into(),
            origin: "kernel-attested".into(),
            threshold_ns: 2 * SECOND,
            floor_ns: SECOND / 2,
            first_ns: Some(observer_ns),
            ..Agent::default()
        };
        self.add(observer_ns, agent);
    }

    pub(crate) fn minute(
        &mut self,
        end_ns: u64,
        program: &'static str,
        beats: u64,
        every_ns: u64,
    ) {
        let mut intervals = Histogram::default();
        intervals.add(every_ns, beats - 1);
        self.add(end_ns, Minute { program: program.into(), beats, missed: 1, intervals });
    }

    pub(crate) fn stall(&mut self, observer_ns: u64, agent: u64, last_ns: u64) {
        let why = CauseMembers {
            cause: "lock".into(),
            cause_class: "own".into(),
            certainty: "likely".into(),
            cause_text: Some("hung on a lock held by thread 4326".into()),
            ..CauseMembers::default()
        };
        let stall = Stall {
            agent,
            last_nonce: 1_200,
            last_ns,
            threshold_ns: 2 * SECOND,
            why: Part(Some(why)),
            ..Stall::default()
        };
        self.add(observer_ns, stall);
        self.beats(observer_ns, agent, [last_ns - 100 * MS, last_ns]);
    }

    fn beats(&mut self, observer_ns: u64, agent: u64, at: [u64; 2]) {
        let beat = |observer_ns| Beat {
            observer_ns,
            status: "ok".into(),
            payload: 7,
            nonce: 1_200,
            missed: 0,
            count: 1,
        };
        self.add(observer_ns, Beats { agent, beats: at.map(beat).to_vec() });
    }

    pub(crate) fn recovered(&mut self, observer_ns: u64, agent: u64, silent_ns: u64) {
        self.gap(observer_ns, agent, silent_ns);
        let promise = "beat".into();
        self.add(observer_ns, Recovered { agent, silent_ns, promise, ..Recovered::default() });
    }

    pub(crate) fn gap(&mut self, observer_ns: u64, agent: u64, silent_ns: u64) {
        self.add(observer_ns, Gap { agent, silent_ns, ..Gap::default() });
    }

    pub(crate) fn killed(&mut self, observer_ns: u64, agent: u64) {
        let exit = Exit {
            agent,
            signal: Some(9),
            last_status: "ok".into(),
            last_ns: observer_ns - 200 * MS,
            ..Exit::default()
        };
        self.add(observer_ns, exit);
        self.beats(observer_ns, agent, [observer_ns - 1_200 * MS, observer_ns - 200 * MS]);
    }

    pub(crate) fn end(mut self, observer_ns: u64) {
        self.add(observer_ns, Stopped::default());
        let wall_ns = self.wall_ns + observer_ns;
        self.writer.end(ClockPair { observer_ns, wall_ns }).unwrap();
    }
}

/// Three minutes of two programs: one stalls and recovers, the other is killed.
pub(crate) fn three_minutes(folder: &Path) {
    let mut story = Story::new(folder, 52_000_000, START);
    story.agent(SECOND, 17, 4_321, "ingestd");
    story.agent(2 * SECOND, 18, 5_000, "nginx");
    story.clock(60 * SECOND);
    story.minute(60 * SECOND, "ingestd", 600, 100 * MS);
    story.minute(60 * SECOND, "nginx", 60, SECOND);
    story.gap(61 * SECOND + 200 * MS, 17, SECOND + 200 * MS);
    story.clock(120 * SECOND);
    story.minute(120 * SECOND, "ingestd", 600, 100 * MS);
    story.minute(120 * SECOND, "nginx", 60, SECOND);
    story.stall(122 * SECOND, 17, 120 * SECOND);
    let recovery = Recovery {
        agent: 17,
        pid: 4_321,
        step: "spawned".into(),
        child_pid: Some(4_400),
        attempt: Some(1),
        ..Recovery::default()
    };
    story.add(122 * SECOND + 100 * MS, recovery);
    story.recovered(125 * SECOND, 17, 5 * SECOND);
    story.killed(130 * SECOND, 18);
    story.add(
        130 * SECOND,
        Record::Missing(Expected { program: "nginx".into(), count: 1, there: 0 }),
    );
    story.clock(180 * SECOND);
    story.minute(180 * SECOND, "ingestd", 550, 100 * MS);
    story.minute(180 * SECOND, "nginx", 10, SECOND);
    story.end(181 * SECOND);
}

/// The wall clock is set back by an hour after an hour and a half, and a program stalls before and
/// after.
pub(crate) fn clock_set_back(folder: &Path) {
    let mut story = Story::new(folder, 52_000_000, START);
    story.agent(SECOND, 17, 4_321, "ingestd");
    for stall_ns in [HOUR / 4, 5 * HOUR / 4] {
        story.stall(stall_ns, 17, stall_ns - 2 * SECOND);
        story.recovered(stall_ns + SECOND, 17, 3 * SECOND);
    }
    story.set_clock(3 * HOUR / 2, START + HOUR / 2);
    story.stall(9 * HOUR / 4, 17, 9 * HOUR / 4 - 2 * SECOND);
    story.set_clock(3 * HOUR, START + 2 * HOUR);
    story.end(3 * HOUR);
}
