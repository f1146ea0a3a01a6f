//! What the set-up needs is asked of Graph, without resuming anything.

use serde_json::Value;

use super::callout::Stage;
use super::graph::Graph;
use super::outcome::Order;
use super::settings::{AtDeadline, ResumeSettings};
use super::{duration, outcome};
use crate::http::CallError;
use crate::http::verdict::by_status;
use crate::model::finding::{Finding, Grade};
use crate::source::field::lookup;

/// No request has this id.
const NOBODY: &str = "00000000-0000-0000-0000-000000000000";
const RIGHT: &str = "give the app registration the application permission EntitlementManagement.ReadWrite.All and consent to it, \
                     or make it Access package assignment manager of the catalogs";

pub(super) async fn check(graph: &Graph, how: &ResumeSettings, at_deadline: AtDeadline, wait_ms: i64) -> Vec<Finding> {
    let mut findings = vec![match graph.any_request().await {
        Ok(()) => finding(Grade::Good, "requests", "a token was given, and requests can be read"),
        // Without a token, or without Graph, nothing else can be asked.
        Err(error) if error.reason().contains("gave no token") => {
            return vec![finding(Grade::Bad, "token", format!("{error}: check `tenant`, `client_id` and `client_secret`"))];
        }
        Err(error) if error.code() == "E-AUTH" => finding(Grade::Bad, "requests", format!("{error}: {RIGHT}")),
        Err(error) => return vec![finding(Grade::Bad, "requests", error.to_string())],
    }];
    findings.push(resume(graph, how).await);
    extensions(graph, wait_ms, &mut findings).await;
    findings.push(match at_deadline {
        AtDeadline::Deny => finding(
            Grade::Good,
            "deadline",
            "what has no answer in time is denied; removals, and stages that cannot be denied, raise an alarm instead",
        ),
        AtDeadline::Alarm => finding(
            Grade::Good,
            "deadline",
            "what has no answer in time raises an alarm; the platform fails the request when its wait ends",
        ),
    });
    findings
}

/// Resumes a request that nobody has: only the right to do so is seen.
async fn resume(graph: &Graph, how: &ResumeSettings) -> Finding {
    let nobody = Order { request: NOBODY, stage: Stage::Approved, instance: NOBODY };
    let body = outcome::body(how, &nobody, "lastmile asks whether it may resume", false);
    match graph.resume(NOBODY, body).await.map(|answer| (answer.status, answer.retry_after())) {
        Ok((401 | 403, _)) => finding(Grade::Bad, "resume", format!("requests cannot be resumed: {RIGHT}")),
        Ok((400 | 404 | 409 | 410, _)) => {
            finding(Grade::Good, "resume", "a request that nobody has was refused for that reason, not for want of rights")
        }
        Ok((status, after)) => {
            let words = format!("whether requests can be resumed is not seen: {}", by_status(status, after, graph.edge(), ""));
            finding(Grade::Warning, "resume", words)
        }
        Err(error) => finding(Grade::Bad, "resume", error.to_string()),
    }
}

/// How long the extensions wait must fit what is configured here.
async fn extensions(graph: &Graph, wait_ms: i64, findings: &mut Vec<Finding>) {
    let catalogs = match graph.catalogs().await {
        Ok(catalogs) => catalogs,
        Err(error) => return findings.push(unseen(&error)),
    };
    let list = |of: &Value, name: &str| lookup(of, name).and_then(Value::as_array).cloned().unwrap_or_default();
    let (mut waiting, mut shortest) = (0, i64::MAX);
    for catalog in list(&catalogs, "/value") {
        for extension in list(&catalog, "/customWorkflowExtensions") {
            let wait = lookup(&extension, "/callbackConfiguration/timeoutDuration").and_then(Value::as_str);
            if let Some(ms) = wait.and_then(duration::read) {
                waiting += 1;
                shortest = shortest.min(ms);
            }
        }
    }
    findings.push(match waiting {
        0 => finding(
            Grade::Warning,
            "extensions",
            "no custom extension that waits is seen: set it to “Launch and wait” (or our account does not see its catalog)",
        ),
        _ if shortest < wait_ms => finding(
            Grade::Bad,
            "extensions",
            "an extension waits shorter than `wait` says: a callout that does not say so itself would be answered too late",
        ),
        _ => finding(Grade::Good, "extensions", format!("{waiting} that wait are seen, none shorter than `wait`")),
    });
}

fn unseen(error: &CallError) -> Finding {
    let words = format!("the extensions cannot be read, so `wait` is not compared with theirs: {error}");
    finding(Grade::Warning, "extensions", words)
}

fn finding(grade: Grade, what: &str, words: impl Into<String>) -> Finding {
    Finding { grade, what: what.to_owned(), words: words.into() }
}
