//! Figures and assignments as documents: for a spreadsheet, for mail. No person is in them.

use serde::Serialize;
use utoipa::ToSchema;

use super::case::{Stage, Verdict};
use super::clocks::CalendarStamp;
use super::measure::{Line, MIN_FOR_PERCENTILE};
use super::report::{Asked, MOST_BEHIND, Point, Report, Shown, Which};
use super::words::day_words;
use crate::ledger::views::{BacklogRow, Scope};
use crate::model::{Id, Timestamp};
use crate::sheet::{Cell, Column, Document, Table, Unit};

/// An assignment behind a figure.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CaseRow {
    /// Our id.
    #[schema(value_type = String)]
    pub id: Id,
    /// The platform's id.
    pub external_id: String,
    /// Ticket number.
    pub ticket: Option<String>,
    /// Application id.
    pub application_id: String,
    /// Application name.
    pub application_name: String,
    /// Admin group.
    pub admin_group: String,
    /// Operation, stored word.
    pub operation: String,
    /// Desk by name.
    pub desk: String,
    /// Outcome, stored word.
    pub outcome: Option<String>,
    /// When it was asked for.
    #[schema(value_type = Option<i64>)]
    pub requested_at: Option<Timestamp>,
    /// Last approval.
    #[schema(value_type = Option<i64>)]
    pub approved_at: Option<Timestamp>,
    /// When the admin group's clock started.
    #[schema(value_type = Option<i64>)]
    pub eligible_at: Option<Timestamp>,
    /// When the ticket was created.
    #[schema(value_type = Option<i64>)]
    pub filed_at: Option<Timestamp>,
    /// When work began.
    #[schema(value_type = Option<i64>)]
    pub first_work_at: Option<Timestamp>,
    /// When it was closed.
    #[schema(value_type = Option<i64>)]
    pub closed_at: Option<Timestamp>,
    /// When the platform had the outcome.
    #[schema(value_type = Option<i64>)]
    pub reported_at: Option<Timestamp>,
    /// When the application itself showed it.
    #[schema(value_type = Option<i64>)]
    pub proven_at: Option<Timestamp>,
    /// Approval time, milliseconds of all time.
    pub approval_elapsed_ms: Option<i64>,
    /// Approval time, milliseconds of working time.
    pub approval_business_ms: Option<i64>,
    /// Provisioning time less pauses (while it is open: until now), milliseconds of all time.
    pub provisioning_elapsed_ms: Option<i64>,
    /// Provisioning time, milliseconds of working time.
    pub provisioning_business_ms: Option<i64>,
    /// Pauses between eligible and closed, milliseconds of all time.
    pub paused_elapsed_ms: Option<i64>,
    /// By when its target wants it closed, moved by its pauses.
    #[schema(value_type = Option<i64>)]
    pub due_by: Option<Timestamp>,
    /// How it stands to its target.
    pub verdict: Option<Verdict>,
    /// The calendar that counted working time; a closed one keeps the version it was closed under.
    pub calendar: Option<CalendarStamp>,
}

impl CaseRow {
    /// For people and machines, as things stand now.
    #[must_use]
    pub fn of(shown: Shown, now: Timestamp) -> Self {
        let Shown { row, case } = shown;
        let took = |stage| case.took(stage);
        // What is open counts until now, by all of the time alone: its working time is told by its own page.
        let running = case.eligible.filter(|from| case.closed.is_none() && *from <= now).map(|from| now.ms_since(from));
        let provisioning = took(Stage::Provisioning);
        Self {
            id: row.id,
            external_id: row.external_id,
            ticket: row.ticket,
            application_id: row.dim.application_id,
            application_name: row.dim.application_name,
            admin_group: row.dim.admin_group,
            operation: row.dim.operation,
            desk: row.dim.desk,
            outcome: case.outcome.map(|o| o.as_str().to_owned()),
            requested_at: case.requested,
            approved_at: case.approved,
            eligible_at: case.eligible,
            filed_at: case.filed,
            first_work_at: case.first_work,
            closed_at: case.closed,
            reported_at: case.reported,
            proven_at: case.proven,
            approval_elapsed_ms: took(Stage::Approval).map(|b| b.elapsed_ms),
            approval_business_ms: took(Stage::Approval).and_then(|b| b.business_ms),
            provisioning_elapsed_ms: provisioning.map(|b| b.elapsed_ms).or(running),
            provisioning_business_ms: provisioning.and_then(|b| b.business_ms),
            paused_elapsed_ms: took(Stage::Paused).map(|b| b.elapsed_ms),
            due_by: case.due_by,
            verdict: case.verdict(now),
            calendar: case.calendar,
        }
    }

    fn cells(&self) -> Vec<Cell> {
        let verdict = match self.verdict {
            Some(Verdict::InTarget) => "in_target",
            Some(Verdict::Late) => "late",
            Some(Verdict::Overdue) => "overdue",
            Some(Verdict::Running) => "running",
            None => "",
        };
        vec![
            self.id.to_string().into(),
            self.external_id.clone().into(),
            self.ticket.clone().into(),
            self.application_id.clone().into(),
            self.application_name.clone().into(),
            self.admin_group.clone().into(),
            self.operation.clone().into(),
            self.desk.clone().into(),
            self.outcome.clone().into(),
            self.requested_at.into(),
            self.approved_at.into(),
            self.eligible_at.into(),
            self.filed_at.into(),
            self.first_work_at.into(),
            self.closed_at.into(),
            self.reported_at.into(),
            self.proven_at.into(),
            Cell::span(self.approval_elapsed_ms),
            Cell::span(self.approval_business_ms),
            Cell::span(self.provisioning_elapsed_ms),
            Cell::span(self.provisioning_business_ms),
            Cell::span(self.paused_elapsed_ms),
            self.due_by.into(),
            verdict.into(),
            self.calendar.as_ref().map(|c| format!("{} {}", c.name, c.version)).into(),
        ]
    }
}

const CASE_COLUMNS: [(&str, &str, Unit); 25] = [
    ("id", "Assignment", Unit::Text),
    ("external_id", "Order", Unit::Text),
    ("ticket", "Ticket", Unit::Text),
    ("application_id", "Application id", Unit::Text),
    ("application_name", "Application", Unit::Text),
    ("admin_group", "Admin group", Unit::Text),
    ("operation", "Operation", Unit::Text),
    ("desk", "Desk", Unit::Text),
    ("outcome", "Outcome", Unit::Text),
    ("requested_at", "Requested", Unit::Instant),
    ("approved_at", "Approved", Unit::Instant),
    ("eligible_at", "Eligible", Unit::Instant),
    ("filed_at", "Ticket filed", Unit::Instant),
    ("first_work_at", "Work began", Unit::Instant),
    ("closed_at", "Closed", Unit::Instant),
    ("reported_at", "Reported", Unit::Instant),
    ("proven_at", "Proven", Unit::Instant),
    ("approval_elapsed_s", "Approval time, elapsed", Unit::Span),
    ("approval_business_s", "Approval time, working", Unit::Span),
    ("provisioning_elapsed_s", "Provisioning time, elapsed", Unit::Span),
    ("provisioning_business_s", "Provisioning time, working", Unit::Span),
    ("paused_elapsed_s", "Paused, elapsed", Unit::Span),
    ("due_by", "Due", Unit::Instant),
    ("target", "Target", Unit::Text),
    ("calendar", "Calendar", Unit::Text),
];

/// The assignments behind a figure; `cut`: there may be others.
#[must_use]
pub fn cases(rows: &[CaseRow], cut: bool, asked: &Asked, scope: &Scope, now: Timestamp) -> Document {
    let which = asked.which.unwrap_or_default();
    let (from, to) = asked.period(now);
    let period = if which.is_open() { "now, whatever the period".to_owned() } else { days(from, to) };
    let columns = CASE_COLUMNS.map(|(key, title, unit)| Column::new(key, title, unit)).to_vec();
    let table = Table { name: "Assignments".to_owned(), columns, rows: rows.iter().map(CaseRow::cells).collect() };
    let document = Document { title: format!("lastmile: {}", which.human()), tables: vec![table], ..Document::default() };
    filtered(document.about("Period", period), asked, scope)
        .about("As of", now.human())
        .about("n", if cut { format!("{}; {}", rows.len(), not_all(which)) } else { rows.len().to_string() })
        .means(
            "Eligible",
            "when the admin group could begin: approved, and for a future date not before that date less the lead time",
        )
        .means("Approval time", "requested until the last approval")
        .means("Provisioning time", "eligible until closed, less pauses; of open ones until now")
        .means("Elapsed, working", "all of the time; the working hours of the admin group's calendar")
        .means("Target", "in_target and late: closed; overdue: open, and its target has passed; running: open, with time left")
}

/// What is said of a list that may not be all.
#[must_use]
pub fn not_all(which: Which) -> String {
    let taken = if which.is_open() { "those that wait longest" } else { "the latest" };
    format!("not all: {MOST_BEHIND} assignments were looked at, {taken}; choose a shorter period or one admin group")
}

/// Which applications, groups, operation and desk it was narrowed to.
fn filtered(document: Document, asked: &Asked, scope: &Scope) -> Document {
    let word = |v: &Option<String>| v.clone().filter(|t| !t.trim().is_empty());
    let mut said = Vec::new();
    let groups = (!asked.admin_groups.is_empty()).then(|| asked.admin_groups.join(", "));
    for (label, value) in [
        ("application", word(&asked.application)),
        ("admin group", word(&asked.admin_group).or(groups)),
        ("operation", word(&asked.operation)),
        ("desk", word(&asked.desk)),
    ] {
        said.extend(value.map(|value| format!("{label} {value}")));
    }
    let said = if said.is_empty() { "none".to_owned() } else { said.join("; ") };
    let seen = scope.as_ref().map_or_else(|| "all".to_owned(), |applications| applications.join(", "));
    document.about("Filter", said).about("Applications in scope", seen)
}

/// A period of whole days.
fn days(from: Timestamp, to: Timestamp) -> String {
    format!("{} to {}, days of UTC", day_words(from), day_words(to.plus_ms(-1)))
}

/// The figures of a report: one line for all, and one per application, admin group, operation and desk; what is open by
/// age; and the way they took over the period.
#[must_use]
pub fn figures(report: &Report, asked: &Asked, scope: &Scope) -> Document {
    let document = Document {
        title: "lastmile: approval and provisioning".to_owned(),
        tables: vec![lines(report), backlog(report), trend(report)],
        ..Document::default()
    };
    let calendars: Vec<String> =
        report.calendars.iter().map(|c| format!("{} ({}, version {})", c.name, c.zone, c.version)).collect();
    let mut document = filtered(document.about("Period", days(report.from, report.to)), asked, scope)
        .about(
            "As of",
            if report.as_of.0 > 0 { report.as_of.human() } else { "not counted yet: look again in a minute".to_owned() },
        )
        .about("n", format!("{} closed in the period", report.all.flow.closed))
        .about("Calendars", if calendars.is_empty() { "none".to_owned() } else { calendars.join(", ") })
        .about(
            "Percentiles",
            format!(
                "within {} % of the exact ones, none under n = {MIN_FOR_PERCENTILE}; counts and longest are exact",
                report.accuracy_percent
            ),
        );
    if report.smallest_group > 1 {
        let words = format!("fewer than {} people are shown only together with others", report.smallest_group);
        document = document.about("Small groups", words);
    }
    if report.withheld {
        document = document.about("Withheld", "so few people did this that their times are not shown");
    }
    document
        .means("Approval time", "requested until the last approval")
        .means("Provisioning time", "eligible until closed, less pauses; the wait for an approval or a future date is not in it")
        .means("Elapsed, working", "all of the time; the working hours of the admin group's calendar")
        .means("p50, p90, p95", "half, nine of ten, nineteen of twenty took no longer")
        .means("In target", "closed in time, out of all closed and all that are open past their target")
        .means("Right the first time", "fulfilled, not opened again and not ordered again within 14 days")
}

fn lines(report: &Report) -> Table {
    let mut columns = vec![
        Column::new("by", "By", Unit::Text),
        Column::new("id", "Id", Unit::Text),
        Column::new("name", "Name", Unit::Text),
        Column::new("from", "From", Unit::Instant),
        Column::new("to", "To", Unit::Instant),
    ];
    for (key, title) in [
        ("approval_elapsed", "Approval time, elapsed"),
        ("approval_business", "Approval time, working"),
        ("provisioning_elapsed", "Provisioning time, elapsed"),
        ("provisioning_business", "Provisioning time, working"),
    ] {
        columns.push(Column::new(&format!("{key}_n"), &format!("{title}: n"), Unit::Count));
        for (figure, words) in [("p50_s", "p50"), ("p90_s", "p90"), ("p95_s", "p95"), ("max_s", "longest")] {
            columns.push(Column::new(&format!("{key}_{figure}"), &format!("{title}: {words}"), Unit::Span));
        }
    }
    columns.extend(COUNTED.map(|(key, title)| Column::new(key, title, Unit::Count)));
    columns.push(Column::new("as_of", "As of", Unit::Instant));
    columns.push(Column::new("calendars", "Calendars", Unit::Text));
    let calendars: Vec<String> = report.calendars.iter().map(|c| format!("{} {}", c.name, c.version)).collect();
    let calendars = calendars.join(" ");
    let row = |by: &str, line: &Line| {
        let mut cells: Vec<Cell> =
            vec![by.into(), line.id.clone().into(), line.name.clone().into(), report.from.into(), report.to.into()];
        for spread in [&line.approval, &line.approval_business, &line.provisioning, &line.provisioning_business] {
            cells.push(spread.n.into());
            cells.extend([spread.p50_ms, spread.p90_ms, spread.p95_ms, spread.max_ms].map(Cell::span));
        }
        cells.extend(counted(line).map(Cell::from));
        cells.extend([report.as_of.into(), calendars.clone().into()]);
        cells
    };
    let mut rows = vec![row("all", &report.all)];
    for (by, lines) in [
        ("application", &report.applications),
        ("admin_group", &report.groups),
        ("operation", &report.operations),
        ("desk", &report.desks),
    ] {
        rows.extend(lines.iter().map(|line| row(by, line)));
    }
    Table { name: "Figures".to_owned(), columns, rows }
}

fn backlog(report: &Report) -> Table {
    let mut columns = vec![
        Column::new("application_id", "Application id", Unit::Text),
        Column::new("application_name", "Application", Unit::Text),
        Column::new("admin_group", "Admin group", Unit::Text),
        Column::new("not_yet", "Not yet due", Unit::Count),
    ];
    let bands = ["Under 1 day", "1 to 3 days", "3 to 7 days", "7 to 14 days", "Over 14 days"];
    let keys = ["under_1_day", "days_1_to_3", "days_3_to_7", "days_7_to_14", "over_14_days"];
    columns.extend(keys.iter().zip(bands).map(|(key, title)| Column::new(key, title, Unit::Count)));
    columns.push(Column::new("oldest", "Oldest since", Unit::Instant));
    let row = |b: &BacklogRow| {
        let mut cells: Vec<Cell> = vec![
            b.application_id.clone().into(),
            b.application_name.clone().into(),
            b.admin_group.clone().into(),
            b.not_yet.into(),
        ];
        cells.extend(b.bands.map(Cell::from));
        cells.push(b.oldest.into());
        cells
    };
    Table { name: "Open by age".to_owned(), columns, rows: report.backlog.iter().map(row).collect() }
}

fn trend(report: &Report) -> Table {
    let columns = vec![
        Column::new("from", "From", Unit::Instant),
        Column::new("to", "To", Unit::Instant),
        Column::new("arrived", "Came", Unit::Count),
        Column::new("closed", "Closed", Unit::Count),
        Column::new("provisioning_p50_s", "Provisioning time, elapsed: p50", Unit::Span),
        Column::new("provisioning_p90_s", "Provisioning time, elapsed: p90", Unit::Span),
        Column::new("in_target_percent", "In target", Unit::Percent),
    ];
    let row = |p: &Point| {
        vec![
            p.from.into(),
            p.to.into(),
            p.arrived.into(),
            p.closed.into(),
            Cell::span(p.provisioning.p50_ms),
            Cell::span(p.provisioning.p90_ms),
            p.target.percent.into(),
        ]
    };
    Table { name: "Over the period".to_owned(), columns, rows: report.trend.iter().map(row).collect() }
}

/// Counts of a line.
const COUNTED: [(&str, &str); 22] = [
    ("in_target", "In target"),
    ("late", "Too late"),
    ("overdue_open", "Open and overdue"),
    ("arrived", "Came"),
    ("closed", "Closed"),
    ("open", "Open now"),
    ("right_first_time", "Right the first time"),
    ("could_be_right", "Could be right"),
    ("reopened", "Opened again"),
    ("cancelled", "Cancelled"),
    ("withdrawn", "Taken back"),
    ("rerouted", "Given to another group"),
    ("proven", "Proven by the application"),
    ("premature", "Before their day"),
    ("date_kept", "By their day"),
    ("dated", "For a later day"),
    ("date_overdue_open", "Open past their day"),
    ("leavers", "Leavers"),
    ("leavers_within_24h", "Leavers within 24 h"),
    ("leavers_within_4h", "Leavers within 4 h"),
    ("leavers_overdue_open", "Leavers open for over 24 h"),
    ("expired_open", "Open although access was to end"),
];

fn counted(line: &Line) -> [i64; 22] {
    let (target, flow, quality, dates, leavers) = (&line.target, &line.flow, &line.quality, &line.dates, &line.leavers);
    [
        target.in_target,
        target.late,
        target.overdue_open,
        flow.arrived,
        flow.closed,
        flow.open,
        quality.right,
        quality.meant,
        quality.reopened,
        quality.cancelled,
        quality.withdrawn,
        quality.rerouted,
        quality.proven,
        dates.premature,
        dates.kept,
        dates.n,
        dates.overdue_open,
        leavers.n,
        leavers.within_24h,
        leavers.within_4h,
        leavers.overdue_open,
        line.expired_open,
    ]
}
