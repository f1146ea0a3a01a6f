//! What is outside a reader's applications does not exist for them; what is personal does not exist for viewers.

use serde_json::{Value, json};

use super::access::sign_in;
use super::bed::{Ask, Bed, Filled, LIMS_OPERATOR, LIMS_VIEWER, OPERATOR, PRIVATE, VIEWER};

/// Every address that shows something, as its reader would ask for it or try to.
fn everything(filled: &Filled) -> Vec<String> {
    let mut paths: Vec<String> =
        ["/", "/assignments", "/operations", "/kpi", "/kpi?days=366", "/kpi?clock=business", "/kpi.csv", "/metrics"]
            .map(str::to_owned)
            .to_vec();
    paths.extend(["application", "group", "approval", "leavers", "backlog"].map(|page| format!("/kpi/{page}?days=90")));
    paths.extend(["", ".csv", ".html"].map(|ending| format!("/evidence{ending}?days=90")));
    paths.extend(["", ".csv"].map(|ending| format!("/kpi/assignments{ending}?which=overdue")));
    for base in ["/assignments?", "/api/v1/assignments?limit=500&"] {
        for query in
            ["", "state=open", "application=salesforce", "application=lims", "q=REQ-salesforce-1", "q=REQ-lims-11", "parked=true"]
        {
            paths.push(
                format!("{base}{query}")
                    .replace("parked=true", if base.starts_with("/api") { "parked=true" } else { "parked=yes" }),
            );
        }
    }
    paths.extend(
        [
            "overview",
            "operations",
            "errands?which=parked",
            "errands?which=unclear",
            "errands?which=failing",
            "quarantine",
            "kpi?days=366",
            "kpi?application=salesforce",
            "kpi/assignments?which=overdue",
            "kpi/assignments?which=overdue&application=salesforce",
        ]
        .map(|p| format!("/api/v1/{p}")),
    );
    for three in [&filled.sales, &filled.lims] {
        for sent in [&three.open, &three.parked, &three.unclear] {
            paths.push(format!("/assignments/{}", sent.assignment));
            paths.push(format!("/api/v1/assignments/{}", sent.assignment));
        }
    }
    paths
}

#[tokio::test]
async fn nothing_of_another_application_is_shown_anywhere() {
    let bed = Bed::guarded().await;
    let filled = bed.filled().await;
    bed.clock.advance_ms(30 * 86_400_000); // everything is overdue
    for token in [LIMS_OPERATOR, LIMS_VIEWER] {
        let mut seen_own = 0;
        for path in everything(&filled) {
            let answer = bed.call(Ask::get(&path).bearer(token)).await;
            // What the reader typed into the filter comes back in its field.
            let shown = answer.body.replace("value=\"salesforce\"", "").replace("value=\"REQ-salesforce-1\"", "");
            assert!(!shown.to_lowercase().contains("salesforce"), "{path}: {shown}");
            assert!(!shown.contains(&filled.quarantined), "{path}");
            seen_own += usize::from(shown.contains("lims"));
        }
        assert!(seen_own > 10, "their own is shown: {seen_own}");
        for sent in [&filled.sales.open, &filled.sales.parked, &filled.sales.unclear] {
            let foreign = bed.call(Ask::get(&format!("/api/v1/assignments/{}", sent.assignment)).bearer(token)).await;
            let missing = bed.call(Ask::get("/api/v1/assignments/0000000000000").bearer(token)).await;
            assert_eq!(foreign.code(), "no-such-assignment");
            assert_eq!(foreign.body, missing.body, "what exists elsewhere and what does not exist look alike");
        }
        assert_eq!(bed.call(Ask::get("/metrics").bearer(token)).await.code(), "scope");
        let overview = bed.call(Ask::get("/api/v1/overview").bearer(token)).await.json();
        assert_eq!(
            (&overview["parked_errands"], &overview["unclear"], &overview["quarantined"]),
            (&json!(1), &json!(1), &json!(0))
        );
    }
    let all = bed.call(Ask::get("/api/v1/overview").bearer(VIEWER)).await.json();
    assert_eq!((&all["parked_errands"], &all["unclear"], &all["quarantined"]), (&json!(2), &json!(2), &json!(1)));
}

#[tokio::test]
async fn viewers_see_no_person_and_no_free_text_and_operators_do() {
    let bed = Bed::guarded().await;
    let filled = bed.filled().await;
    bed.clock.advance_ms(30 * 86_400_000);
    let mut seen = std::collections::BTreeSet::new();
    for path in everything(&filled) {
        let answer = bed.call(Ask::get(&path).bearer(VIEWER)).await;
        for words in PRIVATE {
            assert!(!answer.body.contains(words), "{words} on {path}");
        }
        let answer = bed.call(Ask::get(&path).bearer(OPERATOR)).await;
        seen.extend(PRIVATE.into_iter().filter(|words| answer.body.contains(words)));
    }
    for words in PRIVATE.iter().filter(|w| !w.contains("event")) {
        assert!(seen.contains(words), "an operator sees {words}, or this test shows nothing");
    }
}

fn deeds(three: &super::bed::Three, quarantined: &str) -> Vec<(String, Value)> {
    let (parked, unclear) = (&three.parked, &three.unclear);
    vec![
        (format!("errands/{}/retry", parked.errand), json!({})),
        (format!("assignments/{}/unpark", parked.assignment), json!({})),
        (format!("assignments/{}/decide", parked.assignment), json!({"outcome": "rejected", "reason": "no"})),
        (format!("errands/{}/ticket", unclear.errand), json!({"id": "4711"})),
        (format!("errands/{}/no-ticket", unclear.errand), json!({})),
        (format!("errands/{}/drop", parked.errand), json!({})),
        (format!("quarantine/{quarantined}/replay"), json!({})),
        (format!("quarantine/{quarantined}/discard"), json!({})),
    ]
}

#[tokio::test]
async fn operators_act_in_their_scope_only_and_viewers_never() {
    let bed = Bed::guarded().await;
    let filled = bed.filled().await;
    let before = bed.bridge.ledger.dump().await.unwrap();
    for (path, body) in deeds(&filled.sales, &filled.quarantined) {
        let post = |token| Ask::json(&format!("/api/v1/{path}"), &body).bearer(token);
        assert_eq!(bed.call(post(VIEWER)).await.code(), "role", "{path}");
        assert_eq!(bed.call(post(LIMS_VIEWER)).await.code(), "role", "{path}");
        let foreign = bed.call(post(LIMS_OPERATOR)).await;
        assert_eq!(foreign.status, 404, "{path}: {}", foreign.body);
        assert!(foreign.code().starts_with("no-such-"), "{path}");
    }
    let session = sign_in(&bed, LIMS_OPERATOR, "192.0.2.1:1").await;
    let page = bed.call(Ask::get("/operations").with("cookie", &session)).await;
    for (action, id) in [
        ("unpark", filled.sales.parked.assignment.to_string()),
        ("retry_errand", filled.sales.parked.errand.to_string()),
        ("no_ticket", filled.sales.unclear.errand.to_string()),
        ("drop", filled.sales.parked.errand.to_string()),
        ("discard", filled.quarantined.clone()),
        ("replay", filled.quarantined.clone()),
    ] {
        let form = Ask::form("/operations", &[("csrf", &page.csrf()), ("action", action), ("id", &id)]);
        let answer = bed.call(form.with("cookie", &session)).await;
        assert_eq!(answer.header("location"), "/operations?q=It+is+no+longer+there.", "{action}");
    }
    assert_eq!(bed.bridge.ledger.dump().await.unwrap(), before, "nothing was changed");
    for (path, body) in deeds(&filled.lims, "").into_iter().take(6).filter(|(p, _)| !p.ends_with("decide")) {
        let own = bed.call(Ask::json(&format!("/api/v1/{path}"), &body).bearer(LIMS_OPERATOR)).await;
        assert!(own.status == 200 || own.code() == "not-now", "{path}: {}", own.body);
    }
    assert_eq!(bed.state(filled.lims.unclear.assignment).await, "open", "it is the ticket that the operator named");
}
