//! Planning: which assignments want a decision, and carrying decisions out.

use std::collections::{BTreeMap, HashMap};

use crate::ledger::engine::{Conn, Pool, query, query_as};
use serde_json::{Value, json};

use super::super::{Decision, LedgerError, LedgerResult, PlanAction, TicketPlan, ToPlan};
use super::journal::{self, Heads, Move, write_moves};
use super::lease::E_LEDGER;
use super::record::drop_unsent;
use super::settle::{after, park};
use super::{Shared, document, gathered, recovery, rows};
use crate::model::{Assignment, Id, Outcome, Person, State, Timestamp};

/// First of their lanes; revocations before all else, and past unsent or open predecessors.
const CANDIDATES: &str = "
    SELECT a.id, a.state, a.revision, a.received_at, i.document,
           1 + (SELECT COUNT(*) FROM ticket_item AS ti WHERE ti.assignment_id = a.id),
           (SELECT t.ref_number FROM assignment AS p JOIN ticket AS t ON t.id = p.ticket_id
             WHERE p.lane = a.lane AND p.state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework')
               AND p.state IN ('open', 'rework') AND (p.lane_at, p.id) < (a.lane_at, a.id) LIMIT 1),
           EXISTS (SELECT 1 FROM leaver AS l WHERE l.person = a.beneficiary)
    FROM assignment AS a JOIN inbox AS i ON i.id = a.document_id
    WHERE a.state IN ('received', 'planned') AND a.parked_at IS NULL AND a.revocation = $1 AND a.plan_at <= $2
      AND NOT EXISTS (SELECT 1 FROM assignment AS p
            WHERE p.lane = a.lane AND p.state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework')
              AND p.parked_at IS NULL AND (p.lane_at, p.id) < (a.lane_at, a.id)
              AND (a.revocation = 0 OR p.revocation = 1 OR p.state IN ('sending', 'unclear')))
    ORDER BY a.plan_at, a.id LIMIT $3 OFFSET $4";

type Candidate = (i64, String, i64, i64, Option<String>, i64, Option<String>, bool);

/// Assignments that want a plan now, and those whose order cannot be read. So many at the front are left to others, but no
/// revocation.
pub(in crate::ledger) async fn to_plan(
    pool: &Pool,
    now: Timestamp,
    limit: usize,
    skipped: usize,
) -> LedgerResult<(Vec<ToPlan>, Vec<i64>)> {
    let mut out: Vec<ToPlan> = Vec::new();
    let mut unreadable = Vec::new();
    for revocation in [1, 0] {
        let left = limit.saturating_sub(out.len());
        if left == 0 {
            break;
        }
        let found: Vec<Candidate> = query_as(CANDIDATES)
            .bind(revocation)
            .bind(now.0)
            .bind(i64::try_from(left).unwrap_or(i64::MAX))
            .bind(if revocation == 1 { 0 } else { i64::try_from(skipped).unwrap_or(0) })
            .fetch_all(pool)
            .await?;
        for (id, state, revision, received_at, text, cycle, lane_ticket, leaver) in found {
            let Some(Ok(assignment)) = text.as_deref().map(document::<Assignment>) else {
                unreadable.push(id);
                continue;
            };
            out.push(ToPlan {
                id: Id(id),
                state: State::parse(&state).ok_or_else(|| LedgerError::Corrupt(format!("state `{state}`")))?,
                assignment,
                revision,
                received_at: Timestamp(received_at),
                cycle,
                lane_ticket,
                leaver,
            });
        }
    }
    Ok((out, unreadable))
}

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
    let (mut valid, mut heads) = still_valid(tx, decisions).await?;
    if valid.values().any(|v| v.revocation) {
        supersede(tx, shared, decisions, now).await?;
        (valid, heads) = still_valid(tx, decisions).await?;
    }
    let mut writes = Writes::default();
    for decision in decisions {
        let Some(order) = valid.get(&decision.id.0) else { continue };
        let in_turn = !order.blocked || !matches!(decision.action, PlanAction::File(_));
        if order.revision == decision.revision && in_turn {
            writes.add(shared, decision, &order.source, now);
        }
    }
    let count = writes.updates.len();
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

/// The lane is looked at again: since the question, an earlier order may have arrived, been sent or been reopened.
async fn still_valid(tx: &mut Conn, decisions: &[Decision]) -> LedgerResult<(HashMap<i64, Valid>, Heads)> {
    let ids: Vec<i64> = decisions.iter().map(|d| d.id.0).collect();
    let row = query_as(
        "SELECT json_group_array(json_array(a.id, a.source, a.revision, CASE WHEN EXISTS (SELECT 1 FROM assignment AS p
            WHERE p.lane = a.lane AND p.state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework')
              AND p.parked_at IS NULL AND (p.lane_at, p.id) < (a.lane_at, a.id)
              AND (a.revocation = 0 OR p.revocation = 1 OR p.state IN ('sending', 'unclear'))) THEN 1 ELSE 0 END, a.revocation,
            a.state, a.chain_seq, a.chain_head))
         FROM json_each($1) AS j CROSS JOIN assignment AS a WHERE a.id = CAST(j.value AS BIGINT) AND a.state IN ('received', 'planned') AND a.parked_at IS NULL",
    )
    .bind(rows(&ids)?)
    .fetch_one(tx)
    .await?;
    let found: Vec<ValidRow> = gathered(&row)?;
    let heads = Heads::of(found.iter().map(|(id, .., state, seq, head)| (*id, state.clone(), *seq, head.clone())))?;
    let valid = |(id, source, revision, blocked, revocation, ..): ValidRow| {
        (id, Valid { source, revision, blocked: blocked == 1, revocation: revocation == 1 })
    };
    Ok((found.into_iter().map(valid).collect(), heads))
}

/// Assignment, source, revision, blocked, revocation; state, number and hash of its last journal line.
type ValidRow = (i64, String, i64, i64, i64, String, i64, String);

/// Names of persons; one known from the last day is left as it is.
macro_rules! insert_persons_of {
    ($parameter:literal) => {
        concat!(
            "INSERT INTO person (hash, source, external_id, name, email, seen_at)
             SELECT value->>'hash', value->>'source', value->>'x', value->>'name', value->>'mail', CAST(value->>'at' AS BIGINT) FROM json_each(",
            $parameter,
            ") WHERE true ON CONFLICT (hash) DO UPDATE SET external_id = excluded.external_id, name = COALESCE(excluded.name, person.name),
                email = COALESCE(excluded.email, person.email), seen_at = excluded.seen_at, erased_at = NULL
             WHERE excluded.seen_at > person.seen_at + 86400000 OR excluded.name IS DISTINCT FROM person.name"
        )
    };
}

#[derive(Default)]
struct Writes {
    moves: Vec<Move>,
    updates: Vec<Value>,
    tickets: Vec<Value>,
    errands: Vec<Value>,
    /// By hash: one statement touches a row once.
    persons: BTreeMap<String, Value>,
}

impl Writes {
    fn add(&mut self, shared: &Shared, decision: &Decision, source: &str, now: Timestamp) {
        let id = decision.id.0;
        for person in &decision.persons {
            self.persons.insert(shared.person(source, &person.id), person_row(shared, source, person, now));
        }
        let mut update = json!({"id": id, "eligible": decision.eligible_at, "plan": now, "due": now});
        let step = match &decision.action {
            PlanAction::Wait { until } => {
                update["plan"] = json!(until);
                update["due"] = json!(until);
                Move::ours(id, Some(State::Planned), "planned", now)
                    .cause("its ticket is for later")
                    .detail(json!({"due_at": until}))
            }
            PlanAction::Park { code, reason } => {
                update["parked"] = json!(now);
                update["code"] = json!(code);
                update["reason"] = json!(reason);
                Move::ours(id, None, "parked", now).cause(format!("{code}: {reason}"))
            }
            PlanAction::File(plan) => self.file(shared, decision, plan, &mut update, now),
        };
        self.updates.push(update);
        let files = step.to == Some(State::Due);
        self.moves.push(Move { catalog_version: Some(decision.catalog_version.clone()), ..step });
        if files && shared.distrusted.get().is_some() {
            self.moves.push(recovery::doubted(id, now));
        }
    }

    fn file(&mut self, shared: &Shared, decision: &Decision, plan: &TicketPlan, update: &mut Value, now: Timestamp) -> Move {
        let ticket = shared.ids.next(now).0;
        let edge = format!("desk/{}", plan.desk);
        let doubt = shared.distrusted.get().map(|edges| edges.get(&edge).copied().unwrap_or(now));
        update["desk"] = json!(plan.desk);
        update["group"] = json!(plan.admin_group);
        update["ticket"] = json!(ticket);
        self.tickets.push(
            json!({"id": ticket, "key": plan.draft.key, "cycle": plan.cycle, "desk": plan.desk, "group": plan.admin_group,
            "route": plan.route, "draft": serde_json::to_string(&plan.draft).unwrap_or_default(), "template": plan.template,
            "tv": plan.template_version, "cv": decision.catalog_version, "at": now, "a": decision.id.0, "rev": decision.revision,
            "state": if doubt.is_some() { "unclear" } else { "drafted" }, "risky": i64::from(doubt.is_some())}),
        );
        self.errands.push(json!({"id": shared.ids.next(now).0, "edge": edge, "ticket": ticket,
            "a": decision.id.0, "rank": plan.rank, "due": now, "mark": plan.draft.key,
            "state": if doubt.is_some() { "unclear" } else { "ready" }, "quiet": doubt}));
        let mut step = Move::ours(decision.id.0, Some(State::Due), "due", now)
            .cause(plan.route.clone())
            .detail(json!({"desk": plan.desk, "admin_group": plan.admin_group, "key": plan.draft.key}));
        step.template_version = Some(format!("{}@{}", plan.template, plan.template_version));
        step
    }

    async fn write(self, tx: &mut Conn, heads: Heads, now: Timestamp) -> LedgerResult<()> {
        if self.moves.is_empty() {
            return Ok(());
        }
        let chained = heads.chain(&self.moves, now)?;
        query(concat!(
            write_moves!("$5", "$6"),
            "UPDATE assignment SET eligible_at = CAST(j.value->>'eligible' AS BIGINT), plan_at = CAST(j.value->>'plan' AS BIGINT), due_at = CAST(j.value->>'due' AS BIGINT),
                parked_at = CAST(j.value->>'parked' AS BIGINT), parked_code = j.value->>'code', parked_reason = j.value->>'reason',
                desk = j.value->>'desk', admin_group = j.value->>'group', ticket_id = CAST(j.value->>'ticket' AS BIGINT)
             FROM json_each($1) AS j WHERE assignment.id = CAST(j.value->>'id' AS BIGINT);",
            insert_persons_of!("$2"),
            ";
             INSERT INTO ticket (id, key, cycle, desk, admin_group, route, state, draft, template, template_version, catalog_version, planned_at, risky)
             WITH j (v) AS MATERIALIZED (SELECT value FROM json_each($3))
             SELECT CAST(v->>'id' AS BIGINT), v->>'key', CAST(v->>'cycle' AS BIGINT), v->>'desk', v->>'group', v->>'route', v->>'state', v->>'draft',
                    v->>'template', v->>'tv', v->>'cv', CAST(v->>'at' AS BIGINT), CAST(v->>'risky' AS BIGINT) FROM j;
             INSERT INTO ticket_item (ticket_id, assignment_id, revision)
             SELECT CAST(value->>'id' AS BIGINT), CAST(value->>'a' AS BIGINT), CAST(value->>'rev' AS BIGINT) FROM json_each($3) WHERE true;
             INSERT INTO errand (id, kind, edge, ticket_id, assignment_id, state, rank, due_at, mark, made_at, quiet_until)
             WITH j (v) AS MATERIALIZED (SELECT value FROM json_each($4))
             SELECT CAST(v->>'id' AS BIGINT), 'create', v->>'edge', CAST(v->>'ticket' AS BIGINT), CAST(v->>'a' AS BIGINT), v->>'state', CAST(v->>'rank' AS BIGINT), CAST(v->>'due' AS BIGINT),
                    v->>'mark', CAST(v->>'due' AS BIGINT), CAST(v->>'quiet' AS BIGINT) FROM j",
        ))
        .bind(rows(&self.updates)?)
        .bind(rows(&self.persons.into_values().collect::<Vec<_>>())?)
        .bind(rows(&self.tickets)?)
        .bind(rows(&self.errands)?)
        .bind(chained.lines)
        .bind(chained.ends)
        .execute(tx)
        .await?;
        Ok(())
    }
}

pub(in crate::ledger) fn person_row(shared: &Shared, source: &str, person: &Person, now: Timestamp) -> Value {
    json!({"hash": shared.person(source, &person.id), "source": source, "x": person.id, "name": person.name, "mail": person.email, "at": now})
}

pub(in crate::ledger) async fn insert_persons(tx: &mut Conn, persons: &[Value]) -> LedgerResult<()> {
    if persons.is_empty() {
        return Ok(());
    }
    query(insert_persons_of!("$1")).bind(rows(persons)?).execute(tx).await?;
    Ok(())
}

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
           AND p.state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework')
           AND p.state IN ('received', 'planned', 'due')",
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
