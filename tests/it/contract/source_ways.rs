//! The ways in and out that are nobody's in particular: CloudEvents, uploads, files and tokens, with hostile input.

mod exchange;
mod files;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use lastmile::catalog::{ConfigFile, EdgeFile};
use lastmile::flow::{Pauses, intake};
use lastmile::http::signature::sign_standard;
use lastmile::http::{CallError, Inbound};
use lastmile::ledger::{Ledger, Mode, SqlLedger, Views};
use lastmile::model::clock::FakeClock;
use lastmile::model::completion::Completion;
use lastmile::model::{Clock, Person, Timestamp};
use lastmile::source::{self, EventContent, Handshake, HookRefusal, Source};
use secrecy::SecretString;
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp(1_764_000_000_000);
const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const BEARER: &str = "{ scheme = \"bearer\", secrets = [{ file = \"token\" }] }";
const STANDARD: &str = "{ scheme = \"standard-webhooks\", secrets = [{ file = \"hook\" }] }";

struct World {
    folder: tempfile::TempDir,
    clock: Arc<FakeClock>,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("token", "open-sesame"), ("hook", SECRET)] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        std::fs::create_dir(folder.path().join("inbox")).unwrap();
        Self { folder, clock: Arc::new(FakeClock::at(NOW)) }
    }

    fn try_build(&self, kind: &str, tables: &str) -> Result<Arc<dyn Source>, String> {
        let file = ConfigFile::from_text(Path::new("sources/iga.toml"), &format!("kind = \"{kind}\"\n{tables}"));
        let built = source::build("iga", &EdgeFile { kind: kind.to_owned(), file }, self.folder.path(), self.clock.clone());
        built.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    }

    fn build(&self, kind: &str, tables: &str) -> Arc<dyn Source> {
        self.try_build(kind, tables).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn files(&self, more: &str) -> Arc<dyn Source> {
        self.build(
            "file",
            &format!("[file]\nformat = \"csv\"\ndelimiter = \";\"\nfolder = \"inbox\"\nsettle = \"0s\"\n{more}\n{COLUMNS}"),
        )
    }

    async fn ledger(&self) -> SqlLedger {
        let url = format!("sqlite:{}", self.folder.path().join("ledger.db").display());
        SqlLedger::open(&url, "contract", Mode::Serve).await.unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// What lies in a folder and is not hidden.
    fn names(&self, folder: &str) -> Vec<String> {
        let names =
            std::fs::read_dir(self.path(folder)).into_iter().flatten().map(|e| e.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }
}

const COLUMNS: &str = r#"
[mapping]
only = { pointer = "/Kind", values = ["order"] }
external_id = "/Order"
operation = { pointer = "/Action", map = { add = "grant", remove = "revoke" } }
application = { id = "/System" }
beneficiary = { id = "/Person" }
"#;

const EVENTS: &str = r#"
[mapping]
only = { pointer = "/type", values = ["com.example.order"] }
external_id = "/data/id"
operation = { value = "grant" }
application = { id = "/data/app" }
beneficiary = { id = "/data/who" }
"#;

fn inbound(headers: &[(&str, &str)], body: &[u8]) -> Inbound {
    Inbound {
        method: "POST".to_owned(),
        path: "/hooks/iga".to_owned(),
        query: BTreeMap::new(),
        headers: headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        body: body.to_vec(),
        peer: None,
        client_certificate: None,
        received_at: NOW,
    }
}

fn event(id: &str) -> Value {
    json!({"specversion": "1.0", "id": id, "source": "/iga#1", "type": "com.example.order",
        "data": {"id": "o-1", "app": "sap", "who": "p-1"}})
}

const TOKEN: (&str, &str) = ("authorization", "Bearer open-sesame");

#[test]
fn a_cloud_event_is_the_same_event_in_every_mode() {
    let world = World::new();
    let source = world.build("webhook", &format!("[webhook]\nverify = {BEARER}\ncloud_events = {{}}\n{EVENTS}"));
    let send = |headers: &[(&str, &str)], body: String| {
        let headers: Vec<_> = std::iter::once(TOKEN).chain(headers.iter().copied()).collect();
        source.accept(inbound(&headers, body.as_bytes()), NOW)
    };
    let mut traced = event("1");
    traced["traceparent"] = json!("00-another-one");
    let mut packed = event("1");
    packed["data_base64"] = json!(base64::engine::general_purpose::STANDARD.encode(event("1")["data"].to_string()));
    packed.as_object_mut().unwrap().remove("data");
    let binary = [
        ("content-type", "application/json; charset=utf-8"),
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/iga%231"),
        ("ce-type", "com.example.order"),
        ("ce-data", "{}"),
    ];
    let structured = [("content-type", "application/cloudevents+json; charset=UTF-8")];
    let batch = [("content-type", "application/cloudevents-batch+json")];
    let sent = [
        send(&structured, event("1").to_string()).unwrap(),
        send(&structured, traced.to_string()).unwrap(),
        send(&structured, packed.to_string()).unwrap(),
        send(&binary, event("1")["data"].to_string()).unwrap(),
        send(&batch, json!([event("1"), {"specversion": "1.0"}, event("2")]).to_string()).unwrap(),
    ];
    for events in &sent {
        assert!(matches!(&events[0].content, EventContent::Order(order) if order.external_id == "o-1"));
        assert_eq!((&events[0].event_id, &events[0].digest), (&sent[0][0].event_id, &sent[0][0].digest));
    }
    // One that is none is held; the others of its batch go on.
    let EventContent::Unmappable { problem, .. } = &sent[4][1].content else { panic!("it maps") };
    assert!(problem.contains("/id"), "{problem}");
    assert_ne!(sent[4][2].event_id, sent[0][0].event_id);
    let other_kind = json!({"specversion": "1.0", "id": "9", "source": "/iga#1", "type": "ping"});
    assert!(send(&structured, other_kind.to_string()).unwrap().is_empty());
    assert_eq!(source.sample(&json!([event("1"), event("2")])).len(), 2);

    for (headers, body, words) in [
        (&structured[..], "[".to_owned(), "not JSON"),
        (&batch, event("1").to_string(), "list"),
        (&[("content-type", "application/cloudevents+avro")], String::new(), "JSON format"),
        (&[("content-type", "application/json")], event("1").to_string(), "no CloudEvent"),
    ] {
        let refusal = send(headers, body).err().unwrap().to_string();
        assert!(refusal.contains(words), "{refusal}");
    }
    let future = send(&structured, event("1").to_string().replace("1.0", "2.0")).unwrap();
    assert!(matches!(&future[0].content, EventContent::Unmappable { problem, .. } if problem.contains("/specversion")));
}

#[test]
fn a_signature_of_the_body_does_not_vouch_for_headers() {
    let world = World::new();
    let body = event("1")["data"].to_string();
    let signature = sign_standard(&SecretString::from(SECRET), "m1", NOW, body.as_bytes()).unwrap();
    let headers = [
        ("webhook-id", "m1"),
        ("webhook-timestamp", "1764000000"),
        ("webhook-signature", signature.as_str()),
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/iga"),
        ("ce-type", "com.example.order"),
    ];
    let accept = |settings: &str| {
        let source = world.build("webhook", &format!("[webhook]\nverify = {STANDARD}\ncloud_events = {settings}\n{EVENTS}"));
        source.accept(inbound(&headers, body.as_bytes()), NOW)
    };
    assert!(matches!(accept("{}").err(), Some(HookRefusal::NotReadable(words)) if words.contains("structured mode")));
    assert_eq!(accept("{ unsigned_headers = true }").unwrap().len(), 1);
}

#[test]
fn only_named_senders_are_granted_a_handshake() {
    let world = World::new();
    let with = |settings: &str| world.build("webhook", &format!("[webhook]\nverify = {BEARER}\n{settings}\n{EVENTS}"));
    let source = with("cloud_events = { origins = [\"events.example.com\"], rate = 120 }");
    assert_eq!(source.handshake("Events.example.com"), Handshake::Granted { per_minute: Some(120) });
    assert_eq!(source.handshake("events.example.com.evil.example"), Handshake::Refused);
    assert_eq!(with("cloud_events = {}").handshake("events.example.com"), Handshake::Refused);
    assert_eq!(with("cloud_events = { origins = [\"*\"] }").handshake("any"), Handshake::Granted { per_minute: None });
    assert_eq!(with("").handshake("events.example.com"), Handshake::NotTaken);
}

#[test]
fn declarations_that_cannot_work_are_told_with_their_line() {
    let world = World::new();
    let said = |kind: &str, tables: &str| world.try_build(kind, &format!("{tables}\n{COLUMNS}")).err().unwrap_or_default();
    let lines = [
        said("file", ""),
        said("file", "[file]\nformat = \"csv\""),
        said("file", "[file]\nformat = \"csv\"\nfolder = \"in\"\ndelimiter = \"x\"\nschedule = \"often\""),
        said("file", "[file]\nformat = \"xlsx\"\nfolder = \"in\""),
        said("file", &format!("[file]\nformat = \"csv\"\n[webhook]\nverify = {BEARER}\nevents = \"/data\"")),
        said("file", "[file]\nformat = \"csv\"\nfolder = \"in\"\n[report]\nfile = \"out.txt\""),
        said("file", "[file]\nformat = \"csv\"\nfolder = \"in\"\n[report]\nfile = \"out.csv\"\nsigning = { file = \"hook\" }"),
        said("file", "[file]\nformat = \"csv\"\nfolder = \"in\"\n[report]\nfile = \"out.csv\"\nbody = { a = \"{{outcom}}\" }"),
        said("webhook", &format!("[webhook]\nverify = {BEARER}\nevents = \"/data\"\ncloud_events = {{}}")),
        said("webhook", &format!("[webhook]\nverify = {BEARER}\ncloud_events = {{ rate = 0 }}")),
        said("webhook", "[webhook]\nverify = { scheme = \"standard-webhooks\", public_keys = [\"whsec_AAAA\"] }"),
        said("webhook", "[webhook]\nverify = { scheme = \"standard-webhooks\" }"),
        said("webhook", "[webhook]\nverify = { scheme = \"client-certificate\", certificates = [{}] }"),
        said("webhook", "[webhook]\nverify = { scheme = \"client-certificate\", certificates = [] }"),
        said(
            "poll",
            "[poll]\nurl = \"https://a.example\"\nschedule = \"1m\"\nlist = \"snapshot\"\nauth = { client_credentials = { \
             token_url = \"a.example\", client_id = \"x\", client_secret = { file = \"token\" } } }",
        ),
        said(
            "poll",
            "[poll]\nurl = \"https://a.example\"\nschedule = \"1m\"\nlist = \"snapshot\"\npaging = { by = \"page\", size = 0 }",
        ),
    ];
    insta::assert_snapshot!(lines.join("\n---\n"));
}

async fn look(world: &World, ledger: &SqlLedger, source: &Arc<dyn Source>) -> Option<CallError> {
    world.clock.advance_ms(10_000);
    intake::poll(ledger, &**source, &Pauses::default(), &*world.clock).await.unwrap().broken
}

async fn orders(ledger: &SqlLedger) -> usize {
    ledger.assignments(&Default::default(), true, 10_000).await.unwrap().len()
}

const ROWS: &str = "Kind;Order;Action;System;Person\norder;o-1;add;sap;p-1\norder;o-1;add;sap;p-1\nnote;;;;\norder;o-2;dance;sap;p-2\norder;o-3;add\norder;o-4;remove;sap;=cmd()\n";

fn completion(id: &str, words: &str) -> Completion {
    let closed_by = Some(Person { id: "c-1".to_owned(), name: Some("Closer".to_owned()), email: None });
    Completion { words: Some(words.to_owned()), closed_by, ..super::source::completion(id, "o-1") }
}

/// A form as it was sent, and the authorization beside it.
type SentForm = (BTreeMap<String, String>, Option<String>);

/// A platform that gives tokens and takes only the newest.
#[derive(Default)]
struct Issuer {
    given: AtomicUsize,
    refuses: Mutex<Option<StatusCode>>,
    forms: Mutex<Vec<SentForm>>,
    reports: AtomicUsize,
}

async fn issue(State(issuer): State<Arc<Issuer>>, headers: HeaderMap, Form(form): Form<BTreeMap<String, String>>) -> Response {
    let basic = headers.get("authorization").map(|v| v.to_str().unwrap().to_owned());
    issuer.forms.lock().unwrap().push((form, basic));
    if let Some(status) = *issuer.refuses.lock().unwrap() {
        return (status, "open-sesame is wrong").into_response();
    }
    let n = issuer.given.fetch_add(1, Ordering::SeqCst) + 1;
    Json(json!({"access_token": format!("token-{n}"), "expires_in": "120"})).into_response()
}

fn is_newest(issuer: &Issuer, headers: &HeaderMap) -> bool {
    let newest = format!("Bearer token-{}", issuer.given.load(Ordering::SeqCst));
    headers.get("authorization").is_some_and(|value| value.as_bytes() == newest.as_bytes())
}

#[tokio::test]
async fn a_token_is_kept_until_it_ends_and_fetched_once_more_when_it_is_refused() {
    let issuer = Arc::new(Issuer::default());
    let list = |State(issuer): State<Arc<Issuer>>, headers: HeaderMap| async move {
        let status = if is_newest(&issuer, &headers) { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        (status, Json(json!({"items": []})))
    };
    let report = |State(issuer): State<Arc<Issuer>>, headers: HeaderMap| async move {
        if !is_newest(&issuer, &headers) {
            return StatusCode::UNAUTHORIZED;
        }
        issuer.reports.fetch_add(1, Ordering::SeqCst);
        StatusCode::OK
    };
    let app = Router::new().route("/token", post(issue)).route("/list", get(list)).route("/report", post(report));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let served = app.with_state(Arc::clone(&issuer));
    tokio::spawn(async move { axum::serve(listener, served).await.unwrap() });

    let world = World::new();
    let auth = |more: &str| {
        format!(
            "auth = {{ client_credentials = {{ token_url = \"{url}/token\", client_id = \"last mile\", client_secret = {{ file = \"token\" }}{more} }} }}"
        )
    };
    let tables = format!(
        "[poll]\nurl = \"{url}/list\"\nschedule = \"1m\"\nlist = \"snapshot\"\nitems = \"/items\"\n{}\n[report]\nurl = \"{url}/report\"\n{}\n{COLUMNS}",
        auth(", scope = \"orders\", form = { audience = \"idm\" }"),
        auth(", secret_in = \"basic\"")
    );
    let source = world.build("poll", &tables);
    for _ in 0..3 {
        source.pull(None, world.clock.now()).await.unwrap();
    }
    assert_eq!(issuer.given.load(Ordering::SeqCst), 1, "kept");
    world.clock.advance_ms(91_000);
    source.pull(None, world.clock.now()).await.unwrap();
    assert_eq!(issuer.given.load(Ordering::SeqCst), 2, "not used in its last seconds");
    // The report has a token of its own, which makes the list's old: once more, and no oftener.
    source.report(&completion("r-1", "done")).await.unwrap();
    source.pull(None, world.clock.now()).await.unwrap();
    source.report(&completion("r-2", "done")).await.unwrap();
    assert_eq!((issuer.given.load(Ordering::SeqCst), issuer.reports.load(Ordering::SeqCst)), (5, 2));
    {
        let forms = issuer.forms.lock().unwrap();
        let form = &forms[0].0;
        let named = ["grant_type", "client_id", "client_secret", "scope", "audience"].map(|name| form[name].as_str());
        assert_eq!(named, ["client_credentials", "last mile", "open-sesame", "orders", "idm"]);
        assert_eq!(forms[2].1.as_deref(), Some("Basic bGFzdCUyMG1pbGU6b3BlbiUyRHNlc2FtZQ=="));
        assert!(!forms[2].0.contains_key("client_secret"));
    }
    for (status, code) in [(StatusCode::UNAUTHORIZED, "E-AUTH"), (StatusCode::SERVICE_UNAVAILABLE, "E-BUSY")] {
        *issuer.refuses.lock().unwrap() = Some(status);
        let fresh = world.build("poll", &tables);
        let refused = fresh.report(&completion("r-3", "done")).await.unwrap_err();
        assert!(matches!(&refused, CallError::Retry { .. }), "nothing was told: {refused:?}");
        assert!(refused.code() == code || code == "E-BUSY", "{refused:?}");
        assert!(!format!("{refused} {refused:?} {fresh:?}").contains("open-sesame"), "{refused:?}");
    }
}
