//! What the fake One Identity Manager knows: tables, requests with their workflow, the provisioning queue, sessions.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value, json};

use super::condition::EX_LEVEL;
use crate::model::{Clock, Timestamp, random};

/// The platform's "no date".
const NO_DATE: &str = "1899-12-30T00:00:00Z";

/// A decision as the platform recorded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The request.
    pub request: String,
    /// Granted or denied.
    pub granted: bool,
    /// Why.
    pub reason: String,
    /// In whose name.
    pub by: String,
}

/// An event that was raised.
#[derive(Debug, Clone, PartialEq)]
pub struct Raised {
    /// Table and key of its object.
    pub object: (String, String),
    /// Its name.
    pub event: String,
    /// What came with it.
    pub parameters: Value,
}

/// One step of a pending change.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) uid: String,
    pub(super) operation: String,
    pub(super) created: Timestamp,
    pub(super) answer: Option<bool>,
    pub(super) attributes: Vec<(String, String)>,
}

/// A pending change of one object.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) uid: String,
    pub(super) object_key: String,
    pub(super) display: String,
    pub(super) root: (String, String),
    pub(super) inserted: Timestamp,
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) tables: BTreeMap<String, BTreeMap<String, Map<String, Value>>>,
    pub(super) changes: Vec<Change>,
    pub(super) sessions: HashMap<String, u64>,
    pub(super) decisions: Vec<Decision>,
    pub(super) raised: Vec<Raised>,
    /// Events whose process has not run yet.
    waiting: Vec<Raised>,
    pub(super) answers: Vec<(String, bool)>,
    pub(super) logins: u64,
    pub(super) logouts: u64,
    /// Decisions and answers that came when nothing waited for one.
    pub(super) surplus: u64,
    numbers: u64,
}

/// The state of a fake One Identity Manager.
#[derive(Debug)]
pub struct OneIdentityState {
    pub(super) inner: Mutex<Inner>,
    clock: Arc<dyn Clock>,
    skew: std::sync::atomic::AtomicI64,
}

impl OneIdentityState {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { inner: Mutex::default(), clock, skew: std::sync::atomic::AtomicI64::new(0) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The platform's clock is so many milliseconds ahead (negative: behind).
    pub fn set_skew_ms(&self, ms: i64) {
        self.skew.store(ms, std::sync::atomic::Ordering::SeqCst);
    }

    /// The platform's time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now().plus_ms(self.skew.load(std::sync::atomic::Ordering::SeqCst))
    }

    /// Puts a row into a table, or changes it.
    pub fn put(&self, table: &str, key: &str, values: Value) {
        let mut values = values.as_object().cloned().unwrap_or_default();
        let now = json!(self.now().iso());
        let mut inner = self.lock();
        let rows = inner.tables.entry(table.to_owned()).or_default();
        let inserted = rows.get(key).and_then(|row| row.get("XDateInserted")).cloned().unwrap_or_else(|| now.clone());
        values.insert("XDateInserted".to_owned(), inserted);
        values.insert("XDateUpdated".to_owned(), now);
        values.entry(format!("UID_{table}")).or_insert_with(|| json!(key));
        rows.insert(key.to_owned(), values);
    }

    /// What stands in a column of a row.
    #[must_use]
    pub fn column(&self, table: &str, key: &str, column: &str) -> Option<String> {
        self.lock().tables.get(table)?.get(key)?.get(column)?.as_str().map(str::to_owned)
    }

    /// Takes a row out of a table; false when it has none.
    pub fn remove(&self, table: &str, key: &str) -> bool {
        self.lock().tables.get_mut(table).is_some_and(|rows| rows.remove(key).is_some())
    }

    /// People, products and groups that requests and assignments point to.
    pub fn furnish(&self) {
        for n in 1..=30 {
            let name = format!("Person Number {n}");
            let values = json!({"InternalName": name, "CentralAccount": format!("PN{n}"), "DefaultEmailAddress": format!("p{n}@corp.example")});
            self.put("Person", &format!("person-{n}"), values);
            let account = json!({"UID_Person": format!("person-{n}"), "SAMAccountName": format!("PN{n}"), "display": name});
            self.put("ADSAccount", &format!("account-{n}"), account);
        }
        self.put("AccProductGroup", "category-1", json!({"Ident_AccProductGroup": "sap-erp"}));
        for n in 1..=3 {
            let product = json!({"Ident_AccProduct": format!("Role {n}"), "UID_AccProductGroup": "category-1"});
            self.put("AccProduct", &format!("product-{n}"), product);
            let group = json!({"UID_ADSDomain": "domain-1", "display": format!("Group {n}")});
            self.put("ADSGroup", &format!("group-{n}"), group);
        }
        self.put("ADSDomain", "domain-1", json!({"Ident_ADSDomain": "corp", "display": "CORP"}));
    }

    /// Somebody orders a product for a person; it waits for the manager.
    pub fn order(&self, person: u64, product: u64, valid_from: Option<Timestamp>) -> String {
        let number = {
            let mut inner = self.lock();
            inner.numbers += 1;
            inner.numbers
        };
        // Not in the order of the keys: lists are sorted by key, orders come as they come.
        let uid = format!("{:04x}-request-{number}", number.wrapping_mul(0x9e37) & 0xffff);
        let values = json!({
            "UID_PersonOrdered": format!("person-{person}"), "UID_PersonInserted": "person-5",
            "UID_AccProduct": format!("product-{product}"), "UID_Org": "shelf-1", "DisplayOrg": format!("Role {product}"),
            "OrderState": "OrderProduct", "DecisionLevel": 0, "OrderDate": self.now().iso(), "OrderReason": "for the project",
            "ValidFrom": valid_from.map_or(NO_DATE.to_owned(), Timestamp::iso), "ValidUntil": NO_DATE,
            "DocumentNumber": format!("D-{number}"), "UID_PWODecisionSubMethod": "workflow-1",
        });
        self.put("PersonWantsOrg", &uid, values);
        self.note(&uid, "Order", "person-5", "");
        uid
    }

    /// The manager says yes: the request now waits for the external approval.
    pub fn approve(&self, request: &str) {
        self.note(request, "Grant", "person-4", "agreed");
        self.change(request, &[("DecisionLevel", json!(EX_LEVEL))]);
    }

    /// Ordered and approved by people.
    pub fn order_approved(&self, person: u64, product: u64, valid_from: Option<Timestamp>) -> String {
        let uid = self.order(person, product, valid_from);
        self.approve(&uid);
        uid
    }

    /// The requester takes it back.
    pub fn abort(&self, request: &str) {
        self.note(request, "Abort", "person-5", "not needed any more");
        self.change(request, &[("OrderState", json!("Aborted")), ("DecisionLevel", json!(0))]);
    }

    /// It goes back to the manager.
    pub fn send_back(&self, request: &str) {
        self.change(request, &[("DecisionLevel", json!(0))]);
    }

    /// An assigned product is given back; people have agreed.
    pub fn unsubscribe(&self, request: &str) {
        self.note(request, "Unsubscribe", "person-5", "");
        self.change(request, &[("OrderState", json!("OrderUnsubscribe")), ("DecisionLevel", json!(EX_LEVEL))]);
    }

    /// An assigned product is wanted for longer; people have agreed.
    pub fn prolong(&self, request: &str, until: Timestamp) {
        self.note(request, "Prolongate", "person-5", "");
        let until = ("ValidUntil", json!(until.iso()));
        self.change(request, &[("OrderState", json!("OrderProlongate")), ("DecisionLevel", json!(EX_LEVEL)), until]);
    }

    /// Where a request stands.
    #[must_use]
    pub fn state_of(&self, request: &str) -> Option<String> {
        let inner = self.lock();
        inner.tables.get("PersonWantsOrg")?.get(request)?.get("OrderState")?.as_str().map(str::to_owned)
    }

    fn change(&self, request: &str, values: &[(&str, Value)]) {
        let mut inner = self.lock();
        if let Some(row) = inner.tables.get_mut("PersonWantsOrg").and_then(|rows| rows.get_mut(request)) {
            row.extend(values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        }
    }

    fn note(&self, request: &str, kind: &str, by: &str, reason: &str) {
        let key = format!("history-{}", random::u64());
        let values = json!({"UID_PersonWantsOrg": request, "DecisionType": kind, "DateHead": self.now().iso(),
            "UID_PersonHead": by, "DisplayPersonHead": format!("Name of {by}"), "ReasonHead": reason});
        self.put("PWODecisionHistory", &key, values);
    }

    /// `MakeDecision`: only where the request waits for an external approval.
    pub(super) fn decide(&self, request: &str, granted: bool, reason: &str, by: &str) -> bool {
        let row = self.lock().tables.get("PersonWantsOrg").and_then(|rows| rows.get(request)).cloned();
        let waits = row.as_ref().is_some_and(|row| {
            let state = row["OrderState"].as_str().unwrap_or_default();
            row["DecisionLevel"] == json!(EX_LEVEL) && state.starts_with("Order")
        });
        if !waits {
            self.lock().surplus += 1;
            return false;
        }
        let unsubscribed = row.is_some_and(|row| row["OrderState"] == "OrderUnsubscribe");
        let state = match (granted, unsubscribed) {
            (true, false) => "Assigned",
            (true, true) => "Unsubscribed",
            (false, _) => "Dismissed",
        };
        self.note(request, if granted { "Grant" } else { "Dismiss" }, by, reason);
        self.change(request, &[("OrderState", json!(state)), ("DecisionLevel", json!(0))]);
        let decision = Decision { request: request.to_owned(), granted, reason: reason.to_owned(), by: by.to_owned() };
        self.lock().decisions.push(decision);
        true
    }

    pub(super) fn raise(&self, raised: Raised) {
        let mut inner = self.lock();
        inner.raised.push(raised.clone());
        inner.waiting.push(raised);
    }

    /// The process that an administrator builds for the event: decides what still waits; a repeat finds nothing to do.
    pub fn run_processes(&self) {
        let waiting = std::mem::take(&mut self.lock().waiting);
        for raised in waiting.into_iter().filter(|r| r.event == "LASTMILE_DECIDE") {
            let text = |name: &str| raised.parameters[name].as_str().unwrap_or_default().to_owned();
            let waits = self.state_of(&raised.object.1).is_some_and(|state| state.starts_with("Order"));
            if waits {
                self.decide(&raised.object.1, text("Decision") == "true", &text("Reason"), "sa");
            }
        }
    }

    /// Everything that was decided through an external approval.
    #[must_use]
    pub fn decisions(&self) -> Vec<Decision> {
        self.lock().decisions.clone()
    }

    /// Every event that was raised.
    #[must_use]
    pub fn raised(&self) -> Vec<Raised> {
        self.lock().raised.clone()
    }

    /// Every answer to a step of the queue, in the order they came.
    #[must_use]
    pub fn answers(&self) -> Vec<(String, bool)> {
        self.lock().answers.clone()
    }

    /// Decisions and answers that came when nothing waited for one.
    #[must_use]
    pub fn surplus(&self) -> u64 {
        self.lock().surplus
    }

    /// Logins and logouts.
    #[must_use]
    pub fn sessions(&self) -> (u64, u64) {
        let inner = self.lock();
        (inner.logins, inner.logouts)
    }

    /// Every session ends now.
    pub fn end_sessions(&self) {
        self.lock().sessions.clear();
    }

    /// A change of one object with its steps (operation and one attribute); gives the ids of change and steps.
    pub fn pend(&self, object_key: &str, root: (&str, &str), steps: &[(&str, &str)]) -> (String, Vec<String>) {
        let now = self.now();
        let mut inner = self.lock();
        inner.numbers += 1;
        let number = inner.numbers;
        let step = |(n, (operation, value)): (usize, &(&str, &str))| Step {
            uid: format!("step-{number}-{}", 9 - n),
            operation: (*operation).to_owned(),
            created: now.plus_ms(i64::try_from(n).unwrap_or(0) * 1_000),
            answer: None,
            attributes: vec![("CN".to_owned(), (*value).to_owned())],
        };
        let change = Change {
            uid: format!("change-{number}"),
            object_key: object_key.to_owned(),
            display: format!("Object {number}"),
            root: (root.0.to_owned(), root.1.to_owned()),
            inserted: now,
            steps: steps.iter().enumerate().map(step).collect(),
        };
        let ids = (change.uid.clone(), change.steps.iter().map(|s| s.uid.clone()).collect());
        inner.changes.push(change);
        ids
    }

    /// Answers a step; false where there is none that waits.
    pub(super) fn answer(&self, step: &str, success: bool) -> bool {
        let mut inner = self.lock();
        let found = inner.changes.iter_mut().flat_map(|c| &mut c.steps).find(|s| s.uid == step && s.answer.is_none());
        let waits = found.is_some();
        if let Some(found) = found {
            found.answer = Some(success);
        }
        if waits {
            inner.answers.push((step.to_owned(), success));
        } else {
            inner.surplus += 1;
        }
        waits
    }

    /// Somebody settles a change in the portal.
    pub fn settle(&self, change: &str) {
        let mut inner = self.lock();
        for step in inner.changes.iter_mut().filter(|c| c.uid == change).flat_map(|c| &mut c.steps) {
            step.answer = Some(true);
        }
    }

    /// The platform forgets changes of before that day, and requests that are through.
    pub fn purge(&self, before: Timestamp) {
        let mut inner = self.lock();
        inner.changes.retain(|c| c.inserted >= before);
        if let Some(requests) = inner.tables.get_mut("PersonWantsOrg") {
            requests.retain(|_, row| row["OrderDate"].as_str().is_some_and(|at| at >= before.iso().as_str()));
        }
    }

    /// Assigns a group to an account.
    pub fn assign(&self, account: u64, group: u64) -> String {
        let (account, group) = (format!("account-{account}"), format!("group-{group}"));
        let key = format!("<Key><T>ADSAccountInADSGroup</T><P>{account}</P><P>{group}</P></Key>");
        let values = json!({"XObjectKey": key, "UID_ADSAccount": account, "UID_ADSGroup": group, "XOrigin": 1, "XIsInEffect": 1});
        self.put("ADSAccountInADSGroup", &key, values);
        key
    }

    /// A right is lost, or a row ceases to be in effect: it is not shown any more, and did not change.
    pub fn hide(&self, key: &str) -> Option<Map<String, Value>> {
        self.lock().tables.get_mut("ADSAccountInADSGroup")?.remove(key)
    }

    /// It is shown again as it was.
    pub fn show(&self, key: &str, row: Map<String, Value>) {
        self.lock().tables.entry("ADSAccountInADSGroup".to_owned()).or_default().insert(key.to_owned(), row);
    }

    /// Takes the assignment away.
    pub fn unassign(&self, key: &str) -> bool {
        self.remove("ADSAccountInADSGroup", key)
    }
}
