//! The figures' loop: small steps at a gentle pace, so that orders never wait for statistics. Only what is far behind (after an
//! upgrade, an import, in a fresh demo) is made at a quicker pace, and only while hardly an order moves.

use std::time::Duration;

use crate::catalog::Catalog;
use crate::kpi::rollup::Rollup;
use crate::ledger::{Ledger, LedgerResult};
use crate::model::Clock;

/// A step's time is followed by so much rest: a twentieth of one processor, at most.
const REST: u32 = 19;
/// The same while figures are far behind and hardly anything else goes on: half of one processor.
const REST_AT_LEISURE: u32 = 1;
/// Rest after a step that found little: what changes within it is counted together.
const GATHER: Duration = Duration::from_secs(2);
/// A step may take less than the clock can tell.
const SHORTEST_STEP: Duration = Duration::from_millis(1);
/// The duty is asked for again before it is lost to another process: longer rests are taken in pieces.
const LONGEST_REST: Duration = Duration::from_secs(5);
/// A step that was held up by others shall not make the figures rest for hours.
const MOST_OWED: Duration = Duration::from_secs(120);

/// The figures, and the rest they still owe.
#[derive(Debug, Default)]
pub struct Pace {
    rollup: Rollup,
    owed: Duration,
    others: Others,
}

/// How much else goes on, by how many assignments it changes: each counts as some time of work, laid end to end.
#[derive(Debug, Default)]
struct Others {
    /// Work that was not over at the last look.
    left_ms: i64,
    looked_ms: Option<i64>,
}

impl Others {
    /// What a changed assignment counts as: ten a second are a bridge at work.
    const EACH_MS: i64 = 100;
    /// A single order, or ten at once, are not.
    const BUSY_MS: i64 = 1_000;
    /// However many there were, half a second without any is enough.
    const MOST_MS: i64 = Self::BUSY_MS + 500;

    /// These changed since the last look.
    fn changed(&mut self, assignments: usize, now_ms: i64) {
        let more = i64::try_from(assignments).unwrap_or(i64::MAX).saturating_mul(Self::EACH_MS);
        let passed = now_ms.saturating_sub(self.looked_ms.replace(now_ms).unwrap_or(now_ms));
        self.left_ms = self.left_ms.saturating_add(more).saturating_sub(passed).clamp(0, Self::MOST_MS);
    }

    /// As of the last look, however long ago: figures that are far behind look rarely where looking costs something.
    fn are_at_work(&self) -> bool {
        self.left_ms > Self::BUSY_MS
    }
}

impl Pace {
    /// Begins anew: another process kept the figures meanwhile.
    pub(super) fn begin_anew(&mut self) {
        self.rollup = Rollup::new();
    }

    /// One step, unless rest is owed for the one before; how long to rest now.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn round(&mut self, ledger: &dyn Ledger, catalog: &Catalog, clock: &dyn Clock) -> LedgerResult<Duration> {
        if self.owed.is_zero() {
            let begun = clock.boot_ms();
            let progress = self.rollup.step(ledger, catalog, clock).await?;
            if let Some(moved) = progress.moved {
                self.others.changed(moved, begun);
            }
            let took = Duration::from_millis(u64::try_from(clock.boot_ms().saturating_sub(begun)).unwrap_or(0));
            let rest = if progress.behind && !self.others.are_at_work() { REST_AT_LEISURE } else { REST };
            self.owed = if progress.any() { (took.max(SHORTEST_STEP) * rest).min(MOST_OWED) } else { GATHER };
        }
        let now = self.owed.min(LONGEST_REST);
        self.owed -= now;
        Ok(now)
    }
}
