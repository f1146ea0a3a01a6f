//! The PostgreSQL server of this test run: a fresh database for every test.

use std::sync::atomic::{AtomicU32, Ordering};

use lastmile::ledger::{Ledger as _, Mode, SqlLedger};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};
use tokio::sync::OnceCell;

pub use super::server::Server as Postgres;

/// The database that others are copies of.
const TEMPLATE: &str = "migrated";

/// What is not there after a power cut need not be there.
const INITDB: &str = "--locale-provider=icu --icu-locale=en --no-sync";
const SETTINGS: &str = "-c fsync=off -c max_connections=300 -c shared_buffers=64MB -c logging_collector=off";

static SHARED: OnceCell<Result<Postgres, String>> = OnceCell::const_new();
static DATABASES: AtomicU32 = AtomicU32::new(0);

impl Postgres {
    /// The server of this run; words why there is none.
    pub async fn shared() -> Result<&'static Self, &'static str> {
        let make = || async {
            let server = Self::start()?;
            server.make(TEMPLATE, "template1").await;
            let ledger = SqlLedger::open(&server.url(TEMPLATE), "test", Mode::Serve).await.map_err(|e| e.to_string())?;
            ledger.close().await;
            Ok(server)
        };
        SHARED.get_or_init(make).await.as_ref().map_err(String::as_str)
    }

    /// A server of one's own, for tests that stop it.
    pub fn start() -> Result<Self, String> {
        Self::launch(&std::env::temp_dir(), INITDB, SETTINGS)
    }

    /// A database with the newest schema and nothing in it.
    pub async fn database(&self) -> String {
        let name = format!("t{}", DATABASES.fetch_add(1, Ordering::Relaxed));
        self.make(&name, TEMPLATE).await;
        self.url(&name)
    }

    /// A database as a copy of another.
    pub async fn make(&self, name: &str, template: &str) {
        let mut connection = connect(&self.url("postgres")).await;
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name} TEMPLATE {template}"))).await.unwrap();
        connection.close().await.unwrap();
    }
}

/// A connection beside the ledger's own.
pub async fn connect(url: &str) -> PgConnection {
    let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
    options.extra_float_digits(None).disable_statement_logging().connect().await.unwrap()
}
