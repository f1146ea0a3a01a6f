//! What works and what fails, per edge and kind of work: said once when it begins and once when it is over.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::http::CallError;
use crate::model::Timestamp;

/// Failures in a row before anything is said: one broken call is not yet an outage.
const SAID_AFTER: u32 = 2;

/// The edges of this process that fail.
#[derive(Debug, Default)]
pub struct Health(Mutex<BTreeMap<(String, &'static str), Trouble>>);

#[derive(Debug)]
struct Trouble {
    since: Timestamp,
    failures: u32,
}

impl Health {
    /// A call was answered as it should be.
    pub fn well(&self, edge: &str, work: &'static str, now: Timestamp) {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Almost always nothing fails: then nothing is made for the question.
        if map.is_empty() {
            return;
        }
        let Some(trouble) = map.remove(&(edge.to_owned(), work)) else { return };
        if trouble.failures >= SAID_AFTER {
            let seconds = now.ms_since(trouble.since).max(0) / 1000;
            tracing::info!(edge, work, failing_seconds = seconds, "works again");
            metrics::gauge!("lastmile_edge_failing", "edge" => edge.to_owned(), "work" => work).set(0.0);
        }
    }

    /// A call failed. The words of the other side may name a person: only the code is said, the operations page has
    /// the rest. A refusal of one order is no failure of the edge, and "slow down" is none either.
    pub fn failed(&self, edge: &str, work: &'static str, error: &CallError, now: Timestamp) {
        match error {
            CallError::Reject { .. } => return self.well(edge, work, now),
            CallError::Retry { code: "E-BUSY", .. } => return,
            CallError::Retry { .. } | CallError::Unclear { .. } => {}
        }
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let trouble = map.entry((edge.to_owned(), work)).or_insert(Trouble { since: now, failures: 0 });
        trouble.failures = trouble.failures.saturating_add(1);
        if trouble.failures == SAID_AFTER {
            tracing::warn!(edge, work, code = error.code(), "fails; nothing is lost, it is tried again until it works");
            metrics::gauge!("lastmile_edge_failing", "edge" => edge.to_owned(), "work" => work).set(1.0);
        }
    }

    /// What fails now, since when: `("desk/jira", "tickets")`.
    #[must_use]
    pub fn failing(&self) -> Vec<(String, &'static str, Timestamp)> {
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told = map.iter().filter(|(_, trouble)| trouble.failures >= SAID_AFTER);
        told.map(|((edge, work), trouble)| (edge.clone(), *work, trouble.since)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_is_one_outage_and_ends_with_the_first_answer() {
        let health = Health::default();
        let away = CallError::retry("E-CONNECT", "jira cannot be reached");
        health.failed("desk/jira", "tickets", &away, Timestamp(1_000));
        assert_eq!(health.failing(), [], "one broken call is no outage");
        health.failed("desk/jira", "tickets", &away, Timestamp(2_000));
        health.failed("desk/jira", "tickets", &away, Timestamp(3_000));
        health.well("desk/jira", "changes", Timestamp(3_500));
        assert_eq!(health.failing(), [("desk/jira".to_owned(), "tickets", Timestamp(1_000))]);
        health.failed("desk/jira", "tickets", &CallError::reject("E-REFUSED", "no such field"), Timestamp(4_000));
        assert_eq!(health.failing(), [], "whoever refuses is there");
    }
}
