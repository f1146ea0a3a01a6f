//! The stages. They meet only in the ledger; each is a step function that `runtime/` loops and tests call.

pub mod breaker;
pub mod complete;
pub mod dispatch;
pub mod intake;
pub mod plan;
pub mod sync;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::desk::Desk;
use crate::http::CallError;
use crate::ledger::{Ledger, LedgerResult, QuietOf, Trouble};
use crate::model::Timestamp;
use crate::plan::Planner;
use crate::source::Source;

pub use breaker::Breakers;

/// Everything one checked catalog makes: swapped whole when the configuration changes.
#[derive(Debug)]
pub struct Setup {
    /// The catalog itself.
    pub catalog: Arc<Catalog>,
    /// Its pure rules and templates.
    pub planner: Planner,
    /// Sources by name.
    pub sources: BTreeMap<String, Arc<dyn Source>>,
    /// Desks by name.
    pub desks: BTreeMap<String, Arc<dyn Desk>>,
}

impl QuietOf for Setup {
    fn quiet_ms(&self, edge: &str) -> i64 {
        edge.strip_prefix("desk/").and_then(|name| self.desks.get(name)).map_or(0, |desk| desk.info().quiet_ms())
    }
}

/// Notes that an edge fails as a whole, and says so once: it stands on the operations page until it answers.
///
/// # Errors
/// The ledger is not available.
pub async fn edge_fails(ledger: &dyn Ledger, edge: &str, error: &CallError, now: Timestamp) -> LedgerResult<()> {
    metrics::gauge!("lastmile_edge_failing", "edge" => edge.to_owned()).set(1.0);
    let trouble = Trouble { code: error.code().to_owned(), reason: error.reason().to_owned() };
    if ledger.edge(edge, Some(trouble), now).await? {
        tracing::warn!(edge, code = error.code(), reason = error.reason(), "an edge fails; it is tried again until it answers");
    }
    Ok(())
}

/// Notes that an edge answers.
///
/// # Errors
/// The ledger is not available.
pub async fn edge_answers(ledger: &dyn Ledger, edge: &str, now: Timestamp) -> LedgerResult<()> {
    metrics::gauge!("lastmile_edge_failing", "edge" => edge.to_owned()).set(0.0);
    if ledger.edge(edge, None, now).await? {
        tracing::info!(edge, "the edge answers again");
    }
    Ok(())
}

/// Who leases: differs between processes and between starts of one.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Written to every lease and attempt.
    pub owner: String,
}

impl Worker {
    /// A name nobody had before.
    #[must_use]
    pub fn new() -> Self {
        let token = crate::model::random::token();
        Self { owner: format!("worker-{}", &token[..12]) }
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self::new()
    }
}
