//! What figures are made of: lives to measure, cases that are kept, cells that add them up. Nothing of it lies on the way
//! of an order; `kpi` decides what is written here.

mod rows;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use self::rows::{
    AgeRow, Behind, CaseWrite, CellFilter, CellRow, Dim, Dirty, Forecast, KeptCalendar, KeptCase, LeaverRow, LifeRow, LifeStep,
    Mark, Member, Rolled, Sought, Swept, Told,
};
use super::LedgerResult;
use crate::model::{Id, Timestamp};

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
    /// Came to the admin group, by day.
    Arrived,
    /// Closed by week from Monday to Sunday: sums of days. `n` is what was closed and what arrived.
    Week,
    /// The same by month.
    Month,
    /// Owed, by the hour since which it waits.
    Open,
    /// Owed, by the hour in which its target ends.
    Due,
    /// Owed and future-dated, by the hour from which it shall hold.
    Dated,
    /// A grant that is owed, by the hour until which it shall hold; or a revocation of what ended.
    Expired,
    /// Not closed, with trouble between the systems, by the hour since which it waits.
    Troubled,
    /// Persons whose access ended, by day.
    Leaver,
    /// The same by month.
    LeaverMonth,
    /// The same who still have access, by hour.
    LeaverOpen,
    /// Closed by day, whatever it is cut by: what a page over everything draws. `n` is what was closed and what arrived.
    Trend,
    /// The same by week.
    TrendWeek,
    /// The same by month.
    TrendMonth,
    /// Closed in the last days, by how many: what pages mostly ask for, added up once. `n` is what was closed and what
    /// arrived, `oldest` the end of the period.
    Window,
    /// Persons whose access ended in the last days, likewise.
    LeaverWindow,
    /// What is open now, by what it is cut by: made of the sums by hours, once an hour and when they change. `oldest` is that
    /// hour.
    Now,
    /// Orders of one lane and operation: for repetitions.
    Lane,
    /// Revocations of one person.
    Person,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 20] = [
        Self::Closed,
        Self::Arrived,
        Self::Week,
        Self::Month,
        Self::Open,
        Self::Due,
        Self::Dated,
        Self::Expired,
        Self::Troubled,
        Self::Leaver,
        Self::LeaverMonth,
        Self::LeaverOpen,
        Self::Trend,
        Self::TrendWeek,
        Self::TrendMonth,
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
            Self::Arrived => "arrived",
            Self::Week => "week",
            Self::Month => "month",
            Self::Open => "open",
            Self::Due => "due",
            Self::Dated => "dated",
            Self::Expired => "expired",
            Self::Troubled => "troubled",
            Self::Leaver => "leaver",
            Self::LeaverMonth => "leaver_month",
            Self::LeaverOpen => "leaver_open",
            Self::Trend => "trend",
            Self::TrendWeek => "trend_week",
            Self::TrendMonth => "trend_month",
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

    /// What is not cut by anything: its sums are those of everything.
    #[must_use]
    pub fn is_whole(self) -> bool {
        matches!(self, Self::Trend | Self::TrendWeek | Self::TrendMonth)
    }

    /// How often sums are added up before this one: it waits until those of lower levels are true. First of all it is
    /// looked at who left.
    #[must_use]
    pub fn level(self) -> u8 {
        match self {
            Self::Person => 0,
            Self::Week | Self::Month | Self::LeaverMonth | Self::Trend | Self::Now => 2,
            Self::TrendWeek | Self::TrendMonth | Self::Window | Self::LeaverWindow => 3,
            _ => 1,
        }
    }

    /// Whether marks of this kind are added up in cells.
    #[must_use]
    pub fn counts(self) -> bool {
        !matches!(self, Self::Lane | Self::Person)
    }
}

/// Sums of one kind, by where they begin.
pub type Starts = (Kind, Vec<i64>);

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

    /// Sums that are no longer true and persons to look at, by level.
    async fn dirty(&self, limit: i64) -> LedgerResult<Vec<Dirty>>;

    /// Counts the marks of a place: how many, and the earliest.
    async fn count_marks(&self, place: Place) -> LedgerResult<(i64, Timestamp)>;

    /// Keeps sums (those of nothing are removed), and asks for those made of them.
    async fn keep_cells(&self, cells: Vec<CellRow>, done: Vec<Dirty>, asked: Vec<Place>) -> LedgerResult<()>;

    /// Sums of a kind from one instant up to another; the filter does not count where the kind is whole.
    async fn cells(
        &self,
        kind: Kind,
        from: Timestamp,
        to: Timestamp,
        filter: &CellFilter,
        rest: bool,
    ) -> LedgerResult<Vec<CellRow>>;

    /// Sums that begin then, of some cuts or of all. What is asked for is looked up, and nothing beside it read.
    async fn cells_at(&self, starts: &[Starts], dims: Option<&[i64]>, rest: bool) -> LedgerResult<Vec<CellRow>>;

    /// What is open, added up: ages to the hour under two days, to the day under thirty, to the week beyond.
    async fn ages(&self, this_hour: Timestamp) -> LedgerResult<Vec<AgeRow>>;

    /// How many by what they are cut by, of the hours before one.
    async fn passed(&self, kind: Kind, before: Timestamp) -> LedgerResult<Vec<(i64, i64)>>;

    /// What figures are cut by, within the filter.
    async fn dims(&self, filter: &CellFilter) -> LedgerResult<Vec<Dim>>;

    /// Assignments behind marks of a kind: latest first, or earliest first; at most so many, from beyond one that was shown.
    async fn behind(&self, sought: &Sought) -> LedgerResult<Vec<Behind>>;

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

    /// Keeps persons, removes others, asks for cells, and asks no longer for what is done.
    async fn keep_leavers(&self, kept: Vec<LeaverRow>, gone: Vec<i64>, dirty: Vec<Place>, done: Vec<Dirty>) -> LedgerResult<()>;

    /// Throws all figures away, to be made again; forecasts stay, and calendars unless told otherwise. With
    /// `todays_calendars`, closed cases too are measured by the calendars and targets of today.
    async fn forget_figures(&self, todays_calendars: bool) -> LedgerResult<()>;

    /// How far the figures are, as far as this process can know.
    async fn rolled(&self) -> LedgerResult<Rolled>;

    /// Everything known at that time is counted, or (`sweeping`) not yet.
    async fn note_rolled(&self, until: Timestamp, sweeping: bool) -> LedgerResult<()>;
}
