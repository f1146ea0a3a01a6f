//! The whole way through a real Request Tracker: a signed webhook becomes a ticket in the admin group's queue, an admin
//! ends it in RT, and the platform hears how. Tickets are counted in RT's own list of everything our account created.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lastmile::bridge::{self, Bridge};
use lastmile::catalog::Catalog;
use lastmile::http::client::{Body, ClientSettings};
use lastmile::http::{Call, HttpClient};
use lastmile::model::Clock;
use lastmile::model::clock::SystemClock;
use lastmile::runtime::telemetry;
use lastmile::sandbox::{PlatformFaults, SandboxPlatform, company, config};
use lastmile::web;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::rt::Rt;
use crate::orders;

const LOOPBACK: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// A served bridge between the sandbox platform and a real Request Tracker.
struct Stage {
    platform: SandboxPlatform,
    bridge: Bridge,
    url: String,
    client: HttpClient,
    server: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Stage {
    async fn new(rt: &Rt, rt_url: &str, sync_every: &str) -> Self {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let faults = Arc::new(PlatformFaults::default());
        let platform = SandboxPlatform::start(clock.clone(), None, SocketAddr::from(LOOPBACK), faults, 1).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files(rt, rt_url, platform.url(), sync_every) {
            let place = folder.path().join(path);
            std::fs::create_dir_all(place.parent().unwrap()).unwrap();
            std::fs::write(place, text).unwrap();
        }
        let mut catalog = Catalog::load(folder.path()).unwrap();
        catalog.main.ledger.url = format!("sqlite:{}", folder.path().join("ledger.db").display());
        let bridge = Bridge::open(bridge::setup(catalog, &clock).unwrap(), clock, false).await.unwrap();
        let listener = TcpListener::bind(SocketAddr::from(LOOPBACK)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = web::router(bridge.web(telemetry::metrics_handle(), true, None));
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        bridge.runtime.start();
        let client = HttpClient::new(ClientSettings::for_edge("test")).unwrap();
        Self { platform, bridge, url, client, server, _folder: folder }
    }

    /// An approved order for SAP, delivered as a signed webhook.
    async fn order(&self, n: u64) -> String {
        let mut document = orders::dateless(company::order(1, n, SystemClock.now()));
        document["operation"] = json!("add");
        document["application"] = json!({"id": "sap-erp", "name": "SAP ERP"});
        document["entitlement"] = json!({"id": "Z_FI", "name": "Finance"});
        document["beneficiary"] = company::person(n);
        let id = self.platform.state().place(document, SystemClock.now());
        self.deliver().await;
        id
    }

    async fn deliver(&self) {
        assert_eq!(self.platform.deliver(&format!("{}/hooks/{}", self.url, config::SOURCE)).await, 1);
    }

    /// Hands on what RT sends until `found` gives something.
    async fn until<T>(&self, rt: &mut Rt, what: &str, mut found: impl AsyncFnMut(&Self, &Rt) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            while let Some(hook) = rt.hook_at_hand() {
                let mut call = Call::new("POST", format!("{}/hooks/desk/rt", self.url));
                let kept = hook.headers.into_iter().filter(|(name, _)| name.starts_with("x-"));
                call.headers.extend(kept);
                call.body = Body::Raw("application/json", hook.body);
                assert_eq!(self.client.send(call).await.unwrap().status, 202, "RT's own webhook is authentic");
            }
            if let Some(found) = found(self, rt).await {
                return found;
            }
            assert!(Instant::now() < deadline, "never: {what}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// The id of the `n`-th ticket that our account ever made in RT, once it is there.
    async fn ticket(&self, rt: &mut Rt, n: usize) -> String {
        self.until(rt, "a ticket in RT", async |_, rt| {
            let all = rt.tickets_of_the_bridge().await;
            assert!(all.len() <= n, "one ticket too many: {all:?}");
            let ticket = all.get(n - 1)?;
            assert_eq!(ticket["Queue"]["Name"], "SAP");
            Some(ticket["id"].to_string().trim_matches('"').to_owned())
        })
        .await
    }

    async fn completion(&self, rt: &mut Rt, order: &str) -> Value {
        self.until(rt, "a completion", async |stage, _| stage.platform.state().completions_of(order).pop()).await
    }

    async fn end(self) {
        let counts = self.platform.state().counts();
        assert_eq!((counts.refused, counts.further), (0, 0), "every report was signed, and none came twice");
        assert_eq!(self.bridge.ledger.verify_chains().await.unwrap(), []);
        self.server.abort();
        self.bridge.close().await;
    }
}

fn files(rt: &Rt, rt_url: &str, platform_url: &str, sync_every: &str) -> Vec<(PathBuf, String)> {
    let main = format!(
        "[instance]\nname = \"rt-journey\"\n[defaults]\ndesk = \"rt\"\n[work]\nsync_every = \"{sync_every}\"\n[retry]\nmax = \"2s\"\n"
    );
    let source = format!(
        "kind = \"webhook\"\n[webhook]\nverify = {{ scheme = \"standard-webhooks\", secrets = [{{ file = \"hook-of-the-platform\" }}] }}\n\
         events = \"/data\"\n[report]\nurl = \"{platform_url}/completions\"\nsigning = {{ file = \"report\" }}\n{}",
        config::MAPPING
    );
    let secret = |name: &str| std::fs::read_to_string(rt.folder.join(name)).unwrap();
    let desk = rt.declaration(rt_url);
    [
        ("lastmile.toml", main),
        ("admin-groups.toml", "[sap-erp-admins]\nname = \"SAP\"\n".to_owned()),
        ("sources/iga.toml", source),
        ("desks/rt.toml", desk),
        ("token", secret("token")),
        ("hook", secret("hook")),
        ("hook-of-the-platform", lastmile::sandbox::platform::HOOK_SECRET.to_owned()),
        ("report", lastmile::sandbox::platform::REPORT_SECRET.to_owned()),
    ]
    .map(|(path, text)| (PathBuf::from(path), text))
    .to_vec()
}

async fn ended_by_alice(rt: &Rt, ticket: &str, status: &str, words: &str) {
    ended_with(rt, ticket, status, words, &[]).await;
}

/// With files, each a name and its text.
async fn ended_with(rt: &Rt, ticket: &str, status: &str, words: &str, files: &[(&str, &str)]) {
    let file =
        |(name, text): &(&str, &str)| json!({"FileName": name, "FileType": "text/plain", "FileContent": STANDARD.encode(text)});
    let files: Vec<Value> = files.iter().map(file).collect();
    let body = json!({"Content": words, "ContentType": "text/plain", "Status": status, "Attachments": files});
    let answer = rt.alice("POST", &format!("/ticket/{ticket}/comment"), body).await;
    assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
}

/// News can arrive by RT's webhook only here: the next look at what changed is an hour away.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_travels_through_a_real_request_tracker_and_back() {
    let mut rt = match Rt::shared().await {
        Ok(rt) => rt,
        Err(why) => return super::skipped(why),
    };
    let before = rt.tickets_of_the_bridge().await.len();
    let stage = Stage::new(&rt, &rt.url, "1h").await;

    let order = stage.order(1).await;
    let ticket = stage.ticket(&mut rt, before + 1).await;
    rt.alice("PUT", &format!("/ticket/{ticket}"), json!({"Status": "open", "Owner": "alice"})).await;
    let files = [("screen shot.txt", "Z_FI is there"), ("log.txt", "no errors")];
    ended_with(&rt, &ticket, "resolved", "Role granted – done ✓", &files).await;
    let told = stage.completion(&mut rt, &order).await;
    assert_eq!((&told["outcome"], &told["success"], &told["ticket"]), (&json!("fulfilled"), &json!(true), &json!(ticket)));
    assert_eq!(told["words"], "Role granted – done ✓");
    // Texts are attachments in RT, too: only files are told, and where people find them.
    let evidence: Vec<&str> = told["evidence"].as_array().unwrap().iter().filter_map(|file| file["name"].as_str()).collect();
    assert_eq!(evidence, ["screen shot.txt", "log.txt"], "{}", told["evidence"]);
    for (n, (_, text)) in files.iter().enumerate() {
        let url = told["evidence"][n]["url"].as_str().unwrap();
        let call = Call::new("GET", url).query("user", "alice").query("pass", "alice-pass-1");
        let shown = stage.client.send(call).await.unwrap();
        assert_eq!((shown.status, String::from_utf8_lossy(&shown.body).as_ref()), (200, *text), "{url}");
    }
    assert_eq!((&told["closed_by"]["id"], &told["closed_by"]["name"]), (&json!("alice"), &json!("Alice Admin")));
    let (closed, seen) = (told["closed_at_iso"].as_str().unwrap(), told["seen_at_iso"].as_str().unwrap());
    assert!(closed[..19] <= seen[..19], "RT's time of closing {closed}, ours of learning of it {seen}");

    let refused = stage.order(2).await;
    let ticket = stage.ticket(&mut rt, before + 2).await;
    ended_by_alice(&rt, &ticket, "rejected", "Conflicts with a role the person holds.").await;
    let told = stage.completion(&mut rt, &refused).await;
    assert_eq!((&told["outcome"], &told["success"]), (&json!("rejected"), &json!(false)));
    assert_eq!(told["words"], "Conflicts with a role the person holds.");

    let withdrawn = stage.order(3).await;
    let ticket = stage.ticket(&mut rt, before + 3).await;
    assert!(stage.platform.state().withdraw(&withdrawn, SystemClock.now()));
    stage.deliver().await;
    let told = stage.completion(&mut rt, &withdrawn).await;
    // RT's life cycle has no word for it: the ticket says rejected, the platform hears the truth.
    assert_eq!((&told["outcome"], &told["ticket"]), (&json!("cancelled"), &json!(ticket)));
    assert_eq!(rt.tickets_of_the_bridge().await[before + 2]["Status"], "rejected");
    assert_eq!(rt.tickets_of_the_bridge().await.len(), before + 3);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_tracker_that_is_restarted_in_the_middle_loses_and_doubles_nothing() {
    let mut rt = match Rt::shared().await {
        Ok(rt) => rt,
        Err(why) => return super::skipped(why),
    };
    let before = rt.tickets_of_the_bridge().await.len();
    let stage = Stage::new(&rt, &rt.url, "1s").await;
    let early = stage.order(11).await;
    let first = stage.ticket(&mut rt, before + 1).await;
    rt.stop().await;
    let late = stage.order(12).await;
    stage
        .until(&mut rt, "a call that found nobody", async |stage, _| {
            let shown = stage.client.send(Call::new("GET", format!("{}/api/v1/operations", stage.url))).await.unwrap();
            String::from_utf8_lossy(&shown.body).contains("E-CONNECT").then_some(())
        })
        .await;
    rt.start_again().await;
    let second = stage.ticket(&mut rt, before + 2).await;
    for ticket in [first, second] {
        ended_by_alice(&rt, &ticket, "resolved", "Done.").await;
    }
    for order in [early, late] {
        assert_eq!(stage.completion(&mut rt, &order).await["outcome"], "fulfilled");
    }
    assert_eq!(rt.tickets_of_the_bridge().await.len(), before + 2);
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_of_request_tracker_is_still_one_ticket() {
    let mut rt = match Rt::shared().await {
        Ok(rt) => rt,
        Err(why) => return super::skipped(why),
    };
    let before = rt.tickets_of_the_bridge().await.len();
    let proxy = Proxy::before(&rt.url).await;
    let stage = Stage::new(&rt, &proxy.url, "1h").await;
    for round in 1..=3 {
        proxy.lose_answers.store(1, Ordering::SeqCst);
        let order = stage.order(20 + round).await;
        let ticket = stage.ticket(&mut rt, before + usize::try_from(round).unwrap()).await;
        ended_by_alice(&rt, &ticket, "resolved", "Done.").await;
        let told = stage.completion(&mut rt, &order).await;
        assert_eq!((&told["outcome"], &told["ticket"]), (&json!("fulfilled"), &json!(ticket)));
        assert_eq!(proxy.lose_answers.load(Ordering::SeqCst), 0, "an answer was really lost");
    }
    assert_eq!(rt.tickets_of_the_bridge().await.len(), before + 3);
    stage.end().await;
}

/// A proxy that cuts the connection instead of handing back the answer to a create, as often as it is told.
struct Proxy {
    url: String,
    lose_answers: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    async fn before(url: &str) -> Self {
        let behind = url.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind(SocketAddr::from(LOOPBACK)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let lose_answers = Arc::new(AtomicUsize::new(0));
        let lose = lose_answers.clone();
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (behind, lose) = (behind.clone(), lose.clone());
                tokio::spawn(async move {
                    if let Ok(far) = TcpStream::connect(&behind).await {
                        // Whichever side ends first ends both.
                        let _ = pass(near, far, &lose).await;
                    }
                });
            }
        });
        Self { url, lose_answers, task }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut near: TcpStream, mut far: TcpStream, lose: &AtomicUsize) -> std::io::Result<()> {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    let mut create = false;
    loop {
        tokio::select! {
            read = near.read(&mut asked) => match read? {
                0 => return Ok(()),
                n => {
                    create |= asked[..n].starts_with(b"POST /REST/2.0/ticket HTTP");
                    far.write_all(&asked[..n]).await?;
                }
            },
            read = far.read(&mut answered) => match read? {
                0 => return Ok(()),
                n => {
                    if create && lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                        return Ok(());
                    }
                    create = false;
                    near.write_all(&answered[..n]).await?;
                }
            },
        }
    }
}
