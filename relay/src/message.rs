//! Messages for NATS.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use varta_history::{Cursor, Kind};

use crate::fleet::Change;
use crate::subject;

/// A message to publish.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) subject: String,
    /// The id by which the stream knows a message that it has stored already. States have none:
    /// if they are sent again, the last one must count again.
    pub(crate) id: Option<String>,
    pub(crate) payload: Bytes,
    /// What is left of the agents in the stream once this is stored.
    pub(crate) change: Option<Change>,
}

impl Message {
    /// Whether it is a state, and no transition. One stream stores all of one kind.
    pub(crate) const fn is_state(&self) -> bool {
        self.id.is_none()
    }
}

/// Whether records of this kind are published: those that report a change, but no measurements.
pub(crate) const fn is_transition(kind: Kind) -> bool {
    match kind {
        Kind::Started
        | Kind::Stopped
        | Kind::Paused
        | Kind::Lost
        | Kind::Agent
        | Kind::Eviction
        | Kind::Task
        | Kind::Ended
        | Kind::Violation
        | Kind::Stall
        | Kind::Cause
        | Kind::Recovered
        | Kind::Exit
        | Kind::Recovery
        | Kind::Missing
        | Kind::Present
        | Kind::Service => true,
        Kind::Clock
        | Kind::Late
        | Kind::Threshold
        | Kind::Floor
        | Kind::Gap
        | Kind::Minute
        | Kind::Beats => false,
    }
}

/// A member as text, or nothing if there is none.
fn text<'a>(members: &'a Map<String, Value>, name: &str) -> &'a str {
    members.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The message about a transition, of which these are the members.
pub(crate) fn transition(members: Map<String, Value>) -> Message {
    let (host, run) = (text(&members, "host"), text(&members, "run"));
    let seq = members.get("seq").and_then(Value::as_u64).unwrap_or_default();
    let subject = subject::event(host, text(&members, "program"), text(&members, "event"));
    let id = Some(format!("{host}/{run}/{seq}"));
    Message { subject, id, payload: payload(&Value::Object(members)), change: None }
}

/// The message that the records after `read` up to `now` were removed before they were published.
pub(crate) fn lost(host: &str, time: &str, read: Cursor, now: Cursor) -> Message {
    // Of records of another run there may be any number.
    let of_one_run = read.run == now.run;
    let members = json!({
        "event": Kind::Lost.name(), "host": host, "time": time,
        "run": now.run.to_string(), "seq": now.seq,
        "first": of_one_run.then_some(read.seq + 1), "last": of_one_run.then_some(now.seq),
    });
    Message {
        subject: subject::event(host, "", Kind::Lost.name()),
        id: Some(format!("{host}/{read}-{now}")),
        payload: payload(&members),
        change: None,
    }
}

/// A JSON value as the content of a message.
pub(crate) fn payload(value: &Value) -> Bytes {
    value.to_string().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_transition_is_host_run_and_seq() {
        let Value::Object(members) = json!({
            "event": "stall", "host": "web 1", "run": "0a-7", "seq": 12, "program": "nginx",
        }) else {
            unreachable!()
        };
        let message = transition(members.clone());
        assert_eq!(message.subject, "varta.event.web%201.nginx.stall");
        assert_eq!(message.id.as_deref(), Some("web 1/0a-7/12"));
        let read: Map<String, Value> = serde_json::from_slice(&message.payload).unwrap();
        assert_eq!(read, members);
    }
}
