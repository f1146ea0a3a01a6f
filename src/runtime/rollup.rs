//! The figures' loop: small steps at a gentle pace, so that orders never wait for statistics.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::flow::Setup;
use crate::kpi::rollup::Rollup;
use crate::ledger::{Ledger, LedgerResult};
use crate::model::Clock;

/// A step's time is followed by so much rest: a twentieth of one processor, at most.
const REST: u32 = 19;
/// Rest after a step that found little: what changes within it is counted together.
const GATHER: Duration = Duration::from_secs(2);
/// A step may take less than the clock can tell.
const SHORTEST_REST: Duration = Duration::from_millis(20);
/// The duty is asked for again before it is lost to another process: longer rests are taken in pieces.
const LONGEST_REST: Duration = Duration::from_secs(5);
/// A step that was held up by others shall not make the figures rest for hours.
const MOST_OWED: Duration = Duration::from_secs(120);

/// The figures, and the rest they still owe.
#[derive(Debug, Default)]
pub struct Pace {
    rollup: Rollup,
    owed: Duration,
}

impl Pace {
    /// Begins anew: another process kept the figures meanwhile.
    pub(super) fn begin_anew(&mut self) {
        self.rollup = Rollup::new();
    }

    /// One step, unless rest is owed for the one before; how long to rest now.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn round(
        &mut self,
        ledger: &Arc<dyn Ledger>,
        setup: &Arc<ArcSwap<Setup>>,
        clock: &Arc<dyn Clock>,
    ) -> LedgerResult<Duration> {
        if self.owed.is_zero() {
            let begun = clock.boot_ms();
            let catalog = Arc::clone(&setup.load().catalog);
            let progress = self.rollup.step(&**ledger, &catalog, &**clock).await?;
            let took = Duration::from_millis(u64::try_from(clock.boot_ms().saturating_sub(begun)).unwrap_or(0));
            self.owed = if progress.any() { (took * REST).clamp(SHORTEST_REST, MOST_OWED) } else { GATHER };
        }
        let now = self.owed.min(LONGEST_REST);
        self.owed -= now;
        Ok(now)
    }
}
