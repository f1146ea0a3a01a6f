//! Pure measures over the times of closed assignments.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use super::case::{Case, Verdict};
use super::clocks::Both;
use crate::ledger::views::Fact;

/// Below this count no percentile is shown: it would say more about single cases than about the group.
pub const MIN_FOR_PERCENTILE: usize = 20;

/// How a set of durations is spread, in milliseconds. Percentiles by nearest rank; none below [`MIN_FOR_PERCENTILE`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Spread {
    /// How many.
    pub n: usize,
    /// Half took no longer.
    pub p50_ms: Option<i64>,
    /// Nine of ten took no longer.
    pub p90_ms: Option<i64>,
    /// The longest.
    pub max_ms: Option<i64>,
}

impl Spread {
    /// Of these durations.
    #[must_use]
    pub fn of(mut durations: Vec<i64>) -> Self {
        durations.sort_unstable();
        let enough = durations.len() >= MIN_FOR_PERCENTILE;
        let rank = |percent: usize| enough.then(|| durations[(durations.len() * percent).div_ceil(100).max(1) - 1]);
        Self { n: durations.len(), p50_ms: rank(50), p90_ms: rank(90), max_ms: durations.last().copied() }
    }
}

/// One line of a report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Line {
    /// Application or admin group: the id to filter by.
    pub id: String,
    /// The same for people.
    pub name: String,
    /// Requested to approved.
    pub approval: Spread,
    /// Eligible to closed: the wait for an approval or for a future date is nobody's.
    pub provisioning: Spread,
    /// Requested to approved, in working time.
    pub approval_business: Spread,
    /// Eligible to closed, in working time.
    pub provisioning_business: Spread,
    /// How targets were kept.
    pub target: Attainment,
}

/// How targets were kept. Open ones that are overdue are missed already: else nobody would see them before they close.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Attainment {
    /// Closed within their target.
    pub in_target: usize,
    /// Closed, too late.
    pub late: usize,
    /// Open, and the target has passed.
    pub overdue_open: usize,
    /// In target of all three, whole percent, rounded down; none below [`MIN_FOR_PERCENTILE`].
    pub percent: Option<usize>,
}

impl Attainment {
    fn of(cases: &[&Case]) -> Self {
        let count = |verdict| cases.iter().filter(|case| case.verdict == Some(verdict)).count();
        let (in_target, late, overdue_open) = (count(Verdict::InTarget), count(Verdict::Late), count(Verdict::Overdue));
        let all = in_target + late + overdue_open;
        Self { in_target, late, overdue_open, percent: (all >= MIN_FOR_PERCENTILE).then(|| in_target * 100 / all) }
    }
}

/// One line per id, by name.
#[must_use]
pub fn report(cases: &[Case], id_and_name: fn(&Fact) -> (&str, &str)) -> Vec<Line> {
    let mut groups: BTreeMap<&str, Vec<&Case>> = BTreeMap::new();
    for case in cases {
        groups.entry(id_and_name(&case.fact).0).or_default().push(case);
    }
    // An application's latest name is the one that people know.
    let mut lines: Vec<Line> = groups
        .into_iter()
        .map(|(id, cases)| {
            let newest = cases.iter().max_by_key(|c| c.fact.closed_at).map_or(id, |c| id_and_name(&c.fact).1);
            line(id, newest, &cases)
        })
        .collect();
    lines.sort_by(|a, b| (a.name.to_lowercase(), &a.id).cmp(&(b.name.to_lowercase(), &b.id)));
    lines
}

/// One line over these cases: times of the closed ones, targets of all.
#[must_use]
pub fn line(id: &str, name: &str, cases: &[&Case]) -> Line {
    let closed = || cases.iter().filter(|case| case.fact.closed_at.is_some());
    let spread = |of: fn(&Case) -> Option<Both>, clock: fn(Both) -> Option<i64>| {
        Spread::of(closed().filter_map(|case| of(case).and_then(clock)).collect())
    };
    Line {
        id: id.to_owned(),
        name: name.to_owned(),
        approval: spread(|c| c.approval, |b| Some(b.elapsed_ms)),
        provisioning: spread(|c| c.provisioning, |b| Some(b.elapsed_ms)),
        approval_business: spread(|c| c.approval, |b| b.business_ms),
        provisioning_business: spread(|c| c.provisioning, |b| b.business_ms),
        target: Attainment::of(cases),
    }
}

/// A duration for people: "3 d 4 h", "25 min", "40 s".
#[must_use]
pub fn human(ms: i64) -> String {
    let secs = ms / 1000;
    match secs {
        ..60 => format!("{secs} s"),
        60..7200 => format!("{} min", secs / 60),
        7200..172_800 => format!("{} h", secs / 3600),
        _ => format!("{} d {} h", secs / 86_400, secs % 86_400 / 3600),
    }
}

/// Working time for people, in hours: a day of work is no day of 24 hours.
#[must_use]
pub fn human_working(ms: i64) -> String {
    let minutes = ms / 60_000;
    match minutes {
        ..2 => human(ms),
        2..120 => format!("{minutes} min"),
        120..1200 => format!("{}.{} h", minutes / 60, minutes % 60 / 6),
        _ => format!("{} h", minutes / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn working_time_is_told_in_hours() {
        let told = [90, 119, 120, 288, 1199, 1200, 6000].map(|minutes| human_working(minutes * 60_000));
        assert_eq!(told, ["90 min", "119 min", "2.0 h", "4.8 h", "19.9 h", "20 h", "100 h"]);
        assert_eq!(human_working(38_000), "38 s");
    }

    #[test]
    fn small_numbers_show_no_percentile() {
        assert_eq!(Spread::of((1..20).collect()), Spread { n: 19, p50_ms: None, p90_ms: None, max_ms: Some(19) });
        assert_eq!(Spread::of((1..=20).collect()), Spread { n: 20, p50_ms: Some(10), p90_ms: Some(18), max_ms: Some(20) });
    }

    proptest! {
        #[test]
        fn percentiles_are_members_and_in_order(values in proptest::collection::vec(0i64..1_000_000, 20..200)) {
            let spread = Spread::of(values.clone());
            let (p50, p90) = (spread.p50_ms.unwrap(), spread.p90_ms.unwrap());
            prop_assert!(values.contains(&p50) && values.contains(&p90));
            prop_assert!(p50 <= p90 && Some(p90) <= spread.max_ms);
            let below = values.iter().filter(|v| **v <= p90).count();
            prop_assert!(below * 100 >= values.len() * 90);
        }
    }
}
