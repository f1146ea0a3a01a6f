//! What operators do.

use serde::{Deserialize, Serialize};

use crate::model::{Id, Outcome};

/// What an operator does; each names its actor in the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum Action {
    /// Try a parked errand again.
    RetryErrand {
        /// The errand.
        errand: Id,
    },
    /// Lift the mark of a parked assignment: planned again, or looked at again.
    Unpark {
        /// The assignment.
        assignment: Id,
    },
    /// An unclear or parked create did make this ticket.
    TicketIs {
        /// The errand.
        errand: Id,
        /// The desk's id.
        ref_id: String,
        /// The desk's number.
        ref_number: String,
    },
    /// An unclear create certainly made no ticket: send again.
    NoTicket {
        /// The errand.
        errand: Id,
    },
    /// A parked comment, closing or report is not to be sent any more.
    Drop {
        /// The errand.
        errand: Id,
    },
    /// Give a parked assignment an outcome by hand.
    Decide {
        /// The assignment.
        assignment: Id,
        /// The outcome.
        outcome: Outcome,
        /// Why.
        reason: String,
    },
    /// Throw a quarantined event away.
    Discard {
        /// The quarantine row.
        quarantined: Id,
    },
    /// Mend what the comparison of platform, ledger and desk found. What the desk says now is looked at before:
    /// [`crate::flow::reconcile::repair`].
    Repair {
        /// The finding.
        finding: Id,
    },
    /// It is as it shall be, or is mended elsewhere: not shown again.
    Dismiss {
        /// The finding.
        finding: Id,
    },
}

/// What became of an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", content = "reason", rename_all = "snake_case")]
pub enum Acted {
    /// Done.
    Done,
    /// There is no such thing.
    NotFound,
    /// It is not in a state for that.
    NotNow(String),
}
