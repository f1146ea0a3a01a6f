//! Replicas whose clocks are apart: what one of them owes is due for all by the database's clock.

use lastmile::ledger::{Acted, Action, End, Ledger as _, Load, Observation, Pull, Pulled, Receipt, Recorded, Replicas as _};
use lastmile::model::progress::Step as Told;
use lastmile::model::ticket::Category;
use lastmile::model::{Operation, Outcome, Timestamp};

use super::bed;
use super::contract::{closed, order};
use crate::ledger_bed::{file, filed, key_of, status, takes};

/// Nothing is due to one replica before, or long after, it is to another: a process whose clock is ahead takes an order in,
/// plans it and sees its ticket, and each time another process carries on at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_with_a_clock_ahead_owes_is_due_to_others_at_once() {
    for apart_s in [4, 600] {
        let Some(bed) = bed().await else { return };
        let ahead = bed.place.open().await;
        let now = bed.place.database_time().await;
        let own = now.plus_ms(ahead.alive("ahead", now.plus_secs(apart_s), 60_000).await.unwrap().ahead_ms);
        ahead.tell_progress(["idm".to_owned()].into());

        let grant = order("1", Operation::Grant);
        let taken = Receipt { received_at: own, ..takes("e1", grant.clone()) };
        ahead.record(vec![taken]).await.unwrap();
        let waiting = bed.ledger.to_plan(now, 10).await.unwrap();
        assert_eq!(waiting.len(), 1, "{apart_s} s: an order is to be planned");
        assert_eq!(ahead.plan(vec![file(&waiting[0], 0)], own).await.unwrap(), 1);
        let leased = bed.lease("desk/desk", now).await;
        assert_eq!(leased.len(), 1, "{apart_s} s: a ticket is to be created");
        let Load::Create { ticket_id, .. } = leased[0].load else { panic!("no create") };
        assert!(bed.settle(&leased[0], now, filed("IAM-1")).await);

        let key = key_of(&grant);
        let seen = Observation::Seen { ticket_id, status: Box::new(status("IAM-1", &key, Category::InProgress, None)) };
        assert_eq!(ahead.observe(vec![seen], own).await.unwrap(), 1);
        let told = bed.lease("source/idm", now).await;
        let Load::Progress { progress, .. } = &told[0].load else { panic!("no step") };
        assert_eq!((told.len(), progress.step), (1, Told::InWork), "{apart_s} s: a step is to be told");
        assert!(bed.settle(&told[0], now, End::Done).await);

        assert_eq!(ahead.observe(vec![closed(ticket_id, "IAM-1", &key, Outcome::Fulfilled)], own).await.unwrap(), 1);
        let reports = bed.lease("source/idm", now).await;
        assert_eq!(reports.len(), 1, "{apart_s} s: an outcome is to be reported");
        assert!(bed.settle(&reports[0], now, retry_at(now.plus_secs(3_600))).await);

        // An operator whose process is ahead tries it again.
        let again = Action::RetryErrand { errand: reports[0].id };
        assert_eq!(ahead.act(again, "olga", own).await.unwrap(), Acted::Done);
        assert_eq!(bed.lease("source/idm", now).await.len(), 1, "{apart_s} s: it is to be tried again");
        bed.chains_hold().await;
    }
}

/// Which tickets are looked at, and which are known, is the same by every clock.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_looked_at_is_known_to_every_clock() {
    for apart_s in [600, -600] {
        let Some(bed) = bed().await else { return };
        let (id, ticket_id) = bed.opened("e1", order("1", Operation::Grant), "IAM-1").await;
        let other = bed.place.open().await;
        let now = bed.place.database_time().await;
        let own = now.plus_ms(other.alive("other", now.plus_secs(apart_s), 60_000).await.unwrap().ahead_ms);
        let looked_at = async |before: Timestamp| other.tickets_to_check("desk", before, 10).await.unwrap().len();
        assert_eq!(looked_at(Timestamp(1)).await, 1, "nobody has seen {id} yet");
        let unreadable = Observation::Unreadable { ticket_id, reason: "passed over".to_owned() };
        other.observe(vec![unreadable], own).await.unwrap();
        assert_eq!(
            (looked_at(Timestamp(1)).await, looked_at(own).await, looked_at(Timestamp(2)).await),
            (0, 0, 1),
            "{apart_s} s"
        );
        let key = key_of(&order("1", Operation::Grant));
        let seen = Observation::Seen { ticket_id, status: Box::new(status("IAM-1", &key, Category::Open, None)) };
        other.observe(vec![seen], own).await.unwrap();
        assert_eq!((looked_at(own).await, looked_at(own.plus_ms(1)).await), (0, 1), "{apart_s} s: it is seen now");
        assert_eq!(other.held("desk", &["id-IAM-1".to_owned()]).await.unwrap()[0].checked_at, own);
        assert_eq!(bed.ledger.held("desk", &["id-IAM-1".to_owned()]).await.unwrap()[0].checked_at, now);
    }
}

/// The news of a list is as new as the moment it was read, whoever read it.
#[tokio::test(flavor = "multi_thread")]
async fn news_of_a_clock_behind_are_not_taken_for_old() {
    let Some(bed) = bed().await else { return };
    let behind = bed.place.open().await;
    let now = bed.place.database_time().await;
    let own = now.plus_ms(behind.alive("behind", now.plus_secs(-4), 60_000).await.unwrap().ahead_ms);
    let first = Receipt { received_at: now, ..takes("e1", order("1", Operation::Grant)) };
    let Recorded::New { id } = bed.record(vec![first]).await[0] else { panic!("not new") };
    let mut changed = order("1", Operation::Grant);
    changed.valid_until = Some(now.plus_secs(86_400));
    let listed = Receipt { received_at: own.plus_secs(2), ..takes("e2", changed) };
    let pull = Pull {
        source: "idm".to_owned(),
        from: None,
        to: "1".to_owned(),
        receipts: vec![listed],
        snapshot: None,
        started_at: own.plus_secs(2),
    };
    let Pulled::Recorded { results, .. } = behind.record_pull(pull).await.unwrap() else { panic!("the cursor moved") };
    assert_eq!(results, [Recorded::Changed { id, revision: 2 }]);
}

fn retry_at(at: Timestamp) -> End {
    End::Retry { at, code: "E-SERVER".to_owned(), reason: "503".to_owned(), new_group: None }
}
