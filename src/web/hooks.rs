//! Hooks: the raw request goes to its source or desk, which verifies it before reading a word of it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Extension, Path, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::extract::{Asked, Raw};
use super::problem::{Code, Refused};
use super::{WebState, Woken};
use crate::flow::intake::{IntakeError, Next};
use crate::flow::sync::HintError;
use crate::http::{ClientCertificate, Inbound};
use crate::ledger::Recorded;
use crate::model::Timestamp;
use crate::source::{Handshake, HookRefusal, Question, Source};

type Peer = Option<Extension<ConnectInfo<SocketAddr>>>;
/// The client certificate that our own listener verified.
type Shown = Option<Extension<ClientCertificate>>;
type Query = Asked<BTreeMap<String, String>>;

fn inbound(
    (method, path): (&str, String),
    query: BTreeMap<String, String>,
    headers: &HeaderMap,
    body: &Bytes,
    peer: Peer,
    shown: Shown,
    now: Timestamp,
) -> Inbound {
    Inbound {
        method: method.to_owned(),
        path,
        query,
        headers: headers
            .iter()
            .map(|(k, v)| (k.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned()))
            .collect(),
        body: body.to_vec(),
        peer: peer.map(|Extension(ConnectInfo(peer))| peer.ip()),
        client_certificate: shown.map(|Extension(certificate)| certificate),
        received_at: now,
    }
}

/// A platform's webhook: durable before the answer.
pub(super) async fn source(
    State(state): State<WebState>,
    Path(name): Path<String>,
    peer: Peer,
    shown: Shown,
    Asked(query): Query,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response, Refused> {
    let source = source_of(&state, &name)?;
    let inbound = inbound(("POST", format!("/hooks/{name}")), query, &headers, &body, peer, shown, state.clock.now());
    taken(&state, &*source, inbound).await
}

/// Below a source's address, for platforms that use us as a desk: a status is asked for, an order is taken back.
pub(super) async fn below(
    State(state): State<WebState>,
    (method, Path((name, rest))): (Method, Path<(String, String)>),
    peer: Peer,
    shown: Shown,
    Asked(query): Query,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response, Refused> {
    let source = source_of(&state, &name)?;
    if !source.info().capabilities.asks {
        return Err(Refused::new(Code::NotFound, "this source has nothing below its address"));
    }
    let inbound =
        inbound((method.as_str(), format!("/hooks/{name}/{rest}")), query, &headers, &body, peer, shown, state.clock.now());
    if method != Method::GET {
        return taken(&state, &*source, inbound).await;
    }
    let question = source.question(inbound, state.clock.now()).map_err(|refusal| refused(&name, refusal.into()))?;
    told(&state, &*source, question).await
}

fn source_of(state: &WebState, name: &str) -> Result<Arc<dyn Source>, Refused> {
    let setup = state.setup.load_full();
    setup.sources.get(name).cloned().ok_or_else(|| Refused::new(Code::NoSuchSource, "there is no source of that name"))
}

async fn taken(state: &WebState, source: &dyn Source, inbound: Inbound) -> Result<Response, Refused> {
    let (name, now) = (source.info().name.as_str(), state.clock.now());
    let asked = source.info().capabilities.asks.then(|| inbound.clone());
    if source.takes_rows() {
        let answers = crate::flow::intake::take_rows(&*state.ledger, source, inbound, now).await;
        let answers = answers.map_err(|error| refused(name, error))?;
        (state.wake)(Woken::All);
        return Ok((StatusCode::ACCEPTED, Json(json!({"rows": answers}))).into_response());
    }
    let taken = crate::flow::intake::take_in(&*state.ledger, source, inbound, now, Some(&state.foresight)).await;
    let (results, next) = taken.map_err(|error| refused(name, error))?;
    match next {
        Next { plans: true, calls: true } => (state.wake)(Woken::All),
        Next { plans: true, .. } => (state.wake)(Woken::Orders),
        Next { calls: true, .. } => (state.wake)(Woken::Errands),
        Next { .. } => {}
    }
    if results.contains(&Recorded::Conflict) {
        let words = "an event of this id came before with another body; it was not taken";
        return Err(Refused::new(Code::EventConflict, words).with("results", results));
    }
    match asked {
        None => Ok((StatusCode::ACCEPTED, Json(json!({"results": results}))).into_response()),
        Some(inbound) => {
            let question = source.question(inbound, now).map_err(|refusal| refused(name, refusal.into()))?;
            told(state, source, question).await
        }
    }
}

/// What a platform asked for, from the ledger as it stands now.
async fn told(state: &WebState, source: &dyn Source, question: Option<Question>) -> Result<Response, Refused> {
    let nothing = || Refused::new(Code::NotFound, "there is no order of that number");
    let question = question.ok_or_else(nothing)?;
    let reply = crate::flow::answer::answer(&*state.ledger, source, &question, state.clock.now()).await?;
    let reply = reply.ok_or_else(nothing)?;
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::OK);
    Ok((status, Json(reply.body)).into_response())
}

fn refused(source: &str, error: IntakeError) -> Refused {
    match error {
        IntakeError::Refused(HookRefusal::NotAuthentic(refusal)) => {
            tracing::warn!(source, reason = %refusal, "a webhook was refused");
            Refused::new(Code::NotAuthentic, refusal.to_string())
        }
        IntakeError::Refused(HookRefusal::NoHook(_)) => {
            Refused::new(Code::NotFound, "this source takes no webhooks: its file has no [webhook]")
        }
        IntakeError::Refused(refusal) => Refused::new(Code::NotReadable, refusal.to_string()),
        IntakeError::Ledger(error) => error.into(),
    }
}

/// A sender of CloudEvents asks whether it may deliver. Nothing is called back and nothing is believed of it.
pub(super) async fn handshake(
    State(state): State<WebState>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let source = source_of(&state, &name)?;
    let origin = headers.get("webhook-request-origin").and_then(|value| value.to_str().ok()).map(str::trim);
    let origin = origin.filter(|origin| !origin.is_empty() && origin.len() <= 253);
    let origin =
        origin.ok_or_else(|| Refused::new(Code::BadRequest, "a handshake names its sender in `WebHook-Request-Origin`"))?;
    match source.handshake(origin) {
        Handshake::NotTaken => {
            Err(Refused::new(Code::NotFound, "this source takes no handshake: its file has no [webhook.cloud_events]"))
        }
        Handshake::Refused => {
            tracing::warn!(source = name, "a handshake was refused: its origin is not in `origins`");
            Err(Refused::new(Code::Origin, "this origin is not among those that the source's file names"))
        }
        Handshake::Granted { per_minute } => {
            let rate = per_minute.map_or_else(|| "*".to_owned(), |rate| rate.to_string());
            let granted = [("allow", "POST"), ("webhook-allowed-origin", origin), ("webhook-allowed-rate", &rate)];
            Ok((StatusCode::OK, granted.map(|(name, value)| (name, value.to_owned()))).into_response())
        }
    }
}

/// A desk's webhook: a hint.
pub(super) async fn desk(
    State(state): State<WebState>,
    Path(name): Path<String>,
    peer: Peer,
    shown: Shown,
    Asked(query): Query,
    headers: HeaderMap,
    Raw(body): Raw,
) -> Result<Response, Refused> {
    let setup = state.setup.load_full();
    let desk = setup.desks.get(&name).ok_or_else(|| Refused::new(Code::NoSuchDesk, "there is no desk of that name"))?;
    let inbound = inbound(("POST", format!("/hooks/desk/{name}")), query, &headers, &body, peer, shown, state.clock.now());
    match crate::flow::sync::hint(&*state.ledger, &**desk, inbound, &state.pauses, &*state.clock).await {
        Ok(tickets) => {
            (state.wake)(Woken::All);
            Ok((StatusCode::ACCEPTED, Json(json!({"tickets": tickets}))).into_response())
        }
        Err(HintError::Refused(refusal)) => {
            tracing::warn!(desk = name, reason = %refusal, "a desk's webhook was refused");
            Err(Refused::new(Code::NotAuthentic, refusal.to_string()))
        }
        Err(HintError::Ledger(error)) => Err(error.into()),
    }
}
