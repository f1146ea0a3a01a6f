//! Waiting: for a desk that asked for it, for the end of a quiet period whatever the wall clock does, for late words.

use futures_util::FutureExt as _;
use lastmile::flow::intake::PollError;
use lastmile::http::CallError;
use lastmile::http::gate::HELD;
use lastmile::ledger::views::Filter;

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_that_asks_for_patience_gets_it_for_its_whole_queue_and_the_others_go_on() {
    let one_by_one = |text: String| text.replace("project = \"IAM\"\n", "project = \"IAM\"\nmax_in_flight = 1\n");
    let bed = Bed::with(one_by_one).await;
    bed.jira.faults().add(Target::Create, Harm::Busy(Some(90)), When::Next(1));
    for n in 1..=16 {
        bed.order(n).await;
        bed.all_delivered();
    }
    let on = |desk: &SandboxDesk| desk.state().created_by(USER);
    bed.rounds(60).await;
    assert!(on(&bed.servicenow) > 0, "the other desk goes on");
    assert_eq!(on(&bed.jira), 0, "one call was refused; none of the others tries");
    assert!(bed.worker.pauses.until("desk/jira", &*bed.clock).is_some());
    bed.rounds(60).await;
    assert_eq!(bed.created(), 16, "it goes when the time is over");
    bed.chains_hold().await;
}

/// Waits grow with failures: what was not even sent did not fail.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_was_held_back_for_anothers_sake_has_not_failed() {
    let one_by_one = |text: String| text.replace("project = \"IAM\"\n", "project = \"IAM\"\nmax_in_flight = 1\n");
    let bed = Bed::with(one_by_one).await;
    for n in 1..=16 {
        bed.order(n).await;
        bed.all_delivered();
    }
    bed.jira.faults().add(Target::Create, Harm::FailBefore, When::Next(3));
    bed.rounds(4).await;
    assert_ne!(bed.place.text("SELECT COUNT(*) FROM attempt WHERE code = 'E-HELD'").await, "0");
    let too_many = "SELECT COUNT(*) FROM errand AS e WHERE failures >
        (SELECT COUNT(*) FROM attempt AS a WHERE a.errand_id = e.id AND a.code IS NOT NULL AND a.code <> 'E-HELD')";
    assert_eq!(bed.place.text(too_many).await, "0");
    bed.rounds(60).await;
    assert_eq!(bed.created(), 16);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn witnesses_are_asked_after_the_quiet_period_however_often_the_call_failed_before() {
    let bed = Bed::new().await;
    bed.order(1).await;
    plan::step(&*bed.bridge.ledger, &bed.bridge.setup.load_full(), &*bed.clock).await.unwrap();
    bed.place.run("UPDATE errand SET failures = 10").await;
    for desk in [&bed.jira, &bed.servicenow] {
        desk.faults().add(Target::Create, Harm::FailBefore, When::Next(1));
    }
    bed.rounds(40).await;
    assert_eq!(bed.created(), 1, "a quarter of an hour would be too long");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_that_asks_for_patience_is_not_asked_about_its_own_hints_either() {
    let hook = "webhook = { token = { header = \"x-hook\", secrets = [{ file = \"secrets/desk\" }] } }\n";
    let bed = Bed::with(|text| text.replace("project = \"IAM\"\n", &format!("project = \"IAM\"\n{hook}"))).await;
    let mut n = 0;
    while bed.jira.state().created_by(USER) == 0 {
        n += 1;
        bed.order(n).await;
        bed.all_delivered();
        bed.rounds(3).await;
    }
    let ticket = bed.jira.state().all().remove(0);
    let hint = async || {
        let body = serde_json::json!({"webhookEvent": "x", "issue": {"id": ticket.id.to_string(), "key": ticket.number}});
        let inbound = Inbound {
            method: "POST".to_owned(),
            path: "/hooks/desk/jira".to_owned(),
            query: std::collections::BTreeMap::new(),
            headers: [("x-hook".to_owned(), std::fs::read_to_string(bed.folder.path().join("secrets/desk")).unwrap())].into(),
            body: body.to_string().into_bytes(),
            peer: None,
            client_certificate: None,
            received_at: bed.clock.now(),
        };
        let setup = bed.bridge.setup.load_full();
        sync::hint(&*bed.bridge.ledger, &*setup.desks["jira"], inbound, &bed.worker.pauses, &*bed.clock).await.unwrap()
    };
    // What it asks is heard, although nobody hears of the error.
    bed.jira.faults().add(Target::Any, Harm::Busy(Some(90)), When::Next(1));
    assert_eq!(hint().await, 1);
    assert_eq!(bed.worker.pauses.left_ms("desk/jira", &*bed.clock), Some(90_000));
    bed.jira.faults().set(Vec::new());
    bed.jira.faults().add(Target::Any, Harm::Slow(0), When::Next(1_000));
    for _ in 0..3 {
        assert_eq!(hint().await, 1, "it is taken");
        bed.rounds(10).await;
    }
    assert_eq!(bed.jira.faults().current()[0].when, When::Next(1_000), "neither hints, sync nor dispatch call it");
    bed.clock.advance_ms(60_000);
    hint().await;
    assert_ne!(bed.jira.faults().current()[0].when, When::Next(1_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_asks_for_patience_is_neither_polled_nor_told_anything() {
    let bed = super::on_the_way::telling().await;
    let setup = bed.bridge.setup.load_full();
    let source = &*setup.sources[config::SOURCE];
    let edge = format!("source/{}", config::SOURCE);
    let poll = async || intake::poll(&*bed.bridge.ledger, source, &bed.worker.pauses, &*bed.clock).await;
    let held = |polled: Result<intake::Polled, PollError>| match polled {
        Err(PollError::Call(CallError::Retry { code: HELD, after: Some(_), .. })) => true,
        other => panic!("{other:?}"),
    };
    let (id, _) = bed.order(1).await;
    // A step is answered 429: the list is left alone, too.
    bed.platform.faults().slow_down.store(1, std::sync::atomic::Ordering::SeqCst);
    bed.rounds(2).await;
    assert!(bed.worker.pauses.left_ms(&edge, &*bed.clock).is_some());
    assert!(held(poll().await));
    assert_eq!(bed.platform.state().steps_of(&id).len(), 0);
    bed.clock.advance_ms(60_000);
    bed.rounds(3).await;
    assert_eq!(bed.platform.state().steps_of(&id), ["filed"]);

    // The list is answered 429: steps and outcomes wait.
    bed.platform.faults().slow_down.store(1, std::sync::atomic::Ordering::SeqCst);
    assert!(matches!(poll().await, Err(PollError::Call(CallError::Retry { code: "E-BUSY", .. }))));
    assert!(held(poll().await));
    bed.close_all(Outcome::Fulfilled, "Done.");
    bed.rounds(10).await;
    assert_eq!(bed.platform.state().completions_of(&id).len(), 0);
    bed.clock.advance_ms(60_000);
    bed.rounds(3).await;
    assert_eq!(bed.platform.state().completions_of(&id).len(), 1);
    let counts = bed.platform.state().counts();
    assert_eq!((counts.repeats, counts.further), (0, 0));
    poll().await.unwrap();
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wall_clock_that_jumps_forward_ends_no_quiet_period() {
    let bed = Bed::new().await;
    for desk in [&bed.jira, &bed.servicenow] {
        desk.faults().add(Target::Create, Harm::FailBefore, When::Next(1));
    }
    bed.order(1).await;
    bed.round().await;
    assert_eq!(bed.created(), 0, "the call is unclear");
    bed.clock.skew_ms(3_600_000);
    for _ in 0..8 {
        bed.round().await;
        bed.clock.advance_ms(900);
    }
    assert_eq!(bed.created(), 0, "8 s have passed, whatever the wall clock says: a late ticket may still turn up");
    bed.rounds(60).await;
    assert_eq!(bed.created(), 1, "sent again when the quiet period is truly over");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_ticket_is_read_twice_in_full_and_late_words_are_not_missed() {
    const MANY: u64 = 1_000;
    let bed = Bed::new().await;
    let mut n = 0;
    while bed.servicenow.state().created_by(USER) == 0 {
        n += 1;
        bed.order(n).await;
        bed.all_delivered();
        bed.rounds(2).await;
    }
    let ticket = bed.servicenow.state().all()[0].number.clone();
    bed.clock.advance_ms(3_600_000);
    bed.rounds(2).await;
    // Every reading of one record, which is two calls (its files), is slowed down by nothing, and counted.
    bed.servicenow.faults().add(Target::Read, Harm::Slow(0), When::Next(MANY));
    let reads = || match bed.servicenow.faults().current().first().map(|f| f.when) {
        Some(When::Next(left)) => (MANY - left) / 2,
        other => panic!("{other:?}"),
    };
    bed.servicenow.state().change(&ticket, |t, now| admins::close(t, "alice", now, Outcome::Fulfilled, "Done."));
    bed.rounds(30).await;
    assert_eq!(reads(), 1, "thirty rounds show it");
    bed.servicenow.state().change(&ticket, |t, _| t.close_notes = Some("Done, and told the user.".to_owned()));
    bed.rounds(20).await;
    assert_eq!(reads(), 2, "what changed is read at once");
    bed.rounds(200).await;
    assert_eq!(reads(), 3, "and once more, well after its last change");
    let filter = Filter { search: Some(ticket), ..Filter::default() };
    let row = bed.bridge.ledger.assignments(&filter, true, 1).await.unwrap().remove(0);
    let detail = bed.bridge.ledger.assignment(row.id, &None, true).await.unwrap().unwrap();
    assert_eq!(detail.tickets[0].words.as_deref(), Some("Done, and told the user."));
    assert_eq!(bed.platform.state().counts().further, 0, "it is reported once");
}

/// A setup like the one that runs, with another project on Jira.
fn moved(bed: &Bed) -> lastmile::flow::Setup {
    let mut catalog = (*bed.bridge.setup.load_full().catalog).clone();
    let edge = catalog.desks.get_mut("jira").unwrap();
    let text = edge.file.text().replace("project = \"IAM\"", "project = \"NEW\"");
    edge.file = lastmile::catalog::ConfigFile::from_text(edge.file.path(), &text);
    bridge::setup(catalog, &bed.bridge.clock).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_desk_that_becomes_another_one_keeps_its_open_tickets() {
    let bed = Bed::new().await;
    bed.bridge.swap(moved(&bed)).await.expect("nothing is open there yet");
    let mut n = 0;
    while bed.jira.state().created_by(USER) == 0 {
        n += 1;
        bed.order(n).await;
        bed.all_delivered();
        bed.rounds(2).await;
    }
    let mut catalog = (*bed.bridge.setup.load_full().catalog).clone();
    let edge = catalog.desks.get_mut("jira").unwrap();
    let text = edge.file.text().replace("project = \"NEW\"", "project = \"IAM\"");
    edge.file = lastmile::catalog::ConfigFile::from_text(edge.file.path(), &text);
    let refused = bed.bridge.swap(bridge::setup(catalog.clone(), &bed.bridge.clock).unwrap()).await.unwrap_err().to_string();
    assert!(
        refused.contains("`project` of desk `jira` was `NEW` and is now `IAM`, which is another desk")
            && refused.contains("1 open tickets"),
        "{refused}"
    );
    // At a start it is told, and told again, until the old tickets are closed.
    assert_eq!(bed.bridge.orphans().await.unwrap(), Vec::<String>::new());
    bed.bridge.close().await;
    let time: Arc<dyn Clock> = bed.clock.clone();
    for _ in 0..2 {
        let setup = bridge::setup(catalog.clone(), &time).unwrap();
        let again = Bridge::open(setup, time.clone(), false).await.unwrap();
        let told = again.orphans().await.unwrap();
        assert!(told.len() == 1 && told[0].contains("`project` of desk `jira` was `NEW`"), "{told:?}");
        again.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_setup_that_the_ledger_cannot_keep_does_not_come_into_force() {
    let bed = Bed::new().await;
    if bed.place.is_postgres() {
        return; // its triggers have another language
    }
    bed.bridge.swap(moved(&bed)).await.unwrap();
    let (before, home) = (bed.bridge.setup.load_full(), "SELECT COALESCE(MAX(value), '') FROM cursor WHERE name = 'home/jira'");
    let known = bed.place.text(home).await;
    bed.place.run("CREATE TRIGGER broken BEFORE UPDATE ON cursor BEGIN SELECT RAISE(ABORT, 'broken'); END").await;
    let mut catalog = (*before.catalog).clone();
    let edge = catalog.desks.get_mut("jira").unwrap();
    let text = edge.file.text().replace("project = \"NEW\"", "project = \"IAM\"");
    edge.file = lastmile::catalog::ConfigFile::from_text(edge.file.path(), &text);
    let changed = || bridge::setup(catalog.clone(), &bed.bridge.clock).unwrap();
    let refused = bed.bridge.swap(changed()).await.unwrap_err().to_string();
    assert!(refused.contains("broken"), "{refused}");
    assert!(Arc::ptr_eq(&before, &bed.bridge.setup.load_full()), "what is refused is not in force");
    assert_eq!(bed.place.text(home).await, known);
    bed.place.run("DROP TRIGGER broken").await;
    bed.bridge.swap(changed()).await.unwrap();
    assert_ne!(bed.place.text(home).await, known);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_being_planned_keeps_its_desk() {
    let bed = Bed::new().await;
    for n in 1..=16 {
        bed.order(n).await;
        bed.all_delivered();
    }
    // The planning stage is in the middle of its step …
    let planning = bed.bridge.runtime.planning().await;
    let setup = bed.bridge.setup.load_full();
    let mut swap = std::pin::pin!(bed.bridge.swap(moved(&bed)));
    for _ in 0..50 {
        assert!(swap.as_mut().now_or_never().is_none(), "nobody swaps under a plan");
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    plan::step(&*bed.bridge.ledger, &setup, &*bed.clock).await.unwrap();
    drop(planning);
    // … and what it planned is seen.
    let refused = swap.await.unwrap_err().to_string();
    assert!(refused.contains("which is another desk"), "{refused}");
}
