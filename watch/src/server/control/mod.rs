//! The control socket, by which `top`, `events` and `check` query a running daemon.

pub(crate) mod client;
mod places;
pub(crate) mod protocol;
pub(crate) mod rules;
mod socket;

use std::convert::Infallible;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::{spawn_local, yield_now};
use tokio::time::{sleep, timeout};
use tracing::{debug, error};

use crate::output::json;
use crate::output::stamp::{Source, Stamp};
use crate::server::last_day::LastDay;
use crate::state::{Batch, Notification, Shared, Snapshot, Subject};
use places::{Place, Places};
use protocol::{Refused, Report, Request};
use rules::Explanation;
pub(crate) use socket::{ControlSocket, bind};

/// The maximum length of a request.
const MOST_BYTES: u64 = 4 * 1024;

/// The time limit for the first request.
const FIRST_REQUEST: Duration = Duration::from_secs(10);

/// A client that reads nothing for this long is disconnected.
const SEND_TIMEOUT: Duration = Duration::from_secs(30);

/// The time limit for the event loop to reply.
const STUCK: Duration = Duration::from_secs(5);
const STUCK_LOOP: &str = "the event loop does not respond";

/// The pause after a connection could not be accepted.
const REST: Duration = Duration::from_millis(100);

/// Serves until it is dropped, which removes the socket's file.
pub(crate) async fn serve(
    listener: UnixListener,
    _socket: ControlSocket,
    shared: Shared,
    source: Arc<Source>,
    last_day: Arc<LastDay>,
) -> Infallible {
    let places = Rc::new(Places::default());
    let shared = Rc::new(shared);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                error!(%error, "control socket: cannot accept a connection");
                sleep(REST).await;
                continue;
            }
        };
        // A new connection is dropped only if all others are busy.
        let Some(place) = places.take() else { continue };
        let (shared, source) = (Rc::clone(&shared), Arc::clone(&source));
        let last_day = Arc::clone(&last_day);
        spawn_local(async move {
            let result = tokio::select! {
                result = handle_requests(stream, &shared, (&source, &last_day), &place) => result,
                () = place.ended() => Ok(()),
            };
            if let Err(error) = result {
                debug!(%error, "control socket: a connection failed");
            }
        });
        // Let requests that have arrived be read before more connections are accepted.
        yield_now().await;
    }
}

async fn handle_requests(
    stream: UnixStream,
    shared: &Shared,
    (source, last_day): (&Source, &LastDay),
    place: &Place,
) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    let mut line = String::new();
    let mut length = timeout(FIRST_REQUEST, next_line(&mut read, &mut line))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    while length > 0 {
        place.busy();
        match serde_json::from_str(&line) {
            Ok(Request::Agents) => match snapshot(shared).await {
                Some(snapshot) => {
                    send_json(&mut write, &Report::of(&snapshot, &last_day.strips())).await?;
                }
                None => refuse(&mut write, STUCK_LOOP).await?,
            },
            Ok(Request::Rules { pid }) => match snapshot(shared).await {
                Some(snapshot) => match Explanation::of(pid, &snapshot) {
                    Some(explanation) => send_json(&mut write, &explanation).await?,
                    None => refuse(&mut write, &format!("no agent has the pid {pid}")).await?,
                },
                None => refuse(&mut write, STUCK_LOOP).await?,
            },
            Ok(Request::Events { json }) => {
                return tokio::select! {
                    result = send_events(&mut write, shared, json.then_some(source)) => result,
                    () = client_closed(read) => Ok(()),
                };
            }
            Err(error) => return refuse(&mut write, &error.to_string()).await,
        }
        place.idle();
        length = next_line(&mut read, &mut line).await?;
    }
    Ok(())
}

/// A snapshot, or None if the event loop does not respond.
async fn snapshot(shared: &Shared) -> Option<Arc<Snapshot>> {
    timeout(STUCK, shared.snapshot()?).await.ok()?.ok()
}

/// Reads a line, and returns its length. It is 0 at the end of the stream.
async fn next_line(
    read: &mut BufReader<OwnedReadHalf>,
    line: &mut String,
) -> io::Result<usize> {
    line.clear();
    read.take(MOST_BYTES).read_line(line).await
}

async fn refuse(write: &mut OwnedWriteHalf, why: &str) -> io::Result<()> {
    send_json(write, &Refused { error: why.to_owned() }).await
}

async fn send_json(
    write: &mut OwnedWriteHalf,
    reply: &impl serde::Serialize,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    send(write, &line).await
}

async fn send(write: &mut OwnedWriteHalf, bytes: &[u8]) -> io::Result<()> {
    timeout(SEND_TIMEOUT, write.write_all(bytes)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// Returns when the client has closed the connection.
async fn client_closed(mut read: BufReader<OwnedReadHalf>) {
    while matches!(read.read(&mut [0; 64]).await, Ok(1..)) {}
}

/// Sends all notifications. The event loop does not wait for slow clients: they lose batches,
/// and are sent the number of lost ones. They get JSON if there is a source.
async fn send_events(
    write: &mut OwnedWriteHalf,
    shared: &Shared,
    source: Option<&Source>,
) -> io::Result<()> {
    let mut notifications = shared.subscribe();
    let mut last = None;
    loop {
        let mut text = String::new();
        match notifications.recv().await {
            Ok(batch) => {
                lines(&batch, source, &mut text);
                last = batch.last().map(|last| Stamp { threshold_ns: None, ..last.stamp });
            }
            Err(RecvError::Lagged(batches)) => match source {
                Some(source) => {
                    json::lost("batches", batches, last.as_ref(), source, &mut text);
                }
                None => text.push_str(&format!(
                    "{batches} batches of events were lost: the reader is too slow\n"
                )),
            },
            Err(RecvError::Closed) => return Ok(()),
        }
        send(write, text.as_bytes()).await?;
    }
}

fn lines(batch: &Batch, source: Option<&Source>, text: &mut String) {
    for Notification { about, stamp } in batch.iter() {
        match (about, source) {
            (Subject::Event { event, name }, Some(source)) => {
                json::event(event, *name, stamp, source, text);
            }
            (Subject::Recovery(decision), Some(source)) => {
                json::decision(decision, stamp, source, text);
            }
            (Subject::Expected { at_ns, program }, Some(source)) => {
                json::expected(*at_ns, program, stamp, source, text);
            }
            (Subject::Service(report), Some(source)) => {
                json::service(report, stamp, source, text);
            }
            (Subject::Event { event, name }, None) if name.is_empty() => {
                text.push_str(&format!("{event}\n"));
            }
            (Subject::Event { event, name }, None) => {
                text.push_str(&format!("{event} [{name}]\n"));
            }
            (Subject::Recovery(decision), None) => {
                let (agent, pid, what) = (decision.agent, decision.pid, &decision.what);
                let at = seconds(decision.at_ns);
                text.push_str(&format!("{at}: agent {agent} (pid {pid}): recovery: {what}\n"));
            }
            (Subject::Expected { at_ns, program }, None) => {
                text.push_str(&format!("{}: program {program}\n", seconds(*at_ns)));
            }
            (Subject::Service(report), None) => {
                let at = seconds(report.note.observer_ns);
                text.push_str(&format!("{at}: {report}\n"));
            }
        }
    }
}

fn seconds(ns: u64) -> String {
    let ms = ns / 1_000_000;
    format!("{}.{:03} s", ms / 1_000, ms % 1_000)
}
