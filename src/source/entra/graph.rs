//! Microsoft Graph, as far as requests for access packages go.

use serde_json::Value;
use url::Url;

use crate::http::verdict::json_of;
use crate::http::{Answer, Call, CallError, HttpClient};
use crate::source::auth::Auth;

/// The API of one directory.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) client: HttpClient,
    pub(super) base: Url,
    pub(super) auth: Auth,
}

impl Graph {
    pub(super) fn edge(&self) -> &str {
        self.client.edge()
    }

    fn call(&self, method: &'static str, segments: &[&str]) -> Call {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["v1.0", "identityGovernance", "entitlementManagement"]).extend(segments);
        }
        Call::new(method, url).header("accept", "application/json")
    }

    async fn read(&self, call: Call) -> Result<Answer, CallError> {
        self.auth.send(&self.client, call).await.map_err(CallError::of_a_read)
    }

    /// A request; `None`: there is none (any more).
    pub(super) async fn request(&self, id: &str) -> Result<Option<Value>, CallError> {
        let answer = self.read(self.call("GET", &["assignmentRequests", id])).await?;
        if matches!(answer.status, 404 | 410) {
            return Ok(None);
        }
        json_of(&answer, self.edge()).map(Some)
    }

    /// Resumes a request. Which answer means what is its caller's affair.
    pub(super) async fn resume(&self, id: &str, body: Value) -> Result<Answer, CallError> {
        let call = self.call("POST", &["assignmentRequests", id, "resume"]).json(body);
        self.auth.send(&self.client, call).await
    }

    /// A cheap read that needs our rights.
    pub(super) async fn any_request(&self) -> Result<(), CallError> {
        let call = self.call("GET", &["assignmentRequests"]).query("$top", "1").query("$select", "id");
        json_of(&self.read(call).await?, self.edge()).map(drop)
    }

    /// Catalogs with their custom extensions; the answer is nothing we depend on.
    pub(super) async fn catalogs(&self) -> Result<Value, CallError> {
        let call =
            self.call("GET", &["catalogs"]).query("$select", "id,displayName").query("$expand", "customWorkflowExtensions");
        json_of(&self.read(call).await?, self.edge())
    }
}
