//! Ticket templates: Handlebars fills the neutral markup, strictly, each value escaped into it.

use std::collections::BTreeMap;

use handlebars::Handlebars;
use serde_json::{Value, json};

use crate::catalog::{Catalog, Problem, Problems};
use crate::model::{Assignment, Key};

/// The filled parts of a ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// One line.
    pub summary: String,
    /// Neutral markup.
    pub body: String,
}

/// All ticket templates of a catalog, compiled.
#[derive(Debug, Clone)]
pub struct Templates {
    bodies: Handlebars<'static>,
    summaries: Handlebars<'static>,
    versions: BTreeMap<String, String>,
}

impl Templates {
    /// Compiles every template and tries each on sample orders: once with everything an order can have, once with
    /// only what it must have.
    ///
    /// # Errors
    /// Every template that does not compile or names what does not exist.
    pub fn new(catalog: &Catalog) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let mut bodies = engine(escape_markup);
        let mut summaries = engine(one_line);
        for (name, text) in &catalog.partials {
            if let Err(error) = bodies.register_partial(name, text) {
                problems.push(problem(&format!("templates/partials/{name}.hbs"), 0, error.to_string()));
            }
        }
        let mut versions = BTreeMap::new();
        for (name, source) in &catalog.templates {
            match split(&source.text) {
                Ok((summary, body)) => {
                    let summary = summaries.register_template_string(name, summary);
                    let body = bodies.register_template_string(name, body);
                    for error in [summary.err(), body.err()].into_iter().flatten() {
                        problems.push(problem(
                            &source.origin,
                            error.pos().map_or(0, |(line, _)| line + 2),
                            error.reason().to_string(),
                        ));
                    }
                }
                Err(message) => problems.push(problem(&source.origin, 1, message)),
            }
            versions.insert(name.clone(), source.version.clone());
        }
        let templates = Self { bodies, summaries, versions };
        if problems.is_empty() {
            templates.lint(catalog, &mut problems);
        }
        if problems.is_empty() { Ok(templates) } else { Err(Problems(problems)) }
    }

    /// Version of a template.
    #[must_use]
    pub fn version(&self, name: &str) -> &str {
        self.versions.get(name).map_or("-", String::as_str)
    }

    /// Fills a template.
    ///
    /// # Errors
    /// Words for people: a missing name, an unknown template.
    pub fn fill(&self, name: &str, context: &Value) -> Result<Text, String> {
        let summary = self.summaries.render(name, context).map_err(|e| e.to_string())?;
        let body = self.bodies.render(name, context).map_err(|e| e.to_string())?;
        Ok(Text { summary: super::markup::clip_line(&summary, 250), body })
    }

    fn lint(&self, catalog: &Catalog, problems: &mut Vec<Problem>) {
        let full = super::lint::full_context();
        for (name, source) in &catalog.templates {
            for unknown in super::lint::unknown_paths(&source.text, &full) {
                problems.push(problem(&source.origin, unknown.line, format!("`{}` does not exist in an order", unknown.path)));
            }
            for context in [full.clone(), super::lint::bare_context()] {
                if let Err(error) = self.fill(name, &context) {
                    problems.push(problem(&source.origin, 0, error));
                }
            }
        }
        problems.sort();
        problems.dedup();
    }
}

fn problem(file: &str, line: usize, message: String) -> Problem {
    Problem { file: file.into(), line, message, help: None }
}

fn engine(escape: fn(&str) -> String) -> Handlebars<'static> {
    let mut engine = Handlebars::new();
    engine.set_strict_mode(true);
    engine.register_escape_fn(escape);
    engine
}

/// First line `summary: …`, then the body.
fn split(text: &str) -> Result<(&str, &str), String> {
    let (first, body) = text.split_once('\n').unwrap_or((text, ""));
    let summary = first.strip_prefix("summary:").ok_or("the first line is `summary: ` and the ticket's summary")?;
    if text.contains("{{{") {
        return Err("`{{{` would let an order's text become markup; write `{{`".to_owned());
    }
    Ok((summary.trim(), body))
}

/// A value cannot become markup: what has a meaning in it is escaped, lines stay in their place.
fn escape_markup(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => out.push(' '),
            c if is_hidden(c) => {}
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '#' | '+' | '!' | '|' | '~' | '&' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

fn one_line(text: &str) -> String {
    text.chars().filter(|c| !is_hidden(*c)).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Control, zero-width and direction characters: they can make a line look like another.
pub(super) fn is_hidden(c: char) -> bool {
    (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// What a template may use: an allow-list, so that nothing enters a ticket by accident.
#[must_use]
pub fn context(
    order: &Assignment,
    key: &Key,
    instructions: Option<&str>,
    lane_ticket: Option<&str>,
    application_name: Option<&str>,
) -> Value {
    let person = |p: &crate::model::Person| json!({"id": p.id, "name": p.name.as_deref().unwrap_or(&p.id)});
    let day = |t: Option<crate::model::Timestamp>| t.map(crate::model::Timestamp::human);
    json!({
        "key": key,
        "source": order.source,
        "external_id": order.external_id,
        "operation": {"id": order.operation.as_str(), "title": order.operation.human(), "revocation": order.operation.is_revocation()},
        "application": {"id": order.application.id, "name": application_name.unwrap_or(&order.application.name)},
        "entitlement": order.entitlement.as_ref().map(|e| json!({"id": e.id, "name": e.name})),
        "account": order.account,
        "subject": order.subject(),
        "beneficiary": person(&order.beneficiary),
        "requester": order.requester.as_ref().map(person),
        "approvers": order.approvals.iter().map(|a| a.by.name.clone().unwrap_or_else(|| a.by.id.clone())).collect::<Vec<_>>(),
        "requested_at": day(order.requested_at),
        "approved_at": day(order.approved_at),
        "valid_from": day(order.valid_from),
        "valid_until": day(order.valid_until),
        "priority": priority_word(order.priority),
        "reason": order.reason,
        "instructions": instructions,
        "lane_ticket": lane_ticket,
    })
}

fn priority_word(priority: i64) -> &'static str {
    match priority {
        ..=0 => "low",
        1 => "normal",
        2 => "high",
        _ => "urgent",
    }
}
