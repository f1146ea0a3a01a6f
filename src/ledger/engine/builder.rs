//! A statement put together from parts; values are bound, never written into the text.

use std::fmt::{Display, Write as _};
use std::marker::PhantomData;

use super::{Arg, Query, QueryAs, QueryScalar, query};

/// Parts of a statement and their values.
#[derive(Debug, Default)]
pub(in crate::ledger) struct QueryBuilder {
    text: String,
    args: Vec<Arg>,
}

impl QueryBuilder {
    pub(in crate::ledger) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), args: Vec::new() }
    }

    /// Text of our own.
    pub(in crate::ledger) fn push(&mut self, part: impl Display) -> &mut Self {
        // writing to a String cannot fail
        let _ = write!(self.text, "{part}");
        self
    }

    /// A value, in the place of the next number.
    pub(in crate::ledger) fn push_bind(&mut self, value: impl Into<Arg>) -> &mut Self {
        self.args.push(value.into());
        let number = self.args.len();
        self.push('$').push(number)
    }

    /// A list.
    pub(in crate::ledger) fn separated(&mut self, separator: &'static str) -> Separated<'_> {
        Separated { query: self, separator, begun: false }
    }

    /// The text so far.
    #[cfg(test)]
    pub(in crate::ledger) fn sql(&self) -> &str {
        &self.text
    }

    pub(in crate::ledger) fn build(&mut self) -> Query {
        let mut built = query(std::mem::take(&mut self.text));
        built.args = std::mem::take(&mut self.args);
        built
    }

    pub(in crate::ledger) fn build_query_as<T>(&mut self) -> QueryAs<T> {
        QueryAs(self.build(), PhantomData)
    }

    pub(in crate::ledger) fn build_query_scalar<T>(&mut self) -> QueryScalar<T> {
        QueryScalar(self.build(), PhantomData)
    }
}

/// Items of a list within a statement.
pub(in crate::ledger) struct Separated<'q> {
    query: &'q mut QueryBuilder,
    separator: &'static str,
    begun: bool,
}

impl Separated<'_> {
    fn next(&mut self) {
        if self.begun {
            self.query.push(self.separator);
        }
        self.begun = true;
    }

    pub(in crate::ledger) fn push(&mut self, part: impl Display) -> &mut Self {
        self.next();
        self.query.push(part);
        self
    }

    pub(in crate::ledger) fn push_bind(&mut self, value: impl Into<Arg>) -> &mut Self {
        self.next();
        self.query.push_bind(value);
        self
    }
}
