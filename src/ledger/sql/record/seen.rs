//! The application itself shows what was ordered: the last step of an order's life, or a note until it comes to that.

use serde_json::json;

use crate::ledger::engine::{Conn, query, query_as};

use super::super::super::{LedgerResult, Receipt, ReceiptContent, Recorded};
use super::super::journal::{self, Move};
use super::super::{Shared, rows};
use super::range_of;
use crate::model::{Outcome, State, Timestamp};

/// An order of that id: id, operation, generation, state, outcome, when its ticket was filed.
type Known = (i64, String, i64, String, Option<String>, Option<i64>);

/// Why an order is proven.
pub(in crate::ledger) const SHOWN: &str = "the application itself shows it";

/// Whether an outcome claims what the application could show: all of what was ordered.
pub(in crate::ledger) fn can_be_proven(outcome: Option<&str>) -> bool {
    let done = [Outcome::Fulfilled, Outcome::AlreadyInPlace];
    outcome.is_some_and(|outcome| done.iter().any(|one| one.as_str() == outcome))
}

/// Takes the batch's evidence in, by the places of its receipts, and says in the results how many orders each concerned.
pub(super) async fn apply(
    tx: &mut Conn,
    shared: &Shared,
    places: &[usize],
    results: &mut [Recorded],
    receipts: &[&Receipt],
) -> LedgerResult<()> {
    let mut inbox = Vec::with_capacity(places.len());
    for place in places {
        let receipt = receipts[*place];
        let orders = orders(tx, receipt).await?;
        for order in &orders {
            take(tx, receipt, order).await?;
        }
        let answer = if orders.is_empty() { "unknown_order" } else { "unchanged" };
        results[*place] = if orders.is_empty() { Recorded::UnknownOrder } else { Recorded::Seen { assignments: orders.len() } };
        inbox.push(json!({"id": shared.ids.next(receipt.received_at).0, "s": receipt.source, "e": receipt.event_id,
            "d": receipt.digest, "at": receipt.received_at, "answer": answer, "a": orders.first().map(|order| order.0)}));
    }
    query(
        "INSERT INTO inbox (id, source, event_id, digest, received_at, answer, assignment_id)
         SELECT CAST(value->>'id' AS BIGINT), value->>'s', value->>'e', value->>'d', CAST(value->>'at' AS BIGINT), value->>'answer',
            CAST(value->>'a' AS BIGINT) FROM json_each($1) WHERE true",
    )
    .bind(rows(&inbox)?)
    .execute(tx)
    .await?;
    Ok(())
}

/// Orders that a receipt's evidence is of: of several with one id, the latest of each operation.
async fn orders(tx: &mut Conn, receipt: &Receipt) -> LedgerResult<Vec<Known>> {
    let ReceiptContent::Seen { of, external_id, operation, .. } = &receipt.content else { return Ok(Vec::new()) };
    let (from, to) = range_of(of, external_id);
    let found: Vec<Known> = query_as(
        "SELECT id, operation, generation, state, outcome, filed_at FROM assignment
         WHERE natural_key >= $1 AND natural_key < $2 AND external_id = $3 AND source = $4 ORDER BY id",
    )
    .bind(from)
    .bind(to)
    .bind(external_id)
    .bind(of)
    .fetch_all(tx)
    .await?;
    let wanted = |order: &&Known| operation.is_none_or(|operation| operation.as_str() == order.1);
    let latest = |order: &&Known| !found.iter().any(|other| other.1 == order.1 && other.2 > order.2);
    Ok(found.iter().filter(wanted).filter(latest).cloned().collect())
}

async fn take(tx: &mut Conn, receipt: &Receipt, (id, _, _, state, outcome, filed): &Known) -> LedgerResult<()> {
    let ReceiptContent::Seen { at, .. } = &receipt.content else { return Ok(()) };
    let seen_at = at.unwrap_or(receipt.received_at);
    let state = State::parse(state);
    let newer = filed.is_some_and(|filed| seen_at.0 >= filed);
    let step = |to, event| {
        let step = Move::ours(*id, to, event, receipt.received_at).actor(&format!("source/{}", receipt.source));
        if at.is_some() { step.by_clock_of(&receipt.source, seen_at) } else { step }
    };
    let step = match state {
        // It says so with every look.
        Some(State::Proven | State::Superseded | State::Duplicate) | None => return Ok(()),
        Some(State::Reported) if newer && can_be_proven(outcome.as_deref()) => step(Some(State::Proven), "proven").cause(SHOWN),
        _ if noted(tx, *id, newer).await? => return Ok(()),
        _ if !newer => step(None, "seen_before").cause("the application showed it before there was a ticket: it proves nothing"),
        Some(State::Reported) => step(None, "seen").cause(format!("{SHOWN}, and the ticket was closed otherwise")),
        _ => step(None, "seen").cause(format!("{SHOWN}; it is proven once its outcome is reported")),
    };
    journal::apply(tx, &[step], receipt.received_at).await
}

/// Whether the same was noted since the order was opened last: each look of a platform tells it again.
async fn noted(tx: &mut Conn, id: i64, newer: bool) -> LedgerResult<bool> {
    let found: Option<(i64,)> = query_as(
        "SELECT seq FROM journal WHERE assignment_id = $1 AND event = $2
            AND seq > COALESCE((SELECT MAX(r.seq) FROM journal AS r WHERE r.assignment_id = $1 AND r.event = 'reopened'), 0) LIMIT 1",
    )
    .bind(id)
    .bind(if newer { "seen" } else { "seen_before" })
    .fetch_optional(tx)
    .await?;
    Ok(found.is_some())
}

/// The step that follows a report of what was seen before: not before the ticket, which is what is proven.
pub(in crate::ledger) fn after_report(id: i64, seen: Option<(i64, &str)>, outcome: Option<&str>, at: Timestamp) -> Option<Move> {
    let (seen_at, whose) = seen.filter(|_| can_be_proven(outcome))?;
    Some(Move::ours(id, Some(State::Proven), "proven", at).by_clock_of(whose, Timestamp(seen_at)).cause(SHOWN))
}
