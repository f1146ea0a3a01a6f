//! What a trial runs between: fakes that forget everything after each trial, and a ledger that is copied, not made.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use lastmile::bridge::{self, Bridge};
use lastmile::catalog::Catalog;
use lastmile::flow::Setup;
use lastmile::model::clock::FakeClock;
use lastmile::model::{Clock, Timestamp};
use lastmile::sandbox::server::USER;
use lastmile::sandbox::{DeskKind, Faults, PlatformFaults, SandboxDesk, SandboxPlatform, config};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _};

use crate::program::keep_strangers_out;
use crate::real::postgres::{Postgres, connect};

/// What keeps the ledger.
#[derive(Debug, Clone, Copy)]
pub enum Engine {
    Sqlite,
    Postgres(&'static Postgres),
}

impl Engine {
    /// SQLite, and PostgreSQL where there is one.
    pub async fn all() -> Vec<Self> {
        match Postgres::shared().await {
            Ok(server) => vec![Self::Sqlite, Self::Postgres(server)],
            Err(why) => {
                crate::real::skipped(why);
                vec![Self::Sqlite]
            }
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::Postgres(_) => "PostgreSQL",
        }
    }
}

/// Databases of trials have names of their own.
static SITES: AtomicU32 = AtomicU32::new(0);

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
    engine: Engine,
    /// Of this site's databases.
    name: String,
    folder: tempfile::TempDir,
    catalog: Catalog,
    /// Desk and source with their clients: making these costs more than a trial. Their connections die with each life.
    edges: Setup,
    trials: u32,
}

impl Site {
    pub async fn new(level: Level, engine: Engine) -> Self {
        let clock = Arc::new(FakeClock::at(Timestamp(1_795_000_000_000)));
        let time: Arc<dyn Clock> = clock.clone();
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let platform = SandboxPlatform::start(time.clone(), None, listen, Arc::new(PlatformFaults::default()), 1).await.unwrap();
        let desk = SandboxDesk::start(level.kind(), time.clone(), Arc::new(Faults::seeded(1)), None, listen).await.unwrap();
        let folder = in_memory();
        write_configuration(folder.path(), level, platform.url(), desk.url());
        keep_strangers_out(&folder.path().join("config"), &[&desk]);
        let catalog = Catalog::load(&folder.path().join("config")).unwrap();
        let edges = bridge::setup(catalog.clone(), &time).unwrap();
        let name = format!("trials_{}", SITES.fetch_add(1, Ordering::Relaxed));
        let site = Self { level, clock, platform, desk, engine, name, folder, catalog, edges, trials: 0 };
        if let Engine::Postgres(server) = engine {
            server.make(&site.database(None), "migrated").await;
        }
        // The ledger that every trial begins with.
        site.open_at(site.address(None)).await.close().await;
        site
    }

    /// File of a trial's ledger; none: of the one that every trial begins with.
    fn file(&self, trial: Option<u32>) -> PathBuf {
        self.folder.path().join(trial.map_or("template.db".to_owned(), |n| format!("{n}.db")))
    }

    /// The same on a server.
    fn database(&self, trial: Option<u32>) -> String {
        trial.map_or(self.name.clone(), |n| format!("{}_{n}", self.name))
    }

    fn address(&self, trial: Option<u32>) -> String {
        match self.engine {
            Engine::Sqlite => format!("sqlite:{}", self.file(trial).display()),
            Engine::Postgres(server) => server.url(&self.database(trial)),
        }
    }

    /// A copy of the first ledger; the last trial's goes.
    fn fresh_ledger(&mut self) {
        let old = self.trials;
        self.trials += 1;
        match self.engine {
            Engine::Sqlite => {
                let old = self.file(Some(old)).display().to_string();
                for tail in ["", "-wal", "-shm", ".lock"] {
                    drop(std::fs::remove_file(format!("{old}{tail}")));
                }
                std::fs::copy(self.file(None), self.file(Some(self.trials))).unwrap();
            }
            Engine::Postgres(server) => {
                let drop = AssertSqlSafe(format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.database(Some(old))));
                let (name, template) = (self.database(Some(self.trials)), self.database(None));
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
                    let mut connection = connect(&server.url("postgres")).await;
                    connection.execute(drop).await.unwrap();
                    connection.close().await.unwrap();
                    server.make(&name, &template).await;
                });
            }
        }
    }

    /// Everything as on the first day, but for the time.
    pub fn begin(&mut self, lag_ms: i64) {
        self.fresh_ledger();
        self.platform.state().forget_all();
        self.platform.faults().forget_answers.store(0, Ordering::SeqCst);
        self.desk.forget_late();
        self.desk.state().forget_all();
        self.desk.faults().set(Vec::new());
        self.desk.faults().set_search_lag_ms(lag_ms);
    }

    /// The bridge on this trial's ledger, as after a start.
    pub async fn open(&self) -> Bridge {
        self.open_at(self.address(Some(self.trials))).await
    }

    async fn open_at(&self, ledger: String) -> Bridge {
        let mut catalog = self.catalog.clone();
        catalog.main.ledger.url = ledger;
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
            _ if path == own => text
                .replace("index_lag = \"5s\"", "index_lag = \"5m\"")
                .replace("max_processing = \"5s\"", "max_processing = \"2m\""),
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
        .replace("timeout = \"30s\"", "timeout = \"5s\"\nmax_processing = \"2m\"")
}
