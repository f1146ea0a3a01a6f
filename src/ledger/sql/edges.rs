//! Edges that fail as a whole: a list that cannot be read, a desk that cannot be asked.

use crate::ledger::engine::{Conn, Pool, query, query_as};

use super::super::{LedgerResult, Trouble};
use crate::ledger::views::EdgeRow;
use crate::model::Timestamp;

/// Whether the edge is noted as failing.
pub(in crate::ledger) async fn is_failing(pool: &Pool, edge: &str, work: &str) -> LedgerResult<bool> {
    let row: Option<(i64,)> =
        query_as("SELECT at FROM edge_trouble WHERE edge = $1 AND work = $2").bind(edge).bind(work).fetch_optional(pool).await?;
    Ok(row.is_some())
}

/// Notes a failure or its end; `true` when it began or ended just now, or became another failure.
pub(in crate::ledger) async fn note(
    tx: &mut Conn,
    edge: &str,
    work: &str,
    trouble: Option<&Trouble>,
    now: Timestamp,
) -> LedgerResult<bool> {
    let before: Option<(String,)> = query_as("SELECT code FROM edge_trouble WHERE edge = $1 AND work = $2")
        .bind(edge)
        .bind(work)
        .fetch_optional(&mut *tx)
        .await?;
    let Some(trouble) = trouble else {
        query("DELETE FROM edge_trouble WHERE edge = $1 AND work = $2").bind(edge).bind(work).execute(tx).await?;
        return Ok(before.is_some());
    };
    query(
        "INSERT INTO edge_trouble (edge, work, since, at, times, code, reason) VALUES ($1, $2, $3, $3, 1, $4, $5)
         ON CONFLICT (edge, work) DO UPDATE SET at = excluded.at, times = edge_trouble.times + 1, code = excluded.code, reason = excluded.reason",
    )
    .bind(edge)
    .bind(work)
    .bind(now.0)
    .bind(&trouble.code)
    .bind(&trouble.reason)
    .execute(tx)
    .await?;
    Ok(before.is_none_or(|(code,)| code != trouble.code))
}

/// All failing edges, longest first.
pub(in crate::ledger) async fn failing(pool: &Pool, names: bool) -> LedgerResult<Vec<EdgeRow>> {
    let rows: Vec<(String, String, i64, i64, i64, String, String)> =
        query_as("SELECT edge, work, since, at, times, code, reason FROM edge_trouble ORDER BY since, edge, work")
            .fetch_all(pool)
            .await?;
    let row = |(edge, work, since, at, times, code, reason)| EdgeRow {
        edge,
        work,
        since: Timestamp(since),
        at: Timestamp(at),
        times,
        code,
        reason: names.then_some(reason),
    };
    Ok(rows.into_iter().map(row).collect())
}
