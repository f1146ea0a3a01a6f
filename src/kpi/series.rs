//! Figures as series for monitoring: of the last 30 days, and of what is open now.

use super::measure::{Line, Spread};
use super::report::Report;

/// Days that the figures are about.
pub const DAYS: i64 = 30;

/// A series: name, help, and its samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Name, with its unit.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// Labels and value; milliseconds where the name ends in `_seconds`.
    pub samples: Vec<(Vec<(&'static str, String)>, i64)>,
}

/// Ages of what is open, as label values.
const AGES: [&str; 5] = ["under_1d", "1d_to_3d", "3d_to_7d", "7d_to_14d", "over_14d"];

/// The series of a report.
#[must_use]
pub fn series(report: &Report) -> Vec<Series> {
    let groups = || report.groups.iter().map(|line| (("admin_group", name(line)), line));
    let applications = || report.applications.iter().map(|line| (("application", name(line)), line));
    let mut open = Vec::new();
    for row in &report.backlog {
        let labels = |age: &str| {
            vec![("application", row.application_id.clone()), ("admin_group", row.admin_group.clone()), ("age", age.to_owned())]
        };
        open.push((labels("not_yet_due"), row.not_yet));
        open.extend(AGES.iter().zip(row.bands).map(|(age, n)| (labels(age), n)));
    }
    let kept = |what: &str, n| (vec![("verdict", what.to_owned())], n);
    let leavers = &report.all.leavers;
    let quality = &report.all.quality;
    vec![
        one("lastmile_kpi_as_of_timestamp_seconds", "Everything known by then is in the figures.", report.as_of.0),
        Series {
            name: "lastmile_open_assignments",
            help: "Orders that are open or being filed now, by age since the admin group's clock started.",
            samples: open,
        },
        spreads(
            "lastmile_kpi_provisioning_seconds",
            "Eligible to closed less pauses, elapsed time, closed in the last 30 days.",
            groups(),
            |l| &l.provisioning,
        ),
        spreads("lastmile_kpi_provisioning_business_seconds", "The same in working time.", groups(), |l| {
            &l.provisioning_business
        }),
        spreads(
            "lastmile_kpi_approval_seconds",
            "Requested to last approval, elapsed time, closed in the last 30 days.",
            applications(),
            |l| &l.approval,
        ),
        counts("lastmile_kpi_arrived", "Came to the admin group in the last 30 days.", groups(), |l| {
            vec![(None, l.flow.arrived)]
        }),
        counts("lastmile_kpi_closed", "Closed in the last 30 days.", groups(), |l| vec![(None, l.flow.closed)]),
        counts(
            "lastmile_kpi_target",
            "Targets of the last 30 days: kept, missed, and open past their time now.",
            groups(),
            |l| {
                let t = l.target;
                vec![
                    (Some(("verdict", "in_target")), t.in_target),
                    (Some(("verdict", "late")), t.late),
                    (Some(("verdict", "overdue_open")), t.overdue_open),
                ]
            },
        ),
        Series {
            name: "lastmile_kpi_leavers",
            help: "Persons whose access ended in the last 30 days, by when the last of it was gone; overdue_open: something is open for over 24 h now.",
            samples: vec![
                kept("within_4h", leavers.within_4h),
                kept("within_24h", leavers.within_24h),
                kept("late", leavers.late),
                kept("overdue_open", leavers.overdue_open),
            ],
        },
        Series {
            name: "lastmile_kpi_quality",
            help: "How orders closed in the last 30 days ended.",
            samples: [
                ("could_be_right", quality.meant),
                ("right_first_time", quality.right),
                ("reopened", quality.reopened),
                ("cancelled", quality.cancelled),
                ("withdrawn", quality.withdrawn),
                ("rerouted", quality.rerouted),
                ("unapproved", quality.unapproved),
                ("premature", report.all.dates.premature),
            ]
            .map(|(what, n)| (vec![("what", what.to_owned())], n))
            .to_vec(),
        },
        one("lastmile_kpi_expired_open", "Open although the access was to end by now.", report.all.expired_open),
    ]
}

/// The id to filter by; lines told together have only a name.
fn name(line: &Line) -> String {
    if line.id.is_empty() { line.name.clone() } else { line.id.clone() }
}

fn one(name: &'static str, help: &'static str, value: i64) -> Series {
    Series { name, help, samples: vec![(Vec::new(), value)] }
}

type Labelled<'a> = ((&'static str, String), &'a Line);

fn spreads<'a>(
    name: &'static str,
    help: &'static str,
    lines: impl Iterator<Item = Labelled<'a>>,
    of: fn(&Line) -> &Spread,
) -> Series {
    let mut samples = Vec::new();
    for (label, line) in lines {
        let spread = of(line);
        for (quantile, ms) in [("0.5", spread.p50_ms), ("0.9", spread.p90_ms), ("0.95", spread.p95_ms)] {
            samples.extend(ms.map(|ms| (vec![label.clone(), ("quantile", quantile.to_owned())], ms)));
        }
    }
    Series { name, help, samples }
}

type Counted = Vec<(Option<(&'static str, &'static str)>, i64)>;

fn counts<'a>(
    name: &'static str,
    help: &'static str,
    lines: impl Iterator<Item = Labelled<'a>>,
    of: fn(&Line) -> Counted,
) -> Series {
    let mut samples = Vec::new();
    for (label, line) in lines {
        for (more, n) in of(line) {
            let labels = std::iter::once(label.clone()).chain(more.map(|(name, value)| (name, value.to_owned())));
            samples.push((labels.collect(), n));
        }
    }
    Series { name, help, samples }
}
