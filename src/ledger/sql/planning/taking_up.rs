//! Planning and leasing in one commit.

use std::collections::HashSet;

use super::super::super::{Decision, LeaseRequest, Leased, LedgerResult, Load, PlanAction, Step, TakenUp};
use super::super::{Shared, lease};
use super::{Standing, Writes, standing};
use crate::ledger::engine::Conn;
use crate::model::Id;
use crate::model::errand::ErrandKind;
use crate::model::ticket::Draft;

/// As [`plan`](super::plan), and leases in the same commit. What is filed is leased as it is made where nothing of the edge waits;
/// else by rank with what waits.
pub(in crate::ledger) async fn take_up(
    tx: &mut Conn,
    shared: &Shared,
    decisions: &[Decision],
    request: &LeaseRequest,
) -> LedgerResult<TakenUp> {
    let now = request.now;
    let standing = standing(tx, shared, decisions, Some(request), now).await?;
    let at_once = !standing.waits && !request.witnesses_only;
    let mut writes = Writes::default();
    if at_once {
        writes.at_once = first_by_rank(shared, decisions, &standing, request);
        writes.lease = Some((request.owner.clone(), now.plus_ms(request.lease_ms)));
    }
    writes.decide(shared, decisions, &standing, now);
    let (planned, made): (usize, HashSet<i64>) = (writes.updates.len(), writes.errands.iter().map(|e| e.id).collect());
    let mut at_once_leased = std::mem::take(&mut writes.leased);
    writes.write(tx, standing.heads, now).await?;
    let leased: Vec<Leased> = if at_once {
        at_once_leased.sort_by_key(|(rank, _)| *rank);
        at_once_leased.into_iter().map(|(_, errand)| errand).collect()
    } else {
        let due = lease::due(&mut *tx, request).await?;
        lease::lease(tx, request, due).await?
    };
    let left = made.len() - leased.iter().filter(|errand| made.contains(&errand.id.0)).count();
    Ok(TakenUp { planned, left, leased })
}

/// Who goes first among what can be leased as it is made.
fn first_by_rank(shared: &Shared, decisions: &[Decision], standing: &Standing, request: &LeaseRequest) -> HashSet<i64> {
    // After a restore every create asks its witnesses first.
    if shared.caution.until().is_some() {
        return HashSet::new();
    }
    let desk = request.edge.strip_prefix("desk/").unwrap_or_default();
    let of_edge = |d: &&Decision| matches!(&d.action, PlanAction::File(plan) if plan.desk == desk) && standing.takes(d).is_some();
    let rank = |d: &Decision| if let PlanAction::File(plan) = &d.action { plan.rank } else { i64::MAX };
    let mut filing: Vec<(i64, i64)> = decisions.iter().filter(of_edge).map(|d| (rank(d), d.id.0)).collect();
    filing.sort_unstable();
    filing.into_iter().take(request.limit).map(|(_, id)| id).collect()
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
