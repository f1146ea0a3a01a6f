//! Weeks of finished work, so that the pages have something to show. Loaded beside the running demo, whose orders do not
//! wait for it; a demo that was killed meanwhile goes on where it stopped.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::bridge::Bridge;
use crate::cli::say_aside;
use crate::flow::Setup;
use crate::ledger::{Ledger, Past};
use crate::model::{Clock, Outcome, Timestamp};
use crate::plan::{Moment, Planned};
use crate::sandbox::history;

/// Weeks of history and orders a working day.
const WEEKS_AND_ORDERS: (u32, u32) = (8, 40);
/// Orders a transaction: small, so that live orders need not wait for it.
const PART: usize = 20;
/// Remembers when the past ends, and that it is loaded.
const CURSOR: &str = "demo/history";
const LOADED: &str = "loaded";
/// Pause between two looks whether it is counted.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Loads it in the background, once; tells when it was loaded, unless it is there already.
pub(super) fn load(bridge: &Bridge, seed: u64) -> JoinHandle<Option<Timestamp>> {
    let (ledger, setup, clock) = (Arc::clone(&bridge.ledger), bridge.setup.load_full(), Arc::clone(&bridge.clock));
    tokio::spawn(async move {
        load_all(&*ledger, &setup, &*clock, seed).await.unwrap_or_else(|error| {
            tracing::warn!(error = %error, "the made-up past could not be loaded; the demo goes on without it");
            None
        })
    })
}

/// Until the figures tell of everything that was known then.
pub(super) async fn counted(ledger: &dyn Ledger, then: Timestamp) {
    while ledger.rolled().await.is_ok_and(|rolled| rolled.until < then) {
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn load_all(ledger: &dyn Ledger, setup: &Setup, clock: &dyn Clock, seed: u64) -> anyhow::Result<Option<Timestamp>> {
    let now = clock.now();
    let known = ledger.cursor(CURSOR).await?;
    let until = match known.as_deref() {
        Some(LOADED) => return Ok(None),
        Some(text) => text.parse().map_or(now, Timestamp),
        None => now,
    };
    let mark = until.0.to_string();
    if known.is_none() {
        ledger.move_cursor(CURSOR, None, &mark, now).await?;
    }
    let (weeks, orders) = WEEKS_AND_ORDERS;
    say_aside(&format!("Making up {weeks} weeks of finished work, so that the pages have something to show …\n\n"));
    let told =
        tokio::task::spawn_blocking(move || history::history(seed, until, weeks, orders)).await?.map_err(anyhow::Error::msg)?;
    let finished: Vec<Past> = told.into_iter().enumerate().filter_map(|(n, past)| finished(n, past, setup)).collect();
    // What is known already is skipped.
    for part in finished.chunks(PART) {
        ledger.load_history(part.to_vec()).await?;
    }
    let now = clock.now();
    ledger.move_cursor(CURSOR, Some(&mark), LOADED, now).await?;
    Ok(Some(now))
}

/// As the running bridge would have filed it: same group, same lead time.
fn finished(n: usize, past: history::Past, setup: &Setup) -> Option<Past> {
    let moment = Moment { now: past.filed, received_at: past.approved, lane_ticket: None, cycle: 1, leaver: false };
    let (eligible_at, desk, admin_group) = match setup.planner.decide(&past.assignment, &moment) {
        Planned::File { eligible_at, ticket } => (eligible_at, ticket.desk, ticket.admin_group),
        Planned::Wait { eligible_at, .. } | Planned::Park { eligible_at, .. } => (eligible_at, past.desk.to_owned(), past.group),
    };
    Some(Past {
        received_at: past.approved,
        eligible_at: eligible_at.min(past.filed),
        filed_at: past.filed,
        first_work_at: past.first_work,
        closed_at: past.closed?,
        reported_at: past.reported?,
        outcome: past.outcome.unwrap_or(Outcome::Fulfilled),
        desk,
        admin_group,
        number: format!("OLD-{}", n + 1),
        closed_by: past.closed_by,
        proven_at: past.proven,
        assignment: past.assignment,
    })
}
