//! A transaction on SQLite with few hand-overs to the driver's thread: each costs two wake-ups, which is more than most
//! statements take. The beginning goes with the first statement, the commit with the last write.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use sqlx::query::Query as Said;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{AssertSqlSafe, Connection as _, SqlSafeStr as _, SqlStr, Sqlite};

use super::dialect::{Text, cut};
use super::{Arg, Query, Result, rows, sqlite_args, together};

/// The connection that writes.
#[derive(Debug)]
pub(in crate::ledger) struct SqliteTx {
    connection: SqliteConnection,
    /// A transaction was asked for, and nothing was said in it yet.
    begins: bool,
    /// A write whose result nobody waits for.
    last: Option<(Text, Vec<Arg>)>,
}

impl From<SqliteConnection> for SqliteTx {
    fn from(connection: SqliteConnection) -> Self {
        Self { connection, begins: false, last: None }
    }
}

impl SqliteTx {
    pub(super) fn begin(&mut self) {
        (self.begins, self.last) = (true, None);
    }

    /// Carries a write out with the next statement or the commit.
    pub(super) async fn later(&mut self, query: Query) -> Result<()> {
        self.catch_up().await?;
        self.last = Some((query.text, query.args));
        Ok(())
    }

    pub(super) async fn commit(&mut self) -> Result<()> {
        match self.last.take() {
            Some((text, args)) => {
                said(text, args, std::mem::take(&mut self.begins), true)?.execute(&mut self.connection).await.map(drop)
            }
            None if std::mem::take(&mut self.begins) => Ok(()),
            None => self.say("COMMIT").await,
        }
    }

    pub(super) async fn rollback(&mut self) -> Result<()> {
        self.last = None;
        if std::mem::take(&mut self.begins) { Ok(()) } else { self.say("ROLLBACK").await }
    }

    /// The connection for a statement, and the statement as it is to be said.
    pub(super) async fn saying(&mut self, text: Text) -> Result<(&mut SqliteConnection, SqlStr)> {
        self.catch_up().await?;
        Ok((&mut self.connection, framed(text, std::mem::take(&mut self.begins), false)))
    }

    /// A write whose number of rows counts: the driver adds up those of all statements of a text, and what was there before a
    /// `BEGIN` for that.
    pub(super) async fn counting(&mut self, text: Text, args: Vec<Arg>) -> Result<u64> {
        self.catch_up().await?;
        if std::mem::take(&mut self.begins) {
            self.say("BEGIN IMMEDIATE").await?;
        }
        Ok(said(text, args, false, false)?.execute(&mut self.connection).await?.rows_affected())
    }

    async fn catch_up(&mut self) -> Result<()> {
        let Some((text, args)) = self.last.take() else { return Ok(()) };
        said(text, args, std::mem::take(&mut self.begins), false)?.execute(&mut self.connection).await.map(drop)
    }

    async fn say(&mut self, text: &'static str) -> Result<()> {
        sqlx::query(text).execute(&mut self.connection).await.map(drop)
    }

    /// Outside of transactions.
    pub(in crate::ledger) fn connection(&mut self) -> &mut SqliteConnection {
        &mut self.connection
    }

    pub(super) async fn close(self) -> Result<()> {
        self.connection.close().await
    }
}

type Framed = HashMap<(&'static str, bool, bool), Arc<str>>;

/// A write as it is said, with its values.
fn said(text: Text, args: Vec<Arg>, begins: bool, commits: bool) -> Result<Said<'static, Sqlite, SqliteArguments>> {
    match text {
        Text::Fixed(fixed) if args.iter().any(|arg| matches!(arg, Arg::Rows(_))) => {
            rows::for_sqlite(fixed, args, frame(begins, commits))
        }
        text => Ok(sqlx::query_with(framed(text, begins, commits), sqlite_args(args)?)),
    }
}

/// What goes before and after.
fn frame(begins: bool, commits: bool) -> (&'static str, &'static str) {
    (if begins { "BEGIN IMMEDIATE; " } else { "" }, if commits { "; COMMIT" } else { "" })
}

/// A write that fails ends its transaction ([`SqliteTx::rollback`]): SQLite need not note how to undo it alone.
pub(super) fn failing(text: &str) -> String {
    let told = |statement: &str| {
        let main = together::main(statement);
        let list = &statement[..statement.len() - main.len()];
        let or_fail = |verb: &str, said: &str| main.strip_prefix(verb).map(|rest| format!("{list}{said}{rest}"));
        or_fail("INSERT INTO ", "INSERT OR FAIL INTO ")
            .or_else(|| or_fail("UPDATE ", "UPDATE OR FAIL "))
            .unwrap_or_else(|| statement.to_owned())
    };
    cut(text).map(told).collect::<Vec<_>>().join("; ")
}

/// Texts of the program with what goes before and after, made once: the driver keeps prepared statements by their text.
static FRAMED: LazyLock<RwLock<Framed>> = LazyLock::new(RwLock::default);

fn framed(text: Text, begins: bool, commits: bool) -> SqlStr {
    let with_frame = |text: &str| {
        let (before, after) = frame(begins, commits);
        format!("{before}{}{after}", failing(text))
    };
    let fixed = match text {
        Text::Fixed(fixed) => fixed,
        Text::Made(made) => return AssertSqlSafe(with_frame(&made)).into_sql_str(),
    };
    let place = (fixed, begins, commits);
    if let Some(known) = FRAMED.read().unwrap_or_else(PoisonError::into_inner).get(&place) {
        return AssertSqlSafe(Arc::clone(known)).into_sql_str();
    }
    let made: Arc<str> = with_frame(fixed).into();
    FRAMED.write().unwrap_or_else(PoisonError::into_inner).insert(place, Arc::clone(&made));
    AssertSqlSafe(made).into_sql_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_say_that_they_end_their_transaction_when_they_fail() {
        assert_eq!(
            failing(
                "INSERT INTO a (x) VALUES ('UPDATE b; INSERT INTO c'); WITH j AS (SELECT 1) UPDATE b SET x = 1 FROM j; DELETE FROM c;"
            ),
            "INSERT OR FAIL INTO a (x) VALUES ('UPDATE b; INSERT INTO c'); WITH j AS (SELECT 1) UPDATE OR FAIL b SET x = 1 FROM j; DELETE FROM c"
        );
        for kept in
            ["SELECT 1", "INSERT OR IGNORE INTO a VALUES (1)", "WITH j AS (SELECT 1) SELECT * FROM j", "PRAGMA user_version"]
        {
            assert_eq!(failing(kept), kept);
        }
    }
}
