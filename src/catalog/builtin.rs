//! Templates inside the binary; a same-named file beside the configuration overrides them.

use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "templates/"]
struct BuiltIn;

/// Built-in ticket templates and partials as (path below `templates/`, text), sorted by path.
#[must_use]
pub fn ticket_templates() -> Vec<(String, String)> {
    let wanted = |path: &str| (path.starts_with("tickets/") || path.starts_with("partials/")) && path.ends_with(".hbs");
    let mut all: Vec<(String, String)> = BuiltIn::iter()
        .filter(|path| wanted(path))
        .filter_map(|path| {
            let file = BuiltIn::get(&path)?;
            Some((path.into_owned(), String::from_utf8_lossy(&file.data).into_owned()))
        })
        .collect();
    all.sort();
    all
}
