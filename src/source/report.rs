//! The outcome, and how far an order is, on their way back: one signed, templated call with a stable id.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::auth::{Auth, AuthSettings};
use super::outbox::Outbox;
use super::telling::Telling;
use crate::catalog::{SecretRef, Span};
use crate::http::client::{Body, ClientSettings};
use crate::http::signature::{check_signing, sign_standard};
use crate::http::verdict::by_status;
use crate::http::{Call, CallError, HttpClient};
use crate::model::Clock;
use crate::model::completion::Completion;
use crate::model::progress::Progress;
use crate::plan::fill::Fill;

/// What stays as it is inside an address.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `[report]`: the call that tells the platform an outcome. `{{…}}` takes parts of the completion: `id`,
/// `external_id`, `natural_key`, `operation`, `application`, `outcome`, `success`, `reason`, `words`, `closed_by.id`,
/// `closed_by.name`, `ticket`, `ticket_url`, `desk`, `evidence` (a list of `name` and `url`), `filed_at`, `started_at`,
/// `closed_at`, `seen_at`, and each time as text with `_iso` behind its name.
///
/// `[progress]`, of the same form: the call that tells how far an order is. `{{…}}` takes `id`, `external_id`,
/// `natural_key`, `operation`, `application`, `step` (`filed`, `in_work`, `waiting`, `reopened`), `words`, `ticket`,
/// `ticket_url`, `desk`, `admin_group`, `status`, `at`, `at_iso`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReportSettings {
    /// Address; values are percent-encoded.
    #[serde(default)]
    pub url: String,
    /// Instead of an address: a file that gets a row for each outcome (`.csv`, or `.jsonl`). A relative path starts at
    /// the configuration folder.
    #[serde(default)]
    pub file: Option<PathBuf>,
    /// Method.
    #[serde(default)]
    pub method: Method,
    /// Further headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// JSON body; a leaf that is exactly one `{{…}}` keeps the value's type. None: the whole completion.
    #[serde(default)]
    pub body: Option<Value>,
    /// Secret to sign with, after Standard Webhooks: `whsec_…` for v1, `whsk_…` (Ed25519) for v1a.
    #[serde(default)]
    pub signing: Option<SecretRef>,
    /// Credentials.
    #[serde(default)]
    pub auth: AuthSettings,
    /// Header that carries the report's stable id; `webhook-id` carries it too where the report is signed.
    #[serde(default = "id_header")]
    pub id_header: String,
    /// Statuses that mean "taken"; none given: every 2xx.
    #[serde(default)]
    pub success: Vec<u16>,
    /// Statuses that mean "I have had this already" (`[409]`).
    #[serde(default)]
    pub already: Vec<u16>,
    /// Address for a cheap GET that needs our credentials, for health checks.
    #[serde(default)]
    pub probe_url: Option<String>,
    /// Time-out of the call.
    #[serde(default = "timeout")]
    pub timeout: Span,
}

/// Method of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// POST.
    #[default]
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
}

impl Method {
    fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
        }
    }
}

fn id_header() -> String {
    "Idempotency-Key".to_owned()
}

fn timeout() -> Span {
    Span::secs(30)
}

impl ReportSettings {
    /// Nothing but the body is declared of the call.
    pub(super) fn only_body(&self) -> bool {
        let bare = Self { body: self.body.clone(), file: self.file.clone(), ..Self::default() };
        *self == bare
    }
}

impl Default for ReportSettings {
    fn default() -> Self {
        Self {
            url: String::new(),
            file: None,
            method: Method::default(),
            headers: BTreeMap::new(),
            body: None,
            signing: None,
            auth: AuthSettings::None,
            id_header: id_header(),
            success: Vec::new(),
            already: Vec::new(),
            probe_url: None,
            timeout: timeout(),
        }
    }
}

/// What is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// Outcomes.
    Outcome,
    /// How far orders are.
    Progress,
}

impl About {
    /// Columns of a file whose `body` declares none.
    pub(super) fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Outcome => &[
                "id",
                "external_id",
                "natural_key",
                "operation",
                "application",
                "outcome",
                "success",
                "reason",
                "words",
                "closed_by",
                "ticket",
                "ticket_url",
                "desk",
                "closed_at_iso",
                "seen_at_iso",
            ],
            Self::Progress => {
                &["id", "external_id", "natural_key", "operation", "application", "step", "ticket", "ticket_url", "at_iso"]
            }
        }
    }
}

/// Tells outcomes (or how far orders are), by a call or as rows of a file.
#[derive(Debug)]
pub struct Teller {
    /// What it uses, as templates name it; none: everything.
    uses: Option<String>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Call(Box<Reporter>),
    File(Box<Outbox>),
}

impl Teller {
    /// Resolves the secrets and tries the templates.
    ///
    /// # Errors
    /// The key at fault and words for people.
    pub fn new(
        edge: &str,
        settings: ReportSettings,
        about: About,
        folder: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, (&'static str, String)> {
        let columns = || about.columns().iter().map(|name| format!("{{{{{name}}}}}")).collect();
        let uses = settings.body.as_ref().map(Value::to_string).or_else(|| settings.file.is_some().then(columns));
        let way = match &settings.file {
            Some(path) => Way::File(Box::new(Outbox::new(edge, path, &settings, about, folder)?)),
            None => Way::Call(Box::new(Reporter::new(edge, settings, about, folder, clock)?)),
        };
        Ok(Self { uses, way })
    }

    /// Whether a member of the completion is told: all are, unless the body is declared and leaves it out.
    #[must_use]
    pub fn tells(&self, members: &[&str]) -> bool {
        // Whole, or a part of it: `{{closed_by.name}}`.
        let names = |text: &str, m: &str| text.contains(&format!("{{{{{m}}}}}")) || text.contains(&format!("{{{{{m}."));
        self.uses.as_ref().is_none_or(|text| members.iter().any(|m| names(text, m)))
    }

    /// Tells the outcome; safe to repeat.
    ///
    /// # Errors
    /// `Reject` when it is refused for good; else `Retry`.
    pub async fn report(&self, completion: &Completion) -> Result<(), CallError> {
        self.tell(&Telling::of(&completion.id, completion)).await
    }

    /// Tells how far an order is; safe to repeat.
    ///
    /// # Errors
    /// As of an outcome.
    pub async fn progress(&self, progress: &Progress) -> Result<(), CallError> {
        self.tell(&Telling::of(&progress.id, progress)).await
    }

    async fn tell(&self, telling: &Telling) -> Result<(), CallError> {
        match &self.way {
            Way::Call(reporter) => reporter.tell(telling).await,
            Way::File(outbox) => outbox.add(telling).await,
        }
    }

    /// Whether it could be told now, as far as that can be known without telling.
    ///
    /// # Errors
    /// As the call.
    pub async fn probe(&self) -> Result<(), CallError> {
        match &self.way {
            Way::Call(reporter) => reporter.probe().await,
            Way::File(outbox) => outbox.probe(),
        }
    }
}

/// Tells by a call.
#[derive(Debug)]
pub struct Reporter {
    settings: ReportSettings,
    signing: Option<SecretString>,
    auth: Auth,
    client: HttpClient,
    fill: Fill,
    clock: Arc<dyn Clock>,
}

impl Reporter {
    /// Resolves the secrets and tries the templates on made-up content.
    ///
    /// # Errors
    /// The key at fault and words for people.
    pub fn new(
        edge: &str,
        settings: ReportSettings,
        about: About,
        folder: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, (&'static str, String)> {
        let signing = settings.signing.as_ref().map(|s| s.resolve(folder)).transpose().map_err(|words| ("signing", words))?;
        if let Some(secret) = &signing {
            check_signing(secret).map_err(|refusal| ("signing", refusal.to_string()))?;
        }
        let auth = settings.auth.resolve(folder).map_err(|words| ("auth", words))?.timed_by(Arc::clone(&clock));
        let timeout = settings.timeout.duration().max(std::time::Duration::from_millis(1));
        let client = HttpClient::new(ClientSettings { timeout, ..ClientSettings::for_edge(edge) }).map_err(|w| ("url", w))?;
        let reporter = Self { settings, signing, auth, client, fill: Fill::default(), clock };
        for sample in about.samples() {
            reporter.url(&sample.context).map_err(|words| ("url", words))?;
            reporter.body(&sample).map_err(|words| ("body", words))?;
            reporter.headers(&sample.context).map_err(|words| ("headers", words))?;
        }
        Ok(reporter)
    }

    /// Tells. The id is the same in every repetition, so a call that may have happened is simply repeated.
    ///
    /// # Errors
    /// `Reject` when the platform refuses this report for good; else `Retry`.
    async fn tell(&self, telling: &Telling) -> Result<(), CallError> {
        let call = self.call(telling).map_err(|words| CallError::reject("E-CONFIG", words))?;
        let answer = self.auth.send(&self.client, call).await.map_err(CallError::of_a_read)?;
        let status = answer.status;
        let taken = if self.settings.success.is_empty() { answer.is_success() } else { self.settings.success.contains(&status) };
        if taken || self.settings.already.contains(&status) {
            return Ok(());
        }
        if answer.is_success() {
            // A 2xx that the declaration does not name is not known to be a yes.
            return Err(CallError::reject(
                "E-REFUSED",
                format!("{} answered {status}, which is not in `success`", self.client.edge()),
            ));
        }
        Err(by_status(status, answer.retry_after(), self.client.edge(), "").of_a_read())
    }

    /// Asks the declared address, where there is one.
    ///
    /// # Errors
    /// As the call.
    pub async fn probe(&self) -> Result<(), CallError> {
        let Some(url) = &self.settings.probe_url else { return Ok(()) };
        let answer = self.auth.send(&self.client, Call::new("GET", url)).await.map_err(CallError::of_a_read)?;
        if answer.is_success() {
            return Ok(());
        }
        Err(by_status(answer.status, answer.retry_after(), self.client.edge(), "").of_a_read())
    }

    fn call(&self, telling: &Telling) -> Result<Call, String> {
        let Telling { id, context, .. } = telling;
        let bytes = serde_json::to_vec(&self.body(telling)?).map_err(|e| e.to_string())?;
        let mut call = Call::new(self.settings.method.as_str(), self.url(context)?);
        call.headers.extend(self.headers(context)?);
        call = call.header(&self.settings.id_header, id);
        if let Some(secret) = &self.signing {
            let now = self.clock.now();
            let signature = sign_standard(secret, id, now, &bytes).map_err(|refusal| refusal.to_string())?;
            if !self.settings.id_header.eq_ignore_ascii_case("webhook-id") {
                call = call.header("webhook-id", id);
            }
            call = call.header("webhook-timestamp", now.0.div_euclid(1000).to_string()).header("webhook-signature", signature);
        }
        call.body = Body::Raw("application/json", bytes);
        Ok(call)
    }

    fn url(&self, context: &Value) -> Result<String, String> {
        let text = self.fill.text(&self.settings.url, &percent_encoded(context)).map_err(|e| e.to_string())?;
        let path = text.split(['?', '#']).next().unwrap_or_default();
        if path.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err("a value would change the path of the address".to_owned());
        }
        match url::Url::parse(&text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url.into()),
            _ => Err("the filled text is not an address; it starts with https:// or http://".to_owned()),
        }
    }

    fn body(&self, telling: &Telling) -> Result<Value, String> {
        match &self.settings.body {
            None => Ok(telling.whole.clone()),
            Some(template) => self.fill.json(template, &telling.context).map_err(|e| e.to_string()),
        }
    }

    fn headers(&self, context: &Value) -> Result<Vec<(String, String)>, String> {
        let filled = |(name, template): (&String, &String)| {
            let value = self.fill.text(template, context).map_err(|e| e.to_string())?;
            // A line break in a value would start another header.
            Ok((name.clone(), value.chars().filter(|c| !c.is_control()).collect()))
        };
        self.settings.headers.iter().map(filled).collect()
    }
}

fn percent_encoded(value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(utf8_percent_encode(text, UNRESERVED).to_string()),
        Value::Array(items) => Value::Array(items.iter().map(percent_encoded).collect()),
        Value::Object(members) => Value::Object(members.iter().map(|(k, v)| (k.clone(), percent_encoded(v))).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::telling::sample;
    use super::*;
    use crate::model::clock::FakeClock;
    use crate::model::{Person, Timestamp};

    fn reporter(text: &str) -> Result<Reporter, (&'static str, String)> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=").unwrap();
        let clock = Arc::new(FakeClock::at(Timestamp(1_764_000_000_000)));
        Reporter::new("iga", toml::from_str(text).unwrap(), About::Outcome, folder.path(), clock)
    }

    #[test]
    fn the_call_is_filled_signed_and_named() {
        let reporter = reporter(
            r#"
            url = "https://iga.example/orders/{{external_id}}/result?by={{desk}}"
            signing = { file = "key" }
            headers = { "X-Outcome" = "{{outcome}}" }
            body = { ok = "{{success}}", note = "{{words}} ({{ticket}})", why = "{{reason}}" }
            "#,
        )
        .unwrap();
        let completion = Completion {
            external_id: "a/b c".to_owned(),
            words: Some("line \"one\"\nline two".to_owned()),
            reason: None,
            ..sample(true)
        };
        let call = reporter.call(&Telling::of(&completion.id, &completion)).unwrap();
        assert_eq!(call.url, "https://iga.example/orders/a%2Fb%20c/result?by=desk");
        let header = |name: &str| call.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
        assert_eq!(header("X-Outcome"), Some("fulfilled"));
        assert_eq!(header("Idempotency-Key"), Some("sample"));
        assert_eq!(header("webhook-id"), Some("sample"));
        assert_eq!(header("webhook-timestamp"), Some("1764000000"));
        let Body::Raw(_, bytes) = &call.body else { panic!("no raw body") };
        let body: Value = serde_json::from_slice(bytes).unwrap();
        assert_eq!(body, json!({"ok": true, "note": "line \"one\"\nline two (T-1)"}));
        let key = SecretString::from("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
        let expected = sign_standard(&key, "sample", Timestamp(1_764_000_000_000), bytes).unwrap();
        assert_eq!(header("webhook-signature"), Some(expected.as_str()));
    }

    #[test]
    fn who_closed_it_and_what_lies_with_it_are_told_as_far_as_they_are_known() {
        let reporter = reporter(
            "url = \"https://iga.example\"\nbody = { by = \"{{closed_by.name}}\", id = \"{{closed_by.id}}\", files = \"{{evidence}}\" }",
        )
        .unwrap();
        let body = |completion: &Completion| reporter.body(&Telling::of("r", completion)).unwrap();
        let full = sample(true);
        let files = json!([{"name": "file", "url": "https://desk.example/file"}]);
        assert_eq!(body(&full), json!({"by": "Closer", "id": "closer", "files": files}));
        let nameless = Some(Person { id: "c".to_owned(), name: None, email: None });
        assert_eq!(body(&Completion { closed_by: nameless, ..full }), json!({"id": "c", "files": files}));
        assert_eq!(body(&sample(false)), json!({"files": []}));
    }

    #[test]
    fn a_value_cannot_walk_out_of_its_path() {
        let reporter = reporter("url = \"https://iga.example/orders/{{external_id}}/result\"").unwrap();
        let completion = Completion { external_id: "..".to_owned(), ..sample(true) };
        assert!(reporter.call(&Telling::of(&completion.id, &completion)).unwrap_err().contains("path"));
    }

    #[test]
    fn templates_are_tried_at_start() {
        let key = |text: &str| reporter(text).unwrap_err().0;
        assert_eq!(key("url = \"https://iga.example/{{order}}\""), "url");
        assert_eq!(key("url = \"iga.example\""), "url");
        assert_eq!(key("url = \"https://iga.example\"\nbody = { a = \"{{outcom}}\" }"), "body");
        assert_eq!(key("url = \"https://iga.example\"\nsigning = { file = \"none\" }"), "signing");
    }
}
