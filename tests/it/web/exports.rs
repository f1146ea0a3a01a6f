//! Evidence, workbooks, who took what out; small groups are told together.

use lastmile::ledger::{End, Observation};
use lastmile::model::ticket::{Category, Created, TicketReading, TicketRef, TicketStatus};
use lastmile::model::{Clock as _, Id, Outcome, Person};
use serde_json::{Value, json};
use sqlx::{ConnectOptions as _, Connection as _};

use super::bed::{Ask, Bed, LIMS_OPERATOR, LIMS_VIEWER, OPERATOR, PRIVATE, VIEWER, tokens};

/// An order whose ticket was filed, then closed by somebody an hour later.
async fn done(bed: &Bed, n: u32, application: &str, closer: (&str, &str, &str)) -> Id {
    let created = Created {
        ticket: TicketRef { id: format!("{n}"), number: format!("T-{n}") },
        url: Some(format!("https://desk.example.org/T-{n}")),
        key_confirmed: true,
        group_missed: false,
    };
    let sent = bed.sent(n, application, End::Filed(created)).await;
    bed.clock.advance_ms(3_600_000);
    let mut held = Vec::new();
    for desk in ["jira", "servicenow"] {
        held.extend(bed.bridge.ledger.held(desk, &[format!("{n}")]).await.unwrap());
    }
    let held = held.remove(0);
    let status = TicketStatus {
        ticket: held.ticket.clone(),
        key: Some(held.key.clone()),
        category: Category::Closed,
        outcome: Some(Outcome::Fulfilled),
        status: "Closed".to_owned(),
        resolution: None,
        group: None,
        assigned: true,
        created_by: None,
        updated_at: Some(bed.clock.now()),
        closed_at: Some(bed.clock.now()),
    };
    let (id, name, mail) = closer;
    let closer = Person { id: id.to_owned(), name: Some(name.to_owned()), email: Some(mail.to_owned()) };
    let reading = TicketReading {
        status,
        closer: Some(closer),
        words: None,
        first_work_at: None,
        closed_by_us: None,
        evidence: Vec::new(),
    };
    let closed = Observation::Closed { ticket_id: held.id, reading: Box::new(reading) };
    assert_eq!(bed.bridge.ledger.observe(vec![closed], bed.clock.now()).await.unwrap(), 1);
    sent.assignment
}

const CAI: (&str, &str, &str) = ("557", "Cai Closer", "cai@company.example");

async fn three(bed: &Bed) -> [Id; 3] {
    [
        done(bed, 1, "lims", CAI).await,
        // the approver of every order is PA; of approvers the platform tells no address
        done(bed, 2, "lims", ("pa", "A. Prove", "ann@company.example")).await,
        // and its beneficiary is P and its number
        done(bed, 3, "salesforce", ("559", "B. Neff", "P3@company.example")).await,
    ]
}

async fn read(bed: &Bed, path: &str, token: &str) -> Value {
    let answer = bed.call(Ask::get(path).bearer(token)).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_says_who_did_what_and_what_is_wrong_stands_first() {
    let bed = Bed::guarded().await;
    let [fine, approver, own] = three(&bed).await;
    let pack = read(&bed, "/api/v1/evidence?days=2", OPERATOR).await;
    assert_eq!(
        (&pack["n"], &pack["violations"], &pack["unchecked"], &pack["chains_hold"]),
        (&json!(3), &json!(2), &json!(0), &json!(3))
    );
    let rows = pack["rows"].as_array().unwrap();
    let told = |n: usize| (rows[n]["id"].as_str().unwrap().to_owned(), rows[n]["violations"].clone());
    assert_eq!(told(0), (approver.to_string(), json!(["approver_fulfilled"])));
    assert_eq!(told(1), (own.to_string(), json!(["own_access"])));
    assert_eq!(told(2), (fine.to_string(), json!([])));
    let named = |name: &str| json!({"is": "named", "name": name});
    assert_eq!(
        (&rows[2]["beneficiary"], &rows[2]["requester"], &rows[2]["approvers"]),
        (&named("Bea Neff"), &named("Rex Quest"), &json!([named("Ann Prove")]))
    );
    assert_eq!(
        (&rows[2]["fulfilled_by"], &rows[2]["ticket"], &rows[2]["proof"]),
        (&named("Cai Closer"), &json!("T-1"), &json!("claimed"))
    );
    assert_eq!(rows[2]["removed_at"], Value::Null, "a grant removes nothing");
    assert_eq!(pack["digest"].as_str().unwrap().len(), 64);
    let again = read(&bed, "/api/v1/evidence?days=2", OPERATOR).await;
    assert_eq!(pack["digest"], again["digest"], "the same journal has the same digest");
    // In scope, and one by its ticket.
    let mine = read(&bed, "/api/v1/evidence?days=2", LIMS_OPERATOR).await;
    assert_eq!((&mine["n"], &mine["violations"]), (&json!(2), &json!(1)));
    assert_eq!(read(&bed, "/api/v1/evidence?q=T-3", LIMS_OPERATOR).await["n"], 0, "it is not theirs");
    assert_eq!(read(&bed, "/api/v1/evidence?q=T-3", OPERATOR).await["rows"][0]["id"], own.to_string());
    assert_eq!(read(&bed, "/api/v1/evidence?from=2026-01-01&to=2026-01-31", OPERATOR).await["n"], 0);
    // Without names the judgement is the same.
    for path in ["/api/v1/evidence?days=2", "/evidence?days=2", "/evidence.csv?days=2", "/evidence.html?days=2"] {
        let answer = bed.call(Ask::get(path).bearer(VIEWER).with("accept", "text/html")).await;
        assert_eq!(answer.status, 200, "{path}");
        for words in PRIVATE.into_iter().chain(["Cai Closer", "company.example"]) {
            assert!(!answer.body.contains(words), "{words} on {path}");
        }
        assert!(answer.body.contains("same person") || answer.body.contains("approver_fulfilled"), "{path}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_journal_and_an_erased_name_are_told() {
    let bed = Bed::guarded().await;
    let [fine, ..] = three(&bed).await;
    let before = read(&bed, "/api/v1/evidence?days=2", OPERATOR).await;
    let url = bed.bridge.setup.load().catalog.main.ledger.url.clone();
    let options: sqlx::sqlite::SqliteConnectOptions = url.parse().unwrap();
    let mut by_hand = options.connect().await.unwrap();
    // Somebody makes the approver's deed look like that of another.
    sqlx::query("UPDATE journal SET actor = 'nobody' WHERE assignment_id = $1 AND seq = 2")
        .bind(fine.0)
        .execute(&mut by_hand)
        .await
        .unwrap();
    let after = read(&bed, "/api/v1/evidence?days=2", OPERATOR).await;
    assert_eq!((&after["rows"][0]["id"], &after["rows"][0]["violations"]), (&json!(fine.to_string()), &json!(["chain_broken"])));
    assert_eq!((&after["chains_hold"], &after["digest"]), (&json!(2), &before["digest"]));
    sqlx::query("UPDATE person SET name = NULL, external_id = NULL, email = NULL, erased_at = 1 WHERE name = 'Ann Prove'")
        .execute(&mut by_hand)
        .await
        .unwrap();
    by_hand.close().await.unwrap();
    let erased = read(&bed, "/api/v1/evidence?days=2", OPERATOR).await;
    assert_eq!(erased["rows"][0]["approvers"], json!([{"is": "erased"}]));
    assert_eq!(erased["unchecked"], 3, "nobody can tell any more");
    let page = bed.call(Ask::get("/evidence?days=2").bearer(OPERATOR).with("accept", "text/html")).await;
    assert!(page.body.contains("(erased)") && page.body.contains("chain does not hold"), "{}", page.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_has_its_form_and_is_noted_before_it_leaves() {
    let bed = Bed::guarded().await;
    three(&bed).await;
    bed.count().await;
    let sheet = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
    for (path, kind) in [
        ("/kpi.csv?days=7", "text/csv; charset=utf-8"),
        ("/kpi.xlsx?days=7&application=lims", sheet),
        ("/kpi/assignments.xlsx?days=7", sheet),
        ("/evidence.csv?days=7", "text/csv; charset=utf-8"),
        ("/evidence.xlsx?days=7", sheet),
        ("/evidence.html?q=Bea+Neff", "text/html; charset=utf-8"),
    ] {
        let answer = bed.call(Ask::get(path).bearer(OPERATOR)).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, kind), "{path}: {}", answer.body);
        assert!(answer.header("content-disposition").starts_with("attachment; filename=\"lastmile-"), "{path}");
        assert_eq!(answer.body.starts_with("PK"), kind == sheet, "{path}");
    }
    let csv = bed.call(Ask::get("/evidence.csv?days=7").bearer(LIMS_VIEWER)).await.body;
    assert!(csv.lines().nth(1).unwrap().starts_with("approved and carried out by the same person,(not shown to you),"), "{csv}");
    let looked = bed.call(Ask::get("/evidence?q=Bea+Neff&days=7").bearer(LIMS_OPERATOR).with("accept", "text/html")).await;
    assert_eq!(looked.status.as_u16(), 200);
    let list = read(&bed, "/api/v1/exports", OPERATOR).await;
    let noted: Vec<[&Value; 5]> = list["exports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| [&e["actor"], &e["what"], &e["form"], &e["asked"], &e["names"]])
        .collect();
    assert_eq!(noted.len(), 8);
    let looked = [&json!("lims-operator"), &json!("evidence"), &json!("page"), &json!("one order days=7"), &json!(true)];
    assert_eq!(noted[0], looked, "looking at single persons is noted, too");
    assert_eq!(noted[1], [&json!("lims-viewer"), &json!("evidence"), &json!("csv"), &json!("days=7"), &json!(false)]);
    assert_eq!(
        noted[2],
        [&json!("operator"), &json!("evidence"), &json!("html"), &json!("one order"), &json!(true)],
        "no name is kept"
    );
    assert_eq!(
        noted[6],
        [&json!("operator"), &json!("figures"), &json!("xlsx"), &json!("days=7 application=lims"), &json!(false)]
    );
    assert_eq!(bed.call(Ask::get("/api/v1/exports").bearer(VIEWER)).await.code(), "role");
    assert_eq!(bed.call(Ask::get("/api/v1/exports").bearer(LIMS_OPERATOR)).await.code(), "scope");
    let page = bed.call(Ask::get("/evidence").bearer(OPERATOR).with("accept", "text/html")).await.body;
    assert!(page.contains("Who took what out") && page.contains("lims-viewer"), "{page}");
    assert!(
        page.contains(r#"name="from" value="2026-"#) && page.contains(r#"name="to" value="2026-"#),
        "the dates it is of: {page}"
    );
    let theirs = bed.call(Ask::get("/evidence").bearer(LIMS_OPERATOR).with("accept", "text/html")).await.body;
    assert!(!theirs.contains("Who took what out"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobodys_own_speed_can_be_read_off_a_small_group() {
    let bed = Bed::new(&format!("{}\n[kpi]\nsmallest_group = 3\n", tokens()), false).await;
    for (n, who) in [(1, "c1"), (2, "c2")] {
        done(&bed, n, "lims", (who, who, &format!("{who}@x.example"))).await;
    }
    for (n, who) in [(3, "s1"), (4, "s2"), (5, "s3"), (6, "s3")] {
        done(&bed, n, "salesforce", (who, who, &format!("{who}@x.example"))).await;
    }
    bed.count().await;
    let all = read(&bed, "/api/v1/kpi?days=7", VIEWER).await;
    assert_eq!(
        (&all["all"]["provisioning"]["n"], &all["withheld"], &all["smallest_group"]),
        (&json!(6), &json!(false), &json!(3))
    );
    // Two people in one, three in the other: the second goes with the first, or a subtraction would tell the first.
    for (lines, name) in [("groups", "2 admin groups together"), ("applications", "2 applications together")] {
        let lines = all[lines].as_array().unwrap();
        assert_eq!((lines.len(), &lines[0]["id"], &lines[0]["name"]), (1, &json!(""), &json!(name)));
        assert_eq!(lines[0]["provisioning"]["n"], 6);
    }
    for (query, token) in
        [("days=7&application=lims", VIEWER), ("days=7&application=salesforce", VIEWER), ("days=7", LIMS_VIEWER)]
    {
        let part = read(&bed, &format!("/api/v1/kpi?{query}"), token).await;
        assert_eq!((&part["withheld"], &part["all"]["provisioning"]["n"]), (&json!(true), &json!(0)), "{query}");
        assert_eq!(part["all"]["provisioning"]["max_ms"], Value::Null);
        assert_eq!(part["trend"], json!([]));
        let behind = read(&bed, &format!("/api/v1/kpi/assignments?{query}"), token).await;
        assert_eq!(behind["assignments"], json!([]), "{query}");
        let csv = bed.call(Ask::get(&format!("/kpi/assignments.csv?{query}")).bearer(token)).await.body;
        assert_eq!(csv.lines().count(), 1, "{query}: {csv}");
        let figures = bed.call(Ask::get(&format!("/kpi.csv?{query}")).bearer(token)).await.body;
        assert!(!figures.contains(",3600,"), "an hour is what each took: {figures}");
        let page = bed.call(Ask::get(&format!("/kpi?{query}")).bearer(token).with("accept", "text/html")).await.body;
        assert!(page.contains("So few people did this"), "{page}");
    }
    let evidence = read(&bed, "/api/v1/evidence?days=7", VIEWER).await;
    assert_eq!((&evidence["n"], &evidence["left_out"]), (&json!(0), &json!(6)));
    let metrics = bed.call(Ask::get("/metrics").bearer(VIEWER)).await.body;
    assert!(metrics.contains("lastmile_kpi_closed{admin_group=\"2 admin groups together\"} 6"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workbook_is_read_by_another_program() {
    let bed = Bed::guarded().await;
    three(&bed).await;
    let answer = bed.raw(Ask::get("/evidence.xlsx?days=7").bearer(OPERATOR)).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), answer).unwrap();
    // A workbook is a ZIP of XML, which every Python reads.
    let script = "import re,sys,zipfile\nz=zipfile.ZipFile(sys.argv[1])\nassert z.testzip() is None\nfor n in sorted(z.namelist()):\n  if n.startswith('xl/worksheets/sheet'):\n    x=z.read(n).decode()\n    assert '<f>' not in x, n\n    print(n, x.count('<row '))\nprint(re.findall('<sheet name=\"([^\"]*)\"', z.read('xl/workbook.xml').decode()))\nprint('Cai Closer' in z.read('xl/sharedStrings.xml').decode())";
    let out = std::process::Command::new("python3").args(["-c", script]).arg(file.path()).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        text.contains("['About', 'Orders', 'To look at']") && text.contains("sheet2.xml 4") && text.contains("True"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_line_of_a_target_is_that_of_applications_told_together() {
    let bed = Bed::new(&format!("{}\n[kpi]\nsmallest_group = 3\n", tokens()), false).await;
    let closer = |who: &'static str| (who, who, "x@x.example");
    for (n, who) in [(1, "c1"), (2, "c2"), (3, "c3")] {
        done(&bed, n, "salesforce", closer(who)).await;
    }
    for (n, who) in [(4, "s1"), (5, "s2")] {
        done(&bed, n, "lims", closer(who)).await;
    }
    bed.count().await;
    let page = async || {
        let asked = Ask::get("/kpi?days=7&clock=business").bearer(VIEWER).with("accept", "text/html");
        bed.call(asked).await.body
    };
    let told = page().await;
    assert!(told.contains("2 applications together") && told.contains("The dashed line is the target, 20 h."), "{told}");
    // Told together with another, and its target differs.
    done(&bed, 6, "sap-erp", closer("e1")).await;
    bed.count().await;
    let told = page().await;
    assert!(told.contains("2 applications together") && told.contains("Targets differ"), "{told}");
}
