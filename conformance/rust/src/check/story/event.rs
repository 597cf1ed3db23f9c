//! Converts an event to the form that stories use.

use serde_json::{Map, Value, json};
use varta_observer::{CauseInfo, Event, ExitCause, Simulated, What, Why};

pub(super) fn to_json(step: usize, event: &Event, observer: &Simulated) -> Value {
    let mut all = Map::new();
    let mut add = |value: Value| {
        if let Value::Object(fields) = value {
            all.extend(fields);
        }
    };
    add(json!({
        "step": step,
        "observer_ns": event.observer_ns,
        "kind": event.what.name(),
    }));
    if let Some(about) = event.about {
        add(json!({
            "agent": about.agent,
            "pid": about.pid,
            "claimed_pid": about.claimed_pid,
            "origin": about.origin.name(),
        }));
        let label = observer.label(about.agent);
        if !label.is_empty() {
            add(json!({ "label": label.as_str() }));
        }
    }
    if let Some(task) = event.task {
        add(json!({ "task": task.number, "task_name": task.name.as_str() }));
        if let What::Recovered { promise, .. } = event.what {
            add(json!({ "promise": promise.name() }));
        }
    }
    if let What::Stall { why: Some(why), .. } | What::Cause { why } = event.what {
        let number = event.task.map_or(0, |task| task.number);
        let info = event.about.and_then(|about| observer.cause(about.agent, number));
        add(json!({ "why": info.map(|info| cause(why, &info)) }));
    }
    what(&event.what, add);
    Value::Object(all)
}

fn cause(why: Why, info: &CauseInfo) -> Value {
    json!({
        "cause": why.cause.name(),
        "certainty": why.certainty.name(),
        "flags": why.flags.bits(),
        "thread": why.thread,
        "other": why.other,
        "looked_ns": info.looked_ns,
        "signal": info.signal,
        "window_ns": info.window_ns,
        "run_ns": info.run_ns,
        "wait_ns": info.wait_ns,
        "switches": info.switches,
        "major_faults": info.major_faults,
        "detail": info.detail.to_string(),
    })
}

fn what(what: &What, mut add: impl FnMut(Value)) {
    let fields = match what {
        What::Beat { status, payload, nonce, missed, count } => {
            if *count != 1 {
                add(json!({ "count": count }));
            }
            json!({
                "status": status.to_string(),
                "payload": payload,
                "nonce": nonce,
                "missed": missed,
            })
        }
        What::Stall { last_nonce, last_ns, deaf, late, .. } => {
            if *deaf {
                add(json!({ "deaf": true }));
            }
            if let Some(late) = late {
                add(json!({
                    "promise": late.promise.name(),
                    "due_ns": late.due_ns,
                    "checkpoint": late.checkpoint,
                }));
            }
            json!({ "last_nonce": last_nonce, "last_ns": last_ns })
        }
        What::Recovered { silent_ns, .. } => json!({ "silent_ns": silent_ns }),
        What::Exit { cause, last_status } => {
            let last_status = last_status.to_string();
            match cause {
                ExitCause::Unknown => json!({ "last_status": last_status }),
                ExitCause::Code(code) => json!({ "last_status": last_status, "code": code }),
                ExitCause::Signal(signal) => {
                    json!({ "last_status": last_status, "signal": signal })
                }
            }
        }
        What::Decode(error) => json!({ "error": error.name() }),
        What::AuthFailure { claimed_pid, true_pid } => {
            json!({ "claimed_pid": claimed_pid, "true_pid": true_pid })
        }
        What::Cause { .. } => json!({}),
        What::Paused { ns } => json!({ "ns": ns }),
        What::Task { threshold_ns } => json!({ "threshold_ns": threshold_ns }),
        What::Ended { how } => json!({ "how": how.name() }),
        What::Violation { rule, count, from, to, by } => json!({
            "rule": rule.name(),
            "count": count,
            "from": from,
            "to": to,
            "by": by,
        }),
        // A simulated observer has no `Io` events, and no story has a kind that is not listed above.
        other => json!({ "unknown": other.to_string() }),
    };
    add(fields);
}
