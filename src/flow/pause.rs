//! An edge that asked for patience (429) is left alone as a whole until then; the others go on.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::http::CallError;
use crate::model::{Clock, Timestamp};

/// The pauses of all edges of this process, by the boot-time clock: a correction of the wall clock ends none.
#[derive(Debug, Default)]
pub struct Pauses(Mutex<BTreeMap<String, i64>>);

impl Pauses {
    /// Nothing is asked of the edge for so many milliseconds; a longer pause that runs already stays.
    pub fn begin(&self, edge: &str, ms: i64, clock: &dyn Clock) {
        let until = clock.boot_ms().saturating_add(ms);
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = map.get(edge).copied().unwrap_or(i64::MIN);
        if running < clock.boot_ms() {
            tracing::info!(edge, seconds = ms / 1000, "asks for patience; everything for it waits");
            metrics::counter!("lastmile_pauses_total", "edge" => edge.to_owned()).increment(1);
        }
        map.insert(edge.to_owned(), until.max(running));
    }

    /// Begins one where this is what a call ended with ("slow down"): as long as was asked, or `otherwise_ms`.
    pub fn heed(&self, edge: &str, error: &CallError, otherwise_ms: i64, clock: &dyn Clock) {
        if let CallError::Retry { code: "E-BUSY", .. } = error {
            self.begin(edge, error.asked_ms().unwrap_or(otherwise_ms), clock);
        }
    }

    /// How long it still lasts; `None`: calls may go.
    pub fn left_ms(&self, edge: &str, clock: &dyn Clock) -> Option<i64> {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = map.get(edge)?.saturating_sub(clock.boot_ms());
        if left > 0 {
            return Some(left);
        }
        map.remove(edge);
        None
    }

    /// Until when, on the wall clock, for people.
    pub fn until(&self, edge: &str, clock: &dyn Clock) -> Option<Timestamp> {
        self.left_ms(edge, clock).map(|left| clock.now().plus_ms(left))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::clock::FakeClock;

    #[test]
    fn the_longest_wish_counts_and_no_jump_of_the_wall_clock_ends_it() {
        let (pauses, clock) = (Pauses::default(), FakeClock::at(Timestamp(0)));
        pauses.begin("desk/jira", 60_000, &clock);
        pauses.begin("desk/jira", 5_000, &clock);
        clock.skew_ms(3_600_000);
        assert_eq!(pauses.left_ms("desk/jira", &clock), Some(60_000));
        assert_eq!(pauses.until("desk/jira", &clock), Some(Timestamp(3_660_000)));
        assert_eq!(pauses.left_ms("desk/servicenow", &clock), None, "the others go on");
        clock.advance_ms(60_000);
        assert_eq!(pauses.left_ms("desk/jira", &clock), None);
    }

    #[test]
    fn only_who_says_slow_down_is_heeded_and_for_as_long_as_was_asked() {
        let (pauses, clock) = (Pauses::default(), FakeClock::at(Timestamp(0)));
        let retry = |code, after| CallError::Retry { code, reason: String::new(), after };
        pauses.heed("desk/jira", &retry("E-TIMEOUT", Some(Duration::from_secs(7))), 1_000, &clock);
        pauses.heed("desk/jira", &CallError::unclear("E-BUSY", ""), 1_000, &clock);
        assert_eq!(pauses.left_ms("desk/jira", &clock), None);
        pauses.heed("desk/jira", &retry("E-BUSY", None), 1_000, &clock);
        assert_eq!(pauses.left_ms("desk/jira", &clock), Some(1_000));
        pauses.heed("desk/jira", &retry("E-BUSY", Some(Duration::from_secs(7))), 1_000, &clock);
        assert_eq!(pauses.left_ms("desk/jira", &clock), Some(7_000));
    }
}
