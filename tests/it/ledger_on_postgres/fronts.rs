//! Where claims begin on PostgreSQL: not at what is dead and cannot be removed, and yet nothing that waits is passed by.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lastmile::ledger::{Ledger as _, Settlement, SqlLedger, Step};
use lastmile::model::assignment::Named;
use lastmile::model::{Person, Timestamp};
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use super::bed;
use crate::engines::Place;
use crate::ledger_bed::{NOW, asks, file, filed, takes};
use crate::orders;
use crate::program::until;
use crate::real::postgres::connect;

const EDGE: &str = "desk/desk";
const HOUR: i64 = 3_600_000;

/// Orders of lanes of their own.
async fn record(ledger: &SqlLedger, from: usize, count: usize, at: Timestamp) {
    let receipt = |n: usize| {
        let mut order = orders::order("idm", &format!("REQ-{n}"), at);
        order.beneficiary = Person { id: format!("p{n}"), name: None, email: None };
        order.entitlement = Some(Named { id: format!("role-{n}"), name: "Role".to_owned() });
        let mut receipt = takes(&format!("e{n}"), order);
        receipt.received_at = at;
        receipt
    };
    ledger.record((from..from + count).map(receipt).collect()).await.unwrap();
}

/// Plans all that wait, ranked as they came from this rank on; how many.
async fn plan(ledger: &SqlLedger, rank: usize, now: Timestamp) -> usize {
    let waiting = ledger.to_plan(now, 200).await.unwrap();
    let decisions = waiting.iter().enumerate().map(|(n, o)| file(o, i64::try_from(rank + n).unwrap())).collect();
    ledger.plan(decisions, now).await.unwrap()
}

/// Orders go the whole way: recorded, planned, claimed, settled.
async fn round(ledger: &SqlLedger, from: usize, count: usize, now: Timestamp) {
    record(ledger, from, count, now).await;
    assert_eq!(plan(ledger, from, now).await, count);
    let mut left = count;
    while left > 0 {
        let leased = ledger.lease(asks(EDGE, now)).await.unwrap();
        let ends = leased.iter().map(|l| Settlement { id: l.id, lease_no: l.lease_no, at: now, end: filed(&l.id.0.to_string()) });
        assert_eq!(ledger.settle(ends.collect()).await.unwrap(), vec![true; leased.len()]);
        left -= leased.len();
    }
    assert!(ledger.lease(asks(EDGE, now)).await.unwrap().is_empty());
}

/// Entries of each index and rows of each table that were visited so far. Connections tell when they end.
async fn visited(place: &Place) -> BTreeMap<String, i64> {
    let still = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'lastmile'";
    until("the ledger's connections have ended", async || (place.text(still).await == "0").then_some(())).await;
    let sql = "SELECT indexrelname, CAST(idx_tup_read AS BIGINT) FROM pg_stat_user_indexes
        UNION ALL SELECT relname, CAST(seq_tup_read AS BIGINT) FROM pg_stat_user_tables";
    let rows = connect(&place.url).await.fetch_all(sql).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

const DEAD: usize = 4_000;
const ROUNDS: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_dead_and_held_is_not_walked_over() {
    let Some(bed) = bed().await else { return };
    let mut holder = connect(&bed.place.url).await;
    holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT txid_current(), (SELECT COUNT(*) FROM errand)").await.unwrap();
    for n in 0..DEAD / 200 {
        round(&bed.ledger, n * 200, 200, NOW.plus_ms(-HOUR)).await;
    }
    bed.ledger.close().await;
    // Whatever the planner knows of the tables.
    for (n, known) in ["SELECT 1", "ANALYZE"].into_iter().enumerate() {
        bed.place.run(known).await;
        let before = visited(&bed.place).await;
        let began = Instant::now();
        let ledger = bed.place.open().await;
        for m in 0..ROUNDS {
            round(&ledger, DEAD + (n * ROUNDS + m) * 4, 4, NOW.plus_secs(10 * i64::try_from(n).unwrap())).await;
        }
        ledger.close().await;
        // A look each second walks over all, some queues of it.
        let looks = 2 + usize::try_from(began.elapsed().as_secs()).unwrap();
        let walked: BTreeMap<String, i64> =
            visited(&bed.place).await.into_iter().map(|(name, count)| (name.clone(), count - before[&name])).collect();
        let all = usize::try_from(walked.values().sum::<i64>()).unwrap();
        assert!(all < looks * DEAD * 4 + ROUNDS * 700, "{known}: {all} entries in {ROUNDS} rounds and {looks} looks: {walked:?}");
    }
    holder.execute("COMMIT").await.unwrap();
}

/// Asks again until something is there; a look comes soon.
async fn soon<T>(what: &str, mut ask: impl AsyncFnMut() -> Vec<T>) -> T {
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(20) {
        if let Some(found) = ask().await.pop() {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what}: nobody came to see it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_late_is_found_by_the_next_look() {
    let Some(bed) = bed().await else { return };
    let long_ago = NOW.plus_ms(-HOUR);
    record(&bed.ledger, 0, 1, long_ago).await;
    bed.place.run("UPDATE assignment SET parked_at = 1").await;
    assert_eq!(plan(&bed.ledger, 0, NOW).await, 0, "it is parked");
    assert!(bed.lease(EDGE, NOW).await.is_empty());
    // Written as by somebody who began an hour ago: behind the back of what is remembered.
    bed.place.run("UPDATE assignment SET parked_at = NULL").await;
    let order = soon("an order", async || bed.ledger.to_plan(NOW, 10).await.unwrap()).await;
    bed.ledger.plan(vec![file(&order, 1)], long_ago).await.unwrap();
    let leased = soon("an errand", async || bed.lease(EDGE, NOW).await).await;
    assert_eq!(leased.step, Step::Send);
    bed.place.run(&format!("UPDATE errand SET lease_until = {}", long_ago.0)).await;
    let abandoned = soon("a lease that ran out", async || bed.lease(EDGE, NOW).await).await;
    assert_eq!(abandoned.step, Step::Witness);
    bed.place.run(&format!("UPDATE errand SET due_at = {}", long_ago.0)).await;
    assert_eq!(soon("a witness", async || bed.lease(EDGE, NOW).await).await.id, leased.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_hides_nothing() {
    let Some(bed) = bed().await else { return };
    assert!(bed.lease(EDGE, NOW).await.is_empty());
    assert_eq!(plan(&bed.ledger, 0, NOW).await, 0);
    let now = NOW.plus_ms(-HOUR);
    record(&bed.ledger, 0, 1, now).await;
    assert_eq!(plan(&bed.ledger, 0, now).await, 1);
    assert_eq!(bed.lease(EDGE, now).await.len(), 1, "at once");
}

/// More than a process remembers of one queue.
const MANY: usize = 2_300;

#[tokio::test(flavor = "multi_thread")]
async fn a_long_queue_is_claimed_by_rank_by_all_and_to_its_end() {
    let Some(bed) = bed().await else { return };
    let replicas = [&bed.ledger, &bed.place.open().await, &bed.place.open().await];
    for replica in &replicas[..2] {
        assert!(replica.lease(asks(EDGE, NOW)).await.unwrap().is_empty());
    }
    let mut planned = 0;
    record(&bed.ledger, 0, MANY, NOW).await;
    while planned < MANY {
        planned += plan(replicas[planned % 3], planned + 1, NOW).await;
    }
    let ranks = async |n: usize| {
        let leased = replicas[n % 3].lease(asks(EDGE, NOW)).await.unwrap();
        let ids: Vec<String> = leased.iter().map(|l| l.id.0.to_string()).collect();
        let sql = format!("SELECT rank FROM errand WHERE id IN ({}) ORDER BY rank", ids.join(", "));
        let rows =
            if ids.is_empty() { Vec::new() } else { connect(&bed.place.url).await.fetch_all(AssertSqlSafe(sql)).await.unwrap() };
        rows.iter().map(|row| row.get::<i64, _>(0)).collect::<Vec<_>>()
    };
    let mut expected = 1;
    for n in 0.. {
        if n == 10 {
            // More urgent than all, and planned by another.
            record(replicas[1], MANY, 1, NOW).await;
            let order = replicas[1].to_plan(NOW, 10).await.unwrap().remove(0);
            replicas[1].plan(vec![file(&order, -7)], NOW).await.unwrap();
            let first = ranks(n).await;
            assert_eq!(first[0], -7, "it goes first");
            assert_eq!(first[1..], (expected..expected + 49).collect::<Vec<_>>());
            expected += 49;
            continue;
        }
        let claimed = ranks(n).await;
        if claimed.is_empty() {
            break;
        }
        assert_eq!(claimed, (expected..expected + i64::try_from(claimed.len()).unwrap()).collect::<Vec<_>>(), "round {n}");
        expected += i64::try_from(claimed.len()).unwrap();
    }
    assert_eq!(expected, i64::try_from(MANY).unwrap() + 1, "none is left");
    for replica in &replicas[1..] {
        replica.close().await;
    }
}
