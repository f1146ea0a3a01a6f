//! What is due at an edge. What is found and what is claimed is asked in the same words; the states stand in the text: only
//! so are the partial indexes used.

use super::super::super::{LeaseRequest, LedgerResult};
use crate::ledger::engine::{Target, query_as};

/// Calls are to be made.
macro_rules! ready {
    ($edge:literal, $now:literal) => {
        concat!("edge = ", $edge, " AND state = 'ready' AND due_at <= ", $now)
    };
}

/// Witnesses are to be asked.
macro_rules! unclear {
    ($edge:literal, $now:literal) => {
        concat!("edge = ", $edge, " AND state IN ('sending', 'unclear') AND state = 'unclear' AND due_at <= ", $now)
    };
}

/// Leases ran out.
macro_rules! abandoned {
    ($edge:literal, $now:literal) => {
        concat!("edge = ", $edge, " AND state IN ('sending', 'unclear') AND state = 'sending' AND lease_until < ", $now)
    };
}

pub(in crate::ledger::sql) use {abandoned, ready, unclear};

/// What a round would find.
#[derive(Debug, Clone, Copy, sqlx::FromRow)]
pub(in crate::ledger) struct Due {
    /// Calls are to be made.
    ready: bool,
    /// Witnesses are to be asked.
    pub(super) unclear: bool,
    /// Leases ran out.
    pub(super) abandoned: bool,
}

impl Due {
    pub(in crate::ledger) fn anything(self) -> bool {
        self.ready || self.unclear || self.abandoned
    }
}

/// What a round would find: asked of a reader, so that idle rounds leave the writer alone.
pub(in crate::ledger) async fn due<'e>(on: impl Into<Target<'e>>, request: &LeaseRequest) -> LedgerResult<Due> {
    let due = query_as(concat!(
        "SELECT EXISTS (SELECT 1 FROM errand WHERE ",
        ready!("$1", "$2"),
        " AND $3 = 0) AS ready, EXISTS (SELECT 1 FROM errand WHERE ",
        unclear!("$1", "$2"),
        ") AS unclear, EXISTS (SELECT 1 FROM errand WHERE ",
        abandoned!("$1", "$2"),
        ") AS abandoned",
    ))
    .bind(&request.edge)
    .bind(request.now.0)
    .bind(i64::from(request.witnesses_only))
    .fetch_one(on)
    .await?;
    Ok(due)
}
