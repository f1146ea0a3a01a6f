//! A file of `sources/` with `kind = "sailpoint"`.

use std::path::Path;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use crate::http::signature::Scheme;
use crate::source::auth::AuthSettings;
use crate::source::field::Field;

/// The file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SailPointFile {
    /// `sailpoint`.
    #[serde(rename = "kind")]
    pub(super) _kind: String,
    /// What the platform's integration shows us.
    pub(super) auth: AuthSettings,
    /// What it showed before: accepted too, so that it can be changed without a gap.
    pub(super) old_auth: Option<AuthSettings>,
    #[serde(default)]
    pub(super) tickets: TicketSettings,
    /// The words of the platform's status map.
    #[serde(default)]
    pub(super) status: StatusWords,
    /// Fields of the mapping that differ from the built-in ones.
    #[serde(default)]
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    pub(super) mapping: toml::Table,
}

/// How a request is taken apart.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TicketSettings {
    /// What every number begins with.
    pub(super) prefix: String,
    /// Where the platform's id of the request stands: the same id is the same number.
    pub(super) id: Field,
    /// Where the items of a request stand; a request without them is one item itself.
    pub(super) items: String,
}

impl Default for TicketSettings {
    fn default() -> Self {
        Self { prefix: "LM-".to_owned(), id: Field::at("/id"), items: "/items".to_owned() }
    }
}

/// A word for each stage.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StatusWords {
    /// Taken, and no ticket yet.
    pub(super) received: String,
    /// The ticket is with the admins.
    pub(super) filed: String,
    /// An admin works on it.
    pub(super) in_work: String,
    /// It waits for a person here.
    pub(super) waiting: String,
    pub(super) done: String,
    /// Some items done, some not.
    pub(super) partly: String,
    pub(super) failed: String,
    pub(super) cancelled: String,
}

impl Default for StatusWords {
    fn default() -> Self {
        let [queued, committed, failed] = ["Queued", "Committed", "Failed"].map(str::to_owned);
        Self {
            received: queued.clone(),
            filed: queued.clone(),
            in_work: queued.clone(),
            waiting: queued,
            done: committed,
            partly: failed.clone(),
            failed: failed.clone(),
            cancelled: failed,
        }
    }
}

/// The scheme that demands these credentials.
///
/// # Errors
/// The key at fault and words for people.
pub(super) fn scheme(file: &SailPointFile, folder: &Path) -> Result<Scheme, (&'static str, String)> {
    let demanded = |key: &'static str, auth: &AuthSettings| {
        let auth = auth.resolve(folder).map_err(|words| (key, words))?;
        auth.demanded().ok_or_else(|| (key, "somebody who shows nothing cannot be told from anybody else".to_owned()))
    };
    let (header, newest) = demanded("auth", &file.auth)?;
    let mut secrets: Vec<SecretString> = vec![newest];
    if let Some(old) = &file.old_auth {
        let (other, secret) = demanded("old_auth", old)?;
        if other != header {
            return Err(("old_auth", format!("it must stand in the same header as `auth` (`{header}`)")));
        }
        secrets.push(secret);
    }
    Ok(Scheme::Token { header, prefix: String::new(), id_header: None, secrets })
}
