//! What `doctor` asks the server about.

use sqlx::PgPool;

use super::{LedgerResult, MIGRATIONS, Postgres};
use crate::ledger::newest;

/// The server and the ledger on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspected {
    /// Host, port and database.
    pub place: String,
    /// Version of the server, as it says it.
    pub version: String,
    /// Schema of the ledger; 0: none yet.
    pub schema: i64,
    /// Newest schema this program knows.
    pub known_schema: i64,
    /// Bytes of the database.
    pub bytes: i64,
    /// Setting `fsync`: without it, no commit is on disk.
    pub fsync: String,
    /// Setting `full_page_writes`: without it, a power cut may damage pages.
    pub full_page_writes: String,
    /// Setting `synchronous_commit` as sessions find it; lastmile raises it to `on` for itself.
    pub synchronous_commit: String,
    /// Whether it is a standby.
    pub standby: bool,
    /// Connections to it now, and how many it allows.
    pub connections: (i64, i64),
    /// Age of the oldest transaction that keeps dead rows from being cleared away, seconds.
    pub oldest_transaction_s: i64,
}

impl Postgres {
    pub(in crate::ledger) async fn inspect(&self, readers: &PgPool) -> LedgerResult<Inspected> {
        type Asked = (String, String, String, String, bool, i64, i64, i64, i64);
        let (version, fsync, full_page_writes, synchronous_commit, standby, bytes, open, most, oldest): Asked = sqlx::query_as(
            "SELECT current_setting('server_version'), current_setting('fsync'), current_setting('full_page_writes'),
                    current_setting('synchronous_commit'), pg_is_in_recovery(), pg_database_size(current_database()),
                    (SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
                    CAST(current_setting('max_connections') AS BIGINT),
                    COALESCE((SELECT CAST(EXTRACT(EPOCH FROM MAX(clock_timestamp() - xact_start)) AS BIGINT) FROM pg_stat_activity
                        WHERE datname = current_database() AND pid <> pg_backend_pid()), 0)",
        )
        .fetch_one(readers)
        .await?;
        let (there,): (bool,) = sqlx::query_as("SELECT to_regclass('_sqlx_migrations') IS NOT NULL").fetch_one(readers).await?;
        let schema: Option<i64> =
            if there { sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(readers).await? } else { None };
        Ok(Inspected {
            place: self.door.shown(),
            version,
            schema: schema.unwrap_or(0),
            known_schema: newest(&MIGRATIONS),
            bytes,
            fsync,
            full_page_writes,
            synchronous_commit,
            standby,
            connections: (open, most),
            oldest_transaction_s: oldest,
        })
    }
}
