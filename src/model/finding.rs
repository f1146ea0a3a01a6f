//! What a check found.

/// Something `check --online` found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// It works, it may hurt, it will not work.
    pub grade: Grade,
    /// What was asked, in a few words: "group SAP Admins", "right to create in IAM".
    pub what: String,
    /// What is the case and how to mend it.
    pub words: String,
}

/// Grade of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// As needed.
    Good,
    /// Works, with a drawback.
    Warning,
    /// Will not work.
    Bad,
}
