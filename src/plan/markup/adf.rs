//! Blocks → Atlassian Document Format, as Jira's v3 API takes it. A tree of nodes: text never becomes structure.

use serde_json::{Value, json};

use super::{Block, Inline, SHORTENED};

/// Renders a document node; at most `max` characters of text.
#[must_use]
pub fn to_adf(blocks: &[Block], max: usize) -> Value {
    let mut left = max;
    let mut content = Vec::new();
    for block in blocks {
        let node = node(block);
        let length = letters(&node);
        if length > left {
            content.push(json!({"type": "paragraph", "content": [{"type": "text", "text": SHORTENED}]}));
            break;
        }
        left -= length;
        content.push(node);
    }
    json!({"type": "doc", "version": 1, "content": content})
}

fn letters(node: &Value) -> usize {
    let own = node["text"].as_str().map_or(0, |t| t.chars().count());
    own + node["content"].as_array().map_or(0, |inner| inner.iter().map(letters).sum())
}

fn node(block: &Block) -> Value {
    let nodes = |blocks: &[Block]| blocks.iter().map(node).collect::<Vec<_>>();
    match block {
        Block::Heading(level, text) => json!({"type": "heading", "attrs": {"level": level}, "content": inlines(text, &[])}),
        Block::Paragraph(text) => paragraph(text),
        Block::List { ordered, items } => {
            let items: Vec<Value> = items.iter().map(|i| json!({"type": "listItem", "content": nodes(i)})).collect();
            json!({"type": if *ordered { "orderedList" } else { "bulletList" }, "content": items})
        }
        Block::Table { header, rows } => {
            let row = |cells: &[Vec<Inline>], kind: &str| {
                let cells: Vec<Value> =
                    cells.iter().map(|c| json!({"type": kind, "attrs": {}, "content": [paragraph(c)]})).collect();
                json!({"type": "tableRow", "content": cells})
            };
            let mut all = Vec::new();
            if header.iter().any(|c| !c.is_empty()) {
                all.push(row(header, "tableHeader"));
            }
            all.extend(rows.iter().map(|r| row(r, "tableCell")));
            json!({"type": "table", "content": all})
        }
        Block::Quote(inner) => json!({"type": "blockquote", "content": nodes(inner)}),
        Block::Code(text) => json!({"type": "codeBlock", "content": [{"type": "text", "text": text.trim_end()}]}),
        Block::Rule => json!({"type": "rule"}),
    }
}

fn paragraph(text: &[Inline]) -> Value {
    json!({"type": "paragraph", "content": inlines(text, &[])})
}

fn inlines(text: &[Inline], marks: &[Value]) -> Vec<Value> {
    let with = |mark: Value| {
        let mut all = marks.to_vec();
        all.push(mark);
        all
    };
    let mut out = Vec::new();
    for inline in text {
        match inline {
            Inline::Text(text) => out.extend(leaf(text, marks)),
            Inline::Code(text) => out.extend(leaf(text, &[json!({"type": "code"})])),
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
