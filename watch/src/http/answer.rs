//! What is answered to a request.

use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use subtle::ConstantTimeEq;
use tokio::sync::watch;
use tokio::time::timeout;

use super::body::Parts;
use super::limits::{Limits, Verdict};
use crate::config::Token;
use crate::control::protocol::Report;
use crate::metrics::{Format, Metrics};
use crate::state::{Shared, Snapshot};
use crate::tallies;

/// How long the watching thread may take to answer before it is called stuck.
const STUCK: Duration = Duration::from_secs(2);

const PAGE: &str = include_str!("../page/page.html");

/// The page loads nothing from anywhere, and is shown within no other.
const PAGE_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; \
    script-src 'unsafe-inline'; connect-src 'self'; img-src data:; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'none'";

type Answer = Response<Parts>;

/// Answers requests.
#[derive(Debug)]
pub(crate) struct Answers {
    shared: Shared,
    metrics: RefCell<Metrics>,
    limits: RefCell<Limits>,
    token: watch::Receiver<Option<Token>>,
    scrape_budget: Duration,
}

impl Answers {
    pub(crate) fn new(
        shared: Shared,
        metrics: Metrics,
        (per_second, burst): (u32, u32),
        token: watch::Receiver<Option<Token>>,
        scrape_budget: Duration,
    ) -> Self {
        let limits = RefCell::new(Limits::new(per_second, burst));
        Self { shared, metrics: RefCell::new(metrics), limits, token, scrape_budget }
    }

    pub(super) fn tallies(&self) -> &tallies::Http {
        &self.shared.tallies().http
    }

    pub(super) async fn answer(&self, from: IpAddr, request: &Request<Incoming>) -> Answer {
        self.tallies().requests.one();
        match self.limits.borrow_mut().ask(from.into(), Instant::now()) {
            Verdict::Welcome => {}
            Verdict::TooOften => {
                self.tallies().over_rate.one();
                return too_often();
            }
            Verdict::Crowded => {
                self.tallies().table_full.one();
                return too_often();
            }
        }
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n");
            let allowed = HeaderValue::from_static("GET, HEAD");
            answer.headers_mut().insert(header::ALLOW, allowed);
            return answer;
        }
        match request.uri().path() {
            // The page holds nothing secret: it asks for the token itself.
            "/" => page(),
            "/healthz" => self.health().await,
            "/metrics" | "/agents" if !self.may(request) => {
                self.tallies().auth_failures.one();
                unauthorized()
            }
            "/metrics" => self.metrics(request).await,
            "/agents" => self.agents().await,
            _ => text(StatusCode::NOT_FOUND, "there are /, /agents, /healthz and /metrics\n"),
        }
    }

    /// Whether a request holds the token, if there is one.
    fn may(&self, request: &Request<Incoming>) -> bool {
        let token = self.token.borrow();
        let Some(token) = token.as_ref() else { return true };
        let said = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let said = said.and_then(|said| said.split_at_checked(7));
        said.is_some_and(|(scheme, said)| {
            scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(said.ct_eq(token.as_bytes()))
        })
    }

    async fn snapshot(&self) -> Option<Arc<Snapshot>> {
        timeout(STUCK, self.shared.snapshot()?).await.ok()?.ok()
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
        let Some(snapshot) = self.snapshot().await else { return busy() };
        let tallies = self.shared.tallies();
        let written = self.metrics.borrow_mut().write(&snapshot, tallies, format);
        let took = began.elapsed();
        self.tallies().took.note(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        if took > self.scrape_budget {
            self.tallies().over_budget.one();
        }
        answer(StatusCode::OK, format.content_type(), written)
    }

    async fn agents(&self) -> Answer {
        let Some(snapshot) = self.snapshot().await else { return busy() };
        match serde_json::to_vec(&Report::of(&snapshot)) {
            Ok(json) => answer(StatusCode::OK, "application/json", Bytes::from(json)),
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
    let mut answer = text(StatusCode::UNAUTHORIZED, "a bearer token is needed\n");
    let scheme = HeaderValue::from_static("Bearer realm=\"varta\"");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
    answer
}

fn too_often() -> Answer {
    let mut answer = text(StatusCode::TOO_MANY_REQUESTS, "asked too often\n");
    answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

/// The watching thread ends, or does not answer.
fn busy() -> Answer {
    text(StatusCode::SERVICE_UNAVAILABLE, "the watching thread does not answer\n")
}
