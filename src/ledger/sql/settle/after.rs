//! What follows: comments and closings a ticket is owed, and the report an outcome is owed.

use crate::ledger::engine::{Conn, query, query_as};

use super::super::super::{LedgerError, LedgerResult};
use super::super::recovery::{CAUSE, E_RESTORED, of_edges};
use super::super::{Shared, document, rows};
use crate::model::ticket::Change;
use crate::model::{Assignment, Outcome, Timestamp};
use crate::plan::markup::escape;

/// After filing: what happened to the order while its ticket was on its way is told now.
pub(in crate::ledger) async fn follow(tx: &mut Conn, shared: &Shared, filed: &[(i64, i64, Timestamp)]) -> LedgerResult<()> {
    if filed.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = filed.iter().map(|(_, assignment, _)| *assignment).collect();
    let late: Vec<(i64, i64, Option<i64>)> = query_as(
        "SELECT a.id, ti.ticket_id, a.withdrawn_at FROM assignment AS a
         JOIN ticket_item AS ti ON ti.assignment_id = a.id AND ti.ticket_id = a.ticket_id
         WHERE a.id IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) AND (a.withdrawn_at IS NOT NULL OR a.revision > ti.revision)",
    )
    .bind(rows(&ids)?)
    .fetch_all(&mut *tx)
    .await?;
    for (assignment, ticket, withdrawn) in late {
        let at = filed.iter().find(|(_, a, _)| *a == assignment).map_or(Timestamp(0), |(_, _, at)| *at);
        if withdrawn.is_some() {
            tell_withdrawal(tx, shared, ticket, assignment, at).await?;
        } else {
            tell_change(tx, shared, ticket, assignment, at).await?;
        }
    }
    Ok(())
}

/// A comment that names what the order says now, and where the desk allows it the same above the ticket's text: whoever
/// takes the ticket from the queue reads that first.
pub(in crate::ledger) async fn tell_change(
    tx: &mut Conn,
    shared: &Shared,
    ticket: i64,
    assignment: i64,
    at: Timestamp,
) -> LedgerResult<()> {
    let (revision, text): (i64, Option<String>) = query_as(
        "SELECT a.revision, i.document FROM assignment AS a LEFT JOIN inbox AS i ON i.id = a.document_id WHERE a.id = $1",
    )
    .bind(assignment)
    .fetch_one(&mut *tx)
    .await?;
    let order: Assignment = document(text.as_deref().ok_or_else(|| LedgerError::Corrupt("a document is gone".to_owned()))?)?;
    let day = |t: Option<Timestamp>| t.map_or_else(|| "not limited".to_owned(), Timestamp::human);
    let mark = shared.comment_mark(ticket, "changed", revision);
    let now = format!(
        "It now says:\n\n- {} of {} on {} for {}\n- valid from: {}\n- valid until: {}\n",
        order.operation.human(),
        escape(order.subject()),
        escape(&order.application.name),
        escape(order.beneficiary.name.as_deref().unwrap_or(&order.beneficiary.id)),
        day(order.valid_from),
        day(order.valid_until)
    );
    let body = format!("**The order was changed.** {now}");
    errand(tx, shared, Owed::Comment, (ticket, assignment), (mark, body), at).await?;
    rewrite(tx, shared, (ticket, assignment), revision, &now, at).await?;
    query("UPDATE ticket_item SET revision = $3 WHERE ticket_id = $1 AND assignment_id = $2")
        .bind(ticket)
        .bind(assignment)
        .bind(revision)
        .execute(tx)
        .await?;
    Ok(())
}

/// The ticket's own text with what changed above it. Made of the first text each time, so that changes do not pile up.
async fn rewrite(
    tx: &mut Conn,
    shared: &Shared,
    (ticket, assignment): (i64, i64),
    revision: i64,
    now: &str,
    at: Timestamp,
) -> LedgerResult<()> {
    // A newer text overtakes one that was not sent.
    query("UPDATE errand SET state = 'dropped', done_at = $2, reason = 'a newer change overtook it' WHERE ticket_id = $1 AND kind = 'amend' AND state IN ('ready', 'parked')")
        .bind(ticket)
        .bind(at.0)
        .execute(&mut *tx)
        .await?;
    let Some(draft) = super::draft(tx, ticket).await? else { return Ok(()) };
    let body = format!("**Changed on {}.** {now}\n### As it was first ordered\n\n{}", at.human(), draft.body);
    let mark = shared.comment_mark(ticket, "text", revision);
    errand(tx, shared, Owed::Text, (ticket, assignment), (mark, body), at).await
}

/// What a leaver still has is taken away by an open ticket, which may have been meant for a later day.
pub(in crate::ledger) async fn tell_leaver(
    tx: &mut Conn,
    shared: &Shared,
    ticket: i64,
    assignment: i64,
    at: Timestamp,
) -> LedgerResult<()> {
    // One mark: it is said once, however often the platform says it.
    let mark = shared.comment_mark(ticket, "left", 0);
    let body = "**The person has left.** Please do this now, whatever date it was meant for.\n".to_owned();
    errand(tx, shared, Owed::Comment, (ticket, assignment), (mark, body), at).await
}

/// An untouched ticket is closed; one that somebody works on is told.
pub(in crate::ledger) async fn tell_withdrawal(
    tx: &mut Conn,
    shared: &Shared,
    ticket: i64,
    assignment: i64,
    at: Timestamp,
) -> LedgerResult<()> {
    let (assigned, first_work, withdrawn_at): (i64, Option<i64>, i64) = query_as(
        "SELECT t.assigned, t.first_work_at, COALESCE(a.withdrawn_at, 0) FROM ticket AS t JOIN assignment AS a ON a.id = $2 WHERE t.id = $1",
    )
    .bind(ticket)
    .bind(assignment)
    .fetch_one(&mut *tx)
    .await?;
    let mark = shared.comment_mark(ticket, "withdrawn", withdrawn_at);
    if assigned == 0 && first_work.is_none() {
        let body = "**The order was taken back.** Nothing needs to be done.\n".to_owned();
        errand(tx, shared, Owed::Closing, (ticket, assignment), (mark, body), at).await
    } else {
        let body = "**The order was taken back.** Please stop, undo what was already done, and close this ticket as cancelled.\n"
            .to_owned();
        errand(tx, shared, Owed::Comment, (ticket, assignment), (mark, body), at).await
    }
}

/// The order stands again: what was going to stop it is not sent, and what was said is taken back. False where our own
/// closing of the ticket is under way: how that ends must be known first.
pub(in crate::ledger) async fn tell_reinstated(
    tx: &mut Conn,
    shared: &Shared,
    ticket: i64,
    assignment: i64,
    withdrawn_at: Timestamp,
    at: Timestamp,
) -> LedgerResult<bool> {
    let mark = shared.comment_mark(ticket, "withdrawn", withdrawn_at.0);
    let unsent = query("DELETE FROM errand WHERE mark = $1 AND state IN ('ready', 'parked') AND attempts = 0")
        .bind(&mark)
        .execute(&mut *tx)
        .await?;
    if unsent.rows_affected() > 0 {
        return Ok(true);
    }
    let closing: Option<(i64,)> =
        query_as("SELECT id FROM errand WHERE kind = 'close' AND mark = $1").bind(mark).fetch_optional(&mut *tx).await?;
    if closing.is_some() {
        return Ok(false);
    }
    let mark = shared.comment_mark(ticket, "reinstated", withdrawn_at.0);
    let body = "**The order stands after all.** Please carry it out.\n".to_owned();
    errand(tx, shared, Owed::Comment, (ticket, assignment), (mark, body), at).await?;
    Ok(true)
}

/// The desk does not let us close: the same words as a comment. The closing's own text says what it is about.
pub(in crate::ledger) async fn say_instead(
    tx: &mut Conn,
    shared: &Shared,
    closing: i64,
    (ticket, assignment): (i64, i64),
    at: Timestamp,
) -> LedgerResult<()> {
    let (text,): (Option<String>,) = query_as("SELECT body FROM errand WHERE id = $1").bind(closing).fetch_one(&mut *tx).await?;
    let Some(Change::Close { mark, body }) = text.as_deref().map(document::<Change>).transpose()? else { return Ok(()) };
    let body = format!("{body}\nWe may not close this ticket: please close it as cancelled.\n");
    errand(tx, shared, Owed::Comment, (ticket, assignment), (mark, body), at).await
}

/// What a ticket is owed.
enum Owed {
    Comment,
    Closing,
    Text,
}

/// Owes it once: another of the same mark is the same.
async fn errand(
    tx: &mut Conn,
    shared: &Shared,
    owed: Owed,
    (ticket, assignment): (i64, i64),
    (mark, body): (String, String),
    at: Timestamp,
) -> LedgerResult<()> {
    let (kind, change) = match owed {
        Owed::Comment => ("comment", Change::Comment { mark: mark.clone(), body }),
        Owed::Closing => ("close", Change::Close { mark: mark.clone(), body }),
        Owed::Text => ("amend", Change::Text { body }),
    };
    let body = serde_json::to_string(&change).map_err(|e| LedgerError::Corrupt(e.to_string()))?;
    tx.falls_due(at);
    // After a restore, whether the ticket carries its mark already is asked first.
    let doubts = shared.caution.until().map_or_else(|| Ok("[]".to_owned()), |until| of_edges(&until))?;
    query(
        "INSERT INTO errand (id, kind, edge, ticket_id, assignment_id, state, rank, due_at, mark, body, made_at, quiet_until, code, reason)
         SELECT $1, $2, 'desk/' || t.desk, t.id, $4, CASE WHEN d.until IS NULL THEN 'ready' ELSE 'unclear' END, $5, $5, $6, $7, $5,
                d.until, CASE WHEN d.until IS NULL THEN NULL ELSE $9 END, CASE WHEN d.until IS NULL THEN NULL ELSE $10 END
         FROM ticket AS t LEFT JOIN (SELECT j.value->>'edge' AS edge, CAST(j.value->>'until' AS BIGINT) AS until
            FROM json_each($8) AS j) AS d ON d.edge = 'desk/' || t.desk WHERE t.id = $3
         ON CONFLICT (kind, mark) DO NOTHING",
    )
    .bind(shared.ids.next(at).0)
    .bind(kind)
    .bind(ticket)
    .bind(assignment)
    .bind(at.0)
    .bind(mark)
    .bind(body)
    .bind(doubts)
    .bind(E_RESTORED)
    .bind(CAUSE)
    .execute(tx)
    .await?;
    Ok(())
}

/// An order that ends without a ticket: its outcome is reported all the same.
pub(in crate::ledger) async fn close_without_ticket(
    tx: &mut Conn,
    shared: &Shared,
    assignment: i64,
    outcome: Outcome,
    at: Timestamp,
) -> LedgerResult<()> {
    query(
        "UPDATE assignment SET outcome = $2, closed_at = $3, parked_at = NULL, parked_code = NULL, parked_reason = NULL WHERE id = $1",
    )
    .bind(assignment)
    .bind(outcome.as_str())
    .bind(at.0)
    .execute(&mut *tx)
    .await?;
    owe_report(tx, shared, assignment, at).await
}

/// The report of the current closing; its id is the same however often it is sent.
pub(in crate::ledger) async fn owe_report(tx: &mut Conn, shared: &Shared, assignment: i64, at: Timestamp) -> LedgerResult<()> {
    let (natural_key, source, closings): (String, String, i64) =
        query_as("UPDATE assignment SET closings = closings + 1 WHERE id = $1 RETURNING natural_key, source, closings")
            .bind(assignment)
            .fetch_one(&mut *tx)
            .await?;
    tx.falls_due(at);
    query(
        "INSERT INTO errand (id, kind, edge, assignment_id, state, rank, due_at, mark, made_at)
         VALUES ($1, 'report', $2, $3, 'ready', $4, $4, $5, $4) ON CONFLICT (kind, mark) DO NOTHING",
    )
    .bind(shared.ids.next(at).0)
    .bind(format!("source/{source}"))
    .bind(assignment)
    .bind(at.0)
    .bind(shared.report_mark(&natural_key, closings))
    .execute(tx)
    .await?;
    Ok(())
}

/// A double is closed on its desk: nothing is left to do about it.
pub(super) async fn undouble(tx: &mut Conn, ticket: i64, at: Timestamp) -> LedgerResult<()> {
    query(
        "UPDATE stray SET settled_at = $2 FROM ticket AS t WHERE t.id = $1 AND stray.desk = t.desk AND stray.ref_id = t.ref_id",
    )
    .bind(ticket)
    .bind(at.0)
    .execute(tx)
    .await?;
    Ok(())
}

/// Why a double that was to be closed stays.
pub(super) const TOUCHED: &str = "somebody touched the double after it was found: it is left to them";

/// A double that somebody has taken is theirs to close; it stays on the list of strays.
pub(super) async fn keep_double(tx: &mut Conn, ticket: i64) -> LedgerResult<()> {
    query(
        "UPDATE stray SET ours = 0, action = $2 FROM ticket AS t WHERE t.id = $1 AND stray.desk = t.desk AND stray.ref_id = t.ref_id",
    )
    .bind(ticket)
    .bind("reported: somebody touched it after it was found")
    .execute(tx)
    .await?;
    Ok(())
}
