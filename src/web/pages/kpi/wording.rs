//! How pages of figures tell times, periods and targets.

use super::view::View;
use crate::catalog::ClockKind;
use crate::kpi::clocks::target_of;
use crate::kpi::measure::{MIN_FOR_PERCENTILE, Spread};
use crate::kpi::report::{Point, Step, period_words};
use crate::kpi::words::{human, human_working};

impl View<'_> {
    pub(super) fn tell(&self, ms: i64) -> String {
        if self.business { human_working(ms) } else { human(ms) }
    }

    pub(super) fn or_few(&self, ms: Option<i64>) -> String {
        ms.map_or_else(|| "too few".to_owned(), |ms| self.tell(ms))
    }

    #[expect(clippy::unused_self, reason = "one way to say it")]
    pub(super) fn few(&self, n: i64) -> String {
        format!("Too few: n = {n}, and at least {MIN_FOR_PERCENTILE} are needed. Choose a longer period.")
    }

    pub(super) fn period(&self) -> String {
        period_words(self.report.from, self.report.to)
    }

    pub(super) fn as_of(&self) -> String {
        if self.report.as_of.0 > 0 { format!("as of {}", self.report.as_of.human()) } else { "not counted yet".to_owned() }
    }

    /// What a number is of.
    pub(super) fn note(&self, n: i64, sketched: bool) -> String {
        let near = if sketched { format!("; times ±{} %", self.report.accuracy_percent) } else { String::new() };
        let clock = if self.business { "; business time" } else { "" };
        format!("n = {n}; {}; {}{near}{clock}", self.period(), self.as_of())
    }

    fn step(&self) -> Step {
        Step::of(self.report.from, self.report.to)
    }

    pub(super) fn step_name(&self) -> &'static str {
        match self.step() {
            Step::Day => "Day",
            Step::Week => "Week from",
            Step::Month => "Month",
        }
    }

    pub(super) fn by_step(&self) -> &'static str {
        match self.step() {
            Step::Day => "by day",
            Step::Week => "by week",
            Step::Month => "by month",
        }
    }

    pub(super) fn labels(&self) -> Vec<String> {
        let form = if self.step() == Step::Month { "%b %Y" } else { "%-d %b" };
        self.report.trend.iter().map(|p| p.from.to_utc().format(form).to_string()).collect()
    }

    /// Whether it gets better, in a sentence.
    pub(super) fn better<'p>(&self, points: impl Iterator<Item = (&'p Point, &'p Spread)>) -> String {
        let known: Vec<(usize, i64)> = points.enumerate().filter_map(|(n, (_, s))| Some((n, s.p50_ms?))).collect();
        let (Some((first, before)), Some((last, after))) = (known.first(), known.last()) else { return String::new() };
        if first == last {
            return String::new();
        }
        let word = match after * 100 / (*before).max(1) {
            ..95 => "Faster",
            95..=105 => "Much the same",
            _ => "Slower",
        };
        let labels = self.labels();
        format!(
            "{word}: half within {} from {}, within {} from {}.",
            self.tell(*before),
            labels[*first],
            self.tell(*after),
            labels[*last]
        )
    }

    pub(super) fn has_targets(&self) -> bool {
        self.report.all.target.judged() > 0
    }

    /// The target of all that is shown, milliseconds; none where they differ or count by another clock.
    pub(super) fn target(&self) -> Option<i64> {
        let clock = if self.business { ClockKind::Business } else { ClockKind::Elapsed };
        let orders = self.report.orders.iter();
        let mut targets = orders.map(|(application, operation)| target_of(self.catalog, application, operation));
        let first = targets.next()??;
        (targets.all(|t| t == Some(first)) && first.clock == clock).then(|| first.within.ms())
    }
}

/// A share as a number: percent, else how many of how many.
pub(super) fn share(percent: Option<i64>, n: i64, of: i64) -> String {
    percent.map_or_else(|| format!("{n} of {of}"), |percent| format!("{percent} %"))
}

/// Time by the wall clock, whichever clock the page counts by.
pub(super) fn elapsed_or_few(ms: Option<i64>) -> String {
    ms.map_or_else(|| "too few".to_owned(), human)
}
