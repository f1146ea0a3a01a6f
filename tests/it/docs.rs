//! What the documentation shows works: its configuration loads, its message becomes the order it says, its links lead
//! somewhere.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use lastmile::catalog::{ConfigFile, EdgeFile};
use lastmile::http::Inbound;
use lastmile::http::signature::sign_standard;
use lastmile::model::Timestamp;
use lastmile::model::clock::FakeClock;
use lastmile::source::{self, EventContent};
use secrecy::SecretString;

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// A fenced block, with the file that the last path in backticks before it names.
struct Block {
    file: Option<String>,
    language: String,
    text: String,
}

fn blocks(document: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut file = None;
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.strip_prefix("```") else {
            if !line.trim().is_empty() {
                let named = line.split('`').skip(1).step_by(2).filter(|word| word.ends_with(".toml"));
                file = named.last().map(str::to_owned);
            }
            continue;
        };
        let inside: Vec<&str> = lines.by_ref().take_while(|l| !l.starts_with("```")).collect();
        found.push(Block { file: file.take(), language: language.to_owned(), text: inside.join("\n") });
    }
    found
}

#[test]
fn twenty_lines_are_enough_for_a_real_jira() {
    let folder = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let place = folder.path().join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, text).unwrap();
    };
    put("config/lastmile.toml", &text("config/lastmile.toml"));
    let shown: Vec<Block> = blocks(&text("README.md")).into_iter().filter(|b| b.language == "toml" && b.file.is_some()).collect();
    let files: Vec<&str> = shown.iter().filter_map(|b| b.file.as_deref()).collect();
    assert!(files.starts_with(&["config/desks/jira.toml", "config/sources/idm.toml"]), "{files:?}");
    let lines: usize = shown[..2].iter().map(|b| b.text.lines().filter(|l| !l.trim().is_empty()).count()).sum();
    assert!(lines <= 20, "{lines} lines");
    let check = |first: usize| {
        for block in &shown[..first] {
            put(block.file.as_deref().unwrap(), &block.text);
        }
        let out = Command::new(env!("CARGO_BIN_EXE_lastmile"))
            .arg("--config")
            .arg(folder.path().join("config"))
            .arg("check")
            .envs([("JIRA_TOKEN", "token"), ("IDM_HOOK_SECRET", SECRET), ("IDM_REPORT_SECRET", SECRET)])
            .output()
            .unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        assert!(out.status.success(), "{said}");
        said
    };
    let said = check(2);
    assert!(said.contains("is sound"), "{said}");
    check(shown.len());
}

#[test]
fn the_source_that_the_guide_builds_reads_the_message_it_shows() {
    let document = text("docs/adding-a-source.md");
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    for secret in ["idm-hook", "idm-report", "idm-api"] {
        std::fs::write(folder.path().join("secrets").join(secret), SECRET).unwrap();
    }
    let clock = Arc::new(FakeClock::at(Timestamp(1_795_000_000_000)));
    let mut sources = BTreeMap::new();
    let mut message = None;
    for block in blocks(&document) {
        match (block.language.as_str(), block.file) {
            ("json", _) => message = Some(block.text),
            ("toml", Some(file)) => {
                let file = ConfigFile::from_text(Path::new(&file), &block.text);
                let kind = toml::from_str::<toml::Table>(&block.text).unwrap()["kind"].as_str().unwrap().to_owned();
                let name = file.stem();
                let built = source::build(&name, &EdgeFile { kind, file }, folder.path(), clock.clone());
                sources.insert(name, built.unwrap_or_else(|problems| panic!("{problems:?}")));
            }
            (language, file) => panic!("a block of {language:?} for {file:?} that nothing tests"),
        }
    }
    let body = message.unwrap().into_bytes();
    let now = Timestamp(1_795_000_000_000);
    let signature = sign_standard(&SecretString::from(SECRET), "m1", now, &body).unwrap();
    let headers = [("webhook-id", "m1"), ("webhook-timestamp", "1795000000"), ("webhook-signature", &signature)];
    let inbound = Inbound {
        method: "POST".to_owned(),
        path: "/hooks/idm".to_owned(),
        query: BTreeMap::new(),
        headers: headers.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
        body,
        peer: None,
        client_certificate: None,
        received_at: now,
    };
    let event = sources["idm"].accept(inbound, now).unwrap().remove(0);
    let EventContent::Order(order) = event.content else { panic!("it does not map") };
    assert_eq!(order.natural_key(), "idm/REQ-1042/grant/1");
    assert_eq!((order.application.name.as_str(), order.subject()), ("SAP ERP", "Buyer"));
    assert_eq!(order.valid_from.unwrap().iso(), "2026-03-28T23:00:00.000Z");
    assert_eq!(order.valid_until.unwrap().iso(), "2026-12-31T22:59:59.999Z");
    assert_eq!((order.priority, order.attributes["site"].as_str()), (2, Some("Pune")));
    assert!(sources["idm-list"].next_poll(now).is_some());
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let mut pages: Vec<PathBuf> = vec![root()];
    pages.push(root().join("docs"));
    let mut wrong = Vec::new();
    for folder in pages {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|e| e != "md") {
                continue;
            }
            let page = std::fs::read_to_string(&path).unwrap();
            for target in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let target = target.split('#').next().unwrap();
                if !target.is_empty() && !target.contains("://") && !folder.join(target).exists() {
                    wrong.push(format!("{}: {target}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// What stands as a comment in the shipped file can be taken out of its comment: it is understood, key by key.
#[test]
fn the_shipped_file_can_be_uncommented() {
    let shipped = text("config/lastmile.toml");
    let is_setting = |line: &str| {
        let rest = line.strip_prefix("# ").unwrap_or_default();
        let word: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_').collect();
        ["[access.", "[mail]", "[[reports]]"].iter().any(|head| rest.starts_with(head))
            || (!word.is_empty() && rest[word.len()..].starts_with(" = "))
    };
    let open = shipped.lines().map(|line| if is_setting(line) { line.trim_start_matches("# ") } else { line });
    let whole = open.collect::<Vec<_>>().join("\n").replace("\"…\"", &format!("\"{}\"", "ab".repeat(32)));
    let shown = shipped.lines().filter(|l| is_setting(l)).count();
    assert!(shown >= 9, "{shown} settings are shown as comments");
    let groups = "[access-team]\n";
    let files = [
        ("lastmile.toml", whole.as_str()),
        ("admin-groups.toml", groups),
        ("desks/jira.toml", "kind = \"jira\"\n"),
        ("calendars/office.toml", "zone = \"UTC\"\n"),
    ];
    assert_eq!(super::catalog::complaints(&files), "");
}

#[test]
fn the_calendar_and_the_targets_of_the_guide_are_understood() {
    let shown: Vec<Block> = blocks(&text("docs/kpis.md")).into_iter().filter(|b| b.language == "toml").collect();
    // the third is of mail and reports, shown whole in the shipped file
    assert_eq!(shown.len(), 3);
    let holidays = "BEGIN:VCALENDAR\nEND:VCALENDAR\n";
    let files = [
        ("lastmile.toml", "[defaults]\ncalendar = \"office\"\n"),
        ("calendars/office.toml", shown[0].text.as_str()),
        ("calendars/public-holidays.ics", holidays),
        ("applications/crm.toml", shown[1].text.as_str()),
    ];
    assert_eq!(super::catalog::complaints(&files), "");
}
