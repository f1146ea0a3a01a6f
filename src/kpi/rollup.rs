//! Keeps the figures: looks at what changed, measures it, and makes the sums that changed with it again. A step is small;
//! `runtime` paces them. Done again it does nothing, and any step may be lost: the next sweep finds what is missing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::case::{Case, Yardstick};
use super::cell::{Cell, Count};
use super::clocks::{Clocks, config_digest};
use super::days::{DAY_MS, day, hour};
use super::forecast::{LOOKED_BACK_DAYS, Pace};
use super::leavers::{Revocation, leaving, places};
use super::sums::{MEMBERS, look_at_now, sums};
use crate::catalog::{Calendar, Catalog};
use crate::ledger::rollups::{CaseWrite, CellFilter, Dim, Dirty, KeptCalendar, Kind, LeaverRow, LifeRow, Mark, Place, Rollups};
use crate::ledger::{Ledger, LedgerResult};
use crate::model::{Clock, Id, Operation, Timestamp};

/// Assignments measured in one step: their writes hold the ledger for some milliseconds.
const CASES: usize = 128;
/// After so long everything is looked through again: on PostgreSQL a commit may come later than anybody waits for it, and a
/// fault of the figures shall not last.
const SWEEP_MS: i64 = DAY_MS;
/// A process whose figures are read by others says now and then that nothing waits, milliseconds.
const NOTE_MS: i64 = 60_000;
/// Persons looked at in one step.
const PERSONS: i64 = 64;
/// Assignments looked at in one step of a sweep.
const SWEPT: i64 = 2_000;
/// How long a group's pace is believed.
const PACE_MS: i64 = 600_000;

/// What one step did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Cases measured.
    pub cases: usize,
    /// Sums made.
    pub cells: usize,
    /// Persons who leave looked at.
    pub persons: usize,
    /// The sweep looked at some assignments.
    pub swept: bool,
    /// Assignments that changed since the last look at what did; none: this step did not look, or it was the first.
    pub moved: Option<usize>,
    /// Far behind: nothing was ever counted whole, or more came than one step measures, and not all of it is counted.
    pub behind: bool,
}

impl Progress {
    /// Whether there was anything to do.
    #[must_use]
    pub fn any(self) -> bool {
        self.cases > 0 || self.cells > 0 || self.persons > 0 || self.swept
    }
}

/// What is remembered between steps; lost with the process, and found again.
#[derive(Debug, Default)]
pub struct Rollup {
    config: Option<String>,
    /// The sweep goes on above this.
    sweep: Option<Id>,
    queue: BTreeSet<Id>,
    calendars: Option<BTreeMap<String, Calendar>>,
    pace: HashMap<String, Pace>,
    pace_at: Option<Timestamp>,
    /// What is open was looked at in this hour.
    hour: Option<i64>,
    /// Periods end with this day.
    day: Option<i64>,
    /// Nothing was done since that was noted.
    noted: Option<Timestamp>,
    /// When everything was looked through.
    swept_at: Option<Timestamp>,
    /// Everything was counted once: forecasts have something to stand on.
    settled: bool,
    /// See [`Progress::behind`].
    behind: bool,
}

impl Rollup {
    /// Starts with a sweep.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One step.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn step(&mut self, ledger: &dyn Ledger, catalog: &Catalog, clock: &dyn Clock) -> LedgerResult<Progress> {
        let now = clock.now();
        let config = config_digest(catalog);
        let mut progress = Progress::default();
        let begins = self.config.is_none();
        if self.config.as_ref() != Some(&config) {
            (self.config, self.sweep, self.calendars) = (Some(config.clone()), Some(Id(i64::MIN)), None);
            (self.settled, self.noted) = (false, None);
            ledger.note_rolled(now, true).await?;
            self.behind |= ledger.rolled().await?.until == Timestamp(0);
        }
        // What changed before anybody looked tells nothing of now.
        progress.moved = self.look(ledger, now).await?.filter(|_| !begins);
        if self.queue.len() < CASES
            && let Some(after) = self.sweep
        {
            let found = ledger.sweep(after, &config, SWEPT).await?;
            self.sweep = found.last;
            self.queue.extend(found.stale);
            progress.swept = true;
        }
        self.behind |= self.queue.len() > CASES;
        progress.cases = self.measure(ledger, catalog, &config, now).await?;
        // Sums last: a case that comes with many others makes them once.
        if self.queue.is_empty() && self.sweep.is_none() {
            self.swept_at.get_or_insert(now);
            progress.persons = leavers(ledger).await?;
            if progress.persons == 0 {
                progress.cells = sums(ledger, clock).await?;
            }
            if progress.persons + progress.cells == 0 {
                progress.cells = self.time_passes(ledger, now).await?;
            }
        }
        if progress.any() {
            self.noted = None;
        } else {
            self.at_rest(ledger, now).await?;
            self.behind = false;
        }
        progress.behind = self.behind;
        Ok(progress)
    }

    /// Looks at what changed; returns how many assignments of which it was not known.
    async fn look(&mut self, ledger: &dyn Ledger, now: Timestamp) -> LedgerResult<Option<usize>> {
        let waited = self.queue.len();
        // Where the journal is asked, every answer reads the last minutes again: not before the last one is worked off.
        if waited >= CASES && ledger.is_shared() {
            return Ok(None);
        }
        let Some(ids) = ledger.touched(now).await? else {
            self.sweep = Some(Id(i64::MIN));
            return Ok(Some(usize::MAX));
        };
        self.queue.extend(ids);
        Ok(Some(self.queue.len() - waited))
    }

    /// Nothing is left to do: says so, and looks through everything once a day.
    async fn at_rest(&mut self, ledger: &dyn Ledger, now: Timestamp) -> LedgerResult<()> {
        // Other processes believe what is noted; this one knows.
        let old = |noted: Timestamp| ledger.is_shared() && now.ms_since(noted) >= NOTE_MS;
        if self.noted.is_none_or(old) {
            ledger.note_rolled(now, false).await?;
            self.noted = Some(now);
        }
        if !self.settled {
            (self.settled, self.pace_at) = (true, None);
        }
        if self.swept_at.is_some_and(|at| now.ms_since(at) >= SWEEP_MS) {
            (self.sweep, self.swept_at) = (Some(Id(i64::MIN)), None);
        }
        Ok(())
    }

    /// With an hour, what is open grows older; with a day, periods end later. Returns how many sums were written or asked for.
    async fn time_passes(&mut self, ledger: &dyn Ledger, now: Timestamp) -> LedgerResult<usize> {
        if self.hour != Some(hour(now)) {
            let n = look_at_now(ledger, now, None, Vec::new()).await?;
            self.hour = Some(hour(now));
            if n > 0 {
                return Ok(n);
            }
        }
        if self.day == Some(day(now)) {
            return Ok(0);
        }
        // A process that begins does not know whether another has done it: a period says by itself when it ends.
        let ends = Timestamp(day(now) + DAY_MS);
        let periods = ledger.cells(Kind::Window, Timestamp(7), Timestamp(366), &CellFilter::default(), false).await?;
        let dims = ledger.dims(&CellFilter::default()).await?.into_iter().map(|dim| dim.id);
        let old: BTreeSet<i64> = periods.iter().filter(|row| row.oldest != ends).map(|row| row.place.dim).collect();
        let known: BTreeSet<i64> = periods.iter().map(|row| row.place.dim).collect();
        let asked = dims.filter(|dim| old.contains(dim) || !known.contains(dim));
        let asked: Vec<Place> = asked.map(|dim| Place { kind: Kind::Window, at: 0, dim }).collect();
        let n = asked.len();
        if n > 0 {
            ledger.keep_cells(Vec::new(), Vec::new(), asked).await?;
        }
        self.day = Some(day(now));
        Ok(n)
    }

    /// Steps until nothing is left to do; returns how many cases were measured.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn catch_up(&mut self, ledger: &dyn Ledger, catalog: &Catalog, clock: &dyn Clock) -> LedgerResult<usize> {
        let mut cases = 0;
        loop {
            let progress = self.step(ledger, catalog, clock).await?;
            cases += progress.cases;
            if !progress.any() {
                return Ok(cases);
            }
        }
    }

    async fn measure(&mut self, ledger: &dyn Ledger, catalog: &Catalog, config: &str, now: Timestamp) -> LedgerResult<usize> {
        let batch: Vec<Id> = self.queue.iter().take(CASES).copied().collect();
        if batch.is_empty() {
            return Ok(0);
        }
        if self.calendars.is_none() {
            self.calendars = Some(kept_calendars(ledger).await?);
        }
        let lives = ledger.lives(&batch).await?;
        self.look_at_pace(ledger, &lives, now).await?;
        let again = repeats(ledger, &lives, true).await?;
        let kept = self.calendars.clone().unwrap_or_default();
        let clocks = clocks_over(catalog, &kept, &lives, now);
        let with = Yardstick { catalog, clocks: &clocks };
        let mut writes = Vec::with_capacity(lives.len());
        for mut life in lives {
            let again_at = again.get(&life.id).and_then(|a| a.next);
            let mut case = Case::of(&life, with, again_at);
            let mut said = None;
            if life.forecast.is_none() && case.closed.is_none() && case.filed.is_some() {
                let pace = self.pace.get(&life.dim.admin_group);
                said = pace.and_then(|pace| pace.forecast(catalog, &life.dim, &case, now));
                if said.is_some() {
                    life.forecast = said;
                    case = Case::of(&life, with, again_at);
                }
            }
            // An order that comes again tells of the one before it. This process need not look for it.
            let comes = life.kept.as_ref().is_none_or(|kept| kept.seq < 0);
            let repeats = again.get(&life.id).filter(|_| comes).and_then(|a| a.before);
            self.queue.extend(repeats);
            let write = CaseWrite { forecast: said, repeats, ..write(&life, &case, config) };
            writes.push(write);
        }
        let n = writes.len();
        ledger.keep_cases(writes, todays(catalog)).await?;
        for id in batch {
            self.queue.remove(&id);
        }
        Ok(n)
    }

    /// How groups work of late, looked at now and then.
    async fn look_at_pace(&mut self, ledger: &dyn Ledger, lives: &[LifeRow], now: Timestamp) -> LedgerResult<()> {
        let fresh = self.pace_at.is_some_and(|at| now.ms_since(at) < PACE_MS);
        if !self.settled || fresh || !lives.iter().any(|l| l.forecast.is_none()) {
            return Ok(());
        }
        self.pace_at = Some(now);
        self.pace = paces(ledger, now).await?;
        Ok(())
    }
}

/// Some persons whose revocations changed; returns how many were looked at.
async fn leavers(ledger: &dyn Ledger) -> LedgerResult<usize> {
    let asked = ledger.dirty(PERSONS).await?.into_iter();
    let asked: Vec<Dirty> = asked.filter(|dirty| dirty.place.kind == Kind::Person).collect();
    if asked.is_empty() {
        return Ok(0);
    }
    let persons: Vec<i64> = asked.iter().map(|dirty| dirty.place.at).collect();
    let dims: HashMap<i64, Dim> = ledger.dims(&CellFilter::default()).await?.into_iter().map(|dim| (dim.id, dim)).collect();
    let before: HashMap<i64, LeaverRow> = ledger.leavers(&persons).await?.into_iter().map(|row| (row.person, row)).collect();
    let marks = ledger.marks(Kind::Person, &persons).await?;
    let dim_of: HashMap<Id, i64> = marks.iter().map(|m| (m.id, m.place.dim)).collect();
    let (mut kept, mut gone, mut dirty) = (Vec::new(), Vec::new(), Vec::new());
    for person in &persons {
        let members = ledger.members(Kind::Person, *person, None, Id(i64::MIN), MEMBERS).await?;
        let revocations: Vec<Revocation> = members
            .into_iter()
            .filter_map(|m| {
                let dim = *dim_of.get(&m.id)?;
                let operation = dims.get(&dim).and_then(|d| Operation::parse(&d.operation));
                Some(Revocation { id: m.id, dim, operation, case: Case::read(&m.body)? })
            })
            .collect();
        let now = leaving(*person, &revocations);
        let was = before.get(person).copied();
        if now == was {
            continue;
        }
        dirty.extend(now.iter().chain(&was).flat_map(places));
        match now {
            Some(row) => kept.push(row),
            None => gone.push(*person),
        }
    }
    ledger.keep_leavers(kept, gone, dirty, asked).await?;
    Ok(persons.len())
}

/// Calendars that counted before, by version.
pub(super) async fn kept_calendars<R: Rollups + ?Sized>(ledger: &R) -> LedgerResult<BTreeMap<String, Calendar>> {
    let kept = ledger.calendars().await?;
    Ok(kept
        .into_iter()
        .filter_map(|k| Some((k.version.clone(), Calendar::from_content(&k.name, &k.version, &k.content)?)))
        .collect())
}

fn todays(catalog: &Catalog) -> Vec<KeptCalendar> {
    let kept = |c: &Calendar| KeptCalendar { version: c.version.clone(), name: c.name.clone(), content: c.content() };
    catalog.calendars.values().map(kept).collect()
}

/// Clocks over every instant of these lives.
pub(super) fn clocks_over<'a>(
    catalog: &'a Catalog,
    kept: &BTreeMap<String, Calendar>,
    lives: &[LifeRow],
    now: Timestamp,
) -> Clocks<'a> {
    let row = |l: &LifeRow| {
        [l.requested_at, l.approved_at, Some(l.received_at), l.eligible_at, l.told.closed, l.told.reported, l.told.first_work]
    };
    let all = || lives.iter().flat_map(row).flatten().chain(lives.iter().flat_map(|l| l.steps.iter().map(|s| s.happened_at)));
    let (first, last) = (all().min().unwrap_or(now), all().max().unwrap_or(now).max(now));
    Clocks::with(catalog, kept, first, last)
}

/// Orders of the same right for the same person around one.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Around {
    /// When the next one arrived.
    pub(super) next: Option<Timestamp>,
    /// The one before.
    before: Option<Id>,
}

/// Repetitions of orders, by the digests of their lanes; `counting`: these lives are about to be kept.
pub(super) async fn repeats<R: Rollups + ?Sized>(
    ledger: &R,
    lives: &[LifeRow],
    counting: bool,
) -> LedgerResult<HashMap<Id, Around>> {
    let lane = |l: &LifeRow| crate::model::key::stable_number(&["lane", &l.lane, &l.dim.operation]);
    let digests: HashSet<i64> = lives.iter().map(lane).collect();
    let digests: Vec<i64> = digests.into_iter().collect();
    let mut by_lane: HashMap<i64, BTreeSet<(Timestamp, Id)>> = HashMap::new();
    for mark in ledger.marks(Kind::Lane, &digests).await? {
        by_lane.entry(mark.place.at).or_default().insert((mark.exact, mark.id));
    }
    // Those of this batch are not kept yet.
    for life in lives.iter().filter(|_| counting) {
        by_lane.entry(lane(life)).or_default().insert((life.received_at, life.id));
    }
    let around = |l: &LifeRow| {
        let all = by_lane.get(&lane(l))?;
        let me = (l.received_at, l.id);
        let next = all.range(me..).find(|other| **other > me).map(|(at, _)| *at);
        Some((l.id, Around { next, before: all.range(..me).next_back().map(|(_, id)| *id) }))
    };
    Ok(lives.iter().filter_map(around).collect())
}

/// What to write of a case: only what differs from what was kept.
fn write(life: &LifeRow, case: &Case, config: &str) -> CaseWrite {
    let now: BTreeMap<Place, Mark> = case.marks(life.id, life.dim.id).into_iter().map(|m| (m.place, m)).collect();
    // One that is made again from nothing has no marks.
    let kept = life.kept.as_ref().filter(|k| k.seq >= 0);
    let was: BTreeMap<Place, Mark> = kept
        .and_then(|k| Some(Case::read(&k.body)?.marks(life.id, k.dim)))
        .unwrap_or_default()
        .into_iter()
        .map(|m| (m.place, m))
        .collect();
    let body = case.body();
    let changed = kept.is_none_or(|k| k.body != body || k.dim != life.dim.id);
    let differs = |place: &Place| changed || now.get(place) != was.get(place);
    let both: BTreeSet<Place> = now.keys().chain(was.keys()).copied().collect();
    CaseWrite {
        id: life.id,
        seq: life.seq,
        dim: life.dim.clone(),
        open: case.is_open(),
        config: config.to_owned(),
        body,
        before: life.kept.as_ref().map(|kept| kept.body.clone()),
        gone: was.values().filter(|m| !now.contains_key(&m.place)).copied().collect(),
        come: now.values().filter(|m| was.get(&m.place) != Some(m)).copied().collect(),
        dirty: both.into_iter().filter(differs).filter_map(asks_for).collect(),
        repeats: None,
        forecast: None,
    }
}

/// What a change at a place asks for: its sum, or a look at its person.
fn asks_for(place: Place) -> Option<Place> {
    match place.kind {
        Kind::Person => Some(Place { dim: 0, ..place }),
        kind => kind.counts().then_some(place),
    }
}

/// How groups worked of late, by group.
async fn paces<R: Rollups + ?Sized>(ledger: &R, now: Timestamp) -> LedgerResult<HashMap<String, Pace>> {
    let all = CellFilter::default();
    let dims: HashMap<i64, Dim> = ledger.dims(&all).await?.into_iter().map(|d| (d.id, d)).collect();
    let since = now.plus_ms(-LOOKED_BACK_DAYS * DAY_MS);
    let mut paces: HashMap<String, Pace> = HashMap::new();
    let mut closed: HashMap<i64, Cell> = HashMap::new();
    for row in ledger.cells(Kind::Closed, since, now, &all, false).await? {
        closed.entry(row.place.dim).or_default().merge(&Cell::kept(&row));
    }
    for (dim, cell) in closed {
        if let Some(dim) = dims.get(&dim).filter(|_| cell.count(Count::Closed) > 0) {
            paces.entry(dim.admin_group.clone()).or_default().add_closed(dim, &cell);
        }
    }
    for row in ledger.cells(Kind::Open, Timestamp(i64::MIN), now, &all, false).await? {
        if let Some(dim) = dims.get(&row.place.dim) {
            paces.entry(dim.admin_group.clone()).or_default().add_open(row.n);
        }
    }
    Ok(paces)
}
