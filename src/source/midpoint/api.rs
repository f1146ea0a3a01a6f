//! The platform's REST API, in JSON.
//!
//! After midPoint's public source (`ModelRestController`) and its documentation of the REST interface.

use serde_json::{Value, json};
use url::Url;

use super::settings::CaseSettings;
use crate::http::verdict::{by_status, json_of};
use crate::http::{Answer, Call, CallError, HttpClient};
use crate::source::auth::Auth;
use crate::source::field::{as_text, items, lookup};

/// The API of one installation.
#[derive(Debug)]
pub(super) struct Api {
    pub(super) client: HttpClient,
    pub(super) base: Url,
    pub(super) auth: Auth,
    pub(super) act_as: Option<String>,
}

/// One page of a search.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) rows: Vec<Value>,
    /// How many there are in all, where the platform says so.
    pub(super) total: Option<usize>,
}

/// How the platform answered a completion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Completed {
    /// Taken, as far as its answer says.
    Taken,
    /// It has no such work item (any more).
    NoItem,
    /// It has no such case.
    NoCase,
}

impl Api {
    pub(super) fn edge(&self) -> &str {
        self.client.edge()
    }

    fn call(&self, method: &'static str, segments: &[&str]) -> Call {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["ws", "rest"]).extend(segments);
        }
        // XML is the platform's default answer.
        let call = Call::new(method, url).header("accept", "application/json");
        match &self.act_as {
            Some(oid) => call.header("switch-to-principal", oid),
            None => call,
        }
    }

    async fn send(&self, call: Call) -> Result<Answer, CallError> {
        self.auth.send(&self.client, call).await.map_err(CallError::of_a_read)
    }

    /// Cases that fit a condition, from a place of the list.
    pub(super) async fn cases(&self, of: &CaseSettings, state: &str, from: usize, size: usize) -> Result<Page, CallError> {
        let text = format!("state = \"{state}\" and archetypeRef matches (oid = \"{}\")", of.archetype);
        let paging = json!({"orderBy": of.order_by, "orderDirection": "ascending", "offset": from, "maxSize": size});
        let call = self
            .call("POST", &["cases", "search"])
            .query("returnTotalCount", "true")
            .query("options", "resolveNames")
            .json(json!({"query": {"filter": {"text": text}, "paging": paging}}));
        let answer = self.send(call).await?;
        let body = json_of(&answer, self.edge())?;
        if lookup(&body, "/object").is_none() {
            return Err(CallError::retry("E-PAGE", format!("{} answered a search without a list", self.edge())));
        }
        // The list's own wrapper is an object too: one with an OID is a case, not the wrapper.
        let rows = items(&body, "/object/object").unwrap_or_default().into_iter().cloned().collect();
        let total = answer.header("x-total-count").and_then(|n| n.trim().parse().ok());
        Ok(Page { rows, total })
    }

    /// An object; `None`: there is none, or (with `hidden`) it is not for us.
    async fn object(&self, segments: &[&str], options: &str, hidden: bool) -> Result<Option<Value>, CallError> {
        let answer = self.send(self.call("GET", segments).query("options", options)).await?;
        if answer.status == 404 || (hidden && answer.status == 403) {
            return Ok(None);
        }
        json_of(&answer, self.edge()).map(|body| Some(unwrapped(body)))
    }

    /// A case.
    pub(super) async fn case(&self, oid: &str) -> Result<Option<Value>, CallError> {
        self.object(&["cases", oid], "resolveNames", false).await
    }

    /// The owner of an account.
    pub(super) async fn owner(&self, shadow: &str) -> Result<Option<Value>, CallError> {
        self.object(&["shadows", shadow, "owner"], "resolveNames", false).await
    }

    /// An account or group as the platform remembers it; the resource itself is not asked.
    pub(super) async fn shadow(&self, oid: &str) -> Result<Option<Value>, CallError> {
        self.object(&["shadows", oid], "noFetch", true).await
    }

    /// A resource's own description.
    pub(super) async fn resource(&self, oid: &str) -> Result<Option<Value>, CallError> {
        self.object(&["resources", oid], "noFetch", true).await
    }

    /// Completes a work item. What a 2xx other than 204 means (240: with a handled error, 250: in part) shows when the
    /// case is read back.
    pub(super) async fn complete(&self, case: &str, item: u64, output: Value) -> Result<Completed, CallError> {
        let item = item.to_string();
        let call = self.call("POST", &["cases", case, "workItems", &item, "complete"]).json(json!({"output": output}));
        let answer = self.auth.send(&self.client, call).await?;
        match answer.status {
            404 => Ok(Completed::NoCase),
            500 if String::from_utf8_lossy(&answer.body).contains("No work item") => Ok(Completed::NoItem),
            _ if answer.is_success() => Ok(Completed::Taken),
            status => Err(by_status(status, answer.retry_after(), self.edge(), "")),
        }
    }
}

/// `{"user": {…}}` and `{"@ns": …, "object": {…}}` are the object within.
fn unwrapped(body: Value) -> Value {
    if lookup(&body, "/oid").and_then(as_text).is_some() {
        return body;
    }
    let within = body.as_object().and_then(|members| members.iter().find(|(name, v)| !name.starts_with('@') && v.is_object()));
    within.map(|(_, object)| object.clone()).unwrap_or(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_found_in_its_wrapper() {
        for body in [json!({"oid": "1"}), json!({"user": {"oid": "1"}}), json!({"@ns": "x", "object": {"oid": "1"}})] {
            assert_eq!(unwrapped(body)["oid"], "1");
        }
    }
}
