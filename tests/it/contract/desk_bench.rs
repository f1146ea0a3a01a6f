//! A desk of each kind before its fake.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use lastmile::catalog::{ConfigFile, EdgeFile, Problem};
use lastmile::desk::{Desk, build};
use lastmile::model::Timestamp;
use lastmile::model::clock::FakeClock;
use lastmile::model::key::Key;
use lastmile::model::ticket::{Created, Draft};
use lastmile::sandbox::server::{TOKEN, USER};
use lastmile::sandbox::{DeskKind, DeskState, Faults, SandboxDesk};

/// The desks that keep the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    JiraV2DataCenter,
    JiraV3Cloud,
    /// The key in a text field instead of a label.
    JiraKeyInField,
    ServiceNow,
    /// Declared in examples/desks/zammad.toml.
    Zammad,
}

pub const HOOK_SECRET: &str = "hook-secret-of-the-test";

/// A desk, its fake, and the fake's clock.
pub struct Bench {
    pub desk: Arc<dyn Desk>,
    pub server: SandboxDesk,
    pub clock: Arc<FakeClock>,
    pub folder: tempfile::TempDir,
    pub kind: Kind,
}

impl Bench {
    pub async fn new(kind: Kind) -> Self {
        let clock = Arc::new(FakeClock::at(Timestamp(1_795_000_000_000)));
        let played = match kind {
            Kind::JiraV2DataCenter => DeskKind::JiraDataCenter,
            Kind::JiraV3Cloud | Kind::JiraKeyInField => DeskKind::JiraCloud,
            Kind::ServiceNow => DeskKind::ServiceNow,
            Kind::Zammad => DeskKind::Zammad,
        };
        let anywhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let faults = Arc::new(Faults::seeded(1));
        let server = SandboxDesk::start(played, clock.clone(), faults, None, anywhere).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
        std::fs::write(folder.path().join("hook"), HOOK_SECRET).unwrap();
        let desk = desk_from(&settings(kind, server.url()), folder.path()).unwrap();
        Self { desk, server, clock, folder, kind }
    }

    /// The same desk with other credentials or further settings.
    pub fn desk_with(&self, change: impl Fn(String) -> String) -> Result<Arc<dyn Desk>, Vec<Problem>> {
        desk_from(&change(settings(self.kind, self.server.url())), self.folder.path())
    }

    pub fn state(&self) -> &Arc<DeskState> {
        self.server.state()
    }

    pub fn faults(&self) -> &Arc<Faults> {
        self.server.faults()
    }

    pub fn tickets_made(&self) -> u64 {
        self.state().created_by(USER)
    }

    pub async fn create(&self, name: &str) -> Created {
        self.desk.create(&draft(name)).await.unwrap()
    }
}

pub fn key(name: &str) -> Key {
    Key::of("contract", &[name], 1)
}

pub fn draft(name: &str) -> Draft {
    Draft {
        key: key(name),
        admin_group: "SAP Admins".to_owned(),
        summary: format!("Grant role {name}"),
        body: "Please grant **role**.\n\n> {macro} words of a *requester*".to_owned(),
        priority: 1,
        due_at: None,
        fields: Default::default(),
    }
}

pub fn edge(text: &str) -> EdgeFile {
    let file = ConfigFile::from_text(Path::new("desks/it.toml"), text);
    let kind = text.lines().next().and_then(|l| l.split('"').nth(1)).unwrap_or_default().to_owned();
    EdgeFile { kind, file }
}

fn desk_from(text: &str, folder: &Path) -> Result<Arc<dyn Desk>, Vec<Problem>> {
    build("it", &edge(text), folder)
}

/// The shipped declaration with the address and secrets of the fake.
fn zammad(url: &str) -> String {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/desks/zammad.toml");
    let text = std::fs::read_to_string(shipped).unwrap();
    text.lines()
        .skip_while(|line| !line.starts_with("kind"))
        .map(|line| format!("{line}\n"))
        .collect::<String>()
        .replace("https://zammad.example.com", url)
        .replace("lastmile@example.com", USER)
        .replace("{ env = \"ZAMMAD_TOKEN\" }", "{ file = \"token\" }")
        .replace("{ env = \"ZAMMAD_WEBHOOK_TOKEN\" }", "{ file = \"hook\" }")
        .replace("timeout = \"30s\"", "timeout = \"1s\"")
}

pub fn settings(kind: Kind, url: &str) -> String {
    let own = match kind {
        Kind::JiraV2DataCenter => {
            "kind = \"jira\"\ndeployment = \"data_center\"\nproject = \"IAM\"\ncancelled_resolution = \"Cancelled\"\n\
             auth = { bearer = { file = \"token\" } }\nwebhook = { signature = [{ file = \"hook\" }] }\n"
        }
        Kind::JiraV3Cloud => {
            "kind = \"jira\"\napi = \"v3\"\nproject = \"IAM\"\ncancelled_resolution = \"Cancelled\"\n\
             auth = { basic = { user = \"bridge\", password = { file = \"token\" } } }\n\
             webhook = { signature = [{ file = \"hook\" }] }\n"
        }
        Kind::JiraKeyInField => {
            "kind = \"jira\"\nproject = \"IAM\"\ncancelled_resolution = \"Cancelled\"\n\
             auth = { basic = { user = \"bridge\", password = { file = \"token\" } } }\n\
             key_as = { field = \"customfield_10060\" }\nwebhook = { signature = [{ file = \"hook\" }] }\n"
        }
        Kind::Zammad => return zammad(url),
        Kind::ServiceNow => {
            "kind = \"servicenow\"\nauth = { basic = { user = \"bridge\", password = { file = \"token\" } } }\n\
             webhook = { hmac = { secrets = [{ file = \"hook\" }] } }\n"
        }
    };
    format!("{own}url = \"{url}\"\ntimeout = \"1s\"\n")
}
