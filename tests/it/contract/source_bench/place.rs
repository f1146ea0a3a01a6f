//! What the platform orders, takes back, and sees carried out.

use lastmile::ledger::Ledger;
use lastmile::model::{Operation, Outcome};
use lastmile::sandbox::company;
use lastmile::sandbox::midpoint::state::membership;
use serde_json::json;

use super::{Bench, Kind};

impl Bench {
    /// Places so many orders of different objects; gives their external ids.
    pub(in super::super) fn place(&self, n: u64) -> Vec<String> {
        let first = {
            let mut placed = self.placed.lock().unwrap();
            let first = *placed;
            *placed += n;
            first
        };
        (first..first + n).map(|n| self.place_one(n)).collect()
    }

    fn place_one(&self, n: u64) -> String {
        if let Some(fake) = self.midpoint() {
            return fake.state().grant(n + 1, n % 3);
        }
        if let Some(asking) = self.asking() {
            return asking.fake.request(n + 1, "Add", &format!("R{n}"));
        }
        if let Some(fake) = self.entra() {
            return fake.state().ask(n + 1, &format!("Package {n}"), "assignmentRequestApproved");
        }
        let Some(fake) = self.oim() else {
            let mut document = company::order(11, n + 1, self.now());
            document["operation"] = json!("add");
            document["entitlement"] = json!({"id": format!("R{n}"), "name": format!("Role {n}")});
            return self.platform().state().place(document, self.now());
        };
        let (one, other) = (n % 30 + 1, n / 30 % 3 + 1);
        match self.kind {
            Kind::Queue => {
                let key = format!("<Key><T>UNSAccountB</T><P>object-{n}</P></Key>");
                let (change, steps) = fake.state().pend(&key, ("root-1", "Mainframe"), &[("Insert", "a")]);
                format!("{change}/{}", steps[0])
            }
            Kind::Assignments => {
                fake.state().assign(one, other);
                format!("account-{one}+group-{other}")
            }
            _ => fake.state().order_approved(one, other, None),
        }
    }

    /// Three orders of one object, in this order; gives operation and external id of each.
    pub(in super::super) async fn place_three_of_one(&self) -> Vec<(Operation, String)> {
        use Operation::{CreateAccount, Grant, Modify, Revoke};
        if let Some(fake) = self.midpoint() {
            fake.state().link("shadow-1", 1);
            let mut ids = Vec::new();
            for (operation, how) in [(Grant, "add"), (Revoke, "delete"), (Grant, "add")] {
                self.clock.advance_ms(1_000);
                ids.push((operation, fake.state().open("resource-1", "shadow-1", membership(how, 1))));
            }
            return ids;
        }
        if let Some(asking) = self.asking() {
            let mut ids = Vec::new();
            for (operation, word) in [(Grant, "Add"), (Revoke, "Remove"), (Grant, "Add")] {
                self.clock.advance_ms(1_000);
                ids.push((operation, asking.fake.request(1, word, "R")));
            }
            return ids;
        }
        if let Some(fake) = self.entra() {
            let mut ids = Vec::new();
            for (operation, stage) in [(Grant, "Approved"), (Revoke, "Removed"), (Grant, "Granted")] {
                self.clock.advance_ms(1_000);
                ids.push((operation, fake.state().ask(1, "Package", &format!("assignmentRequest{stage}"))));
            }
            return ids;
        }
        let Some(fake) = self.oim() else {
            let mut ids = Vec::new();
            for n in 900..903 {
                self.clock.advance_ms(1_000);
                let mut document = company::order(11, n, self.now());
                document["operation"] = json!("change");
                document["application"] = json!({"id": "sap-erp", "name": "SAP"});
                document["entitlement"] = json!({"id": "R", "name": "R"});
                document["beneficiary"] = json!({"id": "P", "name": "P"});
                ids.push((Modify, self.platform().state().place(document, self.now())));
            }
            return ids;
        };
        match self.kind {
            Kind::Queue => {
                let steps = [("Insert", "a"), ("Update", "b"), ("Update", "c")];
                let key = "<Key><T>UNSAccountB</T><P>one</P></Key>";
                let (change, ids) = fake.state().pend(key, ("root-1", "Mainframe"), &steps);
                let id = |step: &String| format!("{change}/{step}");
                vec![(CreateAccount, id(&ids[0])), (Modify, id(&ids[1])), (Modify, id(&ids[2]))]
            }
            Kind::Assignments => {
                let id = "account-1+group-1".to_owned();
                for _ in 0..2 {
                    let key = fake.state().assign(1, 1);
                    self.round().await.unwrap();
                    // Each is carried out before the next: what nobody saw would only be dropped.
                    self.carry_out(&id).await;
                    fake.state().unassign(&key);
                    self.round().await.unwrap();
                    self.carry_out(&id).await;
                }
                vec![(Grant, id.clone()), (Revoke, id.clone()), (Grant, id.clone()), (Revoke, id)]
            }
            _ => {
                let mut ids = Vec::new();
                for _ in 0..3 {
                    self.clock.advance_ms(1_000);
                    ids.push((Grant, fake.state().order_approved(1, 1, None)));
                }
                ids
            }
        }
    }

    /// Gives every unfinished order of an object an outcome by hand.
    async fn carry_out(&self, id: &str) {
        self.end(id, Outcome::Fulfilled).await;
    }

    pub(super) async fn end(&self, id: &str, outcome: Outcome) {
        for row in self.rows().await.into_iter().filter(|r| r.external_id == id && r.outcome.is_none()) {
            let decide = lastmile::ledger::Action::Decide { assignment: row.id, outcome, reason: "done by hand".to_owned() };
            self.park(row.id).await;
            let acted = self.ledger.act(decide, "operator", self.now()).await.unwrap();
            assert_eq!(acted, lastmile::ledger::Acted::Done, "{id}");
        }
    }

    async fn park(&self, id: lastmile::model::Id) {
        let waiting = self.ledger.to_plan(self.now(), 1_000).await.unwrap();
        let Some(order) = waiting.into_iter().find(|o| o.id == id) else { return };
        let decision = lastmile::ledger::Decision {
            id,
            revision: order.revision,
            eligible_at: self.now(),
            action: lastmile::ledger::PlanAction::Park { code: "E-TEST", reason: "parked by the test".to_owned() },
            catalog_version: "test".to_owned(),
            persons: Vec::new(),
        };
        self.ledger.plan(vec![decision], self.now()).await.unwrap();
    }

    /// The platform takes an order back.
    pub(in super::super) fn take_back(&self, id: &str) {
        if let Some(fake) = self.midpoint() {
            return fake.state().close(id, None);
        }
        if let Some(asking) = self.asking() {
            return asking.fake.cancel(id);
        }
        if let Some(fake) = self.entra() {
            return fake.state().cancel(id);
        }
        let Some(fake) = self.oim() else {
            assert!(self.platform().state().withdraw(id, self.now()));
            return;
        };
        match self.kind {
            Kind::Queue => fake.state().settle(id.split('/').next().unwrap()),
            Kind::Assignments => {
                let (account, group) = id.split_once('+').unwrap();
                let key = format!("<Key><T>ADSAccountInADSGroup</T><P>{account}</P><P>{group}</P></Key>");
                assert!(fake.state().unassign(&key));
            }
            _ => fake.state().abort(id),
        }
    }
}
