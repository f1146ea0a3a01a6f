//! Errands: leased, carried out, settled.

use crate::model::errand::ErrandKind;
use crate::model::ticket::{Change, Created, Draft, TicketRef};
use crate::model::{Id, Timestamp};

/// Whose errands to lease.
#[derive(Debug, Clone)]
pub struct LeaseRequest {
    /// Desk or source, `desk/NAME` or `source/NAME`.
    pub edge: String,
    /// This process.
    pub owner: String,
    /// Wall clock.
    pub now: Timestamp,
    /// Length of the lease.
    pub lease_ms: i64,
    /// Quiet period of the edge: starts for what another owner left `sending`.
    pub quiet_ms: i64,
    /// At most so many.
    pub limit: usize,
    /// Only ask witnesses; send nothing (the breaker is open).
    pub witnesses_only: bool,
}

/// What to do with a leased errand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Make the call.
    Send,
    /// Ask whether an earlier call had its effect.
    Witness,
}

/// A leased errand; the attempt is on disk.
#[derive(Debug, Clone)]
pub struct Leased {
    /// The errand.
    pub id: Id,
    /// Fences every later write.
    pub lease_no: i64,
    /// What to do.
    pub step: Step,
    /// Kind.
    pub kind: ErrandKind,
    /// Key, mark or report id.
    pub mark: String,
    /// Failures in a row so far.
    pub failures: u32,
    /// Witness misses so far.
    pub misses: u32,
    /// End of the quiet period, of an unclear errand.
    pub quiet_until: Option<Timestamp>,
    /// What to send.
    pub load: Load,
}

/// What planning and leasing in one commit did.
#[derive(Debug, Clone, Default)]
pub struct TakenUp {
    /// Decisions that took effect.
    pub planned: usize,
    /// Errands made and not leased: of other edges, beyond the limit, or behind what waits already.
    pub left: usize,
    /// Errands of the edge, leased; their attempts are on disk.
    pub leased: Vec<Leased>,
}

/// What an errand carries.
#[derive(Debug, Clone)]
pub enum Load {
    /// Create this ticket.
    Create {
        /// Our ticket row.
        ticket_id: Id,
        /// What to send.
        draft: Box<Draft>,
    },
    /// Change that ticket.
    Amend {
        /// Our ticket row.
        ticket_id: Id,
        /// On the desk.
        ticket: TicketRef,
        /// How.
        change: Change,
        /// It is the sweeper's: a double, to be closed only if still nobody touched it.
        double: bool,
    },
    /// Report that assignment's outcome.
    Report {
        /// The assignment.
        assignment_id: Id,
        /// Everything to tell.
        completion: Box<crate::model::completion::Completion>,
    },
    /// Tell how far that assignment is.
    Progress {
        /// The assignment.
        assignment_id: Id,
        /// Everything to tell.
        progress: Box<crate::model::progress::Progress>,
    },
}

/// The end of a leased step.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The errand.
    pub id: Id,
    /// Must still be its lease.
    pub lease_no: i64,
    /// When the step ended.
    pub at: Timestamp,
    /// How it ended.
    pub end: End,
}

/// How a leased step ended.
#[derive(Debug, Clone)]
pub enum End {
    /// The ticket was created (or found by a witness).
    Filed(Created),
    /// A comment, change or report had its effect.
    Done,
    /// The ticket was to be closed, and was closed before: nothing was sent, and its closer's word stands.
    WasClosed,
    /// A double was to be closed, and somebody has touched it since it was found: nothing was sent, and it stays.
    Kept,
    /// No effect; again at that time.
    Retry {
        /// When.
        at: Timestamp,
        /// Code of the failure.
        code: String,
        /// Words for people.
        reason: String,
        /// The desk does not know the group: send to this one next time.
        new_group: Option<String>,
    },
    /// It was held back on our side and nothing was sent: no failure, and it may go at once.
    Held {
        /// Words for people.
        reason: String,
    },
    /// A person is needed.
    Park {
        /// Code of the failure.
        code: String,
        /// Words for people.
        reason: String,
    },
    /// It may have happened: ask witnesses from `ask_at`, never repeat before `quiet_until`.
    Unclear {
        /// First question.
        ask_at: Timestamp,
        /// End of the quiet period.
        quiet_until: Timestamp,
        /// Code of the failure.
        code: String,
        /// Words for people.
        reason: String,
    },
    /// The witness saw nothing; ask again at that time.
    Miss {
        /// When.
        ask_at: Timestamp,
    },
    /// The witness could not be asked: that says nothing. Again at that time.
    Unheard {
        /// When.
        ask_at: Timestamp,
    },
    /// Quiet period over, nothing seen: it may be sent again.
    Clear,
}
