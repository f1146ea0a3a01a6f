//! What `check --online` asks of Jira.

use serde_json::Value;

use super::Jira;
use super::settings::{Deployment, GroupAs};
use crate::desk::common::{finding, text};
use crate::http::CallError;
use crate::model::finding::{Finding, Grade};

impl Jira {
    pub(super) async fn findings(&self, groups: &[String]) -> Vec<Finding> {
        let mut out = Vec::new();
        match self.myself().await {
            Ok(_) => out.push(finding(Grade::Good, "credentials", "accepted")),
            Err(e) => {
                out.push(finding(Grade::Bad, "credentials", e.to_string()));
                return out;
            }
        }
        out.push(self.deployment().await);
        if self.settings.webhook.is_none() {
            out.push(finding(Grade::Warning, "webhook", "none configured: news arrive by polling only"));
        }
        let projects: Vec<&str> = match (&self.settings.project, &self.settings.admin_group_as) {
            (_, GroupAs::Project) => groups.iter().map(String::as_str).collect(),
            (Some(project), _) => vec![project.as_str()],
            (None, _) => Vec::new(),
        };
        for project in projects {
            out.extend(self.project(project, groups).await);
        }
        out
    }

    async fn deployment(&self) -> Finding {
        let what = "deployment";
        match self.wire.read(self.wire.call("GET", "/rest/api/2/serverInfo")).await {
            Err(e) => finding(Grade::Warning, what, e.to_string()),
            Ok(reply) => {
                let said = text(&reply.body, "/deploymentType").unwrap_or("unknown");
                let cloud = said.eq_ignore_ascii_case("cloud");
                if cloud == (self.settings.deployment == Deployment::Cloud) {
                    finding(Grade::Good, what, said)
                } else {
                    let words = format!("Jira says it is {said}: set `deployment` to match, or tickets cannot be found");
                    finding(Grade::Bad, what, words)
                }
            }
        }
    }

    async fn project(&self, project: &str, groups: &[String]) -> Vec<Finding> {
        let what = format!("project {project}");
        let path = format!("/project/{}", percent_encoding::utf8_percent_encode(project, percent_encoding::NON_ALPHANUMERIC));
        let body = match self.wire.read_if_there(self.call("GET", &path)).await {
            Ok(Some(reply)) => reply.body,
            Ok(None) => return vec![finding(Grade::Bad, what, "does not exist, or our account may not see it")],
            Err(e) => return vec![finding(Grade::Bad, what, e.to_string())],
        };
        let mut out = vec![finding(Grade::Good, what, "visible")];
        if self.settings.admin_group_as == GroupAs::Component {
            let known = names(body.get("components"));
            out.extend(groups.iter().map(|group| {
                if known.iter().any(|k| k == group) {
                    finding(Grade::Good, format!("component {group}"), "exists")
                } else {
                    let words = format!("make it in {project}: until then its tickets go to the fallback group");
                    finding(Grade::Bad, format!("component {group}"), words)
                }
            }));
        }
        match self.create_fields(project).await {
            Ok(fields) => out.extend(self.missing_fields(&fields)),
            Err(e) => out.push(finding(Grade::Warning, "create screen", e.to_string())),
        }
        out
    }

    /// Ids of the fields that can be set when a ticket is created.
    async fn create_fields(&self, project: &str) -> Result<Vec<String>, CallError> {
        let encoded = percent_encoding::utf8_percent_encode(project, percent_encoding::NON_ALPHANUMERIC);
        let path = format!("/issue/createmeta/{encoded}/issuetypes");
        let types = self.wire.read(self.call("GET", &path)).await?.body;
        let wanted = self.settings.issue_type.as_str();
        let id = list(&types, &["issueTypes", "values"])
            .iter()
            .find(|t| text(t, "/name").is_some_and(|n| n.eq_ignore_ascii_case(wanted)))
            .and_then(|t| text(t, "/id"))
            .ok_or_else(|| CallError::reject("E-CONFIG", format!("{project} has no issue type {wanted}")))?;
        let fields = self.wire.read(self.call("GET", &format!("{path}/{id}")).query("maxResults", "200")).await?.body;
        Ok(list(&fields, &["fields", "values"]).iter().filter_map(|f| text(f, "/fieldId")).map(str::to_owned).collect())
    }

    fn missing_fields(&self, fields: &[String]) -> Vec<Finding> {
        let mut wanted = vec![(self.settings.key_field(), "holds our key: without it no ticket can be found again")];
        wanted.push((self.settings.group_field(), "says which admin group fulfils"));
        wanted.push(("description", "holds the order"));
        if !self.settings.priorities.is_empty() {
            wanted.push(("priority", "is mapped under [priorities]"));
        }
        wanted
            .into_iter()
            .filter(|(field, _)| !fields.iter().any(|f| f == field))
            .map(|(field, why)| {
                let words = format!("put it on the create screen of {}: it {why}", self.settings.issue_type);
                finding(Grade::Bad, format!("field {field}"), words)
            })
            .collect()
    }
}

fn list<'a>(body: &'a Value, names: &[&str]) -> &'a [Value] {
    names.iter().find_map(|n| body.get(n)).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn names(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array);
    items.into_iter().flatten().filter_map(|i| text(i, "/name")).map(str::to_owned).collect()
}
