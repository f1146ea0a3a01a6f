//! Keeps a desk supplied: leases as calls end, so that one slow call never holds up the next, and takes over what is leased for
//! its places.

use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::dispatch::Calls;
use super::room::{Host, Seated};
use super::{Breakers, Setup, Worker};
use crate::desk::Desk;
use crate::http::client::share_in_flight;
use crate::ledger::{Ledger, LedgerError, LedgerResult, TakenUp};
use crate::model::Clock;
use crate::model::failpoint::{Point, reach};

/// What keeps a [`pump`] going.
pub struct Going<'a> {
    /// Errands may be due.
    pub errands: watch::Receiver<()>,
    /// Orders may have arrived.
    pub orders: watch::Receiver<()>,
    /// Called when there is something for others: errands of other edges, or orders that a busy desk leaves to be planned.
    pub pass_on: &'a (dyn Fn() + Sync),
    /// Whether to lease further errands.
    pub more: &'a (dyn Fn() -> bool + Sync),
    /// Longest time without looking: a retry falls due without a bell.
    pub look_every: Duration,
    /// Stays while there is nothing to do, until this is cancelled or nothing more is to be leased: only so has the desk places
    /// ([`super::room`]) while it is at rest.
    pub stays: Option<CancellationToken>,
}

impl std::fmt::Debug for Going<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Going")
    }
}

/// As [`super::dispatch::step`]; with `going`, leases again as calls end. Ends when nothing is under way, or when it is to stay no
/// longer.
///
/// # Errors
/// See [`super::dispatch::step`].
pub async fn pump(
    ledger: &dyn Ledger,
    setup: &Setup,
    desk: &dyn Desk,
    worker: &Worker,
    breakers: &Breakers,
    clock: &dyn Clock,
    going: Option<Going<'_>>,
) -> LedgerResult<usize> {
    let edge = format!("desk/{}", desk.info().name);
    let still = going.as_ref().map_or(&(|| true) as &(dyn Fn() -> bool + Sync), |g| g.more);
    let call = Calls { ledger, setup, desk, breakers, worker, clock, edge: &edge, still };
    Pump::new(&call, going).run().await
}

struct Pump<'a> {
    call: &'a Calls<'a>,
    going: Option<Going<'a>>,
    /// Takes what is leased for the desk's places; only where it stays.
    host: Option<Host>,
    running: FuturesUnordered<BoxFuture<'a, LedgerResult<()>>>,
    /// So many errands are in hand at most.
    width: usize,
    /// With no more than so many in hand it has room: it plans what it takes up. Beyond that it leaves planning to the stage
    /// beside it, so that rank decides who goes next.
    room: usize,
    /// Errands worked on.
    count: usize,
    /// There may be something to lease.
    look: bool,
    /// When it is time to look, whatever rings: what becomes ready by time has no bell.
    next_look: Instant,
    /// Orders may have arrived.
    arrived: bool,
    /// Something may wait: whoever got a place would overtake it.
    waits: bool,
    failed: Option<LedgerError>,
}

impl<'a> Pump<'a> {
    fn new(call: &'a Calls<'a>, going: Option<Going<'a>>) -> Self {
        // More than are sent at once: the commits of some overlap the calls of others. What waits for its turn longer is better
        // left to a replica that has room; where there is none, a place is held by two commits beside its call.
        let overlap = if call.ledger.is_shared() { 2 } else { 4 };
        let width = share_in_flight(call.desk.info().max_in_flight) * overlap;
        let stays = going.as_ref().is_some_and(|going| going.stays.is_some());
        Self {
            call,
            host: stays.then(|| call.worker.rooms.open(call.edge, call.terms())),
            running: FuturesUnordered::new(),
            width,
            room: (width - width.div_ceil(4)).max(1),
            count: 0,
            look: true,
            next_look: Instant::now(),
            // It is begun because a bell rang: it may have been this one.
            arrived: going.is_some(),
            waits: true,
            failed: None,
            going,
        }
    }

    async fn run(mut self) -> LedgerResult<usize> {
        loop {
            // A commit for a few is a commit wasted: wait until a quarter is free.
            if self.look && self.failed.is_none() && self.in_hand() <= self.room {
                self.lease().await;
            }
            let stays = self.stays();
            if !self.goes_on(stays) {
                return self.failed.map_or(Ok(self.count), Err);
            }
            let stopped = self.going.as_ref().and_then(|going| going.stays.clone());
            tokio::select! {
                // One that could not be settled cuts off no call of the others.
                Some(result) = self.running.next() => self.failed = self.failed.take().or(result.err()),
                seated = seated(self.host.as_mut()) => self.take_over(seated),
                orders = rung(self.going.as_mut(), self.next_look), if !self.look => {
                    self.look = self.still();
                    self.arrived |= orders;
                }
                () = stopped.unwrap_or_default().cancelled_owned(), if stays => {}
            }
        }
    }

    fn still(&self) -> bool {
        (self.call.still)()
    }

    /// Errands in hand, and those that will be.
    fn in_hand(&self) -> usize {
        self.running.len() + self.host.as_ref().map_or(0, Host::taken)
    }

    /// Whether it goes on when there is nothing in hand.
    fn stays(&self) -> bool {
        let stop = self.going.as_ref().and_then(|going| going.stays.as_ref());
        self.failed.is_none() && self.still() && stop.is_some_and(|stop| !stop.is_cancelled())
    }

    /// Offers the places that are free now; where it does not stay, none, and says whether anything is still in hand.
    fn goes_on(&mut self, stays: bool) -> bool {
        // What was held back waits in the ledger: only a look that finds nothing says otherwise.
        let held_back = self.call.held_back();
        self.waits |= held_back;
        let Some(host) = &self.host else { return stays || !self.running.is_empty() };
        if !stays {
            return host.close() > 0 || !self.running.is_empty();
        }
        host.offer(if self.waits { 0 } else { self.room.saturating_sub(self.running.len()) }, !held_back);
        true
    }

    fn take_over(&mut self, seated: Option<Seated>) {
        let Some(Seated { errand, good_until, .. }) = seated else { return };
        self.count += 1;
        let call = self.call;
        self.running.push(Box::pin(async move {
            reach(Point::DispatchLeased).await;
            call.carry_out(errand, good_until).await
        }));
    }

    /// Leases what there is room for, and goes on with what is in hand meanwhile.
    async fn lease(&mut self) {
        if let Some(going) = &mut self.going {
            going.errands.mark_unchanged();
            // One that is gone never rings.
            self.arrived |= going.orders.has_changed().unwrap_or(false);
            going.orders.mark_unchanged();
        }
        if let Some(host) = &self.host {
            host.pause();
        }
        let arrived = std::mem::take(&mut self.arrived);
        let free = self.width.saturating_sub(self.in_hand()).max(1);
        // A slow probe or a busy ledger keeps no answer waiting that is there: its time-out would strike it.
        let mut leasing = pin!(self.call.lease(free, self.running.len() < self.room, arrived));
        let leased = loop {
            tokio::select! {
                leased = &mut leasing => break leased,
                Some(result) = self.running.next() => self.failed = self.failed.take().or(result.err()),
                seated = seated(self.host.as_mut()) => self.take_over(seated),
            }
        };
        self.next_look = Instant::now() + self.going.as_ref().map_or(Duration::ZERO, |going| going.look_every);
        match leased {
            Ok((taken, good_until, more)) => self.leased(taken, free, good_until, more),
            Err(error) => self.failed = Some(error),
        }
    }

    fn leased(&mut self, taken: TakenUp, free: usize, good_until: i64, more: bool) {
        let TakenUp { planned, left, leased } = taken;
        self.count += leased.len();
        self.look = more && self.going.is_some() && self.still();
        // More wait than it takes: who comes first of them is decided over all.
        let crowded = planned >= free;
        self.waits = more || crowded || left > 0;
        let call = self.call;
        self.running
            .extend(leased.into_iter().map(|errand| -> BoxFuture<'a, _> { Box::pin(call.carry_out(errand, good_until)) }));
        let rests = self.running.len() < self.room && !crowded && !call.held_back();
        let became_busy = call.worker.planning.rests(call.edge, rests);
        // One that became busy does not plan what is left. One that is busy, or held back, wakes nobody again: it would wake
        // itself, too.
        if let Some(going) = self.going.as_ref().filter(|_| left > 0 || became_busy) {
            (going.pass_on)();
        }
    }
}

/// Whether it was for orders. Rung or not: it is time to look.
async fn rung(going: Option<&mut Going<'_>>, next_look: Instant) -> bool {
    let Some(going) = going else { return std::future::pending().await };
    tokio::select! {
        _ = going.errands.changed() => false,
        _ = going.orders.changed() => true,
        () = tokio::time::sleep_until(next_look) => false,
    }
}

/// What was leased for a place; `None`: one was given up.
async fn seated(host: Option<&mut Host>) -> Option<Seated> {
    match host {
        Some(host) => host.next().await,
        None => std::future::pending().await,
    }
}
