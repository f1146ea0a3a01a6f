//! Free places at desks. While one has room and nothing waits for it, an order that is received is planned and leased in the
//! commit that records it, and handed over here: one wait for the disk before the call. Where all places are taken, an order
//! waits a moment for one, as long as they come free that fast: a write less than to queue its errand and lease it later.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::Setup;
use crate::ledger::{Leased, Seat};

/// Longest wait for places: more than 64 senders need to be served at a few thousand orders a second, and nothing to a sender.
pub(super) const WAIT: Duration = Duration::from_millis(50);
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
    /// A place may be free.
    freed: Notify,
    hand_over: mpsc::UnboundedSender<Seated>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Places {
    /// That may be taken at the same time.
    free: usize,
    /// Whose errands are not handed over, or given up, yet.
    taken: usize,
    /// So many wait for one.
    wanted: usize,
    /// Until then nobody waits: somebody did so in vain.
    none_until: Option<Instant>,
}

impl Room {
    /// Tells as many of those who wait as there are places.
    fn freed(&self) {
        let places = *self.places();
        for _ in 0..places.free.saturating_sub(places.taken).min(places.wanted) {
            self.freed.notify_one();
        }
    }

    /// Until a place may be free. `None`: none is by then, or none was lately.
    async fn wait(&self, until: Instant) -> Option<()> {
        let waits = self.waits()?;
        let freed = tokio::time::timeout_at(until, self.freed.notified()).await;
        drop(waits);
        if freed.is_err() {
            self.places().none_until = Some(Instant::now() + IN_VAIN);
        }
        freed.ok()
    }

    fn waits(&self) -> Option<Waits<'_>> {
        let mut places = self.places();
        if places.none_until.is_some_and(|at| Instant::now() < at) {
            return None;
        }
        places.wanted += 1;
        Some(Waits(self))
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who waits for a place; it may go away meanwhile.
struct Waits<'r>(&'r Room);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.places().wanted -= 1;
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
        self.room.freed();
        if !self.handed_over {
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
        let room = self.room(edge)?;
        let mut places = room.places();
        if places.taken >= places.free || room.terms.setup != setup {
            return None;
        }
        places.taken += 1;
        drop(places);
        Some(Place { room, handed_over: false })
    }

    /// As [`Rooms::place`]; while all are taken, waits for one until then, unless somebody lately did so in vain.
    pub(super) async fn place_soon(&self, edge: &str, setup: SetupId, until: Instant) -> Option<Place> {
        loop {
            if let Some(place) = self.place(edge, setup) {
                return Some(place);
            }
            let room = self.room(edge)?;
            room.wait(until).await?;
        }
    }

    fn room(&self, edge: &str) -> Option<Arc<Room>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(edge).map(Arc::clone)
    }

    /// Opens the room of a desk for whoever works for it; it has no place yet.
    pub fn open(self: &Arc<Self>, edge: &str, terms: Terms) -> Host {
        let (hand_over, seated) = mpsc::unbounded_channel();
        let room = Arc::new(Room { terms, places: Mutex::default(), given_up: Notify::new(), freed: Notify::new(), hand_over });
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
    /// So many may be taken at the same time; those that are taken stay.
    pub fn offer(&self, places: usize) {
        self.room.places().free = places;
        self.room.freed();
    }

    /// Offers none any more; says how many are taken whose errands are not here yet.
    pub fn close(&self) -> usize {
        let mut places = self.room.places();
        places.free = 0;
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

    #[tokio::test]
    async fn whoever_finds_all_places_taken_gets_the_next_that_comes_free() {
        let (rooms, host) = desk();
        host.offer(1);
        let taken = rooms.place(EDGE, SETUP).expect("the only one");
        let soon = || rooms.place_soon(EDGE, SETUP, Instant::now() + WAIT);
        let (place, ()) = tokio::join!(soon(), async { drop(taken) });
        assert!(place.is_some());
        let (second, third, fourth, ()) = tokio::join!(soon(), soon(), soon(), async { host.offer(3) });
        assert_eq!([second, third, fourth].map(|place| place.is_some()), [true, true, false], "one of three was taken already");
    }

    #[tokio::test]
    async fn after_a_wait_in_vain_nobody_waits_for_a_while() {
        let (rooms, host) = desk();
        let asked = Instant::now();
        assert!(
            rooms.place_soon(EDGE, SETUP, Instant::now() + WAIT).await.is_none(),
            "a desk that looks for work offers nothing for that long"
        );
        assert!(asked.elapsed() >= WAIT);
        assert!(rooms.place_soon(EDGE, SETUP, Instant::now() + WAIT).now_or_never().expect("no wait").is_none());
        host.offer(1);
        assert!(
            rooms.place_soon(EDGE, SETUP, Instant::now() + WAIT).now_or_never().flatten().is_some(),
            "one that is there is taken"
        );
        host.offer(0);
        host.room.places().none_until = Some(Instant::now());
        assert!(rooms.place_soon(EDGE, SETUP, Instant::now() + WAIT).now_or_never().is_none(), "the while is over");
    }

    #[tokio::test]
    async fn one_who_goes_away_takes_no_place_along() {
        let (rooms, host) = desk();
        let mut gone = Box::pin(rooms.place_soon(EDGE, SETUP, Instant::now() + WAIT));
        assert!((&mut gone).now_or_never().is_none());
        host.offer(1);
        drop(gone);
        assert_eq!(host.room.places().wanted, 0);
        host.offer(0);
        let (place, ()) = tokio::join!(rooms.place_soon(EDGE, SETUP, Instant::now() + WAIT), async { host.offer(1) });
        assert!(place.is_some());
    }

    #[tokio::test]
    async fn where_nobody_works_for_a_desk_nobody_waits() {
        let (rooms, host) = desk();
        drop(host);
        assert!(rooms.place_soon(EDGE, SETUP, Instant::now() + WAIT).now_or_never().expect("no wait").is_none());
    }
}
