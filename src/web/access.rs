//! Who may see and do what. On loopback without access configured everybody is the operator, but Host and Origin are
//! checked, so that no web page elsewhere can reach through a browser.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{WebState, problem};
use crate::catalog::access::{Access, Role};
use crate::ledger::views::Scope;

/// An admitted reader.
#[derive(Debug, Clone)]
pub struct Reader {
    /// Name for the journal.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// Applications they may see; `None`: all.
    pub scope: Scope,
}

impl Reader {
    /// Whether names of persons and free text are for them.
    #[must_use]
    pub fn sees_names(&self) -> bool {
        self.role == Role::Operator
    }

    /// Whether they may act. Acting needs sight of everything: what they act on may belong to any application.
    #[must_use]
    pub fn may_act(&self) -> bool {
        self.role == Role::Operator && self.scope.is_none()
    }
}

impl FromRequestParts<WebState> for Reader {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &WebState) -> Result<Self, Response> {
        let State(state) = State::<WebState>::from_request_parts(parts, state).await.map_err(IntoResponse::into_response)?;
        let access = state.setup.load().catalog.main.access.clone();
        if from_another_site(parts) {
            return Err(problem(StatusCode::FORBIDDEN, "origin", "this request was sent by another site"));
        }
        if !access.is_configured() {
            if state.loopback && host_is_local(parts) {
                return Ok(Self { name: "local operator".to_owned(), role: Role::Operator, scope: None });
            }
            return Err(problem(StatusCode::FORBIDDEN, "host", "open this page under the address it listens on"));
        }
        by_token(parts, &access).or_else(|| by_proxy(parts, &access)).ok_or_else(|| {
            let mut refused = problem(
                StatusCode::UNAUTHORIZED,
                "access",
                "a token is needed: as bearer, or as the password your browser asks for",
            );
            refused.headers_mut().insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Basic realm=\"lastmile\""));
            refused
        })
    }
}

fn text<'a>(parts: &'a Parts, name: &str) -> Option<&'a str> {
    parts.headers.get(name)?.to_str().ok()
}

/// A request that changes something must come from our own pages, or from no browser at all.
fn from_another_site(parts: &Parts) -> bool {
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return false;
    }
    let own = text(parts, "host").unwrap_or_default();
    let origin = text(parts, "origin").map(|o| o.split_once("://").map_or(o, |(_, host)| host));
    origin.is_some_and(|o| o != own) || text(parts, "sec-fetch-site").is_some_and(|s| s != "same-origin" && s != "none")
}

fn host_is_local(parts: &Parts) -> bool {
    let host = text(parts, "host").unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    matches!(name, "localhost" | "127.0.0.1" | "[::1]")
}

fn by_token(parts: &Parts, access: &Access) -> Option<Reader> {
    let sent = text(parts, "authorization")?;
    let token = match sent.split_once(' ')? {
        ("Bearer", token) => token.to_owned(),
        ("Basic", pair) => {
            let pair = String::from_utf8(STANDARD.decode(pair).ok()?).ok()?;
            pair.split_once(':')?.1.to_owned()
        }
        _ => return None,
    };
    let hash = hex::encode(Sha256::digest(token.as_bytes()));
    let (name, token) =
        access.tokens.iter().find(|(_, t)| bool::from(t.sha256.to_lowercase().as_bytes().ct_eq(hash.as_bytes())))?;
    Some(Reader { name: name.clone(), role: token.role, scope: scope(&token.applications) })
}

fn by_proxy(parts: &Parts, access: &Access) -> Option<Reader> {
    let proxy = access.trusted_proxy.as_ref()?;
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip();
    if !proxy.from.contains(&peer) {
        return None;
    }
    let name = text(parts, &proxy.user_header).filter(|n| !n.is_empty())?.to_owned();
    let groups: Vec<&str> =
        proxy.groups_header.as_deref().and_then(|h| text(parts, h)).unwrap_or_default().split(',').map(str::trim).collect();
    let fits = proxy.groups.iter().find(|g| g.group == "*" || groups.contains(&g.group.as_str()))?;
    Some(Reader { name, role: fits.role, scope: scope(&fits.applications) })
}

fn scope(applications: &[String]) -> Scope {
    (!applications.is_empty()).then(|| applications.to_vec())
}
