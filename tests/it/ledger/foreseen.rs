//! Orders that were decided on before they are recorded: where that holds it comes to the same as planning later, in one commit;
//! where it does not, or several processes serve the ledger, they are planned like any other.

use std::sync::{Arc, Mutex};

use lastmile::ledger::{Arrival, Arrived, Come, Decide, Decision, Foreseen, Leased, Ledger, Replicas as _, Seat, Step, ToPlan};
use lastmile::model::{Assignment, Id, Operation, State};

use super::*;

/// What was handed over.
#[derive(Clone, Default)]
struct Handed(Arc<Mutex<Vec<Leased>>>);

impl Handed {
    fn seat(&self) -> Seat {
        let handed = Arc::clone(&self.0);
        Seat::new("w".to_owned(), 30_000, move |leased| handed.lock().unwrap().push(leased))
    }

    fn all(&self) -> Vec<Leased> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// Of a lane of its own.
fn alone(external_id: &str) -> Assignment {
    let mut order = order(external_id, Operation::Grant);
    order.beneficiary.id = format!("p-{external_id}");
    order
}

fn decision(assignment: &Assignment, rank: i64) -> Decision {
    let as_new = ToPlan {
        id: Id(0),
        state: State::Received,
        assignment: assignment.clone(),
        revision: 1,
        received_at: NOW,
        cycle: 1,
        lane_ticket: None,
        leaver: false,
    };
    file(&as_new, rank)
}

fn arrival(event: &str, assignment: Assignment, decision: Decision, seat: Option<Seat>) -> Arrival {
    let foreseen = Foreseen { at: NOW, decision, seat, held: Arc::new(()) };
    Arrival { receipt: takes(event, assignment), foreseen: Some(Box::new(foreseen)) }
}

/// To be filed, with a seat.
fn seated(event: &str, assignment: Assignment, handed: &Handed) -> Arrival {
    let decision = decision(&assignment, 7);
    arrival(event, assignment, decision, Some(handed.seat()))
}

impl Bed {
    async fn take_in(&self, arrivals: Vec<Arrival>) -> Vec<Arrived> {
        self.ledger.take_in(arrivals).await.unwrap()
    }

    /// What is foreseen where it may be.
    fn holds(&self, come: Come) -> Come {
        if self.ledger.is_shared() { Come::Received } else { come }
    }

    /// Everything that is kept, but ids, hashes and the persons' names.
    async fn rows(&self) -> Vec<String> {
        let mut rows = Vec::new();
        for sql in [
            "SELECT string_agg(state || COALESCE(outcome, '-') || plan_at || '/' || COALESCE(due_at, -1) || '/' || COALESCE(eligible_at, -1)
                || COALESCE(desk, '-') || COALESCE(admin_group, '-') || chain_seq || COALESCE(parked_code, '-') || COALESCE(parked_at, -1)
                || COALESCE(parked_reason, '-'), ' ' ORDER BY natural_key) FROM assignment",
            "SELECT string_agg(COALESCE(t.key, '-') || t.state || t.admin_group || t.route || d.draft || t.template_version || t.catalog_version
                || t.planned_at || '/' || t.risky, ' ' ORDER BY t.key) FROM ticket AS t
                JOIN assignment AS a ON a.ticket_id = t.id JOIN ticket_draft AS d ON d.id = t.id JOIN ticket_item AS ti ON ti.ticket_id = t.id AND ti.assignment_id = a.id",
            "SELECT string_agg(kind || edge || state || rank || '/' || due_at || mark || lease_no || COALESCE(lease_owner, '-') ||
                COALESCE(lease_until, -1) || '/' || attempts || '/' || made_at || '/' || COALESCE(quiet_until, -1), ' ' ORDER BY mark) FROM errand",
            "SELECT string_agg(what || p.lease_no || owner || started_at || '/' || deadline, ' ' ORDER BY e.mark) FROM attempt AS p
                JOIN errand AS e ON e.id = p.errand_id",
            "SELECT string_agg(a.external_id || j.seq || j.event || j.state || j.actor || j.cause || j.detail || happened_at || '/' || seen_at
                || COALESCE(j.catalog_version, '-') || COALESCE(j.template_version, '-'), ' ' ORDER BY a.external_id, j.seq)
                FROM journal AS j JOIN assignment AS a ON a.id = j.assignment_id",
            "SELECT CAST(COUNT(*) AS TEXT) FROM person",
        ] {
            rows.push(self.text(&format!("SELECT COALESCE(({sql}), 'none')")).await);
        }
        rows
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_foreseen_comes_to_the_same_as_planning_and_leasing_later() {
    let (early, late) = (bed().await, bed().await);
    let handed = Handed::default();
    let wait = |mut decision: Decision| {
        decision.action = PlanAction::Wait { until: NOW.plus_secs(86_400) };
        decision
    };
    let park = |mut decision: Decision| {
        decision.action = PlanAction::Park { code: "E-ROUTE", reason: "nobody is told".to_owned() };
        decision
    };
    let decided = |id: &str| {
        let decision = decision(&alone(id), if id == "1" { 7 } else { 8 });
        match id {
            "3" => wait(decision),
            "4" => park(decision),
            _ => decision,
        }
    };
    let ids = ["1", "2", "3", "4"];
    let arrivals =
        ids.map(|id| arrival(&format!("e{id}"), alone(id), decided(id), Some(handed.seat()).filter(|_| id != "2"))).into();
    let come: Vec<Come> = early.take_in(arrivals).await.into_iter().map(|arrived| arrived.come).collect();
    assert_eq!(come, [Come::Leased, Come::Planned, Come::Decided, Come::Decided].map(|come| early.holds(come)));
    let ready = |order: &ToPlan| {
        let id = order.assignment.external_id.as_str();
        Decision { id: order.id, ..decided(id) }
    };
    late.record(ids.map(|id| takes(&format!("e{id}"), alone(id))).into()).await;
    for bed in [&early, &late] {
        // One is filed and leased, another is filed by the planning stage.
        let mut waiting = bed.ledger.to_plan(NOW, 10).await.unwrap();
        if waiting.is_empty() {
            continue;
        }
        waiting.retain(|order| order.assignment.external_id != "1");
        bed.ledger.plan(waiting.iter().map(ready).collect(), NOW).await.unwrap();
        let first = Decide::by(move |order| Decision { id: order.id, ..decision(&order.assignment, 7) });
        let mut request = asks("desk/desk", NOW);
        request.limit = 1;
        bed.ledger.take_up(first, request).await.unwrap();
    }
    if !early.ledger.is_shared() {
        let [leased] = &handed.all()[..] else { panic!("handed over once") };
        assert_eq!((leased.lease_no, leased.step, leased.mark.as_str()), (1, Step::Send, key_of(&alone("1")).as_str()));
        assert_eq!(early.rows().await, late.rows().await);
        assert!(early.settle(leased, NOW, filed("1")).await);
        let next = early.lease("desk/desk", NOW).await;
        assert_eq!(next.len(), 1, "the other one waits for its turn");
    }
    early.chains_hold().await;
    late.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_new_order_or_not_alone_is_planned_later_and_gives_its_seat_back() {
    let bed = bed().await;
    let handed = Handed::default();
    bed.record(vec![receipt("w", ReceiptContent::Withdrawn { external_id: "withdrawn".to_owned(), operation: None })]).await;
    let left = |event: &str| receipt(event, ReceiptContent::Left { person: "p-leaver".to_owned() });
    bed.record(vec![left("l1")]).await;
    let mut late = alone("withdrawn");
    late.approved_at = Some(NOW.plus_secs(-90_000));
    let first = order("1", Operation::Grant);
    bed.new_order("e1", first.clone()).await;
    let mut changed = first.clone();
    changed.valid_until = Some(NOW.plus_secs(1_000));
    for (case, arrivals) in [
        ("a repeat", vec![seated("e1", first.clone(), &handed)]),
        ("unchanged", vec![seated("e2", first.clone(), &handed)]),
        ("its lane is busy", vec![seated("e3", order("2", Operation::Revoke), &handed)]),
        ("its beneficiary left", vec![seated("e4", alone("leaver"), &handed)]),
        ("it was taken back before", vec![seated("e5", late, &handed)]),
        ("a change in the same batch", vec![seated("e6", alone("6"), &handed), takes("e7", changed.clone()).into()]),
        ("a leaver in the same batch", vec![seated("e8", alone("8"), &handed), left("l2").into()]),
    ] {
        let arrived = bed.take_in(arrivals).await;
        assert!(arrived.iter().all(|one| one.come == Come::Received), "{case}: {arrived:?}");
    }
    assert!(handed.all().is_empty());
    assert_eq!(bed.text("SELECT COUNT(*) FROM errand WHERE kind = 'create'").await, "0");
    bed.chains_hold().await;
}

/// Which of them comes first is not looked at before they are planned: approval counts, and a revocation overtakes.
#[tokio::test(flavor = "multi_thread")]
async fn several_orders_of_one_lane_in_one_commit_are_planned_together() {
    let bed = bed().await;
    let handed = Handed::default();
    let mut revoked = order("2", Operation::Revoke);
    revoked.approved_at = Some(NOW.plus_secs(-30));
    let batch = vec![seated("e2", revoked, &handed), seated("e1", order("1", Operation::Grant), &handed)];
    let come: Vec<Come> = bed.take_in(batch).await.into_iter().map(|one| one.come).collect();
    assert_eq!(come, [Come::Received; 2]);
    assert!(handed.all().is_empty());
    bed.plan_all(NOW).await;
    let states = "SELECT string_agg(operation || ' ' || state, ', ' ORDER BY external_id) FROM assignment";
    assert_eq!(bed.text(states).await, "grant superseded, revoke due");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_what_is_foreseen_asks_before_it_sends() {
    let bed = bed().await;
    let handed = Handed::default();
    let until = std::collections::BTreeMap::from([("desk/desk".to_owned(), NOW.plus_ms(QUIET_MS))]);
    bed.ledger.distrust(until, NOW).await.unwrap();
    let arrived = bed.take_in(vec![seated("e1", alone("1"), &handed)]).await;
    assert_eq!(arrived[0].come, bed.holds(Come::Planned));
    assert!(handed.all().is_empty());
    bed.plan_all(NOW).await;
    let asked = bed.lease("desk/desk", NOW.plus_secs(1)).await;
    let steps: Vec<_> = asked.iter().map(|errand| (errand.step, errand.quiet_until)).collect();
    assert_eq!(steps, [(Step::Witness, Some(NOW.plus_ms(QUIET_MS)))]);
    bed.chains_hold().await;
}

/// What was foreseen with a seat nobody has any more is asked about when its lease is over, like any call that broke off.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_that_nobody_takes_over_ends_with_its_time() {
    let bed = bed().await;
    let seat = Seat::new("w".to_owned(), 30_000, drop);
    let arrived = bed.take_in(vec![arrival("e1", alone("1"), decision(&alone("1"), 7), Some(seat))]).await;
    if arrived[0].come == Come::Received {
        return bed.chains_hold().await;
    }
    assert!(bed.lease("desk/desk", NOW.plus_secs(29)).await.is_empty());
    let asked = bed.lease("desk/desk", NOW.plus_secs(31)).await;
    assert_eq!(asked.iter().map(|errand| errand.step).collect::<Vec<_>>(), [Step::Witness]);
}
