//! Several equal processes on one PostgreSQL, and a server that goes wrong under them.

use std::collections::BTreeSet;
use std::sync::Arc;

use lastmile::ledger::exports::{DeliveryClaim, Exports as _};
use lastmile::ledger::{
    Decision, LeaseRequest, Ledger, LedgerError, Receipt, ReceiptContent, Recorded, Replicas, SqlLedger, Step, ToPlan, Turn,
    Views,
};
use lastmile::model::assignment::Named;
use lastmile::model::{Assignment, Id, Timestamp};
use sqlx::{AssertSqlSafe, Executor as _};

use crate::engines::Place;
use crate::orders;
use crate::real::postgres::connect;

const NOW: Timestamp = Timestamp(1_795_000_000_000);
const ORDERS: usize = 60;

/// A database, or nothing to do where there is no server: that was said.
async fn place() -> Option<Place> {
    let place = Place::of("here_on_postgres").await;
    place.is_postgres().then_some(place)
}

fn receipt(n: usize) -> Receipt {
    let order = Assignment {
        entitlement: Some(Named { id: format!("role-{n}"), name: "Role".to_owned() }),
        reason: Some("with a NUL \0 in it".to_owned()),
        ..orders::order("idm", &n.to_string(), NOW)
    };
    Receipt { digest: format!("d{n}"), ..orders::receipt(&format!("e{n}"), order, NOW) }
}

fn file(order: &ToPlan) -> Decision {
    orders::file(order, "test", "desk", NOW)
}

fn request(owner: &str, now: Timestamp) -> LeaseRequest {
    orders::request("desk/desk", owner, now)
}

/// What one replica does: takes events in, plans, leases, until nothing is left.
async fn replica(ledger: Arc<SqlLedger>, owner: &'static str) -> (usize, Vec<(Id, i64)>) {
    let mut new = 0;
    for n in 0..ORDERS {
        let recorded = ledger.record(vec![receipt(n)]).await.unwrap();
        new += usize::from(matches!(recorded[0], Recorded::New { .. }));
    }
    let mut leased = Vec::new();
    loop {
        let waiting = ledger.to_plan(NOW, 20).await.unwrap();
        ledger.plan(waiting.iter().map(file).collect(), NOW).await.unwrap();
        let claims = ledger.lease(request(owner, NOW)).await.unwrap();
        if claims.is_empty() && waiting.is_empty() {
            return (new, leased);
        }
        leased.extend(claims.into_iter().map(|l| (l.id, l.lease_no)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_three_replicas_hear_at_once_is_one_order_each_leased_once() {
    let Some(place) = place().await else { return };
    let ledgers = [Arc::new(place.open().await), Arc::new(place.open().await), Arc::new(place.open().await)];
    let works = ["a", "b", "c"].into_iter().zip(&ledgers).map(|(owner, l)| tokio::spawn(replica(Arc::clone(l), owner)));
    let (mut new, mut leased) = (0, Vec::new());
    for work in works.collect::<Vec<_>>() {
        let (n, mut claims) = work.await.unwrap();
        new += n;
        leased.append(&mut claims);
    }
    assert_eq!(new, ORDERS, "of three equal messages one is new");
    assert_eq!(leased.iter().map(|(id, _)| *id).collect::<BTreeSet<_>>().len(), ORDERS);
    assert!(leased.iter().all(|(_, lease)| *lease == 1) && leased.len() == ORDERS, "each was leased once: {leased:?}");
    assert_eq!(ledgers[0].verify_chains().await.unwrap(), []);
    for ledger in ledgers {
        ledger.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_replicas_calls_go_to_their_witnesses_once_its_lease_is_over() {
    let Some(place) = place().await else { return };
    let (dead, other) = (place.open().await, place.open().await);
    dead.record(vec![receipt(1)]).await.unwrap();
    let waiting = dead.to_plan(NOW, 20).await.unwrap();
    dead.plan(waiting.iter().map(file).collect(), NOW).await.unwrap();
    let sent = dead.lease(request("dead", NOW)).await.unwrap().remove(0);
    assert_eq!(sent.step, Step::Send);
    assert!(other.lease(request("other", NOW.plus_secs(29))).await.unwrap().is_empty(), "its lease still holds");
    let asked = other.lease(request("other", NOW.plus_secs(31))).await.unwrap().remove(0);
    assert_eq!((asked.step, asked.quiet_until), (Step::Witness, Some(NOW.plus_secs(91))), "its quiet period starts now");
    // It was only asleep: what it has to say comes too late.
    let late = lastmile::ledger::Settlement {
        id: sent.id,
        lease_no: sent.lease_no,
        at: NOW.plus_secs(32),
        end: lastmile::ledger::End::Clear,
    };
    assert_eq!(dead.settle(vec![late]).await.unwrap(), [false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_duty_has_one_holder_until_it_leaves_or_is_not_heard_of() {
    let Some(place) = place().await else { return };
    let (a, b) = (place.open().await, place.open().await);
    let held = |ran_at| Turn::Ours { ran_at };
    assert_eq!(a.turn("poll/idm", "a", 60_000).await.unwrap(), held(None));
    assert_eq!(b.turn("poll/idm", "b", 60_000).await.unwrap(), Turn::Others);
    a.ran("poll/idm", NOW).await.unwrap();
    assert_eq!(a.turn("poll/idm", "a", 60_000).await.unwrap(), held(Some(NOW)));
    a.leave("a").await.unwrap();
    assert_eq!(b.turn("poll/idm", "b", -1).await.unwrap(), held(Some(NOW)), "and knows when it was done last");
    assert_eq!(a.turn("poll/idm", "a", 60_000).await.unwrap(), held(Some(NOW)), "b was not heard of any more");
    let database = place.database_time().await;
    assert_eq!(a.alive("a", database, 60_000).await.unwrap().replicas, 1);
    assert_eq!(b.alive("b", database, 60_000).await.unwrap().replicas, 2);
    b.leave("b").await.unwrap();
    assert_eq!(a.alive("a", database, 60_000).await.unwrap().replicas, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_duty_was_done_is_the_same_moment_for_clocks_that_are_apart() {
    let Some(place) = place().await else { return };
    let (exact, ahead) = (place.open().await, place.open().await);
    let now = place.database_time().await;
    let apart = ahead.alive("ahead", now.plus_secs(4), 60_000).await.unwrap().ahead_ms;
    ahead.turn("poll/idm", "ahead", 60_000).await.unwrap();
    ahead.ran("poll/idm", now.plus_ms(apart)).await.unwrap();
    let ours = Turn::Ours { ran_at: Some(now.plus_ms(apart)) };
    assert_eq!(ahead.turn("poll/idm", "ahead", 60_000).await.unwrap(), ours, "by its own clock");
    ahead.leave("ahead").await.unwrap();
    let ours = Turn::Ours { ran_at: Some(now) };
    assert_eq!(exact.turn("poll/idm", "exact", 60_000).await.unwrap(), ours, "by the database's");
}

/// Nothing waits for a desk yet; the next order is planned by `ledger` and leased.
async fn first_step(ledger: &SqlLedger, n: usize) -> Step {
    ledger.record(vec![receipt(n)]).await.unwrap();
    let waiting = ledger.to_plan(NOW, 20).await.unwrap();
    ledger.plan(waiting.iter().map(file).collect(), NOW).await.unwrap();
    let leased = ledger.lease(request("x", NOW.plus_secs(1))).await.unwrap();
    let [only] = &leased[..] else { panic!("{} calls", leased.len()) };
    only.step
}

#[tokio::test(flavor = "multi_thread")]
async fn while_one_replica_recovers_all_ask_before_they_send() {
    let Some(place) = place().await else { return };
    let (told, running) = (place.open().await, place.open().await);
    let alive = async |ledger: &SqlLedger, owner| ledger.alive(owner, place.database_time().await, 60_000).await.unwrap();
    assert_eq!(first_step(&running, 1).await, Step::Send);
    let until = std::collections::BTreeMap::from([("desk/desk".to_owned(), NOW.plus_secs(60))]);
    told.distrust(until, NOW).await.unwrap();
    alive(&running, "running").await;
    assert_eq!(first_step(&running, 2).await, Step::Witness, "it heard of it with its next sign of life");
    let started = place.open().await;
    assert_eq!(first_step(&started, 3).await, Step::Witness, "it hears of it when it starts");
    // Whoever recovers is started again: nobody forgets it meanwhile.
    told.close().await;
    alive(&running, "running").await;
    assert_eq!(first_step(&running, 4).await, Step::Witness);
    // It was started again without, and ten minutes are over.
    place.run("UPDATE meta SET value = CAST(CAST(value AS BIGINT) - 600000 AS TEXT) WHERE name = 'caution_until'").await;
    alive(&running, "running").await;
    assert_eq!(first_step(&running, 5).await, Step::Send);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_recovers_says_so_for_as_long_as_it_lives() {
    let Some(place) = place().await else { return };
    let told = place.open().await;
    told.distrust(std::collections::BTreeMap::new(), NOW).await.unwrap();
    place.run("UPDATE meta SET value = '0' WHERE name = 'caution_until'").await;
    told.alive("told", place.database_time().await, 60_000).await.unwrap();
    assert_eq!(first_step(&place.open().await, 1).await, Step::Witness);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_takes_back_no_lease_before_it_is_over_by_the_databases_clock() {
    struct Quiet;
    impl lastmile::ledger::QuietOf for Quiet {
        fn quiet_ms(&self, _edge: &str) -> i64 {
            60_000
        }
    }
    let Some(place) = place().await else { return };
    let (exact, ahead) = (place.open().await, place.open().await);
    let now = place.database_time().await;
    exact.record(vec![receipt(1)]).await.unwrap();
    let waiting = exact.to_plan(now, 20).await.unwrap();
    exact.plan(waiting.iter().map(file).collect(), now).await.unwrap();
    assert_eq!(exact.lease(request("exact", now)).await.unwrap().len(), 1);
    let apart = ahead.alive("ahead", now.plus_secs(4), 60_000).await.unwrap().ahead_ms;
    let own = |secs: i64| now.plus_ms(apart + secs * 1000);
    assert_eq!(ahead.recover(own(29), &Quiet).await.unwrap(), 0, "it is sending yet");
    assert_eq!(ahead.recover(own(31), &Quiet).await.unwrap(), 1);
    let astray = place.open().await;
    astray.alive("astray", now.plus_secs(600), 60_000).await.unwrap();
    assert_eq!(astray.recover(now.plus_secs(700), &Quiet).await.unwrap(), 0, "a clock astray takes nothing");
}

/// The same life on both engines reads the same, in every view there is.
#[tokio::test(flavor = "multi_thread")]
async fn every_view_shows_the_same_on_both_engines() {
    let Some(server) = place().await else { return };
    let file_place = Place::of("here").await;
    let mut seen = Vec::new();
    for place in [&file_place, &server] {
        let ledger = place.open().await;
        let withdrawn = ReceiptContent::Withdrawn { external_id: "77".to_owned(), operation: None };
        let held = ReceiptContent::Unmappable { problem: "no such field".to_owned(), body: "grüße".to_owned() };
        let mut receipts: Vec<Receipt> = (0..5).map(receipt).collect();
        receipts.push(Receipt { event_id: "w".to_owned(), content: withdrawn, ..receipt(0) });
        receipts.push(Receipt { event_id: "q".to_owned(), digest: "q".to_owned(), content: held, ..receipt(0) });
        ledger.record(receipts).await.unwrap();
        let waiting = ledger.to_plan(NOW, 3).await.unwrap();
        ledger.plan(waiting.iter().map(file).collect(), NOW).await.unwrap();
        ledger.lease(LeaseRequest { limit: 2, ..request("a", NOW) }).await.unwrap();
        seen.push(views(&ledger).await);
        assert!(ledger.checkpoint(NOW).await.unwrap().is_some());
        let later = NOW.plus_secs(86_400_000);
        ledger.erase(later, later).await.unwrap();
        assert_eq!(ledger.verify_chains().await.unwrap(), []);
        ledger.ready().await.unwrap();
        ledger.close().await;
    }
    assert_eq!(seen[0], seen[1], "left: SQLite; right: PostgreSQL");
}

/// What every view says, without row ids.
async fn views(ledger: &SqlLedger) -> Vec<String> {
    use lastmile::ledger::views::{Filter, Scope, Troubled};
    let mut said = vec![ledger.dump().await.unwrap()];
    for scope in [None, Some(vec!["sap".to_owned()]), Some(Vec::new())] as [Scope; 3] {
        let mut overview = ledger.overview(&scope, NOW).await.unwrap();
        for count in overview.by_state.iter_mut().chain(&mut overview.open_by_application) {
            count.oldest = None;
        }
        said.push(serde_json::to_string(&overview).unwrap());
        let todo = ledger.operations(&scope, true, 10).await.unwrap();
        said.push(format!(
            "{} {} {:?}",
            todo.parked.len(),
            todo.failing.len(),
            todo.quarantined.iter().map(|q| q.bytes).collect::<Vec<_>>()
        ));
        for which in [Troubled::Parked, Troubled::Failing] {
            said.push(ledger.errands(which, &scope, true, None, 10).await.unwrap().len().to_string());
        }
        let filters = [
            Filter::default(),
            Filter { search: Some("3".to_owned()), ..Filter::default() },
            Filter { states: vec!["received".to_owned()], application: Some("sap".to_owned()), ..Filter::default() },
            Filter { parked: Some(true), ..Filter::default() },
            Filter { admin_group: Some("g".to_owned()), source: Some("idm".to_owned()), ..Filter::default() },
        ];
        for filter in filters {
            let found = ledger.assignments(&Filter { scope: scope.clone(), ..filter }, true, 10).await.unwrap();
            said.push(format!("{:?}", found.iter().map(|r| (&r.external_id, &r.beneficiary, &r.state)).collect::<Vec<_>>()));
        }
    }
    let one = ledger.assignments(&Filter::default(), true, 10).await.unwrap().pop().unwrap();
    let shown = ledger.assignment(one.id, &None, true).await.unwrap().unwrap();
    said.push(format!("{:?} {:?}", shown.reason, shown.journal.iter().map(|j| (&j.event, &j.cause)).collect::<Vec<_>>()));
    said.push(format!("{:?}", ledger.owed(NOW).await.unwrap().iter().map(|o| (&o.edge, o.open, o.errands)).collect::<Vec<_>>()));
    said.push(ledger.gauges(NOW).await.unwrap().len().to_string());
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_astray_takes_no_lease() {
    let Some(place) = place().await else { return };
    let ledger = place.open().await;
    let database = place.database_time().await;
    ledger.alive("a", database.plus_secs(600), 60_000).await.unwrap();
    let refused = ledger.lease(request("a", NOW)).await.unwrap_err().to_string();
    assert!(refused.contains("ahead of that of the database"), "{refused}");
    let claim = |now| DeliveryClaim { report: "daily/mail".to_owned(), due_at: Some(NOW), now, lease_ms: 600_000 };
    let refused = ledger.claim_delivery(claim(database)).await.unwrap_err().to_string();
    assert!(refused.contains("ahead of that of the database"), "{refused}");
    ledger.alive("a", database, 60_000).await.unwrap();
    ledger.lease(request("a", NOW)).await.unwrap();
    // A claim is by the database's clock, too: one of a clock a little ahead is taken by nobody early.
    assert!(ledger.claim_delivery(claim(database)).await.unwrap().is_some());
    let ahead = place.open().await;
    let apart = ahead.alive("ahead", database.plus_secs(4), 60_000).await.unwrap().ahead_ms;
    let later = |secs: i64| DeliveryClaim { due_at: None, ..claim(database.plus_ms(apart + secs * 1000)) };
    assert!(ahead.claim_delivery(later(599)).await.unwrap().is_none());
    assert!(ahead.claim_delivery(later(601)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_a_little_ahead_takes_no_lease_of_another_early() {
    let Some(place) = place().await else { return };
    let (exact, ahead) = (place.open().await, place.open().await);
    let now = place.database_time().await;
    exact.record(vec![receipt(1)]).await.unwrap();
    let waiting = exact.to_plan(now, 20).await.unwrap();
    exact.plan(waiting.iter().map(file).collect(), now).await.unwrap();
    assert_eq!(exact.lease(request("exact", now)).await.unwrap().len(), 1);
    let apart = ahead.alive("ahead", now.plus_secs(4), 60_000).await.unwrap().ahead_ms;
    assert!(apart <= 4_000, "{apart}");
    // Its own clock says that thirty seconds are over.
    let own = |secs: i64| now.plus_ms(apart + secs * 1000);
    assert!(ahead.lease(request("ahead", own(29))).await.unwrap().is_empty(), "the lease still holds by the database's clock");
    let asked = ahead.lease(request("ahead", own(31))).await.unwrap().remove(0);
    assert_eq!((asked.step, asked.quiet_until), (Step::Witness, Some(own(91))), "its quiet period, by its own clock");
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_connections_are_made_again_and_nothing_is_lost() {
    let Some(place) = place().await else { return };
    let ledger = place.open().await;
    for round in 0..3 {
        let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        connect(&place.url).await.execute(cut).await.unwrap();
        let mut recorded = ledger.record(vec![receipt(round)]).await;
        // A sender that hears an error sends again.
        for _ in 0..5 {
            if recorded.is_err() {
                recorded = ledger.record(vec![receipt(round)]).await;
            }
        }
        let recorded = recorded.unwrap();
        assert!(matches!(recorded[0], Recorded::New { .. } | Recorded::Repeat { .. }), "{recorded:?}");
    }
    assert_eq!(place.text("SELECT COUNT(*) FROM assignment").await, "3");
    assert_eq!(ledger.verify_chains().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_intake_and_is_over_when_there_is_room() {
    let Some(place) = place().await else { return };
    let ledger = place.open().await;
    let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$;
        CREATE TRIGGER full_disk BEFORE INSERT ON inbox EXECUTE FUNCTION full_disk()";
    place.run(full).await;
    let refused = ledger.record(vec![receipt(1)]).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Full(_)), "{refused}");
    place.run("DROP TRIGGER full_disk ON inbox").await;
    assert!(matches!(ledger.record(vec![receipt(1)]).await.unwrap()[0], Recorded::New { .. }));
    let order = ledger.assignments(&lastmile::ledger::views::Filter::default(), true, 10).await.unwrap().remove(0);
    let shown = ledger.assignment(order.id, &None, true).await.unwrap().unwrap();
    assert_eq!(shown.reason.as_deref(), Some("with a NUL \0 in it"), "a document keeps what a column could not");
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_wait_for_the_disk_whatever_the_database_says() {
    let Some(place) = place().await else { return };
    let name = place.text("SELECT current_database()").await;
    let set = AssertSqlSafe(format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    connect(&place.url).await.execute(set).await.unwrap();
    let look = "CREATE TABLE seen (level TEXT);
        CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
        CREATE TRIGGER look AFTER INSERT ON inbox EXECUTE FUNCTION look()";
    place.run(look).await;
    place.open().await.record(vec![receipt(1)]).await.unwrap();
    assert_eq!(place.text("SELECT level FROM seen").await, "on");
}
