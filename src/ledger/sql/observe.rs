//! What desks say of our tickets: recorded, and turned into the life of their assignments.

mod held;

use std::collections::{HashMap, HashSet};

use crate::ledger::engine::{Conn, query, query_as};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::{LedgerResult, Observation};
use super::journal::{self, Move};
use super::progress::{self, Taken};
use super::settle::{after, park};
use super::{Shared, document, persons, rows};
use crate::model::progress::Step;
use crate::model::ticket::{Category, TicketReading, TicketRef, TicketStatus};
use crate::model::{Outcome, State, Timestamp};

pub(in crate::ledger) use held::{held, open_tickets, risky_tickets, tickets_to_check, tickets_to_compare};

/// `checked_at` of a ticket that could not be read; 0 is one that nobody looked at yet.
const UNREAD: i64 = 1;

#[derive(Debug, Deserialize)]
struct Ticket {
    id: i64,
    key: String,
    desk: String,
    state: String,
    ref_number: Option<String>,
    category: Option<String>,
    desk_group: Option<String>,
    first_work_at: Option<i64>,
    outcome: Option<String>,
    key_confirmed: i64,
    desk_updated_at: Option<i64>,
}

#[derive(Debug, Deserialize)]
struct Item {
    ticket: i64,
    id: i64,
    state: String,
    parked_code: Option<String>,
}

/// Records observations; returns how many tickets changed. Of most tickets there is no news, or only their status is new:
/// those are read and written together.
pub(in crate::ledger) async fn observe(
    tx: &mut Conn,
    shared: &Shared,
    observations: &[Observation],
    now: Timestamp,
) -> LedgerResult<usize> {
    let (mut changed, mut rest) = (0, observations);
    while !rest.is_empty() {
        // A ticket that is seen again must be seen as the first sight left it.
        let mut seen = HashSet::new();
        let (round, left) = rest.split_at(rest.iter().take_while(|o| seen.insert(ticket_of(o))).count());
        changed += observe_each_once(tx, shared, round, now).await?;
        rest = left;
    }
    Ok(changed)
}

fn ticket_of(observation: &Observation) -> i64 {
    match observation {
        Observation::Seen { ticket_id, .. }
        | Observation::Closed { ticket_id, .. }
        | Observation::Gone { ticket_id }
        | Observation::Unreadable { ticket_id, .. } => ticket_id.0,
    }
}

async fn observe_each_once(tx: &mut Conn, shared: &Shared, observations: &[Observation], now: Timestamp) -> LedgerResult<usize> {
    let ids: Vec<i64> = observations.iter().map(ticket_of).collect();
    let (tickets, items): (String, String) = query_as(
        "SELECT (SELECT json_group_array(json_object('id', id, 'key', key, 'desk', desk, 'state', state, 'ref_number', ref_number,
                    'category', category, 'desk_group', desk_group, 'first_work_at', first_work_at, 'outcome', outcome,
                    'key_confirmed', key_confirmed, 'desk_updated_at', desk_updated_at)) FROM ticket WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))),
                (SELECT json_group_array(json_object('ticket', ti.ticket_id, 'id', a.id, 'state', a.state, 'parked_code', a.parked_code))
                 FROM ticket_item AS ti JOIN assignment AS a ON a.id = ti.assignment_id
                 WHERE ti.ticket_id IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) AND a.ticket_id = ti.ticket_id)",
    )
    .bind(rows(&ids)?)
    .fetch_one(&mut *tx)
    .await?;
    let tickets: Vec<Ticket> = document(&tickets)?;
    let mut tickets: HashMap<i64, Ticket> = tickets.into_iter().map(|t| (t.id, t)).collect();
    let mut items_of: HashMap<i64, Vec<Item>> = HashMap::with_capacity(tickets.len());
    for item in document::<Vec<Item>>(&items)? {
        items_of.entry(item.ticket).or_default().push(item);
    }
    let (mut changed, mut sights) = (0, Sights::default());
    for observation in observations {
        let Some(ticket) = tickets.remove(&ticket_of(observation)) else { continue };
        let items = items_of.remove(&ticket.id).unwrap_or_default();
        let mut step = Observed { ticket, items, moves: Vec::new(), now };
        changed += usize::from(match observation {
            Observation::Seen { status, .. } => step.seen(tx, status, &mut sights).await?,
            Observation::Closed { reading, .. } => step.closed(tx, shared, reading, &mut sights).await?,
            Observation::Gone { .. } => step.gone(tx).await?,
            Observation::Unreadable { .. } => step.unread(tx).await?,
        });
    }
    sights.write(tx, shared, now).await?;
    Ok(changed)
}

/// What was seen of tickets that are not closed; written at the end of a batch.
#[derive(Default)]
struct Sights {
    tickets: Vec<Value>,
    /// Assignments on which work began: since when.
    begun: Vec<Value>,
    moves: Vec<Move>,
    /// Steps that platforms may want to know of.
    steps: Vec<Taken>,
}

impl Sights {
    async fn write(self, tx: &mut Conn, shared: &Shared, now: Timestamp) -> LedgerResult<()> {
        if self.tickets.is_empty() {
            return Ok(());
        }
        query(
            "WITH j (v) AS MATERIALIZED (SELECT value FROM json_each($1))
             UPDATE ticket SET category = v->>'category', status = v->>'status', resolution = v->>'resolution',
                desk_group = COALESCE(v->>'group', desk_group), group_hops = group_hops + CAST(v->>'hop' AS BIGINT), assigned = CAST(v->>'assigned' AS BIGINT),
                desk_updated_at = CAST(v->>'updated' AS BIGINT), checked_at = $3, first_work_at = COALESCE(first_work_at, CAST(v->>'begun' AS BIGINT)),
                key_confirmed = MAX(key_confirmed, CAST(v->>'key' AS BIGINT)), state = CASE WHEN CAST(v->>'open' AS BIGINT) = 1 THEN 'open' ELSE state END
             FROM j WHERE ticket.id = CAST(v->>'id' AS BIGINT);
             UPDATE assignment SET first_work_at = CAST(j.value->>1 AS BIGINT) FROM json_each($2) AS j
             WHERE assignment.id = CAST(j.value->>0 AS BIGINT) AND first_work_at IS NULL",
        )
        .bind(rows(&self.tickets)?)
        .bind(rows(&self.begun)?)
        .bind(now.0)
        .execute(&mut *tx)
        .await?;
        journal::apply(tx, &self.moves, now).await?;
        progress::owe(tx, shared, &self.steps, now).await
    }
}

struct Observed {
    ticket: Ticket,
    items: Vec<Item>,
    moves: Vec<Move>,
    now: Timestamp,
}

impl Observed {
    async fn checked(&self, tx: &mut Conn) -> LedgerResult<bool> {
        query("UPDATE ticket SET checked_at = $2 WHERE id = $1").bind(self.ticket.id).bind(self.now.0).execute(tx).await?;
        Ok(false)
    }

    /// Looked at again soon, and ahead of the full pass: what is unreadable is neither lost nor in anybody's way.
    async fn unread(&self, tx: &mut Conn) -> LedgerResult<bool> {
        query("UPDATE ticket SET checked_at = $2 WHERE id = $1").bind(self.ticket.id).bind(UNREAD).execute(tx).await?;
        Ok(false)
    }

    fn each(&mut self, to: Option<State>, event: &'static str, cause: &str, at: Timestamp, detail: &Value) {
        for item in &self.items {
            let step = Move::ours(item.id, to, event, self.now)
                .by_clock_of(&self.ticket.desk, at)
                .cause(cause)
                .detail(detail.clone())
                .if_it_may();
            self.moves.push(Move { actor: self.ticket.desk.clone(), ..step });
        }
    }

    /// The bulk status of a ticket that is not closed, or closed without an outcome.
    async fn seen(&mut self, tx: &mut Conn, status: &TicketStatus, sights: &mut Sights) -> LedgerResult<bool> {
        let at = status.updated_at.unwrap_or(self.now);
        let open_now = matches!(status.category, Category::Open | Category::InProgress | Category::Waiting);
        // What an operator closed here was never closed on the desk: its being open there is no news.
        let reopened = self.ticket.state == "closed" && self.ticket.category.as_deref() == Some("closed") && open_now;
        if reopened {
            self.reopen(tx, at).await?;
        }
        let begun = status.category == Category::InProgress || (status.assigned && open_now);
        let first_work = (self.ticket.first_work_at.is_none() && begun).then_some(at);
        let (waited, waits) = (self.ticket.category.as_deref() == Some("waiting"), status.category == Category::Waiting);
        let step = match () {
            () if waits && !waited => Some(Step::Waiting),
            () if reopened => Some(Step::Reopened),
            () if first_work.is_some() || (waited && open_now && !waits) => Some(Step::InWork),
            () => None,
        };
        if let Some(step) = step {
            sights.steps.extend(self.items.iter().map(|i| Taken { assignment: i.id, step, at }));
        }
        if first_work.is_some() {
            self.each(None, "work_began", "somebody of the admin group works on it", at, &json!({"status": status.status}));
        } else if self.ticket.category.as_deref() != Some(status.category.as_str()) && !reopened && !waits && !waited {
            self.each(None, "status", &format!("the desk says {}", status.status), at, &json!({"category": status.category}));
        }
        if waits && !waited {
            self.each(None, "paused", "it waits for somebody outside the admin group", at, &json!({"status": status.status}));
        } else if waited && !waits {
            self.each(None, "resumed", "it waits no longer", at, &json!({"status": status.status}));
        }
        let moved = self.ticket.desk_group.is_some() && status.group.is_some() && self.ticket.desk_group != status.group;
        if moved {
            self.each(None, "moved", "it was given to another group", at, &json!({"group": status.group}));
        }
        self.renamed(tx, &status.ticket, at).await?;
        let trouble = self.trouble(status);
        self.marks(tx, trouble).await?;
        sights.tickets.push(json!({"id": self.ticket.id, "category": status.category.as_str(), "status": status.status,
            "resolution": status.resolution, "group": status.group, "hop": i64::from(moved), "assigned": i64::from(status.assigned),
            "updated": status.updated_at, "begun": first_work,
            "key": i64::from(status.key.as_ref().is_some_and(|k| k.as_str() == self.ticket.key)),
            "open": i64::from(reopened || (self.ticket.state == "gone" && open_now))}));
        if let Some(first) = first_work {
            sights.begun.extend(self.items.iter().map(|i| json!([i.id, first])));
        }
        let changed = !self.moves.is_empty();
        sights.moves.append(&mut self.moves);
        Ok(changed)
    }

    /// A ticket that was moved to another project or table has another number there; its id stays.
    async fn renamed(&mut self, tx: &mut Conn, now: &TicketRef, at: Timestamp) -> LedgerResult<()> {
        let Some(old) = self.ticket.ref_number.clone().filter(|old| *old != now.number && !now.number.is_empty()) else {
            return Ok(());
        };
        self.each(None, "renumbered", "the desk gave it another number", at, &json!({"from": old, "to": now.number}));
        query("UPDATE ticket SET ref_number = $2, url = REPLACE(url, $3, $2) WHERE id = $1")
            .bind(self.ticket.id)
            .bind(&now.number)
            .bind(&old)
            .execute(tx)
            .await?;
        self.ticket.ref_number = Some(now.number.clone());
        Ok(())
    }

    /// Something about the ticket that a person must look at: code and words.
    fn trouble(&self, status: &TicketStatus) -> Option<(&'static str, String)> {
        match (&status.key, self.ticket.key_confirmed) {
            (Some(key), _) if key.as_str() != self.ticket.key => {
                return Some(("E-KEY", "the ticket carries another key than the one it was created with".to_owned()));
            }
            (None, 0) => {
                return Some((
                    "E-KEY",
                    "the ticket does not carry our key: the desk dropped the field, or our account cannot read it".to_owned(),
                ));
            }
            _ => {}
        }
        match (status.category, status.outcome) {
            (Category::Unknown, _) => Some(("E-STATUS", format!("no rule knows the desk's status “{}”", status.status))),
            (Category::Closed, None) => {
                let how = status.resolution.as_deref().unwrap_or("without a resolution");
                Some(("E-OUTCOME", format!("it was closed as “{}” ({how}), which no rule maps to an outcome", status.status)))
            }
            _ => None,
        }
    }

    /// Sets the mark, or lifts one that sync itself had set.
    async fn marks(&mut self, tx: &mut Conn, trouble: Option<(&'static str, String)>) -> LedgerResult<()> {
        let (mut set, mut lift) = (Vec::new(), Vec::new());
        for item in &self.items {
            match &trouble {
                Some((code, reason)) if item.parked_code.as_deref() != Some(code) => {
                    set.push(json!({"id": item.id, "at": self.now, "code": code, "reason": reason}));
                    self.moves.push(Move::ours(item.id, None, "parked", self.now).cause(format!("{code}: {reason}")));
                }
                None if matches!(item.parked_code.as_deref(), Some("E-STATUS" | "E-OUTCOME" | "E-KEY" | "E-GONE")) => {
                    lift.push(item.id);
                    self.moves
                        .push(Move::ours(item.id, None, "unparked", self.now).cause("the desk's answer is understood again"));
                }
                _ => {}
            }
        }
        park(tx, &set).await?;
        if !lift.is_empty() {
            query(
                "UPDATE assignment SET parked_at = NULL, parked_code = NULL, parked_reason = NULL WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))",
            )
            .bind(rows(&lift)?)
            .execute(tx)
            .await?;
        }
        Ok(())
    }

    async fn reopen(&mut self, tx: &mut Conn, at: Timestamp) -> LedgerResult<()> {
        self.each(Some(State::Rework), "reopened", "the ticket was opened again", at, &json!({"ticket": self.ticket.ref_number}));
        let ids: Vec<i64> = self.items.iter().map(|i| i.id).collect();
        // A report that was refused is dropped below: nobody needs to look at it any more.
        query(
            "UPDATE assignment SET parked_at = NULL, parked_code = NULL, parked_reason = NULL
             WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) AND EXISTS (SELECT 1 FROM errand AS e
                WHERE e.assignment_id = assignment.id AND e.kind = 'report' AND e.state = 'parked')",
        )
        .bind(rows(&ids)?)
        .execute(&mut *tx)
        .await?;
        // A report that was not sent yet would be untrue now.
        query(
            "UPDATE errand SET state = 'dropped', done_at = $2, reason = 'the ticket was opened again before it was sent'
             WHERE kind = 'report' AND state IN ('ready', 'parked') AND assignment_id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))",
        )
        .bind(rows(&ids)?)
        .bind(self.now.0)
        .execute(&mut *tx)
        .await?;
        query("UPDATE assignment SET outcome = NULL, closed_at = NULL, reported_at = NULL WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))")
            .bind(rows(&ids)?)
            .execute(&mut *tx)
            .await?;
        query(
            "UPDATE ticket SET outcome = NULL, closed_at = NULL, closed_by = NULL, words = NULL, evidence = NULL WHERE id = $1",
        )
        .bind(self.ticket.id)
        .execute(tx)
        .await?;
        Ok(())
    }

    /// Closed with an outcome, and read in full.
    async fn closed(
        &mut self,
        tx: &mut Conn,
        shared: &Shared,
        reading: &TicketReading,
        sights: &mut Sights,
    ) -> LedgerResult<bool> {
        let status = &reading.status;
        let Some(outcome) = status.outcome.filter(|_| status.category == Category::Closed) else {
            return self.seen(tx, status, sights).await;
        };
        if self.ticket.state != "closed" && self.order_has_ended() && self.trouble(status).is_none() {
            return self.closed_too_late(tx, shared, reading, outcome).await;
        }
        if self.ticket.state == "closed" && self.ticket.category.as_deref() != Some("closed") {
            return self.closed_at_last(tx, status, outcome).await;
        }
        // What was read before is no news, also where an operator had decided otherwise.
        let same = self.ticket.outcome.as_deref() == Some(outcome.as_str())
            || status.updated_at.is_some_and(|at| self.ticket.desk_updated_at == Some(at.0));
        if self.ticket.state == "closed" && same {
            return self.read_again(tx, shared, reading).await;
        }
        if self.ticket.state == "closed" {
            // Closed again with another outcome: it was reopened between two looks.
            self.reopen(tx, status.updated_at.unwrap_or(self.now)).await?;
        }
        if let Some(("E-KEY", _)) = self.trouble(status) {
            return self.seen(tx, status, sights).await;
        }
        let at = status.closed_at.or(status.updated_at).unwrap_or(self.now);
        self.renamed(tx, &status.ticket, at).await?;
        self.marks(tx, None).await?;
        if self.ticket.state != "closed" && self.ticket.category.as_deref() == Some("waiting") {
            self.each(None, "resumed", "it was closed while it waited", at, &json!({"status": status.status}));
        }
        let resolution = status.resolution.clone().unwrap_or_default();
        let cause = format!("the desk closed it: {} {resolution}", status.status);
        self.each(
            Some(State::Closed),
            "closed",
            cause.trim(),
            at,
            &json!({"outcome": outcome, "ticket": self.ticket.ref_number}),
        );
        self.store_closing(tx, shared, reading, outcome, at).await?;
        journal::apply(tx, &self.moves, self.now).await?;
        let ids: Vec<i64> = self.items.iter().filter(|i| i.state != "superseded").map(|i| i.id).collect();
        for id in ids {
            after::owe_report(tx, shared, id, self.now).await?;
        }
        Ok(true)
    }

    /// The closing is known. What its closer added since is kept; the report tells it, if it has not gone yet.
    async fn read_again(&mut self, tx: &mut Conn, shared: &Shared, reading: &TicketReading) -> LedgerResult<bool> {
        let desk = format!("desk/{}", self.ticket.desk);
        let closer = reading.closer.as_ref().map(|p| persons::person_row(shared, &desk, p, self.now));
        persons::insert_persons(tx, closer.into_iter().collect()).await?;
        query(
            "UPDATE ticket SET words = COALESCE($3, words), closed_by = COALESCE($4, closed_by), checked_at = $2, desk_updated_at = $5,
                read_at = CASE WHEN desk_updated_at IS NOT DISTINCT FROM $5 THEN COALESCE(read_at, $2) ELSE $2 END WHERE id = $1",
        )
        .bind(self.ticket.id)
        .bind(self.now.0)
        .bind(&reading.words)
        .bind(reading.closer.as_ref().map(|p| shared.person(&desk, &p.id)))
        .bind(reading.status.updated_at.map(|t| t.0))
        .execute(tx)
        .await?;
        Ok(false)
    }

    /// An operator had decided before the desk closed it: the decision stands, and the desk's word is noted.
    async fn closed_at_last(&mut self, tx: &mut Conn, status: &TicketStatus, outcome: Outcome) -> LedgerResult<bool> {
        let at = status.closed_at.or(status.updated_at).unwrap_or(self.now);
        let cause = "the desk closed it after an operator had decided, which stands";
        self.each(None, "closed_on_desk", cause, at, &json!({"outcome": outcome}));
        query("UPDATE ticket SET category = 'closed', status = $2, desk_updated_at = $3, checked_at = $4, read_at = $4 WHERE id = $1")
            .bind(self.ticket.id)
            .bind(&status.status)
            .bind(status.updated_at.map(|t| t.0))
            .bind(self.now.0)
            .execute(&mut *tx)
            .await?;
        journal::apply(tx, &self.moves, self.now).await?;
        Ok(true)
    }

    /// Its orders ended before their ticket did: the platform was told no when its wait ran out.
    fn order_has_ended(&self) -> bool {
        let ended = |item: &Item| matches!(item.state.as_str(), "closed" | "reported" | "proven");
        !self.items.is_empty() && self.items.iter().all(ended)
    }

    /// The platform has been told no, which stands; what the admins did is kept, and shown where it differs.
    async fn closed_too_late(
        &mut self,
        tx: &mut Conn,
        shared: &Shared,
        reading: &TicketReading,
        outcome: Outcome,
    ) -> LedgerResult<bool> {
        let status = &reading.status;
        let at = status.closed_at.or(status.updated_at).unwrap_or(self.now);
        let detail = json!({"outcome": outcome, "ticket": self.ticket.ref_number});
        if outcome == Outcome::Cancelled {
            self.each(None, "closed_on_desk", "the desk closed it as cancelled, as the platform was told", at, &detail);
        } else {
            let cause = "the desk closed it after the platform had been told no: too late to be told";
            self.each(None, "closed_too_late", cause, at, &detail);
        }
        if matches!(outcome, Outcome::Fulfilled | Outcome::AlreadyInPlace | Outcome::PartlyFulfilled) {
            let reason = "the ticket was carried out after the platform had been told no: compare the two".to_owned();
            self.marks(tx, Some(("E-LATE", reason))).await?;
        } else {
            self.marks(tx, None).await?;
        }
        self.store_ticket_closing(tx, shared, reading, outcome, at).await?;
        journal::apply(tx, &self.moves, self.now).await?;
        Ok(true)
    }

    async fn store_closing(
        &self,
        tx: &mut Conn,
        shared: &Shared,
        reading: &TicketReading,
        outcome: Outcome,
        at: Timestamp,
    ) -> LedgerResult<()> {
        self.store_ticket_closing(tx, shared, reading, outcome, at).await?;
        query(
            "UPDATE assignment SET outcome = $2, closed_at = $3, first_work_at = COALESCE(first_work_at, $4)
             WHERE ticket_id = $1 AND id IN (SELECT assignment_id FROM ticket_item WHERE ticket_id = $1)",
        )
        .bind(self.ticket.id)
        .bind(outcome.as_str())
        .bind(at.0)
        .bind(reading.first_work_at.map(|t| t.0))
        .execute(tx)
        .await?;
        Ok(())
    }

    async fn store_ticket_closing(
        &self,
        tx: &mut Conn,
        shared: &Shared,
        reading: &TicketReading,
        outcome: Outcome,
        at: Timestamp,
    ) -> LedgerResult<()> {
        let status = &reading.status;
        let desk = format!("desk/{}", self.ticket.desk);
        let closer = reading.closer.as_ref().map(|p| persons::person_row(shared, &desk, p, self.now));
        persons::insert_persons(tx, closer.into_iter().collect()).await?;
        query(
            "UPDATE ticket SET state = 'closed', category = 'closed', status = $2, resolution = $3, outcome = $4, closed_at = $5, closed_by = $6,
                words = $7, desk_updated_at = $8, checked_at = $9, read_at = $9, first_work_at = COALESCE(first_work_at, $10), key_confirmed = 1,
                evidence = $11 WHERE id = $1",
        )
        .bind(self.ticket.id)
        .bind(&status.status)
        .bind(&status.resolution)
        .bind(outcome.as_str())
        .bind(at.0)
        .bind(reading.closer.as_ref().map(|p| shared.person(&desk, &p.id)))
        .bind(&reading.words)
        .bind(status.updated_at.map(|t| t.0))
        .bind(self.now.0)
        .bind(reading.first_work_at.map(|t| t.0))
        .bind(if reading.evidence.is_empty() { None } else { Some(rows(&reading.evidence)?) })
        .execute(&mut *tx)
        .await?;
        query("UPDATE ticket_item SET outcome = $2 WHERE ticket_id = $1")
            .bind(self.ticket.id)
            .bind(outcome.as_str())
            .execute(tx)
            .await?;
        Ok(())
    }

    async fn gone(&mut self, tx: &mut Conn) -> LedgerResult<bool> {
        if self.ticket.state == "gone" {
            return self.checked(tx).await;
        }
        let reason = "the desk no longer has the ticket, or hides it from our account".to_owned();
        self.marks(tx, Some(("E-GONE", reason))).await?;
        query("UPDATE ticket SET state = CASE WHEN state = 'open' THEN 'gone' ELSE state END, category = 'gone', checked_at = $2 WHERE id = $1")
            .bind(self.ticket.id)
            .bind(self.now.0)
            .execute(&mut *tx)
            .await?;
        journal::apply(tx, &self.moves, self.now).await?;
        Ok(true)
    }
}
