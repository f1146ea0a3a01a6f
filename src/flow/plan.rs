//! Planning: pure rules decide, the ledger carries out. A desk with room plans what arrives and leases it in the same commit
//! (`dispatch`); while all are busy, the planning stage plans ahead, so that rank decides who goes next.

use std::any::Any;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::ledger::{
    Arrival, Decide, Decision, Foreseen, Ledger, LedgerResult, PlanAction, Receipt, ReceiptContent, TicketPlan, ToPlan,
};
use crate::model::failpoint::{Point, reach};
use crate::model::{Assignment, Clock, Id, Person, Timestamp};
use crate::plan::{Moment, Planned, Planner};

use super::{Setup, Worker};

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

/// Decides on orders while they are received.
#[derive(Debug, Clone)]
pub struct Foresight {
    setup: Arc<ArcSwap<Setup>>,
    worker: Worker,
    clock: Arc<dyn Clock>,
}

impl Foresight {
    /// With the setup in force, for the desks of this worker.
    #[must_use]
    pub fn new(setup: Arc<ArcSwap<Setup>>, worker: Worker, clock: Arc<dyn Clock>) -> Self {
        Self { setup, worker, clock }
    }

    /// Decides on each order as if it were new and stood alone in its lane, and takes places for the tickets at desks that have
    /// some.
    #[must_use]
    pub fn of(&self, receipts: Vec<Receipt>) -> Vec<Arrival> {
        let Some(guard) = self.worker.planning.foreseeing() else { return receipts.into_iter().map(Arrival::from).collect() };
        let (held, setup): (Arc<dyn Any + Send + Sync>, _) = (Arc::new(guard), self.setup.load());
        let one = |receipt: Receipt| {
            let foreseen = if let ReceiptContent::Order(order) = &receipt.content {
                Some(Box::new(self.foreseen(&setup, order, receipt.received_at, &held)))
            } else {
                None
            };
            Arrival { receipt, foreseen }
        };
        receipts.into_iter().map(one).collect()
    }

    fn foreseen(&self, setup: &Setup, order: &Assignment, received_at: Timestamp, held: &Arc<dyn Any + Send + Sync>) -> Foreseen {
        let at = self.clock.now();
        let moment = Moment { now: at, received_at, lane_ticket: None, cycle: 1, leaver: false };
        let decision = decision(&setup.planner, &setup.catalog.version, (Id(0), 1), order, &moment);
        let desk = if let PlanAction::File(plan) = &decision.action { Some(&plan.desk) } else { None };
        let place = desk.and_then(|desk| self.worker.rooms.place(&format!("desk/{desk}")));
        let seat = place.map(|place| place.seat(&*self.clock));
        Foreseen { at, decision, seat, held: Arc::clone(held) }
    }
}

fn decide(planner: &Planner, catalog_version: &str, order: &ToPlan, now: Timestamp) -> Decision {
    let moment = Moment {
        now,
        received_at: order.received_at,
        lane_ticket: order.lane_ticket.clone(),
        cycle: order.cycle,
        leaver: order.leaver,
    };
    decision(planner, catalog_version, (order.id, order.revision), &order.assignment, &moment)
}

fn decision(planner: &Planner, catalog_version: &str, (id, revision): (Id, i64), a: &Assignment, moment: &Moment) -> Decision {
    let (eligible_at, action) = match planner.decide(a, moment) {
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
                cycle: moment.cycle,
                rank: ticket.rank,
            };
            (eligible_at, PlanAction::File(Box::new(plan)))
        }
    };
    let persons: Vec<Person> =
        std::iter::once(&a.beneficiary).chain(a.requester.iter()).chain(a.approvals.iter().map(|x| &x.by)).cloned().collect();
    Decision { id, revision, eligible_at, action, catalog_version: catalog_version.to_owned(), persons }
}
