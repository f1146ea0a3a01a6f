//! Sample orders for trying templates: with everything an order can have, and with only what it must have. Their
//! names hold characters with a meaning, so that what is not escaped shows.

use crate::model::assignment::{Approval, Named};
use crate::model::{Assignment, Operation, Person, Timestamp};

/// Id of the samples' application.
pub(super) const APPLICATION: &str = "sample-app";

/// An order with everything an order can have.
#[must_use]
pub fn full() -> Assignment {
    Assignment {
        approvals: ["approver-1", "approver-2"]
            .map(|id| Approval { by: person(id), at: Some(Timestamp(1_795_000_000_000)) })
            .to_vec(),
        requester: Some(person("requester")),
        entitlement: Some(Named { id: "ENT-1".to_owned(), name: "Sales *read*".to_owned() }),
        account: Some("acc*1".to_owned()),
        requested_at: Some(Timestamp(1_794_900_000_000)),
        approved_at: Some(Timestamp(1_795_000_000_000)),
        valid_from: Some(Timestamp(1_796_000_000_000)),
        valid_until: Some(Timestamp(1_826_000_000_000)),
        answer_by: Some(Timestamp(1_796_200_000_000)),
        reason: Some("Needs it for the project.\n\n- *soon*".to_owned()),
        beneficiary: person("beneficiary"),
        ..bare()
    }
}

/// An order with only what it must have.
#[must_use]
pub fn bare() -> Assignment {
    Assignment {
        source: "sample".to_owned(),
        external_id: "1".to_owned(),
        generation: 1,
        operation: Operation::Grant,
        application: named(APPLICATION),
        entitlement: None,
        account: None,
        beneficiary: Person { id: "beneficiary".to_owned(), name: None, email: None },
        requester: None,
        approvals: Vec::new(),
        requested_at: None,
        approved_at: None,
        valid_from: None,
        valid_until: None,
        answer_by: None,
        priority: 1,
        reason: None,
        attributes: std::collections::BTreeMap::new(),
    }
}

/// An application of that id.
pub(super) fn named(id: &str) -> Named {
    Named { id: id.to_owned(), name: "Application".to_owned() }
}

fn person(id: &str) -> Person {
    Person { id: id.to_owned(), name: Some(format!("Person *{id}*")), email: Some(format!("{id}@example.com")) }
}
