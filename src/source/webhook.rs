//! Events that the platform sends by itself.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::field::{Field, Pointer, items};
use super::mapping::Mapping;
use super::{EventContent, HookRefusal, SourceEvent, digest};
use crate::catalog::scheme::SchemeSettings;
use crate::http::Inbound;
use crate::http::signature::Scheme;
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
}

/// Verifies and reads webhooks.
#[derive(Debug)]
pub struct Hook {
    scheme: Scheme,
    event_id: Option<Field>,
    events: Option<Pointer>,
}

impl Hook {
    /// Resolves the secrets.
    ///
    /// # Errors
    /// Words for people that name the variable, file or key at fault.
    pub fn new(settings: &WebhookSettings, folder: &Path) -> Result<Self, String> {
        Ok(Self {
            scheme: settings.verify.resolve(folder)?,
            event_id: settings.event_id.clone(),
            events: settings.events.clone(),
        })
    }

    /// Verifies the message, then reads its events. Nothing of an unverified body is looked at.
    ///
    /// # Errors
    /// The refusal, answered with 4xx.
    pub fn accept(&self, source: &str, map: &Mapping, inbound: Inbound, now: Timestamp) -> Result<Vec<SourceEvent>, HookRefusal> {
        let verified = self.scheme.verify(inbound, now)?;
        let raw = &verified.inbound().body;
        let text = std::str::from_utf8(raw).map_err(|_| HookRefusal::NotParseable("it is not UTF-8".to_owned()))?;
        let document: Value = serde_json::from_str(text).map_err(|e| {
            // Only the place: serde's own words may quote the body.
            HookRefusal::NotParseable(format!("line {}, column {}", e.line(), e.column()))
        })?;
        let event_id = verified
            .delivery_id()
            .map(str::to_owned)
            .or_else(|| self.event_id.as_ref().and_then(|f| f.text("event_id", &document).ok().flatten()))
            .unwrap_or_else(|| format!("body-{}", digest(raw)));
        Ok(self.events(source, map, &event_id, &document, text))
    }

    /// The events inside a message, where it holds a list of them.
    pub(super) fn listed<'a>(&self, document: &'a Value) -> Option<Vec<&'a Value>> {
        items(document, self.events.as_ref()?.as_str())
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
