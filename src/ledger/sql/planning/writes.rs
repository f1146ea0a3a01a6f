//! What decisions come to, row by row, and writing it.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::super::super::{Decision, Leased, LedgerResult, PlanAction, TicketPlan};
use super::super::journal::{self, Heads, JournalLine, Move};
use super::super::persons::{PersonRow, insert_persons_of, person_row};
use super::super::{Shared, lease, recovery, rows};
use super::Standing;
use super::taking_up::leased;
use crate::ledger::engine::{Arg, Conn, Rows, query};
use crate::model::errand::ErrandKind;
use crate::model::{Person, State, Timestamp};

/// Everything that is written for some decisions.
#[derive(Default)]
pub(super) struct Writes<'a> {
    moves: Vec<Move>,
    pub(super) updates: Vec<Update>,
    tickets: Vec<Ticket<'a>>,
    pub(super) errands: Vec<Errand<'a>>,
    attempts: Vec<Attempt>,
    persons: Vec<PersonRow>,
    /// Orders whose errands are leased as they are made; owner and end of those leases; the errands by rank.
    pub(super) at_once: HashSet<i64>,
    pub(super) lease: Option<(String, Timestamp)>,
    pub(super) leased: Vec<(i64, Leased)>,
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

pub(super) struct Errand<'a> {
    pub(super) id: i64,
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
pub(super) struct Update {
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
    pub(super) fn decide(&mut self, shared: &Shared, decisions: &'a [Decision], standing: &Standing, now: Timestamp) {
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

    pub(super) async fn write(mut self, tx: &mut Conn, mut heads: Heads, now: Timestamp) -> LedgerResult<()> {
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
