//! The relay: connects, publishes, and connects again.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::rc::Rc;
use std::time::Duration;

use rustix::system::uname;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::Failure;
use crate::ask::Answers;
use crate::backlog::Backlog;
use crate::cli::Flags;
use crate::connection::Nats;
use crate::cursor_file::CursorFile;
use crate::metrics::{self, Metrics};
use crate::new_records::NewRecords;
use crate::session;

/// The first wait before another attempt to connect, and the longest one.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// A connection that lasted for this long was a good one.
const GOOD: Duration = Duration::from_secs(10);

/// Runs until a signal asks for the end.
pub(crate) async fn run(nats: &Nats, flags: Flags) -> Result<(), Failure> {
    nats.check().map_err(Failure::bad_arguments)?;
    flags.check().map_err(Failure::bad_arguments)?;
    let metrics = Rc::new(Metrics::default());
    let file = CursorFile::new(&flags.cursor_file);
    let mut backlog =
        Backlog::open(&flags.history_dir, file, Rc::clone(&metrics)).map_err(Failure::new)?;
    if let Some(address) = flags.metrics_addr {
        metrics::serve(address, Rc::clone(&metrics)).await.map_err(Failure::new)?;
    }
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::new)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::new)?;
    tokio::select! {
        () = publish(nats, &flags, &mut backlog, &metrics) => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // Messages that are not confirmed yet are sent again after the next start.
    backlog.save().await.map_err(Failure::new)
}

async fn publish(nats: &Nats, flags: &Flags, backlog: &mut Backlog, metrics: &Rc<Metrics>) {
    let host = flags.host.clone();
    let host = host.unwrap_or_else(|| uname().nodename().to_string_lossy().into_owned());
    let answers = Answers::new(flags, &host, metrics);
    let mut new_records = NewRecords::in_folder(&flags.history_dir);
    let (mut wait, mut reported) = (WAITS.0, String::new());
    loop {
        match nats.connect().await {
            Ok(connection) => {
                let info = connection.client.server_info();
                info!("connected to the server {} at {}", info.server_name, info.host);
                metrics.connections.one();
                metrics.connected.set(true);
                let began = Instant::now();
                let limits = (usize::from(flags.window), flags.create_stream);
                let why = session::run(
                    &connection,
                    backlog,
                    &mut new_records,
                    answers.as_ref(),
                    limits,
                );
                let why = why.await;
                metrics.connected.set(false);
                if began.elapsed() > GOOD {
                    wait = WAITS.0;
                }
                warn!("{why}; connecting again");
                reported.clear();
            }
            Err(why) => {
                metrics.connect_failures.one();
                if reported != why {
                    warn!("{why}");
                    reported = why;
                }
            }
        }
        // So that the metrics show how far behind the relay is.
        backlog.read_ahead();
        sleep(wait.mul_f64(jitter())).await;
        wait = (wait * 2).min(WAITS.1);
    }
}

/// A random factor from 0.5 to 1, so that the relays of a fleet do not all connect at once.
fn jitter() -> f64 {
    let random = u8::try_from(RandomState::new().hash_one(0) % 128).unwrap_or_default();
    0.5 + f64::from(random) / 256.0
}
