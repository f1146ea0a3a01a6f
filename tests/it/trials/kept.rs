//! What long runs have tried: with `LASTMILE_TRIALS_FILE` it is kept in that file, a line a part, and an interrupted run goes on.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::PathBuf;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Parts by name.
pub struct Kept<T> {
    file: Option<PathBuf>,
    known: BTreeMap<String, T>,
}

impl<T: Serialize + DeserializeOwned> Kept<T> {
    /// Nothing is known, nothing is kept.
    pub fn none() -> Self {
        Self { file: None, known: BTreeMap::new() }
    }

    /// What the file holds of this kind. A line that broke off is tried again.
    pub fn open() -> Self {
        let file = std::env::var_os("LASTMILE_TRIALS_FILE").map(PathBuf::from);
        let text = file.as_ref().and_then(|f| std::fs::read_to_string(f).ok()).unwrap_or_default();
        let known = text.lines().filter_map(|line| serde_json::from_str::<(String, T)>(line).ok()).collect();
        Self { file, known }
    }

    /// A part that was tried before.
    pub fn take(&mut self, name: &str) -> Option<T> {
        self.known.remove(name)
    }

    /// A part was tried.
    pub fn keep(&self, name: &str, part: &T) {
        let Some(file) = &self.file else { return };
        let line = serde_json::to_string(&(name, part)).unwrap() + "\n";
        OpenOptions::new().create(true).append(true).open(file).unwrap().write_all(line.as_bytes()).unwrap();
    }
}
