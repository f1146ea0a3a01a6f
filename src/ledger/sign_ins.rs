//! Who has signed in at a browser. Every process of a ledger knows it; a copy of the ledger opens nothing.

use async_trait::async_trait;

use super::LedgerResult;
use crate::model::Timestamp;

/// What the web keeps between two requests.
#[async_trait]
pub trait SignIns: Send + Sync {
    /// Keeps the hash of what a browser will show, until then. Those that expired before `now` go.
    async fn signed_in(&self, hash: &str, until: Timestamp, now: Timestamp) -> LedgerResult<()>;

    /// Until when that hash is good; `None` when it never was, or was signed out.
    async fn sign_in_until(&self, hash: &str) -> LedgerResult<Option<Timestamp>>;

    /// It is good no more.
    async fn signed_out(&self, hash: &str) -> LedgerResult<()>;

    /// A key that all processes of this ledger have, one for each purpose. It stands in every copy of the ledger: only for what
    /// opens nothing by itself.
    fn common_key(&self, purpose: &str) -> [u8; 32];
}
