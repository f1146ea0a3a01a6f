//! Standard Webhooks against an independent implementation (PyPI `standardwebhooks`): what it signs is accepted, what
//! lastmile signs it believes. `tests/run` installs it.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use lastmile::bridge::{self, Bridge};
use lastmile::catalog::Catalog;
use lastmile::http::client::{Body, ClientSettings};
use lastmile::http::{Answer, Call, HttpClient};
use lastmile::model::clock::SystemClock;
use lastmile::model::{Clock, Outcome};
use lastmile::runtime::telemetry;
use lastmile::sandbox::{DeskKind, Faults, SandboxDesk, admins, company, config};
use lastmile::web;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::orders;

const LOOPBACK: ([u8; 4], u16) = ([127, 0, 0, 1], 0);
const OLD: &str = "whsec_b2xkLXNlY3JldC1vZi10aGUtcGxhdGZvcm0tMDAwMQ==";
const NEW: &str = "whsec_bmV3LXNlY3JldC1vZi10aGUtcGxhdGZvcm0tMDAwMg==";
const STRANGE: &str = "whsec_c3RyYW5nZXItd2hvLWtub3dzLW5vLXNlY3JldC0wMDM=";
const REPORT: &str = "whsec_cmVwb3J0cy1vZi1sYXN0bWlsZS1zaWduZWQtMDAwMDQ=";

/// Python with the package, or why there is none.
fn python() -> Result<std::path::PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/python/bin/python");
    let there = Command::new(&python).args(["-c", "import standardwebhooks"]).stderr(Stdio::null()).status();
    match there {
        Ok(status) if status.success() => Ok(python),
        _ => Err("the Python package `standardwebhooks` is not installed under target/python: run tests/run".to_owned()),
    }
}

/// Runs the other side; gives what it printed, or nothing when it refused.
fn other_side(python: &Path, arguments: &[&str], given: &Value) -> Option<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/real/standard_webhooks.py");
    let mut child = Command::new(python)
        .arg(script)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(given.to_string().as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    out.status.success().then(|| String::from_utf8(out.stdout).unwrap().trim().to_owned())
}

type Report = (BTreeMap<String, String>, String);

/// A platform of which only the ear is needed.
async fn ear() -> (String, mpsc::UnboundedReceiver<Report>) {
    async fn hear(State(sender): State<mpsc::UnboundedSender<Report>>, headers: HeaderMap, body: Bytes) {
        let headers = headers.iter().map(|(n, v)| (n.as_str().to_owned(), v.to_str().unwrap_or_default().to_owned())).collect();
        sender.send((headers, String::from_utf8(body.to_vec()).unwrap())).unwrap();
    }
    let (sender, heard) = mpsc::unbounded_channel();
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(LOOPBACK)).await.unwrap();
    let url = format!("http://{}/completions", listener.local_addr().unwrap());
    let app = Router::new().route("/completions", post(hear)).with_state(sender);
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, heard)
}

fn catalog(folder: &Path, jira: &str, reports: &str) -> Catalog {
    let source = format!(
        "kind = \"webhook\"\n[webhook]\nverify = {{ scheme = \"standard-webhooks\", secrets = [{{ file = \"new\" }}, {{ file = \"old\" }}] }}\n\
         [report]\nurl = \"{reports}\"\nsigning = {{ file = \"report\" }}\n{}",
        config::MAPPING
    );
    let desk = format!("kind = \"jira\"\nurl = \"{jira}\"\nproject = \"IAM\"\nauth = {{ bearer = {{ file = \"token\" }} }}\n");
    let main = "[defaults]\ndesk = \"jira\"\n[work]\nsync_every = \"1s\"\n";
    for (path, text) in [
        ("lastmile.toml", main),
        ("sources/iga.toml", &source),
        ("desks/jira.toml", &desk),
        ("new", NEW),
        ("old", OLD),
        ("report", REPORT),
        ("token", lastmile::sandbox::server::TOKEN),
    ] {
        let place = folder.join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, text).unwrap();
    }
    let mut catalog = Catalog::load(folder).unwrap();
    catalog.main.ledger.url = format!("sqlite:{}", folder.join("ledger.db").display());
    catalog
}

/// Signs with the other implementation and posts.
async fn send(python: &Path, hook: &str, secrets: &[&str], id: &str, body: &str) -> Answer {
    let at = SystemClock.now().0 / 1000;
    let mut arguments = vec!["sign"];
    arguments.extend(secrets);
    let signatures = other_side(python, &arguments, &json!({"id": id, "at": at, "body": body})).unwrap();
    assert_eq!(signatures.split(' ').count(), secrets.len());
    let mut call = Call::new("POST", hook)
        .header("webhook-id", id)
        .header("webhook-timestamp", at.to_string())
        .header("webhook-signature", signatures);
    call.body = Body::Raw("application/json", body.as_bytes().to_vec());
    HttpClient::new(ClientSettings::for_edge("other side")).unwrap().send(call).await.unwrap()
}

fn order(n: u64) -> String {
    let mut document = orders::dateless(company::order(1, n, SystemClock.now()));
    document["operation"] = json!("add");
    document["beneficiary"] = company::person(n);
    document["justification"] = json!("Ümläute – and “quotes”");
    document.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_independent_implementation_is_understood_and_understands() {
    let python = match python() {
        Ok(python) => python,
        Err(why) => return super::skipped(&why),
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let faults = Arc::new(Faults::seeded(1));
    let jira = SandboxDesk::start(DeskKind::JiraCloud, clock.clone(), faults, None, SocketAddr::from(LOOPBACK)).await.unwrap();
    let (reports, mut heard) = ear().await;
    let folder = tempfile::tempdir().unwrap();
    let setup = bridge::setup(catalog(folder.path(), jira.url(), &reports), &clock).unwrap();
    let bridge = Bridge::open(setup, clock, false).await.unwrap();
    let listener = tokio::net::TcpListener::bind(SocketAddr::from(LOOPBACK)).await.unwrap();
    let hook = format!("http://{}/hooks/iga", listener.local_addr().unwrap());
    let app = web::router(bridge.web(telemetry::metrics_handle(), true, None));
    let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    bridge.runtime.start();

    // Before, during and after a rotation; a stranger; a signature of a stranger beside a true one.
    for (n, (secrets, status)) in
        [(&[OLD][..], 202), (&[NEW, OLD], 202), (&[NEW], 202), (&[STRANGE], 401), (&[STRANGE, NEW], 202)].into_iter().enumerate()
    {
        let answer = send(&python, &hook, secrets, &format!("msg_{n}"), &order(n as u64 + 1)).await;
        assert_eq!(answer.status, status, "{n}: {}", String::from_utf8_lossy(&answer.body));
    }
    let again = send(&python, &hook, &[NEW], "msg_0", &order(9)).await;
    assert_eq!(again.status, 409, "another body under a known id");

    let deadline = Instant::now() + Duration::from_secs(30);
    let mut reports = Vec::new();
    while reports.len() < 4 {
        for ticket in jira.state().all().into_iter().filter(|t| t.closed_at.is_none()) {
            let words = "Erledigt – “fine”";
            jira.state().change(&ticket.id, |t, now| admins::close(t, "anna.berg", now, Outcome::Fulfilled, words));
        }
        if let Ok(Some(report)) = tokio::time::timeout(Duration::from_millis(200), heard.recv()).await {
            reports.push(report);
        }
        assert!(Instant::now() < deadline, "four completions are sent; there are {}", reports.len());
    }
    for (headers, body) in &reports {
        assert!(body.contains("Erledigt"));
        let given = |body: &str| json!({"headers": headers, "body": body});
        assert!(other_side(&python, &["verify", REPORT], &given(body)).is_some(), "{headers:?}");
        assert!(other_side(&python, &["verify", STRANGE], &given(body)).is_none());
        assert!(other_side(&python, &["verify", REPORT], &given(&body.replace("fulfilled", "rejected"))).is_none());
    }
    server.abort();
    bridge.close().await;
}
