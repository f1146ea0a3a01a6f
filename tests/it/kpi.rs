//! Figures of a generated history whose truth is known: each measure against a plain count over the same orders.

#[path = "kpi/figures.rs"]
mod figures;
#[path = "kpi/keeping.rs"]
mod keeping;
#[path = "kpi/orders.rs"]
mod orders;
#[path = "kpi/pace.rs"]
mod pace;
#[path = "kpi/parts.rs"]
mod parts;
#[path = "kpi/truth.rs"]
mod truth;

use std::collections::BTreeMap;
use std::path::Path;

use lastmile::catalog::calendar::CalendarFile;
use lastmile::catalog::{Calendar, Catalog, ClockKind, ConfigFile};
use lastmile::kpi::case::Case;
use lastmile::kpi::export::cases;
use lastmile::kpi::measure::{Line, Spread};
use lastmile::kpi::report::{Asked, Report, Shown, Which, found, leavers_open};
use lastmile::kpi::rollup::Rollup;
use lastmile::kpi::timing::{Listed, Timing, measured};
use lastmile::kpi::verify::{Verified, verify};
use lastmile::ledger::exports::{Apart, EvidenceFilter, Proof, Seen};
use lastmile::ledger::rollups::{CellFilter, Kind, Sought};
use lastmile::ledger::{
    Decision, End, Exports, LeaseRequest, Ledger, Observation, Past, PlanAction, Receipt, ReceiptContent, Recorded, Rollups,
    Settlement, SqlLedger, TicketPlan, Views,
};
use lastmile::model::assignment::{Approval, Named};
use lastmile::model::clock::FakeClock;
use lastmile::model::ticket::{Category, Created, Draft, TicketReading, TicketRef, TicketStatus};
use lastmile::model::{Assignment, Clock, Id, Key, Operation, Outcome, Person, Timestamp};
use lastmile::plan::business::{self, Working};
use lastmile::sandbox::config;

use self::truth::{Truth, check, history, near};
use crate::engines::Place;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const NOW: Timestamp = Timestamp(1_795_000_000_000);

struct Bed {
    place: Place,
    ledger: SqlLedger,
    catalog: Catalog,
    clock: FakeClock,
    figures: Rollup,
}

fn catalog() -> Catalog {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = "http://127.0.0.1:1";
    for (path, text) in config::files(nowhere, nowhere, nowhere, "127.0.0.1:8480") {
        let place = folder.path().join(&path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, &text).unwrap();
    }
    Catalog::load(folder.path()).unwrap()
}

impl Bed {
    async fn new() -> Self {
        let place = Place::of(module_path!()).await;
        let ledger = place.open().await;
        Self { ledger, catalog: catalog(), clock: FakeClock::at(NOW), figures: Rollup::new(), place }
    }

    async fn sql(&self, text: &str) {
        self.place.run(text).await;
    }

    async fn count(&mut self) -> usize {
        self.figures.catch_up(&self.ledger, &self.catalog, &self.clock).await.unwrap()
    }

    /// As a process that starts anew: it remembers nothing.
    async fn count_anew(&mut self) -> usize {
        self.figures = Rollup::new();
        self.count().await
    }

    async fn report(&self, asked: &Asked) -> Report {
        Report::of(&self.ledger, &self.catalog, &None, asked, self.clock.now()).await.unwrap()
    }

    /// The first assignments behind a figure.
    async fn behind(&self, asked: &Asked, limit: i64) -> Vec<Shown> {
        found(&self.ledger, &self.catalog, &None, asked, NOW, limit).await.unwrap().rows
    }

    async fn verified(&self) -> Verified {
        verify(&self.ledger, &self.catalog, self.clock.now()).await.unwrap()
    }

    async fn load(&self, truth: &[Truth]) {
        for part in truth.chunks(100) {
            let n = self.ledger.load_history(part.iter().map(|t| t.past.clone()).collect()).await.unwrap();
            assert_eq!(n, part.len());
        }
        // What a desk tells on the way, as sync writes it.
        let mut text = String::new();
        for t in truth {
            let id = format!("(SELECT id FROM assignment WHERE external_id = '{}')", t.past.assignment.external_id);
            let mut line = |at: Timestamp, event: &str, state: &str, (cause, detail): (&str, &str)| {
                text.push_str(&format!(
                    "INSERT INTO journal (assignment_id, seq, happened_at, whose_clock, seen_at, event, state, actor, cause, detail, hash)
                     VALUES ({id}, (SELECT chain_seq + 1 FROM assignment WHERE id = {id}), {}, 'desk', {}, '{event}', '{state}', 'desk', '{cause}', '{detail}', '');
                     UPDATE assignment SET chain_seq = chain_seq + 1 WHERE id = {id};",
                    at.0, at.0
                ));
            };
            let plain = ("", "{}");
            if t.moved {
                line(t.past.filed_at, "moved", "reported", plain);
            }
            for (event, cause, detail) in &t.trouble {
                line(t.past.filed_at, event, "reported", (cause, detail));
            }
            if t.reopened {
                line(t.past.closed_at.plus_ms(-2 * MINUTE), "reopened", "rework", plain);
                line(t.past.closed_at, "closed", "closed", plain);
                line(t.past.reported_at, "reported", "reported", plain);
            }
            if let Some(at) = t.proven {
                line(at, "proven", "proven", plain);
            }
            text.push_str(&format!(
                "UPDATE journal SET whose_clock = 'desk', seen_at = happened_at + {} WHERE event = 'closed' AND assignment_id = {id};",
                t.noticed
            ));
        }
        self.sql(&text).await;
        // Pauses stand before the closing that the history loaded: their lines take the place of "due" and "sending".
        for t in truth.iter().filter(|t| t.pause.is_some()) {
            let (from, until) = t.pause.unwrap();
            let of =
                format!("assignment_id = (SELECT id FROM assignment WHERE external_id = '{}')", t.past.assignment.external_id);
            self.sql(&format!(
                "UPDATE journal SET event = 'paused', state = 'open', happened_at = {} WHERE event = 'due' AND {of};
                 UPDATE journal SET event = 'resumed', state = 'open', happened_at = {} WHERE event = 'sending' AND {of};",
                from.0, until.0
            ))
            .await;
        }
    }

    /// An order whose ticket is owed since then.
    async fn open(&self, name: &str, app: &str, operation: Operation, since: Timestamp, valid_from: Option<Timestamp>) -> Id {
        self.open_of(Assignment { valid_from, ..order(name, app, operation, "someone") }, since).await
    }

    /// The same of this order.
    async fn open_of(&self, order: Assignment, since: Timestamp) -> Id {
        let (name, app) = (order.external_id.clone(), order.application.id.clone());
        let assignment = Assignment { approved_at: Some(since), ..order };
        let receipt = Receipt {
            source: "idm".to_owned(),
            event_id: name.clone(),
            digest: name.clone(),
            received_at: since,
            content: ReceiptContent::Order(Box::new(assignment)),
        };
        let Recorded::New { id } = self.ledger.record(vec![receipt]).await.unwrap().remove(0) else { panic!("not new") };
        let order = self.ledger.to_plan(NOW, 10).await.unwrap().into_iter().find(|o| o.id == id).unwrap();
        let draft = Draft {
            key: Key::of("test", &[&name], 1),
            admin_group: "g".to_owned(),
            summary: "s".to_owned(),
            body: "b".to_owned(),
            priority: 1,
            due_at: None,
            fields: BTreeMap::new(),
        };
        let plan = TicketPlan {
            desk: "jira".to_owned(),
            admin_group: format!("{app}-admins"),
            route: "by convention".to_owned(),
            draft,
            template: "default".to_owned(),
            template_version: "1".to_owned(),
            cycle: 1,
            rank: 1,
        };
        let decision = Decision {
            id,
            revision: order.revision,
            eligible_at: since,
            catalog_version: "c".to_owned(),
            persons: Vec::new(),
            action: PlanAction::File(Box::new(plan)),
        };
        assert_eq!(self.ledger.plan(vec![decision], since).await.unwrap(), 1);
        id
    }
}

fn order(name: &str, app: &str, operation: Operation, person: &str) -> Assignment {
    Assignment {
        answer_by: None,
        source: "idm".to_owned(),
        external_id: name.to_owned(),
        generation: 1,
        operation,
        application: Named { id: app.to_owned(), name: app.to_uppercase() },
        entitlement: Some(Named { id: format!("role-{name}"), name: "Role".to_owned() }),
        account: None,
        beneficiary: Person { id: person.to_owned(), name: None, email: None },
        requester: None,
        approvals: Vec::new(),
        requested_at: None,
        approved_at: None,
        valid_from: None,
        valid_until: None,
        priority: 1,
        reason: None,
        attributes: BTreeMap::new(),
    }
}
