//! The JSON API: paging, actions, refusals, metrics.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::bed::{Ask, Bed, OPERATOR, VIEWER};

fn ids(page: &Value) -> Vec<String> {
    page["assignments"].as_array().unwrap().iter().map(|a| a["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn pages_neither_skip_nor_repeat_while_rows_arrive() {
    let bed = Bed::new("", true).await;
    let mut there = BTreeSet::new();
    for n in 0..23 {
        there.insert(bed.order(n, if n % 3 == 0 { "lims" } else { "salesforce" }).await.to_string());
    }
    let (mut seen, mut cursor, mut pages, mut n) = (Vec::new(), String::new(), 0, 100);
    loop {
        let page = bed.call(Ask::get(&format!("/api/v1/assignments?limit=5{cursor}"))).await.json();
        seen.extend(ids(&page));
        pages += 1;
        for _ in 0..3 {
            n += 1;
            bed.order(n, "salesforce").await;
        }
        let Some(next) = page["next"].as_str() else { break };
        assert!(!next.contains(seen.last().unwrap()), "a cursor is opaque");
        cursor = format!("&cursor={next}");
    }
    assert_eq!((seen.len(), pages), (23, 5), "what was there at the start, once each");
    assert_eq!(seen.iter().cloned().collect::<BTreeSet<_>>(), there);
    assert!(seen.windows(2).all(|pair| pair[0] > pair[1]), "newest first");
}

#[tokio::test]
async fn the_last_page_says_so_and_a_cursor_belongs_to_its_filter() {
    let bed = Bed::new("", true).await;
    for n in 0..4 {
        bed.order(n, "lims").await;
    }
    let get = async |query: &str| bed.call(Ask::get(&format!("/api/v1/assignments?{query}"))).await;
    let first = get("limit=2&application=lims").await.json();
    let cursor = first["next"].as_str().unwrap();
    let last = get(&format!("limit=2&application=lims&cursor={cursor}")).await.json();
    assert_eq!((ids(&last).len(), &last["next"]), (2, &Value::Null), "a full last page has no next one");
    assert_eq!(get(&format!("limit=4&application=lims&cursor={cursor}")).await.status, 200, "another length is no other list");
    for other in [
        format!("cursor={cursor}"),
        format!("application=salesforce&cursor={cursor}"),
        "cursor=AAAA".to_owned(),
        "cursor=".to_owned(),
    ] {
        assert_eq!(get(&other).await.code(), "cursor", "{other}");
    }
    for wrong in ["limit=0", "limit=501", "limit=x", "limit=-1", "state=opne", "parked=maybe", "statte=open"] {
        let answer = get(wrong).await;
        assert_eq!(answer.code(), "bad-request", "{wrong}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(wrong.split('=').next().unwrap()), "{wrong}: {detail}");
    }
}

#[tokio::test]
async fn lists_of_trouble_are_paged_too() {
    let bed = Bed::new("", true).await;
    let filled = bed.filled().await;
    let get = async |path: String| bed.call(Ask::get(&format!("/api/v1/{path}"))).await;
    let first = get("errands?which=parked&limit=1".to_owned()).await.json();
    assert_eq!(first["errands"][0]["id"], filled.sales.parked.errand.to_string(), "oldest first");
    let cursor = first["next"].as_str().unwrap();
    let second = get(format!("errands?which=parked&limit=1&cursor={cursor}")).await.json();
    assert_eq!((&second["errands"][0]["id"], &second["next"]), (&json!(filled.lims.parked.errand.to_string()), &Value::Null));
    assert_eq!(get(format!("errands?which=unclear&cursor={cursor}")).await.code(), "cursor");
    assert_eq!(get(format!("quarantine?cursor={cursor}")).await.code(), "cursor");
    for wrong in ["errands", "errands?which=done"] {
        assert_eq!(get(wrong.to_owned()).await.code(), "bad-request", "{wrong}");
    }
    bed.held().await;
    let first = get("quarantine?limit=1".to_owned()).await.json();
    let rest = get(format!("quarantine?cursor={}", first["next"].as_str().unwrap())).await.json();
    assert_eq!((&first["quarantined"][0]["id"], rest["quarantined"].as_array().unwrap().len()), (&json!(filled.quarantined), 1));
}

#[tokio::test]
async fn operators_act_through_the_api() {
    let bed = Bed::guarded().await;
    let filled = bed.filled().await;
    let post = async |path: String, body: Value| bed.call(Ask::json(&format!("/api/v1/{path}"), &body).bearer(OPERATOR)).await;
    let (sales, lims) = (&filled.sales, &filled.lims);
    let done = post(format!("errands/{}/retry", sales.parked.errand), json!({})).await;
    assert_eq!((done.status.as_u16(), done.json()), (200, json!({"result": "done", "assignment": null})));
    let ticket = json!({"id": "10042", "number": "IAM-42"});
    assert_eq!(post(format!("errands/{}/ticket", sales.unclear.errand), ticket).await.status, 200);
    assert_eq!(bed.state(sales.unclear.assignment).await, "open");
    let again = post(format!("errands/{}/no-ticket", sales.unclear.errand), json!({})).await;
    assert_eq!(again.code(), "not-now");
    assert_eq!(post(format!("errands/{}/no-ticket", lims.unclear.errand), json!({})).await.status, 200);
    let decided = json!({"outcome": "not_possible", "reason": "the role is gone"});
    assert_eq!(post(format!("assignments/{}/decide", lims.open.assignment), decided).await.status, 200);
    assert_eq!(bed.state(lims.open.assignment).await, "closed");
    for (path, body, code) in [
        (format!("assignments/{}/decide", sales.open.assignment), json!({"outcome": "done", "reason": "x"}), "unprocessable"),
        (
            format!("assignments/{}/decide", sales.open.assignment),
            json!({"outcome": "rejected", "reason": "  "}),
            "unprocessable",
        ),
        (format!("assignments/{}/decide", sales.open.assignment), json!({"outcome": "rejected"}), "unprocessable"),
        (format!("errands/{}/ticket", sales.open.errand), json!({"id": ""}), "unprocessable"),
        (format!("errands/{}/retry", sales.open.errand), json!({"force": true}), "unprocessable"),
        (format!("errands/{}/retry", sales.open.errand), json!({}), "not-now"),
        ("errands/0000000000000/retry".to_owned(), json!({}), "no-such-errand"),
        ("errands/x/retry".to_owned(), json!({}), "not-found"),
        ("assignments/0000000000000/unpark".to_owned(), json!({}), "no-such-assignment"),
        ("quarantine/0000000000000/replay".to_owned(), json!({}), "no-such-event"),
        (format!("quarantine/{}/replay", filled.quarantined), json!({}), "not-now"),
    ] {
        assert_eq!(post(path.clone(), body.clone()).await.code(), code, "{path} {body}");
    }
    let gone = format!("quarantine/{}/discard", filled.quarantined);
    assert_eq!(post(gone.clone(), json!({})).await.status, 200);
    assert_eq!(post(gone, json!({})).await.code(), "no-such-event");
}

#[tokio::test]
async fn a_report_that_is_refused_for_good_can_be_let_go() {
    let bed = Bed::new("", true).await;
    let filled = bed.filled().await;
    let order = filled.sales.open.assignment;
    let report = bed.refused_report(order).await;
    let page = bed.call(Ask::get("/operations")).await;
    let at = page.body.find(&format!("e-{report}")).expect("it waits for a person");
    assert!(page.body[at..].contains("Let it go"), "{}", page.body);
    let drop = |errand| Ask::json(&format!("/api/v1/errands/{errand}/drop"), &json!({}));
    assert_eq!(bed.call(drop(filled.sales.parked.errand)).await.code(), "not-now", "an order needs its ticket");
    assert_eq!(bed.call(drop(report)).await.status, 200);
    assert_eq!(bed.call(drop(report)).await.code(), "not-now");
    let one = bed.call(Ask::get(&format!("/api/v1/assignments/{order}"))).await.json();
    assert_eq!((&one["state"], &one["outcome"], &one["parked_code"]), (&json!("closed"), &json!("fulfilled"), &Value::Null));
    assert!(!bed.call(Ask::get("/operations")).await.body.contains(&format!("e-{report}")));
    assert!(
        bed.bridge
            .ledger
            .owed(lastmile::model::Clock::now(&*bed.clock))
            .await
            .unwrap()
            .iter()
            .all(|o| o.edge != "source/iga" || o.errands == 0)
    );
}

#[tokio::test]
async fn a_quarantined_event_is_replayed_once_its_mapping_fits() {
    let bed = Bed::new("", true).await;
    let id = bed.held().await;
    let replay = || Ask::json(&format!("/api/v1/quarantine/{id}/replay"), &json!({}));
    assert_eq!(bed.call(replay()).await.code(), "not-now");
    bed.mend().await;
    let taken = bed.call(replay()).await.json();
    assert_eq!(taken["result"], "new");
    let one = bed.call(Ask::get(&format!("/api/v1/assignments/{}", taken["assignment"].as_str().unwrap()))).await.json();
    assert_eq!((one["operation"].as_str(), one["external_id"].as_str()), (Some("revoke"), Some("REQ-lims-5")));
    assert_eq!(bed.call(replay()).await.code(), "no-such-event");
}

#[tokio::test]
async fn every_refusal_is_a_problem_document_with_a_page_behind_it() {
    let bed = Bed::guarded().await;
    let big = "x".repeat(70_000);
    let post = |path: &str, kind: &str, body: &str| Ask::post(path, body.to_owned()).with("content-type", kind).bearer(OPERATOR);
    let errand = "/api/v1/errands/0000000000000/retry";
    for (ask, status, code) in [
        (Ask::get("/api/v1/nothing").bearer(VIEWER), 404, "not-found"),
        (Ask::get("/nothing"), 404, "not-found"),
        (Ask::get("/docs/errors/E-NOTHING"), 404, "not-found"),
        (Ask::get("/docs/errors/..%2Fapi"), 404, "not-found"),
        (Ask::get("/api/v1/assignments/nonsense").bearer(VIEWER), 404, "not-found"),
        (Ask::method("DELETE", "/api/v1/assignments").bearer(VIEWER), 405, "method"),
        (Ask::method("PUT", "/hooks/iga"), 405, "method"),
        (Ask::get("/sign-out"), 405, "method"),
        (post(errand, "application/json", &big), 413, "too-large"),
        (post("/operations", "application/x-www-form-urlencoded", &big), 413, "too-large"),
        (post("/hooks/iga", "application/json", &"x".repeat(2 << 20)), 413, "too-large"),
        (post(errand, "text/plain", "{}"), 415, "media-type"),
        (post(errand, "application/x-www-form-urlencoded", "a=b"), 415, "media-type"),
        (post(errand, "application/json", "{"), 400, "bad-request"),
        (post(errand, "application/json", "7"), 422, "unprocessable"),
        (post(errand, "application/json; charset=utf-8", "{}"), 404, "no-such-errand"),
        (post("/hooks/nobody", "application/json", "{}"), 404, "no-such-source"),
        (post("/hooks/desk/nobody", "application/json", "{}"), 404, "no-such-desk"),
        (Ask::get("/assignments?before=x&state=%FF").bearer(VIEWER), 200, ""),
    ] {
        let answer = bed.call(ask).await;
        assert_eq!(answer.status.as_u16(), status, "{code}: {}", answer.body);
        if status == 200 {
            continue;
        }
        assert_eq!(answer.code(), code);
        let document = answer.json();
        assert!(
            !document["title"].as_str().unwrap().is_empty() && !document["detail"].as_str().unwrap().is_empty(),
            "{document}"
        );
        let page = bed.call(Ask::get(document["type"].as_str().unwrap())).await;
        assert!(page.status == 200 && page.body.contains("Can a ticket be lost or doubled?"), "{code}");
    }
    let allowed = bed.call(Ask::method("DELETE", "/api/v1/assignments").bearer(VIEWER)).await;
    assert_eq!(allowed.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn people_are_refused_with_a_page() {
    let bed = Bed::new("", true).await;
    let answer = bed.call(Ask::get("/assignments/0000000000000").with("accept", "text/html,*/*")).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (404, "text/html; charset=utf-8"));
    assert!(answer.body.contains("/docs/errors/no-such-assignment") && answer.body.contains("<title>"), "{}", answer.body);
    let api = bed.call(Ask::get("/api/v1/assignments/0000000000000").with("accept", "text/html,*/*")).await;
    assert_eq!(api.code(), "no-such-assignment", "the API answers machines, whatever they accept");
}

#[tokio::test]
async fn health_and_metrics_say_what_the_ledger_holds() {
    let bed = Bed::new("", true).await;
    let value = |text: &str, name: &str| -> f64 {
        let line = text
            .lines()
            .find(|l| l.strip_prefix(name).is_some_and(|r| r.starts_with(' ')))
            .unwrap_or_else(|| panic!("no {name} in {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    let empty = bed.call(Ask::get("/metrics")).await;
    assert!(empty.header("content-type").starts_with("text/plain; version=0.0.4"));
    for name in
        ["lastmile_oldest_unfulfilled_age_seconds", "lastmile_intake_lag_seconds", "lastmile_strays_found{kind=\"double\"}"]
    {
        assert!(value(&empty.body, name).abs() < f64::EPSILON, "{name}");
    }
    bed.filled().await;
    bed.clock.advance_ms(90_000);
    bed.order(99, "lims").await;
    bed.clock.advance_ms(10_000);
    bed.bridge.ledger.checkpoint(bed.bridge.clock.now()).await.unwrap();
    let text = bed.call(Ask::get("/metrics")).await.body;
    let (jira, snow) = ("{edge=\"desk/jira\"}", "{edge=\"desk/servicenow\"}");
    let over_edges = |name: &str| -> Vec<f64> {
        [jira, snow]
            .iter()
            .filter(|e| text.contains(&format!("{name}{e}")))
            .map(|e| value(&text, &format!("{name}{e}")))
            .collect()
    };
    for (name, wanted) in [
        ("lastmile_oldest_unfulfilled_age_seconds", 100.0),
        ("lastmile_intake_lag_seconds", 10.0),
        ("lastmile_parked_errands", 2.0),
        ("lastmile_quarantined_events", 1.0),
        ("lastmile_journal_checkpoint_timestamp_seconds", (super::bed::NOW.0 + 100_000) as f64 / 1000.0),
    ] {
        assert!((value(&text, name) - wanted).abs() < 0.002, "{name}: {} instead of {wanted}", value(&text, name));
    }
    assert!((over_edges("lastmile_unclear_errands").iter().sum::<f64>() - 2.0).abs() < f64::EPSILON);
    assert!(over_edges("lastmile_oldest_unclear_age_seconds").iter().all(|age| (age - 100.0).abs() < 0.002));
    assert!(text.contains("lastmile_build_info{version=\"") && text.contains("lastmile_start_timestamp_seconds "));
    for line in text.lines().filter(|l| !l.starts_with('#') && !l.is_empty()) {
        let name = line.split(['{', ' ']).next().unwrap();
        assert!(name.starts_with("lastmile_"), "{line}");
        assert!(line.rsplit(' ').next().unwrap().parse::<f64>().is_ok(), "{line}");
        assert!(!name.ends_with("_ms") && !name.contains("minutes"), "base units: {line}");
    }
    assert_eq!(bed.call(Ask::get("/livez")).await.body, "alive\n");
    assert_eq!(bed.call(Ask::get("/readyz")).await.body, "ready\n");
    bed.bridge.ledger.close().await;
    assert_eq!(bed.call(Ask::get("/livez")).await.status, 200, "the process lives");
    let away = bed.call(Ask::get("/readyz")).await;
    assert_eq!((away.status.as_u16(), away.code().as_str(), away.header("retry-after")), (503, "ledger-away", "10"));
}
