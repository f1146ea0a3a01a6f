//! What a report says: figures as text and page, all of it as a workbook. No person is in it.

use serde_json::{Value, json};

use crate::catalog::{Catalog, Content, ScheduledReport};
use crate::kpi::evidence::Pack;
use crate::kpi::export::{CaseRow, cases, figures, not_all};
use crate::kpi::report::{Asked, Report, Which, found};
use crate::kpi::small::Small;
use crate::ledger::exports::EvidenceFilter;
use crate::ledger::views::Scope;
use crate::ledger::{Ledger, LedgerError};
use crate::model::Timestamp;
use crate::sheet::{Cell, Column, Document, MOST_ROWS, Unit, XlsxError};

/// Columns of the figures that mail readers show; the workbook has all.
const IN_MAIL: [&str; 10] = [
    "by",
    "name",
    "provisioning_elapsed_n",
    "provisioning_elapsed_p50_s",
    "provisioning_elapsed_p90_s",
    "approval_elapsed_p50_s",
    "in_target",
    "late",
    "overdue_open",
    "open",
];

/// A report, ready to be sent.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// Title, for the subject.
    pub title: String,
    /// Plain text.
    pub text: String,
    /// The same as a page.
    pub html: String,
    /// Name of the workbook's file.
    pub file: String,
    /// All of it, as a workbook.
    pub workbook: Vec<u8>,
    /// What it is about, as data: name, period, due time, figures.
    pub data: Value,
}

/// Why a report could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum Unprepared {
    /// The ledger did not answer.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The workbook could not be written.
    #[error(transparent)]
    Workbook(#[from] XlsxError),
}

/// Reads and writes a report that is (was) due then. Its period does not move when it is sent late.
///
/// # Errors
/// See [`Unprepared`].
pub async fn prepare(
    ledger: &dyn Ledger,
    catalog: &Catalog,
    report: &ScheduledReport,
    due: Timestamp,
    now: Timestamp,
) -> Result<Prepared, Unprepared> {
    let (first, last) = report.days(due);
    let scope: Scope = (!report.applications.is_empty()).then(|| report.applications.clone());
    let asked = Asked { from: Some(first), to: Some(last), admin_groups: report.admin_groups.clone(), ..Asked::default() };
    let measured = Report::of(ledger, catalog, &scope, &asked, now).await?;
    let title = format!("lastmile {}: {first} to {last}", report.name);
    let mut whole = Document { title: title.clone(), ..figures(&measured, &asked, &scope) };
    whole.about.insert(0, ("Report".to_owned(), format!("{}, due {}", report.name, due.human())));
    let mut tables = std::mem::take(&mut whole.tables);
    let mut letter = Document {
        tables: if report.contents.contains(&Content::Figures) { short(&tables) } else { Vec::new() },
        ..whole.clone()
    };
    if !report.contents.contains(&Content::Figures) {
        tables.clear();
    }
    if report.contents.contains(&Content::Assignments) {
        let most = i64::try_from(MOST_ROWS).unwrap_or(i64::MAX);
        let found = found(ledger, catalog, &scope, &asked, now, most).await?;
        let rows: Vec<CaseRow> = found.rows.into_iter().map(|s| CaseRow::of(s, now)).collect();
        let of_them = if found.cut { not_all(Which::Closed) } else { rows.len().to_string() };
        // Both who opens the workbook and who reads the letter shall know.
        for document in [&mut whole, &mut letter] {
            document.about.push(("Assignments".to_owned(), of_them.clone()));
        }
        tables.extend(cases(&rows, found.cut, &asked, &scope, now).tables);
    }
    if report.contents.contains(&Content::Evidence) {
        let (from, to) = asked.period(now);
        let filter = EvidenceFilter {
            from,
            to,
            scope: scope.clone(),
            admin_groups: report.admin_groups.clone(),
            ..EvidenceFilter::default()
        };
        let evidence = ledger.evidence(&filter, false, MOST_ROWS).await?;
        let small = Small::over(ledger, catalog, from, to).await?;
        let pack = Pack::of(evidence, Some(&small), format!("{first} to {last}, days of UTC"), now);
        let facts = pack.facts().into_iter().map(|(label, value)| (format!("Evidence: {label}"), value));
        whole.about.extend(facts);
        tables.extend(
            pack.document()
                .tables
                .into_iter()
                .map(|table| crate::sheet::Table { name: format!("Evidence: {}", table.name), ..table }),
        );
    }
    whole.tables = tables;
    let data = json!({
        "report": report.name, "due_at": due, "from": first.to_string(), "to": last.to_string(),
        "applications": scope, "admin_groups": report.admin_groups, "figures": measured,
    });
    Ok(Prepared {
        text: letter.text(),
        html: letter.html(),
        file: format!("lastmile-{}-{first}-{last}.xlsx", report.name),
        workbook: whole.into_xlsx().await?,
        title,
        data,
    })
}

/// The figures in few columns, for a letter.
fn short(tables: &[crate::sheet::Table]) -> Vec<crate::sheet::Table> {
    let mut tables = tables.to_vec();
    if let Some(table) = tables.first_mut() {
        let kept: Vec<usize> = IN_MAIL.iter().filter_map(|key| table.columns.iter().position(|c| c.key == *key)).collect();
        let pick = |row: &Vec<Cell>| kept.iter().filter_map(|n| row.get(*n).cloned()).collect();
        table.rows = table.rows.iter().map(pick).collect();
        // A stored word is for machines: people read it here.
        for word in table.rows.iter_mut().filter_map(|row| row.first_mut()) {
            if let Cell::Text(text) = word {
                *text = text.replace('_', " ");
            }
        }
        table.columns = kept.iter().filter_map(|n| table.columns.get(*n).cloned()).collect::<Vec<Column>>();
        debug_assert!(table.columns.iter().any(|c| c.unit == Unit::Span));
    }
    // The course of the period is for the workbook and the page.
    tables.truncate(2);
    tables
}
