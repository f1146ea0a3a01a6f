//! A fake midPoint: manual cases with work items, accounts with owners, one-or-many JSON, pages by position over a
//! list that moves, refusals in its own form, and days on which it is away.

pub mod state;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub use state::{Completed, MidpointState};

use super::list_faults::ListFaults;
use super::platform::take;
use crate::model::Clock;

/// The bridge's service user.
pub const USER: &str = "lastmile";
/// Its password.
pub const PASSWORD: &str = "sandbox-password";
/// Archetype of manual cases.
pub const ARCHETYPE: &str = "00000000-0000-0000-0000-000000000340";

/// Declared faults of the fake; switched while it runs.
#[derive(Debug, Default)]
pub struct MidpointFaults {
    /// Those of its lists and answers.
    pub lists: ListFaults<MidpointState>,
    /// Completions are taken and answered 240 (handled error) with an operation result.
    pub handled_error: AtomicBool,
    /// The next so many completions find their work item replaced by another.
    pub renumber: AtomicU64,
    /// Filters are not kept to.
    pub ignore_filter: AtomicBool,
    /// These cases are answered 500.
    pub unreadable: Mutex<Vec<String>>,
}

impl std::ops::Deref for MidpointFaults {
    type Target = ListFaults<MidpointState>;

    fn deref(&self) -> &Self::Target {
        &self.lists
    }
}

/// A running fake. Dropping it stops it.
#[derive(Debug)]
pub struct SandboxMidpoint {
    url: String,
    app: App,
    stop: CancellationToken,
}

#[derive(Debug, Clone)]
struct App {
    state: Arc<MidpointState>,
    faults: Arc<MidpointFaults>,
}

impl SandboxMidpoint {
    /// Starts a fake; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(clock: Arc<dyn Clock>, listen: SocketAddr) -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(listen).await?;
        let url = format!("http://{}/midpoint", listener.local_addr()?);
        let app = App { state: Arc::new(MidpointState::new(clock)), faults: Arc::default() };
        let stop = CancellationToken::new();
        let (router, stopped) = (router(app.clone()), stop.clone().cancelled_owned());
        tokio::spawn(async move {
            if let Err(e) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
                tracing::error!(error = %e, "the sandbox midPoint stopped");
            }
        });
        Ok(Self { url, app, stop })
    }

    /// Its address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it knows.
    #[must_use]
    pub fn state(&self) -> &MidpointState {
        &self.app.state
    }

    /// Its faults.
    #[must_use]
    pub fn faults(&self) -> &MidpointFaults {
        &self.app.faults
    }
}

impl Drop for SandboxMidpoint {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn router(app: App) -> Router {
    let rest = Router::new()
        .route("/cases/search", post(search))
        .route("/cases/{oid}", get(case))
        .route("/cases/{oid}/workItems/{item}/complete", post(complete))
        .route("/shadows/{oid}", get(shadow))
        .route("/shadows/{oid}/owner", get(owner))
        .route("/resources/{oid}", get(resource));
    Router::new().nest("/midpoint/ws/rest", rest).layer(middleware::from_fn_with_state(app.clone(), guard)).with_state(app)
}

async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    if app.faults.away.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let expected = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    if header_of(request.headers(), "authorization") != expected {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    // Without being asked for JSON it answers in XML.
    if header_of(request.headers(), "accept") != "application/json" {
        return "<objects/>".into_response();
    }
    app.state.acts_as(header_of(request.headers(), "switch-to-principal"));
    next.run(request).await
}

fn header_of<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// A list of one is that one; a list of none is left out.
fn one_or_many(mut list: Vec<Value>) -> Value {
    if list.len() == 1 { list.remove(0) } else { json!(list) }
}

async fn search(State(app): State<App>, Json(query): Json<Value>) -> Response {
    let text = query["query"]["filter"]["text"].as_str().unwrap_or_default().to_owned();
    let place = |name: &str| query["query"]["paging"][name].as_u64().and_then(|n| usize::try_from(n).ok());
    let wanted = format!("archetypeRef matches (oid = \"{ARCHETYPE}\")");
    let state = text.strip_prefix("state = \"").and_then(|t| t.split_once('"')).map(|(state, _)| state.to_owned());
    let (Some(state), true) = (state, text.ends_with(&wanted)) else {
        return (StatusCode::BAD_REQUEST, Json(result("the filter cannot be parsed"))).into_response();
    };
    let all = app.state.list(&state, app.faults.ignore_filter.load(Ordering::SeqCst));
    let total = all.len();
    let page: Vec<Value> =
        all.into_iter().skip(place("offset").unwrap_or(0)).take(place("maxSize").unwrap_or(usize::MAX)).collect();
    let mut list = json!({"@type": "http://midpoint.example/api-types-3#ObjectListType"});
    if !page.is_empty() {
        list["object"] = one_or_many(page);
    }
    let body = app.faults.page(&json!({"@ns": "http://midpoint.example/api-types-3", "object": list}), &app.state);
    let total = HeaderValue::from_str(&total.to_string()).unwrap_or(HeaderValue::from_static("0"));
    let headers = [(header::CONTENT_TYPE.as_str(), HeaderValue::from_static("application/json")), ("x-total-count", total)];
    (headers, body).into_response()
}

fn found(name: &str, object: Option<Value>) -> Response {
    match object {
        Some(object) => Json(json!({ name: object })).into_response(),
        None => (StatusCode::NOT_FOUND, Json(result("there is no such object"))).into_response(),
    }
}

async fn case(State(app): State<App>, Path(oid): Path<String>) -> Response {
    if app.faults.unreadable.lock().unwrap_or_else(PoisonError::into_inner).contains(&oid) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    found("case", app.state.case(&oid))
}

async fn owner(State(app): State<App>, Path(oid): Path<String>) -> Response {
    found("user", app.state.owner(&oid))
}

async fn shadow(State(app): State<App>, Path(oid): Path<String>) -> Response {
    found("shadow", app.state.shadow(&oid))
}

async fn resource(State(app): State<App>, Path(oid): Path<String>) -> Response {
    found("resource", app.state.resource(&oid))
}

async fn complete(State(app): State<App>, Path((oid, item)): Path<(String, u64)>, body: Bytes) -> Response {
    if take(&app.faults.refuse) {
        return (StatusCode::CONFLICT, Json(result("Person Number 1 may not complete it"))).into_response();
    }
    let output = serde_json::from_slice::<Value>(&body).map(|body| body["output"].clone()).unwrap_or_default();
    let known = output["@type"] == json!("c:AbstractWorkItemOutputType");
    if !known || !matches!(output["outcome"].as_str(), Some("success" | "fatal_error")) {
        return (StatusCode::BAD_REQUEST, Json(result("the output cannot be read"))).into_response();
    }
    if take(&app.faults.renumber) {
        app.state.renumber(&oid);
    }
    match app.state.complete(&oid, item, &output) {
        Completed::NoCase => return found("case", None),
        Completed::NoItem => {
            let words = format!("No work item {item} in case {oid}");
            return (StatusCode::INTERNAL_SERVER_ERROR, Json(result(&words))).into_response();
        }
        Completed::Now | Completed::Before => {}
    }
    if take(&app.faults.forget_answers) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if app.faults.handled_error.load(Ordering::SeqCst) {
        let handled = StatusCode::from_u16(240).unwrap_or(StatusCode::OK);
        return (handled, Json(result("a notification could not be sent"))).into_response();
    }
    StatusCode::NO_CONTENT.into_response()
}

/// An operation result in the platform's own form.
fn result(words: &str) -> Value {
    json!({"@ns": "http://midpoint.example/common-3", "object": {"@type": "c:OperationResultType", "message": words}})
}
