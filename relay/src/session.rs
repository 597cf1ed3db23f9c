//! Publishing over one connection.

use std::collections::VecDeque;
use std::future::{IntoFuture, pending};
use std::time::Duration;

use async_nats::jetstream::context::{
    ContextBuilder, PublishAckFuture, PublishError, PublishErrorKind,
};
use async_nats::jetstream::{Context, message::PublishMessage};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{info, warn};

use crate::ask::Answers;
use crate::backlog::{Backlog, Next};
use crate::connection::Connection;
use crate::message::Message;
use crate::new_records::NewRecords;
use crate::streams;

/// The time limit for a stream to confirm a message.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the relay waits after a stream has refused a message.
const AFTER_REFUSAL: Duration = Duration::from_secs(1);

type Ack = <PublishAckFuture as IntoFuture>::IntoFuture;

/// Publishes the backlog until the connection fails, and returns why.
pub(crate) async fn run(
    connection: &Connection,
    backlog: &mut Backlog,
    new_records: &mut NewRecords,
    answers: Option<&Answers>,
    (most, create_stream): (usize, bool),
) -> String {
    // One more than are ever sent, so that sending does not wait for a confirmation.
    let context = ContextBuilder::new().timeout(ACK_TIMEOUT).max_ack_inflight(most + 1);
    let context = context.build(connection.client.clone());
    if create_stream && let Err(why) = streams::create(&context).await {
        return why;
    }
    let mut requests = match answers {
        Some(answers) => match answers.subscribe(&connection.client).await {
            Ok(requests) => Some(requests),
            Err(why) => return why,
        },
        None => None,
    };
    backlog.send_again();
    let mut window = Window { acks: VecDeque::new(), most, now: most, refused: None };
    // Whether everything that is recorded is sent.
    let mut idle = false;
    loop {
        if !idle {
            idle = match window.fill(&context, backlog).await {
                Ok(idle) => idle,
                Err(why) => return why,
            };
        }
        tokio::select! {
            biased;
            () = connection.ended() => return "the connection has ended".to_owned(),
            () = backlog.saved() => {}
            request = Answers::next(requests.as_mut()) => match (answers, request) {
                (Some(answers), Some(request)) => answers.answer(&connection.client, request),
                _ => return "the subscription has ended".to_owned(),
            },
            ack = window.next() => match ack {
                Ok(duplicate) => {
                    window.confirmed();
                    backlog.confirmed(duplicate);
                }
                Err(error) if is_refusal(&error) => {
                    let why = why_refused(&error, backlog.oldest_subject());
                    window.refused(why).await;
                    backlog.refused();
                    idle = false;
                }
                Err(error) => return format!("no confirmation: {error}"),
            },
            () = new_records.wait(), if idle => idle = false,
            () = yield_now(), if !idle && window.has_room() => {}
        }
    }
}

/// The messages that are sent and not confirmed.
struct Window {
    acks: VecDeque<Ack>,
    /// How many there may be.
    most: usize,
    /// How many there may be now. After a refusal messages are sent one by one, so that nothing
    /// is sent after a message that is refused again.
    now: usize,
    /// Why the last message was refused, until one is confirmed.
    refused: Option<String>,
}

impl Window {
    fn has_room(&self) -> bool {
        self.acks.len() < self.now
    }

    /// Sends what there is room for. Returns whether everything that is recorded is sent.
    async fn fill(&mut self, context: &Context, backlog: &mut Backlog) -> Result<bool, String> {
        while self.has_room() {
            match backlog.next_to_send() {
                Next::Message(message) => self.acks.push_back(send(context, message).await?),
                Next::NotYet => return Ok(false),
                Next::Nothing => return Ok(true),
            }
        }
        Ok(false)
    }

    /// The confirmation of the oldest message: whether it had been stored before.
    async fn next(&mut self) -> Result<bool, PublishError> {
        match self.acks.front_mut() {
            Some(ack) => ack.await.map(|ack| ack.duplicate),
            None => pending().await,
        }
    }

    fn confirmed(&mut self) {
        self.acks.pop_front();
        if self.refused.take().is_some() {
            info!("messages are confirmed again");
        }
        self.now = self.most;
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
        self.now = 1;
        sleep(AFTER_REFUSAL).await;
    }
}

/// Sends a message. Only the confirmation shows whether it was stored.
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
