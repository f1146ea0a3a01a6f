//! What is said when a request is refused: RFC 9457 problem documents, each with a page under `/docs/errors`.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::ledger::LedgerError;

/// Every kind of refusal; the stored word is the last part of the problem's `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Query, path or body cannot be read.
    BadRequest,
    /// A cursor that this list did not give out.
    Cursor,
    /// A webhook's body is authentic but cannot be read at all.
    NotReadable,
    /// Nobody is signed in.
    SignIn,
    /// A webhook is not authentic.
    NotAuthentic,
    /// Not opened under an address of this machine.
    Host,
    /// Sent by another site.
    Origin,
    /// A form without its token.
    Form,
    /// Only operators may do this.
    Role,
    /// Only readers of every application may see this.
    Scope,
    /// Nothing is at this address.
    NotFound,
    /// No assignment of that id for this reader.
    NoSuchAssignment,
    /// No errand of that id for this reader.
    NoSuchErrand,
    /// No finding of that id for this reader.
    NoSuchFinding,
    /// No held event of that id for this reader.
    NoSuchEvent,
    /// No source of that name.
    NoSuchSource,
    /// No desk of that name.
    NoSuchDesk,
    /// The address answers other methods.
    Method,
    /// The body did not arrive in time.
    Slow,
    /// The event id is known with another body.
    EventConflict,
    /// The thing is not in a state for that action.
    NotNow,
    /// The body is too large.
    TooLarge,
    /// The body is of another media type.
    MediaType,
    /// The body is readable, but says something impossible.
    Unprocessable,
    /// Too many failed sign-ins.
    TooManyAttempts,
    /// A defect of lastmile.
    Internal,
    /// Too many readers at once.
    Busy,
    /// The ledger does not answer.
    LedgerAway,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 28] = [
        Self::BadRequest,
        Self::Cursor,
        Self::NotReadable,
        Self::SignIn,
        Self::NotAuthentic,
        Self::Host,
        Self::Origin,
        Self::Form,
        Self::Role,
        Self::Scope,
        Self::NotFound,
        Self::NoSuchAssignment,
        Self::NoSuchErrand,
        Self::NoSuchFinding,
        Self::NoSuchEvent,
        Self::NoSuchSource,
        Self::NoSuchDesk,
        Self::Method,
        Self::Slow,
        Self::EventConflict,
        Self::NotNow,
        Self::TooLarge,
        Self::MediaType,
        Self::Unprocessable,
        Self::TooManyAttempts,
        Self::Internal,
        Self::Busy,
        Self::LedgerAway,
    ];

    const fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::BadRequest => ("bad-request", StatusCode::BAD_REQUEST, "The request cannot be read"),
            Self::Cursor => ("cursor", StatusCode::BAD_REQUEST, "The cursor is not of this list"),
            Self::NotReadable => ("not-readable", StatusCode::BAD_REQUEST, "The event cannot be read"),
            Self::SignIn => ("sign-in", StatusCode::UNAUTHORIZED, "Sign in first"),
            Self::NotAuthentic => ("not-authentic", StatusCode::UNAUTHORIZED, "The event is not authentic"),
            Self::Host => ("host", StatusCode::FORBIDDEN, "Not under this address"),
            Self::Origin => ("origin", StatusCode::FORBIDDEN, "Sent by another site"),
            Self::Form => ("form", StatusCode::FORBIDDEN, "The form is not one of ours, or too old"),
            Self::Role => ("role", StatusCode::FORBIDDEN, "Only operators may act"),
            Self::Scope => ("scope", StatusCode::FORBIDDEN, "Only for readers of every application"),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "Nothing is here"),
            Self::NoSuchAssignment => ("no-such-assignment", StatusCode::NOT_FOUND, "No such assignment"),
            Self::NoSuchErrand => ("no-such-errand", StatusCode::NOT_FOUND, "No such errand"),
            Self::NoSuchFinding => ("no-such-finding", StatusCode::NOT_FOUND, "No such finding"),
            Self::NoSuchEvent => ("no-such-event", StatusCode::NOT_FOUND, "No such quarantined event"),
            Self::NoSuchSource => ("no-such-source", StatusCode::NOT_FOUND, "No such source"),
            Self::NoSuchDesk => ("no-such-desk", StatusCode::NOT_FOUND, "No such desk"),
            Self::Method => ("method", StatusCode::METHOD_NOT_ALLOWED, "Another method is needed"),
            Self::Slow => ("slow", StatusCode::REQUEST_TIMEOUT, "The body did not arrive in time"),
            Self::EventConflict => ("event-conflict", StatusCode::CONFLICT, "The event id is known with another body"),
            Self::NotNow => ("not-now", StatusCode::CONFLICT, "Not possible in this state"),
            Self::TooLarge => ("too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
            Self::MediaType => ("media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "Another media type is needed"),
            Self::Unprocessable => ("unprocessable", StatusCode::UNPROCESSABLE_ENTITY, "The body says something impossible"),
            Self::TooManyAttempts => ("too-many-attempts", StatusCode::TOO_MANY_REQUESTS, "Too many failed sign-ins"),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "A defect of lastmile"),
            Self::Busy => ("busy", StatusCode::SERVICE_UNAVAILABLE, "Too many readers at once"),
            Self::LedgerAway => ("ledger-away", StatusCode::SERVICE_UNAVAILABLE, "The ledger does not answer"),
        }
    }

    /// The stable word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The status it answers with.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.row().1
    }

    /// The same for every case of it, for people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        self.row().2
    }
}

/// A problem document (RFC 9457).
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Problem {
    /// Page of this kind of problem, relative to this server.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind, for people.
    pub title: String,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    pub status: u16,
    /// This case, for people.
    pub detail: String,
    /// More about this case.
    #[serde(flatten)]
    #[schema(ignore)]
    pub more: Map<String, Value>,
}

/// What a handler refuses with.
#[derive(Debug, Clone)]
pub struct Refused {
    /// The kind.
    pub code: Code,
    /// This case, for people; no person, body or secret in it.
    pub detail: String,
    more: Map<String, Value>,
    retry_after: Option<i64>,
}

impl Refused {
    /// With words for this case.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), more: Map::new(), retry_after: None }
    }

    /// With a further member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Serialize) -> Self {
        self.more.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
        self
    }

    /// May be tried again after so many seconds.
    #[must_use]
    pub fn after(mut self, seconds: i64) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }

    /// The document.
    #[must_use]
    pub fn document(&self) -> Problem {
        Problem {
            kind: format!("/docs/errors/{}", self.code.as_str()),
            title: self.code.title().to_owned(),
            status: self.code.status().as_u16(),
            detail: self.detail.clone(),
            more: self.more.clone(),
        }
    }
}

impl From<LedgerError> for Refused {
    fn from(error: LedgerError) -> Self {
        tracing::error!(error = %error, "the ledger did not answer; nothing was recorded");
        Self::new(Code::LedgerAway, "the ledger is away and nothing was recorded; try again").after(10)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let body = serde_json::to_string(&self.document()).unwrap_or_default();
        let mut response =
            (self.code.status(), [(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"))], body)
                .into_response();
        let headers = response.headers_mut();
        if self.code == Code::SignIn {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"lastmile\""));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        // For people the same is shown as a page: see `answer`.
        response.extensions_mut().insert(self);
        response
    }
}

/// Refuses with a kind and words for this case.
pub(super) fn problem(code: Code, detail: impl Into<String>) -> Response {
    Refused::new(code, detail).into_response()
}

/// The ledger did not answer.
pub(super) fn unavailable(error: LedgerError) -> Response {
    Refused::from(error).into_response()
}
