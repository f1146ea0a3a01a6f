//! Times for people. Pure.

use crate::model::Timestamp;

/// A duration for people: "3 d 4 h", "25 min", "40 s".
#[must_use]
pub fn human(ms: i64) -> String {
    let secs = ms / 1000;
    match secs {
        ..60 => format!("{secs} s"),
        60..7200 => format!("{} min", secs / 60),
        7200..172_800 => format!("{} h", secs / 3600),
        _ => format!("{} d {} h", secs / 86_400, secs % 86_400 / 3600),
    }
}

/// Working time for people, in hours: a day of work is no day of 24 hours.
#[must_use]
pub fn human_working(ms: i64) -> String {
    let minutes = ms / 60_000;
    match minutes {
        ..2 => human(ms),
        2..120 => format!("{minutes} min"),
        120..1200 => format!("{}.{} h", minutes / 60, minutes % 60 / 6),
        _ => format!("{} h", minutes / 60),
    }
}

/// A day of UTC, like `2026-11-01`.
#[must_use]
pub fn day_words(at: Timestamp) -> String {
    at.to_utc().format("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn working_time_is_told_in_hours() {
        let told = [90, 119, 120, 288, 1199, 1200, 6000].map(|minutes| human_working(minutes * 60_000));
        assert_eq!(told, ["90 min", "119 min", "2.0 h", "4.8 h", "19.9 h", "20 h", "100 h"]);
        assert_eq!(human_working(38_000), "38 s");
    }
}
