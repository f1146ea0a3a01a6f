//! The first page: what needs a person, what waits for whom, which edges fail.

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use serde_json::json;

use super::{render, to_value};
use crate::desk::Level;
use crate::ledger::views::{Count, EdgeRow, Overview};
use crate::model::{State as Stage, Timestamp};
use crate::web::WebState;
use crate::web::access::Reader;
use crate::web::problem::unavailable;

/// A desk or platform, as it stands.
#[derive(Debug, Serialize)]
pub(super) struct Edge {
    name: String,
    /// What it is, for people.
    kind: String,
    /// What a crash at the worst moment can do there.
    promise: &'static str,
    /// Nothing is sent since then, until it answers a probe.
    held_since: Option<Timestamp>,
    /// It asked for patience: everything for it waits until then.
    paused_until: Option<Timestamp>,
    /// What fails as a whole, each since its time.
    troubles: Vec<EdgeRow>,
    /// Calls that failed and are tried again.
    failing: i64,
    failing_since: Option<Timestamp>,
    /// Calls past their time; of a platform that asks, outcomes it has not asked for yet.
    waiting: i64,
    /// It asks for its outcomes: nothing is sent to it.
    asks: bool,
    /// What it is not told, in words.
    kept_here: Option<String>,
    /// Where a platform posts its orders.
    hook: Option<String>,
    /// When a platform is asked for its orders.
    schedule: Option<String>,
}

/// Every configured desk, and every platform.
pub(super) fn edges(state: &WebState, overview: &Overview) -> (Vec<Edge>, Vec<Edge>) {
    let setup = state.setup.load();
    let of = |kind: &str, name: &str, what: String, promise| {
        let edge = format!("{kind}/{name}");
        let find = |counts: &[Count]| counts.iter().find(|c| c.id == edge).cloned();
        let failing = find(&overview.failing_by_edge);
        Edge {
            name: name.to_owned(),
            kind: what,
            promise,
            troubles: overview.edges.iter().filter(|row| row.edge == edge).cloned().collect(),
            held_since: state.breakers.open_since(&edge),
            paused_until: state.pauses.until(&edge, &*state.clock),
            failing: failing.as_ref().map_or(0, |c| c.count),
            failing_since: failing.and_then(|c| c.oldest),
            waiting: find(&overview.waiting_by_edge).map_or(0, |c| c.count),
            asks: false,
            kept_here: None,
            hook: None,
            schedule: None,
        }
    };
    let desks = setup.desks.iter().map(|(name, desk)| of("desk", name, desk.info().kind.to_owned(), promise(desk.info().level)));
    let platforms = setup.sources.iter().map(|(name, source)| {
        let info = source.info();
        let mut edge = of("source", name, info.kind.to_owned(), "");
        edge.hook = (info.kind == "webhook").then(|| format!("/hooks/{name}"));
        edge.schedule.clone_from(&info.schedule);
        edge.asks = info.capabilities.asks;
        edge.kept_here = info.capabilities.kept_here();
        edge
    });
    (desks.collect(), platforms.collect())
}

/// What needs a person, each once. Unclear calls do not: they are looked for, and park when that cannot be done.
pub(super) fn troubles(overview: &Overview) -> i64 {
    overview.parked + overview.parked_errands_alone + overview.quarantined + overview.strays + overview.findings
}

fn promise(level: Level) -> &'static str {
    match level {
        Level::D3 => "D3: sending a ticket twice is harmless",
        Level::D2 => "D2: a search for our key is always up to date",
        Level::D1 => "D1: a search for our key lags; unclear calls wait for it",
        Level::D0 => "D0: cannot be searched; a person decides unclear calls",
    }
}

fn sum(overview: &Overview, wanted: fn(Stage) -> bool) -> (i64, Option<Timestamp>) {
    let found = || overview.by_state.iter().filter(|c| Stage::parse(&c.id).is_some_and(wanted));
    (found().map(|c| c.count).sum(), found().filter_map(|c| c.oldest).min())
}

/// The number that matters first: what waits for a person.
pub(in crate::web) async fn overview(State(state): State<WebState>, reader: Reader) -> Response {
    let overview = match state.ledger.overview(&reader.scope, state.clock.now()).await {
        Ok(overview) => overview,
        Err(error) => return unavailable(error),
    };
    let trouble = troubles(&overview);
    let (open, oldest) = sum(&overview, Stage::has_open_ticket);
    // Future-dated ones are planned, too, but wait for nobody.
    let (way, _) =
        sum(&overview, |s| matches!(s, Stage::Received | Stage::Planned | Stage::Due | Stage::Sending | Stage::Unclear));
    let (closed, _) = sum(&overview, |s| s == Stage::Closed);
    let (total, _) = sum(&overview, |_| true);
    let (desks, platforms) = edges(&state, &overview);
    let (way, future) = (way - overview.future, overview.future);
    let mut data = to_value(overview);
    for (name, value) in
        [("trouble", trouble), ("open", open), ("on_the_way", way.max(0)), ("to_report", closed), ("total", total)]
    {
        data[name] = json!(value);
    }
    data["future"] = json!(future);
    data["oldest"] = json!(oldest);
    data["desks"] = to_value(desks);
    data["platforms"] = to_value(platforms);
    render(&state, &reader, "overview", "Overview", data)
}
