//! Off the hot path: erasure, checkpoints, and the proof that the chains hold.

use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use sqlx::{SqliteConnection, SqlitePool};

use super::super::LedgerResult;
use super::journal::link;
use crate::model::{Id, Timestamp};

/// Erases bodies of old events that no unfinished order needs, and names of persons not seen for long.
pub(in crate::ledger) async fn erase(
    tx: &mut SqliteConnection,
    bodies_before: Timestamp,
    persons_before: Timestamp,
) -> LedgerResult<u64> {
    let mut touched = 0;
    touched += sqlx::query(
        "UPDATE inbox SET document = NULL WHERE document IS NOT NULL AND received_at < $1 AND NOT EXISTS
            (SELECT 1 FROM assignment AS a WHERE a.id = inbox.assignment_id AND a.document_id = inbox.id
                AND (COALESCE(a.reported_at, a.closed_at) IS NULL OR COALESCE(a.reported_at, a.closed_at) >= $2))",
    )
    .bind(bodies_before.0)
    .bind(persons_before.0)
    .execute(&mut *tx)
    .await?
    .rows_affected();
    touched += sqlx::query("UPDATE quarantine SET body = NULL WHERE body IS NOT NULL AND state <> 'held' AND received_at < $1")
        .bind(bodies_before.0)
        .execute(&mut *tx)
        .await?
        .rows_affected();
    touched += sqlx::query("UPDATE ticket SET draft = NULL, words = NULL WHERE state = 'closed' AND closed_at < $1 AND (draft IS NOT NULL OR words IS NOT NULL)")
        .bind(persons_before.0)
        .execute(&mut *tx)
        .await?
        .rows_affected();
    touched += sqlx::query(
        "UPDATE errand SET body = NULL, reason = NULL WHERE done_at < $1 AND (body IS NOT NULL OR reason IS NOT NULL)",
    )
    .bind(persons_before.0)
    .execute(&mut *tx)
    .await?
    .rows_affected();
    touched += sqlx::query("UPDATE attempt SET reason = NULL WHERE ended_at < $1 AND reason IS NOT NULL")
        .bind(persons_before.0)
        .execute(&mut *tx)
        .await?
        .rows_affected();
    touched += sqlx::query(
        "UPDATE person SET external_id = NULL, name = NULL, email = NULL, erased_at = $1 WHERE erased_at IS NULL AND seen_at < $1 AND NOT EXISTS
            (SELECT 1 FROM assignment AS a WHERE a.beneficiary = person.hash AND COALESCE(a.reported_at, a.closed_at) IS NULL)",
    )
    .bind(persons_before.0)
    .execute(tx)
    .await?
    .rows_affected();
    Ok(touched)
}

/// Ties together the heads of all chains that grew since the last checkpoint.
pub(in crate::ledger) async fn checkpoint(tx: &mut SqliteConnection, now: Timestamp) -> LedgerResult<Option<String>> {
    let last: Option<(i64, String)> =
        sqlx::query_as("SELECT at, head FROM checkpoint ORDER BY id DESC LIMIT 1").fetch_optional(&mut *tx).await?;
    let (since, before) = last.unwrap_or((i64::MIN, String::new()));
    // One by one: a first checkpoint covers everything there is.
    let mut heads = sqlx::query_as::<_, (i64, i64, String)>(
        "SELECT a.id, a.chain_seq, a.chain_head FROM assignment AS a JOIN journal AS j ON j.assignment_id = a.id AND j.seq = a.chain_seq
         WHERE j.seen_at > $1 AND j.seen_at <= $2 ORDER BY a.id",
    )
    .bind(since)
    .bind(now.0)
    .fetch(&mut *tx);
    let (mut hash, mut tied) = (Sha256::new(), 0_i64);
    hash.update(before.as_bytes());
    while let Some((id, seq, head)) = heads.try_next().await? {
        tied += 1;
        hash.update(id.to_le_bytes());
        hash.update(seq.to_le_bytes());
        hash.update(head.as_bytes());
    }
    drop(heads);
    if tied == 0 {
        return Ok(None);
    }
    let head = hex::encode(hash.finalize());
    sqlx::query("INSERT INTO checkpoint (at, assignments, head) VALUES ($1, $2, $3)")
        .bind(now.0)
        .bind(tied)
        .bind(&head)
        .execute(tx)
        .await?;
    Ok(Some(head))
}

#[derive(sqlx::FromRow)]
struct Line {
    assignment_id: i64,
    seq: i64,
    happened_at: i64,
    whose_clock: String,
    seen_at: i64,
    event: String,
    state: String,
    actor: String,
    cause: String,
    detail: String,
    catalog_version: Option<String>,
    template_version: Option<String>,
    hash: String,
}

/// Assignments whose chain does not hold: a row was changed, removed, or put in.
pub(in crate::ledger) async fn verify_chains(pool: &SqlitePool) -> LedgerResult<Vec<Id>> {
    const PAGE: i64 = 5_000;
    let mut broken = Vec::new();
    let (mut at, mut seq, mut before) = (i64::MIN, 0, String::new());
    loop {
        let lines: Vec<Line> = sqlx::query_as(
            "SELECT assignment_id, seq, happened_at, whose_clock, seen_at, event, state, actor, cause, detail, catalog_version,
                    template_version, hash FROM journal WHERE (assignment_id, seq) > ($1, $2) ORDER BY assignment_id, seq LIMIT $3",
        )
        .bind(at)
        .bind(seq)
        .bind(PAGE)
        .fetch_all(pool)
        .await?;
        let last_page = lines.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        for l in lines {
            if l.assignment_id != at {
                (at, seq, before) = (l.assignment_id, 0, String::new());
            }
            let versions = (l.catalog_version.as_deref(), l.template_version.as_deref());
            let expected = link(
                &before,
                l.assignment_id,
                l.seq,
                l.happened_at,
                &l.whose_clock,
                l.seen_at,
                &l.event,
                &l.state,
                &l.actor,
                &l.cause,
                &l.detail,
                versions,
            );
            if l.seq != seq + 1 || expected != l.hash {
                broken.push(Id(at));
            }
            (seq, before) = (l.seq, l.hash);
        }
        if last_page {
            break;
        }
    }
    let cut: Vec<(i64,)> = sqlx::query_as(
        "SELECT a.id FROM assignment AS a LEFT JOIN journal AS j ON j.assignment_id = a.id AND j.seq = a.chain_seq
         WHERE j.hash IS NULL OR j.hash <> a.chain_head OR j.state <> a.state",
    )
    .fetch_all(pool)
    .await?;
    broken.extend(cut.into_iter().map(|(id,)| Id(id)));
    broken.sort_unstable();
    broken.dedup();
    Ok(broken)
}
