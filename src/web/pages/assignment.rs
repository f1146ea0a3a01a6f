//! One assignment: its life on one page.

use axum::extract::{Path, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::{render, to_value};
use crate::catalog::ClockKind;
use crate::kpi::segments::Part;
use crate::kpi::timing::{Timing, measured};
use crate::ledger::views::{AssignmentDetail, AssignmentRow, AttemptRow, JournalRow};
use crate::model::{Id, State as Stage, Timestamp};
use crate::web::WebState;
use crate::web::access::Reader;
use crate::web::problem::{Code, problem, unavailable};

/// Times of one event that are closer than this are one time for people.
const SAME_MS: i64 = 1_000;

/// One assignment from request to completion.
pub(in crate::web) async fn assignment(State(state): State<WebState>, reader: Reader, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<Id>() else {
        return problem(Code::NoSuchAssignment, "there is no such assignment");
    };
    match state.ledger.assignment(id, &reader.scope, reader.sees_names()).await {
        Ok(Some(detail)) => {
            let title = format!("{} on {}", what(&detail.row), detail.row.application_name);
            let (setup, now) = (state.setup.load_full(), state.clock.now());
            let ids = [id];
            let cases = measured(&*state.ledger, &setup.catalog, &ids, now);
            let (forecast, case) = match tokio::try_join!(state.ledger.case(id), cases) {
                Ok(((_, forecast), mut cases)) => (forecast, cases.remove(&id).unwrap_or_default()),
                Err(error) => return unavailable(error),
            };
            let timing = Timing::of(&detail.row, &case, forecast, &setup.catalog, now);
            let mut data = shown(&detail, &timing, now);
            let source = setup.sources.get(&detail.row.source);
            data["kept_here"] = json!(source.and_then(|s| s.info().capabilities.kept_here()));
            render(&state, &reader, "assignment", &title, data)
        }
        Ok(None) => problem(Code::NoSuchAssignment, "there is no such assignment"),
        Err(error) => unavailable(error),
    }
}

fn what(row: &AssignmentRow) -> String {
    let words = row.operation.replace('_', " ");
    row.entitlement.as_ref().map_or_else(|| words.clone(), |e| format!("{words} {e}"))
}

fn shown(detail: &AssignmentDetail, timing: &Timing, now: Timestamp) -> Value {
    let row = &detail.row;
    let stage = Stage::parse(&row.state);
    let spans: Vec<Value> = timing
        .segments
        .iter()
        .map(|s| {
            let (what, whose) = told(s.part);
            json!({"part": s.part, "what": what, "whose": whose, "from": s.from, "to": s.to, "running": s.running,
                "ms": s.took.elapsed_ms, "business_ms": s.took.business_ms})
        })
        .collect();
    let mut data = to_value(detail);
    // As the KPI page counts: the figures of both pages agree.
    data["approval"] = json!(timing.approval);
    data["provisioning"] = json!(timing.provisioning);
    data["not_yet"] = json!(timing.not_yet);
    data["target"] = json!(timing.target);
    if let Some(target) = &timing.target {
        data["target"]["business"] = json!(target.clock == ClockKind::Business);
    }
    data["calendar"] = json!(timing.calendar);
    data["forecast"] = json!(timing.forecast.filter(|_| row.closed_at.is_none()));
    data["segments"] = json!(spans);
    data["what"] = json!(what(row));
    data["sentence"] = json!(sentence(row, stage, now));
    data["events"] = detail.journal.iter().map(event).collect();
    for errand in data["errands"].as_array_mut().into_iter().flatten() {
        if errand["kind"] == "comment" && errand["edge"].as_str().is_some_and(|edge| edge.starts_with("source/")) {
            errand["kind"] = json!("progress");
        }
        let calls: Vec<Value> = detail.attempts.iter().filter(|a| json!(a.errand) == errand["id"]).map(call).collect();
        errand["calls"] = json!(calls);
    }
    data
}

fn call(attempt: &AttemptRow) -> Value {
    let mut data = to_value(attempt);
    let what = if attempt.what == "ask" { "looked for its ticket" } else { attempt.what.as_str() };
    let ended = match attempt.verdict.as_deref() {
        Some("retry") => "failed without effect",
        Some("reject") => "refused",
        Some("miss") => "none found",
        Some("clear") => "certainly none",
        Some(other) => other,
        None => "no end known",
    };
    data["words"] = json!(format!("{what}: {ended}"));
    data
}

fn told(part: Part) -> (&'static str, &'static str) {
    match part {
        Part::Approval => ("Waiting for approval", "approvers"),
        Part::FutureDate => ("Waiting for its date", "nobody"),
        Part::Arrival => ("Reaching lastmile", "the platform"),
        Part::Filing => ("Filing the ticket", "lastmile and the desk"),
        Part::Queue => ("Waiting for somebody to begin", "admin group"),
        Part::Work => ("With the admins", "admin group"),
        Part::Paused => ("Waiting for the requester", "the requester"),
        Part::Reporting => ("Telling the platform", "lastmile and the platform"),
        Part::Proof => ("Until the application showed it", "nobody"),
    }
}

/// Where it stands, in one sentence.
fn sentence(row: &AssignmentRow, stage: Option<Stage>, now: Timestamp) -> String {
    let group = row.admin_group.as_deref().unwrap_or("an admin group");
    let outcome = row.outcome.as_deref().unwrap_or("no outcome").replace('_', " ");
    let on = |at: Option<Timestamp>| at.map_or_else(String::new, |t| format!(" on {}", t.human()));
    if row.parked_code.is_some() && stage.is_some_and(Stage::is_unsent) {
        return "No ticket is filed: a person must decide first.".to_owned();
    }
    match stage {
        Some(Stage::Received) => "It has arrived and will be planned in a moment.".to_owned(),
        Some(Stage::Planned) => match row.due_at.filter(|due| *due > now) {
            Some(due) => format!("Its ticket will be filed on {}.", due.human()),
            None => "It waits for an earlier order of the same access.".to_owned(),
        },
        Some(Stage::Due | Stage::Sending) => format!("Its ticket for {group} is being filed."),
        Some(Stage::Unclear) => {
            "A call to the desk broke off: the ticket may be there. The desk is searched for it; nothing is sent twice."
                .to_owned()
        }
        Some(Stage::Open) => format!("Its ticket is with {group}."),
        Some(Stage::Rework) => format!("Its ticket was opened again and is with {group}."),
        Some(Stage::Closed) => format!("Closed as {outcome}{}; the platform is being told.", on(row.closed_at)),
        Some(Stage::Reported) => format!("Closed as {outcome}{}; the platform knows.", on(row.closed_at)),
        Some(Stage::Proven) => {
            format!("Closed as {outcome}{}; the platform knows, and the application itself shows it.", on(row.closed_at))
        }
        Some(Stage::Superseded) => "A later order of the same access overtook it before a ticket was filed.".to_owned(),
        Some(Stage::Duplicate) => "It is the same order as another assignment.".to_owned(),
        None => format!("State {}.", row.state),
    }
}

fn event(row: &JournalRow) -> Value {
    let late = row.seen_at.ms_since(row.happened_at);
    let words = match row.event.as_str() {
        "received" => "Order arrived",
        "planned" => "Ticket planned for later",
        "due" => "Ticket drafted",
        "sending" => "Ticket being sent",
        "filed" => "Ticket filed",
        "told" => "Ticket was told of a change",
        "work_began" => "Work began",
        "status" => "Ticket's status changed",
        "paused" => "Waits for somebody outside the admin group",
        "resumed" => "Waits no longer",
        "progress" => "Platform was told how far it is",
        "progress_dropped" => "Platform is not told a step any more",
        "progress_refused" => "Platform does not take how far it is",
        "hurried" => "Goes ahead of everything",
        "text_kept" => "Desk keeps the ticket's first text",
        "was_closed" => "Ticket was closed already",
        "double_kept" => "Double was taken by somebody: not closed",
        "close_refused" => "Desk does not let us close the ticket",
        "moved" => "Ticket moved to another group",
        "closed" => "Closed",
        "reopened" => "Opened again",
        "reported" => "Platform has the outcome",
        "proven" => "Proven: the application shows it",
        "seen" => "Seen in the application",
        "seen_before" => "Seen in the application before there was a ticket",
        "unclear" => "Call broke off: unclear",
        "cleared" => "Certainly no ticket: sent again",
        "parked" => "Parked: needs a person",
        "unparked" => "No longer parked",
        "retried" => "Tried again by a person",
        "decided" => "Decided by a person",
        "withdrawn" => "Taken back by the platform",
        "denied" => "Platform told no: its wait was running out",
        "overdue" => "Platform will soon stop waiting",
        "closed_too_late" => "Closed too late to be told",
        "superseded" => "Overtaken by a later order",
        "double_found" => "A double of the ticket was found",
        "retry" => "Call failed, tried again",
        _ => "",
    };
    let words = if words.is_empty() { row.event.replace('_', " ") } else { words.to_owned() };
    let mut data = to_value(row);
    data["words"] = json!(words);
    // Clocks of others may be ahead of ours: then it was learned "before" it happened, which is worth seeing, too.
    data["apart"] = json!(late.abs() >= SAME_MS);
    data["late_ms"] = json!((late >= SAME_MS).then_some(late));
    data["early_ms"] = json!((late <= -SAME_MS).then_some(-late));
    data["ticket"] = row.detail.get("ticket").cloned().unwrap_or_default();
    data
}
