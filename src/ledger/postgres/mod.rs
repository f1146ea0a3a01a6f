//! The ledger on a PostgreSQL server: any number of equal serving processes, each with writers that share commits and
//! readers beside them. A write that meets another's is done again.

mod hosts;
mod inspect;
mod pooler;
mod replicas;

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::migrate::{Migrate as _, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Executor as _};
use tokio::sync::Notify;

use super::engine::{Conn, Pool};
use super::upgrade::{self, Upgrade};
use super::{LedgerError, LedgerResult, not_newer};

pub use inspect::Inspected;
pub(super) use replicas::Heard;

/// Writers of one process: while one waits for the disk, the others gather the next commits.
const WRITERS: usize = 4;
const READERS: u32 = 4;
/// Longest wait for a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/postgres");

/// What every connection says first. Session settings, not start-up ones: a pooler passes them on. No statement of ours lasts so
/// long that compiling it would pay, and the server takes a tenth of a second and more for that.
const SETTINGS: &str =
    "SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '30s'; SET lock_timeout = '15s'; SET jit = off";

/// What the connection says that upgrades: a step takes as long as it takes, and so does another replica's whole upgrade.
const UPGRADES: &str = "SET statement_timeout = 0; SET lock_timeout = 0";
/// Then for tables: whoever comes later waits behind us for as long as we wait for somebody who still uses one.
const TAKES_TABLES: &str = "SET lock_timeout = '15s'";

/// A server, as it was opened.
#[derive(Debug)]
pub(super) struct Postgres {
    door: Door,
    readers: PgPool,
    /// What replicas say to each other.
    notes: PgPool,
    /// The host that the pools connect to.
    followed: AtomicUsize,
}

/// How connections are made.
#[derive(Debug, Clone)]
pub(super) struct Door {
    /// One for each host; where there are several, one of them is the primary.
    hosts: Arc<Vec<PgConnectOptions>>,
    /// The host that was the primary last.
    primary: Arc<AtomicUsize>,
}

impl Door {
    /// Reads the address; the password comes from elsewhere, or is asked of `~/.pgpass` or `PGPASSWORD`.
    pub(super) fn new(url: &str, password: Option<&SecretString>) -> LedgerResult<Self> {
        // The address may hold a password: its own words are not repeated.
        let unread =
            |_| LedgerError::Unfit("[ledger] url is no address of the form postgres://user@host:5432/database".to_owned());
        let mut hosts = Vec::new();
        for url in hosts::each(url)? {
            let mut options = PgConnectOptions::from_str(&url).map_err(unread)?;
            if let Some(password) = password {
                options = options.password(password.expose_secret());
            }
            // Poolers refuse start-up settings that they do not know.
            let options = options.extra_float_digits(None).application_name("lastmile").statement_cache_capacity(300);
            hosts.push(options.disable_statement_logging());
        }
        Ok(Self { hosts: Arc::new(hosts), primary: Arc::default() })
    }

    /// How the primary is reached, as far as it is known.
    fn options(&self) -> (usize, Option<&PgConnectOptions>) {
        let at = self.primary.load(Ordering::Relaxed);
        (at, self.hosts.get(at))
    }

    /// A connection of any kind; of several hosts, to the primary. The last one is asked first.
    async fn connection(&self) -> LedgerResult<PgConnection> {
        let several = self.hosts.len() > 1;
        let first = self.primary.load(Ordering::Relaxed);
        let mut failed = LedgerError::Unavailable("it has no host".to_owned());
        for at in (0..self.hosts.len()).map(|n| (first + n) % self.hosts.len()) {
            match self.connect_to(at, several).await {
                Ok(connection) => {
                    if self.primary.swap(at, Ordering::Relaxed) != at {
                        tracing::info!(ledger = self.shown(), "another host is the primary now");
                    }
                    return Ok(connection);
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn connect_to(&self, at: usize, primary_only: bool) -> LedgerResult<PgConnection> {
        let Some(options) = self.hosts.get(at) else { return Err(LedgerError::Unavailable("it has no host".to_owned())) };
        let late = || LedgerError::Unavailable(format!("{} does not answer within 5 s", shown(options)));
        let connecting = tokio::time::timeout(CONNECT_WITHIN, options.connect());
        let mut connection = connecting.await.map_err(|_| late())??;
        if primary_only && is_standby(&mut connection).await? {
            return Err(LedgerError::Unavailable(format!("{} is a standby: it only reads", shown(options))));
        }
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
        Ok(Conn::Postgres(connection, None))
    }

    /// Host, port and database: no user, no password.
    pub(super) fn shown(&self) -> String {
        self.options().1.map(shown).unwrap_or_default()
    }
}

fn shown(options: &PgConnectOptions) -> String {
    format!("{}:{}/{}", options.get_host(), options.get_port(), options.get_database().unwrap_or_default())
}

/// Asked without a prepared statement: poolers.
async fn is_standby(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    use sqlx::Row as _;
    connection.fetch_one("SELECT pg_is_in_recovery()").await?.try_get(0)
}

impl Postgres {
    /// Opens it: connections that write (one where it is only read), and readers. `hears` of an upgrade.
    pub(super) async fn open(
        url: &str,
        password: Option<SecretString>,
        serving: bool,
        still: bool,
        hears: Option<&Notify>,
    ) -> LedgerResult<(Self, Vec<Conn>, Pool)> {
        let door = Door::new(url, password.as_ref())?;
        let mut first = door.connection().await?;
        pooler::refuse_transaction_pooling(&door, &mut first).await?;
        let found = schema(&mut first).await?;
        not_newer(&MIGRATIONS, found)?;
        let mut writers = Vec::new();
        if serving {
            migrate(first, found, &door.shown(), hears).await?;
            for _ in 0..WRITERS {
                writers.push(door.writer().await?);
            }
        } else {
            writers.push(Conn::Postgres(first, None));
        }
        let (at, options) = door.options();
        let options = options.cloned().unwrap_or_default();
        let several = door.hosts.len() > 1;
        let readers = if still {
            let one =
                pool(1, several, "SET idle_in_transaction_session_timeout = 0; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
            one.idle_timeout(None).max_lifetime(None)
        } else {
            pool(READERS, several, "SET default_transaction_read_only = on")
        };
        let readers = readers.connect_lazy_with(options.clone());
        let notes = pool(1, several, "").connect_lazy_with(options);
        let home = Self { door, readers: readers.clone(), notes, followed: AtomicUsize::new(at) };
        Ok((home, writers, Pool::Postgres(readers)))
    }

    /// The pools connect to the host that is the primary now. `lost`: it is to be looked for.
    pub(super) async fn follow(&self, lost: bool) {
        if self.door.hosts.len() == 1 {
            return;
        }
        if lost && let Err(error) = self.door.connection().await {
            tracing::debug!(error = %error, "no host of the ledger is a primary that answers");
        }
        if let (at, Some(options)) = self.door.options()
            && self.followed.swap(at, Ordering::Relaxed) != at
        {
            self.readers.set_connect_options(options.clone());
            self.notes.set_connect_options(options.clone());
        }
    }

    pub(super) async fn close(&self) {
        self.notes.close().await;
    }

    pub(super) fn door(&self) -> Door {
        self.door.clone()
    }
}

/// Connections made as they are needed. Of several hosts, one that has become a standby is not read from: what it knows is old.
fn pool(most: u32, several: bool, also: &'static str) -> PgPoolOptions {
    PgPoolOptions::new().max_connections(most).acquire_timeout(Duration::from_secs(10)).after_connect(move |connection, _| {
        Box::pin(async move {
            if several && is_standby(connection).await? {
                return Err(sqlx::Error::Protocol("this host is a standby".to_owned()));
            }
            connection.execute(SETTINGS).await?;
            connection.execute(also).await?;
            Ok(())
        })
    })
}

/// Makes the schema, or brings an older one up to date; on a connection of its own, which has more time than others.
async fn migrate(mut connection: PgConnection, found: Option<i64>, place: &str, hears: Option<&Notify>) -> LedgerResult<()> {
    let upgrade = Upgrade::of(found, &MIGRATIONS, hears);
    connection.execute(UPGRADES).await?;
    // Taken again below, which is no wait: here another replica may be at it for minutes.
    connection.lock().await.map_err(|e| upgrade::failed(place, e))?;
    not_newer(&MIGRATIONS, schema(&mut connection).await?)?;
    connection.execute(TAKES_TABLES).await?;
    MIGRATIONS.run(&mut connection).await.map_err(|e| upgrade::failed(place, e))?;
    connection.unlock().await.map_err(|e| upgrade::failed(place, e))?;
    if let Some(upgrade) = upgrade {
        upgrade.done();
    }
    Ok(())
}

/// Its schema, where it has one.
async fn schema(connection: &mut PgConnection) -> LedgerResult<Option<i64>> {
    let (there,): (bool,) =
        sqlx::query_as("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(&mut *connection).await?;
    if !there {
        return Ok(None);
    }
    Ok(sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(connection).await?)
}
