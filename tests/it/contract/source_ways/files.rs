//! Files and uploads: each row answered, nothing skipped or doubled by a stop in the middle, outcomes in an outbox.

use super::*;

#[tokio::test]
async fn every_row_of_a_file_is_answered_beside_it() {
    let world = World::new();
    let (ledger, source) = (world.ledger().await, world.files(""));
    std::fs::write(world.path("inbox/a.csv"), ROWS).unwrap();
    std::fs::write(world.path("inbox/.hidden.csv"), ROWS).unwrap();
    std::fs::write(world.path("inbox/readme.txt"), "no rows").unwrap();
    std::os::unix::fs::symlink(world.path("token"), world.path("inbox/link.csv")).unwrap();
    let shown = source.first_page(world.clock.now()).await.unwrap();
    assert_eq!((shown.len(), world.names("inbox").len()), (5, 4), "looked at, and nothing was changed");
    assert_eq!(look(&world, &ledger, &source).await, None);
    let answers = world.text("inbox/done/a.csv.result.csv");
    // The ids are made of the time.
    let without_ids: Vec<String> = answers
        .lines()
        .map(|line| line.split(',').enumerate().filter(|(n, _)| *n != 2).map(|(_, cell)| cell).collect::<Vec<_>>().join(","))
        .collect();
    insta::assert_snapshot!(without_ids.join("\n"));
    assert_eq!(world.names("inbox/done"), ["a.csv", "a.csv.result.csv"]);
    assert_eq!(orders(&ledger).await, 2);
    assert_eq!(world.text("token"), "open-sesame", "a link is not followed");

    // The same file again, and one of the same name with one more row: nothing twice, nothing written over.
    std::fs::write(world.path("inbox/a.csv"), format!("{ROWS}order;o-5;add;sap;p-5\n")).unwrap();
    look(&world, &ledger, &source).await;
    assert_eq!(world.names("inbox/done"), ["a-2.csv", "a-2.csv.result.csv", "a.csv", "a.csv.result.csv"]);
    let again = world.text("inbox/done/a-2.csv.result.csv");
    let words: Vec<&str> = again.lines().skip(1).map(|line| line.split(',').nth(1).unwrap()).collect();
    assert_eq!(words, ["unchanged", "unchanged", "ignored", "quarantined", "quarantined", "unchanged", "accepted"]);
    assert_eq!(orders(&ledger).await, 3);
}

#[tokio::test]
async fn a_file_that_cannot_be_read_at_all_is_put_aside_and_the_next_one_is_taken() {
    let world = World::new();
    let (ledger, source) = (world.ledger().await, world.files("max_bytes = 400"));
    let wrong =
        [("a.csv", b"Kind;Order\norder;\"Zoe Quill".to_vec()), ("b.csv", vec![0xff, 0xfe, 0x41]), ("c.csv", vec![b'x'; 401])];
    for (name, bytes) in &wrong {
        std::fs::write(world.path("inbox").join(name), bytes).unwrap();
    }
    std::fs::write(world.path("inbox/d.csv"), ROWS).unwrap();
    for _ in 0..4 {
        if let Some(broken) = look(&world, &ledger, &source).await {
            assert!(matches!(&broken, CallError::Reject { code: "E-FILE", .. }), "{broken:?}");
            assert!(!broken.to_string().contains("Zoe"), "{broken}");
        }
    }
    assert_eq!(world.names("inbox/done"), ["d.csv", "d.csv.result.csv"]);
    assert_eq!(world.names("inbox/failed").len(), 6);
    assert!(world.text("inbox/failed/a.csv.result.csv").contains("does not end"));
    assert!(world.text("inbox/failed/b.csv.result.csv").contains("UTF-8"));
    assert!(world.text("inbox/failed/c.csv.result.csv").contains("max_bytes"));
}

/// More rows than fit one transaction, and a stop at every point between reading, recording and answering.
#[tokio::test]
async fn a_crash_in_the_middle_of_a_file_skips_nothing_and_doubles_nothing() {
    let rows: String = (0..1_203).map(|n| format!("order;o-{n};add;sap;p-{n}\n")).collect();
    let text = format!("Kind;Order;Action;System;Person\n{rows}");
    for crash in ["read", "recorded", "torn answers", "answered"] {
        let world = World::new();
        let ledger = world.ledger().await;
        std::fs::write(world.path("inbox/a.csv"), &text).unwrap();
        let first = world.files("");
        assert_eq!(look(&world, &ledger, &first).await, None);
        assert_eq!(orders(&ledger).await, 500, "a batch at a time");
        let cursor = ledger.cursor("pull/iga").await.unwrap();
        assert!(cursor.as_deref().is_some_and(|c| c.contains("\"row\":500")), "{cursor:?}");
        assert_eq!(first.next_poll(world.clock.now()), Some(world.clock.now()), "the rest follows at once");
        match crash {
            "read" => drop(first.pull(cursor.as_deref(), world.clock.now()).await.unwrap()),
            // Recorded, and never answered: as if stopped between the commit and the answers.
            "recorded" | "torn answers" => {
                let pulled = first.pull(cursor.as_deref(), world.clock.now()).await.unwrap();
                let receipts = pulled.events.into_iter().map(|event| lastmile::ledger::Receipt {
                    source: "iga".to_owned(),
                    event_id: event.event_id,
                    digest: event.digest,
                    received_at: world.clock.now(),
                    content: match event.content {
                        EventContent::Order(order) => lastmile::ledger::ReceiptContent::Order(order),
                        _ => panic!("it maps"),
                    },
                });
                ledger.record(receipts.collect()).await.unwrap();
                if crash == "torn answers" {
                    let answers = world.text("inbox/.a.csv.answers");
                    std::fs::write(world.path("inbox/.a.csv.answers"), &answers[..answers.len() - 7]).unwrap();
                }
            }
            _ => {}
        }
        drop(first);
        let second = world.files("");
        for _ in 0..4 {
            assert_eq!(look(&world, &ledger, &second).await, None);
        }
        assert_eq!(orders(&ledger).await, 1_203, "{crash}");
        let answers = world.text("inbox/done/a.csv.result.csv");
        let numbers: Vec<usize> = answers.lines().skip(1).map(|line| line.split(',').next().unwrap().parse().unwrap()).collect();
        assert_eq!(numbers, (2..1_205).collect::<Vec<_>>(), "{crash}: each row once, in order");
        assert!(!answers.contains("quarantined") && !answers.contains("refused"), "{crash}");
        assert!(world.names("inbox").iter().all(|name| name == "done"), "{crash}: {:?}", world.names("inbox"));
    }
}

#[tokio::test]
async fn a_file_is_taken_when_it_has_come_to_rest_and_left_where_that_is_wished() {
    let world = World::new();
    let ledger = world.ledger().await;
    let tables =
        "[file]\nformat = \"csv\"\ndelimiter = \";\"\nfolder = \"inbox\"\nsettle = \"15s\"\nschedule = \"1h\"\nafter = \"leave\"";
    let source = world.build("file", &format!("{tables}\n{COLUMNS}"));
    let (head, tail) = ROWS.split_at(60);
    std::fs::write(world.path("inbox/a.csv"), head).unwrap();
    look(&world, &ledger, &source).await;
    assert_eq!(source.next_poll(world.clock.now()), Some(world.clock.now().plus_secs(15)), "sooner than the schedule says");
    std::fs::write(world.path("inbox/a.csv"), format!("{head}{tail}")).unwrap();
    look(&world, &ledger, &source).await;
    assert_eq!(orders(&ledger).await, 0, "it still grew");
    look(&world, &ledger, &source).await;
    look(&world, &ledger, &source).await;
    assert_eq!(orders(&ledger).await, 2);
    assert_eq!(world.text("inbox/a.csv"), ROWS, "it lies where it lay");
    let answers = world.text("inbox/a.csv.result.csv");
    for _ in 0..3 {
        look(&world, &ledger, &source).await;
    }
    assert_eq!(world.text("inbox/a.csv.result.csv"), answers, "and is not taken again");
    std::fs::write(world.path("inbox/a.csv"), format!("{ROWS}order;o-9;add;sap;p-9\n")).unwrap();
    for _ in 0..3 {
        look(&world, &ledger, &source).await;
    }
    assert_eq!(orders(&ledger).await, 3, "until it says something else");
}

#[tokio::test]
async fn an_upload_is_answered_row_by_row_and_may_be_repeated() {
    let world = World::new();
    let ledger = world.ledger().await;
    let tables = format!("[file]\nformat = \"csv\"\ndelimiter = \";\"\n[webhook]\nverify = {BEARER}\n{COLUMNS}");
    let source = world.build("file", &tables);
    let send = async |token: &str, text: &str| {
        let inbound = inbound(&[("authorization", token)], text.as_bytes());
        intake::take_rows(&ledger, &*source, inbound, NOW).await
    };
    let words = |answers: &[source::rows::RowAnswer]| answers.iter().map(|a| (a.row, a.result.clone())).collect::<Vec<_>>();
    let is = |all: &[(u64, &str)]| all.iter().map(|(n, w)| (*n, (*w).to_owned())).collect::<Vec<_>>();
    let first = send("Bearer open-sesame", ROWS).await.unwrap();
    let expected = [(2, "accepted"), (3, "unchanged"), (4, "ignored"), (5, "quarantined"), (6, "quarantined"), (7, "accepted")];
    assert_eq!(words(&first), is(&expected));
    assert!(first[3].reason.as_deref().is_some_and(|reason| reason.contains("`operation`") && !reason.contains("dance")));
    let again = send("Bearer open-sesame", ROWS).await.unwrap();
    assert!(again.iter().all(|answer| answer.result != "accepted"), "{:?}", words(&again));
    assert_eq!(orders(&ledger).await, 2);
    let refused = send("Bearer wrong", ROWS).await.unwrap_err().to_string();
    assert!(refused.contains("signature"), "{refused}");
    let torn = send("Bearer open-sesame", "Kind;Order\norder;\"Zoe").await.unwrap_err().to_string();
    assert!(torn.contains("does not end") && !torn.contains("Zoe"), "{torn}");
    assert!(!source.info().capabilities.polls && source.info().capabilities.pushes);
}

#[tokio::test]
async fn an_outcome_stands_once_in_the_outbox_and_is_no_formula() {
    let world = World::new();
    let source = world.files("[report]\nfile = \"out.csv\"");
    for _ in 0..2 {
        source.report(&completion("r-1", "=HYPERLINK(\"http://evil.example\")\nline two")).await.unwrap();
    }
    // Another process of ours after a crash in the middle of a line.
    let whole = world.text("out.csv");
    std::fs::write(world.path("out.csv"), format!("{whole}r-2,o-1,iga/o-1")).unwrap();
    let source = world.files("[report]\nfile = \"out.csv\"");
    for id in ["r-1", "r-2", "r-2"] {
        source.report(&completion(id, "done")).await.unwrap();
    }
    insta::assert_snapshot!(world.text("out.csv"));
    // Its reader takes the file away: the next outcome begins another.
    std::fs::rename(world.path("out.csv"), world.path("taken.csv")).unwrap();
    source.report(&completion("r-3", "done")).await.unwrap();
    assert_eq!(world.text("out.csv").lines().count(), 2);
    // Columns that changed meanwhile are not mixed.
    let other = world.files("[report]\nfile = \"out.csv\"\nbody = { order = \"{{external_id}}\" }");
    let refused = other.report(&completion("r-4", "done")).await;
    assert!(
        matches!(&refused, Err(CallError::Retry { code: "E-FILE", reason, .. }) if reason.contains("columns")),
        "{refused:?}"
    );
}

#[tokio::test]
async fn an_outbox_of_json_lines_takes_the_declared_body() {
    let world = World::new();
    let source = world.files("[report]\nfile = \"out.jsonl\"\nbody = { order = \"{{external_id}}\", ok = \"{{success}}\" }");
    assert!(!source.info().capabilities.ticket_link && source.info().capabilities.report);
    for id in ["r-1", "r-1", "r-2"] {
        source.report(&completion(id, "done")).await.unwrap();
    }
    assert_eq!(
        world.text("out.jsonl"),
        "{\"id\":\"r-1\",\"ok\":true,\"order\":\"o-1\"}\n{\"id\":\"r-2\",\"ok\":true,\"order\":\"o-1\"}\n"
    );
    std::fs::remove_file(world.path("out.jsonl")).unwrap();
    std::fs::create_dir(world.path("out.jsonl")).unwrap();
    let refused = source.report(&completion("r-3", "done")).await;
    assert!(matches!(refused, Err(CallError::Retry { code: "E-FILE", .. })), "{refused:?}");
}
