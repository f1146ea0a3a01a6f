//! The ledger's contract on PostgreSQL, and what only a server and several processes have.

#[expect(clippy::duplicate_mod, reason = "one contract, two engines")]
#[path = "ledger.rs"]
mod contract;

mod claims;
mod clocks;
mod fronts;

use contract::Bed;
use lastmile::ledger::Ledger as _;

/// A bed, or nothing to do where there is no server: that was said.
async fn bed() -> Option<Bed> {
    Some(contract::bed().await).filter(|bed| bed.place.is_postgres())
}

impl Bed {
    /// Opens its ledger again, as its server is set up now.
    async fn reopen(&mut self) {
        self.ledger.close().await;
        self.0.ledger = self.place.open().await;
    }
}
