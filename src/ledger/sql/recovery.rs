//! After a restore from a backup: what this ledger believes unsent may have been sent by the one that was lost.

use std::collections::BTreeMap;

use crate::ledger::engine::{Conn, query, query_as};
use serde_json::json;

use super::super::LedgerResult;
use super::journal::{self, Move};
use super::{Shared, rows};
use crate::model::{State, Timestamp};

/// Why, in the journal.
pub(super) const CAUSE: &str = "the ledger was restored: it may have been sent before, and its witnesses are asked first";

/// Turns whatever is ready for a desk unclear, and lets what is planned from now on begin like that.
pub(in crate::ledger) async fn distrust(
    tx: &mut Conn,
    shared: &Shared,
    quiet_until: BTreeMap<String, Timestamp>,
    now: Timestamp,
) -> LedgerResult<usize> {
    let edges: Vec<_> = quiet_until.iter().map(|(edge, until)| json!({"edge": edge, "until": until})).collect();
    let found: Vec<(String, Option<i64>, Option<i64>)> = query_as(
        "UPDATE errand SET state = 'unclear', misses = 0, due_at = $2, quiet_until = CAST(j.value->>'until' AS BIGINT), code = 'E-RESTORED', reason = $3
         FROM json_each($1) AS j WHERE errand.edge = j.value->>'edge' AND errand.state = 'ready' AND errand.kind <> 'report'
         RETURNING errand.kind, errand.assignment_id, errand.ticket_id",
    )
    .bind(rows(&edges)?)
    .bind(now.0)
    .bind(CAUSE)
    .fetch_all(&mut *tx)
    .await?;
    let creates = || found.iter().filter(|(kind, ..)| kind == "create");
    let tickets: Vec<i64> = creates().filter_map(|(_, _, ticket)| *ticket).collect();
    query("UPDATE ticket SET state = 'unclear', risky = 1 WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))")
        .bind(rows(&tickets)?)
        .execute(&mut *tx)
        .await?;
    let moves: Vec<Move> = creates().filter_map(|(_, assignment, _)| *assignment).map(|a| doubted(a, now)).collect();
    journal::apply(tx, &moves, now).await?;
    // Kept for the life of the process; a second call only finds more that waited.
    drop(shared.distrusted.set(quiet_until));
    Ok(found.len())
}

/// The step of a create that begins unclear.
pub(super) fn doubted(assignment: i64, now: Timestamp) -> Move {
    Move::ours(assignment, Some(State::Unclear), "unclear", now).if_it_may().cause(CAUSE)
}
