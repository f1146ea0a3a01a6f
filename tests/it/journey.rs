//! Journeys through the whole bridge against the stateful fakes: order → ticket → closing → completion.

#[path = "journey/compare.rs"]
mod compare;
#[path = "journey/foresight.rs"]
mod foresight;
#[path = "journey/on_the_way.rs"]
mod on_the_way;
#[path = "journey/patience.rs"]
mod patience;
#[path = "journey/replicas.rs"]
mod replicas;
#[path = "journey/taking_up.rs"]
mod taking_up;
#[path = "journey/trials.rs"]
mod trials;

use std::net::SocketAddr;
use std::sync::Arc;

use lastmile::bridge::{self, Bridge};
use lastmile::catalog::Catalog;
use lastmile::flow::{Breakers, Worker, complete, dispatch, intake, plan, sync};
use lastmile::http::Inbound;
use lastmile::ledger::Recorded;
use lastmile::model::clock::FakeClock;
use lastmile::model::{Clock, Outcome, Timestamp};
use lastmile::sandbox::server::USER;
use lastmile::sandbox::{
    DeskKind, Faults, Harm, PlatformFaults, SandboxDesk, SandboxPlatform, Target, When, admins, company, config,
};

use crate::engines::Place;
use crate::orders;
use crate::program::keep_strangers_out;

const LOOPBACK: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// The bridge between its fakes, stepped by hand on a clock that stands still.
struct Bed {
    folder: tempfile::TempDir,
    place: Place,
    clock: Arc<FakeClock>,
    platform: SandboxPlatform,
    jira: SandboxDesk,
    servicenow: SandboxDesk,
    bridge: Bridge,
    worker: Worker,
    breakers: Breakers,
}

impl Bed {
    async fn new() -> Self {
        Self::with(|text| text).await
    }

    /// With the demo's configuration, edited.
    async fn with(edit: impl Fn(String) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(FakeClock::at(Timestamp(1_795_000_000_000)));
        let time: Arc<dyn Clock> = clock.clone();
        let listen = SocketAddr::from(LOOPBACK);
        let platform = SandboxPlatform::start(time.clone(), None, listen, Arc::new(PlatformFaults::default()), 1).await.unwrap();
        let desk = |kind| SandboxDesk::start(kind, time.clone(), Arc::new(Faults::seeded(1)), None, listen);
        let (jira, servicenow) = (desk(DeskKind::JiraCloud).await.unwrap(), desk(DeskKind::ServiceNow).await.unwrap());
        for (path, text) in config::files(platform.url(), jira.url(), servicenow.url(), "127.0.0.1:0") {
            let file = folder.path().join(&path);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, edit(text)).unwrap();
        }
        keep_strangers_out(folder.path(), &[&jira, &servicenow]);
        let place = Place::of(module_path!()).await;
        let bridge = open(folder.path(), &place, time).await;
        Self { folder, place, clock, platform, jira, servicenow, bridge, worker: Worker::new(), breakers: Breakers::default() }
    }

    /// An order of the sandbox's company dated today, pushed as a signed webhook.
    async fn order(&self, n: u64) -> (String, Recorded) {
        let document = orders::dateless(company::order(1, n, self.clock.now()));
        let id = self.platform.state().place(document, self.clock.now());
        (id, self.deliver().await)
    }

    async fn deliver(&self) -> Recorded {
        let setup = self.bridge.setup.load_full();
        let source = &*setup.sources[config::SOURCE];
        intake::take(&*self.bridge.ledger, source, self.inbound(), self.clock.now()).await.unwrap().remove(0)
    }

    /// The platform's last message as it arrives.
    fn inbound(&self) -> Inbound {
        let (headers, body) = self.platform.messages().pop().unwrap();
        Inbound {
            method: "POST".to_owned(),
            path: "/hooks/iga".to_owned(),
            query: std::collections::BTreeMap::new(),
            headers,
            body,
            peer: None,
            client_certificate: None,
            received_at: self.clock.now(),
        }
    }

    /// The process dies in the middle of a round, at the so-many-th place where it waits, and another one starts.
    async fn crash(&mut self, waits: usize) {
        {
            let mut round = std::pin::pin!(self.round());
            let mut left = waits;
            std::future::poll_fn(|context| {
                if left == 0 {
                    return std::task::Poll::Ready(());
                }
                left -= 1;
                round.as_mut().poll(context)
            })
            .await;
        }
        self.bridge.close().await;
        self.bridge = open(self.folder.path(), &self.place, self.clock.clone()).await;
        (self.worker, self.breakers) = (Worker::new(), Breakers::default());
    }

    fn all_delivered(&self) {
        let state = self.platform.state();
        state.waiting().iter().for_each(|message| state.delivered(&message.id));
    }

    /// Every stage once for every edge.
    async fn round(&self) {
        let (setup, ledger, clock) = (self.bridge.setup.load_full(), &*self.bridge.ledger, &*self.clock);
        plan::step(ledger, &setup, clock).await.unwrap();
        for desk in setup.desks.values() {
            dispatch::step(ledger, &setup, &**desk, &self.worker, &self.breakers, clock).await.unwrap();
            // A desk that is away is part of some journeys.
            let pauses = &self.worker.pauses;
            let _ = sync::changes(ledger, &**desk, pauses, clock).await;
            let _ = sync::full_pass(ledger, &**desk, clock.now().plus_secs(-3600), pauses, clock).await;
            let _ = sync::look_again(ledger, &**desk, pauses, clock).await;
            let _ = sync::sweep(ledger, &**desk, pauses, clock).await;
        }
        for source in setup.sources.values() {
            complete::step(ledger, &setup, &**source, &self.worker, clock).await.unwrap();
        }
    }

    /// Rounds, one simulated second apart.
    async fn rounds(&self, n: usize) {
        for _ in 0..n {
            self.round().await;
            self.clock.advance_ms(1_000);
        }
    }

    fn created(&self) -> u64 {
        self.jira.state().created_by(USER) + self.servicenow.state().created_by(USER)
    }

    fn close_all(&self, outcome: Outcome, words: &str) {
        for desk in [&self.jira, &self.servicenow] {
            for ticket in desk.state().all() {
                desk.state().change(&ticket.number, |t, now| admins::close(t, "alice", now, outcome, words));
            }
        }
    }

    async fn chains_hold(&self) {
        assert_eq!(self.bridge.ledger.verify_chains().await.unwrap(), []);
        assert_eq!(self.bridge.ledger.verify_ends().await.unwrap(), []);
    }
}

/// A bridge on the folder's configuration and ledger.
async fn open(folder: &std::path::Path, place: &Place, clock: Arc<dyn Clock>) -> Bridge {
    let mut catalog = Catalog::load(folder).unwrap();
    catalog.main.ledger.url.clone_from(&place.url);
    let setup = bridge::setup(catalog, &clock).unwrap();
    Bridge::open(setup, clock, false).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_becomes_a_ticket_and_its_closing_a_completion() {
    let bed = Bed::new().await;
    let (id, recorded) = bed.order(1).await;
    assert!(matches!(recorded, Recorded::New { .. }));
    assert!(matches!(bed.deliver().await, Recorded::Repeat { .. }), "the same message again has no effect");
    bed.rounds(3).await;
    assert_eq!(bed.created(), 1);
    bed.clock.advance_ms(3_600_000);
    bed.close_all(Outcome::Fulfilled, "Done, enjoy.");
    bed.rounds(4).await;
    let completions = bed.platform.state().completions_of(&id);
    assert_eq!(completions.len(), 1);
    assert_eq!(completions[0]["outcome"], "fulfilled");
    assert_eq!(completions[0]["words"], "Done, enjoy.");
    assert_eq!(bed.platform.state().counts().repeats, 0);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fault_of_a_desk_gives_exactly_one_ticket() {
    for (harm, lag_ms) in [
        (Harm::FailAfter, 0),
        (Harm::FailAfter, 4_000),
        (Harm::Lost, 0),
        (Harm::Lost, 4_000),
        (Harm::Html, 0),
        (Harm::Busy(Some(2)), 0),
    ] {
        let bed = Bed::new().await;
        for desk in [&bed.jira, &bed.servicenow] {
            desk.faults().add(Target::Create, harm, When::Next(1));
            desk.faults().set_search_lag_ms(lag_ms);
        }
        let (id, _) = bed.order(1).await;
        bed.rounds(200).await;
        assert_eq!(bed.created(), 1, "{harm:?} with a search lag of {lag_ms} ms");
        for desk in [&bed.jira, &bed.servicenow] {
            desk.faults().set(Vec::new());
        }
        bed.close_all(Outcome::Rejected, "No.");
        bed.rounds(30).await;
        assert_eq!(bed.platform.state().completions_of(&id)[0]["outcome"], "rejected", "{harm:?}");
        bed.chains_hold().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_forgets_its_answer_hears_the_same_report_again() {
    let bed = Bed::new().await;
    bed.platform.faults().forget_answers.store(2, std::sync::atomic::Ordering::SeqCst);
    let (id, _) = bed.order(1).await;
    bed.rounds(3).await;
    bed.clock.advance_ms(60_000);
    bed.close_all(Outcome::AlreadyInPlace, "Was there.");
    bed.rounds(40).await;
    let counts = bed.platform.state().counts();
    assert_eq!((bed.platform.state().completions_of(&id).len(), counts.further), (1, 0));
    assert!(counts.repeats >= 1, "it was told again with the same id");
    bed.chains_hold().await;
}

/// What is told of a withdrawal is the truth on every desk, whatever its word for the closing: the fakes close with
/// "Done" and "Closed Skipped" here.
#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_that_we_closed_is_cancelled_and_an_admins_closing_stays_the_admins() {
    for admin_was_first in [false, true] {
        let bed = Bed::new().await;
        let mut ids = Vec::new();
        for n in 1..=16 {
            ids.push(bed.order(n).await.0);
            bed.all_delivered();
        }
        bed.rounds(6).await;
        let on = |desk: &SandboxDesk| desk.state().created_by(USER);
        assert!(on(&bed.jira) > 0 && on(&bed.servicenow) > 0, "both desks take part");
        bed.clock.advance_ms(60_000);
        if admin_was_first {
            bed.close_all(Outcome::Fulfilled, "Was quick.");
        }
        for id in &ids {
            assert!(bed.platform.state().withdraw(id, bed.clock.now()));
            bed.deliver().await;
            bed.all_delivered();
        }
        bed.rounds(8).await;
        for id in &ids {
            let completions = bed.platform.state().completions_of(id);
            let told = if admin_was_first { "fulfilled" } else { "cancelled" };
            assert_eq!(completions.iter().map(|c| &c["outcome"]).collect::<Vec<_>>(), [told], "{id}");
        }
        bed.chains_hold().await;
    }
}
