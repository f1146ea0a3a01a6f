//! What decisions come to, row by row, and writing it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use super::super::super::{Decision, Leased, LedgerResult, PlanAction, TicketPlan};
use super::super::journal::{self, Heads, JournalLine, Move};
use super::super::persons::person_row;
use super::super::{Shared, lease, recovery, rows};
use super::Standing;
use super::taking_up::leased;
use crate::ledger::engine::{Arg, Conn, Query, Rows, query};
use crate::model::errand::ErrandKind;
use crate::model::{Person, State, Timestamp};

/// Everything that is written for some decisions.
pub(in crate::ledger::sql) struct Writes<'a> {
    shared: &'a Shared,
    moves: Vec<Move>,
    updates: Vec<Update>,
    tickets: Vec<Ticket<'a>>,
    /// Ticket and draft.
    drafts: Vec<[Arg; 2]>,
    errands: Vec<Errand<'a>>,
    attempts: Vec<Attempt>,
    /// One person of many orders is written once; the last name counts. In one order, whoever writes: two that know the same
    /// persons must not wait for each other.
    persons: BTreeMap<(&'a str, &'a str), &'a Person>,
    leased: Vec<AtOnce>,
    /// Quiet periods, where every create asks its witnesses first: looked at once, since it may begin at any time.
    caution: Option<Arc<recovery::QuietUntil>>,
}

/// Whose an errand is that is leased as it is made, and until when.
#[derive(Clone)]
pub(in crate::ledger::sql) struct Lease {
    pub(in crate::ledger::sql) owner: String,
    pub(in crate::ledger::sql) until: Timestamp,
}

/// An errand that was leased as it was made.
pub(in crate::ledger::sql) struct AtOnce {
    pub(in crate::ledger::sql) assignment: i64,
    pub(super) rank: i64,
    pub(in crate::ledger::sql) errand: Leased,
}

struct Ticket<'a> {
    id: i64,
    key: &'a str,
    cycle: i64,
    desk: &'a str,
    group: &'a str,
    route: &'a str,
    template: &'a str,
    tv: &'a str,
    cv: &'a str,
    at: i64,
    state: &'static str,
    risky: i64,
}

impl Ticket<'_> {
    fn row(self) -> [Arg; 12] {
        [
            self.id.into(),
            self.key.into(),
            self.cycle.into(),
            self.desk.into(),
            self.group.into(),
            self.route.into(),
            self.state.into(),
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
#[derive(Serialize, Default, Clone)]
pub(in crate::ledger::sql) struct Update {
    pub(in crate::ledger::sql) id: i64,
    pub(in crate::ledger::sql) s: &'static str,
    pub(in crate::ledger::sql) n: i64,
    pub(in crate::ledger::sql) h: String,
    pub(in crate::ledger::sql) eligible: Option<i64>,
    pub(in crate::ledger::sql) plan: i64,
    pub(in crate::ledger::sql) due: Option<i64>,
    pub(in crate::ledger::sql) parked: Option<i64>,
    pub(in crate::ledger::sql) code: Option<&'static str>,
    pub(in crate::ledger::sql) reason: Option<String>,
    pub(in crate::ledger::sql) desk: Option<String>,
    pub(in crate::ledger::sql) group: Option<String>,
    pub(in crate::ledger::sql) ticket: Option<i64>,
}

impl Update {
    /// Of an order that was only received: its first line ends the chain.
    pub(in crate::ledger::sql) fn received(head: String) -> Self {
        Self { s: State::Received.as_str(), n: 1, h: head, ..Self::default() }
    }
}

/// Inserts what decisions make besides lines and updates; the parameters hold the rows of each table.
macro_rules! insert_made {
    ($persons:literal, $tickets:literal, $drafts:literal, $items:literal, $errands:literal, $attempts:literal) => {
        concat!(
            crate::ledger::sql::persons::insert_persons_of!($persons),
            ";
             INSERT INTO ticket (id, key, cycle, desk, admin_group, route, state, template, template_version, catalog_version, planned_at, risky)
             ROWS ", $tickets, " (int, text, int, text, text, text, text, text, text, text, int, int);
             INSERT INTO ticket_draft (id, draft) ROWS ", $drafts, " (int, text);
             INSERT INTO ticket_item (ticket_id, assignment_id, revision) ROWS ", $items, " (int, int, int);
             INSERT INTO errand (id, kind, edge, ticket_id, assignment_id, state, rank, due_at, mark, made_at, quiet_until,
                                 lease_no, attempts, lease_owner, lease_until)
             ROWS ", $errands, " (int, text, text, int, int, text, int, int, text, int, int, int, int, text, int);
             INSERT INTO attempt (errand_id, lease_no, what, owner, started_at, deadline) ROWS ", $attempts, " (int, int, text, text, int, int)",
        )
    };
}

pub(in crate::ledger::sql) use insert_made;

/// An order is due and being sent.
pub(in crate::ledger) const WRITE: &str = concat!(
    journal::insert_lines!("$1*2"),
    "UPDATE assignment SET state = j.value->>'s', chain_seq = CAST(j.value->>'n' AS BIGINT), chain_head = j.value->>'h',
        eligible_at = CAST(j.value->>'eligible' AS BIGINT), plan_at = CAST(j.value->>'plan' AS BIGINT), due_at = CAST(j.value->>'due' AS BIGINT),
        parked_at = CAST(j.value->>'parked' AS BIGINT), parked_code = j.value->>'code', parked_reason = j.value->>'reason',
        desk = j.value->>'desk', admin_group = j.value->>'group', ticket_id = CAST(j.value->>'ticket' AS BIGINT)
     FROM json_each($2) AS j WHERE assignment.id = CAST(j.value->>'id' AS BIGINT);",
    insert_made!("$3*3", "$4", "$5", "$6", "$7", "$8"),
);

impl<'a> Writes<'a> {
    pub(in crate::ledger::sql) fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            moves: Vec::new(),
            updates: Vec::new(),
            tickets: Vec::new(),
            drafts: Vec::new(),
            errands: Vec::new(),
            attempts: Vec::new(),
            persons: BTreeMap::new(),
            leased: Vec::new(),
            caution: shared.caution.until(),
        }
    }

    /// Those that hold; tickets of some orders are leased as they are made.
    pub(super) fn decide(
        &mut self,
        decisions: &'a [Decision],
        standing: &'a Standing,
        at_once: &HashMap<i64, Lease>,
        now: Timestamp,
    ) {
        for decision in decisions {
            let Some(order) = standing.takes(decision) else { continue };
            self.add(decision.id.0, &order.source, decision, at_once.get(&decision.id.0), now);
        }
    }

    /// How many decisions are carried out.
    pub(super) fn count(&self) -> usize {
        self.updates.len()
    }

    /// The errands that are made.
    pub(super) fn made(&self) -> HashSet<i64> {
        self.errands.iter().map(|errand| errand.id).collect()
    }

    /// The errands that are leased as they are made.
    pub(in crate::ledger::sql) fn leased(&mut self) -> Vec<AtOnce> {
        std::mem::take(&mut self.leased)
    }

    pub(in crate::ledger::sql) fn add(
        &mut self,
        id: i64,
        source: &'a str,
        decision: &'a Decision,
        lease: Option<&Lease>,
        now: Timestamp,
    ) {
        self.persons.extend(decision.persons.iter().map(|p| ((source, p.id.as_str()), p)));
        let lease = lease.filter(|_| self.caution.is_none());
        let mut update =
            Update { id, eligible: Some(decision.eligible_at.0), plan: now.0, due: Some(now.0), ..Update::default() };
        let step = match &decision.action {
            PlanAction::Wait { until } => {
                update.plan = until.0.max(now.0);
                update.due = Some(until.0);
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
            PlanAction::File(plan) => self.file(decision, plan, lease, &mut update, now),
        };
        self.updates.push(update);
        let files = step.to == Some(State::Due);
        self.moves.push(Move { catalog_version: Some(decision.catalog_version.clone()), ..step });
        if files && self.caution.is_some() {
            self.moves.push(recovery::doubted(id, now));
        } else if files && lease.is_some() {
            self.moves.push(lease::starts(id, now));
        }
    }

    fn file(
        &mut self,
        decision: &'a Decision,
        plan: &'a TicketPlan,
        lease: Option<&Lease>,
        update: &mut Update,
        now: Timestamp,
    ) -> Move {
        let assignment = update.id;
        let (ticket, errand) = (self.shared.ids.next(now), self.shared.ids.next(now));
        let edge = format!("desk/{}", plan.desk);
        let doubt = self.caution.as_ref().map(|edges| edges.get(&edge).copied().unwrap_or(now));
        let (of_ticket, of_errand) = match (&doubt, &lease) {
            (Some(_), _) => ("unclear", "unclear"),
            (None, Some(_)) => ("sending", "sending"),
            (None, None) => ("drafted", "ready"),
        };
        update.desk = Some(plan.desk.clone());
        update.group = Some(plan.admin_group.clone());
        update.ticket = Some(ticket.0);
        self.drafts.push([ticket.0.into(), serde_json::to_string(&plan.draft).unwrap_or_default().into()]);
        self.tickets.push(Ticket {
            id: ticket.0,
            key: plan.draft.key.as_str(),
            cycle: plan.cycle,
            desk: &plan.desk,
            group: &plan.admin_group,
            route: &plan.route,
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
            a: assignment,
            rev: decision.revision,
            rank: plan.rank,
            due: now.0,
            mark: plan.draft.key.as_str(),
            state: of_errand,
            quiet: doubt.map(|until| until.0),
            no: i64::from(lease.is_some()),
            owner: lease.map(|lease| lease.owner.clone()),
            until: lease.map(|lease| lease.until.0),
        });
        if let Some(lease) = lease {
            self.attempts.push(Attempt { e: errand.0, owner: lease.owner.clone(), at: now.0, until: lease.until.0 });
            self.leased.push(AtOnce { assignment, rank: plan.rank, errand: leased(errand, ticket, &plan.draft) });
        }
        let mut step = Move::ours(assignment, Some(State::Due), "due", now)
            .cause(plan.route.clone())
            .detail(json!({"desk": plan.desk, "admin_group": plan.admin_group, "key": plan.draft.key}));
        step.template_version = Some(format!("{}@{}", plan.template, plan.template_version));
        step
    }

    /// New lines of the journal, and what becomes of the rows of assignments.
    pub(in crate::ledger::sql) fn ends(
        &mut self,
        mut heads: Heads,
        now: Timestamp,
    ) -> LedgerResult<(Vec<JournalLine>, Vec<Update>)> {
        let (lines, _) = heads.lines(&self.moves, now)?;
        for update in &mut self.updates {
            if let Some((state, seq, head)) = heads.end(update.id) {
                (update.s, update.n, update.h) = (state.as_str(), seq, head.to_owned());
            }
        }
        Ok((lines, std::mem::take(&mut self.updates)))
    }

    pub(super) async fn write(mut self, tx: &mut Conn, heads: Heads, now: Timestamp) -> LedgerResult<()> {
        if self.moves.is_empty() {
            return Ok(());
        }
        tx.falls_due(now);
        let (lines, updates) = self.ends(heads, now)?;
        let text = query(WRITE);
        let lines = lines.into_iter().map(JournalLine::row).collect::<Rows>();
        self.bind_made(text.bind(lines).bind(rows(&updates)?), now).execute_later(tx).await?;
        Ok(())
    }

    /// Binds what was made besides lines and updates, for [`insert_made`].
    pub(in crate::ledger::sql) fn bind_made(self, text: Query, now: Timestamp) -> Query {
        let person = |((source, _), person): ((&str, &str), &Person)| person_row(self.shared, source, person, now);
        text.bind(self.persons.into_iter().map(person).collect::<Rows>())
            .bind(self.tickets.into_iter().map(Ticket::row).collect::<Rows>())
            .bind(self.drafts.into_iter().collect::<Rows>())
            .bind(self.errands.iter().map(Errand::item).collect::<Rows>())
            .bind(self.errands.into_iter().map(Errand::row).collect::<Rows>())
            .bind(self.attempts.into_iter().map(Attempt::row).collect::<Rows>())
    }
}
