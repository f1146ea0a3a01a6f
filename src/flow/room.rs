//! Free places at desks. While one has room and nothing waits for it, an order that is received is planned and leased in the
//! commit that records it, and handed over here: one wait for the disk before the call.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, mpsc};

use super::Setup;
use crate::ledger::{Leased, Seat};

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

#[derive(Debug, Default, Clone, Copy)]
struct Places {
    /// That may be taken at the same time.
    free: usize,
    /// Whose errands are not handed over, or given up, yet.
    taken: usize,
}

impl Room {
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
        let room = Arc::clone(self.0.lock().unwrap_or_else(PoisonError::into_inner).get(edge)?);
        let mut places = room.places();
        if places.taken >= places.free || room.terms.setup != setup {
            return None;
        }
        places.taken += 1;
        drop(places);
        Some(Place { room, handed_over: false })
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
    /// So many may be taken at the same time; those that are taken stay.
    pub fn offer(&self, places: usize) {
        self.room.places().free = places;
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
