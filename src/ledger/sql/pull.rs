//! Polled rounds: events and cursor in one transaction that checks the cursor it started from.

use crate::ledger::engine::{Conn, query, query_as};
use serde_json::json;

use super::super::{LedgerResult, Pull, Pulled, Receipt, Snapshot};
use super::record::{From, record, reinstate, withdraw};
use super::{Shared, rows};
use crate::model::Timestamp;

/// Moves a cursor if it still stands where the caller saw it.
pub(in crate::ledger) async fn move_cursor(
    tx: &mut Conn,
    name: &str,
    from: Option<&str>,
    to: &str,
    now: Timestamp,
) -> LedgerResult<bool> {
    let done = match from {
        Some(from) => {
            query("UPDATE cursor SET value = $3, at = $4 WHERE name = $1 AND value = $2")
                .bind(name)
                .bind(from)
                .bind(to)
                .bind(now.0)
                .execute(tx)
                .await?
        }
        None => {
            query("INSERT INTO cursor (name, value, at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING")
                .bind(name)
                .bind(to)
                .bind(now.0)
                .execute(tx)
                .await?
        }
    };
    Ok(done.rows_affected() == 1)
}

/// Name of a source's cursor.
pub(in crate::ledger) fn cursor_name(source: &str) -> String {
    format!("pull/{source}")
}

/// Records a round, or nothing when the cursor has moved.
pub(in crate::ledger) async fn record_pull(tx: &mut Conn, shared: &Shared, pull: &Pull) -> LedgerResult<Pulled> {
    if !move_cursor(tx, &cursor_name(&pull.source), pull.from.as_deref(), &pull.to, pull.started_at).await? {
        return Ok(Pulled::CursorMoved);
    }
    let receipts: Vec<&Receipt> = pull.receipts.iter().collect();
    let results = if receipts.is_empty() { Vec::new() } else { record(tx, shared, &receipts, From::List).await? };
    let (mut withdrawn, mut reinstated) = (0, 0);
    if let Some(snapshot) = &pull.snapshot {
        reinstated = present(tx, shared, pull, snapshot).await?;
        withdrawn = absent(tx, shared, pull, snapshot).await?;
    }
    Ok(Pulled::Recorded { results, withdrawn, reinstated })
}

/// How long an order that left the list is remembered, milliseconds: it may come back.
const REMEMBER_MS: i64 = 90 * 86_400_000;

/// Remembers what a complete snapshot showed; what had left the list and is in it again is ordered again.
async fn present(tx: &mut Conn, shared: &Shared, pull: &Pull, snapshot: &Snapshot) -> LedgerResult<usize> {
    let listed: Vec<_> = snapshot.present.iter().map(|id| json!({"x": id})).collect();
    let listed = rows(&listed)?;
    let back: Vec<(String, i64)> = query_as(
        "SELECT external_id, gone_at FROM listed WHERE source = $2 AND gone_at IS NOT NULL
            AND external_id IN (SELECT value->>'x' FROM json_each($1))",
    )
    .bind(&listed)
    .bind(&pull.source)
    .fetch_all(&mut *tx)
    .await?;
    query(
        "INSERT INTO listed (source, external_id, run_at) SELECT DISTINCT $2, value->>'x', $3 FROM json_each($1) WHERE true
         ON CONFLICT (source, external_id) DO UPDATE SET run_at = excluded.run_at, missed = 0, gone_at = NULL",
    )
    .bind(&listed)
    .bind(&pull.source)
    .bind(pull.started_at.0)
    .execute(&mut *tx)
    .await?;
    let mut reinstated = 0;
    for (external_id, gone_at) in &back {
        match reinstate(tx, shared, &pull.source, external_id, Timestamp(*gone_at), pull.started_at).await? {
            Some(standing) => reinstated += standing,
            None => {
                query("UPDATE listed SET gone_at = $3 WHERE source = $1 AND external_id = $2")
                    .bind(&pull.source)
                    .bind(external_id)
                    .bind(gone_at)
                    .execute(&mut *tx)
                    .await?;
            }
        }
    }
    Ok(reinstated)
}

/// What a complete snapshot no longer shows is withdrawn: at once where it was read in one page, else when the round
/// before missed it too.
async fn absent(tx: &mut Conn, shared: &Shared, pull: &Pull, snapshot: &Snapshot) -> LedgerResult<usize> {
    query("UPDATE listed SET missed = missed + 1 WHERE source = $1 AND run_at < $2 AND gone_at IS NULL")
        .bind(&pull.source)
        .bind(pull.started_at.0)
        .execute(&mut *tx)
        .await?;
    let gone: Vec<(String,)> = query_as(
        "UPDATE listed SET gone_at = $2 WHERE source = $1 AND run_at < $2 AND gone_at IS NULL AND missed >= $3 RETURNING external_id",
    )
    .bind(&pull.source)
    .bind(pull.started_at.0)
    .bind(if snapshot.one_page { 1 } else { 2 })
    .fetch_all(&mut *tx)
    .await?;
    let mut withdrawn = 0;
    for (external_id,) in &gone {
        let cause = "it is no longer in the platform's list";
        withdrawn += withdraw(tx, shared, &pull.source, external_id, None, pull.started_at, cause).await?;
    }
    query("DELETE FROM listed WHERE source = $1 AND gone_at < $2")
        .bind(&pull.source)
        .bind(pull.started_at.plus_ms(-REMEMBER_MS).0)
        .execute(tx)
        .await?;
    Ok(withdrawn)
}
