//! One page that needs nothing else: for mail, and to be kept or printed.

use std::fmt::Write as _;

use super::{Document, Table};

/// The page is looked at on screens, dark and light, and on paper; mail readers take what they understand of it.
const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:75em;padding:0 1em;color:#1b1f24;background:#fff}\
h1{font-size:1.5em}h2{font-size:1.15em;margin-top:2em}table{border-collapse:collapse;font-size:.9em}\
th,td{border:1px solid #8a929b;padding:.3em .6em;text-align:left;vertical-align:top}td.n{text-align:right}\
th{background:#eef1f4}dt{font-weight:600}dd{margin:0 0 .4em 1em}.scroll{overflow-x:auto}\
@media (prefers-color-scheme:dark){body{color:#e6e9ec;background:#15181c}th{background:#262b31}}\
@media print{body{margin:0;max-width:none;color:#000;background:#fff;font-size:10px}th{background:#fff}.scroll{overflow:visible}\
thead{display:table-header-group}tr{break-inside:avoid}}";

impl Document {
    /// The whole document as one HTML file.
    #[must_use]
    pub fn html(&self) -> String {
        let title = escaped(&self.title);
        let mut out = format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
        );
        list(&mut out, &self.about);
        for table in &self.tables {
            table.html(&mut out);
        }
        if !self.definitions.is_empty() {
            out.push_str("<h2>What the words mean</h2>\n");
            list(&mut out, &self.definitions);
        }
        out.push_str("</main>\n</body>\n</html>\n");
        out
    }
}

impl Table {
    fn html(&self, out: &mut String) {
        // writing to a String cannot fail
        let name = escaped(&self.name);
        let _ = writeln!(out, "<h2>{name}</h2>");
        if self.rows.is_empty() {
            out.push_str("<p>Nothing.</p>\n");
            return;
        }
        let _ = write!(out, "<div class=\"scroll\" role=\"region\" aria-label=\"{name}\" tabindex=\"0\"><table>\n<thead><tr>");
        for column in &self.columns {
            let _ = write!(out, "<th scope=\"col\">{}</th>", escaped(&column.heading()));
        }
        out.push_str("</tr></thead>\n<tbody>\n");
        for row in &self.rows {
            out.push_str("<tr>");
            for cell in row {
                let class = if cell.is_number() { " class=\"n\"" } else { "" };
                let _ = write!(out, "<td{class}>{}</td>", escaped(&cell.human()));
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody></table></div>\n");
    }
}

fn list(out: &mut String, pairs: &[(String, String)]) {
    if pairs.is_empty() {
        return;
    }
    out.push_str("<dl>\n");
    for (word, meaning) in pairs {
        let _ = writeln!(out, "<dt>{}</dt><dd>{}</dd>", escaped(word), escaped(meaning));
    }
    out.push_str("</dl>\n");
}

/// Text inside an element or a quoted attribute; what no page may hold is left out.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}
