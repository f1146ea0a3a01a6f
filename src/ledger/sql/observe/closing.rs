//! Closings that desks tell: at first, again, too late, or after an operator decided.

use serde_json::json;

use super::{Item, Observed, Sights};
use crate::ledger::LedgerResult;
use crate::ledger::engine::{Conn, query};
use crate::ledger::sql::settle::after;
use crate::ledger::sql::{Shared, journal, persons, rows};
use crate::model::ticket::{Category, TicketReading, TicketStatus};
use crate::model::{Outcome, State, Timestamp};

impl Observed {
    /// Closed with an outcome, and read in full.
    pub(super) async fn closed(
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
}
