//! What is under way with each edge: asked before an edge may go, and by `doctor`.

use std::collections::BTreeMap;

use crate::ledger::engine::{Pool, query_as};

use crate::ledger::LedgerResult;
use crate::ledger::views::Owed;
use crate::model::Timestamp;

/// Per edge; those with nothing are left out.
pub(in crate::ledger) async fn owed(pool: &Pool, now: Timestamp) -> LedgerResult<Vec<Owed>> {
    let open: Vec<(String, i64)> = query_as(
        "SELECT 'desk/' || desk, COUNT(*) FROM ticket WHERE state IN ('drafted', 'sending', 'unclear', 'open') GROUP BY desk
         UNION ALL
         SELECT 'source/' || source, COUNT(*) FROM assignment
         WHERE state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework') GROUP BY source",
    )
    .fetch_all(pool)
    .await?;
    let errands: Vec<(String, i64, Option<i64>)> = query_as(
        "SELECT edge, COUNT(*), MIN(CASE WHEN state <> 'parked' AND due_at <= $1 THEN due_at END) FROM errand
         WHERE state IN ('ready', 'sending', 'unclear', 'parked') GROUP BY edge",
    )
    .bind(now.0)
    .fetch_all(pool)
    .await?;
    let mut edges: BTreeMap<String, Owed> = BTreeMap::new();
    let none = |edge: &str| Owed { edge: edge.to_owned(), open: 0, errands: 0, oldest_due: None };
    for (edge, count) in open {
        edges.entry(edge.clone()).or_insert_with(|| none(&edge)).open = count;
    }
    for (edge, count, oldest) in errands {
        let entry = edges.entry(edge.clone()).or_insert_with(|| none(&edge));
        (entry.errands, entry.oldest_due) = (count, oldest.map(Timestamp));
    }
    Ok(edges.into_values().collect())
}
