//! When a source wants to be polled.

use crate::catalog::Span;
use crate::catalog::schedule::Schedule;
use crate::model::Timestamp;

/// A parsed schedule: a span (`"30s"`) or a cron expression in UTC (`"*/5 * * * *"`, `"0 6 * * MON-FRI"`).
#[derive(Debug, Clone)]
pub enum Timing {
    /// So long after the last round started.
    Every(Span),
    /// At these times.
    At(Box<Schedule>),
}

impl Timing {
    /// Reads a schedule.
    ///
    /// # Errors
    /// Words for people.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Ok(span) = humantime::parse_duration(text) else {
            // One word that is no span was hardly meant as a cron expression.
            if !text.trim().contains(' ') && !text.starts_with('@') {
                return Err(format!(
                    "`{text}` is no schedule: write a span (\"30s\") or five cron fields (\"*/5 * * * *\", UTC)"
                ));
            }
            return text.parse().map(|schedule| Self::At(Box::new(schedule)));
        };
        match i64::try_from(span.as_millis()) {
            Ok(ms) if ms >= 1000 => Ok(Self::Every(Span(ms))),
            Ok(_) => Err("a source is polled at most once a second".to_owned()),
            Err(_) => Err(format!("`{text}` is too long")),
        }
    }

    /// The same times on the clocks of a zone; a span has none.
    #[must_use]
    pub fn in_zone(self, zone: chrono_tz::Tz) -> Self {
        match self {
            Self::At(schedule) => Self::At(Box::new(schedule.in_zone(zone))),
            every @ Self::Every(_) => every,
        }
    }

    /// The next time after `now`; `None` when there is none any more.
    #[must_use]
    pub fn next(&self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every(span) => Some(now.plus_ms(span.ms())),
            Self::At(schedule) => schedule.next_after(now),
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
