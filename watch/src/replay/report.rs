//! What a replay found out, as text and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::{Map, Value, json};
use varta_history::Rfc3339;
use varta_observer::ExitCause;

use super::compare::{Case, Counts};
use super::judge::{Found, Verdict};
use super::recorded::{Agent, Doubt, End, Run};

/// A run that was judged again.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) name: String,
    pub(crate) run: Run,
    pub(crate) cases: Vec<Case>,
    /// Those about the chosen agents.
    pub(crate) verdicts: Vec<Verdict>,
}

/// Everything that a replay found out.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) runs: Vec<Replayed>,
    pub(crate) programs: BTreeMap<String, Counts>,
    pub(crate) doubts: BTreeMap<Doubt, u64>,
}

/// The length of a time of RFC 3339 up to its milliseconds.
const MILLISECONDS: usize = "2026-11-29T03:12:00.000".len();

/// How many silences of each sort are listed.
const MOST_LISTED: usize = 20;

impl Outcome {
    pub(crate) fn sum(&self) -> Counts {
        let mut sum = Counts::default();
        self.programs.values().for_each(|counts| sum.add(counts));
        sum
    }

    fn cases(&self) -> impl Iterator<Item = (&Replayed, &Case)> {
        self.runs
            .iter()
            .flat_map(|replayed| replayed.cases.iter().map(move |it| (replayed, it)))
    }

    /// The lines to print.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.write_runs(&mut text);
        self.write_table(&mut text);
        let goes = |case: &Case| case.goes() && !case.is_death();
        self.write_list("These stalls would go", goes, &mut text);
        self.write_list("These stalls would come", Case::comes, &mut text);
        let found = |case: &Case| case.is_death() && !case.goes();
        self.write_list("These deaths would be found", found, &mut text);
        let missed = |case: &Case| case.is_death() && case.goes();
        self.write_list("These deaths would have no stall before them", missed, &mut text);
        if !self.doubts.is_empty() {
            text.push_str("\nThis is approximate:\n");
        }
        for (doubt, count) in &self.doubts {
            let _ = writeln!(text, "  {}", doubt.describe(*count));
        }
        text
    }

    fn write_list(&self, title: &str, belongs: impl Fn(&Case) -> bool, text: &mut String) {
        let listed: Vec<_> = self.cases().filter(|(_, case)| belongs(case)).collect();
        if listed.is_empty() {
            return;
        }
        let _ = writeln!(text, "\n{title}:");
        for (replayed, case) in listed.iter().take(MOST_LISTED) {
            let _ = writeln!(text, "  {}", replayed.describe(case));
        }
        if let Some(more) = listed.len().checked_sub(MOST_LISTED).filter(|more| *more > 0) {
            let _ = writeln!(text, "  and {more} more, which --json lists");
        }
    }

    fn write_runs(&self, text: &mut String) {
        let count = self.runs.len();
        let (Some(first), Some(last)) = (self.runs.first(), self.runs.last()) else { return };
        let runs = if count == 1 { "run" } else { "runs" };
        let (from, to) = (first.time(first.run.begin_ns), last.time(last.run.end_ns));
        let _ = writeln!(text, "{count} {runs} of the daemon, from {from} to {to}\n");
    }

    fn write_table(&self, text: &mut String) {
        let width = self.programs.keys().map(|name| name.chars().count()).max();
        let width = width.unwrap_or(0).max("PROGRAM".len());
        let _ = writeln!(
            text,
            "{:width$} {:>7} {:>8} {:>8} {:>7} {:>7} {:>7} {:>7} {:>10} {:>10}",
            "PROGRAM",
            "AGENTS",
            "STALLS",
            "REPLAYED",
            "GO",
            "COME",
            "DEATHS",
            "MISSED",
            "LATER",
            "AT MOST"
        );
        let sum = ("all".to_owned(), self.sum());
        let rows = self.programs.iter().map(|(name, counts)| (name.clone(), *counts));
        for (name, counts) in rows.chain(std::iter::once(sum)) {
            let Counts { agents, recorded, replayed, go, come, deaths, missed, .. } = counts;
            let later = |ns: Option<i128>| ns.map_or("-".to_owned(), signed);
            let (mean, most) = (later(counts.later_mean_ns()), later(counts.later_most_ns));
            let _ = writeln!(
                text,
                "{name:width$} {agents:>7} {recorded:>8} {replayed:>8} {go:>7} {come:>7} \
                 {deaths:>7} {missed:>7} {mean:>10} {most:>10}"
            );
        }
    }

    /// One JSON object.
    pub(crate) fn json(&self) -> Value {
        let programs = self.programs.iter().map(|(name, counts)| {
            let mut members = counts_json(counts);
            members.insert("program".to_owned(), name.as_str().into());
            Value::Object(members)
        });
        let cases = |belongs: fn(&Case) -> bool| -> Value {
            let cases = self.cases().filter(|(_, case)| belongs(case));
            cases.map(|(replayed, case)| replayed.case_json(case)).collect()
        };
        let events = self.runs.iter().flat_map(|replayed| {
            replayed.verdicts.iter().map(|verdict| replayed.event_json(verdict))
        });
        let doubts = self.doubts.iter().map(|(doubt, count)| {
            json!({ "why": doubt.name(), "count": count, "text": doubt.describe(*count) })
        });
        let runs = self.runs.iter().map(|replayed| {
            let (begin_ns, end_ns) = (replayed.run.begin_ns, replayed.run.end_ns);
            let (from, to) = (replayed.exact_time(begin_ns), replayed.exact_time(end_ns));
            json!({ "run": replayed.name, "from": from, "to": to })
        });
        json!({
            "runs": runs.collect::<Value>(),
            "programs": programs.collect::<Value>(),
            "sum": counts_json(&self.sum()),
            "go": cases(Case::goes),
            "come": cases(Case::comes),
            "deaths": cases(Case::is_death),
            "events": events.collect::<Value>(),
            "approximate": doubts.collect::<Value>(),
        })
    }
}

impl Replayed {
    fn agent(&self, place: usize) -> Option<&Agent> {
        self.run.agents.get(place)
    }

    /// The wall clock at a time, to the millisecond.
    fn time(&self, at_ns: u64) -> String {
        let exact = Rfc3339(self.run.wall_ns(at_ns)).to_string();
        let digits = exact.get(..MILLISECONDS).unwrap_or(&exact);
        format!("{digits}Z")
    }

    fn exact_time(&self, at_ns: u64) -> Value {
        Rfc3339(self.run.wall_ns(at_ns)).to_string().into()
    }

    /// One line about a silence.
    fn describe(&self, case: &Case) -> String {
        let Some(agent) = self.agent(case.agent) else { return String::new() };
        let from_ns = case.silence.from_ns;
        let after = |at_ns: u64| seconds(at_ns.saturating_sub(from_ns));
        let (time, program, number, pid) =
            (self.time(from_ns), agent.program(), agent.number, agent.pid);
        let silent = seconds(case.silence.length_ns());
        let mut text =
            format!("{time} {program} agent {number} (pid {pid}): silent for {silent}");
        let _ = match (case.silence.end, agent.exit) {
            (End::Beat, _) => write!(text, ", then it beat again"),
            (End::Exit, Some(exit)) => write!(text, ", then it exited, {}", exit.cause),
            (End::Exit, None) => write!(text, ", then it exited"),
            (End::Eviction, _) => write!(text, ", then it was forgotten"),
            (End::Run, _) => write!(text, " until the run ended"),
        };
        if let Some(command_ns) = case.command_ns {
            let _ = write!(text, "; a recovery command started after {}", after(command_ns));
        }
        let _ = match (case.recorded_ns, case.replayed_ns) {
            (Some(before), Some(now)) => {
                write!(text, "; found after {} instead of {}", after(now), after(before))
            }
            (Some(at_ns), None) => write!(text, "; was found after {}", after(at_ns)),
            (None, Some(at_ns)) => write!(text, "; found after {}", after(at_ns)),
            (None, None) => Ok(()),
        };
        text
    }

    fn about(&self, place: usize) -> Map<String, Value> {
        let mut members = Map::new();
        members.insert("run".to_owned(), self.name.as_str().into());
        if let Some(agent) = self.agent(place) {
            members.insert("agent".to_owned(), agent.number.into());
            members.insert("pid".to_owned(), agent.pid.into());
            members.insert("program".to_owned(), agent.program().into());
        }
        members
    }

    fn case_json(&self, case: &Case) -> Value {
        let mut members = self.about(case.agent);
        let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
        let silence = case.silence;
        put("time", self.exact_time(silence.from_ns));
        put("from_ns", silence.from_ns.into());
        put("silent_ns", silence.length_ns().into());
        put("end", silence.end.name().into());
        put("stalled_ns", case.recorded_ns.into());
        put("replayed_ns", case.replayed_ns.into());
        put("command_ns", case.command_ns.into());
        put("death", case.is_death().into());
        Value::Object(members)
    }

    fn event_json(&self, verdict: &Verdict) -> Value {
        let mut members = self.about(verdict.agent);
        let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
        put("time", self.exact_time(verdict.at_ns));
        put("observer_ns", verdict.at_ns.into());
        match verdict.found {
            Found::Stall { last_ns } => {
                put("event", "stall".into());
                put("last_ns", last_ns.into());
            }
            Found::Recovered { silent_ns } => {
                put("event", "recovered".into());
                put("silent_ns", silent_ns.into());
            }
            Found::Exit { cause, last_status } => {
                put("event", "exit".into());
                put("last_status", last_status.name().into());
                match cause {
                    ExitCause::Code(code) => put("code", code.into()),
                    ExitCause::Signal(signal) => put("signal", signal.into()),
                    ExitCause::Unknown => None,
                };
            }
        }
        Value::Object(members)
    }
}

fn counts_json(counts: &Counts) -> Map<String, Value> {
    let later = |ns: Option<i128>| ns.and_then(|ns| i64::try_from(ns).ok());
    let Counts { agents, recorded, replayed, go, come, deaths, missed, .. } = counts;
    let members = [
        ("agents", json!(agents)),
        ("stalls", json!(recorded)),
        ("replayed", json!(replayed)),
        ("go", json!(go)),
        ("come", json!(come)),
        ("deaths", json!(deaths)),
        ("missed", json!(missed)),
        ("later_ns", json!(later(counts.later_mean_ns()))),
        ("later_most_ns", json!(later(counts.later_most_ns))),
    ];
    members.map(|(name, value)| (name.to_owned(), value)).into_iter().collect()
}

impl End {
    const fn name(self) -> &'static str {
        match self {
            Self::Beat => "beat",
            Self::Exit => "exit",
            Self::Eviction => "eviction",
            Self::Run => "stop",
        }
    }
}

impl Doubt {
    const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::LateLooks => "late-looks",
            Self::Exits => "exits",
            Self::Services => "services",
            Self::Tasks => "tasks",
            Self::Evictions => "evictions",
            Self::Causes => "causes",
            Self::FullQueue => "full-queue",
            Self::RateLimits => "rate-limits",
            Self::Refused => "refused",
            Self::KernelDrops => "kernel-drops",
            Self::Lost => "lost",
            Self::Unended => "no-end",
            Self::Beginning => "no-beginning",
        }
    }

    fn describe(self, count: u64) -> String {
        let what = match self {
            Self::Network => "agents beat over a network, where beats can be lost",
            Self::LateLooks => {
                "agents beat through shared memory while the daemon was late or suspended"
            }
            Self::Exits => "agents have exits that are found by looking them up",
            Self::Services => "agents are services that chose their own times, which are kept",
            Self::Tasks => "stalls of tasks are left out",
            Self::Evictions => "agents were forgotten to make room for others",
            Self::Causes => "runs looked up causes, which changes when silences are judged",
            Self::FullQueue => {
                "looks found the queue full, so that beats may have been refused"
            }
            Self::RateLimits => "beats were above a limit and are not recorded",
            Self::Refused => "beats came from agents for which there was no room",
            Self::KernelDrops => "datagrams were dropped by the kernel",
            Self::Lost => "records could not be written",
            Self::Unended => {
                "runs have no recorded end, so that their last silences are unknown"
            }
            Self::Beginning => "runs began before what is still recorded",
        };
        format!("{count} {what}")
    }
}

/// Formats a time.
fn seconds(ns: u64) -> String {
    format!("{}.{:03} s", ns / 1_000_000_000, ns / 1_000_000 % 1_000)
}

/// Formats a difference between two times.
fn signed(ns: i128) -> String {
    let sign = if ns < 0 { '-' } else { '+' };
    format!("{sign}{}", seconds(u64::try_from(ns.unsigned_abs()).unwrap_or(u64::MAX)))
}
