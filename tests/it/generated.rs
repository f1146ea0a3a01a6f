//! What is shipped agrees with the code.

use std::path::Path;
use std::sync::Arc;

use lastmile::catalog::schema::schema;
use lastmile::catalog::{Catalog, MainFile};
use lastmile::plan::Planner;

fn shipped(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

#[test]
fn the_shipped_main_file_is_the_defaults() {
    let shipped: MainFile = toml::from_str(&shipped("config/lastmile.toml")).unwrap();
    let json = |main: &MainFile| serde_json::to_value(main).unwrap();
    assert_eq!(json(&shipped), json(&MainFile::default()));
}

/// Every default is written out, so that nobody has to read the code for it; what has none is shown as a comment.
#[test]
fn every_key_stands_in_the_shipped_main_file() {
    let text = shipped("config/lastmile.toml");
    let written: toml::Table = toml::from_str(&text).unwrap();
    let defaults = serde_json::to_value(MainFile::default()).unwrap();
    assert!(text.contains("# [mail]") && text.contains("# [[reports]]"));
    for (section, keys) in defaults.as_object().unwrap() {
        for (key, value) in keys.as_object().unwrap() {
            if value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty) {
                let shown = text.contains(&format!("# {key} = ")) || text.contains(&format!("# [{section}.{key}"));
                assert!(shown, "[{section}] {key} is not shown");
            } else {
                assert!(written[section].get(key).is_some(), "[{section}] {key} is not written out");
            }
        }
    }
}

#[test]
fn the_shipped_configuration_and_examples_are_sound() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let names = ["lastmile.toml", "admin-groups.toml", "applications/example-crm.toml", "calendars/office.toml"];
    let files = names.map(|name| (name.into(), shipped(&format!("config/{name}")))).to_vec();
    let catalog = Catalog::from_files(&folder, files).unwrap();
    assert!(catalog.applications.contains_key("example-crm") && catalog.calendars.contains_key("office"));
    Planner::new(&Arc::new(catalog)).unwrap();
}

#[test]
fn the_shipped_configuration_fits_the_schema_and_a_typo_does_not() {
    let document = schema(&[]);
    let check = |kind: &str, text: &str| {
        let instance = serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap();
        jsonschema::validator_for(&document["files"][kind]).unwrap().is_valid(&instance)
    };
    assert!(check("lastmile.toml", &shipped("config/lastmile.toml")));
    assert!(check("admin-groups.toml", &shipped("config/admin-groups.toml")));
    assert!(check("applications/*.toml", &shipped("config/applications/example-crm.toml")));
    assert!(check("calendars/*.toml", &shipped("config/calendars/office.toml")));
    assert!(!check("calendars/*.toml", "zone = \"UTC\"\n[hours]\nmunday = []\n"));
    assert!(!check("lastmile.toml", "[server]\nlisen = \"x\"\n"));
    assert!(!check("applications/*.toml", "[[rules]]\nwhen = {}\n"));
}

/// `UPDATE=1` rewrites it.
#[test]
fn the_openapi_document_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let made = lastmile::web::openapi();
    #[expect(clippy::disallowed_methods, reason = "a switch of this test, no configuration")]
    if std::env::var("UPDATE").is_ok() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "docs/openapi.json is not what the code says: run this test with UPDATE=1 and read the difference");
}
