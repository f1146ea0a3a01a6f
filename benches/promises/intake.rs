//! Durable intake: signed webhooks through the real hook route against a raw row behind the same server.

use std::sync::Arc;

use crate::bed::{Bed, folder};
use crate::floor::{self, Inserts, Store};
use crate::{Effort, events, report, wire};

/// Webhooks at the same time.
const CONNECTIONS: usize = 64;

/// Measures and prints.
pub async fn run(effort: Effort) -> anyhow::Result<()> {
    println!("\n# Durable intake, {CONNECTIONS} connections, {} events a round", effort.events);
    let (mut each, mut set, mut product, mut singly) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        each.push(of_floor(Inserts::Each, effort.events).await?);
        product.push(of_product(false, effort.events).await?);
        set.push(of_floor(Inserts::Set, effort.events).await?);
        singly.push(of_product(true, effort.events / 4).await?);
    }
    report::rates("floor: raw row, a statement each", &each);
    report::rates("floor: raw row, one statement for all", &set);
    report::rates("product", &product);
    report::rates("product, one commit per event", &singly);
    let middle = report::median(&product);
    report::verdict("intake / floor", middle / report::median(&each), true, 0.45);
    println!("     intake / floor, of neighbouring rounds: {:.2}", report::paired(&product, &each));
    println!("     intake / set-based floor: {:.2}", middle / report::median(&set));
    report::verdict("intake / one commit per event", middle / report::median(&singly), true, 3.0);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a count of events")]
fn rate(events: usize, took: std::time::Duration) -> f64 {
    events as f64 / took.as_secs_f64()
}

async fn of_floor(inserts: Inserts, count: usize) -> anyhow::Result<f64> {
    let folder = folder()?;
    let served = floor::serve(Store::open(&folder.path().join("floor.db"), inserts).await?).await?;
    let requests = Arc::new(events::requests(count)?);
    Ok(rate(count, wire::drive(served.address, requests, CONNECTIONS).await?))
}

async fn of_product(singly: bool, count: usize) -> anyhow::Result<f64> {
    let bed = Bed::start("http://127.0.0.1:9", singly, false).await?;
    let requests = Arc::new(events::requests(count)?);
    let took = wire::drive(bed.served.address, requests, CONNECTIONS).await?;
    bed.end().await;
    Ok(rate(count, took))
}
