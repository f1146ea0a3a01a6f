//! Rows made of others, in the server.

use sqlx::{AssertSqlSafe, Executor as _, PgConnection};

use crate::million::Copied;

const HOUR_MS: i64 = 3_600_000;

/// `times - 1` copies of every row of one table, an hour earlier each time.
pub async fn copy_table(
    connection: &mut PgConnection,
    (table, ids, instants, unique): Copied,
    times: i64,
    day_ago: i64,
) -> anyhow::Result<()> {
    let asked =
        "SELECT CAST(column_name AS TEXT) FROM information_schema.columns WHERE table_name = $1 ORDER BY ordinal_position";
    let columns: Vec<(String,)> = sqlx::query_as(asked).bind(table).fetch_all(&mut *connection).await?;
    let picked: Vec<String> = columns
        .iter()
        .map(|(c,)| match c.as_str() {
            // 22 bits of an id differ within a millisecond.
            c if ids.contains(&c) => format!("{c} - n.k * {}", HOUR_MS << 22),
            c if instants.contains(&c) => format!("{c} - n.k * {HOUR_MS}"),
            c if unique.contains(&c) => format!("{c} || '-' || n.k"),
            "checked_at" => day_ago.to_string(),
            c => c.to_owned(),
        })
        .collect();
    let names: Vec<&str> = columns.iter().map(|(c,)| c.as_str()).collect();
    let text = format!(
        "INSERT INTO {table} ({}) SELECT {} FROM generate_series(1::bigint, {}) AS n (k), {table}",
        names.join(", "),
        picked.join(", "),
        times - 1
    );
    connection.execute(AssertSqlSafe(text)).await?;
    Ok(())
}

/// Until the server has nothing left to write and to learn of what was made.
pub async fn at_rest(connection: &mut PgConnection) -> anyhow::Result<()> {
    connection.execute("VACUUM ANALYZE").await?;
    connection.execute("CHECKPOINT").await?;
    Ok(())
}
