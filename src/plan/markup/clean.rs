//! Text of others, made harmless: for one line, and for the inside of neutral markup.

/// Control, zero-width and direction characters: they can make a line look like another. The joiners that some
/// scripts need inside words stay.
pub(crate) fn is_hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// One line: runs of white space become one space, hidden characters go.
#[must_use]
pub fn clean_line(text: &str) -> String {
    let visible: String = text.chars().filter(|c| !is_hidden(*c)).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// As [`clean_line`], of at most `max` characters, cut with a visible `…`.
#[must_use]
pub fn clip_line(text: &str, max: usize) -> String {
    let line = clean_line(text);
    if line.chars().count() <= max {
        return line;
    }
    let mut cut: String = line.chars().take(max.saturating_sub(1)).collect();
    if max > 0 {
        cut.push('…');
    }
    cut
}

/// Text as one line of neutral markup in which nothing has a meaning.
#[must_use]
pub fn escape(text: &str) -> String {
    let line = clean_line(text);
    let mut out = String::with_capacity(line.len() + 16);
    for c in line.chars() {
        if has_meaning(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Text of several lines as a quotation in neutral markup; its line breaks stay, nothing else has a meaning.
#[must_use]
pub fn quote(text: &str) -> String {
    let lines: Vec<String> = text.trim().lines().map(escape).collect();
    let mut out = String::new();
    for (n, line) in lines.iter().enumerate() {
        out.push('>');
        if !line.is_empty() {
            out.push(' ');
            out.push_str(line);
            // a hard break, where the same paragraph goes on
            if lines.get(n + 1).is_some_and(|next| !next.is_empty()) {
                out.push('\\');
            }
        }
        out.push('\n');
    }
    out.truncate(out.trim_end_matches(['\n', '>', ' ']).len());
    out
}

/// Characters that can start or end something in Markdown, wherever they stand.
fn has_meaning(c: char) -> bool {
    matches!(
        c,
        '\\' | '`'
            | '*'
            | '_'
            | '{'
            | '}'
            | '['
            | ']'
            | '('
            | ')'
            | '<'
            | '>'
            | '#'
            | '+'
            | '-'
            | '.'
            | '!'
            | '|'
            | '~'
            | '&'
            | '='
            | ':'
    )
}
