//! The comparison's side of the ledger.

use std::sync::Arc;

use async_trait::async_trait;

use super::SqlLedger;
use crate::ledger::compare::{Comparing, FindingRow, Sight, Told};
use crate::ledger::views::Scope;
use crate::ledger::{Held, LedgerResult, sql};
use crate::model::{Id, Timestamp};

#[async_trait]
impl Comparing for SqlLedger {
    async fn tickets_to_compare(&self, desk: &str, after: Id, limit: usize) -> LedgerResult<Vec<Held>> {
        sql::observe::tickets_to_compare(&self.readers, desk, after, limit).await
    }

    async fn reports_to_compare(&self, source: &str, after: Id, limit: usize) -> LedgerResult<Vec<Told>> {
        sql::lease::reports_to_compare(&self.readers, source, after, limit).await
    }

    async fn listed_still(&self, source: &str, before: Timestamp) -> LedgerResult<Vec<Id>> {
        sql::compare::listed_still(&self.readers, source, self.by_database(before)).await
    }

    async fn compare(&self, edge: &str, sights: Vec<Sight>, now: Timestamp) -> LedgerResult<usize> {
        if sights.is_empty() {
            return Ok(0);
        }
        let (shared, edge, sights) = (Arc::clone(&self.shared), edge.to_owned(), Arc::new(sights));
        self.write(move |tx| {
            let (shared, edge, sights) = (Arc::clone(&shared), edge.clone(), Arc::clone(&sights));
            Box::pin(async move { sql::compare::compare(tx, &shared, &edge, &sights, now).await })
        })
        .await
    }

    async fn compared(&self, edge: &str, began: Timestamp, now: Timestamp) -> LedgerResult<()> {
        let edge = edge.to_owned();
        self.write(move |tx| {
            let edge = edge.clone();
            Box::pin(async move { sql::compare::compared(tx, &edge, began, now).await })
        })
        .await
    }

    async fn findings(&self, scope: &Scope, limit: usize) -> LedgerResult<Vec<FindingRow>> {
        sql::compare::findings(&self.readers, scope, limit).await
    }

    async fn finding(&self, id: Id) -> LedgerResult<Option<FindingRow>> {
        sql::compare::finding(&self.readers, id).await
    }
}
