//! Replicas: nothing to say on SQLite, a few rows on PostgreSQL.

use std::sync::atomic::Ordering;

use async_trait::async_trait;

use super::{Home, SqlLedger};
use crate::ledger::{Alive, LedgerError, LedgerResult, Replicas, Turn};
use crate::model::Timestamp;

/// A clock further from the database's than this may take leases from others too early.
const MOST_APART_MS: i64 = 5_000;

impl SqlLedger {
    /// Leases are times: a clock that is astray takes none.
    pub(super) fn refuse_astray(&self) -> LedgerResult<()> {
        let ahead = self.ahead_ms.load(Ordering::Relaxed);
        if ahead.abs() <= MOST_APART_MS {
            return Ok(());
        }
        Err(LedgerError::Unfit(format!(
            "the clock of this machine is {} s {} that of the database, and leases are times: set it",
            ahead.abs() / 1000,
            if ahead > 0 { "ahead of" } else { "behind" }
        )))
    }
}

#[async_trait]
impl Replicas for SqlLedger {
    fn is_shared(&self) -> bool {
        !self.is_alone()
    }

    async fn alive(&self, owner: &str, now: Timestamp, hold_ms: i64) -> LedgerResult<Alive> {
        let Home::Postgres(home) = &self.home else { return Ok(Alive { replicas: 1, ahead_ms: 0 }) };
        let (replicas, at) = home.alive(owner, hold_ms).await?;
        let ahead_ms = now.0 - at;
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
        Ok(Alive { replicas, ahead_ms })
    }

    async fn turn(&self, duty: &str, owner: &str, hold_ms: i64) -> LedgerResult<Turn> {
        match &self.home {
            Home::Postgres(home) => home.turn(duty, owner, hold_ms).await,
            Home::Sqlite(_) => Ok(Turn::Ours { ran_at: None }),
        }
    }

    async fn ran(&self, duty: &str, now: Timestamp) -> LedgerResult<()> {
        match &self.home {
            Home::Postgres(home) => home.ran(duty, now).await,
            Home::Sqlite(_) => Ok(()),
        }
    }

    async fn leave(&self, owner: &str) -> LedgerResult<()> {
        match &self.home {
            Home::Postgres(home) => home.leave(owner).await,
            Home::Sqlite(_) => Ok(()),
        }
    }
}
