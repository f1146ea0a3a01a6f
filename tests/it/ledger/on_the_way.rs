//! Steps told to platforms, pauses, leavers, and closings that came too late.

use super::*;
use lastmile::ledger::Views;
use lastmile::model::progress;

async fn events(bed: &Bed, id: Id) -> Vec<String> {
    let detail = bed.ledger.assignment(id, &None, true).await.unwrap().unwrap();
    detail.journal.into_iter().map(|row| row.event).collect()
}

async fn journal(bed: &Bed, id: Id, event: &str) -> Vec<(i64, i64, String)> {
    let detail = bed.ledger.assignment(id, &None, true).await.unwrap().unwrap();
    let rows = detail.journal.into_iter().filter(|row| row.event == event);
    rows.map(|row| (row.happened_at.0, row.seen_at.0, row.whose_clock)).collect()
}

/// The ticket shows this category at that time of its desk.
async fn shows(bed: &Bed, ticket_id: Id, category: Category, after_s: i64) {
    let mut status = status("IAM-1", &key_of(&order("1", Operation::Grant)), category, None);
    status.updated_at = Some(NOW.plus_secs(after_s));
    let seen = Observation::Seen { ticket_id, status: Box::new(status) };
    bed.ledger.observe(vec![seen], NOW.plus_secs(after_s + 5)).await.unwrap();
}

fn step_of(leased: &Leased) -> (progress::Step, String) {
    let Load::Progress { progress, .. } = &leased.load else { panic!("{:?} is no step", leased.kind) };
    assert_eq!(progress.id, leased.mark);
    (progress.step, progress.id.clone())
}

fn retry(at: Timestamp) -> End {
    End::Retry { at, code: "E-SERVER".to_owned(), reason: "503".to_owned(), new_group: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn steps_are_told_where_they_are_wanted_the_newest_only_and_never_beside_the_outcome() {
    let bed = bed().await;
    let (_, _) = bed.opened("e0", order("0", Operation::Grant), "IAM-0").await;
    assert!(bed.lease("source/idm", NOW).await.is_empty(), "nobody wants them");
    let closing =
        |ticket, number, external: &str| closed(ticket, number, &key_of(&order(external, Operation::Grant)), Outcome::Fulfilled);

    bed.ledger.tell_progress(["idm".to_owned()].into());
    let mut second = order("1", Operation::Grant);
    second.beneficiary.id = "p2".to_owned();
    let (id, ticket) = bed.opened("e1", second, "IAM-1").await;
    let told = bed.lease("source/idm", NOW).await;
    let (step, first_id) = step_of(&told[0]);
    assert_eq!((told.len(), step), (1, progress::Step::Filed));
    // It may have been heard: told again, under the same id.
    assert!(bed.settle(&told[0], NOW, retry(NOW.plus_secs(10))).await);
    let again = bed.lease("source/idm", NOW.plus_secs(10)).await;
    assert_eq!(step_of(&again[0]), (progress::Step::Filed, first_id.clone()));
    assert!(bed.settle(&again[0], NOW.plus_secs(11), End::Done).await);

    // Three steps while nobody told any: the last of them is told.
    shows(&bed, ticket, Category::InProgress, 100).await;
    shows(&bed, ticket, Category::Waiting, 200).await;
    shows(&bed, ticket, Category::InProgress, 300).await;
    let told = bed.lease("source/idm", NOW.plus_secs(400)).await;
    assert_eq!(told.len(), 1);
    let (step, third_id) = step_of(&told[0]);
    assert_eq!(step, progress::Step::InWork);
    assert_ne!(third_id, first_id);
    assert!(bed.settle(&told[0], NOW.plus_secs(401), End::Done).await);

    // One that is under way when the outcome becomes due is neither overtaken by it nor repeated behind it.
    shows(&bed, ticket, Category::Waiting, 500).await;
    let under_way = bed.lease("source/idm", NOW.plus_secs(510)).await;
    assert_eq!(step_of(&under_way[0]).0, progress::Step::Waiting);
    bed.ledger.observe(vec![closing(ticket, "IAM-1", "1")], NOW.plus_secs(600)).await.unwrap();
    let early = bed.ledger.lease(LeaseRequest { lease_ms: 1_000, ..asks("source/idm", NOW.plus_secs(520)) }).await.unwrap();
    assert!(early.is_empty(), "the outcome waits for the end of that call");
    assert!(bed.settle(&under_way[0], NOW.plus_secs(610), retry(NOW.plus_secs(900))).await);
    let outcome = bed.lease("source/idm", NOW.plus_secs(10_000)).await;
    assert_eq!(outcome.len(), 1);
    assert!(matches!(&outcome[0].load, Load::Report { completion, .. } if completion.outcome == Outcome::Fulfilled));
    assert!(bed.settle(&outcome[0], NOW.plus_secs(10_001), End::Done).await);
    assert_eq!(bed.state(id).await, "reported");
    assert!(bed.lease("source/idm", NOW.plus_secs(99_999)).await.is_empty());
    let events = events(&bed, id).await;
    assert_eq!(events.iter().filter(|e| *e == "progress").count(), 2, "{events:?}");
    assert_eq!(events.iter().filter(|e| *e == "progress_dropped").count(), 1, "{events:?}");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_not_told_when_the_outcome_is_due_is_dropped_and_a_refused_one_waits_for_nobody() {
    let bed = bed().await;
    bed.ledger.tell_progress(["idm".to_owned()].into());
    let (id, ticket) = bed.opened("e1", order("1", Operation::Grant), "IAM-1").await;
    let grant = order("1", Operation::Grant);
    bed.ledger.observe(vec![closed(ticket, "IAM-1", &key_of(&grant), Outcome::Fulfilled)], NOW.plus_secs(600)).await.unwrap();
    let told = bed.lease("source/idm", NOW.plus_secs(601)).await;
    assert!(told.len() == 1 && matches!(told[0].load, Load::Report { .. }), "only the outcome");
    assert!(events(&bed, id).await.contains(&"progress_dropped".to_owned()));

    // Opened again: that is told, and refused for good, which parks nothing.
    shows(&bed, ticket, Category::Open, 700).await;
    assert!(bed.settle(&told[0], NOW.plus_secs(701), End::Done).await);
    let told = bed.lease("source/idm", NOW.plus_secs(710)).await;
    assert_eq!(step_of(&told[0]).0, progress::Step::Reopened);
    let refused = End::Park { code: "E-REFUSED".to_owned(), reason: "no such call".to_owned() };
    assert!(bed.settle(&told[0], NOW.plus_secs(711), refused).await);
    let detail = bed.ledger.assignment(id, &None, true).await.unwrap().unwrap();
    assert_eq!((detail.row.state.as_str(), detail.row.parked_code), ("rework", None));
    assert_eq!(detail.journal.last().unwrap().event, "progress_refused");
    // A process that stopped while it told one tells it again: its id is the same.
    shows(&bed, ticket, Category::InProgress, 800).await;
    let lost = bed.lease("source/idm", NOW.plus_secs(810)).await;
    let again = bed.lease("source/idm", NOW.plus_secs(10_000)).await;
    assert_eq!(step_of(&lost[0]), step_of(&again[0]));
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pauses_stand_in_the_journal_by_the_desks_clock_and_end_with_the_closing() {
    let bed = bed().await;
    let (id, ticket) = bed.opened("e1", order("1", Operation::Grant), "IAM-1").await;
    shows(&bed, ticket, Category::InProgress, 100).await;
    shows(&bed, ticket, Category::Waiting, 200).await;
    shows(&bed, ticket, Category::Waiting, 250).await;
    shows(&bed, ticket, Category::InProgress, 300).await;
    shows(&bed, ticket, Category::Waiting, 400).await;
    let grant = order("1", Operation::Grant);
    bed.ledger.observe(vec![closed(ticket, "IAM-1", &key_of(&grant), Outcome::Fulfilled)], NOW.plus_secs(600)).await.unwrap();
    let at = |happened: i64, seen: i64| (NOW.plus_secs(happened).0, NOW.plus_secs(seen).0, "desk".to_owned());
    assert_eq!(journal(&bed, id, "paused").await, [at(200, 205), at(400, 405)]);
    assert_eq!(journal(&bed, id, "resumed").await, [at(300, 305), at(540, 600)]);
    let events = events(&bed, id).await;
    assert_eq!(events[events.len() - 2..], ["resumed", "closed"]);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leavers_grants_are_taken_back_and_what_is_taken_from_them_goes_first() {
    let bed = bed().await;
    let of = |id: &str, person: &str, app: &str, operation| {
        let mut order = order(id, operation);
        order.beneficiary.id = person.to_owned();
        order.application.id = app.to_owned();
        order
    };
    let (open, _) = bed.opened("e1", of("1", "p1", "crm", Operation::Grant), "IAM-1").await;
    let new = bed
        .record(vec![
            takes("e2", of("2", "p1", "sap", Operation::Grant)),
            takes("e3", of("3", "p2", "sap", Operation::Revoke)),
            takes("e4", of("4", "p1", "erp", Operation::Revoke)),
        ])
        .await;
    let ids: Vec<Id> = new.iter().map(|r| if let Recorded::New { id } = r { *id } else { panic!("{r:?}") }).collect();
    assert_eq!(bed.plan_all(NOW).await, 3);
    let left = |event: &str, person: &str| receipt(event, ReceiptContent::Left { person: person.to_owned() });
    assert_eq!(bed.record(vec![left("l1", "p1")]).await, [Recorded::Withdrawn { assignments: 3 }]);
    assert_eq!(bed.record(vec![left("l1", "p1")]).await, [Recorded::Repeat { id: None }], "said again, it is a repeat");
    assert_eq!(bed.record(vec![left("l2", "p9")]).await, [Recorded::Withdrawn { assignments: 0 }]);

    assert_eq!(bed.state(ids[0]).await, "closed", "never sent, dropped");
    assert_eq!(bed.state(open).await, "open", "its ticket is told");
    assert!(events(&bed, ids[2]).await.contains(&"hurried".to_owned()));
    assert!(!events(&bed, ids[1]).await.contains(&"hurried".to_owned()));
    let sent = bed.lease("desk/desk", NOW.plus_secs(1)).await;
    let creates: Vec<String> = sent.iter().filter(|l| matches!(l.load, Load::Create { .. })).map(|l| l.mark.clone()).collect();
    let key = |order: Assignment| key_of(&order).to_string();
    assert_eq!(creates, [key(of("4", "p1", "erp", Operation::Revoke)), key(of("3", "p2", "sap", Operation::Revoke))]);
    assert!(sent.iter().any(|l| matches!(&l.load, Load::Amend { ticket, .. } if ticket.number == "IAM-1")));

    // What comes later for them is planned first, and known for what it is.
    bed.record(vec![takes("e5", of("5", "p2", "hr", Operation::Revoke)), takes("e6", of("6", "p1", "hr", Operation::Revoke))])
        .await;
    let waiting = bed.ledger.to_plan(NOW.plus_secs(5), 1).await.unwrap();
    assert_eq!((waiting[0].assignment.external_id.as_str(), waiting[0].leaver), ("6", true));
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_approved_before_somebody_left_and_arrives_later_is_taken_back() {
    let bed = bed().await;
    bed.record(vec![receipt("l1", ReceiptContent::Left { person: "p1".to_owned() })]).await;
    let approved = |id: &str, at: Option<Timestamp>| {
        let mut order = order(id, Operation::Grant);
        (order.approved_at, order.requested_at) = (at, None);
        order.application.id = format!("app-{id}");
        takes(&format!("e{id}"), order)
    };
    let new = bed.record(vec![approved("1", Some(NOW.plus_secs(-3_600))), approved("2", None)]).await;
    let ids: Vec<Id> = new.iter().map(|r| if let Recorded::New { id } = r { *id } else { panic!("{r:?}") }).collect();
    assert_eq!(bed.state(ids[0]).await, "closed", "only late");
    assert_eq!(bed.state(ids[1]).await, "received", "nobody can tell");
    assert_eq!(bed.plan_all(NOW.plus_secs(9)).await, 1);
    let told = bed.lease("source/idm", NOW.plus_secs(9)).await;
    assert!(matches!(&told[0].load, Load::Report { completion, .. } if completion.outcome == Outcome::Cancelled));
    let row = bed
        .ledger
        .assignment(ids[0], &None, true)
        .await
        .unwrap()
        .unwrap()
        .journal
        .into_iter()
        .find(|row| row.event == "withdrawn");
    assert!(row.unwrap().cause.contains("had left"));
    // Approved after they left: they are back, and nothing is hurried any more.
    bed.record(vec![approved("3", Some(NOW.plus_secs(86_400)))]).await;
    bed.record(vec![takes("e4", order("4", Operation::Revoke))]).await;
    let waiting = bed.ledger.to_plan(NOW.plus_secs(90_000), 10).await.unwrap();
    let of = |id: &str| waiting.iter().find(|w| w.assignment.external_id == id).map(|w| w.leaver);
    assert_eq!((of("3"), of("4")), (Some(false), Some(false)));
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_from_a_leaver_waits_for_no_date() {
    let bed = bed().await;
    let later = |id: &str, person: &str| {
        let mut order = order(id, Operation::Revoke);
        order.beneficiary.id = person.to_owned();
        order.application.id = format!("app-{id}");
        order.valid_from = Some(NOW.plus_secs(30 * 86_400));
        order
    };
    // One waits for its date, one is about to be filed with it, one has its ticket.
    let (open, _) = bed.opened("e0", later("0", "p1"), "IAM-0").await;
    let Recorded::New { id: due } = bed.record(vec![takes("e1", later("1", "p1"))]).await[0] else { panic!() };
    assert_eq!(bed.plan_all(NOW).await, 1);
    let Recorded::New { id: waits } = bed.record(vec![takes("e2", later("2", "p1"))]).await[0] else { panic!() };
    let ours = bed.ledger.to_plan(NOW, 10).await.unwrap().into_iter().find(|w| w.id == waits).unwrap();
    let wait = Decision {
        id: ours.id,
        revision: ours.revision,
        eligible_at: NOW,
        action: PlanAction::Wait { until: NOW.plus_secs(29 * 86_400) },
        catalog_version: "1".to_owned(),
        persons: Vec::new(),
    };
    assert_eq!(bed.ledger.plan(vec![wait], NOW).await.unwrap(), 1);
    assert!(bed.ledger.to_plan(NOW.plus_secs(5), 10).await.unwrap().is_empty());

    let left = |event: &str| receipt(event, ReceiptContent::Left { person: "p1".to_owned() });
    assert_eq!(bed.record(vec![left("l1")]).await, [Recorded::Withdrawn { assignments: 3 }]);
    let mut now: Vec<(Id, bool)> =
        bed.ledger.to_plan(NOW.plus_secs(5), 10).await.unwrap().into_iter().map(|w| (w.id, w.leaver)).collect();
    now.sort();
    assert_eq!(now, [(due, true), (waits, true)], "planned anew, at once");
    let told = bed.lease("desk/desk", NOW.plus_secs(6)).await;
    let Load::Amend { change: lastmile::model::ticket::Change::Comment { body, .. }, ticket, .. } = &told[0].load else {
        panic!()
    };
    assert!(body.contains("has left") && ticket.number == "IAM-0", "{body}");
    assert_eq!((told.len(), bed.state(open).await.as_str()), (1, "open"));
    bed.record(vec![left("l2")]).await;
    assert!(bed.lease("desk/desk", NOW.plus_secs(7)).await.is_empty(), "it is said once");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_order_stands_above_the_text_of_its_ticket_and_the_newest_change_counts() {
    let bed = bed().await;
    let (id, _) = bed.opened("e1", order("1", Operation::Grant), "IAM-1").await;
    for (n, event) in ["e2", "e3"].into_iter().enumerate() {
        let mut moved = order("1", Operation::Grant);
        moved.valid_until = Some(NOW.plus_secs(86_400 * (n as i64 + 40)));
        bed.record(vec![takes(event, moved)]).await;
    }
    let texts = |leased: &[Leased]| -> Vec<String> {
        leased
            .iter()
            .filter_map(|l| match &l.load {
                Load::Amend { change: lastmile::model::ticket::Change::Text { body }, .. } => Some(body.clone()),
                _ => None,
            })
            .collect()
    };
    let sent = bed.lease("desk/desk", NOW.plus_secs(9)).await;
    let text = texts(&sent);
    assert_eq!((sent.len(), text.len()), (3, 1), "two comments; the newer text overtook the other");
    let first = text[0].find("As it was first ordered").unwrap();
    let until = NOW.plus_secs(86_400 * 41).human();
    assert!(text[0][..first].contains(&until) && !text[0].contains(&NOW.plus_secs(86_400 * 40).human()), "{}", text[0]);
    // A desk that keeps its first text: no person is needed, and the timeline says it.
    let refused = || End::Park { code: "E-REFUSED".to_owned(), reason: "not on this desk".to_owned() };
    for leased in &sent {
        let text = matches!(&leased.load, Load::Amend { change: lastmile::model::ticket::Change::Text { .. }, .. });
        assert!(bed.settle(leased, NOW.plus_secs(10), if text { refused() } else { End::Done }).await);
    }
    let detail = bed.ledger.assignment(id, &None, true).await.unwrap().unwrap();
    assert_eq!(detail.row.parked_code, None);
    assert!(detail.journal.iter().any(|row| row.event == "text_kept"));
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_back_is_not_created_although_its_first_create_broke_off() {
    let bed = bed().await;
    let grant = order("1", Operation::Grant);
    let Recorded::New { id } = bed.record(vec![takes("e1", grant.clone())]).await[0] else { panic!() };
    bed.plan_all(NOW).await;
    let sent = bed.lease("desk/desk", NOW).await;
    let end = End::Unclear { ask_at: NOW, quiet_until: NOW, code: "E-BROKEN".to_owned(), reason: "cut".to_owned() };
    assert!(bed.settle(&sent[0], NOW, end).await);
    let asked = bed.lease("desk/desk", NOW.plus_secs(1)).await;
    assert!(bed.settle(&asked[0], NOW.plus_secs(1), End::Clear).await);
    assert_eq!(bed.state(id).await, "due");
    let back = receipt("w1", ReceiptContent::Withdrawn { external_id: "1".to_owned(), operation: None });
    bed.record(vec![back]).await;
    assert_eq!(bed.state(id).await, "closed");
    assert!(bed.lease("desk/desk", NOW.plus_secs(9)).await.is_empty(), "nothing is created to be closed again");
    let told = bed.lease("source/idm", NOW.plus_secs(9)).await;
    assert!(matches!(&told[0].load, Load::Report { completion, .. } if completion.outcome == Outcome::Cancelled));
    // Should a ticket turn up after all, it is known for one too many.
    let late = status("IAM-7", &key_of(&grant), Category::Open, None);
    let stray = lastmile::ledger::Stray { desk: "desk".to_owned(), status: late, untouched_ours: true };
    assert!(bed.ledger.stray(stray, NOW.plus_secs(20)).await.unwrap());
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closing_that_found_the_ticket_closed_is_not_ours() {
    let bed = bed().await;
    let (id, _) = bed.opened("e1", order("1", Operation::Grant), "IAM-1").await;
    bed.record(vec![receipt("w1", ReceiptContent::Withdrawn { external_id: "1".to_owned(), operation: None })]).await;
    let held = || async { bed.ledger.held("desk", &["id-IAM-1".to_owned()]).await.unwrap().remove(0) };
    let closing = bed.lease("desk/desk", NOW.plus_secs(1)).await;
    let found = held().await;
    assert!(found.closing && found.close_sent, "under way: nobody can tell whose closing it is");
    assert!(bed.settle(&closing[0], NOW.plus_secs(2), End::WasClosed).await);
    let found = held().await;
    assert!(!found.closing && !found.close_sent);
    assert!(events(&bed, id).await.contains(&"was_closed".to_owned()));
    bed.chains_hold().await;
}
