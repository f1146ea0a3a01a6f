//! Sums over cases: exact counts, and sketches of their durations. Pure; as text in a row of the ledger.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;

use super::case::{Case, Stage, Verdict, sign};
use super::sketch::{Sketch, put, take};
use crate::ledger::rollups::CellRow;
use crate::model::{Outcome, Timestamp};

/// What is counted. Sums hold their counts in this order: a new one comes last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// Closed.
    Closed,
    /// Closed within the target.
    InTarget,
    /// Closed, too late.
    Late,
    /// Closed, ordered for a later day.
    Dated,
    /// Of those: closed by that day.
    DateKept,
    /// Of those: closed before it.
    Premature,
    /// Worked on or closed before the last approval.
    Unapproved,
    /// Closed with an outcome other than cancelled.
    Meant,
    /// Of those: right the first time.
    Right,
    /// Opened again after a closing.
    Reopened,
    /// Ended as cancelled.
    Cancelled,
    /// Taken back by the platform.
    Withdrawn,
    /// Refused by the admin group.
    Rejected,
    /// Not possible on the system.
    NotPossible,
    /// Given to another group on the desk.
    Rerouted,
    /// Reported to the platform.
    Reported,
    /// Proven by the application itself.
    Proven,
    /// Their clock stood still at least once.
    Paused,
    /// Calls for tickets that failed and were tried again.
    Retries,
    /// Calls that may or may not have made a ticket.
    Unclear,
    /// Times a person was needed.
    Parked,
    /// Statuses and resolutions that no rule knew.
    Unknown,
    /// Doubles prevented: tickets found by their key.
    Found,
    /// Tickets too many.
    Doubles,
    /// It was said by when they are expected.
    Forecast,
    /// Of those: closed by the time that half was expected by.
    HalfHit,
    /// Of those: closed by the time that nine of ten were expected by.
    NineHit,
    /// Persons whose access ended.
    Leavers,
    /// Of those: all gone within 4 hours.
    LeaversIn4,
    /// Of those: all gone within 24 hours.
    LeaversIn24,
    /// Of those: all gone, later.
    LeaversLate,
    /// Tickets that the desk refused, so that a person was needed.
    Refused,
}

const COUNTS: usize = Count::Refused as usize + 1;
/// Stages whose sketches are read by every page.
const MAIN: usize = 3;
const STAGES: usize = Stage::ALL.len();

/// A sum over cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    counts: [i64; COUNTS],
    /// By stage: all time, working time.
    took: Vec<[Sketch; 2]>,
}

impl Default for Cell {
    fn default() -> Self {
        Self { counts: [0; COUNTS], took: vec![Default::default(); STAGES] }
    }
}

impl Cell {
    /// Adds a closed case.
    pub fn add(&mut self, case: &Case) {
        use Count as C;
        let outcome = |o| case.outcome == Some(o);
        let verdict = case.verdict(Timestamp(i64::MAX));
        for (count, holds) in [
            (C::Closed, true),
            (C::InTarget, verdict == Some(Verdict::InTarget)),
            (C::Late, verdict == Some(Verdict::Late)),
            (C::Dated, case.is(sign::DATED) && case.is(sign::MEANT)),
            (C::DateKept, case.is(sign::DATE_KEPT)),
            (C::Premature, case.is(sign::PREMATURE)),
            (C::Unapproved, case.is(sign::UNAPPROVED)),
            (C::Meant, case.is(sign::MEANT)),
            (C::Right, case.is(sign::RIGHT)),
            (C::Reopened, case.is(sign::REOPENED)),
            (C::Cancelled, outcome(Outcome::Cancelled)),
            (C::Withdrawn, case.is(sign::WITHDRAWN)),
            (C::Rejected, outcome(Outcome::Rejected)),
            (C::NotPossible, outcome(Outcome::NotPossible)),
            (C::Rerouted, case.is(sign::REROUTED)),
            (C::Reported, case.reported.is_some()),
            (C::Proven, case.proven.is_some()),
            (C::Paused, case.is(sign::PAUSED)),
            (C::Forecast, case.is(sign::FORECAST)),
            (C::HalfHit, case.is(sign::HALF_HIT)),
            (C::NineHit, case.is(sign::NINE_HIT)),
        ] {
            self.counts[count as usize] += i64::from(holds);
        }
        let trouble = case.trouble;
        for (count, n) in [
            (C::Retries, trouble.retries),
            (C::Unclear, trouble.unclear),
            (C::Parked, trouble.parked),
            (C::Refused, trouble.refused),
            (C::Unknown, trouble.unknown),
            (C::Found, trouble.found),
            (C::Doubles, trouble.doubles),
        ] {
            self.counts[count as usize] += i64::from(n);
        }
        for (n, took) in self.took.iter_mut().enumerate() {
            for (sketch, ms) in took.iter_mut().zip([case.elapsed[n], case.business[n]]) {
                if let Some(ms) = ms {
                    sketch.add(ms);
                }
            }
        }
    }

    /// Adds to a count.
    pub fn count_more(&mut self, count: Count, n: i64) {
        self.counts[count as usize] += n;
    }

    /// Adds a duration of all time.
    pub fn took_more(&mut self, stage: Stage, ms: i64) {
        self.took[stage as usize][0].add(ms);
    }

    /// How many.
    #[must_use]
    pub fn count(&self, count: Count) -> i64 {
        self.counts[count as usize]
    }

    /// How durations are spread: all time, or working time.
    #[must_use]
    pub fn took(&self, stage: Stage, business: bool) -> &Sketch {
        &self.took[stage as usize][usize::from(business)]
    }

    /// Adds all of another.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        for (mine, theirs) in self.took.iter_mut().flatten().zip(other.took.iter().flatten()) {
            mine.merge(theirs);
        }
    }

    /// Without what only figures need, and pages over a time do not.
    #[must_use]
    pub fn into_main(mut self) -> Self {
        self.took[MAIN..].fill_with(Default::default);
        self
    }

    /// As two columns: counts and the main sketches, and the other sketches.
    #[must_use]
    pub fn write(&self) -> (String, String) {
        let (mut main, mut rest) = (Vec::new(), Vec::new());
        put(&mut main, COUNTS as u64);
        self.counts.iter().for_each(|n| put(&mut main, n.unsigned_abs()));
        put(&mut rest, (STAGES - MAIN) as u64);
        for (n, took) in self.took.iter().enumerate() {
            let out = if n < MAIN { &mut main } else { &mut rest };
            took.iter().for_each(|sketch| sketch.write(out));
        }
        (BASE64.encode(main), BASE64.encode(rest))
    }

    /// What a row holds. One that cannot be read is nothing, and `kpi verify` tells of it.
    #[must_use]
    pub fn kept(row: &CellRow) -> Self {
        let mut cell = Self::default();
        match row.main.as_deref().map(|main| cell.read_into(main, row.rest.as_deref())) {
            Some(Some(())) => cell,
            _ => Self::default(),
        }
    }

    /// Adds what columns hold; `None` when they hold something else.
    pub fn read_into(&mut self, main: &str, rest: Option<&str>) -> Option<()> {
        let bytes = BASE64.decode(main).ok()?;
        let mut row = bytes.as_slice();
        // A count that was not known when the row was written is none.
        let known = usize::try_from(take(&mut row)?).ok()?;
        for n in 0..known {
            let value = i64::try_from(take(&mut row)?).ok()?;
            if let Some(count) = self.counts.get_mut(n) {
                *count += value;
            }
        }
        for sketch in self.took[..MAIN].iter_mut().flatten() {
            sketch.read_into(&mut row)?;
        }
        let Some(rest) = rest else { return Some(()) };
        let bytes = BASE64.decode(rest).ok()?;
        let mut row = bytes.as_slice();
        // Nor has a stage that was not known any duration.
        let known = usize::try_from(take(&mut row)?).ok()?;
        for sketch in self.took[MAIN..].iter_mut().take(known).flatten() {
            sketch.read_into(&mut row)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_read_back_and_add_up() {
        let mut cell = Cell::default();
        for n in 1..30 {
            let mut case = Case { closed: Some(Timestamp(n)), outcome: Some(Outcome::Fulfilled), ..Case::default() };
            case.signs = sign::MEANT | if n % 3 == 0 { sign::RIGHT } else { sign::REROUTED };
            case.elapsed[Stage::Provisioning as usize] = Some(n * 1000);
            case.business[Stage::Queue as usize] = Some(n);
            cell.add(&case);
        }
        let (main, rest) = cell.write();
        let mut read = Cell::default();
        read.read_into(&main, Some(&rest)).unwrap();
        assert_eq!(read, cell);
        let mut twice = cell.clone();
        twice.merge(&read);
        read.read_into(&main, Some(&rest)).unwrap();
        assert_eq!(read, twice);
        assert_eq!((twice.count(Count::Closed), twice.count(Count::Right), twice.count(Count::Rerouted)), (58, 18, 40));
        assert_eq!(Cell::default().read_into("%", None), None);
        assert_eq!(Cell::default().read_into("AQ", Some("")), None, "a count is missing");
    }
}
