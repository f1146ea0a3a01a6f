//! The few words of SQL that conditions use: `and`, comparisons, `in`, brackets, and the question for the step at
//! which a request waits. Whatever else is said is refused, as the platform refuses it.

use serde_json::{Map, Value};

/// Level of the fake's workflow at which requests wait for an external approval.
pub(super) const EX_LEVEL: i64 = 1;

struct Words<'a> {
    rest: &'a str,
}

/// Whether a row fits; `None` when the condition is not understood or names a column that does not exist.
pub(super) fn fits(condition: &str, row: &Map<String, Value>) -> Option<bool> {
    if condition.trim().is_empty() {
        return Some(true);
    }
    let mut words = Words { rest: condition };
    let result = words.all(row)?;
    words.rest.trim().is_empty().then_some(result)
}

impl<'a> Words<'a> {
    fn all(&mut self, row: &Map<String, Value>) -> Option<bool> {
        let mut result = self.one(row)?;
        while self.take_word("and") {
            let next = self.one(row)?;
            result &= next;
        }
        Some(result)
    }

    fn one(&mut self, row: &Map<String, Value>) -> Option<bool> {
        if self.take_word("exists") {
            self.bracket()?;
            return Some(row.get("DecisionLevel")?.as_i64() == Some(EX_LEVEL));
        }
        if self.take("(") {
            let result = self.all(row)?;
            return self.take(")").then_some(result);
        }
        let left = self.value(row)?;
        if self.take_word("in") {
            self.take("(").then_some(())?;
            let mut found = false;
            loop {
                found |= self.value(row)? == left;
                if !self.take(",") {
                    break;
                }
            }
            return self.take(")").then_some(found);
        }
        let sign = ["<>", ">", "="].into_iter().find(|sign| self.take(sign))?;
        let right = self.value(row)?;
        Some(match sign {
            "=" => left == right,
            "<>" => left != right,
            _ => match (left.parse::<i64>(), right.parse::<i64>()) {
                (Ok(left), Ok(right)) => left > right,
                _ => left > right,
            },
        })
    }

    /// A text in quotes, a number, or a column of the row.
    fn value(&mut self, row: &Map<String, Value>) -> Option<String> {
        self.rest = self.rest.trim_start();
        if let Some(mut rest) = self.rest.strip_prefix('\'') {
            let mut text = String::new();
            loop {
                let (part, after) = rest.split_once('\'')?;
                text.push_str(part);
                match after.strip_prefix('\'') {
                    Some(more) => {
                        text.push('\'');
                        rest = more;
                    }
                    None => {
                        self.rest = after;
                        return Some(text);
                    }
                }
            }
        }
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        if !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit()) {
            return Some(word.to_owned());
        }
        match row.get(word)? {
            Value::String(text) => Some(text.clone()),
            Value::Null => Some(String::new()),
            other => Some(other.to_string()),
        }
    }

    /// Skips a bracket with all that is in it.
    fn bracket(&mut self) -> Option<()> {
        self.take("(").then_some(())?;
        let mut depth = 1;
        let end = self.rest.find(|c: char| {
            depth += match c {
                '(' => 1,
                ')' => -1,
                _ => 0,
            };
            depth == 0
        })?;
        self.rest = &self.rest[end + 1..];
        Some(())
    }

    fn take(&mut self, sign: &str) -> bool {
        let here = self.rest.trim_start();
        here.strip_prefix(sign).is_some_and(|rest| {
            self.rest = rest;
            true
        })
    }

    fn take_word(&mut self, word: &str) -> bool {
        let here: &'a str = self.rest.trim_start();
        let fits = here.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
            && !here[word.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
        if fits {
            self.rest = &here[word.len()..];
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn conditions_are_kept_to_or_refused() {
        let row = json!({"A": "o'x", "N": 7, "DecisionLevel": 1});
        let row = row.as_object().unwrap();
        for (condition, expected) in [
            ("A = 'o''x' and (N > 6) and exists (select 1 from T t where (t.X = 1))", Some(true)),
            ("A in ('a', 'o''x')", Some(true)),
            ("A > 'o''w' and N = 8", Some(false)),
            ("1 = 0", Some(false)),
            ("", Some(true)),
            ("Missing = 1", None),
            ("A = 'x' or N = 7", None),
            ("A = 'open", None),
        ] {
            assert_eq!(fits(condition, row), expected, "{condition}");
        }
    }
}
