//! midPoint: manual provisioning cases are taken, and their work items completed when the tickets are closed.
//!
//! docs/midpoint.md says what its administrator sets up.

mod api;
mod case;
mod list;
mod outcome;
mod probe;
mod settings;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use self::api::Api;
use self::list::Beside;
use self::settings::{CaseSettings, CompleteSettings, MidpointFile};
use super::mapping::Mapping;
use super::native::{self, Hints};
use super::poll::polled;
use super::timing::Timing;
use super::{Capabilities, EventContent, HookRefusal, ListKind, Missing, Pulled, Source, SourceEvent, SourceInfo, web_address};
use crate::catalog::{ConfigFile, Problem};
use crate::http::client::ClientSettings;
use crate::http::{CallError, HttpClient, Inbound};
use crate::model::completion::Completion;
use crate::model::finding::Finding;
use crate::model::{Clock, Timestamp};

/// Pointers start at the document of a case: `case` as the platform gives it, and what was read from and beside it.
const MAPPING: &str = r#"
external_id = "/id"
operation = "/operation"
application = { id = ["/resource/name", "/resource/oid"], name = ["/resource/name", "/resource/oid"] }
entitlement = { id = "/entitlement/id", name = "/entitlement/name" }
account = "/account/name"
beneficiary = { id = ["/owner/oid", "/account/oid", "/account/name"], name = ["/owner/fullName", "/owner/name", "/account/name"], email = "/owner/emailAddress" }
requester = { id = "/requester/oid", name = "/requester/name" }
approvals = { list = "/approvers", by = { id = "/oid", name = "/name" } }
requested_at = ["/case/metadata/requestTimestamp", "/case/@metadata/process/requestTimestamp", "/created"]
approved_at = "/created"
# What is to be changed is what the admin needs to read.
reason = "/changes"
[attributes]
changes = "/changes"
resource = "/resource/oid"
shadow = "/account/oid"
deadline = "/deadline"
"#;

/// midPoint.
#[derive(Debug)]
pub struct Midpoint {
    info: SourceInfo,
    api: Api,
    cases: CaseSettings,
    complete: CompleteSettings,
    mapping: Mapping,
    timing: Timing,
    hints: Hints,
    beside: Beside,
}

impl Midpoint {
    /// Reads the file and resolves its secrets.
    ///
    /// # Errors
    /// Everything that is wrong, each with its line.
    pub fn build(name: &str, file: &ConfigFile, folder: &Path, clock: Arc<dyn Clock>) -> Result<Self, Vec<Problem>> {
        let settings: MidpointFile = file.parse().map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let mut note = |keys: &[&str], words: String| problems.push(file.problem(keys, words, None));
        let timing = Timing::parse(&settings.schedule).map_err(|words| note(&["schedule"], words)).ok();
        let hints = Hints::new(settings.webhook.as_ref(), folder);
        let hints = hints.map_err(|words| note(&["webhook", "verify"], words)).ok();
        let api = api(name, &settings, folder, clock).map_err(|(key, words)| note(&[key], words)).ok();
        if settings.cases.archetype.contains(['"', '\\']) {
            note(&["cases", "archetype"], "an OID holds no quotes".to_owned());
        }
        let mapping = native::mapping(MAPPING, &settings.mapping).map_err(|words| note(&["mapping"], words)).ok();
        problems.extend(mapping.iter().flat_map(|(mapping, _)| native::mistakes(file, "mapping", mapping)));
        match (api, timing, hints, mapping) {
            (Some(api), Some(timing), Some(hints), Some((mapping, _))) if problems.is_empty() => {
                let info = info(name, &settings, hints.are_taken());
                let MidpointFile { cases, complete, .. } = settings;
                Ok(Self { info, api, cases, complete, mapping, timing, hints, beside: Beside::default() })
            }
            _ => Err(problems),
        }
    }

    fn events(&self, documents: &[Value]) -> Vec<SourceEvent> {
        documents.iter().filter_map(|document| polled(&self.info.name, &self.mapping, document)).collect()
    }
}

/// Schema of the file, for editors.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(MidpointFile)
}

fn api(name: &str, settings: &MidpointFile, folder: &Path, clock: Arc<dyn Clock>) -> Result<Api, (&'static str, String)> {
    let base = web_address(&settings.url).map_err(|words| ("url", words))?;
    let auth = settings.auth.resolve(folder).map_err(|words| ("auth", words))?.timed_by(clock);
    let timeout = settings.timeout.duration().max(Duration::from_millis(1));
    let client = ClientSettings { timeout, max_in_flight: settings.max_in_flight.max(1), ..ClientSettings::for_edge(name) };
    let client = HttpClient::new(client).map_err(|words| ("url", words))?;
    Ok(Api { client, base, auth, act_as: settings.act_as.clone() })
}

fn info(name: &str, settings: &MidpointFile, pushes: bool) -> SourceInfo {
    SourceInfo {
        name: name.to_owned(),
        kind: "midpoint",
        capabilities: Capabilities {
            pushes,
            polls: true,
            reason: true,
            ticket_link: true,
            report: true,
            // They travel in the text that lies with the work item.
            performer: settings.complete.evidence,
            times: settings.complete.evidence,
            evidence: settings.complete.evidence,
            cancel: true,
            // A work item can be completed and given to others; nothing can be said of it before.
            ..Capabilities::default()
        },
        list: Some(ListKind::Snapshot),
        schedule: Some(settings.schedule.clone()),
        confirm_quiet_ms: Some(settings.complete.within.ms()),
    }
}

#[async_trait]
impl Source for Midpoint {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    async fn pull(&self, _cursor: Option<&str>, now: Timestamp) -> Result<Pulled, CallError> {
        let open = list::open(&self.api, &self.cases).await?;
        let present = open.cases.keys().cloned().collect();
        let read = self.beside.documents(&self.api, &self.cases, open.cases.into_iter().collect(), now).await;
        Ok(Pulled {
            events: self.events(&read.documents),
            next_cursor: format!("round-{}", now.0),
            complete: open.broken.is_none(),
            present,
            // Cases that move do not hide behind others, and what is missing is asked about one by one.
            one_page: true,
            broken: open.broken.or(read.broken),
        })
    }

    fn explains_absence(&self) -> bool {
        true
    }

    async fn missing(&self, external_ids: &[String]) -> Result<Vec<Missing>, CallError> {
        outcome::missing(&self.api, external_ids).await
    }

    fn take_hint(&self) -> bool {
        self.hints.take()
    }

    async fn first_page(&self, now: Timestamp) -> Result<Vec<SourceEvent>, CallError> {
        let page = self.api.cases(&self.cases, "open", 0, self.cases.page.max(2)).await?;
        let cases = page.rows.into_iter().filter_map(|row| Some((case::text_at(&row, "/oid")?, row))).collect();
        // Nobody waits here for an owner: the first look shall show everything.
        let at_once = CaseSettings { owner_within: crate::catalog::Span(0), ..self.cases.clone() };
        let read = Beside::default().documents(&self.api, &at_once, cases, now).await;
        match read.broken {
            Some(error) if read.documents.is_empty() => Err(error),
            _ => Ok(self.events(&read.documents)),
        }
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
        outcome::report(&self.api, &self.complete, completion).await
    }

    async fn confirm(&self, completion: &Completion) -> Result<bool, CallError> {
        outcome::confirm(&self.api, completion).await
    }

    async fn probe(&self) -> Result<(), CallError> {
        self.api.cases(&self.cases, "open", 0, 1).await.map(drop)
    }

    async fn check(&self) -> Vec<Finding> {
        probe::check(&self.api, &self.cases, &self.complete).await
    }
}
