//! The responses to HTTP requests.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use subtle::ConstantTimeEq;
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::body::Parts;
use super::host;
use super::limits::Limits;
use super::places::Place;
use super::rendering::Rendering;
use crate::config::Token;
use crate::server::control::protocol::Report;
use crate::server::last_day::LastDay;
use crate::server::metrics::{Collect, Format, Metrics};
use crate::state::counters;
use crate::state::{Shared, Snapshot};

/// The time limit for the event loop to reply.
const STUCK: Duration = Duration::from_secs(2);

const PAGE: &str = include_str!("../page/page.html");

/// The page loads nothing from other places, and other pages cannot embed it.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
    script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

type Answer = Response<Parts>;

/// Answers requests.
#[derive(Debug)]
pub(crate) struct Answers {
    shared: Shared,
    last_day: Arc<LastDay>,
    metrics: RefCell<Metrics>,
    limits: RefCell<Limits>,
    token: watch::Receiver<Option<Token>>,
    /// Host names of this server, besides its addresses and localhost.
    names: Vec<String>,
    scrape_budget: Duration,
    /// The pending snapshot.
    pending: RefCell<Option<watch::Receiver<Pending>>>,
    renderings: RefCell<HashMap<Kind, Rendering>>,
}

/// What a body shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Metrics(Format, Collect),
    Agents,
}

impl Kind {
    const fn content_type(self) -> &'static str {
        match self {
            Self::Metrics(format, _) => format.content_type(),
            Self::Agents => "application/json",
        }
    }
}

/// None while the snapshot is pending, and `Some(None)` if the event loop did not reply.
type Pending = Option<Option<Arc<Snapshot>>>;

impl Answers {
    pub(crate) fn new(
        (shared, last_day): (Shared, Arc<LastDay>),
        metrics: Metrics,
        (per_second, burst): (u32, u32),
        token: watch::Receiver<Option<Token>>,
        names: Vec<String>,
        scrape_budget: Duration,
    ) -> Self {
        Self {
            shared,
            last_day,
            metrics: RefCell::new(metrics),
            limits: RefCell::new(Limits::new(per_second, burst)),
            token,
            names,
            scrape_budget,
            pending: RefCell::default(),
            renderings: RefCell::default(),
        }
    }

    pub(super) fn counters(&self) -> &counters::Http {
        &self.shared.counters().http
    }

    pub(super) async fn answer(
        &self,
        from: IpAddr,
        place: &Place,
        request: &Request<Incoming>,
    ) -> Answer {
        self.counters().requests.one();
        let has_token = self.has_token(request);
        if has_token {
            place.trust();
        }
        if !self.limits.borrow_mut().admit((from.into(), has_token), Instant::now()) {
            self.counters().over_rate.one();
            return too_many_requests();
        }
        if let Some(refused) = self.refuse_host(request) {
            return refused;
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer =
                text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are supported\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            answer.headers_mut().insert(header::ALLOW, allowed);
            return answer;
        }
        match request.uri().path() {
            // The page contains no secrets: it asks for the token itself.
            "/" => page(),
            "/healthz" => self.health().await,
            "/metrics" | "/agents" if self.needs_token() && !has_token => {
                self.counters().auth_failures.one();
                unauthorized()
            }
            "/metrics" => self.metrics(request).await,
            "/agents" => self.agents().await,
            _ => text(
                StatusCode::NOT_FOUND,
                "not found; valid paths are /, /agents, /healthz and /metrics\n",
            ),
        }
    }

    fn needs_token(&self) -> bool {
        self.token.borrow().is_some()
    }

    fn has_token(&self, request: &Request<Incoming>) -> bool {
        let token = self.token.borrow();
        let Some(token) = token.as_ref() else { return false };
        let header = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let header = header.and_then(|header| header.split_at_checked(7));
        header.is_some_and(|(scheme, given)| {
            scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(given.ct_eq(token.as_bytes()))
        })
    }

    /// Keeps out pages of other sites: by the host name if there is no token.
    fn refuse_host(&self, request: &Request<Incoming>) -> Option<Answer> {
        match host::authority(request) {
            Err(status) => Some(text(
                status,
                "the request needs exactly one Host header, equal to the target's authority\n",
            )),
            Ok(Some(name)) if !self.needs_token() && !host::is_ours(&name, &self.names) => {
                Some(misdirected())
            }
            Ok(_) => None,
        }
    }

    /// Returns a snapshot. Requests that wait at the same time share one.
    async fn snapshot(&self) -> Option<Arc<Snapshot>> {
        let mut pending = self.pending();
        match pending.wait_for(Option::is_some).await {
            Ok(snapshot) => snapshot.clone().flatten(),
            Err(_) => None,
        }
    }

    fn pending(&self) -> watch::Receiver<Pending> {
        let mut latest = self.pending.borrow_mut();
        if let Some(pending) = latest.as_ref().filter(|it| it.borrow().is_none()) {
            return pending.clone();
        }
        let (answer, pending) = watch::channel(None);
        let shared = self.shared.clone();
        spawn_local(async move {
            let snapshot = match shared.snapshot() {
                Some(reply) => timeout(STUCK, reply).await.ok().and_then(Result::ok),
                None => None,
            };
            answer.send_replace(Some(snapshot));
        });
        *latest = Some(pending.clone());
        pending
    }

    async fn health(&self) -> Answer {
        match self.snapshot().await {
            Some(_) => text(StatusCode::OK, "watching\n"),
            None => busy(),
        }
    }

    async fn metrics(&self, request: &Request<Incoming>) -> Answer {
        let began = Instant::now();
        let accept = request.headers().get(header::ACCEPT);
        let accept = accept.and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let format = Format::accepted(accept);
        let collect = match Collect::from_query(request.uri().query()) {
            Ok(collect) => collect,
            Err(error) => return text(StatusCode::BAD_REQUEST, &error),
        };
        let answer = self.respond(Kind::Metrics(format, collect), |snapshot| {
            let counters = self.shared.counters();
            Ok(self.metrics.borrow_mut().write(snapshot, counters, format, collect))
        });
        let answer = answer.await;
        if answer.status() != StatusCode::OK {
            return answer;
        }
        let took = began.elapsed();
        self.counters().took.note(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        if took > self.scrape_budget {
            self.counters().over_budget.one();
        }
        answer
    }

    async fn agents(&self) -> Answer {
        let answer = self.respond(Kind::Agents, |snapshot| {
            let json = serde_json::to_vec(&Report::of(snapshot, &self.last_day.strips()))?;
            Ok(vec![Bytes::from(json)])
        });
        answer.await
    }

    /// Responds with a body that another request is still sending, or with a new one.
    async fn respond(
        &self,
        kind: Kind,
        write: impl FnOnce(&Snapshot) -> serde_json::Result<Vec<Bytes>>,
    ) -> Answer {
        let repeated = &self.counters().repeated;
        let content_type = kind.content_type();
        let shared = self.renderings.borrow().get(&kind).and_then(Rendering::shared);
        if let Some(shared) = shared {
            repeated.one();
            return answer(StatusCode::OK, content_type, shared);
        }
        let Some(snapshot) = self.snapshot().await else { return busy() };
        let mut renderings = self.renderings.borrow_mut();
        let rendering = renderings.entry(kind).or_default();
        // Another request may have written it while this one waited.
        if let Some(written) = rendering.shared().or_else(|| rendering.of(&snapshot)) {
            repeated.one();
            return answer(StatusCode::OK, content_type, written);
        }
        match write(&snapshot) {
            Ok(written) => {
                let body = rendering.keep(Arc::downgrade(&snapshot), written);
                answer(StatusCode::OK, content_type, body)
            }
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error}\n")),
        }
    }
}

fn answer(status: StatusCode, kind: &'static str, body: impl Into<Parts>) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let no_guess = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, no_guess);
    answer
}

fn text(status: StatusCode, text: &str) -> Answer {
    answer(status, "text/plain; charset=utf-8", Bytes::copy_from_slice(text.as_bytes()))
}

fn page() -> Answer {
    let body = Bytes::from_static(PAGE.as_bytes());
    let mut answer = answer(StatusCode::OK, "text/html; charset=utf-8", body);
    let policy = HeaderValue::from_static(PAGE_POLICY);
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    answer
}

fn unauthorized() -> Answer {
    let mut answer = text(StatusCode::UNAUTHORIZED, "a bearer token is required\n");
    let scheme = HeaderValue::from_static("Bearer realm=\"varta\"");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    answer
}

fn misdirected() -> Answer {
    let why = "the Host header is neither an IP address nor localhost nor set by --http-host\n";
    text(StatusCode::MISDIRECTED_REQUEST, why)
}

fn too_many_requests() -> Answer {
    let mut answer = text(StatusCode::TOO_MANY_REQUESTS, "too many requests\n");
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

/// The event loop is ending or stuck.
fn busy() -> Answer {
    text(StatusCode::SERVICE_UNAVAILABLE, "the event loop does not respond\n")
}
