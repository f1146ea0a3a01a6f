//! Enumerated trials: for each level, fault and lag a run without a death counts how often it passes each failpoint; then
//! it is repeated with a death at each of these passages (long form) or at a spread of them (short form). The long form also
//! kills the process that comes after.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use lastmile::model::failpoint::{Death, Point};
use lastmile::sandbox::Harm;
use serde::{Deserialize, Serialize};

use super::{Engine, Kept, Level, Plan, Site, run};

const HARMS: [Option<Harm>; 7] = [
    None,
    Some(Harm::Lost),
    Some(Harm::Late(100_000)),
    Some(Harm::FailAfter),
    Some(Harm::FailBefore),
    Some(Harm::Busy(Some(90))),
    Some(Harm::Html),
];
/// How far the desk's search lags: nothing, seconds, up to what it is declared to.
const LAGS_MS: [i64; 6] = [0, 5_000, 30_000, 60_000, 120_000, 290_000];
/// Trials at the same time.
const AT_ONCE: usize = 2;

/// A level's search lags where the level allows it: on D2 it never does.
fn lags(level: Level, long: bool) -> &'static [i64] {
    match (level, long) {
        (Level::D2, _) => &LAGS_MS[..1],
        (_, true) => &LAGS_MS,
        (Level::D1, false) => &[0, 290_000],
        (Level::D3, false) => &[290_000],
    }
}

/// What a level came to.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Sum {
    combinations: usize,
    trials: usize,
    /// Trials in which a process died, and those in which the next one died, too.
    with_a_death: usize,
    with_two: usize,
    tickets: u64,
    points: BTreeSet<String>,
    failed: Vec<String>,
}

impl Sum {
    fn add(&mut self, other: Self) {
        self.combinations += other.combinations;
        self.trials += other.trials;
        self.with_a_death += other.with_a_death;
        self.with_two += other.with_two;
        self.tickets += other.tickets;
        self.points.extend(other.points);
        self.failed.extend(other.failed);
    }

    fn one(&mut self, site: &mut Site, plan: Plan) -> BTreeMap<Point, u32> {
        self.trials += 1;
        match run(site, plan) {
            Ok(went) => {
                self.with_a_death += usize::from(went.deaths > 0);
                self.with_two += usize::from(went.deaths > 1);
                self.tickets += went.tickets;
                let died = [plan.death, plan.again].into_iter().flatten().take(went.deaths as usize);
                self.points.extend(died.map(|d| format!("{:?}", d.at)));
                went.passed
            }
            Err(found) => {
                self.failed.push(format!("{:?}, {plan:?}: {found}", site.level));
                BTreeMap::new()
            }
        }
    }
}

/// Every passage of a run.
fn all(passed: &BTreeMap<Point, u32>) -> Vec<Death> {
    passed.iter().flat_map(|(at, count)| (1..=*count).map(|nth| Death { at: *at, nth })).collect()
}

/// Of every second point one passage; which ones differs from combination to combination.
fn some(passed: &BTreeMap<Point, u32>, combination: usize) -> Vec<Death> {
    passed
        .iter()
        .enumerate()
        .filter(|(i, _)| (i + combination).is_multiple_of(2))
        .map(|(i, (at, count))| Death { at: *at, nth: 1 + u32::try_from(combination * 7 + i * 3).unwrap_or(0) % count })
        .collect()
}

/// On which engine, on which level of desk, and whether orders are leased as they are recorded.
type Where = (&'static str, Level, bool);

/// One level, fault and lag on one ledger.
#[derive(Clone, Copy)]
struct Combination {
    engine: Engine,
    level: Level,
    harm: Option<Harm>,
    lag_ms: i64,
    /// The process that comes after the first death dies as well.
    twice: bool,
    /// Orders are planned, and leased, in the commit that records them: on SQLite.
    foreseen: bool,
}

impl Combination {
    fn name(&self) -> String {
        let Self { engine, level, harm, lag_ms, twice, foreseen } = self;
        let deaths = if *twice { "two deaths" } else { "one death" };
        format!("{} {level:?} {harm:?} {lag_ms} {deaths}{}", engine.name(), if *foreseen { ", foreseen" } else { "" })
    }

    /// All of them; the widest differences first and the ledgers in turn, so that a part of them says something of all.
    fn all(engines: &[Engine], long: bool) -> Vec<Self> {
        let mut found = Vec::new();
        for (place, &engine) in engines.iter().enumerate() {
            let mut here = Vec::new();
            for twice in [false, true].into_iter().take(if long { 2 } else { 1 }) {
                for lag in [0, 5, 3, 1, 2, 4] {
                    for harm in HARMS {
                        let levels = Level::ALL.into_iter().filter(|l| lags(*l, long).contains(&LAGS_MS[lag]));
                        here.extend(levels.map(|level| Self {
                            engine,
                            level,
                            harm,
                            lag_ms: LAGS_MS[lag],
                            twice,
                            foreseen: false,
                        }));
                    }
                }
            }
            if matches!(engine, Engine::Sqlite) {
                here = foreseen_too(here, long);
            }
            // A server takes longer to make a ledger: of the short form it gets a part, of every level.
            let part = if long || matches!(engine, Engine::Sqlite) { 1 } else { 5 };
            found.extend(here.into_iter().step_by(part).enumerate().map(|(n, one)| (n, place, one)));
        }
        found.sort_by_key(|(n, place, _)| (*n, *place));
        found.into_iter().map(|(.., one)| one).collect()
    }

    /// Without a death, then with each of the chosen ones.
    fn carry_out(&self, site: &mut Site, n: usize, long: bool) -> Sum {
        let plan = Plan { harm: self.harm, lag_ms: self.lag_ms, death: None, again: None, foreseen: self.foreseen };
        let mut sum = Sum { combinations: 1, ..Sum::default() };
        let passed = sum.one(site, plan);
        let every = all(&passed);
        let deaths = if long { every.clone() } else { some(&passed, n) };
        for (i, death) in deaths.into_iter().enumerate() {
            // Somewhere else each time; a second life passes fewer places than the first.
            let second = every[(i * 31 + n * 17) % every.len()];
            let again = self.twice.then(|| Death { at: second.at, nth: 1 + second.nth % 5 });
            sum.one(site, Plan { death: Some(death), again, ..plan });
        }
        sum
    }
}

/// Each without and with foresight; in the short form the one or the other, in turn on each level.
fn foreseen_too(all: Vec<Combination>, long: bool) -> Vec<Combination> {
    let with = |one: Combination, foreseen| Combination { foreseen, ..one };
    if long {
        return all.into_iter().flat_map(|one| [with(one, false), with(one, true)]).collect();
    }
    let mut turns = BTreeMap::<Level, bool>::new();
    let mut turn = |level| {
        let turn = turns.entry(level).or_default();
        std::mem::replace(turn, !*turn)
    };
    all.into_iter().map(|one| with(one, turn(one.level))).collect()
}

fn trials(long: bool) -> BTreeMap<Where, Sum> {
    let fakes = tokio::runtime::Builder::new_multi_thread().worker_threads(AT_ONCE).enable_all().build().unwrap();
    let combinations = Combination::all(&fakes.block_on(Engine::all()), long);
    let kept = Mutex::new(if long { Kept::<Sum>::open() } else { Kept::none() });
    let (next, sums) = (AtomicUsize::new(0), Mutex::new(BTreeMap::<Where, Sum>::new()));
    let work = || {
        let mut sites = BTreeMap::new();
        loop {
            let n = next.fetch_add(1, Ordering::SeqCst);
            let Some(one) = combinations.get(n) else { break };
            let (site, here) = ((one.engine.name(), one.level), (one.engine.name(), one.level, one.foreseen));
            let known = kept.lock().unwrap_or_else(PoisonError::into_inner).take(&one.name());
            let found = known.unwrap_or_else(|| {
                let site = sites.entry(site).or_insert_with(|| fakes.block_on(Site::new(one.level, one.engine)));
                let found = one.carry_out(site, n, long);
                kept.lock().unwrap_or_else(PoisonError::into_inner).keep(&one.name(), &found);
                found
            });
            sums.lock().unwrap_or_else(PoisonError::into_inner).entry(here).or_default().add(found);
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    sums.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn report(sums: &BTreeMap<Where, Sum>, began: Instant) {
    eprintln!("| ledger | level | foreseen | faults × lags | trials | with a death | with two | places | tickets | failed |");
    eprintln!("|---|---|---|---|---|---|---|---|---|---|");
    for ((engine, level, foreseen), s) in sums {
        let foreseen = if *foreseen { "yes" } else { "no" };
        let (places, failed) = (s.points.len(), s.failed.len());
        eprintln!(
            "| {engine} | {level:?} | {foreseen} | {} | {} | {} | {} | {places} | {} | {failed} |",
            s.combinations, s.trials, s.with_a_death, s.with_two, s.tickets
        );
    }
    eprintln!("{} s", began.elapsed().as_secs());
}

fn hold(long: bool) {
    let began = Instant::now();
    let sums = trials(long);
    report(&sums, began);
    let failed: Vec<_> = sums.values().flat_map(|s| &s.failed).cloned().collect();
    assert!(failed.is_empty(), "{} trials failed:\n{}", failed.len(), failed.join("\n"));
    for (level, foreseen) in Level::ALL.into_iter().flat_map(|level| [(level, false), (level, true)]) {
        assert!(sums.contains_key(&(Engine::Sqlite.name(), level, foreseen)), "{level:?}, foreseen: {foreseen}");
    }
    let died: BTreeSet<String> = sums.values().flat_map(|s| &s.points).cloned().collect();
    assert_eq!(died, Point::ALL.map(|p| format!("{p:?}")).into(), "the process died everywhere");
}

/// A spread of all trials, over every level, fault and place.
#[test]
fn a_spread_of_deaths_faults_and_lags_loses_and_doubles_nothing() {
    hold(false);
}

/// All of them; prints the table of docs/guarantees.md. With `LASTMILE_TRIALS_FILE` an interrupted run goes on.
#[test]
#[ignore = "takes long: cargo test --test it trials::enumerated -- --ignored --nocapture"]
fn every_death_fault_and_lag_loses_and_doubles_nothing() {
    hold(true);
}

/// The oracle is able to find a double: where the search lags longer than the desk is declared to, a lost answer doubles;
/// so does a desk that works longer on what was given up than it is declared to.
#[test]
fn a_desk_that_breaks_its_word_is_noticed() {
    let fakes = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut site = fakes.block_on(Site::new(Level::D1, Engine::Sqlite));
    let mut tried = |harm, lag_ms| run(&mut site, Plan { harm: Some(harm), lag_ms, death: None, again: None, foreseen: false });
    for (harm, lag_ms) in [(Harm::Lost, 3_600_000), (Harm::Late(600_000), 0)] {
        let found = tried(harm, lag_ms).unwrap_err();
        assert!(found.contains("3 tickets"), "{harm:?}: {found}");
        assert!(tried(Harm::Lost, 0).is_ok(), "the next trial knows nothing of it");
    }
}

/// A trial with foresight tries it: nothing is left to be planned.
#[test]
fn with_foresight_orders_are_leased_as_they_are_recorded() {
    let fakes = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut site = fakes.block_on(Site::new(Level::D1, Engine::Sqlite));
    let mut planned = |foreseen| {
        let went = run(&mut site, Plan { harm: None, lag_ms: 0, death: None, again: None, foreseen }).unwrap();
        went.passed.contains_key(&Point::PlanMade)
    };
    assert!(planned(false) && !planned(true));
}
