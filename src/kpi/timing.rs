//! The times of one assignment: its segments, both clocks, its target.

use serde::Serialize;
use utoipa::ToSchema;

use super::clocks::{Both, CalendarStamp, Clocks, due_by, target_of};
use super::segments::{Instants, Part, Pause, segments};
use crate::catalog::{Catalog, ClockKind};
use crate::ledger::rollups::Forecast;
use crate::ledger::views::{AssignmentRow, JournalRow};
use crate::model::{Operation, State, Timestamp};

/// A span of an assignment's life, by both clocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TimedSegment {
    /// Spent on.
    pub part: Part,
    /// From when.
    #[schema(value_type = i64)]
    pub from: Timestamp,
    /// Until when (now, while it runs).
    #[schema(value_type = i64)]
    pub to: Timestamp,
    /// It still runs.
    pub running: bool,
    /// How long.
    #[serde(flatten)]
    pub took: Both,
}

/// What its target asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Goal {
    /// How long it may take, milliseconds by the clock.
    pub within_ms: i64,
    /// `elapsed` or `business`.
    #[schema(value_type = String)]
    pub clock: ClockKind,
    /// Until when that is; none where the calendar has not so much working time.
    #[schema(value_type = Option<i64>)]
    pub due_by: Option<Timestamp>,
    /// It is closed, and was in time (true) or not (false); none while it is open.
    pub in_target: Option<bool>,
    /// It is open, and the target has passed.
    pub overdue: bool,
}

/// How long it took, and whose time it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Timing {
    /// Requested to approved.
    pub approval: Option<Both>,
    /// Eligible to closed, or to now while it is open; none before the admin group's clock starts.
    pub provisioning: Option<Both>,
    /// The admin group's clock starts in the future.
    pub not_yet: bool,
    /// Its life, cut into spans that each have one owner.
    pub segments: Vec<TimedSegment>,
    /// What its target asks; none without one.
    pub target: Option<Goal>,
    /// The calendar that counts working time on this page: today's. In figures a closed case keeps the one it was closed
    /// under.
    pub calendar: Option<CalendarStamp>,
    /// By when it was expected to be closed, said once when its ticket was new.
    pub forecast: Option<Forecast>,
}

/// Waits for the requester, as the journal has them. Who must lose access cannot be waited for: of a revocation, none.
#[must_use]
pub fn pauses(row: &AssignmentRow, journal: &[JournalRow]) -> Vec<Pause> {
    if Operation::parse(&row.operation).is_some_and(Operation::is_revocation) {
        return Vec::new();
    }
    let mut pauses: Vec<Pause> = Vec::new();
    for line in journal {
        let runs = pauses.last().is_some_and(|(_, until)| until.is_none());
        match line.event.as_str() {
            "paused" if !runs => {
                let free = pauses.last().and_then(|(_, until)| *until).unwrap_or(line.happened_at);
                pauses.push((line.happened_at.max(free), None));
            }
            "resumed" | "closed" if runs => {
                if let Some((from, until)) = pauses.last_mut() {
                    *until = Some(line.happened_at.max(*from));
                }
            }
            _ => {}
        }
    }
    pauses
}

/// A line of the list with its target.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Listed {
    /// The assignment.
    #[serde(flatten)]
    pub row: AssignmentRow,
    /// By when its target wants it closed.
    #[schema(value_type = Option<i64>)]
    pub due_by: Option<Timestamp>,
    /// It is open, and the target has passed.
    pub overdue: bool,
}

fn ended(row: &AssignmentRow) -> bool {
    State::parse(&row.state).is_none_or(|s| s.is_finished() || s == State::Superseded)
}

impl Listed {
    /// With its target.
    #[must_use]
    pub fn of(row: AssignmentRow, catalog: &Catalog, now: Timestamp) -> Self {
        let group = row.admin_group.as_deref().unwrap_or_default();
        let due_by = due_by(catalog, group, target_of(catalog, &row.application_id, &row.operation), row.eligible_at);
        let overdue = row.closed_at.is_none() && !ended(&row) && due_by.is_some_and(|due| due < now);
        Self { row, due_by, overdue }
    }
}

impl Timing {
    /// Of this assignment, as things stand.
    #[must_use]
    pub fn of(row: &AssignmentRow, pauses: &[Pause], forecast: Option<Forecast>, catalog: &Catalog, now: Timestamp) -> Self {
        let finished = ended(row);
        let instants = Instants {
            requested: row.requested_at,
            approved: row.approved_at,
            received: row.received_at,
            eligible: row.eligible_at,
            filed: row.filed_at,
            first_work: row.first_work_at,
            closed: row.closed_at,
            reported: row.reported_at,
            finished,
        };
        let spans = segments(&instants, pauses, now);
        let group = row.admin_group.as_deref().unwrap_or_default();
        let known = [row.requested_at, row.approved_at, Some(row.received_at), row.eligible_at, row.closed_at, Some(now)];
        let ends = || known.iter().flatten().chain(spans.iter().flat_map(|s| [&s.from, &s.to])).copied();
        let clocks = Clocks::over(catalog, ends().min().unwrap_or(now), ends().max().unwrap_or(now));
        let not_yet = row.eligible_at.is_some_and(|e| e > now) && row.closed_at.is_none();
        let end = row.closed_at.unwrap_or(now);
        let stood_still = |from: Timestamp| {
            let within = pauses.iter().map(|(a, b)| (from.max(*a), b.unwrap_or(end).min(end))).filter(|(a, b)| a < b);
            within.fold(clocks.both(group, from, from), |sum, (a, b)| {
                let part = clocks.both(group, a, b);
                let business_ms = sum.business_ms.zip(part.business_ms).map(|(a, b)| a + b);
                Both { elapsed_ms: sum.elapsed_ms + part.elapsed_ms, business_ms }
            })
        };
        let provisioning = row.eligible_at.filter(|_| !not_yet).map(|from| clocks.both(group, from, end).less(stood_still(from)));
        let goal = target_of(catalog, &row.application_id, &row.operation).map(|target| {
            let within = provisioning.and_then(|p| p.by(target.clock)).map(|ms| ms <= target.within.ms());
            Goal {
                within_ms: target.within.ms(),
                clock: target.clock,
                due_by: due_by(catalog, group, Some(target), row.eligible_at),
                in_target: within.filter(|_| row.closed_at.is_some()),
                overdue: within == Some(false) && row.closed_at.is_none() && !finished,
            }
        });
        let timed = |s: &super::segments::Segment| TimedSegment {
            part: s.part,
            from: s.from,
            to: s.to,
            running: s.running,
            took: clocks.both(group, s.from, s.to),
        };
        Self {
            approval: row.approved_at.zip(row.requested_at).map(|(to, from)| clocks.both(group, from, to)),
            provisioning,
            not_yet,
            segments: spans.iter().map(timed).collect(),
            target: goal,
            calendar: catalog.calendar_of(group).map(CalendarStamp::from),
            forecast,
        }
    }
}
