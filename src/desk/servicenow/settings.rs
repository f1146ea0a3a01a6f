//! `desks/*.toml` with `kind = "servicenow"`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalog::{SecretRef, Span};
use crate::desk::common::{Auth, OutcomeOrAsk};
use crate::model::Outcome;
use crate::model::ticket::Category;

/// A `ServiceNow` desk, spoken to through its Table API.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `servicenow`.
    pub kind: String,
    /// `https://your-instance.service-now.com`.
    pub url: String,
    /// Table of the tickets: `incident`, `sc_task`, or a task table of your own (then give `states`).
    #[serde(default = "table")]
    pub table: String,
    /// Credentials: `{ basic = { user = "…", password = … } }`, `{ bearer = … }` or
    /// `{ api_key = { header = "x-sn-apikey", key = … } }`.
    pub auth: Auth,
    /// User name of our account; with basic credentials it is known. By it, copies that admins make are told from
    /// our own tickets.
    #[serde(default)]
    pub account: Option<String>,
    /// What each value of `state` means. Given: replaces the table's own list. A state that is not named is unknown.
    #[serde(default)]
    pub states: BTreeMap<String, StateRule>,
    /// An incident that is Resolved counts as closed; otherwise only Closed does.
    #[serde(default = "yes")]
    pub resolved_is_closed: bool,
    /// Outcome by close code, or `"ask"`; wins over the state's. A close code that is not named asks a person.
    #[serde(default = "close_codes")]
    pub close_codes: BTreeMap<String, OutcomeOrAsk>,
    /// Fields set by our priority (`"0"` can wait … `"3"` urgent): `3 = { urgency = "1", impact = "2" }`.
    #[serde(default)]
    pub priorities: BTreeMap<String, BTreeMap<String, String>>,
    /// Date-time field that takes the wanted date (`due_date`); none: it stands in the text only.
    #[serde(default)]
    pub due_field: Option<String>,
    /// Further fields set on every ticket.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
    /// Fields set to withdraw a ticket; `close_notes` gets our words. None: the table's own way.
    #[serde(default)]
    pub cancel: BTreeMap<String, String>,
    /// Where our comments go.
    #[serde(default)]
    pub comment_field: CommentField,
    /// Time-out of a call.
    #[serde(default = "timeout")]
    pub timeout: Span,
    /// How long the instance may still carry out a call after our time-out.
    #[serde(default = "max_processing")]
    pub max_processing: Span,
    /// How long a new ticket may stay invisible to a query; more than nothing only where reads go to a replica.
    #[serde(default)]
    pub index_lag: Span,
    /// How far each look at what changed reaches back before the last one.
    #[serde(default = "overlap")]
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
    /// How the business rule that calls our hook proves itself; none: hooks are refused, and polling finds everything.
    #[serde(default)]
    pub webhook: Option<Webhook>,
}

/// What a state means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StateRule {
    /// Where the ticket stands.
    pub category: Category,
    /// With `closed`: how it ended, or `"ask"` (the default).
    #[serde(default = "ask")]
    pub outcome: OutcomeOrAsk,
}

/// Where our comments go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommentField {
    /// Seen by those who fulfil.
    #[default]
    WorkNotes,
    /// Seen by customers too.
    Comments,
}

impl CommentField {
    /// The column.
    #[must_use]
    pub fn column(self) -> &'static str {
        match self {
            Self::WorkNotes => "work_notes",
            Self::Comments => "comments",
        }
    }
}

/// How the hook proves itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Webhook {
    /// Base 64 of HMAC-SHA-256 over `timestamp.body`, as `examples/desks/servicenow-webhook.js` makes it.
    Hmac {
        /// Header with the signature.
        #[serde(default = "signature_header")]
        header: String,
        /// Header with unix seconds.
        #[serde(default = "timestamp_header")]
        timestamp_header: String,
        /// Secrets, the newest first.
        secrets: Vec<SecretRef>,
    },
    /// A fixed token in a header.
    Token {
        /// The header.
        header: String,
        /// Tokens, the newest first.
        secrets: Vec<SecretRef>,
    },
}

impl Settings {
    /// The states in force: the file's, else the table's own; `None` for a table we know nothing of.
    #[must_use]
    pub fn states_in_force(&self) -> Option<BTreeMap<String, StateRule>> {
        if !self.states.is_empty() {
            return Some(self.states.clone());
        }
        let mut states = shipped_states(&self.table)?;
        if self.table == "incident" && !self.resolved_is_closed {
            states.insert("6".to_owned(), StateRule { category: Category::InProgress, outcome: ask() });
        }
        Some(states)
    }

    /// The fields that withdraw a ticket.
    #[must_use]
    pub fn cancel_in_force(&self) -> Option<BTreeMap<String, String>> {
        if !self.cancel.is_empty() {
            return Some(self.cancel.clone());
        }
        let state = match self.table.as_str() {
            "incident" => "8",
            "sc_task" => "7",
            "sc_req_item" | "change_request" => "4",
            _ => return None,
        };
        Some([("state".to_owned(), state.to_owned())].into())
    }
}

fn shipped_states(table: &str) -> Option<BTreeMap<String, StateRule>> {
    use Category::{Closed, InProgress, Open, Waiting};
    use Outcome::{Cancelled, Fulfilled, NotPossible};
    let list: &[(&str, Category, Option<Outcome>)] = match table {
        "incident" => &[
            ("1", Open, None),
            ("2", InProgress, None),
            ("3", Waiting, None),
            ("6", Closed, Some(Fulfilled)),
            ("7", Closed, Some(Fulfilled)),
            ("8", Closed, Some(Cancelled)),
        ],
        "sc_task" | "sc_req_item" => &[
            ("-5", Waiting, None),
            ("1", Open, None),
            ("2", InProgress, None),
            ("3", Closed, Some(Fulfilled)),
            ("4", Closed, Some(NotPossible)),
            ("7", Closed, Some(Cancelled)),
        ],
        "change_request" => &[
            ("-5", Open, None),
            ("-4", Open, None),
            ("-3", Waiting, None),
            ("-2", Waiting, None),
            ("-1", InProgress, None),
            ("0", InProgress, None),
            ("3", Closed, Some(Fulfilled)),
            ("4", Closed, Some(Cancelled)),
        ],
        _ => return None,
    };
    let rule = |(_, category, outcome): &(&str, Category, Option<Outcome>)| StateRule {
        category: *category,
        outcome: OutcomeOrAsk(*outcome),
    };
    Some(list.iter().map(|row| (row.0.to_owned(), rule(row))).collect())
}

fn table() -> String {
    "sc_task".to_owned()
}

fn close_codes() -> BTreeMap<String, OutcomeOrAsk> {
    let list = [
        ("Solved (Permanently)", Outcome::Fulfilled),
        ("Solved (Work Around)", Outcome::Fulfilled),
        ("Solved Remotely (Permanently)", Outcome::Fulfilled),
        ("Solved Remotely (Work Around)", Outcome::Fulfilled),
        ("Solution provided", Outcome::Fulfilled),
        ("Workaround provided", Outcome::Fulfilled),
        ("successful", Outcome::Fulfilled),
        ("successful_issues", Outcome::PartlyFulfilled),
        ("unsuccessful", Outcome::NotPossible),
        ("Not Solved (Not Reproducible)", Outcome::NotPossible),
        ("Not Solved (Too Costly)", Outcome::NotPossible),
        ("Closed/Resolved by Caller", Outcome::Cancelled),
        ("Done", Outcome::Fulfilled),
        ("Cancelled", Outcome::Cancelled),
        ("Already in place", Outcome::AlreadyInPlace),
        ("Partly done", Outcome::PartlyFulfilled),
        ("Not possible", Outcome::NotPossible),
        ("Rejected", Outcome::Rejected),
    ];
    list.into_iter().map(|(code, outcome)| (code.to_owned(), OutcomeOrAsk(Some(outcome)))).collect()
}

fn ask() -> OutcomeOrAsk {
    OutcomeOrAsk(None)
}

fn signature_header() -> String {
    "x-lastmile-signature".to_owned()
}

fn timestamp_header() -> String {
    "x-lastmile-timestamp".to_owned()
}

fn yes() -> bool {
    true
}

fn timeout() -> Span {
    Span::secs(30)
}

fn max_processing() -> Span {
    Span::secs(300)
}

fn overlap() -> Span {
    Span::secs(60)
}

fn max_in_flight() -> usize {
    8
}
