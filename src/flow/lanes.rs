//! Orders of one lane are recorded as they arrive: one that waits for a place at a desk (`room`) is not overtaken by the next.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;

type Line = Arc<tokio::sync::Mutex<()>>;

/// Lanes of which orders are being recorded.
#[derive(Debug, Default)]
pub struct Lanes(Mutex<HashMap<String, Busy>>);

#[derive(Debug, Default)]
struct Busy {
    line: Line,
    /// In it, and waiting for it.
    orders: usize,
}

/// The turn of some orders in their lanes, until dropped.
#[derive(Debug)]
pub struct Recording {
    of: Arc<Lanes>,
    lanes: BTreeSet<String>,
    turns: Vec<OwnedMutexGuard<()>>,
}

impl Lanes {
    /// Waits until all that came before in these lanes is recorded.
    pub async fn turn(self: &Arc<Self>, lanes: BTreeSet<String>) -> Recording {
        let lines: Vec<Line> = {
            let mut busy = self.busy();
            let line = |lane: &String| {
                let of = busy.entry(lane.clone()).or_default();
                of.orders += 1;
                Arc::clone(&of.line)
            };
            lanes.iter().map(line).collect()
        };
        let mut recording = Recording { of: Arc::clone(self), lanes, turns: Vec::with_capacity(lines.len()) };
        // In one order for all: nobody has what another waits for who has what they wait for.
        for line in lines {
            recording.turns.push(line.lock_owned().await);
        }
        recording
    }

    /// Waits until what is being recorded now is: a list that is asked for after this knows of nothing later than that.
    pub async fn settled(&self) {
        let lines: Vec<Line> = self.busy().values().map(|of| Arc::clone(&of.line)).collect();
        for line in lines {
            drop(line.lock().await);
        }
    }

    fn busy(&self) -> MutexGuard<'_, HashMap<String, Busy>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.turns.clear();
        let mut busy = self.of.busy();
        for lane in &self.lanes {
            let Some(of) = busy.get_mut(lane) else { continue };
            of.orders -= 1;
            if of.orders == 0 {
                busy.remove(lane);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn of<const N: usize>(lanes: [&str; N]) -> BTreeSet<String> {
        lanes.map(str::to_owned).into()
    }

    #[tokio::test]
    async fn the_next_of_a_lane_waits_for_the_one_before_it_and_no_other_does() {
        let lanes = Arc::new(Lanes::default());
        let first = lanes.turn(of(["b", "c"])).await;
        let mut second = Box::pin(lanes.turn(of(["a", "b"])));
        assert!((&mut second).now_or_never().is_none());
        let mut third = Box::pin(lanes.turn(of(["a"])));
        assert!((&mut third).now_or_never().is_none(), "it came after one that waits");
        assert!(lanes.turn(of(["d"])).now_or_never().is_some());
        let mut settled = Box::pin(lanes.settled());
        assert!((&mut settled).now_or_never().is_none());
        drop(first);
        let second = second.await;
        assert!((&mut third).now_or_never().is_none());
        drop(second);
        drop(third.await);
        settled.await;
        assert!(lanes.busy().is_empty(), "nothing is kept of what is over");
    }

    #[tokio::test]
    async fn one_who_goes_away_holds_nobody_up() {
        let lanes = Arc::new(Lanes::default());
        let first = lanes.turn(of(["a", "b"])).await;
        let mut gone = Box::pin(lanes.turn(of(["a"])));
        assert!((&mut gone).now_or_never().is_none());
        drop(gone);
        drop(first);
        assert!(lanes.turn(of(["a"])).now_or_never().is_some());
        assert!(lanes.busy().is_empty());
    }
}
