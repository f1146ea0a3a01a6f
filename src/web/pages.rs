//! Pages for people: rendered here, no script in the browser.

use std::sync::LazyLock;

use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use handlebars::{Context, Handlebars, Helper, HelperResult, Output, RenderContext};
use rust_embed::RustEmbed;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::access::Reader;
use super::{WebState, problem};
use crate::kpi::measure::{human, line, report};
use crate::ledger::views::{FactFilter, Filter};
use crate::ledger::{Acted, Action};
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
    let now = state.clock.now();
    let context =
        json!({"title": title, "note": state.note, "now": now, "operator": reader.may_act(), "page": data, "here": {page: true}});
    let body = ENGINE.render(page, &context).and_then(|body| ENGINE.render("layout", &json!({"c": context, "body": body})));
    match body {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(page, error = %error, "a page could not be rendered");
            problem(StatusCode::INTERNAL_SERVER_ERROR, "page", "this page could not be rendered")
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
        Err(error) => super::unavailable(&error),
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
        Err(error) => super::unavailable(&error),
    }
}

/// One assignment from request to completion.
pub(super) async fn assignment(State(state): State<WebState>, reader: Reader, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse::<Id>() else {
        return problem(StatusCode::NOT_FOUND, "no-such-assignment", "there is no such assignment");
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
        Ok(None) => problem(StatusCode::NOT_FOUND, "no-such-assignment", "there is no such assignment"),
        Err(error) => super::unavailable(&error),
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
        Err(error) => super::unavailable(&error),
    }
}

/// Period of the KPI page.
#[derive(Debug, Deserialize)]
pub(super) struct KpiQuery {
    days: Option<i64>,
    application: Option<String>,
}

/// Approval time and provisioning time, never mixed.
pub(super) async fn kpi(State(state): State<WebState>, reader: Reader, Query(query): Query<KpiQuery>) -> Response {
    match kpi_data(&state, &reader, &query).await {
        Ok(data) => render(&state, &reader, "kpi", "KPIs", data),
        Err(error) => super::unavailable(&error),
    }
}

/// The same for page and API.
pub(super) async fn kpi_data(state: &WebState, reader: &Reader, query: &KpiQuery) -> crate::ledger::LedgerResult<Value> {
    let now = state.clock.now();
    let days = query.days.unwrap_or(30).clamp(1, 366);
    let application = query.application.clone().filter(|a| !a.is_empty());
    let filter =
        FactFilter { from: now.plus_secs(-days * 86_400), to: now, scope: reader.scope.clone(), application, admin_group: None };
    let facts = state.ledger.facts(&filter).await?;
    let backlog = state.ledger.backlog(&filter, now).await?;
    let all: Vec<_> = facts.iter().collect();
    Ok(json!({
        "days": days, "as_of": now, "all": line("All together", &all),
        "applications": report(&facts, |f| &f.application_name), "groups": report(&facts, |f| &f.admin_group), "backlog": backlog,
    }))
}

/// A form of the operations page.
#[derive(Debug, Deserialize)]
pub(super) struct Act {
    action: String,
    id: String,
    #[serde(default)]
    outcome: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    ref_id: String,
    #[serde(default)]
    ref_number: String,
}

impl Act {
    fn action(&self) -> Result<Action, String> {
        let id: Id = self.id.parse().map_err(|e: crate::model::id::BadId| e.to_string())?;
        Ok(match self.action.as_str() {
            "retry_errand" => Action::RetryErrand { errand: id },
            "unpark" => Action::Unpark { assignment: id },
            "no_ticket" => Action::NoTicket { errand: id },
            "ticket_is" if !self.ref_id.is_empty() => {
                let number = if self.ref_number.is_empty() { self.ref_id.clone() } else { self.ref_number.clone() };
                Action::TicketIs { errand: id, ref_id: self.ref_id.clone(), ref_number: number }
            }
            "decide" if !self.reason.is_empty() => {
                let outcome = Outcome::parse(&self.outcome).ok_or("choose an outcome")?;
                Action::Decide { assignment: id, outcome, reason: self.reason.clone() }
            }
            "discard" => Action::Discard { quarantined: id },
            "ticket_is" => return Err("say which ticket it is".to_owned()),
            "decide" => return Err("say why".to_owned()),
            other => return Err(format!("there is no action `{}`", other.chars().take(30).collect::<String>())),
        })
    }
}

/// Carries out an operator's action and says what became of it.
pub(super) async fn act(State(state): State<WebState>, reader: Reader, Form(form): Form<Act>) -> Response {
    if !reader.may_act() {
        return problem(StatusCode::FORBIDDEN, "role", "only operators for all applications may act");
    }
    let said =
        if form.action == "replay" { replay(&state, &reader, &form).await } else { carry_out(&state, &reader, &form).await };
    match said {
        Ok(words) => {
            (state.wake)();
            let query: String = url::form_urlencoded::byte_serialize(words.as_bytes()).collect();
            Redirect::to(&format!("/operations?q={query}")).into_response()
        }
        Err(response) => *response,
    }
}

async fn carry_out(state: &WebState, reader: &Reader, form: &Act) -> Result<String, Box<Response>> {
    let action = form.action().map_err(|words| Box::new(problem(StatusCode::BAD_REQUEST, "action", &words)))?;
    match state.ledger.act(action, &reader.name, state.clock.now()).await {
        Ok(Acted::Done) => Ok("Done.".to_owned()),
        Ok(Acted::NotFound) => Ok("It is no longer there.".to_owned()),
        Ok(Acted::NotNow(why)) => Ok(format!("Not done: {why}.")),
        Err(error) => Err(Box::new(super::unavailable(&error))),
    }
}

async fn replay(state: &WebState, reader: &Reader, form: &Act) -> Result<String, Box<Response>> {
    let id: Id = form.id.parse().map_err(|_| Box::new(problem(StatusCode::BAD_REQUEST, "action", "that is not an id")))?;
    let setup = state.setup.load_full();
    match crate::flow::intake::replay(&*state.ledger, &setup, id, &reader.name, state.clock.now()).await {
        Ok(Some(crate::ledger::Recorded::Quarantined { .. })) => Ok("It still does not map.".to_owned()),
        Ok(Some(_)) => Ok("It was taken.".to_owned()),
        Ok(None) => Ok("It is no longer there.".to_owned()),
        Err(error) => Err(Box::new(problem(StatusCode::CONFLICT, "replay", &error.to_string()))),
    }
}

/// The style sheet.
pub(super) async fn style() -> Response {
    const CSS: &str = include_str!("../../templates/style.css");
    ([(header::CONTENT_TYPE, "text/css"), (header::CACHE_CONTROL, "max-age=300")], CSS).into_response()
}
