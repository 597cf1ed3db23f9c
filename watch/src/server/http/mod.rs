//! The HTTP server: accepts and limits connections. [`answer`] has the responses.

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

/// A connection is closed when this much time has passed since its last whole request or
/// response: because it is idle, or because it sends or reads too slowly.
const IDLE: Duration = Duration::from_secs(10);

/// The maximum size of a request's head.
const MOST_BYTES: usize = 16 * 1024;

/// After this long, a connection is closed once its current request is complete.
const OPEN: Duration = Duration::from_secs(60);

/// How much of a response the kernel buffers for one reader.
const SEND_BUFFER: usize = 64 * 1024;

/// The pause after a connection could not be accepted, which happens if descriptors run out.
const REST: Duration = Duration::from_millis(100);

/// Binds an address.
pub(crate) fn bind(address: SocketAddr) -> io::Result<Bound> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("--prom-addr {address}: {error}"))
    };
    prepare(Bound::bind(address).map_err(named)?)
}

/// Uses a socket that the service manager bound.
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
                error!(%error, "HTTP: cannot accept a connection");
                sleep(REST).await;
                continue;
            }
        };
        let (place, displaced) = places.take(peer.ip().into());
        if displaced {
            answers.counters().crowded.one();
        }
        spawn_local(handle_requests(stream, peer, place, Rc::clone(&answers)));
        // Let requests that have arrived be read before more connections are accepted, which
        // may replace theirs.
        yield_now().await;
    }
}

async fn handle_requests(
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
    answers: Rc<Answers>,
) {
    let place = &place;
    let service = service_fn(|request| {
        let answers = Rc::clone(&answers);
        async move {
            place.request_arrived();
            let answer = answers.answer(peer.ip(), place, &request).await;
            place.response_ready();
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
        debug!(%error, %peer, "HTTP: a connection failed");
    }
}
