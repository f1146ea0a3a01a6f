//! Fills templates, strictly: a name that does not exist is an error, never an empty string.
//! JSON is built by code: templates fill its leaves and never splice its source.

use handlebars::{Context, Handlebars, no_escape};
use serde_json::Value;

/// A template could not be filled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FillError(pub String);

/// Fills single strings and the string leaves of JSON values, unescaped: for headers, addresses and JSON bodies
/// of declared calls. Ticket texts go through the ticket templates instead.
#[derive(Debug, Clone)]
pub struct Fill(Handlebars<'static>);

impl Default for Fill {
    fn default() -> Self {
        let mut engine = Handlebars::new();
        engine.set_strict_mode(true);
        engine.register_escape_fn(no_escape);
        Self(engine)
    }
}

impl Fill {
    /// Fills one string.
    ///
    /// # Errors
    /// A missing name or a broken template, with its place.
    pub fn text(&self, template: &str, context: &Value) -> Result<String, FillError> {
        if !template.contains("{{") {
            return Ok(template.to_owned());
        }
        self.0.render_template(template, context).map_err(|e| FillError(e.to_string()))
    }

    /// Compiles a template that is filled often; one that is broken is left to [`Fill::text_of`].
    pub(super) fn keep(&mut self, template: &str) {
        drop(self.0.register_template_string(template, template));
    }

    /// As [`Fill::text`], without compiling a template that was kept.
    pub(super) fn text_of(&self, template: &str, context: Value) -> Result<String, FillError> {
        if !template.contains("{{") {
            return Ok(template.to_owned());
        }
        let context = Context::from(context);
        let filled = if self.0.has_template(template) {
            self.0.render_with_context(template, &context)
        } else {
            self.0.render_template_with_context(template, &context)
        };
        filled.map_err(|e| FillError(e.to_string()))
    }

    /// Fills every string leaf. A leaf that is exactly one `{{path}}` takes the value with its JSON type; a null
    /// there removes the member from its object.
    ///
    /// # Errors
    /// As [`Fill::text`].
    pub fn json(&self, template: &Value, context: &Value) -> Result<Value, FillError> {
        Ok(match template {
            Value::String(text) => match whole_path(text) {
                Some(path) => lookup(context, path).cloned().ok_or_else(|| FillError(format!("`{path}` does not exist")))?,
                None => Value::String(self.text(text, context)?),
            },
            Value::Array(items) => Value::Array(items.iter().map(|i| self.json(i, context)).collect::<Result<_, _>>()?),
            Value::Object(members) => {
                let mut out = serde_json::Map::new();
                for (name, member) in members {
                    let filled = self.json(member, context)?;
                    if !filled.is_null() || member.is_null() {
                        out.insert(name.clone(), filled);
                    }
                }
                Value::Object(out)
            }
            other => other.clone(),
        })
    }
}

/// The path of a leaf that is exactly `{{a.b}}`.
fn whole_path(text: &str) -> Option<&str> {
    let inner = text.trim().strip_prefix("{{")?.strip_suffix("}}")?.trim();
    let plain = !inner.is_empty() && inner.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-'));
    plain.then_some(inner)
}

fn lookup<'a>(context: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(context, |value, name| match value {
        Value::Array(items) => items.get(name.parse::<usize>().ok()?),
        other => other.get(name),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn leaves_keep_their_type_and_nothing_is_spliced() {
        let context = json!({"n": 3, "gone": null, "s": "a \"quoted\" {{n}}", "list": ["x"]});
        let template = json!({"a": "{{n}}", "b": "n={{n}}", "c": "{{s}}", "d": "{{gone}}", "e": ["{{list.0}}"]});
        let filled = Fill::default().json(&template, &context).unwrap();
        assert_eq!(filled, json!({"a": 3, "b": "n=3", "c": "a \"quoted\" {{n}}", "e": ["x"]}));
        assert!(Fill::default().json(&json!("{{typo}}"), &context).is_err());
        assert!(Fill::default().text("x {{typo}}", &context).is_err());
    }
}
