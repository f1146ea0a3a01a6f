//! What the platform is told, and what it holds then.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lastmile::http::CallError;
use lastmile::ledger::Ledger;
use lastmile::model::completion::Completion;
use lastmile::model::progress::{Progress, Step};
use lastmile::model::{Operation, Outcome};
use serde_json::json;

use super::{Bench, Kind};

impl Bench {
    /// The completion of an order that the ledger has.
    pub(in super::super) async fn completion(&self, id: &str, outcome: Outcome) -> Completion {
        let row = self.rows().await.into_iter().rfind(|r| r.external_id == id).unwrap();
        let operation = Operation::parse(&row.operation).unwrap();
        let order = self.ledger.to_plan(self.now().plus_secs(900 * 86_400), 1_000).await.unwrap();
        let generation = order.iter().find(|o| o.id == row.id).map_or(1, |o| o.assignment.generation);
        Completion {
            id: format!("lmr-{}", lastmile::model::key::stable_id(&[id, outcome.as_str()])),
            external_id: id.to_owned(),
            natural_key: lastmile::model::assignment::natural_key("iga", id, operation, generation),
            operation,
            application: row.application_id,
            outcome,
            success: outcome.is_success(),
            reason: None,
            words: Some("It is \"done\".\nReally.".to_owned()),
            closed_by: None,
            ticket: Some("IAM-1".to_owned()),
            ticket_url: Some("https://desk.example/IAM-1".to_owned()),
            desk: Some("jira".to_owned()),
            closed_at: Some(self.now()),
            seen_at: self.now(),
            closed_at_iso: Some(self.now().iso()),
            seen_at_iso: self.now().iso(),
            filed_at: None,
            started_at: None,
            filed_at_iso: None,
            started_at_iso: None,
            evidence: Vec::new(),
        }
    }

    /// Tells an outcome as the completion stage does: unclear reports are asked about before they are repeated.
    pub(in super::super) async fn tell(&self, completion: &Completion) -> Result<(), CallError> {
        if let Some(asking) = self.asking() {
            self.end(&completion.external_id, completion.outcome).await;
            return asking.ask_until_told(self, &completion.external_id).await;
        }
        let mut asking = false;
        for _ in 0..6 {
            let result = if asking {
                self.source.confirm(completion).await.map(|held| held.then_some(()))
            } else {
                self.source.report(completion).await.map(Some)
            };
            match result {
                Ok(Some(())) => return Ok(()),
                Ok(None) => {}
                Err(CallError::Unclear { .. }) => asking = self.source.info().confirm_quiet_ms.is_some(),
                Err(CallError::Retry { .. }) => {}
                Err(error) => return Err(error),
            }
            if let Some(fake) = self.oim() {
                fake.state().run_processes();
            }
        }
        Err(CallError::retry("E-TEST", "it was not taken"))
    }

    /// How often the platform took an outcome of this order, and with what.
    pub(in super::super) fn held(&self, id: &str) -> Vec<bool> {
        if let Some(asking) = self.asking() {
            return asking.fake.done(id).into_iter().collect();
        }
        if let Some(fake) = self.midpoint() {
            let of_it = fake.state().completions().into_iter().filter(|(case, ..)| case == id);
            return of_it.map(|(_, output, _)| output["outcome"] == json!("success")).collect();
        }
        if let Some(fake) = self.entra() {
            return fake.state().answers(id).into_iter().map(|(denied, _)| !denied).collect();
        }
        let Some(fake) = self.oim() else {
            let told = self.platform().state().completions_of(id);
            return told.iter().map(|c| c["success"] == json!(true)).collect();
        };
        match self.kind {
            Kind::Queue => {
                let step = id.split_once('/').unwrap().1;
                fake.state().answers().into_iter().filter(|(s, _)| s == step).map(|(_, success)| success).collect()
            }
            Kind::Assignments => {
                let raised = fake
                    .state()
                    .raised()
                    .into_iter()
                    .filter(|r| r.event == "LASTMILE_DONE" && r.parameters["Assignment"] == json!(id));
                let by_id: BTreeMap<String, bool> =
                    raised.map(|r| (r.parameters["ReportId"].to_string(), r.parameters["Success"] == json!("true"))).collect();
                by_id.into_values().collect()
            }
            _ => fake.state().decisions().into_iter().filter(|d| d.request == id).map(|d| d.granted).collect(),
        }
    }

    /// A step of an order that the ledger has.
    pub(in super::super) fn progress(&self, id: &str, step: Step) -> Progress {
        Progress {
            id: format!("lmp-{}", lastmile::model::key::stable_id(&[id, step.as_str()])),
            external_id: id.to_owned(),
            natural_key: format!("iga/{id}/grant/1"),
            operation: Operation::Grant,
            application: "sap-erp".to_owned(),
            step,
            words: step.human(),
            ticket: Some("IAM-1".to_owned()),
            ticket_url: Some("https://desk.example/IAM-1".to_owned()),
            desk: Some("jira".to_owned()),
            admin_group: Some("sap-admins".to_owned()),
            status: Some("Open".to_owned()),
            at: self.now(),
            at_iso: self.now().iso(),
        }
    }

    /// The steps of an order that its platform shows, each as often as it shows it.
    pub(in super::super) fn steps(&self, id: &str) -> Vec<String> {
        let Some(fake) = self.oim() else { return self.platform().state().steps_of(id) };
        let column = fake.state().column("PersonWantsOrg", id, "OrderDetail1");
        let raised = fake.state().raised().into_iter().filter(|r| r.event == "LASTMILE_PROGRESS");
        let of_it = raised.filter(|r| r.object.1 == id || r.parameters["Assignment"] == json!(id));
        let mut steps: Vec<(String, String)> = Vec::new();
        for r in of_it {
            let told = (r.parameters["ProgressId"].to_string(), r.parameters["Step"].as_str().unwrap_or_default().to_owned());
            if !steps.contains(&told) {
                steps.push(told);
            }
        }
        column.into_iter().chain(steps.into_iter().map(|(_, step)| step)).collect()
    }

    /// Everything that the platform was told with an outcome, as one text.
    pub(in super::super) fn heard(&self, id: &str) -> String {
        if let Some(fake) = self.entra() {
            return fake.state().answers(id).into_iter().map(|(_, detail)| detail).collect();
        }
        if let Some(fake) = self.midpoint() {
            let outputs = fake.state().completions().into_iter().filter(|(case, ..)| case == id).map(|(_, output, _)| output);
            let texts = outputs.map(|output| {
                let file = STANDARD.decode(output["evidence"].as_str().unwrap_or_default()).unwrap();
                format!("{} {}", output["comment"], String::from_utf8(file).unwrap())
            });
            return texts.collect();
        }
        let Some(fake) = self.oim() else {
            return self.platform().state().completions_of(id).iter().map(ToString::to_string).collect();
        };
        let raised = fake.state().raised().into_iter().map(|r| r.parameters.to_string());
        let reasons = fake.state().decisions().into_iter().map(|d| d.reason);
        let answers = fake.state().answers().into_iter().map(|(_, success)| success.to_string());
        raised.chain(reasons).chain(answers).collect()
    }
}
