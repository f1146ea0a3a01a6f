//! Two clocks: elapsed time, and the working time of the admin group's calendar.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::catalog::{Calendar, Catalog, ClockKind, Target};
use crate::model::key::stable_id;
use crate::model::{Operation, Timestamp};
use crate::plan::business::Working;

/// One duration by both clocks, milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct Both {
    /// All of the time.
    pub elapsed_ms: i64,
    /// Working time of the admin group's calendar; none where it has no calendar.
    pub business_ms: Option<i64>,
}

impl Both {
    /// By the clock of a target.
    #[must_use]
    pub fn by(self, clock: ClockKind) -> Option<i64> {
        match clock {
            ClockKind::Elapsed => Some(self.elapsed_ms),
            ClockKind::Business => self.business_ms,
        }
    }

    /// Less a part of it.
    #[must_use]
    pub fn less(self, part: Self) -> Self {
        Self {
            elapsed_ms: (self.elapsed_ms - part.elapsed_ms).max(0),
            business_ms: self.business_ms.map(|ms| (ms - part.business_ms.unwrap_or(0)).max(0)),
        }
    }
}

/// The calendar that counted, so that a figure can be told from one made with another version of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct CalendarStamp {
    /// Its name.
    #[serde(rename = "name")]
    pub name: String,
    /// Digest of what it means.
    pub version: String,
    /// Its time zone.
    pub zone: String,
}

impl From<&Calendar> for CalendarStamp {
    fn from(calendar: &Calendar) -> Self {
        Self { name: calendar.name.clone(), version: calendar.version.clone(), zone: calendar.zone.name().to_owned() }
    }
}

/// Every calendar laid out once over a stretch of time, for many durations within it.
#[derive(Debug)]
pub struct Clocks<'a> {
    catalog: &'a Catalog,
    /// By version: of today's and of those that counted before.
    working: BTreeMap<String, Working>,
}

impl<'a> Clocks<'a> {
    /// For durations between these instants.
    #[must_use]
    pub fn over(catalog: &'a Catalog, from: Timestamp, to: Timestamp) -> Self {
        Self::with(catalog, &BTreeMap::new(), from, to)
    }

    /// The same, with calendars of before by their versions.
    #[must_use]
    pub fn with(catalog: &'a Catalog, kept: &BTreeMap<String, Calendar>, from: Timestamp, to: Timestamp) -> Self {
        let all = kept.values().chain(catalog.calendars.values());
        Self { catalog, working: all.map(|c| (c.version.clone(), Working::over(c, from, to))).collect() }
    }

    /// From one instant to another, by both clocks; an end before its start is no time at all.
    #[must_use]
    pub fn both(&self, admin_group: &str, from: Timestamp, to: Timestamp) -> Both {
        self.by_version(self.catalog.calendar_of(admin_group).map(|c| c.version.as_str()), from, to)
    }

    /// The same by the calendar of a version; no working time where there is none such.
    #[must_use]
    pub fn by_version(&self, version: Option<&str>, from: Timestamp, to: Timestamp) -> Both {
        let working = version.and_then(|v| self.working.get(v));
        Both { elapsed_ms: to.ms_since(from).max(0), business_ms: working.map(|w| w.between(from, to)) }
    }
}

/// The target of a stored operation.
#[must_use]
pub fn target_of(catalog: &Catalog, application: &str, operation: &str) -> Option<Target> {
    catalog.target_of(application, Operation::parse(operation)?)
}

/// Digest of everything in the configuration that an open case is measured with: calendars, who works by which, targets.
#[must_use]
pub fn config_digest(catalog: &Catalog) -> String {
    let mut parts = vec![format!("{:?} {:?}", catalog.main.defaults.calendar, catalog.main.defaults.targets)];
    parts.extend(catalog.calendars.values().map(|c| format!("{} {}", c.name, c.version)));
    parts.extend(catalog.admin_groups.iter().map(|(name, group)| format!("{name} {:?}", group.calendar)));
    parts.extend(catalog.applications.iter().map(|(id, app)| format!("{id} {:?}", app.targets)));
    stable_id(&parts.iter().map(String::as_str).collect::<Vec<_>>())
}
