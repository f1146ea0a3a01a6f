//! Jira's JSON, read and written. Pure.

use serde_json::{Map, Value, json};

use super::settings::{Api, FieldShape, GroupAs, KeyAs, Settings};
use crate::desk::common::{our_key, text};
use crate::desk::evidence;
use crate::desk::render;
use crate::model::assignment::Person;
use crate::model::completion::Evidence;
use crate::model::key::Key;
use crate::model::ticket::{Category, Draft, TicketReading, TicketRef, TicketStatus};
use crate::model::{Outcome, Timestamp};

/// Longest summary that Jira takes.
pub(super) const MAX_SUMMARY: usize = 255;
/// Longest text that Jira takes, with room for escapes.
pub(super) const MAX_BODY: usize = 30_000;

/// The explanation in an error body of Jira.
pub(super) fn error_words(body: &Value) -> String {
    let mut words: Vec<String> = Vec::new();
    if let Some(messages) = body.get("errorMessages").and_then(Value::as_array) {
        words.extend(messages.iter().filter_map(Value::as_str).map(str::to_owned));
    }
    if let Some(errors) = body.get("errors").and_then(Value::as_object) {
        words.extend(errors.iter().map(|(field, why)| format!("{field}: {}", why.as_str().unwrap_or("refused"))));
    }
    words.extend(text(body, "/errorMessage").map(str::to_owned));
    words.join("; ")
}

/// `2021-03-10T10:05:51.199+0000`, with or without a colon in the offset.
pub(super) fn instant(value: &str) -> Option<Timestamp> {
    let parsed = chrono::DateTime::parse_from_str(value, "%Y-%m-%dT%H:%M:%S%.f%z")
        .or_else(|_| chrono::DateTime::parse_from_rfc3339(value));
    parsed.ok().map(|t| Timestamp(t.timestamp_millis()))
}

fn instant_at(fields: &Value, name: &str) -> Option<Timestamp> {
    fields.get(name)?.as_str().and_then(instant)
}

/// A person's id: account id on Cloud, key or name on Data Center.
pub(super) fn account(user: &Value) -> Option<&str> {
    ["/accountId", "/key", "/name"].into_iter().find_map(|p| text(user, p))
}

pub(super) fn person(user: &Value) -> Option<Person> {
    Some(Person {
        id: account(user)?.to_owned(),
        name: text(user, "/displayName").map(str::to_owned),
        email: text(user, "/emailAddress").map(str::to_owned),
    })
}

impl Settings {
    /// The fields read with every status.
    pub(super) fn fields(&self) -> Vec<String> {
        let fixed = [
            "status",
            "resolution",
            "resolutiondate",
            "statuscategorychangedate",
            "labels",
            "components",
            "project",
            "assignee",
            "creator",
            "updated",
        ];
        let mut fields: Vec<String> = fixed.map(str::to_owned).to_vec();
        fields.extend(match &self.key_as {
            KeyAs::Field(id) => Some(id.clone()),
            KeyAs::Label => None,
        });
        fields.extend(match &self.admin_group_as {
            GroupAs::Field { id, .. } => Some(id.clone()),
            _ => None,
        });
        fields
    }

    /// The JQL clause that selects the key.
    pub(super) fn key_clause(&self, key: &Key) -> String {
        match &self.key_as {
            KeyAs::Label => format!("labels = \"{key}\""),
            // Text fields know only "contains"; the row is compared exactly afterwards.
            KeyAs::Field(id) => format!("cf[{}] ~ \"\\\"{key}\\\"\"", id.trim_start_matches("customfield_")),
        }
    }

    /// Text in the language of the configured version.
    pub(super) fn render(&self, markup: &str) -> Value {
        match self.api {
            Api::V2 => Value::String(render::wiki(markup, MAX_BODY)),
            Api::V3 => render::adf(markup, MAX_BODY),
        }
    }

    /// The same with a findable mark under it.
    pub(super) fn render_marked(&self, markup: &str, mark: &str) -> Value {
        match self.api {
            Api::V2 => Value::String(render::wiki_with_mark(markup, mark, MAX_BODY)),
            Api::V3 => render::adf_with_mark(markup, mark, MAX_BODY),
        }
    }

    /// Body of the create call.
    pub(super) fn create_body(&self, draft: &Draft) -> Value {
        let mut fields: Map<String, Value> = draft.fields.clone().into_iter().collect();
        let mut labels: Vec<Value> = match fields.remove("labels") {
            Some(Value::Array(labels)) => labels,
            Some(label @ Value::String(_)) => vec![label],
            _ => Vec::new(),
        };
        if let Some(project) = &self.project {
            fields.insert("project".to_owned(), json!({"key": project}));
        }
        fields.insert("issuetype".to_owned(), json!({"name": self.issue_type}));
        fields.insert("summary".to_owned(), json!(render::clip(&draft.summary, MAX_SUMMARY)));
        fields.insert("description".to_owned(), self.render(&draft.body));
        self.place_group(&mut fields, &mut labels, &draft.admin_group);
        match &self.key_as {
            KeyAs::Label => labels.push(json!(draft.key)),
            KeyAs::Field(id) => {
                fields.insert(id.clone(), json!(draft.key));
            }
        }
        if !labels.is_empty() {
            fields.insert("labels".to_owned(), Value::Array(labels));
        }
        if let Some(priority) = self.priorities.get(&draft.priority.to_string()) {
            fields.insert("priority".to_owned(), json!({"name": priority}));
        }
        if let (Some(field), Some(due)) = (&self.due_field, draft.due_at) {
            fields.insert(field.clone(), json!(due.to_utc().format("%Y-%m-%d").to_string()));
        }
        json!({"fields": fields})
    }

    fn place_group(&self, fields: &mut Map<String, Value>, labels: &mut Vec<Value>, group: &str) {
        match &self.admin_group_as {
            GroupAs::Component => {
                fields.insert("components".to_owned(), json!([{"name": group}]));
            }
            GroupAs::Label => labels.push(json!(group)),
            GroupAs::Project => {
                fields.insert("project".to_owned(), json!({"key": group}));
            }
            GroupAs::Field { id, shape } => {
                let value = match shape {
                    FieldShape::Option => json!({"value": group}),
                    FieldShape::Group => json!({"name": group}),
                    FieldShape::Text => json!(group),
                };
                fields.insert(id.clone(), value);
            }
        }
    }

    /// The field that holds our key.
    pub(super) fn key_field(&self) -> &str {
        match &self.key_as {
            KeyAs::Label => "labels",
            KeyAs::Field(id) => id,
        }
    }

    /// The field an error about the group names.
    pub(super) fn group_field(&self) -> &str {
        match &self.admin_group_as {
            GroupAs::Component => "components",
            GroupAs::Label => "labels",
            GroupAs::Project => "project",
            GroupAs::Field { id, .. } => id,
        }
    }

    fn group_of(&self, fields: &Value) -> Option<String> {
        let found = match &self.admin_group_as {
            GroupAs::Component => text(fields, "/components/0/name"),
            GroupAs::Project => text(fields, "/project/key"),
            GroupAs::Label => fields.get("labels")?.as_array()?.iter().filter_map(Value::as_str).find(|l| our_key(l).is_none()),
            GroupAs::Field { id, .. } => {
                let value = fields.get(id)?;
                value.as_str().or_else(|| text(value, "/value")).or_else(|| text(value, "/name"))
            }
        };
        found.map(str::to_owned)
    }

    fn keys_of(&self, fields: &Value) -> Vec<Key> {
        match &self.key_as {
            KeyAs::Label => {
                let labels = fields.get("labels").and_then(Value::as_array);
                labels.into_iter().flatten().filter_map(Value::as_str).filter_map(our_key).collect()
            }
            KeyAs::Field(id) => fields.get(id).and_then(Value::as_str).and_then(our_key).into_iter().collect(),
        }
    }

    /// Category and outcome: from the category of the status and the resolution's map, never from names of statuses.
    fn meaning(&self, fields: &Value) -> (Category, Option<Outcome>) {
        let named = |list: &[String]| {
            let (id, name) = (text(fields, "/status/id"), text(fields, "/status/name"));
            list.iter().any(|w| Some(w.as_str()) == id || name.is_some_and(|n| n.eq_ignore_ascii_case(w)))
        };
        match text(fields, "/status/statusCategory/key") {
            Some("done") => (Category::Closed, self.outcome(fields.get("resolution"))),
            Some("new" | "indeterminate") if named(&self.waiting_statuses) => (Category::Waiting, None),
            Some("new") => (Category::Open, None),
            Some("indeterminate") => (Category::InProgress, None),
            _ => (Category::Unknown, None),
        }
    }

    fn outcome(&self, resolution: Option<&Value>) -> Option<Outcome> {
        match resolution {
            Some(Value::Null) => self.outcome_without_resolution.0,
            Some(resolution) => {
                let by_id = text(resolution, "/id").and_then(|id| self.outcomes.get(id));
                let by_name = || {
                    let name = text(resolution, "/name")?;
                    self.outcomes.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, outcome)| outcome)
                };
                by_id.or_else(by_name).and_then(|outcome| outcome.0)
            }
            // A field left out means that we may not see it, not that it is empty.
            None => None,
        }
    }

    /// An issue as a status; with `wanted`, that key is named when the issue carries it.
    pub(super) fn status_of(&self, issue: &Value, wanted: Option<&Key>) -> Option<TicketStatus> {
        let fields = issue.get("fields")?;
        let id = text(issue, "/id")?.to_owned();
        let number = text(issue, "/key").unwrap_or(&id).to_owned();
        let keys = self.keys_of(fields);
        let key = match wanted {
            Some(wanted) => keys.into_iter().find(|k| k == wanted),
            None => keys.into_iter().next(),
        };
        let (category, outcome) = self.meaning(fields);
        let closed_at = (category == Category::Closed)
            .then(|| instant_at(fields, "resolutiondate").or_else(|| instant_at(fields, "statuscategorychangedate")))
            .flatten();
        Some(TicketStatus {
            ticket: TicketRef { id, number },
            key,
            category,
            outcome,
            status: text(fields, "/status/name").unwrap_or("not visible").to_owned(),
            resolution: text(fields, "/resolution/name").map(str::to_owned),
            group: self.group_of(fields),
            assigned: fields.get("assignee").is_some_and(Value::is_object),
            created_by: fields.get("creator").and_then(account).map(str::to_owned),
            updated_at: instant_at(fields, "updated"),
            closed_at,
        })
    }
}

/// Closer and start of work from an issue's history, last words from its comments (without our own).
pub(super) fn reading(status: TicketStatus, issue: &Value, comments: &[Value], me: &str) -> TicketReading {
    let mut moves: Vec<(Timestamp, &Value)> = issue
        .pointer("/changelog/histories")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|h| h.get("items").and_then(Value::as_array).is_some_and(|i| i.iter().any(is_status_item)))
        .filter_map(|h| Some((text(h, "/created").and_then(instant)?, h)))
        .collect();
    moves.sort_by_key(|(at, _)| *at);
    let closed = status.category == Category::Closed;
    let closer = closed.then(|| moves.last().and_then(|(_, h)| person(h.get("author")?))).flatten();
    let worked = if closed { moves.len() > 1 } else { !moves.is_empty() };
    let first_work_at = worked.then(|| moves.first().map(|(at, _)| *at)).flatten();
    let words = comments
        .iter()
        .filter(|c| c.get("author").and_then(account) != Some(me) && c.get("jsdPublic") != Some(&Value::Bool(false)))
        .filter_map(|c| Some((text(c, "/created").and_then(instant)?, render::adf_text(c.get("body")?))))
        .filter(|(_, words)| !words.is_empty())
        .max_by_key(|(at, _)| *at)
        .map(|(_, words)| render::clip(&words, 4_000));
    let closed_by_us = closer.as_ref().map(|c| c.id == me);
    TicketReading { status, closer, words, first_work_at, closed_by_us, evidence: files(issue) }
}

/// The files that lie with it, oldest first.
fn files(issue: &Value) -> Vec<Evidence> {
    let files = issue.pointer("/fields/attachment").and_then(Value::as_array).into_iter().flatten();
    let file = |f: &Value| {
        let url = text(f, "/content").filter(|url| url.starts_with("https://") || url.starts_with("http://"));
        Some(evidence::file(text(f, "/filename")?, url.map(str::to_owned)))
    };
    files.filter_map(file).take(evidence::MOST).collect()
}

fn is_status_item(item: &Value) -> bool {
    text(item, "/field") == Some("status") || text(item, "/fieldId") == Some("status")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(more: &str) -> Settings {
        let text =
            format!("kind = \"jira\"\nurl = \"http://x\"\nproject = \"IAM\"\nauth = {{ bearer = {{ env = \"X\" }} }}\n{more}");
        toml::from_str(&text).unwrap()
    }

    fn issue(category: &str, resolution: Value) -> Value {
        json!({"id": "7", "key": "IAM-7", "fields": {
            "status": {"id": "3", "name": "Done-ish", "statusCategory": {"key": category}},
            "resolution": resolution, "labels": ["x", Key::of("i", &["a"], 1)],
            "updated": "2021-03-10T10:05:51.199+0000"}})
    }

    #[test]
    fn closing_is_told_by_category_and_outcome_by_resolution() {
        let s = settings("");
        let meaning = |i: &Value| s.status_of(i, None).map(|t| (t.category, t.outcome)).unwrap();
        assert_eq!(meaning(&issue("done", json!({"name": "won't do"}))), (Category::Closed, Some(Outcome::Rejected)));
        assert_eq!(meaning(&issue("done", json!({"name": "Nobody knows"}))), (Category::Closed, None));
        assert_eq!(meaning(&issue("done", Value::Null)), (Category::Closed, Some(Outcome::Fulfilled)));
        assert_eq!(meaning(&issue("undefined", Value::Null)), (Category::Unknown, None));
        let mut hidden = issue("done", Value::Null);
        hidden["fields"].as_object_mut().unwrap().remove("resolution");
        assert_eq!(meaning(&hidden), (Category::Closed, None));
        let waits = settings("waiting_statuses = [\"done-ish\"]");
        assert_eq!(waits.status_of(&issue("indeterminate", Value::Null), None).unwrap().category, Category::Waiting);
    }

    #[test]
    fn a_resolution_may_be_mapped_by_id_or_left_to_a_person() {
        let s = settings("outcome_without_resolution = \"ask\"\n[outcomes]\n10001 = \"partly_fulfilled\"");
        let by_id = s.status_of(&issue("done", json!({"id": "10001", "name": "Teilweise"})), None).unwrap();
        assert_eq!(by_id.outcome, Some(Outcome::PartlyFulfilled));
        assert_eq!(s.status_of(&issue("done", Value::Null), None).unwrap().outcome, None);
        assert_eq!(by_id.updated_at, Some(Timestamp(1_615_370_751_199)));
    }

    #[test]
    fn our_fields_win_over_the_applications() {
        let draft = Draft {
            key: Key::of("i", &["a"], 1),
            admin_group: "SAP".into(),
            summary: "s".repeat(300),
            body: "b".into(),
            priority: 3,
            due_at: None,
            fields: [("labels".to_owned(), json!(["mine"])), ("summary".to_owned(), json!("theirs"))].into(),
        };
        let body = settings("[priorities]\n3 = \"Highest\"").create_body(&draft);
        assert_eq!(body["fields"]["labels"], json!(["mine", draft.key]));
        assert_eq!(body["fields"]["summary"].as_str().unwrap().chars().count(), 255);
        assert_eq!(body["fields"]["priority"], json!({"name": "Highest"}));
        assert_eq!(body["fields"]["components"], json!([{"name": "SAP"}]));
    }
}
