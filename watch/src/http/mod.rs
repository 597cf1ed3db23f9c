//! HTTP: who may connect, and for how long. What is answered is in [`answer`].

mod answer;
mod body;
mod limits;
mod places;
mod source;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener as Bound};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_local;
use tokio::time::sleep;
use tracing::{debug, error};

pub(crate) use answer::Answers;
use places::Places;

/// How long the head of a request may take, and a connection be idle before it.
const HEAD: Duration = Duration::from_secs(10);

/// The longest head of a request.
const MOST_BYTES: usize = 16 * 1024;

/// After so long a connection is asked to end with what it is at, and then cut off.
const OPEN: Duration = Duration::from_secs(60);
const ENDING: Duration = Duration::from_secs(10);

/// So long nothing is accepted after accepting has failed: it does when descriptors are short.
const REST: Duration = Duration::from_millis(100);

/// Takes an address.
pub(crate) fn bind(address: SocketAddr) -> io::Result<Bound> {
    let unfit = |error: io::Error| {
        io::Error::new(error.kind(), format!("--prom-addr {address}: {error}"))
    };
    let listener = Bound::bind(address).map_err(unfit)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Takes a socket that the service manager has bound.
pub(crate) fn inherit(socket: OwnedFd) -> io::Result<Bound> {
    let listener = Bound::from(socket);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, answers: Rc<Answers>) -> Infallible {
    let places = Rc::new(Places::default());
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                error!(%error, "HTTP: a connection could not be accepted");
                sleep(REST).await;
                continue;
            }
        };
        // One for whom there is no place is closed.
        let Some(place) = places.take(peer.ip().into()) else {
            answers.tallies().crowded.one();
            continue;
        };
        let answers = Rc::clone(&answers);
        spawn_local(async move {
            converse(stream, peer, answers).await;
            drop(place);
        });
    }
}

async fn converse(stream: TcpStream, peer: SocketAddr, answers: Rc<Answers>) {
    let service = service_fn(|request| {
        let answers = Rc::clone(&answers);
        async move { Ok::<_, Infallible>(answers.answer(peer.ip(), &request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MOST_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = sleep(OPEN) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = sleep(ENDING) => return,
            }
        }
    };
    if let Err(error) = ended {
        debug!(%error, %peer, "HTTP: a connection has failed");
    }
}
