//! After a restore from a backup: what this ledger believes unsent may have been sent by the one that was lost.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use crate::ledger::engine::{Conn, query, query_as};
use serde_json::json;

use super::super::LedgerResult;
use super::journal::{self, Move};
use super::{Shared, document, rows};
use crate::model::{State, Timestamp};

/// Why, in the journal.
pub(super) const CAUSE: &str = "the ledger was restored: it may have been sent before, and its witnesses are asked first";
/// The same, where an errand keeps it.
pub(super) const E_RESTORED: &str = "E-RESTORED";

/// By edge, until when a search may miss what was made just before the ledger was lost.
pub(in crate::ledger) type QuietUntil = BTreeMap<String, Timestamp>;

/// Whether what this process is about to send may have been sent before.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Caution {
    /// It was told so itself: for the life of the process.
    own: OnceLock<Arc<QuietUntil>>,
    /// Another process of the same ledger was.
    heard: RwLock<Option<Arc<QuietUntil>>>,
}

impl Caution {
    /// The quiet periods, while caution holds.
    pub(in crate::ledger) fn until(&self) -> Option<Arc<QuietUntil>> {
        self.own.get().cloned().or_else(|| self.heard.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// What the others are to hear of this process.
    pub(in crate::ledger) fn told(&self) -> LedgerResult<Option<String>> {
        self.own.get().map(|until| of_edges(until)).transpose()
    }

    /// What another process says, in the words of [`Caution::told`]; `None`: none says so any more.
    pub(in crate::ledger) fn hear(&self, said: Option<&str>) -> LedgerResult<()> {
        let said = said.map(document::<Vec<Told>>).transpose()?;
        let said = said.map(|edges| edges.into_iter().map(|t| (t.edge, t.until)).collect::<QuietUntil>());
        let mut heard = self.heard.write().unwrap_or_else(PoisonError::into_inner);
        match (said.is_some(), heard.is_some()) {
            (true, false) => tracing::warn!("recovering, as another replica does: desks are asked before anything is sent"),
            (false, true) => tracing::info!("no replica recovers any more"),
            _ => {}
        }
        *heard = said.map(Arc::new);
        Ok(())
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Told {
    edge: String,
    until: Timestamp,
}

/// As rows of `edge` and `until`.
pub(super) fn of_edges(until: &QuietUntil) -> LedgerResult<String> {
    rows(&until.iter().map(|(edge, until)| json!({"edge": edge, "until": until})).collect::<Vec<_>>())
}

/// Turns whatever is ready for a desk unclear, and lets what is planned or told from now on begin like that. What was unclear
/// already is not cleared before: the ledger that was lost may have sent it again.
pub(in crate::ledger) async fn distrust(
    tx: &mut Conn,
    shared: &Shared,
    quiet_until: QuietUntil,
    now: Timestamp,
) -> LedgerResult<usize> {
    let edges = of_edges(&quiet_until)?;
    query(
        "UPDATE errand SET misses = 0, quiet_until = MAX(COALESCE(quiet_until, 0), CAST(j.value->>'until' AS BIGINT))
         FROM json_each($1) AS j WHERE errand.edge = j.value->>'edge' AND errand.state = 'unclear' AND errand.kind <> 'report'",
    )
    .bind(&edges)
    .execute(&mut *tx)
    .await?;
    tx.falls_due(now);
    let found: Vec<(String, Option<i64>, Option<i64>)> = query_as(
        "UPDATE errand SET state = 'unclear', misses = 0, due_at = $2, quiet_until = CAST(j.value->>'until' AS BIGINT), code = $4, reason = $3
         FROM json_each($1) AS j WHERE errand.edge = j.value->>'edge' AND errand.state = 'ready' AND errand.kind <> 'report'
         RETURNING errand.kind, errand.assignment_id, errand.ticket_id",
    )
    .bind(&edges)
    .bind(now.0)
    .bind(CAUSE)
    .bind(E_RESTORED)
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
    // Who has signed out since the copy was made is not signed in again.
    query("DELETE FROM sign_in").execute(&mut *tx).await?;
    // A second call only finds more that waited.
    drop(shared.caution.own.set(Arc::new(quiet_until)));
    Ok(found.len())
}

/// The step of a create that begins unclear.
pub(super) fn doubted(assignment: i64, now: Timestamp) -> Move {
    Move::ours(assignment, Some(State::Unclear), "unclear", now).if_it_may().cause(CAUSE)
}
