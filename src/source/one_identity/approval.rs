//! As the last approval step: requests that wait at "approvals to be made externally" are taken, and decided when
//! their tickets are closed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::app_server::{AppServer, Query, key_of, quoted, with_key};
use super::document::{Joiner, columns};
use super::history::Decisions;
use super::settings::{ApprovalSettings, DecideBy};
use crate::http::CallError;
use crate::model::completion::{Completion, Evidence};
use crate::model::progress::Progress;
use crate::model::{Outcome, Timestamp};
use crate::source::Missing;
use crate::source::field::{as_text, lookup};
use crate::source::native::words;

/// The adapter of this way of working.
#[derive(Debug)]
pub(super) struct Approval {
    pub(super) server: AppServer,
    pub(super) settings: ApprovalSettings,
    joiner: Joiner,
    columns: Vec<String>,
}

/// What the platform holds of an order.
enum Held {
    /// It waits for us.
    Waiting,
    /// It has our decision, or agrees with it.
    Decided,
    /// It has another decision, in words.
    Otherwise(&'static str),
    /// It is not there any more.
    Gone,
}

impl Approval {
    pub(super) fn new(server: AppServer, settings: ApprovalSettings, joiner: Joiner, pointers: &[String]) -> Self {
        let mut pointers = pointers.to_vec();
        pointers.extend(joiner.starts());
        let columns = with_key(columns(&pointers, ""), &[&settings.key, &settings.state]);
        Self { server, settings, joiner, columns }
    }

    pub(super) fn joiner(&self) -> &Joiner {
        &self.joiner
    }

    fn query<'a>(&'a self, condition: &'a str) -> Query<'a> {
        let s = &self.settings;
        Query { table: &s.table, key: &s.key, condition, columns: &self.columns, page: s.page.max(1) }
    }

    /// Every request that waits for us, as documents.
    pub(super) async fn waiting(&self, now: Timestamp) -> Result<(Vec<Value>, Option<CallError>), CallError> {
        let rows = self.server.all(&self.query(&self.settings.condition)).await?;
        Ok((self.documents(rows.rows, now).await?, rows.broken))
    }

    /// The first page of them.
    pub(super) async fn first(&self, now: Timestamp) -> Result<Vec<Value>, CallError> {
        let rows = self.server.page(&self.query(&self.settings.condition), None).await?;
        self.documents(rows, now).await
    }

    /// One cheap question that needs our rights.
    pub(super) async fn probe(&self, condition: &str) -> Result<usize, CallError> {
        let query = Query { page: 1, ..self.query(condition) };
        self.server.page(&query, None).await.map(|rows| rows.len())
    }

    async fn documents(&self, mut rows: Vec<Value>, now: Timestamp) -> Result<Vec<Value>, CallError> {
        if self.settings.history.read && !rows.is_empty() {
            let keys: Vec<String> = rows.iter().filter_map(|row| key_of(row, &self.settings.key)).collect();
            let decisions = self.settings.history.of(&self.server, &keys).await?;
            for row in &mut rows {
                let of_row = key_of(row, &self.settings.key).and_then(|key| decisions.get(&key));
                if let Some(of_row) = of_row {
                    row["history"] = of_row.document(&self.settings.history);
                }
            }
        }
        self.joiner.join(&self.server, &mut rows, now).await?;
        Ok(rows)
    }

    /// A request that no longer waits was taken back, or went back in its workflow, or was decided by somebody in our
    /// place. Only where the platform says so the order is withdrawn; what it forgot, or believes granted, is still owed.
    pub(super) async fn missing(&self, keys: &[String]) -> Result<Vec<Missing>, CallError> {
        let s = &self.settings;
        let rows = self.server.by_keys(&s.table, &s.key, &[s.key.clone(), s.state.clone()], keys).await?;
        let word = |key: &String| {
            let state = rows.get(key).and_then(|row| key_of(row, &s.state));
            let withdrawn = state.is_some_and(|state| s.taken_back.contains(&state) || s.in_workflow.contains(&state));
            if withdrawn { Missing::Withdrawn } else { Missing::Unknown }
        };
        Ok(keys.iter().map(word).collect())
    }

    async fn held(&self, completion: &Completion) -> Result<Held, CallError> {
        let s = &self.settings;
        let id = &completion.external_id;
        let columns = [s.key.clone(), s.state.clone()];
        let here = format!("({}) and {} = {}", s.condition, s.key, quoted(id));
        let query = Query { columns: &columns, page: 1, ..self.query(&here) };
        let waits = !self.server.page(&query, None).await?.is_empty();
        let decisions = if s.history.read { self.decisions(id).await? } else { Decisions::default() };
        if decisions.holds(&completion.id) {
            return Ok(Held::Decided);
        }
        if waits {
            let pass = decisions.document(&s.history)["generation"].as_i64();
            let ours = completion.natural_key.rsplit('/').next().and_then(|g| g.parse::<i64>().ok());
            let same = !s.history.read || pass.is_none() || pass == ours;
            let settled = || if completion.outcome == Outcome::Cancelled { Held::Decided } else { Held::Otherwise(AGAIN) };
            return Ok(if same { Held::Waiting } else { settled() });
        }
        let rows = self.server.by_keys(&s.table, &s.key, &columns, std::slice::from_ref(id)).await?;
        let Some(row) = rows.get(id) else { return Ok(Held::Gone) };
        let state = lookup(row, &format!("/values/{}", s.state)).and_then(as_text).unwrap_or_default();
        // There is nothing left to say of an order that was taken back.
        let agrees = completion.outcome == Outcome::Cancelled || completion.success != s.taken_back.contains(&state);
        Ok(if agrees { Held::Decided } else { Held::Otherwise(OTHERWISE) })
    }

    async fn decisions(&self, id: &str) -> Result<Decisions, CallError> {
        let mut all: BTreeMap<String, Decisions> = self.settings.history.of(&self.server, &[id.to_owned()]).await?;
        Ok(all.remove(id).unwrap_or_default())
    }

    /// Decides, unless the platform holds a decision already; then asks what it holds.
    pub(super) async fn report(&self, completion: &Completion) -> Result<(), CallError> {
        if self.confirm(completion).await.map_err(CallError::of_a_read)? {
            return Ok(());
        }
        let (s, d) = (&self.settings, &self.settings.decide);
        let reason = words(completion, d.reason_limit);
        let there = match d.by {
            DecideBy::Method => {
                let parameters = json!([d.actor, completion.success, reason, d.standard_reason, d.sub_level]);
                self.server.method(&s.table, &completion.external_id, &d.method, parameters).await?
            }
            DecideBy::Event => {
                let parameters = json!({
                    "Decision": if completion.success { "true" } else { "false" },
                    "Reason": reason,
                    "StandardReason": d.standard_reason,
                    "SubLevel": d.sub_level.to_string(),
                    "ReportId": completion.id,
                    "Ticket": completion.ticket.clone().unwrap_or_default(),
                    "TicketUrl": completion.ticket_url.clone().unwrap_or_default(),
                    "ClosedBy": closer(completion),
                    "ClosedAt": completion.closed_at_iso.clone().unwrap_or_default(),
                    "Evidence": files(completion),
                });
                self.server.event(&s.table, &completion.external_id, &d.event, parameters).await?
            }
        };
        if !there {
            return self.gone(completion).map(drop);
        }
        // Taken is not yet decided: a process of the platform may still be at work. What is not shown at once is
        // asked for later, and told again only when the time given for it is over.
        match self.confirm(completion).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(CallError::unclear("E-PENDING", "the request does not show the decision yet; asking again")),
            Err(CallError::Retry { code, reason, .. }) => Err(CallError::Unclear { code, reason }),
            Err(error) => Err(error),
        }
    }

    /// Shows at the request how far it is. Repeated, it shows the same.
    pub(super) async fn progress(&self, progress: &Progress) -> Result<(), CallError> {
        let s = &self.settings;
        let (table, id) = (&s.table, &progress.external_id);
        let there = match s.progress.as_ref().map(|p| (&p.column, &p.event, p.limit)) {
            Some((Some(column), _, limit)) => {
                let ticket = progress.ticket.as_deref().map(|t| format!("{t}: ")).unwrap_or_default();
                let text: String = format!("{ticket}{}", progress.words).chars().take(limit).collect();
                self.server.put(table, id, json!({ column: text })).await
            }
            Some((None, Some(event), _)) => self.server.event(table, id, event, step(progress)).await,
            _ => return Err(CallError::reject("E-CONFIG", "no column and no event is declared that shows progress")),
        };
        // What broke off is simply said again.
        if there.map_err(CallError::of_a_read)? { Ok(()) } else { Err(CallError::reject("E-GONE", "there is no such request")) }
    }

    /// Whether the platform holds the decision.
    pub(super) async fn confirm(&self, completion: &Completion) -> Result<bool, CallError> {
        match self.held(completion).await? {
            Held::Waiting => Ok(false),
            Held::Decided => Ok(true),
            Held::Otherwise(words) => Err(CallError::reject("E-DECIDED", words)),
            Held::Gone => self.gone(completion),
        }
    }

    fn gone(&self, completion: &Completion) -> Result<bool, CallError> {
        if completion.outcome == Outcome::Cancelled {
            return Ok(true);
        }
        Err(CallError::reject("E-GONE", "the platform no longer has this request; the outcome is kept here"))
    }

    /// The columns of a request that are read.
    pub(super) fn columns(&self) -> &[String] {
        &self.columns
    }
}

/// Who closed the ticket, as people say it.
pub(super) fn closer(completion: &Completion) -> String {
    completion.closed_by.as_ref().map(|p| p.name.clone().unwrap_or_else(|| p.id.clone())).unwrap_or_default()
}

/// The files at the ticket, one a line.
pub(super) fn files(completion: &Completion) -> String {
    let line = |file: &Evidence| file.url.as_ref().map_or_else(|| file.name.clone(), |url| format!("{} {url}", file.name));
    completion.evidence.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// A step as parameters of an event.
pub(super) fn step(progress: &Progress) -> Value {
    json!({
        "ProgressId": progress.id,
        "Step": progress.step.as_str(),
        "Words": progress.words,
        "Ticket": progress.ticket.clone().unwrap_or_default(),
        "TicketUrl": progress.ticket_url.clone().unwrap_or_default(),
        "Since": progress.at_iso,
    })
}

const AGAIN: &str = "the request went back and waits again: its new pass has an order of its own";
const OTHERWISE: &str = "the platform holds another decision than the ticket's outcome: compare the two and decide here";
