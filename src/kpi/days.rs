//! Days, hours and months of UTC: what figures are cut by in time. Pure.

use chrono::Datelike as _;

use crate::model::Timestamp;

/// A day, milliseconds.
pub const DAY_MS: i64 = 86_400_000;
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
