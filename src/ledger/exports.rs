//! What leaves the house as a document: evidence of single orders, who took it out, and reports sent by a schedule.

use async_trait::async_trait;
use serde::Serialize;
use utoipa::ToSchema;

use super::LedgerResult;
use super::views::Scope;
use crate::model::{Id, Timestamp};

/// Which orders to give evidence of.
#[derive(Debug, Clone, Default)]
pub struct EvidenceFilter {
    /// Closed from here (inclusive).
    pub from: Timestamp,
    /// Closed up to here (exclusive).
    pub to: Timestamp,
    /// Only this application.
    pub application: Option<String>,
    /// Only these admin groups; none: all.
    pub admin_groups: Vec<String>,
    /// Instead of a period: the order, ticket or assignment of exactly this id or number, open ones included.
    pub search: Option<String>,
    /// Applications the reader may see.
    pub scope: Scope,
}

/// A person, as a reader may see them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(tag = "is", content = "name", rename_all = "snake_case")]
pub enum Seen {
    /// Name, else id on their system.
    Named(String),
    /// There is one; this reader may not see who.
    Hidden,
    /// There was one; the name was erased when its time was over.
    Erased,
    /// Nobody is known.
    Nobody,
}

/// Whether two roles were filled by different people. Platform and desk know people by ids of their own, so that the
/// e-mail address decides, else the id where both write the same one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Apart {
    /// They were different people.
    Yes,
    /// It was the same person.
    No,
    /// Nothing tells them apart but their names, which are the same: look.
    SameName,
    /// One of them is not known, or erased.
    Unknown,
}

/// Evidence of one order and the ticket that carried it out.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EvidenceRow {
    /// Our id.
    #[schema(value_type = String)]
    pub id: Id,
    /// Source by name.
    pub source: String,
    /// The platform's id.
    pub external_id: String,
    /// Whose access it is.
    pub beneficiary: Seen,
    /// Application id: the system.
    pub application_id: String,
    /// Application name.
    pub application_name: String,
    /// Entitlement name.
    pub entitlement: Option<String>,
    /// Operation, stored word.
    pub operation: String,
    /// It takes access away.
    pub revocation: bool,
    /// Who asked for it.
    pub requester: Seen,
    /// When.
    #[schema(value_type = Option<i64>)]
    pub requested_at: Option<Timestamp>,
    /// Who approved it, in order.
    pub approvers: Vec<Seen>,
    /// Last approval.
    #[schema(value_type = Option<i64>)]
    pub approved_at: Option<Timestamp>,
    /// From when it was to hold.
    #[schema(value_type = Option<i64>)]
    pub valid_from: Option<Timestamp>,
    /// Desk by name.
    pub desk: Option<String>,
    /// Ticket number.
    pub ticket: Option<String>,
    /// Ticket address.
    pub ticket_url: Option<String>,
    /// Our key inside the ticket.
    pub key: Option<String>,
    /// Admin group.
    pub admin_group: Option<String>,
    /// When the ticket was created.
    #[schema(value_type = Option<i64>)]
    pub filed_at: Option<Timestamp>,
    /// When work began.
    #[schema(value_type = Option<i64>)]
    pub first_work_at: Option<Timestamp>,
    /// Who closed the ticket.
    pub fulfilled_by: Seen,
    /// When it was closed, by the desk's clock.
    #[schema(value_type = Option<i64>)]
    pub closed_at: Option<Timestamp>,
    /// When the platform had the outcome.
    #[schema(value_type = Option<i64>)]
    pub reported_at: Option<Timestamp>,
    /// State, stored word.
    pub state: String,
    /// Outcome, stored word.
    pub outcome: Option<String>,
    /// The application's own evidence agreed (`proven`), or the closed ticket is all there is (`claimed`).
    pub proof: Option<Proof>,
    /// When the application showed it.
    #[schema(value_type = Option<i64>)]
    pub proven_at: Option<Timestamp>,
    /// Approver and fulfiller were different people.
    pub approver_apart: Apart,
    /// Beneficiary and fulfiller were different people.
    pub beneficiary_apart: Apart,
    /// Its chain in the journal holds.
    pub chain_holds: bool,
    /// Rows of that chain.
    pub chain_rows: i64,
    /// Hash of its last row: stands for everything that ever happened to it.
    pub chain_head: String,
}

/// What shows that it was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Proof {
    /// The ticket was closed: a claim.
    Claimed,
    /// The application's own evidence agreed.
    Proven,
}

/// The latest checkpoint, which ties the chains together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Checkpoint {
    /// When it was made.
    #[schema(value_type = i64)]
    pub at: Timestamp,
    /// Its hash.
    pub head: String,
}

/// Evidence of the orders of a period.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Evidence {
    /// One per order, earliest closing first.
    pub rows: Vec<EvidenceRow>,
    /// There are more than were asked for.
    pub more: bool,
    /// The latest checkpoint; none before the first.
    pub checkpoint: Option<Checkpoint>,
}

/// Somebody takes a document out, or looks at single persons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Export {
    /// When.
    #[schema(value_type = i64)]
    pub at: Timestamp,
    /// Who: name of the token, of the person whom a proxy named, or of the scheduled report.
    pub actor: String,
    /// What: `figures`, `assignments`, `evidence`.
    pub what: String,
    /// As what: `csv`, `xlsx`, `html`, `json`, `mail`, `webhook`; `page`: looked at.
    pub form: String,
    /// The filter, as it stood in the address; without free search words.
    pub asked: String,
    /// How many rows.
    pub items: i64,
    /// Names of persons were in it.
    pub names: bool,
    /// Digest of an evidence pack.
    pub digest: Option<String>,
}

/// A person's hash beside the group whose tickets they closed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fulfiller {
    /// Admin group.
    pub admin_group: String,
    /// Salted hash; compared, never shown.
    pub person: String,
}

/// A report wants to be sent.
#[derive(Debug, Clone)]
pub struct DeliveryClaim {
    /// Its name.
    pub report: String,
    /// The latest time of its schedule that has come since the last one known; none: only a failed one may be tried again.
    pub due_at: Option<Timestamp>,
    /// Now.
    pub now: Timestamp,
    /// How long the sending may take before another may try.
    pub lease_ms: i64,
}

/// A report that is ours to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claimed {
    /// For which time of its schedule.
    pub due_at: Timestamp,
    /// Lease number.
    pub lease_no: i64,
    /// Failures so far.
    pub failures: i64,
    /// Earlier times that were never sent and now never will be.
    pub missed: i64,
}

/// How the sending of a report ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryEnd {
    /// It is sent, and noted as what left the house.
    Sent(Export),
    /// It is not, as far as we know; tried again at that time.
    Failed {
        /// Next try.
        next_at: Timestamp,
        /// Stable code.
        code: String,
        /// For people; no address, secret or person in it.
        reason: String,
    },
}

/// Where a scheduled report stands: the latest time it was due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DeliveryRow {
    /// Its name.
    pub report: String,
    /// The time of its schedule.
    #[schema(value_type = i64)]
    pub due_at: Timestamp,
    /// `begun` (known since then, nothing was due yet), `ready` (failed, tried again), `sending`, `sent` or `missed`.
    pub state: String,
    /// Failures so far.
    pub failures: i64,
    /// When it failed first.
    #[schema(value_type = Option<i64>)]
    pub failed_at: Option<Timestamp>,
    /// When it is tried again.
    #[schema(value_type = i64)]
    pub next_at: Timestamp,
    /// Code of the last failure.
    pub code: Option<String>,
    /// Its words.
    pub reason: Option<String>,
    /// When it was sent.
    #[schema(value_type = Option<i64>)]
    pub sent_at: Option<Timestamp>,
    /// When one of its times was last sent.
    #[schema(value_type = Option<i64>)]
    pub last_sent_at: Option<Timestamp>,
}

impl DeliveryRow {
    /// Whether the latest one does not go out.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failures > 0 && matches!(self.state.as_str(), "ready" | "sending")
    }
}

/// Documents that leave the house.
#[async_trait]
pub trait Exports: Send + Sync {
    /// Evidence of orders, earliest closing first, at most `limit`; each chain is walked. `names` says whether the reader
    /// may see persons.
    async fn evidence(&self, filter: &EvidenceFilter, names: bool, limit: usize) -> LedgerResult<Evidence>;

    /// Notes that somebody takes a document out. Durable when it returns: files and answers are handed out only then.
    async fn note_export(&self, export: Export) -> LedgerResult<()>;

    /// The latest exports, latest first.
    async fn exports(&self, limit: usize) -> LedgerResult<Vec<Export>>;

    /// Who closed tickets of which admin group in a period. What it costs depends on how many groups and people there
    /// are, not on how many tickets.
    async fn fulfillers(&self, from: Timestamp, to: Timestamp) -> LedgerResult<Vec<Fulfiller>>;

    /// Where a scheduled report stands; none: it was never looked at.
    async fn delivery(&self, report: &str) -> LedgerResult<Option<DeliveryRow>>;

    /// Notes a report seen for the first time: what its schedule named before is not owed.
    async fn begin_report(&self, report: &str, now: Timestamp) -> LedgerResult<()>;

    /// Claims the sending of a report, so that nobody else sends it; none where there is nothing to send now. Refused to a
    /// process whose clock is astray: claims are times.
    async fn claim_delivery(&self, claim: DeliveryClaim) -> LedgerResult<Option<Claimed>>;

    /// Settles a claim, and notes what was sent, in one transaction; `false` where another has taken it over.
    async fn settle_delivery(&self, report: &str, claimed: &Claimed, end: DeliveryEnd, now: Timestamp) -> LedgerResult<bool>;
}
