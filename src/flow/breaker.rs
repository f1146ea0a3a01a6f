//! A desk that gave an unclear answer is not sent anything more until it answers a probe.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::model::Timestamp;

/// Wait between probes of an open breaker, milliseconds.
const PROBE_EVERY_MS: i64 = 5_000;

#[derive(Debug)]
struct Opened {
    since: Timestamp,
    next_probe: Timestamp,
}

/// The breakers of all edges of this process.
#[derive(Debug, Default)]
pub struct Breakers(Mutex<BTreeMap<String, Opened>>);

impl Breakers {
    /// Opens the breaker of an edge: nothing is sent until a probe passes.
    pub fn open(&self, edge: &str, now: Timestamp) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.entry(edge.to_owned()).or_insert(Opened { since: now, next_probe: now });
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
    pub fn probe_due(&self, edge: &str, now: Timestamp) -> bool {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match map.get_mut(edge) {
            Some(opened) if opened.next_probe <= now => {
                opened.next_probe = now.plus_ms(PROBE_EVERY_MS);
                true
            }
            _ => false,
        }
    }
}
