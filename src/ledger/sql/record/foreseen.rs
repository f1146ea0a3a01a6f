//! Orders that were decided on before they are recorded: they are inserted as what becomes of them.

use std::collections::{HashMap, HashSet};

use super::super::super::{Arrival, Arrived, Come, Foreseen, Leased, LedgerResult, PlanAction, ReceiptContent, Recorded};
use super::super::journal::Heads;
use super::super::planning::{Lease, Writes};
use super::super::{Shared, rows};
use super::Plan;
use super::insert::NewAssignment;
use crate::model::{State, Timestamp};

/// What may speak against what is foreseen, as documents: lanes, beneficiaries, and orders by source and the platform's id.
pub(super) struct Asked {
    pub(super) lanes: String,
    pub(super) persons: String,
    pub(super) orders: String,
}

impl Default for Asked {
    fn default() -> Self {
        let nothing = || "[]".to_owned();
        Self { lanes: nothing(), persons: nothing(), orders: nothing() }
    }
}

impl Asked {
    pub(super) fn of(shared: &Shared, arrivals: &[&Arrival]) -> LedgerResult<Self> {
        let foreseen = arrivals.iter().filter(|arrival| arrival.foreseen.is_some());
        let orders: Vec<_> = foreseen
            .filter_map(|a| if let ReceiptContent::Order(order) = &a.receipt.content { Some(order) } else { None })
            .collect();
        if orders.is_empty() {
            return Ok(Self::default());
        }
        let persons: Vec<String> = orders.iter().map(|order| shared.person(&order.source, &order.beneficiary.id)).collect();
        Ok(Self {
            lanes: rows(&orders.iter().map(|order| order.lane()).collect::<Vec<_>>())?,
            persons: rows(&persons)?,
            orders: rows(&orders.iter().map(|order| (&order.source, &order.external_id)).collect::<Vec<_>>())?,
        })
    }
}

/// What speaks against what is foreseen.
pub(super) struct Busy {
    /// Lanes in which something is under way.
    pub(super) lanes: HashSet<String>,
    /// Beneficiaries that left.
    pub(super) leavers: HashSet<String>,
    /// Orders that were taken back before they came.
    pub(super) withdrawn: HashSet<(String, String)>,
}

impl Busy {
    /// Lanes in which more than one order arrives are busy, too: which of them comes first is not looked at.
    fn with(mut self, orders: &[NewAssignment]) -> Self {
        let mut seen = HashSet::new();
        self.lanes.extend(orders.iter().filter(|order| !seen.insert(order.lane.as_str())).map(|order| order.lane.clone()));
        self
    }

    /// Whether an order can be planned without looking at any other.
    fn leave_alone(&self, order: &NewAssignment) -> bool {
        !self.lanes.contains(&order.lane)
            && !self.leavers.contains(&order.ben)
            && !self.withdrawn.contains(&(order.source.clone(), order.ext.clone()))
    }
}

/// What was foreseen and holds.
pub(super) struct CarriedOut<'a> {
    shared: &'a Shared,
    writes: Writes<'a>,
    at: Timestamp,
    /// How far new orders have come; the rest was received.
    come: HashMap<i64, (Come, Option<Leased>)>,
}

/// Turns new orders into what was foreseen of them. Where the same batch changes or takes back orders, nothing is: whether these
/// are among them is not looked at.
pub(super) fn carry_out<'a>(
    shared: &'a Shared,
    arrivals: &[&'a Arrival],
    results: &[Recorded],
    busy: Busy,
    plan: &mut Plan,
) -> LedgerResult<CarriedOut<'a>> {
    let mut out = CarriedOut { shared, writes: Writes::new(shared), at: Timestamp(0), come: HashMap::new() };
    if !(plan.changes.is_empty() && plan.withdrawals.is_empty() && plan.leavers.is_empty()) {
        return Ok(out);
    }
    let foreseen = arrivals.iter().zip(results).filter_map(|(arrival, result)| {
        let Recorded::New { id } = result else { return None };
        Some((id.0, (arrival.receipt.source.as_str(), arrival.foreseen.as_deref()?)))
    });
    let foreseen: HashMap<i64, (&str, &Foreseen)> = foreseen.collect();
    let (busy, mut heads) = (busy.with(&plan.assignments), Vec::new());
    for order in plan.assignments.iter().filter(|order| busy.leave_alone(order)) {
        let Some((source, foreseen)) = foreseen.get(&order.id) else { continue };
        out.add(order, source, foreseen);
        heads.push((order.id, State::Received.as_str().to_owned(), 1, order.head.clone()));
    }
    let (lines, updates) = out.writes.ends(Heads::of(heads)?, out.at)?;
    plan.journal.extend(lines);
    let mut updates: HashMap<i64, _> = updates.into_iter().map(|update| (update.id, update)).collect();
    for order in &mut plan.assignments {
        order.planned = updates.remove(&order.id);
    }
    for one in out.writes.leased() {
        out.come.insert(one.assignment, (Come::Leased, Some(one.errand)));
    }
    Ok(out)
}

impl<'a> CarriedOut<'a> {
    fn add(&mut self, order: &NewAssignment, source: &'a str, foreseen: &'a Foreseen) {
        let now = foreseen.at;
        let files = matches!(foreseen.decision.action, PlanAction::File(_));
        let lease = foreseen.seat.as_ref().map(|seat| Lease { owner: seat.owner.clone(), until: now.plus_ms(seat.lease_ms) });
        self.writes.add(order.id, source, &foreseen.decision, lease.as_ref(), now);
        self.at = self.at.max(now);
        self.come.insert(order.id, (if files { Come::Planned } else { Come::Decided }, None));
    }

    /// What is written with the orders.
    pub(super) fn take_made(&mut self) -> (Writes<'a>, Timestamp) {
        (std::mem::replace(&mut self.writes, Writes::new(self.shared)), self.at)
    }

    /// What became of each arrival, and what was leased of it.
    pub(super) fn told(mut self, results: Vec<Recorded>) -> Vec<(Arrived, Option<Leased>)> {
        let one = |recorded: Recorded| {
            let new = if let Recorded::New { id } = &recorded { self.come.remove(&id.0) } else { None };
            let (come, leased) = new.unwrap_or((Come::Received, None));
            (Arrived { recorded, come }, leased)
        };
        results.into_iter().map(one).collect()
    }
}
