//! The one door from neutral markup to what a desk shows.

use serde_json::{Value, json};

use crate::plan::markup::{parse, to_adf, to_plain, to_wiki};

/// Room kept for the line with the mark: what is clipped is the text before it, never the mark.
const MARK_ROOM: usize = 100;

/// Neutral markup as plain text of at most `max` characters.
pub(super) fn plain(markup: &str, max: usize) -> String {
    to_plain(&parse(markup), max)
}

/// Neutral markup as Jira wiki text of at most `max` characters.
pub(super) fn wiki(markup: &str, max: usize) -> String {
    to_wiki(&parse(markup), max)
}

/// Neutral markup as an Atlassian Document of at most `max` characters of text.
pub(super) fn adf(markup: &str, max: usize) -> Value {
    to_adf(&parse(markup), max)
}

/// Plain text with the findable line of a comment under it.
pub(super) fn plain_with_mark(markup: &str, mark: &str, max: usize) -> String {
    format!("{}\n\nref {mark}", plain(markup, max.saturating_sub(MARK_ROOM)))
}

/// Wiki text with the findable line of a comment under it.
pub(super) fn wiki_with_mark(markup: &str, mark: &str, max: usize) -> String {
    format!("{}\n\nref {mark}", wiki(markup, max.saturating_sub(MARK_ROOM)))
}

/// A document with the findable line of a comment at its end.
pub(super) fn adf_with_mark(markup: &str, mark: &str, max: usize) -> Value {
    let mut document = adf(markup, max.saturating_sub(MARK_ROOM));
    if let Some(content) = document.get_mut("content").and_then(Value::as_array_mut) {
        content.push(json!({"type": "paragraph", "content": [{"type": "text", "text": format!("ref {mark}")}]}));
    }
    document
}

/// Whether a comment carries the mark; a desk may have put backslashes before its hyphens.
pub(super) fn has_mark(body: &Value, mark: &str) -> bool {
    adf_text(body).replace('\\', "").contains(mark)
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
            if matches!(kind, "paragraph" | "heading" | "hardBreak" | "codeBlock") && !out.ends_with('\n') {
                out.push('\n');
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_whatever_is_clipped() {
        let long = "word ".repeat(2_000);
        for shown in [plain_with_mark(&long, "lmc-x", 500), wiki_with_mark(&long, "lmc-x", 500)] {
            assert!(shown.chars().count() <= 500, "{}", shown.chars().count());
            assert!(shown.ends_with("ref lmc-x") && has_mark(&json!(shown), "lmc-x"));
        }
        assert!(has_mark(&adf_with_mark(&long, "lmc-x", 500), "lmc-x"));
        assert!(has_mark(&json!("ref lmc\\-x"), "lmc-x"));
    }

    #[test]
    fn a_document_reads_back_as_its_text() {
        let text = adf_text(&adf("First *line*\n\n- a\n- b", 500));
        assert_eq!(text, "First line\na\nb");
        assert_eq!(clip("abcdef", 4), "abc…");
    }
}
