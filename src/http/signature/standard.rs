//! Standard Webhooks 1.0.0: `v1` is HMAC-SHA-256 under a shared `whsec_…` secret, `v1a` is Ed25519 under the sender's
//! `whsk_…` key, verified with its `whpk_…` key. Both sign `id.timestamp.body`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use secrecy::{ExposeSecret, SecretString};

use super::{Refusal, mac_sha256, required_header, within_tolerance};
use crate::http::Inbound;
use crate::model::Timestamp;

/// Most signatures read from one header: a sender rotates between two or three secrets.
const MAX_SIGNATURES: usize = 16;

/// Shortest and longest key of v1, bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

const ID: &str = "webhook-id";
const TIMESTAMP: &str = "webhook-timestamp";
const SIGNATURE: &str = "webhook-signature";

/// An Ed25519 key that verifies; no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; 32]);

impl std::str::FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bytes = text.strip_prefix("whpk_").and_then(|rest| STANDARD.decode(rest).ok());
        let bytes = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        bytes.map(Self).ok_or_else(|| "a public key is `whpk_` and the 32 bytes of an Ed25519 key in base 64".to_owned())
    }
}

/// The delivery id of a correctly signed message.
pub(super) fn verify(
    inbound: &Inbound,
    secrets: &[SecretString],
    public_keys: &[PublicKey],
    tolerance_secs: i64,
    now: Timestamp,
) -> Result<String, Refusal> {
    let id = dotless(inbound, ID)?;
    let timestamp = dotless(inbound, TIMESTAMP)?;
    let (symmetric, asymmetric) = given(required_header(inbound, SIGNATURE)?);
    // What we have no key for cannot be read; a header with nothing else is as good as none.
    let readable = (!secrets.is_empty() && !symmetric.is_empty()) || (!public_keys.is_empty() && !asymmetric.is_empty());
    if !readable {
        return Err(Refusal::Header(SIGNATURE.to_owned()));
    }
    let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", &inbound.body];
    let mut fits = false;
    for secret in secrets {
        let Some(mac) = mac_sha256(&secret_key(secret)?, &parts) else { continue };
        for signature in &symmetric {
            fits |= mac.clone().verify_slice(signature).is_ok();
        }
    }
    if !public_keys.is_empty() && !asymmetric.is_empty() {
        let signed = parts.concat();
        for key in public_keys {
            let key = UnparsedPublicKey::new(&ED25519, key.0);
            fits |= asymmetric.iter().any(|signature| key.verify(&signed, signature).is_ok());
        }
    }
    if !fits {
        return Err(Refusal::Signature);
    }
    let seconds: i64 = timestamp.parse().map_err(|_| Refusal::Header(TIMESTAMP.to_owned()))?;
    within_tolerance(Timestamp(seconds.saturating_mul(1000)), tolerance_secs, now)?;
    Ok(id.to_owned())
}

/// The signatures of both versions in a header; other versions and what is no base 64 are passed over.
fn given(header: &str) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let (mut symmetric, mut asymmetric) = (Vec::new(), Vec::new());
    for entry in header.split(' ').take(MAX_SIGNATURES) {
        let Some((version, signature)) = entry.split_once(',') else { continue };
        let Ok(signature) = STANDARD.decode(signature) else { continue };
        match version {
            "v1" => symmetric.push(signature),
            "v1a" => asymmetric.push(signature),
            _ => {}
        }
    }
    (symmetric, asymmetric)
}

/// Signs an outbound message: the value of the `webhook-signature` header, over `id.timestamp.body` with the timestamp
/// in whole seconds (the value of `webhook-timestamp`). A `whsk_…` secret signs with Ed25519, any other with HMAC.
///
/// # Errors
/// [`Refusal::Secret`] when the secret cannot be read; [`Refusal::Header`] when the id contains a dot.
pub fn sign_standard(secret: &SecretString, id: &str, timestamp: Timestamp, body: &[u8]) -> Result<String, Refusal> {
    if id.is_empty() || id.contains('.') {
        return Err(Refusal::Header(ID.to_owned()));
    }
    let seconds = timestamp.0.div_euclid(1000).to_string();
    let parts = [id.as_bytes(), b".", seconds.as_bytes(), b".", body];
    if let Some(text) = secret.expose_secret().strip_prefix("whsk_") {
        return Ok(format!("v1a,{}", STANDARD.encode(signing_pair(text)?.sign(&parts.concat()))));
    }
    let mac = mac_sha256(&secret_key(secret)?, &parts).ok_or_else(|| Refusal::Secret("its length does not fit".to_owned()))?;
    Ok(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
}

/// Whether a secret can sign.
///
/// # Errors
/// [`Refusal::Secret`], without the secret.
pub fn check_signing(secret: &SecretString) -> Result<(), Refusal> {
    sign_standard(secret, "check", Timestamp(0), b"").map(drop)
}

/// A key pair from its seed, or from seed and public key, as libraries write it.
fn signing_pair(text: &str) -> Result<Ed25519KeyPair, Refusal> {
    let pair = STANDARD.decode(text).ok().and_then(|bytes| match bytes.len() {
        32 => Ed25519KeyPair::from_seed_unchecked(&bytes).ok(),
        64 => Ed25519KeyPair::from_seed_and_public_key(&bytes[..32], &bytes[32..]).ok(),
        _ => None,
    });
    pair.ok_or_else(|| Refusal::Secret("after `whsk_` stand the 32 or 64 bytes of an Ed25519 key in base 64".to_owned()))
}

/// Whether a secret can verify.
pub(super) fn check_secret(secret: &SecretString) -> Result<(), Refusal> {
    let bytes = secret_key(secret)?.len();
    if KEY_BYTES.contains(&bytes) {
        return Ok(());
    }
    let (least, most) = (KEY_BYTES.start(), KEY_BYTES.end());
    Err(Refusal::Secret(format!("it has {bytes} bytes; Standard Webhooks asks for {least} to {most} random ones")))
}

/// A `whsec_…` secret's bytes.
fn secret_key(secret: &SecretString) -> Result<Vec<u8>, Refusal> {
    let text = secret.expose_secret();
    if text.starts_with("whpk_") || text.starts_with("whsk_") {
        return Err(Refusal::Secret("it is a key of v1a: senders' `whpk_` keys stand in `public_keys`".to_owned()));
    }
    match STANDARD.decode(text.strip_prefix("whsec_").unwrap_or(text)) {
        Ok(key) if !key.is_empty() => Ok(key),
        _ => Err(Refusal::Secret("it must be `whsec_` and base 64".to_owned())),
    }
}

/// A header that is part of `id.timestamp.body`: with a dot in it, two messages could sign the same text.
fn dotless<'a>(inbound: &'a Inbound, name: &str) -> Result<&'a str, Refusal> {
    let value = required_header(inbound, name)?;
    if value.contains('.') { Err(Refusal::Header(name.to_owned())) } else { Ok(value) }
}
