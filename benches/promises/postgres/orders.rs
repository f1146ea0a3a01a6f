//! Orders given straight to a ledger.

#[path = "../../../tests/it/orders.rs"]
pub mod made_up;

use lastmile::ledger::{Decision, End, LeaseRequest, Leased, Ledger, PlanAction, Receipt, Settlement, SqlLedger, ToPlan};
use lastmile::model::assignment::Named;
use lastmile::model::clock::SystemClock;
use lastmile::model::ticket::{Created, TicketRef};
use lastmile::model::{Assignment, Clock, Person, Timestamp};

/// An order of a lane of its own.
pub fn receipt(n: usize) -> Receipt {
    let now = SystemClock.now();
    let order = Assignment {
        application: Named { id: format!("app-{}", n % 50), name: "An application".to_owned() },
        entitlement: Some(Named { id: format!("role-{}", n % 400), name: "A role".to_owned() }),
        beneficiary: Person { id: format!("P{n:09}"), name: Some("Pat Example".to_owned()), email: None },
        reason: Some("needed for the work on the project".to_owned()),
        ..made_up::order("iga", &format!("REQ-{n:09}"), now)
    };
    Receipt { digest: format!("d{n}"), ..made_up::receipt(&format!("msg-{n}"), order, now) }
}

/// So many orders, recorded.
pub async fn record(ledger: &SqlLedger, from: usize, count: usize) -> anyhow::Result<()> {
    for begin in (from..from + count).step_by(500) {
        ledger.record((begin..(begin + 500).min(from + count)).map(receipt).collect()).await?;
    }
    Ok(())
}

fn file(order: &ToPlan, now: Timestamp) -> Decision {
    let mut decision = made_up::file(order, "bench", "jira", now);
    if let PlanAction::File(plan) = &mut decision.action {
        "an-application-admins".clone_into(&mut plan.admin_group);
        plan.draft.admin_group.clone_from(&plan.admin_group);
        "Grant: a role of an application".clone_into(&mut plan.draft.summary);
        plan.draft.body = "x".repeat(600);
    }
    decision
}

/// Plans a round; how many it found.
pub async fn plan(ledger: &SqlLedger) -> anyhow::Result<usize> {
    let now = SystemClock.now();
    let waiting = ledger.to_plan(now, 200).await?;
    ledger.plan(waiting.iter().map(|order| file(order, now)).collect(), now).await?;
    Ok(waiting.len())
}

/// A round of leases.
pub async fn lease(ledger: &SqlLedger, owner: usize, limit: usize) -> anyhow::Result<Vec<Leased>> {
    let request = made_up::request("desk/jira", &format!("owner-{owner}"), SystemClock.now());
    Ok(ledger.lease(LeaseRequest { lease_ms: 120_000, limit, ..request }).await?)
}

/// Each became a ticket.
pub async fn settle(ledger: &SqlLedger, leased: &[Leased]) -> anyhow::Result<usize> {
    let filed = |l: &Leased| {
        let ticket = TicketRef { id: l.id.0.to_string(), number: format!("IAM-{}", l.id.0) };
        let end = End::Filed(Created { ticket, url: None, key_confirmed: true, group_missed: false });
        Settlement { id: l.id, lease_no: l.lease_no, at: SystemClock.now(), end }
    };
    Ok(ledger.settle(leased.iter().map(filed).collect()).await?.into_iter().filter(|done| *done).count())
}
