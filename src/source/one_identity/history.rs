//! The decisions of a request: when it was approved by people, and which pass through its workflow this is.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use serde_json::{Value, json};

use super::app_server::AppServer;
use super::document::by_text;
use super::settings::HistorySettings;
use crate::http::CallError;
use crate::model::Timestamp;
use crate::source::date::{DayEdge, read};
use crate::source::field::{as_text, lookup};

/// One decision.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    kind: String,
    at: Timestamp,
    by: Option<String>,
    by_name: Option<String>,
    reason: String,
}

/// The decisions of one request, oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Decisions(Vec<Entry>);

impl HistorySettings {
    /// The columns that are read.
    pub(super) fn columns(&self) -> Vec<String> {
        let all = [&self.request, &self.kind, &self.at, &self.by, &self.by_name, &self.reason];
        all.into_iter().filter(|c| !c.is_empty()).cloned().collect()
    }

    /// The decisions of requests, in bulk.
    pub(super) async fn of(&self, server: &AppServer, requests: &[String]) -> Result<BTreeMap<String, Decisions>, CallError> {
        let key = format!("UID_{}", self.table);
        let mut columns = self.columns();
        columns.push(key.clone());
        let rows = server.where_in(&self.table, &key, &self.request, &columns, requests).await?;
        let pointer = format!("/values/{}", self.request);
        Ok(by_text(rows, &pointer).into_iter().map(|(request, rows)| (request, self.decisions(&rows))).collect())
    }

    fn decisions(&self, rows: &[Value]) -> Decisions {
        let text = |row: &Value, column: &str| lookup(row, &format!("/values/{column}")).and_then(as_text);
        let mut all: Vec<Entry> = rows
            .iter()
            .filter_map(|row| {
                let at = lookup(row, &format!("/values/{}", self.at))?;
                Some(Entry {
                    kind: text(row, &self.kind)?,
                    at: read(at, Tz::UTC, DayEdge::StartOfDay, None).flatten()?,
                    by: text(row, &self.by),
                    by_name: text(row, &self.by_name),
                    reason: text(row, &self.reason).unwrap_or_default(),
                })
            })
            .collect();
        all.sort_by_key(|entry| entry.at);
        Decisions(all)
    }
}

impl Decisions {
    /// For the document: `ordered_at`, `approved_at`, `approvals`, and `generation`, the second in which the request
    /// last moved: it differs for every time that the request comes to wait for us, and is the platform's own.
    pub(super) fn document(&self, settings: &HistorySettings) -> Value {
        let is = |kinds: &[String], entry: &Entry| kinds.iter().any(|k| k.eq_ignore_ascii_case(&entry.kind));
        let moves = |e: &&Entry| is(&settings.ordered, e) || is(&settings.granted, e) || is(&settings.denied, e);
        let begun = self.0.iter().rposition(|e| is(&settings.ordered, e)).unwrap_or(0);
        let pass = self.0.get(begun..).unwrap_or_default();
        let ordered = pass.first().filter(|e| is(&settings.ordered, e)).map(|e| e.at);
        let granted: Vec<&Entry> = pass.iter().filter(|e| is(&settings.granted, e)).collect();
        let approvals: Vec<Value> = granted
            .iter()
            .filter_map(|e| Some(json!({"id": e.by.as_ref().or(e.by_name.as_ref())?, "name": e.by_name, "at": e.at.iso()})))
            .collect();
        json!({
            "ordered_at": ordered.map(Timestamp::iso),
            "approved_at": granted.last().map(|e| e.at).or(ordered).map(Timestamp::iso),
            "generation": self.0.iter().filter(moves).map(|e| e.at.0.div_euclid(1000)).max(),
            "approvals": approvals,
        })
    }

    /// Whether a decision was given with this mark in its reason.
    pub(super) fn holds(&self, mark: &str) -> bool {
        self.0.iter().any(|entry| entry.reason.contains(mark))
    }
}
