//! Pages of assignments and the operations lists.

use crate::ledger::engine::{Pool, QueryBuilder, query, query_scalar};

use super::{ASSIGNMENT_COLUMNS, ERRAND_COLUMNS, assignment_row, errand_row, limit_of, push_scope, text};
use crate::ledger::LedgerResult;
use crate::ledger::views::{AssignmentRow, ErrandRow, Filter, Operations, QuarantineRow, Scope, StrayRow, Troubled};
use crate::model::{Id, State, Timestamp};

/// A search that fits more rows than this is no search for one thing.
const MAX_FOUND: i64 = 500;

/// By the number that the desk shows, or by our key.
pub(super) const BY_TICKET: &str = "SELECT i.assignment_id FROM ticket AS t JOIN ticket_item AS i ON i.ticket_id = t.id
    WHERE t.ref_number = $1
  UNION SELECT i.assignment_id FROM ticket AS t JOIN ticket_item AS i ON i.ticket_id = t.id
    WHERE t.key = $1 AND t.shape <> 'double' LIMIT $2";

/// Applications with assignments in a state, each found by one step in the index.
pub(super) const APPLICATIONS_IN: &str = "WITH RECURSIVE place(application) AS (
    SELECT (SELECT MIN(application_id) FROM assignment WHERE state = $1)
    UNION ALL
    SELECT (SELECT MIN(application_id) FROM assignment WHERE state = $1 AND application_id > p.application)
    FROM place AS p WHERE p.application IS NOT NULL)
  SELECT application FROM place WHERE application IS NOT NULL";

/// Natural keys begin with the source and the external id, and are indexed: sources are leapt through, one by one.
/// `UNION` ends the leaps, whatever the keys are.
/// What lies between `id/` and `id0` (the character after the slash) begins with `id/`.
pub(super) const BY_EXTERNAL_ID: &str = "WITH RECURSIVE place(source) AS (
    SELECT (SELECT source FROM assignment ORDER BY natural_key LIMIT 1)
    UNION
    SELECT (SELECT source FROM assignment WHERE natural_key > p.source || '0' ORDER BY natural_key LIMIT 1)
    FROM place AS p WHERE p.source IS NOT NULL)
  SELECT a.id FROM place AS p CROSS JOIN assignment AS a
  WHERE a.natural_key > p.source || '/' || $1 || '/' AND a.natural_key < p.source || '/' || $1 || '0'
    AND p.source IS NOT NULL AND a.external_id = $1 LIMIT $2";

/// A page of assignments, newest first.
pub(in crate::ledger) async fn assignments(
    pool: &Pool,
    filter: &Filter,
    names: bool,
    limit: usize,
) -> LedgerResult<Vec<AssignmentRow>> {
    let found = match filter.search.as_deref().map(str::trim).filter(|s| !s.is_empty()) {
        Some(words) => Some(search(pool, words).await?),
        None => None,
    };
    let by_index = found.is_none() && filter.admin_group.is_none() && filter.parked != Some(true);
    let narrowed = !filter.states.is_empty() || filter.application.is_some() || filter.scope.is_some();
    let ids = if by_index && narrowed {
        merged(pool, filter, limit).await?
    } else {
        list_query(filter, found.as_deref(), limit).build_query_scalar().fetch_all(pool).await?
    };
    decorate(pool, &ids, names).await
}

/// Newest first, where a few rows are known, or the index of an admin group or of all ids gives the order.
pub(super) fn list_query(filter: &Filter, found: Option<&[i64]>, limit: usize) -> QueryBuilder {
    let mut query = QueryBuilder::new("SELECT a.id FROM assignment AS a WHERE 1 = 1");
    if let Some(before) = filter.before {
        query.push(" AND a.id < ").push_bind(before.0);
    }
    push_conditions(&mut query, filter);
    if let Some(found) = found {
        push_ids(&mut query, found);
    }
    if filter.parked == Some(true) {
        // few rows, all in an index of their own
        query.push(" AND a.id IN (SELECT id FROM assignment WHERE parked_at IS NOT NULL)");
    }
    query.push(" ORDER BY a.id DESC LIMIT ").push_bind(limit_of(limit));
    query
}

/// The index on state and application is in the order of ids within each pair: the newest of each are merged, so that
/// a page costs as many steps as there are such pairs, not as many as there are assignments.
async fn merged(pool: &Pool, filter: &Filter, limit: usize) -> LedgerResult<Vec<i64>> {
    let mut ids: Vec<i64> = Vec::new();
    for state in State::ALL {
        let state = state.as_str();
        if !filter.states.is_empty() && !filter.states.iter().any(|s| s == state) {
            continue;
        }
        let mut applications: Vec<String> = match (&filter.application, &filter.scope) {
            (Some(one), _) => vec![one.clone()],
            (None, Some(scope)) => scope.clone(),
            (None, None) => query_scalar(APPLICATIONS_IN).bind(state).fetch_all(pool).await?,
        };
        applications.retain(|a| filter.scope.as_ref().is_none_or(|scope| scope.contains(a)));
        for application in applications {
            ids.extend::<Vec<i64>>(pair_query(filter, state, &application, limit).build_query_scalar().fetch_all(pool).await?);
        }
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        ids.truncate(limit);
    }
    Ok(ids)
}

/// The newest in one state of one application.
pub(super) fn pair_query(filter: &Filter, state: &str, application: &str, limit: usize) -> QueryBuilder {
    let mut query = QueryBuilder::new("SELECT a.id FROM assignment AS a WHERE a.state = ");
    query.push_bind(state.to_owned()).push(" AND a.application_id = ").push_bind(application.to_owned());
    if let Some(before) = filter.before {
        query.push(" AND a.id < ").push_bind(before.0);
    }
    let rest = Filter { states: Vec::new(), application: None, scope: None, ..filter.clone() };
    push_conditions(&mut query, &rest);
    query.push(" ORDER BY a.id DESC LIMIT ").push_bind(limit_of(limit));
    query
}

fn push_conditions(query: &mut QueryBuilder, filter: &Filter) {
    if !filter.states.is_empty() {
        query.push(" AND a.state IN (");
        let mut list = query.separated(", ");
        for state in &filter.states {
            list.push_bind(state.clone());
        }
        query.push(")");
    }
    for (column, value) in
        [("a.application_id", &filter.application), ("a.admin_group", &filter.admin_group), ("a.source", &filter.source)]
    {
        if let Some(value) = value {
            query.push(" AND ").push(column).push(" = ").push_bind(value.clone());
        }
    }
    match filter.parked {
        Some(true) => query.push(" AND a.parked_at IS NOT NULL"),
        Some(false) => query.push(" AND a.parked_at IS NULL"),
        None => query,
    };
    push_scope(query, "a.application_id", &filter.scope);
}

fn push_ids(query: &mut QueryBuilder, ids: &[i64]) {
    query.push(" AND a.id IN (");
    let mut list = query.separated(", ");
    for id in ids {
        list.push_bind(*id);
    }
    if ids.is_empty() {
        list.push("NULL");
    }
    query.push(")");
}

/// Ids of the assignments that carry exactly these words as own id, external id, ticket number or key.
pub(super) async fn search(pool: &Pool, words: &str) -> LedgerResult<Vec<i64>> {
    if let Ok(id) = words.parse::<Id>() {
        return Ok(vec![id.0]);
    }
    let mut ids: Vec<i64> = query_scalar(BY_EXTERNAL_ID).bind(words).bind(MAX_FOUND).fetch_all(pool).await?;
    let by_ticket: Vec<i64> = query_scalar(BY_TICKET).bind(words).bind(MAX_FOUND).fetch_all(pool).await?;
    ids.extend(by_ticket);
    Ok(ids)
}

async fn decorate(pool: &Pool, ids: &[i64], names: bool) -> LedgerResult<Vec<AssignmentRow>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let mut query = QueryBuilder::new("SELECT ");
    query.push(ASSIGNMENT_COLUMNS).push(" WHERE 1 = 1");
    push_ids(&mut query, ids);
    query.push(" ORDER BY a.id DESC");
    query.build().fetch_all(pool).await?.iter().map(|row| assignment_row(row, names)).collect()
}

/// The operations lists, each with at most `limit` rows. What belongs to no application (quarantine, strays) is not
/// for scoped readers.
pub(in crate::ledger) async fn operations(pool: &Pool, scope: &Scope, names: bool, limit: usize) -> LedgerResult<Operations> {
    let mut parked = QueryBuilder::new("SELECT ");
    parked.push(ASSIGNMENT_COLUMNS).push(" WHERE a.parked_at IS NOT NULL");
    push_scope(&mut parked, "a.application_id", scope);
    parked.push(" ORDER BY a.parked_at LIMIT ").push_bind(limit_of(limit));
    let parked = parked.build().fetch_all(pool).await?.iter().map(|r| assignment_row(r, names)).collect::<LedgerResult<_>>()?;
    let errands = |which| errands(pool, which, scope, names, None, limit);
    Ok(Operations {
        parked,
        parked_errands: errands(Troubled::Parked).await?,
        unclear: errands(Troubled::Unclear).await?,
        failing: errands(Troubled::Failing).await?,
        edges: if scope.is_none() { crate::ledger::sql::edges::failing(pool, names).await? } else { Vec::new() },
        quarantined: quarantined(pool, scope, names, None, limit).await?,
        findings: crate::ledger::sql::compare::findings(pool, scope, limit).await?,
        strays: if scope.is_none() { strays(pool, limit).await? } else { Vec::new() },
    })
}

/// A page of errands, oldest first, from above `after`.
pub(in crate::ledger) async fn errands(
    pool: &Pool,
    which: Troubled,
    scope: &Scope,
    names: bool,
    after: Option<Id>,
    limit: usize,
) -> LedgerResult<Vec<ErrandRow>> {
    let condition = match which {
        Troubled::Parked => "e.state = 'parked'",
        Troubled::Unclear => super::UNCLEAR,
        Troubled::Failing => "e.state = 'ready' AND e.failures > 0",
    };
    let mut query = QueryBuilder::new("SELECT ");
    query.push(ERRAND_COLUMNS).push(" WHERE ").push(condition);
    if let Some(after) = after {
        query.push(" AND e.id > ").push_bind(after.0);
    }
    push_scope(&mut query, "a.application_id", scope);
    query.push(" ORDER BY e.id LIMIT ").push_bind(limit_of(limit));
    query.build().fetch_all(pool).await?.iter().map(|row| errand_row(row, names)).collect()
}

/// A page of held events, oldest first, from above `after`. They belong to no application: none for scoped readers. What
/// is wrong with an event may quote it: only for readers who may see names.
pub(in crate::ledger) async fn quarantined(
    pool: &Pool,
    scope: &Scope,
    names: bool,
    after: Option<Id>,
    limit: usize,
) -> LedgerResult<Vec<QuarantineRow>> {
    if scope.is_some() {
        return Ok(Vec::new());
    }
    let rows = query(
        "SELECT id, source, event_id, received_at, problem, CAST(COALESCE(OCTET_LENGTH(body), 0) AS BIGINT) AS bytes
         FROM quarantine WHERE state = 'held' AND id > $2 ORDER BY id LIMIT $1",
    )
    .bind(limit_of(limit))
    .bind(after.map_or(i64::MIN, |id| id.0))
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(QuarantineRow {
                id: Id(row.try_get("id")?),
                source: row.try_get("source")?,
                event_id: row.try_get("event_id")?,
                received_at: Timestamp(row.try_get("received_at")?),
                problem: if names { text(row, "problem")? } else { None },
                bytes: row.try_get("bytes")?,
            })
        })
        .collect()
}

/// Whether an event of the source is held whose id begins so: however many are, one look at an index.
pub(in crate::ledger) async fn is_held(pool: &Pool, source: &str, begins: &str) -> LedgerResult<bool> {
    let held: Option<bool> = query_scalar(
        "SELECT EXISTS (SELECT 1 FROM quarantine WHERE source = $1 AND event_id >= $2 AND event_id < $3 AND state = 'held')",
    )
    .bind(source)
    .bind(begins)
    .bind(format!("{begins}{}", char::MAX))
    .fetch_optional(pool)
    .await?;
    Ok(held.unwrap_or(false))
}

/// Strays nobody has settled.
async fn strays(pool: &Pool, limit: usize) -> LedgerResult<Vec<StrayRow>> {
    let rows = query(
        "SELECT desk, ref_number, key, kind, found_at, action FROM stray WHERE settled_at IS NULL ORDER BY found_at, ref_id LIMIT $1",
    )
    .bind(limit_of(limit))
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(StrayRow {
                desk: row.try_get("desk")?,
                number: row.try_get("ref_number")?,
                key: row.try_get("key")?,
                kind: row.try_get("kind")?,
                found_at: Timestamp(row.try_get("found_at")?),
                action: row.try_get("action")?,
            })
        })
        .collect()
}

/// A held event's body; `None` when it is not held, or its body was erased.
pub(in crate::ledger) async fn quarantine_body(pool: &Pool, id: Id) -> LedgerResult<Option<String>> {
    let body: Option<Option<String>> =
        query_scalar("SELECT body FROM quarantine WHERE id = $1 AND state = 'held'").bind(id.0).fetch_optional(pool).await?;
    Ok(body.flatten())
}
