//! Microsoft Entra entitlement management: a custom extension calls a Logic App, which forwards to us; the request waits
//! until it is resumed, and only so long.
//!
//! docs/entra.md says what its administrator sets up.

mod callout;
mod duration;
mod graph;
mod outcome;
mod probe;
mod settings;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use self::callout::{Reader, Reading};
use self::graph::Graph;
use self::settings::{AtDeadline, EntraFile, ResumeSettings};
use super::auth::{AuthSettings, ClientCredentials, SecretIn};
use super::mapping::Mapping;
use super::{
    Capabilities, EventContent, HookRefusal, Missing, NO_ADDRESS, Source, SourceEvent, SourceInfo, Waits, digest, native,
    web_address,
};
use crate::catalog::{ConfigFile, Problem};
use crate::http::client::ClientSettings;
use crate::http::signature::Scheme;
use crate::http::{CallError, HttpClient, Inbound};
use crate::ledger::TimeUp;
use crate::model::completion::Completion;
use crate::model::finding::Finding;
use crate::model::{Clock, Operation, Timestamp};

pub use self::callout::Stage;

/// Pointers start at the document of a callout: `callout` as the platform sends it, its names with a small first letter,
/// and what was made of it beside it.
const MAPPING: &str = r#"
external_id = "/id"
operation = "/operation"
application = { id = ["/callout/accessPackageCatalog/displayName", "/callout/accessPackageCatalog/id"], name = ["/callout/accessPackageCatalog/displayName", "/callout/accessPackageCatalog/id"] }
entitlement = { id = "/callout/accessPackage/id", name = ["/callout/accessPackage/displayName", "/callout/accessPackage/id"] }
account = "/callout/assignment/target/principalName"
beneficiary = { id = ["/callout/assignment/target/objectId", "/callout/requestor/objectId", "/callout/requestor/id"], name = ["/callout/assignment/target/displayName", "/callout/requestor/displayName"], email = ["/callout/assignment/target/email", "/callout/requestor/email"] }
requester = { id = ["/callout/requestor/objectId", "/callout/requestor/id"], name = "/callout/requestor/displayName", email = "/callout/requestor/email" }
approved_at = "/approvedAt"
valid_from = ["/callout/assignment/schedule/startDateTime", "/callout/schedule/startDateTime"]
valid_until = ["/callout/assignment/schedule/expiration/endDateTime", "/callout/schedule/expiration/endDateTime"]
reason = "/callout/justification"
[attributes]
stage = "/stage"
request = "/callout/accessPackageAssignmentRequestId"
policy = "/callout/assignment/assignmentPolicy/displayName"
organization = "/callout/assignment/target/connectedOrganization/displayName"
resources = "/resources"
answers = "/answers"
"#;

/// Microsoft Entra.
#[derive(Debug)]
pub struct Entra {
    info: SourceInfo,
    scheme: Scheme,
    graph: Graph,
    reader: Reader,
    mapping: Mapping,
    resume: ResumeSettings,
    at_deadline: AtDeadline,
    look_every_ms: i64,
    clock: Arc<dyn Clock>,
}

impl Entra {
    /// Reads the file and resolves its secrets.
    ///
    /// # Errors
    /// Everything that is wrong, each with its line.
    pub fn build(name: &str, file: &ConfigFile, folder: &Path, clock: Arc<dyn Clock>) -> Result<Self, Vec<Problem>> {
        let settings: EntraFile = file.parse().map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let mut note = |keys: &[&str], words: String| problems.push(file.problem(keys, words, None));
        let scheme = settings.webhook.verify.resolve(folder).map_err(|words| note(&["webhook", "verify"], words)).ok();
        let graph = graph(name, &settings, folder, Arc::clone(&clock)).map_err(|(key, words)| note(&[key], words)).ok();
        let reader = graph
            .as_ref()
            .and_then(|graph| Reader::new(&settings, graph.base.clone()).map_err(|(key, words)| note(&[key], words)).ok());
        if let Some(stage) = settings.resume.deny_at.iter().find(|stage| !stage.may_be_denied()) {
            note(&["resume", "deny_at"], format!("the platform takes no denial at `{}`", stage.as_str()));
        }
        let mapping = native::mapping(MAPPING, &settings.mapping).map_err(|words| note(&["mapping"], words)).ok();
        problems.extend(mapping.iter().flat_map(|(mapping, _)| native::mistakes(file, "mapping", mapping)));
        match (scheme, graph, reader, mapping) {
            (Some(scheme), Some(graph), Some(reader), Some((mapping, _))) if problems.is_empty() => {
                let EntraFile { resume, at_deadline, look_every, .. } = settings;
                let look_every_ms = look_every.ms().max(1_000);
                let info = info(name, resume.within.ms());
                Ok(Self { info, scheme, graph, reader, mapping, resume, at_deadline, look_every_ms, clock })
            }
            _ => Err(problems),
        }
    }

    /// What a forwarded callout says; `None`: nothing that anybody waits for.
    fn event(&self, text: &str, received_at: Timestamp) -> Result<Option<SourceEvent>, HookRefusal> {
        let body: Value = serde_json::from_str(text).map_err(|e| HookRefusal::not_json(&e))?;
        let reading = self.reader.read(&body, received_at);
        let event_id = reading.event_id(&body);
        let Some(content) = self.content(reading, text) else { return Ok(None) };
        // The same callout, forwarded again by another run of the Logic App, is the same event.
        Ok(Some(SourceEvent { digest: digest(event_id.as_bytes()), event_id, content }))
    }

    fn content(&self, reading: Reading, raw: &str) -> Option<EventContent> {
        let (document, answer_by) = match reading {
            Reading::Nothing => return None,
            Reading::Wrong { problem, .. } => return Some(EventContent::Unmappable { problem, body: raw.to_owned() }),
            Reading::Order { document, answer_by, .. } => (document, answer_by),
        };
        let content = self.mapping.content(&self.info.name, &document, raw)?;
        Some(match content {
            EventContent::Order(mut order) => {
                order.answer_by = Some(answer_by);
                EventContent::Order(order)
            }
            other => other,
        })
    }
}

/// Schema of the file, for editors.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(EntraFile)
}

fn graph(name: &str, settings: &EntraFile, folder: &Path, clock: Arc<dyn Clock>) -> Result<Graph, (&'static str, String)> {
    let address = |key: &'static str, text: &str| {
        let url = web_address(text).ok().filter(|u| u.query().is_none());
        url.ok_or_else(|| (key, NO_ADDRESS.to_owned()))
    };
    let base = address("graph", &settings.graph)?;
    let mut token_url = address("login", &settings.login)?;
    if settings.tenant.is_empty() || settings.tenant.contains(['/', '?', '#', '%']) {
        return Err(("tenant", "the directory's id, or one of its domains".to_owned()));
    }
    if let Ok(mut path) = token_url.path_segments_mut() {
        path.pop_if_empty().extend([settings.tenant.as_str(), "oauth2", "v2.0", "token"]);
    }
    let auth = AuthSettings::ClientCredentials(ClientCredentials {
        token_url: token_url.into(),
        client_id: settings.client_id.clone(),
        client_secret: settings.client_secret.clone(),
        scope: Some(format!("{}/.default", settings.graph.trim_end_matches('/'))),
        form: std::collections::BTreeMap::new(),
        secret_in: SecretIn::Form,
    });
    let auth = auth.resolve(folder).map_err(|words| ("client_secret", words))?.timed_by(clock);
    let timeout = settings.timeout.duration().max(Duration::from_millis(1));
    let client = ClientSettings { timeout, max_in_flight: settings.max_in_flight.max(1), ..ClientSettings::for_edge(name) };
    let client = HttpClient::new(client).map_err(|words| ("graph", words))?;
    Ok(Graph { client, base, auth })
}

fn info(name: &str, within_ms: i64) -> SourceInfo {
    SourceInfo {
        name: name.to_owned(),
        kind: "entra",
        capabilities: Capabilities {
            pushes: true,
            reason: true,
            ticket_link: true,
            report: true,
            cancel: true,
            // One text is all that a resumed request keeps, and nothing can be said before.
            ..Capabilities::default()
        },
        list: None,
        schedule: None,
        confirm_quiet_ms: Some(within_ms),
    }
}

#[async_trait]
impl Source for Entra {
    fn info(&self) -> &SourceInfo {
        &self.info
    }

    fn accept(&self, inbound: Inbound, now: Timestamp) -> Result<Vec<SourceEvent>, HookRefusal> {
        let verified = self.scheme.verify(inbound, now)?;
        let inbound = verified.inbound();
        let text = std::str::from_utf8(&inbound.body).map_err(|_| HookRefusal::NotParseable("it is not UTF-8".to_owned()))?;
        Ok(self.event(text, inbound.received_at)?.into_iter().collect())
    }

    async fn missing(&self, external_ids: &[String]) -> Result<Vec<Missing>, CallError> {
        outcome::missing(&self.graph, external_ids).await
    }

    fn waits(&self) -> Option<Waits> {
        Some(Waits { look_every_ms: self.look_every_ms })
    }

    fn time_is_up(&self, external_id: &str, operation: Operation) -> TimeUp {
        let deniable = outcome::Order::of(external_id).is_some_and(|order| self.resume.deny_at.contains(&order.stage));
        // What is to be taken away is not given up because nobody was in time.
        if self.at_deadline == AtDeadline::Deny && deniable && !operation.is_revocation() {
            return TimeUp::Deny { reason: "nobody carried it out before the wait for an answer ended".to_owned() };
        }
        TimeUp::Alarm
    }

    fn remap(&self, event_id: &str, body: &str) -> SourceEvent {
        let unmappable = |problem: String| EventContent::Unmappable { problem, body: body.to_owned() };
        let content = match self.event(body, self.clock.now()) {
            Ok(Some(event)) => event.content,
            Ok(None) => unmappable("nobody waits for an answer to it: it can be discarded".to_owned()),
            Err(refusal) => unmappable(refusal.to_string()),
        };
        SourceEvent { event_id: event_id.to_owned(), digest: digest(body.as_bytes()), content }
    }

    fn sample(&self, document: &Value) -> Vec<EventContent> {
        let reading = self.reader.read(document, self.clock.now());
        self.content(reading, &document.to_string()).into_iter().collect()
    }

    async fn report(&self, completion: &Completion) -> Result<(), CallError> {
        outcome::report(&self.graph, &self.resume, completion).await
    }

    async fn confirm(&self, completion: &Completion) -> Result<bool, CallError> {
        outcome::confirm(&self.graph, completion).await
    }

    async fn probe(&self) -> Result<(), CallError> {
        self.graph.any_request().await
    }

    async fn check(&self) -> Vec<Finding> {
        probe::check(&self.graph, &self.resume, self.at_deadline, self.reader.wait_ms).await
    }
}
