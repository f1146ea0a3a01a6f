//! Verifies inbound requests and signs outbound ones.
//!
//! Everything is computed over the raw bytes, before any of them is parsed, and compared in constant time.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::inbound::{Inbound, Verified};
use crate::model::Timestamp;

/// Most signatures read from one header: a sender rotates between two or three secrets.
const MAX_SIGNATURES: usize = 16;

/// Shortest key of Standard Webhooks 1.0.0, bytes.
const SHORTEST_KEY: usize = 24;

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

impl std::fmt::Debug for Scheme {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::StandardWebhooks { .. } => "Scheme(standard-webhooks)",
            Self::Hmac { .. } => "Scheme(hmac)",
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
        let delivery_id = match self {
            Self::StandardWebhooks { secrets, tolerance_secs } => Some(verify_standard(&inbound, secrets, *tolerance_secs, now)?),
            Self::Hmac { id_header, .. } => {
                self.verify_hmac(&inbound, now)?;
                optional_header(&inbound, id_header.as_deref())
            }
            Self::Token { header, prefix, id_header, secrets } => {
                verify_token(&inbound, header, prefix, secrets)?;
                optional_header(&inbound, id_header.as_deref())
            }
        };
        Ok(Verified::new(inbound, delivery_id))
    }

    /// Whether every configured secret can be used; asked at start, so that a typing error is not found by the
    /// first order.
    ///
    /// # Errors
    /// [`Refusal::Secret`], without the secret.
    pub fn check(&self) -> Result<(), Refusal> {
        let secrets = match self {
            Self::StandardWebhooks { secrets, .. } | Self::Hmac { secrets, .. } | Self::Token { secrets, .. } => secrets,
        };
        if secrets.is_empty() {
            return Err(Refusal::Secret("there is none".to_owned()));
        }
        if matches!(self, Self::StandardWebhooks { .. }) {
            for secret in secrets {
                let bytes = standard_key(secret)?.len();
                if bytes < SHORTEST_KEY {
                    let words = format!("it has {bytes} bytes; Standard Webhooks asks for {SHORTEST_KEY} to 64 random ones");
                    return Err(Refusal::Secret(words));
                }
            }
        }
        Ok(())
    }

    fn verify_hmac(&self, inbound: &Inbound, now: Timestamp) -> Result<(), Refusal> {
        let Self::Hmac { header, prefix, algorithm, encoding, signed, timestamp_header, tolerance_secs, secrets, .. } = self
        else {
            return Err(Refusal::Signature);
        };
        let bad_header = || Refusal::Header(header.clone());
        let given = required_header(inbound, header)?;
        let given = given.strip_prefix(prefix.as_str()).ok_or_else(bad_header)?;
        let given = match encoding {
            Encoding::Hex => hex::decode(given).map_err(|_| bad_header())?,
            Encoding::Base64 => STANDARD.decode(given).map_err(|_| bad_header())?,
        };
        let timestamp = match timestamp_header {
            Some(name) => required_header(inbound, name)?,
            None => "",
        };
        let parts = signed_parts(signed, timestamp, &inbound.body);
        let fits = secrets.iter().fold(false, |fits, secret| {
            let key = secret.expose_secret().as_bytes();
            let here = match algorithm {
                HmacAlgorithm::Sha256 => mac_sha256(key, &parts).is_some_and(|mac| mac.verify_slice(&given).is_ok()),
                HmacAlgorithm::Sha1 => mac_sha1(key, &parts).is_some_and(|mac| mac.verify_slice(&given).is_ok()),
            };
            fits | here
        });
        if !fits {
            return Err(Refusal::Signature);
        }
        match timestamp_header {
            Some(name) if signed.contains("{timestamp}") => within_tolerance(timestamp, name, *tolerance_secs, now),
            _ => Ok(()),
        }
    }
}

/// Signs an outbound message the way of Standard Webhooks: the value of the `webhook-signature` header, over
/// `id.timestamp.body` with the timestamp in whole seconds (the value of `webhook-timestamp`).
///
/// # Errors
/// [`Refusal::Secret`] when the secret is not `whsec_` and base 64; [`Refusal::Header`] when the id contains a dot.
pub fn sign_standard(secret: &SecretString, id: &str, timestamp: Timestamp, body: &[u8]) -> Result<String, Refusal> {
    if id.is_empty() || id.contains('.') {
        return Err(Refusal::Header("webhook-id".to_owned()));
    }
    let seconds = timestamp.0.div_euclid(1000).to_string();
    let key = standard_key(secret)?;
    let mac = mac_sha256(&key, &[id.as_bytes(), b".", seconds.as_bytes(), b".", body])
        .ok_or_else(|| Refusal::Secret("its length does not fit".to_owned()))?;
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// The delivery id of a correctly signed Standard Webhooks message.
fn verify_standard(inbound: &Inbound, secrets: &[SecretString], tolerance: i64, now: Timestamp) -> Result<String, Refusal> {
    const ID: &str = "webhook-id";
    const TIMESTAMP: &str = "webhook-timestamp";
    const SIGNATURE: &str = "webhook-signature";
    let id = dotless(inbound, ID)?;
    let timestamp = dotless(inbound, TIMESTAMP)?;
    let given: Vec<Vec<u8>> = required_header(inbound, SIGNATURE)?
        .split(' ')
        .take(MAX_SIGNATURES)
        .filter_map(|entry| entry.strip_prefix("v1,"))
        .filter_map(|signature| STANDARD.decode(signature).ok())
        .collect();
    if given.is_empty() {
        return Err(Refusal::Header(SIGNATURE.to_owned()));
    }
    let mut fits = false;
    for secret in secrets {
        let key = standard_key(secret)?;
        let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &inbound.body];
        let Some(mac) = mac_sha256(&key, &parts) else { continue };
        for signature in &given {
            fits |= mac.clone().verify_slice(signature).is_ok();
        }
    }
    if !fits {
        return Err(Refusal::Signature);
    }
    within_tolerance(timestamp, TIMESTAMP, tolerance, now)?;
    Ok(id.to_owned())
}

fn verify_token(inbound: &Inbound, header: &str, prefix: &str, secrets: &[SecretString]) -> Result<(), Refusal> {
    let given = required_header(inbound, header)?;
    let given = given.strip_prefix(prefix).ok_or_else(|| Refusal::Header(header.to_owned()))?;
    let fits = secrets
        .iter()
        .fold(subtle::Choice::from(0), |fits, secret| fits | secret.expose_secret().as_bytes().ct_eq(given.as_bytes()));
    if bool::from(fits) { Ok(()) } else { Err(Refusal::Signature) }
}

/// A `whsec_…` secret's bytes.
fn standard_key(secret: &SecretString) -> Result<Vec<u8>, Refusal> {
    let text = secret.expose_secret();
    let text = text.strip_prefix("whsec_").unwrap_or(text);
    match STANDARD.decode(text) {
        Ok(key) if !key.is_empty() => Ok(key),
        _ => Err(Refusal::Secret("it must be `whsec_` and base 64".to_owned())),
    }
}

fn required_header<'a>(inbound: &'a Inbound, name: &str) -> Result<&'a str, Refusal> {
    inbound.header(name).filter(|v| !v.is_empty()).ok_or_else(|| Refusal::Header(name.to_owned()))
}

fn optional_header(inbound: &Inbound, name: Option<&str>) -> Option<String> {
    name.and_then(|n| inbound.header(n)).filter(|v| !v.is_empty()).map(str::to_owned)
}

/// A header that is part of `id.timestamp.body`: with a dot in it, two messages could sign the same text.
fn dotless<'a>(inbound: &'a Inbound, name: &str) -> Result<&'a str, Refusal> {
    let value = required_header(inbound, name)?;
    if value.contains('.') { Err(Refusal::Header(name.to_owned())) } else { Ok(value) }
}

fn within_tolerance(timestamp: &str, header: &str, tolerance_secs: i64, now: Timestamp) -> Result<(), Refusal> {
    let seconds: i64 = timestamp.parse().map_err(|_| Refusal::Header(header.to_owned()))?;
    let away = now.0.div_euclid(1000).saturating_sub(seconds).saturating_abs();
    if away > tolerance_secs { Err(Refusal::Stale(away, tolerance_secs)) } else { Ok(()) }
}

/// The pieces that `signed` names, in order: `{body}`, `{timestamp}` and the literal text between them.
fn signed_parts<'a>(signed: &'a str, timestamp: &'a str, body: &'a [u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut rest = signed;
    while let Some(open) = rest.find('{') {
        let (literal, tail) = rest.split_at(open);
        parts.push(literal.as_bytes());
        rest = if let Some(after) = tail.strip_prefix("{body}") {
            parts.push(body);
            after
        } else if let Some(after) = tail.strip_prefix("{timestamp}") {
            parts.push(timestamp.as_bytes());
            after
        } else {
            let (brace, after) = tail.split_at(1);
            parts.push(brace.as_bytes());
            after
        };
    }
    parts.push(rest.as_bytes());
    parts
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
mod tests {
    use super::*;

    // The vectors were computed once with an independent implementation (Python).
    const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    const BODY: &str = r#"{"order":"A-17","n":1}"#;
    const SIGNATURE: &str = "v1,4SoZJ4xj5svQhk5N4NMbnvuuYkLyuI8DEqi781d9zEg=";
    const NOW: Timestamp = Timestamp(1_764_000_000_500);

    fn request(headers: &[(&str, &str)], body: &str) -> Inbound {
        Inbound {
            method: "POST".to_owned(),
            path: "/hooks/iga".to_owned(),
            query: Default::default(),
            headers: headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            body: body.as_bytes().to_vec(),
            peer: None,
            client_certificate: None,
            received_at: NOW,
        }
    }

    fn standard(secrets: &[&str]) -> Scheme {
        Scheme::StandardWebhooks { secrets: secrets.iter().map(|s| SecretString::from(*s)).collect(), tolerance_secs: 300 }
    }

    fn signed(id: &str, timestamp: &str, signature: &str) -> Inbound {
        request(&[("webhook-id", id), ("webhook-timestamp", timestamp), ("webhook-signature", signature)], BODY)
    }

    #[test]
    fn a_known_vector_is_made_and_accepted() {
        let ours = sign_standard(&SecretString::from(SECRET), "msg_lm_0001", NOW, BODY.as_bytes()).unwrap();
        assert_eq!(ours, SIGNATURE);
        let verified = standard(&[SECRET]).verify(signed("msg_lm_0001", "1764000000", SIGNATURE), NOW).unwrap();
        assert_eq!(verified.delivery_id(), Some("msg_lm_0001"));
    }

    #[test]
    fn secrets_rotate_on_either_side_and_unknown_versions_are_passed_over() {
        let other = "whsec_//8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRo=";
        let list = format!("v1a,abc v2,def v1,not-base-64 v1,AAAA {SIGNATURE}");
        assert!(standard(&[other, SECRET]).verify(signed("msg_lm_0001", "1764000000", &list), NOW).is_ok());
        let refused = standard(&[other]).verify(signed("msg_lm_0001", "1764000000", &list), NOW);
        assert_eq!(refused.unwrap_err(), Refusal::Signature);
        let unknown = standard(&[SECRET]).verify(signed("msg_lm_0001", "1764000000", "v2,AAAA"), NOW);
        assert_eq!(unknown.unwrap_err(), Refusal::Header("webhook-signature".to_owned()));
    }

    #[test]
    fn every_signed_part_matters() {
        let scheme = standard(&[SECRET]);
        for (id, timestamp) in [("msg_lm_0002", "1764000000"), ("msg_lm_0001", "1764000001")] {
            assert_eq!(scheme.verify(signed(id, timestamp, SIGNATURE), NOW).unwrap_err(), Refusal::Signature);
        }
        let mut changed = signed("msg_lm_0001", "1764000000", SIGNATURE);
        changed.body[2] ^= 1;
        assert_eq!(scheme.verify(changed, NOW).unwrap_err(), Refusal::Signature);
    }

    #[test]
    fn id_and_timestamp_must_exist_and_hold_no_dot() {
        let scheme = standard(&[SECRET]);
        let cases = [("", "1764000000", "webhook-id"), ("a.b", "1764000000", "webhook-id"), ("a", "1.5", "webhook-timestamp")];
        for (id, timestamp, header) in cases {
            let refusal = scheme.verify(signed(id, timestamp, SIGNATURE), NOW).unwrap_err();
            assert_eq!(refusal, Refusal::Header(header.to_owned()));
        }
        assert!(sign_standard(&SecretString::from(SECRET), "a.b", NOW, b"").is_err());
    }

    #[test]
    fn the_tolerance_holds_both_ways() {
        let scheme = standard(&[SECRET]);
        let at =
            |secs| scheme.verify(signed("msg_lm_0001", "1764000000", SIGNATURE), Timestamp(1_764_000_000_000).plus_secs(secs));
        assert!(at(300).is_ok() && at(-300).is_ok());
        assert_eq!(at(301).unwrap_err(), Refusal::Stale(301, 300));
        assert_eq!(at(-301).unwrap_err(), Refusal::Stale(301, 300));
    }

    #[test]
    fn a_secret_that_is_no_base_64_is_found_at_start_and_never_shown() {
        let refusal = standard(&["whsec_not base64!"]).check().unwrap_err();
        assert!(matches!(&refusal, Refusal::Secret(words) if !words.contains("not base64")));
        assert!(standard(&[]).check().is_err());
        let short = standard(&["whsec_c2hvcnQ="]).check().unwrap_err().to_string();
        assert!(short.contains("5 bytes") && short.contains("24"), "{short}");
        assert!(standard(&[SECRET]).check().is_ok());
        assert!(!format!("{:?}", standard(&[SECRET])).contains("AAEC"));
    }

    fn hmac(algorithm: HmacAlgorithm, encoding: Encoding, signed: &str) -> Scheme {
        Scheme::Hmac {
            header: "x-signature".to_owned(),
            prefix: "s=".to_owned(),
            algorithm,
            encoding,
            signed: signed.to_owned(),
            timestamp_header: signed.contains("{timestamp}").then(|| "x-time".to_owned()),
            tolerance_secs: 60,
            id_header: Some("x-id".to_owned()),
            secrets: vec![SecretString::from("old"), SecretString::from("it's a secret")],
        }
    }

    #[test]
    fn known_hmac_vectors() {
        let body = r#"{"issue":"IAM-12"}"#;
        let headers = |signature| [("x-signature", signature), ("x-time", "1764000000"), ("x-id", "d-1")];
        for (scheme, signature) in [
            (
                hmac(HmacAlgorithm::Sha256, Encoding::Hex, "{body}"),
                "s=9b78bb162a7da369a613f7e80781611e21fcd7e01c6633189fe2bb34fca5e051",
            ),
            (hmac(HmacAlgorithm::Sha1, Encoding::Hex, "{body}"), "s=ecf40fbc7c12f0f9fa6f65219ff1d810697938b5"),
            (
                hmac(HmacAlgorithm::Sha256, Encoding::Base64, "v0:{timestamp}:{body}"),
                "s=ibUNl42o0/xfByIttVGM+HFLmeFIj9OtPfzbduoVRpE=",
            ),
        ] {
            let verified = scheme.verify(request(&headers(signature), body), NOW).unwrap();
            assert_eq!(verified.delivery_id(), Some("d-1"));
            assert_eq!(scheme.verify(request(&headers(signature), "{}"), NOW).unwrap_err(), Refusal::Signature);
            let bare = signature.trim_start_matches("s=");
            assert!(matches!(scheme.verify(request(&headers(bare), body), NOW), Err(Refusal::Header(_))));
        }
        let timed = hmac(HmacAlgorithm::Sha256, Encoding::Base64, "v0:{timestamp}:{body}");
        let late = timed.verify(request(&headers("s=ibUNl42o0/xfByIttVGM+HFLmeFIj9OtPfzbduoVRpE="), body), NOW.plus_secs(61));
        assert_eq!(late.unwrap_err(), Refusal::Stale(61, 60));
    }

    #[test]
    fn a_token_must_fit_whole() {
        let scheme = Scheme::Token {
            header: "authorization".to_owned(),
            prefix: "Bearer ".to_owned(),
            id_header: None,
            secrets: vec![SecretString::from("one"), SecretString::from("two")],
        };
        let with = |value| scheme.verify(request(&[("authorization", value)], ""), NOW);
        assert!(with("Bearer two").is_ok());
        assert_eq!(with("Bearer tw").unwrap_err(), Refusal::Signature);
        assert_eq!(with("Bearer twoo").unwrap_err(), Refusal::Signature);
        assert_eq!(with("two").unwrap_err(), Refusal::Header("authorization".to_owned()));
        assert!(scheme.verify(request(&[], ""), NOW).is_err());
    }
}
