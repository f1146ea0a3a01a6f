//! Free places at desks. While one has room and nothing waits for it, an order that is received is planned and leased in the
//! commit that records it, and handed over here: one wait for the disk before the call. Where all places are taken, an order
//! waits a moment for one, as long as they come free that fast: a write less than to queue its errand and lease it later.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::Setup;
use crate::ledger::{Leased, Seat};

/// Longest wait for a place: more than 64 senders need to be served at a few thousand orders a second, and nothing to a sender.
const WAIT: Duration = Duration::from_millis(100);
/// So long nobody waits at a desk where somebody waited in vain.
const IN_VAIN: Duration = Duration::from_secs(1);

/// Desks that are worked for, by edge.
#[derive(Debug, Default)]
pub struct Rooms(Mutex<HashMap<String, Arc<Room>>>);

#[derive(Debug)]
struct Room {
    terms: Terms,
    places: Mutex<Places>,
    given_up: Notify,
    hand_over: mpsc::UnboundedSender<Seated>,
}

#[derive(Debug, Default)]
struct Places {
    /// That may be taken at the same time.
    free: usize,
    /// Whose errands are not handed over, or given up, yet.
    taken: usize,
    /// The desk is sent something: a place that is taken comes free.
    soon: bool,
    /// Who waits for one, by rank, then by when they came.
    waiting: BTreeMap<(i64, u64), oneshot::Sender<Place>>,
    /// So many came to wait.
    came: u64,
    /// Until then nobody waits: somebody did so in vain.
    none_until: Option<Instant>,
}

impl Places {
    fn is_one_free(&self) -> bool {
        self.taken < self.free
    }

    /// Nobody comes before whoever waits.
    fn take(&mut self, room: &Arc<Room>) -> Option<Place> {
        if !self.is_one_free() || !self.waiting.is_empty() {
            return None;
        }
        self.taken += 1;
        Some(Place { room: Arc::clone(room), handed_over: false })
    }

    fn wait(&mut self, rank: i64) -> Option<oneshot::Receiver<Place>> {
        if !self.soon || self.none_until.is_some_and(|at| Instant::now() < at) {
            return None;
        }
        let (give, given) = oneshot::channel();
        self.came += 1;
        self.waiting.insert((rank, self.came), give);
        Some(given)
    }

    /// The next who waits, if there is a place for them.
    fn next(&mut self) -> Option<oneshot::Sender<Place>> {
        while self.is_one_free() {
            let (_, give) = self.waiting.pop_first()?;
            // Others have gone away.
            if !give.is_closed() {
                self.taken += 1;
                return Some(give);
            }
        }
        None
    }
}

impl Room {
    /// Gives the places that are free to those who wait.
    fn give(self: &Arc<Self>) {
        loop {
            let Some(give) = self.places().next() else { return };
            // Whoever went away at this very moment leaves it to the next, as it is dropped.
            drop(give.send(Place { room: Arc::clone(self), handed_over: false }));
        }
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How errands of a desk are leased.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Who leases.
    pub owner: String,
    /// Length of a lease.
    pub lease_ms: i64,
    /// Longest time that a call takes.
    pub timeout_ms: i64,
    /// Whose desk it is: another setup's orders do not go there.
    pub setup: SetupId,
}

/// Tells one setup from another while both are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetupId(usize);

impl SetupId {
    /// Of that one.
    #[must_use]
    pub fn of(setup: &Setup) -> Self {
        Self(std::ptr::from_ref(setup).addr())
    }
}

/// One place, until its errand is handed over or it is dropped.
#[derive(Debug)]
pub struct Place {
    room: Arc<Room>,
    handed_over: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.places().taken -= 1;
        // One that is handed over is in the hands of the desk's pump, which offers what is left.
        if !self.handed_over {
            self.room.give();
            self.room.given_up.notify_one();
        }
    }
}

/// An errand that was leased for a place.
#[derive(Debug)]
pub struct Seated {
    /// The errand; its attempt is on disk.
    pub errand: Leased,
    /// Until when by the boot-time clock its call may begin.
    pub good_until: i64,
    _place: Place,
}

impl Rooms {
    /// A place at that setup's desk, if it has one.
    #[must_use]
    pub fn place(&self, edge: &str, setup: SetupId) -> Option<Place> {
        let room = self.room(edge, setup)?;
        room.places().take(&room)
    }

    /// As [`Rooms::place`]; while all are taken, waits a moment for one, in the order of ranks, unless somebody lately did so
    /// in vain.
    pub(super) async fn place_soon(&self, edge: &str, setup: SetupId, rank: i64) -> Option<Place> {
        let room = self.room(edge, setup)?;
        let given = {
            let mut places = room.places();
            match places.take(&room) {
                Some(place) => return Some(place),
                None => places.wait(rank)?,
            }
        };
        match tokio::time::timeout(WAIT, given).await {
            Ok(given) => given.ok(),
            Err(_) => {
                room.places().none_until = Some(Instant::now() + IN_VAIN);
                None
            }
        }
    }

    fn room(&self, edge: &str, setup: SetupId) -> Option<Arc<Room>> {
        let rooms = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        rooms.get(edge).filter(|room| room.terms.setup == setup).map(Arc::clone)
    }

    /// Opens the room of a desk for whoever works for it; it has no place yet.
    pub fn open(self: &Arc<Self>, edge: &str, terms: Terms) -> Host {
        let (hand_over, seated) = mpsc::unbounded_channel();
        let room = Arc::new(Room { terms, places: Mutex::default(), given_up: Notify::new(), hand_over });
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(edge.to_owned(), Arc::clone(&room));
        Host { rooms: Arc::clone(self), edge: edge.to_owned(), room, seated }
    }
}

impl Place {
    /// What the ledger is told: whose lease it is, and where the errand goes. `boot_ms` is the boot-time clock as it was before
    /// the time that the lease counts from was read.
    #[must_use]
    pub fn seat(mut self, boot_ms: i64) -> Seat {
        let Terms { owner, lease_ms, timeout_ms, .. } = self.room.terms.clone();
        let good_until = boot_ms + lease_ms - timeout_ms;
        Seat::new(owner, lease_ms, move |errand| {
            self.handed_over = true;
            let room = Arc::clone(&self.room);
            if room.hand_over.send(Seated { errand, good_until, _place: self }).is_err() {
                tracing::warn!(
                    "an errand was leased for a desk that nobody works for any more; its witnesses are asked when the lease is over"
                );
            }
        })
    }
}

/// Who works for a desk and takes what is leased for its places.
#[derive(Debug)]
pub struct Host {
    rooms: Arc<Rooms>,
    edge: String,
    room: Arc<Room>,
    seated: mpsc::UnboundedReceiver<Seated>,
}

impl Host {
    /// So many may be taken at the same time; those that are taken stay. `soon`: the desk is sent something, so that more come
    /// free.
    pub fn offer(&self, places: usize, soon: bool) {
        let mut held = self.room.places();
        (held.free, held.soon) = (places, soon);
        drop(held);
        self.room.give();
    }

    /// Offers none for a moment; who waits goes on waiting.
    pub fn pause(&self) {
        self.room.places().free = 0;
    }

    /// Offers none any more; says how many are taken whose errands are not here yet.
    pub fn close(&self) -> usize {
        let mut places = self.room.places();
        (places.free, places.soon) = (0, false);
        places.waiting.clear();
        places.taken
    }

    /// How many are taken whose errands are not here yet.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.room.places().taken
    }

    /// The next errand. `None`: a place was given up.
    pub async fn next(&mut self) -> Option<Seated> {
        tokio::select! {
            biased;
            seated = self.seated.recv() => seated,
            () = self.room.given_up.notified() => None,
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let mut rooms = self.rooms.0.lock().unwrap_or_else(PoisonError::into_inner);
        if rooms.get(&self.edge).is_some_and(|room| Arc::ptr_eq(room, &self.room)) {
            rooms.remove(&self.edge);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const SETUP: SetupId = SetupId(0);
    const EDGE: &str = "desk/jira";

    fn desk() -> (Arc<Rooms>, Host) {
        let rooms = Arc::new(Rooms::default());
        let terms = Terms { owner: "one".to_owned(), lease_ms: 60_000, timeout_ms: 10_000, setup: SETUP };
        let host = rooms.open(EDGE, terms);
        (rooms, host)
    }

    const LATER: i64 = 2;
    const FIRST: i64 = 1;

    #[tokio::test]
    async fn whoever_finds_all_places_taken_gets_the_next_that_comes_free() {
        let (rooms, host) = desk();
        host.offer(1, true);
        let taken = rooms.place(EDGE, SETUP).expect("the only one");
        let soon = |rank| rooms.place_soon(EDGE, SETUP, rank);
        let (place, ()) = tokio::join!(soon(LATER), async { drop(taken) });
        assert!(place.is_some());
        let (second, third, fourth, ()) = tokio::join!(soon(LATER), soon(LATER), soon(FIRST), async { host.offer(3, true) });
        assert_eq!([second, third, fourth].map(|place| place.is_some()), [true, false, true], "by rank, then as they came");
    }

    #[tokio::test]
    async fn nobody_takes_the_place_of_who_waits() {
        let (rooms, host) = desk();
        host.offer(1, true);
        let taken = rooms.place(EDGE, SETUP).expect("the only one");
        let mut waits = Box::pin(rooms.place_soon(EDGE, SETUP, LATER));
        assert!((&mut waits).now_or_never().is_none());
        drop(taken);
        assert!(rooms.place(EDGE, SETUP).is_none(), "it is given already");
        drop(waits);
        assert!(rooms.place(EDGE, SETUP).is_some(), "who goes away gives it back");
    }

    #[tokio::test]
    async fn after_a_wait_in_vain_nobody_waits_for_a_while() {
        let (rooms, host) = desk();
        let soon = || rooms.place_soon(EDGE, SETUP, FIRST);
        host.offer(0, true);
        let asked = Instant::now();
        assert!(soon().await.is_none());
        assert!(asked.elapsed() >= WAIT);
        assert!(soon().now_or_never().expect("no wait").is_none());
        host.offer(1, true);
        assert!(soon().now_or_never().flatten().is_some(), "one that is there is taken");
        host.pause();
        host.room.places().none_until = Some(Instant::now());
        let mut waits = Box::pin(soon());
        assert!((&mut waits).now_or_never().is_none(), "the while is over");
        host.close();
        assert!(waits.now_or_never().expect("the desk stops").is_none());
    }

    #[tokio::test]
    async fn one_who_goes_away_takes_no_place_along() {
        let (rooms, host) = desk();
        host.offer(0, true);
        let mut gone = Box::pin(rooms.place_soon(EDGE, SETUP, FIRST));
        assert!((&mut gone).now_or_never().is_none());
        drop(gone);
        host.offer(1, true);
        assert!(rooms.place(EDGE, SETUP).is_some());
    }

    #[tokio::test]
    async fn where_no_place_can_come_free_nobody_waits() {
        let (rooms, host) = desk();
        let soon = |setup| rooms.place_soon(EDGE, setup, FIRST).now_or_never().expect("no wait");
        host.offer(0, false);
        assert!(soon(SETUP).is_none(), "it is not sent anything");
        host.offer(0, true);
        assert!(soon(SetupId(1)).is_none(), "of another setup");
        drop(host);
        assert!(soon(SETUP).is_none(), "nobody works for it");
    }
}
