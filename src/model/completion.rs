//! The outcome as it is told to the platform.

use serde::{Deserialize, Serialize};

use super::{Operation, Outcome, Person, Timestamp};

/// The outcome as told to the platform. Holds persons and words: never logged.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Completion {
    /// Stable id: the same for every repetition of this report.
    pub id: String,
    /// The platform's id of the order.
    pub external_id: String,
    /// Natural key of the assignment.
    pub natural_key: String,
    /// What was ordered.
    pub operation: Operation,
    /// Application id.
    pub application: String,
    /// The outcome.
    pub outcome: Outcome,
    /// Fulfilled or already in place.
    pub success: bool,
    /// Why, where there is a reason to give.
    pub reason: Option<String>,
    /// The admin's words.
    pub words: Option<String>,
    /// Who closed the ticket.
    pub closed_by: Option<Person>,
    /// Ticket number for people.
    pub ticket: Option<String>,
    /// Ticket address.
    pub ticket_url: Option<String>,
    /// Desk name.
    pub desk: Option<String>,
    /// When it was closed, by the desk's clock.
    pub closed_at: Option<Timestamp>,
    /// When we learned of it.
    pub seen_at: Timestamp,
    /// When the ticket was created.
    pub filed_at: Option<Timestamp>,
    /// When work on it began.
    pub started_at: Option<Timestamp>,
    /// What lies with the ticket to prove it.
    pub evidence: Vec<Evidence>,
    /// ISO 8601 of `filed_at`, for templates.
    pub filed_at_iso: Option<String>,
    /// ISO 8601 of `started_at`, for templates.
    pub started_at_iso: Option<String>,
    /// ISO 8601 of `closed_at`, for templates.
    pub closed_at_iso: Option<String>,
    /// ISO 8601 of `seen_at`, for templates.
    pub seen_at_iso: String,
}

/// A file that an admin put to the ticket. The file itself stays on the desk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Evidence {
    /// Its name.
    pub name: String,
    /// Where it can be had, by whoever may read the ticket.
    pub url: Option<String>,
}

impl std::fmt::Debug for Completion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Completion({} {})", self.id, self.outcome.as_str())
    }
}
