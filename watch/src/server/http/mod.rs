//! HTTP: who may connect, and for how long. What is answered is in [`answer`].

mod answer;
mod body;
mod host;
mod limits;
mod places;
mod rendering;
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
use hyper_util::rt::TokioIo;
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{spawn_local, yield_now};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::{debug, error};

pub(crate) use answer::Answers;
use places::{Place, Places};

/// A connection ends when no whole request has come for this long: one that is idle, one that
/// sends its request too slowly, and one that takes longer for its answer.
const IDLE: Duration = Duration::from_secs(10);

/// The longest head of a request.
const MOST_BYTES: usize = 16 * 1024;

/// After this long a connection is asked to end with the request that it is at.
const OPEN: Duration = Duration::from_secs(60);

/// What the kernel holds of an answer for one reader.
const SEND_BUFFER: usize = 64 * 1024;

/// So long nothing is accepted after accepting has failed: it does when descriptors are short.
const REST: Duration = Duration::from_millis(100);

/// Takes an address.
pub(crate) fn bind(address: SocketAddr) -> io::Result<Bound> {
    let unfit = |error: io::Error| {
        io::Error::new(error.kind(), format!("--prom-addr {address}: {error}"))
    };
    prepare(Bound::bind(address).map_err(unfit)?)
}

/// Takes a socket that the service manager has bound.
pub(crate) fn inherit(socket: OwnedFd) -> io::Result<Bound> {
    prepare(Bound::from(socket))
}

fn prepare(listener: Bound) -> io::Result<Bound> {
    listener.set_nonblocking(true)?;
    // Connections inherit it.
    set_socket_send_buffer_size(&listener, SEND_BUFFER)?;
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
        let (place, displaced) = places.take(peer.ip().into());
        if displaced {
            answers.counters().crowded.one();
        }
        spawn_local(converse(stream, peer, place, Rc::clone(&answers)));
        // A request that has come already is read before more connections are accepted, which
        // may take its place.
        yield_now().await;
    }
}

async fn converse(stream: TcpStream, peer: SocketAddr, place: Place, answers: Rc<Answers>) {
    let place = &place;
    let service = service_fn(|request| {
        let answers = Rc::clone(&answers);
        async move {
            place.asked();
            let answer = answers.answer(peer.ip(), place, &request).await;
            place.answered();
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .max_buf_size(MOST_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut open_until = Some(Instant::now() + OPEN);
    let ended = loop {
        let idle_until = place.since() + IDLE;
        let next = open_until.map_or(idle_until, |open| open.min(idle_until));
        tokio::select! {
            ended = &mut connection => break ended,
            () = place.closed() => return,
            () = sleep_until(next) => {}
        }
        let now = Instant::now();
        if place.since() + IDLE <= now {
            return;
        }
        if open_until.is_some_and(|open| open <= now) {
            connection.as_mut().graceful_shutdown();
            open_until = None;
        }
    };
    if let Err(error) = ended {
        debug!(%error, %peer, "HTTP: a connection has failed");
    }
}
