//! What templates may see of an assignment: a list of allowed fields, built by code. Nothing else reaches a ticket:
//! no e-mail address, and no attribute that the configuration does not name.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::Moment;
use crate::catalog::Catalog;
use crate::model::assignment::Named;
use crate::model::{Assignment, Key, Person, Timestamp};

/// An assignment about to become a ticket.
pub(super) struct Order<'a> {
    /// The assignment.
    pub order: &'a Assignment,
    /// Its priority as routed.
    pub priority: i64,
    /// The ticket's key.
    pub key: &'a Key,
    /// The rest of the decision's basis.
    pub at: &'a Moment,
}

/// The context of ticket templates and of desk fields. Every name is always there; what is missing is null.
pub(super) fn ticket_context(catalog: &Catalog, it: &Order<'_>) -> Value {
    let mut context = facts(catalog, it.order);
    let application = catalog.applications.get(&it.order.application.id);
    let allowed: BTreeSet<&str> = catalog
        .main
        .defaults
        .template_attributes
        .iter()
        .chain(application.into_iter().flat_map(|a| &a.template_attributes))
        .map(String::as_str)
        .collect();
    let attributes: Map<String, Value> =
        allowed.into_iter().map(|name| (name.to_owned(), it.order.attributes.get(name).map_or(Value::Null, attribute))).collect();
    let more = [
        ("attributes", Value::Object(attributes)),
        ("instructions", json!(application.and_then(|a| a.instructions.as_deref()).filter(|t| !t.trim().is_empty()))),
        ("lane_ticket", json!(it.at.lane_ticket)),
        ("leaver", json!(it.at.leaver)),
        ("key", json!(it.key.as_str())),
        ("instance", json!(catalog.main.instance.name)),
        ("priority", json!(priority_word(it.priority))),
        ("priority_level", json!(it.priority)),
    ];
    context.extend(more.map(|(name, value)| (name.to_owned(), value)));
    Value::Object(context)
}

/// The context of patterns that name an admin group: all attributes, and only what has a value, so that a pattern
/// over something missing fails (and the fallback takes over) instead of naming half a group.
pub(super) fn routing_context(catalog: &Catalog, order: &Assignment) -> Value {
    let mut context = facts(catalog, order);
    let attributes = order.attributes.iter().map(|(name, value)| (name.clone(), attribute(value))).collect();
    context.insert("attributes".to_owned(), Value::Object(attributes));
    let mut context = Value::Object(context);
    prune(&mut context);
    context
}

fn facts(catalog: &Catalog, order: &Assignment) -> Map<String, Value> {
    let given_name = catalog.applications.get(&order.application.id).and_then(|a| a.name.clone());
    let mut application = named(&order.application);
    if let Some(name) = given_name {
        application["name"] = json!(name);
    }
    let subject = order.entitlement.as_ref().map_or_else(|| order.account.clone(), |e| Some(shown(&e.name, &e.id)));
    let mut facts = json!({
        "source": order.source,
        "external_id": order.external_id,
        "operation": {
            "id": order.operation.as_str(),
            "title": order.operation.human(),
            "revocation": order.operation.is_revocation(),
        },
        "application": application,
        "entitlement": order.entitlement.as_ref().map(named),
        "account": order.account,
        "subject": subject.unwrap_or_else(|| "account".to_owned()),
        "beneficiary": person(&order.beneficiary),
        "requester": order.requester.as_ref().map(person),
        "approvers": order.approvals.iter().map(|a| person(&a.by)).collect::<Vec<_>>(),
        "reason": order.reason.as_deref().filter(|r| !r.trim().is_empty()),
    });
    let dates = [
        ("requested_at", order.requested_at),
        ("approved_at", order.approved_at),
        ("valid_from", order.valid_from),
        ("valid_until", order.valid_until),
        ("answer_by", order.answer_by),
    ];
    for (name, at) in dates {
        facts[name] = json!(at.map(Timestamp::human));
        facts[format!("{name}_iso")] = json!(at.map(Timestamp::iso));
    }
    match facts {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

/// Word of a priority, for people.
pub(super) fn priority_word(priority: i64) -> &'static str {
    match priority {
        i64::MIN..=0 => "can wait",
        1 => "normal",
        2 => "soon",
        _ => "urgent",
    }
}

fn shown(name: &str, id: &str) -> String {
    if name.trim().is_empty() { id.to_owned() } else { name.to_owned() }
}

fn named(thing: &Named) -> Value {
    let name = shown(&thing.name, &thing.id);
    json!({"id": thing.id, "id_beside": (name != thing.id).then_some(&thing.id), "name": name})
}

fn person(person: &Person) -> Value {
    let name = shown(person.name.as_deref().unwrap_or_default(), &person.id);
    json!({"id": person.id, "id_beside": (name != person.id).then_some(&person.id), "name": name})
}

/// Scalars as they are; lists of scalars as one text. Nested objects show nothing.
fn attribute(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let texts: Vec<String> = items.iter().filter_map(scalar_text).collect();
            if texts.is_empty() { Value::Null } else { Value::String(texts.join(", ")) }
        }
        Value::Object(_) => Value::Null,
        scalar => scalar.clone(),
    }
}

/// Text of a scalar; `None` for null, lists and objects.
pub(super) fn scalar_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn prune(value: &mut Value) {
    if let Value::Object(members) = value {
        members.retain(|_, v| !(v.is_null() || v.as_str().is_some_and(|t| t.trim().is_empty())));
        members.values_mut().for_each(prune);
    }
}
