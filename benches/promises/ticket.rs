//! Webhook to ticket with crash-safety on, against the same POST between two group-committed rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::Bytes;

use crate::bed::{Bed, folder};
use crate::floor::{Inserts, Store};
use crate::loopback_desk::LoopbackDesk;
use crate::{Effort, events, floor, report, wire};

/// Calls at the same time.
const IN_FLIGHT: usize = 64;

/// Measures and prints.
pub async fn run(effort: Effort) -> anyhow::Result<()> {
    let count = effort.events / 2;
    println!("\n# Webhook to ticket, {IN_FLIGHT} in flight, {count} orders a round");
    let (mut floors, mut sets, mut whole, mut backlog) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..effort.rounds {
        floors.push(of_floor(Inserts::Each, count).await?);
        whole.push(of_product(true, count).await?);
        sets.push(of_floor(Inserts::Set, count).await?);
        backlog.push(of_product(false, count).await?);
    }
    report::rates("floor: row, POST, row, a statement each", &floors);
    report::rates("floor: row, POST, row, set-based", &sets);
    report::rates("product: webhook … ticket settled", &whole);
    report::rates("product: accepted orders … ticket settled", &backlog);
    let floor = report::median(&floors);
    report::verdict("webhook to ticket / floor", report::median(&whole) / floor, true, 0.30);
    println!("     webhook to ticket / floor, of neighbouring rounds: {:.2}", report::paired(&whole, &floors));
    println!("     webhook to ticket / set-based floor: {:.2}", report::median(&whole) / report::median(&sets));
    println!("     accepted order to ticket / floor: {:.2}", report::median(&backlog) / floor);
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a count of orders")]
fn rate(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64()
}

async fn of_floor(inserts: Inserts, count: usize) -> anyhow::Result<f64> {
    let (folder, desk) = (folder()?, LoopbackDesk::start().await?);
    let store = Store::open(&folder.path().join("floor.db"), inserts).await?;
    let (client, call, next) = (floor::client(IN_FLIGHT)?, desk.create_call(), Arc::new(AtomicUsize::new(0)));
    let body = Bytes::from("x".repeat(300));
    let started = Instant::now();
    let tasks: Vec<_> = (0..IN_FLIGHT)
        .map(|_| {
            let (store, client, call, next, body) =
                (store.clone(), client.clone(), call.clone(), Arc::clone(&next), body.clone());
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return Ok::<(), anyhow::Error>(());
                    }
                    store.write(format!("{n}/attempt"), body.clone()).await?;
                    let answer = client.send(call.clone()).await?;
                    anyhow::ensure!(answer.json().is_some(), "the desk did not answer in JSON");
                    store.write(format!("{n}/settled"), body.clone()).await?;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    Ok(rate(count, started.elapsed()))
}

/// `whole`: from the first webhook; else from a ledger that holds accepted orders.
async fn of_product(whole: bool, count: usize) -> anyhow::Result<f64> {
    let desk = LoopbackDesk::start().await?;
    let bed = Bed::start(&desk.url(), false, whole).await?;
    let requests = Arc::new(events::requests(count)?);
    let mut started = Instant::now();
    wire::drive(bed.served.address, requests, IN_FLIGHT).await?;
    if !whole {
        started = Instant::now();
        bed.bridge.runtime.start();
    }
    desk.wait_for(count).await?;
    while bed.bridge.ledger.open_tickets("jira").await? < i64::try_from(count)? {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = started.elapsed();
    anyhow::ensure!(desk.take_calls().get("create").copied().unwrap_or(0) == count as u64, "one create each");
    bed.end().await;
    Ok(rate(count, took))
}
