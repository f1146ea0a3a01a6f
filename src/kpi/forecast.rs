//! By when an order is expected to be closed: from the group's own recent times and its backlog. Pure.

use std::collections::HashMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::case::{Case, Stage};
use super::cell::{Cell, Count};
use super::days::DAY_MS;
use super::measure::MIN_FOR_PERCENTILE;
use crate::catalog::Catalog;
use crate::ledger::rollups::{Dim, Forecast};
use crate::model::Timestamp;
use crate::plan::business;

/// How far back a group's own times are looked at, days.
pub const LOOKED_BACK_DAYS: i64 = 90;
/// A backlog stretches a forecast by so much at most, and a small one shortens it by no more than half.
const LOAD: (i64, i64) = (50, 300);

/// What a group did of late, for one operation on one application, or for all its work.
#[derive(Debug, Clone, Default)]
pub struct Pace {
    closed: Cell,
    open: i64,
    per_operation: HashMap<(String, String), Cell>,
}

impl Pace {
    /// Adds what was closed of one cut.
    pub fn add_closed(&mut self, dim: &Dim, cell: &Cell) {
        self.closed.merge(cell);
        self.per_operation.entry((dim.application_id.clone(), dim.operation.clone())).or_default().merge(cell);
    }

    /// Adds what is open.
    pub fn add_open(&mut self, n: i64) {
        self.open += n;
    }

    /// The backlog now against the usual one, percent: by Little's law, what is open on average is what is closed in a
    /// time times how long it takes.
    fn load_percent(&self) -> i64 {
        let took = self.closed.took(Stage::Provisioning, false);
        let usual = took.sum() / (LOOKED_BACK_DAYS * DAY_MS / 100).max(1);
        if usual <= 0 { 100 } else { (self.open * 10_000 / usual).clamp(LOAD.0, LOAD.1) }
    }

    /// Half and nine of ten of it take so long, milliseconds by the clock; none from too few cases.
    fn times(&self, dim: &Dim, business: bool) -> Option<(i64, i64)> {
        let own = self.per_operation.get(&(dim.application_id.clone(), dim.operation.clone()));
        let enough = |cell: &&Cell| cell.took(Stage::Provisioning, business).n() >= MIN_FOR_PERCENTILE as u64;
        let cell = own.filter(enough).or_else(|| Some(&self.closed).filter(enough))?;
        let took = cell.took(Stage::Provisioning, business);
        Some((took.percentile(50)?, took.percentile(90)?))
    }

    /// By when this case, whose ticket is new, is expected; none where too little is known.
    #[must_use]
    pub fn forecast(&self, catalog: &Catalog, dim: &Dim, case: &Case, now: Timestamp) -> Option<Forecast> {
        let from = case.eligible?.max(case.filed?);
        let load = self.load_percent();
        let stretched = |ms: i64| ms.saturating_mul(load) / 100;
        let calendar = catalog.calendar_of(&dim.admin_group);
        let by = |half: i64, nine: i64, at: &dyn Fn(i64) -> Option<Timestamp>| {
            Some(Forecast { made_at: now, half_by: at(stretched(half))?, nine_by: at(stretched(nine))? })
        };
        if let (Some(calendar), Some((half, nine))) = (calendar, self.times(dim, true)) {
            return by(half, nine, &|ms| business::after(calendar, from, ms));
        }
        let (half, nine) = self.times(dim, false)?;
        by(half, nine, &|ms| Some(from.plus_ms(ms)))
    }
}

/// How often forecasts came true.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct HitRate {
    /// Closed cases with a forecast.
    pub n: i64,
    /// Closed by the time that half was expected by: about half of them, if forecasts are good.
    pub half: i64,
    /// Closed by the time that nine of ten were expected by.
    pub nine: i64,
}

impl HitRate {
    /// Of a sum.
    #[must_use]
    pub fn of(cell: &Cell) -> Self {
        Self { n: cell.count(Count::Forecast), half: cell.count(Count::HalfHit), nine: cell.count(Count::NineHit) }
    }
}
