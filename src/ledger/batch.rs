//! Group commit: many callers share one transaction, and each hears of its own result after the commit.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;

use super::engine::{Conn, Sees};
use super::postgres::Door;
use super::sql::{Shared, record, settle};
use super::sqlite::{FileDoor, Log};
use super::{Arrival, Arrived, Leased, LedgerError, LedgerResult, Settlement};
use crate::model::failpoint::{Point, reach};
use crate::model::random;

/// Rows that one commit carries at most.
const MAX_ROWS: usize = 512;
/// Jobs waiting for the writer before callers are made to wait.
const QUEUE: usize = 4096;

/// A write of any other kind.
#[async_trait]
pub(super) trait WriteJob: Send {
    async fn run(&mut self, tx: &mut Conn) -> LedgerResult<()>;
    fn reply(self: Box<Self>, failure: Option<LedgerError>);
}

pub(super) enum Job {
    Record(Vec<Arrival>, oneshot::Sender<LedgerResult<Vec<Arrived>>>),
    Settle(Vec<Settlement>, oneshot::Sender<LedgerResult<Vec<bool>>>),
    /// Claims errands, and is sure of them by their state.
    Claim(Box<dyn WriteJob>),
    Other(Box<dyn WriteJob>),
}

impl Job {
    fn rows(&self) -> usize {
        match self {
            Self::Record(arrivals, _) => arrivals.len(),
            Self::Settle(settlements, _) => settlements.len(),
            Self::Claim(_) | Self::Other(_) => 16,
        }
    }

    fn fail(self, error: &LedgerError) {
        match self {
            Self::Record(_, reply) => drop(reply.send(Err(error.same()))),
            Self::Settle(_, reply) => drop(reply.send(Err(error.same()))),
            Self::Claim(job) | Self::Other(job) => job.reply(Some(error.same())),
        }
    }
}

/// A write given as a function of the transaction.
pub(super) struct FnJob<O, F> {
    pub(super) work: F,
    pub(super) output: Option<O>,
    pub(super) reply: oneshot::Sender<LedgerResult<O>>,
}

#[async_trait]
impl<O, F> WriteJob for FnJob<O, F>
where
    O: Send,
    F: for<'c> Fn(&'c mut Conn) -> BoxFuture<'c, LedgerResult<O>> + Send,
{
    async fn run(&mut self, tx: &mut Conn) -> LedgerResult<()> {
        self.output = Some((self.work)(tx).await?);
        Ok(())
    }

    fn reply(self: Box<Self>, failure: Option<LedgerError>) {
        let result = match (failure, self.output) {
            (None, Some(output)) => Ok(output),
            (Some(error), _) => Err(error),
            (None, None) => Err(LedgerError::Unavailable("the write did not run".to_owned())),
        };
        // The caller may have gone away; the write stands all the same.
        drop(self.reply.send(result));
    }
}

/// Jobs in the order they came; one taken too many waits here.
struct Queue {
    receiver: mpsc::Receiver<Job>,
    held: Option<Job>,
}

impl Queue {
    /// What the next commit carries; none at the end. Where writers compete, whatever may meet another's rows goes alone:
    /// done again for a conflict, it takes nobody else's time.
    async fn next(&mut self, singly: bool, competing: bool) -> Vec<Job> {
        let held = self.held.take();
        let Some(first) = (if held.is_some() { held } else { self.receiver.recv().await }) else { return Vec::new() };
        let alone = |job: &Job| competing && matches!(job, Job::Claim(_) | Job::Other(_));
        let mut rows = first.rows();
        let full = singly || alone(&first);
        let mut jobs = vec![first];
        while rows < MAX_ROWS && !full {
            let Ok(job) = self.receiver.try_recv() else { break };
            if alone(&job) {
                self.held = Some(job);
                break;
            }
            rows += job.rows();
            jobs.push(job);
        }
        jobs
    }
}

/// What all writers are started with.
pub(super) struct Writers {
    pub(super) shared: Arc<Shared>,
    pub(super) one_commit_per_job: bool,
    /// How a lost connection is made again.
    pub(super) again: Again,
}

/// How a writer's connection is made again.
#[derive(Debug, Clone)]
pub(super) enum Again {
    Sqlite(Box<FileDoor>),
    Postgres(Box<Door>),
}

impl Again {
    async fn writer(&self) -> LedgerResult<Conn> {
        match self {
            Self::Sqlite(door) => door.writer().await,
            Self::Postgres(door) => door.writer().await,
        }
    }

    fn log(&self) -> Option<Log> {
        match self {
            Self::Sqlite(door) => Some(door.log()),
            Self::Postgres(_) => None,
        }
    }
}

impl Writers {
    /// Starts a writer for each connection; each tells its end, when the queue is closed and drained.
    pub(super) fn start(self, connections: Vec<Conn>) -> LedgerResult<(mpsc::Sender<Job>, Vec<oneshot::Receiver<()>>)> {
        let (sender, receiver) = mpsc::channel::<Job>(QUEUE);
        let queue = Arc::new(Mutex::new(Queue { receiver, held: None }));
        let competing = matches!(self.again, Again::Postgres(_));
        let start = |connection| {
            let (tell, ended) = oneshot::channel();
            let queue = Arc::clone(&queue);
            let apart = has_thread(competing);
            let mut writer = Writer {
                connection: Some(connection),
                shared: Arc::clone(&self.shared),
                again: self.again.clone(),
                replies: apart.then(JoinSet::new),
                log: self.again.log(),
            };
            let work = async move {
                loop {
                    let jobs = queue.lock().await.next(self.one_commit_per_job, competing).await;
                    if jobs.is_empty() {
                        break;
                    }
                    writer.commit(jobs).await;
                }
                if let Some(mut replies) = writer.replies {
                    while replies.join_next().await.is_some() {}
                }
                if let Some(log) = writer.log {
                    log.close().await;
                }
                if let Some(connection) = writer.connection
                    && let Err(error) = connection.close().await
                {
                    tracing::warn!(error = %error, "the ledger did not close cleanly; it recovers at the next start");
                }
                // Whoever wanted to hear of it may be gone.
                let _ = tell.send(());
            };
            spawn(apart, work)?;
            Ok(ended)
        };
        let ends = connections.into_iter().map(start).collect::<LedgerResult<_>>()?;
        Ok((sender, ends))
    }
}

/// The one writer of a file has a thread of its own, where there are several: all wait for it, and as a task it would wait in
/// their line whenever a statement is done. A single thread is left alone.
fn has_thread(competing: bool) -> bool {
    !competing && Handle::current().runtime_flavor() != RuntimeFlavor::CurrentThread
}

fn spawn(apart: bool, work: impl Future<Output = ()> + Send + 'static) -> LedgerResult<()> {
    let runtime = Handle::current();
    if !apart {
        runtime.spawn(work);
        return Ok(());
    }
    let thread = std::thread::Builder::new().name("ledger".to_owned()).spawn(move || runtime.block_on(work));
    thread.map(drop).map_err(|error| LedgerError::Unavailable(format!("no thread for its writer: {error}")))
}

/// A writer owns its connection.
struct Writer {
    connection: Option<Conn>,
    shared: Arc<Shared>,
    again: Again,
    /// Of a writer with a thread of its own: replies that are being made. Waking those who wait is the work of their threads.
    replies: Option<JoinSet<()>>,
    /// Of a file.
    log: Option<Log>,
}

/// A server that vanished without a word says nothing for a quarter of an hour. What was written is in doubt, as after a
/// cut connection; whoever asked for it asks again.
const LONGEST_WRITE: Duration = Duration::from_secs(120);

/// Tries of a write that meets what another process wrote at the same time.
const TRIES: u32 = 12;
/// Tries of a shared commit before each of its writes is tried alone.
const SHARED_TRIES: u32 = 3;

impl Writer {
    /// One transaction for all; when it fails, one for each, so that nobody fails for another's sake.
    async fn commit(&mut self, mut jobs: Vec<Job>) {
        let alone = jobs.len() == 1;
        match self.until_done(&mut jobs, if alone { TRIES } else { SHARED_TRIES }).await {
            Ok(results) => self.reply(jobs, results),
            Err(error) if alone => jobs.into_iter().for_each(|job| job.fail(&error)),
            Err(error) => {
                tracing::debug!(error = %error, jobs = jobs.len(), "a shared commit failed; each write is tried alone");
                for job in jobs {
                    let mut one = vec![job];
                    match self.until_done(&mut one, TRIES).await {
                        Ok(results) => self.reply(one, results),
                        Err(error) => one.into_iter().for_each(|job| job.fail(&error)),
                    }
                }
            }
        }
    }

    fn reply(&mut self, jobs: Vec<Job>, results: Results) {
        let Some(replies) = &mut self.replies else { return reply_all(jobs, results) };
        while replies.try_join_next().is_some() {}
        replies.spawn(async move { reply_all(jobs, results) });
    }

    /// A conflict is no failure: the other one was first, and the write is done again on what it left.
    async fn until_done(&mut self, jobs: &mut [Job], tries: u32) -> LedgerResult<Results> {
        let mut tried = 0;
        loop {
            tried += 1;
            match self.attempt(jobs).await {
                Err(LedgerError::Conflict(words)) if tried < tries => {
                    tracing::debug!(words, tried, "another process was first; once more");
                    let most = 2_u64 << tried.min(6);
                    tokio::time::sleep(Duration::from_millis(random::u64() % most)).await;
                }
                other => return other,
            }
        }
    }

    async fn attempt(&mut self, jobs: &mut [Job]) -> LedgerResult<Results> {
        let remote = matches!(self.again, Again::Postgres(_));
        // A defect in one write must not end the writer: nothing would be written any more. It is an error of this attempt, so
        // that those who shared the commit are tried without it; the connection, which may be within a transaction, is made again.
        let work = AssertUnwindSafe(self.write(jobs)).catch_unwind().map(|done| {
            done.unwrap_or_else(|_| {
                tracing::error!("a defect of lastmile broke a write off; please report it");
                metrics::counter!("lastmile_defects_total", "stage" => "ledger").increment(1);
                Err(LedgerError::Unavailable("a defect of lastmile broke the write off".to_owned()))
            })
        });
        let result = if remote {
            let late = |_| Err(LedgerError::Unavailable("a write took longer than two minutes".to_owned()));
            tokio::time::timeout(LONGEST_WRITE, work).await.unwrap_or_else(late)
        } else {
            work.await
        };
        if let Err(error) = &result {
            self.clean(error).await;
        }
        result
    }

    async fn write(&mut self, jobs: &mut [Job]) -> LedgerResult<Results> {
        let shared = Arc::clone(&self.shared);
        let sees = if matches!(jobs, [Job::Claim(_)]) { Sees::Latest } else { Sees::OneState };
        let tx = self.begun(sees).await?;
        let results = run(tx, &shared, jobs).await?;
        // Also where it is in doubt whether it was committed.
        let _noting = shared.fronts.noting(tx.due());
        let committed = commit(tx).await.map(|()| results);
        shared.touched.commit();
        if let Some(log) = &mut self.log {
            log.wrote(jobs.iter().map(Job::rows).sum());
        }
        committed
    }

    /// A connection within a transaction. One that was lost while nobody used it is made again.
    async fn begun(&mut self, sees: Sees) -> LedgerResult<&mut Conn> {
        if let Some(mut connection) = self.connection.take() {
            match connection.begin(sees).await {
                Ok(()) => return Ok(self.connection.insert(connection)),
                Err(error) => tracing::debug!(error = %error, "a connection to the ledger was lost; another is made"),
            }
        }
        let mut connection = self.again.writer().await?;
        self.shared.touched.listen(&mut connection).await?;
        connection.begin(sees).await?;
        Ok(self.connection.insert(connection))
    }

    /// Leaves no transaction open. A connection that may be broken is not used again: a full disk ends a transaction behind
    /// its back, and it would refuse every further one.
    async fn clean(&mut self, error: &LedgerError) {
        let Some(connection) = &mut self.connection else { return };
        if matches!(error, LedgerError::Unavailable(_)) || connection.rollback().await.is_err() {
            self.connection = None;
        }
    }
}

async fn commit(tx: &mut Conn) -> LedgerResult<()> {
    reach(Point::CommitBegins).await;
    tx.commit().await?;
    reach(Point::Committed).await;
    Ok(())
}

type Results = (Vec<(Arrived, Option<Leased>)>, Vec<bool>);

async fn run(tx: &mut Conn, shared: &Shared, jobs: &mut [Job]) -> LedgerResult<Results> {
    let arrivals: Vec<&Arrival> =
        jobs.iter().filter_map(|j| if let Job::Record(a, _) = j { Some(a) } else { None }).flatten().collect();
    let arrived = if arrivals.is_empty() { Vec::new() } else { record::take_in(tx, shared, &arrivals).await? };
    let ends: Vec<&Settlement> =
        jobs.iter().filter_map(|j| if let Job::Settle(s, _) = j { Some(s) } else { None }).flatten().collect();
    let settled = if ends.is_empty() { Vec::new() } else { settle::settle(tx, shared, &ends).await? };
    for job in jobs {
        if let Job::Claim(job) | Job::Other(job) = job {
            job.run(tx).await?;
        }
    }
    Ok((arrived, settled))
}

fn reply_all(jobs: Vec<Job>, (arrived, settled): Results) {
    let (mut arrived, mut settled) = (arrived.into_iter(), settled.into_iter());
    for job in jobs {
        // A caller that has gone away does not undo what is committed.
        match job {
            Job::Record(arrivals, reply) => {
                let results = arrivals.into_iter().zip(arrived.by_ref()).map(|(arrival, (arrived, leased))| {
                    // Here, since a sender that hangs up takes its caller along, and nothing may be leased for nobody.
                    if let (Some(seat), Some(leased)) = (arrival.foreseen.and_then(|foreseen| foreseen.seat), leased) {
                        seat.take(leased);
                    }
                    arrived
                });
                drop(reply.send(Ok(results.collect())));
            }
            Job::Settle(ends, reply) => drop(reply.send(Ok(settled.by_ref().take(ends.len()).collect()))),
            Job::Claim(job) | Job::Other(job) => job.reply(None),
        }
    }
}
