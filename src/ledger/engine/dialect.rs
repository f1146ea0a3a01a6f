//! What PostgreSQL names differently. Texts in the program are turned once and remembered.
//!
//! | in the text | on PostgreSQL |
//! |---|---|
//! | `json_each(x)` with its column `value` | [`unfolded`] |
//! | `IN (SELECT CAST(value AS BIGINT) FROM json_each(x))`, or `TEXT` | [`one_of`] |
//! | `CAST(value AS TEXT)`, of such a column | `(value #>> '{}')` |
//! | `json_group_array(…)`, `json_object(…)`, `json_array(…)` | an aggregate as text, `json_build_object(…)`, `json_build_array(…)` |
//! | `MAX(a, b)`, `MIN(a, b)` | `GREATEST(a, b)`, `LEAST(a, b)` |
//! | `ROWS $2 (int, text)` | the columns of those [`rows`](super::rows), an array each |
//! | `/*postgres …*/` | what stands in the comment |

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

use super::rows::{self, Kind};
use super::together::Turned;

/// A text as it was written.
#[derive(Debug)]
pub(in crate::ledger) enum Text {
    /// In the program.
    Fixed(&'static str),
    /// Put together by [`super::QueryBuilder`], from such parts.
    Made(String),
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self::Fixed(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::Made(text)
    }
}

/// One statement, and which of the values of its text it takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    pub(super) text: Arc<str>,
    pub(super) takes: Arc<[Take]>,
}

/// What a statement takes: a value by its place, or a column of the rows that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    Value(usize),
    Column(usize, Kind, usize),
}

/// An empty list of rows.
pub(super) const NO_ROWS: &str = "[]";

static TURNED: LazyLock<RwLock<HashMap<&'static str, Arc<Turned>>>> = LazyLock::new(RwLock::default);

impl Text {
    pub(super) fn sqlite(self) -> SqlStr {
        match self {
            Self::Fixed(text) => text.into_sql_str(),
            Self::Made(text) => AssertSqlSafe(text).into_sql_str(),
        }
    }

    pub(super) fn postgres(&self) -> Arc<Turned> {
        let text = match self {
            Self::Made(text) => return Arc::new(turned(text)),
            Self::Fixed(text) => *text,
        };
        if let Some(known) = TURNED.read().unwrap_or_else(PoisonError::into_inner).get(text) {
            return Arc::clone(known);
        }
        let turned = Arc::new(turned(text));
        TURNED.write().unwrap_or_else(PoisonError::into_inner).insert(text, Arc::clone(&turned));
        turned
    }
}

fn turned(text: &str) -> Turned {
    Turned::new(statements(text))
}

/// Its statements, each with the value that holds its rows.
fn statements(text: &str) -> Vec<(String, Option<usize>)> {
    let said = |statement: &str| match rows::placed(statement) {
        Some(placed) => (turn(&placed.as_columns()), Some(placed.place)),
        None => (turn(statement), rows_of(statement)),
    };
    cut(text).map(said).collect()
}

/// The statements of a text.
pub(super) fn cut(text: &str) -> impl Iterator<Item = &str> {
    parts(text, ';').into_iter().map(str::trim).filter(|statement| !statement.is_empty())
}

/// A write that is about the rows of one value (`… FROM json_each($1)`): which. A reading text answers with no rows, too.
fn rows_of(text: &str) -> Option<usize> {
    let (before, after) = text.split_once("FROM json_each($")?;
    let about_others = before.contains("NOT ")
        || before.contains(" OR ")
        || before.contains("JOIN ")
        || after.contains("NOT IN")
        || after.contains("json_each(")
        || before.contains("json_each(");
    let digits = after.split(|c: char| !c.is_ascii_digit()).next()?;
    if about_others || text.starts_with("SELECT") { None } else { digits.parse::<usize>().ok()?.checked_sub(1) }
}

/// Numbers its values from 1 on: the driver keeps prepared statements by their text, whatever other values stood beside.
pub(super) fn numbered(text: &str) -> Statement {
    let mut takes = Vec::new();
    let text = with_numbers(text, |place, rest| {
        let (take, rest) = match column(rest) {
            Some((kind, column, after)) => (Take::Column(place, kind, column), after),
            None => (Take::Value(place), rest),
        };
        let known = takes.iter().position(|taken| *taken == take);
        let number = known.unwrap_or_else(|| {
            takes.push(take);
            takes.len() - 1
        });
        (number + 1, rest)
    });
    Statement { text: text.into(), takes: takes.into() }
}

/// With another number for each value outside of quotes: told its place and what follows it, it says the number and what is
/// left to read.
pub(super) fn with_numbers<'t>(text: &'t str, mut number: impl FnMut(usize, &'t str) -> (usize, &'t str)) -> String {
    let (mut out, mut quoted, mut rest) = (String::with_capacity(text.len() + 64), false, text);
    while let Some(c) = rest.chars().next() {
        quoted ^= c == '\'';
        rest = &rest[c.len_utf8()..];
        out.push(c);
        if quoted || c != '$' {
            continue;
        }
        let (digits, after) = digits(rest);
        let Some(place) = digits.and_then(|n| n.checked_sub(1)) else { continue };
        let (new, left) = number(place, after);
        out.push_str(&new.to_string());
        rest = left;
    }
    out
}

/// The number that a text begins with, and what follows it.
fn digits(text: &str) -> (Option<usize>, &str) {
    let end = text.len() - text.trim_start_matches(|d: char| d.is_ascii_digit()).len();
    (text[..end].parse().ok(), &text[end..])
}

/// Of `$2.int0`, what follows the number.
fn column(rest: &str) -> Option<(Kind, usize, &str)> {
    let rest = rest.strip_prefix('.')?;
    let (kind, rest) = [Kind::Int, Kind::Text].into_iter().find_map(|kind| Some((kind, rest.strip_prefix(kind.word())?)))?;
    let (column, after) = digits(rest);
    Some((kind, column?, after))
}

/// Cuts at a character outside of quotes and parentheses.
fn parts(text: &str, at: char) -> Vec<&str> {
    let (mut out, mut from) = (Vec::new(), 0);
    for (n, c) in outside(text).filter(|(_, c)| *c == at) {
        out.push(&text[from..n]);
        from = n + c.len_utf8();
    }
    out.push(&text[from..]);
    out
}

/// What stands outside of quotes and parentheses, and where.
pub(super) fn outside(text: &str) -> impl Iterator<Item = (usize, char)> {
    let (mut depth, mut quoted) = (0_i32, false);
    text.char_indices().filter(move |(_, c)| {
        match c {
            '\'' => quoted = !quoted,
            _ if quoted => {}
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => return depth == 0,
        }
        false
    })
}

const COMMENT: &str = "/*postgres ";

fn turn(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 256);
    let (mut rest, mut in_word, mut quoted) = (text, false, false);
    while let Some(c) = rest.chars().next() {
        if !quoted && let Some((words, after)) = rest.strip_prefix(COMMENT).and_then(|r| r.split_once("*/")) {
            out.push_str(words);
            rest = after;
            continue;
        }
        if !quoted
            && !in_word
            && let Some((call, after)) = (!out.ends_with("NOT ")).then(|| one_of(rest)).flatten().or_else(|| call(rest))
        {
            out.push_str(&call);
            rest = after;
            in_word = false;
            continue;
        }
        quoted ^= c == '\'';
        in_word = c.is_alphanumeric() || matches!(c, '_' | '.');
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

/// A call at the beginning that is written differently, and what follows it.
fn call(text: &str) -> Option<(String, &str)> {
    const NAMES: [&str; 7] = ["json_each", "json_group_array", "json_object", "json_array", "MAX", "MIN", "CAST"];
    let name = NAMES.into_iter().find(|n| text.strip_prefix(n).is_some_and(|r| r.starts_with('(')))?;
    let inside = &text[name.len() + 1..];
    let end = closing(inside)?;
    let (inside, after) = (&inside[..end], &inside[end + 1..]);
    let turned = turn(inside);
    Some(match name {
        "json_each" => unfolded(&turned, after),
        "json_object" => (format!("json_build_object({turned})"), after),
        "json_array" => (format!("json_build_array({turned})"), after),
        "json_group_array" => {
            let (filter, after) = filter(after);
            (format!("CAST(COALESCE(json_agg({turned}){filter}, '[]') AS TEXT)"), after)
        }
        "CAST" => {
            let column = inside.strip_suffix(" AS TEXT")?;
            (column == "value" || column.ends_with(".value")).then(|| (format!("({column} #>> '{{}}')"), after))?
        }
        _ if parts(inside, ',').len() < 2 => return None,
        "MAX" => (format!("GREATEST({turned})"), after),
        _ => (format!("LEAST({turned})"), after),
    })
}

/// One of the values of a document: as an array it is a condition that an index answers. A subquery is joined with, and where
/// a table is small, or was when it was last counted, the planner reads all of it for that.
fn one_of(text: &str) -> Option<(String, &str)> {
    let (kind, rest) = text.strip_prefix("IN (SELECT CAST(value AS ")?.split_once(") FROM json_each(")?;
    let (document, rest) = rest.split_at(closing(rest)?);
    let rest = rest.strip_prefix("))")?;
    let document = turn(document);
    Some((format!("= ANY(ARRAY(SELECT CAST(jsonb_array_elements_text(CAST({document} AS JSONB)) AS {kind})))"), rest))
}

/// The rows of a document, which are few. The planner takes any function of documents for a hundred rows, and for so many
/// would rather read a whole table of some thousands than look each up; of an array it believes ten.
fn unfolded<'t>(document: &str, after: &'t str) -> (String, &'t str) {
    const AS: &str = " AS ";
    let named = after.strip_prefix(AS).map_or(0, |name| AS.len() + name.len() - name.trim_start_matches(is_of_word).len());
    let (name, after) = after.split_at(named);
    let name = if name.is_empty() { " AS of_document" } else { name };
    (format!("unnest(ARRAY(SELECT jsonb_array_elements(CAST({document} AS JSONB)))){name} (value)"), after)
}

pub(super) fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The place of the parenthesis that closes one already open.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quoted) = (0_i32, false);
    for (n, c) in text.char_indices() {
        match c {
            '\'' => quoted = !quoted,
            _ if quoted => {}
            '(' => depth += 1,
            ')' if depth == 0 => return Some(n),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The filter of an aggregate, if it has one, and what follows.
fn filter(text: &str) -> (&str, &str) {
    const FILTER: &str = " FILTER (";
    match text.strip_prefix(FILTER).and_then(closing) {
        Some(end) => text.split_at(FILTER.len() + end + 1),
        None => ("", text),
    }
}

/// PostgreSQL's texts hold no NUL, and its documents none written as `\u0000`: a replacement character stands for it.
pub(super) fn without_nul(text: &str) -> Cow<'_, str> {
    const ESCAPED: &str = "\\u0000";
    if !text.contains('\0') && !text.contains(ESCAPED) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '\0' => {
                out.push(char::REPLACEMENT_CHARACTER);
                1
            }
            '\\' if rest.starts_with(ESCAPED) => {
                out.push_str("\\ufffd");
                ESCAPED.len()
            }
            // What is escaped is no escape itself.
            '\\' => {
                let length = 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
                out.push_str(&rest[..length]);
                length
            }
            _ => {
                out.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_turned_wherever_they_stand() {
        assert_eq!(
            turn(
                "UPDATE t SET n = MAX(n, CAST(j.value->>'n' AS BIGINT)) FROM json_each($1) AS j WHERE k = CAST(j.value AS TEXT)"
            ),
            "UPDATE t SET n = GREATEST(n, CAST(j.value->>'n' AS BIGINT)) FROM unnest(ARRAY(SELECT jsonb_array_elements(CAST($1 AS JSONB)))) AS j (value) WHERE k = (j.value #>> '{}')"
        );
        assert_eq!(
            turn("IN (SELECT value FROM json_each($1))"),
            "IN (SELECT value FROM unnest(ARRAY(SELECT jsonb_array_elements(CAST($1 AS JSONB)))) AS of_document (value))"
        );
        assert_eq!(
            turn("a IN (SELECT CAST(value AS BIGINT) FROM json_each(MIN($1, $2))) AND b"),
            "a = ANY(ARRAY(SELECT CAST(jsonb_array_elements_text(CAST(LEAST($1, $2) AS JSONB)) AS BIGINT))) AND b"
        );
        for joined in [
            "a NOT IN (SELECT CAST(value AS TEXT) FROM json_each($1))",
            "IN (SELECT CAST(value AS TEXT) FROM json_each($1) WHERE c)",
        ] {
            assert!(turn(joined).contains(" IN (SELECT ") || turn(joined).starts_with("IN (SELECT "), "{}", turn(joined));
        }
        assert_eq!(
            turn("SELECT MAX(a.id), json_group_array(json_array(id, MIN(x))) FILTER (WHERE a > (1)) FROM t"),
            "SELECT MAX(a.id), CAST(COALESCE(json_agg(json_build_array(id, MIN(x))) FILTER (WHERE a > (1)), '[]') AS TEXT) FROM t"
        );
        assert_eq!(turn("SELECT 'MAX(a, b) json_each(x)' FROM t"), "SELECT 'MAX(a, b) json_each(x)' FROM t");
        assert_eq!(turn("LIMIT $5 /*postgres FOR UPDATE SKIP LOCKED*/)"), "LIMIT $5 FOR UPDATE SKIP LOCKED)");
    }

    #[test]
    fn statements_are_cut_outside_of_quotes() {
        let cut = statements("UPDATE a SET x = '; no';\n INSERT INTO b VALUES ($1);  ");
        assert_eq!(
            cut.iter().map(|(text, _)| text.as_str()).collect::<Vec<_>>(),
            ["UPDATE a SET x = '; no'", "INSERT INTO b VALUES ($1)"]
        );
    }

    #[test]
    fn each_statement_takes_its_own_values() {
        let cut = ["UPDATE a SET x = $3 WHERE y = $1 AND z > $3", "DELETE FROM b WHERE n = $12"].map(numbered);
        assert_eq!(
            (&*cut[0].text, &*cut[0].takes),
            ("UPDATE a SET x = $1 WHERE y = $2 AND z > $1", &[2, 0].map(Take::Value)[..])
        );
        assert_eq!((&*cut[1].text, &*cut[1].takes), ("DELETE FROM b WHERE n = $1", &[11].map(Take::Value)[..]));
        let (rows, over) = statements("INSERT INTO a (p, q) ROWS $3 (int, text)").remove(0);
        assert_eq!(over, Some(2));
        let rows = numbered(&rows);
        assert_eq!(&*rows.takes, &[Take::Column(2, Kind::Int, 0), Take::Column(2, Kind::Text, 1)]);
        assert!(rows.text.ends_with("unnest(CAST($1 AS BIGINT[]), CAST($2 AS TEXT[]))"));
    }

    #[test]
    fn a_write_knows_the_value_that_holds_its_rows() {
        let cut = statements(
            "UPDATE a SET x = j.value->>'x' FROM json_each($2) AS j WHERE a.id = $1;
             INSERT INTO b SELECT value->>'y' FROM json_each($3) WHERE true;
             DELETE FROM c WHERE id NOT IN (SELECT value FROM json_each($1));
             INSERT INTO d VALUES ($1);
             INSERT INTO e SELECT x FROM f LEFT JOIN (SELECT value AS v FROM json_each($1)) AS g ON x = v",
        );
        assert_eq!(cut.iter().map(|(_, over)| *over).collect::<Vec<_>>(), [Some(1), Some(2), None, None, None]);
        assert_eq!(statements("SELECT COUNT(*) FROM json_each($1)")[0].1, None, "its answer is a row");
    }

    #[test]
    fn a_nul_becomes_a_replacement_character_and_an_escaped_backslash_stays() {
        assert_eq!(without_nul("a\0b"), "a\u{fffd}b");
        assert_eq!(without_nul(r#"["\u0000","\\u0000","\\\u0000"]"#), r#"["\ufffd","\\u0000","\\\ufffd"]"#);
    }
}
