//! Declared faults of a fake: switched while it runs, drawn from a seeded counter so that a run can be repeated.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// Which calls a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// Every call.
    Any,
    /// Creating a ticket.
    Create,
    /// Reading tickets that are known by id, and everything around them.
    Read,
    /// Searching.
    Search,
    /// Comments, closings, changed fields.
    Amend,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Harm {
    /// The answer comes late, after so many milliseconds.
    Slow(u64),
    /// 429 without effect, with Retry-After in seconds when given.
    Busy(Option<u64>),
    /// 500 without effect.
    FailBefore,
    /// 500 although it was done.
    FailAfter,
    /// It was done, and the connection breaks before the answer is complete.
    Lost,
    /// The connection breaks at once, and what was asked is done so many milliseconds later (with the next call after
    /// that): the desk still works on what its caller has given up.
    Late(i64),
    /// 200 with a page instead of JSON, without effect: the desk sleeps.
    Html,
    /// 302 to a login page, without effect.
    Redirect,
    /// 400 whose words quote the credentials that were sent, without effect.
    Quote,
}

/// How often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// The next so many calls that fit.
    Next(u64),
    /// This many of a thousand fitting calls.
    Permille(u64),
    /// Always.
    Always,
}

/// One declared fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which calls.
    pub on: Target,
    /// What goes wrong.
    pub harm: Harm,
    /// How often.
    pub when: When,
}

/// The faults in force.
#[derive(Debug, Default)]
pub struct Faults {
    rules: Mutex<Vec<Fault>>,
    seed: u64,
    drawn: AtomicU64,
    search_lag_ms: AtomicI64,
    skew_ms: AtomicI64,
    sloppy: AtomicBool,
    revoked: AtomicBool,
    key_field_hidden: AtomicBool,
    closed_is_final: AtomicBool,
}

impl Faults {
    /// No faults; later draws depend on the seed and on how many came before.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// Replaces all declared faults.
    pub fn set(&self, rules: Vec<Fault>) {
        *self.rules.lock().unwrap_or_else(PoisonError::into_inner) = rules;
    }

    /// Adds one.
    pub fn add(&self, on: Target, harm: Harm, when: When) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).push(Fault { on, harm, when });
    }

    /// The faults still in force.
    #[must_use]
    pub fn current(&self) -> Vec<Fault> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on, what is written can be searched only so many milliseconds later.
    pub fn set_search_lag_ms(&self, ms: i64) {
        self.search_lag_ms.store(ms, Ordering::SeqCst);
    }

    /// See [`Faults::set_search_lag_ms`].
    #[must_use]
    pub fn search_lag_ms(&self) -> i64 {
        self.search_lag_ms.load(Ordering::SeqCst)
    }

    /// The fake's clock is so many milliseconds ahead (negative: behind).
    pub fn set_skew_ms(&self, ms: i64) {
        self.skew_ms.store(ms, Ordering::SeqCst);
    }

    /// See [`Faults::set_skew_ms`].
    #[must_use]
    pub fn skew_ms(&self) -> i64 {
        self.skew_ms.load(Ordering::SeqCst)
    }

    /// A search for a key answers with everything, as by a desk that ignores a condition it does not know.
    pub fn set_sloppy_search(&self, sloppy: bool) {
        self.sloppy.store(sloppy, Ordering::SeqCst);
    }

    /// See [`Faults::set_sloppy_search`].
    #[must_use]
    pub fn sloppy_search(&self) -> bool {
        self.sloppy.load(Ordering::SeqCst)
    }

    /// The bridge's credentials are no longer good; Jira then treats it as a stranger, who sees empty lists.
    pub fn set_revoked(&self, revoked: bool) {
        self.revoked.store(revoked, Ordering::SeqCst);
    }

    /// See [`Faults::set_revoked`].
    #[must_use]
    pub fn revoked(&self) -> bool {
        self.revoked.load(Ordering::SeqCst)
    }

    /// The bridge's account may not set the field that holds correlation keys.
    pub fn set_key_field_hidden(&self, hidden: bool) {
        self.key_field_hidden.store(hidden, Ordering::SeqCst);
    }

    /// See [`Faults::set_key_field_hidden`].
    #[must_use]
    pub fn key_field_hidden(&self) -> bool {
        self.key_field_hidden.load(Ordering::SeqCst)
    }

    /// Nobody may comment on a closed ticket (Jira's workflow property `jira.issue.editable`).
    pub fn set_closed_is_final(&self, last: bool) {
        self.closed_is_final.store(last, Ordering::SeqCst);
    }

    /// See [`Faults::set_closed_is_final`].
    #[must_use]
    pub fn closed_is_final(&self) -> bool {
        self.closed_is_final.load(Ordering::SeqCst)
    }

    /// The first fault that hits a call of this kind; counts it.
    pub fn draw(&self, target: Target) -> Option<Harm> {
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        if rules.is_empty() {
            return None;
        }
        let mut hit = None;
        for rule in rules.iter_mut().filter(|r| r.on == Target::Any || r.on == target) {
            let fires = match &mut rule.when {
                When::Always => true,
                When::Permille(n) => mix(self.seed, self.drawn.fetch_add(1, Ordering::Relaxed)) % 1000 < *n,
                When::Next(left) => {
                    *left = left.saturating_sub(1);
                    true
                }
            };
            if fires {
                hit = Some(rule.harm);
                break;
            }
        }
        rules.retain(|r| r.when != When::Next(0));
        hit
    }
}

/// A well-spread number for the n-th draw of a seed.
#[must_use]
pub(super) fn mix(seed: u64, n: u64) -> u64 {
    let mut x = seed ^ n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_faults_end_and_rare_ones_repeat_with_their_seed() {
        let faults = Faults::seeded(7);
        faults.add(Target::Create, Harm::FailAfter, When::Next(2));
        assert_eq!(faults.draw(Target::Read), None);
        assert_eq!([0; 3].map(|_| faults.draw(Target::Create)), [Some(Harm::FailAfter), Some(Harm::FailAfter), None]);

        let run = |seed| {
            let faults = Faults::seeded(seed);
            faults.add(Target::Any, Harm::Html, When::Permille(100));
            (0..2_000).map(|_| faults.draw(Target::Search).is_some()).collect::<Vec<_>>()
        };
        let hits = run(1).iter().filter(|h| **h).count();
        assert!((120..=280).contains(&hits), "{hits}");
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }
}
