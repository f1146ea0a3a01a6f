//! A person left: what was to be given to them is taken back, and what is taken from them goes ahead of everything.

use serde_json::{Value, json};

use crate::ledger::engine::{Conn, query, query_as};

use super::super::super::{LedgerResult, Receipt, ReceiptContent, Recorded};
use super::super::front::planned_again;
use super::super::journal::{self, Move};
use super::super::{Shared, rows};
use super::NewAssignment;
use super::change::drop_unsent;
use super::withdraw::take_back;
use crate::ledger::sql::settle::after;
use crate::model::{State, Timestamp};
use crate::plan::due::LEAVERS_AHEAD_MS;

/// Place of the receipt in its batch, and the person's hash.
pub(super) type Leaver = (usize, String);

/// What became of an open order of a leaver: id, state, ticket, whether it is a revocation, when it was taken back, person,
/// when it is meant for.
type Open = (i64, String, Option<i64>, i64, Option<i64>, String, Option<i64>);

/// How far the platform's clock may be ahead of ours: what its hooks tolerate, too.
const CLOCKS_APART_MS: i64 = 300_000;

/// Why an order that gives something was taken back.
const LEFT: &str = "the person left";

/// Carries out the batch's leavers and says in the results how many orders each concerned.
pub(super) async fn apply(
    tx: &mut Conn,
    shared: &Shared,
    leavers: &[Leaver],
    results: &mut [Recorded],
    receipts: &[&Receipt],
) -> LedgerResult<()> {
    let known: Vec<Value> = leavers
        .iter()
        .map(|(place, person)| {
            let receipt = receipts[*place];
            json!({"p": person, "s": receipt.source, "at": receipt.received_at, "id": shared.ids.next(receipt.received_at).0,
                "e": receipt.event_id, "d": receipt.digest})
        })
        .collect();
    let text = rows(&known)?;
    query(
        "INSERT INTO leaver (person, source, left_at) SELECT value->>'p', value->>'s', CAST(value->>'at' AS BIGINT) FROM json_each($1) WHERE true
         ON CONFLICT (person) DO UPDATE SET left_at = excluded.left_at",
    )
    .bind(&text)
    .execute(&mut *tx)
    .await?;
    query(
        "INSERT INTO inbox (id, source, event_id, digest, received_at, answer)
         SELECT CAST(value->>'id' AS BIGINT), value->>'s', value->>'e', value->>'d', CAST(value->>'at' AS BIGINT), 'withdrawn' FROM json_each($1) WHERE true",
    )
    .bind(&text)
    .execute(&mut *tx)
    .await?;
    // One look for the whole batch: few states are open, and no index goes by person.
    let open: Vec<Open> = query_as(
        "SELECT id, state, ticket_id, revocation, withdrawn_at, beneficiary, valid_from FROM assignment
         WHERE state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework')
           AND beneficiary IN (SELECT value->>'p' FROM json_each($1)) ORDER BY id",
    )
    .bind(&text)
    .fetch_all(&mut *tx)
    .await?;
    for (place, person) in leavers {
        let at = receipts[*place].received_at;
        let mut count = 0;
        for (id, state, ticket, revocation, _, _, from) in open.iter().filter(|o| o.5 == *person && o.4.is_none()) {
            count += 1;
            if *revocation == 1 {
                hurry(tx, shared, *id, (state, *ticket), from.is_some_and(|from| from > at.0), at).await?;
            } else {
                take_back(tx, shared, *id, state, *ticket, at, LEFT).await?;
            }
        }
        results[*place] = Recorded::Withdrawn { assignments: count };
    }
    Ok(())
}

/// Whom an event says to have left.
pub(super) fn leaver_of(receipt: &Receipt) -> Option<&str> {
    match &receipt.content {
        ReceiptContent::Left { person } => Some(person),
        _ => None,
    }
}

/// What is being taken away already goes first from now on, wherever it stands, and its date is no reason to wait.
async fn hurry(
    tx: &mut Conn,
    shared: &Shared,
    id: i64,
    (state, ticket): (&str, Option<i64>),
    dated: bool,
    at: Timestamp,
) -> LedgerResult<()> {
    let cause = "the person left: it goes ahead of everything";
    if dated && state == State::Due.as_str() && drop_unsent(tx, id).await? {
        // Its ticket was about to say a later date.
        let step = Move::ours(id, Some(State::Planned), "hurried", at).cause(cause);
        journal::apply(tx, &[step], at).await?;
        return plan_first(tx, id, at).await;
    }
    plan_first(tx, id, at).await?;
    // Once: who left twice is not further ahead. On PostgreSQL claims find what has come to the front by its time.
    query(
        "UPDATE errand SET rank = rank - $2 /*postgres , due_at = GREATEST(due_at, $3)*/ WHERE assignment_id = $1 AND kind = 'create' AND state IN ('ready', 'unclear', 'parked')
            AND rank > made_at - $2",
    )
    .bind(id)
    .bind(LEAVERS_AHEAD_MS)
    .bind(at.0)
    .execute(&mut *tx)
    .await?;
    journal::apply(tx, &[Move::ours(id, None, "hurried", at).cause(cause)], at).await?;
    match (State::parse(state), ticket) {
        (Some(State::Open | State::Rework), Some(ticket)) => after::tell_leaver(tx, shared, ticket, id, at).await,
        _ => Ok(()),
    }
}

async fn plan_first(tx: &mut Conn, id: i64, at: Timestamp) -> LedgerResult<()> {
    tx.falls_due(at);
    query(concat!(
        "UPDATE assignment SET plan_at = ",
        planned_again!("-1", "$2"),
        " WHERE id = $1 AND state IN ('received', 'planned')"
    ))
    .bind(id)
    .bind(at.0)
    .execute(tx)
    .await?;
    Ok(())
}

/// Id, revocation, state, arrival, approval or request, when they left, person.
type Met = (i64, i64, String, i64, Option<i64>, i64, String);

/// New orders for somebody who has left. What takes something from them is planned first. What gives them something and
/// was approved before they left only came late: it is taken back. What was approved afterwards shows that they are back.
pub(super) async fn met(tx: &mut Conn, shared: &Shared, new: &[NewAssignment]) -> LedgerResult<()> {
    let ids: Vec<i64> = new.iter().map(|a| a.id).collect();
    let found: Vec<Met> = query_as(
        "SELECT a.id, a.revocation, a.state, a.received_at, COALESCE(a.approved_at, a.requested_at), l.left_at, l.person
         FROM assignment AS a JOIN leaver AS l ON l.person = a.beneficiary
         WHERE a.id IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) AND a.withdrawn_at IS NULL ORDER BY a.id",
    )
    .bind(rows(&ids)?)
    .fetch_all(&mut *tx)
    .await?;
    for (id, revocation, state, received, ordered, left, person) in found {
        let came_late = ordered.is_some_and(|ordered| ordered <= left + CLOCKS_APART_MS);
        match (revocation == 1, came_late, ordered) {
            (true, ..) => plan_first(tx, id, Timestamp(received)).await?,
            (false, true, _) => {
                let cause = "the person had left before it arrived";
                take_back(tx, shared, id, &state, None, Timestamp(received), cause).await?;
            }
            (false, false, Some(_)) => {
                query("DELETE FROM leaver WHERE person = $1").bind(person).execute(&mut *tx).await?;
            }
            // When it was ordered is not known: it is carried out, and says nothing about the person.
            (false, false, None) => {}
        }
    }
    Ok(())
}
