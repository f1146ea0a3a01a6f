//! Planning and leasing in one commit: the same as one after the other, only sooner.

use std::collections::BTreeMap;

use lastmile::ledger::{Decide, Decision, Leased, Ledger, Load, Step, TakenUp};
use lastmile::model::{Assignment, Operation};

use super::{Bed, NOW, QUIET_MS, asks, bed, file, filed, order, takes};

/// Orders of lanes of their own.
async fn received(bed: &Bed, ids: &[&str]) {
    let of_its_own = |id: &&str| -> Assignment {
        let mut order = order(id, Operation::Grant);
        order.beneficiary.id = format!("p-{id}");
        order
    };
    bed.record(ids.iter().map(|id| takes(&format!("e-{id}"), of_its_own(id))).collect()).await;
}

/// Files what is ordered, each with its rank.
fn ranked(ranks: &'static [(&'static str, i64)]) -> Decide {
    Decide::by(move |order| {
        let rank = ranks.iter().find(|(id, _)| *id == order.assignment.external_id).expect("nothing else is asked about").1;
        file(order, rank)
    })
}

/// Keys of what waits, by external id.
async fn keys(bed: &Bed) -> BTreeMap<String, String> {
    let waiting = bed.ledger.to_plan(NOW, 100).await.unwrap();
    waiting.iter().map(|order| (order.assignment.external_id.clone(), key(&file(order, 0)).to_owned())).collect()
}

fn marks(leased: &[Leased]) -> Vec<&str> {
    leased.iter().map(|errand| errand.mark.as_str()).collect()
}

fn key(decision: &Decision) -> &str {
    match &decision.action {
        lastmile::ledger::PlanAction::File(plan) => plan.draft.key.as_str(),
        _ => panic!("not filed"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_filed_is_leased_at_once_by_rank_and_the_rest_is_left_alone() {
    let bed = bed().await;
    received(&bed, &["1", "2", "3"]).await;
    let keys = keys(&bed).await;
    let mut request = asks("desk/desk", NOW);
    request.limit = 2;
    let taken = bed.ledger.take_up(ranked(&[("1", 30), ("2", 10), ("3", 20)]), request).await.unwrap();
    let TakenUp { planned, left, leased } = taken;
    assert_eq!((planned, left), (2, 0), "no more than it takes");
    assert_eq!(marks(&leased), [&keys["2"], &keys["1"]], "smaller ranks go first");
    for errand in &leased {
        assert_eq!((errand.lease_no, errand.step), (1, Step::Send));
        let Load::Create { draft, .. } = &errand.load else { panic!("no create") };
        assert_eq!(draft.key.as_str(), errand.mark);
    }
    let attempts = "SELECT COUNT(*) FROM attempt WHERE what = 'create' AND lease_no = 1 AND ended_at IS NULL";
    assert_eq!(bed.text(attempts).await, "2", "on disk before the call");
    let told = "SELECT COUNT(*) FROM journal WHERE event IN ('received', 'due', 'sending') AND assignment_id =
        (SELECT assignment_id FROM errand WHERE rank = 10)";
    assert_eq!(bed.text(told).await, "3");
    assert_eq!(bed.text("SELECT state FROM ticket WHERE id = (SELECT ticket_id FROM errand WHERE rank = 10)").await, "sending");
    let rest = bed.ledger.take_up(ranked(&[("3", 20)]), asks("desk/desk", NOW)).await.unwrap().leased;
    assert_eq!(marks(&rest), [&keys["3"]]);
    for (errand, number) in leased.iter().chain(&rest).zip(["7", "8", "9"]) {
        assert!(bed.settle(errand, NOW, filed(number)).await);
    }
    assert_eq!(bed.text("SELECT COUNT(*) FROM assignment WHERE state = 'open' AND filed_at IS NOT NULL").await, "3");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_already_is_leased_by_rank_with_what_is_new() {
    let bed = bed().await;
    received(&bed, &["old"]).await;
    let old: Vec<Decision> = bed.ledger.to_plan(NOW, 100).await.unwrap().iter().map(|order| file(order, 15)).collect();
    let old_key = key(&old[0]).to_owned();
    bed.ledger.plan(old, NOW).await.unwrap();
    received(&bed, &["1", "2"]).await;
    let urgent = keys(&bed).await["2"].clone();
    let mut request = asks("desk/desk", NOW);
    request.limit = 2;
    let taken = bed.ledger.take_up(ranked(&[("1", 20), ("2", 10)]), request).await.unwrap();
    assert_eq!((taken.planned, taken.left), (2, 1));
    assert_eq!(marks(&taken.leased), [&urgent, &old_key]);
    assert_eq!(bed.lease("desk/desk", NOW).await.len(), 1);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_left_is_asked_about_before_anything_new_is_sent() {
    let bed = bed().await;
    received(&bed, &["1"]).await;
    let taken = bed.ledger.take_up(ranked(&[("1", 1)]), asks("desk/desk", NOW)).await.unwrap();
    let later = NOW.plus_secs(31);
    received(&bed, &["2"]).await;
    let mut request = asks("desk/desk", later);
    request.owner = "another".to_owned();
    let again = bed.ledger.take_up(ranked(&[("2", 2)]), request).await.unwrap();
    let steps: Vec<_> = again.leased.iter().map(|errand| (errand.id == taken.leased[0].id, errand.step)).collect();
    assert_eq!(steps, [(true, Step::Witness), (false, Step::Send)]);
    assert_eq!(again.leased[0].quiet_until, Some(later.plus_ms(QUIET_MS)));
    assert!(!bed.settle(&taken.leased[0], later, filed("1")).await, "its lease is gone");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn other_edges_open_breakers_and_void_decisions_get_no_lease() {
    let bed = bed().await;
    received(&bed, &["1", "2"]).await;
    let keys = keys(&bed).await;
    let (first, both) = (ranked(&[("1", 1)]), ranked(&[("1", 1), ("2", 2)]));
    let mut request = asks("desk/other", NOW);
    request.limit = 1;
    let taken = bed.ledger.take_up(first, request).await.unwrap();
    assert_eq!((taken.planned, taken.left, taken.leased.len()), (1, 1, 0), "it waits for its own desk");
    let stale = Decide::by(|order| {
        let mut decision = file(order, 1);
        decision.revision += 1;
        decision
    });
    let taken = bed.ledger.take_up(stale, asks("desk/desk", NOW)).await.unwrap();
    assert_eq!(taken.planned, 0, "void");
    assert_eq!(marks(&taken.leased), [&keys["1"]], "what waits is leased");
    let mut request = asks("desk/desk", NOW);
    request.witnesses_only = true;
    let taken = bed.ledger.take_up(both.clone(), request).await.unwrap();
    assert_eq!((taken.planned, taken.left, taken.leased.len()), (1, 1, 0), "nothing is sent while the breaker is open");
    let taken = bed.ledger.take_up(both, asks("desk/desk", NOW)).await.unwrap();
    assert_eq!((taken.planned, taken.leased.len()), (0, 0), "no order wants a plan: what waits is leased elsewhere");
    assert_eq!(bed.lease("desk/desk", NOW).await.len(), 1);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_that_is_taken_up_overtakes_what_was_not_sent() {
    let bed = bed().await;
    let grant = order("1", Operation::Grant);
    let mut revoke = order("2", Operation::Revoke);
    revoke.approved_at = Some(NOW.plus_secs(-30));
    bed.record(vec![takes("e1", grant), takes("e2", revoke)]).await;
    let waiting = bed.ledger.to_plan(NOW, 100).await.unwrap();
    assert_eq!(waiting[0].assignment.operation, Operation::Revoke, "revocations first");
    let taken = bed.ledger.take_up(ranked(&[("1", 1), ("2", 1)]), asks("desk/desk", NOW)).await.unwrap();
    assert_eq!((taken.planned, taken.leased.len()), (1, 1));
    assert_eq!(bed.text("SELECT state FROM assignment WHERE external_id = '1'").await, "superseded");
    assert_eq!(bed.text("SELECT state FROM assignment WHERE external_id = '2'").await, "sending");
    bed.chains_hold().await;
}
