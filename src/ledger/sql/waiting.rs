//! Platforms that wait only so long: whose time is up, and what becomes of it.

use serde_json::json;

use super::super::engine::{Conn, Pool, query, query_as};
use super::super::{LedgerError, LedgerResult, TimeUp, Waiting};
use super::Shared;
use super::journal::{self, Move};
use super::record::drop_unsent;
use super::settle::after;
use crate::model::{Id, Operation, Outcome, State, Timestamp};

/// The states stand in the text: only so is the partial index used. What a platform took back it does not wait for. Of what
/// has ended it waits for the report, unless that was let go, or refused because nobody waits for it any more.
const WAITING: &str = "SELECT id, external_id, operation, state, answer_by, closed_at FROM assignment AS a
    WHERE source = $1 AND answer_by IS NOT NULL AND answer_by <= $2
      AND state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework', 'closed', 'superseded')
      AND ((state NOT IN ('closed', 'superseded') AND withdrawn_at IS NULL)
        OR (state IN ('closed', 'superseded') AND EXISTS (SELECT 1 FROM errand AS e
            WHERE e.assignment_id = a.id AND e.kind = 'report' AND (e.state IN ('ready', 'sending', 'unclear')
                OR (e.state = 'parked' AND COALESCE(e.code, '') NOT IN ('E-DEADLINE', 'E-DECIDED', 'E-GONE'))))))
    ORDER BY answer_by LIMIT $3";

/// A row of it.
type Row = (i64, String, String, String, i64, Option<i64>);

/// Orders of a source that wait for an answer until `by` or earlier.
pub(in crate::ledger) async fn waiting(pool: &Pool, source: &str, by: Timestamp, limit: usize) -> LedgerResult<Vec<Waiting>> {
    let found: Vec<Row> =
        query_as(WAITING).bind(source).bind(by.0).bind(i64::try_from(limit).unwrap_or(i64::MAX)).fetch_all(pool).await?;
    let read = |(id, external_id, operation, state, by, ended): Row| {
        let corrupt = || LedgerError::Corrupt(format!("operation `{operation}` or state `{state}`"));
        Ok(Waiting {
            id: Id(id),
            external_id,
            operation: Operation::parse(&operation).ok_or_else(corrupt)?,
            state: State::parse(&state).ok_or_else(corrupt)?,
            answer_by: Timestamp(by),
            ended_at: ended.map(Timestamp),
        })
    };
    found.into_iter().map(read).collect()
}

/// Tells each no, or notes it as overdue; returns how many were told no.
pub(in crate::ledger) async fn time_is_up(
    tx: &mut Conn,
    shared: &Shared,
    ends: &[(Id, TimeUp)],
    now: Timestamp,
) -> LedgerResult<usize> {
    let mut denied = 0;
    for (id, end) in ends {
        match end {
            TimeUp::Deny { reason } => denied += usize::from(deny(tx, shared, id.0, reason, now).await?),
            TimeUp::Alarm => alarm(tx, id.0, now).await?,
        }
    }
    Ok(denied)
}

/// The order ends here and now, whatever its ticket does later. False where it has ended meanwhile.
async fn deny(tx: &mut Conn, shared: &Shared, id: i64, reason: &str, now: Timestamp) -> LedgerResult<bool> {
    let row: Option<(String, Option<i64>)> =
        query_as("SELECT state, ticket_id FROM assignment WHERE id = $1 AND withdrawn_at IS NULL")
            .bind(id)
            .fetch_optional(&mut *tx)
            .await?;
    let Some((state, ticket)) = row else { return Ok(false) };
    let state = State::parse(&state).ok_or_else(|| LedgerError::Corrupt(format!("state `{state}`")))?;
    if !(state.is_unsent() || matches!(state, State::Sending | State::Unclear | State::Open | State::Rework)) {
        return Ok(false);
    }
    if state == State::Due {
        // Where a ticket may still turn up, it is told then that the order was taken back.
        drop_unsent(tx, id).await?;
    }
    query("UPDATE assignment SET withdrawn_at = $2 WHERE id = $1").bind(id).bind(now.0).execute(&mut *tx).await?;
    let cause = "the platform soon stops waiting and nobody has answered: it is told no";
    journal::apply(tx, &[Move::ours(id, Some(State::Closed), "denied", now).cause(cause)], now).await?;
    after::close_without_ticket(tx, shared, id, Outcome::Cancelled, now).await?;
    query("UPDATE errand SET body = $2 WHERE kind = 'report' AND state = 'ready' AND assignment_id = $1")
        .bind(id)
        .bind(reason)
        .execute(&mut *tx)
        .await?;
    if let Some(ticket) = ticket.filter(|_| state.has_open_ticket()) {
        after::tell_withdrawal(tx, shared, ticket, id, now).await?;
    }
    Ok(true)
}

/// Noted once on the order's timeline.
async fn alarm(tx: &mut Conn, id: i64, now: Timestamp) -> LedgerResult<()> {
    let row: Option<(i64,)> = query_as(
        "SELECT answer_by FROM assignment WHERE id = $1 AND answer_by IS NOT NULL
            AND NOT EXISTS (SELECT 1 FROM journal AS j WHERE j.assignment_id = assignment.id AND j.event = 'overdue')",
    )
    .bind(id)
    .fetch_optional(&mut *tx)
    .await?;
    let Some((by,)) = row else { return Ok(()) };
    let step = Move::ours(id, None, "overdue", now)
        .cause("the platform soon stops waiting and has no answer; the ticket stands, people are alarmed")
        .detail(json!({"answer_by": by}));
    journal::apply(tx, &[step], now).await
}
