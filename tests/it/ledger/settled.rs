//! A settlement whose commit was in doubt is written again.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_settlement_that_is_repeated_counts_once() {
    let bed = bed().await;
    bed.record(vec![takes("e1", order("1", Operation::Grant))]).await;
    bed.plan_all(NOW).await;
    let counted = "SELECT failures || ' ' || misses FROM errand";
    let sent = bed.lease("desk/desk", NOW).await.remove(0);
    let unclear =
        || End::Unclear { ask_at: NOW, quiet_until: NOW.plus_secs(60), code: "E-BROKEN".to_owned(), reason: "cut".to_owned() };
    assert!(bed.settle(&sent, NOW, unclear()).await);
    assert!(!bed.settle(&sent, NOW, unclear()).await, "its lease ended with the first");
    assert_eq!(bed.text(counted).await, "1 0");
    let asked = bed.lease("desk/desk", NOW.plus_secs(1)).await.remove(0);
    for first in [true, false] {
        let miss = End::Miss { ask_at: NOW.plus_secs(2) };
        assert_eq!(bed.settle(&asked, NOW.plus_secs(1), miss).await, first);
    }
    assert_eq!(bed.text(counted).await, "1 1", "one look is one miss");
    // Nor does it end a later lease, or a repeat that says something else.
    assert!(!bed.settle(&asked, NOW.plus_secs(1), End::Clear).await);
    let again = bed.lease("desk/desk", NOW.plus_secs(2)).await.remove(0);
    assert!(!bed.settle(&asked, NOW.plus_secs(2), End::Clear).await);
    assert!(bed.settle(&again, NOW.plus_secs(2), filed("IAM-1")).await);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_order_of_a_ticket_is_filed_with_it() {
    let bed = bed().await;
    bed.record(vec![takes("e1", order("1", Operation::Grant))]).await;
    bed.plan_all(NOW).await;
    let mut other = order("2", Operation::Grant);
    other.beneficiary.id = "p2".to_owned();
    bed.record(vec![takes("e2", other)]).await;
    bed.place
        .run(
            "INSERT INTO ticket_item (ticket_id, assignment_id, revision)
             SELECT t.id, a.id, 1 FROM ticket AS t, assignment AS a WHERE a.external_id = '2'",
        )
        .await;
    let sent = bed.lease("desk/desk", NOW).await.remove(0);
    assert!(bed.settle(&sent, NOW.plus_secs(5), filed("IAM-1")).await);
    let filed_at = format!("SELECT COUNT(*) FROM assignment WHERE filed_at = {}", NOW.plus_secs(5).0);
    assert_eq!(bed.text(&filed_at).await, "2");
    bed.chains_hold().await;
}
