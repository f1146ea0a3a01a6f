//! One assignment, whole.

use std::collections::BTreeMap;

use crate::ledger::engine::{Pool, QueryBuilder, Row, query, query_scalar};
use serde::Deserialize;

use super::{ASSIGNMENT_COLUMNS, ERRAND_COLUMNS, assignment_row, errand_row, persons, push_scope, read, text, time};
use crate::ledger::views::{AssignmentDetail, AttemptRow, ErrandRow, JournalRow, Scope, TicketRow};
use crate::ledger::{Action, BRIDGE, LedgerResult};
use crate::model::{Id, Timestamp};

/// Calls shown of one errand.
const MAX_CALLS: i64 = 50;

/// Events whose cause is always in our own words; other causes may quote a desk or a person.
const OWN_WORDS: [&str; 22] = [
    "received",
    "planned",
    "due",
    "sending",
    "filed",
    "told",
    "reported",
    "cleared",
    "superseded",
    "withdrawn",
    "retried",
    "unparked",
    "paused",
    "resumed",
    "progress",
    "progress_dropped",
    "progress_refused",
    "hurried",
    "was_closed",
    "double_kept",
    "close_refused",
    "text_kept",
];

/// The erasable part of an order that the page shows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Words {
    reason: Option<String>,
}

/// One assignment, whole; `None` when it does not exist or is out of scope.
pub(in crate::ledger) async fn assignment(
    pool: &Pool,
    id: Id,
    scope: &Scope,
    names: bool,
) -> LedgerResult<Option<AssignmentDetail>> {
    let mut query = QueryBuilder::new("SELECT a.persons, a.answer_by, i.document, ");
    query.push(ASSIGNMENT_COLUMNS).push(" LEFT JOIN inbox AS i ON i.id = a.document_id WHERE a.id = ").push_bind(id.0);
    push_scope(&mut query, "a.application_id", scope);
    let Some(found) = query.build().fetch_optional(pool).await? else { return Ok(None) };
    let mut detail = AssignmentDetail {
        row: assignment_row(&found, names)?,
        requester: None,
        approvers: Vec::new(),
        reason: None,
        answer_by: time(&found, "answer_by")?,
        tickets: tickets(pool, id, names).await?,
        journal: journal(pool, id, names).await?,
        errands: errands(pool, id, names).await?,
        attempts: Vec::new(),
    };
    detail.attempts = attempts(pool, &detail.errands).await?;
    if names {
        add_persons(pool, &found, &mut detail).await?;
    }
    Ok(Some(detail))
}

async fn add_persons(pool: &Pool, found: &Row, detail: &mut AssignmentDetail) -> LedgerResult<()> {
    let persons = persons(found)?;
    if let Some(document) = text(found, "document")? {
        detail.reason = read::<Words>(&document)?.reason;
    }
    let hashes: Vec<&str> =
        persons.requester.iter().map(String::as_str).chain(persons.approvers.iter().map(|a| a.by.as_str())).collect();
    let known = names_of(pool, &hashes).await?;
    detail.requester = persons.requester.and_then(|hash| known.get(&hash).cloned());
    detail.approvers = persons.approvers.into_iter().filter_map(|a| known.get(&a.by).cloned()).collect();
    Ok(())
}

async fn names_of(pool: &Pool, hashes: &[&str]) -> LedgerResult<BTreeMap<String, String>> {
    if hashes.is_empty() {
        return Ok(BTreeMap::new());
    }
    let mut query = QueryBuilder::new("SELECT hash, COALESCE(name, external_id) FROM person WHERE hash IN (");
    let mut list = query.separated(", ");
    for hash in hashes {
        list.push_bind((*hash).to_owned());
    }
    query.push(")");
    let rows: Vec<(String, Option<String>)> = query.build_query_as().fetch_all(pool).await?;
    Ok(rows.into_iter().filter_map(|(hash, name)| Some((hash, name?))).collect())
}

async fn tickets(pool: &Pool, id: Id, names: bool) -> LedgerResult<Vec<TicketRow>> {
    let rows = query(
        "SELECT t.id, t.key, t.desk, t.admin_group, t.route, t.state, t.ref_number, t.url, t.status, t.resolution, t.desk_group,
            t.template, t.template_version, t.catalog_version, t.words, t.evidence, COALESCE(p.name, p.external_id) AS closer
         FROM ticket_item AS i JOIN ticket AS t ON t.id = i.ticket_id LEFT JOIN person AS p ON p.hash = t.closed_by
         WHERE i.assignment_id = $1 ORDER BY t.id",
    )
    .bind(id.0)
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(TicketRow {
                id: Id(row.try_get("id")?),
                key: row.try_get("key")?,
                desk: row.try_get("desk")?,
                admin_group: row.try_get("admin_group")?,
                route: row.try_get("route")?,
                state: row.try_get("state")?,
                number: text(row, "ref_number")?,
                url: text(row, "url")?,
                status: text(row, "status")?,
                resolution: text(row, "resolution")?,
                desk_group: text(row, "desk_group")?,
                template: row.try_get("template")?,
                template_version: row.try_get("template_version")?,
                catalog_version: row.try_get("catalog_version")?,
                closed_by: if names { text(row, "closer")? } else { None },
                words: if names { text(row, "words")? } else { None },
                evidence: match text(row, "evidence")? {
                    Some(files) if names => read(&files)?,
                    _ => Vec::new(),
                },
            })
        })
        .collect()
}

async fn journal(pool: &Pool, id: Id, names: bool) -> LedgerResult<Vec<JournalRow>> {
    let rows = query(
        "SELECT seq, happened_at, whose_clock, seen_at, event, state, actor, cause, detail, catalog_version, template_version
         FROM journal WHERE assignment_id = $1 ORDER BY seq",
    )
    .bind(id.0)
    .fetch_all(pool)
    .await?;
    rows.iter()
        .map(|row| {
            let event: String = row.try_get("event")?;
            let (actor, cause): (String, String) = (row.try_get("actor")?, row.try_get("cause")?);
            let quotable = names || OWN_WORDS.contains(&event.as_str());
            Ok(JournalRow {
                seq: row.try_get("seq")?,
                happened_at: Timestamp(row.try_get("happened_at")?),
                whose_clock: row.try_get("whose_clock")?,
                seen_at: Timestamp(row.try_get("seen_at")?),
                event,
                state: row.try_get("state")?,
                actor: if names || actor == BRIDGE { actor } else { "an operator".to_owned() },
                cause: if quotable { cause } else { String::new() },
                detail: if names { read(&row.try_get::<String, _>("detail")?)? } else { serde_json::Value::Null },
                catalog_version: text(row, "catalog_version")?,
                template_version: text(row, "template_version")?,
            })
        })
        .collect()
}

async fn errands(pool: &Pool, id: Id, names: bool) -> LedgerResult<Vec<ErrandRow>> {
    let mut query = QueryBuilder::new("SELECT ");
    query
        .push(ERRAND_COLUMNS)
        .push(" WHERE e.assignment_id = ")
        .push_bind(id.0)
        .push(" OR e.ticket_id IN (SELECT ticket_id FROM ticket_item WHERE assignment_id = ")
        .push_bind(id.0)
        .push(") ORDER BY e.id");
    query.build().fetch_all(pool).await?.iter().map(|row| errand_row(row, names)).collect()
}

/// Calls of these errands: the newest of each, should one have failed for weeks.
async fn attempts(pool: &Pool, errands: &[ErrandRow]) -> LedgerResult<Vec<AttemptRow>> {
    let mut calls = Vec::new();
    for errand in errands {
        let rows = query(
            "SELECT lease_no, what, started_at, ended_at, verdict, code FROM attempt WHERE errand_id = $1
             ORDER BY lease_no DESC LIMIT $2",
        )
        .bind(errand.id.0)
        .bind(MAX_CALLS)
        .fetch_all(pool)
        .await?;
        for row in rows.iter().rev() {
            calls.push(AttemptRow {
                errand: errand.id,
                number: row.try_get("lease_no")?,
                what: row.try_get("what")?,
                started_at: Timestamp(row.try_get("started_at")?),
                ended_at: time(row, "ended_at")?,
                verdict: text(row, "verdict")?,
                code: text(row, "code")?,
            });
        }
    }
    calls.sort_by_key(|c| (c.started_at, c.errand, c.number));
    Ok(calls)
}

/// Applications that an action would touch: all that share the errand's ticket.
pub(in crate::ledger) async fn concerns(pool: &Pool, action: &Action) -> LedgerResult<Vec<String>> {
    let query = match action {
        Action::Unpark { assignment } | Action::Decide { assignment, .. } => {
            query_scalar("SELECT application_id FROM assignment WHERE id = $1").bind(assignment.0)
        }
        Action::RetryErrand { errand }
        | Action::TicketIs { errand, .. }
        | Action::NoTicket { errand }
        | Action::Drop { errand } => query_scalar(
            "SELECT DISTINCT a.application_id FROM errand AS e
             LEFT JOIN ticket_item AS i ON i.ticket_id = e.ticket_id
             JOIN assignment AS a ON a.id IN (e.assignment_id, i.assignment_id) WHERE e.id = $1 ORDER BY 1",
        )
        .bind(errand.0),
        Action::Repair { finding } | Action::Dismiss { finding } => query_scalar(
            "SELECT a.application_id FROM finding AS f JOIN assignment AS a ON a.id = f.assignment_id WHERE f.id = $1",
        )
        .bind(finding.0),
        Action::Discard { .. } => return Ok(Vec::new()),
    };
    Ok(query.fetch_all(pool).await?)
}
