//! Changes to a Jira ticket.

use serde_json::{Value, json};

use super::Jira;
use crate::desk::common::text;
use crate::http::CallError;
use crate::model::ticket::{Amended, Change, TicketRef};

/// Most comment pages read of one ticket.
const MAX_COMMENT_PAGES: usize = 50;

impl Jira {
    pub(super) async fn change(&self, ticket: &TicketRef, change: &Change) -> Result<Amended, CallError> {
        match change {
            Change::Comment { mark, body } => self.comment(ticket, mark, body).await?,
            // The transition first: the mark then proves both, and a repetition finds the ticket already closed.
            Change::Close { mark, body } => {
                self.close(ticket).await?;
                match self.comment(ticket, mark, body).await {
                    // Many workflows let nobody write to a closed ticket: it is closed, and that says enough.
                    Err(CallError::Reject { .. }) => {}
                    told => told?,
                }
            }
            Change::Text { body } => {
                let fields = json!({"description": self.settings.render(body)});
                let call = self.call("PUT", &Self::issue_path(ticket)?).json(json!({"fields": fields}));
                self.wire.write(call).await?;
            }
        }
        Ok(Amended::Done)
    }

    async fn comment(&self, ticket: &TicketRef, mark: &str, markup: &str) -> Result<(), CallError> {
        let mut body = json!({"body": self.settings.render_marked(markup, mark)});
        if self.settings.internal_comments {
            body["properties"] = json!([{"key": "sd.public.comment", "value": {"internal": true}}]);
        }
        let path = format!("{}/comment", Self::issue_path(ticket)?);
        self.wire.write(self.call("POST", &path).json(body)).await.map(|_| ())
    }

    /// Every comment of the ticket.
    pub(super) async fn comments(&self, ticket: &TicketRef) -> Result<Vec<Value>, CallError> {
        let path = format!("{}/comment", Self::issue_path(ticket)?);
        let mut all = Vec::new();
        for _ in 0..MAX_COMMENT_PAGES {
            let call = self.call("GET", &path).query("startAt", all.len().to_string()).query("maxResults", "100");
            let mut body = self.wire.read(call).await?.body;
            let total = body.get("total").and_then(Value::as_u64).unwrap_or(0);
            let Some(Value::Array(page)) = body.get_mut("comments").map(Value::take) else {
                return Err(CallError::retry("E-SHAPE", format!("{} answered without comments", self.wire.edge())));
            };
            let empty = page.is_empty();
            all.extend(page);
            if empty || all.len() as u64 >= total {
                break;
            }
        }
        Ok(all)
    }

    /// Moves the ticket to a status of category done, unless it is there already. Transition ids differ per workflow,
    /// so they are asked for each time. Its history says who closed it: nobody needs to hear here that it was closed.
    async fn close(&self, ticket: &TicketRef) -> Result<(), CallError> {
        let path = Self::issue_path(ticket)?;
        let issue = self.wire.read(self.call("GET", &path).query("fields", "status")).await?.body;
        if text(&issue, "/fields/status/statusCategory/key") == Some("done") {
            return Ok(());
        }
        let path = format!("{path}/transitions");
        let reply = self.wire.read(self.call("GET", &path).query("expand", "transitions.fields")).await?.body;
        let ways: Vec<&Value> = reply
            .get("transitions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter(|t| text(t, "/to/statusCategory/key") == Some("done"))
            .collect();
        let wanted = self.settings.cancelled_status.as_deref();
        let fits = |t: &&&Value| {
            wanted.is_some_and(|w| text(t, "/to/id") == Some(w) || text(t, "/to/name").is_some_and(|n| n.eq_ignore_ascii_case(w)))
        };
        let way = ways.iter().find(fits).or_else(|| ways.first().filter(|_| wanted.is_none()));
        let Some(id) = way.and_then(|t| text(t, "/id")) else {
            let words = format!("{} offers no way to close {} from its status", self.wire.edge(), ticket.number);
            return Err(CallError::reject("E-TRANSITION", words));
        };
        let mut body = json!({"transition": {"id": id}});
        let asks = way.is_some_and(|t| t.pointer("/fields/resolution").is_some());
        if let (true, Some(resolution)) = (asks, &self.settings.cancelled_resolution) {
            body["fields"] = json!({"resolution": {"name": resolution}});
        }
        self.wire.write(self.call("POST", &path).json(body)).await.map(|_| ())
    }

    /// A refusal that names our key's field is about the screen, and no other group will help. One that names the
    /// group's field says so by its code: the fallback group may still take the ticket.
    pub(super) fn about_fields(&self, error: CallError) -> CallError {
        let key_field = self.settings.key_field();
        match error {
            CallError::Reject { reason, .. } if reason.contains(&format!("{key_field}:")) && reason.contains("screen") => {
                let mend = format!("put `{key_field}` on the create screen of {}", self.settings.issue_type);
                CallError::Reject { code: "E-KEY", reason: format!("{reason}; it holds our key: {mend}") }
            }
            CallError::Reject { reason, .. } if reason.contains(&format!("{}:", self.settings.group_field())) => {
                CallError::Reject { code: "E-GROUP", reason }
            }
            other => other,
        }
    }
}
