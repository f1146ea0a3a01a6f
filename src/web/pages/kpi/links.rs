//! Addresses that keep the filter they are reached from.

use super::super::address;
use crate::catalog::ClockKind;
use crate::kpi::report::{Asked, Which};
use crate::kpi::words::day_words;
use crate::model::Timestamp;

/// Fields of the filter that name what a figure is cut by.
pub(super) const CUTS: [&str; 4] = ["application", "admin_group", "operation", "desk"];

/// A filter, as it stands in addresses.
#[derive(Debug, Clone)]
pub(in crate::web::pages) struct Links {
    period: Vec<(&'static str, String)>,
    cuts: Vec<(&'static str, String)>,
    clock: &'static str,
}

impl Links {
    pub(in crate::web::pages) fn of(asked: &Asked) -> Self {
        let text = |v: &Option<String>| v.clone().unwrap_or_default().trim().to_owned();
        let day = |v: Option<chrono::NaiveDate>| v.map(|d| d.to_string()).unwrap_or_default();
        let clock = if asked.clock == Some(ClockKind::Business) { "business" } else { "" };
        let days = if asked.from.is_some() { String::new() } else { asked.days().to_string() };
        let cuts = [&asked.application, &asked.admin_group, &asked.operation, &asked.desk];
        Self {
            period: vec![("days", days), ("from", day(asked.from)), ("to", day(asked.to))],
            cuts: CUTS.into_iter().zip(cuts.map(text)).collect(),
            clock,
        }
    }

    /// A value of the filter.
    pub(super) fn cut(&self, field: &str) -> &str {
        self.cuts.iter().find(|(name, _)| *name == field).map_or("", |(_, value)| value)
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cuts.iter().any(|(_, value)| !value.is_empty())
    }

    /// The same, cut by one more.
    pub(super) fn with(&self, field: &str, value: &str) -> Self {
        let mut more = self.clone();
        for (name, held) in &mut more.cuts {
            if *name == field {
                value.clone_into(held);
            }
        }
        more
    }

    /// The same of everything.
    pub(super) fn uncut(&self) -> Self {
        Self { cuts: Vec::new(), ..self.clone() }
    }

    /// The same of a part of the period.
    pub(super) fn between(&self, from: Timestamp, to: Timestamp) -> Self {
        Self { period: vec![("from", day_words(from)), ("to", day_words(to.plus_ms(-1)))], ..self.clone() }
    }

    fn at(&self, path: &str, clock: &str, which: &str) -> String {
        let held = self.period.iter().chain(&self.cuts).map(|(name, value)| (*name, value.as_str()));
        let fields: Vec<(&str, &str)> = held.chain([("clock", clock), ("which", which)]).collect();
        address(path, &fields)
    }

    /// A page of figures.
    pub(super) fn page(&self, path: &str) -> String {
        self.at(path, self.clock, "")
    }

    /// A page of figures by a clock.
    pub(super) fn by_clock(&self, path: &str, clock: ClockKind) -> String {
        self.at(path, if clock == ClockKind::Business { "business" } else { "" }, "")
    }

    /// The start page of figures by a clock.
    pub(in crate::web::pages) fn kpi(&self, clock: ClockKind) -> String {
        self.by_clock("/kpi", clock)
    }

    /// The figures as a file, by both clocks.
    pub(super) fn file(&self, ending: &str) -> String {
        self.at(&format!("/kpi.{ending}"), "", "")
    }

    /// The assignments behind a figure.
    pub(in crate::web::pages) fn behind(&self, which: Which) -> String {
        self.at("/kpi/assignments", self.clock, which.as_str())
    }

    /// The same as a file.
    pub(in crate::web::pages) fn behind_file(&self, which: Which, ending: &str) -> String {
        self.at(&format!("/kpi/assignments.{ending}"), "", which.as_str())
    }
}
