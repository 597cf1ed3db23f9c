//! `replay`: what other thresholds would have reported.

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args};
use varta_history::{ClockPair, Item, Reader, Rfc3339};

use super::period::{Covered, Period};
use super::{Failure, print};
use crate::config;
use crate::flags::time;
use crate::replay::{Choice, Outcome, Plan, Reading, Run, TooShort, plan};

/// A death would have had no Stall before it.
const MISSED: u8 = 1;

/// The history cannot be judged by these thresholds.
const FAILED: u8 = 2;

/// Judge a recorded period again with other thresholds
///
/// Reports which stalls would disappear, which would be added, and how much later each death
/// would be detected. A death is a stall after which the agent did not beat again before its
/// process ended, a recovery command was started or the run ended.
///
/// The exit code is 1 if a death would no longer be preceded by a stall, and 2 if the history cannot be
/// read or was not recorded precisely enough for such a threshold.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("chosen").args(["threshold", "rules"]).multiple(true).required(true))]
pub(crate) struct Arguments {
    /// The threshold, like 5s or 1500ms; with --rules, of the agents without one
    #[arg(long, value_name = "TIME", value_parser = time)]
    threshold: Option<Duration>,
    /// Judge by the rules of this configuration file
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Judge only the agents of the program with this name
    #[arg(long, value_name = "NAME")]
    program: Option<String>,
    /// Print one JSON object, which lists everything
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    period: Period,
}

/// A run, what is judged of it, and by what.
struct Planned {
    name: String,
    run: Run,
    /// In the observer's time.
    period: (u64, u64),
    plan: Plan,
}

pub(crate) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let failed = |why: &dyn fmt::Display| Failure::with_code(why, FAILED);
    let choice = arguments.choice()?;
    let mut outcome = Outcome::default();
    for Planned { name, run, period, plan } in arguments.planned(&choice)? {
        outcome.add(name, run, &choice, &plan, period).map_err(|error| failed(&error))?;
    }
    if outcome.programs.is_empty() {
        let of = arguments.program.as_ref().map_or(String::new(), |name| format!(" of {name}"));
        return Err(failed(&format_args!("no agent{of} is recorded in this period")));
    }
    match arguments.json {
        true => print(outcome.json()),
        false => print(outcome.text().trim_end()),
    };
    Ok(if outcome.sum().missed > 0 { MISSED.into() } else { ExitCode::SUCCESS })
}

impl Arguments {
    fn choice(&self) -> Result<Choice, Failure> {
        let program = self.program.clone();
        match (&self.rules, self.threshold) {
            (None, threshold) => {
                let threshold = threshold.unwrap_or_default();
                Ok(Choice::One { threshold, program })
            }
            (Some(path), threshold) => {
                let (rules, own) = config::rules_of(path).map_err(Failure::bad_arguments)?;
                let rules = Box::new(rules);
                Ok(Choice::Rules { rules, default: threshold.or(own), program })
            }
        }
    }

    /// The runs of the period, with the thresholds of their agents.
    fn planned(&self, choice: &Choice) -> Result<Vec<Planned>, Failure> {
        let mut planned = Vec::new();
        let mut worst: Option<(u64, String)> = None;
        for (name, run) in self.runs()? {
            let Some(period) = self.period_of(&run) else { continue };
            match plan(&run, choice, period) {
                Ok(plan) => planned.push(Planned { name, run, period, plan }),
                Err(short) if worst.as_ref().is_none_or(|(ns, _)| *ns < short.floor_ns) => {
                    worst = Some((short.floor_ns, too_short(&run, &short, choice)));
                }
                Err(_) => {}
            }
        }
        match worst {
            Some((_, why)) => Err(Failure::with_code(why, FAILED)),
            None => Ok(planned),
        }
    }

    /// All runs that are recorded.
    fn runs(&self) -> Result<Vec<(String, Run)>, Failure> {
        let failed = |error: &dyn fmt::Display| Failure::with_code(error, FAILED);
        let mut reader = Reader::open(self.period.folder()).map_err(|error| failed(&error))?;
        let mut covered = Covered::default();
        let mut runs = Vec::new();
        let mut reading: Option<(String, Reading)> = None;
        while let Some(item) = reader.next().map_err(|error| failed(&error))? {
            let entry = match item {
                Item::Record(entry) => entry,
                obstacle => {
                    warn(&obstacle);
                    continue;
                }
            };
            let name = entry.header.run.to_string();
            if reading.as_ref().is_none_or(|(run, _)| *run != name) {
                let finished = reading.replace((name, Reading::default()));
                runs.extend(finished.map(|(name, reading)| (name, reading.end())));
            }
            let clock = ClockPair { observer_ns: entry.observer_ns, wall_ns: entry.wall_ns };
            if let (Some((_, reading)), Some(record)) = (&mut reading, entry.record()) {
                reading.add(clock, entry.again, &record);
            }
        }
        runs.extend(reading.map(|(name, reading)| (name, reading.end())));
        for (_, run) in &runs {
            covered.add(run.wall_ns(run.begin_ns), run.wall_ns(run.end_ns));
        }
        self.period.check(&covered).map_err(|why| failed(&why))?;
        Ok(runs)
    }

    /// The period in the time of a run; None if nothing of the run is in it.
    fn period_of(&self, run: &Run) -> Option<(u64, u64)> {
        let (since_ns, until_ns) = self.period.wall_ns();
        let overlaps =
            run.wall_ns(run.end_ns) >= since_ns && run.wall_ns(run.begin_ns) <= until_ns;
        overlaps.then(|| (run.observer_ns(since_ns), run.observer_ns(until_ns)))
    }
}

/// The error for an agent that was not recorded precisely enough.
fn too_short(run: &Run, short: &TooShort, choice: &Choice) -> String {
    let TooShort { agent, threshold_ns, floor_ns, at_ns } = *short;
    let agent = run.agents.get(agent);
    let (number, program) = agent.map_or((0, ""), |agent| (agent.number, agent.program()));
    let time = Rfc3339(run.wall_ns(at_ns));
    let advice = match choice {
        Choice::One { .. } => format!("give --threshold {} or more", Rounded(floor_ns)),
        Choice::Rules { .. } => format!("the rules must give it {} or more", Rounded(floor_ns)),
    };
    format!(
        "a threshold of {} is too short: from {time} on, of agent {number} ({program}) only \
         silences longer than {} are recorded; {advice}",
        Rounded(threshold_ns),
        Rounded(floor_ns)
    )
}

/// Reports a part of the history that cannot be read.
fn warn(obstacle: &Item<'_>) {
    let why = match obstacle {
        Item::Damaged { path, offset, bytes } => {
            format!("{}: {bytes} bytes at {offset} are damaged", path.display())
        }
        Item::Newer { path, version } => {
            format!("{}: left out, because it has the newer format {version}", path.display())
        }
        Item::Record(_) | Item::Overtaken { .. } => return,
    };
    let _ = writeln!(io::stderr(), "varta-watch: {why}");
}

/// A time as it is given on the command line, rounded up to milliseconds.
struct Rounded(u64);

impl fmt::Display for Rounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.div_ceil(1_000_000) {
            ms if ms % 1_000 == 0 => write!(f, "{}s", ms / 1_000),
            ms => write!(f, "{ms}ms"),
        }
    }
}
