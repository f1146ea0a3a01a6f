//! Orders given straight to a ledger.

use lastmile::ledger::{
    Decision, End, LeaseRequest, Leased, Ledger, PlanAction, Receipt, ReceiptContent, Settlement, SqlLedger, TicketPlan, ToPlan,
};
use lastmile::model::assignment::Named;
use lastmile::model::clock::SystemClock;
use lastmile::model::ticket::{Created, Draft, TicketRef};
use lastmile::model::{Assignment, Clock, Key, Operation, Person, Timestamp};

/// An order of a lane of its own.
pub fn receipt(n: usize) -> Receipt {
    let now = SystemClock.now();
    let order = Assignment {
        source: "iga".to_owned(),
        external_id: format!("REQ-{n:09}"),
        generation: 1,
        operation: Operation::Grant,
        application: Named { id: format!("app-{}", n % 50), name: "An application".to_owned() },
        entitlement: Some(Named { id: format!("role-{}", n % 400), name: "A role".to_owned() }),
        account: None,
        beneficiary: Person { id: format!("P{n:09}"), name: Some("Pat Example".to_owned()), email: None },
        requester: None,
        approvals: Vec::new(),
        requested_at: None,
        approved_at: Some(now),
        valid_from: None,
        valid_until: None,
        answer_by: None,
        priority: 1,
        reason: Some("needed for the work on the project".to_owned()),
        attributes: std::collections::BTreeMap::new(),
    };
    Receipt {
        source: "iga".to_owned(),
        event_id: format!("msg-{n}"),
        digest: format!("d{n}"),
        received_at: now,
        content: ReceiptContent::Order(Box::new(order)),
    }
}

/// So many orders, recorded.
pub async fn record(ledger: &SqlLedger, from: usize, count: usize) -> anyhow::Result<()> {
    for begin in (from..from + count).step_by(500) {
        ledger.record((begin..(begin + 500).min(from + count)).map(receipt).collect()).await?;
    }
    Ok(())
}

fn file(order: &ToPlan, now: Timestamp) -> Decision {
    let draft = Draft {
        key: Key::of("bench", &[&order.assignment.natural_key()], 1),
        summary: "Grant: a role of an application".to_owned(),
        body: "x".repeat(600),
        admin_group: "an-application-admins".to_owned(),
        priority: 1,
        due_at: None,
        fields: std::collections::BTreeMap::new(),
    };
    let plan = TicketPlan {
        desk: "jira".to_owned(),
        admin_group: draft.admin_group.clone(),
        route: "by convention".to_owned(),
        template: "default".to_owned(),
        template_version: "v".to_owned(),
        cycle: 1,
        rank: order.id.0,
        draft,
    };
    Decision {
        id: order.id,
        revision: order.revision,
        catalog_version: "c".to_owned(),
        eligible_at: now,
        persons: vec![order.assignment.beneficiary.clone()],
        action: PlanAction::File(Box::new(plan)),
    }
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
    let request = LeaseRequest {
        edge: "desk/jira".to_owned(),
        owner: format!("owner-{owner}"),
        now: SystemClock.now(),
        lease_ms: 120_000,
        quiet_ms: 60_000,
        limit,
        witnesses_only: false,
    };
    Ok(ledger.lease(request).await?)
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
