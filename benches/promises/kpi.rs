//! Figures: pages over many assignments against few, and against a scan of the journal; what keeping them costs.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use lastmile::bridge::{self, Bridge};
use lastmile::catalog::Catalog;
use lastmile::kpi::case::{Case, Yardstick};
use lastmile::kpi::cell::Cell;
use lastmile::kpi::clocks::Clocks;
use lastmile::kpi::rollup::Rollup;
use lastmile::kpi::verify::verify;
use lastmile::ledger::{Ledger, Mode, Past, SqlLedger};
use lastmile::model::clock::SystemClock;
use lastmile::model::{Clock, Id, Timestamp};
use lastmile::runtime::{Pace, telemetry};
use lastmile::sandbox::history;
use lastmile::web;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::bed::{Bed, Served, configure, folder};
use crate::million::{Copied, copy_table};
use crate::postgres::orders::made_up;
use crate::{Effort, events, report, wire};

/// Orders of the past that are loaded; all others are copies of their rows.
const REAL: usize = 1_000;
/// Assignments of the small ledger.
const SMALL: u64 = 10_000;
/// Times each page is asked for.
const LOOKS: usize = 30;
/// Alternations of intake with and without figures.
const ALTERNATIONS: usize = 10;
const PAGES: [&str; 5] =
    ["/kpi", "/kpi?days=365", "/kpi?days=90&application=sap-erp", "/api/v1/kpi?days=30", "/kpi/assignments?which=overdue"];

/// A ledger that is served.
struct Side {
    folder: TempDir,
    bridge: Bridge,
    served: Served,
}

/// Measures and prints.
pub async fn run(effort: Effort) -> anyhow::Result<()> {
    pages(effort.open, true).await?;
    intake(effort).await
}

/// The same pages over ten times as many, once: making the figures takes long.
pub async fn ten_millions(effort: Effort) -> anyhow::Result<()> {
    pages(effort.open * 10, false).await
}

async fn pages(open: u64, proven: bool) -> anyhow::Result<()> {
    println!("\n# Figures over {SMALL} and {open} assignments");
    let small = side(SMALL).await?;
    let large = side(open).await?;
    println!("  resident after the figures were made: {} MiB", resident_mib()?);
    let scan = scan(&large).await?;
    println!("  scan of the journal, {open} assignments: {:.0} ms", scan * 1000.0);
    for page in PAGES {
        let (mut of_small, mut of_large) = (Vec::new(), Vec::new());
        let (mut to_small, mut to_large) =
            (wire::Connection::open(small.served.address).await?, wire::Connection::open(large.served.address).await?);
        for _ in 0..LOOKS {
            of_small.push(look(&mut to_small, page).await?);
            of_large.push(look(&mut to_large, page).await?);
        }
        let (few, many) = (report::median(&of_small), report::median(&of_large));
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
    small.end().await;
    large.end().await;
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
async fn side(n: u64) -> anyhow::Result<Side> {
    let folder = folder()?;
    configure(folder.path(), "http://127.0.0.1:9", "127.0.0.1:0")?;
    fill(folder.path(), i64::try_from(n / REAL as u64)?).await?;
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

async fn fill(path: &Path, times: i64) -> anyhow::Result<()> {
    let file = path.join("ledger.db");
    let ledger = SqlLedger::open(&format!("sqlite:{}", file.display()), "bench", Mode::Serve).await?;
    let told = history::history(3, SystemClock.now(), 12, 40).map_err(anyhow::Error::msg)?;
    let mut places = HashSet::new();
    let past: Vec<Past> = told
        .into_iter()
        .enumerate()
        .filter_map(made_up::closed)
        // Copies lie whole hours apart: no two may meet.
        .filter(|p| places.insert(p.received_at.0.rem_euclid(3_600_000)))
        .take(REAL)
        .collect();
    anyhow::ensure!(past.len() == REAL, "too little history");
    for part in past.chunks(100) {
        ledger.load_history(part.to_vec()).await?;
    }
    ledger.close().await;
    let mut connection = SqliteConnectOptions::new()
        .filename(&file)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Off)
        .pragma("cache_size", "-400000")
        .connect()
        .await?;
    sqlx::raw_sql(
        "CREATE TEMP TABLE opened AS SELECT id FROM assignment WHERE (id / 1024) % 10 = 0;
         UPDATE assignment SET state = 'open', closed_at = NULL, reported_at = NULL, outcome = NULL WHERE id IN (SELECT id FROM opened);
         DELETE FROM journal WHERE event IN ('closed', 'reported') AND assignment_id IN (SELECT id FROM opened);
         UPDATE assignment SET chain_seq = (SELECT MAX(seq) FROM journal WHERE assignment_id = assignment.id);",
    )
    .execute(&mut connection)
    .await?;
    let instants = &[
        "received_at",
        "lane_at",
        "filed_at",
        "approved_at",
        "requested_at",
        "eligible_at",
        "due_at",
        "closed_at",
        "reported_at",
        "first_work_at",
    ];
    let tables: [Copied; 2] = [
        ("assignment", &["id", "document_id"], instants, &["natural_key", "external_id", "lane", "beneficiary"]),
        ("journal", &["assignment_id"], &["happened_at", "seen_at"], &[]),
    ];
    let mut tx = connection.begin().await?;
    for table in tables {
        copy_table(&mut tx, table, times, 0).await?;
    }
    tx.commit().await?;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
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
async fn intake(effort: Effort) -> anyhow::Result<()> {
    // Long enough that the first step, which nothing rests before, does not decide.
    let events = effort.events * 2;
    println!("  intake with and without figures, {events} events a round");
    let (mut with, mut without, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ALTERNATIONS {
        without.push(round(events, None).await?);
        let mut share = 0.0;
        with.push(round(events, Some(&mut share)).await?);
        shares.push(share);
    }
    report::rates("without figures", &without);
    report::rates("with figures", &with);
    report::verdict("intake with figures / without", report::paired(&with, &without), true, 0.9);
    // A step's time on the clock is at least its processor time; the process holds the load generator, too.
    report::verdict("time in steps of the figures / processor time of the process", report::median(&shares), false, 0.05);
    Ok(())
}

/// Processor time of this process so far, seconds.
fn processor_s() -> f64 {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(t.tv_sec.unsigned_abs(), u32::try_from(t.tv_nsec).unwrap_or(0)).as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "a count of events")]
async fn round(count: usize, figures: Option<&mut f64>) -> anyhow::Result<f64> {
    let bed = Bed::start("http://127.0.0.1:9", false, false).await?;
    let requests = Arc::new(events::requests(count)?);
    let stop = CancellationToken::new();
    let counting = figures.is_some().then(|| {
        let (ledger, setup, clock) =
            (Arc::clone(&bed.bridge.ledger), Arc::clone(&bed.bridge.setup), Arc::clone(&bed.bridge.clock));
        let stop = stop.clone();
        tokio::spawn(async move {
            let (mut pace, mut busy) = (Pace::default(), Duration::ZERO);
            while !stop.is_cancelled() {
                let begun = Instant::now();
                let rest = pace.round(&ledger, &setup, &clock).await?;
                busy += begun.elapsed();
                tokio::select! { () = stop.cancelled() => {}, () = tokio::time::sleep(rest) => {} }
            }
            anyhow::Ok(busy)
        })
    });
    let before = processor_s();
    let took = wire::drive(bed.served.address, requests, 64).await?;
    let used = processor_s() - before;
    stop.cancel();
    if let (Some(counting), Some(share)) = (counting, figures) {
        *share = counting.await??.as_secs_f64() / used;
    }
    bed.end().await;
    Ok(count as f64 / took.as_secs_f64())
}
