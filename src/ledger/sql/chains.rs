//! The proof that the journal's chains hold.
//!
//! Each line is held against the one before it in its chain, in whatever order lines are read. A file is read in the order in
//! which it was written, since the lines of one order lie far apart in it; what came before them is mostly remembered.

use std::collections::HashMap;

use crate::ledger::engine::{Pool, query_as};

use super::super::LedgerResult;
use super::journal::link;
use super::rows;
use crate::model::{Id, State};

/// Lines read at a time.
const PAGE: i64 = 5_000;
/// Ends of chains that are remembered, twice: some tens of megabytes.
const REMEMBERED: usize = 150_000;

/// A row of the journal, to walk its chain.
#[derive(Debug, sqlx::FromRow)]
pub(in crate::ledger) struct Line {
    pub(in crate::ledger) assignment_id: i64,
    pub(in crate::ledger) seq: i64,
    pub(in crate::ledger) happened_at: i64,
    whose_clock: String,
    seen_at: i64,
    event: String,
    pub(in crate::ledger) state: String,
    actor: String,
    cause: String,
    detail: String,
    catalog_version: Option<String>,
    template_version: Option<String>,
    pub(in crate::ledger) hash: String,
}

impl Line {
    /// Whether it is the very row after that one.
    pub(in crate::ledger) fn follows(&self, seq: i64, before: &str) -> bool {
        let expected = link(
            before,
            self.assignment_id,
            self.seq,
            self.happened_at,
            &self.whose_clock,
            self.seen_at,
            &self.event,
            &self.state,
            &self.actor,
            &self.cause,
            &self.detail,
            (self.catalog_version.as_deref(), self.template_version.as_deref()),
        );
        self.seq == seq + 1 && expected == self.hash
    }
}

/// Assignments whose chain does not hold: a row was changed, removed, or put in.
pub(in crate::ledger) async fn verify_chains(pool: &Pool) -> LedgerResult<Vec<Id>> {
    verify_remembering(pool, REMEMBERED).await
}

/// With so many ends of chains in memory.
pub(in crate::ledger) async fn verify_remembering(pool: &Pool, most: usize) -> LedgerResult<Vec<Id>> {
    let mut walk = Walk { ends: Ends { most, ..Ends::default() }, broken: Vec::new() };
    let mut after = (i64::MIN, 0);
    loop {
        let lines = page(pool, after).await?;
        let Some(last) = lines.last() else { break };
        after = last.place();
        walk.page(pool, lines.into_iter().map(|placed| placed.line).collect()).await?;
    }
    let cut: Vec<(i64,)> = query_as(
        "SELECT a.id FROM assignment AS a LEFT JOIN journal AS j ON j.assignment_id = a.id AND j.seq = a.chain_seq
         WHERE j.hash IS NULL OR j.hash <> a.chain_head OR j.state <> a.state",
    )
    .fetch_all(pool)
    .await?;
    let mut broken = walk.broken;
    broken.extend(cut.into_iter().map(|(id,)| Id(id)));
    broken.sort_unstable();
    broken.dedup();
    Ok(broken)
}

/// A line, and its number in the order of reading.
#[derive(sqlx::FromRow)]
struct Placed {
    place: Option<i64>,
    #[sqlx(flatten)]
    line: Line,
}

impl Placed {
    fn place(&self) -> (i64, i64) {
        self.place.map_or((self.line.assignment_id, self.line.seq), |place| (place, 0))
    }
}

macro_rules! lines {
    ($place:literal, $order:literal) => {
        concat!(
            "SELECT ",
            $place,
            " AS place, assignment_id, seq, happened_at, whose_clock, seen_at, event, state, actor, cause, detail,
                catalog_version, template_version, hash FROM journal WHERE ",
            $order
        )
    };
}

/// The lines after that one. A file is read as it lies, a server's table by its key.
async fn page(pool: &Pool, (after, seq): (i64, i64)) -> LedgerResult<Vec<Placed>> {
    let page = match pool {
        Pool::Sqlite(_) => query_as(lines!("rowid", "rowid > $1 ORDER BY rowid LIMIT $2")).bind(after).bind(PAGE),
        Pool::Postgres(_) => {
            let text = lines!("CAST(NULL AS BIGINT)", "(assignment_id, seq) > ($1, $2) ORDER BY assignment_id, seq LIMIT $3");
            query_as(text).bind(after).bind(seq).bind(PAGE)
        }
    };
    Ok(page.fetch_all(pool).await?)
}

/// Number and hash of the last lines of chains. Those that were not seen for long are forgotten: of most, nothing comes any more.
#[derive(Default)]
struct Ends {
    young: HashMap<i64, (i64, String)>,
    old: HashMap<i64, (i64, String)>,
    /// So many in each.
    most: usize,
}

impl Ends {
    /// The hash of the line before, if it is remembered.
    fn before(&self, line: &Line) -> Option<&str> {
        if line.seq == 1 {
            return Some("");
        }
        let (seq, hash) = self.young.get(&line.assignment_id).or_else(|| self.old.get(&line.assignment_id))?;
        (*seq == line.seq.wrapping_sub(1)).then_some(hash)
    }

    fn note(&mut self, line: &Line) {
        let is_last = State::parse(&line.state).is_some_and(State::is_finished);
        if is_last {
            self.young.remove(&line.assignment_id);
        } else {
            self.young.insert(line.assignment_id, (line.seq, line.hash.clone()));
        }
        if self.young.len() > self.most {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

/// How far lines were read.
struct Walk {
    ends: Ends,
    broken: Vec<Id>,
}

impl Walk {
    async fn page(&mut self, pool: &Pool, lines: Vec<Line>) -> LedgerResult<()> {
        let mut far = Vec::new();
        for line in lines {
            let holds = self.ends.before(&line).map(|before| line.follows(line.seq.wrapping_sub(1), before));
            self.ends.note(&line);
            match holds {
                Some(true) => {}
                Some(false) => self.broken.push(Id(line.assignment_id)),
                None => far.push(line),
            }
        }
        if far.is_empty() {
            return Ok(());
        }
        let wanted: Vec<(i64, i64)> = far.iter().map(|line| (line.assignment_id, line.seq.wrapping_sub(1))).collect();
        let found: Vec<(i64, i64, String)> = query_as(
            "SELECT j.assignment_id, j.seq, j.hash FROM json_each($1) AS w CROSS JOIN journal AS j
             WHERE j.assignment_id = CAST(w.value->>0 AS BIGINT) AND j.seq = CAST(w.value->>1 AS BIGINT)",
        )
        .bind(rows(&wanted)?)
        .fetch_all(pool)
        .await?;
        let found: HashMap<(i64, i64), String> = found.into_iter().map(|(id, seq, hash)| ((id, seq), hash)).collect();
        let broken = far.iter().zip(wanted).filter(|(line, before)| {
            // A line that is gone is followed by none.
            !found.get(before).is_some_and(|hash| line.follows(before.1, hash))
        });
        self.broken.extend(broken.map(|(line, _)| Id(line.assignment_id)));
        Ok(())
    }
}
