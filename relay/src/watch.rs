//! `watch`: prints the transitions of a fleet.

use std::time::Duration;

use clap::Args;
use futures_util::StreamExt;
use serde_json::{Map, Value};
use tokio::signal::unix::{SignalKind, signal};
use tracing::warn;
use varta_history::Words;

use crate::connection::Nats;
use crate::{Failure, print};

/// How long to wait before another connection.
const AGAIN: Duration = Duration::from_secs(1);

/// Print the transitions of all hosts as they happen
///
/// Prints a line for each stall, recovery, exit and so on that relays publish, until stdout
/// is closed.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// What to print, such as varta.event.web1.> for a host or varta.event.*.nginx.stall
    #[arg(default_value = "varta.event.>")]
    subject: String,
    /// Print one JSON object per line
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(nats: &Nats, arguments: &Arguments) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::new)?;
    tokio::select! {
        result = print_all(nats, arguments) => result,
        _ = terminate.recv() => Ok(()),
    }
}

async fn print_all(nats: &Nats, arguments: &Arguments) -> Result<(), Failure> {
    loop {
        let connection = nats.connect().await.map_err(Failure::new)?;
        let subscribed = connection.client.subscribe(arguments.subject.clone()).await;
        let mut messages = subscribed.map_err(Failure::new)?;
        loop {
            tokio::select! {
                () = connection.ended() => break,
                message = messages.next() => match message {
                    Some(message) => {
                        if print(line(&message.payload, arguments.json)).is_err() {
                            return Ok(());
                        }
                    }
                    None => break,
                },
            }
        }
        warn!(
            "the connection has ended, and transitions may be missing here; connecting again"
        );
        tokio::time::sleep(AGAIN).await;
    }
}

/// A message as a line.
fn line(payload: &[u8], json: bool) -> String {
    match serde_json::from_slice::<Map<String, Value>>(payload) {
        Ok(members) if json => Value::Object(members).to_string(),
        Ok(members) => {
            let text = |name: &str| members.get(name).and_then(Value::as_str).unwrap_or("-");
            // To the millisecond.
            let time = text("time");
            let short = time.get(..23).unwrap_or(time);
            printable(&format!("{short}Z {}: {}", text("host"), Words(&members)))
        }
        Err(_) => format!("not a transition: {}", printable(&String::from_utf8_lossy(payload))),
    }
}

/// Anyone who may publish chooses the text, which must not control the terminal.
fn printable(text: &str) -> String {
    text.chars().map(|each| if each.is_control() { '\u{fffd}' } else { each }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_have_the_words_of_varta_watch_events() {
        let common = json!({
            "time": "2026-11-30T13:58:01.123456789Z", "host": "web1", "agent": 17, "pid": 42,
            "claimed_pid": 42, "origin": "kernel-attested", "program": "nginx",
        });
        let about = "2026-11-30T13:58:01.123Z web1: agent 17 (pid 42): ";
        for (more, wanted) in [
            (
                json!({ "event": "stall", "last_ns": 1_500_000_000_u64, "last_nonce": 7,
                    "deaf": false, "cause": "lock", "certainty": "likely" }),
                "stall, last heard at 1.500 s with nonce 7, cause lock (likely) [nginx]",
            ),
            (
                json!({ "event": "stall", "task": 3, "task_name": "ingest", "promise": "beat",
                    "last_ns": 0, "due_ns": 2_000_000_000_u64, "checkpoint": 5 }),
                "task 3 (ingest): stall, beat was due at 2.000 s, last call at 0.000 s, \
                 checkpoint 5 [nginx]",
            ),
            (
                json!({ "event": "recovered", "promise": "beat", "silent_ns": 2_345_678_900_u64 }),
                "recovered after 2.345 s of silence [nginx]",
            ),
            (
                json!({ "event": "exit", "signal": 9, "last_status": "ok" }),
                "exit, killed by signal 9, last status ok [nginx]",
            ),
            (
                json!({ "event": "recovery", "step": "completed", "child_pid": 9,
                    "timed_out": true, "signal": 9 }),
                "recovery: command 9 exited: timed out, killed by signal 9 [nginx]",
            ),
        ] {
            let mut members = common.as_object().unwrap().clone();
            members.extend(more.as_object().unwrap().clone());
            let payload = Value::Object(members).to_string();
            assert_eq!(line(payload.as_bytes(), false), format!("{about}{wanted}"));
        }
    }

    #[test]
    fn text_of_others_cannot_control_the_terminal() {
        let payload = json!({ "event": "agent", "program": "a\u{1b}[2Jb" }).to_string();
        assert_eq!(line(payload.as_bytes(), false), "-Z -: first heard [a\u{fffd}[2Jb]");
        assert_eq!(line(b"\x1b[2J", false), "not a transition: \u{fffd}[2J");
    }
}
