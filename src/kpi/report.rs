//! What the KPI page and the API show.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::measure::{Line, line, report};
use crate::ledger::LedgerResult;
use crate::ledger::views::{BacklogRow, FactFilter, Scope, Views};
use crate::model::Timestamp;

/// Which report.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Asked {
    /// Closed in the last days: 1 to 366, else 30.
    #[param(minimum = 1, maximum = 366)]
    pub days: Option<i64>,
    /// Only of this application, by id.
    pub application: Option<String>,
    /// Only of this admin group.
    pub admin_group: Option<String>,
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
}

impl Report {
    /// Reads and measures, within the reader's scope.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn of<V: Views + ?Sized>(views: &V, scope: &Scope, asked: &Asked, now: Timestamp) -> LedgerResult<Self> {
        let days = asked.days.unwrap_or(30).clamp(1, 366);
        let given = |v: &Option<String>| v.clone().filter(|t| !t.trim().is_empty());
        let filter = FactFilter {
            from: now.plus_secs(-days * 86_400),
            to: now,
            scope: scope.clone(),
            application: given(&asked.application),
            admin_group: given(&asked.admin_group),
        };
        let facts = views.facts(&filter).await?;
        Ok(Self {
            days,
            as_of: now,
            all: line("", "All together", &facts.iter().collect::<Vec<_>>()),
            applications: report(&facts, |f| (&f.application_id, &f.application_name)),
            groups: report(&facts, |f| (&f.admin_group, &f.admin_group)),
            backlog: views.backlog(&filter, now).await?,
        })
    }
}
