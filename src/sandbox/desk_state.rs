//! The tickets of a fake desk. Everything that was ever created is counted: the oracle of the trials asks here,
//! never through a search.

use std::collections::{BTreeSet, HashMap};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::faults::{Faults, mix};
use crate::model::{Clock, Timestamp};

pub use super::desk_ticket::{Comment, Move, NewTicket, Stage, Ticket};

/// A group's id, made from its name.
pub(super) fn group_id(name: &str) -> String {
    let (mut a, mut b) = (1, 2);
    for byte in name.bytes() {
        a = mix(a, u64::from(byte));
        b = mix(b, u64::from(byte));
    }
    format!("{a:016x}{b:016x}")
}

#[derive(Debug, Default)]
struct Inner {
    tickets: Vec<Ticket>,
    by_name: HashMap<String, usize>,
    by_mark: HashMap<String, Vec<usize>>,
    by_update: BTreeSet<(i64, usize)>,
    created_by: HashMap<String, u64>,
    /// Created or reopened, not yet seen by the simulated admins.
    fresh: Vec<usize>,
    groups: Option<BTreeSet<String>>,
    group_names: HashMap<String, String>,
    file: Option<std::fs::File>,
}

/// The tickets of one fake desk, shared between its server, tests and simulated admins.
#[derive(Debug)]
pub struct DeskState {
    inner: Mutex<Inner>,
    clock: Arc<dyn Clock>,
    faults: Arc<Faults>,
}

impl DeskState {
    /// An empty desk, or the one kept in the file. The file gets one line per change and is rewritten on opening.
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds a line that is not ours (a broken last line is dropped).
    pub fn open(clock: Arc<dyn Clock>, faults: Arc<Faults>, file: Option<&Path>) -> std::io::Result<Self> {
        let mut inner = Inner::default();
        if let Some(path) = file {
            inner.load(path)?;
        }
        Ok(Self { inner: Mutex::new(inner), clock, faults })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The desk's own time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now().plus_ms(self.faults.skew_ms())
    }

    /// The groups that exist; `None`: every name does.
    pub fn set_groups(&self, groups: Option<BTreeSet<String>>) {
        let mut inner = self.lock();
        for name in groups.iter().flatten() {
            inner.group_names.insert(group_id(name), name.clone());
        }
        inner.groups = groups;
    }

    /// From now on the group's id leads to its name.
    pub(super) fn remember_group(&self, name: &str) {
        self.lock().group_names.insert(group_id(name), name.to_owned());
    }

    /// Name of the group with this id.
    pub(super) fn group_by_id(&self, id: &str) -> Option<String> {
        let inner = self.lock();
        let name = inner.group_names.get(id)?;
        inner.groups.as_ref().is_none_or(|g| g.contains(name)).then(|| name.clone())
    }

    /// The groups that were declared.
    #[must_use]
    pub fn groups(&self) -> Option<BTreeSet<String>> {
        self.lock().groups.clone()
    }

    /// Whether the group exists.
    #[must_use]
    pub fn knows_group(&self, name: &str) -> bool {
        self.lock().groups.as_ref().is_none_or(|g| g.contains(name))
    }

    /// Creates a ticket.
    pub fn create(&self, new: NewTicket, by: &str) -> Ticket {
        let now = self.now();
        let mut inner = self.lock();
        let n = inner.tickets.len();
        let count = 10_001 + n as u64;
        let id = if new.hex_id { format!("{:016x}{:016x}", mix(1, count), count) } else { count.to_string() };
        let number = if new.hex_id { format!("{}{count:07}", new.prefix) } else { format!("{}{}", new.prefix, n + 1) };
        let ticket = Ticket {
            id,
            number,
            place: new.place,
            summary: new.summary,
            body: new.body,
            group: new.group,
            labels: new.labels,
            fields: new.fields,
            stage: Stage::New,
            code: None,
            resolution: None,
            close_notes: None,
            assignee: None,
            closer: None,
            comments: Vec::new(),
            history: Vec::new(),
            created_by: by.to_owned(),
            created_at: now,
            updated_at: now,
            closed_at: None,
            visible_at: now.plus_ms(self.faults.search_lag_ms()),
            deleted: false,
        };
        inner.insert(ticket.clone());
        inner.fresh.push(n);
        inner.keep(n);
        ticket
    }

    /// A ticket by id or number, unless deleted.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Ticket> {
        let inner = self.lock();
        inner.by_name.get(name).and_then(|n| inner.tickets.get(*n)).filter(|t| !t.deleted).cloned()
    }

    /// Changes a ticket and stamps it; `None` when there is none.
    pub fn change<T>(&self, name: &str, change: impl FnOnce(&mut Ticket, Timestamp) -> T) -> Option<T> {
        let now = self.now();
        let mut inner = self.lock();
        let n = *inner.by_name.get(name)?;
        if inner.tickets.get(n)?.deleted {
            return None;
        }
        Some(inner.change(n, now, change))
    }

    /// A deleted ticket is there again, as after a restore or when rights come back; it does not look changed.
    pub fn undelete(&self, id: &str) {
        let mut inner = self.lock();
        let Some(n) = inner.by_name.get(id).copied() else { return };
        inner.tickets[n].deleted = false;
        inner.keep(n);
    }

    /// Tickets with this mark that a search already finds.
    #[must_use]
    pub fn search_mark(&self, mark: &str) -> Vec<Ticket> {
        let now = self.now();
        let inner = self.lock();
        if self.faults.sloppy_search() {
            return inner.tickets.iter().filter(|t| !t.deleted && t.visible_at <= now).cloned().collect();
        }
        let hits = inner.by_mark.get(mark).into_iter().flatten().filter_map(|n| inner.tickets.get(*n));
        hits.filter(|t| !t.deleted && t.visible_at <= now).cloned().collect()
    }

    /// The first ticket that was ever created with this mark, whatever a search shows.
    pub(super) fn created_with(&self, mark: &str) -> Option<Ticket> {
        let inner = self.lock();
        inner.tickets.iter().find(|t| t.marks().any(|m| m == mark)).cloned()
    }

    /// Everything is as on the first day, but for the groups.
    pub fn forget_all(&self) {
        let mut inner = self.lock();
        let (groups, group_names) = (inner.groups.take(), std::mem::take(&mut inner.group_names));
        *inner = Inner { groups, group_names, ..Inner::default() };
    }

    /// Tickets changed at or after `from`, oldest change first; at most `take` after `skip` that fit, and whether
    /// more wait.
    #[must_use]
    pub fn changed(&self, from: Timestamp, skip: usize, take: usize, fits: impl Fn(&Ticket) -> bool) -> (Vec<Ticket>, bool) {
        let now = self.now();
        let lag = self.faults.search_lag_ms();
        let inner = self.lock();
        let mut rows: Vec<Ticket> = inner
            .by_update
            .range((from.0, 0)..)
            .filter_map(|(_, n)| inner.tickets.get(*n))
            .filter(|t| !t.deleted && t.visible_at <= now && t.updated_at.plus_ms(lag) <= now && fits(t))
            .skip(skip)
            .take(take.saturating_add(1))
            .cloned()
            .collect();
        let more = rows.len() > take;
        rows.truncate(take);
        (rows, more)
    }

    /// How many tickets this account ever created, deleted ones included.
    #[must_use]
    pub fn created_by(&self, account: &str) -> u64 {
        self.lock().created_by.get(account).copied().unwrap_or(0)
    }

    /// Every key (`lm-…`) with the number of tickets this account created with it, from the tickets themselves.
    #[must_use]
    pub fn keys_created_by(&self, account: &str) -> HashMap<String, u64> {
        let mut counts = HashMap::new();
        for ticket in self.lock().tickets.iter().filter(|t| t.created_by == account) {
            for mark in ticket.marks().filter(|m| m.starts_with("lm-")) {
                *counts.entry(mark.to_owned()).or_insert(0) += 1;
            }
        }
        counts
    }

    /// Every ticket, deleted ones included.
    #[must_use]
    pub fn all(&self) -> Vec<Ticket> {
        self.lock().tickets.clone()
    }

    /// Tickets created or reopened since the last call, as positions for [`DeskState::change_at`].
    pub(super) fn take_fresh(&self) -> Vec<usize> {
        std::mem::take(&mut self.lock().fresh)
    }

    /// As [`DeskState::change`], by position.
    pub(super) fn change_at<T>(&self, n: usize, change: impl FnOnce(&mut Ticket, Timestamp) -> T) -> Option<T> {
        let now = self.now();
        let mut inner = self.lock();
        inner.tickets.get(n).filter(|t| !t.deleted)?;
        Some(inner.change(n, now, change))
    }

    /// Whether the ticket at a position is open.
    pub(super) fn is_open(&self, n: usize) -> bool {
        let inner = self.lock();
        inner.tickets.get(n).is_some_and(|t| !t.deleted && matches!(t.stage, Stage::New | Stage::Working | Stage::Waiting))
    }
}

impl Inner {
    fn insert(&mut self, ticket: Ticket) {
        let n = self.tickets.len();
        if let Some(group) = &ticket.group {
            self.group_names.entry(group_id(group)).or_insert_with(|| group.clone());
        }
        self.by_name.insert(ticket.id.clone(), n);
        self.by_name.insert(ticket.number.clone(), n);
        for mark in ticket.marks() {
            self.by_mark.entry(mark.to_owned()).or_default().push(n);
        }
        self.by_update.insert((ticket.updated_at.0, n));
        *self.created_by.entry(ticket.created_by.clone()).or_insert(0) += 1;
        self.tickets.push(ticket);
    }

    fn change<T>(&mut self, n: usize, now: Timestamp, change: impl FnOnce(&mut Ticket, Timestamp) -> T) -> T {
        let ticket = &mut self.tickets[n];
        let before: Vec<String> = ticket.marks().map(str::to_owned).collect();
        let (was, was_closed, number) = (ticket.updated_at.0, ticket.stage == Stage::Closed, ticket.number.clone());
        let out = change(ticket, now);
        ticket.updated_at = now;
        let after: Vec<String> = ticket.marks().map(str::to_owned).collect();
        let reopened = was_closed && ticket.stage != Stage::Closed;
        if ticket.number != number {
            self.by_name.insert(ticket.number.clone(), n);
        }
        for gone in before.iter().filter(|m| !after.contains(m)) {
            if let Some(list) = self.by_mark.get_mut(gone) {
                list.retain(|i| *i != n);
            }
        }
        for new in after.iter().filter(|m| !before.contains(m)) {
            self.by_mark.entry(new.clone()).or_default().push(n);
        }
        self.by_update.remove(&(was, n));
        self.by_update.insert((now.0, n));
        if reopened {
            self.fresh.push(n);
        }
        self.keep(n);
        out
    }

    /// Writes the ticket's line, where a file is kept.
    fn keep(&mut self, n: usize) {
        let (Some(file), Some(ticket)) = (&mut self.file, self.tickets.get(n)) else { return };
        let written = serde_json::to_vec(ticket).map_err(std::io::Error::other).and_then(|mut line| {
            line.push(b'\n');
            file.write_all(&line)
        });
        if let Err(e) = written {
            tracing::error!(error = %e, "the sandbox's state file cannot be written");
        }
    }

    fn load(&mut self, path: &Path) -> std::io::Result<()> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(e),
        };
        let (mut tickets, mut place): (Vec<Ticket>, HashMap<String, usize>) = (Vec::new(), HashMap::new());
        let ends_whole = text.is_empty() || text.ends_with('\n');
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            match serde_json::from_str::<Ticket>(line) {
                Ok(ticket) => match place.get(&ticket.id) {
                    Some(n) => tickets[*n] = ticket,
                    None => {
                        place.insert(ticket.id.clone(), tickets.len());
                        tickets.push(ticket);
                    }
                },
                Err(_) if i + 1 == lines.len() && !ends_whole => {}
                Err(e) => return Err(std::io::Error::other(format!("{}:{}: {e}", path.display(), i + 1))),
            }
        }
        let fresh = path.with_extension("new");
        let mut out = std::io::BufWriter::new(std::fs::File::create(&fresh)?);
        for ticket in &tickets {
            serde_json::to_writer(&mut out, ticket)?;
            out.write_all(b"\n")?;
        }
        out.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all()?;
        std::fs::rename(&fresh, path)?;
        self.file = Some(std::fs::OpenOptions::new().append(true).open(path)?);
        for ticket in tickets {
            let n = self.tickets.len();
            if ticket.stage != Stage::Closed {
                self.fresh.push(n);
            }
            self.insert(ticket);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::FakeClock;

    fn open(file: Option<&Path>) -> (DeskState, Arc<FakeClock>, Arc<Faults>) {
        let clock = Arc::new(FakeClock::at(Timestamp(1_000_000)));
        let faults = Arc::new(Faults::default());
        (DeskState::open(clock.clone(), faults.clone(), file).unwrap(), clock, faults)
    }

    fn new(label: &str) -> NewTicket {
        NewTicket { prefix: "T-".into(), labels: vec![label.into()], ..NewTicket::default() }
    }

    #[test]
    fn everything_is_counted_even_what_nobody_can_find() {
        let (state, clock, faults) = open(None);
        faults.set_search_lag_ms(5_000);
        let first = state.create(new("lm-a"), "bridge");
        state.create(new("lm-a"), "bridge");
        assert!(state.search_mark("lm-a").is_empty());
        assert!(state.changed(Timestamp(0), 0, 10, |_| true).0.is_empty());
        clock.advance_ms(5_000);
        assert_eq!(state.search_mark("lm-a").len(), 2);
        state.change(&first.id, |t, _| t.deleted = true);
        assert!(state.get(&first.id).is_none());
        assert_eq!((state.created_by("bridge"), state.keys_created_by("bridge")["lm-a"]), (2, 2));
    }

    #[test]
    fn the_file_survives_a_torn_last_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("desk.jsonl");
        let (state, ..) = open(Some(&path));
        let ticket = state.create(new("lm-a"), "bridge");
        state.change(&ticket.id, |t, now| t.move_to(Stage::Closed, "anna", now));
        drop(state);
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"id\":\"1").unwrap();
        let (state, ..) = open(Some(&path));
        assert_eq!(state.get(&ticket.number).unwrap().closer.as_deref(), Some("anna"));
        assert_eq!(state.create(new("x"), "bridge").number, "T-2");
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }
}
