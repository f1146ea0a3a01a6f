//! Finds what a template does wrong before an order does: names that no order has (also inside conditions, where
//! strict filling does not look), markup let through, a missing key; then fills it with samples.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::{Value, json};

use super::context::{Order, routing_context, ticket_context};
use super::fill::Fill;
use super::markup::{parse, to_plain};
use super::template::{Parsed, Templates};
use super::walk::Walk;
use super::{Moment, sample};
use crate::catalog::{Application, Catalog, ConfigFile, Problem, Route};
use crate::model::{Assignment, Key, Operation, Timestamp};

/// Every problem of templates, patterns and desk fields.
pub(super) fn lint(catalog: &Catalog, templates: &Templates, fill: &Fill) -> Vec<Problem> {
    let mut lint = Lint { catalog, templates, fill, problems: Vec::new() };
    for (name, attributes) in lint.uses() {
        if let Some(parsed) = templates.parsed().get(&name) {
            lint.template(&name, parsed, &attributes);
        }
    }
    let main = catalog.main_file.clone().unwrap_or_else(|| ConfigFile::from_text(&catalog.folder.join("lastmile.toml"), ""));
    lint.pattern(&catalog.main.defaults.admin_group, &main, &["defaults", "admin_group"]);
    for (id, application) in &catalog.applications {
        lint.application(id, application);
    }
    lint.problems
}

struct Lint<'a> {
    catalog: &'a Catalog,
    templates: &'a Templates,
    fill: &'a Fill,
    problems: Vec<Problem>,
}

impl Lint<'_> {
    /// Each template with each set of attributes it is used with; one that nothing uses sees them all.
    fn uses(&self) -> BTreeSet<(String, BTreeSet<String>)> {
        let usual = &self.catalog.main.defaults;
        let of = |application: Option<&Application>| -> BTreeSet<String> {
            usual
                .template_attributes
                .iter()
                .chain(application.into_iter().flat_map(|a| &a.template_attributes))
                .cloned()
                .collect()
        };
        let mut uses = BTreeSet::from([(usual.template.clone(), of(None))]);
        for application in self.catalog.applications.values() {
            let named: Vec<&String> = routes(application).filter_map(|(_, route)| route.template.as_ref()).collect();
            let own = application.route.template.as_ref().unwrap_or(&usual.template);
            uses.extend(named.into_iter().chain([own]).map(|name| (name.clone(), of(Some(application)))));
        }
        let every: BTreeSet<String> = self.catalog.applications.values().flat_map(|a| of(Some(a))).chain(of(None)).collect();
        let used: BTreeSet<String> = uses.iter().map(|(name, _)| name.clone()).collect();
        let unused = self.templates.parsed().keys().filter(|name| !used.contains(*name));
        uses.extend(unused.map(|name| (name.clone(), every.clone())));
        uses
    }

    fn template(&mut self, name: &str, parsed: &Parsed, attributes: &BTreeSet<String>) {
        let catalog = with_attributes(self.catalog, attributes);
        let full = context(&catalog, &sample::full());
        let before = self.problems.len();
        for (origin, (tree, line)) in [(&parsed.origin, &parsed.summary), (&parsed.origin, &parsed.body)] {
            let mut walk = Walk::new(self.templates.partials(), full.clone());
            walk.template(tree, origin, *line);
            self.problems.extend(walk.problems);
        }
        if self.problems.len() > before {
            return;
        }
        let samples = samples();
        let told = samples.iter().find_map(|(what, order)| self.try_one(name, &context(&catalog, order), what).err());
        if let Some(message) = told {
            self.problems.push(Problem { file: PathBuf::from(&parsed.origin), line: 0, message, help: None });
        }
    }

    /// Fills the template with a sample and looks at the result as an admin would.
    fn try_one(&self, name: &str, context: &Value, what: &str) -> Result<(), String> {
        let text = self.templates.fill(name, context).map_err(|e| format!("{e} (an order {what})"))?;
        if text.summary.is_empty() {
            return Err(format!("the summary is empty (an order {what})"));
        }
        let plain = to_plain(&parse(&text.body), 1_000_000);
        let key = context["key"].as_str().unwrap_or_default();
        if plain.contains("\\*") || plain.contains("\\-") {
            return Err("a value stands inside `code`, where it cannot be kept harmless: take the backticks away".to_owned());
        }
        if !plain.contains(key) {
            return Err("the text does not show {{key}}, which ties the ticket to the order".to_owned());
        }
        Ok(())
    }

    fn application(&mut self, id: &str, application: &Application) {
        let none = ConfigFile::from_text(&self.catalog.folder.join(format!("applications/{id}.toml")), "");
        let file = self.catalog.application_files.get(id).unwrap_or(&none).clone();
        for (keys, route) in routes(application) {
            let at: Vec<&str> = keys.iter().map(String::as_str).collect();
            if let Some(pattern) = &route.admin_group {
                self.pattern(pattern, &file, &[&at[..], &["admin_group"]].concat());
            }
            for (name, value) in &route.fields {
                let order = Assignment { application: sample::named(id), ..sample::full() };
                if let Err(error) = self.fill.json(value, &context(self.catalog, &order)) {
                    let message = format!("desk field `{name}` cannot be filled: {error}");
                    let help = "attributes must be named in `template_attributes`".to_owned();
                    self.problems.push(file.problem(&[&at[..], &["fields", name]].concat(), message, Some(help)));
                }
            }
        }
    }

    /// A pattern of a group's name may use any attribute (an order without it takes the fallback), but no other
    /// unknown name.
    fn pattern(&mut self, pattern: &str, file: &ConfigFile, keys: &[&str]) {
        if !pattern.contains("{{") {
            return;
        }
        let tree = match handlebars::Template::compile(pattern) {
            Ok(tree) => tree,
            Err(error) => {
                let message = format!("`{pattern}` is no valid pattern: {}", error.reason());
                self.problems.push(file.problem(keys, message, None));
                return;
            }
        };
        let nothing = BTreeMap::new();
        let mut walk = Walk::new(&nothing, routing_context(self.catalog, &sample::full()));
        walk.any_attribute = true;
        walk.template(&tree, "", 1);
        for found in walk.problems {
            self.problems.push(file.problem(keys, format!("in `{pattern}`: {}", found.message), found.help));
        }
    }
}

/// Every route of an application, with where it stands in its file.
fn routes(application: &Application) -> impl Iterator<Item = (Vec<String>, &Route)> {
    let rules = application
        .rules
        .iter()
        .enumerate()
        .map(|(n, rule)| (vec!["rules".to_owned(), n.to_string(), "route".to_owned()], &rule.route));
    let entitlements = application.entitlements.iter().map(|(id, route)| (vec!["entitlements".to_owned(), id.clone()], route));
    std::iter::once((vec!["route".to_owned()], &application.route)).chain(rules).chain(entitlements)
}

/// A catalog that only knows these attributes, and instructions for the sample application.
fn with_attributes(catalog: &Catalog, attributes: &BTreeSet<String>) -> Catalog {
    let mut small = Catalog {
        calendars: std::collections::BTreeMap::new(),
        main: catalog.main.clone(),
        applications: BTreeMap::new(),
        application_files: BTreeMap::new(),
        desks: BTreeMap::new(),
        sources: BTreeMap::new(),
        templates: BTreeMap::new(),
        partials: BTreeMap::new(),
        admin_groups: BTreeMap::new(),
        main_file: None,
        version: catalog.version.clone(),
        folder: catalog.folder.clone(),
    };
    small.main.defaults.template_attributes = attributes.iter().cloned().collect();
    let instructions = Some("1. Open the *console*.\n2. Add the role.".to_owned());
    small.applications.insert(sample::APPLICATION.to_owned(), Application { instructions, ..Application::default() });
    small
}

/// The context of a sample order; its attributes are whatever may be shown.
fn context(catalog: &Catalog, order: &Assignment) -> Value {
    let is_full = order.requester.is_some();
    let mut order = order.clone();
    if is_full {
        let own = catalog.applications.get(&order.application.id).into_iter().flat_map(|a| &a.template_attributes);
        let names = catalog.main.defaults.template_attributes.iter().chain(own);
        order.attributes = names.map(|name| (name.clone(), json!("a*sample"))).collect();
    }
    let at = Moment {
        now: Timestamp(1_795_000_000_000),
        received_at: Timestamp(1_795_000_000_000),
        lane_ticket: is_full.then(|| "IAM-1".to_owned()),
        cycle: 1,
        leaver: false,
    };
    let key = Key::of("sample", &["sample"], 1);
    ticket_context(catalog, &Order { order: &order, priority: 1, key: &key, at: &at })
}

/// Orders with everything, with nothing that may be missing, and with one thing missing at a time; grants and
/// revocations.
fn samples() -> Vec<(&'static str, Assignment)> {
    let mut all = vec![("with everything", sample::full()), ("with only what it must have", sample::bare())];
    /// Takes something away from an order.
    type Without = fn(&mut Assignment);
    let missing: [(&str, Without); 9] = [
        ("without entitlement", |o| o.entitlement = None),
        ("without account", |o| o.account = None),
        ("without approvers", |o| o.approvals.clear()),
        ("without `requested_at`", |o| o.requested_at = None),
        ("without `approved_at`", |o| o.approved_at = None),
        ("without `valid_from`", |o| o.valid_from = None),
        ("without `valid_until`", |o| o.valid_until = None),
        ("without `answer_by`", |o| o.answer_by = None),
        ("without a reason", |o| o.reason = None),
    ];
    for (what, take) in missing {
        let mut order = sample::full();
        take(&mut order);
        all.push((what, order));
    }
    let mut revocation = sample::full();
    revocation.operation = Operation::Revoke;
    all.push(("that revokes", revocation));
    all.push(("that revokes, with only what it must have", Assignment { operation: Operation::DeleteAccount, ..sample::bare() }));
    all
}
