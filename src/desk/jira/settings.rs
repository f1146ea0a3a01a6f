//! `desks/*.toml` with `kind = "jira"`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::{SecretRef, Span};
use crate::desk::common::{Auth, OutcomeOrAsk};
use crate::model::Outcome;

/// A Jira desk.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `jira`.
    pub kind: String,
    /// `https://your-site.atlassian.net`, or the base address of Jira Data Center.
    pub url: String,
    /// Cloud or Data Center: they search and read in bulk differently.
    #[serde(default)]
    pub deployment: Deployment,
    /// REST version: `v2` takes wiki text (Cloud and Data Center), `v3` takes documents (Cloud only).
    #[serde(default)]
    pub api: Api,
    /// Credentials: `{ basic = { user = "…", password = { env = "…" } } }` or `{ bearer = { env = "…" } }`.
    pub auth: Auth,
    /// Project key that tickets are created in; not needed with `admin_group_as = "project"`.
    #[serde(default)]
    pub project: Option<String>,
    /// Issue type by name.
    #[serde(default = "issue_type")]
    pub issue_type: String,
    /// What an admin group is on this Jira.
    #[serde(default)]
    pub admin_group_as: GroupAs,
    /// Where our correlation key stands: `"label"`, or `{ field = "customfield_10060" }` for a text field.
    #[serde(default)]
    pub key_as: KeyAs,
    /// Jira priority by ours (`"0"` can wait … `"3"` urgent); what is not named is left to Jira.
    #[serde(default)]
    pub priorities: BTreeMap<String, String>,
    /// Date field that takes the wanted date (`duedate`); none: it stands in the text only.
    #[serde(default)]
    pub due_field: Option<String>,
    /// Outcome by resolution, by name or id, or `"ask"`. A resolution that is not named here asks a person.
    #[serde(default = "outcomes")]
    pub outcomes: BTreeMap<String, OutcomeOrAsk>,
    /// Outcome of a ticket that is done without a resolution, or `"ask"`.
    #[serde(default = "without_resolution")]
    pub outcome_without_resolution: OutcomeOrAsk,
    /// Statuses, by name or id, in which a ticket waits for somebody outside the admin group.
    #[serde(default)]
    pub waiting_statuses: Vec<String>,
    /// Status, by name or id, that a withdrawn ticket is moved to; none: the first one of category done.
    #[serde(default)]
    pub cancelled_status: Option<String>,
    /// Resolution given to a withdrawn ticket where the transition asks for one.
    #[serde(default)]
    pub cancelled_resolution: Option<String>,
    /// Comments are internal on service projects (elsewhere this has no effect): each carries the property
    /// `sd.public.comment`, which Jira Service Management heeds, though its documents do not name it. Try it once where
    /// customers read along: the comment must say "Internal note".
    #[serde(default = "yes")]
    pub internal_comments: bool,
    /// Time-out of a call.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// How long Jira may still carry out a call after our time-out.
    #[serde(default = "max_processing")]
    pub max_processing: Span,
    /// How long a new ticket may stay invisible to the search.
    #[serde(default = "five_minutes")]
    pub index_lag: Span,
    /// How far each look at what changed reaches back before the last one.
    #[serde(default = "five_minutes")]
    pub overlap: Span,
    /// Calls at the same time.
    #[serde(default = "max_in_flight")]
    pub max_in_flight: usize,
    /// Calls per second.
    #[serde(default)]
    pub per_second: Option<NonZeroU32>,
    /// A further root certificate (PEM), for a private CA; a relative path starts at the configuration folder.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// How Jira's own webhook shows that it is Jira; none: hooks are refused, and polling finds everything.
    #[serde(default)]
    pub webhook: Option<Webhook>,
}

/// Where Jira runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Deployment {
    /// At Atlassian.
    #[default]
    Cloud,
    /// On own machines.
    DataCenter,
}

/// REST version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Api {
    /// Wiki text.
    #[default]
    V2,
    /// Documents (ADF).
    V3,
}

impl Api {
    /// The root of its paths.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::V2 => "/rest/api/2",
            Self::V3 => "/rest/api/3",
        }
    }
}

/// What an admin group is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum GroupAs {
    /// A component of the project: Jira refuses one it does not know.
    #[default]
    Component,
    /// A label; Jira accepts any.
    Label,
    /// A project of its own, by key.
    Project,
    /// A custom field.
    Field {
        /// `customfield_10050`.
        id: String,
        /// What the field takes.
        #[serde(default)]
        shape: FieldShape,
    },
}

/// What a custom field for the group takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldShape {
    /// One of a list (`{"value": …}`).
    #[default]
    Option,
    /// A group (`{"name": …}`).
    Group,
    /// Text.
    Text,
}

/// Where our key stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum KeyAs {
    /// Among the labels.
    #[default]
    Label,
    /// In a text field, by its id.
    Field(String),
}

/// How the webhook proves itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Webhook {
    /// `X-Hub-Signature` with these secrets, the newest first.
    Signature(Vec<SecretRef>),
    /// A fixed token in a header, for rules that send a web request.
    Token {
        /// The header.
        header: String,
        /// Tokens, the newest first.
        secrets: Vec<SecretRef>,
    },
}

fn issue_type() -> String {
    "Task".to_owned()
}

fn outcomes() -> BTreeMap<String, OutcomeOrAsk> {
    let table = [
        ("Done", Outcome::Fulfilled),
        ("Fixed", Outcome::Fulfilled),
        ("Implemented", Outcome::Fulfilled),
        ("Resolved", Outcome::Fulfilled),
        ("Won't Do", Outcome::Rejected),
        ("Won't Fix", Outcome::Rejected),
        ("Declined", Outcome::Rejected),
        ("Cannot Reproduce", Outcome::NotPossible),
        ("Cancelled", Outcome::Cancelled),
        ("Already in place", Outcome::AlreadyInPlace),
        ("Partly done", Outcome::PartlyFulfilled),
        ("Not possible", Outcome::NotPossible),
        ("Rejected", Outcome::Rejected),
    ];
    table.into_iter().map(|(name, outcome)| (name.to_owned(), OutcomeOrAsk(Some(outcome)))).collect()
}

fn without_resolution() -> OutcomeOrAsk {
    OutcomeOrAsk(Some(Outcome::Fulfilled))
}

fn yes() -> bool {
    true
}

fn timeout() -> Span {
    Span::secs(30)
}

fn max_processing() -> Span {
    Span::secs(60)
}

fn five_minutes() -> Span {
    Span::secs(300)
}

fn max_in_flight() -> usize {
    8
}
