//! Findings as people read them, and what they come to.

use std::fmt::Write as _;

use crate::model::finding::{Finding, Grade};

/// Findings so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// What works, with a drawback.
    pub(super) warnings: usize,
    /// What does not work.
    pub(super) bad: usize,
}

impl Tally {
    /// Adds a group of findings to the text.
    pub(super) fn show(&mut self, title: &str, findings: &[Finding], out: &mut String) {
        let _ = writeln!(out, "\n{title}");
        for finding in findings {
            let mark = match finding.grade {
                Grade::Good => "ok     ",
                Grade::Warning => "warning",
                Grade::Bad => "WRONG  ",
            };
            self.warnings += usize::from(finding.grade == Grade::Warning);
            self.bad += usize::from(finding.grade == Grade::Bad);
            let _ = writeln!(out, "  {mark} {}: {}", finding.what, finding.words);
        }
    }
}

/// "1 desk", "2 desks".
pub(super) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// A finding.
pub(super) fn finding(grade: Grade, what: &str, words: impl Into<String>) -> Finding {
    Finding { grade, what: what.to_owned(), words: words.into() }
}
