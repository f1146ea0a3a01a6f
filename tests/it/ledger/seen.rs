//! What the application itself shows: proof of an order, or a note of it.

use super::*;
use lastmile::ledger::Views;

async fn events(bed: &Bed, id: Id) -> Vec<String> {
    let detail = bed.ledger.assignment(id, &None, true).await.unwrap().unwrap();
    detail.journal.into_iter().map(|row| row.event).collect()
}

fn shown(event: &str, external_id: &str, after_s: i64) -> Receipt {
    let content = ReceiptContent::Seen {
        of: "idm".to_owned(),
        external_id: external_id.to_owned(),
        operation: None,
        at: Some(NOW.plus_secs(after_s)),
    };
    // The platform's sync may be a source of its own.
    Receipt { source: "sync".to_owned(), received_at: NOW.plus_secs(after_s + 60), ..receipt(event, content) }
}

async fn close(bed: &Bed, (ticket, number, external): (Id, &str, &str), outcome: Outcome, after_s: i64) {
    let news = closed(ticket, number, &key_of(&order(external, Operation::Grant)), outcome);
    assert_eq!(bed.ledger.observe(vec![news], NOW.plus_secs(after_s)).await.unwrap(), 1);
}

async fn report(bed: &Bed, after_s: i64) {
    let told = bed.lease("source/idm", NOW.plus_secs(after_s)).await;
    assert!(bed.settle(&told[0], NOW.plus_secs(after_s), End::Done).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_application_shows_after_the_report_proves_the_order_once() {
    let bed = bed().await;
    let (id, ticket) = bed.opened("e1", order("1", Operation::Grant), "IAM-1").await;
    close(&bed, (ticket, "IAM-1", "1"), Outcome::Fulfilled, 600).await;
    report(&bed, 700).await;
    assert_eq!(bed.record(vec![shown("s0", "9", 800)]).await, [Recorded::UnknownOrder]);
    assert_eq!(bed.record(vec![shown("s1", "1", 800)]).await, [Recorded::Seen { assignments: 1 }]);
    assert_eq!(bed.state(id).await, "proven");
    assert!(matches!(bed.record(vec![shown("s1", "1", 800)]).await[..], [Recorded::Repeat { .. }]));
    assert_eq!(bed.record(vec![shown("s2", "1", 900)]).await, [Recorded::Seen { assignments: 1 }], "it says so with each look");
    let detail = bed.ledger.assignment(id, &None, true).await.unwrap().unwrap();
    let proven: Vec<_> = detail.journal.iter().filter(|row| row.event == "proven").collect();
    assert_eq!(proven.len(), 1);
    let (row, seen) = (proven[0], NOW.plus_secs(800));
    assert_eq!((row.happened_at, row.seen_at, row.whose_clock.as_str()), (seen, seen.plus_secs(60), "sync"));
    assert_eq!(row.actor, "source/sync");
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_shown_before_the_report_proves_with_it_and_never_before_the_ticket() {
    let bed = bed().await;
    let (id, ticket) = bed.opened("e1", order("1", Operation::Grant), "IAM-1").await;
    bed.record(vec![shown("s0", "1", -900)]).await;
    assert_eq!(events(&bed, id).await.last().unwrap(), "seen_before");
    bed.record(vec![shown("s1", "1", 100), shown("s2", "1", 200)]).await;
    assert_eq!(bed.state(id).await, "open", "it is the ticket's closing that says so");
    close(&bed, (ticket, "IAM-1", "1"), Outcome::Fulfilled, 600).await;
    report(&bed, 700).await;
    assert_eq!(bed.state(id).await, "proven");
    let told = events(&bed, id).await;
    assert_eq!(told.iter().filter(|event| *event == "seen").count(), 1, "{told:?}");
    assert_eq!(told[told.len() - 2..], ["reported", "proven"]);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_against_the_outcome_proves_nothing() {
    let bed = bed().await;
    let (id, ticket) = bed.opened("e1", order("1", Operation::Grant), "IAM-1").await;
    close(&bed, (ticket, "IAM-1", "1"), Outcome::Rejected, 600).await;
    report(&bed, 700).await;
    bed.record(vec![shown("s1", "1", 800), shown("s2", "1", 900)]).await;
    assert_eq!(bed.state(id).await, "reported");
    assert_eq!(events(&bed, id).await.iter().filter(|event| *event == "seen").count(), 1);
    // Evidence of another operation of the order is none of this one.
    let mut other = shown("s3", "1", 950);
    if let ReceiptContent::Seen { operation, .. } = &mut other.content {
        *operation = Some(Operation::Revoke);
    }
    assert_eq!(bed.record(vec![other]).await, [Recorded::UnknownOrder]);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_that_is_opened_again_is_proven_anew_or_not_at_all() {
    let bed = bed().await;
    let (id, ticket) = bed.opened("e1", order("1", Operation::Grant), "IAM-1").await;
    bed.record(vec![shown("s1", "1", 100)]).await;
    close(&bed, (ticket, "IAM-1", "1"), Outcome::Fulfilled, 600).await;
    report(&bed, 700).await;
    assert_eq!(bed.state(id).await, "proven");
    let key = key_of(&order("1", Operation::Grant));
    let again = Observation::Seen { ticket_id: ticket, status: Box::new(status("IAM-1", &key, Category::InProgress, None)) };
    assert_eq!(bed.ledger.observe(vec![again], NOW.plus_secs(800)).await.unwrap(), 1);
    assert_eq!(bed.state(id).await, "rework");
    close(&bed, (ticket, "IAM-1", "1"), Outcome::Fulfilled, 900).await;
    report(&bed, 1_000).await;
    assert_eq!(bed.state(id).await, "reported", "what was seen before says nothing of the second closing");
    bed.chains_hold().await;
}
