//! Sums read and put together: by what a report is cut by, and by the parts of its trend.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::Point;
use crate::kpi::case::Stage;
use crate::kpi::cell::{Cell, Count};
use crate::kpi::days::Step;
use crate::kpi::measure::{Attainment, Line, Spread, Sums, percent};
use crate::kpi::small::Small;
use crate::kpi::window::{self, CUTS, LEAVERS, WHOLE};
use crate::ledger::LedgerResult;
use crate::ledger::rollups::{CellFilter, Dim, Kind, Rollups, Starts};
use crate::ledger::views::BacklogRow;
use crate::model::Timestamp;

/// Whether nothing is left out.
fn is_everything(filter: &CellFilter) -> bool {
    let CellFilter { scope, application, admin_group, operation, desk, dim } = filter;
    scope.is_none() && dim.is_none() && [application, admin_group, operation, desk].iter().all(|one| one.is_none())
}

/// Sums read for a report.
pub(super) struct Gathered {
    dims: HashMap<i64, Dim>,
    /// By what they are cut by.
    pub(super) sums: BTreeMap<i64, Sums>,
    /// By start of day, week or month.
    closed: BTreeMap<i64, Cell>,
    arrived: BTreeMap<i64, i64>,
    step: Step,
}

impl Gathered {
    pub(super) async fn read<R: Rollups + ?Sized>(
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
        let everything = is_everything(filter) && groups.is_empty();
        let cuts: Option<Vec<i64>> = (!everything).then(|| gathered.dims.keys().copied().collect());
        let ahead = window::kept(ledger, cuts.as_deref(), from, to).await?;
        // What was added up ahead is read for the figures, and the trend needs the main sketches of its parts alone: else both
        // are made of the same rows. Of everything, there is one sum a day.
        if let Some(ahead) = ahead {
            let sums = if everything { &WHOLE } else { &CUTS };
            gathered.read_parts(ledger, sums.places((from, to), gathered.step), cuts.as_deref(), false).await?;
            for (dim, ahead) in ahead {
                let sums = gathered.sum(dim);
                (sums.closed, sums.leavers, sums.arrived) = (ahead.closed, ahead.leavers, ahead.arrived);
            }
        } else {
            gathered.read_parts(ledger, CUTS.places((from, to), gathered.step), cuts.as_deref(), true).await?;
            let places = LEAVERS.places((from, to), Step::Month);
            for row in ledger.cells_at(&places, cuts.as_deref(), true).await? {
                gathered.sum(row.place.dim).leavers.merge(&Cell::kept(&row));
            }
        }
        for row in ledger.cells_at(&[(Kind::Now, vec![0])], cuts.as_deref(), false).await? {
            if let Some(now) = row.main.as_deref().and_then(|main| serde_json::from_str(main).ok()) {
                gathered.sum(row.place.dim).now = now;
            }
        }
        let dims = &gathered.dims;
        gathered.sums.retain(|dim, _| dims.contains_key(dim));
        Ok(gathered)
    }

    /// Reads the parts of the period for the trend, and for the figures where these are not added up ahead.
    async fn read_parts<R: Rollups + ?Sized>(
        &mut self,
        ledger: &R,
        places: Vec<Starts>,
        cuts: Option<&[i64]>,
        figures: bool,
    ) -> LedgerResult<()> {
        for row in ledger.cells_at(&places, cuts, figures).await? {
            let (cell, bucket) = (Cell::kept(&row), self.step.start(row.place.at));
            let arrived = row.n - cell.count(Count::Closed);
            *self.arrived.entry(bucket).or_default() += arrived;
            self.closed.entry(bucket).or_default().merge(&cell);
            if figures {
                let sums = self.sum(row.place.dim);
                sums.closed.merge(&cell);
                sums.arrived += arrived;
            }
        }
        Ok(())
    }

    fn sum(&mut self, dim: i64) -> &mut Sums {
        self.sums.entry(dim).or_default()
    }

    /// Groups with figures.
    pub(super) fn groups(&self) -> BTreeSet<&str> {
        self.sums.keys().filter_map(|dim| Some(self.dims.get(dim)?.admin_group.as_str())).collect()
    }

    /// Applications and operations with figures.
    pub(super) fn orders(&self) -> BTreeSet<(String, String)> {
        let of = |dim: &i64| self.dims.get(dim).map(|dim| (dim.application_id.clone(), dim.operation.clone()));
        self.sums.keys().filter_map(of).collect()
    }

    /// One line per id, by name; small ones together in a last line.
    pub(super) fn lines(&self, small: &Small, what: &str, id_and_name: fn(&Dim) -> (&str, &str)) -> Vec<Line> {
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

    pub(super) fn trend(&self, from: Timestamp, to: Timestamp) -> Vec<Point> {
        let (none, mut points, mut at) = (Cell::default(), Vec::new(), self.step.start(from.0));
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

    pub(super) fn backlog(&self) -> Vec<BacklogRow> {
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
pub(super) fn bare(line: Line) -> Line {
    Line { id: line.id, name: line.name, flow: line.flow, ..Line::default() }
}
