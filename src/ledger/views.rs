//! What the ledger shows: read side, used by pages, API, metrics and commands.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

pub use super::compare::FindingRow;
pub use super::facts::{BacklogRow, Gauge, Measured, Owed};
use super::{Action, LedgerResult};
use crate::model::{Id, Timestamp};

/// Applications a reader may see; `None` sees all.
pub type Scope = Option<Vec<String>>;

/// Which assignments to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these states (stored words).
    pub states: Vec<String>,
    /// Only this application.
    pub application: Option<String>,
    /// Only this admin group (catalog's name).
    pub admin_group: Option<String>,
    /// Only this source.
    pub source: Option<String>,
    /// Only parked (true) or unparked (false) ones.
    pub parked: Option<bool>,
    /// Exact external id, ticket number, key, or assignment id.
    pub search: Option<String>,
    /// Applications the reader may see.
    pub scope: Scope,
    /// Newest first: ids below this one.
    pub before: Option<Id>,
}

/// One line of a list.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AssignmentRow {
    /// Our id.
    #[schema(value_type = String)]
    pub id: Id,
    /// Source by name.
    pub source: String,
    /// The platform's id.
    pub external_id: String,
    /// Operation, stored word.
    pub operation: String,
    /// Application id.
    pub application_id: String,
    /// Application name.
    pub application_name: String,
    /// Entitlement name.
    pub entitlement: Option<String>,
    /// Name (else id) of the beneficiary; none when erased or not for this reader.
    pub beneficiary: Option<String>,
    /// State, stored word.
    pub state: String,
    /// Outcome, stored word.
    pub outcome: Option<String>,
    /// Why a person is needed.
    pub parked_reason: Option<String>,
    /// Code of that reason.
    pub parked_code: Option<String>,
    /// 0 … 3.
    pub priority: i64,
    /// When it was asked for.
    #[schema(value_type = Option<i64>)]
    pub requested_at: Option<Timestamp>,
    /// Last approval.
    #[schema(value_type = Option<i64>)]
    pub approved_at: Option<Timestamp>,
    /// From when it shall hold.
    #[schema(value_type = Option<i64>)]
    pub valid_from: Option<Timestamp>,
    /// Until when.
    #[schema(value_type = Option<i64>)]
    pub valid_until: Option<Timestamp>,
    /// When it arrived here.
    #[schema(value_type = i64)]
    pub received_at: Timestamp,
    /// When its ticket is (was) to be filed.
    #[schema(value_type = Option<i64>)]
    pub due_at: Option<Timestamp>,
    /// When the admin group's clock started.
    #[schema(value_type = Option<i64>)]
    pub eligible_at: Option<Timestamp>,
    /// When the ticket was created.
    #[schema(value_type = Option<i64>)]
    pub filed_at: Option<Timestamp>,
    /// When work began.
    #[schema(value_type = Option<i64>)]
    pub first_work_at: Option<Timestamp>,
    /// When it was closed, by the desk's clock.
    #[schema(value_type = Option<i64>)]
    pub closed_at: Option<Timestamp>,
    /// When the platform had the outcome.
    #[schema(value_type = Option<i64>)]
    pub reported_at: Option<Timestamp>,
    /// When it was taken back.
    #[schema(value_type = Option<i64>)]
    pub withdrawn_at: Option<Timestamp>,
    /// Revision of the order.
    pub revision: i64,
    /// Desk by name.
    pub desk: Option<String>,
    /// Admin group.
    pub admin_group: Option<String>,
    /// Ticket number.
    pub ticket: Option<String>,
    /// Ticket address.
    pub ticket_url: Option<String>,
}

/// A ticket, for people.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct TicketRow {
    /// Our id.
    #[schema(value_type = String)]
    pub id: Id,
    /// Our key.
    pub key: String,
    /// Desk by name.
    pub desk: String,
    /// Admin group.
    pub admin_group: String,
    /// Which rule chose it.
    pub route: String,
    /// Our state of it.
    pub state: String,
    /// Number on the desk.
    pub number: Option<String>,
    /// Address for people.
    pub url: Option<String>,
    /// The desk's status word.
    pub status: Option<String>,
    /// The desk's resolution.
    pub resolution: Option<String>,
    /// Group it is with now.
    pub desk_group: Option<String>,
    /// Template and version it was made with.
    pub template: String,
    /// Version of that template.
    pub template_version: String,
    /// Catalog it was made with.
    pub catalog_version: String,
    /// Who closed it (name); none when erased or not for this reader.
    pub closed_by: Option<String>,
    /// The admin's words; likewise.
    pub words: Option<String>,
    /// Files at the ticket; likewise.
    pub evidence: Vec<crate::model::completion::Evidence>,
}

/// A journal row, for people.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct JournalRow {
    /// Place in the assignment's chain.
    pub seq: i64,
    /// When it happened.
    #[schema(value_type = i64)]
    pub happened_at: Timestamp,
    /// Whose clock says so.
    pub whose_clock: String,
    /// When we learned of it.
    #[schema(value_type = i64)]
    pub seen_at: Timestamp,
    /// What happened.
    pub event: String,
    /// State after it.
    pub state: String,
    /// Who.
    pub actor: String,
    /// Why.
    pub cause: String,
    /// Ids and numbers that belong to it.
    #[schema(value_type = Object)]
    pub detail: Value,
    /// Catalog that acted.
    pub catalog_version: Option<String>,
    /// Template that acted.
    pub template_version: Option<String>,
}

/// An errand, for people.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ErrandRow {
    /// Our id.
    #[schema(value_type = String)]
    pub id: Id,
    /// Kind, stored word.
    pub kind: String,
    /// `desk/NAME` or `source/NAME`.
    pub edge: String,
    /// State, stored word.
    pub state: String,
    /// Assignment it belongs to.
    #[schema(value_type = Option<String>)]
    pub assignment: Option<Id>,
    /// Application of that assignment.
    pub application: Option<String>,
    /// Key of its ticket: what to search the desk for.
    pub key: Option<String>,
    /// Calls so far.
    pub attempts: i64,
    /// Next step.
    #[schema(value_type = i64)]
    pub due_at: Timestamp,
    /// End of the quiet period.
    #[schema(value_type = Option<i64>)]
    pub quiet_until: Option<Timestamp>,
    /// Code of the last failure.
    pub code: Option<String>,
    /// Words of the last failure.
    pub reason: Option<String>,
    /// When it was made.
    #[schema(value_type = i64)]
    pub made_at: Timestamp,
}

/// One call of an errand, for people.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AttemptRow {
    /// The errand.
    #[schema(value_type = String)]
    pub errand: Id,
    /// Its number: leases of one errand count up.
    pub number: i64,
    /// The errand's kind; `ask`: a search for what an unclear call did.
    pub what: String,
    /// On disk since, before the first byte was sent.
    #[schema(value_type = i64)]
    pub started_at: Timestamp,
    /// When its end was known; none while it is under way, or when the process died over it.
    #[schema(value_type = Option<i64>)]
    pub ended_at: Option<Timestamp>,
    /// How it ended, stored word.
    pub verdict: Option<String>,
    /// Code of its failure.
    pub code: Option<String>,
}

/// A quarantined event, for people.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct QuarantineRow {
    /// Our id.
    #[schema(value_type = String)]
    pub id: Id,
    /// Source by name.
    pub source: String,
    /// The sender's id.
    pub event_id: String,
    /// When it arrived.
    #[schema(value_type = i64)]
    pub received_at: Timestamp,
    /// What is wrong; none for readers who may not see names: it may quote the event.
    pub problem: Option<String>,
    /// Length of the body, bytes.
    pub bytes: i64,
}

/// A desk or source that fails as a whole, for people.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct EdgeRow {
    /// `desk/NAME` or `source/NAME`.
    pub edge: String,
    /// Which kind of work fails: `tickets`, `changes`, `poll`, `reports`, `answers`.
    pub work: String,
    /// Since when.
    #[schema(value_type = i64)]
    pub since: Timestamp,
    /// When it was tried last.
    #[schema(value_type = i64)]
    pub at: Timestamp,
    /// How often in a row.
    pub times: i64,
    /// Code of the last failure.
    pub code: String,
    /// Words of the last failure; none for readers who may not see names: the other side's words may hold one.
    pub reason: Option<String>,
}

/// A stray ticket, for people.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StrayRow {
    /// Desk by name.
    pub desk: String,
    /// Number on the desk.
    pub number: String,
    /// Key it carries.
    pub key: String,
    /// `double` or `orphan`.
    pub kind: String,
    /// When it was found.
    #[schema(value_type = i64)]
    pub found_at: Timestamp,
    /// What was done.
    pub action: String,
}

/// One assignment, whole.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AssignmentDetail {
    /// As in the list.
    #[serde(flatten)]
    pub row: AssignmentRow,
    /// Name of the requester.
    pub requester: Option<String>,
    /// Names of the approvers, in order.
    pub approvers: Vec<String>,
    /// The requester's words.
    pub reason: Option<String>,
    /// The platform waits for an answer until then.
    #[schema(value_type = Option<i64>)]
    pub answer_by: Option<Timestamp>,
    /// Its tickets, oldest first.
    pub tickets: Vec<TicketRow>,
    /// Its journal, oldest first.
    pub journal: Vec<JournalRow>,
    /// Its errands and its tickets' errands.
    pub errands: Vec<ErrandRow>,
    /// The calls of those errands, oldest first.
    pub attempts: Vec<AttemptRow>,
}

/// A count with a name.
#[derive(Debug, Clone, Serialize, PartialEq, Eq, ToSchema)]
pub struct Count {
    /// Of what: the id to filter by.
    pub id: String,
    /// The same for people.
    pub name: String,
    /// How many.
    pub count: i64,
    /// Since when the oldest one waits.
    #[schema(value_type = Option<i64>)]
    pub oldest: Option<Timestamp>,
}

/// What came in, what is open, what waits for whom.
#[derive(Debug, Clone, Serialize, Default, ToSchema)]
pub struct Overview {
    /// As of.
    #[schema(value_type = i64)]
    pub at: Timestamp,
    /// Received in the last 24 hours.
    pub received_24h: i64,
    /// Closed in the last 24 hours.
    pub closed_24h: i64,
    /// Reported in the last 24 hours.
    pub reported_24h: i64,
    /// Assignments per state.
    pub by_state: Vec<Count>,
    /// Open tickets per admin group, most first.
    pub open_by_group: Vec<Count>,
    /// Open assignments per application, most first.
    pub open_by_application: Vec<Count>,
    /// Parked assignments.
    pub parked: i64,
    /// Parked errands.
    pub parked_errands: i64,
    /// Those of them whose assignment is not parked itself: counting both would count one trouble twice.
    pub parked_errands_alone: i64,
    /// Unclear errands.
    pub unclear: i64,
    /// Quarantined events.
    pub quarantined: i64,
    /// Strays not settled.
    pub strays: i64,
    /// What the comparison of platform, ledger and desk found, and stands in no other of these counts.
    pub findings: i64,
    /// Ready errands past their time, per edge: what waits to be sent.
    pub waiting_by_edge: Vec<Count>,
    /// Ready errands that failed at least once, per edge.
    pub failing_by_edge: Vec<Count>,
    /// Future-dated, not filed yet.
    pub future: i64,
    /// Desks and sources that fail as a whole, longest first; for readers of every application.
    pub edges: Vec<EdgeRow>,
}

/// What a person must look at.
#[derive(Debug, Clone, Serialize, Default, ToSchema)]
pub struct Operations {
    /// Parked assignments.
    pub parked: Vec<AssignmentRow>,
    /// Parked errands.
    pub parked_errands: Vec<ErrandRow>,
    /// Unclear errands.
    pub unclear: Vec<ErrandRow>,
    /// Errands that fail and are tried again.
    pub failing: Vec<ErrandRow>,
    /// Desks and sources that fail as a whole, longest first.
    pub edges: Vec<EdgeRow>,
    /// Quarantined events.
    pub quarantined: Vec<QuarantineRow>,
    /// Strays.
    pub strays: Vec<StrayRow>,
    /// Where platform, ledger and desk disagree, as the last comparison found it.
    pub findings: Vec<FindingRow>,
}

/// Which errands to list, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Troubled {
    /// Parked: they wait for a person.
    Parked,
    /// Unclear: it is not known whether they happened.
    Unclear,
    /// They failed and are tried again.
    Failing,
}

/// Read side of the ledger. `names` says whether the reader may see persons and free text.
#[async_trait]
pub trait Views: Send + Sync + std::fmt::Debug {
    /// A page of assignments, newest first.
    async fn assignments(&self, filter: &Filter, names: bool, limit: usize) -> LedgerResult<Vec<AssignmentRow>>;

    /// One assignment, whole; `None` when it does not exist or is out of scope.
    async fn assignment(&self, id: Id, scope: &Scope, names: bool) -> LedgerResult<Option<AssignmentDetail>>;

    /// The overview.
    async fn overview(&self, scope: &Scope, now: Timestamp) -> LedgerResult<Overview>;

    /// The operations lists, each with at most `limit` rows.
    async fn operations(&self, scope: &Scope, names: bool, limit: usize) -> LedgerResult<Operations>;

    /// A page of errands, oldest first, from above `after`.
    async fn errands(
        &self,
        which: Troubled,
        scope: &Scope,
        names: bool,
        after: Option<Id>,
        limit: usize,
    ) -> LedgerResult<Vec<ErrandRow>>;

    /// A page of quarantined events, oldest first, from above `after`; none for a scoped reader.
    async fn quarantine(&self, scope: &Scope, names: bool, after: Option<Id>, limit: usize) -> LedgerResult<Vec<QuarantineRow>>;

    /// Whether an event of the source is in quarantine whose id begins so.
    async fn is_held(&self, source: &str, begins: &str) -> LedgerResult<bool>;

    /// Applications that an action would touch; none when it belongs to no application, or there is no such thing.
    async fn concerns(&self, action: &Action) -> LedgerResult<Vec<String>>;

    /// Values for metrics: read from indexes, so that the cost does not grow with the number of assignments.
    async fn gauges(&self, now: Timestamp) -> LedgerResult<Vec<Gauge>>;

    /// A quarantined event's body, for an operator.
    async fn quarantine_body(&self, id: Id) -> LedgerResult<Option<String>>;

    /// What is under way, per edge; edges with nothing are left out.
    async fn owed(&self, now: Timestamp) -> LedgerResult<Vec<Owed>>;

    /// The whole state as readable text: snapshots of tests, and `doctor --dump`. No person in it.
    async fn dump(&self) -> LedgerResult<String>;
}
