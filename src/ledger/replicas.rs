//! Several equal processes on one ledger: who is there, and whose turn a duty is that only one shall do.

use async_trait::async_trait;

use super::LedgerResult;
use crate::model::Timestamp;

/// Whose turn a duty is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Ours, until we leave it or are not heard of for a while. `ran_at`: when somebody did it last, if anybody has.
    Ours {
        /// When it was last done.
        ran_at: Option<Timestamp>,
    },
    /// Another process's.
    Others,
}

/// The processes that serve this ledger now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alive {
    /// How many, ourselves among them.
    pub replicas: u32,
    /// How many of them come before us, in an order that all agree on.
    pub place: u32,
    /// How far our clock is ahead of the database's, milliseconds.
    pub ahead_ms: i64,
}

/// What equal processes say to each other through the ledger. On SQLite there is one process and all is its own.
#[async_trait]
pub trait Replicas: Send + Sync {
    /// Whether others may serve the same ledger.
    fn is_shared(&self) -> bool;

    /// Says that `owner` is there for the next `hold_ms`, and counts who is.
    async fn alive(&self, owner: &str, now: Timestamp, hold_ms: i64) -> LedgerResult<Alive>;

    /// Takes a duty for `hold_ms`, unless another process has it; one that has it keeps it.
    async fn turn(&self, duty: &str, owner: &str, hold_ms: i64) -> LedgerResult<Turn>;

    /// The duty was done, at that time by our own clock; others hear of it by theirs.
    async fn ran(&self, duty: &str, now: Timestamp) -> LedgerResult<()>;

    /// `owner` stops: its duties are free at once.
    async fn leave(&self, owner: &str) -> LedgerResult<()>;
}
