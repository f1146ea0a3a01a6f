//! A start on very many open assignments: how long until the first create call.

use std::time::{Duration, Instant};

use anyhow::Context;
use lastmile::ledger::{Ledger, Mode, SqlLedger};
use lastmile::model::{Clock, clock::SystemClock};
use sqlx::{Connection as _, PgConnection};

use super::server::Server;
use super::{orders, rows};
use crate::bed::{configure_on, folder};
use crate::loopback_desk::LoopbackDesk;
use crate::million::{TABLES, serve};
use crate::{Effort, report};

/// Orders that go the real way; all others are copies of their rows.
const REAL: usize = 1_000;
const HOUR_MS: i64 = 3_600_000;

/// Measures and prints.
pub async fn run(server: &Server, effort: Effort) -> anyhow::Result<()> {
    println!("\n# PostgreSQL: start on {} open assignments", effort.open);
    let made = Instant::now();
    server.copy("template1", "cold").await?;
    let url = server.url("cold");
    let ledger = SqlLedger::open(url.as_str(), "bench", Mode::Serve).await?;
    orders::record(&ledger, 0, REAL).await?;
    while orders::plan(&ledger).await? > 0 {}
    loop {
        let leased = orders::lease(&ledger, 0, 100).await?;
        if leased.is_empty() {
            break;
        }
        orders::settle(&ledger, &leased).await?;
    }
    ledger.close().await;
    let mut connection = server.connect("cold").await?;
    copy_rows(&mut connection, i64::try_from(effort.open / REAL as u64)?).await?;
    rows::at_rest(&mut connection).await?;
    connection.close().await?;
    let ledger = SqlLedger::open(url.as_str(), "bench", Mode::Serve).await?;
    let open = ledger.open_tickets("jira").await?;
    anyhow::ensure!(u64::try_from(open)? == effort.open, "{open} open tickets");
    println!("  ledger made in {:.0} s", made.elapsed().as_secs_f64());
    let (desk, mut took) = (LoopbackDesk::start().await?, Vec::new());
    for n in 0..effort.rounds {
        orders::record(&ledger, REAL + n, 1).await?;
        let files = folder()?;
        let listen = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        configure_on(files.path(), &desk.url(), &listen.to_string(), &url, 64)?;
        let began = Instant::now();
        let process = serve(files.path())?;
        tokio::time::timeout(Duration::from_secs(120), desk.wait_for(n + 1)).await.context("no create call")??;
        took.push(desk.last_create().context("no create call")?.duration_since(began).as_secs_f64());
        // Its ticket is settled meanwhile; and a killed one is believed to be there for ten seconds, and waited for.
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(process);
        tokio::time::sleep(Duration::from_secs(11)).await;
    }
    ledger.close().await;
    println!("  each: {took:.2?}");
    report::verdict("seconds from start to first create call, PostgreSQL", report::median(&took), false, 3.0);
    Ok(())
}

/// `times - 1` copies of every row, an hour earlier each time.
async fn copy_rows(connection: &mut PgConnection, times: i64) -> anyhow::Result<()> {
    let day_ago = SystemClock.now().plus_ms(-24 * HOUR_MS).0;
    for table in TABLES {
        rows::copy_table(connection, table, times, day_ago).await?;
    }
    sqlx::query("UPDATE ticket SET checked_at = $1 WHERE checked_at <> $1").bind(day_ago).execute(connection).await?;
    Ok(())
}
