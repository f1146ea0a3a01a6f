//! What a platform is told: every source carries what it claims, and claims no more than it carries.

use lastmile::http::CallError;
use lastmile::model::completion::{Completion, Evidence};
use lastmile::model::progress::Step;
use lastmile::model::{Outcome, Person};

use super::source_bench::{ALL, Bench, Kind};

/// With everything that can be told.
async fn full(bench: &Bench, id: &str) -> Completion {
    let closed_at = bench.now().plus_secs(-7_777);
    Completion {
        words: Some("Role given in client 100.".to_owned()),
        closed_by: Some(Person { id: "c.closer".to_owned(), name: Some("Carla Closer".to_owned()), email: None }),
        closed_at: Some(closed_at),
        closed_at_iso: Some(closed_at.iso()),
        evidence: vec![Evidence { name: "proof.png".to_owned(), url: Some("https://desk.example/files/1".to_owned()) }],
        ..bench.completion(id, Outcome::Fulfilled).await
    }
}

#[tokio::test]
async fn what_a_source_claims_to_carry_arrives_and_nothing_else_is_claimed() {
    // Who asks is answered from the ledger: its journeys look at that.
    for kind in ALL.into_iter().filter(|k| *k != Kind::SailPoint) {
        let bench = Bench::new(kind).await;
        let ids = bench.place(1);
        bench.round().await.unwrap();
        let completion = full(&bench, &ids[0]).await;
        bench.tell(&completion).await.unwrap();
        let (heard, can) = (bench.heard(&ids[0]), bench.source.info().capabilities);
        let closed_at = completion.closed_at_iso.as_deref().unwrap();
        let parts = [
            ("reason", can.reason, "Role given in client 100."),
            ("ticket", can.ticket_link, "IAM-1"),
            ("link", can.ticket_link, "https://desk.example/IAM-1"),
            ("performer", can.performer, "Carla Closer"),
            ("times", can.times, closed_at),
            ("evidence", can.evidence, "proof.png"),
        ];
        for (what, claimed, text) in parts {
            assert_eq!(heard.contains(text), claimed, "{kind:?}: {what} in {heard}");
        }
        let kept = can.kept_here().unwrap_or_default();
        assert_eq!(kept.contains("the ticket's number and link"), !can.ticket_link, "{kind:?}: {kept}");
    }
}

#[tokio::test]
async fn a_step_is_shown_where_that_is_claimed_once_however_often_it_is_told() {
    for kind in ALL {
        let bench = Bench::new(kind).await;
        let ids = bench.place(1);
        bench.round().await.unwrap();
        let step = bench.progress(&ids[0], Step::Filed);
        if !bench.source.info().capabilities.progress || kind == Kind::SailPoint {
            let refused = bench.source.progress(&step).await;
            assert!(matches!(refused, Err(CallError::Reject { code: "E-CONFIG", .. })), "{kind:?}: {refused:?}");
            assert!(
                matches!(kind, Kind::Queue | Kind::Midpoint | Kind::SailPoint | Kind::Entra),
                "{kind:?} has its way to show a step"
            );
            continue;
        }
        // Its answer is lost: it may have been heard, and is said again.
        bench.forget_once();
        let lost = bench.source.progress(&step).await;
        assert!(matches!(lost, Err(CallError::Retry { .. })), "{kind:?}: {lost:?}");
        for _ in 0..2 {
            bench.source.progress(&step).await.unwrap();
        }
        let shown = if kind == Kind::ByMethod { "IAM-1: ticket filed" } else { "filed" };
        assert_eq!(bench.steps(&ids[0]), [shown], "{kind:?}");
        bench.source.progress(&bench.progress(&ids[0], Step::Waiting)).await.unwrap();
        let last = bench.steps(&ids[0]).pop().unwrap();
        assert!(last.contains("waiting"), "{kind:?}: {last}");
        assert!(bench.held(&ids[0]).is_empty(), "{kind:?}: a step decides nothing");
        // Its outcome is taken as if nothing had been said before.
        bench.tell(&bench.completion(&ids[0], Outcome::Fulfilled).await).await.unwrap();
        assert_eq!(bench.held(&ids[0]), [true], "{kind:?}");
    }
}

#[tokio::test]
async fn a_step_of_what_the_platform_forgot_is_refused_and_a_platform_that_is_away_is_told_later() {
    for kind in [Kind::ByMethod, Kind::ByEvent] {
        let bench = Bench::new(kind).await;
        let ids = bench.place(1);
        bench.round().await.unwrap();
        bench.set_away(true);
        let away = bench.source.progress(&bench.progress(&ids[0], Step::Filed)).await;
        assert!(matches!(away, Err(CallError::Retry { .. })), "{kind:?}: {away:?}");
        bench.set_away(false);
        let gone = bench.source.progress(&bench.progress("no-such-request", Step::Filed)).await;
        assert!(matches!(gone, Err(CallError::Reject { code: "E-GONE", .. })), "{kind:?}: {gone:?}");
    }
}
