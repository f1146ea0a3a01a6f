//! A desk declared in TOML: no Rust is needed to add one (docs/adding-a-desk.md).

mod amend;
pub mod auth;
mod call;
mod check;
mod context;
mod files;
mod lint;
pub mod operation;
pub mod place;
mod rows;
pub mod settings;
pub mod status_map;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use chrono_tz::Tz;
use futures_util::{StreamExt, stream};
use serde_json::{Map, Value, json};

use self::call::{Effect, Reply, Wire};
use self::operation::{Batch, Operation, Paging};
use self::place::Scene;
use self::rows::Row;
use self::settings::Settings;
use super::common::{no_witness, walk};
use super::{Changes, Desk, DeskInfo, Hint, Level, Preview, StatusAnswer};
use crate::catalog::{ConfigFile, Problem, Span};
use crate::http::signature::{Refusal, Scheme};
use crate::http::{CallError, Inbound};
use crate::model::Timestamp;
use crate::model::assignment::Person;
use crate::model::finding::Finding;
use crate::model::key::Key;
use crate::model::ticket::{Amended, Category, Change, Created, Draft, TicketReading, TicketRef, TicketStatus};

/// An index whose lag nobody has stated.
const UNKNOWN_LAG: Span = Span::secs(300);

/// A declared desk.
#[derive(Debug)]
pub(super) struct Rest {
    info: DeskInfo,
    settings: Settings,
    zone: Tz,
    wire: Wire,
    webhook: Option<Scheme>,
}

/// What a row of a search by key turned out to be.
enum Found {
    /// Ours.
    Ours(Box<TicketStatus>),
    /// It carries the key, but somebody else made it.
    Copy,
    /// It does not carry the key.
    Other,
    /// It went away between the list and the look.
    Gone,
}

/// Builds the desk from its file.
///
/// # Errors
/// Every problem of the declaration with its line: an unknown key, a name in `{{…}}` that its operation does not have,
/// a missing secret, parts that contradict each other.
pub fn build(name: &str, file: &ConfigFile, folder: &Path) -> Result<Arc<dyn Desk>, Vec<Problem>> {
    let settings: Settings = file.parse().map_err(|p| vec![p])?;
    let mut problems = lint::problems(file, &settings);
    let wire = Wire::build(name, file, folder, &settings).map_err(|more| problems.extend(more)).ok();
    let webhook = settings.webhook.as_ref().map(|hook| {
        let scheme = hook.verify.resolve(folder).and_then(|s| s.check().map(|()| s).map_err(|e| e.to_string()));
        scheme.map_err(|words| problems.push(file.problem(&["webhook", "verify"], words, None)))
    });
    let zone = settings.zone.parse().unwrap_or(Tz::UTC);
    match wire {
        Some(wire) if problems.is_empty() => {
            let info = info(name, &settings);
            Ok(Arc::new(Rest { info, settings, zone, wire, webhook: webhook.and_then(Result::ok) }))
        }
        _ => Err(problems),
    }
}

/// Schema of the declaration, for `lastmile.schema.json`.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Settings)
}

fn info(name: &str, settings: &Settings) -> DeskInfo {
    let lag = settings.index_lag.unwrap_or(UNKNOWN_LAG).ms();
    let level = match (&settings.operations.find, settings.create_is_idempotent) {
        (_, true) => Level::D3,
        (None, false) => Level::D0,
        (Some(_), false) if lag > 0 => Level::D1,
        (Some(_), false) => Level::D2,
    };
    let limits = &settings.limits;
    DeskInfo {
        name: name.to_owned(),
        kind: "rest",
        home: vec![("url", settings.url.trim_end_matches('/').to_owned()), ("prefix", settings.prefix.clone())],
        lists: settings.operations.changed_since.is_some(),
        level,
        when_unclear: settings.when_unclear.unwrap_or_default(),
        max_summary: limits.summary,
        max_body: limits.body,
        group_is: settings.group_is.clone(),
        status_batch: settings.operations.status.as_ref().and_then(|o| o.batch.as_ref()).map_or(20, |b| b.max.max(1)),
        max_processing_ms: limits.max_processing.ms(),
        index_lag_ms: if level == Level::D1 { lag } else { 0 },
        timeout_ms: limits.timeout.ms(),
        overlap_ms: limits.overlap.ms(),
        max_in_flight: limits.max_in_flight,
    }
}

impl Rest {
    /// Reads one ticket's row with everything a later step may need of its answer.
    async fn read_one(&self, ticket: &TicketRef) -> Result<Option<Row>, CallError> {
        let operation = &self.settings.operations.read;
        if !rows::usable_id(&ticket.id) {
            return Err(CallError::reject("E-TICKET", "the ticket's id has characters that no id has"));
        }
        let context = self.wire.prepare(&operation.before, context::of_ticket(ticket)).await?;
        let Reply::Here(here) = self.wire.run(operation, &context, Effect::Read, Map::new()).await? else { return Ok(None) };
        match self.rows(operation, &here)?.into_iter().next() {
            None => Ok(None),
            Some(Some(row)) if row.status.ticket.id == ticket.id => Ok(Some(row)),
            Some(_) => {
                let words = format!("{} answered with another ticket than {}", self.wire.edge(), ticket.number);
                Err(CallError::retry("E-SHAPE", words))
            }
        }
    }

    async fn one(&self, ticket: &TicketRef) -> Result<StatusAnswer, (TicketRef, CallError)> {
        match self.read_one(ticket).await {
            Ok(Some(row)) => Ok(StatusAnswer::Known(Box::new(row.status))),
            Ok(None) => Ok(StatusAnswer::Gone(ticket.clone())),
            Err(e) => Err((ticket.clone(), e)),
        }
    }

    /// Each by itself. Where none could be read and all may be read later, it is the desk that cannot be asked.
    async fn one_by_one(&self, tickets: &[&TicketRef]) -> Result<Vec<StatusAnswer>, CallError> {
        let calls: Vec<_> = tickets.iter().map(|t| self.one(t)).collect();
        let answers: Vec<_> = stream::iter(calls).buffer_unordered(self.info.max_in_flight.max(1)).collect().await;
        if let Some(Err((_, first))) = answers.first()
            && answers.iter().all(|a| matches!(a, Err((_, CallError::Retry { .. }))))
        {
            return Err(first.clone());
        }
        let told = |(ticket, error): (TicketRef, CallError)| StatusAnswer::Unreadable(ticket, error.to_string());
        Ok(answers.into_iter().map(|a| a.unwrap_or_else(told)).collect())
    }

    fn joined(&self, batch: &Batch, tickets: &[TicketRef]) -> Result<String, CallError> {
        let each = |t: &TicketRef| self.wire.text(&batch.each, &json!({"id": t.id}));
        let ids: Result<Vec<String>, _> = tickets.iter().filter(|t| rows::usable_id(&t.id)).map(each).collect();
        Ok(ids.map_err(|e| CallError::reject("E-TEMPLATE", e.to_string()))?.join(&batch.join))
    }

    async fn in_bulk(&self, tickets: &[TicketRef]) -> Result<HashMap<String, TicketStatus>, CallError> {
        let Some(operation) = &self.settings.operations.status else { return Ok(HashMap::new()) };
        let Some(batch) = &operation.batch else { return Ok(HashMap::new()) };
        let ids = self.joined(batch, tickets)?;
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let context = self.wire.prepare(&operation.before, json!({"ids": ids})).await?;
        let Reply::Here(here) = self.wire.run(operation, &context, Effect::Read, Map::new()).await? else {
            return Ok(HashMap::new());
        };
        let rows = self.rows(operation, &here)?.into_iter().flatten();
        Ok(rows.map(|row| (row.status.ticket.id.clone(), row.status)).collect())
    }

    /// A row is believed only if it carries the key; one whose list does not show keys is read itself.
    async fn carries(&self, row: Row, key: &Key) -> Result<Found, CallError> {
        let row = if row.keys.is_empty() { self.read_one(&row.status.ticket).await? } else { Some(row) };
        let Some(mut row) = row else { return Ok(Found::Gone) };
        if !row.keys.contains(key) {
            return Ok(Found::Other);
        }
        let ours = match (&self.settings.account, &row.status.created_by) {
            (Some(me), Some(by)) => me.eq_ignore_ascii_case(by),
            _ => true,
        };
        row.status.key = Some(key.clone());
        Ok(if ours { Found::Ours(Box::new(row.status)) } else { Found::Copy })
    }

    fn url(&self, ticket: &TicketRef) -> Option<String> {
        let template = self.settings.ticket_url.as_ref()?;
        self.wire.text(template, &context::for_path(&context::of_ticket(ticket))).ok()
    }

    async fn changes(&self, operation: &Operation, mark: Timestamp) -> Result<Changes, CallError> {
        let from = mark.plus_ms(-self.info.overlap_ms);
        if operation.oldest_first {
            let most = operation.paging.as_ref().map_or(1, Paging::max_pages);
            let calls = AtomicUsize::new(0);
            let calls = &calls;
            return walk(mark, from, grain_ms(&self.settings, operation), |from, at| async move {
                if calls.fetch_add(1, Ordering::Relaxed) > most {
                    return Err(CallError::retry(
                        "E-SHAPE",
                        format!("{} has more than {most} pages of changes", self.wire.edge()),
                    ));
                }
                self.changed_page(operation, from, at).await
            })
            .await;
        }
        let context = context::of_since(&self.settings, from, self.zone);
        let mut changes = Changes::default();
        for here in self.all_pages(operation, &context).await? {
            changes.rows.extend(self.rows(operation, &here)?.into_iter().flatten().map(|r| r.status));
        }
        changes.next_mark = changes.rows.iter().filter_map(|r| r.updated_at).max();
        Ok(changes)
    }

    async fn reading(&self, row: Row) -> Result<TicketReading, CallError> {
        let steps = &self.settings.operations.read.after;
        let context = self.wire.prepare(steps, context::of_ticket(&row.status.ticket)).await?;
        let told = |template: &Option<String>| {
            let text = self.wire.text(template.as_deref()?, &json!({"steps": context["steps"]})).ok()?;
            (!text.trim().is_empty()).then_some(text)
        };
        let reading = &self.settings.reading;
        let closer = told(&reading.closer).map(|id| Person { id, name: told(&reading.closer_name), email: None });
        let first_work_at =
            told(&reading.first_work_at).and_then(|text| place::read_time(&text, &self.settings.times, self.zone));
        let evidence = if row.status.category == Category::Closed { self.files(&row.status.ticket).await } else { Vec::new() };
        let closed_by_us = closer.as_ref().zip(self.settings.account.as_ref()).map(|(by, me)| by.id.eq_ignore_ascii_case(me));
        Ok(TicketReading { status: row.status, closer, words: told(&reading.words), first_work_at, closed_by_us, evidence })
    }
}

/// How coarsely the desk compares times: each page starts again that much before the last time seen.
fn grain_ms(settings: &Settings, operation: &Operation) -> i64 {
    let format = operation.dates.as_deref().unwrap_or(&settings.times);
    if format.contains('%') && !format.contains("%S") && !format.contains("%s") && !format.contains("%T") {
        60_000
    } else {
        1_000
    }
}

#[async_trait]
impl Desk for Rest {
    fn info(&self) -> &DeskInfo {
        &self.info
    }

    async fn find(&self, key: &Key) -> Result<Vec<TicketStatus>, CallError> {
        let Some(operation) = &self.settings.operations.find else {
            return Err(CallError::reject("E-UNSEARCHABLE", format!("{} cannot be searched", self.wire.edge())));
        };
        let (mut found, mut copies, mut others) = (Vec::new(), 0, 0);
        for here in self.all_pages(operation, &json!({"key": key})).await? {
            for row in self.rows(operation, &here)? {
                let Some(row) = row else {
                    return Err(CallError::retry("E-SHAPE", format!("{} found a ticket without an id", self.wire.edge())));
                };
                match self.carries(row, key).await? {
                    Found::Ours(status) => found.push(*status),
                    Found::Copy => copies += 1,
                    Found::Other => others += 1,
                    Found::Gone => {}
                }
            }
        }
        if found.is_empty() && copies == 0 && others > 0 {
            return Err(no_witness(self.wire.edge(), "ticket.key"));
        }
        found.sort_by(|a, b| a.ticket.cmp(&b.ticket));
        found.dedup_by(|a, b| a.ticket == b.ticket);
        Ok(found)
    }

    async fn create(&self, draft: &Draft) -> Result<Created, CallError> {
        let operation = &self.settings.operations.create;
        // The steps before only read: whatever happens there may be repeated.
        let context = self.wire.prepare(&operation.before, context::of_draft(&self.settings, draft, self.zone)).await?;
        let more: Map<String, Value> = draft.fields.clone().into_iter().collect();
        let Reply::Here(here) = self.wire.run(operation, &context, Effect::Write, more).await? else {
            let words = format!("{} does not know the address that creates tickets", self.wire.edge());
            return Err(CallError::reject("E-REFUSED", words));
        };
        let no_id = || CallError::unclear("E-SHAPE", format!("{} answered a create without the ticket's id", self.wire.edge()));
        let row = match self.raw_rows(operation, &here).map_err(|_| no_id())?.into_iter().next() {
            Some(row) => row,
            None => &here.body,
        };
        let scene = Scene { row, answer: Some(&here.answer) };
        let row = rows::read_row(&self.settings, self.zone, self.places(operation), scene).ok_or_else(no_id)?;
        Ok(Created {
            url: self.url(&row.status.ticket),
            key_confirmed: row.keys.contains(&draft.key),
            group_missed: row.status.group.is_some_and(|g| !g.eq_ignore_ascii_case(&draft.admin_group)),
            ticket: row.status.ticket,
        })
    }

    fn preview(&self, draft: &Draft) -> Result<Preview, CallError> {
        let language = match self.settings.markup {
            settings::Markup::Plain => "plain",
            settings::Markup::Html => "HTML",
            settings::Markup::Wiki => "wiki",
        };
        let context = context::of_draft(&self.settings, draft, self.zone);
        let more: Map<String, Value> = draft.fields.clone().into_iter().collect();
        Ok(Preview::of(&self.wire.preview(&self.settings.operations.create, context, more)?, language))
    }

    async fn read(&self, ticket: &TicketRef) -> Result<TicketReading, CallError> {
        match self.read_one(ticket).await? {
            Some(row) => self.reading(row).await,
            None => Err(CallError::reject("E-GONE", format!("{} is no longer on {}", ticket.number, self.wire.edge()))),
        }
    }

    async fn status(&self, tickets: &[TicketRef]) -> Result<Vec<StatusAnswer>, CallError> {
        let mut known = match self.in_bulk(tickets).await {
            // One ticket may make a desk refuse the whole batch: then each is asked for itself.
            Err(CallError::Reject { .. } | CallError::Retry { code: "E-SERVER", .. }) => HashMap::new(),
            other => other?,
        };
        let (mut answers, mut missing) = (Vec::with_capacity(tickets.len()), Vec::new());
        for ticket in tickets {
            match known.remove(&ticket.id) {
                Some(status) => answers.push(StatusAnswer::Known(Box::new(status))),
                None => missing.push(ticket),
            }
        }
        answers.extend(match self.one_by_one(&missing).await {
            Err(_) if !answers.is_empty() => missing
                .into_iter()
                .map(|t| StatusAnswer::Unreadable(t.clone(), "it could not be read alone".to_owned()))
                .collect(),
            told => told?,
        });
        Ok(answers)
    }

    async fn changed_since(&self, mark: Timestamp) -> Result<Changes, CallError> {
        match &self.settings.operations.changed_since {
            Some(operation) => self.changes(operation, mark).await,
            None => Ok(Changes::default()),
        }
    }

    async fn amend(&self, ticket: &TicketRef, change: &Change) -> Result<Amended, CallError> {
        self.change(ticket, change).await
    }

    async fn has_mark(&self, ticket: &TicketRef, mark: &str) -> Result<bool, CallError> {
        self.comments_have(ticket, mark).await
    }

    async fn is_own_account(&self, created_by: Option<&str>) -> bool {
        match (&self.settings.account, created_by) {
            (Some(me), Some(by)) => me.eq_ignore_ascii_case(by),
            _ => false,
        }
    }

    fn accept(&self, inbound: Inbound, now: Timestamp) -> Result<Vec<Hint>, Refusal> {
        let (Some(scheme), Some(hook)) = (&self.webhook, &self.settings.webhook) else {
            return Err(Refusal::Secret("no webhook is configured for this desk".to_owned()));
        };
        let verified = scheme.verify(inbound, now)?;
        let Ok(body) = serde_json::from_slice::<Value>(&verified.inbound().body) else { return Ok(Vec::new()) };
        let scene = Scene { row: &body, answer: None };
        let id = hook.ticket.text(scene).filter(|id| rows::usable_id(id));
        let ticket = id.map(|id| TicketRef { number: id.clone(), id });
        let key = hook.key.as_ref().and_then(|place| place.keys(scene).into_iter().next());
        Ok(if ticket.is_some() || key.is_some() { vec![Hint { ticket, key }] } else { Vec::new() })
    }

    async fn probe(&self) -> Result<(), CallError> {
        let operation = &self.settings.operations.probe;
        let context = self.wire.prepare(&operation.before, json!({})).await?;
        match self.wire.run(operation, &context, Effect::Read, Map::new()).await? {
            Reply::Here(_) => Ok(()),
            Reply::Gone => {
                Err(CallError::retry("E-REFUSED", format!("{} does not know the address of the probe", self.wire.edge())))
            }
        }
    }

    async fn check(&self, groups: &[String]) -> Vec<Finding> {
        self.findings(groups).await
    }
}
