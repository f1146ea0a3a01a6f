//! Changes to a ticket of a declared desk, and the witness of an unclear one.

use serde_json::{Map, Value};

use super::Rest;
use super::call::{Effect, Reply};
use super::context;
use super::operation::Operation;
use crate::http::CallError;
use crate::model::ticket::{Amended, Category, Change, TicketRef};

impl Rest {
    pub(super) async fn change(&self, ticket: &TicketRef, change: &Change) -> Result<Amended, CallError> {
        if !super::rows::usable_id(&ticket.id) {
            return Err(CallError::reject("E-TICKET", "the ticket's id has characters that no id has"));
        }
        let (settings, operations) = (&self.settings, &self.settings.operations);
        match change {
            Change::Comment { mark, body } => {
                let context = context::of_comment(settings, ticket, mark, body);
                self.write(ticket, "comment", operations.comment.as_ref(), context).await?;
            }
            // What an admin closed in the meantime stays as they closed it.
            Change::Close { .. } if self.is_closed(ticket).await? => return Ok(Amended::WasClosed),
            Change::Close { mark, body } => {
                let context = context::of_comment(settings, ticket, mark, body);
                self.write(ticket, "close", operations.close.as_ref(), context).await?;
                self.must_be_closed(ticket).await?;
            }
            // The key may stand in the text: it is not cut off.
            Change::Text { body } if body.chars().count() > settings.limits.body => {
                let words = format!("the new text of {} is too long for {}", ticket.number, self.wire.edge());
                return Err(CallError::reject("E-REFUSED", words));
            }
            Change::Text { body } => {
                let context = context::of_rewrite(settings, ticket, body);
                self.write(ticket, "rewrite", operations.rewrite.as_ref(), context).await?;
            }
        }
        Ok(Amended::Done)
    }

    async fn write(
        &self,
        ticket: &TicketRef,
        name: &str,
        operation: Option<&Operation>,
        context: Value,
    ) -> Result<(), CallError> {
        let Some(operation) = operation else {
            let words = format!("the declaration of {} has no `operations.{name}`: do it there by hand", self.wire.edge());
            return Err(CallError::reject("E-REFUSED", words));
        };
        let context = self.wire.prepare(&operation.before, context).await?;
        match self.wire.run(operation, &context, Effect::Write, Map::new()).await? {
            Reply::Here(_) => Ok(()),
            Reply::Gone => Err(CallError::reject("E-GONE", format!("{} is no longer on {}", ticket.number, self.wire.edge()))),
        }
    }

    async fn is_closed(&self, ticket: &TicketRef) -> Result<bool, CallError> {
        let row = self.read_one(ticket).await?;
        Ok(row.is_some_and(|row| row.status.category == Category::Closed))
    }

    /// Some desks answer 200 with a sentence when they did not close: only the ticket itself tells.
    async fn must_be_closed(&self, ticket: &TicketRef) -> Result<(), CallError> {
        let unread = |e: CallError| CallError::unclear("E-BROKEN", format!("closed, perhaps; {}", e.reason()));
        match self.read_one(ticket).await.map_err(unread)? {
            Some(row) if row.status.category != Category::Closed => {
                let words = format!("{} accepted the closing of {}, but it is still open there", self.wire.edge(), ticket.number);
                Err(CallError::reject("E-TRANSITION", words))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn comments_have(&self, ticket: &TicketRef, mark: &str) -> Result<bool, CallError> {
        let Some(operation) = &self.settings.operations.comments else {
            let words = format!("comments of {} cannot be read: look on {} for {mark}", self.wire.edge(), ticket.number);
            return Err(CallError::reject("E-UNSEARCHABLE", words));
        };
        if !super::rows::usable_id(&ticket.id) {
            return Err(CallError::reject("E-TICKET", "the ticket's id has characters that no id has"));
        }
        let context = context::with(context::of_ticket(ticket), serde_json::json!({"mark": mark}));
        for here in self.all_pages(operation, &context).await? {
            if self.raw_rows(operation, &here)?.into_iter().any(|row| says(row, mark)) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether any text inside holds the mark.
pub(super) fn says(value: &Value, mark: &str) -> bool {
    match value {
        Value::String(text) => text.contains(mark),
        Value::Array(items) => items.iter().any(|v| says(v, mark)),
        Value::Object(members) => members.values().any(|v| says(v, mark)),
        _ => false,
    }
}
