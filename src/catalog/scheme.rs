//! How senders of webhooks are verified, as it is written in a desk's or source's file.

use std::path::Path;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{SecretRef, Span};
use crate::http::signature::{Encoding, HmacAlgorithm, Scheme};

/// How senders of webhooks are verified. Several secrets may be given: all are accepted, so that one can be
/// rotated without a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, tag = "scheme", rename_all = "kebab-case")]
pub enum SchemeSettings {
    /// Standard Webhooks 1.0.0: headers `webhook-id`, `webhook-timestamp`, `webhook-signature`.
    StandardWebhooks {
        /// `whsec_…` secrets; the newest first.
        secrets: Vec<SecretRef>,
        /// Accepted difference of clocks, to both sides.
        #[serde(default = "five_minutes")]
        tolerance: Span,
    },
    /// An HMAC in a header (`X-Hub-Signature` and its relatives).
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
        /// What is signed: `{body}`, `{timestamp}` and literal text between them.
        #[serde(default = "body_only")]
        signed: String,
        /// Header with unix seconds, where `signed` names `{timestamp}`.
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
        let scheme = match self {
            Self::StandardWebhooks { secrets, tolerance } => {
                Scheme::StandardWebhooks { secrets: resolve_all(secrets, folder)?, tolerance_secs: tolerance.ms() / 1000 }
            }
            Self::Hmac { header, prefix, algorithm, encoding, signed, timestamp_header, tolerance, id_header, secrets } => {
                check_construction(signed, timestamp_header.as_deref())?;
                Scheme::Hmac {
                    header: header.to_lowercase(),
                    prefix: prefix.clone(),
                    algorithm: *algorithm,
                    encoding: *encoding,
                    signed: signed.clone(),
                    timestamp_header: timestamp_header.as_ref().map(|h| h.to_lowercase()),
                    tolerance_secs: tolerance.ms() / 1000,
                    id_header: id_header.as_ref().map(|h| h.to_lowercase()),
                    secrets: resolve_all(secrets, folder)?,
                }
            }
            Self::Token { header, prefix, id_header, secrets } => Scheme::Token {
                header: header.to_lowercase(),
                prefix: prefix.clone(),
                id_header: id_header.as_ref().map(|h| h.to_lowercase()),
                secrets: resolve_all(secrets, folder)?,
            },
        };
        scheme.check().map_err(|refusal| refusal.to_string())?;
        Ok(scheme)
    }
}

/// The body must be signed, and a signed time stamp must be found somewhere.
fn check_construction(signed: &str, timestamp_header: Option<&str>) -> Result<(), String> {
    if !signed.contains("{body}") {
        return Err("`signed` must contain {body}: a signature that does not cover the body proves nothing".to_owned());
    }
    if signed.contains("{timestamp}") && timestamp_header.is_none() {
        return Err("`signed` names {timestamp}: say in `timestamp_header` which header carries it".to_owned());
    }
    Ok(())
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
            Scheme::StandardWebhooks { tolerance_secs: 300, secrets } if secrets.len() == 1
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
        assert!(matches!(good, Scheme::Hmac { header, .. } if header == "x-sig"));
    }
}
