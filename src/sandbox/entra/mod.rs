//! A fake Entra: a token endpoint, requests for access packages whose custom extension waits (and only so long), the
//! Logic App that forwards its callouts, resuming, and reading what became of it.

mod logic_app;
pub mod state;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub use logic_app::DEFINITION;
pub use state::{EntraState, Resumed};

use super::platform::take;
use crate::model::Clock;

/// The directory.
pub const TENANT: &str = "corp.example";
/// The app registration.
pub const CLIENT_ID: &str = "11111111-2222-3333-4444-555555555555";
/// Its secret.
pub const CLIENT_SECRET: &str = "sandbox-secret";
/// What the Logic App shows.
pub const HOOK_TOKEN: &str = "sandbox-hook-token";
const ACCESS_TOKEN: &str = "sandbox-access-token";

/// Declared faults of the fake; switched while it runs.
#[derive(Debug, Default)]
pub struct EntraFaults {
    /// Every call is answered 503.
    pub away: AtomicBool,
    /// The app registration may read, and not resume.
    pub no_right: AtomicBool,
    /// The next so many resumptions are refused, with the platform's own words.
    pub refuse: AtomicU64,
    /// The next so many resumptions are taken, but answered 500.
    pub forget_answers: AtomicU64,
    /// The next so many resumptions are answered "slow down", for 120 seconds.
    pub throttle: AtomicU64,
    /// The next so many resumptions are refused as conflicting, though the request waits.
    pub conflict: AtomicU64,
    /// Requests do not list their callouts.
    pub no_callouts: AtomicBool,
    /// The next so many reads of a request are answered "slow down", for 120 seconds.
    pub throttle_reads: AtomicU64,
    /// Reads of this request are answered 500.
    pub unreadable: Mutex<Option<String>>,
}

/// A message of the Logic App.
#[derive(Debug, Clone)]
pub struct Forwarded {
    /// The callout that it is about.
    pub callout: String,
    /// Headers, in lower case.
    pub headers: BTreeMap<String, String>,
    /// Body.
    pub body: Vec<u8>,
}

/// A running fake. Dropping it stops it.
#[derive(Debug)]
pub struct SandboxEntra {
    url: String,
    app: App,
    stop: CancellationToken,
}

#[derive(Debug, Clone)]
struct App {
    state: Arc<EntraState>,
    faults: Arc<EntraFaults>,
}

impl SandboxEntra {
    /// Starts a fake; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(clock: Arc<dyn Clock>, listen: SocketAddr) -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(listen).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let app = App { state: Arc::new(EntraState::new(clock)), faults: Arc::default() };
        let stop = CancellationToken::new();
        let (router, stopped) = (router(app.clone()), stop.clone().cancelled_owned());
        tokio::spawn(async move {
            if let Err(e) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
                tracing::error!(error = %e, "the sandbox Entra stopped");
            }
        });
        Ok(Self { url, app, stop })
    }

    /// Its address: that of Graph and that of the sign-in.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it knows.
    #[must_use]
    pub fn state(&self) -> &EntraState {
        &self.app.state
    }

    /// Its faults.
    #[must_use]
    pub fn faults(&self) -> &EntraFaults {
        &self.app.faults
    }

    /// Every callout that was not taken yet, as the Logic App forwards it.
    ///
    /// # Errors
    /// What the shipped definition says that this Logic App does not understand.
    pub fn forwarded(&self) -> Result<Vec<Forwarded>, String> {
        let waiting = self.app.state.callouts();
        let forwarded = waiting.into_iter().map(|(id, sent_at, callout, resources)| {
            let (headers, body) = logic_app::forward(&callout, &sent_at.iso(), &resources, HOOK_TOKEN)?;
            Ok(Forwarded { callout: id, headers, body: body.to_string().into_bytes() })
        });
        forwarded.collect()
    }
}

impl Drop for SandboxEntra {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn router(app: App) -> Router {
    let governance = Router::new()
        .route("/assignmentRequests", get(requests))
        .route("/assignmentRequests/{id}", get(request))
        .route("/assignmentRequests/{id}/resume", post(resume))
        .route("/catalogs", get(catalogs))
        .layer(middleware::from_fn(signed_in));
    Router::new()
        .nest("/v1.0/identityGovernance/entitlementManagement", governance)
        .route("/{tenant}/oauth2/v2.0/token", post(token))
        .layer(middleware::from_fn_with_state(app.clone(), here))
        .with_state(app)
}

async fn here(State(app): State<App>, request: Request, next: Next) -> Response {
    if app.faults.away.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    next.run(request).await
}

async fn signed_in(headers: HeaderMap, request: Request, next: Next) -> Response {
    let shown = headers.get("authorization").and_then(|v| v.to_str().ok()).unwrap_or_default();
    if shown != format!("Bearer {ACCESS_TOKEN}") {
        return (StatusCode::UNAUTHORIZED, Json(error("InvalidAuthenticationToken", "Access token is empty."))).into_response();
    }
    next.run(request).await
}

async fn token(Path(tenant): Path<String>, Form(form): Form<BTreeMap<String, String>>) -> Response {
    let is = |name: &str, wanted: &str| form.get(name).is_some_and(|value| value == wanted);
    let good = tenant == TENANT
        && is("grant_type", "client_credentials")
        && is("client_id", CLIENT_ID)
        && is("client_secret", CLIENT_SECRET)
        && form.get("scope").is_some_and(|scope| scope.ends_with("/.default"));
    if good {
        return Json(json!({"token_type": "Bearer", "expires_in": 3599, "access_token": ACCESS_TOKEN})).into_response();
    }
    (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))).into_response()
}

async fn requests(State(app): State<App>) -> Response {
    let ids: Vec<Value> = app.state.ids().into_iter().take(1).map(|id| json!({ "id": id })).collect();
    Json(json!({ "value": ids })).into_response()
}

async fn request(State(app): State<App>, Path(id): Path<String>) -> Response {
    if take(&app.faults.throttle_reads) {
        return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "120")]).into_response();
    }
    if app.faults.unreadable.lock().unwrap_or_else(PoisonError::into_inner).as_ref() == Some(&id) {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    match app.state.request(&id) {
        Some(mut request) => {
            if app.faults.no_callouts.load(Ordering::SeqCst) {
                request.as_object_mut().map(|members| members.remove("customExtensionCalloutInstances"));
            }
            Json(request).into_response()
        }
        None => (StatusCode::NOT_FOUND, Json(error("ResourceNotFound", "The request does not exist."))).into_response(),
    }
}

async fn catalogs(State(app): State<App>) -> Response {
    Json(app.state.catalogs()).into_response()
}

async fn resume(State(app): State<App>, Path(id): Path<String>, Json(body): Json<Value>) -> Response {
    let refused = |status: StatusCode, code: &str, words: &str| (status, Json(error(code, words))).into_response();
    if app.faults.no_right.load(Ordering::SeqCst) {
        return refused(StatusCode::FORBIDDEN, "UnAuthorized", "User is not authorized to perform the operation.");
    }
    if take(&app.faults.throttle) {
        return (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "120")]).into_response();
    }
    if take(&app.faults.refuse) {
        return refused(StatusCode::BAD_REQUEST, "InvalidRequest", "Person Number 1 cannot be resumed.");
    }
    if take(&app.faults.conflict) {
        return refused(StatusCode::CONFLICT, "Conflict", "Try again.");
    }
    match app.state.resume(&id, &body) {
        Resumed::Now if take(&app.faults.forget_answers) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        Resumed::Now => StatusCode::NO_CONTENT.into_response(),
        Resumed::Unknown => refused(StatusCode::NOT_FOUND, "ResourceNotFound", "The request does not exist."),
        Resumed::Before => refused(StatusCode::CONFLICT, "Conflict", "The callback was received before."),
        Resumed::TooLate => refused(StatusCode::GONE, "Expired", "The callback timed out."),
        Resumed::Unreadable(words) => refused(StatusCode::BAD_REQUEST, "InvalidRequest", words),
    }
}

/// An error in Graph's own form.
fn error(code: &str, words: &str) -> Value {
    json!({"error": {"code": code, "message": words, "innerError": {"request-id": "sandbox"}}})
}
