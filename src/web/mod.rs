//! Hooks, health and metrics; pages and API stand beside them.

mod hooks;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;

use crate::flow::Setup;
use crate::ledger::Ledger;
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
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
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

async fn metrics(State(state): State<WebState>) -> String {
    state.metrics.render()
}
