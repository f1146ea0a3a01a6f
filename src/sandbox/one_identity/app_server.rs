//! The application server: rows of tables, methods and events of objects.

use std::collections::BTreeMap;

use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use serde_json::{Map, Value, json};

use super::condition::fits;
use super::state::Raised;
use super::{App, PASSWORD, USER, cookie, refusal};

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/auth/apphost", post(log_in))
        .route("/auth/logout", post(log_out))
        .route("/api/entities/{table}", get(list).post(list))
        .route("/api/entity/{table}/{key}", put(columns))
        .route("/api/entity/{table}/{key}/method/{name}", put(method))
        .route("/api/entity/{table}/{key}/event/{name}", put(event))
}

async fn log_in(State(app): State<App>, Json(body): Json<Value>) -> Response {
    if body["authString"] != json!(format!("Module=DialogUser;User={USER};Password={PASSWORD}")) {
        return (StatusCode::UNAUTHORIZED, Json(json!({"errorString": "no"}))).into_response();
    }
    let id = app.log_in();
    let mut response = Json(json!({"sessionId": id, "userName": USER, "passwordBased": true})).into_response();
    for cookie in ["ss-opt=temp; path=/; HttpOnly".to_owned(), format!("ss-id={id}; path=/; HttpOnly")] {
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    response
}

async fn log_out(State(app): State<App>, headers: HeaderMap) -> StatusCode {
    app.log_out(cookie(&headers, "ss-id"))
}

type Parameters = Query<BTreeMap<String, String>>;

/// Rows that fit a condition, sorted by a column; the parameters stand in the address or in the body.
async fn list(
    State(app): State<App>,
    Path(table): Path<String>,
    Query(query): Parameters,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !app.is_let_in(cookie(&headers, "ss-id")) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let text = |name: &str| {
        let written = body.as_object().and_then(|b| b.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v));
        query.get(name).cloned().or_else(|| written.map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)))
    };
    let condition = if app.faults.ignore_conditions.load(std::sync::atomic::Ordering::SeqCst) { None } else { text("where") };
    let order = text("orderBy").unwrap_or_default();
    let number = |name: &str, otherwise: usize| text(name).and_then(|t| t.parse().ok()).unwrap_or(otherwise);
    let columns: Vec<String> = text("displayColumns").unwrap_or_default().split(';').map(str::to_owned).collect();
    let (offset, limit) = (number("offset", 0), number("limit", 20));
    let rows: Vec<Map<String, Value>> = match app.state.lock().tables.get(&table) {
        Some(rows) => rows.values().cloned().collect(),
        None => {
            return if KNOWN.contains(&table.as_str()) {
                Json(json!([])).into_response()
            } else {
                StatusCode::NOT_FOUND.into_response()
            };
        }
    };
    let mut found = Vec::new();
    for row in rows {
        match fits(condition.as_deref().unwrap_or_default(), &row) {
            Some(true) => found.push(row),
            Some(false) => {}
            None => return refusal("810023", "the condition cannot be carried out"),
        }
    }
    found.sort_by_key(|row| row.get(&order).map(ToString::to_string));
    let page: Vec<Value> = found.iter().skip(offset).take(limit).map(|row| item(&table, row, &columns)).collect();
    let bare = app.faults.bare_singles.load(std::sync::atomic::Ordering::SeqCst) && page.len() == 1;
    app.page(&if bare { page[0].clone() } else { Value::Array(page) })
}

/// Tables that exist even when they are empty.
const KNOWN: [&str; 3] = ["PersonWantsOrg", "PWODecisionHistory", "ADSAccountInADSGroup"];

fn item(table: &str, row: &Map<String, Value>, columns: &[String]) -> Value {
    let values: Map<String, Value> = columns.iter().filter_map(|name| Some((name.clone(), row.get(name)?.clone()))).collect();
    let display = ["display", "InternalName", "Ident_AccProduct", "DisplayOrg"].iter().find_map(|name| row.get(*name));
    json!({"uri": format!("/api/entity/{table}"), "display": display, "values": values})
}

/// Writes columns of a row.
async fn columns(
    State(app): State<App>,
    Path((table, key)): Path<(String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if let Some(refused) = refused(&app, &headers, &table, &key) {
        return refused.into_response();
    }
    app.effect(|| {
        let mut inner = app.state.lock();
        let row = inner.tables.get_mut(&table).and_then(|rows| rows.get_mut(&key));
        let (Some(row), Some(values)) = (row, body["values"].as_object()) else { return false };
        row.extend(values.clone());
        true
    })
}

async fn method(
    State(app): State<App>,
    Path((table, key, name)): Path<(String, String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if let Some(refused) = refused(&app, &headers, &table, &key) {
        return refused.into_response();
    }
    let given = &body["parameters"];
    let (Some(by), Some(granted), Some(reason)) = (given[0].as_str(), given[1].as_bool(), given[2].as_str()) else {
        return refusal("810001", "the parameters do not fit");
    };
    if (table.as_str(), name.as_str()) != ("PersonWantsOrg", "MakeDecision") {
        return refusal("810002", "there is no such method");
    }
    app.effect(|| app.state.decide(&key, granted, reason, by))
}

async fn event(
    State(app): State<App>,
    Path((table, key, name)): Path<(String, String, String)>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Response {
    if let Some(refused) = refused(&app, &headers, &table, &key) {
        return refused.into_response();
    }
    app.effect(|| {
        app.state.raise(Raised { object: (table, key), event: name, parameters: body["parameters"].clone() });
        true
    })
}

/// Why a call on an object is not let through.
fn refused(app: &App, headers: &HeaderMap, table: &str, key: &str) -> Option<StatusCode> {
    if !app.is_let_in(cookie(headers, "ss-id")) {
        return Some(StatusCode::UNAUTHORIZED);
    }
    let exists = app.state.lock().tables.get(table).is_some_and(|rows| rows.contains_key(key));
    (!exists).then_some(StatusCode::NOT_FOUND)
}
