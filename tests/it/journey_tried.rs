//! `source try` for the kinds that a file describes, and for SailPoint: a set-up is proven, and nothing happens. (One
//! Identity, midPoint and Entra: with their journeys.)

use std::sync::Arc;

use lastmile::sandbox::config::{MAPPING, files};
use lastmile::sandbox::{PlatformFaults, SandboxPlatform, sailpoint};

use super::platform_bed::{self, PlatformBed};

/// A platform with three orders, and a source of it.
async fn bed(tables: &str) -> (SandboxPlatform, PlatformBed) {
    let clock = platform_bed::clock();
    let listen = "127.0.0.1:0".parse().unwrap();
    let fake = SandboxPlatform::start(clock.clone(), None, listen, Arc::new(PlatformFaults::default()), 11).await.unwrap();
    fake.order(3);
    let url = fake.url().to_owned();
    let secrets: Vec<(String, String)> = files(&url, "", "", "").into_iter().filter(|(p, _)| p.starts_with("secrets/")).collect();
    let secrets: Vec<(&str, &str)> = secrets.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    let report = format!("[report]\nurl = \"{url}/completions\"\nsigning = {{ file = \"secrets/platform-report\" }}\n");
    let source = format!("{}\n{report}{MAPPING}", tables.replace("URL", &url));
    let bed = PlatformBed::new(clock, "iga", &source, &secrets).await;
    (fake, bed)
}

async fn tried(bed: &PlatformBed, words: &[&str]) {
    let out = bed.try_source().await;
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    for words in words.iter().chain(&["Nothing was recorded, filed or told."]) {
        assert!(said.contains(words), "`{words}` is missing in:\n{said}");
    }
    assert_eq!((bed.tickets(), bed.rows().await.len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_and_a_hook_are_tried_without_effect() {
    let list = "kind = \"poll\"\n[poll]\nurl = \"URL/pending\"\nschedule = \"1h\"\nlist = \"snapshot\"\nitems = \"/items\"\n\
                auth = { bearer = { file = \"secrets/platform-list\" } }\npaging = { by = \"offset\", limit = 7, total = \"/total\" }";
    let hook = "kind = \"webhook\"\n[webhook]\nverify = { scheme = \"standard-webhooks\", secrets = [{ file = \"secrets/platform-hook\" }] }";
    for (tables, words) in [(list, "The first page holds 3 events."), (hook, "lastmile plan --source iga FILE")] {
        let (fake, bed) = bed(tables).await;
        let (before, waiting) = (fake.state().counts(), fake.state().waiting().len());
        tried(&bed, &[words]).await;
        let after = fake.state().counts();
        assert_eq!(
            (after.completions, after.refused, fake.state().waiting().len()),
            (before.completions, before.refused, waiting)
        );
        bed.end().await;
    }
    // What would not work is told by the code of the command, too.
    let (fake, bed) = bed(&list.replace("secrets/platform-list", "secrets/platform-hook")).await;
    let out = bed.try_source().await;
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stdout).contains("WRONG"), "{}", String::from_utf8_lossy(&out.stdout));
    assert_eq!(fake.state().pending().len(), 3);
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_tried_and_its_files_stay() {
    let folder = tempfile::tempdir().unwrap();
    let tables =
        format!("kind = \"file\"\n[file]\nformat = \"json_lines\"\nfolder = \"{}\"\nsettle = \"0s\"", folder.path().display());
    let (fake, bed) = bed(&tables).await;
    let rows: String = fake.state().pending().iter().map(|order| format!("{order}\n")).collect();
    std::fs::write(folder.path().join("orders.jsonl"), rows).unwrap();
    tried(&bed, &["The first page holds 3 events."]).await;
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().file_name()).collect();
    assert_eq!(left, ["orders.jsonl"], "neither taken nor answered");
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_asks_is_tried_without_effect() {
    let source = format!(
        "kind = \"sailpoint\"\nauth = {{ basic = {{ user = \"{}\", password = {{ file = \"secrets/sp\" }} }} }}\n",
        sailpoint::USER
    );
    let bed = PlatformBed::new(platform_bed::clock(), "sp", &source, &[("secrets/sp", sailpoint::PASSWORD)]).await;
    tried(&bed, &["lastmile plan --source sp FILE"]).await;
    bed.end().await;
}
