//! CloudEvents 1.0 over HTTP: structured, binary and batched messages, and the handshake a sender makes first.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::mapping::Mapping;
use super::{EventContent, Handshake, HookRefusal, SourceEvent, digest};
use crate::http::{Inbound, Verified};
use crate::model::key::stable_id;

/// `[webhook.cloud_events]`: the messages are CloudEvents; the mapping starts at the event (`/type`, `/data/order/id`).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CloudEventsSettings {
    /// Senders that may deliver, as they name themselves in the handshake (`WebHook-Request-Origin`); `"*"`: any. None:
    /// handshakes are refused. The handshake proves nothing: `verify` decides what is believed.
    pub origins: Vec<String>,
    /// Deliveries a minute that are granted; none: any number.
    pub rate: Option<u32>,
    /// In binary mode id, source and type stand in headers, which no signature of the body covers: whoever replays a
    /// body may put others there. True accepts such messages all the same.
    pub unsigned_headers: bool,
}

/// What names an event; each must stand in it.
const ATTRIBUTES: [&str; 4] = ["specversion", "id", "source", "type"];

impl CloudEventsSettings {
    /// What the sender's request for permission is answered.
    #[must_use]
    pub fn handshake(&self, origin: &str) -> Handshake {
        let named = self.origins.iter().any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin));
        if named { Handshake::Granted { per_minute: self.rate } } else { Handshake::Refused }
    }

    /// What is wrong with it, in words for people.
    ///
    /// # Errors
    /// A rate of nothing.
    pub fn check(&self) -> Result<(), String> {
        match self.rate {
            Some(0) => Err("`rate` of 0 would let nobody deliver: leave it out for any number".to_owned()),
            _ => Ok(()),
        }
    }

    /// The events of a verified message.
    pub(super) fn events(&self, source: &str, map: &Mapping, verified: &Verified) -> Result<Vec<SourceEvent>, HookRefusal> {
        let inbound = verified.inbound();
        let documents = match mode(inbound)? {
            Mode::Structured => vec![json_of(&inbound.body)?],
            Mode::Batch => match json_of(&inbound.body)? {
                Value::Array(events) => events,
                _ => return Err(HookRefusal::NotReadable("a batch of CloudEvents is a JSON list".to_owned())),
            },
            Mode::Binary if verified.body_only() && !self.unsigned_headers => {
                let words = "in binary mode id, source and type stand in headers, which the signature does not cover: let the \
                             sender use structured mode, or set `unsigned_headers`";
                return Err(HookRefusal::NotReadable(words.to_owned()));
            }
            Mode::Binary => vec![binary(inbound)?],
        };
        Ok(documents.into_iter().filter_map(|document| event(source, map, document)).collect())
    }
}

enum Mode {
    Structured,
    Batch,
    Binary,
}

fn mode(inbound: &Inbound) -> Result<Mode, HookRefusal> {
    let kind = media_type(inbound.header("content-type").unwrap_or_default());
    match kind.as_str() {
        "application/cloudevents+json" => Ok(Mode::Structured),
        "application/cloudevents-batch+json" => Ok(Mode::Batch),
        other if other.starts_with("application/cloudevents") => {
            Err(HookRefusal::NotReadable("of CloudEvents only the JSON format is read".to_owned()))
        }
        _ if inbound.header("ce-specversion").is_some() => Ok(Mode::Binary),
        _ => Err(HookRefusal::NotReadable(
            "it is no CloudEvent: neither its content type nor a header `ce-specversion` says so".to_owned(),
        )),
    }
}

/// A media type without its parameters, in lower case.
pub(super) fn media_type(header: &str) -> String {
    header.split(';').next().unwrap_or_default().trim().to_lowercase()
}

fn json_of(body: &[u8]) -> Result<Value, HookRefusal> {
    serde_json::from_slice(body).map_err(|e| HookRefusal::not_json(&e))
}

fn is_json(kind: &str) -> bool {
    kind == "application/json" || kind.ends_with("+json")
}

/// Binary mode written as structured mode would.
fn binary(inbound: &Inbound) -> Result<Value, HookRefusal> {
    let mut event = Map::new();
    for (name, value) in &inbound.headers {
        let named = name.strip_prefix("ce-").filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_alphanumeric()));
        // What the event carries stands in the body, never in a header.
        if let Some(name) = named.filter(|name| *name != "data") {
            let value = percent_decode_str(value.trim_matches('"')).decode_utf8();
            let value = value.map_err(|_| HookRefusal::NotReadable(format!("header `ce-{name}` is not UTF-8")))?;
            event.insert(name.to_owned(), Value::String(value.into_owned()));
        }
    }
    let kind = inbound.header("content-type").unwrap_or_default();
    if !kind.is_empty() {
        event.insert("datacontenttype".to_owned(), json!(kind));
    }
    let body = &inbound.body;
    match std::str::from_utf8(body) {
        _ if body.is_empty() => {}
        _ if is_json(&media_type(kind)) => drop(event.insert("data".to_owned(), json_of(body)?)),
        Ok(text) => drop(event.insert("data".to_owned(), json!(text))),
        Err(_) => drop(event.insert("data_base64".to_owned(), json!(STANDARD.encode(body)))),
    }
    Ok(Value::Object(event))
}

/// One event; `None` when it is not for us. Source and id together name it, so that it is the same however it is sent.
fn event(source: &str, map: &Mapping, mut document: Value) -> Option<SourceEvent> {
    let text = document.to_string();
    if let Err(problem) = well_formed(&document) {
        let digest = digest(text.as_bytes());
        let content = EventContent::Unmappable { problem, body: text };
        return Some(SourceEvent { event_id: format!("body-{digest}"), digest, content });
    }
    unpack(&mut document);
    let text = document.to_string();
    let content = map.content(source, &document, &text)?;
    let word = |name: &str| document[name].as_str().unwrap_or_default().to_owned();
    let event_id = format!("ce-{}", stable_id(&["cloud-event", &word("source"), &word("id")]));
    // What a repetition may change (tracing, the envelope's form) is no part of what the event says.
    let says = json!([document["type"], document["subject"], document["data"], document["data_base64"]]);
    Some(SourceEvent { event_id, digest: digest(says.to_string().as_bytes()), content })
}

fn well_formed(document: &Value) -> Result<(), String> {
    for name in ATTRIBUTES {
        if document[name].as_str().is_none_or(str::is_empty) {
            return Err(format!("it is no CloudEvent: nothing stands at /{name}"));
        }
    }
    if document["specversion"].as_str().is_some_and(|version| version == "1.0") {
        return Ok(());
    }
    Err("what stands at /specversion is no version of CloudEvents that is known here (1.0)".to_owned())
}

/// JSON that was sent as base 64 is read like any other.
fn unpack(document: &mut Value) {
    let kind = media_type(document["datacontenttype"].as_str().unwrap_or("application/json"));
    let packed = document["data_base64"].as_str().filter(|_| is_json(&kind) && document["data"].is_null());
    let data = packed.and_then(|text| STANDARD.decode(text).ok()).and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    if let (Some(data), Some(event)) = (data, document.as_object_mut()) {
        event.remove("data_base64");
        event.insert("data".to_owned(), data);
    }
}
