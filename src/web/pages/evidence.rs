//! Evidence: who wanted, approved and did what, on a page that can be printed.

use axum::extract::State;
use axum::response::Response;
use chrono::NaiveDate;
use serde::Deserialize;
use serde_json::{Value, json};
use utoipa::IntoParams;

use super::exports::{Taken, Wanted, note};
use super::{address, render, to_value};
use crate::kpi::evidence::{Judged, Pack, apart, seen};
use crate::kpi::report::{Asked as KpiAsked, a_day};
use crate::kpi::small::Small;
use crate::kpi::words::day_words;
use crate::ledger::exports::EvidenceFilter;
use crate::model::Timestamp;
use crate::web::WebState;
use crate::web::access::Reader;
use crate::web::extract::Asked;
use crate::web::problem::Refused;

/// Orders shown on the page at most; those with something to look at come first. The files have all.
const MOST: usize = 200;
/// Orders looked at for the page at most: each chain is walked. The files take more.
const MOST_READ: usize = 5_000;
/// Exports shown.
const EXPORTS: usize = 20;

/// Evidence of which orders.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::web) struct EvidenceAsked {
    /// Closed in the last days, today included (days of UTC): 1 to 366, else 30.
    #[param(minimum = 1, maximum = 366)]
    days: Option<i64>,
    /// Instead of the last days: closed from this day of UTC on, like `2026-11-01`.
    #[serde(default, deserialize_with = "a_day")]
    #[param(value_type = Option<String>)]
    from: Option<NaiveDate>,
    /// Closed up to and with this day of UTC.
    #[serde(default, deserialize_with = "a_day")]
    #[param(value_type = Option<String>)]
    to: Option<NaiveDate>,
    /// Only of this application, by id.
    application: Option<String>,
    /// Only of this admin group.
    admin_group: Option<String>,
    /// Instead of a period: the order, ticket, key or assignment of exactly this id or number.
    q: Option<String>,
}

impl EvidenceAsked {
    fn period(&self, now: Timestamp) -> (Timestamp, Timestamp) {
        KpiAsked { days: self.days, from: self.from, to: self.to, ..KpiAsked::default() }.period(now)
    }
}

fn given(value: &Option<String>) -> Option<String> {
    value.as_deref().map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned)
}

/// The pack, within what this reader may see.
pub(in crate::web) async fn pack(state: &WebState, reader: &Reader, asked: &EvidenceAsked, most: usize) -> Result<Pack, Refused> {
    let now = state.clock.now();
    let setup = state.setup.load_full();
    let (from, to) = asked.period(now);
    let search = given(&asked.q);
    let filter = EvidenceFilter {
        from,
        to,
        application: given(&asked.application),
        admin_groups: given(&asked.admin_group).into_iter().collect(),
        search: search.clone(),
        scope: reader.scope.clone(),
    };
    let evidence = state.ledger.evidence(&filter, reader.sees_names(), most).await?;
    let mut covers = match search {
        Some(search) => format!("the order, ticket or key {search}"),
        None => format!("what was closed from {} to {}, days of UTC", day_words(from), day_words(to.plus_ms(-1))),
    };
    for (label, value) in [("application", &filter.application), ("admin group", &filter.admin_groups.first().cloned())] {
        if let Some(value) = value {
            covers.push_str(&format!(", {label} {value}"));
        }
    }
    // Whoever sees names looks at single persons anyway, and that is noted.
    let small = if reader.sees_names() { None } else { Some(Small::over(&*state.ledger, &setup.catalog, from, to).await?) };
    Ok(Pack::of(evidence, small.as_ref(), covers, now))
}

/// The page.
pub(in crate::web) async fn evidence(
    State(state): State<WebState>,
    reader: Reader,
    wanted: Wanted,
    Asked(asked): Asked<EvidenceAsked>,
) -> Result<Response, Refused> {
    let pack = pack(&state, &reader, &asked, MOST_READ).await?;
    let text = |v: &Option<String>| given(v).unwrap_or_default();
    let date = |d: Option<NaiveDate>| d.map(|d| d.to_string()).unwrap_or_default();
    let (from, to, days) = (date(asked.from), date(asked.to), asked.days.map(|d| d.to_string()).unwrap_or_default());
    let (application, group, q) = (text(&asked.application), text(&asked.admin_group), text(&asked.q));
    let query = [
        ("days", days.as_str()),
        ("from", &from),
        ("to", &to),
        ("application", &application),
        ("admin_group", &group),
        ("q", &q),
    ];
    // Without dates of one's own, those that the page is of.
    let (first, end) = asked.period(state.clock.now());
    let link = |ending: &str| address(&format!("/evidence.{ending}"), &query);
    let taken = Taken { what: "evidence", items: pack.n, names: reader.sees_names(), digest: Some(pack.digest.clone()) };
    note(&state, &reader, wanted, taken).await?;
    let exports = if reader.sees_names() && reader.scope.is_none() { state.ledger.exports(EXPORTS).await? } else { Vec::new() };
    let (wrong, fine): (Vec<&Judged>, Vec<&Judged>) = pack.rows.iter().partition(|r| !r.violations.is_empty());
    let shown = |rows: &[&Judged]| rows.iter().take(MOST).map(|r| row(r)).collect::<Vec<Value>>();
    let data = json!({
        "facts": pack.facts().iter().map(|(label, value)| json!({"label": label, "value": value})).collect::<Vec<_>>(),
        "n": pack.n, "violations": pack.violations, "unchecked": pack.unchecked, "chains_hold": pack.chains_hold,
        "all_hold": pack.chains_hold == pack.n, "wrong": shown(&wrong), "rows": shown(&fine), "most": MOST,
        "more": wrong.len() > MOST || fine.len() > MOST, "from": day_words(first), "to": day_words(end.plus_ms(-1)), "application": application, "admin_group": group,
        "q": q, "csv": link("csv"), "xlsx": link("xlsx"), "html": link("html"), "exports": exports,
    });
    Ok(render(&state, &reader, "evidence", "Evidence", data))
}

fn row(judged: &Judged) -> Value {
    let mut shown = to_value(judged);
    let row = &judged.row;
    let approvers: Vec<&str> = row.approvers.iter().map(seen).collect();
    for (name, words) in [
        ("person", seen(&row.beneficiary)),
        ("requested_by", seen(&row.requester)),
        ("approved_by", &approvers.join(", ")),
        ("done_by", seen(&row.fulfilled_by)),
        ("apart", apart(row.approver_apart)),
    ] {
        shown[name] = json!(words);
    }
    shown["to_look_at"] = json!(judged.violations.iter().map(|v| v.human()).collect::<Vec<_>>().join("; "));
    shown
}
