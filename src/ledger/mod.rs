//! The durable record. Each method is one whole transaction in the domain's words; none lends a transaction, so
//! no lock is held while the outside is called.

mod actions;
mod batch;
mod calls;
pub mod compare;
mod desk_news;
mod engine;
pub mod exports;
mod facts;
mod intake;
mod planning;
mod postgres;
mod replicas;
pub mod rollups;
mod sign_ins;
mod sql;
mod sqlite;
mod store;
mod touched;
mod upgrade;
pub mod views;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use sqlx::migrate::Migrator;

use crate::model::ticket::TicketRef;
use crate::model::{Id, Key, Timestamp};

pub use actions::{Acted, Action};
pub use calls::{End, LeaseRequest, Leased, Load, Settlement, Step, TakenUp};
pub use compare::Comparing;
pub use desk_news::{Held, Observation, Stray};
pub use exports::Exports;
pub use intake::{
    Arrival, Arrived, Come, Pull, Pulled, Receipt, ReceiptContent, Recorded, Snapshot, StandingRound, Stood, Trouble,
};
pub use planning::{Decide, Decision, Foreseen, Past, PlanAction, Seat, TicketPlan, ToPlan};
pub use postgres::Inspected;
pub use replicas::{Alive, Replicas, Turn};
pub use rollups::Rollups;
pub use sign_ins::SignIns;
pub use sqlite::{Holder, Inspection, holder, path_of};
pub use store::{Address, Mode, SqlLedger, is_postgres};
pub use views::Views;
pub use waiting::{TimeUp, Waiting};

/// Why the ledger could not do it.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The database is away or locked; nothing was written, as far as one can know.
    #[error("the ledger is not available: {0}")]
    Unavailable(String),
    /// No room is left on its disk; nothing was written. It goes on by itself once there is room.
    #[error("the ledger's disk is full: {0}")]
    Full(String),
    /// Other processes wrote the same rows again and again; nothing was written.
    #[error("others write the same at the same time: {0}")]
    Conflict(String),
    /// The server is not set up as the ledger needs it.
    #[error("{UNFIT}: the ledger cannot be kept there: {0}")]
    Unfit(String),
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

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        // SQLSTATE of PostgreSQL, or SQLite's own (extended) number.
        let code = error.as_database_error().and_then(|e| e.code()).unwrap_or_default().into_owned();
        match (code.as_str(), &error) {
            ("53100" | "13", _) => Self::Full(error.to_string()),
            // Another process, or this one before it died in the same millisecond, has made the same id.
            ("40001" | "40P01" | "23505" | "1555", _) => Self::Conflict(error.to_string()),
            (_, sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_)) => {
                Self::Corrupt(error.to_string())
            }
            _ => Self::Unavailable(error.to_string()),
        }
    }
}

/// Shorthand.
pub type LedgerResult<T> = Result<T, LedgerError>;

/// The durable record, write side.
#[async_trait]
pub trait Ledger: Views + Rollups + Replicas + Comparing + Exports + SignIns {
    /// Records events; each result belongs to the event at its place. Durable when it returns. Many callers share
    /// one commit.
    async fn record(&self, receipts: Vec<Receipt>) -> LedgerResult<Vec<Recorded>> {
        let arrived = self.take_in(receipts.into_iter().map(Arrival::from).collect()).await?;
        Ok(arrived.into_iter().map(|arrived| arrived.recorded).collect())
    }

    /// As [`Ledger::record`]; what is foreseen of new orders, and holds, is carried out in the same commit, as [`Ledger::take_up`]
    /// would. Where several processes serve one ledger nothing is foreseen: two could take up orders of one lane at a time.
    async fn take_in(&self, arrivals: Vec<Arrival>) -> LedgerResult<Vec<Arrived>>;

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

    /// Moves several at once, each (name, from, to) that still stands at its `from`; none where one cannot be written.
    async fn move_cursors(&self, moves: Vec<(String, Option<String>, String)>, now: Timestamp) -> LedgerResult<()>;

    /// Notes that a kind of work at an edge fails, or (`None`) that it is answered again; `true` when that is news. Failing edges stand on the
    /// operations page until they answer.
    async fn edge(&self, edge: &str, work: &str, trouble: Option<Trouble>, now: Timestamp) -> LedgerResult<bool>;

    /// Assignments that want a plan now, first of their lanes, revocations first.
    async fn to_plan(&self, now: Timestamp, limit: usize) -> LedgerResult<Vec<ToPlan>>;

    /// Carries out decisions; void ones are skipped. Returns how many took effect.
    async fn plan(&self, decisions: Vec<Decision>, now: Timestamp) -> LedgerResult<usize>;

    /// Decides what becomes of orders that want a plan, at most so many as the request wants errands, carries that out as
    /// [`Ledger::plan`], and leases errands of one edge as [`Ledger::lease`], all in one commit: where nothing of the edge
    /// waits, tickets are filed and leased at once, by rank. Where something waits and other processes may claim it,
    /// leasing is a commit of its own. Where no order wants a plan, nothing is done.
    async fn take_up(&self, decide: Decide, request: LeaseRequest) -> LedgerResult<TakenUp>;

    /// Leases due errands and writes their attempts, in one commit.
    async fn lease(&self, request: LeaseRequest) -> LedgerResult<Vec<Leased>>;

    /// Settles steps whose lease is still theirs; `false` where it was not. Many callers share one commit.
    async fn settle(&self, settlements: Vec<Settlement>) -> LedgerResult<Vec<bool>>;

    /// From now on the platforms of these sources are told how far their orders are, and no others: each step gives an
    /// errand of its own.
    fn tell_progress(&self, sources: BTreeSet<String>);

    /// The platform asked for an order's outcome and is being told: its reports are owed no more. Returns how many were.
    async fn told(&self, source: &str, external_id: &str, now: Timestamp) -> LedgerResult<usize>;

    /// At the start: what a dead process left `sending` becomes unclear. Where no other can serve that is whatever is `sending`;
    /// else what its lease is over of, by the database's clock: after [`Replicas::alive`], which asks for that.
    async fn recover(&self, now: Timestamp, quiet_ms: &dyn QuietOf) -> LedgerResult<usize>;

    /// After a restore from a backup (or a lossy failover): every create, comment and closing that is not sent yet, and every
    /// one to come while this process runs, may have been sent already, and asks its witnesses first. Until that time
    /// of an edge a search may still miss what was made just before. All processes of the ledger do the same as long as this one
    /// lives, and some minutes longer. Returns how many waited.
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

    /// Orders of a source whose platform waits for an answer until `by` or earlier, and has none yet; the most urgent first.
    async fn waiting(&self, source: &str, by: Timestamp, limit: usize) -> LedgerResult<Vec<Waiting>>;

    /// The platform's wait is nearly over: each order is told no, or noted as overdue, once. Returns how many were told no.
    async fn time_is_up(&self, ends: Vec<(Id, TimeUp)>, now: Timestamp) -> LedgerResult<usize>;

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

    /// Assignments whose time of closing does not fit their state: under way with one, or ended without. Lanes are found by it.
    async fn verify_ends(&self) -> LedgerResult<Vec<Id>>;

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

/// Newest schema that this program knows.
fn newest(migrations: &Migrator) -> i64 {
    migrations.iter().map(|m| m.version).max().unwrap_or(0)
}

/// Refuses a ledger that a newer program made.
fn not_newer(migrations: &Migrator, found: Option<i64>) -> LedgerResult<()> {
    let known = newest(migrations);
    match found {
        Some(found) if found > known => Err(LedgerError::NewerSchema { found, known }),
        _ => Ok(()),
    }
}

/// Code of a server, pooler or clock that the ledger cannot rely on.
pub const UNFIT: &str = "E-UNFIT";

/// Who acts when no person does.
pub const BRIDGE: &str = "lastmile";
