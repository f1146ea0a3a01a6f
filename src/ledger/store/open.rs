//! Where a ledger is, and how it is opened.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32};

use secrecy::SecretString;
use tokio::sync::{Mutex, Notify, mpsc};

use super::super::batch::{Again, Writers};
use super::super::engine::query_as;
use super::super::postgres::Postgres;
use super::super::sql::Shared;
use super::super::sqlite::File;
use super::super::{LedgerError, LedgerResult};
use super::{Home, SqlLedger};

/// How the ledger is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Serves: migrates and writes. On SQLite it takes the lock: there is one such process.
    Serve,
    /// As [`Mode::Serve`], but every write has its own commit: only to measure what sharing brings.
    ServeSingly,
    /// Reads beside serving processes.
    Read,
    /// As [`Mode::Read`], but all reads see one state, that of the opening, whatever is written meanwhile.
    ReadStill,
}

/// Where the ledger is: an address of `[ledger] url`, and the password that is not in it.
#[derive(Debug, Clone)]
pub struct Address {
    url: String,
    password: Option<SecretString>,
    hears: Option<Arc<Notify>>,
}

impl Address {
    /// An address, and the password for it.
    #[must_use]
    pub fn new(url: &str, password: Option<SecretString>) -> Self {
        Self { url: url.to_owned(), password, hears: None }
    }

    /// `hears` when a ledger of an older version is upgraded before it is opened, which may take minutes.
    #[must_use]
    pub fn telling_of_upgrades(self, hears: Arc<Notify>) -> Self {
        Self { hears: Some(hears), ..self }
    }

    /// Whether a PostgreSQL server keeps it.
    #[must_use]
    pub fn is_postgres(&self) -> bool {
        is_postgres(&self.url)
    }
}

impl From<&str> for Address {
    fn from(url: &str) -> Self {
        Self::new(url, None)
    }
}

impl From<&String> for Address {
    fn from(url: &String) -> Self {
        Self::new(url, None)
    }
}

/// Whether an address of a ledger means a PostgreSQL server.
#[must_use]
pub fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

impl SqlLedger {
    /// Opens `sqlite:PATH` (or a bare path), or `postgres://…`.
    ///
    /// # Errors
    /// Another process serves it (SQLite), its schema is newer, or it cannot be opened.
    pub async fn open(address: impl Into<Address>, instance: &str, mode: Mode) -> LedgerResult<Self> {
        let address = address.into();
        let hears = address.hears.as_deref();
        let may_write = matches!(mode, Mode::Serve | Mode::ServeSingly);
        let still = mode == Mode::ReadStill;
        let (home, mut writers, readers) = if address.is_postgres() {
            let (home, writers, readers) = Postgres::open(&address.url, address.password, may_write, still, hears).await?;
            (Home::Postgres(Box::new(home)), writers, readers)
        } else {
            let (home, writer, readers) = File::open(&address.url, may_write, still, hears).await?;
            (Home::Sqlite(Box::new(home)), vec![writer], readers)
        };
        let first = writers.first_mut().ok_or_else(|| LedgerError::Unavailable("it has no writer".to_owned()))?;
        let shared = Arc::new(Shared::load(first, instance, may_write).await?);
        for writer in &mut writers {
            shared.touched.listen(writer).await?;
        }
        let (jobs, writers) = if may_write {
            let again = match &home {
                Home::Postgres(home) => Again::Postgres(Box::new(home.door())),
                Home::Sqlite(home) => Again::Sqlite(Box::new(home.door())),
            };
            let (sender, handles) =
                Writers { shared: Arc::clone(&shared), one_commit_per_job: mode == Mode::ServeSingly, again }.start(writers)?;
            (Some(sender), handles)
        } else {
            for writer in writers {
                drop(writer.close().await);
            }
            (None, Vec::new())
        };
        if still {
            // The first read begins the transaction that all others are in.
            let _: Option<(i64,)> = query_as("SELECT at FROM cursor LIMIT 1").fetch_optional(&readers).await?;
        }
        let ledger = Self {
            home,
            readers,
            queue: jobs.as_ref().map(mpsc::Sender::downgrade),
            jobs: Mutex::new(jobs),
            writers: Mutex::new(writers),
            shared,
            ahead_ms: AtomicI64::new(0),
            knows_clock: AtomicBool::new(false),
            place: AtomicU32::new(0),
            rounds: AtomicU32::new(0),
        };
        if may_write {
            // Before the first order is planned.
            ledger.share_caution().await?;
        }
        Ok(ledger)
    }
}
