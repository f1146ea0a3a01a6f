//! The front of a queue on PostgreSQL: what is known to wait, by id, and since when more may have come.
//!
//! An index keeps what was claimed, settled or planned for as long as any transaction may still see it, and whoever looks for
//! the first that wait walks over all of that. So nobody does while somebody waits for it. Three rings keep watch:
//!
//! - A *claim* takes those known, by id, and what fell due since the last look, by time: a short range at the end of an index,
//!   however long the dead one before it.
//! - A look *on*, each second beside the work, sees which of those known still wait and what fell due since, and goes on in the
//!   index by rank where the first [`MOST`] are used up: never over what was done before.
//! - A look at the *whole* queue walks over everything: at the beginning, after a clock was set back, and else rarely.
//!
//! What comes is due when it comes. What this process writes with an older time is [noted](Fronts::note) as it is committed, and
//! claims begin there. What another writes so (a commit that took longer than [`LATE_MS`], a clock behind, a row changed by
//! hand) is found by the next look on where that is not older than [`LATER_MS`], else by the next look at the whole.

mod look;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::LedgerResult;
use super::rows;
use crate::ledger::engine::Pool;
use crate::model::{Id, Timestamp};

/// The queue of orders that want a plan; others are named as their edge.
pub(in crate::ledger) const TO_PLAN: &str = "to plan";

/// How many of a queue are remembered.
const MOST: usize = 1_000;
/// Fewer than these left of more: it is looked on.
const FEW: usize = MOST / 4;
/// A claim is offered so many times what it takes: others claim from the same.
const OFFERED: usize = 8;
/// How much later than it says something may be there to be seen by a claim: a commit takes its time, and clocks differ.
const LATE_MS: i64 = 2_000;
/// The same for a look on, which costs nobody any time.
const LATER_MS: i64 = 30_000;
/// It is looked on when so much time has passed since the last look; where looks take long, so much longer than one takes.
const ON_EVERY: Duration = Duration::from_secs(1);
const ON_SHARE: u32 = 20;
/// Nobody looked for so long: before anything else, one does.
const OLD: Duration = Duration::from_secs(10);
/// The same for looks at the whole: a hundredth of the time, as long as that is often enough.
const WHOLE_EVERY: Duration = Duration::from_secs(30);
const WHOLE_SHARE: u32 = 100;
const WHOLE_AT_LATEST: Duration = Duration::from_secs(120);

/// What is planned again goes before all that comes, and yet by time: it has that time less so much. It stands in two texts, too.
const AGAIN_MS: i64 = 1_000_000_000_000_000;

/// When an order is planned again. On SQLite, where nothing dead stays in an index, the value given.
macro_rules! planned_again {
    ($here:literal, $at:literal) => {
        concat!($here, " /*postgres - (", $here, ") + ", $at, " - 1000000000000000*/")
    };
}

/// It is planned again since then.
macro_rules! again_since {
    ($of:literal, $since:literal) => {
        concat!($of, ".plan_at > ", $since, " - 1000000000000000 AND ", $of, ".plan_at < 0")
    };
}
pub(in crate::ledger::sql) use {again_since, planned_again};

/// All that wait up to a place in their queue, by id. What waits behind it is looked for.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct Known {
    /// The last such place: a time; of orders that came, an id.
    pub(super) since: i64,
    pub(super) ids: Vec<i64>,
}

impl Known {
    /// Nothing is known: all of the queue is "since".
    pub(in crate::ledger) const NOTHING: Self = Self { since: i64::MIN, ids: Vec::new() };

    /// Of what was found with its place in the queue, in whatever order: the first, up to this place or an earlier one.
    fn of(mut found: Vec<(i64, i64)>, since: i64) -> Self {
        found.sort_unstable();
        found.dedup();
        let since = found.get(MOST).map_or(since, |(at, _)| since.min(at.saturating_sub(1)));
        Self { since, ids: found.into_iter().take_while(|(at, _)| *at <= since).map(|(_, id)| id).collect() }
    }

    /// The ids as a document.
    pub(super) fn listed(&self) -> LedgerResult<String> {
        rows(&self.ids)
    }

    fn lower(&mut self, since: i64) {
        self.since = self.since.min(since);
    }
}

/// The front of one queue.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct Front {
    /// What is to be sent, the first by rank; orders that came and want a plan.
    pub(super) ready: Known,
    /// Others that are ready have this rank or a higher one.
    pub(super) below: i64,
    /// What is to be asked about, and leases that ran out; orders that waited for their date, or want another plan.
    pub(super) others: Known,
}

impl Front {
    /// Nothing is known. SQLite knows no other: its indexes hold what is there.
    pub(super) const WHOLE: Self = Self { ready: Known::NOTHING, below: i64::MAX, others: Known::NOTHING };

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

    /// What falls due from this time on is behind.
    fn lower(&mut self, queue: &str, from: Timestamp) {
        let (ready, others) = before(queue, from);
        self.ready.lower(ready);
        self.others.lower(others);
    }

    fn is_behind(&self, queue: &str, from: Timestamp) -> bool {
        let (ready, others) = before(queue, from);
        self.ready.since > ready || self.others.since > others
    }
}

/// The last places in a queue before this time.
fn before(queue: &str, at: Timestamp) -> (i64, i64) {
    let time = at.0.saturating_sub(1);
    (if queue == TO_PLAN { Id::floor(at).0 - 1 } else { time }, time)
}

/// How a queue is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) enum How {
    /// From what is known on.
    On,
    /// From its beginning.
    Whole,
}

/// Whether a queue is to be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) enum Look {
    No,
    /// Beside the work; whoever is told so does it.
    Beside(How),
    /// Before anything else.
    First(How),
}

/// The last looks at a queue.
#[derive(Debug, Clone, Copy)]
struct Looked {
    /// When it was, by the clock of whoever claims.
    now: Timestamp,
    /// When any ended, well or badly.
    ended: Instant,
    /// What the last look on took.
    took: Duration,
    /// When the last at the whole ended, and what it took.
    whole: (Instant, Duration),
}

#[derive(Debug)]
struct Queue {
    front: Arc<Front>,
    /// None: nobody did yet.
    looked: Option<Looked>,
    /// How many looks have told what is there.
    told: u64,
    /// Looks under way, and the earliest time that was noted since each began: it may not have seen what that is about.
    under_way: HashMap<u64, Timestamp>,
    /// Somebody was asked to look beside the work.
    asked: bool,
    /// One looks while others wait for it, and have what it found.
    first: Arc<tokio::sync::Mutex<()>>,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            front: Arc::new(Front::WHOLE),
            looked: None,
            told: 0,
            under_way: HashMap::new(),
            asked: false,
            first: Arc::default(),
        }
    }
}

/// What this process remembers of its queues.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Fronts {
    queues: Mutex<HashMap<String, Queue>>,
    /// Looks beside the work go one after another.
    beside: tokio::sync::Mutex<()>,
}

/// A look under way, however it ends.
struct UnderWay<'a> {
    fronts: &'a Fronts,
    queue: &'a str,
    how: How,
    began: Instant,
    number: u64,
    told_before: u64,
    from: Arc<Front>,
}

impl UnderWay<'_> {
    /// Remembers what was found, unless another has told more meanwhile.
    fn tells(&self, mut front: Front, now: Timestamp) {
        let mut queues = self.fronts.queues();
        let Some(queue) = queues.get_mut(self.queue).filter(|queue| self.how == How::Whole || queue.told == self.told_before)
        else {
            return;
        };
        if let Some(late) = queue.under_way.get(&self.number) {
            front.lower(self.queue, *late);
        }
        queue.front = Arc::new(front);
        queue.told += 1;
        // The rest is said when this ends, a moment from now.
        let first = || Looked { now, ended: self.began, took: Duration::ZERO, whole: (self.began, Duration::ZERO) };
        queue.looked.get_or_insert_with(first).now = now;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut queues = self.fronts.queues();
        let Some(queue) = queues.get_mut(self.queue) else { return };
        queue.under_way.remove(&self.number);
        queue.asked = false;
        let Some(looked) = &mut queue.looked else { return };
        let (ended, took) = (Instant::now(), self.began.elapsed());
        looked.ended = ended;
        match self.how {
            How::On => looked.took = took,
            How::Whole => looked.whole = (ended, took),
        }
    }
}

/// What a commit makes due from some time on, noted when it is over, however it ends.
pub(in crate::ledger) struct Noting<'a> {
    fronts: &'a Fronts,
    from: Option<Timestamp>,
}

impl Drop for Noting<'_> {
    fn drop(&mut self) {
        if let Some(from) = self.from {
            self.fronts.note(from);
        }
    }
}

impl Fronts {
    fn queues(&self) -> MutexGuard<'_, HashMap<String, Queue>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn first(&self, queue: &str) -> Arc<tokio::sync::Mutex<()>> {
        Arc::clone(&self.queues().entry(queue.to_owned()).or_default().first)
    }

    /// The turn of a look beside the work.
    pub(in crate::ledger) async fn beside(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.beside.lock().await
    }

    pub(in crate::ledger) fn of(&self, queue: &str) -> Arc<Front> {
        self.queues().get(queue).map_or_else(|| Arc::new(Front::WHOLE), |queue| Arc::clone(&queue.front))
    }

    pub(in crate::ledger) fn wants(&self, queue: &str, now: Timestamp) -> Look {
        let mut queues = self.queues();
        let Some((queue, looked)) = queues.get_mut(queue).and_then(|queue| queue.looked.map(|looked| (queue, looked))) else {
            return Look::First(How::Whole);
        };
        let (age, (whole_ended, whole_took)) = (looked.ended.elapsed(), looked.whole);
        if now.plus_ms(LATE_MS) < looked.now {
            return Look::First(How::Whole);
        }
        if !queue.under_way.is_empty() {
            return Look::No;
        }
        if age > OLD {
            return Look::First(How::On);
        }
        let whole = whole_ended.elapsed() >= (whole_took * WHOLE_SHARE).clamp(WHOLE_EVERY, WHOLE_AT_LATEST);
        let runs_out = queue.front.is_cut() && queue.front.ready() < FEW && age >= looked.took;
        let on = runs_out || age >= (looked.took * ON_SHARE).clamp(ON_EVERY, OLD);
        if queue.asked || !(whole || on) {
            return Look::No;
        }
        queue.asked = true;
        Look::Beside(if whole { How::Whole } else { How::On })
    }

    fn begin<'a>(&'a self, name: &'a str, how: How) -> UnderWay<'a> {
        let mut queues = self.queues();
        let queue = queues.entry(name.to_owned()).or_default();
        let number = (0..).find(|number| !queue.under_way.contains_key(number)).unwrap_or_default();
        queue.under_way.insert(number, Timestamp(i64::MAX));
        let (told_before, from) = (queue.told, Arc::clone(&queue.front));
        UnderWay { fronts: self, queue: name, how, began: Instant::now(), number, told_before, from }
    }

    /// Looks at a queue, and remembers. What was known before stays where that fails.
    pub(in crate::ledger) async fn look(&self, pool: &Pool, queue: &str, how: How, now: Timestamp) -> LedgerResult<()> {
        let under_way = self.begin(queue, how);
        let front = look::at(pool, queue, how, &under_way.from, now).await?;
        under_way.tells(front, now);
        Ok(())
    }

    /// Looks before anything else, unless somebody just did. Without a look the whole queue is claimed from, or what was known.
    pub(in crate::ledger) async fn look_first(&self, pool: &Pool, queue: &str, now: Timestamp) {
        let first = self.first(queue);
        let _turn = first.lock().await;
        let Look::First(how) = self.wants(queue, now) else { return };
        if let Err(error) = self.look(pool, queue, how, now).await {
            tracing::warn!(error = %error, queue, "the front of a queue could not be looked at");
        }
    }

    /// Looks on from a front that is used up, unless another has taken its place.
    pub(in crate::ledger) async fn look_on(
        &self,
        pool: &Pool,
        queue: &str,
        from: &Arc<Front>,
        now: Timestamp,
    ) -> LedgerResult<()> {
        let first = self.first(queue);
        let _turn = first.lock().await;
        if Arc::ptr_eq(from, &self.of(queue)) { self.look(pool, queue, How::On, now).await } else { Ok(()) }
    }

    /// What a commit makes due is noted when what is given ends, which must not be before the commit.
    pub(in crate::ledger) fn noting(&self, from: Option<Timestamp>) -> Noting<'_> {
        Noting { fronts: self, from }
    }

    /// Something was written that falls due from this time on, which may have passed: claims begin there, and so does the next
    /// look. Noted once it can be seen, since a look that does not see it yet would forget it.
    pub(in crate::ledger) fn note(&self, from: Timestamp) {
        for (name, queue) in self.queues().iter_mut() {
            queue.under_way.values_mut().for_each(|late| *late = from.min(*late));
            if queue.front.is_behind(name, from) {
                Arc::make_mut(&mut queue.front).lower(name, from);
            }
        }
    }

    /// What was claimed waits no more. What was offered before the last of it, or to a claim that had not enough, is gone, or
    /// another holds it: it goes behind the others, and the next look tells.
    pub(in crate::ledger) fn taken(&self, queue: &str, offer: &Front, claimed: &[Id], enough: bool) {
        let mut queues = self.queues();
        let Some(queue) = queues.get_mut(queue).filter(|queue| queue.front.ready() > 0) else { return };
        let claimed: HashSet<i64> = claimed.iter().map(|id| id.0).collect();
        let last = offer.ready.ids.iter().rposition(|id| claimed.contains(id)).map_or(0, |place| place + 1);
        let passed = if enough { last } else { offer.ready() };
        let doubted: HashSet<i64> = offer.ready.ids[..passed].iter().copied().filter(|id| !claimed.contains(id)).collect();
        if passed == 0 {
            return;
        }
        let ids = &mut Arc::make_mut(&mut queue.front).ready.ids;
        ids.retain(|id| !claimed.contains(id));
        let (behind, first): (Vec<i64>, Vec<i64>) = ids.iter().copied().partition(|id| doubted.contains(id));
        *ids = [first, behind].concat();
    }
}
