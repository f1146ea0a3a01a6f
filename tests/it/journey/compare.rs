//! Platform, ledger and desks compared: every way in which they may disagree is found, and mended by one act.

use lastmile::flow::reconcile::{self, Stepped};
use lastmile::ledger::compare::{FindingKind, FindingRow};
use lastmile::ledger::{Acted, Action};
use lastmile::sandbox::desk_state::{NewTicket, Ticket};

use super::*;

impl Bed {
    /// A whole comparison of every edge; what waits then.
    async fn compare(&self) -> Vec<FindingRow> {
        let (setup, ledger, clock) = (self.bridge.setup.load_full(), &*self.bridge.ledger, &*self.clock);
        for edge in setup.edges() {
            assert!(reconcile::begin(ledger, &edge, clock.now()).await.unwrap());
            assert!(!reconcile::begin(ledger, &edge, clock.now()).await.unwrap(), "one at a time");
        }
        for desk in setup.desks.values() {
            while reconcile::desk_step(ledger, &**desk, clock).await.unwrap() == Stepped::More {}
        }
        for source in setup.sources.values() {
            while reconcile::source_step(ledger, &**source, clock).await.unwrap() == Stepped::More {}
        }
        ledger.findings(&None, 100).await.unwrap()
    }

    async fn repair(&self, finding: &FindingRow) -> Acted {
        let (setup, now) = (self.bridge.setup.load_full(), self.clock.now());
        reconcile::repair(&*self.bridge.ledger, &setup, finding.id, "olga", now).await.unwrap()
    }

    /// Open tickets on both desks, one of each at least, nothing to disagree about.
    async fn open_on_both(&self) -> Vec<String> {
        let mut ids = Vec::new();
        for n in 1..=8 {
            ids.push(self.order(n).await.0);
            self.all_delivered();
        }
        self.rounds(8).await;
        let on = |desk: &SandboxDesk| desk.state().created_by(USER);
        assert!(on(&self.jira) > 0 && on(&self.servicenow) > 0, "both desks take part");
        self.clock.advance_ms(3_600_000);
        assert_eq!(kinds(&self.compare().await), [], "nothing disagrees");
        ids
    }

    fn desks(&self) -> [&SandboxDesk; 2] {
        [&self.jira, &self.servicenow]
    }
}

fn kinds(found: &[FindingRow]) -> Vec<FindingKind> {
    let mut kinds: Vec<FindingKind> = found.iter().map(|f| f.kind).collect();
    kinds.sort();
    kinds
}

/// A second ticket like the first.
fn copy(desk: &SandboxDesk, of: &Ticket, by: &str) -> Ticket {
    let new = NewTicket {
        place: of.place.clone(),
        prefix: of.number.trim_end_matches(|c: char| c.is_ascii_digit()).to_owned(),
        hex_id: of.id.len() == 32,
        summary: of.summary.clone(),
        body: of.body.clone(),
        group: of.group.clone(),
        labels: of.labels.clone(),
        fields: of.fields.clone(),
    };
    desk.state().create(new, by)
}

/// Left by another version, or damaged: it is no comparison that runs, and the next one begins anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_cannot_be_read_holds_up_no_comparison() {
    let bed = Bed::new().await;
    let (ledger, now) = (&*bed.bridge.ledger, bed.clock.now());
    for edge in bed.bridge.setup.load().edges() {
        assert!(ledger.move_cursor(&format!("compare/{edge}"), None, "{\"phase\":\"of_the_future\"}", now).await.unwrap());
        assert!(!reconcile::summary(ledger, &edge).await.unwrap().running, "nobody works on it");
    }
    assert_eq!(kinds(&bed.compare().await), []);
    for edge in bed.bridge.setup.load().edges() {
        assert!(reconcile::summary(ledger, &edge).await.unwrap().at.is_some(), "{edge}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_ticket_is_searched_and_filed_again_under_the_same_key() {
    let bed = Bed::new().await;
    bed.open_on_both().await;
    let before = bed.created();
    for desk in bed.desks() {
        let first = desk.state().all()[0].clone();
        desk.state().change(&first.id, |t, _| t.deleted = true);
    }
    let found = bed.compare().await;
    assert_eq!(kinds(&found), [FindingKind::Lost; 2]);
    assert!(found.iter().all(|f| f.repair.is_some() && f.application.is_some()));
    assert_eq!(kinds(&bed.compare().await), [FindingKind::Lost; 2], "found again is the same finding");
    for finding in &found {
        assert_eq!(bed.repair(finding).await, Acted::Done);
        assert!(matches!(bed.repair(finding).await, Acted::NotNow(_)), "once is enough");
    }
    bed.rounds(20).await;
    assert_eq!(bed.created(), before + 2);
    for desk in bed.desks() {
        let all = desk.state().all();
        let key = |t: &Ticket| t.labels.iter().find(|l| l.starts_with("lm-")).cloned().unwrap();
        assert_eq!(all.iter().filter(|t| !t.deleted && key(t) == key(&all[0])).count(), 1, "the same key again");
    }
    bed.clock.advance_ms(3_600_000);
    assert_eq!(kinds(&bed.compare().await), []);
    bed.close_all(Outcome::Fulfilled, "Done.");
    bed.rounds(8).await;
    assert_eq!(bed.platform.state().counts().further, 0);
    bed.chains_hold().await;
}

/// It was hidden from our account when the comparison looked, and is there when the repair does.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_that_is_there_after_all_is_not_filed_twice() {
    let bed = Bed::new().await;
    bed.open_on_both().await;
    let before = bed.created();
    let first = bed.servicenow.state().all()[0].clone();
    bed.servicenow.state().change(&first.id, |t, _| t.deleted = true);
    let found = bed.compare().await;
    assert_eq!(kinds(&found), [FindingKind::Lost]);
    bed.servicenow.state().undelete(&first.id);
    assert_eq!(bed.repair(&found[0]).await, Acted::Done);
    bed.rounds(20).await;
    assert_eq!(bed.created(), before, "its search by key found it");
    assert_eq!(kinds(&bed.compare().await), []);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untouched_double_of_ours_is_closed_and_what_others_made_or_touched_is_left_alone() {
    let bed = Bed::new().await;
    bed.open_on_both().await;
    let mut doubles = Vec::new();
    for desk in bed.desks() {
        let first = desk.state().all()[0].clone();
        doubles.push((desk, copy(desk, &first, USER).id));
    }
    let cloned = copy(&bed.jira, &bed.jira.state().all()[0].clone(), "alice");
    let found = bed.compare().await;
    // Jira lists what our account made; ServiceNow what carries a key.
    assert_eq!(kinds(&found), [FindingKind::Double; 2]);
    assert!(found.iter().all(|f| f.subject != cloned.id && f.repair.is_some()));
    // One of them is taken in hand after the comparison.
    let (desk, id) = &doubles[0];
    desk.state().change(id, |t, _| t.assignee = Some("alice".to_owned()));
    for finding in &found {
        let acted = bed.repair(finding).await;
        assert_eq!(acted == Acted::Done, finding.subject != *id, "{acted:?}");
    }
    bed.rounds(3).await;
    let closed = |(desk, id): &(&SandboxDesk, String)| desk.state().get(id).unwrap().closed_at.is_some();
    assert_eq!(doubles.iter().map(closed).collect::<Vec<_>>(), [false, true]);
    bed.chains_hold().await;
}

/// Its closing waits for its turn, and meanwhile an admin takes the double: it is looked at once more, and left to them.
#[tokio::test(flavor = "multi_thread")]
async fn a_double_that_is_taken_before_its_closing_is_sent_stays_open() {
    let bed = Bed::new().await;
    bed.open_on_both().await;
    let doubles = bed.desks().map(|desk| (desk, copy(desk, &desk.state().all()[0].clone(), USER).id));
    for finding in &bed.compare().await {
        assert_eq!(bed.repair(finding).await, Acted::Done, "untouched");
    }
    for (desk, id) in &doubles {
        desk.state().change(id, |t, _| t.assignee = Some("alice".to_owned()));
    }
    bed.rounds(3).await;
    for (desk, id) in &doubles {
        let double = desk.state().get(id).unwrap();
        assert_eq!((double.closed_at, double.comments.len()), (None, 0), "nobody wrote into it");
    }
    let strays = bed.bridge.ledger.operations(&None, false, 10).await.unwrap().strays;
    let actions: Vec<_> = strays.iter().map(|s| s.action.as_str()).collect();
    assert_eq!(actions, ["reported: somebody touched it after it was found"; 2]);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_of_no_order_is_only_dismissed_and_stays_dismissed() {
    let bed = Bed::new().await;
    bed.open_on_both().await;
    let mut other = bed.jira.state().all()[0].clone();
    other.labels = vec!["lm-aaaaaaaaaaaaaaaaaaaaaaaa".to_owned()];
    copy(&bed.jira, &other, USER);
    let found = bed.compare().await;
    assert_eq!((kinds(&found), found[0].repair.clone()), (vec![FindingKind::Orphan], None));
    assert!(matches!(bed.repair(&found[0]).await, Acted::NotNow(_)));
    let now = bed.clock.now();
    assert_eq!(bed.bridge.ledger.act(Action::Dismiss { finding: found[0].id }, "olga", now).await.unwrap(), Acted::Done);
    assert_eq!(kinds(&bed.compare().await), []);
    bed.chains_hold().await;
}

/// The ticket was deleted, and made anew under the same key by hand of our account: a person says that it is the one.
#[tokio::test(flavor = "multi_thread")]
async fn an_orphan_of_an_order_whose_ticket_is_gone_is_adopted() {
    let bed = Bed::new().await;
    let ids = bed.open_on_both().await;
    let first = bed.jira.state().all()[0].clone();
    bed.jira.state().change(&first.id, |t, _| t.deleted = true);
    let setup = bed.bridge.setup.load_full();
    sync::full_pass(&*bed.bridge.ledger, &*setup.desks["jira"], bed.clock.now(), &*bed.clock).await.unwrap();
    let anew = copy(&bed.jira, &first, USER);
    let found = bed.compare().await;
    assert_eq!(kinds(&found), [FindingKind::Orphan, FindingKind::Lost]);
    let orphan = found.iter().find(|f| f.kind == FindingKind::Orphan).unwrap();
    assert_eq!(bed.repair(orphan).await, Acted::Done);
    let lost = found.iter().find(|f| f.kind == FindingKind::Lost).unwrap();
    assert!(matches!(bed.repair(lost).await, Acted::NotNow(_)), "its order has a ticket again");
    bed.rounds(2).await;
    bed.jira.state().change(&anew.id, |t, now| admins::close(t, "alice", now, Outcome::Rejected, "No."));
    bed.rounds(4).await;
    let told: Vec<_> = ids.iter().flat_map(|id| bed.platform.state().completions_of(id)).collect();
    assert_eq!(told.iter().map(|c| c["outcome"].as_str().unwrap()).collect::<Vec<_>>(), ["rejected"]);
    assert_eq!(kinds(&bed.compare().await), []);
    bed.chains_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closing_that_sync_missed_is_read_now() {
    let bed = Bed::new().await;
    let ids = bed.open_on_both().await;
    // The mark of the last sync already lies behind it: a restored ledger, or a desk that lied about its time.
    let mut closed = 0;
    for desk in bed.desks() {
        let first = desk.state().all()[0].clone();
        desk.state().change(&first.id, |t, now| admins::close(t, "alice", now, Outcome::Fulfilled, "Done."));
        closed += 1;
    }
    assert_eq!(kinds(&bed.compare().await), [], "so fresh that it is sync's affair");
    bed.clock.advance_ms(20 * 60_000);
    let found = bed.compare().await;
    assert_eq!(kinds(&found), [FindingKind::ClosedThere; 2]);
    let setup = bed.bridge.setup.load_full();
    for finding in &found {
        assert_eq!(bed.repair(finding).await, Acted::Done);
    }
    for desk in setup.desks.values() {
        assert!(sync::read_back(&*bed.bridge.ledger, &**desk, &*bed.clock).await.unwrap() >= 1);
    }
    for source in setup.sources.values() {
        complete::step(&*bed.bridge.ledger, &setup, &**source, &bed.worker, &*bed.clock).await.unwrap();
    }
    assert_eq!(ids.iter().flat_map(|id| bed.platform.state().completions_of(id)).count(), closed);
    assert_eq!(kinds(&bed.compare().await), []);
    bed.chains_hold().await;
}

/// A disagreement that ends by itself is over; one that comes back is news.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_found_any_more_is_over_and_a_restart_goes_on_from_the_same_place() {
    let mut bed = Bed::new().await;
    bed.open_on_both().await;
    let first = bed.jira.state().all()[0].clone();
    bed.jira.state().change(&first.id, |t, _| t.deleted = true);
    let (found, first_seen) = (bed.compare().await, bed.clock.now());
    assert_eq!((kinds(&found), found[0].found_at), (vec![FindingKind::Lost], first_seen));
    bed.jira.state().undelete(&first.id);
    bed.clock.advance_ms(60_000);
    // The process dies in the middle of the next comparison.
    let edge = "desk/jira";
    assert!(reconcile::begin(&*bed.bridge.ledger, edge, bed.clock.now()).await.unwrap());
    let setup = bed.bridge.setup.load_full();
    assert_eq!(reconcile::desk_step(&*bed.bridge.ledger, &*setup.desks["jira"], &*bed.clock).await.unwrap(), Stepped::More);
    bed.crash(0).await;
    assert!(reconcile::summary(&*bed.bridge.ledger, edge).await.unwrap().running);
    let setup = bed.bridge.setup.load_full();
    while reconcile::desk_step(&*bed.bridge.ledger, &*setup.desks["jira"], &*bed.clock).await.unwrap() == Stepped::More {}
    let summary = reconcile::summary(&*bed.bridge.ledger, edge).await.unwrap();
    assert_eq!((summary.running, summary.at, summary.found), (false, Some(bed.clock.now()), 0));
    assert_eq!(bed.bridge.ledger.findings(&None, 10).await.unwrap().len(), 0, "it is over");
    bed.jira.state().change(&first.id, |t, _| t.deleted = true);
    bed.clock.advance_ms(60_000);
    let again = bed.compare().await;
    assert_eq!((again[0].id, again[0].found_at), (found[0].id, bed.clock.now()), "the same one, and news");
}
