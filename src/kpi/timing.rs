//! The times of one assignment: its segments, both clocks, its target.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::case::{Case, Verdict, Yardstick};
use super::clocks::{Both, CalendarStamp, Clocks};
use super::rollup::{clocks_over, kept_calendars};
use super::segments::{Instants, Part, Pause, segments};
use crate::catalog::{Catalog, ClockKind};
use crate::ledger::LedgerResult;
use crate::ledger::rollups::{Forecast, Rollups};
use crate::ledger::views::AssignmentRow;
use crate::model::{Id, State, Timestamp};

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

/// Assignments measured as in figures, by their journals of now: one rule says by when each is due.
///
/// # Errors
/// The ledger does not answer.
pub async fn measured<R: Rollups + ?Sized>(
    ledger: &R,
    catalog: &Catalog,
    ids: &[Id],
    now: Timestamp,
) -> LedgerResult<HashMap<Id, Case>> {
    let (lives, kept) = (ledger.lives(ids).await?, kept_calendars(ledger).await?);
    let clocks = clocks_over(catalog, &kept, &lives, now);
    let with = Yardstick { catalog, clocks: &clocks };
    Ok(lives.iter().map(|life| (life.id, Case::of(life, with, None))).collect())
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
    /// With its target, as it is [`measured`].
    #[must_use]
    pub fn of(row: AssignmentRow, cases: &HashMap<Id, Case>, now: Timestamp) -> Self {
        let case = cases.get(&row.id);
        let overdue = case.and_then(|case| case.verdict(now)) == Some(Verdict::Overdue);
        Self { due_by: case.and_then(|case| case.due_by), overdue, row }
    }
}

impl Goal {
    fn of(case: &Case, now: Timestamp) -> Option<Self> {
        let target = case.target?;
        let verdict = case.verdict(now);
        Some(Self {
            within_ms: target.within.ms(),
            clock: target.clock,
            due_by: case.due_by,
            in_target: match verdict {
                Some(Verdict::InTarget) => Some(true),
                Some(Verdict::Late) => Some(false),
                _ => None,
            },
            overdue: verdict == Some(Verdict::Overdue),
        })
    }
}

impl Timing {
    /// Of this assignment, as things stand, and as it is [`measured`].
    #[must_use]
    pub fn of(row: &AssignmentRow, case: &Case, forecast: Option<Forecast>, catalog: &Catalog, now: Timestamp) -> Self {
        let pauses: &[Pause] = &case.pauses;
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
            proven: case.proven,
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
            target: Goal::of(case, now),
            calendar: catalog.calendar_of(group).map(CalendarStamp::from),
            forecast,
        }
    }
}
