//! Looks at the fronts of queues, and claims from there. On SQLite there is nothing to look at.

use std::sync::Arc;

use super::{Home, SqlLedger};
use crate::ledger::engine::Pool;
use crate::ledger::sql::Shared;
use crate::ledger::sql::front::{Look, TO_PLAN};
use crate::ledger::sql::lease::{self, Due};
use crate::ledger::{LeaseRequest, Leased, LedgerResult};
use crate::model::Timestamp;

/// So often a round looks on, or claims, where others take what it finds. Then the next round does.
const TRIES: usize = 4;

impl SqlLedger {
    /// What is known of a queue is as new as it should be, or soon will be.
    pub(super) async fn look_ahead(&self, queue: &str, now: Timestamp) {
        let Home::Postgres(_) = &self.home else { return };
        let mut look = self.shared.fronts.wants(queue, now);
        if let Look::First(_) = look {
            self.shared.fronts.look_first(&self.readers, queue, now).await;
            renew_statistics(&self.shared, &self.readers, queue).await;
            // It was a look on, where one at the whole may be wanted as well.
            look = self.shared.fronts.wants(queue, now);
        }
        let Look::Beside(how) = look else { return };
        let (shared, readers, queue) = (Arc::clone(&self.shared), self.readers.clone(), queue.to_owned());
        tokio::spawn(async move {
            // All of them have one reader: the others are for those who wait.
            let turn = shared.fronts.beside().await;
            if let Err(error) = shared.fronts.look(&readers, &queue, how, now).await {
                tracing::debug!(error = %error, queue, "the front of a queue could not be looked at; once more");
            }
            drop(turn);
            renew_statistics(&shared, &readers, &queue).await;
        });
    }

    /// What a round would find.
    pub(super) async fn due(&self, request: &LeaseRequest) -> LedgerResult<Due> {
        self.look_ahead(&request.edge, request.now).await;
        let mut tries = 0;
        loop {
            let front = self.shared.fronts.of(&request.edge);
            let due = lease::due(&self.readers, request, &front).await?;
            if due.anything() || !front.is_cut() || request.witnesses_only || tries == TRIES {
                return Ok(due);
            }
            // The first ones are gone, and behind them more may wait.
            self.shared.fronts.look_on(&self.readers, &request.edge, &front, request.now).await?;
            tries += 1;
        }
    }

    /// Claims from the front. Where others were faster, what comes next there is offered.
    pub(super) async fn lease_of_front(&self, request: &Arc<LeaseRequest>, due: Due) -> LedgerResult<Vec<Leased>> {
        let (mut offered, mut tries) = (0, 0);
        loop {
            let front = self.shared.fronts.of(&request.edge);
            let offer = Arc::new(front.offer(request.limit));
            let (asking, of) = (Arc::clone(request), Arc::clone(&offer));
            let leased = self.claim(move |tx| {
                let (request, offer) = (Arc::clone(&asking), Arc::clone(&of));
                Box::pin(async move { lease::lease(tx, &request, &offer, due).await })
            });
            let leased = leased.await?;
            if request.witnesses_only {
                return Ok(leased);
            }
            let claimed: Vec<_> = leased.iter().map(|errand| errand.id).collect();
            self.shared.fronts.taken(&request.edge, &offer, &claimed, leased.len() >= request.limit);
            (offered, tries) = (offered + offer.ready(), tries + 1);
            if !leased.is_empty() || offered >= front.ready() || tries == TRIES {
                return Ok(leased);
            }
        }
    }
}

/// Of all queues that of orders is looked at wherever some come.
async fn renew_statistics(shared: &Shared, readers: &Pool, queue: &str) {
    if queue == TO_PLAN
        && let Err(error) = shared.statistics.renew(readers).await
    {
        tracing::debug!(error = %error, "how far tables have grown could not be looked at; once more");
    }
}
