//! The durable record. Each method is one whole transaction in the domain's words; none lends a transaction, so
//! no lock is held while the outside is called.

mod batch;
mod sql;
mod sqlite;
pub mod views;

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::http::CallError;
use crate::model::errand::ErrandKind;
use crate::model::ticket::{Change, Created, Draft, TicketReading, TicketRef, TicketStatus};
use crate::model::{Assignment, Id, Key, Operation, Person, State, Timestamp};

pub use sqlite::{Holder, Inspection, Mode, SqliteLedger};
pub use views::Views;

/// Why the ledger could not do it.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database is away, locked or full; nothing was written.
    #[error("the ledger is not available: {0}")]
    Unavailable(String),
    /// Another serving process holds the ledger.
    #[error("another lastmile is serving this ledger (lock file {0})")]
    Busy(String),
    /// The database was made by a newer lastmile.
    #[error("the ledger has schema {found}, this lastmile knows {known}: use the newer lastmile")]
    NewerSchema {
        /// Version in the database.
        found: i64,
        /// Newest version known here.
        known: i64,
    },
    /// A stored value cannot be read: the database was changed by hand, or this is a bug.
    #[error("the ledger holds something unreadable: {0}")]
    Corrupt(String),
}

/// Shorthand.
pub type LedgerResult<T> = Result<T, LedgerError>;

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
    /// Not understood.
    Unmappable {
        /// What is wrong.
        problem: String,
        /// The raw body.
        body: String,
    },
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
    /// A withdrawal of an order we never had: remembered, nothing to do.
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
    pub outcome: crate::model::Outcome,
    /// Desk by name.
    pub desk: String,
    /// Admin group.
    pub admin_group: String,
    /// Ticket number on the desk.
    pub number: String,
}

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
    },
    /// Report that assignment's outcome.
    Report {
        /// The assignment.
        assignment_id: Id,
        /// Everything to tell.
        completion: Box<crate::model::completion::Completion>,
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

/// A ticket we hold on a desk.
#[derive(Debug, Clone)]
pub struct Held {
    /// Our row.
    pub id: Id,
    /// On the desk.
    pub ticket: TicketRef,
    /// Our key.
    pub key: Key,
    /// The desk's last change that we know.
    pub desk_updated_at: Option<Timestamp>,
    /// The key was seen on the ticket.
    pub key_confirmed: bool,
    /// Its closing is recorded.
    pub closed: bool,
    /// When we last looked at it.
    pub checked_at: Timestamp,
    /// Its order was taken back, and our own closing of it was sent (whether or not its answer is known).
    pub close_sent: bool,
}

/// What a desk says of a ticket we hold.
#[derive(Debug, Clone)]
pub enum Observation {
    /// Bulk status: still open, or nothing we need to read.
    Seen {
        /// Our row.
        ticket_id: Id,
        /// What the desk says.
        status: Box<TicketStatus>,
    },
    /// Closed, and read in full.
    Closed {
        /// Our row.
        ticket_id: Id,
        /// What the desk says.
        reading: Box<TicketReading>,
    },
    /// The desk no longer has it, or hides it.
    Gone {
        /// Our row.
        ticket_id: Id,
    },
    /// It could not be read this time.
    Unreadable {
        /// Our row.
        ticket_id: Id,
        /// Words for people.
        reason: String,
    },
}

/// A ticket on a desk that carries one of our keys but is not the ticket we know.
#[derive(Debug, Clone)]
pub struct Stray {
    /// Desk by name.
    pub desk: String,
    /// What the desk says.
    pub status: TicketStatus,
    /// Created by our own account, and nobody touched it.
    pub untouched_ours: bool,
}

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
    /// Give a parked assignment an outcome by hand.
    Decide {
        /// The assignment.
        assignment: Id,
        /// The outcome.
        outcome: crate::model::Outcome,
        /// Why.
        reason: String,
    },
    /// Throw a quarantined event away.
    Discard {
        /// The quarantine row.
        quarantined: Id,
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

/// The durable record, write side.
#[async_trait]
pub trait Ledger: Views {
    /// Records events; each result belongs to the event at its place. Durable when it returns. Many callers share
    /// one commit.
    async fn record(&self, receipts: Vec<Receipt>) -> LedgerResult<Vec<Recorded>>;

    /// Records a polled round with its cursor, in one transaction.
    async fn record_pull(&self, pull: Pull) -> LedgerResult<Pulled>;

    /// Records a round of a standing list with its cursor, in one transaction.
    async fn record_standing(&self, round: StandingRound) -> LedgerResult<Stood>;

    /// External ids that a snapshot has shown and whose orders are not finished yet.
    async fn awaited(&self, source: &str) -> LedgerResult<Vec<String>>;

    /// Value of a cursor or mark.
    async fn cursor(&self, name: &str) -> LedgerResult<Option<String>>;

    /// Moves a cursor, if it still stands at `from`.
    async fn move_cursor(&self, name: &str, from: Option<&str>, to: &str, now: Timestamp) -> LedgerResult<bool>;

    /// Notes that a kind of work at an edge fails, or (`None`) that it is answered again; `true` when that is news. Failing edges stand on the
    /// operations page until they answer.
    async fn edge(&self, edge: &str, work: &str, trouble: Option<Trouble>, now: Timestamp) -> LedgerResult<bool>;

    /// Assignments that want a plan now, first of their lanes, revocations first.
    async fn to_plan(&self, now: Timestamp, limit: usize) -> LedgerResult<Vec<ToPlan>>;

    /// Carries out decisions; void ones are skipped. Returns how many took effect.
    async fn plan(&self, decisions: Vec<Decision>, now: Timestamp) -> LedgerResult<usize>;

    /// Leases due errands and writes their attempts, in one commit.
    async fn lease(&self, request: LeaseRequest) -> LedgerResult<Vec<Leased>>;

    /// Settles steps whose lease is still theirs; `false` where it was not. Many callers share one commit.
    async fn settle(&self, settlements: Vec<Settlement>) -> LedgerResult<Vec<bool>>;

    /// At start of the only serving process: whatever is `sending` was left by a dead one and becomes unclear.
    async fn recover(&self, now: Timestamp, quiet_ms: &dyn QuietOf) -> LedgerResult<usize>;

    /// After a restore from a backup (or a lossy failover): every create, comment and closing that is not sent yet, and every
    /// one to come while this process runs, may have been sent already, and asks its witnesses first. Until that time
    /// of an edge a search may still miss what was made just before. Returns how many waited.
    async fn distrust(&self, quiet_until: BTreeMap<String, Timestamp>, now: Timestamp) -> LedgerResult<usize>;

    /// Open tickets of a desk not checked since `before`, longest unchecked first. New ones stand at 0 and those that
    /// could not be read at 1, where only a `before` of at most 2 looks.
    async fn tickets_to_check(&self, desk: &str, before: Timestamp, limit: usize) -> LedgerResult<Vec<Held>>;

    /// How many tickets of a desk are open.
    async fn open_tickets(&self, desk: &str) -> LedgerResult<i64>;

    /// Those of the desk's references that are tickets of ours still open (or closed: they may have been reopened).
    async fn held(&self, desk: &str, ref_ids: &[String]) -> LedgerResult<Vec<Held>>;

    /// Tickets whose create was ever unclear or repeated, filed before `before`: the sweeper searches them by key.
    async fn risky_tickets(&self, desk: &str, before: Timestamp, limit: usize) -> LedgerResult<Vec<Held>>;

    /// A sweep has looked at these; no longer risky.
    async fn swept(&self, ticket_ids: &[Id]) -> LedgerResult<()>;

    /// Records what the desk says; closings give report errands. Returns how many tickets changed.
    async fn observe(&self, observations: Vec<Observation>, now: Timestamp) -> LedgerResult<usize>;

    /// Records a stray; closes it by errand where that is safe. Known strays are left alone.
    async fn stray(&self, stray: Stray, now: Timestamp) -> LedgerResult<bool>;

    /// A desk's own hook carried our key: settles the create it belongs to, if that is still open.
    async fn witness(&self, desk: &str, key: &Key, ticket: &TicketRef, now: Timestamp) -> LedgerResult<bool>;

    /// An operator's action.
    async fn act(&self, action: Action, actor: &str, now: Timestamp) -> LedgerResult<Acted>;

    /// A quarantined event for replay: source, event id, digest, body.
    async fn quarantined(&self, id: Id) -> LedgerResult<Option<Receipt>>;

    /// The replayed event's content takes the quarantined one's place, in one transaction.
    async fn release(&self, id: Id, receipt: Receipt, actor: &str, now: Timestamp) -> LedgerResult<Recorded>;

    /// Erases what its retention no longer allows, in many small transactions; returns rows touched.
    async fn erase(&self, bodies_before: Timestamp, persons_before: Timestamp) -> LedgerResult<u64>;

    /// Loads finished history in one go (an import, or the sandbox's past); skips orders it already has.
    async fn load_history(&self, past: Vec<Past>) -> LedgerResult<usize>;

    /// Ties the chains of everything written since the last checkpoint together; `None` when nothing was.
    async fn checkpoint(&self, now: Timestamp) -> LedgerResult<Option<String>>;

    /// Re-walks every chain; the ids of assignments whose chain does not hold.
    async fn verify_chains(&self) -> LedgerResult<Vec<Id>>;

    /// Whether a write would succeed now.
    async fn ready(&self) -> LedgerResult<()>;

    /// Stops accepting, finishes what is under way, releases the lock.
    async fn close(&self);
}

/// Quiet period of an edge, in milliseconds.
pub trait QuietOf: Send + Sync {
    /// Of `desk/NAME` or `source/NAME`.
    fn quiet_ms(&self, edge: &str) -> i64;
}

/// Who acts when no person does.
pub const BRIDGE: &str = "lastmile";
