//! Completion: tells the platform the outcome until it has it.

use std::future::Future;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::http::{CallError, gate};
use crate::ledger::{End, LeaseRequest, Leased, Ledger, LedgerResult, Load, Settlement, Step};
use crate::model::Clock;
use crate::model::completion::Completion;
use crate::model::failpoint::{Point, reach};
use crate::model::progress::Progress;
use crate::source::Source;

use super::{Setup, Work, Worker, ask_ms, unheard, wait_ms};

/// Reports sent at the same time.
const IN_FLIGHT: usize = 16;
/// Codes of a platform that is well and only not done yet.
const PATIENCE: [&str; 2] = ["E-PENDING", "E-ORDER"];

/// One round for one source. Returns how many reports it worked on.
///
/// # Errors
/// The ledger is not available; reports carry a stable id and are sent again.
pub async fn step(
    ledger: &dyn Ledger,
    setup: &Setup,
    source: &dyn Source,
    worker: &Worker,
    clock: &dyn Clock,
) -> LedgerResult<usize> {
    let edge = format!("source/{}", source.info().name);
    let can = source.info().capabilities;
    // A platform that asks is told when it asks.
    if !can.report || can.asks {
        return Ok(0);
    }
    if worker.pauses.left_ms(&edge, clock).is_some() {
        return Ok(0);
    }
    let lease_ms = setup.catalog.main.work.lease.ms();
    let request = LeaseRequest {
        edge: edge.clone(),
        owner: worker.owner.clone(),
        now: clock.now(),
        lease_ms,
        quiet_ms: source.info().confirm_quiet_ms.unwrap_or(0),
        limit: IN_FLIGHT,
        witnesses_only: false,
    };
    let leased_boot_ms = clock.boot_ms();
    reach(Point::CompleteStarts).await;
    let leased = ledger.lease(request).await?;
    if !leased.is_empty() {
        reach(Point::CompleteLeased).await;
    }
    let count = leased.len();
    let edge = &edge;
    let mut running: FuturesUnordered<_> = leased
        .into_iter()
        .map(|errand| async move {
            if clock.boot_ms() > leased_boot_ms + lease_ms {
                return Ok(());
            }
            let teller = Teller { ledger, setup, source, worker, clock, edge };
            let end = match (&errand.load, errand.step) {
                (Load::Report { completion, .. }, Step::Send) => teller.tell(&errand, completion).await?,
                (Load::Report { completion, .. }, Step::Witness) => {
                    teller.ask(&errand, completion, worker.quiets.left_ms(&errand, clock)).await
                }
                (Load::Progress { progress, .. }, _) => teller.tell_progress(&errand, progress).await?,
                _ => return Ok(()),
            };
            worker.quiets.ended(errand.id, &end, clock);
            reach(Point::CompleteSettles).await;
            ledger.settle(vec![Settlement { id: errand.id, lease_no: errand.lease_no, at: clock.now(), end }]).await?;
            reach(Point::CompleteSettled).await;
            Ok(())
        })
        .collect();
    let mut failed = None;
    while let Some(result) = running.next().await {
        // One that could not be settled cuts off no call of the others.
        failed = failed.or(result.err());
    }
    failed.map_or(Ok(count), Err)
}

struct Teller<'a> {
    ledger: &'a dyn Ledger,
    setup: &'a Setup,
    source: &'a dyn Source,
    worker: &'a Worker,
    clock: &'a dyn Clock,
    edge: &'a str,
}

impl Teller<'_> {
    async fn tell(&self, errand: &Leased, completion: &Completion) -> LedgerResult<End> {
        let told = self.kept(errand, self.source.report(completion)).await;
        let now = self.clock.now();
        let error = match told {
            Ok(()) => {
                self.worker.health.well(self.ledger, self.edge, Work::Reports, now).await?;
                return Ok(End::Done);
            }
            Err(error) => error,
        };
        let (code, reason) = (error.code().to_owned(), error.reason().to_owned());
        if error.code() == gate::HELD {
            return Ok(End::Held { reason });
        }
        if !PATIENCE.contains(&error.code()) {
            self.worker.health.failed(self.ledger, self.edge, Work::Reports, &error, now).await?;
            metrics::counter!("lastmile_call_failures_total", "edge" => self.edge.to_owned(), "code" => error.code())
                .increment(1);
        }
        Ok(match (&error, self.source.info().confirm_quiet_ms) {
            // The platform can be asked what it holds, and is, before anything is said again.
            (CallError::Unclear { .. }, Some(quiet)) => {
                let ask_at = now.plus_ms(ask_ms(self.setup, errand, quiet));
                End::Unclear { ask_at, quiet_until: now.plus_ms(quiet), code, reason }
            }
            (CallError::Reject { .. }, _) => End::Park { code, reason },
            // Its id is stable, so that what is unclear may simply be said again.
            (CallError::Unclear { .. }, None) => {
                End::Retry { at: now.plus_ms(wait_ms(self.setup, errand, None)), code, reason, new_group: None }
            }
            (CallError::Retry { .. }, _) => {
                End::Retry { at: now.plus_ms(wait_ms(self.setup, errand, error.asked_ms())), code, reason, new_group: None }
            }
        })
    }

    /// Its id is stable, so that what may have been heard is said again. What is refused is let go: only outcomes wait
    /// for a person.
    async fn tell_progress(&self, errand: &Leased, progress: &Progress) -> LedgerResult<End> {
        let told = self.kept(errand, self.source.progress(progress)).await;
        let now = self.clock.now();
        let Err(error) = told else {
            self.worker.health.well(self.ledger, self.edge, Work::Reports, now).await?;
            return Ok(End::Done);
        };
        let (code, reason) = (error.code().to_owned(), error.reason().to_owned());
        if error.code() == gate::HELD {
            return Ok(End::Held { reason });
        }
        metrics::counter!("lastmile_call_failures_total", "edge" => self.edge.to_owned(), "code" => error.code()).increment(1);
        if let CallError::Reject { .. } = &error {
            return Ok(End::Park { code, reason });
        }
        self.worker.health.failed(self.ledger, self.edge, Work::Reports, &error, now).await?;
        Ok(End::Retry { at: now.plus_ms(wait_ms(self.setup, errand, error.asked_ms())), code, reason, new_group: None })
    }

    /// "Slow down" is said to all of us: everything for the platform waits.
    async fn kept<F: Future>(&self, errand: &Leased, call: F) -> F::Output {
        let otherwise = wait_ms(self.setup, errand, None);
        self.worker.pauses.kept(self.edge, otherwise, self.clock, call).await
    }

    /// Witness of an unclear report: what does the platform hold? `quiet_left_ms` is of before the question.
    async fn ask(&self, errand: &Leased, completion: &Completion, quiet_left_ms: i64) -> End {
        let held = self.kept(errand, self.source.confirm(completion)).await;
        let now = self.clock.now();
        match held {
            Ok(true) => End::Done,
            Ok(false) if quiet_left_ms == 0 => End::Clear,
            Ok(false) => End::Miss { ask_at: now.plus_ms(wait_ms(self.setup, errand, None).min(quiet_left_ms)) },
            Err(error) => unheard(self.setup, errand, &error, self.source.info().confirm_quiet_ms.unwrap_or(0), now),
        }
    }
}
