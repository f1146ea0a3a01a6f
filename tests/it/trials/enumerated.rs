//! Enumerated trials: for each level, fault and lag a run without a death counts how often it passes each failpoint; then
//! it is repeated with a death at each of these passages (long form) or at a spread of them (short form).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use lastmile::model::failpoint::{Death, Point};
use lastmile::sandbox::Harm;

use super::{Engine, Level, Plan, Site, run};

const HARMS: [Option<Harm>; 6] =
    [None, Some(Harm::Busy(Some(90))), Some(Harm::FailBefore), Some(Harm::FailAfter), Some(Harm::Lost), Some(Harm::Html)];
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
#[derive(Debug, Default)]
struct Sum {
    combinations: usize,
    trials: usize,
    deaths: usize,
    tickets: u64,
    points: BTreeSet<Point>,
    failed: Vec<String>,
}

/// Deaths to try, of all passages of a run.
fn chosen(passed: &BTreeMap<Point, u32>, combination: usize, long: bool) -> Vec<Death> {
    if long {
        return passed.iter().flat_map(|(at, count)| (1..=*count).map(|nth| Death { at: *at, nth })).collect();
    }
    // Of every second point one passage; which ones differs from combination to combination.
    passed
        .iter()
        .enumerate()
        .filter(|(i, _)| (i + combination).is_multiple_of(2))
        .map(|(i, (at, count))| Death { at: *at, nth: 1 + u32::try_from(combination * 7 + i * 3).unwrap_or(0) % count })
        .collect()
}

/// On which engine, on which level of desk.
type Where = (&'static str, Level);

fn trials(long: bool) -> BTreeMap<Where, Sum> {
    let fakes = tokio::runtime::Builder::new_multi_thread().worker_threads(AT_ONCE).enable_all().build().unwrap();
    let mut combinations = Vec::new();
    for engine in fakes.block_on(Engine::all()) {
        let levels = Level::ALL.into_iter().flat_map(|level| HARMS.map(|harm| (level, harm)));
        let all = levels.flat_map(|(level, harm)| lags(level, long).iter().map(move |lag_ms| (engine, level, harm, *lag_ms)));
        // A server takes longer to make a ledger: of the short form it gets a part, of every level.
        let part = if long || matches!(engine, Engine::Sqlite) { 1 } else { 5 };
        combinations.extend(all.step_by(part));
    }
    let (next, sums) = (AtomicUsize::new(0), Mutex::new(BTreeMap::<Where, Sum>::new()));
    let work = || {
        let mut sites = BTreeMap::new();
        loop {
            let n = next.fetch_add(1, Ordering::SeqCst);
            let Some(&(engine, level, harm, lag_ms)) = combinations.get(n) else { break };
            let here = (engine.name(), level);
            let site = sites.entry(here).or_insert_with(|| fakes.block_on(Site::new(level, engine)));
            let found = combination(site, n, Plan { harm, lag_ms, death: None }, long);
            let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
            let sum = sums.entry(here).or_default();
            sum.combinations += 1;
            sum.trials += found.trials;
            sum.deaths += found.deaths;
            sum.tickets += found.tickets;
            sum.points.extend(found.points);
            sum.failed.extend(found.failed);
        }
    };
    std::thread::scope(|scope| (0..AT_ONCE).for_each(|_| drop(scope.spawn(work))));
    sums.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// One level, fault and lag: without a death, then with each of the chosen ones.
fn combination(site: &mut Site, n: usize, plan: Plan, long: bool) -> Sum {
    let mut sum = Sum::default();
    let mut one = |site: &mut Site, plan: Plan| {
        sum.trials += 1;
        match run(site, plan) {
            Ok(went) => {
                sum.deaths += usize::from(went.died);
                sum.tickets += went.tickets;
                if went.died {
                    sum.points.extend(plan.death.map(|d| d.at));
                }
                went.passed
            }
            Err(found) => {
                sum.failed.push(format!("{:?}, {plan:?}: {found}", site.level));
                BTreeMap::new()
            }
        }
    };
    let passed = one(site, plan);
    for death in chosen(&passed, n, long) {
        one(site, Plan { death: Some(death), ..plan });
    }
    sum
}

fn report(sums: &BTreeMap<Where, Sum>, began: Instant) {
    eprintln!("| ledger | level | faults × lags | trials | of them with a death | places | tickets | failed |");
    eprintln!("|---|---|---|---|---|---|---|---|");
    for ((engine, level), s) in sums {
        let places = s.points.len();
        let failed = s.failed.len();
        eprintln!(
            "| {engine} | {level:?} | {} | {} | {} | {places} | {} | {failed} |",
            s.combinations, s.trials, s.deaths, s.tickets
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
    let died: BTreeSet<Point> = sums.values().flat_map(|s| &s.points).copied().collect();
    assert_eq!(died, BTreeSet::from(Point::ALL), "the process died everywhere");
}

/// A spread of all trials, over every level, fault and place.
#[test]
fn a_spread_of_deaths_faults_and_lags_loses_and_doubles_nothing() {
    hold(false);
}

/// All of them; prints the table of docs/guarantees.md.
#[test]
#[ignore = "takes long: cargo test --test it trials::enumerated -- --ignored --nocapture"]
fn every_death_fault_and_lag_loses_and_doubles_nothing() {
    hold(true);
}

/// The oracle is able to find a double: where the search lags longer than the desk is declared to, a lost answer doubles.
#[test]
fn a_desk_that_breaks_its_word_is_noticed() {
    let fakes = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let mut site = fakes.block_on(Site::new(Level::D1, Engine::Sqlite));
    let found = run(&mut site, Plan { harm: Some(Harm::Lost), lag_ms: 3_600_000, death: None }).unwrap_err();
    assert!(found.contains("3 tickets"), "{found}");
    assert!(
        run(&mut site, Plan { harm: Some(Harm::Lost), lag_ms: 0, death: None }).is_ok(),
        "the next trial knows nothing of it"
    );
}
