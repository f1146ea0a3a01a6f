//! Loading finished history: an import, or the sandbox's past.

use std::collections::BTreeMap;

use crate::ledger::engine::{Conn, query};
use serde_json::json;

use super::super::{LedgerError, LedgerResult, Past, Receipt, ReceiptContent, Recorded};
use super::journal::{self, Move};
use super::record::{From, record};
use super::{Shared, persons, rows};
use crate::model::{Assignment, Key, Person, State};

/// Loads what is not known yet; returns how many.
pub(in crate::ledger) async fn load(tx: &mut Conn, shared: &Shared, past: &[Past]) -> LedgerResult<usize> {
    let receipts: Vec<Receipt> = past
        .iter()
        .map(|p| Receipt {
            source: p.assignment.source.clone(),
            event_id: format!("history/{}", p.assignment.natural_key()),
            digest: "history".to_owned(),
            received_at: p.received_at,
            content: ReceiptContent::Order(Box::new(p.assignment.clone())),
        })
        .collect();
    let shared = &shared.in_the_past();
    let results = record(tx, shared, &receipts.iter().collect::<Vec<_>>(), From::Push).await?;
    let (mut updates, mut tickets, mut persons, mut loaded) = (Vec::new(), Vec::new(), BTreeMap::new(), 0);
    for (p, result) in past.iter().zip(results) {
        let Recorded::New { id } = result else { continue };
        loaded += 1;
        let ticket = shared.ids.next(p.received_at).0;
        let step = |to, event: &'static str, at, clock: &str| {
            let step = Move::ours(id.0, Some(to), event, at).cause("loaded from history");
            (if clock.is_empty() { step } else { step.by_clock_of(clock, at) }, at)
        };
        for (step, seen_at) in [
            step(State::Due, "due", p.filed_at, ""),
            step(State::Sending, "sending", p.filed_at, ""),
            step(State::Open, "filed", p.filed_at, ""),
            step(State::Closed, "closed", p.closed_at, &p.desk),
            step(State::Reported, "reported", p.reported_at, ""),
        ] {
            journal::apply(tx, &[step], seen_at).await?;
        }
        if let Some(at) = p.proven_at {
            let (step, seen_at) = step(State::Proven, "proven", at, &p.assignment.source);
            journal::apply(tx, &[step], seen_at).await?;
        }
        let desk = format!("desk/{}", p.desk);
        let of_order = people(&p.assignment).map(|person| (p.assignment.source.as_str(), person));
        for (source, person) in of_order.chain(p.closed_by.iter().map(|person| (desk.as_str(), person))) {
            let row = persons::person_row(shared, source, person, p.closed_at);
            // The latest that is known of each counts, and each is written once.
            persons.insert(shared.person(source, &person.id), row);
        }
        updates.push(json!({"id": id.0, "eligible": p.eligible_at, "desk": p.desk, "group": p.admin_group, "ticket": ticket, "filed": p.filed_at,
            "work": p.first_work_at, "closed": p.closed_at, "reported": p.reported_at, "outcome": p.outcome}));
        let key = Key::of(&shared.instance, &[&p.assignment.natural_key()], 1);
        tickets.push(json!({"id": ticket, "key": key, "desk": p.desk, "group": p.admin_group, "ref": format!("past-{}", p.number), "num": p.number,
            "outcome": p.outcome, "filed": p.filed_at, "work": p.first_work_at, "closed": p.closed_at, "a": id.0,
            "by": p.closed_by.as_ref().map(|person| shared.person(&desk, &person.id))}));
    }
    write(tx, &updates, &tickets).await?;
    persons::insert_persons(tx, persons.into_values().collect()).await?;
    Ok(loaded)
}

/// Everybody whom an order names.
fn people(order: &Assignment) -> impl Iterator<Item = &Person> {
    let approvers = order.approvals.iter().map(|approval| &approval.by);
    std::iter::once(&order.beneficiary).chain(&order.requester).chain(approvers)
}

async fn write(tx: &mut Conn, updates: &[serde_json::Value], tickets: &[serde_json::Value]) -> LedgerResult<()> {
    if updates.is_empty() {
        return Ok(());
    }
    query(
        "UPDATE assignment SET eligible_at = CAST(j.value->>'eligible' AS BIGINT), due_at = CAST(j.value->>'filed' AS BIGINT), desk = j.value->>'desk', admin_group = j.value->>'group',
            ticket_id = CAST(j.value->>'ticket' AS BIGINT), filed_at = CAST(j.value->>'filed' AS BIGINT), first_work_at = CAST(j.value->>'work' AS BIGINT), closed_at = CAST(j.value->>'closed' AS BIGINT),
            reported_at = CAST(j.value->>'reported' AS BIGINT), outcome = j.value->>'outcome', closings = 1
         FROM json_each($1) AS j WHERE assignment.id = CAST(j.value->>'id' AS BIGINT)",
    )
    .bind(rows(updates)?)
    .execute(&mut *tx)
    .await?;
    let text = rows(tickets)?;
    query(
        "INSERT INTO ticket (id, key, desk, admin_group, route, state, ref_id, ref_number, template, template_version, catalog_version, category,
            status, outcome, key_confirmed, planned_at, filed_at, first_work_at, closed_at, closed_by)
         SELECT CAST(value->>'id' AS BIGINT), value->>'key', value->>'desk', value->>'group', 'history', 'closed', value->>'ref', value->>'num', 'history', '-', '-',
            'closed', 'closed', value->>'outcome', 1, CAST(value->>'filed' AS BIGINT), CAST(value->>'filed' AS BIGINT), CAST(value->>'work' AS BIGINT), CAST(value->>'closed' AS BIGINT),
            value->>'by' FROM json_each($1) WHERE true",
    )
    .bind(&text)
    .execute(&mut *tx)
    .await
    .map_err(LedgerError::from)?;
    query(
        "INSERT INTO ticket_item (ticket_id, assignment_id, revision, outcome)
         SELECT CAST(value->>'id' AS BIGINT), CAST(value->>'a' AS BIGINT), 1, value->>'outcome' FROM json_each($1) WHERE true",
    )
    .bind(&text)
    .execute(tx)
    .await?;
    Ok(())
}
