//! What looks ask.

use super::super::super::LedgerResult;
use super::super::lease::{abandoned, among, listed, ready, unclear};
use super::super::rows;
use super::{AGAIN_MS, FEW, Front, How, Known, LATE_MS, LATER_MS, MOST, TO_PLAN, again_since, before};
use crate::ledger::engine::{Pool, query_as};
use crate::model::{Id, Timestamp};

/// One more than are remembered.
fn limit() -> i64 {
    i64::try_from(MOST + 1).unwrap_or(i64::MAX)
}

/// Looks at a queue, of which so much is known.
pub(super) async fn at(pool: &Pool, queue: &str, how: How, known: &Front, now: Timestamp) -> LedgerResult<Front> {
    match (queue == TO_PLAN, how) {
        (true, How::On) => orders(pool, known, now).await,
        (true, How::Whole) => orders(pool, &Front::WHOLE, now).await,
        (false, How::On) => errands(pool, queue, known, now).await,
        (false, How::Whole) => errands(pool, queue, &UNSEEN, now).await,
    }
}

/// As if nothing had fallen due, and all that is ready were behind the first ones.
const UNSEEN: Front = Front { ready: Known { since: i64::MAX, ids: Vec::new() }, below: i64::MIN, others: Known::NOTHING };

/// What a look on asks of an edge: what is ready, with its rank, and what else there is to do, with its time.
const ERRANDS: &str = concat!(
    "/* look */ (SELECT CAST(1 AS BIGINT) AS ready, id, rank FROM errand WHERE ",
    ready!("$1", "$2", "$3", "$4", "$5", " ORDER BY f.rank LIMIT $8"),
    ") UNION ALL (SELECT 0, id, due_at FROM errand WHERE ",
    unclear!("$1", "$2", "$6", "$7"),
    " ORDER BY due_at LIMIT $8) UNION ALL (SELECT 0, id, lease_until FROM errand WHERE ",
    abandoned!("$1", "$2", "$6", "$7"),
    " ORDER BY lease_until LIMIT $8)"
);

/// What follows from a rank on. By rank, whatever the planner thinks: many may be ready.
const BY_RANK: &str = "/* look */ SELECT rank, id FROM errand
    WHERE edge = $1 AND state = 'ready' AND due_at + 0 <= $2 AND rank >= $3 ORDER BY rank LIMIT $4";

async fn errands(pool: &Pool, edge: &str, known: &Front, now: Timestamp) -> LedgerResult<Front> {
    let found: Vec<(i64, i64, i64)> = query_as(ERRANDS)
        .bind(edge)
        .bind(now.0)
        .bind(known.ready.listed()?)
        .bind(known.ready.since.saturating_sub(LATER_MS))
        .bind(known.below)
        .bind(known.others.listed()?)
        .bind(known.others.since.saturating_sub(LATER_MS))
        .bind(limit())
        .fetch_all(pool)
        .await?;
    let (ready, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|(ready, ..)| *ready == 1);
    let mut ready: Vec<(i64, i64)> = ready.into_iter().map(|(_, id, rank)| (rank, id)).collect();
    let mut below = known.below;
    if known.is_cut() && ready.len() < FEW {
        let follow: Vec<(i64, i64)> =
            query_as(BY_RANK).bind(edge).bind(now.0).bind(known.below).bind(limit()).fetch_all(pool).await?;
        ready.extend(follow);
        below = i64::MAX;
    }
    ready.sort_unstable();
    ready.dedup();
    let below = ready.get(MOST).map_or(below, |(rank, _)| *rank);
    let (since, others_since) = before(edge, now.plus_ms(-LATE_MS));
    let ids = ready.into_iter().take(MOST).map(|(_, id)| id).collect();
    let others = Known::of(others.into_iter().map(|(_, id, at)| (at, id)).collect(), others_since);
    Ok(Front { ready: Known { since, ids }, below, others })
}

/// Orders of one kind, from a place in each part of their queue on.
macro_rules! wanting_from {
    ($revocation:literal) => {
        concat!(
            wanting_from!($revocation, "(plan_at, id) >= (0, $3) AND plan_at < 1"),
            wanting_from!($revocation, "plan_at > $4 AND plan_at <= $1"),
            wanting_from!($revocation, again_since!("assignment", "$4")),
        )
    };
    ($revocation:literal, $from:expr) => {
        concat!(
            " UNION ALL (SELECT id, plan_at FROM assignment WHERE '' || state IN ('received', 'planned') AND parked_at IS NULL AND revocation = ",
            $revocation,
            " AND ",
            $from,
            " ORDER BY plan_at, id LIMIT $5)"
        )
    };
}

/// What a look asks of orders that want a plan, those that wait for another of their lane among them.
const ORDERS: &str = concat!(
    "/* look */ (SELECT id, plan_at FROM assignment WHERE state || '' IN ('received', 'planned') AND parked_at IS NULL
        AND plan_at + 0 <= $1 AND id IN (",
    listed!("$2"),
    "))",
    wanting_from!("0"),
    wanting_from!("1"),
);

async fn orders(pool: &Pool, known: &Front, now: Timestamp) -> LedgerResult<Front> {
    let ids: Vec<i64> = known.ready.ids.iter().chain(&known.others.ids).copied().collect();
    let found: Vec<(i64, i64)> = query_as(ORDERS)
        .bind(now.0)
        .bind(rows(&ids)?)
        .bind(Id::floor(Id(known.ready.since).made_at().plus_ms(-LATER_MS)).0)
        .bind(known.others.since.saturating_sub(LATER_MS).max(0))
        .bind(limit())
        .fetch_all(pool)
        .await?;
    let (came, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|(_, plan_at)| *plan_at == 0);
    let (since, others_since) = before(TO_PLAN, now.plus_ms(-LATE_MS));
    let time = |plan_at: i64| if plan_at < 0 { plan_at + AGAIN_MS } else { plan_at };
    Ok(Front {
        ready: Known::of(came.into_iter().map(|(id, _)| (id, id)).collect(), since),
        others: Known::of(others.into_iter().map(|(id, plan_at)| (time(plan_at), id)).collect(), others_since),
        ..Front::WHOLE
    })
}
