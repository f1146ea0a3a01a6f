//! Intake: what a platform says becomes durable before it hears "accepted".

use std::collections::HashSet;

use crate::http::{CallError, Inbound, gate};
use crate::ledger::{
    Arrival, Come, Ledger, LedgerError, Pull, Pulled, Receipt, ReceiptContent, Recorded, Snapshot, StandingRound, Stood,
};
use crate::model::failpoint::{Point, reach};
use crate::model::retry::RetrySchedule;
use crate::model::{Clock, Id, Timestamp};
use crate::source::absence::passed_over;
use crate::source::rows::{RowAnswer, answers};
use crate::source::{EventContent, HookRefusal, ListKind, Missing, Source, SourceEvent};

use super::{Foresight, Pauses, Setup, Work};

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
    Ok(take_in(ledger, source, inbound, now, None).await?.0)
}

/// What others have to do after a webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Next {
    /// Orders want a plan.
    pub plans: bool,
    /// Errands wait.
    pub calls: bool,
}

/// As [`take`]; with foresight, new orders are planned in the same commit, and leased where a desk has a place.
///
/// # Errors
/// See [`IntakeError`].
pub async fn take_in(
    ledger: &dyn Ledger,
    source: &dyn Source,
    inbound: Inbound,
    now: Timestamp,
    foresight: Option<&Foresight>,
) -> Result<(Vec<Recorded>, Next), IntakeError> {
    let received_at = inbound.received_at;
    let events = source.accept(inbound, now)?;
    let name = &source.info().name;
    let receipts: Vec<Receipt> = events.into_iter().map(|event| receipt(name, event, received_at)).collect();
    reach(Point::IntakeStarts).await;
    let arrivals = match foresight {
        // Several processes could take up orders of one lane at the same time.
        Some(foresight) if !ledger.is_shared() => foresight.of(receipts).await,
        _ => receipts.into_iter().map(Arrival::from).collect(),
    };
    let arrived = ledger.take_in(arrivals).await?;
    reach(Point::IntakeRecorded).await;
    let mut next = Next::default();
    let mut recorded = Vec::with_capacity(arrived.len());
    for one in arrived {
        match (&one.recorded, one.come) {
            (_, Come::Leased | Come::Decided) => {}
            (_, Come::Planned) => next.calls = true,
            (Recorded::New { .. }, Come::Received) => next.plans = true,
            (_, Come::Received) => next = Next { plans: true, calls: true },
        }
        recorded.push(one.recorded);
    }
    count(name, &recorded);
    Ok((recorded, next))
}

/// Verifies, maps and records an upload of rows in one transaction; durable when it returns.
///
/// # Errors
/// See [`IntakeError`].
pub async fn take_rows(
    ledger: &dyn Ledger,
    source: &dyn Source,
    inbound: Inbound,
    now: Timestamp,
) -> Result<Vec<RowAnswer>, IntakeError> {
    let received_at = inbound.received_at;
    let rows = source.accept_rows(inbound, now)?;
    let name = &source.info().name;
    let events = rows.iter().filter_map(|row| row.event.clone());
    let recorded = ledger.record(events.map(|event| receipt(name, event, received_at)).collect()).await?;
    count(name, &recorded);
    Ok(answers(&rows, &recorded))
}

/// Counts what came, and raises the alarm for what is held: its sender was told 202 and will not ask again.
fn count(source: &str, recorded: &[Recorded]) {
    metrics::counter!("lastmile_events_total", "source" => source.to_owned()).increment(recorded.len() as u64);
    let held = recorded.iter().filter(|r| matches!(r, Recorded::Quarantined { .. })).count();
    if held > 0 {
        metrics::counter!("lastmile_quarantined_total", "source" => source.to_owned()).increment(held as u64);
        tracing::warn!(
            source,
            held,
            "events that do not map are held: see the operations page, mend the mapping, map them again"
        );
    }
    let conflicts = recorded.iter().filter(|r| **r == Recorded::Conflict).count();
    if conflicts > 0 {
        metrics::counter!("lastmile_event_conflicts_total", "source" => source.to_owned()).increment(conflicts as u64);
        tracing::warn!(source, conflicts, "an event's id came with another body than before; it was not taken");
    }
}

pub(super) fn receipt(source: &str, event: SourceEvent, received_at: Timestamp) -> Receipt {
    let content = match event.content {
        EventContent::Order(assignment) => ReceiptContent::Order(assignment),
        EventContent::Withdrawn { external_id, operation, .. } => ReceiptContent::Withdrawn { external_id, operation },
        EventContent::Left { person } => ReceiptContent::Left { person },
        EventContent::Seen { of, external_id, operation, at } => ReceiptContent::Seen { of, external_id, operation, at },
        EventContent::Unmappable { problem, body } => ReceiptContent::Unmappable { problem, body },
    };
    Receipt { source: source.to_owned(), event_id: event.event_id, digest: event.digest, received_at, content }
}

/// What one round of polling did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Polled {
    /// Events read.
    pub events: usize,
    /// Of them new assignments.
    pub new: usize,
    /// Orders gone from a complete snapshot.
    pub withdrawn: usize,
    /// Orders that had left the list and stand again.
    pub reinstated: usize,
    /// The round broke off: what was read is recorded, the rest is read again.
    pub broken: Option<CallError>,
}

impl Polled {
    /// Something for the other stages to do.
    #[must_use]
    pub fn any(&self) -> bool {
        self.events + self.withdrawn + self.reinstated > 0
    }
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

/// One round of polling: events and next cursor in one transaction. A round that fails, or breaks off, makes the
/// source a failing edge until one ends well.
///
/// # Errors
/// See [`PollError`]; no event was recorded then.
pub async fn poll(ledger: &dyn Ledger, source: &dyn Source, pauses: &Pauses, clock: &dyn Clock) -> Result<Polled, PollError> {
    pauses.of_source(source, clock, round(ledger, source, clock)).await
}

async fn round(ledger: &dyn Ledger, source: &dyn Source, clock: &dyn Clock) -> Result<Polled, PollError> {
    let name = &source.info().name;
    let from = ledger.cursor(&format!("pull/{name}")).await?;
    let started_at = clock.now();
    if source.info().list == Some(ListKind::Standing) {
        return poll_standing(ledger, source, from, started_at, clock).await;
    }
    let mut pulled = match source.pull(from.as_deref(), started_at).await.map_err(CallError::of_a_read) {
        Ok(pulled) => pulled,
        Err(error) => {
            polled_badly(ledger, name, &error, clock.now()).await?;
            return Err(error.into());
        }
    };
    let events = pulled.events.len();
    let whole = source.info().list == Some(ListKind::Snapshot) && pulled.complete;
    let explained = if whole { still_there(ledger, source, &mut pulled.present).await? } else { Explained::nothing_asked() };
    let whole = whole && explained.whole;
    let snapshot = whole.then_some(Snapshot { present: pulled.present, one_page: pulled.one_page });
    let receipts = pulled.events.into_iter().map(|event| receipt(name, event, started_at)).collect();
    let pull = Pull { source: name.clone(), from, to: pulled.next_cursor, receipts, snapshot, started_at };
    reach(Point::PollRead).await;
    let recorded = ledger.record_pull(pull).await?;
    reach(Point::PollRecorded).await;
    let polled = match recorded {
        Pulled::CursorMoved => Polled::default(),
        Pulled::Recorded { results, withdrawn, reinstated } => {
            count(name, &results);
            let new = results.iter().filter(|r| matches!(r, Recorded::New { .. })).count();
            let told = source.recorded(&results).await.err();
            Polled { events, new, withdrawn, reinstated, broken: pulled.broken.or(told).or(explained.passed_over) }
        }
    };
    match &polled.broken {
        Some(error) => polled_badly(ledger, name, error, clock.now()).await?,
        None => polled_well(ledger, name, clock.now()).await?,
    }
    Ok(polled)
}

pub(super) async fn polled_badly(ledger: &dyn Ledger, name: &str, error: &CallError, now: Timestamp) -> Result<(), LedgerError> {
    if error.code() == gate::HELD {
        return Ok(());
    }
    metrics::counter!("lastmile_poll_failures_total", "source" => name.to_owned(), "code" => error.code()).increment(1);
    super::edge_fails(ledger, &format!("source/{name}"), Work::Poll, error, now).await
}

pub(super) async fn polled_well(ledger: &dyn Ledger, name: &str, now: Timestamp) -> Result<(), LedgerError> {
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit a float for long")]
    metrics::gauge!("lastmile_poll_last_success_timestamp_seconds", "source" => name.to_owned()).set(now.0 as f64 / 1000.0);
    super::edge_answers(ledger, &format!("source/{name}"), Work::Poll, now).await
}

/// When to poll after a round that began at `now`: by the source's own schedule, sooner after `failures` failures in a
/// row, but never before the platform wants to be asked again.
#[must_use]
pub fn next_round(
    scheduled: Option<Timestamp>,
    failed: Option<(&CallError, u32)>,
    retry: &RetrySchedule,
    now: Timestamp,
) -> Option<Timestamp> {
    let Some((error @ CallError::Retry { .. }, failures)) = failed else { return scheduled };
    let asked = error.asked_ms();
    let own = now.plus_ms(retry.wait_ms(failures, asked, crate::model::random::u64()));
    let earliest = asked.map_or(now, |ms| now.plus_ms(ms));
    Some(scheduled.map_or(own, |at| at.min(own)).max(earliest))
}

/// What a platform says of orders that its list no longer shows.
struct Explained {
    /// It could be asked: absence now means what it says.
    whole: bool,
    /// Why some could not be asked about, or none.
    passed_over: Option<CallError>,
}

impl Explained {
    fn nothing_asked() -> Self {
        Self { whole: true, passed_over: None }
    }
}

/// Absence from a list means what the platform says it means: what it only forgot stays, and so does what cannot be read.
async fn still_there(ledger: &dyn Ledger, source: &dyn Source, present: &mut Vec<String>) -> Result<Explained, PollError> {
    if !source.explains_absence() {
        return Ok(Explained::nothing_asked());
    }
    let shown: HashSet<&String> = present.iter().collect();
    let awaited = ledger.awaited(&source.info().name).await?;
    let gone: Vec<String> = awaited.into_iter().filter(|id| !shown.contains(id)).collect();
    if gone.is_empty() {
        return Ok(Explained::nothing_asked());
    }
    match source.missing(&gone).await {
        Ok(words) => {
            let passed_over = passed_over(&words);
            let kept = gone.into_iter().zip(words).filter(|(_, word)| *word != Missing::Withdrawn).map(|(id, _)| id);
            present.extend(kept);
            Ok(Explained { whole: true, passed_over })
        }
        // They stay, and whoever looks at the source is told why.
        Err(error) => Ok(Explained { whole: false, passed_over: Some(error.of_a_read()) }),
    }
}

/// Cursor of a standing list until a complete round has been seen.
const BEGINNING: &str = "beginning";

async fn poll_standing(
    ledger: &dyn Ledger,
    source: &dyn Source,
    from: Option<String>,
    at: Timestamp,
    clock: &dyn Clock,
) -> Result<Polled, PollError> {
    let name = &source.info().name;
    let standing = match source.standing(at).await.map_err(CallError::of_a_read) {
        Ok(standing) => standing,
        Err(error) => {
            polled_badly(ledger, name, &error, clock.now()).await?;
            return Err(error.into());
        }
    };
    let broken = standing.broken;
    let baseline = from.as_deref().is_none_or(|cursor| cursor == BEGINNING);
    let to = if baseline && !standing.complete { BEGINNING.to_owned() } else { format!("round-{}", at.0) };
    let rows = standing.rows.into_iter().map(|(id, event)| (id, receipt(name, event, at))).collect();
    let (complete, most_gone) = (standing.complete, standing.most_gone);
    let round = StandingRound { source: name.clone(), from, to, rows, complete, baseline, most_gone, at };
    let mut polled = Polled { broken, ..Polled::default() };
    if let Stood::Recorded { results, removed, not_believed } = ledger.record_standing(round).await? {
        count(name, &results);
        polled.events = results.len();
        polled.new = results.iter().filter(|r| matches!(r, Recorded::New { .. })).count();
        polled.withdrawn = removed;
        if not_believed > 0 {
            metrics::counter!("lastmile_removals_not_believed_total", "source" => name.clone()).increment(1);
            let reason =
                format!("{not_believed} assignments are gone at once; with more than `max_removals` none is ordered away");
            polled.broken = Some(CallError::reject("E-REMOVALS", reason));
        }
    }
    match &polled.broken {
        Some(error) => polled_badly(ledger, name, error, clock.now()).await?,
        None => polled_well(ledger, name, clock.now()).await?,
    }
    Ok(polled)
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
