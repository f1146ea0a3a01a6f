//! `/metrics`: what this process counted, and what the ledger holds.

use std::fmt::Write as _;

use axum::extract::State;
use axum::response::Response;

use super::WebState;
use super::access::Reader;
use super::answer::typed;
use super::problem::{Code, Refused};
use crate::kpi::report::{Asked, Report};
use crate::kpi::series::{self, Series};
use crate::ledger::views::{Gauge, Measured};
use crate::model::Timestamp;

/// Prometheus text. It is about every application, so it is only for readers of all.
pub(super) async fn metrics(State(state): State<WebState>, reader: Reader) -> Result<Response, Refused> {
    if reader.scope.is_some() {
        return Err(Refused::new(Code::Scope, "metrics are about every application; your token is for some"));
    }
    let now = state.clock.now();
    let mut gauges = state.ledger.gauges(now).await?;
    let setup = state.setup.load();
    let waits = |edge: &str| edge.strip_prefix("source/").is_some_and(|name| setup.sources.get(name).is_some_and(asks));
    for gauge in &mut gauges {
        // Nobody sends these: they wait to be asked for.
        if gauge.what == Measured::NextErrand && gauge.of.as_deref().is_some_and(waits) {
            gauge.what = Measured::Unasked;
        }
    }
    let mut text = state.metrics.render();
    text.push_str(&of_ledger(&gauges));
    text.push_str(&figures(&state, now).await?);
    text.push_str(&of_process(&state.setup.load().catalog.version, state.started));
    Ok(typed("text/plain; version=0.0.4; charset=utf-8", text))
}

fn asks(source: &std::sync::Arc<dyn crate::source::Source>) -> bool {
    source.info().capabilities.asks
}

/// How long figures are shown again before they are read afresh: they are read for people and exports at once.
const FIGURES_FOR_MS: i64 = 60_000;

/// The figures as they were last rendered, and when.
#[derive(Debug, Default)]
pub(super) struct LastFigures(tokio::sync::Mutex<Option<(Timestamp, String)>>);

/// Figures of the last days, at most a minute old.
async fn figures(state: &WebState, now: Timestamp) -> Result<String, Refused> {
    let mut last = state.gate.figures.0.lock().await;
    if let Some((_, text)) = last.as_ref().filter(|(at, _)| (0..FIGURES_FOR_MS).contains(&now.ms_since(*at))) {
        return Ok(text.clone());
    }
    let asked = Asked { days: Some(series::DAYS), ..Asked::default() };
    let report = Report::of(&*state.ledger, &state.setup.load().catalog, &None, &asked, now).await?;
    let text = of_figures(&series::series(&report));
    *last = Some((now, text.clone()));
    Ok(text)
}

fn of_figures(all: &[Series]) -> String {
    let mut out = String::new();
    for one in all.iter().filter(|series| !series.samples.is_empty()) {
        // writing to a String cannot fail
        let _ = write!(out, "# HELP {} {}\n# TYPE {} gauge\n", one.name, one.help, one.name);
        for (labels, value) in &one.samples {
            let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            let value = if one.name.ends_with("_seconds") { seconds(*value) } else { value.to_string() };
            let _ = writeln!(out, "{}{labels} {value}", one.name);
        }
    }
    out
}

/// Name, label, help; milliseconds become seconds where the name says so.
const fn named(what: Measured) -> (&'static str, &'static str, &'static str) {
    match what {
        Measured::OldestUnfulfilled => (
            "lastmile_oldest_unfulfilled_age_seconds",
            "",
            "Since the longest-known order whose ticket is owed or open arrived; 0: none.",
        ),
        Measured::OldestUnplanned => {
            ("lastmile_intake_lag_seconds", "", "Since the oldest order that wants a plan now arrived; 0: none.")
        }
        Measured::NextErrand => ("lastmile_next_errand_age_seconds", "edge", "Since the call whose turn is next was decided."),
        Measured::Unasked => (
            "lastmile_unasked_outcome_age_seconds",
            "edge",
            "Since the oldest outcome was known that a platform which asks for them has not asked for yet.",
        ),
        Measured::OldestUnclear => ("lastmile_oldest_unclear_age_seconds", "edge", "Since the oldest unclear call was decided."),
        Measured::Unclear => ("lastmile_unclear_errands", "edge", "Calls of which it is not known whether they happened."),
        Measured::ParkedAssignments => ("lastmile_parked_assignments", "", "Orders that wait for an operator."),
        Measured::ParkedErrands => ("lastmile_parked_errands", "", "Calls that wait for an operator."),
        Measured::Quarantined => ("lastmile_quarantined_events", "", "Events that no mapping understood."),
        Measured::Strays => (
            "lastmile_strays_found",
            "kind",
            "Tickets ever found that carry a key of ours and should not be there; doubles should stay 0.",
        ),
        Measured::Findings => {
            ("lastmile_findings", "kind", "Where platform, ledger and desk disagree, as the last comparison found it.")
        }
        Measured::Checkpoint => {
            ("lastmile_journal_checkpoint_timestamp_seconds", "", "When the chains of the journal were last tied together.")
        }
    }
}

fn of_ledger(gauges: &[Gauge]) -> String {
    let mut sorted: Vec<&Gauge> = gauges.iter().collect();
    sorted.sort_by(|a, b| (a.what, &a.of).cmp(&(b.what, &b.of)));
    let (mut out, mut last) = (String::new(), None);
    for gauge in sorted {
        let (name, label, help) = named(gauge.what);
        if last.replace(gauge.what) != Some(gauge.what) {
            // writing to a String cannot fail
            let _ = write!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n");
        }
        let labels = gauge.of.as_deref().map_or_else(String::new, |of| format!("{{{label}=\"{}\"}}", escaped(of)));
        let value = if name.ends_with("_seconds") { seconds(gauge.value) } else { gauge.value.to_string() };
        let _ = writeln!(out, "{name}{labels} {value}");
    }
    out
}

fn of_process(catalog: &str, started: Timestamp) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let started = seconds(started.0);
    format!(
        "# HELP lastmile_build_info Which lastmile this is, and which catalog it works with.\n# TYPE lastmile_build_info gauge\n\
         lastmile_build_info{{version=\"{version}\",catalog=\"{}\"}} 1\n\
         # HELP lastmile_start_timestamp_seconds When this process began.\n# TYPE lastmile_start_timestamp_seconds gauge\n\
         lastmile_start_timestamp_seconds {started}\n",
        escaped(catalog)
    )
}

fn seconds(ms: i64) -> String {
    format!("{}.{:03}", ms.div_euclid(1000), ms.rem_euclid(1000))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
