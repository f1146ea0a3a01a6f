//! Polled rounds: events and cursor in one transaction that checks the cursor it started from.

use serde_json::json;
use sqlx::SqliteConnection;

use super::super::{LedgerResult, Pull, Pulled, Receipt};
use super::record::{record, withdraw};
use super::{Shared, rows};
use crate::model::Timestamp;

/// Moves a cursor if it still stands where the caller saw it.
pub(in crate::ledger) async fn move_cursor(
    tx: &mut SqliteConnection,
    name: &str,
    from: Option<&str>,
    to: &str,
    now: Timestamp,
) -> LedgerResult<bool> {
    let done = match from {
        Some(from) => {
            sqlx::query("UPDATE cursor SET value = $3, at = $4 WHERE name = $1 AND value = $2")
                .bind(name)
                .bind(from)
                .bind(to)
                .bind(now.0)
                .execute(tx)
                .await?
        }
        None => {
            sqlx::query("INSERT INTO cursor (name, value, at) VALUES ($1, $2, $3) ON CONFLICT (name) DO NOTHING")
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
pub(in crate::ledger) async fn record_pull(tx: &mut SqliteConnection, shared: &Shared, pull: &Pull) -> LedgerResult<Pulled> {
    if !move_cursor(tx, &cursor_name(&pull.source), pull.from.as_deref(), &pull.to, pull.started_at).await? {
        return Ok(Pulled::CursorMoved);
    }
    let receipts: Vec<&Receipt> = pull.receipts.iter().collect();
    let results = if receipts.is_empty() { Vec::new() } else { record(tx, shared, &receipts).await? };
    let mut withdrawn = 0;
    if let Some(present) = &pull.snapshot {
        withdrawn = absent(tx, shared, pull, present).await?;
    }
    Ok(Pulled::Recorded { results, withdrawn })
}

/// Remembers what a complete snapshot showed; what it no longer shows is withdrawn.
async fn absent(tx: &mut SqliteConnection, shared: &Shared, pull: &Pull, present: &[String]) -> LedgerResult<usize> {
    let listed: Vec<_> = present.iter().map(|id| json!({"x": id})).collect();
    sqlx::query(
        "INSERT INTO listed (source, external_id, run_at) SELECT $2, value->>'x', $3 FROM json_each($1) WHERE true
         ON CONFLICT (source, external_id) DO UPDATE SET run_at = excluded.run_at",
    )
    .bind(rows(&listed)?)
    .bind(&pull.source)
    .bind(pull.started_at.0)
    .execute(&mut *tx)
    .await?;
    let gone: Vec<(String,)> = sqlx::query_as("SELECT external_id FROM listed WHERE source = $1 AND run_at < $2")
        .bind(&pull.source)
        .bind(pull.started_at.0)
        .fetch_all(&mut *tx)
        .await?;
    let mut withdrawn = 0;
    for (external_id,) in &gone {
        let cause = "it is no longer in the platform's list";
        withdrawn += withdraw(tx, shared, &pull.source, external_id, None, pull.started_at, cause).await?;
    }
    sqlx::query("DELETE FROM listed WHERE source = $1 AND run_at < $2")
        .bind(&pull.source)
        .bind(pull.started_at.0)
        .execute(tx)
        .await?;
    Ok(withdrawn)
}
