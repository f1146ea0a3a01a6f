//! Forms carry a token bound to whom they were shown to.

use super::access::sign_in;
use super::bed::{Ask, Bed, OPERATOR, VIEWER};

#[tokio::test]
async fn the_local_operator_acts_with_the_page_s_form_and_not_without() {
    let bed = Bed::new("", true).await;
    let filled = bed.filled().await;
    let parked = filled.sales.parked.assignment.to_string();
    let page = bed.call(Ask::get("/operations")).await;
    let forms = page.body.matches("<form method=\"post\"").count();
    assert!(forms >= 5 && page.body.matches("name=\"csrf\" value=\"").count() >= forms, "every form carries a token: {forms}");
    assert_eq!(page.body.matches("name=\"csrf\" value=\"\"").count(), 0);
    let csrf = page.csrf();
    let fields = |csrf: &str| {
        vec![("csrf".to_owned(), csrf.to_owned()), ("action".to_owned(), "unpark".to_owned()), ("id".to_owned(), parked.clone())]
    };
    let form = |csrf: &str| {
        let fields = fields(csrf);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        Ask::form("/operations", &fields).with("accept", "*/*")
    };
    for forged in ["", "00", &"0".repeat(64), &csrf[..62], &format!("{csrf}00")] {
        assert_eq!(bed.call(form(forged)).await.code(), "form", "{forged}");
    }
    assert_eq!(bed.call(form(&csrf).with("origin", "https://evil.example")).await.code(), "origin");
    assert_eq!(bed.call(form(&csrf).with("sec-fetch-site", "cross-site")).await.code(), "origin");
    assert_eq!(bed.call(form(&csrf).with("host", "evil.example").with("origin", "http://evil.example")).await.code(), "host");
    assert_eq!(bed.call(form(&csrf).with("content-type", "text/plain")).await.code(), "media-type");
    assert!(bed.bridge.ledger.overview(&None, bed.bridge.clock.now()).await.unwrap().parked_errands == 2, "nothing was done");
    let done = bed.call(form(&csrf)).await;
    assert_eq!((done.status.as_u16(), done.header("location")), (303, "/operations?q=Done."));
    let again = bed.call(form(&csrf)).await;
    assert_eq!(again.header("location"), "/operations?q=Not+done%3A+it+is+not+parked.");
    assert!(bed.call(Ask::get("/operations?q=Done.")).await.body.contains("Done."));
    let unknown = Ask::form("/operations", &[("csrf", &csrf), ("action", "explode"), ("id", &parked)]).with("accept", "*/*");
    assert_eq!(bed.call(unknown).await.code(), "unprocessable");
}

#[tokio::test]
async fn a_form_of_one_session_is_none_of_another_nor_of_a_restarted_process() {
    let bed = Bed::guarded().await;
    let filled = bed.filled().await;
    let (mine, other) = (sign_in(&bed, OPERATOR, "192.0.2.1:1").await, sign_in(&bed, OPERATOR, "192.0.2.2:1").await);
    let csrf = bed.call(Ask::get("/operations").with("cookie", &mine)).await.csrf();
    let id = filled.lims.parked.assignment.to_string();
    let form = |csrf: &str, cookie: &str| {
        Ask::form("/operations", &[("csrf", csrf), ("action", "unpark"), ("id", &id)])
            .with("cookie", cookie)
            .with("accept", "*/*")
    };
    assert_eq!(bed.call(form(&csrf, &other)).await.code(), "form");
    assert_eq!(bed.call(form(&csrf, "x=y")).await.code(), "sign-in");
    let restarted = Bed::guarded().await;
    assert_eq!(restarted.call(Ask::get("/").with("cookie", &mine)).await.code(), "sign-in");
    assert_eq!(bed.call(form(&csrf, &mine)).await.status, 303);
    let detail = bed.bridge.ledger.assignment(filled.lims.parked.assignment, &None, true).await.unwrap().unwrap();
    assert!(detail.journal.iter().any(|j| j.event == "unparked" && j.actor == "operator"), "the journal names who acted");
}

#[tokio::test]
async fn a_viewer_gets_no_forms_and_cannot_act() {
    let bed = Bed::guarded().await;
    let filled = bed.filled().await;
    let session = sign_in(&bed, VIEWER, "192.0.2.1:1").await;
    let page = bed.call(Ask::get("/operations").with("cookie", &session)).await;
    assert_eq!(page.body.matches("action=\"/operations\"").count(), 0);
    let id = filled.lims.parked.assignment.to_string();
    let form = Ask::form("/operations", &[("csrf", &page.csrf()), ("action", "unpark"), ("id", &id)]);
    assert_eq!(bed.call(form.with("cookie", &session).with("accept", "*/*")).await.code(), "role");
}
