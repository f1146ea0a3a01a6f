//! A ledger on either engine, and what is done to it over and over: an order comes, is planned, filed and closed.

use lastmile::ledger::{
    Decision, End, LeaseRequest, Leased, Ledger, PlanAction, Receipt, ReceiptContent, Recorded, Settlement, SqlLedger, ToPlan,
};
use lastmile::model::ticket::{Category, Created, TicketRef, TicketStatus};
use lastmile::model::{Assignment, Id, Key, Outcome, Timestamp};

use crate::engines::Place;
use crate::orders;

/// When everything begins.
pub const NOW: Timestamp = Timestamp(1_795_000_000_000);

/// What is wrong with a ledger's drafts, whatever was done to it: each goes with its ticket, and before the name of whom it is about.
const WRONG: &str = "SELECT COALESCE((SELECT what FROM (
        SELECT 'a draft of no ticket' AS what FROM ticket_draft AS d
            WHERE NOT EXISTS (SELECT 1 FROM ticket AS t JOIN ticket_item AS i ON i.ticket_id = t.id WHERE t.id = d.id)
        UNION ALL SELECT 'a draft about somebody whose name is erased' FROM ticket_draft AS d
            JOIN ticket_item AS i ON i.ticket_id = d.id JOIN assignment AS a ON a.id = i.assignment_id
            JOIN person AS p ON p.hash = a.beneficiary WHERE p.erased_at IS NOT NULL
    ) AS wrong LIMIT 1), 'nothing')";

/// A ledger in a place of its own.
pub struct Bed {
    pub place: Place,
    pub ledger: SqlLedger,
}

impl Bed {
    /// On the engine that the name of the module asks for.
    pub async fn of(module: &str) -> Self {
        let place = Place::of(module).await;
        Self { ledger: place.open().await, place }
    }

    pub async fn record(&self, receipts: Vec<Receipt>) -> Vec<Recorded> {
        self.ledger.record(receipts).await.unwrap()
    }

    /// Takes an order that nobody knows yet.
    pub async fn new_order(&self, event: &str, order: Assignment) -> Id {
        match self.record(vec![takes(event, order)]).await[..] {
            [Recorded::New { id }] => id,
            ref other => panic!("not new: {other:?}"),
        }
    }

    /// Everything that wants a ticket gets one, ranked as it came; how many.
    pub async fn plan_all(&self, now: Timestamp) -> usize {
        let waiting = self.ledger.to_plan(now, 100).await.unwrap();
        let decisions = waiting.iter().enumerate().map(|(n, o)| file(o, NOW.0 + n as i64)).collect();
        self.ledger.plan(decisions, now).await.unwrap()
    }

    pub async fn lease(&self, edge: &str, now: Timestamp) -> Vec<Leased> {
        self.ledger.lease(asks(edge, now)).await.unwrap()
    }

    /// False: the lease was gone.
    pub async fn settle(&self, leased: &Leased, at: Timestamp, end: End) -> bool {
        self.ledger.settle(vec![Settlement { id: leased.id, lease_no: leased.lease_no, at, end }]).await.unwrap() == [true]
    }

    pub async fn chains_hold(&self) {
        assert_eq!(self.ledger.verify_chains().await.unwrap(), []);
        assert_eq!(self.ledger.verify_ends().await.unwrap(), []);
        assert_eq!(self.place.text(WRONG).await, "nothing");
    }
}

pub fn receipt(event: &str, content: ReceiptContent) -> Receipt {
    Receipt { source: "idm".to_owned(), event_id: event.to_owned(), digest: format!("digest-{event}"), received_at: NOW, content }
}

pub fn takes(event: &str, assignment: Assignment) -> Receipt {
    receipt(event, ReceiptContent::Order(Box::new(assignment)))
}

/// The decision to file its ticket, which goes by this rank.
pub fn file(order: &ToPlan, rank: i64) -> Decision {
    let mut decision = orders::file(order, "test", "desk", NOW);
    if let PlanAction::File(plan) = &mut decision.action {
        plan.rank = rank;
    }
    decision
}

/// The key of an order's first ticket.
pub fn key_of(assignment: &Assignment) -> Key {
    Key::of("test", &[&assignment.natural_key()], 1)
}

/// More errands of an edge than any test has.
pub fn asks(edge: &str, now: Timestamp) -> LeaseRequest {
    LeaseRequest { limit: 50, ..orders::request(edge, "w", now) }
}

pub fn ticket(number: &str) -> TicketRef {
    TicketRef { id: format!("id-{number}"), number: number.to_owned() }
}

pub fn filed(number: &str) -> End {
    End::Filed(Created { ticket: ticket(number), url: None, key_confirmed: true, group_missed: false })
}

pub fn status(number: &str, key: &Key, category: Category, outcome: Option<Outcome>) -> TicketStatus {
    TicketStatus {
        ticket: ticket(number),
        key: Some(key.clone()),
        category,
        outcome,
        status: format!("{category:?}"),
        resolution: None,
        group: None,
        assigned: category == Category::InProgress,
        created_by: None,
        updated_at: Some(NOW.plus_secs(600)),
        closed_at: (category == Category::Closed).then(|| NOW.plus_secs(540)),
    }
}
