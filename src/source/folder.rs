//! A watched folder: files of rows are taken when they are complete, row by row, and each row is answered.
//!
//! What was answered stands in a file of its own while a file is worked on. After a crash the rows without an answer are
//! offered again; their ids come from what they say, so that none is taken twice and none is left out.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::exchange::{Exchange, Stamp};
use super::mapping::Mapping;
use super::rows::{Format, Raw, Row, RowAnswer, answers, csv_text, read};
use super::timing::Timing;
use super::{Pulled, SourceEvent, digest};
use crate::catalog::Span;
use crate::http::CallError;
use crate::ledger::Recorded;
use crate::model::Timestamp;

/// Rows recorded in one transaction: hooks wait no longer than for so many.
const BATCH: usize = 500;
/// A file that has looked the same for so long when it is read cannot say anything else later and still look the same: clocks
/// of file systems count in steps, of two seconds at most.
const STILL_MS: i64 = 10_000;

/// `[file]`: how rows are written, and the folder they are fetched from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSettings {
    /// `csv` or `json_lines`.
    pub format: Format,
    /// What stands between the cells of CSV.
    #[serde(default = "comma")]
    pub delimiter: char,
    /// The folder that is watched; a relative path starts at the configuration folder. None: only uploads are taken.
    #[serde(default)]
    pub folder: Option<PathBuf>,
    /// How often it is looked at: a span (`"10s"`) or five cron fields in UTC.
    #[serde(default = "schedule")]
    pub schedule: String,
    /// A file is complete when neither its size nor its time has changed for so long. `"0s"`: whatever stands there is
    /// complete, because files are written elsewhere and renamed into the folder.
    #[serde(default = "settle")]
    pub settle: Span,
    /// What becomes of a file that was worked through.
    #[serde(default)]
    pub after: After,
    /// Largest file, bytes.
    #[serde(default = "max_bytes")]
    pub max_bytes: u64,
}

/// What becomes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum After {
    /// It goes to `done/`, or to `failed/` where it cannot be read at all, with its answers beside it.
    #[default]
    Move,
    /// It stays, with its answers beside it; it is taken again when its content changes.
    Leave,
}

fn comma() -> char {
    ','
}

fn schedule() -> String {
    "10s".to_owned()
}

fn settle() -> Span {
    Span::secs(5)
}

fn max_bytes() -> u64 {
    64 * 1024 * 1024
}

impl FileSettings {
    /// The delimiter as the one byte that it is.
    ///
    /// # Errors
    /// Words for people.
    pub fn delimiter(&self) -> Result<u8, String> {
        let usable = |byte: &u8| byte.is_ascii_punctuation() && *byte != b'"' || *byte == b'\t';
        u8::try_from(self.delimiter).ok().filter(usable).ok_or_else(|| "`delimiter` is one of `,` `;` `|` or a tab".to_owned())
    }
}

/// Watches a folder.
#[derive(Debug)]
pub struct Folder {
    watch: Arc<Watch>,
    timing: Timing,
}

#[derive(Debug)]
struct Watch {
    edge: String,
    settings: FileSettings,
    delimiter: u8,
    path: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Files that are not complete yet, and since when they look so.
    waiting: BTreeMap<String, (Stamp, Timestamp)>,
    /// Files that stay although they were worked through.
    left: BTreeMap<String, Left>,
    current: Option<Current>,
    /// Rows that were given out and are not answered yet.
    given: Vec<Row>,
}

/// The file that is worked on.
#[derive(Debug)]
struct Current {
    name: String,
    digest: String,
    rows: Result<Vec<Raw>, String>,
    answered: usize,
}

/// A file that stays, and its mark, as they looked when they were compared.
#[derive(Debug, Clone, Copy)]
struct Left {
    file: Stamp,
    mark: Stamp,
    since: Timestamp,
    /// As long as both look so, nothing needs to be read.
    sure: bool,
}

/// First line of the answers: of which content they are.
#[derive(Serialize, Deserialize)]
struct Head {
    sha256: String,
}

impl Folder {
    /// Checks the declaration; the folder itself is looked at with each round.
    ///
    /// # Errors
    /// The key at fault and words for people.
    pub fn new(edge: &str, settings: &FileSettings, path: &Path, base: &Path) -> Result<Self, (&'static str, String)> {
        let timing = Timing::parse(&settings.schedule).map_err(|words| ("schedule", words))?;
        let delimiter = settings.delimiter().map_err(|words| ("delimiter", words))?;
        let path = if path.is_absolute() { path.to_owned() } else { base.join(path) };
        let watch = Watch { edge: edge.to_owned(), settings: settings.clone(), delimiter, path, state: Mutex::default() };
        Ok(Self { watch: Arc::new(watch), timing })
    }

    /// The schedule as written.
    #[must_use]
    pub fn schedule(&self) -> &str {
        &self.watch.settings.schedule
    }

    /// When it wants to be looked at next: at once while a file is worked on, soon while one settles.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let state = self.watch.state();
        let scheduled = self.timing.next(now);
        match (&state.current, state.waiting.is_empty()) {
            (Some(_), _) => Some(now),
            (None, true) => scheduled,
            (None, false) => {
                let settled = now.plus_ms(self.watch.settings.settle.ms());
                Some(scheduled.map_or(settled, |at| at.min(settled)))
            }
        }
    }

    /// The next rows of the oldest complete file.
    ///
    /// # Errors
    /// `Retry` when the folder cannot be read.
    pub async fn pull(&self, source: &str, map: &Mapping, cursor: Option<&str>, now: Timestamp) -> Result<Pulled, CallError> {
        let watch = Arc::clone(&self.watch);
        let given = self.blocking(move || watch.look(now)).await?;
        let mut state = self.watch.state();
        state.given = given.iter().map(|raw| raw.event(source, map)).collect();
        let events = state.given.iter().filter_map(|row| row.event.clone()).collect();
        let next_cursor = match &state.current {
            // How far this file is, with the rows themselves in one transaction.
            Some(current) => {
                let row = current.answered + state.given.len();
                json!({"file": digest(current.name.as_bytes()), "sha256": current.digest, "row": row}).to_string()
            }
            None => cursor.unwrap_or_default().to_owned(),
        };
        Ok(Pulled { events, next_cursor, complete: true, present: Vec::new(), one_page: true, broken: None })
    }

    /// Writes down what became of the rows that were given out last, and puts the file away with the last of them.
    ///
    /// # Errors
    /// `Retry` when that cannot be written; the rows are offered again. `Reject` when the file could not be read at all.
    pub async fn answered(&self, recorded: Vec<Recorded>) -> Result<(), CallError> {
        let watch = Arc::clone(&self.watch);
        self.blocking(move || watch.answered(&recorded)).await?.map_or(Ok(()), Err)
    }

    /// The first rows of the oldest file, complete or not; nothing is changed.
    ///
    /// # Errors
    /// As a round.
    pub async fn first_page(&self, source: &str, map: &Mapping) -> Result<Vec<SourceEvent>, CallError> {
        let watch = Arc::clone(&self.watch);
        let rows = self.blocking(move || watch.peek()).await?.map_err(|words| {
            CallError::reject("E-FILE", format!("the oldest file in the folder of {source} cannot be read: {words}"))
        })?;
        Ok(rows.iter().filter_map(|raw| raw.event(source, map).event).collect())
    }

    /// Whether the folder can be read and written.
    ///
    /// # Errors
    /// As a round.
    pub fn probe(&self) -> Result<(), CallError> {
        const TRIAL: &str = ".lastmile-probe";
        let tried = self.watch.folder().and_then(|at| at.names().and_then(|_| at.put(TRIAL, "")).and_then(|()| at.forget(TRIAL)));
        tried.map_err(|e| self.watch.away(&e))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, CallError> {
        let done = tokio::task::spawn_blocking(work).await;
        done.map_err(|_| CallError::retry("E-FILE", "the folder was not looked at"))?.map_err(|e| self.watch.away(&e))
    }
}

impl Watch {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folder(&self) -> std::io::Result<Exchange> {
        Exchange::open(&self.path)
    }

    /// Names of files may be names of persons: they are not told.
    fn away(&self, error: &std::io::Error) -> CallError {
        let why = match error.kind() {
            ErrorKind::NotFound => "it is not there: create it, so that lastmile may read and write in it".to_owned(),
            // What it says has no name in it.
            ErrorKind::InvalidInput => error.to_string(),
            other => other.to_string(),
        };
        CallError::retry("E-FILE", format!("the folder of {} cannot be worked on: {why}", self.edge))
    }

    /// The next rows; none when nothing is complete.
    fn look(&self, now: Timestamp) -> std::io::Result<Vec<Raw>> {
        let mut state = self.state();
        // Rows that were given out and never answered are offered again.
        state.given.clear();
        if state.current.is_none() {
            let at = self.folder()?;
            let Some(name) = self.complete(&at, &mut state, now)? else { return Ok(Vec::new()) };
            state.current = self.open(&at, &name)?;
        }
        let rows = state.current.as_ref().and_then(|current| current.rows.as_ref().ok().map(|rows| (rows, current.answered)));
        Ok(rows.map(|(rows, from)| rows.iter().skip(from).take(BATCH).cloned().collect()).unwrap_or_default())
    }

    fn peek(&self) -> std::io::Result<Result<Vec<Raw>, String>> {
        let (at, mut files) = (self.folder()?, Vec::new());
        for name in at.names()? {
            if self.is_ours(&name)
                && let Some(stamp) = at.stamp(&name)?.filter(|stamp| stamp.size <= self.settings.max_bytes)
            {
                files.push((stamp.modified, name));
            }
        }
        let Some((_, oldest)) = files.into_iter().min() else { return Ok(Ok(Vec::new())) };
        let rows = read(&self.bytes(&at, &oldest)?, self.settings.format, self.delimiter);
        Ok(rows.map(|rows| rows.into_iter().take(BATCH).collect()))
    }

    /// The oldest complete file.
    fn complete(&self, at: &Exchange, state: &mut State, now: Timestamp) -> std::io::Result<Option<String>> {
        let (mut waiting, mut left, mut complete) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        for name in at.names()? {
            if let Some(of) = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(ANSWERS))
                && !at.holds(of)?
            {
                // Its file was put away when we were stopped; another of its name is offered from the beginning.
                at.remove(&name)?;
                continue;
            }
            // Neither a link nor a pipe: only what lies here itself.
            let Some(stamp) = at.stamp(&name)?.filter(|_| self.is_ours(&name)) else { continue };
            if let Some(known) = self.answered_before(at, &name, stamp, state.left.get(&name), now)? {
                left.insert(name, known);
                continue;
            }
            let since = state.waiting.get(&name).filter(|(looks, _)| *looks == stamp).map_or(now, |(_, since)| *since);
            if now.ms_since(since) >= self.settings.settle.ms() {
                complete.push((stamp.modified, name, stamp));
            } else {
                waiting.insert(name, (stamp, since));
            }
        }
        complete.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        let mut complete = complete.into_iter();
        let chosen = complete.next().map(|(_, name, _)| name);
        // Those that are complete and not chosen stay so.
        let settled = now.plus_ms(-self.settings.settle.ms());
        waiting.extend(complete.map(|(_, name, stamp)| (name, (stamp, settled))));
        (state.waiting, state.left) = (waiting, left);
        Ok(chosen)
    }

    fn is_ours(&self, name: &str) -> bool {
        !name.starts_with('.') && !name.contains(".result.") && Format::of_name(name) == Some(self.settings.format)
    }

    /// A file that stays where it is was worked through when its answers are of what it says now. Neither is read while both
    /// look as they did when that was last seen.
    fn answered_before(
        &self,
        at: &Exchange,
        name: &str,
        file: Stamp,
        known: Option<&Left>,
        now: Timestamp,
    ) -> std::io::Result<Option<Left>> {
        if self.settings.after == After::Move {
            return Ok(None);
        }
        let Some(mark) = at.stamp(&mark_name(name))? else { return Ok(None) };
        let same = known.filter(|known| known.file == file && known.mark == mark);
        if let Some(known) = same.filter(|known| known.sure) {
            return Ok(Some(*known));
        }
        let since = same.map_or(now, |known| known.since);
        if file.size > self.settings.max_bytes {
            return Ok(Some(Left { file, mark, since, sure: false }));
        }
        let says = match self.bytes(at, name) {
            Ok(bytes) => digest(&bytes),
            // It is gone meanwhile.
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let answered = at.text(&mark_name(name))?.is_some_and(|mark| mark.trim() == says);
        let sure = now.ms_since(since) >= STILL_MS && at.stamp(name)? == Some(file);
        Ok(answered.then_some(Left { file, mark, since, sure }))
    }

    /// What a file says, and a byte more than it may have.
    fn bytes(&self, at: &Exchange, name: &str) -> std::io::Result<Vec<u8>> {
        at.read(name, self.settings.max_bytes.saturating_add(1))
    }

    fn open(&self, at: &Exchange, name: &str) -> std::io::Result<Option<Current>> {
        let Some(stamp) = at.stamp(name)? else { return Ok(None) };
        let (digest, rows) = if stamp.size > self.settings.max_bytes {
            (String::new(), Err(format!("it has {} bytes; `max_bytes` allows {}", stamp.size, self.settings.max_bytes)))
        } else {
            let bytes = self.bytes(at, name)?;
            (digest(&bytes), read(&bytes, self.settings.format, self.delimiter))
        };
        let answered = self.resume(at, name, &digest)?;
        Ok(Some(Current { name: name.to_owned(), digest, rows, answered }))
    }

    /// How many rows of this content have their answers; what was being written when we were stopped is taken away.
    fn resume(&self, at: &Exchange, name: &str, digest: &str) -> std::io::Result<usize> {
        let part = part_name(name);
        let text = at.text(&part)?.unwrap_or_default();
        let mut lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let same = lines.next().and_then(|line| serde_json::from_str::<Head>(line).ok()).is_some_and(|h| h.sha256 == digest);
        let head = format!("{}\n", json!(Head { sha256: digest.to_owned() }));
        let kept: Vec<&str> = if same { lines.collect() } else { Vec::new() };
        at.put(&part, &format!("{head}{}", kept.concat()))?;
        Ok(kept.len())
    }

    fn answered(&self, recorded: &[Recorded]) -> std::io::Result<Option<CallError>> {
        let mut state = self.state();
        let given = std::mem::take(&mut state.given);
        let Some(current) = &mut state.current else { return Ok(None) };
        let answers = answers(&given, recorded);
        let text: String = answers.iter().map(|answer| format!("{}\n", json!(answer))).collect();
        let at = self.folder()?;
        at.append(&part_name(&current.name), &text)?;
        current.answered += answers.len();
        if current.rows.as_ref().is_ok_and(|rows| current.answered < rows.len()) {
            return Ok(None);
        }
        let current = state.current.take();
        drop(state);
        current.map_or(Ok(None), |current| self.put_away(&at, &current))
    }

    /// The answers first, then the file: whichever is missing after a crash is made again.
    fn put_away(&self, at: &Exchange, current: &Current) -> std::io::Result<Option<CallError>> {
        let (name, part) = (&current.name, part_name(&current.name));
        let changed = current.rows.is_ok() && self.bytes(at, name).map_or(true, |bytes| digest(&bytes) != current.digest);
        if changed {
            // Another file took its name meanwhile, or it is gone: what stands there now is a file of its own.
            at.remove(&part)?;
            return Ok(None);
        }
        let failed = current.rows.as_ref().err();
        let answers = match failed {
            Some(words) => vec![RowAnswer { row: 0, result: "failed".to_owned(), id: None, reason: Some(words.clone()) }],
            None => {
                let lines = at.text(&part)?.unwrap_or_default();
                lines.lines().skip(1).filter_map(|line| serde_json::from_str(line).ok()).collect()
            }
        };
        let text = self.written(&answers);
        match self.settings.after {
            After::Leave => {
                at.put(&self.result_name(name), &text)?;
                at.put(&mark_name(name), &format!("{}\n", current.digest))?;
            }
            After::Move => {
                let folder = at.within(if failed.is_some() { "failed" } else { "done" })?;
                let free = free_name(&folder, name)?;
                folder.put(&self.result_name(&free), &text)?;
                at.rename(name, &folder, &free)?;
            }
        }
        at.remove(&part)?;
        Ok(failed.map(|words| {
            let place = if self.settings.after == After::Move { " and lies in failed/" } else { "" };
            CallError::reject("E-FILE", format!("a file in the folder of {} could not be read{place}: {words}", self.edge))
        }))
    }

    fn written(&self, answers: &[RowAnswer]) -> String {
        match self.settings.format {
            Format::JsonLines => answers.iter().map(|answer| format!("{}\n", json!(answer))).collect(),
            Format::Csv => {
                let rows: Vec<[String; 4]> = answers
                    .iter()
                    .map(|a| {
                        let id = a.id.map(|id| id.to_string()).unwrap_or_default();
                        [a.row.to_string(), a.result.clone(), id, a.reason.clone().unwrap_or_default()]
                    })
                    .collect();
                let head = vec!["row", "result", "id", "reason"];
                csv_text(std::iter::once(head).chain(rows.iter().map(|row| row.iter().map(String::as_str).collect())))
            }
        }
    }

    fn result_name(&self, name: &str) -> String {
        format!("{name}.result.{}", self.settings.format.extension())
    }
}

/// End of the name of a file's answers while it is worked on.
const ANSWERS: &str = ".answers";

fn part_name(name: &str) -> String {
    format!(".{name}{ANSWERS}")
}

fn mark_name(name: &str) -> String {
    format!(".{name}.answered")
}

/// A name that is not taken yet: what was put away stays.
fn free_name(folder: &Exchange, name: &str) -> std::io::Result<String> {
    let (stem, extension) = name.rsplit_once('.').unwrap_or((name, ""));
    let (mut free, mut n) = (name.to_owned(), 1);
    while folder.holds(&free)? {
        n += 1;
        free = format!("{stem}-{n}.{extension}");
    }
    Ok(free)
}
