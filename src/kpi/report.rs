//! What KPI pages, API and exports show: figures of a period, from the sums that `rollup` keeps.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::case::{Case, DAY_MS, HOUR_MS, Stage, Verdict, day, hour, sign};
use super::cell::{Cell, Count};
use super::clocks::CalendarStamp;
use super::measure::{Attainment, Line, Spread, Sums, percent};
use super::rollup::{decoded, month, month_after};
use super::small::Small;
use super::window;
use crate::catalog::{Catalog, ClockKind};
use crate::ledger::rollups::{Behind, CellFilter, CellRow, Dim, Kind, Rollups, Sought};
use crate::ledger::views::{BacklogRow, Scope};
use crate::ledger::{Exports, LedgerResult};
use crate::model::{Id, Operation, Outcome, Timestamp};

/// Rows behind a figure, at most.
pub const MOST_BEHIND: i64 = 50_000;
/// Rows looked at in one part: never all of a long list at once.
const PART_BEHIND: i64 = 5_000;
/// And no fewer than this where a list takes only some.
const LEAST_BEHIND: i64 = 100;
/// The trend of so many days is told by days, of so many more by weeks from Monday to Sunday, else by months.
const BY_DAY: i64 = 14;
const BY_WEEK: i64 = 92;
/// Sums of whole months take part in longer periods.
const WITHIN_MONTHS: i64 = 31;

/// Which report.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// Closed in the last days, today included (days of UTC): 1 to 366, else 30.
    #[param(minimum = 1, maximum = 366)]
    pub days: Option<i64>,
    /// Instead of the last days: from this day of UTC on, like `2026-11-01`.
    #[serde(default, deserialize_with = "a_day")]
    #[param(value_type = Option<String>)]
    pub from: Option<NaiveDate>,
    /// Up to and with this day of UTC; left out with `from` given: today. At most 366 days.
    #[serde(default, deserialize_with = "a_day")]
    #[param(value_type = Option<String>)]
    pub to: Option<NaiveDate>,
    /// Only of this application, by id.
    pub application: Option<String>,
    /// Only of this admin group.
    pub admin_group: Option<String>,
    /// Only of these admin groups: scheduled reports name several.
    #[serde(skip)]
    #[param(ignore)]
    pub admin_groups: Vec<String>,
    /// Only of this operation, like `grant`.
    pub operation: Option<String>,
    /// Only of this desk.
    pub desk: Option<String>,
    /// The clock that a page shows, `elapsed` or `business`; answers as data hold both.
    #[param(value_type = Option<String>)]
    pub clock: Option<ClockKind>,
    /// Which of the assignments behind the figures, where those are asked for; all closed ones unless said.
    #[param(inline)]
    pub which: Option<Which>,
}

/// A day like `2026-11-01`; an empty field of a form is none.
///
/// # Errors
/// Words that say how a day is written.
pub fn a_day<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<NaiveDate>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?.unwrap_or_default();
    if text.trim().is_empty() {
        return Ok(None);
    }
    text.trim().parse().map(Some).map_err(|_| serde::de::Error::custom("a day is written like 2026-11-01"))
}

impl Asked {
    /// The period, days, where it is one of the last days.
    #[must_use]
    pub fn days(&self) -> i64 {
        self.days.unwrap_or(30).clamp(1, 366)
    }

    /// The period: from the start of its first day up to the end of today.
    #[must_use]
    pub fn period(&self, now: Timestamp) -> (Timestamp, Timestamp) {
        let tomorrow = day(now) + DAY_MS;
        let start = |date: NaiveDate| date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis();
        let end = self.to.map_or(tomorrow, |last| (start(last) + DAY_MS).min(tomorrow));
        let from = self.from.map_or(end - self.days() * DAY_MS, start);
        (Timestamp(from.clamp(end - 366 * DAY_MS, end - DAY_MS)), Timestamp(end))
    }

    /// What it narrows to, within the reader's scope.
    #[must_use]
    pub fn filter(&self, scope: &Scope) -> CellFilter {
        let given = |v: &Option<String>| v.clone().filter(|t| !t.trim().is_empty());
        CellFilter {
            scope: scope.clone(),
            application: given(&self.application),
            admin_group: given(&self.admin_group),
            operation: given(&self.operation),
            desk: given(&self.desk),
            dim: None,
        }
    }
}

/// Assignments behind a figure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// Closed in the period.
    #[default]
    Closed,
    /// Closed in the period, later than their target.
    Late,
    /// Open now, past their target.
    Overdue,
    /// Open now.
    Open,
    /// Came in the period.
    Arrived,
    /// Closed in the period, opened again before.
    Reopened,
    /// Closed in the period as cancelled.
    Cancelled,
    /// Closed in the period, taken back by the platform.
    Withdrawn,
    /// Closed in the period, given to another group on the way.
    Rerouted,
    /// Closed in the period, not right the first time.
    NotRight,
    /// Closed in the period, before the day it was ordered for.
    Premature,
    /// Closed in the period, after the day it was ordered for.
    DateMissed,
    /// Open now, past the day it was ordered for.
    DateOverdue,
    /// Closed in the period, worked on before the last approval.
    Unapproved,
    /// Closed in the period, paused on the way.
    Paused,
    /// Closed in the period, with trouble between the systems.
    Troubled,
    /// Not closed now, with trouble between the systems.
    TroubledOpen,
    /// Open now, although the access was to end.
    Expired,
    /// The order that was last when a person left in the period.
    Leavers,
}

impl Which {
    /// Every list.
    pub const ALL: [Self; 19] = [
        Self::Closed,
        Self::Late,
        Self::Overdue,
        Self::Open,
        Self::Arrived,
        Self::Reopened,
        Self::Cancelled,
        Self::Withdrawn,
        Self::Rerouted,
        Self::NotRight,
        Self::Premature,
        Self::DateMissed,
        Self::DateOverdue,
        Self::Unapproved,
        Self::Paused,
        Self::Troubled,
        Self::TroubledOpen,
        Self::Expired,
        Self::Leavers,
    ];

    /// The word in an address.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Late => "late",
            Self::Overdue => "overdue",
            Self::Open => "open",
            Self::Arrived => "arrived",
            Self::Reopened => "reopened",
            Self::Cancelled => "cancelled",
            Self::Withdrawn => "withdrawn",
            Self::Rerouted => "rerouted",
            Self::NotRight => "not_right",
            Self::Premature => "premature",
            Self::DateMissed => "date_missed",
            Self::DateOverdue => "date_overdue",
            Self::Unapproved => "unapproved",
            Self::Paused => "paused",
            Self::Troubled => "troubled",
            Self::TroubledOpen => "troubled_open",
            Self::Expired => "expired",
            Self::Leavers => "leavers",
        }
    }

    /// For people.
    #[must_use]
    pub fn human(self) -> &'static str {
        match self {
            Self::Closed => "Closed in the period",
            Self::Late => "Closed too late",
            Self::Overdue => "Open and overdue",
            Self::Open => "Open now",
            Self::Arrived => "Came in the period",
            Self::Reopened => "Opened again",
            Self::Cancelled => "Cancelled",
            Self::Withdrawn => "Taken back",
            Self::Rerouted => "Given to another group",
            Self::NotRight => "Not right the first time",
            Self::Premature => "Done before their day",
            Self::DateMissed => "Done after their day",
            Self::DateOverdue => "Open past their day",
            Self::Unapproved => "Worked on before approval",
            Self::Paused => "Paused on the way",
            Self::Troubled => "Closed with trouble between the systems",
            Self::TroubledOpen => "Open with trouble between the systems",
            Self::Expired => "Open although access was to end",
            Self::Leavers => "Last order of persons who left",
        }
    }

    /// Whether it lists what is open, longest waiting first.
    #[must_use]
    pub fn is_open(self) -> bool {
        matches!(self, Self::Overdue | Self::Open | Self::TroubledOpen | Self::DateOverdue | Self::Expired)
    }

    fn takes(self, case: &Case, now: Timestamp) -> bool {
        match self {
            Self::Closed
            | Self::Open
            | Self::Arrived
            | Self::Leavers
            | Self::TroubledOpen
            | Self::DateOverdue
            | Self::Expired => true,
            Self::Late => case.verdict(now) == Some(Verdict::Late),
            Self::Overdue => case.verdict(now) == Some(Verdict::Overdue),
            Self::Reopened => case.is(sign::REOPENED),
            Self::Cancelled => case.outcome == Some(Outcome::Cancelled),
            Self::Withdrawn => case.is(sign::WITHDRAWN),
            Self::Rerouted => case.is(sign::REROUTED),
            Self::NotRight => case.is(sign::MEANT) && !case.is(sign::RIGHT),
            Self::Premature => case.is(sign::PREMATURE),
            Self::DateMissed => case.is(sign::DATED) && case.is(sign::MEANT) && !case.is(sign::DATE_KEPT),
            Self::Unapproved => case.is(sign::UNAPPROVED),
            Self::Paused => case.is(sign::PAUSED),
            Self::Troubled => case.trouble != super::case::Trouble::default(),
        }
    }
}

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
    /// Something known since is not counted yet.
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
        let withheld = small.withholds(&gathered.groups());
        let mut all = Sums::default();
        gathered.sums.values().for_each(|sums| all.merge(sums));
        let groups: Vec<&str> = gathered.sums.keys().filter_map(|d| Some(gathered.dims.get(d)?.admin_group.as_str())).collect();
        let calendars: BTreeMap<&str, CalendarStamp> =
            groups.iter().filter_map(|group| catalog.calendar_of(group)).map(|c| (c.name.as_str(), c.into())).collect();
        Ok(Self {
            days: to.ms_since(from) / DAY_MS,
            from,
            to,
            as_of: rolled.as_of(now),
            behind: rolled.behind,
            accuracy_percent: 1,
            all: if withheld { bare(all.line("", "All together")) } else { all.line("", "All together") },
            applications: gathered.lines(&small, "applications", |d| (&d.application_id, &d.application_name)),
            groups: gathered.lines(&small, "admin groups", |d| (&d.admin_group, &d.admin_group)),
            operations: gathered.lines(&small, "operations", |d| (&d.operation, operation_name(&d.operation))),
            desks: gathered.lines(&small, "desks", |d| (&d.desk, &d.desk)),
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

/// Whether nothing is left out.
fn is_everything(filter: &CellFilter) -> bool {
    let CellFilter { scope, application, admin_group, operation, desk, dim } = filter;
    scope.is_none() && dim.is_none() && [application, admin_group, operation, desk].iter().all(|one| one.is_none())
}

/// Sums read for a report.
struct Gathered {
    dims: HashMap<i64, Dim>,
    /// By what they are cut by.
    sums: BTreeMap<i64, Sums>,
    /// By start of day, week or month.
    closed: BTreeMap<i64, Cell>,
    arrived: BTreeMap<i64, i64>,
    step: Step,
}

/// What the trend is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Day,
    Week,
    Month,
}

impl Step {
    fn of(from: Timestamp, to: Timestamp) -> Self {
        match to.ms_since(from) / DAY_MS {
            days if days <= BY_DAY => Self::Day,
            days if days <= BY_WEEK => Self::Week,
            _ => Self::Month,
        }
    }

    /// Start of the one that an instant is in.
    fn start(self, at: i64) -> i64 {
        match self {
            Self::Day => day(Timestamp(at)),
            // The first day of all was a Thursday.
            Self::Week => day(Timestamp(at)) - (at / DAY_MS + 3) % 7 * DAY_MS,
            Self::Month => month(Timestamp(at)),
        }
    }

    fn next(self, start: i64) -> i64 {
        match self {
            Self::Day => start + DAY_MS,
            Self::Week => start + 7 * DAY_MS,
            Self::Month => month_after(start),
        }
    }
}

impl Gathered {
    async fn read<R: Rollups + ?Sized>(
        ledger: &R,
        filter: &CellFilter,
        groups: &[String],
        from: Timestamp,
        to: Timestamp,
    ) -> LedgerResult<Self> {
        // The latest name of an application comes last.
        let found = ledger.dims(filter).await?;
        let mut names: HashMap<String, String> = HashMap::new();
        found.iter().for_each(|d| drop(names.insert(d.application_id.clone(), d.application_name.clone())));
        let named = |d: Dim| (d.id, Dim { application_name: names[&d.application_id].clone(), ..d });
        let wanted = |(_, d): &(i64, Dim)| groups.is_empty() || groups.contains(&d.admin_group);
        let dims: HashMap<i64, Dim> = found.into_iter().map(named).filter(wanted).collect();
        let mut gathered =
            Self { dims, sums: BTreeMap::new(), closed: BTreeMap::new(), arrived: BTreeMap::new(), step: Step::of(from, to) };
        let ahead = window::kept(ledger, filter, from, to).await?;
        let everything = ahead.is_some() && is_everything(filter) && groups.is_empty();
        gathered.read_trend(ledger, filter, (from, to), everything, ahead.is_none()).await?;
        if let Some(ahead) = ahead {
            for (dim, ahead) in ahead {
                let sums = gathered.sum(dim);
                (sums.closed, sums.leavers, sums.arrived) = (ahead.closed, ahead.leavers, ahead.arrived);
            }
        } else {
            for row in periods(ledger, [Kind::Leaver, Kind::LeaverMonth], filter, (from, to), true, true).await? {
                gathered.sum(row.place.dim).leavers.merge(&decoded(&row));
            }
        }
        for row in ledger.cells(Kind::Now, Timestamp(0), Timestamp(1), filter, false).await? {
            if let Some(now) = row.main.as_deref().and_then(|main| serde_json::from_str(main).ok()) {
                gathered.sum(row.place.dim).now = now;
            }
        }
        let dims = &gathered.dims;
        gathered.sums.retain(|dim, _| dims.contains_key(dim));
        Ok(gathered)
    }

    /// The parts of the period. Of everything, there is one sum a day; else, sums of each cut. What was added up ahead is read
    /// for the figures, and the trend needs the main sketches of its parts alone: else both are made of the same rows.
    async fn read_trend<R: Rollups + ?Sized>(
        &mut self,
        ledger: &R,
        filter: &CellFilter,
        period: (Timestamp, Timestamp),
        everything: bool,
        figures: bool,
    ) -> LedgerResult<()> {
        let by_months = self.step == Step::Month;
        if everything {
            for row in periods(ledger, [Kind::Trend, Kind::TrendMonth], filter, period, by_months, false).await? {
                let (cell, bucket) = (decoded(&row), self.bucket(row.place.at));
                *self.arrived.entry(bucket).or_default() += row.n - cell.count(Count::Closed);
                self.closed.entry(bucket).or_default().merge(&cell);
            }
            return Ok(());
        }
        for row in periods(ledger, [Kind::Closed, Kind::ClosedMonth], filter, period, by_months, figures).await? {
            if !self.dims.contains_key(&row.place.dim) {
                continue;
            }
            let cell = decoded(&row);
            self.closed.entry(self.bucket(row.place.at)).or_default().merge(&cell);
            if figures {
                self.sum(row.place.dim).closed.merge(&cell);
            }
        }
        for row in ledger.cells(Kind::Arrived, period.0, period.1, filter, false).await? {
            if !self.dims.contains_key(&row.place.dim) {
                continue;
            }
            *self.arrived.entry(self.bucket(row.place.at)).or_default() += row.n;
            if figures {
                self.sum(row.place.dim).arrived += row.n;
            }
        }
        Ok(())
    }

    fn sum(&mut self, dim: i64) -> &mut Sums {
        self.sums.entry(dim).or_default()
    }

    fn bucket(&self, at: i64) -> i64 {
        self.step.start(at)
    }

    /// Groups with figures.
    fn groups(&self) -> BTreeSet<&str> {
        self.sums.keys().filter_map(|dim| Some(self.dims.get(dim)?.admin_group.as_str())).collect()
    }

    /// One line per id, by name; small ones together in a last line.
    fn lines(&self, small: &Small, what: &str, id_and_name: fn(&Dim) -> (&str, &str)) -> Vec<Line> {
        let mut merged: BTreeMap<&str, (&str, Sums)> = BTreeMap::new();
        let mut groups: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (dim, sums) in &self.sums {
            let Some(dim) = self.dims.get(dim) else { continue };
            let (id, name) = id_and_name(dim);
            let entry = merged.entry(id).or_insert_with(|| (name, Sums::default()));
            entry.1.merge(sums);
            groups.entry(id).or_default().insert(&dim.admin_group);
        }
        let (fold, mut others) = (small.to_fold(&groups), Sums::default());
        merged.retain(|id, (_, sums)| {
            let folded = fold.contains(id);
            if folded {
                others.merge(sums);
            }
            !folded
        });
        let mut lines: Vec<Line> = merged.into_iter().map(|(id, (name, sums))| sums.line(id, name)).collect();
        if !fold.is_empty() {
            let others = others.line("", &format!("{} {what} together", fold.len()));
            lines.push(if small.withholds(&self.groups()) { bare(others) } else { others });
        }
        lines.sort_by(|a, b| (a.name.to_lowercase(), &a.id).cmp(&(b.name.to_lowercase(), &b.id)));
        lines
    }

    fn trend(&self, from: Timestamp, to: Timestamp) -> Vec<Point> {
        let (none, mut points, mut at) = (Cell::default(), Vec::new(), self.bucket(from.0));
        while at < to.0 {
            let next = self.step.next(at);
            let cell = self.closed.get(&at).unwrap_or(&none);
            let (in_target, late) = (cell.count(Count::InTarget), cell.count(Count::Late));
            points.push(Point {
                from: Timestamp(at).max(from),
                to: Timestamp(next).min(to),
                arrived: self.arrived.get(&at).copied().unwrap_or(0),
                closed: cell.count(Count::Closed),
                approval: Spread::of(cell.took(Stage::Approval, false)),
                approval_business: Spread::of(cell.took(Stage::Approval, true)),
                provisioning: Spread::of(cell.took(Stage::Provisioning, false)),
                provisioning_business: Spread::of(cell.took(Stage::Provisioning, true)),
                target: Attainment { in_target, late, overdue_open: 0, percent: percent(in_target, in_target + late) },
            });
            at = next;
        }
        points
    }

    fn backlog(&self) -> Vec<BacklogRow> {
        let mut merged: BTreeMap<(&str, &str), (&str, Sums)> = BTreeMap::new();
        for (dim, sums) in self.sums.iter().filter(|(_, sums)| sums.now.open.n() > 0) {
            let Some(dim) = self.dims.get(dim) else { continue };
            let entry = merged.entry((&dim.application_id, &dim.admin_group));
            entry.or_insert_with(|| (dim.application_name.as_str(), Sums::default())).1.now.merge(&sums.now);
        }
        merged.into_iter().map(|((id, group), (name, sums))| sums.now.open.row((id, name), group)).collect()
    }
}

/// Without anything that tells how fast or how well somebody worked.
fn bare(line: Line) -> Line {
    Line { id: line.id, name: line.name, flow: line.flow, ..Line::default() }
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

/// An assignment behind a figure, and how it counts.
#[derive(Debug, Clone)]
pub struct Shown {
    /// What the ledger says of it.
    pub row: Behind,
    /// As it counts.
    pub case: Case,
}

/// The assignments behind a figure: latest first, open ones longest waiting first; at most [`MOST_BEHIND`] are looked at.
/// Those of small admin groups are left out: see [`Small`].
///
/// # Errors
/// The ledger does not answer.
pub async fn behind<R: Rollups + Exports + ?Sized>(
    ledger: &R,
    catalog: &Catalog,
    scope: &Scope,
    asked: &Asked,
    now: Timestamp,
    limit: i64,
) -> LedgerResult<Vec<Shown>> {
    Ok(found(ledger, catalog, scope, asked, now, limit).await?.rows)
}

/// Assignments behind a figure.
#[derive(Debug, Clone)]
pub struct Found {
    /// As far as they are asked for.
    pub rows: Vec<Shown>,
    /// There may be others: [`MOST_BEHIND`] were looked at.
    pub cut: bool,
}

/// As [`behind`], and whether there may be others.
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
    let takes = |dim: &Dim| {
        small.lists(&dim.admin_group) && (asked.admin_groups.is_empty() || asked.admin_groups.contains(&dim.admin_group))
    };
    let (always, this_hour) = (Timestamp(i64::MIN), Timestamp(hour(now)));
    let (kind, from, to) = match which {
        Which::Overdue => (Kind::Due, always, this_hour),
        Which::Open => (Kind::Open, always, Timestamp(i64::MAX)),
        Which::DateOverdue => (Kind::Dated, always, this_hour),
        Which::Expired => (Kind::Expired, always, this_hour),
        Which::TroubledOpen => (Kind::Troubled, always, Timestamp(i64::MAX)),
        Which::Arrived => (Kind::Arrived, from, to),
        Which::Leavers => {
            let mut shown = leavers(ledger, &filter, from, to, limit).await?;
            shown.retain(|shown| takes(&shown.row.dim));
            return Ok(Found { rows: shown, cut: false });
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

/// The last order of every person who left in the period.
async fn leavers<R: Rollups + ?Sized>(
    ledger: &R,
    filter: &CellFilter,
    from: Timestamp,
    to: Timestamp,
    limit: i64,
) -> LedgerResult<Vec<Shown>> {
    let seen: HashMap<i64, Dim> = ledger.dims(filter).await?.into_iter().map(|d| (d.id, d)).collect();
    let mut shown = Vec::new();
    for leaver in ledger.leavers_between(from, to, None).await?.into_iter().rev().filter(|l| seen.contains_key(&l.dim)) {
        if i64::try_from(shown.len()).unwrap_or(i64::MAX) >= limit.min(MOST_BEHIND) {
            break;
        }
        let id = Id(leaver.id);
        let (Some(row), (Some(kept), _)) = (ledger.named(id).await?, ledger.case(id).await?) else { continue };
        if let Some(case) = Case::read(&kept.body) {
            shown.push(Shown { row: Behind { exact: leaver.left_at, ..row }, case });
        }
    }
    Ok(shown)
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
    let mut hours = ledger.cells(Kind::LeaverOpen, Timestamp(0), Timestamp(i64::MAX), &asked.filter(scope), false).await?;
    hours.sort_by_key(|cell| (cell.place.at, cell.place.dim));
    let mut shown = Vec::new();
    for cell in hours {
        let (hour, dim) = (Timestamp(cell.place.at), cell.place.dim);
        if shown.len() >= limit {
            break;
        }
        for leaver in ledger.leavers_between(hour, hour.plus_ms(HOUR_MS), Some(dim)).await? {
            let id = Id(leaver.id);
            let (Some(row), (Some(kept), _)) = (ledger.named(id).await?, ledger.case(id).await?) else { continue };
            if let Some(case) = Case::read(&kept.body).filter(|_| leaver.waiting > 0 && small.lists(&row.dim.admin_group)) {
                shown.push(Shown { row: Behind { exact: leaver.left_at, ..row }, case });
            }
        }
    }
    shown.truncate(limit);
    Ok(shown)
}
