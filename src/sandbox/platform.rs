//! A fake identity platform: places orders, sends them as signed webhooks until they are taken, lists them for
//! polling, and takes completions, counting what comes twice.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::platform_state::{PlatformState, Taken};
use crate::http::client::{Body, ClientSettings};
use crate::http::signature::{Scheme, sign_standard};
use crate::http::{Call, HttpClient, Inbound};
use crate::model::{Clock, Timestamp};

/// Secret of the platform's messages to lastmile.
pub const HOOK_SECRET: &str = "whsec_c2FuZGJveC1wbGF0Zm9ybS10by1sYXN0bWlsZS0wMDE=";
/// Secret of lastmile's reports to the platform.
pub const REPORT_SECRET: &str = "whsec_c2FuZGJveC1sYXN0bWlsZS10by1wbGF0Zm9ybS0wMDE=";
/// Client id for the lists; the secret is the bearer token itself.
pub const CLIENT_ID: &str = "lastmile";
/// Bearer token for the lists.
pub const LIST_TOKEN: &str = "sandbox-list-token";

/// Declared faults of the fake platform; switched while it runs.
#[derive(Debug, Default)]
pub struct PlatformFaults {
    /// The next so many reports are answered 500 without being taken.
    pub refuse_reports: AtomicU64,
    /// The next so many reports are taken, but answered 500.
    pub forget_answers: AtomicU64,
    /// The next so many lists, reports and steps are answered 429, for 60 seconds, without effect.
    pub slow_down: AtomicU64,
    /// Every report is answered 410.
    pub gone: AtomicBool,
    /// Every answer comes so many milliseconds late.
    pub slow_ms: AtomicU64,
    /// List pages from this one on (counted from 1, per round) are cut in the middle; 0: none.
    pub cut_page: AtomicU64,
}

/// A running fake platform. Dropping it stops it.
#[derive(Debug)]
pub struct SandboxPlatform {
    url: String,
    app: App,
    stop: CancellationToken,
}

#[derive(Debug, Clone)]
struct App {
    state: Arc<PlatformState>,
    faults: Arc<PlatformFaults>,
    clock: Arc<dyn Clock>,
    secrets: Arc<Mutex<Vec<SecretString>>>,
    report_scheme: Arc<Scheme>,
    client: HttpClient,
    pages: Arc<AtomicU64>,
}

impl SandboxPlatform {
    /// Starts a fake platform; port 0 takes a free one. With a state file, orders survive the process.
    ///
    /// # Errors
    /// When the address cannot be listened on or the state file cannot be used.
    pub async fn start(
        clock: Arc<dyn Clock>,
        state_file: Option<PathBuf>,
        listen: SocketAddr,
        faults: Arc<PlatformFaults>,
        seed: u64,
    ) -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(listen).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let settings = ClientSettings { timeout: Duration::from_secs(15), ..ClientSettings::for_edge("sandbox platform") };
        let app = App {
            state: Arc::new(PlatformState::open(seed, state_file.as_deref())?),
            faults,
            clock,
            secrets: Arc::new(Mutex::new(vec![SecretString::from(HOOK_SECRET)])),
            report_scheme: Arc::new(Scheme::StandardWebhooks {
                secrets: vec![SecretString::from(REPORT_SECRET)],
                public_keys: Vec::new(),
                tolerance_secs: 300,
            }),
            client: HttpClient::new(settings).map_err(std::io::Error::other)?,
            pages: Arc::default(),
        };
        let stop = CancellationToken::new();
        let (router, stopped) = (router(app.clone()), stop.clone().cancelled_owned());
        tokio::spawn(async move {
            if let Err(e) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
                tracing::error!(error = %e, "the sandbox platform stopped");
            }
        });
        Ok(Self { url, app, stop })
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it knows, with counts for oracles.
    #[must_use]
    pub fn state(&self) -> &Arc<PlatformState> {
        &self.app.state
    }

    /// Its faults.
    #[must_use]
    pub fn faults(&self) -> &Arc<PlatformFaults> {
        &self.app.faults
    }

    /// Places `n` further orders; gives their ids.
    pub fn order(&self, n: u64) -> Vec<String> {
        self.app.state.order(n, self.app.clock.now())
    }

    /// Signs with these secrets from now on, with each of them (a rotation uses two for a while).
    pub fn sign_with(&self, secrets: &[&str]) {
        let secrets = secrets.iter().map(|s| SecretString::from(*s)).collect();
        *self.app.secrets.lock().unwrap_or_else(PoisonError::into_inner) = secrets;
    }

    /// Headers and body of every message that waits, as it would be sent now.
    #[must_use]
    pub fn messages(&self) -> Vec<(BTreeMap<String, String>, Vec<u8>)> {
        let now = self.app.clock.now();
        self.app.state.waiting().into_iter().map(|m| (self.app.headers(&m.id, &m.body, now), m.body.into_bytes())).collect()
    }

    /// Sends every waiting message once, oldest first; gives how many had their 2xx.
    pub async fn deliver(&self, hook: &str) -> usize {
        self.app.deliver(hook).await
    }

    /// Sends messages until it is stopped: as soon as they come, and again after `pause` when refused.
    pub fn deliver_to(&self, hook: &str, pause: Duration) {
        let (app, hook, stop) = (self.app.clone(), hook.to_owned(), self.stop.clone());
        tokio::spawn(async move {
            while stop
                .run_until_cancelled(async {
                    app.deliver(&hook).await;
                    tokio::time::sleep(pause).await;
                })
                .await
                .is_some()
            {}
        });
    }
}

impl Drop for SandboxPlatform {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl App {
    fn headers(&self, id: &str, body: &str, now: Timestamp) -> BTreeMap<String, String> {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let signatures: Vec<String> = secrets.iter().filter_map(|s| sign_standard(s, id, now, body.as_bytes()).ok()).collect();
        BTreeMap::from([
            ("webhook-id".to_owned(), id.to_owned()),
            ("webhook-timestamp".to_owned(), now.0.div_euclid(1000).to_string()),
            ("webhook-signature".to_owned(), signatures.join(" ")),
        ])
    }

    async fn deliver(&self, hook: &str) -> usize {
        let mut taken = 0;
        for message in self.state.waiting() {
            let mut call = Call::new("POST", hook);
            call.headers.extend(self.headers(&message.id, &message.body, self.clock.now()));
            call.body = Body::Raw("application/json", message.body.into_bytes());
            match self.client.send(call).await {
                Ok(answer) if answer.is_success() => {
                    self.state.delivered(&message.id);
                    taken += 1;
                }
                Ok(answer) => tracing::debug!(status = answer.status, "lastmile did not take a message; it comes again"),
                // Nobody is there: the others would not arrive either.
                Err(_) => break,
            }
        }
        taken
    }

    async fn slow(&self) {
        let ms = self.faults.slow_ms.load(Ordering::SeqCst);
        if ms > 0 {
            tokio::time::sleep(Duration::from_millis(ms)).await;
        }
    }

    /// A page of a list, or the half of it where a fault says so.
    fn page(&self, first: bool, body: &Value, link: Option<String>) -> Response {
        if first {
            self.pages.store(0, Ordering::SeqCst);
        }
        let number = self.pages.fetch_add(1, Ordering::SeqCst) + 1;
        let cut = self.faults.cut_page.load(Ordering::SeqCst);
        let mut text = body.to_string();
        if cut > 0 && number >= cut {
            text.truncate(text.floor_char_boundary(text.len() / 2));
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
        if let Some(value) = link.and_then(|l| format!("<{l}>; rel=\"next\"").parse().ok()) {
            headers.insert(header::LINK, value);
        }
        (headers, text).into_response()
    }
}

/// Takes one from a counter that is above zero.
pub(super) fn take(counter: &AtomicU64) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
}

fn router(app: App) -> Router {
    Router::new()
        .route("/orders", get(orders))
        .route("/pending", get(pending))
        .route("/token", post(token))
        .route("/completions", post(completions))
        .route("/progress", post(progress))
        .route("/sandbox/count", get(count))
        .with_state(app)
}

type Params = Query<BTreeMap<String, String>>;

fn is_let_in(headers: &HeaderMap) -> bool {
    headers.get(header::AUTHORIZATION).is_some_and(|v| v.as_bytes() == format!("Bearer {LIST_TOKEN}").as_bytes())
}

fn number(params: &BTreeMap<String, String>, name: &str, otherwise: usize) -> usize {
    params.get(name).and_then(|v| v.parse().ok()).unwrap_or(otherwise)
}

/// A cut of a list and whether more follows.
fn cut(all: Vec<Value>, offset: usize, limit: usize) -> (Vec<Value>, bool, usize) {
    let total = all.len();
    let items: Vec<Value> = all.into_iter().skip(offset).take(limit).collect();
    let more = offset + items.len() < total;
    (items, more, total)
}

/// `GET /orders?since=…&limit=…&after=…`: what changed since, oldest first; the next page by link, header and token.
async fn orders(State(app): State<App>, Query(params): Params, headers: HeaderMap) -> Response {
    app.slow().await;
    if take(&app.faults.slow_down) {
        return slow_down();
    }
    if !is_let_in(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let since = match params.get("since").map(|s| chrono::DateTime::parse_from_rfc3339(s)) {
        None => Timestamp(i64::MIN),
        Some(Ok(since)) => since.to_utc().into(),
        Some(Err(_)) => return (StatusCode::BAD_REQUEST, "since is not RFC 3339").into_response(),
    };
    let (after, limit) = (number(&params, "after", 0), number(&params, "limit", 50).clamp(1, 200));
    let (items, more, _) = cut(app.state.changed_since(since), after, limit);
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(params.iter().filter(|(k, _)| *k != "after"));
    let token = (after + items.len()).to_string();
    let next = more.then(|| format!("/orders?{}", query.append_pair("after", &token).finish()));
    let body = json!({"items": items, "next": next, "token": more.then_some(token)});
    app.page(after == 0, &body, next)
}

/// `GET /pending?offset=…&limit=…`: everything that is pending, with the total.
async fn pending(State(app): State<App>, Query(params): Params, headers: HeaderMap) -> Response {
    app.slow().await;
    if take(&app.faults.slow_down) {
        return slow_down();
    }
    if !is_let_in(&headers) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let limit = number(&params, "limit", 50).clamp(1, 200);
    // By position or by the number of the page, as it is asked.
    let offset = number(&params, "offset", number(&params, "page", 1).saturating_sub(1) * limit);
    let (items, _, total) = cut(app.state.pending(), offset, limit);
    app.page(offset == 0, &json!({"items": items, "total": total}), None)
}

/// `POST /token`: OAuth 2 client credentials.
async fn token(Form(form): Form<BTreeMap<String, String>>) -> Response {
    let is = |name: &str, value: &str| form.get(name).is_some_and(|given| given == value);
    if !(is("grant_type", "client_credentials") && is("client_id", CLIENT_ID) && is("client_secret", LIST_TOKEN)) {
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))).into_response();
    }
    Json(json!({"access_token": LIST_TOKEN, "token_type": "Bearer", "expires_in": 300})).into_response()
}

/// `POST /completions`: signed; the same id again is a repeat without effect.
async fn completions(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    app.slow().await;
    if take(&app.faults.slow_down) {
        return slow_down();
    }
    let fault = |status: StatusCode| (status, Json(json!({"error": "declared fault"}))).into_response();
    if app.faults.gone.load(Ordering::SeqCst) {
        return fault(StatusCode::GONE);
    }
    if take(&app.faults.refuse_reports) {
        return fault(StatusCode::INTERNAL_SERVER_ERROR);
    }
    let Ok(verified) = app.report_scheme.verify(inbound(&headers, &body, app.clock.now()), app.clock.now()) else {
        app.state.refused();
        return (StatusCode::UNAUTHORIZED, Json(json!({"error": "not signed by lastmile"}))).into_response();
    };
    let Ok(report) = serde_json::from_slice::<Value>(&body) else {
        app.state.refused();
        return (StatusCode::BAD_REQUEST, Json(json!({"error": "not JSON"}))).into_response();
    };
    let taken = app.state.complete(verified.delivery_id().unwrap_or_default(), report);
    if taken != Taken::Unknown && take(&app.faults.forget_answers) {
        return fault(StatusCode::INTERNAL_SERVER_ERROR);
    }
    match taken {
        Taken::Accepted => Json(json!({"result": "accepted"})).into_response(),
        Taken::Repeat => Json(json!({"result": "repeat"})).into_response(),
        Taken::Unknown => (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"error": "there is no such order"}))).into_response(),
    }
}

/// `POST /progress`: signed; the same id again is a repeat without effect. The faults of completions count here, too.
async fn progress(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    if take(&app.faults.slow_down) {
        return slow_down();
    }
    stepped(&app, &headers, &body).into_response()
}

fn slow_down() -> Response {
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "60")]).into_response()
}

fn stepped(app: &App, headers: &HeaderMap, body: &Bytes) -> StatusCode {
    if app.faults.gone.load(Ordering::SeqCst) {
        return StatusCode::GONE;
    }
    if take(&app.faults.refuse_reports) {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    let verified = app.report_scheme.verify(inbound(headers, body, app.clock.now()), app.clock.now());
    let (Ok(verified), Ok(step)) = (verified, serde_json::from_slice::<Value>(body)) else {
        app.state.refused();
        return StatusCode::UNAUTHORIZED;
    };
    app.state.step(verified.delivery_id().unwrap_or_default(), step);
    if take(&app.faults.forget_answers) { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::NO_CONTENT }
}

fn inbound(headers: &HeaderMap, body: &Bytes, now: Timestamp) -> Inbound {
    let text = |value: &header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Inbound {
        method: "POST".to_owned(),
        path: "/completions".to_owned(),
        query: BTreeMap::new(),
        headers: headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
        body: body.to_vec(),
        peer: None,
        client_certificate: None,
        received_at: now,
    }
}

async fn count(State(app): State<App>) -> Json<Value> {
    Json(json!(app.state.counts()))
}
