//! The assignments behind a figure.

use std::collections::{BTreeSet, HashSet};

use super::{Asked, Which};
use crate::catalog::Catalog;
use crate::kpi::case::Case;
use crate::kpi::days::{HOUR_MS, hour};
use crate::kpi::small::Small;
use crate::ledger::rollups::{Behind, CellFilter, Dim, Kind, LeaverRow, Rollups, Sought};
use crate::ledger::views::Scope;
use crate::ledger::{Exports, LedgerResult};
use crate::model::{Id, Timestamp};

/// Rows behind a figure, at most.
pub const MOST_BEHIND: i64 = 50_000;
/// Rows looked at in one part: never all of a long list at once.
const PART_BEHIND: i64 = 5_000;
/// And no fewer than this where a list takes only some.
const LEAST_BEHIND: i64 = 100;

/// An assignment behind a figure, and how it counts.
#[derive(Debug, Clone)]
pub struct Shown {
    /// What the ledger says of it.
    pub row: Behind,
    /// As it counts.
    pub case: Case,
}

/// Assignments behind a figure.
#[derive(Debug, Clone)]
pub struct Found {
    /// As far as they are asked for.
    pub rows: Vec<Shown>,
    /// There may be others: [`MOST_BEHIND`] were looked at.
    pub cut: bool,
}

/// The assignments behind a figure: latest first, open ones longest waiting first; at most [`MOST_BEHIND`] are looked at.
/// Those of small admin groups are left out: see [`Small`].
///
/// # Errors
/// The ledger does not answer.
pub async fn found<R: Rollups + Exports + ?Sized>(
    ledger: &R,
    catalog: &Catalog,
    scope: &Scope,
    asked: &Asked,
    now: Timestamp,
    limit: i64,
) -> LedgerResult<Found> {
    let which = asked.which.unwrap_or_default();
    let (from, to) = asked.period(now);
    let filter = asked.filter(scope);
    let small = Small::over(ledger, catalog, from, to).await?;
    let takes = |dim: &Dim| taken(&small, asked, dim);
    let (always, this_hour) = (Timestamp(i64::MIN), Timestamp(hour(now)));
    let (kind, from, to) = match which {
        Which::Overdue => (Kind::Due, always, this_hour),
        Which::Open => (Kind::Open, always, Timestamp(i64::MAX)),
        Which::DateOverdue => (Kind::Dated, always, this_hour),
        Which::Expired => (Kind::Expired, always, this_hour),
        Which::TroubledOpen => (Kind::Troubled, always, Timestamp(i64::MAX)),
        Which::Arrived => (Kind::Arrived, from, to),
        Which::Leavers => {
            return leavers(ledger, &filter, (from, to), limit, takes).await;
        }
        _ => (Kind::Closed, from, to),
    };
    let mut sought = Sought { kind, from, to, filter, latest_first: !which.is_open(), after: None, limit: 0 };
    let (mut shown, mut looked, mut end) = (Vec::new(), 0, false);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // A list that takes only some looks at more, a part at a time.
    while shown.len() < limit && looked < MOST_BEHIND {
        let rest = i64::try_from(limit - shown.len()).unwrap_or(i64::MAX);
        sought.limit = rest.max(LEAST_BEHIND).min(MOST_BEHIND - looked).min(PART_BEHIND);
        let rows = ledger.behind(&sought).await?;
        let n = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        looked += n;
        sought.after = rows.last().map(|row| (row.exact, row.id));
        let read = rows.into_iter().filter_map(|row| Some(Shown { case: Case::read(&row.body)?, row }));
        shown.extend(read.filter(|shown| which.takes(&shown.case, now) && takes(&shown.row.dim)));
        end = n < sought.limit;
        if end {
            break;
        }
    }
    let cut = !end && looked >= MOST_BEHIND;
    shown.truncate(limit);
    Ok(Found { rows: shown, cut })
}

/// Whether single orders of what a figure is cut by are listed.
fn taken(small: &Small, asked: &Asked, dim: &Dim) -> bool {
    small.lists(&dim.admin_group) && (asked.admin_groups.is_empty() || asked.admin_groups.contains(&dim.admin_group))
}

/// The last order of every person who left in the period.
async fn leavers<R: Rollups + ?Sized>(
    ledger: &R,
    filter: &CellFilter,
    (from, to): (Timestamp, Timestamp),
    limit: i64,
    takes: impl Fn(&Dim) -> bool,
) -> LedgerResult<Found> {
    let taken: HashSet<i64> = ledger.dims(filter).await?.iter().filter(|dim| takes(dim)).map(|dim| dim.id).collect();
    let mut found = Found { rows: Vec::new(), cut: false };
    for leaver in ledger.leavers_between(from, to, None).await?.into_iter().rev().filter(|l| taken.contains(&l.dim)) {
        let n = i64::try_from(found.rows.len()).unwrap_or(i64::MAX);
        found.cut = n >= MOST_BEHIND;
        if found.cut || n >= limit {
            break;
        }
        found.rows.extend(deciding(ledger, &leaver).await?);
    }
    Ok(found)
}

/// The order that a person's leaving waits for, or waited for last.
async fn deciding<R: Rollups + ?Sized>(ledger: &R, leaver: &LeaverRow) -> LedgerResult<Option<Shown>> {
    let row = ledger.named(Id(leaver.id)).await?;
    let shown = |row: Behind| Some(Shown { case: Case::read(&row.body)?, row: Behind { exact: leaver.left_at, ..row } });
    Ok(row.and_then(shown))
}

/// Persons who left and still have access, longest first: for each the order that is waited for. It reads no more than it
/// shows.
///
/// # Errors
/// The ledger does not answer.
pub async fn leavers_open<R: Rollups + Exports + ?Sized>(
    ledger: &R,
    catalog: &Catalog,
    scope: &Scope,
    asked: &Asked,
    now: Timestamp,
    limit: usize,
) -> LedgerResult<Vec<Shown>> {
    let (from, to) = asked.period(now);
    let small = Small::over(ledger, catalog, from, to).await?;
    let takes = |dim: &Dim| taken(&small, asked, dim);
    let filter = asked.filter(scope);
    let dims: HashSet<i64> = ledger.dims(&filter).await?.iter().filter(|dim| takes(dim)).map(|dim| dim.id).collect();
    let hours = ledger.cells(Kind::LeaverOpen, Timestamp(0), Timestamp(i64::MAX), &filter, false).await?;
    let hours: BTreeSet<i64> = hours.iter().filter(|cell| dims.contains(&cell.place.dim)).map(|cell| cell.place.at).collect();
    let mut shown = Vec::new();
    for hour in hours.into_iter().map(Timestamp) {
        // In the order in which they left, whatever they are cut by.
        let left = ledger.leavers_between(hour, hour.plus_ms(HOUR_MS), None).await?;
        for leaver in left.iter().filter(|left| left.waiting > 0 && dims.contains(&left.dim)) {
            if shown.len() >= limit {
                return Ok(shown);
            }
            shown.extend(deciding(ledger, leaver).await?);
        }
    }
    Ok(shown)
}
