//! Ends of quiet periods by the boot-time clock: the ledger keeps them by the wall clock, which may jump.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::ledger::{End, Leased};
use crate::model::{Clock, Id, Timestamp};

/// The quiet periods this process has begun or met, each with its end as the ledger keeps it and by the boot-time clock.
#[derive(Debug, Default)]
pub struct Quiets(Mutex<HashMap<Id, (Timestamp, i64)>>);

impl Quiets {
    /// One begins, or was begun by another process: from here on, no jump of the wall clock moves its end.
    pub fn met(&self, errand: Id, until: Timestamp, clock: &dyn Clock) {
        let left = until.ms_since(clock.now()).max(0);
        let mut map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if map.get(&errand).is_none_or(|(known, _)| *known != until) {
            map.insert(errand, (until, clock.boot_ms().saturating_add(left)));
        }
    }

    /// A call ended: it begins a quiet period, says nothing about one, or ends it.
    pub fn ended(&self, errand: Id, end: &End, clock: &dyn Clock) {
        match end {
            End::Unclear { quiet_until, .. } => self.met(errand, *quiet_until, clock),
            End::Miss { .. } | End::Unheard { .. } => {}
            _ => self.forget(errand),
        }
    }

    /// How much of an errand's quiet period is left, milliseconds; 0: it is over.
    pub fn left_ms(&self, errand: &Leased, clock: &dyn Clock) -> i64 {
        let Some(until) = errand.quiet_until else { return 0 };
        self.met(errand.id, until, clock);
        let map = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        map.get(&errand.id).map_or(0, |(_, end)| end.saturating_sub(clock.boot_ms()).max(0))
    }

    /// The errand is no longer unclear.
    pub fn forget(&self, errand: Id) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&errand);
    }
}
