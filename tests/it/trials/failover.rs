//! PostgreSQL goes wrong under the running program: its connections are cut, it is restarted at once, and its standby takes
//! its place after a `kill -9`. Platform and desks live in this process; the oracle is theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::kills::{Came, all_reported, busy, oracle, with_quiet};
use crate::program::{Site, until_within};
use crate::real::pair::Pair;
use crate::real::skipped;

/// What happens to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Blow {
    Cut,
    Restart,
    /// The primary dies; after so long its standby is the primary.
    Failover(Duration),
}

/// The program under load while the server gets its blows, `apart` from each other; then all has to end well.
async fn carry_out(pair: &mut Pair, blows: &[Blow], apart: Duration, pace: Duration) -> Came {
    let site = Site::new().await;
    with_quiet(&site, ["2s", "500ms", "500ms"]);
    site.keeps_in(&pair.url());
    let mut running = site.serve().await;
    let stop = Arc::new(AtomicBool::new(false));
    let load = busy(&site, pace, &stop);
    for blow in blows {
        tokio::time::sleep(apart).await;
        match blow {
            Blow::Cut => pair.cut().await,
            Blow::Restart => pair.tell("restart"),
            Blow::Failover(away) => {
                pair.tell("die");
                tokio::time::sleep(*away).await;
                pair.tell("promote");
            }
        }
    }
    // It goes on: what is ordered from here on is filed, too.
    let before = site.platform.state().counts().completed;
    until_within(Duration::from_secs(60), "orders are carried out again", async || {
        (site.platform.state().counts().completed > before + 3).then_some(())
    })
    .await;
    stop.store(true, Ordering::SeqCst);
    let lost_primary = blows.iter().any(|b| matches!(b, Blow::Failover(_)));
    let ledger = pair.at(if lost_primary { 'b' } else { 'a' });
    all_reported(&site, &ledger, PATIENCE).await;
    load.abort();
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.wait(), Some(0), "{}", running.said());
    let mut came = Came::default();
    oracle(&site, &ledger, &mut came).await;
    came
}

fn server() -> Option<Pair> {
    Pair::start().map_err(|why| skipped(&why)).ok()
}

/// A busy machine carries out a few orders a second.
const PATIENCE: Duration = Duration::from_secs(300);
const PACE: Duration = Duration::from_millis(60);
const APART: Duration = Duration::from_millis(1_300);

#[tokio::test(flavor = "multi_thread")]
async fn a_server_restarted_and_cut_off_under_load_loses_and_doubles_nothing() {
    let Some(mut pair) = server() else { return };
    let came = carry_out(&mut pair, &[Blow::Cut, Blow::Restart, Blow::Cut, Blow::Restart], APART, PACE).await;
    eprintln!("{came:?}");
    assert!(came.orders > 10, "{came:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_takes_the_place_of_a_killed_primary_and_nothing_is_lost_or_doubled() {
    let Some(mut pair) = server() else { return };
    pair.tell("standby");
    let came = carry_out(&mut pair, &[Blow::Cut, Blow::Failover(Duration::from_millis(700))], APART, PACE).await;
    eprintln!("{came:?}");
    assert!(came.orders > 10, "{came:?}");
}

/// Many of each; prints the lines of docs/guarantees.md.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes long: cargo test --test it trials::failover -- --ignored --nocapture"]
async fn many_blows_lose_and_double_nothing() {
    let (mut all, began) = (Came::default(), Instant::now());
    for n in 0..50_u32 {
        let Some(mut pair) = server() else { return };
        pair.tell("standby");
        let away = Duration::from_millis(u64::from(n % 10) * 300);
        let blows = [Blow::Cut, Blow::Restart, Blow::Cut, Blow::Failover(away)];
        let came = carry_out(&mut pair, &blows, Duration::from_millis(700), PACE).await;
        all.add(&came);
        let (once, seconds) = (n + 1, began.elapsed().as_secs());
        eprintln!("{once} failovers, {once} restarts, {} cuts in {seconds} s: {all:?}", 2 * once);
    }
}
