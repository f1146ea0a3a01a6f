//! A transaction held open beside a stream of orders: dead rows stay, and claims must not become slow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lastmile::ledger::{Ledger, Mode, SqlLedger};
use sqlx::{Connection as _, Executor as _};
use tokio::sync::Mutex;

use super::orders;
use super::server::Server;
use crate::report;

/// Orders offered in a second.
const OFFERED: usize = 300;
/// How long before the transaction begins.
const BEFORE: Duration = Duration::from_secs(20);

/// Measures and prints: `held` is how long the transaction stays open.
pub async fn run(server: &Server, held: Duration) -> anyhow::Result<()> {
    println!("\n# PostgreSQL: {OFFERED} orders/s beside a transaction held open for {} s", held.as_secs());
    server.copy("template1", "held").await?;
    let ledger = Arc::new(SqlLedger::open(server.url("held").as_str(), "bench", Mode::Serve).await?);
    let (stop, filed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let claims: Arc<Mutex<Vec<f64>>> = Arc::default();
    let mut tasks = Vec::new();
    for owner in 0..2 {
        let (ledger, filed, claims, stop) = (Arc::clone(&ledger), Arc::clone(&filed), Arc::clone(&claims), Arc::clone(&stop));
        tasks.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let leased = orders::lease(&ledger, owner, 32).await?;
                if leased.is_empty() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    continue;
                }
                claims.lock().await.push(asked.elapsed().as_secs_f64() * 1000.0);
                filed.fetch_add(orders::settle(&ledger, &leased).await?, Ordering::Relaxed);
            }
            Ok::<(), anyhow::Error>(())
        }));
    }
    let (planning, planned_out) = (Arc::clone(&ledger), Arc::clone(&stop));
    tasks.push(tokio::spawn(async move {
        while !planned_out.load(Ordering::Relaxed) {
            if orders::plan(&planning).await? == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }));
    let mut offered = offer(&ledger, 0, BEFORE).await?;
    let before = std::mem::take(&mut *claims.lock().await);
    let mut holder = server.connect("held").await?;
    holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
    holder.execute("SELECT txid_current(), (SELECT COUNT(*) FROM errand)").await?;
    offered += offer(&ledger, offered, held).await?;
    let beside = std::mem::take(&mut *claims.lock().await);
    holder.execute("COMMIT").await?;
    holder.close().await?;
    let waited = Instant::now();
    while filed.load(Ordering::Relaxed) < offered && waited.elapsed() < Duration::from_secs(60) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await??;
    }
    ledger.close().await;
    println!(
        "  {} of {offered} filed, the last {:.1} s after the end",
        filed.load(Ordering::Relaxed),
        waited.elapsed().as_secs_f64()
    );
    anyhow::ensure!(filed.load(Ordering::Relaxed) == offered, "not all were filed");
    anyhow::ensure!(!before.is_empty() && !beside.is_empty(), "nothing was claimed");
    for (what, values) in [("before", &before), ("beside it", &beside)] {
        let (p50, p99) = (report::median(values), report::percentile(values, 99.0));
        println!("  claim {what:<12} p50 {p50:.2} ms   p99 {p99:.2} ms   n={}", values.len());
    }
    let ratio = report::percentile(&beside, 99.0) / report::percentile(&before, 99.0);
    report::verdict("claim p99 beside it / before", ratio, false, 3.0);
    Ok(())
}

/// Offers orders at an even pace for so long; how many.
async fn offer(ledger: &SqlLedger, from: usize, span: Duration) -> anyhow::Result<usize> {
    let (began, mut offered) = (Instant::now(), 0);
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    while began.elapsed() < span {
        tick.tick().await;
        orders::record(ledger, from + offered, OFFERED / 10).await?;
        offered += OFFERED / 10;
    }
    Ok(offered)
}
