//! Pages for people: rendered here, no script in the browser.

use std::sync::LazyLock;

use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{Html, IntoResponse, Response};
use handlebars::{Context, Handlebars, Helper, HelperResult, Output, RenderContext};
use rust_embed::RustEmbed;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::WebState;
use super::access::Reader;
use super::problem::{Code, problem, unavailable};
use crate::kpi::measure::human;
use crate::kpi::report::{Asked, Report};
use crate::ledger::views::Filter;
use crate::model::{Id, Outcome, Timestamp};

/// Rows of a list.
const PAGE: usize = 50;

#[derive(RustEmbed)]
#[folder = "templates/pages/"]
struct Templates;

static ENGINE: LazyLock<Handlebars<'static>> = LazyLock::new(|| {
    let mut engine = Handlebars::new();
    for path in Templates::iter() {
        let Some(file) = Templates::get(&path) else { continue };
        let name = path.trim_end_matches(".hbs");
        if let Err(error) = engine.register_template_string(name, String::from_utf8_lossy(&file.data)) {
            tracing::error!(template = name, error = %error, "a built-in page does not compile");
        }
    }
    engine.register_helper("when", Box::new(when));
    engine.register_helper("span", Box::new(span));
    engine.register_helper("words", Box::new(words));
    engine
});

type Out<'a> = &'a mut dyn Output;

fn when(h: &Helper<'_>, _: &Handlebars<'_>, _: &Context, _: &mut RenderContext<'_, '_>, out: Out<'_>) -> HelperResult {
    let text = h.param(0).and_then(|p| p.value().as_i64()).map_or_else(|| "–".to_owned(), |ms| Timestamp(ms).human());
    Ok(out.write(&text)?)
}

fn span(h: &Helper<'_>, _: &Handlebars<'_>, _: &Context, _: &mut RenderContext<'_, '_>, out: Out<'_>) -> HelperResult {
    let text = h.param(0).and_then(|p| p.value().as_i64()).map_or_else(|| "–".to_owned(), human);
    Ok(out.write(&text)?)
}

fn words(h: &Helper<'_>, _: &Handlebars<'_>, _: &Context, _: &mut RenderContext<'_, '_>, out: Out<'_>) -> HelperResult {
    let text = h.param(0).and_then(|p| p.value().as_str()).unwrap_or_default().replace('_', " ");
    Ok(out.write(&text)?)
}

fn render(state: &WebState, reader: &Reader, page: &str, title: &str, data: Value) -> Response {
    let mut context = context(state, page, title, data);
    context["operator"] = json!(reader.may_act());
    context["signed_in"] = json!(reader.signed_in());
    context["csrf"] = json!(state.gate.sessions.form_token(&reader.binding()));
    laid_out(page, &context)
}

/// A page for whoever comes: nothing of the ledger is on it.
pub(super) fn render_open(state: &WebState, page: &str, title: &str, data: Value) -> Response {
    laid_out(page, &context(state, page, title, data))
}

fn context(state: &WebState, page: &str, title: &str, data: Value) -> Value {
    json!({"title": title, "note": state.note, "now": state.clock.now(), "page": data, "here": {page: true}})
}

fn laid_out(page: &str, context: &Value) -> Response {
    let body = ENGINE.render(page, context).and_then(|body| ENGINE.render("layout", &json!({"c": context, "body": body})));
    match body {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(page, error = %error, "a page could not be rendered");
            problem(Code::Internal, "this page could not be rendered")
        }
    }
}

fn to_value(value: impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or_default()
}

/// The number that matters first: what waits for a person.
pub(super) async fn overview(State(state): State<WebState>, reader: Reader) -> Response {
    match state.ledger.overview(&reader.scope, state.clock.now()).await {
        Ok(o) => {
            let trouble = o.parked + o.unclear + o.quarantined + o.strays;
            let open: i64 = o.by_state.iter().filter(|c| matches!(c.id.as_str(), "open" | "rework")).map(|c| c.count).sum();
            let mut data = to_value(o);
            data["trouble"] = json!(trouble);
            data["open"] = json!(open);
            render(&state, &reader, "overview", "Overview", data)
        }
        Err(error) => unavailable(error),
    }
}

/// Filters of the list, in the address.
#[derive(Debug, Default, Deserialize, Serialize)]
pub(super) struct ListQuery {
    state: Option<String>,
    application: Option<String>,
    admin_group: Option<String>,
    parked: Option<String>,
    q: Option<String>,
    before: Option<String>,
}

impl ListQuery {
    /// As the ledger's filter, within the reader's scope.
    pub(super) fn filter(&self, reader: &Reader) -> Filter {
        let given = |v: &Option<String>| v.clone().map(|t| t.trim().to_owned()).filter(|t| !t.is_empty());
        Filter {
            states: given(&self.state).into_iter().collect(),
            application: given(&self.application),
            admin_group: given(&self.admin_group),
            parked: given(&self.parked).map(|p| p == "yes"),
            search: given(&self.q),
            scope: reader.scope.clone(),
            before: self.before.as_deref().and_then(|b| b.parse().ok()),
            ..Filter::default()
        }
    }
}

/// Assignments, newest first.
pub(super) async fn assignments(State(state): State<WebState>, reader: Reader, Query(query): Query<ListQuery>) -> Response {
    match state.ledger.assignments(&query.filter(&reader), reader.sees_names(), PAGE).await {
        Ok(rows) => {
            let next = (rows.len() == PAGE).then(|| rows.last().map(|r| r.id)).flatten();
            let data = json!({"rows": rows, "query": query, "next": next});
            render(&state, &reader, "assignments", "Assignments", data)
        }
        Err(error) => unavailable(error),
    }
}

/// One assignment from request to completion.
pub(super) async fn assignment(State(state): State<WebState>, reader: Reader, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<Id>() else {
        return problem(Code::NoSuchAssignment, "there is no such assignment");
    };
    match state.ledger.assignment(id, &reader.scope, reader.sees_names()).await {
        Ok(Some(detail)) => {
            let row = &detail.row;
            let approval = row.approved_at.zip(row.requested_at).map(|(a, r)| a.ms_since(r).max(0));
            let end = row.closed_at.unwrap_or_else(|| state.clock.now());
            let provisioning = row.eligible_at.map(|e| end.ms_since(e).max(0));
            let mut data = to_value(&detail);
            data["approval_ms"] = json!(approval);
            data["provisioning_ms"] = json!(provisioning);
            render(&state, &reader, "assignment", "Assignment", data)
        }
        Ok(None) => problem(Code::NoSuchAssignment, "there is no such assignment"),
        Err(error) => unavailable(error),
    }
}

/// What a person must look at.
pub(super) async fn operations(State(state): State<WebState>, reader: Reader, Query(query): Query<ListQuery>) -> Response {
    match state.ledger.operations(&reader.scope, reader.sees_names(), PAGE).await {
        Ok(lists) => {
            let mut data = to_value(lists);
            data["said"] = json!(query.q);
            data["outcomes"] = json!(Outcome::ALL.map(Outcome::as_str));
            render(&state, &reader, "operations", "Operations", data)
        }
        Err(error) => unavailable(error),
    }
}

/// Approval time and provisioning time, never mixed.
pub(super) async fn kpi(State(state): State<WebState>, reader: Reader, Query(asked): Query<Asked>) -> Response {
    match Report::of(&*state.ledger, &reader.scope, &asked, state.clock.now()).await {
        Ok(data) => render(&state, &reader, "kpi", "KPIs", to_value(data)),
        Err(error) => unavailable(error),
    }
}

/// The style sheet.
pub(super) async fn style() -> Response {
    const CSS: &str = include_str!("../../templates/style.css");
    ([(header::CONTENT_TYPE, "text/css"), (header::CACHE_CONTROL, "max-age=300")], CSS).into_response()
}
