//! What figures are made of: lives to measure, cases that are kept, cells that add them up. Nothing of it lies on the way
//! of an order; `kpi` decides what is written here.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::LedgerResult;
use super::views::Scope;
use crate::model::{Id, Timestamp};

/// A step of a life, as the journal has it.
#[derive(Debug, Clone)]
pub struct LifeStep {
    /// When it happened.
    pub happened_at: Timestamp,
    /// What.
    pub event: String,
    /// State after it, stored word.
    pub state: String,
    /// Why.
    pub cause: String,
    /// Ids and numbers that belong to it.
    pub detail: Value,
}

/// An assignment with its journal, and what was made of it before.
#[derive(Debug, Clone)]
pub struct LifeRow {
    /// Our id.
    pub id: Id,
    /// Length of its journal.
    pub seq: i64,
    /// What it is cut by.
    pub dim: Dim,
    /// It takes access away.
    pub revocation: bool,
    /// Hash of its beneficiary.
    pub beneficiary: String,
    /// Its lane.
    pub lane: String,
    /// State, stored word.
    pub state: String,
    /// Outcome, stored word.
    pub outcome: Option<String>,
    /// When it was asked for.
    pub requested_at: Option<Timestamp>,
    /// Last approval.
    pub approved_at: Option<Timestamp>,
    /// From when it shall hold.
    pub valid_from: Option<Timestamp>,
    /// Until when.
    pub valid_until: Option<Timestamp>,
    /// When it arrived here.
    pub received_at: Timestamp,
    /// When the admin group's clock started.
    pub eligible_at: Option<Timestamp>,
    /// Columns that say what the journal says, too: used where an old journal does not.
    pub told: Told,
    /// It was taken back.
    pub withdrawn: bool,
    /// Its journal, oldest first.
    pub steps: Vec<LifeStep>,
    /// What was kept of it before.
    pub kept: Option<KeptCase>,
    /// By when it was expected.
    pub forecast: Option<Forecast>,
}

/// Instants of an assignment's row.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told {
    /// Ticket created.
    pub filed: Option<Timestamp>,
    /// Work began.
    pub first_work: Option<Timestamp>,
    /// Ticket closed.
    pub closed: Option<Timestamp>,
    /// The platform had the outcome.
    pub reported: Option<Timestamp>,
}

/// What figures are cut by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Dim {
    /// Digest of the others but the name.
    pub id: i64,
    /// Application id.
    pub application_id: String,
    /// Application name, as the latest order has it.
    pub application_name: String,
    /// Admin group; empty while none is chosen.
    pub admin_group: String,
    /// Operation, stored word.
    pub operation: String,
    /// Desk by name; empty while none is chosen.
    pub desk: String,
}

/// A case as it was kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCase {
    /// Length of the journal it was made of.
    pub seq: i64,
    /// Digest of calendars and targets it was made with.
    pub config: String,
    /// What it was cut by.
    pub dim: i64,
    /// The case, as `kpi` writes it.
    pub body: String,
}

/// By when an assignment was expected to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Forecast {
    /// When that was said.
    #[schema(value_type = i64)]
    pub made_at: Timestamp,
    /// Half are closed by then.
    #[schema(value_type = i64)]
    pub half_by: Timestamp,
    /// Nine of ten are closed by then.
    #[schema(value_type = i64)]
    pub nine_by: Timestamp,
}

/// Where a case counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// What is counted.
    #[serde(rename = "k")]
    pub kind: Kind,
    /// Start of the day or hour, or a digest.
    #[serde(rename = "t")]
    pub at: i64,
    /// What it is cut by.
    #[serde(rename = "d")]
    pub dim: i64,
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Closed, by day.
    Closed,
    /// The same by month: sums of days.
    ClosedMonth,
    /// Came to the admin group, by day.
    Arrived,
    /// Owed, by the hour since which it waits.
    Open,
    /// Owed, by the hour in which its target ends.
    Due,
    /// Owed and future-dated, by the hour from which it shall hold.
    Dated,
    /// A grant that is owed, by the hour until which it shall hold; or a revocation of what ended.
    Expired,
    /// Persons whose access ended, by day.
    Leaver,
    /// The same by month.
    LeaverMonth,
    /// The same who still have access, by hour.
    LeaverOpen,
    /// Closed in the last days, by how many: what pages mostly ask for, added up once. `n` is what arrived, `oldest` the end of
    /// the period.
    Window,
    /// Persons whose access ended in the last days, likewise.
    LeaverWindow,
    /// What is open now, by what it is cut by: made of the sums by hours, once an hour and when they change.
    Now,
    /// Orders of one lane and operation: for repetitions.
    Lane,
    /// Revocations of one person.
    Person,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 15] = [
        Self::Closed,
        Self::ClosedMonth,
        Self::Arrived,
        Self::Open,
        Self::Due,
        Self::Dated,
        Self::Expired,
        Self::Leaver,
        Self::LeaverMonth,
        Self::LeaverOpen,
        Self::Window,
        Self::LeaverWindow,
        Self::Now,
        Self::Lane,
        Self::Person,
    ];

    /// The stored word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::ClosedMonth => "closed_month",
            Self::Arrived => "arrived",
            Self::Open => "open",
            Self::Due => "due",
            Self::Dated => "dated",
            Self::Expired => "expired",
            Self::Leaver => "leaver",
            Self::LeaverMonth => "leaver_month",
            Self::LeaverOpen => "leaver_open",
            Self::Window => "window",
            Self::LeaverWindow => "leaver_window",
            Self::Now => "now",
            Self::Lane => "lane",
            Self::Person => "person",
        }
    }

    /// Reads the stored word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }

    /// Whether marks of this kind are added up in cells.
    #[must_use]
    pub fn counts(self) -> bool {
        !matches!(self, Self::Lane | Self::Person)
    }
}

/// A place with the instant itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Mark {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// Assignment.
    #[serde(rename = "a", serialize_with = "number")]
    pub id: Id,
    /// When.
    #[serde(rename = "x")]
    pub exact: Timestamp,
}

fn number<S: serde::Serializer>(id: &Id, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_i64(id.0)
}

/// A case to keep.
#[derive(Debug, Clone)]
pub struct CaseWrite {
    /// Assignment.
    pub id: Id,
    /// Length of the journal it is made of.
    pub seq: i64,
    /// What it is cut by.
    pub dim: Dim,
    /// It may change with time or configuration alone.
    pub open: bool,
    /// Digest of calendars and targets it is made with.
    pub config: String,
    /// The case.
    pub body: String,
    /// The case that was kept when this one was made: where another is kept meanwhile, this one is too late.
    pub before: Option<String>,
    /// Marks it no longer has.
    pub gone: Vec<Mark>,
    /// Marks it has newly.
    pub come: Vec<Mark>,
    /// Cells that are no longer true.
    pub dirty: Vec<Place>,
    /// What is said of it now, for the first time.
    pub forecast: Option<Forecast>,
}

/// A calendar that counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCalendar {
    /// Digest of what it means.
    pub version: String,
    /// Its name.
    pub name: String,
    /// What it means, as JSON.
    pub content: String,
}

/// A sum that is no longer true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dirty {
    /// Which.
    pub place: Place,
    /// Grows when it is asked for again.
    pub mark: i64,
}

/// A case within a cell.
#[derive(Debug, Clone)]
pub struct Member {
    /// Assignment.
    pub id: Id,
    /// When.
    pub exact: Timestamp,
    /// The case.
    pub body: String,
}

/// A sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellRow {
    /// Where.
    pub place: Place,
    /// How many.
    pub n: i64,
    /// The earliest instant in it.
    pub oldest: Timestamp,
    /// Counts and the main sketches, as `kpi` writes them.
    pub main: Option<String>,
    /// The other sketches.
    pub rest: Option<String>,
}

/// A person whose access ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaverRow {
    /// Digest of the person's hash.
    pub person: i64,
    /// Since when no access should be left.
    pub left_at: Timestamp,
    /// When the last revocation was closed; none while one waits.
    pub ended_at: Option<Timestamp>,
    /// How many revocations.
    pub orders: i64,
    /// How many wait.
    pub waiting: i64,
    /// The last one, or one that waits.
    #[serde(rename = "assignment_id")]
    pub id: i64,
    /// What that is cut by.
    pub dim: i64,
}

/// Which sums.
#[derive(Debug, Clone, Default)]
pub struct CellFilter {
    /// Applications the reader may see.
    pub scope: Scope,
    /// Only this application.
    pub application: Option<String>,
    /// Only this admin group.
    pub admin_group: Option<String>,
    /// Only this operation, stored word.
    pub operation: Option<String>,
    /// Only this desk.
    pub desk: Option<String>,
    /// Only this cut, by its id.
    pub dim: Option<i64>,
}

/// What is open of one age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgeRow {
    /// What it is cut by.
    pub dim: i64,
    /// Age, hours; below 0: its clock starts later.
    pub hours: i64,
    /// How many.
    pub n: i64,
    /// The earliest instant.
    pub oldest: Timestamp,
}

/// An assignment behind a figure.
#[derive(Debug, Clone)]
pub struct Behind {
    /// Our id.
    pub id: Id,
    /// The platform's id.
    pub external_id: String,
    /// Ticket number.
    pub ticket: Option<String>,
    /// What it is cut by.
    pub dim: Dim,
    /// When it counts.
    pub exact: Timestamp,
    /// The case.
    pub body: String,
}

/// A page of the sweep: the last id looked at (none at the end), and which of the page are to be measured again.
#[derive(Debug, Clone, Default)]
pub struct Swept {
    /// Goes on above this.
    pub last: Option<Id>,
    /// To be measured.
    pub stale: Vec<Id>,
}

/// How far the figures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rolled {
    /// Everything known then is counted; 0: nothing was ever counted whole.
    pub until: Timestamp,
    /// Something known is not counted yet.
    pub behind: bool,
}

/// The ledger's figures.
#[async_trait]
pub trait Rollups: Send + Sync + std::fmt::Debug {
    /// Assignments that changed since they were asked for last; `None`: too many to name, or never asked before: sweep. On
    /// SQLite, those that this process changed, which is the only one; what a crash made it forget, the sweep finds. On
    /// PostgreSQL, those whose journal was written of late, with an overlap, and whose case is older.
    async fn touched(&self, now: Timestamp) -> LedgerResult<Option<Vec<Id>>>;

    /// Looks through a page of assignments above an id for those that changed, were never measured, or are open and were
    /// measured with another configuration.
    async fn sweep(&self, after: Id, config: &str, limit: i64) -> LedgerResult<Swept>;

    /// A page of all assignments above an id.
    async fn all_ids(&self, after: Id, limit: i64) -> LedgerResult<Vec<Id>>;

    /// Lives of assignments, with what was kept of them.
    async fn lives(&self, ids: &[Id]) -> LedgerResult<Vec<LifeRow>>;

    /// Marks of a kind at these digests.
    async fn marks(&self, kind: Kind, at: &[i64]) -> LedgerResult<Vec<Mark>>;

    /// Cases behind the marks of one place (every dim), above an assignment, by assignment.
    async fn members(&self, kind: Kind, at: i64, dim: Option<i64>, after: Id, limit: i64) -> LedgerResult<Vec<Member>>;

    /// Keeps cases and calendars; one made of a longer journal stays.
    async fn keep_cases(&self, cases: Vec<CaseWrite>, calendars: Vec<KeptCalendar>) -> LedgerResult<()>;

    /// Sums that are no longer true; days before months.
    async fn dirty(&self, limit: i64) -> LedgerResult<Vec<Dirty>>;

    /// Counts the marks of a place: how many, and the earliest.
    async fn count_marks(&self, place: Place) -> LedgerResult<(i64, Timestamp)>;

    /// Keeps sums (those of nothing are removed), and asks for the months they belong to.
    async fn keep_cells(&self, cells: Vec<CellRow>, done: Vec<Dirty>, months: Vec<Place>) -> LedgerResult<()>;

    /// Sums of a kind from one instant up to another.
    async fn cells(
        &self,
        kind: Kind,
        from: Timestamp,
        to: Timestamp,
        filter: &CellFilter,
        rest: bool,
    ) -> LedgerResult<Vec<CellRow>>;

    /// What is open, added up: ages to the hour under two days, to the day under thirty, to the week beyond.
    async fn ages(&self, this_hour: Timestamp) -> LedgerResult<Vec<AgeRow>>;

    /// How many by what they are cut by, of the hours before one.
    async fn passed(&self, kind: Kind, before: Timestamp) -> LedgerResult<Vec<(i64, i64)>>;

    /// What figures are cut by, within the filter.
    async fn dims(&self, filter: &CellFilter) -> LedgerResult<Vec<Dim>>;

    /// Assignments behind marks of a kind: latest first, or earliest first; at most so many from above a place.
    async fn behind(
        &self,
        kind: Kind,
        from: Timestamp,
        to: Timestamp,
        filter: &CellFilter,
        limit: i64,
        latest_first: bool,
    ) -> LedgerResult<Vec<Behind>>;

    /// The case of one assignment, where it is kept, and by when it was expected.
    async fn case(&self, id: Id) -> LedgerResult<(Option<KeptCase>, Option<Forecast>)>;

    /// One assignment as lists of figures show it.
    async fn named(&self, id: Id) -> LedgerResult<Option<Behind>>;

    /// Every calendar that ever counted.
    async fn calendars(&self) -> LedgerResult<Vec<KeptCalendar>>;

    /// Persons by their digests.
    async fn leavers(&self, persons: &[i64]) -> LedgerResult<Vec<LeaverRow>>;

    /// Persons of a cell.
    async fn leavers_between(&self, from: Timestamp, to: Timestamp, dim: Option<i64>) -> LedgerResult<Vec<LeaverRow>>;

    /// Keeps persons, removes others, and asks for cells.
    async fn keep_leavers(&self, kept: Vec<LeaverRow>, gone: Vec<i64>, dirty: Vec<Place>) -> LedgerResult<()>;

    /// Throws all figures away, to be made again; forecasts stay, and calendars unless told otherwise. With
    /// `todays_calendars`, closed cases too are measured by the calendars and targets of today.
    async fn forget_figures(&self, todays_calendars: bool) -> LedgerResult<()>;

    /// How far the figures are.
    async fn rolled(&self) -> LedgerResult<Rolled>;

    /// Everything known at that time is counted, or (`sweeping`) not yet.
    async fn note_rolled(&self, until: Timestamp, sweeping: bool) -> LedgerResult<()>;
}
