//! Completion: tells the platform the outcome until it has it.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::http::CallError;
use crate::ledger::{End, LeaseRequest, Ledger, LedgerResult, Load, Settlement};
use crate::model::{Clock, random};
use crate::source::Source;

use super::{Setup, Work, Worker};

/// Reports sent at the same time.
const IN_FLIGHT: usize = 16;

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
    if !source.info().capabilities.report {
        return Ok(0);
    }
    let lease_ms = setup.catalog.main.work.lease.ms();
    let request = LeaseRequest {
        edge: edge.clone(),
        owner: worker.owner.clone(),
        now: clock.now(),
        lease_ms,
        quiet_ms: 0,
        limit: IN_FLIGHT,
        witnesses_only: false,
    };
    let leased_boot_ms = clock.boot_ms();
    let leased = ledger.lease(request).await?;
    let count = leased.len();
    let edge = &edge;
    let mut running: FuturesUnordered<_> = leased
        .into_iter()
        .map(|errand| async move {
            let Load::Report { completion, .. } = &errand.load else { return Ok(()) };
            if clock.boot_ms() > leased_boot_ms + lease_ms {
                return Ok(());
            }
            let end = match source.report(completion).await {
                Ok(()) => {
                    worker.health.well(ledger, edge, Work::Reports, clock.now()).await?;
                    End::Done
                }
                Err(error) => {
                    worker.health.failed(ledger, edge, Work::Reports, &error, clock.now()).await?;
                    metrics::counter!("lastmile_call_failures_total", "edge" => edge.clone(), "code" => error.code())
                        .increment(1);
                    let (code, reason) = (error.code().to_owned(), error.reason().to_owned());
                    // Its id is stable, so that what is unclear may simply be said again.
                    match error.of_a_read() {
                        CallError::Reject { .. } => End::Park { code, reason },
                        other => {
                            let after = if let CallError::Retry { after, .. } = &other { *after } else { None };
                            let asked = after.and_then(|d| i64::try_from(d.as_millis()).ok());
                            let wait = setup.catalog.main.retry.schedule().wait_ms(errand.failures + 1, asked, random::u64());
                            End::Retry { at: clock.now().plus_ms(wait), code, reason, new_group: None }
                        }
                    }
                }
            };
            ledger.settle(vec![Settlement { id: errand.id, lease_no: errand.lease_no, at: clock.now(), end }]).await.map(|_| ())
        })
        .collect();
    while let Some(result) = running.next().await {
        result?;
    }
    Ok(count)
}
