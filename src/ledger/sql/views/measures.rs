//! Times for measures, and the whole state as text.

use std::fmt::Write as _;

use crate::ledger::engine::{Pool, QueryBuilder, Row, query_scalar};
use futures_util::TryStreamExt as _;

use super::{OWED, push_scope, text, time};
use crate::ledger::LedgerResult;
use crate::ledger::views::{BacklogRow, Fact, FactFilter};
use crate::model::{Id, Timestamp};

const DAY_MS: i64 = 86_400_000;

/// Number of an assignment's latest ticket.
const TICKET: &str = "(SELECT t.ref_number FROM ticket_item AS i JOIN ticket AS t ON t.id = i.ticket_id
    WHERE i.assignment_id = a.id AND t.shape <> 'double' ORDER BY t.id DESC LIMIT 1)";

/// Times of assignments closed in a period, or of those owed now.
pub(in crate::ledger) async fn facts(pool: &Pool, filter: &FactFilter) -> LedgerResult<Vec<Fact>> {
    let mut query = QueryBuilder::new(
        "SELECT a.id, a.external_id, a.application_id, a.application_name, COALESCE(a.admin_group, '') AS admin_group, a.operation, a.outcome,
            a.requested_at, a.approved_at, a.eligible_at, a.filed_at, a.first_work_at, a.closed_at, a.reported_at, ",
    );
    query.push(if filter.tickets { TICKET } else { "NULL" }).push(" AS ticket FROM assignment AS a WHERE ");
    if filter.owed {
        query.push("a.state IN ").push(OWED);
    } else {
        query.push("a.closed_at >= ").push_bind(filter.from.0).push(" AND a.closed_at < ").push_bind(filter.to.0);
    }
    push_filter(&mut query, filter);
    // Row by row: the driver's rows are far larger than what is kept of them.
    let mut rows = query.build().fetch(pool);
    let mut facts = Vec::new();
    while let Some(row) = rows.try_next().await? {
        facts.push(fact(&row)?);
    }
    Ok(facts)
}

fn fact(row: &Row) -> LedgerResult<Fact> {
    Ok(Fact {
        id: Id(row.try_get("id")?),
        external_id: row.try_get("external_id")?,
        ticket: text(row, "ticket")?,
        application_id: row.try_get("application_id")?,
        application_name: row.try_get("application_name")?,
        admin_group: row.try_get("admin_group")?,
        operation: row.try_get("operation")?,
        outcome: text(row, "outcome")?,
        requested_at: time(row, "requested_at")?,
        approved_at: time(row, "approved_at")?,
        eligible_at: time(row, "eligible_at")?,
        filed_at: time(row, "filed_at")?,
        first_work_at: time(row, "first_work_at")?,
        closed_at: time(row, "closed_at")?,
        reported_at: time(row, "reported_at")?,
    })
}

fn push_filter(query: &mut QueryBuilder, filter: &FactFilter) {
    for (column, value) in [("a.application_id", &filter.application), ("a.admin_group", &filter.admin_group)] {
        if let Some(value) = value {
            query.push(" AND ").push(column).push(" = ").push_bind(value.clone());
        }
    }
    push_scope(query, "a.application_id", &filter.scope);
}

/// Ages of assignments whose ticket is open or owed now, counted by the database: a backlog may be a million rows.
pub(in crate::ledger) async fn backlog(pool: &Pool, filter: &FactFilter, now: Timestamp) -> LedgerResult<Vec<BacklogRow>> {
    let mut query = QueryBuilder::new(
        "SELECT application_id, MAX(application_name) AS application_name, admin_group, MIN(since) AS oldest,
            SUM(CASE WHEN since > ",
    );
    query.push_bind(now.0).push(" THEN 1 ELSE 0 END) AS not_yet");
    let days = [0, 1, 3, 7, 14];
    for (n, from) in days.iter().enumerate() {
        // at least `from` days old, and younger than the next bound
        query.push(", SUM(CASE WHEN since <= ").push_bind(now.0 - from * DAY_MS);
        if let Some(to) = days.get(n + 1) {
            query.push(" AND since > ").push_bind(now.0 - to * DAY_MS);
        }
        query.push(" THEN 1 ELSE 0 END) AS band").push(n);
    }
    query
        .push(
            " FROM (SELECT a.application_id, a.application_name, COALESCE(a.admin_group, '') AS admin_group,
                COALESCE(a.eligible_at, a.received_at) AS since FROM assignment AS a WHERE a.state IN ",
        )
        .push(OWED);
    push_filter(&mut query, filter);
    query.push(") AS owed GROUP BY application_id, admin_group ORDER BY application_id, admin_group");
    let rows = query.build().fetch_all(pool).await?;
    rows.iter()
        .map(|row| {
            let mut bands = [0; 5];
            for (n, band) in bands.iter_mut().enumerate() {
                *band = row.try_get(format!("band{n}").as_str())?;
            }
            Ok(BacklogRow {
                application_id: row.try_get("application_id")?,
                application_name: row.try_get("application_name")?,
                admin_group: row.try_get("admin_group")?,
                bands,
                not_yet: row.try_get("not_yet")?,
                oldest: time(row, "oldest")?.filter(|t| *t <= now),
            })
        })
        .collect()
}

/// The whole state as readable text, the same for the same state however its row ids fell. No person in it.
pub(in crate::ledger) async fn dump(pool: &Pool) -> LedgerResult<String> {
    let mut out = String::new();
    section(
        pool,
        &mut out,
        "assignments",
        "SELECT natural_key || ' ' || state || ' r' || revision || COALESCE(' = ' || outcome, '')
            || CASE WHEN parked_at IS NULL THEN '' ELSE ' parked ' || COALESCE(parked_code, '') END
            || CASE WHEN withdrawn_at IS NULL THEN '' ELSE ' withdrawn' END || COALESCE(' @' || admin_group, '')
         FROM assignment ORDER BY natural_key",
    )
    .await?;
    section(
        pool,
        &mut out,
        "tickets",
        "SELECT key || ' ' || shape || ' ' || desk || '/' || admin_group || ' ' || state || COALESCE(' ' || ref_number, '')
            || COALESCE(' = ' || outcome, '') FROM ticket ORDER BY key, desk, ref_number",
    )
    .await?;
    section(
        pool,
        &mut out,
        "errands",
        "SELECT edge || ' ' || kind || ' ' || mark || ' ' || state || ' lease ' || lease_no || ' failures ' || failures
            || COALESCE(' ' || code, '') FROM errand ORDER BY edge, kind, mark",
    )
    .await?;
    section(
        pool,
        &mut out,
        "quarantine",
        "SELECT source || ' ' || event_id || ' ' || state || ': ' || problem FROM quarantine ORDER BY source, event_id",
    )
    .await?;
    section(
        pool,
        &mut out,
        "strays",
        "SELECT desk || ' ' || ref_number || ' ' || kind || ' ' || key || ': ' || action FROM stray ORDER BY desk, ref_id",
    )
    .await?;
    Ok(out)
}

async fn section(pool: &Pool, out: &mut String, title: &str, query: &'static str) -> LedgerResult<()> {
    let lines: Vec<String> = query_scalar(query).fetch_all(pool).await?;
    // writing to a String cannot fail
    let _ = writeln!(out, "{title}: {}", lines.len());
    for line in lines {
        let _ = writeln!(out, "  {line}");
    }
    Ok(())
}
