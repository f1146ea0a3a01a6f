//! `ServiceNow`'s JSON, read and written. Pure. Every value is a string; references are `{link, value}`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::settings::{Settings, StateRule};
use crate::desk::common::{our_key, text};
use crate::desk::evidence;
use crate::desk::render;
use crate::model::assignment::Person;
use crate::model::completion::Evidence;
use crate::model::ticket::{Category, Draft, TicketReading, TicketRef, TicketStatus};
use crate::model::{Outcome, Timestamp};

/// Longest `short_description`.
pub(super) const MAX_SUMMARY: usize = 160;
/// Longest `description` (a column of 4,000 in a plain instance).
pub(super) const MAX_BODY: usize = 4_000;

/// Columns read with every status.
pub(super) const COLUMNS: &str = "sys_id,number,state,active,close_code,closed_at,resolved_at,assignment_group,\
assigned_to,correlation_id,sys_created_by,sys_updated_on,short_description";

/// The explanation in an error body.
pub(super) fn error_words(body: &Value) -> String {
    let (message, detail) = (text(body, "/error/message"), text(body, "/error/detail"));
    [message, detail].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// `2024-03-09 19:53:49`, always UTC in raw values.
pub(super) fn instant(value: &str) -> Option<Timestamp> {
    let naive = chrono::NaiveDateTime::parse_from_str(value, "%Y-%m-%d %H:%M:%S").ok()?;
    // A date before 1970 is a way to write "never" (1899-12-30).
    Some(Timestamp(naive.and_utc().timestamp_millis())).filter(|at| at.0 > 0)
}

/// The same, written; the fraction of a second is cut off.
pub(super) fn written(at: Timestamp) -> String {
    at.to_utc().format("%Y-%m-%d %H:%M:%S").to_string()
}

/// A column's raw value, whether plain, a reference, or one of `display_value=all`.
pub(super) fn column<'a>(record: &'a Value, name: &str) -> Option<&'a str> {
    let value = record.get(name)?;
    value.as_str().or_else(|| value.get("value").and_then(Value::as_str)).filter(|t| !t.is_empty())
}

fn shown<'a>(record: &'a Value, name: &str) -> Option<&'a str> {
    let value = record.get(name)?;
    value.get("display_value").and_then(Value::as_str).filter(|t| !t.is_empty())
}

/// Body of the create call; the group is already an id.
pub(super) fn create_body(settings: &Settings, draft: &Draft, group: &str) -> Value {
    let mut body: Map<String, Value> = Map::new();
    for (name, value) in &settings.fields {
        body.insert(name.clone(), json!(value));
    }
    for (name, value) in &draft.fields {
        body.insert(name.clone(), as_text(value));
    }
    if let Some(fields) = settings.priorities.get(&draft.priority.to_string()) {
        body.extend(fields.iter().map(|(name, value)| (name.clone(), json!(value))));
    }
    if let (Some(field), Some(due)) = (&settings.due_field, draft.due_at) {
        body.insert(field.clone(), json!(written(due)));
    }
    body.insert("short_description".to_owned(), json!(render::clip(&draft.summary, MAX_SUMMARY)));
    body.insert("description".to_owned(), json!(render::plain(&draft.body, MAX_BODY)));
    body.insert("assignment_group".to_owned(), json!(group));
    body.insert("correlation_id".to_owned(), json!(draft.key));
    body.insert("correlation_display".to_owned(), json!("lastmile"));
    Value::Object(body)
}

fn as_text(value: &Value) -> Value {
    match value {
        Value::String(_) => value.clone(),
        Value::Null => json!(""),
        other => json!(other.to_string()),
    }
}

/// Meaning of states and close codes.
#[derive(Debug)]
pub(super) struct Meaning<'a> {
    pub(super) states: &'a BTreeMap<String, StateRule>,
    pub(super) settings: &'a Settings,
}

impl Meaning<'_> {
    fn of(&self, record: &Value) -> (Category, Option<Outcome>) {
        let Some(rule) = column(record, "state").and_then(|s| self.states.get(s)) else {
            return (Category::Unknown, None);
        };
        if rule.category != Category::Closed {
            return (rule.category, None);
        }
        let outcome = match column(record, "close_code") {
            Some(code) => {
                let known = self.settings.close_codes.iter().find(|(name, _)| name.eq_ignore_ascii_case(code));
                known.and_then(|(_, outcome)| outcome.0)
            }
            None => rule.outcome.0,
        };
        (Category::Closed, outcome)
    }

    /// A record as a status.
    pub(super) fn status_of(&self, record: &Value, group_name: impl Fn(&str) -> Option<String>) -> Option<TicketStatus> {
        let id = column(record, "sys_id")?.to_owned();
        let (category, outcome) = self.of(record);
        let closed = || column(record, "closed_at").or_else(|| column(record, "resolved_at")).and_then(instant);
        Some(TicketStatus {
            ticket: TicketRef { number: column(record, "number").unwrap_or(&id).to_owned(), id },
            key: column(record, "correlation_id").and_then(our_key),
            category,
            outcome,
            status: shown(record, "state").or_else(|| column(record, "state")).unwrap_or("not visible").to_owned(),
            resolution: column(record, "close_code").map(str::to_owned),
            group: column(record, "assignment_group").map(|id| group_name(id).unwrap_or_else(|| id.to_owned())),
            assigned: column(record, "assigned_to").is_some(),
            created_by: column(record, "sys_created_by").map(str::to_owned),
            updated_at: column(record, "sys_updated_on").and_then(instant),
            closed_at: (category == Category::Closed).then(closed).flatten(),
        })
    }
}

/// What is read of a closed record besides [`COLUMNS`]; user names are read through the reference, since `closed_by`
/// itself holds a `sys_id`.
pub(super) const READING_COLUMNS: &str =
    "closed_by,resolved_by,closed_by.user_name,resolved_by.user_name,close_notes,comments,work_start";

/// Closer, words and start of work from a record read with `display_value=all`.
pub(super) fn reading(status: TicketStatus, record: &Value, account: Option<&str>) -> TicketReading {
    let closed = status.category == Category::Closed;
    let closer = ["closed_by", "resolved_by"].into_iter().find_map(|name| {
        let id = column(record, name)?.to_owned();
        Some(Person { id, name: shown(record, name).map(str::to_owned), email: None })
    });
    let login = ["closed_by.user_name", "resolved_by.user_name"].into_iter().find_map(|name| column(record, name));
    let closed_by_us = login.zip(account).map(|(by, me)| by.eq_ignore_ascii_case(me)).filter(|_| closed);
    let words = column(record, "close_notes").map(str::to_owned).or_else(|| last_entry(shown(record, "comments")?));
    TicketReading {
        status,
        closer: closer.filter(|_| closed),
        words: words.map(|w| render::clip(w.trim(), 4_000)).filter(|w| !w.is_empty()),
        first_work_at: column(record, "work_start").and_then(instant),
        closed_by_us,
        evidence: Vec::new(),
    }
}

/// Rows of `sys_attachment` as evidence. An instance that ignores a condition answers with files of others: only those that
/// name the record are its.
pub(super) fn files(rows: &[Value], ticket: &TicketRef, base: &str) -> Vec<Evidence> {
    let own = rows.iter().filter(|row| column(row, "table_sys_id") == Some(ticket.id.as_str()));
    let file = |row: &Value| {
        let id = column(row, "sys_id").filter(|id| id.bytes().all(|b| b.is_ascii_alphanumeric()))?;
        let url = format!("{base}/sys_attachment.do?sys_id={id}");
        Some(evidence::file(column(row, "file_name")?, Some(url)))
    };
    own.filter_map(file).collect()
}

/// The newest journal entry without its heading (`2024-03-09 19:53:49 - Name (Additional comments)`).
fn last_entry(journal: &str) -> Option<String> {
    let newest = journal.split("\n\n").next()?;
    let (heading, words) = newest.split_once('\n')?;
    instant(heading.get(..19)?).map(|_| words.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(more: &str) -> Settings {
        let text = format!("kind = \"servicenow\"\nurl = \"http://x\"\nauth = {{ bearer = {{ env = \"X\" }} }}\n{more}");
        toml::from_str(&text).unwrap()
    }

    fn meaning(more: &str, record: &Value) -> (Category, Option<Outcome>) {
        let settings = settings(more);
        let states = settings.states_in_force().unwrap();
        Meaning { states: &states, settings: &settings }.of(record)
    }

    #[test]
    fn states_and_close_codes_give_the_outcome_and_nothing_is_guessed() {
        let task = |state: &str, code: &str| meaning("", &json!({"state": state, "close_code": code, "active": "false"}));
        assert_eq!(task("3", ""), (Category::Closed, Some(Outcome::Fulfilled)));
        assert_eq!(task("4", ""), (Category::Closed, Some(Outcome::NotPossible)));
        assert_eq!(task("5", ""), (Category::Unknown, None));
        assert_eq!(task("3", "Invented here"), (Category::Closed, None));
        assert_eq!(task("3", "Not Solved (Too Costly)"), (Category::Closed, Some(Outcome::NotPossible)));
        assert_eq!(meaning("", &json!({"number": "X"})), (Category::Unknown, None));
    }

    #[test]
    fn resolved_counts_as_closed_only_where_it_shall() {
        let resolved = json!({"state": "6", "active": "true"});
        assert_eq!(meaning("table = \"incident\"", &resolved).0, Category::Closed);
        let strict = "table = \"incident\"\nresolved_is_closed = false";
        assert_eq!(meaning(strict, &resolved).0, Category::InProgress);
        let own = "table = \"u_iam\"\n[states]\n9 = { category = \"closed\", outcome = \"rejected\" }";
        assert_eq!(meaning(own, &json!({"state": "9"})), (Category::Closed, Some(Outcome::Rejected)));
        assert!(settings("table = \"u_iam\"").states_in_force().is_none());
    }

    #[test]
    fn last_words_lose_the_heading_with_the_name() {
        let journal = "2024-03-09 19:53:49 - Beth Anglin (Additional comments)\nDone as asked.\n\n2024-03-08 …\nold";
        assert_eq!(last_entry(journal).as_deref(), Some("Done as asked."));
        assert_eq!((instant(""), instant("1899-12-30 00:00:00")), (None, None));
        assert_eq!(instant("2024-03-09 19:53:49").map(written).as_deref(), Some("2024-03-09 19:53:49"));
    }
}
