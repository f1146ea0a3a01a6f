//! The application server's REST API: rows of tables, methods and events of objects.
//!
//! After the vendor's REST API guide (8.1 … 9.3) and public clients of it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::document::{entities, entity};
use super::session::Server;
use crate::http::{Call, CallError};
use crate::source::field::{as_text, lookup};

/// Keys asked for in one question.
const KEYS_AT_ONCE: usize = 40;
/// Longest condition that travels in the address: web servers refuse long ones. A longer one travels in the body.
const LONGEST_IN_ADDRESS: usize = 1_200;
/// Most pages of one list; more means that the list does not end.
const MOST_PAGES: usize = 10_000;

/// A question for rows of a table.
#[derive(Debug, Clone)]
pub(super) struct Query<'a> {
    pub(super) table: &'a str,
    /// Unique column: pages go on behind the last key, so that rows that come or go meanwhile move nothing.
    pub(super) key: &'a str,
    pub(super) condition: &'a str,
    pub(super) columns: &'a [String],
    pub(super) page: usize,
}

/// Rows that were read, and why those are not all.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) rows: Vec<Value>,
    pub(super) broken: Option<CallError>,
}

/// The application server.
#[derive(Debug)]
pub(super) struct AppServer(pub(super) Server);

impl AppServer {
    /// Every row that fits, by key. A first page that cannot be read is an error; a later one ends the list as
    /// incomplete.
    pub(super) async fn all(&self, query: &Query<'_>) -> Result<Rows, CallError> {
        let mut all = Rows::default();
        let mut last: Option<String> = None;
        for page in 0..MOST_PAGES {
            let rows = match self.page(query, last.as_deref()).await {
                Ok(rows) => rows,
                Err(error) if page == 0 => return Err(error),
                Err(error) => {
                    all.broken = Some(error);
                    return Ok(all);
                }
            };
            let Some(end) = rows.last().map(|row| key_of(row, query.key)) else { return Ok(all) };
            let moves = end.is_some() && end != last;
            all.rows.extend(rows);
            if !moves {
                all.broken = Some(self.endless(query.table));
                return Ok(all);
            }
            last = end;
        }
        all.broken = Some(self.endless(query.table));
        Ok(all)
    }

    fn endless(&self, table: &str) -> CallError {
        CallError::retry("E-PAGE", format!("{} does not go on behind the last key of {table}", self.0.edge()))
    }

    /// One page behind a key; empty at the end.
    pub(super) async fn page(&self, query: &Query<'_>, after: Option<&str>) -> Result<Vec<Value>, CallError> {
        let behind = after.map(|key| format!("{} > {}", query.key, quoted(key)));
        let parts: Vec<String> =
            [query.condition].into_iter().filter(|c| !c.trim().is_empty()).map(|c| format!("({c})")).chain(behind).collect();
        let condition = parts.join(" and ");
        let address = self.0.address(&["api", "entities", query.table]);
        let columns = query.columns.join(";");
        let call = if condition.len() <= LONGEST_IN_ADDRESS {
            Call::new("GET", address)
                .query("where", condition)
                .query("orderBy", query.key)
                .query("limit", query.page.to_string())
                .query("offset", "0")
                .query("displayColumns", columns)
        } else {
            let body = json!({"where": condition, "OrderBy": query.key, "limit": query.page, "offset": 0});
            Call::new("POST", address).query("displayColumns", columns).json(body)
        };
        let Some(body) = self.0.read(call).await? else {
            return Err(CallError::reject("E-GONE", format!("{} knows no table {}", self.0.edge(), query.table)));
        };
        let rows = entities(&body, "").or_else(|| entities(&body, "/entities"));
        let rows = rows.ok_or_else(|| {
            CallError::retry("E-PAGE", format!("{} sent a page of {} without rows", self.0.edge(), query.table))
        })?;
        Ok(rows.iter().map(entity).collect())
    }

    /// Objects by key; those that do not exist are left out.
    pub(super) async fn by_keys(
        &self,
        table: &str,
        key: &str,
        columns: &[String],
        keys: &[String],
    ) -> Result<BTreeMap<String, Value>, CallError> {
        let rows = self.where_in(table, key, key, columns, keys).await?;
        Ok(rows.into_iter().filter_map(|row| Some((key_of(&row, key)?, row))).collect())
    }

    /// Every row whose column holds one of the values.
    pub(super) async fn where_in(
        &self,
        table: &str,
        key: &str,
        column: &str,
        columns: &[String],
        values: &[String],
    ) -> Result<Vec<Value>, CallError> {
        let mut found = Vec::new();
        for some in values.chunks(KEYS_AT_ONCE) {
            let list: Vec<String> = some.iter().map(|v| quoted(v)).collect();
            let condition = format!("{column} in ({})", list.join(", "));
            let rows = self.all(&Query { table, key, condition: &condition, columns, page: 500 }).await?;
            if let Some(error) = rows.broken {
                return Err(error);
            }
            found.extend(rows.rows);
        }
        Ok(found)
    }

    /// Calls a method of an object. `false`: there is no such object.
    pub(super) async fn method(&self, table: &str, key: &str, name: &str, parameters: Value) -> Result<bool, CallError> {
        let address = self.0.address(&["api", "entity", table, key, "method", name]);
        self.0.write(Call::new("PUT", address).json(json!({ "parameters": parameters }))).await
    }

    /// Writes columns of an object. `false`: there is no such object.
    pub(super) async fn put(&self, table: &str, key: &str, values: Value) -> Result<bool, CallError> {
        let address = self.0.address(&["api", "entity", table, key]);
        self.0.write(Call::new("PUT", address).json(json!({ "values": values }))).await
    }

    /// Raises an event of an object. `false`: there is no such object.
    pub(super) async fn event(&self, table: &str, key: &str, name: &str, parameters: Value) -> Result<bool, CallError> {
        let address = self.0.address(&["api", "entity", table, key, "event", name]);
        self.0.write(Call::new("PUT", address).json(json!({ "parameters": parameters }))).await
    }
}

/// A row's key.
pub(super) fn key_of(row: &Value, key: &str) -> Option<String> {
    lookup(row, &format!("/values/{key}")).and_then(as_text)
}

/// A text inside a condition.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The row's columns, with the key among them.
pub(super) fn with_key(columns: BTreeSet<String>, more: &[&str]) -> Vec<String> {
    let more = more.iter().filter(|c| !c.is_empty()).map(|c| (*c).to_owned());
    columns.into_iter().chain(more).collect::<BTreeSet<_>>().into_iter().collect()
}
