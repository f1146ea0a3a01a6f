//! `lastmile schema`: the JSON Schema of the configuration, for editors.

use std::process::ExitCode;

use crate::catalog::schema::schema;

/// Prints the schema of every kind of file.
pub(super) fn run() -> anyhow::Result<ExitCode> {
    let document = schema(&[
        ("desks/*.toml (jira)", crate::desk::jira::schema()),
        ("desks/*.toml (servicenow)", crate::desk::servicenow::schema()),
        ("desks/*.toml (rest)", crate::desk::rest::schema()),
        ("sources/*.toml", crate::source::declared::schema()),
        ("sources/*.toml (one_identity)", crate::source::one_identity::schema()),
        ("sources/*.toml (midpoint)", crate::source::midpoint::schema()),
        ("sources/*.toml (sailpoint)", crate::source::sailpoint::schema()),
        ("sources/*.toml (entra)", crate::source::entra::schema()),
    ]);
    super::say(&format!("{}\n", serde_json::to_string_pretty(&document)?));
    Ok(ExitCode::SUCCESS)
}
