//! What a declaration can say beyond the shipped ones: a session that expires, a form field that holds JSON, refusals
//! under 200, ids in headers, pages behind tokens.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use lastmile::catalog::{ConfigFile, EdgeFile};
use lastmile::desk::{Desk, Level, build};
use lastmile::http::CallError;
use lastmile::model::Timestamp;
use lastmile::model::ticket::Category;
use serde_json::{Value, json};

use super::desk_bench::{draft, key};

const DECLARATION: &str = r#"kind = "rest"
url = "URL"
prefix = "/api"
times = "epoch_s"
index_lag = "0s"
errors = ["/message"]
[auth]
by = "login"
path = "/login"
header = "session-token"
body = { form = { user = "bridge", password = "{{secrets.password}}" } }
token = { body = true }
[secrets]
password = { file = "token" }
[ticket]
id = "/id"
key = "/note"
status = "/state"
updated = "/changed"
group = { at = "/tags/*", pattern = "^team:(.+)$" }
[[status]]
when = { status = ["2"] }
category = "in_progress"
[[status]]
when = { status = ["5"] }
category = "closed"
outcome = "fulfilled"
[operations.probe]
path = "/me"
[operations.create]
method = "POST"
path = "/tickets"
body = { form_json = { field = "input", json = { subject = "{{summary}}", note = "ref {{key}}", team = "{{group}}" }, form = { format = "json" } } }
success = { equals = { "/code" = 0 } }
ticket = { id = { header = "Location", pattern = "/tickets/([0-9]+)\\?" } }
[operations.read]
path = "/tickets/{{ticket.id}}"
[operations.find]
path = "/tickets"
at = "/rows"
paging = { by = "cursor", at = "/next", more = "/more" }
query = { q = "{{key}}", after = "{{cursor}}" }
[operations.changed_since]
path = "/tickets"
at = "/rows"
paging = { by = "cursor", at = "/next", more = "/more" }
query = { since = "{{since}}", after = "{{cursor}}" }
[operations.files]
path = "/files"
at = "/rows"
paging = { by = "cursor", at = "/next", more = "/more", max_pages = 3 }
query = { after = "{{cursor}}" }
[files]
name = "/name"
"#;

/// A desk with the habits of several old ones.
#[derive(Clone, Default)]
struct Old {
    /// Sessions opened; only the last one is good.
    sessions: Arc<Mutex<u32>>,
    tickets: Arc<Mutex<Vec<Value>>>,
    /// The first page must not be asked for with an empty token.
    asked: Arc<Mutex<Vec<BTreeMap<String, String>>>>,
    files_a_page: Arc<Mutex<usize>>,
}

impl Old {
    fn lets_in(&self, headers: &HeaderMap) -> bool {
        let token = format!("session-{}", self.sessions.lock().unwrap());
        headers.get("session-token").is_some_and(|v| v.as_bytes() == token.as_bytes())
    }
}

fn refused() -> Response {
    (StatusCode::UNAUTHORIZED, Json(json!({"message": "who?"}))).into_response()
}

async fn login(State(old): State<Old>, Form(form): Form<BTreeMap<String, String>>) -> Response {
    if form.get("password").map(String::as_str) != Some("pass-of-the-bridge") {
        return refused();
    }
    let mut sessions = old.sessions.lock().unwrap();
    *sessions += 1;
    format!("session-{sessions}\n").into_response()
}

async fn me(State(old): State<Old>, headers: HeaderMap) -> Response {
    if old.lets_in(&headers) { Json(json!({"id": 1})).into_response() } else { refused() }
}

async fn create(State(old): State<Old>, headers: HeaderMap, Form(form): Form<BTreeMap<String, String>>) -> Response {
    if !old.lets_in(&headers) {
        return refused();
    }
    let input: Value = serde_json::from_str(&form["input"]).unwrap();
    assert_eq!(form["format"], "json");
    if input["team"] == "Nobody" {
        return Json(json!({"code": 4000, "message": "no such team"})).into_response();
    }
    let mut tickets = old.tickets.lock().unwrap();
    let id = tickets.len() + 1;
    let tags = json!(["urgent", format!("team:{}", input["team"].as_str().unwrap())]);
    tickets.push(json!({"id": id, "note": input["note"], "state": 2, "changed": 1_795_000_000 + id, "tags": tags}));
    (StatusCode::OK, [(header::LOCATION, format!("/api/tickets/{id}?expand=all"))], Json(json!({"code": 0}))).into_response()
}

async fn list(State(old): State<Old>, headers: HeaderMap, Query(q): Query<BTreeMap<String, String>>) -> Response {
    if !old.lets_in(&headers) {
        return refused();
    }
    let start: usize = q.get("after").map_or(0, |after| after.parse().unwrap());
    let since: u64 = q.get("since").map_or(0, |since| since.parse().unwrap());
    let wanted = |t: &&Value| {
        q.get("q").is_none_or(|key| t["note"].as_str().unwrap().contains(key.as_str())) && t["changed"].as_u64().unwrap() >= since
    };
    let tickets = old.tickets.lock().unwrap();
    let all: Vec<&Value> = tickets.iter().filter(wanted).collect();
    let rows: Vec<&&Value> = all.iter().skip(start).take(2).collect();
    let end = start + rows.len();
    let body = json!({"rows": rows, "next": end.to_string(), "more": end < all.len()});
    old.asked.lock().unwrap().push(q);
    Json(body).into_response()
}

async fn one(State(old): State<Old>, headers: HeaderMap, axum::extract::Path(id): axum::extract::Path<usize>) -> Response {
    if !old.lets_in(&headers) {
        return refused();
    }
    match old.tickets.lock().unwrap().get(id - 1) {
        Some(ticket) => Json(ticket).into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!({"message": "none"}))).into_response(),
    }
}

/// More files than anybody wants to know of, some a page.
async fn files(State(old): State<Old>, headers: HeaderMap, Query(q): Query<BTreeMap<String, String>>) -> Response {
    if !old.lets_in(&headers) {
        return refused();
    }
    let start: usize = q.get("after").map_or(0, |after| after.parse().unwrap());
    let end = start + *old.files_a_page.lock().unwrap();
    let rows: Vec<Value> = (start..end).map(|n| json!({"name": format!("file-{n}")})).collect();
    old.asked.lock().unwrap().push(q);
    Json(json!({"rows": rows, "next": end.to_string(), "more": true})).into_response()
}

async fn desk(password: &str) -> (Arc<dyn Desk>, Old, tempfile::TempDir) {
    let old = Old::default();
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new()
        .route("/api/login", post(login))
        .route("/api/me", get(me))
        .route("/api/tickets", get(list).post(create))
        .route("/api/tickets/{id}", get(one))
        .route("/api/files", get(files))
        .with_state(old.clone());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), password).unwrap();
    let file = ConfigFile::from_text(Path::new("desks/old.toml"), &DECLARATION.replace("URL", &url));
    let desk = build("old", &EdgeFile { kind: "rest".to_owned(), file }, folder.path()).unwrap();
    (desk, old, folder)
}

#[tokio::test]
async fn a_session_is_opened_again_and_a_refusal_under_200_is_one() {
    let (desk, old, _folder) = desk("pass-of-the-bridge").await;
    assert_eq!(desk.info().level, Level::D2);
    desk.probe().await.unwrap();
    desk.probe().await.unwrap();
    assert_eq!(*old.sessions.lock().unwrap(), 1, "one session for both");
    *old.sessions.lock().unwrap() += 1;
    let made = desk.create(&draft("a")).await.unwrap();
    assert_eq!((made.ticket.id.as_str(), *old.sessions.lock().unwrap()), ("1", 3), "the lost session cost one more login");
    let mut lost = draft("b");
    lost.admin_group = "Nobody".to_owned();
    let error = desk.create(&lost).await.unwrap_err();
    assert!(matches!(&error, CallError::Reject { code: "E-REFUSED", reason } if reason.contains("no such team")), "{error}");
    let (stranger, _, _folder) = self::desk("something-else").await;
    let error = stranger.create(&draft("c")).await.unwrap_err();
    assert!(matches!(error, CallError::Retry { code: "E-AUTH", .. }), "{error}");
    let shown = format!("{stranger:?} {error:?}");
    assert!(!shown.contains("something-else"), "{shown}");
}

#[tokio::test]
async fn pages_behind_tokens_are_all_read_and_parts_of_values_are_found() {
    let (desk, old, _folder) = desk("pass-of-the-bridge").await;
    for n in 0..5 {
        desk.create(&draft(&n.to_string())).await.unwrap();
    }
    let changes = desk.changed_since(Timestamp(1_795_000_000_000)).await.unwrap();
    assert_eq!(changes.rows.len(), 5);
    assert_eq!(changes.next_mark, Some(Timestamp(1_795_000_005_000)));
    assert_eq!(changes.rows[0].group.as_deref(), Some("SAP Admins"));
    assert_eq!(changes.rows[0].category, Category::InProgress);
    assert_eq!(desk.find(&key("3")).await.unwrap().len(), 1);
    let asked = old.asked.lock().unwrap();
    let tokens: Vec<Option<&str>> = asked.iter().map(|q| q.get("after").map(String::as_str)).collect();
    assert_eq!(tokens, [None, Some("2"), Some("4"), None]);
}

#[tokio::test]
async fn of_more_files_than_are_shown_the_first_are_shown_and_no_others_asked_for() {
    let (desk, old, _folder) = desk("pass-of-the-bridge").await;
    let ticket = desk.create(&draft("a")).await.unwrap().ticket;
    old.tickets.lock().unwrap()[0]["state"] = json!(5);
    for (a_page, shown, pages) in [(8, 20, 3), (30, 20, 1), (2, 6, 3)] {
        *old.files_a_page.lock().unwrap() = a_page;
        old.asked.lock().unwrap().clear();
        let names: Vec<String> = desk.read(&ticket).await.unwrap().evidence.into_iter().map(|file| file.name).collect();
        assert_eq!(names, (0..shown).map(|n| format!("file-{n}")).collect::<Vec<_>>(), "{a_page} a page");
        assert_eq!(old.asked.lock().unwrap().len(), pages, "{a_page} a page");
    }
}
