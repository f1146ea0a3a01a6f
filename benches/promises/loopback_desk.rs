//! A desk that answers like Jira, keeps the least that an honest answer needs, and counts its calls.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use lastmile::model::{Clock, clock::SystemClock};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::bed::Served;

#[derive(Debug, Default)]
struct Held {
    /// Label of every ticket; its number is its place.
    labels: Vec<String>,
    /// Tickets changed last, by number: when, and whether closed.
    changed: BTreeMap<String, (i64, bool)>,
    calls: BTreeMap<&'static str, u64>,
    last_create: Option<Instant>,
}

#[derive(Debug, Clone)]
struct App {
    held: Arc<Mutex<Held>>,
    created: watch::Sender<usize>,
    /// How long a create takes.
    latency: Duration,
}

impl App {
    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, what: &'static str) {
        *self.held().calls.entry(what).or_default() += 1;
    }
}

/// The running desk.
pub struct LoopbackDesk {
    served: Served,
    app: App,
}

impl LoopbackDesk {
    /// Starts it on a port of its own.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_slow(Duration::ZERO).await
    }

    /// The same, and every create takes so long.
    pub async fn start_slow(latency: Duration) -> anyhow::Result<Self> {
        let app = App { held: Arc::default(), created: watch::channel(0).0, latency };
        let api = Router::new()
            .route("/issue", post(create))
            .route("/issue/bulkfetch", post(bulk))
            .route("/issue/{id}", get(one))
            .route("/issue/{id}/comment", get(comments))
            .route("/search/jql", post(search))
            .route("/myself", get(myself));
        let served = Served::start(Router::new().nest("/rest/api/2", api).with_state(app.clone())).await?;
        Ok(Self { served, app })
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}", self.served.address)
    }

    /// Waits until so many tickets exist.
    pub async fn wait_for(&self, tickets: usize) -> anyhow::Result<()> {
        self.app.created.subscribe().wait_for(|n| *n >= tickets).await?;
        Ok(())
    }

    /// When the last create arrived.
    pub fn last_create(&self) -> Option<Instant> {
        self.app.held().last_create
    }

    /// Calls by kind since the last look.
    pub fn take_calls(&self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.app.held().calls)
    }

    /// These tickets are touched now, or closed.
    pub fn touch(&self, ids: impl Iterator<Item = String>, closed: bool) {
        let now = SystemClock.now().0;
        self.app.held().changed.extend(ids.map(|id| (id, (now, closed))));
    }

    /// The create call that a floor sends: as large as the product's.
    pub fn create_call(&self) -> lastmile::http::Call {
        let fields = json!({"project": {"key": "IAM"}, "issuetype": {"name": "Task"}, "summary": "Grant: a role of an application",
            "description": "x".repeat(1_100), "labels": ["lm-floor"], "components": [{"name": "an-application-admins"}]});
        lastmile::http::Call::new("POST", format!("{}/rest/api/2/issue", self.url()))
            .header("accept", "application/json")
            .header("authorization", "Basic YnJpZGdlOm5vbmU=")
            .json(json!({"fields": fields}))
    }
}

async fn create(State(app): State<App>, Json(body): Json<Value>) -> (StatusCode, Json<Value>) {
    let arrived = Instant::now();
    if !app.latency.is_zero() {
        tokio::time::sleep(app.latency).await;
    }
    let labels = body.pointer("/fields/labels").and_then(Value::as_array);
    let key = labels.and_then(|l| l.iter().filter_map(Value::as_str).find(|l| l.starts_with("lm-"))).unwrap_or_default();
    let number = {
        let mut held = app.held();
        held.labels.push(key.to_owned());
        held.last_create = Some(arrived);
        *held.calls.entry("create").or_default() += 1;
        held.labels.len()
    };
    app.created.send_if_modified(|n| {
        *n = (*n).max(number);
        true
    });
    (StatusCode::CREATED, Json(json!({"id": number.to_string(), "key": format!("IAM-{number}"), "self": "-"})))
}

fn issue(held: &Held, id: &str) -> Value {
    let label = id.parse::<usize>().ok().and_then(|n| held.labels.get(n.checked_sub(1)?));
    let (at, closed) = held.changed.get(id).copied().unwrap_or((1_764_000_000_000, false));
    let updated = lastmile::model::Timestamp(at).to_utc().format("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string();
    let (category, resolution) =
        if closed { ("done", json!({"id": "10000", "name": "Done"})) } else { ("indeterminate", Value::Null) };
    json!({"id": id, "key": format!("IAM-{id}"), "fields": {"status": {"id": "3", "name": category, "statusCategory": {"key": category}},
        "resolution": resolution, "resolutiondate": closed.then_some(&updated), "labels": label.into_iter().collect::<Vec<_>>(),
        "components": [], "assignee": null, "creator": {"accountId": "bridge"}, "updated": updated}})
}

async fn bulk(State(app): State<App>, Json(body): Json<Value>) -> Json<Value> {
    app.count("bulk read");
    let ids = body.get("issueIdsOrKeys").and_then(Value::as_array).cloned().unwrap_or_default();
    let held = app.held();
    Json(json!({"issues": ids.iter().filter_map(Value::as_str).map(|id| issue(&held, id)).collect::<Vec<_>>()}))
}

async fn one(State(app): State<App>, Path(id): Path<String>) -> Json<Value> {
    app.count("read one");
    let issue = issue(&app.held(), &id);
    Json(issue)
}

async fn comments(State(app): State<App>, Path(_): Path<String>) -> Json<Value> {
    app.count("read comments");
    Json(json!({"comments": [], "total": 0}))
}

/// What changed since the instant in the query.
async fn search(State(app): State<App>, Json(body): Json<Value>) -> Json<Value> {
    app.count("search");
    let jql = body.get("jql").and_then(Value::as_str).unwrap_or_default();
    let from: i64 =
        jql.split("updated >= ").nth(1).and_then(|rest| rest.split(' ').next()).and_then(|n| n.parse().ok()).unwrap_or(i64::MAX);
    let held = app.held();
    let issues: Vec<Value> = held.changed.iter().filter(|(_, (at, _))| *at >= from).map(|(id, _)| issue(&held, id)).collect();
    Json(json!({"issues": issues}))
}

async fn myself(State(app): State<App>) -> Json<Value> {
    app.count("who am I");
    Json(json!({"accountId": "bridge"}))
}
