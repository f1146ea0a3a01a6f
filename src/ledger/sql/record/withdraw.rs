//! Orders taken back: dropped when nothing was sent, told to the ticket when something was.

use crate::ledger::engine::{Conn, query, query_as};
use serde_json::json;

use super::super::super::{LedgerResult, Receipt, ReceiptContent, Recorded};
use super::super::journal::{self, Move};
use super::super::{Shared, rows};
use super::NewAssignment;
use super::change::{drop_risky, drop_unsent};
use crate::ledger::sql::settle::after;
use crate::model::{Operation, Outcome, State, Timestamp};

/// How far the platform's clock may be ahead of ours: what its hooks tolerate, too.
const CLOCKS_APART_MS: i64 = 300_000;

type Withdrawal = (String, String, Option<Operation>, Timestamp);

/// Withdrawals that arrived before these new orders did; each is used once. An order that was approved after the
/// withdrawal came is another one: the same id, ordered anew.
pub(super) async fn early(tx: &mut Conn, new: &[NewAssignment]) -> LedgerResult<Vec<Withdrawal>> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let asked: Vec<_> = new.iter().map(|a| json!({"s": a.source, "x": a.ext, "op": a.op, "at": a.appr})).collect();
    let found: Vec<(String, String, String, i64)> = query_as(
        "DELETE FROM early_withdrawal WHERE (source, external_id) IN (SELECT value->>'s', value->>'x' FROM json_each($1))
            AND (operation = '' OR (source, external_id, operation) IN (SELECT value->>'s', value->>'x', value->>'op' FROM json_each($1)))
            AND EXISTS (SELECT 1 FROM json_each($1) AS j WHERE j.value->>'s' = source AND j.value->>'x' = external_id
                AND operation IN ('', j.value->>'op') AND COALESCE(CAST(j.value->>'at' AS BIGINT), 0) <= early_withdrawal.at + $2)
         RETURNING source, external_id, operation, at",
    )
    .bind(rows(&asked)?)
    .bind(CLOCKS_APART_MS)
    .fetch_all(tx)
    .await?;
    Ok(found.into_iter().map(|(s, x, op, at)| (s, x, Operation::parse(&op), Timestamp(at))).collect())
}

/// Carries out the batch's withdrawals and says in the results how many orders each concerned.
pub(super) async fn apply(
    tx: &mut Conn,
    shared: &Shared,
    withdrawals: &[Withdrawal],
    results: &mut [Recorded],
    receipts: &[&Receipt],
) -> LedgerResult<()> {
    // Results that are withdrawals stand in the order of the withdrawals; repeats are not among them.
    let mut places = results.iter_mut().zip(receipts).filter(|(result, receipt)| {
        matches!(receipt.content, ReceiptContent::Withdrawn { .. }) && matches!(result, Recorded::Withdrawn { .. })
    });
    for (source, external_id, operation, at) in withdrawals {
        let count = withdraw(tx, shared, source, external_id, *operation, *at, "the platform took it back").await?;
        let Some((result, receipt)) = places.next() else { continue };
        let answer = if count == 0 { "unknown_order" } else { "withdrawn" };
        *result = if count == 0 { Recorded::UnknownOrder } else { Recorded::Withdrawn { assignments: count } };
        if count == 0 {
            query(
                "INSERT INTO early_withdrawal (source, external_id, operation, at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (source, external_id, operation) DO NOTHING",
            )
            .bind(source)
            .bind(external_id)
            .bind(operation.map_or("", Operation::as_str))
            .bind(at.0)
            .execute(&mut *tx)
            .await?;
        }
        query("INSERT INTO inbox (id, source, event_id, digest, received_at, answer) VALUES ($1, $2, $3, $4, $5, $6)")
            .bind(shared.ids.next(*at).0)
            .bind(source)
            .bind(&receipt.event_id)
            .bind(&receipt.digest)
            .bind(at.0)
            .bind(answer)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

/// Id, operation, state, ticket and time of an earlier withdrawal.
type Concerned = (i64, String, String, Option<i64>, Option<i64>);

/// Takes back every unfinished assignment of an order; returns how many it concerned (already withdrawn ones too).
pub(in crate::ledger) async fn withdraw(
    tx: &mut Conn,
    shared: &Shared,
    source: &str,
    external_id: &str,
    operation: Option<Operation>,
    at: Timestamp,
    cause: &str,
) -> LedgerResult<usize> {
    let (from, to) = range_of(source, external_id);
    let found: Vec<Concerned> = query_as(
        "SELECT id, operation, state, ticket_id, withdrawn_at FROM assignment
         WHERE natural_key >= $1 AND natural_key < $2 AND external_id = $3 AND source = $4",
    )
    .bind(from)
    .bind(to)
    .bind(external_id)
    .bind(source)
    .fetch_all(&mut *tx)
    .await?;
    let mut concerned = 0;
    for (id, op, state, ticket, withdrawn) in found {
        if operation.is_some_and(|wanted| wanted.as_str() != op) {
            continue;
        }
        concerned += 1;
        if withdrawn.is_none() {
            take_back(tx, shared, id, &state, ticket, at, cause).await?;
        }
    }
    Ok(concerned)
}

/// Natural keys begin with source and external id: the unique index finds them.
pub(in crate::ledger) fn range_of(source: &str, external_id: &str) -> (String, String) {
    (format!("{source}/{external_id}/"), format!("{source}/{external_id}0"))
}

pub(super) async fn take_back(
    tx: &mut Conn,
    shared: &Shared,
    id: i64,
    state: &str,
    ticket: Option<i64>,
    at: Timestamp,
    cause: &str,
) -> LedgerResult<()> {
    let state = State::parse(state);
    if state.is_none_or(|s| matches!(s, State::Closed | State::Reported | State::Proven | State::Superseded | State::Duplicate)) {
        let late = format!("{cause}; it had already ended, which stands");
        return journal::apply(tx, &[Move::ours(id, None, "withdrawn_late", at).cause(late)], at).await;
    }
    query("UPDATE assignment SET withdrawn_at = $2 WHERE id = $1").bind(id).bind(at.0).execute(&mut *tx).await?;
    let unsent = match state {
        Some(State::Received | State::Planned) => true,
        Some(State::Due) => drop_unsent(tx, id).await? || drop_risky(tx, id, at).await?,
        _ => false,
    };
    if unsent {
        journal::apply(
            tx,
            &[Move::ours(id, Some(State::Closed), "withdrawn", at).cause(format!("{cause}; nothing had been sent"))],
            at,
        )
        .await?;
        return after::close_without_ticket(tx, shared, id, Outcome::Cancelled, at).await;
    }
    journal::apply(tx, &[Move::ours(id, None, "withdrawn", at).cause(cause)], at).await?;
    match (state, ticket) {
        (Some(State::Open | State::Rework), Some(ticket)) => after::tell_withdrawal(tx, shared, ticket, id, at).await,
        // Sent or being sent: told once it is known which ticket it became.
        _ => Ok(()),
    }
}
