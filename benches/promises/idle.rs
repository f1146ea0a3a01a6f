//! Latency of an idle bridge: webhook in to create call out, against two commits and a POST.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::bed::{Bed, folder};
use crate::floor::{self, Inserts, Store};
use crate::loopback_desk::LoopbackDesk;
use crate::wire::Connection;
use crate::{Effort, events, report};

/// Measures and prints.
pub async fn run(effort: Effort) -> anyhow::Result<()> {
    let count = effort.events / 100;
    println!("\n# Idle: webhook in to create call out, {} rounds of {count}", effort.rounds);
    let (mut floor, mut product) = (Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        let (folder, desk) = (folder()?, Arc::new(LoopbackDesk::start().await?));
        let store = Store::open(&folder.path().join("floor.db"), Inserts::Each).await?;
        let call = {
            let desk = Arc::clone(&desk);
            Arc::new(move || desk.create_call())
        };
        let served = floor::serve_with_post(store, call).await?;
        floor.extend(measure(&desk, served.address, count).await?);
        drop(served);
        let desk = LoopbackDesk::start().await?;
        let bed = Bed::start(&desk.url(), false, true).await?;
        product.extend(measure(&desk, bed.served.address, count).await?);
        bed.end().await;
    }
    for (what, values) in [("floor: commit, commit, POST", &floor), ("product", &product)] {
        let (p50, p99) = (report::median(values), report::percentile(values, 99.0));
        println!("  {what:<44} p50 {p50:.2} ms   p99 {p99:.2} ms   n={}", values.len());
    }
    let ratio = |percent| report::percentile(&product, percent) / report::percentile(&floor, percent);
    report::verdict("idle p50 / floor", ratio(50.0), false, 2.0);
    report::verdict("idle p99 / floor", ratio(99.0), false, 5.0);
    Ok(())
}

/// One at a time, with a pause between; the first few only warm up.
async fn measure(desk: &LoopbackDesk, address: std::net::SocketAddr, count: usize) -> anyhow::Result<Vec<f64>> {
    const WARM_UP: usize = 10;
    let mut connection = Connection::open(address).await?;
    let mut took = Vec::with_capacity(count);
    for (n, request) in events::requests(count + WARM_UP)?.iter().enumerate() {
        tokio::time::sleep(Duration::from_millis(15)).await;
        let sent = Instant::now();
        connection.call(request).await?;
        desk.wait_for(n + 1).await?;
        if let Some(arrived) = desk.last_create().filter(|_| n >= WARM_UP) {
            took.push(arrived.duration_since(sent).as_secs_f64() * 1000.0);
        }
    }
    Ok(took)
}
