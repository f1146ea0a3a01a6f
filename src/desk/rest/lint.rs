//! What is wrong with a declaration, found when it is loaded: each complaint names its line.

use serde_json::{Value, json};

use super::auth::AuthSettings;
use super::context::sample;
use super::operation::{BodyTemplate, Operation, Paging, Step};
use super::place::{Place, is_format};
use super::settings::{Settings, TicketPlaces};
use crate::catalog::file::nearest;
use crate::catalog::{ConfigFile, Problem};
use crate::model::ticket::Category;
use crate::plan::fill::Fill;
use crate::plan::names::unknown_paths;

/// Every problem of the declaration.
pub(super) fn problems(file: &ConfigFile, settings: &Settings) -> Vec<Problem> {
    let mut lint = Lint { file, out: Vec::new(), fill: Fill::default() };
    lint.connection(settings);
    for (name, operation) in settings.operations.all() {
        lint.operation(settings, name, operation);
    }
    lint.duties(settings);
    lint.meaning(settings);
    lint.places(settings);
    lint.out
}

struct Lint<'a> {
    file: &'a ConfigFile,
    out: Vec<Problem>,
    fill: Fill,
}

impl Lint<'_> {
    fn say(&mut self, keys: &[&str], message: impl Into<String>, help: &str) {
        let help = (!help.is_empty()).then(|| help.to_owned());
        self.out.push(self.file.problem(keys, message, help));
    }

    fn connection(&mut self, settings: &Settings) {
        match url::Url::parse(&settings.url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.password().is_none() && url.username().is_empty() => {}
            _ => {
                let words = "the address must be https (or http) and hold no credentials";
                self.say(&["url"], words, "write https://host; credentials stand under [auth]");
            }
        }
        if settings.zone.parse::<chrono_tz::Tz>().is_err() {
            self.say(&["zone"], format!("`{}` is not a zone", settings.zone), "write it like `Europe/Berlin`");
        }
        self.format(&["times"], &settings.times);
        if settings.limits.timeout.ms() < 1000 {
            self.say(&["limits", "timeout"], "a time-out below one second turns slow into unclear", "");
        }
        for priority in settings.priorities.keys().filter(|p| !matches!(p.as_str(), "0" | "1" | "2" | "3")) {
            self.say(&["priorities", priority], format!("there is no priority `{priority}`"), "ours are 0, 1, 2 and 3");
        }
        self.statuses(&["statuses"], &settings.statuses);
        let names = sample(settings, "");
        for (name, text) in &settings.headers {
            self.template(&["headers", name], text, &names);
        }
        if let AuthSettings::Login { path, headers, body, .. } = &settings.auth {
            self.template(&["auth", "path"], path, &names);
            headers.iter().for_each(|(name, text)| self.template(&["auth", "headers", name], text, &names));
            self.body(&["auth", "body"], body.as_ref(), &names);
        }
        if let Some(text) = &settings.ticket_url {
            self.template(&["ticket_url"], text, &sample(settings, "ticket_url"));
        }
    }

    fn format(&mut self, keys: &[&str], format: &str) {
        if !is_format(format) {
            let help = "use `rfc3339`, `epoch_s`, `epoch_ms`, `datetime` or a pattern like `%d.%m.%Y %H:%M`";
            self.say(keys, format!("`{format}` is no way to write dates"), help);
        }
    }

    fn statuses(&mut self, keys: &[&str], table: &std::collections::BTreeMap<String, super::operation::Word>) {
        for status in table.keys().filter(|s| s.parse::<u16>().map_or(true, |n| !(100..600).contains(&n))) {
            let keys: Vec<&str> = keys.iter().copied().chain([status.as_str()]).collect();
            self.say(&keys, format!("`{status}` is not an HTTP status"), "");
        }
    }

    /// One operation: its templates, steps and pointers.
    fn operation(&mut self, settings: &Settings, name: &str, operation: &Operation) {
        let keys = ["operations", name];
        let mut names = sample(settings, name);
        self.steps(name, "before", &operation.before, &mut names);
        self.template(&[keys[0], name, "path"], &operation.path, &names);
        for (parameter, text) in &operation.query {
            self.template(&[keys[0], name, "query", parameter], text, &names);
        }
        for (header, text) in &operation.headers {
            self.template(&[keys[0], name, "headers", header], text, &names);
        }
        self.body(&[keys[0], name, "body"], operation.body.as_ref(), &names);
        self.statuses(&[keys[0], name, "statuses"], &operation.statuses);
        if !operation.path.starts_with('/') {
            self.say(&[keys[0], name, "path"], "a path starts with `/`", "");
        }
        if let Some(at) = &operation.at {
            self.pointer(&[keys[0], name, "at"], at);
        }
        if let Some(dates) = &operation.dates {
            self.format(&[keys[0], name, "dates"], dates);
        }
        if let Some(batch) = &operation.batch {
            self.template(&[keys[0], name, "batch", "each"], &batch.each, &json!({"id": "1"}));
        }
        if name == "read" {
            let mut names = sample(settings, name);
            self.steps(name, "after", &operation.after, &mut names);
            let reading = &settings.reading;
            let parts = [
                ("closer", &reading.closer),
                ("closer_name", &reading.closer_name),
                ("words", &reading.words),
                ("first_work_at", &reading.first_work_at),
            ];
            for (part, text) in parts.iter().filter_map(|(part, text)| Some((part, text.as_ref()?))) {
                self.template(&["reading", part], text, &json!({"steps": names["steps"]}));
            }
        } else if !operation.after.is_empty() {
            self.say(&[keys[0], name, "after"], "only `operations.read` makes calls after its own", "");
        }
    }

    fn steps(&mut self, operation: &str, when: &str, steps: &[Step], names: &mut Value) {
        for (index, step) in steps.iter().enumerate() {
            let index = index.to_string();
            let at = |part: &'static str| ["operations", operation, when, index.as_str(), part].map(str::to_owned);
            let plain = !step.name.is_empty() && step.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !plain {
                self.say(&as_refs(&at("name")), "a step needs a name of letters, digits and `_`", "");
            }
            self.template(&as_refs(&at("path")), &step.path, names);
            let queries = step.query.values().chain(step.only.values().flatten()).chain(step.except.values().flatten());
            queries.for_each(|text| self.template(&as_refs(&at("query")), text, names));
            self.body(&as_refs(&at("body")), step.body.as_ref(), names);
            step.capture.values().for_each(|place| self.place(&as_refs(&at("capture")), place));
            let captured: serde_json::Map<String, Value> = step.capture.keys().map(|n| (n.clone(), json!("s"))).collect();
            names["steps"][&step.name] = Value::Object(captured);
        }
    }

    fn body(&mut self, keys: &[&str], body: Option<&BodyTemplate>, names: &Value) {
        match body {
            None => {}
            Some(BodyTemplate::Json(json)) => self.leaves(&joined(keys, "json"), json, names),
            Some(BodyTemplate::Text(text)) => self.template(keys, text, names),
            Some(BodyTemplate::Form(form)) => form.values().for_each(|text| self.template(keys, text, names)),
            Some(BodyTemplate::FormJson { json, form, .. }) => {
                let keys = joined(keys, "form_json");
                form.values().for_each(|text| self.template(&keys, text, names));
                self.leaves(&joined(&keys, "json"), json, names);
            }
        }
    }

    fn leaves(&mut self, keys: &[&str], value: &Value, names: &Value) {
        match value {
            Value::String(text) => self.template(keys, text, names),
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(n, item)| self.leaves(&joined(keys, &n.to_string()), item, names))
            }
            Value::Object(members) => members.iter().for_each(|(name, member)| self.leaves(&joined(keys, name), member, names)),
            _ => {}
        }
    }

    /// A text with `{{…}}`: it can be read, and every name in it exists there.
    fn template(&mut self, keys: &[&str], text: &str, names: &Value) {
        for unknown in unknown_paths(text, names) {
            let known = all_names(names);
            let help = match nearest(&unknown.path, known.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `{{{{{near}}}}}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            self.say(keys, format!("`{{{{{}}}}}` does not exist here", unknown.path), &help);
        }
        if unknown_paths(text, names).is_empty() && self.fill.text(text, names).is_err() {
            self.say(keys, "the text with `{{…}}` cannot be read", "each `{{` needs a name and `}}`");
        }
    }

    fn pointer(&mut self, keys: &[&str], pointer: &str) {
        if !pointer.is_empty() && !pointer.starts_with('/') {
            self.say(keys, format!("`{pointer}` is not a pointer"), &format!("did you mean `/{}`?", pointer.replace('.', "/")));
        }
    }

    fn place(&mut self, keys: &[&str], place: &Place) {
        place.pointers().into_iter().for_each(|pointer| self.pointer(keys, pointer));
        if let Place::Table(table) = place {
            if let Some(format) = &table.format {
                self.format(keys, format);
            }
            if table.at.is_none() && table.header.is_none() && !table.body {
                self.say(keys, "it does not say where the value stands", "give `at`, `header` or `body = true`");
            }
        }
    }

    fn places(&mut self, settings: &Settings) {
        self.ticket_places(&["ticket"], &settings.ticket);
        for (name, operation) in settings.operations.all() {
            if let Some(places) = &operation.ticket {
                self.ticket_places(&["operations", name, "ticket"], places);
            }
        }
        if let Some(hook) = &settings.webhook {
            self.place(&["webhook", "ticket"], &hook.ticket);
            hook.key.iter().for_each(|place| self.place(&["webhook", "key"], place));
        }
        if let Some(files) = &settings.files {
            self.place(&["files", "name"], &files.name);
            files.id.iter().for_each(|place| self.place(&["files", "id"], place));
            files.row.iter().for_each(|place| self.place(&["files", "row"], place));
            let names = sample(settings, "file_url");
            files.url.iter().for_each(|text| self.template(&["files", "url"], text, &names));
        }
        if settings.files.is_some() != settings.operations.files.is_some() {
            let words = "files need both: the call that lists them, and where they stand in its rows";
            self.say(&["operations"], words, "declare `operations.files` and `[files]`, or neither");
        }
        for pointer in &settings.errors {
            self.pointer(&["errors"], pointer);
        }
    }

    fn ticket_places(&mut self, keys: &[&str], places: &TicketPlaces) {
        if places.id.is_none() {
            self.say(&joined(keys, "id"), "it is not said where the ticket's id stands", "give `id`");
        }
        let named = [
            ("id", &places.id),
            ("number", &places.number),
            ("key", &places.key),
            ("status", &places.status),
            ("resolution", &places.resolution),
            ("updated", &places.updated),
            ("closed_at", &places.closed_at),
            ("created_by", &places.created_by),
            ("group", &places.group),
            ("owner", &places.owner),
        ];
        for (name, place) in named.iter().filter_map(|(name, place)| Some((name, place.as_ref()?))) {
            self.place(&joined(keys, name), place);
        }
        places.more.iter().for_each(|(name, place)| self.place(&joined(&joined(keys, "more"), name), place));
    }

    /// What operations owe to the promise.
    fn duties(&mut self, settings: &Settings) {
        let operations = &settings.operations;
        if !uses(&operations.create, "key") {
            self.say(
                &["operations", "create"],
                "`{{key}}` does not travel in the create",
                "put it into a field that can be searched",
            );
        }
        let searchable = operations.find.is_some() || settings.create_is_idempotent;
        if !searchable && settings.when_unclear.is_none() {
            self.say(
                &["operations"],
                "this desk cannot be searched: what becomes of a create of which nobody knows whether it made a ticket?",
                "declare `operations.find`, or choose: `when_unclear = \"maybe_twice\"` or `when_unclear = \"maybe_never\"`",
            );
        }
        if searchable && settings.when_unclear.is_some() {
            self.say(&["when_unclear"], "a desk that can be searched leaves nothing to choose", "take it out");
        }
        if let Some(find) = &operations.find {
            if !uses(find, "key") {
                self.say(&["operations", "find"], "`find` does not ask for `{{key}}`", "");
            }
            if settings.ticket.key.is_none() {
                self.say(&["ticket"], "it is not said where our key stands", "give `key`: rows without it are never believed");
            }
        }
        for (name, operation) in [("comment", &operations.comment), ("close", &operations.close)] {
            if operation.as_ref().is_some_and(|o| !uses(o, "body") && !uses(o, "mark")) {
                let words = format!("`{name}` carries neither `{{{{body}}}}` nor `{{{{mark}}}}`: nobody could find it again");
                self.say(&["operations", name], words, "");
            }
        }
        if operations.status.as_ref().is_some_and(|o| o.batch.is_none() || !uses(o, "ids")) {
            self.say(
                &["operations", "status"],
                "`status` needs `batch` and `{{ids}}`",
                "or leave it out: tickets are then read one by one",
            );
        }
        if let Some(changed) = &operations.changed_since {
            if !uses(changed, "since") {
                self.say(&["operations", "changed_since"], "`changed_since` does not ask for `{{since}}`", "");
            }
            if settings.ticket.updated.is_none() && changed.ticket.as_ref().is_none_or(|t| t.updated.is_none()) {
                self.say(&["ticket"], "`changed_since` needs the time of the last change", "give `updated`");
            }
        }
        for (name, operation) in operations.all() {
            let counter = match &operation.paging {
                Some(Paging::Page { .. }) => "page",
                Some(Paging::Offset { .. }) => "offset",
                Some(Paging::Cursor { .. }) => "cursor",
                _ => continue,
            };
            if !uses(operation, counter) {
                self.say(
                    &["operations", name, "paging"],
                    format!("no `{{{{{counter}}}}}` is asked for: every page would be the first"),
                    "",
                );
            }
        }
    }

    /// Status rules.
    fn meaning(&mut self, settings: &Settings) {
        if settings.status.is_empty() {
            self.say(&["status"], "no [[status]] says what the desk's words mean", "every ticket would wait for a person");
        }
        let mut known: Vec<&str> = vec!["status", "resolution"];
        known.extend(settings.ticket.more.keys().map(String::as_str));
        for (index, rule) in settings.status.iter().enumerate() {
            let index = index.to_string();
            for name in rule.when.keys().filter(|name| !known.contains(&name.as_str())) {
                let help = format!("known here: {}", known.join(", "));
                self.say(&["status", &index], format!("`{name}` is not read from tickets"), &help);
            }
            if rule.outcome.0.is_some() && rule.category != Category::Closed {
                self.say(&["status", &index], "an outcome belongs to `category = \"closed\"` only", "");
            }
            if rule.when.is_empty() && rule.category == Category::Closed {
                self.say(&["status", &index], "a rule without `when` would take everything for closed", "name the statuses");
            }
        }
    }
}

/// Whether an operation names `{{word}}` anywhere.
fn uses(operation: &Operation, word: &str) -> bool {
    let parts = (&operation.path, &operation.query, &operation.headers, &operation.body);
    let text = serde_json::to_string(&parts).unwrap_or_default();
    text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()).any(|inner| inner.split_whitespace().any(|w| w == word))
}

fn all_names(names: &Value) -> Vec<String> {
    let mut out = Vec::new();
    let Value::Object(members) = names else { return out };
    for (name, value) in members {
        match value {
            Value::Object(_) => out.extend(all_names(value).into_iter().map(|inner| format!("{name}.{inner}"))),
            _ => out.push(name.clone()),
        }
    }
    out
}

fn joined<'a>(keys: &[&'a str], more: &'a str) -> Vec<&'a str> {
    keys.iter().copied().chain([more]).collect()
}

fn as_refs(keys: &[String]) -> Vec<&str> {
    keys.iter().map(String::as_str).collect()
}
