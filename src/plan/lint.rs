//! Finds names in templates that no order has, also where strict mode does not look (inside `{{#if}}`).

use handlebars::Template;
use handlebars::template::{Parameter, TemplateElement};
use serde_json::Value;

use super::template::context;
use crate::model::assignment::{Approval, Named};
use crate::model::{Assignment, Key, Operation, Person, Timestamp};

/// A name that does not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unknown {
    /// As written.
    pub path: String,
    /// Line in the template file; 0 when it cannot be told.
    pub line: usize,
}

/// An order with everything an order can have.
#[must_use]
pub fn full_order() -> Assignment {
    let person =
        |id: &str| Person { id: id.to_owned(), name: Some(format!("Person {id}")), email: Some(format!("{id}@example.com")) };
    Assignment {
        approvals: vec![Approval { by: person("approver"), at: Some(Timestamp(1_795_000_000_000)) }],
        requester: Some(person("requester")),
        entitlement: Some(Named { id: "ENT".to_owned(), name: "Entitlement".to_owned() }),
        account: Some("account".to_owned()),
        requested_at: Some(Timestamp(1_794_900_000_000)),
        approved_at: Some(Timestamp(1_795_000_000_000)),
        valid_from: Some(Timestamp(1_796_000_000_000)),
        valid_until: Some(Timestamp(1_826_000_000_000)),
        reason: Some("Needs it for the project.".to_owned()),
        ..bare_order()
    }
}

/// An order with only what it must have.
#[must_use]
pub fn bare_order() -> Assignment {
    Assignment {
        source: "sample".to_owned(),
        external_id: "1".to_owned(),
        generation: 1,
        operation: Operation::Grant,
        application: Named { id: "app".to_owned(), name: "Application".to_owned() },
        entitlement: None,
        account: None,
        beneficiary: Person { id: "beneficiary".to_owned(), name: None, email: None },
        requester: None,
        approvals: Vec::new(),
        requested_at: None,
        approved_at: None,
        valid_from: None,
        valid_until: None,
        priority: 1,
        reason: None,
        attributes: std::collections::BTreeMap::new(),
    }
}

/// Context of [`full_order`].
#[must_use]
pub fn full_context() -> Value {
    context(&full_order(), &Key::of("sample", &["sample"], 1), Some("Do this."), Some("IAM-1"), None)
}

/// Context of [`bare_order`].
#[must_use]
pub fn bare_context() -> Value {
    context(&bare_order(), &Key::of("sample", &["sample"], 1), None, None, None)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_inside_if_is_found_with_its_line() {
        let text = "summary: {{subject}}\n\n{{#if requestor}}by {{requester.name}}{{/if}}\n";
        assert_eq!(unknown_paths(text, &full_context()), [Unknown { path: "requestor".to_owned(), line: 3 }]);
    }
}
