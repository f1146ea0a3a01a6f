//! Claims beside those of other processes, and how many words one takes.

use lastmile::ledger::{Decide, LeaseRequest, Ledger as _, Load};
use lastmile::model::Operation;
use sqlx::Executor as _;

use super::contract::order;
use super::{Bed, bed};
use crate::ledger_bed::{NOW, asks, file, filed, takes};
use crate::program::until;
use crate::real::postgres::connect;

/// Orders of lanes of their own.
async fn received(bed: &Bed, ids: &[&str]) {
    let receipts = ids.iter().map(|id| {
        let mut order = order(id, Operation::Grant);
        order.beneficiary.id = format!("p-{id}");
        takes(&format!("e-{id}"), order)
    });
    bed.record(receipts.collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_takes_few_round_trips() {
    let Some(mut bed) = bed().await else { return };
    bed.place.overhear().await;
    bed.reopen().await;
    bed.opened("e1", order("1", Operation::Grant), "IAM-1").await;
    let mut second = order("2", Operation::Grant);
    second.beneficiary.id = "p2".to_owned();
    bed.record(vec![takes("e2", second)]).await;
    let mut before = bed.place.overheard().await.len();
    let mut counts = |said: Vec<String>, most: usize| {
        // Looks go beside, now and then.
        let new: Vec<_> = said[before..].iter().filter(|said| !said.contains("/* look */")).collect();
        assert!((1..=most).contains(&new.len()), "{new:#?}");
        before = said.len();
    };
    let waiting = bed.ledger.to_plan(NOW, 100).await.unwrap();
    let decisions = waiting.iter().map(|order| file(order, 1)).collect();
    assert_eq!(bed.ledger.plan(decisions, NOW).await.unwrap(), 1);
    // What waits; then beginning, one look, one write, commit.
    counts(bed.place.overheard().await, 1 + 4);
    let leased = bed.lease("desk/desk", NOW).await;
    assert_eq!(leased.len(), 1);
    counts(bed.place.overheard().await, 1 + 4);
    assert!(bed.settle(&leased[0], NOW, filed("IAM-2")).await);
    counts(bed.place.overheard().await, 4);
    assert_eq!(bed.text("SELECT COUNT(*) FROM attempt WHERE verdict = 'done'").await, "2");
    assert_eq!(bed.text("SELECT COUNT(*) FROM assignment WHERE state = 'open' AND filed_at IS NOT NULL").await, "2");
    bed.chains_hold().await;
}

/// Planning stands still while another process claims what waits: the orders are planned once all the same.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_claims_meanwhile_costs_no_second_planning() {
    let Some(bed) = bed().await else { return };
    received(&bed, &["1", "2"]).await;
    bed.plan_all(NOW).await;
    received(&bed, &["3"]).await;
    let counted = "CREATE SEQUENCE plannings;
        CREATE FUNCTION stand_still() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM nextval('plannings'); PERFORM pg_advisory_xact_lock(7); RETURN NULL; END $$;
        CREATE TRIGGER stand_still AFTER INSERT ON ticket FOR EACH STATEMENT EXECUTE FUNCTION stand_still()";
    bed.place.run(counted).await;
    let (other, mut gate) = (bed.place.open().await, connect(&bed.place.url).await);
    gate.execute("SELECT pg_advisory_lock(7)").await.unwrap();
    let claim = async {
        let begun = async || (bed.text("SELECT COUNT(*) FROM plannings WHERE is_called").await == "1").then_some(());
        until("it plans", begun).await;
        let claimed = other.lease(LeaseRequest { limit: 1, ..asks("desk/desk", NOW) }).await.unwrap();
        gate.execute("SELECT pg_advisory_unlock(7)").await.unwrap();
        claimed
    };
    let (taken, claimed) = tokio::join!(bed.ledger.take_up(Decide::by(|order| file(order, 30)), asks("desk/desk", NOW)), claim);
    let taken = taken.unwrap();
    assert_eq!((claimed.len(), taken.planned, taken.left, taken.leased.len()), (1, 1, 0, 2), "each is somebody's, and once");
    assert_eq!(bed.text("SELECT last_value FROM plannings").await, "1");
    bed.chains_hold().await;
}

/// A claim that finds its errand when another process has claimed and given it back meanwhile takes it as it is now, and so
/// must everything be that it carries.
#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_another_overtook_carries_what_is_there_now() {
    let Some(mut bed) = bed().await else { return };
    received(&bed, &["1"]).await;
    bed.plan_all(NOW).await;
    // A claim stands still between the state it sees and the rows it takes.
    let name = bed.place.url.split(['/', '?']).nth(3).unwrap();
    let stand_still = "CREATE SCHEMA still;
        CREATE FUNCTION still.jsonb_array_elements(rows jsonb) RETURNS SETOF jsonb LANGUAGE plpgsql AS
        $$ BEGIN
            IF current_query() LIKE 'WITH due%' THEN PERFORM pg_advisory_xact_lock(7); END IF;
            RETURN QUERY SELECT * FROM pg_catalog.jsonb_array_elements(rows);
        END $$";
    bed.place.run(stand_still).await;
    bed.place.run(&format!("ALTER DATABASE {name} SET search_path = public, still, pg_catalog")).await;
    bed.reopen().await;
    let mut gate = connect(&bed.place.url).await;
    gate.execute("SELECT pg_advisory_lock(7)").await.unwrap();
    let other = async {
        let waiting = "SELECT COUNT(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
            WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted";
        until("it stands still", async || (bed.text(waiting).await == "1").then_some(())).await;
        let changed = r#"UPDATE errand SET lease_no = lease_no + 1;
            UPDATE ticket_draft SET draft = replace(draft, '"body":"b"', '"body":"changed"')"#;
        bed.place.run(changed).await;
        gate.execute("SELECT pg_advisory_unlock(7)").await.unwrap();
    };
    let (leased, ()) = tokio::join!(bed.lease("desk/desk", NOW), other);
    let [leased] = &leased[..] else { panic!("{leased:?}") };
    let Load::Create { draft, .. } = &leased.load else { panic!("no create") };
    assert_eq!((leased.lease_no, draft.body.as_str()), (2, "changed"));
}

/// What is planned over a few rows reads the whole table, however long it gets: the server is told in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_grows_fast_is_known_to_the_planner() {
    let Some(bed) = bed().await else { return };
    bed.place.run("ALTER TABLE assignment SET (autovacuum_enabled = false)").await;
    let known = async || bed.text("SELECT relpages FROM pg_class WHERE relname = 'assignment'").await;
    assert_eq!(known().await, "0");
    let ids: Vec<String> = (0..400).map(|n| n.to_string()).collect();
    received(&bed, &ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    until("the planner knows", async || {
        bed.ledger.to_plan(NOW, 1).await.unwrap();
        (known().await != "0").then_some(())
    })
    .await;
}
