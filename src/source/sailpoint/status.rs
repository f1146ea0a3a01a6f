//! What a status call is answered: the words of the platform's own status map, and everything else it may want.

use serde_json::{Value, json};

use super::settings::StatusWords;
use crate::ledger::views::AssignmentDetail;
use crate::model::{Outcome, State};
use crate::source::View;

/// Where an order stands, over all its items.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    Received,
    Waiting,
    Filed,
    InWork,
    Done,
    Partly,
    Failed,
    Cancelled,
}

impl Stage {
    pub(super) fn is_end(self) -> bool {
        matches!(self, Self::Done | Self::Partly | Self::Failed | Self::Cancelled)
    }

    pub(super) fn word(self, words: &StatusWords) -> &str {
        match self {
            Self::Received => &words.received,
            Self::Waiting => &words.waiting,
            Self::Filed => &words.filed,
            Self::InWork => &words.in_work,
            Self::Done => &words.done,
            Self::Partly => &words.partly,
            Self::Failed => &words.failed,
            Self::Cancelled => &words.cancelled,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Waiting => "waiting",
            Self::Filed => "filed",
            Self::InWork => "in_work",
            Self::Done => "done",
            Self::Partly => "partly",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Of one item. However long it takes, only an outcome ends it: slow is never failed.
fn of_item(item: &AssignmentDetail) -> Stage {
    let row = &item.row;
    let ended = State::parse(&row.state)
        .is_some_and(|s| matches!(s, State::Closed | State::Reported | State::Proven | State::Superseded | State::Duplicate));
    match row.outcome.as_deref().and_then(Outcome::parse).filter(|_| ended) {
        Some(outcome) if outcome.is_success() => Stage::Done,
        Some(Outcome::Cancelled) => Stage::Cancelled,
        Some(Outcome::PartlyFulfilled) => Stage::Partly,
        Some(_) => Stage::Failed,
        None if row.parked_code.is_some() || is_paused(item) => Stage::Waiting,
        None if row.first_work_at.is_some() => Stage::InWork,
        None if row.filed_at.is_some() => Stage::Filed,
        None => Stage::Received,
    }
}

/// Its ticket waits for somebody outside the admin group.
fn is_paused(item: &AssignmentDetail) -> bool {
    let pauses = item.journal.iter().rev().find(|row| matches!(row.event.as_str(), "paused" | "resumed"));
    pauses.is_some_and(|row| row.event == "paused")
}

/// Of the whole order: as far as its last item. `None`: there is no such order.
pub(super) fn stage(view: &View) -> Option<Stage> {
    let held = view.held.then_some(Stage::Waiting);
    let stages: Vec<Stage> = view.assignments.iter().map(of_item).chain(held).collect();
    if stages.is_empty() {
        return None;
    }
    if let Some(pending) = stages.iter().filter(|s| !s.is_end()).min() {
        return Some(*pending);
    }
    let all = |stage: Stage| stages.iter().all(|s| *s == stage);
    Some(match () {
        () if all(Stage::Done) => Stage::Done,
        () if all(Stage::Cancelled) => Stage::Cancelled,
        () if stages.iter().any(|s| matches!(s, Stage::Done | Stage::Partly)) => Stage::Partly,
        () => Stage::Failed,
    })
}

/// The answer's body.
pub(super) fn body(number: &str, stage: Stage, words: &StatusWords, view: &View) -> Value {
    let items: Vec<Value> = view.assignments.iter().map(|item| of(item, words)).collect();
    let mut body = json!({"number": number, "status": stage.word(words), "stage": stage.name()});
    // Of one item, everything stands at the top too: status maps and paths of the platform then stay short.
    if let [Value::Object(only)] = items.as_slice() {
        for (key, value) in only.iter().filter(|(key, _)| !matches!(key.as_str(), "status" | "stage")) {
            body[key] = value.clone();
        }
    }
    body["items"] = json!(items);
    body
}

fn of(item: &AssignmentDetail, words: &StatusWords) -> Value {
    let stage = of_item(item);
    let ticket = item.tickets.last();
    json!({
        "status": stage.word(words),
        "stage": stage.name(),
        "operation": item.row.operation,
        "application": item.row.application_id,
        "entitlement": item.row.entitlement,
        "outcome": item.row.outcome,
        "ticket": item.row.ticket,
        "ticketUrl": item.row.ticket_url,
        "desk": item.row.desk,
        "resolution": ticket.and_then(|t| t.resolution.clone()),
        "comment": ticket.and_then(|t| t.words.clone()),
        "closedBy": ticket.and_then(|t| t.closed_by.clone()),
        "evidence": ticket.map(|t| t.evidence.clone()).unwrap_or_default(),
        "closedAt": item.row.closed_at.map(crate::model::Timestamp::iso),
    })
}
