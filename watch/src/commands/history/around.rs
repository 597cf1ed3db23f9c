//! What happened around a moment, with the beats of agents that stalled or ended.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Map, Value};
use varta_history::{Entry, Kind, Record, Rfc3339};

use super::list;
use super::survey::Survey;
use super::{each, is_of_program};
use crate::commands::period::{DEFAULT_FOLDER, Period, When};
use crate::commands::{Failure, print};

/// What is printed beside the records about agents. They explain what happened to all of them.
const OF_THE_DAEMON: [Kind; 5] =
    [Kind::Started, Kind::Stopped, Kind::Late, Kind::Paused, Kind::Lost];

/// Without anything to say about a moment.
const LEFT_OUT: [Kind; 3] = [Kind::Clock, Kind::Minute, Kind::Floor];

/// Print everything in the minute before and after a moment
///
/// This includes silences that were not stalls, and the last 64 beats of each agent that stalled
/// or ended.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The moment in the local zone: 03:12, "2026-11-29 03:12", -2h, or a time with its zone
    #[arg(value_name = "TIME", allow_hyphen_values = true)]
    time: When,
    /// Print only what is about the agent with this number
    #[arg(long, value_name = "N", conflicts_with = "program")]
    agent: Option<u64>,
    /// Print only what is about the program with this name
    #[arg(long, value_name = "NAME")]
    program: Option<String>,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
    /// The folder of the history
    #[arg(long, value_name = "DIR", default_value = DEFAULT_FOLDER)]
    history_dir: PathBuf,
}

/// A line, and when what it says happened.
struct Line {
    wall_ns: u64,
    text: String,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    let period = Period::around(&arguments.time, &arguments.history_dir);
    let survey = Survey::of(&period)?;
    let (since_ns, until_ns) = period.wall_ns();
    let mut lines = Vec::new();
    each(period.folder(), |entry| {
        if !entry.again
            && (since_ns..=until_ns).contains(&entry.wall_ns)
            && let Some(record) = entry.record()
            && arguments.wants(entry, &record)
        {
            match &record {
                Record::Beats(_) => arguments.add_beats(entry, &survey, &mut lines),
                _ => arguments.add(entry, &survey, &mut lines),
            }
        }
        true
    })?;
    // The beats of an agent are recorded after what they came before. If the clock was set back,
    // the order of the records says more.
    lines.sort_by_key(|line| line.wall_ns);
    for line in lines {
        if !print(line.text) {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl Arguments {
    fn wants(&self, entry: &Entry<'_>, record: &Record) -> bool {
        let is_of_daemon = OF_THE_DAEMON.contains(&record.kind());
        is_of_daemon
            || !LEFT_OUT.contains(&record.kind())
                && self.agent.is_none_or(|wanted| record.agent() == Some(wanted))
                && is_of_program(entry, record, self.program.as_deref())
    }

    fn add(&self, entry: &Entry<'_>, survey: &Survey, lines: &mut Vec<Line>) {
        let Some(members) = entry.members() else { return };
        let text = match self.json {
            true => Value::Object(members).to_string(),
            false => list::line(entry, &members, survey),
        };
        lines.push(Line { wall_ns: entry.wall_ns, text });
    }

    /// Each beat gets a line, as in the lines of `events`.
    fn add_beats(&self, entry: &Entry<'_>, survey: &Survey, lines: &mut Vec<Line>) {
        let Some(mut members) = entry.members() else { return };
        let Some(Value::Array(beats)) = members.remove("beats") else { return };
        for beat in beats {
            let Value::Object(beat) = beat else { continue };
            let mut members: Map<_, _> = members.clone();
            members.extend(beat);
            let number = |name| members.get(name).and_then(Value::as_u64).unwrap_or_default();
            let observer_ns = number("observer_ns");
            let wall_ns =
                entry.wall_ns.saturating_add(observer_ns).saturating_sub(entry.observer_ns);
            members.insert("event".to_owned(), "beat".into());
            members.insert("time".to_owned(), Rfc3339(wall_ns).to_string().into());
            let text = match self.json {
                true => Value::Object(members).to_string(),
                false => list::at(entry, observer_ns, survey) + &list::words(&members),
            };
            lines.push(Line { wall_ns, text });
        }
    }
}
