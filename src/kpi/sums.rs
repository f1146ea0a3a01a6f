//! Sums made again: of days and hours from their cases, and of weeks, months, periods and what is open from those.

use std::collections::{BTreeMap, BTreeSet};

use super::ages::Now;
use super::case::Case;
use super::cell::Cell;
use super::days::{DAY_MS, HOUR_MS, hour};
use super::leavers::{LEAVER_HOURS, add};
use super::window::{added_up, made_of, parts, windows};
use crate::ledger::rollups::{CellFilter, CellRow, Dirty, Kind, Place, Rollups};
use crate::ledger::{Ledger, LedgerResult};
use crate::model::{Clock, Id, Timestamp};

/// No further sum is begun in a step that has lasted so long, milliseconds.
const STEP_MS: i64 = 60;
/// Sums made in one step.
const CELLS: i64 = 64;
/// Periods of cuts made in one step: each adds up some hundred sums.
const WINDOWS: usize = 8;
/// Cases read at a time for one sum.
pub(super) const MEMBERS: i64 = 2_000;

/// Makes sums again that are no longer true, those of one level; returns how many.
pub(super) async fn sums(ledger: &dyn Ledger, clock: &dyn Clock) -> LedgerResult<usize> {
    let dirty: Vec<Dirty> = ledger.dirty(CELLS).await?.into_iter().filter(|one| one.place.kind != Kind::Person).collect();
    let Some(first) = dirty.first().map(|one| one.place.kind) else { return Ok(0) };
    let now = clock.now();
    if first == Kind::Now {
        let done: Vec<Dirty> = dirty.into_iter().filter(|one| one.place.kind == Kind::Now).collect();
        let dims = done.iter().map(|one| one.place.dim).collect();
        let n = done.len();
        look_at_now(ledger, now, Some(dims), done).await?;
        return Ok(n);
    }
    let begun = clock.boot_ms();
    let (mut cells, mut done) = (Vec::with_capacity(dirty.len()), Vec::<Dirty>::new());
    for one in dirty {
        // What is made of others waits until they are kept.
        let others = one.place.kind.level() != first.level() || one.place.kind == Kind::Now;
        let enough = one.place.kind == Kind::Window && done.len() >= WINDOWS;
        if others || enough || (!done.is_empty() && clock.boot_ms().saturating_sub(begun) > STEP_MS) {
            break;
        }
        if one.place.kind == Kind::Window {
            cells.extend(windows(ledger, one.place.dim, now).await?);
        } else {
            cells.push(sum(ledger, one.place).await?);
        }
        done.push(one);
    }
    let (n, asked) = (done.len(), done.iter().flat_map(|one| made_of(one.place)).collect());
    ledger.keep_cells(cells, done, asked).await?;
    Ok(n)
}

/// What is open, of some cuts or of all; returns how many sums were written.
pub(super) async fn look_at_now(
    ledger: &dyn Ledger,
    now: Timestamp,
    dims: Option<BTreeSet<i64>>,
    done: Vec<Dirty>,
) -> LedgerResult<usize> {
    let all = open_now(ledger, now).await?;
    let before = ledger.cells(Kind::Now, Timestamp(0), Timestamp(1), &CellFilter::default(), false).await?;
    let before: BTreeMap<i64, CellRow> = before.into_iter().map(|row| (row.place.dim, row)).collect();
    let none = Now::default();
    let wanted = |dim: &i64| dims.as_ref().is_none_or(|dims| dims.contains(dim));
    let both: BTreeSet<i64> = all.keys().chain(before.keys()).copied().filter(wanted).collect();
    let rows = both.into_iter().map(|dim| now_row(dim, all.get(&dim).unwrap_or(&none), now));
    let rows: Vec<CellRow> = rows.filter(|row| before.get(&row.place.dim) != Some(row)).collect();
    let n = rows.len();
    if n > 0 || !done.is_empty() {
        ledger.keep_cells(rows, done, Vec::new()).await?;
    }
    Ok(n)
}

async fn sum(ledger: &dyn Ledger, place: Place) -> LedgerResult<CellRow> {
    if let Some(parts) = parts(place) {
        return added_up(ledger, place, &parts).await;
    }
    let (from, to) = (Timestamp(place.at), Timestamp(place.at + DAY_MS));
    let mut cell = Cell::default();
    let (mut n, mut oldest) = (0, Timestamp(i64::MAX));
    match place.kind {
        Kind::Closed => {
            let mut after = Id(i64::MIN);
            loop {
                let members = ledger.members(place.kind, place.at, Some(place.dim), after, MEMBERS).await?;
                for member in &members {
                    let Some(case) = Case::read(&member.body) else { continue };
                    cell.add(&case);
                    (n, oldest, after) = (n + 1, oldest.min(member.exact), member.id);
                }
                if i64::try_from(members.len()).unwrap_or(0) < MEMBERS {
                    break;
                }
            }
        }
        Kind::Leaver => {
            for row in ledger.leavers_between(from, to, Some(place.dim)).await? {
                add(&mut cell, &row);
                (n, oldest) = (n + 1, oldest.min(row.left_at));
            }
        }
        _ => {
            let (n, oldest) = ledger.count_marks(place).await?;
            return Ok(CellRow { place, n, oldest, main: None, rest: None });
        }
    }
    let (main, rest) = cell.write();
    Ok(CellRow { place, n, oldest: if n > 0 { oldest } else { Timestamp(0) }, main: Some(main), rest: Some(rest) })
}

/// What is open now, by what it is cut by.
async fn open_now<R: Rollups + ?Sized>(ledger: &R, now: Timestamp) -> LedgerResult<BTreeMap<i64, Now>> {
    let this_hour = Timestamp(hour(now));
    let mut all: BTreeMap<i64, Now> = BTreeMap::new();
    for row in ledger.ages(this_hour).await? {
        all.entry(row.dim).or_default().open.add(row.hours, row.n, row.oldest);
    }
    for (dim, n) in ledger.passed(Kind::Due, this_hour).await? {
        all.entry(dim).or_default().overdue = n;
    }
    for (dim, n) in ledger.passed(Kind::Dated, this_hour).await? {
        all.entry(dim).or_default().dated_overdue = n;
    }
    for (dim, n) in ledger.passed(Kind::Expired, this_hour).await? {
        all.entry(dim).or_default().expired = n;
    }
    for (dim, n) in ledger.passed(Kind::Troubled, Timestamp(i64::MAX)).await? {
        all.entry(dim).or_default().troubled = n;
    }
    for (dim, n) in ledger.passed(Kind::LeaverOpen, this_hour.plus_ms(-LEAVER_HOURS[0] * HOUR_MS)).await? {
        all.entry(dim).or_default().leavers_overdue = n;
    }
    Ok(all)
}

/// As it is kept.
fn now_row(dim: i64, what: &Now, now: Timestamp) -> CellRow {
    let place = Place { kind: Kind::Now, at: 0, dim };
    // numbers and instants cannot fail to be written
    let main = serde_json::to_string(what).unwrap_or_default();
    let n = i64::from(*what != Now::default());
    CellRow { place, n, oldest: Timestamp(hour(now)), main: Some(main), rest: None }
}
