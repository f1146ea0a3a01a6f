//! Off the hot path: erasure, and checkpoints. Whole tables are read by a reader, page by
//! page; the writer only hears of the few rows that change, so that intake never waits for them.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::ledger::engine::{Conn, Pool, query, query_as};
use sha2::{Digest, Sha256};

use super::super::LedgerResult;
use super::{document, rows};
use crate::model::{Id, Timestamp};

/// Rows read at a time.
const PAGE: i64 = 1_000;
/// Between pages: others need the disk and the processor, too.
const PAUSE: Duration = Duration::from_millis(10);

/// One kind of erasable text.
pub(in crate::ledger) struct Erasable {
    /// A page after `$3`: its last id, and which of them have something to erase.
    find: &'static str,
    /// Erases that of the ids `$3`, if it still may be.
    erase: &'static str,
}

/// `$1` is how old a body must be, `$2` the text of persons; both queries look at the same condition.
macro_rules! erasable {
    ($table:literal, $condition:expr, $erase:literal) => {
        Erasable {
            find: concat!(
                "SELECT MAX(id), json_group_array(id) FILTER (WHERE erasable) FROM (SELECT id, ",
                $condition,
                " AS erasable FROM ",
                $table,
                " WHERE id > $3 ORDER BY id LIMIT $4) AS page"
            ),
            erase: concat!($erase, " ", $condition, " AND id IN (SELECT CAST(value AS BIGINT) FROM json_each($3))"),
        }
    };
}

/// A ticket that is over, and so are its orders.
macro_rules! over {
    ($ticket:literal) => {
        concat!(
            "(",
            $ticket,
            ".state = 'closed' AND ",
            $ticket,
            ".closed_at < $2
            OR ",
            $ticket,
            ".state IN ('dropped', 'gone') AND ",
            $ticket,
            ".planned_at < $2 AND NOT EXISTS
                (SELECT 1 FROM ticket_item AS i JOIN assignment AS a ON a.id = i.assignment_id WHERE i.ticket_id = ",
            $ticket,
            ".id
                    AND (COALESCE(a.reported_at, a.closed_at) IS NULL OR COALESCE(a.reported_at, a.closed_at) >= $2)))"
        )
    };
}

/// Everything erasable but the names of persons.
pub(in crate::ledger) const TEXTS: [Erasable; 6] = [
    // Bodies of old events that no unfinished order needs.
    erasable!(
        "inbox",
        "document IS NOT NULL AND received_at < $1 AND NOT EXISTS
            (SELECT 1 FROM assignment AS a WHERE a.id = inbox.assignment_id AND a.document_id = inbox.id
                AND (COALESCE(a.reported_at, a.closed_at) IS NULL OR COALESCE(a.reported_at, a.closed_at) >= $2))",
        "UPDATE inbox SET document = NULL WHERE"
    ),
    erasable!(
        "quarantine",
        "body IS NOT NULL AND state <> 'held' AND received_at < $1",
        "UPDATE quarantine SET body = NULL WHERE"
    ),
    erasable!(
        "ticket_draft",
        concat!(
            "(NOT EXISTS (SELECT 1 FROM ticket AS t WHERE t.id = ticket_draft.id)
              OR EXISTS (SELECT 1 FROM ticket AS t WHERE t.id = ticket_draft.id AND ",
            over!("t"),
            "))"
        ),
        "DELETE FROM ticket_draft WHERE"
    ),
    erasable!(
        "ticket",
        concat!("(words IS NOT NULL OR evidence IS NOT NULL) AND ", over!("ticket")),
        "UPDATE ticket SET words = NULL, evidence = NULL WHERE"
    ),
    // What waits for a person, and still does when its order has long ended, needs its text no more than what was done.
    erasable!(
        "errand",
        "(body IS NOT NULL OR reason IS NOT NULL) AND (done_at < $2
            OR done_at IS NULL AND made_at < $2 AND (state = 'dropped' OR state = 'parked' AND NOT EXISTS
                (SELECT 1 FROM assignment AS a WHERE a.id = errand.assignment_id
                    AND (COALESCE(a.reported_at, a.closed_at) IS NULL OR COALESCE(a.reported_at, a.closed_at) >= $2))))",
        "UPDATE errand SET body = NULL, reason = NULL WHERE"
    ),
    Erasable {
        find: "SELECT MAX(id), json_group_array(id) FILTER (WHERE erasable) FROM (SELECT id, EXISTS
                    (SELECT 1 FROM attempt AS t WHERE t.errand_id = errand.id AND t.ended_at < $2 AND t.reason IS NOT NULL) AS erasable
               FROM errand WHERE id > $3 ORDER BY id LIMIT $4) AS page",
        erase: "UPDATE attempt SET reason = NULL WHERE ended_at < $2 AND reason IS NOT NULL
                    AND errand_id IN (SELECT CAST(value AS BIGINT) FROM json_each($3))",
    },
];

/// How old what is erased must be.
#[derive(Debug, Clone, Copy)]
pub(in crate::ledger) struct Before {
    pub(in crate::ledger) bodies: Timestamp,
    pub(in crate::ledger) persons: Timestamp,
}

/// The next page after an id that has something to erase: its last id, and the rows as JSON. `None` at the end.
pub(in crate::ledger) async fn to_erase(
    pool: &Pool,
    what: &Erasable,
    before: Before,
    mut after: i64,
) -> LedgerResult<Option<(i64, String)>> {
    loop {
        let (last, found): (Option<i64>, String) =
            query_as(what.find).bind(before.bodies.0).bind(before.persons.0).bind(after).bind(PAGE).fetch_one(pool).await?;
        let Some(last) = last else { return Ok(None) };
        if found != "[]" {
            return Ok(Some((last, found)));
        }
        after = last;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Erases what [`to_erase`] found.
pub(in crate::ledger) async fn erase(tx: &mut Conn, what: &Erasable, before: Before, ids: &str) -> LedgerResult<u64> {
    let done = query(what.erase).bind(before.bodies.0).bind(before.persons.0).bind(ids).execute(tx).await?;
    Ok(done.rows_affected())
}

/// Persons not seen for long, of whom no order is unfinished or ended lately and no draft is kept, as JSON; at most a page.
pub(in crate::ledger) async fn persons_to_erase(
    pool: &Pool,
    before: Timestamp,
    after: &str,
) -> LedgerResult<Option<(String, String)>> {
    let (last, found): (Option<String>, String) = query_as(
        "SELECT MAX(hash), json_group_array(hash) FROM
            (SELECT hash FROM person WHERE hash > $2 AND erased_at IS NULL AND seen_at < $1 ORDER BY hash LIMIT $3) AS page",
    )
    .bind(before.0)
    .bind(after)
    .bind(PAGE)
    .fetch_one(pool)
    .await?;
    let Some(last) = last else { return Ok(None) };
    // One look through the assignments for the whole page: an index for this alone would cost every intake.
    let (busy,): (String,) = query_as(
        "SELECT json_group_array(DISTINCT a.beneficiary) FROM assignment AS a
         WHERE a.beneficiary IN (SELECT CAST(value AS TEXT) FROM json_each($1))
            AND (COALESCE(a.reported_at, a.closed_at) IS NULL OR COALESCE(a.reported_at, a.closed_at) >= $2 OR EXISTS
                (SELECT 1 FROM ticket_item AS i JOIN ticket_draft AS d ON d.id = i.ticket_id WHERE i.assignment_id = a.id))",
    )
    .bind(&found)
    .bind(before.0)
    .fetch_one(pool)
    .await?;
    let busy: std::collections::HashSet<String> = document::<Vec<String>>(&busy)?.into_iter().collect();
    let idle: Vec<String> = document::<Vec<String>>(&found)?.into_iter().filter(|hash| !busy.contains(hash)).collect();
    Ok(Some((last, rows(&idle)?)))
}

/// Erases names. Of somebody who is named in a new order meanwhile, planning writes the name again.
pub(in crate::ledger) async fn erase_persons(tx: &mut Conn, before: Timestamp, hashes: &str) -> LedgerResult<u64> {
    let done = query(
        "UPDATE person SET external_id = NULL, name = NULL, email = NULL, erased_at = $1
         WHERE erased_at IS NULL AND seen_at < $1 AND hash IN (SELECT CAST(value AS TEXT) FROM json_each($2))",
    )
    .bind(before.0)
    .bind(hashes)
    .execute(tx)
    .await?;
    Ok(done.rows_affected())
}

/// The heads of all chains that grew since the last checkpoint, tied together.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::ledger) struct Tied {
    at: Timestamp,
    assignments: i64,
    head: String,
}

/// Ties together the heads of all chains that grew since the last checkpoint; `None`: none did.
pub(in crate::ledger) async fn tie(pool: &Pool, now: Timestamp) -> LedgerResult<Option<Tied>> {
    // A row may be committed a while after its own time, and a page may have been read just before.
    const OVERLAP_MS: i64 = 120_000;
    let last: Option<(i64, String)> =
        query_as("SELECT at, head FROM checkpoint ORDER BY id DESC LIMIT 1").fetch_optional(pool).await?;
    let knot = match (pool, last) {
        (_, None) => tie_by_orders(pool, (i64::MIN, now.0), Knot::default()).await?,
        (Pool::Sqlite(_), Some((at, head))) => tie_by_lines(pool, (at - OVERLAP_MS, now.0), Knot::after(&head)).await?,
        (Pool::Postgres(_), Some((at, head))) => tie_by_orders(pool, (at - OVERLAP_MS, now.0), Knot::after(&head)).await?,
    };
    Ok(knot.tied(now))
}

/// Heads that are being tied, in the order of their chains' ids.
#[derive(Default)]
pub(in crate::ledger) struct Knot {
    hash: Sha256,
    assignments: i64,
}

impl Knot {
    pub(in crate::ledger) fn after(head: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(head.as_bytes());
        Self { hash, assignments: 0 }
    }

    /// Ties these, as JSON: id, number of the last line, its hash.
    fn add(&mut self, found: &str) -> LedgerResult<()> {
        for (id, seq, head) in document::<Vec<(i64, i64, String)>>(found)? {
            self.assignments += 1;
            self.hash.update(id.to_le_bytes());
            self.hash.update(seq.to_le_bytes());
            self.hash.update(head.as_bytes());
        }
        Ok(())
    }

    pub(in crate::ledger) fn tied(self, now: Timestamp) -> Option<Tied> {
        (self.assignments > 0).then(|| Tied { at: now, assignments: self.assignments, head: hex::encode(self.hash.finalize()) })
    }
}

/// Those whose last line is of that time, looked up order by order.
pub(in crate::ledger) async fn tie_by_orders(pool: &Pool, (since, now): (i64, i64), mut knot: Knot) -> LedgerResult<Knot> {
    let mut after = i64::MIN;
    loop {
        let (last, found): (Option<i64>, String) = query_as(
            "SELECT MAX(a.id), json_group_array(json_array(a.id, a.chain_seq, a.chain_head)) FILTER (WHERE j.seen_at > $1 AND j.seen_at <= $2)
             FROM (SELECT id, chain_seq, chain_head FROM assignment WHERE id > $3 ORDER BY id LIMIT $4) AS a
             LEFT JOIN journal AS j ON j.assignment_id = a.id AND j.seq = a.chain_seq",
        )
        .bind(since)
        .bind(now)
        .bind(after)
        .bind(PAGE)
        .fetch_one(pool)
        .await?;
        let Some(last) = last else { return Ok(knot) };
        knot.add(&found)?;
        after = last;
        tokio::time::sleep(PAUSE).await;
    }
}

/// The same in a file, which is read as it lies: looked up, each last line would be a page of its own, also of what ended long ago.
pub(in crate::ledger) async fn tie_by_lines(pool: &Pool, (since, now): (i64, i64), mut knot: Knot) -> LedgerResult<Knot> {
    const LINES: i64 = 10 * PAGE;
    let (mut grown, mut after) = (BTreeSet::new(), i64::MIN);
    loop {
        let (last, found): (Option<i64>, String) = query_as(
            "SELECT MAX(place), json_group_array(DISTINCT assignment_id) FILTER (WHERE seen_at > $1 AND seen_at <= $2)
             FROM (SELECT rowid AS place, assignment_id, seen_at FROM journal WHERE rowid > $3 ORDER BY rowid LIMIT $4) AS page",
        )
        .bind(since)
        .bind(now)
        .bind(after)
        .bind(LINES)
        .fetch_one(pool)
        .await?;
        let Some(last) = last else { break };
        grown.extend(document::<Vec<i64>>(&found)?);
        after = last;
        tokio::time::sleep(PAUSE).await;
    }
    let grown: Vec<i64> = grown.into_iter().collect();
    for ids in grown.chunks(usize::try_from(PAGE).unwrap_or(1)) {
        let (found,): (String,) = query_as(
            "SELECT json_group_array(json_array(id, chain_seq, chain_head)) FROM (SELECT a.id, a.chain_seq, a.chain_head
                FROM json_each($1) AS w CROSS JOIN assignment AS a CROSS JOIN journal AS j
                WHERE a.id = CAST(w.value AS BIGINT) AND j.assignment_id = a.id AND j.seq = a.chain_seq
                    AND j.seen_at > $2 AND j.seen_at <= $3 ORDER BY a.id) AS heads",
        )
        .bind(rows(ids)?)
        .bind(since)
        .bind(now)
        .fetch_one(pool)
        .await?;
        knot.add(&found)?;
    }
    Ok(knot)
}

/// Keeps what [`tie`] made.
pub(in crate::ledger) async fn checkpoint(tx: &mut Conn, tied: &Tied) -> LedgerResult<String> {
    query("INSERT INTO checkpoint (at, assignments, head) VALUES ($1, $2, $3)")
        .bind(tied.at.0)
        .bind(tied.assignments)
        .bind(&tied.head)
        .execute(tx)
        .await?;
    Ok(tied.head.clone())
}

/// Assignments under way that have a time of closing, and ended ones without: the index of lanes holds those without one.
pub(in crate::ledger) async fn verify_ends(pool: &Pool) -> LedgerResult<Vec<Id>> {
    let wrong: Vec<(i64,)> = query_as(
        "SELECT id FROM assignment WHERE (closed_at IS NULL)
            <> ('' || state IN ('received', 'planned', 'due', 'sending', 'unclear', 'open', 'rework')) ORDER BY id",
    )
    .fetch_all(pool)
    .await?;
    Ok(wrong.into_iter().map(|(id,)| Id(id)).collect())
}
