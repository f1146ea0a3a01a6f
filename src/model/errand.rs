//! Errands: every call outward.

use serde::{Deserialize, Serialize};

/// What an errand does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrandKind {
    /// Create the ticket.
    Create,
    /// Say something on the way: a comment (with a findable mark) on the ticket, or progress told to the platform.
    Comment,
    /// Change fields of the ticket.
    Amend,
    /// Close the ticket.
    Close,
    /// Report the outcome to the platform.
    Report,
}

impl ErrandKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Create, Self::Comment, Self::Amend, Self::Close, Self::Report];

    /// The stored word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Comment => "comment",
            Self::Amend => "amend",
            Self::Close => "close",
            Self::Report => "report",
        }
    }

    /// Reads the stored word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }
}

/// Where an errand stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrandState {
    /// To be sent when its time comes.
    Ready,
    /// Leased; the call may be under way.
    Sending,
    /// The call may have had its effect; witnesses are asked before anything is repeated.
    Unclear,
    /// Done.
    Done,
    /// Needs a person; everything else goes on.
    Parked,
    /// No longer needed; never sent, or given up by a person.
    Dropped,
}

impl ErrandState {
    /// Every state.
    pub const ALL: [Self; 6] = [Self::Ready, Self::Sending, Self::Unclear, Self::Done, Self::Parked, Self::Dropped];

    /// The stored word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Sending => "sending",
            Self::Unclear => "unclear",
            Self::Done => "done",
            Self::Parked => "parked",
            Self::Dropped => "dropped",
        }
    }

    /// Reads the stored word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }
}
