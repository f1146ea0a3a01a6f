//! What the KPI page and the API show.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::case::{Case, Verdict};
use super::clocks::{CalendarStamp, Clocks};
use super::measure::{Line, line, report};
use crate::catalog::{Catalog, ClockKind};
use crate::ledger::LedgerResult;
use crate::ledger::views::{BacklogRow, FactFilter, Scope, Views};
use crate::model::Timestamp;

/// Which report.
#[derive(Debug, Default, Clone, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// Closed in the last days: 1 to 366, else 30.
    #[param(minimum = 1, maximum = 366)]
    pub days: Option<i64>,
    /// Only of this application, by id.
    pub application: Option<String>,
    /// Only of this admin group.
    pub admin_group: Option<String>,
    /// The clock that a page shows, `elapsed` or `business`; answers as data hold both.
    #[param(value_type = Option<String>)]
    pub clock: Option<ClockKind>,
    /// Which of the assignments behind the figures, where those are asked for; all closed ones unless said.
    #[param(inline)]
    pub which: Option<Which>,
}

impl Asked {
    /// The period, days.
    #[must_use]
    pub fn days(&self) -> i64 {
        self.days.unwrap_or(30).clamp(1, 366)
    }

    fn filter(&self, scope: &Scope, now: Timestamp) -> FactFilter {
        let given = |v: &Option<String>| v.clone().filter(|t| !t.trim().is_empty());
        FactFilter {
            owed: false,
            tickets: false,
            from: now.plus_secs(-self.days() * 86_400),
            to: now,
            scope: scope.clone(),
            application: given(&self.application),
            admin_group: given(&self.admin_group),
        }
    }
}

/// Assignments behind a figure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// Closed in the period.
    #[default]
    Closed,
    /// Closed in the period, later than their target.
    Late,
    /// Open now, past their target.
    Overdue,
}

/// Approval time and provisioning time, never mixed.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Report {
    /// Closed in so many days.
    pub days: i64,
    /// As of.
    #[schema(value_type = i64)]
    pub as_of: Timestamp,
    /// All together.
    pub all: Line,
    /// By application.
    pub applications: Vec<Line>,
    /// By admin group.
    pub groups: Vec<Line>,
    /// What is owed, by age.
    pub backlog: Vec<BacklogRow>,
    /// The calendars that counted working time.
    pub calendars: Vec<CalendarStamp>,
}

impl Report {
    /// Reads and measures, within the reader's scope.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn of<V: Views + ?Sized>(
        views: &V,
        catalog: &Catalog,
        scope: &Scope,
        asked: &Asked,
        now: Timestamp,
    ) -> LedgerResult<Self> {
        let filter = asked.filter(scope, now);
        let mut cases = cases(views, catalog, &filter, now, false).await?;
        let open = self::cases(views, catalog, &FactFilter { owed: true, ..filter.clone() }, now, false).await?;
        // Else open breaches would hide until they are closed.
        cases.extend(open.into_iter().filter(|case| case.verdict == Some(Verdict::Overdue)));
        let groups = cases.iter().map(|case| case.fact.admin_group.as_str());
        let calendars: BTreeMap<&str, CalendarStamp> =
            groups.filter_map(|group| catalog.calendar_of(group)).map(|c| (c.name.as_str(), c.into())).collect();
        Ok(Self {
            days: asked.days(),
            as_of: now,
            all: line("", "All together", &cases.iter().collect::<Vec<_>>()),
            applications: report(&cases, |f| (&f.application_id, &f.application_name)),
            groups: report(&cases, |f| (&f.admin_group, &f.admin_group)),
            backlog: views.backlog(&filter, now).await?,
            calendars: calendars.into_values().collect(),
        })
    }
}

/// The assignments behind a figure: latest closing first, open ones longest waiting first.
///
/// # Errors
/// The ledger does not answer.
pub async fn behind<V: Views + ?Sized>(
    views: &V,
    catalog: &Catalog,
    scope: &Scope,
    asked: &Asked,
    now: Timestamp,
) -> LedgerResult<Vec<Case>> {
    let which = asked.which.unwrap_or_default();
    let filter = FactFilter { owed: which == Which::Overdue, tickets: true, ..asked.filter(scope, now) };
    let mut found = cases(views, catalog, &filter, now, true).await?;
    found.retain(|case| match which {
        Which::Closed => true,
        Which::Late => case.verdict == Some(Verdict::Late),
        Which::Overdue => case.verdict == Some(Verdict::Overdue),
    });
    found.sort_by_key(|case| (std::cmp::Reverse(case.fact.closed_at), case.fact.eligible_at, case.fact.id));
    Ok(found)
}

async fn cases<V: Views + ?Sized>(
    views: &V,
    catalog: &Catalog,
    filter: &FactFilter,
    now: Timestamp,
    due: bool,
) -> LedgerResult<Vec<Case>> {
    let mut facts = views.facts(filter).await?;
    if filter.owed {
        facts.iter_mut().for_each(|fact| fact.closed_at = None);
    }
    let first = facts.iter().flat_map(|f| [f.requested_at, f.eligible_at]).flatten().min().unwrap_or(now);
    let last = facts.iter().flat_map(|f| [f.approved_at, f.closed_at]).flatten().max().unwrap_or(now).max(now);
    let clocks = Clocks::over(catalog, first, last);
    Ok(facts.into_iter().map(|fact| Case::of(fact, catalog, &clocks, now, due)).collect())
}
