//! Blocks → HTML, for desks that take it.

use super::cut::fit;
use super::{Block, Inline};

/// Renders; at most `max` characters.
#[must_use]
pub fn to_html(blocks: &[Block], max: usize) -> String {
    render(&fit(blocks, |b| render(b).chars().count() <= max))
}

fn render(blocks: &[Block]) -> String {
    blocks.iter().map(block).collect::<String>().trim_end().to_owned()
}

fn block(block_: &Block) -> String {
    match block_ {
        Block::Heading(level, text) => format!("<h{level}>{}</h{level}>\n", inlines(text)),
        Block::Paragraph(text) => format!("<p>{}</p>\n", inlines(text)),
        Block::List { ordered, items } => {
            let tag = if *ordered { "ol" } else { "ul" };
            let items: String =
                items.iter().map(|item| format!("<li>{}</li>", item.iter().map(block).collect::<String>())).collect();
            format!("<{tag}>{items}</{tag}>\n")
        }
        Block::Table { header, rows } => {
            let row = |cells: &[Vec<Inline>], tag: &str| {
                let cells: String = cells.iter().map(|c| format!("<{tag}>{}</{tag}>", inlines(c))).collect();
                format!("<tr>{cells}</tr>")
            };
            let head = if header.iter().any(|c| !c.is_empty()) { row(header, "th") } else { String::new() };
            format!("<table>{head}{}</table>\n", rows.iter().map(|r| row(r, "td")).collect::<String>())
        }
        Block::Quote(inner) => format!("<blockquote>{}</blockquote>\n", inner.iter().map(block).collect::<String>()),
        Block::Code(text) => format!("<pre>{}</pre>\n", escape(text)),
        Block::Rule => "<hr>\n".to_owned(),
    }
}

fn inlines(text: &[Inline]) -> String {
    text.iter()
        .map(|inline| match inline {
            Inline::Text(text) => escape(text),
            Inline::Strong(inner) => format!("<strong>{}</strong>", inlines(inner)),
            Inline::Emphasis(inner) => format!("<em>{}</em>", inlines(inner)),
            Inline::Code(text) => format!("<code>{}</code>", escape(text)),
            Inline::Link { url, text } => {
                format!("<a href=\"{}\" rel=\"noopener noreferrer\">{}</a>", escape(url), inlines(text))
            }
            Inline::Break => "<br>".to_owned(),
        })
        .collect()
}

fn escape(text: &str) -> String {
    handlebars::html_escape(text)
}
