//! The names a declaration may use, per operation, and samples of them for the check at start.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::place::write_time;
use super::settings::{Markup, Settings};
use crate::model::Timestamp;
use crate::model::ticket::{Draft, TicketRef};
use crate::plan::markup;

/// Kept as they are inside a path.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Neutral markup as the desk wants it.
pub(super) fn render(settings: &Settings, text: &str) -> String {
    let blocks = markup::parse(text);
    let max = settings.limits.body;
    match settings.markup {
        Markup::Plain => markup::to_plain(&blocks, max),
        Markup::Html => markup::to_html(&blocks, max),
        Markup::Wiki => markup::to_wiki(&blocks, max),
    }
}

/// A comment with its findable mark, however long it is.
fn marked(settings: &Settings, text: &str, mark: &str) -> String {
    let tail = format!("ref {mark}");
    let room = settings.limits.body.saturating_sub(tail.chars().count() + 16);
    let blocks = markup::parse(text);
    match settings.markup {
        Markup::Plain => format!("{}\n\n{tail}", markup::to_plain(&blocks, room).trim_end()),
        Markup::Html => format!("{}<p>{tail}</p>", markup::to_html(&blocks, room)),
        Markup::Wiki => format!("{}\n\n{tail}", markup::to_wiki(&blocks, room).trim_end()),
    }
}

/// Names of `create`.
pub(super) fn of_draft(settings: &Settings, draft: &Draft, zone: chrono_tz::Tz) -> Value {
    let word = draft.priority.clamp(0, 3).to_string();
    let priority = settings.priorities.get(&word).cloned().unwrap_or(word);
    let format = settings.operations.create.dates.as_deref().unwrap_or(&settings.times);
    json!({
        "key": draft.key,
        "group": draft.admin_group,
        "summary": markup::clip_line(&draft.summary, settings.limits.summary),
        "body": render(settings, &draft.body),
        "priority": priority,
        "due": draft.due_at.map(|at| write_time(at, format, zone)),
        "due_date": draft.due_at.map(|at| write_time(at, "%Y-%m-%d", zone)),
    })
}

/// Names of a call about one ticket.
pub(super) fn of_ticket(ticket: &TicketRef) -> Value {
    json!({"ticket": {"id": ticket.id, "number": ticket.number}})
}

/// Names of `comment` and `close`.
pub(super) fn of_comment(settings: &Settings, ticket: &TicketRef, mark: &str, body: &str) -> Value {
    with(of_ticket(ticket), json!({"mark": mark, "body": marked(settings, body, mark)}))
}

/// Names of `rewrite`.
pub(super) fn of_rewrite(settings: &Settings, ticket: &TicketRef, body: &str) -> Value {
    with(of_ticket(ticket), json!({"body": render(settings, body)}))
}

/// Names of `changed_since`.
pub(super) fn of_since(settings: &Settings, from: Timestamp, zone: chrono_tz::Tz) -> Value {
    let format = settings.operations.changed_since.as_ref().and_then(|o| o.dates.as_deref()).unwrap_or(&settings.times);
    json!({"since": write_time(from, format, zone)})
}

/// The members of both.
pub(super) fn with(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}

/// The same context with every text percent-encoded, for paths.
pub(super) fn for_path(context: &Value) -> Value {
    match context {
        Value::String(text) => Value::String(utf8_percent_encode(text, PATH).to_string()),
        Value::Array(items) => Value::Array(items.iter().map(for_path).collect()),
        Value::Object(members) => Value::Object(members.iter().map(|(k, v)| (k.clone(), for_path(v))).collect()),
        other => other.clone(),
    }
}

/// Every name an operation may use, with a sample value.
pub(super) fn sample(settings: &Settings, operation: &str) -> Value {
    let ticket = || json!({"ticket": {"id": "1", "number": "1"}});
    let own = match operation {
        "create" => json!({"key": "lm-a", "group": "g", "summary": "s", "body": "b", "priority": "1",
            "due": "2026-01-01T00:00:00.000Z", "due_date": "2026-01-01"}),
        "find" => json!({"key": "lm-a", "page": 1, "offset": 0, "cursor": "c"}),
        "read" => ticket(),
        "status" => json!({"ids": "1,2"}),
        "changed_since" => json!({"since": "0", "page": 1, "offset": 0, "cursor": "c"}),
        "comment" | "close" => with(ticket(), json!({"mark": "m", "body": "b"})),
        "rewrite" => with(ticket(), json!({"body": "b"})),
        "comments" => with(ticket(), json!({"mark": "m", "page": 1, "offset": 0, "cursor": "c"})),
        "files" => with(ticket(), json!({"page": 1, "offset": 0, "cursor": "c"})),
        "file_url" => with(ticket(), json!({"file": {"id": "1", "name": "n", "row": "1"}})),
        "group" => json!({"group": "g"}),
        "ticket_url" => ticket(),
        _ => json!({}),
    };
    let secrets: serde_json::Map<String, Value> = settings.secrets.keys().map(|n| (n.clone(), json!("s"))).collect();
    with(own, json!({"base": settings.url, "account": settings.account, "secrets": secrets, "steps": {}}))
}
