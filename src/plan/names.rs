//! Names that a template uses and its context does not have.

use handlebars::Template;
use handlebars::template::{Parameter, TemplateElement};
use serde_json::Value;

/// A name that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// As written.
    pub path: String,
    /// Line in the template file; 0 when it cannot be told.
    pub line: usize,
}

/// Names used in a template that the full context does not have. Names inside `{{#each}}` and `{{#with}}` are relative
/// and checked by filling.
#[must_use]
pub fn unknown_paths(text: &str, full: &Value) -> Vec<Unknown> {
    let Ok(template) = Template::compile(text) else { return Vec::new() };
    let mut paths = Vec::new();
    walk(&template, &mut paths);
    paths.sort();
    paths.dedup();
    paths.into_iter().filter(|path| !exists(full, path)).map(|path| Unknown { line: line_of(text, &path), path }).collect()
}

fn line_of(text: &str, path: &str) -> usize {
    text.lines().position(|line| line.contains(path) && line.contains("{{")).map_or(0, |n| n + 1)
}

fn exists(full: &Value, path: &str) -> bool {
    path.split('.').try_fold(full, |value, name| value.get(name)).is_some()
}

fn walk(template: &Template, paths: &mut Vec<String>) {
    for element in &template.elements {
        match element {
            TemplateElement::Expression(helper) | TemplateElement::HtmlExpression(helper) => {
                if helper.params.is_empty() {
                    parameter(&helper.name, paths);
                }
                helper.params.iter().for_each(|p| parameter(p, paths));
            }
            TemplateElement::HelperBlock(block) => {
                block.params.iter().for_each(|p| parameter(p, paths));
                let relative = matches!(&block.name, Parameter::Name(n) if n == "each" || n == "with");
                for inner in [&block.template, &block.inverse].into_iter().flatten().filter(|_| !relative) {
                    walk(inner, paths);
                }
            }
            _ => {}
        }
    }
}

fn parameter(parameter: &Parameter, paths: &mut Vec<String>) {
    let name = match parameter {
        Parameter::Name(name) => name.clone(),
        Parameter::Path(handlebars::Path::Relative((_, raw))) => raw.clone(),
        _ => return,
    };
    if !name.starts_with(['@', '"', '\'']) && !matches!(name.as_str(), "this" | "else" | "lookup") && !name.starts_with("this.") {
        paths.push(name);
    }
}
