//! The neutral markup of tickets: a small subset of Markdown, parsed to blocks that each desk renders.

/// A block of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// Heading of level 1 … 3.
    Heading(u8, Vec<Inline>),
    /// Paragraph.
    Paragraph(Vec<Inline>),
    /// List; each item holds blocks.
    List {
        /// Numbered.
        ordered: bool,
        /// Items.
        items: Vec<Vec<Block>>,
    },
    /// Table: header cells, then rows.
    Table {
        /// Header cells.
        header: Vec<Vec<Inline>>,
        /// Rows of cells.
        rows: Vec<Vec<Vec<Inline>>>,
    },
    /// Quoted blocks: a requester's words stand in one.
    Quote(Vec<Block>),
    /// Preformatted text.
    Code(String),
    /// Horizontal line.
    Rule,
}

/// A run of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inline {
    /// Literal text.
    Text(String),
    /// Important.
    Strong(Vec<Inline>),
    /// Stressed.
    Emphasis(Vec<Inline>),
    /// Code.
    Code(String),
    /// Link; only http, https and mailto.
    Link {
        /// Address.
        url: String,
        /// Shown text.
        text: Vec<Inline>,
    },
    /// Line break.
    Break,
}
