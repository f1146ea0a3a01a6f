//! Approval time and provisioning time, never mixed, by one of two clocks.

use axum::extract::{Query, State};
use axum::response::Response;
use serde_json::{Value, json};

use super::{address, render, to_value};
use crate::catalog::ClockKind;
use crate::kpi::measure::{Line, MIN_FOR_PERCENTILE, Spread};
use crate::kpi::report::{Asked, Report, Which};
use crate::web::WebState;
use crate::web::access::Reader;
use crate::web::problem::unavailable;

/// Periods offered, days.
const PERIODS: [i64; 5] = [7, 30, 90, 180, 365];

/// Addresses that keep the filter they are reached from.
pub(super) struct Links {
    days: String,
    application: String,
    group: String,
    clock: &'static str,
}

impl Links {
    pub(super) fn of(asked: &Asked) -> Self {
        let text = |v: &Option<String>| v.clone().unwrap_or_default().trim().to_owned();
        let clock = if asked.clock == Some(ClockKind::Business) { "business" } else { "" };
        Self { days: asked.days().to_string(), application: text(&asked.application), group: text(&asked.admin_group), clock }
    }

    fn at(&self, path: &str, clock: &str, which: &str, only: Option<(&str, &str)>) -> String {
        let mut fields = vec![
            ("days", self.days.as_str()),
            ("application", &self.application),
            ("admin_group", &self.group),
            ("clock", clock),
        ];
        fields.push(("which", which));
        if let Some((field, value)) = only {
            fields.retain(|(name, _)| *name != field);
            fields.push((field, value));
        }
        address(path, &fields)
    }

    /// The figures by a clock.
    pub(super) fn kpi(&self, clock: ClockKind) -> String {
        self.at("/kpi", if clock == ClockKind::Business { "business" } else { "" }, "", None)
    }

    /// The figures as a file, by both clocks.
    fn file(&self, ending: &str) -> String {
        self.at(&format!("/kpi.{ending}"), "", "", None)
    }

    /// The assignments behind a figure; `only` narrows to one application or group.
    pub(super) fn behind(&self, which: Which, only: Option<(&str, &str)>) -> String {
        self.at("/kpi/assignments", self.clock, which.as_str(), only)
    }

    /// The same as a file.
    pub(super) fn behind_file(&self, which: Which, ending: &str) -> String {
        self.at(&format!("/kpi/assignments.{ending}"), "", which.as_str(), None)
    }
}

/// The page.
pub(in crate::web) async fn kpi(State(state): State<WebState>, reader: Reader, Query(asked): Query<Asked>) -> Response {
    let setup = state.setup.load_full();
    match Report::of(&*state.ledger, &setup.catalog, &reader.scope, &asked, state.clock.now()).await {
        Ok(report) => render(&state, &reader, "kpi", "KPIs", shown(&report, &asked, !setup.catalog.calendars.is_empty())),
        Err(error) => unavailable(error),
    }
}

fn shown(report: &Report, asked: &Asked, calendars: bool) -> Value {
    let days = report.days;
    let links = Links::of(asked);
    let business = asked.clock == Some(ClockKind::Business);
    let mut periods: Vec<i64> = PERIODS.to_vec();
    if !periods.contains(&days) {
        periods.push(days);
        periods.sort_unstable();
    }
    let periods: Vec<Value> = periods.into_iter().map(|d| json!({"days": d, "chosen": d == days})).collect();
    let by_clock = |l: &Line| -> (Spread, Spread) {
        if business {
            (l.provisioning_business.clone(), l.approval_business.clone())
        } else {
            (l.provisioning.clone(), l.approval.clone())
        }
    };
    // One scale per measure over both tables, so that bars can be compared with each other.
    let lines = || report.applications.iter().chain(&report.groups).map(by_clock);
    let scales = json!({
        "provisioning": lines().filter_map(|(p, _)| p.p90_ms).max(),
        "approval": lines().filter_map(|(_, a)| a.p90_ms).max(),
    });
    let shown = |l: &Line| {
        let (provisioning, approval) = by_clock(l);
        json!({"id": l.id, "name": l.name, "provisioning": provisioning, "approval": approval, "target": target(l)})
    };
    let rows = |lines: &[Line], field: &str| -> Vec<Value> {
        lines
            .iter()
            .map(|l| {
                let mut row = shown(l);
                row["link"] = json!(Links { application: String::new(), group: String::new(), ..Links::of(asked) }.at(
                    "/kpi",
                    links.clock,
                    "",
                    Some((field, &l.id))
                ));
                row["behind"] = json!(links.behind(Which::Closed, Some((field, &l.id))));
                row["late"] = json!(links.behind(Which::Late, Some((field, &l.id))));
                row["overdue"] = json!(links.behind(Which::Overdue, Some((field, &l.id))));
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
    let all = shown(&report.all);
    json!({
        "days": days, "from": report.from, "as_of": (report.as_of.0 > 0).then_some(report.as_of), "rolling": report.behind, "periods": periods,
        "application": links.application, "admin_group": links.group,
        "filtered": !links.application.is_empty() || !links.group.is_empty(), "few": all["provisioning"]["n"].as_i64() < Some(MIN_FOR_PERCENTILE), "all": all, "scales": scales,
        "applications": rows(&report.applications, "application"), "groups": rows(&report.groups, "admin_group"), "backlog": backlog,
        "bands": bands, "not_yet": not_yet, "owed": bands.iter().sum::<i64>() + not_yet, "late": bands[3] + bands[4],
        "oldest": report.backlog.iter().filter_map(|b| b.oldest).min(), "min_n": MIN_FOR_PERCENTILE,
        "business": business, "has_calendars": calendars, "calendars": report.calendars, "clock": links.clock,
        "to_elapsed": links.kpi(ClockKind::Elapsed), "to_business": links.kpi(ClockKind::Business), "csv": links.file("csv"), "xlsx": links.file("xlsx"), "smallest": report.smallest_group, "together": report.smallest_group > 1, "withheld": report.withheld,
        "behind": links.behind(Which::Closed, None), "behind_late": links.behind(Which::Late, None), "behind_overdue": links.behind(Which::Overdue, None),
        "everything": Links { application: String::new(), group: String::new(), ..Links::of(asked) }.at("/kpi", links.clock, "", None),
    })
}

/// How its targets were kept; none where nothing has one.
fn target(line: &Line) -> Option<Value> {
    let kept = line.target;
    let all = kept.in_target + kept.late + kept.overdue_open;
    (all > 0).then(|| {
        json!({"in_target": kept.in_target, "late": kept.late, "overdue": kept.overdue_open, "all": all,
            "percent": kept.percent, "missed": kept.late + kept.overdue_open})
    })
}
