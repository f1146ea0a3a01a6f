//! One loop a stage and edge. Each sleeps until woken or until its next look is due; each stops between steps.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::flow::{Breakers, Setup, Worker, complete, dispatch, intake, plan, sync};
use crate::ledger::Ledger;
use crate::model::Clock;

/// Longest sleep of a loop that was not woken.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After a failure of the ledger.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// How long a stop waits for calls under way.
const STOP_WITHIN: Duration = Duration::from_secs(25);

/// Wakes every loop: something arrived. A hint and never needed.
#[derive(Debug, Clone, Default)]
pub struct Wake(Arc<Notify>);

impl Wake {
    /// Something arrived.
    pub fn wake(&self) {
        self.0.notify_waiters();
    }

    async fn nap(&self, at_most: Duration) {
        // Woken or not: the loop looks again.
        let _ = tokio::time::timeout(at_most, self.0.notified()).await;
    }
}

/// The running loops.
#[derive(Debug)]
pub struct Runtime {
    ledger: Arc<dyn Ledger>,
    setup: Arc<ArcSwap<Setup>>,
    clock: Arc<dyn Clock>,
    worker: Worker,
    breakers: Arc<Breakers>,
    wake: Wake,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Runtime {
    /// Ready to start; nothing runs yet.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, setup: Arc<ArcSwap<Setup>>, clock: Arc<dyn Clock>, wake: Wake) -> Self {
        Self {
            ledger,
            setup,
            clock,
            worker: Worker::new(),
            breakers: Arc::default(),
            wake,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Starts a loop for planning, and one or two for every desk and source of the setup.
    pub fn start(&self) {
        let (ledger, setup, clock, wake) =
            (Arc::clone(&self.ledger), Arc::clone(&self.setup), Arc::clone(&self.clock), self.wake.clone());
        self.run("plan", move || {
            let (ledger, setup, clock, wake) = (Arc::clone(&ledger), setup.load_full(), Arc::clone(&clock), wake.clone());
            async move {
                let planned = plan::step(&*ledger, &setup, &*clock).await?;
                if planned > 0 {
                    wake.wake();
                }
                Ok(planned > 0)
            }
        });
        let now = self.setup.load();
        for name in now.desks.keys() {
            self.start_desk(name);
        }
        for (name, source) in &now.sources {
            self.start_source(name, source.info().capabilities.polls);
        }
        self.start_upkeep();
    }

    fn start_desk(&self, name: &str) {
        let (ledger, setup, clock) = (Arc::clone(&self.ledger), Arc::clone(&self.setup), Arc::clone(&self.clock));
        let (worker, breakers, desk) = (self.worker.clone(), Arc::clone(&self.breakers), name.to_owned());
        self.run("dispatch", move || {
            let (ledger, setup, clock, worker) = (Arc::clone(&ledger), setup.load_full(), Arc::clone(&clock), worker.clone());
            let (breakers, desk) = (Arc::clone(&breakers), desk.clone());
            async move {
                let Some(desk) = setup.desks.get(&desk) else { return Ok(false) };
                let worked = dispatch::step(&*ledger, &setup, &**desk, &worker, &breakers, &*clock).await?;
                Ok(worked > 0)
            }
        });
        let (ledger, setup, clock, wake, desk) =
            (Arc::clone(&self.ledger), Arc::clone(&self.setup), Arc::clone(&self.clock), self.wake.clone(), name.to_owned());
        let state = Arc::new(tokio::sync::Mutex::new(SyncTimes::default()));
        self.run("sync", move || {
            let (ledger, setup, clock, wake) = (Arc::clone(&ledger), setup.load_full(), Arc::clone(&clock), wake.clone());
            let (desk, state) = (desk.clone(), Arc::clone(&state));
            async move { sync_round(&*ledger, &setup, &desk, &*clock, &wake, &mut *state.lock().await).await }
        });
    }

    fn start_source(&self, name: &str, polls: bool) {
        let (ledger, setup, clock) = (Arc::clone(&self.ledger), Arc::clone(&self.setup), Arc::clone(&self.clock));
        let (worker, source) = (self.worker.clone(), name.to_owned());
        self.run("complete", move || {
            let (ledger, setup, clock) = (Arc::clone(&ledger), setup.load_full(), Arc::clone(&clock));
            let (worker, source) = (worker.clone(), source.clone());
            async move {
                let Some(source) = setup.sources.get(&source) else { return Ok(false) };
                Ok(complete::step(&*ledger, &setup, &**source, &worker, &*clock).await? > 0)
            }
        });
        if !polls {
            return;
        }
        let (ledger, setup, clock, wake, source) =
            (Arc::clone(&self.ledger), Arc::clone(&self.setup), Arc::clone(&self.clock), self.wake.clone(), name.to_owned());
        let next = Arc::new(tokio::sync::Mutex::new(None));
        self.run("poll", move || {
            let (ledger, setup, clock, wake) = (Arc::clone(&ledger), setup.load_full(), Arc::clone(&clock), wake.clone());
            let (source, next) = (source.clone(), Arc::clone(&next));
            async move {
                let Some(source) = setup.sources.get(&source) else { return Ok(false) };
                let mut next = next.lock().await;
                let now = clock.now();
                // The first tick is one poll at the start: what came while we were away.
                if !source.take_hint() && next.is_some_and(|at| now < at) {
                    return Ok(false);
                }
                *next = source.next_poll(now);
                match intake::poll(&*ledger, &**source, &*clock).await {
                    Ok(polled) if polled.events > 0 || polled.withdrawn > 0 => wake.wake(),
                    Ok(_) => {}
                    Err(intake::PollError::Ledger(error)) => return Err(error),
                    Err(intake::PollError::Call(error)) => {
                        tracing::warn!(
                            source = source.info().name,
                            code = error.code(),
                            reason = error.reason(),
                            "the platform could not be polled"
                        );
                    }
                }
                Ok(false)
            }
        });
    }

    fn start_upkeep(&self) {
        let (ledger, setup, clock) = (Arc::clone(&self.ledger), Arc::clone(&self.setup), Arc::clone(&self.clock));
        let next = Arc::new(tokio::sync::Mutex::new(None));
        self.run("upkeep", move || {
            let (ledger, setup, clock, next) = (Arc::clone(&ledger), setup.load_full(), Arc::clone(&clock), Arc::clone(&next));
            async move {
                let mut next = next.lock().await;
                let now = clock.now();
                if next.is_some_and(|at| now < at) {
                    return Ok(false);
                }
                *next = Some(now.plus_secs(3600));
                let kept = &setup.catalog.main.retention;
                ledger.erase(now.plus_ms(-kept.inbox.ms()), now.plus_ms(-kept.persons.ms())).await?;
                ledger.checkpoint(now).await?;
                Ok(false)
            }
        });
    }

    /// Loops a step: at once again while it finds work, else after a nap.
    fn run<F, Fut>(&self, stage: &'static str, step: F)
    where
        F: Fn() -> Fut + Send + 'static,
        Fut: Future<Output = Result<bool, crate::ledger::LedgerError>> + Send,
    {
        let (stop, wake) = (self.stop.clone(), self.wake.clone());
        self.tasks.spawn(async move {
            let mut failing = false;
            while !stop.is_cancelled() {
                let nap = match step().await {
                    Ok(worked) => {
                        failing = false;
                        if worked { Duration::ZERO } else { LOOK_EVERY }
                    }
                    Err(error) => {
                        if !failing {
                            tracing::error!(stage, error = %error, "the ledger refuses; trying again until it answers");
                        }
                        failing = true;
                        AFTER_FAILURE
                    }
                };
                if !nap.is_zero() {
                    tokio::select! { () = stop.cancelled() => {}, () = wake.nap(nap) => {} }
                }
            }
        });
    }

    /// Stops between steps; calls under way are finished. Returns whether all ended in time.
    pub async fn stop(&self) -> bool {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(STOP_WITHIN, self.tasks.wait()).await.is_ok()
    }
}

#[derive(Debug, Default)]
struct SyncTimes {
    changes: Option<crate::model::Timestamp>,
    sweep: Option<crate::model::Timestamp>,
}

/// Changes when due, a batch of the full pass, the sweep when due. A desk that is away is asked again later.
async fn sync_round(
    ledger: &dyn Ledger,
    setup: &Setup,
    desk: &str,
    clock: &dyn Clock,
    wake: &Wake,
    times: &mut SyncTimes,
) -> Result<bool, crate::ledger::LedgerError> {
    let Some(desk) = setup.desks.get(desk) else { return Ok(false) };
    let work = &setup.catalog.main.work;
    let now = clock.now();
    let outcome = async {
        let mut busy = false;
        if times.changes.is_none_or(|at| now >= at) {
            let synced = sync::changes(ledger, &**desk, clock).await?;
            if !synced.more {
                times.changes = Some(now.plus_ms(work.sync_every.ms()));
            }
            busy |= synced.more;
            if synced.changed > 0 {
                wake.wake();
            }
        }
        sync::full_pass(ledger, &**desk, now.plus_ms(-work.full_pass.ms()), clock).await?;
        if times.sweep.is_none_or(|at| now >= at) {
            times.sweep = Some(now.plus_ms(work.sweep_every.ms()));
            sync::sweep(ledger, &**desk, now.plus_secs(-7 * 86_400), clock).await?;
        }
        Ok::<bool, sync::SyncError>(busy)
    }
    .await;
    match outcome {
        Ok(busy) => Ok(busy),
        Err(sync::SyncError::Ledger(error)) => Err(error),
        Err(sync::SyncError::Call(error)) => {
            tracing::warn!(desk = desk.info().name, code = error.code(), reason = error.reason(), "the desk could not be asked");
            times.changes = Some(now.plus_ms(work.sync_every.ms()));
            Ok(false)
        }
    }
}
