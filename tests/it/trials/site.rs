//! What a trial runs between: fakes that forget everything after each trial, and a ledger that is copied, not made.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lastmile::bridge::{self, Bridge};
use lastmile::catalog::Catalog;
use lastmile::flow::Setup;
use lastmile::model::clock::FakeClock;
use lastmile::model::{Clock, Timestamp};
use lastmile::sandbox::server::{TOKEN, USER};
use lastmile::sandbox::{DeskKind, Faults, PlatformFaults, SandboxDesk, SandboxPlatform, config};

/// What a desk lets us promise (docs/guarantees.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Jira, whose search lags.
    D1,
    /// `ServiceNow`, whose query reads the table.
    D2,
    /// A declared desk that takes an idempotency key.
    D3,
}

impl Level {
    pub const ALL: [Self; 3] = [Self::D1, Self::D2, Self::D3];

    /// Name of its desk.
    pub fn desk(self) -> &'static str {
        match self {
            Self::D1 => "jira",
            Self::D2 => "servicenow",
            Self::D3 => "idempotent",
        }
    }

    fn kind(self) -> DeskKind {
        match self {
            Self::D1 => DeskKind::JiraCloud,
            Self::D2 => DeskKind::ServiceNow,
            Self::D3 => DeskKind::Zammad,
        }
    }
}

/// Platform, desk and configuration of one level; trials follow one another on it.
pub struct Site {
    pub level: Level,
    pub clock: Arc<FakeClock>,
    pub platform: SandboxPlatform,
    pub desk: SandboxDesk,
    folder: tempfile::TempDir,
    catalog: Catalog,
    /// Desk and source with their clients: making these costs more than a trial. Their connections die with each life.
    edges: Setup,
    trials: u32,
}

impl Site {
    pub async fn new(level: Level) -> Self {
        let clock = Arc::new(FakeClock::at(Timestamp(1_795_000_000_000)));
        let time: Arc<dyn Clock> = clock.clone();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let platform = SandboxPlatform::start(time.clone(), None, listen, Arc::new(PlatformFaults::default()), 1).await.unwrap();
        let desk = SandboxDesk::start(level.kind(), time.clone(), Arc::new(Faults::seeded(1)), None, listen).await.unwrap();
        let folder = in_memory();
        write_configuration(folder.path(), level, platform.url(), desk.url());
        let catalog = Catalog::load(&folder.path().join("config")).unwrap();
        let edges = bridge::setup(catalog.clone(), &time).unwrap();
        let site = Self { level, clock, platform, desk, folder, catalog, edges, trials: 0 };
        // The ledger that every trial begins with.
        site.open_at(&site.template()).await.close().await;
        site
    }

    fn template(&self) -> PathBuf {
        self.folder.path().join("template.db")
    }

    fn ledger(&self) -> PathBuf {
        self.folder.path().join(format!("{}.db", self.trials))
    }

    /// Everything as on the first day, but for the time.
    pub fn begin(&mut self, lag_ms: i64) {
        for tail in ["", "-wal", "-shm", ".lock"] {
            drop(std::fs::remove_file(self.folder.path().join(format!("{}.db{tail}", self.trials))));
        }
        self.trials += 1;
        std::fs::copy(self.template(), self.ledger()).unwrap();
        self.platform.state().forget_all();
        self.platform.faults().forget_answers.store(0, Ordering::SeqCst);
        self.desk.state().forget_all();
        self.desk.faults().set(Vec::new());
        self.desk.faults().set_search_lag_ms(lag_ms);
    }

    /// The bridge on this trial's ledger, as after a start.
    pub async fn open(&self) -> Bridge {
        self.open_at(&self.ledger()).await
    }

    async fn open_at(&self, ledger: &Path) -> Bridge {
        let mut catalog = self.catalog.clone();
        catalog.main.ledger.url = format!("sqlite:{}", ledger.display());
        let clock: Arc<dyn Clock> = self.clock.clone();
        let (planner, desks, sources) = (self.edges.planner.clone(), self.edges.desks.clone(), self.edges.sources.clone());
        let setup = Setup { catalog: Arc::new(catalog), planner, sources, desks };
        Bridge::open(setup, clock, false).await.unwrap()
    }
}

/// A folder in memory where there is one: `kill -9` asks nothing of a disk.
pub fn in_memory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

/// What the one desk needs: every application goes to it.
fn write_configuration(folder: &Path, level: Level, platform: &str, desk: &str) {
    let own = format!("desks/{}.toml", level.desk());
    for (path, text) in config::files(platform, desk, desk, "127.0.0.1:0") {
        let text = match path.as_str() {
            "lastmile.toml" => text.replace("desk = \"jira\"", &format!("desk = \"{}\"", level.desk())),
            "admin-groups.toml" => "[access-desk]\nname = \"Access Desk\"\n".to_owned(),
            _ if path == own => text.replace("index_lag = \"5s\"", "index_lag = \"5m\""),
            _ if ["applications/", "desks/", "calendars/pune"].iter().any(|other| path.starts_with(other)) => continue,
            _ => text,
        };
        config::write(&folder.join("config"), &path, &text).unwrap();
    }
    if level == Level::D3 {
        config::write(&folder.join("config"), &own, &idempotent(desk)).unwrap();
    }
}

/// The shipped declaration of Zammad, on a fake that honours an idempotency key, as no Zammad does.
fn idempotent(url: &str) -> String {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/desks/zammad.toml");
    std::fs::read_to_string(shipped)
        .unwrap()
        .replace("https://zammad.example.com", url)
        .replace("lastmile@example.com", USER)
        .replace("{ env = \"ZAMMAD_TOKEN\" }", "{ file = \"secrets/desk\" }")
        .replace("{ env = \"ZAMMAD_WEBHOOK_TOKEN\" }", "{ file = \"secrets/desk\" }")
        .replace("\nprefix = \"/api/v1\"", "\nprefix = \"/api/v1\"\ncreate_is_idempotent = true")
        .replace("[operations.create]\n", "[operations.create]\nheaders = { Idempotency-Key = \"{{key}}\" }\n")
        .replace("timeout = \"30s\"", "timeout = \"5s\"")
}

/// The token of the fakes is the one that the configuration names.
#[test]
fn the_sandbox_lets_the_trials_in() {
    let secrets = config::files("", "", "", "").into_iter().find(|(path, _)| path == "secrets/desk").unwrap().1;
    assert_eq!(secrets.trim(), TOKEN);
}
