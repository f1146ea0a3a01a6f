//! One Identity Manager: as the last approval step, or as a target system that people provision.
//!
//! It has two servers with sessions: the application server (rows, methods and events) and the API server (the
//! provisioning queue). docs/one-identity.md says what its administrator sets up.

mod api_server;
mod app_server;
mod approval;
mod assignments;
mod defaults;
mod document;
mod history;
mod probe;
mod queue;
mod session;
mod settings;

use std::path::Path;

use async_trait::async_trait;
use serde_json::Value;

use self::api_server::ApiServer;
use self::app_server::AppServer;
use self::approval::Approval;
use self::assignments::Assignments;
use self::document::Joiner;
use self::queue::Queue;
use self::settings::{DecideBy, OneIdentityFile, ServerSettings};
use super::field::{as_text, lookup};
use super::mapping::Mapping;
use super::native::{self, Hints};
use super::poll::polled;
use super::timing::Timing;
use super::{Capabilities, EventContent, HookRefusal, ListKind, Missing, Pulled, Source, SourceEvent, SourceInfo, Standing};
use crate::catalog::{ConfigFile, Problem};
use crate::http::{CallError, Inbound};
use crate::model::Timestamp;
use crate::model::completion::Completion;
use crate::model::finding::Finding;
use crate::model::progress::Progress;

/// JSON Schema of a file with `kind = "one_identity"`.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(OneIdentityFile)
}

/// How lastmile works with the platform.
#[derive(Debug)]
enum Way {
    Approval(Box<Approval>),
    Queue(Queue),
    Assignments(Assignments),
}

/// One Identity Manager.
#[derive(Debug)]
pub struct OneIdentity {
    info: SourceInfo,
    way: Way,
    mapping: Mapping,
    timing: Timing,
    hints: Hints,
}

/// Collects problems with their places.
struct Notes<'a> {
    file: &'a ConfigFile,
    problems: Vec<Problem>,
}

impl Notes<'_> {
    fn note(&mut self, keys: &[&str], words: impl Into<String>) {
        self.problems.push(self.file.problem(keys, words, None));
    }

    fn server(&mut self, name: &str, table: &str, settings: Option<&ServerSettings>, folder: &Path) -> Option<session::Server> {
        let Some(settings) = settings else {
            self.note(&[], format!("this way of working needs a table [{table}]"));
            return None;
        };
        let opened = settings.open(name, table == "application_server", folder);
        opened.map_err(|(key, words)| self.note(&[table, key], words)).ok()
    }
}

impl OneIdentity {
    /// Reads the file and resolves its secrets.
    ///
    /// # Errors
    /// Everything that is wrong, each with its line.
    pub fn build(name: &str, file: &ConfigFile, folder: &Path) -> Result<Self, Vec<Problem>> {
        let mut settings: OneIdentityFile = file.parse().map_err(|problem| vec![problem])?;
        let mut notes = Notes { file, problems: Vec::new() };
        let timing = Timing::parse(&settings.schedule).map_err(|words| notes.note(&["schedule"], words)).ok();
        let hints = Hints::new(settings.webhook.as_ref(), folder).map_err(|words| notes.note(&["webhook", "verify"], words));
        let hints = hints.unwrap_or_default();
        let mapping = mapping_of(&settings, &mut notes);
        let way = mapping.as_ref().and_then(|(_, pointers, joins)| {
            let joiner = Joiner::new(joins.clone(), pointers.clone());
            way_of(name, &mut settings, joiner, pointers, folder, &mut notes)
        });
        match (way, mapping, timing) {
            (Some(way), Some((mapping, ..)), Some(timing)) if notes.problems.is_empty() => {
                let info = info(name, &way, hints.are_taken(), &settings.schedule);
                Ok(Self { info, way, mapping, timing, hints })
            }
            _ => Err(notes.problems),
        }
    }

    fn events(&self, documents: &[Value]) -> Vec<SourceEvent> {
        documents.iter().filter_map(|document| polled(&self.info.name, &self.mapping, document)).collect()
    }

    fn keyless(&self) -> CallError {
        CallError::retry("E-PAGE", format!("{} gives a row without its key", self.info.name))
    }

    fn id_of(document: &Value, key: &str) -> Option<String> {
        lookup(document, "/id").or_else(|| lookup(document, &format!("/values/{key}"))).and_then(as_text)
    }
}

type Mapped = (Mapping, Vec<String>, Vec<settings::Join>);

/// Mapping, the texts in it, and what is joined.
fn mapping_of(settings: &OneIdentityFile, notes: &mut Notes<'_>) -> Option<Mapped> {
    let (text, joins) = match (&settings.approval, &settings.queue, &settings.assignments) {
        (Some(_), None, None) => {
            let (text, joins) = defaults::approval();
            (text.to_owned(), joins)
        }
        (None, Some(_), None) => {
            let (text, joins) = defaults::queue();
            (text.to_owned(), joins)
        }
        (None, None, Some(table)) => {
            if !table.table.ends_with("InADSGroup") && !settings.mapping.contains_key("application") {
                let words =
                    format!("of {} it is not built in where its application stands: say so in `application`", table.table);
                notes.note(&["mapping"], words);
            }
            defaults::assignments(&table.table)
        }
        _ => {
            notes.note(&[], "say in one table how to work with the platform: [approval], [queue] or [assignments]");
            return None;
        }
    };
    let (mapping, pointers) = native::mapping(&text, &settings.mapping).map_err(|words| notes.note(&["mapping"], words)).ok()?;
    notes.problems.extend(native::mistakes(notes.file, "mapping", &mapping));
    Some((mapping, pointers, settings.joins.clone().unwrap_or(joins)))
}

fn way_of(
    name: &str,
    settings: &mut OneIdentityFile,
    joiner: Joiner,
    pointers: &[String],
    folder: &Path,
    notes: &mut Notes<'_>,
) -> Option<Way> {
    let app = |notes: &mut Notes<'_>| {
        notes.server(name, "application_server", settings.application_server.as_ref(), folder).map(AppServer)
    };
    if let Some(approval) = settings.approval.take() {
        if approval.progress.as_ref().is_some_and(|p| p.column.is_some() == p.event.is_some()) {
            notes.note(&["approval", "progress"], "progress is shown in a `column` or by an `event`: give one of them");
        }
        return Some(Way::Approval(Box::new(Approval::new(app(notes)?, approval, joiner, pointers))));
    }
    if let Some(assignments) = settings.assignments.take() {
        if assignments.progress.is_some() && assignments.report.is_none() {
            notes.note(&["assignments", "progress"], "progress goes to the object of `report`: declare that, too");
        }
        return Some(Way::Assignments(Assignments::new(app(notes)?, assignments, joiner, pointers)));
    }
    let queue = settings.queue.take()?;
    let server = notes.server(name, "api_server", settings.api_server.as_ref(), folder);
    let joins = joiner.tables().next().is_some();
    let names = if settings.application_server.is_some() || joins { Some(app(notes)?) } else { None };
    Some(Way::Queue(Queue::new(ApiServer(server?), names, queue, joiner)))
}

fn info(name: &str, way: &Way, pushes: bool, schedule: &str) -> SourceInfo {
    // A decision's text holds words and ticket; the parameters of an event have room for more; a queue hears yes or no.
    let (list, report, words, more, progress, quiet) = match way {
        Way::Approval(approval) => {
            let by_event = approval.settings.decide.by == DecideBy::Event;
            let (progress, quiet) = (approval.settings.progress.is_some(), approval.settings.decide.within.ms());
            (ListKind::Snapshot, true, true, by_event, progress, Some(quiet))
        }
        Way::Queue(queue) => (ListKind::Snapshot, true, false, false, false, Some(queue.quiet_ms())),
        Way::Assignments(table) => {
            let told = table.settings.report.is_some();
            (ListKind::Standing, told, told, told, told && table.settings.progress.is_some(), None)
        }
    };
    SourceInfo {
        name: name.to_owned(),
        kind: "one_identity",
        capabilities: Capabilities {
            pushes,
            polls: true,
            reason: words,
            ticket_link: words,
            report,
            performer: more,
            times: more,
            evidence: more,
            progress,
            cancel: true,
            ..Capabilities::default()
        },
        list: Some(list),
        schedule: Some(schedule.to_owned()),
        confirm_quiet_ms: quiet,
    }
}

#[async_trait]
impl Source for OneIdentity {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    async fn pull(&self, _cursor: Option<&str>, now: Timestamp) -> Result<Pulled, CallError> {
        let (key, (documents, broken)) = match &self.way {
            Way::Approval(approval) => (approval.settings.key.as_str(), approval.waiting(now).await?),
            Way::Queue(queue) => ("", queue.waiting(now, false).await?),
            Way::Assignments(_) => return Err(CallError::reject("E-CONFIG", "this list stands; it has no rounds of news")),
        };
        let ids: Vec<Option<String>> = documents.iter().map(|d| Self::id_of(d, key)).collect();
        // A row without its key may be one that then looks gone.
        let broken = broken.or_else(|| ids.iter().any(Option::is_none).then(|| self.keyless()));
        Ok(Pulled {
            events: self.events(&documents),
            next_cursor: format!("round-{}", now.0),
            complete: broken.is_none(),
            present: ids.into_iter().flatten().collect(),
            // Rows that move do not hide behind others, and what is missing is asked about one by one.
            one_page: true,
            broken,
        })
    }

    async fn standing(&self, now: Timestamp) -> Result<Standing, CallError> {
        let Way::Assignments(table) = &self.way else {
            return Err(CallError::reject("E-CONFIG", "this list shows what is pending, not what stands"));
        };
        let (documents, broken) = table.standing(now).await?;
        let most_gone = table.settings.max_removals;
        let mut standing = Standing { rows: Vec::new(), complete: true, broken, most_gone };
        for document in &documents {
            let event = polled(&self.info.name, &self.mapping, document);
            match (Self::id_of(document, &table.settings.key), event) {
                (Some(id), Some(event)) => standing.rows.push((id, event)),
                (None, _) => standing.broken = standing.broken.or_else(|| Some(self.keyless())),
                (Some(_), None) => {}
            }
        }
        standing.complete = standing.broken.is_none();
        Ok(standing)
    }

    fn explains_absence(&self) -> bool {
        true
    }

    async fn missing(&self, external_ids: &[String]) -> Result<Vec<Missing>, CallError> {
        match &self.way {
            Way::Approval(approval) => approval.missing(external_ids).await,
            Way::Queue(queue) => queue.missing(external_ids).await,
            Way::Assignments(_) => Ok(vec![Missing::Unknown; external_ids.len()]),
        }
    }

    fn take_hint(&self) -> bool {
        self.hints.take()
    }

    async fn first_page(&self, now: Timestamp) -> Result<Vec<SourceEvent>, CallError> {
        let documents = match &self.way {
            Way::Approval(approval) => approval.first(now).await?,
            Way::Queue(queue) => queue.waiting(now, true).await?.0,
            Way::Assignments(table) => table.first(now).await?,
        };
        Ok(self.events(&documents))
    }

    fn next_poll(&self, now: Timestamp) -> Option<Timestamp> {
        self.timing.next(now)
    }

    fn accept(&self, inbound: Inbound, now: Timestamp) -> Result<Vec<SourceEvent>, HookRefusal> {
        self.hints.accept(&self.info.name, inbound, now)
    }

    fn remap(&self, event_id: &str, body: &str) -> SourceEvent {
        native::remap(&self.info.name, &self.mapping, event_id, body)
    }

    fn sample(&self, document: &Value) -> Vec<EventContent> {
        self.mapping.content(&self.info.name, document, &document.to_string()).into_iter().collect()
    }

    async fn report(&self, completion: &Completion) -> Result<(), CallError> {
        match &self.way {
            Way::Approval(approval) => approval.report(completion).await,
            Way::Queue(queue) => queue.report(completion).await,
            Way::Assignments(table) => table.report(completion).await,
        }
    }

    async fn progress(&self, progress: &Progress) -> Result<(), CallError> {
        match &self.way {
            Way::Approval(approval) => approval.progress(progress).await,
            Way::Assignments(table) => table.progress(progress).await,
            Way::Queue(_) => Err(CallError::reject("E-CONFIG", "the queue hears yes or no, and nothing before")),
        }
    }

    async fn confirm(&self, completion: &Completion) -> Result<bool, CallError> {
        match &self.way {
            Way::Approval(approval) => approval.confirm(completion).await,
            Way::Queue(queue) => queue.confirm(completion).await,
            Way::Assignments(_) => Ok(false),
        }
    }

    async fn probe(&self) -> Result<(), CallError> {
        match &self.way {
            Way::Approval(approval) => approval.probe(&approval.settings.condition).await.map(drop),
            Way::Queue(queue) => queue.probe().await.map(drop),
            Way::Assignments(table) => table.probe().await.map(drop),
        }
    }

    async fn check(&self) -> Vec<Finding> {
        probe::check(&self.way).await
    }

    async fn close(&self) {
        match &self.way {
            Way::Approval(approval) => approval.server.0.log_out().await,
            Way::Assignments(table) => table.server.0.log_out().await,
            Way::Queue(queue) => {
                queue.server.0.log_out().await;
                if let Some(names) = &queue.names {
                    names.0.log_out().await;
                }
            }
        }
    }
}
