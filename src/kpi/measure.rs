//! Figures over sums: percentiles, rates, shares. Pure.

use serde::Serialize;
use utoipa::ToSchema;

use super::ages::Now;
use super::case::Stage;
use super::cell::{Cell, Count};
use super::forecast::HitRate;
use super::sketch::Sketch;
use super::whose::Whose;
use crate::model::Timestamp;

/// Below this count no percentile is shown: it would say more about single cases than about the group.
pub const MIN_FOR_PERCENTILE: i64 = 20;

/// How a set of durations is spread, in milliseconds. Percentiles by nearest rank, within one percent; none below
/// [`MIN_FOR_PERCENTILE`]. Count and longest are exact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Spread {
    /// How many.
    pub n: i64,
    /// Half took no longer.
    pub p50_ms: Option<i64>,
    /// Nine of ten took no longer.
    pub p90_ms: Option<i64>,
    /// Nineteen of twenty took no longer.
    pub p95_ms: Option<i64>,
    /// The longest.
    pub max_ms: Option<i64>,
}

impl Spread {
    /// Of a sketch.
    #[must_use]
    pub fn of(sketch: &Sketch) -> Self {
        let n = i64::try_from(sketch.n()).unwrap_or(i64::MAX);
        let percentile = |percent| sketch.percentile(percent).filter(|_| n >= MIN_FOR_PERCENTILE);
        Self { n, p50_ms: percentile(50), p90_ms: percentile(90), p95_ms: percentile(95), max_ms: sketch.max() }
    }
}

/// A spread by both clocks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Timed {
    /// All of the time.
    pub elapsed: Spread,
    /// Working time of the admin groups' calendars.
    pub business: Spread,
}

impl Timed {
    fn of(cell: &Cell, stage: Stage) -> Self {
        Self { elapsed: Spread::of(cell.took(stage, false)), business: Spread::of(cell.took(stage, true)) }
    }
}

/// One line of a report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Line {
    /// Application, admin group, operation or desk: the id to filter by.
    pub id: String,
    /// The same for people.
    pub name: String,
    /// Requested to approved.
    pub approval: Spread,
    /// Eligible to closed, less pauses: the wait for an approval or for a future date is nobody's.
    pub provisioning: Spread,
    /// Requested to approved, in working time.
    pub approval_business: Spread,
    /// Eligible to closed, in working time.
    pub provisioning_business: Spread,
    /// How targets were kept.
    pub target: Attainment,
    /// Whose time it was.
    pub whose: Whose,
    /// Requested until the platform had the outcome: what the requester feels.
    pub end_to_end: Timed,
    /// Eligible until the ticket was created: the platform's message, lastmile and the desk.
    pub filing: Timed,
    /// Ticket created until work began.
    pub queue: Timed,
    /// Work began until closed, less pauses.
    pub touch: Timed,
    /// Closed until the platform had the outcome.
    pub sync_back: Timed,
    /// Closed until lastmile learned of it, where the desk says when it was: part of the time above.
    pub noticed: Timed,
    /// Closed until the application's own evidence agreed.
    pub verification: Timed,
    /// Pauses.
    pub pauses: Pauses,
    /// Orders for a later day.
    pub dates: Dates,
    /// Leavers for whom this was (is) the last application.
    pub leavers: Leavers,
    /// What is open, what came and what went.
    pub flow: Flow,
    /// How it ended.
    pub quality: Quality,
    /// What went wrong between the systems.
    pub health: Health,
    /// Open, although the access was to end by now.
    pub expired_open: i64,
    /// How often "expected by" came true.
    pub forecast: HitRate,
}

/// How targets were kept. Open ones that are overdue are missed already: else nobody would see them before they close.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Attainment {
    /// Closed within their target.
    pub in_target: i64,
    /// Closed, too late.
    pub late: i64,
    /// Open, and the target has passed (to the hour).
    pub overdue_open: i64,
    /// In target of all three, whole percent, rounded down; none below [`MIN_FOR_PERCENTILE`].
    pub percent: Option<i64>,
}

/// Orders for a later day. Open ones whose day has passed are missed already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Dates {
    /// Closed, not cancelled, and ordered for a later day.
    pub n: i64,
    /// Of those: done by that day.
    pub kept: i64,
    /// Of those: done before that day.
    pub premature: i64,
    /// Open, and the day has passed (to the hour).
    pub overdue_open: i64,
    /// Kept of closed and overdue, whole percent.
    pub percent: Option<i64>,
}

/// Persons whose access ended, by the last of their applications; wall clock, no pause.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Leavers {
    /// Persons.
    pub n: i64,
    /// All gone within 24 hours.
    pub within_24h: i64,
    /// All gone within 4 hours.
    pub within_4h: i64,
    /// All gone, later than 24 hours.
    pub late: i64,
    /// Something is open for more than 24 hours.
    pub overdue_open: i64,
    /// Within 24 hours, of all that are over or overdue; whole percent.
    pub percent_24h: Option<i64>,
    /// Within 4 hours, likewise.
    pub percent_4h: Option<i64>,
    /// How long until all was gone.
    pub took: Spread,
}

/// What is open now, and what came and went in the period.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Flow {
    /// Came to the admins in the period.
    pub arrived: i64,
    /// Closed in the period.
    pub closed: i64,
    /// Open or being filed now, later dates included.
    pub open: i64,
    /// Of those: filed ahead of their date.
    pub not_yet: i64,
    /// By age, to the hour: under 1 day, 1–3, 3–7, 7–14, over 14 days.
    pub bands: [i64; 5],
    /// When the clock of the oldest started.
    #[schema(value_type = Option<i64>)]
    pub oldest: Option<Timestamp>,
    /// Nine of ten open ones are no older, milliseconds, to the hour.
    pub p90_age_ms: Option<i64>,
    /// Closed for 100 that came; none where nothing came.
    pub out_per_100_in: Option<i64>,
}

/// How work ended. Shares are whole percent, rounded down; none below [`MIN_FOR_PERCENTILE`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Quality {
    /// Closed, whatever the outcome.
    pub closed: i64,
    /// Closed with an outcome other than cancelled: what could be right.
    pub meant: i64,
    /// Fulfilled, not opened again and not ordered again within 14 days.
    pub right: i64,
    /// Right of meant.
    pub right_percent: Option<i64>,
    /// Opened again after a closing.
    pub reopened: i64,
    /// Of closed.
    pub reopened_percent: Option<i64>,
    /// Ended as cancelled.
    pub cancelled: i64,
    /// Of closed.
    pub cancelled_percent: Option<i64>,
    /// Taken back by the platform.
    pub withdrawn: i64,
    /// Of closed.
    pub withdrawn_percent: Option<i64>,
    /// Given to another group on the desk.
    pub rerouted: i64,
    /// Of closed.
    pub rerouted_percent: Option<i64>,
    /// Refused by the admin group.
    pub rejected: i64,
    /// Not possible on the system.
    pub not_possible: i64,
    /// The platform has the outcome.
    pub reported: i64,
    /// The application's own evidence agreed.
    pub proven: i64,
    /// Of closed.
    pub proven_percent: Option<i64>,
    /// Worked on or closed before the last approval: must be 0.
    pub unapproved: i64,
}

/// How much of the time was a wait for the requester.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Pauses {
    /// Closed cases whose clock stood still at least once.
    pub cases: i64,
    /// All pauses of closed cases, milliseconds.
    pub paused_ms: i64,
    /// Eligible to closed, pauses included, milliseconds.
    pub whole_ms: i64,
    /// Share of it, tenths of a percent.
    pub permille: Option<i64>,
}

/// What went wrong between the systems, with what was closed in the period; and how much of what is open is concerned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Health {
    /// Calls for tickets that failed and were tried again.
    pub retries: i64,
    /// Calls that may or may not have made a ticket.
    pub unclear: i64,
    /// Times a person was needed.
    pub parked: i64,
    /// Of those: the desk refused the ticket.
    pub refused: i64,
    /// Of those: a status or resolution that no rule knew.
    pub unknown_states: i64,
    /// Doubles prevented: tickets found by their key.
    pub doubles_prevented: i64,
    /// Tickets too many.
    pub doubles: i64,
    /// Not closed now, and any of these happened to it.
    pub open: i64,
}

impl Attainment {
    /// What `percent` is of: closed with a target, and open past it.
    #[must_use]
    pub fn judged(&self) -> i64 {
        self.in_target + self.late + self.overdue_open
    }
}

impl Leavers {
    /// What the shares are of: all gone, or overdue.
    #[must_use]
    pub fn judged(&self) -> i64 {
        self.within_24h + self.late + self.overdue_open
    }
}

/// A share in whole percent, rounded down, so that 100 means all; none of few.
#[must_use]
pub fn percent(n: i64, of: i64) -> Option<i64> {
    (of >= MIN_FOR_PERCENTILE).then(|| n * 100 / of)
}

/// Sums that one line is made of.
#[derive(Debug, Clone, Default)]
pub struct Sums {
    /// Closed in the period.
    pub closed: Cell,
    /// Leavers of the period.
    pub leavers: Cell,
    /// Came in the period.
    pub arrived: i64,
    /// What is open.
    pub now: Now,
}

impl Sums {
    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        self.closed.merge(&other.closed);
        self.leavers.merge(&other.leavers);
        self.arrived += other.arrived;
        self.now.merge(&other.now);
    }

    /// The figures.
    #[must_use]
    pub fn line(&self, id: &str, name: &str) -> Line {
        let closed = &self.closed;
        let spread = |stage, business| Spread::of(closed.took(stage, business));
        let (in_target, late) = (closed.count(Count::InTarget), closed.count(Count::Late));
        let target = Attainment {
            in_target,
            late,
            overdue_open: self.now.overdue,
            percent: percent(in_target, in_target + late + self.now.overdue),
        };
        Line {
            id: id.to_owned(),
            name: name.to_owned(),
            approval: spread(Stage::Approval, false),
            provisioning: spread(Stage::Provisioning, false),
            approval_business: spread(Stage::Approval, true),
            provisioning_business: spread(Stage::Provisioning, true),
            target,
            whose: Whose::of(closed),
            end_to_end: Timed::of(closed, Stage::EndToEnd),
            filing: Timed::of(closed, Stage::Filing),
            queue: Timed::of(closed, Stage::Queue),
            touch: Timed::of(closed, Stage::Touch),
            sync_back: Timed::of(closed, Stage::SyncBack),
            noticed: Timed::of(closed, Stage::Noticed),
            verification: Timed::of(closed, Stage::Verification),
            pauses: pauses(closed),
            dates: self.dates(),
            leavers: self.leavers(),
            flow: self.flow(),
            quality: quality(closed),
            health: Health {
                retries: closed.count(Count::Retries),
                unclear: closed.count(Count::Unclear),
                parked: closed.count(Count::Parked),
                refused: closed.count(Count::Refused),
                unknown_states: closed.count(Count::Unknown),
                doubles_prevented: closed.count(Count::Found),
                doubles: closed.count(Count::Doubles),
                open: self.now.troubled,
            },
            expired_open: self.now.expired,
            forecast: HitRate::of(closed),
        }
    }

    fn dates(&self) -> Dates {
        let (n, kept) = (self.closed.count(Count::Dated), self.closed.count(Count::DateKept));
        Dates {
            n,
            kept,
            premature: self.closed.count(Count::Premature),
            overdue_open: self.now.dated_overdue,
            percent: percent(kept, n + self.now.dated_overdue),
        }
    }

    fn leavers(&self) -> Leavers {
        let count = |c| self.leavers.count(c);
        let (within_24h, within_4h, late) = (count(Count::LeaversIn24), count(Count::LeaversIn4), count(Count::LeaversLate));
        let judged = within_24h + late + self.now.leavers_overdue;
        Leavers {
            n: count(Count::Leavers),
            within_24h,
            within_4h,
            late,
            overdue_open: self.now.leavers_overdue,
            percent_24h: percent(within_24h, judged),
            percent_4h: percent(within_4h, judged),
            took: Spread::of(self.leavers.took(Stage::Whole, false)),
        }
    }

    fn flow(&self) -> Flow {
        let closed = self.closed.count(Count::Closed);
        Flow {
            arrived: self.arrived,
            closed,
            open: self.now.open.n(),
            not_yet: self.now.open.not_yet,
            bands: self.now.open.bands,
            oldest: self.now.open.oldest,
            p90_age_ms: self.now.open.p90_ms(),
            out_per_100_in: (self.arrived > 0).then(|| closed * 100 / self.arrived),
        }
    }
}

fn pauses(cell: &Cell) -> Pauses {
    let (paused_ms, whole_ms) = (cell.took(Stage::Paused, false).sum(), cell.took(Stage::Whole, false).sum());
    Pauses {
        cases: cell.count(Count::Paused),
        paused_ms,
        whole_ms,
        permille: (whole_ms > 0).then(|| i64::try_from(i128::from(paused_ms) * 1000 / i128::from(whole_ms)).unwrap_or(1000)),
    }
}

fn quality(cell: &Cell) -> Quality {
    let (closed, meant) = (cell.count(Count::Closed), cell.count(Count::Meant));
    let of = |count| (cell.count(count), percent(cell.count(count), closed));
    let (right, right_percent) = (cell.count(Count::Right), percent(cell.count(Count::Right), meant));
    let (reopened, reopened_percent) = of(Count::Reopened);
    let (cancelled, cancelled_percent) = of(Count::Cancelled);
    let (withdrawn, withdrawn_percent) = of(Count::Withdrawn);
    let (rerouted, rerouted_percent) = of(Count::Rerouted);
    let (proven, proven_percent) = of(Count::Proven);
    Quality {
        closed,
        meant,
        right,
        right_percent,
        reopened,
        reopened_percent,
        cancelled,
        cancelled_percent,
        withdrawn,
        withdrawn_percent,
        rerouted,
        rerouted_percent,
        rejected: cell.count(Count::Rejected),
        not_possible: cell.count(Count::NotPossible),
        reported: cell.count(Count::Reported),
        proven,
        proven_percent,
        unapproved: cell.count(Count::Unapproved),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kpi::case::Case;
    use proptest::prelude::*;

    #[test]
    fn small_numbers_show_no_percentile() {
        let of = |n: i64| {
            let mut sketch = Sketch::default();
            (1..=n).for_each(|ms| sketch.add(ms * 1000));
            Spread::of(&sketch)
        };
        assert_eq!(of(19), Spread { n: 19, max_ms: Some(19_000), ..Spread::default() });
        let twenty = of(20);
        assert_eq!((twenty.n, twenty.max_ms), (20, Some(20_000)));
        let near = |told: Option<i64>, exact: i64| (told.unwrap() - exact).abs() * 100 <= exact;
        assert!(near(twenty.p50_ms, 10_000) && near(twenty.p90_ms, 18_000) && near(twenty.p95_ms, 19_000), "{twenty:?}");
        assert_eq!((percent(19, 19), percent(19, 20), percent(20, 20)), (None, Some(95), Some(100)));
    }

    proptest! {
        #[test]
        fn figures_of_parts_merged_are_those_of_the_whole(
            parts in proptest::collection::vec(proptest::collection::vec((0i64..5_000_000, 0u32..1 << 14), 0..40), 1..5),
        ) {
            let case = |(ms, signs): (i64, u32)| {
                let mut case = Case { closed: Some(Timestamp(ms)), signs, ..Case::default() };
                case.elapsed[Stage::Provisioning as usize] = Some(ms);
                case.elapsed[Stage::Whole as usize] = Some(ms * 2);
                case.elapsed[Stage::Paused as usize] = Some(ms);
                case
            };
            let (mut merged, mut whole) = (Sums::default(), Sums::default());
            for part in parts {
                let mut sums = Sums { arrived: 1, ..Sums::default() };
                for c in part {
                    sums.closed.add(&case(c));
                    whole.closed.add(&case(c));
                }
                whole.arrived += 1;
                merged.merge(&sums);
            }
            let line = merged.line("x", "X");
            prop_assert_eq!(&line, &whole.line("x", "X"));
            let quality = line.quality;
            prop_assert!(quality.right_percent.is_none_or(|p| p >= 0) && quality.closed == line.flow.closed);
            prop_assert!(line.pauses.permille.is_none_or(|p| p == 500));
            let spread = line.provisioning;
            prop_assert!(spread.p50_ms <= spread.p90_ms && spread.p90_ms <= spread.p95_ms && spread.p95_ms <= spread.max_ms || spread.n < MIN_FOR_PERCENTILE);
        }
    }
}
