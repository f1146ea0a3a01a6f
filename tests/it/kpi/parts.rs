//! Whose time it was: the parts of one life, whatever the order of its instants.

use std::sync::LazyLock;

use lastmile::kpi::case::{Stage, Yardstick};
use lastmile::kpi::cell::Cell;
use lastmile::kpi::clocks::{Both, Clocks};
use lastmile::kpi::measure::Sums;
use lastmile::kpi::whose::{Parts, Whose};
use lastmile::ledger::rollups::{Dim, LifeRow, LifeStep, Told};
use proptest::prelude::*;

use super::*;

static CATALOG: LazyLock<Catalog> = LazyLock::new(catalog);

/// Hours into a week that begins long before now.
fn at(hours: i64) -> Timestamp {
    NOW.plus_ms(-60 * DAY + hours * HOUR)
}

/// A grant that was requested, approved, eligible, filed, begun, closed and reported then.
fn life([requested, approved, eligible, filed, work, closed, reported]: [Option<i64>; 7], pauses: &[i64]) -> LifeRow {
    let step = |(n, hours): (usize, &i64)| LifeStep {
        happened_at: at(*hours),
        learned_at: None,
        event: ["paused", "resumed"][n % 2].to_owned(),
        state: "open".to_owned(),
        cause: String::new(),
        detail: serde_json::json!({}),
    };
    let then = |hours: Option<i64>| hours.map(at);
    LifeRow {
        id: Id(1),
        seq: 1,
        dim: Dim {
            id: 7,
            application_id: "crm".to_owned(),
            application_name: "CRM".to_owned(),
            admin_group: "crm-admins".to_owned(),
            operation: "grant".to_owned(),
            desk: "jira".to_owned(),
        },
        revocation: false,
        beneficiary: "p".to_owned(),
        lane: "lane".to_owned(),
        state: "reported".to_owned(),
        outcome: Some("fulfilled".to_owned()),
        requested_at: then(requested),
        approved_at: then(approved),
        valid_from: None,
        valid_until: None,
        received_at: at(approved.unwrap_or(0)),
        eligible_at: then(eligible),
        told: Told { filed: then(filed), first_work: then(work), closed: then(closed), reported: then(reported) },
        withdrawn: false,
        steps: pauses.iter().enumerate().map(step).collect(),
        kept: None,
        forecast: None,
        left_at: None,
    }
}

fn whose(row: &LifeRow) -> (Whose, Case, Both) {
    let clocks = Clocks::over(&CATALOG, at(-24), at(24 * 20));
    let case = Case::of(row, Yardstick { catalog: &CATALOG, clocks: &clocks }, None);
    let mut closed = Cell::default();
    closed.add(&case);
    let told = row.told;
    let known = [row.requested_at, row.approved_at, row.eligible_at, told.filed, told.closed, told.reported];
    let ends = || known.into_iter().flatten();
    let whole = clocks.both(&row.dim.admin_group, ends().min().unwrap(), ends().max().unwrap());
    (Sums { closed, ..Sums::default() }.line("", "").whose, case, whole)
}

#[test]
fn no_time_counts_twice() {
    let some = |hours: [i64; 7]| hours.map(Some);
    // Filed ahead of its day, and it waits for its requester when that comes.
    let told = whose(&life(some([0, 10, 100, 20, 120, 150, 151]), &[105, 115])).0.elapsed;
    let hours = |ms: i64| ms / HOUR;
    assert_eq!((hours(told.approval_ms), hours(told.date_ms), hours(told.filing_ms)), (10, 90, 0));
    assert_eq!((hours(told.queue_ms), hours(told.work_ms), hours(told.paused_ms)), (10, 30, 10));
    assert_eq!((hours(told.untold_ms), hours(told.reporting_ms), hours(told.all_ms())), (0, 1, 151));
    // Begun before its day: what is done before the clock starts is nobody's.
    let told = whose(&life(some([0, 10, 100, 20, 40, 150, 151]), &[30, 105])).0.elapsed;
    assert_eq!((hours(told.queue_ms), hours(told.work_ms), hours(told.paused_ms), hours(told.all_ms())), (0, 45, 5, 151));
    // Begun under a ticket before this one.
    let told = whose(&life(some([0, 10, 10, 50, 20, 90, 91]), &[30, 40, 60, 65])).0.elapsed;
    assert_eq!((hours(told.filing_ms), hours(told.queue_ms), hours(told.work_ms)), (30, 0, 35));
    assert_eq!((hours(told.paused_ms), hours(told.all_ms())), (15, 91));
}

proptest! {
    #[test]
    fn the_parts_are_never_more_than_the_whole(
        requested in proptest::option::of(0i64..300), approved in proptest::option::of(0i64..300), wait in 0i64..100,
        filed in 0i64..400, work in proptest::option::of(0i64..400), closed in 0i64..400,
        reported in proptest::option::of(0i64..450), pauses in proptest::collection::vec(0i64..450, 0..8),
    ) {
        // Nothing is eligible before it is approved; a closing before that is counted apart, as what must not be.
        let eligible = approved.unwrap_or(0) + wait;
        let closed = closed.max(approved.unwrap_or(0));
        let row = life([requested, approved, Some(eligible), Some(filed), work, Some(closed), reported], &pauses);
        let (told, case, whole) = whose(&row);
        prop_assert!(told.elapsed.all_ms() <= whole.elapsed_ms, "{:?} of {whole:?}", told.elapsed);
        prop_assert!(told.business.all_ms() <= whole.business_ms.unwrap(), "{:?} of {whole:?}", told.business);
        // What the admins had is their provisioning time, cut.
        let admins = |parts: Parts| parts.filing_ms + parts.queue_ms + parts.work_ms + parts.untold_ms;
        let took = case.took(Stage::Provisioning).unwrap();
        prop_assert_eq!((admins(told.elapsed), Some(admins(told.business))), (took.elapsed_ms, took.business_ms));
        prop_assert!(work.is_none() || told.elapsed.untold_ms == 0);
    }
}
