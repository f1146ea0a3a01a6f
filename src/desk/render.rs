//! The one door from neutral markup to what a desk shows.

use pulldown_cmark::{Event, Parser, Tag, TagEnd};
use serde_json::{Value, json};

/// Neutral markup as plain text of at most `max` characters.
pub(super) fn plain(markup: &str, max: usize) -> String {
    let mut out = String::new();
    for event in Parser::new(markup) {
        match event {
            Event::Text(text) | Event::Code(text) => out.push_str(&text),
            Event::SoftBreak | Event::HardBreak => out.push('\n'),
            Event::Start(Tag::Item) => out.push_str("- "),
            Event::Start(Tag::Link { dest_url, .. }) => {
                out.push_str(&dest_url);
                out.push(' ');
            }
            Event::End(TagEnd::Item) => end_line(&mut out),
            Event::End(TagEnd::Paragraph | TagEnd::Heading(_) | TagEnd::CodeBlock | TagEnd::List(_)) => {
                end_line(&mut out);
                out.push('\n');
            }
            Event::Rule => out.push_str("----\n"),
            _ => {}
        }
    }
    clip(out.trim_end(), max)
}

fn end_line(out: &mut String) {
    if !out.ends_with('\n') {
        out.push('\n');
    }
}

/// Neutral markup as Jira wiki text: nothing in it can start a macro, a link or an image.
pub(super) fn wiki(markup: &str, max: usize) -> String {
    let mut out = String::new();
    for c in plain(markup, max).chars() {
        if matches!(c, '{' | '}' | '[' | ']' | '!' | '|' | '\\' | '*' | '^' | '~') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Neutral markup as an Atlassian Document.
pub(super) fn adf(markup: &str, max: usize) -> Value {
    let text = plain(markup, max);
    let paragraphs: Vec<Value> = text.split("\n\n").filter(|p| !p.trim().is_empty()).map(adf_paragraph).collect();
    json!({"type": "doc", "version": 1, "content": paragraphs})
}

fn adf_paragraph(text: &str) -> Value {
    let mut content = Vec::new();
    for line in text.lines().filter(|l| !l.is_empty()) {
        if !content.is_empty() {
            content.push(json!({"type": "hardBreak"}));
        }
        content.push(json!({"type": "text", "text": line}));
    }
    json!({"type": "paragraph", "content": content})
}

/// The text of an Atlassian Document, or of a plain string, with a line per block.
pub(super) fn adf_text(value: &Value) -> String {
    let mut out = String::new();
    collect(value, &mut out, 0);
    out.trim().to_owned()
}

fn collect(value: &Value, out: &mut String, depth: usize) {
    if depth > 64 {
        return;
    }
    match value {
        Value::String(text) => out.push_str(text),
        Value::Object(node) => {
            if let Some(Value::String(text)) = node.get("text") {
                out.push_str(text);
            }
            let kind = node.get("type").and_then(Value::as_str).unwrap_or_default();
            if let Some(Value::Array(children)) = node.get("content") {
                children.iter().for_each(|child| collect(child, out, depth + 1));
            }
            if matches!(kind, "paragraph" | "heading" | "hardBreak" | "codeBlock") {
                end_line(out);
            }
        }
        _ => {}
    }
}

/// At most `max` characters; what is cut is shown by an ellipsis.
pub(super) fn clip(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(max.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// The findable line under a comment.
pub(super) fn with_mark(markup: &str, mark: &str) -> String {
    format!("{markup}\n\nref {mark}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_requester_cannot_become_wiki_macros() {
        let wiki = wiki("Reason: {code} [x|http://evil] !img!", 500);
        assert!(wiki.contains("\\{code\\}") && wiki.contains("\\[x\\|") && wiki.contains("\\!img\\!"), "{wiki}");
    }

    #[test]
    fn a_document_reads_back_as_its_text() {
        let document = adf("First\nline\n\n- a\n- b", 500);
        assert_eq!(adf_text(&document), "First\nline\n- a\n- b");
        assert_eq!(clip("abcdef", 4), "abc…");
    }
}
