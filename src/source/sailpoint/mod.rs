//! SailPoint, and whatever else drives a generic service desk: lastmile *is* that desk. A request becomes a number at
//! once, and a status call is answered in the words of the platform's own status map.
//!
//! docs/sailpoint.md says how the platform's integration is set up.

mod settings;
mod status;

use std::path::Path;

use async_trait::async_trait;
use serde_json::{Value, json};

use self::settings::{SailPointFile, StatusWords, TicketSettings};
use super::field::{items, lookup};
use super::mapping::Mapping;
use super::{Capabilities, EventContent, HookRefusal, Question, Reply, Source, SourceEvent, SourceInfo, View, digest, native};
use crate::catalog::{ConfigFile, Problem};
use crate::http::signature::Scheme;
use crate::http::{CallError, Inbound};
use crate::model::Timestamp;
use crate::model::completion::Completion;
use crate::model::finding::{Finding, Grade};
use crate::model::key::stable_id;

/// Pointers start at the document of an item: `item`, the whole `request` around it, and our `number`. The words are
/// those of the platform's account and attribute requests.
const MAPPING: &str = r#"
external_id = "/number"
# Items of one request share its number: what they are about tells them apart, in whatever order they come.
generation = "/mark"
priority = { pointer = ["/item/priority", "/request/priority"], map = { Low = "low", Normal = "normal", High = "high", Critical = "urgent", "*" = "normal" } }
application = { id = ["/item/application/id", "/item/application", "/request/application"], name = ["/item/application/name", "/item/application", "/request/application"] }
entitlement = { id = "/item/value", name = ["/item/displayValue", "/item/value"] }
account = ["/item/account", "/item/nativeIdentity", "/request/account"]
beneficiary = { id = ["/item/identity/id", "/request/identity/id"], name = ["/item/identity/name", "/request/identity/name"], email = ["/item/identity/email", "/request/identity/email"] }
requester = { id = ["/request/requester/id"], name = ["/request/requester/name"], email = ["/request/requester/email"] }
approvals = { list = "/request/approvals", by = { id = "/by/id", name = "/by/name" }, at = "/at" }
requested_at = ["/item/requestedAt", "/request/requestedAt"]
approved_at = ["/item/approvedAt", "/request/approvedAt"]
valid_from = ["/item/startDate", "/request/startDate"]
valid_until = ["/item/endDate", "/request/endDate"]
reason = ["/item/comments", "/request/comments"]
[operation]
pointer = ["/item/operation", "/request/operation"]
map = { Add = "grant", Grant = "grant", Set = "modify", Modify = "modify", Unlock = "modify", Remove = "revoke", Revoke = "revoke", Create = "create_account", Enable = "enable_account", Disable = "disable_account", Lock = "disable_account", Delete = "delete_account" }
[attributes]
request = "/request/id"
attribute = "/item/attribute"
"#;

/// A generic service desk.
#[derive(Debug)]
pub struct SailPoint {
    info: SourceInfo,
    scheme: Scheme,
    tickets: TicketSettings,
    words: StatusWords,
    mapping: Mapping,
}

/// What a request wants, by its method and what stands behind the source's name.
enum Wanted {
    Create,
    Status(String),
    Cancel(String),
}

impl SailPoint {
    /// Reads the file and resolves its secrets.
    ///
    /// # Errors
    /// Everything that is wrong, each with its line.
    pub fn build(name: &str, file: &ConfigFile, folder: &Path) -> Result<Self, Vec<Problem>> {
        let settings: SailPointFile = file.parse().map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let mut note = |keys: &[&str], words: String| problems.push(file.problem(keys, words, None));
        let scheme = settings::scheme(&settings, folder).map_err(|(key, words)| note(&[key], words)).ok();
        if settings.tickets.prefix.contains('/') {
            note(&["tickets", "prefix"], "a number stands in an address: it cannot hold `/`".to_owned());
        }
        if !settings.tickets.items.starts_with('/') {
            note(&["tickets", "items"], "a JSON pointer starts with `/`".to_owned());
        }
        let s = &settings.status;
        let ends = [&s.done, &s.partly, &s.failed, &s.cancelled];
        let pending = [&s.received, &s.filed, &s.in_work, &s.waiting];
        if ends.iter().any(|end| pending.contains(end)) {
            note(&["status"], "a word means either that it goes on or that it has ended".to_owned());
        }
        let mapping = native::mapping(MAPPING, &settings.mapping).map_err(|words| note(&["mapping"], words)).ok();
        problems.extend(mapping.iter().flat_map(|(mapping, _)| native::mistakes(file, "mapping", mapping)));
        match (scheme, mapping) {
            (Some(scheme), Some((mapping, _))) if problems.is_empty() => {
                let SailPointFile { tickets, status: words, .. } = settings;
                Ok(Self { info: info(name), scheme, tickets, words, mapping })
            }
            _ => Err(problems),
        }
    }

    fn wanted(&self, inbound: &Inbound) -> Result<Wanted, HookRefusal> {
        let behind = inbound.path.strip_prefix("/hooks/").and_then(|path| path.split_once('/')).map_or("", |(_, rest)| rest);
        let (number, verb) = behind.split_once('/').unwrap_or((behind, ""));
        match (inbound.method.as_str(), number, verb) {
            ("POST", "", "") => Ok(Wanted::Create),
            ("GET", number, "") if !number.is_empty() => Ok(Wanted::Status(number.to_owned())),
            ("DELETE", number, "") | ("POST", number, "cancel") if !number.is_empty() => Ok(Wanted::Cancel(number.to_owned())),
            _ => Err(HookRefusal::NotReadable(
                "POST creates; GET, DELETE and POST …/cancel go to a number below this address".to_owned(),
            )),
        }
    }

    /// The body and its number: the same request always has the same one, so that it can be given before anything else.
    fn request(&self, inbound: &Inbound) -> Result<(String, Value), HookRefusal> {
        let body: Value = serde_json::from_slice(&inbound.body).map_err(|e| HookRefusal::not_json(&e))?;
        let id = self.tickets.id.required_text("tickets.id", &body).map_err(HookRefusal::NotReadable)?;
        Ok((self.number(&id), body))
    }

    fn number(&self, id: &str) -> String {
        format!("{}{}", self.tickets.prefix, stable_id(&["number", &self.info.name, id]))
    }

    /// A document for each item.
    fn documents(&self, number: &str, request: &Value) -> Vec<Value> {
        let listed = items(request, &self.tickets.items).filter(|list| !list.is_empty()).unwrap_or_else(|| vec![request]);
        let alone = listed.len() == 1;
        let document = |item: &Value| {
            // What an item repeats of its request is kept once.
            let mut whole = request.clone();
            if let Some(members) = whole.as_object_mut() {
                members.remove(self.tickets.items.trim_start_matches('/'));
            }
            json!({"number": number, "mark": if alone { 1 } else { mark(item) }, "item": item, "request": whole})
        };
        listed.into_iter().map(document).collect()
    }

    fn created(&self, inbound: &Inbound) -> Result<Vec<SourceEvent>, HookRefusal> {
        let (number, request) = self.request(inbound)?;
        let whole = digest(&inbound.body);
        let event = |document: Value| {
            let text = document.to_string();
            let content = self.mapping.content(&self.info.name, &document, &text)?;
            let event_id = format!("{}{}#{}", events_of(&number), &whole[..16], document["mark"]);
            Some(SourceEvent { event_id, digest: digest(text.as_bytes()), content })
        };
        Ok(self.documents(&number, &request).into_iter().filter_map(event).collect())
    }
}

/// Schema of the file, for editors.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(SailPointFile)
}

fn info(name: &str) -> SourceInfo {
    SourceInfo {
        name: name.to_owned(),
        kind: "sailpoint",
        capabilities: Capabilities {
            pushes: true,
            reason: true,
            ticket_link: true,
            report: true,
            asks: true,
            performer: true,
            times: true,
            evidence: true,
            progress: true,
            cancel: true,
            ..Capabilities::default()
        },
        list: None,
        schedule: None,
        confirm_quiet_ms: None,
    }
}

/// What the ids of the events that place an order begin with.
fn events_of(number: &str) -> String {
    format!("create-{number}-")
}

/// What an item is about, as a number: neither its place nor its dates are part of it.
fn mark(item: &Value) -> i64 {
    let names = ["/operation", "/application", "/account", "/nativeIdentity", "/attribute", "/value"];
    let parts: Vec<String> = names.iter().map(|name| lookup(item, name).map(Value::to_string).unwrap_or_default()).collect();
    let about = if parts.iter().all(String::is_empty) { item.to_string() } else { json!(parts).to_string() };
    // 48 bits: exact in every JSON reader.
    i64::from_str_radix(&digest(about.as_bytes())[..12], 16).unwrap_or(i64::MAX)
}

#[async_trait]
impl Source for SailPoint {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn accept(&self, inbound: Inbound, now: Timestamp) -> Result<Vec<SourceEvent>, HookRefusal> {
        let verified = self.scheme.verify(inbound, now)?;
        let inbound = verified.inbound();
        match self.wanted(inbound)? {
            Wanted::Create => self.created(inbound),
            Wanted::Status(_) => Ok(Vec::new()),
            Wanted::Cancel(number) => {
                let event_id = format!("cancel-{number}");
                let content = EventContent::Withdrawn { external_id: number, operation: None, reason: None };
                Ok(vec![SourceEvent { digest: digest(event_id.as_bytes()), event_id, content }])
            }
        }
    }

    fn question(&self, inbound: Inbound, now: Timestamp) -> Result<Option<Question>, HookRefusal> {
        let verified = self.scheme.verify(inbound, now)?;
        let inbound = verified.inbound();
        let (external_id, placed) = match self.wanted(inbound)? {
            Wanted::Create => (self.request(inbound)?.0, true),
            Wanted::Status(number) | Wanted::Cancel(number) => (number, false),
        };
        Ok(Some(Question { events: events_of(&external_id), external_id, placed }))
    }

    fn answer(&self, question: &Question, view: &View) -> Option<Reply> {
        let stage = status::stage(view)?;
        let body = status::body(&question.external_id, stage, &self.words, view);
        // Who has just placed it only wants the number; the outcome is told to who asks for it.
        let tells_outcome = stage.is_end() && !question.placed;
        Some(Reply { status: if question.placed { 201 } else { 200 }, body, tells_outcome })
    }

    fn remap(&self, event_id: &str, body: &str) -> SourceEvent {
        native::remap(&self.info.name, &self.mapping, event_id, body)
    }

    fn sample(&self, document: &Value) -> Vec<EventContent> {
        let id = self.tickets.id.text("tickets.id", document).ok().flatten().unwrap_or_default();
        let documents = self.documents(&self.number(&id), document);
        documents.iter().filter_map(|d| self.mapping.content(&self.info.name, d, &d.to_string())).collect()
    }

    async fn report(&self, _completion: &Completion) -> Result<(), CallError> {
        Err(CallError::reject("E-CONFIG", format!("source `{}` asks for outcomes; none is sent to it", self.info.name)))
    }

    async fn probe(&self) -> Result<(), CallError> {
        Ok(())
    }

    async fn check(&self) -> Vec<Finding> {
        let finding = |grade, what: &str, words: String| Finding { grade, what: what.to_owned(), words };
        let w = &self.words;
        let ends = format!("done `{}`, partly `{}`, failed `{}`, cancelled `{}`", w.done, w.partly, w.failed, w.cancelled);
        let pending = format!("received `{}`, filed `{}`, in work `{}`, waiting `{}`", w.received, w.filed, w.in_work, w.waiting);
        vec![
            finding(
                Grade::Good,
                "credentials",
                "they can be read; whether the platform shows the same is seen at its first request".to_owned(),
            ),
            finding(Grade::Good, "status map", format!("ends: {ends}; goes on: {pending}")),
        ]
    }
}
