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

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: &str, second: i64, by: &str) -> Value {
        json!({"values": {"UID_PersonWantsOrg": "r", "DecisionType": kind, "DateHead": Timestamp(second * 1000).iso(), "UID_PersonHead": by,
            "DisplayPersonHead": format!("Name of {by}"), "ReasonHead": format!("because {second}")}})
    }

    #[test]
    fn a_pass_begins_with_its_order_and_questions_do_not_move_it() {
        let settings = HistorySettings::default();
        let second = |n: i64| Value::String(Timestamp(n * 1000).iso());
        let mut rows = vec![entry("Grant", 1_800_000_200, "boss"), entry("Order", 1_800_000_100, "me")];
        let first = settings.decisions(&rows).document(&settings);
        assert_eq!((&first["ordered_at"], &first["approved_at"]), (&second(1_800_000_100), &second(1_800_000_200)));
        assert_eq!((&first["generation"], &first["approvals"][0]["id"]), (&json!(1_800_000_200), &json!("boss")));
        rows.push(entry("Query", 1_800_000_300, "boss"));
        assert_eq!(settings.decisions(&rows).document(&settings), first, "a question moves nothing");
        rows.push(entry("Unsubscribe", 1_800_000_400, "me"));
        let second_pass = settings.decisions(&rows).document(&settings);
        assert_eq!((&second_pass["generation"], &second_pass["approvals"]), (&json!(1_800_000_400), &json!([])));
        assert_eq!(second_pass["approved_at"], second(1_800_000_400), "nobody had to agree");
        assert!(settings.decisions(&rows).holds("because 1800000300") && !settings.decisions(&rows).holds("lmr-"));
    }
}
