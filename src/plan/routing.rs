//! Finding the admins: convention first, then from general to special; the last that says something wins.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fill::Fill;
use crate::catalog::{Catalog, Filing, Route, Rule};
use crate::model::Assignment;

/// Where a ticket goes, and why.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Routed {
    pub(super) desk: String,
    pub(super) admin_group: String,
    pub(super) group_on_desk: String,
    pub(super) template: String,
    pub(super) filing: Filing,
    pub(super) lead_ms: i64,
    pub(super) priority: Option<i64>,
    pub(super) fields: BTreeMap<String, Value>,
    pub(super) words: String,
}

/// Routes one order.
///
/// # Errors
/// Words for people: no desk, or a pattern that names nothing.
pub(super) fn route(catalog: &Catalog, order: &Assignment) -> Result<Routed, String> {
    let defaults = &catalog.main.defaults;
    let base = Route {
        desk: defaults.desk.clone().or_else(|| only(catalog.desks.keys())),
        admin_group: Some(defaults.admin_group.clone()),
        template: Some(defaults.template.clone()),
        filing: Some(defaults.filing),
        lead_time: Some(defaults.lead_time),
        priority: None,
        fields: BTreeMap::new(),
    };
    let mut layers: Vec<(String, &Route)> = vec![("by convention".to_owned(), &base)];
    if let Some(application) = catalog.applications.get(&order.application.id) {
        layers.push((format!("application {}", application.id), &application.route));
        if let Some(rule) = application.rules.iter().find(|rule| fits(rule, order)) {
            layers.push((format!("rule “{}”", rule.name), &rule.route));
        }
        let entitlement = order.entitlement.as_ref().and_then(|e| application.entitlements.get_key_value(&e.id));
        if let Some((id, route)) = entitlement {
            layers.push((format!("entitlement {id}"), route));
        }
    }
    let pick =
        |get: fn(&Route) -> Option<&String>| layers.iter().rev().find_map(|(why, r)| get(r).map(|v| (why.clone(), v.clone())));
    let (why, pattern) = pick(|r| r.admin_group.as_ref()).ok_or("no admin group")?;
    let admin_group = Fill::default()
        .text(&pattern, &pattern_context(order))
        .map_err(|e| format!("the admin group's pattern `{pattern}` ({why}) cannot be filled: {e}"))?;
    let group = catalog.admin_groups.get(&admin_group);
    let desk = group.and_then(|g| g.desk.clone()).or_else(|| pick(|r| r.desk.as_ref()).map(|(_, d)| d));
    let desk = desk.ok_or("no desk: name one in [defaults] or in the application's file")?;
    let mut fields = BTreeMap::new();
    layers.iter().for_each(|(_, r)| fields.extend(r.fields.clone()));
    Ok(Routed {
        words: format!("{admin_group} on {desk}: {why}"),
        group_on_desk: group.and_then(|g| g.name.clone()).unwrap_or_else(|| admin_group.clone()),
        desk,
        admin_group,
        template: pick(|r| r.template.as_ref()).map_or_else(|| "default".to_owned(), |(_, t)| t),
        filing: layers.iter().rev().find_map(|(_, r)| r.filing).unwrap_or_default(),
        lead_ms: layers.iter().rev().find_map(|(_, r)| r.lead_time).map_or(0, crate::catalog::Span::ms),
        priority: layers.iter().rev().find_map(|(_, r)| r.priority),
        fields,
    })
}

fn only<'a>(mut names: impl Iterator<Item = &'a String>) -> Option<String> {
    let first = names.next()?;
    names.next().is_none().then(|| first.clone())
}

fn fits(rule: &Rule, order: &Assignment) -> bool {
    (rule.operations.is_empty() || rule.operations.contains(&order.operation))
        && rule.when.iter().all(|(name, values)| order.attributes.get(name).is_some_and(|v| values.contains(v)))
}

/// What a pattern of a group's name may use.
fn pattern_context(order: &Assignment) -> Value {
    json!({
        "application": {"id": order.application.id, "name": order.application.name},
        "entitlement": order.entitlement.as_ref().map(|e| json!({"id": e.id, "name": e.name})),
        "operation": order.operation.as_str(),
        "source": order.source,
        "attributes": order.attributes,
    })
}
