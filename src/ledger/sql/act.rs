//! What operators, witnesses and the sweeper do; each names its actor.

use crate::ledger::engine::{Conn, Pool, query, query_as};
use serde_json::json;

use super::super::{Acted, Action, End, LedgerError, LedgerResult, Receipt, ReceiptContent, Recorded, Settlement, Stray};
use super::Shared;
use super::compare::repair;
use super::front::planned_again;
use super::journal::{self, Move};
use super::record::{From, drop_unsent, record};
use super::settle::{after, settle};
use crate::model::ticket::{Change, Created, TicketRef};
use crate::model::{Id, Key, Outcome, State, Timestamp};

/// Code of a parked create that only a person can look for: its desk cannot be searched. Sending it again could double.
const UNSEARCHABLE: &str = "E-UNSEARCHABLE";

/// An operator's action.
pub(in crate::ledger) async fn act(
    tx: &mut Conn,
    shared: &Shared,
    action: &Action,
    actor: &str,
    now: Timestamp,
) -> LedgerResult<Acted> {
    match action {
        Action::RetryErrand { errand } => retry(tx, *errand, actor, now).await,
        Action::Unpark { assignment } => unpark(tx, *assignment, actor, now).await,
        Action::TicketIs { errand, ref_id, ref_number } => {
            let created = Created {
                ticket: TicketRef { id: ref_id.clone(), number: ref_number.clone() },
                url: None,
                key_confirmed: false,
                group_missed: false,
            };
            decide_create(tx, shared, *errand, End::Filed(created), actor, now).await
        }
        Action::NoTicket { errand } => decide_create(tx, shared, *errand, End::Clear, actor, now).await,
        Action::Drop { errand } => drop_parked(tx, *errand, actor, now).await,
        Action::Decide { assignment, outcome, reason } => decide(tx, shared, *assignment, *outcome, reason, actor, now).await,
        Action::Repair { finding } => repair::repair(tx, shared, *finding, actor, now).await,
        Action::Dismiss { finding } => repair::dismiss(tx, *finding, actor, now).await,
        Action::Discard { quarantined } => {
            let done = query(
                "UPDATE quarantine SET state = 'discarded', settled_at = $2, settled_by = $3 WHERE id = $1 AND state = 'held'",
            )
            .bind(quarantined.0)
            .bind(now.0)
            .bind(actor)
            .execute(tx)
            .await?;
            Ok(if done.rows_affected() == 1 { Acted::Done } else { Acted::NotFound })
        }
    }
}

async fn retry(tx: &mut Conn, errand: Id, actor: &str, now: Timestamp) -> LedgerResult<Acted> {
    let row: Option<(String, String, Option<i64>, Option<String>)> =
        query_as("SELECT kind, state, assignment_id, code FROM errand WHERE id = $1")
            .bind(errand.0)
            .fetch_optional(&mut *tx)
            .await?;
    let Some((kind, state, assignment, code)) = row else { return Ok(Acted::NotFound) };
    if kind == "create" && code.as_deref() == Some(UNSEARCHABLE) && state == "parked" {
        return Ok(Acted::NotNow(
            "its ticket may be there already: look for the key on the desk, and say what you found".to_owned(),
        ));
    }
    if !matches!(state.as_str(), "parked" | "ready") {
        return Ok(Acted::NotNow(format!("the errand is {state}")));
    }
    try_again(tx, "id = $1", errand.0, now).await?;
    if let Some(assignment) = assignment {
        clear_mark(tx, assignment, now).await?;
        journal::apply(
            tx,
            &[Move::ours(assignment, None, "retried", now).actor(actor).cause("an operator asked for another try")],
            now,
        )
        .await?;
    }
    Ok(Acted::Done)
}

/// What was refused for good is let go; its order stays as it is.
async fn drop_parked(tx: &mut Conn, errand: Id, actor: &str, now: Timestamp) -> LedgerResult<Acted> {
    let row: Option<(String, String, Option<i64>)> =
        query_as("SELECT kind, state, assignment_id FROM errand WHERE id = $1").bind(errand.0).fetch_optional(&mut *tx).await?;
    let Some((kind, state, assignment)) = row else { return Ok(Acted::NotFound) };
    if kind == "create" {
        return Ok(Acted::NotNow("an order needs its ticket: decide the order's outcome instead".to_owned()));
    }
    if state != "parked" {
        return Ok(Acted::NotNow(format!("the errand is {state}")));
    }
    if let Some(assignment) = assignment {
        // Only the mark that this errand set: another trouble still waits for somebody.
        let set: Option<(i64,)> =
            query_as("SELECT a.id FROM assignment AS a JOIN errand AS e ON e.code = a.parked_code WHERE a.id = $1 AND e.id = $2")
                .bind(assignment)
                .bind(errand.0)
                .fetch_optional(&mut *tx)
                .await?;
        if set.is_some() {
            clear_mark(tx, assignment, now).await?;
        }
        let cause = format!("an operator let the {kind} go: it is not sent any more");
        journal::apply(tx, &[Move::ours(assignment, None, "dropped", now).actor(actor).cause(cause)], now).await?;
    }
    query("UPDATE errand SET state = 'dropped', done_at = $2 WHERE id = $1").bind(errand.0).bind(now.0).execute(tx).await?;
    Ok(Acted::Done)
}

/// Errands go again. A create that may have made a ticket goes to its witnesses, never straight to the desk; so does a
/// comment that may be there, unless only a person can look for it: whoever asks for another try has looked.
async fn try_again(tx: &mut Conn, which: &'static str, id: i64, now: Timestamp) -> LedgerResult<()> {
    let sql = format!(
        "UPDATE errand SET due_at = $2, failures = 0, misses = 0, state = CASE WHEN kind = 'create' AND EXISTS
            (SELECT 1 FROM ticket AS t WHERE t.id = errand.ticket_id AND t.state = 'unclear') THEN 'unclear'
            WHEN kind = 'comment' AND state = 'parked' AND quiet_until IS NOT NULL AND COALESCE(code, '') <> '{UNSEARCHABLE}' THEN 'unclear'
            ELSE 'ready' END
         WHERE {which}"
    );
    tx.falls_due(now);
    query(sql).bind(id).bind(now.0).execute(tx).await?;
    Ok(())
}

/// A mark kept an order from being planned: what waits for that is found anew.
async fn clear_mark(tx: &mut Conn, assignment: i64, now: Timestamp) -> LedgerResult<()> {
    tx.falls_due(now);
    query(concat!(
        "UPDATE assignment SET parked_at = NULL, parked_code = NULL, parked_reason = NULL,
            plan_at = CASE WHEN state IN ('received', 'planned') AND plan_at <= $2 THEN ",
        planned_again!("plan_at", "$2"),
        " ELSE plan_at END
         WHERE id = $1",
    ))
    .bind(assignment)
    .bind(now.0)
    .execute(tx)
    .await?;
    Ok(())
}

/// State, mark, ticket and code of the mark.
type Marked = (String, Option<i64>, Option<i64>, Option<String>);

async fn unpark(tx: &mut Conn, assignment: Id, actor: &str, now: Timestamp) -> LedgerResult<Acted> {
    let row: Option<Marked> = query_as("SELECT state, parked_at, ticket_id, parked_code FROM assignment WHERE id = $1")
        .bind(assignment.0)
        .fetch_optional(&mut *tx)
        .await?;
    let Some((state, parked, ticket, code)) = row else { return Ok(Acted::NotFound) };
    if parked.is_none() {
        return Ok(Acted::NotNow("it is not parked".to_owned()));
    }
    clear_mark(tx, assignment.0, now).await?;
    let mut to = None;
    if state == "due" && drop_unsent(tx, assignment.0).await? {
        to = Some(State::Planned);
    }
    query(concat!(
        "UPDATE assignment SET plan_at = ",
        planned_again!("0", "$2"),
        " WHERE id = $1 AND state IN ('received', 'planned', 'due')"
    ))
    .bind(assignment.0)
    .bind(now.0)
    .execute(&mut *tx)
    .await?;
    if let Some(ticket) = ticket.filter(|_| to.is_none()) {
        // Whoever lifts a missing key has seen that it is the right ticket.
        query(
            "UPDATE ticket SET checked_at = 0, state = CASE WHEN state = 'gone' THEN 'open' ELSE state END,
                key_confirmed = MAX(key_confirmed, $2) WHERE id = $1",
        )
        .bind(ticket)
        .bind(i64::from(code.as_deref() == Some("E-KEY")))
        .execute(&mut *tx)
        .await?;
    }
    try_again(tx, "state = 'parked' AND assignment_id = $1", assignment.0, now).await?;
    journal::apply(tx, &[Move::ours(assignment.0, to, "unparked", now).actor(actor).cause("an operator lifted the mark")], now)
        .await?;
    Ok(Acted::Done)
}

/// A person knows what became of an unclear create.
async fn decide_create(tx: &mut Conn, shared: &Shared, errand: Id, end: End, actor: &str, now: Timestamp) -> LedgerResult<Acted> {
    let row: Option<Deciding> = query_as(
        "SELECT e.kind, e.state, e.lease_no, e.assignment_id, COALESCE(t.state, '') AS ticket, COALESCE(t.desk, '') AS desk
         FROM errand AS e LEFT JOIN ticket AS t ON t.id = e.ticket_id WHERE e.id = $1",
    )
    .bind(errand.0)
    .fetch_optional(&mut *tx)
    .await?;
    let Some(Deciding { kind, state, lease_no, assignment_id: assignment, ticket, desk }) = row else {
        return Ok(Acted::NotFound);
    };
    // A refused create may have been mended by hand on the desk; only a person knows.
    let open = state == "unclear" || (state == "parked" && (ticket == "unclear" || matches!(end, End::Filed(_))));
    if kind != "create" || !open {
        return Ok(Acted::NotNow(format!("it is a {kind} and {state}; only an unclear create can be decided")));
    }
    if let End::Filed(created) = &end {
        let taken: Option<(i64,)> = query_as("SELECT id FROM ticket WHERE desk = $1 AND ref_id = $2")
            .bind(&desk)
            .bind(&created.ticket.id)
            .fetch_optional(&mut *tx)
            .await?;
        if taken.is_some() {
            return Ok(Acted::NotNow(format!("{} is the ticket of another order", created.ticket.number)));
        }
    }
    if let Some(assignment) = assignment {
        clear_mark(tx, assignment, now).await?;
        journal::apply(
            tx,
            &[Move::ours(assignment, None, "decided", now).actor(actor).cause("an operator said what became of the create")],
            now,
        )
        .await?;
    }
    // The lease number moves on, so that a witness under way cannot settle it too.
    settle_unleased(tx, shared, errand, lease_no, end, now).await?;
    Ok(Acted::Done)
}

#[derive(sqlx::FromRow)]
struct Deciding {
    kind: String,
    state: String,
    lease_no: i64,
    assignment_id: Option<i64>,
    ticket: String,
    desk: String,
}

/// Settles an errand from outside its lease; whoever holds that one can no longer.
async fn settle_unleased(
    tx: &mut Conn,
    shared: &Shared,
    errand: Id,
    lease_no: i64,
    end: End,
    now: Timestamp,
) -> LedgerResult<bool> {
    query("UPDATE errand SET state = 'unclear', lease_no = lease_no + 1, lease_until = $2 WHERE id = $1")
        .bind(errand.0)
        .bind(now.0)
        .execute(&mut *tx)
        .await?;
    let settled = settle(tx, shared, &[&Settlement { id: errand, lease_no: lease_no + 1, at: now, end }]).await?;
    Ok(settled == [true])
}

async fn decide(
    tx: &mut Conn,
    shared: &Shared,
    assignment: Id,
    outcome: Outcome,
    reason: &str,
    actor: &str,
    now: Timestamp,
) -> LedgerResult<Acted> {
    let row: Option<(String, Option<i64>)> =
        query_as("SELECT state, ticket_id FROM assignment WHERE id = $1").bind(assignment.0).fetch_optional(&mut *tx).await?;
    let Some((state, ticket)) = row else { return Ok(Acted::NotFound) };
    let known = State::parse(&state).ok_or_else(|| LedgerError::Corrupt(format!("state `{state}`")))?;
    let under_way = matches!(known, State::Sending | State::Unclear);
    if under_way || !known.may_become(State::Closed) || (known == State::Due && !drop_unsent(tx, assignment.0).await?) {
        return Ok(Acted::NotNow(format!("it is {state}: decide its unclear call first")));
    }
    let step = Move::ours(assignment.0, Some(State::Closed), "closed", now)
        .actor(actor)
        .cause("an operator decided")
        .detail(json!({"outcome": outcome}));
    journal::apply(tx, &[step], now).await?;
    if let Some(ticket) = ticket.filter(|_| known.has_open_ticket()) {
        query("UPDATE ticket SET state = 'closed', outcome = $2, closed_at = $3 WHERE id = $1")
            .bind(ticket)
            .bind(outcome.as_str())
            .bind(now.0)
            .execute(&mut *tx)
            .await?;
    }
    after::close_without_ticket(tx, shared, assignment.0, outcome, now).await?;
    // Free text of a person: it goes to the platform and is erasable, and never stands in the journal.
    query("UPDATE errand SET body = $2 WHERE kind = 'report' AND state = 'ready' AND assignment_id = $1")
        .bind(assignment.0)
        .bind(reason)
        .execute(tx)
        .await?;
    Ok(Acted::Done)
}

/// A ticket that carries our key turned up: a create that waits (for its witnesses, for its next try, for a person) is
/// settled, one under way is told which ticket it is.
pub(in crate::ledger) async fn witness(
    tx: &mut Conn,
    shared: &Shared,
    desk: &str,
    key: &Key,
    ticket: &TicketRef,
    now: Timestamp,
) -> LedgerResult<bool> {
    let row: Option<(i64, String, i64, i64, Option<i64>)> = query_as(
        "SELECT e.id, e.state, e.lease_no, t.id, e.assignment_id FROM ticket AS t
         JOIN errand AS e ON e.ticket_id = t.id AND e.kind = 'create'
         WHERE t.key = $1 AND t.desk = $2 AND t.shape <> 'double' AND t.ref_id IS NULL
           AND e.state IN ('sending', 'unclear', 'ready', 'parked')
           AND NOT EXISTS (SELECT 1 FROM ticket AS o WHERE o.desk = $2 AND o.ref_id = $3)",
    )
    .bind(key.as_str())
    .bind(desk)
    .bind(&ticket.id)
    .fetch_optional(&mut *tx)
    .await?;
    let Some((errand, state, lease_no, row, assignment)) = row else { return Ok(false) };
    if state == "sending" {
        query("UPDATE ticket SET ref_id = $2, ref_number = $3 WHERE id = $1")
            .bind(row)
            .bind(&ticket.id)
            .bind(&ticket.number)
            .execute(tx)
            .await?;
        return Ok(true);
    }
    let created = Created { ticket: ticket.clone(), url: None, key_confirmed: false, group_missed: false };
    if let (true, Some(assignment)) = (state == "parked", assignment) {
        clear_mark(tx, assignment, now).await?;
    }
    // Its witness may have seen one of two: the sweeper shall look.
    query("UPDATE ticket SET risky = 1 WHERE id = $1").bind(row).execute(&mut *tx).await?;
    settle_unleased(tx, shared, Id(errand), lease_no, End::Filed(created), now).await
}

/// A ticket with a key of ours that is not the one we hold.
pub(in crate::ledger) async fn stray(tx: &mut Conn, shared: &Shared, stray: &Stray, now: Timestamp) -> LedgerResult<bool> {
    let status = &stray.status;
    let Some(key) = &status.key else { return Ok(false) };
    let owner: Option<(i64, String, Option<String>, Option<i64>)> = query_as(
        "SELECT t.id, t.state, t.ref_id, (SELECT assignment_id FROM ticket_item WHERE ticket_id = t.id LIMIT 1)
         FROM ticket AS t WHERE t.key = $1 AND t.shape <> 'double'",
    )
    .bind(key.as_str())
    .fetch_optional(&mut *tx)
    .await?;
    // A dropped draft has no ticket and wants none: what turns up late is one too many.
    let is_that = |state: &str, ref_id: Option<&str>| ref_id.map_or(state != "dropped", |r| r == status.ticket.id);
    if owner.as_ref().is_some_and(|(_, state, ref_id, _)| is_that(state, ref_id.as_deref())) {
        return Ok(false);
    }
    let closing = stray.untouched_ours && owner.is_some();
    let action = if closing {
        "closing it: our account made it and nobody touched it"
    } else {
        "reported: somebody else made or touched it"
    };
    let new = query(
        "INSERT INTO stray (desk, ref_id, ref_number, key, ticket_id, kind, found_at, ours, action)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (desk, ref_id) DO NOTHING",
    )
    .bind(&stray.desk)
    .bind(&status.ticket.id)
    .bind(&status.ticket.number)
    .bind(key.as_str())
    .bind(owner.as_ref().map(|o| o.0))
    .bind(if owner.is_some() { "double" } else { "orphan" })
    .bind(now.0)
    .bind(i64::from(stray.untouched_ours))
    .bind(action)
    .execute(&mut *tx)
    .await?;
    if new.rows_affected() == 0 {
        return Ok(false);
    }
    let is_double = owner.is_some();
    if let Some((real, _, _, Some(assignment))) = owner {
        let step = Move::ours(assignment, None, "double_found", now)
            .cause(action)
            .detail(json!({"desk": stray.desk, "double": status.ticket.number}));
        journal::apply(tx, &[step], now).await?;
        if closing {
            close_double(tx, shared, stray, key, real, assignment, now).await?;
        }
    }
    // A key that no order of ours has (yet) is another installation's, or one of before a restore: no double.
    Ok(is_double)
}

pub(super) async fn close_double(
    tx: &mut Conn,
    shared: &Shared,
    stray: &Stray,
    key: &Key,
    real: i64,
    assignment: i64,
    now: Timestamp,
) -> LedgerResult<()> {
    let row = shared.ids.next(now).0;
    query(
        "INSERT INTO ticket (id, key, cycle, shape, parent_id, desk, admin_group, route, state, ref_id, ref_number, template, template_version,
            catalog_version, planned_at, filed_at)
         SELECT $1, key, cycle, 'double', id, desk, admin_group, route, 'dropped', $3, $4, template, template_version, catalog_version, $5, $5
         FROM ticket WHERE id = $2",
    )
    .bind(row)
    .bind(real)
    .bind(&stray.status.ticket.id)
    .bind(&stray.status.ticket.number)
    .bind(now.0)
    .execute(&mut *tx)
    .await?;
    let mark = shared.comment_mark(row, "double", 1);
    let body = format!("**This ticket is a double** of the one with the same key ({key}). Nothing needs to be done here.\n");
    let change =
        serde_json::to_string(&Change::Close { mark: mark.clone(), body }).map_err(|e| LedgerError::Corrupt(e.to_string()))?;
    tx.falls_due(now);
    query(
        "INSERT INTO errand (id, kind, edge, ticket_id, assignment_id, state, rank, due_at, mark, body, made_at)
         VALUES ($1, 'close', $2, $3, $4, 'ready', $5, $5, $6, $7, $5)",
    )
    .bind(shared.ids.next(now).0)
    .bind(format!("desk/{}", stray.desk))
    .bind(row)
    .bind(assignment)
    .bind(now.0)
    .bind(mark)
    .bind(change)
    .execute(tx)
    .await?;
    Ok(())
}

/// A quarantined event, for replay.
pub(in crate::ledger) async fn quarantined(pool: &Pool, id: Id) -> LedgerResult<Option<Receipt>> {
    let row: Option<(String, String, String, i64, String, Option<String>)> =
        query_as("SELECT source, event_id, digest, received_at, problem, body FROM quarantine WHERE id = $1 AND state = 'held'")
            .bind(id.0)
            .fetch_optional(pool)
            .await?;
    Ok(row.and_then(|(source, event_id, digest, received_at, problem, body)| {
        let content = ReceiptContent::Unmappable { problem, body: body? };
        Some(Receipt { source, event_id, digest, received_at: Timestamp(received_at), content })
    }))
}

/// The event maps now: its inbox row makes way, and it is recorded as if it had just come, with its own time of arrival.
pub(in crate::ledger) async fn release(
    tx: &mut Conn,
    shared: &Shared,
    id: Id,
    receipt: &Receipt,
    actor: &str,
    now: Timestamp,
) -> LedgerResult<Recorded> {
    if let ReceiptContent::Unmappable { problem, .. } = &receipt.content {
        query("UPDATE quarantine SET problem = $2 WHERE id = $1").bind(id.0).bind(problem).execute(tx).await?;
        return Ok(Recorded::Quarantined { id });
    }
    let done = query("UPDATE quarantine SET state = 'replayed', body = NULL, settled_at = $2, settled_by = $3 WHERE id = $1 AND state = 'held'")
        .bind(id.0)
        .bind(now.0)
        .bind(actor)
        .execute(&mut *tx)
        .await?;
    if done.rows_affected() == 0 {
        return Ok(Recorded::Repeat { id: None });
    }
    query("DELETE FROM inbox WHERE source = $1 AND event_id = $2 AND answer = 'quarantined'")
        .bind(&receipt.source)
        .bind(&receipt.event_id)
        .execute(&mut *tx)
        .await?;
    let mut results = record(tx, shared, &[receipt], From::Push).await?;
    results.pop().ok_or_else(|| LedgerError::Corrupt("a replay without result".to_owned()))
}
