//! What every desk keeps, whatever it speaks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use lastmile::desk::{Desk, StatusAnswer};
use lastmile::http::signature::Refusal;
use lastmile::http::{CallError, Inbound};
use lastmile::model::finding::Grade;
use lastmile::model::ticket::{Amended, Category, Change, TicketRef, TicketStatus};
use lastmile::model::{Outcome, Timestamp};
use lastmile::sandbox::admins::close;
use lastmile::sandbox::desk_state::NewTicket;
use lastmile::sandbox::server::TOKEN;
use lastmile::sandbox::{Harm, Stage, Target, When};
use serde_json::json;

use super::desk_bench::{Bench, HOOK_SECRET, Kind, draft, edge, key};
use super::desk_limits::{
    a_key_that_cannot_be_written_is_told, a_ticket_holds_what_the_draft_says_and_nothing_else,
    a_way_to_the_login_page_is_never_followed, an_admins_closing_is_never_closed_again, long_texts_are_cut_visibly,
    no_secret_leaks_whatever_goes_wrong,
};

/// Runs each promise of the contract for each kind of desk.
macro_rules! contract {
    ($($promise:ident),* $(,)?) => {
        contract!(@kind jira_v2_data_center, JiraV2DataCenter, $($promise),*);
        contract!(@kind jira_v3_cloud, JiraV3Cloud, $($promise),*);
        contract!(@kind jira_key_in_a_field, JiraKeyInField, $($promise),*);
        contract!(@kind servicenow, ServiceNow, $($promise),*);
        contract!(@kind zammad_as_declared, Zammad, $($promise),*);
    };
    (@kind $module:ident, $kind:ident, $($promise:ident),*) => {
        mod $module {
            $(#[tokio::test]
            async fn $promise() {
                super::$promise(super::Bench::new(super::Kind::$kind).await).await;
            })*
        }
    };
}

contract!(
    a_created_ticket_is_found_by_its_key,
    a_row_without_the_key_is_never_believed,
    a_copy_made_by_an_admin_is_not_ours,
    an_unknown_group_is_told,
    one_bad_ticket_does_not_blind_the_batch,
    closing_gives_category_and_outcome,
    an_unknown_status_is_never_taken_for_done,
    a_reopened_ticket_is_open_again,
    a_reading_names_closer_and_words,
    changes_with_equal_times_are_never_skipped,
    what_a_desk_lists_is_everything_of_ours,
    a_comment_is_found_again_by_its_mark,
    a_withdrawn_ticket_is_closed_once,
    a_changed_order_stands_above_the_tickets_text_where_the_desk_allows_it,
    a_refused_connection_may_be_repeated,
    a_busy_desk_says_when,
    a_failed_create_is_unclear,
    a_sleeping_desk_is_never_success,
    a_slow_desk_is_unclear_for_a_create_and_repeated_for_a_read,
    wrong_credentials_are_no_empty_list,
    revoked_credentials_make_no_ticket_gone,
    a_lagging_search_finds_it_later,
    a_signed_hook_gives_a_hint_and_a_forged_one_is_refused,
    no_secret_is_shown,
    no_secret_leaks_whatever_goes_wrong,
    a_way_to_the_login_page_is_never_followed,
    a_key_that_cannot_be_written_is_told,
    long_texts_are_cut_visibly,
    a_ticket_holds_what_the_draft_says_and_nothing_else,
    an_admins_closing_is_never_closed_again,
    problems_of_the_file_name_their_line,
    a_check_names_what_is_missing,
);

pub async fn status_of(desk: &dyn Desk, ticket: &TicketRef) -> TicketStatus {
    match desk.status(std::slice::from_ref(ticket)).await.unwrap().remove(0) {
        StatusAnswer::Known(status) => *status,
        other => panic!("{other:?}"),
    }
}

async fn a_created_ticket_is_found_by_its_key(b: Bench) {
    let created = b.create("a").await;
    b.create("b").await;
    let status = status_of(&*b.desk, &created.ticket).await;
    assert_eq!(status.key, Some(key("a")));
    assert_eq!(status.group.as_deref(), Some("SAP Admins"));
    assert_eq!((status.category, status.outcome, status.assigned), (Category::Open, None, false));
    assert_eq!(status.updated_at.map(|t| t.0 / 1000), Some(1_795_000_000));
    let found = b.desk.find(&key("a")).await.unwrap();
    assert_eq!(found, vec![status]);
    assert!(b.desk.find(&key("c")).await.unwrap().is_empty());
    assert!(created.url.is_some_and(|u| u.starts_with(b.server.url())));
    assert!(!created.group_missed);
}

async fn a_row_without_the_key_is_never_believed(b: Bench) {
    b.create("a").await;
    b.faults().set_sloppy_search(true);
    // A search that ignores its condition proves no absence: otherwise the create would be repeated.
    let error = b.desk.find(&key("other")).await.unwrap_err();
    assert!(matches!(error, CallError::Retry { code: "E-SHAPE", .. }), "{error}");
    b.faults().set_sloppy_search(false);
    assert!(b.desk.find(&key("other")).await.unwrap().is_empty());
    assert_eq!(b.desk.find(&key("a")).await.unwrap().len(), 1);
}

async fn a_copy_made_by_an_admin_is_not_ours(b: Bench) {
    let created = b.create("a").await;
    let original = b.state().get(&created.ticket.id).unwrap();
    let copy = NewTicket {
        place: original.place,
        prefix: "COPY-".to_owned(),
        hex_id: b.kind == Kind::ServiceNow,
        labels: original.labels,
        ..NewTicket::default()
    };
    b.state().create(copy, "mei.tanaka");
    let found = b.desk.find(&key("a")).await.unwrap();
    assert_eq!(found.iter().map(|s| &s.ticket).collect::<Vec<_>>(), vec![&created.ticket]);
}

async fn an_unknown_group_is_told(b: Bench) {
    b.state().set_groups(Some(["SAP Admins".to_owned()].into()));
    let mut lost = draft("a");
    lost.admin_group = "Nobody".to_owned();
    let refusal = b.desk.create(&lost).await.unwrap_err();
    assert!(matches!(&refusal, CallError::Reject { code: "E-GROUP", .. }), "{refusal}");
    assert_eq!(b.tickets_made(), 0);
    b.create("b").await;
    // The group goes away after we have learned its id.
    b.state().set_groups(Some(BTreeSet::new()));
    match b.desk.create(&draft("c")).await {
        Ok(created) => assert!(created.group_missed),
        Err(e) => assert_eq!(e.code(), "E-GROUP"),
    }
}

async fn one_bad_ticket_does_not_blind_the_batch(b: Bench) {
    let (kept, gone) = (b.create("a").await.ticket, b.create("b").await.ticket);
    b.state().change(&gone.id, |t, _| t.deleted = true);
    let bad = TicketRef { id: "../../myself".to_owned(), number: "X".to_owned() };
    let answers = b.desk.status(&[bad.clone(), gone.clone(), kept.clone()]).await.unwrap();
    let mut told: Vec<(&str, TicketRef)> = answers
        .into_iter()
        .map(|a| match a {
            StatusAnswer::Known(s) => ("known", s.ticket),
            StatusAnswer::Gone(t) => ("gone", t),
            StatusAnswer::Unreadable(t, _) => ("unreadable", t),
        })
        .collect();
    told.sort();
    assert_eq!(told, vec![("gone", gone), ("known", kept), ("unreadable", bad)]);
}

async fn closing_gives_category_and_outcome(b: Bench) {
    for outcome in Outcome::ALL {
        let ticket = b.create(outcome.as_str()).await.ticket;
        b.clock.advance_ms(60_000);
        b.state().change(&ticket.id, |t, now| close(t, "anna.berg", now, outcome, "x"));
        let status = status_of(&*b.desk, &ticket).await;
        assert_eq!((status.category, status.outcome), (Category::Closed, Some(outcome)));
        assert_eq!(status.closed_at, Some(b.state().now()));
    }
    let ticket = b.create("strange").await.ticket;
    b.state().change(&ticket.id, |t, now| {
        close(t, "anna.berg", now, Outcome::Fulfilled, "x");
        t.resolution = Some("Invented last week".to_owned());
    });
    let status = status_of(&*b.desk, &ticket).await;
    assert_eq!((status.category, status.outcome), (Category::Closed, None));
}

async fn an_unknown_status_is_never_taken_for_done(b: Bench) {
    let ticket = b.create("a").await.ticket;
    b.state().change(&ticket.id, |t, now| t.move_to(Stage::Odd("4711".to_owned()), "anna.berg", now));
    let status = status_of(&*b.desk, &ticket).await;
    assert_eq!((status.category, status.outcome), (Category::Unknown, None));
}

async fn a_reopened_ticket_is_open_again(b: Bench) {
    let ticket = b.create("a").await.ticket;
    b.state().change(&ticket.id, |t, now| close(t, "anna.berg", now, Outcome::Fulfilled, "x"));
    assert_eq!(status_of(&*b.desk, &ticket).await.category, Category::Closed);
    b.state().change(&ticket.id, |t, now| t.move_to(Stage::Working, "jonas.weber", now));
    let status = status_of(&*b.desk, &ticket).await;
    assert_eq!((status.category, status.outcome, status.closed_at), (Category::InProgress, None, None));
}

async fn a_reading_names_closer_and_words(b: Bench) {
    let ticket = b.create("a").await.ticket;
    b.clock.advance_ms(60_000);
    b.state().change(&ticket.id, |t, now| t.move_to(Stage::Working, "anna.berg", now));
    let started = b.state().now();
    let mark = Change::Comment { mark: "lmc-1".to_owned(), body: "ours".to_owned() };
    b.desk.amend(&ticket, &mark).await.unwrap();
    b.clock.advance_ms(60_000);
    let files = json!([{"filename": "proof.png", "content": "https://desk.example/files/1"}, {"filename": "log 2.txt"}]);
    b.state().change(&ticket.id, |t, _| drop(t.fields.insert("attachment".to_owned(), files)));
    b.state().change(&ticket.id, |t, now| close(t, "anna.berg", now, Outcome::Rejected, "No licence left."));
    let reading = b.desk.read(&ticket).await.unwrap();
    assert_eq!(reading.closer.as_ref().map(|p| p.id.as_str()), Some("anna.berg"));
    assert_eq!(reading.words.as_deref(), Some("No licence left."));
    assert_eq!(reading.first_work_at, Some(started));
    assert_eq!(reading.status.outcome, Some(Outcome::Rejected));
    assert!(!format!("{reading:?}").contains("licence"));
    let named: Vec<&str> = reading.evidence.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(named, ["proof.png", "log 2.txt"]);
    assert!(reading.evidence[0].url.as_deref().is_some_and(|url| url.starts_with("http")), "{:?}", reading.evidence);
    // Another ticket's files are not its own.
    let other = b.create("b").await.ticket;
    b.state().change(&other.id, |t, now| close(t, "anna.berg", now, Outcome::Fulfilled, "Done."));
    assert_eq!(b.desk.read(&other).await.unwrap().evidence, []);
}

async fn changes_with_equal_times_are_never_skipped(b: Bench) {
    let mark = b.state().now();
    for n in 0..230 {
        b.create(&n.to_string()).await;
    }
    b.clock.advance_ms(2_000);
    let late = b.create("late").await.ticket;
    let mut seen = BTreeSet::new();
    let mut at = mark;
    loop {
        let changes = b.desk.changed_since(at).await.unwrap();
        seen.extend(changes.rows.iter().map(|r| r.ticket.id.clone()));
        at = changes.next_mark.unwrap_or(at);
        if !changes.more {
            break;
        }
    }
    assert_eq!(seen.len(), 231);
    assert_eq!(at, b.state().now(), "the mark is what the desk itself said last");
    b.clock.advance_ms(86_400_000);
    b.state().change(&late.id, |t, now| t.move_to(Stage::Working, "anna.berg", now));
    let news = b.desk.changed_since(b.state().now().plus_ms(-1_000)).await.unwrap();
    assert_eq!(news.rows.iter().map(|r| (&r.ticket, r.category)).collect::<Vec<_>>(), vec![(&late, Category::InProgress)]);
    assert_eq!(b.desk.changed_since(b.state().now().plus_ms(86_400_000)).await.unwrap().next_mark, None);
}

/// The comparison of platform, ledger and desk goes through everything there ever was, and finds what nobody knows.
async fn what_a_desk_lists_is_everything_of_ours(b: Bench) {
    assert!(b.desk.info().lists);
    let mut made = BTreeMap::new();
    for n in 0..5 {
        let name = n.to_string();
        made.insert(b.create(&name).await.ticket.id, key(&name));
        b.clock.advance_ms(200 * 86_400_000);
    }
    let oldest = made.keys().next().unwrap().clone();
    b.state().change(&oldest, |t, now| close(t, "anna.berg", now, Outcome::Fulfilled, "Done."));
    let (mut listed, mut at) = (BTreeMap::new(), Timestamp(1_577_836_800_000));
    loop {
        let changes = b.desk.changed_since(at).await.unwrap();
        listed.extend(changes.rows.into_iter().filter_map(|row| Some((row.ticket.id, row.key?))));
        match changes.next_mark {
            Some(next) if changes.more && next > at => at = next,
            _ => break,
        }
    }
    assert_eq!(listed, made, "with their keys, closed or not, however old");
}

async fn a_comment_is_found_again_by_its_mark(b: Bench) {
    let ticket = b.create("a").await.ticket;
    assert!(!b.desk.has_mark(&ticket, "lmc-one").await.unwrap());
    let change = Change::Comment { mark: "lmc-one".to_owned(), body: "The date moved.".to_owned() };
    b.desk.amend(&ticket, &change).await.unwrap();
    assert!(b.desk.has_mark(&ticket, "lmc-one").await.unwrap());
    assert!(!b.desk.has_mark(&ticket, "lmc-two").await.unwrap());
    let comments = b.state().get(&ticket.id).unwrap().comments;
    assert!(comments[0].internal && comments[0].body.to_string().contains("The date moved."));
}

async fn a_withdrawn_ticket_is_closed_once(b: Bench) {
    let ticket = b.create("a").await.ticket;
    let change = Change::Close { mark: "lmc-end".to_owned(), body: "Withdrawn.".to_owned() };
    b.desk.amend(&ticket, &change).await.unwrap();
    assert!(b.desk.has_mark(&ticket, "lmc-end").await.unwrap());
    let status = status_of(&*b.desk, &ticket).await;
    assert_eq!((status.category, status.outcome), (Category::Closed, Some(Outcome::Cancelled)));
    let again = b.desk.amend(&ticket, &change).await.unwrap();
    assert_eq!(b.state().get(&ticket.id).unwrap().history.len(), 1, "closed is not closed again");
    // Where nobody says who closed it, the desk at least says that it was closed before.
    let says_who = b.desk.read(&ticket).await.unwrap().closed_by_us.is_some();
    assert!(says_who || again == Amended::WasClosed);
}

/// What cannot be said on a closed ticket is no reason to say that it could not be closed.
#[tokio::test]
async fn a_jira_that_lets_nobody_comment_on_closed_tickets_closes_them_all_the_same() {
    let b = Bench::new(Kind::JiraV3Cloud).await;
    let ticket = b.create("a").await.ticket;
    b.faults().set_closed_is_final(true);
    let comment = Change::Comment { mark: "lmc-word".to_owned(), body: "Changed.".to_owned() };
    b.desk.amend(&ticket, &comment).await.unwrap();
    let change = Change::Close { mark: "lmc-end".to_owned(), body: "Withdrawn.".to_owned() };
    b.desk.amend(&ticket, &change).await.unwrap();
    assert_eq!(status_of(&*b.desk, &ticket).await.category, Category::Closed);
    assert!(matches!(b.desk.amend(&ticket, &comment).await, Err(CallError::Reject { .. })), "a comment alone is refused");
}

async fn a_changed_order_stands_above_the_tickets_text_where_the_desk_allows_it(b: Bench) {
    let ticket = b.create("a").await.ticket;
    let change = Change::Text { body: "**Changed.** New text.".to_owned() };
    let (before, done) = (b.state().get(&ticket.id).unwrap(), b.desk.amend(&ticket, &change).await);
    if b.kind == Kind::Zammad {
        // It keeps the first text for ever: no trouble, the comment says it.
        assert!(matches!(done, Err(CallError::Reject { .. })), "{done:?}");
        return;
    }
    assert_eq!(done.unwrap(), Amended::Done);
    b.desk.amend(&ticket, &change).await.unwrap();
    let now = b.state().get(&ticket.id).unwrap();
    assert!(now.body.to_string().contains("New text."));
    assert_eq!((now.summary, now.comments.len()), (before.summary, before.comments.len()), "nothing else is touched");
    assert_eq!(status_of(&*b.desk, &ticket).await.key, Some(key("a")));
}

async fn a_refused_connection_may_be_repeated(b: Bench) {
    let Bench { desk, server, .. } = b;
    server.shutdown().await;
    let error = desk.create(&draft("a")).await.unwrap_err();
    assert!(matches!(error, CallError::Retry { code: "E-CONNECT", .. }), "{error}");
    assert!(matches!(desk.probe().await.unwrap_err(), CallError::Retry { code: "E-CONNECT", .. }));
}

async fn a_busy_desk_says_when(b: Bench) {
    b.faults().add(Target::Create, Harm::Busy(Some(7)), When::Next(1));
    let error = b.desk.create(&draft("a")).await.unwrap_err();
    assert!(matches!(error, CallError::Retry { after: Some(after), .. } if after == Duration::from_secs(7)), "{error}");
    assert_eq!(b.tickets_made(), 0);
    b.create("a").await;
}

async fn a_failed_create_is_unclear(b: Bench) {
    for (made, harm) in [(0, Harm::FailBefore), (1, Harm::FailAfter), (2, Harm::Lost)] {
        b.faults().add(Target::Create, harm, When::Next(1));
        let error = b.desk.create(&draft(&format!("{harm:?}"))).await.unwrap_err();
        assert!(matches!(error, CallError::Unclear { .. }), "{harm:?}: {error}");
        assert_eq!(b.tickets_made(), made);
        let found = b.desk.find(&key(&format!("{harm:?}"))).await.unwrap();
        assert_eq!(found.len(), usize::from(harm != Harm::FailBefore), "the key is the witness");
    }
    b.faults().add(Target::Search, Harm::FailBefore, When::Next(1));
    assert!(matches!(b.desk.find(&key("a")).await.unwrap_err(), CallError::Retry { .. }));
}

async fn a_sleeping_desk_is_never_success(b: Bench) {
    let ticket = b.create("a").await.ticket;
    b.faults().add(Target::Create, Harm::Html, When::Next(1));
    assert!(matches!(b.desk.create(&draft("b")).await.unwrap_err(), CallError::Unclear { code: "E-NOT-JSON", .. }));
    b.faults().add(Target::Any, Harm::Html, When::Always);
    for error in [
        b.desk.status(std::slice::from_ref(&ticket)).await.unwrap_err(),
        b.desk.find(&key("a")).await.unwrap_err(),
        b.desk.probe().await.unwrap_err(),
        b.desk.changed_since(Timestamp(0)).await.unwrap_err(),
        b.desk.read(&ticket).await.unwrap_err(),
    ] {
        assert!(matches!(error, CallError::Retry { code: "E-NOT-JSON", .. }), "{error}");
    }
}

async fn a_slow_desk_is_unclear_for_a_create_and_repeated_for_a_read(b: Bench) {
    let ticket = b.create("a").await.ticket;
    b.faults().add(Target::Any, Harm::Slow(20_000), When::Always);
    assert!(matches!(b.desk.read(&ticket).await.unwrap_err(), CallError::Retry { code: "E-TIMEOUT", .. }));
    b.faults().set(Vec::new());
    b.faults().add(Target::Create, Harm::Slow(20_000), When::Always);
    assert!(matches!(b.desk.create(&draft("b")).await.unwrap_err(), CallError::Unclear { code: "E-TIMEOUT", .. }));
}

async fn wrong_credentials_are_no_empty_list(b: Bench) {
    let ticket = b.create("a").await.ticket;
    std::fs::write(b.folder.path().join("token"), "not-it").unwrap();
    let stranger = b.desk_with(|text| text).unwrap();
    for error in [
        stranger.find(&key("a")).await.unwrap_err(),
        stranger.status(&[ticket]).await.unwrap_err(),
        stranger.changed_since(Timestamp(0)).await.unwrap_err(),
        stranger.probe().await.unwrap_err(),
        stranger.create(&draft("b")).await.unwrap_err(),
    ] {
        assert!(matches!(error, CallError::Retry { code: "E-AUTH", .. }), "{error}");
    }
    assert_eq!(stranger.check(&[]).await[0].grade, Grade::Bad);
}

async fn revoked_credentials_make_no_ticket_gone(b: Bench) {
    let ticket = b.create("a").await.ticket;
    assert_eq!(b.desk.find(&key("a")).await.unwrap().len(), 1);
    b.faults().set_revoked(true);
    for error in [
        b.desk.status(&[ticket]).await.unwrap_err(),
        b.desk.find(&key("a")).await.unwrap_err(),
        b.desk.changed_since(Timestamp(0)).await.unwrap_err(),
    ] {
        assert!(matches!(error, CallError::Retry { code: "E-AUTH", .. }), "{error}");
    }
}

async fn a_lagging_search_finds_it_later(b: Bench) {
    b.faults().set_search_lag_ms(90_000);
    let ticket = b.create("a").await.ticket;
    assert!(b.desk.find(&key("a")).await.unwrap().is_empty());
    assert_eq!(status_of(&*b.desk, &ticket).await.key, Some(key("a")), "a read by id does not lag");
    b.clock.advance_ms(90_000);
    assert_eq!(b.desk.find(&key("a")).await.unwrap().len(), 1);
}

pub fn signed(b: &Bench, ticket: &TicketRef, now: Timestamp) -> Inbound {
    let (id, number) = (&ticket.id, &ticket.number);
    let body = match b.kind {
        Kind::ServiceNow => {
            format!(r#"{{"table":"sc_task","sys_id":"{id}","number":"{number}","state":"3","correlation_id":"{}"}}"#, key("a"))
        }
        Kind::Zammad => format!(r#"{{"ticket":{{"id":"{id}","lastmile_key":"{}"}}}}"#, key("a")),
        Kind::JiraKeyInField => {
            let fields = format!(r#"{{"customfield_10060":"{}"}}"#, key("a"));
            format!(r#"{{"webhookEvent":"x","issue":{{"id":"{id}","key":"{number}","fields":{fields}}}}}"#)
        }
        _ => format!(r#"{{"webhookEvent":"x","issue":{{"id":"{id}","key":"{number}","fields":{{"labels":["{}"]}}}}}}"#, key("a")),
    };
    let mac = |text: &str| {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(HOOK_SECRET.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        mac.finalize().into_bytes()
    };
    let secs = (now.0 / 1000).to_string();
    let headers: BTreeMap<String, String> = match b.kind {
        Kind::ServiceNow => {
            let signature = base64::engine::general_purpose::STANDARD.encode(mac(&format!("{secs}.{body}")));
            [("x-lastmile-signature".to_owned(), signature), ("x-lastmile-timestamp".to_owned(), secs)].into()
        }
        Kind::Zammad => {
            let mut mac = Hmac::<sha1::Sha1>::new_from_slice(HOOK_SECRET.as_bytes()).unwrap();
            mac.update(body.as_bytes());
            [("x-hub-signature".to_owned(), format!("sha1={}", hex::encode(mac.finalize().into_bytes())))].into()
        }
        _ => [("x-hub-signature".to_owned(), format!("sha256={}", hex::encode(mac(&body))))].into(),
    };
    Inbound {
        method: "POST".to_owned(),
        path: "/hooks/desks/it".to_owned(),
        query: BTreeMap::new(),
        headers,
        body: body.into_bytes(),
        peer: None,
        client_certificate: None,
        received_at: now,
    }
}

async fn a_signed_hook_gives_a_hint_and_a_forged_one_is_refused(b: Bench) {
    let ticket = b.create("a").await.ticket;
    let now = b.state().now();
    let hints = b.desk.accept(signed(&b, &ticket, now), now).unwrap();
    assert_eq!(hints.len(), 1);
    assert_eq!((hints[0].ticket.as_ref().map(|t| &t.id), hints[0].key.as_ref()), (Some(&ticket.id), Some(&key("a"))));
    let mut forged = signed(&b, &ticket, now);
    forged.body.push(b' ');
    assert_eq!(b.desk.accept(forged, now), Err(Refusal::Signature));
    let deaf = b.desk_with(|text| {
        let before = text.split("[webhook]").next().unwrap_or_default();
        before.lines().filter(|l| !l.starts_with("webhook")).map(|l| format!("{l}\n")).collect()
    });
    assert!(deaf.unwrap().accept(signed(&b, &ticket, now), now).is_err());
}

async fn no_secret_is_shown(b: Bench) {
    let shown = format!("{:?}", b.desk);
    assert!(!shown.contains(TOKEN) && !shown.contains(HOOK_SECRET), "{shown}");
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("bridge:{TOKEN}"));
    assert!(!shown.contains(&pair), "{shown}");
}

async fn problems_of_the_file_name_their_line(b: Bench) {
    let secret = b.desk_with(|text| text.replace("file = \"token\"", "file = \"nowhere\"")).err().unwrap();
    assert!(secret[0].line > 1 && secret[0].message.contains("nowhere"), "{secret:?}");
    let typo = b.desk_with(|text| text.replace("timeout", "timeuot")).err().unwrap();
    assert_eq!(typo[0].help.as_deref(), Some("did you mean `timeout`?"));
    let url = b.desk_with(|text| text.replace("http://", "ftp://")).err().unwrap();
    assert!(url[0].line >= 1 && url[0].message.contains("https"), "{url:?}");
    let kind = lastmile::desk::build("it", &edge("kind = \"jria\"\n"), b.folder.path()).err().unwrap();
    assert_eq!((kind[0].line, kind[0].help.as_deref()), (1, Some("did you mean `jira`?")));
}

async fn a_check_names_what_is_missing(b: Bench) {
    b.state().set_groups(Some(["SAP Admins".to_owned()].into()));
    b.create("a").await;
    let findings = b.desk.check(&["SAP Admins".to_owned(), "Nobody".to_owned()]).await;
    let bad: Vec<_> = findings.iter().filter(|f| f.grade == Grade::Bad).collect();
    assert_eq!(bad.len(), 1, "{findings:?}");
    assert!(bad[0].what.contains("Nobody"));
}
