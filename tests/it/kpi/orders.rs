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
    let rows = bed.behind(&asked, 10).await;
    assert_eq!((rows[0].row.id, rows[0].row.exact), (id, NOW));
    bed.clock.advance_ms(2 * DAY);
    bed.count().await;
    assert_eq!(bed.report(&Asked::default()).await.all.leavers.overdue_open, 1);
    assert!(bed.verified().await.agrees());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_was_about_to_count_is_found_by_the_next() {
    let mut bed = Bed::new().await;
    bed.load(&history()).await;
    // It measures some orders, and dies before it looks at their persons.
    let step = bed.figures.step(&bed.ledger, &bed.catalog, &bed.clock).await.unwrap();
    assert!(step.cases > 100 && step.persons == 0, "{step:?}");
    let asked = Asked { days: Some(60), ..Asked::default() };
    assert!(bed.report(&asked).await.behind, "they are still to be looked at");
    assert!(bed.verified().await.agrees(), "and are not judged before");
    bed.count_anew().await;
    assert_eq!(bed.report(&asked).await.all.leavers.n, 60);
    assert!(bed.verified().await.agrees());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_was_repeated_is_counted_again_by_whoever_counts() {
    let mut bed = Bed::new().await;
    let again = |name: &str, ago_days: i64| {
        let mut truth = history().swap_remove(0);
        truth.past.assignment.external_id = name.to_owned();
        truth.past.assignment.entitlement = Some(Named { id: "one".to_owned(), name: "Role".to_owned() });
        truth.past.assignment.approved_at = Some(NOW.plus_ms(-ago_days * DAY));
        for at in [&mut truth.past.received_at, &mut truth.past.eligible_at, &mut truth.past.filed_at] {
            *at = NOW.plus_ms(-ago_days * DAY);
        }
        (truth.past.first_work_at, truth.proven) = (None, None);
        truth.past.closed_at = NOW.plus_ms(-ago_days * DAY + HOUR);
        truth.past.reported_at = truth.past.closed_at;
        truth.past.number = format!("T-{name}");
        truth
    };
    bed.load(&[again("B-1", 15)]).await;
    bed.count().await;
    bed.load(&[again("B-2", 5)]).await;
    let step = bed.figures.step(&bed.ledger, &bed.catalog, &bed.clock).await.unwrap();
    assert_eq!(step.cases, 1, "the second; the first waits");
    let found = bed.verified().await;
    assert!(found.agrees() && found.waiting == 1, "{found:?}");
    bed.count_anew().await;
    assert_eq!(bed.report(&Asked::default()).await.all.quality.right, 1, "the first was not right the first time");
    assert!(bed.verified().await.agrees());
}

#[tokio::test(flavor = "multi_thread")]
async fn by_when_an_order_is_due_is_told_alike_everywhere() {
    let mut bed = Bed::new().await;
    let truth = history();
    // A pause that ended moves the target.
    let paused =
        truth.iter().find(|t| t.pause.is_some() && !t.revocation() && t.past.assignment.application.id == "crm").unwrap();
    let of = |t: &Truth| t.past.assignment.external_id.clone();
    bed.load(&truth).await;
    bed.count().await;
    let asked = Asked { days: Some(60), ..Asked::default() };
    let rows = bed.behind(&asked, 10_000).await;
    let shown = rows.iter().find(|shown| shown.row.external_id == of(paused)).unwrap();
    let (id, due) = (shown.row.id, shown.case.due_by.unwrap());
    let cases = measured(&bed.ledger, &bed.catalog, &[id], NOW).await.unwrap();
    let detail = bed.ledger.assignment(id, &None, false).await.unwrap().unwrap();
    let timing = Timing::of(&detail.row, &cases[&id], None, &bed.catalog, NOW);
    let target = timing.target.unwrap();
    assert_eq!(target.due_by, Some(due));
    assert_eq!(target.in_target, Some(paused.past.closed_at <= due));
    let listed = Listed::of(detail.row, &cases, NOW);
    assert_eq!((listed.due_by, listed.overdue), (Some(due), false));
    let plain = bed.catalog.target_of("crm", paused.past.assignment.operation).unwrap();
    let (from, until) = paused.pause.unwrap();
    let calendar = bed.catalog.calendar_of("crm-admins").unwrap();
    let working = Working::over(calendar, NOW.plus_ms(-60 * DAY), NOW);
    let without = business::after(calendar, paused.past.eligible_at, plain.within.ms()).unwrap();
    assert!(plain.clock == ClockKind::Business && (due > without) == (working.between(from, until) > 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_list_of_leavers_is_of_those_that_were_asked_for() {
    let mut bed = Bed::new().await;
    bed.load(&history()).await;
    bed.count().await;
    let of = async |groups: Vec<String>, limit| {
        let asked = Asked { days: Some(60), which: Some(Which::Leavers), admin_groups: groups, ..Asked::default() };
        found(&bed.ledger, &bed.catalog, &None, &asked, NOW, limit).await.unwrap()
    };
    let all = of(Vec::new(), 1_000).await.rows;
    let group = all.last().unwrap().row.dim.admin_group.clone();
    let first = all.iter().position(|shown| shown.row.dim.admin_group == group).unwrap();
    let limit = i64::try_from(first + 1).unwrap();
    let few = of(vec![group.clone()], limit).await;
    let many = all.iter().filter(|shown| shown.row.dim.admin_group == group).count();
    assert_eq!(few.rows.len(), many.min(first + 1), "the others do not count");
    assert!(few.rows.iter().all(|shown| shown.row.dim.admin_group == group) && !few.cut);
    assert!(many > 1 && first < all.len() - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_left_and_still_has_access_is_told_by_when_they_left() {
    let mut bed = Bed::new().await;
    let hour = NOW.plus_ms(-NOW.0.rem_euclid(HOUR) - 30 * HOUR);
    // Within one hour, turn by turn on two applications; and one of the hour before.
    let left = [("f", "crm", -5), ("a", "lims", 10), ("b", "crm", 20), ("c", "lims", 30), ("d", "crm", 40)];
    for (person, app, minute) in left {
        let leaves = order(person, app, Operation::DisableAccount, person);
        bed.open_of(leaves, hour.plus_ms(minute * MINUTE)).await;
    }
    bed.count().await;
    let names = async |asked: &Asked, limit| {
        let rows = leavers_open(&bed.ledger, &bed.catalog, &None, asked, NOW, limit).await.unwrap();
        rows.into_iter().map(|shown| shown.row.external_id).collect::<Vec<_>>()
    };
    assert_eq!(names(&Asked::default(), 10).await, ["f", "a", "b", "c", "d"]);
    assert_eq!(names(&Asked::default(), 3).await, ["f", "a", "b"], "those who left first, not those of one application");
    let of_lims = Asked { application: Some("lims".to_owned()), ..Asked::default() };
    assert_eq!(names(&of_lims, 10).await, ["a", "c"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_says_when_it_is_not_all() {
    let asked = Asked { which: Some(Which::Open), ..Asked::default() };
    let told = |cut| {
        let document = cases(&[], cut, &asked, &None, NOW);
        document.about.into_iter().find(|(label, _)| label == "n").unwrap().1
    };
    assert_eq!(told(false), "0");
    assert!(told(true).contains("not all: 50000 assignments were looked at, those that wait longest"), "{}", told(true));
}

#[tokio::test(flavor = "multi_thread")]
async fn history_names_its_people_and_its_proof() {
    let bed = Bed::new().await;
    let mut truth = history();
    truth.truncate(1);
    let person = |id: &str, name: &str| Person { id: id.to_owned(), name: Some(name.to_owned()), email: None };
    let past = &mut truth[0].past;
    past.assignment.beneficiary = person("p", "Bea Neff");
    past.assignment.approvals = vec![Approval { by: person("a", "Ann Prove"), at: past.assignment.approved_at }];
    (past.closed_by, past.proven_at) = (Some(person("c", "Cai Closer")), Some(past.closed_at.plus_ms(DAY)));
    (truth[0].proven, truth[0].reopened) = (None, false);
    bed.ledger.load_history(vec![truth[0].past.clone()]).await.unwrap();
    let filter = EvidenceFilter { from: Timestamp(0), to: NOW, ..EvidenceFilter::default() };
    let row = bed.ledger.evidence(&filter, true, 10).await.unwrap().rows.remove(0);
    let named = |name: &str| Seen::Named(name.to_owned());
    assert_eq!(
        (row.beneficiary, row.fulfilled_by, row.approvers),
        (named("Bea Neff"), named("Cai Closer"), vec![named("Ann Prove")])
    );
    assert_eq!((row.approver_apart, row.chain_holds), (Apart::Yes, true));
    assert_eq!((row.proof, row.proven_at), (Some(Proof::Proven), truth[0].past.proven_at));
}
