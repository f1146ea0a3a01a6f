//! The front of a queue on PostgreSQL: what is known to wait, by id, and since when more may have come.
//!
//! An index keeps what was claimed, settled or planned for as long as any transaction may still see it, and whoever looks for
//! the first that wait walks over all of that. So nobody does while somebody waits for it: a *look* walks the whole queue
//! beside the work, now and then, and remembers the first that wait. A claim takes those by id, and what fell due since the
//! look by time: a short range at the end of an index, however long the dead one before it.
//!
//! What comes is due when it comes, later than the look. What is written late (a commit that took longer than [`LATE_MS`],
//! a clock set back, an earlier version of this program) is found by the next look.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::LedgerResult;
use super::rows;
use crate::ledger::engine::{Pool, query_as, query_scalar};
use crate::model::{Id, Timestamp};

/// The queue of orders that want a plan; others are named as their edge.
pub(in crate::ledger) const TO_PLAN: &str = "to plan";

/// How many of a queue are remembered.
const MOST: usize = 1_000;
/// Fewer than these left of more: it is looked again.
const FEW: usize = MOST / 4;
/// A claim is offered so many times what it takes: others claim from the same.
const OFFERED: usize = 8;
/// How much later than it says something may be there to be seen: a commit takes its time, and clocks differ.
const LATE_MS: i64 = 2_000;
/// A queue is looked at when so much time has passed since the last look; where looks take long, later, so that a twentieth of
/// the time is spent with them. Not much later, though that may be a larger part: a look may only have waited for a busy
/// server, and what came since is read by each claim.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_SHARE: u32 = 20;
const LOOK_AT_LATEST: Duration = Duration::from_secs(5);
/// Nobody looked for so long: before anything else, one does.
const OLD: Duration = Duration::from_secs(10);
/// No look lasts so long: whoever was at it is gone.
const GONE: Duration = Duration::from_secs(70);

/// Some that wait, by id, and since when others may have come.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct Known {
    /// A time; of orders to plan, an id.
    pub(super) since: i64,
    pub(super) ids: Vec<i64>,
}

impl Known {
    /// Nothing is known: all of the queue is "since".
    pub(in crate::ledger) const NOTHING: Self = Self { since: i64::MIN, ids: Vec::new() };

    /// The ids as a document.
    pub(super) fn listed(&self) -> LedgerResult<String> {
        rows(&self.ids)
    }
}

/// The front of one queue.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct Front {
    /// What is to be sent, by rank; or planned.
    pub(super) ready: Known,
    /// Others that are ready have this rank or a higher one.
    pub(super) below: i64,
    /// What is to be asked about, and leases that ran out.
    pub(super) held: Known,
}

impl Front {
    /// Nothing is known. SQLite knows no other: its indexes hold what is there.
    pub(super) const WHOLE: Self = Self { ready: Known::NOTHING, below: i64::MAX, held: Known::NOTHING };

    /// More wait than are remembered.
    pub(in crate::ledger) fn is_cut(&self) -> bool {
        self.below < i64::MAX
    }

    /// The same with those first ones only that a claim of so many is offered.
    pub(in crate::ledger) fn offer(&self, limit: usize) -> Self {
        let offered = self.ready.ids.iter().take(limit.saturating_mul(OFFERED)).copied().collect();
        Self { ready: Known { since: self.ready.since, ids: offered }, ..self.clone() }
    }

    /// As many as are remembered.
    pub(in crate::ledger) fn ready(&self) -> usize {
        self.ready.ids.len()
    }
}

/// A front, and the look that found it.
#[derive(Debug)]
struct Looked {
    front: Arc<Front>,
    now: Timestamp,
    /// When the last look ended, well or badly.
    ended: Instant,
    took: Duration,
    /// Somebody looks again.
    again: bool,
}

/// Whether a queue is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) enum Look {
    No,
    /// Beside the work; whoever is told so does it.
    Beside,
    /// Before anything else.
    First,
}

/// What this process remembers of its queues.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Fronts {
    queues: Mutex<HashMap<String, Looked>>,
    /// How often all was forgotten: a look that began before tells nothing.
    forgotten: AtomicU64,
    /// One looks first, and those who wait for it have what it found.
    first: tokio::sync::Mutex<()>,
}

/// A look under way, however it ends.
struct UnderWay<'a> {
    fronts: &'a Fronts,
    queue: &'a str,
    began: Instant,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if let Some(looked) = self.fronts.queues().get_mut(self.queue) {
            (looked.again, looked.ended, looked.took) = (false, Instant::now(), self.began.elapsed());
        }
    }
}

impl Fronts {
    fn queues(&self) -> MutexGuard<'_, HashMap<String, Looked>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(in crate::ledger) fn of(&self, queue: &str) -> Arc<Front> {
        self.queues().get(queue).map_or_else(|| Arc::new(Front::WHOLE), |looked| Arc::clone(&looked.front))
    }

    pub(in crate::ledger) fn wants(&self, queue: &str, now: Timestamp) -> Look {
        let mut queues = self.queues();
        let Some(looked) = queues.get_mut(queue) else { return Look::First };
        let (age, pace) = (looked.ended.elapsed(), (looked.took * LOOK_SHARE).clamp(LOOK_EVERY, LOOK_AT_LATEST));
        if now.plus_ms(LATE_MS) < looked.now || age > GONE || (age > OLD && !looked.again) {
            return Look::First;
        }
        let runs_out = looked.front.is_cut() && looked.front.ready.ids.len() < FEW && age >= looked.took;
        if looked.again || (age < pace && !runs_out) {
            return Look::No;
        }
        looked.again = true;
        Look::Beside
    }

    /// Looks at a queue as a whole, and remembers. What was known before stays where that fails.
    pub(in crate::ledger) async fn look(&self, pool: &Pool, queue: &str, now: Timestamp) -> LedgerResult<()> {
        let (forgotten, under_way) =
            (self.forgotten.load(Ordering::Acquire), UnderWay { fronts: self, queue, began: Instant::now() });
        let front = Arc::new(if queue == TO_PLAN { orders(pool, now).await } else { errands(pool, queue, now).await }?);
        let mut queues = self.queues();
        if self.forgotten.load(Ordering::Acquire) == forgotten {
            let (ended, took) = (Instant::now(), under_way.began.elapsed());
            queues.insert(queue.to_owned(), Looked { front, now, ended, took, again: false });
        }
        drop(queues);
        Ok(())
    }

    /// Looks before anything else, unless somebody just did. Without a look the whole queue is claimed from, or what was known.
    pub(in crate::ledger) async fn look_first(&self, pool: &Pool, queue: &str, now: Timestamp) {
        let _turn = self.first.lock().await;
        if self.wants(queue, now) == Look::No {
            return;
        }
        if let Err(error) = self.look(pool, queue, now).await {
            tracing::warn!(error = %error, queue, "the front of a queue could not be looked at");
        }
    }

    /// Somebody changed things by hand: every queue is looked at before anything else.
    pub(in crate::ledger) fn forget(&self) {
        let mut queues = self.queues();
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        queues.clear();
    }

    /// What was claimed waits no more; of an offer that was not enough, nothing does.
    pub(in crate::ledger) fn taken(&self, queue: &str, offer: &Front, claimed: &[Id], enough: bool) {
        let mut queues = self.queues();
        let Some(looked) = queues.get_mut(queue).filter(|looked| !looked.front.ready.ids.is_empty()) else { return };
        let gone: HashSet<i64> =
            if enough { claimed.iter().map(|id| id.0).collect() } else { offer.ready.ids.iter().copied().collect() };
        Arc::make_mut(&mut looked.front).ready.ids.retain(|id| !gone.contains(id));
    }
}

fn counted(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// The first errands of an edge. By rank, whatever the planner thinks: many may be ready.
async fn errands(pool: &Pool, edge: &str, now: Timestamp) -> LedgerResult<Front> {
    let found: Vec<(i64, i64, i64)> = query_as(
        "/* look */ (SELECT CAST(1 AS BIGINT) AS ready, id, rank FROM errand WHERE edge = $1 AND state = 'ready' AND due_at + 0 <= $2 ORDER BY rank LIMIT $3)
         UNION ALL
         (SELECT 0, id, rank FROM errand WHERE edge = $1 AND state = 'unclear' AND due_at <= $2 LIMIT $3)
         UNION ALL
         (SELECT 0, id, rank FROM errand WHERE edge = $1 AND state = 'sending' AND lease_until < $2 LIMIT $3)",
    )
    .bind(edge)
    .bind(now.0)
    .bind(counted(MOST + 1))
    .fetch_all(pool)
    .await?;
    let since = now.plus_ms(-LATE_MS).0;
    let (ready, held): (Vec<_>, Vec<_>) = found.into_iter().partition(|(ready, ..)| *ready == 1);
    let mut ready: Vec<(i64, i64)> = ready.into_iter().map(|(_, id, rank)| (rank, id)).collect();
    ready.sort_unstable();
    let below = ready.get(MOST).map_or(i64::MAX, |(rank, _)| *rank);
    let first = ready.into_iter().take(MOST).map(|(_, id)| id).collect();
    let held =
        if held.len() > MOST { Known::NOTHING } else { Known { since, ids: held.into_iter().map(|(_, id, _)| id).collect() } };
    Ok(Front { ready: Known { since, ids: first }, below, held })
}

/// Orders that want a plan, those that wait for another of their lane among them. Of too many nothing is remembered: who is
/// first of them is decided over all.
async fn orders(pool: &Pool, now: Timestamp) -> LedgerResult<Front> {
    let ids: Vec<i64> = query_scalar(
        "/* look */ SELECT id FROM assignment WHERE state IN ('received', 'planned') AND parked_at IS NULL AND revocation IN (0, 1)
            AND plan_at <= $1 LIMIT $2",
    )
    .bind(now.0)
    .bind(counted(MOST + 1))
    .fetch_all(pool)
    .await?;
    let since = Id::floor(now.plus_ms(-LATE_MS)).0;
    let ready = if ids.len() > MOST { Known::NOTHING } else { Known { since, ids } };
    Ok(Front { ready, ..Front::WHOLE })
}
