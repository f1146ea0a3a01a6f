//! What waits, for whom, and why.

use std::collections::BTreeMap;

use crate::cli::findings::finding;
use crate::cli::page;
use crate::flow::Setup;
use crate::ledger::views::{EdgeRow, Operations, Overview, Owed};
use crate::ledger::{LedgerResult, SqlLedger, Views as _};
use crate::model::Timestamp;
use crate::model::finding::{Finding, Grade};
use crate::runtime::{moved, orphans};

/// Rows whose codes are counted.
const MOST: usize = 1_000;
/// A call that is due for longer than this has stopped moving.
const LATE_MS: i64 = 15 * 60_000;

/// Counts, the oldest of each, and where each code is explained.
pub(super) async fn findings(ledger: &SqlLedger, setup: &Setup, now: Timestamp) -> LedgerResult<Vec<Finding>> {
    let overview = ledger.overview(&None, now).await?;
    let lists = ledger.operations(&None, false, MOST).await?;
    let owed = ledger.owed(now).await?;
    let mut findings = vec![states(&overview)];
    findings.extend(for_people(&overview, &lists));
    let strands = orphans(setup, &owed).into_iter().chain(moved(ledger, setup, &owed).await?);
    findings.extend(strands.map(|words| finding(Grade::Bad, "edge", words)));
    findings.extend(patience(&lists, now));
    findings.extend(owed.iter().filter_map(|owed| late(setup, owed, now)));
    findings.extend(failing(&overview, &lists));
    Ok(findings)
}

fn states(overview: &Overview) -> Finding {
    let states: Vec<String> = overview.by_state.iter().map(|c| format!("{} {}", c.count, c.name)).collect();
    let words = if states.is_empty() { "no order yet".to_owned() } else { states.join(", ") };
    let future = if overview.future > 0 { format!("; {} wait for their date", overview.future) } else { String::new() };
    finding(Grade::Good, "orders", format!("{words}{future}"))
}

fn for_people(overview: &Overview, lists: &Operations) -> Vec<Finding> {
    let parked: Vec<Option<&str>> = lists.parked.iter().map(|row| row.parked_code.as_deref()).collect();
    let parked_calls: Vec<Option<&str>> = lists.parked_errands.iter().map(|row| row.code.as_deref()).collect();
    let unclear: Vec<Option<&str>> = lists.unclear.iter().map(|row| row.code.as_deref()).collect();
    let act = "see the operations page, or `lastmile act`";
    let mut findings = Vec::new();
    let mut add = |what: &str, n: i64, grade: Grade, codes: &[Option<&str>], mend: &str| {
        if n > 0 {
            findings.push(finding(grade, what, format!("{n}{}: {mend}", explained(codes))));
        } else {
            findings.push(finding(Grade::Good, what, "none"));
        }
    };
    add("parked orders", overview.parked, Grade::Warning, &parked, act);
    add("parked calls", overview.parked_errands, Grade::Warning, &parked_calls, act);
    add("unclear calls", overview.unclear, Grade::Warning, &unclear, "they clear up by themselves: the desk is asked");
    add("quarantined events", overview.quarantined, Grade::Warning, &[], "see `lastmile replay`");
    add("disagreements", overview.findings, Grade::Warning, &[], "see the operations page, or `lastmile reconcile`");
    add("tickets too many", overview.strays, Grade::Warning, &[], "see the operations page");
    findings
}

/// How often each code stands there and where it is explained.
fn explained(codes: &[Option<&str>]) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for code in codes.iter().flatten() {
        *counts.entry(code).or_default() += 1;
    }
    if counts.is_empty() {
        return String::new();
    }
    let each: Vec<String> = counts.iter().map(|(code, n)| format!("{n} {code}, {}", page(code))).collect();
    format!(" ({})", each.join("; "))
}

fn late(setup: &Setup, owed: &Owed, now: Timestamp) -> Option<Finding> {
    let oldest = owed.oldest_due?;
    let waited = now.ms_since(oldest);
    let source = owed.edge.strip_prefix("source/").and_then(|name| setup.sources.get(name));
    if source.is_some_and(|source| source.info().capabilities.asks) {
        let words = format!(
            "{} outcomes wait to be asked for; the oldest is known for {}: this platform asks, nothing is sent to it",
            owed.errands,
            span(waited)
        );
        return Some(finding(Grade::Good, &owed.edge, words));
    }
    let words = format!("{} calls wait; the oldest was due {} ago", owed.errands, span(waited));
    let grade = if waited > LATE_MS { Grade::Bad } else { Grade::Good };
    Some(finding(grade, &owed.edge, words))
}

/// An edge that answered 429: everything for it waits as long as it asked.
fn patience(lists: &Operations, now: Timestamp) -> Vec<Finding> {
    let mut until: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for row in lists.failing.iter().filter(|row| row.code.as_deref() == Some("E-BUSY") && row.due_at > now) {
        let last = until.entry(&row.edge).or_insert(row.due_at);
        *last = row.due_at.max(*last);
    }
    let words = |at: Timestamp| format!("it asked for patience: everything for it waits until {}", at.human());
    until.into_iter().map(|(edge, at)| finding(Grade::Warning, edge, words(at))).collect()
}

fn failing(overview: &Overview, lists: &Operations) -> Vec<Finding> {
    let each = overview.failing_by_edge.iter().map(|edge| {
        let codes: Vec<Option<&str>> =
            lists.failing.iter().filter(|row| row.edge == edge.id).map(|row| row.code.as_deref()).collect();
        let words = format!("{} calls fail and are tried again{}", edge.count, explained(&codes));
        finding(Grade::Warning, &edge.id, words)
    });
    overview.edges.iter().map(edge).chain(each).collect()
}

/// What fails as a whole. A platform that soon stops waiting for answers is the worst of it: what is not answered then ends there.
fn edge(row: &EdgeRow) -> Finding {
    let (grade, what) = match row.work.as_str() {
        "answers" => (Grade::Bad, "it soon stops waiting for answers".to_owned()),
        work => (Grade::Warning, format!("its {work} fail")),
    };
    let words = format!("{what} since {}, {} in a row ({}, {})", row.since.human(), row.times, row.code, page(&row.code));
    finding(grade, &row.edge, words)
}

/// A span as people say it.
fn span(ms: i64) -> String {
    let minutes = ms.max(0) / 60_000;
    match minutes {
        0 => "less than a minute".to_owned(),
        1..120 => format!("{minutes} min"),
        120..2_880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / 1_440),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_overdue_are_the_worst_of_what_fails() {
        let row = |edge: &str, work: &str, code: &str| EdgeRow {
            edge: edge.to_owned(),
            work: work.to_owned(),
            since: Timestamp(1_795_000_000_000),
            at: Timestamp(1_795_000_060_000),
            times: 4,
            code: code.to_owned(),
            reason: None,
        };
        let edges = vec![row("source/entra", "answers", "E-DEADLINE"), row("desk/jira", "changes", "E-CONNECT")];
        let overview = Overview { edges, ..Overview::default() };
        let found = failing(&overview, &Operations::default());
        assert_eq!(found.iter().map(|f| f.grade).collect::<Vec<_>>(), [Grade::Bad, Grade::Warning]);
        assert!(found[0].words.contains("soon stops waiting") && found[0].words.contains("E-DEADLINE"), "{}", found[0].words);
        assert!(found[1].words.contains("its changes fail"), "{}", found[1].words);
    }
}
