//! Sign-ins: one row each, found by its hash.

use async_trait::async_trait;

use super::SqlLedger;
use crate::ledger::engine::{query, query_as};
use crate::ledger::{LedgerResult, SignIns};
use crate::model::Timestamp;

#[async_trait]
impl SignIns for SqlLedger {
    async fn signed_in(&self, hash: &str, until: Timestamp, now: Timestamp) -> LedgerResult<()> {
        let hash = hash.to_owned();
        self.write(move |tx| {
            let hash = hash.clone();
            Box::pin(async move {
                query("DELETE FROM sign_in WHERE until <= $1").bind(now.0).execute(&mut *tx).await?;
                query("INSERT INTO sign_in (hash, until) VALUES ($1, $2)").bind(hash).bind(until.0).execute(tx).await?;
                Ok(())
            })
        })
        .await
    }

    async fn sign_in_until(&self, hash: &str) -> LedgerResult<Option<Timestamp>> {
        let row: Option<(i64,)> =
            query_as("SELECT until FROM sign_in WHERE hash = $1").bind(hash).fetch_optional(&self.readers).await?;
        Ok(row.map(|(until,)| Timestamp(until)))
    }

    async fn signed_out(&self, hash: &str) -> LedgerResult<()> {
        let hash = hash.to_owned();
        self.write(move |tx| {
            let hash = hash.clone();
            Box::pin(async move {
                query("DELETE FROM sign_in WHERE hash = $1").bind(hash).execute(tx).await?;
                Ok(())
            })
        })
        .await
    }

    fn common_key(&self, purpose: &str) -> [u8; 32] {
        self.shared.common_key(purpose)
    }
}
