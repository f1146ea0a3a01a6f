//! Replicas: nothing to say on SQLite, a few rows on PostgreSQL.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{Home, SqlLedger};
use crate::ledger::postgres::Heard;
use crate::ledger::{Alive, End, LeaseRequest, Leased, LedgerError, LedgerResult, Replicas, Settlement, Turn};
use crate::model::Timestamp;

/// One in so many rounds of planning looks at the front of the queue.
const FRONT_EVERY: u32 = 8;
/// A clock further from the database's than this may take leases from others too early.
const MOST_APART_MS: i64 = 5_000;
/// A longer answer is wrong by more than a second.
const TELLS_TIME_WITHIN: Duration = Duration::from_secs(2);

/// How far our clock is ahead of the database's: it said `at` somewhere within an answer that took so long, and was asked so
/// long after `now`. An answer that was slow to come says little of a clock: none.
fn ahead_ms(now: Timestamp, before: Duration, took: Duration, at: i64) -> Option<i64> {
    let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    (took <= TELLS_TIME_WITHIN).then(|| now.0.saturating_add(ms(before)).saturating_add(ms(took) / 2) - at)
}

impl SqlLedger {
    /// Leases are times: a clock that is astray takes none.
    pub(super) fn refuse_astray(&self) -> LedgerResult<()> {
        let ahead = self.ahead_ms.load(Ordering::Relaxed);
        if ahead.abs() <= MOST_APART_MS {
            return Ok(());
        }
        Err(LedgerError::Unfit(format!(
            "the clock of this machine is {} s {} that of the database, and leases are times: set it",
            ahead.abs() / 1000,
            if ahead > 0 { "ahead of" } else { "behind" }
        )))
    }
}

impl SqlLedger {
    /// How many orders this replica leaves to those before it: each plans a part of a long queue of its own. Now and then it
    /// looks at the front all the same, so that nothing waits for a replica that plans no more.
    pub(super) fn skipped(&self, limit: usize) -> usize {
        let place = usize::try_from(self.place.load(Ordering::Relaxed)).unwrap_or(0);
        if place == 0 || self.rounds.fetch_add(1, Ordering::Relaxed).is_multiple_of(FRONT_EVERY) { 0 } else { place * limit }
    }

    /// A request for leases by the database's clock, so that no replica takes those of another too early.
    pub(super) fn asked_by_database(&self, request: LeaseRequest) -> LeaseRequest {
        LeaseRequest { now: self.by_database(request.now), ..request }
    }

    /// The end of a quiet period by the clock of this machine.
    pub(super) fn leased_by_own_clock(&self, mut leased: Vec<Leased>) -> Vec<Leased> {
        let ahead = self.ahead_ms.load(Ordering::Relaxed);
        for errand in &mut leased {
            errand.quiet_until = errand.quiet_until.map(|at| at.plus_ms(ahead));
        }
        leased
    }

    /// A time of this machine by the database's clock: leases and quiet periods are compared by all replicas.
    fn by_database(&self, at: Timestamp) -> Timestamp {
        at.plus_ms(-self.ahead_ms.load(Ordering::Relaxed))
    }

    /// The same for what a settlement says.
    pub(super) fn settled_by_database(&self, mut settlement: Settlement) -> Settlement {
        settlement.at = self.by_database(settlement.at);
        match &mut settlement.end {
            End::Retry { at, .. } | End::Miss { ask_at: at } | End::Unheard { ask_at: at } => *at = self.by_database(*at),
            End::Unclear { ask_at, quiet_until, .. } => {
                *ask_at = self.by_database(*ask_at);
                *quiet_until = self.by_database(*quiet_until);
            }
            _ => {}
        }
        settlement
    }
}

#[async_trait]
impl Replicas for SqlLedger {
    fn is_shared(&self) -> bool {
        !self.is_alone()
    }

    async fn alive(&self, owner: &str, now: Timestamp, hold_ms: i64) -> LedgerResult<Alive> {
        let Home::Postgres(home) = &self.home else { return Ok(Alive { replicas: 1, place: 0, ahead_ms: 0 }) };
        let began = Instant::now();
        let said = home.alive(owner, hold_ms).await;
        let lasted = began.elapsed();
        home.follow(said.is_err()).await;
        let Heard { replicas, place, at, took } = said?;
        self.place.store(place, Ordering::Relaxed);
        if let Some(ahead) = ahead_ms(now, lasted.saturating_sub(took), took, at) {
            self.ahead_ms.store(ahead, Ordering::Relaxed);
        }
        Ok(Alive { replicas, place, ahead_ms: self.ahead_ms.load(Ordering::Relaxed) })
    }

    async fn turn(&self, duty: &str, owner: &str, hold_ms: i64) -> LedgerResult<Turn> {
        match &self.home {
            Home::Postgres(home) => home.turn(duty, owner, hold_ms).await,
            Home::Sqlite(_) => Ok(Turn::Ours { ran_at: None }),
        }
    }

    async fn ran(&self, duty: &str, now: Timestamp) -> LedgerResult<()> {
        match &self.home {
            Home::Postgres(home) => home.ran(duty, now).await,
            Home::Sqlite(_) => Ok(()),
        }
    }

    async fn leave(&self, owner: &str) -> LedgerResult<()> {
        match &self.home {
            Home::Postgres(home) => home.leave(owner).await,
            Home::Sqlite(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_database_is_not_taken_for_a_wrong_clock() {
        let ms = Duration::from_millis;
        assert_eq!(ahead_ms(Timestamp(10_000), ms(0), ms(20), 10_010), Some(0));
        assert_eq!(ahead_ms(Timestamp(10_000), ms(7_000), ms(20), 17_010), Some(0), "it was asked 7 s later");
        assert_eq!(ahead_ms(Timestamp(10_000), ms(0), ms(2_000), 3_000), Some(8_000), "this one is wrong");
        assert_eq!(ahead_ms(Timestamp(10_000), ms(0), ms(9_000), 19_000), None, "nobody knows");
    }
}
