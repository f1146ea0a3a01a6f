//! The assignments behind a figure.

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::kpi::Links;
use super::{render, to_value};
use crate::catalog::ClockKind;
use crate::kpi::export::CaseRow;
use crate::kpi::report::{Asked as KpiAsked, MOST_BEHIND, Which, found};
use crate::web::WebState;
use crate::web::access::Reader;
use crate::web::extract::Asked;
use crate::web::problem::Refused;

/// Rows shown at most; the export has all.
const MOST: usize = 200;

/// How many are shown.
fn shown_n(found: usize) -> usize {
    found.min(MOST)
}

/// Rows behind a figure, at most so many, within the reader's scope; and whether there may be others that were not looked at.
pub(in crate::web) async fn rows(
    state: &WebState,
    reader: &Reader,
    asked: &KpiAsked,
    most: i64,
) -> Result<(Vec<CaseRow>, bool), Refused> {
    let now = state.clock.now();
    let setup = state.setup.load_full();
    let found = found(&*state.ledger, &setup.catalog, &reader.scope, asked, now, most).await?;
    Ok((found.rows.into_iter().map(|shown| CaseRow::of(shown, now)).collect(), found.cut))
}

/// The list.
pub(in crate::web) async fn assignments(
    State(state): State<WebState>,
    reader: Reader,
    Asked(asked): Asked<KpiAsked>,
) -> Result<Response, Refused> {
    let most = i64::try_from(MOST).unwrap_or(i64::MAX);
    let (rows, cut) = rows(&state, &reader, &asked, most + 1).await?;
    let links = Links::of(&asked);
    let business = asked.clock == Some(ClockKind::Business);
    let shown: Vec<Value> = rows
        .iter()
        .take(MOST)
        .map(|row| {
            let mut shown = to_value(row);
            shown["provisioning_ms"] = json!(if business { row.provisioning_business_ms } else { row.provisioning_elapsed_ms });
            shown["approval_ms"] = json!(if business { row.approval_business_ms } else { row.approval_elapsed_ms });
            shown
        })
        .collect();
    let which = asked.which.unwrap_or_default();
    let choices = Which::ALL.map(|one| json!({"words": one.human(), "here": one == which, "link": links.behind(one)}));
    let order = match which {
        Which::Leavers => "Who left last first",
        open if open.is_open() => "Longest waiting first",
        _ => "Latest first",
    };
    let data = json!({
        "order": order, "rows": shown, "n": shown_n(rows.len()), "more": rows.len() > MOST, "cut": cut.then_some(MOST_BEHIND), "most": MOST, "period": asked.words(state.clock.now()), "business": business,
        "application": asked.application, "admin_group": asked.admin_group, "choices": choices, "csv": links.behind_file(which, "csv"), "xlsx": links.behind_file(which, "xlsx"),
        "kpi": links.kpi(asked.clock.unwrap_or(ClockKind::Elapsed)), "overdue": which.is_open(),
    });
    Ok(render(&state, &reader, "behind", "Assignments behind a figure", data))
}
