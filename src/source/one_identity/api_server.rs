//! The API server: the manual provisioning queue of the operations support portal.
//!
//! After the typings that the vendor publishes for its portals (9.2).

use serde_json::{Value, json};

use super::document::{entities, entity};
use super::session::Server;
use crate::http::{Call, CallError};
use crate::source::field::{as_text, lookup};

/// Most pages of one list.
const MOST_PAGES: usize = 10_000;

/// The API server.
#[derive(Debug)]
pub(super) struct ApiServer(pub(super) Server);

/// One attribute of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attribute {
    pub(super) property: String,
    pub(super) value: String,
}

/// The steps of one pending change, in order.
#[derive(Debug, Default)]
pub(super) struct Details {
    pub(super) steps: Vec<Step>,
}

/// One step: what is to be answered.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) key: String,
    pub(super) row: Value,
    pub(super) pending: bool,
    pub(super) attributes: Vec<Attribute>,
}

/// Pending changes, and why those are not all.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) rows: Vec<(String, Value)>,
    pub(super) broken: Option<CallError>,
}

impl ApiServer {
    /// All pending changes of a target system, oldest first. The list is read by position: what is settled meanwhile
    /// moves the rest, so that it counts as complete only when every page agrees on the number and all were seen.
    pub(super) async fn pending(&self, root: Option<&str>, page: usize) -> Result<Changes, CallError> {
        let mut changes = Changes::default();
        let mut total = None;
        for n in 0..MOST_PAGES {
            let body = match self.page(root, changes.rows.len(), page).await {
                Ok(body) => body,
                Err(error) if n == 0 => return Err(error),
                Err(error) => {
                    changes.broken = Some(error);
                    return Ok(changes);
                }
            };
            let rows = entities(&body, "/Entities").unwrap_or_default();
            let says = lookup(&body, "/TotalCount").and_then(as_text).and_then(|t| t.parse::<usize>().ok());
            let agrees = says.is_some() && (total.is_none() || total == says);
            total = says;
            let before = changes.rows.len();
            for raw in &rows {
                let row = entity(raw);
                let Some(key) = key_of(raw, &row, "UID_QBMPendingChange") else { continue };
                if changes.rows.iter().all(|(k, _)| *k != key) {
                    changes.rows.push((key, row));
                }
            }
            let whole = changes.rows.len() - before == rows.len();
            if total == Some(changes.rows.len()) && agrees && whole {
                return Ok(changes);
            }
            if !agrees || !whole || rows.is_empty() {
                break;
            }
        }
        let reason = format!("pending changes of {} moved while their pages were read", self.0.edge());
        changes.broken = Some(CallError::retry("E-PAGE", reason));
        Ok(changes)
    }

    async fn page(&self, root: Option<&str>, from: usize, size: usize) -> Result<Value, CallError> {
        let mut call = Call::new("GET", self.0.address(&["imx", "opsupport", "uci", "changes"]))
            .query("state", "0")
            .query("OrderBy", "XDateInserted asc")
            .query("StartIndex", from.to_string())
            .query("PageSize", size.to_string());
        if let Some(root) = root {
            call = call.query("root", root);
        }
        match self.0.read(call).await? {
            Some(body) if body.get("Entities").is_some() || lookup(&body, "/TotalCount").is_some() => Ok(body),
            Some(_) => Err(CallError::retry("E-PAGE", format!("{} sent a page without `Entities`", self.0.edge()))),
            None => Err(CallError::reject("E-GONE", format!("{} has no provisioning queue", self.0.edge()))),
        }
    }

    /// The steps of a change, oldest first. `None`: the platform no longer has it.
    pub(super) async fn details(&self, change: &str) -> Result<Option<Details>, CallError> {
        let call = Call::new("GET", self.0.address(&["imx", "opsupport", "uci", "changedetail", change]));
        let Some(body) = self.0.read(call).await? else { return Ok(None) };
        let Some(rows) = entities(&body, "/Entities") else {
            return Err(CallError::retry("E-PAGE", format!("{} sent a change without `Entities`", self.0.edge())));
        };
        let operations = entities(&body, "/ExtendedData/Operations").unwrap_or_default();
        let mut steps = Vec::new();
        for (n, raw) in rows.iter().enumerate() {
            let row = entity(raw);
            let Some(key) = key_of(raw, &row, "UID_QBMPendingChangeDetail") else {
                return Err(CallError::retry("E-PAGE", format!("{} sent a change with a step without a key", self.0.edge())));
            };
            let processed = lookup(&row, "/values/IsProcessed").and_then(as_text).unwrap_or_default();
            let pending = matches!(processed.to_lowercase().as_str(), "" | "0" | "false");
            let attributes = operations.get(n).map(attributes).unwrap_or_default();
            steps.push(Step { key, row, pending, attributes });
        }
        if steps.is_empty() {
            return Ok(None);
        }
        steps.sort_by_key(|step| lookup(&step.row, "/values/CreationDate").and_then(as_text));
        Ok(Some(Details { steps }))
    }

    /// Answers a step. `false`: the platform no longer has it.
    pub(super) async fn answer(&self, step: &str, success: bool) -> Result<bool, CallError> {
        let call = Call::new("POST", self.0.address(&["imx", "opsupport", "uci", "changes", step]));
        self.0.write(call.json(json!({ "Success": success }))).await
    }
}

/// The key stands apart, or among the columns; one key may stand without its list.
fn key_of(raw: &Value, row: &Value, column: &str) -> Option<String> {
    let keys = entities(raw, "/Keys").unwrap_or_default();
    keys.first().and_then(as_text).or_else(|| lookup(row, &format!("/values/{column}")).and_then(as_text))
}

fn attributes(list: &Value) -> Vec<Attribute> {
    let of = |raw: &Value| {
        let property = lookup(raw, "/Property").and_then(as_text)?;
        let value = raw.get("DiffValue").and_then(as_text).unwrap_or_default();
        Some(Attribute { property, value })
    };
    entities(list, "").unwrap_or_default().iter().filter_map(of).collect()
}
