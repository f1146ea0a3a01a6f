//! A manual case, read: what is ordered, who has to do it, and what the platform holds.

use serde_json::{Value, json};

use crate::source::field::{as_text, items, lookup};

/// Text of a value as the platform writes it: plain, with its normal form beside it, with its type, or as a reference.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::Array(list) => list.first().and_then(text),
        Value::Object(members) => ["orig", "@value", "targetName", "oid"].iter().find_map(|key| members.get(*key).and_then(text)),
        plain => as_text(plain).filter(|t| !t.is_empty()),
    }
}

/// Text at a pointer.
pub(super) fn text_at(document: &Value, pointer: &str) -> Option<String> {
    lookup(document, pointer).and_then(text)
}

/// The last part of a word that may be written as an address (`…/case#open`).
fn word(value: &str) -> String {
    value.rsplit(['#', '/', ':']).next().unwrap_or(value).trim().to_lowercase()
}

/// Whether the case still waits for somebody.
pub(super) fn is_open(case: &Value) -> bool {
    text_at(case, "/state").is_none_or(|state| matches!(word(&state).as_str(), "open" | "created"))
}

/// The lowest work item that nobody has completed: the platform closes the others with it.
pub(super) fn open_item(case: &Value) -> Option<u64> {
    let items = items(case, "/workItem").unwrap_or_default();
    let open = items.into_iter().filter(|item| lookup(item, "/closeTimestamp").is_none());
    open.filter_map(|item| text_at(item, "/@id").or_else(|| text_at(item, "/id"))?.parse().ok()).min()
}

/// Whether a completed work item carries this mark.
pub(super) fn carries(case: &Value, mark: &str) -> bool {
    let items = items(case, "/workItem").unwrap_or_default();
    items.into_iter().filter_map(|item| text_at(item, "/output/comment")).any(|comment| comment.contains(mark))
}

/// How a closed case ended: done or not; `None` where it does not say.
pub(super) fn ended_well(case: &Value) -> Option<bool> {
    let own = text_at(case, "/outcome");
    let items = items(case, "/workItem").unwrap_or_default();
    let of_item = || items.into_iter().find_map(|item| text_at(item, "/output/outcome"));
    match word(&own.or_else(of_item)?).as_str() {
        "success" | "approve" | "approved" | "handled_error" | "warning" => Some(true),
        "fatal_error" | "partial_error" | "reject" | "rejected" | "failure" => Some(false),
        _ => None,
    }
}

/// When the case was made; newer versions keep it in another place.
pub(super) fn created(case: &Value) -> Option<String> {
    let places = ["/metadata/createTimestamp", "/@metadata/storage/createTimestamp"];
    places.iter().find_map(|place| text_at(case, place))
}

/// What is to be done.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Work {
    /// Stored word of the operation; none where the case does not say.
    pub(super) operation: Option<&'static str>,
    /// The one entitlement that is given or taken: its OID, and its name where the case has it.
    pub(super) entitlement: Option<(String, Option<String>)>,
    /// For people: a line for each change.
    pub(super) changes: Vec<String>,
    /// Account name in an order to make one.
    pub(super) account: Option<String>,
}

/// Reads the pending operation.
pub(super) fn work(case: &Value) -> Work {
    let pending = items(case, "/manualProvisioningContext/pendingOperation").unwrap_or_default();
    let deltas: Vec<&Value> = pending.into_iter().flat_map(|p| items(p, "/delta").unwrap_or_default()).collect();
    let kinds: Vec<String> = deltas.iter().filter_map(|d| text_at(d, "/changeType")).map(|k| word(&k)).collect();
    let mut work = Work::default();
    match kinds.first().map(String::as_str) {
        Some("add") => {
            work.operation = Some("create_account");
            let made = deltas.iter().find_map(|d| lookup(d, "/objectToAdd"));
            if let Some(made) = made {
                work.account = text_at(made, "/name").or_else(|| text_at(made, "/attributes/name"));
                work.changes = attributes(made);
            }
        }
        // The item in a deletion says nothing: the platform only needs one to be there.
        Some("delete") => work.operation = Some("delete_account"),
        Some("modify") => modification(&deltas, &mut work),
        _ => {}
    }
    work
}

fn attributes(object: &Value) -> Vec<String> {
    let Some(Value::Object(members)) = lookup(object, "/attributes") else { return Vec::new() };
    let own = members.iter().filter(|(name, _)| !name.starts_with('@'));
    own.map(|(name, value)| format!("{}: {}", local(name), shown(name, value))).collect()
}

/// One changed item: how, where, and the values.
struct Item<'a> {
    how: String,
    path: String,
    values: Vec<&'a Value>,
}

fn modification(deltas: &[&Value], work: &mut Work) {
    let listed: Vec<&Value> = deltas.iter().flat_map(|d| items(d, "/itemDelta").unwrap_or_default()).collect();
    let read = |item: &&'_ Value| (text_at(item, "/modificationType").map(|m| word(&m)), path(item));
    let changed: Vec<Item<'_>> = listed
        .iter()
        .map(|item| {
            let (how, path) = read(item);
            Item { how: how.unwrap_or_default(), path, values: items(item, "/value").unwrap_or_default() }
        })
        .collect();
    work.changes = changed.iter().map(line).collect();
    work.operation = Some("modify");
    let [only] = changed.as_slice() else { return };
    if let Some(word) = status(only) {
        work.operation = Some(word);
    }
    let given = match only.how.as_str() {
        "add" => "grant",
        "delete" => "revoke",
        _ => return,
    };
    let ([value], true) = (only.values.as_slice(), only.path.starts_with("association")) else { return };
    let places = ["/shadowRef", "/objects/0/shadowRef", "/identifiers"];
    let Some(target) = places.iter().find_map(|p| lookup(value, p)) else { return };
    let name = text_at(target, "/targetName").or_else(|| text_at(target, "/object/name"));
    if let Some(oid) = text_at(target, "/oid").or_else(|| name.clone()) {
        work.operation = Some(given);
        work.entitlement = Some((oid, name));
    }
}

/// An account that is switched on or off.
fn status(item: &Item<'_>) -> Option<&'static str> {
    let value = item.values.last().and_then(|v| text(v))?;
    match (item.path.ends_with("activation/administrativeStatus"), item.how.as_str(), word(&value).as_str()) {
        (true, "add" | "replace", "enabled") => Some("enable_account"),
        (true, "add" | "replace", "disabled" | "archived") => Some("disable_account"),
        _ => None,
    }
}

/// `c:attributes/ri:group` without its prefixes.
fn path(item: &Value) -> String {
    let written = text_at(item, "/path").unwrap_or_default();
    written.split('/').map(local).filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
}

fn local(name: &str) -> &str {
    name.rsplit([':', '#']).next().unwrap_or(name)
}

fn line(item: &Item<'_>) -> String {
    let path = item.path.strip_prefix("attributes/").unwrap_or(&item.path);
    let values: Vec<String> = item.values.iter().map(|v| shown(path, v)).collect();
    format!("{} {path}: {}", item.how, values.join(", ")).trim().to_owned()
}

/// A value for people. What is secret is said to be there, and nothing more.
fn shown(path: &str, value: &Value) -> String {
    let path = path.to_lowercase();
    if path.contains("password") || path.contains("credential") || is_protected(value) {
        return "(a secret; it is not shown here)".to_owned();
    }
    match value {
        Value::Array(list) => list.iter().map(|v| shown(&path, v)).collect::<Vec<_>>().join(", "),
        Value::Object(_) => {
            text(value).or_else(|| lookup(value, "/shadowRef").and_then(text)).unwrap_or_else(|| "(see the case)".to_owned())
        }
        plain => as_text(plain).unwrap_or_default(),
    }
}

fn is_protected(value: &Value) -> bool {
    ["encryptedData", "clearValue", "hashedData"].iter().any(|key| value.get(key).is_some())
}

/// The same without protected values, whose ciphers have no business here.
pub(super) fn scrubbed(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(scrubbed).collect(),
        _ if is_protected(value) => Value::Null,
        Value::Object(members) => members.iter().map(|(key, v)| (key.clone(), scrubbed(v))).collect(),
        plain => plain.clone(),
    }
}

/// Whether a key with a value stands anywhere inside.
pub(super) fn holds(value: &Value, key: &str) -> bool {
    match value {
        Value::Array(list) => list.iter().any(|v| holds(v, key)),
        Value::Object(members) => members.iter().any(|(name, v)| (local(name) == key && text(v).is_some()) || holds(v, key)),
        _ => false,
    }
}

/// Id and name of every reference at a pointer.
pub(super) fn references(case: &Value, pointer: &str) -> Vec<Value> {
    let found = items(case, pointer).unwrap_or_default();
    let named = |r: &Value| Some(json!({"oid": text_at(r, "/oid")?, "name": text_at(r, "/targetName")}));
    found.into_iter().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(delta: &Value) -> Value {
        json!({"manualProvisioningContext": {"pendingOperation": {"type": "manual", "delta": delta}}})
    }

    fn modify(items: &Value) -> Work {
        work(&case(&json!({"changeType": "modify", "itemDelta": items})))
    }

    #[test]
    fn the_operation_is_read_from_the_delta() {
        let made = json!({"changeType": "add", "objectToAdd": {"name": {"orig": "jdoe", "norm": "jdoe"},
            "attributes": {"@ns": "x", "ri:fullName": "Jo Doe", "ri:password": "hunter2"}}});
        let made = work(&case(&made));
        assert_eq!((made.operation, made.account.as_deref()), (Some("create_account"), Some("jdoe")));
        assert_eq!(made.changes, ["fullName: Jo Doe", "password: (a secret; it is not shown here)"]);
        let gone =
            json!([{"changeType": "delete", "itemDelta": {"path": "kind", "modificationType": "replace", "value": "account"}}]);
        let gone = work(&case(&gone));
        assert_eq!((gone.operation, gone.changes.len()), (Some("delete_account"), 0), "its item is a dummy");

        let status = |value: &str| {
            let item = json!({"path": "c:activation/c:administrativeStatus", "modificationType": "replace", "value": value});
            modify(&item).operation
        };
        assert_eq!((status("disabled"), status("enabled")), (Some("disable_account"), Some("enable_account")));
        assert_eq!(work(&json!({})).operation, None, "a case that does not say is for a person");
    }

    #[test]
    fn one_membership_is_a_grant_or_a_revoke_and_several_are_a_change() {
        let value = json!({"name": "ri:group", "shadowRef": {"oid": "g-1", "targetName": {"orig": "Sales", "norm": "sales"}}});
        let item = |how: &str| json!({"path": "association", "modificationType": how, "value": value});
        for (how, word) in [("add", "grant"), ("delete", "revoke")] {
            let work = modify(&item(how));
            assert_eq!(work.operation, Some(word));
            assert_eq!(work.entitlement, Some(("g-1".to_owned(), Some("Sales".to_owned()))));
            assert_eq!(work.changes, [format!("{how} association: Sales")]);
        }
        let both = modify(&json!([item("add"), item("delete")]));
        assert_eq!((both.operation, both.entitlement, both.changes.len()), (Some("modify"), None, 2));
    }

    #[test]
    fn secrets_are_neither_shown_nor_kept() {
        let secret = json!({"encryptedData": {"cipherData": "abc"}});
        let item = json!({"path": "attributes/ri:token", "modificationType": "replace", "value": [secret]});
        let case = case(&json!({"changeType": "modify", "itemDelta": item}));
        assert_eq!(work(&case).changes, ["replace token: (a secret; it is not shown here)"]);
        assert!(!scrubbed(&case).to_string().contains("abc"));
    }

    #[test]
    fn work_items_and_ends_are_read_one_or_many() {
        let one = json!({"state": "open", "workItem": {"@id": 4}});
        let many = json!({"state": "http://midpoint.example/case-3#open",
            "workItem": [{"@id": 2, "closeTimestamp": "2026-01-01T00:00:00Z"}, {"@id": 7}, {"@id": 5}]});
        assert_eq!((open_item(&one), open_item(&many)), (Some(4), Some(5)));
        assert!(is_open(&one) && is_open(&many) && !is_open(&json!({"state": "closed"})));
        let ended = |outcome: Value| ended_well(&json!({"state": "closed", "outcome": outcome}));
        assert_eq!(ended(json!("http://midpoint.example/outcome#approve")), Some(true));
        assert_eq!((ended(json!("fatal_error")), ended(Value::Null)), (Some(false), None));
    }

    #[test]
    fn a_key_counts_only_with_a_value() {
        assert!(holds(&json!({"a": [{"icfc:ticketingResourceOid": "r"}]}), "ticketingResourceOid"));
        assert!(!holds(&json!({"a": [{"ticketingResourceOid": ""}]}), "ticketingResourceOid"));
    }
}
