//! The relay's own metrics, in the format of Prometheus.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::spawn_local;
use tokio::time::timeout;
use tracing::info;

/// The time limit for a connection to the metrics.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// The maximum number of connections to the metrics at the same time.
const MOST_CONNECTIONS: usize = 64;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(Cell<u64>);

impl Count {
    pub(crate) fn one(&self) {
        self.add(1);
    }

    pub(crate) fn add(&self, more: u64) {
        self.0.set(self.0.get().saturating_add(more));
    }
}

/// What the relay has done.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub(crate) connected: Cell<bool>,
    pub(crate) connections: Count,
    pub(crate) connect_failures: Count,
    /// Messages that a stream has stored.
    pub(crate) published: Count,
    /// Of them, those that it had stored before.
    pub(crate) duplicates: Count,
    /// Messages that could not be published at the first try.
    pub(crate) refused: Count,
    pub(crate) records: Count,
    /// How often records were removed before they were published.
    pub(crate) overtaken: Count,
    /// Parts of the history that were damaged.
    pub(crate) damaged: Count,
    pub(crate) history_errors: Count,
    pub(crate) cursor_errors: Count,
    pub(crate) requests: Count,
    pub(crate) failed_requests: Count,
    /// Messages that are read, but not stored by a stream yet.
    pub(crate) waiting: Cell<usize>,
    /// When the first of them was recorded, in nanoseconds since 1970.
    pub(crate) oldest_ns: Cell<Option<u64>>,
}

impl Metrics {
    fn text(&self) -> String {
        let behind = self.oldest_ns.get().map_or(Duration::ZERO, |oldest| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            now.saturating_sub(Duration::from_nanos(oldest))
        });
        let mut text = format!(
            "# HELP varta_relay_build_info The version of varta-relay.\n\
             # TYPE varta_relay_build_info gauge\n\
             varta_relay_build_info{{version=\"{}\"}} 1\n",
            env!("CARGO_PKG_VERSION")
        );
        let mut put = |name: &str, kind: &str, help: &str, value: &str| {
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "# HELP varta_relay_{name} {help}\n# TYPE varta_relay_{name} {kind}\n\
                 varta_relay_{name} {value}\n"
            );
        };
        let gauges = [
            ("connected", "Whether there is a connection to NATS.", {
                u64::from(self.connected.get()).to_string()
            }),
            ("waiting_messages", "Messages that are not confirmed by a stream yet.", {
                self.waiting.get().to_string()
            }),
            (
                "behind_seconds",
                "Age of the oldest transition that no stream has confirmed yet; 0 if all are confirmed.",
                format!("{:.3}", behind.as_secs_f64()),
            ),
        ];
        for (name, help, value) in gauges {
            put(name, "gauge", help, &value);
        }
        let counters = [
            ("connections", "Connections to NATS that were opened.", &self.connections),
            (
                "connect_failures",
                "Connections to NATS that could not be opened.",
                &self.connect_failures,
            ),
            ("published", "Messages that a stream has confirmed.", &self.published),
            (
                "duplicates",
                "Confirmed messages that the stream had stored before, except those in batches.",
                &self.duplicates,
            ),
            (
                "refused",
                "Messages that no stream confirmed, and that were sent again.",
                &self.refused,
            ),
            ("records", "Records of the history that were read.", &self.records),
            (
                "overtaken",
                "How often records were removed from the history before they were published.",
                &self.overtaken,
            ),
            ("damaged", "Damaged parts of the history, which were left out.", &self.damaged),
            ("history_errors", "Failures to read the history.", &self.history_errors),
            ("cursor_errors", "Failures to write the cursor file.", &self.cursor_errors),
            ("requests", "Requests for the agents of this host.", &self.requests),
            (
                "failed_requests",
                "Of them, those that the daemon did not answer.",
                &self.failed_requests,
            ),
        ];
        for (name, help, count) in counters {
            put(&format!("{name}_total"), "counter", help, &count.0.get().to_string());
        }
        text
    }
}

/// Serves the metrics until the program ends.
pub(crate) async fn serve(address: SocketAddr, metrics: Rc<Metrics>) -> Result<(), String> {
    let failed = |error| format!("--metrics-addr {address}: {error}");
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    info!("metrics at http://{}/metrics", listener.local_addr().map_err(failed)?);
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    spawn_local(async move {
        loop {
            // Further connections wait in the queue of the socket.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                // There may be too many open files for the moment.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let metrics = Rc::clone(&metrics);
            let answer = service_fn(move |request| {
                let answer = answer(&metrics, &request);
                async { Ok::<_, Infallible>(answer) }
            });
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(CONNECTION_TIMEOUT);
            let connection = http.serve_connection(TokioIo::new(stream), answer);
            // Clients that leave early are no concern of ours.
            spawn_local(async {
                let _ = timeout(CONNECTION_TIMEOUT, connection).await;
                drop(place);
            });
        }
    });
    Ok(())
}

fn answer(metrics: &Metrics, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let (status, text) = match request.uri().path() {
        "/metrics" => (StatusCode::OK, metrics.text()),
        "/healthz" => (StatusCode::OK, "running\n".to_owned()),
        _ => {
            let text = "not found; valid paths are /healthz and /metrics\n";
            (StatusCode::NOT_FOUND, text.to_owned())
        }
    };
    let mut answer = Response::new(Full::new(text.into()));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}
