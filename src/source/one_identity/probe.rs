//! What is unsure about a platform nobody tried this on is asked there, without any effect.

use super::Way;
use super::app_server::{AppServer, Query};
use super::approval::Approval;
use super::document::Joiner;
use super::settings::DecideBy;
use crate::http::CallError;
use crate::model::finding::{Finding, Grade};

pub(super) async fn check(way: &Way) -> Vec<Finding> {
    let mut findings = Vec::new();
    match way {
        Way::Approval(approval) => {
            let s = &approval.settings;
            findings.push(counted("requests", &s.table, approval.probe(&s.condition).await));
            findings.push(conditions(&approval.server, &s.table, &s.key).await);
            findings.push(columns_of(&approval.server, &s.table, &s.key, approval.columns()).await);
            if s.history.read {
                let columns = s.history.columns();
                findings
                    .push(columns_of(&approval.server, &s.history.table, &format!("UID_{}", s.history.table), &columns).await);
            } else {
                let words = "the history of requests is not read: no times of approval, and a request that comes by a second \
                             time is not told from the first";
                findings.push(finding(Grade::Warning, "history", words));
            }
            joins(&approval.server, approval.joiner(), &mut findings).await;
            findings.push(decision(approval));
        }
        Way::Queue(queue) => {
            findings.push(counted("pending changes", "the queue", queue.probe().await));
            if let Some(names) = &queue.names {
                joins(names, queue.joiner(), &mut findings).await;
            }
            let words = "`Success` is posted per step; it cannot be tried without answering one";
            findings.push(finding(Grade::Warning, "answer", words));
        }
        Way::Assignments(table) => {
            let s = &table.settings;
            findings.push(counted("assignments", &s.table, table.probe().await));
            findings.push(conditions(&table.server, &s.table, &s.key).await);
            joins(&table.server, table.joiner(), &mut findings).await;
            findings.push(match &s.report {
                Some(report) => finding(
                    Grade::Warning,
                    "outcome",
                    format!("event {} of {} cannot be tried without raising it", report.event, report.table),
                ),
                None => finding(Grade::Warning, "outcome", "outcomes are kept here and not told to the platform: add `report`"),
            });
        }
    }
    findings
}

fn finding(grade: Grade, what: &str, words: impl Into<String>) -> Finding {
    Finding { grade, what: what.to_owned(), words: words.into() }
}

fn counted(what: &str, place: &str, result: Result<usize, CallError>) -> Finding {
    match result {
        Ok(0) => finding(Grade::Good, what, format!("{place} can be read; nothing is there now")),
        Ok(_) => finding(Grade::Good, what, format!("{place} can be read")),
        Err(error) => finding(Grade::Bad, what, error.to_string()),
    }
}

/// A server that took no notice of conditions would show everybody's rows.
async fn conditions(server: &AppServer, table: &str, key: &str) -> Finding {
    let columns = [key.to_owned()];
    let never = Query { table, key, condition: "1 = 0", columns: &columns, page: 1 };
    match server.page(&never, None).await {
        Ok(rows) if rows.is_empty() => finding(Grade::Good, "conditions", "the server keeps to them"),
        Ok(_) => finding(Grade::Bad, "conditions", "the server gives rows that do not fit a condition: do not use it so"),
        Err(error) => finding(Grade::Bad, "conditions", error.to_string()),
    }
}

async fn columns_of(server: &AppServer, table: &str, key: &str, columns: &[String]) -> Finding {
    let query = Query { table, key, condition: "", columns, page: 1 };
    let what = format!("table {table}");
    match server.page(&query, None).await {
        Ok(rows) => {
            let missing: Vec<&str> = columns
                .iter()
                .filter(|c| rows.first().is_some_and(|row| row["values"].get(c.as_str()).is_none()))
                .map(String::as_str)
                .collect();
            if missing.is_empty() {
                return finding(Grade::Good, &what, "its columns can be read");
            }
            finding(Grade::Warning, &what, format!("these columns do not come: {}", missing.join(", ")))
        }
        Err(error) => finding(Grade::Bad, &what, error.to_string()),
    }
}

async fn joins(server: &AppServer, joiner: &Joiner, findings: &mut Vec<Finding>) {
    for (table, key, columns) in joiner.tables() {
        let found = columns_of(server, table, &key, columns).await;
        // Beneficiary and requester are read from one table.
        if !findings.iter().any(|known| known.what == found.what && known.words == found.words) {
            findings.push(found);
        }
    }
}

fn decision(approval: &Approval) -> Finding {
    let d = &approval.settings.decide;
    let words = match d.by {
        DecideBy::Method => format!(
            "method {} is called as `{}`; it cannot be tried without deciding: let a test request go through once, or use an event",
            d.method, d.actor
        ),
        DecideBy::Event => format!("event {} is raised; a process of the platform must answer it by deciding", d.event),
    };
    finding(Grade::Warning, "decision", words)
}
