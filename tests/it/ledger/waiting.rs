//! Platforms that wait only so long: told no at the worst moments, and what closes too late.

use super::*;
use lastmile::ledger::{TimeUp, Views};

const BY: Timestamp = Timestamp(NOW.0 + 1_000_000);

fn waits(id: &str) -> Assignment {
    Assignment { answer_by: Some(BY), ..order(id, Operation::Grant) }
}

impl Bed {
    async fn denied(&self, id: Id, at: Timestamp) -> usize {
        let no = TimeUp::Deny { reason: "nobody was in time".to_owned() };
        self.ledger.time_is_up(vec![(id, no)], at).await.unwrap()
    }

    /// Ids of those that wait until `at` or earlier.
    async fn waiting(&self, at: Timestamp) -> Vec<Id> {
        self.ledger.waiting("idm", at, 100).await.unwrap().into_iter().map(|w| w.id).collect()
    }

    async fn events(&self, id: Id) -> Vec<String> {
        let detail = self.ledger.assignment(id, &None, true).await.unwrap().unwrap();
        detail.journal.into_iter().map(|line| line.event).collect()
    }

    /// The platform is told no, once, with the reason.
    async fn is_told_no(&self, id: Id, at: Timestamp) {
        let told = self.lease("source/idm", at).await;
        let [leased] = &told[..] else { panic!("{} reports", told.len()) };
        let Load::Report { assignment_id, completion } = &leased.load else { panic!("no report") };
        assert_eq!((*assignment_id, completion.outcome, completion.success), (id, Outcome::Cancelled, false));
        assert_eq!(completion.reason.as_deref(), Some("nobody was in time"));
        assert!(self.settle(leased, at, End::Done).await);
        assert_eq!(self.state(id).await, "reported");
        assert!(self.waiting(at.plus_secs(9_000_000)).await.is_empty(), "it has its answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_waits_until_it_is_answered() {
    let bed = bed().await;
    let (open, ticket) = bed.opened("e1", waits("1"), "IAM-1").await;
    bed.record(vec![takes("e2", order("2", Operation::Revoke))]).await;
    assert!(bed.waiting(BY.plus_ms(-1)).await.is_empty());
    assert_eq!(bed.waiting(BY).await, [open], "the other platform does not wait");
    assert!(bed.ledger.waiting("other", BY, 100).await.unwrap().is_empty());
    // Alarmed once, however often it is found.
    for _ in 0..3 {
        assert_eq!(bed.ledger.time_is_up(vec![(open, TimeUp::Alarm)], BY).await.unwrap(), 0, "nobody was told no");
    }
    assert_eq!(bed.events(open).await.iter().filter(|e| *e == "overdue").count(), 1);
    // Closed, and its report is owed: it still waits for that one, and is not told no any more.
    assert_eq!(bed.ledger.observe(vec![closed(ticket, "IAM-1", &key_of(&waits("1")), Outcome::Fulfilled)], BY).await.unwrap(), 1);
    assert_eq!(bed.waiting(BY).await, [open]);
    assert_eq!(bed.denied(open, BY).await, 0);
    let told = bed.lease("source/idm", BY).await.remove(0);
    let park = |code: &str| End::Park { code: code.to_owned(), reason: "no".to_owned() };
    assert!(bed.settle(&told, BY, park("E-REFUSED")).await);
    assert_eq!(bed.waiting(BY).await, [open], "refused for another reason, it waits all the same");
    bed.ledger.act(Action::RetryErrand { errand: told.id }, "olga", BY).await.unwrap();
    let told = bed.lease("source/idm", BY.plus_secs(1)).await.remove(0);
    assert!(bed.settle(&told, BY, park("E-DEADLINE")).await);
    assert!(bed.waiting(BY).await.is_empty(), "nobody waits any more");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_told_no_wherever_it_stands() {
    // Nothing was sent: no ticket is made.
    let unsent = bed().await;
    let Recorded::New { id } = unsent.record(vec![takes("e1", waits("1"))]).await[0] else { panic!() };
    assert_eq!((unsent.denied(id, BY).await, unsent.denied(id, BY).await), (1, 0));
    unsent.plan_all(BY).await;
    assert!(unsent.lease("desk/desk", BY).await.is_empty());
    unsent.is_told_no(id, BY).await;
    unsent.chains_hold().await;

    // Drafted and not sent: the draft goes.
    let drafted = bed().await;
    let Recorded::New { id } = drafted.record(vec![takes("e1", waits("1"))]).await[0] else { panic!() };
    drafted.plan_all(NOW).await;
    assert_eq!(drafted.denied(id, BY).await, 1);
    assert!(drafted.lease("desk/desk", BY).await.is_empty());
    drafted.is_told_no(id, BY).await;
    drafted.chains_hold().await;

    // Open and untouched: its ticket is closed by us.
    let open = bed().await;
    let (id, _) = open.opened("e1", waits("1"), "IAM-1").await;
    assert_eq!(open.denied(id, BY).await, 1);
    let closing = open.lease("desk/desk", BY).await;
    assert!(matches!(&closing[0].load, Load::Amend { ticket, .. } if ticket.number == "IAM-1"));
    open.is_told_no(id, BY).await;
    open.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_under_way_when_it_is_told_no_ends_well_either_way() {
    for (n, end) in
        [filed("IAM-1"), End::Clear, End::Park { code: "E-REFUSED".to_owned(), reason: "no".to_owned() }].into_iter().enumerate()
    {
        let bed = bed().await;
        let Recorded::New { id } = bed.record(vec![takes("e1", waits("1"))]).await[0] else { panic!() };
        bed.plan_all(NOW).await;
        let leased = bed.lease("desk/desk", NOW).await.remove(0);
        let Load::Create { ticket_id, .. } = leased.load else { panic!("no create") };
        assert_eq!(bed.denied(id, BY).await, 1);
        assert!(bed.settle(&leased, BY, end).await);
        bed.is_told_no(id, BY).await;
        let next = bed.lease("desk/desk", BY.plus_secs(1)).await;
        if n > 0 {
            assert!(next.is_empty(), "no ticket, and none is made any more");
            bed.chains_hold().await;
            continue;
        }
        // It became a ticket: that one is told, and followed until it is closed.
        assert!(matches!(&next[0].load, Load::Amend { ticket, .. } if ticket.number == "IAM-1"));
        assert_eq!(bed.ledger.open_tickets("desk").await.unwrap(), 1);
        let late = closed(ticket_id, "IAM-1", &key_of(&waits("1")), Outcome::Fulfilled);
        assert_eq!(bed.ledger.observe(vec![late.clone()], BY.plus_secs(9)).await.unwrap(), 1);
        assert_eq!(bed.ledger.observe(vec![late], BY.plus_secs(10)).await.unwrap(), 0, "known");
        let row = bed.ledger.assignment(id, &None, true).await.unwrap().unwrap().row;
        assert_eq!((row.state.as_str(), row.outcome.as_deref()), ("reported", Some("cancelled")));
        assert_eq!(row.parked_code.as_deref(), Some("E-LATE"));
        assert!(bed.events(id).await.contains(&"closed_too_late".to_owned()));
        assert!(bed.lease("source/idm", BY.plus_secs(20)).await.is_empty(), "the platform has had its answer");
        bed.chains_hold().await;
    }
}
