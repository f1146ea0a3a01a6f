//! Rows that are inserted as they are. A text says where: `INSERT INTO t (a, b) ROWS $2 (int, text)`. On SQLite each value is
//! bound, which costs a fraction of taking it out of a document; on PostgreSQL each column is an array.
//!
//! A text with bound rows is another one for each number of rows, and the driver keeps prepared statements by their text. So
//! there is room for one number of rows in all places of a text, rounded up: they are about the same orders, and numbers of their
//! own would multiply. A place that has no rows takes none; one that may have several for each order says how many at most
//! (`ROWS $2*3 (int, text)`), and has room for one or for so many. What is left is filled with nothing and passed by, which
//! costs a fraction of preparing a text.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, AssertSqlSafe, Sqlite};

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
    /// So many for each order at most.
    most: usize,
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
    let (number, most) = number.split_once('*').unwrap_or((number, "1"));
    Some(Placed {
        before,
        place: number.parse::<usize>().ok()?.checked_sub(1)?,
        most: most.parse().ok()?,
        kinds: kinds.split(',').map(kind).collect(),
        after,
    })
}

/// Rows of one statement; more make another of the same words.
const MOST: usize = 256;

/// Numbers of orders that have a text; more are told in steps of the last.
const SIZES: [usize; 11] = [1, 2, 4, 8, 16, 24, 32, 48, 64, 128, MOST];

/// Texts for more orders are rare and large: neither they nor their statements are kept.
const KEPT: usize = 128;

fn rounded(orders: usize) -> usize {
    let fits = SIZES.into_iter().find(|size| *size >= orders);
    if orders == 0 { 0 } else { fits.unwrap_or_else(|| orders.next_multiple_of(MOST)) }
}

/// Room for so many rows each, of which there may be so many for an order; and for how many orders it is.
fn rooms(sets: &[(usize, usize)]) -> (usize, Vec<usize>) {
    let orders = rounded(sets.iter().map(|(rows, most)| rows.div_ceil(*most)).max().unwrap_or(0));
    let room = |(rows, most): &(usize, usize)| match *rows {
        0 => 0,
        rows if rows <= orders => orders,
        _ => orders * most,
    };
    (orders, sets.iter().map(room).collect())
}

/// A text as SQLite is told it, and where its values come from.
#[derive(Debug)]
struct Spread {
    text: Arc<str>,
    /// Values that hold rows, in the order of the text, and how many rows there is room for.
    rows: Vec<(usize, usize)>,
    kept: bool,
}

/// What goes before and after a text, and the room in each of its places.
type Shape = (&'static str, &'static str, Vec<usize>);

/// A text that holds rows.
#[derive(Debug, Default)]
struct Known {
    /// So many rows for each order at most, by the place of the value that holds them.
    most: HashMap<usize, usize>,
    spread: HashMap<Shape, Arc<Spread>>,
}

impl Known {
    fn of(text: &str) -> Self {
        Self { most: cut(text).filter_map(placed).map(|placed| (placed.place, placed.most)).collect(), ..Self::default() }
    }

    fn rooms(&self, args: &[Arg]) -> (usize, Vec<usize>) {
        let set = |(place, arg): (usize, &Arg)| match arg {
            Arg::Rows(rows) => Some((rows.len(), self.most.get(&place).copied().unwrap_or(1))),
            _ => None,
        };
        rooms(&args.iter().enumerate().filter_map(set).collect::<Vec<_>>())
    }
}

static KNOWN: LazyLock<RwLock<HashMap<&'static str, Known>>> = LazyLock::new(RwLock::default);

/// A text that holds rows, with what goes before and after it, and its values.
pub(super) fn for_sqlite(
    text: &'static str,
    args: Vec<Arg>,
    frame: (&'static str, &'static str),
) -> Result<Query<'static, Sqlite, SqliteArguments>> {
    let look = |known: &Known| {
        let (orders, rooms) = known.rooms(&args);
        let shape = (frame.0, frame.1, rooms);
        (known.spread.get(&shape).cloned(), orders, shape)
    };
    let found = KNOWN.read().unwrap_or_else(PoisonError::into_inner).get(text).map(look);
    let spread = match found {
        Some((Some(spread), ..)) => spread,
        Some((None, orders, shape)) => learn(text, &args, orders, shape),
        None => {
            let (_, orders, shape) = look(&Known::of(text));
            learn(text, &args, orders, shape)
        }
    };
    let values = bound(&spread, args)?;
    Ok(sqlx::query_with(AssertSqlSafe(Arc::clone(&spread.text)), values).persistent(spread.kept))
}

fn learn(text: &'static str, args: &[Arg], orders: usize, shape: Shape) -> Arc<Spread> {
    let made = Arc::new(Spread { kept: orders <= KEPT, ..spread(text, args, &shape) });
    if made.kept {
        let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
        known.entry(text).or_insert_with(|| Known::of(text)).spread.insert(shape, Arc::clone(&made));
    }
    made
}

/// The driver takes unnumbered values first, in their order, and numbered ones by their number: so those come behind.
fn spread(text: &str, args: &[Arg], (before, after, rooms): &Shape) -> Spread {
    let (mut bodies, mut rows, mut values) = (Vec::new(), Vec::new(), 0);
    let room: HashMap<usize, usize> =
        (0..args.len()).filter(|place| matches!(args[*place], Arg::Rows(_))).zip(rooms.iter().copied()).collect();
    for statement in cut(text) {
        let Some(placed) = placed(statement) else {
            bodies.push(statement.to_owned());
            continue;
        };
        let mut left = room.get(&placed.place).copied().unwrap_or(0);
        while left > 0 {
            let size = left.min(MOST);
            let row = format!("({})", vec!["?"; placed.kinds.len()].join(","));
            let all = vec![row; size].join(",");
            bodies.push(format!("{} SELECT * FROM (VALUES {all}) WHERE column1 IS NOT NULL{}", placed.before, placed.after));
            rows.push((placed.place, size));
            values += placed.kinds.len() * size;
            left -= size;
        }
    }
    let plain: Vec<usize> = (0..args.len()).filter(|place| !matches!(args[*place], Arg::Rows(_))).collect();
    let number = |place: usize| values + 1 + plain.iter().position(|at| *at == place).unwrap_or(place);
    let body = failing(&bodies.join("; "));
    let body = with_numbers(&body, |place, rest| (number(place), rest));
    Spread { text: format!("{before}{body}{after}").into(), rows, kept: true }
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

/// The room in each place of a text that holds rows, for so many each: texts of the same rooms are the same.
#[cfg(test)]
pub(in crate::ledger) fn room_for(text: &str, rows: &[(usize, usize)]) -> Vec<usize> {
    let known = Known::of(text);
    rooms(&rows.iter().map(|(place, rows)| (*rows, known.most.get(&(place - 1)).copied().unwrap())).collect::<Vec<_>>()).1
}

#[cfg(test)]
mod tests {
    use sqlx::Execute;

    use super::*;

    const TEXT: &str = "UPDATE a SET x = $3 WHERE y = $1; INSERT INTO b (p, q) ROWS $2 (int, text) ON CONFLICT (p) DO NOTHING";

    fn args(rows: usize) -> Vec<Arg> {
        let held: Rows = (0..rows).map(|n| [Arg::Int(Some(i64::try_from(n).unwrap())), Arg::Text(None)]).collect();
        vec![1.into(), held.into(), "z".into()]
    }

    fn told(text: &'static str, args: Vec<Arg>) -> (String, usize, bool) {
        let mut query = for_sqlite(text, args, ("BEGIN; ", "; COMMIT")).unwrap();
        let (values, kept) = (query.take_arguments().unwrap().unwrap(), Execute::<Sqlite>::persistent(&query));
        (query.sql().as_str().to_owned(), values.len(), kept)
    }

    #[test]
    fn each_value_is_bound_and_the_numbered_ones_come_behind() {
        assert_eq!(
            told(TEXT, args(2)).0,
            "BEGIN; UPDATE OR FAIL a SET x = $6 WHERE y = $5; INSERT OR FAIL INTO b (p, q) SELECT * FROM (VALUES (?,?),(?,?)) WHERE column1 IS NOT NULL ON CONFLICT (p) DO NOTHING; COMMIT"
        );
        assert_eq!(told(TEXT, args(0)).0, "BEGIN; UPDATE OR FAIL a SET x = $2 WHERE y = $1; COMMIT", "nothing is inserted");
        let (many, values, kept) = told(TEXT, args(MOST + 5));
        assert_eq!(many.matches("INSERT OR FAIL INTO b").count(), 2);
        assert_eq!((many.matches("(?,?)").count(), values, kept), (2 * MOST, 4 * MOST + 2, false), "rounded up");
        assert!(many.contains(&format!("y = ${}", 4 * MOST + 1)));
    }

    #[test]
    fn what_is_rounded_up_is_filled_with_nothing() {
        let (text, bound, kept) = told(TEXT, args(5));
        assert_eq!((bound, kept), (8 * 2 + 2, true));
        assert_eq!(told(TEXT, args(8)).0, text, "so that the driver knows the statement");
    }

    #[test]
    fn all_places_have_room_for_one_number_of_orders() {
        let room = |rows: [usize; 4]| {
            let text = "INSERT INTO a ROWS $1 (int); INSERT INTO b ROWS $2*3 (int); INSERT INTO c ROWS $3 (int); INSERT INTO d ROWS $4*2 (int)";
            room_for(text, &[1, 2, 3, 4].map(|place| (place, rows[place - 1])))
        };
        assert_eq!(room([5, 15, 1, 0]), [8, 24, 8, 0]);
        assert_eq!(room([5, 8, 0, 9]), [8, 8, 0, 16], "one each, and more than that");
        assert_eq!(room([1, 9, 1, 9]), [8, 24, 8, 16], "for as many orders as there must be");
        assert_eq!(room([0; 4]), [0; 4]);
        assert_eq!(room([300, 1, 1, 1]), [512; 4]);
    }

    #[test]
    fn on_postgresql_each_column_is_an_array() {
        for text in [
            "INSERT INTO b (p, q) ROWS $2 (int, text) ON CONFLICT (p) DO NOTHING",
            "INSERT INTO b (p, q) ROWS $2*3 (int, text) ON CONFLICT (p) DO NOTHING",
        ] {
            let placed = placed(text).unwrap();
            assert_eq!(placed.place, 1);
            assert_eq!(
                placed.as_columns(),
                "INSERT INTO b (p, q) SELECT * FROM unnest(CAST($2.int0 AS BIGINT[]), CAST($2.text1 AS TEXT[])) ON CONFLICT (p) DO NOTHING"
            );
        }
    }
}
