//! A pooler that gives every transaction another connection of the server answers statements with those of others: it is
//! refused. One that gives every client its own (session mode) is fine.

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Executor as _};

use super::Door;
use crate::ledger::{LedgerError, LedgerResult};

/// Connections that each take a server connection out of the pooler's hand: what it holds ready is used up by them.
const LOOKS: usize = 6;

/// As long as a client is connected, its server connection is its own; where another client gets the same one, or the
/// client another one, transactions are pooled.
pub(super) async fn refuse_transaction_pooling(door: &Door, first: &mut PgConnection) -> LedgerResult<()> {
    let own = backend(first).await?;
    let mut held = Vec::with_capacity(LOOKS);
    let mut pooled = false;
    for _ in 0..LOOKS {
        let mut other = door.connection().await?;
        // A transaction keeps what it got until it ends, in every mode.
        // A pooler in statement mode knows no transactions at all.
        let begun = other.execute("BEGIN").await;
        pooled = matches!(begun, Err(sqlx::Error::Database(_))) || (begun.is_ok() && backend(&mut other).await? == own);
        held.push(other);
        begun.map(drop).or_else(|error| if pooled { Ok(()) } else { Err(error) })?;
        if pooled {
            break;
        }
    }
    pooled = pooled || backend(first).await? != own;
    for mut other in held {
        drop(other.execute("ROLLBACK").await);
        drop(other.close().await);
    }
    if pooled {
        return Err(LedgerError::Unfit(format!(
            "{} is a pooler in transaction or statement mode, where answers get mixed up: set pool_mode = session for this database, or \
             name the server itself",
            door.shown()
        )));
    }
    Ok(())
}

/// Which process of the server answers. Asked without a prepared statement: those are what poolers mix up.
async fn backend(connection: &mut PgConnection) -> LedgerResult<i32> {
    use sqlx::Row as _;
    let row = connection.fetch_one("SELECT pg_backend_pid()").await?;
    Ok(row.try_get(0)?)
}
