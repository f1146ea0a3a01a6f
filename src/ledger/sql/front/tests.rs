use super::*;

const NOW: Timestamp = Timestamp(1_795_000_000_000);
const EDGE: &str = "desk/desk";

fn front(since: Timestamp, ids: &[i64]) -> Front {
    Front {
        ready: Known { since: since.0, ids: ids.to_vec() },
        below: i64::MAX,
        others: Known { since: since.0, ids: Vec::new() },
    }
}

/// Fronts of which one is known.
fn looked(ids: &[i64]) -> Fronts {
    let fronts = Fronts::default();
    fronts.begin(EDGE, How::Whole).tells(front(NOW, ids), NOW);
    fronts
}

#[test]
fn what_is_noted_beside_a_look_is_not_forgotten_by_it() {
    let (fronts, long_ago) = (looked(&[]), NOW.plus_secs(-3_600));
    let before = fronts.begin(EDGE, How::On);
    fronts.note(long_ago);
    assert_eq!(fronts.of(EDGE).ready.since, long_ago.0 - 1, "claims begin there");
    let after = fronts.begin(EDGE, How::Whole);
    assert_eq!(after.from.others.since, long_ago.0 - 1, "and so does a look");
    before.tells(front(NOW, &[]), NOW);
    assert_eq!(fronts.of(EDGE).ready.since, long_ago.0 - 1, "one that began before may not have seen it");
    after.tells(front(NOW, &[]), NOW);
    assert_eq!(fronts.of(EDGE).ready.since, NOW.0, "one that began afterwards has");
    drop(fronts.noting(Some(long_ago)));
    assert_eq!(fronts.of(EDGE).others.since, long_ago.0 - 1);
}

#[test]
fn orders_that_came_are_known_by_their_ids() {
    let fronts = Fronts::default();
    fronts
        .begin(TO_PLAN, How::Whole)
        .tells(Front { ready: Known { since: Id::floor(NOW).0, ids: Vec::new() }, ..front(NOW, &[]) }, NOW);
    let came = NOW.plus_ms(-5);
    fronts.note(came);
    let front = fronts.of(TO_PLAN);
    assert!(front.ready.since < Id::floor(came).0 && front.ready.since > Id::floor(came.plus_ms(-1)).0);
    assert_eq!(front.others.since, came.0 - 1);
}

#[test]
fn a_look_on_that_another_overtook_tells_nothing() {
    let fronts = looked(&[1]);
    let (on, whole) = (fronts.begin(EDGE, How::On), fronts.begin(EDGE, How::Whole));
    whole.tells(front(NOW, &[1, 2]), NOW);
    on.tells(front(NOW, &[1]), NOW);
    assert_eq!(fronts.of(EDGE).ready.ids, [1, 2], "what only the whole shows stays");
}

#[test]
fn looks_have_their_pace() {
    let fronts = Fronts::default();
    assert_eq!(fronts.wants(EDGE, NOW), Look::First(How::Whole), "nobody looked yet");
    let fronts = looked(&[]);
    assert_eq!(fronts.wants(EDGE, NOW), Look::No);
    assert_eq!(fronts.wants(EDGE, NOW.plus_secs(-3)), Look::First(How::Whole), "the clock was set back");
    let ago = |on: u64, whole: u64, took: u64| {
        let began = Instant::now();
        let at = |secs: u64| began.checked_sub(Duration::from_secs(secs)).unwrap();
        let mut queues = fronts.queues();
        let queue = queues.get_mut(EDGE).unwrap();
        queue.asked = false;
        queue.looked =
            Some(Looked { now: NOW, ended: at(on), took: Duration::ZERO, whole: (at(whole), Duration::from_millis(took)) });
    };
    let wants = |on, whole, took| {
        ago(on, whole, took);
        fronts.wants(EDGE, NOW)
    };
    assert_eq!(wants(0, 29, 10), Look::No);
    assert_eq!(wants(2, 29, 10), Look::Beside(How::On));
    assert_eq!(fronts.wants(EDGE, NOW), Look::No, "one is asked");
    assert_eq!(wants(2, 31, 10), Look::Beside(How::Whole));
    assert_eq!(wants(2, 31, 500), Look::Beside(How::On), "of one that takes long there are fewer");
    assert_eq!(wants(2, 121, 5_000), Look::Beside(How::Whole), "but not too few");
    assert_eq!(wants(11, 11, 10), Look::First(How::On), "nobody claimed for long");
    ago(11, 121, 10);
    let under_way = fronts.begin(EDGE, How::On);
    assert_eq!(fronts.wants(EDGE, NOW), Look::No, "somebody is at it");
    drop(under_way);
    assert_eq!(fronts.wants(EDGE, NOW), Look::Beside(How::Whole), "that it failed is no reason to hurry");
}

#[test]
fn what_was_not_given_goes_behind_what_was_not_asked_for() {
    let fronts = looked(&[1, 2, 3, 4, 5]);
    let offer = |ids: &[i64]| front(NOW, ids);
    let known = || fronts.of(EDGE).ready.ids.clone();
    fronts.taken(EDGE, &offer(&[1, 2, 3]), &[Id(2)], true);
    assert_eq!(known(), [3, 4, 5, 1], "another has the first; the third was not needed");
    fronts.taken(EDGE, &offer(&[3, 4]), &[], true);
    assert_eq!(known(), [3, 4, 5, 1], "none was needed");
    fronts.taken(EDGE, &offer(&[3, 4]), &[Id(4)], false);
    assert_eq!(known(), [5, 1, 3]);
}

#[test]
fn of_too_many_the_first_are_known_up_to_a_place() {
    let count = i64::try_from(MOST).unwrap();
    let known = Known::of((0..count + 5).rev().map(|n| (n, 1_000 + n)).chain([(7, 1_007)]).collect(), 1_000_000);
    assert_eq!((known.since, known.ids.len()), (count - 1, MOST), "and none twice");
    let known = Known::of((0..count + 5).map(|n| (40 + n / 10_000, n)).collect(), 1_000_000);
    assert_eq!((known.since, known.ids.len()), (39, 0), "so many at once are looked for");
    assert_eq!(Known::of(vec![(3, 1), (9, 2)], 5).ids, [1], "what came since is looked for");
}

#[test]
fn texts_know_the_same_time_for_what_is_planned_again() {
    for text in [planned_again!("0", "$1"), again_since!("a", "$1")] {
        assert!(text.contains(&format!(" - {AGAIN_MS}")), "{text}");
    }
}
