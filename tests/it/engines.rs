//! One contract, two engines: modules that `main.rs` includes twice get their ledger here, in a file or on PostgreSQL.

use lastmile::ledger::{Mode, SqlLedger};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, Row as _, SqliteConnection};

use crate::real::postgres::{Postgres, connect};
use crate::real::skipped;

/// A place for one ledger.
pub struct Place {
    /// Its address.
    pub url: String,
    _folder: tempfile::TempDir,
}

impl Place {
    /// On the engine that the name of the module asks for.
    pub async fn of(module: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut url = format!("sqlite:{}", folder.path().join("ledger.db").display());
        if on_postgres(module) {
            match Postgres::shared().await {
                Ok(server) => url = server.database().await,
                Err(why) => skipped(why),
            }
        }
        Self { url, _folder: folder }
    }

    /// Opens the ledger.
    pub async fn open(&self) -> SqlLedger {
        SqlLedger::open(&self.url, "test", Mode::Serve).await.unwrap()
    }

    /// Opens it as a command does that reads beside a server.
    pub async fn reader(&self) -> SqlLedger {
        SqlLedger::open(&self.url, "test", Mode::Read).await.unwrap()
    }

    /// Opens it as a command does that compares everything with everything.
    pub async fn still(&self) -> SqlLedger {
        SqlLedger::open(&self.url, "test", Mode::ReadStill).await.unwrap()
    }

    /// From now on a server notes what it is told about this ledger, by whoever connects then.
    pub async fn overhear(&self) {
        self.run(&format!("ALTER DATABASE {} SET log_statement = 'all'", self.name())).await;
    }

    /// What its server has noted so far, a round trip each.
    pub async fn overheard(&self) -> Vec<String> {
        let log = std::fs::read_to_string(Postgres::shared().await.unwrap().folder.join("log")).unwrap();
        let said = |line: &str| line.split_once("LOG:  execute ").map(|(_, said)| said.to_owned());
        log.lines().filter_map(said).collect()
    }

    fn file(&self) -> &str {
        self.url.trim_start_matches("sqlite:")
    }

    /// Copies the ledger while nobody serves it.
    pub async fn back_up(&self) {
        if self.is_postgres() {
            let name = self.name();
            Postgres::shared().await.unwrap().make(&format!("{name}_backup"), name).await;
        } else {
            std::fs::copy(self.file(), format!("{}.backup", self.file())).unwrap();
        }
    }

    /// The copy takes the ledger's place.
    pub async fn restore(&self) {
        if self.is_postgres() {
            let (server, name) = (Postgres::shared().await.unwrap(), self.name());
            let drop = AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"));
            connect(&server.url("postgres")).await.execute(drop).await.unwrap();
            server.make(name, &format!("{name}_backup")).await;
        } else {
            for tail in ["-wal", "-shm"] {
                let _ = std::fs::remove_file(format!("{}{tail}", self.file()));
            }
            std::fs::copy(format!("{}.backup", self.file()), self.file()).unwrap();
        }
    }

    /// Name of the database.
    fn name(&self) -> &str {
        self.url.split(['/', '?']).nth(3).unwrap()
    }

    /// Whether a server keeps it.
    pub fn is_postgres(&self) -> bool {
        lastmile::ledger::is_postgres(&self.url)
    }

    /// One value, asked beside the ledger.
    pub async fn text(&self, sql: &str) -> String {
        let sql = AssertSqlSafe(format!("SELECT CAST(({sql} LIMIT 1) AS TEXT)"));
        if self.is_postgres() {
            return connect(&self.url).await.fetch_one(sql).await.unwrap().get(0);
        }
        SqliteConnection::connect(&self.url).await.unwrap().fetch_one(sql).await.unwrap().get(0)
    }

    /// Changes something behind the ledger's back.
    pub async fn run(&self, sql: &str) {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.is_postgres() {
            connect(&self.url).await.execute(sql).await.unwrap();
        } else {
            SqliteConnection::connect(&self.url).await.unwrap().execute(sql).await.unwrap();
        }
    }
}

/// Modules for PostgreSQL say so in their names.
pub fn on_postgres(module: &str) -> bool {
    module.contains("_on_postgres")
}
