//! Planning and leasing in one commit.

use std::collections::{HashMap, HashSet};

use super::super::super::{Decide, Decision, LeaseRequest, Leased, LedgerResult, Load, PlanAction, Step, TakenUp};
use super::super::journal::Heads;
use super::super::{Shared, lease};
use super::candidates::{Candidate, Candidates, candidates};
use super::writes::Lease;
use super::{Standing, Valid, Writes, set_aside, standing};
use crate::ledger::engine::Conn;
use crate::model::errand::ErrandKind;
use crate::model::failpoint::{Point, reach};
use crate::model::ticket::Draft;
use crate::model::{Id, Timestamp};

/// What a take-up wrote.
pub(in crate::ledger) struct Took {
    planned: usize,
    /// The errands it made.
    made: HashSet<i64>,
    /// None: others wait, and are to be claimed in a transaction of their own.
    pub(in crate::ledger) leased: Option<Vec<Leased>>,
}

impl Took {
    /// Nothing was planned, nor leased as it was made.
    pub(in crate::ledger) fn is_nothing(&self) -> bool {
        self.planned == 0 && self.leased.as_ref().is_none_or(Vec::is_empty)
    }

    pub(in crate::ledger) fn with(self, leased: Vec<Leased>) -> TakenUp {
        let left = self.made.len() - leased.iter().filter(|errand| self.made.contains(&errand.id.0)).count();
        TakenUp { planned: self.planned, left, leased }
    }
}

/// Decides on what wants a plan, carries that out as [`plan`](super::plan), and leases. What is filed is leased as it is made where
/// nothing of the edge waits; else by rank with what waits, which several processes claim from one queue: `competing`, that is left
/// to the caller, since a transaction that sees one state would fail for each claim of another, and plan all of it again.
pub(in crate::ledger) async fn take_up(
    tx: &mut Conn,
    shared: &Shared,
    decide: &Decide,
    request: &LeaseRequest,
    skipped: usize,
    competing: bool,
) -> LedgerResult<Took> {
    let now = request.now;
    let Candidates { orders, unreadable, found } =
        candidates(&mut *tx, shared, &request.edge, now, request.limit, skipped).await?;
    set_aside(tx, &unreadable, now).await?;
    if orders.is_empty() {
        return Ok(Took { planned: 0, made: HashSet::new(), leased: Some(Vec::new()) });
    }
    let decisions = decide.on(&orders);
    reach(Point::PlanMade).await;
    let waits = found.iter().any(|candidate| candidate.waits);
    let (standing, heads) = as_found(tx, shared, found, &decisions, now).await?;
    let at_once = !waits && !request.witnesses_only;
    let leases = if at_once { first_by_rank(&decisions, &standing, request) } else { HashMap::new() };
    let mut writes = Writes::new(shared);
    writes.decide(&decisions, &standing, &leases, now);
    let (planned, made) = (writes.count(), writes.made());
    let mut at_once_leased = writes.leased();
    writes.write(tx, heads, now).await?;
    let leased = if at_once {
        at_once_leased.sort_by_key(|one| one.rank);
        Some(at_once_leased.into_iter().map(|one| one.errand).collect())
    } else if competing {
        None
    } else {
        let front = shared.fronts.of(&request.edge);
        let due = lease::due(&mut *tx, request, &front).await?;
        Some(lease::lease(tx, request, &front, due).await?)
    };
    Ok(Took { planned, made, leased })
}

/// Nothing came between the question and the decision. A revocation changes what it overtakes: then it is looked again.
async fn as_found(
    tx: &mut Conn,
    shared: &Shared,
    found: Vec<Candidate>,
    decisions: &[Decision],
    now: Timestamp,
) -> LedgerResult<(Standing, Heads)> {
    if found.iter().any(|candidate| candidate.revocation == 1) {
        return standing(tx, shared, decisions, now).await;
    }
    let heads = Heads::of(found.iter().map(|c| (c.id, c.state.clone(), c.chain_seq, c.chain_head.clone())))?;
    let valid = |c: Candidate| (c.id, Valid { source: c.source, revision: c.revision, blocked: false, revocation: false });
    Ok((Standing(found.into_iter().map(valid).collect()), heads))
}

/// Who goes first among what can be leased as it is made.
fn first_by_rank(decisions: &[Decision], standing: &Standing, request: &LeaseRequest) -> HashMap<i64, Lease> {
    let desk = request.edge.strip_prefix("desk/").unwrap_or_default();
    let of_edge = |d: &&Decision| matches!(&d.action, PlanAction::File(plan) if plan.desk == desk) && standing.takes(d).is_some();
    let rank = |d: &Decision| if let PlanAction::File(plan) = &d.action { plan.rank } else { i64::MAX };
    let mut filing: Vec<(i64, i64)> = decisions.iter().filter(of_edge).map(|d| (rank(d), d.id.0)).collect();
    filing.sort_unstable();
    let lease = Lease { owner: request.owner.clone(), until: request.now.plus_ms(request.lease_ms) };
    filing.into_iter().take(request.limit).map(|(_, id)| (id, lease.clone())).collect()
}

/// A create that is leased as it is made.
pub(super) fn leased(errand: Id, ticket: Id, draft: &Draft) -> Leased {
    Leased {
        id: errand,
        lease_no: 1,
        step: Step::Send,
        kind: ErrandKind::Create,
        mark: draft.key.to_string(),
        failures: 0,
        misses: 0,
        quiet_until: None,
        load: Load::Create { ticket_id: ticket, draft: Box::new(draft.clone()) },
    }
}
