//! What is unsure about a platform nobody tried this on is asked there, without any effect.

use super::api::Api;
use super::case;
use super::list::TICKETED;
use super::settings::{CaseSettings, CompleteSettings};
use crate::http::CallError;
use crate::model::finding::{Finding, Grade};

pub(super) async fn check(api: &Api, of: &CaseSettings, how: &CompleteSettings) -> Vec<Finding> {
    let first = match api.cases(of, "open", 0, 2).await {
        Ok(page) => page.rows.into_iter().next(),
        Err(error) => return vec![bad("cases", &error)],
    };
    let mut findings = vec![match &first {
        Some(_) => finding(Grade::Good, "cases", "open manual cases can be read"),
        None => finding(Grade::Good, "cases", "the search is understood; no manual case is open now"),
    }];
    // A server that took no notice of the filter would show everybody's cases.
    findings.push(match api.cases(of, "lastmile-probe", 0, 1).await {
        Ok(page) if page.rows.is_empty() => finding(Grade::Good, "filter", "the server keeps to it"),
        Ok(_) => finding(Grade::Bad, "filter", "the server gives cases that do not fit the filter: do not use it so"),
        Err(error) => bad("filter", &error),
    });
    if let Some(first) = &first {
        beside(api, first, &mut findings).await;
    }
    let words = format!(
        "work items are completed with `{}` or `{}`; that cannot be tried without completing one",
        how.success, how.failure
    );
    findings.push(finding(Grade::Warning, "outcome", words));
    findings
}

async fn beside(api: &Api, first: &serde_json::Value, findings: &mut Vec<Finding>) {
    if let Some(shadow) = case::text_at(first, "/targetRef/oid") {
        findings.push(match api.owner(&shadow).await {
            Ok(Some(_)) => finding(Grade::Good, "owner", "the owner of an account can be read"),
            Ok(None) => finding(Grade::Warning, "owner", "the first case's account has no owner: its ticket names the account"),
            Err(error) => bad("owner", &error),
        });
    }
    let Some(resource) = case::text_at(first, "/objectRef/oid") else { return };
    findings.push(match api.resource(&resource).await {
        Ok(Some(found)) if case::holds(&found, TICKETED) => finding(
            Grade::Warning,
            "resource",
            "the platform files tickets for the first case's resource itself: it is left alone",
        ),
        Ok(Some(_)) => finding(Grade::Good, "resource", "resources can be read"),
        Ok(None) => {
            let words = "the resource cannot be read: whether the platform files its tickets itself is not seen (name such \
                         resources in `leave`)";
            finding(Grade::Warning, "resource", words)
        }
        Err(error) => bad("resource", &error),
    });
}

fn finding(grade: Grade, what: &str, words: impl Into<String>) -> Finding {
    Finding { grade, what: what.to_owned(), words: words.into() }
}

fn bad(what: &str, error: &CallError) -> Finding {
    finding(Grade::Bad, what, error.to_string())
}
