//! What desks say of tickets.

use crate::model::ticket::{TicketReading, TicketRef, TicketStatus};
use crate::model::{Id, Key, Timestamp};

/// A ticket we hold on a desk.
#[derive(Debug, Clone)]
pub struct Held {
    /// Our row.
    pub id: Id,
    /// On the desk.
    pub ticket: TicketRef,
    /// Our key.
    pub key: Key,
    /// The desk's last change that we know.
    pub desk_updated_at: Option<Timestamp>,
    /// The key was seen on the ticket.
    pub key_confirmed: bool,
    /// Its closing is recorded.
    pub closed: bool,
    /// When we last looked at it.
    pub checked_at: Timestamp,
    /// When the desk's last change that we know was first read in full; only of closed ones.
    pub read_at: Option<Timestamp>,
    /// Its order was taken back, and our own closing of it was sent (whether or not its answer is known).
    pub close_sent: bool,
    /// That closing is under way: how it ends is not known yet.
    pub closing: bool,
}

/// What a desk says of a ticket we hold.
#[derive(Debug, Clone)]
pub enum Observation {
    /// Bulk status: still open, or nothing we need to read.
    Seen {
        /// Our row.
        ticket_id: Id,
        /// What the desk says.
        status: Box<TicketStatus>,
    },
    /// Closed, and read in full.
    Closed {
        /// Our row.
        ticket_id: Id,
        /// What the desk says.
        reading: Box<TicketReading>,
    },
    /// The desk no longer has it, or hides it.
    Gone {
        /// Our row.
        ticket_id: Id,
    },
    /// It could not be read this time.
    Unreadable {
        /// Our row.
        ticket_id: Id,
        /// Words for people.
        reason: String,
    },
}

/// A ticket on a desk that carries one of our keys but is not the ticket we know.
#[derive(Debug, Clone)]
pub struct Stray {
    /// Desk by name.
    pub desk: String,
    /// What the desk says.
    pub status: TicketStatus,
    /// Created by our own account, and nobody touched it.
    pub untouched_ours: bool,
}
