//! How senders of webhooks are verified, as it is written in a desk's or source's file.

use std::path::Path;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{SecretRef, Span};
use crate::http::certificate::Pin;
use crate::http::signature::{Construction, Encoding, HmacAlgorithm, Scheme, check_construction};

/// How senders of webhooks are verified. Several secrets may be given: all are accepted, so that one can be
/// rotated without a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, tag = "scheme", rename_all = "kebab-case")]
pub enum SchemeSettings {
    /// Standard Webhooks 1.0.0: headers `webhook-id`, `webhook-timestamp`, `webhook-signature`; v1 with `secrets`, v1a
    /// with `public_keys`, or both.
    StandardWebhooks {
        /// `whsec_…` secrets; the newest first.
        #[serde(default)]
        secrets: Vec<SecretRef>,
        /// `whpk_…` keys of a sender that signs with Ed25519. They are no secrets.
        #[serde(default)]
        public_keys: Vec<String>,
        /// Accepted difference of clocks, to both sides.
        #[serde(default = "five_minutes")]
        tolerance: Span,
    },
    /// An HMAC in a header, of a declared construction.
    Hmac {
        /// Header that carries the signature.
        header: String,
        /// Text before the signature (`sha256=`).
        #[serde(default)]
        prefix: String,
        /// Digest.
        #[serde(default)]
        algorithm: HmacAlgorithm,
        /// Encoding of the signature.
        #[serde(default)]
        encoding: Encoding,
        /// What is signed: `{id}`, `{timestamp}`, `{body}` and literal text between them.
        #[serde(default = "body_only")]
        signed: String,
        /// Header with the time, where `signed` names `{timestamp}`: unix seconds, unix milliseconds or RFC 3339.
        #[serde(default)]
        timestamp_header: Option<String>,
        /// Accepted difference of clocks, to both sides; only with a timestamp.
        #[serde(default = "five_minutes")]
        tolerance: Span,
        /// Header with the delivery's id, where there is one.
        #[serde(default)]
        id_header: Option<String>,
        /// Keys.
        secrets: Vec<SecretRef>,
    },
    /// `X-Hub-Signature-256` or `X-Hub-Signature`: the digest's name and the HMAC of the body in hex. Nothing in it says
    /// when it was made: a message that is sent again is known by its id alone.
    HubSignature {
        /// Accepts `sha1=` too, for senders that know no better.
        #[serde(default)]
        sha1: bool,
        /// Header with the delivery's id (`X-GitHub-Delivery`), where there is one.
        #[serde(default)]
        id_header: Option<String>,
        /// Keys.
        secrets: Vec<SecretRef>,
    },
    /// `Authorization: Bearer …` with a fixed token.
    Bearer {
        /// Header with the delivery's id, where there is one.
        #[serde(default)]
        id_header: Option<String>,
        /// Tokens.
        secrets: Vec<SecretRef>,
    },
    /// Mutual TLS: a client certificate that the listener of `[server.tls]` verified.
    ClientCertificate {
        /// Any of these is accepted. The authority of `[server.tls] client_ca` alone opens no source.
        certificates: Vec<Pin>,
        /// Header with the delivery's id, where there is one.
        #[serde(default)]
        id_header: Option<String>,
    },
    /// A fixed token in a header.
    Token {
        /// Header that carries the token.
        #[serde(default = "authorization")]
        header: String,
        /// Text before the token (`Bearer `).
        #[serde(default)]
        prefix: String,
        /// Header with the delivery's id, where there is one.
        #[serde(default)]
        id_header: Option<String>,
        /// Tokens.
        secrets: Vec<SecretRef>,
    },
}

fn five_minutes() -> Span {
    Span::secs(300)
}

fn body_only() -> String {
    "{body}".to_owned()
}

fn authorization() -> String {
    "authorization".to_owned()
}

impl SchemeSettings {
    /// Reads the secrets and gives the scheme. Relative secret files start at `folder`.
    ///
    /// # Errors
    /// Words for people that name the variable, file or key at fault, never a secret.
    pub fn resolve(&self, folder: &Path) -> Result<Scheme, String> {
        let lower = |header: &Option<String>| header.as_ref().map(|h| h.to_lowercase());
        let scheme = match self {
            Self::StandardWebhooks { secrets, public_keys, tolerance } => Scheme::StandardWebhooks {
                secrets: resolve_all(secrets, folder)?,
                public_keys: public_keys.iter().map(|key| key.parse()).collect::<Result<_, String>>()?,
                tolerance_secs: tolerance.ms() / 1000,
            },
            Self::Hmac { header, prefix, algorithm, encoding, signed, timestamp_header, tolerance, id_header, secrets } => {
                check_construction(signed, timestamp_header.as_deref(), id_header.as_deref())?;
                let construction = Construction {
                    header: header.to_lowercase(),
                    prefix: prefix.clone(),
                    algorithm: *algorithm,
                    encoding: *encoding,
                    signed: signed.clone(),
                    timestamp_header: lower(timestamp_header),
                    tolerance_secs: tolerance.ms() / 1000,
                    id_header: lower(id_header),
                };
                Scheme::Hmac { construction, secrets: resolve_all(secrets, folder)? }
            }
            Self::HubSignature { sha1, id_header, secrets } => {
                Scheme::HubSignature { sha1: *sha1, id_header: lower(id_header), secrets: resolve_all(secrets, folder)? }
            }
            Self::Bearer { id_header, secrets } => Scheme::Token {
                header: authorization(),
                prefix: "Bearer ".to_owned(),
                id_header: lower(id_header),
                secrets: resolve_all(secrets, folder)?,
            },
            Self::ClientCertificate { certificates, id_header } => {
                certificates.iter().try_for_each(Pin::check)?;
                Scheme::ClientCertificate { pins: certificates.clone(), id_header: lower(id_header) }
            }
            Self::Token { header, prefix, id_header, secrets } => Scheme::Token {
                header: header.to_lowercase(),
                prefix: prefix.clone(),
                id_header: lower(id_header),
                secrets: resolve_all(secrets, folder)?,
            },
        };
        scheme.check().map_err(|refusal| refusal.to_string())?;
        Ok(scheme)
    }
}

fn resolve_all(secrets: &[SecretRef], folder: &Path) -> Result<Vec<SecretString>, String> {
    secrets.iter().map(|secret| secret.resolve(folder)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> SchemeSettings {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn the_written_form_resolves_and_complains_by_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("hook"), "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n").unwrap();
        let good = settings("scheme = \"standard-webhooks\"\nsecrets = [{ file = \"hook\" }]");
        assert!(matches!(
            good.resolve(folder.path()).unwrap(),
            Scheme::StandardWebhooks { tolerance_secs: 300, secrets, .. } if secrets.len() == 1
        ));
        let missing = settings("scheme = \"standard-webhooks\"\nsecrets = [{ file = \"nowhere\" }]");
        assert!(missing.resolve(folder.path()).unwrap_err().contains("nowhere"));
        let none = settings("scheme = \"token\"\nsecrets = []");
        assert!(none.resolve(folder.path()).is_err());
    }

    #[test]
    fn a_construction_that_proves_nothing_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "k").unwrap();
        let text =
            |signed| format!("scheme = \"hmac\"\nheader = \"X-Sig\"\nsigned = \"{signed}\"\nsecrets = [{{ file = \"key\" }}]");
        assert!(settings(&text("{timestamp}")).resolve(folder.path()).unwrap_err().contains("{body}"));
        assert!(settings(&text("{timestamp}.{body}")).resolve(folder.path()).unwrap_err().contains("timestamp_header"));
        let good = settings(&text("{body}")).resolve(folder.path()).unwrap();
        assert!(matches!(good, Scheme::Hmac { construction, .. } if construction.header == "x-sig"));
    }
}
