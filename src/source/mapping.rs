//! The declared mapping: from a platform's JSON to an assignment, without a line of code.

mod mistakes;

use std::collections::BTreeMap;

use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::EventContent;
use super::date::{DateField, DayEdge};
use super::field::{Field, Pointer, as_text, items, lookup};
use crate::model::assignment::{Approval, Named};
use crate::model::{Assignment, Operation, Person, Timestamp};

pub use mistakes::Mistake;

/// Where an assignment's parts stand in the platform's JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// Zone of dates that carry none (`Europe/Berlin`).
    #[serde(default = "utc")]
    pub zone: String,
    /// Only documents that fit are for us; others are acknowledged and forgotten (a platform's other event kinds).
    #[serde(default)]
    pub only: Option<When>,
    /// Documents that fit take the order back.
    #[serde(default)]
    pub withdrawn: Option<When>,
    /// Documents that fit say that the person at `beneficiary` left: their open orders are taken back, and what is to be
    /// taken from them goes ahead of everything.
    #[serde(default)]
    pub left: Option<When>,
    /// Documents that fit say that the application itself shows what was ordered: proof that it was carried out.
    #[serde(default)]
    pub seen: Option<Seen>,
    /// The platform's id of the order.
    pub external_id: Field,
    /// Its count of this order's repetitions; 1 where it is not mapped.
    #[serde(default)]
    pub generation: Option<Field>,
    /// What is ordered: `grant`, `revoke`, `modify`, `create_account`, `enable_account`, `disable_account`,
    /// `delete_account`; a platform's own words through `map`.
    pub operation: Field,
    /// On which application.
    pub application: NamedFields,
    /// Which entitlement.
    #[serde(default)]
    pub entitlement: Option<NamedFields>,
    /// Account name on the application.
    #[serde(default)]
    pub account: Option<Field>,
    /// For whom.
    pub beneficiary: PersonFields,
    /// Who asked.
    #[serde(default)]
    pub requester: Option<PersonFields>,
    /// Who approved.
    #[serde(default)]
    pub approvals: Option<ApprovalFields>,
    /// When it was asked for.
    #[serde(default)]
    pub requested_at: Option<DateField>,
    /// When the last approval was given; the latest of `approvals` where it is not mapped.
    #[serde(default)]
    pub approved_at: Option<DateField>,
    /// From when it shall hold.
    #[serde(default)]
    pub valid_from: Option<DateField>,
    /// Until when it shall hold; a date without time means the end of that day.
    #[serde(default)]
    pub valid_until: Option<DateField>,
    /// 0 … 3, or `low`, `normal`, `high`, `urgent`; a platform's own words through `map`. 1 where it is not mapped.
    #[serde(default)]
    pub priority: Option<Field>,
    /// The requester's words; of a withdrawal, why it was taken back.
    #[serde(default)]
    pub reason: Option<Field>,
    /// Further attributes by name, for rules and templates.
    #[serde(default)]
    pub attributes: BTreeMap<String, Field>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Fits when one of the values stands at the pointer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct When {
    /// Where to look.
    pub pointer: Pointer,
    /// Values that fit.
    pub values: Vec<Value>,
}

impl When {
    fn fits(&self, document: &Value) -> bool {
        fits(&self.pointer, &self.values, document)
    }
}

fn fits(pointer: &Pointer, values: &[Value], document: &Value) -> bool {
    lookup(document, pointer.as_str())
        .is_some_and(|found| values.iter().any(|v| v == found || as_text(v).is_some_and(|t| Some(t) == as_text(found))))
}

/// Fits when one of the values stands at the pointer: the application itself shows what was ordered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Where to look.
    pub pointer: Pointer,
    /// Values that fit.
    pub values: Vec<Value>,
    /// When the application was looked at; else it counts when the message arrived.
    #[serde(default)]
    pub at: Option<DateField>,
    /// The source that brought the orders, where it is not this one.
    #[serde(default)]
    pub orders_of: Option<String>,
}

/// Id and name of a thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NamedFields {
    /// Its stable id.
    pub id: Field,
    /// Its name for people; the id where it is not mapped.
    #[serde(default)]
    pub name: Option<Field>,
}

/// Id, name and address of a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonFields {
    /// The platform's id.
    pub id: Field,
    /// Name to show.
    #[serde(default)]
    pub name: Option<Field>,
    /// E-mail address.
    #[serde(default)]
    pub email: Option<Field>,
}

/// A list of approvals; the other pointers start at each of its items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalFields {
    /// The list; one approval without a list is accepted too.
    pub list: Pointer,
    /// Who decided.
    pub by: PersonFields,
    /// When.
    #[serde(default)]
    pub at: Option<DateField>,
}

impl Mapping {
    /// What a document says; `None` when it is not for us. `raw` is kept for replay where it does not map.
    #[must_use]
    pub fn content(&self, source: &str, document: &Value, raw: &str) -> Option<EventContent> {
        if self.only.as_ref().is_some_and(|when| !when.fits(document)) {
            return None;
        }
        let read = if let Some(seen) = self.seen.as_ref().filter(|seen| fits(&seen.pointer, &seen.values, document)) {
            self.evidence(source, seen, document)
        } else if self.left.as_ref().is_some_and(|when| when.fits(document)) {
            self.leaver(document)
        } else if self.withdrawn.as_ref().is_some_and(|when| when.fits(document)) {
            self.withdrawal(document)
        } else {
            self.assignment(source, document).map(|order| EventContent::Order(Box::new(order)))
        };
        Some(read.unwrap_or_else(|problem| EventContent::Unmappable { problem, body: raw.to_owned() }))
    }

    /// The platform's id of the order in a document, where it can be read.
    #[must_use]
    pub fn external_id(&self, document: &Value) -> Option<String> {
        self.external_id.required_text("external_id", document).ok()
    }

    /// Reads an order.
    ///
    /// # Errors
    /// Words that name the field and its pointer; never a value of a person.
    pub fn assignment(&self, source: &str, document: &Value) -> Result<Assignment, String> {
        let zone = self.zone.parse().unwrap_or(Tz::UTC);
        let date = |name: &str, field: &Option<DateField>, edge| {
            field.as_ref().map_or(Ok(None), |f| f.resolve(name, document, zone, edge))
        };
        let approvals = self.approvals(document, zone)?;
        let last_approval = approvals.iter().filter_map(|a| a.at).max();
        Ok(Assignment {
            source: source.to_owned(),
            external_id: self.external_id.required_text("external_id", document)?,
            generation: self.generation_of(document)?,
            operation: self.operation_in(document)?,
            application: named("application", &self.application, document)?
                .ok_or_else(|| format!("field `application.id`: nothing stands at {}", self.application.id.places()))?,
            entitlement: match &self.entitlement {
                Some(fields) => named("entitlement", fields, document)?,
                None => None,
            },
            account: text("account", self.account.as_ref(), document)?,
            beneficiary: person("beneficiary", &self.beneficiary, document)?
                .ok_or_else(|| format!("field `beneficiary.id`: nothing stands at {}", self.beneficiary.id.places()))?,
            requester: match &self.requester {
                Some(fields) => person("requester", fields, document)?,
                None => None,
            },
            approvals,
            requested_at: date("requested_at", &self.requested_at, DayEdge::StartOfDay)?,
            approved_at: date("approved_at", &self.approved_at, DayEdge::StartOfDay)?.or(last_approval),
            valid_from: date("valid_from", &self.valid_from, DayEdge::StartOfDay)?,
            valid_until: date("valid_until", &self.valid_until, DayEdge::EndOfDay)?,
            answer_by: None,
            priority: self.priority_in(document)?,
            reason: text("reason", self.reason.as_ref(), document)?,
            attributes: self.attributes_of(document)?,
        })
    }

    fn withdrawal(&self, document: &Value) -> Result<EventContent, String> {
        Ok(EventContent::Withdrawn {
            external_id: self.external_id.required_text("external_id", document)?,
            // A withdrawal need not repeat what was ordered; then all of that id is meant.
            operation: self.operation_in(document).ok(),
            reason: text("reason", self.reason.as_ref(), document)?,
        })
    }

    fn evidence(&self, source: &str, seen: &Seen, document: &Value) -> Result<EventContent, String> {
        let zone = self.zone.parse().unwrap_or(Tz::UTC);
        let at = seen.at.as_ref().map_or(Ok(None), |at| at.resolve("seen.at", document, zone, DayEdge::StartOfDay))?;
        Ok(EventContent::Seen {
            of: seen.orders_of.as_deref().unwrap_or(source).to_owned(),
            external_id: self.external_id.required_text("external_id", document)?,
            // It need not repeat what was ordered; then all of that id is meant.
            operation: self.operation_in(document).ok(),
            at,
        })
    }

    fn leaver(&self, document: &Value) -> Result<EventContent, String> {
        let person = self.beneficiary.id.required_text("beneficiary.id", document)?;
        Ok(EventContent::Left { person })
    }

    fn generation_of(&self, document: &Value) -> Result<i64, String> {
        let Some(field) = &self.generation else { return Ok(1) };
        match field.text("generation", document)? {
            None => Ok(1),
            Some(text) => {
                text.parse().map_err(|_| format!("field `generation`: what stands at {} is not a whole number", field.places()))
            }
        }
    }

    fn operation_in(&self, document: &Value) -> Result<Operation, String> {
        let nothing = || format!("field `operation`: nothing stands at {}", self.operation.places());
        let value = self.operation.resolve("operation", document)?.ok_or_else(nothing)?;
        operation_of(&value).ok_or_else(|| {
            format!("field `operation`: what stands at {} is no operation; add it to its `map`", self.operation.places())
        })
    }

    fn priority_in(&self, document: &Value) -> Result<i64, String> {
        let Some(field) = &self.priority else { return Ok(1) };
        match field.resolve("priority", document)? {
            None => Ok(1),
            Some(value) => priority_of(&value)
                .ok_or_else(|| format!("field `priority`: what stands at {} is no priority; add a `map`", field.places())),
        }
    }

    fn approvals(&self, document: &Value, zone: Tz) -> Result<Vec<Approval>, String> {
        let Some(fields) = &self.approvals else { return Ok(Vec::new()) };
        let listed = items(document, fields.list.as_str()).unwrap_or_default();
        listed.into_iter().filter_map(|item| approval(fields, item, zone).transpose()).collect()
    }

    fn attributes_of(&self, document: &Value) -> Result<BTreeMap<String, Value>, String> {
        let mut attributes = BTreeMap::new();
        for (name, field) in &self.attributes {
            if let Some(value) = field.resolve(&format!("attributes.{name}"), document)? {
                attributes.insert(name.clone(), value);
            }
        }
        Ok(attributes)
    }
}

fn approval(fields: &ApprovalFields, item: &Value, zone: Tz) -> Result<Option<Approval>, String> {
    let Some(by) = person("approvals.by", &fields.by, item)? else { return Ok(None) };
    let at: Option<Timestamp> = match &fields.at {
        Some(field) => field.resolve("approvals.at", item, zone, DayEdge::StartOfDay)?,
        None => None,
    };
    Ok(Some(Approval { by, at }))
}

fn text(name: &str, field: Option<&Field>, document: &Value) -> Result<Option<String>, String> {
    field.map_or(Ok(None), |f| f.text(name, document))
}

fn named(name: &str, fields: &NamedFields, document: &Value) -> Result<Option<Named>, String> {
    let Some(id) = fields.id.text(&format!("{name}.id"), document)? else { return Ok(None) };
    let shown = text(&format!("{name}.name"), fields.name.as_ref(), document)?.unwrap_or_else(|| id.clone());
    Ok(Some(Named { id, name: shown }))
}

fn person(name: &str, fields: &PersonFields, document: &Value) -> Result<Option<Person>, String> {
    let Some(id) = fields.id.text(&format!("{name}.id"), document)? else { return Ok(None) };
    Ok(Some(Person {
        id,
        name: text(&format!("{name}.name"), fields.name.as_ref(), document)?,
        email: text(&format!("{name}.email"), fields.email.as_ref(), document)?,
    }))
}

fn operation_of(value: &Value) -> Option<Operation> {
    value.as_str().and_then(|word| Operation::parse(&word.trim().to_lowercase()))
}

fn priority_of(value: &Value) -> Option<i64> {
    match as_text(value)?.to_lowercase().as_str() {
        "0" | "low" => Some(0),
        "1" | "normal" | "medium" => Some(1),
        "2" | "high" => Some(2),
        "3" | "urgent" | "critical" => Some(3),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MAPPING: &str = r#"
        zone = "Europe/Berlin"
        only = { pointer = "/type", values = ["order", "cancelled", "gone"] }
        left = { pointer = "/type", values = ["gone"] }
        withdrawn = { pointer = "/type", values = ["cancelled"] }
        external_id = "/order/id"
        generation = { pointer = "/order/round", default = 1 }
        operation = { pointer = "/order/what", map = { add = "grant", remove = "revoke" } }
        application = { id = "/order/app/key", name = "/order/app/title" }
        entitlement = { id = "/order/role" }
        account = ["/order/login", "/order/account"]
        beneficiary = { id = "/for/id", name = "/for/name", email = "/for/mail" }
        approvals = { list = "/approvals", by = { id = "/who" }, at = "/when" }
        requested_at = "/order/asked"
        valid_from = "/order/from"
        valid_until = "/order/until"
        priority = { pointer = "/order/prio", map = { P1 = "urgent", "*" = 1 } }
        reason = "/order/why"
        [attributes]
        risk = "/order/risk"
        region = { value = "emea" }
    "#;

    fn mapping() -> Mapping {
        toml::from_str(MAPPING).unwrap()
    }

    fn document() -> Value {
        json!({
            "type": "order",
            "order": {"id": 42, "what": "ADD", "app": {"key": "sap", "title": "SAP ERP"}, "role": "Z_BUYER",
                "account": "CORP42", "asked": "2026-03-01T10:00:00Z", "from": "2026-03-29", "until": "2026-03-29",
                "prio": "P1", "risk": 7},
            "for": {"id": "p-1", "name": "Ada Example", "mail": "ada@example.org"},
            "approvals": {"who": "m-1", "when": "2026-03-02T08:00:00+01:00"},
        })
    }

    fn problem(document: &Value) -> String {
        match mapping().content("iga", document, "raw") {
            Some(EventContent::Unmappable { problem, body }) => {
                assert_eq!(body, "raw");
                problem
            }
            _ => "it maps".to_owned(),
        }
    }

    #[test]
    fn every_part_is_found() {
        let order = mapping().assignment("iga", &document()).unwrap();
        assert_eq!(order.natural_key(), "iga/42/grant/1");
        assert_eq!((order.application.id.as_str(), order.application.name.as_str()), ("sap", "SAP ERP"));
        assert_eq!(order.entitlement.unwrap().name, "Z_BUYER");
        assert_eq!(order.account.as_deref(), Some("CORP42"));
        assert_eq!(order.beneficiary.email.as_deref(), Some("ada@example.org"));
        assert_eq!(order.approved_at.unwrap().iso(), "2026-03-02T07:00:00.000Z");
        assert_eq!(order.valid_from.unwrap().iso(), "2026-03-28T23:00:00.000Z");
        assert_eq!(order.valid_until.unwrap().iso(), "2026-03-29T21:59:59.999Z");
        assert_eq!(order.priority, 3);
        assert_eq!(order.attributes, BTreeMap::from([("region".into(), json!("emea")), ("risk".into(), json!(7))]));
    }

    #[test]
    fn somebody_who_left_is_named_by_the_beneficiary_alone() {
        let gone = json!({"type": "gone", "for": {"id": "P-7", "name": "Pat"}});
        assert!(matches!(mapping().content("iga", &gone, "{}"), Some(EventContent::Left { person }) if person == "P-7"));
        let nobody = mapping().content("iga", &json!({"type": "gone", "for": {"name": "Pat"}}), "{}");
        let Some(EventContent::Unmappable { problem, .. }) = nobody else { panic!("it maps") };
        assert!(problem.contains("beneficiary.id") && !problem.contains("Pat"), "{problem}");
    }

    #[test]
    fn what_the_application_shows_names_the_order_alone() {
        let text = MAPPING.replacen(
            "external_id",
            "seen = { pointer = \"/type\", values = [\"in_effect\"], at = \"/seen\", orders_of = \"idm\" }\n external_id",
            1,
        );
        let mapping: Mapping = toml::from_str(&text.replace("\"gone\"]", "\"gone\", \"in_effect\"]")).unwrap();
        assert!(mapping.mistakes().is_empty());
        let read = |document: &Value| mapping.content("sync", document, "{}");
        let shown = json!({"type": "in_effect", "order": {"id": 42}, "seen": "2026-03-01T10:00:00Z"});
        let Some(EventContent::Seen { of, external_id, operation: None, at: Some(at) }) = read(&shown) else {
            panic!("not seen")
        };
        assert_eq!((of.as_str(), external_id.as_str(), at.iso().as_str()), ("idm", "42", "2026-03-01T10:00:00.000Z"));
        let of_grant = json!({"type": "in_effect", "order": {"id": 42, "what": "ADD"}});
        assert!(matches!(read(&of_grant), Some(EventContent::Seen { operation: Some(Operation::Grant), at: None, .. })));
        assert!(matches!(read(&json!({"type": "in_effect"})), Some(EventContent::Unmappable { .. })));
    }

    #[test]
    fn withdrawals_and_other_peoples_events_are_told_apart() {
        let withdrawn = json!({"type": "cancelled", "order": {"id": "42", "why": "left"}});
        assert!(matches!(
            mapping().content("iga", &withdrawn, ""),
            Some(EventContent::Withdrawn { external_id, operation: None, reason: Some(why) }) if external_id == "42" && why == "left"
        ));
        assert!(mapping().content("iga", &json!({"type": "ping"}), "").is_none());
    }

    #[test]
    fn a_problem_names_field_and_pointer_and_never_a_value() {
        let broken = |pointer: &str, value: Value| {
            let mut document = document();
            *document.pointer_mut(pointer).unwrap() = value;
            problem(&document)
        };
        for (pointer, value, field) in [
            ("/for/id", Value::Null, "beneficiary.id"),
            ("/for/name", json!({"first": "Ada"}), "beneficiary.name"),
            ("/order/what", json!("Ada"), "operation"),
            ("/order/from", json!("Ada"), "valid_from"),
            ("/order/app/key", json!(""), "application.id"),
            ("/order/id", Value::Null, "external_id"),
        ] {
            let problem = broken(pointer, value);
            assert!(problem.contains(&format!("`{field}`")) && problem.contains(pointer), "{problem}");
            assert!(!problem.contains("Ada"), "{problem}");
        }
    }

    #[test]
    fn mistakes_show_before_any_document() {
        let text = MAPPING
            .replace("Europe/Berlin", "Europe/Berln")
            .replace("add = \"grant\"", "add = \"grnt\"")
            .replace("P1 = \"urgent\"", "P1 = \"whenever\"");
        let mistakes = toml::from_str::<Mapping>(&text).unwrap().mistakes();
        let keys: Vec<&str> = mistakes.iter().map(|m| m.0[0].as_str()).collect();
        assert_eq!(keys, ["zone", "operation", "priority"]);
        assert_eq!(mistakes[0].2.as_deref(), Some("did you mean `Europe/Berlin`?"));
        assert_eq!(mistakes[1].2.as_deref(), Some("did you mean `grant`?"));
        assert!(mapping().mistakes().is_empty());
    }
}
