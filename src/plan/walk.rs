//! Walks a template's syntax tree with a sample context beside it, and finds every name that is not there: also in
//! conditions, loops, partials and the branches that a sample would not take.

use std::collections::BTreeMap;
use std::path::PathBuf;

use handlebars::Template;
use handlebars::template::{BlockParam, DecoratorTemplate, HelperTemplate, Parameter, TemplateElement};
use handlebars::{Path, PathSeg};
use serde_json::Value;

use super::template::partial_origin;
use crate::catalog::Problem;
use crate::catalog::file::nearest;

const BLOCKS: [&str; 4] = ["if", "unless", "each", "with"];
const HELPERS: [&str; 13] = ["quote", "markup", "lookup", "len", "eq", "ne", "gt", "gte", "lt", "lte", "and", "or", "not"];
const DEEPEST: usize = 8;

/// A place whose value is known from the sample, or cannot be known (inside an empty list).
type Known = Option<Value>;

/// The walk and what it found.
pub(super) struct Walk<'a> {
    partials: &'a BTreeMap<String, Template>,
    inlines: BTreeMap<String, (Template, String, usize)>,
    root: Value,
    scopes: Vec<Known>,
    locals: Vec<(String, Known)>,
    depth: usize,
    origin: String,
    first_line: usize,
    line: usize,
    /// `attributes.*` may be anything.
    pub any_attribute: bool,
    /// What is wrong.
    pub problems: Vec<Problem>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(partials: &'a BTreeMap<String, Template>, context: Value) -> Self {
        Self {
            partials,
            inlines: BTreeMap::new(),
            scopes: vec![Some(context.clone())],
            root: context,
            locals: Vec::new(),
            depth: 0,
            origin: String::new(),
            first_line: 1,
            line: 1,
            any_attribute: false,
            problems: Vec::new(),
        }
    }

    /// Walks a template that begins on `first_line` of `origin`.
    pub(super) fn template(&mut self, template: &Template, origin: &str, first_line: usize) {
        let outer = (std::mem::replace(&mut self.origin, origin.to_owned()), self.first_line, self.line);
        self.first_line = first_line;
        self.body(template);
        (self.origin, self.first_line, self.line) = outer;
    }

    fn body(&mut self, template: &Template) {
        for (n, element) in template.elements.iter().enumerate() {
            if let Some(place) = template.mapping.get(n) {
                self.line = place.0 + self.first_line - 1;
            }
            self.element(element);
        }
    }

    fn element(&mut self, element: &TemplateElement) {
        match element {
            TemplateElement::RawString(_) | TemplateElement::Comment(_) => {}
            TemplateElement::HtmlExpression(_) => {
                self.say("`{{{` and `{{&` would let an order's text become markup".to_owned(), Some("write `{{`".to_owned()));
            }
            TemplateElement::Expression(helper) => self.expression(helper),
            TemplateElement::HelperBlock(block) => self.block(block),
            TemplateElement::PartialExpression(partial) | TemplateElement::PartialBlock(partial) => self.partial(partial),
            TemplateElement::DecoratorBlock(inline) | TemplateElement::DecoratorExpression(inline) => self.inline(inline),
            _ => self.say("lastmile does not know this construct".to_owned(), None),
        }
    }

    fn expression(&mut self, helper: &HelperTemplate) {
        if helper.params.is_empty() && helper.hash.is_empty() {
            self.value(&helper.name);
            return;
        }
        let name = name_of(&helper.name);
        if !HELPERS.contains(&name.as_str()) {
            let help = nearest(&name, HELPERS.into_iter().chain(BLOCKS)).map(|best| format!("did you mean `{best}`?"));
            self.say(format!("there is no helper `{name}`"), help);
        }
        if name == "markup" && helper.params.first().map(name_of).as_deref() != Some("instructions") {
            self.say("`markup` is for `instructions` only: all else is escaped".to_owned(), None);
        }
        for parameter in helper.params.iter().chain(helper.hash.values()) {
            self.value(parameter);
        }
    }

    fn block(&mut self, block: &HelperTemplate) {
        let name = name_of(&block.name);
        if !BLOCKS.contains(&name.as_str()) {
            self.say(format!("there is no block `#{name}`"), Some(format!("to ask whether there is one: {{{{#if {name}}}}}")));
            return;
        }
        let values: Vec<Known> = block.params.iter().map(|p| self.value(p)).collect();
        let subject = values.into_iter().next().flatten();
        let inner = match name.as_str() {
            "each" => Some(subject.as_ref().and_then(first_of)),
            "with" => Some(subject),
            _ => None,
        };
        let locals = self.locals.len();
        if let (Some(inner), Some(params)) = (&inner, &block.block_param) {
            match params {
                BlockParam::Single(one) => self.locals.push((name_of(one), inner.clone())),
                BlockParam::Pair((one, two)) => {
                    self.locals.push((name_of(one), inner.clone()));
                    self.locals.push((name_of(two), None));
                }
                _ => {}
            }
        }
        let scoped = inner.is_some();
        self.scopes.extend(inner);
        block.template.iter().for_each(|t| self.body(t));
        if scoped {
            self.scopes.pop();
        }
        self.locals.truncate(locals);
        block.inverse.iter().for_each(|t| self.body(t));
    }

    fn inline(&mut self, inline: &DecoratorTemplate) {
        let name = inline.params.first().map(name_of).unwrap_or_default();
        if let Some(body) = &inline.template {
            self.inlines.insert(name, (body.clone(), self.origin.clone(), self.first_line));
            self.body(body);
        }
    }

    fn partial(&mut self, partial: &DecoratorTemplate) {
        if let Some(body) = &partial.template {
            self.body(body);
        }
        let name = name_of(&partial.name);
        let scope = partial.params.first().map(|p| self.value(p));
        let added: Vec<(String, Known)> = partial.hash.iter().map(|(name, p)| (name.clone(), self.value(p))).collect();
        if name == "@partial-block" {
            return;
        }
        let found =
            self.partials.get(&name).map(|t| (t.clone(), partial_origin(&name), 1)).or_else(|| self.inlines.get(&name).cloned());
        let Some((template, origin, line)) = found else {
            if partial.template.is_none() {
                let known = self.partials.keys().chain(self.inlines.keys()).map(String::as_str);
                let help = nearest(&name, known).map(|best| format!("did you mean `{best}`?"));
                self.say(format!("there is no partial `{name}`"), help);
            }
            return;
        };
        if self.depth == DEEPEST {
            self.say(format!("partials stand in each other without end at `{name}`"), None);
            return;
        }
        let locals = self.locals.len();
        self.locals.extend(added);
        let scoped = scope.is_some();
        self.scopes.extend(scope);
        self.depth += 1;
        self.template(&template, &origin, line);
        self.depth -= 1;
        if scoped {
            self.scopes.pop();
        }
        self.locals.truncate(locals);
    }

    /// The sample's value of a parameter; a name that is not there is told.
    fn value(&mut self, parameter: &Parameter) -> Known {
        match parameter {
            Parameter::Literal(value) => Some(value.clone()),
            Parameter::Subexpression(inner) => {
                self.element(inner.as_element());
                None
            }
            Parameter::Name(name) => self.path(name, &name.split('.').map(str::to_owned).collect::<Vec<_>>()),
            Parameter::Path(Path::Local(_)) => None,
            Parameter::Path(Path::Relative((segments, raw))) => {
                let names: Vec<String> = segments
                    .iter()
                    .filter_map(|s| match s {
                        PathSeg::Named(name) => Some(name.clone()),
                        _ => None,
                    })
                    .collect();
                self.path(raw, &names)
            }
            _ => None,
        }
    }

    fn path(&mut self, raw: &str, names: &[String]) -> Known {
        let ups = raw.matches("../").count();
        let base = if raw.starts_with("@root") {
            Some(self.root.clone())
        } else if let (0, Some((_, known))) =
            (ups, names.first().and_then(|n| self.locals.iter().rev().find(|(name, _)| name == n)))
        {
            return known.clone().and_then(|value| self.below(value, raw, &names[1..]));
        } else {
            let at = self.scopes.len().checked_sub(1 + ups)?;
            self.scopes.get(at).cloned().flatten()
        };
        base.and_then(|value| self.below(value, raw, names))
    }

    fn below(&mut self, mut value: Value, raw: &str, names: &[String]) -> Known {
        if self.any_attribute && names.first().is_some_and(|n| n == "attributes") {
            return None;
        }
        for name in names {
            let next = match &value {
                Value::Array(items) => items.get(name.parse::<usize>().unwrap_or(usize::MAX)),
                other => other.get(name),
            };
            let Some(next) = next else {
                self.unknown(raw, name, &value);
                return None;
            };
            value = next.clone();
        }
        Some(value)
    }

    fn unknown(&mut self, raw: &str, name: &str, place: &Value) {
        let known: Vec<&str> = place.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let help = if raw.starts_with("attributes.") {
            Some(format!("attributes that a ticket may show stand in `template_attributes`: add {name:?} there"))
        } else {
            nearest(name, known.iter().copied())
                .map(|best| format!("did you mean `{best}`?"))
                .or_else(|| (!known.is_empty()).then(|| format!("there are: {}", known.join(", "))))
        };
        self.say(format!("`{raw}` does not exist"), help);
    }

    fn say(&mut self, message: String, help: Option<String>) {
        self.problems.push(Problem { file: PathBuf::from(&self.origin), line: self.line, message, help });
    }
}

fn first_of(value: &Value) -> Known {
    match value {
        Value::Array(items) => items.first().cloned(),
        Value::Object(members) => members.values().next().cloned(),
        _ => None,
    }
}

fn name_of(parameter: &Parameter) -> String {
    match parameter {
        Parameter::Name(name) | Parameter::Literal(Value::String(name)) => name.clone(),
        Parameter::Path(Path::Relative((_, raw)) | Path::Local((_, _, raw))) => raw.clone(),
        _ => String::new(),
    }
}
