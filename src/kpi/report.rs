//! What KPI pages, API and exports show: figures of a period, from the sums that `rollup` keeps.

mod asked;
mod gathered;
mod lists;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use utoipa::ToSchema;

pub use self::asked::{Asked, Which, a_day, period_words};
use self::gathered::{Gathered, bare};
pub use self::lists::{Found, MOST_BEHIND, Shown, found, leavers_open};
use super::clocks::CalendarStamp;
use super::days::DAY_MS;
pub use super::days::Step;
use super::measure::{Attainment, Line, Spread, Sums};
use super::small::Small;
use crate::catalog::Catalog;
use crate::ledger::rollups::Rollups;
use crate::ledger::views::{BacklogRow, Scope};
use crate::ledger::{Exports, LedgerResult};
use crate::model::{Operation, Timestamp};

/// A stretch of the period, for charts: whether it gets better.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Point {
    /// From (inclusive).
    #[schema(value_type = i64)]
    pub from: Timestamp,
    /// Up to (exclusive).
    #[schema(value_type = i64)]
    pub to: Timestamp,
    /// Came to the admins.
    pub arrived: i64,
    /// Closed.
    pub closed: i64,
    /// Requested to approved.
    pub approval: Spread,
    /// The same in working time.
    pub approval_business: Spread,
    /// Eligible to closed, less pauses.
    pub provisioning: Spread,
    /// The same in working time.
    pub provisioning_business: Spread,
    /// Targets of what was closed; what is open and overdue is not in it.
    pub target: Attainment,
}

/// Approval time and provisioning time, never mixed, and all else that is measured.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Report {
    /// Closed in so many days, today included.
    pub days: i64,
    /// From (inclusive), start of a day of UTC.
    #[schema(value_type = i64)]
    pub from: Timestamp,
    /// Up to (exclusive).
    #[schema(value_type = i64)]
    pub to: Timestamp,
    /// Everything known by then is counted; 0: the first count is not done yet.
    #[schema(value_type = i64)]
    pub as_of: Timestamp,
    /// Something known since is not counted yet: totals may be some seconds behind the trend.
    pub behind: bool,
    /// Percentiles lie within so many percent of the exact ones; counts, sums and longest are exact.
    pub accuracy_percent: i64,
    /// All together.
    pub all: Line,
    /// By application.
    pub applications: Vec<Line>,
    /// By admin group.
    pub groups: Vec<Line>,
    /// By operation.
    pub operations: Vec<Line>,
    /// By desk.
    pub desks: Vec<Line>,
    /// Applications and operations that the figures are of, those told together among them; for what holds of all.
    #[serde(skip)]
    pub orders: BTreeSet<(String, String)>,
    /// By day; by week from Monday to Sunday in periods of more than 14 days, by month in those of more than 92.
    pub trend: Vec<Point>,
    /// What is owed, by age.
    pub backlog: Vec<BacklogRow>,
    /// Admin groups of fewer people than this are told only together with others; 1: each by itself.
    pub smallest_group: usize,
    /// Nothing is told of the times of so few people: only what is open, came and went.
    pub withheld: bool,
    /// The calendars that count working time now; a closed case names the version that counted for it.
    pub calendars: Vec<CalendarStamp>,
}

impl Report {
    /// Reads and adds up, within the reader's scope. What it costs depends on the period and on how many applications,
    /// groups and operations there are, not on how many assignments.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn of<R: Rollups + Exports + ?Sized>(
        ledger: &R,
        catalog: &Catalog,
        scope: &Scope,
        asked: &Asked,
        now: Timestamp,
    ) -> LedgerResult<Self> {
        let (from, to) = asked.period(now);
        let filter = asked.filter(scope);
        let rolled = ledger.rolled().await?;
        let gathered = Gathered::read(ledger, &filter, &asked.admin_groups, from, to).await?;
        let small = Small::over(ledger, catalog, from, to).await?;
        // Totals and trend are sums of their own: what was counted between both reads is in one of them.
        let behind = rolled.behind || ledger.rolled().await?.behind;
        let groups = gathered.groups();
        let withheld = small.withholds(&groups);
        let mut all = Sums::default();
        gathered.sums.values().for_each(|sums| all.merge(sums));
        let calendars: BTreeMap<&str, CalendarStamp> =
            groups.iter().filter_map(|group| catalog.calendar_of(group)).map(|c| (c.name.as_str(), c.into())).collect();
        Ok(Self {
            days: to.ms_since(from) / DAY_MS,
            from,
            to,
            as_of: rolled.as_of(now),
            behind,
            accuracy_percent: 1,
            all: if withheld { bare(all.line("", "All together")) } else { all.line("", "All together") },
            applications: gathered.lines(&small, "applications", |d| (&d.application_id, &d.application_name)),
            groups: gathered.lines(&small, "admin groups", |d| (&d.admin_group, &d.admin_group)),
            operations: gathered.lines(&small, "operations", |d| (&d.operation, operation_name(&d.operation))),
            desks: gathered.lines(&small, "desks", |d| (&d.desk, &d.desk)),
            orders: gathered.orders(),
            trend: if withheld { Vec::new() } else { gathered.trend(from, to) },
            backlog: gathered.backlog(),
            smallest_group: small.least(),
            withheld,
            calendars: calendars.into_values().collect(),
        })
    }
}

fn operation_name(operation: &str) -> &str {
    match Operation::parse(operation) {
        Some(known) => known.human(),
        None => operation,
    }
}
