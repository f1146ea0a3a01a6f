//! The figures of KPI pages.

use super::super::chart::{self, Hue, Plot, Values};
use super::super::figure::{Cell, Figure, Row};
use super::view::View;
use crate::kpi::measure::{Line, MIN_FOR_PERCENTILE, Spread};
use crate::kpi::report::{Point, Which};

/// Rows of bars that fit a picture; the table has all.
const MOST_BARS: usize = 10;
const HOUR: f64 = 3_600_000.0;

/// What an axis of time counts in.
#[derive(Debug, Clone, Copy)]
struct Unit {
    name: &'static str,
    ms: f64,
}

#[expect(clippy::cast_precision_loss, reason = "a picture some hundred units wide")]
fn number(n: i64) -> f64 {
    n as f64
}

impl Unit {
    /// Such that the largest value is a number people can picture. Working time is told in hours.
    fn of(most_ms: i64, business: bool) -> Self {
        match number(most_ms) / HOUR {
            hours if hours < 2.0 => Self { name: " min", ms: HOUR / 60.0 },
            hours if hours < 72.0 || business => Self { name: " h", ms: HOUR },
            _ => Self { name: " d", ms: 24.0 * HOUR },
        }
    }

    fn value(self, ms: Option<i64>) -> Option<f64> {
        ms.map(|ms| (number(ms) / self.ms * 10.0).round() / 10.0)
    }
}

/// Whose time it was.
pub(super) fn whose(view: &View<'_>, line: &Line) -> Figure {
    let parts = if view.business { line.whose.business } else { line.whose.elapsed };
    let all = parts.all_ms();
    let listed = [
        ("Approval", "approvers", Hue::Approval, parts.approval_ms),
        ("Future date", "nobody", Hue::Future, parts.date_ms),
        ("Filing", "platform, lastmile, desk", Hue::Bridge, parts.filing_ms),
        ("Queue", "admin group", Hue::Queue, parts.queue_ms),
        ("Work", "admin group", Hue::Work, parts.work_ms),
        ("Queue and work, not told apart", "admin group", Hue::Untold, parts.untold_ms),
        ("Paused", "requester", Hue::Pause, parts.paused_ms),
        ("Reporting", "lastmile, platform", Hue::Report, parts.reporting_ms),
    ];
    let enough = line.whose.n >= MIN_FOR_PERCENTILE && all > 0;
    let share = |ms: i64| if ms > 0 && ms * 100 < all { "< 1 %".to_owned() } else { format!("{} %", ms * 100 / all.max(1)) };
    let most = listed.iter().max_by_key(|part| part.3);
    let says = most.map(|(name, whose, _, ms)| format!("The largest part is {name} ({whose}): {} of all the time.", share(*ms)));
    let values = listed.iter().filter(|part| part.3 > 0).map(|(name, _, hue, ms)| Values {
        name,
        hue: *hue,
        of: vec![Some(number(*ms) / 60_000.0)],
    });
    let title = "Whose time it was".to_owned();
    let svg = enough.then(|| {
        let says = says.as_deref().unwrap_or_default();
        chart::whole(&Plot { title: &title, says, labels: vec![String::new()], unit: "", values: values.collect() })
    });
    let rows = listed.iter().filter(|part| part.3 > 0 || part.1 != "admin group").map(|(name, whose, hue, ms)| Row {
        key: Some(hue.name()),
        name: (*name).to_owned(),
        link: None,
        cells: vec![Cell::text(*whose), Cell::text(share(*ms)), Cell::text(view.tell(*ms))],
    });
    Figure {
        id: "whose",
        help: format!("From request to report, added up. {}", says.clone().filter(|_| enough).unwrap_or_default()),
        svg: svg.flatten(),
        few: (!enough).then(|| view.few(line.whose.n)),
        head: vec!["Part", "Whose", "Share", "Together"],
        rows: if enough { rows.collect() } else { Vec::new() },
        note: view.note(line.whose.n, false),
        wide: false,
        title,
    }
}

/// The longest value of some spreads that a picture shows.
fn longest<'a>(spreads: impl Iterator<Item = &'a Spread>) -> i64 {
    spreads.filter_map(|s| s.p90_ms.or(s.p50_ms)).max().unwrap_or(0)
}

/// Provisioning time over the period, with the target where all shown have the same.
pub(super) fn trend(view: &View<'_>) -> Figure {
    let points = &view.report.trend;
    let of = |p: &Point| if view.business { p.provisioning_business.clone() } else { p.provisioning.clone() };
    let spreads: Vec<Spread> = points.iter().map(of).collect();
    let target = view.target();
    let unit = Unit::of(longest(spreads.iter()).max(target.unwrap_or(0)), view.business);
    let set = |name, hue, pick: fn(&Spread) -> Option<i64>| Values {
        name,
        hue,
        of: spreads.iter().map(|s| unit.value(pick(s))).collect(),
    };
    let shown = spreads.iter().any(|s| s.p50_ms.is_some());
    let title = format!("Provisioning time {}", view.by_step());
    let says = view.better(points.iter().zip(&spreads));
    let plot = Plot {
        title: &title,
        says: &says,
        labels: view.labels(),
        unit: unit.name,
        values: vec![set("Half within", Hue::Work, |s| s.p50_ms), set("Nine of ten within", Hue::Queue, |s| s.p90_ms)],
    };
    let svg = shown.then(|| chart::lines(&plot, unit.value(target))).flatten();
    let told = |ms: Option<i64>| Cell::or_few(ms.map(|ms| view.tell(ms)));
    let rows = points.iter().zip(&spreads).zip(view.labels()).map(|((point, s), name)| {
        let links = view.links.between(point.from, point.to);
        let percent = Cell::or_few(point.target.percent.map(|p| format!("{p} %")));
        Row {
            name,
            cells: vec![Cell::count(s.n, links.behind(Which::Closed)), told(s.p50_ms), told(s.p90_ms), percent],
            ..Row::default()
        }
    });
    let line = match target {
        Some(ms) => format!("The dashed line is the target, {}.", view.tell(ms)),
        None => "Targets differ: choose an application and an operation to see its line.".to_owned(),
    };
    let says_it = if view.has_targets() { format!("{says} {line}") } else { says.clone() };
    Figure {
        id: "trend",
        help: says_it,
        svg,
        few: (!shown).then(|| format!("Nowhere were {MIN_FOR_PERCENTILE} closed: choose a longer period.")),
        head: vec![view.step_name(), "n", "Half", "Nine of ten", "In target"],
        rows: rows.collect(),
        note: view.note(spreads.iter().map(|s| s.n).sum(), true),
        wide: false,
        title,
    }
}

/// Approval and provisioning beside each other, never added.
pub(super) fn approval(view: &View<'_>) -> Figure {
    let points = &view.report.trend;
    let of = |p: &Point| {
        if view.business {
            (p.approval_business.clone(), p.provisioning_business.clone())
        } else {
            (p.approval.clone(), p.provisioning.clone())
        }
    };
    let pairs: Vec<(Spread, Spread)> = points.iter().map(of).collect();
    let halves = || pairs.iter().flat_map(|(a, p)| [a.p50_ms, p.p50_ms]).flatten();
    let unit = Unit::of(halves().max().unwrap_or(0), view.business);
    let title = format!("Approval and provisioning {}", view.by_step());
    let shown = halves().next().is_some();
    let plot = Plot {
        title: &title,
        says: "Half of the approvals and half of the provisioning took no longer, over the period.",
        labels: view.labels(),
        unit: unit.name,
        values: vec![
            Values {
                name: "Approval: half within",
                hue: Hue::Approval,
                of: pairs.iter().map(|(a, _)| unit.value(a.p50_ms)).collect(),
            },
            Values {
                name: "Provisioning: half within",
                hue: Hue::Work,
                of: pairs.iter().map(|(_, p)| unit.value(p.p50_ms)).collect(),
            },
        ],
    };
    let told = |ms: Option<i64>| Cell::or_few(ms.map(|ms| view.tell(ms)));
    let rows = points.iter().zip(&pairs).zip(view.labels()).map(|((point, (a, p)), name)| {
        let behind = view.links.between(point.from, point.to).behind(Which::Closed);
        let cells = vec![Cell::count(a.n, behind.clone()), told(a.p50_ms), Cell::count(p.n, behind), told(p.p50_ms)];
        Row { name, cells, ..Row::default() }
    });
    Figure {
        id: "approval",
        help: "The approvers' time and the admins' time, each by itself.".to_owned(),
        svg: shown.then(|| chart::lines(&plot, None)).flatten(),
        few: (!shown).then(|| format!("Nowhere were {MIN_FOR_PERCENTILE} closed: choose a longer period.")),
        head: vec![view.step_name(), "n approved", "Half", "n closed", "Half"],
        rows: rows.collect(),
        note: view.note(view.report.all.flow.closed, true),
        wide: false,
        title,
    }
}

/// Both times by application.
pub(super) fn both_by_application(view: &View<'_>) -> Figure {
    let mut lines: Vec<&Line> = view.report.applications.iter().filter(|l| view.provisioning(l).p50_ms.is_some()).collect();
    lines.sort_by_key(|l| -view.provisioning(l).n);
    lines.truncate(MOST_BARS);
    let halves = |l: &&Line| [view.approval(l).p50_ms, view.provisioning(l).p50_ms];
    let unit = Unit::of(lines.iter().flat_map(halves).flatten().max().unwrap_or(0), view.business);
    let title = "By application".to_owned();
    let plot = Plot {
        title: &title,
        says: "Half of the approvals and half of the provisioning took no longer, by application.",
        labels: lines.iter().map(|l| l.name.clone()).collect(),
        unit: unit.name,
        values: vec![
            Values { name: "Approval", hue: Hue::Approval, of: lines.iter().map(|l| unit.value(halves(l)[0])).collect() },
            Values { name: "Provisioning", hue: Hue::Work, of: lines.iter().map(|l| unit.value(halves(l)[1])).collect() },
        ],
    };
    let told = |ms: Option<i64>| Cell::or_few(ms.map(|ms| view.tell(ms)));
    let rows = view.report.applications.iter().map(|l| Row {
        name: l.name.clone(),
        link: view.link("application", l),
        cells: vec![
            Cell::count(view.provisioning(l).n, view.behind("application", l, Which::Closed)),
            told(view.approval(l).p50_ms),
            told(view.provisioning(l).p50_ms),
        ],
        key: None,
    });
    Figure {
        id: "both",
        help: format!("Half within; the {MOST_BARS} with the most closed are drawn."),
        svg: (!lines.is_empty()).then(|| chart::rows(&plot, false)).flatten(),
        few: lines.is_empty().then(|| view.few(view.report.all.flow.closed)),
        head: vec!["Application", "n", "Approval", "Provisioning"],
        rows: rows.collect(),
        note: view.note(view.report.all.flow.closed, true),
        wide: false,
        title,
    }
}

/// How targets were kept, what is open and overdue counted as missed.
pub(super) fn targets(view: &View<'_>, lines: &[Line], field: &str, first: &'static str) -> Option<Figure> {
    let all: i64 = lines.iter().map(|l| l.target.judged()).sum();
    if all == 0 {
        return None;
    }
    let mut drawn: Vec<&Line> = lines.iter().filter(|l| l.target.percent.is_some()).collect();
    drawn.sort_by_key(|l| l.target.percent);
    drawn.truncate(MOST_BARS);
    let set = |name, hue, pick: fn(&Line) -> i64| Values { name, hue, of: drawn.iter().map(|l| Some(number(pick(l)))).collect() };
    let title = "Targets".to_owned();
    let says = drawn
        .first()
        .map_or_else(String::new, |l| format!("Least in target: {}, {} %.", l.name, l.target.percent.unwrap_or_default()));
    let plot = Plot {
        title: &title,
        says: &says,
        labels: drawn.iter().map(|l| l.name.clone()).collect(),
        unit: " %",
        values: vec![
            set("In target", Hue::Good, |l| l.target.in_target),
            set("Too late", Hue::Bridge, |l| l.target.late),
            set("Open, overdue", Hue::Alarm, |l| l.target.overdue_open),
        ],
    };
    let mut rows: Vec<&Line> = lines.iter().filter(|l| l.target.judged() > 0).collect();
    rows.sort_by_key(|l| (l.target.percent.unwrap_or(101), l.name.to_lowercase()));
    let rows = rows.into_iter().map(|l| Row {
        name: l.name.clone(),
        link: view.link(field, l),
        cells: vec![
            Cell::or_few(l.target.percent.map(|p| format!("{p} %"))),
            Cell::count(l.target.in_target, view.behind(field, l, Which::Closed)),
            Cell::count(l.target.late, view.behind(field, l, Which::Late)),
            Cell::bad(l.target.overdue_open, view.behind(field, l, Which::Overdue)),
        ],
        key: None,
    });
    Some(Figure {
        id: "targets",
        help: format!("Closed in time, of all closed and all open past their target now. {says}"),
        svg: (!drawn.is_empty()).then(|| chart::rows(&plot, true)).flatten(),
        few: drawn.is_empty().then(|| view.few(all)),
        head: vec![first, "In target", "In time", "Too late", "Open, overdue"],
        rows: rows.collect(),
        note: view.note(all, false),
        wide: false,
        title,
    })
}

/// What came and what went.
pub(super) fn flow(view: &View<'_>) -> Figure {
    let points = &view.report.trend;
    let flow = view.report.all.flow;
    let title = format!("Came and closed {}", view.by_step());
    let says = match flow.out_per_100_in {
        Some(n) => format!("{n} were closed for 100 that came: the backlog {}.", if n < 100 { "grew" } else { "did not grow" }),
        None => "Nothing came.".to_owned(),
    };
    let set =
        |name, hue, pick: fn(&Point) -> i64| Values { name, hue, of: points.iter().map(|p| Some(number(pick(p)))).collect() };
    let plot = Plot {
        title: &title,
        says: &says,
        labels: view.labels(),
        unit: "",
        values: vec![set("Came", Hue::Soft, |p| p.arrived), set("Closed", Hue::Work, |p| p.closed)],
    };
    let rows = points.iter().zip(view.labels()).map(|(p, name)| {
        let links = view.links.between(p.from, p.to);
        let cells =
            vec![Cell::count(p.arrived, links.behind(Which::Arrived)), Cell::count(p.closed, links.behind(Which::Closed))];
        Row { name, cells, ..Row::default() }
    });
    Figure {
        id: "flow",
        help: says.clone(),
        svg: (!points.is_empty()).then(|| chart::columns(&plot, &[])).flatten(),
        few: None,
        head: vec![view.step_name(), "Came", "Closed"],
        rows: rows.collect(),
        note: view.note(flow.closed, false),
        wide: false,
        title,
    }
}

/// What is open by age.
pub(super) fn bands(view: &View<'_>) -> Figure {
    const NAMES: [&str; 5] = ["Under 1 day", "1–3 days", "3–7 days", "7–14 days", "Over 14 days"];
    const SHORT: [&str; 5] = ["< 1 d", "1–3 d", "3–7 d", "7–14 d", "> 14 d"];
    let flow = view.report.all.flow;
    let old = flow.bands[3] + flow.bands[4];
    let title = "Open now, by age".to_owned();
    let says = format!("{} are open, {old} of them for more than 7 days.", flow.open);
    let plot = Plot {
        title: &title,
        says: &says,
        labels: SHORT.map(str::to_owned).to_vec(),
        unit: "",
        values: vec![Values { name: "Open", hue: Hue::Work, of: flow.bands.iter().map(|n| Some(number(*n))).collect() }],
    };
    let open = view.links.behind(Which::Open);
    let mut rows: Vec<Row> = NAMES
        .iter()
        .zip(flow.bands)
        .enumerate()
        .map(|(n, (name, count))| {
            let cell = if n < 3 { Cell::count(count, open.clone()) } else { Cell::bad(count, open.clone()) };
            Row { name: (*name).to_owned(), cells: vec![cell], ..Row::default() }
        })
        .collect();
    let not_yet = Cell::count(flow.not_yet, open.clone());
    rows.push(Row { name: "Filed ahead of its day".to_owned(), cells: vec![not_yet], ..Row::default() });
    Figure {
        id: "bands",
        help: says.clone(),
        svg: (flow.open > 0)
            .then(|| chart::columns(&plot, &[Hue::Work, Hue::Work, Hue::Queue, Hue::Bridge, Hue::Alarm]))
            .flatten(),
        few: (flow.open == 0).then(|| "Nothing is open.".to_owned()),
        head: vec!["Since the admin group's clock started", "Open"],
        rows,
        note: format!("n = {}, whatever the period; {}, to the hour", flow.open, view.as_of()),
        wide: false,
        title,
    }
}

/// Persons who left, by when the last application had let them go.
pub(super) fn leavers(view: &View<'_>) -> Figure {
    let l = &view.report.all.leavers;
    let title = "Persons who left".to_owned();
    let n = l.judged();
    let says = format!("{} of {n} had no access left within 24 hours, {} of them within 4 hours.", l.within_24h, l.within_4h);
    let counts = [
        ("Within 4 hours", "≤ 4 h", Hue::Good, l.within_4h),
        ("Within 24 hours", "4–24 h", Hue::Queue, l.within_24h - l.within_4h),
        ("Later", "> 24 h", Hue::Bridge, l.late),
        ("Still open after 24 hours", "still open", Hue::Alarm, l.overdue_open),
    ];
    let plot = Plot {
        title: &title,
        says: &says,
        labels: counts.iter().map(|c| c.1.to_owned()).collect(),
        unit: "",
        values: vec![Values { name: "Persons", hue: Hue::Work, of: counts.iter().map(|c| Some(number(c.3))).collect() }],
    };
    let behind = view.links.behind(Which::Leavers);
    let rows = counts.iter().map(|(name, _, hue, count)| {
        let link = behind.clone();
        let cell = if *hue == Hue::Alarm { Cell::bad(*count, link) } else { Cell::count(*count, link) };
        Row { key: Some(hue.name()), name: (*name).to_owned(), link: None, cells: vec![cell] }
    });
    Figure {
        id: "leavers",
        help: if n > 0 {
            format!("{says} The wall clock counts, nothing pauses it, and the last application decides.")
        } else {
            String::new()
        },
        svg: (n > 0).then(|| chart::columns(&plot, &counts.map(|c| c.2))).flatten(),
        few: (n == 0).then(|| "Nobody left in this period.".to_owned()),
        head: vec!["All access gone", "Persons"],
        rows: if n > 0 { rows.collect() } else { Vec::new() },
        note: view.note(n, false),
        wide: false,
        title,
    }
}
