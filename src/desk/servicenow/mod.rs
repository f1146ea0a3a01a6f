//! `ServiceNow` through its Table API.

mod amend;
mod check;
pub mod settings;
mod shape;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use serde_json::Value;

use self::settings::{Settings, StateRule, Webhook};
use self::shape::{COLUMNS, Meaning, column};
use super::common::{Auth, Limits, Next, Page, Reply, Wire, no_witness, our_key, secret, text, walk};
use super::{Changes, Desk, DeskInfo, Hint, Level, Preview, StatusAnswer, evidence};
use crate::catalog::{ConfigFile, Problem, SecretRef};
use crate::http::signature::{Construction, Encoding, HmacAlgorithm, Refusal, Scheme};
use crate::http::{Call, CallError, Inbound};
use crate::model::Timestamp;
use crate::model::completion::Evidence;
use crate::model::finding::Finding;
use crate::model::key::Key;
use crate::model::ticket::{Amended, Category, Change, Created, Draft, TicketReading, TicketRef, TicketStatus};

/// Tickets per bulk read, and rows per page.
const BATCH: usize = 100;
/// Rows asked for by key: one is the rule, more are reported.
const FIND_LIMIT: &str = "20";

/// A `ServiceNow` desk.
#[derive(Debug)]
pub(super) struct ServiceNow {
    info: DeskInfo,
    settings: Settings,
    states: BTreeMap<String, StateRule>,
    wire: Wire,
    webhook: Option<Scheme>,
    /// User name of our account, where it is known.
    account: Option<String>,
    /// Groups resolved so far.
    groups: Mutex<Groups>,
}

#[derive(Debug, Default)]
struct Groups {
    by_name: HashMap<String, String>,
    by_id: HashMap<String, String>,
}

/// Builds the desk from its file.
///
/// # Errors
/// Every problem of the file with its line: an unknown key, a missing secret, a table without states.
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
    let states = settings.states_in_force().unwrap_or_default();
    let account = settings.account.clone().or_else(|| match &settings.auth {
        Auth::Basic { user, .. } => Some(user.clone()),
        _ => None,
    });
    match wire {
        Some(wire) if problems.is_empty() => {
            let info = info(name, &settings);
            Ok(Arc::new(ServiceNow { info, settings, states, wire, webhook, account, groups: Mutex::default() }))
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
    let table = &settings.table;
    if table.is_empty() || !table.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
        problems.push(file.problem(&["table"], format!("`{table}` is not the name of a table"), None));
    } else if settings.states_in_force().is_none() {
        let help = "give [states]: each value of `state` with its category and, when closed, its outcome".to_owned();
        problems.push(file.problem(&["table"], format!("what the states of `{table}` mean is not known"), Some(help)));
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
    Ok(match webhook {
        Webhook::Hmac { header, timestamp_header, secrets } => Scheme::Hmac {
            construction: Construction {
                header: header.to_lowercase(),
                prefix: String::new(),
                algorithm: HmacAlgorithm::Sha256,
                encoding: Encoding::Base64,
                signed: "{timestamp}.{body}".to_owned(),
                timestamp_header: Some(timestamp_header.to_lowercase()),
                tolerance_secs: 300,
                id_header: None,
            },
            secrets: all(&["webhook", "hmac", "secrets"], secrets)?,
        },
        Webhook::Token { header, secrets } => Scheme::Token {
            header: header.to_lowercase(),
            prefix: String::new(),
            id_header: None,
            secrets: all(&["webhook", "token", "secrets"], secrets)?,
        },
    })
}

fn info(name: &str, settings: &Settings) -> DeskInfo {
    DeskInfo {
        name: name.to_owned(),
        kind: "servicenow",
        home: vec![("url", settings.url.trim_end_matches('/').to_owned()), ("table", settings.table.clone())],
        lists: true,
        level: if settings.index_lag.ms() > 0 { Level::D1 } else { Level::D2 },
        when_unclear: crate::desk::WhenUnclear::MaybeNever,
        max_summary: shape::MAX_SUMMARY,
        max_body: shape::MAX_BODY,
        group_is: "assignment group".to_owned(),
        status_batch: BATCH,
        max_processing_ms: settings.max_processing.ms(),
        index_lag_ms: settings.index_lag.ms(),
        timeout_ms: settings.timeout.ms(),
        overlap_ms: settings.overlap.ms(),
        max_in_flight: settings.max_in_flight,
    }
}

impl ServiceNow {
    fn table(&self, method: &'static str, table: &str) -> Call {
        self.wire.call(method, &format!("/api/now/table/{table}")).query("sysparm_exclude_reference_link", "true")
    }

    fn record(&self, method: &'static str, ticket: &TicketRef) -> Result<Call, CallError> {
        if !is_sys_id(&ticket.id) {
            return Err(CallError::reject("E-TICKET", "the ticket's id is not a sys_id"));
        }
        Ok(self.table(method, &format!("{}/{}", self.settings.table, ticket.id)))
    }

    fn rows(&self, reply: Reply) -> Result<Vec<Value>, CallError> {
        let mut body = reply.body;
        match body.get_mut("result").map(Value::take) {
            Some(Value::Array(rows)) => Ok(rows),
            _ => Err(CallError::retry("E-SHAPE", format!("{} answered a query without a list", self.wire.edge()))),
        }
    }

    async fn query(&self, query: &str, limit: &str) -> Result<Vec<Value>, CallError> {
        let call = self
            .table("GET", &self.settings.table)
            .query("sysparm_query", query)
            .query("sysparm_fields", COLUMNS)
            .query("sysparm_limit", limit);
        self.rows(self.wire.read(call).await?)
    }

    fn status_of(&self, record: &Value) -> Option<TicketStatus> {
        let meaning = Meaning { states: &self.states, settings: &self.settings };
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        meaning.status_of(record, |id| groups.by_id.get(id).cloned())
    }

    /// The group's `sys_id`; a name that is unknown, inactive or ambiguous is a refusal with `E-GROUP`.
    async fn group(&self, name: &str) -> Result<String, CallError> {
        let no_group = |why: &str| CallError::reject("E-GROUP", format!("assignment group `{name}` {why}"));
        if let Some(id) = self.groups.lock().unwrap_or_else(PoisonError::into_inner).by_name.get(name) {
            return Ok(id.clone());
        }
        if name.contains('^') || name.trim().is_empty() {
            return Err(no_group("cannot be asked for: `^` would change the question"));
        }
        let call = self
            .table("GET", "sys_user_group")
            .query("sysparm_query", format!("name={name}^active=true"))
            .query("sysparm_fields", "sys_id,name,active")
            .query("sysparm_limit", "2");
        let rows = self.rows(self.wire.read(call).await?)?;
        let same = |r: &&Value| column(r, "name").is_some_and(|n| n.eq_ignore_ascii_case(name));
        let mut ids = rows.iter().filter(same).filter_map(|r| column(r, "sys_id"));
        let id = ids.next().ok_or_else(|| no_group("does not exist or is not active"))?.to_owned();
        if ids.next().is_some() {
            return Err(no_group("exists more than once: rename one of them"));
        }
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        groups.by_id.insert(id.clone(), name.to_owned());
        groups.by_name.insert(name.to_owned(), id.clone());
        Ok(id)
    }

    fn forget_group(&self, name: &str) {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).by_name.remove(name);
    }

    async fn changed_page(&self, from: Timestamp, at: Option<Next>) -> Result<Page, CallError> {
        let offset = match at {
            Some(Next::Offset(n)) => n,
            _ => 0,
        };
        let query =
            format!("correlation_idSTARTSWITHlm-^sys_updated_on>={}^ORDERBYsys_updated_on^ORDERBYsys_id", shape::written(from));
        let call = self
            .table("GET", &self.settings.table)
            .query("sysparm_query", query)
            .query("sysparm_fields", COLUMNS)
            .query("sysparm_limit", BATCH.to_string())
            .query("sysparm_offset", offset.to_string());
        let reply = self.wire.read(call).await?;
        // Only the offset is taken from the link: an address from outside is never followed with our credentials.
        let next = reply.answer.header("link").and_then(next_offset).filter(|n| *n > offset).map(Next::Offset);
        let rows = self.rows(reply)?;
        Ok(Page { rows: rows.iter().filter_map(|r| self.status_of(r)).collect(), next })
    }

    pub(super) async fn attachments(&self, query: &str) -> Result<Vec<Value>, CallError> {
        let call = self
            .table("GET", "sys_attachment")
            .query("sysparm_query", query)
            .query("sysparm_fields", "sys_id,file_name,table_sys_id")
            .query("sysparm_limit", evidence::MOST.to_string());
        self.rows(self.wire.read(call).await?)
    }

    /// The files that lie with a record.
    async fn files(&self, ticket: &TicketRef) -> Vec<Evidence> {
        let query = format!("table_name={}^table_sys_id={}^ORDERBYsys_created_on", self.settings.table, ticket.id);
        let listed = self.attachments(&query).await.map(|rows| shape::files(&rows, ticket, self.wire.base()));
        evidence::or_none(self.wire.edge(), ticket, listed)
    }

    async fn one(&self, ticket: &TicketRef) -> StatusAnswer {
        let read = async { self.wire.read_if_there(self.record("GET", ticket)?.query("sysparm_fields", COLUMNS)).await };
        match read.await {
            Ok(None) => StatusAnswer::Gone(ticket.clone()),
            Ok(Some(reply)) => match reply.body.get("result").and_then(|r| self.status_of(r)) {
                Some(status) if status.ticket.id == ticket.id => StatusAnswer::Known(Box::new(status)),
                _ => StatusAnswer::Unreadable(ticket.clone(), "its answer is not the record asked for".to_owned()),
            },
            Err(e) => StatusAnswer::Unreadable(ticket.clone(), e.to_string()),
        }
    }
}

fn is_sys_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit())
}

/// `sysparm_offset` of the link called `next`.
fn next_offset(link: &str) -> Option<usize> {
    let next = link.split(",<").find(|part| part.contains("rel=\"next\""))?;
    let address = next.trim_start_matches('<').split('>').next()?;
    let address = url::Url::parse(address).ok()?;
    address.query_pairs().find(|(name, _)| name == "sysparm_offset").and_then(|(_, value)| value.parse().ok())
}

#[async_trait]
impl Desk for ServiceNow {
    fn info(&self) -> &DeskInfo {
        &self.info
    }

    async fn is_own_account(&self, created_by: Option<&str>) -> bool {
        matches!((&self.account, created_by), (Some(me), Some(by)) if me.eq_ignore_ascii_case(by))
    }

    async fn find(&self, key: &Key) -> Result<Vec<TicketStatus>, CallError> {
        // An instance ignores a condition on a column it does not know, or that we may not read, and answers with
        // everything: then nothing found means nothing.
        let rows = self.query(&format!("correlation_id={key}"), FIND_LIMIT).await?;
        let ours = |s: &TicketStatus| match (&self.account, &s.created_by) {
            (Some(me), Some(by)) => me.eq_ignore_ascii_case(by),
            _ => true,
        };
        let carries = |r: &&Value| column(r, "correlation_id") == Some(key.as_str());
        if !rows.iter().all(|r| carries(&r)) {
            return Err(no_witness(self.wire.edge(), "correlation_id"));
        }
        Ok(rows.iter().filter_map(|r| self.status_of(r)).filter(ours).collect())
    }

    async fn create(&self, draft: &Draft) -> Result<Created, CallError> {
        // Nothing is created by looking the group up: whatever happens here may be repeated.
        let group = self.group(&draft.admin_group).await?;
        let call = self.table("POST", &self.settings.table).query("sysparm_fields", COLUMNS).json(shape::create_body(
            &self.settings,
            draft,
            &group,
        ));
        let reply = self.wire.write(call).await?;
        let echo = reply.body.get("result").unwrap_or(&Value::Null);
        let Some(id) = column(echo, "sys_id") else {
            let words = format!("{} answered a create without the record's id", self.wire.edge());
            return Err(CallError::unclear("E-SHAPE", words));
        };
        let number = column(echo, "number").unwrap_or(id);
        let group_missed = column(echo, "assignment_group") != Some(group.as_str());
        if group_missed {
            self.forget_group(&draft.admin_group);
        }
        if column(echo, "short_description").is_none() {
            tracing::warn!(
                desk = self.wire.edge(),
                ticket = number,
                "short_description was dropped: our account may not write it"
            );
        }
        Ok(Created {
            url: Some(format!("{}/nav_to.do?uri={}.do?sys_id={id}", self.wire.base(), self.settings.table)),
            key_confirmed: column(echo, "correlation_id") == Some(draft.key.as_str()),
            group_missed,
            ticket: TicketRef { id: id.to_owned(), number: number.to_owned() },
        })
    }

    fn preview(&self, draft: &Draft) -> Result<Preview, CallError> {
        let group = format!("<sys_id of {}>", draft.admin_group);
        let call = self.table("POST", &self.settings.table).query("sysparm_fields", COLUMNS);
        Ok(Preview::of(&call.json(shape::create_body(&self.settings, draft, &group)), "plain"))
    }

    async fn read(&self, ticket: &TicketRef) -> Result<TicketReading, CallError> {
        let columns = format!("{COLUMNS},{}", shape::READING_COLUMNS);
        let call = self.record("GET", ticket)?.query("sysparm_fields", columns).query("sysparm_display_value", "all");
        let Some(reply) = self.wire.read_if_there(call).await? else {
            return Err(CallError::reject("E-GONE", format!("{} is no longer on {}", ticket.number, self.wire.edge())));
        };
        let record = reply.body.get("result").unwrap_or(&Value::Null);
        match self.status_of(record) {
            Some(status) => {
                let evidence = if status.category == Category::Closed { self.files(ticket).await } else { Vec::new() };
                Ok(TicketReading { evidence, ..shape::reading(status, record, self.account.as_deref()) })
            }
            None => Err(CallError::retry("E-SHAPE", format!("{} answered without a record", self.wire.edge()))),
        }
    }

    async fn status(&self, tickets: &[TicketRef]) -> Result<Vec<StatusAnswer>, CallError> {
        let ids: Vec<&str> = tickets.iter().map(|t| t.id.as_str()).filter(|id| is_sys_id(id)).collect();
        let rows = if ids.is_empty() {
            Vec::new()
        } else {
            self.query(&format!("sys_idIN{}", ids.join(",")), &BATCH.to_string()).await?
        };
        let mut known: HashMap<String, TicketStatus> =
            rows.iter().filter_map(|r| self.status_of(r)).map(|s| (s.ticket.id.clone(), s)).collect();
        let (mut answers, mut missing) = (Vec::with_capacity(tickets.len()), Vec::new());
        for ticket in tickets {
            match known.remove(&ticket.id) {
                Some(status) => answers.push(StatusAnswer::Known(Box::new(status))),
                None => missing.push(ticket),
            }
        }
        let width = self.info.max_in_flight.max(1);
        let calls: Vec<_> = missing.into_iter().map(|t| self.one(t)).collect();
        answers.extend(stream::iter(calls).buffer_unordered(width).collect::<Vec<_>>().await);
        Ok(answers)
    }

    async fn changed_since(&self, mark: Timestamp) -> Result<Changes, CallError> {
        let from = mark.plus_ms(-self.info.overlap_ms);
        walk(mark, from, 0, |from, at| self.changed_page(from, at)).await
    }

    async fn amend(&self, ticket: &TicketRef, change: &Change) -> Result<Amended, CallError> {
        self.change(ticket, change).await
    }

    async fn has_mark(&self, ticket: &TicketRef, mark: &str) -> Result<bool, CallError> {
        self.journal_has(ticket, mark).await
    }

    fn accept(&self, inbound: Inbound, now: Timestamp) -> Result<Vec<Hint>, Refusal> {
        let Some(scheme) = &self.webhook else {
            return Err(Refusal::Secret("no webhook is configured for this desk".to_owned()));
        };
        let verified = scheme.verify(inbound, now)?;
        let Ok(body) = serde_json::from_slice::<Value>(&verified.inbound().body) else { return Ok(Vec::new()) };
        if text(&body, "/table").is_some_and(|t| t != self.settings.table) {
            return Ok(Vec::new());
        }
        let ticket = text(&body, "/sys_id")
            .filter(|id| is_sys_id(id))
            .map(|id| TicketRef { id: id.to_owned(), number: text(&body, "/number").unwrap_or(id).to_owned() });
        let key = text(&body, "/correlation_id").and_then(our_key);
        Ok(if ticket.is_some() || key.is_some() { vec![Hint { ticket, key }] } else { Vec::new() })
    }

    async fn probe(&self) -> Result<(), CallError> {
        self.query("correlation_idSTARTSWITHlm-", "1").await.map(|_| ())
    }

    async fn check(&self, groups: &[String]) -> Vec<Finding> {
        self.findings(groups).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_offset_is_taken_from_the_link_called_next() {
        let link = "<https://d/api/now/table/t?sysparm_query=a%2Cb&sysparm_offset=0>;rel=\"first\",<https://d/api/now/table/t?\
                    sysparm_limit=5&sysparm_offset=5>;rel=\"next\",<https://d/x?sysparm_offset=90>;rel=\"last\"";
        assert_eq!(next_offset(link), Some(5));
        assert_eq!(next_offset("<https://d/x?sysparm_offset=0>;rel=\"first\""), None);
    }
}
