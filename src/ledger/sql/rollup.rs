//! Figures: lives read, cases and sums kept. `read` has what pages ask for.

pub(in crate::ledger) mod read;

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use crate::ledger::engine::{Conn, Pool, query, query_as};
use serde::Deserialize;
use serde_json::json;

use super::{document, ids_json, rows};
use crate::ledger::rollups::{
    CaseWrite, CellRow, Dim, Dirty, Forecast, KeptCalendar, KeptCase, Kind, LeaverRow, LifeRow, LifeStep, Mark, Place, Swept,
    Told,
};
use crate::ledger::{BRIDGE, LedgerResult};
use crate::model::key::stable_number;
use crate::model::{Id, Operation, Timestamp};

/// Id of what figures are cut by.
pub(in crate::ledger) fn dim_id(application: &str, group: &str, operation: &str, desk: &str) -> i64 {
    stable_number(&["dim", application, group, operation, desk])
}

/// A page of assignments above `after` against what is kept of them.
pub(in crate::ledger) async fn sweep(pool: &Pool, after: Id, config: &str, limit: i64) -> LedgerResult<Swept> {
    let found: Vec<(i64, i64)> = query_as(
        "SELECT a.id, CAST(CASE WHEN k.seq IS NULL OR k.seq < a.chain_seq OR (k.open = 1 AND k.config <> $2) THEN 1 ELSE 0 END AS BIGINT) AS stale
         FROM assignment AS a LEFT JOIN kpi_case AS k ON k.assignment_id = a.id WHERE a.id > $1 ORDER BY a.id LIMIT $3",
    )
    .bind(after.0)
    .bind(config)
    .bind(limit)
    .fetch_all(pool)
    .await?;
    let more = i64::try_from(found.len()).unwrap_or(i64::MAX) >= limit;
    let last = found.last().map(|(id, _)| Id(*id)).filter(|_| more);
    Ok(Swept { last, stale: found.into_iter().filter(|(_, stale)| *stale == 1).map(|(id, _)| Id(id)).collect() })
}

/// Assignments whose journal was written since, and whose case is older. Each case is looked up by itself, once: joined, the
/// planner reads all cases of all time, on several processors, as soon as some thousand lines were written.
pub(in crate::ledger) async fn changed_since(pool: &Pool, since: Timestamp) -> LedgerResult<Vec<Id>> {
    let ids: Vec<(i64,)> = query_as(
        "SELECT j.assignment_id FROM (SELECT assignment_id, MAX(seq) AS seq FROM journal WHERE seen_at >= $1 GROUP BY assignment_id) AS j \
         WHERE COALESCE((SELECT k.seq FROM kpi_case AS k WHERE k.assignment_id = j.assignment_id), -1) < j.seq",
    )
    .bind(since.0)
    .fetch_all(pool)
    .await?;
    Ok(ids.into_iter().map(|(id,)| Id(id)).collect())
}

/// A page of all assignments.
pub(in crate::ledger) async fn all_ids(pool: &Pool, after: Id, limit: i64) -> LedgerResult<Vec<Id>> {
    let ids: Vec<(i64,)> = query_as("SELECT id FROM assignment WHERE id > $1 ORDER BY id LIMIT $2")
        .bind(after.0)
        .bind(limit)
        .fetch_all(pool)
        .await?;
    Ok(ids.into_iter().map(|(id,)| Id(id)).collect())
}

#[derive(Deserialize)]
struct Row {
    id: i64,
    seq: i64,
    app: String,
    name: String,
    grp: Option<String>,
    op: String,
    desk: Option<String>,
    ben: String,
    lane: String,
    state: String,
    outcome: Option<String>,
    req: Option<Timestamp>,
    appr: Option<Timestamp>,
    vfrom: Option<Timestamp>,
    vuntil: Option<Timestamp>,
    recv: Timestamp,
    elig: Option<Timestamp>,
    filed: Option<Timestamp>,
    work: Option<Timestamp>,
    closed: Option<Timestamp>,
    reported: Option<Timestamp>,
    withdrawn: Option<Timestamp>,
    gone: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Line {
    a: i64,
    at: Timestamp,
    seen: Timestamp,
    whose: String,
    event: String,
    state: String,
    cause: String,
    /// As it is stored: text.
    detail: String,
}

/// Lives of assignments with what was kept of them, by id.
pub(in crate::ledger) async fn lives(pool: &Pool, ids: &[Id]) -> LedgerResult<Vec<LifeRow>> {
    let ids = ids_json(ids);
    let (orders,): (String,) = query_as(
        "SELECT json_group_array(json_object('id', id, 'seq', chain_seq, 'app', application_id, 'name', application_name, 'grp', admin_group,
            'op', operation, 'desk', desk, 'ben', beneficiary, 'lane', lane, 'state', state, 'outcome', outcome, 'req', requested_at,
            'appr', approved_at, 'vfrom', valid_from, 'vuntil', valid_until, 'recv', received_at, 'elig', eligible_at, 'filed', filed_at,
            'work', first_work_at, 'closed', closed_at, 'reported', reported_at, 'withdrawn', withdrawn_at,
            'gone', CASE WHEN revocation = 1 THEN (SELECT l.left_at FROM leaver AS l WHERE l.person = assignment.beneficiary) END))
         FROM assignment WHERE id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))",
    )
    .bind(&ids)
    .fetch_one(pool)
    .await?;
    let orders: Vec<Row> = document(&orders)?;
    let mut steps = steps(pool, &ids).await?;
    let mut kept: HashMap<i64, KeptCase> = cases(pool, &ids).await?.into_iter().collect();
    let forecasts: Vec<(i64, i64, i64, i64)> = query_as(
        "SELECT assignment_id, made_at, half_by, nine_by FROM kpi_forecast
         WHERE assignment_id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))",
    )
    .bind(&ids)
    .fetch_all(pool)
    .await?;
    let forecasts: HashMap<i64, Forecast> = forecasts
        .into_iter()
        .map(|(id, made, half, nine)| {
            (id, Forecast { made_at: Timestamp(made), half_by: Timestamp(half), nine_by: Timestamp(nine) })
        })
        .collect();
    let mut lives: Vec<LifeRow> = orders
        .into_iter()
        .map(|o| {
            let (group, desk) = (o.grp.unwrap_or_default(), o.desk.unwrap_or_default());
            LifeRow {
                id: Id(o.id),
                // A line written between this read and that of the journal makes it stale again.
                seq: o.seq,
                revocation: Operation::parse(&o.op).is_some_and(Operation::is_revocation),
                dim: Dim {
                    id: dim_id(&o.app, &group, &o.op, &desk),
                    application_id: o.app,
                    application_name: o.name,
                    admin_group: group,
                    operation: o.op,
                    desk,
                },
                beneficiary: o.ben,
                lane: o.lane,
                state: o.state,
                outcome: o.outcome,
                requested_at: o.req,
                approved_at: o.appr,
                valid_from: o.vfrom,
                valid_until: o.vuntil,
                received_at: o.recv,
                eligible_at: o.elig,
                told: Told { filed: o.filed, first_work: o.work, closed: o.closed, reported: o.reported },
                withdrawn: o.withdrawn.is_some(),
                steps: steps.remove(&o.id).unwrap_or_default(),
                kept: kept.remove(&o.id),
                forecast: forecasts.get(&o.id).copied(),
                left_at: o.gone,
            }
        })
        .collect();
    lives.sort_by_key(|life| life.id);
    Ok(lives)
}

async fn steps(pool: &Pool, ids: &str) -> LedgerResult<HashMap<i64, Vec<LifeStep>>> {
    let (lines,): (String,) = query_as(
        "SELECT json_group_array(json_object('a', assignment_id, 'at', happened_at, 'seen', seen_at, 'whose', whose_clock, 'event', event, 'state', state, 'cause', cause,
            'detail', detail))
         FROM (SELECT assignment_id, happened_at, seen_at, whose_clock, event, state, cause, detail FROM journal
               WHERE assignment_id IN (SELECT CAST(value AS BIGINT) FROM json_each($1)) ORDER BY assignment_id, seq) AS j",
    )
    .bind(ids)
    .fetch_one(pool)
    .await?;
    let mut steps: HashMap<i64, Vec<LifeStep>> = HashMap::new();
    for line in document::<Vec<Line>>(&lines)? {
        let Line { a, at, seen, whose, event, state, cause, detail } = line;
        let learned_at = (whose != BRIDGE).then_some(seen);
        let detail = document(&detail)?;
        steps.entry(a).or_default().push(LifeStep { happened_at: at, learned_at, event, state, cause, detail });
    }
    Ok(steps)
}

/// Kept cases of assignments.
pub(in crate::ledger) async fn cases(pool: &Pool, ids: &str) -> LedgerResult<Vec<(i64, KeptCase)>> {
    let found: Vec<(i64, i64, String, i64, String)> = query_as(
        "SELECT assignment_id, seq, config, dim, body FROM kpi_case
         WHERE assignment_id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))",
    )
    .bind(ids)
    .fetch_all(pool)
    .await?;
    Ok(found.into_iter().map(|(id, seq, config, dim, body)| (id, KeptCase { seq, config, dim, body })).collect())
}

/// Marks of a kind at these digests.
pub(in crate::ledger) async fn marks(pool: &Pool, kind: Kind, at: &[i64]) -> LedgerResult<Vec<Mark>> {
    let found: Vec<(i64, i64, i64, i64)> = query_as(
        "SELECT at, dim, assignment_id, exact FROM kpi_mark WHERE kind = $1 AND at IN (SELECT CAST(value AS BIGINT) FROM json_each($2))",
    )
    .bind(kind.as_str())
    .bind(rows(at)?)
    .fetch_all(pool)
    .await?;
    let mark = |(at, dim, id, exact)| Mark { place: Place { kind, at, dim }, id: Id(id), exact: Timestamp(exact) };
    Ok(found.into_iter().map(mark).collect())
}

/// Keeps cases, their marks, and asks for the sums that change.
pub(in crate::ledger) async fn keep_cases(tx: &mut Conn, cases: &[CaseWrite], calendars: &[KeptCalendar]) -> LedgerResult<()> {
    let ids: Vec<Id> = cases.iter().map(|c| c.id).collect();
    let kept: Vec<(i64, String)> = query_as(
        "SELECT assignment_id, body FROM kpi_case WHERE assignment_id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))",
    )
    .bind(ids_json(&ids))
    .fetch_all(&mut *tx)
    .await?;
    let kept: HashMap<i64, String> = kept.into_iter().collect();
    // Marks are told by what was kept before: made of something else, they would leave some behind.
    let cases: Vec<&CaseWrite> = cases.iter().filter(|c| kept.get(&c.id.0) == c.before.as_ref()).collect();
    let calendars: Vec<_> = calendars.iter().map(|c| json!({"v": c.version, "n": c.name, "c": c.content})).collect();
    // Each once: one statement writes no row twice.
    let newest: BTreeMap<i64, &CaseWrite> = cases.iter().map(|c| (c.dim.id, *c)).collect();
    let dims: Vec<_> = newest
        .values()
        .map(|c| {
            json!({"id": c.dim.id, "app": c.dim.application_id, "name": c.dim.application_name, "grp": c.dim.admin_group,
                "op": c.dim.operation, "desk": c.dim.desk, "by": c.id.0})
        })
        .collect();
    let kept: Vec<_> = cases
        .iter()
        .map(|c| json!({"id": c.id.0, "seq": c.seq, "dim": c.dim.id, "open": i64::from(c.open), "cfg": c.config, "body": c.body}))
        .collect();
    let forecasts: Vec<_> = cases
        .iter()
        .filter_map(|c| c.forecast.map(|f| json!({"id": c.id.0, "at": f.made_at, "half": f.half_by, "nine": f.nine_by})))
        .collect();
    let gone: Vec<&Mark> = cases.iter().flat_map(|c| &c.gone).collect();
    let come: Vec<&Mark> = cases.iter().flat_map(|c| &c.come).collect();
    let dirty: Vec<Place> = cases.iter().flat_map(|c| c.dirty.iter().copied()).collect();
    let repeated: Vec<Id> = cases.iter().filter_map(|c| c.repeats).collect();
    if !repeated.is_empty() {
        // Stale from now on, so that whoever counts finds it. Below 0 would say that it is made of nothing.
        query(
            "UPDATE kpi_case SET seq = seq - 1
             WHERE seq > 0 AND assignment_id IN (SELECT CAST(value AS BIGINT) FROM json_each($1))",
        )
        .bind(ids_json(&repeated))
        .execute(&mut *tx)
        .await?;
    }
    query(
        "INSERT INTO kpi_calendar (version, name, content)
         SELECT v.value->>'v', v.value->>'n', v.value->>'c' FROM json_each($1) AS v WHERE true ON CONFLICT (version) DO NOTHING;
         INSERT INTO kpi_dim (id, application_id, application_name, admin_group, operation, desk, named_by)
         SELECT CAST(v.value->>'id' AS BIGINT), v.value->>'app', v.value->>'name', v.value->>'grp', v.value->>'op', v.value->>'desk',
            CAST(v.value->>'by' AS BIGINT) FROM json_each($2) AS v WHERE true
         ON CONFLICT (id) DO UPDATE SET application_name = excluded.application_name, named_by = excluded.named_by
         WHERE excluded.named_by > kpi_dim.named_by AND excluded.application_name <> kpi_dim.application_name;
         INSERT INTO kpi_case (assignment_id, seq, dim, open, config, body)
         SELECT CAST(v.value->>'id' AS BIGINT), CAST(v.value->>'seq' AS BIGINT), CAST(v.value->>'dim' AS BIGINT),
            CAST(v.value->>'open' AS BIGINT), v.value->>'cfg', v.value->>'body' FROM json_each($3) AS v WHERE true
         ON CONFLICT (assignment_id) DO UPDATE SET seq = excluded.seq, dim = excluded.dim, open = excluded.open,
            config = excluded.config, body = excluded.body WHERE excluded.seq >= kpi_case.seq;
         DELETE FROM kpi_mark WHERE (kind, at, dim, assignment_id) IN
            (SELECT v.value->>'k', CAST(v.value->>'t' AS BIGINT), CAST(v.value->>'d' AS BIGINT), CAST(v.value->>'a' AS BIGINT)
             FROM json_each($4) AS v);
         INSERT INTO kpi_mark (kind, at, dim, assignment_id, exact)
         SELECT v.value->>'k', CAST(v.value->>'t' AS BIGINT), CAST(v.value->>'d' AS BIGINT), CAST(v.value->>'a' AS BIGINT),
            CAST(v.value->>'x' AS BIGINT) FROM json_each($5) AS v WHERE true
         ON CONFLICT (kind, at, dim, assignment_id) DO UPDATE SET exact = excluded.exact;
         INSERT INTO kpi_forecast (assignment_id, made_at, half_by, nine_by)
         SELECT CAST(v.value->>'id' AS BIGINT), CAST(v.value->>'at' AS BIGINT), CAST(v.value->>'half' AS BIGINT),
            CAST(v.value->>'nine' AS BIGINT) FROM json_each($6) AS v WHERE true ON CONFLICT (assignment_id) DO NOTHING",
    )
    .bind(rows(&calendars)?)
    .bind(rows(&dims)?)
    .bind(rows(&kept)?)
    .bind(rows(&gone)?)
    .bind(rows(&come)?)
    .bind(rows(&forecasts)?)
    .execute(&mut *tx)
    .await?;
    soil(tx, dirty).await
}

/// Asks for sums to be made again.
async fn soil(tx: &mut Conn, mut dirty: Vec<Place>) -> LedgerResult<()> {
    dirty.sort_unstable();
    dirty.dedup();
    if dirty.is_empty() {
        return Ok(());
    }
    query(
        "INSERT INTO kpi_dirty (kind, at, dim, mark)
         SELECT v.value->>'k', CAST(v.value->>'t' AS BIGINT), CAST(v.value->>'d' AS BIGINT), 1 FROM json_each($1) AS v WHERE true
         ON CONFLICT (kind, at, dim) DO UPDATE SET mark = kpi_dirty.mark + 1",
    )
    .bind(rows(&dirty)?)
    .execute(tx)
    .await?;
    Ok(())
}

/// Reads what is dirty by [`Kind::level`]: the first of each kind, since ordering all that waits would cost as much in every step,
/// and after an upgrade everything waits.
static DIRTY: LazyLock<String> = LazyLock::new(|| {
    let first_of = |kind: Kind| {
        let (name, level) = (kind.as_str(), kind.level());
        format!(
            "SELECT * FROM (SELECT {level} AS level, kind, at, dim, mark FROM kpi_dirty WHERE kind = '{name}' ORDER BY at, dim LIMIT $1) AS of_{name}"
        )
    };
    let firsts: Vec<String> = Kind::ALL.into_iter().map(first_of).collect();
    format!("SELECT kind, at, dim, mark FROM ({}) AS waiting ORDER BY level, kind, at, dim LIMIT $1", firsts.join(" UNION ALL "))
});

/// Sums that are no longer true, by [`Kind::level`].
pub(in crate::ledger) async fn dirty(pool: &Pool, limit: i64) -> LedgerResult<Vec<Dirty>> {
    let found: Vec<(String, i64, i64, i64)> = query_as(DIRTY.as_str()).bind(limit).fetch_all(pool).await?;
    let dirty = |(kind, at, dim, mark): (String, i64, i64, i64)| {
        Kind::parse(&kind).map(|kind| Dirty { place: Place { kind, at, dim }, mark })
    };
    Ok(found.into_iter().filter_map(dirty).collect())
}

fn done_json(done: &Dirty) -> serde_json::Value {
    json!({"k": done.place.kind, "t": done.place.at, "d": done.place.dim, "m": done.mark})
}

/// Keeps sums, removes those of nothing.
pub(in crate::ledger) async fn keep_cells(tx: &mut Conn, cells: &[CellRow], done: &[Dirty], asked: &[Place]) -> LedgerResult<()> {
    let value = |c: &CellRow| json!({"k": c.place.kind, "t": c.place.at, "d": c.place.dim, "n": c.n, "o": c.oldest, "m": c.main, "r": c.rest});
    let kept: Vec<_> = cells.iter().filter(|c| c.n > 0).map(value).collect();
    let gone: Vec<_> = cells.iter().filter(|c| c.n <= 0).map(|c| c.place).collect();
    let done: Vec<_> = done.iter().map(done_json).collect();
    query(
        "INSERT INTO kpi_cell (kind, at, dim, n, oldest, main, rest)
         SELECT v.value->>'k', CAST(v.value->>'t' AS BIGINT), CAST(v.value->>'d' AS BIGINT), CAST(v.value->>'n' AS BIGINT),
            CAST(v.value->>'o' AS BIGINT), v.value->>'m', v.value->>'r' FROM json_each($1) AS v WHERE true
         ON CONFLICT (kind, at, dim) DO UPDATE SET n = excluded.n, oldest = excluded.oldest, main = excluded.main, rest = excluded.rest;
         DELETE FROM kpi_cell WHERE (kind, at, dim) IN
            (SELECT v.value->>'k', CAST(v.value->>'t' AS BIGINT), CAST(v.value->>'d' AS BIGINT) FROM json_each($2) AS v);
         DELETE FROM kpi_dirty WHERE (kind, at, dim, mark) IN
            (SELECT v.value->>'k', CAST(v.value->>'t' AS BIGINT), CAST(v.value->>'d' AS BIGINT), CAST(v.value->>'m' AS BIGINT)
             FROM json_each($3) AS v)",
    )
    .bind(rows(&kept)?)
    .bind(rows(&gone)?)
    .bind(rows(&done)?)
    .execute(&mut *tx)
    .await?;
    soil(tx, asked.to_vec()).await
}

/// Keeps persons whose access ends.
pub(in crate::ledger) async fn keep_leavers(
    tx: &mut Conn,
    kept: &[LeaverRow],
    gone: &[i64],
    dirty: &[Place],
    done: &[Dirty],
) -> LedgerResult<()> {
    let done: Vec<_> = done.iter().map(done_json).collect();
    query(
        "INSERT INTO kpi_leaver (person, left_at, ended_at, orders, waiting, assignment_id, dim)
         SELECT CAST(v.value->>'person' AS BIGINT), CAST(v.value->>'left_at' AS BIGINT), CAST(v.value->>'ended_at' AS BIGINT),
            CAST(v.value->>'orders' AS BIGINT), CAST(v.value->>'waiting' AS BIGINT), CAST(v.value->>'assignment_id' AS BIGINT),
            CAST(v.value->>'dim' AS BIGINT) FROM json_each($1) AS v WHERE true
         ON CONFLICT (person) DO UPDATE SET left_at = excluded.left_at, ended_at = excluded.ended_at, orders = excluded.orders,
            waiting = excluded.waiting, assignment_id = excluded.assignment_id, dim = excluded.dim;
         DELETE FROM kpi_leaver WHERE person IN (SELECT CAST(value AS BIGINT) FROM json_each($2));
         DELETE FROM kpi_dirty WHERE (kind, at, dim, mark) IN
            (SELECT v.value->>'k', CAST(v.value->>'t' AS BIGINT), CAST(v.value->>'d' AS BIGINT), CAST(v.value->>'m' AS BIGINT)
             FROM json_each($3) AS v)",
    )
    .bind(rows(kept)?)
    .bind(rows(gone)?)
    .bind(rows(&done)?)
    .execute(&mut *tx)
    .await?;
    soil(tx, dirty.to_vec()).await
}

/// Throws figures away. Cases keep what they were measured by, unless today's calendars are wanted.
pub(in crate::ledger) async fn forget(tx: &mut Conn, todays_calendars: bool) -> LedgerResult<()> {
    // Nothing is told as counted until it is.
    query(
        "DELETE FROM kpi_mark; DELETE FROM kpi_cell; DELETE FROM kpi_dirty; DELETE FROM kpi_leaver;
         DELETE FROM cursor WHERE name = 'kpi/rolled'",
    )
    .execute(&mut *tx)
    .await?;
    // Made of nothing: made again, without trusting the marks that are gone.
    let cases = if todays_calendars { "DELETE FROM kpi_case" } else { "UPDATE kpi_case SET seq = -1" };
    query(cases).execute(tx).await?;
    Ok(())
}

/// Remembers how far the figures are. A sweep that begins takes nothing back of what was counted before.
pub(in crate::ledger) async fn note_rolled(tx: &mut Conn, until: Timestamp, sweeping: bool) -> LedgerResult<()> {
    query(
        "INSERT INTO cursor (name, value, at) VALUES ('kpi/rolled', $1, $2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value,
            at = CASE WHEN excluded.value = 'done' THEN excluded.at ELSE cursor.at END",
    )
    .bind(if sweeping { "sweeping" } else { "done" })
    .bind(if sweeping { 0 } else { until.0 })
    .execute(tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;

    /// Whatever the number of sums that wait: a step sees the first of each kind only.
    #[tokio::test]
    async fn what_is_dirty_is_read_by_level_and_never_sorted_as_a_whole() {
        let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
        sqlx::raw_sql(
            "CREATE TABLE kpi_dirty (kind TEXT NOT NULL, at INTEGER NOT NULL, dim INTEGER NOT NULL, mark INTEGER NOT NULL,
                PRIMARY KEY (kind, at, dim)) STRICT, WITHOUT ROWID;
             INSERT INTO kpi_dirty VALUES ('now', 1, 1, 1), ('closed', 9, 2, 1), ('closed', 9, 1, 1), ('closed', 3, 7, 1), ('person', 5, 0, 4)",
        )
        .execute(&pool)
        .await
        .unwrap();
        let plan =
            sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", DIRTY.as_str()))).fetch_all(&pool).await.unwrap();
        let steps: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        let seen: Vec<&String> = steps.iter().filter(|step| step.contains("kpi_dirty")).collect();
        assert_eq!(seen.len(), Kind::ALL.len());
        assert!(seen.iter().all(|step| step.contains("PRIMARY KEY (kind=?)")), "{steps:#?}");
        assert_eq!(steps.iter().filter(|step| step.contains("TEMP B-TREE")).count(), 1, "of the few found: {steps:#?}");
        let pool = Pool::Sqlite(pool);
        let found = dirty(&pool, 4).await.unwrap();
        let places: Vec<(&str, i64, i64)> = found.iter().map(|d| (d.place.kind.as_str(), d.place.at, d.place.dim)).collect();
        assert_eq!(places, [("person", 5, 0), ("closed", 3, 7), ("closed", 9, 1), ("closed", 9, 2)]);
    }
}
