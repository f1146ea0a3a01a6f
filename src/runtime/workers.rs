//! One loop a stage and edge. Each sleeps until woken or until its next look is due; each stops between steps.

use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::FutureExt as _;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::compare::{self, CompareTimes};
use super::replica::{self, Presence, Taken};
use super::rollup;
use crate::desk::Desk;
use crate::flow::{
    Breakers, Pauses, Setup, Work, Worker, complete, deadline, dispatch, edge_answers, edge_fails, intake, plan, sync,
};
use crate::http::CallError;
use crate::kpi::rollup::Rollup;
use crate::ledger::{Ledger, LedgerResult};
use crate::model::{Clock, Timestamp};

/// The duty of erasing and of tying the chains.
const UPKEEP: &str = "upkeep";
/// The duty of keeping the figures.
const FIGURES: &str = "figures";
/// Longest sleep of a loop that was not woken.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The same in milliseconds.
const LOOK_EVERY_MS: i64 = 500;
/// Batches of fresh tickets read back in one round.
const READ_BACKS: usize = 8;
/// How often open tickets are counted to pace the full pass.
const COUNT_EVERY_MS: i64 = 600_000;
/// How often orders are looked for whose platform will soon stop waiting.
const DEADLINES_EVERY_MS: i64 = 10_000;
/// After a failure of the ledger.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// How long a stop waits for calls under way.
const STOP_WITHIN: Duration = Duration::from_secs(25);

/// Wakes loops. A hint and never needed; one that comes while a loop is at work makes it look once more.
#[derive(Debug, Clone, Default)]
pub struct Wake {
    orders: Arc<watch::Sender<()>>,
    errands: Arc<watch::Sender<()>>,
}

impl Wake {
    /// Orders arrived, or may be planned now.
    pub fn orders(&self) {
        self.orders.send_replace(());
    }

    /// Calls outward are due.
    pub fn errands(&self) {
        self.errands.send_replace(());
    }

    /// Anything may have happened.
    pub fn all(&self) {
        self.orders();
        self.errands();
    }

    fn listen(&self, to: Listen) -> Option<watch::Receiver<()>> {
        match to {
            Listen::Orders => Some(self.orders.subscribe()),
            Listen::Errands => Some(self.errands.subscribe()),
            Listen::Time => None,
        }
    }
}

/// What wakes a loop.
#[derive(Debug, Clone, Copy)]
enum Listen {
    Orders,
    Errands,
    /// Nothing but the time: what it asks of the outside is paced.
    Time,
}

async fn woken(bell: Option<&mut watch::Receiver<()>>) {
    if let Some(bell) = bell
        && bell.changed().await.is_ok()
    {
        return;
    }
    // No bell, or a closed one: it never rings.
    std::future::pending().await
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
    presence: Arc<Presence>,
    /// Held for reading while orders are planned, for writing while another configuration comes into force.
    planning: Arc<RwLock<()>>,
    /// Edges whose loops run, each with what ends them.
    edges: Mutex<BTreeMap<String, CancellationToken>>,
}

/// What a loop's step needs besides its edge.
#[derive(Clone)]
struct Hands {
    ledger: Arc<dyn Ledger>,
    setup: Arc<ArcSwap<Setup>>,
    clock: Arc<dyn Clock>,
    worker: Worker,
    breakers: Arc<Breakers>,
    wake: Wake,
    presence: Arc<Presence>,
}

impl Hands {
    /// Whether this process has been heard of, and may call out.
    fn joined(&self) -> bool {
        self.presence.joined(&*self.ledger)
    }

    /// Whether a duty is this process's now.
    async fn duty(&self, duty: &str, mine: &mut bool) -> LedgerResult<Option<Taken>> {
        replica::duty(&*self.ledger, duty, &self.worker.owner, mine).await
    }
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
            planning: Arc::default(),
            edges: Mutex::default(),
        }
    }

    /// While it is held, no other configuration comes into force: taken before the setup is read, kept until what was
    /// planned with it is in the ledger.
    pub async fn planning(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.planning).read_owned().await
    }

    /// Waits for the planning under way; none begins while it is held.
    pub async fn between_plans(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.planning).write_owned().await
    }

    /// Which edges asked for patience, for people to see.
    #[must_use]
    pub fn pauses(&self) -> Arc<Pauses> {
        Arc::clone(&self.worker.pauses)
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
        let (hands, planning) = (self.hands(), Arc::clone(&self.planning));
        self.run("plan", Listen::Orders, self.stop.clone(), move || {
            let (hands, planning) = (hands.clone(), Arc::clone(&planning));
            async move {
                let _planning = planning.read().await;
                let planned = plan::step(&*hands.ledger, &hands.setup.load_full(), &*hands.clock).await?;
                if planned > 0 {
                    hands.wake.errands();
                }
                Ok(planned > 0)
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
        let now = self.setup.load();
        let wanted: Vec<String> =
            now.desks.keys().map(|d| format!("desk/{d}")).chain(now.sources.keys().map(|s| format!("source/{s}"))).collect();
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
        self.run("dispatch", Listen::Errands, stop.clone(), move || {
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
            async move {
                let (setup, mut times) = (hands.setup.load_full(), times.lock().await);
                compare::round(&*hands.ledger, &setup, &hands.worker, &*hands.clock, &edge, &mut times).await
            }
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

    /// Says every few seconds that this process is there.
    fn start_beats(&self) {
        let (hands, stop) = (self.hands(), self.stop.clone());
        self.tasks.spawn(async move {
            while !stop.is_cancelled() {
                if let Err(error) = hands.presence.beat(&*hands.ledger, &hands.worker.owner, &*hands.clock).await {
                    tracing::warn!(error = %error, "the other replicas cannot be told that this one is there");
                }
                tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(replica::BEAT) => {} }
            }
        });
    }

    /// Figures are kept beside everything else, by one process, and rest nineteen times as long as they work.
    fn start_figures(&self) {
        let (hands, stop) = (self.hands(), self.stop.clone());
        let figures = Arc::new(tokio::sync::Mutex::new((Rollup::new(), false)));
        self.run("figures", Listen::Time, self.stop.clone(), move || {
            let (hands, figures, stop) = (hands.clone(), Arc::clone(&figures), stop.clone());
            async move {
                let (figures, mine) = &mut *figures.lock().await;
                match hands.duty(FIGURES, mine).await? {
                    None => return Ok(false),
                    // Another process kept them meanwhile: what this one remembers is old.
                    Some(Taken::Fresh(_)) => *figures = Rollup::new(),
                    Some(_) => {}
                }
                let rest = rollup::round(figures, &hands.ledger, &hands.setup, &hands.clock).await?;
                tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(rest) => {} }
                Ok(true)
            }
        });
    }

    fn start_mailing(&self) {
        let (ledger, setup, clock) = (Arc::clone(&self.ledger), Arc::clone(&self.setup), Arc::clone(&self.clock));
        let next = Arc::new(tokio::sync::Mutex::new(Timestamp(0)));
        self.run("mailing", Listen::Time, self.stop.clone(), move || {
            let (ledger, setup, clock, next) = (Arc::clone(&ledger), Arc::clone(&setup), Arc::clone(&clock), Arc::clone(&next));
            async move { super::mailing::round(&ledger, &setup, &clock, &mut *next.lock().await).await }
        });
    }

    fn start_upkeep(&self) {
        let hands = self.hands();
        let (ledger, setup, clock) = (Arc::clone(&self.ledger), Arc::clone(&self.setup), Arc::clone(&self.clock));
        // Not in the first minute: a start has better things to do.
        let next = Arc::new(tokio::sync::Mutex::new((clock.now().plus_secs(60), false)));
        self.run("upkeep", Listen::Time, self.stop.clone(), move || {
            let (ledger, setup, clock, next) = (Arc::clone(&ledger), setup.load_full(), Arc::clone(&clock), Arc::clone(&next));
            let hands = hands.clone();
            async move {
                let (next, mine) = &mut *next.lock().await;
                let now = clock.now();
                match hands.duty(UPKEEP, mine).await? {
                    None => return Ok(false),
                    Some(Taken::Fresh(Some(ran_at))) => *next = ran_at.plus_secs(3600).max(now),
                    Some(_) => {}
                }
                if now < *next {
                    return Ok(false);
                }
                *next = now.plus_secs(3600);
                let kept = &setup.catalog.main.retention;
                ledger.erase(now.plus_ms(-kept.inbox.ms()), now.plus_ms(-kept.persons.ms())).await?;
                ledger.checkpoint(now).await?;
                ledger.ran(UPKEEP, now).await?;
                Ok(false)
            }
        });
    }

    /// Loops a step: at once again while it finds work, else after a nap.
    fn run<F, Fut>(&self, stage: &'static str, listen: Listen, stop: CancellationToken, step: F)
    where
        F: Fn() -> Fut + Send + 'static,
        Fut: Future<Output = LedgerResult<bool>> + Send,
    {
        let mut bell = self.wake.listen(listen);
        self.tasks.spawn(async move {
            let mut failing = false;
            while !stop.is_cancelled() {
                // What rings from here on makes the next nap short.
                if let Some(bell) = &mut bell {
                    bell.mark_unchanged();
                }
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
                    let bell = if failing { None } else { bell.as_mut() };
                    tokio::select! { () = stop.cancelled() => {}, () = until => {}, () = woken(bell) => {} }
                }
            }
        });
    }

    /// Stops between steps; calls under way are finished. Returns whether all ended in time.
    pub async fn stop(&self) -> bool {
        self.stop.cancel();
        self.tasks.close();
        let ended = tokio::time::timeout(STOP_WITHIN, self.tasks.wait()).await.is_ok();
        if ended && let Err(error) = self.ledger.leave(&self.worker.owner).await {
            tracing::debug!(error = %error, "the other replicas take over by time");
        }
        ended
    }
}

/// Works through a desk's errands until none is left, the edge is stopped, or the setup is another.
async fn dispatch_round(hands: &Hands, desk: &str, stopping: &CancellationToken) -> LedgerResult<bool> {
    let setup = hands.setup.load_full();
    let Some(desk) = setup.desks.get(desk).filter(|_| hands.joined()) else { return Ok(false) };
    let more = || !stopping.is_cancelled() && Arc::ptr_eq(&setup, &hands.setup.load());
    let going = dispatch::Going { bell: hands.wake.errands.subscribe(), more: &more, look_every: LOOK_EVERY };
    let worked =
        dispatch::pump(&*hands.ledger, &setup, &**desk, &hands.worker, &hands.breakers, &*hands.clock, Some(going)).await?;
    Ok(worked > 0)
}

/// When a source is polled next, and by which schedule that was said.
#[derive(Debug, Default)]
struct PollTimes {
    schedule: Option<String>,
    next: Option<Timestamp>,
    failures: u32,
    /// Whether it is this process's turn to poll.
    mine: bool,
}

/// One poll when due. A source that is not polled is looked at again: a reload may change that.
async fn poll_round(hands: &Hands, source: &str, times: &mut PollTimes) -> LedgerResult<bool> {
    let setup = hands.setup.load_full();
    let Some(source) = setup.sources.get(source) else { return Ok(false) };
    let info = source.info();
    if !info.capabilities.polls {
        return Ok(false);
    }
    let now = hands.clock.now();
    let (hinted, duty) = (source.take_hint(), format!("poll/{}", info.name));
    match hands.duty(&duty, &mut times.mine).await? {
        // A hint came to this process alone.
        None if !hinted => return Ok(false),
        // Whoever polled before us kept the same schedule.
        Some(Taken::Fresh(Some(ran_at))) => (times.next, times.failures) = (source.next_poll(ran_at), 0),
        _ => {}
    }
    if !hands.joined() {
        return Ok(false);
    }
    if times.schedule.is_some() && times.schedule != info.schedule {
        times.next = source.next_poll(now);
    }
    times.schedule.clone_from(&info.schedule);
    // The first tick is one poll at the start: what came while we were away.
    if !hinted && times.next.is_some_and(|at| now < at) {
        return Ok(false);
    }
    let broken = match intake::poll(&*hands.ledger, &**source, &*hands.clock).await {
        Ok(polled) => {
            if polled.any() {
                hands.wake.all();
            }
            polled.broken
        }
        Err(intake::PollError::Ledger(error)) => return Err(error),
        Err(intake::PollError::Call(error)) => Some(error),
    };
    hands.ledger.ran(&duty, now).await?;
    if let Some(CallError::Retry { code: "E-BUSY", after: Some(after), .. }) = &broken {
        let asked = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        hands.worker.pauses.begin(&format!("source/{}", info.name), asked, &*hands.clock);
    }
    times.failures = if broken.is_some() { times.failures + 1 } else { 0 };
    let retry = setup.catalog.main.retry.schedule();
    let failed = broken.as_ref().map(|error| (error, times.failures));
    times.next = intake::next_round(source.next_poll(now), failed, &retry, now);
    // A source with more at hand says "now".
    Ok(times.failures == 0 && times.next.is_some_and(|at| at <= now))
}

/// When a platform that waits is looked after next.
#[derive(Debug, Default)]
struct AnswerTimes {
    deadlines: Option<Timestamp>,
    look: Option<Timestamp>,
}

/// Orders whose platform will soon stop waiting, and those it no longer wants.
async fn answer_round(hands: &Hands, source: &str, times: &mut AnswerTimes) -> LedgerResult<bool> {
    let setup = hands.setup.load_full();
    let Some(source) = setup.sources.get(source) else { return Ok(false) };
    let Some(waits) = source.waits() else { return Ok(false) };
    let (ledger, now) = (&*hands.ledger, hands.clock.now());
    if times.deadlines.is_none_or(|at| now >= at) {
        times.deadlines = Some(now.plus_ms(DEADLINES_EVERY_MS));
        if deadline::step(ledger, &**source, &*hands.clock).await? > 0 {
            hands.wake.errands();
        }
    }
    if times.look.is_none_or(|at| now >= at) {
        times.look = Some(now.plus_ms(waits.look_every_ms));
        match deadline::look(ledger, &**source, &*hands.clock).await {
            Ok(0) | Err(intake::PollError::Call(_)) => {}
            Ok(_) => hands.wake.all(),
            Err(intake::PollError::Ledger(error)) => return Err(error),
        }
    }
    Ok(false)
}

/// When a desk is asked next.
#[derive(Debug, Default)]
struct SyncTimes {
    changes: Option<Timestamp>,
    /// Next batch of the full pass, and how far the batches lie apart.
    pass: Option<Timestamp>,
    pass_every_ms: i64,
    counted: Option<Timestamp>,
    sweep: Option<Timestamp>,
    /// Nothing is asked before: the desk did not answer.
    rest: Option<Timestamp>,
    /// Whether it is this process's turn to ask.
    mine: bool,
}

impl SyncTimes {
    /// A batch of the full pass when due: all open tickets evenly over the span, also after a long absence.
    async fn pass(
        &mut self,
        ledger: &dyn Ledger,
        desk: &dyn Desk,
        span_ms: i64,
        clock: &dyn Clock,
    ) -> Result<(), sync::SyncError> {
        let now = clock.now();
        if self.counted.is_none_or(|at| now >= at) {
            let (info, open) = (desk.info(), ledger.open_tickets(&desk.info().name).await?);
            let batch = i64::try_from(info.status_batch.max(1)).unwrap_or(i64::MAX);
            self.pass_every_ms = span_ms.saturating_mul(batch).checked_div(open).unwrap_or(span_ms).clamp(1, span_ms / 24 + 1);
            self.counted = Some(now.plus_ms(COUNT_EVERY_MS));
        }
        let due = *self.pass.get_or_insert(now);
        if now < due {
            return Ok(());
        }
        // Time lost while the desk was away is not made up for by a burst.
        self.pass = Some(due.plus_ms(self.pass_every_ms).max(now.plus_ms(-LOOK_EVERY_MS)));
        sync::full_pass(ledger, desk, now.plus_ms(-span_ms), clock).await?;
        Ok(())
    }
}

/// When a desk was last asked with success: an alarm on its age notices a loop that hangs, too.
fn succeeded(series: &'static str, desk: &str, now: Timestamp) {
    metrics::gauge!(series, "desk" => desk.to_owned()).set(now.0 as f64 / 1000.0);
}

/// Changes when due, a batch of the full pass, the sweep when due. A desk that is away is asked again later.
async fn sync_round(hands: &Hands, desk: &str, times: &mut SyncTimes) -> LedgerResult<bool> {
    let setup = hands.setup.load_full();
    let Some(desk) = setup.desks.get(desk) else { return Ok(false) };
    let (ledger, clock) = (&*hands.ledger, &*hands.clock);
    let work = &setup.catalog.main.work;
    let (now, edge) = (clock.now(), format!("desk/{}", desk.info().name));
    match hands.duty(&format!("sync/{}", desk.info().name), &mut times.mine).await? {
        Some(Taken::Fresh(_)) => *times = SyncTimes { mine: true, ..SyncTimes::default() },
        Some(Taken::Kept) if hands.joined() => {}
        _ => return Ok(false),
    }
    if times.rest.is_some_and(|until| now < until) || hands.worker.pauses.left_ms(&edge, clock).is_some() {
        return Ok(false);
    }
    times.rest = None;
    let outcome = async {
        let (mut busy, mut asked) = (false, false);
        if times.changes.is_none_or(|at| now >= at) {
            asked = true;
            let synced = sync::changes(ledger, &**desk, clock).await?;
            if !synced.more {
                times.changes = Some(now.plus_ms(work.sync_every.ms()));
            }
            busy |= synced.more;
            sync::look_again(ledger, &**desk, clock).await?;
            if synced.changed > 0 {
                hands.wake.all();
            }
        }
        // Fresh tickets soon: their keys are read back. A full batch means that more wait; bounded, because a desk that
        // says nothing of a ticket leaves it fresh.
        for _ in 0..READ_BACKS {
            if sync::read_back(ledger, &**desk, clock).await? < desk.info().status_batch {
                break;
            }
        }
        times.pass(ledger, &**desk, work.full_pass.ms(), clock).await?;
        if times.sweep.is_none_or(|at| now >= at) {
            times.sweep = Some(now.plus_ms(work.sweep_every.ms()));
            sync::sweep(ledger, &**desk, clock).await?;
            succeeded("lastmile_sweep_last_success_timestamp_seconds", &desk.info().name, clock.now());
        }
        Ok::<(bool, bool), sync::SyncError>((busy, asked))
    }
    .await;
    match outcome {
        Ok((busy, asked)) => {
            if asked {
                succeeded("lastmile_sync_last_success_timestamp_seconds", &desk.info().name, clock.now());
                edge_answers(ledger, &edge, Work::Changes, clock.now()).await?;
            }
            Ok(busy)
        }
        Err(sync::SyncError::Ledger(error)) => Err(error),
        Err(sync::SyncError::Call(error)) => {
            if let CallError::Retry { code: "E-BUSY", after, .. } = &error {
                let asked = after.and_then(|d| i64::try_from(d.as_millis()).ok());
                hands.worker.pauses.begin(&edge, asked.unwrap_or(work.sync_every.ms()), clock);
            }
            edge_fails(ledger, &edge, Work::Changes, &error, clock.now()).await?;
            times.rest = Some(now.plus_ms(work.sync_every.ms()));
            Ok(false)
        }
    }
}
