//! Where claims begin on PostgreSQL: not at what is dead and cannot be removed, and yet nothing that waits is passed by.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lastmile::ledger::{
    Acted, Action, End, LeaseRequest, Leased, Ledger as _, PlanAction, Receipt, ReceiptContent, Settlement, SqlLedger, Step,
    ToPlan,
};
use lastmile::model::assignment::Named;
use lastmile::model::{Operation, Outcome, Person, Timestamp};
use sqlx::{AssertSqlSafe, Executor as _, Row as _};

use super::bed;
use super::contract::{closed, order};
use crate::engines::Place;
use crate::ledger_bed::{self, NOW, asks, file, filed, key_of, takes};
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
        // A look at the whole walks over all of a queue: at the beginning, and each half minute.
        let looks = 1 + usize::try_from(began.elapsed().as_secs() / 30).unwrap();
        let walked: BTreeMap<String, i64> =
            visited(&bed.place).await.into_iter().map(|(name, count)| (name.clone(), count - before[&name])).collect();
        let all = usize::try_from(walked.values().sum::<i64>()).unwrap();
        assert!(
            all < looks * DEAD * 5 + ROUNDS * 700,
            "{known}: {all} entries in {ROUNDS} rounds, {looks} times the whole: {walked:?}"
        );
    }
    holder.execute("COMMIT").await.unwrap();
}

/// Asks again until something is there; a look on comes soon.
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

/// What another writes as if it had begun some time ago lies behind what is remembered.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_writes_late_is_found_by_the_next_look() {
    let Some(bed) = bed().await else { return };
    let some_time_ago = NOW.plus_secs(-7);
    record(&bed.ledger, 0, 1, some_time_ago).await;
    bed.place.run("UPDATE assignment SET parked_at = 1").await;
    let ledger = bed.place.open().await;
    assert_eq!(plan(&ledger, 0, NOW).await, 0, "it is parked");
    assert!(ledger.lease(asks(EDGE, NOW)).await.unwrap().is_empty());
    bed.place.run("UPDATE assignment SET parked_at = NULL").await;
    let order = soon("an order", async || ledger.to_plan(NOW, 10).await.unwrap()).await;
    bed.ledger.plan(vec![file(&order, 1)], some_time_ago).await.unwrap();
    let leased = soon("an errand", async || ledger.lease(asks(EDGE, NOW)).await.unwrap()).await;
    assert_eq!(leased.step, Step::Send);
    bed.place.run(&format!("UPDATE errand SET lease_until = {}", some_time_ago.0)).await;
    let abandoned = soon("a lease that ran out", async || ledger.lease(asks(EDGE, NOW)).await.unwrap()).await;
    assert_eq!(abandoned.step, Step::Witness);
    bed.place.run(&format!("UPDATE errand SET due_at = {}", some_time_ago.0)).await;
    assert_eq!(soon("a witness", async || ledger.lease(asks(EDGE, NOW)).await.unwrap()).await.id, leased.id);
    ledger.close().await;
}

/// However late, a look at the whole queue finds it: here the one after a clock was set back.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_writes_much_later_is_found_by_a_look_at_the_whole() {
    let Some(bed) = bed().await else { return };
    let (long_ago, mut now) = (NOW.plus_ms(-HOUR), NOW);
    let mut set_back = || {
        now = now.plus_secs(-5);
        now
    };
    record(&bed.ledger, 0, 1, long_ago).await;
    bed.place.run("UPDATE assignment SET parked_at = 1").await;
    let ledger = bed.place.open().await;
    assert_eq!(plan(&ledger, 0, NOW).await, 0, "it is parked");
    assert!(ledger.lease(asks(EDGE, NOW)).await.unwrap().is_empty());
    bed.place.run("UPDATE assignment SET parked_at = NULL").await;
    let order = ledger.to_plan(set_back(), 10).await.unwrap().pop().expect("an order");
    bed.ledger.plan(vec![file(&order, 1)], long_ago).await.unwrap();
    let leased = ledger.lease(asks(EDGE, set_back())).await.unwrap().pop().expect("an errand");
    bed.place.run(&format!("UPDATE errand SET lease_until = {}", long_ago.0)).await;
    let abandoned = ledger.lease(asks(EDGE, set_back())).await.unwrap().pop().expect("a lease that ran out");
    assert_eq!((abandoned.id, abandoned.step), (leased.id, Step::Witness));
    bed.place.run(&format!("UPDATE errand SET due_at = {}", long_ago.0)).await;
    assert_eq!(ledger.lease(asks(EDGE, set_back())).await.unwrap().pop().expect("a witness").id, leased.id);
    ledger.close().await;
}

/// Whatever a process itself records with a time that has passed long since is claimed at once, by that process.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_writes_late_waits_for_no_look() {
    let Some(bed) = bed().await else { return };
    let (ledger, long_ago) = (&bed.ledger, NOW.plus_ms(-HOUR));
    let looked = async || {
        assert_eq!(plan(ledger, 0, NOW).await, 0);
        assert!(ledger.lease(asks(EDGE, NOW)).await.unwrap().is_empty());
    };
    looked().await;
    record(ledger, 0, 1, long_ago).await;
    let order = ledger.to_plan(NOW, 10).await.unwrap().pop().expect("an order");
    // A date that has passed.
    let mut waits = file(&order, 1);
    waits.action = PlanAction::Wait { until: long_ago };
    ledger.plan(vec![waits], long_ago).await.unwrap();
    let order = ledger.to_plan(NOW, 10).await.unwrap().pop().expect("an order that waited for its date");
    let mut parked = file(&order, 1);
    parked.action = PlanAction::Park { code: "E-ROUTE", reason: "nobody is told".to_owned() };
    ledger.plan(vec![parked], long_ago).await.unwrap();
    looked().await;
    assert_eq!(ledger.act(Action::Unpark { assignment: order.id }, "olga", long_ago).await.unwrap(), Acted::Done);
    let order = ledger.to_plan(NOW, 10).await.unwrap().pop().expect("an order that a person let go on");
    let mut later = file(&order, 1);
    later.action = PlanAction::Wait { until: NOW.plus_ms(HOUR) };
    ledger.plan(vec![later], NOW).await.unwrap();
    looked().await;
    let mut changed = orders::order("idm", "REQ-0", long_ago);
    changed.beneficiary = Person { id: "p0".to_owned(), name: None, email: None };
    changed.priority = 3;
    ledger.record(vec![Receipt { received_at: long_ago, ..takes("changed", changed) }]).await.unwrap();
    let order = ledger.to_plan(NOW, 10).await.unwrap().pop().expect("an order that was changed");
    assert_eq!(order.revision, 2);
    ledger.plan(vec![file(&order, 1)], long_ago).await.unwrap();
    let leased = ledger.lease(asks(EDGE, NOW)).await.unwrap().pop().expect("an errand");
    let end = End::Retry { at: long_ago, code: "E-BUSY".to_owned(), reason: "429".to_owned(), new_group: None };
    assert!(bed.settle(&leased, NOW, end).await);
    assert_eq!(ledger.lease(asks(EDGE, NOW)).await.unwrap().pop().expect("a retry").id, leased.id);
}

/// An order that waits for another of its lane is known while it waits.
#[tokio::test(flavor = "multi_thread")]
async fn what_waited_for_its_lane_is_planned_when_that_is_free() {
    let Some(bed) = bed().await else { return };
    let first = order("1", Operation::Grant);
    let (_, ticket_id) = bed.opened("e1", first.clone(), "IAM-1").await;
    bed.record(vec![takes("e2", order("2", Operation::Grant))]).await;
    let (ledger, later) = (bed.place.open().await, NOW.plus_ms(HOUR));
    assert!(ledger.to_plan(later, 10).await.unwrap().is_empty(), "its lane is busy");
    let closing = closed(ticket_id, "IAM-1", &key_of(&first), Outcome::Fulfilled);
    assert_eq!(bed.ledger.observe(vec![closing], later).await.unwrap(), 1);
    assert_eq!(ledger.to_plan(later, 10).await.unwrap().len(), 1, "at once");
    ledger.close().await;
}

/// However many wait for their lane, also more than are remembered and all of one time: who is free is found behind them.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_lane_hides_nobody_behind_it() {
    let Some(bed) = bed().await else { return };
    let first = order("1", Operation::Grant);
    bed.opened("e1", first, "IAM-1").await;
    for part in 0..6 {
        let blocked = (0..200).map(|n| {
            let id = format!("w{part}-{n}");
            takes(&id, order(&id, Operation::Grant))
        });
        bed.record(blocked.collect()).await;
    }
    record(&bed.ledger, 0, 1, NOW.plus_secs(1)).await;
    let again = NOW.0 - 1_000_000_000_000_000;
    bed.place.run(&format!("UPDATE assignment SET plan_at = {again} WHERE state = 'received'")).await;
    let (ledger, later) = (bed.place.open().await, NOW.plus_ms(HOUR));
    for _ in 0..2 {
        let found = ledger.to_plan(later, 1).await.unwrap();
        assert_eq!(found.iter().map(|order| order.assignment.external_id.as_str()).collect::<Vec<_>>(), ["REQ-0"]);
    }
    ledger.close().await;
}

/// What another claims and gives back was offered, and is offered again.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_held_is_not_forgotten() {
    let Some(bed) = bed().await else { return };
    record(&bed.ledger, 0, 3, NOW).await;
    assert_eq!(plan(&bed.ledger, 0, NOW).await, 3);
    let (ledger, later) = (bed.place.open().await, NOW.plus_ms(HOUR));
    let mut other = connect(&bed.place.url).await;
    other.execute("BEGIN; SELECT id FROM errand WHERE rank < 2 FOR UPDATE").await.unwrap();
    let asks = LeaseRequest { limit: 1, ..asks(EDGE, later) };
    let free = ledger.lease(asks.clone()).await.unwrap();
    assert!(ledger.lease(asks.clone()).await.unwrap().is_empty(), "another holds the rest");
    other.execute("ROLLBACK").await.unwrap();
    let mut given_back = Vec::new();
    for _ in 0..2 {
        given_back.extend(ledger.lease(asks.clone()).await.unwrap());
    }
    assert_eq!((free.len(), given_back.len()), (1, 2), "at once");
    ledger.close().await;
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

/// Where more wait than are remembered, it goes on by rank from there, not from the beginning.
#[tokio::test(flavor = "multi_thread")]
async fn a_long_queue_is_gone_through_once() {
    let Some(bed) = bed().await else { return };
    let mut holder = connect(&bed.place.url).await;
    holder.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT txid_current(), (SELECT COUNT(*) FROM errand)").await.unwrap();
    let long_ago = NOW.plus_ms(-HOUR);
    for n in 0..DEAD / 200 {
        round(&bed.ledger, n * 200, 200, long_ago).await;
    }
    record(&bed.ledger, DEAD, MANY, long_ago).await;
    let mut planned = 0;
    while planned < MANY {
        planned += plan(&bed.ledger, DEAD + planned, long_ago).await;
    }
    bed.ledger.close().await;
    let (before, began) = (visited(&bed.place).await, Instant::now());
    let ledger = bed.place.open().await;
    let mut claimed = 0;
    while claimed < MANY {
        let leased = ledger.lease(asks(EDGE, NOW)).await.unwrap();
        assert!(!leased.is_empty(), "{claimed} of {MANY}");
        claimed += leased.len();
    }
    assert!(ledger.lease(asks(EDGE, NOW)).await.unwrap().is_empty());
    ledger.close().await;
    let walked = usize::try_from(visited(&bed.place).await["errand_ready"] - before["errand_ready"]).unwrap();
    let looks = 1 + usize::try_from(began.elapsed().as_secs() / 30).unwrap();
    // Each look on sees the last of the one before, and one more than it remembers.
    assert!(walked < looks * DEAD + MANY + 500, "{walked} entries by rank, {looks} times the whole");
    holder.execute("COMMIT").await.unwrap();
}

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

/// Whoever left has what is taken from them sent ahead of all, also of those that are remembered.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_hurried_passes_the_first_of_a_long_queue() {
    let Some(bed) = bed().await else { return };
    let (long_ago, many) = (NOW.plus_ms(-HOUR), 1_100);
    record(&bed.ledger, 0, many, long_ago).await;
    let mut revoke = order("last", Operation::Revoke);
    revoke.beneficiary.id = "leaver".to_owned();
    let receipt = |event: &str, at, content| Receipt { received_at: at, ..ledger_bed::receipt(event, content) };
    bed.ledger.record(vec![receipt("last", long_ago, ReceiptContent::Order(Box::new(revoke)))]).await.unwrap();
    let waiting = bed.ledger.to_plan(long_ago, 200).await.unwrap();
    let id = waiting.iter().find(|order| order.assignment.operation == Operation::Revoke).expect("revocations first").id;
    let rank = |order: &ToPlan, n: usize| NOW.0 + if order.id == id { 9_000_000 } else { i64::try_from(n).unwrap() };
    let mut planned = 0;
    let mut waiting = waiting;
    while !waiting.is_empty() {
        let decisions = waiting.iter().enumerate().map(|(n, o)| file(o, rank(o, planned + n))).collect();
        planned += bed.ledger.plan(decisions, long_ago).await.unwrap();
        waiting = bed.ledger.to_plan(long_ago, 200).await.unwrap();
    }
    assert_eq!(planned, many + 1);
    let ledger = bed.place.open().await;
    let first = ledger.lease(LeaseRequest { limit: 1, ..asks(EDGE, NOW) }).await.unwrap();
    bed.record(vec![receipt("left", NOW, ReceiptContent::Left { person: "leaver".to_owned() })]).await;
    let next = ledger.lease(LeaseRequest { limit: 1, ..asks(EDGE, NOW) }).await.unwrap();
    let of = async |leased: &[Leased]| bed.text(&format!("SELECT assignment_id FROM errand WHERE id = {}", leased[0].id.0)).await;
    assert_ne!(of(&first).await, id.0.to_string());
    assert_eq!(of(&next).await, id.0.to_string(), "at once, though another process heard of it");
    ledger.close().await;
}
