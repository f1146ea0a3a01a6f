//! Progress on its way to the platform: an errand of its own for each step, of which only the newest is told, and none
//! once the outcome is owed.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::ledger::engine::{Conn, query, query_as};

use super::super::{LedgerError, LedgerResult};
use super::{Shared, document, rows};
use crate::model::progress::{Progress, Step};
use crate::model::{Operation, Timestamp};

/// A step of an assignment: since when.
#[derive(Debug, Clone, Copy)]
pub(in crate::ledger) struct Taken {
    pub(in crate::ledger) assignment: i64,
    pub(in crate::ledger) step: Step,
    pub(in crate::ledger) at: Timestamp,
}

/// What stands in the errand's row.
#[derive(Serialize, Deserialize)]
struct Body {
    step: Step,
    at: Timestamp,
}

/// Owes the steps to those platforms that are told; a step not told yet gives way to the newer one.
pub(in crate::ledger) async fn owe(tx: &mut Conn, shared: &Shared, taken: &[Taken], now: Timestamp) -> LedgerResult<()> {
    let sources = shared.told_progress();
    if sources.is_empty() || taken.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = taken.iter().map(|t| t.assignment).collect();
    let wanting: Vec<(i64, String, String, i64)> = query_as(
        "SELECT id, source, natural_key, closings FROM assignment
         WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) AND source IN (SELECT CAST(value AS TEXT) FROM json_each($2)) AND withdrawn_at IS NULL",
    )
    .bind(rows(&ids)?)
    .bind(rows(&sources)?)
    .fetch_all(&mut *tx)
    .await?;
    let mut errands = Vec::with_capacity(wanting.len());
    for (id, source, natural_key, cycle) in wanting {
        let Some(newest) = taken.iter().rev().find(|t| t.assignment == id) else { continue };
        let body = serde_json::to_string(&Body { step: newest.step, at: newest.at });
        errands.push(json!({"id": shared.ids.next(now).0, "edge": format!("source/{source}"), "a": id,
            "mark": shared.progress_mark(&natural_key, cycle, newest.step.as_str(), newest.at),
            "body": body.map_err(|e| LedgerError::Corrupt(e.to_string()))?}));
    }
    if errands.is_empty() {
        return Ok(());
    }
    let text = rows(&errands)?;
    tx.falls_due(now);
    query(
        "UPDATE errand SET state = 'dropped', done_at = $2, reason = 'a newer step took its place'
         WHERE kind = 'comment' AND ticket_id IS NULL AND state = 'ready'
           AND assignment_id IN (SELECT CAST(value->>'a' AS BIGINT) FROM json_each($1))",
    )
    .bind(&text)
    .bind(now.0)
    .execute(&mut *tx)
    .await?;
    query(
        "INSERT INTO errand (id, kind, edge, assignment_id, state, rank, due_at, mark, body, made_at)
         SELECT CAST(value->>'id' AS BIGINT), 'comment', value->>'edge', CAST(value->>'a' AS BIGINT), 'ready', $2, $2, value->>'mark', value->>'body', $2
         FROM json_each($1) WHERE true ON CONFLICT (kind, mark) DO NOTHING",
    )
    .bind(&text)
    .bind(now.0)
    .execute(tx)
    .await?;
    Ok(())
}

/// The step that an errand's row is about, for the journal.
pub(in crate::ledger) fn step_of(body: &str) -> Option<Step> {
    document::<Body>(body).ok().map(|b| b.step)
}

/// Everything that is told of an order, whatever the step.
#[derive(sqlx::FromRow)]
struct Told {
    external_id: String,
    natural_key: String,
    operation: String,
    application_id: String,
    admin_group: Option<String>,
    outcome: Option<String>,
    withdrawn_at: Option<i64>,
    overtaken: bool,
    desk: Option<String>,
    ref_number: Option<String>,
    url: Option<String>,
    status: Option<String>,
}

/// Why a step is not told.
pub(in crate::ledger) const OUTCOME_DUE: &str = "its outcome is due: how far it was is not told any more";
/// See [`OUTCOME_DUE`].
pub(in crate::ledger) const OVERTAKEN: &str = "a newer step took its place";
/// See [`OUTCOME_DUE`].
pub(in crate::ledger) const TAKEN_BACK: &str = "the order was taken back: how far it was is not told any more";

/// What to tell, the same however often it is told; or why it is not told any more.
pub(in crate::ledger) async fn load(
    tx: &mut Conn,
    errand: i64,
    assignment: i64,
    mark: &str,
    body: Option<&str>,
) -> LedgerResult<Result<Progress, &'static str>> {
    let body: Body = document(body.ok_or_else(|| LedgerError::Corrupt("its step is gone".to_owned()))?)?;
    let told: Told = query_as(
        "SELECT a.external_id, a.natural_key, a.operation, a.application_id, a.admin_group, a.outcome, a.withdrawn_at,
                t.desk, t.ref_number, t.url, t.status,
                EXISTS (SELECT 1 FROM errand AS n WHERE n.assignment_id = a.id AND n.kind = 'comment' AND n.ticket_id IS NULL
                    AND n.id > $2) AS overtaken
         FROM assignment AS a LEFT JOIN ticket AS t ON t.id = a.ticket_id WHERE a.id = $1",
    )
    .bind(assignment)
    .bind(errand)
    .fetch_one(tx)
    .await?;
    let stale = [(told.outcome.is_some(), OUTCOME_DUE), (told.withdrawn_at.is_some(), TAKEN_BACK), (told.overtaken, OVERTAKEN)];
    if let Some((_, why)) = stale.into_iter().find(|(is, _)| *is) {
        return Ok(Err(why));
    }
    let operation =
        Operation::parse(&told.operation).ok_or_else(|| LedgerError::Corrupt(format!("operation `{}`", told.operation)))?;
    Ok(Ok(Progress {
        id: mark.to_owned(),
        external_id: told.external_id,
        natural_key: told.natural_key,
        operation,
        application: told.application_id,
        step: body.step,
        words: body.step.human(),
        ticket: told.ref_number,
        ticket_url: told.url,
        desk: told.desk,
        admin_group: told.admin_group,
        status: told.status,
        at: body.at,
        at_iso: body.at.iso(),
    }))
}
