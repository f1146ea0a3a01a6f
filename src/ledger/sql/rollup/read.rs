//! Figures as pages read them.

use crate::ledger::engine::{Pool, QueryBuilder, Row, query_as};

use super::super::rows;
use super::super::views::push_scope;
use crate::ledger::LedgerResult;
use crate::ledger::rollups::{
    AgeRow, Behind, CellFilter, CellRow, Dim, Forecast, KeptCalendar, KeptCase, Kind, LeaverRow, Member, Place, Sought, Starts,
};
use crate::model::{Id, Timestamp};

/// Start, cut, count, oldest, sums.
type CellColumns = (i64, i64, i64, i64, Option<String>, Option<String>);

/// The same, with the kind before it.
type PlacedColumns = (String, i64, i64, i64, i64, Option<String>, Option<String>);

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// Number of an assignment's latest ticket.
const TICKET: &str = "(SELECT t.ref_number FROM ticket_item AS i JOIN ticket AS t ON t.id = i.ticket_id
    WHERE i.assignment_id = a.id AND t.shape <> 'double' ORDER BY t.id DESC LIMIT 1)";

fn push_filter(query: &mut QueryBuilder, filter: &CellFilter) {
    for (column, value) in [
        ("d.application_id", &filter.application),
        ("d.admin_group", &filter.admin_group),
        ("d.operation", &filter.operation),
        ("d.desk", &filter.desk),
    ] {
        if let Some(value) = value {
            query.push(" AND ").push(column).push(" = ").push_bind(value.clone());
        }
    }
    if let Some(dim) = filter.dim {
        query.push(" AND d.id = ").push_bind(dim);
    }
    push_scope(query, "d.application_id", &filter.scope);
}

/// What figures are cut by.
pub(in crate::ledger) async fn dims(pool: &Pool, filter: &CellFilter) -> LedgerResult<Vec<Dim>> {
    let mut query = QueryBuilder::new(
        "SELECT d.id, d.application_id, d.application_name, d.admin_group, d.operation, d.desk FROM kpi_dim AS d WHERE 1 = 1",
    );
    push_filter(&mut query, filter);
    query.push(" ORDER BY d.named_by");
    let found: Vec<(i64, String, String, String, String, String)> = query.build_query_as().fetch_all(pool).await?;
    Ok(found
        .into_iter()
        .map(|(id, application_id, application_name, admin_group, operation, desk)| Dim {
            id,
            application_id,
            application_name,
            admin_group,
            operation,
            desk,
        })
        .collect())
}

/// Sums of a kind from one instant up to another. What a filter leaves out is not read.
pub(in crate::ledger) async fn cells(
    pool: &Pool,
    kind: Kind,
    (from, to): (Timestamp, Timestamp),
    filter: &CellFilter,
    rest: bool,
) -> LedgerResult<Vec<CellRow>> {
    let mut query = QueryBuilder::new("SELECT c.at, c.dim, c.n, c.oldest, c.main, ");
    query
        .push(if rest { "c.rest" } else { "NULL" })
        .push(" FROM kpi_cell AS c ")
        .push(if kind.is_whole() { "" } else { "JOIN kpi_dim AS d ON d.id = c.dim " })
        .push("WHERE c.kind = ");
    query.push_bind(kind.as_str()).push(" AND c.at >= ").push_bind(from.0).push(" AND c.at < ").push_bind(to.0);
    if !kind.is_whole() {
        push_filter(&mut query, filter);
    }
    let found: Vec<CellColumns> = query.build_query_as().fetch_all(pool).await?;
    Ok(found
        .into_iter()
        .map(|(at, dim, n, oldest, main, rest)| CellRow {
            place: Place { kind, at, dim },
            n,
            oldest: Timestamp(oldest),
            main,
            rest,
        })
        .collect())
}

/// Sums that begin then.
pub(in crate::ledger) async fn cells_at(
    pool: &Pool,
    starts: &[Starts],
    dims: Option<&[i64]>,
    rest: bool,
) -> LedgerResult<Vec<CellRow>> {
    let Some(mut query) = looked_up(starts, dims, rest)? else { return Ok(Vec::new()) };
    let found: Vec<PlacedColumns> = query.build_query_as().fetch_all(pool).await?;
    let cell = |(kind, at, dim, n, oldest, main, rest): PlacedColumns| {
        let kind = Kind::parse(&kind)?;
        Some(CellRow { place: Place { kind, at, dim }, n, oldest: Timestamp(oldest), main, rest })
    };
    Ok(found.into_iter().filter_map(cell).collect())
}

/// Each by its whole key: between two starts lie the sums of all other cuts, too.
fn looked_up(starts: &[Starts], dims: Option<&[i64]>, rest: bool) -> LedgerResult<Option<QueryBuilder>> {
    let mut query = QueryBuilder::new("");
    let mut between = "";
    for (kind, at) in starts.iter().filter(|(_, at)| !at.is_empty()) {
        query.push(between).push("SELECT c.kind, c.at, c.dim, c.n, c.oldest, c.main, ").push(if rest {
            "c.rest"
        } else {
            "NULL"
        });
        query.push(" FROM kpi_cell AS c WHERE c.kind = ").push_bind(kind.as_str());
        query.push(" AND c.at IN (SELECT CAST(value AS BIGINT) FROM json_each(").push_bind(rows(at)?).push("))");
        if let Some(dims) = dims {
            query.push(" AND c.dim IN (SELECT CAST(value AS BIGINT) FROM json_each(").push_bind(rows(dims)?).push("))");
        }
        between = " UNION ALL ";
    }
    let nothing = between.is_empty() || dims.is_some_and(<[i64]>::is_empty);
    Ok((!nothing).then_some(query))
}

/// What is open, added up by age.
pub(in crate::ledger) async fn ages(pool: &Pool, this_hour: Timestamp) -> LedgerResult<Vec<AgeRow>> {
    let found: Vec<(i64, i64, i64, i64)> = query_as(
        "SELECT dim, CASE WHEN hours < 0 THEN -1 WHEN hours < 48 THEN hours WHEN hours < 720 THEN hours / 24 * 24 ELSE hours / 168 * 168 END AS age,
            CAST(SUM(n) AS BIGINT), MIN(oldest)
         FROM (SELECT dim, n, oldest, ($1 - at) / 3600000 - CASE WHEN at > $1 THEN 1 ELSE 0 END AS hours FROM kpi_cell WHERE kind = 'open') AS c
         GROUP BY 1, 2",
    )
    .bind(this_hour.0)
    .fetch_all(pool)
    .await?;
    Ok(found.into_iter().map(|(dim, hours, n, oldest)| AgeRow { dim, hours, n, oldest: Timestamp(oldest) }).collect())
}

/// How many by what they are cut by, of the hours before one.
pub(in crate::ledger) async fn passed(pool: &Pool, kind: Kind, before: Timestamp) -> LedgerResult<Vec<(i64, i64)>> {
    let query = "SELECT dim, CAST(SUM(n) AS BIGINT) FROM kpi_cell WHERE kind = $1 AND at < $2 GROUP BY dim";
    Ok(query_as(query).bind(kind.as_str()).bind(before.0).fetch_all(pool).await?)
}

/// How many marks, and the earliest of their instants.
pub(in crate::ledger) async fn count_marks(pool: &Pool, place: Place) -> LedgerResult<(i64, Timestamp)> {
    let query = if matches!(place.kind, Kind::LeaverOpen) {
        "SELECT COUNT(*), MIN(left_at) FROM kpi_leaver WHERE $1 <> '' AND left_at >= $2 AND left_at < $2 + 3600000 AND dim = $3 AND waiting > 0"
    } else {
        "SELECT COUNT(*), MIN(exact) FROM kpi_mark WHERE kind = $1 AND at = $2 AND dim = $3"
    };
    let (n, oldest): (i64, Option<i64>) =
        query_as(query).bind(place.kind.as_str()).bind(place.at).bind(place.dim).fetch_one(pool).await?;
    Ok((n, Timestamp(oldest.unwrap_or(0))))
}

/// Cases behind the marks of a place, by assignment.
pub(in crate::ledger) async fn members(
    pool: &Pool,
    kind: Kind,
    at: i64,
    dim: Option<i64>,
    after: Id,
    limit: i64,
) -> LedgerResult<Vec<Member>> {
    let mut query = QueryBuilder::new(
        "SELECT m.assignment_id, m.exact, k.body FROM kpi_mark AS m JOIN kpi_case AS k ON k.assignment_id = m.assignment_id WHERE m.kind = ",
    );
    query.push_bind(kind.as_str()).push(" AND m.at = ").push_bind(at);
    if let Some(dim) = dim {
        query.push(" AND m.dim = ").push_bind(dim);
    }
    query.push(" AND m.assignment_id > ").push_bind(after.0).push(" ORDER BY m.assignment_id LIMIT ").push_bind(limit);
    let found: Vec<(i64, i64, String)> = query.build_query_as().fetch_all(pool).await?;
    Ok(found.into_iter().map(|(id, exact, body)| Member { id: Id(id), exact: Timestamp(exact), body }).collect())
}

/// Assignments behind marks of a kind: chosen by the marks alone, and only then looked at. The place of a mark is the start of
/// the day or hour of its instant, so that both sort alike.
pub(in crate::ledger) async fn behind(pool: &Pool, sought: &Sought) -> LedgerResult<Vec<Behind>> {
    let mut query = QueryBuilder::new("SELECT a.id, a.external_id, ");
    query.push(TICKET).push(
        " AS ticket, d.id AS dim, d.application_id, a.application_name, d.admin_group, d.operation, d.desk, m.exact, k.body
         FROM (SELECT m.assignment_id, m.dim, m.exact FROM kpi_mark AS m JOIN kpi_dim AS d ON d.id = m.dim WHERE m.kind = ",
    );
    query.push_bind(sought.kind.as_str());
    query.push(" AND m.at >= ").push_bind(sought.from.0).push(" AND m.at < ").push_bind(sought.to.0);
    let (order, again, beyond, place) = if sought.latest_first {
        (" ORDER BY m.at DESC, m.exact DESC, m.assignment_id DESC LIMIT ", " DESC, a.id DESC", " < (", " AND m.at <= ")
    } else {
        (" ORDER BY m.at, m.exact, m.assignment_id LIMIT ", ", a.id", " > (", " AND m.at >= ")
    };
    if let Some((exact, id)) = sought.after {
        let span = if matches!(sought.kind, Kind::Closed | Kind::Arrived) { DAY_MS } else { HOUR_MS };
        query.push(place).push_bind(exact.0 - exact.0.rem_euclid(span));
        query.push(" AND (m.exact, m.assignment_id)").push(beyond).push_bind(exact.0).push(", ").push_bind(id.0).push(")");
    }
    push_filter(&mut query, &sought.filter);
    query.push(order).push_bind(sought.limit);
    query.push(
        ") AS m JOIN kpi_dim AS d ON d.id = m.dim JOIN kpi_case AS k ON k.assignment_id = m.assignment_id
         JOIN assignment AS a ON a.id = m.assignment_id ORDER BY m.exact",
    );
    query.push(again);
    let found = query.build().fetch_all(pool).await?;
    found.iter().map(shown).collect()
}

fn shown(row: &Row) -> LedgerResult<Behind> {
    Ok(Behind {
        id: Id(row.try_get("id")?),
        external_id: row.try_get("external_id")?,
        ticket: row.try_get("ticket")?,
        dim: Dim {
            id: row.try_get("dim")?,
            application_id: row.try_get("application_id")?,
            application_name: row.try_get("application_name")?,
            admin_group: row.try_get("admin_group")?,
            operation: row.try_get("operation")?,
            desk: row.try_get("desk")?,
        },
        exact: Timestamp(row.try_get("exact")?),
        body: row.try_get("body")?,
    })
}

/// One assignment as lists of figures show it.
pub(in crate::ledger) async fn named(pool: &Pool, id: Id) -> LedgerResult<Option<Behind>> {
    let mut query = QueryBuilder::new("SELECT a.id, a.external_id, ");
    query.push(TICKET).push(
        " AS ticket, d.id AS dim, d.application_id, a.application_name, d.admin_group, d.operation, d.desk, a.received_at AS exact, k.body
         FROM kpi_case AS k JOIN kpi_dim AS d ON d.id = k.dim JOIN assignment AS a ON a.id = k.assignment_id WHERE k.assignment_id = ",
    );
    query.push_bind(id.0);
    query.build().fetch_optional(pool).await?.as_ref().map(shown).transpose()
}

/// The kept case of one assignment, and by when it was expected.
pub(in crate::ledger) async fn case(pool: &Pool, id: Id) -> LedgerResult<(Option<KeptCase>, Option<Forecast>)> {
    let kept = super::cases(pool, &rows(&[id.0])?).await?.pop().map(|(_, kept)| kept);
    let said: Option<(i64, i64, i64)> = query_as("SELECT made_at, half_by, nine_by FROM kpi_forecast WHERE assignment_id = $1")
        .bind(id.0)
        .fetch_optional(pool)
        .await?;
    let forecast = |(made, half, nine)| Forecast { made_at: Timestamp(made), half_by: Timestamp(half), nine_by: Timestamp(nine) };
    Ok((kept, said.map(forecast)))
}

/// Every calendar that ever counted.
pub(in crate::ledger) async fn calendars(pool: &Pool) -> LedgerResult<Vec<KeptCalendar>> {
    let found: Vec<(String, String, String)> =
        query_as("SELECT version, name, content FROM kpi_calendar ORDER BY version").fetch_all(pool).await?;
    Ok(found.into_iter().map(|(version, name, content)| KeptCalendar { version, name, content }).collect())
}

type Leaver = (i64, i64, Option<i64>, i64, i64, i64, i64);

fn leaver((person, left, ended, orders, waiting, id, dim): Leaver) -> LeaverRow {
    LeaverRow { person, left_at: Timestamp(left), ended_at: ended.map(Timestamp), orders, waiting, id, dim }
}

/// Persons by their digests.
pub(in crate::ledger) async fn leavers(pool: &Pool, persons: &[i64]) -> LedgerResult<Vec<LeaverRow>> {
    let found: Vec<Leaver> = query_as(
        "SELECT person, left_at, ended_at, orders, waiting, assignment_id, dim FROM kpi_leaver
         WHERE person IN (SELECT CAST(value AS BIGINT) FROM json_each($1))",
    )
    .bind(rows(persons)?)
    .fetch_all(pool)
    .await?;
    Ok(found.into_iter().map(leaver).collect())
}

/// Persons whose access ended between two instants.
pub(in crate::ledger) async fn leavers_between(
    pool: &Pool,
    from: Timestamp,
    to: Timestamp,
    dim: Option<i64>,
) -> LedgerResult<Vec<LeaverRow>> {
    let mut query = QueryBuilder::new(
        "SELECT person, left_at, ended_at, orders, waiting, assignment_id, dim FROM kpi_leaver WHERE left_at >= ",
    );
    query.push_bind(from.0).push(" AND left_at < ").push_bind(to.0);
    if let Some(dim) = dim {
        query.push(" AND dim = ").push_bind(dim);
    }
    query.push(" ORDER BY left_at, person");
    let found: Vec<Leaver> = query.build_query_as().fetch_all(pool).await?;
    Ok(found.into_iter().map(leaver).collect())
}

/// What was noted of how far the figures are, and whether sums wait.
pub(in crate::ledger) async fn rolled(pool: &Pool) -> LedgerResult<(Timestamp, bool)> {
    let noted: Option<(String, i64)> =
        query_as("SELECT value, at FROM cursor WHERE name = 'kpi/rolled'").fetch_optional(pool).await?;
    // In the order of the key: PostgreSQL would read a table from its beginning on, and after many sums that is long dead.
    let waiting: Option<(i64,)> =
        query_as("SELECT dim FROM kpi_dirty ORDER BY kind, at, dim LIMIT 1").fetch_optional(pool).await?;
    let (word, at) = noted.unwrap_or_default();
    Ok((Timestamp(at), word != "done" || waiting.is_some()))
}

#[cfg(test)]
mod tests {
    use sqlx::Row as _;

    use super::*;

    #[tokio::test]
    async fn sums_are_looked_up_and_those_of_other_cuts_not_read() {
        let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
        sqlx::raw_sql(include_str!("../../../../migrations/sqlite/0010_kpi.sql")).execute(&pool).await.unwrap();
        let starts = [(Kind::Closed, vec![1, 2]), (Kind::Arrived, Vec::new()), (Kind::Week, vec![3])];
        let query = looked_up(&starts, Some(&[7, 8]), true).unwrap().unwrap();
        let explained = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {}", query.sql()));
        let plan = sqlx::query(explained).fetch_all(&pool).await.unwrap();
        let steps: Vec<String> = plan.iter().map(|row| row.get("detail")).collect();
        let sums: Vec<&String> = steps.iter().filter(|step| step.contains(" c ")).collect();
        assert_eq!(sums, ["SEARCH c USING PRIMARY KEY (kind=? AND at=? AND dim=?)"; 2], "{steps:#?}");

        let values = "('closed', 1, 7), ('closed', 2, 9), ('closed', 3, 7), ('week', 3, 8), ('arrived', 1, 7)";
        let fill = format!(
            "INSERT INTO kpi_cell (kind, at, dim, n, oldest) SELECT column1, column2, column3, 1, 0 FROM (VALUES {values})"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(fill)).execute(&pool).await.unwrap();
        let pool = Pool::Sqlite(pool);
        let found = async |starts: &[Starts], dims: Option<&[i64]>| -> Vec<(&str, i64, i64)> {
            let rows = cells_at(&pool, starts, dims, true).await.unwrap();
            rows.iter().map(|row| (row.place.kind.as_str(), row.place.at, row.place.dim)).collect()
        };
        assert_eq!(found(&starts, Some(&[7, 8])).await, [("closed", 1, 7), ("week", 3, 8)]);
        assert_eq!(found(&starts[..1], None).await, [("closed", 1, 7), ("closed", 2, 9)]);
        assert_eq!((found(&starts[1..2], None).await, found(&starts, Some(&[])).await), (Vec::new(), Vec::new()));
    }
}
