//! What every source promises, whatever its platform does: one suite, run for each kind.
//!
//! | promise | webhook, CloudEvents, upload | cursor, snapshot, pages | folder | One Identity ×4 | midPoint | SailPoint | Entra |
//! |---|---|---|---|---|---|---|---|
//! | nothing skipped, nothing twice | here | here | here | here | here | here | here |
//! | a list that moves | sends | poll.rs | rows of a file stay | here | here | asks us | sends |
//! | order of one object | here | here | here | here | here | here | here |
//! | session loss | none | OAuth 2: source_ways.rs | none | here | none, HTTP basic | none | token: source_waits.rs |
//! | purge | forgets nothing | a cursor shows news only | none | here, 2, 30, 60 days | here | asks us | here |
//! | clocks apart | source.rs (stale), source_waits.rs | poll.rs (rows from the future) | none | here | here | gives no time of its own | source_waits.rs |
//! | one or many | `events` | poll.rs | rows | here | here (always) | here | here |
//! | half-written pages | a body is whole or refused | here | here | here | here | asks us | sends |
//! | a refused completion | here | here | here | here | here | takes what it asked for | here |
//! | held once | here | here | here | here | here | here | here |
//! | away for a day | here | here | here | here | here | here | here |
//! | taken back | here | here | here | here | here | here | here |
//! | what it claims to carry, steps | source_told.rs, all kinds | | | | | | |

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use lastmile::http::CallError;
use lastmile::model::Outcome;
use lastmile::source::ListKind;

use super::source_bench::{ALL, Bench, Kind};

fn set(ids: &[String]) -> BTreeSet<String> {
    ids.iter().cloned().collect()
}

#[tokio::test]
async fn nothing_is_skipped_and_nothing_comes_twice() {
    for kind in ALL {
        let bench = Bench::new(kind).await;
        let mut ids = bench.place(40);
        bench.round().await.unwrap();
        bench.round().await.unwrap();
        ids.extend(bench.place(10));
        for _ in 0..3 {
            bench.round().await.unwrap();
        }
        let rows = bench.rows().await;
        assert_eq!(rows.len(), 50, "{kind:?}");
        assert_eq!(bench.live().await, set(&ids), "{kind:?}");
        assert!(rows.iter().all(|r| r.revision == 1), "{kind:?}: seen again is not changed");
    }
}

#[tokio::test]
async fn a_list_that_moves_between_its_pages_skips_nothing() {
    for kind in ALL.into_iter().filter(|k| k.is_asked()) {
        let bench = Bench::new(kind).await;
        let ids = bench.place(30);
        // Rows of the first page go while the second is asked for: what is read by position moves by as many.
        let gone: Vec<String> = if kind == Kind::Queue { ids[..3].to_vec() } else { sorted(&ids)[..3].to_vec() };
        let taken = gone.clone();
        let of_midpoint = gone.clone();
        if let Some(fake) = bench.midpoint() {
            fake.faults().after_next_page(move |state| of_midpoint.iter().for_each(|id| state.close(id, None)));
        }
        let Some(fake) = bench.oim() else {
            moved(&bench, &ids, &gone).await;
            continue;
        };
        fake.faults().after_next_page(move |state| {
            for id in &taken {
                match kind {
                    Kind::Queue => state.settle(id.split('/').next().unwrap()),
                    Kind::Assignments => {
                        let (account, group) = id.split_once('+').unwrap();
                        assert!(state.unassign(&format!("<Key><T>ADSAccountInADSGroup</T><P>{account}</P><P>{group}</P></Key>")));
                    }
                    _ => state.abort(id),
                }
            }
        });
        moved(&bench, &ids, &gone).await;
    }
}

/// After rounds over a list that moved, what is left is there and nothing else was taken back.
async fn moved(bench: &Bench, ids: &[String], gone: &[String]) {
    for _ in 0..2 {
        bench.round().await.unwrap();
    }
    let live = bench.live().await;
    assert!(ids.iter().filter(|id| !gone.contains(id)).all(|id| live.contains(id)), "{:?}", bench.kind);
    let rows = bench.rows().await;
    let wrong: Vec<_> = rows.iter().filter(|r| r.withdrawn_at.is_some() && !gone.contains(&r.external_id)).collect();
    assert!(wrong.is_empty(), "{:?}: {wrong:?}", bench.kind);
}

fn sorted(ids: &[String]) -> Vec<String> {
    set(ids).into_iter().collect()
}

#[tokio::test]
async fn a_half_written_page_loses_nothing_and_takes_nothing_back() {
    for kind in ALL.into_iter().filter(|k| !k.is_pushed() && *k != Kind::SailPoint) {
        for page in 1..=3 {
            let bench = Bench::new(kind).await;
            let ids = bench.place(15);
            bench.round().await.unwrap();
            let more = bench.place(5);
            bench.cut(page);
            let cut = bench.round().await;
            assert!(cut.is_ok() || matches!(cut, Err(CallError::Retry { code: "E-NOT-JSON", .. })), "{kind:?}: {cut:?}");
            let live = bench.live().await;
            assert!(ids.iter().all(|id| live.contains(id)), "{kind:?}, page {page}: nothing was taken back");
            bench.cut(0);
            bench.round().await.unwrap();
            let all: Vec<String> = ids.into_iter().chain(more).collect();
            assert_eq!(bench.live().await, set(&all), "{kind:?}, page {page}");
            assert_eq!(bench.rows().await.len(), 20, "{kind:?}, page {page}");
        }
    }
}

#[tokio::test]
async fn the_order_of_one_object_is_kept() {
    for kind in ALL {
        let bench = Bench::new(kind).await;
        let placed = bench.place_three_of_one().await;
        bench.round().await.unwrap();
        let mut rows = bench.rows().await;
        rows.sort_by_key(|r| (r.approved_at, r.id));
        let came: Vec<(String, String)> = rows.iter().map(|r| (r.operation.clone(), r.external_id.clone())).collect();
        let expected: Vec<(String, String)> = placed.iter().map(|(op, id)| (op.as_str().to_owned(), id.clone())).collect();
        assert_eq!(came, expected, "{kind:?}");
        let lanes: BTreeSet<String> =
            rows.iter().map(|r| format!("{}{:?}{:?}", r.application_id, r.entitlement, r.beneficiary)).collect();
        assert_eq!(lanes.len(), 1, "{kind:?}: all in one lane");
        if kind == Kind::Queue {
            let early = bench.source.report(&bench.completion(&placed[1].1, Outcome::Fulfilled).await).await;
            assert!(matches!(early, Err(CallError::Retry { code: "E-ORDER", .. })), "{early:?}");
            bench.tell(&bench.completion(&placed[0].1, Outcome::Fulfilled).await).await.unwrap();
            bench.tell(&bench.completion(&placed[1].1, Outcome::Fulfilled).await).await.unwrap();
            assert_eq!(bench.held(&placed[1].1), [true]);
        }
    }
}

#[tokio::test]
async fn sessions_that_end_are_opened_again() {
    for kind in ALL.into_iter().filter(|k| k.is_one_identity()) {
        let bench = Bench::new(kind).await;
        let fake = bench.oim().unwrap();
        let ids = bench.place(20);
        fake.faults().calls_per_session.store(2, Ordering::SeqCst);
        bench.round().await.unwrap();
        assert_eq!(bench.live().await, set(&ids), "{kind:?}");
        fake.faults().calls_per_session.store(0, Ordering::SeqCst);
        fake.state().end_sessions();
        bench.tell(&bench.completion(&ids[0], Outcome::Fulfilled).await).await.unwrap();
        assert_eq!(bench.held(&ids[0]), [true], "{kind:?}");
        let (logins, _) = fake.state().sessions();
        assert!(logins > 3, "{kind:?}: {logins} logins");
        bench.source.close().await;
        let (again, out) = fake.state().sessions();
        assert_eq!((again, out), (logins, 1), "{kind:?}: closed without opening another");
    }
}

#[tokio::test]
async fn what_the_platform_purges_is_still_owed() {
    let kinds = [Kind::ByMethod, Kind::ByEvent, Kind::Queue, Kind::Midpoint, Kind::Entra];
    // One Identity keeps for 2, 30 or 60 days, as it is set up.
    for (kind, days) in kinds.into_iter().flat_map(|kind| [3, 31, 61].map(|days| (kind, days))) {
        let bench = Bench::new(kind).await;
        let ids = bench.place(3);
        bench.round().await.unwrap();
        bench.clock.advance_ms(days * 86_400_000);
        match (bench.oim(), bench.midpoint(), bench.entra()) {
            (Some(fake), ..) => fake.state().purge(bench.now()),
            (_, Some(fake), _) => ids.iter().for_each(|id| fake.state().forget(id)),
            (.., Some(fake)) => ids.iter().for_each(|id| fake.state().forget(id)),
            _ => unreachable!("a declared list purges nothing"),
        }
        for _ in 0..2 {
            bench.round().await.unwrap();
        }
        assert_eq!(bench.live().await, set(&ids), "{kind:?}: forgotten is not taken back");
        let told = bench.tell(&bench.completion(&ids[0], Outcome::Fulfilled).await).await;
        assert!(matches!(told, Err(CallError::Reject { code: "E-GONE", .. })), "{kind:?}: {told:?}");
        let cancelled = bench.completion(&ids[1], Outcome::Cancelled).await;
        assert_eq!(bench.tell(&cancelled).await, Ok(()), "{kind:?}: nobody needs to hear of it");
    }
}

#[tokio::test]
async fn a_platform_whose_clock_is_off_is_believed_about_its_own_times() {
    for kind in ALL.into_iter().filter(|k| k.is_asked()) {
        for skew in [-3_600_000, 3_600_000] {
            let bench = Bench::new(kind).await;
            if let Some(fake) = bench.oim() {
                fake.state().set_skew_ms(skew);
            }
            if let Some(fake) = bench.midpoint() {
                fake.state().set_skew_ms(skew);
            }
            let at = bench.now().plus_ms(skew);
            let ids = bench.place(3);
            bench.round().await.unwrap();
            bench.round().await.unwrap();
            let rows = bench.rows().await;
            assert_eq!(bench.live().await, set(&ids), "{kind:?} {skew}");
            assert!(rows.iter().all(|r| r.approved_at == Some(at)), "{kind:?} {skew}: {rows:?}");
            bench.tell(&bench.completion(&ids[0], Outcome::Fulfilled).await).await.unwrap();
            assert_eq!(bench.held(&ids[0]), [true], "{kind:?} {skew}");
        }
    }
}

#[tokio::test]
async fn a_list_of_one_is_read_like_any_other() {
    for kind in ALL.into_iter().filter(|k| k.is_asked()) {
        let bench = Bench::new(kind).await;
        // midPoint always writes so.
        if let Some(fake) = bench.oim() {
            fake.faults().bare_singles.store(true, Ordering::SeqCst);
        }
        let ids = bench.place(1);
        bench.round().await.unwrap();
        bench.round().await.unwrap();
        assert_eq!(bench.live().await, set(&ids), "{kind:?}");
        bench.tell(&bench.completion(&ids[0], Outcome::Rejected).await).await.unwrap();
        assert_eq!(bench.held(&ids[0]), [false], "{kind:?}");
    }
}

#[tokio::test]
async fn a_refused_completion_is_given_to_a_person() {
    // Who asks for an outcome refuses none.
    for kind in ALL.into_iter().filter(|k| *k != Kind::SailPoint) {
        let bench = Bench::new(kind).await;
        let ids = bench.place(1);
        bench.round().await.unwrap();
        let completion = bench.completion(&ids[0], Outcome::Fulfilled).await;
        bench.refuse_once();
        let refused = bench.tell(&completion).await;
        let Err(CallError::Reject { reason, .. }) = &refused else { panic!("{kind:?}: {refused:?}") };
        assert!(!reason.contains("Person"), "{kind:?}: the platform's words may name somebody: {reason}");
        assert_eq!(bench.held(&ids[0]), Vec::<bool>::new(), "{kind:?}");
        bench.set_away(false);
        bench.tell(&completion).await.unwrap();
        assert_eq!(bench.held(&ids[0]), [true], "{kind:?}: a person lets it go again");
    }
}

#[tokio::test]
async fn an_outcome_is_held_once_however_often_it_is_told() {
    for kind in ALL {
        let bench = Bench::new(kind).await;
        let ids = bench.place(2);
        bench.round().await.unwrap();
        for (id, outcome) in ids.iter().zip([Outcome::Fulfilled, Outcome::NotPossible]) {
            let completion = bench.completion(id, outcome).await;
            bench.forget_once();
            bench.tell(&completion).await.unwrap();
            bench.tell(&completion).await.unwrap();
            assert_eq!(bench.held(id), [outcome.is_success()], "{kind:?}");
        }
        if let Some(fake) = bench.oim() {
            assert_eq!(fake.state().surplus(), 0, "{kind:?}: nothing was decided that did not wait");
        }
    }
}

#[tokio::test]
async fn a_platform_that_is_away_for_a_day_loses_nothing() {
    for kind in ALL {
        let bench = Bench::new(kind).await;
        let mut ids = bench.place(10);
        bench.round().await.unwrap();
        let completion = bench.completion(&ids[0], Outcome::Fulfilled).await;
        bench.set_away(true);
        for _ in 0..3 {
            bench.clock.advance_ms(8 * 3_600_000);
            let round = bench.round().await;
            assert!(matches!(round, Err(CallError::Retry { .. })), "{kind:?}: {round:?}");
            if kind.is_asked() || kind == Kind::Entra {
                let told = bench.source.report(&completion).await;
                assert!(matches!(told, Err(CallError::Retry { .. })), "{kind:?}: {told:?}");
            }
        }
        ids.extend(bench.place(5));
        bench.set_away(false);
        bench.round().await.unwrap();
        assert_eq!(bench.live().await, set(&ids), "{kind:?}");
        bench.tell(&completion).await.unwrap();
        assert_eq!(bench.held(&ids[0]), [true], "{kind:?}");
    }
}

#[tokio::test]
async fn what_is_taken_back_is_noticed_and_nothing_else() {
    for kind in ALL {
        let bench = Bench::new(kind).await;
        let ids = bench.place(10);
        bench.round().await.unwrap();
        bench.take_back(&ids[4]);
        // A list read in several pages must miss it twice, unless the platform can be asked.
        bench.round().await.unwrap();
        bench.round().await.unwrap();
        let withdrawn: Vec<String> =
            bench.rows().await.into_iter().filter(|r| r.withdrawn_at.is_some()).map(|r| r.external_id).collect();
        assert_eq!(withdrawn, [ids[4].clone()], "{kind:?}");
        assert_eq!(bench.rows().await.len(), 10, "{kind:?}: nothing was sent, so nothing is ordered away");
    }
}

#[tokio::test]
async fn a_source_says_what_it_can_and_what_it_needs() {
    for kind in ALL {
        let bench = Bench::new(kind).await;
        let info = bench.source.info();
        assert_eq!(info.name, "iga");
        assert!(info.capabilities.report, "{kind:?}");
        assert_eq!(info.capabilities.polls, !kind.is_pushed() && kind != Kind::SailPoint, "{kind:?}");
        let list = match kind {
            Kind::Webhook | Kind::CloudEvents | Kind::Upload | Kind::SailPoint | Kind::Entra => None,
            Kind::Cursor | Kind::Folder => Some(ListKind::Cursor),
            Kind::Assignments => Some(ListKind::Standing),
            _ => Some(ListKind::Snapshot),
        };
        assert_eq!(info.list, list, "{kind:?}");
        bench.source.probe().await.unwrap();
        let findings = bench.source.check().await;
        let bad: Vec<_> = findings.iter().filter(|f| f.grade == lastmile::model::finding::Grade::Bad).collect();
        assert!(bad.is_empty() && !findings.is_empty(), "{kind:?}: {bad:?}");
    }
}
