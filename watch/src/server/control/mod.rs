//! The control socket: questions of `top`, `events` and `check` to a running daemon.

pub(crate) mod client;
mod places;
pub(crate) mod protocol;
mod socket;

use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::{spawn_local, yield_now};
use tokio::time::{sleep, timeout};
use tracing::{debug, error};

use crate::output::json;
use crate::state::{Batch, Notification, Shared};
use places::{Place, Places};
use protocol::{Question, Refused, Report};
pub(crate) use socket::{ControlSocket, bind};

/// The longest question.
const MOST_BYTES: u64 = 4 * 1024;

/// How long the first question may take.
const FIRST: Duration = Duration::from_secs(10);

/// Whoever takes nothing of an answer for so long is let go.
const DEAF: Duration = Duration::from_secs(30);

const STUCK: Duration = Duration::from_secs(5);
const REST: Duration = Duration::from_millis(100);

/// Serves until it is dropped, and the socket's file with it.
pub(crate) async fn serve(
    listener: UnixListener,
    _socket: ControlSocket,
    shared: Shared,
) -> Infallible {
    let places = Rc::new(Places::default());
    let shared = Rc::new(shared);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                error!(%error, "control: a connection could not be accepted");
                sleep(REST).await;
                continue;
            }
        };
        // Only where all others are being answered is the new one let go.
        let Some(place) = places.take() else { continue };
        let shared = Rc::clone(&shared);
        spawn_local(async move {
            let conversed = tokio::select! {
                conversed = converse(stream, &shared, &place) => conversed,
                () = place.ended() => Ok(()),
            };
            if let Err(error) = conversed {
                debug!(%error, "control: a conversation has ended");
            }
        });
        // A question that has come already is read before more connections are accepted.
        yield_now().await;
    }
}

async fn converse(stream: UnixStream, shared: &Shared, place: &Place) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = String::new();
    let mut heard = timeout(FIRST, next_line(&mut read, &mut line))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    while heard > 0 {
        place.busy();
        match serde_json::from_str(&line) {
            Ok(Question::Agents) => {
                let snapshot = match shared.snapshot() {
                    Some(asked) => timeout(STUCK, asked).await.ok().and_then(Result::ok),
                    None => None,
                };
                match snapshot {
                    Some(snapshot) => say(&mut write, &Report::of(&snapshot)).await?,
                    None => refuse(&mut write, "the watching thread does not answer").await?,
                }
            }
            Ok(Question::Events { json }) => {
                return tokio::select! {
                    told = follow(&mut write, shared, json) => told,
                    () = gone(read) => Ok(()),
                };
            }
            Err(error) => return refuse(&mut write, &error.to_string()).await,
        }
        place.idle();
        heard = next_line(&mut read, &mut line).await?;
    }
    Ok(())
}

/// How many bytes it has; 0 at the end of the stream.
async fn next_line(
    read: &mut BufReader<OwnedReadHalf>,
    line: &mut String,
) -> io::Result<usize> {
    line.clear();
    read.take(MOST_BYTES).read_line(line).await
}

async fn refuse(write: &mut OwnedWriteHalf, why: &str) -> io::Result<()> {
    say(write, &Refused { error: why.to_owned() }).await
}

async fn say(write: &mut OwnedWriteHalf, answer: &impl serde::Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    send(write, &line).await
}

async fn send(write: &mut OwnedWriteHalf, bytes: &[u8]) -> io::Result<()> {
    timeout(DEAF, write.write_all(bytes)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// Until the other end has gone, also while nothing is said to it.
async fn gone(mut read: BufReader<OwnedReadHalf>) {
    while matches!(read.read(&mut [0; 64]).await, Ok(1..)) {}
}

/// Sends all that is said. The watching thread does not wait for it: whoever reads too
/// slowly misses batches and is told how many.
async fn follow(write: &mut OwnedWriteHalf, shared: &Shared, json: bool) -> io::Result<()> {
    let mut said = shared.subscribe();
    loop {
        let mut text = String::new();
        match said.recv().await {
            Ok(batch) => lines(&batch, json, &mut text),
            Err(RecvError::Lagged(batches)) if json => {
                text.push_str(&format!("{{\"event\":\"lost\",\"batches\":{batches}}}\n"));
            }
            Err(RecvError::Lagged(batches)) => {
                text.push_str(&format!("{batches} batches of events were lost: read faster\n"));
            }
            Err(RecvError::Closed) => return Ok(()),
        }
        send(write, text.as_bytes()).await?;
    }
}

fn lines(batch: &Batch, as_json: bool, text: &mut String) {
    for said in batch.iter() {
        match said {
            Notification::Event { event, name } if as_json => json::event(event, *name, text),
            Notification::Recovery(decision) if as_json => json::decision(decision, text),
            Notification::Event { event, name } if name.as_bytes().is_empty() => {
                text.push_str(&format!("{event}\n"));
            }
            Notification::Event { event, name } => {
                text.push_str(&format!("{event} [{name}]\n"))
            }
            Notification::Recovery(decision) => {
                let ms = decision.at_ns / 1_000_000;
                let (agent, pid, what) = (decision.agent, decision.pid, &decision.what);
                let (s, ms) = (ms / 1_000, ms % 1_000);
                text.push_str(&format!(
                    "{s}.{ms:03} s: agent {agent} (pid {pid}): recovery: {what}\n"
                ));
            }
        }
    }
}
