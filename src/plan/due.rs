//! When a ticket is filed, from when provisioning time counts, and who goes first.

use crate::catalog::Filing;
use crate::model::{Assignment, Timestamp};

/// A revocation counts as if it had waited this much longer: it goes before everything that has not waited that long,
/// and yet no stream of revocations makes anything wait for ever.
pub const REVOCATIONS_AHEAD_MS: i64 = 30 * 86_400_000;
/// What is taken from somebody who left goes before everything else: no order waits this long.
pub const LEAVERS_AHEAD_MS: i64 = 20 * 366 * 86_400_000;
/// The highest priority.
pub const MOST_URGENT: i64 = 3;
/// No lead is longer: keeps sums within bounds.
const LONGEST_LEAD_MS: i64 = 10 * 366 * 86_400_000;

/// When and how urgently, as routed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// When the ticket of a future-dated assignment is filed.
    pub filing: Filing,
    /// How long before `valid_from` the admin group wants to know, milliseconds.
    pub lead_ms: i64,
    /// 0 (can wait) … 3 (urgent).
    pub priority: i64,
}

impl Terms {
    /// Brings values from outside into their bounds.
    pub fn limit(&mut self) {
        self.lead_ms = self.lead_ms.clamp(0, LONGEST_LEAD_MS);
        self.priority = self.priority.clamp(0, MOST_URGENT);
    }
}

/// From when provisioning time counts: the approval (the arrival where the platform gives none), but for a
/// future-dated assignment not before `valid_from` less the lead time, however early its ticket is filed.
#[must_use]
pub fn eligible_at(order: &Assignment, received_at: Timestamp, lead_ms: i64) -> Timestamp {
    let approved = order.approved_at.unwrap_or(received_at);
    order.valid_from.map_or(approved, |from| approved.max(from.plus_ms(-lead_ms)))
}

/// Until when the ticket waits; `None`: file it now. Only a future `valid_from` makes it wait: a sender's clock that
/// runs ahead (an approval "in the future") does not. The same rule holds for revocations.
#[must_use]
pub fn wait_until(order: &Assignment, terms: &Terms, now: Timestamp) -> Option<Timestamp> {
    match terms.filing {
        Filing::AtOnce => None,
        Filing::LeadTime => order.valid_from.map(|from| from.plus_ms(-terms.lead_ms)).filter(|until| *until > now),
    }
}

/// Since when it waits for us: neither before it arrived (an old approval that arrives today has not waited here), nor
/// later than now (a future date of what is filed at once does not put it behind all others).
#[must_use]
pub fn waits_since(eligible_at: Timestamp, received_at: Timestamp, now: Timestamp) -> Timestamp {
    eligible_at.max(received_at).min(now)
}

/// Smaller goes first. Each priority counts as one `age_step` of waiting, so that what waits long enough overtakes
/// what is more urgent but new; revocations are [`REVOCATIONS_AHEAD_MS`] ahead, among themselves by the same rule.
#[must_use]
pub fn rank(order: &Assignment, waits_since: Timestamp, priority: i64, age_step_ms: i64) -> i64 {
    let ahead = priority.saturating_mul(age_step_ms);
    // Before even the most urgent order that arrived with it.
    let urgent = age_step_ms.saturating_mul(3).saturating_add(REVOCATIONS_AHEAD_MS);
    let own = waits_since.0.saturating_sub(ahead);
    if order.operation.is_revocation() { own.saturating_sub(urgent) } else { own }
}
