//! Disagreements between platform, ledger and desk: kept while they last.

pub(in crate::ledger) mod repair;

use std::collections::HashMap;

use super::{Shared, document, rows};
use crate::ledger::compare::{FindingKind, FindingRow, Sight, repair_of};
use crate::ledger::engine::{Conn, Pool, QueryBuilder, Row, query, query_as, query_scalar};
use crate::ledger::views::Scope;
use crate::ledger::{Held, LedgerError, LedgerResult};
use crate::model::ticket::TicketStatus;
use crate::model::{Id, Timestamp};
use serde_json::{Value, json};

/// A ticket row whose key is on a ticket that we do not hold: the reference on the desk, our row, its state and
/// reference, its order.
type Owner = (String, Option<i64>, Option<String>, Option<String>, Option<i64>);

/// Keeps what disagrees.
pub(in crate::ledger) async fn compare(
    tx: &mut Conn,
    shared: &Shared,
    edge: &str,
    sights: &[Sight],
    now: Timestamp,
) -> LedgerResult<usize> {
    let desk = edge.strip_prefix("desk/").unwrap_or(edge);
    let listed = sights.iter().filter_map(|sight| match sight {
        Sight::Listed { status, .. } => Some(json!([status.ticket.id, status.key])),
        _ => None,
    });
    let owners = owners(tx, desk, &listed.collect::<Vec<Value>>()).await?;
    let mut found = Vec::new();
    for sight in sights {
        found.extend(match sight {
            Sight::Listed { status, untouched_ours } => {
                owners.get(&status.ticket.id).and_then(|owner| unknown(status, *untouched_ours, owner))
            }
            Sight::Gone(held) => Some(of_held(FindingKind::Lost, held)),
            Sight::Closed(held) => Some(of_held(FindingKind::ClosedThere, held)),
            Sight::Untold(assignment) => Some(json!({"kind": FindingKind::Untold, "assignment": assignment.0})),
        });
    }
    for finding in &found {
        keep(tx, shared, edge, finding, now).await?;
    }
    Ok(found.len())
}

/// Who owns the keys on tickets that we do not hold, by the desk's id of the ticket.
async fn owners(tx: &mut Conn, desk: &str, listed: &[Value]) -> LedgerResult<HashMap<String, Owner>> {
    if listed.is_empty() {
        return Ok(HashMap::new());
    }
    let (found,): (String,) = query_as(
        "SELECT json_group_array(json_array(j.value->>0, o.id, o.state, o.ref_id,
                (SELECT MIN(ti.assignment_id) FROM ticket_item AS ti WHERE ti.ticket_id = o.id)))
         FROM json_each($2) AS j LEFT JOIN ticket AS o ON o.key = j.value->>1 AND o.shape <> 'double' AND o.desk = $1
         WHERE NOT EXISTS (SELECT 1 FROM ticket AS h WHERE h.desk = $1 AND h.ref_id = j.value->>0)",
    )
    .bind(desk)
    .bind(rows(listed)?)
    .fetch_one(tx)
    .await?;
    Ok(document::<Vec<Owner>>(&found)?.into_iter().map(|owner| (owner.0.clone(), owner)).collect())
}

/// A ticket that we do not hold: of an order that waits for one, of an order that has another, or of none.
fn unknown(status: &TicketStatus, untouched: bool, owner: &Owner) -> Option<Value> {
    let (_, ticket, state, other, assignment) = owner;
    let kind = match (state.as_deref(), other) {
        // A call is under way, or its witnesses are being asked.
        (Some("sending" | "unclear"), _) => return None,
        (None, _) | (Some("gone"), _) => FindingKind::Orphan,
        (Some("dropped"), _) | (Some(_), Some(_)) => FindingKind::Double,
        (Some(_), None) => FindingKind::Orphan,
    };
    Some(json!({"kind": kind, "subject": status.ticket.id, "number": status.ticket.number, "key": status.key,
        "ticket": ticket, "assignment": assignment, "untouched": i64::from(untouched)}))
}

fn of_held(kind: FindingKind, held: &Held) -> Value {
    json!({"kind": kind, "subject": held.ticket.id, "number": held.ticket.number, "key": held.key, "ticket": held.id.0})
}

/// What is found again is the same finding; what was over or repaired is news again.
async fn keep(tx: &mut Conn, shared: &Shared, edge: &str, finding: &Value, now: Timestamp) -> LedgerResult<()> {
    query(
        "INSERT INTO finding (id, edge, kind, subject, number, key, ticket_id, assignment_id, untouched, state, found_at, seen_at)
         SELECT $1, $2, f.value->>'kind', COALESCE(f.value->>'subject', a.natural_key), COALESCE(f.value->>'number', a.external_id),
                f.value->>'key', CAST(f.value->>'ticket' AS BIGINT), a.id, COALESCE(CAST(f.value->>'untouched' AS BIGINT), 0), 'open', $4, $4
         FROM json_each($3) AS f LEFT JOIN assignment AS a ON a.id = COALESCE(CAST(f.value->>'assignment' AS BIGINT),
            (SELECT MIN(ti.assignment_id) FROM ticket_item AS ti WHERE ti.ticket_id = CAST(f.value->>'ticket' AS BIGINT)))
         WHERE COALESCE(f.value->>'subject', a.natural_key) IS NOT NULL
         ON CONFLICT (edge, kind, subject) DO UPDATE SET seen_at = excluded.seen_at, number = excluded.number,
            ticket_id = excluded.ticket_id, assignment_id = excluded.assignment_id, untouched = excluded.untouched,
            found_at = CASE WHEN finding.state IN ('over', 'repaired') THEN excluded.found_at ELSE finding.found_at END,
            settled_at = CASE WHEN finding.state IN ('over', 'repaired') THEN NULL ELSE finding.settled_at END,
            settled_by = CASE WHEN finding.state IN ('over', 'repaired') THEN NULL ELSE finding.settled_by END,
            state = CASE WHEN finding.state IN ('over', 'repaired') THEN 'open' ELSE finding.state END",
    )
    .bind(shared.ids.next(now).0)
    .bind(edge)
    .bind(rows(std::slice::from_ref(finding))?)
    .bind(now.0)
    .execute(tx)
    .await?;
    Ok(())
}

/// What a complete comparison did not find any more is over.
pub(in crate::ledger) async fn compared(tx: &mut Conn, edge: &str, began: Timestamp, now: Timestamp) -> LedgerResult<()> {
    query("UPDATE finding SET state = 'over', settled_at = $3 WHERE edge = $1 AND state = 'open' AND seen_at < $2")
        .bind(edge)
        .bind(began.0)
        .bind(now.0)
        .execute(tx)
        .await?;
    Ok(())
}

/// Orders that were reported, and that the platform's list of pending ones has shown since. Of several orders with one
/// external id the list says nothing while one of them is not finished.
pub(in crate::ledger) async fn listed_still(pool: &Pool, source: &str, before: Timestamp) -> LedgerResult<Vec<Id>> {
    let found: Vec<i64> = query_scalar(
        "SELECT a.id FROM listed AS l CROSS JOIN assignment AS a
         WHERE a.natural_key > l.source || '/' || l.external_id || '/' AND a.natural_key < l.source || '/' || l.external_id || '0'
            AND l.source = $1 AND l.gone_at IS NULL AND a.external_id = l.external_id AND a.state IN ('reported', 'proven')
            AND a.reported_at < $2 AND l.run_at > a.reported_at
            AND NOT EXISTS (SELECT 1 FROM assignment AS n
                WHERE n.natural_key > l.source || '/' || l.external_id || '/' AND n.natural_key < l.source || '/' || l.external_id || '0'
                    AND n.external_id = l.external_id AND n.state NOT IN ('reported', 'proven', 'duplicate'))
         ORDER BY a.id",
    )
    .bind(source)
    .bind(before.0)
    .fetch_all(pool)
    .await?;
    Ok(found.into_iter().map(Id).collect())
}

const COLUMNS: &str =
    "SELECT f.id, f.edge, f.kind, f.subject, f.number, f.key, f.ticket_id, f.assignment_id, f.untouched, f.found_at,
    f.seen_at, a.application_name FROM finding AS f LEFT JOIN assignment AS a ON a.id = f.assignment_id WHERE f.state = 'open'";

/// What disagrees now. What belongs to no application is not for scoped readers.
pub(in crate::ledger) async fn findings(pool: &Pool, scope: &Scope, limit: usize) -> LedgerResult<Vec<FindingRow>> {
    let mut query = QueryBuilder::new(COLUMNS);
    super::views::push_scope(&mut query, "a.application_id", scope);
    query.push(" ORDER BY f.id LIMIT ").push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
    query.build().fetch_all(pool).await?.iter().map(row_of).collect()
}

/// One that waits.
pub(in crate::ledger) async fn finding(pool: &Pool, id: Id) -> LedgerResult<Option<FindingRow>> {
    let mut query = QueryBuilder::new(COLUMNS);
    query.push(" AND f.id = ").push_bind(id.0);
    query.build().fetch_optional(pool).await?.as_ref().map(row_of).transpose()
}

fn row_of(row: &Row) -> LedgerResult<FindingRow> {
    let kind: String = row.try_get("kind")?;
    let kind = FindingKind::parse(&kind).ok_or_else(|| LedgerError::Corrupt(format!("finding `{kind}`")))?;
    let ticket: Option<i64> = row.try_get("ticket_id")?;
    let untouched: i64 = row.try_get("untouched")?;
    Ok(FindingRow {
        id: Id(row.try_get("id")?),
        edge: row.try_get("edge")?,
        kind,
        words: kind.words().to_owned(),
        number: row.try_get("number")?,
        key: row.try_get("key")?,
        assignment: row.try_get::<Option<i64>, _>("assignment_id")?.map(Id),
        application: row.try_get("application_name")?,
        repair: repair_of(kind, ticket.is_some(), untouched == 1).map(str::to_owned),
        found_at: Timestamp(row.try_get("found_at")?),
        seen_at: Timestamp(row.try_get("seen_at")?),
        subject: row.try_get("subject")?,
    })
}
