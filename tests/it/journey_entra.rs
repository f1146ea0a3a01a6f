//! Journeys between Microsoft Entra and a desk, through the whole bridge: callout, ticket, closing, resumption; and what
//! happens when nobody is in time.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use lastmile::flow::intake::PollError;
use lastmile::flow::{complete, deadline, sync};
use lastmile::http::CallError;
use lastmile::http::gate::HELD;
use lastmile::ledger::Replicas as _;
use lastmile::ledger::views::AssignmentDetail;
use lastmile::model::Outcome;
use lastmile::runtime::telemetry;
use lastmile::sandbox::entra::{self, Forwarded, SandboxEntra};
use lastmile::sandbox::{Harm, Stage, Target, When, admins};
use lastmile::web;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tower::ServiceExt;

use super::contract::source_waits::file;
use super::engines::Place;
use super::platform_bed::{self, PlatformBed};
use super::program;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 86_400_000;
const APPROVED: &str = "assignmentRequestApproved";

struct Entra {
    fake: SandboxEntra,
    bed: PlatformBed,
    name: &'static str,
}

impl Entra {
    async fn new(at_deadline: &str) -> Self {
        Self::named("entra", at_deadline).await
    }

    async fn named(name: &'static str, at_deadline: &str) -> Self {
        Self::on(None, name, at_deadline).await
    }

    /// On a ledger elsewhere.
    async fn on(ledger: Option<&str>, name: &'static str, at_deadline: &str) -> Self {
        let clock = platform_bed::clock();
        let fake = SandboxEntra::start(clock.clone(), "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let source = file(fake.url(), at_deadline);
        let secrets = [("secrets/entra", entra::CLIENT_SECRET), ("secrets/hook", entra::HOOK_TOKEN)];
        let bed = PlatformBed::on(ledger, clock, name, &source, &secrets).await;
        Self { fake, bed, name }
    }

    /// The Logic App forwards what it has, through the front door; gives the statuses.
    async fn forward(&self) -> Vec<u16> {
        let router = web::router(self.bed.bridge.web(telemetry::metrics_handle(), true, None));
        let mut statuses = Vec::new();
        for Forwarded { callout, headers, body } in self.fake.forwarded().unwrap() {
            let mut request =
                Request::builder().method("POST").uri(format!("/hooks/{}", self.name)).header("host", "127.0.0.1:8480");
            for (name, value) in &headers {
                request = request.header(name, value);
            }
            let answer = router.clone().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
            if answer.status().is_success() {
                self.fake.state().taken(&callout);
            }
            statuses.push(answer.status().as_u16());
        }
        statuses
    }

    /// What the loop of deadlines does; how many were told no.
    async fn deadlines(&self) -> usize {
        let setup = self.bed.bridge.setup.load_full();
        deadline::step(&*self.bed.bridge.ledger, &*setup.sources[self.name], &*self.bed.clock).await.unwrap()
    }

    async fn detail(&self, n: usize) -> AssignmentDetail {
        let id = self.bed.rows().await[n].id;
        self.bed.bridge.ledger.assignment(id, &None, true).await.unwrap().unwrap()
    }

    async fn events(&self, n: usize) -> Vec<String> {
        self.detail(n).await.journal.iter().map(|line| line.event.clone()).collect()
    }

    async fn end(&self, n: usize) -> (String, Option<String>, Option<String>) {
        let row = self.detail(n).await.row;
        (row.state, row.outcome, row.parked_code)
    }

    async fn page(&self, path: &str) -> String {
        self.page_with(telemetry::metrics_handle(), path).await
    }

    async fn page_with(&self, metrics: PrometheusHandle, path: &str) -> String {
        let router = web::router(self.bed.bridge.web(metrics, true, None));
        let request = Request::builder().uri(path).header("host", "127.0.0.1:8480").body(Body::empty()).unwrap();
        let answer = router.oneshot(request).await.unwrap();
        String::from_utf8(to_bytes(answer.into_body(), 1 << 22).await.unwrap().to_vec()).unwrap()
    }
}

fn ended(state: &str, outcome: &str, parked: Option<&str>) -> (String, Option<String>, Option<String>) {
    (state.to_owned(), Some(outcome.to_owned()), parked.map(str::to_owned))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_callout_becomes_a_ticket_and_its_closing_resumes_the_request() {
    let entra = Entra::new("deny").await;
    let orders = [1, 2].map(|person| entra.fake.state().ask(person, "Sales reports", APPROVED));
    assert_eq!(entra.forward().await, [202, 202]);
    // Another run of the Logic App: nothing new.
    entra.fake.state().send_again();
    entra.bed.clock.advance_ms(HOUR);
    assert_eq!(entra.forward().await, [202, 202]);
    entra.bed.rounds(2).await;
    assert_eq!(entra.bed.tickets(), 2);
    let row = &entra.bed.rows().await[0];
    assert_eq!((row.application_id.as_str(), row.entitlement.as_deref()), ("Sales", Some("Sales reports")));
    assert_eq!(row.beneficiary.as_deref(), Some("Person Number 1"));
    assert!(entra.fake.state().answers(&orders[0]).is_empty());

    // The answer to the resumption is lost: what the platform holds is read back, and nothing is said twice.
    entra.bed.clock.advance_ms(DAY);
    entra.fake.faults().forget_answers.store(1, Ordering::SeqCst);
    entra.bed.close_all(Outcome::Fulfilled, "Added by hand.");
    entra.bed.rounds(8).await;
    for order in &orders {
        let answers = entra.fake.state().answers(order);
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert!(!answers[0].0 && answers[0].1.contains(": Added by hand."), "{answers:?}");
        assert_eq!(entra.fake.state().state_of(order), Some("delivered"));
    }
    assert_eq!(entra.deadlines().await, 0);
    for n in [0, 1] {
        assert_eq!(entra.end(n).await, ended("reported", "fulfilled", None));
    }
    entra.bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_denied_with_its_reason_and_a_cancelled_request_is_withdrawn() {
    let entra = Entra::new("alarm").await;
    let refused = entra.fake.state().ask(1, "Sales reports", APPROVED);
    entra.bed.clock.advance_ms(1_000);
    let cancelled = entra.fake.state().ask(2, "Sales reports", APPROVED);
    entra.forward().await;
    entra.bed.rounds(2).await;
    entra.fake.state().cancel(&cancelled);
    let setup = entra.bed.bridge.setup.load_full();
    let looked =
        deadline::look(&*entra.bed.bridge.ledger, &*setup.sources[entra.name], &entra.bed.worker.pauses, &*entra.bed.clock).await;
    assert!(matches!(looked, Ok(1)), "{looked:?}");
    let first = entra.detail(0).await.row.ticket.unwrap();
    entra.bed.jira.state().change(&first, |t, now| admins::close(t, "alice", now, Outcome::Rejected, "No licence left."));
    entra.bed.rounds(6).await;
    assert_eq!(entra.end(0).await, ended("reported", "rejected", None));
    let answers = entra.fake.state().answers(&refused);
    assert!(answers.len() == 1 && answers[0].0 && answers[0].1.contains("No licence left."), "{answers:?}");
    assert_eq!(entra.fake.state().state_of(&refused), Some("denied"));
    assert_eq!(entra.end(1).await, ended("reported", "cancelled", None), "our closing of its untouched ticket ended it");
    assert!(entra.fake.state().answers(&cancelled).is_empty(), "nobody waits for it");
    entra.bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_carries_out_in_time_is_denied_before_the_wait_ends_and_a_late_closing_is_not_lost() {
    let entra = Entra::new("deny").await;
    let orders: Vec<String> = (1..=3).map(|person| entra.fake.state().ask(person, "Sales reports", APPROVED)).collect();
    let removal = entra.fake.state().ask(4, "Sales reports", "assignmentRequestRemoved");
    entra.forward().await;
    entra.bed.rounds(2).await;
    assert_eq!(entra.bed.tickets(), 4);
    // The first two are being worked on; nobody looks at the third.
    let tickets = entra.bed.jira.state().all();
    let of = |person: u64| {
        let name = format!("Person Number {person}");
        tickets.iter().find(|t| t.body.to_string().contains(&name)).unwrap().number.clone()
    };
    for person in [1, 2] {
        entra.bed.jira.state().change(&of(person), |t, now| t.move_to(Stage::Working, "alice", now));
    }
    entra.bed.rounds(2).await;
    entra.bed.clock.advance_ms(14 * DAY - 3 * HOUR);
    assert_eq!(entra.deadlines().await, 0, "there is time left");
    entra.bed.clock.advance_ms(HOUR);
    assert_eq!(entra.deadlines().await, 3);
    assert_eq!(entra.deadlines().await, 0, "once");
    entra.bed.rounds(6).await;
    for order in &orders {
        let answers = entra.fake.state().answers(order);
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert!(answers[0].0 && answers[0].1.contains("before the wait for an answer ended"), "{answers:?}");
        assert_eq!(entra.fake.state().state_of(order), Some("denied"));
    }
    for n in 0..3 {
        assert_eq!(entra.end(n).await, ended("reported", "cancelled", None));
    }
    // The tickets were told: the one that nobody had touched is closed.
    let now = |person: u64| entra.bed.jira.state().get(&of(person)).unwrap();
    assert_eq!((now(1).stage, now(3).stage), (Stage::Working, Stage::Closed));
    assert!(now(1).comments.iter().any(|c| c.body.to_string().contains("was taken back")));
    // What was to be taken away is not given up: its ticket stands, and people are alarmed.
    assert!(entra.fake.state().answers(&removal).is_empty());
    assert_eq!(entra.detail(3).await.row.state, "open");
    assert!(entra.events(3).await.contains(&"overdue".to_owned()));

    // Too late: one was carried out all the same, one was given up.
    entra.bed.jira.state().change(&of(1), |t, now| admins::close(t, "alice", now, Outcome::Fulfilled, "Done after all."));
    entra.bed.jira.state().change(&of(2), |t, now| admins::close(t, "alice", now, Outcome::Rejected, "Stopped."));
    entra.bed.rounds(4).await;
    assert_eq!(entra.end(0).await, ended("reported", "cancelled", Some("E-LATE")), "somebody compares the two");
    assert_eq!(entra.end(1).await, ended("reported", "cancelled", None));
    for n in [0, 1] {
        assert!(entra.events(n).await.contains(&"closed_too_late".to_owned()), "{:?}", entra.events(n).await);
        assert_eq!(entra.fake.state().answers(&orders[n]).len(), 1, "the platform hears nothing else");
    }
    assert!(entra.events(2).await.contains(&"closed_on_desk".to_owned()), "{:?}", entra.events(2).await);
    let kept = entra.detail(0).await.tickets.remove(0);
    assert_eq!((kept.state.as_str(), kept.words.as_deref()), ("closed", Some("Done after all.")), "what the admins did is kept");
    entra.bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_chose_to_be_alarmed_is_and_the_ticket_stands() {
    let entra = Entra::named("alarmed", "alarm").await;
    // Of this thread alone: other tests count, too.
    let recorder = PrometheusBuilder::new().build_recorder();
    let _local = metrics::set_default_local_recorder(&recorder);
    let metric = async |name: &str| {
        let text = entra.page_with(recorder.handle(), "/metrics").await;
        let line = text.lines().find(|line| line.starts_with(name)).map(|line| line.rsplit(' ').next().unwrap().to_owned());
        line.unwrap_or_default()
    };
    const OVERDUE: &str = "lastmile_answers_overdue{source=\"alarmed\"}";
    const FAILING: &str = "lastmile_edge_failing{edge=\"source/alarmed\",work=\"answers\"}";
    let order = entra.fake.state().ask(1, "Sales reports", APPROVED);
    entra.forward().await;
    entra.bed.rounds(2).await;
    assert_eq!(entra.deadlines().await, 0);
    assert_eq!((metric(OVERDUE).await.as_str(), metric(FAILING).await.as_str()), ("0", "0"));
    let shown = format!("/assignments/{}", entra.detail(0).await.row.id);
    assert!(entra.page(&shown).await.contains("Platform waits until"));
    assert!(!entra.page("/operations").await.contains("E-DEADLINE"));
    entra.bed.clock.advance_ms(14 * DAY - 2 * HOUR);
    for _ in 0..3 {
        assert_eq!(entra.deadlines().await, 0);
    }
    assert_eq!(entra.events(0).await.iter().filter(|e| *e == "overdue").count(), 1, "noted once");
    assert_eq!(entra.detail(0).await.row.state, "open");
    assert!(entra.fake.state().answers(&order).is_empty());
    let page = entra.page("/operations").await;
    assert!(page.contains("It will soon stop waiting for an answer") && page.contains("E-DEADLINE"), "{page}");
    assert_eq!((metric(OVERDUE).await.as_str(), metric(FAILING).await.as_str()), ("1", "1"));

    // An admin is in time after all, and the alarm is over.
    entra.bed.close_all(Outcome::Fulfilled, "Done.");
    entra.bed.rounds(4).await;
    assert_eq!(entra.end(0).await, ended("reported", "fulfilled", None));
    assert_eq!(entra.fake.state().state_of(&order), Some("delivered"));
    entra.deadlines().await;
    assert_eq!((metric(OVERDUE).await.as_str(), metric(FAILING).await.as_str()), ("0", "0"));
    assert!(!entra.page("/operations").await.contains("E-DEADLINE"));

    // Another one is not: the platform fails it, and the outcome stays here for a person.
    let late = entra.fake.state().ask(2, "Sales reports", APPROVED);
    entra.forward().await;
    entra.bed.rounds(2).await;
    entra.bed.clock.advance_ms(15 * DAY);
    entra.deadlines().await;
    entra.bed.close_all(Outcome::Fulfilled, "Done.");
    entra.bed.rounds(4).await;
    assert_eq!(entra.end(1).await, ended("closed", "fulfilled", Some("E-DEADLINE")));
    assert!(entra.fake.state().answers(&late).is_empty());
    // Nobody waits for it any more: one order is left for a person to compare, and no alarm.
    entra.deadlines().await;
    let page = entra.page("/operations").await;
    assert!(page.contains("E-DEADLINE") && !page.contains("It will soon stop waiting"), "{page}");
    entra.bed.end().await;
}

/// The desk is away, so that the create of a ticket is under way or unclear when the wait ends.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_denied_while_its_ticket_is_on_its_way_is_ended_and_the_ticket_told() {
    for harm in [Harm::FailAfter, Harm::FailBefore, Harm::Busy(None)] {
        let entra = Entra::new("deny").await;
        let order = entra.fake.state().ask(1, "Sales reports", APPROVED);
        entra.forward().await;
        // A search does not find it yet, so that nobody knows whether there is a ticket.
        entra.bed.jira.faults().set_search_lag_ms(5 * DAY);
        entra.bed.jira.faults().add(Target::Create, harm, When::Always);
        entra.bed.rounds(1).await;
        let before = entra.detail(0).await.row.state;
        assert!(["unclear", "due", "sending"].contains(&before.as_str()), "{harm:?}: {before}");
        entra.bed.clock.advance_ms(14 * DAY - 2 * HOUR);
        assert_eq!(entra.deadlines().await, 1, "{harm:?}");
        entra.bed.jira.faults().set(Vec::new());
        entra.bed.rounds(20).await;
        assert_eq!(entra.end(0).await, ended("reported", "cancelled", None), "{harm:?}: {:?}", entra.events(0).await);
        assert!(entra.fake.state().answers(&order)[0].0, "{harm:?}");
        // What had been made is closed, and nothing else was made.
        let tickets = entra.bed.jira.state().all();
        assert!(tickets.len() <= 1 && tickets.iter().all(|t| t.stage == Stage::Closed), "{harm:?}: {}", tickets.len());
        entra.bed.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trying_the_source_resumes_nothing_and_says_what_is_missing() {
    let entra = Entra::new("alarm").await;
    let order = entra.fake.state().ask(1, "Sales reports", APPROVED);
    let out = entra.bed.try_source().await;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success() && said.contains("source entra: entra") && said.contains("It sends by itself"), "{said}");
    entra.fake.faults().no_right.store(true, Ordering::SeqCst);
    let out = entra.bed.try_source().await;
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(!out.status.success() && said.contains("WRONG") && said.contains("EntitlementManagement.ReadWrite.All"), "{said}");
    assert!(entra.fake.state().answers(&order).is_empty());
    entra.bed.end().await;
}

/// Polls for something that the running loops do; the clock goes on meanwhile.
async fn until(entra: &Entra, what: &str, done: impl AsyncFn() -> bool) {
    for _ in 0..300 {
        if done().await {
            return;
        }
        entra.bed.clock.advance_ms(1_000);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it did not happen: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_another_process_ended_first_is_not_counted() {
    let entra = Entra::new("deny").await;
    entra.fake.state().ask(1, "Sales reports", APPROVED);
    entra.forward().await;
    entra.bed.clock.advance_ms(14 * DAY);
    // Both find it before either ends it.
    let (one, other) = tokio::join!(entra.deadlines(), entra.deadlines());
    assert_eq!(one + other, 1);
    entra.bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_several_replicas_looks_after_what_waits() {
    let place = Place::of("here_on_postgres").await;
    if !place.is_postgres() {
        return;
    }
    let entra = Entra::on(Some(&place.url), "entra", "deny").await;
    entra.fake.state().ask(1, "Sales reports", APPROVED);
    assert_eq!(entra.forward().await, [202]);
    entra.bed.clock.advance_ms(14 * DAY);
    let other = place.open().await;
    other.turn("answer/entra", "other", 600_000).await.unwrap();
    entra.bed.bridge.runtime.start();
    // It has had its turns when it has said twice that it is there.
    let mut last = "0".to_owned();
    for _ in 0..3 {
        let said = async || place.text("SELECT COALESCE(MAX(until), 0) FROM replica").await;
        let before = last.clone();
        last = program::until("it says that it is there", async || Some(said().await).filter(|at| *at != before)).await;
    }
    assert_ne!(entra.detail(0).await.row.state, "closed", "that is the other replica's");
    other.leave("other").await.unwrap();
    program::until("it is told no", async || (entra.detail(0).await.row.state == "closed").then_some(())).await;
    entra.bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_running_bridge_looks_after_what_waits_by_itself() {
    let entra = Entra::new("deny").await;
    let order = entra.fake.state().ask(1, "Sales reports", APPROVED);
    let cancelled = entra.fake.state().ask(2, "Sales reports", APPROVED);
    entra.forward().await;
    entra.bed.bridge.runtime.start();
    until(&entra, "tickets", async || entra.bed.tickets() == 2).await;
    entra.fake.state().cancel(&cancelled);
    entra.bed.clock.advance_ms(HOUR);
    let withdrawn = async || entra.bed.rows().await.iter().any(|r| r.external_id == cancelled && r.withdrawn_at.is_some());
    until(&entra, "a withdrawal", withdrawn).await;
    assert!(entra.fake.state().answers(&order).is_empty(), "there is time left");
    entra.bed.clock.advance_ms(14 * DAY - 4 * HOUR);
    assert!(entra.fake.state().answers(&order).is_empty(), "there still is");
    entra.bed.clock.advance_ms(2 * HOUR);
    until(&entra, "a denial", async || !entra.fake.state().answers(&order).is_empty()).await;
    assert!(entra.fake.state().answers(&order)[0].0);
    entra.bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_that_a_question_begins_is_kept_by_every_other_one() {
    let entra = Entra::new("alarm").await;
    let order = entra.fake.state().ask(1, "Sales reports", APPROVED);
    entra.forward().await;
    entra.bed.rounds(2).await;
    let setup = entra.bed.bridge.setup.load_full();
    let (ledger, pauses, clock) = (&*entra.bed.bridge.ledger, &entra.bed.worker.pauses, &*entra.bed.clock);
    let look = async || deadline::look(ledger, &*setup.sources[entra.name], pauses, clock).await;
    let busy = |n| entra.fake.faults().throttle_reads.store(n, Ordering::SeqCst);
    // By the look whether it is still wanted ...
    busy(1);
    assert!(matches!(look().await, Err(PollError::Call(CallError::Retry { code: "E-BUSY", .. }))));
    assert!(matches!(look().await, Err(PollError::Call(CallError::Retry { code: HELD, .. }))));
    entra.bed.clock.advance_ms(120_000);
    assert!(matches!(look().await, Ok(0)));
    // ... and by the question what became of an unclear report.
    entra.bed.close_all(Outcome::Fulfilled, "Done.");
    entra.fake.faults().forget_answers.store(1, Ordering::SeqCst);
    let report = async || {
        let worker = &entra.bed.worker;
        complete::step(ledger, &setup, &*setup.sources[entra.name], worker, clock).await.unwrap();
    };
    let desk = &*setup.desks["jira"];
    sync::changes(ledger, desk, pauses, clock).await.unwrap();
    report().await;
    assert_eq!(entra.fake.state().answers(&order).len(), 1, "taken, and its answer was lost");
    busy(1);
    for _ in 0..60 {
        if pauses.left_ms("source/entra", clock).is_some() {
            break;
        }
        entra.bed.clock.advance_ms(1_000);
        report().await;
    }
    assert_eq!(pauses.left_ms("source/entra", clock), Some(120_000));
    assert_eq!(entra.fake.faults().throttle_reads.load(Ordering::SeqCst), 0);
    entra.bed.rounds(8).await;
    assert_eq!(entra.end(0).await, ended("reported", "fulfilled", None));
    assert_eq!(entra.fake.state().answers(&order).len(), 1);
    entra.bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_not_taken_for_lost_because_nobody_could_be_asked() {
    let entra = Entra::new("alarm").await;
    let order = entra.fake.state().ask(1, "Sales reports", APPROVED);
    entra.forward().await;
    entra.bed.rounds(2).await;
    entra.bed.close_all(Outcome::Fulfilled, "Done.");
    entra.fake.faults().forget_answers.store(1, Ordering::SeqCst);
    entra.bed.rounds(1).await;
    assert_eq!(entra.fake.state().answers(&order).len(), 1, "taken, and its answer was lost");
    *entra.fake.faults().unreadable.lock().unwrap() = order.split('/').next().map(str::to_owned);
    entra.bed.rounds(4).await;
    let asked: Vec<_> = entra.detail(0).await.attempts.into_iter().filter(|call| call.what == "ask").collect();
    assert!(asked.len() > 1 && asked.iter().all(|ask| ask.verdict.as_deref() == Some("unheard")), "{asked:?}");
    *entra.fake.faults().unreadable.lock().unwrap() = None;
    entra.bed.rounds(4).await;
    assert_eq!(entra.end(0).await, ended("reported", "fulfilled", None));
    assert_eq!(entra.fake.state().answers(&order).len(), 1);
    entra.bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_request_that_cannot_be_read_hides_no_other_and_is_said() {
    let entra = Entra::new("alarm").await;
    let mut orders = Vec::new();
    for person in 1..=3 {
        orders.push(entra.fake.state().ask(person, "Sales reports", APPROVED));
        entra.bed.clock.advance_ms(1_000);
    }
    entra.forward().await;
    entra.bed.rounds(2).await;
    for order in [&orders[0], &orders[2]] {
        entra.fake.state().cancel(order);
    }
    let unreadable = |order: Option<&String>| {
        let request = order.map(|order| order.split('/').next().unwrap().to_owned());
        *entra.fake.faults().unreadable.lock().unwrap() = request;
    };
    unreadable(Some(&orders[1]));
    let setup = entra.bed.bridge.setup.load_full();
    let look = async || {
        deadline::look(&*entra.bed.bridge.ledger, &*setup.sources[entra.name], &entra.bed.worker.pauses, &*entra.bed.clock).await
    };
    assert!(matches!(look().await, Ok(2)));
    let page = entra.page("/operations").await;
    assert!(page.contains("1 of 3 orders could not be asked about and stay as they are"), "{page}");
    entra.bed.rounds(6).await;
    let ends: Vec<String> = entra.bed.rows().await.into_iter().map(|row| row.state).collect();
    assert_eq!(ends, ["reported", "open", "reported"]);
    unreadable(None);
    assert!(matches!(look().await, Ok(0)));
    assert!(!entra.page("/operations").await.contains("could not be asked about"));
    entra.bed.end().await;
}
