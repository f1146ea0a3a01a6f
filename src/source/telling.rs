//! What a platform is told, as templates take from it; and made-up content to try them on.

use serde::Serialize;
use serde_json::{Value, json};

use super::report::About;
use crate::model::completion::{Completion, Evidence};
use crate::model::progress::{Progress, Step};
use crate::model::{Operation, Outcome, Person, Timestamp};

/// Something to tell: its stable id, all of it, and what templates take from.
#[derive(Clone)]
pub(super) struct Telling {
    pub(super) id: String,
    pub(super) whole: Value,
    pub(super) context: Value,
}

impl Telling {
    pub(super) fn of(id: &str, what: &impl Serialize) -> Self {
        // Structs of texts, numbers and lists: this cannot fail.
        let whole = serde_json::to_value(what).unwrap_or_default();
        let mut context = whole.clone();
        if let Some(closer) = context.get_mut("closed_by") {
            // Templates name parts of a person who may be unknown, or has no name.
            let part = |name: &str| closer.get(name).cloned().unwrap_or_default();
            *closer = json!({"id": part("id"), "name": part("name"), "email": part("email")});
        }
        Self { id: id.to_owned(), whole, context }
    }
}

impl About {
    /// Two made-up things to tell, one with everything and one with as little as there can be.
    pub(super) fn samples(self) -> [Telling; 2] {
        [true, false].map(|full| match self {
            Self::Outcome => Telling::of("sample", &sample(full)),
            Self::Progress => Telling::of("sample", &sample_progress(full)),
        })
    }
}

/// A made-up completion to try templates on.
pub(super) fn sample(full: bool) -> Completion {
    let some = |text: &str| full.then(|| text.to_owned());
    Completion {
        id: "sample".to_owned(),
        external_id: "order-1".to_owned(),
        natural_key: "source/order-1/grant/1".to_owned(),
        operation: Operation::Grant,
        application: "application".to_owned(),
        outcome: Outcome::Fulfilled,
        success: true,
        reason: some("reason"),
        words: some("words"),
        closed_by: full.then(|| Person { id: "closer".to_owned(), name: Some("Closer".to_owned()), email: None }),
        ticket: some("T-1"),
        ticket_url: some("https://desk.example/T-1"),
        desk: some("desk"),
        closed_at: full.then_some(Timestamp(0)),
        seen_at: Timestamp(0),
        closed_at_iso: full.then(|| Timestamp(0).iso()),
        seen_at_iso: Timestamp(0).iso(),
        filed_at: full.then_some(Timestamp(0)),
        started_at: full.then_some(Timestamp(0)),
        filed_at_iso: full.then(|| Timestamp(0).iso()),
        started_at_iso: full.then(|| Timestamp(0).iso()),
        evidence: full
            .then(|| Evidence { name: "file".to_owned(), url: some("https://desk.example/file") })
            .into_iter()
            .collect(),
    }
}

/// A made-up step to try templates on.
fn sample_progress(full: bool) -> Progress {
    let some = |text: &str| full.then(|| text.to_owned());
    Progress {
        id: "sample".to_owned(),
        external_id: "order-1".to_owned(),
        natural_key: "source/order-1/grant/1".to_owned(),
        operation: Operation::Grant,
        application: "application".to_owned(),
        step: Step::Filed,
        words: Step::Filed.human(),
        ticket: some("T-1"),
        ticket_url: some("https://desk.example/T-1"),
        desk: some("desk"),
        admin_group: some("admins"),
        status: some("Open"),
        at: Timestamp(0),
        at_iso: Timestamp(0).iso(),
    }
}
