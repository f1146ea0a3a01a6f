//! `lastmile.toml`. The shipped file shows every key with its default.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::application::Filing;
use super::mail::MailSettings;
use super::schedule::Schedule;
use super::scheduled::ScheduledReport;
use super::secret::SecretRef;
use super::span::Span;
use super::target::Targets;
use crate::model::retry::RetrySchedule;

/// The main configuration file.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MainFile {
    /// This installation.
    pub instance: Instance,
    /// Where pages, API and hooks are served.
    pub server: Server,
    /// The durable record.
    pub ledger: LedgerSettings,
    /// What holds for every application that does not say otherwise.
    pub defaults: Defaults,
    /// How stages run.
    pub work: Work,
    /// Waiting between attempts.
    pub retry: Retry,
    /// Who may see and do what.
    pub access: Access,
    /// What is kept how long.
    pub retention: Retention,
    /// What figures may show.
    pub kpi: Kpi,
    /// How reports are sent by e-mail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mail: Option<MailSettings>,
    /// Reports sent by a schedule.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reports: Vec<ScheduledReport>,
}

/// What figures may show.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Kpi {
    /// Admin groups of which fewer people closed tickets in a period appear in its figures only together with others.
    pub smallest_group: i64,
}

impl Default for Kpi {
    fn default() -> Self {
        Self { smallest_group: 1 }
    }
}

/// This installation.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Instance {
    /// Part of every correlation key: two installations on one desk must differ. `[a-z0-9-]`.
    pub name: String,
}

impl Default for Instance {
    fn default() -> Self {
        Self { name: "lastmile".to_owned() }
    }
}

/// Where pages, API and hooks are served.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// Address and port. Beyond loopback only with access configured.
    pub listen: String,
    /// Address under which people and platforms reach it, where that differs.
    pub public_url: Option<String>,
    /// Largest accepted hook body, bytes.
    pub max_body_bytes: usize,
    /// A second listener, with TLS of our own; needed for client certificates.
    pub tls: Option<TlsSettings>,
}

/// The listener with TLS. Its files are read again on SIGHUP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// Address and port.
    pub listen: String,
    /// Certificate chain, PEM, our own first. A relative path starts at the configuration folder.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: SecretRef,
    /// Authorities whose client certificates are verified, PEM; none: clients are asked for none. Which certificate
    /// opens a source is said in the source's file.
    #[serde(default)]
    pub client_ca: Option<PathBuf>,
}

impl Default for Server {
    fn default() -> Self {
        Self { listen: "127.0.0.1:8480".to_owned(), public_url: None, max_body_bytes: 1_048_576, tls: None }
    }
}

/// The durable record.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerSettings {
    /// `sqlite:` and a path; a relative one starts at the working folder. Or `postgres://user@host:5432/database`, for
    /// several replicas; a primary and its standbys as `postgres://user@a:5432,b:5432/database`.
    pub url: String,
    /// The password at a PostgreSQL server, where it asks for one.
    pub password: Option<SecretRef>,
}

impl Default for LedgerSettings {
    fn default() -> Self {
        Self { url: "sqlite:lastmile.db".to_owned(), password: None }
    }
}

/// What holds for every application that does not say otherwise.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Defaults {
    /// The desk tickets go to; with exactly one desk it need not be named.
    pub desk: Option<String>,
    /// Name of the admin group by convention; `{{application.id}}` and the other fields of an assignment may be used.
    pub admin_group: String,
    /// Gets what no rule or convention places, and tickets whose group the desk does not know.
    pub fallback_admin_group: Option<String>,
    /// Ticket template.
    pub template: String,
    /// When tickets of future-dated assignments are filed.
    pub filing: Filing,
    /// How long before `valid_from` the admin group wants to know (with `filing = "lead_time"`).
    pub lead_time: Span,
    /// Attributes that ticket templates may show (`{{attributes.NAME}}`); no other ever reaches a ticket's text.
    pub template_attributes: Vec<String>,
    /// The calendar of admin groups that name none: a file in `calendars/`.
    pub calendar: Option<String>,
    /// How long admins may take, by operation.
    pub targets: Targets,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            desk: None,
            admin_group: "{{application.id}}-admins".to_owned(),
            fallback_admin_group: None,
            template: "default".to_owned(),
            filing: Filing::LeadTime,
            lead_time: Span::secs(3 * 86_400),
            template_attributes: Vec::new(),
            calendar: None,
            targets: Targets::default(),
        }
    }
}

/// How stages run.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Work {
    /// How often each desk is asked what changed.
    pub sync_every: Span,
    /// Every open ticket is looked at once in this span, whatever the desk says has changed.
    pub full_pass: Span,
    /// How long a call may be held before another worker may take it over; must exceed every desk's time-out.
    pub lease: Span,
    /// How often the sweeper looks for keys with more than one ticket.
    pub sweep_every: Span,
    /// When platform, ledger and desks are compared as a whole (UTC); `"never"`: only when somebody asks for it.
    #[serde(with = "sometimes")]
    #[schemars(with = "String")]
    pub reconcile: Option<Schedule>,
    /// After this long a waiting assignment counts as one priority step more urgent.
    pub age_step: Span,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            sync_every: Span::secs(30),
            full_pass: Span::secs(6 * 3600),
            lease: Span::secs(120),
            sweep_every: Span::secs(3600),
            reconcile: "0 3 * * *".parse().ok(),
            age_step: Span::secs(4 * 3600),
        }
    }
}

/// A schedule, or `"never"`.
mod sometimes {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Schedule;

    const NEVER: &str = "never";

    pub(super) fn serialize<S: Serializer>(value: &Option<Schedule>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(value.as_ref().map_or(NEVER, Schedule::as_str))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Schedule>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == NEVER {
            return Ok(None);
        }
        text.parse().map(Some).map_err(serde::de::Error::custom)
    }
}

/// Waiting between attempts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retry {
    /// After the first failure.
    pub first: Span,
    /// Each further wait is this much longer.
    pub factor: f64,
    /// No wait is longer.
    pub max: Span,
}

impl Default for Retry {
    fn default() -> Self {
        Self { first: Span::secs(2), factor: 2.0, max: Span::secs(900) }
    }
}

impl Retry {
    /// As the pure schedule.
    #[must_use]
    pub fn schedule(&self) -> RetrySchedule {
        RetrySchedule { first_ms: self.first.ms(), factor: self.factor, max_ms: self.max.ms() }
    }
}

/// What is kept how long.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Bodies of accepted events (their ids and digests are kept for ever). At least 7 days: senders retry for three.
    pub inbox: Span,
    /// Names, e-mail addresses and free text of finished assignments.
    pub persons: Span,
}

impl Default for Retention {
    fn default() -> Self {
        Self { inbox: Span::secs(14 * 86_400), persons: Span::secs(730 * 86_400) }
    }
}
