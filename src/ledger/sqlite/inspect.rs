//! What `doctor` asks about the file itself. Works beside a serving process.

use std::fs::TryLockError;
use std::path::{Path, PathBuf};

use sqlx::SqlitePool;

use super::{File, LedgerResult, MIGRATIONS};
use crate::ledger::newest;

/// The file as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// Bytes of the database.
    pub bytes: u64,
    /// Bytes of its write-ahead log.
    pub log_bytes: u64,
    /// Schema of the file.
    pub schema: i64,
    /// Newest schema this program knows.
    pub known_schema: i64,
    /// Journal mode in force.
    pub journal_mode: String,
    /// Synchronous level in force: 2 is `FULL`, 3 `EXTRA`.
    pub synchronous: i64,
    /// What the database's own check found; empty: nothing.
    pub damage: Vec<String>,
}

/// Who holds the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Nobody: no process serves it.
    Nobody,
    /// A process; its id where the lock file tells.
    Process(Option<u32>),
}

impl File {
    pub(in crate::ledger) async fn inspect(&self, readers: &SqlitePool, thorough: bool) -> LedgerResult<Inspection> {
        let size = |path: &Path| std::fs::metadata(path).map_or(0, |m| m.len());
        let (schema,): (Option<i64>,) = sqlx::query_as("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(readers).await?;
        let journal_mode: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(readers).await?;
        let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(readers).await?;
        let check = if thorough { "PRAGMA integrity_check(10)" } else { "PRAGMA quick_check(10)" };
        let found: Vec<String> = sqlx::query_scalar(check).fetch_all(readers).await?;
        Ok(Inspection {
            bytes: size(&self.path),
            log_bytes: size(&beside(&self.path, "-wal")),
            schema: schema.unwrap_or(0),
            known_schema: newest(&MIGRATIONS),
            journal_mode,
            synchronous,
            damage: found.into_iter().filter(|line| line != "ok").collect(),
        })
    }
}

/// Who serves the ledger of this file.
#[must_use]
pub fn holder(path: &Path) -> Holder {
    let name = lock_name(path);
    let Ok(file) = std::fs::File::open(&name) else { return Holder::Nobody };
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Holder::Process(told_by(&name)),
        _ => Holder::Nobody,
    }
}

/// A file beside the database.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// The lock lies beside the database, so that copying the database copies no lock.
pub(super) fn lock_name(path: &Path) -> PathBuf {
    beside(path, ".lock")
}

/// The process id that the holder of the lock wrote into it.
pub(super) fn told_by(lock: &Path) -> Option<u32> {
    std::fs::read_to_string(lock).ok()?.trim().parse().ok()
}
