//! The part of Zammad's REST that a declared desk uses, with its habits: `expand` names what are numbers elsewhere,
//! attributes that nobody defined are ignored, a group it does not know is 422, the search is an index.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use super::desk_state::{NewTicket, Stage, Ticket};
use super::faults::{Target, mix};
use super::server::{App, USER, by_method};
use crate::model::Timestamp;

type Params = Query<BTreeMap<String, String>>;

/// Attributes that its administrator added, besides the key and the outcome.
const OWN_ATTRIBUTES: [&str; 1] = ["cost_centre"];

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/api/v1/users/me", get(myself))
        .route("/api/v1/users/{id}", get(user))
        .route("/api/v1/groups", get(groups))
        .route("/api/v1/tickets", post(create))
        .route("/api/v1/tickets/search", get(search))
        .route("/api/v1/tickets/{id}", get(ticket).put(edit))
        .route("/api/v1/ticket_articles", post(add_article))
        .route("/api/v1/ticket_articles/by_ticket/{id}", get(articles))
        .route("/api/v1/ticket_history/{id}", get(history))
}

/// Which kind of call this is, for the faults.
pub(super) fn target(method: &Method, path: &str) -> Target {
    match path.rsplit('/').next() {
        Some("tickets") if method == Method::POST => Target::Create,
        Some("search") => Target::Search,
        _ => by_method(method),
    }
}

pub(super) fn not_let_in() -> Response {
    (StatusCode::UNAUTHORIZED, Json(json!({"error": "Invalid BasicAuth credentials"}))).into_response()
}

fn no_ticket() -> Response {
    (StatusCode::NOT_FOUND, Json(json!({"error": "Couldn't find Ticket"}))).into_response()
}

fn user_id(login: &str) -> u64 {
    login.bytes().fold(1, |sum, byte| mix(sum, u64::from(byte))) % 1_000_000
}

fn user_json(login: &str) -> Value {
    json!({"id": user_id(login), "login": login, "firstname": login, "lastname": "", "active": true})
}

fn state_of(t: &Ticket) -> &str {
    match &t.stage {
        Stage::New => "new",
        Stage::Working => "open",
        Stage::Waiting => "pending reminder",
        Stage::Closed => "closed",
        Stage::Odd(name) => name,
    }
}

fn stage_of(state: &str) -> Stage {
    match state {
        "new" => Stage::New,
        "open" => Stage::Working,
        "pending reminder" | "pending close" => Stage::Waiting,
        "closed" => Stage::Closed,
        other => Stage::Odd(other.to_owned()),
    }
}

fn date(at: Timestamp) -> Value {
    json!(at.iso())
}

fn ticket_json(t: &Ticket) -> Value {
    let mut out: Map<String, Value> = t.fields.clone().into_iter().collect();
    let known = json!({
        "id": t.id.parse::<u64>().map_or(json!(t.id), |n| json!(n)),
        "number": t.number,
        "title": t.summary,
        "state": state_of(t),
        "group": t.group,
        "owner": t.assignee.as_deref().unwrap_or("-"),
        "created_by": t.created_by,
        "lastmile_key": t.labels.first(),
        "access_outcome": t.resolution,
        "created_at": date(t.created_at),
        "updated_at": date(t.updated_at),
        "close_at": t.closed_at.map(date),
    });
    out.extend(known.as_object().cloned().unwrap_or_default());
    Value::Object(out)
}

async fn myself() -> Json<Value> {
    Json(user_json(USER))
}

/// Whoever did anything on a ticket is a user.
async fn user(State(app): State<App>, Path(id): Path<u64>) -> Response {
    let names = app.state.all().into_iter().flat_map(|t| t.history.into_iter().map(|m| m.by));
    match names.into_iter().find(|name| user_id(name) == id) {
        Some(name) => Json(user_json(&name)).into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!({"error": "Couldn't find User"}))).into_response(),
    }
}

async fn groups(State(app): State<App>) -> Json<Value> {
    let groups: Vec<Value> = app.state.groups().into_iter().flatten().map(|name| json!({"name": name, "active": true})).collect();
    Json(json!(groups))
}

async fn create(State(app): State<App>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    // No Zammad knows this header: with it, the fake plays a desk where repeating a create is harmless.
    let again = headers.get("idempotency-key").and_then(|key| key.to_str().ok()).and_then(|key| app.state.created_with(key));
    if let Some(known) = again {
        return Json(ticket_json(&known)).into_response();
    }
    let given = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let (Some(title), Some(group), Some(text)) = (given("/title"), given("/group"), given("/article/body")) else {
        let words = "Need at least article: { body: \"some text\" }, a title and a group";
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"error": words, "error_human": words}))).into_response();
    };
    if !app.state.knows_group(&group) {
        let words = format!("No lookup value found for 'group': \"{group}\"");
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"error": words, "error_human": words}))).into_response();
    }
    let own = |name: &&str| Some(((*name).to_owned(), body.get(*name)?.clone()));
    let new = NewTicket {
        place: "tickets".to_owned(),
        prefix: "2".to_owned(),
        hex_id: false,
        summary: title,
        body: json!(text),
        group: Some(group),
        labels: given("/lastmile_key").filter(|_| !app.faults.key_field_hidden()).into_iter().collect(),
        fields: OWN_ATTRIBUTES.iter().filter_map(own).collect(),
    };
    (StatusCode::CREATED, Json(ticket_json(&app.state.create(new, USER)))).into_response()
}

async fn ticket(State(app): State<App>, Path(id): Path<String>) -> Response {
    app.state.get(&id).map_or_else(no_ticket, |t| Json(ticket_json(&t)).into_response())
}

async fn edit(State(app): State<App>, Path(id): Path<String>, Json(body): Json<Value>) -> Response {
    let changed = app.state.change(&id, |t, now| {
        if let Some(title) = body["title"].as_str() {
            title.clone_into(&mut t.summary);
        }
        if let Some(state) = body["state"].as_str().filter(|s| *s != state_of(t)) {
            t.move_to(stage_of(state), USER, now);
        }
        if let Some(outcome) = body["access_outcome"].as_str() {
            t.resolution = Some(outcome.to_owned());
        }
        if body["article"].is_object() {
            t.comment(USER, now, article_text(&body["article"]), body["article"]["internal"] == true);
        }
        ticket_json(t)
    });
    changed.map_or_else(no_ticket, |t| Json(t).into_response())
}

/// Subject and text in one, as a comment of the fake is one text.
fn article_text(article: &Value) -> Value {
    let part = |name: &str| article[name].as_str().unwrap_or_default();
    json!(format!("{}\n{}", part("subject"), part("body")))
}

async fn add_article(State(app): State<App>, Json(body): Json<Value>) -> Response {
    let id = body["ticket_id"].as_str().unwrap_or_default();
    match app.state.change(id, |t, now| t.comment(USER, now, article_text(&body), body["internal"] == true)) {
        Some(()) => (StatusCode::CREATED, Json(json!({"id": 1}))).into_response(),
        None => no_ticket(),
    }
}

async fn articles(State(app): State<App>, Path(id): Path<String>) -> Response {
    let Some(t) = app.state.get(&id) else { return no_ticket() };
    let files: Vec<Value> = t.files().map(|(n, f)| json!({"id": n, "filename": f["filename"]})).collect();
    let first = json!({"id": 1, "created_by": t.created_by, "internal": false, "body": t.body, "created_at": date(t.created_at),
        "attachments": files});
    let more = t.comments.iter().map(|c| {
        let body = format!("<div>{}</div>", c.body.as_str().unwrap_or_default());
        json!({"id": 2, "created_by": c.by, "internal": c.internal, "body": body, "created_at": date(c.at), "attachments": []})
    });
    Json(json!(std::iter::once(first).chain(more).collect::<Vec<_>>())).into_response()
}

async fn history(State(app): State<App>, Path(id): Path<String>) -> Response {
    let Some(t) = app.state.get(&id) else { return no_ticket() };
    let rows: Vec<Value> = t
        .history
        .iter()
        .map(|m| {
            let to = Ticket { stage: m.to.clone(), ..t.clone() };
            json!({"object": "Ticket", "type": "updated", "attribute": "state", "value_to": state_of(&to),
                   "created_by_id": user_id(&m.by), "created_at": date(m.at)})
        })
        .collect();
    Json(json!({"history": rows, "assets": {}})).into_response()
}

/// The two questions of a declaration: one key, or everything of ours that changed.
async fn search(State(app): State<App>, Query(q): Params) -> Response {
    let question = q.get("query").map_or("", String::as_str);
    let number = |name: &str, default: usize| q.get(name).and_then(|n| n.parse().ok()).unwrap_or(default);
    if let Some(key) = question.strip_prefix("lastmile_key:\"").and_then(|k| k.strip_suffix('"')) {
        let rows = app.state.search_mark(key);
        return Json(json!(rows.iter().take(number("limit", 50)).map(ticket_json).collect::<Vec<_>>())).into_response();
    }
    let since = question.split_once("updated_at:[").and_then(|(_, rest)| rest.split_once(" TO *]")).map(|(since, _)| since);
    let Some(Ok(since)) = since.map(chrono::DateTime::parse_from_rfc3339) else {
        return (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"error": "this is not a query"}))).into_response();
    };
    let (page, take) = (number("page", 1).max(1), number("per_page", 50).clamp(1, 200));
    let ours = |t: &Ticket| t.labels.iter().any(|l| l.starts_with("lm"));
    let (rows, _) = app.state.changed(since.to_utc().into(), (page - 1) * take, take, ours);
    Json(json!(rows.iter().map(ticket_json).collect::<Vec<_>>())).into_response()
}
