//! Blocks → Atlassian Document Format, as Jira's v3 API takes it. A tree of nodes: text never becomes structure.
//! The format does not let everything stand in everything; what may not is shown in a plainer way.

use serde_json::{Value, json};

use super::cut::fit;
use super::{Block, Inline};

/// Renders a document node; at most `max` characters of JSON.
#[must_use]
pub fn to_adf(blocks: &[Block], max: usize) -> Value {
    render(&fit(blocks, |b| render(b).to_string().chars().count() <= max))
}

fn render(blocks: &[Block]) -> Value {
    json!({"type": "doc", "version": 1, "content": nodes(blocks, Within::Document)})
}

/// Where a node stands decides what it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    Document,
    Item,
    Quote,
}

fn nodes(blocks: &[Block], within: Within) -> Vec<Value> {
    blocks.iter().flat_map(|block| node(block, within)).collect()
}

fn node(block: &Block, within: Within) -> Vec<Value> {
    let top = within == Within::Document;
    match block {
        Block::Heading(level, text) if top => {
            vec![json!({"type": "heading", "attrs": {"level": level}, "content": inlines(text, &[])})]
        }
        Block::Heading(_, text) => vec![paragraph(&[Inline::Strong(text.clone())])],
        Block::Paragraph(text) => vec![paragraph(text)],
        Block::List { ordered, items } => list(*ordered, items),
        Block::Table { header, rows } if top => table(header, rows).into_iter().collect(),
        Block::Table { header, rows } => std::iter::once(header).chain(rows).filter_map(|row| row_as_line(row)).collect(),
        Block::Quote(inner) if top => match nodes(inner, Within::Quote) {
            inner if inner.is_empty() => Vec::new(),
            inner => vec![json!({"type": "blockquote", "content": inner})],
        },
        Block::Quote(inner) => nodes(inner, within),
        Block::Code(text) => {
            let text = text.trim_end();
            let content: Vec<Value> = leaf(text, &[]).into_iter().collect();
            vec![json!({"type": "codeBlock", "content": content})]
        }
        Block::Rule if top => vec![json!({"type": "rule"})],
        Block::Rule => Vec::new(),
    }
}

/// An item holds something, and begins with a paragraph.
fn list(ordered: bool, items: &[Vec<Block>]) -> Vec<Value> {
    let items: Vec<Value> = items
        .iter()
        .map(|item| {
            let mut inner = nodes(item, Within::Item);
            if inner.first().is_none_or(|first| first["type"] != "paragraph") {
                inner.insert(0, paragraph(&[]));
            }
            json!({"type": "listItem", "content": inner})
        })
        .collect();
    if items.is_empty() {
        return Vec::new();
    }
    vec![json!({"type": if ordered { "orderedList" } else { "bulletList" }, "content": items})]
}

fn table(header: &[Vec<Inline>], rows: &[Vec<Vec<Inline>>]) -> Option<Value> {
    let row = |cells: &[Vec<Inline>], kind: &str| {
        let cells: Vec<Value> = cells.iter().map(|c| json!({"type": kind, "attrs": {}, "content": [paragraph(c)]})).collect();
        json!({"type": "tableRow", "content": cells})
    };
    let head = header.iter().any(|c| !c.is_empty()).then(|| row(header, "tableHeader"));
    let all: Vec<Value> = head.into_iter().chain(rows.iter().map(|r| row(r, "tableCell"))).collect();
    (!all.is_empty()).then(|| json!({"type": "table", "content": all}))
}

fn row_as_line(cells: &[Vec<Inline>]) -> Option<Value> {
    let mut line: Vec<Inline> = Vec::new();
    for cell in cells.iter().filter(|c| !c.is_empty()) {
        if !line.is_empty() {
            line.push(Inline::Text(": ".to_owned()));
        }
        line.extend(cell.iter().cloned());
    }
    (!line.is_empty()).then(|| paragraph(&line))
}

fn paragraph(text: &[Inline]) -> Value {
    json!({"type": "paragraph", "content": inlines(text, &[])})
}

fn inlines(text: &[Inline], marks: &[Value]) -> Vec<Value> {
    let with = |mark: Value| -> Vec<Value> {
        if marks.contains(&mark) { marks.to_vec() } else { marks.iter().cloned().chain([mark]).collect() }
    };
    let mut out = Vec::new();
    for inline in text {
        match inline {
            Inline::Text(text) => out.extend(leaf(text, marks)),
            // a code mark stands with no other but a link
            Inline::Code(text) => {
                let links = marks.iter().filter(|m| m["type"] == "link").cloned();
                let marks: Vec<Value> = links.chain([json!({"type": "code"})]).collect();
                out.extend(leaf(text, &marks));
            }
            Inline::Strong(inner) => out.extend(inlines(inner, &with(json!({"type": "strong"})))),
            Inline::Emphasis(inner) => out.extend(inlines(inner, &with(json!({"type": "em"})))),
            Inline::Link { url, text } => out.extend(inlines(text, &with(json!({"type": "link", "attrs": {"href": url}})))),
            Inline::Break => out.push(json!({"type": "hardBreak"})),
        }
    }
    out
}

/// Empty text nodes are refused by Jira.
fn leaf(text: &str, marks: &[Value]) -> Option<Value> {
    if text.is_empty() {
        return None;
    }
    let mut node = json!({"type": "text", "text": text});
    if !marks.is_empty() {
        node["marks"] = json!(marks);
    }
    Some(node)
}
