//! A desk plans what has arrived and files it in one go, where that is its business.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::*;

impl Bed {
    /// Each desk once, without the planning stage.
    async fn dispatched(&self) {
        let setup = self.bridge.setup.load_full();
        for desk in setup.desks.values() {
            dispatch::step(&*self.bridge.ledger, &setup, &**desk, &self.worker, &self.breakers, &*self.clock).await.unwrap();
        }
    }

    async fn unplanned(&self) -> usize {
        self.bridge.ledger.to_plan(self.clock.now(), 100).await.unwrap().len()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn desks_at_rest_plan_and_file_what_arrives() {
    let bed = Bed::new().await;
    for n in 1..=6 {
        bed.order(n).await;
        bed.all_delivered();
    }
    // Whichever looks first plans for both.
    bed.dispatched().await;
    bed.dispatched().await;
    assert_eq!((bed.unplanned().await, bed.created()), (0, 6));
    bed.rounds(3).await;
    assert_eq!(bed.created(), 6, "one each");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_that_is_not_sent_anything_plans_nothing() {
    let bed = Bed::new().await;
    bed.order(1).await;
    for edge in ["desk/jira", "desk/servicenow"] {
        bed.worker.pauses.begin(edge, 5_000, &*bed.clock);
    }
    bed.dispatched().await;
    assert_eq!(bed.unplanned().await, 1, "the planning stage plans it");
    bed.clock.advance_ms(6_000);
    bed.dispatched().await;
    bed.dispatched().await;
    assert_eq!((bed.unplanned().await, bed.created()), (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_planned_with_a_setup_that_is_no_longer_in_force() {
    let bed = Bed::new().await;
    bed.order(1).await;
    let (setup, (_ring, bell)) = (bed.bridge.setup.load_full(), watch::channel(()));
    for desk in setup.desks.values() {
        let going = dispatch::Going {
            errands: bell.clone(),
            orders: bell.clone(),
            pass_on: &|| (),
            more: &|| false,
            look_every: Duration::from_secs(1),
            stays: None,
        };
        let (ledger, clock) = (&*bed.bridge.ledger, &*bed.clock);
        let worked = dispatch::pump(ledger, &setup, &**desk, &bed.worker, &bed.breakers, clock, Some(going)).await.unwrap();
        assert_eq!(worked, 0);
    }
    assert_eq!(bed.unplanned().await, 1, "it is planned with the new one");
}

/// A desk that is away or asked for patience is looked at again by time. Would each look wake the others, it would wake
/// itself, and all would look as fast as the machine can.
#[tokio::test(flavor = "multi_thread")]
async fn a_desk_that_is_held_back_wakes_the_others_once() {
    let bed = Bed::new().await;
    let (setup, (_ring, bell), woken) = (bed.bridge.setup.load_full(), watch::channel(()), AtomicUsize::new(0));
    let (ledger, clock, desk) = (&*bed.bridge.ledger, &*bed.clock, &*setup.desks["jira"]);
    let pass_on = || {
        woken.fetch_add(1, Ordering::SeqCst);
    };
    let look = async || {
        let (errands, orders, look_every) = (bell.clone(), bell.clone(), Duration::from_secs(1));
        let going = dispatch::Going { errands, orders, pass_on: &pass_on, more: &|| true, look_every, stays: None };
        dispatch::pump(ledger, &setup, desk, &bed.worker, &bed.breakers, clock, Some(going)).await.unwrap();
        woken.load(Ordering::SeqCst)
    };
    assert_eq!(look().await, 0, "it is at rest");
    bed.worker.pauses.begin("desk/jira", 60_000, clock);
    assert_eq!((look().await, look().await, look().await), (1, 1, 1), "what was left to it is planned by others");
    bed.clock.advance_ms(61_000);
    assert_eq!(look().await, 1);
    bed.jira.faults().set_revoked(true);
    bed.breakers.open("desk/jira", clock);
    assert_eq!((look().await, look().await, look().await), (2, 2, 2));
}
