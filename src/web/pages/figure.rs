//! A figure: a picture, and a table of the same numbers beside it.

use serde::Serialize;

/// A picture with its table; drawn by `figure.hbs`.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Figure {
    /// Anchor on the page.
    pub(super) id: &'static str,
    pub(super) title: String,
    pub(super) help: String,
    pub(super) svg: Option<String>,
    /// Why there is no picture.
    pub(super) few: Option<String>,
    pub(super) head: Vec<&'static str>,
    pub(super) rows: Vec<Row>,
    /// n, period, as of, accuracy.
    pub(super) note: String,
    /// Across the page.
    pub(super) wide: bool,
}

/// A row of the table.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Row {
    /// Colour in the picture, by its name in the style sheet.
    pub(super) key: Option<&'static str>,
    pub(super) name: String,
    pub(super) link: Option<String>,
    pub(super) cells: Vec<Cell>,
}

/// A cell of the table.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Cell {
    pub(super) text: String,
    /// What is behind the number.
    pub(super) link: Option<String>,
    /// Words instead of a number.
    pub(super) few: bool,
    pub(super) alarm: bool,
}

impl Cell {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// A count that leads to what is behind it, unless it is none.
    pub(super) fn count(n: i64, link: String) -> Self {
        Self { text: n.to_string(), link: (n > 0).then_some(link), ..Self::default() }
    }

    /// A count of what should be none.
    pub(super) fn bad(n: i64, link: String) -> Self {
        Self { alarm: n > 0, ..Self::count(n, link) }
    }

    /// What is said where a figure would be of too few.
    pub(super) fn few() -> Self {
        Self { text: "too few".to_owned(), few: true, ..Self::default() }
    }

    pub(super) fn or_few(text: Option<String>) -> Self {
        text.map_or_else(Self::few, Self::text)
    }
}
