//! A PostgreSQL server for figures: on the disk, with flushes.

#[path = "../../../tests/it/real/server.rs"]
mod launched;

use std::path::Path;

use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};

pub use launched::Server;

/// Nothing that makes it durable is switched off.
const SETTINGS: &str = "-c max_connections=200 -c shared_buffers=512MB -c max_wal_size=8GB";

impl Server {
    /// Starts it; an error where none is installed.
    pub fn start() -> anyhow::Result<Self> {
        Self::launch(Path::new("/var/tmp"), "--locale=C", SETTINGS).map_err(anyhow::Error::msg)
    }

    /// A connection beside the ledger's.
    pub async fn connect(&self, database: &str) -> anyhow::Result<PgConnection> {
        let options: sqlx::postgres::PgConnectOptions = self.url(database).parse()?;
        Ok(options.disable_statement_logging().connect().await?)
    }

    /// A fresh copy of a database.
    pub async fn copy(&self, from: &str, to: &str) -> anyhow::Result<()> {
        let mut connection = self.connect("postgres").await?;
        connection.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {to} WITH (FORCE)"))).await?;
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {to} TEMPLATE {from}"))).await?;
        // What the copying left to write weighs on nobody's round.
        connection.execute("CHECKPOINT").await?;
        connection.close().await?;
        Ok(())
    }
}
