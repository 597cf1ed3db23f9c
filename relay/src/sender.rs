//! Sends messages over one connection, and learns which of them are stored.

use std::collections::VecDeque;
use std::future::{IntoFuture, pending};
use std::mem;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::context::{
    ContextBuilder, PublishAckFuture, PublishError, PublishErrorKind,
};
use async_nats::jetstream::{Context, message::PublishMessage};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use crate::backlog::{Backlog, Next};
use crate::batch::{Batches, Outcome};
use crate::message::Message;

/// The time limit for a stream to confirm a message.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the relay waits after a stream has refused a message.
const AFTER_REFUSAL: Duration = Duration::from_secs(1);

/// What it means if there are no batches.
const WITHOUT_BATCHES: &str =
    ": if a message is refused, later ones may be stored before it is sent again";

type Ack = <PublishAckFuture as IntoFuture>::IntoFuture;

/// The messages that are sent and not confirmed.
///
/// They are one message, or one batch. If the server or a stream does not know batches, they are up
/// to `most` messages, of which a stream may store one although it refuses an earlier one.
pub(crate) struct Sender {
    context: Context,
    batches: Option<Batches>,
    /// The number of messages of the batch that is not confirmed.
    batch: usize,
    /// The confirmations of messages that were sent by themselves.
    acks: VecDeque<Ack>,
    /// How many messages may be sent and not confirmed.
    most: usize,
    /// How many messages are sent one by one from now on, because one was refused.
    one_by_one: usize,
    /// Why the last message was refused, until one is confirmed.
    refused: Option<String>,
}

/// What a server has answered.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Whether the oldest message had been stored before, or why it is not stored.
    Message(Result<bool, PublishError>),
    Batch(Outcome),
}

impl Sender {
    pub(crate) async fn new(client: &Client, most: usize) -> Result<Self, String> {
        // One more than are ever sent, so that sending does not wait for a confirmation.
        let context = ContextBuilder::new().timeout(ACK_TIMEOUT).max_ack_inflight(most + 1);
        let context = context.build(client.clone());
        let batches = Batches::new(client).await?;
        if batches.is_none() {
            let version = client.server_info().version;
            info!("the server is nats-server {version}, without batches{WITHOUT_BATCHES}");
        }
        let acks = VecDeque::new();
        Ok(Self { context, batches, batch: 0, acks, most, one_by_one: 0, refused: None })
    }

    pub(crate) const fn context(&self) -> &Context {
        &self.context
    }

    /// How many messages may be sent now.
    fn room(&self) -> usize {
        match (self.batch, self.one_by_one, &self.batches) {
            (0, 0, None) => self.most - self.acks.len(),
            (0, 0, Some(_)) if self.acks.is_empty() => self.most,
            (0, 1.., _) if self.acks.is_empty() => 1,
            _ => 0,
        }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.room() > 0
    }

    /// Sends what there is room for. Returns whether everything that is recorded is sent.
    pub(crate) async fn fill(&mut self, backlog: &mut Backlog) -> Result<bool, String> {
        while let room @ 1.. = self.room() {
            let messages = match backlog.next_to_send(room) {
                Next::Messages(messages) => messages,
                Next::NotYet => return Ok(false),
                Next::Nothing => return Ok(true),
            };
            match (&mut self.batches, messages.as_slice()) {
                (Some(batches), messages @ [_, _, ..]) => {
                    batches.send(messages, ACK_TIMEOUT).await?;
                    self.batch = messages.len();
                }
                (_, messages) => {
                    for message in messages {
                        self.acks.push_back(send(&self.context, message).await?);
                    }
                }
            }
        }
        Ok(false)
    }

    /// Waits for the next answer of the server. An error ends the connection.
    pub(crate) async fn answer(&mut self) -> Result<Answer, String> {
        match (&mut self.batches, self.acks.front_mut()) {
            (Some(batches), _) if self.batch > 0 => batches.outcome().await.map(Answer::Batch),
            (_, Some(ack)) => Ok(Answer::Message(ack.await.map(|ack| ack.duplicate))),
            _ => pending().await,
        }
    }

    /// Tells the backlog what is stored, and what has to be sent again. An error ends the
    /// connection.
    pub(crate) async fn take(
        &mut self,
        answer: Answer,
        backlog: &mut Backlog,
    ) -> Result<(), String> {
        match answer {
            Answer::Message(Ok(duplicate)) => {
                self.acks.pop_front();
                self.one_by_one = self.one_by_one.saturating_sub(1);
                if self.refused.take().is_some() {
                    info!("messages are confirmed again");
                }
                backlog.confirmed(duplicate);
            }
            Answer::Message(Err(error)) if is_refusal(&error) => {
                let why = why_refused(&error, backlog.oldest_subject());
                backlog.refused();
                self.refused(why).await;
            }
            Answer::Message(Err(error)) => return Err(format!("no confirmation: {error}")),
            Answer::Batch(outcome) => self.take_outcome(&outcome, backlog),
        }
        Ok(())
    }

    fn take_outcome(&mut self, outcome: &Outcome, backlog: &mut Backlog) {
        let length = mem::take(&mut self.batch);
        match *outcome {
            Outcome::Stored(count) => {
                (0..count).for_each(|_| backlog.confirmed(false));
                if count < length {
                    // By itself the next one shows why it is refused.
                    self.one_by_one = 1;
                    backlog.refused();
                }
            }
            Outcome::Refused => {
                self.one_by_one = length;
                backlog.refused();
            }
            Outcome::Unsupported => {
                self.batches = None;
                let subject = backlog.oldest_subject();
                info!("the stream of {subject} does not set allow_batched{WITHOUT_BATCHES}");
                backlog.send_again();
            }
        }
    }

    /// Waits until it is known of all messages whether they were stored, and for a while.
    async fn refused(&mut self, why: String) {
        if self.refused.as_ref() != Some(&why) {
            warn!("{why}");
        }
        self.refused = Some(why);
        self.acks.pop_front();
        let end = Instant::now() + ACK_TIMEOUT;
        while let Some(ack) = self.acks.front_mut() {
            tokio::select! {
                _ = ack => self.acks.pop_front(),
                () = sleep_until(end) => break,
            };
        }
        self.acks.clear();
        self.one_by_one = self.one_by_one.max(1);
        sleep(AFTER_REFUSAL).await;
    }
}

/// Sends a message by itself. Only the confirmation shows whether it was stored.
async fn send(context: &Context, message: &Message) -> Result<Ack, String> {
    let mut publish = PublishMessage::build().payload(message.payload.clone());
    if let Some(id) = &message.id {
        publish = publish.message_id(id);
    }
    let sent = context.send_publish(message.subject.clone(), publish).await;
    sent.map(IntoFuture::into_future).map_err(|error| format!("cannot send: {error}"))
}

/// Whether the server answered, but did not store the message.
fn is_refusal(error: &PublishError) -> bool {
    !matches!(error.kind(), PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe)
}

fn why_refused(error: &PublishError, subject: &str) -> String {
    match error.kind() {
        PublishErrorKind::StreamNotFound => format!(
            "no stream stores {subject}; create one, or start varta-relay with --create-stream"
        ),
        _ => format!("the stream refuses {subject}: {error}"),
    }
}
