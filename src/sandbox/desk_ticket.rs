//! A ticket of a fake desk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::model::Timestamp;

/// Where a ticket stands, before a desk's own words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nobody works on it.
    New,
    /// Somebody does.
    Working,
    /// It waits for somebody else.
    Waiting,
    /// Closed.
    Closed,
    /// A status that an administrator of the desk invented.
    Odd(String),
}

/// A comment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comment {
    /// Who wrote it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Text or document.
    pub body: Value,
    /// Hidden from customers.
    pub internal: bool,
}

/// A change of stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Move {
    /// Who did it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// To where.
    pub to: Stage,
}

/// A ticket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    /// Stable id.
    pub id: String,
    /// Number for people.
    pub number: String,
    /// Project or table.
    pub place: String,
    /// Summary.
    pub summary: String,
    /// Text or document.
    pub body: Value,
    /// Admin group by name.
    pub group: Option<String>,
    /// Labels; on `ServiceNow` the correlation id is the only one.
    pub labels: Vec<String>,
    /// Further fields.
    pub fields: BTreeMap<String, Value>,
    /// Where it stands.
    pub stage: Stage,
    /// The desk's own code of the stage where one stage has several.
    pub code: Option<String>,
    /// Resolution or close code.
    pub resolution: Option<String>,
    /// Closing words.
    pub close_notes: Option<String>,
    /// Who works on it.
    pub assignee: Option<String>,
    /// Who closed it.
    pub closer: Option<String>,
    /// Comments, oldest first.
    pub comments: Vec<Comment>,
    /// Moves, oldest first.
    pub history: Vec<Move>,
    /// Account that created it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// Last change.
    pub updated_at: Timestamp,
    /// Closed since.
    pub closed_at: Option<Timestamp>,
    /// A search finds it from then on.
    pub visible_at: Timestamp,
    /// Deleted: counted still, shown no more.
    pub deleted: bool,
}

impl Ticket {
    /// The files that lie with it, numbered.
    pub(super) fn files(&self) -> impl Iterator<Item = (usize, &Value)> {
        self.fields.get("attachment").and_then(Value::as_array).into_iter().flatten().enumerate()
    }

    /// Moves it to a stage, with its history.
    pub fn move_to(&mut self, stage: Stage, by: &str, now: Timestamp) {
        self.history.push(Move { by: by.to_owned(), at: now, to: stage.clone() });
        let closed = stage == Stage::Closed;
        self.closed_at = closed.then_some(now);
        self.closer = closed.then(|| by.to_owned());
        if !closed {
            self.resolution = None;
            self.code = None;
        }
        self.stage = stage;
    }

    /// Adds a comment.
    pub fn comment(&mut self, by: &str, now: Timestamp, body: Value, internal: bool) {
        self.comments.push(Comment { by: by.to_owned(), at: now, body, internal });
    }

    /// What a search for our key looks at: labels, and text fields that hold a key.
    pub(super) fn marks(&self) -> impl Iterator<Item = &str> {
        let fields = self.fields.values().filter_map(Value::as_str).filter(|t| t.starts_with("lm-"));
        self.labels.iter().map(String::as_str).chain(fields)
    }
}

/// What a new ticket starts with.
#[derive(Debug, Clone, Default)]
pub struct NewTicket {
    /// Project or table.
    pub place: String,
    /// Start of the number (`IAM-`, `INC`).
    pub prefix: String,
    /// Ids are 32 hex digits instead of a count.
    pub hex_id: bool,
    /// Summary.
    pub summary: String,
    /// Text or document.
    pub body: Value,
    /// Admin group by name.
    pub group: Option<String>,
    /// Labels.
    pub labels: Vec<String>,
    /// Further fields.
    pub fields: BTreeMap<String, Value>,
}
