//! After a restore: whatever may have been sent before is asked about first.

use super::*;

impl Bed {
    async fn distrust(&self, now: Timestamp) -> usize {
        let until = std::collections::BTreeMap::from([("desk/desk".to_owned(), now.plus_ms(QUIET_MS))]);
        self.ledger.distrust(until, now).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_ledger_asks_before_it_sends() {
    let bed = bed().await;
    bed.record(vec![takes("e1", order("1", Operation::Grant))]).await;
    bed.plan_all(NOW).await;
    assert_eq!(bed.distrust(NOW).await, 1);
    let mut other = order("2", Operation::Grant);
    other.beneficiary.id = "p2".to_owned();
    bed.record(vec![takes("e2", other)]).await;
    bed.plan_all(NOW).await;
    let asked = bed.lease("desk/desk", NOW.plus_secs(1)).await;
    assert!(asked.len() == 2 && asked.iter().all(|l| l.step == Step::Witness && l.quiet_until == Some(NOW.plus_ms(QUIET_MS))));
    assert!(bed.settle(&asked[0], NOW.plus_secs(1), filed("IAM-1")).await);
    assert!(bed.settle(&asked[1], NOW.plus_secs(61), End::Clear).await);
    let sent = bed.lease("desk/desk", NOW.plus_secs(62)).await;
    assert_eq!((sent.len(), sent[0].step), (1, Step::Send));
    assert!(bed.settle(&sent[0], NOW.plus_secs(62), filed("IAM-2")).await);
    bed.chains_hold().await;
}

/// The platform says again what the ledger has forgotten: the comment may stand in the ticket already.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_told_after_a_restore_is_asked_about_first() {
    let bed = bed().await;
    bed.opened("e1", order("1", Operation::Grant), "IAM-1").await;
    let now = NOW.plus_secs(100);
    assert_eq!(bed.distrust(now).await, 0);
    bed.record(vec![receipt("w1", ReceiptContent::Withdrawn { external_id: "1".to_owned(), operation: None })]).await;
    let asked = bed.lease("desk/desk", now.plus_secs(1)).await;
    let [closing] = &asked[..] else { panic!("{} calls", asked.len()) };
    assert!(matches!(closing.load, Load::Amend { .. }));
    assert_eq!((closing.step, closing.quiet_until), (Step::Witness, Some(now.plus_ms(QUIET_MS))));
    assert!(bed.settle(closing, now.plus_secs(1), End::Done).await);
    assert!(bed.lease("desk/desk", now.plus_secs(100)).await.is_empty(), "it stood there");
    bed.chains_hold().await;
}

/// Its quiet period was over long ago, and the ledger that was lost may have sent it again since.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_unclear_before_a_restore_is_not_cleared_at_once() {
    let bed = bed().await;
    bed.record(vec![takes("e1", order("1", Operation::Grant))]).await;
    bed.plan_all(NOW).await;
    let sent = bed.lease("desk/desk", NOW).await.remove(0);
    let end = End::Unclear { ask_at: NOW, quiet_until: NOW.plus_secs(60), code: "E-BROKEN".to_owned(), reason: "cut".to_owned() };
    assert!(bed.settle(&sent, NOW.plus_secs(1), end).await);
    let asked = bed.lease("desk/desk", NOW.plus_secs(2)).await.remove(0);
    assert!(bed.settle(&asked, NOW.plus_secs(2), End::Miss { ask_at: NOW.plus_secs(3) }).await);
    let now = NOW.plus_secs(3600);
    bed.distrust(now).await;
    let asked = bed.lease("desk/desk", now).await.remove(0);
    assert_eq!((asked.step, asked.misses, asked.quiet_until), (Step::Witness, 0, Some(now.plus_ms(QUIET_MS))));
    bed.chains_hold().await;
}
