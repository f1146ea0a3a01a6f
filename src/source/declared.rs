//! A source declared in TOML: a mapping, and a webhook, a polled list or both of the same platform, or files of rows.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::folder::{FileSettings, Folder};
use super::mapping::Mapping;
use super::poll::{PollSettings, Poller};
use super::report::{About, ReportSettings, Teller};
use super::rows::{self, Row};
use super::webhook::{Hook, WebhookSettings};
use super::{
    Capabilities, EventContent, Handshake, HookRefusal, ListKind, Pulled, Source, SourceEvent, SourceInfo, native, no_list,
};
use crate::catalog::{ConfigFile, Problem};
use crate::http::{CallError, Inbound};
use crate::ledger::Recorded;
use crate::model::completion::Completion;
use crate::model::finding::{Finding, Grade};
use crate::model::progress::Progress;
use crate::model::{Clock, Timestamp};

/// A file of `sources/`. The kind says which part it must have; with both, an order that is pushed and polled is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceFile {
    /// `webhook`, `poll` or `file`.
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
    /// Files of rows: a watched folder, and with a webhook uploads.
    #[serde(default)]
    pub file: Option<FileSettings>,
    /// How outcomes are told; none: they are not.
    #[serde(default)]
    pub report: Option<ReportSettings>,
    /// How it is told how far an order is; none: that is shown here only.
    #[serde(default)]
    pub progress: Option<ReportSettings>,
    /// What the platform can carry, where that is not what the body of [report] uses.
    #[serde(default)]
    pub carries: Carries,
}

/// What a platform can carry. What is not given follows from [report]: everything that its body uses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Carries {
    /// The admin's words or another reason.
    pub reason: Option<bool>,
    /// The ticket's number and link.
    pub ticket_link: Option<bool>,
    /// Who closed the ticket.
    pub performer: Option<bool>,
    /// When it was closed.
    pub times: Option<bool>,
    /// Files at the ticket.
    pub evidence: Option<bool>,
    /// It says when an order is taken back.
    pub cancel: Option<bool>,
}

/// A declared source.
#[derive(Debug)]
pub struct Declared {
    info: SourceInfo,
    mapping: Mapping,
    poll_mapping: Mapping,
    hook: Option<Hook>,
    poller: Option<Poller>,
    file: Option<(FileSettings, u8)>,
    folder: Option<Folder>,
    reporter: Option<Teller>,
    progress: Option<Teller>,
}

impl Declared {
    /// Reads the file and resolves its secrets.
    ///
    /// # Errors
    /// Everything that is wrong, each with its line.
    pub fn build(name: &str, file: &ConfigFile, base: &Path, clock: Arc<dyn Clock>) -> Result<Self, Vec<Problem>> {
        let settings: SourceFile = file.parse_all()?;
        let mut problems = native::mistakes(file, "mapping", &settings.mapping);
        if let Some(mapping) = &settings.poll_mapping {
            problems.extend(native::mistakes(file, "poll_mapping", mapping));
        }
        let (kind, missing) = match settings.kind.as_str() {
            "poll" => ("poll", settings.poll.is_none()),
            "file" => ("file", settings.file.is_none()),
            _ => ("webhook", settings.webhook.is_none()),
        };
        if missing {
            problems.push(file.problem(&["kind"], format!("a source of kind `{kind}` needs a table [{kind}]"), None));
        }
        problems.extend(misplaced(file, &settings));
        let mut note = |keys: &[&str], words: String| problems.push(file.problem(keys, words, None));
        let hook = settings
            .webhook
            .and_then(|webhook| Hook::new(&webhook, base).map_err(|(key, words)| note(&["webhook", key], words)).ok());
        let poller = settings.poll.and_then(|poll| {
            Poller::new(name, poll, base, Arc::clone(&clock)).map_err(|(key, words)| note(&["poll", key], words)).ok()
        });
        let delimiter =
            settings.file.as_ref().and_then(|files| files.delimiter().map_err(|words| note(&["file", "delimiter"], words)).ok());
        let folder = settings.file.as_ref().and_then(|files| {
            let path = files.folder.as_ref().filter(|_| delimiter.is_some())?;
            Folder::new(name, files, path, base).map_err(|(key, words)| note(&["file", key], words)).ok()
        });
        let reporter = settings
            .report
            .map(|report| Teller::new(name, report, About::Outcome, base, Arc::clone(&clock)))
            .and_then(|teller| teller.map_err(|(key, words)| note(&["report", key], words)).ok());
        let progress = settings
            .progress
            .map(|progress| Teller::new(name, progress, About::Progress, base, clock))
            .and_then(|teller| teller.map_err(|(key, words)| note(&["progress", key], words)).ok());
        if !problems.is_empty() {
            return Err(problems);
        }
        let can = Capabilities {
            pushes: hook.is_some(),
            polls: poller.is_some(),
            progress: progress.is_some(),
            cancel: settings.carries.cancel.unwrap_or_else(|| {
                let snapshot = poller.as_ref().is_some_and(|p| p.list() != ListKind::Cursor);
                snapshot || settings.mapping.withdrawn.is_some()
            }),
            ..told(reporter.as_ref(), settings.carries)
        };
        let mut info = info(name, kind, can, poller.as_ref());
        if let Some(folder) = &folder {
            info.capabilities.polls = true;
            info.list = Some(ListKind::Cursor);
            info.schedule = Some(folder.schedule().to_owned());
        }
        let file = settings.file.zip(delimiter);
        let poll_mapping = settings.poll_mapping.unwrap_or_else(|| settings.mapping.clone());
        Ok(Self { info, mapping: settings.mapping, poll_mapping, hook, poller, file, folder, reporter, progress })
    }

    /// Rows and messages may be written differently; the event's id says which it was.
    fn mapping_of(&self, event_id: &str) -> &Mapping {
        let is_row = event_id.starts_with("row-") && self.poller.is_some();
        if is_row { &self.poll_mapping } else { &self.mapping }
    }
}

/// What the platform hears with an outcome: by declaration, else what the report's body uses.
fn told(reporter: Option<&Teller>, carries: Carries) -> Capabilities {
    let tells = |declared: Option<bool>, members: &[&str]| {
        reporter.is_some_and(|reporter| declared.unwrap_or_else(|| reporter.tells(members)))
    };
    Capabilities {
        report: reporter.is_some(),
        reason: tells(carries.reason, &["reason", "words"]),
        ticket_link: tells(carries.ticket_link, &["ticket", "ticket_url"]),
        performer: tells(carries.performer, &["closed_by"]),
        times: tells(carries.times, &["closed_at", "closed_at_iso"]),
        evidence: tells(carries.evidence, &["evidence"]),
        ..Capabilities::default()
    }
}

fn info(name: &str, kind: &'static str, capabilities: Capabilities, poller: Option<&Poller>) -> SourceInfo {
    SourceInfo {
        name: name.to_owned(),
        kind,
        capabilities,
        list: poller.map(Poller::list),
        schedule: poller.map(|p| p.schedule().to_owned()),
        confirm_quiet_ms: None,
    }
}

/// Tables that would contradict each other.
fn misplaced(file: &ConfigFile, settings: &SourceFile) -> Vec<Problem> {
    let mut problems = Vec::new();
    if settings.progress.is_some() && settings.report.is_none() {
        let help = Some("add [report]: whoever hears how far an order is wants its outcome, too".to_owned());
        problems.push(file.problem(&["progress"], "progress is told, and outcomes are not", help));
    }
    let Some(files) = &settings.file else { return problems };
    let mut say = |keys: &[&str], message: &str, help: &str| problems.push(file.problem(keys, message, Some(help.to_owned())));
    if settings.poll.is_some() {
        say(&["poll"], "a source of files has no list to poll", "give the list a source file of its own");
    }
    if files.folder.is_none() && settings.webhook.is_none() {
        let help = "name a `folder` to watch, or add [webhook] with `verify` for uploads, or both";
        say(&["file"], "there is no way in for files", help);
    }
    if settings
        .webhook
        .as_ref()
        .is_some_and(|hook| hook.cloud_events.is_some() || hook.events.is_some() || hook.event_id.is_some())
    {
        let help = "leave `cloud_events`, `events` and `event_id` out, or give the messages a source file of their own";
        say(&["webhook"], "the webhook of a source of files takes rows", help);
    }
    problems
}

/// Schema of the file, for editors.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(SourceFile)
}

#[async_trait]
impl Source for Declared {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    async fn pull(&self, cursor: Option<&str>, now: Timestamp) -> Result<Pulled, CallError> {
        match (&self.poller, &self.folder) {
            (_, Some(folder)) => folder.pull(&self.info.name, &self.mapping, cursor, now).await,
            (Some(poller), _) => poller.pull(&self.info.name, &self.poll_mapping, cursor, now).await,
            _ => Err(no_list(&self.info.name)),
        }
    }

    async fn first_page(&self, _now: Timestamp) -> Result<Vec<SourceEvent>, CallError> {
        match (&self.poller, &self.folder) {
            (_, Some(folder)) => folder.first_page(&self.info.name, &self.mapping).await,
            (Some(poller), _) => poller.first_page(&self.info.name, &self.poll_mapping).await,
            (None, None) => Ok(Vec::new()),
        }
    }

    fn next_poll(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.folder {
            Some(folder) => folder.next(now),
            None => self.poller.as_ref().and_then(|poller| poller.next(now)),
        }
    }

    fn accept(&self, inbound: Inbound, now: Timestamp) -> Result<Vec<SourceEvent>, HookRefusal> {
        match &self.hook {
            Some(hook) => hook.accept(&self.info.name, &self.mapping, inbound, now),
            None => Err(HookRefusal::NoHook(self.info.name.clone())),
        }
    }

    fn takes_rows(&self) -> bool {
        self.file.is_some() && self.hook.is_some()
    }

    fn accept_rows(&self, inbound: Inbound, now: Timestamp) -> Result<Vec<Row>, HookRefusal> {
        let (Some(hook), Some((files, delimiter))) = (&self.hook, &self.file) else {
            return Err(HookRefusal::NoHook(self.info.name.clone()));
        };
        let verified = hook.verify(inbound, now)?;
        let raw = rows::read(&verified.inbound().body, files.format, *delimiter);
        let raw = raw.map_err(|words| HookRefusal::NotReadable(format!("the upload cannot be read: {words}")))?;
        Ok(raw.iter().map(|row| row.event(&self.info.name, &self.mapping)).collect())
    }

    async fn recorded(&self, results: &[Recorded]) -> Result<(), CallError> {
        match &self.folder {
            Some(folder) => folder.answered(results.to_vec()).await,
            None => Ok(()),
        }
    }

    fn handshake(&self, origin: &str) -> Handshake {
        self.hook.as_ref().map_or(Handshake::NotTaken, |hook| hook.handshake(origin))
    }

    fn remap(&self, event_id: &str, body: &str) -> SourceEvent {
        native::remap(&self.info.name, self.mapping_of(event_id), event_id, body)
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

    async fn progress(&self, progress: &Progress) -> Result<(), CallError> {
        match &self.progress {
            Some(teller) => teller.progress(progress).await,
            None => Err(CallError::reject("E-CONFIG", format!("source `{}` has no [progress]", self.info.name))),
        }
    }

    fn orders_of(&self) -> Vec<(&'static str, &str)> {
        let own = Some(("poll_mapping", &self.poll_mapping)).filter(|_| self.poll_mapping != self.mapping);
        let named = std::iter::once(("mapping", &self.mapping)).chain(own);
        let named = named.filter_map(|(key, mapping)| Some((key, mapping.seen.as_ref()?.orders_of.as_deref()?)));
        named.collect()
    }

    async fn probe(&self) -> Result<(), CallError> {
        if let Some(poller) = &self.poller {
            poller.probe().await?;
        }
        if let Some(folder) = &self.folder {
            folder.probe()?;
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
        if let Some(folder) = &self.folder {
            findings.push(finding("folder", folder.probe().map(|()| "it can be read and written")));
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
