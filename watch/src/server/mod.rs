//! The server thread: HTTP and the control socket. Whatever a client asks, this thread only
//! requests snapshots from the event loop.

pub(crate) mod control;
pub(crate) mod http;
mod last_day;
pub(crate) mod metrics;

use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tracing::{error, info};

use self::control::ControlSocket;
use self::http::Answers;
use self::last_day::LastDay;
use crate::config::{Settings, Token};
use crate::output::stamp::Source;
use crate::platform::priority;
use crate::server::metrics::{Constants, Metrics};
use crate::state::Shared;

/// The event loop's side. The thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct ServerThread {
    token: watch::Sender<Option<Token>>,
    /// Whether other machines can connect.
    exposed: bool,
    thread: JoinHandle<()>,
}

/// Binds the HTTP and control sockets, and starts the thread. `history` is the folder of the
/// history, if this daemon writes one.
pub(crate) fn start(
    settings: &Settings,
    passed: Vec<OwnedFd>,
    shared: Shared,
    source: Arc<Source>,
    history: Option<PathBuf>,
) -> io::Result<ServerThread> {
    let mut listeners = Vec::new();
    for socket in passed {
        listeners.push(http::inherit(socket)?);
    }
    if let Some(address) = settings.flags.http.prom_addr.filter(|_| listeners.is_empty()) {
        listeners.push(http::bind(address)?);
    }
    let mut exposed = false;
    for listener in &listeners {
        let address = listener.local_addr()?;
        exposed |= !address.ip().is_loopback();
        if exposed && settings.token.is_none() {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!(
                    "HTTP on {address}, which is not a loopback address, needs --prom-token-file"
                ),
            ));
        }
        info!(%address, "serving HTTP");
        // As varta-watch 0.2 does, for scripts that use port 0. A closed stdout is not an error.
        let _ = writeln!(io::stdout(), "{address}");
    }
    let control = settings.control_socket().map(|path| control::bind(&path)).transpose()?;
    let (token, tokens) = watch::channel(settings.token.clone());
    let last_day = Arc::new(LastDay::new(history, source.run));
    let answers = answers(settings, &shared, tokens.clone(), Arc::clone(&last_day));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = thread::Builder::new().name("server".to_owned()).spawn(move || {
        priority::lower();
        let serving = serve(listeners, control, answers, (shared, source, last_day), tokens);
        if let Err(error) = LocalSet::new().block_on(&runtime, serving) {
            error!(%error, "the HTTP and control thread failed");
        }
    })?;
    Ok(ServerThread { token, exposed, thread })
}

fn answers(
    settings: &Settings,
    shared: &Shared,
    token: watch::Receiver<Option<Token>>,
    last_day: Arc<LastDay>,
) -> Answers {
    let flags = &settings.flags.http;
    let metrics = Metrics::new(Constants::new(settings.flags.listening.uds_rcvbuf_bytes));
    let rates = (flags.prom_rate_limit_per_sec, flags.prom_rate_limit_burst);
    let budget = Duration::from_millis(flags.scrape_budget_ms);
    Answers::new(
        (shared.clone(), last_day),
        metrics,
        rates,
        token,
        flags.http_host.clone(),
        budget,
    )
}

async fn serve(
    listeners: Vec<TcpListener>,
    control: Option<ControlSocket>,
    answers: Answers,
    (shared, source, last_day): (Shared, Arc<Source>, Arc<LastDay>),
    mut tokens: watch::Receiver<Option<Token>>,
) -> io::Result<()> {
    let answers = Rc::new(answers);
    for listener in listeners {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        spawn_local(http::serve(listener, Rc::clone(&answers)));
    }
    if let Some(socket) = control {
        spawn_local(control::serve(socket.listen()?, socket, shared, source, last_day));
    }
    // Until the event loop drops the sender.
    while tokens.changed().await.is_ok() {}
    Ok(())
}

impl ServerThread {
    /// Applies a reload.
    pub(crate) fn reload(&self, settings: &Settings) {
        if self.exposed && settings.token.is_none() {
            error!(
                "HTTP is reachable from other machines and needs a token: the old token stays in force"
            );
            return;
        }
        self.token.send_replace(settings.token.clone());
    }

    /// Closes all connections and sockets, and ends the thread.
    pub(crate) fn end(self) {
        drop(self.token);
        if self.thread.join().is_err() {
            error!("the HTTP and control thread has panicked");
        }
    }
}
