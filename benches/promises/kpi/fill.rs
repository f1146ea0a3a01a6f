//! A ledger whose past is a thousand orders and copies of their rows, a tenth of them open.

use std::collections::HashSet;

use lastmile::ledger::{Ledger, Mode, Past, SqlLedger};
use lastmile::model::clock::SystemClock;
use lastmile::model::{Clock, Person};
use lastmile::sandbox::history;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Executor as _};

use crate::engine::{Engine, Store};
use crate::million::{Copied, copy_table};
use crate::postgres::orders::made_up;
use crate::postgres::rows;

/// Orders of the past that are loaded; all others are copies of their rows.
pub const REAL: usize = 1_000;
/// People who close tickets, in every group.
const CLOSERS: usize = 12;

const OPENED: &str = "CREATE TEMP TABLE opened AS SELECT id, ticket_id FROM assignment WHERE (id / 1024) % 10 = 0;
    UPDATE assignment SET state = 'open', closed_at = NULL, reported_at = NULL, outcome = NULL WHERE id IN (SELECT id FROM opened);
    UPDATE ticket SET state = 'open', closed_at = NULL, closed_by = NULL, outcome = NULL WHERE id IN (SELECT ticket_id FROM opened);
    DELETE FROM journal WHERE event IN ('closed', 'reported') AND assignment_id IN (SELECT id FROM opened);
    UPDATE assignment SET chain_seq = (SELECT MAX(seq) FROM journal WHERE assignment_id = assignment.id);";

const INSTANTS: [&str; 10] = [
    "received_at",
    "lane_at",
    "filed_at",
    "approved_at",
    "requested_at",
    "eligible_at",
    "due_at",
    "closed_at",
    "reported_at",
    "first_work_at",
];

/// What an assignment of the past consists of, as far as pages of figures look.
const TABLES: [Copied; 4] = [
    ("assignment", &["id", "document_id", "ticket_id"], &INSTANTS, &["natural_key", "external_id", "lane", "beneficiary"]),
    ("journal", &["assignment_id"], &["happened_at", "seen_at"], &[]),
    ("ticket", &["id"], &["planned_at", "filed_at", "first_work_at", "closed_at"], &["key", "ref_id", "ref_number"]),
    ("ticket_item", &["ticket_id", "assignment_id"], &[], &[]),
];

/// Fills an empty ledger: so many times [`REAL`].
pub async fn fill(store: &Store<'_>, times: i64) -> anyhow::Result<()> {
    let ledger = SqlLedger::open(&store.url, "bench", Mode::Serve).await?;
    for part in past()?.chunks(100) {
        ledger.load_history(part.to_vec()).await?;
    }
    ledger.close().await;
    match store.engine {
        Engine::Sqlite => {
            let options: SqliteConnectOptions = store.url.parse()?;
            // Straight into the file: a log of it would be larger than what it is of.
            let quick = options.journal_mode(SqliteJournalMode::Off).synchronous(SqliteSynchronous::Off);
            let mut connection = quick.pragma("cache_size", "-1000000").connect().await?;
            sqlx::raw_sql(OPENED).execute(&mut connection).await?;
            let mut tx = connection.begin().await?;
            for table in TABLES {
                copy_table(&mut tx, table, times, 0).await?;
            }
            tx.commit().await?;
            connection.close().await?;
        }
        Engine::Postgres(server) => {
            let mut connection = server.connect(&store.name).await?;
            connection.execute(OPENED).await?;
            for table in TABLES {
                rows::copy_table(&mut connection, table, times, 0).await?;
            }
            rows::at_rest(&mut connection).await?;
            connection.close().await?;
        }
    }
    Ok(())
}

fn past() -> anyhow::Result<Vec<Past>> {
    let told = history::history(3, SystemClock.now(), 12, 40).map_err(anyhow::Error::msg)?;
    let mut places = HashSet::new();
    let past = told.into_iter().enumerate().filter_map(made_up::closed);
    // Copies lie whole hours apart: no two may meet.
    let apart = past.filter(|p| places.insert(p.received_at.0.rem_euclid(3_600_000)));
    let closer = |n: usize| Some(Person { id: format!("admin-{}", n % CLOSERS), name: None, email: None });
    let past: Vec<Past> = apart.take(REAL).enumerate().map(|(n, p)| Past { closed_by: closer(n), ..p }).collect();
    anyhow::ensure!(past.len() == REAL, "too little history");
    Ok(past)
}
