//! One replica and three, 16 calls in flight each, on a desk that takes its time.

use std::time::{Duration, Instant};

use anyhow::Context;
use lastmile::ledger::{Ledger, Mode, SqlLedger};
use tempfile::TempDir;

use super::orders;
use super::server::Server;
use crate::bed::{configure_on, folder};
use crate::loopback_desk::LoopbackDesk;
use crate::million::{Process, serve, until_ready};
use crate::{Effort, report};

const LATENCY: Duration = Duration::from_millis(50);
const IN_FLIGHT: usize = 16;

/// Measures and prints.
pub async fn run(server: &Server, effort: Effort) -> anyhow::Result<()> {
    let count = effort.events / 5;
    println!("\n# PostgreSQL: replicas, {IN_FLIGHT} in flight each, {} ms a call, {count} orders a replica", LATENCY.as_millis());
    let rounds = effort.rounds.min(3);
    let (mut one, mut three) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        one.push(with(server, 1, count).await?);
        three.push(with(server, 3, 3 * count).await?);
    }
    report::rates("one replica", &one);
    report::rates("three replicas", &three);
    #[expect(clippy::cast_precision_loss, reason = "a count")]
    let most = IN_FLIGHT as f64 / LATENCY.as_secs_f64();
    println!("  latency alone allows {most:.0}/s a replica");
    report::verdict("three replicas / one", report::median(&three) / report::median(&one), true, 2.5);
    Ok(())
}

/// Two beats of a replica to be heard of, one more until all have their shares.
const ALL_JOINED: Duration = Duration::from_secs(7);

/// Tickets per second, from the first quarter of the orders to the last.
async fn with(server: &Server, replicas: usize, count: usize) -> anyhow::Result<f64> {
    server.copy("template1", "replicas").await?;
    let url = server.url("replicas");
    let ledger = SqlLedger::open(url.as_str(), "bench", Mode::Serve).await?;
    let desk = LoopbackDesk::start_slow(LATENCY).await?;
    let mut running: Vec<(TempDir, Process)> = Vec::new();
    for _ in 0..replicas {
        let files = folder()?;
        let listen = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        // The desk's limit is for all of them together.
        configure_on(files.path(), &desk.url(), &listen.to_string(), &url, IN_FLIGHT * replicas)?;
        let process = serve(files.path())?;
        if replicas == 1 {
            until_ready(listen, Instant::now()).await?;
        }
        running.push((files, process));
    }
    // A newcomer waits until it was heard of, and a share of the calls until the others hear of it.
    tokio::time::sleep(if replicas == 1 { Duration::ZERO } else { ALL_JOINED }).await;
    orders::record(&ledger, 0, count).await?;
    ledger.close().await;
    let first = count / 4;
    desk.wait_for(first).await?;
    let (began, cpu) = (Instant::now(), busy()?);
    desk.wait_for(count - count / 20).await?;
    let took = began.elapsed().as_secs_f64();
    let (worked, passed) = (busy()?.0 - cpu.0, busy()?.1 - cpu.1);
    desk.wait_for(count).await?;
    let created = desk.take_calls().get("create").copied().unwrap_or(0);
    anyhow::ensure!(created == count as u64, "{created} creates of {count} orders");
    #[expect(clippy::cast_precision_loss, reason = "counts")]
    let rate = (count - count / 20 - first) as f64 / took;
    println!("  {replicas} replicas: {rate:.0}/s, processors {:.0} % busy", 100.0 * worked / passed);
    Ok(rate)
}

/// Time of all processors so far: at work, and altogether.
fn busy() -> anyhow::Result<(f64, f64)> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("no cpu line")?;
    let times: Vec<f64> = line.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    let (all, idle) = (times.iter().sum::<f64>(), times.iter().skip(3).take(2).sum::<f64>());
    Ok((all - idle, all))
}
