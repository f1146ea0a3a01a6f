//! Sync: what changed on a desk since the mark, and a full pass by the references we hold, spread over hours.

use std::collections::HashMap;

use super::Pauses;
use crate::desk::{Desk, Hint, Level, StatusAnswer};
use crate::http::signature::Refusal;
use crate::http::{CallError, Inbound};
use crate::ledger::{Held, Ledger, LedgerError, Observation, Stray};
use crate::model::failpoint::{Point, reach};
use crate::model::ticket::{Category, TicketReading, TicketStatus};
use crate::model::{Clock, Outcome, Timestamp};

/// Keys searched in one sweep.
const SWEPT_AT_ONCE: usize = 50;

/// How far back the first look at a desk reaches: its clock may be well behind ours.
const FIRST_LOOK_MS: i64 = 3_600_000;

/// Why a desk could not be synced this time.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// The desk.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The ledger.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Why a desk's webhook was not taken.
#[derive(Debug, thiserror::Error)]
pub enum HintError {
    /// Not authentic.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Nothing was remembered: the sender tries again, or the next sync finds it.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// What one sync did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Synced {
    /// Rows the desk named as changed.
    pub rows: usize,
    /// Tickets of ours that changed.
    pub changed: usize,
    /// More rows wait.
    pub more: bool,
}

/// Asks what changed since the mark and records it.
///
/// # Errors
/// See [`SyncError`]; the mark stays where it was.
pub async fn changes(ledger: &dyn Ledger, desk: &dyn Desk, pauses: &Pauses, clock: &dyn Clock) -> Result<Synced, SyncError> {
    pauses.of_desk(desk, clock, changed(ledger, desk, clock)).await
}

async fn changed(ledger: &dyn Ledger, desk: &dyn Desk, clock: &dyn Clock) -> Result<Synced, SyncError> {
    let name = &desk.info().name;
    let mark_name = format!("sync/{name}");
    let stored = ledger.cursor(&mark_name).await?;
    let now = clock.now();
    let mark =
        stored.as_deref().and_then(|t| t.parse().ok()).map_or(now.plus_ms(-desk.info().overlap_ms - FIRST_LOOK_MS), Timestamp);
    let changes = desk.changed_since(mark).await.map_err(CallError::of_a_read)?;
    let rows = changes.rows.len();
    let changed = take_rows(ledger, desk, changes.rows, now).await?;
    let to = changes.next_mark.unwrap_or(mark);
    if stored.is_none() || to != mark {
        ledger.move_cursor(&mark_name, stored.as_deref(), &to.0.to_string(), now).await?;
    }
    Ok(Synced { rows, changed, more: changes.more })
}

/// Records rows of tickets that are ours; a row with a key of ours but another ticket is a stray.
async fn take_rows(ledger: &dyn Ledger, desk: &dyn Desk, rows: Vec<TicketStatus>, now: Timestamp) -> Result<usize, SyncError> {
    let ids: Vec<String> = rows.iter().map(|r| r.ticket.id.clone()).collect();
    let held: HashMap<String, Held> =
        ledger.held(&desk.info().name, &ids).await?.into_iter().map(|h| (h.ticket.id.clone(), h)).collect();
    let mut observations = Vec::new();
    for row in rows {
        match (held.get(&row.ticket.id), &row.key) {
            (Some(ours), _) if known_closed(ours, &row, desk.info().index_lag_ms, now) => {}
            (Some(ours), _) => observations.push(observe(desk, ours, row).await),
            (None, Some(key)) => {
                // A copy made by somebody else carries the key too: it is no witness.
                let own = desk.is_own_account(row.created_by.as_deref()).await || row.created_by.is_none();
                if !(own && ledger.witness(&desk.info().name, key, &row.ticket, now).await?) {
                    note_stray(ledger, desk, row, now).await?;
                }
            }
            (None, None) => {}
        }
    }
    record(ledger, observations, now).await
}

async fn record(ledger: &dyn Ledger, observations: Vec<Observation>, now: Timestamp) -> Result<usize, SyncError> {
    if observations.is_empty() {
        return Ok(0);
    }
    reach(Point::SyncRead).await;
    let changed = ledger.observe(observations, now).await?;
    reach(Point::SyncRecorded).await;
    Ok(changed)
}

/// A closing that was read in full: the overlap shows it again in every cycle. It is read once more well after its last
/// change was first read, because desks count in seconds and what was added within the same one would never be seen.
fn known_closed(ours: &Held, row: &TicketStatus, index_lag_ms: i64, now: Timestamp) -> bool {
    const WELL_AFTER_MS: i64 = 60_000;
    let (Some(updated), Some(first)) = (row.updated_at, ours.read_at) else { return false };
    let once_more = first.plus_ms(index_lag_ms.max(WELL_AFTER_MS));
    ours.closed
        && row.category == Category::Closed
        && ours.desk_updated_at == Some(updated)
        && (now < once_more || ours.checked_at >= once_more)
}

async fn note_stray(ledger: &dyn Ledger, desk: &dyn Desk, status: TicketStatus, now: Timestamp) -> Result<(), SyncError> {
    let untouched_ours = is_untouched_ours(desk, &status).await;
    let stray = Stray { desk: desk.info().name.clone(), status, untouched_ours };
    ledger.stray(stray, now).await?;
    Ok(())
}

/// Whether our account made it and nobody but us ever had it in hand.
pub(super) async fn is_untouched_ours(desk: &dyn Desk, status: &TicketStatus) -> bool {
    status.category == Category::Open && !status.assigned && desk.is_own_account(status.created_by.as_deref()).await
}

/// A closed ticket is read in full: who closed it, their words. Everything else is in the row.
async fn observe(desk: &dyn Desk, held: &Held, status: TicketStatus) -> Observation {
    if status.category == Category::Closed && (status.outcome.is_some() || held.close_sent) {
        match desk.read(&held.ticket).await {
            Ok(reading) if held.closing && reading.closed_by_us.is_none() => {
                let reason = "our own closing of it is under way, and the desk does not say who closed it".to_owned();
                return Observation::Unreadable { ticket_id: held.id, reason };
            }
            Ok(mut reading) => {
                reading.status.outcome = truly(held, &reading);
                return Observation::Closed { ticket_id: held.id, reading: Box::new(reading) };
            }
            Err(error) => return Observation::Unreadable { ticket_id: held.id, reason: error.to_string() },
        }
    }
    if status.category == Category::Gone {
        return Observation::Gone { ticket_id: held.id };
    }
    Observation::Seen { ticket_id: held.id, status: Box::new(status) }
}

/// A ticket that we closed ourselves because its order was taken back is cancelled, whatever word its desk has for that:
/// many desks know only "done" and "rejected", and nobody did or rejected anything. What an admin closed is what the
/// admin says, also after a withdrawal. Where a desk does not tell who closed, our closing having been sent decides: it
/// is never sent to a ticket that was closed before, and while it is under way nobody can tell.
fn truly(held: &Held, reading: &TicketReading) -> Option<Outcome> {
    let closed = reading.status.category == Category::Closed;
    if closed && held.close_sent && reading.closed_by_us.unwrap_or(true) {
        return Some(Outcome::Cancelled);
    }
    reading.status.outcome
}

/// Reads back a batch of tickets that nobody looked at since their create: do they carry their key?
/// Returns how many were looked at.
///
/// # Errors
/// See [`SyncError`].
pub async fn read_back(ledger: &dyn Ledger, desk: &dyn Desk, pauses: &Pauses, clock: &dyn Clock) -> Result<usize, SyncError> {
    full_pass(ledger, desk, Timestamp(1), pauses, clock).await
}

/// One batch of the full pass: the tickets longest unchecked, by reference, fresh ones first. Returns how many were
/// looked at.
///
/// # Errors
/// See [`SyncError`].
pub async fn full_pass(
    ledger: &dyn Ledger,
    desk: &dyn Desk,
    before: Timestamp,
    pauses: &Pauses,
    clock: &dyn Clock,
) -> Result<usize, SyncError> {
    let held = ledger.tickets_to_check(&desk.info().name, before, desk.info().status_batch).await?;
    if held.is_empty() {
        return Ok(0);
    }
    pauses.of_desk(desk, clock, check(ledger, desk, &held, clock)).await?;
    Ok(held.len())
}

async fn check(ledger: &dyn Ledger, desk: &dyn Desk, held: &[Held], clock: &dyn Clock) -> Result<(), SyncError> {
    let refs: Vec<_> = held.iter().map(|h| h.ticket.clone()).collect();
    let answers = desk.status(&refs).await.map_err(CallError::of_a_read)?;
    // Whatever the desk passes over in silence is left when all answers are taken.
    let mut by_id: HashMap<&str, &Held> = held.iter().map(|h| (h.ticket.id.as_str(), h)).collect();
    let mut observations = Vec::with_capacity(answers.len());
    for answer in answers {
        match answer {
            StatusAnswer::Known(status) => {
                if let Some(ours) = by_id.remove(status.ticket.id.as_str()) {
                    observations.push(observe(desk, ours, *status).await);
                }
            }
            StatusAnswer::Gone(ticket) => {
                observations.extend(by_id.remove(ticket.id.as_str()).map(|h| Observation::Gone { ticket_id: h.id }))
            }
            StatusAnswer::Unreadable(ticket, reason) => {
                observations
                    .extend(by_id.remove(ticket.id.as_str()).map(|h| Observation::Unreadable { ticket_id: h.id, reason }));
            }
        }
    }
    let reason = || "the desk's answer passes it over".to_owned();
    observations.extend(by_id.into_values().map(|h| Observation::Unreadable { ticket_id: h.id, reason: reason() }));
    record(ledger, observations, clock.now()).await?;
    Ok(())
}

/// Looks again at a batch of tickets that could not be read. Returns how many were looked at.
///
/// # Errors
/// See [`SyncError`].
pub async fn look_again(ledger: &dyn Ledger, desk: &dyn Desk, pauses: &Pauses, clock: &dyn Clock) -> Result<usize, SyncError> {
    full_pass(ledger, desk, Timestamp(2), pauses, clock).await
}

/// Searches tickets whose create was ever unclear by their key: more than one is a double. Looks when the quiet period
/// after their filing is over, so that whatever was still on its way has arrived and can be found.
///
/// # Errors
/// See [`SyncError`].
pub async fn sweep(ledger: &dyn Ledger, desk: &dyn Desk, pauses: &Pauses, clock: &dyn Clock) -> Result<usize, SyncError> {
    pauses.of_desk(desk, clock, swept(ledger, desk, clock)).await
}

async fn swept(ledger: &dyn Ledger, desk: &dyn Desk, clock: &dyn Clock) -> Result<usize, SyncError> {
    let info = desk.info();
    if info.level == Level::D0 {
        return Ok(0);
    }
    let risky = ledger.risky_tickets(&info.name, clock.now().plus_ms(-info.quiet_ms()), SWEPT_AT_ONCE).await?;
    let mut swept = Vec::new();
    for held in &risky {
        match desk.find(&held.key).await.map_err(CallError::of_a_read) {
            Ok(found) => {
                for row in found.into_iter().filter(|f| f.ticket.id != held.ticket.id) {
                    note_stray(ledger, desk, row, clock.now()).await?;
                }
            }
            // One that cannot be searched keeps no other from being swept.
            Err(CallError::Reject { code, .. }) => {
                tracing::warn!(desk = info.name, ticket = held.ticket.number, code, "its key cannot be searched for doubles");
            }
            Err(error) => {
                ledger.swept(&swept).await?;
                return Err(error.into());
            }
        }
        swept.push(held.id);
    }
    ledger.swept(&swept).await?;
    Ok(risky.len())
}

/// A desk's webhook: verified, then only a hint. The tickets it names are read now.
///
/// # Errors
/// See [`HintError`].
pub async fn hint(
    ledger: &dyn Ledger,
    desk: &dyn Desk,
    inbound: Inbound,
    pauses: &Pauses,
    clock: &dyn Clock,
) -> Result<usize, HintError> {
    let hints = desk.accept(inbound, clock.now())?;
    pauses.of_desk(desk, clock, followed(ledger, desk, hints, clock)).await
}

async fn followed(ledger: &dyn Ledger, desk: &dyn Desk, hints: Vec<Hint>, clock: &dyn Clock) -> Result<usize, HintError> {
    let mut ids = Vec::new();
    for hint in &hints {
        if let (Some(key), Some(ticket)) = (&hint.key, &hint.ticket)
            && is_ours(desk, key, ticket).await
        {
            ledger.witness(&desk.info().name, key, ticket, clock.now()).await?;
        }
        ids.extend(hint.ticket.as_ref().map(|t| t.id.clone()));
    }
    let held = ledger.held(&desk.info().name, &ids).await?;
    if !held.is_empty()
        && let Err(SyncError::Call(error)) = check(ledger, desk, &held, clock).await
    {
        tracing::debug!(desk = desk.info().name, code = error.code(), "a hint could not be followed; the next sync does it");
    }
    Ok(held.len())
}

/// Reads the ticket before its key is believed: admins copy tickets, keys and all.
async fn is_ours(desk: &dyn Desk, key: &crate::model::Key, ticket: &crate::model::ticket::TicketRef) -> bool {
    let Ok(answers) = desk.status(std::slice::from_ref(ticket)).await else { return false };
    for answer in answers {
        if let StatusAnswer::Known(status) = answer
            && status.key.as_ref() == Some(key)
        {
            return status.created_by.is_none() || desk.is_own_account(status.created_by.as_deref()).await;
        }
    }
    false
}
