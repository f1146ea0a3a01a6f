//! Documents of tables, written as CSV, workbook, page and plain text: one description, four ways to read it. Knows
//! nothing of where it goes.

mod csv;
mod html;
mod text;
mod xlsx;

use crate::model::Timestamp;

pub use xlsx::{MOST_ROWS, XLSX_TYPE, XlsxError};

/// A document: what it is about, then its tables.
#[derive(Debug, Clone, Default)]
pub struct Document {
    /// Title, for people.
    pub title: String,
    /// What it covers, as label and value: period, filters, as of, n, digests. First of all in every form but CSV.
    pub about: Vec<(String, String)>,
    /// What its words mean, as word and meaning.
    pub definitions: Vec<(String, String)>,
    /// Its tables, the most important first.
    pub tables: Vec<Table>,
}

/// A table.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// Its name: heading, and name of its sheet.
    pub name: String,
    /// Columns, from the left.
    pub columns: Vec<Column>,
    /// Rows; each has as many cells as there are columns.
    pub rows: Vec<Vec<Cell>>,
}

/// A column.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its name for machines: head of CSV.
    pub key: String,
    /// Its name for people, without unit.
    pub title: String,
    /// What its cells hold.
    pub unit: Unit,
}

/// What the cells of a column hold; the unit stands in its title.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Words.
    Text,
    /// A whole number.
    Count,
    /// Percent.
    Percent,
    /// An instant, UTC.
    Instant,
    /// A span of time: whole seconds in CSV, hours for people.
    Span,
}

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Nothing.
    Empty,
    /// Words; never taken for a formula.
    Text(String),
    /// A whole number.
    Count(i64),
    /// An instant.
    Instant(Timestamp),
    /// A span of time, milliseconds.
    Span(i64),
}

impl Column {
    /// A column.
    #[must_use]
    pub fn new(key: &str, title: &str, unit: Unit) -> Self {
        Self { key: key.to_owned(), title: title.to_owned(), unit }
    }

    /// Title and unit.
    #[must_use]
    pub fn heading(&self) -> String {
        let unit = match self.unit {
            Unit::Text | Unit::Count => return self.title.clone(),
            Unit::Percent => "%",
            Unit::Instant => "UTC",
            Unit::Span => "hours",
        };
        format!("{} ({unit})", self.title)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        if text.is_empty() { Self::Empty } else { Self::Text(text.to_owned()) }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        if text.is_empty() { Self::Empty } else { Self::Text(text) }
    }
}

impl From<i64> for Cell {
    fn from(count: i64) -> Self {
        Self::Count(count)
    }
}

impl From<Timestamp> for Cell {
    fn from(at: Timestamp) -> Self {
        Self::Instant(at)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Empty, Into::into)
    }
}

impl Cell {
    /// A span of time, milliseconds.
    #[must_use]
    pub fn span(ms: Option<i64>) -> Self {
        ms.map_or(Self::Empty, Self::Span)
    }

    /// For people.
    fn human(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => text.clone(),
            Self::Count(n) => n.to_string(),
            Self::Instant(at) => at.to_utc().format("%Y-%m-%d %H:%M").to_string(),
            Self::Span(ms) => hours(*ms),
        }
    }

    /// Whether it stands at the right edge of its column.
    fn is_number(&self) -> bool {
        matches!(self, Self::Count(_) | Self::Span(_))
    }
}

/// Hours with two digits, rounded.
fn hours(ms: i64) -> String {
    let hundredths = (ms + if ms < 0 { -18_000 } else { 18_000 }) / 36_000;
    let sign = if hundredths < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", hundredths.abs() / 100, hundredths.abs() % 100)
}

impl Document {
    /// With a line of what it covers.
    #[must_use]
    pub fn about(mut self, label: &str, value: impl Into<String>) -> Self {
        self.about.push((label.to_owned(), value.into()));
        self
    }

    /// With the meaning of a word.
    #[must_use]
    pub fn means(mut self, word: &str, meaning: &str) -> Self {
        self.definitions.push((word.to_owned(), meaning.to_owned()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn sample() -> Document {
        let columns = vec![
            Column::new("name", "Name", Unit::Text),
            Column::new("n", "n", Unit::Count),
            Column::new("at", "Closed", Unit::Instant),
            Column::new("took_s", "Took", Unit::Span),
        ];
        let rows = vec![
            vec!["=1+1".into(), 3.into(), Timestamp(1_795_000_000_000).into(), Cell::Span(5_400_000)],
            vec!["<b>\u{1}Zoë & co".into(), Cell::Empty, Cell::Empty, Cell::Empty],
        ];
        let table = Table { name: "Figures [a/b]".to_owned(), columns, rows };
        let document = Document { title: "A <title>".to_owned(), tables: vec![table], ..Document::default() };
        document.about("Period", "2026-11").means("n", "how many")
    }

    #[test]
    fn hours_are_rounded() {
        assert_eq!([0, 17_999, 18_000, 5_400_000, -36_000].map(hours), ["0.00", "0.00", "0.01", "1.50", "-0.01"]);
    }

    #[test]
    fn each_form_tells_the_same_and_takes_nothing_for_a_formula_or_markup() {
        let document = sample();
        assert_eq!(
            document.tables[0].csv(),
            "name,n,at,took_s\r\n'=1+1,3,2026-11-18T11:06:40.000Z,5400\r\n<b>\u{1}Zoë & co,,,\r\n"
        );
        let html = document.html();
        assert!(html.contains("&lt;b&gt;") && html.contains("Zoë &amp; co") && html.contains("A &lt;title&gt;"), "{html}");
        assert!(html.contains("1.50") && html.contains("Took (hours)") && !html.contains("<b>"), "{html}");
        let text = document.text();
        assert!(text.contains("Period: 2026-11") && text.contains("=1+1"), "{text}");
        let workbook = document.xlsx().unwrap();
        assert!(workbook.starts_with(b"PK"), "a workbook is a ZIP file");
    }
}
