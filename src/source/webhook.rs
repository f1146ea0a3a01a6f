//! Events that the platform sends by itself.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::cloud_events::CloudEventsSettings;
use super::field::{Field, Pointer, items};
use super::mapping::Mapping;
use super::{EventContent, Handshake, HookRefusal, SourceEvent, digest};
use crate::catalog::scheme::SchemeSettings;
use crate::http::signature::Scheme;
use crate::http::{Inbound, Verified};
use crate::model::Timestamp;

/// `[webhook]`: how the platform's own messages are verified and taken apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookSettings {
    /// How the sender proves who it is.
    pub verify: SchemeSettings,
    /// The event's id in the body, where the sender has none in a header. Without either, the body's digest is the id.
    #[serde(default)]
    pub event_id: Option<Field>,
    /// Where the body holds a list of events; the mapping then starts at each of them.
    #[serde(default)]
    pub events: Option<Pointer>,
    /// The messages are CloudEvents.
    #[serde(default)]
    pub cloud_events: Option<CloudEventsSettings>,
}

/// Verifies and reads webhooks.
#[derive(Debug)]
pub struct Hook {
    scheme: Scheme,
    event_id: Option<Field>,
    events: Option<Pointer>,
    cloud_events: Option<CloudEventsSettings>,
}

impl Hook {
    /// Resolves the secrets.
    ///
    /// # Errors
    /// The key at fault and words for people that name the variable, file or value.
    pub fn new(settings: &WebhookSettings, folder: &Path) -> Result<Self, (&'static str, String)> {
        if let Some(cloud_events) = &settings.cloud_events {
            cloud_events.check().map_err(|words| ("cloud_events", words))?;
            if settings.events.is_some() || settings.event_id.is_some() {
                let words = "CloudEvents carry their own ids and batches: leave `events` and `event_id` out";
                return Err(("cloud_events", words.to_owned()));
            }
        }
        Ok(Self {
            scheme: settings.verify.resolve(folder).map_err(|words| ("verify", words))?,
            event_id: settings.event_id.clone(),
            events: settings.events.clone(),
            cloud_events: settings.cloud_events.clone(),
        })
    }

    /// Verifies a message of which another reads the body.
    pub(super) fn verify(&self, inbound: Inbound, now: Timestamp) -> Result<Verified, HookRefusal> {
        Ok(self.scheme.verify(inbound, now)?)
    }

    /// What a sender's request for permission is answered.
    #[must_use]
    pub fn handshake(&self, origin: &str) -> Handshake {
        self.cloud_events.as_ref().map_or(Handshake::NotTaken, |settings| settings.handshake(origin))
    }

    /// Verifies the message, then reads its events. Nothing of an unverified body is looked at.
    ///
    /// # Errors
    /// The refusal, answered with 4xx.
    pub fn accept(&self, source: &str, map: &Mapping, inbound: Inbound, now: Timestamp) -> Result<Vec<SourceEvent>, HookRefusal> {
        let verified = self.scheme.verify(inbound, now)?;
        if let Some(cloud_events) = &self.cloud_events {
            return cloud_events.events(source, map, &verified);
        }
        let raw = &verified.inbound().body;
        let text = std::str::from_utf8(raw).map_err(|_| HookRefusal::NotParseable("it is not UTF-8".to_owned()))?;
        let document: Value = serde_json::from_str(text).map_err(|e| HookRefusal::not_json(&e))?;
        let event_id = verified
            .delivery_id()
            .map(str::to_owned)
            .or_else(|| self.event_id.as_ref().and_then(|f| f.text("event_id", &document).ok().flatten()))
            .unwrap_or_else(|| format!("body-{}", digest(raw)));
        Ok(self.events(source, map, &event_id, &document, text))
    }

    /// The events inside a message, where it holds a list of them.
    pub(super) fn listed<'a>(&self, document: &'a Value) -> Option<Vec<&'a Value>> {
        match &self.events {
            Some(pointer) => items(document, pointer.as_str()),
            None => self.cloud_events.as_ref().and_then(|_| document.as_array()).map(|batch| batch.iter().collect()),
        }
    }

    fn events(&self, source: &str, map: &Mapping, id: &str, document: &Value, text: &str) -> Vec<SourceEvent> {
        let Some(pointer) = &self.events else {
            return event(source, map, id.to_owned(), document, text).into_iter().collect();
        };
        let Some(listed) = items(document, pointer.as_str()) else {
            let problem = format!("no events stand at {pointer}");
            let content = EventContent::Unmappable { problem, body: text.to_owned() };
            return vec![SourceEvent { event_id: id.to_owned(), digest: digest(text.as_bytes()), content }];
        };
        // The digest of the whole body: the same id with another body is a forgery, whichever event differs.
        let whole = digest(text.as_bytes());
        let numbered = listed.into_iter().enumerate();
        let each = numbered.filter_map(|(n, item)| event(source, map, format!("{id}#{n}"), item, &item.to_string()));
        each.map(|event| SourceEvent { digest: whole.clone(), ..event }).collect()
    }
}

/// One document as an event; `None` when it is not for us.
pub(super) fn event(source: &str, map: &Mapping, event_id: String, document: &Value, text: &str) -> Option<SourceEvent> {
    let content = map.content(source, document, text)?;
    Some(SourceEvent { event_id, digest: digest(text.as_bytes()), content })
}
