//! The transactions, written set-based: rows travel as one JSON document, so that a batch of any size is a handful of
//! statements. Every statement and every row that is handed over wakes another thread, which costs more than most
//! statements themselves: so the hot ones gather what they find into one JSON document too, and writes that belong
//! together are one text of several statements.

pub(super) mod act;
pub(super) mod chains;
pub(super) mod compare;
pub(super) mod edges;
pub(super) mod exports;
pub(super) mod front;
pub(super) mod history;
pub(super) mod journal;
pub(super) mod lease;
pub(super) mod observe;
pub(super) mod persons;
pub(super) mod planning;
pub(super) mod progress;
pub(super) mod pull;
pub(super) mod record;
pub(super) mod recovery;
pub(super) mod rollup;
pub(super) mod settle;
#[cfg(test)]
mod shapes;
pub(super) mod standing;
pub(super) mod statistics;
pub(super) mod told;
pub(super) mod upkeep;
pub(super) mod views;
pub(super) mod waiting;

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

use crate::ledger::engine::{Conn, query, query_as};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::touched::Touched;
use super::{LedgerError, LedgerResult};
use crate::model::id::IdMaker;
use crate::model::key::{person_hash, stable_id};
use crate::model::{Id, Timestamp, random};

/// What every transaction needs besides its rows.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) ids: Arc<IdMaker>,
    /// For rows of the past: their ids lie where they would have been made then, not behind those of today.
    past_ids: Arc<IdMaker>,
    pub(super) instance: String,
    salt: String,
    /// For the figures: what changed.
    pub(super) touched: Arc<Touched>,
    /// After a restore.
    pub(super) caution: recovery::Caution,
    /// Where its queues begin.
    pub(super) fronts: front::Fronts,
    /// What its server knows of its tables.
    pub(super) statistics: statistics::Statistics,
    /// Sources whose platforms are told how far their orders are.
    progress: RwLock<BTreeSet<String>>,
}

impl Shared {
    /// Reads (or, when writing, makes) the salt of person hashes.
    pub(super) async fn load(connection: &mut Conn, instance: &str, may_write: bool) -> LedgerResult<Self> {
        if may_write {
            query("INSERT INTO meta (name, value) VALUES ('salt', $1) ON CONFLICT (name) DO NOTHING")
                .bind(random::token())
                .execute(&mut *connection)
                .await?;
        }
        let row: Option<(String,)> = query_as("SELECT value FROM meta WHERE name = 'salt'").fetch_optional(connection).await?;
        let salt = row.map(|(salt,)| salt).ok_or_else(|| LedgerError::Corrupt("it has no salt".to_owned()))?;
        Ok(Self {
            ids: Arc::default(),
            past_ids: Arc::default(),
            instance: instance.to_owned(),
            salt,
            touched: Arc::default(),
            caution: recovery::Caution::default(),
            fronts: front::Fronts::default(),
            statistics: statistics::Statistics::default(),
            progress: RwLock::default(),
        })
    }

    /// The same for loading history.
    pub(super) fn in_the_past(&self) -> Self {
        let past_ids = Arc::clone(&self.past_ids);
        let touched = Arc::clone(&self.touched);
        Self {
            ids: Arc::clone(&past_ids),
            past_ids,
            instance: self.instance.clone(),
            salt: self.salt.clone(),
            touched,
            caution: recovery::Caution::default(),
            fronts: front::Fronts::default(),
            statistics: statistics::Statistics::default(),
            progress: RwLock::default(),
        }
    }

    /// From now on the platforms of these sources are told how far their orders are, and no others.
    pub(super) fn tell_progress(&self, sources: BTreeSet<String>) {
        *self.progress.write().unwrap_or_else(PoisonError::into_inner) = sources;
    }

    /// Sources whose platforms are told how far their orders are; mostly none.
    pub(super) fn told_progress(&self) -> Vec<String> {
        self.progress.read().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The stable id of a step: the same however often it is told, another in another cycle or at another time.
    pub(super) fn progress_mark(&self, natural_key: &str, cycle: i64, step: &str, at: Timestamp) -> String {
        let parts = ["progress", &self.instance, natural_key, &cycle.to_string(), step, &at.0.to_string()];
        format!("lmp-{}", stable_id(&parts))
    }

    pub(super) fn person(&self, source: &str, external_id: &str) -> String {
        person_hash(&self.salt, source, external_id)
    }

    /// One key for each purpose, of the ledger's salt.
    pub(super) fn common_key(&self, purpose: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in ["key", purpose, &self.salt] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        hash.finalize().into()
    }

    /// The stable id of a report: the same however often it is sent, another after a reopening.
    pub(super) fn report_mark(&self, natural_key: &str, closings: i64) -> String {
        format!("lmr-{}", stable_id(&["report", &self.instance, natural_key, &closings.to_string()]))
    }

    /// The findable mark of a comment.
    pub(super) fn comment_mark(&self, ticket: i64, what: &str, nth: i64) -> String {
        format!("lmc-{}", stable_id(&["comment", &self.instance, &ticket.to_string(), what, &nth.to_string()]))
    }
}

/// Rows as one JSON document, to be unfolded by `json_each`.
pub(super) fn rows<T: Serialize>(rows: &[T]) -> LedgerResult<String> {
    serde_json::to_string(rows).map_err(|e| LedgerError::Corrupt(e.to_string()))
}

/// Ids as one JSON document: numbers, while an [`Id`] alone is written as text.
pub(super) fn ids_json(ids: &[Id]) -> String {
    ids.iter().map(|id| id.0).collect::<serde_json::Value>().to_string()
}

/// Reads a stored JSON document.
pub(super) fn document<T: serde::de::DeserializeOwned>(text: &str) -> LedgerResult<T> {
    serde_json::from_str(text).map_err(|e| LedgerError::Corrupt(e.to_string()))
}

impl LedgerError {
    /// The same for every caller of a shared commit.
    pub(super) fn same(&self) -> Self {
        match self {
            Self::Unavailable(words) => Self::Unavailable(words.clone()),
            Self::Full(words) => Self::Full(words.clone()),
            Self::Conflict(words) => Self::Conflict(words.clone()),
            Self::Unfit(words) => Self::Unfit(words.clone()),
            Self::Busy(words) => Self::Busy(words.clone()),
            Self::NewerSchema { found, known } => Self::NewerSchema { found: *found, known: *known },
            Self::Corrupt(words) => Self::Corrupt(words.clone()),
        }
    }
}
