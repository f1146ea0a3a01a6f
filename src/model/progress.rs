//! How far an order is, told to the platform on the way to its outcome.

use serde::{Deserialize, Serialize};

use super::{Operation, Timestamp};

/// A step that a requester wants to know of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The admin group has its ticket.
    Filed,
    /// Somebody works on it, or works on after a pause.
    InWork,
    /// It waits for somebody outside the admin group: the requester, a vendor.
    Waiting,
    /// It was closed, and is open again.
    Reopened,
}

impl Step {
    /// Every step, in the order of life.
    pub const ALL: [Self; 4] = [Self::Filed, Self::InWork, Self::Waiting, Self::Reopened];

    /// The stored and exchanged word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Filed => "filed",
            Self::InWork => "in_work",
            Self::Waiting => "waiting",
            Self::Reopened => "reopened",
        }
    }

    /// Words for people.
    #[must_use]
    pub fn human(self) -> &'static str {
        match self {
            Self::Filed => "ticket filed",
            Self::InWork => "in work",
            Self::Waiting => "waiting for somebody outside the admin group",
            Self::Reopened => "opened again",
        }
    }
}

/// A step as told to the platform. It names no person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// Stable id: the same for every repetition of this step.
    pub id: String,
    /// The platform's id of the order.
    pub external_id: String,
    /// Natural key of the assignment.
    pub natural_key: String,
    /// What was ordered.
    pub operation: Operation,
    /// Application id.
    pub application: String,
    /// The step.
    pub step: Step,
    /// The step in words.
    pub words: &'static str,
    /// Ticket number for people.
    pub ticket: Option<String>,
    /// Ticket address.
    pub ticket_url: Option<String>,
    /// Desk name.
    pub desk: Option<String>,
    /// Who fulfils.
    pub admin_group: Option<String>,
    /// The desk's own word for the status.
    pub status: Option<String>,
    /// Since when, by the clock of whoever took the step.
    pub at: Timestamp,
    /// ISO 8601 of `at`, for templates.
    pub at_iso: String,
}
