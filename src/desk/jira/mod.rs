//! Jira, Cloud and Data Center, REST v2 and v3.

mod amend;
mod check;
pub mod settings;
mod shape;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use self::settings::{Api, Deployment, GroupAs, Settings, Webhook};
use super::common::{Limits, Next, Page, Wire, no_witness, our_key, secret, text, walk};
use super::{Changes, Desk, DeskInfo, Hint, Level, Preview, StatusAnswer};
use crate::catalog::{ConfigFile, Problem, SecretRef};
use crate::http::signature::{Construction, Encoding, HmacAlgorithm, Refusal, Scheme};
use crate::http::{Call, CallError, Inbound};
use crate::model::Timestamp;
use crate::model::finding::Finding;
use crate::model::key::Key;
use crate::model::ticket::{Amended, Change, Created, Draft, TicketReading, TicketRef, TicketStatus};

/// Tickets per bulk read, and rows per page.
const BATCH: usize = 100;
/// Pages read of the answer to one key; one is the rule.
const MAX_FIND_PAGES: usize = 20;
/// Jira may compare `updated` by whole minutes.
const GRAIN_MS: i64 = 60_000;

/// A Jira desk.
#[derive(Debug)]
pub(super) struct Jira {
    info: DeskInfo,
    settings: Settings,
    wire: Wire,
    webhook: Option<Scheme>,
    /// Our own account, asked once.
    me: OnceCell<String>,
}

/// Builds the desk from its file.
///
/// # Errors
/// Every problem of the file with its line: an unknown key, a missing secret, settings that contradict each other.
pub fn build(name: &str, file: &ConfigFile, folder: &Path) -> Result<Arc<dyn Desk>, Vec<Problem>> {
    let settings: Settings = file.parse().map_err(|p| vec![p])?;
    let limits = Limits {
        timeout: settings.timeout,
        max_in_flight: settings.max_in_flight,
        per_second: settings.per_second,
        ca_file: settings.ca_file.clone(),
    };
    let mut problems = contradictions(file, &settings);
    let wire = Wire::build(name, file, folder, (&settings.url, &settings.auth, &limits), shape::error_words)
        .map_err(|more| problems.extend(more))
        .ok();
    let webhook = settings.webhook.as_ref().map(|w| scheme(file, folder, w)).transpose();
    let webhook = webhook.unwrap_or_else(|more| {
        problems.extend(more);
        None
    });
    match wire {
        Some(wire) if problems.is_empty() => {
            Ok(Arc::new(Jira { info: info(name, &settings), settings, wire, webhook, me: OnceCell::new() }))
        }
        _ => Err(problems),
    }
}

/// Schema of the file, for editors.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Settings)
}

fn contradictions(file: &ConfigFile, settings: &Settings) -> Vec<Problem> {
    let mut problems = Vec::new();
    if settings.project.is_none() && settings.admin_group_as != GroupAs::Project {
        problems.push(file.problem(&[], "`project` is missing", Some("project = \"KEY\"".to_owned())));
    }
    if settings.api == Api::V3 && settings.deployment == Deployment::DataCenter {
        let help = Some("use api = \"v2\"".to_owned());
        problems.push(file.problem(&["api"], "Jira Data Center has no REST v3", help));
    }
    for priority in settings.priorities.keys().filter(|p| !matches!(p.as_str(), "0" | "1" | "2" | "3")) {
        let words = format!("there is no priority `{priority}`: ours are 0, 1, 2 and 3");
        problems.push(file.problem(&["priorities", priority], words, None));
    }
    problems
}

fn scheme(file: &ConfigFile, folder: &Path, webhook: &Webhook) -> Result<Scheme, Vec<Problem>> {
    let all = |keys: &[&str], secrets: &[SecretRef]| {
        if secrets.is_empty() {
            return Err(vec![file.problem(keys, "at least one secret is needed", None)]);
        }
        secrets.iter().map(|s| secret(file, folder, keys, s)).collect::<Result<Vec<_>, _>>().map_err(|p| vec![p])
    };
    let id_header = Some("x-atlassian-webhook-identifier".to_owned());
    Ok(match webhook {
        Webhook::Signature(secrets) => Scheme::Hmac {
            construction: Construction {
                header: "x-hub-signature".to_owned(),
                prefix: "sha256=".to_owned(),
                algorithm: HmacAlgorithm::Sha256,
                encoding: Encoding::Hex,
                signed: "{body}".to_owned(),
                timestamp_header: None,
                tolerance_secs: 0,
                id_header,
            },
            secrets: all(&["webhook", "signature"], secrets)?,
        },
        Webhook::Token { header, secrets } => Scheme::Token {
            header: header.to_lowercase(),
            prefix: String::new(),
            id_header,
            secrets: all(&["webhook", "token", "secrets"], secrets)?,
        },
    })
}

fn info(name: &str, settings: &Settings) -> DeskInfo {
    DeskInfo {
        name: name.to_owned(),
        kind: "jira",
        home: vec![
            ("url", settings.url.trim_end_matches('/').to_owned()),
            ("project", settings.project.clone().unwrap_or_default()),
            ("key_as", settings.key_field().to_owned()),
        ],
        lists: true,
        level: Level::D1,
        when_unclear: crate::desk::WhenUnclear::MaybeNever,
        max_summary: shape::MAX_SUMMARY,
        max_body: shape::MAX_BODY,
        group_is: match &settings.admin_group_as {
            GroupAs::Component => "component".to_owned(),
            GroupAs::Label => "label".to_owned(),
            GroupAs::Project => "project".to_owned(),
            GroupAs::Field { id, .. } => format!("field {id}"),
        },
        status_batch: BATCH,
        max_processing_ms: settings.max_processing.ms(),
        index_lag_ms: settings.index_lag.ms(),
        timeout_ms: settings.timeout.ms(),
        overlap_ms: settings.overlap.ms(),
        max_in_flight: settings.max_in_flight,
    }
}

impl Jira {
    fn call(&self, method: &'static str, path: &str) -> Call {
        self.wire.call(method, &format!("{}{path}", self.settings.api.path()))
    }

    /// Path of one issue; ids come from outside and must not lead elsewhere.
    fn issue_path(ticket: &TicketRef) -> Result<String, CallError> {
        let id = &ticket.id;
        if id.is_empty() || !id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
            return Err(CallError::reject("E-TICKET", "the ticket's id has characters that no Jira id has"));
        }
        Ok(format!("/issue/{id}"))
    }

    async fn myself(&self) -> Result<String, CallError> {
        let reply = self.wire.read(self.call("GET", "/myself")).await?;
        let id = shape::account(&reply.body).map(str::to_owned);
        id.ok_or_else(|| CallError::retry("E-AUTH", format!("{} does not know who we are", self.wire.edge())))
    }

    async fn me(&self) -> Result<&str, CallError> {
        self.me.get_or_try_init(|| self.myself()).await.map(String::as_str)
    }

    /// One page of a search; the JQL must be bounded.
    async fn search(&self, jql: &str, at: Option<&Next>) -> Result<(Vec<Value>, Option<Next>), CallError> {
        let mut body = json!({"jql": jql, "fields": self.settings.fields(), "maxResults": BATCH});
        let start = match at {
            Some(Next::Offset(n)) => *n,
            Some(Next::Token(token)) => {
                body["nextPageToken"] = json!(token);
                0
            }
            None => 0,
        };
        let path = match self.settings.deployment {
            Deployment::Cloud => "/search/jql",
            Deployment::DataCenter => {
                body["startAt"] = json!(start);
                "/search"
            }
        };
        let mut body = self.wire.read(self.call("POST", path).json(body)).await?.body;
        let Some(Value::Array(issues)) = body.get_mut("issues").map(Value::take) else {
            return Err(CallError::retry("E-SHAPE", format!("{} answered a search without a list", self.wire.edge())));
        };
        let next = match self.settings.deployment {
            Deployment::Cloud => text(&body, "/nextPageToken").map(|t| Next::Token(t.to_owned())),
            Deployment::DataCenter => {
                let total = body.get("total").and_then(Value::as_u64).and_then(|t| usize::try_from(t).ok()).unwrap_or(0);
                let end = start + issues.len();
                (end < total && !issues.is_empty()).then_some(Next::Offset(end))
            }
        };
        Ok((issues, next))
    }

    async fn changed_page(&self, from: Timestamp, at: Option<Next>) -> Result<Page, CallError> {
        let jql = format!("creator = currentUser() AND updated >= {} ORDER BY updated ASC, key ASC", from.0.max(0));
        let (issues, next) = self.search(&jql, at.as_ref()).await?;
        Ok(Page { rows: issues.iter().filter_map(|i| self.settings.status_of(i, None)).collect(), next })
    }

    /// The tickets that one bulk call gives; those it leaves out are asked for one by one.
    async fn bulk(&self, tickets: &[TicketRef]) -> Result<Vec<Value>, CallError> {
        let ids: Vec<&str> = tickets.iter().map(|t| t.id.as_str()).collect();
        match self.settings.deployment {
            Deployment::Cloud => {
                let body = json!({"issueIdsOrKeys": ids, "fields": self.settings.fields()});
                let mut body = self.wire.read(self.call("POST", "/issue/bulkfetch").json(body)).await?.body;
                match body.get_mut("issues").map(Value::take) {
                    Some(Value::Array(issues)) => Ok(issues),
                    _ => Err(CallError::retry("E-SHAPE", format!("{} answered a bulk read without a list", self.wire.edge()))),
                }
            }
            // One id that is gone makes the whole search 400: then each is asked for alone.
            Deployment::DataCenter => match self.search(&format!("id in ({})", ids.join(", ")), None).await {
                Ok((issues, _)) => Ok(issues),
                Err(CallError::Reject { .. }) => Ok(Vec::new()),
                Err(other) => Err(other),
            },
        }
    }

    async fn one(&self, ticket: &TicketRef) -> StatusAnswer {
        let read = async {
            let call = self.call("GET", &Self::issue_path(ticket)?).query("fields", self.settings.fields().join(","));
            self.wire.read_if_there(call).await
        };
        match read.await {
            Ok(None) => StatusAnswer::Gone(ticket.clone()),
            Ok(Some(reply)) => match self.settings.status_of(&reply.body, None) {
                Some(status) => StatusAnswer::Known(Box::new(status)),
                None => StatusAnswer::Unreadable(ticket.clone(), "its answer has no fields".to_owned()),
            },
            Err(e) => StatusAnswer::Unreadable(ticket.clone(), e.to_string()),
        }
    }
}

#[async_trait]
impl Desk for Jira {
    fn info(&self) -> &DeskInfo {
        &self.info
    }

    async fn is_own_account(&self, created_by: Option<&str>) -> bool {
        matches!((created_by, self.me().await), (Some(by), Ok(me)) if by == me)
    }

    async fn find(&self, key: &Key) -> Result<Vec<TicketStatus>, CallError> {
        let me = self.me().await?;
        let (mut found, mut at, mut copies, mut others) = (Vec::new(), None, false, false);
        for _ in 0..MAX_FIND_PAGES {
            let (issues, next) = self.search(&self.settings.key_clause(key), at.as_ref()).await?;
            let rows: Vec<TicketStatus> = issues.iter().filter_map(|i| self.settings.status_of(i, Some(key))).collect();
            others |= rows.iter().any(|s| s.key.is_none());
            copies |= rows.iter().any(|s| s.key.is_some());
            found.extend(rows.into_iter().filter(|s| s.key.is_some() && s.created_by.as_deref().is_none_or(|by| by == me)));
            match next {
                Some(next) => at = Some(next),
                None => break,
            }
        }
        if others && !copies {
            return Err(no_witness(self.wire.edge(), self.settings.key_field()));
        }
        if found.is_empty() {
            // Jira answers strangers with an empty list: "not found" counts only while we are known.
            self.myself().await?;
        }
        Ok(found)
    }

    async fn create(&self, draft: &Draft) -> Result<Created, CallError> {
        let call = self.call("POST", "/issue").json(self.settings.create_body(draft));
        let reply = self.wire.write(call).await.map_err(|e| self.about_fields(e))?;
        match (text(&reply.body, "/id"), text(&reply.body, "/key")) {
            (Some(id), Some(number)) => Ok(Created {
                ticket: TicketRef { id: id.to_owned(), number: number.to_owned() },
                url: Some(format!("{}/browse/{number}", self.wire.base())),
                key_confirmed: false,
                group_missed: false,
            }),
            _ => Err(CallError::unclear("E-SHAPE", format!("{} answered a create without the ticket's id", self.wire.edge()))),
        }
    }

    fn preview(&self, draft: &Draft) -> Result<Preview, CallError> {
        let language = if self.settings.api == Api::V3 { "ADF" } else { "wiki" };
        Ok(Preview::of(&self.call("POST", "/issue").json(self.settings.create_body(draft)), language))
    }

    async fn read(&self, ticket: &TicketRef) -> Result<TicketReading, CallError> {
        let call = self
            .call("GET", &Self::issue_path(ticket)?)
            .query("fields", format!("{},attachment", self.settings.fields().join(",")))
            .query("expand", "changelog");
        let Some(reply) = self.wire.read_if_there(call).await? else {
            return Err(CallError::reject("E-GONE", format!("{} is no longer on {}", ticket.number, self.wire.edge())));
        };
        let Some(status) = self.settings.status_of(&reply.body, None) else {
            return Err(CallError::retry("E-SHAPE", format!("{} answered an issue without fields", self.wire.edge())));
        };
        let comments = self.comments(ticket).await?;
        Ok(shape::reading(status, &reply.body, &comments, self.me().await?))
    }

    async fn status(&self, tickets: &[TicketRef]) -> Result<Vec<StatusAnswer>, CallError> {
        let (good, bad): (Vec<TicketRef>, Vec<TicketRef>) = tickets.iter().cloned().partition(|t| Self::issue_path(t).is_ok());
        let issues = if good.is_empty() { Vec::new() } else { self.bulk(&good).await? };
        let mut known: std::collections::HashMap<String, TicketStatus> =
            issues.iter().filter_map(|i| self.settings.status_of(i, None)).map(|s| (s.ticket.id.clone(), s)).collect();
        let (mut answers, mut missing) = (Vec::with_capacity(tickets.len()), Vec::new());
        for ticket in good {
            match known.remove(&ticket.id) {
                Some(status) => answers.push(StatusAnswer::Known(Box::new(status))),
                None => missing.push(ticket),
            }
        }
        if !missing.is_empty() {
            // A dead credential sees nothing: nobody's ticket is gone because of that.
            self.myself().await?;
            let width = self.info.max_in_flight.max(1);
            let calls: Vec<_> = missing.iter().map(|t| self.one(t)).collect();
            answers.extend(stream::iter(calls).buffer_unordered(width).collect::<Vec<_>>().await);
        }
        answers.extend(bad.into_iter().map(|t| StatusAnswer::Unreadable(t, "its id is not a Jira id".to_owned())));
        Ok(answers)
    }

    async fn changed_since(&self, mark: Timestamp) -> Result<Changes, CallError> {
        let from = mark.plus_ms(-self.info.overlap_ms);
        let changes = walk(mark, from, GRAIN_MS, |from, at| self.changed_page(from, at)).await?;
        if changes.rows.is_empty() {
            self.myself().await?;
        }
        Ok(changes)
    }

    async fn amend(&self, ticket: &TicketRef, change: &Change) -> Result<Amended, CallError> {
        self.change(ticket, change).await
    }

    async fn has_mark(&self, ticket: &TicketRef, mark: &str) -> Result<bool, CallError> {
        let comments = self.comments(ticket).await?;
        Ok(comments.iter().filter_map(|c| c.get("body")).any(|b| super::render::has_mark(b, mark)))
    }

    fn accept(&self, inbound: Inbound, now: Timestamp) -> Result<Vec<Hint>, Refusal> {
        let Some(scheme) = &self.webhook else {
            return Err(Refusal::Secret("no webhook is configured for this desk".to_owned()));
        };
        let verified = scheme.verify(inbound, now)?;
        let Ok(body) = serde_json::from_slice::<Value>(&verified.inbound().body) else { return Ok(Vec::new()) };
        let Some(issue) = body.get("issue") else { return Ok(Vec::new()) };
        let id = text(issue, "/id").or_else(|| text(issue, "/key"));
        let ticket = id.map(|id| TicketRef { id: id.to_owned(), number: text(issue, "/key").unwrap_or(id).to_owned() });
        let key = match &self.settings.key_as {
            settings::KeyAs::Label => issue
                .pointer("/fields/labels")
                .and_then(Value::as_array)
                .and_then(|labels| labels.iter().filter_map(Value::as_str).find_map(our_key)),
            settings::KeyAs::Field(id) => issue.get("fields").and_then(|f| f.get(id)).and_then(Value::as_str).and_then(our_key),
        };
        Ok(if ticket.is_some() || key.is_some() { vec![Hint { ticket, key }] } else { Vec::new() })
    }

    async fn probe(&self) -> Result<(), CallError> {
        self.myself().await.map(|_| ())
    }

    async fn check(&self, groups: &[String]) -> Vec<Finding> {
        self.findings(groups).await
    }
}
