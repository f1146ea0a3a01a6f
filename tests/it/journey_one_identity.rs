//! Journeys between One Identity Manager and a desk, through the whole bridge, for every way of working.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use lastmile::kpi::report::{Asked, Report};
use lastmile::kpi::rollup::Rollup;
use lastmile::ledger::views::AssignmentRow;
use lastmile::model::clock::FakeClock;
use lastmile::model::{Clock, Outcome, Timestamp};
use lastmile::sandbox::one_identity::{PASSWORD, SandboxOneIdentity, USER};

use super::platform_bed::{self, PlatformBed};

const DAY: i64 = 86_400_000;

/// The bridge between its fakes, stepped by hand.
struct Bed {
    oim: SandboxOneIdentity,
    bed: PlatformBed,
}

impl std::ops::Deref for Bed {
    type Target = PlatformBed;

    fn deref(&self) -> &PlatformBed {
        &self.bed
    }
}

impl Bed {
    async fn new(way: &str) -> Self {
        let clock = platform_bed::clock();
        let oim = SandboxOneIdentity::start(clock.clone(), "127.0.0.1:0".parse().unwrap()).await.unwrap();
        let server = |table: &str, path: &str| {
            format!("[{table}]\nurl = \"{}/{path}\"\nuser = \"{USER}\"\npassword = {{ file = \"secrets/oim\" }}\n", oim.url())
        };
        let source = format!(
            "kind = \"one_identity\"\n{}{}[webhook]\nverify = {{ scheme = \"token\", header = \"x-lastmile\", secrets = [{{ file = \"secrets/hook\" }}] }}\n{way}",
            server("application_server", "AppServer"),
            server("api_server", "ApiServer"),
        );
        let secrets = [("secrets/oim", PASSWORD), ("secrets/hook", "hook-token")];
        let bed = PlatformBed::new(clock, "oim", &source, &secrets).await;
        Self { oim, bed }
    }

    async fn end(self) {
        assert_eq!(self.oim.state().surplus(), 0, "nothing was decided or answered that did not wait");
        let (logins, _) = self.oim.state().sessions();
        self.bed.end().await;
        assert_eq!(self.oim.state().sessions().1, logins, "every session was ended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_at_the_last_approval_step_is_ticketed_ahead_and_decided_with_the_admins_reason() {
    let bed = Bed::new("[approval]\n").await;
    let from = bed.clock.now().plus_ms(10 * DAY);
    let request = bed.oim.state().order(1, 1, Some(from));
    bed.rounds(2).await;
    assert!(bed.rows().await.is_empty(), "it still waits for the manager");

    bed.clock.advance_ms(2 * DAY);
    bed.oim.state().approve(&request);
    bed.rounds(2).await;
    let row = &bed.rows().await[0];
    assert_eq!((row.state.as_str(), row.valid_from, row.application_id.as_str()), ("planned", Some(from), "sap-erp"));
    assert_eq!(bed.tickets(), 0);

    // Three days before it holds the ticket is filed: the request's own date still lies ahead.
    bed.clock.advance_ms(6 * DAY);
    bed.rounds(2).await;
    assert_eq!(bed.tickets(), 1);
    assert_eq!(bed.oim.state().state_of(&request).as_deref(), Some("OrderProduct"), "nothing is decided yet");

    bed.clock.advance_ms(3_600_000);
    bed.oim.faults().forget_answers.store(1, Ordering::SeqCst);
    bed.close_all(Outcome::Fulfilled, "Role given in client 100.");
    bed.rounds(6).await;
    let decisions = bed.oim.state().decisions();
    assert_eq!(decisions.len(), 1, "its answer was lost, and what it holds was read back");
    assert!(decisions[0].granted && decisions[0].by == "sa");
    assert!(decisions[0].reason.starts_with("Fulfilled, ticket IAM-1: Role given in client 100."), "{}", decisions[0].reason);
    assert_eq!(bed.oim.state().state_of(&request).as_deref(), Some("Assigned"));
    assert_eq!(bed.states().await, [("grant".to_owned(), "reported".to_owned())]);

    // The platform saw one workflow; here approval by people and work of admins stay two times.
    let (setup, now) = (bed.bridge.setup.load_full(), bed.bridge.clock.now());
    Rollup::new().catch_up(&*bed.bridge.ledger, &setup.catalog, &*bed.bridge.clock).await.unwrap();
    let asked = Asked::default();
    let line = Report::of(&*bed.bridge.ledger, &setup.catalog, &None, &asked, now).await.unwrap().all;
    let (approval, work) = (line.approval.max_ms.unwrap(), line.provisioning.max_ms.unwrap());
    assert!((2 * DAY..2 * DAY + 600_000).contains(&approval), "{approval}");
    assert!(work < 2 * DAY, "the wait for its date is nobody's: {work}");
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_answers_the_event_is_waited_for_and_not_told_twice() {
    let bed = Bed::new("[approval]\ndecide = { by = \"event\", within = \"20m\" }\n").await;
    let request = bed.oim.state().order_approved(1, 1, None);
    bed.rounds(2).await;
    bed.close_all(Outcome::NotPossible, "No such role.");
    bed.rounds(8).await;
    assert_eq!(bed.oim.state().raised().len(), 1, "asked about, not told again");
    assert_eq!(bed.states().await[0].1, "closed", "the platform does not show it yet");
    // The process was broken and is mended; its event got lost, so that it is raised again when its time is over.
    bed.oim.state().run_processes();
    bed.clock.advance_ms(1_200_000);
    bed.rounds(4).await;
    assert_eq!(bed.oim.state().state_of(&request).as_deref(), Some("Dismissed"));
    assert!(!bed.oim.state().decisions()[0].granted);
    assert_eq!(bed.states().await[0].1, "reported");
    assert_eq!(bed.oim.state().raised().len(), 1);
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_requester_takes_back_is_told_to_the_ticket_and_decided_by_nobody() {
    let bed = Bed::new("[approval]\n").await;
    let unsent = bed.oim.state().order_approved(1, 1, Some(bed.clock.now().plus_ms(30 * DAY)));
    let sent = bed.oim.state().order_approved(2, 2, None);
    bed.rounds(2).await;
    assert_eq!(bed.tickets(), 1);
    bed.oim.state().abort(&unsent);
    bed.oim.state().abort(&sent);
    bed.rounds(6).await;
    let rows: Vec<_> = bed.rows().await.into_iter().map(|r| (r.withdrawn_at.is_some(), r.outcome)).collect();
    assert_eq!(rows, [(true, Some("cancelled".to_owned())), (true, Some("cancelled".to_owned()))]);
    assert!(bed.states().await.iter().all(|(_, state)| state == "reported"), "{:?}", bed.states().await);
    assert!(bed.oim.state().decisions().is_empty());
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_goes_back_and_comes_again_is_a_new_order_and_a_renewal_and_an_end_are_others() {
    let bed = Bed::new("[approval]\n").await;
    let request = bed.oim.state().order_approved(1, 1, None);
    bed.rounds(2).await;
    bed.oim.state().send_back(&request);
    bed.rounds(4).await;
    assert_eq!(bed.states().await, [("grant".to_owned(), "reported".to_owned())], "it no longer waits for us");
    bed.clock.advance_ms(DAY);
    bed.oim.state().approve(&request);
    bed.rounds(3).await;
    let states = bed.states().await;
    assert_eq!(states.len(), 2, "{states:?}");
    assert_eq!((states[0].1.as_str(), states[1].1.as_str()), ("reported", "open"), "the first pass is not ordered again");
    bed.close_all(Outcome::Fulfilled, "Given.");
    bed.rounds(4).await;
    for n in 1..=2 {
        bed.clock.advance_ms(30 * DAY);
        bed.oim.state().prolong(&request, bed.clock.now().plus_ms(60 * DAY));
        bed.rounds(2).await;
        bed.close_all(Outcome::Fulfilled, "Longer.");
        bed.rounds(4).await;
        assert_eq!(bed.states().await.len(), 2 + n, "every renewal is an order of its own");
    }
    bed.clock.advance_ms(DAY);
    bed.oim.state().unsubscribe(&request);
    bed.rounds(2).await;
    bed.close_all(Outcome::Fulfilled, "Taken away.");
    bed.rounds(4).await;
    let words: Vec<String> = bed.rows().await.into_iter().map(|r| r.operation).collect();
    assert_eq!(words, ["grant", "grant", "modify", "modify", "revoke"]);
    assert_eq!(bed.oim.state().state_of(&request).as_deref(), Some("Unsubscribed"));
    assert_eq!(bed.oim.state().decisions().len(), 4);
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_changes_of_one_object_go_through_one_after_the_other() {
    let bed = Bed::new("[queue]\n").await;
    let key = "<Key><T>UNSAccountB</T><P>object-1</P></Key>";
    let steps = [("Insert", "Jo"), ("Update", "Joe"), ("Update", "Joan")];
    let (_, ids) = bed.oim.state().pend(key, ("mainframe", "Mainframe"), &steps);
    for n in 1..=3 {
        bed.rounds(3).await;
        assert_eq!(bed.tickets(), n, "the next one is filed when the one before is closed");
        bed.clock.advance_ms(60_000);
        bed.close_all(if n == 2 { Outcome::NotPossible } else { Outcome::Fulfilled }, "See log.");
        bed.rounds(4).await;
    }
    let expected: Vec<(String, bool)> = ids.into_iter().zip([true, false, true]).collect();
    assert_eq!(bed.oim.state().answers(), expected, "answered oldest first");
    let first = &bed.jira.state().all()[0];
    assert!(first.body.to_string().contains("CN: Jo"), "the ticket says what is to be changed: {}", first.body);
    assert!(bed.states().await.iter().all(|(_, state)| state == "reported"));
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assignment_table_grants_what_is_new_and_takes_away_what_is_gone() {
    let way = "[assignments]\ntable = \"ADSAccountInADSGroup\"\nmax_removals = 2\n\
               report = { event = \"LASTMILE_DONE\", table = \"ADSAccount\" }\n";
    let bed = Bed::new(way).await;
    let old = bed.oim.state().assign(3, 1);
    for n in 4..9 {
        bed.oim.state().assign(n, 1);
    }
    bed.rounds(3).await;
    assert!(bed.rows().await.is_empty(), "what stood at the beginning orders nothing");

    let new = bed.oim.state().assign(1, 2);
    bed.rounds(2).await;
    bed.close_all(Outcome::Fulfilled, "In.");
    bed.rounds(4).await;
    assert_eq!(bed.states().await, [("grant".to_owned(), "reported".to_owned())]);

    // One that stood from the beginning goes, and the new one goes too: both are ordered away.
    bed.clock.advance_ms(DAY);
    assert!(bed.oim.state().unassign(&old) && bed.oim.state().unassign(&new));
    bed.rounds(2).await;
    assert_eq!(bed.tickets(), 3);
    bed.close_all(Outcome::Fulfilled, "Out.");
    bed.rounds(4).await;
    let words: Vec<(String, Option<String>)> = bed.rows().await.into_iter().map(|r| (r.operation, r.entitlement)).collect();
    let mut removed: Vec<Option<String>> =
        words[1..].iter().map(|(op, e)| (op == "revoke").then(|| e.clone()).flatten()).collect();
    removed.sort();
    assert_eq!(removed, [Some("Group 1".to_owned()), Some("Group 2".to_owned())], "{words:?}");
    let raised: Vec<String> = bed.oim.state().raised().iter().map(|r| r.object.1.clone()).collect();
    assert_eq!(raised.len(), 3, "told on the account, which outlives the assignment: {raised:?}");

    // Back again: a new order, not the old one.
    bed.clock.advance_ms(DAY);
    let again = bed.oim.state().assign(1, 2);
    bed.rounds(2).await;
    assert_eq!(bed.rows().await.len(), 4);
    assert_eq!(bed.tickets(), 4);

    // A right that was lost looks like a great clean-up: it is not believed, and said.
    for n in 4..8 {
        assert!(bed.oim.state().unassign(&format!("<Key><T>ADSAccountInADSGroup</T><P>account-{n}</P><P>group-1</P></Key>")));
    }
    let polled = bed.poll().await;
    assert_eq!(polled.broken.as_ref().map(lastmile::http::CallError::code), Some("E-REMOVALS"));
    bed.rounds(2).await;
    assert_eq!(bed.rows().await.len(), 4);
    for n in 4..6 {
        bed.oim.state().assign(n, 1);
    }
    assert_eq!(bed.poll().await.withdrawn, 2, "as many as may go at once");
    assert!(bed.oim.state().unassign(&again));
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_vanishes_and_comes_back_unchanged_ends_as_it_stands() {
    let way = "[assignments]\ntable = \"ADSAccountInADSGroup\"\nreport = { event = \"LASTMILE_DONE\", table = \"ADSAccount\" }\n";
    let bed = Bed::new(way).await;
    bed.poll().await;
    let key = bed.oim.state().assign(1, 1);
    bed.rounds(2).await;
    bed.close_all(Outcome::Fulfilled, "In.");
    bed.rounds(4).await;

    // Back before the removal was sent: nothing is left to do.
    let row = bed.oim.state().hide(&key).unwrap();
    bed.poll().await;
    bed.oim.state().show(&key, row);
    bed.poll().await;
    bed.rounds(3).await;
    let words = |rows: Vec<AssignmentRow>| rows.into_iter().map(|r| (r.operation, r.outcome)).collect::<Vec<_>>();
    let outcome = |operation: &str, outcome: &str| (operation.to_owned(), Some(outcome.to_owned()));
    assert_eq!(words(bed.rows().await), [outcome("grant", "fulfilled"), outcome("revoke", "cancelled")]);
    assert_eq!(bed.tickets(), 1);

    // Twice more, each time long enough to be worked on: the platform's own dates never changed.
    for _ in 0..2 {
        let row = bed.oim.state().hide(&key).unwrap();
        bed.rounds(2).await;
        bed.close_all(Outcome::Fulfilled, "Out.");
        bed.rounds(4).await;
        bed.oim.state().show(&key, row);
        bed.rounds(2).await;
        bed.close_all(Outcome::Fulfilled, "In again.");
        bed.rounds(4).await;
    }
    let done = words(bed.rows().await);
    let later: Vec<&str> = done[2..].iter().map(|(operation, _)| operation.as_str()).collect();
    assert_eq!(later, ["revoke", "grant", "revoke", "grant"]);
    assert!(done[2..].iter().all(|(_, outcome)| outcome.as_deref() == Some("fulfilled")), "{done:?}");
    assert_eq!(bed.tickets(), 5);
    bed.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_the_platform_makes_us_look_at_once() {
    let bed = Bed::new("[approval]\n").await;
    bed.is_hinted().await;
    bed.end().await;
}

fn example(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/sources").join(name);
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn the_examples_are_understood() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    std::fs::write(folder.path().join("secrets/one-identity"), "secret").unwrap();
    std::fs::write(folder.path().join("secrets/one-identity-hook"), "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=")
        .unwrap();
    let folder_of = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/sources");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder_of).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        if !name.starts_with("one-identity") {
            continue;
        }
        let text = example(&name);
        let file = lastmile::catalog::ConfigFile::from_text(std::path::Path::new(&name), &text);
        let kind = if name.contains("push") { "webhook" } else { "one_identity" };
        let edge = lastmile::catalog::EdgeFile { kind: kind.to_owned(), file };
        let clock = Arc::new(FakeClock::at(Timestamp(0)));
        let source = lastmile::source::build("oim", &edge, folder.path(), clock).unwrap_or_else(|p| panic!("{name}: {p:?}"));
        assert_eq!(source.info().kind, kind);
        seen += 1;
    }
    assert_eq!(seen, 4);
}

/// The pushed form, as the documented process sends it.
#[test]
fn the_pushed_example_maps_inserts_and_removals() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("secrets")).unwrap();
    std::fs::write(folder.path().join("secrets/one-identity-hook"), "token").unwrap();
    let text = example("one-identity-push.toml");
    let file = lastmile::catalog::ConfigFile::from_text(std::path::Path::new("push.toml"), &text);
    let clock = Arc::new(FakeClock::at(Timestamp(0)));
    let edge = lastmile::catalog::EdgeFile { kind: "webhook".to_owned(), file };
    let source = lastmile::source::build("oim", &edge, folder.path(), clock).unwrap();
    let message = serde_json::json!({
        "event": "DELETE", "eventId": "0f1c", "at": "2026-11-25T10:00:00Z", "stamp": 1_795_000_000,
        "key": "a-1+g-1", "account": {"id": "a-1", "name": "JDOE"}, "group": {"id": "g-1", "name": "Sales"},
        "system": {"id": "corp", "name": "CORP"}, "person": {"id": "p-1", "name": "Jo Doe", "email": "jo@corp.example"},
    });
    let contents = source.sample(&message);
    let lastmile::source::EventContent::Order(order) = &contents[0] else { panic!("it does not map") };
    assert_eq!((order.operation.as_str(), order.generation, order.application.id.as_str()), ("revoke", 1_795_000_000, "corp"));
}

#[test]
fn a_wrong_file_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("pw"), "a;b").unwrap();
    let server = "[application_server]\nurl = \"https://idm.example\"\nuser = \"u\"\npassword = { file = \"pw\" }\n";
    let problems = |text: &str| {
        let text = format!("kind = \"one_identity\"\n{text}");
        let file = lastmile::catalog::ConfigFile::from_text(std::path::Path::new("sources/oim.toml"), &text);
        let edge = lastmile::catalog::EdgeFile { kind: "one_identity".to_owned(), file };
        let clock = Arc::new(FakeClock::at(Timestamp(0)));
        let found = lastmile::source::build("oim", &edge, folder.path(), clock).err().unwrap();
        found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert!(problems(server).contains("[approval], [queue] or [assignments]"));
    assert!(problems("[approval]\n").contains("[application_server]"));
    let several = problems(&format!("schedule = \"often\"\n{server}[approval]\n[mapping]\nzone = \"Europe/Berln\"\n"));
    assert!(several.contains("sources/oim.toml:2") && several.contains("Europe/Berlin") && several.contains("`;`"), "{several}");
    let table = format!("{server}[assignments]\ntable = \"LDAPAccountInLDAPGroup\"\n");
    assert!(problems(&table).contains("where its application stands"));
    assert!(problems("[approvl]\n").contains("did you mean `approval`?"));
}

/// `source try` logs in, shows what would become of one page, and has no effect at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_source_is_tried_without_any_effect() {
    let bed = Bed::new("[approval]\n").await;
    bed.oim.state().order_approved(1, 1, None);
    let out = bed.try_source().await;
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    for words in
        ["PersonWantsOrg can be read", "The first page holds 1 event.", "grant role 1 on sap-erp", "Nothing was recorded"]
    {
        assert!(said.to_lowercase().contains(&words.to_lowercase()), "`{words}` is missing in:\n{said}");
    }
    assert_eq!((bed.tickets(), bed.oim.state().decisions().len(), bed.rows().await.len()), (0, 0, 0));
    let (logins, logouts) = bed.oim.state().sessions();
    assert_eq!((logins, logouts), (1, 1));

    bed.oim.faults().ignore_conditions.store(true, Ordering::SeqCst);
    let out = bed.try_source().await;
    assert_eq!(out.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&out.stdout).contains("WRONG   conditions"), "{}", String::from_utf8_lossy(&out.stdout));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_shows_how_far_it_is_in_its_own_column() {
    let bed = Bed::new("[approval]\nprogress = { column = \"OrderDetail1\" }\n").await;
    let request = bed.oim.state().order_approved(1, 1, None);
    bed.rounds(3).await;
    let shown = || bed.oim.state().column("PersonWantsOrg", &request, "OrderDetail1");
    assert_eq!(shown().as_deref(), Some("IAM-1: ticket filed"));
    for ticket in bed.jira.state().all() {
        bed.jira.state().change(&ticket.number, |t, _| t.assignee = Some("alice".to_owned()));
    }
    bed.rounds(3).await;
    assert_eq!(shown().as_deref(), Some("IAM-1: in work"));
    bed.close_all(Outcome::Fulfilled, "Done.");
    bed.rounds(4).await;
    assert_eq!((shown().as_deref(), bed.oim.state().decisions().len()), (Some("IAM-1: in work"), 1));
    bed.end().await;
}
