//! Request Tracker 5, really: its packages, its database, its web server, a sink for its webhooks.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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
use tokio::sync::{Mutex, mpsc};

/// Key of RT's webhooks.
pub const HOOK_SECRET: &str = "hook-secret-of-rt";

/// A running Request Tracker with queues SAP, Network, Database and the admin `alice`. Dropping it stops it.
pub struct Rt {
    /// Its address.
    pub url: String,
    /// Folder with `token` (of the account `itsm-bridge`) and `hook` (the webhook secret): a configuration folder.
    pub folder: tempfile::TempDir,
    client: HttpClient,
    hooks: Mutex<mpsc::UnboundedReceiver<Inbound>>,
    sink: tokio::task::JoinHandle<()>,
}

impl Drop for Rt {
    fn drop(&mut self) {
        self.sink.abort();
        let down = scripts().join("down.sh");
        let _ = Command::new("bash").arg(down).arg(self.folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

impl Rt {
    /// Starts it; its webhooks go to [`Rt::hook`], or to `hook_url` where one is given. `Err`: why it cannot run here.
    pub async fn start(hook_url: Option<String>) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("lastmile-rt-").tempdir().map_err(|e| e.to_string())?;
        let (sender, hooks) = mpsc::unbounded_channel();
        let (sink_url, sink) = sink(sender).await;
        let (port, pg_port) = (free_port(), free_port());
        let mut up = tokio::process::Command::new("bash");
        up.arg(scripts().join("up.sh")).arg(folder.path()).kill_on_drop(true);
        up.env("RT_PORT", port.to_string()).env("RT_PGPORT", pg_port.to_string());
        up.env("RT_WEBHOOK_URL", hook_url.unwrap_or(sink_url)).env("RT_WEBHOOK_SECRET", HOOK_SECRET);
        let url = format!("http://127.0.0.1:{port}");
        let client = HttpClient::new(ClientSettings::for_edge("rt-by-hand")).unwrap();
        let rt = Self { url, folder, client, hooks: Mutex::new(hooks), sink };
        let log = std::fs::File::create(rt.folder.path().join("up.log")).map_err(|e| e.to_string())?;
        up.stdout(log.try_clone().map_err(|e| e.to_string())?).stderr(log).stdin(Stdio::null());
        let ended = tokio::time::timeout(Duration::from_secs(900), up.status()).await;
        let said = std::fs::read_to_string(rt.folder.path().join("up.log")).unwrap_or_default();
        let last = said.lines().last().unwrap_or("nothing was said").to_owned();
        match ended {
            Ok(Ok(status)) if status.success() => {}
            Ok(Ok(status)) if status.code() == Some(3) => return Err(last),
            other => panic!("Request Tracker did not start ({other:?}):\n{said}"),
        }
        std::fs::write(rt.folder.path().join("hook"), HOOK_SECRET).unwrap();
        Ok(rt)
    }

    /// The shipped declaration, pointed at this Request Tracker.
    pub fn declaration(&self) -> String {
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/desks/request-tracker.toml");
        std::fs::read_to_string(shipped)
            .unwrap()
            .replace("https://rt.example.com", &self.url)
            .replace("{ env = \"RT_TOKEN\" }", "{ file = \"token\" }")
            .replace("{ env = \"RT_WEBHOOK_SECRET\" }", "{ file = \"hook\" }")
    }

    /// The declared desk.
    pub fn desk(&self) -> Arc<dyn Desk> {
        let file = ConfigFile::from_text(Path::new("desks/rt.toml"), &self.declaration());
        let edge = EdgeFile { kind: "rest".to_owned(), file };
        lastmile::desk::build("rt", &edge, self.folder.path()).unwrap_or_else(|problems| panic!("{problems:?}"))
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

    /// All tickets that the bridge's account created, whatever their key.
    pub async fn tickets_of_the_bridge(&self) -> usize {
        let path = "/tickets?per_page=100&query=Creator%20%3D%20%27itsm-bridge%27";
        // Alice sees her own queue only; root sees all.
        let answer = self.person("root:rt-root-pass-1", "GET", path, Value::Null).await.json().unwrap();
        answer["items"].as_array().unwrap().len()
    }

    /// RT's next webhook, raw as it came.
    pub async fn hook(&self) -> Inbound {
        let mut hooks = self.hooks.lock().await;
        tokio::time::timeout(Duration::from_secs(30), hooks.recv()).await.expect("RT sends a webhook").unwrap()
    }
}

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/desks/request-tracker")
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

async fn sink(sender: mpsc::UnboundedSender<Inbound>) -> (String, tokio::task::JoinHandle<()>) {
    let router = Router::new().route("/hook", post(receive)).with_state(sender);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let serve = async move {
        let _ = axum::serve(listener, router).await;
    };
    (url, tokio::spawn(serve))
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
