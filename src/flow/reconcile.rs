//! The comparison of platform, ledger and desk, one call to the outside a step. It only looks: what disagrees is kept for
//! people, each with its repair. How far it is stands in the ledger, so that a restart goes on from there.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::sync::{SyncError, is_untouched_ours};
use super::{Pauses, Setup};
use crate::desk::{Desk, StatusAnswer};
use crate::http::CallError;
use crate::ledger::compare::{FindingKind, FindingRow, Sight};
use crate::ledger::{Acted, Action, Held, Ledger, LedgerError, LedgerResult};
use crate::model::ticket::{Category, TicketRef};
use crate::model::{Clock, Id, Timestamp};
use crate::source::Source;

/// Older than any ticket of ours: 2020-01-01.
const FIRST: Timestamp = Timestamp(1_577_836_800_000);
/// What changed this shortly ago is sync's affair yet.
const SETTLED_MS: i64 = 10 * 60_000;
/// Reports asked about in one step.
const ASKED_AT_ONCE: usize = 10;
/// Reports older than this are not asked about any more.
const TOLD_WITHIN_MS: i64 = 7 * 86_400_000;

/// How far a comparison is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Run {
    began: Timestamp,
    phase: Phase,
    mark: Timestamp,
    after: i64,
    looked: usize,
    found: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Phase {
    /// Everything the desk lists: tickets that nobody knows.
    Listed,
    /// Everything we hold: is it there, and as we think?
    Held,
    /// What was reported: does the platform hold it?
    Told,
}

/// The last complete comparison of an edge.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct Summary {
    /// `desk/NAME` or `source/NAME`.
    #[serde(default)]
    pub edge: String,
    /// When it was complete; none: never yet.
    #[schema(value_type = Option<i64>)]
    pub at: Option<Timestamp>,
    /// Tickets and reports looked at.
    pub looked: usize,
    /// Of them, how many disagreed.
    pub found: usize,
    /// One is under way.
    #[serde(default)]
    pub running: bool,
    /// Of it: looked at so far.
    #[serde(default)]
    pub so_far: usize,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stepped {
    /// No comparison is under way.
    Idle,
    /// There is more to compare.
    More,
    /// The comparison is complete.
    Complete,
}

/// The comparison of an edge: whose turn it is among several processes on one ledger, and the cursor of one under way.
#[must_use]
pub fn duty(edge: &str) -> String {
    format!("compare/{edge}")
}

fn summary_of(edge: &str) -> String {
    format!("compared/{edge}")
}

/// Begins a comparison; `false` when one is under way.
///
/// # Errors
/// The ledger is not available.
pub async fn begin(ledger: &dyn Ledger, edge: &str, now: Timestamp) -> LedgerResult<bool> {
    let stored = ledger.cursor(&duty(edge)).await?;
    if stored.as_deref().and_then(read).is_some() {
        return Ok(false);
    }
    let phase = if edge.starts_with("desk/") { Phase::Listed } else { Phase::Told };
    let after = if phase == Phase::Told { Id::floor(now.plus_ms(-TOLD_WITHIN_MS)).0 } else { i64::MIN };
    let run = Run { began: now, phase, mark: FIRST, after, looked: 0, found: 0 };
    ledger.move_cursor(&duty(edge), stored.as_deref(), &text(&run)?, now).await
}

/// The last comparison of an edge, and whether one is under way.
///
/// # Errors
/// The ledger is not available.
pub async fn summary(ledger: &dyn Ledger, edge: &str) -> LedgerResult<Summary> {
    let stored = ledger.cursor(&summary_of(edge)).await?;
    let last: Summary = stored.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let run = ledger.cursor(&duty(edge)).await?.as_deref().and_then(read);
    Ok(Summary { edge: edge.to_owned(), running: run.is_some(), so_far: run.map_or(0, |run| run.looked), ..last })
}

/// The comparison that a cursor says is under way; one that cannot be read is none, so that the next begins anew.
fn read(stored: &str) -> Option<Run> {
    serde_json::from_str(stored).ok()
}

fn text<T: Serialize>(value: &T) -> LedgerResult<String> {
    serde_json::to_string(value).map_err(|e| LedgerError::Corrupt(e.to_string()))
}

/// One step of the comparison with a desk.
///
/// # Errors
/// See [`SyncError`]; the comparison goes on from the same place.
pub async fn desk_step(ledger: &dyn Ledger, desk: &dyn Desk, pauses: &Pauses, clock: &dyn Clock) -> Result<Stepped, SyncError> {
    pauses.of_desk(desk, clock, with_desk(ledger, desk, clock)).await
}

async fn with_desk(ledger: &dyn Ledger, desk: &dyn Desk, clock: &dyn Clock) -> Result<Stepped, SyncError> {
    let edge = format!("desk/{}", desk.info().name);
    let Some((stored, mut run)) = under_way(ledger, &edge).await? else { return Ok(Stepped::Idle) };
    let complete = match run.phase {
        Phase::Listed if desk.info().lists => {
            listed(ledger, desk, clock, &edge, &mut run).await?;
            false
        }
        Phase::Listed => {
            run.phase = Phase::Held;
            false
        }
        Phase::Held | Phase::Told => held(ledger, desk, clock, &edge, &mut run).await?,
    };
    Ok(keep(ledger, &edge, &stored, &run, complete, clock).await?)
}

/// One step of the comparison with a platform.
///
/// # Errors
/// See [`SyncError`]; the comparison goes on from the same place.
pub async fn source_step(
    ledger: &dyn Ledger,
    source: &dyn Source,
    pauses: &Pauses,
    clock: &dyn Clock,
) -> Result<Stepped, SyncError> {
    pauses.of_source(source, clock, with_source(ledger, source, clock)).await
}

async fn with_source(ledger: &dyn Ledger, source: &dyn Source, clock: &dyn Clock) -> Result<Stepped, SyncError> {
    let name = &source.info().name;
    let edge = format!("source/{name}");
    let Some((stored, mut run)) = under_way(ledger, &edge).await? else { return Ok(Stepped::Idle) };
    let mut sights = Vec::new();
    let asks = source.info().capabilities.report && source.info().confirm_quiet_ms.is_some();
    let told = if asks { ledger.reports_to_compare(name, Id(run.after), ASKED_AT_ONCE).await? } else { Vec::new() };
    for told in &told {
        run.looked += 1;
        match source.confirm(&told.completion).await.map_err(CallError::of_a_read) {
            Err(CallError::Reject { code: "E-DECIDED", .. }) => sights.push(Sight::Untold(told.assignment)),
            Ok(false) if told_long_ago(told.errand, clock.now()) => sights.push(Sight::Untold(told.assignment)),
            // One that cannot be asked about says nothing, and is in nobody's way.
            Ok(_) | Err(CallError::Reject { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        run.after = told.errand.0;
    }
    let complete = told.is_empty();
    if complete {
        let still = ledger.listed_still(name, clock.now().plus_ms(-SETTLED_MS)).await?;
        sights.extend(still.into_iter().map(Sight::Untold));
    }
    run.found += ledger.compare(&edge, sights, clock.now()).await?;
    Ok(keep(ledger, &edge, &stored, &run, complete, clock).await?)
}

/// Platforms take their time to carry out what they accepted.
fn told_long_ago(errand: Id, now: Timestamp) -> bool {
    errand.made_at().plus_ms(SETTLED_MS) < now
}

async fn under_way(ledger: &dyn Ledger, edge: &str) -> LedgerResult<Option<(String, Run)>> {
    let stored = ledger.cursor(&duty(edge)).await?;
    Ok(stored.and_then(|text| read(&text).map(|run| (text, run))))
}

/// The step's end, if nobody else made it meanwhile.
async fn keep(
    ledger: &dyn Ledger,
    edge: &str,
    stored: &str,
    run: &Run,
    complete: bool,
    clock: &dyn Clock,
) -> LedgerResult<Stepped> {
    let now = clock.now();
    if !complete {
        ledger.move_cursor(&duty(edge), Some(stored), &text(run)?, now).await?;
        return Ok(Stepped::More);
    }
    if !ledger.move_cursor(&duty(edge), Some(stored), "", now).await? {
        return Ok(Stepped::More);
    }
    ledger.compared(edge, run.began, now).await?;
    let last = ledger.cursor(&summary_of(edge)).await?;
    let summary = Summary { at: Some(now), looked: run.looked, found: run.found, ..Summary::default() };
    ledger.move_cursor(&summary_of(edge), last.as_deref(), &text(&summary)?, now).await?;
    if run.found > 0 {
        tracing::warn!(edge, found = run.found, "platform, ledger and desk disagree: see the operations page");
    }
    Ok(Stepped::Complete)
}

/// One page of what the desk lists of our account.
async fn listed(ledger: &dyn Ledger, desk: &dyn Desk, clock: &dyn Clock, edge: &str, run: &mut Run) -> Result<(), SyncError> {
    let changes = desk.changed_since(run.mark).await.map_err(CallError::of_a_read)?;
    let mut sights = Vec::new();
    for status in changes.rows {
        run.looked += 1;
        if status.key.is_some() {
            let untouched_ours = is_untouched_ours(desk, &status).await;
            sights.push(Sight::Listed { status: Box::new(status), untouched_ours });
        }
    }
    run.found += ledger.compare(edge, sights, clock.now()).await?;
    match changes.next_mark {
        Some(next) if changes.more && next > run.mark => run.mark = next,
        _ => run.phase = Phase::Held,
    }
    Ok(())
}

/// One batch of what we hold; `true` when there is none left.
async fn held(ledger: &dyn Ledger, desk: &dyn Desk, clock: &dyn Clock, edge: &str, run: &mut Run) -> Result<bool, SyncError> {
    let info = desk.info();
    let held = ledger.tickets_to_compare(&info.name, Id(run.after), info.status_batch.max(1)).await?;
    let Some(last) = held.last() else { return Ok(true) };
    let refs: Vec<TicketRef> = held.iter().map(|h| h.ticket.clone()).collect();
    let answers = desk.status(&refs).await.map_err(CallError::of_a_read)?;
    let now = clock.now();
    let sights = answers.iter().filter_map(|answer| sight(answer, &held, now)).collect();
    run.after = last.id.0;
    run.looked += held.len();
    run.found += ledger.compare(edge, sights, now).await?;
    Ok(false)
}

/// What an answer has against what we think.
fn sight(answer: &StatusAnswer, held: &[Held], now: Timestamp) -> Option<Sight> {
    let of = |ticket: &TicketRef| held.iter().find(|h| h.ticket.id == ticket.id).cloned();
    match answer {
        StatusAnswer::Gone(ticket) => of(ticket).map(Sight::Gone),
        StatusAnswer::Unreadable(..) => None,
        StatusAnswer::Known(status) if status.category == Category::Gone => of(&status.ticket).map(Sight::Gone),
        StatusAnswer::Known(status) => {
            let ours = of(&status.ticket)?;
            // A closing that sync has read and nobody understood is parked: it is known.
            let known = status.updated_at.is_some() && ours.desk_updated_at == status.updated_at;
            let fresh = status.updated_at.is_some_and(|at| at.plus_ms(SETTLED_MS) > now);
            (status.category == Category::Closed && !known && !fresh).then_some(Sight::Closed(ours))
        }
    }
}

/// Mends a finding. What could do harm if the desk has changed since is looked at first.
///
/// # Errors
/// See [`SyncError`]; nothing was done.
pub async fn repair(
    ledger: &dyn Ledger,
    setup: &Setup,
    id: Id,
    actor: &str,
    pauses: &Pauses,
    clock: &dyn Clock,
) -> Result<Acted, SyncError> {
    if let Some(found) = ledger.finding(id).await?
        && matches!(found.kind, FindingKind::Double | FindingKind::Orphan)
    {
        let desk = found.edge.strip_prefix("desk/").and_then(|name| setup.desks.get(name));
        let Some(desk) = desk else { return Ok(Acted::NotNow("its desk is no longer described".to_owned())) };
        let objection = pauses.of_desk(&**desk, clock, objection(&**desk, &found)).await?;
        if let Some(objection) = objection {
            return Ok(Acted::NotNow(objection.to_owned()));
        }
    }
    Ok(ledger.act(Action::Repair { finding: id }, actor, clock.now()).await?)
}

/// What speaks against mending a finding, now that the desk is asked again.
async fn objection(desk: &dyn Desk, found: &FindingRow) -> Result<Option<&'static str>, CallError> {
    let ticket = TicketRef { id: found.subject.clone(), number: found.number.clone() };
    let answers = desk.status(std::slice::from_ref(&ticket)).await.map_err(CallError::of_a_read)?;
    let Some(StatusAnswer::Known(status)) = answers.into_iter().next() else {
        return Ok(Some("the desk does not show it any more"));
    };
    if status.key.as_ref().map(crate::model::Key::as_str) != found.key.as_deref() {
        return Ok(Some("it does not carry the key any more"));
    }
    if found.kind == FindingKind::Double && !is_untouched_ours(desk, &status).await {
        return Ok(Some("somebody else made it, or touched it: close it on the desk"));
    }
    Ok(None)
}
