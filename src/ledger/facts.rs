//! What the ledger counts: gauges, what is owed to whom.

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::Timestamp;

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
