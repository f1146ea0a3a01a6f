//! Tickets as every desk's adapter speaks of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::clock::Timestamp;
use super::key::Key;
use super::outcome::Outcome;

/// A ticket before it is sent: everything the desk's adapter needs, and nothing of a desk's own language.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Draft {
    /// Our correlation key; travels inside the create call.
    pub key: Key,
    /// The admin group by the desk's own name for it.
    pub admin_group: String,
    /// One line, already free of control characters.
    pub summary: String,
    /// Neutral markup (plan/markup); the adapter renders it.
    pub body: String,
    /// 0 … 3, see [`super::Assignment::priority`].
    pub priority: i64,
    /// When the work is wanted by, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// Further fields of the desk that the application's file asks for; strings were filled by the template engine.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, Value>,
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Draft({} for {})", self.key, self.admin_group)
    }
}

/// How we address a ticket on its desk.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TicketRef {
    /// The desk's stable id (Jira issue id, `ServiceNow` `sys_id`): survives a move.
    pub id: String,
    /// What people call it (`IAM-12`, `INC0010002`); the id where the desk has no other.
    pub number: String,
}

/// A desk's answer to a create, or a row found by key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Created {
    /// The ticket.
    pub ticket: TicketRef,
    /// Address for people.
    pub url: Option<String>,
    /// The answer itself carried our key, so that no read-back is needed.
    pub key_confirmed: bool,
    /// The group the desk put it in was not the one asked for (an unknown or forbidden group).
    pub group_missed: bool,
}

/// Where a ticket stands, in words that every desk's statuses are mapped to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Nobody works on it yet.
    Open,
    /// Somebody works on it.
    InProgress,
    /// It waits for somebody outside the admin group.
    Waiting,
    /// Closed; the outcome says how.
    Closed,
    /// Gone from the desk, or no longer visible to our account.
    Gone,
    /// No rule knows the status: it waits for a person and is never taken for done.
    Unknown,
}

impl Category {
    /// The stored word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::InProgress => "in_progress",
            Self::Waiting => "waiting",
            Self::Closed => "closed",
            Self::Gone => "gone",
            Self::Unknown => "unknown",
        }
    }

    /// Reads the stored word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::InProgress, Self::Waiting, Self::Closed, Self::Gone, Self::Unknown]
            .into_iter()
            .find(|c| c.as_str() == text)
    }
}

/// What a desk says of one ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketStatus {
    /// Which ticket.
    pub ticket: TicketRef,
    /// Key found on the ticket; `None` where the desk's row does not carry it or it was removed.
    pub key: Option<Key>,
    /// Mapped category.
    pub category: Category,
    /// Mapped outcome; only with [`Category::Closed`]. Closed without an outcome waits for a person.
    pub outcome: Option<Outcome>,
    /// The desk's own status word, for people.
    pub status: String,
    /// The desk's own resolution or close code, for people.
    pub resolution: Option<String>,
    /// The group it is with now, in the desk's words.
    pub group: Option<String>,
    /// Somebody has taken it.
    pub assigned: bool,
    /// Who created it, by the desk's own id of the account.
    pub created_by: Option<String>,
    /// The desk's time of the last change.
    pub updated_at: Option<Timestamp>,
    /// The desk's time of closing.
    pub closed_at: Option<Timestamp>,
}

/// What is read once when a ticket closes: who, and their last words. Persons: never logged, kept erasable.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketReading {
    /// The same as in a bulk status.
    pub status: TicketStatus,
    /// Who closed it: id and name on the desk.
    pub closer: Option<super::assignment::Person>,
    /// The admin's words: resolution note or last public comment.
    pub words: Option<String>,
    /// When work began, where the desk's history tells.
    pub first_work_at: Option<Timestamp>,
    /// It was our own account that closed it; `None` where the desk does not tell.
    pub closed_by_us: Option<bool>,
    /// Files that lie with it, as far as the desk shows them.
    pub evidence: Vec<super::completion::Evidence>,
}

/// How a change to a ticket ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amended {
    /// It had its effect.
    Done,
    /// The ticket was to be closed and was closed before: what its closer said stands.
    WasClosed,
}

impl std::fmt::Debug for TicketReading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TicketReading").field("status", &self.status).finish_non_exhaustive()
    }
}

/// A change we make to a ticket.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Change {
    /// A comment; `mark` is written into it so that it can be found again.
    Comment {
        /// Findable mark, `[a-z0-9-]`.
        mark: String,
        /// Neutral markup.
        body: String,
    },
    /// Close it as cancelled, where the desk allows it.
    Close {
        /// Findable mark of the closing comment.
        mark: String,
        /// Why, in neutral markup.
        body: String,
    },
    /// New text for the ticket (the order changed); its summary stays, so that people know it again. Repeating it is
    /// harmless. A desk that keeps the first text for ever refuses it: the comment has said what changed.
    Text {
        /// New body, neutral markup.
        body: String,
    },
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Comment { .. } => "Change::Comment",
            Self::Close { .. } => "Change::Close",
            Self::Text { .. } => "Change::Text",
        })
    }
}
