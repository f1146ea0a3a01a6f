//! What every desk keeps at its edges: secrets, lengths, fields, and the ways in which a desk is no desk.

use base64::Engine;
use lastmile::desk::Desk;
use lastmile::http::CallError;
use lastmile::model::ticket::{Change, TicketRef};
use lastmile::model::{Outcome, Timestamp};
use lastmile::sandbox::admins::close;
use lastmile::sandbox::server::TOKEN;
use lastmile::sandbox::{Harm, Target, When};

use super::desk::{signed, status_of};
use super::desk_bench::{Bench, HOOK_SECRET, Kind, draft, key};

/// Every call of a desk, whatever becomes of it; the errors as people and logs would see them.
async fn every_call(desk: &dyn Desk, ticket: &TicketRef) -> String {
    let mut told = String::new();
    let mut note = |error: Option<CallError>| told.push_str(&error.map(|e| format!("{e} {e:?}\n")).unwrap_or_default());
    note(desk.create(&draft("x")).await.err());
    note(desk.find(&key("x")).await.err());
    note(desk.read(ticket).await.err());
    note(desk.changed_since(Timestamp(0)).await.err());
    note(desk.has_mark(ticket, "lmc-x").await.err());
    note(desk.probe().await.err());
    for change in [
        Change::Comment { mark: "lmc-x".to_owned(), body: "b".to_owned() },
        Change::Close { mark: "lmc-x".to_owned(), body: "b".to_owned() },
        Change::Text { body: "b".to_owned() },
    ] {
        note(desk.amend(ticket, &change).await.err());
    }
    match desk.status(std::slice::from_ref(ticket)).await {
        Ok(answers) => told.push_str(&format!("{answers:?}\n")),
        Err(e) => told.push_str(&format!("{e}\n")),
    }
    told.push_str(&format!("{:?}\n", desk.check(&["SAP Admins".to_owned()]).await));
    told
}

pub async fn no_secret_leaks_whatever_goes_wrong(b: Bench) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    tracing::info!("the log is heard");
    let ticket = b.create("a").await.ticket;
    let mut told = String::new();
    for harm in [Harm::Busy(None), Harm::FailBefore, Harm::FailAfter, Harm::Lost, Harm::Html, Harm::Redirect, Harm::Quote] {
        b.faults().set(Vec::new());
        b.faults().add(Target::Any, harm, When::Always);
        told.push_str(&every_call(&*b.desk, &ticket).await);
    }
    b.faults().set(Vec::new());
    b.faults().set_revoked(true);
    told.push_str(&every_call(&*b.desk, &ticket).await);
    let mut forged = signed(&b, &ticket, b.state().now());
    forged.body.push(b' ');
    told.push_str(&format!("{:?}", b.desk.accept(forged, b.state().now())));
    let Bench { desk, server, .. } = b;
    server.shutdown().await;
    told.push_str(&every_call(&*desk, &ticket).await);
    let logged = log.text();
    assert!(logged.contains("the log is heard") && told.contains("[redacted]"), "{told}");
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("bridge:{TOKEN}"));
    for secret in [TOKEN, HOOK_SECRET, &pair] {
        assert!(!logged.contains(secret), "a secret is in the log");
        assert!(!told.contains(secret), "a secret is in an error: {told}");
    }
}

pub async fn a_way_to_the_login_page_is_never_followed(b: Bench) {
    b.faults().add(Target::Create, Harm::Redirect, When::Next(1));
    let error = b.desk.create(&draft("a")).await.unwrap_err();
    assert!(matches!(error, CallError::Retry { code: "E-REDIRECT", .. }), "{error}");
    b.faults().add(Target::Search, Harm::Redirect, When::Next(1));
    assert!(matches!(b.desk.find(&key("a")).await.unwrap_err(), CallError::Retry { code: "E-REDIRECT", .. }));
    assert_eq!(b.tickets_made(), 0);
}

pub async fn a_key_that_cannot_be_written_is_told(b: Bench) {
    b.faults().set_key_field_hidden(true);
    match b.desk.create(&draft("a")).await {
        Err(error) => {
            assert!(matches!(&error, CallError::Reject { code: "E-KEY", .. }), "{error}");
            let field = if b.kind == Kind::JiraKeyInField { "customfield_10060" } else { "labels" };
            assert!(error.reason().contains(&format!("put `{field}` on the create screen of Task")), "{error}");
        }
        // Made without the key, as the real one does it: the read-back tells.
        Ok(created) => {
            assert!(!created.key_confirmed);
            assert_eq!(status_of(&*b.desk, &created.ticket).await.key, None);
        }
    }
}

pub async fn long_texts_are_cut_visibly(b: Bench) {
    let mut long = draft("a");
    long.summary = "summary ".repeat(100);
    long.body = "A line of the *body* that goes on.\n\n".repeat(5_000);
    let ticket = b.desk.create(&long).await.unwrap().ticket;
    let made = b.state().get(&ticket.id).unwrap();
    assert!(made.summary.chars().count() <= b.desk.info().max_summary && made.summary.ends_with('…'));
    let text = made.body.to_string();
    assert!(text.contains("shortened by lastmile"), "{}", &text[text.len() - 200..]);
    if let Some(text) = made.body.as_str() {
        assert!(text.chars().count() <= b.desk.info().max_body);
    }
}

/// What a ticket holds comes from its draft; the draft comes from the templates' allow-list.
pub async fn a_ticket_holds_what_the_draft_says_and_nothing_else(b: Bench) {
    let own = match b.kind {
        Kind::ServiceNow => "u_cost_centre",
        Kind::Zammad => "cost_centre",
        _ => "customfield_10070",
    };
    let mut with_field = draft("a");
    with_field.fields = [(own.to_owned(), serde_json::json!("4711")), ("summary".to_owned(), serde_json::json!("theirs"))].into();
    let ticket = b.desk.create(&with_field).await.unwrap().ticket;
    let made = b.state().get(&ticket.id).unwrap();
    assert_eq!(made.summary, "Grant role a");
    let keys =
        made.labels.iter().cloned().chain(made.fields.get("customfield_10060").and_then(|v| v.as_str()).map(str::to_owned));
    assert_eq!(keys.collect::<Vec<_>>(), [key("a").as_str()], "the key, once, and no other label");
    assert_eq!(made.group.as_deref(), Some("SAP Admins"));
    let further: Vec<&String> =
        made.fields.keys().filter(|f| !["issuetype", "priority", "customfield_10060"].contains(&f.as_str())).collect();
    assert!(further.iter().all(|f| *f == own), "{further:?}");
    assert_eq!(made.comments.len(), 0);
}

pub async fn an_admins_closing_is_never_closed_again(b: Bench) {
    let ticket = b.create("a").await.ticket;
    b.state().change(&ticket.id, |t, now| close(t, "anna.berg", now, Outcome::Fulfilled, "Was quick."));
    let change = Change::Close { mark: "lmc-end".to_owned(), body: "Withdrawn.".to_owned() };
    b.desk.amend(&ticket, &change).await.unwrap();
    let reading = b.desk.read(&ticket).await.unwrap();
    assert_eq!((reading.status.outcome, reading.closed_by_us), (Some(Outcome::Fulfilled), Some(false)));
    let other = b.create("b").await.ticket;
    b.desk.amend(&other, &change).await.unwrap();
    assert_eq!(b.desk.read(&other).await.unwrap().closed_by_us, Some(true));
}

/// A log that can be read again.
#[derive(Clone, Default)]
struct Log(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
