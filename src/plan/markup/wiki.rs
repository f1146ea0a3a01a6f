//! Blocks → wiki text as Jira's v2 API takes it.

use super::{Block, Inline, render_within};

/// Renders; at most `max` characters.
#[must_use]
pub fn to_wiki(blocks: &[Block], max: usize) -> String {
    render_within(blocks, max, |b| block(b, "")).trim_end().to_owned()
}

fn block(block_: &Block, bullets: &str) -> String {
    match block_ {
        Block::Heading(level, text) => format!("h{level}. {}\n\n", inlines(text)),
        Block::Paragraph(text) => format!("{}\n\n", inlines(text)),
        Block::List { ordered, items } => {
            let marks = format!("{bullets}{}", if *ordered { '#' } else { '*' });
            let mut out = String::new();
            for item in items {
                for (n, inner) in item.iter().enumerate() {
                    match inner {
                        Block::List { .. } => out.push_str(block(inner, &marks).trim_end()),
                        other if n == 0 => out.push_str(&format!("{marks} {}", block(other, &marks).trim_end())),
                        other => out.push_str(&format!("\\\\ {}", block(other, &marks).trim_end())),
                    }
                    out.push('\n');
                }
            }
            out.push('\n');
            out
        }
        Block::Table { header, rows } => {
            let mut out = String::new();
            if header.iter().any(|cell| !cell.is_empty()) {
                out.push_str(&header.iter().map(|c| format!("|| {} ", inlines(c))).collect::<String>());
                out.push_str("||\n");
            }
            for row in rows {
                out.push_str(&row.iter().map(|c| format!("| {} ", inlines(c))).collect::<String>());
                out.push_str("|\n");
            }
            out.push('\n');
            out
        }
        Block::Quote(inner) => match inner.as_slice() {
            [Block::Paragraph(text)] => format!("bq. {}\n\n", inlines(text)),
            many => format!("{{quote}}\n{}{{quote}}\n\n", many.iter().map(|b| block(b, "")).collect::<String>()),
        },
        Block::Code(text) => format!("{{noformat}}\n{}\n{{noformat}}\n\n", text.trim_end().replace("{noformat}", "(noformat)")),
        Block::Rule => "----\n\n".to_owned(),
    }
}

fn inlines(text: &[Inline]) -> String {
    text.iter()
        .map(|inline| match inline {
            Inline::Text(text) => escape(text),
            Inline::Strong(inner) => format!("*{}*", inlines(inner)),
            Inline::Emphasis(inner) => format!("_{}_", inlines(inner)),
            Inline::Code(text) => format!("{{{{{}}}}}", escape(text)),
            Inline::Link { url, text } => format!("[{}|{}]", inlines(text), url.replace(['|', ']', '[', '{', '}'], "")),
            Inline::Break => "\\\\".to_owned(),
        })
        .collect()
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '{' | '}' | '[' | ']' | '|' | '*' | '!' | '\\' | '^' | '~') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
