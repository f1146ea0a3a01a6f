//! PostgreSQL as the ledger: claims against a bare loop, replicas, a transaction held open, a cold start, figures.

mod claims;
mod cold;
mod held;
pub mod orders;
mod replicas;
pub mod rows;
pub mod server;

use std::time::Duration;

use crate::engine::Engine;
use crate::{Effort, kpi};

/// Measures and prints.
pub async fn run(effort: Effort, chosen: &[&str]) -> anyhow::Result<()> {
    let server = server::Server::start()?;
    let parts: Vec<&str> = chosen.iter().filter_map(|c| c.strip_prefix("postgres/")).collect();
    let wanted = |part: &str| parts.is_empty() || parts.contains(&part);
    if wanted("claims") {
        claims::run(&server, effort).await?;
    }
    if wanted("replicas") {
        replicas::run(&server, effort).await?;
    }
    if wanted("held") {
        held::run(&server, Duration::from_secs(if effort.rounds < 7 { 60 } else { 600 })).await?;
    }
    if wanted("cold") {
        cold::run(&server, effort).await?;
    }
    if wanted("kpi") {
        kpi::run(effort, Engine::Postgres(&server)).await?;
    }
    Ok(())
}
