//! Files that lie with a ticket: their names and addresses travel with its outcome, never what is in them.

use super::render;
use crate::http::CallError;
use crate::model::completion::Evidence;
use crate::model::ticket::TicketRef;

/// Most files of a ticket that travel with its outcome.
pub(super) const MOST: usize = 20;
/// Longest name of a file, in characters.
const LONGEST_NAME: usize = 200;

/// A file as it is told.
pub(super) fn file(name: &str, url: Option<String>) -> Evidence {
    Evidence { name: render::clip(name, LONGEST_NAME), url }
}

/// Nothing waits for them: files that cannot be listed, or that our account may not see, are none.
pub(super) fn or_none(edge: &str, ticket: &TicketRef, listed: Result<Vec<Evidence>, CallError>) -> Vec<Evidence> {
    listed.unwrap_or_else(|error| {
        tracing::info!(desk = edge, ticket = ticket.number, %error, "the ticket's files are not shown to us");
        Vec::new()
    })
}
