//! As target system: a table of assignments, read whole. A new row grants, a row gone takes away.

use chrono_tz::Tz;
use serde_json::{Value, json};

use super::app_server::{AppServer, Query, key_of, with_key};
use super::approval::{closer, files, step};
use super::document::{Joiner, columns, object_key};
use super::settings::AssignmentsSettings;
use crate::http::CallError;
use crate::model::Timestamp;
use crate::model::completion::Completion;
use crate::model::progress::Progress;
use crate::source::date::{DayEdge, read};
use crate::source::field::lookup;

/// The adapter of this way of working.
#[derive(Debug)]
pub(super) struct Assignments {
    pub(super) server: AppServer,
    pub(super) settings: AssignmentsSettings,
    joiner: Joiner,
    columns: Vec<String>,
}

impl Assignments {
    pub(super) fn new(server: AppServer, settings: AssignmentsSettings, joiner: Joiner, pointers: &[String]) -> Self {
        let mut pointers = pointers.to_vec();
        pointers.extend(joiner.starts());
        let more: Vec<&str> = std::iter::once(&settings.key).chain(&settings.dates).map(String::as_str).collect();
        let columns = with_key(columns(&pointers, ""), &more);
        Self { server, settings, joiner, columns }
    }

    pub(super) fn joiner(&self) -> &Joiner {
        &self.joiner
    }

    fn query(&self) -> Query<'_> {
        let s = &self.settings;
        let page = s.page.max(1);
        Query { table: &s.table, key: &s.key, condition: &s.condition, columns: &self.columns, page }
    }

    /// Every row that stands, as documents.
    pub(super) async fn standing(&self, now: Timestamp) -> Result<(Vec<Value>, Option<CallError>), CallError> {
        let rows = self.server.all(&self.query()).await?;
        Ok((self.documents(rows.rows, now).await?, rows.broken))
    }

    /// The first page of them.
    pub(super) async fn first(&self, now: Timestamp) -> Result<Vec<Value>, CallError> {
        let rows = self.server.page(&self.query(), None).await?;
        self.documents(rows, now).await
    }

    /// One cheap question that needs our rights.
    pub(super) async fn probe(&self) -> Result<usize, CallError> {
        self.server.page(&Query { page: 1, ..self.query() }, None).await.map(|rows| rows.len())
    }

    async fn documents(&self, mut rows: Vec<Value>, now: Timestamp) -> Result<Vec<Value>, CallError> {
        for row in &mut rows {
            let stamp = |column: &String| read(lookup(row, &format!("/values/{column}"))?, Tz::UTC, DayEdge::StartOfDay, None)?;
            let latest = self.settings.dates.iter().filter_map(stamp).max().map(|at| at.0.div_euclid(1000));
            let key = key_of(row, &self.settings.key);
            let id = key.map(|key| object_key(&key).map_or(key, |(_, keys)| keys.join("+")));
            row["stamp"] = json!(latest);
            row["id"] = json!(id);
        }
        self.joiner.join(&self.server, &mut rows, now).await?;
        Ok(rows)
    }

    /// Raises the declared event on an object that outlives the assignment.
    pub(super) async fn report(&self, completion: &Completion) -> Result<(), CallError> {
        let Some(report) = &self.settings.report else {
            return Err(CallError::reject("E-CONFIG", "no event is declared that tells an outcome"));
        };
        let Some(key) = completion.external_id.split('+').nth(report.key) else {
            return Err(CallError::reject("E-CONFIG", format!("an assignment's key has no part {}", report.key)));
        };
        let parameters = json!({
            "ReportId": completion.id,
            "Assignment": completion.external_id,
            "Operation": completion.operation.as_str(),
            "Outcome": completion.outcome.as_str(),
            "Success": if completion.success { "true" } else { "false" },
            "Ticket": completion.ticket.clone().unwrap_or_default(),
            "TicketUrl": completion.ticket_url.clone().unwrap_or_default(),
            "Words": completion.words.clone().unwrap_or_default(),
            "ClosedAt": completion.closed_at_iso.clone().unwrap_or_default(),
            "ClosedBy": closer(completion),
            "Evidence": files(completion),
        });
        if self.server.event(&report.table, key, &report.event, parameters).await? {
            return Ok(());
        }
        Err(CallError::reject("E-GONE", format!("the platform no longer has that {}; the outcome is kept here", report.table)))
    }

    /// Raises the declared event of the same object. Repeated, it has the same id.
    pub(super) async fn progress(&self, progress: &Progress) -> Result<(), CallError> {
        let (Some(report), Some(event)) = (&self.settings.report, &self.settings.progress) else {
            return Err(CallError::reject("E-CONFIG", "no event is declared that shows progress"));
        };
        let key = progress.external_id.split('+').nth(report.key).unwrap_or_default();
        let mut parameters = step(progress);
        parameters["Assignment"] = json!(progress.external_id);
        parameters["Operation"] = json!(progress.operation.as_str());
        let there = self.server.event(&report.table, key, event, parameters).await.map_err(CallError::of_a_read)?;
        if there { Ok(()) } else { Err(CallError::reject("E-GONE", format!("there is no such {}", report.table))) }
    }
}
