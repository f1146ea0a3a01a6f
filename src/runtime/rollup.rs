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
/// A step that was held up by others shall not make the figures sleep for minutes, nor lose the duty to another process.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// One step; how long to rest after it.
pub(super) async fn round(
    rollup: &mut Rollup,
    ledger: &Arc<dyn Ledger>,
    setup: &Arc<ArcSwap<Setup>>,
    clock: &Arc<dyn Clock>,
) -> LedgerResult<Duration> {
    let begun = clock.boot_ms();
    let catalog = Arc::clone(&setup.load().catalog);
    let progress = rollup.step(&**ledger, &catalog, &**clock).await?;
    let took = Duration::from_millis(u64::try_from(clock.boot_ms().saturating_sub(begun)).unwrap_or(0));
    Ok(if progress.any() { (took * REST).clamp(SHORTEST_REST, LONGEST_REST) } else { GATHER })
}
