//! What is known of an errand when it is settled.

use serde::Deserialize;

use super::super::journal::Head;
use crate::model::State;

/// An errand under its lease, with its ticket and its order.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Row {
    pub(super) id: i64,
    pub(super) kind: String,
    pub(super) edge: String,
    pub(super) state: String,
    pub(super) lease_no: i64,
    pub(super) ticket_id: Option<i64>,
    pub(super) assignment_id: Option<i64>,
    pub(super) ref_id: Option<String>,
    pub(super) ref_number: Option<String>,
    pub(super) shape: Option<String>,
    pub(super) life: Option<String>,
    pub(super) outcome: Option<String>,
    pub(super) withdrawn_at: Option<i64>,
    /// A report of a later closing is owed, or told already.
    pub(super) overtaken: i64,
    /// Its ticket is about other orders, too.
    pub(super) others: i64,
    /// The order was taken back or changed since its ticket was planned.
    pub(super) late: Option<i64>,
    pub(super) chain_seq: Option<i64>,
    pub(super) chain_head: Option<String>,
    /// A call of it has broken off once: an effect that is found may be its own.
    pub(super) broke_off: i64,
    /// Of a step told to the platform: which.
    pub(super) told: Option<String>,
    /// Of a report: when the application showed what was ordered, since it was opened last, and by whose clock.
    pub(super) seen: Option<String>,
}

impl Row {
    /// Where the chain of its assignment ends.
    pub(super) fn head(&self) -> Option<Head> {
        Some((self.assignment_id?, self.life.clone()?, self.chain_seq?, self.chain_head.clone()?))
    }

    pub(super) fn is_create(&self) -> bool {
        self.kind == "create"
    }

    /// The order was taken back, and no ticket came of it.
    pub(super) fn is_moot_create(&self) -> bool {
        self.is_create() && self.withdrawn_at.is_some()
    }

    /// It is certain that a refused or failed call made no ticket; a witness that refuses to answer is certain of nothing.
    pub(super) fn was_sent(&self) -> bool {
        self.state == "sending"
    }

    /// A report whose ticket was opened again while it was under way: it would be untrue now.
    pub(super) fn is_untrue_report(&self) -> bool {
        self.kind == "report" && (self.outcome.is_none() || self.overtaken == 1)
    }

    /// Its order has ended, whatever becomes of the ticket: the platform was told no in time.
    pub(super) fn has_ended(&self) -> bool {
        self.withdrawn_at.is_some() && (self.lives(State::Closed) || self.lives(State::Reported))
    }

    /// A step told to the platform: a comment that belongs to no ticket.
    pub(super) fn is_progress(&self) -> bool {
        self.told.is_some()
    }

    pub(super) fn lives(&self, state: State) -> bool {
        self.life.as_deref() == Some(state.as_str())
    }
}
