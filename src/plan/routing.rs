//! Who gets the ticket: convention first, then from general to special; and the words that say why.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::context::{routing_context, scalar_text};
use super::due::Terms;
use super::fill::Fill;
use super::markup::clean_line;
use crate::catalog::{Application, Catalog, Route, Rule};
use crate::model::Assignment;

/// Where a ticket goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Routed {
    /// Desk by its configured name.
    pub desk: String,
    /// Admin group by the catalog's name.
    pub group: String,
    /// Admin group by the desk's own name.
    pub group_on_desk: String,
    /// Template by name.
    pub template: String,
    /// Further desk fields, still templates.
    pub fields: BTreeMap<String, Value>,
    /// Which rule won and why.
    pub words: String,
}

/// Nobody can be given the ticket; in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoRoute(pub String);

/// Routes assignments by the catalog.
#[derive(Debug, Clone)]
pub struct Router {
    catalog: Arc<Catalog>,
    fill: Fill,
}

/// A route and what to call it.
struct Layer<'a> {
    words: String,
    route: &'a Route,
}

impl Router {
    pub(super) fn new(catalog: &Arc<Catalog>) -> Self {
        let mut fill = Fill::default();
        fill.keep(&catalog.main.defaults.admin_group);
        for application in catalog.applications.values() {
            let rules = application.rules.iter().map(|rule| &rule.route);
            let routes = [&application.route].into_iter().chain(rules).chain(application.entitlements.values());
            routes.filter_map(|route| route.admin_group.as_deref()).for_each(|pattern| fill.keep(pattern));
        }
        Self { catalog: Arc::clone(catalog), fill }
    }

    /// When and how urgently (known even when nobody can be found), and to whom.
    pub(super) fn route(&self, order: &Assignment) -> (Terms, Result<Routed, NoRoute>) {
        let layers = self.layers(order);
        let defaults = &self.catalog.main.defaults;
        let mut terms = Terms { filing: defaults.filing, lead_ms: defaults.lead_time.ms(), priority: order.priority };
        let (mut group, mut group_words) = (defaults.admin_group.as_str(), "by convention ([defaults] admin_group)".to_owned());
        let mut desk = defaults.desk.as_deref();
        let mut template = defaults.template.clone();
        let mut fields = BTreeMap::new();
        for Layer { words, route } in &layers {
            terms.filing = route.filing.unwrap_or(terms.filing);
            terms.lead_ms = route.lead_time.map_or(terms.lead_ms, |lead| lead.ms());
            terms.priority = route.priority.unwrap_or(terms.priority);
            if let Some(pattern) = &route.admin_group {
                (group, group_words) = (pattern, format!("by {words}"));
            }
            desk = route.desk.as_deref().or(desk);
            template = route.template.clone().unwrap_or(template);
            fields.extend(route.fields.clone());
        }
        let routed = self.place(group, &group_words, desk, order).map(|place| Routed {
            desk: place.desk,
            group: place.group,
            group_on_desk: place.name,
            template,
            fields,
            words: place.words,
        });
        (terms, routed)
    }

    /// The desk's own name of the fallback group, where it is on this desk.
    pub(super) fn fallback_on(&self, desk: &str) -> Option<String> {
        let name = self.catalog.main.defaults.fallback_admin_group.as_ref()?;
        let group = self.catalog.admin_groups.get(name);
        let elsewhere = group.and_then(|g| g.desk.as_deref()).is_some_and(|d| d != desk);
        (!elsewhere).then(|| group.and_then(|g| g.name.clone()).unwrap_or_else(|| name.clone()))
    }

    /// Desk's own names of all groups that the configuration places on a desk.
    pub(super) fn groups_on(&self, desk: &str) -> Vec<String> {
        let usual = self.usual_desk();
        let here = self.catalog.admin_groups.iter().filter(|(_, group)| group.desk.as_deref().or(usual) == Some(desk));
        let mut names: Vec<String> = here.map(|(name, group)| group.name.clone().unwrap_or_else(|| name.clone())).collect();
        names.sort();
        names.dedup();
        names
    }

    fn layers<'a>(&'a self, order: &Assignment) -> Vec<Layer<'a>> {
        let Some(application) = self.catalog.applications.get(&order.application.id) else { return Vec::new() };
        let id = &application.id;
        let mut layers = vec![Layer { words: format!("the route of application `{id}`"), route: &application.route }];
        if let Some(rule) = winning_rule(application, order) {
            let words = format!("rule `{}` of application `{id}`{}", rule.name, because(rule, order));
            layers.push(Layer { words, route: &rule.route });
        }
        let entitlement = order.entitlement.as_ref().and_then(|e| application.entitlements.get_key_value(&e.id));
        if let Some((name, route)) = entitlement {
            layers.push(Layer { words: format!("the override of entitlement `{name}` in application `{id}`"), route });
        }
        layers
    }

    fn place(&self, pattern: &str, words: &str, desk: Option<&str>, order: &Assignment) -> Result<Place, NoRoute> {
        let filled = self.fill.text_of(pattern, routing_context(&self.catalog, order)).map(|name| clean_line(&name));
        let why_not = match filled {
            Ok(name) if !name.is_empty() => {
                return self.on_desk(&name, desk, format!("admin group `{name}` {words}"));
            }
            Ok(_) => "names no group".to_owned(),
            Err(_) => "needs something this order does not have".to_owned(),
        };
        let why_not = format!("`{pattern}` {words} {why_not}");
        match &self.catalog.main.defaults.fallback_admin_group {
            Some(name) => self.on_desk(name, desk, format!("fallback group `{name}`, because {why_not}")),
            None => Err(NoRoute(format!("{why_not}, and there is no fallback group ([defaults] fallback_admin_group)"))),
        }
    }

    /// A group's own desk goes before the route's; else the only desk there is.
    fn on_desk(&self, name: &str, desk: Option<&str>, words: String) -> Result<Place, NoRoute> {
        let group = self.catalog.admin_groups.get(name);
        let desk = group.and_then(|g| g.desk.as_deref()).or(desk).or(self.usual_desk());
        let Some(desk) = desk else {
            return Err(NoRoute("no desk is configured for it: add one in desks/, or choose one in [defaults] desk".to_owned()));
        };
        let on_desk = group.and_then(|g| g.name.clone()).unwrap_or_else(|| name.to_owned());
        let shown = if on_desk == name { String::new() } else { format!(" (`{on_desk}` there)") };
        let words = format!("{words}, on desk `{desk}`{shown}");
        Ok(Place { desk: desk.to_owned(), group: name.to_owned(), name: on_desk, words })
    }

    fn usual_desk(&self) -> Option<&str> {
        let only = || if self.catalog.desks.len() == 1 { self.catalog.desks.keys().next().map(String::as_str) } else { None };
        self.catalog.main.defaults.desk.as_deref().or_else(only)
    }
}

struct Place {
    desk: String,
    group: String,
    name: String,
    words: String,
}

pub(super) fn winning_rule<'a>(application: &'a Application, order: &Assignment) -> Option<&'a Rule> {
    application.rules.iter().find(|rule| {
        let operation_fits = rule.operations.is_empty() || rule.operations.contains(&order.operation);
        operation_fits && rule.when.iter().all(|(name, wanted)| attribute_fits(order.attributes.get(name), wanted))
    })
}

/// One of the attribute's values is one of those wanted; numbers and words are compared as text.
fn attribute_fits(value: Option<&Value>, wanted: &[Value]) -> bool {
    let wanted: Vec<String> = wanted.iter().filter_map(scalar_text).collect();
    let fits = |value: &Value| scalar_text(value).is_some_and(|text| wanted.contains(&text));
    match value {
        Some(Value::Array(items)) => items.iter().any(fits),
        Some(value) => fits(value),
        None => false,
    }
}

/// The rule's conditions in words; they stand in the configuration, so they tell nothing about a person.
fn because(rule: &Rule, order: &Assignment) -> String {
    let mut reasons: Vec<String> = Vec::new();
    if !rule.operations.is_empty() {
        reasons.push(format!("the operation is {}", order.operation.as_str()));
    }
    for (name, wanted) in &rule.when {
        let wanted: Vec<String> = wanted.iter().filter_map(scalar_text).collect();
        reasons.push(format!("{name} is {}", wanted.join(" or ")));
    }
    if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) }
}
