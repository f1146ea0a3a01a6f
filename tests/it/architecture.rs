//! The drawing holds: modules use those below them in the drawing's order and never those above, and what has one door
//! goes through it.

use std::path::{Path, PathBuf};

/// The order stands in the crate's own documentation, so that the drawing and this test cannot disagree.
fn order() -> Vec<String> {
    let lib = std::fs::read_to_string(source().join("lib.rs")).unwrap();
    let line = lib.lines().find(|l| l.starts_with("//! `model` · ")).expect("lib.rs lists the modules from the ground up");
    let rest = lib[lib.find(line).unwrap()..].lines().take_while(|l| l.starts_with("//! `"));
    let text = rest.collect::<Vec<_>>().join(" ");
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Path below `src/` and text of every file.
fn files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![source()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(source()).unwrap().to_string_lossy().into_owned();
                found.push((name, std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn room(file: &str) -> &str {
    file.split('/').next().unwrap().trim_end_matches(".rs")
}

/// The code alone: comments may name what they like.
fn code(text: &str) -> String {
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// Every module that a text names as `crate::x`, also within braces.
fn named(text: &str) -> Vec<String> {
    let code = code(text);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        let word = |text: &str| text.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        match rest.strip_prefix('{') {
            None => found.push(word(rest)),
            Some(inside) => {
                let (mut depth, mut start) = (0, 0);
                for (i, c) in inside.char_indices() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth > 0 => depth -= 1,
                        ',' if depth == 0 => {
                            found.push(word(&inside[start..i]));
                            start = i + 1;
                        }
                        '}' => {
                            found.push(word(&inside[start..i]));
                            break;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    found.retain(|name| !name.is_empty());
    found
}

/// What is wrong with a file's paths.
fn arrows_upwards(order: &[String], file: &str, text: &str) -> Vec<String> {
    let place = |name: &str| order.iter().position(|o| o == name);
    let Some(here) = place(room(file)) else { return vec![format!("{file}: its room is not in the order")] };
    let mut wrong = Vec::new();
    for name in named(text) {
        match place(&name) {
            Some(there) if there > here => wrong.push(format!("{file}: `crate::{name}` runs upwards")),
            Some(_) => {}
            None => wrong.push(format!("{file}: `crate::{name}` is no module of the order")),
        }
    }
    wrong
}

#[test]
fn no_arrow_runs_upwards() {
    let order = order();
    let wrong: Vec<String> = files()
        .iter()
        .filter(|(file, _)| !matches!(file.as_str(), "main.rs" | "lib.rs"))
        .flat_map(|(file, text)| arrows_upwards(&order, file, text))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_order_names_every_module_once() {
    let lib = std::fs::read_to_string(source().join("lib.rs")).unwrap();
    let mut modules: Vec<String> =
        lib.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect();
    let mut order = order();
    order.sort();
    modules.sort();
    assert_eq!(order, modules);
}

#[test]
fn what_has_one_door_goes_through_it() {
    let doors = [
        ("sqlx::", "ledger"),
        ("reqwest::", "http"),
        ("axum::", "web sandbox cli"),
        ("handlebars::", "plan web"),
        ("lettre::", "mailing"),
        ("rust_xlsxwriter::", "sheet"),
    ];
    let mut wrong = Vec::new();
    for (file, text) in files() {
        let code = code(&text);
        for (path, rooms) in doors {
            if code.contains(path) && !rooms.split(' ').any(|r| r == room(&file)) {
                wrong.push(format!("{file}: `{path}` belongs to {rooms}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A test that cannot fail would prove nothing.
#[test]
fn a_wrong_arrow_would_be_found() {
    let order = order();
    let wrong = |file: &str, text: &str| arrows_upwards(&order, file, text);
    assert_eq!(wrong("model/key.rs", "use crate::ledger::Ledger;"), ["model/key.rs: `crate::ledger` runs upwards"]);
    assert_eq!(wrong("plan/mod.rs", "use crate::{catalog::{Catalog, Route}, web};"), ["plan/mod.rs: `crate::web` runs upwards"]);
    assert_eq!(wrong("plan/mod.rs", "pub(crate) fn f() { crate::flow::g() }").len(), 1);
    assert!(wrong("web/mod.rs", "use crate::model::Id; // crate::cli is another matter").is_empty());
    assert!(wrong("model/id.rs", "macro_rules! a { () => { $crate::model::Id } }").is_empty());
    assert_eq!(wrong("wen/mod.rs", "").len(), 1);
}
