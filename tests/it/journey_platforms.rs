//! Journeys between midPoint, SailPoint and a desk, through the whole bridge.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lastmile::flow::reconcile::{self, Stepped};
use lastmile::ledger::views::AssignmentRow;
use lastmile::ledger::{Acted, Receipt, ReceiptContent};
use lastmile::model::{Clock, Outcome};
use lastmile::runtime::telemetry;
use lastmile::sandbox::midpoint::{self, SandboxMidpoint};
use lastmile::sandbox::sailpoint::{self, Asked, SandboxSailPoint};
use lastmile::web;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::platform_bed::{self, PlatformBed};

const DAY: i64 = 86_400_000;

struct Midpoint {
    fake: SandboxMidpoint,
    bed: PlatformBed,
}

impl Midpoint {
    async fn new() -> Self {
        let clock = platform_bed::clock();
        let fake = SandboxMidpoint::start(clock.clone(), "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let source = format!(
            "kind = \"midpoint\"\nurl = \"{}\"\nact_as = \"operator-1\"\n\
             auth = {{ basic = {{ user = \"{}\", password = {{ file = \"secrets/midpoint\" }} }} }}\n\
             [webhook]\nverify = {{ scheme = \"token\", header = \"x-lastmile\", secrets = [{{ file = \"secrets/hook\" }}] }}\n",
            fake.url(),
            midpoint::USER
        );
        let secrets = [("secrets/midpoint", midpoint::PASSWORD), ("secrets/hook", "hook-token")];
        let bed = PlatformBed::new(clock, "midpoint", &source, &secrets).await;
        Self { fake, bed }
    }
}

fn ends(rows: &[AssignmentRow]) -> Vec<(&str, &str, Option<&str>)> {
    rows.iter().map(|r| (r.operation.as_str(), r.state.as_str(), r.outcome.as_deref())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manual_case_becomes_a_ticket_and_its_work_item_is_completed_with_comment_and_evidence() {
    let Midpoint { fake, bed } = Midpoint::new().await;
    let case = fake.state().grant(7, 1);
    bed.rounds(2).await;
    let row = &bed.rows().await[0];
    assert_eq!((row.application_id.as_str(), row.entitlement.as_deref()), ("Mainframe", Some("Group 1")));
    assert_eq!(row.beneficiary.as_deref(), Some("Person Number 7"));
    assert_eq!(bed.tickets(), 1);
    assert!(fake.state().completions().is_empty());

    bed.clock.advance_ms(DAY);
    fake.faults().forget_answers.store(1, Ordering::SeqCst);
    bed.close_all(Outcome::Fulfilled, "Added to the group.");
    bed.rounds(6).await;
    let completions = fake.state().completions();
    assert_eq!(completions.len(), 1, "its answer was lost, and what the case holds was read back");
    let (of, output, operator) = &completions[0];
    assert_eq!((of, output["outcome"].as_str(), operator.as_str()), (&case, Some("success"), "operator-1"));
    let comment = output["comment"].as_str().unwrap();
    assert!(comment.starts_with("Fulfilled, ticket IAM-1: Added to the group."), "{comment}");
    assert_eq!(output["evidenceFilename"], "IAM-1.txt");
    let evidence = String::from_utf8(STANDARD.decode(output["evidence"].as_str().unwrap()).unwrap()).unwrap();
    assert!(evidence.contains("Ticket: IAM-1\n") && evidence.contains("Words: Added to the group.\n"), "{evidence}");
    assert_eq!(ends(&bed.rows().await), [("grant", "reported", Some("fulfilled"))]);
    bed.end().await;
}

/// The platform lost what it was told: the comparison asks it, and one act tells it again.
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_the_platform_lost_is_found_by_asking_and_told_again() {
    let Midpoint { fake, bed } = Midpoint::new().await;
    let cases = [fake.state().grant(1, 1), fake.state().grant(2, 2), fake.state().grant(3, 3)];
    bed.rounds(2).await;
    bed.close_all(Outcome::Fulfilled, "Done.");
    bed.rounds(6).await;
    assert_eq!(fake.state().completions().len(), 3);
    bed.clock.advance_ms(20 * 60_000);
    let setup = bed.bridge.setup.load_full();
    let (ledger, source) = (&*bed.bridge.ledger, &*setup.sources["midpoint"]);
    let compare = async || {
        reconcile::begin(ledger, "source/midpoint", bed.clock.now()).await.unwrap();
        while reconcile::source_step(ledger, source, &bed.worker.pauses, &*bed.clock).await.unwrap() == Stepped::More {}
        ledger.findings(&None, 10).await.unwrap()
    };
    assert!(compare().await.is_empty(), "all three are held");
    fake.state().restore(&cases[0]);
    fake.state().forget(&cases[1]);
    fake.state().restore(&cases[2]);
    fake.state().close(&cases[2], Some("failure"));
    let found = compare().await;
    let numbers: BTreeSet<&str> = found.iter().map(|f| f.number.as_str()).collect();
    assert_eq!(
        numbers,
        [cases[0].as_str(), cases[2].as_str()].into(),
        "open again, and decided otherwise; what is cleaned up says nothing"
    );
    for finding in &found {
        let acted = reconcile::repair(ledger, &setup, finding.id, "olga", &bed.worker.pauses, &*bed.clock).await.unwrap();
        assert_eq!(acted, Acted::Done);
    }
    bed.rounds(4).await;
    let of = |case: &String| fake.state().completions().iter().filter(|(of, ..)| of == case).count();
    assert_eq!((of(&cases[0]), of(&cases[2])), (2, 1));
    let parked: Vec<_> = bed.rows().await.into_iter().filter_map(|r| r.parked_code).collect();
    assert_eq!(parked, ["E-DECIDED"], "two decisions: a person compares them");
    bed.clock.advance_ms(20 * 60_000);
    assert!(compare().await.iter().all(|f| f.number == cases[2]));
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_case_that_cannot_be_read_hides_no_other_and_is_said() {
    let Midpoint { fake, bed } = Midpoint::new().await;
    let cases = [fake.state().grant(1, 1), fake.state().grant(2, 2), fake.state().grant(3, 3)];
    bed.rounds(2).await;
    // All three leave the list; of the second nobody can say why.
    for case in &cases {
        fake.state().close(case, None);
    }
    *fake.faults().unreadable.lock().unwrap() = vec![cases[1].clone()];
    let polled = bed.poll().await;
    assert_eq!(polled.withdrawn, 2);
    let said = polled.broken.unwrap().to_string();
    assert!(said.contains("1 of 3 orders could not be asked about"), "{said}");
    fake.faults().unreadable.lock().unwrap().clear();
    let polled = bed.poll().await;
    assert_eq!((polled.withdrawn, polled.broken), (1, None));
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_explains_no_absence_fails_until_it_does() {
    let Midpoint { fake, bed } = Midpoint::new().await;
    // So many that cannot be read, and none that can: it is the platform.
    let cases: Vec<String> = (1..=20).map(|n| fake.state().grant(n, 1)).collect();
    bed.poll().await;
    for case in &cases {
        fake.state().close(case, None);
    }
    *fake.faults().unreadable.lock().unwrap() = cases;
    let polled = bed.poll().await;
    assert_eq!(polled.withdrawn, 0, "nobody said that they are taken back");
    assert_eq!(polled.broken.map(|error| error.code()), Some("E-SERVER"));
    let failing = bed.bridge.ledger.operations(&None, true, 10).await.unwrap().edges;
    assert_eq!(failing.iter().map(|edge| edge.edge.as_str()).collect::<Vec<_>>(), ["source/midpoint"]);
    fake.faults().unreadable.lock().unwrap().clear();
    let polled = bed.poll().await;
    assert_eq!((polled.withdrawn, polled.broken), (20, None));
    assert!(bed.bridge.ledger.operations(&None, true, 10).await.unwrap().edges.is_empty());
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cases_of_others_are_left_alone_and_withdrawn_ones_are_noticed() {
    let Midpoint { fake, bed } = Midpoint::new().await;
    fake.state().describe(
        "resource-2",
        json!({"name": "Ticketed", "connectorConfiguration": {
        "icfc:configurationProperties": {"gen:ticketingResourceOid": "resource-9"}}}),
    );
    fake.state().link("shadow-1", 1);
    fake.state().open("resource-2", "shadow-1", midpoint::state::membership("add", 1));
    bed.rounds(2).await;
    assert!(bed.rows().await.is_empty(), "the platform files its ticket itself");

    let mut cases = vec![fake.state().grant(1, 1)];
    bed.clock.advance_ms(1_000);
    cases.push(fake.state().grant(2, 2));
    bed.clock.advance_ms(1_000);
    cases.push(fake.state().grant(3, 2));
    bed.rounds(2).await;
    assert_eq!(bed.tickets(), 3);
    // Cancelled there, done there by hand, and cleaned up there before anybody heard of it.
    fake.state().close(&cases[0], None);
    fake.state().close(&cases[1], Some("success"));
    fake.state().forget(&cases[2]);
    bed.rounds(6).await;
    let rows = bed.rows().await;
    let taken: Vec<bool> = rows.iter().map(|r| r.withdrawn_at.is_some()).collect();
    assert_eq!(taken, [true, true, false], "what was only forgotten is still owed");
    assert_eq!(ends(&rows)[..2], [("grant", "reported", Some("cancelled")); 2]);
    assert!(fake.state().completions().is_empty());
    bed.close_all(Outcome::Fulfilled, "Done all the same.");
    bed.rounds(4).await;
    assert_eq!(bed.rows().await[2].parked_code.as_deref(), Some("E-GONE"), "kept here, and shown");
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_waited_for_until_it_has_an_owner_and_its_deletion_says_nothing_more() {
    let Midpoint { fake, bed } = Midpoint::new().await;
    let dummy = json!({"changeType": "delete", "objectType": "ShadowType",
        "itemDelta": {"path": "kind", "modificationType": "replace", "value": "account"}});
    fake.state().open("resource-1", "shadow-5", dummy);
    bed.poll().await;
    assert!(bed.rows().await.is_empty(), "it may be linked any moment");
    fake.state().link("shadow-5", 5);
    fake.state().open(
        "resource-1",
        "shadow-6",
        json!({"changeType": "add", "objectToAdd": {"name": "p6", "attributes": {"ri:dept": "HR"}}}),
    );
    bed.rounds(1).await;
    let rows = bed.rows().await;
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].operation.as_str(), rows[0].beneficiary.as_deref()), ("delete_account", Some("Person Number 5")));
    // Nobody is linked to the other: after two minutes its ticket names the account.
    bed.clock.advance_ms(120_000);
    bed.rounds(2).await;
    let rows = bed.rows().await;
    assert_eq!((rows[1].operation.as_str(), rows[1].beneficiary.as_deref()), ("create_account", Some("p6")));
    assert_eq!(bed.tickets(), 2);
    let texts: Vec<String> = bed.jira.state().all().iter().map(|t| t.body.to_string()).collect();
    assert!(texts.iter().any(|t| t.contains("dept: HR")) && texts.iter().all(|t| !t.contains("kind")), "{texts:?}");

    // Answered 240 (a handled error) it is done all the same; a work item that was replaced is looked for again.
    fake.faults().handled_error.store(true, Ordering::SeqCst);
    fake.faults().renumber.store(1, Ordering::SeqCst);
    bed.close_all(Outcome::NotPossible, "No such account.");
    bed.rounds(6).await;
    let told: Vec<Value> = fake.state().completions().into_iter().map(|(_, output, _)| output["outcome"].clone()).collect();
    assert_eq!(told, ["fatal_error", "fatal_error"]);
    assert!(bed.states().await.iter().all(|(_, state)| state == "reported"));
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_midpoint_makes_us_look_and_a_set_up_is_tried_without_effect() {
    let Midpoint { fake, bed } = Midpoint::new().await;
    fake.state().grant(1, 1);
    bed.is_hinted().await;
    let said = try_out(&bed).await;
    assert!(said.0, "{}", said.1);
    for words in
        ["open manual cases can be read", "the server keeps to it", "The first page holds 1 event.", "Nothing was recorded"]
    {
        assert!(said.1.contains(words), "`{words}` is missing in:\n{}", said.1);
    }
    assert_eq!((bed.tickets(), fake.state().completions().len(), bed.rows().await.len()), (0, 0, 0));
    fake.faults().ignore_filter.store(true, Ordering::SeqCst);
    let said = try_out(&bed).await;
    assert!(!said.0 && said.1.contains("WRONG   filter"), "{}", said.1);
    bed.end().await;
}

async fn try_out(bed: &PlatformBed) -> (bool, String) {
    let out = bed.try_source().await;
    (out.status.success(), String::from_utf8_lossy(&out.stdout).into_owned())
}

struct SailPoint {
    fake: SandboxSailPoint,
    bed: PlatformBed,
    router: Router,
}

impl SailPoint {
    async fn new(more: &str) -> Self {
        let clock = platform_bed::clock();
        let fake = SandboxSailPoint::new(clock.clone());
        let source = format!(
            "kind = \"sailpoint\"\nauth = {{ basic = {{ user = \"{}\", password = {{ file = \"secrets/sp\" }} }} }}\n{more}",
            sailpoint::USER
        );
        let bed = PlatformBed::new(clock, "sp", &source, &[("secrets/sp", sailpoint::PASSWORD)]).await;
        let router = router(&bed);
        Self { fake, bed, router }
    }

    async fn restart(self) -> Self {
        let bed = self.bed.restart().await;
        let router = router(&bed);
        Self { fake: self.fake, bed, router }
    }

    async fn call(&self, asked: &Asked) -> (u16, Value) {
        let mut request =
            Request::builder().method(asked.method).uri(format!("/hooks/sp{}", asked.path)).header("host", "127.0.0.1:8480");
        for (name, value) in &asked.headers {
            request = request.header(name, value);
        }
        let answer = self.router.clone().oneshot(request.body(Body::from(asked.body.clone())).unwrap()).await.unwrap();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    /// What somebody at the machine reads there.
    async fn read(&self, path: &str) -> String {
        let request = Request::builder().uri(path).header("host", "127.0.0.1:8480").body(Body::empty()).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        String::from_utf8(to_bytes(answer.into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
    }

    /// The platform makes every call that is due; gives the statuses.
    async fn asks(&self) -> Vec<u16> {
        let mut statuses = Vec::new();
        for asked in self.fake.due() {
            let (status, body) = self.call(&asked).await;
            self.fake.answered(&asked, status, &body);
            statuses.push(status);
        }
        statuses
    }
}

fn router(bed: &PlatformBed) -> Router {
    web::router(bed.bridge.web(telemetry::metrics_handle(), true, None))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_gets_its_number_at_once_and_its_status_whenever_it_is_asked() {
    let status = "[status]\nreceived = \"New\"\nfiled = \"Open\"\nin_work = \"Work\"\nwaiting = \"Held\"\n";
    let mut sp = SailPoint::new(status).await;
    let request = sp.fake.request(1, "Add", "Buyer");
    // The answer is lost: it is sent again, and is the same ticket.
    let first = sp.call(&sp.fake.due()[0]).await;
    assert_eq!((first.0, first.1["status"].as_str()), (201, Some("New")));
    sp = sp.restart().await;
    assert_eq!(sp.asks().await, [201]);
    let number = sp.fake.number(&request).unwrap();
    assert_eq!(first.1["number"], number.as_str());
    assert_eq!(sp.bed.rows().await.len(), 1);

    sp.bed.rounds(2).await;
    sp.asks().await;
    // However long it takes, it is not failed.
    for _ in 0..12 {
        sp.bed.clock.advance_ms(30 * DAY);
        sp.bed.rounds(1).await;
        assert_eq!(sp.asks().await, [200]);
    }
    for ticket in sp.bed.jira.state().all() {
        let file = json!([{"filename": "proof.png", "content": "https://desk.example/files/1"}]);
        sp.bed.jira.state().change(&ticket.number, |t, _| drop(t.fields.insert("attachment".to_owned(), file)));
    }
    sp.bed.close_all(Outcome::AlreadyInPlace, "Had it already.");
    sp.bed.rounds(3).await;
    assert_eq!(sp.bed.states().await[0].1, "closed", "nothing is sent to a platform that asks");
    let metrics = sp.read("/metrics").await;
    assert!(metrics.contains("lastmile_unasked_outcome_age_seconds{edge=\"source/sp\"}"), "{metrics}");
    assert!(!metrics.contains("lastmile_next_errand_age_seconds{edge=\"source/sp\"}"), "nobody sends it");
    assert!(sp.read("/").await.contains("1 <small>to be asked for</small>"));
    sp = sp.restart().await;
    sp.asks().await;
    assert_eq!(sp.fake.done(&request), Some(true));
    let (words, last) = sp.fake.heard(&request);
    assert!(words[..13].iter().all(|w| w == "Open") && words[13] == "Committed", "{words:?}");
    assert_eq!((last["ticket"].as_str(), last["comment"].as_str()), (Some("IAM-1"), Some("Had it already.")));
    assert_eq!(last["outcome"], "already_in_place");
    // What it claims to carry.
    assert_eq!((last["closedBy"].as_str(), last["evidence"][0]["name"].as_str()), (Some("alice"), Some("proof.png")));
    assert!(last["closedAt"].is_string() && last["ticketUrl"].is_string(), "{last}");
    assert_eq!(ends(&sp.bed.rows().await), [("grant", "reported", Some("already_in_place"))]);
    assert_eq!(sp.bed.tickets(), 1);
    sp.bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn items_of_a_request_are_tickets_of_their_own_and_share_its_number() {
    let sp = SailPoint::new("").await;
    // However many events of others wait for a person already.
    let of_others = |n: u32| Receipt {
        source: "another".to_owned(),
        event_id: format!("q{n}"),
        digest: "d".to_owned(),
        received_at: sp.bed.clock.now(),
        content: ReceiptContent::Unmappable { problem: "no /app".to_owned(), body: "{}".to_owned() },
    };
    sp.bed.bridge.ledger.record((0..1_001).map(of_others).collect()).await.unwrap();
    let items = json!([{"operation": "Add", "value": "A"}, {"operation": "Remove", "value": "B"}, {"operation": "Frobnicate", "value": "C"}]);
    let request = sp.fake.request_items(1, items);
    assert_eq!(sp.asks().await, [201]);
    sp.bed.rounds(2).await;
    assert_eq!(sp.bed.tickets(), 2);
    sp.bed.close_all(Outcome::Fulfilled, "Done.");
    sp.bed.rounds(3).await;
    sp.asks().await;
    assert_eq!(sp.fake.done(&request), None, "an item that does not map is held, so the request has not ended");
    let mut held = sp.bed.bridge.ledger.quarantine(&None, true, None, 2_000).await.unwrap();
    held.retain(|row| row.source != "another");
    let discard = lastmile::ledger::Action::Discard { quarantined: held[0].id };
    sp.bed.bridge.ledger.act(discard, "operator", sp.bed.clock.now()).await.unwrap();
    sp.asks().await;
    assert_eq!(sp.fake.done(&request), Some(true));
    assert!(sp.bed.states().await.iter().all(|(_, state)| state == "reported"));

    let both = sp.fake.request_items(2, json!([{"operation": "Add", "value": "A"}, {"operation": "Add", "value": "B"}]));
    // Its first answer is lost, and it comes again the other way round.
    let mut first = sp.fake.due().remove(0);
    let mut turned: Value = serde_json::from_slice(&first.body).unwrap();
    turned["items"].as_array_mut().unwrap().reverse();
    first.body = turned.to_string().into_bytes();
    assert_eq!(sp.call(&first).await.0, 201);
    sp.asks().await;
    let rows = sp.bed.rows().await;
    assert_eq!((rows.len(), rows.iter().all(|r| r.revision == 1)), (4, true), "nothing is new and nothing has changed");
    sp.bed.rounds(2).await;
    let last = sp.bed.jira.state().all().last().unwrap().number.clone();
    sp.bed.close_all(Outcome::Fulfilled, "Done.");
    sp.bed.jira.state().change(&last, |t, now| lastmile::sandbox::admins::close(t, "alice", now, Outcome::Rejected, "No."));
    sp.bed.rounds(3).await;
    sp.asks().await;
    assert_eq!(sp.fake.done(&both), Some(false));
    assert_eq!(sp.fake.heard(&both).1["stage"], "partly");
    sp.bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_taken_back_is_dropped_or_closed_and_strangers_are_told_nothing() {
    let sp = SailPoint::new("").await;
    let unsent = sp.fake.request(1, "Add", "A");
    sp.asks().await;
    sp.fake.cancel(&unsent);
    assert_eq!(sp.asks().await, [200]);
    assert_eq!((sp.fake.done(&unsent), sp.bed.tickets()), (Some(false), 0));
    let sent = sp.fake.request(2, "Add", "A");
    sp.asks().await;
    sp.bed.rounds(2).await;
    sp.fake.cancel(&sent);
    sp.asks().await;
    sp.bed.rounds(6).await;
    sp.asks().await;
    assert_eq!(sp.fake.done(&sent), Some(false));
    assert_eq!(ends(&sp.bed.rows().await), [("grant", "reported", Some("cancelled")); 2]);

    let third = sp.fake.request(3, "Add", "A");
    let mut stranger = sp.fake.due().remove(0);
    stranger.headers.insert("authorization".to_owned(), "Basic d3Jvbmc6d3Jvbmc=".to_owned());
    assert_eq!(sp.call(&stranger).await.0, 401);
    stranger.headers.remove("authorization");
    assert_eq!(sp.call(&stranger).await.0, 401);
    sp.asks().await;
    let mut asks = sp.fake.due().remove(0);
    let number = sp.fake.number(&third).unwrap();
    asks.path = format!("/{number}x");
    assert_eq!(sp.call(&asks).await.0, 404, "an order that nobody placed has no status");
    asks.path = format!("/{number}");
    asks.headers.clear();
    assert_eq!(sp.call(&asks).await.0, 401);
    let mut without = sp.fake.due().remove(0);
    (without.method, without.path, without.body) = ("POST", String::new(), b"{\"operation\": \"Add\"}".to_vec());
    let (status, problem) = sp.call(&without).await;
    assert!(status == 400 && problem["detail"].as_str().unwrap().contains("/id"), "{status} {problem}");
    assert_eq!(sp.bed.rows().await.len(), 3);
    sp.bed.end().await;
}

#[test]
fn the_examples_of_platforms_are_understood() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    for secret in ["midpoint", "sailpoint", "entra", "entra-hook"] {
        std::fs::write(folder.path().join("secrets").join(secret), "secret").unwrap();
    }
    let problems = |kind: &str, text: &str| {
        let file = lastmile::catalog::ConfigFile::from_text(std::path::Path::new("sources/x.toml"), text);
        let edge = lastmile::catalog::EdgeFile { kind: kind.to_owned(), file };
        let built = lastmile::source::build("x", &edge, folder.path(), platform_bed::clock() as Arc<dyn Clock>);
        built.err().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    for kind in ["midpoint", "sailpoint", "entra"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("examples/sources/{kind}.toml"));
        assert_eq!(problems(kind, &std::fs::read_to_string(path).unwrap()), "");
    }
    let several = problems("midpoint", "kind = \"midpoint\"\nurl = \"idm\"\nschedule = \"often\"\nauth = \"none\"\n");
    assert!(several.contains("sources/x.toml:2") && several.contains("sources/x.toml:3"), "{several}");
    let open = problems("sailpoint", "kind = \"sailpoint\"\nauth = \"none\"\n[status]\ndone = \"Queued\"\n");
    assert!(open.contains("shows nothing") && open.contains("goes on or that it has ended"), "{open}");
}
