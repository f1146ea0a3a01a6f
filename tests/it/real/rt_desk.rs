//! The shipped declaration before a real Request Tracker.

use lastmile::desk::{Desk, Level, StatusAnswer};
use lastmile::http::CallError;
use lastmile::model::clock::SystemClock;
use lastmile::model::finding::Grade;
use lastmile::model::key::Key;
use lastmile::model::ticket::{Category, Change, Draft, TicketRef, TicketStatus};
use lastmile::model::{Clock, Outcome};
use serde_json::json;

use super::rt::Rt;

fn key(name: &str) -> Key {
    Key::of("rt-trial", &[name], 1)
}

fn draft(name: &str, queue: &str) -> Draft {
    Draft {
        key: key(name),
        admin_group: queue.to_owned(),
        summary: format!("Grant \"{name}\" to Ürsula"),
        body: "Please grant **SAP_FI**.\n\n- first\n- second".to_owned(),
        priority: 1,
        due_at: None,
        fields: [("SourceSystem".to_owned(), json!("lastmile"))].into(),
    }
}

async fn status_of(desk: &dyn Desk, ticket: &TicketRef) -> TicketStatus {
    match desk.status(std::slice::from_ref(ticket)).await.unwrap().remove(0) {
        StatusAnswer::Known(status) => *status,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_ticket_lives_its_life_in_request_tracker() {
    let mut rt = match Rt::shared().await {
        Ok(rt) => rt,
        Err(why) => return super::skipped(why),
    };
    let before = rt.tickets_of_the_bridge().await.len();
    let desk = rt.desk();
    assert_eq!(desk.info().level, Level::D2);
    desk.probe().await.unwrap();
    let mark = SystemClock.now();
    let ticket = created_and_found(&rt, &*desk).await;
    closed_by_alice(&mut rt, &*desk, &ticket, mark).await;
    amended_and_withdrawn(&*desk).await;
    oddities(&rt, &*desk, &ticket).await;
    assert_eq!(rt.tickets_of_the_bridge().await.len(), before + 3);
    let findings = desk.check(&["SAP".to_owned(), "Nowhere".to_owned()]).await;
    let bad: Vec<_> = findings.iter().filter(|f| f.grade == Grade::Bad).map(|f| f.what.as_str()).collect();
    assert_eq!(bad, ["queue Nowhere"]);
}

async fn created_and_found(rt: &Rt, desk: &dyn Desk) -> TicketRef {
    let mut with_date = draft("a", "SAP");
    with_date.due_at = Some(SystemClock.now().plus_secs(86_400));
    let created = desk.create(&with_date).await.unwrap();
    desk.create(&draft("b", "SAP")).await.unwrap();
    assert!(!created.group_missed);
    assert!(created.url.unwrap().ends_with(&format!("Display.html?id={}", created.ticket.id)));
    let found = desk.find(&key("a")).await.unwrap();
    assert_eq!(found.iter().map(|f| &f.ticket).collect::<Vec<_>>(), [&created.ticket]);
    assert!(desk.find(&key("never")).await.unwrap().is_empty());
    let status = status_of(desk, &created.ticket).await;
    assert_eq!(status, found[0]);
    assert_eq!((status.category, status.outcome, status.assigned, status.closed_at), (Category::Open, None, false, None));
    assert_eq!(status.key, Some(key("a")));
    assert_eq!(status.group.as_deref(), Some("SAP"));
    assert!(desk.is_own_account(status.created_by.as_deref()).await);
    let raw = rt.alice("GET", &format!("/ticket/{}", created.ticket.id), json!(null)).await.json().unwrap();
    assert_eq!(raw["Subject"], "Grant \"a\" to Ürsula");
    assert!(raw.to_string().contains("lastmile"), "the application's own field arrived");
    assert!(!raw["Due"].as_str().unwrap().starts_with("1970"));
    created.ticket
}

async fn closed_by_alice(rt: &mut Rt, desk: &dyn Desk, ticket: &TicketRef, mark: lastmile::model::Timestamp) {
    rt.alice("PUT", &format!("/ticket/{}", ticket.id), json!({"Status": "open", "Owner": "alice"})).await;
    let status = status_of(desk, ticket).await;
    assert_eq!((status.category, status.assigned), (Category::InProgress, true));
    let words = json!({"Content": "Role granted – done ✓", "ContentType": "text/plain", "Status": "resolved"});
    rt.alice("POST", &format!("/ticket/{}/comment", ticket.id), words).await;
    let changes = desk.changed_since(mark).await.unwrap();
    let row = changes.rows.iter().rfind(|r| &r.ticket == ticket).expect("the change is listed");
    assert_eq!((row.category, row.outcome, row.key.as_ref()), (Category::Closed, Some(Outcome::Fulfilled), Some(&key("a"))));
    assert!(row.closed_at.is_some() && changes.next_mark >= row.closed_at && !changes.more);
    let reading = desk.read(ticket).await.unwrap();
    let closer = reading.closer.unwrap();
    assert_eq!((closer.id.as_str(), closer.name.as_deref()), ("alice", Some("Alice Admin")));
    assert_eq!(reading.words.as_deref(), Some("Role granted – done ✓"));
    assert!(reading.first_work_at.is_some());
    // RT sent a webhook for each of these changes; every one is authentic and names the ticket and its key.
    let hook = rt.hook().await;
    let hints = desk.accept(hook.clone(), SystemClock.now()).unwrap();
    assert_eq!((hints[0].ticket.as_ref().map(|t| &t.id), hints[0].key.as_ref()), (Some(&ticket.id), Some(&key("a"))));
    let mut forged = hook;
    forged.body.push(b' ');
    assert!(desk.accept(forged, SystemClock.now()).is_err());
}

async fn amended_and_withdrawn(desk: &dyn Desk) {
    let ticket = desk.create(&draft("c", "Network")).await.unwrap().ticket;
    assert!(!desk.has_mark(&ticket, "lmc-one").await.unwrap());
    let comment = Change::Comment { mark: "lmc-one".to_owned(), body: "The date *moved*.".to_owned() };
    desk.amend(&ticket, &comment).await.unwrap();
    assert!(desk.has_mark(&ticket, "lmc-one").await.unwrap());
    assert!(!desk.has_mark(&ticket, "lmc-two").await.unwrap());
    let text = Change::Text { body: "New text".to_owned() };
    assert!(matches!(desk.amend(&ticket, &text).await, Err(CallError::Reject { .. })), "RT keeps the first text");
    let close = Change::Close { mark: "lmc-end".to_owned(), body: "Withdrawn.".to_owned() };
    desk.amend(&ticket, &close).await.unwrap();
    assert!(desk.has_mark(&ticket, "lmc-end").await.unwrap());
    assert_eq!(status_of(desk, &ticket).await.category, Category::Closed);
}

async fn oddities(rt: &Rt, desk: &dyn Desk, ticket: &TicketRef) {
    let refusal = desk.create(&draft("d", "Nowhere")).await.unwrap_err();
    assert!(matches!(refusal, CallError::Reject { code: "E-GROUP", .. }), "{refusal}");
    let odd = |id: &str| TicketRef { id: id.to_owned(), number: id.to_owned() };
    let answers = desk.status(&[odd("999999"), ticket.clone(), odd("1 OR id > 0")]).await.unwrap();
    assert_eq!(answers.len(), 3);
    assert!(matches!(&answers[0], StatusAnswer::Known(s) if s.ticket == *ticket));
    assert!(answers.iter().any(|a| matches!(a, StatusAnswer::Gone(t) if t.id == "999999")));
    assert!(answers.iter().any(|a| matches!(a, StatusAnswer::Unreadable(t, _) if t.id == "1 OR id > 0")));
    // An admin deletes the key: the ticket is not believed to be ours any more, and nothing else is found for it.
    let strip = json!({"CustomFields": {"CorrelationId": ""}});
    rt.alice("PUT", &format!("/ticket/{}", ticket.id), strip).await;
    assert_eq!(status_of(desk, ticket).await.key, None);
    assert!(desk.find(&key("a")).await.unwrap().is_empty());
}
