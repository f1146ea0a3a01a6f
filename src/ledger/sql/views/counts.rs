//! The overview: grouped scans of indexes, never of tables.

use std::collections::BTreeMap;

use crate::ledger::engine::{Pool, QueryBuilder, query_scalar};

use super::{OWED, UNCLEAR, push_scope};
use crate::ledger::LedgerResult;
use crate::ledger::views::{Count, Overview, Scope};
use crate::model::{Id, State, Timestamp};

const DAY_MS: i64 = 86_400_000;
/// Reports later than this after the closing are not looked for when counting yesterday's reports.
const LATE_REPORT_MS: i64 = 30 * DAY_MS;

/// Parked errands of which no assignment is parked.
const ALONE: &str = "e.state = 'parked'
    AND NOT EXISTS (SELECT 1 FROM assignment AS p WHERE p.id = e.assignment_id AND p.parked_at IS NOT NULL)
    AND NOT EXISTS (SELECT 1 FROM ticket_item AS n JOIN assignment AS p ON p.id = n.assignment_id
      WHERE n.ticket_id = e.ticket_id AND p.parked_at IS NOT NULL)";

/// What came in, what is open, what waits for whom.
pub(in crate::ledger) async fn overview(pool: &Pool, scope: &Scope, now: Timestamp) -> LedgerResult<Overview> {
    let since = now.plus_ms(-DAY_MS);
    let (by_state, open_by_application) = by_state_and_application(pool, scope).await?;
    let everything = scope.is_none();
    let of = |condition, bounds: &[i64]| assignments_where(pool, condition, bounds.to_vec(), scope);
    Ok(Overview {
        at: now,
        received_24h: of("a.id >= $ AND a.received_at >= $", &[Id::floor(since).0, since.0]).await?,
        closed_24h: of("a.closed_at >= $", &[since.0]).await?,
        reported_24h: of("a.closed_at >= $ AND a.reported_at >= $", &[since.plus_ms(-LATE_REPORT_MS).0, since.0]).await?,
        by_state,
        open_by_group: by_group(pool, scope).await?,
        open_by_application,
        parked: of("a.parked_at IS NOT NULL", &[]).await?,
        parked_errands: errands_where(pool, "e.state = 'parked'", scope).await?,
        parked_errands_alone: errands_where(pool, ALONE, scope).await?,
        unclear: errands_where(pool, UNCLEAR, scope).await?,
        quarantined: if everything { count(pool, "SELECT COUNT(*) FROM quarantine WHERE state = 'held'").await? } else { 0 },
        strays: if everything { count(pool, "SELECT COUNT(*) FROM stray WHERE settled_at IS NULL").await? } else { 0 },
        findings: findings_alone(pool, scope).await?,
        waiting_by_edge: by_edge(pool, "e.state = 'ready' AND e.due_at <= ", now.0, scope).await?,
        failing_by_edge: by_edge(pool, "e.state = 'ready' AND e.failures > ", 0, scope).await?,
        edges: if everything { crate::ledger::sql::edges::failing(pool, false).await? } else { Vec::new() },
        future: of("a.state = 'planned' AND a.parked_at IS NULL AND a.due_at > $", &[now.0]).await?,
    })
}

/// Findings that are not counted elsewhere: the order of a lost ticket is parked as soon as sync has noticed, and a double
/// may stand among the strays.
async fn findings_alone(pool: &Pool, scope: &Scope) -> LedgerResult<i64> {
    let mut query = QueryBuilder::new(
        "SELECT COUNT(*) FROM finding AS f LEFT JOIN assignment AS a ON a.id = f.assignment_id WHERE f.state = 'open'
            AND (a.parked_at IS NULL OR f.kind <> 'lost')
            AND NOT EXISTS (SELECT 1 FROM stray AS s WHERE s.ref_id = f.subject AND f.edge = 'desk/' || s.desk AND s.settled_at IS NULL)",
    );
    push_scope(&mut query, "a.application_id", scope);
    Ok(query.build_query_scalar().fetch_one(pool).await?)
}

/// One scan of the index on state and application gives both groupings, and the oldest by the smallest id.
async fn by_state_and_application(pool: &Pool, scope: &Scope) -> LedgerResult<(Vec<Count>, Vec<Count>)> {
    let mut query =
        QueryBuilder::new("SELECT a.state, a.application_id, COUNT(*) AS n, MIN(a.id) AS first FROM assignment AS a WHERE 1 = 1");
    push_scope(&mut query, "a.application_id", scope);
    query.push(" GROUP BY a.state, a.application_id");
    let (mut states, mut applications) = (BTreeMap::new(), BTreeMap::<String, (i64, i64)>::new());
    for row in query.build().fetch_all(pool).await? {
        let (state, application): (String, String) = (row.try_get("state")?, row.try_get("application_id")?);
        let (n, first): (i64, i64) = (row.try_get("n")?, row.try_get("first")?);
        let finished = State::parse(&state).is_some_and(State::is_finished);
        let owed = OWED.contains(&format!("'{state}'"));
        let of_state = states.entry(state).or_insert((0, i64::MAX));
        *of_state = (of_state.0 + n, of_state.1.min(if finished { i64::MAX } else { first }));
        if owed {
            let of_application = applications.entry(application).or_insert((0, i64::MAX));
            *of_application = (of_application.0 + n, of_application.1.min(first));
        }
    }
    let by_state = State::ALL
        .into_iter()
        .filter_map(|s| states.get(s.as_str()).map(|(n, first)| counted(s.as_str(), s.as_str(), *n, *first)))
        .collect();
    let mut by_application = Vec::with_capacity(applications.len());
    for (id, (n, first)) in applications {
        by_application.push((id, n, first));
    }
    by_application.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let mut named = Vec::with_capacity(by_application.len());
    for (id, n, first) in by_application {
        let name: Option<String> =
            query_scalar("SELECT application_name FROM assignment WHERE id = $1").bind(first).fetch_optional(pool).await?;
        named.push(counted(&id, name.as_deref().unwrap_or(&id), n, first));
    }
    Ok((by_state, named))
}

fn counted(id: &str, name: &str, count: i64, first: i64) -> Count {
    let oldest = (first != i64::MAX).then(|| Id(first).made_at());
    Count { id: id.to_owned(), name: name.to_owned(), count, oldest }
}

async fn by_group(pool: &Pool, scope: &Scope) -> LedgerResult<Vec<Count>> {
    let mut query = QueryBuilder::new(if scope.is_none() {
        "SELECT t.admin_group, COUNT(*), MIN(t.filed_at) FROM ticket AS t WHERE t.state = 'open'"
    } else {
        "SELECT t.admin_group, COUNT(DISTINCT t.id), MIN(t.filed_at) FROM assignment AS a JOIN ticket AS t ON t.id = a.ticket_id
         WHERE t.state = 'open' AND a.state IN ('open', 'rework')"
    });
    push_scope(&mut query, "a.application_id", scope);
    query.push(" GROUP BY t.admin_group ORDER BY 2 DESC, 1");
    let rows: Vec<(String, i64, Option<i64>)> = query.build_query_as().fetch_all(pool).await?;
    Ok(rows
        .into_iter()
        .map(|(name, count, oldest)| Count { id: name.clone(), name, count, oldest: oldest.map(Timestamp) })
        .collect())
}

async fn by_edge(pool: &Pool, condition: &'static str, bound: i64, scope: &Scope) -> LedgerResult<Vec<Count>> {
    let mut query = errand_query("SELECT e.edge, COUNT(*), MIN(e.made_at) FROM errand AS e", scope);
    query.push(condition).push_bind(bound);
    push_scope(&mut query, "a.application_id", scope);
    query.push(" GROUP BY e.edge ORDER BY 2 DESC, 1");
    let rows: Vec<(String, i64, Option<i64>)> = query.build_query_as().fetch_all(pool).await?;
    Ok(rows
        .into_iter()
        .map(|(name, count, oldest)| Count { id: name.clone(), name, count, oldest: oldest.map(Timestamp) })
        .collect())
}

async fn errands_where(pool: &Pool, condition: &'static str, scope: &Scope) -> LedgerResult<i64> {
    let mut query = errand_query("SELECT COUNT(*) FROM errand AS e", scope);
    query.push(condition);
    push_scope(&mut query, "a.application_id", scope);
    Ok(query.build_query_scalar().fetch_one(pool).await?)
}

/// Only a scoped reader's counts need to know the application of an errand.
fn errand_query(select: &'static str, scope: &Scope) -> QueryBuilder {
    let mut query = QueryBuilder::new(select);
    if scope.is_some() {
        query.push(
            " JOIN assignment AS a ON a.id = COALESCE(e.assignment_id,
                (SELECT MIN(i.assignment_id) FROM ticket_item AS i WHERE i.ticket_id = e.ticket_id))",
        );
    }
    query.push(" WHERE ");
    query
}

/// Counts assignments; each `$` of the condition takes the next bound.
async fn assignments_where(pool: &Pool, condition: &'static str, bounds: Vec<i64>, scope: &Scope) -> LedgerResult<i64> {
    let mut query = QueryBuilder::new("SELECT COUNT(*) FROM assignment AS a WHERE ");
    let mut bounds = bounds.into_iter();
    let mut parts = condition.split('$');
    query.push(parts.next().unwrap_or("1 = 1"));
    for part in parts {
        query.push_bind(bounds.next()).push(part);
    }
    push_scope(&mut query, "a.application_id", scope);
    Ok(query.build_query_scalar().fetch_one(pool).await?)
}

async fn count(pool: &Pool, query: &'static str) -> LedgerResult<i64> {
    Ok(query_scalar(query).fetch_one(pool).await?)
}
