//! Orders that want a plan, and decisions on them.

use std::any::Any;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use super::Leased;
use crate::model::ticket::Draft;
use crate::model::{Assignment, Id, Outcome, Person, State, Timestamp};

/// An assignment that wants a plan: received, or planned and due.
#[derive(Debug, Clone)]
pub struct ToPlan {
    /// Its id.
    pub id: Id,
    /// Received or planned.
    pub state: State,
    /// Content.
    pub assignment: Assignment,
    /// Revision of that content.
    pub revision: i64,
    /// When it arrived here.
    pub received_at: Timestamp,
    /// Cycle its ticket's key is for.
    pub cycle: i64,
    /// Number of an earlier open ticket of the lane, which a revocation does not wait for.
    pub lane_ticket: Option<String>,
    /// The platform said that its beneficiary left.
    pub leaver: bool,
}

/// The decision for one assignment; made by pure rules from a [`ToPlan`].
#[derive(Debug, Clone)]
pub struct Decision {
    /// Which.
    pub id: Id,
    /// The revision decided on; a newer one makes the decision void.
    pub revision: i64,
    /// When the clock of the admin group starts: max(approved, valid-from less lead).
    pub eligible_at: Timestamp,
    /// What to do.
    pub action: PlanAction,
    /// Catalog that decided.
    pub catalog_version: String,
    /// Persons named in the order: their names are kept apart, erasable.
    pub persons: Vec<Person>,
}

/// Decides by pure rules what becomes of an order: asked within a transaction, and again where that is done again.
#[derive(Clone)]
pub struct Decide(Arc<dyn Fn(&ToPlan) -> Decision + Send + Sync>);

impl Decide {
    /// By this rule.
    pub fn by(rule: impl Fn(&ToPlan) -> Decision + Send + Sync + 'static) -> Self {
        Self(Arc::new(rule))
    }

    pub(super) fn on(&self, orders: &[ToPlan]) -> Vec<Decision> {
        orders.iter().map(|order| (self.0)(order)).collect()
    }
}

/// What becomes of an order that is only now received, decided before it is known whether it is new. It holds if it is, if
/// nothing else of its lane is under way, and if nobody said before that it is taken back or that its beneficiary left; else it is
/// planned like any other.
#[derive(Debug)]
pub struct Foreseen {
    /// When it was decided.
    pub at: Timestamp,
    /// Of an order that has no id yet: the decision's own does not count.
    pub decision: Decision,
    /// Its ticket is leased as it is made.
    pub seat: Option<Seat>,
    /// Kept until it is in the ledger.
    pub held: Arc<dyn Any + Send + Sync>,
}

/// A free place at a desk with room: what is leased for it is handed over once that is on disk.
pub struct Seat {
    pub(super) owner: String,
    pub(super) lease_ms: i64,
    hand_over: Box<dyn FnOnce(Leased) + Send + Sync>,
}

impl Seat {
    /// Of that worker, with leases of that length.
    pub fn new(owner: String, lease_ms: i64, hand_over: impl FnOnce(Leased) + Send + Sync + 'static) -> Self {
        Self { owner, lease_ms, hand_over: Box::new(hand_over) }
    }

    pub(super) fn take(self, leased: Leased) {
        (self.hand_over)(leased);
    }
}

impl Debug for Seat {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Seat")
    }
}

impl Debug for Decide {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("Decide")
    }
}

/// What to do with an assignment.
#[derive(Debug, Clone)]
pub enum PlanAction {
    /// File the ticket at that time.
    Wait {
        /// When.
        until: Timestamp,
    },
    /// File the ticket now.
    File(Box<TicketPlan>),
    /// A person is needed (the template does not fit, no group, no desk).
    Park {
        /// Stable code.
        code: &'static str,
        /// Words for people.
        reason: String,
    },
}

/// A ticket to be filed.
#[derive(Debug, Clone)]
pub struct TicketPlan {
    /// Desk by name.
    pub desk: String,
    /// Admin group by the catalog's name.
    pub admin_group: String,
    /// Which rule won, for people.
    pub route: String,
    /// What to send.
    pub draft: Draft,
    /// Template by name.
    pub template: String,
    /// Its version.
    pub template_version: String,
    /// Cycle in the key (1; more after a late reopening).
    pub cycle: i64,
    /// Order among ready errands: smaller goes first.
    pub rank: i64,
}

/// One assignment of the past, with its known times.
#[derive(Debug, Clone)]
pub struct Past {
    /// Content.
    pub assignment: Assignment,
    /// When it arrived.
    pub received_at: Timestamp,
    /// When the admin group's clock started.
    pub eligible_at: Timestamp,
    /// When the ticket was created.
    pub filed_at: Timestamp,
    /// When work began.
    pub first_work_at: Option<Timestamp>,
    /// When it was closed.
    pub closed_at: Timestamp,
    /// When the platform had the outcome.
    pub reported_at: Timestamp,
    /// The outcome.
    pub outcome: Outcome,
    /// Desk by name.
    pub desk: String,
    /// Admin group.
    pub admin_group: String,
    /// Ticket number on the desk.
    pub number: String,
    /// Who closed it, as the desk names them.
    pub closed_by: Option<Person>,
    /// When the application itself showed it, if it did.
    pub proven_at: Option<Timestamp>,
}
