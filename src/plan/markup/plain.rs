//! Blocks → plain text.

use super::cut::fit;
use super::{Block, Inline};

/// Renders; at most `max` characters.
#[must_use]
pub fn to_plain(blocks: &[Block], max: usize) -> String {
    render(&fit(blocks, |b| render(b).chars().count() <= max))
}

fn render(blocks: &[Block]) -> String {
    blocks.iter().map(block).collect::<String>().trim_end().to_owned()
}

fn block(block_: &Block) -> String {
    match block_ {
        Block::Heading(_, text) => {
            let text = inlines(text);
            format!("{text}\n{}\n\n", "-".repeat(text.chars().count()))
        }
        Block::Paragraph(text) => format!("{}\n\n", inlines(text)),
        Block::List { ordered, items } => {
            let mut out = String::new();
            for (n, item) in items.iter().enumerate() {
                let mark = if *ordered { format!("{}. ", n + 1) } else { "- ".to_owned() };
                let inner: String = item.iter().map(block).collect();
                out.push_str(&mark);
                out.push_str(&inner.trim_end().replace('\n', "\n   "));
                out.push('\n');
            }
            out.push('\n');
            out
        }
        Block::Table { rows, .. } => {
            let mut out: String =
                rows.iter().map(|row| format!("{}\n", row.iter().map(|c| inlines(c)).collect::<Vec<_>>().join(": "))).collect();
            out.push('\n');
            out
        }
        Block::Quote(inner) => {
            let inner: String = inner.iter().map(block).collect();
            format!("{}\n\n", inner.trim_end().lines().map(|l| format!("> {l}")).collect::<Vec<_>>().join("\n"))
        }
        Block::Code(text) => format!("{}\n\n", text.trim_end()),
        Block::Rule => "----\n\n".to_owned(),
    }
}

fn inlines(text: &[Inline]) -> String {
    text.iter()
        .map(|inline| match inline {
            Inline::Text(text) | Inline::Code(text) => text.clone(),
            Inline::Strong(inner) | Inline::Emphasis(inner) => inlines(inner),
            Inline::Link { url, text } => format!("{} <{url}>", inlines(text)),
            Inline::Break => "\n".to_owned(),
        })
        .collect()
}
