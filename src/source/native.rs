//! What sources share: a mapping's mistakes with their lines, and a body mapped afresh. What those of them with code of
//! their own share: a built-in mapping that a file may override, a message that only means "look now", and an outcome in
//! words.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::mapping::Mapping;
use super::{EventContent, HookRefusal, SourceEvent, digest};
use crate::catalog::scheme::SchemeSettings;
use crate::catalog::{ConfigFile, Problem};
use crate::http::Inbound;
use crate::http::signature::Scheme;
use crate::model::Timestamp;
use crate::model::completion::Completion;

/// A message that is verified, and only means "look now".
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct HintSettings {
    verify: SchemeSettings,
}

/// Hints of a platform; none are taken where its file has no `[webhook]`.
#[derive(Debug, Default)]
pub(super) struct Hints {
    scheme: Option<Scheme>,
    hinted: AtomicBool,
}

impl Hints {
    /// Reads the secrets; relative secret files start at `folder`.
    ///
    /// # Errors
    /// Words for people, without a secret.
    pub(super) fn new(settings: Option<&HintSettings>, folder: &Path) -> Result<Self, String> {
        let scheme = settings.map(|hint| hint.verify.resolve(folder)).transpose()?;
        Ok(Self { scheme, hinted: AtomicBool::new(false) })
    }

    /// Whether the platform may hint.
    pub(super) fn are_taken(&self) -> bool {
        self.scheme.is_some()
    }

    /// A message is verified, and only a hint: the list itself is read, so that nothing depends on what it says.
    pub(super) fn accept(&self, source: &str, inbound: Inbound, now: Timestamp) -> Result<Vec<SourceEvent>, HookRefusal> {
        let Some(scheme) = &self.scheme else { return Err(HookRefusal::NoHook(source.to_owned())) };
        scheme.verify(inbound, now)?;
        self.hinted.store(true, Ordering::SeqCst);
        Ok(Vec::new())
    }

    /// Whether there was one since the last question.
    pub(super) fn take(&self) -> bool {
        self.hinted.swap(false, Ordering::SeqCst)
    }
}

/// The built-in mapping with the file's own fields in place of its own; attributes are added to. Beside it, every text
/// in it: which columns it reads.
///
/// # Errors
/// Words for people.
pub(super) fn mapping(built_in: &str, own: &toml::Table) -> Result<(Mapping, Vec<String>), String> {
    let mut table: toml::Table = built_in.parse().map_err(|e: toml::de::Error| e.message().to_owned())?;
    for (key, value) in own {
        match (table.get_mut(key), value) {
            (Some(toml::Value::Table(there)), toml::Value::Table(more)) if key == "attributes" => there.extend(more.clone()),
            _ => drop(table.insert(key.clone(), value.clone())),
        }
    }
    let mut pointers = Vec::new();
    texts(&toml::Value::Table(table.clone()), &mut pointers);
    let mapping = table.try_into().map_err(|e: toml::de::Error| e.message().to_owned())?;
    Ok((mapping, pointers))
}

fn texts(value: &toml::Value, into: &mut Vec<String>) {
    match value {
        toml::Value::String(text) => into.push(text.clone()),
        toml::Value::Array(list) => list.iter().for_each(|v| texts(v, into)),
        toml::Value::Table(table) => table.values().for_each(|v| texts(v, into)),
        _ => {}
    }
}

/// What is wrong with a mapping, which stands in this table of the file, each with its line.
pub(super) fn mistakes(file: &ConfigFile, table: &str, mapping: &Mapping) -> Vec<Problem> {
    let place = |(keys, message, help): (Vec<String>, String, Option<String>)| {
        let path: Vec<&str> = std::iter::once(table).chain(keys.iter().map(String::as_str)).collect();
        file.problem(&path, message, help)
    };
    mapping.mistakes().into_iter().map(place).collect()
}

/// A quarantined body mapped afresh.
pub(super) fn remap(source: &str, mapping: &Mapping, event_id: &str, body: &str) -> SourceEvent {
    let unmappable = |problem: String| EventContent::Unmappable { problem, body: body.to_owned() };
    let content = match serde_json::from_str::<Value>(body) {
        Ok(document) => mapping
            .content(source, &document, body)
            .unwrap_or_else(|| unmappable("the mapping's `only` leaves it out: it can be discarded".to_owned())),
        Err(e) => unmappable(format!("the body is not JSON: line {}, column {}", e.line(), e.column())),
    };
    SourceEvent { event_id: event_id.to_owned(), digest: digest(body.as_bytes()), content }
}

/// An outcome in words: outcome, ticket, the admin's words, and our mark, which is never cut off.
pub(super) fn words(completion: &Completion, limit: usize) -> String {
    let mark = format!(" [{}]", completion.id);
    let mut text = capital(completion.outcome.human());
    if let Some(ticket) = &completion.ticket {
        text.push_str(&format!(", ticket {ticket}"));
    }
    let said = completion.words.as_deref().or(completion.reason.as_deref()).map(str::trim).filter(|w| !w.is_empty());
    if let Some(said) = said {
        text.push_str(": ");
        text.push_str(said);
    }
    if let Some(url) = &completion.ticket_url {
        text.push(' ');
        text.push_str(url);
    }
    let room = limit.saturating_sub(mark.chars().count());
    let fits = text.chars().count() <= room;
    let mut cut: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(room).collect();
    if !fits && cut.pop().is_some() {
        cut.push('…');
    }
    cut + &mark
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Operation, Outcome};

    fn completion(said: &str) -> Completion {
        Completion {
            id: "lmr-abc".to_owned(),
            external_id: "r-1".to_owned(),
            natural_key: "oim/r-1/grant/7".to_owned(),
            operation: Operation::Grant,
            application: "sap".to_owned(),
            outcome: Outcome::PartlyFulfilled,
            success: false,
            reason: None,
            words: Some(said.to_owned()),
            closed_by: None,
            ticket: Some("IAM-1".to_owned()),
            ticket_url: Some("https://desk.example/IAM-1".to_owned()),
            desk: None,
            closed_at: None,
            seen_at: Timestamp(0),
            closed_at_iso: None,
            seen_at_iso: String::new(),
            filed_at: None,
            started_at: None,
            filed_at_iso: None,
            started_at_iso: None,
            evidence: Vec::new(),
        }
    }

    #[test]
    fn the_reason_keeps_its_mark_whatever_is_cut() {
        let whole = words(&completion("Only\nread."), 400);
        assert_eq!(whole, "Partly fulfilled, ticket IAM-1: Only read. https://desk.example/IAM-1 [lmr-abc]");
        for limit in [0, 5, 20, 40] {
            let cut = words(&completion(&"ä".repeat(500)), limit);
            assert!(cut.ends_with(" [lmr-abc]"), "{cut}");
            assert!(cut.chars().count() <= limit.max(10), "{limit}: {cut}");
        }
    }
}
