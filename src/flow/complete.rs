//! Completion: tells the platform the outcome until it has it.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::http::CallError;
use crate::ledger::{End, LeaseRequest, Leased, Ledger, LedgerResult, Load, Settlement, Step};
use crate::model::completion::Completion;
use crate::model::{Clock, random};
use crate::source::Source;

use super::{Setup, Worker};

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
        quiet_ms: source.info().confirm_quiet_ms.unwrap_or(0),
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
            let end = match errand.step {
                Step::Send => sent(setup, source, clock, &errand, completion, edge).await,
                Step::Witness => asked(setup, source, clock, &errand, completion).await,
            };
            ledger.settle(vec![Settlement { id: errand.id, lease_no: errand.lease_no, at: clock.now(), end }]).await.map(|_| ())
        })
        .collect();
    while let Some(result) = running.next().await {
        result?;
    }
    Ok(count)
}

async fn sent(
    setup: &Setup,
    source: &dyn Source,
    clock: &dyn Clock,
    errand: &Leased,
    completion: &Completion,
    edge: &str,
) -> End {
    let error = match source.report(completion).await {
        Ok(()) => return End::Done,
        Err(error) => error,
    };
    metrics::counter!("lastmile_call_failures_total", "edge" => edge.to_owned(), "code" => error.code()).increment(1);
    let (code, reason) = (error.code().to_owned(), error.reason().to_owned());
    let now = clock.now();
    match (error, source.info().confirm_quiet_ms) {
        // The platform can be asked what it holds, and is, before anything is said again.
        (CallError::Unclear { .. }, Some(quiet)) => {
            let ask_at = now.plus_ms(wait_ms(setup, errand, None));
            End::Unclear { ask_at, quiet_until: now.plus_ms(quiet), code, reason }
        }
        (CallError::Reject { .. }, _) => End::Park { code, reason },
        // Its id is stable, so that what is unclear may simply be said again.
        (CallError::Unclear { .. }, None) => {
            End::Retry { at: now.plus_ms(wait_ms(setup, errand, None)), code, reason, new_group: None }
        }
        (CallError::Retry { after, .. }, _) => {
            let asked = after.and_then(|d| i64::try_from(d.as_millis()).ok());
            End::Retry { at: now.plus_ms(wait_ms(setup, errand, asked)), code, reason, new_group: None }
        }
    }
}

/// Witness of an unclear report: what does the platform hold?
async fn asked(setup: &Setup, source: &dyn Source, clock: &dyn Clock, errand: &Leased, completion: &Completion) -> End {
    let now = clock.now();
    match source.confirm(completion).await {
        Ok(true) => End::Done,
        Ok(false) if errand.quiet_until.is_none_or(|until| now >= until) => End::Clear,
        Ok(false) => {
            let next = now.plus_ms(wait_ms(setup, errand, None));
            End::Miss { ask_at: next.min(errand.quiet_until.unwrap_or(next)) }
        }
        Err(CallError::Reject { code, reason }) => End::Park { code: code.to_owned(), reason },
        Err(_) => End::Miss { ask_at: now.plus_ms(wait_ms(setup, errand, None)) },
    }
}

fn wait_ms(setup: &Setup, errand: &Leased, asked_ms: Option<i64>) -> i64 {
    setup.catalog.main.retry.schedule().wait_ms(errand.failures.max(errand.misses) + 1, asked_ms, random::u64())
}
