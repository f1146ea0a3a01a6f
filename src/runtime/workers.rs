//! One loop a stage and edge. Each sleeps until woken or until its next look is due; each stops between steps.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::{AnswerTimes, answer_round};
use super::compare::{self, CompareTimes};
use super::due::Due;
use super::hands::{Hands, LOOK_EVERY};
use super::poll::{PollTimes, poll_round};
use super::replica::{self, Presence, Taken};
use super::rollup::Pace;
use super::sync::{SyncTimes, sync_round};
use super::wake::{Listen, Wake};
use crate::flow::{Breakers, Foresight, Pauses, Setup, Worker, complete, dispatch, plan};
use crate::ledger::{Ledger, LedgerResult};
use crate::model::Clock;

/// The duty of keeping the figures.
const FIGURES: &str = "figures";
/// After a failure of the ledger.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// How long a stop waits for calls under way.
const STOP_WITHIN: Duration = Duration::from_secs(25);

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
    presence: Arc<Presence>,
    /// Edges whose loops run, each with what ends them.
    edges: Mutex<BTreeMap<String, CancellationToken>>,
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
            presence: Arc::default(),
            edges: Mutex::default(),
        }
    }

    /// While it is held, no other configuration comes into force: taken before the setup is read, kept until what was
    /// planned with it is in the ledger.
    pub async fn planning(&self) -> OwnedRwLockReadGuard<()> {
        self.worker.planning.under_way().await
    }

    /// Waits for the planning under way; none begins while it is held.
    pub async fn between_plans(&self) -> OwnedRwLockWriteGuard<()> {
        self.worker.planning.between().await
    }

    /// Which edges asked for patience, for people to see.
    #[must_use]
    pub fn pauses(&self) -> Arc<Pauses> {
        Arc::clone(&self.worker.pauses)
    }

    /// Decides on orders while they are received, for as long as the loops run.
    #[must_use]
    pub fn foresight(&self) -> Foresight {
        Foresight::new(Arc::clone(&self.setup), self.worker.clone(), Arc::clone(&self.clock))
    }

    fn hands(&self) -> Hands {
        Hands {
            ledger: Arc::clone(&self.ledger),
            setup: Arc::clone(&self.setup),
            clock: Arc::clone(&self.clock),
            worker: self.worker.clone(),
            breakers: Arc::clone(&self.breakers),
            wake: self.wake.clone(),
            presence: Arc::clone(&self.presence),
        }
    }

    /// Which edges are held back, for people to see.
    #[must_use]
    pub fn breakers(&self) -> Arc<Breakers> {
        Arc::clone(&self.breakers)
    }

    /// Starts a loop for planning, and those of every desk and source of the setup.
    pub fn start(&self) {
        self.worker.planning.works(true);
        let (hands, looked) = (self.hands(), Arc::new(Mutex::new(None)));
        self.run("plan", Listen::Orders, self.stop.clone(), move || {
            let (hands, looked) = (hands.clone(), Arc::clone(&looked));
            async move {
                if hands.leaves_planning_to_a_desk(&looked) {
                    return Ok(false);
                }
                let _turn = hands.worker.planning.turn().await;
                let planned = plan::step(&*hands.ledger, &hands.setup.load_full(), &*hands.clock).await?;
                if planned > 0 {
                    hands.wake.errands();
                }
                Ok(planned >= plan::BATCH)
            }
        });
        self.start_upkeep();
        self.start_figures();
        self.start_mailing();
        if self.ledger.is_shared() {
            self.start_beats();
        }
        self.follow();
    }

    /// Starts the loops of edges that the setup has and nobody works for, and ends those of edges it no longer has;
    /// their calls under way are finished. Breakers outlive it: a desk that is down stays known to be down.
    pub fn follow(&self) {
        let wanted: Vec<String> = self.setup.load().edges().collect();
        let mut edges = self.edges.lock().unwrap_or_else(PoisonError::into_inner);
        edges.retain(|edge, stop| {
            let stays = wanted.contains(edge);
            if !stays {
                stop.cancel();
            }
            stays
        });
        for edge in wanted {
            if edges.contains_key(&edge) {
                continue;
            }
            let stop = self.stop.child_token();
            match edge.split_once('/') {
                Some(("desk", name)) => self.start_desk(name, &stop),
                Some((_, name)) => self.start_source(name, &stop),
                None => {}
            }
            self.start_compare(edge.clone(), &stop);
            edges.insert(edge, stop);
        }
    }

    fn start_desk(&self, name: &str, stop: &CancellationToken) {
        let (hands, desk, stopping) = (self.hands(), name.to_owned(), stop.clone());
        self.run("dispatch", Listen::Both, stop.clone(), move || {
            let (hands, desk, stopping) = (hands.clone(), desk.clone(), stopping.clone());
            async move { dispatch_round(&hands, &desk, &stopping).await }
        });
        let (hands, desk) = (self.hands(), name.to_owned());
        let times = Arc::new(tokio::sync::Mutex::new(SyncTimes::default()));
        self.run("sync", Listen::Time, stop.clone(), move || {
            let (hands, desk, times) = (hands.clone(), desk.clone(), Arc::clone(&times));
            async move { sync_round(&hands, &desk, &mut *times.lock().await).await }
        });
    }

    /// The loop that compares an edge with the ledger.
    fn start_compare(&self, edge: String, stop: &CancellationToken) {
        let hands = self.hands();
        let times = Arc::new(tokio::sync::Mutex::new(CompareTimes::default()));
        self.run("compare", Listen::Time, stop.clone(), move || {
            let (hands, edge, times) = (hands.clone(), edge.clone(), Arc::clone(&times));
            async move { compare::round(&hands, &edge, &mut *times.lock().await).await }
        });
    }

    fn start_source(&self, name: &str, stop: &CancellationToken) {
        let (hands, source) = (self.hands(), name.to_owned());
        self.run("complete", Listen::Errands, stop.clone(), move || {
            let (hands, source) = (hands.clone(), source.clone());
            async move {
                let setup = hands.setup.load_full();
                let Some(source) = setup.sources.get(&source).filter(|_| hands.joined()) else { return Ok(false) };
                Ok(complete::step(&*hands.ledger, &setup, &**source, &hands.worker, &*hands.clock).await? > 0)
            }
        });
        let (hands, source) = (self.hands(), name.to_owned());
        let times = Arc::new(tokio::sync::Mutex::new(PollTimes::default()));
        self.run("poll", Listen::Time, stop.clone(), move || {
            let (hands, source, times) = (hands.clone(), source.clone(), Arc::clone(&times));
            async move { poll_round(&hands, &source, &mut *times.lock().await).await }
        });
        let (hands, source) = (self.hands(), name.to_owned());
        let times = Arc::new(tokio::sync::Mutex::new(AnswerTimes::default()));
        self.run("answer", Listen::Time, stop.clone(), move || {
            let (hands, source, times) = (hands.clone(), source.clone(), Arc::clone(&times));
            async move { answer_round(&hands, &source, &mut *times.lock().await).await }
        });
    }

    /// Says it once, before the loops do.
    ///
    /// # Errors
    /// The ledger does not answer.
    pub async fn say_that_we_are_here(&self) -> LedgerResult<()> {
        self.presence.beat(&*self.ledger, &self.worker.owner, &*self.clock).await
    }

    /// Says every few seconds that this process is there.
    fn start_beats(&self) {
        let (hands, stop) = (self.hands(), self.stop.clone());
        self.tasks.spawn(async move {
            while !stop.is_cancelled() {
                let beat = hands.presence.beat(&*hands.ledger, &hands.worker.owner, &*hands.clock);
                if let Ok(Err(error)) = AssertUnwindSafe(beat).catch_unwind().await {
                    tracing::warn!(error = %error, "the other replicas cannot be told that this one is there");
                }
                tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(replica::BEAT) => {} }
            }
        });
    }

    /// Figures are kept beside everything else, by one process, at their own pace.
    fn start_figures(&self) {
        let (hands, stop) = (self.hands(), self.stop.clone());
        let figures = Arc::new(tokio::sync::Mutex::new((Pace::default(), false)));
        self.run("figures", Listen::Time, self.stop.clone(), move || {
            let (hands, figures, stop) = (hands.clone(), Arc::clone(&figures), stop.clone());
            async move {
                let (figures, mine) = &mut *figures.lock().await;
                match hands.duty(FIGURES, mine).await? {
                    None => return Ok(false),
                    // Another process kept them meanwhile: what this one remembers is old.
                    Some(Taken::Fresh(_)) => figures.begin_anew(),
                    Some(_) => {}
                }
                let catalog = Arc::clone(&hands.setup.load().catalog);
                let rest = figures.round(&*hands.ledger, &catalog, &*hands.clock).await?;
                tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(rest) => {} }
                Ok(true)
            }
        });
    }

    fn start_mailing(&self) {
        let (hands, next) = (self.hands(), Arc::new(tokio::sync::Mutex::new(None)));
        self.run("mailing", Listen::Time, self.stop.clone(), move || {
            let (hands, next) = (hands.clone(), Arc::clone(&next));
            async move { super::mailing::round(&hands.ledger, &hands.setup, &hands.clock, &mut *next.lock().await).await }
        });
    }

    fn start_upkeep(&self) {
        let hands = self.hands();
        // Not in the first minute: a start has better things to do.
        let next = Arc::new(tokio::sync::Mutex::new((Due::after(60_000, &*hands.clock), false)));
        self.run("upkeep", Listen::Time, self.stop.clone(), move || {
            let (hands, next) = (hands.clone(), Arc::clone(&next));
            async move { super::upkeep::round(&hands, &mut *next.lock().await).await }
        });
    }

    /// Loops a step: at once again while it finds work, else after a nap.
    fn run<F, Fut>(&self, stage: &'static str, listen: Listen, stop: CancellationToken, step: F)
    where
        F: Fn() -> Fut + Send + 'static,
        Fut: Future<Output = LedgerResult<bool>> + Send,
    {
        let mut bells = self.wake.listen(listen);
        self.tasks.spawn(async move {
            let mut failing = false;
            while !stop.is_cancelled() {
                bells.hush();
                // A defect in one step must not end the loop unseen: what it held is leased again by time.
                let nap = match AssertUnwindSafe(step()).catch_unwind().await {
                    Ok(Ok(worked)) => {
                        failing = false;
                        if worked { Duration::ZERO } else { LOOK_EVERY }
                    }
                    Err(_) => {
                        tracing::error!(stage, "a defect of lastmile broke this step off; it is tried again, please report it");
                        metrics::counter!("lastmile_defects_total", "stage" => stage).increment(1);
                        failing = true;
                        AFTER_FAILURE
                    }
                    Ok(Err(error)) => {
                        if !failing {
                            tracing::error!(stage, error = %error, "the ledger refuses; trying again until it answers");
                        }
                        failing = true;
                        AFTER_FAILURE
                    }
                };
                if !nap.is_zero() {
                    let until = tokio::time::sleep(nap);
                    // While the ledger refuses, no bell shortens the wait.
                    tokio::select! { () = stop.cancelled() => {}, () = until => {}, () = bells.rung(), if !failing => {} }
                }
            }
        });
    }

    /// Stops between steps; calls under way are finished. Returns whether all ended in time.
    pub async fn stop(&self) -> bool {
        self.worker.planning.works(false);
        self.stop.cancel();
        self.tasks.close();
        let ended = tokio::time::timeout(STOP_WITHIN, self.tasks.wait()).await.is_ok();
        if ended && let Err(error) = self.ledger.leave(&self.worker.owner).await {
            tracing::debug!(error = %error, "the other replicas take over by time");
        }
        ended
    }
}

/// Works through a desk's errands until the edge is stopped, or the setup is another.
async fn dispatch_round(hands: &Hands, desk: &str, stopping: &CancellationToken) -> LedgerResult<bool> {
    let setup = hands.setup.load_full();
    let Some(desk) = setup.desks.get(desk).filter(|_| hands.joined()) else { return Ok(false) };
    let more = || !stopping.is_cancelled() && Arc::ptr_eq(&setup, &hands.setup.load());
    let pass_on = || hands.wake.all();
    let (errands, orders) = (hands.wake.errands.subscribe(), hands.wake.orders.subscribe());
    // With several processes nothing is foreseen, and what each may send changes as they come and go.
    let stays = (!hands.ledger.is_shared()).then(|| stopping.clone());
    let going = dispatch::Going { errands, orders, pass_on: &pass_on, more: &more, look_every: LOOK_EVERY, stays };
    let stayed = going.stays.is_some();
    let worked =
        dispatch::pump(&*hands.ledger, &setup, &**desk, &hands.worker, &hands.breakers, &*hands.clock, Some(going)).await?;
    Ok(stayed || worked > 0)
}
