//! A fake SailPoint that drives a generic service desk: it creates tickets (again and again, until it has a number),
//! takes orders back, and asks how they stand, through a status map of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::model::Clock;

/// User of the integration.
pub const USER: &str = "sailpoint";
/// Its password.
pub const PASSWORD: &str = "sandbox-password";

/// A call that the platform wants to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Its request.
    pub request: String,
    /// Method.
    pub method: &'static str,
    /// Behind the source's address: empty, or `/NUMBER`.
    pub path: String,
    /// Headers.
    pub headers: BTreeMap<String, String>,
    /// Body.
    pub body: Vec<u8>,
}

#[derive(Debug, Clone, Default)]
struct Request {
    body: Value,
    number: Option<String>,
    cancel: bool,
    /// After the status map: `None` while it goes on.
    done: Option<bool>,
    /// Every status word that was answered, in order.
    words: Vec<String>,
    /// The last status answer.
    last: Value,
}

/// The fake.
#[derive(Debug)]
pub struct SandboxSailPoint {
    requests: Mutex<BTreeMap<String, Request>>,
    clock: Arc<dyn Clock>,
}

impl SandboxSailPoint {
    /// With nothing requested yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { requests: Mutex::default(), clock }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Requests one item for a person; gives the request's id.
    pub fn request(&self, person: u64, operation: &str, role: &str) -> String {
        self.request_items(person, json!([{"operation": operation, "attribute": "groups", "value": role}]))
    }

    /// Requests several items at once.
    pub fn request_items(&self, person: u64, mut items: Value) -> String {
        let now = self.clock.now().iso();
        let mut requests = self.lock();
        let id = format!("request-{}", requests.len() + 1);
        let mut body = json!({
            "id": id, "application": "sap-erp", "account": format!("P{person}"),
            "identity": {"id": format!("p-{person}"), "name": format!("Person Number {person}"), "email": format!("p{person}@corp.example")},
            "requester": {"id": "p-98", "name": "Somebody"}, "approvals": [{"by": {"id": "p-99", "name": "Boss"}, "at": now}],
            "requestedAt": now, "approvedAt": now, "comments": "for work", "priority": "Normal",
        });
        // One item is written at the top, as an integration per item does.
        match items.as_array_mut() {
            Some(list) if list.len() == 1 => {
                let only = list.remove(0);
                only.as_object().into_iter().flatten().for_each(|(key, value)| body[key] = value.clone());
            }
            _ => body["items"] = items,
        }
        requests.insert(id.clone(), Request { body, ..Request::default() });
        id
    }

    /// Takes a request back.
    pub fn cancel(&self, id: &str) {
        if let Some(request) = self.lock().get_mut(id) {
            request.cancel = true;
        }
    }

    /// Every call that is due: what has no number is created, what was taken back is cancelled, the rest is asked about.
    #[must_use]
    pub fn due(&self) -> Vec<Asked> {
        let authorization = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
        let headers: BTreeMap<String, String> =
            [("authorization".to_owned(), authorization), ("content-type".to_owned(), "application/json".to_owned())].into();
        let requests = self.lock();
        let call = |(id, request): (&String, &Request)| {
            let (method, path, body) = match &request.number {
                _ if request.done.is_some() => return None,
                None => ("POST", String::new(), request.body.to_string()),
                Some(number) if request.cancel => ("DELETE", format!("/{number}"), String::new()),
                Some(number) => ("GET", format!("/{number}"), String::new()),
            };
            Some(Asked { request: id.clone(), method, path, headers: headers.clone(), body: body.into_bytes() })
        };
        requests.iter().filter_map(call).collect()
    }

    /// The answer to a call. Anything but a 2xx is tried again.
    pub fn answered(&self, asked: &Asked, status: u16, body: &Value) {
        if !(200..300).contains(&status) {
            return;
        }
        let mut requests = self.lock();
        let Some(request) = requests.get_mut(&asked.request) else { return };
        if asked.method == "POST" {
            request.number = body["number"].as_str().map(str::to_owned);
            return;
        }
        if asked.method == "DELETE" {
            request.cancel = false;
        }
        let word = body["status"].as_str().unwrap_or_default().to_owned();
        // The status map: what it does not name stays as it is.
        request.done = match word.as_str() {
            "Committed" => Some(true),
            "Failed" => Some(false),
            _ => None,
        };
        request.words.push(word);
        request.last = body.clone();
    }

    /// Number of a request.
    #[must_use]
    pub fn number(&self, id: &str) -> Option<String> {
        self.lock().get(id).and_then(|r| r.number.clone())
    }

    /// The request of a number.
    #[must_use]
    pub fn request_of(&self, number: &str) -> Option<String> {
        self.lock().iter().find(|(_, r)| r.number.as_deref() == Some(number)).map(|(id, _)| id.clone())
    }

    /// How a request ended.
    #[must_use]
    pub fn done(&self, id: &str) -> Option<bool> {
        self.lock().get(id).and_then(|r| r.done)
    }

    /// Every status word that was answered, in order, and the last answer.
    #[must_use]
    pub fn heard(&self, id: &str) -> (Vec<String>, Value) {
        self.lock().get(id).map(|r| (r.words.clone(), r.last.clone())).unwrap_or_default()
    }
}
