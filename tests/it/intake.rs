//! Intake against the ledger: repeats, changes, withdrawals and lists, each with what the promise says of it.

use lastmile::ledger::{
    Decision, End, Leased, Ledger, Load, Pull, Pulled, Receipt, ReceiptContent, Recorded, Snapshot, Trouble, Views,
};
use lastmile::model::assignment::Named;
use lastmile::model::ticket::{Category, Change, TicketReading, TicketStatus};
use lastmile::model::{Assignment, Id, Key, Operation, Outcome, State, Timestamp};
use proptest::prelude::*;

use crate::ledger_bed::{self, NOW, file, filed, receipt, status, takes};
use crate::orders;

/// A type of its own in each of the two modules that this file is: so it can have methods here.
struct Bed(ledger_bed::Bed);

impl std::ops::Deref for Bed {
    type Target = ledger_bed::Bed;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

async fn bed() -> Bed {
    Bed(ledger_bed::Bed::of(module_path!()).await)
}

fn order(external_id: &str, operation: Operation) -> Assignment {
    Assignment {
        operation,
        entitlement: Some(Named { id: format!("role-{external_id}"), name: "Role A".to_owned() }),
        approved_at: Some(NOW.plus_secs(-60)),
        ..orders::order("idm", external_id, NOW)
    }
}

fn grant(id: &str) -> Assignment {
    order(id, Operation::Grant)
}

fn withdraws(event: &str, id: &str, operation: Option<Operation>) -> Receipt {
    receipt(event, ReceiptContent::Withdrawn { external_id: id.to_owned(), operation })
}

fn odd(event: &str) -> Receipt {
    receipt(
        event,
        ReceiptContent::Unmappable { problem: "field `operation`: nothing stands at /op".to_owned(), body: "{}".to_owned() },
    )
}

/// A round of polling, numbered from 1.
fn round(n: i64, present: &[(&str, Assignment)], snapshot: bool, one_page: bool) -> Pull {
    let at = NOW.plus_secs(n * 60);
    Pull {
        source: "idm".to_owned(),
        from: (n > 1).then(|| format!("{}", n - 1)),
        to: n.to_string(),
        receipts: present.iter().map(|(event, order)| Receipt { received_at: at, ..takes(event, order.clone()) }).collect(),
        snapshot: snapshot.then(|| Snapshot { present: present.iter().map(|(_, o)| o.external_id.clone()).collect(), one_page }),
        started_at: at,
    }
}

impl Bed {
    async fn pull(&self, pull: Pull) -> (Vec<Recorded>, usize, usize) {
        match self.ledger.record_pull(pull).await.unwrap() {
            Pulled::Recorded { results, withdrawn, reinstated } => (results, withdrawn, reinstated),
            Pulled::CursorMoved => panic!("the cursor has moved"),
        }
    }

    async fn settle(&self, leased: &Leased, at: Timestamp, end: End) {
        assert!(self.0.settle(leased, at, end).await);
    }

    /// Files everything that wants a ticket; gives our row and the key of each.
    async fn file(&self, now: Timestamp) -> Vec<(Id, Key)> {
        self.plan_all(now).await;
        let mut tickets = Vec::new();
        for leased in self.lease("desk/desk", now).await {
            let Load::Create { ticket_id, draft } = &leased.load else { continue };
            self.settle(&leased, now, filed(&format!("T-{}", leased.id.0))).await;
            tickets.push((*ticket_id, draft.key.clone()));
        }
        tickets
    }

    async fn close(&self, (ticket, key): &(Id, Key), number: &str, outcome: Outcome, at: Timestamp) {
        let status =
            TicketStatus { updated_at: Some(at), closed_at: Some(at), ..status(number, key, Category::Closed, Some(outcome)) };
        let reading =
            TicketReading { status, closer: None, words: None, first_work_at: None, closed_by_us: None, evidence: Vec::new() };
        let closed = lastmile::ledger::Observation::Closed { ticket_id: *ticket, reading: Box::new(reading) };
        self.ledger.observe(vec![closed], at).await.unwrap();
    }

    async fn state(&self, id: Id) -> State {
        State::parse(&self.ledger.assignment(id, &None, true).await.unwrap().unwrap().row.state).unwrap()
    }

    async fn comments(&self, now: Timestamp) -> Vec<String> {
        let leased = self.lease("desk/desk", now).await;
        let bodies = leased.iter().filter_map(|l| match &l.load {
            Load::Amend { change: Change::Comment { body, .. } | Change::Close { body, .. }, .. } => Some(body.clone()),
            _ => None,
        });
        bodies.collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_did_not_map_is_mapped_afresh_when_it_comes_again() {
    let bed = bed().await;
    let Recorded::Quarantined { id } = bed.record(vec![odd("q")]).await[0] else { panic!() };
    assert_eq!(bed.record(vec![odd("q")]).await, [Recorded::Quarantined { id }], "answered as before, with that word");
    let forged = Receipt { digest: "another".to_owned(), ..takes("q", grant("1")) };
    assert_eq!(bed.record(vec![forged]).await, [Recorded::Conflict]);
    // The mapping was mended meanwhile.
    let assignment = bed.new_order("q", grant("1")).await;
    assert!(bed.ledger.quarantined(id).await.unwrap().is_none(), "nothing is left to replay");
    assert_eq!(bed.record(vec![takes("q", grant("1"))]).await, [Recorded::Repeat { id: Some(assignment) }]);
    assert!(bed.ledger.operations(&None, true, 10).await.unwrap().quarantined.is_empty());
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_forged_body_with_several_events_nothing_is_taken() {
    let bed = bed().await;
    let body = |digest: &str, n: usize| -> Vec<Receipt> {
        let each = (0..n).map(|n| Receipt { digest: digest.to_owned(), ..takes(&format!("m#{n}"), grant(&format!("{n}"))) });
        each.collect()
    };
    assert!(bed.record(body("one", 2)).await.iter().all(|r| matches!(r, Recorded::New { .. })));
    assert!(bed.record(body("one", 2)).await.iter().all(|r| matches!(r, Recorded::Repeat { .. })));
    // The same id with another body that has one event more, beside somebody else's message in the same commit.
    let mut mixed = body("two", 3);
    mixed.push(takes("other", grant("9")));
    let results = bed.record(mixed).await;
    assert_eq!(results[..3], [Recorded::Conflict, Recorded::Conflict, Recorded::Conflict]);
    assert!(matches!(results[3], Recorded::New { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_withdrawal_meets_one_order_and_not_its_successors() {
    let bed = bed().await;
    assert_eq!(bed.record(vec![withdraws("w", "1", Some(Operation::Grant))]).await, [Recorded::UnknownOrder]);
    assert_eq!(bed.record(vec![withdraws("v", "1", Some(Operation::Modify))]).await, [Recorded::UnknownOrder]);
    let revoke = bed.new_order("r", order("1", Operation::Revoke)).await;
    assert_eq!(bed.state(revoke).await, State::Received, "another operation of that id is not meant");
    let first = bed.new_order("a", grant("1")).await;
    assert_eq!(bed.state(first).await, State::Closed);
    let again = bed.new_order("b", Assignment { generation: 2, ..grant("1") }).await;
    assert_eq!(bed.state(again).await, State::Received, "ordered again later, it is an order of its own");
    let modify = bed.new_order("m", order("1", Operation::Modify)).await;
    assert_eq!(bed.state(modify).await, State::Closed);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_acted_on_in_every_state() {
    let bed = bed().await;
    let changed = |n: i64| Assignment { valid_until: Some(NOW.plus_secs(n * 86_400)), ..grant("1") };
    let id = bed.new_order("e0", grant("1")).await;
    let revised = |revision| [Recorded::Changed { id, revision }];
    // received: planned with the new content
    assert_eq!(bed.record(vec![takes("e1", changed(1))]).await, revised(2));
    let waiting = bed.ledger.to_plan(NOW, 10).await.unwrap();
    assert_eq!((waiting[0].revision, waiting[0].assignment.valid_until), (2, changed(1).valid_until));
    // a decision made on the content before is void
    assert_eq!(bed.record(vec![takes("e2", changed(2))]).await, revised(3));
    assert_eq!(bed.ledger.plan(vec![file(&waiting[0], 0)], NOW).await.unwrap(), 0);
    // due, nothing sent: back to planning, with a draft of its own
    assert_eq!(bed.plan_all(NOW).await, 1);
    assert_eq!(bed.state(id).await, State::Due);
    assert_eq!(bed.record(vec![takes("e3", changed(3))]).await, revised(4));
    assert_eq!(bed.state(id).await, State::Planned);
    // sending: told once it is filed
    assert_eq!(bed.plan_all(NOW).await, 1);
    let sending = bed.lease("desk/desk", NOW).await;
    assert_eq!(bed.record(vec![takes("e4", changed(4))]).await, revised(5));
    bed.settle(&sending[0], NOW, filed("T-1")).await;
    let told = bed.comments(NOW.plus_secs(1)).await;
    assert!(told.len() == 1 && told[0].contains("The order was changed"), "{told:?}");
    // open: told, with whom and what it is for
    assert_eq!(bed.record(vec![takes("e5", changed(5))]).await, revised(6));
    let told = bed.comments(NOW.plus_secs(2)).await;
    assert!(told.len() == 1 && told[0].contains("on SAP for Pat Example"), "{told:?}");
    // closed: kept, and nothing is opened again
    let Load::Create { ticket_id, draft } = &sending[0].load else { panic!() };
    bed.close(&(*ticket_id, draft.key.clone()), "T-1", Outcome::Fulfilled, NOW.plus_secs(3)).await;
    assert_eq!(bed.record(vec![takes("e6", changed(6))]).await, revised(7));
    assert_eq!(bed.state(id).await, State::Closed);
    // the same content under another event id is no change
    assert_eq!(bed.record(vec![takes("e7", changed(6))]).await, [Recorded::Unchanged { id }]);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_application_person_and_approval_moves_scope_and_lane() {
    let bed = bed().await;
    let id = bed.new_order("a", grant("1")).await;
    let mut moved = grant("1");
    moved.application = Named { id: "crm".to_owned(), name: "CRM".to_owned() };
    moved.beneficiary.id = "p2".to_owned();
    moved.entitlement = Some(Named { id: "role-2".to_owned(), name: "Role 2".to_owned() });
    moved.approved_at = Some(NOW.plus_secs(-10));
    assert!(matches!(bed.record(vec![takes("b", moved.clone())]).await[..], [Recorded::Changed { .. }]));
    let scope = |name: &str| Some(vec![name.to_owned()]);
    assert!(bed.ledger.assignment(id, &scope("crm"), true).await.unwrap().is_some());
    assert!(bed.ledger.assignment(id, &scope("sap"), true).await.unwrap().is_none(), "who may see it has changed too");
    // An order of the lane it is in now, approved before it, goes first.
    let earlier = Assignment { external_id: "2".to_owned(), approved_at: Some(NOW.plus_secs(-20)), ..moved };
    let first = bed.new_order("c", earlier).await;
    let waiting: Vec<Id> = bed.ledger.to_plan(NOW, 10).await.unwrap().iter().map(|o| o.id).collect();
    assert_eq!(waiting, [first]);
}

#[tokio::test(flavor = "multi_thread")]
async fn pushed_and_polled_it_is_one_and_the_list_says_how_things_stand() {
    let bed = bed().await;
    let (a, b) = (grant("1"), Assignment { priority: 3, ..grant("1") });
    let id = bed.new_order("pushed", a.clone()).await;
    let (results, ..) = bed.pull(round(1, &[("row-a", a.clone())], false, true)).await;
    assert_eq!(results, [Recorded::Unchanged { id }]);
    let (results, ..) = bed.pull(round(2, &[("row-b", b.clone())], false, true)).await;
    assert_eq!(results, [Recorded::Changed { id, revision: 2 }]);
    // The row says again what it said first: that is a change, though its event is known.
    let (results, ..) = bed.pull(round(3, &[("row-a", a.clone())], false, true)).await;
    assert_eq!(results, [Recorded::Changed { id, revision: 3 }]);
    let (results, ..) = bed.pull(round(4, &[("row-a", a.clone())], false, true)).await;
    assert_eq!(results, [Recorded::Repeat { id: Some(id) }]);
    // A push that arrived after the round began is newer than what the round read.
    let pushed = Receipt { received_at: NOW.plus_secs(5 * 60 + 1), ..takes("pushed-2", b.clone()) };
    assert_eq!(bed.record(vec![pushed]).await, [Recorded::Changed { id, revision: 4 }]);
    let (results, ..) = bed.pull(round(5, &[("row-a", a)], false, true)).await;
    assert_eq!(results, [Recorded::Repeat { id: Some(id) }]);
    let (results, ..) = bed.pull(round(6, &[("row-b", b)], false, true)).await;
    assert_eq!(results, [Recorded::Repeat { id: Some(id) }]);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_did_not_map_is_alarmed_once_and_taken_once_mended() {
    let bed = bed().await;
    let with = |n: i64, receipt: Receipt| Pull { receipts: vec![receipt], ..round(n, &[], false, true) };
    assert!(matches!(bed.pull(with(1, odd("row-x"))).await.0[..], [Recorded::Quarantined { .. }]));
    assert_eq!(bed.pull(with(2, odd("row-x"))).await.0, [Recorded::Repeat { id: None }], "each round shows it again");
    assert!(matches!(bed.pull(with(3, takes("row-x", grant("1")))).await.0[..], [Recorded::New { .. }]));
    assert!(bed.ledger.operations(&None, true, 10).await.unwrap().quarantined.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_several_pages_must_miss_an_order_twice() {
    let bed = bed().await;
    let (a, b) = (("row-1", grant("1")), ("row-2", grant("2")));
    let both = [a.clone(), b.clone()];
    assert_eq!(bed.pull(round(1, &both, true, false)).await.1, 0);
    assert_eq!(bed.pull(round(2, &both[..1], true, false)).await.1, 0, "it may have moved between the pages");
    assert_eq!(bed.pull(round(3, &both, true, false)).await.1, 0);
    assert_eq!(bed.pull(round(4, &both[..1], true, false)).await.1, 0, "seen in between, it counts from the beginning");
    assert_eq!(bed.pull(round(5, &both[..1], false, false)).await.1, 0, "a broken round is not asked");
    assert_eq!(bed.pull(round(6, &both[..1], true, false)).await.1, 1);
    assert_eq!(bed.pull(round(7, &both[..1], true, false)).await.1, 0);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_answer_by_mistake_loses_nothing() {
    let bed = bed().await;
    let orders = ["1", "2", "3", "4"].map(|id| (id, grant(id)));
    let rows: Vec<(&str, Assignment)> = orders.to_vec();
    let (results, ..) = bed.pull(round(1, &rows, true, true)).await;
    let ids: Vec<Id> = results.iter().map(|r| if let Recorded::New { id } = r { *id } else { panic!() }).collect();
    // 1: nothing sent; 2: open and untouched; 3: being sent; 4: closed already.
    bed.plan_all(NOW).await;
    let leased = bed.lease("desk/desk", NOW).await;
    let of = |id: &str| {
        let key = Key::of("test", &[&grant(id).natural_key()], 1);
        leased.iter().find(|l| matches!(&l.load, Load::Create { draft, .. } if draft.key == key)).unwrap()
    };
    bed.settle(of("1"), NOW, End::Retry { at: NOW, code: "E-X".to_owned(), reason: "x".to_owned(), new_group: None }).await;
    bed.settle(of("2"), NOW, filed("T-2")).await;
    bed.settle(of("4"), NOW, filed("T-4")).await;
    let Load::Create { ticket_id, draft } = &of("4").load else { panic!() };
    bed.close(&(*ticket_id, draft.key.clone()), "T-4", Outcome::Fulfilled, NOW).await;
    let unsent = bed.new_order("5", grant("5")).await;
    let mut five = rows.clone();
    five.push(("5", grant("5")));
    bed.pull(round(2, &five, true, true)).await;

    let (_, withdrawn, _) = bed.pull(round(3, &[], true, true)).await;
    assert_eq!(withdrawn, 5, "absent from a complete list");
    assert_eq!(bed.state(unsent).await, State::Closed);
    let (_, withdrawn, reinstated) = bed.pull(round(4, &five, true, true)).await;
    assert_eq!((withdrawn, reinstated), (0, 4), "all that are owed stand again");
    assert_eq!(bed.state(unsent).await, State::Planned);
    assert_eq!(bed.state(ids[1]).await, State::Open);
    assert_eq!(bed.state(ids[3]).await, State::Closed);
    assert!(bed.comments(NOW.plus_secs(400)).await.is_empty(), "the closing that was not sent yet is not sent");
    let reports = bed.lease("source/idm", NOW.plus_secs(400)).await;
    assert_eq!(reports.len(), 1, "no cancellation that is not true is reported");
    // Withdrawn for real later, it is told again.
    assert_eq!(bed.pull(round(8, &[], true, true).after(4)).await.1, 5);
    assert!(bed.comments(NOW.plus_secs(600)).await[0].contains("taken back"));
    bed.chains_hold().await;
}

/// A later round than the next.
trait After {
    fn after(self, n: i64) -> Self;
}

impl After for Pull {
    fn after(self, n: i64) -> Self {
        Self { from: Some(n.to_string()), ..self }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_whose_ticket_we_closed_gets_a_new_one_when_it_is_listed_again() {
    let bed = bed().await;
    let row = [("1", grant("1"))];
    bed.pull(round(1, &row, true, true)).await;
    let first = bed.file(NOW.plus_secs(61)).await.remove(0);
    bed.pull(round(2, &[], true, true)).await;
    // Our closing is under way: nobody knows yet how it ends.
    let closing = bed.lease("desk/desk", NOW.plus_secs(125)).await;
    assert_eq!(bed.pull(round(3, &row, true, true)).await.2, 0);
    bed.settle(&closing[0], NOW.plus_secs(185), End::Done).await;
    let number = format!("T-{}", 1);
    bed.close(&first, &number, Outcome::Cancelled, NOW.plus_secs(190)).await;
    assert_eq!(bed.pull(round(4, &row, true, true)).await.2, 1);
    let second = bed.file(NOW.plus_secs(250)).await.remove(0);
    assert_ne!(first.1, second.1, "a ticket of its own, with a key of its own");
    // What happens to the first ticket now is no concern of the order.
    bed.close(&first, &number, Outcome::Rejected, NOW.plus_secs(260)).await;
    let id = bed.ledger.assignments(&lastmile::ledger::views::Filter::default(), true, 1).await.unwrap()[0].id;
    assert_eq!(bed.state(id).await, State::Open);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failing_edge_is_news_once_and_stands_until_it_answers() {
    let bed = bed().await;
    let trouble = |code: &str| Some(Trouble { code: code.to_owned(), reason: "no".to_owned() });
    let note = async |t, s| bed.ledger.edge("source/idm", "poll", t, NOW.plus_secs(s)).await.unwrap();
    assert!(!note(None, 0).await);
    assert!(note(trouble("E-BUSY"), 1).await);
    assert!(!note(trouble("E-BUSY"), 2).await);
    assert!(note(trouble("E-AUTH"), 3).await, "another failure is news");
    let shown = bed.ledger.operations(&None, true, 10).await.unwrap().edges;
    assert_eq!((shown[0].times, shown[0].since, shown[0].code.as_str()), (3, NOW.plus_secs(1), "E-AUTH"));
    assert!(note(None, 4).await && !note(None, 5).await);
    assert!(bed.ledger.operations(&None, true, 10).await.unwrap().edges.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_made_before_the_lane_changed_waits_its_turn() {
    let bed = bed().await;
    let of = |id: &str, operation, approved: i64| Assignment {
        entitlement: Some(Named { id: "role".to_owned(), name: "Role".to_owned() }),
        approved_at: Some(NOW.plus_secs(approved)),
        ..order(id, operation)
    };
    // A revocation is decided on while nothing of its grant was sent; then the grant's call starts.
    bed.new_order("g", of("1", Operation::Grant, -60)).await;
    assert_eq!(bed.plan_all(NOW).await, 1);
    let revoke = bed.new_order("r", of("2", Operation::Revoke, -30)).await;
    let stale: Vec<Decision> = bed.ledger.to_plan(NOW, 10).await.unwrap().iter().map(|order| file(order, 0)).collect();
    let sending = bed.lease("desk/desk", NOW).await;
    assert_eq!(bed.ledger.plan(stale, NOW).await.unwrap(), 0, "it waits for the call under way");
    bed.settle(&sending[0], NOW, filed("T-1")).await;
    let waiting = bed.ledger.to_plan(NOW, 10).await.unwrap();
    assert_eq!((waiting[0].id, waiting[0].lane_ticket.as_deref()), (revoke, Some("T-1")), "and its ticket names the other");
    // An order approved earlier arrives between question and decision.
    let stale: Vec<Decision> = waiting.iter().map(|order| file(order, 0)).collect();
    bed.new_order("e", of("3", Operation::Revoke, -45)).await;
    assert_eq!(bed.ledger.plan(stale, NOW).await.unwrap(), 0);
    bed.chains_hold().await;
}

#[derive(Debug, Clone)]
enum Act {
    Order { revoke: bool, approved: i64 },
    Withdraw(usize),
    Plan,
    Send,
    Close(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (any::<bool>(), -1000i64..0).prop_map(|(revoke, approved)| Act::Order { revoke, approved }),
        1 => (0usize..8).prop_map(Act::Withdraw),
        3 => Just(Act::Plan),
        3 => Just(Act::Send),
        2 => (0usize..8).prop_map(Act::Close),
    ];
    proptest::collection::vec(act, 4..30)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens in which order: in a lane no grant is filed beside another open ticket of an earlier order, and
    /// at the end nothing waits for ever.
    #[test]
    fn a_lane_keeps_its_order_and_nothing_is_left(acts in acts(), in_turn: bool) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(lane_run(acts, in_turn))?;
    }
}

async fn lane_run(acts: Vec<Act>, in_turn: bool) -> Result<(), TestCaseError> {
    let bed = bed().await;
    let mut orders: Vec<(Id, String, bool, i64)> = Vec::new();
    let mut tickets: Vec<(Id, Key)> = Vec::new();
    let mut now = NOW;
    let settle_all = (0..30).flat_map(|_| [Act::Plan, Act::Send, Act::Close(0)]);
    for act in acts.into_iter().chain(settle_all) {
        now = now.plus_secs(1);
        match act {
            Act::Order { revoke, approved } => {
                let n = orders.len();
                let approved = if in_turn { i64::try_from(n).unwrap() - 1000 } else { approved };
                let operation = if revoke { Operation::Revoke } else { Operation::Grant };
                let order = Assignment {
                    entitlement: Some(Named { id: "role".to_owned(), name: "Role".to_owned() }),
                    approved_at: Some(NOW.plus_secs(approved)),
                    ..order(&n.to_string(), operation)
                };
                let id = bed.new_order(&format!("e{n}"), order).await;
                orders.push((id, n.to_string(), revoke, approved));
            }
            Act::Withdraw(n) => {
                if let Some((_, external, ..)) = orders.get(n) {
                    bed.record(vec![withdraws(&format!("w{now:?}"), external, None)]).await;
                }
            }
            Act::Plan => {
                bed.plan_all(now).await;
            }
            Act::Send => {
                for leased in bed.lease("desk/desk", now).await {
                    match &leased.load {
                        Load::Create { ticket_id, draft } => {
                            bed.settle(&leased, now, filed(&format!("T-{}", ticket_id.0))).await;
                            tickets.push((*ticket_id, draft.key.clone()));
                        }
                        _ => bed.settle(&leased, now, End::Done).await,
                    }
                }
            }
            Act::Close(n) => {
                if n < tickets.len() {
                    let ticket = tickets.remove(n);
                    bed.close(&ticket, &format!("T-{}", ticket.0.0), Outcome::Fulfilled, now).await;
                }
            }
        }
        let mut open = Vec::new();
        for (id, _, revoke, approved) in &orders {
            let state = bed.state(*id).await;
            if matches!(state, State::Due | State::Sending | State::Open) {
                open.push((*approved, *id, *revoke));
            }
        }
        open.sort_unstable();
        let grants_behind = open.iter().skip(1).filter(|(.., revoke)| !revoke).count();
        // An order approved earlier may arrive late, when the later one is filed already; it then waits its turn itself.
        let late = orders.windows(2).any(|pair| pair[1].3 < pair[0].3);
        prop_assert!(grants_behind == 0 || late, "{open:?}");
        prop_assert!(open.iter().filter(|(.., revoke)| *revoke).count() <= 1 || late, "{open:?}");
    }
    for (id, ..) in &orders {
        let state = bed.state(*id).await;
        prop_assert!(matches!(state, State::Closed | State::Superseded), "{id} is {state:?}");
    }
    prop_assert_eq!(bed.ledger.verify_chains().await.unwrap(), []);
    Ok(())
}
