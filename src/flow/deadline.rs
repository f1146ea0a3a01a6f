//! Platforms that wait for an answer only so long: before they stop, each order is told no, or people are alarmed, as the
//! operator chose. Never silence.

use super::intake::{PollError, polled_badly, polled_well, receipt};
use super::{Work, edge_answers, edge_fails};
use crate::http::CallError;
use crate::ledger::{Ledger, LedgerResult, TimeUp};
use crate::model::{Clock, Id, State, Timestamp};
use crate::source::{EventContent, Missing, Source, SourceEvent};

/// Orders worked on in one round.
const MOST: usize = 1_000;
/// Orders under way that a platform is asked about in one look.
const MOST_ASKED: usize = 10_000;
/// A report needs so long at most where nothing is wrong.
const ON_ITS_WAY_MS: i64 = 60_000;
/// Orders that an alarm names.
const NAMED: usize = 5;

/// One round for one source. Returns how many orders were told no.
///
/// # Errors
/// The ledger is not available; the next round finds the same orders.
pub async fn step(ledger: &dyn Ledger, source: &dyn Source, clock: &dyn Clock) -> LedgerResult<usize> {
    let name = &source.info().name;
    let (edge, now) = (format!("source/{name}"), clock.now());
    let (mut ends, mut overdue) = (Vec::new(), Vec::new());
    for order in ledger.waiting(name, now, MOST).await? {
        let end = match order.state {
            // What has ended is not told no any more: its report is on its way, or waits for a person.
            State::Closed | State::Superseded if order.ended_at.is_some_and(|at| now.ms_since(at) < ON_ITS_WAY_MS) => continue,
            State::Closed | State::Superseded => TimeUp::Alarm,
            _ => source.time_is_up(&order.external_id, order.operation),
        };
        if end == TimeUp::Alarm {
            overdue.push(order.id);
        }
        ends.push((order.id, end));
    }
    // What has ended since it was found was not told no.
    let denied = if ends.is_empty() { 0 } else { ledger.time_is_up(ends, now).await? };
    if denied > 0 {
        metrics::counter!("lastmile_denied_at_deadline_total", "source" => name.clone()).increment(denied as u64);
        tracing::warn!(source = name, denied, "the platform soon stops waiting and nobody has answered: it is told no");
    }
    say_overdue(name, overdue.len());
    if overdue.is_empty() {
        edge_answers(ledger, &edge, Work::Answers, now).await?;
    } else {
        edge_fails(ledger, &edge, Work::Answers, &alarm(&overdue), now).await?;
    }
    Ok(denied)
}

fn say_overdue(source: &str, orders: usize) {
    #[expect(clippy::cast_precision_loss, reason = "a count of orders")]
    metrics::gauge!("lastmile_answers_overdue", "source" => source.to_owned()).set(orders as f64);
}

/// Another process looks after this source now, and says how many are overdue.
pub fn left_to_others(source: &dyn Source) {
    say_overdue(&source.info().name, 0);
}

fn alarm(overdue: &[Id]) -> CallError {
    let named: Vec<String> = overdue.iter().take(NAMED).map(ToString::to_string).collect();
    let more = if overdue.len() > NAMED { " and more" } else { "" };
    let orders = if overdue.len() == 1 { "order has" } else { "orders have" };
    CallError::retry("E-DEADLINE", format!("{} {orders} no answer yet: {}{more}", overdue.len(), named.join(", ")))
}

/// Asks the platform whether it still wants what is under way; what it took back is withdrawn. Returns how many were.
///
/// # Errors
/// See [`PollError`]; nothing was recorded then.
pub async fn look(ledger: &dyn Ledger, source: &dyn Source, clock: &dyn Clock) -> Result<usize, PollError> {
    let name = &source.info().name;
    let under_way = ledger.waiting(name, Timestamp(i64::MAX), MOST_ASKED).await?;
    let ids: Vec<String> = under_way
        .into_iter()
        .filter(|order| !matches!(order.state, State::Closed | State::Superseded))
        .map(|order| order.external_id)
        .collect();
    if ids.is_empty() {
        return Ok(0);
    }
    let words = match source.missing(&ids).await.map_err(CallError::of_a_read) {
        Ok(words) => words,
        Err(error) => {
            polled_badly(ledger, name, &error, clock.now()).await?;
            return Err(error.into());
        }
    };
    polled_well(ledger, name, clock.now()).await?;
    let gone = ids.into_iter().zip(words).filter(|(_, word)| *word == Missing::Withdrawn).map(|(id, _)| id);
    let receipts: Vec<_> = gone
        .map(|external_id| {
            let event_id = format!("gone-{external_id}");
            let content = EventContent::Withdrawn { external_id, operation: None, reason: None };
            receipt(name, SourceEvent { digest: event_id.clone(), event_id, content }, clock.now())
        })
        .collect();
    let withdrawn = receipts.len();
    if withdrawn > 0 {
        ledger.record(receipts).await?;
    }
    Ok(withdrawn)
}
