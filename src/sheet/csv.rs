//! Comma-separated values: UTF-8, a head line, CRLF; safe to open in a spreadsheet.

use super::{Cell, Table};

impl Table {
    /// The table alone: instants as ISO 8601 in UTC, spans of time in whole seconds.
    #[must_use]
    pub fn csv(&self) -> String {
        let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        // writing to memory cannot fail, and every row has the width of the head
        let _ = writer.write_record(self.columns.iter().map(|column| safe(&column.key)));
        for row in &self.rows {
            let _ = writer.write_record(row.iter().map(|cell| safe(&plain(cell))));
        }
        String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
    }
}

fn plain(cell: &Cell) -> String {
    match cell {
        Cell::Empty => String::new(),
        Cell::Text(text) => text.clone(),
        Cell::Count(n) => n.to_string(),
        Cell::Instant(at) => at.iso(),
        Cell::Span(ms) => (ms / 1000).to_string(),
    }
}

/// A spreadsheet takes what begins like this for a formula; an apostrophe before it makes it text.
fn safe(cell: &str) -> String {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r', '\n']) { format!("'{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sheet::{Column, Unit};

    #[test]
    fn no_cell_becomes_a_formula_and_quotes_hold() {
        let row = |cells: [&str; 3]| cells.map(Cell::from).to_vec();
        let table = Table {
            name: String::new(),
            columns: ["a", "b", "c"].map(|key| Column::new(key, key, Unit::Text)).to_vec(),
            rows: vec![row(["=1+1", "+2", "-3"]), row(["@x", "\ty", "a \"b\", c"])],
        };
        assert_eq!(table.csv(), "a,b,c\r\n'=1+1,'+2,'-3\r\n'@x,'\ty,\"a \"\"b\"\", c\"\r\n");
        assert_eq!(safe("1=1"), "1=1");
    }
}
