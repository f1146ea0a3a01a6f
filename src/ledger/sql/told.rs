//! Outcomes that a platform asks for: what it is being told is owed no more.

use crate::ledger::engine::{Conn, query, query_as};

use super::super::{End, LedgerResult, Settlement};
use super::Shared;
use super::record::range_of;
use super::settle::settle;
use crate::model::{Id, Timestamp};

/// Settles the reports of an order, through the same gate as reports that are sent. Returns how many were owed.
pub(in crate::ledger) async fn told(
    tx: &mut Conn,
    shared: &Shared,
    source: &str,
    external_id: &str,
    now: Timestamp,
) -> LedgerResult<usize> {
    let (from, to) = range_of(source, external_id);
    let owed: Vec<(i64, i64)> = query_as(
        "UPDATE errand SET lease_no = lease_no + 1, lease_owner = 'the platform asked', lease_until = $5, state = 'sending', attempts = attempts + 1
         WHERE kind = 'report' AND state IN ('ready', 'parked') AND assignment_id IN
            (SELECT id FROM assignment WHERE natural_key >= $1 AND natural_key < $2 AND external_id = $3 AND source = $4)
         RETURNING id, lease_no",
    )
    .bind(from)
    .bind(to)
    .bind(external_id)
    .bind(source)
    .bind(now.0)
    .fetch_all(&mut *tx)
    .await?;
    for (id, lease_no) in &owed {
        query(
            "INSERT INTO attempt (errand_id, lease_no, what, owner, started_at, deadline)
             VALUES ($1, $2, 'report', 'the platform asked', $3, $3)",
        )
        .bind(id)
        .bind(lease_no)
        .bind(now.0)
        .execute(&mut *tx)
        .await?;
    }
    let ends: Vec<Settlement> =
        owed.iter().map(|(id, lease_no)| Settlement { id: Id(*id), lease_no: *lease_no, at: now, end: End::Done }).collect();
    settle(tx, shared, &ends.iter().collect::<Vec<_>>()).await?;
    Ok(owed.len())
}
