//! What `check --online` asks of `ServiceNow`.

use serde_json::Value;

use super::ServiceNow;
use super::shape::{COLUMNS, column};
use crate::desk::common::finding;
use crate::http::CallError;
use crate::model::finding::{Finding, Grade};

impl ServiceNow {
    pub(super) async fn findings(&self, groups: &[String]) -> Vec<Finding> {
        let table = &self.settings.table;
        let mut out = Vec::new();
        match self.query("ORDERBYDESCsys_created_on", "1").await {
            Err(e) => {
                out.push(finding(Grade::Bad, format!("table {table}"), e.to_string()));
                return out;
            }
            Ok(rows) => {
                out.push(finding(Grade::Good, format!("table {table}"), "readable"));
                out.extend(rows.first().and_then(missing_columns));
            }
        }
        out.push(self.key_column().await);
        if let Err(error) = self.attachments("").await {
            let words = format!("files at tickets are not shown to us, so no evidence travels with outcomes: {error}");
            out.push(finding(Grade::Warning, "table sys_attachment", words));
        }
        if self.account.is_none() {
            let words = "our own user name is not known: give `account`, or copies made by admins look like ours";
            out.push(finding(Grade::Warning, "account", words));
        }
        if self.settings.webhook.is_none() {
            out.push(finding(Grade::Warning, "webhook", "none configured: news arrive by polling only"));
        }
        for group in groups {
            let what = format!("assignment group {group}");
            out.push(match self.group(group).await {
                Ok(_) => finding(Grade::Good, what, "exists and is active"),
                Err(e @ CallError::Reject { .. }) => finding(Grade::Bad, what, e.reason()),
                Err(e) => finding(Grade::Warning, what, e.to_string()),
            });
        }
        out
    }

    /// A key that cannot exist must find nothing: otherwise the instance ignores the condition.
    async fn key_column(&self) -> Finding {
        let what = "search by correlation_id";
        match self.query("correlation_id=lm-aaaaaaaaaaaaaaaaaaaaaaaa", "1").await {
            Ok(rows) if rows.is_empty() => finding(Grade::Good, what, "answers exactly"),
            Ok(_) => {
                let words = "the table has no such column, so a search answers with everything: choose a table that extends task";
                finding(Grade::Bad, what, words)
            }
            Err(e) => finding(Grade::Warning, what, e.to_string()),
        }
    }
}

/// Columns our account may not read are left out of a record.
fn missing_columns(row: &Value) -> Option<Finding> {
    let missing: Vec<&str> =
        COLUMNS.split(',').filter(|c| *c != "resolved_at" && *c != "close_code" && row.get(*c).is_none()).collect();
    if missing.is_empty() {
        return None;
    }
    let grade = if column(row, "state").is_none() { Grade::Bad } else { Grade::Warning };
    Some(finding(grade, "readable columns", format!("our account needs to read: {}", missing.join(", "))))
}
