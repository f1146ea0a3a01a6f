//! The stages. They meet only in the ledger; each is a step function that `runtime/` loops and tests call.

pub mod answer;
pub mod breaker;
pub mod complete;
pub mod deadline;
pub mod dispatch;
pub mod health;
pub mod intake;
pub mod lanes;
pub mod pause;
pub mod plan;
mod pump;
pub mod quiet;
pub mod reconcile;
pub mod room;
pub mod sync;
pub mod turn;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::desk::Desk;
use crate::http::{CallError, gate};
use crate::ledger::{End, Leased, QuietOf};
use crate::model::{Timestamp, random};
use crate::plan::Planner;
use crate::source::Source;

pub use breaker::Breakers;
pub use health::{Health, Work, edge_answers, edge_fails};
pub use lanes::Lanes;
pub use pause::Pauses;
pub use plan::Foresight;
pub use quiet::Quiets;
pub use room::Rooms;
pub use turn::Planning;

/// Everything one checked catalog makes: swapped whole when the configuration changes.
#[derive(Debug)]
pub struct Setup {
    /// The catalog itself.
    pub catalog: Arc<Catalog>,
    /// Its pure rules and templates.
    pub planner: Arc<Planner>,
    /// Sources by name.
    pub sources: BTreeMap<String, Arc<dyn Source>>,
    /// Desks by name.
    pub desks: BTreeMap<String, Arc<dyn Desk>>,
}

impl Setup {
    /// Every edge, as the ledger names them.
    pub fn edges(&self) -> impl Iterator<Item = String> {
        let desks = self.desks.keys().map(|name| format!("desk/{name}"));
        desks.chain(self.sources.keys().map(|name| format!("source/{name}")))
    }

    /// Sources whose platforms are told how far their orders are.
    #[must_use]
    pub fn told_progress(&self) -> BTreeSet<String> {
        let told = self.sources.iter().filter(|(_, source)| source.info().capabilities.hears_progress());
        told.map(|(name, _)| name.clone()).collect()
    }
}

impl QuietOf for Setup {
    fn quiet_ms(&self, edge: &str) -> i64 {
        match edge.split_once('/') {
            Some(("desk", name)) => self.desks.get(name).map_or(0, |desk| desk.info().quiet_ms()),
            Some(("source", name)) => self.sources.get(name).and_then(|s| s.info().confirm_quiet_ms).unwrap_or(0),
            _ => 0,
        }
    }
}

/// How long an errand waits before it is tried, or asked about, again; a wish of the other side counts.
fn wait_ms(setup: &Setup, errand: &Leased, asked_ms: Option<i64>) -> i64 {
    let failures = errand.failures.max(errand.misses) + 1;
    setup.catalog.main.retry.schedule().wait_ms(failures, asked_ms, random::u64())
}

/// How long the witnesses of a call are not asked (again): sooner than it would be sent again, since how often it failed
/// before says nothing about them. The look that counts is the one after the quiet period.
fn ask_ms(setup: &Setup, errand: &Leased, quiet_ms: i64) -> i64 {
    wait_ms(setup, errand, None).min(quiet_ms.max(1_000))
}

/// A witness that could not be asked has seen nothing, and has not missed anything either.
fn unheard(setup: &Setup, errand: &Leased, error: &CallError, quiet_ms: i64, now: Timestamp) -> End {
    let ask_ms = match error {
        CallError::Reject { code, reason } => return End::Park { code: (*code).to_owned(), reason: reason.clone() },
        // It was not asked at all.
        CallError::Retry { code: "E-BUSY" | gate::HELD, .. } => wait_ms(setup, errand, error.asked_ms()),
        _ => ask_ms(setup, errand, quiet_ms),
    };
    End::Unheard { ask_at: now.plus_ms(ask_ms) }
}

/// Who leases: differs between processes and between starts of one.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Written to every lease and attempt.
    pub owner: String,
    /// What fails on this process's edges.
    pub health: Arc<Health>,
    /// Which edges asked for patience.
    pub pauses: Arc<Pauses>,
    /// Quiet periods that run.
    pub quiets: Arc<Quiets>,
    /// Whose turn it is to plan.
    pub planning: Arc<Planning>,
    /// Places at desks with room.
    pub rooms: Arc<Rooms>,
    /// Lanes of which orders are being recorded.
    pub lanes: Arc<Lanes>,
}

impl Worker {
    /// A name nobody had before.
    #[must_use]
    pub fn new() -> Self {
        let token = random::token();
        let owner = format!("worker-{}", &token[..12]);
        Self {
            owner,
            health: Arc::default(),
            pauses: Arc::default(),
            quiets: Arc::default(),
            planning: Arc::default(),
            rooms: Arc::default(),
            lanes: Arc::default(),
        }
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self::new()
    }
}
