//! When a source wants to be polled.

use chrono::Utc;
use std::str::FromStr;

use crate::catalog::Span;
use crate::model::Timestamp;

/// A parsed schedule: a span (`"30s"`) or a cron expression in UTC (`"*/5 * * * *"`, `"0 6 * * MON-FRI"`).
#[derive(Debug, Clone)]
pub enum Timing {
    /// So long after the last round started.
    Every(Span),
    /// At these times.
    Cron(Box<cron::Schedule>),
}

impl Timing {
    /// Reads a schedule.
    ///
    /// # Errors
    /// Words for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(span) = humantime::parse_duration(text) {
            let ms = i64::try_from(span.as_millis()).map_err(|_| format!("`{text}` is too long"))?;
            return if ms < 1000 {
                Err("a source is polled at most once a second".to_owned())
            } else {
                Ok(Self::Every(Span(ms)))
            };
        }
        let fields: Vec<&str> = text.split_whitespace().collect();
        if fields.len() == 5 && fields[4].chars().any(|c| c.is_ascii_digit()) {
            return Err(format!(
                "`{text}`: write days of the week as names (MON-FRI): numbers mean different days to different people"
            ));
        }
        let full = if fields.len() == 5 { format!("0 {text}") } else { text.to_owned() };
        cron::Schedule::from_str(&full)
            .map(|s| Self::Cron(Box::new(s)))
            .map_err(|_| format!("`{text}` is no schedule: write a span (\"30s\") or five cron fields (\"*/5 * * * *\", in UTC)"))
    }

    /// The next time after `now`; `None` when there is none any more.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(span) => Some(now.plus_ms(span.ms())),
            Self::Cron(schedule) => schedule.after::<Utc>(&now.to_utc()).next().map(Timestamp::from),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_cron_fields_give_the_next_time() {
        let now = Timestamp(1_764_000_000_000); // Monday 2025-11-24 16:00 UTC
        let next = |text: &str| Timing::parse(text).unwrap().next(now).unwrap().iso();
        assert_eq!(next("30s"), "2025-11-24T16:00:30.000Z");
        assert_eq!(next("*/5 * * * *"), "2025-11-24T16:05:00.000Z");
        assert_eq!(next("0 6 * * SAT"), "2025-11-29T06:00:00.000Z");
        for wrong in ["0 6 * * 1-5", "often", "1ms"] {
            assert!(Timing::parse(wrong).is_err(), "{wrong}");
        }
    }
}
