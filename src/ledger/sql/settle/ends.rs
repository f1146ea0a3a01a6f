//! What settlements change, row by row.

use crate::ledger::engine::Arg;
use crate::model::Timestamp;
use crate::model::ticket::Created;

/// What becomes of an errand.
#[derive(Default)]
pub(super) struct Ended {
    id: i64,
    state: &'static str,
    due: Timestamp,
    done: Option<Timestamp>,
    quiet: Option<Timestamp>,
    /// So many more.
    failures: i64,
    /// So many more.
    misses: i64,
    found_nothing: bool,
    code: Option<String>,
    reason: Option<String>,
}

impl Ended {
    pub(super) fn new(id: i64, state: &'static str, due: Timestamp) -> Self {
        Self { id, state, due, ..Self::default() }
    }

    /// Nothing more is to be done.
    pub(super) fn done(self) -> Self {
        Self { done: Some(self.due), ..self }
    }

    pub(super) fn quiet_until(self, at: Timestamp) -> Self {
        Self { quiet: Some(at), ..self }
    }

    pub(super) fn missed(self) -> Self {
        Self { misses: 1, ..self }
    }

    /// The quiet period is over: misses count from the beginning.
    pub(super) fn found_nothing(self) -> Self {
        Self { found_nothing: true, ..self }
    }

    pub(super) fn failed(self, code: &str, reason: &str) -> Self {
        Self { failures: 1, ..self.because(Some(code), Some(reason)) }
    }

    pub(super) fn because(self, code: Option<&str>, reason: Option<&str>) -> Self {
        Self { code: code.map(str::to_owned), reason: reason.map(str::to_owned), ..self }
    }

    /// When it is to be looked at again, where there is more to do.
    pub(super) fn due(&self) -> Option<Timestamp> {
        self.done.is_none().then_some(self.due)
    }

    pub(super) fn row(&self) -> [Arg; 10] {
        [
            self.id.into(),
            self.state.into(),
            self.due.0.into(),
            self.done.map(|at| at.0).into(),
            self.quiet.map(|at| at.0).into(),
            self.failures.into(),
            self.misses.into(),
            i64::from(self.found_nothing).into(),
            (&self.code).into(),
            (&self.reason).into(),
        ]
    }
}

/// How a step under its lease ended.
pub(super) struct Attempt {
    pub(super) errand: i64,
    pub(super) lease: i64,
    pub(super) at: Timestamp,
    pub(super) verdict: &'static str,
    pub(super) code: Option<String>,
    pub(super) reason: Option<String>,
}

impl Attempt {
    pub(super) fn row(&self) -> [Arg; 6] {
        [self.errand.into(), self.lease.into(), self.at.0.into(), self.verdict.into(), (&self.code).into(), (&self.reason).into()]
    }
}

/// A ticket that the desk has.
pub(super) struct Filed {
    pub(super) id: i64,
    pub(super) created: Created,
    pub(super) at: Timestamp,
    /// It was not closed meanwhile.
    pub(super) open: bool,
    /// A witness had named another for its key.
    pub(super) another: bool,
}

impl Filed {
    pub(super) fn row(&self) -> [Arg; 8] {
        let (ticket, flag) = (&self.created.ticket, |is: bool| i64::from(is).into());
        [
            self.id.into(),
            (&ticket.id).into(),
            (&ticket.number).into(),
            (&self.created.url).into(),
            self.at.0.into(),
            flag(self.created.key_confirmed),
            flag(self.open),
            flag(self.another),
        ]
    }
}
