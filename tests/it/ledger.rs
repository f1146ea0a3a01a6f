//! The ledger's contract: intake, planning, errands, sync and operators, each as whole transactions.

#[path = "ledger/erasure.rs"]
mod erasure;
#[path = "ledger/foreseen.rs"]
mod foreseen;
#[path = "ledger/on_the_way.rs"]
mod on_the_way;
#[path = "ledger/promise.rs"]
mod promise;
#[path = "ledger/restored.rs"]
mod restored;
#[path = "ledger/seen.rs"]
mod seen;
#[path = "ledger/settled.rs"]
mod settled;
#[path = "ledger/taken_up.rs"]
mod taken_up;
#[path = "ledger/waiting.rs"]
mod waiting;

use lastmile::ledger::{
    Acted, Action, Decision, End, LeaseRequest, Leased, Ledger, LedgerError, Load, Mode, Observation, PlanAction, Pull, Pulled,
    Receipt, ReceiptContent, Recorded, Settlement, Snapshot, SqlLedger, Step,
};
use lastmile::model::assignment::Named;
use lastmile::model::ticket::{Category, TicketReading};
use lastmile::model::{Assignment, Id, Key, Operation, Outcome, Person, Timestamp};

use crate::ledger_bed::{self, NOW, asks, file, filed, key_of, receipt, status, takes, ticket};
use crate::orders;

const QUIET_MS: i64 = 60_000;

/// A type of its own in each of the two modules that this file is: so it can have methods here.
pub(super) struct Bed(pub(super) ledger_bed::Bed);

impl std::ops::Deref for Bed {
    type Target = ledger_bed::Bed;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

pub(super) async fn bed() -> Bed {
    Bed(ledger_bed::Bed::of(module_path!()).await)
}

pub(super) fn order(external_id: &str, operation: Operation) -> Assignment {
    Assignment {
        operation,
        requested_at: Some(NOW.plus_secs(-7200)),
        approved_at: Some(NOW.plus_secs(-60)),
        ..orders::order("idm", external_id, NOW)
    }
}

impl Bed {
    /// Takes an order to an open ticket with this number.
    pub(super) async fn opened(&self, event: &str, assignment: Assignment, number: &str) -> (Id, Id) {
        let Recorded::New { id } = self.record(vec![takes(event, assignment)]).await[0] else { panic!("not new") };
        assert_eq!(self.plan_all(NOW).await, 1);
        let leased = self.lease("desk/desk", NOW).await;
        let Load::Create { ticket_id, .. } = leased[0].load else { panic!("no create") };
        assert!(self.settle(&leased[0], NOW, filed(number)).await);
        (id, ticket_id)
    }

    async fn state(&self, id: Id) -> String {
        let sql = format!("SELECT state FROM assignment WHERE id = {}", id.0);
        self.text(&sql).await
    }

    pub(super) async fn text(&self, sql: &str) -> String {
        self.place.text(sql).await
    }
}

pub(super) fn closed(ticket_id: Id, number: &str, key: &Key, outcome: Outcome) -> Observation {
    let status = status(number, key, Category::Closed, Some(outcome));
    let closer = Some(Person { id: "alice".to_owned(), name: Some("Alice Admin".to_owned()), email: None });
    let reading = TicketReading {
        status,
        closer,
        words: Some("Done it.".to_owned()),
        first_work_at: None,
        closed_by_us: Some(false),
        evidence: Vec::new(),
    };
    Observation::Closed { ticket_id, reading: Box::new(reading) }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_taken_once_however_often_it_comes() {
    let bed = bed().await;
    let first = bed.record(vec![takes("e1", order("1", Operation::Grant)), takes("e2", order("1", Operation::Grant))]).await;
    let Recorded::New { id } = first[0] else { panic!("{first:?}") };
    assert_eq!(first[1], Recorded::Unchanged { id });
    assert_eq!(bed.record(vec![takes("e1", order("1", Operation::Grant))]).await, [Recorded::Repeat { id: Some(id) }]);
    let mut forged = takes("e1", order("2", Operation::Grant));
    forged.digest = "other".to_owned();
    assert_eq!(bed.record(vec![forged]).await, [Recorded::Conflict]);
    let mut changed = order("1", Operation::Grant);
    changed.valid_until = Some(NOW.plus_secs(99_999));
    assert_eq!(bed.record(vec![takes("e3", changed)]).await, [Recorded::Changed { id, revision: 2 }]);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_share_commits_and_each_hears_of_its_own() {
    let bed = std::sync::Arc::new(bed().await);
    let mut tasks = Vec::new();
    for n in 0..200 {
        let bed = std::sync::Arc::clone(&bed);
        tasks.push(tokio::spawn(async move {
            bed.record(vec![takes(&format!("e{n}"), order(&format!("{}", n / 2), Operation::Grant))]).await
        }));
    }
    let (mut new, mut unchanged) = (0, 0);
    for task in tasks {
        match task.await.unwrap()[..] {
            [Recorded::New { .. }] => new += 1,
            [Recorded::Unchanged { .. }] => unchanged += 1,
            ref other => panic!("{other:?}"),
        }
    }
    assert_eq!((new, unchanged), (100, 100));
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_order_to_reported_completion() {
    let bed = bed().await;
    let grant = order("1", Operation::Grant);
    let (id, ticket_id) = bed.opened("e1", grant.clone(), "IAM-1").await;
    let key = key_of(&grant);
    let seen = Observation::Seen { ticket_id, status: Box::new(status("IAM-1", &key, Category::InProgress, None)) };
    assert_eq!(bed.ledger.observe(vec![seen], NOW.plus_secs(300)).await.unwrap(), 1);
    assert_eq!(bed.state(id).await, "open");
    assert_eq!(
        bed.ledger.observe(vec![closed(ticket_id, "IAM-1", &key, Outcome::Fulfilled)], NOW.plus_secs(900)).await.unwrap(),
        1
    );
    // The same news again is no news.
    assert_eq!(
        bed.ledger.observe(vec![closed(ticket_id, "IAM-1", &key, Outcome::Fulfilled)], NOW.plus_secs(901)).await.unwrap(),
        0
    );
    let reports = bed.lease("source/idm", NOW.plus_secs(902)).await;
    let Load::Report { completion, .. } = &reports[0].load else { panic!("no report") };
    assert_eq!(
        (completion.outcome, completion.success, completion.words.as_deref()),
        (Outcome::Fulfilled, true, Some("Done it."))
    );
    assert_eq!(completion.closed_at, Some(NOW.plus_secs(540)), "the desk's time of closing, not ours");
    assert_eq!(completion.closed_by.as_ref().and_then(|p| p.name.as_deref()), Some("Alice Admin"));
    let first_id = completion.id.clone();
    let retry = End::Retry { at: NOW.plus_secs(905), code: "E-CONNECT".to_owned(), reason: "away".to_owned(), new_group: None };
    assert!(bed.settle(&reports[0], NOW.plus_secs(903), retry).await);
    let again = bed.lease("source/idm", NOW.plus_secs(906)).await;
    let Load::Report { completion, .. } = &again[0].load else { panic!("no report") };
    assert_eq!(completion.id, first_id, "a report's id is the same however often it is sent");
    assert!(bed.settle(&again[0], NOW.plus_secs(907), End::Done).await);
    assert_eq!(bed.state(id).await, "reported");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_settles_nothing() {
    let bed = bed().await;
    bed.record(vec![takes("e1", order("1", Operation::Grant))]).await;
    bed.plan_all(NOW).await;
    let first = bed.lease("desk/desk", NOW).await;
    assert_eq!(first.len(), 1);
    assert!(bed.lease("desk/desk", NOW.plus_secs(1)).await.is_empty(), "one lease at a time");
    // The owner is silent past its lease: what it sent may have happened.
    let witness = bed.lease("desk/desk", NOW.plus_secs(31)).await;
    assert_eq!((witness.len(), witness[0].step), (1, Step::Witness));
    assert_eq!(witness[0].quiet_until, Some(NOW.plus_secs(31).plus_ms(QUIET_MS)));
    assert!(!bed.settle(&first[0], NOW.plus_secs(32), filed("IAM-9")).await, "its lease is gone");
    assert!(bed.settle(&witness[0], NOW.plus_secs(33), filed("IAM-1")).await);
    assert_eq!(bed.text("SELECT ref_number FROM ticket").await, "IAM-1");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unclear_create_is_sent_again_only_after_its_quiet_period() {
    let bed = bed().await;
    let Recorded::New { id } = bed.record(vec![takes("e1", order("1", Operation::Grant))]).await[0] else { panic!() };
    bed.plan_all(NOW).await;
    let sent = bed.lease("desk/desk", NOW).await;
    let end = End::Unclear {
        ask_at: NOW.plus_secs(2),
        quiet_until: NOW.plus_secs(60),
        code: "E-TIMEOUT".to_owned(),
        reason: "no answer".to_owned(),
    };
    assert!(bed.settle(&sent[0], NOW.plus_secs(1), end).await);
    assert_eq!(bed.state(id).await, "unclear");
    let asked = bed.lease("desk/desk", NOW.plus_secs(3)).await;
    assert_eq!(asked[0].step, Step::Witness);
    assert!(bed.settle(&asked[0], NOW.plus_secs(3), End::Miss { ask_at: NOW.plus_secs(61) }).await);
    assert!(bed.lease("desk/desk", NOW.plus_secs(50)).await.is_empty());
    let asked = bed.lease("desk/desk", NOW.plus_secs(62)).await;
    assert_eq!((asked[0].step, asked[0].misses), (Step::Witness, 1));
    assert!(bed.settle(&asked[0], NOW.plus_secs(62), End::Clear).await);
    assert_eq!(bed.lease("desk/desk", NOW.plus_secs(63)).await[0].step, Step::Send);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_desks_own_hook_is_a_witness_before_and_after_the_call_became_unclear() {
    let bed = bed().await;
    let grant = order("1", Operation::Grant);
    let Recorded::New { id } = bed.record(vec![takes("e1", grant.clone())]).await[0] else { panic!() };
    bed.plan_all(NOW).await;
    let sent = bed.lease("desk/desk", NOW).await;
    assert!(bed.ledger.witness("desk", &key_of(&grant), &ticket("IAM-1"), NOW).await.unwrap());
    let end = End::Unclear { ask_at: NOW, quiet_until: NOW.plus_secs(60), code: "E-BROKEN".to_owned(), reason: "cut".to_owned() };
    assert!(bed.settle(&sent[0], NOW.plus_secs(1), end).await);
    assert_eq!(bed.state(id).await, "open", "the hook had named the ticket already");
    assert!(bed.lease("desk/desk", NOW.plus_secs(100)).await.is_empty(), "nothing is sent twice");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_finds_what_was_being_sent() {
    struct Quiet;
    impl lastmile::ledger::QuietOf for Quiet {
        fn quiet_ms(&self, _edge: &str) -> i64 {
            QUIET_MS
        }
    }
    let bed = bed().await;
    let Recorded::New { id } = bed.record(vec![takes("e1", order("1", Operation::Grant))]).await[0] else { panic!() };
    bed.plan_all(NOW).await;
    assert_eq!(bed.lease("desk/desk", NOW).await.len(), 1);
    // On SQLite whoever starts is alone; on PostgreSQL another may still be sending, until its lease is over.
    let left = if bed.place.is_postgres() {
        let other = bed.place.open().await;
        assert_eq!(other.recover(NOW.plus_secs(1), &Quiet).await.unwrap(), 0, "another replica sends it");
        other.close().await;
        NOW.plus_secs(3600)
    } else {
        let second = SqlLedger::open(&bed.place.url, "test", Mode::Serve).await;
        assert!(matches!(second, Err(LedgerError::Busy(_))), "one serving process at a time");
        NOW
    };
    bed.ledger.close().await;
    let again = bed.place.open().await;
    assert_eq!(again.recover(left.plus_secs(1), &Quiet).await.unwrap(), 1);
    let asked = again.lease(asks("desk/desk", left.plus_secs(2))).await.unwrap();
    assert_eq!((asked[0].step, asked[0].quiet_until), (Step::Witness, Some(left.plus_secs(1).plus_ms(QUIET_MS))));
    assert_eq!(bed.state(id).await, "unclear");
}

#[tokio::test(flavor = "multi_thread")]
async fn withdrawn_before_sending_is_dropped_and_after_sending_is_told() {
    let bed = bed().await;
    let early = receipt("w0", ReceiptContent::Withdrawn { external_id: "9".to_owned(), operation: None });
    assert_eq!(bed.record(vec![early]).await, [Recorded::UnknownOrder]);
    let Recorded::New { id: late } = bed.record(vec![takes("e9", order("9", Operation::Grant))]).await[0] else { panic!() };
    assert_eq!(bed.state(late).await, "closed", "its withdrawal had come first");

    let mut other = order("1", Operation::Grant);
    other.beneficiary.id = "p2".to_owned();
    let Recorded::New { id } = bed.record(vec![takes("e1", other)]).await[0] else { panic!() };
    bed.plan_all(NOW).await;
    let taken_back =
        |event: &str, x: &str| receipt(event, ReceiptContent::Withdrawn { external_id: x.to_owned(), operation: None });
    assert_eq!(bed.record(vec![taken_back("w1", "1")]).await, [Recorded::Withdrawn { assignments: 1 }]);
    assert_eq!(bed.state(id).await, "closed");
    assert!(bed.lease("desk/desk", NOW.plus_secs(1)).await.is_empty(), "no ticket is filed for it");
    let told = bed.lease("source/idm", NOW.plus_secs(1)).await;
    assert!(told.iter().all(|r| matches!(&r.load, Load::Report { completion, .. } if completion.outcome == Outcome::Cancelled)));
    assert_eq!(told.len(), 2);

    let (open, _) = bed.opened("e2", order("2", Operation::Grant), "IAM-2").await;
    assert_eq!(bed.record(vec![taken_back("w2", "2")]).await, [Recorded::Withdrawn { assignments: 1 }]);
    assert_eq!(bed.state(open).await, "open");
    let tells = bed.lease("desk/desk", NOW.plus_secs(2)).await;
    assert!(matches!(&tells[0].load, Load::Amend { ticket, .. } if ticket.number == "IAM-2"));
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_overtakes_what_was_not_sent_and_lanes_keep_their_order() {
    let bed = bed().await;
    let grant = order("1", Operation::Grant);
    let mut revoke = order("2", Operation::Revoke);
    revoke.approved_at = Some(NOW);
    let Recorded::New { id: granted } = bed.record(vec![takes("e1", grant)]).await[0] else { panic!() };
    bed.record(vec![takes("e2", revoke)]).await;
    bed.plan_all(NOW).await;
    assert_eq!(bed.state(granted).await, "superseded");
    let leased = bed.lease("desk/desk", NOW).await;
    assert_eq!(leased.len(), 1, "only the revocation is filed");
    // A later grant of the same lane waits until the revocation is closed.
    let mut again = order("3", Operation::Grant);
    again.approved_at = Some(NOW.plus_secs(5));
    bed.record(vec![takes("e3", again)]).await;
    assert_eq!(bed.ledger.to_plan(NOW.plus_secs(10), 10).await.unwrap().len(), 0);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_states_park_and_reopening_takes_the_outcome_back() {
    let bed = bed().await;
    let grant = order("1", Operation::Grant);
    let key = key_of(&grant);
    let (id, ticket_id) = bed.opened("e1", grant, "IAM-1").await;
    let odd = Observation::Seen { ticket_id, status: Box::new(status("IAM-1", &key, Category::Unknown, None)) };
    bed.ledger.observe(vec![odd], NOW.plus_secs(10)).await.unwrap();
    assert_eq!(
        (bed.state(id).await.as_str(), bed.text("SELECT parked_code FROM assignment").await.as_str()),
        ("open", "E-STATUS")
    );
    bed.ledger.observe(vec![closed(ticket_id, "IAM-1", &key, Outcome::Fulfilled)], NOW.plus_secs(20)).await.unwrap();
    assert_eq!(bed.text("SELECT COUNT(*) FROM assignment WHERE parked_code IS NULL").await, "1");
    let reopened = Observation::Seen { ticket_id, status: Box::new(status("IAM-1", &key, Category::Open, None)) };
    bed.ledger.observe(vec![reopened], NOW.plus_secs(30)).await.unwrap();
    assert_eq!(bed.state(id).await, "rework");
    assert!(bed.lease("source/idm", NOW.plus_secs(31)).await.is_empty(), "a report that would be untrue is not sent");
    bed.ledger.observe(vec![closed(ticket_id, "IAM-1", &key, Outcome::Rejected)], NOW.plus_secs(40)).await.unwrap();
    let told = bed.lease("source/idm", NOW.plus_secs(41)).await;
    assert!(matches!(&told[0].load, Load::Report { completion, .. } if completion.outcome == Outcome::Rejected));
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polled_round_is_recorded_with_its_cursor_or_not_at_all() {
    let bed = bed().await;
    let pull = |from: Option<&str>, to: &str, present: &[&str], at: i64| Pull {
        source: "idm".to_owned(),
        from: from.map(str::to_owned),
        to: to.to_owned(),
        receipts: present.iter().map(|x| takes(&format!("row-{x}"), order(x, Operation::Grant))).collect(),
        snapshot: Some(Snapshot { present: present.iter().map(|x| (*x).to_owned()).collect(), one_page: true }),
        started_at: NOW.plus_secs(at),
    };
    assert!(matches!(
        bed.ledger.record_pull(pull(None, "1", &["a", "b"], 0)).await.unwrap(),
        Pulled::Recorded { withdrawn: 0, .. }
    ));
    assert_eq!(bed.ledger.record_pull(pull(None, "1", &["a"], 5)).await.unwrap(), Pulled::CursorMoved);
    // `b` is gone from a complete snapshot.
    assert!(matches!(
        bed.ledger.record_pull(pull(Some("1"), "2", &["a"], 10)).await.unwrap(),
        Pulled::Recorded { withdrawn: 1, .. }
    ));
    assert_eq!(bed.ledger.cursor("pull/idm").await.unwrap().as_deref(), Some("2"));
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_event_is_replayed_once_mapped() {
    let bed = bed().await;
    let odd = receipt("q1", ReceiptContent::Unmappable { problem: "no /app".to_owned(), body: "{}".to_owned() });
    let Recorded::Quarantined { id } = bed.record(vec![odd]).await[0] else { panic!() };
    let held = bed.ledger.quarantined(id).await.unwrap().unwrap();
    let mut fresh = takes("q1", order("1", Operation::Grant));
    fresh.digest.clone_from(&held.digest);
    assert!(matches!(bed.ledger.release(id, fresh.clone(), "olga", NOW).await.unwrap(), Recorded::New { .. }));
    assert!(matches!(bed.record(vec![fresh]).await[..], [Recorded::Repeat { .. }]));
    assert!(bed.ledger.quarantined(id).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_decide_what_no_machine_can() {
    let bed = bed().await;
    let Recorded::New { id } = bed.record(vec![takes("e1", order("1", Operation::Grant))]).await[0] else { panic!() };
    bed.plan_all(NOW).await;
    let sent = bed.lease("desk/desk", NOW).await;
    let park = End::Park { code: "E-REFUSED".to_owned(), reason: "no such project".to_owned() };
    assert!(bed.settle(&sent[0], NOW, park).await);
    assert_eq!(bed.state(id).await, "due");
    assert_eq!(bed.ledger.act(Action::Unpark { assignment: Id(1) }, "olga", NOW).await.unwrap(), Acted::NotFound);
    assert_eq!(bed.ledger.act(Action::RetryErrand { errand: sent[0].id }, "olga", NOW.plus_secs(5)).await.unwrap(), Acted::Done);
    let again = bed.lease("desk/desk", NOW.plus_secs(6)).await;
    assert!(bed.settle(&again[0], NOW.plus_secs(6), filed("IAM-1")).await);
    let decide = Action::Decide { assignment: id, outcome: Outcome::NotPossible, reason: "system retired".to_owned() };
    assert_eq!(bed.ledger.act(decide, "olga", NOW.plus_secs(7)).await.unwrap(), Acted::Done);
    assert_eq!(bed.state(id).await, "closed");
    bed.chains_hold().await;
}

/// A desk that cannot be searched: its unclear create parks, and only what a person found there settles it.
#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_nobody_can_search_for_is_never_simply_sent_again() {
    for found in [Some("T-7"), None] {
        let bed = bed().await;
        let Recorded::New { id } = bed.record(vec![takes("e1", order("1", Operation::Grant))]).await[0] else { panic!() };
        bed.plan_all(NOW).await;
        let sent = bed.lease("desk/desk", NOW).await.remove(0);
        let (code, reason) = ("E-TIMEOUT".to_owned(), "no answer".to_owned());
        assert!(bed.settle(&sent, NOW, End::Unclear { ask_at: NOW, quiet_until: NOW, code, reason }).await);
        let asked = bed.lease("desk/desk", NOW.plus_secs(1)).await.remove(0);
        let park = End::Park { code: "E-UNSEARCHABLE".to_owned(), reason: "look there".to_owned() };
        assert!(bed.settle(&asked, NOW.plus_secs(1), park).await);
        let act = async |action| bed.ledger.act(action, "olga", NOW.plus_secs(60)).await.unwrap();
        assert!(matches!(act(Action::RetryErrand { errand: sent.id }).await, Acted::NotNow(_)), "it could double");
        // Lifting the mark only asks its witnesses once more.
        assert_eq!(act(Action::Unpark { assignment: id }).await, Acted::Done);
        let steps: Vec<_> = bed.lease("desk/desk", NOW.plus_secs(61)).await.iter().map(|l| l.step).collect();
        assert_eq!(steps, [Step::Witness], "nothing is sent unasked");
        let (action, then, sent_again) = match found {
            Some(number) => {
                let (ref_id, ref_number) = ("7".to_owned(), number.to_owned());
                (Action::TicketIs { errand: sent.id, ref_id, ref_number }, "open", 0)
            }
            None => (Action::NoTicket { errand: sent.id }, "due", 1),
        };
        assert_eq!(act(action).await, Acted::Done);
        assert_eq!(bed.state(id).await, then);
        assert_eq!(bed.lease("desk/desk", NOW.plus_secs(120)).await.len(), sent_again);
        bed.chains_hold().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_journal_row_is_found() {
    let bed = bed().await;
    let Recorded::New { id } = bed.record(vec![takes("e1", order("1", Operation::Grant))]).await[0] else { panic!() };
    bed.chains_hold().await;
    bed.place.run("UPDATE journal SET actor = 'nobody'").await;
    assert_eq!(bed.ledger.verify_chains().await.unwrap(), [id]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_end_does_not_fit_its_state_is_found() {
    let bed = bed().await;
    let under_way = bed.new_order("e1", order("1", Operation::Grant)).await;
    let mut other = order("2", Operation::Grant);
    other.beneficiary.id = "p2".to_owned();
    let ended = bed.new_order("e2", other).await;
    let decided = Action::Decide { assignment: ended, outcome: Outcome::NotPossible, reason: "no".to_owned() };
    assert_eq!(bed.ledger.act(decided, "olga", NOW).await.unwrap(), Acted::Done);
    bed.chains_hold().await;
    bed.place.run("UPDATE assignment SET closed_at = CASE WHEN closed_at IS NULL THEN 1 END").await;
    assert_eq!(bed.ledger.verify_ends().await.unwrap(), [under_way, ended]);
}
