//! What the fake platform knows: orders, messages on their way, completions. Written to a file line by line, so that
//! a process that is killed goes on where it stopped.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::company;
use crate::model::Timestamp;

/// One line of the state file.
#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
enum Line {
    /// An order as it stands now, and the message that tells it.
    Order { at: Timestamp, document: Value },
    /// A message arrived.
    Delivered { id: String },
    /// A completion arrived.
    Completion { id: String, order: String, body: Value },
}

/// A message to lastmile.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// `webhook-id`.
    pub id: String,
    /// Body.
    pub body: String,
}

/// How often something happened; the oracles of the trials compare these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Orders that were ever placed.
    pub orders: usize,
    /// Of these: taken back.
    pub withdrawn: usize,
    /// Of these: with a completion.
    pub completed: usize,
    /// Messages that still wait for their 2xx.
    pub undelivered: usize,
    /// Different completions (by id) that were accepted.
    pub completions: usize,
    /// Completions that came again with a known id.
    pub repeats: usize,
    /// Completions of one order beyond the first, with a new id.
    pub further: usize,
    /// Reports refused: not signed, unknown order.
    pub refused: usize,
}

#[derive(Default)]
struct Inner {
    orders: BTreeMap<String, (Timestamp, Value)>,
    numbers: u64,
    waiting: BTreeMap<u64, Message>,
    messages: u64,
    by_message: HashMap<String, u64>,
    completions: HashMap<String, (String, Value)>,
    completed: HashMap<String, usize>,
    /// Steps that were told, each once, in the order they came: id and body. Not kept in the file.
    steps: Vec<(String, Value)>,
    repeats: usize,
    refused: usize,
}

/// The state of a fake platform.
pub struct PlatformState {
    inner: Mutex<Inner>,
    file: Option<Mutex<File>>,
    seed: u64,
}

impl std::fmt::Debug for PlatformState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PlatformState({:?})", self.counts())
    }
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The first with this id.
    Accepted,
    /// Known.
    Repeat,
    /// There is no such order.
    Unknown,
}

impl PlatformState {
    /// Opens the state; with a file, what it holds is read back. A last line that was cut off is dropped.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn open(seed: u64, path: Option<&Path>) -> std::io::Result<Self> {
        let mut inner = Inner::default();
        let file = match path {
            None => None,
            Some(path) => {
                let bytes = match std::fs::read(path) {
                    Ok(bytes) => bytes,
                    Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
                    Err(e) => return Err(e),
                };
                let whole = bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1);
                for line in bytes[..whole].split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
                    inner.apply(serde_json::from_slice(line).map_err(std::io::Error::other)?);
                }
                let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
                file.set_len(whole as u64)?;
                drop(file);
                Some(Mutex::new(OpenOptions::new().append(true).open(path)?))
            }
        };
        Ok(Self { inner: Mutex::new(inner), file, seed })
    }

    /// Places `n` further orders, approved now; gives their ids.
    pub fn order(&self, n: u64, now: Timestamp) -> Vec<String> {
        (0..n)
            .map(|_| {
                let number = self.lock().numbers + 1;
                self.place(company::order(self.seed, number, now), now)
            })
            .collect()
    }

    /// Places or changes one order, as a document of the platform's own.
    pub fn place(&self, mut document: Value, now: Timestamp) -> String {
        document["updatedAt"] = json!(now.iso());
        let id = document["id"].as_str().unwrap_or_default().to_owned();
        self.write(Line::Order { at: now, document });
        id
    }

    /// Takes an order back; false when there is none or it is taken back already.
    pub fn withdraw(&self, id: &str, now: Timestamp) -> bool {
        let Some(mut document) = self.lock().orders.get(id).map(|(_, d)| d.clone()) else { return false };
        if document["status"] == "withdrawn" {
            return false;
        }
        document["status"] = json!("withdrawn");
        self.place(document, now);
        true
    }

    /// Somebody leaves: their orders, approved at that time; gives their ids.
    pub fn leave(&self, approved: Timestamp, now: Timestamp) -> Vec<String> {
        let number = self.lock().numbers;
        let orders = company::leaving(self.seed, number, &format!("HR-{number:06}"), approved);
        orders.into_iter().map(|order| self.place(order, now)).collect()
    }

    /// The platform reads some applications, and sees there what it was told is done: those orders are in effect from now
    /// on. Returns how many.
    pub fn read_back(&self, now: Timestamp) -> usize {
        let seen: Vec<Value> = {
            let inner = self.lock();
            let done = |body: &Value| ["fulfilled", "already_in_place"].iter().any(|outcome| body["outcome"] == *outcome);
            let done: BTreeSet<&str> =
                inner.completions.values().filter(|(_, body)| done(body)).map(|(order, _)| order.as_str()).collect();
            let read = |document: &Value| company::READ_BACK.iter().any(|app| document["application"]["id"] == *app);
            let new = |(id, (_, document)): &(&String, &(Timestamp, Value))| {
                document["status"] == "approved" && done.contains(id.as_str()) && read(document)
            };
            inner.orders.iter().filter(new).map(|(_, (_, document))| document.clone()).collect()
        };
        let n = seen.len();
        for mut document in seen {
            document["status"] = json!("in_effect");
            document["seenAt"] = json!(now.iso());
            self.place(document, now);
        }
        n
    }

    /// Messages that wait for their 2xx, oldest first.
    #[must_use]
    pub fn waiting(&self) -> Vec<Message> {
        self.lock().waiting.values().cloned().collect()
    }

    /// A message had its 2xx.
    pub fn delivered(&self, id: &str) {
        self.write(Line::Delivered { id: id.to_owned() });
    }

    /// A signed completion arrived.
    pub fn complete(&self, id: &str, body: Value) -> Taken {
        let order = body["external_id"].as_str().unwrap_or_default().to_owned();
        {
            let mut inner = self.lock();
            if inner.completions.contains_key(id) {
                inner.repeats += 1;
                return Taken::Repeat;
            }
            if !inner.orders.contains_key(&order) {
                inner.refused += 1;
                return Taken::Unknown;
            }
        }
        self.write(Line::Completion { id: id.to_owned(), order, body });
        Taken::Accepted
    }

    /// A step of an order was told; the same id again is a repeat without effect.
    pub fn step(&self, id: &str, body: Value) {
        let mut inner = self.lock();
        if !inner.steps.iter().any(|(known, _)| known == id) {
            inner.steps.push((id.to_owned(), body));
        }
    }

    /// The steps of an order, as they were told.
    #[must_use]
    pub fn steps_of(&self, order: &str) -> Vec<String> {
        let inner = self.lock();
        let of_it = inner.steps.iter().filter(|(_, body)| body["external_id"] == order);
        of_it.map(|(_, body)| body["step"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// A report was refused before it was read.
    pub fn refused(&self) {
        self.lock().refused += 1;
    }

    /// Orders changed at or after an instant, oldest change first.
    #[must_use]
    pub fn changed_since(&self, since: Timestamp) -> Vec<Value> {
        let inner = self.lock();
        let mut changed: Vec<_> = inner.orders.iter().filter(|(_, (at, _))| *at >= since).collect();
        changed.sort_by_key(|(id, (at, _))| (*at, (*id).clone()));
        changed.into_iter().map(|(_, (_, document))| document.clone()).collect()
    }

    /// Orders that are neither withdrawn nor completed.
    #[must_use]
    pub fn pending(&self) -> Vec<Value> {
        let inner = self.lock();
        let pending = inner.orders.iter().filter(|(id, (_, d))| d["status"] != "withdrawn" && !inner.completed.contains_key(*id));
        pending.map(|(_, (_, document))| document.clone()).collect()
    }

    /// An order as it stands.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Value> {
        self.lock().orders.get(id).map(|(_, d)| d.clone())
    }

    /// The completions of an order, as they were told.
    #[must_use]
    pub fn completions_of(&self, order: &str) -> Vec<Value> {
        let inner = self.lock();
        inner.completions.values().filter(|(o, _)| o == order).map(|(_, body)| body.clone()).collect()
    }

    /// How often what happened.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let inner = self.lock();
        Counts {
            orders: inner.orders.len(),
            withdrawn: inner.orders.values().filter(|(_, d)| d["status"] == "withdrawn").count(),
            completed: inner.completed.len(),
            undelivered: inner.waiting.len(),
            completions: inner.completions.len(),
            repeats: inner.repeats,
            further: inner.completed.values().map(|n| n.saturating_sub(1)).sum(),
            refused: inner.refused,
        }
    }

    /// Everything is as on the first day.
    pub fn forget_all(&self) {
        *self.lock() = Inner::default();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On file first, then in memory: what was answered is never forgotten.
    fn write(&self, line: Line) {
        let mut inner = self.lock();
        if let Some(file) = &self.file {
            let mut text = serde_json::to_vec(&line).unwrap_or_default();
            text.push(b'\n');
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            if let Err(e) = file.write_all(&text) {
                tracing::error!(error = %e, "the sandbox platform cannot write its state file");
            }
        }
        inner.apply(line);
    }
}

impl Inner {
    fn apply(&mut self, line: Line) {
        match line {
            Line::Order { at, document } => {
                let id = document["id"].as_str().unwrap_or_default().to_owned();
                self.messages += 1;
                let message = Message {
                    id: format!("msg-{}-{}", self.messages, id.to_lowercase()),
                    body: json!({"type": "order.changed", "timestamp": at.iso(), "data": document}).to_string(),
                };
                self.by_message.insert(message.id.clone(), self.messages);
                self.waiting.insert(self.messages, message);
                if self.orders.insert(id, (at, document)).is_none() {
                    self.numbers += 1;
                }
            }
            Line::Delivered { id } => {
                if let Some(number) = self.by_message.remove(&id) {
                    self.waiting.remove(&number);
                }
            }
            Line::Completion { id, order, body } => {
                *self.completed.entry(order.clone()).or_default() += 1;
                self.completions.insert(id, (order, body));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_platform_goes_on_where_it_stopped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("platform.jsonl");
        let now = Timestamp(1_764_000_000_000);
        let state = PlatformState::open(1, Some(&path)).unwrap();
        let ids = state.order(3, now);
        let first = state.waiting()[0].clone();
        state.delivered(&first.id);
        assert!(state.withdraw(&ids[2], now.plus_secs(1)));
        assert_eq!(state.complete("r-1", json!({"external_id": ids[0]})), Taken::Accepted);
        let before = (state.counts(), state.waiting());
        drop(state);
        // The last line was being written when the process was killed.
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"line\":\"delivered\",\"id\":\"ms").unwrap();
        let state = PlatformState::open(1, Some(&path)).unwrap();
        assert_eq!((state.counts(), state.waiting()), before);
        assert_eq!(state.complete("r-1", json!({"external_id": ids[0]})), Taken::Repeat);
        assert_eq!(state.order(1, now), ["REQ-000004"]);
        assert_eq!(PlatformState::open(1, Some(&path)).unwrap().counts().orders, 4, "the cut line did not spoil the next");
    }
}
