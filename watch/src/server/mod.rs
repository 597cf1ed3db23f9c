//! The thread that shows what is watched: HTTP and the control socket. Whatever comes in
//! there, the watching thread is asked for a snapshot and for nothing else.

pub(crate) mod control;
pub(crate) mod http;
pub(crate) mod metrics;

use std::io::{self, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{LocalSet, spawn_local};
use tracing::{error, info};

use self::control::ControlSocket;
use self::http::Answers;
use crate::config::{Settings, Token};
use crate::event_loop::priority;
use crate::server::metrics::{Constants, Metrics};
use crate::state::Shared;

/// The watching thread's end. The other threads end when it is dropped.
#[derive(Debug)]
pub(crate) struct ServerThread {
    token: watch::Sender<Option<Token>>,
    /// Others than this machine can connect.
    exposed: bool,
    thread: JoinHandle<()>,
}

/// Binds what is to be served, and serves it.
pub(crate) fn start(
    settings: &Settings,
    passed: Vec<OwnedFd>,
    shared: Shared,
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
                format!("HTTP at {address}, which is not loopback, needs --prom-token-file"),
            ));
        }
        info!(%address, "serving HTTP");
        // As published: a script may have said port 0. That nobody reads it is no error.
        let _ = writeln!(io::stdout(), "{address}");
    }
    let control = settings.control_socket().map(|path| control::bind(&path)).transpose()?;
    let (token, tokens) = watch::channel(settings.token.clone());
    let answers = answers(settings, &shared, tokens.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = thread::Builder::new().name("show".to_owned()).spawn(move || {
        priority::behind();
        let serving = serve(listeners, control, answers, shared, tokens);
        if let Err(error) = LocalSet::new().block_on(&runtime, serving) {
            error!(%error, "nothing is shown any more");
        }
    })?;
    Ok(ServerThread { token, exposed, thread })
}

fn answers(
    settings: &Settings,
    shared: &Shared,
    token: watch::Receiver<Option<Token>>,
) -> Answers {
    let told = &settings.flags.http;
    let metrics = Metrics::new(Constants::new(settings.flags.listening.uds_rcvbuf_bytes));
    let rates = (told.prom_rate_limit_per_sec, told.prom_rate_limit_burst);
    let budget = Duration::from_millis(told.scrape_budget_ms);
    Answers::new(shared.clone(), metrics, rates, token, told.http_host.clone(), budget)
}

async fn serve(
    listeners: Vec<TcpListener>,
    control: Option<ControlSocket>,
    answers: Answers,
    shared: Shared,
    mut tokens: watch::Receiver<Option<Token>>,
) -> io::Result<()> {
    let answers = Rc::new(answers);
    for listener in listeners {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        spawn_local(http::serve(listener, Rc::clone(&answers)));
    }
    if let Some(socket) = control {
        spawn_local(control::serve(socket.listen()?, socket, shared));
    }
    // Until the watching thread lets go of its end.
    while tokens.changed().await.is_ok() {}
    Ok(())
}

impl ServerThread {
    /// Takes what a reload may change.
    pub(crate) fn reload(&self, settings: &Settings) {
        if self.exposed && settings.token.is_none() {
            error!("HTTP is served to other machines: the token in force stays");
            return;
        }
        self.token.send_replace(settings.token.clone());
    }

    /// Ends all conversations and takes the sockets away.
    pub(crate) fn end(self) {
        drop(self.token);
        if self.thread.join().is_err() {
            error!("the thread that shows has panicked");
        }
    }
}
