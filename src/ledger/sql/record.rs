//! Intake: inbox, assignment and journal in one transaction, for many events at once.

use std::collections::{HashMap, HashSet};

use crate::ledger::engine::{Conn, query, query_as};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::{Arrival, Arrived, BRIDGE, Leased, LedgerError, LedgerResult, Receipt, ReceiptContent, Recorded};
use super::journal::{JournalLine, Move};
use super::planning::Writes;
use super::{Shared, document, rows};
use crate::model::{Assignment, Id, Operation, State, Timestamp};

mod change;
mod foreseen;
mod insert;
mod leave;
mod reinstate;
mod seen;
mod withdraw;

pub(in crate::ledger) use change::drop_unsent;
use foreseen::{Asked, Busy};
#[cfg(test)]
pub(super) use insert::INSERT;
use insert::{InboxRow, NewAssignment, inbox_row, insert, new_assignment};
pub(in crate::ledger) use reinstate::reinstate;
pub(in crate::ledger) use seen::after_report;
pub(in crate::ledger) use withdraw::{range_of, withdraw};

/// An order the ledger has, as far as intake needs to know it.
#[derive(Debug, Clone)]
struct Known {
    id: i64,
    digest: String,
    revision: i64,
    /// When its present content arrived.
    seen_at: i64,
}

/// An event the ledger has.
struct KnownEvent {
    digest: String,
    assignment: Option<i64>,
    /// Its quarantine row, where it did not map.
    held: Option<i64>,
}

/// How events reached us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) enum From {
    /// The sender's own messages: each says something once.
    Push,
    /// Rows of a list that was asked for: each says how things stand.
    List,
}

/// Everything one batch will write.
#[derive(Default)]
struct Plan {
    inbox: Vec<InboxRow>,
    assignments: Vec<NewAssignment>,
    journal: Vec<JournalLine>,
    quarantine: Vec<Value>,
    changes: Vec<change::Change>,
    withdrawals: Vec<(String, String, Option<Operation>, Timestamp)>,
    leavers: Vec<leave::Leaver>,
    /// Places of receipts that say what the application shows.
    seen: Vec<usize>,
    /// Events that were in quarantine and map now.
    released: Vec<Value>,
}

/// Records a batch; each result belongs to the receipt at its place.
pub(in crate::ledger) async fn record(
    tx: &mut Conn,
    shared: &Shared,
    receipts: &[&Receipt],
    from: From,
) -> LedgerResult<Vec<Recorded>> {
    let (known, _) = known(tx, receipts, &Asked::default()).await?;
    let (plan, mut results, any) = sort(shared, receipts, from, known)?;
    let nothing = (Writes::new(shared), Timestamp(0));
    write(tx, shared, (plan, nothing), any, &mut results, receipts).await?;
    Ok(results)
}

/// As [`record`], of what was sent, and carries out what is foreseen of it.
pub(in crate::ledger) async fn take_in(
    tx: &mut Conn,
    shared: &Shared,
    arrivals: &[&Arrival],
) -> LedgerResult<Vec<(Arrived, Option<Leased>)>> {
    let receipts: Vec<&Receipt> = arrivals.iter().map(|arrival| &arrival.receipt).collect();
    let (known, busy) = known(tx, &receipts, &Asked::of(shared, arrivals)?).await?;
    let (mut plan, mut results, any) = sort(shared, &receipts, From::Push, known)?;
    let mut foreseen = foreseen::carry_out(shared, arrivals, &results, busy, &mut plan)?;
    let made = foreseen.take_made();
    write(tx, shared, (plan, made), any, &mut results, &receipts).await?;
    Ok(foreseen.told(results))
}

/// What becomes of each event, without touching the database.
fn sort(
    shared: &Shared,
    receipts: &[&Receipt],
    from: From,
    (mut events, mut orders, any): KnownOfAll,
) -> LedgerResult<(Plan, Vec<Recorded>, Any)> {
    let forged = forged(&events, receipts);
    let mut plan = Plan::default();
    let mut results = Vec::with_capacity(receipts.len());
    for receipt in receipts {
        if !forged.is_empty() && forged.contains(&body_of(receipt)) {
            results.push(Recorded::Conflict);
            continue;
        }
        let place = (receipt.source.clone(), receipt.event_id.clone());
        let result = match events.get(&place) {
            Some(known) if known.digest != receipt.digest => Recorded::Conflict,
            Some(known) => match again(&mut plan, &mut orders, shared, receipt, known, from)? {
                // It is a new event now, recorded below like any other.
                None => sort_one(&mut plan, &mut orders, shared, receipt, from)?,
                Some(result) => result,
            },
            None => sort_one(&mut plan, &mut orders, shared, receipt, from)?,
        };
        if let (Some(person), Recorded::Withdrawn { .. }) = (leave::leaver_of(receipt), &result) {
            plan.leavers.push((results.len(), shared.person(&receipt.source, person)));
        }
        if matches!(result, Recorded::Seen { .. }) {
            plan.seen.push(results.len());
        }
        let (assignment, held) = match &result {
            Recorded::New { id } | Recorded::Unchanged { id } | Recorded::Changed { id, .. } => (Some(id.0), None),
            Recorded::Quarantined { id } => (None, Some(id.0)),
            Recorded::Repeat { .. } | Recorded::Conflict => {
                results.push(result);
                continue;
            }
            Recorded::Withdrawn { .. } | Recorded::Seen { .. } | Recorded::UnknownOrder => (None, None),
        };
        events.insert(place, KnownEvent { digest: receipt.digest.clone(), assignment, held });
        results.push(result);
    }
    Ok((plan, results, any))
}

/// Source, sender's id and digest of the body that an event came in; several events of one body share them.
fn body_of(receipt: &Receipt) -> (&str, &str, &str) {
    let sender = receipt.event_id.split_once('#').map_or(receipt.event_id.as_str(), |(id, _)| id);
    (&receipt.source, sender, &receipt.digest)
}

/// Bodies of which one event is known with another body: nothing of them is taken.
fn forged<'a>(events: &EventMap, receipts: &[&'a Receipt]) -> HashSet<(&'a str, &'a str, &'a str)> {
    if events.is_empty() {
        return HashSet::new();
    }
    let known = |r: &Receipt| events.get(&(r.source.clone(), r.event_id.clone())).is_some_and(|e| e.digest != r.digest);
    receipts.iter().filter(|r| known(r)).map(|r| body_of(r)).collect()
}

/// What a known event with the same body is now; `None`: it was in quarantine and maps now.
fn again(
    plan: &mut Plan,
    orders: &mut HashMap<String, Known>,
    shared: &Shared,
    receipt: &Receipt,
    known: &KnownEvent,
    from: From,
) -> LedgerResult<Option<Recorded>> {
    let repeat = Recorded::Repeat { id: known.assignment.map(Id) };
    Ok(match (known.held, &receipt.content, from) {
        (Some(id), ReceiptContent::Unmappable { .. }, From::Push) => Some(Recorded::Quarantined { id: Id(id) }),
        (_, ReceiptContent::Unmappable { .. }, _) => Some(repeat),
        (Some(_), _, _) => {
            plan.released.push(json!({"s": receipt.source, "e": receipt.event_id, "at": receipt.received_at.0}));
            None
        }
        // A row that says again what it said before the last change: the list is how things stand.
        (None, ReceiptContent::Order(assignment), From::List) => {
            match take_order(plan, orders, shared, receipt, assignment, from, Seen::Before)? {
                Recorded::Unchanged { .. } => Some(repeat),
                changed => Some(changed),
            }
        }
        _ => Some(repeat),
    })
}

/// Whether an event's id has its inbox row.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    Never,
    Before,
}

/// Decides what one event is, without touching the database.
fn sort_one(
    plan: &mut Plan,
    orders: &mut HashMap<String, Known>,
    shared: &Shared,
    receipt: &Receipt,
    from: From,
) -> LedgerResult<Recorded> {
    match &receipt.content {
        ReceiptContent::Order(assignment) => take_order(plan, orders, shared, receipt, assignment, from, Seen::Never),
        ReceiptContent::Withdrawn { external_id, operation } => {
            plan.withdrawals.push((receipt.source.clone(), external_id.clone(), *operation, receipt.received_at));
            // Counted after the write: the orders may stand earlier in this very batch.
            Ok(Recorded::Withdrawn { assignments: 0 })
        }
        ReceiptContent::Left { .. } => Ok(Recorded::Withdrawn { assignments: 0 }),
        ReceiptContent::Seen { .. } => Ok(Recorded::Seen { assignments: 0 }),
        ReceiptContent::Unmappable { problem, body } => {
            let id = shared.ids.next(receipt.received_at);
            plan.quarantine
                .push(json!({"id": id.0, "source": receipt.source, "event": receipt.event_id, "digest": receipt.digest,
                "at": receipt.received_at.0, "problem": problem, "body": body}));
            Ok(Recorded::Quarantined { id })
        }
    }
}

fn take_order(
    plan: &mut Plan,
    orders: &mut HashMap<String, Known>,
    shared: &Shared,
    receipt: &Receipt,
    assignment: &Assignment,
    from: From,
    seen: Seen,
) -> LedgerResult<Recorded> {
    let natural_key = assignment.natural_key();
    let document = serde_json::to_string(assignment).map_err(|e| LedgerError::Corrupt(e.to_string()))?;
    let digest = hex::encode(&Sha256::digest(document.as_bytes())[..16]);
    let document_id = shared.ids.next(receipt.received_at).0;
    if let Some(known) = orders.get_mut(&natural_key) {
        let unchanged = known.digest == digest;
        // What arrived while the list was read is newer than the list; the next round shows it.
        let stale = from == From::List && !unchanged && known.seen_at > receipt.received_at.0;
        if stale || (unchanged && seen == Seen::Before) {
            return Ok(Recorded::Unchanged { id: Id(known.id) });
        }
        let event = match seen {
            Seen::Never => receipt.event_id.clone(),
            Seen::Before => format!("{}~{}", receipt.event_id, known.revision + 1),
        };
        let (answer, kept) = if unchanged { ("unchanged", None) } else { ("changed", Some(document)) };
        plan.inbox.push(inbox_row(receipt, &event, document_id, answer, known.id, kept));
        if unchanged {
            return Ok(Recorded::Unchanged { id: Id(known.id) });
        }
        known.digest.clone_from(&digest);
        known.revision += 1;
        known.seen_at = receipt.received_at.0;
        plan.changes.push(change::Change {
            id: known.id,
            revision: known.revision,
            document_id,
            digest,
            at: receipt.received_at,
            assignment: assignment.clone(),
        });
        return Ok(Recorded::Changed { id: Id(known.id), revision: known.revision });
    }
    let id = shared.ids.next(receipt.received_at);
    plan.inbox.push(inbox_row(receipt, &receipt.event_id, document_id, "new", id.0, Some(document)));
    let step = Move::ours(id.0, None, "received", receipt.received_at).cause("the platform ordered it");
    let line = JournalLine::chain("", 1, State::Received, &step, receipt.received_at);
    plan.assignments.push(new_assignment(
        shared,
        receipt,
        assignment,
        id.0,
        &natural_key,
        &digest,
        document_id,
        line.hash.clone(),
    ));
    plan.journal.push(line);
    orders.insert(natural_key, Known { id: id.0, digest, revision: 1, seen_at: receipt.received_at.0 });
    Ok(Recorded::New { id })
}

async fn write(
    tx: &mut Conn,
    shared: &Shared,
    (plan, made): (Plan, (Writes<'_>, Timestamp)),
    any: Any,
    results: &mut [Recorded],
    receipts: &[&Receipt],
) -> LedgerResult<()> {
    if !plan.released.is_empty() {
        release(tx, &plan.released).await?;
    }
    let known_by_name = any.early || any.left;
    let assignments = if known_by_name { plan.assignments.clone() } else { Vec::new() };
    insert(tx, plan.assignments, plan.journal, plan.inbox, made).await?;
    if !plan.quarantine.is_empty() {
        quarantine(tx, &plan.quarantine).await?;
    }
    if !plan.changes.is_empty() {
        change::apply(tx, shared, &plan.changes).await?;
    }
    if any.early {
        for (source, external_id, operation, at) in withdraw::early(tx, &assignments).await? {
            withdraw(tx, shared, &source, &external_id, operation, at, "the platform took it back before it arrived").await?;
        }
    }
    if !plan.withdrawals.is_empty() {
        withdraw::apply(tx, shared, &plan.withdrawals, results, receipts).await?;
    }
    if any.left && !assignments.is_empty() {
        leave::met(tx, shared, &assignments).await?;
    }
    if !plan.leavers.is_empty() {
        leave::apply(tx, shared, &plan.leavers, results, receipts).await?;
    }
    if !plan.seen.is_empty() {
        seen::apply(tx, shared, &plan.seen, results, receipts).await?;
    }
    Ok(())
}

/// Makes way for quarantined events that map now.
async fn release(tx: &mut Conn, released: &[Value]) -> LedgerResult<()> {
    let text = rows(released)?;
    query(
        "UPDATE quarantine SET state = 'replayed', body = NULL, settled_at = CAST(j.value->>'at' AS BIGINT), settled_by = $2
         FROM json_each($1) AS j WHERE quarantine.source = j.value->>'s' AND quarantine.event_id = j.value->>'e' AND quarantine.state = 'held'",
    )
    .bind(&text)
    .bind(BRIDGE)
    .execute(&mut *tx)
    .await?;
    query(
        "DELETE FROM inbox WHERE answer = 'quarantined' AND (source, event_id) IN
            (SELECT value->>'s', value->>'e' FROM json_each($1))",
    )
    .bind(&text)
    .execute(tx)
    .await?;
    Ok(())
}

/// Quarantined events get an inbox row too, so that a repeat is a repeat and a forgery a conflict.
async fn quarantine(tx: &mut Conn, held: &[Value]) -> LedgerResult<()> {
    let text = rows(held)?;
    query(
        "INSERT INTO quarantine (id, source, event_id, digest, received_at, problem, body, state)
         SELECT CAST(value->>'id' AS BIGINT), value->>'source', value->>'event', value->>'digest', CAST(value->>'at' AS BIGINT), value->>'problem', value->>'body', 'held'
         FROM json_each($1) WHERE true",
    )
    .bind(&text)
    .execute(&mut *tx)
    .await?;
    query(
        "INSERT INTO inbox (id, source, event_id, digest, received_at, answer)
         SELECT CAST(value->>'id' AS BIGINT), value->>'source', value->>'event', value->>'digest', CAST(value->>'at' AS BIGINT), 'quarantined' FROM json_each($1) WHERE true",
    )
    .bind(&text)
    .execute(tx)
    .await?;
    Ok(())
}

type EventMap = HashMap<(String, String), KnownEvent>;
/// Source, event id, digest, assignment, quarantine row.
type EventRow = (String, String, String, Option<i64>, Option<i64>);

type OrderMap = HashMap<String, Known>;
/// Natural key, assignment, digest, revision, when its content arrived.
type OrderRow = (String, i64, String, i64, i64);

/// What there is at all that new orders must be held against.
#[derive(Clone, Copy)]
struct Any {
    /// A withdrawal waits for its order.
    early: bool,
    /// Somebody left.
    left: bool,
}

type KnownOfAll = (EventMap, OrderMap, Any);

/// What the ledger has of these events and their orders, and of what is foreseen.
async fn known(tx: &mut Conn, receipts: &[&Receipt], foreseen: &Asked) -> LedgerResult<(KnownOfAll, Busy)> {
    let asked: Vec<(&str, &str)> = receipts.iter().map(|r| (r.source.as_str(), r.event_id.as_str())).collect();
    let keys: Vec<String> = receipts
        .iter()
        .filter_map(|r| if let ReceiptContent::Order(a) = &r.content { Some(a.natural_key()) } else { None })
        .collect();
    let (events, orders, early, left, lanes, leavers, withdrawn): (String, String, bool, bool, String, String, String) = query_as(
        "SELECT (SELECT json_group_array(json_array(i.source, i.event_id, i.digest, i.assignment_id, CASE WHEN i.answer = 'quarantined' THEN
                    (SELECT q.id FROM quarantine AS q WHERE q.source = i.source AND q.event_id = i.event_id) END))
                 FROM json_each($1) AS j CROSS JOIN inbox AS i WHERE i.source = j.value->>0 AND i.event_id = j.value->>1),
                (SELECT json_group_array(json_array(a.natural_key, a.id, a.content_digest, a.revision, COALESCE(i.received_at, 0)))
                 FROM json_each($2) AS j CROSS JOIN assignment AS a LEFT JOIN inbox AS i ON i.id = a.document_id
                 WHERE a.natural_key = CAST(j.value AS TEXT)),
                EXISTS (SELECT 1 FROM early_withdrawal), EXISTS (SELECT 1 FROM leaver),
                (SELECT json_group_array(p.lane) FROM json_each($3) AS j CROSS JOIN assignment AS p WHERE p.lane = CAST(j.value AS TEXT)
                    AND p.closed_at IS NULL AND p.state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework')),
                (SELECT json_group_array(l.person) FROM json_each($4) AS j CROSS JOIN leaver AS l WHERE l.person = CAST(j.value AS TEXT)),
                (SELECT json_group_array(json_array(w.source, w.external_id)) FROM json_each($5) AS j CROSS JOIN early_withdrawal AS w
                 WHERE w.source = j.value->>0 AND w.external_id = j.value->>1)",
    )
    .bind(rows(&asked)?)
    .bind(rows(&keys)?)
    .bind(&foreseen.lanes)
    .bind(&foreseen.persons)
    .bind(&foreseen.orders)
    .fetch_one(tx)
    .await?;
    let event = |(source, event, digest, assignment, held)| ((source, event), KnownEvent { digest, assignment, held });
    let order = |(key, id, digest, revision, seen_at)| (key, Known { id, digest, revision, seen_at });
    let events: Vec<EventRow> = document(&events)?;
    let orders: Vec<OrderRow> = document(&orders)?;
    let known = (events.into_iter().map(event).collect(), orders.into_iter().map(order).collect(), Any { early, left });
    Ok((known, Busy { lanes: document(&lanes)?, leavers: document(&leavers)?, withdrawn: document(&withdrawn)? }))
}
