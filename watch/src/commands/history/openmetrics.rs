//! The history as metrics, for a Prometheus that did not run at the time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Args;
use varta_history::{Entry, Exit, Histogram, Kind, Record};

use super::each;
use super::survey::Survey;
use crate::commands::Failure;
use crate::commands::period::Period;

const SECOND: u64 = 1_000_000_000;

/// The bounds of the intervals, in nanoseconds, and as labels.
const BOUNDS: [(u64, &str); 8] = [
    (SECOND / 20, "0.05"),
    (SECOND / 10, "0.1"),
    (SECOND / 4, "0.25"),
    (SECOND / 2, "0.5"),
    (SECOND, "1.0"),
    (2 * SECOND, "2.0"),
    (5 * SECOND, "5.0"),
    (10 * SECOND, "10.0"),
];

/// A value that has not changed is repeated after this time, because Prometheus takes a series
/// without a sample for 5 minutes for ended.
const REPEAT_NS: u64 = 240 * SECOND;

/// Print the history as metrics of programs
///
/// Prints counts of beats, stalls and exits for each program, minute by minute, in the format that
/// `promtool tsdb create-blocks-from openmetrics` reads. The names are those of the daemon's own
/// metrics of programs. Counts begin at 0 where the period begins.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    period: Period,
    /// Print OpenMetrics text
    #[arg(long, required = true)]
    openmetrics: bool,
}

/// What was counted for a program up to a time.
#[derive(Debug, Default)]
struct Program {
    beats: u64,
    missed: u64,
    intervals: Histogram,
    interval_sum_ns: u64,
    stalls: BTreeMap<String, u64>,
    exits: BTreeMap<&'static str, u64>,
}

/// The samples of a series.
#[derive(Debug, Default)]
struct Series(Vec<(u64, u64)>);

/// A series: the number of its family, its labels, and what follows the name of the family.
type Name = (usize, String, &'static str);

/// The families, in the order in which they are printed: the name, the type and the help.
const FAMILIES: [(&str, &str, &str); 5] = [
    ("varta_program_beats", "counter", "Beats accepted."),
    ("varta_program_missed_beats", "counter", "Beats that never arrived, by their nonces."),
    ("varta_program_stalls", "counter", "Stalls of agents, by the class of their cause."),
    ("varta_program_exits", "counter", "Exited processes, by how they ended."),
    (
        "varta_program_beat_interval_seconds",
        "histogram",
        "Time between two beats of an agent; a bound is exact to 6 %.",
    ),
];

/// All programs of a host up to a time, and the samples of their series.
#[derive(Debug, Default)]
struct Export {
    programs: BTreeMap<(String, String), Program>,
    series: BTreeMap<Name, Series>,
    /// When samples were added last.
    sampled_ns: Option<u64>,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    Survey::of(&arguments.period)?;
    let (since_ns, until_ns) = arguments.period.wall_ns();
    let mut export = Export::default();
    let mut last_ns = 0;
    each(arguments.period.folder(), |entry| {
        if !entry.again && (since_ns..=until_ns).contains(&entry.wall_ns) {
            export.add(entry);
            // The minutes of all programs come after the clock.
            if entry.kind() == Some(Kind::Clock) {
                export.sample(entry.wall_ns);
            }
            last_ns = entry.wall_ns;
        }
        true
    })?;
    export.sample(last_ns);
    match export.print() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("cannot print: {error}")))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

impl Export {
    fn add(&mut self, entry: &Entry<'_>) {
        let is_of_interest =
            matches!(entry.kind(), Some(Kind::Agent | Kind::Minute | Kind::Stall | Kind::Exit));
        let Some(record) = is_of_interest.then(|| entry.record()).flatten() else { return };
        let known = record.agent().and_then(|agent| entry.agents.get(agent));
        let name = match &record {
            Record::Minute(minute) => minute.program.to_string(),
            _ => known.map(|known| known.agent.program.to_string()).unwrap_or_default(),
        };
        let program = self.programs.entry((entry.header.host.clone(), name)).or_default();
        match &record {
            Record::Minute(minute) => {
                program.beats += minute.beats;
                program.missed += minute.missed;
                program.intervals.merge(&minute.intervals);
                for (bucket, count) in minute.intervals.counted() {
                    let sum = Histogram::middle(bucket).saturating_mul(count);
                    program.interval_sum_ns = program.interval_sum_ns.saturating_add(sum);
                }
            }
            Record::Stall(stall) if stall.task.is_none() => {
                let class = stall.why.0.as_ref().map(|why| why.cause_class.to_string());
                *program.stalls.entry(class.unwrap_or("unknown".to_owned())).or_default() += 1;
            }
            Record::Exit(exit) => *program.exits.entry(exit_kind(exit)).or_default() += 1,
            _ => {}
        }
    }

    /// Adds a sample to each series.
    fn sample(&mut self, wall_ns: u64) {
        let Self { programs, series, sampled_ns } = self;
        for ((host, name), program) in programs {
            let labels = format!("{},{}", label("host", host), label("program", name));
            let mut put = |family, labels: String, suffix, value| {
                let series = series.entry((family, labels, suffix)).or_insert_with(|| {
                    // From nothing to the first value there is an increase too.
                    Series(sampled_ns.map(|sampled_ns| (sampled_ns, 0)).into_iter().collect())
                });
                series.put(wall_ns, value);
            };
            put(0, labels.clone(), "_total", program.beats);
            put(1, labels.clone(), "_total", program.missed);
            for (class, count) in &program.stalls {
                put(2, format!("{labels},{}", label("class", class)), "_total", *count);
            }
            for (kind, count) in &program.exits {
                put(3, format!("{labels},{}", label("cause", kind)), "_total", *count);
            }
            // In the order of their bounds, which is not that of their texts.
            let all = program.intervals.count();
            for (bound, text) in BOUNDS {
                let counted = program.intervals.counted();
                let within = counted.filter(|(bucket, _)| Histogram::middle(*bucket) <= bound);
                let count = within.map(|(_, count)| count).sum();
                put(4, format!("{labels},{}", label("le", text)), "_bucket", count);
            }
            put(4, format!("{labels},{}", label("le", "+Inf")), "_bucket", all);
            put(4, labels.clone(), "_count", all);
            put(4, labels, "_sum", program.interval_sum_ns);
        }
        self.sampled_ns = Some(wall_ns);
    }

    fn print(&self) -> io::Result<()> {
        let mut out = BufWriter::new(io::stdout().lock());
        for (number, (name, kind, help)) in FAMILIES.into_iter().enumerate() {
            writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
            let of_family = self.series.iter().filter(|((family, ..), _)| *family == number);
            for ((_, labels, suffix), series) in of_family {
                for (wall_ns, value) in &series.0 {
                    let (seconds, ms) = (wall_ns / SECOND, wall_ns / 1_000_000 % 1_000);
                    write!(out, "{name}{suffix}{{{labels}}} ")?;
                    match *suffix {
                        "_sum" => write!(out, "{}.{:09}", value / SECOND, value % SECOND)?,
                        _ => write!(out, "{value}")?,
                    }
                    writeln!(out, " {seconds}.{ms:03}")?;
                }
            }
        }
        writeln!(out, "# EOF")?;
        out.flush()
    }
}

impl Series {
    /// Adds a sample if it says something new. One that is not later than the last cannot be
    /// stored: the wall clock was set back.
    fn put(&mut self, wall_ns: u64, value: u64) {
        let is_new = self.0.last().is_none_or(|(last_ns, last)| {
            let later_ns = wall_ns.saturating_sub(*last_ns);
            later_ns > 1_000_000 && (value != *last || later_ns >= REPEAT_NS)
        });
        if is_new {
            self.0.push((wall_ns, value));
        }
    }
}

fn exit_kind(exit: &Exit) -> &'static str {
    match (exit.code, exit.signal) {
        (Some(0), _) => "clean",
        (Some(_), _) => "failed",
        (None, Some(_)) => "signalled",
        (None, None) => "unknown",
    }
}

fn label(name: &str, value: &str) -> String {
    let mut text = format!("{name}=\"");
    for char in value.chars() {
        match char {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            char => text.push(char),
        }
    }
    // Writing to a string does not fail.
    let _ = text.write_char('"');
    text
}
