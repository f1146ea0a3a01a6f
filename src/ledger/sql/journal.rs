//! The one way an assignment's state changes: a move, checked against the life cycle, chained and journalled.

use std::collections::{HashMap, HashSet};

use crate::ledger::engine::{Arg, Conn, Rows, query, query_as};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::{BRIDGE, LedgerError, LedgerResult};
use super::{document, rows};
use crate::model::{State, Timestamp};

/// One step in an assignment's life.
#[derive(Debug, Clone)]
pub(in crate::ledger) struct Move {
    pub(in crate::ledger) assignment: i64,
    /// `None`: the state stays.
    pub(in crate::ledger) to: Option<State>,
    pub(in crate::ledger) event: &'static str,
    pub(in crate::ledger) happened_at: Timestamp,
    pub(in crate::ledger) whose_clock: String,
    pub(in crate::ledger) actor: String,
    pub(in crate::ledger) cause: String,
    pub(in crate::ledger) detail: Value,
    pub(in crate::ledger) catalog_version: Option<String>,
    pub(in crate::ledger) template_version: Option<String>,
    /// What others say may come late: where the life cycle does not allow the step, it is noted and the state stays.
    pub(in crate::ledger) if_it_may: bool,
}

impl Move {
    /// By ourselves, on our clock.
    pub(in crate::ledger) fn ours(assignment: i64, to: Option<State>, event: &'static str, at: Timestamp) -> Self {
        Self {
            assignment,
            to,
            event,
            happened_at: at,
            whose_clock: BRIDGE.to_owned(),
            actor: BRIDGE.to_owned(),
            cause: String::new(),
            detail: json!({}),
            catalog_version: None,
            template_version: None,
            if_it_may: false,
        }
    }

    /// See [`Move::if_it_may`].
    pub(in crate::ledger) fn if_it_may(mut self) -> Self {
        self.if_it_may = true;
        self
    }

    pub(in crate::ledger) fn cause(mut self, cause: impl Into<String>) -> Self {
        // PostgreSQL's texts hold no NUL, and the chain is over what is stored.
        self.cause = cause.into().replace('\0', "");
        self
    }

    pub(in crate::ledger) fn actor(mut self, actor: &str) -> Self {
        actor.clone_into(&mut self.actor);
        self
    }

    pub(in crate::ledger) fn detail(mut self, detail: Value) -> Self {
        self.detail = detail;
        self
    }

    /// Happened elsewhere, by another clock.
    pub(in crate::ledger) fn by_clock_of(mut self, whose: &str, at: Timestamp) -> Self {
        whose.clone_into(&mut self.whose_clock);
        self.happened_at = at;
        self
    }
}

pub(in crate::ledger) struct JournalLine {
    pub(in crate::ledger) a: i64,
    pub(in crate::ledger) seq: i64,
    pub(in crate::ledger) happened: i64,
    pub(in crate::ledger) clock: String,
    pub(in crate::ledger) seen: i64,
    pub(in crate::ledger) event: &'static str,
    pub(in crate::ledger) state: &'static str,
    pub(in crate::ledger) actor: String,
    pub(in crate::ledger) cause: String,
    pub(in crate::ledger) detail: String,
    pub(in crate::ledger) cv: Option<String>,
    pub(in crate::ledger) tv: Option<String>,
    pub(in crate::ledger) hash: String,
}

/// The link of the chain that this row is: over the one before and everything in it.
#[expect(clippy::too_many_arguments, reason = "every field of the row is part of the link")]
pub(in crate::ledger) fn link(
    before: &str,
    assignment: i64,
    seq: i64,
    happened: i64,
    clock: &str,
    seen: i64,
    event: &str,
    state: &str,
    actor: &str,
    cause: &str,
    detail: &str,
    versions: (Option<&str>, Option<&str>),
) -> String {
    let mut hash = Sha256::new();
    for part in [before, clock, event, state, actor, cause, detail, versions.0.unwrap_or("-"), versions.1.unwrap_or("-")] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    for number in [assignment, seq, happened, seen] {
        hash.update(number.to_le_bytes());
    }
    hex::encode(hash.finalize())
}

impl JournalLine {
    /// The row after `before`.
    pub(in crate::ledger) fn chain(before: &str, seq: i64, state: State, step: &Move, seen_at: Timestamp) -> Self {
        let detail = step.detail.to_string();
        let hash = link(
            before,
            step.assignment,
            seq,
            step.happened_at.0,
            &step.whose_clock,
            seen_at.0,
            step.event,
            state.as_str(),
            &step.actor,
            &step.cause,
            &detail,
            (step.catalog_version.as_deref(), step.template_version.as_deref()),
        );
        Self {
            a: step.assignment,
            seq,
            happened: step.happened_at.0,
            clock: step.whose_clock.clone(),
            seen: seen_at.0,
            event: step.event,
            state: state.as_str(),
            actor: step.actor.clone(),
            cause: step.cause.clone(),
            detail,
            cv: step.catalog_version.clone(),
            tv: step.template_version.clone(),
            hash,
        }
    }

    /// As [`insert_lines`] takes it.
    pub(in crate::ledger) fn row(self) -> [Arg; 13] {
        [
            self.a.into(),
            self.seq.into(),
            self.happened.into(),
            self.clock.into(),
            self.seen.into(),
            self.event.into(),
            self.state.into(),
            self.actor.into(),
            self.cause.into(),
            self.detail.into(),
            self.cv.into(),
            self.tv.into(),
            self.hash.into(),
        ]
    }
}

/// Inserts [`JournalLine`]s; `$parameter` holds their rows.
macro_rules! insert_lines {
    ($parameter:literal) => {
        concat!(
            "INSERT INTO journal (assignment_id, seq, happened_at, whose_clock, seen_at, event, state, actor, cause, detail,
                                  catalog_version, template_version, hash) ROWS ",
            $parameter,
            " (int, int, int, text, int, text, text, text, text, text, text, text, text);"
        )
    };
}
pub(in crate::ledger) use insert_lines;

/// Writes what [`Heads::chain`] made: new lines and where the chains end now.
macro_rules! write_moves {
    ($lines:literal, $ends:literal) => {
        concat!(
            crate::ledger::sql::journal::insert_lines!($lines),
            "UPDATE assignment SET state = j.value->>'s', chain_seq = CAST(j.value->>'n' AS BIGINT), chain_head = j.value->>'h'
             FROM json_each(",
            $ends,
            ") AS j WHERE assignment.id = CAST(j.value->>'id' AS BIGINT);"
        )
    };
}
pub(in crate::ledger) use write_moves;

/// Assignment, its state, number and hash of its last line.
pub(in crate::ledger) type Head = (i64, String, i64, String);

/// Where the chains of some assignments end.
#[derive(Default)]
pub(in crate::ledger) struct Heads(HashMap<i64, (State, i64, String)>);

#[derive(Serialize)]
struct End<'a> {
    id: i64,
    s: &'static str,
    n: i64,
    h: &'a str,
}

/// New lines and ends of chains, for [`write_moves`].
pub(in crate::ledger) struct Chained {
    pub(in crate::ledger) lines: Rows,
    pub(in crate::ledger) ends: String,
}

impl Heads {
    pub(in crate::ledger) fn of(found: impl IntoIterator<Item = Head>) -> LedgerResult<Self> {
        let mut heads = HashMap::new();
        for (id, state, seq, head) in found {
            let state = State::parse(&state).ok_or_else(|| LedgerError::Corrupt(format!("state `{state}`")))?;
            heads.insert(id, (state, seq, head));
        }
        Ok(Self(heads))
    }

    /// The lines of the moves, in order. A move that the life cycle does not allow is an error: the caller checks first.
    pub(in crate::ledger) fn chain(mut self, moves: &[Move], seen_at: Timestamp) -> LedgerResult<Chained> {
        let (lines, moved) = self.lines(moves, seen_at)?;
        let ends = self.0.iter().filter(|(id, _)| moved.contains(id));
        let ends: Vec<End> = ends.map(|(id, (state, seq, head))| End { id: *id, s: state.as_str(), n: *seq, h: head }).collect();
        Ok(Chained { lines: lines.into_iter().map(JournalLine::row).collect(), ends: rows(&ends)? })
    }

    /// Where the chain of an assignment ends now.
    pub(in crate::ledger) fn end(&self, assignment: i64) -> Option<(State, i64, &str)> {
        self.0.get(&assignment).map(|(state, seq, head)| (*state, *seq, head.as_str()))
    }

    /// As [`Heads::chain`], for callers that write the ends themselves; says whose chains have grown.
    pub(in crate::ledger) fn lines(
        &mut self,
        moves: &[Move],
        seen_at: Timestamp,
    ) -> LedgerResult<(Vec<JournalLine>, HashSet<i64>)> {
        let mut lines = Vec::with_capacity(moves.len());
        let mut moved = HashSet::with_capacity(moves.len());
        for step in moves {
            let Some((state, seq, head)) = self.0.get_mut(&step.assignment) else {
                return Err(LedgerError::Corrupt(format!("assignment {} is missing", step.assignment)));
            };
            if let Some(to) = step.to {
                if !state.may_become(to) && !step.if_it_may {
                    let (from, to) = (state.as_str(), to.as_str());
                    return Err(LedgerError::Corrupt(format!("{from} may not become {to} ({})", step.event)));
                }
                if state.may_become(to) {
                    *state = to;
                }
            }
            *seq += 1;
            let line = JournalLine::chain(head, *seq, *state, step, seen_at);
            head.clone_from(&line.hash);
            lines.push(line);
            moved.insert(step.assignment);
        }
        Ok((lines, moved))
    }
}

/// Carries out the moves in order. A move that the life cycle does not allow is an error: the caller checks first.
pub(in crate::ledger) async fn apply(tx: &mut Conn, moves: &[Move], seen_at: Timestamp) -> LedgerResult<()> {
    if moves.is_empty() {
        return Ok(());
    }
    let wanted: Vec<i64> = moves.iter().map(|m| m.assignment).collect();
    let (found,): (String,) = query_as(
        "SELECT json_group_array(json_array(id, state, chain_seq, chain_head)) FROM assignment
         WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))",
    )
    .bind(rows(&wanted)?)
    .fetch_one(&mut *tx)
    .await?;
    let chained = Heads::of(document::<Vec<Head>>(&found)?)?.chain(moves, seen_at)?;
    query(write_moves!("$1", "$2")).bind(chained.lines).bind(chained.ends).execute_later(tx).await?;
    Ok(())
}
