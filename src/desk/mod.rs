//! Service desks. A new desk is one file here and one word in `build`, or no Rust at all through `rest`.

mod common;
mod evidence;
pub mod jira;
mod preview;
mod redact;
mod render;
pub mod rest;
pub mod servicenow;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;

use crate::catalog::file::nearest;
use crate::catalog::{EdgeFile, Problem};
use crate::http::CallError;
use crate::model::Timestamp;
use crate::model::finding::Finding;
use crate::model::key::Key;
use crate::model::ticket::{Amended, Change, Created, Draft, TicketReading, TicketRef, TicketStatus};

pub use preview::Preview;

/// What a desk lets anyone promise about doubles (docs/guarantees.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub enum Level {
    /// No search by key.
    D0,
    /// The search lags.
    D1,
    /// The search is always up to date.
    D2,
    /// Repeating a create is harmless.
    D3,
}

impl Level {
    /// What it means for whoever relies on it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::D0 => "it cannot be searched: after an unclear call a person must look, or a ticket may be doubled or missing",
            Self::D1 => "its search lags: after an unclear call we wait until the search must show the ticket, then send again",
            Self::D2 => "its search is always up to date: after an unclear call one look tells whether the ticket is there",
            Self::D3 => "repeating a create is harmless: the desk itself gives the same ticket again",
        }
    }
}

/// What becomes of an unclear create on a desk that cannot be searched: the operator chooses, in these words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenUnclear {
    /// It is sent again after the quiet period: the order surely gets a ticket, and maybe two.
    MaybeTwice,
    /// It waits for a person who looks on the desk: never two tickets, and maybe none until then.
    #[default]
    MaybeNever,
}

/// What a desk declares about itself.
#[derive(Debug, Clone)]
pub struct DeskInfo {
    /// Configured name.
    pub name: String,
    /// `jira`, `servicenow`, `rest`.
    pub kind: &'static str,
    /// Which desk it is: the settings that say where its tickets lie and their keys stand, with their values. Another
    /// value is another desk, which has none of the tickets we hold.
    pub home: Vec<(&'static str, String)>,
    /// [`Desk::changed_since`] from the beginning of time lists every ticket of our account: what nobody knows is found.
    pub lists: bool,
    /// See [`Level`].
    pub level: Level,
    /// What becomes of an unclear create where there is no search ([`Level::D0`]).
    pub when_unclear: WhenUnclear,
    /// Longest summary, characters.
    pub max_summary: usize,
    /// Longest body, characters, after rendering.
    pub max_body: usize,
    /// What an admin group is there ("assignment group", "queue", "component" …), for people.
    pub group_is: String,
    /// Tickets per `status` call.
    pub status_batch: usize,
    /// How long the desk may still carry out a call after our time-out, milliseconds.
    pub max_processing_ms: i64,
    /// How long a new ticket may stay invisible to `find`, milliseconds (0 for D2 and D3).
    pub index_lag_ms: i64,
    /// Our client's time-out, milliseconds.
    pub timeout_ms: i64,
    /// Overlap of `changed_since`, milliseconds.
    pub overlap_ms: i64,
    /// Calls at the same time.
    pub max_in_flight: usize,
}

impl DeskInfo {
    /// Quiet period after an unclear create: client time-out + longest processing + index lag.
    #[must_use]
    pub fn quiet_ms(&self) -> i64 {
        self.timeout_ms + self.max_processing_ms + self.index_lag_ms
    }
}

/// What changed since a mark.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// Rows; may repeat, may name tickets that are not ours (the caller filters).
    pub rows: Vec<TicketStatus>,
    /// Where to start next time, already free of the overlap. `None`: stay.
    pub next_mark: Option<Timestamp>,
    /// More rows wait behind `next_mark`; ask again at once.
    pub more: bool,
}

/// One answer of a bulk status.
#[derive(Debug, Clone)]
pub enum StatusAnswer {
    /// The desk answered for it.
    Known(Box<TicketStatus>),
    /// The desk says it does not exist, or not for us.
    Gone(TicketRef),
    /// This one could not be read; the others of the batch are not affected.
    Unreadable(TicketRef, String),
}

/// A desk's webhook said something. Only a hint: the ticket is read before anything is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The desk's stable id of the ticket, or its number, whichever the hook carries.
    pub ticket: Option<TicketRef>,
    /// Our key, where the hook carries it: an independent witness of a create.
    pub key: Option<Key>,
}

/// A service desk.
#[async_trait]
pub trait Desk: Send + Sync + std::fmt::Debug {
    /// What it declares about itself.
    fn info(&self) -> &DeskInfo;

    /// Every ticket that carries exactly this key (each row is checked; a row without the key is not believed).
    async fn find(&self, key: &Key) -> Result<Vec<TicketStatus>, CallError>;

    /// Creates the ticket with the key inside the call.
    async fn create(&self, draft: &Draft) -> Result<Created, CallError>;

    /// The create call of a draft as it would be made. Nothing is sent.
    ///
    /// # Errors
    /// The declaration cannot be filled for this draft.
    fn preview(&self, draft: &Draft) -> Result<Preview, CallError>;

    /// Reads one ticket fully: closer, last words, when work began.
    async fn read(&self, ticket: &TicketRef) -> Result<TicketReading, CallError>;

    /// Bulk status by the references we hold; at most [`DeskInfo::status_batch`] of them. One answer per reference.
    async fn status(&self, tickets: &[TicketRef]) -> Result<Vec<StatusAnswer>, CallError>;

    /// Tickets of our account changed since the mark (the adapter applies its overlap and zone).
    async fn changed_since(&self, mark: Timestamp) -> Result<Changes, CallError>;

    /// Comments, closes or rewrites a ticket. The mark of a comment is written into it. What an admin closed before is not
    /// closed again.
    async fn amend(&self, ticket: &TicketRef, change: &Change) -> Result<Amended, CallError>;

    /// Whether a comment with this mark is on the ticket: the witness of an unclear `amend`.
    async fn has_mark(&self, ticket: &TicketRef, mark: &str) -> Result<bool, CallError>;

    /// Whether this is our own account on the desk (by the desk's id of it); false when that cannot be told.
    async fn is_own_account(&self, created_by: Option<&str>) -> bool;

    /// Verifies and reads the desk's own webhook.
    ///
    /// # Errors
    /// The refusal, answered with 401 or 400.
    fn accept(&self, inbound: crate::http::Inbound, now: Timestamp) -> Result<Vec<Hint>, crate::http::signature::Refusal>;

    /// A cheap call that needs our credentials: is the desk there and are we let in?
    async fn probe(&self) -> Result<(), CallError>;

    /// Everything the configuration will need: rights, fields, the groups named.
    async fn check(&self, groups: &[String]) -> Vec<Finding>;
}

/// Kinds of desks that `kind = "…"` may name.
const KINDS: [&str; 3] = ["jira", "rest", "servicenow"];

/// Builds the desk that a file describes.
///
/// # Errors
/// Every problem of the file with its line; an unknown kind with the nearest known one.
pub fn build(name: &str, edge: &EdgeFile, folder: &Path) -> Result<Arc<dyn Desk>, Vec<Problem>> {
    match edge.kind.as_str() {
        "jira" => jira::build(name, &edge.file, folder),
        "rest" => rest::build(name, &edge.file, folder),
        "servicenow" => servicenow::build(name, &edge.file, folder),
        other => {
            let help = match nearest(other, KINDS) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known kinds: {}", KINDS.join(", ")),
            };
            Err(vec![edge.file.problem(&["kind"], format!("no desk is of kind `{other}`"), Some(help))])
        }
    }
}
