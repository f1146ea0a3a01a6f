//! Figures computed again from the journal, beside those that are kept: counts must be the same, percentiles within one
//! percent of the exact ones.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::case::{Case, Stage, Yardstick};
use super::cell::Cell;
use super::clocks::config_digest;
use super::leavers::{Revocation, add, leaving, places};
use super::rollup::{clocks_over, decoded, kept_calendars, month, repeats};
use super::sketch::{ACCURACY, Sketch};
use crate::catalog::Catalog;
use crate::ledger::LedgerResult;
use crate::ledger::rollups::{CellFilter, CellRow, Dim, Kind, LeaverRow, LifeRow, Place, Rollups};
use crate::model::{Id, Operation, Timestamp};

/// Assignments read at a time.
const PAGE: i64 = 1_000;
/// Differences named one by one.
const NAMED: usize = 50;
/// Sums of cases: what `rollup` writes text for.
const KINDS: [Kind; 10] = [
    Kind::Closed,
    Kind::ClosedMonth,
    Kind::Arrived,
    Kind::Open,
    Kind::Due,
    Kind::Dated,
    Kind::Expired,
    Kind::Leaver,
    Kind::LeaverMonth,
    Kind::LeaverOpen,
];
/// Spreads whose percentiles are compared with exact ones.
const EXACT: [(Stage, bool); 4] =
    [(Stage::Approval, false), (Stage::Provisioning, false), (Stage::Provisioning, true), (Stage::EndToEnd, false)];

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// Assignments looked at.
    pub assignments: usize,
    /// Not counted yet: they changed since, or the figures are still being made.
    pub waiting: usize,
    /// Cases that are kept otherwise than they are computed.
    pub cases: usize,
    /// Sums compared.
    pub cells: usize,
    /// Sums that differ.
    pub wrong: usize,
    /// Percentiles compared with exact ones.
    pub percentiles: usize,
    /// What differs, for people; the first fifty.
    pub differences: Vec<String>,
}

impl Verified {
    /// Whether everything agrees.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.cases == 0 && self.wrong == 0
    }

    fn differs(&mut self, what: String) {
        if self.differences.len() < NAMED {
            self.differences.push(what);
        }
    }
}

/// What the journal gives.
#[derive(Default)]
struct Truth {
    cells: BTreeMap<Place, (i64, Timestamp, Cell)>,
    dims: HashMap<i64, Dim>,
    persons: BTreeMap<i64, Vec<Revocation>>,
    exact: HashMap<(i64, usize), Vec<i64>>,
    /// Places that a waiting assignment has to do with: neither is right or wrong yet.
    unsure: BTreeSet<Place>,
}

impl Truth {
    fn take(&mut self, life: &LifeRow, case: &Case) {
        let dim = life.dim.id;
        self.dims.entry(dim).or_insert_with(|| life.dim.clone());
        for mark in case.marks(life.id, dim).into_iter().filter(|m| m.place.kind.counts()) {
            self.count(mark.place, mark.exact, |cell| {
                if mark.place.kind == Kind::Closed {
                    cell.add(case);
                }
            });
        }
        if case.closed.is_some() {
            for (n, (stage, business)) in EXACT.into_iter().enumerate() {
                let took = case.took(stage).and_then(|b| if business { b.business_ms } else { Some(b.elapsed_ms) });
                self.exact.entry((dim, n)).or_default().extend(took);
            }
        }
        if let Some(person) = case.person {
            let operation = Operation::parse(&life.dim.operation);
            self.persons.entry(person).or_default().push(Revocation { id: life.id, dim, operation, case: case.clone() });
        }
    }

    fn count(&mut self, place: Place, exact: Timestamp, with: impl FnOnce(&mut Cell)) {
        let entry = self.cells.entry(place).or_insert_with(|| (0, exact, Cell::default()));
        entry.0 += 1;
        entry.1 = entry.1.min(exact);
        with(&mut entry.2);
    }

    /// What stays unknown until a waiting assignment is counted.
    fn doubt(&mut self, life: &LifeRow, case: &Case) {
        let was = life.kept.as_ref().and_then(|k| Some(Case::read(&k.body)?.marks(life.id, k.dim))).unwrap_or_default();
        let marks = case.marks(life.id, life.dim.id).into_iter().chain(was).map(|m| m.place);
        self.unsure.extend(marks.flat_map(|p| [Some(p), month_of(p)]).flatten());
    }

    /// Persons and months, made of what was taken.
    fn finish(&mut self) {
        let left: Vec<LeaverRow> = self.persons.iter().filter_map(|(person, all)| leaving(*person, all)).collect();
        for row in left {
            for place in places(&row) {
                self.count(place, row.left_at, |cell| {
                    if place.kind == Kind::Leaver {
                        add(cell, &row);
                    }
                });
            }
        }
        let days: Vec<(Place, (i64, Timestamp, Cell))> =
            self.cells.iter().filter_map(|(place, sum)| Some((month_of(*place)?, sum.clone()))).collect();
        for (place, (n, oldest, cell)) in days {
            let entry = self.cells.entry(place).or_insert_with(|| (0, oldest, Cell::default()));
            entry.0 += n;
            entry.1 = entry.1.min(oldest);
            entry.2.merge(&cell);
        }
    }
}

fn month_of(place: Place) -> Option<Place> {
    let kind = match place.kind {
        Kind::Closed => Kind::ClosedMonth,
        Kind::Leaver => Kind::LeaverMonth,
        _ => return None,
    };
    Some(Place { kind, at: month(Timestamp(place.at)), ..place })
}

/// Computes everything again and compares.
///
/// # Errors
/// The ledger does not answer.
pub async fn verify<R: Rollups + ?Sized>(ledger: &R, catalog: &Catalog, now: Timestamp) -> LedgerResult<Verified> {
    let (mut found, mut truth) = (Verified::default(), Truth::default());
    let config = config_digest(catalog);
    let kept = kept_calendars(ledger).await?;
    let mut after = Some(Id(i64::MIN));
    while let Some(from) = after {
        let (ids, last) = page(ledger, from).await?;
        after = last;
        let lives = ledger.lives(&ids).await?;
        let again = repeats(ledger, &lives).await?;
        let clocks = clocks_over(catalog, &kept, &lives, now);
        for life in &lives {
            found.assignments += 1;
            let next = again.get(&life.id).and_then(|a| a.next);
            let case = Case::of(life, Yardstick { catalog, clocks: &clocks }, next);
            let current = life.kept.as_ref().filter(|k| k.seq == life.seq && (case.closed.is_some() || k.config == config));
            let Some(current) = current else {
                found.waiting += 1;
                truth.doubt(life, &case);
                continue;
            };
            if current.body != case.body() || current.dim != life.dim.id {
                found.cases += 1;
                found.differs(format!("assignment {}: it is kept otherwise than its journal says", life.id));
            }
            truth.take(life, &case);
        }
    }
    truth.finish();
    compare(ledger, &truth, &mut found).await?;
    percentiles(&truth, &mut found);
    Ok(found)
}

/// Every assignment of a page, whether stale or not.
async fn page<R: Rollups + ?Sized>(ledger: &R, after: Id) -> LedgerResult<(Vec<Id>, Option<Id>)> {
    let ids = ledger.all_ids(after, PAGE).await?;
    let last = ids.last().copied().filter(|_| i64::try_from(ids.len()).unwrap_or(0) >= PAGE);
    Ok((ids, last))
}

async fn compare<R: Rollups + ?Sized>(ledger: &R, truth: &Truth, found: &mut Verified) -> LedgerResult<()> {
    let all = CellFilter::default();
    let mut dims = truth.dims.clone();
    dims.extend(ledger.dims(&all).await?.into_iter().map(|d| (d.id, d)));
    // What is asked for is known not to be true yet.
    let asked: BTreeSet<Place> = ledger.dirty(i64::MAX).await?.into_iter().map(|d| d.place).collect();
    let unsure = |place: &Place| {
        truth.unsure.contains(place) || asked.contains(place) || month_of(*place).is_some_and(|m| asked.contains(&m))
    };
    for kind in KINDS {
        let rows = ledger.cells(kind, Timestamp(i64::MIN), Timestamp(i64::MAX), &all, true).await?;
        let kept: BTreeMap<Place, CellRow> = rows.into_iter().map(|row| (row.place, row)).collect();
        let places: BTreeSet<Place> = truth.cells.keys().filter(|p| p.kind == kind).chain(kept.keys()).copied().collect();
        for place in places.into_iter().filter(|p| !unsure(p)) {
            found.cells += 1;
            if let Some(words) = difference(truth.cells.get(&place), kept.get(&place)) {
                found.wrong += 1;
                let cut = dims.get(&place.dim).map_or_else(
                    || format!("cut {}", place.dim),
                    |d| format!("{} / {} / {} / {}", d.application_id, d.admin_group, d.operation, d.desk),
                );
                found.differs(format!("{} {} of {cut}: {words}", place.kind.as_str(), Timestamp(place.at).iso()));
            }
        }
    }
    Ok(())
}

fn difference(truth: Option<&(i64, Timestamp, Cell)>, kept: Option<&CellRow>) -> Option<String> {
    let (truth, kept) = match (truth, kept) {
        (Some(truth), Some(kept)) => (truth, kept),
        (Some(truth), None) => return Some(format!("{} by the journal, none kept", truth.0)),
        (None, Some(kept)) => return Some(format!("none by the journal, {} kept", kept.n)),
        (None, None) => return None,
    };
    if truth.0 != kept.n {
        return Some(format!("{} by the journal, {} kept", truth.0, kept.n));
    }
    if truth.1 != kept.oldest {
        return Some(format!("the earliest is of {} by the journal, of {} as kept", truth.1.iso(), kept.oldest.iso()));
    }
    (kept.main.is_some() && decoded(kept) != truth.2).then(|| "counts or durations differ".to_owned())
}

/// Sketches are the same as those kept by now; here, that they say the truth.
fn percentiles(truth: &Truth, found: &mut Verified) {
    for ((dim, n), durations) in &truth.exact {
        let mut sorted = durations.clone();
        sorted.sort_unstable();
        let mut sketch = Sketch::default();
        sorted.iter().for_each(|ms| sketch.add(*ms));
        for percent in [50_usize, 90, 95, 100] {
            let Some(exact) = (sorted.len() * percent).div_ceil(100).checked_sub(1).and_then(|place| sorted.get(place)) else {
                continue;
            };
            found.percentiles += 1;
            let told = sketch.percentile(percent as u64).unwrap_or(0);
            #[expect(clippy::cast_precision_loss, reason = "durations are far below 2^53 ms")]
            let off = (told - exact).abs() as f64 > *exact as f64 * ACCURACY + 0.5;
            if off {
                found.wrong += 1;
                found.differs(format!("p{percent} of {:?} in cut {dim}: {exact} ms by the journal, {told} ms told", EXACT[*n].0));
            }
        }
    }
}
