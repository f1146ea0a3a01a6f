//! Platforms that wait for an answer only so long.

use crate::model::{Id, Operation, State, Timestamp};

/// An order whose platform waits for an answer and has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The assignment.
    pub id: Id,
    /// The platform's id of the order.
    pub external_id: String,
    /// What was ordered.
    pub operation: Operation,
    /// Where it stands.
    pub state: State,
    /// By when the platform must hear something.
    pub answer_by: Timestamp,
    /// When it ended, where only its report is owed.
    pub ended_at: Option<Timestamp>,
}

/// What happens to an order when its platform will soon stop waiting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeUp {
    /// The platform is told no, with this reason, and the ticket that the order was taken back.
    Deny {
        /// For the platform; no person in it.
        reason: String,
    },
    /// It stays as it is, and people are alarmed.
    Alarm,
}
