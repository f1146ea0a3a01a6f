//! Persons who leave: how long it takes until the last application has let them go. Wall clock, no pause. Pure.

use super::case::{Case, Stage};
use super::cell::{Cell, Count};
use super::days::{DAY_MS, HOUR_MS, day, hour};
use crate::ledger::rollups::{Kind, LeaverRow, Place};
use crate::model::{Id, Operation};

/// Revocations this close to each other belong to one leaving.
const TOGETHER_MS: i64 = 7 * DAY_MS;
/// How late a revocation may come and still belong to a leaving that the platform told.
const LATE_MS: i64 = 30 * DAY_MS;
/// Hours within which all access should be gone; the second is what stricter rules ask.
pub const LEAVER_HOURS: [i64; 2] = [24, 4];

/// A revocation of a person.
#[derive(Debug, Clone)]
pub struct Revocation {
    /// Assignment.
    pub id: Id,
    /// What it is cut by.
    pub dim: i64,
    /// Operation, stored word.
    pub operation: Option<Operation>,
    /// As it counts.
    pub case: Case,
}

/// A person leaves when their platform says so; else when an account of theirs is ordered to be disabled or deleted. With it
/// count all revocations that end within a week of it, and where the platform said it, those that come up to a month late.
/// The last leaving counts, if there were several. Access should be gone from the leaving on, or from the day that an order
/// names, where that is later.
#[must_use]
pub fn leaving(person: i64, revocations: &[Revocation]) -> Option<LeaverRow> {
    let ends_account = |r: &&Revocation| matches!(r.operation, Some(Operation::DisableAccount | Operation::DeleteAccount));
    let said = revocations.iter().filter_map(|r| r.case.left).max();
    let ordered = || revocations.iter().filter(ends_account).map(|r| r.case.ends()).max();
    let anchor = said.or_else(ordered)?;
    let late_ms = if said.is_some() { LATE_MS } else { TOGETHER_MS };
    let near = |r: &&Revocation| (-TOGETHER_MS..=late_ms).contains(&r.case.ends().ms_since(anchor));
    let together: Vec<&Revocation> = revocations.iter().filter(near).collect();
    let gone_by = |r: &&Revocation| said.map_or(r.case.ends(), |said| r.case.valid_from.map_or(said, |from| from.max(said)));
    let left_at = together.iter().map(gone_by).min()?;
    let open: Vec<&&Revocation> = together.iter().filter(|r| r.case.closed.is_none()).collect();
    let last = together.iter().max_by_key(|r| (r.case.closed, r.id))?;
    let deciding = open.iter().min_by_key(|r| r.id).map_or(*last, |r| **r);
    Some(LeaverRow {
        person,
        left_at,
        ended_at: if open.is_empty() { last.case.closed } else { None },
        orders: i64::try_from(together.len()).unwrap_or(i64::MAX),
        waiting: i64::try_from(open.len()).unwrap_or(i64::MAX),
        id: deciding.id.0,
        dim: deciding.dim,
    })
}

/// Where a person counts.
#[must_use]
pub fn places(row: &LeaverRow) -> Vec<Place> {
    let mut places = vec![Place { kind: Kind::Leaver, at: day(row.left_at), dim: row.dim }];
    if row.waiting > 0 {
        places.push(Place { kind: Kind::LeaverOpen, at: hour(row.left_at), dim: row.dim });
    }
    places
}

/// Adds a person to a sum.
pub fn add(cell: &mut Cell, row: &LeaverRow) {
    cell.count_more(Count::Leavers, 1);
    let Some(ended) = row.ended_at else { return };
    let took = ended.ms_since(row.left_at).max(0);
    cell.took_more(Stage::Whole, took);
    let within = |hours: i64| took <= hours * HOUR_MS;
    let [all, strict] = LEAVER_HOURS;
    if within(strict) {
        cell.count_more(Count::LeaversIn4, 1);
    }
    cell.count_more(if within(all) { Count::LeaversIn24 } else { Count::LeaversLate }, 1);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    fn revocation(id: i64, operation: Operation, ends: i64, closed: Option<i64>) -> Revocation {
        let case = Case { approved: Some(Timestamp(ends)), closed: closed.map(Timestamp), ..Case::default() };
        Revocation { id: Id(id), dim: id, operation: Some(operation), case }
    }

    #[test]
    fn the_last_application_decides() {
        let start = 100 * DAY_MS;
        let moved = revocation(1, Operation::Revoke, start, Some(start + HOUR_MS));
        assert_eq!(leaving(9, &[moved]), None, "a revocation alone is no leaving");
        let mut all = vec![
            revocation(1, Operation::Revoke, start - 30 * DAY_MS, Some(start)),
            revocation(2, Operation::Revoke, start + HOUR_MS, Some(start + 5 * HOUR_MS)),
            revocation(3, Operation::DisableAccount, start, Some(start + HOUR_MS)),
        ];
        let row = leaving(9, &all).unwrap();
        assert_eq!(
            (row.left_at, row.ended_at, row.orders, row.waiting),
            (Timestamp(start), Some(Timestamp(start + 5 * HOUR_MS)), 2, 0)
        );
        assert_eq!(row.dim, 2, "it counts where access lasted longest");
        let mut cell = Cell::default();
        add(&mut cell, &row);
        assert_eq!(
            [Count::Leavers, Count::LeaversIn4, Count::LeaversIn24, Count::LeaversLate].map(|c| cell.count(c)),
            [1, 0, 1, 0]
        );
        all[1].case.closed = None;
        let row = leaving(9, &all).unwrap();
        assert_eq!((row.ended_at, row.waiting, row.dim, places(&row).len()), (None, 1, 2, 2));
        // The platform said when: that counts, also for what comes late; a later day that an order names is waited for.
        all[0].case.left = Some(Timestamp(start - HOUR_MS));
        all.remove(2);
        let row = leaving(9, &all).unwrap();
        assert_eq!((row.left_at, row.orders, row.waiting), (Timestamp(start - HOUR_MS), 1, 1), "no account ends, and they left");
        all[1].case.valid_from = Some(Timestamp(start + DAY_MS));
        assert_eq!(leaving(9, &all).unwrap().left_at, Timestamp(start + DAY_MS));
    }
}
