//! What PostgreSQL's planner believes of tables that grow fast. A statement is planned once; one that was planned over a table
//! of a few rows reads the whole of it ever after, until the server looks at that table again, which it does once a minute at
//! best: at hundreds of orders a second that is a table of tens of thousands.

use super::super::LedgerResult;
use crate::ledger::engine::{Pool, query, query_as};

/// Tables twice as long as the planner knows, and not short. `relpages` is from the last look at them.
const GROWN: &str = "/* look */ SELECT format('%I', relname) FROM pg_class
    WHERE relnamespace = CAST(current_schema() AS regnamespace) AND relkind = 'r'
        AND pg_relation_size(oid) > (2 * relpages + 10) * CAST(current_setting('block_size') AS BIGINT)";

/// What is done about it.
#[derive(Debug, Default)]
pub(in crate::ledger) struct Statistics {
    /// One does: of a long table it takes seconds, and a connection.
    turn: tokio::sync::Mutex<()>,
}

impl Statistics {
    /// Has the server look at tables that have grown, so that statements about them are planned anew.
    pub(in crate::ledger) async fn renew(&self, pool: &Pool) -> LedgerResult<()> {
        let Ok(_turn) = self.turn.try_lock() else { return Ok(()) };
        let grown: Vec<(String,)> = query_as(GROWN).fetch_all(pool).await?;
        for (table,) in grown {
            query(format!("/* look */ ANALYZE (SKIP_LOCKED) {table}")).execute(pool).await?;
        }
        Ok(())
    }
}
