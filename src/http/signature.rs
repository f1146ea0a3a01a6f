//! Verifies inbound requests and signs outbound ones.

use secrecy::SecretString;

use super::inbound::{Inbound, Verified};
use crate::model::Timestamp;

/// How a sender proves who it is. Secrets are a list so that they can be rotated without a gap.
#[derive(Clone)]
pub enum Scheme {
    /// Standard Webhooks 1.0.0, symmetric v1 (`webhook-id`, `webhook-timestamp`, `webhook-signature`).
    StandardWebhooks {
        /// `whsec_…` secrets; the newest first.
        secrets: Vec<SecretString>,
        /// Accepted difference of clocks, seconds.
        tolerance_secs: i64,
    },
    /// An HMAC in a header.
    Hmac {
        /// Header that carries the signature, lower case.
        header: String,
        /// Text before the signature (`sha256=`), may be empty.
        prefix: String,
        /// Digest.
        algorithm: HmacAlgorithm,
        /// Encoding of the signature.
        encoding: Encoding,
        /// What is signed: `{body}`, `{timestamp}` and literal text between them.
        signed: String,
        /// Header with unix seconds, where `signed` names `{timestamp}`.
        timestamp_header: Option<String>,
        /// Accepted difference of clocks, seconds; only with a timestamp.
        tolerance_secs: i64,
        /// Header with the delivery's id, where there is one.
        id_header: Option<String>,
        /// Keys.
        secrets: Vec<SecretString>,
    },
    /// A fixed token in a header.
    Token {
        /// Header, lower case.
        header: String,
        /// Text before the token (`Bearer `), may be empty.
        prefix: String,
        /// Header with the delivery's id, where there is one.
        id_header: Option<String>,
        /// Tokens.
        secrets: Vec<SecretString>,
    },
}

/// Digest of an HMAC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HmacAlgorithm {
    /// HMAC-SHA-256.
    #[default]
    Sha256,
    /// HMAC-SHA-1, for desks that still use it.
    Sha1,
}

/// Encoding of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Lower-case hex.
    #[default]
    Hex,
    /// Standard base 64.
    Base64,
}

/// Why a request was refused.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// A header of the scheme is absent or malformed.
    #[error("header `{0}` is missing or malformed")]
    Header(String),
    /// The time stamp is outside the tolerance.
    #[error("the time stamp is {0} s away from our clock; {1} s are accepted")]
    Stale(i64, i64),
    /// No secret fits.
    #[error("the signature does not fit")]
    Signature,
    /// A configured secret cannot be used.
    #[error("a configured secret cannot be used: {0}")]
    Secret(String),
}

impl Scheme {
    /// Verifies the request, at the cost of one digest over its body.
    ///
    /// # Errors
    /// [`Refusal`]: nothing of the body may be used then.
    pub fn verify(&self, _inbound: Inbound, _now: Timestamp) -> Result<Verified, Refusal> {
        unimplemented!("helper: edges")
    }
}
