//! Figures: pages over many assignments against few, and against a scan of the journal; what keeping them costs. On either
//! ledger.

mod fill;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use lastmile::bridge::{self, Bridge};
use lastmile::catalog::Catalog;
use lastmile::kpi::case::{Case, Yardstick};
use lastmile::kpi::cell::Cell;
use lastmile::kpi::clocks::Clocks;
use lastmile::kpi::report::Asked;
use lastmile::kpi::rollup::Rollup;
use lastmile::kpi::small::Small;
use lastmile::kpi::verify::verify;
use lastmile::model::clock::SystemClock;
use lastmile::model::{Clock, Id, Timestamp};
use lastmile::runtime::{Pace, telemetry};
use lastmile::web;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::bed::{Bed, Served, configure_on, folder};
use crate::engine::Engine;
use crate::{Effort, events, report, wire};

/// Assignments of the small ledger.
const SMALL: u64 = 10_000;
/// Times each page is asked for.
const LOOKS: usize = 200;
/// Alternations of intake with and without figures.
const ALTERNATIONS: usize = 10;
const PAGES: [&str; 10] = [
    "/kpi",
    "/kpi?days=365",
    "/kpi?days=90&application=sap-erp",
    "/kpi/application?application=sap-erp",
    "/kpi/group",
    "/kpi/approval",
    "/kpi/leavers",
    "/kpi/backlog",
    "/api/v1/kpi?days=30",
    "/kpi/assignments?which=overdue",
];
/// Fewest people that a figure is of, where small groups are told together.
const PEOPLE: i64 = 5;

/// A ledger that is served.
struct Side {
    folder: TempDir,
    bridge: Bridge,
    served: Served,
}

/// Measures and prints.
pub async fn run(effort: Effort, on: Engine<'_>) -> anyhow::Result<()> {
    pages(effort.open, true, on).await?;
    intake(effort, on).await
}

/// The same pages over ten times as many, once: making the figures takes long.
pub async fn ten_millions(effort: Effort) -> anyhow::Result<()> {
    pages(effort.open * 10, false, Engine::Sqlite).await
}

async fn pages(open: u64, proven: bool, on: Engine<'_>) -> anyhow::Result<()> {
    println!("\n# {on}: figures over {SMALL} and {open} assignments");
    let small = side(SMALL, "kpi_few", on).await?;
    let large = side(open, "kpi_many", on).await?;
    println!("  resident after the figures were made: {} MiB", resident_mib()?);
    let scan = scan(&large).await?;
    on.come_to_rest().await?;
    println!("  scan of the journal, {open} assignments: {:.0} ms", scan * 1000.0);
    for page in PAGES {
        let (few, many) = both(&small, &large, page).await?;
        println!("  GET {page}: {:.1} ms over {SMALL}, {:.1} ms over {open}", few * 1000.0, many * 1000.0);
        report::verdict("many / few", many / few, false, 1.5);
        report::verdict("scan / page", scan / many, true, 100.0);
    }
    println!("  resident after the pages: {} MiB", resident_mib()?);
    if proven {
        let begun = Instant::now();
        let catalog = Arc::clone(&small.bridge.setup.load().catalog);
        let found = verify(&*small.bridge.ledger, &catalog, SystemClock.now()).await?;
        println!("  verify over {SMALL}: {:.1} s", begun.elapsed().as_secs_f64());
        anyhow::ensure!(found.agrees(), "the figures differ from the journal: {:#?}", found.differences);
    }
    small_groups(&large, open).await?;
    small.end().await;
    large.end().await;
    Ok(())
}

/// The same page of both, look by look; seconds.
async fn both(small: &Side, large: &Side, page: &str) -> anyhow::Result<(f64, f64)> {
    let (mut of_small, mut of_large) = (Vec::new(), Vec::new());
    let (mut to_small, mut to_large) =
        (wire::Connection::open(small.served.address).await?, wire::Connection::open(large.served.address).await?);
    for _ in 0..LOOKS {
        of_small.push(look(&mut to_small, page).await?);
        of_large.push(look(&mut to_large, page).await?);
    }
    Ok((report::median(&of_small), report::median(&of_large)))
}

/// What it costs to tell small groups together: the same pages without and with it, look by look.
async fn small_groups(side: &Side, open: u64) -> anyhow::Result<()> {
    let plain = side.bridge.setup.load_full();
    let mut catalog = Catalog::clone(&plain.catalog);
    catalog.main.kpi.smallest_group = PEOPLE;
    let together = Arc::new(bridge::setup(catalog, &side.bridge.clock)?);
    let mut connection = wire::Connection::open(side.served.address).await?;
    for page in PAGES {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..LOOKS {
            side.bridge.setup.store(Arc::clone(&plain));
            without.push(look(&mut connection, page).await?);
            side.bridge.setup.store(Arc::clone(&together));
            with.push(look(&mut connection, page).await?);
        }
        let (without, with) = (report::median(&without) * 1000.0, report::median(&with) * 1000.0);
        println!("  GET {page} over {open}: {without:.1} ms, {with:.1} ms with smallest_group = {PEOPLE}");
    }
    let (from, to) = Asked::default().period(SystemClock.now());
    let mut asked = Vec::new();
    for _ in 0..LOOKS {
        let begun = Instant::now();
        Small::over(&*side.bridge.ledger, &together.catalog, from, to).await?;
        asked.push(begun.elapsed().as_secs_f64() * 1000.0);
    }
    println!("  of that, to know who is small: {:.1} ms", report::median(&asked));
    Ok(())
}

/// Memory of this process: product and load generator.
fn resident_mib() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse::<u64>()? / 1024)
}

impl Side {
    async fn end(self) {
        drop(self.served);
        self.bridge.close().await;
        drop(self.folder);
    }
}

async fn look(connection: &mut wire::Connection, page: &str) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let status = connection.call(format!("GET {page} HTTP/1.1\r\nhost: 127.0.0.1:8480\r\n\r\n").as_bytes()).await?;
    anyhow::ensure!(status == 200, "{page}: {status}");
    Ok(begun.elapsed().as_secs_f64())
}

/// A ledger with so many assignments, nine of ten of them closed, and its figures.
async fn side(n: u64, name: &str, on: Engine<'_>) -> anyhow::Result<Side> {
    let folder = folder()?;
    let store = on.fresh(folder.path(), name).await?;
    configure_on(folder.path(), "http://127.0.0.1:9", "127.0.0.1:0", &store.url, 64)?;
    let begun = Instant::now();
    fill::fill(&store, i64::try_from(n / fill::REAL as u64)?).await?;
    println!("  ledger of {n} assignments made in {:.0} s", begun.elapsed().as_secs_f64());
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let bridge = Bridge::open(bridge::load(folder.path(), &clock)?, Arc::clone(&clock), false).await?;
    let catalog = Arc::clone(&bridge.setup.load().catalog);
    let begun = Instant::now();
    let (mut rollup, mut cases, mut longest) = (Rollup::new(), 0, Duration::ZERO);
    loop {
        let step = Instant::now();
        let progress = rollup.step(&*bridge.ledger, &catalog, &*clock).await?;
        cases += progress.cases;
        longest = longest.max(step.elapsed());
        if !progress.any() {
            break;
        }
    }
    let took = begun.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let each = took * 1e6 / cases.max(1) as f64;
    let longest = longest.as_secs_f64() * 1000.0;
    println!("  figures of {cases} assignments made in {took:.1} s, {each:.0} µs each; longest step {longest:.0} ms");
    let served = Served::start(web::router(bridge.web(telemetry::metrics_handle(), true, None))).await?;
    Ok(Side { folder, bridge, served })
}

/// The same figures from the journal alone, seconds.
async fn scan(side: &Side) -> anyhow::Result<f64> {
    let catalog: Arc<Catalog> = Arc::clone(&side.bridge.setup.load().catalog);
    let now = SystemClock.now();
    let clocks = Clocks::over(&catalog, Timestamp(now.0 - 200 * 86_400_000), now);
    let (begun, mut after, mut cells) = (Instant::now(), Id(i64::MIN), BTreeMap::<i64, Cell>::new());
    loop {
        let ids = side.bridge.ledger.all_ids(after, 1_000).await?;
        let Some(last) = ids.last().copied() else { break };
        after = last;
        for life in side.bridge.ledger.lives(&ids).await? {
            let case = Case::of(&life, Yardstick { catalog: &catalog, clocks: &clocks }, None);
            if case.closed.is_some() {
                cells.entry(life.dim.id).or_default().add(&case);
            }
        }
    }
    Ok(begun.elapsed().as_secs_f64())
}

/// Intake with the figures kept beside it, and without, turn by turn.
async fn intake(effort: Effort, on: Engine<'_>) -> anyhow::Result<()> {
    // Long enough that the first step, which nothing rests before, does not decide.
    let events = effort.events * 2;
    println!("  intake with and without figures, {events} events a round");
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ALTERNATIONS {
        without.push(round(events, on, false).await?);
        with.push(round(events, on, true).await?);
    }
    let all = |rounds: &[Round], of: fn(&Round) -> f64| rounds.iter().map(of).collect::<Vec<f64>>();
    let (rates, floor) = (all(&with, |r| r.rate), all(&without, |r| r.rate));
    report::rates("without figures", &floor);
    report::rates("with figures", &rates);
    report::verdict("intake with figures / without", report::paired(&rates, &floor), true, 0.9);
    let used = |rounds: &[Round]| all(rounds, |r| r.used_s);
    println!("  processor time of a round with figures / without: {:.2}", report::paired(&used(&with), &used(&without)));
    // A step's time on the clock is at least its processor time, here and in a server; the process holds the load generator, too.
    let whose = if matches!(on, Engine::Sqlite) { "process" } else { "process and server" };
    let what = format!("time in steps of the figures / processor time of the {whose}");
    report::verdict(&what, report::median(&all(&with, |r| r.busy_s / r.used_s)), false, 0.05);
    Ok(())
}

/// What a round of intake came to.
struct Round {
    /// Events a second.
    rate: f64,
    /// Processor time of the process, and of the server.
    used_s: f64,
    /// In steps of the figures, by the clock.
    busy_s: f64,
}

#[expect(clippy::cast_precision_loss, reason = "a count of events")]
async fn round(count: usize, on: Engine<'_>, figures: bool) -> anyhow::Result<Round> {
    let bed = Bed::start_on(on, "http://127.0.0.1:9", false, false).await?;
    let requests = Arc::new(events::requests(count)?);
    let stop = CancellationToken::new();
    let counting = figures.then(|| {
        let (ledger, setup, clock) =
            (Arc::clone(&bed.bridge.ledger), Arc::clone(&bed.bridge.setup), Arc::clone(&bed.bridge.clock));
        let stop = stop.clone();
        tokio::spawn(async move {
            let (mut pace, mut busy) = (Pace::default(), Duration::ZERO);
            while !stop.is_cancelled() {
                let begun = Instant::now();
                let catalog = Arc::clone(&setup.load().catalog);
                let rest = pace.round(&*ledger, &catalog, &*clock).await?;
                busy += begun.elapsed();
                tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(rest) => {} }
            }
            anyhow::Ok(busy)
        })
    });
    let before = on.processor_s()?;
    let took = wire::drive(bed.served.address, requests, 64).await?;
    let used_s = on.processor_s()? - before;
    stop.cancel();
    let busy = match counting {
        Some(counting) => counting.await??,
        None => Duration::ZERO,
    };
    bed.end().await;
    Ok(Round { rate: count as f64 / took.as_secs_f64(), used_s, busy_s: busy.as_secs_f64() })
}
