//! One of several equal processes on one ledger: it says that it is there, takes its share of every rate, and does a duty
//! only while it is its turn. Alone on its ledger, all of this is nothing.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use crate::http::client::share_limits;
use crate::ledger::{Ledger, LedgerResult, Turn};
use crate::model::{Clock, Timestamp};

/// How often it says that it is there.
pub(super) const BEAT: Duration = Duration::from_secs(2);
/// How long it is believed after it was last heard of: duties and rates of a dead one are free then.
const HOLD_MS: i64 = 10_000;
/// A newcomer calls nobody before all others have heard of it and taken smaller shares.
const HEARD_MS: i64 = 3_000;

/// Whether this process may call out yet.
#[derive(Debug, Default)]
pub(super) struct Presence {
    joined: AtomicBool,
    /// Boot-time clock of the first beat; 0: none yet.
    since: AtomicI64,
}

/// A duty that is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// As before.
    Kept,
    /// Since now; with when it was last done, by whomever.
    Fresh(Option<Timestamp>),
}

impl Presence {
    /// Whether calls may be made.
    pub(super) fn joined(&self, ledger: &dyn Ledger) -> bool {
        !ledger.is_shared() || self.joined.load(Ordering::Relaxed)
    }

    /// Says that we are there, and learns how many are.
    pub(super) async fn beat(&self, ledger: &dyn Ledger, owner: &str, clock: &dyn Clock) -> LedgerResult<()> {
        let alive = ledger.alive(owner, clock.now(), HOLD_MS).await?;
        share_limits(alive.replicas);
        metrics::gauge!("lastmile_replicas").set(f64::from(alive.replicas));
        metrics::gauge!("lastmile_clock_ahead_of_ledger_seconds").set(alive.ahead_ms as f64 / 1000.0);
        let now = clock.boot_ms();
        let first = self.since.load(Ordering::Relaxed);
        if first == 0 {
            self.since.store(now.max(1), Ordering::Relaxed);
        }
        if alive.replicas == 1 || (first != 0 && now - first >= HEARD_MS) {
            self.joined.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Whether a duty is ours now; `mine` remembers whether it was.
pub(super) async fn duty(ledger: &dyn Ledger, duty: &str, owner: &str, mine: &mut bool) -> LedgerResult<Option<Taken>> {
    if !ledger.is_shared() {
        return Ok(Some(Taken::Kept));
    }
    Ok(match ledger.turn(duty, owner, HOLD_MS).await? {
        Turn::Others => {
            *mine = false;
            None
        }
        Turn::Ours { ran_at } => Some(if std::mem::replace(mine, true) { Taken::Kept } else { Taken::Fresh(ran_at) }),
    })
}
