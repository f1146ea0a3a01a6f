//! What the fake midPoint knows: cases in the order they were made, accounts with owners, resources.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use super::{ARCHETYPE, one_or_many};
use crate::model::{Clock, Timestamp};

/// What a completion did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completed {
    /// It closed the case.
    Now,
    /// It had been completed before: the platform only warns.
    Before,
    /// The case has no such work item.
    NoItem,
    /// There is no such case.
    NoCase,
}

/// A work item.
#[derive(Debug, Clone)]
struct Item {
    id: u64,
    closed: Option<Timestamp>,
    output: Option<Value>,
}

/// A case.
#[derive(Debug, Clone)]
struct Case {
    oid: String,
    created: Timestamp,
    state: &'static str,
    outcome: Option<String>,
    resource: String,
    shadow: String,
    delta: Value,
    items: Vec<Item>,
}

#[derive(Debug, Default)]
struct Inner {
    cases: BTreeMap<String, Case>,
    /// Owner of each account.
    owners: BTreeMap<String, Value>,
    resources: BTreeMap<String, Value>,
    /// Case, output and operator of every completion that had an effect.
    completions: Vec<(String, Value, String)>,
    acting: String,
    numbers: u64,
}

/// The state of a fake midPoint.
#[derive(Debug)]
pub struct MidpointState {
    inner: Mutex<Inner>,
    clock: Arc<dyn Clock>,
    skew: AtomicI64,
}

impl MidpointState {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let state = Self { inner: Mutex::default(), clock, skew: AtomicI64::new(0) };
        state.describe("resource-1", json!({"name": {"orig": "Mainframe", "norm": "mainframe"}}));
        state
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The platform's clock is so many milliseconds ahead (negative: behind).
    pub fn set_skew_ms(&self, ms: i64) {
        self.skew.store(ms, Ordering::SeqCst);
    }

    /// The platform's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now().plus_ms(self.skew.load(Ordering::SeqCst))
    }

    pub(super) fn acts_as(&self, principal: &str) {
        principal.clone_into(&mut self.lock().acting);
    }

    /// Makes or changes a resource.
    pub fn describe(&self, oid: &str, mut resource: Value) {
        resource["oid"] = json!(oid);
        self.lock().resources.insert(oid.to_owned(), resource);
    }

    /// Links an account to a person.
    pub fn link(&self, shadow: &str, number: u64) {
        let user = json!({
            "oid": format!("user-{number}"), "name": {"orig": format!("p{number}"), "norm": format!("p{number}")},
            "fullName": format!("Person Number {number}"), "emailAddress": format!("p{number}@corp.example"),
        });
        self.lock().owners.insert(shadow.to_owned(), user);
    }

    /// Opens a manual case with two work items; gives its OID.
    pub fn open(&self, resource: &str, shadow: &str, delta: Value) -> String {
        let created = self.now();
        let mut inner = self.lock();
        inner.numbers += 1;
        // Not in the order they are made: an OID is random.
        let oid = format!("case-{:02x}-{}", inner.numbers.wrapping_mul(167) % 251, inner.numbers);
        let item = |id| Item { id, closed: None, output: None };
        let case = Case {
            oid: oid.clone(),
            created,
            state: "open",
            outcome: None,
            resource: resource.to_owned(),
            shadow: shadow.to_owned(),
            delta,
            items: vec![item(3), item(2)],
        };
        inner.cases.insert(oid.clone(), case);
        oid
    }

    /// Opens a case that gives one entitlement to an account with an owner.
    pub fn grant(&self, person: u64, group: u64) -> String {
        let shadow = format!("shadow-{person}");
        self.link(&shadow, person);
        self.open("resource-1", &shadow, membership("add", group))
    }

    /// Somebody completes or cancels the case in the platform.
    pub fn close(&self, oid: &str, outcome: Option<&str>) {
        if let Some(case) = self.lock().cases.get_mut(oid) {
            case.state = "closed";
            case.outcome = outcome.map(str::to_owned);
        }
    }

    /// Closed or not, the case is cleaned up.
    pub fn forget(&self, oid: &str) {
        self.lock().cases.remove(oid);
    }

    /// The platform comes back from a backup: the case waits as if nobody had completed it.
    pub fn restore(&self, oid: &str) {
        if let Some(case) = self.lock().cases.get_mut(oid) {
            (case.state, case.outcome) = ("open", None);
            case.items.iter_mut().for_each(|item| (item.closed, item.output) = (None, None));
        }
    }

    /// A work item is taken out of a case, as when its stage is run again.
    pub fn renumber(&self, oid: &str) {
        if let Some(case) = self.lock().cases.get_mut(oid) {
            case.items.iter_mut().for_each(|item| item.id += 10);
        }
    }

    /// Case, output and operator of every completion that had an effect.
    #[must_use]
    pub fn completions(&self) -> Vec<(String, Value, String)> {
        self.lock().completions.clone()
    }

    pub(super) fn list(&self, state: &str, all: bool) -> Vec<Value> {
        let inner = self.lock();
        let mut fit: Vec<&Case> = inner.cases.values().filter(|c| all || c.state == state).collect();
        fit.sort_by(|a, b| (a.created, &a.oid).cmp(&(b.created, &b.oid)));
        fit.into_iter().map(|case| written(case, &inner)).collect()
    }

    pub(super) fn case(&self, oid: &str) -> Option<Value> {
        let inner = self.lock();
        inner.cases.get(oid).map(|case| written(case, &inner))
    }

    pub(super) fn owner(&self, shadow: &str) -> Option<Value> {
        self.lock().owners.get(shadow).cloned()
    }

    pub(super) fn shadow(&self, oid: &str) -> Option<Value> {
        let number = oid.strip_prefix("group-")?;
        Some(json!({"oid": oid, "name": {"orig": format!("Group {number}"), "norm": format!("group {number}")}}))
    }

    pub(super) fn resource(&self, oid: &str) -> Option<Value> {
        self.lock().resources.get(oid).cloned()
    }

    pub(super) fn complete(&self, oid: &str, item: u64, output: &Value) -> Completed {
        let now = self.now();
        let mut inner = self.lock();
        let acting = inner.acting.clone();
        let Some(case) = inner.cases.get_mut(oid) else { return Completed::NoCase };
        let Some(found) = case.items.iter_mut().find(|i| i.id == item) else { return Completed::NoItem };
        if found.closed.is_some() || case.state != "open" {
            return Completed::Before;
        }
        found.output = Some(output.clone());
        // Its siblings are cancelled with it.
        case.items.iter_mut().for_each(|i| i.closed = Some(now));
        case.state = "closed";
        case.outcome = output["outcome"].as_str().map(str::to_owned);
        inner.completions.push((oid.to_owned(), output.clone(), acting));
        Completed::Now
    }
}

/// A change that gives or takes one entitlement.
#[must_use]
pub fn membership(how: &str, group: u64) -> Value {
    json!({"changeType": "modify", "objectType": "ShadowType", "itemDelta": {
        "modificationType": how, "path": "association",
        "value": {"name": "ri:group", "shadowRef": {"oid": format!("group-{group}"), "type": "c:ShadowType"}},
    }})
}

fn written(case: &Case, inner: &Inner) -> Value {
    let items = case.items.iter().map(|item| {
        let mut written = json!({"@id": item.id, "createTimestamp": case.created.iso()});
        if let Some(at) = item.closed {
            written["closeTimestamp"] = json!(at.iso());
        }
        if let Some(output) = &item.output {
            written["output"] = output.clone();
        }
        written
    });
    let name = inner.resources.get(&case.resource).map(|r| r["name"].clone());
    let mut written = json!({
        "@type": "c:CaseType", "oid": case.oid, "version": "1", "state": case.state,
        "name": {"orig": format!("Manual case {}", case.oid), "norm": "manual case"},
        "archetypeRef": {"oid": ARCHETYPE, "type": "c:ArchetypeType"},
        "metadata": {"createTimestamp": case.created.iso(),
            "createApproverRef": {"oid": "user-99", "type": "c:UserType", "targetName": "boss"}},
        "objectRef": {"oid": case.resource, "type": "c:ResourceType", "targetName": name},
        "targetRef": {"oid": case.shadow, "type": "c:ShadowType", "targetName": format!("account {}", case.shadow)},
        "requestorRef": {"oid": "user-98", "type": "c:UserType", "targetName": {"orig": "admin", "norm": "admin"}},
        "manualProvisioningContext": {"pendingOperation": {"type": "manual", "delta": case.delta}},
        "workItem": one_or_many(items.collect()),
    });
    if let Some(outcome) = &case.outcome {
        written["outcome"] = json!(outcome);
    }
    written
}
