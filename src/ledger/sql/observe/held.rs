//! The tickets we hold: which of them to look at.

use crate::ledger::engine::{Pool, query_as};
use crate::ledger::sql::rows;
use crate::ledger::{Held, LedgerResult};
use crate::model::ticket::TicketRef;
use crate::model::{Id, Key, Timestamp};

type HeldRow = (i64, String, String, String, Option<i64>, i64, bool, String, i64, Option<i64>, bool);

/// Selects [`HeldRow`]s. A closing of ours counts from its first byte on: the desk may show it before it answers.
macro_rules! select_held {
    ($rest:literal) => {
        concat!(
            "SELECT id, ref_id, ref_number, key, desk_updated_at, key_confirmed,
                EXISTS (SELECT 1 FROM errand AS e WHERE e.ticket_id = ticket.id AND e.kind = 'close' AND e.attempts > 0
                    AND e.state <> 'dropped'), state, checked_at, read_at,
                EXISTS (SELECT 1 FROM errand AS e WHERE e.ticket_id = ticket.id AND e.kind = 'close' AND e.state = 'sending')
             FROM ticket ",
            $rest
        )
    };
}

fn held_of(rows: Vec<HeldRow>) -> Vec<Held> {
    rows.into_iter()
        .map(|(id, ref_id, number, key, updated, confirmed, close_sent, state, checked, read, closing)| Held {
            id: Id(id),
            ticket: TicketRef { id: ref_id, number },
            key: Key(key),
            desk_updated_at: updated.map(Timestamp),
            key_confirmed: confirmed == 1,
            closed: state == "closed",
            checked_at: Timestamp(checked),
            read_at: read.map(Timestamp),
            close_sent,
            closing,
        })
        .collect()
}

/// Longest unchecked first. Some of those the desk no longer showed are among them: a right that our account lost and
/// got back shows them again, and what happened meanwhile may lie before the mark.
pub(in crate::ledger) async fn tickets_to_check(
    pool: &Pool,
    desk: &str,
    before: Timestamp,
    limit: usize,
) -> LedgerResult<Vec<Held>> {
    // Few, and found through their orders, which wait for a person.
    let mut found: Vec<HeldRow> = query_as(select_held!(
        "WHERE id IN (SELECT ticket_id FROM assignment WHERE parked_at IS NOT NULL AND parked_code = 'E-GONE')
            AND desk = $1 AND state = 'gone' AND checked_at < $2 AND ref_id IS NOT NULL ORDER BY checked_at LIMIT $3"
    ))
    .bind(desk)
    .bind(before.0)
    .bind(i64::try_from(limit / 4).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await?;
    let open: Vec<HeldRow> = query_as(select_held!(
        "WHERE desk = $1 AND state = 'open' AND checked_at < $2 AND (checked_at <> 1 OR $2 <= 2) AND ref_id IS NOT NULL
         ORDER BY checked_at LIMIT $3"
    ))
    .bind(desk)
    .bind(before.0)
    .bind(i64::try_from(limit - found.len()).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await?;
    found.extend(open);
    Ok(held_of(found))
}

/// How many tickets of a desk are open.
pub(in crate::ledger) async fn open_tickets(pool: &Pool, desk: &str) -> LedgerResult<i64> {
    let (open,): (i64,) =
        query_as("SELECT COUNT(*) FROM ticket WHERE desk = $1 AND state = 'open'").bind(desk).fetch_one(pool).await?;
    Ok(open)
}

/// Those of the references that are ours.
pub(in crate::ledger) async fn held(pool: &Pool, desk: &str, ref_ids: &[String]) -> LedgerResult<Vec<Held>> {
    let found: Vec<HeldRow> = query_as(select_held!(
        "WHERE desk = $1 AND ref_id IN (SELECT CAST(value AS TEXT) FROM json_each($2)) AND shape <> 'double'"
    ))
    .bind(desk)
    .bind(rows(ref_ids)?)
    .fetch_all(pool)
    .await?;
    Ok(held_of(found))
}

/// Tickets whose create was ever unclear or repeated.
pub(in crate::ledger) async fn risky_tickets(
    pool: &Pool,
    desk: &str,
    before: Timestamp,
    limit: usize,
) -> LedgerResult<Vec<Held>> {
    let found: Vec<HeldRow> = query_as(select_held!(
        "WHERE desk = $1 AND risky = 1 AND filed_at < $2 AND ref_id IS NOT NULL ORDER BY filed_at LIMIT $3"
    ))
    .bind(desk)
    .bind(before.0)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await?;
    Ok(held_of(found))
}

/// A page of those that should be on the desk, in the order of their ids, for the comparison. The desk is no column of an
/// index here: that would give all of them to be sorted for every page.
pub(in crate::ledger) async fn tickets_to_compare(pool: &Pool, desk: &str, after: Id, limit: usize) -> LedgerResult<Vec<Held>> {
    let found: Vec<HeldRow> = query_as(select_held!(
        "WHERE id > $2 AND desk || '' = $1 AND state IN ('open', 'gone') AND ref_id IS NOT NULL AND shape <> 'double' ORDER BY id LIMIT $3"
    ))
    .bind(desk)
    .bind(after.0)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await?;
    Ok(held_of(found))
}
