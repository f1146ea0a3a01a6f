//! Who is let in, and how.

use super::bed::{Ask, Bed, LIMS_VIEWER, OPERATOR, VIEWER, tokens};

#[tokio::test]
async fn without_access_this_machine_is_served_and_no_name_that_points_to_it() {
    let bed = Bed::new("", true).await;
    for host in ["127.0.0.1:8480", "localhost:8480", "localhost", "LocalHost", "[::1]:8480", "[::1]", "127.0.0.2"] {
        assert_eq!(bed.call(Ask::get("/").with("host", host)).await.status, 200, "{host}");
    }
    let foreign = [
        "evil.example",
        "evil.example:8480",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "",
        "192.0.2.1",
        "::1",
        "a@b@c",
    ];
    for host in foreign {
        for path in ["/", "/assignments", "/api/v1/overview", "/metrics", "/operations"] {
            assert_eq!(bed.call(Ask::get(path).with("host", host)).await.code(), "host", "{host} {path}");
        }
    }
    let twice = Ask::get("/").with("host", "localhost").also("host", "evil.example");
    assert_eq!(bed.call(twice).await.code(), "host");
    for header in ["x-forwarded-for", "forwarded", "via"] {
        assert_eq!(bed.call(Ask::get("/").with(header, "192.0.2.1")).await.code(), "host", "a proxy lets others in: {header}");
    }
    let beyond = Bed::new("", false).await;
    assert_eq!(beyond.call(Ask::get("/")).await.code(), "host", "bound beyond loopback, nobody is let in unasked");
}

#[tokio::test]
async fn a_page_of_another_site_is_refused_whatever_it_asks() {
    for (bed, bearer) in [(Bed::new("", true).await, ""), (Bed::guarded().await, OPERATOR)] {
        for origin in ["https://evil.example", "null", "http://127.0.0.1:9", "https://127.0.0.1:8480.evil.example"] {
            assert_eq!(bed.call(Ask::get("/").bearer(bearer).with("origin", origin)).await.code(), "origin", "{origin}");
            let post = Ask::json("/api/v1/errands/0000000000000/retry", &serde_json::json!({})).bearer(bearer);
            assert_eq!(bed.call(post.with("origin", origin)).await.code(), "origin", "{origin}");
        }
        for site in ["cross-site", "same-site"] {
            let post = Ask::json("/api/v1/errands/0000000000000/retry", &serde_json::json!({})).bearer(bearer);
            assert_eq!(bed.call(post.with("sec-fetch-site", site)).await.code(), "origin", "{site}");
        }
        let link = Ask::get("/").bearer(bearer).with("sec-fetch-site", "cross-site");
        assert_eq!(bed.call(link).await.status, 200, "a link in a mail is followed");
    }
    let bed = Bed::guarded().await;
    let own = Ask::get("/").bearer(VIEWER).with("origin", "http://127.0.0.1:8480");
    assert_eq!(bed.call(own).await.status, 200);
}

#[tokio::test]
async fn a_token_opens_what_it_is_for_and_nothing_else_does() {
    let bed = Bed::guarded().await;
    let none = bed.call(Ask::get("/api/v1/overview")).await;
    assert_eq!((none.code().as_str(), none.header("www-authenticate")), ("sign-in", "Bearer realm=\"lastmile\""));
    for token in [VIEWER, OPERATOR, LIMS_VIEWER] {
        assert_eq!(bed.call(Ask::get("/api/v1/overview").bearer(token)).await.status, 200);
    }
    assert_eq!(bed.call(Ask::get("/").with("authorization", &format!("bearer {VIEWER}"))).await.status, 200);
    let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(VIEWER));
    for wrong in ["", "lmt_", "lmt_viewer2", &hash] {
        assert_eq!(bed.call(Ask::get("/").bearer(wrong)).await.code(), "sign-in", "{wrong}");
    }
    let twice = Ask::get("/").bearer("x").also("authorization", &format!("Bearer {VIEWER}"));
    assert_eq!(bed.call(twice).await.code(), "sign-in");
    let header = Ask::get("/").with("x-forwarded-user", "root");
    assert_eq!(bed.call(header).await.code(), "sign-in", "a header is nobody's word without a trusted proxy");
}

#[tokio::test]
async fn health_hooks_style_and_error_pages_are_open() {
    let bed = Bed::guarded().await;
    for path in ["/livez", "/readyz", "/style.css", "/docs/errors", "/docs/errors/E-GROUP", "/sign-in"] {
        assert_eq!(bed.call(Ask::get(path).with("host", "any.example")).await.status, 200, "{path}");
    }
    let unsigned = bed.call(Ask::post("/hooks/iga", "{}")).await;
    assert_eq!(unsigned.code(), "not-authentic", "open, but verified");
    for path in ["/", "/assignments", "/assignments/0000000000000", "/operations", "/kpi", "/metrics", "/api/v1/openapi.json"] {
        assert_eq!(bed.call(Ask::get(path)).await.code(), "sign-in", "{path}");
    }
}

#[tokio::test]
async fn ten_wrong_tokens_and_the_peer_waits_while_others_and_sessions_go_on() {
    let bed = Bed::guarded().await;
    let session = sign_in(&bed, VIEWER, "192.0.2.1:7").await;
    for _ in 0..10 {
        assert_eq!(bed.call(Ask::get("/").bearer("guess").from("192.0.2.1:1")).await.code(), "sign-in");
    }
    let waits = bed.call(Ask::get("/").bearer(VIEWER).from("192.0.2.1:2")).await;
    assert_eq!((waits.code().as_str(), waits.header("retry-after")), ("too-many-attempts", "301"));
    assert_eq!(bed.call(Ask::get("/").bearer(VIEWER).from("192.0.2.2:2")).await.status, 200, "another peer");
    let open = Ask::get("/").with("cookie", &session).from("192.0.2.1:2");
    assert_eq!(bed.call(open).await.status, 200, "an open session of the same peer");
    bed.clock.advance_ms(300_000);
    assert_eq!(bed.call(Ask::get("/").bearer(VIEWER).from("192.0.2.1:2")).await.status, 200, "after the wait");
}

const PROXY: &str = r#"
[access.trusted_proxy]
from = ["10.0.0.5"]
user_header = "X-Forwarded-User"
groups_header = "X-Forwarded-Groups"
groups = [
  { group = "iam", role = "operator" },
  { group = "lab", role = "viewer", applications = ["lims"] },
]
"#;

#[tokio::test]
async fn a_trusted_proxy_names_the_person_and_nobody_else_may() {
    let bed = Bed::new(PROXY, false).await;
    let filled = bed.filled().await;
    let ask = |peer: &str, user: &str, groups: &str| {
        Ask::get("/assignments").with("x-forwarded-user", user).with("x-forwarded-groups", groups).from(peer)
    };
    let operator = bed.call(ask("10.0.0.5:1", "kim", "staff, iam")).await;
    assert!(operator.status == 200 && operator.body.contains("REQ-salesforce-1") && operator.body.contains("Bea Neff"));
    assert_eq!(bed.call(ask("[::ffff:10.0.0.5]:1", "kim", "iam")).await.status, 200, "the same address on a dual socket");
    let lab = bed.call(ask("10.0.0.5:1", "kim", "lab")).await;
    assert!(lab.body.contains("REQ-lims-11") && !lab.body.contains("salesforce") && !lab.body.contains("Bea Neff"));
    for refused in [ask("10.0.0.6:1", "kim", "iam"), ask("10.0.0.5:1", "", "iam"), ask("10.0.0.5:1", "kim", "iamx")] {
        assert_eq!(bed.call(refused).await.code(), "sign-in");
    }
    let smuggled = ask("10.0.0.5:1", "root", "iam").also("x-forwarded-user", "kim");
    assert_eq!(bed.call(smuggled).await.code(), "sign-in", "a header that the client sent beside the proxy's");
    let page = bed
        .call(Ask::get("/operations").with("x-forwarded-user", "kim").with("x-forwarded-groups", "iam").from("10.0.0.5:1"))
        .await;
    let fields = [("csrf", page.csrf()), ("action", "unpark".to_owned()), ("id", filled.lims.parked.assignment.to_string())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(k, v)| (*k, v.as_str())).collect();
    let form = |user: &str| {
        Ask::form("/operations", &fields).with("x-forwarded-user", user).with("x-forwarded-groups", "iam").from("10.0.0.5:1")
    };
    let another = bed.call(form("sam").with("accept", "*/*")).await;
    assert_eq!(another.code(), "form", "a form is bound to the person it was shown to");
    assert_eq!(bed.call(form("kim")).await.status, 303);
}

/// Signs in with the form, as a browser does; the session's cookie.
pub async fn sign_in(bed: &Bed, token: &str, peer: &str) -> String {
    let page = bed.call(Ask::get("/sign-in?to=/kpi").from(peer)).await;
    let bound = format!("lastmile-form={}", page.cookie("lastmile-form").unwrap());
    let form = Ask::form("/sign-in", &[("csrf", &page.csrf()), ("token", token), ("to", "/kpi")]);
    let answer = bed.call(form.with("cookie", &bound).from(peer)).await;
    assert_eq!((answer.status.as_u16(), answer.header("location")), (303, "/kpi"), "{}", answer.body);
    format!("other=1; lastmile={}", answer.cookie("lastmile").unwrap())
}

#[tokio::test]
async fn a_session_is_opened_with_a_token_and_ends() {
    let bed = Bed::guarded().await;
    let asked = bed.call(Ask::get("/assignments?state=open").with("accept", "text/html")).await;
    assert_eq!((asked.status.as_u16(), asked.header("location")), (303, "/sign-in?to=%2Fassignments%3Fstate%3Dopen"));
    let session = sign_in(&bed, OPERATOR, "192.0.2.1:1").await;
    let page = bed.call(Ask::get("/operations").with("cookie", &session)).await;
    assert!(page.status == 200 && page.body.contains("Sign out operator"), "{}", page.body);
    assert_eq!(bed.call(Ask::get("/api/v1/overview").with("cookie", &session)).await.status, 200, "the API as well");
    let unsigned = bed.call(Ask::form("/sign-out", &[]).with("cookie", &session).with("accept", "*/*")).await;
    assert_eq!(unsigned.code(), "form");
    let out = bed.call(Ask::form("/sign-out", &[("csrf", &page.csrf())]).with("cookie", &session)).await;
    assert_eq!((out.status.as_u16(), out.cookie("lastmile").as_deref()), (303, Some("")));
    assert_eq!(
        bed.call(Ask::get("/operations").with("cookie", &session)).await.code(),
        "sign-in",
        "a copied cookie is worthless"
    );
    let next = sign_in(&bed, OPERATOR, "192.0.2.1:1").await;
    bed.clock.advance_ms(8 * 3_600_000 - 1);
    assert_eq!(bed.call(Ask::get("/").with("cookie", &next)).await.status, 200);
    bed.clock.advance_ms(1);
    assert_eq!(bed.call(Ask::get("/").with("cookie", &next)).await.code(), "sign-in", "it has expired");
}

/// Replicas, or the same one after a restart: each has the ledger, and nothing else, in common with the others.
#[tokio::test]
async fn a_session_and_its_forms_are_every_process_s_of_the_ledger() {
    let bed = Bed::guarded().await;
    let filled = bed.filled().await;
    let session = sign_in(&bed, OPERATOR, "192.0.2.1:1").await;
    let csrf = bed.call(Ask::get("/operations").with("cookie", &session)).await.csrf();
    let other = bed.other_process();
    let page = other.call(Ask::get("/operations").with("cookie", &session)).await;
    assert!(page.status == 200 && page.body.contains("Sign out operator"), "{}", page.body);
    let id = filled.lims.parked.assignment.to_string();
    let form = Ask::form("/operations", &[("csrf", &csrf), ("action", "unpark"), ("id", &id)]);
    assert_eq!(other.call(form.with("cookie", &session)).await.status, 303, "a form that another process has shown");
    let out = Ask::form("/sign-out", &[("csrf", &csrf)]).with("cookie", &session);
    assert_eq!(other.call(out).await.status, 303);
    assert_eq!(bed.call(Ask::get("/").with("cookie", &session)).await.code(), "sign-in", "signed out everywhere");
    let (page, peer) = (bed.call(Ask::get("/sign-in")).await, "192.0.2.1:1");
    let bound = format!("lastmile-form={}", page.cookie("lastmile-form").unwrap());
    let form = Ask::form("/sign-in", &[("csrf", &page.csrf()), ("token", OPERATOR)]).with("cookie", &bound).from(peer);
    let next = other.call(form).await.cookie("lastmile").unwrap();
    assert_eq!(bed.call(Ask::get("/").with("cookie", &format!("lastmile={next}"))).await.status, 200);
}

#[tokio::test]
async fn the_sign_in_form_refuses_what_it_did_not_show() {
    let bed = Bed::guarded().await;
    let page = bed.call(Ask::get("/sign-in?to=//evil.example/").from("192.0.2.1:1")).await;
    let cookie = page.headers.get("set-cookie").unwrap().to_str().unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict; Max-Age=28800") && !cookie.contains("Secure"), "{cookie}");
    assert!(!page.body.contains("evil.example"), "nobody is sent to another site");
    let (csrf, bound) = (page.csrf(), format!("lastmile-form={}", page.cookie("lastmile-form").unwrap()));
    let form = |fields: &[(&str, &str)], cookie: &str| Ask::form("/sign-in", fields).with("cookie", cookie).with("accept", "*/*");
    for (fields, cookie) in [
        (vec![("token", OPERATOR)], bound.as_str()),
        (vec![("token", OPERATOR), ("csrf", "00")], &bound),
        (vec![("token", OPERATOR), ("csrf", &csrf)], "lastmile-form=another"),
        (vec![("token", OPERATOR), ("csrf", &csrf)], "x=y"),
    ] {
        assert_eq!(bed.call(form(&fields, cookie)).await.code(), "form", "{fields:?} {cookie}");
    }
    let elsewhere = form(&[("token", OPERATOR), ("csrf", &csrf)], &bound).with("origin", "https://evil.example");
    assert_eq!(bed.call(elsewhere).await.code(), "origin");
    let wrong = bed.call(form(&[("token", "lmt_guess"), ("csrf", &csrf)], &bound)).await;
    assert!(wrong.status == 401 && wrong.body.contains("not known here") && wrong.cookie("lastmile").is_none());
    assert!(!wrong.body.contains("lmt_guess"));
    let right = bed.call(form(&[("token", OPERATOR), ("csrf", &csrf), ("to", "https://evil.example")], &bound)).await;
    assert_eq!((right.status.as_u16(), right.header("location")), (303, "/"));
    for _ in 0..10 {
        bed.call(form(&[("token", "lmt_guess"), ("csrf", &csrf)], &bound)).await;
    }
    let waits = bed.call(form(&[("token", OPERATOR), ("csrf", &csrf)], &bound)).await;
    assert_eq!(waits.code(), "too-many-attempts", "even the right token waits: a guess must not show");
}

#[tokio::test]
async fn with_https_cookies_are_the_browsers_guarded_ones() {
    let bed = Bed::with_public_url("https://lastmile.example.org", &tokens()).await;
    let page = bed.call(Ask::get("/sign-in")).await;
    let cookie = page.headers.get("set-cookie").unwrap().to_str().unwrap();
    assert!(
        cookie.starts_with("__Host-lastmile-form=") && cookie.ends_with("; Secure") && cookie.contains("; Path=/;"),
        "{cookie}"
    );
    let bound = format!("__Host-lastmile-form={}", page.cookie("__Host-lastmile-form").unwrap());
    let form = Ask::form("/sign-in", &[("csrf", &page.csrf()), ("token", VIEWER)]).with("origin", "https://lastmile.example.org");
    let session = bed.call(form.with("cookie", &bound)).await.cookie("__Host-lastmile").unwrap();
    assert_eq!(bed.call(Ask::get("/").with("cookie", &format!("__Host-lastmile={session}"))).await.status, 200);
}

#[tokio::test]
async fn every_answer_carries_the_headers_and_no_page_needs_script() {
    let bed = Bed::new("", true).await;
    let filled = bed.filled().await;
    let one = format!("/assignments/{}", filled.sales.open.assignment);
    for path in
        ["/", "/assignments", &one, "/operations", "/kpi", "/sign-in", "/docs/errors", "/docs/errors/E-KEY", "/nowhere", "/livez"]
    {
        let answer = bed.call(Ask::get(path).with("accept", "text/html")).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{path}");
        assert!(policy.contains("frame-ancestors 'none'") && policy.contains("form-action 'self'"), "{path}");
        assert_eq!((answer.header("x-content-type-options"), answer.header("x-frame-options")), ("nosniff", "DENY"), "{path}");
        assert!(!answer.header("cache-control").is_empty() && !answer.header("referrer-policy").is_empty(), "{path}");
        for forbidden in ["<script", " style=", "javascript:", " onclick", " onload", " onsubmit"] {
            assert!(!answer.body.contains(forbidden), "{forbidden} on {path}");
        }
    }
}
