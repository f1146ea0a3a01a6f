//! A source declared in TOML: a mapping, and a webhook, a polled list or both of the same platform.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::mapping::Mapping;
use super::poll::{PollSettings, Poller};
use super::report::{ReportSettings, Reporter};
use super::webhook::{Hook, WebhookSettings};
use super::{Capabilities, EventContent, HookRefusal, Pulled, Source, SourceEvent, SourceInfo, digest};
use crate::catalog::{ConfigFile, Problem};
use crate::http::{CallError, Inbound};
use crate::model::completion::Completion;
use crate::model::finding::{Finding, Grade};
use crate::model::{Clock, Timestamp};

/// A file of `sources/`. The kind says which part it must have; with both, an order that is pushed and polled is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// `webhook` or `poll`.
    pub kind: String,
    /// Where an assignment's parts stand in the platform's JSON.
    pub mapping: Mapping,
    /// The same for polled rows, where the list is written otherwise than the messages.
    #[serde(default)]
    pub poll_mapping: Option<Mapping>,
    /// Messages that the platform sends by itself.
    #[serde(default)]
    pub webhook: Option<WebhookSettings>,
    /// A list that is asked for.
    #[serde(default)]
    pub poll: Option<PollSettings>,
    /// How outcomes are told; none: they are not.
    #[serde(default)]
    pub report: Option<ReportSettings>,
}

/// A declared source.
#[derive(Debug)]
pub struct Declared {
    info: SourceInfo,
    mapping: Mapping,
    poll_mapping: Mapping,
    hook: Option<Hook>,
    poller: Option<Poller>,
    reporter: Option<Reporter>,
}

impl Declared {
    /// Reads the file and resolves its secrets.
    ///
    /// # Errors
    /// Everything that is wrong, each with its line.
    pub fn build(name: &str, file: &ConfigFile, folder: &Path, clock: Arc<dyn Clock>) -> Result<Self, Vec<Problem>> {
        let settings: SourceFile = file.parse_all()?;
        let mut problems = mapping_problems(file, "mapping", &settings.mapping);
        if let Some(mapping) = &settings.poll_mapping {
            problems.extend(mapping_problems(file, "poll_mapping", mapping));
        }
        let kind = if settings.kind == "poll" { "poll" } else { "webhook" };
        let missing = if kind == "poll" { settings.poll.is_none() } else { settings.webhook.is_none() };
        if missing {
            problems.push(file.problem(&["kind"], format!("a source of kind `{kind}` needs a table [{kind}]"), None));
        }
        let mut note = |keys: &[&str], words: String| problems.push(file.problem(keys, words, None));
        let hook = settings
            .webhook
            .and_then(|webhook| Hook::new(&webhook, folder).map_err(|words| note(&["webhook", "verify"], words)).ok());
        let poller = settings
            .poll
            .and_then(|poll| Poller::new(name, poll, folder, Arc::clone(&clock)).map_err(|(key, words)| note(&["poll", key], words)).ok());
        let reporter = settings.report.and_then(|report| {
            Reporter::new(name, report, folder, clock).map_err(|(key, words)| note(&["report", key], words)).ok()
        });
        if !problems.is_empty() {
            return Err(problems);
        }
        let info = info(name, kind, hook.as_ref(), poller.as_ref(), reporter.as_ref());
        let poll_mapping = settings.poll_mapping.unwrap_or_else(|| settings.mapping.clone());
        Ok(Self { info, mapping: settings.mapping, poll_mapping, hook, poller, reporter })
    }

    /// Rows and messages may be written differently; the event's id says which it was.
    fn mapping_of(&self, event_id: &str) -> &Mapping {
        let is_row = event_id.starts_with("row-") && self.poller.is_some();
        if is_row { &self.poll_mapping } else { &self.mapping }
    }
}

fn info(name: &str, kind: &'static str, hook: Option<&Hook>, poller: Option<&Poller>, reporter: Option<&Reporter>) -> SourceInfo {
    SourceInfo {
        name: name.to_owned(),
        kind,
        capabilities: Capabilities {
            pushes: hook.is_some(),
            polls: poller.is_some(),
            reason: reporter.is_some_and(|r| r.tells(&["reason", "words"])),
            ticket_link: reporter.is_some_and(|r| r.tells(&["ticket", "ticket_url"])),
            report: reporter.is_some(),
        },
        list: poller.map(Poller::list),
        schedule: poller.map(|p| p.schedule().to_owned()),
        confirm_quiet_ms: None,
    }
}

/// Schema of the file, for editors.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(SourceFile)
}

fn mapping_problems(file: &ConfigFile, table: &str, mapping: &Mapping) -> Vec<Problem> {
    let mistakes = mapping.mistakes().into_iter();
    mistakes
        .map(|(keys, message, help)| {
            let path: Vec<&str> = std::iter::once(table).chain(keys.iter().map(String::as_str)).collect();
            file.problem(&path, message, help)
        })
        .collect()
}

#[async_trait]
impl Source for Declared {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    async fn pull(&self, cursor: Option<&str>, now: Timestamp) -> Result<Pulled, CallError> {
        match &self.poller {
            Some(poller) => poller.pull(&self.info.name, &self.poll_mapping, cursor, now).await,
            None => Err(CallError::reject("E-CONFIG", format!("source `{}` has no list to poll", self.info.name))),
        }
    }

    async fn first_page(&self, _now: Timestamp) -> Result<Vec<SourceEvent>, CallError> {
        match &self.poller {
            Some(poller) => poller.first_page(&self.info.name, &self.poll_mapping).await,
            None => Ok(Vec::new()),
        }
    }

    fn next_poll(&self, now: Timestamp) -> Option<Timestamp> {
        self.poller.as_ref().and_then(|poller| poller.next(now))
    }

    fn accept(&self, inbound: Inbound, now: Timestamp) -> Result<Vec<SourceEvent>, HookRefusal> {
        match &self.hook {
            Some(hook) => hook.accept(&self.info.name, &self.mapping, inbound, now),
            None => Err(HookRefusal::NoHook(self.info.name.clone())),
        }
    }

    fn remap(&self, event_id: &str, body: &str) -> SourceEvent {
        let unmappable = |problem: String| EventContent::Unmappable { problem, body: body.to_owned() };
        let content = match serde_json::from_str::<Value>(body) {
            Ok(document) => self
                .mapping_of(event_id)
                .content(&self.info.name, &document, body)
                .unwrap_or_else(|| unmappable("the mapping's `only` leaves it out: it can be discarded".to_owned())),
            Err(e) => unmappable(format!("the body is not JSON: line {}, column {}", e.line(), e.column())),
        };
        SourceEvent { event_id: event_id.to_owned(), digest: digest(body.as_bytes()), content }
    }

    fn sample(&self, document: &Value) -> Vec<EventContent> {
        let listed = self.hook.as_ref().and_then(|hook| hook.listed(document));
        let read = |item: &Value| {
            let by = |mapping: &Mapping| mapping.content(&self.info.name, item, &item.to_string());
            let first = by(if self.hook.is_some() { &self.mapping } else { &self.poll_mapping });
            // A row of the list, where messages are written otherwise.
            let is_row = matches!(first, None | Some(EventContent::Unmappable { .. })) && self.poller.is_some();
            let second = is_row.then(|| by(&self.poll_mapping)).flatten();
            match second {
                Some(EventContent::Unmappable { .. }) | None => first,
                found => found,
            }
        };
        listed.unwrap_or_else(|| vec![document]).into_iter().filter_map(read).collect()
    }

    async fn report(&self, completion: &Completion) -> Result<(), CallError> {
        match &self.reporter {
            Some(reporter) => reporter.report(completion).await,
            None => Err(CallError::reject("E-CONFIG", format!("source `{}` has no [report]", self.info.name))),
        }
    }

    async fn probe(&self) -> Result<(), CallError> {
        if let Some(poller) = &self.poller {
            poller.probe().await?;
        }
        match &self.reporter {
            Some(reporter) => reporter.probe().await,
            None => Ok(()),
        }
    }

    async fn check(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        if self.hook.is_some() {
            let words = "secrets can be read; whether they are the platform's own shows with its first message";
            findings.push(finding("webhook", Ok(words)));
        }
        if let Some(poller) = &self.poller {
            findings.push(finding("list", poller.probe().await.map(|()| "the first page can be read")));
        }
        match &self.reporter {
            Some(reporter) => findings.push(finding("report", reporter.probe().await.map(|()| "its templates can be filled"))),
            None => {
                let words = "outcomes are not told to the platform: add [report] if it should know them".to_owned();
                findings.push(Finding { grade: Grade::Warning, what: "report".to_owned(), words });
            }
        }
        findings
    }
}

fn finding(what: &str, result: Result<&str, CallError>) -> Finding {
    let (grade, words) = match result {
        Ok(words) => (Grade::Good, words.to_owned()),
        Err(error) => (Grade::Bad, error.to_string()),
    };
    Finding { grade, what: what.to_owned(), words }
}
