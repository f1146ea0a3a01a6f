//! The life of an assignment: which state may follow which.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `received → planned → due → sending → open → closed → reported (→ proven)`, with `unclear` beside
/// `sending`, and `rework`, `superseded`, `duplicate`. Parked and withdrawn are marks beside the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Durably recorded; nothing decided yet.
    Received,
    /// Its ticket is for later.
    Planned,
    /// Its ticket is drafted and waits to be sent.
    Due,
    /// A create call may be under way.
    Sending,
    /// A create call may or may not have made a ticket.
    Unclear,
    /// The ticket is with the admin group.
    Open,
    /// Reopened after it was closed.
    Rework,
    /// The ticket was closed with an outcome.
    Closed,
    /// The platform has the outcome.
    Reported,
    /// Evidence from the application itself agrees.
    Proven,
    /// A later order of the lane overtook it before anything was sent.
    Superseded,
    /// The same order as another assignment.
    Duplicate,
}

impl State {
    /// Every state in the order of life.
    pub const ALL: [Self; 12] = [
        Self::Received,
        Self::Planned,
        Self::Due,
        Self::Sending,
        Self::Unclear,
        Self::Open,
        Self::Rework,
        Self::Closed,
        Self::Reported,
        Self::Proven,
        Self::Superseded,
        Self::Duplicate,
    ];

    /// The stored word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Planned => "planned",
            Self::Due => "due",
            Self::Sending => "sending",
            Self::Unclear => "unclear",
            Self::Open => "open",
            Self::Rework => "rework",
            Self::Closed => "closed",
            Self::Reported => "reported",
            Self::Proven => "proven",
            Self::Superseded => "superseded",
            Self::Duplicate => "duplicate",
        }
    }

    /// Reads the stored word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }

    /// Whether `next` may follow this state.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        use State::{Closed, Due, Duplicate, Open, Planned, Proven, Received, Reported, Rework, Sending, Superseded, Unclear};
        match self {
            // closed without a ticket: withdrawn before anything was sent
            Received | Planned => matches!(next, Planned | Due | Closed | Superseded | Duplicate),
            // open at once: a ticket that carries its key turned up before it was sent (again)
            // unclear at once: the ledger was restored, and it may have been sent before
            Due => matches!(next, Sending | Open | Unclear | Planned | Closed | Superseded | Duplicate),
            // a desk's webhook may report the ticket before the answer to the create arrives
            Sending => matches!(next, Open | Due | Unclear | Closed),
            Unclear => matches!(next, Open | Due | Closed),
            // unclear: its ticket was lost on the desk, is searched by key, and filed again if it is not there
            Open | Rework => matches!(next, Closed | Rework | Unclear),
            // planned again: taken back by a list's silence, and in the list again
            Closed => matches!(next, Reported | Rework | Planned),
            Reported => matches!(next, Proven | Rework | Planned),
            Proven => matches!(next, Rework),
            Superseded => matches!(next, Reported),
            Duplicate => false,
        }
    }

    /// Nothing more is owed to the platform or the desk.
    #[must_use]
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Reported | Self::Proven | Self::Duplicate)
    }

    /// Nothing has been sent to the desk yet.
    #[must_use]
    pub fn is_unsent(self) -> bool {
        matches!(self, Self::Received | Self::Planned | Self::Due)
    }

    /// A ticket is with the admin group.
    #[must_use]
    pub fn has_open_ticket(self) -> bool {
        matches!(self, Self::Open | Self::Rework)
    }
}
