//! The checks: the model as the bridge is, the window that stays, and rules broken on purpose.

use stateright::{Checker, HasDiscoveries, Model};

use super::{Bridge, Bug, Faults};

pub(super) const ONE_TICKET: &str = "one ticket per key";
pub(super) const ATTEMPT_FIRST: &str = "the attempt is on disk before the first byte";
pub(super) const NONE_BESIDE: &str = "nothing is sent while an earlier call may still land";
pub(super) const OWN_LEASE: &str = "a settlement is written under its own lease only";
pub(super) const DONE_IS_TRUE: &str = "done means that we hold a ticket of ours";
pub(super) const ONE_HOLDER: &str = "a lease has one holder";
pub(super) const ONLY_COPIES: &str = "the sweeper closes only what our account made and nobody touched";
pub(super) const HELD_STAYS: &str = "the sweeper never closes the ticket we hold";
pub(super) const ENDS: &str = "every path ends with the errand filed and every ticket of its key seen";
pub(super) const WHOLE: &str = "no path is cut off";
pub(super) const FILED: &str = "an errand can be filed";
pub(super) const WINDOW_DOUBLES: &str = "out of the named window a double can come";

/// Desks whose search is always up to date, and what is read from the ticket itself (comments).
const D2: u8 = 0;
/// Desks that search an index.
const D1: u8 = 1;

fn bridge(lag: u8, replicas: usize, faults: Faults) -> Bridge {
    Bridge { lag, replicas, window: false, faults, bug: None }
}

/// Everything at once, as often as stays small.
const ALL: Faults = Faults { crashes: 1, pauses: 1, losses: 1, hooks: 1, admins: 1 };

/// Checks all of it, and gives how many states there are.
fn holds(model: Bridge) -> usize {
    let what = format!("{model:?}");
    let checker = model.checker().spawn_bfs().join();
    checker.assert_properties();
    let states = checker.unique_state_count();
    assert!(states > 500, "{what}: only {states} states");
    eprintln!("{states} states, {} steps deep: {what}", checker.max_depth());
    states
}

#[test]
fn one_process_that_crashes_again_and_again() {
    for lag in [D2, D1] {
        holds(bridge(lag, 1, Faults { crashes: 3, pauses: 0, losses: 2, hooks: 1, admins: 0 }));
        holds(bridge(lag, 1, Faults { crashes: 1, pauses: 1, losses: 1, hooks: 0, admins: 1 }));
    }
}

#[test]
fn two_replicas_under_every_fault() {
    for lag in [D2, D1] {
        holds(bridge(lag, 2, ALL));
    }
}

#[test]
fn two_replicas_that_lose_answers_and_pause_twice() {
    for lag in [D2, D1] {
        holds(bridge(lag, 2, Faults { crashes: 2, pauses: 0, losses: 2, hooks: 0, admins: 0 }));
    }
    holds(bridge(D1, 2, Faults { crashes: 0, pauses: 2, losses: 2, hooks: 0, admins: 0 }));
}

#[test]
fn three_replicas() {
    holds(bridge(D1, 3, Faults { crashes: 1, pauses: 1, losses: 1, hooks: 0, admins: 0 }));
}

/// The window that stays: a replica is stopped between its lease check and the first byte. Only from there does a double
/// come, and then the sweeper finds it: all other properties hold.
#[test]
fn the_named_window_and_nothing_else_doubles() {
    for lag in [D2, D1] {
        let model = Bridge { window: true, ..bridge(lag, 2, Faults { crashes: 0, pauses: 1, losses: 1, hooks: 0, admins: 1 }) };
        holds(model);
    }
}

/// Whether the property notices the bug.
fn caught(model: Bridge, property: &'static str) {
    let what = format!("{model:?}");
    let checker = model.checker().finish_when(HasDiscoveries::AllOf([property].into())).spawn_bfs().join();
    assert!(checker.discovery(property).is_some(), "`{property}` does not notice {what}");
}

macro_rules! bugs {
    ($($name:ident: $bug:ident, lag $lag:expr, $replicas:literal replicas, by $property:ident;)*) => {
        $(#[test]
        fn $name() {
            caught(Bridge { bug: Some(Bug::$bug), ..bridge($lag, $replicas, ALL) }, $property);
        })*
    };
}

bugs! {
    sending_the_unclear_again_is_caught: ResendsUnclear, lag D2, 1 replicas, by ONE_TICKET;
    a_quiet_period_without_the_lag_is_caught: ForgetsTheLag, lag D1, 1 replicas, by ONE_TICKET;
    judging_after_the_answer_is_caught: JudgesAfterTheAnswer, lag D1, 1 replicas, by ONE_TICKET;
    settling_without_the_fence_is_caught: SettlesUnfenced, lag D2, 2 replicas, by OWN_LEASE;
    sending_before_the_attempt_is_caught: SendsBeforeTheAttempt, lag D2, 1 replicas, by ATTEMPT_FIRST;
    a_forgotten_lease_check_is_caught: SkipsTheLeaseCheck, lag D2, 2 replicas, by ONE_TICKET;
    taking_the_leases_of_the_living_is_caught: RecoversTheLiving, lag D2, 2 replicas, by ONE_TICKET;
    a_forgotten_errand_is_caught: ForgetsTheAbandoned, lag D2, 2 replicas, by ENDS;
    a_sweeper_that_closes_anything_is_caught: SweepsAnything, lag D2, 2 replicas, by ONLY_COPIES;
}

/// Only where doubles happen at all is there something to close.
#[test]
fn a_closing_without_a_look_is_caught() {
    let faults = Faults { crashes: 0, pauses: 1, losses: 0, hooks: 0, admins: 1 };
    caught(Bridge { window: true, bug: Some(Bug::ClosesWithoutALook), ..bridge(D2, 2, faults) }, ONLY_COPIES);
}
