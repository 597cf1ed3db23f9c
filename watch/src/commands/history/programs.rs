//! What a history says about each program.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use varta_history::{Agents, CauseMembers, Entry, Exit, Histogram, Kind, Part, Record, Run};

use super::survey::Survey;
use super::{each, seconds};
use crate::commands::period::Period;
use crate::commands::{Failure, print};

/// Print what the history says about each program
///
/// For each program: its agents; the median, the 99th percentile and the longest of the intervals
/// between its beats, wrong by at most 6 %; stalls by cause, exits by cause, and how long its
/// agents were stalled or late in all. The last column is the shortest safe threshold: that of
/// the longest silence that ended with a beat, so that a shorter one would have reported it as a
/// stall. Silences shorter than the floor of an agent are not recorded, so that no less can be
/// known to be safe.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    period: Period,
    /// Print one JSON object for each program
    #[arg(long)]
    json: bool,
}

/// What happened to the agents of a program.
#[derive(Debug, Default)]
struct Program {
    agents: BTreeSet<(Run, u64)>,
    beats: u64,
    missed: u64,
    intervals: Histogram,
    /// By the name of the cause.
    stalls: BTreeMap<String, u64>,
    late_tasks: u64,
    /// By code or signal.
    exits: BTreeMap<String, u64>,
    silent_ns: u64,
    /// The longest silence that ended with a beat.
    longest_ns: u64,
    /// The highest floor of an agent.
    floor_ns: u64,
}

/// The programs, and the agents that are stalled: since when, and of which program.
#[derive(Debug, Default)]
struct Programs {
    all: BTreeMap<String, Program>,
    stalled: HashMap<u64, (u64, String)>,
    run: Option<Run>,
    last_ns: u64,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    Survey::of(&arguments.period)?;
    let (since_ns, until_ns) = arguments.period.wall_ns();
    let mut programs = Programs::default();
    each(arguments.period.folder(), |entry| {
        if (since_ns..=until_ns).contains(&entry.wall_ns) {
            programs.add(entry);
        }
        true
    })?;
    programs.end_run();
    if arguments.json {
        for (name, program) in &programs.all {
            if !print(program.json(name)) {
                break;
            }
        }
    } else {
        table(&programs.all);
    }
    Ok(ExitCode::SUCCESS)
}

impl Programs {
    fn add(&mut self, entry: &Entry<'_>) {
        if self.run != Some(entry.header.run) {
            self.end_run();
            self.run = Some(entry.header.run);
            self.add_living(entry.agents);
        }
        if !entry.again {
            self.last_ns = self.last_ns.max(entry.observer_ns);
        }
        // Nothing else says anything about a program.
        let is_of_interest = matches!(
            entry.kind(),
            Some(
                Kind::Agent
                    | Kind::Floor
                    | Kind::Gap
                    | Kind::Minute
                    | Kind::Stall
                    | Kind::Recovered
                    | Kind::Exit
                    | Kind::Eviction
            )
        );
        let Some(record) = is_of_interest.then(|| entry.record()).flatten() else { return };
        if let Record::Minute(minute) = &record {
            let program = self.program(&minute.program);
            program.beats = program.beats.saturating_add(minute.beats);
            program.missed = program.missed.saturating_add(minute.missed);
            program.intervals.merge(&minute.intervals);
        }
        let Some(agent) = record.agent() else { return };
        let Some(known) = entry.agents.get(agent) else { return };
        let (name, floor_ns) = (known.agent.program.as_ref(), known.agent.floor_ns);
        let number = (entry.header.run, agent);
        let program = self.program(name);
        program.agents.insert(number);
        program.floor_ns = program.floor_ns.max(floor_ns);
        match &record {
            Record::Gap(gap) if gap.end.is_none() => {
                let net_ns = gap.silent_ns.saturating_sub(gap.forgiven_ns);
                program.longest_ns = program.longest_ns.max(net_ns);
            }
            Record::Stall(stall) if stall.task.is_some() => program.late_tasks += 1,
            Record::Stall(stall) if !entry.again => {
                *program.stalls.entry(cause(&stall.why)).or_default() += 1;
                self.stalled.insert(agent, (stall.last_ns, name.to_owned()));
            }
            Record::Recovered(recovered) if recovered.task.is_none() => {
                program.silent_ns = program.silent_ns.saturating_add(recovered.silent_ns);
                self.stalled.remove(&agent);
            }
            Record::Exit(exit) => {
                *program.exits.entry(exit_cause(exit)).or_default() += 1;
                self.end_stall(agent, entry.observer_ns);
            }
            Record::Eviction(_) => self.end_stall(agent, entry.observer_ns),
            _ => {}
        }
    }

    fn program(&mut self, name: &str) -> &mut Program {
        // Most are there.
        if !self.all.contains_key(name) {
            self.all.insert(name.to_owned(), Program::default());
        }
        self.all.entry(name.to_owned()).or_default()
    }

    /// The agents that lived when the period began.
    fn add_living(&mut self, agents: &Agents) {
        let Some(run) = self.run else { return };
        for known in agents.living() {
            let agent = &known.agent;
            let program = self.program(&agent.program);
            program.agents.insert((run, agent.agent));
            program.floor_ns = program.floor_ns.max(agent.floor_ns);
            if let Some(last_ns) = agent.last_ns.filter(|_| agent.stalled) {
                self.stalled.insert(agent.agent, (last_ns, agent.program.to_string()));
            }
        }
    }

    /// Adds the silence of an agent that did not recover.
    fn end_stall(&mut self, agent: u64, observer_ns: u64) {
        if let Some((last_ns, name)) = self.stalled.remove(&agent) {
            let program = self.program(&name);
            let silent_ns = observer_ns.saturating_sub(last_ns);
            program.silent_ns = program.silent_ns.saturating_add(silent_ns);
        }
    }

    fn end_run(&mut self) {
        let stalled: Vec<_> = self.stalled.keys().copied().collect();
        for agent in stalled {
            self.end_stall(agent, self.last_ns);
        }
        self.last_ns = 0;
    }
}

fn cause(why: &Part<CauseMembers>) -> String {
    why.0.as_ref().map_or("unknown".to_owned(), |why| why.cause.to_string())
}

fn exit_cause(exit: &Exit) -> String {
    match (exit.code, exit.signal) {
        (Some(code), _) => format!("code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown".to_owned(),
    }
}

impl Program {
    /// No shorter threshold is known to be safe.
    fn safe_threshold_ns(&self) -> u64 {
        self.longest_ns.max(self.floor_ns)
    }

    /// A silence is recorded exactly.
    fn longest_interval_ns(&self) -> Option<u64> {
        let recorded = Some(self.longest_ns).filter(|longest| *longest > 0);
        self.intervals.quantile(1.0).max(recorded)
    }

    fn json(&self, name: &str) -> Value {
        let quantile = |part| self.intervals.quantile(part);
        json!({
            "program": name,
            "agents": self.agents.len(),
            "beats": self.beats,
            "missed": self.missed,
            "interval_p50_ns": quantile(0.5),
            "interval_p99_ns": quantile(0.99),
            "interval_max_ns": self.longest_interval_ns(),
            "stalls": self.stalls,
            "late_tasks": self.late_tasks,
            "exits": self.exits,
            "silent_ns": self.silent_ns,
            "longest_silence_ns": self.longest_ns,
            "floor_ns": self.floor_ns,
            "safe_threshold_ns": self.safe_threshold_ns(),
        })
    }

    fn row(&self, name: &str) -> [String; 10] {
        let quantile = |part| self.intervals.quantile(part).map_or("-".to_owned(), seconds);
        [
            if name.is_empty() { "(no name)".to_owned() } else { name.to_owned() },
            self.agents.len().to_string(),
            quantile(0.5),
            quantile(0.99),
            self.longest_interval_ns().map_or("-".to_owned(), seconds),
            sum(&self.stalls),
            self.late_tasks.to_string(),
            sum(&self.exits),
            seconds(self.silent_ns),
            match self.safe_threshold_ns() {
                0 => "-".to_owned(),
                safe => seconds(safe.div_ceil(1_000_000).saturating_mul(1_000_000)),
            },
        ]
    }
}

/// The number of all, and what they consist of.
fn sum(by_cause: &BTreeMap<String, u64>) -> String {
    let parts: Vec<_> =
        by_cause.iter().map(|(cause, count)| format!("{count} {cause}")).collect();
    match by_cause.values().sum() {
        0u64 => "0".to_owned(),
        all => format!("{all} ({})", parts.join(", ")),
    }
}

fn table(programs: &BTreeMap<String, Program>) {
    let head = [
        "PROGRAM",
        "AGENTS",
        "P50",
        "P99",
        "MAX",
        "STALLS",
        "LATE TASKS",
        "EXITS",
        "SILENT",
        "SAFE THRESHOLD",
    ];
    let mut rows = vec![head.map(str::to_owned)];
    rows.extend(programs.iter().map(|(name, program)| program.row(name)));
    let mut widths = [0; 10];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        let cells: Vec<_> =
            row.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        if !print(cells.join("  ").trim_end()) {
            break;
        }
    }
}
