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
    fn lines_have_the_time_the_host_and_the_words_of_varta_watch_events() {
        let payload = json!({
            "time": "2026-11-30T13:58:01.123456789Z", "host": "web1", "agent": 17, "pid": 42,
            "claimed_pid": 42, "origin": "kernel-attested", "program": "nginx",
            "event": "exit", "signal": 9, "last_status": "ok",
        });
        let wanted = "2026-11-30T13:58:01.123Z web1: agent 17 (pid 42): exit, killed by signal 9, \
            last status ok [nginx]";
        assert_eq!(line(payload.to_string().as_bytes(), false), wanted);
    }

    #[test]
    fn text_of_others_cannot_control_the_terminal() {
        let payload = json!({ "event": "stopped", "program": "a\u{1b}[2Jb" }).to_string();
        let shown = line(payload.as_bytes(), false);
        assert!(shown.ends_with("[a\u{fffd}[2Jb]"), "{shown}");
        assert_eq!(line(b"\x1b[2J", false), "not a transition: \u{fffd}[2J");
    }
}
