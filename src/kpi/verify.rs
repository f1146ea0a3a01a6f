//! Figures computed again from the journal, beside those that are kept: counts must be the same, percentiles within one
//! percent of the exact ones.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ages::Now;
use super::case::{Case, Stage, Yardstick};
use super::cell::Cell;
use super::clocks::config_digest;
use super::days::{DAY_MS, HOUR_MS, day, hour};
use super::leavers::{LEAVER_HOURS, Revocation, add, leaving, places};
use super::rollup::{clocks_over, kept_calendars, repeats};
use super::sketch::{ACCURACY, Sketch};
use super::window::{WINDOWS, made_of};
use crate::catalog::Catalog;
use crate::ledger::LedgerResult;
use crate::ledger::rollups::{CellFilter, CellRow, Dim, Kind, LeaverRow, LifeRow, Place, Rollups};
use crate::model::{Id, Operation, Timestamp};

/// Assignments read at a time.
const PAGE: i64 = 1_000;
/// Differences named one by one.
const NAMED: usize = 50;
/// Sums that stand by themselves, and those that are made of them.
const KINDS: [Kind; 18] = [
    Kind::Closed,
    Kind::Arrived,
    Kind::Week,
    Kind::Month,
    Kind::Open,
    Kind::Due,
    Kind::Dated,
    Kind::Expired,
    Kind::Troubled,
    Kind::Leaver,
    Kind::LeaverMonth,
    Kind::LeaverOpen,
    Kind::Trend,
    Kind::TrendWeek,
    Kind::TrendMonth,
    Kind::Window,
    Kind::LeaverWindow,
    Kind::Now,
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
    /// Sums of another hour or day, true at their time: nobody counted since.
    pub aged: usize,
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
    cells: BTreeMap<Place, Sum>,
    dims: HashMap<i64, Dim>,
    persons: BTreeMap<i64, Vec<Revocation>>,
    exact: HashMap<(i64, usize), Vec<i64>>,
    /// Places that a waiting assignment has to do with: neither is right or wrong yet.
    unsure: BTreeSet<Place>,
    /// What is open, by what it is cut by.
    open: BTreeMap<i64, Now>,
}

type Sum = (i64, Timestamp, Cell);

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
        self.unsure.extend(marks.flat_map(with_made_of));
    }

    /// A person who left, of what was taken.
    fn leaver(&self, person: i64) -> Option<LeaverRow> {
        leaving(person, self.persons.get(&person)?)
    }

    /// Persons, and the sums of sums, made of what was taken.
    fn finish(&mut self, now: Timestamp) {
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
        let (this_hour, ends) = (hour(now), Timestamp(day(now) + DAY_MS));
        let sums: Vec<(Place, Sum)> = self.cells.iter().map(|(place, sum)| (*place, sum.clone())).collect();
        for (place, sum) in &sums {
            self.open_at(*place, sum, this_hour);
            self.add_up(*place, sum, ends);
        }
    }

    /// Adds a sum to weeks, months, what everything is told by, and periods.
    fn add_up(&mut self, place: Place, (n, oldest, cell): &Sum, ends: Timestamp) {
        let mut more = |place: Place, oldest: Timestamp, cell: Cell| {
            let entry = self.cells.entry(place).or_insert_with(|| (0, oldest, Cell::default()));
            entry.0 += n;
            entry.1 = entry.1.min(oldest);
            entry.2.merge(&cell);
        };
        for of in made_of(place) {
            match of.kind {
                Kind::Week | Kind::Month | Kind::LeaverMonth => more(of, *oldest, cell.clone()),
                Kind::Trend => {
                    more(of, Timestamp(of.at), cell.clone().into_main());
                    for longer in made_of(of) {
                        more(longer, Timestamp(longer.at), cell.clone().into_main());
                    }
                }
                Kind::Window => {
                    let kind = if place.kind == Kind::Leaver { Kind::LeaverWindow } else { Kind::Window };
                    let within = |days: &i64| (ends.0 - days * DAY_MS..ends.0).contains(&place.at);
                    for days in WINDOWS.into_iter().filter(within) {
                        more(Place { kind, at: days, dim: of.dim }, ends, cell.clone());
                    }
                }
                _ => {}
            }
        }
    }

    fn open_at(&mut self, place: Place, (n, oldest, _): &Sum, this_hour: i64) {
        let passed = place.at < this_hour;
        let left_long = place.at < this_hour - LEAVER_HOURS[0] * HOUR_MS;
        let of = |truth: &mut Self, holds: bool, add: fn(&mut Now, i64)| {
            if holds {
                add(truth.open.entry(place.dim).or_default(), *n);
            }
        };
        match place.kind {
            Kind::Open => self.open.entry(place.dim).or_default().open.add_hour(place.at, this_hour, *n, *oldest),
            Kind::Due => of(self, passed, |now, n| now.overdue += n),
            Kind::Dated => of(self, passed, |now, n| now.dated_overdue += n),
            Kind::Expired => of(self, passed, |now, n| now.expired += n),
            Kind::Troubled => of(self, true, |now, n| now.troubled += n),
            Kind::LeaverOpen => of(self, left_long, |now, n| now.leavers_overdue += n),
            _ => {}
        }
    }
}

/// A sum, and all that is made of it.
fn with_made_of(place: Place) -> Vec<Place> {
    let mut all = vec![place];
    let mut next = 0;
    while let Some(of) = all.get(next).copied() {
        all.extend(made_of(of));
        next += 1;
    }
    all
}

/// Computes everything again and compares. The ledger should be opened to be read as one state: what is counted meanwhile
/// would look like a difference.
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
        // As far as it is counted: what is not is judged neither by itself nor by what it makes of others.
        let again = repeats(ledger, &lives, false).await?;
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
            // That a person left stands in no journal: it is what was known when the case was measured.
            let case = Case { left: Case::read(&current.body).and_then(|kept| kept.left), ..case };
            if current.body != case.body() || current.dim != life.dim.id {
                found.cases += 1;
                found.differs(format!("assignment {}: it is kept otherwise than its journal says", life.id));
            }
            truth.take(life, &case);
        }
    }
    truth.finish(now);
    compare(ledger, &truth, now, &mut found).await?;
    percentiles(&truth, &mut found);
    Ok(found)
}

/// Every assignment of a page, whether stale or not.
async fn page<R: Rollups + ?Sized>(ledger: &R, after: Id) -> LedgerResult<(Vec<Id>, Option<Id>)> {
    let ids = ledger.all_ids(after, PAGE).await?;
    let last = ids.last().copied().filter(|_| i64::try_from(ids.len()).unwrap_or(0) >= PAGE);
    Ok((ids, last))
}

async fn compare<R: Rollups + ?Sized>(ledger: &R, truth: &Truth, now: Timestamp, found: &mut Verified) -> LedgerResult<()> {
    let all = CellFilter::default();
    let mut dims = truth.dims.clone();
    dims.extend(ledger.dims(&all).await?.into_iter().map(|d| (d.id, d)));
    // What is asked for is known not to be true yet, nor is what is made of it.
    let asked: Vec<Place> = ledger.dirty(i64::MAX).await?.into_iter().map(|d| d.place).collect();
    let persons = asked.iter().chain(&truth.unsure).filter(|place| place.kind == Kind::Person).map(|place| place.at);
    let persons: Vec<i64> = persons.collect();
    let leavers = ledger.leavers(&persons).await?.into_iter().chain(persons.iter().filter_map(|person| truth.leaver(*person)));
    let asked = asked.iter().copied().chain(leavers.flat_map(|row| places(&row))).flat_map(with_made_of);
    let unsure: BTreeSet<Place> = truth.unsure.iter().copied().chain(asked).collect();
    let unsure = |place: &Place| match place.kind {
        // One mark stands for all periods of a cut.
        Kind::Window | Kind::LeaverWindow => unsure.contains(&Place { kind: Kind::Window, at: 0, dim: place.dim }),
        _ => unsure.contains(place),
    };
    let (this_hour, ends) = (Timestamp(hour(now)), Timestamp(day(now) + DAY_MS));
    for kind in KINDS {
        let rows = ledger.cells(kind, Timestamp(i64::MIN), Timestamp(i64::MAX), &all, true).await?;
        let kept: BTreeMap<Place, CellRow> = rows.into_iter().map(|row| (row.place, row)).collect();
        let open = |dim: &i64| Place { kind, at: 0, dim: *dim };
        let by_journal: BTreeSet<Place> = match kind {
            Kind::Now => truth.open.iter().filter(|(_, now)| **now != Now::default()).map(|(dim, _)| open(dim)).collect(),
            _ => truth.cells.keys().filter(|p| p.kind == kind).copied().collect(),
        };
        // What was made in another hour or on another day was true then.
        let of_another_time = |place: &Place| match (kind, kept.get(place)) {
            (Kind::Now, Some(row)) => row.oldest != this_hour,
            (Kind::Window | Kind::LeaverWindow, Some(row)) => row.oldest != ends,
            _ => false,
        };
        let places: BTreeSet<Place> = by_journal.iter().chain(kept.keys()).copied().collect();
        for place in places.into_iter().filter(|p| !unsure(p)) {
            if of_another_time(&place) {
                found.aged += 1;
                continue;
            }
            found.cells += 1;
            let words = if kind == Kind::Now {
                difference_now(truth.open.get(&place.dim), kept.get(&place))
            } else {
                difference(truth.cells.get(&place), kept.get(&place))
            };
            if let Some(words) = words {
                found.wrong += 1;
                let cut = dims.get(&place.dim).map_or_else(
                    || if kind.is_whole() { "everything".to_owned() } else { format!("cut {}", place.dim) },
                    |d| format!("{} / {} / {} / {}", d.application_id, d.admin_group, d.operation, d.desk),
                );
                found.differs(format!("{} of {cut}: {words}", named(place)));
            }
        }
    }
    Ok(())
}

fn named(place: Place) -> String {
    match place.kind {
        Kind::Now => "what is open now".to_owned(),
        Kind::Window => format!("the last {} days", place.at),
        Kind::LeaverWindow => format!("leavers of the last {} days", place.at),
        kind => format!("{} {}", kind.as_str(), Timestamp(place.at).iso()),
    }
}

fn difference_now(truth: Option<&Now>, kept: Option<&CellRow>) -> Option<String> {
    let told: Option<Now> = match kept {
        Some(row) => row.main.as_deref().and_then(|main| serde_json::from_str(main).ok()),
        None => Some(Now::default()),
    };
    let Some(told) = told else { return Some("it cannot be read".to_owned()) };
    let truth = truth.cloned().unwrap_or_default();
    let words = |now: &Now| {
        format!(
            "{} open, {} overdue, {} past their day, {} to end, {} in trouble, {} leavers",
            now.open.n(),
            now.overdue,
            now.dated_overdue,
            now.expired,
            now.troubled,
            now.leavers_overdue
        )
    };
    (told != truth).then(|| format!("{} by the journal, {} kept", words(&truth), words(&told)))
}

fn difference(truth: Option<&Sum>, kept: Option<&CellRow>) -> Option<String> {
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
    (kept.main.is_some() && Cell::kept(kept) != truth.2).then(|| "counts or durations differ".to_owned())
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
