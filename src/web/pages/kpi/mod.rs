//! Pages of figures: the number that matters, pictures with their tables, and a way from every number to what is behind it.

mod figures;
mod links;

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::behind::rows;
use super::figure::Figure;
use super::{render, to_value};
use crate::catalog::{Catalog, ClockKind};
use crate::kpi::case::Verdict;
use crate::kpi::clocks::target_of;
use crate::kpi::export::CaseRow;
use crate::kpi::measure::{Line, MIN_FOR_PERCENTILE, Spread, human, human_working};
use crate::kpi::report::{Asked as KpiAsked, Point, Report, Which, leavers_open, period_words};
use crate::ledger::rollups::CellFilter;
use crate::model::Operation;
use crate::web::WebState;
use crate::web::access::Reader;
use crate::web::extract::Asked;
use crate::web::problem::Refused;

pub(super) use links::Links;

/// Periods offered, days.
const PERIODS: [i64; 5] = [7, 30, 90, 180, 365];
/// Rows of a short list.
const SHORT_LIST: usize = 20;
const DAY_MS: i64 = 86_400_000;

/// A page of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Page {
    Start,
    Application,
    Group,
    Approval,
    Leavers,
    Backlog,
}

impl Page {
    const ALL: [Self; 6] = [Self::Start, Self::Application, Self::Group, Self::Approval, Self::Leavers, Self::Backlog];

    fn path(self) -> &'static str {
        match self {
            Self::Start => "/kpi",
            Self::Application => "/kpi/application",
            Self::Group => "/kpi/group",
            Self::Approval => "/kpi/approval",
            Self::Leavers => "/kpi/leavers",
            Self::Backlog => "/kpi/backlog",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Start => "Key figures",
            Self::Application => "Applications",
            Self::Group => "Admin groups",
            Self::Approval => "Approval and provisioning",
            Self::Leavers => "Leavers",
            Self::Backlog => "Backlog",
        }
    }
}

macro_rules! pages {
    ($($name:ident: $page:expr),*) => {$(
        /// A page of figures.
        ///
        /// # Errors
        /// The ledger does not answer; the filter cannot be read.
        pub(in crate::web) async fn $name(
            State(state): State<WebState>,
            reader: Reader,
            Asked(asked): Asked<KpiAsked>,
        ) -> Result<Response, Refused> {
            show($page, state, reader, asked).await
        }
    )*};
}

pages!(kpi: Page::Start, application: Page::Application, group: Page::Group, approval: Page::Approval,
    leavers: Page::Leavers, backlog: Page::Backlog);

async fn show(page: Page, state: WebState, reader: Reader, asked: KpiAsked) -> Result<Response, Refused> {
    let (setup, now) = (state.setup.load_full(), state.clock.now());
    let mut report = Report::of(&*state.ledger, &setup.catalog, &reader.scope, &asked, now).await?;
    // A time before anything came says nothing.
    let empty = report.trend.iter().take_while(|p| p.arrived + p.closed == 0).count();
    report.trend.drain(..empty);
    let view = View {
        report: &report,
        catalog: &setup.catalog,
        links: Links::of(&asked),
        business: asked.clock == Some(ClockKind::Business),
    };
    let mut data = view.frame(page);
    data["choices"] = choices(&state, &reader, &view.links).await?;
    match page {
        Page::Start => view.start(&mut data),
        Page::Application => view.part(&mut data, "application", &report.applications),
        Page::Group => view.part(&mut data, "admin_group", &report.groups),
        Page::Approval => view.approvals(&mut data),
        Page::Leavers => {
            let catalog = &setup.catalog;
            let open = leavers_open(&*state.ledger, catalog, &reader.scope, &asked, now, SHORT_LIST).await?;
            let waits = open.into_iter().map(|shown| {
                let left = shown.row.exact;
                let mut row = to_value(CaseRow::of(shown, now));
                row["since"] = json!(left);
                row["late"] = json!(now.ms_since(left) > DAY_MS);
                row
            });
            data["list"] = json!({"caption": "Still with access, longest first", "since": "Left", "rows": waits.collect::<Vec<_>>(),
                "none": "Nobody who left has access that is known here."});
            view.leavers(&mut data);
        }
        Page::Backlog => {
            let open = KpiAsked { which: Some(Which::Open), ..asked.clone() };
            let most = i64::try_from(SHORT_LIST).unwrap_or(i64::MAX);
            let waits = rows(&state, &reader, &open, most).await?.0.into_iter().map(|row| {
                let mut shown = to_value(&row);
                shown["since"] = json!(row.eligible_at);
                shown["late"] = json!(row.verdict == Some(Verdict::Overdue));
                shown
            });
            data["list"] = json!({"caption": format!("Waiting longest: the first {SHORT_LIST}"), "since": "Waits",
                "rows": waits.collect::<Vec<_>>(), "none": "Nothing is open."});
            view.backlog(&mut data);
        }
    }
    let title = data["heading"].as_str().unwrap_or(page.name()).to_owned();
    Ok(render(&state, &reader, "kpi", &title, data))
}

/// What the filter offers: everything in the reader's scope that ever had figures.
async fn choices(state: &WebState, reader: &Reader, links: &Links) -> Result<Value, Refused> {
    let dims = state.ledger.dims(&CellFilter { scope: reader.scope.clone(), ..CellFilter::default() }).await?;
    let mut offered: [BTreeMap<String, String>; 4] = Default::default();
    for dim in dims {
        let operation = Operation::parse(&dim.operation).map_or(dim.operation.clone(), |known| known.human().to_owned());
        let named = [
            (dim.application_id, dim.application_name),
            (dim.admin_group.clone(), dim.admin_group),
            (dim.operation, operation),
            (dim.desk.clone(), dim.desk),
        ];
        for (offered, (id, name)) in offered.iter_mut().zip(named).filter(|(_, (id, _))| !id.is_empty()) {
            offered.insert(id, name);
        }
    }
    let labels = ["Application", "Admin group", "Operation", "Desk"];
    let fields = links::CUTS.into_iter().zip(labels).zip(offered).map(|((field, label), mut offered)| {
        let chosen = links.cut(field);
        if !chosen.is_empty() {
            offered.entry(chosen.to_owned()).or_insert_with(|| chosen.to_owned());
        }
        let mut options: Vec<(String, String)> = offered.into_iter().collect();
        options.sort_by_key(|(_, name)| name.to_lowercase());
        let options = options.into_iter().map(|(id, name)| json!({"chosen": id == chosen, "id": id, "name": name}));
        json!({"field": field, "label": label, "options": options.collect::<Vec<_>>()})
    });
    Ok(json!(fields.collect::<Vec<_>>()))
}

/// A number at the top of a page.
#[derive(Debug, Clone, Default, serde::Serialize)]
struct Tile {
    number: String,
    words: String,
    more: String,
    link: String,
    main: bool,
    alarm: bool,
}

/// A report as a page tells it.
struct View<'a> {
    report: &'a Report,
    catalog: &'a Catalog,
    links: Links,
    business: bool,
}

impl View<'_> {
    /// What every page of figures has.
    fn frame(&self, page: Page) -> Value {
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
    fn start(&self, data: &mut Value) {
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
    fn part(&self, data: &mut Value, field: &str, lines: &[Line]) {
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

    fn approvals(&self, data: &mut Value) {
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

    fn leavers(&self, data: &mut Value) {
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

    fn backlog(&self, data: &mut Value) {
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

    fn tiles(&self, line: &Line) -> Vec<Tile> {
        let (provisioning, approval) = (self.provisioning(line), self.approval(line));
        let behind = |which| self.links.behind(which);
        let mut tiles = vec![Tile {
            number: self.or_few(provisioning.p50_ms),
            words: "provisioning: half within".to_owned(),
            more: format!("nine of ten within {}; n = {}", self.or_few(provisioning.p90_ms), provisioning.n),
            link: behind(Which::Closed),
            main: true,
            alarm: false,
        }];
        let (kept, judged) = (line.target, line.target.judged());
        if judged > 0 {
            tiles.push(Tile {
                number: share(kept.percent, kept.in_target, judged),
                words: "in target".to_owned(),
                more: format!("{} too late; n = {judged}", kept.late),
                link: behind(Which::Late),
                main: true,
                alarm: false,
            });
            tiles.push(Tile {
                number: kept.overdue_open.to_string(),
                words: "open and overdue now".to_owned(),
                more: format!("of {} open", line.flow.open),
                link: behind(Which::Overdue),
                main: true,
                alarm: kept.overdue_open > 0,
            });
        }
        tiles.push(Tile {
            number: self.or_few(approval.p50_ms),
            words: "approval: half within".to_owned(),
            more: format!("nine of ten within {}; n = {}", self.or_few(approval.p90_ms), approval.n),
            link: self.links.page(Page::Approval.path()),
            ..Tile::default()
        });
        let left = &line.leavers;
        if left.n > 0 || left.overdue_open > 0 {
            let judged = left.judged();
            tiles.push(Tile {
                number: share(left.percent_24h, left.within_24h, judged),
                words: "of leavers without access within 24 h".to_owned(),
                more: format!("{} still open after that; n = {judged}", left.overdue_open),
                link: self.links.page(Page::Leavers.path()),
                main: false,
                alarm: left.overdue_open > 0,
            });
        }
        let right = line.quality;
        if right.meant > 0 {
            tiles.push(Tile {
                number: share(right.right_percent, right.right, right.meant),
                words: "right the first time".to_owned(),
                more: format!("n = {}", right.meant),
                link: behind(Which::NotRight),
                ..Tile::default()
            });
        }
        if right.proven > 0 {
            tiles.push(Tile {
                number: share(right.proven_percent, right.proven, right.closed),
                words: "proven: the application itself shows it".to_owned(),
                more: format!(
                    "half within {} of the closing; n = {}",
                    elapsed_or_few(line.verification.elapsed.p50_ms),
                    right.closed
                ),
                link: behind(Which::Proven),
                ..Tile::default()
            });
        }
        let said = line.forecast;
        if said.n >= MIN_FOR_PERCENTILE {
            tiles.push(Tile {
                number: format!("{} %", said.nine * 100 / said.n),
                words: "closed by the later “expected by”, which is to hold for 90 %".to_owned(),
                more: format!("by the earlier {} %, which is to hold for 50 %; n = {}", said.half * 100 / said.n, said.n),
                link: behind(Which::Closed),
                ..Tile::default()
            });
        }
        tiles
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

    fn provisioning<'l>(&self, line: &'l Line) -> &'l Spread {
        if self.business { &line.provisioning_business } else { &line.provisioning }
    }

    fn approval<'l>(&self, line: &'l Line) -> &'l Spread {
        if self.business { &line.approval_business } else { &line.approval }
    }

    /// The page of one line; none for what is told together.
    fn link(&self, field: &str, line: &Line) -> Option<String> {
        let page = match field {
            "application" => Page::Application,
            "admin_group" => Page::Group,
            _ if self.links.cut("application").is_empty() => Page::Group,
            _ => Page::Application,
        };
        (!line.id.is_empty()).then(|| self.links.with(field, &line.id).page(page.path()))
    }

    fn behind(&self, field: &str, line: &Line, which: Which) -> String {
        self.links.with(field, &line.id).behind(which)
    }

    fn tell(&self, ms: i64) -> String {
        if self.business { human_working(ms) } else { human(ms) }
    }

    fn or_few(&self, ms: Option<i64>) -> String {
        ms.map_or_else(|| "too few".to_owned(), |ms| self.tell(ms))
    }

    #[expect(clippy::unused_self, reason = "one way to say it")]
    fn few(&self, n: i64) -> String {
        format!("Too few: n = {n}, and at least {MIN_FOR_PERCENTILE} are needed. Choose a longer period.")
    }

    fn period(&self) -> String {
        period_words(self.report.from, self.report.to)
    }

    fn as_of(&self) -> String {
        if self.report.as_of.0 > 0 { format!("as of {}", self.report.as_of.human()) } else { "not counted yet".to_owned() }
    }

    /// What a number is of.
    fn note(&self, n: i64, sketched: bool) -> String {
        let near = if sketched { format!("; times ±{} %", self.report.accuracy_percent) } else { String::new() };
        let clock = if self.business { "; business time" } else { "" };
        format!("n = {n}; {}; {}{near}{clock}", self.period(), self.as_of())
    }

    fn step_name(&self) -> &'static str {
        let step = |p: &Point| p.to.ms_since(p.from) / DAY_MS;
        match self.report.trend.iter().map(step).max().unwrap_or(1) {
            ..=1 => "Day",
            2..=7 => "Week from",
            _ => "Month",
        }
    }

    fn by_step(&self) -> &'static str {
        match self.step_name() {
            "Day" => "by day",
            "Month" => "by month",
            _ => "by week",
        }
    }

    fn labels(&self) -> Vec<String> {
        let form = if self.step_name() == "Month" { "%b %Y" } else { "%-d %b" };
        self.report.trend.iter().map(|p| p.from.to_utc().format(form).to_string()).collect()
    }

    /// Whether it gets better, in a sentence.
    fn better<'p>(&self, points: impl Iterator<Item = (&'p Point, &'p Spread)>) -> String {
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

    fn has_targets(&self) -> bool {
        self.report.all.target.judged() > 0
    }

    /// The target of all that is shown, milliseconds; none where they differ or count by another clock.
    fn target(&self) -> Option<i64> {
        let clock = if self.business { ClockKind::Business } else { ClockKind::Elapsed };
        let pairs = || self.report.applications.iter().flat_map(|a| self.report.operations.iter().map(move |o| (&a.id, &o.id)));
        let mut targets = pairs().map(|(application, operation)| target_of(self.catalog, application, operation));
        let first = targets.next()??;
        (targets.all(|t| t == Some(first)) && first.clock == clock).then(|| first.within.ms())
    }
}

/// A share as a number: percent, else how many of how many.
fn share(percent: Option<i64>, n: i64, of: i64) -> String {
    percent.map_or_else(|| format!("{n} of {of}"), |percent| format!("{percent} %"))
}

/// Time by the wall clock, whichever clock the page counts by.
fn elapsed_or_few(ms: Option<i64>) -> String {
    ms.map_or_else(|| "too few".to_owned(), human)
}
