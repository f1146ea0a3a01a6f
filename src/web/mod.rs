//! Hooks, pages, JSON API, access, health, metrics.

mod access;
mod actions;
mod answer;
mod api;
mod attempts;
mod errors;
mod extract;
mod hooks;
mod measured;
mod pages;
pub mod problem;
mod server;
mod session;
mod sign_in;
mod tls;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;

use crate::flow::{Breakers, Foresight, Pauses, Setup};
use crate::ledger::Ledger;
use crate::model::{Clock, Timestamp};

pub use access::Reader;
pub use api::document as openapi;
pub use server::{serve, serve_tls};
pub use tls::Tls;

/// What a request may have made due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// Orders to plan.
    Orders,
    /// Calls to make.
    Errands,
    /// Anything.
    All,
}

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
    pub wake: Arc<dyn Fn(Woken) + Send + Sync>,
    /// Sessions, failed sign-ins and how many read at once.
    pub gate: Arc<Gate>,
    /// Which desks and platforms are held back.
    pub breakers: Arc<Breakers>,
    /// Which of them asked for patience.
    pub pauses: Arc<Pauses>,
    /// Decides on orders while they are received.
    pub foresight: Foresight,
}

impl std::fmt::Debug for WebState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WebState")
    }
}

/// How much is done at once, and how long is waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pages and API calls carried out at once: fewer than the ledger has readers, so that hooks and stages find one.
    pub readers: usize,
    /// How long a page or API call waits for its turn.
    pub turn_within: Duration,
    /// How long a body may take to arrive.
    pub body_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { readers: 3, turn_within: Duration::from_secs(5), body_within: Duration::from_secs(20) }
    }
}

/// What the web remembers between requests; nothing of it outlives the process.
#[derive(Debug)]
pub struct Gate {
    sessions: session::Sessions,
    attempts: attempts::Attempts,
    readers: Semaphore,
    limits: Limits,
    figures: measured::LastFigures,
}

impl Gate {
    /// With these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let readers = Semaphore::new(limits.readers);
        Self {
            sessions: session::Sessions::default(),
            attempts: attempts::Attempts::default(),
            readers,
            limits,
            figures: measured::LastFigures::default(),
        }
    }
}

/// Largest body of a form or an API call.
const SMALL_BODY: usize = 64 * 1024;

/// Everything that is served.
pub fn router(state: WebState) -> Router {
    let limit = state.setup.load().catalog.main.server.max_body_bytes;
    let hooks = Router::new()
        .route("/hooks/{source}", post(hooks::source).options(hooks::handshake))
        .route("/hooks/desk/{desk}", post(hooks::desk))
        .route("/hooks/{source}/{*rest}", get(hooks::below).post(hooks::below).delete(hooks::below))
        .layer(DefaultBodyLimit::max(limit));
    let read = Router::new()
        .route("/", get(pages::overview))
        .route("/assignments", get(pages::assignments))
        .route("/assignments/{id}", get(pages::assignment))
        .route("/operations", get(pages::operations).post(actions::act))
        .route("/kpi", get(pages::kpi::kpi))
        .route("/kpi/application", get(pages::kpi::application))
        .route("/kpi/group", get(pages::kpi::group))
        .route("/kpi/approval", get(pages::kpi::approval))
        .route("/kpi/leavers", get(pages::kpi::leavers))
        .route("/kpi/backlog", get(pages::kpi::backlog))
        .route("/kpi.csv", get(pages::exports::figures))
        .route("/kpi.xlsx", get(pages::exports::figures))
        .route("/kpi/assignments", get(pages::behind::assignments))
        .route("/kpi/assignments.csv", get(pages::exports::assignments))
        .route("/kpi/assignments.xlsx", get(pages::exports::assignments))
        .route("/evidence", get(pages::evidence::evidence))
        .route("/evidence.csv", get(pages::exports::evidence))
        .route("/evidence.xlsx", get(pages::exports::evidence))
        .route("/evidence.html", get(pages::exports::evidence))
        .route("/metrics", get(measured::metrics))
        .merge(api::routes())
        .route_layer(from_fn_with_state(state.clone(), in_turn));
    let open = Router::new()
        .route("/sign-in", get(sign_in::show).post(sign_in::sign_in))
        .route("/sign-out", post(sign_in::sign_out))
        .route("/style.css", get(pages::style))
        .route("/docs/errors", get(errors::all))
        .route("/docs/errors/{code}", get(errors::one))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready));
    Router::new()
        .merge(hooks)
        .merge(read.merge(open).layer(DefaultBodyLimit::max(SMALL_BODY)))
        .fallback(|| async { problem::problem(problem::Code::NotFound, "there is nothing at this address") })
        .layer(from_fn_with_state(state.clone(), answer::finish))
        .with_state(state)
}

/// Admits the reader first, so that nobody else takes a turn; then waits for one.
async fn in_turn(State(state): State<WebState>, _reader: Reader, request: Request, next: Next) -> Response {
    match tokio::time::timeout(state.gate.limits.turn_within, state.gate.readers.acquire()).await {
        Ok(Ok(_turn)) => next.run(request).await,
        _ => problem::Refused::new(problem::Code::Busy, "too many pages are being read; try again").after(5).into_response(),
    }
}

/// Ready when a write would succeed now. A desk that is away is degradation, not unreadiness.
async fn ready(State(state): State<WebState>) -> Response {
    match state.ledger.ready().await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => problem::unavailable(error),
    }
}
