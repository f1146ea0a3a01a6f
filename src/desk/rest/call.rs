//! One declared call: built, sent, judged.

use std::collections::BTreeMap;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};

use super::auth::{Auth, AuthSettings, token_call};
use super::context::{for_path, with};
use super::operation::{BodyTemplate, Method, Missing, Operation, Pick, Step, Success, Word};
use super::place::{Scene, each, fits, fits_any, pick, scalar};
use super::settings::{Answers, Settings};
use crate::catalog::{ConfigFile, Problem};
use crate::desk::common::secret;
use crate::http::client::{Body, ClientSettings};
use crate::http::verdict::by_status;
use crate::http::{Answer, Call, CallError, HttpClient};
use crate::plan::fill::{Fill, FillError};

/// A connection to one declared desk. `Debug` shows its name only.
pub(super) struct Wire {
    client: HttpClient,
    base: String,
    root: String,
    auth: Auth,
    auth_settings: AuthSettings,
    client_secret: Option<SecretString>,
    secrets: BTreeMap<String, SecretString>,
    account: Option<String>,
    headers: BTreeMap<String, String>,
    statuses: BTreeMap<String, Word>,
    errors: Vec<String>,
    answers: Answers,
    fill: Fill,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Wire({})", self.base)
    }
}

/// Whether repeating a call could matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It only reads: nothing about it is ever unclear.
    Read,
    /// It changes something.
    Write,
}

/// What came back.
#[derive(Debug)]
pub(super) enum Reply {
    /// A success.
    Here(Here),
    /// The ticket does not exist, or not for us.
    Gone,
}

/// A success: its answer and its JSON (null where there is none).
#[derive(Debug)]
pub(super) struct Here {
    pub(super) answer: Answer,
    pub(super) body: Value,
}

/// The parts that operations, steps and logins share.
struct Parts<'a> {
    method: Method,
    path: &'a str,
    query: &'a BTreeMap<String, String>,
    headers: &'a BTreeMap<String, String>,
    body: Option<&'a BodyTemplate>,
}

impl Wire {
    /// Builds the connection and resolves every secret.
    pub(super) fn build(name: &str, file: &ConfigFile, folder: &Path, settings: &Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let auth = Auth::build(&settings.auth, file, folder).map_err(|p| problems.push(p)).ok();
        let mut secrets = BTreeMap::new();
        for (label, reference) in &settings.secrets {
            match secret(file, folder, &["secrets", label], reference) {
                Ok(value) => drop(secrets.insert(label.clone(), value)),
                Err(problem) => problems.push(problem),
            }
        }
        let mut client_secret = None;
        if let AuthSettings::ClientCredentials { client_secret: reference, .. } = &settings.auth {
            match secret(file, folder, &["auth", "client_secret"], reference) {
                Ok(value) => client_secret = Some(value),
                Err(problem) => problems.push(problem),
            }
        }
        let client = client(name, file, folder, settings).map_err(|p| problems.push(p)).ok();
        match (auth, client) {
            (Some(auth), Some(client)) if problems.is_empty() => Ok(Self {
                client: {
                    secrets.values().chain(&client_secret).for_each(|s| auth.redaction().learn(s.clone()));
                    client
                },
                base: settings.url.trim_end_matches('/').to_owned(),
                root: format!("{}{}", settings.url.trim_end_matches('/'), settings.prefix.trim_end_matches('/')),
                auth,
                auth_settings: settings.auth.clone(),
                client_secret,
                secrets,
                account: settings.account.clone(),
                headers: settings.headers.clone(),
                statuses: settings.statuses.clone(),
                errors: settings.errors.clone(),
                answers: settings.answers,
                fill: Fill::default(),
            }),
            _ => Err(problems),
        }
    }

    /// The desk's configured name.
    pub(super) fn edge(&self) -> &str {
        self.client.edge()
    }

    /// Fills one text with the names that every call has and those of this one.
    pub(super) fn text(&self, template: &str, context: &Value) -> Result<String, FillError> {
        self.fill.text(template, &with(self.common(), context.clone()))
    }

    fn common(&self) -> Value {
        let secrets: Map<String, Value> = self.secrets.iter().map(|(n, v)| (n.clone(), json!(v.expose_secret()))).collect();
        json!({"base": self.base, "account": self.account, "secrets": secrets, "steps": {}})
    }

    /// Makes the calls before an operation; gives the context with what they captured.
    pub(super) async fn prepare(&self, steps: &[Step], context: Value) -> Result<Value, CallError> {
        let mut context = with(self.common(), context);
        for step in steps {
            match self.step(step, &context).await? {
                Some(found) => context["steps"][&step.name] = found,
                None => match step.when_missing {
                    Missing::Skip => {}
                    Missing::Group => {
                        let words = format!("step `{}`: {} does not know the admin group", step.name, self.edge());
                        return Err(CallError::reject("E-GROUP", words));
                    }
                    Missing::Refuse => {
                        let words = format!("step `{}` found nothing on {}", step.name, self.edge());
                        return Err(CallError::reject("E-SHAPE", words));
                    }
                },
            }
        }
        Ok(context)
    }

    async fn step(&self, step: &Step, context: &Value) -> Result<Option<Value>, CallError> {
        let none = BTreeMap::new();
        let parts = Parts { method: step.method, path: &step.path, query: &step.query, headers: &none, body: step.body.as_ref() };
        let conditions = self.conditions(&step.only, context).and_then(|o| Ok((o, self.conditions(&step.except, context)?)));
        let (call, (only, except)) = match (self.request(&parts, context), conditions) {
            (Ok(call), Ok(conditions)) => (call, conditions),
            // It needs what an earlier step did not find.
            _ if step.when_missing == Missing::Skip => return Ok(None),
            (Err(e), _) | (_, Err(e)) => return Err(unfilled(&e)),
        };
        let answer = self.send(call).await.map_err(CallError::of_a_read)?;
        let Reply::Here(here) = self.judge(answer, &none_declared(), Effect::Read)? else { return Ok(None) };
        let rows = rows_at(&here.body, step.at.as_deref().unwrap_or("")).unwrap_or_default();
        let mut fitting: Vec<&Value> = rows.into_iter().filter(|row| fits(row, &only) && !fits_any(row, &except)).collect();
        if step.pick == Pick::Only && fitting.len() > 1 {
            let words = format!("step `{}` found several on {} where one was meant", step.name, self.edge());
            return Err(CallError::reject(if step.when_missing == Missing::Group { "E-GROUP" } else { "E-SHAPE" }, words));
        }
        let row = if step.pick == Pick::Last { fitting.pop() } else { fitting.into_iter().next() };
        let Some(row) = row else { return Ok(None) };
        let scene = Scene { row, answer: Some(&here.answer) };
        let found: Map<String, Value> =
            step.capture.iter().filter_map(|(name, place)| Some((name.clone(), json!(place.text(scene)?)))).collect();
        Ok((!found.is_empty() || step.capture.is_empty()).then_some(Value::Object(found)))
    }

    fn conditions(
        &self,
        conditions: &BTreeMap<String, Vec<String>>,
        context: &Value,
    ) -> Result<BTreeMap<String, Vec<String>>, FillError> {
        let filled = |values: &[String]| values.iter().map(|v| self.fill.text(v, context)).collect::<Result<Vec<_>, _>>();
        conditions.iter().map(|(pointer, values)| Ok((pointer.clone(), filled(values)?))).collect()
    }

    /// Makes an operation's own call. `context` comes from [`Wire::prepare`].
    pub(super) async fn run(
        &self,
        operation: &Operation,
        context: &Value,
        effect: Effect,
        more: Map<String, Value>,
    ) -> Result<Reply, CallError> {
        let mut call = self.request(&parts_of(operation), context).map_err(|e| unfilled(&e))?;
        if let (Some(at), Body::Json(body)) = (&operation.fields_at, &mut call.body) {
            merge(body, at, more);
        }
        let answer = match effect {
            Effect::Read => self.send(call).await.map_err(CallError::of_a_read)?,
            Effect::Write => self.send(call).await?,
        };
        self.judge(answer, operation, effect)
    }

    /// An operation's own call as it would be made, without its secrets and without asking the desk anything: what the
    /// steps before it would capture, and secrets, stand in `<…>`.
    pub(super) fn preview(&self, operation: &Operation, context: Value, more: Map<String, Value>) -> Result<Call, CallError> {
        let mut context = with(self.common(), context);
        let hidden: Map<String, Value> =
            self.secrets.keys().map(|name| (name.clone(), json!(format!("<secret {name}>")))).collect();
        context["secrets"] = Value::Object(hidden);
        for step in &operation.before {
            let found = step.capture.keys().map(|name| (name.clone(), json!(format!("<{name} of step {}>", step.name))));
            context["steps"][&step.name] = Value::Object(found.collect());
        }
        let mut call = self.request(&parts_of(operation), &context).map_err(|e| unfilled(&e))?;
        if let (Some(at), Body::Json(body)) = (&operation.fields_at, &mut call.body) {
            merge(body, at, more);
        }
        Ok(call)
    }

    /// Reads an address that the desk gave us for its next page. It never leaves the desk: our credentials travel along.
    pub(super) async fn follow(&self, operation: &Operation, address: &str) -> Result<Reply, CallError> {
        let here = url::Url::parse(&self.root).and_then(|root| Ok((root.origin(), root.join(address)?)));
        let url = match here {
            Ok((origin, url)) if url.origin() == origin => url,
            _ => return Err(CallError::retry("E-SHAPE", format!("{} names a next page elsewhere", self.edge()))),
        };
        let mut call = Call::new("GET", url.to_string());
        call.headers.extend(self.headers.clone());
        let answer = self.send(call).await.map_err(CallError::of_a_read)?;
        self.judge(answer, operation, Effect::Read)
    }

    fn request(&self, parts: &Parts<'_>, context: &Value) -> Result<Call, FillError> {
        let path = self.fill.text(parts.path, &for_path(context))?;
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(FillError("a value in the path leads elsewhere".to_owned()));
        }
        let mut call = Call::new(parts.method.as_str(), format!("{}{path}", self.root));
        for (name, template) in parts.query {
            // A parameter that is exactly one name without a value is not asked for.
            if self.fill.json(&json!(template), context)? != Value::Null {
                call.query.push((name.clone(), self.fill.text(template, context)?));
            }
        }
        for (name, template) in self.headers.iter().chain(parts.headers) {
            call.headers.push((name.to_lowercase(), self.fill.text(template, context)?));
        }
        if self.answers == Answers::Json && !call.headers.iter().any(|(name, _)| name == "accept") {
            call.headers.push(("accept".to_owned(), "application/json".to_owned()));
        }
        let form = |form: &BTreeMap<String, String>| {
            form.iter().map(|(name, t)| Ok((name.clone(), self.fill.text(t, context)?))).collect::<Result<Vec<_>, FillError>>()
        };
        call.body = match parts.body {
            None => Body::Empty,
            Some(BodyTemplate::Json(json)) => Body::Json(self.fill.json(json, context)?),
            Some(BodyTemplate::Form(fields)) => Body::Form(form(fields)?),
            Some(BodyTemplate::FormJson { field, json, form: others }) => {
                let mut pairs = form(others)?;
                pairs.push((field.clone(), self.fill.json(json, context)?.to_string()));
                Body::Form(pairs)
            }
            Some(BodyTemplate::Text(text)) => Body::Raw("text/plain; charset=utf-8", self.fill.text(text, context)?.into_bytes()),
        };
        Ok(call)
    }

    fn login(&self) -> Result<Option<Call>, CallError> {
        if let Some(client_secret) = &self.client_secret {
            return Ok(token_call(&self.auth_settings, client_secret));
        }
        let AuthSettings::Login { method, path, headers, body, .. } = &self.auth_settings else { return Ok(None) };
        let query = BTreeMap::new();
        let parts = Parts { method: *method, path, query: &query, headers, body: body.as_ref() };
        self.request(&parts, &self.common()).map(Some).map_err(|e| unfilled(&e))
    }

    /// Sends with our credentials. A 401 had no effect: where a session can be opened anew, the call is made once more.
    async fn send(&self, call: Call) -> Result<Answer, CallError> {
        let mut second = false;
        loop {
            let ours = self.auth.headers(&self.client, self.login()?).await?;
            let mut call = call.clone();
            call.headers.extend(ours.iter().map(|(n, v)| (n.clone(), v.expose_secret().to_owned())));
            let answer = self.client.send(call).await?;
            if answer.status == 401 && !second && self.auth.forget(&ours).await {
                second = true;
                continue;
            }
            return Ok(answer);
        }
    }

    fn judge(&self, answer: Answer, operation: &Operation, effect: Effect) -> Result<Reply, CallError> {
        let verdict = self.verdict(answer, operation);
        if effect == Effect::Read { verdict.map_err(CallError::of_a_read) } else { verdict }
    }

    fn verdict(&self, answer: Answer, operation: &Operation) -> Result<Reply, CallError> {
        let status = answer.status;
        let said = status.to_string();
        let body = answer.json();
        let words = body.as_ref().map(|b| self.words(b)).unwrap_or_default();
        let plain = || by_status(status, answer.retry_after(), self.edge(), &words);
        let declared = operation.statuses.get(&said).or_else(|| self.statuses.get(&said)).copied();
        match declared {
            Some(Word::Done) => {}
            Some(Word::Gone) => return Ok(Reply::Gone),
            Some(Word::Retry) => {
                return Err(CallError::busy(plain().reason(), answer.retry_after()));
            }
            Some(Word::Unclear) => return Err(CallError::unclear("E-SERVER", plain().reason())),
            Some(Word::Reject) => return Err(CallError::reject("E-REFUSED", plain().reason())),
            Some(Word::Group) => return Err(CallError::reject("E-GROUP", plain().reason())),
            None if answer.is_success() => {}
            None if matches!(status, 404 | 410) && (body.is_some() || self.answers == Answers::Any) => return Ok(Reply::Gone),
            None if matches!(status, 404 | 410) => {
                return Err(CallError::retry("E-NOT-JSON", format!("{} answered {status} with a page", self.edge())));
            }
            None => return Err(plain()),
        }
        let body = match body {
            Some(body) => body,
            None if answer.body.is_empty() || self.answers == Answers::Any => Value::Null,
            None => {
                let words =
                    format!("{} answered {status} with something that is not JSON (asleep, or a login page)", self.edge());
                return Err(CallError::unclear("E-NOT-JSON", words));
            }
        };
        self.succeeded(&operation.success, &body, &words)?;
        Ok(Reply::Here(Here { answer, body }))
    }

    fn succeeded(&self, success: &Success, body: &Value, words: &str) -> Result<(), CallError> {
        let pointers = success.exists.iter().chain(success.equals.keys());
        if let Some(missing) = pointers.into_iter().find(|pointer| pick(body, pointer).is_empty()) {
            return Err(CallError::unclear("E-SHAPE", format!("{} answered without {missing}", self.edge())));
        }
        let same =
            |found: &Value, wanted: &Value| found == wanted || (scalar(found).is_some() && scalar(found) == scalar(wanted));
        match success.equals.iter().find(|(pointer, wanted)| !pick(body, pointer).iter().any(|found| same(found, wanted))) {
            None => Ok(()),
            Some(_) => {
                let words: String = words.chars().filter(|c| !c.is_control()).take(300).collect();
                Err(CallError::reject("E-REFUSED", format!("{} refused: {words}", self.edge())))
            }
        }
    }

    fn words(&self, body: &Value) -> String {
        let found = self.errors.iter().flat_map(|pointer| pick(body, pointer)).filter_map(scalar);
        self.auth.redaction().clean(&found.take(3).collect::<Vec<_>>().join("; "))
    }
}

/// The rows at a pointer: the items of a list, or the one object. `None`: nothing stands there.
pub(super) fn rows_at<'a>(body: &'a Value, pointer: &str) -> Option<Vec<&'a Value>> {
    let found: Vec<&Value> = pick(body, pointer).into_iter().filter(|v| !v.is_null()).collect();
    match found.as_slice() {
        [] if pointer.contains('*') => Some(Vec::new()),
        [] => None,
        [list @ Value::Array(_)] => Some(each(vec![list])),
        _ => Some(found),
    }
}

fn client(name: &str, file: &ConfigFile, folder: &Path, settings: &Settings) -> Result<HttpClient, Problem> {
    let keys = ["limits", "ca_file"];
    let pem = settings.limits.ca_file.as_ref().map(|path| std::fs::read(folder.join(path)));
    let ca_pem = pem.transpose().map_err(|e| file.problem(&keys, format!("the root certificate cannot be read: {e}"), None))?;
    let client = ClientSettings {
        edge: name.to_owned(),
        timeout: settings.limits.timeout.duration(),
        max_in_flight: settings.limits.max_in_flight,
        per_second: settings.limits.per_second,
        ca_pem,
    };
    HttpClient::new(client).map_err(|words| file.problem(&keys, words, None))
}

fn parts_of(operation: &Operation) -> Parts<'_> {
    Parts {
        method: operation.method,
        path: &operation.path,
        query: &operation.query,
        headers: &operation.headers,
        body: operation.body.as_ref(),
    }
}

fn none_declared() -> Operation {
    Operation::default()
}

fn unfilled(error: &FillError) -> CallError {
    CallError::reject("E-TEMPLATE", format!("the declaration of this desk cannot be filled: {error}"))
}

/// Further fields of the application; what the declaration sets is never overwritten.
fn merge(body: &mut Value, at: &str, more: Map<String, Value>) {
    if more.is_empty() {
        return;
    }
    let mut here = body;
    for name in at.split('/').skip(1) {
        let Value::Object(members) = here else { return };
        here = members.entry(name.to_owned()).or_insert_with(|| json!({}));
    }
    if let Value::Object(members) = here {
        for (name, value) in more {
            members.entry(name).or_insert(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_fields_never_touch_the_key() {
        let mut body = json!({"CustomFields": {"Key": "lm-1"}});
        let more = [("Key".to_owned(), json!("evil")), ("Cost".to_owned(), json!(3))].into_iter().collect();
        merge(&mut body, "/CustomFields", more);
        assert_eq!(body, json!({"CustomFields": {"Key": "lm-1", "Cost": 3}}));
    }

    #[test]
    fn an_absent_list_is_not_an_empty_one() {
        assert_eq!(rows_at(&json!({"items": []}), "/items"), Some(Vec::new()));
        assert_eq!(rows_at(&json!({"error": 1}), "/items"), None);
        assert_eq!(rows_at(&json!({"items": null}), "/items"), None);
        assert_eq!(rows_at(&json!({"id": 1}), "").unwrap().len(), 1);
        assert_eq!(rows_at(&json!({"objects": {"a": 1, "b": 2}}), "/objects/*").unwrap().len(), 2);
    }
}
