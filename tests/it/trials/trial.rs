//! One trial: orders become tickets, are changed, closed and reported; meanwhile the desk does its worst and the process
//! dies once. Then the oracle counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lastmile::bridge::Bridge;
use lastmile::flow::room::SetupId;
use lastmile::flow::{Breakers, Foresight, Worker, complete, dispatch, intake, plan, sync};
use lastmile::http::Inbound;
use lastmile::ledger::views::Filter;
use lastmile::model::failpoint::{Death, Point, life};
use lastmile::model::{Clock, Outcome};
use lastmile::sandbox::server::USER;
use lastmile::sandbox::{Harm, Target, When, admins, company, config};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Site;
use crate::orders;

/// Orders of one trial.
const ORDERS: u64 = 2;
/// Simulated minutes a phase may take, before it counts as stuck.
const MINUTES: u32 = 60;
/// Minutes after a phase in which nothing more may happen; after the last one the sweeper has looked, too.
const REST: u32 = 1;
const LAST_REST: u32 = 4;

/// What goes wrong in a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub harm: Option<Harm>,
    pub lag_ms: i64,
    pub death: Option<Death>,
    /// And where the next process dies.
    pub again: Option<Death>,
    /// Desks stand ready while orders arrive, and orders are planned and leased in the commit that records them.
    pub foreseen: bool,
}

/// How a trial went.
#[derive(Debug, Default)]
pub struct Went {
    /// How many processes died where they should.
    pub deaths: u32,
    /// How often the first life passed each point.
    pub passed: BTreeMap<Point, u32>,
    pub tickets: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Orders become tickets.
    Filing,
    /// The orders change: their tickets are told.
    Telling,
    /// The tickets are closed: the platform is told.
    Closing,
    Over,
}

/// What the outside does. It goes on whatever becomes of the process.
struct Script<'a> {
    site: &'a Site,
    plan: Plan,
    ids: Vec<String>,
    phase: Phase,
    /// Minutes in this phase, and of them since it was done.
    minutes: u32,
    rested: u32,
}

/// Carries out a trial. An error says what the oracle found.
pub fn run(site: &mut Site, plan: Plan) -> Result<Went, String> {
    site.begin(plan.lag_ms);
    let mut script = Script::begin(site, plan);
    let mut went = Went::default();
    let mut deaths = [plan.death, plan.again].into_iter().flatten();
    loop {
        let process = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (outcome, passed) = process.block_on(life(deaths.next(), live(&mut script)));
        // Nothing of the process outlives it: no task, no connection, no transaction.
        drop(process);
        if went.deaths == 0 {
            went.passed = passed;
        }
        match outcome {
            Some(Ok(())) => break,
            Some(Err(found)) => return Err(found),
            None => went.deaths += 1,
        }
    }
    went.tickets = site.desk.state().created_by(USER);
    Ok(went)
}

/// One life of the bridge: rounds of all stages, a simulated minute apart, until the script is over.
async fn live(script: &mut Script<'_>) -> Result<(), String> {
    let site = script.site;
    let mut bed = Bed::open(site).await;
    bed.foreseen = script.plan.foreseen;
    while script.phase != Phase::Over {
        bed.round(script.minutes == 1).await?;
        site.clock.advance_ms(60_000);
        script.go_on()?;
    }
    let found = script.oracle(&bed.bridge).await;
    bed.close().await;
    found
}

/// The bridge of a site, stepped by hand.
pub struct Bed<'a> {
    site: &'a Site,
    bridge: Bridge,
    worker: Worker,
    breakers: Breakers,
    foreseen: bool,
}

impl<'a> Bed<'a> {
    pub async fn open(site: &'a Site) -> Self {
        Self { site, bridge: site.open().await, worker: Worker::new(), breakers: Breakers::default(), foreseen: false }
    }

    pub async fn close(self) {
        self.bridge.close().await;
    }

    /// A round of all stages, and a minute passes.
    pub async fn minute(&self) {
        self.any_minute().await.unwrap();
    }

    /// The same; an error says why the round broke off.
    pub async fn any_minute(&self) -> Result<(), String> {
        let round = self.round(false).await;
        self.site.clock.advance_ms(60_000);
        round
    }

    /// Places an order.
    pub fn order(&self, n: u64) {
        place(self.site, n, None);
    }

    /// What the platform sends.
    async fn take_in(&self) -> Result<(), String> {
        let Self { site, bridge, worker, .. } = self;
        let (setup, ledger, clock) = (bridge.setup.load_full(), &*bridge.ledger, &*site.clock);
        let source = &*setup.sources[config::SOURCE];
        let foresight = Foresight::new(Arc::clone(&bridge.setup), worker.clone(), site.clock.clone());
        let foresight = self.foreseen.then_some(&foresight);
        for message in site.platform.state().waiting() {
            // It is signed afresh whenever it is sent.
            let (headers, body) = site.platform.messages().into_iter().next().ok_or("no message")?;
            let inbound = Inbound {
                method: "POST".to_owned(),
                path: "/hooks/iga".to_owned(),
                query: BTreeMap::new(),
                headers,
                body,
                peer: None,
                client_certificate: None,
                received_at: clock.now(),
            };
            intake::take_in(ledger, source, inbound, clock.now(), foresight).await.map_err(|e| e.to_string())?;
            site.platform.state().delivered(&message.id);
        }
        Ok(())
    }

    /// The same while the desk is worked for.
    async fn take_in_at_work(&self) -> Result<(), String> {
        let Self { site, bridge, worker, breakers, .. } = self;
        let (setup, ledger, clock) = (bridge.setup.load_full(), &*bridge.ledger, &*site.clock);
        let desk = &*setup.desks[site.level.desk()];
        let (stop, (_ring, bell)) = (CancellationToken::new(), watch::channel(()));
        let look_every = Duration::from_millis(5);
        let (errands, orders, stays) = (bell.clone(), bell, Some(stop.clone()));
        let going = dispatch::Going { errands, orders, pass_on: &|| (), more: &|| true, look_every, stays };
        worker.planning.works(true);
        let taking_in = async {
            let edge = format!("desk/{}", site.level.desk());
            // One that is held back has no place.
            for _ in 0..20 {
                if worker.rooms.place(&edge, SetupId::of(&setup)).is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let taken = self.take_in().await;
            stop.cancel();
            taken
        };
        let pump = dispatch::pump(ledger, &setup, desk, worker, breakers, clock, Some(going));
        let (taken, worked) = tokio::join!(taking_in, pump);
        worked.map_err(|error| error.to_string())?;
        taken
    }

    /// Every stage once.
    async fn round(&self, poll: bool) -> Result<(), String> {
        let Self { site, bridge, worker, breakers, .. } = self;
        let (setup, ledger, clock) = (bridge.setup.load_full(), &*bridge.ledger, &*site.clock);
        let refused = |error: lastmile::ledger::LedgerError| error.to_string();
        let (source, desk) = (&*setup.sources[config::SOURCE], &*setup.desks[site.level.desk()]);
        if self.foreseen && !site.platform.state().waiting().is_empty() {
            self.take_in_at_work().await?;
        } else {
            self.take_in().await?;
        }
        if poll {
            let _ = intake::poll(ledger, source, &worker.pauses, clock).await;
        }
        plan::step(ledger, &setup, clock).await.map_err(refused)?;
        dispatch::step(ledger, &setup, desk, worker, breakers, clock).await.map_err(refused)?;
        // A desk that does not answer is asked again in the next round.
        let _ = sync::changes(ledger, desk, &worker.pauses, clock).await;
        let _ = sync::full_pass(ledger, desk, clock.now().plus_secs(-3600), &worker.pauses, clock).await;
        let _ = sync::look_again(ledger, desk, &worker.pauses, clock).await;
        let _ = sync::sweep(ledger, desk, &worker.pauses, clock).await;
        complete::step(ledger, &setup, source, worker, clock).await.map_err(refused)?;
        Ok(())
    }
}

/// Places or changes an order dated at the moment.
fn place(site: &Site, n: u64, until_days: Option<i64>) -> String {
    let now = site.clock.now();
    let mut document = orders::dateless(company::order(1, n, now));
    if let Some(days) = until_days {
        document["validUntil"] = now.plus_secs(days * 86_400).iso().into();
    }
    site.platform.state().place(document, now)
}

impl<'a> Script<'a> {
    fn begin(site: &'a Site, plan: Plan) -> Self {
        let mut script = Self { site, plan, ids: Vec::new(), phase: Phase::Filing, minutes: 0, rested: 0 };
        script.ids = (1..=ORDERS).map(|n| place(site, n, None)).collect();
        script.harm(&[Target::Create, Target::Search]);
        script
    }

    fn harm(&self, targets: &[Target]) {
        for target in targets {
            if let Some(harm) = self.plan.harm {
                self.site.desk.faults().add(*target, harm, When::Next(1));
            }
        }
    }

    /// A minute has passed: is the phase done, and what comes next?
    fn go_on(&mut self) -> Result<(), String> {
        self.minutes += 1;
        self.rested += u32::from(self.is_done());
        let rest = if self.phase == Phase::Closing { LAST_REST } else { REST };
        if self.rested <= rest {
            return if self.minutes < MINUTES { Ok(()) } else { Err(format!("stuck in {:?}: {}", self.phase, self.stands())) };
        }
        (self.minutes, self.rested) = (0, 0);
        self.phase = match self.phase {
            Phase::Filing => {
                (1..=ORDERS).for_each(|n| drop(place(self.site, n, Some(90))));
                self.harm(&[Target::Amend]);
                Phase::Telling
            }
            Phase::Telling => {
                for ticket in self.site.desk.state().all() {
                    let close = |t: &mut _, now| admins::close(t, "alice", now, Outcome::Fulfilled, "Done.");
                    self.site.desk.state().change(&ticket.number, close);
                }
                self.harm(&[Target::Read]);
                let forgets = u64::from(self.plan.harm.is_some());
                self.site.platform.faults().forget_answers.store(forgets, Ordering::SeqCst);
                Phase::Closing
            }
            Phase::Closing | Phase::Over => Phase::Over,
        };
        Ok(())
    }

    fn is_done(&self) -> bool {
        let all_taken = self.site.platform.state().waiting().is_empty();
        all_taken
            && match self.phase {
                Phase::Filing => self.site.desk.state().created_by(USER) >= ORDERS,
                Phase::Telling => self.comments().iter().all(|n| *n > 0),
                Phase::Closing | Phase::Over => self.completions().iter().all(|told| !told.is_empty()),
            }
    }

    /// Ours, per ticket.
    fn comments(&self) -> Vec<usize> {
        self.site.desk.state().all().iter().map(|t| t.comments.iter().filter(|c| c.by == USER).count()).collect()
    }

    /// Outcomes the platform was told, per order.
    fn completions(&self) -> Vec<Vec<String>> {
        let told = |id: &String| self.site.platform.state().completions_of(id);
        let outcome = |c: &serde_json::Value| c["outcome"].as_str().unwrap_or_default().to_owned();
        self.ids.iter().map(|id| told(id).iter().map(outcome).collect()).collect()
    }

    fn stands(&self) -> String {
        let desk = self.site.desk.state();
        let (created, keys) = (desk.created_by(USER), desk.keys_created_by(USER));
        format!("{created} tickets, keys {keys:?}, comments {:?}, told {:?}", self.comments(), self.completions())
    }

    /// Counts what the bridge's account made, all of it, and what the platform was told; never by a search.
    async fn oracle(&self, bridge: &Bridge) -> Result<(), String> {
        let keys = self.site.desk.state().keys_created_by(USER);
        let expected = usize::try_from(ORDERS).unwrap();
        let assignments = bridge.ledger.assignments(&Filter::default(), false, 100).await.map_err(|e| e.to_string())?;
        let chains = bridge.ledger.verify_chains().await.map_err(|e| e.to_string())?;
        let ends = bridge.ledger.verify_ends().await.map_err(|e| e.to_string())?;
        let checks = [
            ("an assignment for each event", assignments.len() == expected),
            ("one ticket for each assignment", self.site.desk.state().created_by(USER) == ORDERS),
            ("one ticket for each key", keys.len() == expected && keys.values().all(|n| *n == 1)),
            ("one comment for each change", self.comments() == vec![1; expected]),
            ("one completion for each closing", self.completions() == vec![vec!["fulfilled".to_owned()]; expected]),
            ("every chain of the journal", chains.is_empty()),
            ("every order in its lane until it ends", ends.is_empty()),
            ("every assignment reported", assignments.iter().all(|a| a.state == "reported")),
        ];
        let failed: Vec<_> = checks.iter().filter(|(_, holds)| !holds).map(|(what, _)| *what).collect();
        if failed.is_empty() { Ok(()) } else { Err(format!("not held: {}; {}", failed.join(", "), self.stands())) }
    }
}
