//! A ledger with very many open assignments under the real binary: memory, time to readiness, calls to the desk.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use lastmile::ledger::{Ledger, Mode, SqlLedger};
use lastmile::model::Clock;
use lastmile::model::clock::SystemClock;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::bed::{Bed, configure, folder};
use crate::loopback_desk::LoopbackDesk;
use crate::postgres::orders;
use crate::{Effort, events, report, wire};

/// Orders that go the real way; all others are copies of their rows.
const REAL: usize = 1_000;
/// How long each phase is watched.
const WATCHED: Duration = Duration::from_secs(30);

/// The process, ended when dropped.
pub struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Measures and prints.
pub async fn run(effort: Effort) -> anyhow::Result<()> {
    println!("\n# {} open assignments under `lastmile serve`", effort.open);
    let desk = LoopbackDesk::start().await?;
    let files = folder()?;
    let made = Instant::now();
    fill(&desk, files.path(), effort.open).await?;
    println!(
        "  ledger made in {:.0} s, {} MiB",
        made.elapsed().as_secs_f64(),
        std::fs::metadata(files.path().join("ledger.db"))?.len() >> 20
    );
    let listen = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    configure(files.path(), &desk.url(), &listen.to_string())?;
    let url = format!("sqlite:{}", files.path().join("ledger.db").display());
    let ledger = SqlLedger::open(url.as_str(), "bench", Mode::Serve).await?;
    ledger.record(vec![orders::receipt(900_000_000)]).await?;
    ledger.close().await;
    desk.take_calls();
    let started = Instant::now();
    let process = serve(files.path())?;
    until_ready(listen, started).await?;
    report::verdict("seconds from start to ready", started.elapsed().as_secs_f64(), false, 2.0);
    desk.wait_for(REAL + 1).await?;
    let first = desk.last_create().context("no create call")?.duration_since(started);
    report::verdict("seconds from start to first create call, SQLite", first.as_secs_f64(), false, 3.0);
    tokio::time::sleep(WATCHED).await;
    let quiet = desk.take_calls();
    println!("  desk calls in {} s without a change: {quiet:?}", WATCHED.as_secs());
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let paced = effort.open as f64 / 100.0 / 21_600.0 * WATCHED.as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let passed = quiet.get("bulk read").copied().unwrap_or(0) as f64;
    report::verdict("calls of the full pass over its even pace", passed / (paced + 1.0), false, 1.5);
    desk.touch((1..=100).map(|n| n.to_string()), false);
    tokio::time::sleep(WATCHED).await;
    println!("  … with 100 tickets touched: {:?}", desk.take_calls());
    desk.touch((101..=200).map(|n| n.to_string()), true);
    tokio::time::sleep(WATCHED).await;
    println!("  … with 100 tickets closed: {:?}", desk.take_calls());
    report::verdict("MiB resident after a minute and a half", resident(&process)?, false, 150.0);
    // The server hangs up on a connection that rests.
    let mut connection = wire::Connection::open(listen).await?;
    for page in ["/", "/assignments", "/operations", "/kpi"] {
        let asked = Instant::now();
        let status = connection.call(format!("GET {page} HTTP/1.1\r\nhost: {listen}\r\n\r\n").as_bytes()).await?;
        println!("  GET {page}: {status} in {:.0} ms", asked.elapsed().as_secs_f64() * 1000.0);
    }
    println!("  MiB resident after the pages: {:.0}", resident(&process)?);
    Ok(())
}

/// The program on the configuration in this folder.
pub fn serve(folder: &Path) -> anyhow::Result<Process> {
    let log = std::fs::File::create(folder.join("serve.log"))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_lastmile"));
    command.args(["--config".as_ref(), folder.as_os_str(), "serve".as_ref()]);
    Ok(Process(command.stdout(Stdio::null()).stderr(log).spawn()?))
}

/// Waits until it says that it is ready.
pub async fn until_ready(listen: std::net::SocketAddr, started: Instant) -> anyhow::Result<()> {
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {listen}\r\n\r\n");
    while started.elapsed() < Duration::from_secs(60) {
        if let Ok(mut connection) = wire::Connection::open(listen).await
            && connection.call(request.as_bytes()).await? == 200
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    anyhow::bail!("not ready within a minute")
}

/// Resident memory in MiB.
fn resident(process: &Process) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.0.id()))?;
    let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(kib.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

/// Real orders through the real way, then copies of all their rows, an hour earlier each time. The copies' hash chains
/// are those of their models: serving never reads them.
async fn fill(desk: &LoopbackDesk, into: &Path, open: u64) -> anyhow::Result<()> {
    let bed = Bed::start(&desk.url(), false, true).await?;
    wire::drive(bed.served.address, Arc::new(events::requests(REAL)?), 64).await?;
    desk.wait_for(REAL).await?;
    // Until every ticket is settled and its key was read back.
    let path = bed.folder.path().join("ledger.db");
    let reading = SqliteConnectOptions::new().filename(&path).read_only(true);
    let mut reader = reading.connect().await?;
    loop {
        let (left,): (i64,) =
            sqlx::query_as("SELECT COUNT(*) FROM ticket WHERE key_confirmed = 0").fetch_one(&mut reader).await?;
        if left == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    reader.close().await?;
    let kept = bed.folder.path().join("kept.db");
    bed.bridge.close().await;
    let mut connection = SqliteConnectOptions::new()
        .filename(&path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Off)
        .pragma("cache_size", "-400000")
        .pragma("temp_store", "memory")
        .connect()
        .await?;
    copy_rows(&mut connection, i64::try_from(open / REAL as u64)?).await?;
    sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut connection).await?;
    connection.close().await?;
    std::fs::rename(&path, &kept)?;
    std::fs::rename(&kept, into.join("ledger.db"))?;
    // It opens as it is.
    let ledger = SqlLedger::open(&format!("sqlite:{}", into.join("ledger.db").display()), "bench", Mode::Read).await?;
    let counted = ledger.open_tickets("jira").await?;
    anyhow::ensure!(u64::try_from(counted)? == open, "{counted} open tickets");
    ledger.close().await;
    Ok(())
}

/// A table: its name, columns that hold ids, instants, and texts that must stay unique.
pub type Copied = (&'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

/// What an open assignment consists of.
pub const TABLES: [Copied; 8] = [
    ("inbox", &["id", "assignment_id"], &["received_at"], &["event_id"]),
    (
        "assignment",
        &["id", "document_id", "ticket_id"],
        &["received_at", "lane_at", "filed_at", "approved_at", "requested_at", "eligible_at", "due_at"],
        &["natural_key", "external_id", "lane", "beneficiary"],
    ),
    ("journal", &["assignment_id"], &["happened_at", "seen_at"], &[]),
    ("ticket", &["id"], &["planned_at", "filed_at"], &["key", "ref_id", "ref_number"]),
    ("ticket_draft", &["id"], &[], &[]),
    ("ticket_item", &["ticket_id", "assignment_id"], &[], &[]),
    ("errand", &["id", "ticket_id", "assignment_id"], &["due_at", "made_at", "done_at"], &["mark"]),
    ("attempt", &["errand_id"], &["started_at", "deadline", "ended_at"], &[]),
];

/// `times - 1` copies of every row.
async fn copy_rows(connection: &mut SqliteConnection, times: i64) -> anyhow::Result<()> {
    const HOUR_MS: i64 = 3_600_000;
    let day_ago = SystemClock.now().plus_ms(-24 * HOUR_MS).0;
    let mut tx = connection.begin().await?;
    for table in TABLES {
        copy_table(&mut tx, table, times, day_ago).await?;
    }
    sqlx::query("UPDATE ticket SET checked_at = $1").bind(day_ago).execute(&mut *tx).await?;
    tx.commit().await?;
    Ok(())
}

/// `times - 1` copies of every row of one table, an hour earlier each time.
pub async fn copy_table(
    connection: &mut SqliteConnection,
    (table, ids, instants, unique): Copied,
    times: i64,
    day_ago: i64,
) -> anyhow::Result<()> {
    const HOUR_MS: i64 = 3_600_000;
    let names: Vec<(String,)> =
        sqlx::query_as("SELECT name FROM pragma_table_info($1)").bind(table).fetch_all(&mut *connection).await?;
    let columns: Vec<String> = names.into_iter().map(|(name,)| name).collect();
    let picked: Vec<String> = columns
        .iter()
        .map(|c| match c.as_str() {
            // 22 bits of an id differ within a millisecond.
            c if ids.contains(&c) => format!("{c} - n.k * {}", HOUR_MS << 22),
            c if instants.contains(&c) => format!("{c} - n.k * {HOUR_MS}"),
            // Of numbers, one beyond those of the desk's own tickets.
            "ref_id" => {
                format!("CASE WHEN ref_id GLOB '[0-9]*' THEN CAST(ref_id + n.k * {REAL} AS TEXT) ELSE ref_id || '-' || n.k END")
            }
            c if unique.contains(&c) => format!("{c} || '-' || n.k"),
            // Nobody looked at any of them for a day: the full pass has everything to do.
            "checked_at" => day_ago.to_string(),
            c => c.to_owned(),
        })
        .collect();
    let text = format!(
        "INSERT INTO {table} ({}) WITH RECURSIVE n (k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < {}) SELECT {} FROM n, (SELECT * FROM {table})",
        columns.join(", "),
        times - 1,
        picked.join(", "),
    );
    sqlx::query(sqlx::AssertSqlSafe(text)).execute(&mut *connection).await?;
    Ok(())
}
