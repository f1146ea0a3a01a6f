//! Who plans an order: one at a time, and a desk with room before the planning stage.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{MutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Shared by the planning stage and the desks of this process.
#[derive(Debug, Default)]
pub struct Planning {
    turn: tokio::sync::Mutex<()>,
    /// Held for reading while orders are planned, for writing while another configuration comes into force.
    setup: Arc<RwLock<()>>,
    /// Loops run that plan and lease.
    at_work: AtomicBool,
    /// Edges of desks that plan and lease in one commit as soon as orders arrive.
    resting: Mutex<BTreeSet<String>>,
}

/// The right to plan, until dropped.
#[derive(Debug)]
pub struct Turn<'a> {
    _setup: OwnedRwLockReadGuard<()>,
    _turn: MutexGuard<'a, ()>,
}

impl Planning {
    /// Waits for it. The setup is read (or asked whether it is still the same) after this, and the turn is kept until what
    /// was planned with it is in the ledger: two who decide on the same orders are one too many.
    pub async fn turn(&self) -> Turn<'_> {
        Turn { _setup: self.under_way().await, _turn: self.turn.lock().await }
    }

    /// While it is held, no other configuration comes into force.
    pub async fn under_way(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.setup).read_owned().await
    }

    /// As [`Planning::under_way`], for who does not wait: `None` while another configuration comes into force, or nobody plans.
    pub fn foreseeing(&self) -> Option<OwnedRwLockReadGuard<()>> {
        self.at_work.load(Ordering::Acquire).then(|| Arc::clone(&self.setup).try_read_owned().ok())?
    }

    /// Says whether loops run that plan and lease: while none do, orders are only recorded.
    pub fn works(&self, at_work: bool) {
        self.at_work.store(at_work, Ordering::Release);
    }

    /// Waits for the planning under way; none begins while it is held.
    pub async fn between(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.setup).write_owned().await
    }

    /// A desk says whether it has little to do, and takes up orders by itself. True where it did and does no longer: what was
    /// left to it is for others.
    pub fn rests(&self, edge: &str, rests: bool) -> bool {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if !rests {
            return resting.remove(edge);
        }
        if !resting.contains(edge) {
            resting.insert(edge.to_owned());
        }
        false
    }

    /// Whether one of these desks takes up what has just arrived.
    pub fn is_left_to(&self, is_worked_for: impl Fn(&str) -> bool) -> bool {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.iter().filter_map(|edge| edge.strip_prefix("desk/")).any(is_worked_for)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_desk_that_rests_and_is_still_there_takes_up_orders() {
        let planning = Planning::default();
        assert!(!planning.is_left_to(|_| true), "nobody has said so yet");
        assert!(!planning.rests("desk/jira", true));
        assert!(planning.is_left_to(|desk| desk == "jira"));
        assert!(!planning.is_left_to(|desk| desk == "servicenow"), "jira went with its configuration");
        assert!(planning.rests("desk/jira", false), "it has just become busy");
        assert!(!planning.is_left_to(|_| true), "it is busy");
        assert!(!planning.rests("desk/jira", false), "it still is");
    }
}
