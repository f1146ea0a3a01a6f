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

mod adf;
mod clean;
mod cut;
mod html;
mod parse;
mod plain;
mod wiki;

pub use adf::to_adf;
pub use clean::{clean_line, clip_line, escape, quote};
pub(crate) use cut::SHORTENED;
pub use html::to_html;
pub use parse::parse;
pub use plain::to_plain;
pub use wiki::to_wiki;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SAMPLE: &str = "**Grant** *Role A* on SAP\n\n| | |\n|---|---|\n| App | SAP \\*x\\* |\n\n### To do\n\n1. open [page](https://a.example/x)\n2. `code`\n\n> quoted <b>words</b>\n";

    #[test]
    fn every_desk_gets_the_same_ticket_in_its_own_marks() {
        let blocks = parse(SAMPLE);
        insta::assert_snapshot!(to_wiki(&blocks, 5_000), @r"
        *Grant* _Role A_ on SAP

        | App | SAP \*x\* |

        h3. To do

        # open [page|https://a.example/x]
        # {{code}}

        bq. quoted <b>words</b>
        ");
        insta::assert_snapshot!(to_plain(&blocks, 5_000), @r"
        Grant Role A on SAP

        App: SAP *x*

        To do
        -----

        1. open page <https://a.example/x>
        2. code

        > quoted <b>words</b>
        ");
        assert!(to_html(&blocks, 5_000).contains("quoted &lt;b&gt;words&lt;/b&gt;"));
        let adf = to_adf(&blocks, 5_000);
        assert_eq!(adf["type"], "doc");
        assert_eq!(
            adf["content"][0]["content"][0],
            serde_json::json!({"type": "text", "text": "Grant", "marks": [{"type": "strong"}]})
        );
    }

    #[test]
    fn links_that_run_something_are_only_text() {
        assert!(!to_html(&parse("[x](javascript:alert(1))"), 500).contains("javascript:alert(1)\""));
    }

    proptest! {
        #[test]
        fn nothing_grows_beyond_its_limit_or_panics(text in "\\PC{0,400}", max in 60usize..200) {
            let blocks = parse(&text);
            prop_assert!(to_plain(&blocks, max).chars().count() <= max);
            prop_assert!(to_wiki(&blocks, max).chars().count() <= max);
            prop_assert!(to_html(&blocks, max).chars().count() <= max);
            prop_assert!(to_adf(&blocks, max * 8).to_string().chars().count() <= max * 8);
            prop_assert!(clip_line(&text, max).chars().count() <= max);
        }

        #[test]
        fn text_of_an_order_never_becomes_html(text in "[<>&\"'a-z ]{0,60}") {
            let html = to_html(&[Block::Paragraph(vec![Inline::Text(text)])], 1_000);
            let inner = html.trim().trim_start_matches("<p>").trim_end_matches("</p>");
            prop_assert!(!inner.contains('<'));
        }
    }
}
