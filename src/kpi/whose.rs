//! Whose time it was: all the time of what was closed, cut into the parts of a life. Pure.

use serde::Serialize;
use utoipa::ToSchema;

use super::case::Stage;
use super::cell::{Cell, Count};

/// All the time of many lives by part, milliseconds; sums are exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Parts {
    /// Requested to approved: the approvers'.
    pub approval_ms: i64,
    /// Approved until eligible: a later day, nobody's.
    pub date_ms: i64,
    /// Eligible until the ticket was there: the platform's, lastmile's and the desk's.
    pub filing_ms: i64,
    /// Ticket there until work began: the admin group's.
    pub queue_ms: i64,
    /// Work began until closed, less pauses: the admin group's.
    pub work_ms: i64,
    /// Queue and work of tickets whose desk does not say when work began: the admin group's.
    pub untold_ms: i64,
    /// Pauses: the requester's.
    pub paused_ms: i64,
    /// Closed until the platform had the outcome: lastmile's and the platform's.
    pub reporting_ms: i64,
}

impl Parts {
    fn of(cell: &Cell, business: bool) -> Self {
        let sum = |stage| cell.took(stage, business).sum();
        let (filing, queue, work) = (sum(Stage::Filing), sum(Stage::Queue), sum(Stage::Touch));
        Self {
            approval_ms: sum(Stage::Approval),
            date_ms: sum(Stage::Date),
            filing_ms: filing,
            queue_ms: queue,
            work_ms: work,
            untold_ms: (sum(Stage::Provisioning) - filing - queue - work).max(0),
            paused_ms: sum(Stage::Paused),
            reporting_ms: sum(Stage::SyncBack),
        }
    }

    /// All together.
    #[must_use]
    pub fn all_ms(&self) -> i64 {
        let admins = self.queue_ms + self.work_ms + self.untold_ms;
        self.approval_ms + self.date_ms + self.filing_ms + admins + self.paused_ms + self.reporting_ms
    }
}

/// Whose time it was, by both clocks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Whose {
    /// Of how many that were closed.
    pub n: i64,
    /// All of the time.
    pub elapsed: Parts,
    /// Working time of the admin groups' calendars.
    pub business: Parts,
}

impl Whose {
    pub(super) fn of(cell: &Cell) -> Self {
        Self { n: cell.count(Count::Closed), elapsed: Parts::of(cell, false), business: Parts::of(cell, true) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kpi::case::Case;

    #[test]
    fn parts_are_the_whole_also_where_a_desk_does_not_say_when_work_began() {
        let mut cell = Cell::default();
        for told in [true, false] {
            let mut case = Case::default();
            let mut took = |stage: Stage, ms| case.elapsed[stage as usize] = Some(ms);
            let always = [(Stage::Approval, 7), (Stage::Date, 5), (Stage::Filing, 1), (Stage::Paused, 3)];
            always.into_iter().chain([(Stage::Provisioning, 31), (Stage::SyncBack, 2)]).for_each(|(stage, ms)| took(stage, ms));
            if told {
                took(Stage::Queue, 10);
                took(Stage::Touch, 20);
            }
            cell.add(&case);
        }
        let parts = Whose::of(&cell).elapsed;
        assert_eq!((parts.queue_ms, parts.work_ms, parts.untold_ms), (10, 20, 30));
        assert_eq!((parts.date_ms, parts.all_ms()), (10, 2 * (7 + 5 + 31 + 3 + 2)));
    }
}
