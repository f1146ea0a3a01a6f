//! A person left: what was to be given to them is taken back, and what is taken from them goes ahead of everything.

use serde_json::{Value, json};

use crate::ledger::engine::{Conn, query, query_as};

use super::super::super::{LedgerResult, Receipt, ReceiptContent, Recorded};
use super::super::journal::{self, Move};
use super::super::{Shared, rows};
use super::withdraw::take_back;
use crate::model::Timestamp;
use crate::plan::due::LEAVERS_AHEAD_MS;

/// Place of the receipt in its batch, and the person's hash.
pub(super) type Leaver = (usize, String);

/// What became of an open order of a leaver.
type Open = (i64, String, Option<i64>, i64, Option<i64>, String);

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
        "SELECT id, state, ticket_id, revocation, withdrawn_at, beneficiary FROM assignment
         WHERE state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework')
           AND beneficiary IN (SELECT value->>'p' FROM json_each($1)) ORDER BY id",
    )
    .bind(&text)
    .fetch_all(&mut *tx)
    .await?;
    for (place, person) in leavers {
        let at = receipts[*place].received_at;
        let mut count = 0;
        for (id, state, ticket, revocation, withdrawn, _) in open.iter().filter(|o| o.5 == *person && o.4.is_none()) {
            count += 1;
            match (*revocation == 1, withdrawn) {
                (true, _) => hurry(tx, *id, at).await?,
                (false, None) => take_back(tx, shared, *id, state, *ticket, at, "the person left").await?,
                (false, Some(_)) => {}
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

/// What is being taken away already goes first from now on, wherever it stands.
async fn hurry(tx: &mut Conn, id: i64, at: Timestamp) -> LedgerResult<()> {
    query("UPDATE assignment SET plan_at = -1 WHERE id = $1 AND state IN ('received', 'planned') AND plan_at <= $2")
        .bind(id)
        .bind(at.0)
        .execute(&mut *tx)
        .await?;
    // Once: who left twice is not further ahead.
    query(
        "UPDATE errand SET rank = rank - $2 WHERE assignment_id = $1 AND kind = 'create' AND state IN ('ready', 'unclear', 'parked')
            AND rank > made_at - $2",
    )
    .bind(id)
    .bind(LEAVERS_AHEAD_MS)
    .execute(&mut *tx)
    .await?;
    let step = Move::ours(id, None, "hurried", at).cause("the person left: it goes ahead of everything");
    journal::apply(tx, &[step], at).await
}

/// New orders to take something from somebody who has left are planned first.
pub(super) async fn hurry_new(tx: &mut Conn, revocations: &[i64]) -> LedgerResult<()> {
    query(
        "UPDATE assignment SET plan_at = -1 WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))
            AND EXISTS (SELECT 1 FROM leaver AS l WHERE l.person = assignment.beneficiary)",
    )
    .bind(rows(revocations)?)
    .execute(tx)
    .await?;
    Ok(())
}
