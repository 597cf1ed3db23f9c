//! Events and recovery decisions as JSON, one object per line, for the export file and `events`.

use serde_json::{Map, Value, json};
use varta_observer::{Event, ExitCause, ProgramName, What};

use crate::recovery::{Decision, Exit, Step};

/// Writes an event as a line.
pub(crate) fn event(event: &Event, name: ProgramName, text: &mut String) {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("observer_ns", event.observer_ns.into());
    put("event", event.what.name().into());
    if let Some(about) = &event.about {
        put("agent", about.agent.into());
        put("pid", about.pid.into());
        put("claimed_pid", about.claimed_pid.into());
        put("origin", about.origin.name().into());
        put("program", name.to_string().into());
    }
    match &event.what {
        What::Beat { status, payload, nonce, missed } => {
            put("status", status.name().into());
            put("payload", (*payload).into());
            put("nonce", (*nonce).into());
            put("missed", (*missed).into());
        }
        What::Stall { last_nonce, last_ns, deaf } => {
            put("last_nonce", (*last_nonce).into());
            put("last_ns", (*last_ns).into());
            put("deaf", (*deaf).into());
        }
        What::Recovered { silent_ns } => {
            put("silent_ns", (*silent_ns).into());
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
        _ => {}
    }
    line(fields, text);
}

/// Writes the eviction of an agent as a line.
pub(crate) fn eviction(at_ns: u64, pid: u32, text: &mut String) {
    let fields = [
        ("observer_ns", Value::from(at_ns)),
        ("event", "eviction".into()),
        ("claimed_pid", pid.into()),
    ];
    line(fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect(), text);
}

/// Writes a recovery decision as a line.
pub(crate) fn decision(decision: &Decision, text: &mut String) {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("observer_ns", decision.at_ns.into());
    put("event", "recovery".into());
    put("agent", decision.agent.into());
    put("pid", decision.pid.into());
    put("step", decision.what.name().into());
    match &decision.what {
        Step::Spawned { child_pid, attempt } => {
            put("child_pid", (*child_pid).into());
            put("attempt", (*attempt).into());
        }
        Step::WouldSpawn { command } => {
            put("command", command.as_str().into());
        }
        Step::SpawnFailed { attempt, why } => {
            put("attempt", (*attempt).into());
            put("error", why.as_str().into());
        }
        Step::Completed(completed) => {
            put("child_pid", completed.child_pid.into());
            put("duration_ns", completed.duration_ns.into());
            put("timed_out", completed.timed_out.into());
            match completed.exit {
                Exit::Code(code) => put("code", code.into()),
                Exit::Signal(signal) => put("signal", signal.into()),
                Exit::Unknown => None,
            };
        }
        Step::Refused(reason) => {
            put("reason", reason.name().into());
        }
        Step::Debounced { wait_ns } => {
            put("wait_ns", (*wait_ns).into());
        }
        Step::OverBudget => {}
        Step::GaveUp { tries } => {
            put("tries", (*tries).into());
        }
        Step::Ended(ending) => {
            put("ending", ending.name().into());
        }
    }
    line(fields, text);
}

fn line(fields: Map<String, Value>, text: &mut String) {
    text.push_str(&json!(fields).to_string());
    text.push('\n');
}
