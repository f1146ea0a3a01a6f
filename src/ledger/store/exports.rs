//! Evidence, the log of exports, and what becomes of scheduled reports.

use std::sync::Arc;

use async_trait::async_trait;

use super::SqlLedger;
use crate::ledger::LedgerResult;
use crate::ledger::exports::{
    Claimed, DeliveryClaim, DeliveryEnd, DeliveryRow, Evidence, EvidenceFilter, Export, Exports, Fulfiller,
};
use crate::ledger::sql;
use crate::model::Timestamp;

#[async_trait]
impl Exports for SqlLedger {
    async fn evidence(&self, filter: &EvidenceFilter, names: bool, limit: usize) -> LedgerResult<Evidence> {
        sql::views::evidence(&self.readers, filter, names, limit).await
    }

    async fn note_export(&self, export: Export) -> LedgerResult<()> {
        let (id, export) = (self.shared.ids.next(export.at), Arc::new(export));
        self.write(move |tx| {
            let export = Arc::clone(&export);
            Box::pin(async move { sql::exports::note(tx, id, &export).await })
        })
        .await
    }

    async fn exports(&self, limit: usize) -> LedgerResult<Vec<Export>> {
        sql::exports::exports(&self.readers, i64::try_from(limit).unwrap_or(i64::MAX)).await
    }

    async fn fulfillers(&self, from: Timestamp, to: Timestamp) -> LedgerResult<Vec<Fulfiller>> {
        sql::exports::fulfillers(&self.readers, from, to).await
    }

    async fn delivery(&self, report: &str) -> LedgerResult<Option<DeliveryRow>> {
        sql::exports::delivery(&self.readers, report).await
    }

    async fn begin_report(&self, report: &str, now: Timestamp) -> LedgerResult<()> {
        let report = report.to_owned();
        self.write(move |tx| {
            let report = report.clone();
            Box::pin(async move { sql::exports::begin(tx, &report, now).await })
        })
        .await
    }

    async fn claim_delivery(&self, claim: DeliveryClaim) -> LedgerResult<Option<Claimed>> {
        self.refuse_astray()?;
        let claim = Arc::new(DeliveryClaim { now: self.by_database(claim.now), ..claim });
        self.write(move |tx| {
            let claim = Arc::clone(&claim);
            Box::pin(async move { sql::exports::claim(tx, &claim).await })
        })
        .await
    }

    async fn settle_delivery(&self, report: &str, claimed: &Claimed, end: DeliveryEnd, now: Timestamp) -> LedgerResult<bool> {
        let end = match end {
            DeliveryEnd::Failed { next_at, code, reason } => {
                DeliveryEnd::Failed { next_at: self.by_database(next_at), code, reason }
            }
            sent @ DeliveryEnd::Sent(_) => sent,
        };
        let id = self.shared.ids.next(now);
        let settled = Arc::new((report.to_owned(), claimed.clone(), end));
        self.write(move |tx| {
            let settled = Arc::clone(&settled);
            Box::pin(async move { sql::exports::settle(tx, id, &settled.0, &settled.1, &settled.2, now).await })
        })
        .await
    }
}
