//! Made-up orders, given straight to a ledger. The benchmarks take this file as it is: it uses nothing of the tests.

use std::collections::BTreeMap;

use lastmile::ledger::{Decision, LeaseRequest, Past, PlanAction, Receipt, ReceiptContent, TicketPlan, ToPlan};
use lastmile::model::assignment::Named;
use lastmile::model::ticket::Draft;
use lastmile::model::{Assignment, Key, Operation, Person, Timestamp};
use lastmile::sandbox::history;
use serde_json::Value;

/// An order, approved now.
pub fn order(source: &str, external_id: &str, now: Timestamp) -> Assignment {
    Assignment {
        source: source.to_owned(),
        external_id: external_id.to_owned(),
        generation: 1,
        operation: Operation::Grant,
        application: Named { id: "sap".to_owned(), name: "SAP".to_owned() },
        entitlement: Some(Named { id: "role".to_owned(), name: "Role".to_owned() }),
        account: None,
        beneficiary: Person { id: "p1".to_owned(), name: Some("Pat Example".to_owned()), email: None },
        requester: None,
        approvals: Vec::new(),
        requested_at: None,
        approved_at: Some(now),
        valid_from: None,
        valid_until: None,
        answer_by: None,
        priority: 1,
        reason: None,
        attributes: BTreeMap::new(),
    }
}

/// A document of the sandbox's company without its dates: what it orders is due at once.
pub fn dateless(mut document: Value) -> Value {
    if let Some(members) = document.as_object_mut() {
        members.retain(|name, _| !matches!(name.as_str(), "validFrom" | "validUntil"));
    }
    document
}

/// The event that brings it.
pub fn receipt(event_id: &str, order: Assignment, now: Timestamp) -> Receipt {
    Receipt {
        source: order.source.clone(),
        event_id: event_id.to_owned(),
        digest: format!("digest of {event_id}"),
        received_at: now,
        content: ReceiptContent::Order(Box::new(order)),
    }
}

/// The decision to file its ticket now.
pub fn file(order: &ToPlan, instance: &str, desk: &str, now: Timestamp) -> Decision {
    let draft = Draft {
        key: Key::of(instance, &[&order.assignment.natural_key()], order.cycle),
        summary: "s".to_owned(),
        body: "b".to_owned(),
        admin_group: "g".to_owned(),
        priority: 1,
        due_at: None,
        fields: BTreeMap::new(),
    };
    let plan = TicketPlan {
        desk: desk.to_owned(),
        admin_group: draft.admin_group.clone(),
        route: "by convention".to_owned(),
        template: "default".to_owned(),
        template_version: "v".to_owned(),
        cycle: order.cycle,
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

/// A few errands of an edge, for half a minute.
pub fn request(edge: &str, owner: &str, now: Timestamp) -> LeaseRequest {
    LeaseRequest {
        edge: edge.to_owned(),
        owner: owner.to_owned(),
        now,
        lease_ms: 30_000,
        quiet_ms: 60_000,
        limit: 7,
        witnesses_only: false,
    }
}

/// An order of the sandbox's past, if it was closed: by nobody who is named, and without proof.
pub fn closed((n, past): (usize, history::Past)) -> Option<Past> {
    Some(Past {
        received_at: past.approved,
        eligible_at: past.approved,
        filed_at: past.filed,
        first_work_at: past.first_work,
        closed_at: past.closed?,
        reported_at: past.reported?,
        outcome: past.outcome?,
        desk: past.desk.to_owned(),
        admin_group: past.group,
        number: format!("OLD-{n}"),
        closed_by: None,
        proven_at: None,
        assignment: past.assignment,
    })
}
