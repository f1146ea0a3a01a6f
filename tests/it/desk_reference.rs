//! docs/desks.md is made from the settings themselves. `LASTMILE_WRITE_DOCS=1 cargo test --test it desk_reference` writes
//! it anew.

use std::fmt::Write as _;
use std::path::Path;

use lastmile::desk::{jira, rest, servicenow};
use serde_json::Value;

const HEAD: &str = "# Desk files: every key\n\nMade from the settings themselves; a test keeps it so. A desk is one file in \
`config/desks/`; its name is the file's.\nHow to declare one step by step: [adding-a-desk.md](adding-a-desk.md).\n";

#[test]
fn the_reference_of_desk_files_is_what_the_code_reads() {
    let mut made = HEAD.to_owned();
    for (kind, words, schema) in [
        ("rest", "a desk declared in TOML", schemars::schema_for!(rest::settings::Settings)),
        ("jira", "Jira, Cloud and Data Center", schemars::schema_for!(jira::settings::Settings)),
        ("servicenow", "ServiceNow's Table API", schemars::schema_for!(servicenow::settings::Settings)),
    ] {
        let schema = serde_json::to_value(schema).unwrap();
        let _ = writeln!(made, "\n## kind = \"{kind}\": {words}\n");
        keys(&mut made, kind, &schema);
        for (name, part) in schema["$defs"].as_object().into_iter().flatten() {
            let _ = writeln!(made, "\n### {kind}: {name}\n\n{}\n", text(part));
            part_of(&mut made, kind, part);
        }
    }
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/desks.md");
    if std::env::var_os("LASTMILE_WRITE_DOCS").is_some() {
        std::fs::write(&place, &made).unwrap();
    }
    assert!(std::fs::read_to_string(place).unwrap() == made, "docs/desks.md is old: write it anew with LASTMILE_WRITE_DOCS=1");
}

fn text(value: &Value) -> String {
    value["description"].as_str().unwrap_or_default().replace('\n', " ")
}

fn part_of(out: &mut String, kind: &str, part: &Value) {
    let ways = part["oneOf"].as_array().or_else(|| part["anyOf"].as_array());
    match ways {
        Some(ways) => ways.iter().for_each(|way| one_way(out, kind, way)),
        None if part["properties"].is_object() => keys(out, kind, part),
        None => {
            let _ = writeln!(out, "{}", shape(kind, part));
        }
    }
}

/// One of several ways to write a value.
fn one_way(out: &mut String, kind: &str, way: &Value) {
    let Some(properties) = way["properties"].as_object() else {
        let _ = writeln!(out, "- {}{}", shape(kind, way), said(way));
        return;
    };
    let fixed = properties.iter().find_map(|(name, p)| Some(format!("`{name} = \"{}\"`", p["const"].as_str()?)));
    let head = fixed.unwrap_or_else(|| properties.keys().map(|k| format!("`{k}`")).collect::<Vec<_>>().join(", "));
    let _ = writeln!(out, "- {head}{}", said(way));
    for (name, property) in properties.iter().filter(|(_, p)| p.get("const").is_none()) {
        let inner = property["properties"].as_object();
        let _ = writeln!(out, "  - `{name}` ({}{}){}", shape(kind, property), fallback(way, name, property), said(property));
        for (name, deep) in inner.into_iter().flatten() {
            let _ = writeln!(out, "    - `{name}` ({}{}){}", shape(kind, deep), fallback(property, name, deep), said(deep));
        }
    }
}

fn said(value: &Value) -> String {
    let words = text(value);
    if words.is_empty() { words } else { format!(": {words}") }
}

fn keys(out: &mut String, kind: &str, table: &Value) {
    let _ = writeln!(out, "| key | what it takes | meaning |\n|---|---|---|");
    for (name, property) in table["properties"].as_object().into_iter().flatten() {
        let shape = format!("{}{}", shape(kind, property), fallback(table, name, property));
        let _ = writeln!(out, "| `{name}` | {} | {} |", shape.replace('|', "\\|"), text(property).replace('|', "\\|"));
    }
}

/// What holds without the key.
fn fallback(table: &Value, name: &str, property: &Value) -> String {
    if table["required"].as_array().is_some_and(|r| r.iter().any(|n| n == name)) {
        return "; needed".to_owned();
    }
    match &property["default"] {
        Value::Null => String::new(),
        Value::Object(members) if members.len() > 3 => "; has a list of its own".to_owned(),
        Value::Object(members) if members.is_empty() => String::new(),
        Value::Array(items) if items.is_empty() => String::new(),
        Value::String(text) if text.is_empty() => String::new(),
        other => format!("; else `{other}`"),
    }
}

fn shape(kind: &str, value: &Value) -> String {
    if let Some(name) = value["$ref"].as_str().and_then(|r| r.rsplit('/').next()) {
        return format!("[{name}](#{kind}-{})", name.to_lowercase());
    }
    if let Some(word) = value["const"].as_str() {
        return format!("`\"{word}\"`");
    }
    if let Some(words) = value["enum"].as_array() {
        return words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ");
    }
    if let Some(ways) = value["anyOf"].as_array().or_else(|| value["oneOf"].as_array()) {
        let named: Vec<String> = ways.iter().filter(|w| w["type"] != "null").map(|w| shape(kind, w)).collect();
        return named.join(" or ");
    }
    let types: Vec<&str> = match &value["type"] {
        Value::String(one) => vec![one],
        Value::Array(many) => many.iter().filter_map(Value::as_str).filter(|t| *t != "null").collect(),
        _ => return "any value".to_owned(),
    };
    match types.as_slice() {
        ["array"] => format!("list of {}", shape(kind, &value["items"])),
        ["object"] if value["additionalProperties"].is_object() => {
            format!("table of {}", shape(kind, &value["additionalProperties"]))
        }
        ["object"] => "table".to_owned(),
        ["string"] => "text".to_owned(),
        ["boolean"] => "true or false".to_owned(),
        ["integer"] => "number".to_owned(),
        other => other.join(" or "),
    }
}
