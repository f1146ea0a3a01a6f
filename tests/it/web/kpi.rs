//! Figures of a past whose truth is known: both clocks, targets, what is behind a figure, exports.

use lastmile::ledger::Past;
use lastmile::model::{Id, Operation, Outcome, Timestamp};
use lastmile::sandbox::history;
use serde_json::{Value, json};

use super::bed::{Ask, Bed, LIMS_VIEWER, NOW, VIEWER};

const HOUR: i64 = 3_600_000;
/// Monday 2026-11-09, 08:00 in Berlin, when the office opens; it works ten hours a day.
const MONDAY: Timestamp = Timestamp(1_794_207_600_000);
const IN_TIME: usize = 22;
const LATE: usize = 3;

/// Grants of one application: most closed an hour into Tuesday, some on Thursday; the target is 20 working hours.
async fn past(bed: &Bed) {
    let orders = history::history(7, NOW, 2, 12).unwrap();
    let finished: Vec<Past> = orders
        .into_iter()
        .take(IN_TIME + LATE)
        .enumerate()
        .map(|(n, p)| {
            let mut assignment = p.assignment;
            assignment.operation = Operation::Grant;
            assignment.application.id = "lims".to_owned();
            assignment.application.name = "=LIMS()".to_owned();
            // Friday 17:00 in Berlin
            assignment.requested_at = Some(MONDAY.plus_ms(-63 * HOUR));
            assignment.approved_at = Some(MONDAY);
            let closed_at = MONDAY.plus_ms(if n < IN_TIME { 25 } else { 73 } * HOUR);
            Past {
                received_at: MONDAY,
                eligible_at: MONDAY,
                filed_at: MONDAY,
                first_work_at: None,
                closed_at,
                reported_at: closed_at,
                outcome: Outcome::Fulfilled,
                desk: "jira".to_owned(),
                admin_group: "lims-admins".to_owned(),
                number: format!("OLD-{n}"),
                closed_by: None,
                proven_at: None,
                assignment,
            }
        })
        .collect();
    assert_eq!(finished.len(), IN_TIME + LATE);
    bed.bridge.ledger.load_history(finished).await.unwrap();
}

async fn overdue(bed: &Bed) -> Id {
    let id = bed.order(1, "lims").await;
    bed.plan().await;
    bed.clock.advance_ms(10 * 24 * HOUR);
    id
}

async fn read(bed: &Bed, path: &str, token: &str) -> Value {
    let answer = bed.call(Ask::get(path).bearer(token)).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_known_past_gives_its_figures_exactly() {
    let bed = Bed::guarded().await;
    past(&bed).await;
    bed.count().await;
    let before = read(&bed, "/api/v1/kpi?days=30", VIEWER).await;
    assert_eq!(before["all"]["target"], json!({"in_target": 22, "late": 3, "overdue_open": 0, "percent": 88}));
    let open = overdue(&bed).await;
    let behind = read(&bed, "/api/v1/kpi?days=30", VIEWER).await;
    assert_eq!(
        (&behind["behind"], &behind["all"]["flow"]["open"]),
        (&json!(true), &json!(0)),
        "it says that it does not know yet"
    );
    bed.count().await;
    let report = read(&bed, "/api/v1/kpi?days=30", VIEWER).await;
    assert_eq!((&report["behind"], &report["as_of"]), (&json!(false), &json!(bed.bridge.clock.now().0)));
    for line in [&report["all"], &report["applications"][0], &report["groups"][0], &report["operations"][0], &report["desks"][0]]
    {
        let spread = |measure: &str, hours: [i64; 4]| {
            let spread = &line[measure];
            assert_eq!((&spread["n"], &spread["max_ms"]), (&json!(25), &json!(hours[3] * HOUR)), "{measure}");
            for (percentile, hours) in ["p50_ms", "p90_ms", "p95_ms"].into_iter().zip(hours) {
                let (told, exact) = (spread[percentile].as_i64().unwrap(), hours * HOUR);
                assert!((told - exact).abs() * 100 <= exact, "{measure} {percentile}: {told} instead of {exact}");
            }
        };
        spread("provisioning", [25, 73, 73, 73]);
        spread("provisioning_business", [11, 31, 31, 31]);
        spread("approval", [63; 4]);
        // The last hour of Friday.
        spread("approval_business", [1; 4]);
        // The open one that is overdue counts as missed.
        assert_eq!(line["target"], json!({"in_target": 22, "late": 3, "overdue_open": 1, "percent": 84}));
        assert_eq!((&line["flow"]["open"], &line["flow"]["bands"]), (&json!(1), &json!([0, 0, 0, 1, 0])));
    }
    assert_eq!(report["calendars"][0]["name"], "office");
    assert_eq!(report["calendars"][0]["version"], bed.bridge.setup.load().catalog.calendars["office"].version.as_str());
    let behind = read(&bed, "/api/v1/kpi/assignments?which=overdue", LIMS_VIEWER).await;
    assert_eq!((behind["assignments"].as_array().unwrap().len(), &behind["assignments"][0]["id"]), (1, &json!(open.to_string())));
    let late = read(&bed, "/api/v1/kpi/assignments?which=late&days=30", VIEWER).await;
    assert_eq!(late["assignments"].as_array().unwrap().len(), LATE);
    let none = read(&bed, "/api/v1/kpi/assignments?which=late&days=1", VIEWER).await;
    assert_eq!(none, json!({"assignments": [], "cut": false}));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_assignment_tells_both_clocks_and_when_it_is_due() {
    let bed = Bed::guarded().await;
    let id = overdue(&bed).await;
    let one = read(&bed, &format!("/api/v1/assignments/{id}"), VIEWER).await;
    let timing = &one["timing"];
    // From Wednesday 09:46:40: 8:13:20 that day, ten hours on Thursday, the rest on Friday.
    assert_eq!(timing["target"]["due_by"], json!(NOW.plus_ms(-HOUR + 48 * HOUR).0));
    assert_eq!((&timing["target"]["overdue"], &timing["target"]["in_target"]), (&json!(true), &Value::Null));
    let sum = |clock: &str| timing["segments"].as_array().unwrap().iter().map(|s| s[clock].as_i64().unwrap()).sum::<i64>();
    assert_eq!(sum("elapsed_ms"), bed.bridge.clock.now().ms_since(NOW) + 2 * HOUR, "no time is lost or doubled");
    let whole = timing["approval"]["business_ms"].as_i64().unwrap() + timing["provisioning"]["business_ms"].as_i64().unwrap();
    assert_eq!(sum("business_ms"), whole);
    assert_eq!(timing["calendar"]["zone"], "Europe/Berlin");
    let listed = read(&bed, "/api/v1/assignments", VIEWER).await;
    assert_eq!(
        (&listed["assignments"][0]["overdue"], &listed["assignments"][0]["due_by"]),
        (&json!(true), &timing["target"]["due_by"])
    );
    for path in ["/assignments".to_owned(), format!("/assignments/{id}")] {
        let page = bed.call(Ask::get(&path).bearer(VIEWER).with("accept", "text/html")).await.body;
        assert!(page.contains("overdue") && page.contains("2026-11-20 10:06 UTC"), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exports_are_safe_hold_no_person_and_keep_the_filter() {
    let bed = Bed::guarded().await;
    past(&bed).await;
    bed.count().await;
    let get = async |path: &str| {
        let answer = bed.call(Ask::get(path).bearer(LIMS_VIEWER)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert_eq!(answer.header("content-type"), "text/csv; charset=utf-8");
        assert!(answer.header("content-disposition").starts_with("attachment; filename=\"lastmile-"));
        answer.body
    };
    let all = get("/kpi/assignments.csv?days=30").await;
    assert_eq!(all.lines().count(), 1 + IN_TIME + LATE);
    assert!(all.contains(",'=LIMS(),") && !all.contains(",=LIMS"), "{all}");
    assert_eq!(get("/kpi/assignments.csv?days=30&which=late").await.lines().count(), 1 + LATE);
    assert_eq!(get("/kpi/assignments.csv?days=30&application=salesforce").await.lines().count(), 1);
    let figures = get("/kpi.csv?days=30&clock=business").await;
    let rows: Vec<Vec<&str>> = figures.lines().map(|l| l.split(',').collect()).collect();
    let cell = |column: &str| rows[1][rows[0].iter().position(|c| *c == column).unwrap()];
    assert_eq!((rows.len(), rows[1][0]), (6, "all"), "all, one application, one group, one operation, one desk");
    let near = |column: &str, exact: i64| (cell(column).parse::<i64>().unwrap() - exact).abs() * 100 <= exact;
    assert!(near("provisioning_business_p50_s", 39_600) && near("provisioning_elapsed_p50_s", 90_000), "{figures}");
    assert_eq!((cell("in_target"), cell("late"), cell("overdue_open")), ("22", "3", "0"));
    let refused = bed.call(Ask::get("/kpi.csv?which=everything").bearer(LIMS_VIEWER)).await;
    assert_eq!(refused.code(), "bad-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_names_its_period_and_late_is_one_rule_on_every_page() {
    use sqlx::ConnectOptions as _;
    let bed = Bed::guarded().await;
    let page = async |path: &str| bed.call(Ask::get(path).bearer(VIEWER).with("accept", "text/html")).await.body;
    let list = page("/kpi/assignments?from=2026-11-01&to=2026-11-10").await;
    assert!(list.contains("2026-11-01 to 2026-11-10, 10 days (UTC)") && !list.contains("in the last"), "{list}");
    let id = overdue(&bed).await;
    bed.count().await;
    let late = async || {
        let (backlog, list) = (page("/kpi/backlog").await, page("/assignments").await);
        (backlog.contains(r#"<td class="bad">"#), list.contains(r#"<span class="verdict overdue">"#))
    };
    assert_eq!(late().await, (true, true));
    // It waits for its requester since before its target ended: nobody is late.
    let url = bed.bridge.setup.load().catalog.main.ledger.url.clone();
    let options: sqlx::sqlite::SqliteConnectOptions = url.parse().unwrap();
    let mut by_hand = options.connect().await.unwrap();
    let line = "INSERT INTO journal (assignment_id, seq, happened_at, whose_clock, seen_at, event, state, actor, cause, hash)
         SELECT id, chain_seq + 1, $2, 'desk', $2, 'paused', state, 'desk', '', '' FROM assignment WHERE id = $1;
         UPDATE assignment SET chain_seq = chain_seq + 1 WHERE id = $1";
    let paused = NOW.plus_ms(HOUR).0;
    sqlx::raw_sql(sqlx::AssertSqlSafe(line.replace("$1", &id.0.to_string()).replace("$2", &paused.to_string())))
        .execute(&mut by_hand)
        .await
        .unwrap();
    bed.count().await;
    // The figure of all that are open for long stands beside the list, and is another matter.
    assert!(!late().await.1);
    let backlog = page("/kpi/backlog").await;
    let list = backlog.split("Waiting longest").nth(2).unwrap().split("</table>").next().unwrap();
    assert!(list.contains(&id.to_string()) && !list.contains(r#"class="bad""#), "{list}");
    let one = read(&bed, &format!("/api/v1/assignments/{id}"), VIEWER).await;
    assert_eq!(one["timing"]["target"]["overdue"], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trend_says_what_it_goes_by_however_short_its_last_step_is() {
    let bed = Bed::guarded().await;
    // A Monday that is also the first day of a month: nothing came before it.
    bed.clock.advance_ms(MONDAY.ms_since(NOW) + 84 * 24 * HOUR);
    bed.order(1, "lims").await;
    bed.plan().await;
    bed.count().await;
    for (days, told) in [(7, "by day"), (30, "by week"), (180, "by month")] {
        let path = format!("/kpi?days={days}");
        let page = bed.call(Ask::get(&path).bearer(VIEWER).with("accept", "text/html")).await.body;
        assert!(page.contains(&format!("Came and closed {told}")), "{days} days: {page}");
    }
}
