//! A create call as it would be made, for people who try a configuration: nothing is sent, no secret is in it.

use serde_json::Value;

use crate::http::Call;
use crate::http::client::Body;

/// A create call that is not made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preview {
    /// Method and address.
    pub call: String,
    /// The desk's own language: `ADF`, `wiki`, `HTML`, `plain`.
    pub language: &'static str,
    /// Body as it is sent. What the desk is asked for first, and secrets, stand in `<…>`.
    pub body: String,
}

impl Preview {
    /// Of a call; headers may hold secrets and are left out.
    pub(super) fn of(call: &Call, language: &'static str) -> Self {
        let pairs = |pairs: &[(String, String)]| {
            pairs.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join("\n")
        };
        let query: Vec<String> = call.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let address = if query.is_empty() { call.url.clone() } else { format!("{}?{}", call.url, query.join("&")) };
        let body = match &call.body {
            Body::Empty => String::new(),
            Body::Json(value) => pretty(value),
            Body::Form(fields) => pairs(fields),
            Body::Raw(_, bytes) => String::from_utf8_lossy(bytes).into_owned(),
        };
        Self { call: format!("{} {address}", call.method), language, body }
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
