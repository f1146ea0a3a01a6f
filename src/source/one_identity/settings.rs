//! A file of `sources/` with `kind = "one_identity"`.

use std::path::Path;

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::session::Server;
use crate::catalog::{SecretRef, Span};
use crate::http::HttpClient;
use crate::http::client::ClientSettings;
use crate::source::native::HintSettings;
use crate::source::web_address;

/// The file. Exactly one of `approval`, `queue` and `assignments` says how lastmile works with the platform.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OneIdentityFile {
    /// `one_identity`.
    #[serde(rename = "kind")]
    pub(super) _kind: String,
    /// A span (`"30s"`) or five cron fields in UTC.
    #[serde(default = "schedule")]
    pub(super) schedule: String,
    /// The application server's REST API.
    pub(super) application_server: Option<ServerSettings>,
    /// The API server.
    pub(super) api_server: Option<ServerSettings>,
    /// As the last approval step.
    pub(super) approval: Option<ApprovalSettings>,
    /// As target system: the manual provisioning queue.
    pub(super) queue: Option<QueueSettings>,
    /// As target system: an assignment table.
    pub(super) assignments: Option<AssignmentsSettings>,
    /// A message of the platform says that there is news.
    pub(super) webhook: Option<HintSettings>,
    /// Objects to read beside each row, instead of the built-in ones.
    pub(super) joins: Option<Vec<Join>>,
    /// Fields of the mapping that differ from the built-in ones.
    #[serde(default)]
    #[schemars(with = "std::collections::BTreeMap<String, Value>")]
    pub(super) mapping: toml::Table,
}

fn schedule() -> String {
    "1m".to_owned()
}

/// One of the platform's servers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ServerSettings {
    /// `https://idm.example.com/AppServer` or `https://idm.example.com/ApiServer`, without what follows.
    pub(super) url: String,
    /// System user.
    pub(super) user: String,
    pub(super) password: SecretRef,
    /// Authentication module.
    #[serde(default = "module")]
    pub(super) module: String,
    /// Application of the API server to log in to.
    #[serde(default = "app")]
    pub(super) app: String,
    /// The API server checks a token against forged requests; off where it was told not to.
    #[serde(default = "yes")]
    pub(super) xsrf: bool,
    /// `imx-version` header, where the API server wants one.
    pub(super) version: Option<String>,
    #[serde(default = "timeout")]
    pub(super) timeout: Span,
    /// Calls at the same time.
    #[serde(default = "in_flight")]
    pub(super) max_in_flight: usize,
}

fn module() -> String {
    "DialogUser".to_owned()
}

fn app() -> String {
    "opsupport".to_owned()
}

fn yes() -> bool {
    true
}

fn timeout() -> Span {
    Span::secs(30)
}

fn in_flight() -> usize {
    4
}

/// Which of the two servers, and what only it needs.
#[derive(Debug, Clone)]
pub(super) enum ServerKind {
    Application,
    Api { app: String, xsrf: bool, version: Option<String> },
}

/// Who we are there. `Debug` shows no password.
#[derive(Debug, Clone)]
pub(super) struct Login {
    pub(super) module: String,
    pub(super) user: String,
    password: SecretString,
}

impl Login {
    /// `Module=…;User=…;Password=…`, as the application server's documentation writes it.
    pub(super) fn auth_string(&self) -> String {
        format!("Module={};User={};Password={}", self.module, self.user, self.password.expose_secret())
    }

    /// The same as the map that the API server takes.
    pub(super) fn key_values(&self) -> Value {
        json!({"Module": self.module, "User": self.user, "Password": self.password.expose_secret()})
    }
}

/// A key of the file and what is wrong with it.
pub(super) type Wrong = (&'static str, String);

impl ServerSettings {
    pub(super) fn open(&self, edge: &str, application: bool, folder: &Path) -> Result<Server, Wrong> {
        let base = web_address(&self.url).map_err(|words| ("url", words))?;
        let password = self.password.resolve(folder).map_err(|words| ("password", words))?;
        if application && (password.expose_secret().contains(';') || self.user.contains(';')) {
            let words = "the platform separates the parts of a login by `;`: user and password cannot hold one";
            return Err(("password", words.to_owned()));
        }
        let kind = if application {
            ServerKind::Application
        } else {
            ServerKind::Api { app: self.app.clone(), xsrf: self.xsrf, version: self.version.clone() }
        };
        let timeout = self.timeout.duration().max(std::time::Duration::from_millis(1));
        let settings = ClientSettings { timeout, max_in_flight: self.max_in_flight.max(1), ..ClientSettings::for_edge(edge) };
        let client = HttpClient::new(settings).map_err(|words| ("url", words))?;
        Ok(Server::new(client, base, kind, Login { module: self.module.clone(), user: self.user.clone(), password }))
    }
}

/// Requests that wait at the step "approvals to be made externally".
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ApprovalSettings {
    pub(super) table: String,
    /// Its key.
    pub(super) key: String,
    /// Where the request's state stands.
    pub(super) state: String,
    /// Which requests wait for us; SQL as the platform takes it.
    #[serde(rename = "where")]
    pub(super) condition: String,
    /// Rows of a page.
    pub(super) page: usize,
    /// States of a request that was taken back or refused.
    pub(super) taken_back: Vec<String>,
    /// States of a request that is still in its workflow.
    pub(super) in_workflow: Vec<String>,
    pub(super) history: HistorySettings,
    pub(super) decide: DecideSettings,
    /// How the request shows how far it is; none: that is shown here only.
    pub(super) progress: Option<ProgressSettings>,
}

/// Exactly one of `column` and `event`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ProgressSettings {
    /// Column of the request that gets the words (`OrderDetail1`): only the newest step stands there.
    pub(super) column: Option<String>,
    /// Event of the request that a process of the platform answers.
    pub(super) event: Option<String>,
    /// Longest text of the column, in characters.
    #[serde(default = "column_limit")]
    pub(super) limit: usize,
}

fn column_limit() -> usize {
    100
}

impl Default for ApprovalSettings {
    fn default() -> Self {
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect();
        Self {
            table: "PersonWantsOrg".to_owned(),
            key: "UID_PersonWantsOrg".to_owned(),
            state: "OrderState".to_owned(),
            condition: super::defaults::WAITING_AT_EX.to_owned(),
            page: 200,
            taken_back: words(&["Aborted", "Canceled", "Dismissed"]),
            in_workflow: words(&["OrderProduct", "OrderProlongate", "OrderUnsubscribe"]),
            history: HistorySettings::default(),
            decide: DecideSettings::default(),
            progress: None,
        }
    }
}

/// Where the decisions of a request are kept.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct HistorySettings {
    /// Off: no times of approval, and a request that comes by a second time is not told from the first.
    pub(super) read: bool,
    pub(super) table: String,
    pub(super) request: String,
    pub(super) kind: String,
    pub(super) at: String,
    pub(super) by: String,
    pub(super) by_name: String,
    pub(super) reason: String,
    /// Kinds of an entry that begin a pass through the workflow.
    pub(super) ordered: Vec<String>,
    pub(super) granted: Vec<String>,
    pub(super) denied: Vec<String>,
}

impl Default for HistorySettings {
    fn default() -> Self {
        let words = |list: &[&str]| list.iter().map(|w| (*w).to_owned()).collect();
        Self {
            read: true,
            table: "PWODecisionHistory".to_owned(),
            request: "UID_PersonWantsOrg".to_owned(),
            kind: "DecisionType".to_owned(),
            at: "DateHead".to_owned(),
            by: "UID_PersonHead".to_owned(),
            by_name: "DisplayPersonHead".to_owned(),
            reason: "ReasonHead".to_owned(),
            ordered: words(&["Order", "Prolongate", "Unsubscribe"]),
            granted: words(&["Grant"]),
            denied: words(&["Dismiss"]),
        }
    }
}

/// How a decision is given.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DecideSettings {
    pub(super) by: DecideBy,
    /// Method of the request that decides.
    pub(super) method: String,
    /// Event of the request that a process of the platform answers by deciding.
    pub(super) event: String,
    /// In whose name: the platform's documentation demands `sa` for external approvals.
    pub(super) actor: String,
    /// Key of a standard reason.
    pub(super) standard_reason: String,
    /// `PWODecisionStep.SubLevelNumber` of the step.
    pub(super) sub_level: i64,
    /// Longest reason the platform takes, in characters.
    pub(super) reason_limit: usize,
    /// How long the platform may take until the request shows the decision; then it is told again.
    pub(super) within: Span,
}

/// See [`DecideSettings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum DecideBy {
    Method,
    Event,
}

impl Default for DecideSettings {
    fn default() -> Self {
        Self {
            by: DecideBy::Method,
            method: "MakeDecision".to_owned(),
            event: "LASTMILE_DECIDE".to_owned(),
            actor: "sa".to_owned(),
            standard_reason: String::new(),
            sub_level: 0,
            reason_limit: 400,
            within: Span::secs(600),
        }
    }
}

/// Pending changes of target systems without a connector.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct QueueSettings {
    /// Only these target systems (`UID_UCIRoot`); none: all.
    pub(super) roots: Vec<String>,
    pub(super) page: usize,
    /// How long the platform may still be at work on an answer that broke off.
    pub(super) within: Span,
}

impl Default for QueueSettings {
    fn default() -> Self {
        Self { roots: Vec::new(), page: 100, within: Span::secs(120) }
    }
}

/// A table of assignments.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AssignmentsSettings {
    /// `ADSAccountInADSGroup`.
    pub(super) table: String,
    /// A column that differs for every row.
    #[serde(default = "object_key")]
    pub(super) key: String,
    /// Which rows count as assigned.
    #[serde(default = "in_effect", rename = "where")]
    pub(super) condition: String,
    /// When a row began to stand; the latest of these tells a row that comes back from the one before.
    #[serde(default = "stamps")]
    pub(super) dates: Vec<String>,
    #[serde(default = "page")]
    pub(super) page: usize,
    /// More rows gone in one round are not believed.
    #[serde(default = "max_removals")]
    pub(super) max_removals: usize,
    /// An event that tells the outcome to the platform.
    pub(super) report: Option<ReportEvent>,
    /// An event of the same object that tells how far an order is; none: that is shown here only.
    pub(super) progress: Option<String>,
}

fn object_key() -> String {
    "XObjectKey".to_owned()
}

fn in_effect() -> String {
    "XOrigin > 0 and XIsInEffect = 1".to_owned()
}

fn stamps() -> Vec<String> {
    ["XDateInserted", "XDateUpdated"].map(str::to_owned).to_vec()
}

fn page() -> usize {
    500
}

fn max_removals() -> usize {
    100
}

/// An event on an object that outlives the assignment.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReportEvent {
    pub(super) event: String,
    /// Which part of the assignment's key is the object's key, from 0.
    #[serde(default)]
    pub(super) key: usize,
    /// The object's table.
    pub(super) table: String,
}

/// An object to read beside each row.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Join {
    /// Where its key stands: `/values/UID_PersonOrdered`, or below an earlier join.
    pub(super) at: String,
    pub(super) table: String,
    /// Its key; `UID_` and the table's name where it is not given.
    pub(super) key: Option<String>,
    /// Under which name it is put into the document.
    #[serde(rename = "as")]
    pub(super) name: String,
}

impl Join {
    pub(super) fn key(&self) -> String {
        self.key.clone().unwrap_or_else(|| format!("UID_{}", self.table))
    }
}
