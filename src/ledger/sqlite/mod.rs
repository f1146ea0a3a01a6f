//! The embedded ledger: one serving process, one writer with `BEGIN IMMEDIATE`, readers beside it.

mod inspect;
mod log;

use std::fs::TryLockError;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Executor as _};
use tokio::sync::{Mutex, Notify};

use super::engine::{Conn, Pool};
use super::upgrade::{self, Upgrade};
use super::{LedgerError, LedgerResult, not_newer};

pub use inspect::{Holder, Inspection, holder};
use inspect::{lock_name, told_by};
pub(super) use log::Log;

/// Statements that the writer's connection keeps prepared: those of texts that hold rows, and a hundred others.
pub(super) const STATEMENTS: usize = 400;

/// A lock that is only looked at is free again within this.
const LOCK_TRIES: u32 = 4;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// The file of a ledger, and the lock of its serving process.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    lock: Mutex<Option<std::fs::File>>,
    door: FileDoor,
}

/// How the writer's connection is made.
#[derive(Debug, Clone)]
pub(super) struct FileDoor(SqliteConnectOptions);

impl FileDoor {
    /// A connection whose commits are on disk when they return.
    pub(super) async fn writer(&self) -> LedgerResult<Conn> {
        Ok(Conn::Sqlite(self.0.connect().await?.into()))
    }

    /// Keeps its log short beside the writer.
    pub(super) fn log(&self) -> Log {
        Log::of(self.clone())
    }
}

/// The file that a ledger's address means.
#[must_use]
pub fn path_of(url: &str) -> PathBuf {
    PathBuf::from(url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")).unwrap_or(url))
}

impl File {
    /// Opens it: the writer's connection, and readers. `hears` of an upgrade.
    pub(super) async fn open(url: &str, serving: bool, still: bool, hears: Option<&Notify>) -> LedgerResult<(Self, Conn, Pool)> {
        let path = path_of(url);
        let lock = if serving { Some(take_lock(&path)?) } else { None };
        let options = SqliteConnectOptions::from_str("sqlite:")
            .map_err(LedgerError::from)?
            .filename(&path)
            .create_if_missing(serving)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10))
            .pragma("temp_store", "memory")
            .pragma("cache_size", "-16384")
            .pragma("wal_autocheckpoint", log::MOST_PAGES)
            .statement_cache_capacity(STATEMENTS)
            // A batch is handed over whole: a worker that waits for its reader costs two switches.
            .row_buffer_size(512)
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        let found = schema(&mut connection).await?;
        not_newer(&MIGRATIONS, found)?;
        if serving {
            migrate(&mut connection, found, &path, hears).await?;
        }
        // No test before use: a file does not hang up, and the question would cost as much as most queries.
        // What pages sort may be a million rows: that goes to a file, not into memory.
        let door = FileDoor(options.clone());
        let reading =
            options.read_only(true).statement_cache_capacity(200).pragma("cache_size", "-8192").pragma("temp_store", "file");
        let pool = SqlitePoolOptions::new().max_connections(4).test_before_acquire(false);
        let pool = if still {
            let one = pool.max_connections(1).idle_timeout(None).max_lifetime(None);
            one.after_connect(|connection, _| Box::pin(async move { connection.execute("BEGIN").await.map(drop) }))
        } else {
            pool
        };
        let readers = pool.connect_lazy_with(reading);
        Ok((Self { path, lock: Mutex::new(lock), door }, Conn::Sqlite(connection.into()), Pool::Sqlite(readers)))
    }

    /// How its writer's connection is made again.
    pub(super) fn door(&self) -> FileDoor {
        self.door.clone()
    }

    /// Others may serve it now.
    pub(super) async fn unlock(&self) {
        self.lock.lock().await.take();
    }
}

/// Takes the lock and writes our process id into it, for people who look for the holder.
fn take_lock(path: &Path) -> LedgerResult<std::fs::File> {
    let name = lock_name(path);
    let away = |e: std::io::Error| LedgerError::Unavailable(format!("{}: {e}", name.display()));
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|e| LedgerError::Unavailable(format!("{}: {e}", folder.display())))?;
    }
    let mut file = std::fs::File::options().create(true).truncate(false).write(true).open(&name).map_err(away)?;
    let mut tries = 0;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            // Somebody who only looks holds it for a moment.
            Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                let holder = told_by(&name).map(|id| format!(", held by process {id}")).unwrap_or_default();
                return Err(LedgerError::Busy(format!("{}{holder}", name.display())));
            }
            Err(TryLockError::Error(e)) => return Err(away(e)),
        }
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(away)?;
    Ok(file)
}

/// Makes the schema, or brings an older one up to date.
async fn migrate(connection: &mut SqliteConnection, found: Option<i64>, path: &Path, hears: Option<&Notify>) -> LedgerResult<()> {
    let upgrade = Upgrade::of(found, &MIGRATIONS, hears);
    if upgrade.is_some() {
        // Indexes of millions of rows are sorted in a file, not in memory. What an upgrade that was cut off left in the log
        // would make it longer by as much.
        connection.execute("PRAGMA temp_store = file; PRAGMA wal_checkpoint(TRUNCATE)").await?;
    }
    MIGRATIONS.run(&mut *connection).await.map_err(|e| upgrade::failed(&path.display().to_string(), e))?;
    if let Some(upgrade) = upgrade {
        // The log would stay as long as the longest step made it.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA temp_store = memory").await?;
        upgrade.done();
    }
    Ok(())
}

/// Its schema, where it has one.
async fn schema(connection: &mut SqliteConnection) -> LedgerResult<Option<i64>> {
    let table: Option<(String,)> =
        sqlx::query_as("SELECT name FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'")
            .fetch_optional(&mut *connection)
            .await?;
    if table.is_none() {
        return Ok(None);
    }
    Ok(sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(connection).await?)
}
