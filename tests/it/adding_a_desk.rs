//! docs/adding-a-desk.md is followed here, step by step, against the fake Zammad.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use lastmile::model::clock::SystemClock;
use lastmile::sandbox::server::{TOKEN, USER};
use lastmile::sandbox::{DeskKind, Faults, SandboxDesk};

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// A fenced block: its language, its `name=value`, its text.
struct Block {
    language: String,
    label: String,
    text: String,
}

fn blocks() -> Vec<Block> {
    let tutorial = read("docs/adding-a-desk.md");
    let mut found = Vec::new();
    let mut parts = tutorial.split("\n```");
    parts.next();
    while let (Some(block), rest) = (parts.next(), parts.next()) {
        let (head, text) = block.split_once('\n').unwrap();
        let (language, label) = head.split_once(' ').unwrap_or((head, ""));
        found.push(Block { language: language.to_owned(), label: label.to_owned(), text: text.to_owned() });
        assert!(rest.is_some(), "a block without end: {head}");
    }
    found
}

#[test]
fn every_snippet_stands_in_the_example() {
    let example = read("examples/desks/zammad.toml");
    let snippets: Vec<Block> = blocks().into_iter().filter(|b| b.language == "toml" && b.label.is_empty()).collect();
    assert!(snippets.len() > 10);
    for snippet in snippets {
        assert!(example.contains(&snippet.text), "this is not in examples/desks/zammad.toml:\n{}", snippet.text);
    }
}

/// The files of the tutorial, in a folder, with the example as its desk.
fn folder(desk: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let place = folder.path().join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, text).unwrap();
    };
    for block in blocks() {
        if let Some(path) = block.label.strip_prefix("file=") {
            write(path, &block.text);
        }
    }
    write("config/desks/zammad.toml", desk);
    folder
}

/// Runs the command of a step; gives everything it said.
fn run(folder: &Path, step: &str) -> String {
    let label = format!("step={step}");
    let command = blocks().into_iter().find(|b| b.language == "sh" && b.label == label).unwrap().text;
    let words: Vec<&str> = command.split_whitespace().collect();
    assert_eq!(words[0], "lastmile");
    let out = Command::new(PathBuf::from(env!("CARGO_BIN_EXE_lastmile")))
        .args(&words[1..])
        .current_dir(folder)
        .env("ZAMMAD_TOKEN", TOKEN)
        .env("ZAMMAD_WEBHOOK_TOKEN", "hook-secret")
        .env("IDM_HOOK_SECRET", lastmile::sandbox::platform::HOOK_SECRET)
        .env("IDM_REPORT_SECRET", lastmile::sandbox::platform::REPORT_SECRET)
        .output()
        .unwrap();
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// Every line of the step's block is said, in that order.
fn says(step: &str, said: &str) {
    let label = format!("step={step}");
    let block = blocks().into_iter().find(|b| b.language == "text" && b.label == label).unwrap();
    let mut rest = said;
    for line in block.text.lines() {
        let at = rest.find(line).unwrap_or_else(|| panic!("step {step} does not say “{line}”:\n{said}"));
        rest = &rest[at + line.len()..];
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorial_works_as_it_says() {
    let empty = folder("kind = \"rest\"\n");
    says("empty", &run(empty.path(), "empty"));

    let example = read("examples/desks/zammad.toml");
    let offline = folder(&example);
    says("check", &run(offline.path(), "check"));
    says("plan", &run(offline.path(), "plan"));

    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    let fake =
        SandboxDesk::start(DeskKind::Zammad, Arc::new(SystemClock), Arc::new(Faults::seeded(1)), None, listen).await.unwrap();
    fake.state().set_groups(Some(["CRM Admins".to_owned()].into()));
    let online = folder(&example.replace("https://zammad.example.com", fake.url()).replace("lastmile@example.com", USER));
    let folder = online.path().to_owned();
    let said = tokio::task::spawn_blocking(move || run(&folder, "online")).await.unwrap();
    says("online", &said);
}
