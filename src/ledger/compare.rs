//! Where platform, ledger and desk disagree, as the comparison of the three finds it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::views::Scope;
use super::{Held, LedgerResult};
use crate::model::completion::Completion;
use crate::model::ticket::TicketStatus;
use crate::model::{Id, Timestamp};

/// How two of the three disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingKind {
    /// A ticket of our account carries a key of ours, and the ledger knows no ticket for it.
    Orphan,
    /// A ticket carries the key of an order that has another ticket.
    Double,
    /// A ticket that is open here is no longer on its desk.
    Lost,
    /// A ticket that is open here is closed on its desk, and sync has not noticed.
    ClosedThere,
    /// An outcome that was reported is not what the platform holds.
    Untold,
}

impl FindingKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Orphan, Self::Double, Self::Lost, Self::ClosedThere, Self::Untold];

    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Orphan => "orphan",
            Self::Double => "double",
            Self::Lost => "lost",
            Self::ClosedThere => "closed_there",
            Self::Untold => "untold",
        }
    }

    /// Reads the stored word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.as_str() == text)
    }

    /// What is the matter, for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Orphan => "on the desk with a key of ours, unknown here",
            Self::Double => "a second ticket for an order that has one",
            Self::Lost => "open here, no longer on the desk",
            Self::ClosedThere => "closed on the desk, open here",
            Self::Untold => "reported here, and not what the platform holds",
        }
    }
}

/// What the comparison saw, where that may be a disagreement.
#[derive(Debug, Clone)]
pub enum Sight {
    /// The desk lists this ticket with a key of ours.
    Listed {
        /// What the desk says.
        status: Box<TicketStatus>,
        /// Created by our own account, and nobody touched it.
        untouched_ours: bool,
    },
    /// The desk no longer has this ticket.
    Gone(Held),
    /// The desk has closed this ticket a while ago.
    Closed(Held),
    /// The platform does not hold this order's outcome.
    Untold(Id),
}

/// A report that the platform has accepted.
#[derive(Debug, Clone)]
pub struct Told {
    /// The errand: pages go on behind it.
    pub errand: Id,
    /// The order.
    pub assignment: Id,
    /// What was told.
    pub completion: Completion,
}

/// A disagreement, for people.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct FindingRow {
    /// Our id.
    #[schema(value_type = String)]
    pub id: Id,
    /// `desk/NAME` or `source/NAME`.
    pub edge: String,
    /// How they disagree.
    pub kind: FindingKind,
    /// The same for people.
    pub words: String,
    /// Ticket number, or the platform's id of the order.
    pub number: String,
    /// Key on the ticket.
    pub key: Option<String>,
    /// The order, where one is known.
    #[schema(value_type = Option<String>)]
    pub assignment: Option<Id>,
    /// Its application.
    pub application: Option<String>,
    /// What a repair does; none: only a person can mend it, at the desk or platform.
    pub repair: Option<String>,
    /// Since when it is known.
    #[schema(value_type = i64)]
    pub found_at: Timestamp,
    /// When it was seen last.
    #[schema(value_type = i64)]
    pub seen_at: Timestamp,
    /// The desk's id of the ticket.
    #[serde(skip)]
    pub subject: String,
}

/// What a repair of a finding does, for people; `None` where nobody but a person can mend it.
#[must_use]
pub fn repair_of(kind: FindingKind, has_ticket: bool, untouched: bool) -> Option<&'static str> {
    match kind {
        FindingKind::Orphan => has_ticket.then_some("takes it as the order's ticket"),
        FindingKind::Double => untouched.then_some("closes it, if still nobody touched it"),
        FindingKind::Lost => Some("searches it by key, and files it again under the same key if it is not there"),
        FindingKind::ClosedThere => Some("reads it now"),
        FindingKind::Untold => Some("tells the outcome again, under the same id"),
    }
}

/// The comparison's side of the ledger.
#[async_trait]
pub trait Comparing {
    /// A page of tickets that should be on the desk, in the order of their ids, from above `after`.
    async fn tickets_to_compare(&self, desk: &str, after: Id, limit: usize) -> LedgerResult<Vec<Held>>;

    /// A page of reports that the platform accepted, in the order of their errands, from above `after`; the newest of
    /// each order only.
    async fn reports_to_compare(&self, source: &str, after: Id, limit: usize) -> LedgerResult<Vec<Told>>;

    /// Orders reported before `before` that a snapshot of the source has shown since.
    async fn listed_still(&self, source: &str, before: Timestamp) -> LedgerResult<Vec<Id>>;

    /// Keeps what disagrees; returns how many of the sights do.
    async fn compare(&self, edge: &str, sights: Vec<Sight>, now: Timestamp) -> LedgerResult<usize>;

    /// A comparison of this edge that began then is complete: what it did not find any more is over.
    async fn compared(&self, edge: &str, began: Timestamp, now: Timestamp) -> LedgerResult<()>;

    /// What disagrees now, oldest first.
    async fn findings(&self, scope: &Scope, limit: usize) -> LedgerResult<Vec<FindingRow>>;

    /// One of them; `None` when there is none that waits.
    async fn finding(&self, id: Id) -> LedgerResult<Option<FindingRow>>;
}
