//! A desk that gave an unclear answer is not sent anything more until it answers a probe.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::model::{Clock, Timestamp};

/// Wait between probes of an open breaker, milliseconds.
const PROBE_EVERY_MS: i64 = 5_000;

#[derive(Debug)]
struct Opened {
    since: Timestamp,
    /// By the boot-time clock: a correction of the wall clock puts no probe off.
    next_probe_ms: i64,
}

/// The breakers of all edges of this process.
#[derive(Debug, Default)]
pub struct Breakers(Mutex<BTreeMap<String, Opened>>);

impl Breakers {
    /// Opens the breaker of an edge: nothing is sent until a probe passes.
    pub fn open(&self, edge: &str, clock: &dyn Clock) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.entry(edge.to_owned()).or_insert(Opened { since: clock.now(), next_probe_ms: clock.boot_ms() });
        metrics::gauge!("lastmile_breaker_open", "edge" => edge.to_owned()).set(1.0);
    }

    /// A probe passed.
    pub fn close(&self, edge: &str) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.remove(edge).is_some() {
            metrics::gauge!("lastmile_breaker_open", "edge" => edge.to_owned()).set(0.0);
        }
    }

    /// Whether it is open.
    pub fn is_open(&self, edge: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(edge)
    }

    /// Since when it is open.
    pub fn open_since(&self, edge: &str) -> Option<Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(edge).map(|o| o.since)
    }

    /// Whether a probe is due; saying so claims it.
    pub fn probe_due(&self, edge: &str, clock: &dyn Clock) -> bool {
        let (mut map, now) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), clock.boot_ms());
        match map.get_mut(edge) {
            Some(opened) if opened.next_probe_ms <= now => {
                opened.next_probe_ms = now.saturating_add(PROBE_EVERY_MS);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::FakeClock;

    #[test]
    fn a_wall_clock_that_is_set_back_puts_no_probe_off() {
        let (breakers, clock) = (Breakers::default(), FakeClock::at(Timestamp(7_200_000)));
        breakers.open("desk/jira", &clock);
        assert!(breakers.probe_due("desk/jira", &clock));
        assert!(!breakers.probe_due("desk/jira", &clock), "one at a time");
        clock.skew_ms(-3_600_000);
        clock.advance_ms(PROBE_EVERY_MS);
        assert!(breakers.probe_due("desk/jira", &clock));
    }
}
