//! A file of `sources/` with `kind = "entra"`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::callout::Stage;
use crate::catalog::scheme::SchemeSettings;
use crate::catalog::{SecretRef, Span};

/// The file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct EntraFile {
    /// `entra`.
    #[serde(rename = "kind")]
    pub(super) _kind: String,
    /// Id of the directory, or one of its domains.
    pub(super) tenant: String,
    /// Id of the app registration.
    pub(super) client_id: String,
    /// Its secret.
    pub(super) client_secret: SecretRef,
    /// How long the custom extension waits, as it is set there: `"P14D"`, `"PT12H"`. Holds where a callout does not say.
    pub(super) wait: String,
    /// What happens to an order that has no answer shortly before the wait ends.
    pub(super) at_deadline: AtDeadline,
    /// How long before the end of the wait that is; never more than a quarter of it.
    #[serde(default = "margin")]
    pub(super) margin: Span,
    /// Stages whose callouts are orders.
    #[serde(default = "stages")]
    pub(super) stages: Vec<Stage>,
    /// How often the platform is asked whether it still wants what is under way.
    #[serde(default = "look_every")]
    pub(super) look_every: Span,
    /// Microsoft Graph; another address in a national cloud.
    #[serde(default = "graph")]
    pub(super) graph: String,
    /// Where tokens are given; another address in a national cloud.
    #[serde(default = "login")]
    pub(super) login: String,
    #[serde(default = "timeout")]
    pub(super) timeout: Span,
    /// Calls at the same time.
    #[serde(default = "in_flight")]
    pub(super) max_in_flight: usize,
    /// How the Logic App shows who it is.
    pub(super) webhook: HookSettings,
    #[serde(default)]
    pub(super) resume: ResumeSettings,
    /// Fields of the mapping that differ from the built-in ones.
    #[serde(default)]
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    pub(super) mapping: toml::Table,
}

/// What happens to an order that has no answer shortly before the platform stops waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum AtDeadline {
    /// The platform is told no, with the reason, and the ticket that the order was taken back.
    Deny,
    /// The ticket stands, and people are alarmed.
    Alarm,
}

/// How the Logic App shows who it is.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HookSettings {
    pub(super) verify: SchemeSettings,
}

/// How a request is resumed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ResumeSettings {
    /// Who resumes, for the platform's audit.
    pub(super) source: String,
    /// Stages at which an order that was not carried out is denied. At others it goes on, with the reason.
    pub(super) deny_at: Vec<Stage>,
    /// Longest detail, in characters.
    pub(super) detail_limit: usize,
    /// How long the platform may still be at work on an answer that broke off.
    pub(super) within: Span,
}

impl Default for ResumeSettings {
    fn default() -> Self {
        Self {
            source: "lastmile".to_owned(),
            deny_at: vec![Stage::Created, Stage::Approved],
            detail_limit: 400,
            within: Span::secs(300),
        }
    }
}

fn margin() -> Span {
    Span::secs(2 * 3600)
}

fn stages() -> Vec<Stage> {
    vec![Stage::Approved, Stage::Granted, Stage::Removed]
}

fn look_every() -> Span {
    Span::secs(600)
}

fn graph() -> String {
    "https://graph.microsoft.com".to_owned()
}

fn login() -> String {
    "https://login.microsoftonline.com".to_owned()
}

fn timeout() -> Span {
    Span::secs(30)
}

fn in_flight() -> usize {
    4
}
