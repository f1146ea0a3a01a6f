//! Plain text: for mail readers that show no HTML, and for terminals.

use std::fmt::Write as _;

use super::{Document, Table};

/// Longest cell; the workbook has the whole.
const WIDEST: usize = 40;

impl Document {
    /// The whole document in columns of fixed width.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = format!("{}\n{}\n\n", self.title, "=".repeat(self.title.chars().count()));
        // writing to a String cannot fail
        for (label, value) in &self.about {
            let _ = writeln!(out, "{label}: {value}");
        }
        for table in &self.tables {
            table.text(&mut out);
        }
        if !self.definitions.is_empty() {
            out.push_str("\nWhat the words mean\n-------------------\n");
        }
        for (word, meaning) in &self.definitions {
            let _ = writeln!(out, "{word}: {meaning}");
        }
        out
    }
}

impl Table {
    fn text(&self, out: &mut String) {
        let _ = write!(out, "\n{}\n{}\n", self.name, "-".repeat(self.name.chars().count()));
        if self.rows.is_empty() {
            out.push_str("nothing\n");
            return;
        }
        let head: Vec<String> = self.columns.iter().map(|c| cut(&c.heading())).collect();
        let body: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(|cell| cut(&cell.human())).collect()).collect();
        let width = |n: usize| body.iter().chain([&head]).filter_map(|row| Some(row.get(n)?.chars().count())).max().unwrap_or(0);
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        line(out, &head, &widths, |_| false);
        for (row, cells) in body.iter().zip(&self.rows) {
            line(out, row, &widths, |n| cells.get(n).is_some_and(super::Cell::is_number));
        }
    }
}

fn line(out: &mut String, cells: &[String], widths: &[usize], right: impl Fn(usize) -> bool) {
    let mut text = String::new();
    for (n, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
        let gap = if n == 0 { "" } else { "  " };
        let _ = if right(n) { write!(text, "{gap}{pad}{cell}") } else { write!(text, "{gap}{cell}{pad}") };
    }
    let _ = writeln!(out, "{}", text.trim_end());
}

/// On one line, and not wider than a column may be.
fn cut(text: &str) -> String {
    let mut short: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(WIDEST).collect();
    if text.chars().count() > WIDEST {
        short.pop();
        short.push('…');
    }
    short
}
