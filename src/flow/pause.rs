//! An edge that asked for patience (429) is left alone as a whole until then; the others go on.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::desk::Desk;
use crate::http::{CallError, gate};
use crate::model::{Clock, Timestamp};
use crate::source::Source;

/// How long a question waits where "slow down" was said and not for how long.
const OTHERWISE_MS: i64 = 30_000;

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

    /// Makes calls of an edge: none begins while the edge wants patience, and what one of them is told ("slow down") begins
    /// a pause, as long as was asked, or `otherwise_ms`. Whatever calls out goes through here.
    pub async fn kept<F: Future>(&self, edge: &str, otherwise_ms: i64, clock: &dyn Clock, calls: F) -> F::Output {
        let ask = || match self.left_ms(edge, clock) {
            None => Ok(()),
            Some(left) => Err(CallError::Retry {
                code: gate::HELD,
                reason: "the other side asked another call for patience; it goes when that is over".to_owned(),
                after: u64::try_from(left).ok().map(Duration::from_millis),
            }),
        };
        let heard = |asked: Option<Duration>| {
            let asked_ms = asked.and_then(|span| i64::try_from(span.as_millis()).ok());
            self.begin(edge, asked_ms.unwrap_or(otherwise_ms), clock);
        };
        gate::watched(ask, heard, calls).await
    }

    /// [`Pauses::kept`], for questions to a desk.
    pub async fn of_desk<F: Future>(&self, desk: &dyn Desk, clock: &dyn Clock, calls: F) -> F::Output {
        self.kept(&format!("desk/{}", desk.info().name), OTHERWISE_MS, clock, calls).await
    }

    /// [`Pauses::kept`], for questions to a platform.
    pub async fn of_source<F: Future>(&self, source: &dyn Source, clock: &dyn Clock, calls: F) -> F::Output {
        self.kept(&format!("source/{}", source.info().name), OTHERWISE_MS, clock, calls).await
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
    use super::*;
    use crate::http::verdict::by_status;
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

    #[tokio::test]
    async fn only_who_says_slow_down_is_heeded_and_for_as_long_as_was_asked() {
        let (pauses, clock) = (Pauses::default(), FakeClock::at(Timestamp(0)));
        let told = async |say: &dyn Fn()| pauses.kept("desk/jira", 1_000, &clock, async { say() }).await;
        told(&|| drop(by_status(425, Some(Duration::from_secs(7)), "jira", ""))).await;
        told(&|| drop(CallError::unclear("E-BUSY", ""))).await;
        assert_eq!(pauses.left_ms("desk/jira", &clock), None);
        told(&|| drop(by_status(429, None, "jira", ""))).await;
        assert_eq!(pauses.left_ms("desk/jira", &clock), Some(1_000), "also where nobody looks at the error");
        told(&|| drop(by_status(429, Some(Duration::from_secs(7)), "jira", ""))).await;
        assert_eq!(pauses.left_ms("desk/jira", &clock), Some(7_000));
        drop(by_status(429, Some(Duration::from_secs(60)), "mail", ""));
        assert_eq!(pauses.left_ms("desk/jira", &clock), Some(7_000), "another edge's calls are its own");
    }
}
