//! The rows that figures are read from and kept in.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Kind, Place};
use crate::ledger::views::Scope;
use crate::model::{Id, Timestamp};

/// A step of a life, as the journal has it.
#[derive(Debug, Clone)]
pub struct LifeStep {
    /// When it happened.
    pub happened_at: Timestamp,
    /// When lastmile learned of it, where somebody else's clock says when it happened.
    pub learned_at: Option<Timestamp>,
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
    /// Of a revocation: when the platform said that its person left.
    pub left_at: Option<Timestamp>,
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
    /// Cells that are no longer true, and the person to look at.
    pub dirty: Vec<Place>,
    /// An order that this one repeats: it is to be measured again.
    pub repeats: Option<Id>,
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

/// Which assignments behind marks.
#[derive(Debug, Clone)]
pub struct Sought {
    /// Marks of this kind.
    pub kind: Kind,
    /// From (inclusive).
    pub from: Timestamp,
    /// Up to (exclusive).
    pub to: Timestamp,
    /// Only these.
    pub filter: CellFilter,
    /// Latest first, else earliest first.
    pub latest_first: bool,
    /// Beyond this one: when it counts, and its id.
    pub after: Option<(Timestamp, Id)>,
    /// So many at most.
    pub limit: i64,
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
    /// Something that was learned since is not counted yet.
    pub behind: bool,
    /// This process makes the figures and nobody else changes anything: where nothing is behind, all of now is counted.
    pub knows_all: bool,
}

impl Rolled {
    /// When the figures are true, asked before they are read.
    #[must_use]
    pub fn as_of(&self, now: Timestamp) -> Timestamp {
        if self.knows_all && !self.behind { now } else { self.until }
    }
}
