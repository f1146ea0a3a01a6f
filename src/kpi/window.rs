//! The periods that pages mostly ask for, added up once when they change and when a day begins: so a page reads a sum for each
//! cut, whatever lies behind it.

use std::collections::{BTreeMap, BTreeSet};

use super::case::{DAY_MS, day};
use super::cell::Cell;
use super::report::periods;
use super::rollup::decoded;
use crate::ledger::LedgerResult;
use crate::ledger::rollups::{CellFilter, CellRow, Kind, Place, Rollups};
use crate::model::Timestamp;

/// Days of the periods that are added up ahead.
pub const WINDOWS: [i64; 4] = [7, 30, 90, 365];
/// Cuts added up in one step.
const DIMS: usize = 8;

/// What is to be added up again; lost with the process, which then adds up everything.
#[derive(Debug, Default)]
pub(super) struct Windows {
    day: Option<i64>,
    dims: BTreeSet<i64>,
}

impl Windows {
    /// A sum of a day changed.
    pub(super) fn changed(&mut self, place: Place) {
        if matches!(place.kind, Kind::Closed | Kind::Arrived | Kind::Leaver) {
            self.dims.insert(place.dim);
        }
    }

    /// Adds up a few cuts; returns how many.
    pub(super) async fn step<R: Rollups + ?Sized>(&mut self, ledger: &R, now: Timestamp) -> LedgerResult<usize> {
        if self.day != Some(day(now)) {
            self.dims = ledger.dims(&CellFilter::default()).await?.into_iter().map(|dim| dim.id).collect();
            self.day = Some(day(now));
        }
        let batch: Vec<i64> = self.dims.iter().take(DIMS).copied().collect();
        let mut rows = Vec::with_capacity(batch.len() * WINDOWS.len() * 2);
        for dim in &batch {
            for days in WINDOWS {
                rows.extend(window(ledger, *dim, days, now).await?);
            }
        }
        if !rows.is_empty() {
            ledger.keep_cells(rows, Vec::new(), Vec::new()).await?;
        }
        for dim in &batch {
            self.dims.remove(dim);
        }
        Ok(batch.len())
    }
}

async fn window<R: Rollups + ?Sized>(ledger: &R, dim: i64, days: i64, now: Timestamp) -> LedgerResult<[CellRow; 2]> {
    let to = Timestamp(day(now) + DAY_MS);
    let from = to.plus_ms(-days * DAY_MS);
    let own = CellFilter { dim: Some(dim), ..CellFilter::default() };
    let mut rows = Vec::with_capacity(2);
    let arrived: i64 = ledger.cells(Kind::Arrived, from, to, &own, false).await?.iter().map(|row| row.n).sum();
    for (kind, of) in [(Kind::Window, [Kind::Closed, Kind::ClosedMonth]), (Kind::LeaverWindow, [Kind::Leaver, Kind::LeaverMonth])]
    {
        let (mut cell, mut n) = (Cell::default(), 0);
        for row in periods(ledger, of, &own, (from, to), true, true).await? {
            cell.merge(&decoded(&row));
            n += row.n;
        }
        let (main, rest) = cell.write();
        // A row of nothing is removed: what arrived alone keeps it.
        let n = if kind == Kind::Window { n + arrived } else { n };
        rows.push(CellRow { place: Place { kind, at: days, dim }, n, oldest: to, main: Some(main), rest: Some(rest) });
    }
    let mut rows = rows.into_iter();
    let none = |kind| CellRow { place: Place { kind, at: days, dim }, n: 0, oldest: to, main: None, rest: None };
    Ok([rows.next().unwrap_or_else(|| none(Kind::Window)), rows.next().unwrap_or_else(|| none(Kind::LeaverWindow))])
}

/// What was added up for a period that ends then, by cut: closed, leavers. `None` where it is no such period, or is not added up yet.
pub(super) async fn kept<R: Rollups + ?Sized>(
    ledger: &R,
    filter: &CellFilter,
    from: Timestamp,
    to: Timestamp,
) -> LedgerResult<Option<BTreeMap<i64, [Cell; 2]>>> {
    let days = to.ms_since(from) / DAY_MS;
    if !WINDOWS.contains(&days) {
        return Ok(None);
    }
    let mut found: BTreeMap<i64, [Cell; 2]> = BTreeMap::new();
    for (n, kind) in [Kind::Window, Kind::LeaverWindow].into_iter().enumerate() {
        for row in ledger.cells(kind, Timestamp(days), Timestamp(days + 1), filter, true).await? {
            if row.oldest != to {
                return Ok(None);
            }
            found.entry(row.place.dim).or_default()[n] = decoded(&row);
        }
    }
    Ok(Some(found))
}
