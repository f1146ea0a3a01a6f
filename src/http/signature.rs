//! Verifies inbound requests and signs outbound ones.
//!
//! Everything is computed over the raw bytes, before any of them is parsed, and compared in constant time.

mod construction;
mod standard;

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::certificate::Pin;
use super::inbound::{Inbound, Verified};
use crate::model::Timestamp;

pub use construction::{Construction, check_construction};
pub use standard::{PublicKey, check_signing, sign_standard};

/// How a sender proves who it is. Secrets are a list so that they can be rotated without a gap.
#[derive(Clone)]
pub enum Scheme {
    /// Standard Webhooks 1.0.0 (`webhook-id`, `webhook-timestamp`, `webhook-signature`): symmetric v1, asymmetric v1a.
    StandardWebhooks {
        /// `whsec_…` secrets; the newest first.
        secrets: Vec<SecretString>,
        /// `whpk_…` keys of senders that sign with Ed25519.
        public_keys: Vec<PublicKey>,
        /// Accepted difference of clocks, seconds.
        tolerance_secs: i64,
    },
    /// An HMAC in a header.
    Hmac {
        /// How it is made.
        construction: Construction,
        /// Keys.
        secrets: Vec<SecretString>,
    },
    /// `X-Hub-Signature-256` or `X-Hub-Signature`: `sha256=` (where allowed `sha1=`) and the HMAC of the body in hex.
    HubSignature {
        /// SHA-1 is good enough.
        sha1: bool,
        /// Header with the delivery's id, where there is one.
        id_header: Option<String>,
        /// Keys.
        secrets: Vec<SecretString>,
    },
    /// A client certificate that the listener verified.
    ClientCertificate {
        /// Any of these.
        pins: Vec<Pin>,
        /// Header with the delivery's id, where there is one.
        id_header: Option<String>,
    },
    /// A fixed token in a header.
    Token {
        /// Header, lower case.
        header: String,
        /// Text before the token (`Bearer `), in any case; may be empty.
        prefix: String,
        /// Header with the delivery's id, where there is one.
        id_header: Option<String>,
        /// Tokens.
        secrets: Vec<SecretString>,
    },
}

impl std::fmt::Debug for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::StandardWebhooks { .. } => "Scheme(standard-webhooks)",
            Self::Hmac { .. } => "Scheme(hmac)",
            Self::HubSignature { .. } => "Scheme(hub-signature)",
            Self::ClientCertificate { .. } => "Scheme(client-certificate)",
            Self::Token { .. } => "Scheme(token)",
        })
    }
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
    /// Hex; upper case is accepted too.
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
    /// No client certificate, or not one of those that are pinned.
    #[error("{0}")]
    Certificate(&'static str),
    /// A configured secret cannot be used.
    #[error("a configured secret cannot be used: {0}")]
    Secret(String),
}

impl Scheme {
    /// Verifies the request, at the cost of one digest over its body per secret.
    ///
    /// # Errors
    /// [`Refusal`]: nothing of the body may be used then.
    pub fn verify(&self, inbound: Inbound, now: Timestamp) -> Result<Verified, Refusal> {
        let id_header = match self {
            Self::StandardWebhooks { secrets, public_keys, tolerance_secs } => {
                let id = standard::verify(&inbound, secrets, public_keys, *tolerance_secs, now)?;
                return Ok(Verified::new(inbound, Some(id), true));
            }
            Self::Hmac { construction, secrets } => {
                construction.verify(&inbound, secrets, now)?;
                &construction.id_header
            }
            Self::HubSignature { sha1, id_header, secrets } => {
                construction::verify_hub(&inbound, secrets, *sha1)?;
                id_header
            }
            Self::Token { header, prefix, id_header, secrets } => {
                verify_token(&inbound, header, prefix, secrets)?;
                id_header
            }
            Self::ClientCertificate { pins, id_header } => {
                verify_certificate(&inbound, pins)?;
                id_header
            }
        };
        let delivery_id = optional_header(&inbound, id_header.as_deref());
        Ok(Verified::new(inbound, delivery_id, self.signs_body()))
    }

    /// A signature covers the body, and only the body: headers beside it could be anybody's. The other schemes vouch
    /// for the sender.
    fn signs_body(&self) -> bool {
        matches!(self, Self::StandardWebhooks { .. } | Self::Hmac { .. } | Self::HubSignature { .. })
    }

    /// Whether every configured secret can be used; asked at start, so that a typing error is not found by the
    /// first order.
    ///
    /// # Errors
    /// [`Refusal::Secret`], without the secret.
    pub fn check(&self) -> Result<(), Refusal> {
        let none = match self {
            Self::StandardWebhooks { secrets, public_keys, .. } => {
                secrets.iter().try_for_each(standard::check_secret)?;
                secrets.is_empty() && public_keys.is_empty()
            }
            Self::Hmac { secrets, .. } | Self::HubSignature { secrets, .. } | Self::Token { secrets, .. } => secrets.is_empty(),
            Self::ClientCertificate { pins, .. } => pins.is_empty(),
        };
        if none { Err(Refusal::Secret("there is none".to_owned())) } else { Ok(()) }
    }
}

fn verify_certificate(inbound: &Inbound, pins: &[Pin]) -> Result<(), Refusal> {
    let given = inbound.client_certificate.as_ref();
    let given = given.ok_or(Refusal::Certificate("no client certificate was shown: send to the address of [server.tls]"))?;
    if pins.iter().any(|pin| pin.fits(given)) {
        return Ok(());
    }
    Err(Refusal::Certificate("the client certificate is not one of those that this source names"))
}

fn verify_token(inbound: &Inbound, header: &str, prefix: &str, secrets: &[SecretString]) -> Result<(), Refusal> {
    let given = required_header(inbound, header)?;
    let bad_header = || Refusal::Header(header.to_owned());
    let (start, given) = given.split_at_checked(prefix.len()).ok_or_else(bad_header)?;
    if !start.eq_ignore_ascii_case(prefix) {
        return Err(bad_header());
    }
    let fits = secrets
        .iter()
        .fold(subtle::Choice::from(0), |fits, secret| fits | secret.expose_secret().as_bytes().ct_eq(given.as_bytes()));
    if bool::from(fits) { Ok(()) } else { Err(Refusal::Signature) }
}

fn required_header<'a>(inbound: &'a Inbound, name: &str) -> Result<&'a str, Refusal> {
    inbound.header(name).filter(|v| !v.is_empty()).ok_or_else(|| Refusal::Header(name.to_owned()))
}

fn optional_header(inbound: &Inbound, name: Option<&str>) -> Option<String> {
    name.and_then(|n| inbound.header(n)).filter(|v| !v.is_empty()).map(str::to_owned)
}

fn within_tolerance(at: Timestamp, tolerance_secs: i64, now: Timestamp) -> Result<(), Refusal> {
    let away = now.0.div_euclid(1000).saturating_sub(at.0.div_euclid(1000)).saturating_abs();
    if away > tolerance_secs { Err(Refusal::Stale(away, tolerance_secs)) } else { Ok(()) }
}

fn mac_sha256(key: &[u8], parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    Some(mac)
}

fn mac_sha1(key: &[u8], parts: &[&[u8]]) -> Option<Hmac<Sha1>> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).ok()?;
    parts.iter().for_each(|part| mac.update(part));
    Some(mac)
}

#[cfg(test)]
mod tests;
