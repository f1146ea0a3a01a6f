//! The part of Jira's REST that bridges use, Cloud and Data Center.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use super::desk_state::{NewTicket, Stage, Ticket};
use super::faults::Target;
use super::server::{App, DeskKind, USER, by_method};
use crate::model::Timestamp;

type Params = Query<BTreeMap<String, String>>;

/// Resolutions that the fake's workflow knows.
const DEFAULT_RESOLUTION: &str = "Done";

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/rest/api/{v}/myself", get(myself))
        .route("/rest/api/{v}/serverInfo", get(server_info))
        .route("/rest/api/{v}/project/{key}", get(project))
        .route("/rest/api/{v}/issue", post(create))
        .route("/rest/api/{v}/issue/createmeta/{project}/issuetypes", get(issue_types))
        .route("/rest/api/{v}/issue/createmeta/{project}/issuetypes/{kind}", get(create_fields))
        .route("/rest/api/{v}/issue/bulkfetch", post(bulkfetch))
        .route("/rest/api/{v}/issue/{id}", get(issue).put(edit))
        .route("/rest/api/{v}/issue/{id}/changelog", get(changelog))
        .route("/rest/api/{v}/issue/{id}/comment", get(comments).post(add_comment))
        .route("/rest/api/{v}/issue/{id}/transitions", get(transitions).post(transit))
        .route("/rest/api/{v}/search", post(search))
        .route("/rest/api/{v}/search/jql", post(search))
}

/// Which kind of call this is, for the faults.
pub(super) fn target(method: &Method, path: &str) -> Target {
    match path.rsplit('/').next() {
        Some("issue") if method == Method::POST => Target::Create,
        Some("search" | "jql") => Target::Search,
        Some("bulkfetch") => Target::Read,
        _ => by_method(method),
    }
}

pub(super) fn not_let_in(kind: DeskKind) -> Response {
    if kind == DeskKind::JiraCloud {
        return (StatusCode::UNAUTHORIZED, "Client must be authenticated to access this resource.").into_response();
    }
    let headers = [(header::CONTENT_TYPE, "text/html;charset=UTF-8"), (header::WWW_AUTHENTICATE, "OAuth")];
    (StatusCode::UNAUTHORIZED, headers, "<html><body>Unauthorized (401)</body></html>").into_response()
}

/// What somebody without credentials gets: many calls may be made anonymously and show nothing.
pub(super) fn to_a_stranger(kind: DeskKind, request: &axum::extract::Request) -> Response {
    match (target(request.method(), request.uri().path()), request.uri().path().rsplit('/').next()) {
        (_, Some("myself")) | (Target::Create | Target::Amend, _) => not_let_in(kind),
        (Target::Search, _) | (_, Some("bulkfetch")) => Json(json!({"issues": [], "isLast": true, "total": 0})).into_response(),
        _ => no_issue(),
    }
}

fn refused(errors: &[(&str, String)], messages: &[&str]) -> Response {
    let errors: Map<String, Value> = errors.iter().map(|(field, why)| ((*field).to_owned(), json!(why))).collect();
    (StatusCode::BAD_REQUEST, Json(json!({"errorMessages": messages, "errors": errors}))).into_response()
}

fn no_issue() -> Response {
    let words = "Issue does not exist or you do not have permission to see it.";
    (StatusCode::NOT_FOUND, Json(json!({"errorMessages": [words], "errors": {}}))).into_response()
}

impl App {
    fn is_cloud(&self) -> bool {
        self.kind == DeskKind::JiraCloud
    }

    fn user(&self, name: &str) -> Value {
        if self.is_cloud() {
            json!({"accountId": name, "displayName": name})
        } else {
            json!({"key": name, "name": name, "displayName": name})
        }
    }

    fn issue_json(&self, t: &Ticket, wanted: Option<&[String]>, v: &str) -> Value {
        let mut fields: Map<String, Value> = t.fields.clone().into_iter().collect();
        let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        set("summary", json!(t.summary));
        set("description", t.body.clone());
        set("status", status_json(t));
        set("resolution", t.resolution.as_ref().map_or(Value::Null, |r| json!({"id": "1", "name": r})));
        set("resolutiondate", t.closed_at.filter(|_| t.resolution.is_some()).map_or(Value::Null, date));
        set("statuscategorychangedate", date(t.history.last().map_or(t.created_at, |m| m.at)));
        set("labels", json!(t.labels));
        set("components", t.group.as_ref().map_or(json!([]), |g| json!([{"id": "1", "name": g}])));
        set("project", json!({"key": t.place}));
        set("assignee", t.assignee.as_deref().map_or(Value::Null, |a| self.user(a)));
        set("creator", self.user(&t.created_by));
        set("created", date(t.created_at));
        set("updated", date(t.updated_at));
        if let Some(wanted) = wanted.filter(|w| !w.iter().any(|f| f == "*all")) {
            fields.retain(|name, _| wanted.contains(name));
        }
        json!({"id": t.id, "key": t.number, "self": format!("{}/rest/api/{v}/issue/{}", self.url, t.id), "fields": fields})
    }
}

fn date(at: Timestamp) -> Value {
    json!(at.to_utc().format("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string())
}

fn status_json(t: &Ticket) -> Value {
    let (id, name, category) = match &t.stage {
        Stage::New => ("1", "To Do", "new"),
        Stage::Working => ("3", "In Progress", "indeterminate"),
        Stage::Waiting => ("10005", "Waiting", "indeterminate"),
        Stage::Closed => ("5", "Closed", "done"),
        Stage::Odd(name) => ("10099", name.as_str(), "undefined"),
    };
    json!({"id": id, "name": name, "statusCategory": {"key": category}})
}

async fn myself(State(app): State<App>) -> Json<Value> {
    Json(app.user(USER))
}

async fn server_info(State(app): State<App>) -> Json<Value> {
    Json(json!({"baseUrl": app.url, "deploymentType": if app.is_cloud() { "Cloud" } else { "Server" }}))
}

async fn project(State(app): State<App>, Path((_, key)): Path<(String, String)>) -> Json<Value> {
    let components: Vec<Value> = app.state.groups().into_iter().flatten().map(|name| json!({"name": name})).collect();
    Json(json!({"id": "10000", "key": key, "components": components}))
}

async fn issue_types() -> Json<Value> {
    Json(json!({"issueTypes": [{"id": "10001", "name": "Task"}], "total": 1}))
}

async fn create_fields() -> Json<Value> {
    let names =
        ["summary", "description", "labels", "components", "project", "priority", "duedate", "issuetype", "customfield_10060"];
    Json(json!({"fields": names.map(|n| json!({"fieldId": n}))}))
}

async fn create(State(app): State<App>, Path(v): Path<String>, body: Bytes) -> Response {
    let Some(Value::Object(mut fields)) =
        serde_json::from_slice::<Value>(&body).ok().and_then(|mut b| b.get_mut("fields").map(Value::take))
    else {
        return refused(&[], &["request body is not JSON"]);
    };
    let mut take = |name: &str| fields.remove(name).unwrap_or(Value::Null);
    let (summary, description, labels) = (take("summary"), take("description"), take("labels"));
    let (components, project) = (take("components"), take("project"));
    let place = project.pointer("/key").and_then(Value::as_str).unwrap_or_default().to_owned();
    let group = components.pointer("/0/name").and_then(Value::as_str).map(str::to_owned);
    let labels: Vec<String> = serde_json::from_value(labels).unwrap_or_default();
    let mut errors = Vec::new();
    if summary.as_str().is_none_or(str::is_empty) {
        errors.push(("summary", "You must specify a summary of the issue.".to_owned()));
    }
    if place.is_empty() {
        errors.push(("project", "valid project is required".to_owned()));
    }
    if let Some(group) = group.as_ref().filter(|g| !app.state.knows_group(g)) {
        errors.push(("components", format!("Component name '{group}' is not valid")));
    }
    let key_field = fields.iter().find(|(_, v)| v.as_str().is_some_and(|v| v.starts_with("lm-"))).map(|(name, _)| name.clone());
    if app.faults.key_field_hidden() {
        let name = key_field.as_deref().unwrap_or("labels");
        errors.push((name, format!("Field '{name}' cannot be set. It is not on the appropriate screen, or unknown.")));
    }
    if labels.iter().any(|l| l.contains(' ')) {
        errors.push(("labels", "The label contains spaces which is invalid.".to_owned()));
    }
    if (v == "3") == description.is_string() {
        errors.push(("description", "Operation value must be of the version's own form".to_owned()));
    }
    if !errors.is_empty() {
        return refused(&errors, &[]);
    }
    let new = NewTicket {
        prefix: format!("{place}-"),
        place,
        hex_id: false,
        summary: summary.as_str().unwrap_or_default().to_owned(),
        body: description,
        group,
        labels,
        fields: fields.into_iter().collect(),
    };
    let t = app.state.create(new, USER);
    let link = format!("{}/rest/api/{v}/issue/{}", app.url, t.id);
    (StatusCode::CREATED, Json(json!({"id": t.id, "key": t.number, "self": link}))).into_response()
}

async fn issue(State(app): State<App>, Path((v, id)): Path<(String, String)>, Query(q): Params) -> Response {
    let Some(t) = app.state.get(&id) else { return no_issue() };
    let wanted: Option<Vec<String>> = q.get("fields").map(|f| f.split(',').map(str::to_owned).collect());
    let mut out = app.issue_json(&t, wanted.as_deref(), &v);
    if q.get("expand").is_some_and(|e| e.contains("changelog")) {
        out["changelog"] = json!({"histories": histories(&app, &t)});
    }
    Json(out).into_response()
}

fn histories(app: &App, t: &Ticket) -> Vec<Value> {
    let row = |m: &super::desk_state::Move| {
        let to = status_json(&Ticket { stage: m.to.clone(), ..t.clone() });
        json!({"author": app.user(&m.by), "created": date(m.at), "items": [{"field": "status", "toString": to["name"]}]})
    };
    t.history.iter().map(row).collect()
}

async fn changelog(State(app): State<App>, Path((_, id)): Path<(String, String)>) -> Response {
    match app.state.get(&id) {
        Some(t) => Json(json!({"values": histories(&app, &t), "isLast": true})).into_response(),
        None => no_issue(),
    }
}

async fn edit(State(app): State<App>, Path((_, id)): Path<(String, String)>, Json(body): Json<Value>) -> Response {
    let changed = app.state.change(&id, |t, _| {
        let fields = body.get("fields").and_then(Value::as_object);
        for (name, value) in fields.into_iter().flatten() {
            match (name.as_str(), value) {
                ("summary", Value::String(text)) => t.summary.clone_from(text),
                ("description", _) => t.body = value.clone(),
                ("labels", _) => t.labels = serde_json::from_value(value.clone()).unwrap_or_default(),
                _ => {
                    t.fields.insert(name.clone(), value.clone());
                }
            }
        }
    });
    if changed.is_some() { StatusCode::NO_CONTENT.into_response() } else { no_issue() }
}

async fn bulkfetch(State(app): State<App>, Path(v): Path<String>, Json(body): Json<Value>) -> Response {
    if !app.is_cloud() {
        return (StatusCode::NOT_FOUND, Json(json!({"message": "null for uri"}))).into_response();
    }
    let ids: Vec<String> = serde_json::from_value(body["issueIdsOrKeys"].clone()).unwrap_or_default();
    let wanted: Option<Vec<String>> = serde_json::from_value(body["fields"].clone()).ok();
    let found = ids.iter().filter_map(|id| app.state.get(id));
    let issues: Vec<Value> = found.map(|t| app.issue_json(&t, wanted.as_deref(), &v)).collect();
    Json(json!({"issues": issues, "issueErrors": []})).into_response()
}

async fn comments(State(app): State<App>, Path((v, id)): Path<(String, String)>, Query(q): Params) -> Response {
    let Some(t) = app.state.get(&id) else { return no_issue() };
    let number = |name: &str, default: usize| q.get(name).and_then(|n| n.parse().ok()).unwrap_or(default);
    let (start, most) = (number("startAt", 0), number("maxResults", 50));
    let rows: Vec<Value> = t
        .comments
        .iter()
        .enumerate()
        .skip(start)
        .take(most)
        .map(|(n, c)| {
            let body = match &c.body {
                Value::String(text) if v == "3" => document(text),
                other => other.clone(),
            };
            json!({"id": n.to_string(), "author": app.user(&c.by), "body": body, "created": date(c.at), "jsdPublic": !c.internal})
        })
        .collect();
    Json(json!({"startAt": start, "maxResults": most, "total": t.comments.len(), "comments": rows})).into_response()
}

fn document(text: &str) -> Value {
    json!({"type": "doc", "version": 1, "content": [{"type": "paragraph", "content": [{"type": "text", "text": text}]}]})
}

async fn add_comment(State(app): State<App>, Path((_, id)): Path<(String, String)>, Json(body): Json<Value>) -> Response {
    if app.faults.closed_is_final() && app.state.get(&id).is_some_and(|t| t.stage == Stage::Closed) {
        let words = json!({"errorMessages": ["The issue is not editable."], "errors": {}});
        return (StatusCode::BAD_REQUEST, Json(words)).into_response();
    }
    let internal = body.pointer("/properties/0/value/internal").and_then(Value::as_bool).unwrap_or(false);
    match app.state.change(&id, |t, now| t.comment(USER, now, body["body"].clone(), internal)) {
        Some(()) => (StatusCode::CREATED, Json(json!({"id": "1"}))).into_response(),
        None => no_issue(),
    }
}

/// Id, target stage and target category of each way out of any status.
fn ways() -> [(&'static str, Stage); 4] {
    [("11", Stage::New), ("21", Stage::Working), ("31", Stage::Waiting), ("41", Stage::Closed)]
}

async fn transitions(State(app): State<App>, Path((_, id)): Path<(String, String)>) -> Response {
    let Some(t) = app.state.get(&id) else { return no_issue() };
    let rows: Vec<Value> = ways()
        .into_iter()
        .filter(|(_, stage)| *stage != t.stage)
        .map(|(id, stage)| {
            let closes = stage == Stage::Closed;
            let to = status_json(&Ticket { stage, ..t.clone() });
            json!({"id": id, "name": to["name"], "to": to,
                   "fields": if closes { json!({"resolution": {"required": true}}) } else { json!({}) }})
        })
        .collect();
    Json(json!({"transitions": rows})).into_response()
}

async fn transit(State(app): State<App>, Path((_, id)): Path<(String, String)>, Json(body): Json<Value>) -> Response {
    let wanted = body.pointer("/transition/id").and_then(Value::as_str).unwrap_or_default();
    let Some((_, stage)) = ways().into_iter().find(|(id, _)| *id == wanted) else {
        return refused(&[], &["It seems that you have tried to perform an illegal workflow operation."]);
    };
    let resolution = body.pointer("/fields/resolution/name").and_then(Value::as_str).unwrap_or(DEFAULT_RESOLUTION).to_owned();
    let done = app.state.change(&id, |t, now| {
        let closes = stage == Stage::Closed;
        t.move_to(stage, USER, now);
        t.resolution = closes.then_some(resolution);
    });
    if done.is_some() { StatusCode::NO_CONTENT.into_response() } else { no_issue() }
}

async fn search(State(app): State<App>, Path(v): Path<String>, Json(body): Json<Value>) -> Response {
    let take = body["maxResults"].as_u64().map_or(50, |n| usize::try_from(n).unwrap_or(50)).clamp(1, 100);
    let token = body["nextPageToken"].as_str().and_then(|t| t.parse().ok());
    let skip = token.or_else(|| body["startAt"].as_u64().and_then(|n| usize::try_from(n).ok())).unwrap_or(0);
    let (rows, more) = match run(&app, body["jql"].as_str().unwrap_or_default(), skip, take) {
        Ok(found) => found,
        Err(words) => return refused(&[], &[&words]),
    };
    let wanted: Option<Vec<String>> = serde_json::from_value(body["fields"].clone()).ok();
    let issues: Vec<Value> = rows.iter().map(|t| app.issue_json(t, wanted.as_deref(), &v)).collect();
    let end = skip + issues.len();
    let mut out = json!({"issues": issues});
    if app.is_cloud() {
        out["isLast"] = json!(!more);
        if more {
            out["nextPageToken"] = json!(end.to_string());
        }
    } else {
        out["startAt"] = json!(skip);
        out["maxResults"] = json!(take);
        // The true total would cost a count of everything; callers only compare it with where they are.
        out["total"] = json!(end + usize::from(more));
    }
    Json(out).into_response()
}

/// The few clauses bridges use; anything else is an error, as on Jira.
fn run(app: &App, jql: &str, skip: usize, take: usize) -> Result<(Vec<Ticket>, bool), String> {
    let question = jql.split(" ORDER BY ").next().unwrap_or_default();
    let (mut mark, mut from, mut ids, mut creator) = (None, None, None, None);
    for clause in question.split(" AND ").map(str::trim).filter(|c| !c.is_empty()) {
        if let Some(label) = clause.strip_prefix("labels = ") {
            mark = Some(unquoted(label));
        } else if let Some((_, text)) = clause.split_once("] ~ ").filter(|_| clause.starts_with("cf[")) {
            mark = Some(unquoted(text));
        } else if let Some(ms) = clause.strip_prefix("updated >= ").and_then(|n| n.parse::<i64>().ok()) {
            from = Some(Timestamp(ms));
        } else if clause == "creator = currentUser()" {
            creator = Some(USER);
        } else if let Some(list) = clause.strip_prefix("id in (").or_else(|| clause.strip_prefix("key in (")) {
            ids = Some(list.trim_end_matches(')').split(',').map(unquoted).collect::<Vec<_>>());
        } else {
            return Err(format!("Error in the JQL Query: `{clause}` is not understood."));
        }
    }
    let fits = |t: &Ticket| creator.is_none_or(|c| t.created_by == c);
    let page = |all: Vec<Ticket>| {
        let more = all.len() > skip + take;
        (all.into_iter().filter(fits).skip(skip).take(take).collect(), more)
    };
    match (mark, ids, from) {
        (Some(mark), _, _) => Ok(page(app.state.search_mark(&mark))),
        (_, Some(ids), _) => {
            let found: Option<Vec<Ticket>> = ids.iter().map(|id| app.state.get(id)).collect();
            found.map(page).ok_or_else(|| "An issue with this id does not exist for field 'id'.".to_owned())
        }
        (_, _, Some(from)) => Ok(app.state.changed(from, skip, take, fits)),
        _ => Err("Unbounded JQL queries are not allowed here.".to_owned()),
    }
}

fn unquoted(text: &str) -> String {
    text.trim().chars().filter(|c| !matches!(c, '"' | '\\')).collect()
}
