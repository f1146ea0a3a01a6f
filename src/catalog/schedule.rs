//! When a source is polled: the `cron` crate's expressions, with its traps closed.

use std::str::FromStr;

use chrono::DateTime;
use chrono_tz::Tz;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::Timestamp;

/// A schedule, in UTC unless a zone is given: five fields as in crontab (minute hour day month weekday), or six with
/// seconds first. Days of the week are names (`MON-FRI`): numbers mean different days to different programs and are
/// refused, as are a day of the month and a day of the week together (crontab means either, this crate both). In a zone
/// with summer time, what a clock change leaves out is left out and what it brings twice comes twice.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(with = "String")]
pub struct Schedule {
    text: String,
    parsed: cron::Schedule,
    zone: Tz,
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.zone == other.zone
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let full = match fields.len() {
            1 if text.trim().starts_with('@') => text.trim().to_owned(),
            5 => format!("0 {}", fields.join(" ")),
            6 | 7 => fields.join(" "),
            n => {
                return Err(format!(
                    "`{text}` has {n} fields; write five (minute hour day month weekday) or six with seconds first"
                ));
            }
        };
        if !full.starts_with('@') {
            let weekday = full.split(' ').nth(5).unwrap_or("*");
            let named = |part: &str| part.split('/').next().unwrap_or(part).chars().all(|c| !c.is_ascii_digit());
            if !weekday.split(',').all(named) {
                let meant = in_names(weekday).unwrap_or_else(|| "MON-FRI".to_owned());
                return Err(format!(
                    "`{weekday}`: write days of the week as names, like {meant}; numbers are read differently elsewhere"
                ));
            }
        }
        let parsed = cron::Schedule::from_str(&full)
            .map_err(|_| format!("`{text}` is not a schedule; an example is `*/5 * * * MON-FRI`"))?;
        let field = |n| full.split(' ').nth(n).unwrap_or("*");
        if !full.starts_with('@') && ![field(3), field(5)].iter().any(|field| matches!(*field, "*" | "?")) {
            return Err(format!(
                "`{text}` names a day of the month and a day of the week: crontab means either, others mean both; write two sources or one of them"
            ));
        }
        let schedule = Self { text: text.to_owned(), parsed, zone: Tz::UTC };
        // From a fixed instant: whether it ever fires does not depend on today.
        if schedule.next_after(Timestamp(1_767_225_600_000)).is_none() {
            return Err(format!("`{text}` never comes: there is no such day"));
        }
        Ok(schedule)
    }
}

/// Crontab's numbers of days (0 and 7 are Sunday) as names.
fn in_names(weekday: &str) -> Option<String> {
    const NAMES: [&str; 8] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"];
    let mut out = String::new();
    for c in weekday.chars() {
        match c.to_digit(10) {
            Some(n) => out.push_str(NAMES.get(usize::try_from(n).ok()?)?),
            None if matches!(c, '-' | ',') => out.push(c),
            None => return None,
        }
    }
    Some(out)
}

impl Schedule {
    /// The same times on the clocks of a zone.
    #[must_use]
    pub fn in_zone(self, zone: Tz) -> Self {
        Self { zone, ..self }
    }

    /// The next time after `at`.
    #[must_use]
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        self.after(at).next()
    }

    /// The next `n` times after `at`: what `check` shows, so that a misread schedule is seen before it runs.
    #[must_use]
    pub fn next_fires(&self, at: Timestamp, n: usize) -> Vec<Timestamp> {
        self.after(at).take(n).collect()
    }

    fn after(&self, at: Timestamp) -> impl Iterator<Item = Timestamp> {
        let at: DateTime<Tz> = at.to_utc().with_timezone(&self.zone);
        self.parsed.after_owned(at).map(|at| Timestamp::from(at.to_utc()))
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl<'de> Deserialize<'de> for Schedule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Schedule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Utc;

    #[test]
    fn in_a_zone_with_summer_time_no_day_is_lost() {
        let words = |schedule: &str, after: &str| -> Vec<String> {
            let after = after.parse::<DateTime<Utc>>().unwrap().into();
            let berlin = schedule.parse::<Schedule>().unwrap().in_zone(Tz::Europe__Berlin);
            berlin.next_fires(after, 3).into_iter().map(Timestamp::human).collect()
        };
        assert_eq!(
            words("0 6 * * *", "2026-03-28T00:00:00Z"),
            ["2026-03-28 05:00 UTC", "2026-03-29 04:00 UTC", "2026-03-30 04:00 UTC"]
        );
        // 02:30 does not exist on 29 March and exists twice on 25 October; every other hour is kept.
        let spring = words("30 * * * *", "2026-03-29T00:00:00Z");
        assert_eq!(spring, ["2026-03-29 00:30 UTC", "2026-03-29 01:30 UTC", "2026-03-29 02:30 UTC"]);
        let autumn = words("30 * * * *", "2026-10-24T23:45:00Z");
        assert_eq!(autumn[0], "2026-10-25 00:30 UTC");
        let fires = "30 2 * * *".parse::<Schedule>().unwrap().in_zone(Tz::Europe__Berlin);
        let mut at: Timestamp = "2026-03-27T00:00:00Z".parse::<DateTime<Utc>>().unwrap().into();
        for _ in 0..300 {
            let next = fires.next_after(at).unwrap();
            assert!(next > at && next.0 - at.0 <= 49 * 3_600_000, "never back, and never more than one day left out");
            at = next;
        }
    }

    #[test]
    fn five_fields_are_minutes_first_and_in_utc() {
        let every_hour: Schedule = "30 * * * *".parse().unwrap();
        // 2026-01-01T00:00:00Z
        assert_eq!(every_hour.next_after(Timestamp(1_767_225_600_000)), Some(Timestamp(1_767_225_600_000 + 30 * 60_000)));
    }

    #[test]
    fn a_fire_is_strictly_later_and_knows_no_summer_time() {
        let words = |schedule: &str, after: &str| -> Vec<String> {
            let after = after.parse::<DateTime<Utc>>().unwrap().into();
            schedule.parse::<Schedule>().unwrap().next_fires(after, 3).into_iter().map(Timestamp::human).collect()
        };
        assert_eq!(
            words("30 2 * * *", "2026-03-28T02:30:00Z"),
            ["2026-03-29 02:30 UTC", "2026-03-30 02:30 UTC", "2026-03-31 02:30 UTC"]
        );
        // 2026-11-27 is a Friday
        assert_eq!(
            words("0 6 * * MON-FRI", "2026-11-26T07:00:00Z"),
            ["2026-11-27 06:00 UTC", "2026-11-30 06:00 UTC", "2026-12-01 06:00 UTC"]
        );
    }

    #[test]
    fn traps_are_refused_with_words() {
        for (text, words) in [
            ("0 3 * * 1", "like MON;"),
            ("0 3 * * 0-5", "like SUN-FRI;"),
            ("0 3 * * 1,7", "like MON,SUN;"),
            ("0 3 1 * MON", "either"),
            ("0 0 30 2 *", "never comes"),
            ("0 3 * * */2,3", "as names"),
            ("0 0 3 * * 7", "as names"),
            ("0 0 3 1 1 * 1999", "never comes"),
            ("0 0 30 FEB *", "never comes"),
            ("* * *", "has 3 fields"),
            ("a b c d e", "not a schedule"),
        ] {
            let error = text.parse::<Schedule>().unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert!("0 3 * * MON-FRI".parse::<Schedule>().is_ok());
    }
}
