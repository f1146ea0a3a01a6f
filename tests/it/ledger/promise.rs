//! What others do at the worst moment: closings before answers, reopenings under a report, withdrawals on the way.

use super::*;

fn unclear(at: Timestamp) -> End {
    End::Unclear { ask_at: at, quiet_until: at.plus_ms(QUIET_MS), code: "E-BROKEN".to_owned(), reason: "cut".to_owned() }
}

fn parked(code: &str) -> End {
    End::Park { code: code.to_owned(), reason: "Pat Example may not".to_owned() }
}

fn again(at: Timestamp) -> End {
    End::Retry { at, code: "E-CONNECT".to_owned(), reason: "away".to_owned(), new_group: None }
}

fn taken_back(event: &str, x: &str) -> Receipt {
    receipt(event, ReceiptContent::Withdrawn { external_id: x.to_owned(), operation: None })
}

impl Bed {
    /// A create under way.
    async fn sending(&self, event: &str, assignment: Assignment) -> (Id, Leased) {
        let Recorded::New { id } = self.record(vec![takes(event, assignment)]).await[0] else { panic!("not new") };
        assert_eq!(self.plan_all(NOW).await, 1);
        (id, self.lease("desk/desk", NOW).await.remove(0))
    }

    async fn tells(&self, at: Timestamp) -> Vec<(Leased, Outcome, Option<String>)> {
        let told = self.lease("source/idm", at).await;
        told.into_iter()
            .map(|l| {
                let Load::Report { completion, .. } = l.load.clone() else { panic!("no report") };
                (l, completion.outcome, completion.reason)
            })
            .collect()
    }

    async fn acts(&self, action: Action) -> Acted {
        self.ledger.act(action, "olga", NOW.plus_secs(100)).await.unwrap()
    }

    async fn run_sql(&self, sql: &str) {
        self.place.run(sql).await;
    }
}

fn ticket_of(leased: &Leased) -> Id {
    let Load::Create { ticket_id, .. } = leased.load else { panic!("no create") };
    ticket_id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_closed_before_its_create_was_answered_stays_closed() {
    for answered in [true, false] {
        let bed = bed().await;
        let grant = order("1", Operation::Grant);
        let key = key_of(&grant);
        let (id, sent) = bed.sending("e1", grant).await;
        assert!(bed.ledger.witness("desk", &key, &ticket("IAM-1"), NOW).await.unwrap());
        bed.ledger.observe(vec![closed(ticket_of(&sent), "IAM-1", &key, Outcome::Fulfilled)], NOW.plus_secs(1)).await.unwrap();
        assert_eq!(bed.state(id).await, "closed");
        if answered {
            assert!(bed.settle(&sent, NOW.plus_secs(2), filed("IAM-1")).await);
        } else {
            let asked = bed.lease("desk/desk", NOW.plus_secs(60)).await;
            assert!(bed.settle(&asked[0], NOW.plus_secs(61), End::Miss { ask_at: NOW.plus_secs(62) }).await);
        }
        assert_eq!(bed.state(id).await, "closed");
        assert_eq!(bed.text("SELECT state FROM ticket").await, "closed");
        let told = bed.tells(NOW.plus_secs(70)).await;
        assert_eq!((told.len(), told[0].1), (1, Outcome::Fulfilled));
        assert!(bed.lease("desk/desk", NOW.plus_secs(900)).await.is_empty());
        bed.chains_hold().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reopening_under_a_report_never_stops_the_others() {
    let bed = bed().await;
    let grant = order("1", Operation::Grant);
    let key = key_of(&grant);
    let (id, row) = bed.opened("e1", grant, "IAM-1").await;
    let reopened = || Observation::Seen { ticket_id: row, status: Box::new(status("IAM-1", &key, Category::Open, None)) };
    let mut ids = Vec::new();
    for (n, end) in [End::Done, again(NOW), parked("E-REFUSED")].into_iter().enumerate() {
        let at = NOW.plus_secs(10 * n as i64);
        bed.ledger.observe(vec![closed(row, "IAM-1", &key, Outcome::Fulfilled)], at).await.unwrap();
        let told = bed.tells(at).await;
        assert_eq!(told.len(), 1);
        ids.push(told[0].0.mark.clone());
        bed.ledger.observe(vec![reopened()], at.plus_secs(1)).await.unwrap();
        assert!(bed.settle(&told[0].0, at.plus_secs(2), end).await);
        assert_eq!(bed.state(id).await, "rework");
        assert!(bed.tells(at.plus_secs(3)).await.is_empty(), "what would be untrue is not told");
    }
    ids.dedup();
    assert_eq!(ids.len(), 3, "each closing has a report of its own");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unclear_create_that_waits_for_a_person_is_never_just_sent_again() {
    let bed = bed().await;
    let (id, sent) = bed.sending("e1", order("1", Operation::Grant)).await;
    assert!(bed.settle(&sent, NOW, unclear(NOW)).await);
    let asked = bed.lease("desk/desk", NOW.plus_secs(1)).await;
    assert!(bed.settle(&asked[0], NOW.plus_secs(1), parked("E-UNSEARCHABLE")).await);
    assert!(matches!(bed.acts(Action::RetryErrand { errand: sent.id }).await, Acted::NotNow(_)));
    assert_eq!(bed.acts(Action::Unpark { assignment: id }).await, Acted::Done);
    let asked = bed.lease("desk/desk", NOW.plus_secs(102)).await;
    assert_eq!(asked[0].step, Step::Witness);
    assert!(bed.settle(&asked[0], NOW.plus_secs(102), parked("E-UNSEARCHABLE")).await);
    let decide = Action::Decide { assignment: id, outcome: Outcome::Fulfilled, reason: "seen".to_owned() };
    assert!(matches!(bed.acts(decide).await, Acted::NotNow(_)));
    let is = Action::TicketIs { errand: sent.id, ref_id: "7".to_owned(), ref_number: "IAM-7".to_owned() };
    assert_eq!(bed.acts(is).await, Acted::Done);
    assert_eq!(bed.state(id).await, "open");
    assert_eq!(bed.text("SELECT COUNT(*) FROM assignment WHERE parked_at IS NOT NULL").await, "0");

    let mut other = order("2", Operation::Grant);
    other.beneficiary.id = "p2".to_owned();
    let (_, sent) = bed.sending("e2", other).await;
    assert!(bed.settle(&sent, NOW, unclear(NOW)).await);
    let asked = bed.lease("desk/desk", NOW.plus_secs(103)).await;
    assert!(bed.settle(&asked[0], NOW.plus_secs(103), parked("E-UNSEARCHABLE")).await);
    let is = Action::TicketIs { errand: sent.id, ref_id: "7".to_owned(), ref_number: "IAM-7".to_owned() };
    assert!(matches!(bed.acts(is).await, Acted::NotNow(_)), "one ticket is not two orders'");
    assert_eq!(bed.acts(Action::NoTicket { errand: sent.id }).await, Acted::Done);
    assert_eq!(bed.lease("desk/desk", NOW.plus_secs(104)).await[0].step, Step::Send);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_taken_back_on_its_way_makes_no_ticket() {
    for end in [again(NOW.plus_secs(5)), parked("E-REFUSED"), unclear(NOW)] {
        for back_first in [true, false] {
            let bed = bed().await;
            let (id, sent) = bed.sending("e1", order("1", Operation::Grant)).await;
            if back_first {
                bed.record(vec![taken_back("w1", "1")]).await;
            }
            assert!(bed.settle(&sent, NOW, end.clone()).await);
            if !back_first {
                bed.record(vec![taken_back("w1", "1")]).await;
            }
            if matches!(end, End::Unclear { .. }) {
                let asked = bed.lease("desk/desk", NOW.plus_secs(61)).await;
                assert!(bed.settle(&asked[0], NOW.plus_secs(61), End::Clear).await);
            }
            assert_eq!(bed.state(id).await, "closed", "{end:?}");
            assert!(bed.lease("desk/desk", NOW.plus_secs(900)).await.is_empty(), "{end:?}");
            let told = bed.tells(NOW.plus_secs(900)).await;
            assert_eq!((told.len(), told[0].1), (1, Outcome::Cancelled), "{end:?}");
            bed.chains_hold().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_lands_late_is_taken_before_another_is_made() {
    let bed = bed().await;
    let grant = order("1", Operation::Grant);
    let (id, sent) = bed.sending("e1", grant.clone()).await;
    assert!(bed.settle(&sent, NOW, unclear(NOW)).await);
    let asked = bed.lease("desk/desk", NOW.plus_secs(61)).await;
    assert!(bed.settle(&asked[0], NOW.plus_secs(61), End::Clear).await);
    assert!(bed.ledger.witness("desk", &key_of(&grant), &ticket("IAM-1"), NOW.plus_secs(62)).await.unwrap());
    assert_eq!(bed.state(id).await, "open");
    assert!(bed.lease("desk/desk", NOW.plus_secs(63)).await.is_empty(), "no second one");
    assert_eq!(bed.ledger.risky_tickets("desk", NOW.plus_secs(900), 9).await.unwrap().len(), 1, "the sweeper looks");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_could_not_be_asked_has_missed_nothing() {
    let bed = bed().await;
    let (_, sent) = bed.sending("e1", order("1", Operation::Grant)).await;
    assert!(bed.settle(&sent, NOW, unclear(NOW)).await);
    let asked = bed.lease("desk/desk", NOW.plus_secs(1)).await;
    assert!(bed.settle(&asked[0], NOW.plus_secs(1), End::Unheard { ask_at: NOW.plus_secs(2) }).await);
    assert_eq!(bed.lease("desk/desk", NOW.plus_secs(3)).await[0].misses, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operators_decision_stands_and_its_reason_reaches_the_platform_only() {
    let bed = bed().await;
    let grant = order("1", Operation::Grant);
    let key = key_of(&grant);
    let (id, row) = bed.opened("e1", grant, "IAM-1").await;
    let decide = Action::Decide { assignment: id, outcome: Outcome::NotPossible, reason: "Pat Example has left".to_owned() };
    assert_eq!(bed.acts(decide).await, Acted::Done);
    let told = bed.tells(NOW.plus_secs(101)).await;
    assert_eq!((told[0].1, told[0].2.as_deref()), (Outcome::NotPossible, Some("Pat Example has left")));
    let still = Observation::Seen { ticket_id: row, status: Box::new(status("IAM-1", &key, Category::InProgress, None)) };
    bed.ledger.observe(vec![still, closed(row, "IAM-1", &key, Outcome::Fulfilled)], NOW.plus_secs(102)).await.unwrap();
    assert_eq!(bed.state(id).await, "closed");
    assert_eq!(bed.text("SELECT COUNT(*) FROM journal WHERE cause || detail LIKE '%Pat%'").await, "0");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_ticket_may_not_be_closed_its_admins_are_told() {
    let bed = bed().await;
    let (id, _) = bed.opened("e1", order("1", Operation::Grant), "IAM-1").await;
    bed.record(vec![taken_back("w1", "1")]).await;
    let closing = bed.lease("desk/desk", NOW.plus_secs(1)).await;
    assert!(bed.settle(&closing[0], NOW.plus_secs(1), parked("E-TRANSITION")).await);
    let comment = bed.lease("desk/desk", NOW.plus_secs(2)).await;
    let Load::Amend { change: lastmile::model::ticket::Change::Comment { body, .. }, .. } = &comment[0].load else { panic!() };
    assert!(body.contains("taken back") && body.contains("close"), "{body}");
    assert_eq!(bed.text("SELECT COUNT(*) FROM assignment WHERE parked_at IS NOT NULL").await, "0");
    assert_eq!(bed.text("SELECT COUNT(*) FROM journal WHERE cause || detail LIKE '%Pat%'").await, "0");
    assert_eq!(bed.state(id).await, "open");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_ticket_keeps_its_order_and_an_unreadable_one_is_looked_at_soon() {
    let bed = bed().await;
    let grant = order("1", Operation::Grant);
    let key = key_of(&grant);
    let (_, row) = bed.opened("e1", grant, "IAM-1").await;
    let mut moved = status("IAM-1", &key, Category::Open, None);
    moved.ticket.number = "OPS-9".to_owned();
    bed.ledger.observe(vec![Observation::Seen { ticket_id: row, status: Box::new(moved) }], NOW.plus_secs(5)).await.unwrap();
    assert_eq!(bed.text("SELECT ref_number FROM ticket").await, "OPS-9");
    let unread = Observation::Unreadable { ticket_id: row, reason: "odd".to_owned() };
    bed.ledger.observe(vec![unread], NOW.plus_secs(6)).await.unwrap();
    assert!(bed.ledger.tickets_to_check("desk", NOW.plus_secs(900), 9).await.unwrap().is_empty(), "in nobody's way");
    assert_eq!(bed.ledger.tickets_to_check("desk", Timestamp(2), 9).await.unwrap().len(), 1);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_errand_that_cannot_be_read_keeps_no_other_from_going() {
    let bed = bed().await;
    bed.record(vec![takes("e1", order("1", Operation::Grant))]).await;
    bed.plan_all(NOW).await;
    bed.run_sql("DELETE FROM ticket_draft").await;
    let mut other = order("2", Operation::Grant);
    other.beneficiary.id = "p2".to_owned();
    bed.record(vec![takes("e2", other)]).await;
    bed.plan_all(NOW).await;
    assert_eq!(bed.lease("desk/desk", NOW.plus_secs(1)).await.len(), 1);
    assert_eq!(bed.text("SELECT parked_code FROM assignment WHERE external_id = '1'").await, "E-LEDGER");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_report_says_the_very_same() {
    let bed = bed().await;
    let grant = order("1", Operation::Grant);
    let key = key_of(&grant);
    let (id, row) = bed.opened("e1", grant, "IAM-1").await;
    bed.ledger.observe(vec![closed(row, "IAM-1", &key, Outcome::Fulfilled)], NOW.plus_secs(5)).await.unwrap();
    let told = bed.tells(NOW.plus_secs(6)).await;
    let Load::Report { completion: first, .. } = &told[0].0.load else { panic!() };
    assert!(bed.settle(&told[0].0, NOW.plus_secs(6), again(NOW.plus_secs(7))).await);
    let told = bed.tells(NOW.plus_secs(8)).await;
    let Load::Report { completion: second, .. } = &told[0].0.load else { panic!() };
    assert_eq!(first, second, "a repeated report says the very same");
    assert!(bed.settle(&told[0].0, NOW.plus_secs(8), End::Done).await);
    assert_eq!(bed.state(id).await, "reported");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_refuses_to_answer_ends_no_order_that_was_taken_back() {
    let bed = bed().await;
    let (id, sent) = bed.sending("e1", order("1", Operation::Grant)).await;
    assert!(bed.settle(&sent, NOW, unclear(NOW)).await);
    bed.record(vec![taken_back("w1", "1")]).await;
    let asked = bed.lease("desk/desk", NOW.plus_secs(1)).await;
    assert!(bed.settle(&asked[0], NOW.plus_secs(1), parked("E-UNSEARCHABLE")).await);
    assert_eq!(bed.state(id).await, "unclear", "its ticket may be there, and somebody may work on it");
    assert!(bed.tells(NOW.plus_secs(2)).await.is_empty());
    let is = Action::TicketIs { errand: sent.id, ref_id: "7".to_owned(), ref_number: "IAM-7".to_owned() };
    assert_eq!(bed.acts(is).await, Acted::Done);
    let told = bed.lease("desk/desk", NOW.plus_secs(200)).await;
    assert!(matches!(told[0].load, Load::Amend { .. }), "the ticket hears that the order was taken back");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unclear_report_of_a_closing_that_no_longer_stands_is_let_go() {
    let bed = bed().await;
    let grant = order("1", Operation::Grant);
    let key = key_of(&grant);
    let (_, row) = bed.opened("e1", grant, "IAM-1").await;
    let reopened = || Observation::Seen { ticket_id: row, status: Box::new(status("IAM-1", &key, Category::Open, None)) };
    bed.ledger.observe(vec![closed(row, "IAM-1", &key, Outcome::NotPossible)], NOW.plus_secs(1)).await.unwrap();
    let first = bed.tells(NOW.plus_secs(2)).await.remove(0).0;
    bed.ledger.observe(vec![reopened()], NOW.plus_secs(3)).await.unwrap();
    // The process stops: the lease runs out.
    assert!(bed.tells(NOW.plus_secs(60)).await.is_empty());
    assert_eq!(bed.text("SELECT COUNT(*) FROM assignment WHERE parked_at IS NOT NULL").await, "0", "nobody needs to look");
    bed.ledger.observe(vec![closed(row, "IAM-1", &key, Outcome::Fulfilled)], NOW.plus_secs(70)).await.unwrap();
    let told = bed.tells(NOW.plus_secs(71)).await;
    assert_eq!((told.len(), told[0].1), (1, Outcome::Fulfilled));
    assert_ne!(told[0].0.mark, first.mark);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_to_an_earlier_report_does_not_stand_for_a_later_one() {
    for end in [End::Done, again(NOW.plus_secs(9))] {
        let bed = bed().await;
        let grant = order("1", Operation::Grant);
        let key = key_of(&grant);
        let (id, row) = bed.opened("e1", grant, "IAM-1").await;
        let reopened = || Observation::Seen { ticket_id: row, status: Box::new(status("IAM-1", &key, Category::Open, None)) };
        bed.ledger.observe(vec![closed(row, "IAM-1", &key, Outcome::NotPossible)], NOW.plus_secs(1)).await.unwrap();
        let first = bed.tells(NOW.plus_secs(2)).await.remove(0).0;
        bed.ledger.observe(vec![reopened()], NOW.plus_secs(3)).await.unwrap();
        bed.ledger.observe(vec![closed(row, "IAM-1", &key, Outcome::Fulfilled)], NOW.plus_secs(4)).await.unwrap();
        assert!(bed.settle(&first, NOW.plus_secs(5), end).await);
        assert_eq!(bed.state(id).await, "closed", "its outcome is not told yet");
        let told = bed.tells(NOW.plus_secs(10)).await;
        assert_eq!((told.len(), told[0].1), (1, Outcome::Fulfilled));
        assert!(bed.settle(&told[0].0, NOW.plus_secs(11), End::Done).await);
        assert_eq!(bed.state(id).await, "reported");
        bed.chains_hold().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comment_that_may_be_there_is_looked_for_before_it_is_sent_again() {
    for (code, step) in [("E-RIGHTS", Step::Witness), ("E-UNSEARCHABLE", Step::Send)] {
        let bed = bed().await;
        let grant = order("1", Operation::Grant);
        let (id, _) = bed.opened("e1", grant.clone(), "IAM-1").await;
        bed.record(vec![takes("e2", Assignment { priority: 2, ..grant })]).await;
        let comment = bed.lease("desk/desk", NOW.plus_secs(1)).await;
        assert!(bed.settle(&comment[0], NOW.plus_secs(1), unclear(NOW)).await);
        // The ticket's new text goes beside it, and is repeated as it is.
        assert!(bed.settle(&comment[1], NOW.plus_secs(1), End::Done).await);
        let asked = bed.lease("desk/desk", NOW.plus_secs(2)).await;
        assert!(bed.settle(&asked[0], NOW.plus_secs(2), parked(code)).await);
        assert_eq!(bed.acts(Action::Unpark { assignment: id }).await, Acted::Done);
        let again = bed.lease("desk/desk", NOW.plus_secs(101)).await;
        assert_eq!((again.len(), again[0].id, again[0].step), (1, comment[0].id, step), "{code}");
        bed.chains_hold().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_was_hidden_is_looked_at_again() {
    let bed = bed().await;
    let grant = order("1", Operation::Grant);
    let key = key_of(&grant);
    let (id, row) = bed.opened("e1", grant, "IAM-1").await;
    bed.ledger.observe(vec![Observation::Gone { ticket_id: row }], NOW.plus_secs(5)).await.unwrap();
    assert!(bed.ledger.tickets_to_check("desk", NOW.plus_secs(5), 20).await.unwrap().is_empty(), "not at once");
    let held = bed.ledger.tickets_to_check("desk", NOW.plus_secs(900), 20).await.unwrap();
    assert_eq!(held.iter().map(|h| h.id).collect::<Vec<_>>(), [row]);
    bed.ledger.observe(vec![closed(row, "IAM-1", &key, Outcome::Fulfilled)], NOW.plus_secs(901)).await.unwrap();
    assert_eq!(bed.state(id).await, "closed");
    assert_eq!(bed.text("SELECT COUNT(*) FROM assignment WHERE parked_at IS NOT NULL").await, "0");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_report_waits_for_nobody_when_its_ticket_is_opened_again() {
    let bed = bed().await;
    let grant = order("1", Operation::Grant);
    let key = key_of(&grant);
    let (id, row) = bed.opened("e1", grant, "IAM-1").await;
    bed.ledger.observe(vec![closed(row, "IAM-1", &key, Outcome::Fulfilled)], NOW.plus_secs(1)).await.unwrap();
    let told = bed.tells(NOW.plus_secs(2)).await;
    assert!(bed.settle(&told[0].0, NOW.plus_secs(2), parked("E-REFUSED")).await);
    assert_eq!(bed.text("SELECT parked_code FROM assignment").await, "E-REFUSED");
    let open = Observation::Seen { ticket_id: row, status: Box::new(status("IAM-1", &key, Category::Open, None)) };
    bed.ledger.observe(vec![open], NOW.plus_secs(3)).await.unwrap();
    assert_eq!(bed.state(id).await, "rework");
    assert_eq!(bed.text("SELECT COUNT(*) FROM assignment WHERE parked_at IS NOT NULL").await, "0");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_cannot_be_read_keeps_no_other_from_being_planned() {
    let bed = bed().await;
    bed.record(vec![takes("e1", order("1", Operation::Grant))]).await;
    bed.run_sql("UPDATE inbox SET document = NULL").await;
    let mut other = order("2", Operation::Grant);
    other.beneficiary.id = "p2".to_owned();
    bed.record(vec![takes("e2", other)]).await;
    assert_eq!(bed.plan_all(NOW).await, 1);
    assert_eq!(bed.text("SELECT parked_code FROM assignment WHERE external_id = '1'").await, "E-LEDGER");
    assert_eq!(bed.plan_all(NOW.plus_secs(1)).await, 0);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_of_long_ago_takes_back_no_order_that_was_approved_since() {
    for (approved, state) in [(NOW.plus_secs(-60), "closed"), (NOW.plus_secs(7 * 86_400), "received")] {
        let bed = bed().await;
        assert_eq!(bed.record(vec![taken_back("w1", "1")]).await, [Recorded::UnknownOrder]);
        let again = Assignment { generation: 2, approved_at: Some(approved), ..order("1", Operation::Grant) };
        let Recorded::New { id } = bed.record(vec![takes("e1", again)]).await[0] else { panic!("not new") };
        assert_eq!(bed.state(id).await, state);
        bed.chains_hold().await;
    }
}

/// A desk that names one ticket for two orders: the second waits for a person, and nobody else waits with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_is_another_orders_is_parked_and_keeps_nobody_from_being_settled() {
    let bed = bed().await;
    let of = |id: &str| Assignment {
        beneficiary: Person { id: id.to_owned(), name: None, email: None },
        ..order(id, Operation::Grant)
    };
    bed.opened("e1", of("1"), "IAM-1").await;
    bed.record(vec![takes("e2", of("2")), takes("e3", of("3")), takes("e4", of("4"))]).await;
    assert_eq!(bed.plan_all(NOW).await, 3);
    let sent = bed.lease("desk/desk", NOW).await;
    // The first gets a ticket that is taken; the other two get one and the same.
    let ends = [filed("IAM-1"), filed("IAM-2"), filed("IAM-2")];
    let settlements = sent.iter().zip(ends).map(|(l, end)| Settlement { id: l.id, lease_no: l.lease_no, at: NOW, end }).collect();
    assert_eq!(bed.ledger.settle(settlements).await.unwrap(), [true; 3]);
    let count = async |sql: &str| bed.text(sql).await;
    assert_eq!(count("SELECT COUNT(*) FROM assignment WHERE state = 'unclear' AND parked_code = 'E-TAKEN'").await, "2");
    assert_eq!(count("SELECT COUNT(*) FROM assignment WHERE state = 'open' AND parked_at IS NULL").await, "2");
    assert!(bed.lease("desk/desk", NOW.plus_secs(600)).await.is_empty(), "nothing is sent unasked");
    // Another try asks for the key first.
    assert_eq!(bed.acts(Action::RetryErrand { errand: sent[0].id }).await, Acted::Done);
    let steps: Vec<_> = bed.lease("desk/desk", NOW.plus_secs(700)).await.iter().map(|l| l.step).collect();
    assert_eq!(steps, [Step::Witness]);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_names_another_orders_ticket_is_no_witness() {
    let bed = bed().await;
    let of = |id: &str| Assignment {
        beneficiary: Person { id: id.to_owned(), name: None, email: None },
        ..order(id, Operation::Grant)
    };
    bed.opened("e1", of("1"), "IAM-1").await;
    let (_, sent) = bed.sending("e2", of("2")).await;
    assert!(!bed.ledger.witness("desk", &key_of(&of("2")), &ticket("IAM-1"), NOW).await.unwrap());
    assert!(bed.settle(&sent, NOW, filed("IAM-2")).await);
}

/// A decision stands however often the desk's own closing is read.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_desk_says_twice_does_not_overturn_a_decision() {
    let bed = bed().await;
    let grant = order("1", Operation::Grant);
    let key = key_of(&grant);
    let (id, ticket_id) = bed.opened("e1", grant, "IAM-1").await;
    let decide = Action::Decide { assignment: id, outcome: Outcome::NotPossible, reason: "retired".to_owned() };
    assert_eq!(bed.acts(decide).await, Acted::Done);
    for second in 1..4 {
        let said = closed(ticket_id, "IAM-1", &key, Outcome::Fulfilled);
        bed.ledger.observe(vec![said], NOW.plus_secs(700 + second)).await.unwrap();
        assert_eq!(bed.text("SELECT outcome FROM assignment").await, "not_possible", "look {second}");
    }
    let told = bed.tells(NOW.plus_secs(800)).await;
    assert_eq!((told.len(), told[0].1), (1, Outcome::NotPossible));
    bed.chains_hold().await;
}

/// Reported, and the list of what is pending shows it still: found, and told again under the same id.
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_the_platform_lost_is_found_in_its_list_and_told_again() {
    use lastmile::ledger::Comparing as _;
    use lastmile::ledger::compare::Sight;
    let bed = bed().await;
    let shows = |n: i64, at: Timestamp| Pull {
        source: "idm".to_owned(),
        from: (n > 1).then(|| (n - 1).to_string()),
        to: n.to_string(),
        receipts: vec![Receipt { received_at: at, ..takes("row-1", order("1", Operation::Grant)) }],
        snapshot: Some(Snapshot { present: vec!["1".to_owned()], one_page: true }),
        started_at: at,
    };
    bed.ledger.record_pull(shows(1, NOW)).await.unwrap();
    bed.plan_all(NOW).await;
    let sent = bed.lease("desk/desk", NOW).await.remove(0);
    assert!(bed.settle(&sent, NOW, filed("IAM-1")).await);
    let key = key_of(&order("1", Operation::Grant));
    bed.ledger.observe(vec![closed(ticket_of(&sent), "IAM-1", &key, Outcome::Fulfilled)], NOW.plus_secs(900)).await.unwrap();
    let told = bed.tells(NOW.plus_secs(901)).await.remove(0).0;
    assert!(bed.settle(&told, NOW.plus_secs(902), End::Done).await);
    let late = NOW.plus_secs(7200);
    assert_eq!(bed.ledger.listed_still("idm", late).await.unwrap(), [], "the list was read before the report");
    bed.ledger.record_pull(shows(2, late)).await.unwrap();
    let still = bed.ledger.listed_still("idm", late).await.unwrap();
    assert_eq!(bed.ledger.compare("source/idm", still.into_iter().map(Sight::Untold).collect(), late).await.unwrap(), 1);
    let found = bed.ledger.findings(&None, 10).await.unwrap().remove(0);
    assert_eq!((found.number.as_str(), found.edge.as_str()), ("1", "source/idm"));
    assert_eq!(bed.acts(Action::Repair { finding: found.id }).await, Acted::Done);
    let again = bed.tells(late.plus_secs(1)).await.remove(0).0;
    assert_eq!((again.id, &again.mark), (told.id, &told.mark), "the same id");
    assert!(bed.settle(&again, late.plus_secs(2), End::Done).await);
    assert_eq!(bed.text("SELECT cause FROM journal ORDER BY seq DESC").await, "the platform was told again");
    bed.chains_hold().await;
}
