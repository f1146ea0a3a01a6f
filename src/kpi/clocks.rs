//! Two clocks: elapsed time, and the working time of the admin group's calendar.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::catalog::{Calendar, Catalog, ClockKind, Target};
use crate::model::{Operation, Timestamp};
use crate::plan::business::{self, Working};

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
}

/// The calendar that counted, so that a figure can be told from one made with another version of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CalendarStamp {
    /// Its name.
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
    working: BTreeMap<&'a str, Working>,
}

impl<'a> Clocks<'a> {
    /// For durations between these instants.
    #[must_use]
    pub fn over(catalog: &'a Catalog, from: Timestamp, to: Timestamp) -> Self {
        let lay = |(name, calendar): (&'a String, &'a Calendar)| (name.as_str(), Working::over(calendar, from, to));
        Self { catalog, working: catalog.calendars.iter().map(lay).collect() }
    }

    /// From one instant to another, by both clocks; an end before its start is no time at all.
    #[must_use]
    pub fn both(&self, admin_group: &str, from: Timestamp, to: Timestamp) -> Both {
        let working = self.catalog.calendar_of(admin_group).and_then(|c| self.working.get(c.name.as_str()));
        Both { elapsed_ms: to.ms_since(from).max(0), business_ms: working.map(|w| w.between(from, to)) }
    }
}

/// By when the target wants it closed; none without target, or where the group's calendar has not so much time.
#[must_use]
pub fn due_by(catalog: &Catalog, admin_group: &str, target: Option<Target>, eligible: Option<Timestamp>) -> Option<Timestamp> {
    let (target, eligible) = (target?, eligible?);
    match target.clock {
        ClockKind::Elapsed => Some(eligible.plus_ms(target.within.ms())),
        ClockKind::Business => business::after(catalog.calendar_of(admin_group)?, eligible, target.within.ms()),
    }
}

/// The target of a stored operation.
#[must_use]
pub fn target_of(catalog: &Catalog, application: &str, operation: &str) -> Option<Target> {
    let operation = Operation::ALL.into_iter().find(|o| o.as_str() == operation)?;
    catalog.target_of(application, operation)
}
