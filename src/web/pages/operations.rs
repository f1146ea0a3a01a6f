//! What a person must look at, and what they can do about it.

use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::overview::{edges, troubles};
use super::{PAGE, render, to_value};
use crate::flow::reconcile::{self, Summary};
use crate::ledger::LedgerResult;
use crate::ledger::views::Overview;
use crate::mailing;
use crate::model::{Outcome, Timestamp};
use crate::web::WebState;
use crate::web::access::Reader;
use crate::web::problem::unavailable;

/// What became of the form sent before.
#[derive(Debug, Default, Deserialize)]
pub(in crate::web) struct Said {
    q: Option<String>,
}

/// What a person must look at.
pub(in crate::web) async fn operations(State(state): State<WebState>, reader: Reader, Query(said): Query<Said>) -> Response {
    let now = state.clock.now();
    let lists = state.ledger.operations(&reader.scope, reader.sees_names(), PAGE).await;
    let counts = state.ledger.overview(&reader.scope, now).await;
    let compared = comparisons(&state).await;
    match lists.and_then(|lists| Ok((lists, counts?, compared?))) {
        Ok((lists, mut counts, compared)) => {
            // The same, with the words that this reader may see.
            counts.edges.clone_from(&lists.edges);
            let (desks, platforms) = edges(&state, &counts);
            let mut data = to_value(lists);
            for list in ["parked_errands", "unclear", "failing"] {
                data[list].as_array_mut().into_iter().flatten().for_each(add_words);
            }
            data["counts"] = numbers(&counts, &data);
            data["desks"] = to_value(desks);
            data["platforms"] = to_value(platforms);
            data["compared"] = to_value(compared);
            data["said"] = json!(said.q);
            data["reports"] = match reports(&state, &reader, now).await {
                Ok(reports) => reports,
                Err(error) => return unavailable(error),
            };
            data["outcomes"] = json!(Outcome::ALL.map(|o| json!({"id": o.as_str(), "words": o.human()})));
            render(&state, &reader, "operations", "Operations", data)
        }
        Err(error) => unavailable(error),
    }
}

/// When each edge was compared last.
pub(in crate::web) async fn comparisons(state: &WebState) -> LedgerResult<Vec<Summary>> {
    let mut all = Vec::new();
    for edge in state.setup.load_full().edges() {
        all.push(reconcile::summary(&*state.ledger, &edge).await?);
    }
    Ok(all)
}

/// Scheduled reports and what became of the latest of each; they belong to no application.
async fn reports(state: &WebState, reader: &Reader, now: Timestamp) -> LedgerResult<Value> {
    let mut shown = Vec::new();
    if reader.scope.is_some() {
        return Ok(json!(shown));
    }
    let setup = state.setup.load_full();
    for report in &setup.catalog.main.reports {
        for standing in mailing::standing(&*state.ledger, report, now).await? {
            let row = standing.row.as_ref();
            let failing = row.filter(|r| r.failures > 0 && r.state != "sent");
            shown.push(json!({
                "name": report.name, "way": standing.way.as_str(), "schedule": report.schedule.as_str(), "zone": report.zone().name(),
                "next": standing.next, "sent": row.and_then(|r| r.last_sent_at), "due": row.map(|r| r.due_at),
                "failing": failing.map(|r| json!({"since": r.failed_at, "times": r.failures, "code": r.code, "reason": r.reason, "next": r.next_at})),
            }));
        }
    }
    Ok(json!(shown))
}

/// How many there are in all: a list shows the first of them only.
fn numbers(counts: &Overview, data: &Value) -> Value {
    let shown = |list: &str| data[list].as_array().map_or(0, |l| i64::try_from(l.len()).unwrap_or(i64::MAX));
    let failing: i64 = counts.failing_by_edge.iter().map(|c| c.count).sum();
    let all = [
        ("parked", counts.parked),
        ("parked_errands", counts.parked_errands),
        ("unclear", counts.unclear),
        ("quarantined", counts.quarantined),
        ("strays", counts.strays),
        ("failing", failing),
        ("findings", shown("findings")),
    ];
    // The two were counted a moment apart: never say fewer than are shown.
    let number = |(list, n): (&str, i64)| (list.to_owned(), json!({"all": n.max(shown(list)), "more": (n - shown(list)).max(0)}));
    let mut numbers: serde_json::Map<String, Value> = all.into_iter().map(number).collect();
    numbers.insert("trouble".to_owned(), json!(troubles(counts)));
    Value::Object(numbers)
}

/// What the errand was to do, and which of its actions make sense.
fn add_words(errand: &mut Value) {
    let text = |name: &str| errand[name].as_str().unwrap_or_default().to_owned();
    let (kind, state, edge) = (text("kind"), text("state"), text("edge"));
    let words = match kind.as_str() {
        "create" => "File the ticket",
        "comment" if edge.starts_with("source/") => "Tell the platform how far it is",
        "comment" => "Comment on the ticket",
        "amend" => "Change the ticket",
        "close" => "Close the ticket",
        _ => "Tell the platform the outcome",
    };
    // Nobody but a person can say what such a create did: it is never simply sent again.
    let asks = kind == "create" && (state == "unclear" || matches!(text("code").as_str(), "E-UNSEARCHABLE" | "E-TAKEN"));
    errand["words"] = json!(words);
    errand["place"] = json!(edge.split_once('/').map_or(edge.as_str(), |(_, name)| name));
    errand["ask"] = json!(asks);
    errand["retry"] = json!(state == "parked" && !asks);
    errand["is_report"] = json!(kind == "report");
    errand["is_create"] = json!(kind == "create");
}
