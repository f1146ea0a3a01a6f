//! The embedded ledger: one serving process, one writer with `BEGIN IMMEDIATE`, readers beside it.

mod inspect;
mod turns;

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::sync::{Mutex, mpsc, oneshot};

use super::batch::{FnJob, Job, Writer};
use super::sql::{self, Shared, upkeep};
use super::views::{
    AssignmentDetail, AssignmentRow, BacklogRow, ErrandRow, Fact, FactFilter, Filter, Gauge, Operations, Overview, Owed,
    QuarantineRow, Scope, Troubled,
};
use super::{
    Acted, Action, Decision, Held, LeaseRequest, Leased, Ledger, LedgerError, LedgerResult, Observation, Past, Pull, Pulled,
    QuietOf, Receipt, Recorded, Settlement, StandingRound, Stood, Stray, TakenUp, ToPlan, Trouble, Views,
};
use crate::model::ticket::TicketRef;
use crate::model::{Id, Key, Timestamp};

pub use inspect::{Holder, Inspection};
use inspect::{lock_name, told_by};

/// A lock that is only looked at is free again within this.
const LOCK_TRIES: u32 = 4;
const LOCK_PAUSE: Duration = Duration::from_millis(25);

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How the ledger is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The one serving process: takes the lock, migrates, writes.
    Serve,
    /// As [`Mode::Serve`], but every write has its own commit: only to measure what sharing brings.
    ServeSingly,
    /// Reads beside a serving process.
    Read,
}

/// A ledger in an SQLite file.
#[derive(Debug)]
pub struct SqliteLedger {
    path: PathBuf,
    readers: SqlitePool,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    queue: Option<mpsc::WeakSender<Job>>,
    writer: Mutex<Option<tokio::task::JoinHandle<()>>>,
    shared: Arc<Shared>,
    lock: Mutex<Option<File>>,
}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => {
                Self::Corrupt(error.to_string())
            }
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl SqliteLedger {
    /// Opens `sqlite:PATH` (or a bare path).
    ///
    /// # Errors
    /// Another process serves it, its schema is newer, or the file cannot be opened.
    pub async fn open(url: &str, instance: &str, mode: Mode) -> LedgerResult<Self> {
        let path = Self::path_of(url);
        let serving = mode != Mode::Read;
        let lock = if serving { Some(take_lock(&path)?) } else { None };
        let options = SqliteConnectOptions::from_str("sqlite:")
            .map_err(LedgerError::from)?
            .filename(&path)
            .create_if_missing(serving)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10))
            .pragma("temp_store", "memory")
            .pragma("cache_size", "-16384")
            .pragma("wal_autocheckpoint", "4000")
            .statement_cache_capacity(200)
            // A batch is handed over whole: a worker that waits for its reader costs two switches.
            .row_buffer_size(512)
            .disable_statement_logging();
        let mut connection = options.connect().await?;
        refuse_newer(&mut connection).await?;
        if serving {
            MIGRATIONS
                .run(&mut connection)
                .await
                .map_err(|e| LedgerError::Unavailable(format!("migrating {}: {e}", path.display())))?;
        }
        let shared = Arc::new(Shared::load(&mut connection, instance, serving).await?);
        // No test before use: a file does not hang up, and the question would cost as much as most queries.
        // What pages sort may be a million rows: that goes to a file, not into memory.
        let reading = options.read_only(true).pragma("cache_size", "-8192").pragma("temp_store", "file");
        let readers = SqlitePoolOptions::new().max_connections(4).test_before_acquire(false).connect_lazy_with(reading);
        let (jobs, writer) = if serving {
            let (sender, handle) = Writer::start(connection, Arc::clone(&shared), mode == Mode::ServeSingly);
            (Some(sender), Some(handle))
        } else {
            (None, None)
        };
        Ok(Self {
            path,
            readers,
            queue: jobs.as_ref().map(mpsc::Sender::downgrade),
            jobs: Mutex::new(jobs),
            writer: Mutex::new(writer),
            shared,
            lock: Mutex::new(lock),
        })
    }

    /// The file that a ledger's address means.
    #[must_use]
    pub fn path_of(url: &str) -> PathBuf {
        PathBuf::from(url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")).unwrap_or(url))
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn queue(&self) -> LedgerResult<mpsc::Sender<Job>> {
        self.queue
            .as_ref()
            .and_then(mpsc::WeakSender::upgrade)
            .ok_or_else(|| LedgerError::Unavailable("it is opened for reading, or closing".to_owned()))
    }

    async fn write<O, F>(&self, work: F) -> LedgerResult<O>
    where
        O: Send + 'static,
        F: for<'c> Fn(&'c mut SqliteConnection) -> BoxFuture<'c, LedgerResult<O>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Other(Box::new(FnJob { work, output: None, reply })), answer).await
    }

    async fn send<O>(&self, job: Job, answer: oneshot::Receiver<LedgerResult<O>>) -> LedgerResult<O> {
        let gone = || LedgerError::Unavailable("the writer has stopped".to_owned());
        self.queue()?.send(job).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

/// Takes the lock and writes our process id into it, for people who look for the holder.
fn take_lock(path: &Path) -> LedgerResult<File> {
    let name = lock_name(path);
    let away = |e: std::io::Error| LedgerError::Unavailable(format!("{}: {e}", name.display()));
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|e| LedgerError::Unavailable(format!("{}: {e}", folder.display())))?;
    }
    let mut file = File::options().create(true).truncate(false).write(true).open(&name).map_err(away)?;
    let mut tries = 0;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            // Somebody who only looks holds it for a moment.
            Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            Err(TryLockError::WouldBlock) => {
                let holder = told_by(&name).map(|id| format!(", held by process {id}")).unwrap_or_default();
                return Err(LedgerError::Busy(format!("{}{holder}", name.display())));
            }
            Err(TryLockError::Error(e)) => return Err(away(e)),
        }
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(away)?;
    Ok(file)
}

async fn refuse_newer(connection: &mut SqliteConnection) -> LedgerResult<()> {
    let known = MIGRATIONS.iter().map(|m| m.version).max().unwrap_or(0);
    let table: Option<(String,)> =
        sqlx::query_as("SELECT name FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'")
            .fetch_optional(&mut *connection)
            .await?;
    if table.is_none() {
        return Ok(());
    }
    let (found,): (Option<i64>,) = sqlx::query_as("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(connection).await?;
    match found {
        Some(found) if found > known => Err(LedgerError::NewerSchema { found, known }),
        _ => Ok(()),
    }
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn record(&self, receipts: Vec<Receipt>) -> LedgerResult<Vec<Recorded>> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Record(receipts, reply), answer).await
    }

    async fn record_pull(&self, pull: Pull) -> LedgerResult<Pulled> {
        let shared = Arc::clone(&self.shared);
        let pull = Arc::new(pull);
        self.write(move |tx| {
            let (shared, pull) = (Arc::clone(&shared), Arc::clone(&pull));
            Box::pin(async move { sql::pull::record_pull(tx, &shared, &pull).await })
        })
        .await
    }

    async fn record_standing(&self, round: StandingRound) -> LedgerResult<Stood> {
        let shared = Arc::clone(&self.shared);
        let round = Arc::new(round);
        self.write(move |tx| {
            let (shared, round) = (Arc::clone(&shared), Arc::clone(&round));
            Box::pin(async move { sql::standing::record_standing(tx, &shared, &round).await })
        })
        .await
    }

    async fn awaited(&self, source: &str) -> LedgerResult<Vec<String>> {
        sql::standing::awaited(&self.readers, source).await
    }

    async fn cursor(&self, name: &str) -> LedgerResult<Option<String>> {
        let row: Option<(String,)> =
            sqlx::query_as("SELECT value FROM cursor WHERE name = $1").bind(name).fetch_optional(&self.readers).await?;
        Ok(row.map(|(value,)| value))
    }

    async fn move_cursor(&self, name: &str, from: Option<&str>, to: &str, now: Timestamp) -> LedgerResult<bool> {
        let (name, from, to) = (name.to_owned(), from.map(str::to_owned), to.to_owned());
        self.write(move |tx| {
            let (name, from, to) = (name.clone(), from.clone(), to.clone());
            Box::pin(async move { sql::pull::move_cursor(tx, &name, from.as_deref(), &to, now).await })
        })
        .await
    }

    async fn edge(&self, edge: &str, work: &str, trouble: Option<Trouble>, now: Timestamp) -> LedgerResult<bool> {
        // An edge that answers, as before, is no reason to write.
        if trouble.is_none() && !sql::edges::is_failing(&self.readers, edge, work).await? {
            return Ok(false);
        }
        let (edge, work) = (edge.to_owned(), work.to_owned());
        self.write(move |tx| {
            let (edge, work, trouble) = (edge.clone(), work.clone(), trouble.clone());
            Box::pin(async move { sql::edges::note(tx, &edge, &work, trouble.as_ref(), now).await })
        })
        .await
    }

    async fn to_plan(&self, now: Timestamp, limit: usize) -> LedgerResult<Vec<ToPlan>> {
        let (orders, unreadable) = sql::planning::to_plan(&self.readers, now, limit).await?;
        if !unreadable.is_empty() {
            self.write(move |tx| {
                let unreadable = unreadable.clone();
                Box::pin(async move { sql::planning::set_aside(tx, &unreadable, now).await })
            })
            .await?;
        }
        Ok(orders)
    }

    async fn plan(&self, decisions: Vec<Decision>, now: Timestamp) -> LedgerResult<usize> {
        let (shared, decisions) = (Arc::clone(&self.shared), Arc::new(decisions));
        self.write(move |tx| {
            let (shared, decisions) = (Arc::clone(&shared), Arc::clone(&decisions));
            Box::pin(async move { sql::planning::plan(tx, &shared, &decisions, now).await })
        })
        .await
    }

    async fn take_up(&self, decisions: Vec<Decision>, request: LeaseRequest) -> LedgerResult<TakenUp> {
        let (shared, work) = (Arc::clone(&self.shared), Arc::new((decisions, request)));
        self.write(move |tx| {
            let (shared, work) = (Arc::clone(&shared), Arc::clone(&work));
            Box::pin(async move { sql::planning::take_up(tx, &shared, &work.0, &work.1).await })
        })
        .await
    }

    async fn lease(&self, request: LeaseRequest) -> LedgerResult<Vec<Leased>> {
        // Most rounds find nothing: do not disturb the writer for them.
        let due = sql::lease::due(&self.readers, &request).await?;
        if !due.anything() {
            return Ok(Vec::new());
        }
        let request = Arc::new(request);
        self.write(move |tx| {
            let request = Arc::clone(&request);
            Box::pin(async move { sql::lease::lease(tx, &request, due).await })
        })
        .await
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> LedgerResult<Vec<bool>> {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Settle(settlements, reply), answer).await
    }

    async fn told(&self, source: &str, external_id: &str, now: Timestamp) -> LedgerResult<usize> {
        let shared = Arc::clone(&self.shared);
        let order = Arc::new((source.to_owned(), external_id.to_owned()));
        self.write(move |tx| {
            let (shared, order) = (Arc::clone(&shared), Arc::clone(&order));
            Box::pin(async move { sql::told::told(tx, &shared, &order.0, &order.1, now).await })
        })
        .await
    }

    async fn recover(&self, now: Timestamp, quiet_ms: &dyn QuietOf) -> LedgerResult<usize> {
        let rows: Vec<(String,)> =
            sqlx::query_as("SELECT DISTINCT edge FROM errand WHERE state IN ('sending', 'unclear') AND state = 'sending'")
                .fetch_all(&self.readers)
                .await?;
        let edges: Arc<Vec<(String, i64)>> =
            Arc::new(rows.into_iter().map(|(edge,)| (edge.clone(), quiet_ms.quiet_ms(&edge))).collect());
        self.write(move |tx| {
            let edges = Arc::clone(&edges);
            Box::pin(async move {
                // What fails is found out again.
                sqlx::query("DELETE FROM edge_trouble").execute(&mut *tx).await?;
                let mut recovered = 0;
                for (edge, quiet) in edges.iter() {
                    recovered += sql::lease::expire(tx, edge, now, *quiet, Timestamp(i64::MAX)).await?;
                }
                Ok(recovered)
            })
        })
        .await
    }

    async fn distrust(&self, quiet_until: BTreeMap<String, Timestamp>, now: Timestamp) -> LedgerResult<usize> {
        let shared = Arc::clone(&self.shared);
        self.write(move |tx| {
            let (shared, quiet_until) = (Arc::clone(&shared), quiet_until.clone());
            Box::pin(async move { sql::recovery::distrust(tx, &shared, quiet_until, now).await })
        })
        .await
    }

    async fn tickets_to_check(&self, desk: &str, before: Timestamp, limit: usize) -> LedgerResult<Vec<Held>> {
        sql::observe::tickets_to_check(&self.readers, desk, before, limit).await
    }

    async fn open_tickets(&self, desk: &str) -> LedgerResult<i64> {
        sql::observe::open_tickets(&self.readers, desk).await
    }

    async fn held(&self, desk: &str, ref_ids: &[String]) -> LedgerResult<Vec<Held>> {
        sql::observe::held(&self.readers, desk, ref_ids).await
    }

    async fn risky_tickets(&self, desk: &str, before: Timestamp, limit: usize) -> LedgerResult<Vec<Held>> {
        sql::observe::risky_tickets(&self.readers, desk, before, limit).await
    }

    async fn swept(&self, ticket_ids: &[Id]) -> LedgerResult<()> {
        let ids = sql::ids_json(ticket_ids);
        self.write(move |tx| {
            let ids = ids.clone();
            Box::pin(async move {
                sqlx::query("UPDATE ticket SET risky = 0 WHERE id IN (SELECT value FROM json_each($1))")
                    .bind(ids)
                    .execute(tx)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    async fn observe(&self, observations: Vec<Observation>, now: Timestamp) -> LedgerResult<usize> {
        let (shared, observations) = (Arc::clone(&self.shared), Arc::new(observations));
        self.write(move |tx| {
            let (shared, observations) = (Arc::clone(&shared), Arc::clone(&observations));
            Box::pin(async move { sql::observe::observe(tx, &shared, &observations, now).await })
        })
        .await
    }

    async fn stray(&self, stray: Stray, now: Timestamp) -> LedgerResult<bool> {
        let (shared, stray) = (Arc::clone(&self.shared), Arc::new(stray));
        self.write(move |tx| {
            let (shared, stray) = (Arc::clone(&shared), Arc::clone(&stray));
            Box::pin(async move { sql::act::stray(tx, &shared, &stray, now).await })
        })
        .await
    }

    async fn witness(&self, desk: &str, key: &Key, ticket: &TicketRef, now: Timestamp) -> LedgerResult<bool> {
        let (shared, desk, key, ticket) = (Arc::clone(&self.shared), desk.to_owned(), key.clone(), ticket.clone());
        self.write(move |tx| {
            let (shared, desk, key, ticket) = (Arc::clone(&shared), desk.clone(), key.clone(), ticket.clone());
            Box::pin(async move { sql::act::witness(tx, &shared, &desk, &key, &ticket, now).await })
        })
        .await
    }

    async fn act(&self, action: Action, actor: &str, now: Timestamp) -> LedgerResult<Acted> {
        let (shared, actor) = (Arc::clone(&self.shared), actor.to_owned());
        self.write(move |tx| {
            let (shared, actor, action) = (Arc::clone(&shared), actor.clone(), action.clone());
            Box::pin(async move { sql::act::act(tx, &shared, &action, &actor, now).await })
        })
        .await
    }

    async fn quarantined(&self, id: Id) -> LedgerResult<Option<Receipt>> {
        sql::act::quarantined(&self.readers, id).await
    }

    async fn release(&self, id: Id, receipt: Receipt, actor: &str, now: Timestamp) -> LedgerResult<Recorded> {
        let (shared, receipt, actor) = (Arc::clone(&self.shared), Arc::new(receipt), actor.to_owned());
        self.write(move |tx| {
            let (shared, receipt, actor) = (Arc::clone(&shared), Arc::clone(&receipt), actor.clone());
            Box::pin(async move { sql::act::release(tx, &shared, id, &receipt, &actor, now).await })
        })
        .await
    }

    async fn load_history(&self, past: Vec<Past>) -> LedgerResult<usize> {
        let (shared, past) = (Arc::clone(&self.shared), Arc::new(past));
        self.write(move |tx| {
            let (shared, past) = (Arc::clone(&shared), Arc::clone(&past));
            Box::pin(async move { sql::history::load(tx, &shared, &past).await })
        })
        .await
    }

    async fn erase(&self, bodies_before: Timestamp, persons_before: Timestamp) -> LedgerResult<u64> {
        self.erase_in_turns(upkeep::Before { bodies: bodies_before, persons: persons_before }).await
    }

    async fn checkpoint(&self, now: Timestamp) -> LedgerResult<Option<String>> {
        self.tie(now).await
    }

    async fn verify_chains(&self) -> LedgerResult<Vec<Id>> {
        upkeep::verify_chains(&self.readers).await
    }

    async fn ready(&self) -> LedgerResult<()> {
        self.write(|tx| {
            Box::pin(async move {
                sqlx::query("UPDATE meta SET value = value WHERE name = 'salt'").execute(tx).await?;
                Ok(())
            })
        })
        .await
    }

    async fn close(&self) {
        self.jobs.lock().await.take();
        if let Some(writer) = self.writer.lock().await.take()
            && let Err(error) = writer.await
        {
            tracing::error!(error = %error, "the ledger's writer ended badly");
        }
        self.readers.close().await;
        self.lock.lock().await.take();
    }
}

#[async_trait]
impl Views for SqliteLedger {
    async fn assignments(&self, filter: &Filter, names: bool, limit: usize) -> LedgerResult<Vec<AssignmentRow>> {
        sql::views::assignments(&self.readers, filter, names, limit).await
    }

    async fn assignment(&self, id: Id, scope: &Scope, names: bool) -> LedgerResult<Option<AssignmentDetail>> {
        sql::views::assignment(&self.readers, id, scope, names).await
    }

    async fn overview(&self, scope: &Scope, now: Timestamp) -> LedgerResult<Overview> {
        sql::views::overview(&self.readers, scope, now).await
    }

    async fn operations(&self, scope: &Scope, names: bool, limit: usize) -> LedgerResult<Operations> {
        sql::views::operations(&self.readers, scope, names, limit).await
    }

    async fn errands(
        &self,
        which: Troubled,
        scope: &Scope,
        names: bool,
        after: Option<Id>,
        limit: usize,
    ) -> LedgerResult<Vec<ErrandRow>> {
        sql::views::errands(&self.readers, which, scope, names, after, limit).await
    }

    async fn quarantine(&self, scope: &Scope, names: bool, after: Option<Id>, limit: usize) -> LedgerResult<Vec<QuarantineRow>> {
        sql::views::quarantined(&self.readers, scope, names, after, limit).await
    }

    async fn facts(&self, filter: &FactFilter) -> LedgerResult<Vec<Fact>> {
        sql::views::facts(&self.readers, filter).await
    }

    async fn backlog(&self, filter: &FactFilter, now: Timestamp) -> LedgerResult<Vec<BacklogRow>> {
        sql::views::backlog(&self.readers, filter, now).await
    }

    async fn concerns(&self, action: &Action) -> LedgerResult<Vec<String>> {
        sql::views::concerns(&self.readers, action).await
    }

    async fn gauges(&self, now: Timestamp) -> LedgerResult<Vec<Gauge>> {
        sql::views::gauges(&self.readers, now).await
    }

    async fn quarantine_body(&self, id: Id) -> LedgerResult<Option<String>> {
        sql::views::quarantine_body(&self.readers, id).await
    }

    async fn owed(&self, now: Timestamp) -> LedgerResult<Vec<Owed>> {
        sql::views::owed(&self.readers, now).await
    }

    async fn dump(&self) -> LedgerResult<String> {
        sql::views::dump(&self.readers).await
    }
}
