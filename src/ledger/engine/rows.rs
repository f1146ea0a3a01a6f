//! Rows that are inserted as they are. A text says where: `INSERT INTO t (a, b) ROWS $2 (int, text)`. On SQLite each value is
//! bound, which costs a fraction of taking it out of a document; on PostgreSQL each column is an array.
//!
//! A text with bound rows is another one for each number of rows, and the driver keeps prepared statements by their text. So
//! the numbers are rounded up, and what is too many is filled with nothing and passed by.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use sqlx::postgres::PgArguments;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, SqlSafeStr as _, SqlStr};

use super::dialect::{cut, with_numbers};
use super::sqlite_tx::failing;
use super::{Arg, Result};

/// Rows of one width. The first value of each is never null.
#[derive(Debug, Clone, Default)]
pub(in crate::ledger) struct Rows {
    width: usize,
    values: Vec<Arg>,
}

impl<const WIDTH: usize> FromIterator<[Arg; WIDTH]> for Rows {
    fn from_iter<I: IntoIterator<Item = [Arg; WIDTH]>>(rows: I) -> Self {
        Self { width: WIDTH, values: rows.into_iter().flatten().collect() }
    }
}

impl From<Rows> for Arg {
    fn from(rows: Rows) -> Self {
        Self::Rows(rows)
    }
}

impl Rows {
    /// How many.
    pub(super) fn len(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// Adds a column to what PostgreSQL is told: its texts hold no NUL; what is written as an escape is none.
    pub(super) fn add_column(&self, out: &mut PgArguments, kind: Kind, at: usize) -> Result<()> {
        let column = self.values.iter().skip(at).step_by(self.width.max(1));
        match kind {
            Kind::Text => {
                let text =
                    |value: &Arg| if let Arg::Text(Some(text)) = value { Some(text.replace('\0', "\u{fffd}")) } else { None };
                out.add(column.map(text).collect::<Vec<Option<String>>>())
            }
            Kind::Int => {
                let number = |value: &Arg| if let Arg::Int(number) = value { *number } else { None };
                out.add(column.map(number).collect::<Vec<Option<i64>>>())
            }
        }
        .map_err(sqlx::Error::Encode)
    }
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int,
    Text,
}

impl Kind {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Text => "text",
        }
    }
}

/// Where rows stand in a statement.
pub(super) struct Placed<'t> {
    pub(super) before: &'t str,
    /// Place of the value that holds them.
    pub(super) place: usize,
    pub(super) kinds: Vec<Kind>,
    pub(super) after: &'t str,
}

impl Placed<'_> {
    /// The statement for PostgreSQL: `$2.int0` is the first column of the rows that the second value is.
    pub(super) fn as_columns(&self) -> String {
        let number = self.place + 1;
        let array = |(n, kind): (usize, &Kind)| {
            let of = if *kind == Kind::Int { "BIGINT" } else { "TEXT" };
            format!("CAST(${number}.{}{n} AS {of}[])", kind.word())
        };
        let arrays: Vec<String> = self.kinds.iter().enumerate().map(array).collect();
        format!("{} SELECT * FROM unnest({}){}", self.before, arrays.join(", "), self.after)
    }
}

/// Finds the rows of a statement; one has them once.
pub(super) fn placed(statement: &str) -> Option<Placed<'_>> {
    const MARK: &str = " ROWS $";
    let (before, rest) = statement.split_once(MARK)?;
    let (number, rest) = rest.split_once(" (")?;
    let (kinds, after) = rest.split_once(')')?;
    let kind = |word: &str| if word.trim() == "int" { Kind::Int } else { Kind::Text };
    Some(Placed {
        before,
        place: number.parse::<usize>().ok()?.checked_sub(1)?,
        kinds: kinds.split(',').map(kind).collect(),
        after,
    })
}

/// Rows of one statement; more make another of the same words.
const MOST: usize = 256;

/// Numbers of rows that have a text.
const SIZES: [usize; 16] = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, MOST];

/// So many statements of how many rows.
fn sizes(mut rows: usize) -> Vec<usize> {
    let mut out = vec![MOST; rows / MOST];
    rows %= MOST;
    out.extend(SIZES.into_iter().find(|size| *size >= rows).filter(|_| rows > 0));
    out
}

/// A text as SQLite is told it, and where its values come from.
#[derive(Debug)]
struct Spread {
    text: Arc<str>,
    /// Values that hold rows, in the order of the text, and how many rows there is room for.
    rows: Vec<(usize, usize)>,
}

type Shape = (&'static str, &'static str, &'static str, Vec<usize>);

static SPREAD: LazyLock<RwLock<HashMap<Shape, Arc<Spread>>>> = LazyLock::new(RwLock::default);

/// A text that holds rows, with what goes before and after it, and its values.
pub(super) fn for_sqlite(
    text: &'static str,
    args: Vec<Arg>,
    frame: (&'static str, &'static str),
) -> Result<(SqlStr, SqliteArguments)> {
    let room = |arg: &Arg| if let Arg::Rows(rows) = arg { Some(sizes(rows.len()).into_iter().sum()) } else { None };
    let shape = (text, frame.0, frame.1, args.iter().filter_map(room).collect());
    let known = SPREAD.read().unwrap_or_else(PoisonError::into_inner).get(&shape).cloned();
    let spread = known.unwrap_or_else(|| {
        let made = Arc::new(spread(text, &args, frame));
        // What is that large is rare, and not kept.
        if shape.3.iter().all(|rows| *rows <= MOST) {
            SPREAD.write().unwrap_or_else(PoisonError::into_inner).insert(shape, Arc::clone(&made));
        }
        made
    });
    Ok((AssertSqlSafe(Arc::clone(&spread.text)).into_sql_str(), bound(&spread, args)?))
}

/// The driver takes unnumbered values first, in their order, and numbered ones by their number: so those come behind.
fn spread(text: &str, args: &[Arg], (before, after): (&str, &str)) -> Spread {
    let (mut bodies, mut rows, mut values) = (Vec::new(), Vec::new(), 0);
    for statement in cut(text) {
        let Some(placed) = placed(statement) else {
            bodies.push(statement.to_owned());
            continue;
        };
        let Some(Arg::Rows(held)) = args.get(placed.place) else { continue };
        for size in sizes(held.len()) {
            let row = format!("({})", vec!["?"; placed.kinds.len()].join(","));
            let all = vec![row; size].join(",");
            bodies.push(format!("{} SELECT * FROM (VALUES {all}) WHERE column1 IS NOT NULL{}", placed.before, placed.after));
            rows.push((placed.place, size));
            values += placed.kinds.len() * size;
        }
    }
    let plain: Vec<usize> = (0..args.len()).filter(|place| !matches!(args[*place], Arg::Rows(_))).collect();
    let number = |place: usize| values + 1 + plain.iter().position(|at| *at == place).unwrap_or(place);
    let body = failing(&bodies.join("; "));
    let body = with_numbers(&body, |place, rest| (number(place), rest));
    Spread { text: format!("{before}{body}{after}").into(), rows }
}

fn bound(spread: &Spread, args: Vec<Arg>) -> Result<SqliteArguments> {
    let (mut rows, mut plain) = (HashMap::new(), Vec::with_capacity(args.len()));
    for (place, arg) in args.into_iter().enumerate() {
        match arg {
            Arg::Rows(held) => drop(rows.insert(place, (held.width, held.values.into_iter()))),
            other => plain.push(other),
        }
    }
    let mut out = SqliteArguments::default();
    for (place, size) in &spread.rows {
        let Some((width, values)) = rows.get_mut(place) else { continue };
        for _ in 0..*width * size {
            add(&mut out, values.next().unwrap_or(Arg::Int(None)))?;
        }
    }
    for arg in plain {
        add(&mut out, arg)?;
    }
    Ok(out)
}

/// Binds a value on SQLite.
pub(super) fn add(out: &mut SqliteArguments, arg: Arg) -> Result<()> {
    match arg {
        Arg::Int(n) => out.add(n),
        Arg::Text(t) => out.add(t),
        Arg::Rows(_) => return Err(sqlx::Error::Protocol("rows stand where one value is wanted".to_owned())),
    }
    .map_err(sqlx::Error::Encode)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "UPDATE a SET x = $3 WHERE y = $1; INSERT INTO b (p, q) ROWS $2 (int, text) ON CONFLICT (p) DO NOTHING";

    fn args(rows: usize) -> Vec<Arg> {
        let held: Rows = (0..rows).map(|n| [Arg::Int(Some(i64::try_from(n).unwrap())), Arg::Text(None)]).collect();
        vec![1.into(), held.into(), "z".into()]
    }

    fn told(rows: usize) -> String {
        spread(TEXT, &args(rows), ("BEGIN; ", "; COMMIT")).text.to_string()
    }

    #[test]
    fn each_value_is_bound_and_the_numbered_ones_come_behind() {
        assert_eq!(
            told(2),
            "BEGIN; UPDATE OR FAIL a SET x = $6 WHERE y = $5; INSERT OR FAIL INTO b (p, q) SELECT * FROM (VALUES (?,?),(?,?)) WHERE column1 IS NOT NULL ON CONFLICT (p) DO NOTHING; COMMIT"
        );
        assert_eq!(told(0), "BEGIN; UPDATE OR FAIL a SET x = $2 WHERE y = $1; COMMIT", "nothing is inserted");
        let many = told(MOST + 5);
        assert_eq!(many.matches("INSERT OR FAIL INTO b").count(), 2);
        assert_eq!(many.matches("(?,?)").count(), MOST + 6, "rounded up");
        assert!(many.contains(&format!("y = ${}", 2 * (MOST + 6) + 1)));
    }

    #[test]
    fn what_is_rounded_up_is_filled_with_nothing() {
        let (text, bound) = for_sqlite(TEXT, args(5), ("", "")).unwrap();
        assert_eq!(bound.len(), 6 * 2 + 2);
        let (again, _) = for_sqlite(TEXT, args(6), ("", "")).unwrap();
        assert_eq!(text.as_str(), again.as_str(), "so that the driver knows the statement");
    }

    #[test]
    fn on_postgresql_each_column_is_an_array() {
        let placed = placed("INSERT INTO b (p, q) ROWS $2 (int, text) ON CONFLICT (p) DO NOTHING").unwrap();
        assert_eq!(placed.place, 1);
        assert_eq!(
            placed.as_columns(),
            "INSERT INTO b (p, q) SELECT * FROM unnest(CAST($2.int0 AS BIGINT[]), CAST($2.text1 AS TEXT[])) ON CONFLICT (p) DO NOTHING"
        );
    }
}
