//! Blocks → wiki text as Jira's v2 API takes it.

use super::cut::fit;
use super::{Block, Inline};

/// Renders; at most `max` characters.
#[must_use]
pub fn to_wiki(blocks: &[Block], max: usize) -> String {
    let whole = render(blocks);
    if whole.chars().count() <= max { whole } else { render(&fit(blocks, |b| render(b).chars().count() <= max)) }
}

fn render(blocks: &[Block]) -> String {
    blocks.iter().map(|b| block(b, "")).collect::<String>().trim_end().to_owned()
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

/// Text in which nothing has a meaning. Hyphens and underscores between letters or digits have none and stay
/// readable (a key can be searched for); a backslash would double into a line break, so it is written by its number.
fn escape(text: &str) -> String {
    // Most text is letters, digits and spaces alone.
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b' ' | b',' | b':' | b';' | b'/' | b'@' | b'=' | b'\'')) {
        return text.to_owned();
    }
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len() + 8);
    for (n, c) in chars.iter().copied().enumerate() {
        let word = |at: Option<&char>| at.is_some_and(|c| c.is_alphanumeric());
        let before = n.checked_sub(1).and_then(|n| chars.get(n));
        let inside_a_word = word(before) && word(chars.get(n + 1));
        match c {
            '\\' => out.push_str("&#92;"),
            '&' => out.push_str("&amp;"),
            '{' | '}' | '[' | ']' | '|' | '*' | '!' | '^' | '~' | '#' => out.extend(['\\', c]),
            '-' | '_' | '+' if !inside_a_word => out.extend(['\\', c]),
            '?' if before == Some(&'?') || chars.get(n + 1) == Some(&'?') => out.extend(['\\', c]),
            '(' if is_icon(&chars[n..]) => out.push_str("\\("),
            '.' if starts_a_block(&chars[..n]) => out.push_str("&#46;"),
            c if super::clean::is_hidden(c) => {}
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

/// `(x)`, `(/)`, `(on)`: Jira draws a picture.
fn is_icon(from: &[char]) -> bool {
    from.iter().take(6).position(|c| *c == ')').is_some_and(|end| end > 1 && from[1..end].iter().all(|c| !c.is_whitespace()))
}

/// `h1.` and `bq.` begin a heading or a quotation.
fn starts_a_block(before: &[char]) -> bool {
    matches!(before, ['h', '1'..='6'] | ['b', 'q'])
}
