//! The periods that pages mostly ask for, added up once when they change and when a day begins: so a page reads a sum for each
//! cut, whatever lies behind it. And the days of everything together, for the trend of pages over everything.

use std::collections::BTreeMap;

use super::cell::{Cell, Count};
use super::days::{DAY_MS, day, month, month_after};
use crate::ledger::LedgerResult;
use crate::ledger::rollups::{CellFilter, CellRow, Kind, Place, Rollups};
use crate::model::Timestamp;

/// Days of the periods that are added up ahead.
pub const WINDOWS: [i64; 4] = [7, 30, 90, 365];
/// Sums of whole months take part in longer periods.
const WITHIN_MONTHS: i64 = 31;

/// The sums that a sum is part of.
pub(super) fn made_of(place: Place) -> Vec<Place> {
    let month_of = |kind, dim| Place { kind, at: month(Timestamp(place.at)), dim };
    let windows = Place { kind: Kind::Window, at: 0, dim: place.dim };
    let trend = Place { kind: Kind::Trend, at: place.at, dim: 0 };
    match place.kind {
        Kind::Closed => vec![month_of(Kind::ClosedMonth, place.dim), trend, windows],
        Kind::Arrived => vec![trend, windows],
        Kind::Leaver => vec![month_of(Kind::LeaverMonth, place.dim), windows],
        Kind::Trend => vec![month_of(Kind::TrendMonth, 0)],
        Kind::Open | Kind::Due | Kind::Dated | Kind::Expired | Kind::Troubled | Kind::LeaverOpen => {
            vec![Place { kind: Kind::Now, at: 0, dim: place.dim }]
        }
        _ => Vec::new(),
    }
}

/// A day, or a month of days, of everything together. `n` is what was closed and what arrived.
pub(super) async fn trend<R: Rollups + ?Sized>(ledger: &R, place: Place) -> LedgerResult<CellRow> {
    let all = CellFilter::default();
    let (from, day_after) = (Timestamp(place.at), Timestamp(place.at + DAY_MS));
    let rows = if place.kind == Kind::Trend {
        let mut rows = ledger.cells(Kind::Closed, from, day_after, &all, false).await?;
        rows.extend(ledger.cells(Kind::Arrived, from, day_after, &all, false).await?);
        rows
    } else {
        ledger.cells(Kind::Trend, from, Timestamp(month_after(place.at)), &all, false).await?
    };
    let (mut cell, mut n) = (Cell::default(), 0);
    for row in rows {
        cell.merge(&Cell::kept(&row));
        n += row.n;
    }
    Ok(CellRow { place, n, oldest: from, main: Some(cell.write().0), rest: None })
}

/// All periods of one cut, that end with today.
pub(super) async fn windows<R: Rollups + ?Sized>(ledger: &R, dim: i64, now: Timestamp) -> LedgerResult<Vec<CellRow>> {
    let mut rows = Vec::with_capacity(WINDOWS.len() * 2);
    for days in WINDOWS {
        let to = Timestamp(day(now) + DAY_MS);
        let from = to.plus_ms(-days * DAY_MS);
        let own = CellFilter { dim: Some(dim), ..CellFilter::default() };
        let arrived: i64 = ledger.cells(Kind::Arrived, from, to, &own, false).await?.iter().map(|row| row.n).sum();
        for (kind, of, more) in [
            (Kind::Window, [Kind::Closed, Kind::ClosedMonth], arrived),
            (Kind::LeaverWindow, [Kind::Leaver, Kind::LeaverMonth], 0),
        ] {
            // A row of nothing is removed: what arrived alone keeps it.
            let (mut cell, mut n) = (Cell::default(), more);
            for row in periods(ledger, of, &own, (from, to), true, true).await? {
                cell.merge(&Cell::kept(&row));
                n += row.n;
            }
            let (main, rest) = cell.write();
            rows.push(CellRow { place: Place { kind, at: days, dim }, n, oldest: to, main: Some(main), rest: Some(rest) });
        }
    }
    Ok(rows)
}

/// A period of one cut, as it was added up.
#[derive(Debug, Clone, Default)]
pub(super) struct Ahead {
    /// What was closed.
    pub(super) closed: Cell,
    /// Who left.
    pub(super) leavers: Cell,
    /// What arrived.
    pub(super) arrived: i64,
}

/// What was added up for a period that ends then, by cut. `None` where it is no such period, or is not added up yet.
pub(super) async fn kept<R: Rollups + ?Sized>(
    ledger: &R,
    filter: &CellFilter,
    from: Timestamp,
    to: Timestamp,
) -> LedgerResult<Option<BTreeMap<i64, Ahead>>> {
    let days = to.ms_since(from) / DAY_MS;
    if !WINDOWS.contains(&days) {
        return Ok(None);
    }
    let mut found: BTreeMap<i64, Ahead> = BTreeMap::new();
    for kind in [Kind::Window, Kind::LeaverWindow] {
        for row in ledger.cells(kind, Timestamp(days), Timestamp(days + 1), filter, true).await? {
            if row.oldest != to {
                return Ok(None);
            }
            let (cell, ahead) = (Cell::kept(&row), found.entry(row.place.dim).or_default());
            if kind == Kind::Window {
                ahead.arrived = row.n - cell.count(Count::Closed);
                ahead.closed = cell;
            } else {
                ahead.leavers = cell;
            }
        }
    }
    // Nothing says that nothing is a sum: it may be a period of the past.
    Ok((!found.is_empty()).then_some(found))
}

/// Sums over a period: whole months where there are such, days around them; with or without what only figures need.
pub(super) async fn periods<R: Rollups + ?Sized>(
    ledger: &R,
    [days, months]: [Kind; 2],
    filter: &CellFilter,
    (from, to): (Timestamp, Timestamp),
    by_months: bool,
    rest: bool,
) -> LedgerResult<Vec<CellRow>> {
    let first = if month(from) == from.0 { from.0 } else { month_after(from.0) };
    let last = month(to);
    // Months take part only where no trend is told by less.
    if !by_months || last <= first || to.ms_since(from) <= WITHIN_MONTHS * DAY_MS {
        return ledger.cells(days, from, to, filter, rest).await;
    }
    let mut rows = ledger.cells(days, from, Timestamp(first), filter, rest).await?;
    rows.extend(ledger.cells(months, Timestamp(first), Timestamp(last), filter, rest).await?);
    rows.extend(ledger.cells(days, Timestamp(last), to, filter, rest).await?);
    Ok(rows)
}
