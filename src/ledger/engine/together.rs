//! Statements of one text, said in few round trips to PostgreSQL: those that cannot see each other become one,
//! `WITH … AS (INSERT …), … AS (UPDATE …) UPDATE …`.
//!
//! All parts of such a statement see the state from before it. A part may therefore read or write only what none before it
//! in the same statement writes; what a later one writes it reads as it would by itself.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::Arg;
use super::dialect::{self, Statement, is_of_word, outside};

/// One statement of a text, its values numbered as in the text.
#[derive(Debug)]
struct Part {
    text: String,
    /// The value that holds the rows it is about: where there are none, it does nothing.
    over: Option<usize>,
    /// The table that it writes, where it can stand before another.
    writes: Option<String>,
}

/// A text for PostgreSQL.
#[derive(Debug)]
pub(super) struct Turned {
    parts: Vec<Part>,
    last: Option<Statement>,
    /// What is said, by the parts that have something to do (a bit each): the driver keeps statements by their text.
    said: RwLock<HashMap<u64, Arc<[Statement]>>>,
}

impl Turned {
    /// From its statements, each with the value that holds its rows. One that stands alone is said in any case.
    pub(super) fn new(statements: Vec<(String, Option<usize>)>) -> Self {
        let several = statements.len() > 1;
        let part = |(text, over): (String, Option<usize>)| Part {
            over: over.filter(|_| several),
            writes: written(&text).map(str::to_owned),
            text,
        };
        let parts: Vec<Part> = statements.into_iter().map(part).collect();
        let last = parts.last().map(|part| dialect::numbered(&part.text));
        Self { parts, last, said: RwLock::default() }
    }

    /// The last statement alone.
    pub(super) fn last(&self) -> Option<&Statement> {
        self.last.as_ref()
    }

    /// Whether the last statement has nothing to do.
    pub(super) fn last_is_idle(&self, args: &[Arg]) -> bool {
        self.parts.last().is_some_and(|part| part.is_idle(args))
    }

    /// What is to be said. Statements without rows are left out, the last one only where nobody waits for its rows.
    pub(super) fn said(&self, args: &[Arg], with_last: bool) -> Arc<[Statement]> {
        let last = self.parts.len().saturating_sub(1);
        let speaks = |n: usize, part: &Part| (with_last && n == last) || bit(n) == 0 || !part.is_idle(args);
        let taking: Vec<usize> = (0..).zip(&self.parts).filter(|(n, part)| speaks(*n, part)).map(|(n, _)| n).collect();
        let which = taking.iter().fold(0, |which, n| which | bit(*n));
        if let Some(known) = self.said.read().unwrap_or_else(PoisonError::into_inner).get(&which) {
            return Arc::clone(known);
        }
        let parts: Vec<&Part> = taking.iter().filter_map(|n| self.parts.get(*n)).collect();
        let said: Arc<[Statement]> = grouped(&parts).into_iter().map(one).collect();
        self.said.write().unwrap_or_else(PoisonError::into_inner).insert(which, Arc::clone(&said));
        said
    }
}

/// Parts beyond have none, and are never left out.
fn bit(n: usize) -> u64 {
    u32::try_from(n).ok().and_then(|n| 1_u64.checked_shl(n)).unwrap_or(0)
}

impl Part {
    /// Nothing is to be written.
    fn is_idle(&self, args: &[Arg]) -> bool {
        self.over.and_then(|place| args.get(place)).is_some_and(Arg::is_no_rows)
    }

    /// Whether it can follow these within one statement.
    fn may_join(&self, before: &[&Part]) -> bool {
        can_end(&self.text) && before.iter().all(|part| part.writes.as_deref().is_some_and(|table| !mentions(&self.text, table)))
    }
}

/// In order, each with as many of those before it as it can stand beside.
fn grouped<'p>(parts: &[&'p Part]) -> Vec<Vec<&'p Part>> {
    let mut groups: Vec<Vec<&Part>> = Vec::new();
    for part in parts {
        match groups.last_mut() {
            Some(group) if part.may_join(group) => group.push(part),
            _ => groups.push(vec![part]),
        }
    }
    groups
}

/// The group as one statement, which does and answers what its last part does and answers.
fn one(group: Vec<&Part>) -> Statement {
    let Some((last, before)) = group.split_last() else { return dialect::numbered("") };
    let before: Vec<String> = before.iter().enumerate().map(|(n, part)| format!("part_{n} AS ({})", part.text)).collect();
    let text = match (before.is_empty(), last.text.strip_prefix(WITH)) {
        (true, _) => last.text.clone(),
        (false, Some(own)) => format!("WITH {}, {own}", before.join(", ")),
        (false, None) => format!("WITH {} {}", before.join(", "), last.text),
    };
    dialect::numbered(&text)
}

const WITH: &str = "WITH ";
const VERBS: [&str; 4] = ["INSERT ", "UPDATE ", "DELETE ", "SELECT "];

/// Whether a list of others may stand before it.
fn can_end(text: &str) -> bool {
    (text.starts_with(WITH) && !text.starts_with("WITH RECURSIVE ")) || VERBS.iter().any(|verb| text.starts_with(verb))
}

/// The table that a write is about. None of what writes in a list of its own, too: such a list stands at the top.
fn written(text: &str) -> Option<&str> {
    let own = text.starts_with(WITH);
    let main = if own { after_list(text)? } else { text };
    let list = &text[..text.len() - main.len()];
    if ["INSERT", "UPDATE", "DELETE"].iter().any(|verb| mentions(list, verb)) {
        return None;
    }
    let table = ["INSERT INTO ", "UPDATE ", "DELETE FROM "].iter().find_map(|verb| main.strip_prefix(verb))?;
    let end = table.find(|c: char| !is_of_word(c)).unwrap_or(table.len());
    (end > 0).then(|| &table[..end])
}

/// What a statement does, behind a list of its own.
pub(super) fn main(statement: &str) -> &str {
    let list = statement.starts_with(WITH).then(|| after_list(statement));
    list.map_or(statement, |main| main.unwrap_or_default())
}

/// What follows the list of a `WITH`.
fn after_list(text: &str) -> Option<&str> {
    outside(text).map(|(n, _)| &text[n..]).find(|rest| VERBS.iter().any(|verb| rest.starts_with(verb)))
}

/// Whether a word occurs outside of quotes.
fn mentions(text: &str, word: &str) -> bool {
    // Every second piece is quoted.
    text.split('\'').step_by(2).any(|piece| piece.split(|c: char| !is_of_word(c)).any(|found| found.eq_ignore_ascii_case(word)))
}

#[cfg(test)]
mod tests {
    use super::super::dialect::Take;
    use super::*;

    fn turned(texts: &[&str]) -> Turned {
        Turned::new(texts.iter().map(|text| ((*text).to_owned(), text.contains("json_each($1)").then_some(0))).collect())
    }

    fn said(texts: &[&str]) -> Vec<String> {
        let said = turned(texts).said(&[Arg::Text(Some("[1]".to_owned()))], true);
        said.iter().map(|statement| statement.text.to_string()).collect()
    }

    #[test]
    fn what_cannot_see_each_other_is_one_statement() {
        assert_eq!(
            said(&["INSERT INTO a VALUES ($2)", "UPDATE b SET x = $1", "DELETE FROM c WHERE y = $2 RETURNING z"]),
            [
                "WITH part_0 AS (INSERT INTO a VALUES ($1)), part_1 AS (UPDATE b SET x = $2) DELETE FROM c WHERE y = $1 RETURNING z"
            ]
        );
    }

    #[test]
    fn what_reads_or_writes_what_one_before_it_writes_comes_after_that() {
        let write = "UPDATE a SET x = 1";
        for after in [
            "UPDATE a SET y = 2",
            "DELETE FROM b WHERE id IN (SELECT id FROM a)",
            "UPDATE b SET x = A.x FROM a",
            "INSERT INTO b SELECT 1 FROM c LEFT JOIN a ON true",
            "WITH j AS (SELECT x FROM a) INSERT INTO b SELECT x FROM j",
            "SELECT x FROM a",
        ] {
            assert_eq!(said(&[write, after]), [write, after]);
        }
        // Other words that only hold the table's name, and words in quotes, are none.
        for beside in ["UPDATE b SET a_id = ab.x FROM ab", "INSERT INTO b SELECT v->>'a', 'a'"] {
            assert_eq!(said(&[write, beside]).len(), 1);
        }
        assert_eq!(said(&["UPDATE b SET x = a.x FROM a", write]).len(), 1, "what a later one writes is read as it was before");
        assert_eq!(said(&[write, "UPDATE b SET x = 1", "DELETE FROM a", "DELETE FROM c"]).len(), 2);
    }

    #[test]
    fn what_only_reads_stands_alone_or_last() {
        assert_eq!(said(&["SELECT lock($1)", "UPDATE a SET x = 1"]).len(), 2, "nobody would carry it out");
        assert_eq!(said(&["UPDATE a SET x = 1", "SELECT 1"]), ["WITH part_0 AS (UPDATE a SET x = 1) SELECT 1"]);
        assert_eq!(said(&["UPDATE a SET x = 1", "LOCK TABLE b"]).len(), 2);
    }

    #[test]
    fn a_list_of_its_own_is_kept_and_one_that_writes_stays_at_the_top() {
        let reading = "WITH j (v) AS MATERIALIZED (SELECT 'UPDATE ' FROM x) UPDATE a SET y = v FROM j";
        assert_eq!(said(&[reading, "UPDATE b SET x = 1"]), [format!("WITH part_0 AS ({reading}) UPDATE b SET x = 1")]);
        assert_eq!(said(&["UPDATE b SET x = 1", reading]), [format!("WITH part_0 AS (UPDATE b SET x = 1), {}", &reading[5..])]);
        let writing = "WITH j AS (DELETE FROM x RETURNING y) INSERT INTO a SELECT y FROM j";
        assert_eq!(said(&[writing, "UPDATE b SET x = 1"]).len(), 2);
        assert_eq!(said(&["UPDATE b SET x = 1", writing]).len(), 1);
        assert_eq!(said(&["UPDATE x SET y = 1", writing]).len(), 2);
        assert_eq!(said(&["UPDATE b SET x = 1", "WITH RECURSIVE j AS (SELECT 1) SELECT * FROM j"]).len(), 2);
    }

    #[test]
    fn statements_without_rows_are_left_out_and_the_rest_moves_together() {
        let text = turned(&[
            "UPDATE a SET x = 1",
            "DELETE FROM a USING json_each($1)",
            "UPDATE b SET x = $2",
            "DELETE FROM c USING json_each($1)",
        ]);
        let count = |rows: &str, with_last| text.said(&[Arg::Text(Some(rows.to_owned()))], with_last).len();
        assert_eq!((count("[1]", true), count("[]", true), count("[]", false)), (2, 1, 1));
        assert!(text.last_is_idle(&[Arg::Text(Some("[]".to_owned()))]));
        let only = &text.said(&[Arg::Text(Some("[]".to_owned()))], false)[0];
        assert_eq!(
            (&*only.text, &*only.takes),
            ("WITH part_0 AS (UPDATE a SET x = 1) UPDATE b SET x = $1", &[Take::Value(1)][..])
        );
        let alone = turned(&["DELETE FROM c USING json_each($1)"]);
        assert_eq!(alone.said(&[Arg::Text(Some("[]".to_owned()))], false).len(), 1);
    }
}
