//! Group commit: many callers share one transaction, and each hears of its own result after the commit.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::sql::{Shared, record, settle};
use super::{LedgerError, LedgerResult, Receipt, Recorded, Settlement};

/// Rows that one commit carries at most.
const MAX_ROWS: usize = 512;
/// Jobs waiting for the writer before callers are made to wait.
const QUEUE: usize = 4096;

/// A write of any other kind.
#[async_trait]
pub(super) trait WriteJob: Send {
    async fn run(&mut self, tx: &mut SqliteConnection) -> LedgerResult<()>;
    fn reply(self: Box<Self>, failure: Option<LedgerError>);
}

pub(super) enum Job {
    Record(Vec<Receipt>, oneshot::Sender<LedgerResult<Vec<Recorded>>>),
    Settle(Vec<Settlement>, oneshot::Sender<LedgerResult<Vec<bool>>>),
    Other(Box<dyn WriteJob>),
}

impl Job {
    fn rows(&self) -> usize {
        match self {
            Self::Record(receipts, _) => receipts.len(),
            Self::Settle(settlements, _) => settlements.len(),
            Self::Other(_) => 16,
        }
    }

    fn fail(self, error: &LedgerError) {
        match self {
            Self::Record(_, reply) => drop(reply.send(Err(error.same()))),
            Self::Settle(_, reply) => drop(reply.send(Err(error.same()))),
            Self::Other(job) => job.reply(Some(error.same())),
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
    F: for<'c> Fn(&'c mut SqliteConnection) -> BoxFuture<'c, LedgerResult<O>> + Send,
{
    async fn run(&mut self, tx: &mut SqliteConnection) -> LedgerResult<()> {
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

/// The one writer: owns the connection, ends when every sender is gone.
pub(super) struct Writer {
    connection: SqliteConnection,
    shared: Arc<Shared>,
    one_commit_per_job: bool,
}

impl Writer {
    /// Starts the writer; the handle ends when the queue is closed and drained.
    pub(super) fn start(
        connection: SqliteConnection,
        shared: Arc<Shared>,
        one_commit_per_job: bool,
    ) -> (mpsc::Sender<Job>, tokio::task::JoinHandle<()>) {
        let (sender, mut queue) = mpsc::channel::<Job>(QUEUE);
        let mut writer = Self { connection, shared, one_commit_per_job };
        let handle = tokio::spawn(async move {
            while let Some(first) = queue.recv().await {
                let mut rows = first.rows();
                let mut jobs = vec![first];
                while rows < MAX_ROWS && !writer.one_commit_per_job {
                    let Ok(job) = queue.try_recv() else { break };
                    rows += job.rows();
                    jobs.push(job);
                }
                writer.commit(jobs).await;
            }
            if let Err(error) = writer.connection.close().await {
                tracing::warn!(error = %error, "the ledger did not close cleanly; it recovers at the next start");
            }
        });
        (sender, handle)
    }

    /// One transaction for all; when it fails, one for each, so that nobody fails for another's sake.
    async fn commit(&mut self, mut jobs: Vec<Job>) {
        let alone = jobs.len() == 1;
        match self.attempt(&mut jobs).await {
            Ok(results) => reply_all(jobs, results),
            Err(error) if alone => jobs.into_iter().for_each(|job| job.fail(&error)),
            Err(error) => {
                tracing::debug!(error = %error, jobs = jobs.len(), "a shared commit failed; each write is tried alone");
                for job in jobs {
                    let mut one = vec![job];
                    match self.attempt(&mut one).await {
                        Ok(results) => reply_all(one, results),
                        Err(error) => one.into_iter().for_each(|job| job.fail(&error)),
                    }
                }
            }
        }
    }

    async fn attempt(&mut self, jobs: &mut [Job]) -> LedgerResult<(Vec<Recorded>, Vec<bool>)> {
        let mut tx = self.connection.begin_with("BEGIN IMMEDIATE").await?;
        let receipts: Vec<&Receipt> =
            jobs.iter().filter_map(|j| if let Job::Record(r, _) = j { Some(r) } else { None }).flatten().collect();
        let recorded = if receipts.is_empty() {
            Vec::new()
        } else {
            record::record(&mut tx, &self.shared, &receipts, record::From::Push).await?
        };
        let ends: Vec<&Settlement> =
            jobs.iter().filter_map(|j| if let Job::Settle(s, _) = j { Some(s) } else { None }).flatten().collect();
        let settled = if ends.is_empty() { Vec::new() } else { settle::settle(&mut tx, &self.shared, &ends).await? };
        for job in jobs {
            if let Job::Other(job) = job {
                job.run(&mut tx).await?;
            }
        }
        tx.commit().await?;
        self.shared.touched.commit();
        Ok((recorded, settled))
    }
}

fn reply_all(jobs: Vec<Job>, (recorded, settled): (Vec<Recorded>, Vec<bool>)) {
    let (mut recorded, mut settled) = (recorded.into_iter(), settled.into_iter());
    for job in jobs {
        // A caller that has gone away does not undo what is committed.
        match job {
            Job::Record(receipts, reply) => drop(reply.send(Ok(recorded.by_ref().take(receipts.len()).collect()))),
            Job::Settle(ends, reply) => drop(reply.send(Ok(settled.by_ref().take(ends.len()).collect()))),
            Job::Other(job) => job.reply(None),
        }
    }
}
