//! HMACs of a declared construction: what is signed, and where signature, id and time stamp stand.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac;
use secrecy::{ExposeSecret, SecretString};

use super::{Encoding, HmacAlgorithm, Refusal, mac_sha1, mac_sha256, required_header, within_tolerance};
use crate::http::Inbound;
use crate::model::Timestamp;

/// How an HMAC is made and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Construction {
    /// Header that carries the signature, lower case.
    pub header: String,
    /// Text before the signature (`sha256=`), may be empty.
    pub prefix: String,
    /// Digest.
    pub algorithm: HmacAlgorithm,
    /// Encoding of the signature.
    pub encoding: Encoding,
    /// What is signed: `{id}`, `{timestamp}`, `{body}` and literal text between them.
    pub signed: String,
    /// Header with the time, where `signed` names `{timestamp}`: unix seconds, unix milliseconds or RFC 3339.
    pub timestamp_header: Option<String>,
    /// Accepted difference of clocks, seconds; only with a timestamp.
    pub tolerance_secs: i64,
    /// Header with the delivery's id, where there is one.
    pub id_header: Option<String>,
}

/// A piece of what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Piece<'a> {
    Literal(&'a str),
    Id,
    Timestamp,
    Body,
}

impl Construction {
    /// Verifies the signature, then the time it was made.
    pub(super) fn verify(&self, inbound: &Inbound, secrets: &[SecretString], now: Timestamp) -> Result<(), Refusal> {
        let bad_header = || Refusal::Header(self.header.clone());
        let given = required_header(inbound, &self.header)?.strip_prefix(self.prefix.as_str()).ok_or_else(bad_header)?;
        let given = match self.encoding {
            Encoding::Hex => hex::decode(given).map_err(|_| bad_header())?,
            Encoding::Base64 => STANDARD.decode(given).map_err(|_| bad_header())?,
        };
        let pieces = pieces(&self.signed);
        let value = |piece: Piece<'_>, header: &Option<String>| match header {
            Some(name) if pieces.contains(&piece) => required_header(inbound, name),
            _ => Ok(""),
        };
        let (id, timestamp) = (value(Piece::Id, &self.id_header)?, value(Piece::Timestamp, &self.timestamp_header)?);
        if beside_id(&pieces).any(|text| !text.is_empty() && id.contains(text)) {
            // With its separator in it, two messages could sign the same text.
            return Err(Refusal::Header(self.id_header.clone().unwrap_or_default()));
        }
        let parts: Vec<&[u8]> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Literal(text) => text.as_bytes(),
                Piece::Id => id.as_bytes(),
                Piece::Timestamp => timestamp.as_bytes(),
                Piece::Body => &inbound.body,
            })
            .collect();
        fits(self.algorithm, secrets, &parts, &given)?;
        match &self.timestamp_header {
            Some(name) if pieces.contains(&Piece::Timestamp) => {
                let at = instant(timestamp).ok_or_else(|| Refusal::Header(name.clone()))?;
                within_tolerance(at, self.tolerance_secs, now)
            }
            _ => Ok(()),
        }
    }
}

/// GitHub's and Jira's way: the digest's name stands before the signature. The stronger header counts where both stand.
pub(super) fn verify_hub(inbound: &Inbound, secrets: &[SecretString], sha1: bool) -> Result<(), Refusal> {
    const STRONG: &str = "x-hub-signature-256";
    const PLAIN: &str = "x-hub-signature";
    let name = if inbound.header(STRONG).is_some() { STRONG } else { PLAIN };
    let given = required_header(inbound, name)?;
    let (algorithm, given) = match given.split_once('=') {
        Some(("sha256", given)) => (HmacAlgorithm::Sha256, given),
        Some(("sha1", given)) if sha1 && name == PLAIN => (HmacAlgorithm::Sha1, given),
        _ => return Err(Refusal::Header(name.to_owned())),
    };
    let given = hex::decode(given).map_err(|_| Refusal::Header(name.to_owned()))?;
    fits(algorithm, secrets, &[&inbound.body], &given)
}

/// Tries every secret, whichever fits.
fn fits(algorithm: HmacAlgorithm, secrets: &[SecretString], parts: &[&[u8]], given: &[u8]) -> Result<(), Refusal> {
    let fits = secrets.iter().fold(false, |fits, secret| {
        let key = secret.expose_secret().as_bytes();
        let here = match algorithm {
            HmacAlgorithm::Sha256 => mac_sha256(key, parts).is_some_and(|mac| mac.verify_slice(given).is_ok()),
            HmacAlgorithm::Sha1 => mac_sha1(key, parts).is_some_and(|mac| mac.verify_slice(given).is_ok()),
        };
        fits | here
    });
    if fits { Ok(()) } else { Err(Refusal::Signature) }
}

/// Unix seconds, unix milliseconds (no second of this millennium has twelve digits) or RFC 3339.
fn instant(text: &str) -> Option<Timestamp> {
    match text.parse::<i64>() {
        Ok(number) if number.unsigned_abs() >= 100_000_000_000 => Some(Timestamp(number)),
        Ok(number) => Some(Timestamp(number * 1000)),
        Err(_) => chrono::DateTime::parse_from_rfc3339(text).ok().map(|at| Timestamp(at.timestamp_millis())),
    }
}

fn pieces(signed: &str) -> Vec<Piece<'_>> {
    const NAMED: [(&str, Piece<'static>); 3] = [("{id}", Piece::Id), ("{timestamp}", Piece::Timestamp), ("{body}", Piece::Body)];
    let (mut found, mut rest) = (Vec::new(), signed);
    while !rest.is_empty() {
        let next = NAMED.iter().filter_map(|(name, piece)| Some((rest.find(name)?, *name, *piece))).min_by_key(|n| n.0);
        let Some((at, name, piece)) = next else { break };
        found.extend(Some(&rest[..at]).filter(|text| !text.is_empty()).map(Piece::Literal));
        found.push(piece);
        rest = &rest[at + name.len()..];
    }
    found.extend(Some(rest).filter(|text| !text.is_empty()).map(Piece::Literal));
    found
}

/// What stands before and after the id: text, or nothing where another value does.
fn beside_id<'a>(pieces: &'a [Piece<'a>]) -> impl Iterator<Item = &'a str> {
    pieces.windows(2).filter_map(|pair| match (pair[0], pair[1]) {
        (Piece::Id, Piece::Literal(text)) | (Piece::Literal(text), Piece::Id) => Some(text),
        (Piece::Id, _) | (_, Piece::Id) => Some(""),
        _ => None,
    })
}

/// The body must be signed, what is signed must be found somewhere, and its parts must be told apart.
///
/// # Errors
/// Words for people.
pub fn check_construction(signed: &str, timestamp_header: Option<&str>, id_header: Option<&str>) -> Result<(), String> {
    let pieces = pieces(signed);
    if pieces.iter().filter(|piece| **piece == Piece::Body).count() != 1 {
        return Err("`signed` must contain {body} once: a signature that does not cover the body proves nothing".to_owned());
    }
    let stray = pieces.iter().any(|piece| matches!(piece, Piece::Literal(text) if text.contains(['{', '}'])));
    if stray {
        return Err("`signed` knows {id}, {timestamp} and {body}; there is something else in braces".to_owned());
    }
    if pieces.contains(&Piece::Timestamp) && timestamp_header.is_none() {
        return Err("`signed` names {timestamp}: say in `timestamp_header` which header carries it".to_owned());
    }
    if pieces.contains(&Piece::Id) && id_header.is_none() {
        return Err("`signed` names {id}: say in `id_header` which header carries it".to_owned());
    }
    if timestamp_header.is_some() && !pieces.contains(&Piece::Timestamp) {
        return Err("`timestamp_header` is named, but `signed` does not contain {timestamp}: a time that is not signed \
                    proves nothing"
            .to_owned());
    }
    if beside_id(&pieces).any(str::is_empty) {
        return Err("`signed` needs a separator beside {id}: else two messages could sign the same text".to_owned());
    }
    Ok(())
}
