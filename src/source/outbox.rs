//! Outcomes as rows of a file that grows: for a platform that reads files instead of taking calls.

use std::collections::HashSet;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::OFlags;
use serde_json::Value;

use super::exchange::Exchange;
use super::report::{About, ReportSettings};
use super::rows::{Format, csv_text};
use super::telling::Telling;
use crate::http::CallError;
use crate::plan::fill::Fill;

/// Writes outcomes to a file, each once.
#[derive(Debug)]
pub struct Outbox {
    edge: String,
    path: PathBuf,
    format: Format,
    body: Option<Value>,
    columns: Vec<String>,
    fill: Fill,
    known: Arc<Mutex<Known>>,
}

/// The ids that the file holds, as of its inode and length.
#[derive(Debug, Default)]
struct Known {
    at: Option<(u64, u64)>,
    ids: HashSet<String>,
}

impl Outbox {
    /// Checks the declaration and tries its template.
    ///
    /// # Errors
    /// The key at fault and words for people.
    pub fn new(
        edge: &str,
        path: &Path,
        settings: &ReportSettings,
        about: About,
        folder: &Path,
    ) -> Result<Self, (&'static str, String)> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let format = Format::of_name(name).ok_or(("file", "its name must end in .csv or .jsonl".to_owned()))?;
        if !settings.only_body() {
            return Err(("file", "an outcome is told by `file` or by `url`; beside `file` only `body` counts".to_owned()));
        }
        let columns = match &settings.body {
            None => about.columns().iter().map(|name| (*name).to_owned()).collect(),
            Some(Value::Object(members)) => {
                let named = members.keys().filter(|name| *name != "id").cloned();
                std::iter::once("id".to_owned()).chain(named).collect()
            }
            Some(_) => return Err(("body", "the row of an outbox is a table: its keys are the columns".to_owned())),
        };
        let path = if path.is_absolute() { path.to_owned() } else { folder.join(path) };
        let (body, known) = (settings.body.clone(), Arc::default());
        let outbox = Self { edge: edge.to_owned(), path, format, body, columns, fill: Fill::default(), known };
        for sample in about.samples() {
            outbox.line(&sample).map_err(|words| ("body", words))?;
        }
        Ok(outbox)
    }

    /// Adds a row, unless the file has it already.
    ///
    /// # Errors
    /// `Retry` when the file cannot be written.
    pub(super) async fn add(&self, telling: &Telling) -> Result<(), CallError> {
        let line = self.line(telling).map_err(|words| CallError::reject("E-CONFIG", words))?;
        let (path, format, known) = (self.path.clone(), self.format, Arc::clone(&self.known));
        let (id, header) = (telling.id.clone(), self.header());
        let written = tokio::task::spawn_blocking(move || {
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            let added = append(&path, format, &header, &id, &line, &mut known);
            if added.is_err() {
                // Nobody knows how much was written: the file is read afresh before anything is added.
                known.at = None;
            }
            added
        });
        let written = written.await.map_err(|_| CallError::retry("E-FILE", "the outbox was not written"))?;
        written.map_err(|words| CallError::retry("E-FILE", format!("the outbox of {} cannot be written: {words}", self.edge)))
    }

    /// Whether the file can be written.
    ///
    /// # Errors
    /// As for a report.
    pub fn probe(&self) -> Result<(), CallError> {
        let there = place(&self.path).and_then(|(folder, name)| match folder.plain(name, OFlags::WRONLY | OFlags::APPEND) {
            // It is made with the first outcome.
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            opened => opened.map(drop),
        });
        there.map_err(|e| CallError::retry("E-FILE", format!("the outbox of {} cannot be written: {e}", self.edge)))
    }

    fn header(&self) -> String {
        match self.format {
            Format::Csv => csv_text([self.columns.iter().map(String::as_str).collect()]),
            Format::JsonLines => String::new(),
        }
    }

    /// The row of an outcome, on one line.
    fn line(&self, telling: &Telling) -> Result<String, String> {
        let mut row = match &self.body {
            None => telling.whole.clone(),
            Some(template) => self.fill.json(template, &telling.context).map_err(|e| e.to_string())?,
        };
        // Its id finds it again; a column of that name cannot be anything else.
        row["id"] = Value::String(telling.id.clone());
        if self.format == Format::JsonLines {
            return Ok(format!("{row}\n"));
        }
        let cells: Vec<String> = self.columns.iter().map(|name| cell(&row[name.as_str()])).collect();
        Ok(csv_text([cells.iter().map(String::as_str).collect()]))
    }
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        // A person.
        Value::Object(members) if members.contains_key("id") => cell(&members["id"]),
        other => other.to_string(),
    }
}

/// The folder of a file, and its name there.
fn place(path: &Path) -> std::io::Result<(Exchange, &str)> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or(ErrorKind::InvalidInput)?;
    Ok((Exchange::open(path.parent().ok_or(ErrorKind::InvalidInput)?)?, name))
}

fn append(path: &Path, format: Format, header: &str, id: &str, line: &str, known: &mut Known) -> Result<(), String> {
    let words = |e: std::io::Error| e.to_string();
    let (folder, name) = place(path).map_err(words)?;
    let mut file = folder.plain(name, OFlags::RDWR | OFlags::APPEND | OFlags::CREATE).map_err(words)?;
    let about = file.metadata().map_err(words)?;
    if known.at != Some((about.ino(), about.len())) {
        *known = read_again(&mut file, format, header)?;
    }
    if known.ids.contains(id) {
        return Ok(());
    }
    let fresh = file.metadata().map_err(words)?.len() == 0;
    let text = if fresh { format!("{header}{line}") } else { line.to_owned() };
    file.write_all(text.as_bytes()).map_err(words)?;
    file.sync_all().map_err(words)?;
    if fresh {
        // The name of a new file must last as its content does.
        folder.sync().map_err(words)?;
    }
    let about = file.metadata().map_err(words)?;
    known.at = Some((about.ino(), about.len()));
    known.ids.insert(id.to_owned());
    Ok(())
}

/// Which ids stand in the file. A last line without its end was being written when we were stopped, and is taken away.
fn read_again(file: &mut File, format: Format, header: &str) -> Result<Known, String> {
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|e| e.to_string())?;
    let whole = text.rfind('\n').map_or(0, |at| at + 1);
    if whole < text.len() {
        file.set_len(whole as u64).map_err(|e| e.to_string())?;
        text.truncate(whole);
    }
    let mut lines = text.lines();
    if format == Format::Csv && lines.next().is_some_and(|first| first != header.trim_end()) {
        return Err("it has other columns than `body` declares now: move it away".to_owned());
    }
    let ids = lines.filter_map(|line| match format {
        Format::JsonLines => serde_json::from_str::<Value>(line).ok()?["id"].as_str().map(str::to_owned),
        Format::Csv => {
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
            reader.records().next()?.ok()?.get(0).map(str::to_owned)
        }
    });
    Ok(Known { at: None, ids: ids.collect() })
}
