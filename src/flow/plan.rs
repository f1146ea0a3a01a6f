//! Planning: pure rules decide, the ledger carries out. A desk with room plans what arrives and leases it in the same commit
//! (`dispatch`); while all are busy, the planning stage plans ahead, so that rank decides who goes next.

use std::sync::Arc;

use crate::ledger::{Decide, Decision, Ledger, LedgerResult, PlanAction, TicketPlan, ToPlan};
use crate::model::failpoint::{Point, reach};
use crate::model::{Clock, Person, Timestamp};
use crate::plan::{Moment, Planned, Planner};

use super::Setup;

/// Assignments planned in one step.
pub(crate) const BATCH: usize = 256;

/// Plans what wants a plan; returns how many decisions took effect. The caller has the [`super::turn::Turn`].
///
/// # Errors
/// The ledger is not available.
pub async fn step(ledger: &dyn Ledger, setup: &Setup, clock: &dyn Clock) -> LedgerResult<usize> {
    let waiting = ledger.to_plan(clock.now(), BATCH).await?;
    let now = clock.now();
    let decisions: Vec<Decision> =
        waiting.iter().map(|order| decide(&setup.planner, &setup.catalog.version, order, now)).collect();
    if decisions.is_empty() {
        return Ok(0);
    }
    reach(Point::PlanMade).await;
    let planned = ledger.plan(decisions, clock.now()).await?;
    reach(Point::PlanRecorded).await;
    Ok(planned)
}

/// The rules of this setup, as of now, for the ledger to ask. The caller has the [`super::turn::Turn`].
pub(super) fn rules(setup: &Setup, now: Timestamp) -> Decide {
    let (planner, catalog) = (Arc::clone(&setup.planner), Arc::clone(&setup.catalog));
    Decide::by(move |order| decide(&planner, &catalog.version, order, now))
}

fn decide(planner: &Planner, catalog_version: &str, order: &ToPlan, now: Timestamp) -> Decision {
    let moment = Moment {
        now,
        received_at: order.received_at,
        lane_ticket: order.lane_ticket.clone(),
        cycle: order.cycle,
        leaver: order.leaver,
    };
    let (eligible_at, action) = match planner.decide(&order.assignment, &moment) {
        Planned::Wait { until, eligible_at } => (eligible_at, PlanAction::Wait { until }),
        Planned::Park { eligible_at, code, reason } => (eligible_at, PlanAction::Park { code, reason }),
        Planned::File { eligible_at, ticket } => {
            let plan = TicketPlan {
                desk: ticket.desk,
                admin_group: ticket.admin_group,
                route: ticket.route,
                draft: ticket.draft,
                template: ticket.template,
                template_version: ticket.template_version,
                cycle: order.cycle,
                rank: ticket.rank,
            };
            (eligible_at, PlanAction::File(Box::new(plan)))
        }
    };
    let a = &order.assignment;
    let persons: Vec<Person> =
        std::iter::once(&a.beneficiary).chain(a.requester.iter()).chain(a.approvals.iter().map(|x| &x.by)).cloned().collect();
    Decision { id: order.id, revision: order.revision, eligible_at, action, catalog_version: catalog_version.to_owned(), persons }
}
