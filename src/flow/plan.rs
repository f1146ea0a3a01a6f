//! Planning: pure rules decide, the ledger carries out. What a webhook brings is decided on while it is received
//! ([`Foresight`]), where one process serves the ledger. Of the rest, a desk with room plans what arrives and leases it in the same
//! commit (`dispatch`); while all are busy, the planning stage plans ahead, so that rank decides who goes next.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::time::Instant;

use crate::ledger::{
    Arrival, Decide, Decision, Foreseen, Ledger, LedgerResult, PlanAction, Receipt, ReceiptContent, TicketPlan, ToPlan,
};
use crate::model::failpoint::{Point, reach};
use crate::model::{Assignment, Clock, Id, Person, Timestamp};
use crate::plan::{Moment, Planned, Planner};

use super::room::{SetupId, WAIT};
use super::{Setup, Worker};

/// Assignments planned in one step.
pub(crate) const BATCH: usize = 256;
/// Orders of one body that are decided on while it is taken in.
const MOST_FORESEEN: usize = 32;

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
    /// some, or will in a moment, by rank. Of many in one body none is foreseen: their sender waits for the answer.
    #[must_use]
    pub async fn of(&self, receipts: Vec<Receipt>) -> Vec<Arrival> {
        let guard = self.worker.planning.foreseeing().filter(|_| receipts.len() <= MOST_FORESEEN);
        let Some(guard) = guard else { return receipts.into_iter().map(Arrival::from).collect() };
        let (held, setup): (Arc<dyn Any + Send + Sync>, _) = (Arc::new(guard), self.setup.load_full());
        // Leases count from a time that is read after this.
        let boot_ms = self.clock.boot_ms();
        let mut arrivals: Vec<Arrival> = receipts.into_iter().map(|receipt| self.arrival(&setup, receipt, &held)).collect();
        let mut filed: Vec<(i64, String, &mut Foreseen)> = arrivals.iter_mut().filter_map(filed).collect();
        filed.sort_by_key(|(rank, ..)| *rank);
        let until = Instant::now() + WAIT;
        for (_, desk, foreseen) in filed {
            let place = self.worker.rooms.place_soon(&format!("desk/{desk}"), SetupId::of(&setup), until).await;
            foreseen.seat = place.map(|place| place.seat(boot_ms));
        }
        arrivals
    }

    /// A defect in a rule costs the foresight, not the order.
    fn arrival(&self, setup: &Setup, receipt: Receipt, held: &Arc<dyn Any + Send + Sync>) -> Arrival {
        let ReceiptContent::Order(order) = &receipt.content else { return receipt.into() };
        let decide = || {
            let at = self.clock.now();
            let moment = Moment { now: at, received_at: receipt.received_at, lane_ticket: None, cycle: 1, leaver: false };
            let decision = decision(&setup.planner, &setup.catalog.version, (Id(0), 1), order, &moment);
            Box::new(Foreseen { at, decision, seat: None, held: Arc::clone(held) })
        };
        let foreseen = std::panic::catch_unwind(AssertUnwindSafe(decide));
        if foreseen.is_err() {
            tracing::error!("a defect of lastmile in deciding on an order; it is recorded and tried again, please report it");
            metrics::counter!("lastmile_defects_total", "stage" => "foresight").increment(1);
        }
        Arrival { receipt, foreseen: foreseen.ok() }
    }
}

/// Rank and desk of a ticket that is to be filed.
fn filed(arrival: &mut Arrival) -> Option<(i64, String, &mut Foreseen)> {
    let foreseen = arrival.foreseen.as_deref_mut()?;
    let PlanAction::File(plan) = &foreseen.decision.action else { return None };
    Some((plan.rank, plan.desk.clone(), foreseen))
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
