//! Hooks, pages, JSON API, access, health, metrics.

mod access;
mod api;
mod hooks;
mod pages;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;

use serde_json::json;

use crate::flow::Setup;
use crate::ledger::{Ledger, LedgerError};
use crate::model::{Clock, Timestamp};

/// What handlers need.
#[derive(Clone)]
pub struct WebState {
    /// The durable record.
    pub ledger: Arc<dyn Ledger>,
    /// What the current catalog makes.
    pub setup: Arc<ArcSwap<Setup>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Prometheus text.
    pub metrics: PrometheusHandle,
    /// When this process began.
    pub started: Timestamp,
    /// Bound to this machine only.
    pub loopback: bool,
    /// A line for every page (the demo says what it is).
    pub note: Option<String>,
    /// Tells the loops that something arrived.
    pub wake: Arc<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for WebState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebState")
    }
}

/// Everything that is served.
pub fn router(state: WebState) -> Router {
    let limit = state.setup.load().catalog.main.server.max_body_bytes;
    Router::new()
        .route("/hooks/{source}", post(hooks::source))
        .route("/hooks/desk/{desk}", post(hooks::desk))
        .layer(axum::extract::DefaultBodyLimit::max(limit))
        .route("/", get(pages::overview))
        .route("/assignments", get(pages::assignments))
        .route("/assignments/{id}", get(pages::assignment))
        .route("/operations", get(pages::operations).post(pages::act))
        .route("/kpi", get(pages::kpi))
        .route("/style.css", get(pages::style))
        .route("/api/v1/overview", get(api::overview))
        .route("/api/v1/assignments", get(api::assignments))
        .route("/api/v1/assignments/{id}", get(api::assignment))
        .route("/api/v1/operations", get(api::operations))
        .route("/api/v1/kpi", get(api::kpi))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .layer(map_response(guard))
        .with_state(state)
}

/// Ready when a write would succeed now. A desk that is away is degradation, not unreadiness.
async fn ready(State(state): State<WebState>) -> (StatusCode, &'static str) {
    match state.ledger.ready().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            tracing::warn!(error = %error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "the ledger cannot be written\n")
        }
    }
}

async fn metrics(State(state): State<WebState>, _reader: access::Reader) -> String {
    state.metrics.render()
}

/// What every answer carries: no script, no frames, no guessing of types.
async fn guard(mut response: Response) -> Response {
    const POLICY: &str =
        "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// An RFC 9457 problem document.
pub(crate) fn problem(status: StatusCode, kind: &str, detail: &str) -> Response {
    let body = json!({"type": format!("/docs/errors/{kind}"), "title": status.canonical_reason(), "status": status.as_u16(), "detail": detail});
    (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response()
}

pub(crate) fn unavailable(error: &LedgerError) -> Response {
    tracing::error!(error = %error, "the ledger did not answer; nothing was recorded");
    let mut response =
        problem(StatusCode::SERVICE_UNAVAILABLE, "ledger-away", "the ledger is away and nothing was recorded; try again");
    response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("10"));
    response
}
