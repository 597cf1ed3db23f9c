//! The days of the agents of this run, and of what was there in earlier ones.

use std::collections::HashMap;

use varta_history::{Header, Record, Run};

use super::strip::{Day, Period, Strip};

/// What is recorded of the agents, run by run.
#[derive(Debug, Default)]
pub(super) struct Days {
    /// In order.
    runs: Vec<RunDays>,
}

#[derive(Debug)]
struct RunDays {
    run: Run,
    /// When the last thing was recorded, by the wall clock.
    end_ns: u64,
    /// By their numbers.
    agents: HashMap<u64, Day>,
}

/// What is known of the time before a run.
struct Earlier<'a> {
    /// The agents that had not ended with their run, by their pids, and the ends of their runs.
    by_pid: HashMap<u32, Vec<(&'a Day, u64)>>,
    by_program: HashMap<&'a str, Strip>,
}

impl Days {
    /// Something is recorded in a run then, by the wall clock.
    pub(super) fn pass(&mut self, header: &Header, wall_ns: u64) {
        match self.runs.last_mut().filter(|days| days.run == header.run) {
            Some(days) => days.end_ns = wall_ns,
            None => {
                let (run, agents) = (header.run, HashMap::new());
                self.runs.push(RunDays { run, end_ns: wall_ns, agents });
            }
        }
    }

    /// Adds a record of the run of which something was recorded last, with its time by the wall
    /// clock and that of the observer.
    pub(super) fn add(&mut self, wall_ns: u64, observer_ns: u64, record: &Record) {
        let Some(RunDays { run, agents, .. }) = self.runs.last_mut() else { return };
        let Some(agent) = record.agent() else { return };
        if let Record::Agent(_) = record {
            let heard_ns = run.start_us.saturating_mul(1_000).saturating_add(observer_ns);
            agents.entry(agent).or_insert_with(|| Day::new(wall_ns, heard_ns));
        }
        if let Some(day) = agents.get_mut(&agent) {
            day.add(wall_ns, observer_ns, record);
        }
    }

    /// The strips of the agents of this run that were there within the last day. What is older is
    /// forgotten.
    ///
    /// An agent's strip goes on before the run: with that of the same process, or if that was not
    /// there, with that of its program. `started` returns when the process with a pid was started,
    /// by the boot clock.
    pub(super) fn strips(
        &mut self,
        now_ns: u64,
        run: Run,
        started: impl Fn(u32) -> Option<u64>,
    ) -> HashMap<u64, String> {
        let period = Period::until(now_ns);
        self.runs.retain(|days| days.run == run || period.is_before(days.end_ns));
        for days in &mut self.runs {
            days.agents.retain(|_, day| day.forget_before(period));
        }
        let Some(place) = self.runs.iter().position(|days| days.run == run) else {
            return HashMap::new();
        };
        let (earlier, rest) = self.runs.split_at(place);
        let earlier = Earlier::new(earlier, run, period);
        let own = rest.first().into_iter().flat_map(|days| &days.agents);
        own.map(|(agent, day)| {
            let before = earlier.strip(day, period, &started);
            (*agent, day.strip_after(before, period).text())
        })
        .collect()
    }
}

impl<'a> Earlier<'a> {
    fn new(runs: &'a [RunDays], now: Run, period: Period) -> Self {
        let mut by_pid: HashMap<u32, Vec<_>> = HashMap::new();
        let mut by_program: HashMap<&str, Strip> = HashMap::new();
        for RunDays { run, end_ns, agents } in runs {
            for day in agents.values() {
                // Processes do not outlive a boot.
                if run.boot_id == now.boot_id && !day.is_gone() && day.pid != 0 {
                    by_pid.entry(day.pid).or_default().push((day, *end_ns));
                }
                if !day.program.is_empty() {
                    let program = by_program.entry(&day.program).or_insert(Strip::EMPTY);
                    program.combine(day.strip(period, *end_ns));
                }
            }
        }
        Self { by_pid, by_program }
    }

    fn strip(&self, day: &Day, period: Period, started: impl Fn(u32) -> Option<u64>) -> Strip {
        let with_pid = self.by_pid.get(&day.pid).map(Vec::as_slice).unwrap_or_default();
        let mut same = Strip::EMPTY;
        if !with_pid.is_empty() {
            // That of a process that is gone cannot be known any more.
            let started_ns = if day.is_gone() { None } else { started(day.pid) };
            let is_same = |earlier: &Day| match started_ns {
                Some(started_ns) => started_ns <= earlier.heard_ns,
                None => earlier.program == day.program,
            };
            for (earlier, end_ns) in with_pid.iter().filter(|(earlier, _)| is_same(earlier)) {
                same.combine(earlier.strip(period, *end_ns));
            }
        }
        match self.by_program.get(day.program.as_str()) {
            Some(program) if same == Strip::EMPTY => *program,
            _ => same,
        }
    }
}

#[cfg(test)]
mod tests {
    use varta_history::{Agent, ClockPair, Exit, Stall};

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const HOUR: u64 = 3_600 * SECOND;
    const NOON: u64 = 20_000 * 24 * HOUR + 12 * HOUR;

    /// The system was started at this time.
    const BOOT: u64 = NOON - 20 * HOUR;

    /// Adds a run that began this many hours before noon and lasted for as many as that.
    fn run(days: &mut Days, before: u64, hours: u64, records: &[(u64, Record)]) -> Run {
        let began_ns = NOON - before * HOUR;
        let run = Run { boot_id: [1; 16], start_us: (began_ns - BOOT) / 1_000 };
        let began = ClockPair { observer_ns: 0, wall_ns: began_ns };
        let header = Header { host: "web1".into(), run, boot_ns: 0, began, seq: 0 };
        days.pass(&header, began_ns);
        for (at_ns, record) in records {
            days.add(began_ns + at_ns, *at_ns, record);
        }
        days.pass(&header, began_ns + hours * HOUR);
        run
    }

    fn agent(agent: u64, pid: u32, program: &'static str) -> (u64, Record) {
        (SECOND, Agent { agent, pid, program: program.into(), ..Agent::default() }.into())
    }

    fn stall(at_ns: u64, agent: u64) -> (u64, Record) {
        (at_ns, Stall { agent, last_ns: at_ns, ..Stall::default() }.into())
    }

    #[test]
    fn a_strip_goes_on_before_the_run_with_that_of_the_process_or_of_its_program() {
        let mut days = Days::default();
        let exit = Exit { agent: 3, ..Exit::default() }.into();
        let first = [
            agent(1, 11, "web"),
            agent(2, 12, "index"),
            agent(3, 13, "cron"),
            (2 * HOUR, exit),
            stall(3 * HOUR, 2),
        ];
        run(&mut days, 10, 4, &first);
        let second = [
            agent(1, 11, "web"),
            agent(2, 22, "index"),
            // Another process has this pid now.
            agent(3, 13, "web"),
            agent(4, 24, "new"),
            agent(5, 0, ""),
        ];
        let now = run(&mut days, 5, 5, &second);
        // By the boot clock the first run was from 10 h to 14 h, and the second began at 15 h.
        let started = |pid| Some(if pid == 11 { 9 * HOUR } else { 14 * HOUR });
        let strips = days.strips(NOON, now, started);
        let strip = |before: &str| [&".".repeat(28), before, &"o".repeat(10)].concat();
        assert_eq!(strips[&1], strip("oooooooo.."));
        assert_eq!(strips[&2], strip("ooooooss.."));
        assert_eq!(strips[&3], strip("oooooooo.."), "of its program");
        assert_eq!(strips[&4], strip(".........."));
        assert_eq!(strips[&5], strip(".........."));

        // If the start of a process is unknown, its program counts. A day later all that is over.
        let strips = days.strips(NOON, now, |_| None);
        assert_eq!((&strips[&1], &strips[&3]), (&strip("oooooooo.."), &strip("oooooooo..")));
        let strips = days.strips(NOON + 19 * HOUR, now, started);
        assert_eq!(strips[&1], "o".repeat(48));
        assert_eq!(days.runs.len(), 1);
    }

    #[test]
    fn a_process_does_not_outlive_a_boot_but_its_program_does() {
        let mut days = Days::default();
        run(&mut days, 10, 4, &[agent(1, 11, "web"), stall(HOUR, 1)]);
        days.runs[0].run.boot_id = [2; 16];
        let now = run(&mut days, 5, 5, &[agent(1, 11, "index"), agent(2, 12, "web")]);
        let strips = days.strips(NOON, now, |_| Some(0));
        assert_eq!(strips[&1], [".".repeat(38), "o".repeat(10)].concat());
        let of_program = [&".".repeat(28), "oossssss..", &"o".repeat(10)].concat();
        assert_eq!(strips[&2], of_program);
    }
}
