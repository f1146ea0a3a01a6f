//! Neutral markup → blocks, by a well-kept Markdown parser; what is beyond the subset stays text.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::{Block, Inline};

/// Parses. Raw HTML stays literal text; links other than http, https and mailto lose their address.
#[must_use]
pub fn parse(text: &str) -> Vec<Block> {
    let mut reader = Reader { events: Parser::new_ext(text, Options::ENABLE_TABLES), depth: 0 };
    reader.blocks(None)
}

/// What stands deeper in itself than this is read as plain text.
const DEEPEST: usize = 12;

struct Reader<'a> {
    events: Parser<'a>,
    depth: usize,
}

impl Reader<'_> {
    /// Blocks up to the end of `until`, or of the text. Inline events without a paragraph (tight lists) make one.
    fn blocks(&mut self, until: Option<TagEnd>) -> Vec<Block> {
        let mut out = Vec::new();
        let mut loose = Vec::new();
        while let Some(event) = self.events.next() {
            if let Some(inline) = self.inline(&event) {
                push(&mut loose, inline);
                continue;
            }
            if !loose.is_empty() {
                out.push(Block::Paragraph(std::mem::take(&mut loose)));
            }
            match event {
                Event::End(end) if Some(end) == until => return out,
                Event::Start(tag) => out.extend(self.block(tag)),
                Event::Rule => out.push(Block::Rule),
                _ => {}
            }
        }
        if !loose.is_empty() {
            out.push(Block::Paragraph(loose));
        }
        out
    }

    fn block(&mut self, tag: Tag<'_>) -> Option<Block> {
        if self.depth == DEEPEST {
            return Some(Block::Paragraph(vec![Inline::Text(self.flat())]));
        }
        self.depth += 1;
        let block = self.block_here(tag);
        self.depth -= 1;
        block
    }

    fn block_here(&mut self, tag: Tag<'_>) -> Option<Block> {
        let end = tag.to_end();
        Some(match tag {
            Tag::Heading { level, .. } => Block::Heading(
                match level {
                    HeadingLevel::H1 => 1,
                    HeadingLevel::H2 => 2,
                    _ => 3,
                },
                self.inlines(end),
            ),
            Tag::List(start) => Block::List { ordered: start.is_some(), items: self.items(end) },
            Tag::BlockQuote(_) => Block::Quote(self.blocks(Some(end))),
            Tag::CodeBlock(_) => Block::Code(self.raw(end)),
            Tag::HtmlBlock => Block::Paragraph(vec![Inline::Text(self.raw(end))]),
            Tag::Table(_) => self.table(end),
            _ => Block::Paragraph(self.inlines(end)),
        })
    }

    fn items(&mut self, until: TagEnd) -> Vec<Vec<Block>> {
        let mut items = Vec::new();
        while let Some(event) = self.events.next() {
            match event {
                Event::Start(Tag::Item) => items.push(self.blocks(Some(TagEnd::Item))),
                Event::End(end) if end == until => break,
                _ => {}
            }
        }
        items
    }

    fn table(&mut self, until: TagEnd) -> Block {
        let (mut header, mut rows, mut cells) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(event) = self.events.next() {
            match event {
                Event::Start(Tag::TableCell) => cells.push(self.inlines(TagEnd::TableCell)),
                Event::End(TagEnd::TableHead) => header = std::mem::take(&mut cells),
                Event::End(TagEnd::TableRow) => rows.push(std::mem::take(&mut cells)),
                Event::End(end) if end == until => break,
                _ => {}
            }
        }
        Block::Table { header, rows }
    }

    fn raw(&mut self, until: TagEnd) -> String {
        let mut out = String::new();
        for event in self.events.by_ref() {
            match event {
                Event::Text(text) | Event::Html(text) => out.push_str(&text),
                Event::End(end) if end == until => break,
                _ => {}
            }
        }
        out
    }

    /// The letters up to the end of what has just started.
    fn flat(&mut self) -> String {
        let (mut out, mut open) = (String::new(), 0usize);
        for event in self.events.by_ref() {
            match event {
                Event::Start(_) => open += 1,
                Event::End(_) if open == 0 => break,
                Event::End(_) => open -= 1,
                Event::Text(text) | Event::Code(text) | Event::Html(text) | Event::InlineHtml(text) => out.push_str(&text),
                Event::SoftBreak | Event::HardBreak => out.push(' '),
                _ => {}
            }
        }
        out
    }

    fn inlines(&mut self, until: TagEnd) -> Vec<Inline> {
        if self.depth == DEEPEST {
            return vec![Inline::Text(self.flat())];
        }
        self.depth += 1;
        let mut out = Vec::new();
        while let Some(event) = self.events.next() {
            if matches!(&event, Event::End(end) if *end == until) {
                break;
            }
            if let Some(inline) = self.inline(&event) {
                push(&mut out, inline);
            }
        }
        self.depth -= 1;
        out
    }

    fn inline(&mut self, event: &Event<'_>) -> Option<Inline> {
        Some(match event {
            Event::Text(text) | Event::InlineHtml(text) | Event::Html(text) => Inline::Text(text.to_string()),
            Event::Code(text) => Inline::Code(text.to_string()),
            Event::SoftBreak => Inline::Text(" ".to_owned()),
            Event::HardBreak => Inline::Break,
            Event::Start(Tag::Strong) => Inline::Strong(self.inlines(TagEnd::Strong)),
            Event::Start(Tag::Emphasis) => Inline::Emphasis(self.inlines(TagEnd::Emphasis)),
            Event::Start(Tag::Link { dest_url, .. }) => {
                let text = self.inlines(TagEnd::Link);
                let safe = ["http://", "https://", "mailto:"].iter().any(|s| dest_url.to_lowercase().starts_with(s));
                if safe { Inline::Link { url: dest_url.to_string(), text } } else { Inline::Emphasis(text) }
            }
            Event::Start(Tag::Image { .. }) => Inline::Emphasis(self.inlines(TagEnd::Image)),
            _ => return None,
        })
    }
}

/// Text beside text is one text: the parser splits it at every escape.
fn push(out: &mut Vec<Inline>, inline: Inline) {
    match (out.last_mut(), inline) {
        (Some(Inline::Text(before)), Inline::Text(more)) => before.push_str(&more),
        (_, inline) => out.push(inline),
    }
}
