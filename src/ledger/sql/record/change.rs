//! The same order with other content: a revision, acted on.

use crate::ledger::engine::{Conn, query, query_as};
use serde_json::{Value, json};

use super::super::super::LedgerResult;
use super::super::front::planned_again;
use super::super::journal::{self, Move};
use super::super::{Shared, rows};
use super::insert::persons_of;
use crate::ledger::sql::settle::after;
use crate::model::{Assignment, State, Timestamp};

/// New content of a known order.
pub(super) struct Change {
    pub(super) id: i64,
    pub(super) revision: i64,
    pub(super) document_id: i64,
    pub(super) digest: String,
    pub(super) at: Timestamp,
    pub(super) assignment: Assignment,
}

/// Writes revisions. What is not sent yet is planned anew; an open ticket is told by a comment.
pub(super) async fn apply(tx: &mut Conn, shared: &Shared, changes: &[Change]) -> LedgerResult<()> {
    for change in changes {
        keep_revision(tx, change).await?;
        update_content(tx, shared, change).await?;
        let (state, ticket_id): (String, Option<i64>) =
            query_as("SELECT state, ticket_id FROM assignment WHERE id = $1").bind(change.id).fetch_one(&mut *tx).await?;
        let step = |to, cause: &str| {
            Move::ours(change.id, to, "changed", change.at).cause(cause).detail(json!({"revision": change.revision}))
        };
        match State::parse(&state) {
            Some(State::Received | State::Planned) => {
                plan_again(tx, change.id, change.at).await?;
                journal::apply(tx, &[step(None, "the platform changed the order; it is planned anew")], change.at).await?;
            }
            Some(State::Due) if drop_unsent(tx, change.id).await? => {
                plan_again(tx, change.id, change.at).await?;
                journal::apply(
                    tx,
                    &[step(Some(State::Planned), "the platform changed the order before its ticket was sent")],
                    change.at,
                )
                .await?;
            }
            Some(State::Open | State::Rework) => {
                journal::apply(tx, &[step(None, "the platform changed the order; its ticket is told")], change.at).await?;
                if let Some(ticket) = ticket_id {
                    after::tell_change(tx, shared, ticket, change.id, change.at).await?;
                }
            }
            Some(State::Due | State::Sending | State::Unclear) => {
                journal::apply(
                    tx,
                    &[step(None, "the platform changed the order; its ticket is told once it is filed")],
                    change.at,
                )
                .await?;
            }
            _ => journal::apply(tx, &[step(None, "the platform changed the order after it was closed")], change.at).await?,
        }
    }
    Ok(())
}

async fn keep_revision(tx: &mut Conn, change: &Change) -> LedgerResult<()> {
    query(
        "INSERT INTO revision (assignment_id, revision, document_id, content_digest, seen_at)
         SELECT id, revision, document_id, content_digest, $2 FROM assignment WHERE id = $1",
    )
    .bind(change.id)
    .bind(change.at.0)
    .execute(tx)
    .await?;
    Ok(())
}

async fn update_content(tx: &mut Conn, shared: &Shared, change: &Change) -> LedgerResult<()> {
    let a = &change.assignment;
    let row: Value = json!({"id": change.id, "rev": change.revision, "doc": change.document_id, "digest": change.digest,
        "app": a.application.id, "appn": a.application.name, "ben": shared.person(&a.source, &a.beneficiary.id), "lane": a.lane(),
        "lane_at": a.approved_at, "ent": a.entitlement.as_ref().map(|e| &e.id), "entn": a.entitlement.as_ref().map(|e| &e.name),
        "persons": persons_of(shared, a), "prio": a.priority, "req": a.requested_at, "appr": a.approved_at,
        "from": a.valid_from, "until": a.valid_until});
    query(
        "UPDATE assignment SET revision = CAST(j.value->>'rev' AS BIGINT), document_id = CAST(j.value->>'doc' AS BIGINT), content_digest = j.value->>'digest',
            application_id = j.value->>'app', application_name = j.value->>'appn', beneficiary = j.value->>'ben', lane = j.value->>'lane',
            lane_at = COALESCE(CAST(j.value->>'lane_at' AS BIGINT), assignment.received_at), entitlement_id = j.value->>'ent', entitlement_name = j.value->>'entn',
            persons = j.value->>'persons', priority = CAST(j.value->>'prio' AS BIGINT), requested_at = CAST(j.value->>'req' AS BIGINT), approved_at = CAST(j.value->>'appr' AS BIGINT),
            valid_from = CAST(j.value->>'from' AS BIGINT), valid_until = CAST(j.value->>'until' AS BIGINT)
         FROM json_each($1) AS j WHERE assignment.id = CAST(j.value->>'id' AS BIGINT)",
    )
    .bind(rows(&[row])?)
    .execute(tx)
    .await?;
    Ok(())
}

async fn plan_again(tx: &mut Conn, id: i64, at: Timestamp) -> LedgerResult<()> {
    tx.falls_due(at);
    query(concat!(
        "UPDATE assignment SET plan_at = ",
        planned_again!("0", "$2"),
        ", parked_at = NULL, parked_code = NULL, parked_reason = NULL WHERE id = $1"
    ))
    .bind(id)
    .bind(at.0)
    .execute(tx)
    .await?;
    Ok(())
}

/// Deletes draft and errand of an assignment that certainly has no ticket (never sent, or refused each time); false where
/// a ticket may still turn up.
pub(in crate::ledger) async fn drop_unsent(tx: &mut Conn, assignment: i64) -> LedgerResult<bool> {
    let row: Option<(i64, i64)> = query_as(
        "SELECT e.id, e.ticket_id FROM assignment AS a JOIN ticket AS t ON t.id = a.ticket_id
         JOIN errand AS e ON e.ticket_id = t.id AND e.kind = 'create'
         WHERE a.id = $1 AND e.state IN ('ready', 'parked') AND t.state = 'drafted' AND t.risky = 0 AND t.ref_id IS NULL",
    )
    .bind(assignment)
    .fetch_optional(&mut *tx)
    .await?;
    let Some((errand, ticket)) = row else { return Ok(false) };
    query("DELETE FROM errand WHERE id = $1").bind(errand).execute(&mut *tx).await?;
    query("DELETE FROM ticket_item WHERE ticket_id = $1").bind(ticket).execute(&mut *tx).await?;
    query("DELETE FROM ticket WHERE id = $1").bind(ticket).execute(&mut *tx).await?;
    query("DELETE FROM ticket_draft WHERE id = $1").bind(ticket).execute(&mut *tx).await?;
    query("UPDATE assignment SET ticket_id = NULL WHERE id = $1").bind(assignment).execute(tx).await?;
    Ok(true)
}

/// The same for one whose create broke off once, and of which no ticket was found through the quiet period: it is not sent
/// again. Its row stays, so that a ticket which turns up all the same is known for one too many.
pub(super) async fn drop_risky(tx: &mut Conn, assignment: i64, at: Timestamp) -> LedgerResult<bool> {
    let row: Option<(i64, i64)> = query_as(
        "SELECT e.id, e.ticket_id FROM assignment AS a JOIN ticket AS t ON t.id = a.ticket_id
         JOIN errand AS e ON e.ticket_id = t.id AND e.kind = 'create'
         WHERE a.id = $1 AND e.state IN ('ready', 'parked') AND t.state = 'drafted' AND t.risky = 1 AND t.ref_id IS NULL",
    )
    .bind(assignment)
    .fetch_optional(&mut *tx)
    .await?;
    let Some((errand, ticket)) = row else { return Ok(false) };
    query("UPDATE errand SET state = 'dropped', done_at = $2, reason = 'the order was taken back' WHERE id = $1")
        .bind(errand)
        .bind(at.0)
        .execute(&mut *tx)
        .await?;
    query("UPDATE ticket SET state = 'dropped' WHERE id = $1").bind(ticket).execute(tx).await?;
    Ok(true)
}
