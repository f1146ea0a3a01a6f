//! Figures and assignments as CSV, safe to open in a spreadsheet. No person is in them.

use serde::Serialize;
use utoipa::ToSchema;

use super::case::{Case, Verdict};
use super::clocks::CalendarStamp;
use super::measure::{Line, Spread};
use super::report::Report;
use crate::catalog::Catalog;
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
    /// When it was closed.
    #[schema(value_type = Option<i64>)]
    pub closed_at: Option<Timestamp>,
    /// Approval time, milliseconds of all time.
    pub approval_elapsed_ms: Option<i64>,
    /// Approval time, milliseconds of working time.
    pub approval_business_ms: Option<i64>,
    /// Provisioning time (until now while it is open), milliseconds of all time.
    pub provisioning_elapsed_ms: Option<i64>,
    /// Provisioning time, milliseconds of working time.
    pub provisioning_business_ms: Option<i64>,
    /// By when its target wants it closed.
    #[schema(value_type = Option<i64>)]
    pub due_by: Option<Timestamp>,
    /// How it stands to its target.
    pub verdict: Option<Verdict>,
    /// The calendar that counted working time.
    pub calendar: Option<CalendarStamp>,
}

impl CaseRow {
    /// For people and machines.
    #[must_use]
    pub fn of(case: Case, catalog: &Catalog) -> Self {
        let (fact, approval, provisioning) = (case.fact, case.approval, case.provisioning);
        Self {
            calendar: catalog.calendar_of(&fact.admin_group).map(CalendarStamp::from),
            id: fact.id,
            external_id: fact.external_id,
            ticket: fact.ticket,
            application_id: fact.application_id,
            application_name: fact.application_name,
            admin_group: fact.admin_group,
            operation: fact.operation,
            outcome: fact.outcome,
            requested_at: fact.requested_at,
            approved_at: fact.approved_at,
            eligible_at: fact.eligible_at,
            closed_at: fact.closed_at,
            approval_elapsed_ms: approval.map(|b| b.elapsed_ms),
            approval_business_ms: approval.and_then(|b| b.business_ms),
            provisioning_elapsed_ms: provisioning.map(|b| b.elapsed_ms),
            provisioning_business_ms: provisioning.and_then(|b| b.business_ms),
            due_by: case.due_by,
            verdict: case.verdict,
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
            word(&self.outcome),
            time(self.requested_at),
            time(self.approved_at),
            time(self.eligible_at),
            time(self.closed_at),
            seconds(self.approval_elapsed_ms),
            seconds(self.approval_business_ms),
            seconds(self.provisioning_elapsed_ms),
            seconds(self.provisioning_business_ms),
            time(self.due_by),
            verdict.to_owned(),
            calendar,
        ]
    }
}

const CASE_COLUMNS: [&str; 19] = [
    "id",
    "external_id",
    "ticket",
    "application_id",
    "application_name",
    "admin_group",
    "operation",
    "outcome",
    "requested_at",
    "approved_at",
    "eligible_at",
    "closed_at",
    "approval_elapsed_s",
    "approval_business_s",
    "provisioning_elapsed_s",
    "provisioning_business_s",
    "due_by",
    "target",
    "calendar",
];

/// The assignments behind a figure, as CSV.
#[must_use]
pub fn cases_csv(rows: &[CaseRow]) -> String {
    table(CASE_COLUMNS.map(str::to_owned).to_vec(), rows.iter().map(CaseRow::record))
}

/// The figures of a report, as CSV: one line per application, per admin group, and for all.
#[must_use]
pub fn report_csv(report: &Report) -> String {
    let mut head: Vec<String> = ["by", "id", "name", "from", "to"].map(str::to_owned).to_vec();
    for measure in ["approval_elapsed", "approval_business", "provisioning_elapsed", "provisioning_business"] {
        head.extend(["n", "p50_s", "p90_s", "max_s"].map(|figure| format!("{measure}_{figure}")));
    }
    head.extend(["in_target", "late", "overdue_open", "calendars"].map(str::to_owned));
    let calendars: Vec<String> = report.calendars.iter().map(|c| format!("{} {}", c.name, c.version)).collect();
    let calendars = calendars.join(" ");
    let from = report.as_of.plus_secs(-report.days * 86_400).iso();
    let record = |by: &str, line: &Line| {
        let mut record = vec![by.to_owned(), line.id.clone(), line.name.clone(), from.clone(), report.as_of.iso()];
        for spread in [&line.approval, &line.approval_business, &line.provisioning, &line.provisioning_business] {
            record.extend(figures(spread));
        }
        record.extend([line.target.in_target, line.target.late, line.target.overdue_open].map(|n| n.to_string()));
        record.push(calendars.clone());
        record
    };
    let all = std::iter::once(record("all", &report.all));
    let applications = report.applications.iter().map(|line| record("application", line));
    let groups = report.groups.iter().map(|line| record("admin_group", line));
    table(head.clone(), all.chain(applications).chain(groups))
}

fn figures(spread: &Spread) -> [String; 4] {
    [spread.n.to_string(), seconds(spread.p50_ms), seconds(spread.p90_ms), seconds(spread.max_ms)]
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
