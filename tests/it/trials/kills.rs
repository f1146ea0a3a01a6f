//! Real kills: the running program under load, ended by `kill -9` at random moments and at failpoints, and started again.
//! Platform and desks live in this process and outlive it; the oracle is theirs.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lastmile::ledger::views::Filter;
use lastmile::ledger::{Ledger as _, Mode, SqlLedger, Views as _};
use lastmile::model::failpoint::Point;
use lastmile::model::{Clock as _, Outcome, clock::SystemClock};
use lastmile::sandbox::server::USER;
use lastmile::sandbox::{PlatformState, SandboxDesk, Stage, admins, company};

use super::Engine;
use crate::program::{Running, Site, until_within};

/// What a run is.
struct Run {
    kills: u32,
    /// Between two orders.
    pace: Duration,
    /// Time-out, longest processing and index lag of the desks.
    quiet: [&'static str; 3],
    /// Longest life of a process.
    life_ms: u64,
}

/// What it came to.
#[derive(Debug, Default)]
struct Came {
    kills: u32,
    at_failpoints: u32,
    /// Calls that were under way, sent or not, when their process was killed, and in how many of the kills.
    under_way: u32,
    kills_under_way: u32,
    orders: usize,
    tickets: u64,
}

/// How long a failpoint is waited for, before the process is killed where it stands.
const AT_POINT: Duration = Duration::from_secs(10);

/// A number below `below` from a seed, the same in every run.
fn spread(n: u32, below: u64) -> u64 {
    u64::from(n).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23) % below.max(1)
}

fn with_quiet(site: &Site, [timeout, processing, lag]: [&str; 3]) {
    for desk in ["jira", "servicenow"] {
        site.change(&format!("desks/{desk}.toml"), |text| {
            let own = ["timeout", "max_processing", "index_lag"];
            let kept = text.lines().filter(|l| !own.iter().any(|name| l.starts_with(name)));
            let kept: String = kept.map(|l| format!("{l}\n")).collect();
            let lag = if desk == "jira" { format!("index_lag = \"{lag}\"\n") } else { String::new() };
            format!("{kept}timeout = \"{timeout}\"\nmax_processing = \"{processing}\"\n{lag}")
        });
    }
    site.change("lastmile.toml", |text| text.replace("sync_every = \"3s\"", "sync_every = \"1s\""));
    site.only_pushed();
}

/// Orders come, and admins close what is older than a moment, until it is stopped.
fn busy(site: &Site, pace: Duration, stop: &Arc<AtomicBool>) -> tokio::task::JoinHandle<()> {
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
    let mut document = company::order(1, n, now);
    for field in ["validFrom", "validUntil"] {
        document.as_object_mut().unwrap().remove(field);
    }
    orders.place(document, now);
}

/// Starts the program and kills it; gives what it said, and whether it died at its failpoint.
async fn one_life(site: &Site, n: u32, run: &Run) -> (String, bool) {
    let mut command = site.command(&["serve"]);
    command.stderr(Stdio::piped()).stdout(Stdio::null());
    let at_point = n % 2 == 1;
    if at_point {
        let passed: Vec<Point> = Point::ALL.into_iter().filter(|p| !matches!(p, Point::PollRead | Point::PollRecorded)).collect();
        let point = passed[usize::try_from(spread(n, passed.len() as u64)).unwrap()];
        command.arg("--die-at").arg(format!("{point:?}:{}", 1 + spread(n + 1, 12)));
    }
    let mut running = Running::start(command);
    // A kill during the start is one of them.
    let life = Duration::from_millis(50 + spread(n, run.life_ms));
    let end = Instant::now() + if at_point { AT_POINT } else { life };
    let mut died = false;
    while Instant::now() < end && !died {
        tokio::time::sleep(Duration::from_millis(5)).await;
        died = running.child.try_wait().unwrap().is_some();
    }
    if !died {
        running.child.kill().unwrap();
    }
    running.child.wait().unwrap();
    (running.said(), died)
}

/// How many calls the dead process had leased: the next one says so.
fn recovered(said: &str) -> u32 {
    let line = said.lines().find(|l| l.contains("calls under way when the last process stopped"));
    let number = line.and_then(|l| l.split("calls=").nth(1)).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect());
    number.and_then(|digits: String| digits.parse().ok()).unwrap_or(0)
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
    let stop = Arc::new(AtomicBool::new(false));
    let load = busy(&site, run.pace, &stop);
    let mut came = Came::default();
    let count = |said: &str, came: &mut Came| {
        let calls = recovered(said);
        came.under_way += calls;
        came.kills_under_way += u32::from(calls > 0);
    };
    for n in 0..run.kills {
        let (said, died) = one_life(&site, n, &run).await;
        count(&said, &mut came);
        came.kills += 1;
        came.at_failpoints += u32::from(died);
    }
    // Now it may live, and everything has to end well.
    stop.store(true, Ordering::SeqCst);
    let mut last = site.serve().await;
    until_within(Duration::from_secs(120), "everything is reported", async || {
        let counts = site.platform.state().counts();
        (counts.undelivered == 0 && counts.completed == counts.orders).then_some(())
    })
    .await;
    count(&last.said(), &mut came);
    load.abort();
    last.signal(rustix::process::Signal::TERM);
    assert_eq!(last.wait(), Some(0), "{}", last.said());
    oracle(&site, &ledger, &mut came).await;
    came
}

/// All tickets that the bridge's account made, all comments, all completions, all chains.
async fn oracle(site: &Site, ledger: &str, came: &mut Came) {
    let counts = site.platform.state().counts();
    let desks = [&site.jira, &site.servicenow];
    let keys: Vec<u64> = desks.iter().flat_map(|d| d.state().keys_created_by(USER).into_values()).collect();
    came.orders = counts.orders;
    came.tickets = desks.iter().map(|d: &&SandboxDesk| d.state().created_by(USER)).sum();
    assert_eq!(came.tickets, counts.orders as u64, "tickets of all orders: {came:?}");
    assert!(keys.iter().all(|n| *n == 1) && keys.len() == counts.orders, "keys: {came:?}");
    assert_eq!((counts.completions, counts.further), (counts.orders, 0), "completions: {came:?}");
    let ledger = SqlLedger::open(ledger, "demo", Mode::Read).await.unwrap();
    assert_eq!(ledger.assignments(&Filter::default(), false, 100_000).await.unwrap().len(), counts.orders, "{came:?}");
    assert_eq!(ledger.verify_chains().await.unwrap(), []);
    ledger.close().await;
}

/// A few kills, with room for a busy machine: the fakes keep no promise of time when they get no processor.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_killed_at_any_moment_loses_and_doubles_nothing() {
    let quiet = ["2s", "500ms", "500ms"];
    for engine in Engine::all().await {
        let came = carry_out(Run { kills: 8, pace: Duration::from_millis(60), quiet, life_ms: 1_200 }, engine).await;
        eprintln!("{}: {came:?}", engine.name());
        assert!(came.orders > 10, "{came:?}");
    }
}

/// A thousand, on a machine of its own; prints the line of docs/guarantees.md.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: cargo test --test it trials::kills -- --ignored --nocapture"]
async fn a_thousand_kills_lose_and_double_nothing() {
    for engine in Engine::all().await {
        let (mut all, began) = (Came::default(), Instant::now());
        for _ in 0..20 {
            let quiet = ["100ms", "50ms", "50ms"];
            let came = carry_out(Run { kills: 50, pace: Duration::from_millis(25), quiet, life_ms: 900 }, engine).await;
            all.kills += came.kills;
            all.at_failpoints += came.at_failpoints;
            all.under_way += came.under_way;
            all.kills_under_way += came.kills_under_way;
            all.orders += came.orders;
            all.tickets += came.tickets;
        }
        eprintln!("{}: {all:?} in {} s", engine.name(), began.elapsed().as_secs());
    }
}
