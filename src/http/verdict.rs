//! The verdict of a call: may it be repeated, must it be given up, or may it have happened?

use std::time::Duration;

use serde_json::Value;

use super::{Answer, gate};

/// Why a call outward is not done. `Done` is the `Ok` of a result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It certainly had no effect; repeat it later.
    #[error("{code}: {reason}")]
    Retry {
        /// Stable code with a page in docs/errors.
        code: &'static str,
        /// For people; no body, person or secret in it.
        reason: String,
        /// What the other side asked for.
        after: Option<Duration>,
    },
    /// It had no effect and repeating will not help: a person is needed.
    #[error("{code}: {reason}")]
    Reject {
        /// Stable code with a page in docs/errors.
        code: &'static str,
        /// For people.
        reason: String,
    },
    /// It may have had its effect: witnesses are asked before it is repeated.
    #[error("{code}: {reason}")]
    Unclear {
        /// Stable code with a page in docs/errors.
        code: &'static str,
        /// For people.
        reason: String,
    },
}

impl CallError {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Retry { code, .. } | Self::Reject { code, .. } | Self::Unclear { code, .. } => code,
        }
    }

    /// The words for people.
    #[must_use]
    pub fn reason(&self) -> &str {
        match self {
            Self::Retry { reason, .. } | Self::Reject { reason, .. } | Self::Unclear { reason, .. } => reason,
        }
    }

    /// How long the other side asked to be left alone, milliseconds.
    #[must_use]
    pub fn asked_ms(&self) -> Option<i64> {
        match self {
            Self::Retry { after, .. } => after.and_then(|span| i64::try_from(span.as_millis()).ok()),
            Self::Reject { .. } | Self::Unclear { .. } => None,
        }
    }

    /// Shorthand for a refusal that a person must look at.
    pub fn reject(code: &'static str, reason: impl Into<String>) -> Self {
        Self::Reject { code, reason: reason.into() }
    }

    /// Shorthand for a failure without effect.
    pub fn retry(code: &'static str, reason: impl Into<String>) -> Self {
        Self::Retry { code, reason: reason.into(), after: None }
    }

    /// "Slow down", and how long where that is said. It is said to all calls of the edge: whoever keeps its pauses hears it,
    /// also where this error is passed over.
    pub fn busy(reason: impl Into<String>, after: Option<Duration>) -> Self {
        gate::busy(after);
        Self::Retry { code: "E-BUSY", reason: reason.into(), after }
    }

    /// Shorthand for a call that may have happened.
    pub fn unclear(code: &'static str, reason: impl Into<String>) -> Self {
        Self::Unclear { code, reason: reason.into() }
    }

    /// A read has no effect to be unclear about: what is unclear may simply be repeated.
    #[must_use]
    pub fn of_a_read(self) -> Self {
        match self {
            Self::Unclear { code, reason } => Self::Retry { code, reason, after: None },
            other => other,
        }
    }
}

/// Verdicts by HTTP status, the same for every edge unless its own table says otherwise.
///
/// 429 → retry after what it asks; 425 and redirects (a login page) → retry; 5xx, 408 and 303 ("see the result
/// elsewhere") → unclear: it may have had its effect; other 4xx → reject. 401/403 are `Retry` with code `E-AUTH`: credentials are mended
/// by people, and the order is not at fault.
#[must_use]
pub fn by_status(status: u16, retry_after: Option<Duration>, edge: &str, words: &str) -> CallError {
    let words: String = words.chars().filter(|c| !c.is_control()).take(300).collect();
    let reason =
        if words.is_empty() { format!("{edge} answered {status}") } else { format!("{edge} answered {status}: {words}") };
    match status {
        429 => CallError::busy(reason, retry_after),
        425 => CallError::Retry { code: "E-TIMEOUT", reason, after: retry_after },
        408 => CallError::Unclear { code: "E-TIMEOUT", reason },
        401 | 403 => CallError::Retry { code: "E-AUTH", reason, after: None },
        500..=599 => CallError::Unclear { code: "E-SERVER", reason },
        303 => CallError::Unclear { code: "E-REDIRECT", reason },
        300..=399 => CallError::Retry { code: "E-REDIRECT", reason, after: None },
        _ => CallError::Reject { code: "E-REFUSED", reason },
    }
}

/// What a read was answered, as JSON. The other side's own words may name persons: none of them is told.
///
/// # Errors
/// The verdict by its status; a success that is not JSON may be asked for again.
pub fn json_of(answer: &Answer, edge: &str) -> Result<Value, CallError> {
    if !answer.is_success() {
        return Err(by_status(answer.status, answer.retry_after(), edge, "").of_a_read());
    }
    answer.json().ok_or_else(|| {
        let reason = format!("{edge} answered {} with something that is not JSON", answer.status);
        CallError::retry("E-NOT-JSON", reason)
    })
}
