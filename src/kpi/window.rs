//! Sums of sums: days added up to weeks and months, so that a period is few of them; the days of everything together, for the
//! trend of pages over everything; and the periods that pages mostly ask for, added up once when they change and when a day
//! begins: so a page reads a sum for each cut, whatever lies behind it.

use std::collections::BTreeMap;

use super::cell::{Cell, Count};
use super::days::{DAY_MS, Step, day};
use crate::ledger::LedgerResult;
use crate::ledger::rollups::{CellRow, Kind, Place, Rollups, Starts};
use crate::model::Timestamp;

/// Days of the periods that are added up ahead.
pub const WINDOWS: [i64; 4] = [7, 30, 90, 365];

/// Sums of the same by day, by week and by month.
#[derive(Debug)]
pub(super) struct Layers {
    days: &'static [Kind],
    week: Option<Kind>,
    month: Kind,
}

/// What was closed and what arrived, of each cut. `n` of a week or a month less what was closed is what arrived.
pub(super) const CUTS: Layers = Layers { days: &[Kind::Closed, Kind::Arrived], week: Some(Kind::Week), month: Kind::Month };
/// The same of everything.
pub(super) const WHOLE: Layers = Layers { days: &[Kind::Trend], week: Some(Kind::TrendWeek), month: Kind::TrendMonth };
/// Who left, of each cut. No trend tells them.
pub(super) const LEAVERS: Layers = Layers { days: &[Kind::Leaver], week: None, month: Kind::LeaverMonth };

impl Layers {
    /// The sums that a period of whole days is made of: none longer than what it is told by, and as few as there can be.
    pub(super) fn places(&self, (from, to): (Timestamp, Timestamp), by: Step) -> Vec<Starts> {
        let mut found = Vec::new();
        self.tile((from.0, to.0), by, &mut found);
        found
    }

    fn tile(&self, (from, to): (i64, i64), by: Step, found: &mut Vec<Starts>) {
        let mut push = |kind: Kind, starts: Vec<i64>| match found.iter_mut().find(|(known, _)| *known == kind) {
            _ if starts.is_empty() => {}
            Some((_, all)) => all.extend(starts),
            None => found.push((kind, starts)),
        };
        let (kind, smaller) = match by {
            Step::Day => {
                self.days.iter().for_each(|kind| push(*kind, by.starts(from, to).collect()));
                return;
            }
            Step::Week => (self.week, Step::Day),
            Step::Month => (Some(self.month), Step::Week),
        };
        let first = if by.start(from) == from { from } else { by.next(by.start(from)) };
        let last = by.start(to);
        match kind {
            // None ends or begins in between.
            Some(kind) if first <= last => {
                push(kind, by.starts(first, last).collect());
                self.tile((from, first), smaller, found);
                self.tile((last, to), smaller, found);
            }
            _ => self.tile((from, to), smaller, found),
        }
    }
}

/// The sums that a sum is part of.
pub(super) fn made_of(place: Place) -> Vec<Place> {
    let at = |kind, at, dim| Place { kind, at, dim };
    let (week, month) = (Step::Week.start(place.at), Step::Month.start(place.at));
    let windows = at(Kind::Window, 0, place.dim);
    match place.kind {
        Kind::Closed | Kind::Arrived => {
            let of_all = at(Kind::Trend, place.at, 0);
            vec![at(Kind::Week, week, place.dim), at(Kind::Month, month, place.dim), of_all, windows]
        }
        Kind::Leaver => vec![at(Kind::LeaverMonth, month, place.dim), windows],
        Kind::Trend => vec![at(Kind::TrendWeek, week, 0), at(Kind::TrendMonth, month, 0)],
        Kind::Open | Kind::Due | Kind::Dated | Kind::Expired | Kind::Troubled | Kind::LeaverOpen => {
            vec![at(Kind::Now, 0, place.dim)]
        }
        _ => Vec::new(),
    }
}

/// A week or a month of days, or a day of everything: what it adds up. `None` of what stands by itself.
pub(super) fn parts(place: Place) -> Option<Vec<Starts>> {
    let days = |layers: &Layers, of: Step| Some(layers.places((Timestamp(place.at), Timestamp(of.next(place.at))), Step::Day));
    match place.kind {
        Kind::Week => days(&CUTS, Step::Week),
        Kind::Month => days(&CUTS, Step::Month),
        Kind::LeaverMonth => days(&LEAVERS, Step::Month),
        Kind::Trend => days(&CUTS, Step::Day),
        Kind::TrendWeek => days(&WHOLE, Step::Week),
        Kind::TrendMonth => days(&WHOLE, Step::Month),
        _ => None,
    }
}

/// Adds up the parts of a sum.
pub(super) async fn added_up<R: Rollups + ?Sized>(ledger: &R, place: Place, parts: &[Starts]) -> LedgerResult<CellRow> {
    let whole = place.kind.is_whole();
    let (mut cell, mut n, mut oldest) = (Cell::default(), 0, Timestamp(i64::MAX));
    // Everything is only drawn: no page tells more of its days than the main sketches.
    for row in ledger.cells_at(parts, (!whole).then_some(&[place.dim]), !whole).await? {
        cell.merge(&Cell::kept(&row));
        (n, oldest) = (n + row.n, oldest.min(row.oldest));
    }
    let (main, rest) = cell.write();
    let oldest = if whole || n == 0 { Timestamp(place.at) } else { oldest };
    Ok(CellRow { place, n, oldest, main: Some(main), rest: (!whole).then_some(rest) })
}

/// All periods of one cut, that end with today.
pub(super) async fn windows<R: Rollups + ?Sized>(ledger: &R, dim: i64, now: Timestamp) -> LedgerResult<Vec<CellRow>> {
    let mut rows = Vec::with_capacity(WINDOWS.len() * 2);
    for days in WINDOWS {
        let to = Timestamp(day(now) + DAY_MS);
        let period = (to.plus_ms(-days * DAY_MS), to);
        for (kind, of) in [(Kind::Window, &CUTS), (Kind::LeaverWindow, &LEAVERS)] {
            // A row of nothing is removed: what arrived alone keeps it.
            let (mut cell, mut n) = (Cell::default(), 0);
            for row in ledger.cells_at(&of.places(period, Step::Month), Some(&[dim]), true).await? {
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

/// What was added up for a period that ends then, of some cuts or of all. `None` where it is no such period, or is not added up yet.
pub(super) async fn kept<R: Rollups + ?Sized>(
    ledger: &R,
    dims: Option<&[i64]>,
    from: Timestamp,
    to: Timestamp,
) -> LedgerResult<Option<BTreeMap<i64, Ahead>>> {
    let days = to.ms_since(from) / DAY_MS;
    if !WINDOWS.contains(&days) {
        return Ok(None);
    }
    let mut found: BTreeMap<i64, Ahead> = BTreeMap::new();
    for row in ledger.cells_at(&[(Kind::Window, vec![days]), (Kind::LeaverWindow, vec![days])], dims, true).await? {
        if row.oldest != to {
            return Ok(None);
        }
        let (cell, ahead) = (Cell::kept(&row), found.entry(row.place.dim).or_default());
        if row.place.kind == Kind::Window {
            ahead.arrived = row.n - cell.count(Count::Closed);
            ahead.closed = cell;
        } else {
            ahead.leavers = cell;
        }
    }
    // Nothing says that nothing is a sum: it may be a period of the past.
    Ok((!found.is_empty()).then_some(found))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    /// The step that sums of this kind are of.
    fn step(kind: Kind) -> Step {
        match kind {
            Kind::Week | Kind::TrendWeek => Step::Week,
            Kind::Month | Kind::LeaverMonth | Kind::TrendMonth => Step::Month,
            _ => Step::Day,
        }
    }

    fn a_day() -> impl Strategy<Value = i64> {
        (-800i64..40_000).prop_map(|day| day * DAY_MS)
    }

    proptest! {
        #[test]
        fn a_period_is_every_day_of_it_once_in_few_sums(from in a_day(), days in 1i64..400) {
            let to = from + days * DAY_MS;
            for (layers, by) in [&CUTS, &WHOLE, &LEAVERS].into_iter().flat_map(|l| [Step::Day, Step::Week, Step::Month].map(|by| (l, by))) {
                let places = layers.places((Timestamp(from), Timestamp(to)), by);
                for kind in layers.days {
                    let mut seen = BTreeSet::new();
                    for (found, starts) in places.iter().filter(|(found, _)| found == kind || step(*found) != Step::Day) {
                        for start in starts {
                            let (of, end) = (step(*found), step(*found).next(*start));
                            prop_assert_eq!(of.start(*start), *start, "it begins where such a sum begins");
                            prop_assert_eq!(by.start(*start), by.start(end - 1), "it lies within one step of the trend");
                            prop_assert!(Step::Day.starts(*start, end).all(|day| seen.insert(day)), "no day twice");
                        }
                    }
                    prop_assert_eq!(&seen, &Step::Day.starts(from, to).collect::<BTreeSet<i64>>());
                }
                let of = |wanted: Step| places.iter().filter(|(kind, _)| step(*kind) == wanted).map(|(_, s)| s.len()).max().unwrap_or(0);
                let most = i64::try_from(of(Step::Day)).unwrap();
                if layers.week.is_some() && by != Step::Day {
                    prop_assert!(most <= if by == Step::Week { 12 } else { 24 }, "{most} days");
                }
                if by == Step::Month {
                    prop_assert!(of(Step::Week) <= 8 && most <= 61, "{places:?}");
                }
            }
        }

        #[test]
        fn a_sum_that_changes_asks_for_each_that_it_is_a_part_of(at in a_day(), dim in any::<i64>()) {
            let mut layers = 0;
            for kind in [Kind::Closed, Kind::Arrived, Kind::Leaver, Kind::Trend] {
                let place = Place { kind, at, dim: if kind.is_whole() { 0 } else { dim } };
                for whole in made_of(place).into_iter().filter(|of| of.kind != Kind::Window) {
                    prop_assert!(whole.kind.level() > kind.level(), "it waits for its parts");
                    let parts = parts(whole).unwrap();
                    prop_assert!(parts.iter().any(|(part, starts)| *part == kind && starts.contains(&at)), "{whole:?}: {parts:?}");
                    layers += 1;
                }
            }
            prop_assert_eq!(layers, 9);
        }
    }
}
