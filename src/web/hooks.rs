//! Hooks: the raw request goes to its source or desk, which verifies it before reading a word of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{WebState, problem, unavailable};
use crate::flow::intake::IntakeError;
use crate::flow::sync::HintError;
use crate::http::Inbound;
use crate::ledger::Recorded;
use crate::model::Timestamp;
use crate::source::HookRefusal;

type Peer = Option<ConnectInfo<SocketAddr>>;

fn inbound(
    path: String,
    query: BTreeMap<String, String>,
    headers: &HeaderMap,
    body: &Bytes,
    peer: &Peer,
    now: Timestamp,
) -> Inbound {
    Inbound {
        method: "POST".to_owned(),
        path,
        query,
        headers: headers
            .iter()
            .map(|(k, v)| (k.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
            .collect(),
        body: body.to_vec(),
        peer: peer.as_ref().map(|p| p.0.ip()),
        client_certificate: None,
        received_at: now,
    }
}

/// A platform's webhook: durable before the answer.
pub(super) async fn source(
    State(state): State<WebState>,
    Path(name): Path<String>,
    peer: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let setup = state.setup.load_full();
    let Some(source) = setup.sources.get(&name) else {
        return problem(StatusCode::NOT_FOUND, "no-such-source", "there is no source of that name");
    };
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return unread(&rejection, setup.catalog.main.server.max_body_bytes),
    };
    let now = state.clock.now();
    let inbound = inbound(format!("/hooks/{name}"), query, &headers, &body, &peer.map(|p| p.0), now);
    match crate::flow::intake::take(&*state.ledger, &**source, inbound, now).await {
        Ok(results) => {
            (state.wake)();
            if results.contains(&Recorded::Conflict) {
                return problem(
                    StatusCode::CONFLICT,
                    "event-conflict",
                    "this event id came with another body before; it was not taken",
                );
            }
            (StatusCode::ACCEPTED, Json(json!({"results": results}))).into_response()
        }
        Err(IntakeError::Refused(HookRefusal::NotAuthentic(refusal))) => {
            tracing::warn!(source = name, reason = %refusal, "a webhook was refused");
            problem(StatusCode::UNAUTHORIZED, "not-authentic", &refusal.to_string())
        }
        Err(IntakeError::Refused(HookRefusal::NoHook(_))) => {
            problem(StatusCode::NOT_FOUND, "no-such-hook", "this source takes no webhooks: its file has no [webhook]")
        }
        Err(IntakeError::Refused(refusal)) => problem(StatusCode::BAD_REQUEST, "not-readable", &refusal.to_string()),
        Err(IntakeError::Ledger(error)) => unavailable(&error),
    }
}

/// A body that could not be read whole.
fn unread(rejection: &BytesRejection, limit: usize) -> Response {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return problem(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            &format!("at most {limit} bytes are taken ([server] max_body_bytes)"),
        );
    }
    problem(rejection.status(), "not-readable", "the body broke off")
}

/// A desk's webhook: a hint.
pub(super) async fn desk(
    State(state): State<WebState>,
    Path(name): Path<String>,
    peer: Option<axum::Extension<ConnectInfo<SocketAddr>>>,
    Query(query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let setup = state.setup.load_full();
    let Some(desk) = setup.desks.get(&name) else {
        return problem(StatusCode::NOT_FOUND, "no-such-desk", "there is no desk of that name");
    };
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return unread(&rejection, setup.catalog.main.server.max_body_bytes),
    };
    let now = state.clock.now();
    let inbound = inbound(format!("/hooks/desk/{name}"), query, &headers, &body, &peer.map(|p| p.0), now);
    match crate::flow::sync::hint(&*state.ledger, &**desk, inbound, &*state.clock).await {
        Ok(tickets) => {
            (state.wake)();
            (StatusCode::ACCEPTED, Json(json!({"tickets": tickets}))).into_response()
        }
        Err(HintError::Refused(refusal)) => {
            tracing::warn!(desk = name, reason = %refusal, "a desk's webhook was refused");
            problem(StatusCode::UNAUTHORIZED, "not-authentic", &refusal.to_string())
        }
        Err(HintError::Ledger(error)) => unavailable(&error),
    }
}
