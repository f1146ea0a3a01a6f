//! What figures make of single orders: when each is expected, repetitions, and persons who leave.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_new_ticket_is_told_once_by_when_it_is_expected() {
    let mut bed = Bed::new().await;
    bed.load(&history()).await;
    bed.count().await;
    let id = bed.open("O-1", "crm", Operation::Grant, NOW, None).await;
    bed.count().await;
    assert_eq!(bed.ledger.case(id).await.unwrap().1, None, "without a ticket nothing is said");
    let request = LeaseRequest {
        edge: "desk/jira".to_owned(),
        owner: "w".to_owned(),
        now: NOW,
        lease_ms: 30_000,
        quiet_ms: 60_000,
        limit: 10,
        witnesses_only: false,
    };
    let leased = bed.ledger.lease(request).await.unwrap().remove(0);
    let ticket = TicketRef { id: "1".to_owned(), number: "T-1".to_owned() };
    let created = Created { ticket, url: None, key_confirmed: true, group_missed: false };
    let settled = Settlement { id: leased.id, lease_no: leased.lease_no, at: NOW, end: End::Filed(created) };
    assert_eq!(bed.ledger.settle(vec![settled]).await.unwrap(), [true]);
    assert_eq!(bed.count().await, 1, "the commit told that it changed");
    let said = bed.ledger.case(id).await.unwrap().1.unwrap();
    // By the working time of the group's own grants on this application, stretched or shortened by its small backlog.
    assert_eq!(said.made_at, NOW);
    assert!(NOW < said.half_by && said.half_by < said.nine_by && said.nine_by < NOW.plus_ms(14 * DAY), "{said:?}");
    bed.clock.advance_ms(DAY);
    bed.count_anew().await;
    assert_eq!(bed.ledger.case(id).await.unwrap().1, Some(said), "said once");
    // Closed in between: in time for nine of ten, too late for half.
    let closed = Timestamp(i64::midpoint(said.half_by.0, said.nine_by.0));
    bed.clock.advance_ms(14 * DAY);
    let held = bed.ledger.held("jira", &["1".to_owned()]).await.unwrap().remove(0);
    let status = TicketStatus {
        ticket: held.ticket.clone(),
        key: Some(held.key.clone()),
        category: Category::Closed,
        outcome: Some(Outcome::Fulfilled),
        status: "Done".to_owned(),
        resolution: None,
        group: None,
        assigned: false,
        created_by: None,
        updated_at: None,
        closed_at: Some(closed),
    };
    let reading =
        TicketReading { status, closer: None, words: None, first_work_at: None, closed_by_us: None, evidence: Vec::new() };
    let seen = Observation::Closed { ticket_id: held.id, reading: Box::new(reading) };
    assert_eq!(bed.ledger.observe(vec![seen], bed.clock.now()).await.unwrap(), 1);
    bed.count().await;
    let hits = bed.report(&Asked::default()).await.all.forecast;
    assert_eq!((hits.n, hits.half, hits.nine), (1, 0, 1));
    assert!(bed.verified().await.agrees());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_comes_again_was_not_right_the_first_time() {
    let mut bed = Bed::new().await;
    let again = |name: &str, role: &str, ago_days: i64| {
        let mut truth = history().swap_remove(0);
        truth.past.assignment.external_id = name.to_owned();
        truth.past.assignment.entitlement = Some(Named { id: role.to_owned(), name: "Role".to_owned() });
        truth.past.assignment.approved_at = Some(NOW.plus_ms(-ago_days * DAY));
        for at in [&mut truth.past.received_at, &mut truth.past.eligible_at, &mut truth.past.filed_at] {
            *at = NOW.plus_ms(-ago_days * DAY);
        }
        truth.past.first_work_at = None;
        truth.past.closed_at = NOW.plus_ms(-ago_days * DAY + HOUR);
        truth.past.reported_at = truth.past.closed_at;
        truth.past.number = format!("T-{name}");
        truth
    };
    bed.load(&[again("B-1", "one", 25), again("B-2", "two", 25)]).await;
    bed.count().await;
    let right = async |bed: &Bed| bed.report(&Asked::default()).await.all.quality.right;
    assert_eq!(right(&bed).await, 2);
    bed.load(&[again("B-3", "one", 20), again("B-4", "two", 5)]).await;
    bed.count().await;
    assert_eq!(right(&bed).await, 3, "five days later counts, twenty do not");
    assert!(bed.verified().await.agrees());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_left_when_the_platform_says_so() {
    let mut bed = Bed::new().await;
    let id = bed.open("O-1", "crm", Operation::Revoke, NOW.plus_ms(-2 * DAY), None).await;
    bed.count().await;
    assert_eq!(bed.report(&Asked::default()).await.all.leavers.n, 0, "a revocation alone is no leaving");
    let receipt = Receipt {
        source: "idm".to_owned(),
        event_id: "left".to_owned(),
        digest: "left".to_owned(),
        received_at: NOW,
        content: ReceiptContent::Left { person: "someone".to_owned() },
    };
    bed.ledger.record(vec![receipt]).await.unwrap();
    assert_eq!(bed.count().await, 1, "the order was hurried");
    let leavers = bed.report(&Asked::default()).await.all.leavers;
    assert_eq!((leavers.n, leavers.overdue_open), (1, 0), "not since the order of two days ago");
    let asked = Asked { which: Some(Which::Leavers), ..Asked::default() };
    let rows = behind(&bed.ledger, &bed.catalog, &None, &asked, NOW, 10).await.unwrap();
    assert_eq!((rows[0].row.id, rows[0].row.exact), (id, NOW));
    bed.clock.advance_ms(2 * DAY);
    bed.count().await;
    assert_eq!(bed.report(&Asked::default()).await.all.leavers.overdue_open, 1);
    assert!(bed.verified().await.agrees());
}
