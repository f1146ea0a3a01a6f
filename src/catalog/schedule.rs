//! When a source is polled: the `cron` crate's expressions, with its traps closed.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::Timestamp;

/// A schedule in UTC: five fields as in crontab (minute hour day month weekday), or six with seconds first.
/// Days of the week are names (`MON-FRI`): numbers mean different days to different programs and are refused.
#[derive(Debug, Clone, JsonSchema)]
#[schemars(with = "String")]
pub struct Schedule {
    text: String,
    parsed: cron::Schedule,
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
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
                return Err(format!(
                    "`{weekday}`: write days of the week as names, like MON-FRI; numbers are read differently elsewhere"
                ));
            }
        }
        let parsed = cron::Schedule::from_str(&full)
            .map_err(|_| format!("`{text}` is not a schedule; an example is `*/5 * * * MON-FRI`"))?;
        let schedule = Self { text: text.to_owned(), parsed };
        // From a fixed instant: whether it ever fires does not depend on today.
        if schedule.next_after(Timestamp(1_767_225_600_000)).is_none() {
            return Err(format!("`{text}` never comes: there is no such day"));
        }
        Ok(schedule)
    }
}

impl Schedule {
    /// The next time after `at`.
    #[must_use]
    pub fn next_after(&self, at: Timestamp) -> Option<Timestamp> {
        let at: DateTime<Utc> = at.to_utc();
        self.parsed.after(&at).next().map(Timestamp::from)
    }

    /// The next `n` times after `at`: what `check` shows, so that a misread schedule is seen before it runs.
    #[must_use]
    pub fn next_fires(&self, at: Timestamp, n: usize) -> Vec<Timestamp> {
        self.parsed.after(&at.to_utc()).take(n).map(Timestamp::from).collect()
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
            ("0 3 * * 1", "as names"),
            ("0 3 * * 0-5", "as names"),
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
