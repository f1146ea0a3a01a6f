//! Pure: assignment × catalog → draft.

pub mod business;
mod context;
pub mod due;
pub mod explain;
pub mod fill;
mod lint;
pub mod markup;
pub mod names;
pub mod routing;
pub mod sample;
pub mod template;
mod walk;

use std::sync::Arc;

use crate::catalog::{Catalog, Filing, Problem, Problems};
use crate::model::ticket::Draft;
use crate::model::{Assignment, Key, Timestamp};

use context::{Order, ticket_context};
use fill::{Fill, FillError};
use routing::{NoRoute, Routed, Router};
use template::Templates;

/// No admin group or desk could be found for the assignment.
pub const E_ROUTE: &str = "E-ROUTE";
/// The ticket template could not be filled for the assignment.
pub const E_TEMPLATE: &str = "E-TEMPLATE";

/// Decides what becomes of an assignment. Built once from a checked catalog; holds compiled templates.
#[derive(Debug, Clone)]
pub struct Planner {
    catalog: Arc<Catalog>,
    router: Router,
    templates: Templates,
    fill: Fill,
}

/// What a decision depends on besides assignment and catalog.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The present.
    pub now: Timestamp,
    /// When the assignment reached us.
    pub received_at: Timestamp,
    /// Number of the open ticket that comes first in the same lane.
    pub lane_ticket: Option<String>,
    /// Cycle of the ticket: 1, and one more for every late reopening.
    pub cycle: i64,
    /// The platform said that the beneficiary left: what is taken from them goes ahead of everything, and waits
    /// for no date.
    pub leaver: bool,
}

impl Moment {
    fn takes_from_a_leaver(&self, order: &Assignment) -> bool {
        self.leaver && order.operation.is_revocation()
    }
}

/// What becomes of an assignment.
#[derive(Debug, Clone)]
pub enum Planned {
    /// Its ticket is for later.
    Wait {
        /// Decide again then.
        until: Timestamp,
        /// From when provisioning time counts.
        eligible_at: Timestamp,
    },
    /// File this ticket now.
    File {
        /// From when provisioning time counts.
        eligible_at: Timestamp,
        /// The ticket.
        ticket: Box<PlannedTicket>,
    },
    /// A person is needed.
    Park {
        /// From when provisioning time counts.
        eligible_at: Timestamp,
        /// Stable code with a page in docs/errors.
        code: &'static str,
        /// For people; names no person.
        reason: String,
    },
}

/// A ticket as decided: the draft, and why it looks and goes as it does.
#[derive(Debug, Clone)]
pub struct PlannedTicket {
    /// Desk by its configured name.
    pub desk: String,
    /// Admin group by the catalog's name; the draft has the desk's own.
    pub admin_group: String,
    /// Which rule won and why, in words.
    pub route: String,
    /// What the desk's adapter sends.
    pub draft: Draft,
    /// Template by name.
    pub template: String,
    /// The template's version.
    pub template_version: String,
    /// Smaller goes first: since when it waits, less a step per priority; revocations far ahead. Ageing is in it: whoever
    /// waits longest has the earliest time.
    pub rank: i64,
}

impl Planner {
    /// Compiles the templates and proves on samples that every application's ticket can be written.
    ///
    /// # Errors
    /// Every problem found in templates, patterns and fields, with its place.
    pub fn new(catalog: &Arc<Catalog>) -> Result<Self, Problems> {
        let (planner, problems) = Self::gather(catalog);
        if problems.is_empty() { Ok(planner) } else { Err(Problems(problems)) }
    }

    /// The planner as far as it goes, and every problem found: for `check`, which adds those of the catalog.
    #[must_use]
    pub fn gather(catalog: &Arc<Catalog>) -> (Self, Vec<Problem>) {
        let (templates, mut problems) = Templates::compile(catalog);
        let router = Router::new(catalog);
        let planner = Self { catalog: Arc::clone(catalog), router, templates, fill: Fill::default() };
        problems.extend(lint::lint(&planner.catalog, &planner.templates, &planner.fill));
        problems.sort();
        problems.dedup();
        (planner, problems)
    }

    /// Decides. Deterministic: the same order, catalog and moment give the same ticket.
    #[must_use]
    pub fn decide(&self, order: &Assignment, at: &Moment) -> Planned {
        let (mut terms, routed) = self.router.route(order);
        terms.limit();
        let mut eligible_at = due::eligible_at(order, at.received_at, terms.lead_ms);
        if at.takes_from_a_leaver(order) {
            // Whoever left keeps nothing until a date that was meant for somebody who would stay until then.
            terms.priority = due::MOST_URGENT;
            terms.filing = Filing::AtOnce;
            eligible_at = eligible_at.min(at.now);
        }
        if let Some(until) = due::wait_until(order, &terms, at.now) {
            return Planned::Wait { until, eligible_at };
        }
        let routed = match routed {
            Ok(routed) => routed,
            Err(NoRoute(reason)) => return Planned::Park { eligible_at, code: E_ROUTE, reason },
        };
        match self.ticket(order, at, &terms, routed, eligible_at) {
            Ok(ticket) => Planned::File { eligible_at, ticket: Box::new(ticket) },
            Err(error) => Planned::Park { eligible_at, code: E_TEMPLATE, reason: error.to_string() },
        }
    }

    /// The desk's own name of the fallback group; `None` where there is none on this desk.
    #[must_use]
    pub fn fallback_group(&self, desk: &str) -> Option<String> {
        self.router.fallback_on(desk)
    }

    /// Every admin group that a desk will be asked for by configuration, in the desk's own words: for `check --online`.
    #[must_use]
    pub fn groups_on(&self, desk: &str) -> Vec<String> {
        self.router.groups_on(desk)
    }

    fn ticket(
        &self,
        order: &Assignment,
        at: &Moment,
        terms: &due::Terms,
        routed: Routed,
        eligible_at: Timestamp,
    ) -> Result<PlannedTicket, FillError> {
        let key = Key::of(&self.catalog.main.instance.name, &[&order.natural_key()], at.cycle);
        let context = ticket_context(&self.catalog, &Order { order, priority: terms.priority, key: &key, at });
        let text = self.templates.fill(&routed.template, &context)?;
        let mut fields = std::collections::BTreeMap::new();
        for (name, value) in &routed.fields {
            let filled = self.fill.json(value, &context).map_err(|e| FillError(format!("desk field `{name}`: {e}")))?;
            if !filled.is_null() {
                fields.insert(name.clone(), filled);
            }
        }
        let draft = Draft {
            key,
            admin_group: routed.group_on_desk,
            summary: text.summary,
            body: text.body,
            priority: terms.priority,
            due_at: order.valid_from.filter(|from| *from > at.received_at && !at.takes_from_a_leaver(order)),
            fields,
        };
        Ok(PlannedTicket {
            desk: routed.desk,
            admin_group: routed.group,
            route: routed.words,
            template_version: self.templates.version(&routed.template).to_owned(),
            template: routed.template,
            rank: self.rank(order, at, terms.priority, eligible_at),
            draft,
        })
    }

    fn rank(&self, order: &Assignment, at: &Moment, priority: i64, eligible_at: Timestamp) -> i64 {
        let since = due::waits_since(eligible_at, at.received_at, at.now);
        let rank = due::rank(order, since, priority, self.catalog.main.work.age_step.ms());
        if at.takes_from_a_leaver(order) { rank.saturating_sub(due::LEAVERS_AHEAD_MS) } else { rank }
    }
}
