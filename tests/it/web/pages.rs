//! What people read on the pages, as text.

use insta::assert_snapshot;
use lastmile::ledger::Past;
use lastmile::sandbox::history;

use super::bed::{Ask, Bed, LIMS_OPERATOR, NOW, VIEWER};
use crate::orders;

/// The text of a page's main part, as a person reads it: one line per block, cells apart.
fn read(html: &str) -> String {
    let (_, main) = html.split_once("<main").unwrap_or_else(|| panic!("no page: {html}"));
    let (main, _) = main.split_once("</main>").unwrap();
    let mut text = String::new();
    for part in main.split('<').skip(1) {
        let (tag, words) = part.split_once('>').unwrap();
        let name = tag.split([' ', '/']).find(|n| !n.is_empty()).unwrap_or_default();
        let cell = tag.starts_with("/td") || tag.starts_with("/th") && name == "th" || tag == "/dt";
        text.push_str(if cell {
            " | "
        } else if matches!(name, "span" | "a" | "small" | "strong" | "time" | "code" | "option" | "td" | "th" | "rect" | "label")
        {
            if name == "option" { " " } else { "" }
        } else {
            "\n"
        });
        text.push_str(&words.replace('\n', " "));
    }
    for (entity, plain) in
        [("&#x27;", "'"), ("&#x60;", "`"), ("&#x3D;", "="), ("&quot;", "\""), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")]
    {
        text = text.replace(entity, plain);
    }
    let lines = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.map(|l| l.trim_end_matches(" |").to_owned()).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("\n")
}

async fn page(bed: &Bed, path: &str) -> String {
    let answer = bed.call(Ask::get(path).with("accept", "text/html")).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    read(&answer.body)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_install_says_what_to_do_next() {
    let bed = Bed::new("", true).await;
    assert_snapshot!("fresh_overview", page(&bed, "/").await);
    assert_snapshot!("fresh_assignments", page(&bed, "/assignments").await);
    assert_snapshot!("fresh_operations", page(&bed, "/operations").await);
    assert_snapshot!("fresh_kpi", page(&bed, "/kpi").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_is_said_first_and_actions_say_what_they_do() {
    let bed = Bed::new("", true).await;
    let filled = bed.filled().await;
    bed.found(&["1"]).await;
    bed.clock.advance_ms(3 * 3_600_000);
    assert_snapshot!("overview", page(&bed, "/").await);
    assert_snapshot!("operations", page(&bed, "/operations").await);
    assert_snapshot!("assignments", page(&bed, "/assignments?application=lims").await);
    assert_snapshot!("assignment_open", page(&bed, &format!("/assignments/{}", filled.sales.open.assignment)).await);
    assert_snapshot!("assignment_parked", page(&bed, &format!("/assignments/{}", filled.sales.parked.assignment)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_asked_for_patience_is_shown_until_when() {
    let bed = Bed::new("", true).await;
    let page = async || bed.call(Ask::get("/operations").with("accept", "text/html")).await.body;
    assert!(!page().await.contains("asked for patience"));
    bed.bridge.runtime.pauses().begin("desk/jira", 90_000, &*bed.clock);
    assert_eq!(page().await.matches("It asked for patience").count(), 1, "that desk only");
    bed.clock.advance_ms(90_000);
    assert!(!page().await.contains("asked for patience"));
}

#[tokio::test(flavor = "multi_thread")]
async fn findings_are_mended_and_dismissed_by_form_and_a_comparison_begins() {
    let bed = Bed::new("", true).await;
    bed.filled().await;
    let found = bed.found(&["1", "11"]).await;
    let csrf = bed.call(Ask::get("/operations").with("accept", "text/html")).await.csrf();
    let send = async |action: &str, id: &str| {
        let form = Ask::form("/operations", &[("csrf", csrf.as_str()), ("action", action), ("id", id)]);
        let answer = bed.call(form).await;
        assert_eq!(answer.status, 303, "{}", answer.body);
        answer.header("location").to_owned()
    };
    assert_eq!(send("repair", &found[0].to_string()).await, "/operations?q=Done.");
    assert_eq!(send("dismiss", &found[1].to_string()).await, "/operations?q=Done.");
    assert!(send("dismiss", &found[1].to_string()).await.contains("it+is+dismissed+already"));
    assert_eq!(send("repair", "0000000000001").await, "/operations?q=It+is+no+longer+there.");
    assert!(send("compare", "").await.contains("comparison+runs"));
    let report = bed.call(Ask::get("/api/v1/reconcile")).await.json();
    assert!(report["findings"].as_array().unwrap().is_empty());
    assert!(report["edges"].as_array().unwrap().iter().all(|edge| edge["running"] == true), "{report}");
    assert_eq!(bed.bridge.ledger.verify_chains().await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_many_is_paged_and_keeps_its_filter() {
    let bed = Bed::new("", true).await;
    for n in 0..55 {
        bed.order(n, "lims").await;
    }
    let first = bed.call(Ask::get("/assignments?application=lims&state=received").with("accept", "text/html")).await.body;
    assert_eq!(first.matches("<th scope=\"row\">").count(), 50);
    let (_, rest) =
        first.split_once("rel=\"next\"").map(|(before, rest)| (before.rsplit_once("href=\"").unwrap().1, rest)).unwrap();
    assert!(rest.contains("Older"));
    let older = first.split("rel=\"next\"").next().unwrap().rsplit_once("href=\"").unwrap().1.split('"').next().unwrap();
    let older = older.replace("&amp;", "&").replace("&#x3D;", "=");
    assert!(older.contains("application=lims") && older.contains("state=received") && older.contains("before="), "{older}");
    let second = bed.call(Ask::get(&older).with("accept", "text/html")).await.body;
    assert_eq!(second.matches("<th scope=\"row\">").count(), 5);
    assert!(second.contains("These are the oldest.") && !second.contains("rel=\"next\""));
}

/// Weeks of a made past: what was closed of it.
fn finished(weeks: u32, per_day: u32) -> Vec<Past> {
    history::history(7, NOW, weeks, per_day).unwrap().into_iter().enumerate().filter_map(orders::closed).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn percentiles_need_twenty_cases_and_both_times_stay_apart() {
    let bed = Bed::new("", true).await;
    let finished = finished(3, 12);
    bed.bridge.ledger.load_history(finished).await.unwrap();
    bed.count().await;
    let text = page(&bed, "/kpi?days=30").await;
    assert!(text.contains("too few"), "{text}");
    assert_snapshot!("kpi", text);
    assert_snapshot!("kpi_of_one_application", page(&bed, "/kpi/application?days=30&application=sap-erp").await);
    for name in ["application", "group", "approval", "leavers", "backlog"] {
        assert_snapshot!(format!("kpi_{name}"), page(&bed, &format!("/kpi/{name}?days=30")).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_number_of_a_figure_leads_to_what_is_behind_it_and_keeps_the_filter() {
    let bed = Bed::new("", true).await;
    bed.bridge.ledger.load_history(finished(4, 20)).await.unwrap();
    bed.count().await;
    let get = async |path: &str| {
        bed.call(Ask::get(path).with("accept", "text/html")).await.body.replace("&amp;", "&").replace("&#x3D;", "=")
    };
    let html = get("/kpi?days=30&operation=grant").await;
    assert!(html.contains("<svg class=\"chart\"") && html.contains("role=\"img\"") && html.contains("<desc>"), "{html}");
    assert!(!html.contains(" style=") && !html.contains("<style"), "no style of its own");
    let all = bed.call(Ask::get("/api/v1/kpi?days=30&operation=grant")).await.json();
    let mut linked = 0;
    for (point, n) in all["trend"].as_array().unwrap().iter().map(|p| (p, p["provisioning"]["n"].as_i64().unwrap())) {
        let day = |at: i64| lastmile::model::Timestamp(at).to_utc().date_naive().to_string();
        let (from, to) = (day(point["from"].as_i64().unwrap()), day(point["to"].as_i64().unwrap() - 1));
        let link = format!("/kpi/assignments?from={from}&to={to}&operation=grant&which=closed");
        if n == 0 {
            continue;
        }
        assert!(html.contains(&format!("<a href=\"{link}\">{n}</a>")), "{link} {n}: {html}");
        assert_eq!(get(&link).await.matches("<th scope=\"row\">").count(), usize::try_from(n).unwrap().min(200), "{link}");
        linked += 1;
    }
    assert!(linked > 0, "{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_see_no_form_and_no_person_and_scopes_no_quarantine() {
    let bed = Bed::guarded().await;
    let filled = bed.filled().await;
    let ask = |path: String, token: &str| Ask::get(&path).bearer(token).with("accept", "text/html");
    let seen = bed.call(ask("/operations".to_owned(), VIEWER)).await.body;
    assert!(!seen.contains("<form method=\"post\" action=\"/operations\"") && seen.contains("acting is for operators"), "{seen}");
    let one = bed.call(ask(format!("/assignments/{}", filled.sales.open.assignment), VIEWER)).await.body;
    assert!(one.contains("Names of persons") && !one.contains("Bea Neff"), "{one}");
    let scoped = bed.call(ask("/operations".to_owned(), LIMS_OPERATOR)).await.body;
    assert!(scoped.contains("Look at it again") && !scoped.contains("Quarantined") && !scoped.contains("salesforce"), "{scoped}");
}
