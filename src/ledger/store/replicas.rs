//! Replicas: nothing to say on SQLite, a few rows on PostgreSQL.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::{Home, SqlLedger};
use crate::ledger::postgres::Heard;
use crate::ledger::{
    Alive, End, LeaseRequest, Leased, LedgerError, LedgerResult, Pull, Receipt, Replicas, Settlement, StandingRound, Turn,
};
use crate::model::Timestamp;

/// One in so many rounds of planning looks at the front of the queue.
const FRONT_EVERY: u32 = 8;
/// A clock further from the database's than this may take leases from others too early.
const MOST_APART_MS: i64 = 5_000;
/// A longer answer is wrong by more than a second.
const TELLS_TIME_WITHIN: Duration = Duration::from_secs(2);

/// How far our clock is ahead of the database's: it said `at` somewhere within an answer that took so long, and was asked so
/// long after `now`.
fn ahead_ms(now: Timestamp, before: Duration, took: Duration, at: i64) -> i64 {
    let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    now.0.saturating_add(ms(before)).saturating_add(ms(took) / 2).saturating_sub(at)
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

    /// An answer that was slow to come says little of a clock: what is known already is better.
    fn learn_clock(&self, now: Timestamp, before: Duration, took: Duration, at: i64) {
        if took <= TELLS_TIME_WITHIN || !self.knows_clock.load(Ordering::Relaxed) {
            self.ahead_ms.store(ahead_ms(now, before, took, at), Ordering::Relaxed);
            self.knows_clock.store(true, Ordering::Relaxed);
        }
    }

    /// While one process recovers, all of this ledger ask before they send.
    pub(super) async fn share_caution(&self) -> LedgerResult<()> {
        let Home::Postgres(home) = &self.home else { return Ok(()) };
        if let Some(own) = self.shared.caution.told()? {
            return home.tell_caution(&own).await;
        }
        self.shared.caution.hear(home.caution().await?.as_deref())
    }

    /// A request for leases by the database's clock, so that no replica takes those of another too early.
    pub(super) fn asked_by_database(&self, request: LeaseRequest) -> LeaseRequest {
        LeaseRequest { now: self.by_database(request.now), ..request }
    }

    /// The end of a quiet period by the clock of this machine.
    pub(super) fn leased_by_own_clock(&self, mut leased: Vec<Leased>) -> Vec<Leased> {
        for errand in &mut leased {
            errand.quiet_until = errand.quiet_until.map(|at| self.by_own_clock(at));
        }
        leased
    }

    /// A time by the database's clock as this machine's shows it.
    pub(super) fn by_own_clock(&self, at: Timestamp) -> Timestamp {
        at.plus_ms(self.ahead_ms.load(Ordering::Relaxed))
    }

    /// A time of this machine by the database's clock: whatever one replica writes and others compare with their own time
    /// (leases, quiet periods, schedules, what is due, what is newer) is written by it.
    pub(super) fn by_database(&self, at: Timestamp) -> Timestamp {
        at.plus_ms(-self.ahead_ms.load(Ordering::Relaxed))
    }

    /// The same for what arrived.
    pub(super) fn received_by_database(&self, receipt: Receipt) -> Receipt {
        Receipt { received_at: self.by_database(receipt.received_at), ..receipt }
    }

    /// The same for a round of polling.
    pub(super) fn pulled_by_database(&self, pull: Pull) -> Pull {
        let receipts = pull.receipts.into_iter().map(|receipt| self.received_by_database(receipt)).collect();
        Pull { receipts, started_at: self.by_database(pull.started_at), ..pull }
    }

    /// The same for a round of a standing list.
    pub(super) fn stood_by_database(&self, round: StandingRound) -> StandingRound {
        let rows = round.rows.into_iter().map(|(id, receipt)| (id, self.received_by_database(receipt))).collect();
        StandingRound { rows, at: self.by_database(round.at), ..round }
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
        self.learn_clock(now, lasted.saturating_sub(took), took, at);
        self.share_caution().await?;
        Ok(Alive { replicas, place, ahead_ms: self.ahead_ms.load(Ordering::Relaxed) })
    }

    async fn turn(&self, duty: &str, owner: &str, hold_ms: i64) -> LedgerResult<Turn> {
        match &self.home {
            Home::Postgres(home) => Ok(match home.turn(duty, owner, hold_ms).await? {
                Turn::Ours { ran_at } => Turn::Ours { ran_at: ran_at.map(|at| self.by_own_clock(at)) },
                Turn::Others => Turn::Others,
            }),
            Home::Sqlite(_) => Ok(Turn::Ours { ran_at: None }),
        }
    }

    async fn ran(&self, duty: &str, now: Timestamp) -> LedgerResult<()> {
        match &self.home {
            Home::Postgres(home) => home.ran(duty, self.by_database(now)).await,
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
    use crate::ledger::{Ledger as _, Mode};

    #[tokio::test]
    async fn a_slow_database_is_not_taken_for_a_wrong_clock() {
        let folder = tempfile::tempdir().unwrap();
        let ledger =
            SqlLedger::open(&format!("sqlite:{}", folder.path().join("l.db").display()), "test", Mode::Serve).await.unwrap();
        let learnt = |before, took, at| {
            ledger.learn_clock(Timestamp(10_000), Duration::from_millis(before), Duration::from_millis(took), at);
            ledger.ahead_ms.load(Ordering::Relaxed)
        };
        assert_eq!(learnt(0, 9_000, 14_400), 100, "better than nothing");
        assert_eq!(learnt(0, 20, 10_010), 0);
        assert_eq!(learnt(7_000, 20, 17_010), 0, "it was asked 7 s later");
        assert_eq!(learnt(0, 9_000, 19_000), 0, "nobody knows: what was known stays");
        assert_eq!(learnt(0, 2_000, 3_000), 8_000, "this one is wrong");
        ledger.close().await;
    }
}
