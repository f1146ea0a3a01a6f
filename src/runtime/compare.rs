//! When edges are compared, step by step: at most two calls a second each, so that no desk feels it; of several replicas by
//! one.

use super::due::Due;
use super::hands::Hands;
use super::replica::Taken;
use crate::flow::reconcile;
use crate::flow::sync::SyncError;
use crate::ledger::LedgerResult;
use crate::model::Timestamp;

/// How often a comparison that somebody asked for is looked for.
const LOOK_EVERY_MS: i64 = 5_000;
/// After a call that failed.
const REST_MS: i64 = 60_000;

/// When an edge is compared next.
#[derive(Debug, Default)]
pub(super) struct CompareTimes {
    /// Nothing is looked at before.
    look: Option<Due>,
    /// Since when the schedule counts: the last comparison, or the start.
    since: Option<Timestamp>,
    /// Whether it is this process's turn to compare.
    mine: bool,
}

/// One step where a comparison is under way or due; the nap of the loop paces it.
pub(super) async fn round(hands: &Hands, edge: &str, times: &mut CompareTimes) -> LedgerResult<bool> {
    let (setup, ledger, clock) = (hands.setup.load_full(), &*hands.ledger, &*hands.clock);
    let now = clock.now();
    if times.look.is_some_and(|due| !due.has_come(clock)) || hands.worker.pauses.left_ms(edge, clock).is_some() {
        return Ok(false);
    }
    match hands.duty(&reconcile::duty(edge), &mut times.mine).await? {
        // Whoever compared before us may have done so since we looked last.
        Some(Taken::Fresh(_)) => *times = CompareTimes { mine: true, ..CompareTimes::default() },
        Some(Taken::Kept) => {}
        None => return Ok(false),
    }
    let stepped = match edge.split_once('/') {
        Some(("desk", name)) => match setup.desks.get(name) {
            Some(desk) => reconcile::desk_step(ledger, &**desk, clock).await,
            None => return Ok(false),
        },
        Some((_, name)) => match setup.sources.get(name) {
            Some(source) => reconcile::source_step(ledger, &**source, clock).await,
            None => return Ok(false),
        },
        None => return Ok(false),
    };
    match stepped {
        Ok(reconcile::Stepped::More) => {}
        Ok(reconcile::Stepped::Complete) => times.since = Some(now),
        Ok(reconcile::Stepped::Idle) => {
            times.look = Some(Due::after(LOOK_EVERY_MS, clock));
            let since = match times.since {
                Some(since) => since,
                None => reconcile::summary(ledger, edge).await?.at.unwrap_or(now),
            };
            times.since = Some(since);
            let due = setup.catalog.main.work.reconcile.as_ref().and_then(|schedule| schedule.next_after(since));
            if due.is_some_and(|at| at <= now) {
                times.since = Some(now);
                reconcile::begin(ledger, edge, now).await?;
                times.look = None;
            }
        }
        Err(SyncError::Ledger(error)) => return Err(error),
        // Sync says when the edge is away; the comparison goes on from where it is.
        Err(SyncError::Call(error)) => {
            hands.worker.pauses.heed(edge, &error, REST_MS, clock);
            tracing::debug!(edge, code = error.code(), "the comparison could not go on; it is tried again");
            times.look = Some(Due::after(REST_MS, clock));
        }
    }
    Ok(false)
}
