//! Values for metrics. Each is the first row of an index, or a count of a partial index that holds only what waits for
//! a person; nothing here grows with the number of assignments.

use crate::ledger::engine::{Pool, query_as, query_scalar};

use crate::ledger::LedgerResult;
use crate::ledger::compare::FindingKind;
use crate::ledger::views::{Gauge, Measured};
use crate::model::{Id, Timestamp};

/// The smallest id per state and application. The index on them is leapt through, application by application.
const OLDEST_OWED: &str = "WITH RECURSIVE owed(state) AS (VALUES ('due'), ('sending'), ('unclear'), ('open'), ('rework')),
    place(state, application) AS (
      SELECT o.state, (SELECT MIN(application_id) FROM assignment WHERE state = o.state) FROM owed AS o
      UNION ALL
      SELECT p.state, (SELECT MIN(application_id) FROM assignment WHERE state = p.state AND application_id > p.application)
      FROM place AS p WHERE p.application IS NOT NULL)
  SELECT MIN((SELECT MIN(a.id) FROM assignment AS a WHERE a.state = p.state AND a.application_id = p.application))
  FROM place AS p WHERE p.application IS NOT NULL";

/// The head of the queue of what wants a plan now.
const UNPLANNED: &str = "SELECT MIN(id) FROM (
    SELECT id FROM (SELECT id FROM assignment WHERE /*postgres '' || */state IN ('received', 'planned') AND parked_at IS NULL AND revocation = 0
      AND plan_at <= $1 ORDER BY plan_at, id LIMIT 1) AS orders
    UNION ALL
    SELECT id FROM (SELECT id FROM assignment WHERE /*postgres '' || */state IN ('received', 'planned') AND parked_at IS NULL AND revocation = 1
      AND plan_at <= $1 ORDER BY plan_at, id LIMIT 1) AS revocations) AS first_ones";

/// The ready errand whose turn is next, edge by edge.
const NEXT_READY: &str = "WITH RECURSIVE place(edge) AS (
    SELECT MIN(edge) FROM errand WHERE state = 'ready'
    UNION ALL
    SELECT (SELECT MIN(edge) FROM errand WHERE state = 'ready' AND edge > p.edge) FROM place AS p WHERE p.edge IS NOT NULL)
  SELECT p.edge, (SELECT e.made_at FROM errand AS e WHERE e.state = 'ready' AND e.edge = p.edge ORDER BY e.rank LIMIT 1)
  FROM place AS p WHERE p.edge IS NOT NULL";

/// The first half of the condition names the partial index that holds them.
const UNCLEAR_BY_EDGE: &str = "SELECT edge, COUNT(*), MIN(made_at) FROM errand
  WHERE state IN ('sending', 'unclear') AND state = 'unclear' GROUP BY edge";
const PARKED_ASSIGNMENTS: &str = "SELECT COUNT(*) FROM assignment WHERE parked_at IS NOT NULL";
const PARKED_ERRANDS: &str = "SELECT COUNT(*) FROM errand WHERE state = 'parked'";

/// Values for metrics.
pub(in crate::ledger) async fn gauges(pool: &Pool, now: Timestamp) -> LedgerResult<Vec<Gauge>> {
    let mut found = Vec::new();
    let age = |since: i64| now.ms_since(Timestamp(since)).max(0);
    let oldest: Option<i64> = query_scalar(OLDEST_OWED).fetch_one(pool).await?;
    push(&mut found, Measured::OldestUnfulfilled, oldest.map_or(0, |id| age(Id(id).made_at().0)));
    let unplanned: Option<i64> = query_scalar(UNPLANNED).bind(now.0).fetch_one(pool).await?;
    push(&mut found, Measured::OldestUnplanned, unplanned.map_or(0, |id| age(Id(id).made_at().0)));
    let ready: Vec<(String, i64)> = query_as(NEXT_READY).fetch_all(pool).await?;
    found.extend(ready.into_iter().map(|(edge, made)| of(Measured::NextErrand, edge, age(made))));
    let unclear: Vec<(String, i64, i64)> = query_as(UNCLEAR_BY_EDGE).fetch_all(pool).await?;
    for (edge, count, made) in unclear {
        found.push(of(Measured::Unclear, edge.clone(), count));
        found.push(of(Measured::OldestUnclear, edge, age(made)));
    }
    for (what, query) in [
        (Measured::ParkedAssignments, PARKED_ASSIGNMENTS),
        (Measured::ParkedErrands, PARKED_ERRANDS),
        (Measured::Quarantined, "SELECT COUNT(*) FROM quarantine WHERE state = 'held'"),
    ] {
        push(&mut found, what, query_scalar(query).fetch_one(pool).await?);
    }
    for kind in ["double", "orphan"] {
        let count = query_scalar("SELECT COUNT(*) FROM stray WHERE kind = $1").bind(kind).fetch_one(pool).await?;
        found.push(of(Measured::Strays, kind.to_owned(), count));
    }
    let findings: Vec<(String, i64)> =
        query_as("SELECT kind, COUNT(*) FROM finding WHERE state = 'open' GROUP BY kind").fetch_all(pool).await?;
    for kind in FindingKind::ALL.map(FindingKind::as_str) {
        let count = findings.iter().find(|(k, _)| k == kind).map_or(0, |(_, n)| *n);
        found.push(of(Measured::Findings, kind.to_owned(), count));
    }
    let checkpoint: Option<i64> = query_scalar("SELECT at FROM checkpoint ORDER BY id DESC LIMIT 1").fetch_optional(pool).await?;
    if let Some(at) = checkpoint {
        push(&mut found, Measured::Checkpoint, at);
    }
    Ok(found)
}

fn push(found: &mut Vec<Gauge>, what: Measured, value: i64) {
    found.push(Gauge { what, of: None, value });
}

fn of(what: Measured, of: String, value: i64) -> Gauge {
    Gauge { what, of: Some(of), value }
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;

    /// Every step of a plan over the large tables goes through an index that holds what is asked for.
    #[tokio::test]
    async fn no_table_is_scanned() {
        let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
        sqlx::raw_sql(include_str!("../../../../migrations/sqlite/0001_ground.sql")).execute(&pool).await.unwrap();
        for query in [OLDEST_OWED, UNPLANNED, NEXT_READY, UNCLEAR_BY_EDGE, PARKED_ASSIGNMENTS, PARKED_ERRANDS] {
            let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"))).fetch_all(&pool).await.unwrap();
            let steps: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
            let scanned = |step: &&String| step.starts_with("SCAN ") && !step.contains(" INDEX ");
            let ours = |step: &&String| ["assignment", "errand", "a", "e"].contains(&step.split(' ').nth(1).unwrap_or_default());
            let bad: Vec<&String> = steps.iter().filter(scanned).filter(ours).collect();
            assert!(bad.is_empty(), "{query}\n{steps:#?}");
            let partial =
                ["assignment_state", "assignment_to_plan", "errand_ready", "errand_held", "assignment_parked", "errand_parked"];
            assert!(steps.iter().any(|step| partial.iter().any(|index| step.contains(index))), "{query}\n{steps:#?}");
        }
    }
}
