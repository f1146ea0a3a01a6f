//! Erasure by retention, and the checkpoints that tie the journal's chains together.

use lastmile::ledger::Views as _;

use super::*;

/// Names, addresses and words that must not outlive their retention.
const PERSONAL: [&str; 5] = ["Pat Example", "pat@company.example", "Alice Admin", "Done it.", "because of Zoe"];

impl Bed {
    /// Every column of every table that holds one of the words: `table.column`.
    async fn holding(&self, words: &[&str]) -> Vec<String> {
        let postgres = self.place.is_postgres();
        let columns = if postgres {
            "SELECT string_agg(table_name || '.' || column_name, ',') FROM information_schema.columns WHERE table_schema = current_schema()"
        } else {
            "SELECT group_concat(m.name || '.' || c.name) FROM sqlite_master AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table'"
        };
        let columns = self.text(columns).await;
        let places: Vec<String> = columns
            .split(',')
            .map(|place| {
                let (table, column) = place.split_once('.').unwrap();
                let held: Vec<String> = words.iter().map(|word| format!("CAST(\"{column}\" AS TEXT) LIKE '%{word}%'")).collect();
                format!("SELECT '{place}' AS place WHERE EXISTS (SELECT 1 FROM \"{table}\" WHERE {})", held.join(" OR "))
            })
            .collect();
        assert!(places.len() > 100, "every column is looked at");
        let all = if postgres { "string_agg(place, ',')" } else { "group_concat(place)" };
        let held = self.text(&format!("SELECT COALESCE({all}, '') FROM ({}) AS held", places.join(" UNION ALL "))).await;
        let mut held: Vec<String> = held.split(',').filter(|place| !place.is_empty()).map(str::to_owned).collect();
        held.sort();
        held
    }

    /// An order taken in, filed, closed and reported.
    async fn finished(&self, n: usize, person: &str, at: Timestamp) -> Id {
        let mut grant = order(&format!("{n}"), Operation::Grant);
        grant.beneficiary =
            Person { id: person.to_owned(), name: Some("Pat Example".to_owned()), email: Some("pat@company.example".to_owned()) };
        grant.reason = Some("because of Zoe".to_owned());
        let key = key_of(&grant);
        let taken = Receipt { received_at: at, ..takes(&format!("e{n}"), grant) };
        let Recorded::New { id } = self.record(vec![taken]).await[0] else { panic!("not new") };
        self.plan_all(at).await;
        let sent = self.lease("desk/desk", at).await.remove(0);
        let Load::Create { ticket_id, .. } = sent.load else { panic!("no create") };
        let number = format!("IAM-{n}");
        let refused =
            End::Retry { at, code: "E-SERVER".to_owned(), reason: "Pat Example is unknown".to_owned(), new_group: None };
        assert!(self.settle(&sent, at, refused).await);
        let sent = self.lease("desk/desk", at).await.remove(0);
        assert!(self.settle(&sent, at, filed(&number)).await);
        self.ledger.observe(vec![closed(ticket_id, &number, &key, Outcome::Fulfilled)], at).await.unwrap();
        let told = self.lease("source/idm", at.plus_secs(1)).await.remove(0);
        assert!(self.settle(&told, at.plus_secs(1), End::Done).await);
        id
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_personal_outlives_its_retention_and_the_chains_still_hold() {
    let bed = bed().await;
    let id = bed.finished(1, "p1", NOW).await;
    let held = receipt("q1", ReceiptContent::Unmappable { problem: "no /app".to_owned(), body: "\"Pat Example\"".to_owned() });
    let Recorded::Quarantined { id: event } = bed.record(vec![held]).await[0] else { panic!() };
    let before = bed.holding(&PERSONAL).await;
    for place in ["inbox.document", "person.name", "person.email", "ticket.words", "attempt.reason", "quarantine.body"] {
        assert!(before.iter().any(|p| p == place), "{place}: {before:?}");
    }
    // Nothing is old enough.
    assert_eq!(bed.ledger.erase(NOW.plus_secs(-1), NOW.plus_secs(-1)).await.unwrap(), 0);
    assert_eq!(bed.holding(&PERSONAL).await, before);

    // Bodies go first; names and words are of another class.
    let late = NOW.plus_secs(86_400);
    bed.ledger.erase(late, NOW.plus_secs(-1)).await.unwrap();
    let left = bed.holding(&PERSONAL).await;
    assert!(left.contains(&"person.name".to_owned()) && left.contains(&"ticket.words".to_owned()), "{left:?}");
    assert!(left.contains(&"quarantine.body".to_owned()), "what is held waits for somebody: {left:?}");

    assert_eq!(bed.ledger.act(Action::Discard { quarantined: event }, "olga", NOW).await.unwrap(), Acted::Done);
    bed.ledger.erase(late, late.plus_secs(700)).await.unwrap();
    assert_eq!(bed.holding(&PERSONAL).await, Vec::<String>::new());
    assert_eq!(bed.ledger.erase(late, late.plus_secs(700)).await.unwrap(), 0, "done again it does nothing");
    bed.chains_hold().await;
    let detail = bed.ledger.assignment(id, &None, true).await.unwrap().unwrap();
    assert_eq!((detail.row.beneficiary, detail.row.state.as_str()), (None, "reported"), "what happened is still told");
}

#[tokio::test(flavor = "multi_thread")]
async fn persons_and_bodies_of_unfinished_orders_are_kept() {
    let bed = bed().await;
    bed.finished(1, "p1", NOW).await;
    let mut other = order("2", Operation::Grant);
    other.beneficiary = Person { id: "p2".to_owned(), name: Some("Quin Open".to_owned()), email: None };
    bed.opened("e2", other, "IAM-2").await;
    let late = NOW.plus_secs(86_400);
    bed.ledger.erase(late, late).await.unwrap();
    let open = bed.holding(&["Quin Open"]).await;
    assert_eq!(open, ["inbox.document", "person.name"], "somebody still works for them");
    assert_eq!(bed.holding(&["Pat Example"]).await, Vec::<String>::new());
    bed.chains_hold().await;
}

/// Ordered long ago and finished lately: the name is needed as long as the rest of the order.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_outlives_the_draft_it_stands_in() {
    let bed = bed().await;
    let grant = order("1", Operation::Grant);
    let key = key_of(&grant);
    let (_, ticket_id) = bed.opened("e1", grant, "IAM-1").await;
    let (year, erased) = (NOW.plus_secs(365 * 86_400), "SELECT COUNT(*) FROM person WHERE erased_at IS NOT NULL");
    let mut late = closed(ticket_id, "IAM-1", &key, Outcome::Fulfilled);
    if let Observation::Closed { reading, .. } = &mut late {
        reading.status.closed_at = Some(year);
    }
    bed.ledger.observe(vec![late], year).await.unwrap();
    bed.told_all(year.plus_secs(1)).await;
    bed.ledger.erase(year, year).await.unwrap();
    assert_eq!((bed.text(erased).await, bed.text("SELECT COUNT(*) FROM ticket_draft").await), ("0".to_owned(), "1".to_owned()));
    bed.chains_hold().await;
    let later = year.plus_secs(86_400);
    bed.ledger.erase(later, later).await.unwrap();
    assert_eq!((bed.text(erased).await, bed.text("SELECT COUNT(*) FROM ticket_draft").await), ("2".to_owned(), "0".to_owned()));
    bed.chains_hold().await;
}

impl Bed {
    async fn told_all(&self, at: Timestamp) {
        for told in self.lease("source/idm", at).await {
            assert!(self.settle(&told, at, End::Done).await);
        }
    }
}

/// Tickets that never came to be or are gone, calls that were given up or still wait for somebody: their orders are over.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_carried_out_is_erased_with_its_order() {
    let bed = bed().await;
    let named = |n: usize| {
        let mut of = order(&format!("{n}"), Operation::Grant);
        of.entitlement = Some(Named { id: format!("role-{n}"), name: "Role".to_owned() });
        of.beneficiary.id = format!("p{n}");
        of.reason = Some("because of Zoe".to_owned());
        of
    };
    // Taken back while its create was under way, which was refused then.
    let Recorded::New { id } = bed.record(vec![takes("e1", named(1))]).await[0] else { panic!() };
    bed.plan_all(NOW).await;
    let sent = bed.lease("desk/desk", NOW).await.remove(0);
    bed.record(vec![receipt("w1", ReceiptContent::Withdrawn { external_id: "1".to_owned(), operation: None })]).await;
    let failed = End::Retry { at: NOW, code: "E-SERVER".to_owned(), reason: "Pat Example".to_owned(), new_group: None };
    assert!(bed.settle(&sent, NOW, failed).await);
    assert_eq!((bed.state(id).await, bed.text("SELECT state FROM ticket").await), ("closed".to_owned(), "dropped".to_owned()));
    // Gone from the desk, and decided by a person.
    let (gone, ticket_id) = bed.opened("e2", named(2), "IAM-2").await;
    bed.ledger.observe(vec![Observation::Gone { ticket_id }], NOW).await.unwrap();
    let decide = Action::Decide { assignment: gone, outcome: Outcome::Fulfilled, reason: "because of Zoe".to_owned() };
    assert_eq!(bed.ledger.act(decide, "olga", NOW).await.unwrap(), Acted::Done);
    bed.told_all(NOW.plus_secs(1)).await;
    // Its report was refused; then the ticket was opened again, and closed.
    let (_, ticket_id) = bed.opened("e3", named(3), "IAM-3").await;
    let key = key_of(&named(3));
    bed.ledger.observe(vec![closed(ticket_id, "IAM-3", &key, Outcome::Fulfilled)], NOW).await.unwrap();
    let refused = || End::Park { code: "E-REFUSED".to_owned(), reason: "Pat Example is unknown".to_owned() };
    let told = bed.lease("source/idm", NOW.plus_secs(1)).await.remove(0);
    assert!(bed.settle(&told, NOW.plus_secs(1), refused()).await);
    let reopened = Observation::Seen { ticket_id, status: Box::new(status("IAM-3", &key, Category::Open, None)) };
    bed.ledger.observe(vec![reopened], NOW.plus_secs(2)).await.unwrap();
    bed.ledger.observe(vec![closed(ticket_id, "IAM-3", &key, Outcome::Fulfilled)], NOW.plus_secs(3)).await.unwrap();
    bed.told_all(NOW.plus_secs(4)).await;
    // What changed was refused by the desk, and nobody looked at it.
    let (_, ticket_id) = bed.opened("e4", named(4), "IAM-4").await;
    let mut changed = named(4);
    changed.reason = Some("because of Zoe Quill".to_owned());
    bed.record(vec![takes("e5", changed)]).await;
    bed.plan_all(NOW.plus_secs(5)).await;
    let calls = bed.lease("desk/desk", NOW.plus_secs(5)).await;
    assert!(!calls.is_empty());
    for call in calls {
        assert!(bed.settle(&call, NOW.plus_secs(5), refused()).await);
    }
    bed.ledger.observe(vec![closed(ticket_id, "IAM-4", &key_of(&named(4)), Outcome::Fulfilled)], NOW.plus_secs(6)).await.unwrap();
    bed.told_all(NOW.plus_secs(7)).await;
    // And one that is still under way.
    bed.opened("e6", named(6), "IAM-6").await;
    let held = bed
        .text("SELECT COUNT(*) FROM errand WHERE state IN ('dropped', 'parked') AND body IS NOT NULL OR reason LIKE '%Pat%'")
        .await;
    assert_ne!(held, "0");
    let late = NOW.plus_secs(86_400);
    bed.ledger.erase(late, NOW.plus_secs(3)).await.unwrap();
    let drafted = "SELECT COUNT(*) FROM ticket AS t JOIN ticket_draft AS d ON d.id = t.id WHERE ref_number = 'IAM-4'";
    assert_ne!(bed.text(drafted).await, "0", "not yet");
    bed.ledger.erase(late, late).await.unwrap();
    assert_eq!(bed.text("SELECT COUNT(*) FROM ticket_draft").await, "1", "somebody still works on it");
    let left = bed.text("SELECT COUNT(*) FROM errand WHERE body IS NOT NULL OR reason IS NOT NULL").await;
    assert_eq!(left, "0");
    assert_eq!(bed.text("SELECT COUNT(*) FROM errand WHERE done_at IS NULL AND state = 'dropped'").await, "0");
    bed.chains_hold().await;
}

/// More rows than one page holds, so that every page is gone through, and the empty ones in between are no end.
#[tokio::test(flavor = "multi_thread")]
async fn erasing_goes_through_every_page() {
    const EVENTS: usize = 2_500;
    let bed = bed().await;
    let many: Vec<Receipt> = (0..EVENTS)
        .map(|n| {
            let of = Assignment {
                beneficiary: Person { id: format!("p{n}"), name: Some("Pat Example".to_owned()), email: None },
                ..order(&format!("{n}"), Operation::Grant)
            };
            takes(&format!("e{n}"), of)
        })
        .collect();
    bed.record(many).await;
    // Only the last ones are finished: whole pages before them have nothing to erase.
    let taken_back: Vec<Receipt> = (EVENTS - 3..EVENTS)
        .map(|n| receipt(&format!("w{n}"), ReceiptContent::Withdrawn { external_id: n.to_string(), operation: None }))
        .collect();
    bed.record(taken_back).await;
    for told in bed.lease("source/idm", NOW.plus_secs(1)).await {
        assert!(bed.settle(&told, NOW.plus_secs(1), End::Done).await);
    }
    let late = NOW.plus_secs(86_400);
    bed.ledger.erase(late, late).await.unwrap();
    assert_eq!(bed.text("SELECT COUNT(*) FROM inbox WHERE document IS NULL AND answer = 'new'").await, "3");
    assert_eq!(bed.text("SELECT COUNT(*) FROM inbox WHERE document IS NOT NULL").await, (EVENTS - 3).to_string());
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_ties_what_grew_and_tells_the_one_before() {
    let bed = bed().await;
    assert_eq!(bed.ledger.checkpoint(NOW).await.unwrap(), None, "nothing was written yet");
    bed.finished(1, "p1", NOW).await;
    let first = bed.ledger.checkpoint(NOW.plus_secs(600)).await.unwrap().unwrap();
    assert_eq!(first.len(), 64);
    assert_eq!(bed.ledger.checkpoint(NOW.plus_secs(1_200)).await.unwrap(), None, "nothing grew since");
    let at = NOW.plus_secs(2_000);
    bed.finished(2, "p2", at).await;
    let second = bed.ledger.checkpoint(at.plus_secs(600)).await.unwrap().unwrap();
    assert_ne!(first, second);
    assert_eq!(bed.text("SELECT COUNT(*) FROM checkpoint WHERE assignments = 1").await, "2", "each ties what grew");

    // The same orders after another first head give another second head: they are one chain.
    let other = super::bed().await;
    other.finished(2, "p2", at).await;
    assert_ne!(other.ledger.checkpoint(at.plus_secs(600)).await.unwrap().unwrap(), second);
}
