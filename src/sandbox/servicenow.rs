//! The part of `ServiceNow`'s Table API that bridges use, with its habits: an unknown condition is ignored, an
//! unknown column dropped without a word, every value a string.

use std::collections::BTreeMap;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use super::desk_state::{NewTicket, Stage, Ticket, group_id};
use super::faults::Target;
use super::server::{App, USER, by_method};
use crate::model::Timestamp;

type Params = Query<BTreeMap<String, String>>;

/// Most rows of a page.
const MAX_LIMIT: usize = 10_000;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/api/now/table/sys_user_group", get(groups))
        .route("/api/now/table/sys_user", get(users))
        .route("/api/now/table/sys_attachment", get(attachments))
        .route("/api/now/table/{table}", get(list).post(create))
        .route("/api/now/table/{table}/{id}", get(record).patch(edit))
}

/// Which kind of call this is, for the faults.
pub(super) fn target(method: &Method, uri: &Uri) -> Target {
    let query = uri.query().unwrap_or_default();
    let on_table = uri.path().matches('/').count() == 4;
    if method == Method::POST {
        Target::Create
    } else if method == Method::GET && on_table && query.contains("correlation_id") {
        Target::Search
    } else {
        by_method(method)
    }
}

fn error(status: StatusCode, message: &str, detail: &str) -> Response {
    (status, Json(json!({"error": {"message": message, "detail": detail}, "status": "failure"}))).into_response()
}

pub(super) fn not_let_in() -> Response {
    error(StatusCode::UNAUTHORIZED, "User Not Authenticated", "Required to provide Auth information")
}

fn no_record() -> Response {
    error(StatusCode::NOT_FOUND, "No Record found", "Record doesn't exist or ACL restricts the record retrieval")
}

fn date(at: Timestamp) -> String {
    at.to_utc().format("%Y-%m-%d %H:%M:%S").to_string()
}

fn instant(text: &str) -> Option<Timestamp> {
    let naive = chrono::NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").ok()?;
    Some(Timestamp(naive.and_utc().timestamp_millis()))
}

/// Value of `state` for a ticket, in the table's own numbers.
fn state_of(t: &Ticket) -> String {
    let task = t.place != "incident";
    match (&t.stage, &t.code) {
        (Stage::Odd(code), _) | (Stage::Closed, Some(code)) => code.clone(),
        (Stage::New, _) => "1".to_owned(),
        (Stage::Working, _) => "2".to_owned(),
        (Stage::Waiting, _) => if task { "-5" } else { "3" }.to_owned(),
        (Stage::Closed, None) => if task { "3" } else { "7" }.to_owned(),
    }
}

fn stage_of(table: &str, state: &str) -> Stage {
    let task = table != "incident";
    match state {
        "1" => Stage::New,
        "2" => Stage::Working,
        "3" if !task => Stage::Waiting,
        "-5" if task => Stage::Waiting,
        "3" | "4" | "7" if task => Stage::Closed,
        "6" | "7" | "8" if !task => Stage::Closed,
        other => Stage::Odd(other.to_owned()),
    }
}

/// Each column as (raw value, displayed value).
fn columns(t: &Ticket) -> BTreeMap<&'static str, (String, String)> {
    let same = |text: String| (text.clone(), text);
    let group = t.group.clone().unwrap_or_default();
    let group_value = if group.is_empty() { String::new() } else { group_id(&group) };
    let when = |at: Option<Timestamp>| same(at.map(date).unwrap_or_default());
    let stage = match &t.stage {
        Stage::Odd(name) => name.clone(),
        other => format!("{other:?}"),
    };
    let started = t.history.iter().find(|m| m.to == Stage::Working).map(|m| m.at);
    let user = |name: &Option<String>| same(name.clone().unwrap_or_default());
    [
        ("sys_id", same(t.id.clone())),
        ("number", same(t.number.clone())),
        ("state", (state_of(t), stage)),
        ("active", same((t.stage != Stage::Closed).to_string())),
        ("close_code", same(t.resolution.clone().unwrap_or_default())),
        ("close_notes", same(t.close_notes.clone().unwrap_or_default())),
        ("closed_at", when(t.closed_at)),
        ("closed_by", user(&t.closer)),
        ("closed_by.user_name", user(&t.closer)),
        ("work_start", when(started)),
        ("assignment_group", (group_value, group)),
        ("assigned_to", user(&t.assignee)),
        ("correlation_id", same(t.labels.first().cloned().unwrap_or_default())),
        ("short_description", same(t.summary.clone())),
        ("description", same(t.body.as_str().unwrap_or_default().to_owned())),
        ("sys_created_by", same(t.created_by.clone())),
        ("sys_created_on", when(Some(t.created_at))),
        ("sys_updated_on", when(Some(t.updated_at))),
        ("work_notes", (String::new(), journal(t, true))),
        ("comments", (String::new(), journal(t, false))),
    ]
    .into()
}

fn journal(t: &Ticket, internal: bool) -> String {
    let kind = if internal { "Work notes" } else { "Additional comments" };
    let entries = t.comments.iter().rev().filter(|c| c.internal == internal);
    entries.map(|c| format!("{} - {} ({kind})\n{}\n\n", date(c.at), c.by, c.body.as_str().unwrap_or_default())).collect()
}

fn record_json(t: &Ticket, q: &BTreeMap<String, String>) -> Value {
    let wanted: Option<Vec<&str>> = q.get("sysparm_fields").map(|f| f.split(',').collect());
    let display = q.get("sysparm_display_value").map_or("false", String::as_str);
    let mut out = Map::new();
    for (name, (raw, shown)) in columns(t) {
        if wanted.as_ref().is_some_and(|w| !w.contains(&name)) {
            continue;
        }
        let value = match display {
            "all" => json!({"display_value": shown, "value": raw}),
            "true" => json!(shown),
            _ if name == "assignment_group" && !raw.is_empty() => json!({"value": raw}),
            _ => json!(raw),
        };
        out.insert(name.to_owned(), value);
    }
    Value::Object(out)
}

fn number(q: &BTreeMap<String, String>, name: &str, default: usize) -> usize {
    q.get(name).and_then(|n| n.parse().ok()).unwrap_or(default)
}

async fn groups(State(app): State<App>, Query(q): Params) -> Json<Value> {
    let query = q.get("sysparm_query").map_or("", String::as_str);
    let name = query.split('^').find_map(|c| c.strip_prefix("name="));
    let row = |name: &str| json!({"sys_id": group_id(name), "name": name, "active": "true"});
    let rows: Vec<Value> = match name {
        Some(name) if app.state.knows_group(name) => {
            app.state.remember_group(name);
            vec![row(name)]
        }
        Some(_) => Vec::new(),
        None => app.state.groups().iter().flatten().map(|n| row(n)).take(number(&q, "sysparm_limit", MAX_LIMIT)).collect(),
    };
    Json(json!({"result": rows}))
}

async fn users() -> Json<Value> {
    Json(json!({"result": [{"sys_id": group_id(USER), "user_name": USER}]}))
}

async fn list(State(app): State<App>, Path(table): Path<String>, Query(q): Params) -> Response {
    if table.starts_with("sys_") {
        return error(StatusCode::BAD_REQUEST, &format!("Invalid table {table}"), "");
    }
    let limit = number(&q, "sysparm_limit", MAX_LIMIT).clamp(1, MAX_LIMIT);
    let offset = number(&q, "sysparm_offset", 0);
    let (rows, more) = select(&app, &table, q.get("sysparm_query").map_or("", String::as_str), offset, limit);
    let records: Vec<Value> = rows.iter().map(|t| record_json(t, &q)).collect();
    let mut response = Json(json!({"result": records})).into_response();
    if more {
        let mut params = url::form_urlencoded::Serializer::new(String::new());
        params.extend_pairs(q.iter().filter(|(name, _)| name.as_str() != "sysparm_offset"));
        params.append_pair("sysparm_offset", &(offset + limit).to_string());
        let link = format!("<{}/api/now/table/{table}?{}>;rel=\"next\"", app.url, params.finish());
        if let Ok(value) = HeaderValue::from_str(&link) {
            response.headers_mut().insert(header::LINK, value);
        }
    }
    response
}

fn select(app: &App, table: &str, query: &str, offset: usize, limit: usize) -> (Vec<Ticket>, bool) {
    let (mut mark, mut prefix, mut ids, mut from) = (None, None, None, Timestamp(i64::MIN));
    for clause in query.split('^') {
        if let Some(value) = clause.strip_prefix("correlation_id=") {
            mark = Some(value);
        } else if let Some(value) = clause.strip_prefix("correlation_idSTARTSWITH") {
            prefix = Some(value);
        } else if let Some(list) = clause.strip_prefix("sys_idIN") {
            ids = Some(list.split(','));
        } else if let Some(at) = clause.strip_prefix("sys_updated_on>=").and_then(instant) {
            from = at;
        }
    }
    let fits = |t: &Ticket| t.place == table && prefix.is_none_or(|p| t.labels.iter().any(|l| l.starts_with(p)));
    let page = |all: Vec<Ticket>| {
        let more = all.len() > offset + limit;
        (all.into_iter().filter(fits).skip(offset).take(limit).collect(), more)
    };
    match (mark, ids) {
        (Some(mark), _) => page(app.state.search_mark(mark)),
        (_, Some(ids)) => page(ids.filter_map(|id| app.state.get(id)).collect()),
        _ => app.state.changed(from, offset, limit, fits),
    }
}

/// Files of one record, where the question names it by `table_sys_id`.
async fn attachments(State(app): State<App>, Query(q): Params) -> Json<Value> {
    let query = q.get("sysparm_query").map_or("", String::as_str);
    let record = query.split('^').find_map(|c| c.strip_prefix("table_sys_id=")).and_then(|id| app.state.get(id));
    let files = record.iter().flat_map(|t| t.files().map(move |(n, f)| (t, n, f)));
    let row = |(t, n, f): (&Ticket, usize, &Value)| json!({"sys_id": format!("{n:032x}"), "file_name": f["filename"], "table_sys_id": t.id});
    Json(json!({"result": files.map(row).collect::<Vec<_>>()}))
}

async fn record(State(app): State<App>, Path((table, id)): Path<(String, String)>, Query(q): Params) -> Response {
    match app.state.get(&id).filter(|t| t.place == table) {
        Some(t) => Json(json!({"result": record_json(&t, &q)})).into_response(),
        None => no_record(),
    }
}

async fn create(State(app): State<App>, Path(table): Path<String>, Query(q): Params, Json(body): Json<Value>) -> Response {
    let given = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let group = given("assignment_group");
    let new = NewTicket {
        prefix: if table == "incident" { "INC" } else { "SCTASK" }.to_owned(),
        hex_id: true,
        summary: given("short_description"),
        body: json!(given("description")),
        // An id that no group has is dropped without a word, as by the real one.
        group: app.state.group_by_id(&group),
        labels: Some(given("correlation_id")).filter(|k| !k.is_empty() && !app.faults.key_field_hidden()).into_iter().collect(),
        fields: BTreeMap::new(),
        place: table,
    };
    let t = app.state.create(new, USER);
    (StatusCode::CREATED, Json(json!({"result": record_json(&t, &q)}))).into_response()
}

async fn edit(
    State(app): State<App>,
    Path((table, id)): Path<(String, String)>,
    Query(q): Params,
    Json(body): Json<Value>,
) -> Response {
    let changed = app.state.change(&id, |t, now| {
        for (name, value) in body.as_object().into_iter().flatten() {
            let value = value.as_str().unwrap_or_default();
            match name.as_str() {
                "state" if state_of(t) != value => {
                    t.move_to(stage_of(&table, value), USER, now);
                    t.code = Some(value.to_owned());
                }
                "close_code" => t.resolution = Some(value.to_owned()).filter(|v| !v.is_empty()),
                "close_notes" => t.close_notes = Some(value.to_owned()),
                "short_description" => value.clone_into(&mut t.summary),
                "description" => t.body = json!(value),
                "assigned_to" => t.assignee = Some(value.to_owned()).filter(|v| !v.is_empty()),
                "work_notes" => t.comment(USER, now, json!(value), true),
                "comments" => t.comment(USER, now, json!(value), false),
                _ => {}
            }
        }
        record_json(t, &q)
    });
    match changed {
        Some(record) => Json(json!({"result": record})).into_response(),
        None => no_record(),
    }
}
