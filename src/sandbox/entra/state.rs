//! What the fake Entra knows: requests, the callouts of each, and what became of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::model::{Clock, Timestamp};

/// What an attempt to resume did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resumed {
    /// The request goes on, or is denied.
    Now,
    /// It had been resumed before.
    Before,
    /// It had stopped waiting.
    TooLate,
    /// There is no such request or callout.
    Unknown,
    /// The body says something that cannot be.
    Unreadable(&'static str),
}

/// A callout that waits for its answer.
#[derive(Debug, Clone)]
struct Callout {
    id: String,
    stage: String,
    sent_at: Timestamp,
    wait_ms: i64,
    status: &'static str,
    detail: Option<String>,
    /// State that the answer asked for.
    denied: bool,
    /// Somebody took the message.
    taken: bool,
}

#[derive(Debug, Clone)]
struct Asked {
    kind: &'static str,
    person: u64,
    package: String,
    state: &'static str,
    until: Option<Timestamp>,
    callouts: Vec<Callout>,
}

#[derive(Debug, Default)]
struct Inner {
    requests: BTreeMap<String, Asked>,
    numbers: u64,
    /// Every answer that had an effect: callout, denied, detail.
    answers: Vec<(String, bool, String)>,
    wait: Option<String>,
}

/// The state of a fake Entra.
#[derive(Debug)]
pub struct EntraState {
    inner: Mutex<Inner>,
    clock: Arc<dyn Clock>,
}

/// As the extension is set, unless a test says otherwise.
const WAIT: &str = "P14D";
const WAIT_MS: i64 = 14 * 86_400_000;

impl EntraState {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { inner: Mutex::default(), clock }
    }

    /// Waits that are over are over, whoever looks.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        for asked in inner.requests.values_mut() {
            let over = |c: &Callout| c.status == "waitingForCallback" && now >= c.sent_at.plus_ms(c.wait_ms);
            for callout in asked.callouts.iter_mut().filter(|c| over(c)) {
                callout.status = "callbackTimedOut";
                asked.state = "deliveryFailed";
            }
        }
        inner
    }

    /// A person's request for a package was approved (`assignmentRequestApproved`), or is at another stage: the extension
    /// is called and waits. Gives the order's id here: request, stage and callout.
    pub fn ask(&self, person: u64, package: &str, stage: &str) -> String {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.numbers += 2;
        let id = format!("00000000-0000-4000-8000-{:012}", inner.numbers);
        let kind = if stage == "assignmentRequestRemoved" { "adminRemove" } else { "userAdd" };
        let state = if stage == "assignmentRequestCreated" { "submitted" } else { "delivering" };
        let asked = Asked { kind, person, package: package.to_owned(), state, until: None, callouts: Vec::new() };
        inner.requests.insert(id.clone(), asked);
        Self::call(&mut inner, &id, stage, now)
    }

    /// The extension is called for a request that there is; gives the order's id here.
    pub fn call_again(&self, request: &str, stage: &str) -> String {
        let now = self.clock.now();
        Self::call(&mut self.lock(), request, stage, now)
    }

    fn call(inner: &mut Inner, request: &str, stage: &str, now: Timestamp) -> String {
        inner.numbers += 2;
        let id = format!("00000000-0000-4000-9000-{:012}", inner.numbers);
        let order = format!("{request}/{stage}/{id}");
        if let Some(asked) = inner.requests.get_mut(request) {
            asked.callouts.push(Callout {
                id,
                stage: stage.to_owned(),
                sent_at: now,
                wait_ms: WAIT_MS,
                status: "waitingForCallback",
                detail: None,
                denied: false,
                taken: false,
            });
        }
        order
    }

    /// How long the extension waits from now on, as it is written there, and for the callouts that there are.
    pub fn set_wait(&self, written: &str, ms: i64) {
        let mut inner = self.lock();
        inner.wait = Some(written.to_owned());
        for callout in inner.requests.values_mut().flat_map(|asked| &mut asked.callouts) {
            callout.wait_ms = ms;
        }
    }

    /// A day on which the access ends.
    pub fn limit(&self, order: &str, until: Timestamp) {
        if let Some(asked) = self.lock().requests.get_mut(request_of(order)) {
            asked.until = Some(until);
        }
    }

    /// The requestor takes it back.
    pub fn cancel(&self, order: &str) {
        if let Some(asked) = self.lock().requests.get_mut(request_of(order)) {
            asked.state = "canceled";
        }
    }

    /// An administrator resumes it by hand.
    pub fn resume_by_hand(&self, order: &str) {
        if let Some(asked) = self.lock().requests.get_mut(request_of(order)) {
            for callout in &mut asked.callouts {
                (callout.status, callout.detail) = ("callbackReceived", Some("by hand".to_owned()));
            }
            asked.state = "delivered";
        }
    }

    /// The platform forgets a request.
    pub fn forget(&self, order: &str) {
        self.lock().requests.remove(request_of(order));
    }

    /// Every message is sent once more: another run of the Logic App.
    pub fn send_again(&self) {
        self.lock().requests.values_mut().flat_map(|asked| &mut asked.callouts).for_each(|callout| callout.taken = false);
    }

    /// Somebody took the message.
    pub fn taken(&self, callout: &str) {
        let mut inner = self.lock();
        let all = inner.requests.values_mut().flat_map(|asked| &mut asked.callouts);
        all.filter(|c| c.id == callout).for_each(|c| c.taken = true);
    }

    /// Callouts that nobody took yet: id, when they were sent, the message, and what the package holds.
    #[must_use]
    pub fn callouts(&self) -> Vec<(String, Timestamp, Value, Value)> {
        let inner = self.lock();
        let wait = inner.wait.as_deref().unwrap_or(WAIT);
        let mut waiting = Vec::new();
        for (id, asked) in &inner.requests {
            for callout in asked.callouts.iter().filter(|c| !c.taken) {
                waiting.push((callout.id.clone(), callout.sent_at, message(id, asked, callout, wait), holds(&asked.package)));
            }
        }
        waiting.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        waiting
    }

    /// Ids of all requests.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.lock().requests.keys().cloned().collect()
    }

    /// A request as Graph shows it.
    #[must_use]
    pub fn request(&self, id: &str) -> Option<Value> {
        let inner = self.lock();
        let asked = inner.requests.get(id)?;
        let waits = asked.callouts.iter().any(|c| c.status == "waitingForCallback");
        let callouts: Vec<Value> = asked
            .callouts
            .iter()
            .map(|c| json!({"id": c.id, "customExtensionId": "extension-1", "detail": c.detail, "status": c.status}))
            .collect();
        let status = if waits && asked.state != "canceled" { "WaitingForCallback" } else { asked.state };
        Some(json!({"id": id, "requestType": asked.kind, "state": asked.state, "status": status,
            "customExtensionCalloutInstances": callouts}))
    }

    /// Catalogs with their extensions.
    #[must_use]
    pub fn catalogs(&self) -> Value {
        let wait = self.lock().wait.clone().unwrap_or_else(|| WAIT.to_owned());
        json!({"value": [{"id": "catalog-1", "displayName": "Sales", "customWorkflowExtensions": [
            {"displayName": "lastmile", "callbackConfiguration": {"timeoutDuration": wait}},
            {"displayName": "tells somebody", "callbackConfiguration": null}]}]})
    }

    /// Resumes a request, after what its body says.
    pub fn resume(&self, id: &str, body: &Value) -> Resumed {
        let data = &body["data"];
        let text = |of: &Value, name: &str| of[name].as_str().unwrap_or_default().to_owned();
        let (stage, instance) = (text(data, "stage"), text(data, "customExtensionStageInstanceId"));
        if text(data, "@odata.type") != "microsoft.graph.accessPackageAssignmentRequestCallbackData" {
            return Resumed::Unreadable("the type of the data is not known");
        }
        if text(body, "type") != format!("microsoft.graph.accessPackageCustomExtensionStage.{stage}") {
            return Resumed::Unreadable("type and stage do not agree");
        }
        if text(body, "source").is_empty() {
            return Resumed::Unreadable("nobody says that they resume it");
        }
        let denied = match data["state"].as_str() {
            None => false,
            Some("denied") if ["assignmentRequestCreated", "assignmentRequestApproved"].contains(&stage.as_str()) => true,
            Some(_) => return Resumed::Unreadable("this state cannot be set at this stage"),
        };
        let mut inner = self.lock();
        let Some(asked) = inner.requests.get_mut(id) else { return Resumed::Unknown };
        let Some(callout) = asked.callouts.iter_mut().find(|c| c.id == instance && c.stage == stage) else {
            return Resumed::Unknown;
        };
        match callout.status {
            "callbackReceived" => return Resumed::Before,
            "callbackTimedOut" => return Resumed::TooLate,
            _ if asked.state == "canceled" => return Resumed::TooLate,
            _ => {}
        }
        let detail = text(data, "customExtensionStageInstanceDetail");
        (callout.status, callout.detail, callout.denied) = ("callbackReceived", Some(detail.clone()), denied);
        asked.state = match (denied, stage.as_str()) {
            (true, _) => "denied",
            (false, "assignmentRequestCreated") => "pendingApproval",
            (false, _) => "delivered",
        };
        inner.answers.push((instance, denied, detail));
        Resumed::Now
    }

    /// Every answer that had an effect, of an order here: denied, and the detail.
    #[must_use]
    pub fn answers(&self, order: &str) -> Vec<(bool, String)> {
        let callout = order.rsplit('/').next().unwrap_or_default();
        let inner = self.lock();
        inner.answers.iter().filter(|(c, ..)| c == callout).map(|(_, denied, detail)| (*denied, detail.clone())).collect()
    }

    /// State of an order's request.
    #[must_use]
    pub fn state_of(&self, order: &str) -> Option<&'static str> {
        self.lock().requests.get(request_of(order)).map(|asked| asked.state)
    }
}

fn request_of(order: &str) -> &str {
    order.split('/').next().unwrap_or_default()
}

/// What a package holds, as Graph lists it.
fn holds(package: &str) -> Value {
    json!([{"role": {"displayName": "Member"}, "scope": {"displayName": format!("{package} team")}}])
}

/// The message that the extension sends.
fn message(id: &str, asked: &Asked, callout: &Callout, wait: &str) -> Value {
    let person = json!({"Id": format!("subject-{}", asked.person), "ObjectId": format!("p-{}", asked.person),
        "DisplayName": format!("Person Number {}", asked.person), "Email": format!("p{}@corp.example", asked.person)});
    json!({
        "AccessPackageAssignmentRequestId": id,
        "CallbackUriPath": format!("/identityGovernance/entitlementManagement/accessPackageAssignmentRequests/{id}/resume"),
        "CallbackConfiguration": {"DurationBeforeTimeout": wait},
        "CustomExtensionStageInstanceId": callout.id,
        "Stage": capital(&callout.stage),
        "RequestType": capital(asked.kind),
        "State": asked.state,
        "Status": "WaitingForCallback",
        "Answers": [{"DisplayValue": "for work", "AnsweredQuestion": {"Text": "Why?"}}],
        "AccessPackage": {"Id": format!("package-{}", asked.package), "DisplayName": asked.package, "Description": "A package"},
        "AccessPackageCatalog": {"Id": "catalog-1", "DisplayName": "Sales", "Description": "All of sales"},
        "Requestor": person,
        "Assignment": {
            "Id": format!("assignment-{id}"),
            "Target": person,
            "AssignmentPolicy": {"Id": "policy-1", "DisplayName": "Employees"},
            "Schedule": {"Expiration": {"EndDateTime": asked.until.map(Timestamp::iso)}},
        },
    })
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|c| c.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
