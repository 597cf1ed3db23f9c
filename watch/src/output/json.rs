//! Events and recovery decisions as JSON, one object per line, for the export file and `events`.

use serde_json::{Map, Value, json};
use varta_history::{Record, Recovery, Rfc3339};
use varta_observer::{About, Event, ExitCause, Label, ServiceChange, What};

use crate::output::cause::CauseFields;
use crate::output::stamp::{Source, Stamp};
use crate::recovery::Decision;
use crate::state::expectations::ExpectedProgram;
use crate::state::services::ServiceReport;

/// The members of every line.
fn begin(stamp: &Stamp, source: &Source) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("time", Rfc3339(stamp.wall_ns).to_string().into());
    put("host", source.host.as_str().into());
    put("run", source.run.to_string().into());
    put("seq", stamp.seq.into());
    if let Some(threshold_ns) = stamp.threshold_ns {
        put("threshold_ns", threshold_ns.into());
    }
    fields
}

/// Writes an event as a line.
pub(crate) fn event(
    event: &Event,
    name: Label,
    stamp: &Stamp,
    source: &Source,
    text: &mut String,
) {
    let mut fields = begin(stamp, source);
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("observer_ns", event.observer_ns.into());
    put("event", event.what.name().into());
    if let Some(about) = &event.about {
        put_about(about, name, &mut fields);
    }
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    if let Some(task) = &event.task {
        put("task", task.number.into());
        put("task_name", task.name.to_string().into());
    }
    match &event.what {
        What::Beat { status, payload, nonce, missed, count } => {
            put("status", status.name().into());
            put("payload", (*payload).into());
            put("nonce", (*nonce).into());
            put("missed", (*missed).into());
            put("count", (*count).into());
        }
        What::Stall { last_nonce, last_ns, deaf, late, why } => {
            put("last_nonce", (*last_nonce).into());
            put("last_ns", (*last_ns).into());
            put("deaf", (*deaf).into());
            if let Some(late) = late {
                put("promise", late.promise.name().into());
                put("due_ns", late.due_ns.into());
                put("checkpoint", late.checkpoint.into());
            }
            if let Some(why) = why {
                put_cause(&CauseFields::of(why), &mut fields);
            }
        }
        What::Cause { why } => put_cause(&CauseFields::of(why), &mut fields),
        What::Recovered { silent_ns, promise } => {
            put("silent_ns", (*silent_ns).into());
            put("promise", promise.name().into());
        }
        What::Exit { cause, last_status } => {
            put("last_status", last_status.name().into());
            match cause {
                ExitCause::Code(code) => put("code", (*code).into()),
                ExitCause::Signal(signal) => put("signal", (*signal).into()),
                ExitCause::Unknown => None,
            };
        }
        What::Decode(error) => {
            put("error", error.name().into());
        }
        What::AuthFailure { claimed_pid, true_pid } => {
            put("claimed_pid", (*claimed_pid).into());
            put("true_pid", (*true_pid).into());
        }
        What::Io { errno } => {
            put("errno", (*errno).into());
        }
        What::Paused { ns } => {
            put("paused_ns", (*ns).into());
        }
        What::Task { threshold_ns } => {
            put("threshold_ns", (*threshold_ns).into());
        }
        What::Ended { how } => {
            put("how", how.name().into());
        }
        What::Violation { rule, count, from, to, by } => {
            put("rule", rule.name().into());
            put("count", (*count).into());
            put("from", (*from).into());
            put("to", (*to).into());
            put("by", (*by).into());
        }
        _ => {}
    }
    line(fields, text);
}

fn put_about(about: &About, program: Label, fields: &mut Map<String, Value>) {
    let members = [
        ("agent", about.agent.into()),
        ("pid", about.pid.into()),
        ("claimed_pid", about.claimed_pid.into()),
        ("origin", about.origin.name().into()),
        ("program", program.to_string().into()),
    ];
    put_all(members, fields);
}

fn put_all<const N: usize>(members: [(&str, Value); N], fields: &mut Map<String, Value>) {
    fields.extend(members.map(|(name, value)| (name.to_owned(), value)));
}

fn put_cause(cause: &CauseFields, fields: &mut Map<String, Value>) {
    if let Value::Object(cause) = json!(cause) {
        fields.extend(cause);
    }
}

/// Writes the eviction of an agent as a line.
pub(crate) fn eviction(
    at_ns: u64,
    pid: u32,
    stamp: &Stamp,
    source: &Source,
    text: &mut String,
) {
    let mut fields = begin(stamp, source);
    let more = [
        ("observer_ns", Value::from(at_ns)),
        ("event", "eviction".into()),
        ("claimed_pid", pid.into()),
    ];
    put_all(more, &mut fields);
    line(fields, text);
}

/// Writes that lines or batches were lost, as a line. `stamp` is that of a line beside it.
pub(crate) fn lost(
    what: &str,
    count: u64,
    stamp: Option<&Stamp>,
    source: &Source,
    text: &mut String,
) {
    let mut fields = stamp.map_or(Map::new(), |stamp| begin(stamp, source));
    let more = [("event", Value::from("lost")), (what, count.into())];
    put_all(more, &mut fields);
    line(fields, text);
}

/// Writes that an expected program is missing, or present again, as a line.
pub(crate) fn expected(
    at_ns: u64,
    one: &ExpectedProgram,
    stamp: &Stamp,
    source: &Source,
    text: &mut String,
) {
    let mut fields = begin(stamp, source);
    let more = [
        ("observer_ns", Value::from(at_ns)),
        ("event", one.event().into()),
        ("program", one.program.as_str().into()),
        ("count", one.count.into()),
        ("there", one.there.into()),
    ];
    put_all(more, &mut fields);
    line(fields, text);
}

/// Writes what a service has said as a line.
pub(crate) fn service(
    report: &ServiceReport,
    stamp: &Stamp,
    source: &Source,
    text: &mut String,
) {
    let mut fields = begin(stamp, source);
    put_about(&report.note.about, report.program, &mut fields);
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("observer_ns", report.note.observer_ns.into());
    put("event", "service".into());
    put("change", report.change().into());
    match report.note.what {
        ServiceChange::State(state) => put("state", state.name().into()),
        ServiceChange::Status => put("status", report.status.as_str().into()),
        ServiceChange::Errno(errno) => put("errno", errno.into()),
        ServiceChange::MainProcess { before } => put("before", before.into()),
        _ => None,
    };
    line(fields, text);
}

/// Writes a recovery decision as a line.
pub(crate) fn decision(decision: &Decision, stamp: &Stamp, source: &Source, text: &mut String) {
    let mut fields = begin(stamp, source);
    fields.insert("observer_ns".to_owned(), decision.at_ns.into());
    fields.extend(Record::from(Recovery::from(decision)).members());
    line(fields, text);
}

fn line(fields: Map<String, Value>, text: &mut String) {
    text.push_str(&json!(fields).to_string());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use varta::{DecodeError, Promise, Rule, Status};
    use varta_history::Run;
    use varta_observer::{About, CauseInfo, Ending, Late, Origin, Why};

    use super::*;
    use crate::recovery::Step;

    const STAMP: Stamp =
        Stamp { wall_ns: 1_709_210_096_000_000_789, seq: 17, threshold_ns: None };

    fn source() -> Source {
        Source { host: "db-1".to_owned(), run: Run { boot_id: [0x12; 16], start_us: 52 } }
    }

    const LATE: Late = Late { promise: Promise::Beat, due_ns: 0, checkpoint: 0 };

    /// The keys of the line of an event.
    fn keys(what: What, about_agent: bool) -> BTreeSet<String> {
        let about = About { agent: 1, pid: 2, claimed_pid: 2, origin: Origin::Network };
        let mut text = String::new();
        let said =
            Event { observer_ns: 0, about: about_agent.then_some(about), task: None, what };
        let threshold_ns = about_agent.then_some(5);
        let stamp = Stamp { threshold_ns, ..STAMP };
        event(&said, Label::new(b"name"), &stamp, &source(), &mut text);
        let fields: Map<String, Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(fields["event"], what.name());
        fields.keys().cloned().collect()
    }

    fn names(list: &Value) -> impl Iterator<Item = String> {
        list.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned())
    }

    #[test]
    fn a_decision_has_the_cause_under_the_same_names_as_an_event() {
        let cause = Some(CauseFields::with_details(&CauseInfo::UNKNOWN, None));
        let what = Step::OverBudget;
        let mut text = String::new();
        let decided = Decision { at_ns: 0, agent: 1, pid: 2, task: None, cause, what };
        decision(&decided, &STAMP, &source(), &mut text);
        let fields: Map<String, Value> = serde_json::from_str(&text).unwrap();
        let of_event = keys(What::Cause { why: Why::UNKNOWN }, false);
        let more = ["cause_detail", "cause_text"].map(str::to_owned);
        for name in of_event.into_iter().chain(more) {
            assert!(fields.contains_key(&name), "{name} is not in {text}");
        }
    }

    #[test]
    fn a_line_says_when_where_and_in_which_run_it_was() {
        let mut text = String::new();
        eviction(9, 4, &STAMP, &source(), &mut text);
        lost("lines", 3, Some(&Stamp { threshold_ns: Some(7), ..STAMP }), &source(), &mut text);
        let run = format!("{}-52", "12".repeat(16));
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let same = json!({
            "time": "2024-02-29T12:34:56.000000789Z", "host": "db-1", "run": run, "seq": 17,
        });
        let with = |more: Value| {
            let mut all = same.as_object().unwrap().clone();
            all.extend(more.as_object().unwrap().clone());
            Value::Object(all)
        };
        let evicted = json!({ "event": "eviction", "observer_ns": 9, "claimed_pid": 4 });
        let lost = json!({ "event": "lost", "lines": 3, "threshold_ns": 7 });
        assert_eq!(lines, [with(evicted), with(lost)]);
    }

    #[test]
    fn the_keys_of_each_event_are_those_of_the_table() {
        let tables: Value =
            serde_json::from_str(include_str!("../../../conformance/tables.json")).unwrap();
        let last_status = Status::Ok;
        for whats in [
            &[What::Beat { status: Status::Ok, payload: 0, nonce: 0, missed: 0, count: 1 }][..],
            &[What::Stall {
                last_nonce: 0,
                last_ns: 0,
                deaf: false,
                late: Some(LATE),
                why: Some(Why::UNKNOWN),
            }],
            &[What::Recovered { silent_ns: 0, promise: Promise::Beat }],
            &[
                What::Exit { cause: ExitCause::Code(0), last_status },
                What::Exit { cause: ExitCause::Signal(0), last_status },
            ],
            &[What::Decode(DecodeError::BadMagic)],
            &[What::AuthFailure { claimed_pid: 0, true_pid: 0 }],
            &[What::Io { errno: 0 }],
            &[What::Paused { ns: 0 }],
            &[What::Task { threshold_ns: 0 }],
            &[What::Ended { how: Ending::Closed }],
            &[What::Violation { rule: Rule::TooLate, count: 1, from: 0, to: 0, by: 0 }],
            &[What::Cause { why: Why::UNKNOWN }],
        ] {
            let name = whats[0].name();
            let kind = tables["kinds"].as_array().unwrap();
            let kind = kind.iter().find(|kind| kind["name"] == name).unwrap();
            let about_agent = kind["about_agent"] == true;
            let mut expected: BTreeSet<_> = names(&tables["event_fields"]).collect();
            expected.extend(names(&tables["line_fields"]));
            expected.insert("event".to_owned());
            if about_agent {
                expected.extend(names(&tables["about_fields"]));
                expected.extend(names(&tables["about_line_fields"]));
                expected.insert("program".to_owned());
            }
            for field in kind["fields"].as_array().unwrap() {
                expected.extend(names(&field["daemon"]));
            }
            if name == "stall" {
                // Only that of a task has these.
                expected.extend(["promise", "due_ns", "checkpoint"].map(str::to_owned));
            }
            let found = whats.iter().flat_map(|what| keys(*what, about_agent)).collect();
            assert_eq!(expected, found, "{name}");
        }
    }
}
