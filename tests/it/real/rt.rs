//! Request Tracker 5, really: its packages, its database, its web server, a sink for its webhooks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::routing::post;
use base64::Engine;
use lastmile::catalog::{ConfigFile, EdgeFile};
use lastmile::desk::Desk;
use lastmile::http::client::ClientSettings;
use lastmile::http::{Answer, Call, HttpClient, Inbound};
use lastmile::model::Clock;
use lastmile::model::clock::SystemClock;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard, OnceCell, mpsc};

/// Key of RT's webhooks.
pub const HOOK_SECRET: &str = "hook-secret-of-rt";

/// A running Request Tracker with queues SAP, Network, Database and the admin `alice`. All tests of the binary share
/// one, one after the other; a watchdog that up.sh leaves behind stops it when the test process is gone.
pub struct Rt {
    /// Its address.
    pub url: String,
    /// Folder with `token` (of the account `itsm-bridge`) and `hook` (the webhook secret): a configuration folder.
    pub folder: PathBuf,
    client: HttpClient,
    hooks: mpsc::UnboundedReceiver<Inbound>,
    ports: (u16, u16),
    hook_url: String,
}

/// The one Request Tracker, or why there is none.
static SHARED: OnceCell<Result<Mutex<Rt>, String>> = OnceCell::const_new();

impl Rt {
    /// The Request Tracker of this test binary, for one test at a time. `Err`: why it cannot run here.
    pub async fn shared() -> Result<MutexGuard<'static, Self>, &'static str> {
        match SHARED.get_or_init(|| async { Self::start().await.map(Mutex::new) }).await {
            Err(why) => Err(why),
            Ok(rt) => {
                let mut rt = rt.lock().await;
                // What the test before has left is not this one's.
                while rt.hooks.try_recv().is_ok() {}
                Ok(rt)
            }
        }
    }

    async fn start() -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("lastmile-rt-").tempdir().map_err(|e| e.to_string())?.keep();
        let (sender, hooks) = mpsc::unbounded_channel();
        let client = HttpClient::new(ClientSettings::for_edge("rt-by-hand")).unwrap();
        let ports = (free_port(), free_port());
        let rt = Self { url: format!("http://127.0.0.1:{}", ports.0), folder, client, hooks, ports, hook_url: sink(sender) };
        rt.up().await?;
        std::fs::write(rt.folder.join("hook"), HOOK_SECRET).unwrap();
        Ok(rt)
    }

    async fn up(&self) -> Result<(), String> {
        let log = std::fs::File::create(self.folder.join("up.log")).map_err(|e| e.to_string())?;
        let mut up = tokio::process::Command::new("bash");
        up.arg(scripts().join("up.sh")).arg(&self.folder).kill_on_drop(true);
        up.env("RT_PORT", self.ports.0.to_string()).env("RT_PGPORT", self.ports.1.to_string());
        up.env("RT_WEBHOOK_URL", &self.hook_url).env("RT_WEBHOOK_SECRET", HOOK_SECRET);
        up.env("RT_OWNER", std::process::id().to_string());
        up.stdout(log.try_clone().map_err(|e| e.to_string())?).stderr(log).stdin(Stdio::null());
        let ended = tokio::time::timeout(Duration::from_secs(900), up.status()).await;
        let said = std::fs::read_to_string(self.folder.join("up.log")).unwrap_or_default();
        match ended {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) if status.code() == Some(3) => Err(said.lines().last().unwrap_or("nothing was said").to_owned()),
            other => panic!("Request Tracker did not start ({other:?}):\n{said}"),
        }
    }

    /// Stops its web server and its database, as for an upgrade.
    pub async fn stop(&self) {
        let mut down = tokio::process::Command::new("bash");
        down.arg(scripts().join("down.sh")).arg(&self.folder).stdout(Stdio::null()).stderr(Stdio::null());
        assert!(down.status().await.unwrap().success());
    }

    /// Starts it again where it was.
    pub async fn start_again(&self) {
        self.up().await.unwrap();
    }

    /// The shipped declaration, pointed at this Request Tracker, or at `url` in front of it.
    pub fn declaration(&self, url: &str) -> String {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/desks/request-tracker.toml");
        std::fs::read_to_string(shipped)
            .unwrap()
            .replace("https://rt.example.com", url)
            .replace("{ env = \"RT_TOKEN\" }", "{ file = \"token\" }")
            .replace("{ env = \"RT_WEBHOOK_SECRET\" }", "{ file = \"hook\" }")
    }

    /// The declared desk.
    pub fn desk(&self) -> Arc<dyn Desk> {
        let file = ConfigFile::from_text(Path::new("desks/rt.toml"), &self.declaration(&self.url));
        let edge = EdgeFile { kind: "rest".to_owned(), file };
        lastmile::desk::build("rt", &edge, &self.folder).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    /// What alice does in RT, through REST with her own password.
    pub async fn alice(&self, method: &'static str, path: &str, body: Value) -> Answer {
        self.person("alice:alice-pass-1", method, path, body).await
    }

    async fn person(&self, login: &str, method: &'static str, path: &str, body: Value) -> Answer {
        let pair = base64::engine::general_purpose::STANDARD.encode(login);
        let call = Call::new(method, format!("{}/REST/2.0{path}", self.url)).header("authorization", format!("Basic {pair}"));
        let call = if method == "GET" { call } else { call.json(body) };
        self.client.send(call).await.unwrap()
    }

    /// All tickets that the bridge's account created, whatever their key, newest last.
    pub async fn tickets_of_the_bridge(&self) -> Vec<Value> {
        let query = "query=Creator%20%3D%20%27itsm-bridge%27&fields=Subject,Status,Queue&fields%5BQueue%5D=Name";
        // Alice sees her own queue only; root sees all.
        let path = format!("/tickets?per_page=100&orderby=id&{query}");
        let answer = self.person("root:rt-root-pass-1", "GET", &path, Value::Null).await.json().unwrap();
        assert!(answer["pages"].as_f64().unwrap() <= 1.0, "one page holds them all");
        answer["items"].as_array().unwrap().clone()
    }

    /// RT's next webhook, raw as it came.
    pub async fn hook(&mut self) -> Inbound {
        tokio::time::timeout(Duration::from_secs(30), self.hooks.recv()).await.expect("RT sends a webhook").unwrap()
    }

    /// A webhook that has arrived already.
    pub fn hook_at_hand(&mut self) -> Option<Inbound> {
        self.hooks.try_recv().ok()
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/desks/request-tracker")
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Takes RT's webhooks, on a thread of its own: the runtimes of single tests come and go.
fn sink(sender: mpsc::UnboundedSender<Inbound>) -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, Router::new().route("/hook", post(receive)).with_state(sender)).await.unwrap();
        });
    });
    url
}

async fn receive(State(sender): State<mpsc::UnboundedSender<Inbound>>, headers: HeaderMap, body: Bytes) {
    let text = |v: &axum::http::HeaderValue| String::from_utf8_lossy(v.as_bytes()).into_owned();
    let inbound = Inbound {
        method: "POST".to_owned(),
        path: "/hook".to_owned(),
        query: BTreeMap::new(),
        headers: headers.iter().map(|(n, v)| (n.as_str().to_owned(), text(v))).collect(),
        body: body.to_vec(),
        peer: None,
        client_certificate: None,
        received_at: SystemClock.now(),
    };
    // The test may be over already.
    let _ = sender.send(inbound);
}
