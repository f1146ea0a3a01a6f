//! `admin-groups.toml`: who fulfils.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An admin group: the people who carry out an application's tickets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdminGroup {
    /// The desk it is on; the application's desk where it is not given.
    pub desk: Option<String>,
    /// The desk's own name for it (assignment group, component, queue …); this group's name where it is not given.
    pub name: Option<String>,
    /// The calendar it works by, a file in `calendars/`; that of `[defaults]` where it is not given.
    pub calendar: Option<String>,
    /// How many people it has, for `[kpi] smallest_group`; counted only while its desk does not say who closed a ticket.
    pub people: Option<i64>,
}
