//! Dashboard and alarms name only series that exist, and every alarm fires when it should: proven by Prometheus' own tool.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use lastmile::model::Timestamp;
use serde_json::Value;

use crate::real::skipped;
use crate::web::bed::{Ask, Bed};

fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root(path)).unwrap()
}

/// Every name of a series of ours in a text; parts of a histogram are told by its name.
fn series(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in text.match_indices("lastmile_") {
        if text[..at].chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            continue;
        }
        let name: String = text[at..].chars().take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_').collect();
        let name = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(&name).to_owned();
        found.insert(name);
    }
    found
}

/// Names that the code counts by; they are shown once what they count has happened.
fn counted() -> BTreeSet<String> {
    let (mut folders, mut found) = (vec![root("src")], BTreeSet::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = std::fs::read_to_string(&path).unwrap();
                let quoted = text.split('"').skip(1).step_by(2).filter(|word| word.starts_with("lastmile_"));
                found.extend(quoted.flat_map(series));
            }
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn dashboard_and_alarms_name_series_that_exist() {
    let bed = Bed::new("", true).await;
    bed.filled().await;
    bed.bridge.ledger.checkpoint(Timestamp(bed.bridge.clock.now().0 + 10_000)).await.unwrap();
    bed.count().await;
    let metrics = bed.call(Ask::get("/metrics")).await.body;
    let shown = series(&metrics);
    let dashboard = read("monitoring/grafana/lastmile.json");
    let (rules, tests) = (read("monitoring/prometheus/rules.yml"), read("monitoring/prometheus/rules_test.yml"));
    let used: BTreeSet<String> = [&dashboard, &rules, &tests].into_iter().flat_map(|text| series(text)).collect();
    let known: BTreeSet<String> = shown.union(&counted()).cloned().collect();
    assert_eq!(used.difference(&known).collect::<Vec<_>>(), Vec::<&String>::new(), "no such series");
    let seen = used.intersection(&shown).count();
    assert!(seen >= 15, "most of them stand in /metrics of a bridge at work: {seen} of {used:?}\n{metrics}");
    // Each series of the figures is used or written about.
    let docs = read("docs/operations.md");
    for name in shown.iter().filter(|name| name.starts_with("lastmile_kpi_") || *name == "lastmile_open_assignments") {
        assert!(docs.contains(name.as_str()), "docs/operations.md says nothing of {name}");
    }
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let mut ids = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_i64().unwrap()), "panel ids differ");
        assert!(panel["type"] == "row" || !panel["targets"].as_array().unwrap().is_empty(), "{}", panel["title"]);
    }
    if let Some(promtool) = promtool() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &metrics).unwrap();
        let input = std::fs::File::open(file.path()).unwrap();
        let out = Command::new(promtool).args(["check", "metrics"]).stdin(input).output().unwrap();
        // 3: it would name some otherwise; what cannot be read is 1
        assert!(matches!(out.status.code(), Some(0 | 3)), "{}", String::from_utf8_lossy(&out.stderr));
    }
}

/// From Debian's package, unpacked by tests/run or installed.
fn promtool() -> Option<PathBuf> {
    let unpacked = root("target/promtool/usr/bin/promtool");
    if unpacked.exists() {
        return Some(unpacked);
    }
    let found = Command::new("sh").args(["-c", "command -v promtool"]).output().unwrap();
    found.status.success().then(|| PathBuf::from(String::from_utf8_lossy(&found.stdout).trim()))
}

#[test]
fn every_alarm_fires_when_it_should() {
    let Some(promtool) = promtool() else {
        return skipped("promtool is not there (tests/run unpacks it from Debian's package prometheus)");
    };
    let folder = tempfile::tempdir().unwrap();
    let (rules, tests) = (read("monitoring/prometheus/rules.yml"), read("monitoring/prometheus/rules_test.yml"));
    let run = |rules: &str, what: &[&str]| {
        std::fs::write(folder.path().join("rules.yml"), rules).unwrap();
        std::fs::write(folder.path().join("rules_test.yml"), &tests).unwrap();
        Command::new(&promtool).args(what).current_dir(folder.path()).output().unwrap()
    };
    for what in [["check", "rules", "rules.yml"], ["test", "rules", "rules_test.yml"]] {
        let out = run(&rules, &what);
        assert!(out.status.success(), "{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    }
    // Every alarm has a test: one that never fires, or fires always, is noticed.
    for alarm in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let never = rules.replacen(&format!("- alert: {alarm}\n"), &format!("- alert: {alarm}Gone\n"), 1);
        assert!(!run(&never, &["test", "rules", "rules_test.yml"]).status.success(), "no test expects {alarm}");
    }
}
