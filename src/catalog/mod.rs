//! Configuration: loaded whole, cross-checked, refused with file, line and suggestion.

pub mod access;
pub mod application;
pub mod builtin;
pub mod calendar;
mod check;
pub mod file;
pub mod group;
mod ics;
pub mod load;
pub mod mail;
pub mod main_file;
pub mod schedule;
pub mod scheduled;
pub mod schema;
pub mod scheme;
pub mod secret;
pub mod span;
pub mod target;

use std::collections::BTreeMap;

use crate::model::Operation;

pub use application::{Application, Filing, Route, Rule};
pub use calendar::Calendar;
pub use file::{ConfigFile, Problem, Problems};
pub use group::AdminGroup;
pub use mail::{MailSecurity, MailSettings};
pub use main_file::{MainFile, TlsSettings};
pub use scheduled::{Content, ReportHook, ReportPeriod, ScheduledReport};
pub use secret::SecretRef;
pub use span::Span;
pub use target::{ClockKind, Target, Targets};

/// The checked configuration as one value: swapped whole on SIGHUP, never half.
#[derive(Debug, Clone)]
pub struct Catalog {
    /// First 12 hex characters of the digest over all files that decide tickets; stamped on tickets and journal.
    pub version: String,
    /// `lastmile.toml`.
    pub main: MainFile,
    /// The same as a file, where it was read: for naming lines.
    pub main_file: Option<ConfigFile>,
    /// `applications/*.toml` by application id.
    pub applications: BTreeMap<String, Application>,
    /// The same as files, by application id: for naming lines.
    pub application_files: BTreeMap<String, ConfigFile>,
    /// `admin-groups.toml` by name.
    pub admin_groups: BTreeMap<String, AdminGroup>,
    /// `calendars/*.toml` by name (the file's stem).
    pub calendars: BTreeMap<String, Calendar>,
    /// `desks/*.toml` by name (the file's stem); each adapter parses its own settings.
    pub desks: BTreeMap<String, EdgeFile>,
    /// `sources/*.toml` by name.
    pub sources: BTreeMap<String, EdgeFile>,
    /// Ticket templates by name: built-in ones, overridden by `templates/tickets/*.hbs` beside the configuration.
    pub templates: BTreeMap<String, TemplateSource>,
    /// Partials by name, likewise.
    pub partials: BTreeMap<String, String>,
    /// The folder everything was read from.
    pub folder: std::path::PathBuf,
}

impl Catalog {
    /// The calendar an admin group works by: its own, else the default one.
    #[must_use]
    pub fn calendar_of(&self, admin_group: &str) -> Option<&Calendar> {
        let own = self.admin_groups.get(admin_group).and_then(|group| group.calendar.as_ref());
        self.calendars.get(own.or(self.main.defaults.calendar.as_ref())?)
    }

    /// The target of an operation on an application: its own, else the default one.
    #[must_use]
    pub fn target_of(&self, application: &str, operation: Operation) -> Option<Target> {
        let own = self.applications.get(application).and_then(|a| a.targets.of(operation));
        own.or_else(|| self.main.defaults.targets.of(operation))
    }
}

/// A desk's or source's file: its kind is known here, its settings only to its adapter.
#[derive(Debug, Clone)]
pub struct EdgeFile {
    /// `kind = "…"`.
    pub kind: String,
    /// The file, for the adapter to parse and to name lines in.
    pub file: ConfigFile,
}

/// A ticket template's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateSource {
    /// Where it came from, for messages: `templates/tickets/default.hbs (built in)`.
    pub origin: String,
    /// Its text.
    pub text: String,
    /// First 12 hex characters of its digest.
    pub version: String,
}
