//! Figures and assignments as CSV, safe to open in a spreadsheet. No person is in them.

use serde::Serialize;
use utoipa::ToSchema;

use super::case::{Stage, Verdict};
use super::clocks::CalendarStamp;
use super::measure::{Line, Spread};
use super::report::{Report, Shown};
use crate::model::{Id, Timestamp};

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

    fn record(&self) -> Vec<String> {
        let time = |t: Option<Timestamp>| t.map(Timestamp::iso).unwrap_or_default();
        let word = |v: &Option<String>| v.clone().unwrap_or_default();
        let verdict = match self.verdict {
            Some(Verdict::InTarget) => "in_target",
            Some(Verdict::Late) => "late",
            Some(Verdict::Overdue) => "overdue",
            Some(Verdict::Running) => "running",
            None => "",
        };
        let calendar = self.calendar.as_ref().map(|c| format!("{} {}", c.name, c.version)).unwrap_or_default();
        vec![
            self.id.to_string(),
            self.external_id.clone(),
            word(&self.ticket),
            self.application_id.clone(),
            self.application_name.clone(),
            self.admin_group.clone(),
            self.operation.clone(),
            self.desk.clone(),
            word(&self.outcome),
            time(self.requested_at),
            time(self.approved_at),
            time(self.eligible_at),
            time(self.filed_at),
            time(self.first_work_at),
            time(self.closed_at),
            time(self.reported_at),
            seconds(self.approval_elapsed_ms),
            seconds(self.approval_business_ms),
            seconds(self.provisioning_elapsed_ms),
            seconds(self.provisioning_business_ms),
            seconds(self.paused_elapsed_ms),
            time(self.due_by),
            verdict.to_owned(),
            calendar,
        ]
    }
}

const CASE_COLUMNS: [&str; 24] = [
    "id",
    "external_id",
    "ticket",
    "application_id",
    "application_name",
    "admin_group",
    "operation",
    "desk",
    "outcome",
    "requested_at",
    "approved_at",
    "eligible_at",
    "filed_at",
    "first_work_at",
    "closed_at",
    "reported_at",
    "approval_elapsed_s",
    "approval_business_s",
    "provisioning_elapsed_s",
    "provisioning_business_s",
    "paused_elapsed_s",
    "due_by",
    "target",
    "calendar",
];

/// The assignments behind a figure, as CSV.
#[must_use]
pub fn cases_csv(rows: &[CaseRow]) -> String {
    table(CASE_COLUMNS.map(str::to_owned).to_vec(), rows.iter().map(CaseRow::record))
}

/// The figures of a report, as CSV: one line for all, and one per application, admin group, operation and desk.
#[must_use]
pub fn report_csv(report: &Report) -> String {
    let mut head: Vec<String> = ["by", "id", "name", "from", "to"].map(str::to_owned).to_vec();
    for measure in ["approval_elapsed", "approval_business", "provisioning_elapsed", "provisioning_business"] {
        head.extend(["n", "p50_s", "p90_s", "p95_s", "max_s"].map(|figure| format!("{measure}_{figure}")));
    }
    head.extend(COUNTED.map(str::to_owned));
    let calendars: Vec<String> = report.calendars.iter().map(|c| format!("{} {}", c.name, c.version)).collect();
    let calendars = calendars.join(" ");
    let from = report.from.iso();
    let record = |by: &str, line: &Line| {
        let mut record = vec![by.to_owned(), line.id.clone(), line.name.clone(), from.clone(), report.to.iso()];
        for spread in [&line.approval, &line.approval_business, &line.provisioning, &line.provisioning_business] {
            record.extend(figures(spread));
        }
        record.extend(counted(line).map(|n| n.to_string()));
        record.push(report.as_of.iso());
        record.push(calendars.clone());
        record
    };
    let all = std::iter::once(record("all", &report.all));
    let applications = report.applications.iter().map(|line| record("application", line));
    let groups = report.groups.iter().map(|line| record("admin_group", line));
    let operations = report.operations.iter().map(|line| record("operation", line));
    let desks = report.desks.iter().map(|line| record("desk", line));
    table(head.clone(), all.chain(applications).chain(groups).chain(operations).chain(desks))
}

/// Columns after the spreads.
const COUNTED: [&str; 23] = [
    "in_target",
    "late",
    "overdue_open",
    "arrived",
    "closed",
    "open",
    "right_first_time",
    "could_be_right",
    "reopened",
    "cancelled",
    "withdrawn",
    "rerouted",
    "premature",
    "date_kept",
    "dated",
    "date_overdue_open",
    "leavers",
    "leavers_within_24h",
    "leavers_within_4h",
    "leavers_overdue_open",
    "expired_open",
    "as_of",
    "calendars",
];

fn counted(line: &Line) -> [i64; 21] {
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

fn figures(spread: &Spread) -> [String; 5] {
    let told = [spread.p50_ms, spread.p90_ms, spread.p95_ms, spread.max_ms].map(seconds);
    let [p50, p90, p95, max] = told;
    [spread.n.to_string(), p50, p90, p95, max]
}

fn seconds(ms: Option<i64>) -> String {
    ms.map(|ms| (ms / 1000).to_string()).unwrap_or_default()
}

fn table(head: Vec<String>, records: impl Iterator<Item = Vec<String>>) -> String {
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    for record in std::iter::once(head).chain(records) {
        // writing to memory cannot fail, and every record has the width of the head
        let _ = writer.write_record(record.iter().map(|cell| safe(cell)));
    }
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}

/// A spreadsheet takes what begins like this for a formula; an apostrophe before it makes it text.
fn safe(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_becomes_a_formula_and_quotes_hold() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let text = table(row(["a", "b", "c"]), [row(["=1+1", "+2", "-3"]), row(["@x", "\ty", "a \"b\", c"])].into_iter());
        assert_eq!(text, "a,b,c\r\n'=1+1,'+2,'-3\r\n'@x,'\ty,\"a \"\"b\"\", c\"\r\n");
        assert_eq!(safe("1=1"), "1=1");
    }
}
