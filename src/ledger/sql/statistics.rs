//! What PostgreSQL's planner believes of tables that grow fast. A statement is planned once; one that was planned over a table
//! of a few rows reads the whole of it ever after, until the server looks at that table again, which it does once a minute at
//! best: at hundreds of orders a second that is a table of tens of thousands.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::super::LedgerResult;
use crate::ledger::engine::{Pool, query, query_as};

/// Tables twice as long as the planner knows, and not short. `relpages` is from the last look at them.
const GROWN: &str = "/* look */ SELECT format('%I', relname) FROM pg_class
    WHERE relnamespace = CAST(current_schema() AS regnamespace) AND relkind = 'r' AND pg_has_role(relowner, 'USAGE')
        AND pg_relation_size(oid) > (2 * relpages + 10) * CAST(current_setting('block_size') AS BIGINT)";

/// A table is not looked at again so soon, whatever came of it.
const AGAIN: Duration = Duration::from_secs(5);

/// What is done about it.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Statistics {
    /// When which were looked at. One does: of a long table it takes seconds, and a connection.
    turn: tokio::sync::Mutex<HashMap<String, Instant>>,
}

impl Statistics {
    /// Has the server look at tables that have grown, so that statements about them are planned anew.
    pub(in crate::ledger) async fn renew(&self, pool: &Pool) -> LedgerResult<()> {
        let Ok(mut looked) = self.turn.try_lock() else { return Ok(()) };
        looked.retain(|_, at| at.elapsed() < AGAIN);
        let grown: Vec<(String,)> = query_as(GROWN).fetch_all(pool).await?;
        let mut failed = None;
        for (table,) in grown {
            if looked.contains_key(&table) {
                continue;
            }
            // One that cannot be looked at keeps nobody from the others.
            failed = query(format!("/* look */ ANALYZE (SKIP_LOCKED) {table}")).execute(pool).await.err().or(failed);
            looked.insert(table, Instant::now());
        }
        failed.map_or(Ok(()), |error| Err(error.into()))
    }
}
