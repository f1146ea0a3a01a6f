//! Answers to a platform that asks: rendered from what the ledger holds, after the commit.

use crate::ledger::views::Filter;
use crate::ledger::{Ledger, LedgerResult};
use crate::model::Timestamp;
use crate::source::{Question, Reply, Source, View};

/// Most items of one order.
const MOST_ITEMS: usize = 500;

/// The answer; `None`: there is no such order. An outcome counts as told before the answer leaves: a platform that
/// did not get it asks again and is told the same.
///
/// # Errors
/// The ledger is not available: then nothing is said, and never a wrong word.
pub async fn answer(
    ledger: &dyn Ledger,
    source: &dyn Source,
    question: &Question,
    now: Timestamp,
) -> LedgerResult<Option<Reply>> {
    let name = &source.info().name;
    let filter = Filter { source: Some(name.clone()), search: Some(question.external_id.clone()), ..Filter::default() };
    let rows = ledger.assignments(&filter, false, MOST_ITEMS).await?;
    let mut view = View::default();
    for row in rows.iter().rev().filter(|row| row.external_id == question.external_id) {
        view.assignments.extend(ledger.assignment(row.id, &None, true).await?);
    }
    // An item that is held keeps the whole order from ending.
    view.held = ledger.is_held(name, &question.events).await?;
    let reply = source.answer(question, &view);
    if reply.as_ref().is_some_and(|reply| reply.tells_outcome) {
        ledger.told(name, &question.external_id, now).await?;
    }
    Ok(reply)
}
