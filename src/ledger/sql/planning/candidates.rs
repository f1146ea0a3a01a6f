//! Which assignments want a decision.

use super::super::super::{LedgerError, LedgerResult, ToPlan};
use super::super::front::{TO_PLAN, again_since};
use super::super::lease::{abandoned, among, listed, ready, unclear, waits};
use super::super::{Shared, document, rows};
use crate::ledger::engine::{Pool, Target, query_as};
use crate::model::{Assignment, Id, State, Timestamp};

/// None before it in its lane keeps it waiting.
macro_rules! first_of_lane {
    ($of:literal) => {
        concat!(
            "NOT EXISTS (SELECT 1 FROM assignment AS p
                     WHERE p.lane = ",
            $of,
            ".lane AND p.closed_at IS NULL
                       AND p.state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework')
                       AND p.parked_at IS NULL AND (p.lane_at, p.id) < (",
            $of,
            ".lane_at, ",
            $of,
            ".id)
                       AND (",
            $of,
            ".revocation = 0 OR p.revocation = 1 OR p.state IN ('sending', 'unclear')))"
        )
    };
}

/// First of their lanes; revocations before all else, and past unsent or open predecessors.
macro_rules! wanting {
    ($state:literal, $revocation:literal, $also:expr, $limit:literal) => {
        concat!(
            "SELECT a.id, a.state, a.revision, a.received_at, a.source, a.chain_seq, a.chain_head, i.document,
                1 + (SELECT COUNT(*) FROM ticket_item AS ti WHERE ti.assignment_id = a.id) AS cycle,
                (SELECT t.ref_number FROM assignment AS p JOIN ticket AS t ON t.id = p.ticket_id
                  WHERE p.lane = a.lane AND p.closed_at IS NULL AND p.state IN ('open', 'rework')
                    AND (p.lane_at, p.id) < (a.lane_at, a.id) LIMIT 1) AS lane_ticket,
                EXISTS (SELECT 1 FROM leaver AS l WHERE l.person = a.beneficiary) AS leaver, a.revocation, a.plan_at
             FROM assignment AS a JOIN inbox AS i ON i.id = a.document_id
             WHERE ",
            $state,
            " IN ('received', 'planned') AND a.parked_at IS NULL AND a.revocation = ",
            $revocation,
            " AND a.plan_at <= $1",
            $also,
            "
               AND ",
            first_of_lane!("a"),
            "
             ORDER BY a.plan_at, a.id LIMIT ",
            $limit
        )
    };
}

/// In the order in which they came. On PostgreSQL those that came since the [front](super::super::front) was looked at, in the
/// order of an index, beside those known, and what waited for its date or is planned again since then, by time.
macro_rules! candidates {
    ($revocation:literal, $skipped:literal) => {
        concat!(
            "SELECT * FROM (/*postgres SELECT * FROM (*/",
            wanting!(
                "/*postgres '' || */a.state",
                $revocation,
                " /*postgres AND (a.plan_at, a.id) > (0, $5) AND a.plan_at < 1*/",
                "$2"
            ),
            "/*postgres  + ",
            $skipped,
            ") AS came UNION ALL SELECT * FROM (",
            wanting!(
                "a.state || ''",
                $revocation,
                concat!(
                    " AND NOT (a.plan_at = 0 AND a.id > $5) AND a.id IN (",
                    listed!("$7"),
                    due_since!($revocation, $skipped, "f.plan_at > $6 AND f.plan_at <= $1"),
                    due_since!($revocation, $skipped, again_since!("f", "$6")),
                    ")"
                ),
                "$2 + "
            ),
            $skipped,
            ") AS known ORDER BY plan_at, id LIMIT $2*/ OFFSET ",
            $skipped,
            ") AS c"
        )
    };
}

/// Of many the first only. Those that wait for another of their lane count for nothing: they may wait for long.
macro_rules! due_since {
    ($revocation:literal, $skipped:literal, $since:expr) => {
        concat!(
            " UNION ALL (SELECT first.id FROM (SELECT f.id, f.lane, f.lane_at, f.revocation, f.plan_at FROM assignment AS f
                WHERE '' || f.state IN ('received', 'planned') AND f.parked_at IS NULL AND f.revocation = ",
            $revocation,
            " AND ",
            $since,
            " ORDER BY f.revocation, f.plan_at, f.id OFFSET 0) AS first WHERE ",
            first_of_lane!("first"),
            " ORDER BY first.plan_at, first.id LIMIT $2 + ",
            $skipped,
            ")"
        )
    };
}

#[derive(sqlx::FromRow)]
pub(super) struct Candidate {
    pub(super) id: i64,
    pub(super) state: String,
    pub(super) revision: i64,
    received_at: i64,
    pub(super) source: String,
    pub(super) chain_seq: i64,
    pub(super) chain_head: String,
    document: Option<String>,
    cycle: i64,
    lane_ticket: Option<String>,
    leaver: bool,
    pub(super) revocation: i64,
    /// Something of the edge waits to be leased.
    pub(super) waits: bool,
}

impl Candidate {
    /// `None`: its order cannot be read.
    fn to_plan(&self) -> LedgerResult<Option<ToPlan>> {
        let state = State::parse(&self.state).ok_or_else(|| LedgerError::Corrupt(format!("state `{}`", self.state)))?;
        let Some(Ok(assignment)) = self.document.as_deref().map(document::<Assignment>) else { return Ok(None) };
        Ok(Some(ToPlan {
            id: Id(self.id),
            state,
            assignment,
            revision: self.revision,
            received_at: Timestamp(self.received_at),
            cycle: self.cycle,
            lane_ticket: self.lane_ticket.clone(),
            leaver: self.leaver,
        }))
    }
}

/// Orders that want a plan now; those that cannot be read; and all of them as they were found.
pub(super) struct Candidates {
    pub(super) orders: Vec<ToPlan>,
    pub(super) unreadable: Vec<i64>,
    pub(super) found: Vec<Candidate>,
}

const CANDIDATES: &str = concat!(
    "SELECT u.*, ",
    waits!("$4", "$1", "", "$8", "$9", "$10", "$11", "$12", " OR "),
    " AS waits FROM (",
    candidates!("1", "0"),
    " UNION ALL ",
    candidates!("0", "$3"),
    ") AS u",
);

/// Revocations first. So many at the front are left to others, but no revocation.
pub(super) async fn candidates<'e>(
    on: impl Into<Target<'e>>,
    shared: &Shared,
    edge: &str,
    now: Timestamp,
    limit: usize,
    skipped: usize,
) -> LedgerResult<Candidates> {
    let (to_plan, to_lease) = (shared.fronts.of(TO_PLAN), shared.fronts.of(edge));
    let known: Vec<i64> = to_plan.ready.ids.iter().chain(&to_plan.others.ids).copied().collect();
    let mut found: Vec<Candidate> = query_as(CANDIDATES)
        .bind(now.0)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind(i64::try_from(skipped).unwrap_or(0))
        .bind(edge)
        .bind(to_plan.ready.since)
        .bind(to_plan.others.since.max(0))
        .bind(rows(&known)?)
        .bind(to_lease.ready.listed()?)
        .bind(to_lease.ready.since)
        .bind(to_lease.below)
        .bind(to_lease.others.listed()?)
        .bind(to_lease.others.since)
        .fetch_all(on)
        .await?;
    // More wait than are remembered, whatever became of those.
    found.iter_mut().for_each(|candidate| candidate.waits |= to_lease.is_cut());
    // A union has no order of its own; within its halves the order stays.
    found.sort_by_key(|candidate| -candidate.revocation);
    let (mut orders, mut unreadable) = (Vec::with_capacity(found.len().min(limit)), Vec::new());
    for candidate in &found {
        if orders.len() == limit {
            break;
        }
        match candidate.to_plan()? {
            Some(order) => orders.push(order),
            None => unreadable.push(candidate.id),
        }
    }
    Ok(Candidates { orders, unreadable, found })
}

/// Assignments that want a plan now, and those whose order cannot be read. So many at the front are left to others, but no
/// revocation.
pub(in crate::ledger) async fn to_plan(
    pool: &Pool,
    shared: &Shared,
    now: Timestamp,
    limit: usize,
    skipped: usize,
) -> LedgerResult<(Vec<ToPlan>, Vec<i64>)> {
    let candidates = candidates(pool, shared, "", now, limit, skipped).await?;
    Ok((candidates.orders, candidates.unreadable))
}

#[cfg(test)]
mod tests {
    #[tokio::test]
    async fn orders_of_a_lane_are_found_by_its_index() {
        let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
        sqlx::migrate!("migrations/sqlite").run(&pool).await.unwrap();
        let asked = format!("EXPLAIN QUERY PLAN {}", super::CANDIDATES);
        let plan: Vec<(i64, i64, i64, String)> = sqlx::query_as(sqlx::AssertSqlSafe(asked)).fetch_all(&pool).await.unwrap();
        let looks: Vec<&str> = plan.iter().map(|line| line.3.as_str()).filter(|line| line.contains(" p ")).collect();
        assert_eq!(looks.len(), 4, "{plan:?}");
        assert!(looks.iter().all(|look| look.contains("USING INDEX assignment_lane (lane=?")), "{looks:?}");
    }
}
