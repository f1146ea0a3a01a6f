//! What the ledger counts: times for measures, gauges, what is owed to whom.

use serde::Serialize;
use utoipa::ToSchema;

use super::views::Scope;
use crate::model::{Id, Timestamp};

/// The times of one assignment, for measures.
#[derive(Debug, Clone, Serialize)]
pub struct Fact {
    /// Our id.
    pub id: Id,
    /// The platform's id.
    pub external_id: String,
    /// Ticket number, where the filter asks for it.
    pub ticket: Option<String>,
    /// Application id.
    pub application_id: String,
    /// Application name.
    pub application_name: String,
    /// Admin group.
    pub admin_group: String,
    /// Operation, stored word.
    pub operation: String,
    /// Outcome, stored word.
    pub outcome: Option<String>,
    /// When it was asked for.
    pub requested_at: Option<Timestamp>,
    /// Last approval.
    pub approved_at: Option<Timestamp>,
    /// When the admin group's clock started.
    pub eligible_at: Option<Timestamp>,
    /// When the ticket was created.
    pub filed_at: Option<Timestamp>,
    /// When work began.
    pub first_work_at: Option<Timestamp>,
    /// When it was closed.
    pub closed_at: Option<Timestamp>,
    /// When the platform had the outcome.
    pub reported_at: Option<Timestamp>,
}

/// What is under way with one edge.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
pub struct Owed {
    /// `desk/NAME` or `source/NAME`.
    pub edge: String,
    /// Tickets of a desk that are not closed; orders of a source that are not.
    pub open: i64,
    /// Calls still to be made, parked ones included.
    pub errands: i64,
    /// When the longest overdue of them was due.
    pub oldest_due: Option<Timestamp>,
}

/// Ages of what one admin group owes for one application.
#[derive(Debug, Clone, Serialize, Default, PartialEq, Eq, ToSchema)]
pub struct BacklogRow {
    /// Application id.
    pub application_id: String,
    /// Application name.
    pub application_name: String,
    /// Admin group; empty while none is chosen.
    pub admin_group: String,
    /// Assignments by age since the admin group's clock started: under 1 day, 1–3, 3–7, 7–14, over 14 days.
    pub bands: [i64; 5],
    /// Filed ahead of their date: nobody is late yet.
    pub not_yet: i64,
    /// When the clock of the oldest started.
    #[schema(value_type = Option<i64>)]
    pub oldest: Option<Timestamp>,
}

/// Which facts.
#[derive(Debug, Clone, Default)]
pub struct FactFilter {
    /// Instead of those closed in the period: those whose ticket is open or owed now.
    pub owed: bool,
    /// With ticket numbers: figures need none, and looking each up takes time.
    pub tickets: bool,
    /// Closed from here (inclusive).
    pub from: Timestamp,
    /// Closed up to here (exclusive).
    pub to: Timestamp,
    /// Applications the reader may see.
    pub scope: Scope,
    /// Only this application.
    pub application: Option<String>,
    /// Only this admin group.
    pub admin_group: Option<String>,
}

/// One measured value of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gauge {
    /// What is measured.
    pub what: Measured,
    /// Which desk, source or kind; none where there is but one.
    pub of: Option<String>,
    /// Milliseconds for ages, else a count or an instant.
    pub value: i64,
}

/// What [`Views::gauges`] measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Measured {
    /// Age of the longest-known assignment whose ticket is owed or open.
    OldestUnfulfilled,
    /// Age of the oldest assignment that wants a plan now: how far behind intake planning is.
    OldestUnplanned,
    /// Age of the errand whose turn is next, by edge.
    NextErrand,
    /// Age of the oldest outcome that a platform which asks has not asked for yet, by edge.
    Unasked,
    /// Age of the oldest unclear errand, by edge.
    OldestUnclear,
    /// Unclear errands, by edge.
    Unclear,
    /// Parked assignments.
    ParkedAssignments,
    /// Parked errands.
    ParkedErrands,
    /// Quarantined events.
    Quarantined,
    /// Tickets ever found that should not be there, by kind (`double`, `orphan`).
    Strays,
    /// Findings of the comparison that wait, by kind.
    Findings,
    /// When the chains were last tied together.
    Checkpoint,
}
