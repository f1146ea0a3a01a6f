//! A PostgreSQL server for figures: on the disk, with flushes.

#[path = "../../../tests/it/real/server.rs"]
mod launched;

use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection};

pub use launched::Server;

/// What Linux tells processor time in, a second.
const TICKS: f64 = 100.0;

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

    /// Processor time of the server and its children so far, those that ended among them, seconds.
    pub fn processor_s(&self) -> anyhow::Result<f64> {
        let pid = std::fs::read_to_string(self.folder.join("data/postmaster.pid"))?;
        let pid = pid.lines().next().context("no process")?;
        let mut ticks = 0;
        for process in std::fs::read_dir("/proc")?.flatten() {
            // It may have ended meanwhile, and is then counted with its parent.
            let Ok(stat) = std::fs::read_to_string(process.path().join("stat")) else { continue };
            // The name, in parentheses, may hold blanks. Behind it: state, parent, …, user and system time, those of children.
            let Some((_, fields)) = stat.rsplit_once(") ") else { continue };
            let fields: Vec<&str> = fields.split(' ').collect();
            let itself = process.file_name().to_str() == Some(pid);
            if itself || fields.get(1) == Some(&pid) {
                let times = fields.iter().skip(11).take(if itself { 4 } else { 2 });
                ticks += times.filter_map(|n| n.parse::<u32>().ok()).sum::<u32>();
            }
        }
        Ok(f64::from(ticks) / TICKS)
    }

    /// Waits until its own upkeep is done, for at most two minutes.
    pub async fn come_to_rest(&self) -> anyhow::Result<()> {
        let mut connection = self.connect("postgres").await?;
        // It looks once a minute for what is to be done, and is at it for a while.
        for _ in 0..120 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let at_work = "SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'";
            if sqlx::query_scalar::<_, i64>(at_work).fetch_one(&mut connection).await? == 0 {
                break;
            }
        }
        connection.execute("CHECKPOINT").await?;
        connection.close().await?;
        Ok(())
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
