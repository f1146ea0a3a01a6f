//! The ledger on a PostgreSQL server: any number of equal serving processes, each with writers that share commits and
//! readers beside them. A write that meets another's is done again.

mod inspect;
mod pooler;
mod replicas;

use std::str::FromStr;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Executor as _};

use super::engine::{Conn, Pool};
use super::{LedgerError, LedgerResult};

pub use inspect::Inspected;

/// Writers of one process: while one waits for the disk, the others gather the next commits.
const WRITERS: usize = 4;
const READERS: u32 = 4;
/// Longest wait for a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// What every connection says first. Session settings, not start-up ones: a pooler passes them on.
const SETTINGS: &str = "SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '30s'; SET lock_timeout = '15s'";

/// A server, as it was opened.
#[derive(Debug)]
pub(super) struct Postgres {
    door: Door,
    /// What replicas say to each other.
    notes: PgPool,
}

/// How connections are made.
#[derive(Debug, Clone)]
pub(super) struct Door {
    options: PgConnectOptions,
}

impl Door {
    /// Reads the address; the password comes from elsewhere, or is asked of `~/.pgpass` or `PGPASSWORD`.
    pub(super) fn new(url: &str, password: Option<&SecretString>) -> LedgerResult<Self> {
        // The address may hold a password: its own words are not repeated.
        let unread =
            |_| LedgerError::Unfit("[ledger] url is no address of the form postgres://user@host:5432/database".to_owned());
        let mut options = PgConnectOptions::from_str(url).map_err(unread)?;
        if let Some(password) = password {
            options = options.password(password.expose_secret());
        }
        // Poolers refuse start-up settings that they do not know.
        let options = options.extra_float_digits(None).application_name("lastmile").statement_cache_capacity(300);
        Ok(Self { options: options.disable_statement_logging() })
    }

    /// A connection of any kind.
    async fn connection(&self) -> LedgerResult<PgConnection> {
        let late = || LedgerError::Unavailable(format!("{} does not answer within 5 s", self.shown()));
        let connecting = tokio::time::timeout(CONNECT_WITHIN, self.options.connect());
        let mut connection = connecting.await.map_err(|_| late())??;
        connection.execute(SETTINGS).await?;
        Ok(connection)
    }

    /// A connection whose commits are on disk when they return.
    pub(super) async fn writer(&self) -> LedgerResult<Conn> {
        let mut connection = self.connection().await?;
        let (level,): (String,) = sqlx::query_as("SHOW synchronous_commit").fetch_one(&mut connection).await?;
        // Stronger than asked for is left as it is.
        if !matches!(level.as_str(), "on" | "remote_apply") {
            connection.execute("SET synchronous_commit = on").await?;
        }
        let (read_only,): (String,) = sqlx::query_as("SHOW transaction_read_only").fetch_one(&mut connection).await?;
        if read_only == "on" {
            return Err(LedgerError::Unavailable(format!("{} is a standby: it only reads", self.shown())));
        }
        Ok(Conn::Postgres(connection))
    }

    /// Host, port and database: no user, no password.
    pub(super) fn shown(&self) -> String {
        let (host, port) = (self.options.get_host(), self.options.get_port());
        format!("{host}:{port}/{}", self.options.get_database().unwrap_or_default())
    }
}

impl Postgres {
    /// Opens it: connections that write (one where it is only read), and readers.
    pub(super) async fn open(url: &str, password: Option<SecretString>, serving: bool) -> LedgerResult<(Self, Vec<Conn>, Pool)> {
        let door = Door::new(url, password.as_ref())?;
        let mut first = door.connection().await?;
        pooler::refuse_transaction_pooling(&door, &mut first).await?;
        refuse_newer(&mut first).await?;
        let mut writers = Vec::new();
        if serving {
            MIGRATIONS.run(&mut first).await.map_err(|e| LedgerError::Unavailable(format!("migrating {}: {e}", door.shown())))?;
            for _ in 0..WRITERS {
                writers.push(door.writer().await?);
            }
        } else {
            writers.push(Conn::Postgres(first));
        }
        let readers = PgPoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(Duration::from_secs(10))
            .after_connect(|connection, _| {
                Box::pin(async move {
                    connection.execute(SETTINGS).await?;
                    connection.execute("SET default_transaction_read_only = on").await?;
                    Ok(())
                })
            })
            .connect_lazy_with(door.options.clone());
        let notes = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(10))
            .after_connect(|connection, _| Box::pin(async move { connection.execute(SETTINGS).await.map(drop) }))
            .connect_lazy_with(door.options.clone());
        Ok((Self { door, notes }, writers, Pool::Postgres(readers)))
    }

    pub(super) async fn close(&self) {
        self.notes.close().await;
    }

    pub(super) fn door(&self) -> Door {
        self.door.clone()
    }
}

async fn refuse_newer(connection: &mut PgConnection) -> LedgerResult<()> {
    let known = MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0);
    let (there,): (bool,) =
        sqlx::query_as("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(&mut *connection).await?;
    if !there {
        return Ok(());
    }
    let (found,): (Option<i64>,) = sqlx::query_as("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(connection).await?;
    match found {
        Some(found) if found > known => Err(LedgerError::NewerSchema { found, known }),
        _ => Ok(()),
    }
}
