//! The API server: login with a session group and a token against forged requests, and the provisioning queue.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};

use super::state::{Change, Step};
use super::{App, PASSWORD, USER, cookie};

/// Cookie of the session group; a new one at every login.
const GROUP: &str = "imx_sessiongroup";

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/login/{app}", post(log_in))
        .route("/logout/{app}", post(log_out))
        .route("/opsupport/uci/changes", get(changes))
        .route("/opsupport/uci/changedetail/{change}", get(details))
        .route("/opsupport/uci/changes/{step}", post(answer))
}

async fn log_in(State(app): State<App>, Path(name): Path<String>, Json(body): Json<Value>) -> Response {
    let known = body["Module"] == "DialogUser" && body["User"] == USER && body["Password"] == PASSWORD;
    if name != "opsupport" || !known {
        return (StatusCode::UNAUTHORIZED, Json(json!({"exceptions": [{"number": 2_117, "message": "no"}]}))).into_response();
    }
    let id = app.log_in();
    let mut response = Json(json!({"IsLoggedIn": true})).into_response();
    // The token travels percent-encoded in the cookie, and plain in the header.
    for cookie in [format!("{GROUP}={id}; path=/; HttpOnly"), format!("XSRF-TOKEN={id}%3D; path=/")] {
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    response
}

async fn log_out(State(app): State<App>, headers: HeaderMap) -> StatusCode {
    if forged(&headers) { StatusCode::BAD_REQUEST } else { app.log_out(cookie(&headers, GROUP)) }
}

fn forged(headers: &HeaderMap) -> bool {
    let expected = cookie(headers, "XSRF-TOKEN").map(|token| token.replace("%3D", "="));
    let given = headers.get("x-xsrf-token").and_then(|v| v.to_str().ok());
    expected.is_none() || expected.as_deref() != given
}

/// Changes that are pending, by position, with their number.
async fn changes(State(app): State<App>, Query(query): Query<BTreeMap<String, String>>, headers: HeaderMap) -> Response {
    if !app.is_let_in(cookie(&headers, GROUP)) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let number = |name: &str, otherwise: usize| query.get(name).and_then(|t| t.parse().ok()).unwrap_or(otherwise);
    let root = query.get("root");
    let mut pending: Vec<Change> = app.state.lock().changes.clone();
    pending.retain(|c| c.steps.iter().any(|s| s.answer.is_none()) && root.is_none_or(|root| *root == c.root.0));
    pending.sort_by_key(|c| c.inserted);
    let page: Vec<Value> = pending.iter().skip(number("StartIndex", 0)).take(number("PageSize", 20)).map(change_row).collect();
    let bare = app.faults.bare_singles.load(Ordering::SeqCst) && page.len() == 1;
    let entities = if bare { page[0].clone() } else { Value::Array(page) };
    app.page(
        &json!({"TotalCount": pending.len(), "TableName": "QBMPendingChange", "IsLimitReached": false, "Entities": entities}),
    )
}

fn column(value: Value) -> Value {
    json!({"Value": value, "DisplayValue": value})
}

fn change_row(change: &Change) -> Value {
    json!({"Display": change.display, "Keys": [change.uid], "Columns": {
        "ObjectKeyElement": column(json!(change.object_key)),
        "XDateInserted": column(json!(change.inserted.iso())),
        "IsProcessed": column(json!(0)),
        "UID_UCIRoot": {"Value": change.root.0, "DisplayValue": change.root.1},
    }})
}

async fn details(State(app): State<App>, Path(uid): Path<String>, headers: HeaderMap) -> Response {
    if !app.is_let_in(cookie(&headers, GROUP)) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Some(change) = app.state.lock().changes.iter().find(|c| c.uid == uid).cloned() else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let row = |step: &Step| {
        let processed = step.answer.map_or(0, |success| if success { 1 } else { 2 });
        json!({"Display": step.operation, "Keys": [step.uid], "Columns": {
            "IsProcessed": column(json!(processed)), "Operation": column(json!(step.operation)),
            "CreationDate": column(json!(step.created.iso())),
        }})
    };
    let attributes = |step: &Step| -> Vec<Value> {
        step.attributes.iter().map(|(name, value)| json!({"Property": name, "DiffValue": value})).collect()
    };
    Json(json!({"TotalCount": change.steps.len(), "Entities": change.steps.iter().map(row).collect::<Vec<_>>(),
        "ExtendedData": {"Operations": change.steps.iter().map(attributes).collect::<Vec<_>>()}}))
    .into_response()
}

async fn answer(State(app): State<App>, Path(step): Path<String>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if !app.is_let_in(cookie(&headers, GROUP)) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if forged(&headers) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    if !app.state.lock().changes.iter().flat_map(|c| &c.steps).any(|s| s.uid == step) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let Some(success) = body["Success"].as_bool() else { return StatusCode::BAD_REQUEST.into_response() };
    app.effect(|| app.state.answer(&step, success))
}
