//! CSV and JSON lines: rows in, an answer for each.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::mapping::Mapping;
use super::poll::polled;
use super::{EventContent, SourceEvent, digest};
use crate::ledger::Recorded;
use crate::model::Id;
use crate::model::key::stable_id;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// RFC 4180 with a line of column names; the mapping's pointers name columns (`/Order number`).
    Csv,
    /// One JSON document a line.
    JsonLines,
}

impl Format {
    /// What a file's name ends in.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1.to_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" => Some(Self::JsonLines),
            _ => None,
        }
    }

    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::JsonLines => "jsonl",
        }
    }
}

/// A row as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Raw {
    /// The line it begins in, from 1, as editors count.
    pub line: u64,
    /// Its document, or why it has none and what it says.
    pub content: Result<Value, (String, String)>,
}

/// A row and the event it makes; none where the mapping's `only` leaves it out.
#[derive(Clone)]
pub struct Row {
    /// The line it begins in.
    pub line: u64,
    /// What it says.
    pub event: Option<SourceEvent>,
}

impl std::fmt::Debug for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Row({})", self.line)
    }
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowAnswer {
    /// The line it begins in.
    pub row: u64,
    /// `accepted`, `unchanged`, `quarantined`, `ignored` or `refused`.
    pub result: String,
    /// Id of the assignment, or of the held event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<Id>,
    /// Why, where it was not accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The rows of a file. What is wrong with the whole of it is an error; what is wrong with a row is that row's.
///
/// # Errors
/// Words for people, without anything of the content.
pub fn read(bytes: &[u8], format: Format, delimiter: u8) -> Result<Vec<Raw>, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| {
        let line = 1 + bytes[..e.valid_up_to()].iter().filter(|b| **b == b'\n').count();
        format!("line {line} is not UTF-8: save the file as UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim().is_empty() {
        return Err("it is empty".to_owned());
    }
    match format {
        Format::Csv => csv_rows(text, delimiter),
        Format::JsonLines => Ok(json_rows(text)),
    }
}

fn json_rows(text: &str) -> Vec<Raw> {
    let numbered = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    numbered
        .map(|(line, text)| {
            let content = match serde_json::from_str::<Value>(text) {
                Ok(document) if document.is_object() => Ok(document),
                Ok(_) => Err(("the line is no JSON object".to_owned(), text.to_owned())),
                Err(e) => Err((format!("the line is not JSON: column {}", e.column()), text.to_owned())),
            };
            Raw { line, content }
        })
        .collect()
}

fn csv_rows(text: &str, delimiter: u8) -> Result<Vec<Raw>, String> {
    // Within quotes a quote is written twice: an odd number means that a row swallowed all that follows.
    if text.bytes().filter(|b| *b == b'"').count() % 2 == 1 {
        return Err("a quoted cell does not end: the file is torn, or a quote stands alone".to_owned());
    }
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).has_headers(false).from_reader(text.as_bytes());
    let mut rows = Vec::new();
    let mut columns: Option<Vec<String>> = None;
    // The reader counts a line only when it is past its end, and empty lines not at all.
    let (bytes, mut line, mut counted) = (text.as_bytes(), 1_u64, 0_usize);
    for record in reader.records() {
        let record = record.map_err(|_| "it is no CSV".to_owned())?;
        let start =
            record.position().and_then(|at| usize::try_from(at.byte()).ok()).unwrap_or(counted).clamp(counted, bytes.len());
        let begins = start + bytes[start..].iter().take_while(|b| matches!(b, b'\r' | b'\n')).count();
        line += bytes[counted..begins].iter().filter(|b| **b == b'\n').count() as u64;
        counted = begins;
        match &columns {
            None => columns = Some(column_names(&record)?),
            Some(columns) => rows.push(Raw { line, content: csv_row(columns, &record) }),
        }
    }
    Ok(rows)
}

fn column_names(record: &csv::StringRecord) -> Result<Vec<String>, String> {
    let names: Vec<String> = record.iter().map(|name| name.trim().to_owned()).collect();
    let mut seen = BTreeSet::new();
    match names.iter().find(|name| name.is_empty() || !seen.insert(name.as_str())) {
        Some(name) if name.is_empty() => Err("the first line must name every column, and one has no name".to_owned()),
        Some(_) => Err("the first line names a column twice".to_owned()),
        None => Ok(names),
    }
}

/// Empty cells are absent. A row of another width is not mapped: its cells may stand under wrong names.
fn csv_row(columns: &[String], record: &csv::StringRecord) -> Result<Value, (String, String)> {
    if record.len() != columns.len() {
        let problem = format!("the row has {} cells, the first line names {} columns", record.len(), columns.len());
        return Err((problem, json!(record.iter().collect::<Vec<_>>()).to_string()));
    }
    let cells = columns.iter().zip(record).filter(|(_, cell)| !cell.is_empty());
    Ok(Value::Object(cells.map(|(name, cell)| (name.clone(), json!(cell))).collect::<Map<_, _>>()))
}

impl Raw {
    /// The row as an event. Its id comes from what it says, so that a row that is read again is a repeat.
    pub(super) fn event(&self, source: &str, map: &Mapping) -> Row {
        let event = match &self.content {
            Ok(document) => polled(source, map, document),
            Err((problem, body)) => {
                let digest = digest(body.as_bytes());
                let content = EventContent::Unmappable { problem: problem.clone(), body: body.clone() };
                Some(SourceEvent { event_id: format!("row-{}", stable_id(&["row", &digest])), digest, content })
            }
        };
        Row { line: self.line, event }
    }
}

impl Row {
    /// What is wrong with it, where it does not map.
    fn problem(&self) -> Option<&str> {
        match self.event.as_ref().map(|event| &event.content) {
            Some(EventContent::Unmappable { problem, .. }) => Some(problem),
            _ => None,
        }
    }

    /// Its answer, given what was recorded of its event.
    fn answer(&self, recorded: Option<&Recorded>) -> RowAnswer {
        let (result, id, reason) = match recorded {
            None => ("ignored", None, Some("the mapping's `only` leaves it out")),
            Some(Recorded::Quarantined { id }) => ("quarantined", Some(*id), self.problem()),
            Some(Recorded::Repeat { .. }) if self.problem().is_some() => ("quarantined", None, self.problem()),
            Some(Recorded::New { id } | Recorded::Changed { id, .. }) => ("accepted", Some(*id), None),
            Some(Recorded::Withdrawn { .. } | Recorded::Seen { .. }) => ("accepted", None, None),
            Some(Recorded::Unchanged { id }) => ("unchanged", Some(*id), None),
            Some(Recorded::Repeat { id }) => ("unchanged", *id, None),
            Some(Recorded::UnknownOrder) => ("unchanged", None, Some("no order of that id is known")),
            Some(Recorded::Conflict) => ("refused", None, Some("an event of this id came before with another body")),
        };
        RowAnswer { row: self.line, result: result.to_owned(), id, reason: reason.map(str::to_owned) }
    }
}

/// An answer for every row; `recorded` belongs to those that made an event, in their order.
#[must_use]
pub fn answers(rows: &[Row], recorded: &[Recorded]) -> Vec<RowAnswer> {
    let mut recorded = recorded.iter();
    rows.iter().map(|row| row.answer(row.event.as_ref().and_then(|_| recorded.next()))).collect()
}

/// Rows as CSV with their column names first.
#[must_use]
pub fn csv_text<'a>(rows: impl IntoIterator<Item = Vec<&'a str>>) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        // Writing to memory does not fail.
        let _ = writer.write_record(row.into_iter().map(safe_cell));
    }
    writer.into_inner().ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

/// A cell that no spreadsheet takes for a formula, on one line.
fn safe_cell(text: &str) -> String {
    let starts = |c: char| matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠');
    let formula = text.starts_with(starts) || text.trim_start().starts_with(starts);
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if formula { format!("'{line}") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csv(text: &str) -> Result<Vec<Raw>, String> {
        read(text.as_bytes(), Format::Csv, b';')
    }

    #[test]
    fn csv_rows_are_named_by_the_first_line() {
        let rows = csv("\u{feff}Order; Person \r\n1;\"a;\"\"b\"\"\nc\"\r\n\r\n2;\r\n").unwrap();
        assert_eq!(rows[0], Raw { line: 2, content: Ok(json!({"Order": "1", "Person": "a;\"b\"\nc"})) });
        assert_eq!(rows[1].content, Ok(json!({"Order": "2"})), "an empty cell is absent");
        assert_eq!((rows.len(), rows[1].line), (2, 5), "lines as an editor counts them");
    }

    #[test]
    fn a_row_of_another_width_is_held_and_the_others_go_on() {
        let rows = csv("a;b\n1;2;3\n4\n5;6").unwrap();
        let (problem, body) = rows[0].content.clone().unwrap_err();
        assert!(problem.contains("3 cells") && body == "[\"1\",\"2\",\"3\"]", "{problem} {body}");
        assert!(rows[1].content.is_err() && rows[2].content.is_ok());
    }

    #[test]
    fn a_file_that_is_wrong_as_a_whole_is_refused_without_its_content() {
        for (text, words) in [
            ("", "empty"),
            ("\n \n", "empty"),
            ("a;a\n1;2", "twice"),
            ("a;\n1;2", "no name"),
            ("a;b\n1;\"Zoe\n2;3", "does not end"),
        ] {
            let said = csv(text).unwrap_err();
            assert!(said.contains(words) && !said.contains("Zoe"), "{said}");
        }
        assert!(read(b"a;b\n\xe4;1", Format::Csv, b';').unwrap_err().contains("line 2 is not UTF-8"));
    }

    #[test]
    fn json_lines_stand_for_themselves() {
        let rows = read(b"{\"a\":1}\n\n[1]\n{\"a\":", Format::JsonLines, b',').unwrap();
        assert_eq!(rows.iter().map(|r| (r.line, r.content.is_ok())).collect::<Vec<_>>(), [(1, true), (3, false), (4, false)]);
    }

    #[test]
    fn no_cell_is_a_formula() {
        for (cell, safe) in [
            ("=1+1", "'=1+1"),
            ("-5", "'-5"),
            (" @SUM(A1)", "' @SUM(A1)"),
            ("\t=1", "' =1"),
            ("＝1", "'＝1"),
            ("a=b", "a=b"),
            ("two\nlines", "two lines"),
        ] {
            assert_eq!(safe_cell(cell), safe);
        }
        assert_eq!(csv_text([vec!["a", "b"], vec!["x,\"y\"", ""]]), "a,b\n\"x,\"\"y\"\"\",\n");
    }
}
