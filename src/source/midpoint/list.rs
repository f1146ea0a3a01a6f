//! The list of open cases, read in pages of a set that moves, and what stands beside each case.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::api::{Api, Page};
use super::case;
use super::settings::CaseSettings;
use crate::http::CallError;
use crate::model::Timestamp;

/// How often a list is read from its start when it moved under our eyes.
const PASSES: usize = 3;
/// Most pages of a pass.
const MOST_PAGES: usize = 10_000;
/// How long names and owners are believed, and how long that a resource is (not) ticketed by the platform.
const FRESH_MS: i64 = 600_000;

/// Open cases by OID, and why those are not all.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) cases: BTreeMap<String, Value>,
    pub(super) broken: Option<CallError>,
}

/// How a pass ended.
enum End {
    Whole,
    Moved,
    BrokenOff(CallError),
}

/// Every open case. Pages are read by position, and what is closed meanwhile moves the rest forward: each page begins
/// with the last case of the one before, and where it does not, the list is read again from its start.
pub(super) async fn open(api: &Api, of: &CaseSettings) -> Result<Open, CallError> {
    let mut open = Open::default();
    for _ in 0..PASSES {
        match pass(api, of, &mut open).await? {
            End::Whole => return Ok(open),
            End::Moved => {}
            End::BrokenOff(error) => {
                open.broken = Some(error);
                return Ok(open);
            }
        }
    }
    let reason = format!("the open cases of {} moved each time they were read", api.edge());
    open.broken = Some(CallError::retry("E-PAGE", reason));
    Ok(open)
}

async fn pass(api: &Api, of: &CaseSettings, open: &mut Open) -> Result<End, CallError> {
    // One that is read again at the head of each page, and at least one more.
    let size = of.page.max(2);
    let (mut from, mut last) = (0, None);
    for _ in 0..MOST_PAGES {
        let Page { rows, total } = match api.cases(of, "open", from, size).await {
            Ok(page) => page,
            Err(error) if from == 0 && open.cases.is_empty() => return Err(error),
            Err(error) => return Ok(End::BrokenOff(error)),
        };
        let keys: Vec<Option<String>> = rows.iter().map(|row| case::text_at(row, "/oid")).collect();
        if last.is_some() && keys.first() != Some(&last) {
            return Ok(End::Moved);
        }
        let (count, end) = (rows.len(), from + rows.len());
        last = keys.last().cloned().flatten();
        for (key, row) in keys.into_iter().zip(rows) {
            match key {
                Some(key) => drop(open.cases.insert(key, row)),
                None => {
                    return Ok(End::BrokenOff(CallError::retry("E-PAGE", format!("{} gives a case without OID", api.edge()))));
                }
            }
        }
        let more = total.is_some_and(|total| end < total) || (total.is_none() && count == size);
        if !more || count <= usize::from(from > 0) {
            return Ok(End::Whole);
        }
        from = end - 1;
    }
    Ok(End::BrokenOff(CallError::retry("E-PAGE", format!("the list of {} did not end", api.edge()))))
}

/// Documents for the mapping, and why some are missing.
#[derive(Debug, Default)]
pub(super) struct Documents {
    pub(super) documents: Vec<Value>,
    pub(super) broken: Option<CallError>,
}

/// What was read of an object, by its kind and OID, and when.
type Known = HashMap<(&'static str, String), (Timestamp, Option<Value>)>;

/// Reads what belongs to cases, and remembers it for a while.
#[derive(Debug, Default)]
pub(super) struct Beside {
    known: Mutex<Known>,
    /// Cases whose account has no owner yet, and since when we know.
    ownerless: Mutex<HashMap<String, Timestamp>>,
}

/// What the platform does with the cases of a resource.
enum Whose {
    Ours(Option<String>),
    /// The platform files their tickets itself, or the file says to leave them.
    Others,
}

impl Beside {
    /// The documents of cases, in the order they were made. A case whose owner or resource cannot be read now is left
    /// for the next round: an order must not look changed because a name was missing for a moment.
    pub(super) async fn documents(&self, api: &Api, of: &CaseSettings, cases: Vec<(String, Value)>, now: Timestamp) -> Documents {
        let mut all = Documents::default();
        let mut in_order: Vec<(Option<String>, String, Value)> =
            cases.into_iter().map(|(oid, case)| (case::created(&case), oid, case)).collect();
        in_order.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        self.forget(now);
        for (_, oid, case) in in_order {
            match self.document(api, of, &oid, &case, now).await {
                Ok(Some(document)) => all.documents.push(document),
                Ok(None) => {}
                Err(error) => all.broken = all.broken.or(Some(error)),
            }
        }
        all
    }

    /// `None`: not ours, or not yet.
    async fn document(
        &self,
        api: &Api,
        of: &CaseSettings,
        oid: &str,
        case: &Value,
        now: Timestamp,
    ) -> Result<Option<Value>, CallError> {
        let resource = case::text_at(case, "/objectRef/oid");
        let Whose::Ours(described) = self.whose(api, of, resource.as_deref(), case, now).await? else { return Ok(None) };
        let shadow = case::text_at(case, "/targetRef/oid");
        let owner = match &shadow {
            Some(shadow) => self.known("owner", shadow, now, api.owner(shadow)).await?,
            None => None,
        };
        if owner.is_none() && shadow.is_some() && self.waits_for_owner(oid, of, now) {
            return Ok(None);
        }
        let work = case::work(case);
        let entitlement = match work.entitlement {
            Some((oid, None)) => {
                let group = self.known("group", &oid, now, api.shadow(&oid)).await?;
                Some((oid, group.and_then(|g| case::text_at(&g, "/name"))))
            }
            named => named,
        };
        let account = work.account.or_else(|| case::text_at(case, "/targetRef/targetName"));
        let account = account.or_else(|| case::text_at(case, "/targetRef/object/name"));
        let name = case::text_at(case, "/objectRef/targetName").or(described);
        Ok(Some(json!({
            "id": oid,
            "case": case::scrubbed(case),
            "operation": work.operation,
            "resource": {"oid": resource, "name": name},
            "account": {"oid": shadow, "name": account},
            "entitlement": entitlement.map(|(oid, name)| json!({"id": oid, "name": name})),
            "owner": owner.map(|owner| person(&owner)),
            "requester": case::references(case, "/requestorRef").first(),
            "approvers": approvers(case),
            "created": case::created(case),
            "deadline": case::text_at(case, "/workItem/0/deadline"),
            "changes": (!work.changes.is_empty()).then(|| work.changes.join("\n")),
        })))
    }

    /// A platform that files tickets by itself says so on the resource (`ticketingResourceOid`).
    async fn whose(
        &self,
        api: &Api,
        of: &CaseSettings,
        resource: Option<&str>,
        case: &Value,
        now: Timestamp,
    ) -> Result<Whose, CallError> {
        let Some(oid) = resource else { return Ok(Whose::Ours(None)) };
        if of.leave.iter().any(|left| left == oid) || case::holds(case, TICKETED) {
            return Ok(Whose::Others);
        }
        let described = self.known("resource", oid, now, api.resource(oid)).await?;
        Ok(match described {
            Some(described) if case::holds(&described, TICKETED) => Whose::Others,
            described => Whose::Ours(described.and_then(|d| case::text_at(&d, "/name"))),
        })
    }

    async fn known(
        &self,
        what: &'static str,
        oid: &str,
        now: Timestamp,
        read: impl Future<Output = Result<Option<Value>, CallError>>,
    ) -> Result<Option<Value>, CallError> {
        let key = (what, oid.to_owned());
        let held = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some((at, value)) = held
            && now.ms_since(at) < FRESH_MS
        {
            return Ok(value);
        }
        let value = read.await?;
        // An account gets its owner any moment: that there is none is not remembered.
        if value.is_some() || what != "owner" {
            self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (now, value.clone()));
        }
        Ok(value)
    }

    fn waits_for_owner(&self, oid: &str, of: &CaseSettings, now: Timestamp) -> bool {
        let mut ownerless = self.ownerless.lock().unwrap_or_else(PoisonError::into_inner);
        let since = *ownerless.entry(oid.to_owned()).or_insert(now);
        now.ms_since(since) < of.owner_within.ms()
    }

    /// What is no longer believed is not kept either.
    fn forget(&self, now: Timestamp) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, (at, _)| now.ms_since(*at) < FRESH_MS);
        // Long enough that a case under way does not begin to wait anew.
        let day = 86_400_000;
        self.ownerless.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, at| now.ms_since(*at) < 30 * day);
    }
}

/// Where the platform files tickets by itself, this names the desk.
pub(super) const TICKETED: &str = "ticketingResourceOid";

/// The owner with its names as plain text.
fn person(owner: &Value) -> Value {
    let mut person = case::scrubbed(owner);
    for name in ["name", "fullName", "emailAddress"] {
        if let Some(text) = case::text_at(owner, &format!("/{name}")) {
            person[name] = json!(text);
        }
    }
    person
}

fn approvers(case: &Value) -> Vec<Value> {
    let places = ["/metadata/createApproverRef", "/@metadata/process/createApproverRef"];
    places.iter().map(|place| case::references(case, place)).find(|found| !found.is_empty()).unwrap_or_default()
}
