//! Mending what disagrees: each an operator's act, journalled where an order is known.

use crate::ledger::compare::FindingKind;
use crate::ledger::engine::{Conn, query, query_as};
use crate::ledger::sql::journal::{self, Move};
use crate::ledger::sql::{Shared, act};
use crate::ledger::{Acted, LedgerError, LedgerResult, Stray};
use crate::model::ticket::{Category, TicketRef, TicketStatus};
use crate::model::{Id, Key, State, Timestamp};

#[derive(sqlx::FromRow)]
struct Finding {
    edge: String,
    kind: String,
    subject: String,
    number: String,
    key: Option<String>,
    ticket_id: Option<i64>,
    assignment_id: Option<i64>,
    untouched: i64,
    state: String,
}

impl Finding {
    fn desk(&self) -> &str {
        self.edge.split_once('/').map_or("", |(_, name)| name)
    }

    fn reference(&self) -> TicketRef {
        TicketRef { id: self.subject.clone(), number: self.number.clone() }
    }
}

async fn waiting(tx: &mut Conn, id: Id) -> LedgerResult<Result<Finding, Acted>> {
    let found: Option<Finding> = query_as(
        "SELECT edge, kind, subject, number, key, ticket_id, assignment_id, untouched, state FROM finding WHERE id = $1",
    )
    .bind(id.0)
    .fetch_optional(tx)
    .await?;
    Ok(match found {
        None => Err(Acted::NotFound),
        Some(found) if found.state != "open" => Err(Acted::NotNow(format!("it is {} already", found.state))),
        Some(found) => Ok(found),
    })
}

async fn settle(tx: &mut Conn, id: Id, state: &str, actor: &str, now: Timestamp) -> LedgerResult<()> {
    query("UPDATE finding SET state = $2, settled_at = $3, settled_by = $4 WHERE id = $1")
        .bind(id.0)
        .bind(state)
        .bind(now.0)
        .bind(actor)
        .execute(tx)
        .await?;
    Ok(())
}

/// It is as it shall be, or is mended elsewhere: not shown again.
pub(in crate::ledger) async fn dismiss(tx: &mut Conn, id: Id, actor: &str, now: Timestamp) -> LedgerResult<Acted> {
    let found = match waiting(tx, id).await? {
        Ok(found) => found,
        Err(answer) => return Ok(answer),
    };
    let cause = format!("an operator dismissed what the comparison found: {}", found.kind);
    note(tx, &found, None, "dismissed", &cause, actor, now).await?;
    settle(tx, id, "dismissed", actor, now).await?;
    Ok(Acted::Done)
}

/// The one repair of its kind.
pub(in crate::ledger) async fn repair(
    tx: &mut Conn,
    shared: &Shared,
    id: Id,
    actor: &str,
    now: Timestamp,
) -> LedgerResult<Acted> {
    let found = match waiting(tx, id).await? {
        Ok(found) => found,
        Err(answer) => return Ok(answer),
    };
    let kind = FindingKind::parse(&found.kind).ok_or_else(|| LedgerError::Corrupt(format!("finding `{}`", found.kind)))?;
    let acted = match kind {
        FindingKind::Orphan => adopt(tx, shared, &found, actor, now).await?,
        FindingKind::Double => close(tx, shared, &found, actor, now).await?,
        FindingKind::Lost => file_again(tx, &found, actor, now).await?,
        FindingKind::ClosedThere => read_now(tx, &found, actor, now).await?,
        FindingKind::Untold => tell_again(tx, &found, actor, now).await?,
    };
    if acted == Acted::Done {
        settle(tx, id, "repaired", actor, now).await?;
    }
    Ok(acted)
}

async fn note(
    tx: &mut Conn,
    found: &Finding,
    to: Option<State>,
    event: &'static str,
    cause: &str,
    actor: &str,
    now: Timestamp,
) -> LedgerResult<()> {
    let Some(assignment) = found.assignment_id else { return Ok(()) };
    journal::apply(tx, &[Move::ours(assignment, to, event, now).actor(actor).cause(cause)], now).await
}

fn not_now(words: &str) -> LedgerResult<Acted> {
    Ok(Acted::NotNow(words.to_owned()))
}

/// State and reference of a ticket.
async fn ticket(tx: &mut Conn, id: i64) -> LedgerResult<Option<(String, Option<String>)>> {
    Ok(query_as("SELECT state, ref_id FROM ticket WHERE id = $1").bind(id).fetch_optional(tx).await?)
}

async fn is_held(tx: &mut Conn, found: &Finding) -> LedgerResult<bool> {
    let held: Option<(i64,)> = query_as("SELECT id FROM ticket WHERE desk = $1 AND ref_id = $2")
        .bind(found.desk())
        .bind(&found.subject)
        .fetch_optional(tx)
        .await?;
    Ok(held.is_some())
}

/// The mark that a ticket which is gone had set.
async fn lift_gone(tx: &mut Conn, ticket: i64) -> LedgerResult<()> {
    query(
        "UPDATE assignment SET parked_at = NULL, parked_code = NULL, parked_reason = NULL
         WHERE ticket_id = $1 AND parked_code = 'E-GONE'",
    )
    .bind(ticket)
    .execute(tx)
    .await?;
    Ok(())
}

async fn adopt(tx: &mut Conn, shared: &Shared, found: &Finding, actor: &str, now: Timestamp) -> LedgerResult<Acted> {
    let (Some(row), Some(key)) = (found.ticket_id, &found.key) else {
        return not_now("no order of ours has its key, so that none can take it: look at it on the desk, then dismiss it");
    };
    if is_held(tx, found).await? {
        return not_now("it is the ticket of an order already");
    }
    match ticket(tx, row).await? {
        Some((state, _)) if state == "gone" => {
            query(
                "UPDATE ticket SET ref_id = $2, ref_number = $3, url = NULL, state = 'open', category = NULL, desk_updated_at = NULL,
                    checked_at = 0 WHERE id = $1",
            )
            .bind(row)
            .bind(&found.subject)
            .bind(&found.number)
            .execute(&mut *tx)
            .await?;
            lift_gone(tx, row).await?;
        }
        Some((_, None)) => {
            let key = Key(key.clone());
            if !act::witness(tx, shared, found.desk(), &key, &found.reference(), now).await? {
                return not_now("its order does not wait for a ticket any more");
            }
        }
        _ => return not_now("its order has another ticket meanwhile"),
    }
    note(tx, found, None, "adopted", "an operator took a ticket that the comparison found", actor, now).await?;
    Ok(Acted::Done)
}

async fn close(tx: &mut Conn, shared: &Shared, found: &Finding, actor: &str, now: Timestamp) -> LedgerResult<Acted> {
    let (Some(real), Some(assignment), Some(key)) = (found.ticket_id, found.assignment_id, &found.key) else {
        return not_now("its order is not known any more");
    };
    if found.untouched == 0 {
        return not_now("somebody else made it, or touched it: close it on the desk");
    }
    if is_held(tx, found).await? {
        return not_now("it is being closed already");
    }
    note(tx, found, None, "double_found", "an operator has the double closed", actor, now).await?;
    let stray = Stray {
        desk: found.desk().to_owned(),
        status: TicketStatus {
            ticket: found.reference(),
            key: Some(Key(key.clone())),
            category: Category::Open,
            outcome: None,
            status: String::new(),
            resolution: None,
            group: None,
            assigned: false,
            created_by: None,
            updated_at: None,
            closed_at: None,
        },
        untouched_ours: true,
    };
    act::close_double(tx, shared, &stray, &Key(key.clone()), real, assignment, now).await?;
    query(
        "INSERT INTO stray (desk, ref_id, ref_number, key, ticket_id, kind, found_at, ours, action)
         VALUES ($1, $2, $3, $4, $5, 'double', $6, 1, 'closing it: an operator said so')
         ON CONFLICT (desk, ref_id) DO UPDATE SET action = excluded.action",
    )
    .bind(found.desk())
    .bind(&found.subject)
    .bind(&found.number)
    .bind(key)
    .bind(real)
    .bind(now.0)
    .execute(tx)
    .await?;
    Ok(Acted::Done)
}

/// The create goes to its witnesses: only what they do not find is filed again, under the same key.
async fn file_again(tx: &mut Conn, found: &Finding, actor: &str, now: Timestamp) -> LedgerResult<Acted> {
    let (Some(row), Some(assignment)) = (found.ticket_id, found.assignment_id) else {
        return not_now("its order is not known any more");
    };
    match ticket(tx, row).await? {
        Some((state, Some(held))) if matches!(state.as_str(), "open" | "gone") && held == found.subject => {}
        _ => return not_now("its order has another ticket meanwhile, or is closed"),
    }
    let (state, withdrawn, waits): (String, bool, bool) = query_as(
        "SELECT state, withdrawn_at IS NOT NULL, EXISTS (SELECT 1 FROM errand AS e WHERE e.ticket_id = $2 AND e.kind <> 'create'
            AND e.state IN ('ready', 'sending', 'unclear', 'parked')) FROM assignment WHERE id = $1",
    )
    .bind(assignment)
    .bind(row)
    .fetch_one(&mut *tx)
    .await?;
    let open = State::parse(&state).is_some_and(State::has_open_ticket);
    if !open || withdrawn {
        return not_now("its order wants no ticket any more");
    }
    if waits {
        return not_now("calls for the lost ticket still wait: let them go first (parked calls)");
    }
    query(
        "UPDATE ticket SET state = 'unclear', ref_id = NULL, ref_number = NULL, url = NULL, category = NULL, desk_updated_at = NULL,
            assigned = 0, risky = 1, checked_at = 0 WHERE id = $1",
    )
    .bind(row)
    .execute(&mut *tx)
    .await?;
    tx.falls_due(now);
    query(
        "UPDATE errand SET state = 'unclear', due_at = $2, quiet_until = $2, misses = 0, failures = 0, done_at = NULL
         WHERE kind = 'create' AND ticket_id = $1",
    )
    .bind(row)
    .bind(now.0)
    .execute(&mut *tx)
    .await?;
    lift_gone(tx, row).await?;
    let cause = "an operator has the lost ticket searched by its key, and filed again if it is not there";
    note(tx, found, Some(State::Unclear), "lost", cause, actor, now).await?;
    Ok(Acted::Done)
}

async fn read_now(tx: &mut Conn, found: &Finding, actor: &str, now: Timestamp) -> LedgerResult<Acted> {
    let done = query("UPDATE ticket SET checked_at = 0 WHERE id = $1 AND state IN ('open', 'gone')")
        .bind(found.ticket_id)
        .execute(&mut *tx)
        .await?;
    if done.rows_affected() == 0 {
        return not_now("it is no longer open here");
    }
    note(tx, found, None, "read_now", "an operator has it read now", actor, now).await?;
    Ok(Acted::Done)
}

async fn tell_again(tx: &mut Conn, found: &Finding, actor: &str, now: Timestamp) -> LedgerResult<Acted> {
    tx.falls_due(now);
    let done = query(
        "UPDATE errand SET state = 'ready', due_at = $2, rank = $2, failures = 0, misses = 0, quiet_until = NULL, done_at = NULL
         WHERE state = 'done' AND id = (SELECT MAX(id) FROM errand WHERE kind = 'report' AND assignment_id = $1)
            AND EXISTS (SELECT 1 FROM assignment AS a WHERE a.id = $1 AND a.state IN ('reported', 'proven'))",
    )
    .bind(found.assignment_id)
    .bind(now.0)
    .execute(&mut *tx)
    .await?;
    if done.rows_affected() == 0 {
        return not_now("its outcome is being told, or its order goes on");
    }
    note(tx, found, None, "told_again", "an operator has the outcome told again", actor, now).await?;
    Ok(Acted::Done)
}
