//! What handlers take from a request. Each refusal is a problem document, and a body must arrive within its time.

use axum::Form;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use serde::de::DeserializeOwned;

use super::access::Reader;
use super::problem::{Code, Refused};
use super::session::form_token_holds;
use super::{SMALL_BODY, WebState};
use crate::model::Id;

/// The raw body, within the limit of its route.
pub(super) struct Raw(pub(super) Bytes);

impl FromRequest<WebState> for Raw {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &WebState) -> Result<Self, Refused> {
        let within = state.gate.limits.body_within;
        let hook = request.uri().path().starts_with("/hooks/");
        match tokio::time::timeout(within, Bytes::from_request(request, state)).await {
            Ok(Ok(bytes)) => Ok(Self(bytes)),
            Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                let most = state.setup.load().catalog.main.server.max_body_bytes;
                let words = if hook {
                    format!("at most {most} bytes are taken ([server] max_body_bytes)")
                } else {
                    format!("at most {SMALL_BODY} bytes are taken")
                };
                Err(Refused::new(Code::TooLarge, words))
            }
            Ok(Err(_)) => Err(Refused::new(Code::BadRequest, "the body broke off")),
            Err(_) => Err(Refused::new(Code::Slow, format!("the body did not arrive within {} s", within.as_secs()))),
        }
    }
}

/// An id in the path; what is no id is not there.
pub(super) struct IdIn(pub(super) Id);

impl FromRequestParts<WebState> for IdIn {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &WebState) -> Result<Self, Refused> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Refused::new(Code::NotFound, "there is nothing at this address"))?;
        text.parse().map(Self).map_err(|_| Refused::new(Code::NotFound, "that is not an id of ours"))
    }
}

/// A query; a wrong value is named.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<WebState> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &WebState) -> Result<Self, Refused> {
        Query::<T>::from_request_parts(parts, state)
            .await
            .map(|Query(value)| Self(value))
            .map_err(|e| Refused::new(Code::BadRequest, e.body_text()))
    }
}

/// A form of one of our pages, with the token it was shown with, by the reader it was shown to.
pub(super) struct SignedForm<T>(pub(super) Reader, pub(super) T);

impl<T: DeserializeOwned> FromRequest<WebState> for SignedForm<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &WebState) -> Result<Self, Refused> {
        let (mut parts, body) = request.into_parts();
        let reader = Reader::from_request_parts(&mut parts, state).await?;
        let binding = reader.binding();
        let form = signed(Request::from_parts(parts, body), state, &binding).await?;
        Ok(Self(reader, form))
    }
}

/// Reads a form whose token is bound to `binding`.
pub(super) async fn signed<T: DeserializeOwned>(request: Request, state: &WebState, binding: &str) -> Result<T, Refused> {
    let (parts, body) = request.into_parts();
    media(&parts, "application/x-www-form-urlencoded")?;
    let Raw(bytes) = Raw::from_request(Request::from_parts(parts.clone(), body), state).await?;
    let token = url::form_urlencoded::parse(&bytes).find(|(name, _)| name == "csrf").map(|(_, value)| value.into_owned());
    if !token.is_some_and(|sent| form_token_holds(&*state.ledger, binding, &sent)) {
        return Err(Refused::new(Code::Form, "open the page again and send its form"));
    }
    let form = Form::<T>::from_request(Request::from_parts(parts, Body::from(bytes)), state).await;
    form.map(|Form(value)| value).map_err(|e| Refused::new(Code::Unprocessable, e.body_text()))
}

/// A JSON body. The media type is demanded: no form of another site can send it unasked.
pub(super) struct Sent<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<WebState> for Sent<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &WebState) -> Result<Self, Refused> {
        let (parts, body) = request.into_parts();
        media(&parts, "application/json")?;
        let Raw(bytes) = Raw::from_request(Request::from_parts(parts, body), state).await?;
        let value = serde_json::from_slice(&bytes).map_err(|e| Refused::new(Code::BadRequest, format!("not JSON: {e}")))?;
        // Apart from reading it, so that a shape that does not fit is another problem than a broken document.
        serde_json::from_value::<T>(value).map(Self).map_err(|e| Refused::new(Code::Unprocessable, e.to_string()))
    }
}

fn media(parts: &Parts, wanted: &str) -> Result<(), Refused> {
    let sent = parts.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let kind = sent.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    Err(Refused::new(Code::MediaType, format!("send this as {wanted}")))
}
