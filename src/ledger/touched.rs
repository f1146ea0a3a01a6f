//! Which assignments changed, for the figures: remembered in memory, so that the way of an order pays nothing for it.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::LedgerResult;
use super::engine::Conn;
use crate::model::{Id, Timestamp};

/// More than so many are not named one by one.
const MOST: usize = 200_000;

/// Assignments that commits of this process changed.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Touched {
    pending: Mutex<Vec<i64>>,
    committed: Mutex<(HashSet<i64>, bool)>,
    looked: Mutex<Option<Timestamp>>,
    /// Some that were taken are not counted yet.
    counting: AtomicBool,
    /// This process counted everything once.
    whole: AtomicBool,
}

impl Touched {
    /// Listens to the rows that a connection writes. Every connection that writes needs it, also one that takes another's
    /// place.
    pub(in crate::ledger) async fn listen(self: &Arc<Self>, connection: &mut Conn) -> LedgerResult<()> {
        if let Conn::Sqlite(tx) = connection {
            let touched = Arc::clone(self);
            tx.connection().lock_handle().await?.set_update_hook(move |row| touched.row(row.table, row.rowid));
        }
        Ok(())
    }

    /// When it was asked for last, where the journal tells what changed; none the first time.
    pub(in crate::ledger) fn looked(&self, now: Timestamp) -> Option<Timestamp> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner).replace(now)
    }

    /// A row of a table is written; called by SQLite itself.
    fn row(&self, table: &str, id: i64) {
        if table == "assignment" {
            self.pending.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        }
    }

    /// What was written since the last commit can be seen by readers now. After a rollback, too many are named, which
    /// costs a look.
    pub(in crate::ledger) fn commit(&self) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        committed.0.extend(pending.drain(..));
        if committed.0.len() > MOST {
            *committed = (HashSet::new(), true);
        }
    }

    /// More changed than is named: a history was loaded.
    pub(in crate::ledger) fn many(&self) {
        self.committed.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
    }

    /// Takes them; `None`: too many to name.
    pub(in crate::ledger) fn take(&self) -> Option<Vec<Id>> {
        let mut committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        let (ids, too_many) = std::mem::take(&mut *committed);
        // Before anybody can see that nothing waits here any more.
        if too_many || !ids.is_empty() {
            self.counting.store(true, Ordering::SeqCst);
        }
        drop(committed);
        if too_many {
            return None;
        }
        let mut ids: Vec<Id> = ids.into_iter().map(Id).collect();
        ids.sort_unstable();
        Some(ids)
    }

    /// All that was taken is counted.
    pub(in crate::ledger) fn counted(&self) {
        self.counting.store(false, Ordering::SeqCst);
        self.whole.store(true, Ordering::SeqCst);
    }

    /// Whether something is known here that is not counted yet.
    pub(in crate::ledger) fn is_behind(&self) -> bool {
        let committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
        !committed.0.is_empty() || committed.1 || self.counting.load(Ordering::SeqCst)
    }

    /// Whether this process makes the figures, and made them all.
    pub(in crate::ledger) fn is_whole(&self) -> bool {
        self.whole.load(Ordering::SeqCst)
    }
}
