//! As target system without a connector: pending changes of the operations queue, each step answered by its success.

use serde_json::{Value, json};

use super::api_server::{ApiServer, Step};
use super::app_server::AppServer;
use super::document::{Joiner, object_key};
use super::settings::QueueSettings;
use crate::http::CallError;
use crate::model::Outcome;
use crate::model::Timestamp;
use crate::model::completion::Completion;
use crate::source::Missing;
use crate::source::absence::one_by_one;
use crate::source::field::{as_text, lookup};

/// The adapter of this way of working.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) server: ApiServer,
    /// Where joined objects are read.
    pub(super) names: Option<AppServer>,
    settings: QueueSettings,
    joiner: Joiner,
}

/// Where a step stands.
enum Stands {
    Pending,
    /// An earlier step of the same object is not answered yet.
    Behind,
    Processed,
    Gone,
}

impl Queue {
    pub(super) fn new(server: ApiServer, names: Option<AppServer>, settings: QueueSettings, joiner: Joiner) -> Self {
        Self { server, names, settings, joiner }
    }

    pub(super) fn joiner(&self) -> &Joiner {
        &self.joiner
    }

    pub(super) fn quiet_ms(&self) -> i64 {
        self.settings.within.ms()
    }

    /// Every pending step, as documents: changes oldest first, steps of a change in their order.
    pub(super) async fn waiting(&self, now: Timestamp, only_first: bool) -> Result<(Vec<Value>, Option<CallError>), CallError> {
        let all = [None];
        let chosen: Vec<Option<&str>> = self.settings.roots.iter().map(|r| Some(r.as_str())).collect();
        let mut documents = Vec::new();
        let mut broken = None;
        for root in if chosen.is_empty() { &all[..] } else { &chosen } {
            let changes = self.server.pending(*root, if only_first { 10 } else { self.settings.page.max(1) }).await?;
            broken = broken.or(changes.broken);
            for (key, change) in changes.rows.into_iter().take(if only_first { 10 } else { usize::MAX }) {
                match self.server.details(&key).await {
                    Ok(Some(details)) => {
                        let pending = details.steps.iter().filter(|step| step.pending);
                        documents.extend(pending.map(|step| document(&key, &change, step)));
                    }
                    // Settled between the two questions.
                    Ok(None) => {}
                    Err(error) if documents.is_empty() => return Err(error),
                    Err(error) => broken = broken.or(Some(error)),
                }
            }
        }
        if let Some(names) = &self.names {
            self.joiner.join(names, &mut documents, now).await?;
        }
        Ok((documents, broken))
    }

    /// One cheap question that needs our rights.
    pub(super) async fn probe(&self) -> Result<usize, CallError> {
        self.server.pending(self.settings.roots.first().map(String::as_str), 1).await.map(|c| c.rows.len())
    }

    /// A step that is processed was settled without us. One that the platform no longer has was purged (it keeps them
    /// for days only): the work is still owed.
    pub(super) async fn missing(&self, ids: &[String]) -> Result<Vec<Missing>, CallError> {
        let asked = ids.iter().map(|id| async move {
            Ok(match self.stands(id).await? {
                Stands::Processed => Missing::Withdrawn,
                Stands::Pending | Stands::Behind | Stands::Gone => Missing::Unknown,
            })
        });
        one_by_one(asked).await
    }

    async fn stands(&self, id: &str) -> Result<Stands, CallError> {
        let Some((change, step)) = id.split_once('/') else { return Ok(Stands::Gone) };
        let Some(details) = self.server.details(change).await? else { return Ok(Stands::Gone) };
        let Some(at) = details.steps.iter().position(|s| s.key == step) else { return Ok(Stands::Gone) };
        if !details.steps[at].pending {
            return Ok(Stands::Processed);
        }
        Ok(if details.steps[..at].iter().any(|s| s.pending) { Stands::Behind } else { Stands::Pending })
    }

    /// Answers the step, oldest step first.
    pub(super) async fn report(&self, completion: &Completion) -> Result<(), CallError> {
        match self.stands(&completion.external_id).await.map_err(CallError::of_a_read)? {
            Stands::Processed => return Ok(()),
            Stands::Gone => return gone(completion).map(drop),
            Stands::Behind => {
                let reason = "an earlier step of the same change is not answered yet".to_owned();
                return Err(CallError::Retry { code: "E-ORDER", reason, after: Some(std::time::Duration::from_secs(60)) });
            }
            Stands::Pending => {}
        }
        let step = completion.external_id.split_once('/').map_or("", |(_, step)| step);
        if self.server.answer(step, completion.success).await? { Ok(()) } else { gone(completion).map(drop) }
    }

    /// Whether the step is processed.
    pub(super) async fn confirm(&self, completion: &Completion) -> Result<bool, CallError> {
        match self.stands(&completion.external_id).await? {
            Stands::Processed => Ok(true),
            Stands::Pending | Stands::Behind => Ok(false),
            Stands::Gone => gone(completion),
        }
    }
}

fn gone(completion: &Completion) -> Result<bool, CallError> {
    if completion.outcome == Outcome::Cancelled {
        return Ok(true);
    }
    let words = "the platform no longer has this change (it is purged after some days); the outcome is kept here";
    Err(CallError::reject("E-GONE", words))
}

fn document(change_key: &str, change: &Value, step: &Step) -> Value {
    let object = lookup(change, "/values/ObjectKeyElement").and_then(as_text).and_then(|text| object_key(&text));
    let word = lookup(&step.row, "/values/Operation").or_else(|| lookup(change, "/values/Operation")).and_then(as_text);
    let is_membership = object.as_ref().is_some_and(|(_, keys)| keys.len() > 1);
    let lines: Vec<String> = step.attributes.iter().map(|a| format!("{}: {}", a.property, a.value)).collect();
    let (table, keys) = object.map_or((Value::Null, Value::Null), |(table, keys)| (json!(table), json!(keys)));
    json!({
        "id": format!("{change_key}/{}", step.key),
        "change": change,
        "detail": step.row,
        "object": {"table": table, "keys": keys},
        "operation": word.and_then(|word| operation(&word, is_membership)),
        "changes": if lines.is_empty() { Value::Null } else { json!(lines.join("\n")) },
    })
}

/// The platform's word for a step; of a membership (a row of two keys) it gives or takes an entitlement.
fn operation(word: &str, is_membership: bool) -> Option<&'static str> {
    match (word.trim().to_lowercase().as_str(), is_membership) {
        ("insert" | "i" | "add", true) => Some("grant"),
        ("delete" | "d" | "remove", true) => Some("revoke"),
        ("insert" | "i" | "add", false) => Some("create_account"),
        ("delete" | "d" | "remove", false) => Some("delete_account"),
        ("update" | "u" | "modify", _) => Some("modify"),
        _ => None,
    }
}
