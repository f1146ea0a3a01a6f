//! How much of a processor the figures take. By the fake clock a step takes no time: it counts as the shortest, and what is left
//! is how many times as long they rest.

use std::time::Duration;

use lastmile::runtime::Pace;

use super::*;

/// Nineteen times as long as they work.
const GENTLE: Duration = Duration::from_millis(19);
/// As long as they work.
const QUICK: Duration = Duration::from_millis(1);

impl Bed {
    /// One step; how long to rest after it.
    async fn round(&self, pace: &mut Pace) -> Duration {
        pace.round(&self.ledger, &self.catalog, &self.clock).await.unwrap()
    }

    /// The rests until nothing is left to do.
    async fn rests(&self, pace: &mut Pace) -> Vec<Duration> {
        let mut rests = Vec::new();
        loop {
            let rest = self.round(pace).await;
            if rest > GENTLE {
                return rests;
            }
            rests.push(rest);
        }
    }

    async fn come(&self, past: &[Truth]) {
        self.ledger.load_history(past.iter().map(|t| t.past.clone()).collect()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_never_counted_is_counted_quickly_while_no_order_moves() {
    let bed = Bed::new().await;
    let truth = history();
    bed.load(&truth).await;
    let mut pace = Pace::default();
    let rests = bed.rests(&mut pace).await;
    assert!(rests.len() > 10 && rests.iter().all(|rest| *rest == QUICK), "{rests:?}");
    assert!(bed.verified().await.agrees());

    // From then on figures are kept beside the work.
    bed.open("one", "crm", Operation::Grant, NOW, None).await;
    let rests = bed.rests(&mut pace).await;
    assert!(!rests.is_empty() && rests.iter().all(|rest| *rest == GENTLE), "{rests:?}");
    // The next process need not count anything for the first time.
    let rests = bed.rests(&mut Pace::default()).await;
    assert!(!rests.is_empty() && rests.iter().all(|rest| *rest == GENTLE), "{rests:?}");

    // As an upgrade leaves them that has sums made anew, and no order measured.
    bed.sql("INSERT INTO kpi_dirty (kind, at, dim, mark) SELECT kind, at, dim, 1 FROM kpi_cell WHERE kind = 'week'").await;
    bed.sql("DELETE FROM cursor WHERE name = 'kpi/rolled'").await;
    let rests = bed.rests(&mut Pace::default()).await;
    assert!(!rests.is_empty() && rests.iter().all(|rest| *rest == QUICK), "{rests:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_that_are_behind_stay_gentle_while_orders_move() {
    let bed = Bed::new().await;
    let truth = history();
    let mut pace = Pace::default();
    bed.rests(&mut pace).await;

    // More than a step measures, at once: a burst of orders, or an import.
    bed.come(&truth[..300]).await;
    assert_eq!(bed.round(&mut pace).await, GENTLE, "a moment ago");
    bed.clock.advance_ms(400);
    assert_eq!(bed.round(&mut pace).await, GENTLE, "less than half a second ago");
    bed.clock.advance_ms(200);
    assert_eq!(bed.round(&mut pace).await, QUICK, "they have stopped");
    for n in 0..8 {
        bed.open(&format!("now and then {n}"), "crm", Operation::Grant, bed.clock.now(), None).await;
        bed.clock.advance_ms(500);
        assert_eq!(bed.round(&mut pace).await, QUICK, "a few do not mind");
    }
    for n in 0..12 {
        bed.open(&format!("at once {n}"), "crm", Operation::Grant, bed.clock.now(), None).await;
    }
    assert_eq!(bed.round(&mut pace).await, GENTLE, "many do");
    // A long look back does not make few into many.
    for n in 0..50 {
        bed.open(&format!("in a minute {n}"), "crm", Operation::Grant, bed.clock.now(), None).await;
    }
    bed.clock.advance_ms(60_000);
    assert!(bed.rests(&mut pace).await.iter().all(|rest| *rest == QUICK));
    assert!(bed.verified().await.agrees());
}

/// Figures that are not far behind take a twentieth of one processor, also in the gaps of the work.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_beside_the_work_is_kept_gently() {
    let bed = Bed::new().await;
    let truth = history();
    let mut pace = Pace::default();
    bed.rests(&mut pace).await;
    for part in truth.chunks(100).take(3) {
        bed.come(part).await;
        assert_eq!(bed.round(&mut pace).await, GENTLE);
        bed.clock.advance_ms(60_000);
        let rests = bed.rests(&mut pace).await;
        assert!(rests.len() > 2 && rests.iter().all(|rest| *rest == GENTLE), "{rests:?}");
    }
}
