//! Why a decision is as it is, in words: for people who try a configuration.

use super::due::{self, Terms};
use super::routing::winning_rule;
use super::{Moment, Planner, sample};
use crate::catalog::{Filing, Rule, Span};
use crate::model::assignment::Named;
use crate::model::{Assignment, Operation, Timestamp};

/// When a ticket is filed and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueWords {
    /// File it then; `None`: at once.
    pub until: Option<Timestamp>,
    /// In words.
    pub why: String,
    /// 0 (can wait) … 3 (urgent), as routed.
    pub priority: i64,
}

/// Where a typical order of an application goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSample {
    /// Application by id.
    pub application: String,
    /// Which order is meant: "usually", "rule `x`", "entitlement `y`".
    pub case: String,
    /// Who gets it and which rule won; or why nobody does.
    pub words: String,
    /// A rule that loses against an earlier one even for an order made to fit it.
    pub never_wins: bool,
    /// Nobody would get it.
    pub nobody: bool,
}

impl Planner {
    /// When the order's ticket is filed and why.
    #[must_use]
    pub fn due_words(&self, order: &Assignment, at: &Moment) -> DueWords {
        let (mut terms, _) = self.router.route(order);
        terms.limit();
        DueWords { until: due::wait_until(order, &terms, at.now), why: why(order, &terms, at.now), priority: terms.priority }
    }

    /// Where typical orders go: one of each application, each rule and each override, and one that only the convention
    /// knows.
    #[must_use]
    pub fn route_samples(&self) -> Vec<RouteSample> {
        let mut samples = vec![self.route_sample("any other", "without a file of its own".to_owned(), &sample::bare(), None)];
        for (id, application) in &self.catalog.applications {
            let order = Assignment { application: sample::named(id), ..sample::bare() };
            samples.push(self.route_sample(id, "usually".to_owned(), &order, None));
            for rule in &application.rules {
                let fitting = Assignment {
                    operation: rule.operations.first().copied().unwrap_or(Operation::Grant),
                    attributes: rule.when.iter().filter_map(|(n, v)| Some((n.clone(), v.first()?.clone()))).collect(),
                    ..order.clone()
                };
                samples.push(self.route_sample(id, format!("rule `{}`", rule.name), &fitting, Some(rule)));
            }
            for entitlement in application.entitlements.keys() {
                let named = Named { id: entitlement.clone(), name: entitlement.clone() };
                let fitting = Assignment { entitlement: Some(named), ..order.clone() };
                samples.push(self.route_sample(id, format!("entitlement `{entitlement}`"), &fitting, None));
            }
        }
        samples
    }

    fn route_sample(&self, application: &str, case: String, order: &Assignment, rule: Option<&Rule>) -> RouteSample {
        let winner = self.catalog.applications.get(&order.application.id).and_then(|a| winning_rule(a, order));
        let never_wins = rule.is_some_and(|rule| winner.is_none_or(|winner| !std::ptr::eq(rule, winner)));
        let (_, routed) = self.router.route(order);
        let nobody = routed.is_err();
        let words = routed.map_or_else(|no| no.0, |routed| routed.words);
        RouteSample { application: application.to_owned(), case, words, never_wins, nobody }
    }
}

fn why(order: &Assignment, terms: &Terms, now: Timestamp) -> String {
    let Some(from) = order.valid_from else { return "the order names no start".to_owned() };
    let lead = Span(terms.lead_ms);
    let start = format!("it shall hold from {}", from.human());
    match terms.filing {
        Filing::AtOnce => format!("{start}, and `filing = \"at_once\"` shows it as soon as it is approved"),
        Filing::LeadTime if from <= now => format!("{start}, which has begun"),
        Filing::LeadTime => format!("{start}, and the admin group wants to know {} ahead", lead.human()),
    }
}
