//! A fake One Identity Manager: application server and API server over one state, with sessions that end, a token
//! against forged requests, lists that move, a purge, decisions that are refused, and days on which it is away.

mod api_server;
mod app_server;
mod condition;
mod state;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub use state::{Decision, OneIdentityState, Raised};

use super::list_faults::ListFaults;
use super::platform::take;
use crate::model::{Clock, random};

/// The bridge's system user.
pub const USER: &str = "lastmile";
/// Its password.
pub const PASSWORD: &str = "sandbox-password";

/// Declared faults of the fake; switched while it runs.
#[derive(Debug, Default)]
pub struct OneIdentityFaults {
    /// Those of its lists and answers.
    pub lists: ListFaults<OneIdentityState>,
    /// A session ends after so many calls; 0: never.
    pub calls_per_session: AtomicU64,
    /// A list of one row is that row.
    pub bare_singles: AtomicBool,
    /// Conditions are not kept to.
    pub ignore_conditions: AtomicBool,
}

impl std::ops::Deref for OneIdentityFaults {
    type Target = ListFaults<OneIdentityState>;

    fn deref(&self) -> &Self::Target {
        &self.lists
    }
}

/// A running fake. Dropping it stops it.
#[derive(Debug)]
pub struct SandboxOneIdentity {
    url: String,
    app: App,
    stop: CancellationToken,
}

#[derive(Debug, Clone)]
pub(super) struct App {
    pub(super) state: Arc<OneIdentityState>,
    pub(super) faults: Arc<OneIdentityFaults>,
}

impl SandboxOneIdentity {
    /// Starts a fake on a free port of this machine.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn start(clock: Arc<dyn Clock>, listen: SocketAddr) -> std::io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(listen).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let app = App { state: Arc::new(OneIdentityState::new(clock)), faults: Arc::default() };
        app.state.furnish();
        let stop = CancellationToken::new();
        let (router, stopped) = (router(app.clone()), stop.clone().cancelled_owned());
        tokio::spawn(async move {
            if let Err(e) = axum::serve(listener, router).with_graceful_shutdown(stopped).await {
                tracing::error!(error = %e, "the sandbox One Identity Manager stopped");
            }
        });
        Ok(Self { url, app, stop })
    }

    /// Its address; the servers are `/AppServer` and `/ApiServer` below it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it knows.
    #[must_use]
    pub fn state(&self) -> &OneIdentityState {
        &self.app.state
    }

    /// Its faults.
    #[must_use]
    pub fn faults(&self) -> &OneIdentityFaults {
        &self.app.faults
    }
}

impl Drop for SandboxOneIdentity {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn router(app: App) -> Router {
    Router::new()
        .nest("/AppServer", app_server::router())
        .nest("/ApiServer/imx", api_server::router())
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .with_state(app)
}

async fn guard(State(app): State<App>, request: Request, next: Next) -> Response {
    if app.faults.away.load(Ordering::SeqCst) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    // A web server of its kind refuses longer ones before the application sees them.
    if request.uri().query().is_some_and(|q| q.len() > 2048) {
        return StatusCode::NOT_FOUND.into_response();
    }
    next.run(request).await
}

impl App {
    fn log_in(&self) -> String {
        let id = random::token();
        let mut inner = self.state.lock();
        inner.sessions.insert(id.clone(), 0);
        inner.logins += 1;
        id
    }

    fn log_out(&self, id: Option<&str>) -> StatusCode {
        let mut inner = self.state.lock();
        match id.and_then(|id| inner.sessions.remove(id)) {
            Some(_) => {
                inner.logouts += 1;
                StatusCode::NO_CONTENT
            }
            None => StatusCode::UNAUTHORIZED,
        }
    }

    /// Counts a call of a session; false when there is none, or no longer.
    fn is_let_in(&self, id: Option<&str>) -> bool {
        let most = self.faults.calls_per_session.load(Ordering::SeqCst);
        let mut inner = self.state.lock();
        let Some(id) = id else { return false };
        let Some(calls) = inner.sessions.get_mut(id) else { return false };
        *calls += 1;
        if most > 0 && *calls > most {
            inner.sessions.remove(id);
            return false;
        }
        true
    }

    fn page(&self, body: &Value) -> Response {
        json_text(self.faults.page(body, &self.state))
    }

    /// How a call with an effect ends: refused, done, or done and forgotten.
    fn effect(&self, act: impl FnOnce() -> bool) -> Response {
        if take(&self.faults.refuse) || !act() {
            return refusal("810215", "the object does not allow it");
        }
        if take(&self.faults.forget_answers) {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
        StatusCode::NO_CONTENT.into_response()
    }
}

fn json_text(text: String) -> Response {
    ([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], text).into_response()
}

/// An error in the platform's own form, with words that name somebody.
fn refusal(number: &str, words: &str) -> Response {
    let body = json!({"responseStatus": {"message": words}, "errorString": format!("{words} (Person Number 1)"),
        "exceptions": [{"number": number, "message": words}]});
    (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(body)).into_response()
}

/// A cookie of the request.
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get(header::COOKIE)?.to_str().ok()?;
    all.split("; ").find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}
