//! The read side: what pages, API, metrics and commands ask for. Nothing here writes.
//!
//! Lists are keyset pages whose ids are found first and decorated afterwards, so that a filter over a million rows
//! touches an index, not a join. Row ids grow with time, so "the oldest" and "since yesterday" are ranges of ids.

mod counts;
mod detail;
mod dump;
mod evidence;
mod gauges;
mod lists;
mod owed;

pub(in crate::ledger) use counts::overview;
pub(in crate::ledger) use detail::{assignment, concerns};
pub(in crate::ledger) use dump::dump;
pub(in crate::ledger) use evidence::evidence;
pub(in crate::ledger) use gauges::gauges;
pub(in crate::ledger) use lists::{assignments, errands, is_held, operations, quarantine_body, quarantined};
pub(in crate::ledger) use owed::owed;

use serde::Deserialize;

use crate::ledger::engine::{QueryBuilder, Row};

use super::super::views::{AssignmentRow, ErrandRow, Scope};
use super::super::{LedgerError, LedgerResult};
use crate::model::{Id, Timestamp};

/// States whose ticket is with, or owed to, an admin group.
const OWED: &str = "('due', 'sending', 'unclear', 'open', 'rework')";

/// Unclear errands; the first half names the partial index that holds them.
const UNCLEAR: &str = "e.state IN ('sending', 'unclear') AND e.state = 'unclear'";

/// Columns of an [`AssignmentRow`], for `assignment AS a`.
const ASSIGNMENT_COLUMNS: &str = "a.id, a.source, a.external_id, a.operation, a.application_id, a.application_name,
    a.entitlement_name, a.state, a.outcome, a.parked_reason, a.parked_code, a.priority, a.requested_at, a.approved_at,
    a.valid_from, a.valid_until, a.received_at, a.due_at, a.eligible_at, a.filed_at, a.first_work_at, a.closed_at,
    a.reported_at, a.withdrawn_at, a.revision, a.desk, a.admin_group, t.ref_number, t.url,
    COALESCE(p.name, p.external_id) AS beneficiary_name
  FROM assignment AS a
  LEFT JOIN ticket AS t ON t.id = a.ticket_id
  LEFT JOIN person AS p ON p.hash = a.beneficiary";

/// Columns of an [`ErrandRow`], for `errand AS e`; the first assignment of its ticket stands for the others.
const ERRAND_COLUMNS: &str = "e.id, e.kind, e.edge, e.state, e.attempts, e.due_at, e.quiet_until, e.code, e.reason, e.made_at,
    a.id AS assignment_id, a.application_name, k.key
  FROM errand AS e
  LEFT JOIN ticket AS k ON k.id = e.ticket_id
  LEFT JOIN assignment AS a ON a.id = COALESCE(e.assignment_id,
    (SELECT MIN(i.assignment_id) FROM ticket_item AS i WHERE i.ticket_id = e.ticket_id))";

/// Hashes of the persons of an order.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Persons {
    requester: Option<String>,
    approvers: Vec<Approver>,
}

#[derive(Debug, Deserialize)]
struct Approver {
    by: String,
}

fn persons(row: &Row) -> LedgerResult<Persons> {
    read(&row.try_get::<String, _>("persons")?)
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> LedgerResult<T> {
    serde_json::from_str(text).map_err(|e| LedgerError::Corrupt(e.to_string()))
}

fn time(row: &Row, column: &str) -> LedgerResult<Option<Timestamp>> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp))
}

fn text(row: &Row, column: &str) -> LedgerResult<Option<String>> {
    Ok(row.try_get(column)?)
}

fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// Adds `AND column IN (…)` for a scoped reader. An empty scope sees nothing.
pub(in crate::ledger::sql) fn push_scope(query: &mut QueryBuilder, column: &str, scope: &Scope) {
    let Some(applications) = scope else { return };
    query.push(" AND ").push(column).push(" IN (");
    let mut list = query.separated(", ");
    for application in applications {
        list.push_bind(application.clone());
    }
    if applications.is_empty() {
        list.push("NULL");
    }
    query.push(")");
}

fn assignment_row(row: &Row, names: bool) -> LedgerResult<AssignmentRow> {
    let only_names = |value: Option<String>| if names { value } else { None };
    Ok(AssignmentRow {
        id: Id(row.try_get("id")?),
        source: row.try_get("source")?,
        external_id: row.try_get("external_id")?,
        operation: row.try_get("operation")?,
        application_id: row.try_get("application_id")?,
        application_name: row.try_get("application_name")?,
        entitlement: text(row, "entitlement_name")?,
        beneficiary: only_names(text(row, "beneficiary_name")?),
        state: row.try_get("state")?,
        outcome: text(row, "outcome")?,
        parked_reason: only_names(text(row, "parked_reason")?),
        parked_code: text(row, "parked_code")?,
        priority: row.try_get("priority")?,
        requested_at: time(row, "requested_at")?,
        approved_at: time(row, "approved_at")?,
        valid_from: time(row, "valid_from")?,
        valid_until: time(row, "valid_until")?,
        received_at: Timestamp(row.try_get("received_at")?),
        due_at: time(row, "due_at")?,
        eligible_at: time(row, "eligible_at")?,
        filed_at: time(row, "filed_at")?,
        first_work_at: time(row, "first_work_at")?,
        closed_at: time(row, "closed_at")?,
        reported_at: time(row, "reported_at")?,
        withdrawn_at: time(row, "withdrawn_at")?,
        revision: row.try_get("revision")?,
        desk: text(row, "desk")?,
        admin_group: text(row, "admin_group")?,
        ticket: text(row, "ref_number")?,
        ticket_url: text(row, "url")?,
    })
}

/// A desk's own words may name a person: only for readers who may see names. The code says enough for the others.
fn errand_row(row: &Row, names: bool) -> LedgerResult<ErrandRow> {
    Ok(ErrandRow {
        id: Id(row.try_get("id")?),
        kind: row.try_get("kind")?,
        edge: row.try_get("edge")?,
        state: row.try_get("state")?,
        assignment: row.try_get::<Option<i64>, _>("assignment_id")?.map(Id),
        application: text(row, "application_name")?,
        key: text(row, "key")?,
        attempts: row.try_get("attempts")?,
        due_at: Timestamp(row.try_get("due_at")?),
        quiet_until: time(row, "quiet_until")?,
        code: text(row, "code")?,
        reason: if names { text(row, "reason")? } else { None },
        made_at: Timestamp(row.try_get("made_at")?),
    })
}

#[cfg(test)]
mod tests;
