//! What sources bring, and what becomes of it.

use serde::Serialize;

use super::Foreseen;
use crate::http::CallError;
use crate::model::{Assignment, Id, Operation, Timestamp};

/// One event on its way into the ledger.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// Source by name.
    pub source: String,
    /// Unique within the source.
    pub event_id: String,
    /// Digest of the raw body.
    pub digest: String,
    /// When the last byte arrived.
    pub received_at: Timestamp,
    /// What it says.
    pub content: ReceiptContent,
}

/// What an event says.
#[derive(Debug, Clone)]
pub enum ReceiptContent {
    /// An order, with its document as JSON.
    Order(Box<Assignment>),
    /// Orders taken back.
    Withdrawn {
        /// The platform's id.
        external_id: String,
        /// Of which operation; none: all.
        operation: Option<Operation>,
    },
    /// A person left.
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
        /// Of which operation; none: all.
        operation: Option<Operation>,
        /// When it was looked at, by the platform's clock.
        at: Option<Timestamp>,
    },
    /// Not understood.
    Unmappable {
        /// What is wrong.
        problem: String,
        /// The raw body.
        body: String,
    },
}

/// An event on its way into the ledger, and what is foreseen of it.
#[derive(Debug)]
pub struct Arrival {
    /// The event.
    pub receipt: Receipt,
    /// Of an order, where it was decided on already.
    pub foreseen: Option<Box<Foreseen>>,
}

impl From<Receipt> for Arrival {
    fn from(receipt: Receipt) -> Self {
        Self { receipt, foreseen: None }
    }
}

/// What became of an arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrived {
    /// What the reply to the sender says.
    pub recorded: Recorded,
    /// How far a new order has come.
    pub come: Come,
}

/// How far a new order has come in the commit that recorded it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Come {
    /// It wants a plan, as whatever is not a new order may.
    Received,
    /// What was foreseen holds, and nobody has to do anything now.
    Decided,
    /// What was foreseen holds; a ticket waits to be leased.
    Planned,
    /// Its ticket is leased, and who has the seat has it in hand.
    Leased,
}

/// What became of an event; the reply to the sender says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Recorded {
    /// A new assignment.
    New {
        /// Its id.
        id: Id,
    },
    /// The same event again: answered as before, without effect.
    Repeat {
        /// The assignment, where there is one.
        id: Option<Id>,
    },
    /// The same event id with another body: refused with 409.
    Conflict,
    /// Another event of an order we have, with the same content.
    Unchanged {
        /// The assignment.
        id: Id,
    },
    /// An order we have, with other content.
    Changed {
        /// The assignment.
        id: Id,
        /// Its revision now.
        revision: i64,
    },
    /// Taken back.
    Withdrawn {
        /// How many assignments it concerned.
        assignments: usize,
    },
    /// The application shows what these ordered.
    Seen {
        /// How many assignments it is evidence of.
        assignments: usize,
    },
    /// Of an order we never had. A withdrawal is remembered, evidence is not.
    UnknownOrder,
    /// Kept for an operator.
    Quarantined {
        /// Quarantine row.
        id: Id,
    },
}

/// A polled round on its way into the ledger.
#[derive(Debug, Clone)]
pub struct Pull {
    /// Source by name.
    pub source: String,
    /// The cursor the round started from; refused when it has moved meanwhile.
    pub from: Option<String>,
    /// Where the next round starts.
    pub to: String,
    /// Events in order.
    pub receipts: Vec<Receipt>,
    /// Of a **complete** snapshot; `None` otherwise.
    pub snapshot: Option<Snapshot>,
    /// When the round started.
    pub started_at: Timestamp,
}

/// What a complete snapshot showed.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// External ids present.
    pub present: Vec<String>,
    /// It was read in one page: one picture of the list, so absence counts at once.
    pub one_page: bool,
}

/// An edge that cannot be reached or read.
#[derive(Debug, Clone)]
pub struct Trouble {
    /// Code of the failure.
    pub code: String,
    /// Words for people.
    pub reason: String,
}

impl Trouble {
    /// Of a failed call.
    #[must_use]
    pub fn of(error: &CallError) -> Self {
        Self { code: error.code().to_owned(), reason: error.reason().to_owned() }
    }
}

/// What became of a polled round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pulled {
    /// Recorded.
    Recorded {
        /// Per event.
        results: Vec<Recorded>,
        /// Orders absent from a complete snapshot, now withdrawn.
        withdrawn: usize,
        /// Orders that had left the list and stand again.
        reinstated: usize,
    },
    /// Somebody else moved the cursor: nothing was written.
    CursorMoved,
}

/// A round of a standing list on its way into the ledger.
#[derive(Debug, Clone)]
pub struct StandingRound {
    /// Source by name.
    pub source: String,
    /// The cursor the round started from; refused when it has moved meanwhile.
    pub from: Option<String>,
    /// Where the next round starts.
    pub to: String,
    /// What stands, by the platform's key.
    pub rows: Vec<(String, Receipt)>,
    /// Everything was seen: what is missing is gone.
    pub complete: bool,
    /// What stands is the beginning: it orders nothing.
    pub baseline: bool,
    /// More rows gone than this are not believed.
    pub most_gone: usize,
    /// When the round started.
    pub at: Timestamp,
}

/// What became of a round of a standing list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stood {
    /// Recorded.
    Recorded {
        /// Per new order, then per order that takes something away.
        results: Vec<Recorded>,
        /// Rows gone that became an order.
        removed: usize,
        /// Rows gone that were too many to be believed; they are asked about again next time.
        not_believed: usize,
    },
    /// Somebody else moved the cursor: nothing was written.
    CursorMoved,
}
