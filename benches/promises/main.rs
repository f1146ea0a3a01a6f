//! What performance is promised for: floor and product in one run, turn by turn, medians, and the ratio.
//!
//! `cargo bench` runs everything; `cargo bench -- intake ticket idle million kpi postgres` chooses; `postgres` has parts of its
//! own (`postgres/claims`), and `kpi-ten-millions` runs only where it is named. `--short` takes fewer and smaller rounds. It
//! prints PASS or FAIL per figure and never fails a run: the machine decides about figures.
#![expect(clippy::print_stdout, reason = "what it measures is printed")]

mod bed;
mod engine;
mod events;
mod floor;
mod idle;
mod intake;
mod kpi;
mod loopback_desk;
mod million;
mod postgres;
mod report;
mod ticket;
mod wire;

/// How long to measure.
#[derive(Debug, Clone, Copy)]
pub struct Effort {
    /// Rounds of floor and product, turn by turn.
    pub rounds: usize,
    /// Events of a round.
    pub events: usize,
    /// Assignments of the large ledger.
    pub open: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --all-targets` runs this too, and should not measure anything.
    if !arguments.iter().any(|a| a == "--bench") {
        return Ok(());
    }
    let effort = if arguments.iter().any(|a| a == "--short") {
        Effort { rounds: 3, events: 3_000, open: 100_000 }
    } else {
        Effort { rounds: 7, events: 12_000, open: 1_000_000 }
    };
    let chosen: Vec<&str> = arguments.iter().map(String::as_str).filter(|a| !a.starts_with("--")).collect();
    let wanted = |part: &str| chosen.is_empty() || chosen.contains(&part);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        println!("{} cores, profile of `cargo bench`", std::thread::available_parallelism().map_or(0, usize::from));
        if wanted("intake") {
            intake::run(effort).await?;
        }
        if wanted("ticket") {
            ticket::run(effort).await?;
        }
        if wanted("idle") {
            idle::run(effort).await?;
        }
        if wanted("million") {
            million::run(effort).await?;
        }
        if wanted("kpi") {
            kpi::run(effort, engine::Engine::Sqlite).await?;
        }
        // An hour, 40 GB: only where it is asked for by name.
        if chosen.contains(&"kpi-ten-millions") {
            kpi::ten_millions(effort).await?;
        }
        if wanted("postgres") || chosen.iter().any(|c| c.starts_with("postgres/")) {
            postgres::run(effort, &chosen).await?;
        }
        Ok(())
    })
}
