//! One assignment as it counts in the figures.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::clocks::{Both, Clocks, due_by, target_of};
use crate::catalog::Catalog;
use crate::ledger::views::Fact;
use crate::model::Timestamp;

/// How it stands to its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Closed within it.
    InTarget,
    /// Closed, too late.
    Late,
    /// Open, and the target has passed: missed already.
    Overdue,
    /// Open, with time left: in no rate yet.
    Running,
}

/// A fact, measured.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its times.
    pub fact: Fact,
    /// Requested to approved.
    pub approval: Option<Both>,
    /// Eligible to closed; while it is open, until now.
    pub provisioning: Option<Both>,
    /// How it stands to its target; none without one.
    pub verdict: Option<Verdict>,
    /// By when the target wants it closed.
    pub due_by: Option<Timestamp>,
}

impl Case {
    /// Measures one; `due` also works out the instant it is (was) due by, which figures do not need.
    #[must_use]
    pub fn of(fact: Fact, catalog: &Catalog, clocks: &Clocks<'_>, now: Timestamp, due: bool) -> Self {
        let group = fact.admin_group.as_str();
        let approval = fact.requested_at.zip(fact.approved_at).map(|(from, to)| clocks.both(group, from, to));
        let end = fact.closed_at.unwrap_or(now);
        // The wait for a later date is nobody's: a ticket filed ahead of it is not under way yet.
        let begun = fact.eligible_at.filter(|t| fact.closed_at.is_some() || *t <= now);
        let provisioning = begun.map(|from| clocks.both(group, from, end));
        let target = target_of(catalog, &fact.application_id, &fact.operation);
        let within = target.and_then(|t| Some(provisioning?.by(t.clock)? <= t.within.ms()));
        let verdict = match (within, fact.closed_at) {
            (Some(true), Some(_)) => Some(Verdict::InTarget),
            (Some(false), Some(_)) => Some(Verdict::Late),
            (Some(true), None) => Some(Verdict::Running),
            (Some(false), None) => Some(Verdict::Overdue),
            (None, _) => None,
        };
        let due_by = if due { due_by(catalog, group, target, fact.eligible_at) } else { None };
        Self { fact, approval, provisioning, verdict, due_by }
    }
}
