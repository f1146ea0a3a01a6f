//! Real kills: the running program under load, ended by `kill -9` at random moments and at failpoints, and started again.
//! Platform and desks live in this process and outlive it; the oracle is theirs.

use std::collections::HashSet;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lastmile::ledger::views::Filter;
use lastmile::ledger::{Ledger as _, Mode, SqlLedger, Views as _};
use lastmile::model::failpoint::Point;
use lastmile::model::{Clock as _, Outcome, Timestamp, clock::SystemClock};
use lastmile::sandbox::server::USER;
use lastmile::sandbox::{PlatformState, SandboxDesk, Stage, admins, company};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{Connection as _, Executor as _, Row as _};

use super::{Engine, Kept};
use crate::orders;
use crate::program::{Running, Site, get, program};
use crate::real::postgres::connect;

/// What a run is.
#[derive(Clone, Copy)]
struct Run {
    /// Other runs kill at other moments.
    seed: u32,
    kills: u32,
    /// Processes that serve the ledger at the same time.
    replicas: usize,
    /// Between two orders.
    pace: Duration,
    /// Time-out, longest processing and index lag of the desks.
    quiet: [&'static str; 3],
    /// Longest life of a process, once it is ready.
    life_ms: u64,
}

/// What it came to.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Came {
    kills: u32,
    at_failpoints: u32,
    /// Of the dead: calls with their attempt on disk and unsettled, and in how many of the kills there were any.
    under_way: usize,
    kills_under_way: u32,
    pub(super) orders: usize,
    /// Orders that a later revocation of the same lane overtook before anything was sent: they want no ticket.
    #[serde(default)]
    overtaken: u64,
    tickets: u64,
}

impl Came {
    pub(super) fn add(&mut self, other: &Self) {
        self.kills += other.kills;
        self.at_failpoints += other.at_failpoints;
        self.under_way += other.under_way;
        self.kills_under_way += other.kills_under_way;
        self.orders += other.orders;
        self.overtaken += other.overtaken;
        self.tickets += other.tickets;
    }
}

/// How long a failpoint is waited for, before the process is killed where it stands.
const AT_POINT: Duration = Duration::from_secs(10);
/// How long a start may take on a busy machine.
const STARTS_WITHIN: Duration = Duration::from_secs(60);
/// After this the living have settled what they were sending; what is left is a dead one's.
const LIVING_SETTLE: Duration = Duration::from_millis(1_500);

/// A number below `below` from a seed, the same in every run.
fn spread(n: u32, below: u64) -> u64 {
    u64::from(n).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) % below.max(1)
}

pub(super) fn with_quiet(site: &Site, [timeout, processing, lag]: [&str; 3]) {
    for desk in ["jira", "servicenow"] {
        site.change(&format!("desks/{desk}.toml"), |text| {
            let own = ["timeout", "max_processing", "index_lag"];
            let kept = text.lines().filter(|l| !own.iter().any(|name| l.starts_with(name)));
            let kept: String = kept.map(|l| format!("{l}\n")).collect();
            let lag = if desk == "jira" { format!("index_lag = \"{lag}\"\n") } else { String::new() };
            format!("{kept}timeout = \"{timeout}\"\nmax_processing = \"{processing}\"\n{lag}")
        });
    }
    site.change("lastmile.toml", |text| text.replace("sync_every = \"3s\"", "sync_every = \"1s\"\nlease = \"10s\""));
    site.only_pushed();
}

/// Orders come, and admins close what is older than a moment, until it is stopped.
pub(super) fn busy(site: &Site, pace: Duration, stop: &Arc<AtomicBool>) -> tokio::task::JoinHandle<()> {
    let (orders, desks) = (Arc::clone(site.platform.state()), [&site.jira, &site.servicenow].map(|d| Arc::clone(d.state())));
    site.platform.deliver_to(&site.address("/hooks/iga"), Duration::from_millis(20));
    let stop = Arc::clone(stop);
    tokio::spawn(async move {
        let mut n = 0;
        loop {
            if !stop.load(Ordering::SeqCst) {
                n += 1;
                place(&orders, n);
            }
            for desk in &desks {
                let old = desk.now().plus_ms(-400);
                for ticket in desk.all().into_iter().filter(|t| t.stage == Stage::New && t.created_at < old) {
                    desk.change(&ticket.number, |t, now| admins::close(t, "alice", now, Outcome::Fulfilled, "Done."));
                }
            }
            tokio::time::sleep(pace).await;
        }
    })
}

fn place(orders: &PlatformState, n: u64) {
    let now = SystemClock.now();
    let document = orders::dateless(company::order(1, n, now));
    orders.place(document, now);
}

/// A configuration of the program, and its port.
pub(super) struct Place {
    pub config: PathBuf,
    pub port: u16,
}

/// As many as there are replicas: they differ in their ports.
pub(super) fn places(site: &Site, replicas: usize) -> Vec<Place> {
    let mut found = vec![Place { config: site.config(), port: site.port }];
    while found.len() < replicas {
        let (config, port) = site.another(&format!("replica{}", found.len()));
        found.push(Place { config, port });
    }
    found
}

/// How a process ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ends {
    /// At a failpoint.
    AtPoint,
    /// At a moment since its start: it may not even be ready.
    Starting,
    /// At a moment since it is ready.
    Ready,
}

struct Victim {
    running: Running,
    ends: Ends,
    n: u32,
}

impl Victim {
    fn start(place: &Place, n: u32) -> Self {
        let mut command = program(&["--config"]);
        command.arg(&place.config).arg("serve").stderr(Stdio::piped()).stdout(Stdio::null());
        let ends = match n % 4 {
            0 => Ends::Starting,
            2 => Ends::Ready,
            _ => Ends::AtPoint,
        };
        if ends == Ends::AtPoint {
            let passed: Vec<Point> =
                Point::ALL.into_iter().filter(|p| !matches!(p, Point::PollRead | Point::PollRecorded)).collect();
            let point = passed[usize::try_from(spread(n, passed.len() as u64)).unwrap()];
            command.arg("--die-at").arg(format!("{point:?}:{}", 1 + spread(n + 1, 6)));
        }
        Self { running: Running::start(command), ends, n }
    }

    /// Waits for its end and brings it about; whether it was at its failpoint.
    async fn end(mut self, place: &Place, life_ms: u64) -> bool {
        let started = Instant::now();
        let ready = format!("http://127.0.0.1:{}/api/v1/overview", place.port);
        let mut died = false;
        while self.ends == Ends::Ready && !died && started.elapsed() < STARTS_WITHIN && get(&ready).await.is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            died = self.running.child.try_wait().unwrap().is_some();
        }
        let life = Duration::from_millis(20 + spread(self.n, life_ms));
        let end = Instant::now() + if self.ends == Ends::AtPoint { AT_POINT } else { life };
        while Instant::now() < end && !died {
            tokio::time::sleep(Duration::from_millis(5)).await;
            died = self.running.child.try_wait().unwrap().is_some();
        }
        if !died {
            self.running.child.kill().unwrap();
        }
        self.running.child.wait().unwrap();
        assert!(self.ends == Ends::AtPoint || !died, "it ended by itself: {}", self.running.said());
        died
    }
}

/// Calls whose attempt is on disk and that are not settled: errand and lease number.
pub(super) async fn sending(engine: Engine, ledger: &str) -> HashSet<(i64, i64)> {
    const SENDING: &str = "SELECT id, lease_no FROM errand WHERE state = 'sending'";
    if let Engine::Postgres(_) = engine {
        let mut connection = connect(ledger).await;
        let rows = connection.fetch_all(SENDING).await.unwrap();
        connection.close().await.unwrap();
        return rows.iter().map(|r| (r.get(0), r.get(1))).collect();
    }
    let options: sqlx::sqlite::SqliteConnectOptions = ledger.parse().unwrap();
    // Killed during its very first start, it left no ledger behind.
    let Ok(mut connection) = sqlx::SqliteConnection::connect_with(&options).await else { return HashSet::new() };
    let rows = connection.fetch_all(SENDING).await.unwrap_or_default();
    connection.close().await.unwrap();
    rows.iter().map(|r| (r.get(0), r.get(1))).collect()
}

async fn carry_out(run: Run, engine: Engine) -> Came {
    let site = Site::new().await;
    with_quiet(&site, run.quiet);
    let mut ledger = format!("sqlite:{}", site.folder.path().join("ledger.db").display());
    if let Engine::Postgres(server) = engine {
        let file = ledger;
        ledger = server.database().await;
        site.change("lastmile.toml", |text| text.replace(&file, &ledger));
    }
    let places = places(&site, run.replicas);
    let stop = Arc::new(AtomicBool::new(false));
    let load = busy(&site, run.pace, &stop);
    let (mut came, mut counted) = (Came::default(), HashSet::new());
    let number = |n: u32| run.seed * 1_000 + n;
    let mut alive: Vec<Option<Victim>> = (0..).zip(&places).map(|(n, place)| Some(Victim::start(place, number(n)))).collect();
    for n in 0..run.kills {
        let at = n as usize % run.replicas;
        let Some(victim) = alive[at].take() else { continue };
        came.at_failpoints += u32::from(victim.end(&places[at], run.life_ms).await);
        came.kills += 1;
        let mut left: HashSet<_> = sending(engine, &ledger).await.difference(&counted).copied().collect();
        if run.replicas > 1 && !left.is_empty() {
            tokio::time::sleep(LIVING_SETTLE).await;
            left = sending(engine, &ledger).await.intersection(&left).copied().collect();
        }
        came.under_way += left.len();
        came.kills_under_way += u32::from(!left.is_empty());
        counted.extend(left);
        let next = n + u32::try_from(run.replicas).unwrap();
        alive[at] = (next < run.kills).then(|| Victim::start(&places[at], number(next)));
    }
    // Now it may live, and everything has to end well.
    stop.store(true, Ordering::SeqCst);
    let mut last = site.serve().await;
    all_reported(&site, &ledger, Duration::from_secs(300)).await;
    load.abort();
    last.signal(rustix::process::Signal::TERM);
    assert_eq!(last.wait(), Some(0), "{}", last.said());
    oracle(&site, &ledger, &mut came).await;
    came
}

/// Waits until the platform has the outcome of every order; else says what each of the others waits for.
pub(super) async fn all_reported(site: &Site, ledger: &str, patience: Duration) {
    let until = Instant::now() + patience;
    loop {
        let counts = site.platform.state().counts();
        if counts.undelivered == 0 && counts.completed == counts.orders {
            return;
        }
        assert!(
            Instant::now() < until,
            "not everything is reported after {} s: {counts:?}; left:\n{}",
            patience.as_secs(),
            left(ledger).await
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Every order that is not reported: its state, its ticket, and the newest call that is owed for it.
async fn left(ledger: &str) -> String {
    const LEFT: &str = "SELECT a.external_id || ' ' || a.state || COALESCE(' parked ' || a.parked_code, '') || COALESCE(' ' || t.desk || ' ' || t.state, '')
            || COALESCE(' checked ' || t.checked_at, '') || COALESCE(': ' || (SELECT e.kind || ' ' || e.state || ' due ' || e.due_at || ' lease ' || COALESCE(e.lease_until, 0)
                || ' failures ' || e.failures || ' misses ' || e.misses || COALESCE(' ' || e.code, '') || ' attempts ' || e.attempts
                FROM errand AS e WHERE e.assignment_id = a.id ORDER BY e.id DESC LIMIT 1), '')
        FROM assignment AS a LEFT JOIN ticket AS t ON t.id = a.ticket_id WHERE a.state <> 'reported' ORDER BY a.id";
    let rows: Vec<String> = if ledger.starts_with("postgres") {
        connect(ledger).await.fetch_all(LEFT).await.unwrap().iter().map(|row| row.get(0)).collect()
    } else {
        let options: sqlx::sqlite::SqliteConnectOptions = ledger.parse().unwrap();
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        connection.fetch_all(LEFT).await.unwrap().iter().map(|row| row.get(0)).collect()
    };
    format!("now {}\n{}", SystemClock.now().0, rows.join("\n"))
}

/// Orders whose platform was told that they are cancelled. Nobody takes an order back here: each must have a revocation
/// after it that has its application, beneficiary and entitlement.
fn overtaken(platform: &PlatformState) -> u64 {
    let orders = platform.changed_since(Timestamp(0));
    let lane = |order: &Value| ["application", "beneficiary", "entitlement"].map(|part| order[part]["id"].clone());
    let is_cancelled = |order: &&Value| {
        let told = platform.completions_of(order["id"].as_str().unwrap());
        told.iter().any(|completion| completion["outcome"] == "cancelled")
    };
    let cancelled: Vec<&Value> = orders.iter().filter(is_cancelled).collect();
    for order in &cancelled {
        let takes_back = |other: &&Value| other["operation"] == "remove" && lane(other) == lane(order);
        let later = |other: &Value| other["id"].as_str() > order["id"].as_str();
        assert!(orders.iter().filter(takes_back).any(later), "cancelled by nothing: {}", order["id"]);
    }
    cancelled.len() as u64
}

/// All tickets that the bridge's account made, all completions, all chains.
pub(super) async fn oracle(site: &Site, ledger: &str, came: &mut Came) {
    let counts = site.platform.state().counts();
    let desks = [&site.jira, &site.servicenow];
    let keys: Vec<u64> = desks.iter().flat_map(|d| d.state().keys_created_by(USER).into_values()).collect();
    came.orders = counts.orders;
    came.tickets = desks.iter().map(|d: &&SandboxDesk| d.state().created_by(USER)).sum();
    came.overtaken = overtaken(site.platform.state());
    assert_eq!(came.tickets + came.overtaken, counts.orders as u64, "tickets of all orders: {came:?}");
    assert!(keys.iter().all(|n| *n == 1) && keys.len() as u64 == came.tickets, "keys: {came:?}");
    assert_eq!((counts.completions, counts.further), (counts.orders, 0), "completions: {came:?}");
    let ledger = SqlLedger::open(ledger, "demo", Mode::Read).await.unwrap();
    assert_eq!(ledger.assignments(&Filter::default(), false, 100_000).await.unwrap().len(), counts.orders, "{came:?}");
    assert_eq!(ledger.verify_chains().await.unwrap(), []);
    assert_eq!(ledger.verify_ends().await.unwrap(), []);
    ledger.close().await;
}

/// Room for a busy machine: the fakes keep no promise of time when they get no processor.
const ROOM: [&str; 3] = ["2s", "500ms", "500ms"];
/// The shortest time-out that a desk may have; on a machine of its own a desk keeps it.
const SHORT: [&str; 3] = ["1s", "50ms", "50ms"];

/// A few kills.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_killed_at_any_moment_loses_and_doubles_nothing() {
    let pace = Duration::from_millis(60);
    for engine in Engine::all().await {
        let replicas = if matches!(engine, Engine::Sqlite) { 1 } else { 3 };
        let came = carry_out(Run { seed: 0, kills: 8, replicas, pace, quiet: ROOM, life_ms: 1_200 }, engine).await;
        eprintln!("{}: {came:?}", engine.name());
        assert!(came.orders > 10 && came.kills == 8, "{came:?}");
    }
}

/// Many; prints lines for docs/guarantees.md. With `LASTMILE_TRIALS_FILE` an interrupted run goes on; with
/// `LASTMILE_TRIALS_ROOM` the desks are declared as slow as on a busy machine they are.
async fn many(engine: Engine, replicas: usize, rounds: u32, kills: u32) {
    let mut kept = Kept::<Came>::open();
    let quiet = if std::env::var_os("LASTMILE_TRIALS_ROOM").is_some() { ROOM } else { SHORT };
    let (mut all, began) = (Came::default(), Instant::now());
    for seed in 0..rounds {
        let name = format!("kills {} {replicas} {seed} {kills} {}", engine.name(), quiet.join("+"));
        let came = match kept.take(&name) {
            Some(known) => known,
            None => {
                let run = Run { seed, kills, replicas, pace: Duration::from_millis(100), quiet, life_ms: 600 };
                let came = carry_out(run, engine).await;
                kept.keep(&name, &came);
                came
            }
        };
        all.add(&came);
        eprintln!("{} × {replicas}, {quiet:?}: {all:?} in {} s", engine.name(), began.elapsed().as_secs());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: cargo test --test it trials::kills -- --ignored --nocapture"]
async fn a_thousand_kills_on_sqlite_lose_and_double_nothing() {
    many(Engine::Sqlite, 1, 40, 25).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: cargo test --test it trials::kills -- --ignored --nocapture"]
async fn a_thousand_kills_on_postgres_and_of_one_of_three_replicas_lose_and_double_nothing() {
    for engine in Engine::all().await.into_iter().filter(|e| matches!(e, Engine::Postgres(_))) {
        many(engine, 3, 20, 30).await;
        many(engine, 1, 16, 25).await;
    }
}
