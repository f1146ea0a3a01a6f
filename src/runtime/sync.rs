//! The loop that asks a desk: what changed, a batch of the full pass, the sweep.

use super::hands::{Hands, LOOK_EVERY_MS};
use super::replica::Taken;
use crate::desk::Desk;
use crate::flow::{Work, edge_answers, edge_fails, sync};
use crate::ledger::{Ledger, LedgerResult};
use crate::model::{Clock, Timestamp};

/// Batches of fresh tickets read back in one round.
const READ_BACKS: usize = 8;
/// How often open tickets are counted to pace the full pass.
const COUNT_EVERY_MS: i64 = 600_000;

/// When a desk is asked next, by the boot-time clock: these are spans, and the wall clock may be set back by hours.
#[derive(Debug, Default)]
pub(super) struct SyncTimes {
    changes: Option<i64>,
    /// Next batch of the full pass, and how far the batches lie apart.
    pass: Option<i64>,
    pass_every_ms: i64,
    counted: Option<i64>,
    sweep: Option<i64>,
    /// Nothing is asked before: the desk did not answer.
    rest: Option<i64>,
    /// Whether it is this process's turn to ask.
    mine: bool,
}

impl SyncTimes {
    /// A batch of the full pass when due: all open tickets evenly over the span, also after a long absence.
    async fn pass(
        &mut self,
        ledger: &dyn Ledger,
        desk: &dyn Desk,
        span_ms: i64,
        clock: &dyn Clock,
    ) -> Result<(), sync::SyncError> {
        let now = clock.boot_ms();
        if self.counted.is_none_or(|at| now >= at) {
            let (info, open) = (desk.info(), ledger.open_tickets(&desk.info().name).await?);
            let batch = i64::try_from(info.status_batch.max(1)).unwrap_or(i64::MAX);
            self.pass_every_ms = span_ms.saturating_mul(batch).checked_div(open).unwrap_or(span_ms).clamp(1, span_ms / 24 + 1);
            self.counted = Some(now.saturating_add(COUNT_EVERY_MS));
        }
        let due = *self.pass.get_or_insert(now);
        if now < due {
            return Ok(());
        }
        // Time lost while the desk was away is not made up for by a burst.
        self.pass = Some(due.saturating_add(self.pass_every_ms).max(now - LOOK_EVERY_MS));
        sync::full_pass(ledger, desk, clock.now().plus_ms(-span_ms), clock).await?;
        Ok(())
    }
}

/// When a desk was last asked with success: an alarm on its age notices a loop that hangs, too.
fn succeeded(series: &'static str, desk: &str, now: Timestamp) {
    metrics::gauge!(series, "desk" => desk.to_owned()).set(now.0 as f64 / 1000.0);
}

/// Changes when due, a batch of the full pass, the sweep when due. A desk that is away is asked again later.
pub(super) async fn sync_round(hands: &Hands, desk: &str, times: &mut SyncTimes) -> LedgerResult<bool> {
    let setup = hands.setup.load_full();
    let Some(desk) = setup.desks.get(desk) else { return Ok(false) };
    let (ledger, clock) = (&*hands.ledger, &*hands.clock);
    let work = &setup.catalog.main.work;
    let (now, edge) = (clock.boot_ms(), format!("desk/{}", desk.info().name));
    match hands.duty(&format!("sync/{}", desk.info().name), &mut times.mine).await? {
        Some(Taken::Fresh(_)) => *times = SyncTimes { mine: true, ..SyncTimes::default() },
        Some(Taken::Kept) => {}
        None => return Ok(false),
    }
    if times.rest.is_some_and(|until| now < until) || hands.worker.pauses.left_ms(&edge, clock).is_some() {
        return Ok(false);
    }
    times.rest = None;
    let outcome = async {
        let (mut busy, mut asked) = (false, false);
        if times.changes.is_none_or(|at| now >= at) {
            asked = true;
            let synced = sync::changes(ledger, &**desk, clock).await?;
            if !synced.more {
                times.changes = Some(now.saturating_add(work.sync_every.ms()));
            }
            busy |= synced.more;
            sync::look_again(ledger, &**desk, clock).await?;
            if synced.changed > 0 {
                hands.wake.all();
            }
        }
        // Fresh tickets soon: their keys are read back. A full batch means that more wait; bounded, because a desk that
        // says nothing of a ticket leaves it fresh.
        for _ in 0..READ_BACKS {
            if sync::read_back(ledger, &**desk, clock).await? < desk.info().status_batch {
                break;
            }
        }
        times.pass(ledger, &**desk, work.full_pass.ms(), clock).await?;
        if times.sweep.is_none_or(|at| now >= at) {
            times.sweep = Some(now.saturating_add(work.sweep_every.ms()));
            sync::sweep(ledger, &**desk, clock).await?;
            succeeded("lastmile_sweep_last_success_timestamp_seconds", &desk.info().name, clock.now());
        }
        Ok::<(bool, bool), sync::SyncError>((busy, asked))
    }
    .await;
    match outcome {
        Ok((busy, asked)) => {
            if asked {
                succeeded("lastmile_sync_last_success_timestamp_seconds", &desk.info().name, clock.now());
                edge_answers(ledger, &edge, Work::Changes, clock.now()).await?;
            }
            Ok(busy)
        }
        Err(sync::SyncError::Ledger(error)) => Err(error),
        Err(sync::SyncError::Call(error)) => {
            hands.worker.pauses.heed(&edge, &error, work.sync_every.ms(), clock);
            edge_fails(ledger, &edge, Work::Changes, &error, clock.now()).await?;
            times.rest = Some(now.saturating_add(work.sync_every.ms()));
            Ok(false)
        }
    }
}
