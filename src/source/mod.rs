//! Identity platforms. Webhook, polled list and files are declared by a mapping; a platform with sessions and a workflow of
//! its own has a folder.

pub mod absence;
pub mod auth;
pub mod cloud_events;
pub mod date;
pub mod declared;
pub mod entra;
mod exchange;
pub mod field;
pub mod folder;
pub mod mapping;
pub mod midpoint;
mod native;
pub mod one_identity;
pub mod outbox;
pub mod paging;
pub mod poll;
pub mod report;
pub mod rows;
pub mod sailpoint;
mod telling;
pub mod timing;
pub mod webhook;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use url::Url;

use crate::catalog::file::nearest;
use crate::catalog::{EdgeFile, Problem};
use crate::http::signature::Refusal;
use crate::http::{CallError, Inbound};
use crate::ledger::TimeUp;
use crate::ledger::views::AssignmentDetail;
use crate::model::completion::Completion;
use crate::model::progress::Progress;
use crate::model::{Assignment, Clock, Operation, Timestamp};

/// What a source can carry back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Capabilities {
    /// Sends events by itself.
    pub pushes: bool,
    /// Can be polled.
    pub polls: bool,
    /// Takes a reason with the outcome.
    pub reason: bool,
    /// Takes the ticket's number and link.
    pub ticket_link: bool,
    /// Accepts a completion at all.
    pub report: bool,
    /// Asks for the outcome by itself; nothing is sent to it.
    pub asks: bool,
    /// Takes who closed the ticket.
    pub performer: bool,
    /// Takes when it was closed.
    pub times: bool,
    /// Takes what lies with the ticket to prove it.
    pub evidence: bool,
    /// Is told how far an order is.
    pub progress: bool,
    /// Says when an order is taken back.
    pub cancel: bool,
}

impl Capabilities {
    /// Steps are sent to it; one that asks is answered instead.
    #[must_use]
    pub fn hears_progress(self) -> bool {
        self.progress && self.report && !self.asks
    }

    /// What is not told to the platform, in words: it is kept, and shown here only.
    #[must_use]
    pub fn shown_here_only(self) -> Vec<&'static str> {
        if !self.report {
            return vec!["outcomes"];
        }
        let parts = [
            (self.reason, "the admin's words"),
            (self.ticket_link, "the ticket's number and link"),
            (self.performer, "who closed it"),
            (self.times, "when it was closed"),
            (self.evidence, "files at the ticket"),
            (self.progress, "how far an order is"),
        ];
        parts.into_iter().filter(|(can, _)| !can).map(|(_, words)| words).collect()
    }

    /// The same as a sentence; `None` where everything is told.
    #[must_use]
    pub fn kept_here(self) -> Option<String> {
        let parts = self.shown_here_only();
        (!parts.is_empty()).then(|| format!("not told to the platform, shown here only: {}", parts.join(", ")))
    }
}

/// What a platform wants to be told, made by [`Source::question`] from a verified request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Its id of the order.
    pub external_id: String,
    /// What the ids of the order's events begin with: one that is held back is found by it.
    pub events: String,
    /// It has just placed the order, and wants its number.
    pub placed: bool,
}

/// What the ledger knows of the order that was asked about.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Its assignments, oldest first; one for each item.
    pub assignments: Vec<AssignmentDetail>,
    /// An item of it came, does not map, and waits for an operator.
    pub held: bool,
}

/// An answer to a platform.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// JSON body.
    pub body: serde_json::Value,
    /// It tells the outcome: nothing more is owed.
    pub tells_outcome: bool,
}

/// What a polled list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ListKind {
    /// New and changed rows since a cursor.
    Cursor,
    /// All that is pending; absence in a complete run means withdrawn.
    Snapshot,
    /// All that is assigned: a new row is an order, and a row gone from a complete run is the order to take it away.
    /// What stands in the first complete run is the beginning and orders nothing.
    Standing,
}

/// What a source declares about itself.
#[derive(Debug, Clone)]
pub struct SourceInfo {
    /// Configured name; part of every natural key.
    pub name: String,
    /// One of [`KINDS`].
    pub kind: &'static str,
    /// What it can carry.
    pub capabilities: Capabilities,
    /// Of a polled source.
    pub list: Option<ListKind>,
    /// Of a polled source: its schedule as written.
    pub schedule: Option<String>,
    /// Of a source that can be asked what it holds after an unclear report: how long it may still be at work on one,
    /// milliseconds. None: its reports are simply repeated.
    pub confirm_quiet_ms: Option<i64>,
}

/// Something the platform said.
#[derive(Clone)]
pub struct SourceEvent {
    /// Unique within the source: the sender's delivery id, or made from row id and content for polled rows.
    pub event_id: String,
    /// SHA-256 of the raw body (or row): tells a repeat from a forgery.
    pub digest: String,
    /// What it says.
    pub content: EventContent,
}

/// What an event says.
#[derive(Clone)]
pub enum EventContent {
    /// An order, new or changed.
    Order(Box<Assignment>),
    /// An order was taken back.
    Withdrawn {
        /// The platform's id of the order.
        external_id: String,
        /// Of which operation; none: all of that id.
        operation: Option<Operation>,
        /// The platform's words.
        reason: Option<String>,
    },
    /// A person left: their open orders are taken back, and what is taken from them goes first.
    Left {
        /// The platform's id of them.
        person: String,
    },
    /// The application itself shows what was ordered.
    Seen {
        /// The source whose order it is.
        of: String,
        /// The platform's id of the order.
        external_id: String,
        /// Of which operation; none: all of that id.
        operation: Option<Operation>,
        /// When it was looked at, by the platform's clock.
        at: Option<Timestamp>,
    },
    /// Authentic, but it does not map: kept in quarantine.
    Unmappable {
        /// What is missing or wrong, with the JSON pointer; no value of a person in it.
        problem: String,
        /// The body as received, for replay.
        body: String,
    },
}

/// One round of polling.
#[derive(Clone)]
pub struct Pulled {
    /// Events in the order of the list.
    pub events: Vec<SourceEvent>,
    /// Where the next round starts; recorded with the events in one transaction.
    pub next_cursor: String,
    /// Every page was read: of a snapshot, absence now means withdrawn.
    pub complete: bool,
    /// External ids present in a snapshot.
    pub present: Vec<String>,
    /// All of it stood in one page: one picture of the list.
    pub one_page: bool,
    /// Why the round is not complete, where a page could not be read or rows moved meanwhile.
    pub broken: Option<CallError>,
}

/// All that is assigned, as one round of a [`ListKind::Standing`] list saw it.
#[derive(Clone, Default)]
pub struct Standing {
    /// By the platform's stable key; also rows that do not map, so that they do not look gone.
    pub rows: Vec<(String, SourceEvent)>,
    /// Every page was read, and nothing speaks against having seen everything.
    pub complete: bool,
    /// Why it was not.
    pub broken: Option<CallError>,
    /// More rows gone in one round than this are not believed: a right that was lost looks the same.
    pub most_gone: usize,
}

/// A platform that waits for answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// How often it is asked ([`Source::missing`]) whether it still wants what is under way, milliseconds.
    pub look_every_ms: i64,
}

/// What a platform says of a pending order that is no longer in its list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// It was taken back, or settled without us.
    Withdrawn,
    /// The platform forgot it, or does not say: our own copy goes on.
    Unknown,
    /// This one could not be read: it stays as it is, and the others are not affected.
    Unreadable(CallError),
}

/// An identity platform.
#[async_trait]
pub trait Source: Send + Sync + std::fmt::Debug {
    /// What it declares about itself.
    fn info(&self) -> &SourceInfo;

    /// One round of polling from the cursor (`None`: from the beginning).
    async fn pull(&self, _cursor: Option<&str>, _now: Timestamp) -> Result<Pulled, CallError> {
        Err(no_list(&self.info().name))
    }

    /// When it wants to be polled next; `None`: never.
    fn next_poll(&self, _now: Timestamp) -> Option<Timestamp> {
        None
    }

    /// Verifies and reads a webhook. Nothing is written; the reply is given after the commit.
    ///
    /// # Errors
    /// The refusal, answered with 4xx.
    fn accept(&self, inbound: Inbound, now: Timestamp) -> Result<Vec<SourceEvent>, HookRefusal>;

    /// What a request asks, verified: a status call, or a message whose sender wants more than "taken" in reply. `None`:
    /// nothing.
    ///
    /// # Errors
    /// The refusal, answered with 4xx.
    fn question(&self, _inbound: Inbound, _now: Timestamp) -> Result<Option<Question>, HookRefusal> {
        Ok(None)
    }

    /// The answer, from what the ledger holds after the commit. `None`: there is no such order.
    fn answer(&self, _question: &Question, _view: &View) -> Option<Reply> {
        None
    }

    /// May this sender deliver? Asked before it sends anything, by anybody.
    fn handshake(&self, _origin: &str) -> Handshake {
        Handshake::NotTaken
    }

    /// Its webhook takes rows, and each is answered: [`Source::accept_rows`] reads it.
    fn takes_rows(&self) -> bool {
        false
    }

    /// Verifies and reads an upload of rows. Nothing is written.
    ///
    /// # Errors
    /// The refusal, answered with 4xx.
    fn accept_rows(&self, _inbound: Inbound, _now: Timestamp) -> Result<Vec<rows::Row>, HookRefusal> {
        Err(HookRefusal::NoHook(self.info().name.clone()))
    }

    /// What became of the events that the last [`Source::pull`] gave, after they were recorded.
    async fn recorded(&self, _results: &[crate::ledger::Recorded]) -> Result<(), CallError> {
        Ok(())
    }

    /// Maps a quarantined body afresh, after the mapping was mended.
    fn remap(&self, event_id: &str, body: &str) -> SourceEvent;

    /// One round of a [`ListKind::Standing`] list.
    async fn standing(&self, _now: Timestamp) -> Result<Standing, CallError> {
        Err(CallError::reject("E-CONFIG", format!("source `{}` has no list of what is assigned", self.info().name)))
    }

    /// Absence from its snapshot may mean several things: [`Source::missing`] says which.
    fn explains_absence(&self) -> bool {
        false
    }

    /// What became of pending orders that a complete snapshot no longer shows, in the order asked.
    async fn missing(&self, external_ids: &[String]) -> Result<Vec<Missing>, CallError> {
        Ok(vec![Missing::Withdrawn; external_ids.len()])
    }

    /// The platform hinted that there is news: poll now. Asking takes the hint away.
    fn take_hint(&self) -> bool {
        false
    }

    /// The events of the first page only, as [`Source::pull`] would give them: to try a set-up.
    async fn first_page(&self, _now: Timestamp) -> Result<Vec<SourceEvent>, CallError> {
        Ok(Vec::new())
    }

    /// Reads a message or row as if the platform had sent it, unverified: for trying a mapping. Nothing is recorded.
    fn sample(&self, document: &serde_json::Value) -> Vec<EventContent>;

    /// Tells the platform the outcome. Safe to repeat with the same id.
    async fn report(&self, completion: &Completion) -> Result<(), CallError>;

    /// Tells the platform how far an order is. Safe to repeat with the same id; only called where
    /// [`Capabilities::progress`] is declared, and never once the outcome is owed.
    async fn progress(&self, _progress: &Progress) -> Result<(), CallError> {
        Err(CallError::reject("E-CONFIG", format!("source `{}` is not told how far an order is", self.info().name)))
    }

    /// After an unclear report: does the platform hold its outcome? Only asked where `confirm_quiet_ms` is declared.
    async fn confirm(&self, _completion: &Completion) -> Result<bool, CallError> {
        Err(CallError::reject("E-CONFIG", format!("source `{}` cannot be asked what it holds", self.info().name)))
    }

    /// Other sources whose orders its evidence is of, each with the key that names it.
    fn orders_of(&self) -> Vec<(&'static str, &str)> {
        Vec::new()
    }

    /// Whether its platform waits for an answer to each order, and only so long.
    fn waits(&self) -> Option<Waits> {
        None
    }

    /// What becomes of an order whose platform will soon stop waiting. Only asked where [`Source::waits`] says so.
    fn time_is_up(&self, _external_id: &str, _operation: Operation) -> TimeUp {
        TimeUp::Alarm
    }

    /// Ends what it holds open at the platform (a session). It opens again when it is used again.
    async fn close(&self) {}

    /// A cheap call that needs our credentials.
    async fn probe(&self) -> Result<(), CallError>;

    /// Everything the configuration will need.
    async fn check(&self) -> Vec<crate::model::finding::Finding>;
}

/// What a sender hears that asks whether it may deliver (the OPTIONS handshake of CloudEvents).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// This source knows no handshake.
    NotTaken,
    /// Not this sender.
    Refused,
    /// It may.
    Granted {
        /// So many deliveries a minute; none: any number.
        per_minute: Option<u32>,
    },
}

/// Why a webhook is refused with 4xx.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HookRefusal {
    /// Not authentic.
    #[error(transparent)]
    NotAuthentic(#[from] Refusal),
    /// Authentic, but not parseable at all.
    #[error("the body is not JSON: {0}")]
    NotParseable(String),
    /// Authentic, but not what this source reads.
    #[error("{0}")]
    NotReadable(String),
    /// This source takes no webhooks.
    #[error("source `{0}` takes no webhooks")]
    NoHook(String),
}

impl HookRefusal {
    /// Only the place: serde's own words may quote the body.
    fn not_json(error: &serde_json::Error) -> Self {
        Self::NotParseable(format!("line {}, column {}", error.line(), error.column()))
    }
}

/// The kinds of sources there are.
pub const KINDS: [&str; 7] = ["webhook", "poll", "file", "one_identity", "midpoint", "sailpoint", "entra"];

/// Makes the source that a file of `sources/` declares. Relative secret files start at `folder`.
///
/// # Errors
/// Everything that is wrong with the file, each with its line.
pub fn build(name: &str, edge: &EdgeFile, folder: &Path, clock: Arc<dyn Clock>) -> Result<Arc<dyn Source>, Vec<Problem>> {
    match edge.kind.as_str() {
        "webhook" | "poll" | "file" => return Ok(Arc::new(declared::Declared::build(name, &edge.file, folder, clock)?)),
        "one_identity" => return Ok(Arc::new(one_identity::OneIdentity::build(name, &edge.file, folder)?)),
        "sailpoint" => return Ok(Arc::new(sailpoint::SailPoint::build(name, &edge.file, folder)?)),
        "midpoint" => return Ok(Arc::new(midpoint::Midpoint::build(name, &edge.file, folder, clock)?)),
        "entra" => return Ok(Arc::new(entra::Entra::build(name, &edge.file, folder, clock)?)),
        _ => {}
    }
    let help = match nearest(&edge.kind, KINDS) {
        Some(best) => format!("did you mean `{best}`?"),
        None => format!("a source is one of {}", KINDS.join(", ")),
    };
    Err(vec![edge.file.problem(&["kind"], format!("there is no kind of source `{}`", edge.kind), Some(help))])
}

/// The refusal of a source that is not polled.
fn no_list(source: &str) -> CallError {
    CallError::reject("E-CONFIG", format!("source `{source}` has no list to poll"))
}

/// What is said of an address that is none.
const NO_ADDRESS: &str = "not an address; it starts with https:// or http://";

/// An address of a platform, as its file gives it.
fn web_address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|u| matches!(u.scheme(), "http" | "https"));
    url.ok_or_else(|| NO_ADDRESS.to_owned())
}

/// SHA-256 in hex.
fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}
