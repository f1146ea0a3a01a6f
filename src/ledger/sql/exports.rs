//! Exports and scheduled reports: who took what out, and what is claimed to be sent.

use crate::ledger::engine::{Conn, Pool, query, query_as};

use super::super::LedgerResult;
use crate::ledger::exports::{Claimed, DeliveryClaim, DeliveryEnd, DeliveryRow, Export, Fulfiller};
use crate::model::{Id, Timestamp};

/// Every pair of an admin group and a person who closed tickets of it: the index is leapt through, pair by pair, and
/// looked into once more for the period. SQLite leaps only where the whole index is compared, and by no column of the same
/// kind, which it would compare another way (hence `|| ''`); else it walks through all tickets of the group for each pair.
pub(in crate::ledger) const FULFILLERS: &str = "WITH RECURSIVE pair(admin_group, person) AS (
    SELECT * FROM (SELECT admin_group, closed_by FROM ticket WHERE closed_by IS NOT NULL ORDER BY admin_group, closed_by LIMIT 1) AS first
    UNION ALL
    SELECT n.admin_group, n.closed_by FROM pair AS p JOIN ticket AS n ON n.id = (
      SELECT t.id FROM ticket AS t WHERE t.closed_by IS NOT NULL AND (t.admin_group, t.closed_by, t.closed_at) > (p.admin_group, p.person || '', 9223372036854775807)
      ORDER BY t.admin_group, t.closed_by LIMIT 1))
  SELECT p.admin_group, p.person FROM pair AS p WHERE EXISTS (
    SELECT 1 FROM ticket AS t WHERE t.admin_group = p.admin_group AND t.closed_by = p.person AND t.closed_by IS NOT NULL
      AND t.closed_at >= $1 AND t.closed_at < $2)";

/// Who closed tickets of which admin group.
pub(in crate::ledger) async fn fulfillers(pool: &Pool, from: Timestamp, to: Timestamp) -> LedgerResult<Vec<Fulfiller>> {
    let rows: Vec<(String, String)> = query_as(FULFILLERS).bind(from.0).bind(to.0).fetch_all(pool).await?;
    Ok(rows.into_iter().map(|(admin_group, person)| Fulfiller { admin_group, person }).collect())
}

/// Notes an export.
pub(in crate::ledger) async fn note(tx: &mut Conn, id: Id, export: &Export) -> LedgerResult<()> {
    query(
        "INSERT INTO export_log (id, at, actor, what, form, asked, items, names, digest)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(id.0)
    .bind(export.at.0)
    .bind(&export.actor)
    .bind(&export.what)
    .bind(&export.form)
    .bind(&export.asked)
    .bind(export.items)
    .bind(i64::from(export.names))
    .bind(&export.digest)
    .execute(tx)
    .await?;
    Ok(())
}

type ExportTuple = (i64, String, String, String, String, i64, i64, Option<String>);

/// The latest exports.
pub(in crate::ledger) async fn exports(pool: &Pool, limit: i64) -> LedgerResult<Vec<Export>> {
    let rows: Vec<ExportTuple> =
        query_as("SELECT at, actor, what, form, asked, items, names, digest FROM export_log ORDER BY id DESC LIMIT $1")
            .bind(limit)
            .fetch_all(pool)
            .await?;
    let export = |(at, actor, what, form, asked, items, names, digest)| Export {
        at: Timestamp(at),
        actor,
        what,
        form,
        asked,
        items,
        names: names != 0,
        digest,
    };
    Ok(rows.into_iter().map(export).collect())
}

type DeliveryTuple = (i64, String, i64, Option<i64>, i64, Option<String>, Option<String>, Option<i64>, Option<i64>);

/// Where a report stands.
pub(in crate::ledger) async fn delivery(pool: &Pool, report: &str) -> LedgerResult<Option<DeliveryRow>> {
    let row: Option<DeliveryTuple> = query_as(
        "SELECT due_at, state, failures, failed_at, next_at, code, reason, sent_at,
                (SELECT MAX(s.sent_at) FROM delivery AS s WHERE s.report = $1)
         FROM delivery WHERE report = $1 ORDER BY due_at DESC LIMIT 1",
    )
    .bind(report)
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|(due_at, state, failures, failed_at, next_at, code, reason, sent_at, last)| DeliveryRow {
        report: report.to_owned(),
        due_at: Timestamp(due_at),
        state,
        failures,
        failed_at: failed_at.map(Timestamp),
        next_at: Timestamp(next_at),
        code,
        reason,
        sent_at: sent_at.map(Timestamp),
        last_sent_at: last.map(Timestamp),
    }))
}

/// Notes a report seen for the first time.
pub(in crate::ledger) async fn begin(tx: &mut Conn, report: &str, now: Timestamp) -> LedgerResult<()> {
    query(
        "INSERT INTO delivery (report, due_at, state, next_at) SELECT $1, $2, 'begun', $2
         WHERE NOT EXISTS (SELECT 1 FROM delivery WHERE report = $1)",
    )
    .bind(report)
    .bind(now.0)
    .execute(tx)
    .await?;
    Ok(())
}

/// Claims what is due, else what failed before and may be tried again.
pub(in crate::ledger) async fn claim(tx: &mut Conn, claim: &DeliveryClaim) -> LedgerResult<Option<Claimed>> {
    let until = claim.now.plus_ms(claim.lease_ms).0;
    // Somebody is at it: whatever is due waits until that is over.
    let busy: Option<(i64,)> =
        query_as("SELECT due_at FROM delivery WHERE report = $1 AND state = 'sending' AND lease_until > $2")
            .bind(&claim.report)
            .bind(claim.now.0)
            .fetch_optional(&mut *tx)
            .await?;
    if busy.is_some() {
        return Ok(None);
    }
    if let Some(due) = claim.due_at {
        let added = query(
            "INSERT INTO delivery (report, due_at, state, lease_no, lease_until, next_at) VALUES ($1, $2, 'sending', 1, $3, $2)
             ON CONFLICT (report, due_at) DO NOTHING",
        )
        .bind(&claim.report)
        .bind(due.0)
        .bind(until)
        .execute(&mut *tx)
        .await?;
        if added.rows_affected() == 0 {
            return Ok(None);
        }
        // What was not sent by now is overtaken: nobody wants last week's report after this week's.
        let missed =
            query("UPDATE delivery SET state = 'missed' WHERE report = $1 AND due_at < $2 AND state IN ('ready', 'sending')")
                .bind(&claim.report)
                .bind(due.0)
                .execute(tx)
                .await?;
        let missed = i64::try_from(missed.rows_affected()).unwrap_or(i64::MAX);
        return Ok(Some(Claimed { due_at: due, lease_no: 1, failures: 0, missed }));
    }
    let again: Option<(i64, i64, i64)> = query_as(
        "UPDATE delivery SET state = 'sending', lease_no = lease_no + 1, lease_until = $3
         WHERE report = $1 AND ((state = 'ready' AND next_at <= $2) OR (state = 'sending' AND lease_until <= $2))
         RETURNING due_at, lease_no, failures",
    )
    .bind(&claim.report)
    .bind(claim.now.0)
    .bind(until)
    .fetch_optional(tx)
    .await?;
    Ok(again.map(|(due, lease_no, failures)| Claimed { due_at: Timestamp(due), lease_no, failures, missed: 0 }))
}

/// Settles a claim, if it is still the claimer's.
pub(in crate::ledger) async fn settle(
    tx: &mut Conn,
    id: Id,
    report: &str,
    claimed: &Claimed,
    end: &DeliveryEnd,
    now: Timestamp,
) -> LedgerResult<bool> {
    let done = match end {
        DeliveryEnd::Sent(export) => {
            // Also where another took it over meanwhile: it was sent.
            note(tx, id, export).await?;
            query(
                "UPDATE delivery SET state = 'sent', sent_at = $4, lease_until = NULL, code = NULL, reason = NULL
                 WHERE report = $1 AND due_at = $2 AND lease_no = $3 AND state = 'sending'",
            )
            .bind(report)
            .bind(claimed.due_at.0)
            .bind(claimed.lease_no)
            .bind(now.0)
            .execute(tx)
            .await?
        }
        DeliveryEnd::Failed { next_at, code, reason } => {
            query(
                "UPDATE delivery SET state = 'ready', lease_until = NULL, failures = failures + 1,
                    failed_at = COALESCE(failed_at, $4), next_at = $5, code = $6, reason = $7
                 WHERE report = $1 AND due_at = $2 AND lease_no = $3 AND state = 'sending'",
            )
            .bind(report)
            .bind(claimed.due_at.0)
            .bind(claimed.lease_no)
            .bind(now.0)
            .bind(next_at.0)
            .bind(code)
            .bind(reason)
            .execute(tx)
            .await?
        }
    };
    Ok(done.rows_affected() == 1)
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;

    /// Whatever the number of tickets: every step goes through the index of closers.
    #[tokio::test]
    async fn fulfillers_are_leapt_to() {
        let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
        for script in [
            include_str!("../../../migrations/sqlite/0001_ground.sql"),
            include_str!("../../../migrations/sqlite/0014_exports.sql"),
        ] {
            sqlx::raw_sql(script).execute(&pool).await.unwrap();
        }
        let plan = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {FULFILLERS}"))).fetch_all(&pool).await.unwrap();
        let steps: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        let over_tickets = |step: &&String| step.contains(" t ") || step.contains(" ticket ") || step.ends_with(" t");
        for step in steps.iter().filter(over_tickets) {
            assert!(step.contains("ticket_closer") || step.contains("PRIMARY KEY"), "{steps:#?}");
        }
        assert!(steps.iter().filter(|step| step.contains("ticket_closer")).count() >= 3, "{steps:#?}");
        assert!(steps.iter().any(|step| step.contains("(admin_group,closed_by,closed_at)>(?,?,?)")), "it walks: {steps:#?}");
        let insert = "INSERT INTO ticket (id, key, desk, admin_group, route, state, template, template_version, catalog_version, planned_at,
            closed_at, closed_by) VALUES ($1, 'k' || $1, 'd', $2, '', 'closed', '', '', '', 0, $3, $4)";
        for (id, group, at, person) in
            [(1, "a", 10, "p"), (2, "a", 20, "p"), (3, "a", 30, "q"), (4, "b", 10, "p"), (5, "c", 99, "r")]
        {
            sqlx::query(insert).bind(id).bind(group).bind(at).bind(person).execute(&pool).await.unwrap();
        }
        let pool = Pool::Sqlite(pool);
        let found = fulfillers(&pool, Timestamp(10), Timestamp(31)).await.unwrap();
        let pairs: Vec<(&str, &str)> = found.iter().map(|f| (f.admin_group.as_str(), f.person.as_str())).collect();
        assert_eq!(pairs, [("a", "p"), ("a", "q"), ("b", "p")]);
        assert_eq!(fulfillers(&pool, Timestamp(30), Timestamp(31)).await.unwrap().len(), 1);
    }
}
