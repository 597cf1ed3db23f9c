//! Answers requests for the agents of this host with what the daemon shows at /agents.

use std::cell::RefCell;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::cli::{Flags, secret};
use crate::message;
use crate::metrics::Metrics;
use crate::subject;

/// The maximum number of agents in an answer.
const PAGE: usize = 500;

/// The time limit for the daemon to answer.
const DAEMON_TIMEOUT: Duration = Duration::from_secs(5);

/// The maximum size of the daemon's answer.
const MOST_BYTES: usize = 256 << 20;

/// How long the pages of one list are cut from the same answer of the daemon.
const KEEP: Duration = Duration::from_secs(10);

/// The maximum number of requests that are answered at the same time.
const MOST_REQUESTS: usize = 16;

/// A request. An empty one asks for the first page.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    #[serde(default)]
    offset: usize,
}

/// Part of the agents, and what else the daemon shows.
#[derive(Debug, Serialize)]
struct Page<'a> {
    /// How many agents there are.
    total: usize,
    /// The number of agents before those of this page.
    offset: usize,
    agents: &'a [Value],
    /// Only in the first page.
    #[serde(flatten)]
    rest: Option<&'a Map<String, Value>>,
}

/// What the daemon showed.
#[derive(Debug)]
struct Report {
    agents: Vec<Value>,
    rest: Map<String, Value>,
}

/// Answers requests.
#[derive(Debug)]
pub(crate) struct Answers {
    subject: String,
    daemon: Rc<Daemon>,
    places: Rc<Semaphore>,
}

#[derive(Debug)]
struct Daemon {
    url: Uri,
    token_file: Option<std::path::PathBuf>,
    /// Its last answer.
    last: RefCell<Option<(Instant, Rc<Report>)>>,
    metrics: Rc<Metrics>,
}

impl Answers {
    /// What answers the requests for the agents of `host`, if the flags name the daemon's address.
    pub(crate) fn new(flags: &Flags, host: &str, metrics: &Rc<Metrics>) -> Option<Self> {
        let daemon = Daemon {
            url: flags.agents_url.clone()?,
            token_file: flags.agents_token_file.clone(),
            last: RefCell::default(),
            metrics: Rc::clone(metrics),
        };
        let places = Rc::new(Semaphore::new(MOST_REQUESTS));
        Some(Self { subject: subject::ask(host), daemon: Rc::new(daemon), places })
    }

    pub(crate) async fn subscribe(&self, client: &Client) -> Result<Subscriber, String> {
        let subscribed = client.subscribe(self.subject.clone()).await;
        subscribed.map_err(|error| format!("cannot subscribe to {}: {error}", self.subject))
    }

    /// The next request, if there is a subscription.
    pub(crate) async fn next(requests: Option<&mut Subscriber>) -> Option<async_nats::Message> {
        match requests {
            Some(requests) => requests.next().await,
            None => pending().await,
        }
    }

    /// Answers a request as soon as the daemon has answered. A request that does not say where to
    /// is ignored.
    pub(crate) fn answer(&self, client: &Client, request: async_nats::Message) {
        let Some(reply) = request.reply else { return };
        let (client, daemon) = (client.clone(), Rc::clone(&self.daemon));
        let places = Rc::clone(&self.places);
        spawn_local(async move {
            daemon.metrics.requests.one();
            let Ok(_place) = places.acquire().await else { return };
            // What is left besides the payload is for headers.
            let most = client.max_payload().saturating_sub(1024);
            let answer = match daemon.page(&request.payload, most).await {
                Ok(page) => page,
                Err(why) => {
                    daemon.metrics.failed_requests.one();
                    warn!("a request for the agents failed: {why}");
                    message::payload(&serde_json::json!({ "error": why }))
                }
            };
            // If the connection has ended, so has the request.
            let _ = client.publish(reply, answer).await;
        });
    }
}

impl Daemon {
    async fn page(&self, request: &[u8], most: usize) -> Result<Bytes, String> {
        let wanted: Wanted = match request {
            b"" => Wanted::default(),
            request => serde_json::from_slice(request)
                .map_err(|error| format!("send nothing or {{\"offset\":N}}: {error}"))?,
        };
        let report = self.report(wanted.offset > 0).await?;
        page(&report, wanted.offset, most)
    }

    /// What the daemon shows, or what it showed a moment ago.
    async fn report(&self, recent: bool) -> Result<Rc<Report>, String> {
        if let Some((at, report)) = &*self.last.borrow()
            && recent
            && at.elapsed() < KEEP
        {
            return Ok(Rc::clone(report));
        }
        let failed = |why| format!("the daemon at {}: {why}", self.url);
        let answer = timeout(DAEMON_TIMEOUT, self.fetch()).await;
        let body = answer.unwrap_or_else(|_| Err("no answer in 5 s".to_owned()));
        let body = body.map_err(failed)?;
        let mut rest: Map<String, Value> =
            serde_json::from_slice(&body).map_err(|error| failed(error.to_string()))?;
        let Some(Value::Array(agents)) = rest.remove("agents") else {
            return Err(failed("its answer lists no agents".to_owned()));
        };
        let report = Rc::new(Report { agents, rest });
        *self.last.borrow_mut() = Some((Instant::now(), Rc::clone(&report)));
        Ok(report)
    }

    async fn fetch(&self) -> Result<Bytes, String> {
        let shown = |error: hyper::Error| error.to_string();
        let host = self.url.host().unwrap_or_default();
        let port = self.url.port_u16().unwrap_or(80);
        let address = (host.trim_matches(['[', ']']), port);
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(shown)?;
        spawn_local(connection);
        let mut request = Request::get("/agents").header(HOST, format!("{host}:{port}"));
        if let Some(file) = &self.token_file {
            request = request.header(AUTHORIZATION, format!("Bearer {}", secret(file)?));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let answer = sender.send_request(request).await.map_err(shown)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                return Err("it wants its token; set --agents-token-file".to_owned());
            }
            status => return Err(format!("it answered {status}")),
        }
        let body = Limited::new(answer.into_body(), MOST_BYTES).collect().await;
        body.map(|body| body.to_bytes()).map_err(|error| error.to_string())
    }
}

/// The page of the agents from `offset` on that has at most `most` bytes.
fn page(report: &Report, offset: usize, most: usize) -> Result<Bytes, String> {
    let after = report.agents.get(offset..).unwrap_or_default();
    let mut length = after.len().min(PAGE);
    let rest = (offset == 0).then_some(&report.rest);
    loop {
        let agents = after.get(..length).unwrap_or_default();
        let page = Page { total: report.agents.len(), offset, agents, rest };
        let page = serde_json::to_vec(&page).map_err(|error| error.to_string())?;
        if page.len() <= most {
            return Ok(page.into());
        }
        if length <= 1 {
            return Err(format!(
                "an answer would be longer than the {most} bytes of a message"
            ));
        }
        length /= 2;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(agents: usize) -> Report {
        let agents = (0..agents).map(|number| json!({ "agent": number })).collect();
        let Value::Object(rest) = json!({ "uptime_ms": 5 }) else { unreachable!() };
        Report { agents, rest }
    }

    /// The number of agents of each page, as a client that asks for all of them sees it.
    fn pages(report: &Report, most: usize) -> Vec<usize> {
        let (mut lengths, mut offset) = (Vec::new(), 0);
        loop {
            let page: Value =
                serde_json::from_slice(&page(report, offset, most).unwrap()).unwrap();
            assert_eq!(page["total"], report.agents.len());
            assert_eq!(page.get("uptime_ms").is_some(), offset == 0);
            let agents = page["agents"].as_array().unwrap();
            for (at, agent) in agents.iter().enumerate() {
                assert_eq!(agent["agent"], offset + at);
            }
            lengths.push(agents.len());
            offset += agents.len();
            if offset >= report.agents.len() {
                return lengths;
            }
        }
    }

    #[test]
    fn agents_are_listed_in_pages_of_500() {
        assert_eq!(pages(&report(0), 1 << 20), [0]);
        assert_eq!(pages(&report(500), 1 << 20), [500]);
        assert_eq!(pages(&report(1201), 1 << 20), [500, 500, 201]);
    }

    #[test]
    fn pages_are_shorter_if_a_message_has_no_room() {
        let lengths = pages(&report(600), 2_000);
        assert!(lengths.iter().all(|length| (1..500).contains(length)), "{lengths:?}");
        assert!(page(&report(1), 0, 20).unwrap_err().contains("20 bytes"));
    }
}
