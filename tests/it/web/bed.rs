//! A bridge whose router is called in this process, on a clock that stands still. Two applications have orders.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode, header};
use lastmile::bridge::{self, Bridge};
use lastmile::catalog::Catalog;
use lastmile::flow::plan;
use lastmile::http::signature::sign_standard;
use lastmile::kpi::rollup::Rollup;
use lastmile::ledger::compare::Sight;
use lastmile::ledger::{Acted, Action, End, LeaseRequest, Leased, Settlement};
use lastmile::model::clock::FakeClock;
use lastmile::model::ticket::{Created, TicketRef};
use lastmile::model::{Clock, Id, Outcome, Timestamp};
use lastmile::runtime::telemetry;
use lastmile::sandbox::config;
use lastmile::web::{self, Limits};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tower::ServiceExt;

pub const NOW: Timestamp = Timestamp(1_795_000_000_000);
/// Names and words that viewers must never see.
pub const PRIVATE: [&str; 6] = ["Bea Neff", "Rex Quest", "Ann Prove", "because of Zoe", "quoting Zoe", "Zoe’s event"];

/// Tokens of [`TOKENS`]: an operator and a viewer of everything, both of one application only.
pub const OPERATOR: &str = "lmt_operator";
pub const VIEWER: &str = "lmt_viewer";
pub const LIMS_OPERATOR: &str = "lmt_lims_operator";
pub const LIMS_VIEWER: &str = "lmt_lims_viewer";

/// `[access]` with those tokens.
pub fn tokens() -> String {
    let table = |name: &str, token: &str, more: &str| {
        let hash = hex::encode(Sha256::digest(token.as_bytes()));
        format!("[access.tokens.{name}]\nsha256 = \"{hash}\"\n{more}\n")
    };
    [
        table("operator", OPERATOR, "role = \"operator\""),
        table("viewer", VIEWER, "role = \"viewer\""),
        table("lims-operator", LIMS_OPERATOR, "role = \"operator\"\napplications = [\"lims\"]"),
        table("lims-viewer", LIMS_VIEWER, "role = \"viewer\"\napplications = [\"lims\"]"),
    ]
    .concat()
}

pub struct Bed {
    _folder: tempfile::TempDir,
    pub clock: Arc<FakeClock>,
    pub bridge: Bridge,
    pub router: Router,
}

/// Another process on the same ledger.
pub struct OtherProcess(Router);

impl OtherProcess {
    pub async fn call(&self, ask: Ask) -> Answer {
        answered(&self.0, ask).await
    }
}

async fn answered(router: &Router, Ask(request): Ask) -> Answer {
    let answer = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = answer.into_parts();
    let body = to_bytes(body, 16 << 20).await.unwrap();
    Answer { status: parts.status, headers: parts.headers, body: String::from_utf8_lossy(&body).into_owned() }
}

/// An answer, read whole.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// Code of a problem document.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{} {}", self.status, self.body);
        let document = self.json();
        assert_eq!(document["status"], self.status.as_u16());
        document["type"].as_str().unwrap().strip_prefix("/docs/errors/").unwrap().to_owned()
    }

    /// Value of the cookie this answer sets.
    pub fn cookie(&self, name: &str) -> Option<String> {
        let start = format!("{name}=");
        let lines = self.headers.get_all(header::SET_COOKIE).iter().map(|v| v.to_str().unwrap());
        lines.filter_map(|l| l.strip_prefix(&start)).map(|l| l.split(';').next().unwrap().to_owned()).next()
    }

    /// Value of the first hidden form token on this page.
    pub fn csrf(&self) -> String {
        let (_, rest) = self.body.split_once("name=\"csrf\" value=\"").unwrap_or_else(|| panic!("no form: {}", self.body));
        rest.split('"').next().unwrap().to_owned()
    }
}

/// A request under construction.
pub struct Ask(Request<Body>);

impl Ask {
    fn new(method: &str, path: &str, body: impl Into<Body>) -> Self {
        let request = Request::builder().method(method).uri(path).header("host", "127.0.0.1:8480");
        Self(request.body(body.into()).unwrap()).from("127.0.0.1:50000")
    }

    pub fn get(path: &str) -> Self {
        Self::new("GET", path, Body::empty())
    }

    pub fn method(method: &str, path: &str) -> Self {
        Self::new(method, path, Body::empty())
    }

    /// A form, as a browser sends it from our own page.
    pub fn form(path: &str, fields: &[(&str, &str)]) -> Self {
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let ask = Self::new("POST", path, body).with("content-type", "application/x-www-form-urlencoded");
        ask.with("origin", "http://127.0.0.1:8480").with("sec-fetch-site", "same-origin").with("accept", "text/html")
    }

    pub fn json(path: &str, body: &Value) -> Self {
        Self::new("POST", path, body.to_string()).with("content-type", "application/json")
    }

    pub fn post(path: &str, body: impl Into<Body>) -> Self {
        Self::new("POST", path, body)
    }

    /// Sets a header, in place of another of that name.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.0.headers_mut().insert(name, value.parse().unwrap());
        self
    }

    pub fn also(mut self, name: &'static str, value: &str) -> Self {
        self.0.headers_mut().append(name, value.parse().unwrap());
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    pub fn from(mut self, peer: &str) -> Self {
        self.0.extensions_mut().insert(ConnectInfo(peer.parse::<SocketAddr>().unwrap()));
        self
    }
}

impl Bed {
    /// With this `[access]`, bound to loopback or beyond.
    pub async fn new(more: &str, loopback: bool) -> Self {
        Self::make(more, loopback, None, Limits::default()).await
    }

    /// Behind a proxy with https.
    pub async fn with_public_url(url: &str, more: &str) -> Self {
        Self::make(more, false, Some(url), Limits::default()).await
    }

    /// With other limits; no access.
    pub async fn limited(limits: Limits) -> Self {
        Self::make("", true, None, limits).await
    }

    async fn make(more: &str, loopback: bool, public_url: Option<&str>, limits: Limits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(FakeClock::at(NOW));
        let time: Arc<dyn Clock> = clock.clone();
        let nowhere = "http://127.0.0.1:1";
        for (path, mut text) in config::files(nowhere, nowhere, nowhere, "127.0.0.1:8480") {
            if path == "lastmile.toml" {
                text.push_str(more);
            }
            let place = folder.path().join(&path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, &text).unwrap();
        }
        let mut catalog = Catalog::load(folder.path()).unwrap();
        catalog.main.ledger.url = format!("sqlite:{}", folder.path().join("ledger.db").display());
        catalog.main.server.public_url = public_url.map(str::to_owned);
        let bridge = Bridge::open(bridge::setup(catalog, &time).unwrap(), time, false).await.unwrap();
        let mut state = bridge.web(telemetry::metrics_handle(), loopback, None);
        state.gate = Arc::new(web::Gate::new(limits));
        let router = web::router(state);
        Self { _folder: folder, clock, bridge, router }
    }

    /// Counts everything into the figures, as the running server does in the background.
    pub async fn count(&self) {
        let catalog = std::sync::Arc::clone(&self.bridge.setup.load().catalog);
        let counted = Rollup::new().catch_up(&*self.bridge.ledger, &catalog, &*self.clock).await;
        counted.unwrap();
    }

    /// With [`tokens`].
    pub async fn guarded() -> Self {
        Self::new(&tokens(), false).await
    }

    pub async fn call(&self, ask: Ask) -> Answer {
        answered(&self.router, ask).await
    }

    /// What another process on the same ledger would answer.
    pub fn other_process(&self) -> OtherProcess {
        OtherProcess(web::router(self.bridge.web(telemetry::metrics_handle(), false, None)))
    }

    /// The body of an answer, as bytes.
    pub async fn raw(&self, Ask(request): Ask) -> Vec<u8> {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        to_bytes(answer.into_body(), 16 << 20).await.unwrap().to_vec()
    }

    /// A signed webhook.
    pub fn hook(&self, event: &str, body: &str) -> Ask {
        let secret = SecretString::from(lastmile::sandbox::platform::HOOK_SECRET);
        let signature = sign_standard(&secret, event, self.clock.now(), body.as_bytes()).unwrap();
        let seconds = (self.clock.now().0 / 1000).to_string();
        let ask = Ask::post("/hooks/iga", body.to_owned()).from("192.0.2.7:1").with("host", "lastmile.example.org");
        ask.with("webhook-id", event).with("webhook-timestamp", &seconds).with("webhook-signature", &signature)
    }

    /// An order of an application, taken in by webhook.
    pub async fn order(&self, n: u32, application: &str) -> Id {
        let answer = self.call(self.hook(&format!("evt-{n}"), &document(n, application))).await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        answer.json()["results"][0]["id"].as_str().unwrap().parse().unwrap()
    }

    pub async fn plan(&self) {
        plan::step(&*self.bridge.ledger, &self.bridge.setup.load_full(), &*self.clock).await.unwrap();
    }

    /// The errand of an order just taken in, leased.
    async fn lease(&self) -> Leased {
        self.plan().await;
        let mut leased = Vec::new();
        for edge in ["desk/jira", "desk/servicenow"] {
            let request = LeaseRequest {
                edge: edge.to_owned(),
                owner: "test".to_owned(),
                now: self.clock.now(),
                lease_ms: 60_000,
                quiet_ms: 60_000,
                limit: 10,
                witnesses_only: false,
            };
            leased.extend(self.bridge.ledger.lease(request).await.unwrap());
        }
        assert_eq!(leased.len(), 1);
        leased.remove(0)
    }

    /// An order, taken in, planned, sent, and this is what came of the call.
    pub async fn sent(&self, n: u32, application: &str, end: End) -> Sent {
        let assignment = self.order(n, application).await;
        let leased = self.lease().await;
        let settlement = Settlement { id: leased.id, lease_no: leased.lease_no, at: self.clock.now(), end };
        assert_eq!(self.bridge.ledger.settle(vec![settlement]).await.unwrap(), [true]);
        Sent { assignment, errand: leased.id }
    }

    /// The report of an order that an operator decided, refused for good by the platform.
    pub async fn refused_report(&self, assignment: Id) -> Id {
        let decide = Action::Decide { assignment, outcome: Outcome::Fulfilled, reason: "seen".to_owned() };
        assert_eq!(self.bridge.ledger.act(decide, "olga", self.clock.now()).await.unwrap(), Acted::Done);
        let request = LeaseRequest {
            edge: "source/iga".to_owned(),
            owner: "test".to_owned(),
            now: self.clock.now(),
            lease_ms: 60_000,
            quiet_ms: 0,
            limit: 1,
            witnesses_only: false,
        };
        let told = self.bridge.ledger.lease(request).await.unwrap().remove(0);
        let end = End::Park { code: "E-DECIDED".to_owned(), reason: "it holds another decision".to_owned() };
        let settlement = Settlement { id: told.id, lease_no: told.lease_no, at: self.clock.now(), end };
        assert_eq!(self.bridge.ledger.settle(vec![settlement]).await.unwrap(), [true]);
        told.id
    }

    async fn three(&self, from: u32, application: &str) -> Three {
        let created = Created {
            ticket: TicketRef { id: format!("{from}"), number: format!("{}-TICKET-{from}", application.to_uppercase()) },
            url: None,
            key_confirmed: true,
            group_missed: false,
        };
        let (code, reason) = ("E-REFUSED".to_owned(), "the desk refused, quoting Zoe".to_owned());
        let parked = End::Park { code: code.clone(), reason: reason.clone() };
        let later = self.clock.now().plus_secs(600);
        let unclear = End::Unclear { ask_at: later, quiet_until: later, code: "E-TIMEOUT".to_owned(), reason };
        Three {
            open: self.sent(from, application, End::Filed(created)).await,
            parked: self.sent(from + 1, application, parked).await,
            unclear: self.sent(from + 2, application, unclear).await,
        }
    }

    /// Both applications have an order that is open, one that is parked and one that is unclear; one event is held.
    pub async fn filled(&self) -> Filled {
        let (sales, lims) = (self.three(1, "salesforce").await, self.three(11, "lims").await);
        let body = r#"{"data": {"id": "REQ-odd", "operation": "Zoe’s event"}}"#;
        let answer = self.call(self.hook("evt-odd", body)).await;
        assert_eq!((answer.status.as_u16(), answer.json()["results"][0]["result"].as_str()), (202, Some("quarantined")));
        Filled { sales, lims, quarantined: answer.json()["results"][0]["id"].as_str().unwrap().to_owned() }
    }

    /// An event that no mapping understands, held in quarantine.
    pub async fn held(&self) -> String {
        let body = document(5, "lims").replace("\"add\"", "\"remove_all\"");
        let held = self.call(self.hook("evt-held", &body)).await.json();
        held["results"][0]["id"].as_str().unwrap().to_owned()
    }

    /// A comparison found these tickets of Jira closed there and open here.
    pub async fn found(&self, tickets: &[&str]) -> Vec<Id> {
        let ledger = &self.bridge.ledger;
        let ids: Vec<String> = tickets.iter().map(|t| (*t).to_owned()).collect();
        let held = ledger.held("jira", &ids).await.unwrap();
        let sights = held.into_iter().map(Sight::Closed).collect();
        assert_eq!(ledger.compare("desk/jira", sights, self.clock.now()).await.unwrap(), tickets.len());
        ledger.findings(&None, 10).await.unwrap().into_iter().map(|f| f.id).collect()
    }

    /// Somebody mends the mapping, so that the event of [`Bed::held`] fits.
    pub async fn mend(&self) {
        let mut catalog = (*self.bridge.setup.load_full().catalog).clone();
        let edge = catalog.sources.get_mut("iga").unwrap();
        let text = edge.file.text().replace("remove = \"revoke\"", "remove = \"revoke\", remove_all = \"revoke\"");
        edge.file = lastmile::catalog::ConfigFile::from_text(edge.file.path(), &text);
        self.bridge.swap(bridge::setup(catalog, &self.bridge.clock).unwrap()).await.unwrap();
    }

    pub async fn state(&self, id: Id) -> String {
        self.bridge.ledger.assignment(id, &None, true).await.unwrap().unwrap().row.state
    }
}

/// An order whose call was made.
pub struct Sent {
    pub assignment: Id,
    pub errand: Id,
}

/// Of one application.
pub struct Three {
    pub open: Sent,
    pub parked: Sent,
    pub unclear: Sent,
}

/// What [`Bed::filled`] made.
pub struct Filled {
    pub sales: Three,
    pub lims: Three,
    pub quarantined: String,
}

/// An order as the sandbox's platform writes it.
pub fn document(n: u32, application: &str) -> String {
    let person = |id: &str, name: &str| json!({"id": id, "name": name, "email": format!("{id}@company.example")});
    let approved = NOW.plus_secs(-3600).iso();
    json!({"data": {
        "id": format!("REQ-{application}-{n}"),
        "operation": "add",
        "status": "approved",
        "application": {"id": application, "name": format!("The {application}")},
        "entitlement": {"id": format!("role-{n}"), "name": format!("Role {n} of {application}")},
        "beneficiary": person(&format!("P{n}"), "Bea Neff"),
        "requester": person("PR", "Rex Quest"),
        "approvals": [{"approver": person("PA", "Ann Prove"), "decidedAt": approved}],
        "requestedAt": NOW.plus_secs(-7200).iso(),
        "approvedAt": approved,
        "urgency": "P3",
        "justification": "because of Zoe",
        "updatedAt": approved,
    }})
    .to_string()
}
