//! Upkeep in turns: a reader looks, the writer hears only of what changes, and others get their turn between.

use std::sync::Arc;

use super::SqlLedger;
use crate::ledger::LedgerResult;
use crate::ledger::sql::upkeep::{self, Before};
use crate::model::Timestamp;

impl SqlLedger {
    /// Erases page by page; each page is a write of its own, and done again it does nothing.
    pub(super) async fn erase_in_turns(&self, before: Before) -> LedgerResult<u64> {
        let mut touched = 0;
        for what in &upkeep::TEXTS {
            let mut after = i64::MIN;
            while let Some((last, ids)) = upkeep::to_erase(&self.readers, what, before, after).await? {
                let ids = Arc::new(ids);
                let erased = self.write(move |tx| {
                    let ids = Arc::clone(&ids);
                    Box::pin(async move { upkeep::erase(tx, what, before, &ids).await })
                });
                touched += erased.await?;
                after = last;
            }
        }
        let mut after = String::new();
        while let Some((last, hashes)) = upkeep::persons_to_erase(&self.readers, before.persons, &after).await? {
            let hashes = Arc::new(hashes);
            let erased = self.write(move |tx| {
                let hashes = Arc::clone(&hashes);
                Box::pin(async move { upkeep::erase_persons(tx, before.persons, &hashes).await })
            });
            touched += erased.await?;
            after = last;
        }
        Ok(touched)
    }

    /// Reads the heads of the chains page by page, and writes one row.
    pub(super) async fn tie(&self, now: Timestamp) -> LedgerResult<Option<String>> {
        let Some(tied) = upkeep::tie(&self.readers, now).await? else { return Ok(None) };
        let tied = Arc::new(tied);
        let kept = self.write(move |tx| {
            let tied = Arc::clone(&tied);
            Box::pin(async move { upkeep::checkpoint(tx, &tied).await })
        });
        Ok(Some(kept.await?))
    }
}
