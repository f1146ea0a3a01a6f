//! Orders that left the list and are in it again: whatever made the platform show an empty list, nothing is lost by it.

use crate::ledger::engine::{Conn, query, query_as};
use serde_json::json;

use super::super::super::LedgerResult;
use super::super::Shared;
use super::super::front::planned_again;
use super::super::journal::{self, Move};
use super::withdraw::range_of;
use crate::ledger::sql::settle::after;
use crate::model::{Outcome, State, Timestamp};

/// Id, state, ticket, outcome.
type Taken = (i64, String, Option<i64>, Option<String>);

/// Takes a withdrawal back that the list's own silence had caused at `gone_at`; returns how many orders stand again, and
/// `None` where our closing of a ticket is under way: the next round asks again.
pub(in crate::ledger) async fn reinstate(
    tx: &mut Conn,
    shared: &Shared,
    source: &str,
    external_id: &str,
    gone_at: Timestamp,
    at: Timestamp,
) -> LedgerResult<Option<usize>> {
    let (from, to) = range_of(source, external_id);
    let found: Vec<Taken> = query_as(
        // One that came back as a new generation is an order of its own, and has been recorded.
        "SELECT id, state, ticket_id, outcome FROM assignment AS a
         WHERE natural_key >= $1 AND natural_key < $2 AND external_id = $3 AND source = $4 AND withdrawn_at = $5
            AND NOT EXISTS (SELECT 1 FROM assignment AS n WHERE n.natural_key >= $1 AND n.natural_key < $2 AND n.external_id = $3
                AND n.source = $4 AND n.operation = a.operation AND n.generation > a.generation)",
    )
    .bind(from)
    .bind(to)
    .bind(external_id)
    .bind(source)
    .bind(gone_at.0)
    .fetch_all(&mut *tx)
    .await?;
    let mut standing = 0;
    for (id, state, ticket, outcome) in found {
        let cancelled = outcome.as_deref() == Some(Outcome::Cancelled.as_str());
        match State::parse(&state) {
            Some(State::Closed | State::Reported) if cancelled => {
                order_again(tx, id, "reinstated", "it is in the platform's list again; it is planned anew", at).await?;
            }
            // Carried out all the same: nothing is owed.
            Some(State::Closed | State::Reported | State::Proven | State::Superseded | State::Duplicate) | None => continue,
            Some(State::Open | State::Rework) => {
                if let Some(ticket) = ticket
                    && !after::tell_reinstated(tx, shared, ticket, id, gone_at, at).await?
                {
                    return Ok(None);
                }
                lift(tx, id).await?;
                journal::apply(tx, &[step(id, None, at, "it is in the platform's list again")], at).await?;
            }
            Some(_) => {
                lift(tx, id).await?;
                journal::apply(tx, &[step(id, None, at, "it is in the platform's list again")], at).await?;
            }
        }
        standing += 1;
    }
    Ok(Some(standing))
}

fn step(id: i64, to: Option<State>, at: Timestamp, cause: &str) -> Move {
    Move::ours(id, to, "reinstated", at).cause(cause).detail(json!({}))
}

async fn lift(tx: &mut Conn, id: i64) -> LedgerResult<()> {
    query("UPDATE assignment SET withdrawn_at = NULL WHERE id = $1").bind(id).execute(tx).await?;
    Ok(())
}

/// Nothing is open of it on the desk: it is planned anew, with a ticket of the next cycle where there had been one.
pub(super) async fn order_again(tx: &mut Conn, id: i64, event: &'static str, cause: &str, at: Timestamp) -> LedgerResult<()> {
    // A report that was not sent yet would be untrue now.
    query(
        "UPDATE errand SET state = 'dropped', done_at = $2, reason = 'the order was planned anew before it was sent'
         WHERE kind = 'report' AND state IN ('ready', 'parked') AND assignment_id = $1",
    )
    .bind(id)
    .bind(at.0)
    .execute(&mut *tx)
    .await?;
    tx.falls_due(at);
    query(concat!(
        "UPDATE assignment SET withdrawn_at = NULL, outcome = NULL, closed_at = NULL, reported_at = NULL, ticket_id = NULL, filed_at = NULL,
            first_work_at = NULL, plan_at = ",
        planned_again!("0", "$2"),
        ", parked_at = NULL, parked_code = NULL, parked_reason = NULL WHERE id = $1",
    ))
    .bind(id)
    .bind(at.0)
    .execute(&mut *tx)
    .await?;
    journal::apply(tx, &[Move::ours(id, Some(State::Planned), event, at).cause(cause)], at).await
}
