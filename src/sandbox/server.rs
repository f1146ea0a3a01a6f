//! A fake desk as a running server: credentials, faults, and the router of its kind.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;

use super::desk_state::{DeskState, Ticket};
use super::faults::{Fault, Faults, Harm, Target};
use super::{jira, servicenow, zammad};
use crate::model::{Clock, Timestamp};

/// The bridge's account on every fake desk.
pub const USER: &str = "bridge";
/// Its password, API token and bearer token, until a desk is given another.
pub const TOKEN: &str = "sandbox-token";

/// Largest body of a call that is kept for later.
const MOST_OF_A_CALL: usize = 1 << 20;

/// Which desk is played.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeskKind {
    /// Jira Cloud: token paging, bulk read, v2 and v3.
    JiraCloud,
    /// Jira Data Center: offset paging, v2 only.
    JiraDataCenter,
    /// `ServiceNow`'s Table API.
    ServiceNow,
    /// Zammad's REST, for a declared desk.
    Zammad,
}

/// A running fake desk. Dropping it stops it.
#[derive(Debug)]
pub struct SandboxDesk {
    url: String,
    state: Arc<DeskState>,
    faults: Arc<Faults>,
    password: Arc<Mutex<SecretString>>,
    late: Late,
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
}

/// What every handler gets.
#[derive(Debug, Clone)]
pub(super) struct App {
    pub(super) kind: DeskKind,
    pub(super) state: Arc<DeskState>,
    pub(super) faults: Arc<Faults>,
    pub(super) url: String,
    password: Arc<Mutex<SecretString>>,
    late: Late,
}

impl SandboxDesk {
    /// Starts a fake desk; port 0 takes a free one. With a state file, tickets survive the process.
    ///
    /// # Errors
    /// When the address cannot be listened on or the state file cannot be used.
    pub async fn start(
        kind: DeskKind,
        clock: Arc<dyn Clock>,
        faults: Arc<Faults>,
        state_file: Option<PathBuf>,
        listen: SocketAddr,
    ) -> std::io::Result<Self> {
        let state = Arc::new(DeskState::open(clock, faults.clone(), state_file.as_deref())?);
        let listener = tokio::net::TcpListener::bind(listen).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (late, password) = (Late::default(), Arc::new(Mutex::new(SecretString::from(TOKEN))));
        let (own, kept) = (password.clone(), late.clone());
        let app = App { kind, state: state.clone(), faults: faults.clone(), url: url.clone(), password: own, late: kept };
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let router = router(app);
        let task = tokio::spawn(async move {
            if let Err(e) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
                tracing::error!(error = %e, "a sandbox desk stopped");
            }
        });
        Ok(Self { url, state, faults, password, late, stop, task: Some(task) })
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its tickets.
    #[must_use]
    pub fn state(&self) -> &Arc<DeskState> {
        &self.state
    }

    /// Its faults.
    #[must_use]
    pub fn faults(&self) -> &Arc<Faults> {
        &self.faults
    }

    /// From now on this is the account's password, and whoever has another is a stranger.
    pub fn lets_in_only(&self, password: &str) {
        *self.password.lock().unwrap_or_else(PoisonError::into_inner) = SecretString::from(password);
    }

    /// What was not done yet of calls that were given up ([`Harm::Late`]) is never done.
    pub fn forget_late(&self) {
        self.late.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Stops listening and waits a moment for calls under way.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        if let Some(mut task) = self.task.take()
            && tokio::time::timeout(Duration::from_secs(2), &mut task).await.is_err()
        {
            task.abort();
        }
    }
}

impl Drop for SandboxDesk {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

fn router(app: App) -> Router {
    let desk = match app.kind {
        DeskKind::JiraCloud | DeskKind::JiraDataCenter => jira::router(),
        DeskKind::ServiceNow => servicenow::router(),
        DeskKind::Zammad => zammad::router(),
    };
    // Pages for people and the switches of the sandbox need no credentials and suffer no faults.
    desk.layer(middleware::from_fn_with_state(app.clone(), guard))
        .layer(middleware::from_fn_with_state(app.clone(), stamp))
        .route("/browse/{number}", get(page))
        .route("/nav_to.do", get(record_page))
        .route("/sandbox/faults", get(show_faults).put(set_faults))
        .route("/sandbox/count", get(count))
        .with_state(app)
}

/// Every answer tells the desk's own time, right or wrong.
async fn stamp(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let date = app.state.now().to_utc().format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = date.parse() {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

/// Calls that were given up and will be done at a time.
type Late = Arc<Mutex<Vec<(Timestamp, Request, Next)>>>;

/// Does what is due of the calls that their caller has given up.
async fn do_what_is_late(app: &App) {
    let now = app.state.now();
    let due: Vec<_> = app.late.lock().unwrap_or_else(PoisonError::into_inner).extract_if(.., |(at, ..)| *at <= now).collect();
    for (_, request, next) in due {
        next.run(request).await;
    }
}

/// Keeps a call for later, with its body: the connection is about to break.
async fn keep_for_later(app: &App, after_ms: i64, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    if let Ok(body) = axum::body::to_bytes(body, MOST_OF_A_CALL).await {
        let kept = (app.state.now().plus_ms(after_ms), Request::from_parts(head, Body::from(body)), next);
        app.late.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
    }
    lost()
}

async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    do_what_is_late(&app).await;
    let target = match app.kind {
        DeskKind::ServiceNow => servicenow::target(request.method(), request.uri()),
        DeskKind::Zammad => zammad::target(request.method(), request.uri().path()),
        _ => jira::target(request.method(), request.uri().path()),
    };
    let harm = app.faults.draw(target);
    match harm {
        Some(Harm::Slow(ms)) => tokio::time::sleep(Duration::from_millis(ms)).await,
        Some(Harm::Busy(after)) => return busy(after),
        Some(Harm::FailBefore) => return failed(),
        Some(Harm::Html) => return Html("<html><title>Instance Hibernating page</title></html>").into_response(),
        Some(Harm::Redirect) => {
            return (StatusCode::FOUND, [(header::LOCATION, "/login.jsp?os_destination=x")]).into_response();
        }
        Some(Harm::Quote) => return quoted(&request),
        Some(Harm::Late(after_ms)) if is_let_in(&app, &request) => return keep_for_later(&app, after_ms, request, next).await,
        Some(Harm::FailAfter | Harm::Lost | Harm::Late(_)) | None => {}
    }
    if app.faults.revoked() && matches!(app.kind, DeskKind::JiraCloud | DeskKind::JiraDataCenter) {
        return jira::to_a_stranger(app.kind, &request);
    }
    if app.faults.revoked() || !is_let_in(&app, &request) {
        return match app.kind {
            DeskKind::ServiceNow => servicenow::not_let_in(),
            DeskKind::Zammad => zammad::not_let_in(),
            kind => jira::not_let_in(kind),
        };
    }
    let response = next.run(request).await;
    match harm {
        Some(Harm::FailAfter) => failed(),
        Some(Harm::Lost) => lost(),
        _ => response,
    }
}

fn busy(after: Option<u64>) -> Response {
    let mut response = (StatusCode::TOO_MANY_REQUESTS, Json(serde_json::json!({"errorMessages": ["slow down"]}))).into_response();
    if let Some(secs) = after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(secs));
    }
    response
}

fn failed() -> Response {
    (StatusCode::INTERNAL_SERVER_ERROR, Json(serde_json::json!({"errorMessages": ["internal error"]}))).into_response()
}

/// What a careless desk, or a proxy before it, says of a call that it dislikes: everything that was sent.
fn quoted(request: &Request) -> Response {
    let sent = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let plain = sent.strip_prefix("Basic ").and_then(|p| base64::engine::general_purpose::STANDARD.decode(p).ok());
    let words = format!("cannot use {sent} ({})", String::from_utf8_lossy(&plain.unwrap_or_default()));
    let body = serde_json::json!({"errorMessages": [words], "error": {"message": words}, "error_human": words});
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

/// An answer whose body breaks off: the connection is cut.
fn lost() -> Response {
    let broken = futures_util::stream::once(async { Err::<Bytes, _>(std::io::Error::other("cut")) });
    let mut response = Body::from_stream(broken).into_response();
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("4096"));
    response
}

fn is_let_in(app: &App, request: &Request) -> bool {
    let password = app.password.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let password = password.expose_secret();
    let given = request.headers().get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let basic = || base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{password}"));
    match given.and_then(|v| v.split_once(' ')) {
        Some(("Bearer", token)) => token == password,
        Some(("Token", token)) => token.strip_prefix("token=") == Some(password),
        Some(("Basic", pair)) => pair == basic(),
        _ => request.headers().get("x-sn-apikey").is_some_and(|v| v.as_bytes() == password.as_bytes()),
    }
}

async fn show_faults(State(app): State<App>) -> Json<Vec<Fault>> {
    Json(app.faults.current())
}

async fn set_faults(State(app): State<App>, Json(rules): Json<Vec<Fault>>) -> StatusCode {
    app.faults.set(rules);
    StatusCode::NO_CONTENT
}

async fn count(State(app): State<App>) -> Json<serde_json::Value> {
    let keys = app.state.keys_created_by(USER);
    let doubles = keys.values().filter(|n| **n > 1).count();
    Json(serde_json::json!({"created": app.state.created_by(USER), "keys": keys.len(), "keys_twice": doubles}))
}

async fn page(State(app): State<App>, axum::extract::Path(number): axum::extract::Path<String>) -> Response {
    show(app.state.get(&number))
}

/// `/nav_to.do?uri=sc_task.do?sys_id=…`: the id stands behind the last `=`.
async fn record_page(State(app): State<App>, uri: axum::http::Uri) -> Response {
    let id = uri.query().and_then(|q| q.rsplit("sys_id=").next()).unwrap_or_default();
    show(app.state.get(id))
}

fn show(ticket: Option<Ticket>) -> Response {
    let Some(t) = ticket else { return (StatusCode::NOT_FOUND, Html("<p>There is no such ticket.</p>")).into_response() };
    let body = match &t.body {
        serde_json::Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    };
    let comments: String =
        t.comments.iter().map(|c| format!("<li>{}: {}</li>", escape(&c.by), escape(&c.body.to_string()))).collect();
    Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{number}</title><h1>{number}: {summary}</h1>\
         <dl><dt>Group</dt><dd>{group}</dd><dt>Status</dt><dd>{stage:?}</dd><dt>Resolution</dt><dd>{resolution}</dd>\
         <dt>Labels</dt><dd>{labels}</dd></dl><pre>{body}</pre><ul>{comments}</ul></html>",
        number = escape(&t.number),
        summary = escape(&t.summary),
        group = escape(t.group.as_deref().unwrap_or("–")),
        stage = t.stage,
        resolution = escape(t.resolution.as_deref().unwrap_or("–")),
        labels = escape(&t.labels.join(", ")),
        body = escape(&body),
    ))
    .into_response()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The kind of a call that is none of the special ones.
pub(super) fn by_method(method: &axum::http::Method) -> Target {
    if method == axum::http::Method::GET { Target::Read } else { Target::Amend }
}
