//! The only HTTP client. No redirects, no hidden retries, one time-out, a size limit, and the verdict of a
//! failed transport: did a byte of the request leave or not?

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use serde_json::Value;
use tokio::sync::Semaphore;

use super::verdict::CallError;
use crate::model::failpoint::{Point, reach};

/// Largest answer read from any edge.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;

/// How a client behaves towards one edge.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Name of the desk or source, for messages.
    pub edge: String,
    /// From the first byte to the last of the answer.
    pub timeout: Duration,
    /// Calls at the same time.
    pub max_in_flight: usize,
    /// Calls per second; none: as fast as they come.
    pub per_second: Option<NonZeroU32>,
    /// A further root certificate (PEM), for desks with a private CA.
    pub ca_pem: Option<Vec<u8>>,
}

impl ClientSettings {
    /// Sensible behaviour for an edge: 30 s, 8 in flight, no rate.
    #[must_use]
    pub fn for_edge(edge: &str) -> Self {
        Self { edge: edge.to_owned(), timeout: Duration::from_secs(30), max_in_flight: 8, per_second: None, ca_pem: None }
    }
}

/// A client for one edge: its connections, its limits.
#[derive(Debug, Clone)]
pub struct HttpClient {
    inner: reqwest::Client,
    settings: Arc<ClientSettings>,
    slots: Arc<Semaphore>,
    rate: Option<Arc<DefaultDirectRateLimiter>>,
}

/// One request.
#[derive(Debug, Clone)]
pub struct Call {
    /// `GET`, `POST` …
    pub method: &'static str,
    /// Absolute address.
    pub url: String,
    /// Appended to the address, percent-encoded.
    pub query: Vec<(String, String)>,
    /// Header names and values; values may be secrets and are never logged.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
}

/// Body of a request.
#[derive(Debug, Clone, Default)]
pub enum Body {
    /// None.
    #[default]
    Empty,
    /// `application/json`.
    Json(Value),
    /// `application/x-www-form-urlencoded`.
    Form(Vec<(String, String)>),
    /// Raw bytes with their content type.
    Raw(&'static str, Vec<u8>),
}

impl Call {
    /// A call without headers or body.
    #[must_use]
    pub fn new(method: &'static str, url: impl Into<String>) -> Self {
        Self { method, url: url.into(), query: Vec::new(), headers: Vec::new(), body: Body::Empty }
    }

    /// With a query parameter.
    #[must_use]
    pub fn query(mut self, name: &str, value: impl Into<String>) -> Self {
        self.query.push((name.to_owned(), value.into()));
        self
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// With a JSON body.
    #[must_use]
    pub fn json(mut self, body: Value) -> Self {
        self.body = Body::Json(body);
        self
    }
}

/// A complete answer of any status.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header names in lower case; several `Set-Cookie` stand one a line.
    pub headers: BTreeMap<String, String>,
    /// Raw body.
    pub body: Vec<u8>,
}

/// By name. Cookies are the one header of which every line counts and that cannot be joined by commas.
fn gathered(headers: &reqwest::header::HeaderMap) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value.as_bytes());
        match all.get_mut(name.as_str()) {
            Some(lines) if name == reqwest::header::SET_COOKIE => {
                lines.push('\n');
                lines.push_str(&value);
            }
            _ => drop(all.insert(name.as_str().to_owned(), value.into_owned())),
        }
    }
    all
}

impl Answer {
    /// 2xx.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The body as JSON, whatever the content type claims; `None` when it is not JSON.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }

    /// How long the other side asks us to wait: Retry-After in seconds or as an HTTP date; without it, on a 429, the
    /// reset header of its limit (seconds, unix seconds, or ISO 8601, as GitHub, `ServiceNow` and Jira write it). Dates
    /// count from the answer's own `Date`, so that no clock of ours matters. At most a day.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let reset = || ["x-ratelimit-reset", "ratelimit-reset", "x-rate-limit-reset"].iter().find_map(|name| self.header(name));
        let text = match self.header("retry-after") {
            Some(text) => text.trim(),
            None if self.status == 429 => reset()?.trim(),
            None => return None,
        };
        let until = |at: chrono::DateTime<chrono::FixedOffset>| {
            let from = chrono::DateTime::parse_from_rfc2822(self.header("date")?).ok()?;
            (at - from).to_std().ok()
        };
        let asked = match text.parse::<i64>() {
            // No wait is that long: it is a moment, not a span.
            Ok(unix) if unix > 1_000_000_000 => until(chrono::DateTime::from_timestamp(unix, 0)?.fixed_offset()),
            Ok(secs) => u64::try_from(secs).ok().map(Duration::from_secs),
            Err(_) => {
                until(chrono::DateTime::parse_from_rfc2822(text).or_else(|_| chrono::DateTime::parse_from_rfc3339(text)).ok()?)
            }
        };
        asked.map(|wait| wait.min(Duration::from_secs(86_400)))
    }
}

/// How many equal processes share the limits of every edge.
static SHARERS: AtomicU32 = AtomicU32::new(1);

/// From now on this process takes one part in so many of every edge's limits: of its rate, and of its calls at the same time.
pub fn share_limits(processes: u32) {
    SHARERS.store(processes.max(1), Ordering::Relaxed);
}

/// How many calls this process may make to an edge at the same time, of so many that all may: one at least.
#[must_use]
pub fn share_in_flight(max_in_flight: usize) -> usize {
    part_of(max_in_flight, SHARERS.load(Ordering::Relaxed))
}

fn part_of(max_in_flight: usize, sharers: u32) -> usize {
    max_in_flight.max(1) / usize::try_from(slots_of_a_call(max_in_flight, sharers)).unwrap_or(1)
}

/// A call takes one slot for each process that shares them, but never more than there are.
fn slots_of_a_call(max_in_flight: usize, sharers: u32) -> u32 {
    sharers.clamp(1, u32::try_from(max_in_flight.max(1)).unwrap_or(u32::MAX))
}

/// Waits until this process's share allows a call: each counts as often as there are sharers.
async fn share_of(rate: &DefaultDirectRateLimiter, per_second: Option<NonZeroU32>) {
    let most = per_second.map_or(1, NonZeroU32::get);
    let mut left = SHARERS.load(Ordering::Relaxed);
    while let Some(cells) = NonZeroU32::new(left.min(most)) {
        // Never more than the rate itself holds, so that it cannot be refused.
        let _ = rate.until_n_ready(cells).await;
        left -= cells.get();
    }
}

impl HttpClient {
    /// Builds the client of one edge.
    ///
    /// # Errors
    /// When the extra root certificate is not PEM.
    #[expect(clippy::disallowed_methods, reason = "the one place where the client is built")]
    pub fn new(settings: ClientSettings) -> Result<Self, String> {
        // Already installed by another edge: the same provider, so nothing to do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .timeout(settings.timeout)
            .connect_timeout(settings.timeout.min(Duration::from_secs(10)))
            .pool_max_idle_per_host(settings.max_in_flight.max(1))
            .user_agent(concat!("lastmile/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = &settings.ca_pem {
            let certificate =
                reqwest::Certificate::from_pem(pem).map_err(|e| format!("the root certificate cannot be read: {e}"))?;
            builder = builder.add_root_certificate(certificate);
        }
        let inner = builder.build().map_err(|e| format!("the HTTP client cannot be built: {e}"))?;
        let slots = Arc::new(Semaphore::new(settings.max_in_flight.max(1)));
        let rate = settings.per_second.map(|n| Arc::new(RateLimiter::direct(Quota::per_second(n))));
        Ok(Self { inner, settings: Arc::new(settings), slots, rate })
    }

    /// The edge's name.
    #[must_use]
    pub fn edge(&self) -> &str {
        &self.settings.edge
    }

    /// The client's time-out: part of every quiet period.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    /// Sends the call and reads the whole answer. Any status is `Ok`: what it means is the edge's business.
    ///
    /// # Errors
    /// `Retry` when no byte of the request left (refused, DNS, TLS); `Unclear` when it broke or timed out later.
    pub async fn send(&self, call: Call) -> Result<Answer, CallError> {
        if let Some(rate) = &self.rate {
            share_of(rate, self.settings.per_second).await;
        }
        let slots = slots_of_a_call(self.settings.max_in_flight, SHARERS.load(Ordering::Relaxed));
        let _slots = self.slots.acquire_many(slots).await.map_err(|_| CallError::retry("E-STOPPING", "the client is closed"))?;
        let method =
            reqwest::Method::from_bytes(call.method.as_bytes()).map_err(|_| CallError::reject("E-CONFIG", "bad method"))?;
        let mut request = self.inner.request(method, &call.url);
        if !call.query.is_empty() {
            request = request.query(&call.query);
        }
        for (name, value) in &call.headers {
            request = request.header(name, value);
        }
        request = match call.body {
            Body::Empty => request,
            Body::Json(value) => request.json(&value),
            Body::Form(pairs) => request.form(&pairs),
            Body::Raw(content_type, bytes) => request.header("content-type", content_type).body(bytes),
        };
        reach(Point::CallStarts).await;
        super::gate::may_send()?;
        let response = request.send().await.map_err(|e| self.transport(&e))?;
        reach(Point::AnswerBegins).await;
        let status = response.status().as_u16();
        let headers = gathered(response.headers());
        let mut body = Vec::new();
        let mut response = response;
        while let Some(chunk) = response.chunk().await.map_err(|e| self.transport(&e))? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(CallError::unclear("E-TOO-LARGE", format!("{} sent an answer beyond 16 MiB", self.edge())));
            }
            body.extend_from_slice(&chunk);
        }
        reach(Point::AnswerEnds).await;
        Ok(Answer { status, headers, body })
    }

    fn transport(&self, error: &reqwest::Error) -> CallError {
        let edge = self.edge();
        if error.is_builder() {
            return CallError::reject(
                "E-CONFIG",
                format!("the request to {edge} cannot be built: check its address and headers"),
            );
        }
        if error.is_connect() {
            return CallError::retry("E-CONNECT", format!("{edge} cannot be reached"));
        }
        if error.is_timeout() {
            return CallError::unclear("E-TIMEOUT", format!("{edge} did not answer in time"));
        }
        CallError::unclear("E-BROKEN", format!("the connection to {edge} broke before its answer was complete"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_share_the_slots_of_an_edge() {
        for (max, sharers, each) in [(8, 1, 8), (8, 2, 4), (8, 3, 2), (4, 3, 1), (4, 9, 1), (1, 2, 1), (0, 1, 1), (8, 0, 8)] {
            assert_eq!(part_of(max, sharers), each, "{sharers} of {max}");
        }
    }

    #[tokio::test]
    async fn a_call_holds_the_slots_of_all_that_share_them() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let client = HttpClient::new(ClientSettings { max_in_flight: 6, ..ClientSettings::for_edge("test") }).unwrap();
        share_limits(3);
        let sending = |n: u32| {
            let (client, call) = (client.clone(), Call::new("GET", format!("{url}{n}")));
            tokio::spawn(async move { client.send(call).await })
        };
        // Two calls whose answers never come: each is on its way when its connection is there.
        let calls = [sending(1), sending(2)];
        let _open = (listener.accept().await.unwrap(), listener.accept().await.unwrap());
        share_limits(1);
        assert_eq!(client.slots.available_permits(), 0, "two calls of three processes are six");
        calls.iter().for_each(tokio::task::JoinHandle::abort);
    }

    fn asked(status: u16, headers: &[(&str, &str)]) -> Option<u64> {
        let mut all: BTreeMap<String, String> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        all.insert("date".to_owned(), "Wed, 25 Nov 2026 20:00:00 GMT".to_owned());
        Answer { status, headers: all, body: Vec::new() }.retry_after().map(|d| d.as_secs())
    }

    #[test]
    fn every_way_to_ask_for_patience_is_understood() {
        assert_eq!(asked(429, &[("retry-after", "7")]), Some(7));
        assert_eq!(asked(503, &[("retry-after", "Wed, 25 Nov 2026 20:02:00 GMT")]), Some(120));
        assert_eq!(asked(429, &[("x-ratelimit-reset", "30")]), Some(30));
        assert_eq!(asked(429, &[("x-ratelimit-reset", "1795636860")]), Some(60));
        assert_eq!(asked(429, &[("x-ratelimit-reset", "2026-11-25T20:01Z")]), None, "no seconds: not RFC 3339");
        assert_eq!(asked(429, &[("x-ratelimit-reset", "2026-11-25T20:01:00Z")]), Some(60));
        assert_eq!(asked(429, &[("retry-after", "3"), ("x-ratelimit-reset", "30")]), Some(3));
        assert_eq!(asked(200, &[("x-ratelimit-reset", "30")]), None, "a limit that was not hit asks nothing");
        assert_eq!(asked(429, &[("retry-after", "99999999")]), Some(86_400));
        assert_eq!(asked(429, &[("retry-after", "-5")]), None);
        assert_eq!(asked(429, &[("retry-after", "Wed, 25 Nov 2026 19:00:00 GMT")]), None, "that was an hour ago");
    }
}
