//! The Logic App: the shipped definition is carried out, as far as its expressions are those that it uses.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The definition that is shipped.
pub const DEFINITION: &str = include_str!("../../../config/entra/logic-app.json");

/// The message that its last action sends: headers and body.
pub(super) fn forward(
    callout: &Value,
    started_at: &str,
    resources: &Value,
    token: &str,
) -> Result<(BTreeMap<String, String>, Value), String> {
    let definition: Value = serde_json::from_str(DEFINITION).map_err(|e| e.to_string())?;
    let inputs = &definition["definition"]["actions"]["Forward_to_lastmile"]["inputs"];
    let known = [
        ("triggerBody()", callout.clone()),
        ("trigger()?['startTime']", Value::from(started_at)),
        ("body('Read_what_the_package_holds')?['resourceRoleScopes']", resources.clone()),
        ("parameters('lastmileToken')", Value::from(token)),
    ];
    let headers = filled(&inputs["headers"], &known)?;
    let headers = headers.as_object().into_iter().flatten();
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.as_str().unwrap_or_default().to_owned())).collect();
    Ok((headers, filled(&inputs["body"], &known)?))
}

/// `@expression` is its value; `…@{expression}…` is text with its value in it.
fn filled(template: &Value, known: &[(&str, Value)]) -> Result<Value, String> {
    let value_of = |expression: &str| {
        let found = known.iter().find(|(name, _)| *name == expression).map(|(_, value)| value.clone());
        found.ok_or_else(|| format!("an expression that is not known: {expression}"))
    };
    match template {
        Value::String(text) => match (text.strip_prefix('@').filter(|e| !e.starts_with('{')), text.split_once("@{")) {
            (Some(expression), _) => value_of(expression),
            (None, Some((before, rest))) => {
                let (expression, after) = rest.split_once('}').ok_or("an expression does not end")?;
                let value = value_of(expression)?;
                Ok(Value::from(format!("{before}{}{after}", value.as_str().unwrap_or_default())))
            }
            (None, None) => Ok(template.clone()),
        },
        Value::Object(members) => {
            let filled = members.iter().map(|(name, value)| Ok((name.clone(), filled(value, known)?)));
            Ok(Value::Object(filled.collect::<Result<Map<String, Value>, String>>()?))
        }
        other => Ok(other.clone()),
    }
}
