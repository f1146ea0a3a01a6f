//! What `check --online` asks of a declared desk.

use serde_json::{Map, json};

use super::Rest;
use super::amend::says;
use super::call::{Effect, Reply};
use crate::desk::common::finding;
use crate::desk::{Desk, Level};
use crate::http::CallError;
use crate::model::finding::{Finding, Grade};

impl Rest {
    pub(super) async fn findings(&self, groups: &[String]) -> Vec<Finding> {
        if let Err(e) = self.probe().await {
            return vec![finding(Grade::Bad, "credentials", e.to_string())];
        }
        let mut out = vec![finding(Grade::Good, "credentials", "accepted")];
        out.push(match self.info.level {
            Level::D0 => finding(Grade::Warning, "search by key", "none declared (D0): an unclear create waits for a person"),
            Level::D1 => finding(Grade::Good, "search by key", "may lag (D1)"),
            Level::D2 | Level::D3 => finding(Grade::Good, "search by key", "declared to be always up to date"),
        });
        if self.settings.operations.changed_since.is_none() {
            out.push(finding(Grade::Warning, "changes", "no `changed_since`: news arrive with the full pass only"));
        }
        if self.webhook.is_none() {
            out.push(finding(Grade::Warning, "webhook", "none configured: news arrive by polling only"));
        }
        for group in groups {
            out.extend(self.group(group).await);
        }
        out
    }

    async fn group(&self, group: &str) -> Option<Finding> {
        let what = format!("{} {group}", self.info.group_is);
        let found = self.look_up(group).await?;
        Some(match found {
            Ok(true) => finding(Grade::Good, what, "found"),
            Ok(false) => finding(Grade::Bad, what, "the desk does not know it, or not for our account"),
            Err(e) => finding(Grade::Bad, what, e.to_string()),
        })
    }

    /// By `operations.group`; `None` where it is not declared.
    async fn look_up(&self, group: &str) -> Option<Result<bool, CallError>> {
        let operation = self.settings.operations.group.as_ref()?;
        let asked = async {
            let context = self.wire.prepare(&operation.before, json!({"group": group})).await?;
            match self.wire.run(operation, &context, Effect::Read, Map::new()).await {
                Ok(Reply::Here(here)) => Ok(self.raw_rows(operation, &here)?.iter().any(|row| says(row, group))),
                Ok(Reply::Gone) | Err(CallError::Reject { code: "E-GROUP", .. }) => Ok(false),
                Err(e) => Err(e),
            }
        };
        Some(asked.await)
    }
}
