//! A file of `sources/` with `kind = "midpoint"`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::catalog::Span;
use crate::source::auth::AuthSettings;
use crate::source::native::HintSettings;

/// The file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MidpointFile {
    /// `midpoint`.
    #[serde(rename = "kind")]
    pub(super) _kind: String,
    /// `https://midpoint.example.com/midpoint`, without what follows.
    pub(super) url: String,
    /// A span (`"30s"`) or five cron fields in UTC.
    #[serde(default = "schedule")]
    pub(super) schedule: String,
    /// The service user.
    pub(super) auth: AuthSettings,
    /// OID of the operator in whose name work items are completed (`Switch-To-Principal`).
    pub(super) act_as: Option<String>,
    #[serde(default = "timeout")]
    pub(super) timeout: Span,
    /// Calls at the same time.
    #[serde(default = "in_flight")]
    pub(super) max_in_flight: usize,
    #[serde(default)]
    pub(super) cases: CaseSettings,
    #[serde(default)]
    pub(super) complete: CompleteSettings,
    /// A message of the platform says that there is news.
    pub(super) webhook: Option<HintSettings>,
    /// Fields of the mapping that differ from the built-in ones.
    #[serde(default)]
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    pub(super) mapping: toml::Table,
}

fn schedule() -> String {
    "1m".to_owned()
}

fn timeout() -> Span {
    Span::secs(30)
}

fn in_flight() -> usize {
    4
}

/// Which cases are ours, and how they are read.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CaseSettings {
    /// OID of the archetype "Manual provisioning case".
    pub(super) archetype: String,
    /// What the list is sorted by; new cases must come last.
    pub(super) order_by: String,
    /// Cases of a page.
    pub(super) page: usize,
    /// OIDs of resources whose cases are left alone.
    pub(super) leave: Vec<String>,
    /// How long an account without an owner is waited for: the platform links it a moment after the case is made.
    pub(super) owner_within: Span,
}

impl Default for CaseSettings {
    fn default() -> Self {
        Self {
            archetype: "00000000-0000-0000-0000-000000000340".to_owned(),
            order_by: "metadata/createTimestamp".to_owned(),
            page: 50,
            leave: Vec::new(),
            owner_within: Span::secs(120),
        }
    }
}

/// How a work item is completed.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CompleteSettings {
    /// The platform's word for done.
    pub(super) success: String,
    /// The platform's word for not done.
    pub(super) failure: String,
    /// Whether the ticket's data go with it as a file.
    pub(super) evidence: bool,
    /// Longest comment, in characters.
    pub(super) comment_limit: usize,
    /// How long the platform may still be at work on an answer that broke off.
    pub(super) within: Span,
}

impl Default for CompleteSettings {
    fn default() -> Self {
        Self {
            success: "success".to_owned(),
            failure: "fatal_error".to_owned(),
            evidence: true,
            comment_limit: 2000,
            within: Span::secs(120),
        }
    }
}
