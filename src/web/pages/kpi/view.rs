//! A report as a page tells it.

use serde_json::{Value, json};

use super::super::figure::Figure;
use super::super::to_value;
use super::links::Links;
use super::tiles::Tile;
use super::wording::{elapsed_or_few, share};
use super::{Page, figures};
use crate::catalog::{Catalog, ClockKind};
use crate::kpi::measure::{Line, MIN_FOR_PERCENTILE, Spread};
use crate::kpi::report::{Report, Which};

/// Periods offered, days.
const PERIODS: [i64; 5] = [7, 30, 90, 180, 365];

/// A report as a page tells it.
pub(super) struct View<'a> {
    pub(super) report: &'a Report,
    pub(super) catalog: &'a Catalog,
    pub(super) links: Links,
    pub(super) business: bool,
}

impl View<'_> {
    /// What every page of figures has.
    pub(super) fn frame(&self, page: Page) -> Value {
        let (report, links) = (self.report, &self.links);
        let mut periods: Vec<i64> = PERIODS.to_vec();
        if !periods.contains(&report.days) {
            periods.push(report.days);
            periods.sort_unstable();
        }
        let periods: Vec<Value> = periods.into_iter().map(|d| json!({"days": d, "chosen": d == report.days})).collect();
        let tabs = Page::ALL.map(|one| json!({"name": one.name(), "link": links.page(one.path()), "here": one == page}));
        let few = report.all.flow.closed < MIN_FOR_PERCENTILE && !report.withheld;
        json!({
            "heading": page.name(), "counts": if page == Page::Leavers { "Left" } else { "Closed" }, "path": page.path(), "tabs": tabs, "periods": periods, "period": self.period(),
            "as_of": (report.as_of.0 > 0).then_some(report.as_of), "rolling": report.behind,
            "filtered": links.is_cut(), "everything": links.uncut().page(page.path()),
            "business": self.business, "has_calendars": !self.catalog.calendars.is_empty(), "calendars": report.calendars,
            "to_elapsed": links.by_clock(page.path(), ClockKind::Elapsed), "to_business": links.by_clock(page.path(), ClockKind::Business),
            "few": few, "min_n": MIN_FOR_PERCENTILE, "withheld": report.withheld,
            "smallest": report.smallest_group, "together": report.smallest_group > 1,
            "behind": links.behind(Which::Closed), "csv": links.file("csv"), "xlsx": links.file("xlsx"),
        })
    }

    /// How long people wait, for whom, and whether it gets better.
    pub(super) fn start(&self, data: &mut Value) {
        let report = self.report;
        data["tiles"] = to_value(self.tiles(&report.all));
        let figures = [Some(figures::whose(self, &report.all)), Some(figures::trend(self))].into_iter();
        let more = [figures::targets(self, &report.applications, "application", "Application"), Some(figures::flow(self))];
        data["figures"] = to_value(self.told(figures.chain(more).flatten().collect()));
        data["tables"] = json!([
            self.table("application", "Application", &report.applications, true),
            self.table("admin_group", "Admin group", &report.groups, true),
        ]);
    }

    /// One application or admin group; all of them where none is chosen.
    pub(super) fn part(&self, data: &mut Value, field: &str, lines: &[Line]) {
        let report = self.report;
        let chosen = self.links.cut(field);
        let (application, first) = (field == "application", if field == "application" { "Application" } else { "Admin group" });
        if chosen.is_empty() {
            data["figures"] = to_value(self.told(figures::targets(self, lines, field, first).into_iter().collect()));
            data["tables"] = json!([self.table(field, first, lines, true)]);
            return;
        }
        let name = lines.iter().find(|line| line.id == chosen).map_or(chosen, |line| line.name.as_str());
        data["heading"] = json!(name);
        data["kind"] = json!(first);
        data["tiles"] = to_value(self.tiles(&report.all));
        let figures = [
            Some(figures::whose(self, &report.all)),
            Some(figures::trend(self)),
            figures::targets(self, &report.operations, "operation", "Operation"),
            Some(figures::flow(self)),
            Some(figures::bands(self)),
        ];
        data["figures"] = to_value(self.told(figures.into_iter().flatten().collect()));
        let other = if application {
            self.table("admin_group", "Admin group", &report.groups, true)
        } else {
            self.table("application", "Application", &report.applications, true)
        };
        data["tables"] = json!([self.table("operation", "Operation", &report.operations, true), other]);
    }

    pub(super) fn approvals(&self, data: &mut Value) {
        let report = self.report;
        let (approval, provisioning) = (self.approval(&report.all), self.provisioning(&report.all));
        let tile = |spread: &Spread, words: &str, main| Tile {
            number: self.or_few(spread.p50_ms),
            words: format!("{words}: half within"),
            more: format!("nine of ten within {}; n = {}", self.or_few(spread.p90_ms), spread.n),
            link: self.links.behind(Which::Closed),
            main,
            alarm: false,
        };
        let unapproved = report.all.quality.unapproved;
        let before = Tile {
            number: unapproved.to_string(),
            words: "worked on before the last approval".to_owned(),
            more: "must be 0".to_owned(),
            link: self.links.behind(Which::Unapproved),
            main: false,
            alarm: unapproved > 0,
        };
        data["tiles"] = to_value([tile(approval, "approval", true), tile(provisioning, "provisioning", true), before]);
        let figures = vec![figures::approval(self), figures::both_by_application(self), figures::whose(self, &report.all)];
        data["figures"] = to_value(self.told(figures));
        data["tables"] = json!([
            self.table("application", "Application", &report.applications, false),
            self.table("admin_group", "Admin group", &report.groups, false),
        ]);
    }

    pub(super) fn leavers(&self, data: &mut Value) {
        let l = &self.report.all.leavers;
        let link = self.links.behind(Which::Leavers);
        let judged = l.judged();
        let of_judged = |percent, n| if judged == 0 { "–".to_owned() } else { share(percent, n, judged) };
        let tile = |number, words: &str, more: String, main, alarm| Tile {
            number,
            words: words.to_owned(),
            more,
            link: link.clone(),
            main,
            alarm,
        };
        let n = format!("n = {judged}");
        data["tiles"] = to_value([
            tile(
                l.overdue_open.to_string(),
                "left more than 24 hours ago and still have access",
                String::new(),
                true,
                l.overdue_open > 0,
            ),
            tile(of_judged(l.percent_24h, l.within_24h), "without any access within 24 hours", n.clone(), true, false),
            tile(of_judged(l.percent_4h, l.within_4h), "within 4 hours", n, false, false),
            tile(
                elapsed_or_few(l.took.p50_ms),
                "until the last access was gone: half within",
                format!("n = {}", l.took.n),
                false,
                false,
            ),
        ]);
        data["list_first"] = json!(true);
        data["figures"] = to_value(self.told(vec![figures::leavers(self)]));
    }

    pub(super) fn backlog(&self, data: &mut Value) {
        let report = self.report;
        let (flow, target) = (report.all.flow, report.all.target);
        let behind = |which| self.links.behind(which);
        let old = flow.bands[3] + flow.bands[4];
        let plain = |number: String, words: &str, link: String, alarm: bool| Tile {
            number,
            words: words.to_owned(),
            link,
            alarm,
            ..Tile::default()
        };
        let oldest = Tile {
            number: elapsed_or_few(flow.p90_age_ms),
            more: flow.oldest.map(|at| format!("the oldest since {}", at.human())).unwrap_or_default(),
            ..plain(String::new(), "nine of ten open ones are no older", behind(Which::Open), false)
        };
        data["tiles"] = to_value([
            Tile { main: true, ..plain(flow.open.to_string(), "open or being filed", behind(Which::Open), false) },
            plain(target.overdue_open.to_string(), "past their target", behind(Which::Overdue), target.overdue_open > 0),
            plain(old.to_string(), "older than 7 days", behind(Which::Open), old > 0),
            oldest,
            plain(
                report.all.expired_open.to_string(),
                "open although access was to end",
                behind(Which::Expired),
                report.all.expired_open > 0,
            ),
        ]);
        data["figures"] = to_value(self.told(vec![figures::bands(self), figures::flow(self)]));
        let mut backlog: Vec<Value> = report.backlog.iter().map(to_value).collect();
        for row in &mut backlog {
            let of = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            let links = self.links.with("application", &of("application_id")).with("admin_group", &of("admin_group"));
            row["link"] = json!(links.behind(Which::Open));
        }
        data["backlog"] = json!(backlog);
        data["bands"] = json!(flow.bands);
        data["not_yet"] = json!(flow.not_yet);
    }

    /// A table with a bar for each line.
    fn table(&self, field: &str, first: &str, lines: &[Line], provisioning: bool) -> Value {
        let of = |line| if provisioning { self.provisioning(line) } else { self.approval(line) };
        // An order that is not planned yet is with no group, and took nobody any time.
        let rows: Vec<Value> = lines
            .iter()
            .filter(|l| !l.name.is_empty() || of(*l).n > 0)
            .map(|l| {
                let behind = if l.id.is_empty() { String::new() } else { self.behind(field, l, Which::Closed) };
                json!({"name": if l.name.is_empty() { "none" } else { &l.name }, "link": self.link(field, l), "behind": behind, "of": of(l)})
            })
            .collect();
        let what = if provisioning { "Provisioning time" } else { "Approval time" };
        json!({"caption": format!("{what} by {}", first.to_lowercase()), "first": first, "rows": rows, "business": self.business,
            "note": self.note(of(&self.report.all).n, true), "scale": lines.iter().filter_map(|l| of(l).p90_ms).max()})
    }

    /// Figures that may be told.
    fn told(&self, figures: Vec<Figure>) -> Vec<Figure> {
        let open = |f: &Figure| matches!(f.id, "flow" | "bands");
        figures.into_iter().filter(|f| !self.report.withheld || open(f)).filter(|f| f.svg.is_some() || f.few.is_some()).collect()
    }

    pub(super) fn provisioning<'l>(&self, line: &'l Line) -> &'l Spread {
        if self.business { &line.provisioning_business } else { &line.provisioning }
    }

    pub(super) fn approval<'l>(&self, line: &'l Line) -> &'l Spread {
        if self.business { &line.approval_business } else { &line.approval }
    }

    /// The page of one line; none for what is told together.
    pub(super) fn link(&self, field: &str, line: &Line) -> Option<String> {
        let page = match field {
            "application" => Page::Application,
            "admin_group" => Page::Group,
            _ if self.links.cut("application").is_empty() => Page::Group,
            _ => Page::Application,
        };
        (!line.id.is_empty()).then(|| self.links.with(field, &line.id).page(page.path()))
    }

    pub(super) fn behind(&self, field: &str, line: &Line, which: Which) -> String {
        self.links.with(field, &line.id).behind(which)
    }
}
