//! The ways in and out that are nobody's in particular: CloudEvents, uploads, files and tokens, with hostile input.

mod exchange;

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

#[tokio::test]
async fn every_row_of_a_file_is_answered_beside_it() {
    let world = World::new();
    let (ledger, source) = (world.ledger().await, world.files(""));
    std::fs::write(world.path("inbox/a.csv"), ROWS).unwrap();
    std::fs::write(world.path("inbox/.hidden.csv"), ROWS).unwrap();
    std::fs::write(world.path("inbox/readme.txt"), "no rows").unwrap();
    std::os::unix::fs::symlink(world.path("token"), world.path("inbox/link.csv")).unwrap();
    let shown = source.first_page(world.clock.now()).await.unwrap();
    assert_eq!((shown.len(), world.names("inbox").len()), (5, 4), "looked at, and nothing was changed");
    assert_eq!(look(&world, &ledger, &source).await, None);
    let answers = world.text("inbox/done/a.csv.result.csv");
    // The ids are made of the time.
    let without_ids: Vec<String> = answers
        .lines()
        .map(|line| line.split(',').enumerate().filter(|(n, _)| *n != 2).map(|(_, cell)| cell).collect::<Vec<_>>().join(","))
        .collect();
    insta::assert_snapshot!(without_ids.join("\n"));
    assert_eq!(world.names("inbox/done"), ["a.csv", "a.csv.result.csv"]);
    assert_eq!(orders(&ledger).await, 2);
    assert_eq!(world.text("token"), "open-sesame", "a link is not followed");

    // The same file again, and one of the same name with one more row: nothing twice, nothing written over.
    std::fs::write(world.path("inbox/a.csv"), format!("{ROWS}order;o-5;add;sap;p-5\n")).unwrap();
    look(&world, &ledger, &source).await;
    assert_eq!(world.names("inbox/done"), ["a-2.csv", "a-2.csv.result.csv", "a.csv", "a.csv.result.csv"]);
    let again = world.text("inbox/done/a-2.csv.result.csv");
    let words: Vec<&str> = again.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
    assert_eq!(words, ["unchanged", "unchanged", "ignored", "quarantined", "quarantined", "unchanged", "accepted"]);
    assert_eq!(orders(&ledger).await, 3);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_at_all_is_put_aside_and_the_next_one_is_taken() {
    let world = World::new();
    let (ledger, source) = (world.ledger().await, world.files("max_bytes = 400"));
    let wrong =
        [("a.csv", b"Kind;Order\norder;\"Zoe Quill".to_vec()), ("b.csv", vec![0xff, 0xfe, 0x41]), ("c.csv", vec![b'x'; 401])];
    for (name, bytes) in &wrong {
        std::fs::write(world.path("inbox").join(name), bytes).unwrap();
    }
    std::fs::write(world.path("inbox/d.csv"), ROWS).unwrap();
    for _ in 0..4 {
        if let Some(broken) = look(&world, &ledger, &source).await {
            assert!(matches!(&broken, CallError::Reject { code: "E-FILE", .. }), "{broken:?}");
            assert!(!broken.to_string().contains("Zoe"), "{broken}");
        }
    }
    assert_eq!(world.names("inbox/done"), ["d.csv", "d.csv.result.csv"]);
    assert_eq!(world.names("inbox/failed").len(), 6);
    assert!(world.text("inbox/failed/a.csv.result.csv").contains("does not end"));
    assert!(world.text("inbox/failed/b.csv.result.csv").contains("UTF-8"));
    assert!(world.text("inbox/failed/c.csv.result.csv").contains("max_bytes"));
}

/// More rows than fit one transaction, and a stop at every point between reading, recording and answering.
#[tokio::test]
async fn a_crash_in_the_middle_of_a_file_skips_nothing_and_doubles_nothing() {
    let rows: String = (0..1_203).map(|n| format!("order;o-{n};add;sap;p-{n}\n")).collect();
    let text = format!("Kind;Order;Action;System;Person\n{rows}");
    for crash in ["read", "recorded", "torn answers", "answered"] {
        let world = World::new();
        let ledger = world.ledger().await;
        std::fs::write(world.path("inbox/a.csv"), &text).unwrap();
        let first = world.files("");
        assert_eq!(look(&world, &ledger, &first).await, None);
        assert_eq!(orders(&ledger).await, 500, "a batch at a time");
        let cursor = ledger.cursor("pull/iga").await.unwrap();
        assert!(cursor.as_deref().is_some_and(|c| c.contains("\"row\":500")), "{cursor:?}");
        assert_eq!(first.next_poll(world.clock.now()), Some(world.clock.now()), "the rest follows at once");
        match crash {
            "read" => drop(first.pull(cursor.as_deref(), world.clock.now()).await.unwrap()),
            // Recorded, and never answered: as if stopped between the commit and the answers.
            "recorded" | "torn answers" => {
                let pulled = first.pull(cursor.as_deref(), world.clock.now()).await.unwrap();
                let receipts = pulled.events.into_iter().map(|event| lastmile::ledger::Receipt {
                    source: "iga".to_owned(),
                    event_id: event.event_id,
                    digest: event.digest,
                    received_at: world.clock.now(),
                    content: match event.content {
                        EventContent::Order(order) => lastmile::ledger::ReceiptContent::Order(order),
                        _ => panic!("it maps"),
                    },
                });
                ledger.record(receipts.collect()).await.unwrap();
                if crash == "torn answers" {
                    let answers = world.text("inbox/.a.csv.answers");
                    std::fs::write(world.path("inbox/.a.csv.answers"), &answers[..answers.len() - 7]).unwrap();
                }
            }
            _ => {}
        }
        drop(first);
        let second = world.files("");
        for _ in 0..4 {
            assert_eq!(look(&world, &ledger, &second).await, None);
        }
        assert_eq!(orders(&ledger).await, 1_203, "{crash}");
        let answers = world.text("inbox/done/a.csv.result.csv");
        let numbers: Vec<usize> = answers.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (2..1_205).collect::<Vec<_>>(), "{crash}: each row once, in order");
        assert!(!answers.contains("quarantined") && !answers.contains("refused"), "{crash}");
        assert!(world.names("inbox").iter().all(|name| name == "done"), "{crash}: {:?}", world.names("inbox"));
    }
}

#[tokio::test]
async fn a_file_is_taken_when_it_has_come_to_rest_and_left_where_that_is_wished() {
    let world = World::new();
    let ledger = world.ledger().await;
    let tables =
        "[file]\nformat = \"csv\"\ndelimiter = \";\"\nfolder = \"inbox\"\nsettle = \"15s\"\nschedule = \"1h\"\nafter = \"leave\"";
    let source = world.build("file", &format!("{tables}\n{COLUMNS}"));
    let (head, tail) = ROWS.split_at(60);
    std::fs::write(world.path("inbox/a.csv"), head).unwrap();
    look(&world, &ledger, &source).await;
    assert_eq!(source.next_poll(world.clock.now()), Some(world.clock.now().plus_secs(15)), "sooner than the schedule says");
    std::fs::write(world.path("inbox/a.csv"), format!("{head}{tail}")).unwrap();
    look(&world, &ledger, &source).await;
    assert_eq!(orders(&ledger).await, 0, "it still grew");
    look(&world, &ledger, &source).await;
    look(&world, &ledger, &source).await;
    assert_eq!(orders(&ledger).await, 2);
    assert_eq!(world.text("inbox/a.csv"), ROWS, "it lies where it lay");
    let answers = world.text("inbox/a.csv.result.csv");
    for _ in 0..3 {
        look(&world, &ledger, &source).await;
    }
    assert_eq!(world.text("inbox/a.csv.result.csv"), answers, "and is not taken again");
    std::fs::write(world.path("inbox/a.csv"), format!("{ROWS}order;o-9;add;sap;p-9\n")).unwrap();
    for _ in 0..3 {
        look(&world, &ledger, &source).await;
    }
    assert_eq!(orders(&ledger).await, 3, "until it says something else");
}

#[tokio::test]
async fn an_upload_is_answered_row_by_row_and_may_be_repeated() {
    let world = World::new();
    let ledger = world.ledger().await;
    let tables = format!("[file]\nformat = \"csv\"\ndelimiter = \";\"\n[webhook]\nverify = {BEARER}\n{COLUMNS}");
    let source = world.build("file", &tables);
    let send = async |token: &str, text: &str| {
        let inbound = inbound(&[("authorization", token)], text.as_bytes());
        intake::take_rows(&ledger, &*source, inbound, NOW).await
    };
    let words = |answers: &[source::rows::RowAnswer]| answers.iter().map(|a| (a.row, a.result.clone())).collect::<Vec<_>>();
    let is = |all: &[(u64, &str)]| all.iter().map(|(n, w)| (*n, (*w).to_owned())).collect::<Vec<_>>();
    let first = send("Bearer open-sesame", ROWS).await.unwrap();
    let expected = [(2, "accepted"), (3, "unchanged"), (4, "ignored"), (5, "quarantined"), (6, "quarantined"), (7, "accepted")];
    assert_eq!(words(&first), is(&expected));
    assert!(first[3].reason.as_deref().is_some_and(|reason| reason.contains("`operation`") && !reason.contains("dance")));
    let again = send("Bearer open-sesame", ROWS).await.unwrap();
    assert!(again.iter().all(|answer| answer.result != "accepted"), "{:?}", words(&again));
    assert_eq!(orders(&ledger).await, 2);
    let refused = send("Bearer wrong", ROWS).await.unwrap_err().to_string();
    assert!(refused.contains("signature"), "{refused}");
    let torn = send("Bearer open-sesame", "Kind;Order\norder;\"Zoe").await.unwrap_err().to_string();
    assert!(torn.contains("does not end") && !torn.contains("Zoe"), "{torn}");
    assert!(!source.info().capabilities.polls && source.info().capabilities.pushes);
}

fn completion(id: &str, words: &str) -> Completion {
    let closed_by = Some(Person { id: "c-1".to_owned(), name: Some("Closer".to_owned()), email: None });
    Completion { words: Some(words.to_owned()), closed_by, ..super::source::completion(id, "o-1") }
}

#[tokio::test]
async fn an_outcome_stands_once_in_the_outbox_and_is_no_formula() {
    let world = World::new();
    let source = world.files("[report]\nfile = \"out.csv\"");
    for _ in 0..2 {
        source.report(&completion("r-1", "=HYPERLINK(\"http://evil.example\")\nline two")).await.unwrap();
    }
    // Another process of ours after a crash in the middle of a line.
    let whole = world.text("out.csv");
    std::fs::write(world.path("out.csv"), format!("{whole}r-2,o-1,iga/o-1")).unwrap();
    let source = world.files("[report]\nfile = \"out.csv\"");
    for id in ["r-1", "r-2", "r-2"] {
        source.report(&completion(id, "done")).await.unwrap();
    }
    insta::assert_snapshot!(world.text("out.csv"));
    // Its reader takes the file away: the next outcome begins another.
    std::fs::rename(world.path("out.csv"), world.path("taken.csv")).unwrap();
    source.report(&completion("r-3", "done")).await.unwrap();
    assert_eq!(world.text("out.csv").lines().count(), 2);
    // Columns that changed meanwhile are not mixed.
    let other = world.files("[report]\nfile = \"out.csv\"\nbody = { order = \"{{external_id}}\" }");
    let refused = other.report(&completion("r-4", "done")).await;
    assert!(
        matches!(&refused, Err(CallError::Retry { code: "E-FILE", reason, .. }) if reason.contains("columns")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_outbox_of_json_lines_takes_the_declared_body() {
    let world = World::new();
    let source = world.files("[report]\nfile = \"out.jsonl\"\nbody = { order = \"{{external_id}}\", ok = \"{{success}}\" }");
    assert!(!source.info().capabilities.ticket_link && source.info().capabilities.report);
    for id in ["r-1", "r-1", "r-2"] {
        source.report(&completion(id, "done")).await.unwrap();
    }
    assert_eq!(
        world.text("out.jsonl"),
        "{\"id\":\"r-1\",\"ok\":true,\"order\":\"o-1\"}\n{\"id\":\"r-2\",\"ok\":true,\"order\":\"o-1\"}\n"
    );
    std::fs::remove_file(world.path("out.jsonl")).unwrap();
    std::fs::create_dir(world.path("out.jsonl")).unwrap();
    let refused = source.report(&completion("r-3", "done")).await;
    assert!(matches!(refused, Err(CallError::Retry { code: "E-FILE", .. })), "{refused:?}");
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
