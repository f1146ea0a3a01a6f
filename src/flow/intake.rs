//! Intake: what a platform says becomes durable before it hears "accepted".

use std::collections::HashSet;

use crate::http::{CallError, Inbound};
use crate::ledger::{Ledger, LedgerError, Pull, Pulled, Receipt, ReceiptContent, Recorded, StandingRound, Stood};
use crate::model::{Clock, Id, Timestamp};
use crate::source::{EventContent, HookRefusal, ListKind, Missing, Source, SourceEvent};

use super::Setup;

/// Why an event was not taken.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// Not authentic or not parseable: 4xx.
    #[error(transparent)]
    Refused(#[from] HookRefusal),
    /// Nothing was written: 503, and the sender tries again.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Verifies, maps and records one webhook; durable when it returns.
///
/// # Errors
/// See [`IntakeError`].
pub async fn take(
    ledger: &dyn Ledger,
    source: &dyn Source,
    inbound: Inbound,
    now: Timestamp,
) -> Result<Vec<Recorded>, IntakeError> {
    let received_at = inbound.received_at;
    let events = source.accept(inbound, now)?;
    let name = &source.info().name;
    let receipts = events.into_iter().map(|event| receipt(name, event, received_at)).collect();
    let recorded = ledger.record(receipts).await?;
    metrics::counter!("lastmile_events_total", "source" => name.clone()).increment(recorded.len() as u64);
    Ok(recorded)
}

fn receipt(source: &str, event: SourceEvent, received_at: Timestamp) -> Receipt {
    let content = match event.content {
        EventContent::Order(assignment) => ReceiptContent::Order(assignment),
        EventContent::Withdrawn { external_id, operation, .. } => ReceiptContent::Withdrawn { external_id, operation },
        EventContent::Unmappable { problem, body } => ReceiptContent::Unmappable { problem, body },
    };
    Receipt { source: source.to_owned(), event_id: event.event_id, digest: event.digest, received_at, content }
}

/// What one round of polling did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Polled {
    /// Events read.
    pub events: usize,
    /// Of them new assignments.
    pub new: usize,
    /// Orders gone from a complete snapshot.
    pub withdrawn: usize,
}

/// Why a round of polling failed; the next one starts from the same cursor.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// The platform.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// One round of polling: events and next cursor in one transaction.
///
/// # Errors
/// See [`PollError`]; nothing was written then.
pub async fn poll(ledger: &dyn Ledger, source: &dyn Source, clock: &dyn Clock) -> Result<Polled, PollError> {
    let name = &source.info().name;
    let from = ledger.cursor(&format!("pull/{name}")).await?;
    let started_at = clock.now();
    if source.info().list == Some(ListKind::Standing) {
        return poll_standing(ledger, source, from, started_at).await;
    }
    let mut pulled = source.pull(from.as_deref(), started_at).await.map_err(CallError::of_a_read)?;
    let events = pulled.events.len();
    let snapshot = if source.info().list == Some(ListKind::Snapshot) && pulled.complete {
        still_there(ledger, source, &mut pulled.present).await?.then_some(pulled.present)
    } else {
        None
    };
    let receipts = pulled.events.into_iter().map(|event| receipt(name, event, started_at)).collect();
    let pull = Pull { source: name.clone(), from, to: pulled.next_cursor, receipts, snapshot, started_at };
    Ok(match ledger.record_pull(pull).await? {
        Pulled::CursorMoved => Polled::default(),
        Pulled::Recorded { results, withdrawn } => {
            let new = results.iter().filter(|r| matches!(r, Recorded::New { .. })).count();
            Polled { events, new, withdrawn }
        }
    })
}

/// Absence from a list means what the platform says it means: what it only forgot stays. False where it cannot be asked.
async fn still_there(ledger: &dyn Ledger, source: &dyn Source, present: &mut Vec<String>) -> Result<bool, PollError> {
    let shown: HashSet<&String> = present.iter().collect();
    let awaited = ledger.awaited(&source.info().name).await?;
    let gone: Vec<String> = awaited.into_iter().filter(|id| !shown.contains(id)).collect();
    if gone.is_empty() {
        return Ok(true);
    }
    match source.missing(&gone).await {
        Ok(words) => {
            let kept = gone.into_iter().zip(words).filter(|(_, word)| *word == Missing::Unknown).map(|(id, _)| id);
            present.extend(kept);
            Ok(true)
        }
        Err(error) => {
            let (code, reason) = (error.code(), error.reason());
            tracing::warn!(source = source.info().name, code, reason, "missing orders could not be asked about; they stay");
            Ok(false)
        }
    }
}

/// Cursor of a standing list until a complete round has been seen.
const BEGINNING: &str = "beginning";

async fn poll_standing(
    ledger: &dyn Ledger,
    source: &dyn Source,
    from: Option<String>,
    at: Timestamp,
) -> Result<Polled, PollError> {
    let name = &source.info().name;
    let standing = source.standing(at).await.map_err(CallError::of_a_read)?;
    let baseline = from.as_deref().is_none_or(|cursor| cursor == BEGINNING);
    let to = if baseline && !standing.complete { BEGINNING.to_owned() } else { format!("round-{}", at.0) };
    let events = standing.rows.len();
    let rows = standing.rows.into_iter().map(|(id, event)| (id, receipt(name, event, at))).collect();
    let (complete, most_gone) = (standing.complete, standing.most_gone);
    let round = StandingRound { source: name.clone(), from, to, rows, complete, baseline, most_gone, at };
    Ok(match ledger.record_standing(round).await? {
        Stood::CursorMoved => Polled::default(),
        Stood::Recorded { results, removed, not_believed } => {
            if not_believed > 0 {
                metrics::counter!("lastmile_removals_not_believed_total", "source" => name.clone()).increment(1);
                tracing::error!(
                    source = name,
                    gone = not_believed,
                    "more assignments are gone than `max_removals` allows in one round; nothing is ordered for them"
                );
            }
            let new = results.iter().filter(|r| matches!(r, Recorded::New { .. })).count();
            Polled { events, new, withdrawn: removed }
        }
    })
}

/// Maps a quarantined event afresh; `None` when there is no such event held.
///
/// # Errors
/// See [`IntakeError`].
pub async fn replay(
    ledger: &dyn Ledger,
    setup: &Setup,
    id: Id,
    actor: &str,
    now: Timestamp,
) -> Result<Option<Recorded>, IntakeError> {
    let Some(held) = ledger.quarantined(id).await? else { return Ok(None) };
    let ReceiptContent::Unmappable { body, .. } = &held.content else { return Ok(None) };
    let Some(source) = setup.sources.get(&held.source) else {
        return Err(IntakeError::Refused(HookRefusal::NoHook(held.source)));
    };
    let mut event = source.remap(&held.event_id, body);
    // The same delivery as before: its id and digest stay, so that a repeat of it stays a repeat.
    event.event_id.clone_from(&held.event_id);
    event.digest.clone_from(&held.digest);
    let fresh = receipt(&held.source, event, held.received_at);
    Ok(Some(ledger.release(id, fresh, actor, now).await?))
}
