//! Changes to a `ServiceNow` record.

use serde_json::{Map, Value, json};

use super::ServiceNow;
use super::shape::{self, column};
use crate::desk::render;
use crate::http::CallError;
use crate::model::ticket::{Amended, Category, Change, TicketRef};

impl ServiceNow {
    pub(super) async fn change(&self, ticket: &TicketRef, change: &Change) -> Result<Amended, CallError> {
        let mut body = Map::new();
        match change {
            Change::Comment { mark, body: markup } => {
                body.insert(self.settings.comment_field.column().to_owned(), json!(marked(markup, mark)));
            }
            // State and comment in one call: the mark then proves both. What an admin closed in the meantime stays as
            // they closed it.
            Change::Close { mark, body: markup } => {
                if self.is_closed(ticket).await? {
                    return Ok(Amended::WasClosed);
                }
                let Some(cancel) = self.settings.cancel_in_force() else {
                    let words = format!("how a ticket of {} is withdrawn is not configured: give [cancel]", self.wire.edge());
                    return Err(CallError::reject("E-TRANSITION", words));
                };
                body.extend(cancel.into_iter().map(|(name, value)| (name, json!(value))));
                body.insert("close_notes".to_owned(), json!(render::plain(markup, shape::MAX_BODY)));
                body.insert(self.settings.comment_field.column().to_owned(), json!(marked(markup, mark)));
            }
            Change::Text { body: markup } => {
                body.insert("description".to_owned(), json!(render::plain(markup, shape::MAX_BODY)));
            }
        }
        let wanted_state = body.get("state").and_then(Value::as_str).map(str::to_owned);
        let call = self.record("PATCH", ticket)?.query("sysparm_fields", "sys_id,state").json(Value::Object(body));
        let reply = self.wire.write(call).await?;
        let state = reply.body.get("result").and_then(|r| column(r, "state"));
        match wanted_state {
            Some(wanted) if state.is_some_and(|s| s != wanted) => {
                let words = format!("{} kept {} in its state: a rule or a right is in the way", self.wire.edge(), ticket.number);
                Err(CallError::reject("E-TRANSITION", words))
            }
            _ => Ok(Amended::Done),
        }
    }

    async fn is_closed(&self, ticket: &TicketRef) -> Result<bool, CallError> {
        let call = self.record("GET", ticket)?.query("sysparm_fields", shape::COLUMNS);
        let Some(reply) = self.wire.read_if_there(call).await? else {
            return Err(CallError::reject("E-GONE", format!("{} is no longer on {}", ticket.number, self.wire.edge())));
        };
        let status = reply.body.get("result").and_then(|record| self.status_of(record));
        Ok(status.is_some_and(|s| s.category == Category::Closed))
    }

    /// Whether the journal holds the mark. The raw columns are always empty; only their display shows the entries.
    pub(super) async fn journal_has(&self, ticket: &TicketRef, mark: &str) -> Result<bool, CallError> {
        let call = self
            .record("GET", ticket)?
            .query("sysparm_fields", "sys_id,work_notes,comments")
            .query("sysparm_display_value", "true");
        let reply = self.wire.read(call).await?;
        let record = reply.body.get("result").unwrap_or(&Value::Null);
        let journals: Vec<&str> = ["work_notes", "comments"].into_iter().filter_map(|name| record.get(name)?.as_str()).collect();
        if journals.is_empty() {
            let words = format!("{} shows us no journal of {}: our account needs to read it", self.wire.edge(), ticket.number);
            return Err(CallError::reject("E-RIGHTS", words));
        }
        Ok(journals.iter().any(|j| j.contains(mark)))
    }
}

fn marked(markup: &str, mark: &str) -> String {
    render::plain_with_mark(markup, mark, shape::MAX_BODY)
}
