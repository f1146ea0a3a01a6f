//! A workbook: a sheet that says what it covers and what its words mean, then a sheet per table. Text is written as text,
//! so that no cell is a formula; numbers and instants are real ones.

use rust_xlsxwriter::{DocProperties, ExcelDateTime, Format, FormatAlign, Workbook, Worksheet};

use super::{Cell, Document, Table, Unit};
use crate::model::Timestamp;

/// Media type of a workbook.
pub const XLSX_TYPE: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
/// Rows of one table, at most: a workbook is made in memory.
pub const MOST_ROWS: usize = 100_000;
/// Characters of a cell, at most (the file format's limit, in UTF-16 units).
const MOST_CHARACTERS: usize = 32_767;
/// Characters of a sheet's name, at most.
const MOST_IN_NAME: usize = 31;
/// Instants in workbooks begin with the year 1900, and end with 9999.
const INSTANTS: std::ops::Range<i64> = -2_208_988_800_000..253_402_300_800_000;

/// Why no workbook was made.
#[derive(Debug, thiserror::Error)]
pub enum XlsxError {
    /// More rows than [`MOST_ROWS`].
    #[error("a workbook takes at most {MOST_ROWS} rows, this has {0}: choose a shorter period, or CSV")]
    TooManyRows(usize),
    /// The writer refused.
    #[error("the workbook could not be written: {0}")]
    Writer(String),
}

impl From<rust_xlsxwriter::XlsxError> for XlsxError {
    fn from(error: rust_xlsxwriter::XlsxError) -> Self {
        Self::Writer(error.to_string())
    }
}

/// How cells look.
struct Formats {
    head: Format,
    title: Format,
    wrapped: Format,
    instant: Format,
    span: Format,
    count: Format,
}

impl Formats {
    fn new() -> Self {
        Self {
            head: Format::new().set_bold().set_text_wrap().set_align(FormatAlign::Top),
            title: Format::new().set_bold().set_font_size(14),
            wrapped: Format::new().set_text_wrap().set_align(FormatAlign::Top),
            instant: Format::new().set_num_format("yyyy-mm-dd hh:mm:ss"),
            span: Format::new().set_num_format("0.00"),
            count: Format::new().set_num_format("0"),
        }
    }
}

impl Document {
    /// The whole document as a workbook.
    ///
    /// # Errors
    /// See [`XlsxError`].
    pub fn xlsx(&self) -> Result<Vec<u8>, XlsxError> {
        if let Some(table) = self.tables.iter().find(|table| table.rows.len() > MOST_ROWS) {
            return Err(XlsxError::TooManyRows(table.rows.len()));
        }
        let (mut book, formats) = (Workbook::new(), Formats::new());
        book.set_properties(&DocProperties::new().set_title(text(&self.title)).set_author("lastmile"));
        self.about_sheet(book.add_worksheet(), &formats)?;
        let mut names = vec!["about".to_owned()];
        for table in &self.tables {
            let sheet = book.add_worksheet();
            sheet.set_name(name(&table.name, &mut names))?;
            table.sheet(sheet, &formats)?;
        }
        Ok(book.save_to_buffer()?)
    }

    /// As [`Document::xlsx`], away from the threads that answer: a large table takes its time.
    ///
    /// # Errors
    /// See [`XlsxError`].
    pub async fn into_xlsx(self) -> Result<Vec<u8>, XlsxError> {
        let written = tokio::task::spawn_blocking(move || self.xlsx()).await;
        written.unwrap_or_else(|_| Err(XlsxError::Writer("its writer stopped".to_owned())))
    }

    fn about_sheet(&self, sheet: &mut Worksheet, formats: &Formats) -> Result<(), XlsxError> {
        sheet.set_name("About")?;
        sheet.set_column_width(0, 28)?;
        sheet.set_column_width(1, 90)?;
        sheet.write_string_with_format(0, 0, text(&self.title), &formats.title)?;
        let mut row = 2;
        for pairs in [&self.about, &self.definitions] {
            for (label, value) in pairs {
                sheet.write_string_with_format(row, 0, text(label), &formats.head)?;
                sheet.write_string_with_format(row, 1, text(value), &formats.wrapped)?;
                row += 1;
            }
            row += 1;
        }
        Ok(())
    }
}

impl Table {
    fn sheet(&self, sheet: &mut Worksheet, formats: &Formats) -> Result<(), XlsxError> {
        for (n, column) in (0_u16..).zip(&self.columns) {
            sheet.write_string_with_format(0, n, text(&column.heading()), &formats.head)?;
            sheet.set_column_width(n, if column.unit == Unit::Text { 24 } else { 20 })?;
        }
        for (n, row) in (1_u32..).zip(&self.rows) {
            for (column, cell) in (0_u16..).zip(row) {
                write(sheet, n, column, cell, formats)?;
            }
        }
        sheet.set_freeze_panes(1, 1)?;
        let (last_row, last_column) = (u32::try_from(self.rows.len()).unwrap_or(0), self.columns.len().saturating_sub(1));
        if !self.columns.is_empty() {
            sheet.autofilter(0, 0, last_row, u16::try_from(last_column).unwrap_or(0))?;
        }
        sheet.set_landscape();
        sheet.set_repeat_rows(0, 0)?;
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts and spans are far below 2^53, which a workbook's numbers hold exactly")]
fn write(sheet: &mut Worksheet, row: u32, column: u16, cell: &Cell, formats: &Formats) -> Result<(), XlsxError> {
    match cell {
        Cell::Empty => {}
        Cell::Text(words) => drop(sheet.write_string(row, column, text(words))?),
        Cell::Count(n) => drop(sheet.write_number_with_format(row, column, *n as f64, &formats.count)?),
        Cell::Span(ms) => drop(sheet.write_number_with_format(row, column, *ms as f64 / 3_600_000.0, &formats.span)?),
        Cell::Instant(at) => match instant(*at) {
            Some(date) => drop(sheet.write_datetime_with_format(row, column, &date, &formats.instant)?),
            None => drop(sheet.write_string(row, column, at.iso())?),
        },
    }
    Ok(())
}

fn instant(at: Timestamp) -> Option<ExcelDateTime> {
    INSTANTS.contains(&at.0).then(|| ExcelDateTime::from_timestamp(at.0.div_euclid(1000)).ok()).flatten()
}

/// As long as a cell may be; characters that the file format cannot hold are left out.
fn text(words: &str) -> String {
    let mut units = 0;
    let fits = |c: &char| {
        units += c.len_utf16();
        units <= MOST_CHARACTERS
    };
    words.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).take_while(fits).collect()
}

/// A sheet's name: short, without the signs that mean something in references, and no second time.
fn name(wanted: &str, taken: &mut Vec<String>) -> String {
    let clean: String = text(wanted)
        .chars()
        .map(|c| if matches!(c, '[' | ']' | ':' | '*' | '?' | '/' | '\\' | '\'') { ' ' } else { c })
        .collect();
    let clean = if clean.trim().is_empty() { "Table".to_owned() } else { clean.trim().to_owned() };
    let mut n = 1;
    loop {
        let ending = if n == 1 { String::new() } else { format!(" {n}") };
        let short: String = clean.chars().take(MOST_IN_NAME - ending.len()).collect();
        let name = format!("{}{ending}", short.trim_end());
        if !taken.contains(&name.to_lowercase()) {
            taken.push(name.to_lowercase());
            return name;
        }
        n += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sheet::Column;

    #[test]
    fn names_of_sheets_are_short_clean_and_different() {
        let mut taken = vec!["about".to_owned()];
        assert_eq!(name("By admin group [all] and more words than fit", &mut taken), "By admin group  all  and more w");
        assert_eq!(name("By admin group [all] and more words", &mut taken), "By admin group  all  and more 2");
        assert_eq!(name("ABOUT", &mut taken), "ABOUT 2");
        assert_eq!(name("", &mut taken), "Table");
    }

    #[test]
    fn a_workbook_has_its_limits() {
        let table = Table {
            name: "x".to_owned(),
            columns: vec![Column::new("a", "a", Unit::Text)],
            rows: vec![vec![Cell::Empty]; MOST_ROWS + 1],
        };
        let document = Document { tables: vec![table], ..Document::default() };
        assert!(document.xlsx().unwrap_err().to_string().contains("100001"));
        assert_eq!(text(&"x".repeat(40_000)).len(), MOST_CHARACTERS);
        assert!(instant(Timestamp(i64::MAX)).is_none() && instant(Timestamp(1_795_000_000_123)).is_some());
    }
}
