//! Planning: which assignments want a decision, and carrying decisions out.

mod taking_up;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::ledger::engine::{Arg, Conn, Pool, Rows, Target, query, query_as};
use serde::Serialize;
use serde_json::json;

use super::super::{Decision, Leased, LedgerError, LedgerResult, PlanAction, TicketPlan, ToPlan};
use super::journal::{self, Heads, JournalLine, Move};
use super::lease::{self, E_LEDGER, abandoned, ready, unclear};
use super::record::drop_unsent;
use super::settle::{after, park};
use super::{Shared, document, recovery, rows};
use crate::model::errand::ErrandKind;
use crate::model::{Assignment, Id, Outcome, Person, State, Timestamp};

use taking_up::leased;
pub(in crate::ledger) use taking_up::{Took, take_up};

/// First of their lanes; revocations before all else, and past unsent or open predecessors.
macro_rules! candidates {
    ($revocation:literal, $skipped:literal) => {
        concat!(
            "SELECT * FROM (SELECT a.id, a.state, a.revision, a.received_at, a.source, a.chain_seq, a.chain_head, i.document,
                1 + (SELECT COUNT(*) FROM ticket_item AS ti WHERE ti.assignment_id = a.id) AS cycle,
                (SELECT t.ref_number FROM assignment AS p JOIN ticket AS t ON t.id = p.ticket_id
                  WHERE p.lane = a.lane AND p.state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework')
                    AND p.state IN ('open', 'rework') AND (p.lane_at, p.id) < (a.lane_at, a.id) LIMIT 1) AS lane_ticket,
                EXISTS (SELECT 1 FROM leaver AS l WHERE l.person = a.beneficiary) AS leaver, a.revocation
             FROM assignment AS a JOIN inbox AS i ON i.id = a.document_id
             WHERE a.state IN ('received', 'planned') AND a.parked_at IS NULL AND a.revocation = ",
            $revocation,
            " AND a.plan_at <= $1
               AND NOT EXISTS (SELECT 1 FROM assignment AS p
                     WHERE p.lane = a.lane AND p.state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework')
                       AND p.parked_at IS NULL AND (p.lane_at, p.id) < (a.lane_at, a.id)
                       AND (a.revocation = 0 OR p.revocation = 1 OR p.state IN ('sending', 'unclear')))
             ORDER BY a.plan_at, a.id LIMIT $2",
            $skipped,
            ") AS c"
        )
    };
}

#[derive(sqlx::FromRow)]
struct Candidate {
    id: i64,
    state: String,
    revision: i64,
    received_at: i64,
    source: String,
    chain_seq: i64,
    chain_head: String,
    document: Option<String>,
    cycle: i64,
    lane_ticket: Option<String>,
    leaver: bool,
    revocation: i64,
    /// Something of the edge waits to be leased.
    waits: bool,
}

impl Candidate {
    /// `None`: its order cannot be read.
    fn to_plan(&self) -> LedgerResult<Option<ToPlan>> {
        let state = State::parse(&self.state).ok_or_else(|| LedgerError::Corrupt(format!("state `{}`", self.state)))?;
        let Some(Ok(assignment)) = self.document.as_deref().map(document::<Assignment>) else { return Ok(None) };
        Ok(Some(ToPlan {
            id: Id(self.id),
            state,
            assignment,
            revision: self.revision,
            received_at: Timestamp(self.received_at),
            cycle: self.cycle,
            lane_ticket: self.lane_ticket.clone(),
            leaver: self.leaver,
        }))
    }
}

/// Orders that want a plan now; those that cannot be read; and all of them as they were found.
struct Candidates {
    orders: Vec<ToPlan>,
    unreadable: Vec<i64>,
    found: Vec<Candidate>,
}

/// Revocations first. So many at the front are left to others, but no revocation.
async fn candidates<'e>(
    on: impl Into<Target<'e>>,
    edge: &str,
    now: Timestamp,
    limit: usize,
    skipped: usize,
) -> LedgerResult<Candidates> {
    let mut found: Vec<Candidate> = query_as(concat!(
        "SELECT u.*, EXISTS (SELECT 1 FROM errand WHERE ",
        ready!("$4", "$1"),
        ") OR EXISTS (SELECT 1 FROM errand WHERE ",
        unclear!("$4", "$1"),
        ") OR EXISTS (SELECT 1 FROM errand WHERE ",
        abandoned!("$4", "$1"),
        ") AS waits FROM (",
        candidates!("1", ""),
        " UNION ALL ",
        candidates!("0", " OFFSET $3"),
        ") AS u",
    ))
    .bind(now.0)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .bind(i64::try_from(skipped).unwrap_or(0))
    .bind(edge)
    .fetch_all(on)
    .await?;
    // A union has no order of its own; within its halves the order stays.
    found.sort_by_key(|candidate| -candidate.revocation);
    let (mut orders, mut unreadable) = (Vec::with_capacity(found.len().min(limit)), Vec::new());
    for candidate in &found {
        if orders.len() == limit {
            break;
        }
        match candidate.to_plan()? {
            Some(order) => orders.push(order),
            None => unreadable.push(candidate.id),
        }
    }
    Ok(Candidates { orders, unreadable, found })
}

/// Assignments that want a plan now, and those whose order cannot be read. So many at the front are left to others, but no
/// revocation.
pub(in crate::ledger) async fn to_plan(
    pool: &Pool,
    now: Timestamp,
    limit: usize,
    skipped: usize,
) -> LedgerResult<(Vec<ToPlan>, Vec<i64>)> {
    let candidates = candidates(pool, "", now, limit, skipped).await?;
    Ok((candidates.orders, candidates.unreadable))
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
    let standing = standing(tx, shared, decisions, now).await?;
    let mut writes = Writes::default();
    writes.decide(shared, decisions, &standing, now);
    let count = writes.updates.len();
    writes.write(tx, standing.heads, now).await?;
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
struct Standing {
    valid: HashMap<i64, Valid>,
    heads: Heads,
}

impl Standing {
    /// The order of a decision that holds: since the question, it may have changed, or an earlier one may have come.
    fn takes(&self, decision: &Decision) -> Option<&Valid> {
        let in_turn = |order: &&Valid| !order.blocked || !matches!(decision.action, PlanAction::File(_));
        self.valid.get(&decision.id.0).filter(|order| order.revision == decision.revision).filter(in_turn)
    }
}

/// How things stand, after revocations have overtaken what they overtake.
async fn standing(tx: &mut Conn, shared: &Shared, decisions: &[Decision], now: Timestamp) -> LedgerResult<Standing> {
    let standing = look(tx, decisions).await?;
    if !standing.valid.values().any(|v| v.revocation) {
        return Ok(standing);
    }
    supersede(tx, shared, decisions, now).await?;
    look(tx, decisions).await
}

/// The lane is looked at again: since the question, an earlier order may have arrived, been sent or been reopened.
async fn look(tx: &mut Conn, decisions: &[Decision]) -> LedgerResult<Standing> {
    let ids: Vec<i64> = decisions.iter().map(|d| d.id.0).collect();
    let (orders,): (String,) = query_as(
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
    let found: Vec<ValidRow> = document(&orders)?;
    let heads = Heads::of(found.iter().map(|(id, .., state, seq, head)| (*id, state.clone(), *seq, head.clone())))?;
    let valid = |(id, source, revision, blocked, revocation, ..): ValidRow| {
        (id, Valid { source, revision, blocked: blocked == 1, revocation: revocation == 1 })
    };
    Ok(Standing { valid: found.into_iter().map(valid).collect(), heads })
}

/// Assignment, source, revision, blocked, revocation; state, number and hash of its last journal line.
type ValidRow = (i64, String, i64, i64, i64, String, i64, String);

/// Names of persons; one known from the last day is left as it is.
macro_rules! insert_persons_of {
    ($parameter:literal) => {
        concat!(
            "INSERT INTO person (hash, source, external_id, name, email, seen_at) ROWS ",
            $parameter,
            " (text, text, text, text, text, int) ON CONFLICT (hash) DO UPDATE SET external_id = excluded.external_id, name = COALESCE(excluded.name, person.name),
                email = COALESCE(excluded.email, person.email), seen_at = excluded.seen_at, erased_at = NULL
             WHERE excluded.seen_at > person.seen_at + 86400000 OR excluded.name IS DISTINCT FROM person.name"
        )
    };
}

#[derive(Default)]
struct Writes<'a> {
    moves: Vec<Move>,
    updates: Vec<Update>,
    tickets: Vec<Ticket<'a>>,
    errands: Vec<Errand<'a>>,
    attempts: Vec<Attempt>,
    persons: Vec<PersonRow>,
    /// Orders whose errands are leased as they are made; owner and end of those leases; the errands by rank.
    at_once: HashSet<i64>,
    lease: Option<(String, Timestamp)>,
    leased: Vec<(i64, Leased)>,
    /// Quiet periods, where every create asks its witnesses first: looked at once, since it may begin at any time.
    caution: Option<Arc<recovery::QuietUntil>>,
}

struct Ticket<'a> {
    id: i64,
    key: &'a str,
    cycle: i64,
    desk: &'a str,
    group: &'a str,
    route: &'a str,
    draft: String,
    template: &'a str,
    tv: &'a str,
    cv: &'a str,
    at: i64,
    state: &'static str,
    risky: i64,
}

impl Ticket<'_> {
    fn row(self) -> [Arg; 13] {
        [
            self.id.into(),
            self.key.into(),
            self.cycle.into(),
            self.desk.into(),
            self.group.into(),
            self.route.into(),
            self.state.into(),
            self.draft.into(),
            self.template.into(),
            self.tv.into(),
            self.cv.into(),
            self.at.into(),
            self.risky.into(),
        ]
    }
}

struct Errand<'a> {
    id: i64,
    edge: String,
    ticket: i64,
    a: i64,
    rev: i64,
    rank: i64,
    due: i64,
    mark: &'a str,
    state: &'static str,
    quiet: Option<i64>,
    /// Number of its lease, 0 where it has none.
    no: i64,
    owner: Option<String>,
    until: Option<i64>,
}

impl Errand<'_> {
    fn item(&self) -> [Arg; 3] {
        [self.ticket.into(), self.a.into(), self.rev.into()]
    }

    fn row(self) -> [Arg; 15] {
        [
            self.id.into(),
            ErrandKind::Create.as_str().into(),
            self.edge.into(),
            self.ticket.into(),
            self.a.into(),
            self.state.into(),
            self.rank.into(),
            self.due.into(),
            self.mark.into(),
            self.due.into(),
            self.quiet.into(),
            self.no.into(),
            self.no.into(),
            self.owner.into(),
            self.until.into(),
        ]
    }
}

struct Attempt {
    e: i64,
    owner: String,
    at: i64,
    until: i64,
}

impl Attempt {
    fn row(self) -> [Arg; 6] {
        let what = ErrandKind::Create.as_str();
        [self.e.into(), 1_i64.into(), what.into(), self.owner.into(), self.at.into(), self.until.into()]
    }
}

/// What becomes of an assignment's row, with the end of its chain.
#[derive(Serialize, Default)]
struct Update {
    id: i64,
    s: &'static str,
    n: i64,
    h: String,
    eligible: i64,
    plan: i64,
    due: i64,
    parked: Option<i64>,
    code: Option<&'static str>,
    reason: Option<String>,
    desk: Option<String>,
    group: Option<String>,
    ticket: Option<i64>,
}

impl<'a> Writes<'a> {
    fn decide(&mut self, shared: &Shared, decisions: &'a [Decision], standing: &Standing, now: Timestamp) {
        self.caution = shared.caution.until();
        // One person of many orders is written once; the last name counts. In one order, whoever writes: two that know the same
        // persons must not wait for each other.
        let mut persons: BTreeMap<(&str, &str), &Person> = BTreeMap::new();
        for decision in decisions {
            let Some(order) = standing.takes(decision) else { continue };
            persons.extend(decision.persons.iter().map(|p| ((order.source.as_str(), p.id.as_str()), p)));
            self.add(shared, decision, now);
        }
        self.persons = persons.into_iter().map(|((source, _), person)| person_row(shared, source, person, now)).collect();
    }

    fn add(&mut self, shared: &Shared, decision: &'a Decision, now: Timestamp) {
        let id = decision.id.0;
        let mut update = Update { id, eligible: decision.eligible_at.0, plan: now.0, due: now.0, ..Update::default() };
        let step = match &decision.action {
            PlanAction::Wait { until } => {
                update.plan = until.0;
                update.due = until.0;
                Move::ours(id, Some(State::Planned), "planned", now)
                    .cause("its ticket is for later")
                    .detail(json!({"due_at": until}))
            }
            PlanAction::Park { code, reason } => {
                update.parked = Some(now.0);
                update.code = Some(code);
                update.reason = Some(reason.clone());
                Move::ours(id, None, "parked", now).cause(format!("{code}: {reason}"))
            }
            PlanAction::File(plan) => self.file(shared, decision, plan, &mut update, now),
        };
        self.updates.push(update);
        let files = step.to == Some(State::Due);
        self.moves.push(Move { catalog_version: Some(decision.catalog_version.clone()), ..step });
        if files && self.caution.is_some() {
            self.moves.push(recovery::doubted(id, now));
        } else if files && self.at_once.contains(&id) {
            self.moves.push(lease::starts(id, now));
        }
    }

    fn file(
        &mut self,
        shared: &Shared,
        decision: &'a Decision,
        plan: &'a TicketPlan,
        update: &mut Update,
        now: Timestamp,
    ) -> Move {
        let (ticket, errand) = (shared.ids.next(now), shared.ids.next(now));
        let edge = format!("desk/{}", plan.desk);
        let doubt = self.caution.as_ref().map(|edges| edges.get(&edge).copied().unwrap_or(now));
        let lease = self.lease.as_ref().filter(|_| doubt.is_none() && self.at_once.contains(&decision.id.0));
        let (of_ticket, of_errand) = match (&doubt, &lease) {
            (Some(_), _) => ("unclear", "unclear"),
            (None, Some(_)) => ("sending", "sending"),
            (None, None) => ("drafted", "ready"),
        };
        update.desk = Some(plan.desk.clone());
        update.group = Some(plan.admin_group.clone());
        update.ticket = Some(ticket.0);
        self.tickets.push(Ticket {
            id: ticket.0,
            key: plan.draft.key.as_str(),
            cycle: plan.cycle,
            desk: &plan.desk,
            group: &plan.admin_group,
            route: &plan.route,
            draft: serde_json::to_string(&plan.draft).unwrap_or_default(),
            template: &plan.template,
            tv: &plan.template_version,
            cv: &decision.catalog_version,
            at: now.0,
            state: of_ticket,
            risky: i64::from(doubt.is_some()),
        });
        self.errands.push(Errand {
            id: errand.0,
            edge,
            ticket: ticket.0,
            a: decision.id.0,
            rev: decision.revision,
            rank: plan.rank,
            due: now.0,
            mark: plan.draft.key.as_str(),
            state: of_errand,
            quiet: doubt.map(|until| until.0),
            no: i64::from(lease.is_some()),
            owner: lease.map(|(owner, _)| owner.clone()),
            until: lease.map(|(_, until)| until.0),
        });
        if let Some((owner, until)) = lease {
            self.attempts.push(Attempt { e: errand.0, owner: owner.clone(), at: now.0, until: until.0 });
            self.leased.push((plan.rank, leased(errand, ticket, &plan.draft)));
        }
        let mut step = Move::ours(decision.id.0, Some(State::Due), "due", now)
            .cause(plan.route.clone())
            .detail(json!({"desk": plan.desk, "admin_group": plan.admin_group, "key": plan.draft.key}));
        step.template_version = Some(format!("{}@{}", plan.template, plan.template_version));
        step
    }

    async fn write(mut self, tx: &mut Conn, mut heads: Heads, now: Timestamp) -> LedgerResult<()> {
        if self.moves.is_empty() {
            return Ok(());
        }
        let (lines, _) = heads.lines(&self.moves, now)?;
        for update in &mut self.updates {
            if let Some((state, seq, head)) = heads.end(update.id) {
                (update.s, update.n, update.h) = (state.as_str(), seq, head.to_owned());
            }
        }
        query(concat!(
            journal::insert_lines!("$5"),
            "UPDATE assignment SET state = j.value->>'s', chain_seq = CAST(j.value->>'n' AS BIGINT), chain_head = j.value->>'h',
                eligible_at = CAST(j.value->>'eligible' AS BIGINT), plan_at = CAST(j.value->>'plan' AS BIGINT), due_at = CAST(j.value->>'due' AS BIGINT),
                parked_at = CAST(j.value->>'parked' AS BIGINT), parked_code = j.value->>'code', parked_reason = j.value->>'reason',
                desk = j.value->>'desk', admin_group = j.value->>'group', ticket_id = CAST(j.value->>'ticket' AS BIGINT)
             FROM json_each($1) AS j WHERE assignment.id = CAST(j.value->>'id' AS BIGINT);",
            insert_persons_of!("$2"),
            ";
             INSERT INTO ticket (id, key, cycle, desk, admin_group, route, state, draft, template, template_version, catalog_version, planned_at, risky)
             ROWS $3 (int, text, int, text, text, text, text, text, text, text, text, int, int);
             INSERT INTO ticket_item (ticket_id, assignment_id, revision) ROWS $4 (int, int, int);
             INSERT INTO errand (id, kind, edge, ticket_id, assignment_id, state, rank, due_at, mark, made_at, quiet_until,
                                 lease_no, attempts, lease_owner, lease_until)
             ROWS $6 (int, text, text, int, int, text, int, int, text, int, int, int, int, text, int);
             INSERT INTO attempt (errand_id, lease_no, what, owner, started_at, deadline) ROWS $7 (int, int, text, text, int, int)",
        ))
        .bind(rows(&self.updates)?)
        .bind(self.persons.into_iter().collect::<Rows>())
        .bind(self.tickets.into_iter().map(Ticket::row).collect::<Rows>())
        .bind(self.errands.iter().map(Errand::item).collect::<Rows>())
        .bind(lines.into_iter().map(JournalLine::row).collect::<Rows>())
        .bind(self.errands.into_iter().map(Errand::row).collect::<Rows>())
        .bind(self.attempts.into_iter().map(Attempt::row).collect::<Rows>())
        .execute_later(tx)
        .await?;
        Ok(())
    }
}

/// Hash, source, external id, name, address, when it was seen.
pub(in crate::ledger) type PersonRow = [Arg; 6];

pub(in crate::ledger) fn person_row(shared: &Shared, source: &str, person: &Person, now: Timestamp) -> PersonRow {
    let hash = shared.person(source, &person.id);
    [hash.into(), source.into(), (&person.id).into(), (&person.name).into(), (&person.email).into(), now.0.into()]
}

pub(in crate::ledger) async fn insert_persons(tx: &mut Conn, persons: Vec<PersonRow>) -> LedgerResult<()> {
    if persons.is_empty() {
        return Ok(());
    }
    query(insert_persons_of!("$1")).bind(persons.into_iter().collect::<Rows>()).execute(tx).await?;
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
