//! JSON Schema of the configuration files.

use schemars::schema_for;
use serde_json::{Value, json};

use super::calendar::CalendarFile;
use super::{AdminGroup, Application, MainFile};

/// One document with a definition for every kind of file; `edges` adds those of desks and sources.
#[must_use]
pub fn schema(edges: &[(&str, schemars::Schema)]) -> Value {
    let mut kinds = serde_json::Map::new();
    kinds.insert("lastmile.toml".to_owned(), schema_for!(MainFile).into());
    kinds.insert("applications/*.toml".to_owned(), schema_for!(Application).into());
    kinds.insert("admin-groups.toml".to_owned(), schema_for!(std::collections::BTreeMap<String, AdminGroup>).into());
    kinds.insert("calendars/*.toml".to_owned(), schema_for!(CalendarFile).into());
    for (name, schema) in edges {
        kinds.insert((*name).to_owned(), schema.clone().into());
    }
    json!({"title": "lastmile configuration", "description": "One schema for every kind of file in the configuration folder.", "files": kinds})
}
