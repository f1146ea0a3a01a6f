//! What works and what fails, per edge and kind of work: noted and said once when it begins and once when it is over.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::http::{CallError, gate};
use crate::ledger::{Ledger, LedgerResult, Trouble};
use crate::model::Timestamp;

/// Failed calls in a row before anything is said: one broken call is not yet an outage.
const SAID_AFTER: u32 = 2;

/// A kind of work at an edge: each can fail while the others go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Creating and changing tickets.
    Tickets,
    /// Asking a desk what changed.
    Changes,
    /// Polling a platform.
    Poll,
    /// Reporting outcomes.
    Reports,
    /// Answering a platform before it stops waiting.
    Answers,
}

impl Work {
    /// As stored and counted.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tickets => "tickets",
            Self::Changes => "changes",
            Self::Poll => "poll",
            Self::Reports => "reports",
            Self::Answers => "answers",
        }
    }
}

/// Notes that an edge fails as a whole, and says so once: it stands on the operations page until it answers. The words
/// of the other side may name a person, so that only the code is logged.
///
/// # Errors
/// The ledger is not available.
pub async fn edge_fails(ledger: &dyn Ledger, edge: &str, work: Work, error: &CallError, now: Timestamp) -> LedgerResult<()> {
    // Nothing was sent: that says nothing about the edge.
    if error.code() == gate::HELD {
        return Ok(());
    }
    metrics::gauge!("lastmile_edge_failing", "edge" => edge.to_owned(), "work" => work.as_str()).set(1.0);
    if ledger.edge(edge, work.as_str(), Some(Trouble::of(error)), now).await? {
        tracing::warn!(
            edge,
            work = work.as_str(),
            code = error.code(),
            "fails; nothing is lost, it is tried again until it works"
        );
    }
    Ok(())
}

/// Notes that an edge answers.
///
/// # Errors
/// The ledger is not available.
pub async fn edge_answers(ledger: &dyn Ledger, edge: &str, work: Work, now: Timestamp) -> LedgerResult<()> {
    metrics::gauge!("lastmile_edge_failing", "edge" => edge.to_owned(), "work" => work.as_str()).set(0.0);
    if ledger.edge(edge, work.as_str(), None, now).await? {
        tracing::info!(edge, work = work.as_str(), "works again");
    }
    Ok(())
}

/// Failures in a row of this process's calls: many succeed at once, so that the ledger only hears of turns.
#[derive(Debug, Default)]
pub struct Health(Mutex<BTreeMap<(String, Work), u32>>);

impl Health {
    /// A call was answered as it should be.
    ///
    /// # Errors
    /// The ledger is not available.
    pub async fn well(&self, ledger: &dyn Ledger, edge: &str, work: Work, now: Timestamp) -> LedgerResult<()> {
        if self.ended(edge, work) { edge_answers(ledger, edge, work, now).await } else { Ok(()) }
    }

    /// A call failed. A refusal of one order is no failure of the edge, and "slow down" is none either.
    ///
    /// # Errors
    /// The ledger is not available.
    pub async fn failed(
        &self,
        ledger: &dyn Ledger,
        edge: &str,
        work: Work,
        error: &CallError,
        now: Timestamp,
    ) -> LedgerResult<()> {
        match error {
            CallError::Reject { .. } => self.well(ledger, edge, work, now).await,
            CallError::Retry { code: "E-BUSY" | gate::HELD, .. } => Ok(()),
            CallError::Retry { .. } | CallError::Unclear { .. } if self.began(edge, work) => {
                edge_fails(ledger, edge, work, error, now).await
            }
            CallError::Retry { .. } | CallError::Unclear { .. } => Ok(()),
        }
    }

    /// One failure more; whether the outage has just become one.
    fn began(&self, edge: &str, work: Work) -> bool {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let failures = map.entry((edge.to_owned(), work)).or_default();
        *failures = failures.saturating_add(1);
        *failures == SAID_AFTER
    }

    /// No failure any more; whether an outage is over.
    fn ended(&self, edge: &str, work: Work) -> bool {
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Almost always nothing fails: then nothing is made for the question.
        !map.is_empty() && map.remove(&(edge.to_owned(), work)).is_some_and(|failures| failures >= SAID_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_begins_with_the_second_failure_and_ends_with_the_first_answer() {
        let health = Health::default();
        assert!(!health.began("desk/jira", Work::Tickets), "one broken call is no outage");
        assert!(health.began("desk/jira", Work::Tickets));
        assert!(!health.began("desk/jira", Work::Tickets), "said once");
        assert!(!health.ended("desk/jira", Work::Changes), "another kind of work says nothing about this one");
        assert!(health.ended("desk/jira", Work::Tickets));
        assert!(!health.ended("desk/jira", Work::Tickets), "said once");
    }
}
