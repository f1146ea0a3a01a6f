//! The hook as a sender sees it: every refusal with its status and reason, and what is taken.

use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use lastmile::bridge::{self, Bridge};
use lastmile::catalog::Catalog;
use lastmile::http::signature::sign_standard;
use lastmile::model::clock::FakeClock;
use lastmile::model::{Clock, Timestamp};
use metrics_exporter_prometheus::PrometheusBuilder;
use secrecy::SecretString;
use serde_json::{Value, json};
use tower::ServiceExt;

const NOW: Timestamp = Timestamp(1_795_000_000_000);
const OLD: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const NEW: &str = "whsec_Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA=";
const FOREIGN: &str = "whsec_c29tZWJvZHktZWxzZXMtc2VjcmV0LTAwMDAwMDAwMDA=";

const DESK: &str =
    "kind = \"jira\"\nurl = \"http://127.0.0.1:9\"\nproject = \"IAM\"\nauth = { bearer = { file = \"secrets/old\" } }\n";
const MAPPING: &str = r#"
[mapping]
external_id = "/id"
operation = { pointer = "/op", map = { add = "grant", remove = "revoke" } }
application = { id = "/app" }
beneficiary = { id = "/who", name = "/name" }
"#;

struct Bed {
    _folder: tempfile::TempDir,
    router: Router,
    bridge: Bridge,
}

impl Bed {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let verify =
            "verify = { scheme = \"standard-webhooks\", secrets = [{ file = \"secrets/new\" }, { file = \"secrets/old\" }] }";
        let files = [
            ("lastmile.toml", "[server]\nmax_body_bytes = 2048\n".to_owned()),
            ("desks/jira.toml", DESK.to_owned()),
            ("sources/idm.toml", format!("kind = \"webhook\"\n[webhook]\n{verify}\n{MAPPING}")),
            ("sources/many.toml", format!("kind = \"webhook\"\n[webhook]\n{verify}\nevents = \"/data\"\n{MAPPING}")),
            (
                "sources/list.toml",
                format!(
                    "kind = \"poll\"\n[poll]\nurl = \"http://127.0.0.1:9/\"\nschedule = \"1h\"\nlist = \"snapshot\"\n{MAPPING}"
                ),
            ),
            ("secrets/old", format!("{OLD}\n")),
            ("secrets/new", format!("{NEW}\r\n")),
        ];
        for (path, text) in files {
            let place = folder.path().join(PathBuf::from(path));
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, text).unwrap();
        }
        let clock: Arc<dyn Clock> = Arc::new(FakeClock::at(NOW));
        let mut catalog = Catalog::load(folder.path()).unwrap();
        catalog.main.ledger.url = format!("sqlite:{}", folder.path().join("ledger.db").display());
        let bridge = Bridge::open(bridge::setup(catalog, &clock).unwrap(), clock, false).await.unwrap();
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let router = lastmile::web::router(bridge.web(metrics, true, None));
        Self { _folder: folder, router, bridge }
    }

    async fn send(&self, request: Request<Body>) -> (StatusCode, Value) {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let kind = response.headers().get("content-type").map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let said = serde_json::from_slice(&body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&body)));
        assert!(status.is_success() || kind == "application/problem+json", "{status} as {kind}: {said}");
        (status, said)
    }

    async fn post(&self, source: &str, id: &str, at: i64, secret: &str, body: &str) -> (StatusCode, Value) {
        self.send(signed(source, id, at, secret, body)).await
    }
}

fn seconds() -> i64 {
    NOW.0 / 1000
}

fn signed(source: &str, id: &str, at: i64, secret: &str, body: &str) -> Request<Body> {
    let signature =
        sign_standard(&SecretString::from(secret), &id.replace('.', "_"), Timestamp(at * 1000), body.as_bytes()).unwrap();
    Request::post(format!("/hooks/{source}"))
        .header("host", "127.0.0.1")
        .header("webhook-id", id)
        .header("webhook-timestamp", at.to_string())
        .header("webhook-signature", signature)
        .body(Body::from(body.to_owned()))
        .unwrap()
}

fn body(id: &str) -> String {
    json!({"id": id, "op": "add", "app": "sap", "who": "p-1", "name": "Zoe Quill"}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_says_why_and_writes_nothing() {
    let bed = Bed::new().await;
    let at = seconds();
    let bare = |body: &str| Request::post("/hooks/idm").header("host", "127.0.0.1").body(Body::from(body.to_owned())).unwrap();
    let long = format!("{{\"id\": \"{}\"}}", "x".repeat(4000));
    let said = [
        ("no signature", bed.send(bare(&body("1"))).await),
        ("another's signature", bed.post("idm", "m1", at, FOREIGN, &body("1")).await),
        ("old", bed.post("idm", "m1", at - 301, OLD, &body("1")).await),
        ("from the future", bed.post("idm", "m1", at + 301, OLD, &body("1")).await),
        ("an id with a dot", bed.post("idm", "m.1", at, OLD, &body("1")).await),
        ("too large", bed.post("idm", "m1", at, OLD, &long).await),
        ("too large and unsigned", bed.send(bare(&long)).await),
        ("not JSON", bed.post("idm", "m1", at, OLD, "name=Zoe Quill").await),
        ("control characters", bed.post("idm", "m1", at, OLD, "\u{7f}\u{1}").await),
        ("empty", bed.post("idm", "m1", at, OLD, "").await),
        ("no such source", bed.post("idn", "m1", at, OLD, &body("1")).await),
        ("a source without hook", bed.post("list", "m1", at, OLD, &body("1")).await),
    ];
    let lines = said.iter().map(|(what, (status, said))| {
        format!("{what}: {} {} {}", status.as_u16(), said["type"].as_str().unwrap(), said["detail"].as_str().unwrap())
    });
    let lines = lines.collect::<Vec<_>>().join("\n");
    assert!(!lines.contains("Zoe"), "{lines}");
    insta::assert_snapshot!(lines);
    assert!(bed.bridge.ledger.assignments(&Default::default(), true, 10).await.unwrap().is_empty());
    assert!(bed.bridge.ledger.operations(&None, true, 10).await.unwrap().quarantined.is_empty());
    // Other methods are no hook.
    let got = bed.router.clone().oneshot(Request::get("/hooks/idm").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(got.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_is_answered_with_what_it_was() {
    let bed = Bed::new().await;
    let at = seconds();
    let word = |(status, said): (StatusCode, Value)| {
        let results = said["results"].as_array().map(|r| r.iter().map(|r| r["result"].as_str().unwrap().to_owned()).collect());
        (status.as_u16(), results.unwrap_or_else(|| vec![said["detail"].as_str().unwrap_or_default().to_owned()]))
    };
    let is = |status: u16, words: &[&str]| (status, words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
    // During a rotation both secrets are good, and one message may carry both signatures.
    assert_eq!(word(bed.post("idm", "m1", at, OLD, &body("1")).await), is(202, &["new"]));
    assert_eq!(word(bed.post("idm", "m1", at + 60, NEW, &body("1")).await), is(202, &["repeat"]));
    let mut both = signed("idm", "m2", at, FOREIGN, &body("2"));
    let good = signed("idm", "m2", at, NEW, &body("2")).headers()["webhook-signature"].to_str().unwrap().to_owned();
    let list = format!("{} {good}", both.headers()["webhook-signature"].to_str().unwrap());
    both.headers_mut().insert("webhook-signature", list.parse().unwrap());
    assert_eq!(word(bed.send(both).await), is(202, &["new"]));
    assert_eq!(word(bed.post("idm", "m1", at, OLD, &body("3")).await).0, 409);
    assert_eq!(word(bed.post("idm", "m3", at, OLD, &body("1")).await), is(202, &["unchanged"]));
    let odd = json!({"id": "4", "op": "transmogrify", "app": "sap", "who": "p-1"}).to_string();
    assert_eq!(word(bed.post("idm", "m4", at, OLD, &odd).await), is(202, &["quarantined"]));
    assert_eq!(word(bed.post("idm", "m4", at, OLD, &odd).await), is(202, &["quarantined"]));
    let several = |ids: &[&str]| format!("{{\"data\": [{}]}}", ids.iter().map(|id| body(id)).collect::<Vec<_>>().join(","));
    assert_eq!(word(bed.post("many", "m1", at, OLD, &several(&["a", "b"])).await), is(202, &["new", "new"]));
    assert_eq!(word(bed.post("many", "m1", at, OLD, &several(&["a", "b"])).await), is(202, &["repeat", "repeat"]));
    assert_eq!(word(bed.post("many", "m1", at, OLD, &several(&["a", "b", "c"])).await).0, 409);
    assert_eq!(word(bed.post("many", "m2", at, OLD, "{\"data\": []}").await), is(202, &[]));
    assert_eq!(bed.bridge.ledger.assignments(&Default::default(), true, 10).await.unwrap().len(), 4);
}
