//! What became of an assignment.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The outcome of one assignment, even where one ticket covers many. A status that no rule knows gives no
/// outcome at all: it waits for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The access was granted, changed or removed as ordered.
    Fulfilled,
    /// Some of it was done; the words of the admin say what.
    PartlyFulfilled,
    /// Nothing had to be done.
    AlreadyInPlace,
    /// It cannot be done on this system.
    NotPossible,
    /// The admin group refused it.
    Rejected,
    /// The order was withdrawn or overtaken.
    Cancelled,
}

impl Outcome {
    /// Every outcome, in the order people expect.
    pub const ALL: [Self; 6] =
        [Self::Fulfilled, Self::PartlyFulfilled, Self::AlreadyInPlace, Self::NotPossible, Self::Rejected, Self::Cancelled];

    /// The stored and exchanged word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fulfilled => "fulfilled",
            Self::PartlyFulfilled => "partly_fulfilled",
            Self::AlreadyInPlace => "already_in_place",
            Self::NotPossible => "not_possible",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }

    /// The word for people.
    #[must_use]
    pub fn human(self) -> &'static str {
        match self {
            Self::Fulfilled => "fulfilled",
            Self::PartlyFulfilled => "partly fulfilled",
            Self::AlreadyInPlace => "already in place",
            Self::NotPossible => "not possible",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the stored word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|o| o.as_str() == text)
    }

    /// The beneficiary now has (or no longer has) what was ordered.
    #[must_use]
    pub fn is_success(self) -> bool {
        matches!(self, Self::Fulfilled | Self::AlreadyInPlace)
    }
}
