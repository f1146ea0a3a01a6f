//! Planning: which assignments want a decision, and carrying decisions out.

mod candidates;
mod taking_up;
mod writes;

use std::collections::HashMap;

use crate::ledger::engine::{Conn, query_as};
use serde_json::json;

use super::super::{Decision, LedgerResult, PlanAction};
use super::journal::{self, Heads, Move};
use super::lease::E_LEDGER;
use super::record::drop_unsent;
use super::settle::{after, park};
use super::{Shared, document, rows};
use crate::model::{Id, Outcome, State, Timestamp};

pub(in crate::ledger) use candidates::to_plan;
pub(in crate::ledger) use taking_up::{Took, take_up};
#[cfg(test)]
pub(super) use writes::WRITE;
pub(super) use writes::{Lease, Update, Writes, insert_made};

/// Orders that cannot be read wait for a person, and keep no other from being planned.
pub(in crate::ledger) async fn set_aside(tx: &mut Conn, unreadable: &[i64], now: Timestamp) -> LedgerResult<()> {
    let reason = "its order cannot be read: it was erased, or is damaged";
    for id in unreadable {
        tracing::error!(assignment = %Id(*id), reason, "an order cannot be planned; it waits for a person");
        let step = Move::ours(*id, None, "parked", now).cause(format!("{E_LEDGER}: {reason}"));
        journal::apply(tx, &[step], now).await?;
        park(tx, &[json!({"id": id, "at": now, "code": E_LEDGER, "reason": reason})]).await?;
    }
    Ok(())
}

/// Carries decisions out; those overtaken by a change are void and come again.
pub(in crate::ledger) async fn plan(
    tx: &mut Conn,
    shared: &Shared,
    decisions: &[Decision],
    now: Timestamp,
) -> LedgerResult<usize> {
    let (standing, heads) = standing(tx, shared, decisions, now).await?;
    let mut writes = Writes::new(shared);
    writes.decide(decisions, &standing, &HashMap::new(), now);
    let count = writes.count();
    writes.write(tx, heads, now).await?;
    Ok(count)
}

/// An order that still wants a plan.
struct Valid {
    source: String,
    revision: i64,
    /// An earlier order of its lane comes first.
    blocked: bool,
    revocation: bool,
}

/// How things stand with the orders that were decided on.
struct Standing(HashMap<i64, Valid>);

impl Standing {
    /// The order of a decision that holds: since the question, it may have changed, or an earlier one may have come.
    fn takes(&self, decision: &Decision) -> Option<&Valid> {
        let in_turn = |order: &&Valid| !order.blocked || !matches!(decision.action, PlanAction::File(_));
        self.0.get(&decision.id.0).filter(|order| order.revision == decision.revision).filter(in_turn)
    }
}

/// How things stand, after revocations have overtaken what they overtake, and where the chains end.
async fn standing(tx: &mut Conn, shared: &Shared, decisions: &[Decision], now: Timestamp) -> LedgerResult<(Standing, Heads)> {
    let (standing, heads) = look(tx, decisions).await?;
    if !standing.0.values().any(|v| v.revocation) {
        return Ok((standing, heads));
    }
    supersede(tx, shared, decisions, now).await?;
    look(tx, decisions).await
}

/// The lane is looked at again: since the question, an earlier order may have arrived, been sent or been reopened.
async fn look(tx: &mut Conn, decisions: &[Decision]) -> LedgerResult<(Standing, Heads)> {
    let ids: Vec<i64> = decisions.iter().map(|d| d.id.0).collect();
    let (orders,): (String,) = query_as(
        "SELECT json_group_array(json_array(a.id, a.source, a.revision, CASE WHEN EXISTS (SELECT 1 FROM assignment AS p
            WHERE p.lane = a.lane AND p.closed_at IS NULL AND p.state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework')
              AND p.parked_at IS NULL AND (p.lane_at, p.id) < (a.lane_at, a.id)
              AND (a.revocation = 0 OR p.revocation = 1 OR p.state IN ('sending', 'unclear'))) THEN 1 ELSE 0 END, a.revocation,
            a.state, a.chain_seq, a.chain_head))
         FROM json_each($1) AS j CROSS JOIN assignment AS a WHERE a.id = CAST(j.value AS BIGINT) AND a.state /*postgres || ''*/ IN ('received', 'planned') AND a.parked_at IS NULL",
    )
    .bind(rows(&ids)?)
    .fetch_one(tx)
    .await?;
    let found: Vec<ValidRow> = document(&orders)?;
    let heads = Heads::of(found.iter().map(|(id, .., state, seq, head)| (*id, state.clone(), *seq, head.clone())))?;
    let valid = |(id, source, revision, blocked, revocation, ..): ValidRow| {
        (id, Valid { source, revision, blocked: blocked == 1, revocation: revocation == 1 })
    };
    Ok((Standing(found.into_iter().map(valid).collect()), heads))
}

/// Assignment, source, revision, blocked, revocation; state, number and hash of its last journal line.
type ValidRow = (i64, String, i64, i64, i64, String, i64, String);

/// A revocation overtakes earlier orders of its lane of which nothing was sent.
async fn supersede(tx: &mut Conn, shared: &Shared, decisions: &[Decision], now: Timestamp) -> LedgerResult<()> {
    let filing: Vec<i64> = decisions.iter().filter(|d| matches!(d.action, PlanAction::File(_))).map(|d| d.id.0).collect();
    if filing.is_empty() {
        return Ok(());
    }
    // In this order, whatever the engine thinks: few are filed, and many may wait for their day.
    let overtaken: Vec<(i64, String, i64)> = query_as(
        "SELECT p.id, p.state, a.id FROM json_each($1) AS j CROSS JOIN assignment AS a CROSS JOIN assignment AS p
         WHERE a.id = CAST(j.value AS BIGINT) AND p.lane = a.lane AND (p.lane_at, p.id) < (a.lane_at, a.id) AND a.revocation = 1 AND a.state IN ('received', 'planned') AND p.revocation = 0
           AND p.closed_at IS NULL AND p.state IN ('received', 'planned', 'due')",
    )
    .bind(rows(&filing)?)
    .fetch_all(&mut *tx)
    .await?;
    for (id, state, by) in overtaken {
        if state == "due" && !drop_unsent(tx, id).await? {
            continue;
        }
        let step = Move::ours(id, Some(State::Superseded), "superseded", now)
            .cause("a later revocation overtook it before anything was sent")
            .detail(json!({"by": Id(by)}));
        journal::apply(tx, &[step], now).await?;
        after::close_without_ticket(tx, shared, id, Outcome::Cancelled, now).await?;
    }
    Ok(())
}
