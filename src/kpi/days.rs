//! Days, hours, weeks and months of UTC: what figures are cut by in time. Pure.

use chrono::Datelike as _;

use crate::model::Timestamp;

/// A day, milliseconds.
pub const DAY_MS: i64 = 86_400_000;
const WEEK_MS: i64 = 7 * DAY_MS;
/// An hour, milliseconds.
pub const HOUR_MS: i64 = 3_600_000;

/// Start of the day.
#[must_use]
pub fn day(at: Timestamp) -> i64 {
    at.0 - at.0.rem_euclid(DAY_MS)
}

/// Start of the hour.
#[must_use]
pub fn hour(at: Timestamp) -> i64 {
    at.0 - at.0.rem_euclid(HOUR_MS)
}

/// Start of the week, a Monday.
#[must_use]
pub fn week(at: Timestamp) -> i64 {
    // The first day of all was a Thursday.
    let first = -3 * DAY_MS;
    at.0 - (at.0 - first).rem_euclid(WEEK_MS)
}

/// Start of the month.
#[must_use]
pub fn month(at: Timestamp) -> i64 {
    day(at) - i64::from(at.to_utc().day0()) * DAY_MS
}

/// Start of the month after one that starts then.
#[must_use]
pub fn month_after(start: i64) -> i64 {
    month(Timestamp(start + 32 * DAY_MS))
}

/// The trend of so many days is told by days, of so many more by weeks from Monday to Sunday, else by months.
const BY_DAY: i64 = 14;
const BY_WEEK: i64 = 92;

/// What a period is told by, and sums are kept by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// By day.
    Day,
    /// By week, from Monday to Sunday.
    Week,
    /// By month.
    Month,
}

impl Step {
    /// Of a period.
    #[must_use]
    pub fn of(from: Timestamp, to: Timestamp) -> Self {
        match to.ms_since(from) / DAY_MS {
            days if days <= BY_DAY => Self::Day,
            days if days <= BY_WEEK => Self::Week,
            _ => Self::Month,
        }
    }

    /// Start of the one that an instant is in.
    #[must_use]
    pub fn start(self, at: i64) -> i64 {
        match self {
            Self::Day => day(Timestamp(at)),
            Self::Week => week(Timestamp(at)),
            Self::Month => month(Timestamp(at)),
        }
    }

    /// Start of the one after one that starts then.
    #[must_use]
    pub fn next(self, start: i64) -> i64 {
        match self {
            Self::Day => start + DAY_MS,
            Self::Week => start + WEEK_MS,
            Self::Month => month_after(start),
        }
    }

    /// Starts of all that lie between two starts.
    pub fn starts(self, from: i64, to: i64) -> impl Iterator<Item = i64> {
        std::iter::successors(Some(from), move |start| Some(self.next(*start))).take_while(move |start| *start < to)
    }
}
