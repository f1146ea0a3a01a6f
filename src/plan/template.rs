//! Ticket templates: Handlebars fills the neutral markup, strictly, each value escaped into it.
//!
//! A template is a line `summary: …` (a comment may stand before it), then the text. In the text, `{{quote reason}}`
//! makes a quotation of free text, and `{{markup instructions}}` keeps the markup of the configured instructions:
//! nothing else is ever put in unescaped.

use std::collections::BTreeMap;

use handlebars::{
    Context, Handlebars, Helper, HelperDef, HelperResult, Output, RenderContext, RenderErrorReason, Template, no_escape,
};

use super::fill::FillError;
use super::markup::{clip_line, escape, quote};
use crate::catalog::{Catalog, Problem};

/// Longest summary in a draft, characters; a desk may cut further.
const MAX_SUMMARY: usize = 250;

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
    parsed: BTreeMap<String, Parsed>,
    partials: BTreeMap<String, Template>,
}

/// A template's syntax trees, for lint.
#[derive(Debug, Clone)]
pub(super) struct Parsed {
    /// Where it came from.
    pub origin: String,
    /// Tree of the summary and the line it stands on.
    pub summary: (Template, usize),
    /// Tree of the text and the line it begins on.
    pub body: (Template, usize),
}

impl Templates {
    /// Compiles every template and partial. Those that do not compile are left out and told.
    pub(super) fn compile(catalog: &Catalog) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut bodies = engine(escape);
        bodies.register_helper("quote", Box::new(Quote));
        bodies.register_helper("markup", Box::new(Markup));
        let mut templates = Self {
            bodies,
            summaries: engine(no_escape),
            versions: BTreeMap::new(),
            parsed: BTreeMap::new(),
            partials: BTreeMap::new(),
        };
        for (name, text) in &catalog.partials {
            match compiled(text, 1) {
                Ok(tree) => {
                    templates.bodies.register_template(name, tree.clone());
                    templates.partials.insert(name.clone(), tree);
                }
                Err((line, message)) => problems.push(problem(&partial_origin(name), line, message)),
            }
        }
        for (name, source) in &catalog.templates {
            match parsed(&source.origin, &source.text) {
                Ok(parsed) => {
                    templates.bodies.register_template(&body_name(name), parsed.body.0.clone());
                    templates.summaries.register_template(name, parsed.summary.0.clone());
                    templates.parsed.insert(name.clone(), parsed);
                }
                Err((line, message)) => problems.push(problem(&source.origin, line, message)),
            }
            templates.versions.insert(name.clone(), source.version.clone());
        }
        (templates, problems)
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
    pub fn fill(&self, name: &str, context: &Context) -> Result<Text, FillError> {
        if !self.parsed.contains_key(name) {
            return Err(FillError(format!("there is no ticket template `{name}`")));
        }
        let trouble = |e: handlebars::RenderError| {
            let line = e.line_no.map_or(String::new(), |line| format!(" (line {line} of its part)"));
            FillError(format!("ticket template `{name}`{line}: {}", e.reason()))
        };
        let summary = self.summaries.render_with_context(name, context).map_err(trouble)?;
        let body = self.bodies.render_with_context(&body_name(name), context).map_err(trouble)?;
        Ok(Text { summary: clip_line(&summary, MAX_SUMMARY), body: without_gaps(&body) })
    }

    /// Syntax trees of a template.
    pub(super) fn parsed(&self) -> &BTreeMap<String, Parsed> {
        &self.parsed
    }

    /// Syntax trees of partials.
    pub(super) fn partials(&self) -> &BTreeMap<String, Template> {
        &self.partials
    }
}

/// A partial's file, for messages.
pub(super) fn partial_origin(name: &str) -> String {
    format!("templates/partials/{name}.hbs")
}

/// Partials are looked up in the same registry: a prefix that no file name has keeps the two apart.
fn body_name(name: &str) -> String {
    format!("ticket:{name}")
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

/// Line in the file, and what is wrong there.
type Wrong = (usize, String);

fn parsed(origin: &str, text: &str) -> Result<Parsed, Wrong> {
    let (summary, line, body) = split(text)?;
    Ok(Parsed {
        origin: origin.to_owned(),
        summary: (compiled(summary, line)?, line),
        body: (compiled(body, line + 1)?, line + 1),
    })
}

/// The summary, its line, and the text after it. A leading comment is skipped.
fn split(text: &str) -> Result<(&str, usize, &str), Wrong> {
    let mut rest = text.trim_start();
    if let Some(comment) = rest.strip_prefix("{{!--") {
        let end = comment.find("--}}").ok_or((1, "this comment does not end: `--}}` is missing".to_owned()))?;
        rest = comment[end + 4..].trim_start();
    }
    let line = text[..text.len() - rest.len()].matches('\n').count() + 1;
    let (first, body) = rest.split_once('\n').unwrap_or((rest, ""));
    let summary = first.strip_prefix("summary:").map(str::trim).filter(|s| !s.is_empty());
    let summary = summary.ok_or((line, "a template begins with the line `summary: …`; the text follows below it".to_owned()))?;
    Ok((summary, line, body))
}

/// `first_line`: where the part begins in its file.
fn compiled(text: &str, first_line: usize) -> Result<Template, Wrong> {
    Template::compile(text).map_err(|e| {
        let line = e.pos().map_or(first_line, |(line, _)| line + first_line - 1);
        let words = e.reason().to_string();
        (line, format!("this is no valid template: {}", words.lines().next().unwrap_or_default()))
    })
}

/// Conditions leave empty lines behind: no more than one in a row.
fn without_gaps(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut empty = 1;
    for line in text.lines().map(str::trim_end) {
        empty = if line.is_empty() { empty + 1 } else { 0 };
        if empty < 2 {
            out.push_str(line);
            out.push('\n');
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// `{{quote reason}}`.
struct Quote;

impl HelperDef for Quote {
    fn call<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        _: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let value = h.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("quote", 0))?;
        out.write(&quote(value.value().as_str().unwrap_or_default()))?;
        Ok(())
    }
}

/// `{{markup instructions}}`: the only text that keeps its markup, since it is written in the configuration.
struct Markup;

impl HelperDef for Markup {
    fn call<'reg: 'rc, 'rc>(
        &self,
        h: &Helper<'rc>,
        _: &'reg Handlebars<'reg>,
        context: &'rc Context,
        _: &mut RenderContext<'reg, 'rc>,
        out: &mut dyn Output,
    ) -> HelperResult {
        let value = h.param(0).ok_or(RenderErrorReason::ParamNotFoundForIndex("markup", 0))?;
        let instructions = context.data().get("instructions");
        if instructions != Some(value.value()) {
            return Err(RenderErrorReason::Other("`markup` is for `instructions` only: all else is escaped".to_owned()).into());
        }
        out.write(value.value().as_str().unwrap_or_default().trim())?;
        Ok(())
    }
}
