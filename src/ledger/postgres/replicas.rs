//! Who serves, and who has which duty. Times are the database's: it is the one clock that all replicas share.

use std::time::{Duration, Instant};

use sqlx::Row as _;

use super::{LedgerResult, Postgres};
use crate::ledger::Turn;
use crate::ledger::engine::in_time;
use crate::model::Timestamp;

/// Longest wait for an answer: whoever does not hear of the others for so long looks for another primary.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// What a replica learns when it says that it is there.
pub(in crate::ledger) struct Heard {
    /// How many serve.
    pub(in crate::ledger) replicas: u32,
    /// How many of them before us.
    pub(in crate::ledger) place: u32,
    /// What time it was there, within the time that the answer took.
    pub(in crate::ledger) at: i64,
    /// How long that answer took.
    pub(in crate::ledger) took: Duration,
}

/// How long a recovery holds for all after the last word of a process that was started with it.
const CAUTION_MS: i64 = 600_000;

/// Milliseconds by the database's clock.
macro_rules! clock {
    () => {
        "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)"
    };
}

impl Postgres {
    /// Says that we are there, and hears how many are.
    pub(in crate::ledger) async fn alive(&self, owner: &str, hold_ms: i64) -> LedgerResult<Heard> {
        let said = sqlx::query(concat!(
            "INSERT INTO replica (owner, since, until) VALUES ($1, ",
            clock!(),
            ", ",
            clock!(),
            " + $2)
             ON CONFLICT (owner) DO UPDATE SET until = excluded.until"
        ))
        .bind(owner)
        .bind(hold_ms);
        in_time!(self.notes, ANSWERS_WITHIN, |c| said.execute(c))?;
        // What takes long stays ours.
        let kept = sqlx::query(concat!("UPDATE turn SET until = ", clock!(), " + $2 WHERE owner = $1 AND until >= ", clock!()))
            .bind(owner)
            .bind(hold_ms);
        in_time!(self.notes, ANSWERS_WITHIN, |c| kept.execute(c))?;
        let asked = Instant::now();
        let question = sqlx::query_as(concat!(
            "SELECT COUNT(*) FILTER (WHERE until >= ",
            clock!(),
            "), COUNT(*) FILTER (WHERE until >= ",
            clock!(),
            " AND owner < $1), ",
            clock!(),
            " FROM replica"
        ))
        .bind(owner);
        let (alive, before, at): (i64, i64, i64) = in_time!(self.notes, ANSWERS_WITHIN, |c| question.fetch_one(c))?;
        let count = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(Heard { replicas: count(alive).max(1), place: count(before), at, took: asked.elapsed() })
    }

    pub(in crate::ledger) async fn turn(&self, duty: &str, owner: &str, hold_ms: i64) -> LedgerResult<Turn> {
        let ours = |ran_at: i64| Turn::Ours { ran_at: (ran_at > 0).then_some(Timestamp(ran_at)) };
        // Most looks change nothing: they write nothing.
        let look =
            sqlx::query(concat!("SELECT owner, until - ", clock!(), " AS left, ran_at FROM turn WHERE duty = $1")).bind(duty);
        let known = in_time!(self.notes, ANSWERS_WITHIN, |c| look.fetch_optional(c))?;
        if let Some(row) = known {
            let (holder, left, ran_at): (String, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            if holder == owner && left > hold_ms / 2 {
                return Ok(ours(ran_at));
            }
            if holder != owner && left >= 0 {
                return Ok(Turn::Others);
            }
        }
        let take = sqlx::query_as(concat!(
            "INSERT INTO turn (duty, owner, until, ran_at) VALUES ($1, $2, ",
            clock!(),
            " + $3, 0)
             ON CONFLICT (duty) DO UPDATE SET owner = excluded.owner, until = excluded.until
             WHERE turn.owner = excluded.owner OR turn.until < ",
            clock!(),
            " RETURNING ran_at"
        ))
        .bind(duty)
        .bind(owner)
        .bind(hold_ms);
        let taken: Option<(i64,)> = in_time!(self.notes, ANSWERS_WITHIN, |c| take.fetch_optional(c))?;
        Ok(taken.map_or(Turn::Others, |(ran_at,)| ours(ran_at)))
    }

    /// `now` is the database's, as all times here.
    pub(in crate::ledger) async fn ran(&self, duty: &str, now: Timestamp) -> LedgerResult<()> {
        let ran = sqlx::query("UPDATE turn SET ran_at = $2 WHERE duty = $1").bind(duty).bind(now.0);
        in_time!(self.notes, ANSWERS_WITHIN, |c| ran.execute(c))?;
        Ok(())
    }

    /// What a process that recovers says to all others. It holds on for a while after the last word, so that nobody forgets it
    /// while that process is started again.
    pub(in crate::ledger) async fn tell_caution(&self, said: &str) -> LedgerResult<()> {
        let told = sqlx::query(concat!(
            "INSERT INTO meta (name, value) VALUES ('caution', $1), ('caution_until', CAST(",
            clock!(),
            " + $2 AS TEXT)) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
        ))
        .bind(said)
        .bind(CAUTION_MS);
        in_time!(self.notes, ANSWERS_WITHIN, |c| told.execute(c))?;
        Ok(())
    }

    /// The same as others hear it, while it holds.
    pub(in crate::ledger) async fn caution(&self) -> LedgerResult<Option<String>> {
        let heard = sqlx::query_as(concat!(
            "SELECT said.value FROM meta AS said JOIN meta AS held ON held.name = 'caution_until'
             WHERE said.name = 'caution' AND CAST(held.value AS BIGINT) >= ",
            clock!()
        ));
        let said: Option<(String,)> = in_time!(self.notes, ANSWERS_WITHIN, |c| heard.fetch_optional(c))?;
        Ok(said.map(|(value,)| value))
    }

    pub(in crate::ledger) async fn leave(&self, owner: &str) -> LedgerResult<()> {
        let free = sqlx::query("UPDATE turn SET until = 0 WHERE owner = $1").bind(owner);
        in_time!(self.notes, ANSWERS_WITHIN, |c| free.execute(c))?;
        let gone = concat!("DELETE FROM replica WHERE owner = $1 OR until < ", clock!(), " - 86400000");
        in_time!(self.notes, ANSWERS_WITHIN, |c| sqlx::query(gone).bind(owner).execute(c))?;
        Ok(())
    }
}
