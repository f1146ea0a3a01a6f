//! One SQL text on either engine, chosen at run time: the few types of the driver that transactions touch.
//!
//! Texts are written for SQLite, in the part of the language that PostgreSQL understands too; what PostgreSQL names
//! differently, [`dialect`] turns. Several statements in one text are allowed: there they run one after the other, or
//! [`together`], which comes to the same.

mod builder;
mod dialect;
mod patience;
mod rows;
mod sqlite_tx;
mod together;

use std::marker::PhantomData;
use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use sqlx::postgres::{PgArguments, PgConnection, PgPool, PgRow};
use sqlx::sqlite::{SqliteArguments, SqlitePool, SqliteRow};
use sqlx::{Arguments as _, AssertSqlSafe, ColumnIndex, Connection as _, Decode, FromRow, Postgres, Row as _, Sqlite, Type};

pub(in crate::ledger) use builder::QueryBuilder;
use dialect::{Statement, Take, Text};
use patience::ANSWERS_WITHIN;
pub(in crate::ledger) use patience::{in_time, silent};
pub(in crate::ledger) use rows::Rows;
#[cfg(test)]
pub(in crate::ledger) use rows::room_for;
use sqlite_tx::SqliteTx;

use crate::model::Timestamp;

type Result<T> = std::result::Result<T, sqlx::Error>;

/// What a transaction sees of those beside it, on PostgreSQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ledger) enum Sees {
    /// One state of the ledger. What another process changed meanwhile makes it fail as a conflict, never overwrite.
    OneState,
    /// With each statement what is committed by then. Those who claim from one queue pass by what others have just claimed
    /// instead of failing for it; two writers of one chain still meet at the journal's key.
    Latest,
}

impl Sees {
    fn begin(self) -> &'static str {
        match self {
            Self::OneState => "BEGIN ISOLATION LEVEL REPEATABLE READ",
            Self::Latest => "BEGIN ISOLATION LEVEL READ COMMITTED",
        }
    }
}

/// A connection that writes.
#[derive(Debug)]
pub(in crate::ledger) enum Conn {
    Sqlite(SqliteTx),
    /// And the earliest time at which something falls due that its transaction has written.
    Postgres(PgConnection, Option<Timestamp>),
}

impl Conn {
    /// Begins a transaction. SQLite's writer is alone, and sees one state in any case.
    pub(in crate::ledger) async fn begin(&mut self, sees: Sees) -> Result<()> {
        match self {
            Self::Sqlite(tx) => {
                tx.begin();
                Ok(())
            }
            Self::Postgres(c, due) => {
                *due = None;
                say(c, sees.begin()).await
            }
        }
    }

    /// What is written is to be claimed from this time on, which may have passed: whoever gives a row its time says so here,
    /// since claims on PostgreSQL look from a time on.
    pub(in crate::ledger) fn falls_due(&mut self, at: Timestamp) {
        if let Self::Postgres(_, due) = self {
            *due = Some(due.map_or(at, |due| due.min(at)));
        }
    }

    /// The earliest that this transaction was told.
    pub(in crate::ledger) fn due(&self) -> Option<Timestamp> {
        if let Self::Postgres(_, due) = self { *due } else { None }
    }

    pub(in crate::ledger) async fn commit(&mut self) -> Result<()> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(c, _) => say(c, "COMMIT").await,
        }
    }

    pub(in crate::ledger) async fn rollback(&mut self) -> Result<()> {
        match self {
            Self::Sqlite(tx) => tx.rollback().await,
            Self::Postgres(c, _) => say(c, "ROLLBACK").await,
        }
    }

    pub(in crate::ledger) async fn close(self) -> Result<()> {
        match self {
            Self::Sqlite(tx) => tx.close().await,
            Self::Postgres(c, _) => c.close().await,
        }
    }
}

async fn say(connection: &mut PgConnection, text: &'static str) -> Result<()> {
    sqlx::query(text).execute(connection).await.map(drop)
}

/// Connections that read.
#[derive(Debug, Clone)]
pub(in crate::ledger) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Pool {
    pub(in crate::ledger) async fn close(&self) {
        match self {
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

/// Where a query runs.
pub(in crate::ledger) enum Target<'e> {
    SqliteConn(&'e mut SqliteTx),
    SqlitePool(&'e SqlitePool),
    PostgresConn(&'e mut PgConnection),
    PostgresPool(&'e PgPool),
}

impl<'e> From<&'e mut Conn> for Target<'e> {
    fn from(conn: &'e mut Conn) -> Self {
        match conn {
            Conn::Sqlite(c) => Self::SqliteConn(c),
            Conn::Postgres(c, _) => Self::PostgresConn(c),
        }
    }
}

impl<'e> From<&'e Pool> for Target<'e> {
    fn from(pool: &'e Pool) -> Self {
        match pool {
            Pool::Sqlite(p) => Self::SqlitePool(p),
            Pool::Postgres(p) => Self::PostgresPool(p),
        }
    }
}

/// A bound value: the ledger stores whole numbers and texts only.
#[derive(Debug, Clone)]
pub(in crate::ledger) enum Arg {
    Int(Option<i64>),
    Text(Option<String>),
    /// Many of them, to be inserted.
    Rows(Rows),
}

impl Arg {
    /// Rows of which there are none, bound or in a document.
    fn is_no_rows(&self) -> bool {
        match self {
            Self::Rows(rows) => rows.len() == 0,
            Self::Text(Some(rows)) => rows == dialect::NO_ROWS,
            _ => false,
        }
    }
}

macro_rules! args {
    ($($from:ty => |$value:ident| $arg:expr;)*) => {
        $(impl From<$from> for Arg {
            fn from($value: $from) -> Self {
                $arg
            }
        })*
    };
}

args! {
    i64 => |n| Self::Int(Some(n));
    &i64 => |n| Self::Int(Some(*n));
    i32 => |n| Self::Int(Some(i64::from(n)));
    Option<i64> => |n| Self::Int(n);
    &str => |t| Self::Text(Some(t.to_owned()));
    &&str => |t| Self::Text(Some((*t).to_owned()));
    String => |t| Self::Text(Some(t));
    &String => |t| Self::Text(Some(t.clone()));
    Option<String> => |t| Self::Text(t);
    &Option<String> => |t| Self::Text(t.clone());
    Option<&str> => |t| Self::Text(t.map(str::to_owned));
    Option<&String> => |t| Self::Text(t.cloned());
}

fn sqlite_args(args: Vec<Arg>) -> Result<SqliteArguments> {
    let mut out = SqliteArguments::default();
    for arg in args {
        rows::add(&mut out, arg)?;
    }
    Ok(out)
}

/// A statement and the values it takes.
fn postgres_query(statement: &Statement, args: &[Arg]) -> Result<(AssertSqlSafe<Arc<str>>, PgArguments)> {
    let mut out = PgArguments::default();
    for take in statement.takes.iter() {
        let (Take::Value(place) | Take::Column(place, ..)) = take;
        match (args.get(*place), take) {
            (Some(Arg::Int(n)), _) => out.add(*n).map_err(sqlx::Error::Encode)?,
            (Some(Arg::Text(t)), _) => out.add(t.as_deref().map(dialect::without_nul)).map_err(sqlx::Error::Encode)?,
            (Some(Arg::Rows(rows)), Take::Column(_, kind, column)) => rows.add_column(&mut out, *kind, *column)?,
            _ => return Err(sqlx::Error::Protocol(format!("value {} of a statement is missing", place + 1))),
        }
    }
    Ok((AssertSqlSafe(Arc::clone(&statement.text)), out))
}

/// What a statement did.
#[derive(Debug, Clone, Copy)]
pub(in crate::ledger) struct Done(u64);

impl Done {
    /// Of the last statement of the text.
    pub(in crate::ledger) fn rows_affected(self) -> u64 {
        self.0
    }
}

/// A type that rows of both engines become.
pub(in crate::ledger) trait Shape:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}
impl<T> Shape for T where T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin {}

/// A value that columns of both engines hold.
pub(in crate::ledger) trait Value<'r>:
    Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres>
{
}
impl<'r, T> Value<'r> for T where T: Decode<'r, Sqlite> + Type<Sqlite> + Decode<'r, Postgres> + Type<Postgres> {}

/// A row as the driver gives it.
#[derive(Debug)]
pub(in crate::ledger) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub(in crate::ledger) fn try_get<'r, T, I>(&'r self, column: I) -> Result<T>
    where
        T: Value<'r>,
        I: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>,
    {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }
}

/// A statement with its values.
#[derive(Debug)]
pub(in crate::ledger) struct Query {
    text: Text,
    args: Vec<Arg>,
}

/// A statement whose rows become `T`.
pub(in crate::ledger) struct QueryAs<T>(Query, PhantomData<fn() -> T>);

/// A statement whose first column becomes `T`.
pub(in crate::ledger) struct QueryScalar<T>(Query, PhantomData<fn() -> T>);

/// A statement for its effect, or for rows as they are. Values are bound in the order of `$1`, `$2`.
pub(in crate::ledger) fn query(text: impl Into<Text>) -> Query {
    Query { text: text.into(), args: Vec::new() }
}

/// A statement whose rows become tuples or structs.
pub(in crate::ledger) fn query_as<T>(text: impl Into<Text>) -> QueryAs<T> {
    QueryAs(query(text), PhantomData)
}

/// A statement with one column.
pub(in crate::ledger) fn query_scalar<T>(text: impl Into<Text>) -> QueryScalar<T> {
    QueryScalar(query(text), PhantomData)
}

/// Carries a text out; what is handed back is of its last statement.
async fn all(conn: &mut PgConnection, query: Query) -> Result<u64> {
    let turned = query.text.postgres();
    let mut rows = 0;
    for statement in turned.said(&query.args, false).iter() {
        let (text, args) = postgres_query(statement, &query.args)?;
        rows = sqlx::query_with(text, args).execute(&mut *conn).await?.rows_affected();
    }
    Ok(if turned.last_is_idle(&query.args) { 0 } else { rows })
}

/// Statements of a text but the last are carried out at once; the last is handed back with its values.
async fn all_but_last(conn: &mut PgConnection, query: Query) -> Result<(AssertSqlSafe<Arc<str>>, PgArguments)> {
    let said = query.text.postgres().said(&query.args, true);
    let Some((last, before)) = said.split_last() else { return Err(empty()) };
    for statement in before {
        let (text, args) = postgres_query(statement, &query.args)?;
        sqlx::query_with(text, args).execute(&mut *conn).await?;
    }
    postgres_query(last, &query.args)
}

/// A reader's text is one statement.
fn only(query: Query) -> Result<(AssertSqlSafe<Arc<str>>, PgArguments)> {
    postgres_query(query.text.postgres().last().ok_or_else(empty)?, &query.args)
}

fn empty() -> sqlx::Error {
    sqlx::Error::Protocol("an empty statement".to_owned())
}

impl Query {
    pub(in crate::ledger) fn bind(mut self, value: impl Into<Arg>) -> Self {
        self.args.push(value.into());
        self
    }

    pub(in crate::ledger) async fn execute<'e>(self, on: impl Into<Target<'e>>) -> Result<Done> {
        Ok(Done(match on.into() {
            Target::SqliteConn(tx) => tx.counting(self.text, self.args).await?,
            Target::SqlitePool(p) => {
                sqlx::query_with(self.text.sqlite(), sqlite_args(self.args)?).execute(p).await?.rows_affected()
            }
            Target::PostgresConn(c) => all(c, self).await?,
            Target::PostgresPool(p) => {
                let (text, args) = only(self)?;
                in_time!(p, ANSWERS_WITHIN, |c| sqlx::query_with(text, args).execute(c))?.rows_affected()
            }
        }))
    }

    /// For its effect, which nothing of the same transaction looks at before its next statement: it may be carried out with
    /// that, or with the commit, and what goes wrong is told there.
    pub(in crate::ledger) async fn execute_later(self, on: &mut Conn) -> Result<()> {
        match on {
            Conn::Sqlite(tx) => tx.later(self).await,
            Conn::Postgres(..) => self.execute(on).await.map(drop),
        }
    }

    /// Row by row, from readers.
    pub(in crate::ledger) fn fetch(self, pool: &Pool) -> BoxStream<'_, Result<Row>> {
        match pool {
            Pool::Sqlite(p) => match sqlite_args(self.args) {
                Ok(args) => sqlx::query_with(self.text.sqlite(), args).fetch(p).map_ok(Row::Sqlite).boxed(),
                Err(error) => futures_util::stream::once(async { Err(error) }).boxed(),
            },
            Pool::Postgres(p) => match only(self) {
                Ok((text, args)) => unsilent(sqlx::query_with(text, args).fetch(p).map_ok(Row::Postgres).boxed()),
                Err(error) => futures_util::stream::once(async { Err(error) }).boxed(),
            },
        }
    }

    pub(in crate::ledger) async fn fetch_all(self, pool: &Pool) -> Result<Vec<Row>> {
        let Pool::Postgres(p) = pool else { return self.fetch(pool).try_collect().await };
        let (text, args) = only(self)?;
        let rows = in_time!(p, ANSWERS_WITHIN, |c| sqlx::query_with(text, args).fetch_all(c))?;
        Ok(rows.into_iter().map(Row::Postgres).collect())
    }

    pub(in crate::ledger) async fn fetch_optional(self, pool: &Pool) -> Result<Option<Row>> {
        let Pool::Postgres(p) = pool else { return self.fetch(pool).try_next().await };
        let (text, args) = only(self)?;
        Ok(in_time!(p, ANSWERS_WITHIN, |c| sqlx::query_with(text, args).fetch_optional(c))?.map(Row::Postgres))
    }
}

/// Rows that end with an error where the next one does not come.
fn unsilent<'a>(rows: BoxStream<'a, Result<Row>>) -> BoxStream<'a, Result<Row>> {
    futures_util::stream::unfold(Some(rows), |rows: Option<BoxStream<'a, Result<Row>>>| async move {
        let mut rows = rows?;
        match tokio::time::timeout(ANSWERS_WITHIN, rows.next()).await {
            Ok(row) => Some((row?, Some(rows))),
            Err(_) => Some((Err(silent()), None)),
        }
    })
    .boxed()
}

impl<T: Shape> QueryAs<T> {
    pub(in crate::ledger) fn bind(self, value: impl Into<Arg>) -> Self {
        Self(self.0.bind(value), PhantomData)
    }

    pub(in crate::ledger) async fn fetch_all<'e>(self, on: impl Into<Target<'e>>) -> Result<Vec<T>> {
        let query = self.0;
        match on.into() {
            Target::SqliteConn(tx) => {
                let (c, text) = tx.saying(query.text).await?;
                sqlx::query_as_with(text, sqlite_args(query.args)?).fetch_all(c).await
            }
            Target::SqlitePool(p) => sqlx::query_as_with(query.text.sqlite(), sqlite_args(query.args)?).fetch_all(p).await,
            Target::PostgresConn(c) => {
                let (text, args) = all_but_last(c, query).await?;
                sqlx::query_as_with(text, args).fetch_all(c).await
            }
            Target::PostgresPool(p) => {
                let (text, args) = only(query)?;
                in_time!(p, ANSWERS_WITHIN, |c| sqlx::query_as_with(text, args).fetch_all(c))
            }
        }
    }

    pub(in crate::ledger) async fn fetch_optional<'e>(self, on: impl Into<Target<'e>>) -> Result<Option<T>> {
        let query = self.0;
        match on.into() {
            Target::SqliteConn(tx) => {
                let (c, text) = tx.saying(query.text).await?;
                sqlx::query_as_with(text, sqlite_args(query.args)?).fetch_optional(c).await
            }
            Target::SqlitePool(p) => sqlx::query_as_with(query.text.sqlite(), sqlite_args(query.args)?).fetch_optional(p).await,
            Target::PostgresConn(c) => {
                let (text, args) = all_but_last(c, query).await?;
                sqlx::query_as_with(text, args).fetch_optional(c).await
            }
            Target::PostgresPool(p) => {
                let (text, args) = only(query)?;
                in_time!(p, ANSWERS_WITHIN, |c| sqlx::query_as_with(text, args).fetch_optional(c))
            }
        }
    }

    pub(in crate::ledger) async fn fetch_one<'e>(self, on: impl Into<Target<'e>>) -> Result<T> {
        self.fetch_optional(on).await?.ok_or(sqlx::Error::RowNotFound)
    }
}

impl<T: for<'r> Value<'r> + Send + Unpin> QueryScalar<T>
where
    (T,): Shape,
{
    pub(in crate::ledger) fn bind(self, value: impl Into<Arg>) -> Self {
        Self(self.0.bind(value), PhantomData)
    }

    fn rows(self) -> QueryAs<(T,)> {
        QueryAs(self.0, PhantomData)
    }

    pub(in crate::ledger) async fn fetch_all<'e>(self, on: impl Into<Target<'e>>) -> Result<Vec<T>> {
        Ok(self.rows().fetch_all(on).await?.into_iter().map(|(value,)| value).collect())
    }

    pub(in crate::ledger) async fn fetch_optional<'e>(self, on: impl Into<Target<'e>>) -> Result<Option<T>> {
        Ok(self.rows().fetch_optional(on).await?.map(|(value,)| value))
    }

    pub(in crate::ledger) async fn fetch_one<'e>(self, on: impl Into<Target<'e>>) -> Result<T> {
        self.fetch_optional(on).await?.ok_or(sqlx::Error::RowNotFound)
    }
}
