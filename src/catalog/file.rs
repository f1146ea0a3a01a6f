//! One configuration file: parsed with its lines kept, so that every complaint can name its place.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

/// Something wrong in the configuration, with its place and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// File, relative to where it was asked for.
    pub file: PathBuf,
    /// Line, from 1; 0 when the whole file is meant.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What was probably meant, or what to do.
    pub help: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(help) = &self.help {
            write!(f, "\n    {help}")?;
        }
        Ok(())
    }
}

/// All problems of a load; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);

/// Most problems told of one file.
const MOST_PROBLEMS: usize = 20;

/// A file's text and where it lies. Cheap to clone.
#[derive(Clone)]
pub struct ConfigFile {
    path: PathBuf,
    text: Arc<str>,
}

impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConfigFile({})", self.path.display())
    }
}

impl ConfigFile {
    /// Reads the file.
    ///
    /// # Errors
    /// A problem that names the file when it cannot be read.
    pub fn read(path: &Path) -> Result<Self, Problem> {
        let text = std::fs::read_to_string(path).map_err(|e| Problem {
            file: path.to_owned(),
            line: 0,
            message: format!("cannot be read: {e}"),
            help: None,
        })?;
        Ok(Self::from_text(path, &text))
    }

    /// Takes text as if it stood in a file.
    #[must_use]
    pub fn from_text(path: &Path, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.into() }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's name without folder and ending.
    #[must_use]
    pub fn stem(&self) -> String {
        self.path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// Its text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Parses the whole file; an unknown key is refused with its line and the nearest known key.
    ///
    /// # Errors
    /// The first problem, with its line.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        toml::from_str(&self.text).map_err(|error| {
            let line = error.span().map_or(0, |span| self.line_of_offset(span.start));
            let message = error.message().lines().next().unwrap_or("cannot be read").to_owned();
            let help = suggestion_for(&message);
            Problem { file: self.path.clone(), line, message, help }
        })
    }

    /// As [`ConfigFile::parse`], with every problem that can be told from one reading: what is wrong is left out and the
    /// rest read again.
    ///
    /// # Errors
    /// Every problem found, each with its line.
    pub fn parse_all<T: DeserializeOwned>(&self) -> Result<T, Vec<Problem>> {
        let first = match self.parse() {
            Ok(parsed) => return Ok(parsed),
            Err(problem) => problem,
        };
        let mut lines: Vec<&str> = self.text.lines().collect();
        let mut problems = vec![first];
        while let Some(last) = problems.last().filter(|_| problems.len() < MOST_PROBLEMS) {
            let Some(at) = last.line.checked_sub(1).filter(|at| *at < lines.len()) else { break };
            // A table goes with all its keys, else they would be read as those of the table before.
            let is_table = lines[at].trim_start().starts_with('[');
            let until =
                lines.iter().skip(at + 1).position(|l| l.trim_start().starts_with('[')).map_or(lines.len(), |n| at + 1 + n);
            lines[at..if is_table { until } else { at + 1 }].fill("");
            let rest = Self::from_text(&self.path, &lines.join("\n"));
            if DeTable::parse(&rest.text).is_err() {
                break;
            }
            match rest.parse::<T>() {
                // What is missing may be what was left out.
                Err(next) if !next.message.starts_with("missing field") && !problems.iter().any(|p| p.line == next.line) => {
                    problems.push(next);
                }
                _ => break,
            }
        }
        Err(problems)
    }

    /// A problem at a key, given as the path of table names and indexes (`["rules", "0", "admin_group"]`). Where the
    /// key does not exist, the nearest enclosing one is named.
    #[must_use]
    pub fn problem(&self, keys: &[&str], message: impl Into<String>, help: Option<String>) -> Problem {
        Problem { file: self.path.clone(), line: self.line_of(keys), message: message.into(), help }
    }

    /// Line of a key, from 1; 0 when the file has none of it.
    #[must_use]
    pub fn line_of(&self, keys: &[&str]) -> usize {
        let Ok(table) = DeTable::parse(&self.text) else { return 0 };
        let mut span = None;
        let mut table_here: Option<&DeTable<'_>> = Some(table.get_ref());
        let mut value_here: Option<&DeValue<'_>> = None;
        for key in keys {
            let next = if let Some(table) = table_here {
                table.iter().find(|(k, _)| k.get_ref() == key).map(|(k, v)| (k.span(), v))
            } else if let Some(DeValue::Array(items)) = value_here {
                key.parse::<usize>().ok().and_then(|i| items.get(i)).map(|v| (v.span(), v))
            } else {
                None
            };
            let Some((key_span, value)) = next else { break };
            span = Some(key_span);
            value_here = Some(value.get_ref());
            table_here = match value.get_ref() {
                DeValue::Table(t) => Some(t),
                _ => None,
            };
        }
        span.map_or(0, |s| self.line_of_offset(s.start))
    }

    fn line_of_offset(&self, offset: usize) -> usize {
        self.text.as_bytes().iter().take(offset).filter(|b| **b == b'\n').count() + 1
    }
}

/// For "unknown field `x`, expected one of `a`, `b`": the nearest of those.
fn suggestion_for(message: &str) -> Option<String> {
    if !(message.starts_with("unknown field") || message.starts_with("unknown variant")) {
        return None;
    }
    let mut quoted = message.split('`').skip(1).step_by(2);
    let wrong = quoted.next()?;
    let known: Vec<&str> = quoted.collect();
    nearest(wrong, known.iter().copied()).map(|best| format!("did you mean `{best}`?"))
}

/// The nearest IANA name of a time zone, when it is near enough to be meant.
#[must_use]
pub fn nearest_zone(wrong: &str) -> Option<&'static str> {
    nearest(wrong, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()))
}

/// The nearest of the known words, when it is near enough to be meant.
#[must_use]
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong = wrong.to_lowercase();
    known
        .into_iter()
        .map(|k| (strsim::jaro_winkler(&wrong, &k.to_lowercase()), k))
        .filter(|(score, _)| *score > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}
