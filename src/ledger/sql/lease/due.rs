//! What is due at an edge. What is found and what is claimed is asked in the same words; the states stand in the text: only
//! so are SQLite's partial indexes used. PostgreSQL looks at the [front](super::super::front) alone: by id, and by time. There
//! the words about the rows themselves are such that no index answers them, since it would walk over what is dead.

use super::super::super::{LeaseRequest, LedgerResult};
use super::super::front::Front;
use crate::ledger::engine::{Target, query_as};

/// The ids of a document, on PostgreSQL alone.
macro_rules! listed {
    ($known:literal) => {
        concat!(
            "SELECT CAST(value AS BIGINT) FROM unnest(ARRAY(SELECT jsonb_array_elements(CAST(",
            $known,
            " AS JSONB)))) AS known (value)"
        )
    };
}

/// On PostgreSQL, among those known (a document of ids) or found.
macro_rules! among {
    ($known:literal, $found:expr) => {
        concat!(" /*postgres AND id IN (", listed!($known), " UNION ALL (SELECT f.id FROM errand AS f WHERE ", $found, "))*/")
    };
}

/// Calls are to be made: those known, and what fell due since with a lower rank than the rest.
macro_rules! ready {
    ($edge:literal, $now:literal, $known:literal, $since:literal, $below:literal) => {
        ready!($edge, $now, $known, $since, $below, "")
    };
    ($edge:literal, $now:literal, $known:literal, $since:literal, $below:literal, $first:literal) => {
        concat!(
            "edge /*postgres || ''*/ = ",
            $edge,
            " AND state /*postgres || ''*/ = 'ready' AND due_at /*postgres + 0*/ <= ",
            $now,
            among!(
                $known,
                concat!(
                    "f.edge = ",
                    $edge,
                    " AND '' || f.state = 'ready' AND f.due_at > ",
                    $since,
                    " AND f.due_at <= ",
                    $now,
                    " AND f.rank < ",
                    $below,
                    $first
                )
            )
        )
    };
}

/// Witnesses are to be asked.
macro_rules! unclear {
    ($edge:literal, $now:literal, $known:literal, $since:literal) => {
        concat!(
            "edge /*postgres || ''*/ = ",
            $edge,
            " AND state IN ('sending', 'unclear') AND state /*postgres || ''*/ = 'unclear' AND due_at /*postgres + 0*/ <= ",
            $now,
            among!(
                $known,
                concat!("f.edge = ", $edge, " AND f.state = 'unclear' AND f.due_at > ", $since, " AND f.due_at <= ", $now)
            )
        )
    };
}

/// Leases ran out.
macro_rules! abandoned {
    ($edge:literal, $now:literal, $known:literal, $since:literal) => {
        concat!(
            "edge /*postgres || ''*/ = ",
            $edge,
            " AND state IN ('sending', 'unclear') AND state /*postgres || ''*/ = 'sending' AND lease_until /*postgres + 0*/ < ",
            $now,
            among!(
                $known,
                concat!(
                    "f.edge = ",
                    $edge,
                    " AND f.state = 'sending' AND f.lease_until > ",
                    $since,
                    " AND f.lease_until < ",
                    $now
                )
            )
        )
    };
}

/// Something waits to be leased: something to send (not where `$mute`), a witness to ask, a lease that ran out. In this order.
macro_rules! waits {
    ($edge:literal, $now:literal, $mute:literal, $ready:literal, $since:literal, $below:literal, $held:literal, $held_since:literal, $between:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM errand WHERE ",
            ready!($edge, $now, $ready, $since, $below),
            $mute,
            ")",
            $between,
            "EXISTS (SELECT 1 FROM errand WHERE ",
            unclear!($edge, $now, $held, $held_since),
            ")",
            $between,
            "EXISTS (SELECT 1 FROM errand WHERE ",
            abandoned!($edge, $now, $held, $held_since),
            ")"
        )
    };
}

pub(in crate::ledger::sql) use {abandoned, among, listed, ready, unclear, waits};

/// What a round would find.
#[derive(Debug, Clone, Copy)]
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
pub(in crate::ledger) async fn due<'e>(on: impl Into<Target<'e>>, request: &LeaseRequest, front: &Front) -> LedgerResult<Due> {
    let (ready, unclear, abandoned) =
        query_as(concat!("SELECT ", waits!("$1", "$2", " AND $3 = 0", "$4", "$5", "$6", "$7", "$8", ", ")))
            .bind(&request.edge)
            .bind(request.now.0)
            .bind(i64::from(request.witnesses_only))
            .bind(front.ready.listed()?)
            .bind(front.ready.since)
            .bind(front.below)
            .bind(front.others.listed()?)
            .bind(front.others.since)
            .fetch_one(on)
            .await?;
    Ok(Due { ready, unclear, abandoned })
}
