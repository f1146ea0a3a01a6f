//! The ledger on either engine: writes go to the writers through one queue, reads to the readers.

mod compare;
mod exports;
mod fronts;
mod open;
mod replicas;
mod rollups;
mod sign_ins;
#[cfg(test)]
mod tests;
mod turns;
mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::batch::{FnJob, Job};
use super::engine::{Conn, Pool, query, query_as};
use super::postgres::{Inspected, Postgres};
use super::sql::front::{Known, TO_PLAN};
use super::sql::{self, Shared, upkeep};
use super::sqlite::{File, Inspection};
use super::{
    Acted, Action, Arrival, Arrived, Decide, Decision, Held, LeaseRequest, Leased, Ledger, LedgerError, LedgerResult,
    Observation, Past, Pull, Pulled, QuietOf, Receipt, Recorded, Settlement, StandingRound, Stood, Stray, TakenUp, TimeUp,
    ToPlan, Trouble, Waiting,
};
use crate::model::ticket::TicketRef;
use crate::model::{Id, Key, Timestamp};

pub use open::{Address, Mode, is_postgres};

/// How long it is tried to write down how a call ended, while a server is away; then its witnesses are asked.
const SETTLE_WITHIN: Duration = Duration::from_secs(10);
const SETTLE_AGAIN: Duration = Duration::from_millis(250);

/// A ledger in an SQLite file or on a PostgreSQL server.
#[derive(Debug)]
pub struct SqlLedger {
    home: Home,
    readers: Pool,
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    queue: Option<mpsc::WeakSender<Job>>,
    writers: Mutex<Vec<oneshot::Receiver<()>>>,
    shared: Arc<Shared>,
    /// How far our clock is ahead of the database's, as last heard.
    ahead_ms: AtomicI64,
    /// Whether it said so yet.
    knows_clock: AtomicBool,
    /// How many replicas come before this one, as last heard.
    place: AtomicU32,
    /// Rounds of planning so far.
    rounds: AtomicU32,
}

/// What the engines have of their own.
#[derive(Debug)]
enum Home {
    Sqlite(Box<File>),
    Postgres(Box<Postgres>),
}

impl SqlLedger {
    /// Whether no other process can serve this ledger at the same time.
    fn is_alone(&self) -> bool {
        matches!(self.home, Home::Sqlite(_))
    }

    /// Looks at the SQLite file; `None` on PostgreSQL. `thorough` also compares every index with its table, which reads
    /// everything.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn inspect(&self, thorough: bool) -> LedgerResult<Option<Inspection>> {
        match (&self.home, &self.readers) {
            (Home::Sqlite(file), Pool::Sqlite(readers)) => Ok(Some(file.inspect(readers, thorough).await?)),
            _ => Ok(None),
        }
    }

    /// Asks the PostgreSQL server about itself; `None` on SQLite.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn inspect_server(&self) -> LedgerResult<Option<Inspected>> {
        match (&self.home, &self.readers) {
            (Home::Postgres(home), Pool::Postgres(readers)) => Ok(Some(home.inspect(readers).await?)),
            _ => Ok(None),
        }
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
        F: for<'c> Fn(&'c mut Conn) -> BoxFuture<'c, LedgerResult<O>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Other(Box::new(FnJob { work, output: None, reply })), answer).await
    }

    /// Takes up what comes after so many orders that are left to others.
    async fn take_up_behind(&self, work: &Arc<(Decide, LeaseRequest)>, skipped: usize) -> LedgerResult<sql::planning::Took> {
        let (shared, work, competing) = (Arc::clone(&self.shared), Arc::clone(work), !self.is_alone());
        self.write(move |tx| {
            let (shared, work) = (Arc::clone(&shared), Arc::clone(&work));
            Box::pin(async move { sql::planning::take_up(tx, &shared, &work.0, &work.1, skipped, competing).await })
        })
        .await
    }

    /// As [`Self::write`], for what claims from a queue that others claim from, too.
    async fn claim<O, F>(&self, work: F) -> LedgerResult<O>
    where
        O: Send + 'static,
        F: for<'c> Fn(&'c mut Conn) -> BoxFuture<'c, LedgerResult<O>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.send(Job::Claim(Box::new(FnJob { work, output: None, reply })), answer).await
    }

    async fn send<O>(&self, job: Job, answer: oneshot::Receiver<LedgerResult<O>>) -> LedgerResult<O> {
        let gone = || LedgerError::Unavailable("the writer has stopped".to_owned());
        self.queue()?.send(job).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

#[async_trait]
impl Ledger for SqlLedger {
    async fn take_in(&self, arrivals: Vec<Arrival>) -> LedgerResult<Vec<Arrived>> {
        let by_database = |Arrival { receipt, foreseen }| Arrival {
            receipt: self.received_by_database(receipt),
            foreseen: foreseen.filter(|_| self.is_alone()),
        };
        let arrivals = arrivals.into_iter().map(by_database).collect();
        let (reply, answer) = oneshot::channel();
        self.send(Job::Record(arrivals, reply), answer).await
    }

    async fn record_pull(&self, pull: Pull) -> LedgerResult<Pulled> {
        let shared = Arc::clone(&self.shared);
        let pull = Arc::new(self.pulled_by_database(pull));
        self.write(move |tx| {
            let (shared, pull) = (Arc::clone(&shared), Arc::clone(&pull));
            Box::pin(async move { sql::pull::record_pull(tx, &shared, &pull).await })
        })
        .await
    }

    async fn record_standing(&self, round: StandingRound) -> LedgerResult<Stood> {
        let shared = Arc::clone(&self.shared);
        let round = Arc::new(self.stood_by_database(round));
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
            query_as("SELECT value FROM cursor WHERE name = $1").bind(name).fetch_optional(&self.readers).await?;
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

    async fn move_cursors(&self, moves: Vec<(String, Option<String>, String)>, now: Timestamp) -> LedgerResult<()> {
        let moves = Arc::new(moves);
        self.write(move |tx| {
            let moves = Arc::clone(&moves);
            Box::pin(async move {
                for (name, from, to) in moves.iter() {
                    sql::pull::move_cursor(&mut *tx, name, from.as_deref(), to, now).await?;
                }
                Ok(())
            })
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
        let (skipped, now) = (self.skipped(limit), self.by_database(now));
        self.look_ahead(TO_PLAN, now).await;
        let (mut orders, mut unreadable) = sql::planning::to_plan(&self.readers, &self.shared, now, limit, skipped).await?;
        if skipped > 0 && orders.is_empty() && unreadable.is_empty() {
            (orders, unreadable) = sql::planning::to_plan(&self.readers, &self.shared, now, limit, 0).await?;
        }
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
        let (shared, decisions, now) = (Arc::clone(&self.shared), Arc::new(decisions), self.by_database(now));
        self.write(move |tx| {
            let (shared, decisions) = (Arc::clone(&shared), Arc::clone(&decisions));
            Box::pin(async move { sql::planning::plan(tx, &shared, &decisions, now).await })
        })
        .await
    }

    async fn take_up(&self, decide: Decide, request: LeaseRequest) -> LedgerResult<TakenUp> {
        self.refuse_astray()?;
        let skipped = self.skipped(request.limit);
        let work = Arc::new((decide, self.asked_by_database(request.clone())));
        self.look_ahead(TO_PLAN, work.1.now).await;
        self.look_ahead(&request.edge, work.1.now).await;
        let mut took = self.take_up_behind(&work, skipped).await?;
        if skipped > 0 && took.is_nothing() {
            took = self.take_up_behind(&work, 0).await?;
        }
        let leased = match took.leased.take() {
            Some(leased) => self.leased_by_own_clock(leased),
            None => self.lease(request).await?,
        };
        Ok(took.with(leased))
    }

    async fn lease(&self, request: LeaseRequest) -> LedgerResult<Vec<Leased>> {
        self.refuse_astray()?;
        let request = Arc::new(self.asked_by_database(request));
        // Most rounds find nothing: do not disturb the writer for them.
        let due = self.due(&request).await?;
        if !due.anything() {
            return Ok(Vec::new());
        }
        let leased = self.lease_of_front(&request, due).await?;
        Ok(self.leased_by_own_clock(leased))
    }

    async fn settle(&self, settlements: Vec<Settlement>) -> LedgerResult<Vec<bool>> {
        let settlements: Vec<Settlement> = settlements.into_iter().map(|s| self.settled_by_database(s)).collect();
        let began = std::time::Instant::now();
        loop {
            let (reply, answer) = oneshot::channel();
            match self.send(Job::Settle(settlements.clone(), reply), answer).await {
                // A server that restarts or fails over costs a moment. How a call ended is not thrown away for that.
                Err(LedgerError::Unavailable(words)) if began.elapsed() < SETTLE_WITHIN => {
                    self.queue()?;
                    tracing::debug!(words, "how a call ended could not be written; once more");
                    tokio::time::sleep(SETTLE_AGAIN).await;
                }
                other => return other,
            }
        }
    }

    fn tell_progress(&self, sources: BTreeSet<String>) {
        self.shared.tell_progress(sources);
    }

    async fn told(&self, source: &str, external_id: &str, now: Timestamp) -> LedgerResult<usize> {
        let (shared, now) = (Arc::clone(&self.shared), self.by_database(now));
        let order = Arc::new((source.to_owned(), external_id.to_owned()));
        self.write(move |tx| {
            let (shared, order) = (Arc::clone(&shared), Arc::clone(&order));
            Box::pin(async move { sql::told::told(tx, &shared, &order.0, &order.1, now).await })
        })
        .await
    }

    async fn recover(&self, now: Timestamp, quiet_ms: &dyn QuietOf) -> LedgerResult<usize> {
        let (alone, now) = (self.is_alone(), self.by_database(now));
        // A clock that is astray takes nothing from others: those whose is right will.
        if self.refuse_astray().is_err() {
            return Ok(0);
        }
        let rows: Vec<(String,)> =
            query_as("SELECT DISTINCT edge FROM errand WHERE state IN ('sending', 'unclear') AND state = 'sending'")
                .fetch_all(&self.readers)
                .await?;
        let edges: Arc<Vec<(String, i64)>> =
            Arc::new(rows.into_iter().map(|(edge,)| (edge.clone(), quiet_ms.quiet_ms(&edge))).collect());
        self.write(move |tx| {
            let edges = Arc::clone(&edges);
            Box::pin(async move {
                // Of others that serve too, only what they left behind is taken up.
                let left_before = if alone { Timestamp(i64::MAX) } else { now };
                if alone {
                    // What fails is found out again.
                    query("DELETE FROM edge_trouble").execute(&mut *tx).await?;
                }
                let mut recovered = 0;
                for (edge, quiet) in edges.iter() {
                    recovered += sql::lease::expire(tx, edge, &Known::NOTHING, now, *quiet, left_before).await?;
                }
                Ok(recovered)
            })
        })
        .await
    }

    async fn distrust(&self, quiet_until: BTreeMap<String, Timestamp>, now: Timestamp) -> LedgerResult<usize> {
        let (shared, now) = (Arc::clone(&self.shared), self.by_database(now));
        let quiet_until: BTreeMap<_, _> = quiet_until.into_iter().map(|(edge, at)| (edge, self.by_database(at))).collect();
        let waited = self.write(move |tx| {
            let (shared, quiet_until) = (Arc::clone(&shared), quiet_until.clone());
            Box::pin(async move { sql::recovery::distrust(tx, &shared, quiet_until, now).await })
        });
        let waited = waited.await?;
        self.share_caution().await?;
        Ok(waited)
    }

    async fn tickets_to_check(&self, desk: &str, before: Timestamp, limit: usize) -> LedgerResult<Vec<Held>> {
        // Not all that is asked for is a time.
        let before = if before.0 <= 2 { before } else { self.by_database(before) };
        sql::observe::tickets_to_check(&self.readers, desk, before, limit).await
    }

    async fn open_tickets(&self, desk: &str) -> LedgerResult<i64> {
        sql::observe::open_tickets(&self.readers, desk).await
    }

    async fn held(&self, desk: &str, ref_ids: &[String]) -> LedgerResult<Vec<Held>> {
        let mut held = sql::observe::held(&self.readers, desk, ref_ids).await?;
        for ticket in &mut held {
            ticket.checked_at = self.by_own_clock(ticket.checked_at);
            ticket.read_at = ticket.read_at.map(|at| self.by_own_clock(at));
        }
        Ok(held)
    }

    async fn risky_tickets(&self, desk: &str, before: Timestamp, limit: usize) -> LedgerResult<Vec<Held>> {
        sql::observe::risky_tickets(&self.readers, desk, self.by_database(before), limit).await
    }

    async fn swept(&self, ticket_ids: &[Id]) -> LedgerResult<()> {
        let ids = sql::ids_json(ticket_ids);
        self.write(move |tx| {
            let ids = ids.clone();
            Box::pin(async move {
                query("UPDATE ticket SET risky = 0 WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))")
                    .bind(ids)
                    .execute(tx)
                    .await?;
                Ok(())
            })
        })
        .await
    }

    async fn observe(&self, observations: Vec<Observation>, now: Timestamp) -> LedgerResult<usize> {
        let (shared, observations, now) = (Arc::clone(&self.shared), Arc::new(observations), self.by_database(now));
        self.write(move |tx| {
            let (shared, observations) = (Arc::clone(&shared), Arc::clone(&observations));
            Box::pin(async move { sql::observe::observe(tx, &shared, &observations, now).await })
        })
        .await
    }

    async fn stray(&self, stray: Stray, now: Timestamp) -> LedgerResult<bool> {
        let (shared, stray, now) = (Arc::clone(&self.shared), Arc::new(stray), self.by_database(now));
        self.write(move |tx| {
            let (shared, stray) = (Arc::clone(&shared), Arc::clone(&stray));
            Box::pin(async move { sql::act::stray(tx, &shared, &stray, now).await })
        })
        .await
    }

    async fn witness(&self, desk: &str, key: &Key, ticket: &TicketRef, now: Timestamp) -> LedgerResult<bool> {
        let now = self.by_database(now);
        let (shared, desk, key, ticket) = (Arc::clone(&self.shared), desk.to_owned(), key.clone(), ticket.clone());
        self.write(move |tx| {
            let (shared, desk, key, ticket) = (Arc::clone(&shared), desk.clone(), key.clone(), ticket.clone());
            Box::pin(async move { sql::act::witness(tx, &shared, &desk, &key, &ticket, now).await })
        })
        .await
    }

    async fn waiting(&self, source: &str, by: Timestamp, limit: usize) -> LedgerResult<Vec<Waiting>> {
        sql::waiting::waiting(&self.readers, source, by, limit).await
    }

    async fn time_is_up(&self, ends: Vec<(Id, TimeUp)>, now: Timestamp) -> LedgerResult<usize> {
        let (shared, ends, now) = (Arc::clone(&self.shared), Arc::new(ends), self.by_database(now));
        self.write(move |tx| {
            let (shared, ends) = (Arc::clone(&shared), Arc::clone(&ends));
            Box::pin(async move { sql::waiting::time_is_up(tx, &shared, &ends, now).await })
        })
        .await
    }

    async fn act(&self, action: Action, actor: &str, now: Timestamp) -> LedgerResult<Acted> {
        let (shared, actor, now) = (Arc::clone(&self.shared), actor.to_owned(), self.by_database(now));
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
        let now = self.by_database(now);
        self.write(move |tx| {
            let (shared, receipt, actor) = (Arc::clone(&shared), Arc::clone(&receipt), actor.clone());
            Box::pin(async move { sql::act::release(tx, &shared, id, &receipt, &actor, now).await })
        })
        .await
    }

    async fn load_history(&self, past: Vec<Past>) -> LedgerResult<usize> {
        let (shared, past) = (Arc::clone(&self.shared), Arc::new(past));
        let loaded = self
            .write(move |tx| {
                let (shared, past) = (Arc::clone(&shared), Arc::clone(&past));
                Box::pin(async move { sql::history::load(tx, &shared, &past).await })
            })
            .await?;
        // Their journal lies in the past, where nobody looks for what is new.
        if loaded > 0 && !self.is_alone() {
            self.shared.touched.many();
        }
        Ok(loaded)
    }

    async fn erase(&self, bodies_before: Timestamp, persons_before: Timestamp) -> LedgerResult<u64> {
        self.erase_in_turns(upkeep::Before { bodies: bodies_before, persons: persons_before }).await
    }

    async fn checkpoint(&self, now: Timestamp) -> LedgerResult<Option<String>> {
        self.tie(now).await
    }

    async fn verify_chains(&self) -> LedgerResult<Vec<Id>> {
        sql::chains::verify_chains(&self.readers).await
    }

    async fn verify_ends(&self) -> LedgerResult<Vec<Id>> {
        upkeep::verify_ends(&self.readers).await
    }

    async fn ready(&self) -> LedgerResult<()> {
        self.write(|tx| {
            Box::pin(async move {
                // A value that stays the same would not be written, and a full disk not be noticed.
                query(
                    "INSERT INTO meta (name, value) VALUES ('ready', '0')
                     ON CONFLICT (name) DO UPDATE SET value = CASE meta.value WHEN '0' THEN '1' ELSE '0' END",
                )
                .execute(tx)
                .await?;
                Ok(())
            })
        })
        .await
    }

    async fn close(&self) {
        self.jobs.lock().await.take();
        for writer in self.writers.lock().await.drain(..) {
            if let Err(error) = writer.await {
                tracing::error!(error = %error, "a writer of the ledger ended badly");
            }
        }
        self.readers.close().await;
        match &self.home {
            Home::Sqlite(file) => file.unlock().await,
            Home::Postgres(home) => home.close().await,
        }
    }
}
