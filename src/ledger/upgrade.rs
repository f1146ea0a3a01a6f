//! A ledger that an older program made is upgraded before it is opened. With many orders that takes minutes: whoever waits for it
//! is told.

use std::time::Instant;

use sqlx::migrate::{MigrateError, Migrator};
use tokio::sync::Notify;

use super::{LedgerError, newest};

/// An upgrade that is due.
#[derive(Debug)]
pub(super) struct Upgrade {
    to: i64,
    began: Instant,
}

impl Upgrade {
    /// Says that a ledger of this schema is upgraded, to people and to whoever waits; `None` where nothing is to be done, or
    /// nothing is there yet.
    pub(super) fn of(found: Option<i64>, migrations: &Migrator, hears: Option<&Notify>) -> Option<Self> {
        let (from, to) = (found?, newest(migrations));
        if from >= to {
            return None;
        }
        if let Some(hears) = hears {
            hears.notify_one();
        }
        tracing::info!(
            "upgrading the ledger from schema {from} to {to}: where it holds many orders this takes minutes; leave it be"
        );
        Some(Self { to, began: Instant::now() })
    }

    pub(super) fn done(self) {
        tracing::info!(seconds = self.began.elapsed().as_secs(), "the ledger is upgraded to schema {}", self.to);
    }
}

/// Why a ledger could not be upgraded; a step that fails leaves it as it was before that step.
pub(super) fn failed(place: &str, error: MigrateError) -> LedgerError {
    let words = format!("upgrading {place}: {error}");
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return LedgerError::Unavailable(words);
    };
    // PostgreSQL's `lock_not_available`.
    if error.as_database_error().is_some_and(|e| e.code().as_deref() == Some("55P03")) {
        let held = "somebody else uses its tables (an older lastmile that still runs, a dump, a long report)";
        return LedgerError::Unavailable(format!("upgrading {place}: {held}; stop that, or try again"));
    }
    match LedgerError::from(error) {
        LedgerError::Full(_) => LedgerError::Full(words),
        _ => LedgerError::Unavailable(words),
    }
}
