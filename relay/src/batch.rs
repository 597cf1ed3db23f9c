//! Batches: of messages that are sent together, a stream that refuses one stores none after it.
//!
//! This is the fast ingest of nats-server 2.14, for streams with `allow_batched`. The reply
//! subject of a message tells the server which one of which batch it is, and an answer comes to
//! the reply subject of the message that it is about. Messages that the stream has stored before
//! are skipped by their ids. (An atomic batch would be refused as a whole then, and costs the
//! server a write to its disk.)

use std::time::Duration;

use async_nats::jetstream::{Error, ErrorCode};
use async_nats::{Client, HeaderMap, Subscriber, header};
use futures_util::StreamExt;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use crate::message::Message;

/// Sends batches, one at a time.
#[derive(Debug)]
pub(crate) struct Batches {
    client: Client,
    inbox: String,
    answers: Subscriber,
    /// The number of the last batch.
    number: u64,
    /// How many messages are in it.
    length: usize,
    /// When its outcome must be known.
    deadline: Instant,
}

/// What became of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The stream stores the messages up to this number, and no others.
    Stored(usize),
    /// The stream has refused a message. How many before it are stored is not known.
    Refused,
    /// The stream does not know batches.
    Unsupported,
}

/// What a server answers to a message of a batch.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    /// The batch has ended, and `count` of its messages are stored.
    batch: String,
    count: usize,
    /// The stream that has stored or refused the message.
    stream: String,
    /// What it tells about a batch that goes on, or whose end is reported next.
    #[serde(rename = "type")]
    progress: String,
    error: Option<Error>,
}

impl Batches {
    /// Prepares batches, if the server is recent enough.
    pub(crate) async fn new(client: &Client) -> Result<Option<Self>, String> {
        if !client.is_server_compatible(2, 14, 0) {
            return Ok(None);
        }
        let inbox = client.new_inbox();
        let answers = client.subscribe(format!("{inbox}.>")).await;
        let answers = answers.map_err(|error| format!("cannot subscribe: {error}"))?;
        let client = client.clone();
        let deadline = Instant::now();
        Ok(Some(Self { client, inbox, answers, number: 0, length: 0, deadline }))
    }

    /// Sends a batch of two messages or more, all for one stream, whose outcome must be known
    /// after some time.
    pub(crate) async fn send(
        &mut self,
        messages: &[&Message],
        limit: Duration,
    ) -> Result<(), String> {
        self.number += 1;
        self.length = messages.len();
        for (number, message) in (1..).zip(messages) {
            let reply = self.reply(number);
            let (subject, payload) = (message.subject.clone(), message.payload.clone());
            let sent = match &message.id {
                Some(id) => {
                    let mut headers = HeaderMap::new();
                    headers.insert(header::NATS_MESSAGE_ID, id.as_str());
                    let sent = self
                        .client
                        .publish_with_reply_and_headers(subject, reply, headers, payload);
                    sent.await
                }
                None => self.client.publish_with_reply(subject, reply, payload).await,
            };
            sent.map_err(|error| format!("cannot send: {error}"))?;
        }
        self.deadline = Instant::now() + limit;
        Ok(())
    }

    /// The reply subject of a message. Its first part after the inbox is the name of the batch,
    /// which must differ from those of all other publishers.
    fn reply(&self, number: usize) -> String {
        let Self { inbox, length, .. } = self;
        let operation = match number {
            1 => 0,
            _ if number < *length => 1,
            // The last one.
            _ => 2,
        };
        format!("{inbox}.{}.{length}.fail.{number}.{operation}.$FI", self.name())
    }

    fn name(&self) -> String {
        let unique = self.inbox.rsplit('.').next().unwrap_or_default();
        format!("{unique}-{}", self.number)
    }

    /// Waits for the outcome of the batch that was sent.
    pub(crate) async fn outcome(&mut self) -> Result<Outcome, String> {
        let (name, last) = (self.name(), self.reply(self.length));
        let ours = format!("{}.{name}.", self.inbox);
        loop {
            let answer = match timeout_at(self.deadline, self.answers.next()).await {
                Ok(Some(answer)) => answer,
                Ok(None) => return Err("the subscription has ended".to_owned()),
                Err(_) => return Err("no confirmation of a batch in time".to_owned()),
            };
            // There may be answers to an earlier batch that has failed.
            if !answer.subject.starts_with(&ours) {
                continue;
            }
            let is_last = answer.subject.as_str() == last;
            // Without a stream the answer is empty.
            let content = serde_json::from_slice(&answer.payload).unwrap_or_default();
            if let Some(outcome) = outcome_of(&content, &name, is_last) {
                return Ok(outcome);
            }
        }
    }
}

/// The outcome of a batch, if an answer tells it. Each message is answered, unless the batch ends in
/// another way before, so that the answer to the last one is the end at the latest.
fn outcome_of(answer: &Answer, name: &str, is_last: bool) -> Option<Outcome> {
    let code = answer.error.as_ref().map(Error::error_code);
    match code {
        _ if answer.batch == name => Some(Outcome::Stored(answer.count)),
        Some(ErrorCode::BATCH_PUBLISH_DISABLED) => Some(Outcome::Unsupported),
        // An older server stores each message by itself.
        None if !answer.stream.is_empty() => Some(Outcome::Unsupported),
        _ if is_last && answer.progress.is_empty() => Some(Outcome::Refused),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What these answers, the last of which may be that to the last message, tell of batch `b`.
    fn outcome(answers: &[&str], ends_with_last: bool) -> Option<Outcome> {
        answers.iter().enumerate().find_map(|(at, text)| {
            let answer = serde_json::from_str(text).unwrap_or_default();
            outcome_of(&answer, "b", ends_with_last && at + 1 == answers.len())
        })
    }

    // As nats-server 2.15 writes them.
    const BEGUN: &str = r#"{"type":"ack","seq":0,"msgs":9}"#;
    const TOO_LARGE: &str = r#"{"error":{"code":400,"err_code":10054,"description":"message size exceeds maximum allowed"},"stream":"E","seq":0}"#;
    const UNKNOWN: &str = r#"{"error":{"code":400,"err_code":10208,"description":"batch publish ID unknown"},"stream":"E","seq":0}"#;
    const DISABLED: &str = r#"{"error":{"code":400,"err_code":10205,"description":"batch publish is disabled"},"stream":"E","seq":0}"#;

    #[test]
    fn a_batch_ends_with_the_number_of_messages_that_are_stored() {
        let all = r#"{"stream":"E","seq":40,"batch":"b","count":9}"#;
        assert_eq!(outcome(&[BEGUN, all], true), Some(Outcome::Stored(9)));
        let full = r#"{"type":"err","seq":6,"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"}}"#;
        let some = r#"{"stream":"E","seq":5,"batch":"b","count":5}"#;
        assert_eq!(outcome(&[BEGUN, full, some], true), Some(Outcome::Stored(5)));
        let gap = r#"{"type":"gap","last_seq":6,"seq":7}"#;
        assert_eq!(outcome(&[BEGUN, TOO_LARGE, gap, some], false), Some(Outcome::Stored(5)));
        assert_eq!(outcome(&[BEGUN, full], true), None, "the end is still to come");
    }

    #[test]
    fn a_batch_of_which_the_last_message_is_refused_has_an_end_too() {
        assert_eq!(outcome(&[BEGUN, TOO_LARGE], true), Some(Outcome::Refused));
        assert_eq!(outcome(&[TOO_LARGE, UNKNOWN, UNKNOWN], true), Some(Outcome::Refused));
        assert_eq!(outcome(&[TOO_LARGE, UNKNOWN], false), None);
        assert_eq!(outcome(&["", ""], true), Some(Outcome::Refused), "no stream");
    }

    #[test]
    fn streams_and_servers_without_batches_are_noticed() {
        assert_eq!(outcome(&[DISABLED], false), Some(Outcome::Unsupported));
        let alone = r#"{"stream":"E","seq":40}"#;
        assert_eq!(outcome(&[alone], false), Some(Outcome::Unsupported));
    }
}
