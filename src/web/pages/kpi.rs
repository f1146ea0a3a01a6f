//! Approval time and provisioning time, never mixed.

use axum::extract::{Query, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::{address, render, to_value};
use crate::kpi::measure::{Line, MIN_FOR_PERCENTILE};
use crate::kpi::report::{Asked, Report};
use crate::web::WebState;
use crate::web::access::Reader;
use crate::web::problem::unavailable;

/// Periods offered, days.
const PERIODS: [i64; 5] = [7, 30, 90, 180, 365];

/// The page.
pub(in crate::web) async fn kpi(State(state): State<WebState>, reader: Reader, Query(asked): Query<Asked>) -> Response {
    match Report::of(&*state.ledger, &reader.scope, &asked, state.clock.now()).await {
        Ok(report) => render(&state, &reader, "kpi", "KPIs", shown(&report, &asked)),
        Err(error) => unavailable(error),
    }
}

fn shown(report: &Report, asked: &Asked) -> Value {
    let days = report.days;
    let (application, group) = (asked.application.clone().unwrap_or_default(), asked.admin_group.clone().unwrap_or_default());
    let mut periods: Vec<i64> = PERIODS.to_vec();
    if !periods.contains(&days) {
        periods.push(days);
        periods.sort_unstable();
    }
    let periods: Vec<Value> = periods.into_iter().map(|d| json!({"days": d, "chosen": d == days})).collect();
    // One scale per measure over both tables, so that bars can be compared with each other.
    let lines = || report.applications.iter().chain(&report.groups);
    let scales = json!({
        "provisioning": lines().filter_map(|l| l.provisioning.p90_ms).max(),
        "approval": lines().filter_map(|l| l.approval.p90_ms).max(),
    });
    let rows = |lines: &[Line], field: &str| -> Vec<Value> {
        let day_text = days.to_string();
        lines
            .iter()
            .map(|l| {
                let link = address("/kpi", &[("days", &day_text), (field, &l.id)]);
                let mut row = to_value(l);
                row["link"] = json!(link);
                row["named"] = json!(!l.id.is_empty());
                row
            })
            .collect()
    };
    let mut backlog: Vec<Value> = report.backlog.iter().map(to_value).collect();
    for row in &mut backlog {
        let of = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        let link = address("/assignments", &[("application", &of("application_id")), ("admin_group", &of("admin_group"))]);
        row["link"] = json!(link);
    }
    let sum = |n: usize| report.backlog.iter().map(|b| b.bands[n]).sum::<i64>();
    let bands: Vec<i64> = (0..5).map(sum).collect();
    let not_yet: i64 = report.backlog.iter().map(|b| b.not_yet).sum();
    json!({
        "days": days, "from": report.as_of.plus_secs(-days * 86_400), "to": report.as_of, "periods": periods, "application": application,
        "admin_group": group, "filtered": !application.is_empty() || !group.is_empty(), "all": report.all, "scales": scales,
        "applications": rows(&report.applications, "application"), "groups": rows(&report.groups, "admin_group"), "backlog": backlog,
        "bands": bands, "not_yet": not_yet, "owed": bands.iter().sum::<i64>() + not_yet, "late": bands[3] + bands[4],
        "oldest": report.backlog.iter().filter_map(|b| b.oldest).min(), "min_n": MIN_FOR_PERCENTILE,
        "few": report.all.provisioning.n < MIN_FOR_PERCENTILE,
    })
}
