//! Which assignments want a decision.

use super::super::super::{LedgerError, LedgerResult, ToPlan};
use super::super::document;
use super::super::lease::{abandoned, ready, unclear};
use crate::ledger::engine::{Pool, Target, query_as};
use crate::model::{Assignment, Id, State, Timestamp};

/// First of their lanes; revocations before all else, and past unsent or open predecessors.
macro_rules! candidates {
    ($revocation:literal, $skipped:literal) => {
        concat!(
            "SELECT * FROM (SELECT a.id, a.state, a.revision, a.received_at, a.source, a.chain_seq, a.chain_head, i.document,
                1 + (SELECT COUNT(*) FROM ticket_item AS ti WHERE ti.assignment_id = a.id) AS cycle,
                (SELECT t.ref_number FROM assignment AS p JOIN ticket AS t ON t.id = p.ticket_id
                  WHERE p.lane = a.lane AND p.closed_at IS NULL AND p.state IN ('open', 'rework')
                    AND (p.lane_at, p.id) < (a.lane_at, a.id) LIMIT 1) AS lane_ticket,
                EXISTS (SELECT 1 FROM leaver AS l WHERE l.person = a.beneficiary) AS leaver, a.revocation
             FROM assignment AS a JOIN inbox AS i ON i.id = a.document_id
             WHERE a.state IN ('received', 'planned') AND a.parked_at IS NULL AND a.revocation = ",
            $revocation,
            " AND a.plan_at <= $1
               AND NOT EXISTS (SELECT 1 FROM assignment AS p
                     WHERE p.lane = a.lane AND p.closed_at IS NULL
                       AND p.state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework')
                       AND p.parked_at IS NULL AND (p.lane_at, p.id) < (a.lane_at, a.id)
                       AND (a.revocation = 0 OR p.revocation = 1 OR p.state IN ('sending', 'unclear')))
             ORDER BY a.plan_at, a.id LIMIT $2",
            $skipped,
            ") AS c"
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
    "SELECT u.*, EXISTS (SELECT 1 FROM errand WHERE ",
    ready!("$4", "$1"),
    ") OR EXISTS (SELECT 1 FROM errand WHERE ",
    unclear!("$4", "$1"),
    ") OR EXISTS (SELECT 1 FROM errand WHERE ",
    abandoned!("$4", "$1"),
    ") AS waits FROM (",
    candidates!("1", ""),
    " UNION ALL ",
    candidates!("0", " OFFSET $3"),
    ") AS u",
);

/// Revocations first. So many at the front are left to others, but no revocation.
pub(super) async fn candidates<'e>(
    on: impl Into<Target<'e>>,
    edge: &str,
    now: Timestamp,
    limit: usize,
    skipped: usize,
) -> LedgerResult<Candidates> {
    let mut found: Vec<Candidate> = query_as(CANDIDATES)
        .bind(now.0)
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .bind(i64::try_from(skipped).unwrap_or(0))
        .bind(edge)
        .fetch_all(on)
        .await?;
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
    now: Timestamp,
    limit: usize,
    skipped: usize,
) -> LedgerResult<(Vec<ToPlan>, Vec<i64>)> {
    let candidates = candidates(pool, "", now, limit, skipped).await?;
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
