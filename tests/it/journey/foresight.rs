//! A desk with room is handed what is leased in the commit that records it.

use std::sync::Mutex;
use std::time::Duration;

use lastmile::flow::Foresight;
use lastmile::flow::intake::Next;
use lastmile::flow::room::{Place, SetupId, Terms};
use lastmile::ledger::Come;
use lastmile::model::Operation;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::program::until;

const DESKS: [&str; 2] = ["jira", "servicenow"];

impl Bed {
    /// An order of the sandbox's company as the hook takes it.
    async fn ordered(&self, n: u64) -> (Recorded, Next) {
        let setup = self.bridge.setup.load_full();
        self.platform.state().place(orders::dateless(company::order(1, n, self.clock.now())), self.clock.now());
        let foresight = Foresight::new(Arc::clone(&self.bridge.setup), self.worker.clone(), self.clock.clone());
        let (ledger, source) = (&*self.bridge.ledger, &*setup.sources[config::SOURCE]);
        let taken = intake::take_in(ledger, source, self.inbound(), self.clock.now(), Some(&foresight)).await;
        let (mut recorded, next) = taken.unwrap();
        self.all_delivered();
        (recorded.remove(0), next)
    }

    /// Works for both desks beside something else; returns with how many errands.
    async fn at_work<T>(&self, stop: &CancellationToken, doing: impl Future<Output = T>) -> (T, usize) {
        self.at_work_looking(Duration::from_millis(20), stop, doing).await
    }

    async fn at_work_looking<T>(
        &self,
        look_every: Duration,
        stop: &CancellationToken,
        doing: impl Future<Output = T>,
    ) -> (T, usize) {
        let (setup, (_ring, bell)) = (self.bridge.setup.load_full(), watch::channel(()));
        let setup = &setup;
        let pump = async |desk: &str| {
            let going = dispatch::Going {
                errands: bell.clone(),
                orders: bell.clone(),
                pass_on: &|| (),
                more: &|| true,
                look_every,
                stays: Some(stop.clone()),
            };
            let (ledger, clock, desk) = (&*self.bridge.ledger, &*self.clock, &*setup.desks[desk]);
            dispatch::pump(ledger, setup, desk, &self.worker, &self.breakers, clock, Some(going)).await.unwrap()
        };
        self.worker.planning.works(true);
        let (done, jira, servicenow) = tokio::join!(doing, pump("jira"), pump("servicenow"));
        (done, jira + servicenow)
    }

    fn have_places(&self) -> Option<()> {
        DESKS.iter().all(|desk| self.place(desk).is_some()).then_some(())
    }

    fn place(&self, desk: &str) -> Option<Place> {
        self.worker.rooms.place(&format!("desk/{desk}"), SetupId::of(&self.bridge.setup.load()))
    }

    fn foresees(&self) -> bool {
        !self.bridge.ledger.is_shared()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_meets_a_desk_at_rest_is_leased_as_it_is_recorded() {
    let bed = Bed::new().await;
    let stop = CancellationToken::new();
    assert!(bed.have_places().is_none(), "nobody works for them");
    let doing = async {
        until("places", async || bed.have_places()).await;
        let mut next = Vec::new();
        for n in 1..=6 {
            next.push(bed.ordered(n).await.1);
        }
        until("tickets", async || (bed.created() == 6).then_some(())).await;
        stop.cancel();
        next
    };
    // While it looks, a desk has no place; where nothing is foreseen it has to.
    let look_every = if bed.foresees() { Duration::from_secs(600) } else { Duration::from_millis(20) };
    let (next, worked) = bed.at_work_looking(look_every, &stop, doing).await;
    if bed.foresees() {
        assert_eq!(next, [Next::default(); 6], "nobody has to look");
    }
    assert_eq!(worked, 6);
    assert!(bed.have_places().is_none(), "they stopped");
    bed.rounds(2).await;
    assert_eq!(bed.created(), 6, "one each");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_that_is_not_sent_anything_has_no_place() {
    let bed = Bed::new().await;
    let stop = CancellationToken::new();
    for desk in DESKS {
        bed.worker.pauses.begin(&format!("desk/{desk}"), 3_600_000, &*bed.clock);
    }
    let doing = async {
        tokio::task::yield_now().await;
        let (recorded, next) = bed.ordered(1).await;
        assert!(matches!(recorded, Recorded::New { .. }));
        stop.cancel();
        next
    };
    let (next, worked) = bed.at_work(&stop, doing).await;
    assert_eq!(next, Next { plans: !bed.foresees(), calls: bed.foresees() }, "it is planned, and waits to be leased");
    assert_eq!((worked, bed.created()), (0, 0));
    bed.clock.advance_ms(3_601_000);
    bed.rounds(1).await;
    assert_eq!(bed.created(), 1);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stops_waits_for_what_is_being_leased_for_it() {
    let bed = Bed::new().await;
    let (stop, closed, taken) = (CancellationToken::new(), Notify::new(), Mutex::new(None));
    let doing = async {
        until("places", async || bed.have_places()).await;
        *taken.lock().unwrap() = bed.place("jira");
        stop.cancel();
        until("the end of offers", async || bed.place("jira").is_none().then_some(())).await;
        closed.notify_one();
    };
    let mut work = std::pin::pin!(bed.at_work(&stop, doing));
    tokio::select! { _ = &mut work => panic!("one may still come"), () = closed.notified() => {} }
    for _ in 0..20 {
        tokio::select! { biased; _ = &mut work => panic!("one may still come"), () = tokio::task::yield_now() => {} }
    }
    drop(taken.lock().unwrap().take().expect("a place"));
    assert_eq!(work.await.1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_another_configuration_comes_into_force_nothing_is_foreseen() {
    let bed = Bed::new().await;
    bed.worker.planning.works(true);
    let between = bed.worker.planning.between().await;
    assert_eq!(bed.ordered(1).await.1, Next { plans: true, calls: false });
    drop(between);
    assert_eq!(bed.ordered(2).await.1, Next { plans: !bed.foresees(), calls: bed.foresees() });
    bed.worker.planning.works(false);
    assert_eq!(bed.ordered(3).await.1, Next { plans: true, calls: false }, "nobody plans");
    bed.rounds(2).await;
    assert_eq!(bed.created(), 3);
    bed.chains_hold().await;
}

/// What becomes ready by time rings no bell, and neither does an order that is leased as it is recorded.
#[tokio::test(flavor = "multi_thread")]
async fn a_steady_flow_of_orders_starves_nothing_that_waits() {
    let bed = Bed::new().await;
    let stop = CancellationToken::new();
    let doing = async {
        until("places", async || bed.have_places()).await;
        // Its planner was told, and no bell rings here: only time makes the desk look.
        bed.worker.planning.works(false);
        bed.ordered(1).await;
        bed.worker.planning.works(true);
        let first = "SELECT state FROM assignment ORDER BY id";
        for n in 2..300 {
            bed.ordered(n).await;
            if bed.place.text(first).await != "received" {
                stop.cancel();
                return true;
            }
        }
        stop.cancel();
        false
    };
    assert!(bed.at_work_looking(Duration::from_millis(250), &stop, doing).await.0, "it went on waiting");
    bed.chains_hold().await;
}

#[tokio::test]
async fn a_revocation_does_not_pass_the_grant_that_waits_for_a_place() {
    let bed = Bed::new().await;
    if !bed.foresees() {
        return;
    }
    bed.worker.planning.works(true);
    let (setup, now) = (bed.bridge.setup.load_full(), bed.clock.now());
    let terms = Terms { owner: bed.worker.owner.clone(), lease_ms: 60_000, timeout_ms: 10_000, setup: SetupId::of(&setup) };
    let hosts = DESKS.map(|desk| bed.worker.rooms.open(&format!("desk/{desk}"), terms.clone()));
    hosts.iter().for_each(|host| host.offer(0, true));
    let foresight = Foresight::new(Arc::clone(&bed.bridge.setup), bed.worker.clone(), bed.clock.clone());
    let take = async |name: &str, at, operation| {
        let mut order = crate::orders::order(config::SOURCE, name, at);
        order.beneficiary.id = "somebody".to_owned();
        order.operation = operation;
        let (arrivals, _recording) = foresight.of(vec![crate::orders::receipt(name, order, now)]).await;
        bed.bridge.ledger.take_in(arrivals).await.unwrap().remove(0).come
    };
    let grant = take("grant", now, Operation::Grant);
    let revocation = take("revocation", now.plus_ms(5), Operation::Revoke);
    let (grant, revocation, ()) = tokio::join!(grant, revocation, async { hosts.iter().for_each(|host| host.offer(1, true)) });
    assert_eq!((grant, revocation), (Come::Leased, Come::Received), "first things first");
}
