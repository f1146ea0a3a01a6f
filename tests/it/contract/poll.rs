//! Lists that move while they are read, break in the middle, lie about the time, or ask to be left alone.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use lastmile::catalog::{ConfigFile, EdgeFile};
use lastmile::flow::Pauses;
use lastmile::flow::intake::{self, next_round};
use lastmile::http::CallError;
use lastmile::ledger::{Ledger, Mode, SqlLedger, Views};
use lastmile::model::clock::FakeClock;
use lastmile::model::retry::RetrySchedule;
use lastmile::model::{Clock, Timestamp};
use lastmile::source::{self, Source};
use serde_json::{Value, json};

const NOW: Timestamp = Timestamp(1_795_000_000_000);

type Edit = Box<dyn FnOnce(&mut Vec<Value>) + Send>;
type Params = Query<BTreeMap<String, String>>;

/// A platform's list. Edits and failures happen after, or instead of, the n-th answer.
#[derive(Default)]
struct List {
    rows: Vec<Value>,
    answered: usize,
    edits: BTreeMap<usize, Edit>,
    failures: BTreeMap<usize, Response>,
    asked: Vec<BTreeMap<String, String>>,
}

type Shared = Arc<Mutex<List>>;

struct World {
    list: Shared,
    url: String,
    clock: Arc<FakeClock>,
    ledger: SqlLedger,
    _folder: tempfile::TempDir,
}

fn row(n: i64) -> Value {
    json!({"id": format!("o-{n:03}"), "op": "grant", "app": "sap", "who": "p-1", "at": NOW.plus_secs(n - 1000).iso(), "n": n})
}

async fn answer(State(list): State<Shared>, Query(params): Params) -> Response {
    let mut list = list.lock().unwrap();
    list.answered += 1;
    list.asked.push(params.clone());
    let n = list.answered;
    if let Some(failure) = list.failures.remove(&n) {
        return failure;
    }
    let number = |name: &str| params.get(name).and_then(|v| v.parse::<usize>().ok());
    let since = params.get("since");
    let fits = |row: &&Value| since.is_none_or(|since| row["at"].as_str().unwrap() >= since.as_str());
    let mut all: Vec<Value> = list.rows.iter().filter(fits).cloned().collect();
    if let Some(after) = params.get("after") {
        all.retain(|row| row["id"].as_str().unwrap() > after.as_str());
    }
    let total = all.len();
    let offset = number("offset").unwrap_or(0).min(total);
    let page: Vec<Value> = all.drain(offset..).take(number("limit").unwrap_or(3)).collect();
    let more = offset + page.len() < total;
    let next = more.then(|| format!("/list?offset={}", offset + page.len()));
    let token = more.then(|| page.last().unwrap()["id"].clone());
    let link = next.as_ref().map(|n| format!("<{n}>; rel=\"next\"")).unwrap_or_default();
    let body = json!({"items": page, "total": total, "next": next, "token": token}).to_string();
    if let Some(edit) = list.edits.remove(&n) {
        edit(&mut list.rows);
    }
    ([(header::CONTENT_TYPE, "application/json".to_owned()), (header::LINK, link)], body).into_response()
}

impl World {
    async fn new(rows: std::ops::Range<i64>) -> Self {
        let list: Shared = Arc::new(Mutex::new(List { rows: rows.map(row).collect(), ..List::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let app = Router::new().route("/list", get(answer)).with_state(list.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        let folder = tempfile::tempdir().unwrap();
        let ledger = format!("sqlite:{}", folder.path().join("ledger.db").display());
        let ledger = SqlLedger::open(&ledger, "test", Mode::Serve).await.unwrap();
        Self { list, url, clock: Arc::new(FakeClock::at(NOW)), ledger, _folder: folder }
    }

    fn source(&self, list: &str, paging: &str, cursor: &str) -> Arc<dyn Source> {
        let text = format!(
            "kind = \"poll\"\n[poll]\nurl = \"{}/list\"\nschedule = \"1h\"\nlist = \"{list}\"\nitems = \"/items\"\npaging = {paging}\n{cursor}\n\
             [mapping]\nexternal_id = \"/id\"\noperation = \"/op\"\napplication = {{ id = \"/app\" }}\nbeneficiary = {{ id = \"/who\" }}\n\
             attributes = {{ n = \"/n\" }}\n",
            self.url
        );
        let file = ConfigFile::from_text(Path::new("sources/idm.toml"), &text);
        source::build("idm", &EdgeFile { kind: "poll".to_owned(), file }, Path::new("."), self.clock.clone())
            .unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    fn cursor(&self, paging: &str) -> Arc<dyn Source> {
        self.source("cursor", paging, "cursor = { field = \"/at\", parameter = \"since\", overlap = \"0s\", ascending = true }")
    }

    fn edit(&self, after: usize, edit: impl FnOnce(&mut Vec<Value>) + Send + 'static) {
        self.list.lock().unwrap().edits.insert(after, Box::new(edit));
    }

    fn fail(&self, answer: usize, response: impl IntoResponse) {
        self.list.lock().unwrap().failures.insert(answer, response.into_response());
    }

    async fn poll(&self, source: &Arc<dyn Source>) -> Result<intake::Polled, intake::PollError> {
        self.clock.advance_ms(60_000);
        let polled = intake::poll(&self.ledger, &**source, &Pauses::default(), &*self.clock).await;
        // The answers of the next round are counted from 1.
        let mut list = self.list.lock().unwrap();
        list.answered = 0;
        polled
    }

    async fn taken(&self) -> Vec<String> {
        let rows = self.ledger.assignments(&lastmile::ledger::views::Filter::default(), true, 500).await.unwrap();
        let mut ids: Vec<String> = rows.into_iter().map(|r| r.external_id).collect();
        ids.sort();
        ids
    }

    async fn withdrawn(&self) -> Vec<String> {
        let rows = self.ledger.assignments(&lastmile::ledger::views::Filter::default(), true, 500).await.unwrap();
        rows.into_iter().filter(|r| r.withdrawn_at.is_some()).map(|r| r.external_id).collect()
    }

    async fn failing(&self) -> Vec<String> {
        let edges = self.ledger.operations(&None, true, 10).await.unwrap().edges;
        edges.into_iter().map(|e| format!("{} {} {}", e.edge, e.code, e.reason.unwrap_or_default())).collect()
    }
}

const OFFSET: &str = r#"{ by = "offset", limit = 3 }"#;
const COUNTED: &str = r#"{ by = "offset", limit = 3, total = "/total" }"#;
const PAGINGS: [&str; 5] = [
    OFFSET,
    COUNTED,
    r#"{ by = "next_pointer", pointer = "/next" }"#,
    r#"{ by = "link_header" }"#,
    r#"{ by = "token", pointer = "/token", parameter = "after" }"#,
];

fn ids(rows: std::ops::Range<i64>) -> Vec<String> {
    rows.map(|n| format!("o-{n:03}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_paging_style_reads_all_of_a_still_list() {
    for paging in PAGINGS {
        for rows in [0..0, 0..1, 0..3, 0..10] {
            let world = World::new(rows.clone()).await;
            let polled = world.poll(&world.source("snapshot", paging, "")).await.unwrap();
            assert_eq!((polled.events as i64, polled.broken), (rows.end, None), "{paging} {rows:?}");
            assert_eq!(world.taken().await, ids(rows));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_skipped_whatever_moves_and_however_it_is_paged() {
    for paging in PAGINGS {
        // A row is finished and leaves while the list is read; one changes and goes to the end.
        let world = World::new(0..10).await;
        world.edit(1, |rows| drop(rows.remove(0)));
        world.edit(2, |rows| {
            let mut changed = rows.remove(1);
            changed["at"] = json!(NOW.plus_secs(30).iso());
            rows.push(changed);
        });
        let source = world.cursor(paging);
        for _ in 0..4 {
            let _ = world.poll(&source).await.unwrap();
        }
        let taken = world.taken().await;
        if paging.contains("next_pointer") || paging.contains("link_header") {
            // The platform's own links are positions here, and only it knows: the overlap of the mark is what helps.
            continue;
        }
        assert_eq!(taken, ids(0..10), "{paging}");
        assert_eq!(world.failing().await, [""; 0], "{paging}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shift_between_pages_is_noticed_and_is_no_absence() {
    for paging in [OFFSET, COUNTED] {
        let world = World::new(0..10).await;
        let source = world.source("snapshot", paging, "");
        world.poll(&source).await.unwrap();
        world.edit(1, |rows| drop(rows.remove(0)));
        let polled = world.poll(&source).await.unwrap();
        assert!(polled.broken.is_some_and(|e| e.reason().contains("moved")), "{paging}");
        assert_eq!(world.failing().await, ["source/idm E-PAGE rows of idm moved while its pages were read"]);
        for _ in 0..2 {
            assert_eq!(world.withdrawn().await, [""; 0]);
            assert_eq!(world.poll(&source).await.unwrap().broken, None);
        }
        assert_eq!(world.withdrawn().await, ["o-000"], "gone when two complete rounds missed it");
        assert!(world.failing().await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_page_is_one_picture() {
    let world = World::new(0..3).await;
    let source = world.source("snapshot", r#"{ by = "none" }"#, "");
    world.poll(&source).await.unwrap();
    world.list.lock().unwrap().rows.remove(1);
    assert_eq!(world.poll(&source).await.unwrap().withdrawn, 1);
    assert_eq!(world.withdrawn().await, ["o-001"]);
    // And it is there again.
    world.list.lock().unwrap().rows.push(row(1));
    assert_eq!(world.poll(&source).await.unwrap().reinstated, 1);
    assert!(world.withdrawn().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_fails_in_the_middle_neither_skips_nor_withdraws() {
    for paging in PAGINGS {
        for (failure, code) in [
            ((StatusCode::INTERNAL_SERVER_ERROR, "").into_response(), "E-SERVER"),
            ((StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "7200")]).into_response(), "E-BUSY"),
            (([(header::CONTENT_TYPE, "application/json")], "{\"items\": [{\"id\"").into_response(), "E-NOT-JSON"),
            (([(header::CONTENT_TYPE, "application/json")], "{\"error\": \"asleep\"}").into_response(), "E-PAGE"),
            (([(header::CONTENT_TYPE, "application/json")], "{\"items\": [\"asleep\"]}").into_response(), "E-PAGE"),
            ((StatusCode::OK, "<html>sleeping</html>").into_response(), "E-NOT-JSON"),
        ] {
            let world = World::new(0..8).await;
            let (cursor, snapshot) = (world.cursor(paging), world.source("snapshot", paging, ""));
            world.fail(2, failure);
            let broken = world.poll(&cursor).await.unwrap().broken.unwrap();
            assert_eq!(broken.code(), code);
            assert_eq!(world.failing().await, [format!("source/idm {code} {}", broken.reason())]);
            assert_eq!(world.taken().await, ids(0..3), "what was read is kept");
            let polled = world.poll(&cursor).await.unwrap();
            assert_eq!(polled.broken, None);
            assert_eq!(world.taken().await, ids(0..8), "{paging} {code}");
            assert!(world.failing().await.is_empty());
            world.poll(&snapshot).await.unwrap();
            for _ in 0..3 {
                world.fail(2, (StatusCode::INTERNAL_SERVER_ERROR, ""));
                assert!(world.poll(&snapshot).await.unwrap().broken.is_some());
            }
            assert!(world.withdrawn().await.is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_page_that_fails_is_a_failing_edge_and_the_cursor_stays() {
    let world = World::new(0..8).await;
    let source = world.cursor(OFFSET);
    world.poll(&source).await.unwrap();
    let cursor = world.ledger.cursor("pull/idm").await.unwrap();
    for n in 0..3 {
        world.fail(1, (StatusCode::UNAUTHORIZED, ""));
        assert!(matches!(world.poll(&source).await, Err(intake::PollError::Call(_))));
        let edges = world.ledger.operations(&None, true, 10).await.unwrap().edges;
        assert_eq!((edges[0].code.as_str(), edges[0].times), ("E-AUTH", n + 1));
    }
    assert_eq!(world.ledger.cursor("pull/idm").await.unwrap(), cursor);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_not_sorted_as_declared_does_not_move_the_mark_when_it_breaks() {
    let world = World::new(0..8).await;
    world.list.lock().unwrap().rows.swap(0, 5);
    let source = world.cursor(r#"{ by = "token", pointer = "/token", parameter = "after" }"#);
    world.fail(2, (StatusCode::BAD_GATEWAY, ""));
    world.poll(&source).await.unwrap();
    assert_eq!(world.ledger.cursor("pull/idm").await.unwrap().as_deref(), Some(""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_from_the_future_hides_nothing() {
    let world = World::new(0..3).await;
    let mut ahead = row(3);
    ahead["at"] = json!("2099-01-01T00:00:00.000Z");
    world.list.lock().unwrap().rows.push(ahead);
    let source = world.cursor(r#"{ by = "none" }"#);
    world.list.lock().unwrap().rows.truncate(4);
    world.poll(&world.cursor(OFFSET)).await.unwrap();
    let mark: i64 = world.ledger.cursor("pull/idm").await.unwrap().unwrap().parse().unwrap();
    assert!(mark <= world.clock.now().0, "the mark never lies ahead of our own clock");
    world.clock.advance_ms(600_000);
    let mut later = row(4);
    later["at"] = json!(world.clock.now().iso());
    world.list.lock().unwrap().rows.insert(0, later);
    world.poll(&source).await.unwrap();
    assert_eq!(world.taken().await, ids(0..5));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_one_number_are_all_read_after_a_break() {
    let world = World::new(0..8).await;
    for (i, row) in world.list.lock().unwrap().rows.iter_mut().enumerate() {
        row["n"] = json!(i / 5);
    }
    let cursor = "cursor = { field = \"/n\", parameter = \"from\", format = \"number\", ascending = true }";
    let source = world.source("cursor", PAGINGS[4], cursor);
    world.fail(3, (StatusCode::BAD_GATEWAY, ""));
    world.poll(&source).await.unwrap();
    assert_eq!(
        world.ledger.cursor("pull/idm").await.unwrap().as_deref(),
        Some("0"),
        "the last number may go on beyond the break"
    );
}

#[test]
fn the_next_round_is_sooner_after_a_failure_and_never_before_it_is_wanted() {
    let retry = RetrySchedule { first_ms: 2_000, factor: 2.0, max_ms: 60_000 };
    let hour = Some(NOW.plus_secs(3600));
    let fails =
        |after: Option<u64>| CallError::Retry { code: "E-BUSY", reason: String::new(), after: after.map(Duration::from_secs) };
    assert_eq!(next_round(hour, None, &retry, NOW), hour);
    let soon = next_round(hour, Some((&fails(None), 1)), &retry, NOW).unwrap();
    assert!(soon > NOW && soon < NOW.plus_secs(3), "an hourly list is not an hour late for one failure");
    let often = next_round(hour, Some((&fails(None), 40)), &retry, NOW).unwrap();
    assert!(often <= NOW.plus_secs(66));
    assert_eq!(next_round(Some(NOW.plus_secs(1)), Some((&fails(None), 40)), &retry, NOW), Some(NOW.plus_secs(1)));
    for scheduled in [hour, Some(NOW.plus_secs(5))] {
        let asked = next_round(scheduled, Some((&fails(Some(7200)), 1)), &retry, NOW).unwrap();
        assert!(asked >= NOW.plus_secs(7200), "Retry-After is respected, also against the schedule");
    }
    assert_eq!(next_round(hour, Some((&CallError::reject("E-REFUSED", ""), 1)), &retry, NOW), hour);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_one_may_stand_bare_and_none_may_be_null() {
    for (list, cursor) in [("snapshot", ""), ("cursor", "cursor = { field = \"/at\", parameter = \"since\", overlap = \"0s\" }")]
    {
        let world = World::new(0..0).await;
        let source = world.source(list, r#"{ by = "next_pointer", pointer = "/next" }"#, cursor);
        let says = |items: Value| ([(header::CONTENT_TYPE, "application/json")], json!({ "items": items }).to_string());
        world.fail(1, says(row(7)));
        assert_eq!(world.poll(&source).await.unwrap().new, 1, "{list}");
        assert_eq!(world.taken().await, ids(7..8), "{list}");
        world.fail(1, says(json!([row(7)])));
        world.poll(&source).await.unwrap();
        assert_eq!((world.taken().await, world.withdrawn().await), (ids(7..8), Vec::new()), "{list}: the same order");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_overlap_by_a_row_so_a_limit_of_one_is_refused() {
    let world = World::new(0..1).await;
    let text = format!(
        "kind = \"poll\"\n[poll]\nurl = \"{}/list\"\nschedule = \"1h\"\nlist = \"snapshot\"\npaging = {{ by = \"offset\", limit = 1 }}\n\
         [mapping]\nexternal_id = \"/id\"\noperation = \"/op\"\napplication = {{ id = \"/app\" }}\nbeneficiary = {{ id = \"/who\" }}\n",
        world.url
    );
    let file = ConfigFile::from_text(Path::new("sources/idm.toml"), &text);
    let problems =
        source::build("idm", &EdgeFile { kind: "poll".to_owned(), file }, Path::new("."), world.clock.clone()).unwrap_err();
    insta::assert_snapshot!(problems[0], @"sources/idm.toml:6: `limit` must be at least 2: each page begins with the last row of the one before");
}
