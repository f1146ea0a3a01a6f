//! What `deny.toml` allows is what is in the tree, asked of cargo's own lock: offline, so that it runs everywhere. `cargo deny`
//! says more (advisories, what licence texts say).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// `MIT OR (Apache-2.0 AND ISC)`: whether what is allowed satisfies it.
fn satisfied(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ").replace(" WITH ", "~WITH~");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let fits = any(&words, &mut at, allowed);
    assert_eq!(at, words.len(), "`{expression}` is not a licence expression");
    fits
}

fn any(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut fits = all(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        fits |= all(words, at, allowed);
    }
    fits
}

fn all(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut fits = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        fits &= one(words, at, allowed);
    }
    fits
}

fn one(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let word = words.get(*at).copied().unwrap_or_default();
    *at += 1;
    if word == "(" {
        let fits = any(words, at, allowed);
        *at += 1;
        return fits;
    }
    allowed.contains(&word.replace("~WITH~", " WITH "))
}

#[test]
fn expressions_are_read_as_they_are_meant() {
    let allowed: BTreeSet<String> = ["MIT", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    for (expression, fits) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("MIT OR GPL-3.0", true),
        ("MIT AND GPL-3.0", false),
        ("(MIT OR GPL-3.0) AND MIT", true),
        ("GPL-3.0 OR MIT AND ISC", false),
        ("Apache-2.0 WITH LLVM-exception OR ISC", true),
        ("MIT/GPL-3.0", true),
    ] {
        assert_eq!(satisfied(expression, &allowed), fits, "{expression}");
    }
}

#[test]
fn every_dependency_has_an_allowed_licence_and_none_is_banned() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let deny: toml::Table = std::fs::read_to_string(root.join("deny.toml")).unwrap().parse().unwrap();
    let words = |value: &toml::Value| value.as_str().unwrap().to_owned();
    let allowed: BTreeSet<String> = deny["licenses"]["allow"].as_array().unwrap().iter().map(words).collect();
    let banned: BTreeMap<String, String> =
        deny["bans"]["deny"].as_array().unwrap().iter().map(|ban| (words(&ban["crate"]), words(&ban["reason"]))).collect();
    let targets = deny["graph"]["targets"].as_array().unwrap();
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version=1", "--offline", "--locked"]).current_dir(root);
    for target in targets {
        command.args(["--filter-platform", target.as_str().unwrap()]);
    }
    let out = command.output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let metadata: Value = serde_json::from_slice(&out.stdout).unwrap();
    let used: BTreeSet<&str> =
        metadata["resolve"]["nodes"].as_array().unwrap().iter().map(|n| n["id"].as_str().unwrap()).collect();
    let mut wrong = Vec::new();
    let mut looked = 0;
    for package in metadata["packages"].as_array().unwrap().iter().filter(|p| used.contains(p["id"].as_str().unwrap())) {
        looked += 1;
        let (name, version) = (package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        match package["license"].as_str() {
            Some(licence) if satisfied(licence, &allowed) => {}
            licence => wrong.push(format!("{name} {version}: {}", licence.unwrap_or("no licence is stated"))),
        }
        if let Some(reason) = banned.get(name) {
            wrong.push(format!("{name} {version} is banned: {reason}"));
        }
        if package["source"].as_str().is_some_and(|s| !s.starts_with("registry+")) {
            wrong.push(format!("{name} {version} comes from {}", package["source"]));
        }
    }
    assert!(looked > 100, "{looked} packages are not the whole tree");
    assert!(wrong.is_empty(), "see deny.toml:\n{}", wrong.join("\n"));
}
