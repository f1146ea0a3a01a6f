//! Whole processes beside others on one ledger: who calls whom, and when. The loops run by themselves.

use lastmile::flow::reconcile;
use lastmile::ledger::Replicas as _;

use super::*;
use crate::program::until;

/// More calls than any test makes.
const MANY: u64 = 1_000_000;

impl Bed {
    /// On PostgreSQL, with a ticket on each desk, and a comparison of every edge that begins now; calls are counted from here.
    async fn shared() -> Option<Self> {
        let bed = Self::new().await;
        if !bed.place.is_postgres() {
            return None;
        }
        for n in 1..=8 {
            bed.order(n).await;
            bed.all_delivered();
        }
        bed.rounds(8).await;
        let now = bed.clock.now();
        for edge in bed.bridge.setup.load().edges() {
            assert!(reconcile::begin(&*bed.bridge.ledger, &edge, now).await.unwrap());
        }
        for desk in [&bed.jira, &bed.servicenow] {
            assert!(desk.state().created_by(USER) > 0, "both desks take part");
            desk.faults().add(Target::Any, Harm::Slow(0), When::Next(MANY));
        }
        Some(bed)
    }

    /// The loops have had several turns: their process has said three times that it is there.
    async fn had_its_turns(&self) {
        let mut last = String::new();
        for _ in 0..3 {
            let said = async || self.place.text("SELECT COALESCE(MAX(until), 0) FROM replica WHERE owner <> 'other'").await;
            let other = last.clone();
            last = until("it says that it is there", async || Some(said().await).filter(|at| *at != other && at != "0")).await;
        }
    }

    async fn is_compared(&self, edge: &str) -> Option<()> {
        reconcile::summary(&*self.bridge.ledger, edge).await.unwrap().at.map(|_| ())
    }
}

fn calls(desk: &SandboxDesk) -> u64 {
    match desk.faults().current()[0].when {
        When::Next(left) => MANY - left,
        _ => unreachable!(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_calls_nobody_before_the_others_have_heard_of_it() {
    let Some(bed) = Bed::shared().await else { return };
    let other = bed.place.open().await;
    other.alive("other", bed.place.database_time().await, 600_000).await.unwrap();
    bed.bridge.runtime.start();
    bed.had_its_turns().await;
    assert_eq!((calls(&bed.jira), calls(&bed.servicenow)), (0, 0), "its clock stands still: it has not been heard of");
    bed.clock.advance_ms(4_000);
    until("it calls", async || (calls(&bed.jira) > 0 && calls(&bed.servicenow) > 0).then_some(())).await;
    until("jira is compared", async || bed.is_compared("desk/jira").await).await;
    bed.bridge.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_is_compared_by_one_replica_and_by_another_when_that_one_leaves() {
    let Some(bed) = Bed::shared().await else { return };
    let other = bed.place.open().await;
    for duty in ["compare/desk/jira", "sync/jira"] {
        other.turn(duty, "other", 600_000).await.unwrap();
    }
    bed.bridge.runtime.start();
    until("servicenow is compared", async || bed.is_compared("desk/servicenow").await).await;
    assert_eq!(calls(&bed.jira), 0, "the other replica does it");
    assert_eq!(bed.is_compared("desk/jira").await, None);
    other.leave("other").await.unwrap();
    until("jira is compared", async || bed.is_compared("desk/jira").await).await;
    bed.bridge.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_with_a_clock_ahead_starts_and_takes_back_nothing_of_the_living() {
    let Some(bed) = Bed::shared().await else { return };
    let now = bed.clock.now();
    bed.order(9).await;
    let ledger = &*bed.bridge.ledger;
    plan::step(ledger, &bed.bridge.setup.load_full(), &*bed.clock).await.unwrap();
    let edges = ["desk/jira", "desk/servicenow"];
    let mut leased = 0;
    for edge in edges {
        leased += ledger.lease(orders::request(edge, "other", now)).await.unwrap().len();
    }
    assert_eq!(leased, 1);
    let ahead: Arc<dyn Clock> = Arc::new(FakeClock::at(now.plus_secs(600)));
    let started = open(bed.folder.path(), &bed.place, ahead).await;
    started.arrive().await.unwrap();
    assert_eq!(bed.place.text("SELECT COUNT(*) FROM errand WHERE state = 'sending'").await, "1", "the other is sending it");
    started.close().await;
}
