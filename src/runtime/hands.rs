//! What a loop has in its hands.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use super::replica::{self, Presence, Taken};
use super::wake::Wake;
use crate::flow::{Breakers, Setup, Worker};
use crate::ledger::{Ledger, LedgerResult};
use crate::model::Clock;

/// Longest sleep of a loop that was not woken, milliseconds.
pub(super) const LOOK_EVERY_MS: i64 = 500;
/// The same as a span.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(LOOK_EVERY_MS.unsigned_abs());

/// What a loop's step needs besides its edge.
#[derive(Clone)]
pub(super) struct Hands {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) setup: Arc<ArcSwap<Setup>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) worker: Worker,
    pub(super) breakers: Arc<Breakers>,
    pub(super) wake: Wake,
    pub(super) presence: Arc<Presence>,
}

impl Hands {
    /// A desk with room plans what arrives, and leases it in the same commit (`dispatch`): then the planning stage only looks,
    /// by time, for what was left.
    pub(super) fn leaves_planning_to_a_desk(&self, looked: &Mutex<Option<Instant>>) -> bool {
        let (mut looked, setup) = (looked.lock().unwrap_or_else(PoisonError::into_inner), self.setup.load());
        let lately = looked.is_some_and(|at| at.elapsed() < LOOK_EVERY);
        let leaves = lately && self.worker.planning.is_left_to(|desk| setup.desks.contains_key(desk));
        if !leaves {
            *looked = Some(Instant::now());
        }
        leaves
    }

    /// Whether this process has been heard of, and may call out.
    pub(super) fn joined(&self) -> bool {
        self.presence.joined(&*self.ledger)
    }

    /// Whether a duty is this process's now. A newcomer has none: most of them call somebody, and it may not yet.
    pub(super) async fn duty(&self, duty: &str, mine: &mut bool) -> LedgerResult<Option<Taken>> {
        if !self.joined() {
            return Ok(None);
        }
        replica::duty(&*self.ledger, duty, &self.worker.owner, mine).await
    }
}
