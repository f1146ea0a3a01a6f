//! Every code has its page, every page its code.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lastmile::model::codes::CODES;
use lastmile::web::problem::Code;

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// Words like `E-AUTH` between quotes.
fn used() -> BTreeSet<String> {
    let (mut files, mut codes) = (Vec::new(), BTreeSet::new());
    sources(&root("src"), &mut files);
    for file in files.iter().filter(|f| !f.ends_with("model/codes.rs")) {
        let text = std::fs::read_to_string(file).unwrap();
        for word in text.split(['"', '\'']) {
            let rest = word.strip_prefix("E-").unwrap_or_default();
            if !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') {
                codes.insert(word.to_owned());
            }
        }
    }
    codes
}

#[test]
fn the_registry_is_what_the_code_uses() {
    let known: BTreeSet<String> = CODES.iter().map(|c| (*c).to_owned()).collect();
    assert_eq!(known.len(), CODES.len());
    assert_eq!(used(), known, "left: used in src; right: model/codes.rs");
    assert!(CODES.is_sorted());
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let codes = CODES.iter().copied().chain(Code::ALL.map(Code::as_str));
    let codes: BTreeSet<String> = codes.map(str::to_owned).collect();
    assert_eq!(codes.len(), CODES.len() + Code::ALL.len(), "no code is used twice");
    let pages = std::fs::read_dir(root("docs/errors")).unwrap().map(|e| e.unwrap().path());
    let pages: BTreeSet<String> = pages.map(|p| p.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(pages, codes, "left: pages in docs/errors; right: codes");
}

#[test]
fn every_page_answers_first_what_matters_most() {
    for code in CODES.iter().copied().chain(Code::ALL.map(Code::as_str)) {
        let text = std::fs::read_to_string(root(&format!("docs/errors/{code}.md"))).unwrap();
        let mut lines = text.lines();
        assert!(lines.next().unwrap().starts_with(&format!("# {code}: ")), "{code}");
        assert_eq!(lines.nth(1), Some("**Can a ticket be lost or doubled?**"), "{code}");
        assert!(text.contains("**What happened.**") && text.contains("**What to do.**"), "{code}");
        assert!(text.lines().count() < 40, "{code} is short");
    }
}
