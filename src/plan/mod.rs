//! Pure: assignment × catalog → draft.

pub mod fill;
pub mod lint;
pub mod markup;
mod routing;
pub mod template;

use crate::catalog::{Catalog, Filing, Problems};
use crate::model::ticket::Draft;
use crate::model::{Assignment, Key, Timestamp};

use routing::Routed;
use template::Templates;

/// What the decision depends on besides the order.
#[derive(Debug, Clone)]
pub struct Moment {
    /// Now.
    pub now: Timestamp,
    /// When the order arrived.
    pub received_at: Timestamp,
    /// An open ticket of the same lane that came before.
    pub lane_ticket: Option<String>,
    /// Cycle its key is for.
    pub cycle: i64,
}

/// The decision.
#[derive(Debug, Clone)]
pub enum Planned {
    /// File it later.
    Wait {
        /// When.
        until: Timestamp,
        /// When the admin group's clock starts.
        eligible_at: Timestamp,
    },
    /// File it now.
    File {
        /// When the admin group's clock starts.
        eligible_at: Timestamp,
        /// The ticket.
        ticket: Box<PlannedTicket>,
    },
    /// A person is needed.
    Park {
        /// When the admin group's clock starts.
        eligible_at: Timestamp,
        /// Stable code.
        code: &'static str,
        /// Words for people.
        reason: String,
    },
}

/// A ticket to be filed.
#[derive(Debug, Clone)]
pub struct PlannedTicket {
    /// Desk by name.
    pub desk: String,
    /// Admin group by the catalog's name.
    pub admin_group: String,
    /// Which rule won, in words.
    pub route: String,
    /// What to send.
    pub draft: Draft,
    /// Template by name.
    pub template: String,
    /// Its version.
    pub template_version: String,
    /// Smaller goes first.
    pub rank: i64,
}

/// Revocations go before every other errand, however old.
const REVOCATION_HEAD_START_MS: i64 = 100 * 365 * 86_400_000;

/// The pure rules of one catalog.
#[derive(Debug, Clone)]
pub struct Planner {
    catalog: std::sync::Arc<Catalog>,
    templates: Templates,
}

impl Planner {
    /// Compiles the catalog's rules and templates.
    ///
    /// # Errors
    /// Templates that do not compile or name what does not exist.
    pub fn new(catalog: &std::sync::Arc<Catalog>) -> Result<Self, Problems> {
        Ok(Self { templates: Templates::new(catalog)?, catalog: std::sync::Arc::clone(catalog) })
    }

    /// Decides for one order.
    #[must_use]
    pub fn decide(&self, order: &Assignment, at: &Moment) -> Planned {
        let routed = match routing::route(&self.catalog, order) {
            Ok(routed) => routed,
            Err(reason) => {
                let eligible_at = eligible(order, at.received_at, 0);
                return Planned::Park { eligible_at, code: "E-ROUTE", reason };
            }
        };
        let eligible_at = eligible(order, at.received_at, routed.lead_ms);
        let due = order.valid_from.map(|from| from.plus_ms(-routed.lead_ms));
        if let Some(until) = due.filter(|until| routed.filing == Filing::LeadTime && *until > at.now) {
            return Planned::Wait { until, eligible_at };
        }
        match self.ticket(order, at, routed, eligible_at) {
            Ok(ticket) => Planned::File { eligible_at, ticket: Box::new(ticket) },
            Err(reason) => Planned::Park { eligible_at, code: "E-TEMPLATE", reason },
        }
    }

    fn ticket(&self, order: &Assignment, at: &Moment, routed: Routed, eligible_at: Timestamp) -> Result<PlannedTicket, String> {
        let key = Key::of(&self.catalog.main.instance.name, &[&order.natural_key()], at.cycle);
        let application = self.catalog.applications.get(&order.application.id);
        let context = template::context(
            order,
            &key,
            application.and_then(|a| a.instructions.as_deref()),
            at.lane_ticket.as_deref(),
            application.and_then(|a| a.name.as_deref()),
        );
        let text = self.templates.fill(&routed.template, &context)?;
        let fill = fill::Fill::default();
        let mut fields = std::collections::BTreeMap::new();
        for (name, value) in &routed.fields {
            fields.insert(name.clone(), fill.json(value, &context).map_err(|e| format!("field `{name}`: {e}"))?);
        }
        let priority = routed.priority.unwrap_or(order.priority).clamp(0, 3);
        let head_start = if order.operation.is_revocation() { REVOCATION_HEAD_START_MS } else { 0 };
        let rank = eligible_at.0 - priority * self.catalog.main.work.age_step.ms() - head_start;
        Ok(PlannedTicket {
            draft: Draft {
                key,
                admin_group: routed.group_on_desk,
                summary: text.summary,
                body: text.body,
                priority,
                due_at: order.valid_from,
                fields,
            },
            desk: routed.desk,
            admin_group: routed.admin_group,
            route: routed.words,
            template_version: self.templates.version(&routed.template).to_owned(),
            template: routed.template,
            rank,
        })
    }

    /// The desk's own name of the fallback group, when there is one for this desk.
    #[must_use]
    pub fn fallback_group(&self, desk: &str) -> Option<String> {
        let name = self.catalog.main.defaults.fallback_admin_group.as_ref()?;
        let group = self.catalog.admin_groups.get(name);
        if group.and_then(|g| g.desk.as_deref()).is_some_and(|d| d != desk) {
            return None;
        }
        Some(group.and_then(|g| g.name.clone()).unwrap_or_else(|| name.clone()))
    }
}

/// When the admin group's clock starts: the wait for an approval or for a future date is nobody's.
fn eligible(order: &Assignment, received_at: Timestamp, lead_ms: i64) -> Timestamp {
    let approved = order.approved_at.unwrap_or(received_at);
    order.valid_from.map_or(approved, |from| approved.max(from.plus_ms(-lead_ms)))
}
