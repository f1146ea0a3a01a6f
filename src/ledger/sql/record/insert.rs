//! Rows of new orders.

use serde_json::json;

use super::super::super::{LedgerResult, Receipt};
use super::super::Shared;
use super::super::journal::{self, JournalLine};
use super::super::planning::{Update, Writes, insert_made};
use crate::ledger::engine::{Arg, Conn, Rows, query};
use crate::model::{Assignment, Timestamp};

/// Id, source, event, digest, when, answer, assignment, document.
pub(super) type InboxRow = [Arg; 8];

#[derive(Clone)]
pub(super) struct NewAssignment {
    pub(super) id: i64,
    pub(super) key: String,
    pub(super) source: String,
    pub(super) ext: String,
    pub(super) gen_: i64,
    pub(super) op: &'static str,
    pub(super) rev: i64,
    pub(super) app: String,
    pub(super) appn: String,
    pub(super) ent: Option<String>,
    pub(super) entn: Option<String>,
    pub(super) ben: String,
    pub(super) persons: String,
    pub(super) lane: String,
    pub(super) lane_at: i64,
    pub(super) prio: i64,
    pub(super) req: Option<i64>,
    pub(super) appr: Option<i64>,
    pub(super) from: Option<i64>,
    pub(super) until: Option<i64>,
    pub(super) answer: Option<i64>,
    pub(super) recv: i64,
    pub(super) digest: String,
    pub(super) doc: i64,
    pub(super) head: String,
    /// What becomes of it in the same commit.
    pub(super) planned: Option<Update>,
}

impl NewAssignment {
    fn row(self) -> [Arg; 36] {
        let is = self.planned.unwrap_or_else(|| Update::received(self.head));
        [
            self.id.into(),
            self.key.into(),
            self.source.into(),
            self.ext.into(),
            self.gen_.into(),
            self.op.into(),
            self.rev.into(),
            self.app.into(),
            self.appn.into(),
            self.ent.into(),
            self.entn.into(),
            self.ben.into(),
            self.persons.into(),
            self.lane.into(),
            self.lane_at.into(),
            self.prio.into(),
            self.req.into(),
            self.appr.into(),
            self.from.into(),
            self.until.into(),
            self.answer.into(),
            self.recv.into(),
            is.s.into(),
            self.digest.into(),
            self.doc.into(),
            is.n.into(),
            is.h.into(),
            is.eligible.into(),
            is.plan.into(),
            is.due.into(),
            is.parked.into(),
            is.code.into(),
            is.reason.into(),
            is.desk.into(),
            is.group.into(),
            is.ticket.into(),
        ]
    }
}

pub(super) fn inbox_row(
    receipt: &Receipt,
    event: &str,
    id: i64,
    answer: &'static str,
    assignment: i64,
    document: Option<String>,
) -> InboxRow {
    [
        id.into(),
        (&receipt.source).into(),
        event.into(),
        (&receipt.digest).into(),
        receipt.received_at.0.into(),
        answer.into(),
        assignment.into(),
        document.into(),
    ]
}

/// Hashes of the persons of an order, for checks that need no names.
pub(super) fn persons_of(shared: &Shared, assignment: &Assignment) -> String {
    let hash = |id: &str| shared.person(&assignment.source, id);
    json!({
        "requester": assignment.requester.as_ref().map(|p| hash(&p.id)),
        "approvers": assignment.approvals.iter().map(|a| json!({"by": hash(&a.by.id), "at": a.at})).collect::<Vec<_>>(),
    })
    .to_string()
}

#[expect(clippy::too_many_arguments, reason = "the row is made of what intake just decided")]
pub(super) fn new_assignment(
    shared: &Shared,
    receipt: &Receipt,
    assignment: &Assignment,
    id: i64,
    natural_key: &str,
    digest: &str,
    document_id: i64,
    head: String,
) -> NewAssignment {
    NewAssignment {
        id,
        key: natural_key.to_owned(),
        source: assignment.source.clone(),
        ext: assignment.external_id.clone(),
        gen_: assignment.generation,
        op: assignment.operation.as_str(),
        rev: i64::from(assignment.operation.is_revocation()),
        app: assignment.application.id.clone(),
        appn: assignment.application.name.clone(),
        ent: assignment.entitlement.as_ref().map(|e| e.id.clone()),
        entn: assignment.entitlement.as_ref().map(|e| e.name.clone()),
        ben: shared.person(&assignment.source, &assignment.beneficiary.id),
        persons: persons_of(shared, assignment),
        lane: assignment.lane(),
        lane_at: assignment.approved_at.unwrap_or(receipt.received_at).0,
        prio: assignment.priority,
        req: assignment.requested_at.map(|t| t.0),
        appr: assignment.approved_at.map(|t| t.0),
        from: assignment.valid_from.map(|t| t.0),
        until: assignment.valid_until.map(|t| t.0),
        answer: assignment.answer_by.map(|t| t.0),
        recv: receipt.received_at.0,
        digest: digest.to_owned(),
        doc: document_id,
        head,
        planned: None,
    }
}

/// An order is received, due and being sent; it names a beneficiary, a requester, an approver.
pub(in crate::ledger) const INSERT: &str = concat!(
    "INSERT INTO assignment (id, natural_key, source, external_id, generation, operation, revocation, application_id,
        application_name, entitlement_id, entitlement_name, beneficiary, persons, lane, lane_at, priority, requested_at,
        approved_at, valid_from, valid_until, answer_by, received_at, state, content_digest, document_id, chain_seq, chain_head,
        eligible_at, plan_at, due_at, parked_at, parked_code, parked_reason, desk, admin_group, ticket_id)
     ROWS $1 (int, text, text, text, int, text, int, text, text, text, text, text, text, text, int, int, int, int, int, int, int, int,
        text, text, int, int, text, int, int, int, int, text, text, text, text, int);",
    journal::insert_lines!("$2*3"),
    "INSERT INTO inbox (id, source, event_id, digest, received_at, answer, assignment_id, document)
     ROWS $3 (int, text, text, text, int, text, int, text);",
    insert_made!("$4*3", "$5", "$6", "$7", "$8", "$9"),
);

/// New assignments with their journal lines, all inbox rows, and what was made for orders that are inserted as they are planned.
pub(super) async fn insert(
    tx: &mut Conn,
    assignments: Vec<NewAssignment>,
    journal: Vec<JournalLine>,
    inbox: Vec<InboxRow>,
    (made, at): (Writes<'_>, Timestamp),
) -> LedgerResult<()> {
    if inbox.is_empty() {
        return Ok(());
    }
    assignments.iter().for_each(|order| tx.falls_due(Timestamp(order.recv)));
    let text = query(INSERT)
        .bind(assignments.into_iter().map(NewAssignment::row).collect::<Rows>())
        .bind(journal.into_iter().map(JournalLine::row).collect::<Rows>())
        .bind(inbox.into_iter().collect::<Rows>());
    made.bind_made(text, at).execute_later(tx).await?;
    Ok(())
}
